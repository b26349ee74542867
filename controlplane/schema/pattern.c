#include "controlplane/schema/pattern.h"

#include <stdio.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/schema/value.h"
#include "protocol/base/buffer.h"

enum {
    TRANSLATION_SIZE_MAX = 64 * 1024,
    BYTES_PER_STEP = 16, /* of text that a match moves over */
    CHECK_BYTES_PER_STEP = 64,
};

static void *
pcre_alloc(PCRE2_SIZE size, void *ctx)
{
    return cfc_alloc((const struct cfc_alloc *)ctx, size > 0 ? size : 1);
}

static void
pcre_free(void *p, void *ctx)
{
    cfc_free((const struct cfc_alloc *)ctx, p);
}

/* PCRE2 keeps the context's data pointer in all that it allocates, and does not change it. */
static pcre2_general_context *
general_context(const struct cfc_alloc *alloc)
{
    return pcre2_general_context_create(pcre_alloc, pcre_free, (void *)(uintptr_t)alloc);
}

static int
compile_translation(pcre2_general_context *general, const struct cfc_buffer *text,
                    struct cfc_schema_pattern *pattern, char *message, size_t message_size)
{
    pcre2_compile_context *context = pcre2_compile_context_create(general);
    char reason[128];
    PCRE2_SIZE offset;
    int problem;

    if (context == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    /* Callouts between all items are how a match pays; see cfc_schema_match().  A pattern without a
     * byte is one that pcre2_compile() wants a pointer for nevertheless. */
    pattern->code =
        pcre2_compile(text->size > 0 ? (PCRE2_SPTR)text->bytes : (PCRE2_SPTR) "", text->size,
                      PCRE2_UTF | PCRE2_AUTO_CALLOUT | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C |
                          PCRE2_NO_AUTO_CAPTURE | PCRE2_NO_UTF_CHECK,
                      &problem, &offset, context);
    pcre2_compile_context_free(context);
    if (pattern->code != NULL) {
        return CONFCAST_OK;
    }
    if (problem == PCRE2_ERROR_HEAP_FAILED) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (problem == PCRE2_ERROR_PATTERN_TOO_LARGE ||
        problem == PCRE2_ERROR_PATTERN_TOO_COMPLICATED ||
        problem == PCRE2_ERROR_LOOKBEHIND_TOO_LONG ||
        problem == PCRE2_ERROR_LOOKBEHIND_TOO_COMPLICATED) {
        snprintf(message, message_size, "the regular expression is too big");
        return CONFCAST_ERR_LIMIT;
    }
    pcre2_get_error_message(problem, (PCRE2_UCHAR *)reason, sizeof(reason));
    snprintf(message, message_size, "the regular expression is not valid: %s", reason);
    return CONFCAST_ERR_SCHEMA_INVALID;
}

/* Steps for an item that fails: a repeat may have moved over all but one of its characters then,
 * and a look behind over all before it. */
static uint32_t
weight_of(const pcre2_code *code, uint32_t repeat_max)
{
    uint32_t behind_max = 0;

    pcre2_pattern_info(code, PCRE2_INFO_MAXLOOKBEHIND, &behind_max);
    return 1 + (repeat_max > behind_max ? repeat_max : behind_max) / BYTES_PER_STEP;
}

int
cfc_schema_pattern_compile(const struct cfc_alloc *alloc, const char *text, size_t size,
                           struct cfc_schema_pattern *pattern, char *message, size_t message_size)
{
    pcre2_general_context *general;
    struct cfc_buffer translation;
    uint32_t repeat_max;
    int error;

