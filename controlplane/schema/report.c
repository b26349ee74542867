#include "controlplane/schema/report.h"

#include <stdio.h>
#include <string.h>

#include "protocol/base/limits.h"

enum {
    DOTS_SIZE = 3
};

void
cfc_schema_text_init(struct cfc_schema_text *text, char *at, size_t size)
{
    *text = (struct cfc_schema_text){.at = at, .size = size};
    at[0] = '\0';
}

/* Ends a text whose field is full: back to where a character begins and the dots fit. */
static void
cut(struct cfc_schema_text *text)
{
    size_t used = text->used;

    while (used > 0 &&
           (used > text->size - 1 - DOTS_SIZE || ((unsigned char)text->at[used] & 0xc0) == 0x80)) {
        used--;
    }
    memcpy(text->at + used, "...", DOTS_SIZE + 1);
    text->used = used + DOTS_SIZE;
    text->is_cut = true;
}

static void
add(struct cfc_schema_text *text, char c)
{
    if (text->is_cut) {
        return;
    }
    if (text->used == text->size - 1) {
        cut(text);
        return;
    }
    text->at[text->used++] = c;
    text->at[text->used] = '\0';
}

static char
printable(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f ? '?' : c;
}

void
cfc_schema_text_plain(struct cfc_schema_text *text, const char *plain, size_t size)
{
    for (size_t i = 0; i < size && !text->is_cut; i++) {
        add(text, printable(plain[i]));
    }
}

void
cfc_schema_text_token(struct cfc_schema_text *text, const char *token, size_t size)
{
    add(text, '/');
    for (size_t i = 0; i < size && !text->is_cut; i++) {
        if (token[i] == '~' || token[i] == '/') {
            add(text, '~');
            add(text, token[i] == '~' ? '0' : '1');
        } else {
            add(text, printable(token[i]));
        }
    }
}

void
cfc_schema_text_index(struct cfc_schema_text *text, size_t index)
{
    char digits[24];
    int size = snprintf(digits, sizeof(digits), "%zu", index);

    cfc_schema_text_token(text, digits, (size_t)size);
}

void
cfc_schema_text_node(struct cfc_schema_text *text, const struct cfc_schema *schema, uint32_t node)
{
    uint32_t path[CFC_DEPTH_MAX];
    size_t depth = 0;

    for (uint32_t at = node; at != 0 && at != CFC_SCHEMA_NO_NODE;) {
        path[depth++] = at;
        at = schema->nodes.at[at].parent;
    }
    while (depth > 0) {
        const struct cfc_schema_node *step = &schema->nodes.at[path[--depth]];
        const char *word = cfc_schema_word(step->keyword);

        cfc_schema_text_token(text, word, strlen(word));
        if (step->key != NULL) {
            cfc_schema_text_token(text, step->key, step->key_size);
        } else if (cfc_schema_shape_of(step->keyword) == CFC_SHAPE_LIST) {
            cfc_schema_text_index(text, step->index);
        }
    }
}

void
cfc_schema_report(struct cfc_schema_error *why, const struct cfc_schema *schema, uint32_t node,
                  enum cfc_schema_keyword keyword, const char *format, va_list args)
{
    const char *word = cfc_schema_word(keyword);
    struct cfc_schema_text pointer;
    int size;

    if (why == NULL) {
        return;
    }
    why->instance_pointer[0] = '\0';
    cfc_schema_text_init(&pointer, why->schema_pointer, sizeof(why->schema_pointer));
    if (schema != NULL) {
        cfc_schema_text_node(&pointer, schema, node);
    }
    if (keyword != CFC_KEYWORD_NONE) {
        cfc_schema_text_token(&pointer, word, strlen(word));
    }
    snprintf(why->keyword, sizeof(why->keyword), "%s", word);
    size = vsnprintf(why->message, sizeof(why->message), format, args);
    if (size >= (int)sizeof(why->message)) {
        struct cfc_schema_text message = {
            .at = why->message, .size = sizeof(why->message), .used = sizeof(why->message) - 1};

        cut(&message);
    }
    for (char *c = why->message; *c != '\0'; c++) {
        *c = printable(*c);
    }
}
