#include "controlplane/model/explain.h"

#include <stdint.h>
#include <string.h>

#include "confcast/error.h"

const char *
cfc_explain_effect_word(enum cfc_explain_effect effect)
{
    static const char *const words[] = {
#define WORD_(name, word) word,
        CFC_EXPLAIN_EFFECTS(WORD_)
#undef WORD_
    };

    return words[effect];
}

int
cfc_pointer_check(const char *pointer)
{
    if (strlen(pointer) > CFC_POINTER_SIZE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (pointer[0] != '\0' && pointer[0] != '/') {
        return CONFCAST_ERR_INVALID;
    }
    for (const char *p = strchr(pointer, '~'); p != NULL; p = strchr(p + 1, '~')) {
        if (p[1] != '0' && p[1] != '1') {
            return CONFCAST_ERR_INVALID;
        }
    }
    return CONFCAST_OK;
}

struct token {
    char text[CFC_POINTER_SIZE_MAX + 1];
    size_t size;
};

/* `p` is at the slash of a token; what follows it. */
static const char *
read_token(const char *p, struct token *token)
{
    token->size = 0;
    for (p++; *p != '\0' && *p != '/'; p++) {
        char c = *p;

        if (c == '~') {
            p++;
            c = *p == '0' ? '~' : '/';
        }
        token->text[token->size++] = c;
    }
    token->text[token->size] = '\0';
    return p;
}

/* An index as RFC 6901 writes it: no sign, no leading zero.  SIZE_MAX for anything else. */
static size_t
index_of(const struct token *token)
{
    size_t idx = 0;

    if (token->size == 0 || token->size > 9 || (token->text[0] == '0' && token->size > 1)) {
        return SIZE_MAX;
    }
    for (size_t i = 0; i < token->size; i++) {
        if (token->text[i] < '0' || token->text[i] > '9') {
            return SIZE_MAX;
        }
        idx = idx * 10 + (size_t)(token->text[i] - '0');
    }
    return idx;
}

static json_t *
child(json_t *parent, const struct token *token)
{
    if (json_is_object(parent)) {
        return json_object_getn(parent, token->text, token->size);
    }
    return json_is_array(parent) ? json_array_get(parent, index_of(token)) : NULL;
}

json_t *
cfc_pointer_get(json_t *root, const char *pointer)
{
    struct token token;

    while (*pointer != '\0' && root != NULL) {
        pointer = read_token(pointer, &token);
        root = child(root, &token);
    }
    return root;
}

/* The patch has `value`, which is no object, at or above the pointer: it takes the place of what
 * was there. */
static struct cfc_explain_step
put_in_place(json_t *value, const char *pointer, const char *rest)
{
    struct cfc_explain_step step = {.at_size = (size_t)(rest - pointer)};

    if (json_is_null(value)) {
        step.effect = CFC_EXPLAIN_DELETES;
        step.value = *rest == '\0' ? value : NULL;
        return step;
    }
    step.value = cfc_pointer_get(value, rest);
    step.effect = step.value != NULL ? CFC_EXPLAIN_SETS : CFC_EXPLAIN_REPLACES;
    step.at_size = step.value != NULL ? strlen(pointer) : step.at_size;
    return step;
}

struct cfc_explain_step
cfc_explain_merge(json_t *target, json_t *patch, const char *pointer)
{
    const char *rest = pointer;
    struct token token;
    size_t replaced_size = SIZE_MAX; /* the patch has an object where no object was, so deep */

    for (;;) {
        bool is_merge = json_is_object(target);

        if (!json_is_object(patch)) {
            return put_in_place(patch, pointer, rest);
        }
        if (target != NULL && !is_merge && replaced_size == SIZE_MAX) {
            replaced_size = (size_t)(rest - pointer);
        }
        if (*rest == '\0') {
            return (struct cfc_explain_step){.effect =
                                                 is_merge ? CFC_EXPLAIN_MERGES : CFC_EXPLAIN_SETS,
                                             .at_size = (size_t)(rest - pointer),
                                             .value = patch};
        }
        rest = read_token(rest, &token);
        patch = json_object_getn(patch, token.text, token.size);
        target = is_merge ? json_object_getn(target, token.text, token.size) : NULL;
        if (patch == NULL) {
            break;
        }
    }
    if (replaced_size != SIZE_MAX) {
        return (struct cfc_explain_step){.effect = CFC_EXPLAIN_REPLACES, .at_size = replaced_size};
    }
    return (struct cfc_explain_step){.effect = CFC_EXPLAIN_NONE};
}
