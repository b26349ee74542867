#include "tests/sim/checkers.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "confcast/error.h"
#include "tests/sim/sim.h"

enum {
    HEAD_EPOCH_OFFSET = 32, /* docs/wire-format.md */
    FRESH_EPOCH_OFFSET = 24
};

void
sim_check_init(struct sim *sim)
{
    struct sim_check *check = &sim->check;

    memset(check, 0, sizeof(*check));
    check->broken_invariant = -1;
    check->truths = sim_alloc(sim->consumer_count * sizeof(*check->truths));
    check->epoch_seen = sim_alloc(sim->consumer_count * sizeof(uint64_t));
    check->unix_max = sim_alloc(sim->consumer_count * sizeof(uint64_t));
}

void
sim_check_close(struct sim *sim)
{
    struct sim_check *check = &sim->check;

    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
            free(check->truths[i][s].accepted);
            free(check->truths[i][s].history);
        }
    }
    free(check->truths);
    free(check->epoch_seen);
    free(check->unix_max);
    free(check->report_digests);
}

void
sim_check_fail(struct sim *sim, int invariant, const char *format, ...)
{
    struct sim_check *check = &sim->check;
    va_list args;

    if (check->broken_invariant >= 0) {
        return;
    }
    check->broken_invariant = invariant;
    sim->world.has_failed = true;
    va_start(args, format);
    vsnprintf(check->text, sizeof(check->text), format, args);
    va_end(args);
    fprintf(stderr,
            "sim: invariant %d is broken after %.6f s: %s\n"
            "sim: again with: sim --story %s --seed %" PRIu64 " --receivers %u%s\n",
            invariant, (double)(sim->world.now_ns - SIM_START_MONO_NS) / 1e9, check->text,
            sim->options.story, sim->options.seed, sim->consumer_count, sim->options.extra);
}

/* -- The engine -------------------------------------------------------------------------------- */

void
sim_check_engine_boot(struct sim *sim)
{
    struct sim_check *check = &sim->check;

    memset(check->sent_versions, 0, sizeof(check->sent_versions));
    memset(check->sent_epochs, 0, sizeof(check->sent_epochs));
    check->fresh_epoch = 0;
    check->report_digest_count = 0;
    if (check->report_digest_capacity > 0) {
        memset(check->report_digests, 0, check->report_digest_capacity * sizeof(uint64_t));
    }
}

/* The committed decision behind a head, or NULL, in which case it is told. */
static const struct sim_reference *
find_reference(struct sim *sim, const struct cfc_head *head, uint32_t scope, const char *who)
{
    const struct sim_reference *ref =
        scope < SIM_SCOPE_COUNT ? sim_store_find(&sim->store, scope, head->version) : NULL;

    if (ref == NULL) {
        sim_check_fail(sim, 7, "%s: version %" PRIu64 " of scope %u was never committed", who,
                       head->version, scope);
        return NULL;
    }
    if (!cfc_head_same_decision(head, &ref->head)) {
        sim_check_fail(sim, 3, "%s: version %" PRIu64 " of scope %u decides something else", who,
                       head->version, scope);
        return NULL;
    }
    if (head->epoch > sim->store.state.epoch && head->epoch > sim->check.epoch_max) {
        sim_check_fail(sim, 7, "%s: nobody was given the epoch %" PRIu64, who, head->epoch);
        return NULL;
    }
    return ref;
}

