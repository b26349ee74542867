#include "controlplane/publish/coded_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/publish/arena.h"
#include "controlplane/publish/coded_draft.h"
#include "protocol/wire/content.h"

enum {
    BUCKET_COUNT = 16384,
    ALIGNMENT = 64,
    SMALL_SIZE_MAX = 256 * 1024,           /* bytes that are added together to the open arena */
    OPEN_SIZE = 4 * 1024 * 1024,           /* bytes of it */
    DELTA_NUMBERS = CFC_CODING_PULLED - 1, /* of deltas: 1 and up, below those for pull */
};

struct cfc_coded_set {
    struct cfc_coded_set_config config;
    struct cfc_draft_desk desks[CFC_CREW_SIZE_MAX];
    struct cfc_coded *buckets[BUCKET_COUNT];
    size_t count;
    size_t retained_size;   /* coded bytes that no head names */
    struct cfc_arena *open; /* that small contents are added to; NULL = none yet */
    uint64_t stamp;
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

static struct cfc_coded **
bucket_of(struct cfc_coded_set *set, const struct cfc_digest *id)
{
    return &set->buckets[cfc_digest_key(id) % BUCKET_COUNT];
}

int
cfc_coded_set_new(const struct cfc_coded_set_config *config, struct cfc_coded_set **out)
{
    struct cfc_coded_set *set = calloc(1, sizeof(*set));

    *out = NULL;
    if (set == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    set->config = *config;
    for (size_t i = 0; i < (config->crew != NULL ? CFC_CREW_SIZE_MAX : 1); i++) {
        set->desks[i] = (struct cfc_draft_desk){cfc_sha256_new(), cfc_coder_new(&heap)};
        if (set->desks[i].sha == NULL || set->desks[i].coder == NULL) {
            cfc_coded_set_free(set);
            return CONFCAST_ERR_NO_MEMORY;
        }
    }
    *out = set;
    return CONFCAST_OK;
}

static void
let_go(struct cfc_arena *arena)
{
    if (--arena->content_count == 0) {
        cfc_arena_free(arena);
    }
}

static void
let_open_go(struct cfc_coded_set *set)
{
    if (set->open != NULL) {
        cfc_arena_end(set->open);
        let_go(set->open);
        set->open = NULL;
    }
}

static void
coded_free(struct cfc_coded *coded)
{
    while (coded != NULL) {
        struct cfc_coded *next = coded->deltas != NULL ? coded->deltas : coded->next_delta;

        let_go(coded->arena);
        free(coded);
        coded = next;
    }
}

void
cfc_coded_set_free(struct cfc_coded_set *set)
{
    if (set == NULL) {
        return;
    }
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        while (set->buckets[i] != NULL) {
            struct cfc_coded *coded = set->buckets[i];

            set->buckets[i] = coded->next_in_bucket;
            coded_free(coded);
        }
    }
    let_open_go(set);
    for (size_t i = 0; i < CFC_CREW_SIZE_MAX; i++) {
        cfc_coder_free(set->desks[i].coder);
        cfc_sha256_free(set->desks[i].sha);
    }
    free(set);
}

struct cfc_coded *
cfc_coded_set_find(struct cfc_coded_set *set, const struct cfc_digest *id)
{
    struct cfc_coded *coded = *bucket_of(set, id);

    while (coded != NULL && !cfc_digest_equal(&coded->id, id)) {
        coded = coded->next_in_bucket;
    }
    return coded;
}

struct drafts {
    struct cfc_coded_set *set;
    struct cfc_draft *items;
    size_t count;
    size_t size; /* bytes of the arena */
};

static size_t
aligned(size_t size)
{
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void
draft_one(void *arg, uint32_t worker, size_t i)
{
    struct drafts *drafts = arg;

    drafts->items[i].error =
        cfc_draft_code(&drafts->set->config, &drafts->set->desks[worker], &drafts->items[i]);
}

static void
drafts_free(struct drafts *drafts)
{
    for (size_t i = 0; i < drafts->count; i++) {
        cfc_draft_free(&drafts->items[i]);
    }
    free(drafts->items);
}

static bool
is_drafted(const struct drafts *drafts, const struct cfc_digest *id)
{
    for (size_t i = 0; i < drafts->count; i++) {
        if (cfc_digest_equal(&drafts->items[i].body->id, id)) {
            return true;
        }
    }
    return false;
}

static int
drafts_fill(void *arg, uint8_t *bytes)
{
    struct drafts *drafts = arg;

    for (size_t i = 0; i < drafts->count; i++) {
        const struct cfc_draft *draft = &drafts->items[i];

        memcpy(bytes + draft->coded->tree_offset, draft->digests, draft->coded->tree_size);
        memcpy(bytes + draft->coded->coded_offset, draft->bytes, draft->coded->coded_size);
    }
    return CONFCAST_OK;
}

static void
drafts_lay_out(struct drafts *drafts)
{
    for (size_t i = 0; i < drafts->count; i++) {
        struct cfc_coded *coded = drafts->items[i].coded;

        coded->tree_offset = drafts->size;
        coded->coded_offset = aligned(drafts->size + coded->tree_size);
        drafts->size = aligned(coded->coded_offset + coded->coded_size);
    }
}

static void
adopt_whole(struct cfc_coded_set *set, struct cfc_coded *coded)
{
    struct cfc_coded **bucket = bucket_of(set, &coded->id);

    coded->held_size = coded->coded_size;
    coded->last_named = ++set->stamp;
    coded->next_in_bucket = *bucket;
    *bucket = coded;
    set->count++;
    set->retained_size += coded->held_size; /* until a head names it */
}

static void
adopt_delta(struct cfc_coded_set *set, struct cfc_coded *whole, struct cfc_coded *delta)
{
    delta->next_delta = whole->deltas;
    whole->deltas = delta;
    whole->held_size += delta->coded_size;
    if (whole->name_count == 0) {
        set->retained_size += delta->coded_size;
    }
}

static void
adopt(struct cfc_coded_set *set, struct drafts *drafts, struct cfc_arena *arena)
{
    for (size_t i = 0; i < drafts->count; i++) {
        struct cfc_draft *draft = &drafts->items[i];

        draft->coded->arena = arena;
        arena->content_count++;
        if (draft->whole == NULL) {
            adopt_whole(set, draft->coded);
        } else {
            adopt_delta(set, draft->whole, draft->coded);
        }
        draft->coded = NULL;
    }
}

/* Writes small drafts behind what the open arena has. */
static int
append(struct cfc_coded_set *set, struct drafts *drafts, struct cfc_arena **arena)
{
    if (set->open != NULL && drafts->size > set->open->size - set->open->used) {
        let_open_go(set);
    }
    if (set->open == NULL) {
        int error = cfc_arena_open(OPEN_SIZE, &set->open);

        if (error != CONFCAST_OK) {
            return error;
        }
        set->open->content_count = 1;
    }
    drafts_fill(drafts, set->open->room + set->open->used);
    for (size_t i = 0; i < drafts->count; i++) {
        drafts->items[i].coded->tree_offset += set->open->used;
        drafts->items[i].coded->coded_offset += set->open->used;
    }
    set->open->used += drafts->size;
    *arena = set->open;
    return CONFCAST_OK;
}

static int
write_out(struct cfc_coded_set *set, struct drafts *drafts, struct cfc_arena **arena)
{
    drafts_lay_out(drafts);
    if (drafts->size <= SMALL_SIZE_MAX && append(set, drafts, arena) == CONFCAST_OK) {
        return CONFCAST_OK;
    }
    return cfc_arena_new(drafts->size, drafts_fill, drafts, arena);
}

int
cfc_coded_set_add(struct cfc_coded_set *set, struct cfc_config_body *const *bodies,
                  size_t body_count)
{
    struct drafts drafts = {.set = set};
    struct cfc_arena *arena = NULL;
    int error = CONFCAST_OK;

    drafts.items = calloc(body_count > 0 ? body_count : 1, sizeof(*drafts.items));
    if (drafts.items == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < body_count; i++) {
        if (cfc_coded_set_find(set, &bodies[i]->id) == NULL &&
            !is_drafted(&drafts, &bodies[i]->id)) {
            drafts.items[drafts.count++].body = bodies[i];
        }
    }
    cfc_crew_run(set->config.crew, drafts.count, draft_one, &drafts);
    for (size_t i = 0; error == CONFCAST_OK && i < drafts.count; i++) {
        error = drafts.items[i].error;
    }
    if (error == CONFCAST_OK && drafts.count > 0) {
        error = write_out(set, &drafts, &arena);
    }
    if (error == CONFCAST_OK && drafts.count > 0) {
        adopt(set, &drafts, arena);
    }
    drafts_free(&drafts);
    return error;
}

struct cfc_coded *
cfc_coded_find_delta(const struct cfc_coded *whole, const struct cfc_digest *base)
{
    struct cfc_coded *delta = whole->deltas;

    while (delta != NULL && !cfc_digest_equal(&delta->base, base)) {
        delta = delta->next_delta;
    }
    return delta;
}

static const struct cfc_draft *
find_delta_draft(const struct drafts *drafts, const struct cfc_delta_wish *wish)
{
    for (size_t i = 0; i < drafts->count; i++) {
        const struct cfc_draft *draft = &drafts->items[i];

        if (cfc_digest_equal(&draft->body->id, &wish->body->id) &&
            cfc_digest_equal(&draft->base->id, &wish->base->id)) {
            return draft;
        }
    }
    return NULL;
}

/* Deltas of a content, with those on their way; *is_taken: one of them has this number. */
static uint32_t
count_deltas(const struct drafts *drafts, const struct cfc_coded *whole, uint32_t number,
             bool *is_taken)
{
    uint32_t count = 0;

    *is_taken = false;
    for (const struct cfc_coded *d = whole->deltas; d != NULL; d = d->next_delta) {
        *is_taken = *is_taken || d->coding == number;
        count++;
    }
    for (size_t i = 0; i < drafts->count; i++) {
        if (drafts->items[i].whole == whole) {
            *is_taken = *is_taken || drafts->items[i].coding == number;
            count++;
        }
    }
    return count;
}

static void
draft_delta(struct drafts *drafts, const struct cfc_delta_wish *wish)
{
    struct cfc_coded *whole = cfc_coded_set_find(drafts->set, &wish->body->id);
    uint32_t number = (uint32_t)(cfc_digest_key(&wish->base->id) % DELTA_NUMBERS) + 1;
    bool is_taken;

    assert(whole != NULL);
    if (cfc_coded_find_delta(whole, &wish->base->id) != NULL ||
        find_delta_draft(drafts, wish) != NULL ||
        count_deltas(drafts, whole, number, &is_taken) == CFC_CODED_DELTAS_MAX) {
        return;
    }
    while (is_taken) {
        number = number % DELTA_NUMBERS + 1;
        (void)count_deltas(drafts, whole, number, &is_taken);
    }
    drafts->items[drafts->count++] = (struct cfc_draft){
        .body = wish->body, .base = wish->base, .whole = whole, .coding = (uint16_t)number};
}

/* Keeps those that came to something. */
static int
sift(struct drafts *drafts)
{
    size_t kept = 0;
    int error = CONFCAST_OK;

    for (size_t i = 0; i < drafts->count; i++) {
        if (drafts->items[i].error == CONFCAST_OK) {
            drafts->items[kept++] = drafts->items[i];
            continue;
        }
        if (drafts->items[i].error != CONFCAST_ERR_AGAIN) {
            error = drafts->items[i].error;
        }
        cfc_draft_free(&drafts->items[i]);
    }
    drafts->count = kept;
    return error;
}

int
cfc_coded_set_add_deltas(struct cfc_coded_set *set, const struct cfc_delta_wish *wishes,
                         size_t wish_count)
{
    struct drafts drafts = {.set = set};
    struct cfc_arena *arena = NULL;
    int error;

    if (wish_count == 0) {
        return CONFCAST_OK;
    }
    drafts.items = calloc(wish_count, sizeof(*drafts.items));
    if (drafts.items == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < wish_count; i++) {
        draft_delta(&drafts, &wishes[i]);
    }
    cfc_crew_run(set->config.crew, drafts.count, draft_one, &drafts);
    error = sift(&drafts);
    if (error == CONFCAST_OK && drafts.count > 0) {
        error = write_out(set, &drafts, &arena);
    }
    if (error == CONFCAST_OK && drafts.count > 0) {
        adopt(set, &drafts, arena);
    }
    drafts_free(&drafts);
    return error;
}

void
cfc_coded_note_told(struct cfc_coded *whole, uint64_t scope_id)
{
    if (cfc_coded_was_told(whole, scope_id)) {
        return;
    }
    memmove(whole->told + 1, whole->told, sizeof(whole->told) - sizeof(whole->told[0]));
    whole->told[0] = scope_id;
}

bool
cfc_coded_was_told(const struct cfc_coded *whole, uint64_t scope_id)
{
    for (size_t i = 0; i < CFC_CODED_TOLD_MAX; i++) {
        if (whole->told[i] == scope_id) {
            return true;
        }
    }
    return false;
}

void
cfc_coded_set_name(struct cfc_coded_set *set, struct cfc_coded *coded)
{
    if (coded->name_count++ == 0) {
        set->retained_size -= coded->held_size;
    }
    coded->last_named = ++set->stamp;
}

void
cfc_coded_set_unname(struct cfc_coded_set *set, struct cfc_coded *coded)
{
    assert(coded->name_count > 0);
    coded->last_named = ++set->stamp;
    if (--coded->name_count == 0) {
        set->retained_size += coded->held_size;
    }
}

static struct cfc_coded **
oldest_unnamed(struct cfc_coded_set *set)
{
    struct cfc_coded **oldest = NULL;

    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        for (struct cfc_coded **p = &set->buckets[i]; *p != NULL; p = &(*p)->next_in_bucket) {
            if ((*p)->name_count == 0 &&
                (oldest == NULL || (*p)->last_named < (*oldest)->last_named)) {
                oldest = p;
            }
        }
    }
    return oldest;
}

int
cfc_coded_set_evict(struct cfc_coded_set *set, struct cfc_digest *id, bool *was_handed)
{
    struct cfc_coded **link;
    struct cfc_coded *coded;

    if (set->retained_size <= set->config.retained_max) {
        return CONFCAST_ERR_AGAIN;
    }
    link = oldest_unnamed(set);
    assert(link != NULL);
    coded = *link;
    *link = coded->next_in_bucket;
    *id = coded->id;
    *was_handed = coded->is_handed;
    set->retained_size -= coded->held_size;
    set->count--;
    coded_free(coded);
    return CONFCAST_OK;
}

void
cfc_coded_set_forget_handed(struct cfc_coded_set *set)
{
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        for (struct cfc_coded *c = set->buckets[i]; c != NULL; c = c->next_in_bucket) {
            for (struct cfc_coded *d = c; d != NULL; d = d == c ? c->deltas : d->next_delta) {
                d->is_handed = false;
                d->arena->is_handed = false;
            }
        }
    }
}

int
cfc_coded_set_each(struct cfc_coded_set *set, int (*fn)(void *arg, struct cfc_coded *coded),
                   void *arg)
{
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        for (struct cfc_coded *c = set->buckets[i]; c != NULL; c = c->next_in_bucket) {
            int result = fn(arg, c);

            if (result != 0) {
                return result;
            }
        }
    }
    return 0;
}

const uint8_t *
cfc_coded_bytes(const struct cfc_coded *coded)
{
    return coded->arena->bytes + coded->coded_offset;
}

size_t
cfc_coded_set_count(const struct cfc_coded_set *set)
{
    return set->count;
}
