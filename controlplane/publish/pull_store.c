#include "controlplane/publish/pull_store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/publish/pull_answer.h"
#include "controlplane/publish/pull_coding.h"
#include "controlplane/publish/pull_fresh.h"
#include "protocol/wire/head.h"

enum {
    BUCKET_COUNT = 16384,
    DELTA_PART_MAX = 90, /* percent of the full coding that a delta may have */
};

#define MEMORY_DEFAULT ((size_t)256 << 20)

struct body {
    struct body *next;
    struct cfc_config_body *body; /* a reference */
    uint32_t name_count;          /* heads that name it */
    uint64_t stamp;               /* of the last time that one did */
};

struct scope {
    struct scope *next;
    uint64_t scope_id;
    uint64_t version;
    struct body
        *bodies[2 * CFC_ARM_COUNT_MAX]; /* that the head names, each once, its own arms first */
    uint32_t body_count;
    struct cfc_digest inlined; /* the content that the head carries; zero = none */
    size_t head_size;
    uint8_t head[];
};

struct kept {
    struct kept *next;
    struct cfc_pull_coding *coding;
    uint64_t stamp;
};

struct cfc_pull_store {
    struct cfc_pull_store_config config;
    struct cfc_coder *coder; /* of the thread that makes answers, as the next one */
    struct cfc_sha256 *sha;
    struct cfc_sha256 *put_sha; /* of the publisher, as the next two */
    struct cfc_pull_fresh next_fresh;
    bool is_fresh_whole;

    pthread_mutex_t lock; /* guards what follows */
    void (*on_change)(void *arg, uint64_t scope_id);
    void *on_change_arg;
    struct scope *scopes[BUCKET_COUNT];
    struct body *bodies[BUCKET_COUNT];
    struct kept *codings[BUCKET_COUNT]; /* by content id */
    struct cfc_pull_fresh fresh;
    size_t retained_size; /* bytes of bodies that no head names */
    uint64_t stamp;
    bool is_refusing;
    struct cfc_pull_store_stats stats;
};

static void *
heap_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void
heap_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static const struct cfc_alloc heap = {.alloc = heap_alloc, .free = heap_free};

