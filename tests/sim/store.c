#include "tests/sim/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"

static const char *const paths[SIM_SCOPE_COUNT] = {
    "acme/checkout/prod",
    "acme/search/prod",
    "acme/pay/prod",
};

static const char label_key[] = "zone";

const char *
sim_scope_path(uint32_t scope)
{
    return paths[scope];
}

void
sim_store_init(struct sim_store *store, struct sim_world *world, struct sim_catalog *catalog)
{
    memset(store, 0, sizeof(*store));
    store->world = world;
    store->catalog = catalog;
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        store->scope_ids[s] = cfc_scope_id(catalog->sha, paths[s], strlen(paths[s]));
    }
}

void
sim_store_close(struct sim_store *store)
{
    for (uint32_t i = 0; i < store->reference_count; i++) {
        free(store->references[i]);
    }
}

/* What a layer adds for a consumer in the given arm, now or before its last change. */
static uint32_t
layer_document(const struct sim_layer *layer, bool is_candidate, bool is_before)
{
    if (is_before) {
        return layer->previous;
    }
    switch (layer->state) {
    case SIM_LAYER_ACTIVE:
        return layer->active;
    case SIM_LAYER_ROLLING:
        return is_candidate ? layer->candidate : layer->active;
    default:
        return SIM_NO_DOCUMENT;
    }
}

struct sim_decision
sim_store_decide(const struct sim_state *state, uint32_t scope, struct sim_catalog *catalog)
{
    const struct sim_layer *tenant = &state->layers[SIM_LAYER_TENANT];
    const struct sim_layer *own = &state->layers[1 + scope];
    const struct sim_layer *last = tenant->version > own->version ? tenant : own;
    const struct sim_layer *rolling = tenant->state == SIM_LAYER_ROLLING ? tenant
                                      : own->state == SIM_LAYER_ROLLING  ? own
                                                                         : NULL;
    struct sim_decision d = {.scope = scope,
                             .version = last->version,
                             .kind = last->kind,
                             .when = last->when,
                             .issued_unix_ns = last->changed_unix_ns};
    bool has_fallback =
        last->when.activation != CFC_ACTIVATE_NOW || last->when.confirm_by_unix_ns != 0;

    if (d.version == 0) {
        return d;
    }
    for (int i = rolling != NULL ? 0 : 1; i < 2; i++) {
        struct sim_decision_arm *arm = &d.arms[d.arm_count++];

        arm->content = sim_catalog_content(catalog, layer_document(tenant, i == 0, false),
                                           layer_document(own, i == 0, false));
        if (has_fallback) {
            arm->fallback =
                sim_catalog_content(catalog, layer_document(tenant, false, last == tenant),
                                    layer_document(own, false, last == own));
        }
    }
    if (rolling != NULL) {
        d.salt = rolling->salt;
        d.arms[0].label_value = rolling->label_value;
        d.arms[0].selector = rolling->label_value != NULL ? CFC_SELECT_LABEL : CFC_SELECT_COHORT;
        d.arms[0].threshold = rolling->label_value != NULL ? 0 : rolling->threshold;
    }
    d.arms[d.arm_count - 1].selector = CFC_SELECT_ALL;
    return d;
}

struct cfc_head
sim_store_head(const struct sim_decision *decision, uint64_t epoch)
{
    struct cfc_head head = {
        .kind = decision->kind,
        .activation = decision->when.activation,
        .arm_count = (uint8_t)decision->arm_count,
        .shard = SIM_SHARD,
        .epoch = epoch,
        .version = decision->version,
        .issued_unix_ns = decision->issued_unix_ns,
        .not_after_unix_ns = decision->when.not_after_unix_ns,
        .activate_unix_ns = decision->when.activate_unix_ns,
        .confirm_by_unix_ns = decision->when.confirm_by_unix_ns,
        .rollout_salt = decision->salt,
        .scope = paths[decision->scope],
        .scope_size = (uint16_t)strlen(paths[decision->scope]),
    };

    for (uint32_t i = 0; i < decision->arm_count; i++) {
        const struct sim_decision_arm *from = &decision->arms[i];
        struct cfc_arm *arm = &head.arms[i];

        arm->selector = from->selector;
        arm->threshold = from->threshold;
        arm->content = from->content->id;
        if (from->fallback != NULL) {
            arm->fallback = from->fallback->id;
        }
        if (from->label_value != NULL) {
            arm->label_key = label_key;
            arm->label_key_size = sizeof(label_key) - 1;
            arm->label_value = from->label_value;
            arm->label_value_size = (uint8_t)strlen(from->label_value);
        }
    }
    return head;
}

