#include "consumer/contents.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"

enum {
    CAPACITY_FIRST = 16
};

void
cfc_contents_free(struct cfc_contents *c)
{
    for (uint32_t i = 0; i < c->held_count; i++) {
        cfc_loaded_unref(c->held[i]);
    }
    for (uint32_t i = 0; i < c->kept_count; i++) {
        cfc_loaded_unref(c->kept[i]);
    }
    free(c->held);
    memset(c, 0, sizeof(*c));
}

struct cfc_loaded *
cfc_contents_find(const struct cfc_contents *c, const struct cfc_digest *id)
{
    for (uint32_t i = 0; i < c->held_count; i++) {
        if (cfc_digest_equal(&c->held[i]->id, id)) {
            return c->held[i];
        }
    }
    return NULL;
}

int
cfc_contents_hold(struct cfc_contents *c, struct cfc_loaded *loaded)
{
    if (c->held_count == c->held_capacity) {
        uint32_t capacity = c->held_capacity > 0 ? 2 * c->held_capacity : CAPACITY_FIRST;
        struct cfc_loaded **held = realloc(c->held, capacity * sizeof(struct cfc_loaded *));

        if (held == NULL) {
            cfc_loaded_unref(loaded);
            return CONFCAST_ERR_NO_MEMORY;
        }
        c->held = held;
        c->held_capacity = capacity;
    }
    c->held[c->held_count++] = loaded;
    return CONFCAST_OK;
}

/* Takes it off the list without letting it go. */
static struct cfc_loaded *
remove_kept(struct cfc_contents *c, uint32_t at)
{
    struct cfc_loaded *loaded = c->kept[at];

    c->kept_count--;
    c->kept_size -= loaded->body_size;
    memmove(&c->kept[at], &c->kept[at + 1], (c->kept_count - at) * sizeof(c->kept[0]));
    return loaded;
}

/* Takes the reference over. */
static void
keep(struct cfc_contents *c, struct cfc_loaded *loaded)
{
    if (loaded->body_size > CFC_CONTENTS_KEPT_SIZE_MAX) {
        cfc_loaded_unref(loaded);
        return;
    }
    while (c->kept_count == CFC_CONTENTS_KEPT_MAX ||
           c->kept_size + loaded->body_size > CFC_CONTENTS_KEPT_SIZE_MAX) {
        cfc_loaded_unref(remove_kept(c, 0));
    }
    c->kept[c->kept_count++] = loaded;
    c->kept_size += loaded->body_size;
}

void
cfc_contents_release(struct cfc_contents *c, const struct cfc_digest *id)
{
    for (uint32_t i = 0; i < c->held_count; i++) {
        struct cfc_loaded *loaded = c->held[i];

        if (cfc_digest_equal(&loaded->id, id)) {
            c->held[i] = c->held[--c->held_count];
            keep(c, loaded);
            return;
        }
    }
}

struct cfc_loaded *
cfc_contents_take_kept(struct cfc_contents *c, const struct cfc_digest *id)
{
    for (uint32_t i = 0; i < c->kept_count; i++) {
        if (cfc_digest_equal(&c->kept[i]->id, id)) {
            return remove_kept(c, i);
        }
    }
    return NULL;
}
