/* Stories of owners: takeovers, restored backups, and people who would like to be owners. */
#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "tests/sim/stories.h"

enum {
    TENANT = SIM_LAYER_TENANT,
    CHECKOUT = 1,
    SEARCH = 2,
    REPLAYS_MAX = 400 /* recorded frames that are played back to everybody */
};

#define SOON (5 * CFC_S)
#define LATE (30 * CFC_S)

/* Plays what was recorded from `first` on to everybody: heads, FRESH and STATUS, and of the others
 * as many as there is room for. */
static uint32_t
play_back(struct sim *sim, uint32_t first, uint32_t end)
{
    uint32_t played = 0;

    for (uint32_t i = first; i < end && played < REPLAYS_MAX; i++) {
        const struct sim_record *record = &sim->net.records[i];
        uint8_t type = sim_frame_type(record->packet);

        if (record->from == SIM_FROM_ENGINE && (type == CFC_FRAME_HEAD || type == CFC_FRAME_FRESH ||
                                                type == CFC_FRAME_STATUS || i % 16 == 0)) {
            sim_net_inject_all(&sim->net, record->packet);
            played++;
        }
    }
    return played;
}

static uint32_t
record_until(struct sim *sim)
{
    return sim->net.record_count;
}

void
sim_story_takeover(struct sim *sim)
{
    struct sim_control *old = &sim->owners[0], *new = &sim->owners[1];
    uint32_t late;
    struct sim_state write;

    sim_begin(sim);
    sim->net.is_recording = true;
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_publish(sim, SEARCH, sim_small(sim));
    sim_converge(sim, SOON);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_run(sim, 2 * CFC_S);
    sim->net.is_recording = false;
    late = record_until(sim);

    /* The old owner is stopped for longer than its lease, and does not know. */
    sim_control_start(new);
    sim_converge(sim, LATE);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, SOON);

    /* Its frames were on the way for all that time. */
    sim_claim(sim, play_back(sim, 0, late) > 10, "there were frames of the old owner");
    sim_run(sim, CFC_S);
    sim_claim(sim, sim_check_errors(sim, CONFCAST_ERR_FENCED) > 0, "consumers refused them");

    /* It wakes up: the store refuses its write, the engine its words. */
    write = old->state;
    sim_store_publish(&write, CHECKOUT, sim_medium(sim), NULL, sim_unix(sim));
    sim_claim(sim, sim_control_commit(old, &write) == CONFCAST_ERR_FENCED,
              "the store refuses the old owner");
    sim_control_connect(old);
    sim_control_beacon(old);
    sim_claim(sim, old->refused > 0, "the engine refuses the old owner");
    sim_run(sim, CFC_S);
    sim_control_kill(old);
    sim_control_connect(new);

    sim_loss(sim, 20000);
    sim_rollback(sim, CHECKOUT);
    sim_converge(sim, LATE);
}

void
sim_story_zombie_engine(struct sim *sim)
{
    struct sim_control *old = &sim->owners[0], *new = &sim->owners[1];
    uint64_t before;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_publish(sim, TENANT, sim_small(sim));
    sim_converge(sim, SOON);
    sim_control_start(new);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, SOON);

    /* The engine restarts, and the old owner, awake again, is the first to find it. */
    sim_engine_kill(&sim->engine);
    sim->connected = NULL;
    sim_engine_start(&sim->engine);
    before = sim_check_errors(sim, CONFCAST_ERR_FENCED);
    sim_control_connect(old);
    sim_run(sim, 5 * CFC_S);
    sim_claim(sim, old->refused == 0, "the engine knows no better");
    sim_claim(sim, sim_check_errors(sim, CONFCAST_ERR_FENCED) > before,
              "consumers know better than the engine");
    /* Whoever restarts now still knows, even with nothing left but its floor. */
    for (uint32_t i = 0; i < sim->consumer_count; i += 3) {
        sim_consumer_kill(&sim->consumers[i]);
        if (i % 2 == 0) {
            sim_consumer_lose_head(&sim->consumers[i], 0);
            sim_consumer_lose_head(&sim->consumers[i], 1);
        }
        sim_consumer_start(&sim->consumers[i]);
    }
    sim_run(sim, 3 * CFC_S);
    sim_control_kill(old);
    sim_control_connect(new);
    sim_converge(sim, LATE);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, LATE);
}

