#define HASH_NONFATAL_OOM        1
#define uthash_nonfatal_oom(obj) (is_out_of_memory = true)

#include "controlplane/model/effective.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_parse.h"
#include "controlplane/model/definition.h"

enum {
    DOCS_SIZE_MAX = 64 * 1024 * 1024 /* texts kept parsed during one pass */
};

struct doc_key {
    const struct cfc_scope *scope;
    uint64_t revision;
};

struct cfc_doc {
    struct doc_key key;
    json_t *root;
    UT_hash_handle hh;
};

/* The shared body with these bytes; *body gets a reference.  What nobody has yet is read back as a
 * consumer will first: nothing is signed that its reader sees otherwise. */
static int
share_body(struct cfc_bodies *bodies, struct cfc_sha256 *sha, const json_t *merged,
           const uint8_t *bytes, size_t size, struct cfc_config_body **body)
{
    struct cfc_config_body *made;
    struct cfc_digest id;
    int error;

    cfc_content_id(sha, bytes, size, &id);
    *body = cfc_bodies_find(bodies, &id);
    if (*body != NULL) {
        return CONFCAST_OK;
    }
    error = cfc_config_body_make(&id, merged, bytes, size, &made);
    if (error != CONFCAST_OK) {
        return error;
    }
    *body = cfc_bodies_add(bodies, made);
    return *body != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
}

void
cfc_effective_begin(struct cfc_effective_pass *pass, struct cfc_store *store,
                    struct cfc_sha256 *sha, struct cfc_bodies *bodies, uint64_t floor)
{
    *pass =
        (struct cfc_effective_pass){.store = store, .sha = sha, .bodies = bodies, .floor = floor};
}

static void
forget_docs(struct cfc_effective_pass *pass)
{
    struct cfc_doc *doc;
    struct cfc_doc *next;

    HASH_ITER(hh, pass->docs, doc, next)
    {
        HASH_DEL(pass->docs, doc);
        json_decref(doc->root);
        free(doc);
    }
    pass->docs_size = 0;
}

void
cfc_effective_end(struct cfc_effective_pass *pass)
{
    forget_docs(pass);
}

static int
load_doc(struct cfc_effective_pass *pass, const struct doc_key *key, struct cfc_doc **loaded)
{
    struct cfc_store_value text;
    struct cfc_doc *doc = NULL;
    bool is_out_of_memory = false;
    int error = cfc_definition_read_text(pass->store, key->scope->path, key->revision, &text);

    if (error != CONFCAST_OK) {
        /* A released revision that is not there is damage, not a question. */
        return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_ERR_CORRUPT : error;
    }
    if (pass->docs_size + text.size > DOCS_SIZE_MAX) {
        forget_docs(pass);
    }
    doc = calloc(1, sizeof(*doc));
    if (doc == NULL) {
        error = CONFCAST_ERR_NO_MEMORY;
        goto err_text;
    }
    doc->key = *key;
    error = cfc_json_parse_canonical((const char *)text.bytes, text.size, &doc->root);
    if (error != CONFCAST_OK) {
        error = error == CONFCAST_ERR_NO_MEMORY ? error : CONFCAST_ERR_CORRUPT;
        goto err_doc;
    }
    HASH_ADD(hh, pass->docs, key, sizeof(doc->key), doc);
    if (is_out_of_memory) {
        error = CONFCAST_ERR_NO_MEMORY;
        goto err_doc;
    }
    pass->docs_size += text.size;
    cfc_store_value_free(&text);
    *loaded = doc;
    return CONFCAST_OK;

err_doc:
    json_decref(doc->root);
    free(doc);
err_text:
    cfc_store_value_free(&text);
    return error;
}

/* The document stays the pass's; it lives until the next call. */
static int
get_doc(struct cfc_effective_pass *pass, const struct cfc_scope *scope, uint64_t revision,
        const json_t **root)
{
    struct doc_key key;
    struct cfc_doc *doc = NULL;
    int error = CONFCAST_OK;

    for (const struct cfc_pending_doc *p = pass->pending; p != NULL; p = p->next) {
        if (p->scope == scope && p->revision == revision) {
            *root = p->root;
            return CONFCAST_OK;
        }
    }
    memset(&key, 0, sizeof(key));
    key.scope = scope;
    key.revision = revision;
    HASH_FIND(hh, pass->docs, &key, sizeof(key), doc);
    if (doc == NULL) {
        error = load_doc(pass, &key, &doc);
    }
    if (error == CONFCAST_OK) {
        *root = doc->root;
    }
    return error;
}

