/* Stories of people on the network, of an engine that lies, and of clocks that do. */
#include <string.h>

#include "confcast/error.h"
#include "tests/sim/stories.h"

enum {
    CHECKOUT = 1,
    KEY_OFFSET = 8, /* docs/wire-format.md */
    REPORT_STATE_OFFSET = 64 + 48,
    REPORT_SERVING_OFFSET = 64 + 24
};

#define SOON (5 * CFC_S)
#define LATE (30 * CFC_S)

static uint64_t
memory_of_fleet(const struct sim *sim)
{
    uint64_t size = 0;

    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        size += sim->consumers[i].memory.byte_count;
    }
    return size;
}

static void
inject_all(struct sim *sim, const uint8_t *frame, size_t size)
{
    struct sim_packet *packet = sim_packet_new(frame, size);

    sim_net_inject_all(&sim->net, packet);
    sim_packet_unref(packet);
}

void
sim_story_flood(struct sim *sim)
{
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    uint64_t before;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, SOON);
    sim_run(sim, 2 * CFC_S);
    before = memory_of_fleet(sim);
    /* Symbols, pages and announcements of contents that nobody named, each of another one. */
    for (uint32_t i = 0; i < 500; i++) {
        struct cfc_content content = {.fec_k = 16,
                                      .body_size = 1440,
                                      .coded_size = 1440,
                                      .symbol_size = CFC_SYMBOL_SIZE_DEFAULT,
                                      .page_levels = 1,
                                      .top_count = 1};
        uint8_t digest[CFC_SHORT_DIGEST_SIZE] = {0};
        size_t size;

        cfc_put_u64(content.content.bytes,
                    sim_world_below(&sim->world, SIM_STREAM_STORY, UINT64_MAX));
        content.top_digests = digest;
        memset(frame, 0x5a, sizeof(frame));
        cfc_symbol_header(cfc_digest_key(&content.content), 0, 0, (uint16_t)(i % 16), 1440, frame);
        inject_all(sim, frame, CFC_SYMBOL_HEADER_SIZE + 1440);
        if (cfc_content_encode(&content, &sim->trust.signers[SIM_KEY_RELEASE], frame, sizeof(frame),
                               &size) == CONFCAST_OK) {
            inject_all(sim, frame, size);
        }
        if (i % 100 == 99) {
            sim_run(sim, CFC_MS);
        }
    }
    sim_run(sim, 100 * CFC_MS);
    sim_claim(sim, sim_check_errors(sim, CONFCAST_ERR_WRONG_STREAM) > 0, "the flood arrived");
    sim_claim(sim, memory_of_fleet(sim) <= before + before / 50 + 4096,
              "a flood of strange contents costs no memory");
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, LATE);
}

void
sim_story_mix_and_match(struct sim *sim)
{
    uint32_t first = sim_large(sim), second = sim_large(sim), end, played = 0;
    uint64_t key;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_small(sim));
    sim_converge(sim, SOON);
    sim->net.is_recording = true;
    sim_publish(sim, CHECKOUT, first);
    sim_converge(sim, LATE);
    sim->net.is_recording = false;
    end = sim->net.record_count;
    key = sim_catalog_content(&sim->catalog, SIM_NO_DOCUMENT, second)->key;
    /* Pages and symbols of the content before, under the name of this one, come first. */
    sim_storm(sim);
    sim_publish(sim, CHECKOUT, second);
    sim_run(sim, 500 * CFC_US);
    for (uint32_t i = 0; i < end && played < 150; i++) {
        const struct sim_packet *packet = sim->net.records[i].packet;
        uint8_t type = sim_frame_type(packet), frame[CFC_FRAME_SIZE_DEFAULT];

        if (type == CFC_FRAME_PAGE || type == CFC_FRAME_SYMBOL) {
            memcpy(frame, packet->bytes, packet->size);
            cfc_put_u64(frame + KEY_OFFSET, key);
            inject_all(sim, frame, packet->size);
            played++;
        }
    }
    sim_claim(sim, played > 20, "there was something to mix in");
    sim_run(sim, CFC_S);
    sim_calm(sim);
    sim_converge(sim, LATE);
    sim_claim(sim, sim_check_errors(sim, CONFCAST_ERR_DIGEST) > 0, "digests told them apart");
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, second) == sim_followers(sim, 0),
              "everybody got the right content");
}

/* No symbol of anything comes through. */
static bool
loses_symbols(void *ctx, uint32_t consumer, const struct sim_packet *packet, bool is_multicast)
{
    (void)ctx;
    (void)consumer;
    (void)is_multicast;
    return sim_frame_type(packet) == CFC_FRAME_SYMBOL;
}

