#include "controlplane/publish/pull_fresh.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/wire/fresh.h"

void
cfc_pull_fresh_clear(struct cfc_pull_fresh *fresh)
{
    fresh->size = 0;
    fresh->page_count = 0;
}

void
cfc_pull_fresh_free(struct cfc_pull_fresh *fresh)
{
    free(fresh->bytes);
    free(fresh->pages);
    memset(fresh, 0, sizeof(*fresh));
}

static bool
grow(struct cfc_pull_fresh *fresh, size_t size)
{
    if (fresh->size + size > fresh->capacity) {
        size_t capacity = 2 * fresh->capacity + size;
        uint8_t *bytes = realloc(fresh->bytes, capacity);

        if (bytes == NULL) {
            return false;
        }
        fresh->bytes = bytes;
        fresh->capacity = capacity;
    }
    if (fresh->page_count == fresh->page_capacity) {
        size_t capacity = 2 * fresh->page_capacity + 1;
        struct cfc_pull_fresh_page *pages = realloc(fresh->pages, capacity * sizeof(*pages));

        if (pages == NULL) {
            return false;
        }
        fresh->pages = pages;
        fresh->page_capacity = capacity;
    }
    return true;
}

int
cfc_pull_fresh_add(struct cfc_pull_fresh *fresh, const uint8_t *bytes, size_t size)
{
    struct cfc_fresh_entry first = {.scope_id = 0};
    struct cfc_fresh decoded;
    struct cfc_frame frame;

    if (!grow(fresh, size)) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (cfc_frame_open(bytes, size, &frame) == CONFCAST_OK &&
        cfc_fresh_decode(&frame, &decoded) == CONFCAST_OK && decoded.entry_count > 0) {
        cfc_fresh_entry_at(&decoded, 0, &first);
    }
    fresh->pages[fresh->page_count++] =
        (struct cfc_pull_fresh_page){.first_id = first.scope_id, .at = fresh->size, .size = size};
    memcpy(fresh->bytes + fresh->size, bytes, size);
    fresh->size += size;
    return CONFCAST_OK;
}

const uint8_t *
cfc_pull_fresh_find(const struct cfc_pull_fresh *fresh, uint64_t scope_id, size_t *size)
{
    size_t low = 0;
    size_t high = fresh->page_count;

    if (fresh->page_count == 0) {
        return NULL;
    }
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (fresh->pages[middle].first_id <= scope_id) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *size = fresh->pages[low].size;
    return fresh->bytes + fresh->pages[low].at;
}