const struct cfc_release *
cfc_what_if_release(const struct cfc_scope *scope, const struct cfc_what_if *what_if)
{
    for (; what_if != NULL; what_if = what_if->next) {
        if (what_if->scope == scope) {
            return what_if->release;
        }
    }
    return &scope->release;
}

static uint64_t
release_seq_of(const struct cfc_scope *layer, const struct cfc_what_if *what_if)
{
    return cfc_what_if_release(layer, what_if) != &layer->release ? UINT64_MAX : layer->release_seq;
}

/* What a layer gives to those who do not take part in its rollout; 0 = nothing. */
static uint64_t
stable_revision(const struct cfc_release *release)
{
    switch (release->state) {
    case CFC_RELEASE_ACTIVE:
    case CFC_RELEASE_ROLLING:
    case CFC_RELEASE_PAUSED:
        return release->active_revision;
    case CFC_RELEASE_EMPTY:
    case CFC_RELEASE_DISABLED:
    case CFC_RELEASE_DELETED:
    case CFC_RELEASE_STATE_COUNT:
        break;
    }
    return 0;
}

uint64_t
cfc_effective_revision(const struct cfc_release *release, bool is_candidate)
{
    return is_candidate ? release->candidate_revision : stable_revision(release);
}

int
cfc_effective_layer(struct cfc_effective_pass *pass, const struct cfc_scope *layer,
                    const struct cfc_what_if *what_if, const struct cfc_scope *rolling,
                    uint64_t *revision, const json_t **doc)
{
    const struct cfc_release *release = cfc_what_if_release(layer, what_if);

    *doc = NULL;
    *revision = cfc_effective_revision(release, layer == rolling);
    return *revision != 0 ? get_doc(pass, layer, *revision, doc) : CONFCAST_OK;
}

static int
merge_layers(struct cfc_effective_pass *pass, const struct cfc_layer_set *set,
             const struct cfc_what_if *what_if, const struct cfc_scope *rolling,
             struct cfc_config_body **body)
{
    struct cfc_merging merging = {.first = NULL};
    uint8_t *bytes = NULL;
    const json_t *root;
    size_t size;
    int error = CONFCAST_OK;

    for (uint32_t i = 0; error == CONFCAST_OK && i < set->count; i++) {
        uint64_t revision;
        const json_t *doc;

        error = cfc_effective_layer(pass, set->layers[i], what_if, rolling, &revision, &doc);
        if (error == CONFCAST_OK && doc != NULL) {
            error = cfc_merging_take(&merging, doc);
        }
    }
    if (error == CONFCAST_OK) {
        error = cfc_merging_finish(&merging, &root, &bytes, &size);
    }
    if (error == CONFCAST_OK) {
        error = share_body(pass->bodies, pass->sha, root, bytes, size, body);
    }
    free(bytes);
    cfc_merging_free(&merging);
    return error;
}

static int
add_part(struct cfc_effective_pass *pass, const struct cfc_scope *layer, uint64_t revision,
         struct cfc_recipe *recipe)
{
    struct cfc_recipe_part *part = &recipe->parts[recipe->count];
    int error = CONFCAST_OK;

    memset(part, 0, sizeof(*part));
    for (const struct cfc_pending_doc *p = pass->pending; p != NULL; p = p->next) {
        if (p->scope == layer && p->revision == revision) {
            part->root = p->root;
            part->text.digest = *p->digest;
            part->text.size = p->size;
        }
    }
    if (part->root == NULL) {
        error = cfc_definition_find_text(pass->store, layer->path, revision, &part->text);
    }
    if (error == CONFCAST_OK) {
        recipe->count++;
        recipe->size += part->text.size;
    }
    return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_ERR_CORRUPT : error;
}

/* The recipe of this merge, sealed when it is big. */
static int
write_recipe(struct cfc_effective_pass *pass, const struct cfc_layer_set *set,
             const struct cfc_what_if *what_if, const struct cfc_scope *rolling,
             struct cfc_recipe *recipe)
{
    int error = CONFCAST_OK;

    recipe->count = 0;
    recipe->size = 0;
    for (uint32_t i = 0; error == CONFCAST_OK && i < set->count; i++) {
        const struct cfc_scope *layer = set->layers[i];
        uint64_t revision =
            cfc_effective_revision(cfc_what_if_release(layer, what_if), layer == rolling);

        if (revision != 0) {
            error = add_part(pass, layer, revision, recipe);
        }
    }
    if (error == CONFCAST_OK && cfc_recipe_is_big(recipe)) {
        cfc_recipe_seal(recipe, pass->sha);
    }
    return error;
}

