/* The ops that apply other schemas, to the value itself or to what it holds.  Each runs from the
 * top whenever a frame that it called has answered, and finds its place in frame->state. */
#include <string.h>

#include "confcast/error.h"
#include "controlplane/schema/run.h"

enum {
    BYTES_PER_STEP = 64
};

static json_t *
unconst(const json_t *json)
{
    return (json_t *)(uintptr_t)json;
}

/* Applies another schema to the same value. */
static enum cfc_schema_outcome
call_same(struct cfc_schema_run *run, const struct cfc_schema_frame *frame, uint32_t node,
          bool is_quiet)
{
    return cfc_schema_call(run, &(struct cfc_schema_frame){.node = node,
                                                           .value = frame->value,
                                                           .place = CFC_PLACE_SAME,
                                                           .is_quiet = is_quiet});
}

static enum cfc_schema_outcome
call_item(struct cfc_schema_run *run, const struct cfc_schema_frame *frame, uint32_t node,
          size_t index, bool is_quiet)
{
    return cfc_schema_call(run,
                           &(struct cfc_schema_frame){.node = node,
                                                      .value = json_array_get(frame->value, index),
                                                      .place = CFC_PLACE_ITEM,
                                                      .index = index,
                                                      .is_quiet = is_quiet});
}

/* Applies a schema to the member that frame->state.iter is at. */
static enum cfc_schema_outcome
call_member(struct cfc_schema_run *run, const struct cfc_schema_frame *frame, uint32_t node)
{
    void *iter = frame->state.iter;

    return cfc_schema_call(run,
                           &(struct cfc_schema_frame){.node = node,
                                                      .value = json_object_iter_value(iter),
                                                      .place = CFC_PLACE_MEMBER,
                                                      .key = json_object_iter_key(iter),
                                                      .key_size = json_object_iter_key_len(iter),
                                                      .is_quiet = frame->is_quiet});
}

/* Whether a schema that was called in conjunction has failed. */
static bool
has_failed(const struct cfc_schema_run *run, const struct cfc_schema_frame *frame)
{
    return frame->state.is_resumed && !run->fits;
}

static enum cfc_schema_outcome
apply_ref(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
          const struct cfc_schema_op *op)
{
    if (frame->state.is_resumed) {
        return run->fits ? CFC_OUTCOME_FITS : CFC_OUTCOME_FAILS;
    }
    return call_same(run, frame, op->node, frame->is_quiet);
}

static enum cfc_schema_outcome
apply_all_of(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
             const struct cfc_schema_op *op)
{
    if (has_failed(run, frame)) {
        return CFC_OUTCOME_FAILS;
    }
    if (frame->state.next == op->count) {
        return CFC_OUTCOME_FITS;
    }
    return call_same(run, frame, op->first + (uint32_t)frame->state.next++, frame->is_quiet);
}

static enum cfc_schema_outcome
apply_any_of(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
             const struct cfc_schema_op *op)
{
    if (frame->state.is_resumed && run->fits) {
        return CFC_OUTCOME_FITS;
    }
    if (frame->state.next == op->count) {
        return cfc_schema_fail(run, frame, op->keyword,
                               "the value fits none of the %u schemas of which it has to fit one",
                               op->count);
    }
    return call_same(run, frame, op->first + (uint32_t)frame->state.next++, true);
}

static enum cfc_schema_outcome
apply_one_of(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
             const struct cfc_schema_op *op)
{
    frame->state.count += frame->state.is_resumed && run->fits;
    if (frame->state.count > 1) {
        return cfc_schema_fail(run, frame, op->keyword,
                               "the value fits more than one of the %u schemas of which it has to "
                               "fit exactly one",
                               op->count);
    }
    if (frame->state.next < op->count) {
        return call_same(run, frame, op->first + (uint32_t)frame->state.next++, true);
    }
    return frame->state.count == 1
               ? CFC_OUTCOME_FITS
               : cfc_schema_fail(run, frame, op->keyword,
                                 "the value fits none of the %u schemas of which it has to fit "
                                 "exactly one",
                                 op->count);
}

static enum cfc_schema_outcome
apply_not(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
          const struct cfc_schema_op *op)
{
    if (!frame->state.is_resumed) {
        return call_same(run, frame, op->node, true);
    }
    return run->fits ? cfc_schema_fail(run, frame, op->keyword,
                                       "the value fits the schema that it must not fit")
                     : CFC_OUTCOME_FITS;
}

