#include "tests/sim/control.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/wire/fresh.h"
#include "tests/sim/sim.h"

enum {
    HANDED_MAX = 64
};

void
sim_control_init(struct sim_control *control, struct sim *sim, uint32_t number)
{
    memset(control, 0, sizeof(*control));
    control->sim = sim;
    control->number = number;
    control->enrolled = sim_alloc(sim->consumer_count * sizeof(*control->enrolled));
}

void
sim_control_close(struct sim_control *control)
{
    free(control->enrolled);
}

static bool
is_connected(const struct sim_control *control)
{
    return control->sim->connected == control && control->sim->engine.sender != NULL;
}

/* Notes what the engine said to a message; FENCED is what an owner that lost the token hears. */
static void
note(struct sim_control *control, const char *what, int rc)
{
    if (rc == CONFCAST_ERR_FENCED) {
        control->refused++;
    } else if (rc != CONFCAST_OK && rc != CONFCAST_ERR_EXISTS) {
        sim_check_fail(control->sim, 0, "the engine refused %s: %s", what, confcast_error_word(rc));
    }
}

/* Whether nine of ten of those who follow the scope said that they serve this. */
static bool
is_base_held(const struct sim_control *control, uint32_t scope, const struct sim_content *base)
{
    uint32_t known = 0, held = 0;

    for (uint32_t i = 0; i < control->sim->consumer_count; i++) {
        const struct sim_apply *apply = &control->enrolled[i].scopes[scope];

        known += apply->is_known;
        held += apply->is_known && apply->entry.serving_content == base->key;
    }
    return known > 0 && held * 10 >= known * 9;
}

/* What a new content of a scope goes to all as, in place of the whole; NULL: nothing. */
static const struct sim_coding *
delta_for(struct sim_control *control, uint32_t scope, const struct sim_content *content)
{
    const struct sim_content *base = control->bases[scope];

    if (!control->sim->has_deltas || base == NULL || base == content || content->is_inline ||
        !is_base_held(control, scope, base)) {
        return NULL;
    }
    return sim_catalog_delta(&control->sim->catalog, content, base);
}

static void
put_coding(struct sim_control *control, const struct sim_coding *coding, bool is_pull_only)
{
    uint32_t slot;

    note(control, "a content",
         cfc_sender_put_content(control->sim->engine.sender, coding->frame, coding->frame_size,
                                coding->tree, coding->tree_size, coding->coded, is_pull_only,
                                &slot));
}

/* Hands over a content that is not in the engine yet, with its deltas.  `delta` goes to all, else
 * the whole does; what was published before goes to nobody unless asked for. */
static void
put_content(struct sim_control *control, const struct sim_content *content,
            const struct sim_coding *delta, bool was_published)
{
    struct sim_handed *handed = NULL;

    for (uint32_t i = 0; i < control->handed_count; i++) {
        if (control->handed[i].content == content) {
            handed = &control->handed[i];
        }
    }
    if (handed == NULL) {
        assert(control->handed_count < HANDED_MAX);
        handed = &control->handed[control->handed_count++];
        handed->content = content;
        for (const struct sim_coding *d = content->deltas; d != NULL; d = d->next) {
            put_coding(control, d, d != delta || was_published);
        }
        control->deltas += delta != NULL && !was_published;
        put_coding(control, &content->whole, content->is_inline || delta != NULL || was_published);
    }
    handed->is_named = true;
}

size_t
sim_control_make_head(const struct sim_control *control, const struct sim_decision *decision,
                      uint8_t *frame, size_t capacity)
{
    struct sim *sim = control->sim;
    struct cfc_head head = sim_store_head(decision, control->epoch);
    size_t size;
    int rc;

    for (uint32_t i = 0; i < decision->arm_count && !head.inlined.is_present; i++) {
        const struct sim_content *content = decision->arms[i].content;

        if (content->is_inline) {
            head.inlined = (struct cfc_inline_content){.is_present = true,
                                                       .arm = (uint8_t)i,
                                                       .encoding = (uint8_t)content->whole.encoding,
                                                       .body_size = (uint32_t)content->body_size,
                                                       .coded = content->whole.coded,
                                                       .coded_size = content->whole.coded_size};
        }
    }
    rc = cfc_head_encode(&head, &sim->trust.signers[SIM_KEY_RELEASE], sim->catalog.sha, frame,
                         capacity, &size);
    assert(rc == CONFCAST_OK);
    (void)rc;
    return size;
}

