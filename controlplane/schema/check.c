/* The ops that look at the value alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/schema/run.h"
#include "controlplane/schema/value.h"
#include "protocol/snapshot/json_write.h"

enum {
    BYTES_PER_STEP = 64,
    UNIQUE_COST = 4, /* steps of an item for sorting */
};

/* A number for a message. */
struct number_text {
    char at[CFC_JSON_NUMBER_SIZE_MAX + 1];
};

static struct number_text
text_of(double number)
{
    struct number_text text;

    text.at[cfc_json_write_number(text.at, number)] = '\0';
    return text;
}

/* The names of some types, for a message: "null, string". */
struct types_text {
    char at[72];
};

static struct types_text
words_of(uint32_t types)
{
    static const char *const words[] = {"null",   "boolean", "object", "array",
                                        "number", "string",  "integer"};
    struct types_text text = {.at = ""};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if ((types & 1u << i) != 0) {
            size_t used = strlen(text.at);

            snprintf(text.at + used, sizeof(text.at) - used, "%s%s", used > 0 ? ", " : "",
                     words[i]);
        }
    }
    return text;
}

static enum cfc_schema_outcome
check_type(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
           const struct cfc_schema_op *op)
{
    uint32_t types = cfc_schema_types_of(frame->value);

    if ((types & op->types) != 0) {
        return CFC_OUTCOME_FITS;
    }
    if ((types & CFC_SCHEMA_TYPE_INTEGER) != 0) {
        types = CFC_SCHEMA_TYPE_INTEGER;
    }
    return cfc_schema_fail(run, frame, op->keyword, "the type is %s, and has to be %s%s",
                           words_of(types).at, (op->types & (op->types - 1)) != 0 ? "one of " : "",
                           words_of(op->types).at);
}