int
cfc_pull_store_new(const struct cfc_pull_store_config *config, struct cfc_pull_store **out)
{
    struct cfc_pull_store *store = calloc(1, sizeof(*store));

    *out = NULL;
    if (store == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    store->config = *config;
    if (store->config.retained_max == 0) {
        store->config.retained_max = MEMORY_DEFAULT;
    }
    if (store->config.coded_max == 0) {
        store->config.coded_max = MEMORY_DEFAULT;
    }
    pthread_mutex_init(&store->lock, NULL);
    store->coder = cfc_coder_new(&heap);
    store->sha = cfc_sha256_new();
    store->put_sha = cfc_sha256_new();
    if (store->coder == NULL || store->sha == NULL || store->put_sha == NULL) {
        cfc_pull_store_free(store);
        return CONFCAST_ERR_NO_MEMORY;
    }
    *out = store;
    return CONFCAST_OK;
}

static void
free_bucket(struct cfc_pull_store *store, size_t i)
{
    while (store->scopes[i] != NULL) {
        struct scope *scope = store->scopes[i];

        store->scopes[i] = scope->next;
        free(scope);
    }
    while (store->bodies[i] != NULL) {
        struct body *body = store->bodies[i];

        store->bodies[i] = body->next;
        cfc_config_body_unref(body->body);
        free(body);
    }
    while (store->codings[i] != NULL) {
        struct kept *kept = store->codings[i];

        store->codings[i] = kept->next;
        cfc_pull_coding_unref(kept->coding);
        free(kept);
    }
}

void
cfc_pull_store_free(struct cfc_pull_store *store)
{
    if (store == NULL) {
        return;
    }
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        free_bucket(store, i);
    }
    cfc_pull_fresh_free(&store->fresh);
    cfc_pull_fresh_free(&store->next_fresh);
    cfc_coder_free(store->coder);
    cfc_sha256_free(store->sha);
    cfc_sha256_free(store->put_sha);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

void
cfc_pull_store_on_change(struct cfc_pull_store *store, void (*fn)(void *arg, uint64_t scope_id),
                         void *arg)
{
    pthread_mutex_lock(&store->lock);
    store->on_change = fn;
    store->on_change_arg = arg;
    pthread_mutex_unlock(&store->lock);
}

/* ---- Heads and bodies: the publisher ----------------------------------------------------------
 */

static struct scope **
place_of(struct cfc_pull_store *store, uint64_t scope_id)
{
    struct scope **place = &store->scopes[scope_id % BUCKET_COUNT];

    while (*place != NULL && (*place)->scope_id != scope_id) {
        place = &(*place)->next;
    }
    return place;
}

static struct body *
find_body(struct cfc_pull_store *store, const struct cfc_digest *id)
{
    struct body *body = store->bodies[cfc_digest_key(id) % BUCKET_COUNT];

    while (body != NULL && !cfc_digest_equal(&body->body->id, id)) {
        body = body->next;
    }
    return body;
}

/* One more head names it. */
static struct body *
name_body(struct cfc_pull_store *store, struct cfc_config_body *config)
{
    struct body **bucket = &store->bodies[cfc_digest_key(&config->id) % BUCKET_COUNT];
    struct body *body = find_body(store, &config->id);

    if (body == NULL) {
        body = calloc(1, sizeof(*body));
        if (body == NULL) {
            return NULL;
        }
        body->body = cfc_config_body_ref(config);
        body->next = *bucket;
        *bucket = body;
        store->stats.bodies++;
        store->retained_size += config->body_size;
    }
    if (body->name_count++ == 0) {
        store->retained_size -= body->body->body_size;
    }
    body->stamp = ++store->stamp;
    return body;
}

static void
unname_bodies(struct cfc_pull_store *store, struct scope *scope)
{
    for (uint32_t i = 0; i < scope->body_count; i++) {
        scope->bodies[i]->stamp = ++store->stamp;
        if (--scope->bodies[i]->name_count == 0) {
            store->retained_size += scope->bodies[i]->body->body_size;
        }
    }
    scope->body_count = 0;
}

static void
evict_bodies(struct cfc_pull_store *store)
{
    while (store->retained_size > store->config.retained_max) {
        struct body **oldest = NULL;
        struct body *body;

        for (size_t i = 0; i < BUCKET_COUNT; i++) {
            for (struct body **p = &store->bodies[i]; *p != NULL; p = &(*p)->next) {
                if ((*p)->name_count == 0 && (oldest == NULL || (*p)->stamp < (*oldest)->stamp)) {
                    oldest = p;
                }
            }
        }
        if (oldest == NULL) {
            return;
        }
        body = *oldest;
        *oldest = body->next;
        store->retained_size -= body->body->body_size;
        store->stats.bodies--;
        cfc_config_body_unref(body->body);
        free(body);
    }
}

static bool
name_once(struct cfc_pull_store *store, struct scope *scope, struct cfc_config_body *config)
{
    for (uint32_t i = 0; i < scope->body_count; i++) {
        if (cfc_digest_equal(&scope->bodies[i]->body->id, &config->id)) {
            return true;
        }
    }
    scope->bodies[scope->body_count] = name_body(store, config);
    if (scope->bodies[scope->body_count] == NULL) {
        return false;
    }
    scope->body_count++;
    return true;
}

static bool
name_all(struct cfc_pull_store *store, struct scope *scope, const struct cfc_decision *decision)
{
    for (uint32_t i = 0; i < decision->arm_count; i++) {
        if (!name_once(store, scope, decision->arms[i].content)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < decision->arm_count; i++) {
        if (decision->arms[i].fallback != NULL &&
            !name_once(store, scope, decision->arms[i].fallback)) {
            return false;
        }
    }
    return true;
}

static struct scope *
new_scope(struct cfc_pull_store *store, const struct cfc_decision *decision,
          const uint8_t *head_frame, size_t size)
{
    struct scope *scope = calloc(1, sizeof(*scope) + size);
    struct cfc_frame frame;
    struct cfc_head head;

    if (scope == NULL) {
        return NULL;
    }
    scope->scope_id = decision->scope_id;
    scope->version = decision->version;
    scope->head_size = size;
    memcpy(scope->head, head_frame, size);
    if (cfc_frame_open(head_frame, size, &frame) == CONFCAST_OK &&
        cfc_head_decode(&frame, store->put_sha, &head) == CONFCAST_OK && head.inlined.is_present &&
        head.inlined.encoding != CFC_ENCODING_ZSTD_DELTA) {
        scope->inlined = head.arms[head.inlined.arm].content;
    }
    return scope;
}

int
cfc_pull_store_put(struct cfc_pull_store *store, struct cfc_decision *decision,
                   const uint8_t *head_frame, size_t size)
{
    struct scope *scope = new_scope(store, decision, head_frame, size);
    struct scope **place;
    struct scope *before;

    if (scope == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    pthread_mutex_lock(&store->lock);
    if (!name_all(store, scope, decision)) {
        unname_bodies(store, scope);
        pthread_mutex_unlock(&store->lock);
        free(scope);
        return CONFCAST_ERR_NO_MEMORY;
    }
    place = place_of(store, scope->scope_id);
    before = *place;
    if (before != NULL) {
        unname_bodies(store, before);
        scope->next = before->next;
    } else {
        store->stats.heads++;
    }
    *place = scope;
    evict_bodies(store);
    if (store->on_change != NULL) {
        store->on_change(store->on_change_arg, scope->scope_id);
    }
    pthread_mutex_unlock(&store->lock);
    free(before);
    return CONFCAST_OK;
}

void
cfc_pull_store_refuse(struct cfc_pull_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->is_refusing = true;
    pthread_mutex_unlock(&store->lock);
}

/* ---- FRESH: the publisher ---------------------------------------------------------------------
 */

void
cfc_pull_store_fresh_begin(struct cfc_pull_store *store)
{
    cfc_pull_fresh_clear(&store->next_fresh);
    store->is_fresh_whole = true;
}

int
cfc_pull_store_fresh_page(struct cfc_pull_store *store, const uint8_t *bytes, size_t size)
{
    int error = cfc_pull_fresh_add(&store->next_fresh, bytes, size);

    store->is_fresh_whole = store->is_fresh_whole && error == CONFCAST_OK;
    return error;
}

void
cfc_pull_store_fresh_end(struct cfc_pull_store *store)
{
    struct cfc_pull_fresh before;

    if (!store->is_fresh_whole) {
        return;
    }
    pthread_mutex_lock(&store->lock);
    before = store->fresh;
    store->fresh = store->next_fresh;
    store->next_fresh = before; /* its memory is used again */
    pthread_mutex_unlock(&store->lock);
}

/* ---- Answers ----------------------------------------------------------------------------------
 */

bool
cfc_pull_store_has_news(struct cfc_pull_store *store, const struct cfc_pull_ask *ask)
{
    const struct scope *scope;
    bool has_news;

    pthread_mutex_lock(&store->lock);
    scope = *place_of(store, ask->scope_id);
    has_news = (scope != NULL && scope->version > ask->after) || store->is_refusing;
    pthread_mutex_unlock(&store->lock);
    return has_news;
}

/* Under the lock. */
static int
add_fresh(struct cfc_pull_store *store, struct cfc_pull_answer *answer, uint64_t scope_id)
{
    size_t size;
    const uint8_t *page = cfc_pull_fresh_find(&store->fresh, scope_id, &size);

    return page != NULL ? cfc_pull_answer_add_frame(answer, page, size) : CONFCAST_OK;
}

static bool
is_held(const struct cfc_pull_ask *ask, const struct cfc_digest *id)
{
    for (uint32_t i = 0; i < ask->have_count; i++) {
        if (cfc_digest_equal(&ask->have[i], id)) {
            return true;
        }
    }
    return false;
}

/* What is to be coded, as references that outlive the lock. */
struct plan {
    struct cfc_config_body *bodies[2 * CFC_ARM_COUNT_MAX];
    uint32_t count;
    struct cfc_config_body *base; /* NULL: nothing that the consumer holds is known here */
};

static void
make_plan(struct cfc_pull_store *store, const struct scope *scope, const struct cfc_pull_ask *ask,
          struct plan *plan)
{
    for (uint32_t i = 0; i < scope->body_count; i++) {
        struct cfc_config_body *body = scope->bodies[i]->body;

        if (!is_held(ask, &body->id) && !cfc_digest_equal(&body->id, &scope->inlined)) {
            plan->bodies[plan->count++] = cfc_config_body_ref(body);
        }
    }
    for (uint32_t i = 0; i < ask->have_count && plan->base == NULL; i++) {
        struct body *base = find_body(store, &ask->have[i]);

        if (base != NULL) {
            base->stamp = ++store->stamp;
            plan->base = cfc_config_body_ref(base->body);
        }
    }
}

static void
drop_plan(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        cfc_config_body_unref(plan->bodies[i]);
    }
    cfc_config_body_unref(plan->base);
}

static struct cfc_pull_coding *
find_coding(struct cfc_pull_store *store, const struct cfc_digest *id,
            const struct cfc_digest *base)
{
    struct cfc_pull_coding *found = NULL;

    pthread_mutex_lock(&store->lock);
    for (struct kept *k = store->codings[cfc_digest_key(id) % BUCKET_COUNT]; k != NULL;
         k = k->next) {
        if (cfc_digest_equal(&k->coding->id, id) && cfc_digest_equal(&k->coding->base, base)) {
            k->stamp = ++store->stamp;
            found = cfc_pull_coding_ref(k->coding);
            break;
        }
    }
    pthread_mutex_unlock(&store->lock);
    return found;
}

/* Under the lock. */
static void
evict_codings(struct cfc_pull_store *store, const struct kept *newest)
{
    while (store->stats.coded_size > store->config.coded_max && store->stats.codings > 1) {
        struct kept **oldest = NULL;
        struct kept *kept;

        for (size_t i = 0; i < BUCKET_COUNT; i++) {
            for (struct kept **p = &store->codings[i]; *p != NULL; p = &(*p)->next) {
                if (*p != newest && (oldest == NULL || (*p)->stamp < (*oldest)->stamp)) {
                    oldest = p;
                }
            }
        }
        kept = *oldest;
        *oldest = kept->next;
        store->stats.codings--;
        store->stats.coded_size -= cfc_pull_coding_memory(kept->coding);
        cfc_pull_coding_unref(kept->coding);
        free(kept);
    }
}

/* Keeps it; without memory for that it is made anew the next time. */
static void
keep_coding(struct cfc_pull_store *store, struct cfc_pull_coding *coding)
{
    struct kept *kept = calloc(1, sizeof(*kept));
    struct kept **bucket = &store->codings[cfc_digest_key(&coding->id) % BUCKET_COUNT];

    if (kept == NULL) {
        return;
    }
    kept->coding = cfc_pull_coding_ref(coding);
    pthread_mutex_lock(&store->lock);
    kept->stamp = ++store->stamp;
    kept->next = *bucket;
    *bucket = kept;
    store->stats.codings++;
    store->stats.coded_size += cfc_pull_coding_memory(coding);
    evict_codings(store, kept);
    pthread_mutex_unlock(&store->lock);
}

static int
get_coding(struct cfc_pull_store *store, const struct cfc_config_body *body,
           const struct cfc_config_body *base, struct cfc_pull_coding **out)
{
    static const struct cfc_digest none;
    struct cfc_pull_coding_config config = {.signer = store->config.signer,
                                            .shard = store->config.shard};
    int error;

    *out = find_coding(store, &body->id, base != NULL ? &base->id : &none);
    if (*out != NULL) {
        return CONFCAST_OK;
    }
    error = cfc_pull_coding_new(&config, store->coder, store->sha, body, base, out);
    if (error == CONFCAST_OK) {
        keep_coding(store, *out);
    }
    return error;
}

/* The smaller of the two ways to send it.  Both stay, so that the comparison is made once. */
static int
choose_coding(struct cfc_pull_store *store, const struct cfc_config_body *body,
              const struct cfc_config_body *base, struct cfc_pull_coding **out)
{
    struct cfc_pull_coding *delta;
    int error = get_coding(store, body, NULL, out);

    if (error != CONFCAST_OK || base == NULL ||
        get_coding(store, body, base, &delta) != CONFCAST_OK) {
        return error;
    }
    if (delta->wire_size * 100 < (*out)->wire_size * DELTA_PART_MAX) {
        cfc_pull_coding_unref(*out);
        *out = delta;
    } else {
        cfc_pull_coding_unref(delta);
    }
    return CONFCAST_OK;
}

static int
add_content(struct cfc_pull_store *store, struct cfc_pull_answer *answer,
            const struct cfc_config_body *body, const struct cfc_config_body *base)
{
    struct cfc_pull_coding *coding;
    int error = choose_coding(store, body, base, &coding);

    if (error != CONFCAST_OK) {
        return error;
    }
    cfc_pull_answer_add_coding(answer, coding);
    pthread_mutex_lock(&store->lock);
    if (cfc_digest_is_zero(&coding->base)) {
        store->stats.full_sent++;
        store->stats.full_bytes += coding->wire_size;
    } else {
        store->stats.delta_sent++;
        store->stats.delta_bytes += coding->wire_size;
    }
    pthread_mutex_unlock(&store->lock);
    return CONFCAST_OK;
}

/* FRESH goes first: it bounds how far a version may jump. */
static int
begin_answer(struct cfc_pull_store *store, const struct cfc_pull_ask *ask,
             struct cfc_pull_answer *answer, struct plan *plan)
{
    const struct scope *scope = *place_of(store, ask->scope_id);
    int error;

    if (store->is_refusing) {
        return CONFCAST_ERR_REGRESS;
    }
    store->stats.answers++;
    error = add_fresh(store, answer, ask->scope_id);
    if (error != CONFCAST_OK || scope == NULL || scope->version <= ask->after) {
        return error;
    }
    store->stats.answers_news++;
    error = cfc_pull_answer_add_frame(answer, scope->head, scope->head_size);
    if (error == CONFCAST_OK) {
        make_plan(store, scope, ask, plan);
    }
    return error;
}

int
cfc_pull_store_answer(struct cfc_pull_store *store, const struct cfc_pull_ask *ask,
                      struct cfc_pull_answer **out)
{
    struct cfc_pull_answer *answer = cfc_pull_answer_new();
    struct plan plan = {.count = 0};
    int error;

    *out = NULL;
    if (answer == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    pthread_mutex_lock(&store->lock);
    error = begin_answer(store, ask, answer, &plan);
    pthread_mutex_unlock(&store->lock);
    for (uint32_t i = 0; error == CONFCAST_OK && i < plan.count; i++) {
        error = add_content(store, answer, plan.bodies[i], plan.base);
    }
    drop_plan(&plan);
    if (error != CONFCAST_OK) {
        cfc_pull_answer_free(answer);
        return error;
    }
    *out = answer;
    return CONFCAST_OK;
}

void
cfc_pull_store_stats(struct cfc_pull_store *store, struct cfc_pull_store_stats *out)
{
    pthread_mutex_lock(&store->lock);
    *out = store->stats;
    pthread_mutex_unlock(&store->lock);
}