static void
check_sent_head(struct sim *sim, const struct cfc_frame *frame)
{
    struct sim_check *check = &sim->check;
    uint32_t scope = sim_store_scope_of(&sim->store, frame->key);
    const struct sim_reference *ref;
    struct cfc_head head;

    if (cfc_head_decode(frame, sim->catalog.sha, &head) != CONFCAST_OK) {
        sim_check_fail(sim, 0, "the engine sends a head that does not decode");
        return;
    }
    ref = find_reference(sim, &head, scope, "the engine sends a head");
    if (ref == NULL) {
        return;
    }
    if (head.epoch == ref->epoch &&
        (head.signed_size != ref->head.signed_size ||
         memcmp(head.signed_bytes, ref->head.signed_bytes, head.signed_size) != 0)) {
        sim_check_fail(sim, 3, "two owners sign different bytes for version %" PRIu64,
                       head.version);
    }
    if (head.epoch < check->sent_epochs[scope] ||
        (head.epoch == check->sent_epochs[scope] && head.version < check->sent_versions[scope])) {
        sim_check_fail(sim, 7,
                       "the engine goes back to epoch %" PRIu64 " version %" PRIu64 " of scope %u",
                       head.epoch, head.version, scope);
    }
    check->sent_epochs[scope] = head.epoch;
    check->sent_versions[scope] = head.version;
}

void
sim_check_engine_sends(struct sim *sim, const struct sim_packet *packet)
{
    struct cfc_frame frame;

    sim->check.checks++;
    if (sim->store.state.epoch > sim->check.epoch_max) {
        sim->check.epoch_max = sim->store.state.epoch;
    }
    if (cfc_frame_open(packet->bytes, packet->size, &frame) != CONFCAST_OK) {
        sim_check_fail(sim, 0, "the engine sends a frame that does not open");
        return;
    }
    if (frame.type == CFC_FRAME_HEAD) {
        check_sent_head(sim, &frame);
    } else if (frame.type == CFC_FRAME_FRESH) {
        uint64_t epoch = cfc_get_u64(packet->bytes + FRESH_EPOCH_OFFSET);

        if (epoch < sim->check.fresh_epoch) {
            sim_check_fail(sim, 7, "the engine goes back to FRESH of epoch %" PRIu64, epoch);
        }
        sim->check.fresh_epoch = epoch;
    }
}

void
sim_check_engine_stats(struct sim *sim, const struct cfc_sender_stats *stats)
{
    for (int i = 0; i < SIM_ERROR_COUNT; i++) {
        sim->check.engine_errors[i] += stats->errors[i];
    }
    sim->check.repairs_unicast += stats->repairs_unicast;
    sim->check.repairs_multicast += stats->repairs_multicast;
}

/* -- The control plane ------------------------------------------------------------------------- */

static bool
add_report_digest(struct sim_check *check, uint64_t digest)
{
    uint32_t mask, i;

    if (2 * check->report_digest_count >= check->report_digest_capacity) {
        uint32_t old_capacity = check->report_digest_capacity;
        uint64_t *old = check->report_digests;

        check->report_digest_capacity = old_capacity > 0 ? 2 * old_capacity : 4096;
        check->report_digests = sim_alloc(check->report_digest_capacity * sizeof(uint64_t));
        check->report_digest_count = 0;
        for (uint32_t n = 0; n < old_capacity; n++) {
            if (old[n] != 0) {
                (void)add_report_digest(check, old[n]);
            }
        }
        free(old);
    }
    mask = check->report_digest_capacity - 1;
    for (i = (uint32_t)digest & mask; check->report_digests[i] != 0; i = (i + 1) & mask) {
        if (check->report_digests[i] == digest) {
            return false;
        }
    }
    check->report_digests[i] = digest;
    check->report_digest_count++;
    return true;
}

void
sim_check_report_frame(struct sim *sim, const struct cfc_upcall *upcall)
{
    uint64_t digest = XXH3_64bits(upcall->frame, upcall->frame_size) | 1;

    sim->check.checks++;
    if (!add_report_digest(&sim->check, digest)) {
        sim_check_fail(sim, 6, "one REPORT of %.*s was handed up twice", (int)upcall->id_size,
                       upcall->id);
    }
}