/* The first constant whose hash is not below `hash`. */
static uint32_t
lower_bound(const struct cfc_schema *schema, const struct cfc_schema_op *op, uint64_t hash)
{
    uint32_t low = op->first;
    uint32_t high = op->first + op->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (schema->constants.at[middle].hash < hash) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static enum cfc_schema_outcome
check_constants(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
                const struct cfc_schema_op *op)
{
    const struct cfc_schema *schema = run->schema;
    uint64_t hash;
    int error = cfc_schema_hash(frame->value, &run->steps, &hash);

    if (error != CONFCAST_OK) {
        return cfc_schema_break(run, error);
    }
    for (uint32_t i = lower_bound(schema, op, hash);
         i < op->first + op->count && schema->constants.at[i].hash == hash; i++) {
        bool is_equal;

        error =
            cfc_schema_equal(frame->value, schema->constants.at[i].value, &run->steps, &is_equal);
        if (error != CONFCAST_OK) {
            return cfc_schema_break(run, error);
        }
        if (is_equal) {
            return CFC_OUTCOME_FITS;
        }
    }
    if (op->keyword == CFC_KEYWORD_CONST) {
        return cfc_schema_fail(run, frame, op->keyword, "the value is not the one allowed");
    }
    return cfc_schema_fail(run, frame, op->keyword, "the value is none of the %u allowed",
                           op->count);
}

static enum cfc_schema_outcome
check_number(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
             const struct cfc_schema_op *op)
{
    const char *rule = "";
    bool is_fit = true;
    double number;

    if (!json_is_number(frame->value)) {
        return CFC_OUTCOME_FITS;
    }
    number = cfc_schema_number_of(frame->value);
    if (op->keyword == CFC_KEYWORD_MULTIPLE_OF &&
        !cfc_schema_run_pay(run, cfc_schema_multiple_cost(number, op->number))) {
        return CFC_OUTCOME_BROKEN;
    }
    switch (op->keyword) {
    case CFC_KEYWORD_MINIMUM:
        is_fit = number >= op->number;
        rule = "at least";
        break;
    case CFC_KEYWORD_MAXIMUM:
        is_fit = number <= op->number;
        rule = "at most";
        break;
    case CFC_KEYWORD_EXCLUSIVE_MINIMUM:
        is_fit = number > op->number;
        rule = "above";
        break;
    case CFC_KEYWORD_EXCLUSIVE_MAXIMUM:
        is_fit = number < op->number;
        rule = "below";
        break;
    default:
        is_fit = cfc_schema_is_multiple(number, op->number);
        rule = "a multiple of";
        break;
    }
    return is_fit ? CFC_OUTCOME_FITS
                  : cfc_schema_fail(run, frame, op->keyword, "the number has to be %s %s", rule,
                                    text_of(op->number).at);
}

/* min and max of a count of something. */
static enum cfc_schema_outcome
judge_count(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
            const struct cfc_schema_op *op, uint64_t count, const char *what)
{
    if (count >= op->min && count <= op->max) {
        return CFC_OUTCOME_FITS;
    }
    return cfc_schema_fail(run, frame, op->keyword, "there are %llu %s, and %s %llu are allowed",
                           (unsigned long long)count, what,
                           count < op->min ? "no fewer than" : "no more than",
                           (unsigned long long)(count < op->min ? op->min : op->max));
}

static enum cfc_schema_outcome
check_length(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
             const struct cfc_schema_op *op)
{
    size_t size = json_string_length(frame->value);

    if (!json_is_string(frame->value)) {
        return CFC_OUTCOME_FITS;
    }
    if (!cfc_schema_run_pay(run, size / BYTES_PER_STEP)) {
        return CFC_OUTCOME_BROKEN;
    }
    return judge_count(run, frame, op,
                       cfc_schema_code_points(json_string_value(frame->value), size), "characters");
}

static enum cfc_schema_outcome
check_item_count(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
                 const struct cfc_schema_op *op)
{
    return json_is_array(frame->value)
               ? judge_count(run, frame, op, json_array_size(frame->value), "items")
               : CFC_OUTCOME_FITS;
}

static enum cfc_schema_outcome
check_member_count(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
                   const struct cfc_schema_op *op)
{
    return json_is_object(frame->value)
               ? judge_count(run, frame, op, json_object_size(frame->value), "members")
               : CFC_OUTCOME_FITS;
}

static enum cfc_schema_outcome
check_pattern(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
              const struct cfc_schema_op *op)
{
    bool matches;
    int error;

    if (!json_is_string(frame->value)) {
        return CFC_OUTCOME_FITS;
    }
    error = cfc_schema_match(&run->matcher, &run->schema->patterns.at[op->pattern_first],
                             json_string_value(frame->value), json_string_length(frame->value),
                             &matches);
    if (error != CONFCAST_OK) {
        return cfc_schema_break(run, error);
    }
    return matches
               ? CFC_OUTCOME_FITS
               : cfc_schema_fail(run, frame, op->keyword, "the string does not match the pattern");
}

/* Fails at the first of the names from `first` on that is missing. */
static enum cfc_schema_outcome
require_names(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
              const struct cfc_schema_op *op, uint32_t first)
{
    for (uint32_t i = first; i < op->first + op->count; i++) {
        const struct cfc_schema_name *name = &run->schema->names.at[i];

        if (!cfc_schema_run_pay(run, 1 + name->size / BYTES_PER_STEP)) {
            return CFC_OUTCOME_BROKEN;
        }
        if (json_object_getn(frame->value, name->text, name->size) == NULL) {
            return cfc_schema_fail(run, frame, op->keyword, "there has to be a member %s",
                                   name->text);
        }
    }
    return CFC_OUTCOME_FITS;
}

static enum cfc_schema_outcome
check_required(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
               const struct cfc_schema_op *op)
{
    return json_is_object(frame->value) ? require_names(run, frame, op, op->first)
                                        : CFC_OUTCOME_FITS;
}

static enum cfc_schema_outcome
check_dependent_required(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
                         const struct cfc_schema_op *op)
{
    const struct cfc_schema_name *trigger = &run->schema->names.at[op->first];

    if (json_object_getn(frame->value, trigger->text, trigger->size) == NULL) {
        return CFC_OUTCOME_FITS;
    }
    return require_names(run, frame, op, op->first + 1);
}

struct item {
    uint64_t hash;
    uint32_t index;
};

static int
compare_items(const void *a, const void *b)
{
    const struct item *left = a;
    const struct item *right = b;
    int order = (left->hash > right->hash) - (left->hash < right->hash);

    return order != 0 ? order : (left->index > right->index) - (left->index < right->index);
}

static int
hash_items(struct cfc_schema_run *run, const json_t *array, struct item *items)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        int error = cfc_schema_hash(json_array_get(array, i), &run->steps, &items[i].hash);

        if (error != CONFCAST_OK) {
            return error;
        }
        items[i].index = (uint32_t)i;
    }
    return CONFCAST_OK;
}

