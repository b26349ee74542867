#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/schema/report.h"
#include "controlplane/schema/run.h"
#include "controlplane/schema/value.h"
#include "protocol/base/limits.h"

static void
point_to_value(const struct cfc_schema_run *run)
{
    struct cfc_schema_text text;

    cfc_schema_text_init(&text, run->why->instance_pointer, sizeof(run->why->instance_pointer));
    for (size_t i = 0; i < run->depth; i++) {
        const struct cfc_schema_frame *frame = &run->frames[i];

        if (frame->place == CFC_PLACE_MEMBER) {
            cfc_schema_text_token(&text, frame->key, frame->key_size);
        } else if (frame->place == CFC_PLACE_ITEM) {
            cfc_schema_text_index(&text, frame->index);
        }
    }
}

static void
report(struct cfc_schema_run *run, uint32_t node, enum cfc_schema_keyword keyword,
       const char *format, va_list args)
{
    if (run->why != NULL) {
        cfc_schema_report(run->why, run->schema, node, keyword, format, args);
        point_to_value(run);
    }
}

enum cfc_schema_outcome
cfc_schema_fail(struct cfc_schema_run *run, const struct cfc_schema_frame *frame,
                enum cfc_schema_keyword keyword, const char *format, ...)
{
    va_list args;

    if (!frame->is_quiet) {
        va_start(args, format);
        report(run, frame->node, keyword, format, args);
        va_end(args);
    }
    return CFC_OUTCOME_FAILS;
}

static void
report_break(struct cfc_schema_run *run, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report(run, run->frames[run->depth - 1].node, CFC_KEYWORD_NONE, format, args);
    va_end(args);
}

enum cfc_schema_outcome
cfc_schema_break(struct cfc_schema_run *run, int error)
{
    run->error = error;
    report_break(run, "%s",
                 error == CONFCAST_ERR_LIMIT
                     ? "checking this document against this schema takes more work than is allowed"
                     : confcast_error_text(error));
    return CFC_OUTCOME_BROKEN;
}

bool
cfc_schema_run_pay(struct cfc_schema_run *run, uint64_t cost)
{
    if (cfc_schema_pay(&run->steps, cost)) {
        return true;
    }
    cfc_schema_break(run, CONFCAST_ERR_LIMIT);
    return false;
}

enum cfc_schema_outcome
cfc_schema_call(struct cfc_schema_run *run, const struct cfc_schema_frame *callee)
{
    if (run->depth == run->depth_max) {
        json_decref(callee->name);
        return cfc_schema_break(run, CONFCAST_ERR_DEPTH);
    }
    run->frames[run->depth++] = *callee;
    return CFC_OUTCOME_CALLED;
}

/* The schema `false`; what it means depends on where it stands. */
static enum cfc_schema_outcome
fail_never(struct cfc_schema_run *run, struct cfc_schema_frame *frame)
{
    const struct cfc_schema_node *node = &run->schema->nodes.at[frame->node];
    enum cfc_schema_outcome outcome;

    switch (node->keyword) {
    case CFC_KEYWORD_ADDITIONAL_PROPERTIES:
        outcome = cfc_schema_fail(run, frame, CFC_KEYWORD_NONE,
                                  "the member is none of those that are allowed");
        break;
    case CFC_KEYWORD_ITEMS:
        outcome =
            cfc_schema_fail(run, frame, CFC_KEYWORD_NONE, "the item is one more than there may be");
        break;
    default:
        outcome = cfc_schema_fail(run, frame, CFC_KEYWORD_NONE, "no value is allowed here");
        break;
    }
    if (!frame->is_quiet && run->why != NULL) {
        memcpy(run->why->keyword, cfc_schema_word(node->keyword),
               strlen(cfc_schema_word(node->keyword)) + 1);
    }
    return outcome;
}

/* Runs ops of the topmost frame until it has an answer or has called another. */
static enum cfc_schema_outcome
run_frame(struct cfc_schema_run *run)
{
    struct cfc_schema_frame *frame = &run->frames[run->depth - 1];
    const struct cfc_schema_node *node = &run->schema->nodes.at[frame->node];

    if (!cfc_schema_run_pay(run, 1)) {
        return CFC_OUTCOME_BROKEN;
    }
    if (node->kind == CFC_NODE_NEVER) {
        return fail_never(run, frame);
    }
    while (frame->op < node->op_count) {
        const struct cfc_schema_op *op = &run->schema->ops.at[node->op_first + frame->op];
        cfc_schema_apply *check = cfc_schema_checks[op->keyword];
        enum cfc_schema_outcome outcome;

        if (!cfc_schema_run_pay(run, 1)) {
            return CFC_OUTCOME_BROKEN;
        }
        outcome = check != NULL ? check(run, frame, op)
                                : cfc_schema_applicators[op->keyword](run, frame, op);
        if (outcome != CFC_OUTCOME_FITS) {
            return outcome;
        }
        memset(&frame->state, 0, sizeof(frame->state));
        frame->op++;
    }
    return CFC_OUTCOME_FITS;
}

static void
pop(struct cfc_schema_run *run)
{
    run->depth--;
    json_decref(run->frames[run->depth].name);
}

/* Until the first frame has answered. */
static int
drive(struct cfc_schema_run *run)
{
    while (run->depth > 0) {
        const struct cfc_schema_frame *frame = &run->frames[run->depth - 1];
        enum cfc_schema_outcome outcome = run_frame(run);

        if (outcome == CFC_OUTCOME_CALLED) {
            continue;
        }
        if (outcome == CFC_OUTCOME_BROKEN) {
            return run->error;
        }
        run->fits = outcome == CFC_OUTCOME_FITS;
        if (!run->fits && !frame->is_quiet) {
            return CONFCAST_ERR_SCHEMA_MISMATCH;
        }
        pop(run);
        if (run->depth > 0) {
            run->frames[run->depth - 1].state.is_resumed = true;
        }
    }
    return CONFCAST_OK;
}

int
cfc_schema_validate_within(const struct cfc_schema *schema, const json_t *document,
                           uint64_t steps_max, struct cfc_schema_error *why)
{
    struct cfc_schema_run run = {.schema = schema,
                                 .depth_max = (CFC_DEPTH_MAX + (size_t)1) * schema->in_place_max,
                                 .steps = steps_max,
                                 .why = why};
    int error;

    assert(schema->in_place_max > 0);
    run.frames = cfc_alloc(&schema->alloc, run.depth_max * sizeof(run.frames[0]));
    if (run.frames == NULL) {
        if (why != NULL) {
            *why = (struct cfc_schema_error){.message = "memory could not be allocated"};
        }
        return CONFCAST_ERR_NO_MEMORY;
    }
    cfc_schema_matcher_init(&run.matcher, &schema->alloc, &run.steps);
    run.frames[0] =
        (struct cfc_schema_frame){.node = 0, .value = document, .place = CFC_PLACE_SAME};
    run.depth = 1;
    error = drive(&run);
    while (run.depth > 0) {
        pop(&run);
    }
    cfc_schema_matcher_free(&run.matcher);
    cfc_free(&schema->alloc, run.frames);
    return error;
}

int
cfc_schema_validate(const struct cfc_schema *schema, const json_t *document,
                    struct cfc_schema_error *why)
{
    return cfc_schema_validate_within(schema, document, CFC_SCHEMA_STEPS_MAX, why);
}
