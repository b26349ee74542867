/* The answer to one consumer that pulls: frames, and codings whose frames are made as they are
 * read, so that an answer of any size costs one frame of memory besides what is shared.  One thread
 * at a time; it needs no store any more once it is made. */
#ifndef CFC_PUBLISH_PULL_ANSWER_H
#define CFC_PUBLISH_PULL_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "controlplane/publish/pull_coding.h"

enum {
    CFC_PULL_ANSWER_ITEMS_MAX = 2 + 2 * CFC_ARM_COUNT_MAX, /* FRESH, HEAD, contents */
};

struct cfc_pull_answer;

/* NULL without memory.  free(NULL) is fine. */
struct cfc_pull_answer *cfc_pull_answer_new(void);
void cfc_pull_answer_free(struct cfc_pull_answer *answer);

/* At most CFC_PULL_ANSWER_ITEMS_MAX of both (assert), in the order in which they are to be read.
 * The frame is copied (NO_MEMORY: nothing was added), the reference to the coding taken over. */
int cfc_pull_answer_add_frame(struct cfc_pull_answer *answer, const uint8_t *bytes, size_t size);
void cfc_pull_answer_add_coding(struct cfc_pull_answer *answer, struct cfc_pull_coding *coding);

/* Bytes of the whole answer; the next of them, at most `capacity`, 0 at the end. */
uint64_t cfc_pull_answer_size(const struct cfc_pull_answer *answer);
size_t cfc_pull_answer_read(struct cfc_pull_answer *answer, void *bytes, size_t capacity);

#endif