static void
put_head(struct sim_control *control, const struct sim_decision *decision, bool was_published)
{
    struct sim *sim = control->sim;
    struct cfc_now now = sim_world_now(&sim->world);
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    size_t size;
    int rc;

    for (uint32_t i = 0; i < decision->arm_count; i++) {
        const struct sim_content *content = decision->arms[i].content;

        put_content(control, content,
                    was_published ? NULL : delta_for(control, decision->scope, content),
                    was_published);
        if (decision->arms[i].fallback != NULL) {
            put_content(control, decision->arms[i].fallback, NULL, was_published);
        }
    }
    size = sim_control_make_head(control, decision, frame, sizeof(frame));
    rc = cfc_sender_put_head(sim->engine.sender, frame, size, &now);
    note(control, "a head", rc);
    if (rc == CONFCAST_OK) {
        control->sent_versions[decision->scope] = decision->version;
        control->bases[decision->scope] = decision->arms[decision->arm_count - 1].content;
    }
}

static void
put_heads(struct sim_control *control, bool is_all)
{
    struct sim *sim = control->sim;

    for (uint32_t i = 0; i < control->handed_count; i++) {
        control->handed[i].is_named = false;
    }
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        struct sim_decision decision = sim_store_decide(&control->state, s, &sim->catalog);

        if (decision.version > 0) {
            bool is_new = decision.version != control->sent_versions[s];

            if (is_new || is_all) {
                put_head(control, &decision, is_all);
            } else {
                for (uint32_t a = 0; a < decision.arm_count; a++) {
                    put_content(control, decision.arms[a].content, NULL, is_all);
                    if (decision.arms[a].fallback != NULL) {
                        put_content(control, decision.arms[a].fallback, NULL, is_all);
                    }
                }
            }
        }
    }
}

/* Retention: the newest contents that nobody names stay in the engine, so that a rollback costs one
 * frame; the oldest goes when there are too many. */
static void
drop_contents(struct sim_control *control)
{
    enum {
        RETAINED_MAX = 6
    };
    uint32_t unnamed = 0;

    for (uint32_t i = control->handed_count; i > 0; i--) {
        struct sim_handed *handed = &control->handed[i - 1];

        if (!handed->is_named && ++unnamed > RETAINED_MAX) {
            note(control, "a drop",
                 cfc_sender_drop_content(control->sim->engine.sender, &handed->content->id));
            memmove(handed, handed + 1, (control->handed_count - i) * sizeof(control->handed[0]));
            control->handed_count--;
        }
    }
}

static size_t
list_entries(struct sim *sim, const struct sim_state *state, uint64_t epoch,
             struct cfc_fresh_entry entries[SIM_SCOPE_COUNT])
{
    size_t count = 0;

    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        struct sim_decision decision = sim_store_decide(state, s, &sim->catalog);
        struct cfc_head head = sim_store_head(&decision, epoch), decoded;
        uint8_t bytes[CFC_FRAME_SIZE_DEFAULT];
        struct cfc_frame frame;
        size_t size, at;
        int rc;

        if (decision.version == 0) {
            continue;
        }
        rc = cfc_head_encode(&head, &sim->trust.signers[SIM_KEY_RELEASE], sim->catalog.sha, bytes,
                             sizeof(bytes), &size);
        assert(rc == CONFCAST_OK);
        rc = cfc_frame_open(bytes, size, &frame);
        assert(rc == CONFCAST_OK);
        rc = cfc_head_decode(&frame, sim->catalog.sha, &decoded);
        assert(rc == CONFCAST_OK);
        for (at = count; at > 0 && entries[at - 1].scope_id > sim->store.scope_ids[s]; at--) {
            entries[at] = entries[at - 1];
        }
        entries[at].scope_id = sim->store.scope_ids[s];
        entries[at].version = decision.version;
        cfc_head_digest(&decoded, sim->catalog.sha, entries[at].head_digest);
        count++;
    }
    return count;
}

size_t
sim_control_make_fresh(struct sim *sim, const struct cfc_signer *signer,
                       const struct sim_state *state, uint64_t time_unix_ns, uint8_t *frame,
                       size_t capacity)
{
    struct cfc_fresh_entry entries[SIM_SCOPE_COUNT];
    uint32_t count = (uint32_t)list_entries(sim, state, state->epoch, entries);
    struct cfc_fresh fixed = {
        .shard = SIM_SHARD,
        .epoch = state->epoch,
        .sequence = state->sequence,
        .time_unix_ns = time_unix_ns,
        .not_after_unix_ns = time_unix_ns + 10 * SIM_FRESH_PERIOD_NS,
        .fleet_size = sim->consumer_count,
    };
    struct cfc_fresh_builder builder;
    uint8_t *nodes = sim_alloc(cfc_fresh_nodes_size(count) + 1);
    size_t size;
    int rc =
        cfc_fresh_builder_init(&builder, &fixed, entries, count, nodes, signer, sim->catalog.sha);

    assert(rc == CONFCAST_OK);
    rc = cfc_fresh_encode_page(&builder, 0, frame, capacity, &size);
    assert(rc == CONFCAST_OK);
    free(nodes);
    return size;
}

