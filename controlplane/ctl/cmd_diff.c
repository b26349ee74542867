/* diff: what differs between two revisions, value by value. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"
#include "controlplane/ctl/terminal.h"
#include "controlplane/ctl/walk.h"

/* One value that has nothing below it, with the JSON Pointer (RFC 6901) to it. */
struct leaf {
    char *pointer;
    char *text; /* compact JSON */
};

struct leaves {
    struct leaf *items;
    size_t count;
    size_t capacity;
};

static void
leaves_free(struct leaves *leaves)
{
    for (size_t i = 0; i < leaves->count; i++) {
        free(leaves->items[i].pointer);
        free(leaves->items[i].text);
    }
    free(leaves->items);
    memset(leaves, 0, sizeof(*leaves));
}

static bool
leaves_add(struct leaves *leaves, const char *pointer, const json_t *value)
{
    struct leaf leaf = {.pointer = strdup(pointer), .text = cfc_ctl_scalar_text(value)};

    if (leaves->count == leaves->capacity) {
        size_t capacity = leaves->capacity > 0 ? leaves->capacity * 2 : 64;
        struct leaf *items = realloc(leaves->items, capacity * sizeof(*items));

        if (items == NULL) {
            free(leaf.pointer);
            free(leaf.text);
            return false;
        }
        leaves->items = items;
        leaves->capacity = capacity;
    }
    leaves->items[leaves->count++] = leaf;
    return leaf.pointer != NULL && leaf.text != NULL;
}

/* The pointer to the value being visited: one buffer, cut back at each step. */
struct pointer {
    char *text;
    size_t capacity;
    size_t ends[CFC_WALK_DEPTH_MAX + 1]; /* its size at each depth */
};

static bool
pointer_reserve(struct pointer *p, size_t size)
{
    char *grown;

    if (size <= p->capacity) {
        return true;
    }
    grown = realloc(p->text, size * 2);
    if (grown == NULL) {
        return false;
    }
    p->text = grown;
    p->capacity = size * 2;
    return true;
}

static bool
pointer_set(struct pointer *p, const struct cfc_walk_step *step)
{
    size_t size = p->ends[step->depth - 1];
    char index[24];
    const char *key = step->key;

    if (key == NULL) {
        snprintf(index, sizeof(index), "%zu", step->idx);
        key = index;
    }
    if (!pointer_reserve(p, size + 2 * strlen(key) + 2)) {
        return false;
    }
    p->text[size++] = '/';
    for (const char *c = key; *c != '\0'; c++) {
        if (*c == '~' || *c == '/') {
            p->text[size++] = '~';
            p->text[size++] = *c == '~' ? '0' : '1';
        } else {
            p->text[size++] = *c;
        }
    }
    p->text[size] = '\0';
    p->ends[step->depth] = size;
    return true;
}

static int
compare_leaves(const void *a, const void *b)
{
    const struct leaf *left = a;
    const struct leaf *right = b;

    return strcmp(left->pointer, right->pointer);
}

static bool
leaves_of(json_t *document, struct leaves *leaves)
{
    struct pointer pointer = {0};
    struct cfc_walk walk;
    struct cfc_walk_step step;
    bool ok = true;

    cfc_walk_init(&walk, document);
    while (ok && cfc_walk_next(&walk, &step)) {
        ok = pointer_set(&pointer, &step);
        if (ok && json_object_size(step.value) == 0 && json_array_size(step.value) == 0) {
            ok = leaves_add(leaves, pointer.text, step.value);
        }
    }
    free(pointer.text);
    if (ok && leaves->count > 0) {
        qsort(leaves->items, leaves->count, sizeof(leaves->items[0]), compare_leaves);
    }
    return ok && !walk.is_too_deep;
}

static void
report_line(char sign, enum cfc_color color, const char *pointer, const char *value)
{
    if (!cfc_terminal_has_color(stdout)) {
        color = CFC_COLOR_NONE;
    }
    if (value != NULL) {
        printf("%s%c %s: %s%s\n", cfc_color_on(color), sign, pointer, value, cfc_color_off(color));
    }
}

static void
report(json_t *list, const struct cfc_ctl *ctl, const char *pointer, const char *before,
       const char *after)
{
    json_t *row;

    if (ctl->format == CFC_FORMAT_TABLE) {
        report_line('-', CFC_COLOR_RED, pointer, before);
        report_line('+', CFC_COLOR_GREEN, pointer, after);
        return;
    }
    row = json_object();
    json_object_set_new(row, "path", json_string(pointer));
    if (before != NULL) {
        json_object_set_new(row, "before", json_loads(before, JSON_DECODE_ANY, NULL));
    }
    if (after != NULL) {
        json_object_set_new(row, "after", json_loads(after, JSON_DECODE_ANY, NULL));
    }
    json_array_append_new(list, row);
}