void
sim_story_half_done(struct sim *sim)
{
    uint32_t document = sim_medium(sim);
    struct sim_control *old = &sim->owners[0];
    struct sim_state next;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, SOON);
    /* Committed, not a word of it sent. */
    next = sim->store.state;
    sim_store_publish(&next, CHECKOUT, document, NULL, sim_unix(sim));
    sim_claim(sim, sim_store_commit(&sim->store, old->epoch, &next) == CONFCAST_OK, "it commits");
    sim_control_kill(old);
    sim_run(sim, 4 * CFC_S);
    sim_control_start(&sim->owners[1]);
    sim_converge(sim, LATE);
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, document) == sim_followers(sim, 0),
              "what was committed is published by the next owner");

    /* Once more, with half of it sent. */
    sim_publish(sim, CHECKOUT, sim_large(sim));
    sim_run(sim, CFC_MS);
    sim_control_kill(&sim->owners[1]);
    sim_control_start(&sim->owners[0]);
    sim_converge(sim, LATE);
}

void
sim_story_restore(struct sim *sim)
{
    uint32_t kept = sim_medium(sim);
    uint64_t lift;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, kept);
    sim_publish(sim, SEARCH, sim_small(sim));
    sim_converge(sim, SOON);
    sim_store_take_backup(&sim->store);
    for (int i = 0; i < 3; i++) {
        sim_publish(sim, CHECKOUT, i == 1 ? sim_large(sim) : sim_medium(sim));
        sim_publish(sim, SEARCH, sim_small(sim));
        sim_converge(sim, LATE);
    }
    /* The disk is gone; the operator restores, and states a number beyond all that was published.
     */
    sim_control_kill(sim_owner(sim));
    lift = sim->store.state.sequence + 1000000;
    sim_store_restore(&sim->store, lift, sim->store.state.epoch);
    sim_loss(sim, 20000);
    sim_control_start(&sim->owners[1]);
    sim_converge(sim, LATE);
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, kept) == sim_followers(sim, 0),
              "everybody is back at the backup");
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_publish(sim, SEARCH, sim_small(sim));
    sim_converge(sim, LATE);
}

static void
restore_behind(struct sim *sim, bool is_engine_up)
{
    uint32_t last = sim_medium(sim);
    struct sim_control *new = &sim->owners[1];

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, SOON);
    sim_store_take_backup(&sim->store);
    sim_publish(sim, CHECKOUT, sim_large(sim));
    sim_publish(sim, CHECKOUT, last);
    sim_converge(sim, LATE);

    /* The backup comes back as it was, and nobody lifts anything. */
    sim_control_kill(sim_owner(sim));
    if (!is_engine_up) {
        sim_engine_kill(&sim->engine);
    }
    sim_store_restore(&sim->store, 0, 0);
    if (!is_engine_up) {
        sim_engine_start(&sim->engine);
    }
    sim_control_start(new);
    sim_run(sim, 10 * CFC_S);
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, last) == sim_followers(sim, 0),
              "nobody goes back");
    sim_claim(sim, new->is_behind, "the fleet proved that the store is behind");
    sim_claim(sim, sim_publish(sim, CHECKOUT, sim_medium(sim)) == 0, "nothing is published");

    /* The operator lifts above what was proved. */
    sim_control_kill(new);
    sim_store_restore(&sim->store, new->proved_version + 1000, new->proved_epoch);
    sim_control_start(&sim->owners[0]);
    sim_converge(sim, LATE);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, LATE);
}

void
sim_story_restore_behind(struct sim *sim)
{
    restore_behind(sim, false);
}

/* The consumers' sessions outlive the control plane; they have to prove anew. */
void
sim_story_restore_live(struct sim *sim)
{
    restore_behind(sim, true);
}