    *pattern = (struct cfc_schema_pattern){.code = NULL};
    snprintf(message, message_size, "%s", confcast_error_text(CONFCAST_ERR_NO_MEMORY));
    cfc_buffer_init(&translation, alloc, TRANSLATION_SIZE_MAX);
    error =
        cfc_schema_pattern_translate(text, size, &translation, &repeat_max, message, message_size);
    if (error != CONFCAST_OK) {
        goto err_translation;
    }
    general = general_context(alloc);
    if (general == NULL) {
        error = CONFCAST_ERR_NO_MEMORY;
        goto err_translation;
    }
    error = compile_translation(general, &translation, pattern, message, message_size);
    pcre2_general_context_free(general);
    if (error == CONFCAST_OK) {
        pattern->weight = weight_of(pattern->code, repeat_max);
    }
err_translation:
    cfc_buffer_free(&translation);
    return error;
}

void
cfc_schema_pattern_free(struct cfc_schema_pattern *pattern)
{
    pcre2_code_free(pattern->code);
    pattern->code = NULL;
}

size_t
cfc_schema_pattern_size(const struct cfc_schema_pattern *pattern)
{
    size_t size = 0;

    pcre2_pattern_info(pattern->code, PCRE2_INFO_SIZE, &size);
    return size;
}

/* Runs before every item of the pattern that is tried.  What PCRE2 can do between two of these is
 * to move over text, which the distance tells, and to fail on the way, which the weight covers. */
static int
pay_for_item(pcre2_callout_block *block, void *ctx)
{
    struct cfc_schema_matcher *matcher = ctx;
    size_t from = matcher->position;
    size_t to = block->current_position;

    matcher->position = to;
    return cfc_schema_pay(matcher->steps,
                          matcher->weight + (to > from ? to - from : from - to) / BYTES_PER_STEP)
               ? 0
               : PCRE2_ERROR_CALLOUT;
}

void
cfc_schema_matcher_init(struct cfc_schema_matcher *matcher, const struct cfc_alloc *alloc,
                        uint64_t *steps)
{
    *matcher = (struct cfc_schema_matcher){.alloc = *alloc, .steps = steps};
}

void
cfc_schema_matcher_free(struct cfc_schema_matcher *matcher)
{
    pcre2_match_data_free(matcher->data);
    pcre2_match_context_free(matcher->context);
    pcre2_general_context_free(matcher->general);
}

static int
prepare(struct cfc_schema_matcher *matcher)
{
    if (matcher->data != NULL) {
        return CONFCAST_OK;
    }
    if (matcher->general == NULL) {
        matcher->general = general_context(&matcher->alloc);
    }
    if (matcher->general == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    matcher->context = pcre2_match_context_create(matcher->general);
    if (matcher->context == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    pcre2_set_callout(matcher->context, pay_for_item, matcher);
    pcre2_set_heap_limit(matcher->context, CFC_SCHEMA_MATCH_HEAP_SIZE / 1024);
    pcre2_set_match_limit(matcher->context, UINT32_MAX);
    matcher->data = pcre2_match_data_create(1, matcher->general);
    return matcher->data != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
}

int
cfc_schema_match(struct cfc_schema_matcher *matcher, const struct cfc_schema_pattern *pattern,
                 const char *text, size_t size, bool *matches)
{
    int rc = prepare(matcher);

    *matches = false;
    if (rc != CONFCAST_OK) {
        return rc;
    }
    if (!cfc_schema_pay(matcher->steps, 1 + size / CHECK_BYTES_PER_STEP)) {
        return CONFCAST_ERR_LIMIT;
    }
    matcher->position = 0;
    matcher->weight = pattern->weight;
    rc = pcre2_match(pattern->code, (PCRE2_SPTR)text, size, 0, 0, matcher->data, matcher->context);
    if (rc >= 0) {
        *matches = true;
        return CONFCAST_OK;
    }
    switch (rc) {
    case PCRE2_ERROR_NOMATCH:
        return CONFCAST_OK;
    case PCRE2_ERROR_NOMEMORY:
        return CONFCAST_ERR_NO_MEMORY;
    case PCRE2_ERROR_CALLOUT:
    case PCRE2_ERROR_MATCHLIMIT:
    case PCRE2_ERROR_DEPTHLIMIT:
    case PCRE2_ERROR_HEAPLIMIT:
        return CONFCAST_ERR_LIMIT;
    default:
        return rc <= PCRE2_ERROR_UTF8_ERR1 && rc >= PCRE2_ERROR_UTF8_ERR21 ? CONFCAST_ERR_ENCODING
                                                                           : CONFCAST_ERR_INTERNAL;
    }
}