static bool
was_served(const struct sim_truth *truth, uint64_t version, uint64_t content_key, int state)
{
    for (uint32_t i = truth->history_count; i > 0; i--) {
        const struct sim_served *served = &truth->history[i - 1];

        if (served->version == version && served->content_key == content_key &&
            (state < 0 || served->state == state)) {
            return true;
        }
    }
    return false;
}

void
sim_check_report(struct sim *sim, uint32_t consumer, const struct cfc_frame *frame,
                 const struct cfc_report *report)
{
    (void)frame;
    for (uint32_t i = 0; i < report->entry_count; i++) {
        struct cfc_report_entry entry;
        const struct sim_truth *truth;
        uint32_t scope;

        sim->check.checks++;
        cfc_report_entry_at(report, i, &entry);
        scope = sim_store_scope_of(&sim->store, entry.scope_id);
        if (scope == SIM_SCOPE_COUNT) {
            sim_check_fail(sim, 6, "host-%05u reports a scope that nobody has", consumer);
            return;
        }
        truth = &sim->check.truths[consumer][scope];
        if (entry.accepted > 0 && sim_store_find(&sim->store, scope, entry.accepted) == NULL) {
            sim_check_fail(sim, 6, "host-%05u reports version %" PRIu64 ", never published",
                           consumer, entry.accepted);
        }
        if (entry.serving_content != 0 &&
            !was_served(truth, entry.serving_version, entry.serving_content, -1)) {
            sim_check_fail(sim, 6, "host-%05u reports to serve version %" PRIu64 ", never did",
                           consumer, entry.serving_version);
        }
        if (entry.state == CFC_APPLY_APPLIED &&
            (entry.accepted != entry.serving_version ||
             !was_served(truth, entry.serving_version, entry.serving_content, CFC_APPLY_APPLIED))) {
            sim_check_fail(sim, 6, "host-%05u reports version %" PRIu64 " as applied, it is not",
                           consumer, entry.serving_version);
        }
    }
}

void
sim_check_determinism(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->catalog.content_count; i++) {
        sim->check.checks++;
        if (!sim_catalog_recompute(&sim->catalog, sim->catalog.contents[i])) {
            sim_check_fail(sim, 3, "content %u has another name for another owner", i);
        }
    }
}

/* -- Consumers --------------------------------------------------------------------------------- */

static struct sim_truth *
truth_of(struct sim *sim, const struct sim_consumer *c, uint32_t scope)
{
    return &sim->check.truths[c->idx][scope];
}

static void
add_history(struct sim_truth *truth, uint64_t version, uint64_t content_key, uint8_t state)
{
    truth->history =
        sim_realloc(truth->history, (truth->history_count + 1) * sizeof(truth->history[0]));
    truth->history[truth->history_count++] =
        (struct sim_served){.version = version, .content_key = content_key, .state = state};
}

void
sim_check_started(struct sim *sim, struct sim_consumer *c)
{
    sim->check.epoch_seen[c->idx] = 0;
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        struct sim_truth *truth = truth_of(sim, c, s);

        /* What was accepted and not written had no effect, and is forgotten with the process. */
        truth->accepted_epoch = truth->persisted_epoch;
        truth->accepted_version = truth->persisted_version;
        if (truth->persisted_epoch > sim->check.epoch_seen[c->idx]) {
            sim->check.epoch_seen[c->idx] = truth->persisted_epoch;
        }
    }
}

void
sim_check_restored(struct sim *sim, struct sim_consumer *c)
{
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        struct sim_truth *truth = truth_of(sim, c, s);

        sim->check.checks++;
        if (truth->served != c->serving[s]) {
            sim_check_fail(sim, 8, "host-%05u comes back without what it served of scope %u",
                           c->idx, s);
        }
    }
}