void
sim_story_replay(struct sim *sim)
{
    uint32_t end, last = sim_medium(sim);

    sim_begin(sim);
    sim->net.is_recording = true;
    for (int i = 0; i < 4; i++) {
        sim_publish(sim, CHECKOUT, i == 3 ? last : i % 2 == 0 ? sim_small(sim) : sim_medium(sim));
        sim_converge(sim, SOON);
    }
    sim->net.is_recording = false;
    end = record_until(sim);
    /* On newer state, on a fleet that has just come back, and while something else comes. */
    for (int round = 0; round < 3; round++) {
        if (round == 1) {
            for (uint32_t i = 0; i < sim->consumer_count; i++) {
                sim_consumer_kill(&sim->consumers[i]);
                sim_consumer_start(&sim->consumers[i]);
            }
        } else if (round == 2) {
            sim_publish(sim, CHECKOUT, sim_large(sim));
            sim_run(sim, CFC_MS);
        }
        play_back(sim, 0, end);
        sim_run(sim, CFC_S);
        if (round < 2) {
            sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, last) == sim_followers(sim, 0),
                      "nothing changed");
        }
    }
    sim_claim(sim, sim_check_errors(sim, CONFCAST_ERR_ROLLBACK) > 0, "old heads were refused");
    sim_converge(sim, LATE);
}

void
sim_story_replay_up(struct sim *sim)
{
    uint64_t version, sent_bytes = 0, stray_before, unicast_before;
    uint32_t end;

    sim_begin(sim);
    sim->net.is_recording = true;
    sim_loss(sim, 20000);
    version = sim_publish(sim, CHECKOUT, sim_large(sim));
    sim_converge(sim, SOON);
    sim_calm(sim);
    sim->net.is_recording = false;
    end = record_until(sim);
    sim_run(sim, 2 * CFC_S);

    /* From where they came, and from a victim's address. */
    stray_before = sim->net.stats.stray_bytes;
    unicast_before = sim->net.stats.unicast_bytes;
    for (uint32_t i = 0, played = 0; i < end && played < 4000; i++) {
        const struct sim_record *record = &sim->net.records[i];

        if (record->from != SIM_FROM_ENGINE) {
            sim_net_up(&sim->net, record->from, record->packet);
            sim_net_up(&sim->net, sim->consumer_count + 7, record->packet);
            sent_bytes += record->packet->size;
            played++;
        }
    }
    sim_run(sim, 2 * CFC_S);
    sim_claim(sim, sent_bytes > 0, "consumers had sent something");
    sim_claim(sim, sim_check_engine_errors(sim, CONFCAST_ERR_REPLAY) > 0,
              "replayed frames were refused");
    sim_claim(sim, sim->net.stats.stray_bytes - stray_before <= sent_bytes,
              "a victim gets no more than was sent in its name");
    sim_claim(sim, sim->net.stats.unicast_bytes - unicast_before <= 2 * sent_bytes + 100000,
              "replays are not answered with repair");
    sim_claim(sim, sim_control_applied(sim_owner(sim), 0, version) == sim_followers(sim, 0),
              "replayed reports count for nobody");
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, LATE);
}

/* -- Forgeries --------------------------------------------------------------------------------- */

/* What everybody decided last, to be bent. */
static struct cfc_head
last_head(struct sim *sim)
{
    struct sim_decision decision = sim_store_decide(&sim->store.state, 0, &sim->catalog);

    return sim_store_head(&decision, sim->store.state.epoch);
}

static void
inject_head(struct sim *sim, const struct cfc_head *head, enum sim_key key)
{
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    struct sim_packet *packet;
    size_t size;
    int rc = cfc_head_encode(head, &sim->trust.signers[key], sim->catalog.sha, frame, sizeof(frame),
                             &size);

    assert(rc == CONFCAST_OK);
    packet = sim_packet_new(frame, size);
    sim_net_inject_all(&sim->net, packet);
    sim_packet_unref(packet);
}

/* Injects a head and says whether everybody refused it with `code`. */
static void
expect_refused(struct sim *sim, const struct cfc_head *head, enum sim_key key, int code)
{
    uint64_t before = sim_check_errors(sim, code);

    inject_head(sim, head, key);
    sim_run(sim, 10 * CFC_MS);
    sim_claim(sim, sim_check_errors(sim, code) >= before + sim->consumer_count,
              confcast_error_word(code));
}

