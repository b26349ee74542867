#include "controlplane/ctl/plan.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/scope_list.h"
#include "protocol/base/scope.h"

static const char *const routes[CFC_TREE_KIND_COUNT] = {
    [CFC_TREE_SCHEMA] = "/v1/schema/",
    [CFC_TREE_SETTINGS] = "/v1/settings/",
    [CFC_TREE_DEFINITION] = "/v1/config/",
    [CFC_TREE_LAYERS] = "/v1/layers/",
};

const char *
cfc_plan_route(enum cfc_tree_kind kind)
{
    return routes[kind];
}

const char *
cfc_plan_action_word(enum cfc_plan_action action)
{
    static const char *const words[CFC_PLAN_ACTION_COUNT] = {
        [CFC_PLAN_UNCHANGED] = "unchanged", [CFC_PLAN_CREATE] = "create",
        [CFC_PLAN_CHANGE] = "change",       [CFC_PLAN_RELEASE] = "release",
        [CFC_PLAN_DELETE] = "delete",
    };

    return words[action];
}

bool
cfc_plan_is_under(const char *scope, const char *under)
{
    size_t size = strlen(under);

    return strncmp(scope, under, size) == 0 && (scope[size] == '\0' || scope[size] == '/');
}

void
cfc_plan_free(struct cfc_plan *plan)
{
    free(plan->steps);
    memset(plan, 0, sizeof(*plan));
}

static struct cfc_plan_step *
add_step(struct cfc_plan *plan)
{
    if (plan->count == plan->capacity) {
        size_t capacity = plan->capacity > 0 ? plan->capacity * 2 : 64;
        struct cfc_plan_step *steps = realloc(plan->steps, capacity * sizeof(*steps));

        if (steps == NULL) {
            return NULL;
        }
        plan->steps = steps;
        plan->capacity = capacity;
    }
    memset(&plan->steps[plan->count], 0, sizeof(plan->steps[0]));
    return &plan->steps[plan->count++];
}

static uint64_t
whole_number(const json_t *object, const char *key)
{
    double number = json_number_value(json_object_get(object, key));

    return number > 0 ? (uint64_t)number : 0;
}

/* The answer's members are reals, as those of the tree's files: 1 and 1.0 are one number. */
static json_t *
parse_answer(const struct cfc_ctl_response *response)
{
    return json_loadb(response->body, response->size,
                      JSON_DECODE_INT_AS_REAL | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
}

int
cfc_plan_fetch(struct cfc_ctl *ctl, const char *scope, enum cfc_tree_kind kind, json_t **answer,
               uint64_t *revision)
{
    struct cfc_ctl_response response;
    struct cfc_ctl_path path;
    json_t *root;
    int rc;

    *answer = NULL;
    *revision = 0;
    cfc_ctl_path_init(&path, routes[kind], scope);
    ctl->accepts_absent = true;
    rc = cfc_ctl_call(ctl, "GET", &path, NULL, 0, &response);
    ctl->accepts_absent = false;
    root = rc == CFC_EXIT_OK || rc == CFC_EXIT_NOT_FOUND ? parse_answer(&response) : NULL;
    cfc_ctl_response_free(&response);
    if (rc == CFC_EXIT_NOT_FOUND) {
        *revision =
            whole_number(json_object_get(json_object_get(root, "error"), "current"), "revision");
        json_decref(root);
        return CFC_EXIT_OK;
    }
    if (rc == CFC_EXIT_OK && !json_is_object(root)) {
        json_decref(root);
        return cfc_ctl_fail(CFC_EXIT_CONNECT, "%s answered with something that is no JSON object",
                            ctl->server);
    }
    *revision = whole_number(root, kind == CFC_TREE_LAYERS ? "version" : "revision");
    *answer = root;
    return rc;
}

/* What the server has, in the shape of a file; NULL for nothing: a schema of {} asks for nothing,
 * and layers by default are nobody's setting. */
static const json_t *
content_of(const json_t *answer, enum cfc_tree_kind kind)
{
    const json_t *content =
        json_object_get(answer, kind == CFC_TREE_LAYERS ? "layers" : "document");

    if (kind == CFC_TREE_LAYERS && json_is_true(json_object_get(answer, "default"))) {
        return NULL;
    }
    if ((kind == CFC_TREE_SCHEMA || kind == CFC_TREE_SETTINGS) && json_object_size(content) == 0) {
        return NULL;
    }
    return content;
}

/* Whether the latest revision is what is released, or on its way to be. */
static int
look_at_release(struct cfc_ctl *ctl, struct cfc_plan_step *step)
{
    struct cfc_ctl_path path;
    json_t *release = NULL;
    uint64_t active;
    uint64_t candidate;
    int rc;

    cfc_ctl_path_init(&path, "/v1/release/", step->scope);
    ctl->accepts_absent = true;
    rc = cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, &release);
    ctl->accepts_absent = false;
    if (rc == CFC_EXIT_NOT_FOUND) {
        step->has_release = true;
        return CFC_EXIT_OK;
    }
    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    active = whole_number(release, "active_revision");
    candidate = whole_number(release, "candidate_revision");
    step->release_version = whole_number(release, "release_version");
    step->has_release = step->action != CFC_PLAN_UNCHANGED ||
                        (active != step->revision && candidate != step->revision);
    if (step->action == CFC_PLAN_UNCHANGED && step->has_release) {
        step->action = CFC_PLAN_RELEASE;
    }
    json_decref(release);
    return CFC_EXIT_OK;
}