void
sim_check_frame(struct sim *sim, struct sim_consumer *c, const struct sim_packet *packet, int rc)
{
    uint64_t *seen = &sim->check.epoch_seen[c->idx];
    struct cfc_frame frame;
    uint64_t epoch;

    if (rc != CONFCAST_OK || cfc_frame_open(packet->bytes, packet->size, &frame) != CONFCAST_OK ||
        (frame.type != CFC_FRAME_HEAD && frame.type != CFC_FRAME_FRESH)) {
        return;
    }
    sim->check.checks++;
    epoch = cfc_get_u64(packet->bytes +
                        (frame.type == CFC_FRAME_HEAD ? HEAD_EPOCH_OFFSET : FRESH_EPOCH_OFFSET));
    if (epoch < *seen) {
        sim_check_fail(sim, 7,
                       "host-%05u takes a %s of epoch %" PRIu64 " after it has seen %" PRIu64,
                       c->idx, cfc_frame_type_name(frame.type), epoch, *seen);
    }
    *seen = epoch;
}

uint32_t
sim_check_own_arm(struct sim *sim, const struct sim_consumer *c, const struct sim_decision *d)
{
    uint32_t arm = 0;

    while (arm + 1 < d->arm_count) {
        const struct sim_decision_arm *a = &d->arms[arm];
        bool is_mine = a->label_value != NULL ? strcmp(a->label_value, c->labels[0].value) == 0
                                              : cfc_cohort(sim->catalog.sha, d->salt, c->id,
                                                           c->id_size) < a->threshold;

        if (is_mine) {
            break;
        }
        arm++;
    }
    return arm;
}

void
sim_check_accepted(struct sim *sim, struct sim_consumer *c, uint32_t scope,
                   const struct cfc_receiver_event *event)
{
    struct sim_truth *truth;
    const struct sim_reference *ref;
    struct cfc_frame frame;
    struct cfc_head head;

    sim->check.checks++;
    if (scope >= SIM_SCOPE_COUNT ||
        cfc_frame_open(event->bytes, event->size, &frame) != CONFCAST_OK ||
        cfc_head_decode(&frame, sim->catalog.sha, &head) != CONFCAST_OK ||
        frame.key != sim->store.scope_ids[scope] || head.version != event->version) {
        sim_check_fail(sim, 0, "host-%05u: ACCEPTED comes without its head", c->idx);
        return;
    }
    if (cfc_head_verify(&head, &sim->trust.verifier, head.issued_unix_ns) != CONFCAST_OK) {
        sim_check_fail(sim, 4, "host-%05u accepts a head that nobody signed", c->idx);
        return;
    }
    truth = truth_of(sim, c, scope);
    ref = find_reference(sim, &head, scope, "a consumer accepts a head");
    if (ref == NULL) {
        return;
    }
    if (event->version < truth->accepted_version) {
        sim_check_fail(sim, 5, "host-%05u goes back from version %" PRIu64 " to %" PRIu64, c->idx,
                       truth->accepted_version, event->version);
    }
    if (event->epoch < truth->accepted_epoch || head.epoch < truth->accepted_epoch) {
        sim_check_fail(sim, 7, "host-%05u goes back from epoch %" PRIu64 " to %" PRIu64, c->idx,
                       truth->accepted_epoch, head.epoch);
    }
    if (event->arm != sim_check_own_arm(sim, c, &ref->decision)) {
        sim_check_fail(sim, 4, "host-%05u takes arm %u of version %" PRIu64 ", not its own", c->idx,
                       event->arm, event->version);
    }
    if (truth->accepted_count == 0 ||
        truth->accepted[truth->accepted_count - 1] != event->version) {
        truth->accepted =
            sim_realloc(truth->accepted, (truth->accepted_count + 1) * sizeof(uint64_t));
        truth->accepted[truth->accepted_count++] = event->version;
    }
    truth->accepted_epoch = event->epoch;
    truth->accepted_version = event->version;
    truth->arm = event->arm;
}