void
sim_control_beacon(struct sim_control *control)
{
    struct sim *sim = control->sim;
    struct cfc_now now = sim_world_now(&sim->world);
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    size_t size;

    if (!is_connected(control) || control->is_frozen || control->is_behind) {
        return;
    }
    control->beacon_unix_ns =
        now.unix_ns > control->beacon_unix_ns ? now.unix_ns : control->beacon_unix_ns + 1;
    size = sim_control_make_fresh(sim, &sim->trust.signers[SIM_KEY_RELEASE], &control->state,
                                  control->beacon_unix_ns, frame, sizeof(frame));
    note(control, "FRESH", cfc_sender_put_fresh(sim->engine.sender, frame, size, true, &now));
}

static void
on_period(void *ctx, uint64_t arg, struct sim_packet *packet)
{
    struct sim_control *control = ctx;

    (void)packet;
    if (!control->is_alive || arg != control->generation) {
        return;
    }
    sim_control_beacon(control);
    sim_world_at(&control->sim->world, control->sim->world.now_ns + SIM_FRESH_PERIOD_NS, on_period,
                 control, arg, NULL);
    sim_engine_pump(&control->sim->engine);
}

void
sim_control_connect(struct sim_control *control)
{
    struct sim *sim = control->sim;
    struct cfc_now now = sim_world_now(&sim->world);

    sim->connected = control;
    control->handed_count = 0;
    memset(control->sent_versions, 0, sizeof(control->sent_versions));
    if (sim->engine.sender == NULL) {
        return;
    }
    sim_world_trace(&sim->world, "connect", control->number, control->epoch, 0);
    if (cfc_sender_set_shard(sim->engine.sender, SIM_SHARD, control->epoch, sim->consumer_count) ==
        CONFCAST_ERR_FENCED) {
        control->refused++;
    }
    put_heads(control, true);
    sim_control_beacon(control);
    cfc_sender_ask_reports(sim->engine.sender, &now);
    sim_engine_pump(&sim->engine);
}

void
sim_control_start(struct sim_control *control)
{
    struct sim *sim = control->sim;

    assert(!control->is_alive);
    control->is_alive = true;
    control->is_frozen = false;
    control->is_behind = false;
    control->proved_epoch = 0;
    control->proved_version = 0;
    control->epoch = sim_store_take_over(&sim->store);
    control->state = sim->store.state;
    memset(control->enrolled, 0, sim->consumer_count * sizeof(*control->enrolled));
    sim_control_connect(control);
    control->generation++;
    sim_world_at(&sim->world, sim->world.now_ns + SIM_FRESH_PERIOD_NS, on_period, control,
                 control->generation, NULL);
}

void
sim_control_kill(struct sim_control *control)
{
    sim_world_trace(&control->sim->world, "owner-kill", control->number, control->epoch, 0);
    control->is_alive = false;
    if (control->sim->connected == control) {
        control->sim->connected = NULL;
    }
}

int
sim_control_commit(struct sim_control *control, const struct sim_state *next)
{
    struct sim *sim = control->sim;
    int rc;

    if (control->is_behind) {
        return CONFCAST_ERR_STATE;
    }
    rc = sim_store_commit(&sim->store, control->epoch, next);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    control->state = *next;
    if (is_connected(control)) {
        put_heads(control, false);
        drop_contents(control);
        sim_control_beacon(control);
        sim_engine_pump(&sim->engine);
    }
    return CONFCAST_OK;
}

void
sim_control_engine_started(struct sim *sim)
{
    if (sim->connected != NULL) {
        sim_control_connect(sim->connected);
    }
}

/* -- Upcalls ----------------------------------------------------------------------------------- */

/* A head that a consumer proves to have seen, beyond what the store has: this store was restored
 * from a backup, and publishing now would reuse numbers. */