static int
compare(struct cfc_ctl *ctl, const struct cfc_plan_wish *wish, struct cfc_plan *plan,
        const struct cfc_tree_file *file)
{
    struct cfc_plan_step *step = add_step(plan);
    const json_t *content;
    json_t *answer = NULL;
    bool wants_nothing;
    int rc;

    if (step == NULL) {
        return cfc_ctl_fail(CFC_EXIT_CONNECT, "no memory");
    }
    memcpy(step->scope, file->scope, sizeof(step->scope));
    step->kind = file->kind;
    step->file = file;
    rc = cfc_plan_fetch(ctl, file->scope, file->kind, &answer, &step->revision);
    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    content = content_of(answer, file->kind);
    wants_nothing = file->kind != CFC_TREE_DEFINITION && json_object_size(file->value) == 0 &&
                    json_array_size(file->value) == 0;
    step->action = content == NULL ? (wants_nothing ? CFC_PLAN_UNCHANGED : CFC_PLAN_CREATE)
                   : json_equal(content, file->value) ? CFC_PLAN_UNCHANGED
                                                      : CFC_PLAN_CHANGE;
    json_decref(answer);
    return wish->promotes && file->kind == CFC_TREE_DEFINITION ? look_at_release(ctl, step)
                                                               : CFC_EXIT_OK;
}

static int
prune_scope(struct cfc_ctl *ctl, const struct cfc_tree *tree, struct cfc_plan *plan,
            const char *scope)
{
    for (int kind = 0; kind < CFC_TREE_KIND_COUNT; kind++) {
        struct cfc_plan_step *step;
        json_t *answer = NULL;
        uint64_t revision;
        bool is_there;
        int rc;

        if (cfc_tree_find(tree, scope, (enum cfc_tree_kind)kind) != NULL) {
            continue;
        }
        rc = cfc_plan_fetch(ctl, scope, (enum cfc_tree_kind)kind, &answer, &revision);
        is_there = content_of(answer, (enum cfc_tree_kind)kind) != NULL;
        json_decref(answer);
        if (rc != CFC_EXIT_OK) {
            return rc;
        }
        if (!is_there) {
            continue;
        }
        step = add_step(plan);
        if (step == NULL) {
            return cfc_ctl_fail(CFC_EXIT_CONNECT, "no memory");
        }
        memcpy(step->scope, scope, strlen(scope) + 1);
        step->kind = (enum cfc_tree_kind)kind;
        step->action = CFC_PLAN_DELETE;
        step->revision = revision;
    }
    return CFC_EXIT_OK;
}

static int
prune_under(struct cfc_ctl *ctl, const struct cfc_tree *tree, struct cfc_plan *plan,
            const char *under)
{
    json_t *list;
    json_t *row;
    size_t i;
    int rc = cfc_scope_list(ctl, under, &list);

    json_array_foreach(list, i, row)
    {
        const char *scope = json_string_value(json_object_get(row, "scope"));

        if (rc == CFC_EXIT_OK && scope != NULL &&
            cfc_scope_check(scope, strlen(scope)) == CONFCAST_OK) {
            rc = prune_scope(ctl, tree, plan, scope);
        }
    }
    json_decref(list);
    return rc;
}

/* The scopes that the tree speaks for: one and what is below it, or the tenants that it has files
 * of.  These are sorted. */
static int
prune(struct cfc_ctl *ctl, const struct cfc_tree *tree, const struct cfc_plan_wish *wish,
      struct cfc_plan *plan)
{
    char tenant[CFC_SCOPE_SIZE_MAX + 1] = "";
    int rc = wish->under != NULL ? prune_under(ctl, tree, plan, wish->under) : CFC_EXIT_OK;

    for (size_t i = 0; wish->under == NULL && rc == CFC_EXIT_OK && i < tree->count; i++) {
        const char *scope = tree->files[i].scope;
        size_t size = strcspn(scope, "/");

        if (strlen(tenant) == size && memcmp(tenant, scope, size) == 0) {
            continue;
        }
        memcpy(tenant, scope, size);
        tenant[size] = '\0';
        rc = prune_under(ctl, tree, plan, tenant);
    }
    return rc;
}

int
cfc_plan_make(struct cfc_ctl *ctl, const struct cfc_tree *tree, const struct cfc_plan_wish *wish,
              struct cfc_plan *plan)
{
    int rc = CFC_EXIT_OK;

    memset(plan, 0, sizeof(*plan));
    for (size_t i = 0; rc == CFC_EXIT_OK && i < tree->count; i++) {
        if (wish->under == NULL || cfc_plan_is_under(tree->files[i].scope, wish->under)) {
            rc = compare(ctl, wish, plan, &tree->files[i]);
        }
    }
    if (rc == CFC_EXIT_OK && wish->prunes) {
        rc = prune(ctl, tree, wish, plan);
    }
    for (size_t i = 0; i < plan->count; i++) {
        plan->counts[plan->steps[i].action]++;
    }
    return rc;
}