void
sim_story_forgery(struct sim *sim)
{
    uint32_t document = sim_medium(sim);
    struct cfc_head head;
    struct sim_when expiring = {.activation = CFC_ACTIVATE_NOW};
    struct sim_packet *packet;
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    struct sim_state fast;
    size_t size;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_small(sim));
    sim_publish(sim, CHECKOUT, document);
    sim_converge(sim, SOON);

    head = last_head(sim);
    head.version += 10;
    expect_refused(sim, &head, SIM_KEY_STRANGER, CONFCAST_ERR_AUTHORITY);
    expect_refused(sim, &head, SIM_KEY_FOREIGN, CONFCAST_ERR_AUTHORITY);
    head.version += UINT64_C(1) << 40;
    expect_refused(sim, &head, SIM_KEY_RELEASE, CONFCAST_ERR_JUMP);
    head = last_head(sim);
    head.version += 10;
    head.not_after_unix_ns = sim_unix(sim) - CFC_S;
    expect_refused(sim, &head, SIM_KEY_RELEASE, CONFCAST_ERR_EXPIRED);
    head.not_after_unix_ns = 0;
    head.issued_unix_ns = sim_unix(sim) + 3600 * CFC_S;
    expect_refused(sim, &head, SIM_KEY_RELEASE, CONFCAST_ERR_NOT_YET_VALID);
    head = last_head(sim);
    head.version -= 1;
    expect_refused(sim, &head, SIM_KEY_RELEASE, CONFCAST_ERR_ROLLBACK);
    head = last_head(sim);
    head.version += 10;
    head.scope = "other/scope";
    head.scope_size = 11;
    expect_refused(sim, &head, SIM_KEY_RELEASE, CONFCAST_ERR_WRONG_STREAM);

    /* A beacon of a stranger, and one that says too much too early. */
    fast = sim->store.state;
    fast.sequence += 100;
    size = sim_control_make_fresh(sim, &sim->trust.signers[SIM_KEY_STRANGER], &fast, sim_unix(sim),
                                  frame, sizeof(frame));
    packet = sim_packet_new(frame, size);
    sim_net_inject_all(&sim->net, packet);
    sim_packet_unref(packet);
    size = sim_control_make_fresh(sim, &sim->trust.signers[SIM_KEY_RELEASE], &fast,
                                  sim_unix(sim) - 3600 * CFC_S, frame, sizeof(frame));
    packet = sim_packet_new(frame, size);
    sim_net_inject_all(&sim->net, packet);
    sim_packet_unref(packet);
    sim_run(sim, 10 * CFC_MS);

    /* What a head's end means: nothing for those who serve it. */
    expiring.not_after_unix_ns = sim_unix(sim) + 4 * CFC_S;
    document = sim_medium(sim);
    sim_publish_when(sim, CHECKOUT, document, &expiring);
    sim_converge(sim, 3 * CFC_S);
    sim_run(sim, 10 * CFC_S);
    for (uint32_t i = 0; i < sim->consumer_count; i += 4) {
        sim_consumer_kill(&sim->consumers[i]);
        sim_consumer_start(&sim->consumers[i]);
    }
    sim_run(sim, 2 * CFC_S);
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, document) == sim_followers(sim, 0),
              "an expired head goes on being served");
    sim_publish(sim, CHECKOUT, sim_small(sim));
    sim_converge(sim, LATE);
}

void
sim_story_equivocation(struct sim *sim)
{
    uint32_t kept = sim_medium(sim), other = sim_small(sim);
    const struct sim_content *content;
    struct cfc_head head;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_small(sim));
    sim_publish(sim, CHECKOUT, kept);
    sim_converge(sim, SOON);
    content = sim_catalog_content(&sim->catalog, SIM_NO_DOCUMENT, other);
    head = last_head(sim);
    head.arms[0].content = content->id;
    head.inlined = (struct cfc_inline_content){.is_present = true,
                                               .encoding = (uint8_t)content->whole.encoding,
                                               .body_size = (uint32_t)content->body_size,
                                               .coded = content->whole.coded,
                                               .coded_size = content->whole.coded_size};
    expect_refused(sim, &head, SIM_KEY_RELEASE, CONFCAST_ERR_EQUIVOCATION);
    head.epoch += 1; /* a later owner does not change a decision either */
    expect_refused(sim, &head, SIM_KEY_RELEASE, CONFCAST_ERR_EQUIVOCATION);
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, kept) == sim_followers(sim, 0),
              "the first decision stays");
    sim_run(sim, CFC_S);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, LATE);
}