void
sim_story_starvation(struct sim *sim)
{
    uint32_t good = sim_medium(sim), next = sim_large(sim);
    uint64_t before, nacks;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, good);
    sim_converge(sim, SOON);
    before = memory_of_fleet(sim);
    sim->net.loses = loses_symbols;
    sim_publish(sim, CHECKOUT, next);
    sim_run(sim, 2 * CFC_S);
    nacks = sim->net.stats.up_by_type[CFC_FRAME_NACK];
    sim_run(sim, 2 * CFC_S);
    sim_claim(sim, sim->net.stats.up_by_type[CFC_FRAME_NACK] - nacks < 20ull * sim->consumer_count,
              "what is asked for in vain is asked for ever more rarely");
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, good) == sim_followers(sim, 0),
              "everybody serves the last good content");
    sim_claim(sim, sim_control_applied(sim_owner(sim), 0, sim->store.state.sequence) == 0,
              "nobody counts");
    sim->net.loses = NULL;
    sim_converge(sim, LATE);
    sim_run(sim, CFC_S);
    sim_claim(sim, memory_of_fleet(sim) < 4 * before + 100000,
              "what was collected was handed over");
}

void
sim_story_lying_engine(struct sim *sim)
{
    uint32_t end, played = 0;
    uint64_t version;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_small(sim));
    sim_converge(sim, SOON);
    /* Nobody gets the new content; the engine says that all have applied it. */
    sim->net.loses = loses_symbols;
    sim->net.is_recording = true;
    version = sim_publish(sim, CHECKOUT, sim_large(sim));
    sim_run(sim, CFC_S);
    sim->net.is_recording = false;
    end = sim->net.record_count;
    for (uint32_t i = 0; i < end && sim_is_fine(sim); i++) {
        const struct sim_record *record = &sim->net.records[i];
        struct cfc_upcall upcall = {.type = CFC_UPCALL_REPORT};
        uint8_t frame[CFC_FRAME_SIZE_DEFAULT];

        if (record->from == SIM_FROM_ENGINE || sim_frame_type(record->packet) != CFC_FRAME_REPORT) {
            continue;
        }
        memcpy(frame, record->packet->bytes, record->packet->size);
        cfc_put_u64(frame + REPORT_SERVING_OFFSET, version);
        frame[REPORT_STATE_OFFSET] = CFC_APPLY_APPLIED;
        upcall.id = sim->consumers[record->from].id;
        upcall.id_size = sim->consumers[record->from].id_size;
        upcall.frame = frame;
        upcall.frame_size = record->packet->size;
        sim_control_on_upcall(sim, &upcall);
        played++;
    }
    sim_claim(sim, played > 0 && sim_owner(sim)->tags_refused == played,
              "the tag of every report told that it was changed");
    sim_claim(sim, sim_control_applied(sim_owner(sim), 0, version) == 0, "nobody counts");
    sim->net.loses = NULL;
    sim_converge(sim, LATE);
}

void
sim_story_clocks(struct sim *sim)
{
    uint32_t tenth = sim->consumer_count / 10;
    int64_t day_ns = (int64_t)(86400 * CFC_S);
    struct sim_when when = {.activation = CFC_ACTIVATE_AT};

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, SOON);
    for (uint32_t i = 0; i < tenth; i++) {
        sim->consumers[i].clock_off_ns -= day_ns;
        sim->consumers[tenth + i].clock_off_ns += day_ns;
    }
    sim_loss(sim, 20000);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    when.activate_unix_ns = sim_unix(sim) + 3 * CFC_S;
    sim_publish_when(sim, CHECKOUT, sim_medium(sim), &when);
    sim_run(sim, 6 * CFC_S);
    sim_publish(sim, CHECKOUT, sim_small(sim));
    for (uint32_t i = 0; i < 2 * tenth; i += 2) {
        sim_consumer_kill(&sim->consumers[i]);
        sim_consumer_start(&sim->consumers[i]);
    }
    sim_run(sim, 6 * CFC_S);
    sim_claim(sim, sim_check_errors(sim, CONFCAST_ERR_NOT_YET_VALID) > 0,
              "clocks that are behind refuse what is not issued yet");
    for (uint32_t i = 0; i < tenth; i++) {
        sim->consumers[i].clock_off_ns += day_ns;
        sim->consumers[tenth + i].clock_off_ns -= day_ns;
    }
    /* The owner's own clock steps back, too. */
    sim->world.unix_step_ns -= (int64_t)(60 * CFC_S);
    sim_converge(sim, LATE);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, LATE);
    sim_run(sim, 3 * CFC_S);
    sim_claim(sim, sim_count_freshness(sim, CFC_FRESHNESS_FRESH) == sim_followers(sim, 0),
              "a change is fresh, whatever the clock said before");
}
