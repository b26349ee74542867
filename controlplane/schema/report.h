/* Writing cfc_schema_error: texts of bounded length that say when they are cut. */
#ifndef CFC_SCHEMA_REPORT_H
#define CFC_SCHEMA_REPORT_H

#include <stdarg.h>

#include "controlplane/schema/internal.h"

/* A NUL-terminated text in a buffer of `size` bytes, at least 4.  What does not fit is cut at a
 * character of UTF-8, with "..." behind it. */
struct cfc_schema_text {
    char *at;
    size_t size;
    size_t used;
    bool is_cut;
};

void cfc_schema_text_init(struct cfc_schema_text *text, char *at, size_t size);

/* Appends characters as they are, control characters as "?". */
void cfc_schema_text_plain(struct cfc_schema_text *text, const char *plain, size_t size);

/* Appends "/" and one token of a JSON Pointer (RFC 6901), escaped, and otherwise plain. */
void cfc_schema_text_token(struct cfc_schema_text *text, const char *token, size_t size);
void cfc_schema_text_index(struct cfc_schema_text *text, size_t index);

/* Appends the pointer of a node. */
void cfc_schema_text_node(struct cfc_schema_text *text, const struct cfc_schema *schema,
                          uint32_t node);

/* Fills the schema's half of `why` (not instance_pointer): node and keyword, which may be
 * CFC_KEYWORD_NONE.  `why` may be NULL.  The message is in the manner of printf(). */
void cfc_schema_report(struct cfc_schema_error *why, const struct cfc_schema *schema, uint32_t node,
                       enum cfc_schema_keyword keyword, const char *format, va_list args);

#endif
