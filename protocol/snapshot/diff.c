#include "protocol/snapshot/diff.h"

#include <string.h>

#include "protocol/snapshot/text.h"

static void
step_before(struct cfc_diff_level *level)
{
    level->has_before = cfc_iter_next(&level->before_iter, &level->before_child);
}

static void
step_after(struct cfc_diff_level *level)
{
    level->has_after = cfc_iter_next(&level->after_iter, &level->after_child);
}

static void
open_level(struct cfc_diff *diff, const struct cfc_value *before, const struct cfc_value *after,
           size_t pointer_size)
{
    struct cfc_diff_level *level = &diff->levels[diff->depth++];

    level->before = before;
    level->after = after;
    level->has_before = false;
    level->has_after = false;
    level->pointer_size = pointer_size;
    if (before != NULL) {
        level->before_iter = cfc_iter_of(before);
        step_before(level);
    }
    if (after != NULL) {
        level->after_iter = cfc_iter_of(after);
        step_after(level);
    }
}

void
cfc_diff_begin(struct cfc_diff *diff, const struct cfc_value *before, const struct cfc_value *after)
{
    diff->depth = 0;
    open_level(diff, before, after, 0);
}

/* Writes "/key" behind the level's pointer; the size with it, or 0 when there is no room. */
static size_t
append(struct cfc_diff *diff, const struct cfc_diff_level *level, const struct cfc_child *child)
{
    size_t end = level->pointer_size;

    if (end == CFC_DIFF_POINTER_SIZE_MAX) {
        return 0;
    }
    diff->pointer[end++] = '/';
    for (size_t i = 0; i < child->key_size; i++) {
        char byte = child->key[i];

        if (CFC_DIFF_POINTER_SIZE_MAX - end < 2) {
            return 0;
        }
        if (byte == '~' || byte == '/') {
            diff->pointer[end++] = '~';
            byte = byte == '~' ? '0' : '1';
        }
        diff->pointer[end++] = byte;
    }
    return end;
}

static bool
is_same(const struct cfc_value *before, const struct cfc_value *after)
{
    size_t size = cfc_value_size(before);

    return size == cfc_value_size(after) && memcmp(before, after, size) == 0;
}

static void
tell(struct cfc_diff *diff, const struct cfc_value *before, const struct cfc_value *after,
     size_t pointer_size, struct cfc_diff_item *item)
{
    diff->pointer[pointer_size] = '\0';
    item->kind = before == NULL  ? CFC_DIFF_ADDED
                 : after == NULL ? CFC_DIFF_REMOVED
                                 : CFC_DIFF_CHANGED;
    item->before = before;
    item->after = after;
    item->pointer = diff->pointer;
    item->pointer_size = pointer_size;
}

/* The values of the smallest key of both sides; NULL where a side does not have it.  Steps over it.
 */
static void
take_pair(struct cfc_diff_level *level, const struct cfc_value **before,
          const struct cfc_value **after, struct cfc_child *key)
{
    int order = !level->has_before ? 1
                : !level->has_after
                    ? -1
                    : cfc_utf16_compare(level->before_child.key, level->before_child.key_size,
                                        level->after_child.key, level->after_child.key_size);

    *key = order <= 0 ? level->before_child : level->after_child;
    *before = NULL;
    *after = NULL;
    if (order <= 0) {
        *before = level->before_child.value;
        step_before(level);
    }
    if (order >= 0) {
        *after = level->after_child.value;
        step_after(level);
    }
}

bool
cfc_diff_next(struct cfc_diff *diff, struct cfc_diff_item *item)
{
    while (diff->depth > 0) {
        struct cfc_diff_level *level = &diff->levels[diff->depth - 1];
        const struct cfc_value *before;
        const struct cfc_value *after;
        struct cfc_child key;
        size_t end;

        if (!level->has_before && !level->has_after) {
            diff->depth--;
            continue;
        }
        take_pair(level, &before, &after, &key);
        if (before != NULL && after != NULL && is_same(before, after)) {
            continue;
        }
        end = append(diff, level, &key);
        if (end == 0) {
            diff->depth--;
            tell(diff, level->before, level->after, level->pointer_size, item);
            return true;
        }
        if (before == NULL || after == NULL || cfc_value_type(before) != CFC_TYPE_OBJECT ||
            cfc_value_type(after) != CFC_TYPE_OBJECT) {
            tell(diff, before, after, end, item);
            return true;
        }
        open_level(diff, before, after, end);
    }
    return false;
}