/* state.next: 0 before the condition, 1 behind it, 2 behind the branch. */
static enum cfc_schema_outcome
apply_if(struct cfc_schema_run *run, struct cfc_schema_frame *frame, const struct cfc_schema_op *op)
{
    uint32_t branch;

    switch (frame->state.next++) {
    case 0:
        return call_same(run, frame, op->node, true);
    case 1:
        branch = run->fits ? op->then_node : op->else_node;
        return branch == CFC_SCHEMA_NO_NODE ? CFC_OUTCOME_FITS
                                            : call_same(run, frame, branch, frame->is_quiet);
    default:
        return run->fits ? CFC_OUTCOME_FITS : CFC_OUTCOME_FAILS;
    }
}

static enum cfc_schema_outcome
apply_dependent_schemas(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
                        const struct cfc_schema_op *op)
{
    if (has_failed(run, frame)) {
        return CFC_OUTCOME_FAILS;
    }
    while (json_is_object(frame->value) && frame->state.next < op->count) {
        uint32_t node = op->first + (uint32_t)frame->state.next++;
        const struct cfc_schema_node *dependent = &run->schema->nodes.at[node];

        if (!cfc_schema_run_pay(run, 1 + dependent->key_size / BYTES_PER_STEP)) {
            return CFC_OUTCOME_BROKEN;
        }
        if (json_object_getn(frame->value, dependent->key, dependent->key_size) != NULL) {
            return call_same(run, frame, node, frame->is_quiet);
        }
    }
    return CFC_OUTCOME_FITS;
}

static enum cfc_schema_outcome
apply_items(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
            const struct cfc_schema_op *op)
{
    size_t index = frame->state.next++;
    uint32_t node = index < op->count ? op->first + (uint32_t)index : op->node;

    if (has_failed(run, frame)) {
        return CFC_OUTCOME_FAILS;
    }
    if (index >= json_array_size(frame->value) || node == CFC_SCHEMA_NO_NODE) {
        return CFC_OUTCOME_FITS;
    }
    return call_item(run, frame, node, index, frame->is_quiet);
}

static enum cfc_schema_outcome
apply_contains(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
               const struct cfc_schema_op *op)
{
    if (!json_is_array(frame->value)) {
        return CFC_OUTCOME_FITS;
    }
    frame->state.count += frame->state.is_resumed && run->fits;
    if (frame->state.count > op->max) {
        return cfc_schema_fail(run, frame, CFC_KEYWORD_MAX_CONTAINS,
                               "more than %llu items fit the schema in contains",
                               (unsigned long long)op->max);
    }
    if (frame->state.count >= op->min && op->max == UINT64_MAX) {
        return CFC_OUTCOME_FITS;
    }
    if (frame->state.next < json_array_size(frame->value)) {
        return call_item(run, frame, op->node, frame->state.next++, true);
    }
    if (frame->state.count >= op->min) {
        return CFC_OUTCOME_FITS;
    }
    return cfc_schema_fail(run, frame,
                           op->min > 1 ? CFC_KEYWORD_MIN_CONTAINS : CFC_KEYWORD_CONTAINS,
                           "%llu items fit the schema in contains, and at least %llu have to",
                           (unsigned long long)frame->state.count, (unsigned long long)op->min);
}

/* The first member when the op begins, the next one when a frame has answered. */
static void
advance(struct cfc_schema_frame *frame)
{
    json_t *object = unconst(frame->value);

    frame->state.iter = frame->state.is_resumed ? json_object_iter_next(object, frame->state.iter)
                                                : json_object_iter(object);
}

static enum cfc_schema_outcome
apply_property_names(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
                     const struct cfc_schema_op *op)
{
    json_t *name;
    const char *key;
    size_t key_size;

    if (has_failed(run, frame)) {
        return CFC_OUTCOME_FAILS;
    }
    if (!json_is_object(frame->value)) {
        return CFC_OUTCOME_FITS;
    }
    advance(frame);
    if (frame->state.iter == NULL) {
        return CFC_OUTCOME_FITS;
    }
    key = json_object_iter_key(frame->state.iter);
    key_size = json_object_iter_key_len(frame->state.iter);
    if (!cfc_schema_run_pay(run, 1 + key_size / BYTES_PER_STEP)) {
        return CFC_OUTCOME_BROKEN;
    }
    name = json_stringn_nocheck(key, key_size);
    if (name == NULL) {
        return cfc_schema_break(run, CONFCAST_ERR_NO_MEMORY);
    }
    return cfc_schema_call(run, &(struct cfc_schema_frame){.node = op->node,
                                                           .value = name,
                                                           .name = name,
                                                           .place = CFC_PLACE_MEMBER,
                                                           .key = key,
                                                           .key_size = key_size,
                                                           .is_quiet = frame->is_quiet});
}