/* Equal items lie beside each other after sorting, but for different ones with the same hash, which
 * is why each is compared with all of its hash. */
static enum cfc_schema_outcome
find_equal_items(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
                 const struct item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = i + 1; k < count && items[k].hash == items[i].hash; k++) {
            bool is_equal;
            int error = cfc_schema_equal(json_array_get(frame->value, items[i].index),
                                         json_array_get(frame->value, items[k].index), &run->steps,
                                         &is_equal);

            if (error != CONFCAST_OK) {
                return cfc_schema_break(run, error);
            }
            if (is_equal) {
                return cfc_schema_fail(run, frame, CFC_KEYWORD_UNIQUE_ITEMS,
                                       "the items %u and %u are equal", items[i].index,
                                       items[k].index);
            }
        }
    }
    return CFC_OUTCOME_FITS;
}

static enum cfc_schema_outcome
check_unique(struct cfc_schema_run *run, struct cfc_schema_frame *frame,
             const struct cfc_schema_op *op)
{
    const struct cfc_alloc *alloc = &run->schema->alloc;
    size_t count = json_array_size(frame->value);
    enum cfc_schema_outcome outcome;
    struct item *items;
    int error;

    (void)op;
    if (count < 2) {
        return CFC_OUTCOME_FITS;
    }
    if (count > CFC_SCHEMA_UNIQUE_MAX) {
        return cfc_schema_break(run, CONFCAST_ERR_LIMIT);
    }
    if (!cfc_schema_run_pay(run, count * UNIQUE_COST)) {
        return CFC_OUTCOME_BROKEN;
    }
    items = cfc_alloc(alloc, count * sizeof(*items));
    if (items == NULL) {
        return cfc_schema_break(run, CONFCAST_ERR_NO_MEMORY);
    }
    error = hash_items(run, frame->value, items);
    if (error == CONFCAST_OK) {
        qsort(items, count, sizeof(*items), compare_items);
        outcome = find_equal_items(run, frame, items, count);
    } else {
        outcome = cfc_schema_break(run, error);
    }
    cfc_free(alloc, items);
    return outcome;
}

cfc_schema_apply *const cfc_schema_checks[CFC_KEYWORD_COUNT] = {
    [CFC_KEYWORD_TYPE] = check_type,
    [CFC_KEYWORD_CONST] = check_constants,
    [CFC_KEYWORD_ENUM] = check_constants,
    [CFC_KEYWORD_MULTIPLE_OF] = check_number,
    [CFC_KEYWORD_MINIMUM] = check_number,
    [CFC_KEYWORD_MAXIMUM] = check_number,
    [CFC_KEYWORD_EXCLUSIVE_MINIMUM] = check_number,
    [CFC_KEYWORD_EXCLUSIVE_MAXIMUM] = check_number,
    [CFC_KEYWORD_MIN_LENGTH] = check_length,
    [CFC_KEYWORD_MAX_LENGTH] = check_length,
    [CFC_KEYWORD_PATTERN] = check_pattern,
    [CFC_KEYWORD_MIN_ITEMS] = check_item_count,
    [CFC_KEYWORD_MAX_ITEMS] = check_item_count,
    [CFC_KEYWORD_MIN_PROPERTIES] = check_member_count,
    [CFC_KEYWORD_MAX_PROPERTIES] = check_member_count,
    [CFC_KEYWORD_REQUIRED] = check_required,
    [CFC_KEYWORD_DEPENDENT_REQUIRED] = check_dependent_required,
    [CFC_KEYWORD_UNIQUE_ITEMS] = check_unique,
};
