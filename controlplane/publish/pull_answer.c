#include "controlplane/publish/pull_answer.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"

struct item {
    struct cfc_pull_coding *coding; /* a reference; NULL: the frame */
    uint8_t *frame;
    size_t frame_size;
};

struct cfc_pull_answer {
    struct item items[CFC_PULL_ANSWER_ITEMS_MAX];
    uint32_t item_count;
    uint64_t size;
    uint32_t item_idx; /* being read */
    struct cfc_pull_walk walk;
    uint8_t frame[CFC_FRAME_SIZE_MAX];
    size_t frame_size;
    size_t frame_at;
};

struct cfc_pull_answer *
cfc_pull_answer_new(void)
{
    return calloc(1, sizeof(struct cfc_pull_answer));
}

int
cfc_pull_answer_add_frame(struct cfc_pull_answer *answer, const uint8_t *bytes, size_t size)
{
    struct item *item = &answer->items[answer->item_count];

    assert(answer->item_count < CFC_PULL_ANSWER_ITEMS_MAX);
    item->frame = malloc(size);
    if (item->frame == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memcpy(item->frame, bytes, size);
    item->frame_size = size;
    answer->item_count++;
    answer->size += size;
    return CONFCAST_OK;
}

void
cfc_pull_answer_add_coding(struct cfc_pull_answer *answer, struct cfc_pull_coding *coding)
{
    assert(answer->item_count < CFC_PULL_ANSWER_ITEMS_MAX);
    answer->items[answer->item_count++].coding = coding;
    answer->size += coding->wire_size;
}

uint64_t
cfc_pull_answer_size(const struct cfc_pull_answer *answer)
{
    return answer->size;
}

/* The next frame; false at the end. */
static bool
next_frame(struct cfc_pull_answer *answer)
{
    while (answer->item_idx < answer->item_count) {
        const struct item *item = &answer->items[answer->item_idx];

        answer->frame_at = 0;
        if (item->coding == NULL) {
            memcpy(answer->frame, item->frame, item->frame_size);
            answer->frame_size = item->frame_size;
            answer->item_idx++;
            return true;
        }
        if (cfc_pull_coding_next(item->coding, &answer->walk, answer->frame, &answer->frame_size) ==
            CONFCAST_OK) {
            return true;
        }
        answer->walk = (struct cfc_pull_walk){.stage = 0};
        answer->item_idx++;
    }
    return false;
}

size_t
cfc_pull_answer_read(struct cfc_pull_answer *answer, void *bytes, size_t capacity)
{
    size_t size = 0;

    while (size < capacity) {
        size_t left = answer->frame_size - answer->frame_at;
        size_t step = left < capacity - size ? left : capacity - size;

        if (left == 0) {
            if (!next_frame(answer)) {
                answer->frame_at = answer->frame_size = 0;
                break;
            }
            continue;
        }
        memcpy((uint8_t *)bytes + size, answer->frame + answer->frame_at, step);
        answer->frame_at += step;
        size += step;
    }
    return size;
}

void
cfc_pull_answer_free(struct cfc_pull_answer *answer)
{
    if (answer == NULL) {
        return;
    }
    for (uint32_t i = 0; i < answer->item_count; i++) {
        cfc_pull_coding_unref(answer->items[i].coding);
        free(answer->items[i].frame);
    }
    free(answer);
}