uint64_t
sim_store_take_over(struct sim_store *store)
{
    store->state.epoch++;
    sim_world_trace(store->world, "epoch", 0, store->state.epoch, 0);
    return store->state.epoch;
}

static void
add_reference(struct sim_store *store, uint32_t scope)
{
    struct sim_reference *ref = sim_alloc(sizeof(*ref));
    struct cfc_head head;
    struct cfc_frame frame;
    int rc;

    assert(store->reference_count < SIM_REFERENCES_MAX);
    ref->scope = scope;
    ref->decision = sim_store_decide(&store->state, scope, store->catalog);
    ref->version = ref->decision.version;
    ref->epoch = store->state.epoch;
    ref->committed_ns = store->world->now_ns;
    head = sim_store_head(&ref->decision, ref->epoch);
    rc = cfc_head_encode(&head, store->catalog->signer, store->catalog->sha, ref->frame,
                         sizeof(ref->frame), &ref->frame_size);
    assert(rc == CONFCAST_OK);
    rc = cfc_frame_open(ref->frame, ref->frame_size, &frame);
    assert(rc == CONFCAST_OK);
    rc = cfc_head_decode(&frame, store->catalog->sha, &ref->head);
    assert(rc == CONFCAST_OK);
    store->references[store->reference_count++] = ref;
    sim_world_trace(store->world, "commit", scope, ref->version, ref->epoch);
}

static void
replace_state(struct sim_store *store, const struct sim_state *next)
{
    struct sim_state before = store->state;

    store->state = *next;
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        struct sim_decision old = sim_store_decide(&before, s, store->catalog);
        struct sim_decision new = sim_store_decide(&store->state, s, store->catalog);

        if (new.version != 0 && new.version != old.version &&
            sim_store_find(store, s, new.version) == NULL) {
            add_reference(store, s);
        }
    }
}

int
sim_store_commit(struct sim_store *store, uint64_t epoch, const struct sim_state *next)
{
    if (epoch != store->state.epoch) {
        store->refused_commits++;
        return CONFCAST_ERR_FENCED;
    }
    assert(next->epoch == epoch && next->sequence >= store->state.sequence);
    replace_state(store, next);
    return CONFCAST_OK;
}

const struct sim_reference *
sim_store_find(const struct sim_store *store, uint32_t scope, uint64_t version)
{
    for (uint32_t i = store->reference_count; i > 0; i--) {
        const struct sim_reference *ref = store->references[i - 1];

        if (ref->scope == scope && ref->version == version) {
            return ref;
        }
    }
    return NULL;
}

uint32_t
sim_store_scope_of(const struct sim_store *store, uint64_t scope_id)
{
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        if (store->scope_ids[s] == scope_id) {
            return s;
        }
    }
    return SIM_SCOPE_COUNT;
}

void
sim_store_take_backup(struct sim_store *store)
{
    store->backup = store->state;
}