void
sim_check_persisted(struct sim *sim, struct sim_consumer *c, uint32_t scope)
{
    struct sim_truth *truth = truth_of(sim, c, scope);
    const struct sim_disk_scope *disk = &c->disk.scopes[scope];

    if (disk->floor_version < truth->persisted_version) {
        sim_check_fail(sim, 5, "host-%05u: its floor falls from %" PRIu64 " to %" PRIu64, c->idx,
                       truth->persisted_version, disk->floor_version);
    }
    truth->persisted_epoch = disk->floor_epoch;
    truth->persisted_version = disk->floor_version;
}

void
sim_check_content(struct sim *sim, const struct sim_content *content, const uint8_t *body,
                  size_t size)
{
    sim->check.checks++;
    if (content == NULL || content->body_size != size || memcmp(content->body, body, size) != 0) {
        sim_check_fail(sim, 4, "a content came out as something that nobody wrote");
    }
}

static bool
was_accepted(const struct sim_truth *truth, uint64_t version)
{
    for (uint32_t i = truth->accepted_count; i > 0; i--) {
        if (truth->accepted[i - 1] == version) {
            return true;
        }
    }
    return false;
}

/* Whether `d` allows this consumer to serve `content` in `state` now; if not, why. */
static const char *
why_not(struct sim *sim, const struct sim_consumer *c, const struct sim_decision *d, uint8_t state,
        const struct sim_content *content, const struct sim_truth *truth)
{
    const struct sim_decision_arm *arm = &d->arms[sim_check_own_arm(sim, c, d)];
    uint64_t unix_ns = sim->check.unix_max[c->idx];
    bool is_same_version = truth->served_version == d->version;

    if (state == CFC_APPLY_APPLIED) {
        if (content != arm->content) {
            return "its arm names another content";
        }
        if (d->when.activation == CFC_ACTIVATE_HOLD ||
            (d->when.activation == CFC_ACTIVATE_AT && unix_ns < d->when.activate_unix_ns)) {
            return "it is not active yet";
        }
        return is_same_version && truth->served_state == CFC_APPLY_REVERTED
                   ? "it was reverted before"
                   : NULL;
    }
    if (content != arm->fallback) {
        return "it is not its arm's fallback";
    }
    if (state == CFC_APPLY_REVERTED) {
        return d->when.confirm_by_unix_ns == 0 || unix_ns < d->when.confirm_by_unix_ns
                   ? "confirm-by has not passed"
                   : NULL;
    }
    if (state == CFC_APPLY_PREPARED) {
        return d->when.activation == CFC_ACTIVATE_NOW ||
                       (is_same_version && truth->served_state != CFC_APPLY_PREPARED)
                   ? "it is active already"
                   : NULL;
    }
    return "nothing is served in this state";
}

void
sim_check_serve(struct sim *sim, struct sim_consumer *c, uint32_t scope,
                const struct cfc_receiver_event *event, const struct sim_content *content)
{
    struct cfc_now now = sim_consumer_now(c);
    struct sim_truth *truth = truth_of(sim, c, scope);
    const struct sim_reference *ref = sim_store_find(&sim->store, scope, event->version);
    const char *problem;

    sim->check.checks++;
    if (now.unix_ns > sim->check.unix_max[c->idx]) {
        sim->check.unix_max[c->idx] = now.unix_ns;
    }
    if (event->version > truth->persisted_version) {
        sim_check_fail(sim, 5, "host-%05u serves version %" PRIu64 " before its floor is written",
                       c->idx, event->version);
        return;
    }
    if (ref == NULL || !was_accepted(truth, event->version)) {
        sim_check_fail(sim, 4, "host-%05u serves version %" PRIu64 ", which it never accepted",
                       c->idx, event->version);
        return;
    }
    if (event->version < truth->served_version) {
        sim_check_fail(sim, 5, "host-%05u goes back to serve version %" PRIu64 " after %" PRIu64,
                       c->idx, event->version, truth->served_version);
    }
    problem = why_not(sim, c, &ref->decision, event->state, content, truth);
    if (problem != NULL) {
        sim_check_fail(sim, 4, "host-%05u serves version %" PRIu64 " as %s: %s", c->idx,
                       event->version, cfc_apply_state_name(event->state), problem);
    }
}

