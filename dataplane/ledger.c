#include "dataplane/ledger.h"

#include <assert.h>
#include <stdlib.h>

#include "confcast/error.h"
#include "protocol/session/key_map.h"

/* One coding of a content, in the sender's slot of the same number. */
struct coding {
    bool is_used;
    bool is_dropped;
    struct cfc_digest content;
    uint32_t memory_arena; /* where the bytes in use lie */
    uint32_t later_arena;  /* where they were handed over again, or CFC_ARENA_NONE */
};

struct head {
    uint64_t scope_id;
    uint64_t connection;
};

struct cfc_ledger {
    struct cfc_arenas *arenas;
    uint64_t connection;
    uint32_t contents_max;
    uint32_t scopes_max;
    uint32_t coding_count;
    uint32_t head_count;
    uint32_t stale_slot;        /* contents: slots below are settled for this connection */
    uint32_t stale_head;        /* heads: likewise */
    struct coding *codings;     /* by slot */
    uint64_t *mentioned;        /* by slot: connection that mentioned its content last */
    uint32_t *next;             /* by slot: the next slot of the same content */
    struct head *heads;         /* dense */
    struct cfc_key_map slots;   /* content key -> first slot */
    struct cfc_key_map head_at; /* scope id -> place in `heads` */
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

struct cfc_ledger *
cfc_ledger_new(struct cfc_arenas *arenas, uint32_t contents_max, uint32_t scopes_max, uint64_t seed)
{
    struct cfc_ledger *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        return NULL;
    }
    l->arenas = arenas;
    l->contents_max = contents_max;
    l->scopes_max = scopes_max;
    l->codings = calloc(contents_max, sizeof(*l->codings));
    l->mentioned = calloc(contents_max, sizeof(*l->mentioned));
    l->next = calloc(contents_max, sizeof(*l->next));
    l->heads = calloc(scopes_max, sizeof(*l->heads));
    if (l->codings == NULL || l->mentioned == NULL || l->next == NULL || l->heads == NULL ||
        cfc_key_map_init(&l->slots, contents_max, seed, &heap) != CONFCAST_OK ||
        cfc_key_map_init(&l->head_at, scopes_max, seed, &heap) != CONFCAST_OK) {
        cfc_ledger_free(l);
        return NULL;
    }
    return l;
}

void
cfc_ledger_free(struct cfc_ledger *l)
{
    if (l == NULL) {
        return;
    }
    cfc_key_map_free(&l->slots, &heap);
    cfc_key_map_free(&l->head_at, &heap);
    free(l->codings);
    free(l->mentioned);
    free(l->next);
    free(l->heads);
    free(l);
}

void
cfc_ledger_begin_connection(struct cfc_ledger *l)
{
    cfc_arenas_begin_connection(l->arenas);
    l->connection++;
    l->stale_slot = 0;
    l->stale_head = 0;
}

static void
release_arena(struct cfc_ledger *l, uint32_t *arena, struct cfc_ledger_free *out)
{
    uint64_t number;

    if (*arena == CFC_ARENA_NONE) {
        return;
    }
    if (cfc_arenas_release(l->arenas, *arena, &number)) {
        assert(out->count < sizeof(out->arenas) / sizeof(out->arenas[0]));
        out->arenas[out->count++] = number;
    }
    *arena = CFC_ARENA_NONE;
}

/* Two contents may share a key (8 bytes of the digest), so the chain of a key is of all of them. */
static void
link_slot(struct cfc_ledger *l, uint32_t slot)
{
    uint64_t key = cfc_digest_key(&l->codings[slot].content);

    l->next[slot] = cfc_key_map_get(&l->slots, key);
    cfc_key_map_put(&l->slots, key, slot);
}

static void
unlink_slot(struct cfc_ledger *l, uint32_t slot)
{
    uint64_t key = cfc_digest_key(&l->codings[slot].content);
    uint32_t at = cfc_key_map_get(&l->slots, key);

    if (at != slot) {
        while (l->next[at] != slot) {
            at = l->next[at];
        }
        l->next[at] = l->next[slot];
    } else if (l->next[slot] == CFC_KEY_MAP_NONE) {
        cfc_key_map_remove(&l->slots, key);
    } else {
        cfc_key_map_put(&l->slots, key, l->next[slot]);
    }
}