/* When there is nothing but properties, and fewer of them than members: asks for each by name. */
static enum cfc_schema_outcome
apply_few_properties(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
                     const struct cfc_schema_op *op)
{
    if (has_failed(run, frame)) {
        return CFC_OUTCOME_FAILS;
    }
    while (frame->state.next < op->count) {
        uint32_t node = op->first + (uint32_t)frame->state.next++;
        const struct cfc_schema_node *property = &run->schema->nodes.at[node];
        const json_t *member = json_object_getn(frame->value, property->key, property->key_size);

        if (!cfc_schema_run_pay(run, 1 + property->key_size / BYTES_PER_STEP)) {
            return CFC_OUTCOME_BROKEN;
        }
        if (member != NULL) {
            return cfc_schema_call(run, &(struct cfc_schema_frame){.node = node,
                                                                   .value = member,
                                                                   .place = CFC_PLACE_MEMBER,
                                                                   .key = property->key,
                                                                   .key_size = property->key_size,
                                                                   .is_quiet = frame->is_quiet});
        }
    }
    return CFC_OUTCOME_FITS;
}

/* The next schema that applies to the member in hand, or NO_NODE when there is none left.
 * state.next: 0 for properties, 1 and up for the patterns, then additionalProperties. */
static int
next_for_member(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
                const struct cfc_schema_op *op, uint32_t *node)
{
    const char *key = json_object_iter_key(frame->state.iter);
    size_t key_size = json_object_iter_key_len(frame->state.iter);

    *node = CFC_SCHEMA_NO_NODE;
    while (frame->state.next <= op->pattern_count && *node == CFC_SCHEMA_NO_NODE) {
        size_t phase = frame->state.next++;
        bool matches = false;

        if (phase == 0) {
            *node = cfc_schema_find_key(run->schema, op->first, op->count, key, key_size);
        } else {
            uint32_t nth = (uint32_t)phase - 1;
            int error =
                cfc_schema_match(&run->matcher, &run->schema->patterns.at[op->pattern_first + nth],
                                 key, key_size, &matches);

            if (error != CONFCAST_OK) {
                return error;
            }
            *node = matches ? op->pattern_node + nth : CFC_SCHEMA_NO_NODE;
        }
        frame->state.is_matched |= *node != CFC_SCHEMA_NO_NODE;
    }
    if (*node == CFC_SCHEMA_NO_NODE && frame->state.next == op->pattern_count + (size_t)1) {
        frame->state.next++;
        *node = frame->state.is_matched ? CFC_SCHEMA_NO_NODE : op->node;
    }
    return CONFCAST_OK;
}

static enum cfc_schema_outcome
apply_members(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
              const struct cfc_schema_op *op)
{
    json_t *object = unconst(frame->value);

    if (!json_is_object(frame->value)) {
        return CFC_OUTCOME_FITS;
    }
    if (op->pattern_count == 0 && op->node == CFC_SCHEMA_NO_NODE &&
        op->count < json_object_size(object)) {
        return apply_few_properties(run, frame, op);
    }
    if (has_failed(run, frame)) {
        return CFC_OUTCOME_FAILS;
    }
    if (!frame->state.is_resumed) {
        frame->state.iter = json_object_iter(object);
    }
    while (frame->state.iter != NULL) {
        uint32_t node;
        int error = next_for_member(run, frame, op, &node);

        if (error != CONFCAST_OK) {
            return cfc_schema_break(run, error);
        }
        if (node != CFC_SCHEMA_NO_NODE) {
            return call_member(run, frame, node);
        }
        if (!cfc_schema_run_pay(run, 1)) {
            return CFC_OUTCOME_BROKEN;
        }
        frame->state.iter = json_object_iter_next(object, frame->state.iter);
        frame->state.next = 0;
        frame->state.is_matched = false;
    }
    return CFC_OUTCOME_FITS;
}

cfc_schema_apply *const cfc_schema_applicators[CFC_KEYWORD_COUNT] = {
    [CFC_KEYWORD_PROPERTY_NAMES] = apply_property_names,
    [CFC_KEYWORD_ITEMS] = apply_items,
    [CFC_KEYWORD_CONTAINS] = apply_contains,
    [CFC_KEYWORD_ADDITIONAL_PROPERTIES] = apply_members,
    [CFC_KEYWORD_DEPENDENT_SCHEMAS] = apply_dependent_schemas,
    [CFC_KEYWORD_REF] = apply_ref,
    [CFC_KEYWORD_ALL_OF] = apply_all_of,
    [CFC_KEYWORD_ANY_OF] = apply_any_of,
    [CFC_KEYWORD_ONE_OF] = apply_one_of,
    [CFC_KEYWORD_NOT] = apply_not,
    [CFC_KEYWORD_IF] = apply_if,
};