/* Walks both sorted lists side by side; returns how many pointers differ. */
static size_t
compare(const struct cfc_ctl *ctl, const struct leaves *a, const struct leaves *b, json_t *list)
{
    size_t difference_count = 0;
    size_t i = 0;
    size_t k = 0;

    while (i < a->count || k < b->count) {
        int order = i == a->count   ? 1
                    : k == b->count ? -1
                                    : strcmp(a->items[i].pointer, b->items[k].pointer);
        const char *before = order <= 0 ? a->items[i].text : NULL;
        const char *after = order >= 0 ? b->items[k].text : NULL;
        const char *pointer = order <= 0 ? a->items[i].pointer : b->items[k].pointer;

        i += order <= 0 ? 1 : 0;
        k += order >= 0 ? 1 : 0;
        if (before != NULL && after != NULL && strcmp(before, after) == 0) {
            continue;
        }
        report(list, ctl, pointer, before, after);
        difference_count++;
    }
    return difference_count;
}

static int
fetch(struct cfc_ctl *ctl, const char *scope, const char *revision, struct leaves *leaves)
{
    struct cfc_ctl_path path;
    struct cfc_ctl_response response;
    const char *text = NULL;
    size_t size = 0;
    json_t *document = NULL;
    int rc;

    cfc_ctl_path_init(&path, "/v1/config/", scope);
    cfc_ctl_path_param(&path, "revision", revision);
    rc = cfc_ctl_call(ctl, "GET", &path, NULL, 0, &response);
    if (rc == CFC_EXIT_OK) {
        if (cfc_ctl_raw_member(response.body, response.size, "document", &text, &size)) {
            document = json_loadb(text, size, JSON_DECODE_INT_AS_REAL, NULL);
        }
        if (document == NULL || !leaves_of(document, leaves)) {
            rc = cfc_ctl_fail(CFC_EXIT_CONNECT, "%s sent no document that can be compared",
                              ctl->server);
        }
        json_decref(document);
    }
    cfc_ctl_response_free(&response);
    return rc;
}

/* The revision that is released now, as text. */
static int
active_revision(struct cfc_ctl *ctl, const char *scope, char text[24])
{
    struct cfc_ctl_path path;
    json_t *release = NULL;
    int rc;

    cfc_ctl_path_init(&path, "/v1/release/", scope);
    rc = cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, &release);
    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    if (!json_is_integer(json_object_get(release, "active_revision"))) {
        rc = cfc_ctl_fail(CFC_EXIT_NOT_FOUND, "%s has no active revision: name two", scope);
    } else {
        snprintf(text, 24, "%lld", json_integer_value(json_object_get(release, "active_revision")));
    }
    json_decref(release);
    return rc;
}

int
cfc_ctl_diff(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_scope(args);
    const char *before = cfc_ctl_positional(args, 1);
    const char *after = cfc_ctl_positional(args, 2);
    struct leaves a = {0};
    struct leaves b = {0};
    json_t *list = json_array();
    char active[24] = "";
    uint64_t number;
    int rc = CFC_EXIT_OK;

    if (scope == NULL || (before != NULL && !cfc_ctl_uint(before, UINT64_MAX, &number)) ||
        (after != NULL && !cfc_ctl_uint(after, UINT64_MAX, &number))) {
        json_decref(list);
        return cfc_ctl_fail(CFC_EXIT_USAGE, "usage: confcastctl diff SCOPE [A [B]]");
    }
    if (before == NULL) {
        rc = active_revision(ctl, scope, active);
        before = active;
    }
    if (rc == CFC_EXIT_OK && (rc = fetch(ctl, scope, before, &a)) == CFC_EXIT_OK &&
        (rc = fetch(ctl, scope, after, &b)) == CFC_EXIT_OK) {
        rc = compare(ctl, &a, &b, list) > 0 ? CFC_EXIT_NEGATIVE : CFC_EXIT_OK;
        if (ctl->format != CFC_FORMAT_TABLE) {
            json_t *answer = json_pack("{sO}", "differences", list);

            cfc_ctl_print_object(ctl, answer);
            json_decref(answer);
        }
    }
    json_decref(list);
    leaves_free(&a);
    leaves_free(&b);
    return rc;
}