/* Merges the layers; `rolling` (or NULL) gives its candidate.  What is big is looked up first, and
 * put off where somebody will make it without the lock. */
static int
merge(struct cfc_effective_pass *pass, const struct cfc_layer_set *set,
      const struct cfc_what_if *what_if, const struct cfc_scope *rolling,
      struct cfc_config_body **body)
{
    struct cfc_recipe recipe = {.count = 0};
    int error = CONFCAST_OK;

    if (pass->put_off != NULL || cfc_bodies_know_recipes(pass->bodies)) {
        error = write_recipe(pass, set, what_if, rolling, &recipe);
        if (error != CONFCAST_OK || !cfc_recipe_is_big(&recipe)) {
            cfc_recipe_free(&recipe);
        }
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    if (recipe.count > 0) {
        *body = cfc_bodies_find_recipe(pass->bodies, &recipe.id);
        if (*body != NULL) {
            cfc_recipe_free(&recipe);
            return CONFCAST_OK;
        }
        if (pass->put_off != NULL) {
            *pass->put_off = recipe;
            return CONFCAST_ERR_AGAIN;
        }
    }
    error = merge_layers(pass, set, what_if, rolling, body);
    if (error == CONFCAST_OK && recipe.count > 0) {
        cfc_bodies_note_recipe(pass->bodies, &recipe.id, *body);
    }
    cfc_recipe_free(&recipe);
    return error;
}

uint64_t
cfc_rollout_salt(struct cfc_sha256 *sha, const char *path, uint64_t revision)
{
    struct cfc_digest digest;
    uint8_t bytes[8];

    cfc_put_u64(bytes, revision);
    cfc_sha256_begin(sha, CFC_DOMAIN_SALT);
    cfc_sha256_add(sha, path, strlen(path) + 1);
    cfc_sha256_add(sha, bytes, sizeof(bytes));
    cfc_sha256_end(sha, &digest);
    return cfc_digest_key(&digest);
}

uint32_t
cfc_stage_threshold(uint32_t ppm)
{
    return (uint32_t)(((uint64_t)ppm << 32) / CFC_STAGE_PPM_ALL);
}

/* The change that made the version, and with it the kind of the head. */
struct decider {
    uint64_t seq;
    uint64_t unix_ns;
    enum cfc_release_action action;
};

static struct decider
find_decider(const struct cfc_layer_set *set, const struct cfc_what_if *what_if)
{
    struct decider decider = {.seq = set->seq, .unix_ns = set->unix_ns, .action = CFC_ACTION_NONE};

    for (uint32_t i = 0; i < set->count; i++) {
        uint64_t seq = release_seq_of(set->layers[i], what_if);

        if (seq > decider.seq) {
            const struct cfc_release *release = cfc_what_if_release(set->layers[i], what_if);

            decider = (struct decider){
                .seq = seq, .unix_ns = release->changed_unix_ns, .action = release->last_action};
        }
    }
    return decider;
}

/* What the scope's own layer does, as far as it is one of its layers, says more than the last
 * change. */
static enum cfc_head_kind
kind_of(const struct cfc_scope *scope, const struct cfc_layer_set *set,
        const struct cfc_what_if *what_if, const struct decider *decider)
{
    for (uint32_t i = 0; i < set->count; i++) {
        enum cfc_release_state state = cfc_what_if_release(set->layers[i], what_if)->state;

        if (set->layers[i] == scope && state == CFC_RELEASE_DELETED) {
            return CFC_HEAD_DELETED;
        }
        if (set->layers[i] == scope && state == CFC_RELEASE_DISABLED) {
            return CFC_HEAD_DISABLED;
        }
    }
    return decider->action == CFC_ACTION_ROLLBACK || decider->action == CFC_ACTION_ABORT
               ? CFC_HEAD_ROLLBACK
               : CFC_HEAD_NORMAL;
}

/* The layer whose rollout this scope takes part in.  Two at a time are refused at every promote;
 * should layers have brought two together all the same, the first one counts. */
const struct cfc_scope *
cfc_effective_rolling(const struct cfc_layer_set *set, const struct cfc_what_if *what_if)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (cfc_release_has_candidate(cfc_what_if_release(set->layers[i], what_if))) {
            return set->layers[i];
        }
    }
    return NULL;
}