/* Calls for every slot of a content. */
static void
mark_slots(struct cfc_ledger *l, const struct cfc_digest *content, bool is_dropped)
{
    uint32_t at = cfc_key_map_get(&l->slots, cfc_digest_key(content));

    for (; at != CFC_KEY_MAP_NONE; at = l->next[at]) {
        if (!cfc_digest_equal(&l->codings[at].content, content)) {
            continue;
        }
        if (is_dropped) {
            l->codings[at].is_dropped = true;
        } else {
            l->mentioned[at] = l->connection;
        }
    }
}

void
cfc_ledger_put_content(struct cfc_ledger *l, uint32_t slot, const struct cfc_digest *content,
                       uint32_t arena, bool is_new, struct cfc_ledger_free *out)
{
    struct coding *coding = &l->codings[slot];

    assert(slot < l->contents_max && coding->is_used == !is_new);
    out->count = 0;
    if (is_new) {
        *coding = (struct coding){.is_used = true,
                                  .content = *content,
                                  .memory_arena = arena,
                                  .later_arena = CFC_ARENA_NONE};
        cfc_arenas_hold(l->arenas, arena);
        l->coding_count++;
        link_slot(l, slot);
    } else if (coding->memory_arena != arena && coding->later_arena != arena) {
        cfc_arenas_hold(l->arenas, arena);
        release_arena(l, &coding->later_arena, out);
        coding->later_arena = arena;
    }
    coding->is_dropped = false;
    mark_slots(l, content, false);
}

void
cfc_ledger_release_content(struct cfc_ledger *l, uint32_t slot, struct cfc_ledger_free *out)
{
    struct coding *coding = &l->codings[slot];

    assert(slot < l->contents_max && coding->is_used);
    out->count = 0;
    unlink_slot(l, slot);
    release_arena(l, &coding->later_arena, out);
    release_arena(l, &coding->memory_arena, out);
    coding->is_used = false;
    l->mentioned[slot] = 0;
    l->coding_count--;
}

void
cfc_ledger_drop_content(struct cfc_ledger *l, const struct cfc_digest *content)
{
    mark_slots(l, content, true);
}

int
cfc_ledger_put_head(struct cfc_ledger *l, uint64_t scope_id)
{
    uint32_t at = cfc_key_map_get(&l->head_at, scope_id);

    if (at == CFC_KEY_MAP_NONE) {
        if (l->head_count == l->scopes_max) {
            return CONFCAST_ERR_LIMIT;
        }
        at = l->head_count++;
        l->heads[at].scope_id = scope_id;
        cfc_key_map_put(&l->head_at, scope_id, at);
    }
    l->heads[at].connection = l->connection;
    return CONFCAST_OK;
}

void
cfc_ledger_drop_head(struct cfc_ledger *l, uint64_t scope_id)
{
    uint32_t at = cfc_key_map_get(&l->head_at, scope_id);

    if (at == CFC_KEY_MAP_NONE) {
        return;
    }
    cfc_key_map_remove(&l->head_at, scope_id);
    l->head_count--;
    if (at != l->head_count) {
        l->heads[at] = l->heads[l->head_count];
        cfc_key_map_put(&l->head_at, l->heads[at].scope_id, at);
    }
    /* The head that moved here has not been looked at if the search had passed this place. */
    if (at < l->stale_head) {
        l->stale_head = at;
    }
}

bool
cfc_ledger_stale_content(struct cfc_ledger *l, struct cfc_digest *content)
{
    for (; l->stale_slot < l->contents_max; l->stale_slot++) {
        const struct coding *coding = &l->codings[l->stale_slot];

        if (coding->is_used && !coding->is_dropped &&
            l->mentioned[l->stale_slot] != l->connection) {
            *content = coding->content;
            return true;
        }
    }
    return false;
}

bool
cfc_ledger_stale_head(struct cfc_ledger *l, uint64_t *scope_id)
{
    for (; l->stale_head < l->head_count; l->stale_head++) {
        if (l->heads[l->stale_head].connection != l->connection) {
            *scope_id = l->heads[l->stale_head].scope_id;
            return true;
        }
    }
    return false;
}

uint32_t
cfc_ledger_content_count(const struct cfc_ledger *l)
{
    return l->coding_count;
}

uint32_t
cfc_ledger_head_count(const struct cfc_ledger *l)
{
    return l->head_count;
}