void
sim_store_restore(struct sim_store *store, uint64_t lift, uint64_t epoch_seen)
{
    struct sim_state next = store->backup;

    if (lift > 0) {
        next.sequence = lift + 1;
        next.epoch = epoch_seen > next.epoch ? epoch_seen : next.epoch;
        for (uint32_t l = 0; l < SIM_LAYER_COUNT; l++) {
            if (next.layers[l].version > 0) {
                next.layers[l].version = next.sequence;
                next.layers[l].kind = CFC_HEAD_ROLLBACK;
            }
        }
    }
    replace_state(store, &next);
    sim_world_trace(store->world, "restore", 0, store->state.sequence, (int64_t)lift);
}

/* -- Changes ----------------------------------------------------------------------------------- */

static struct sim_layer *
change(struct sim_state *state, uint32_t layer, enum cfc_head_kind kind, uint64_t unix_ns)
{
    struct sim_layer *l = &state->layers[layer];

    l->version = ++state->sequence;
    l->kind = (uint8_t)kind;
    l->when = (struct sim_when){.activation = CFC_ACTIVATE_NOW};
    l->changed_unix_ns = unix_ns;
    return l;
}

static uint32_t
threshold(uint32_t percent)
{
    return (uint32_t)(((uint64_t)percent << 32) / 100);
}

void
sim_store_publish(struct sim_state *state, uint32_t layer, uint32_t document,
                  const struct sim_when *when, uint64_t unix_ns)
{
    struct sim_layer *l = change(state, layer, CFC_HEAD_NORMAL, unix_ns);

    l->previous = l->active;
    l->active = document;
    l->candidate = SIM_NO_DOCUMENT;
    l->state = SIM_LAYER_ACTIVE;
    if (when != NULL) {
        l->when = *when;
    }
}

void
sim_store_roll(struct sim_state *state, uint32_t layer, uint32_t document, uint32_t percent,
               const char *label_value, uint64_t unix_ns)
{
    struct sim_layer *l = change(state, layer, CFC_HEAD_NORMAL, unix_ns);

    l->state = SIM_LAYER_ROLLING;
    l->candidate = document;
    l->threshold = threshold(percent);
    l->label_value = label_value;
    l->salt = ((uint64_t)layer << 32) + document;
}

void
sim_store_advance(struct sim_state *state, uint32_t layer, uint32_t percent, uint64_t unix_ns)
{
    struct sim_layer *l = change(state, layer, CFC_HEAD_NORMAL, unix_ns);

    assert(percent <= 100);
    if (percent < 100) {
        l->threshold = threshold(percent);
        return;
    }
    l->previous = l->active;
    l->active = l->candidate;
    l->candidate = SIM_NO_DOCUMENT;
    l->state = SIM_LAYER_ACTIVE;
}

void
sim_store_abort(struct sim_state *state, uint32_t layer, uint64_t unix_ns)
{
    struct sim_layer *l = change(state, layer, CFC_HEAD_ROLLBACK, unix_ns);

    l->candidate = SIM_NO_DOCUMENT;
    l->state = SIM_LAYER_ACTIVE;
}

void
sim_store_rollback(struct sim_state *state, uint32_t layer, uint64_t unix_ns)
{
    struct sim_layer *l = change(state, layer, CFC_HEAD_ROLLBACK, unix_ns);
    uint32_t active = l->active;

    l->active = l->previous;
    l->previous = active;
    l->candidate = SIM_NO_DOCUMENT;
    l->state = SIM_LAYER_ACTIVE;
}

void
sim_store_disable(struct sim_state *state, uint32_t layer, uint64_t unix_ns)
{
    struct sim_layer *l = change(state, layer, CFC_HEAD_DISABLED, unix_ns);

    l->state = SIM_LAYER_DISABLED;
}

void
sim_store_enable(struct sim_state *state, uint32_t layer, uint64_t unix_ns)
{
    struct sim_layer *l = change(state, layer, CFC_HEAD_NORMAL, unix_ns);

    l->state = SIM_LAYER_ACTIVE;
}

void
sim_store_settle(struct sim_state *state, uint32_t layer, uint64_t unix_ns)
{
    (void)change(state, layer, CFC_HEAD_NORMAL, unix_ns);
}