static int
add_candidate_arm(struct cfc_effective_pass *pass, const struct cfc_layer_set *set,
                  const struct cfc_what_if *what_if, const struct cfc_scope *rolling,
                  struct cfc_decision *decision)
{
    const struct cfc_release *release = cfc_what_if_release(rolling, what_if);
    const struct cfc_strategy *strategy = &release->strategy;
    struct cfc_decision_arm *arm = &decision->arms[0];
    int error = merge(pass, set, what_if, rolling, &arm->content);

    if (error != CONFCAST_OK) {
        return error;
    }
    decision->arm_count = 1;
    arm->is_candidate = true;
    decision->activation = cfc_release_activation(release, decision->changed_unix_ns);
    if (decision->activation == CFC_ACTIVATE_AT) {
        decision->activate_unix_ns = release->plan.activate_unix_ns;
    }
    decision->confirm_by_unix_ns = cfc_release_confirm_by(release, decision->changed_unix_ns);
    if (cfc_release_covers_all(release)) {
        arm->selector = CFC_SELECT_ALL;
        return CONFCAST_OK;
    }
    decision->salt = cfc_rollout_salt(pass->sha, rolling->path, release->candidate_revision);
    if (strategy->label_key[0] != '\0') {
        arm->selector = CFC_SELECT_LABEL;
        memcpy(arm->label_key, strategy->label_key, sizeof(arm->label_key));
        memcpy(arm->label_value, strategy->label_value, sizeof(arm->label_value));
    } else {
        arm->selector = CFC_SELECT_COHORT;
        arm->threshold = cfc_stage_threshold(strategy->stage_ppm[release->stage_idx]);
    }
    return CONFCAST_OK;
}

/* What those serve who take no part in the rollout, and everybody before its activation and after a
 * deadline that passed. */
static int
add_stable_arm(struct cfc_effective_pass *pass, const struct cfc_layer_set *set,
               const struct cfc_what_if *what_if, struct cfc_decision *decision)
{
    struct cfc_decision_arm *arm = &decision->arms[decision->arm_count];
    struct cfc_config_body *body;
    int error = merge(pass, set, what_if, NULL, &body);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (decision->arm_count > 0) {
        decision->arms[0].fallback = cfc_config_body_ref(body);
        if (decision->arms[0].selector == CFC_SELECT_ALL) {
            cfc_config_body_unref(body);
            return CONFCAST_OK;
        }
    }
    arm->content = body;
    arm->selector = CFC_SELECT_ALL;
    /* Without a fallback a consumer that joins before the activation would serve nothing. */
    if (decision->activation != CFC_ACTIVATE_NOW) {
        arm->fallback = cfc_config_body_ref(body);
    }
    decision->arm_count++;
    return CONFCAST_OK;
}

int
cfc_effective_decide(struct cfc_effective_pass *pass, const struct cfc_scope *scope,
                     const struct cfc_layer_set *set, const struct cfc_what_if *what_if,
                     struct cfc_decision **decision)
{
    const struct cfc_scope *rolling = cfc_effective_rolling(set, what_if);
    struct decider decider = find_decider(set, what_if);
    struct cfc_decision *made;
    int error = CONFCAST_OK;

    *decision = NULL;
    if (decider.seq == 0) {
        return CONFCAST_OK;
    }
    pass->decide_count++;
    made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    atomic_init(&made->ref_count, 1);
    memcpy(made->scope, scope->path, strlen(scope->path) + 1);
    made->scope_id = scope->id;
    made->version = decider.seq > pass->floor ? decider.seq : pass->floor;
    made->kind = kind_of(scope, set, what_if, &decider);
    made->changed_unix_ns = decider.unix_ns;
    if (rolling != NULL) {
        error = add_candidate_arm(pass, set, what_if, rolling, made);
    }
    if (error == CONFCAST_OK) {
        error = add_stable_arm(pass, set, what_if, made);
    }
    if (error != CONFCAST_OK) {
        cfc_decision_unref(made);
        return error;
    }
    *decision = made;
    return CONFCAST_OK;
}

struct cfc_layer_set
cfc_effective_layers(const struct cfc_scope *scope)
{
    bool is_together_newer = scope->together_seq > scope->layers_seq;

    return (struct cfc_layer_set){
        .layers = scope->layers,
        .count = scope->layer_count,
        .seq = is_together_newer ? scope->together_seq : scope->layers_seq,
        .unix_ns = is_together_newer ? scope->together_unix_ns : scope->layers_unix_ns};
}