static void
on_consumer(struct sim_control *control, const struct cfc_upcall *upcall)
{
    struct sim *sim = control->sim;
    struct cfc_now now = sim_world_now(&sim->world);
    struct cfc_frame frame;
    struct cfc_hello hello;
    struct cfc_head head;

    if (cfc_frame_open(upcall->frame, upcall->frame_size, &frame) != CONFCAST_OK ||
        cfc_hello_decode(&frame, sim->catalog.sha, &hello) != CONFCAST_OK ||
        hello.head_proof == NULL ||
        cfc_frame_open(hello.head_proof, hello.head_proof_size, &frame) != CONFCAST_OK ||
        cfc_head_decode(&frame, sim->catalog.sha, &head) != CONFCAST_OK ||
        cfc_head_verify(&head, &sim->trust.verifier, now.unix_ns) != CONFCAST_OK) {
        return;
    }
    if (head.version > control->proved_version) {
        control->proved_version = head.version;
    }
    if (head.epoch > control->proved_epoch) {
        control->proved_epoch = head.epoch;
    }
    if (head.version > control->state.sequence || head.epoch > control->epoch) {
        control->is_behind = true;
    }
}

static void
on_report(struct sim_control *control, const struct cfc_upcall *upcall)
{
    struct sim *sim = control->sim;
    uint32_t consumer = sim_consumer_by_id(sim, upcall->id, upcall->id_size);
    struct sim_enrolled *enrolled;
    struct cfc_frame frame;
    struct cfc_report report;

    if (consumer == sim->consumer_count ||
        cfc_frame_open(upcall->frame, upcall->frame_size, &frame) != CONFCAST_OK ||
        cfc_report_decode(&frame, &report) != CONFCAST_OK) {
        sim_check_fail(sim, 6, "the engine handed up what is no report of a consumer");
        return;
    }
    if (cfc_report_check_tag(&frame, upcall->id, upcall->id_size,
                             &sim->consumers[consumer].report_key) != CONFCAST_OK) {
        control->tags_refused++;
        return;
    }
    sim_check_report(sim, consumer, &frame, &report);
    enrolled = &control->enrolled[consumer];
    control->reports++;
    if (enrolled->is_seen && (report.incarnation < enrolled->incarnation ||
                              (report.incarnation == enrolled->incarnation &&
                               report.report_seq < enrolled->report_seq))) {
        control->reports_old++;
        return;
    }
    enrolled->is_seen = true;
    enrolled->incarnation = report.incarnation;
    enrolled->report_seq = report.report_seq;
    for (uint32_t i = 0; i < report.entry_count; i++) {
        struct cfc_report_entry entry;
        uint32_t scope;

        cfc_report_entry_at(&report, i, &entry);
        scope = sim_store_scope_of(&sim->store, entry.scope_id);
        if (scope < SIM_SCOPE_COUNT) {
            struct sim_apply *apply = &enrolled->scopes[scope];

            apply->is_known = true;
            apply->entry = entry;
            if (entry.state == CFC_APPLY_APPLIED &&
                entry.serving_version > apply->highest_applied) {
                apply->highest_applied = entry.serving_version;
            }
        }
    }
}

void
sim_control_on_upcall(struct sim *sim, const struct cfc_upcall *upcall)
{
    if (upcall->type == CFC_UPCALL_REPORT) {
        sim_check_report_frame(sim, upcall);
    }
    if (sim->connected == NULL) {
        return;
    }
    if (upcall->type == CFC_UPCALL_CONSUMER) {
        on_consumer(sim->connected, upcall);
    } else {
        on_report(sim->connected, upcall);
    }
}

void
sim_control_on_pulled(struct sim *sim, const struct cfc_upcall *upcall)
{
    if (upcall->type == CFC_UPCALL_CONSUMER) {
        on_consumer(sim->connected, upcall);
    } else {
        on_report(sim->connected, upcall);
    }
}

void
sim_control_lose_content(struct sim_control *control, const struct sim_content *content)
{
    for (uint32_t i = 0; i < control->handed_count; i++) {
        if (control->handed[i].content == content) {
            note(control, "a drop",
                 cfc_sender_drop_content(control->sim->engine.sender, &content->id));
            memmove(&control->handed[i], &control->handed[i + 1],
                    (control->handed_count - i - 1) * sizeof(control->handed[0]));
            control->handed_count--;
        }
    }
    sim_engine_pump(&control->sim->engine);
}

uint32_t
sim_control_applied(const struct sim_control *control, uint32_t scope, uint64_t version)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < control->sim->consumer_count; i++) {
        const struct sim_apply *apply = &control->enrolled[i].scopes[scope];

        if (apply->is_known && apply->entry.state == CFC_APPLY_APPLIED &&
            apply->entry.accepted == version && apply->entry.serving_version == version) {
            count++;
        }
    }
    return count;
}