void
sim_check_swapped(struct sim *sim, struct sim_consumer *c, uint32_t scope,
                  const struct cfc_receiver_event *event, const struct sim_content *content)
{
    struct sim_truth *truth = truth_of(sim, c, scope);

    truth->served = content;
    truth->served_version = event->version;
    truth->served_state = event->state;
    add_history(truth, event->version, content->key, event->state);
}

void
sim_check_release(struct sim *sim, struct sim_consumer *c, const struct sim_content *content)
{
    sim->check.checks++;
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        if (content != NULL && c->serving[s] == content) {
            sim_check_fail(sim, 8, "host-%05u is told to drop what it serves of scope %u", c->idx,
                           s);
        }
    }
}

void
sim_check_durable(struct sim *sim, struct sim_consumer *c, uint32_t scope, uint64_t version)
{
    struct sim_truth *truth = truth_of(sim, c, scope);

    if (version > truth->durable_version) {
        truth->durable_version = version;
    }
}

void
sim_check_consumer(struct sim *sim, struct sim_consumer *c)
{
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        const struct sim_truth *truth = truth_of(sim, c, s);
        struct cfc_receiver_scope scope;
        const struct cfc_report_entry *e = &scope.entry;

        if ((c->scope_mask >> s & 1) == 0) {
            continue;
        }
        sim->check.checks++;
        if (cfc_receiver_scope(c->receiver, c->scope_idx[s], &scope) != CONFCAST_OK) {
            sim_check_fail(sim, 0, "host-%05u: scope() fails", c->idx);
            return;
        }
        if (e->accepted != truth->accepted_version) {
            sim_check_fail(sim, 5, "host-%05u says that it accepted %" PRIu64 ", told was %" PRIu64,
                           c->idx, e->accepted, truth->accepted_version);
        }
        if (e->serving_content != (c->serving[s] != NULL ? c->serving[s]->key : 0) ||
            (c->serving[s] != NULL && e->serving_version != truth->served_version)) {
            sim_check_fail(sim, 8, "host-%05u does not know what it serves of scope %u", c->idx, s);
        }
        if (e->state == CFC_APPLY_APPLIED &&
            (truth->served_version != e->accepted || truth->served_state != CFC_APPLY_APPLIED)) {
            sim_check_fail(sim, 6, "host-%05u claims version %" PRIu64 " of scope %u", c->idx,
                           e->accepted, s);
        }
        if (e->durable > truth->durable_version) {
            sim_check_fail(sim, 6, "host-%05u claims that %" PRIu64 " is durable", c->idx,
                           e->durable);
        }
    }
}

void
sim_check_receiver_stats(struct sim *sim, const struct cfc_receiver_stats *stats)
{
    struct sim_check *check = &sim->check;

    for (int i = 0; i < SIM_ERROR_COUNT; i++) {
        check->errors[i] += stats->errors[i];
    }
    check->nacks += stats->nacks;
    check->symbols += stats->symbols;
    check->duplicates += stats->symbols_duplicate;
    check->contents += stats->contents;
}

void
sim_check_power_lost(struct sim *sim, struct sim_consumer *c)
{
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        struct sim_truth *truth = truth_of(sim, c, s);
        const struct sim_disk_scope *disk = &c->disk.scopes[s];

        sim->check.checks++;
        if (disk->floor_version < truth->durable_version) {
            sim_check_fail(sim, 5,
                           "host-%05u: version %" PRIu64 " was durable, the floor is %" PRIu64,
                           c->idx, truth->durable_version, disk->floor_version);
        }
        truth->persisted_epoch = disk->floor_epoch;
        truth->persisted_version = disk->floor_version;
        truth->served = disk->served;
        truth->served_version = disk->served_version;
        truth->served_state = disk->served_state;
    }
}
