/* Regular expressions as JSON Schema means them: ECMA-262 with the u flag, not anchored.  They are
 * parsed here and written anew for PCRE2, so that nothing reaches it that ECMA-262 does not have.
 * docs/adr/0032-json-schema.md says how the time is bounded. */
#ifndef CFC_SCHEMA_PATTERN_H
#define CFC_SCHEMA_PATTERN_H

#include "controlplane/schema/internal.h"

/* Compiles the `size` bytes of a pattern.  `*pattern` is the caller's (cfc_schema_pattern_free);
 * `alloc` outlives it.  On error `message` is a sentence of at most `message_size` bytes.
 *
 *   CONFCAST_ERR_SCHEMA_INVALID      not a regular expression of ECMA-262 with the u flag
 *   CONFCAST_ERR_SCHEMA_UNSUPPORTED  a back-reference
 *   CONFCAST_ERR_LIMIT               above a limit in schema.h, or too big when compiled
 *   CONFCAST_ERR_NO_MEMORY */
int cfc_schema_pattern_compile(const struct cfc_alloc *alloc, const char *text, size_t size,
                               struct cfc_schema_pattern *pattern, char *message,
                               size_t message_size);

void cfc_schema_pattern_free(struct cfc_schema_pattern *pattern);

/* Bytes that it holds. */
size_t cfc_schema_pattern_size(const struct cfc_schema_pattern *pattern);

/* The translation alone: PCRE2's text of a pattern, appended to `out`, and the highest
 * number of its quantifiers.  Errors as cfc_schema_pattern_compile(). */
struct cfc_buffer;
int cfc_schema_pattern_translate(const char *text, size_t size, struct cfc_buffer *out,
                                 uint32_t *repeat_max, char *message, size_t message_size);

/* PCRE2's text for the property `name` or, where `value` is not NULL, `name`=`value`: static or in
 * `buffer`.  NULL for one that ECMA-262 does not have.  Scripts are left for PCRE2 to know. */
const char *cfc_schema_pattern_property(const char *name, const char *value, char *buffer,
                                        size_t buffer_size);

/* What matching needs of memory; of one thread. */
struct cfc_schema_matcher {
    pcre2_general_context *general;
    pcre2_match_context *context; /* NULL until the first match */
    pcre2_match_data *data;
    struct cfc_alloc alloc;
    uint64_t *steps; /* what is left to the whole validation */
    uint32_t weight; /* of the pattern being matched */
    size_t position; /* where the last callout was */
};

/* Formats a matcher that pays from `*steps`; allocates nothing.  Keep it where it is. */
void cfc_schema_matcher_init(struct cfc_schema_matcher *matcher, const struct cfc_alloc *alloc,
                             uint64_t *steps);

void cfc_schema_matcher_free(struct cfc_schema_matcher *matcher);

/* Whether the pattern occurs in the text.  CONFCAST_OK and `*matches`; CONFCAST_ERR_LIMIT (steps or
 * memory for backtracking), CONFCAST_ERR_ENCODING, CONFCAST_ERR_NO_MEMORY. */
int cfc_schema_match(struct cfc_schema_matcher *matcher, const struct cfc_schema_pattern *pattern,
                     const char *text, size_t size, bool *matches);

#endif
