/* The pages of one FRESH for those who pull, one behind the other, found by scope.  Formatted by
 * zeros; one thread at a time. */
#ifndef CFC_PUBLISH_PULL_FRESH_H
#define CFC_PUBLISH_PULL_FRESH_H

#include <stddef.h>
#include <stdint.h>

struct cfc_pull_fresh_page {
    uint64_t first_id; /* scope id of its first entry; 0 when it has none */
    size_t at;
    size_t size;
};

struct cfc_pull_fresh {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
    struct cfc_pull_fresh_page *pages;
    size_t page_count;
    size_t page_capacity;
};

/* Forgets the pages and keeps the memory; free gives it back. */
void cfc_pull_fresh_clear(struct cfc_pull_fresh *fresh);
void cfc_pull_fresh_free(struct cfc_pull_fresh *fresh);

/* Adds a page, whose entries come after those of the pages before.  NO_MEMORY: nothing was added.
 */
int cfc_pull_fresh_add(struct cfc_pull_fresh *fresh, const uint8_t *frame, size_t size);

/* The frame of the page that lists a scope, or would; NULL when there is none. */
const uint8_t *cfc_pull_fresh_find(const struct cfc_pull_fresh *fresh, uint64_t scope_id,
                                   size_t *size);

#endif
