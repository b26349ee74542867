/* apply: makes a tree of files the desired state. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"
#include "controlplane/ctl/plan.h"
#include "controlplane/ctl/preview.h"
#include "controlplane/ctl/terminal.h"
#include "controlplane/ctl/tree.h"
#include "protocol/base/scope.h"

enum {
    BATCH_SCOPES_MAX = 100, /* each takes up to two items of the 256 that a batch has */
};

#define BATCH_TEXT_MAX ((size_t)16 << 20) /* bytes of documents in one batch, but for the first */

/* ---- Showing the plan ------------------------------------------------------------------------ */

static json_t *
step_json(const struct cfc_plan_step *step)
{
    json_t *row = json_pack("{ss ss ss sI}", "action", cfc_plan_action_word(step->action), "kind",
                            cfc_tree_kind_word(step->kind), "scope", step->scope, "revision",
                            (json_int_t)step->revision);

    if (step->has_release) {
        json_object_set_new(row, "release_version",
                            json_integer((json_int_t)step->release_version));
    }
    return row;
}

static json_t *
counts_json(const struct cfc_plan *plan)
{
    json_t *counts = json_object();

    for (int i = 0; i < CFC_PLAN_ACTION_COUNT; i++) {
        json_object_set_new(counts, cfc_plan_action_word((enum cfc_plan_action)i),
                            json_integer((json_int_t)plan->counts[i]));
    }
    return counts;
}

static void
print_plan(const struct cfc_plan *plan)
{
    static const struct cfc_ctl_column columns[] = {
        {"ACTION", "action"}, {"KIND", "kind"}, {"SCOPE", "scope"}, {"FROM REVISION", "revision"}};
    json_t *rows = json_array();

    for (size_t i = 0; i < plan->count; i++) {
        if (plan->steps[i].action != CFC_PLAN_UNCHANGED) {
            json_array_append_new(rows, step_json(&plan->steps[i]));
        }
    }
    if (json_array_size(rows) > 0) {
        cfc_grid_write(stdout, rows, columns, sizeof(columns) / sizeof(columns[0]),
                       cfc_terminal_has_color(stdout));
    }
    json_decref(rows);
    printf("plan: %zu to create, %zu to change, %zu to release, %zu to delete, %zu unchanged\n",
           plan->counts[CFC_PLAN_CREATE], plan->counts[CFC_PLAN_CHANGE],
           plan->counts[CFC_PLAN_RELEASE], plan->counts[CFC_PLAN_DELETE],
           plan->counts[CFC_PLAN_UNCHANGED]);
    fflush(stdout);
}

/* ---- Changing -------------------------------------------------------------------------------- */

struct run {
    struct cfc_ctl *ctl;
    const struct cfc_ctl_args *args;
    const struct cfc_plan *plan;
    json_t *results; /* one object per request that was answered */
    bool is_dry;
};

static void
add_params(const struct run *run, struct cfc_ctl_path *path)
{
    cfc_ctl_path_param(path, "message", cfc_ctl_option(run->args, "message"));
    cfc_ctl_path_param(path, "dry_run", run->is_dry ? "1" : NULL);
}

/* A schema, settings or layers: one request each. */
static int
send_single(struct run *run, const struct cfc_plan_step *step)
{
    bool is_layers = step->kind == CFC_TREE_LAYERS;
    bool is_delete = step->action == CFC_PLAN_DELETE;
    const char *text = is_delete ? (is_layers ? "[]" : "{}") : step->file->text;
    size_t size = is_delete ? 2 : step->file->size;
    struct cfc_ctl_path path;
    char expected[24];
    char *body = NULL;
    size_t body_size = 0;
    json_t *answer = NULL;
    FILE *out = open_memstream(&body, &body_size);
    int rc;

    if (out == NULL) {
        return cfc_ctl_fail(CFC_EXIT_CONNECT, "no memory");
    }
    fputs(is_layers ? "{\"layers\":" : "", out);
    fwrite(text, 1, size, out);
    fputs(is_layers ? "}" : "", out);
    fclose(out);
    snprintf(expected, sizeof(expected), "%llu", (unsigned long long)step->revision);
    cfc_ctl_path_init(&path, cfc_plan_route(step->kind), step->scope);
    cfc_ctl_path_param(&path, is_layers ? "expected_version" : "expected_revision", expected);
    add_params(run, &path);
    rc = cfc_ctl_call_json(run->ctl, "PUT", &path, body, body_size, &answer);
    free(body);
    if (rc == CFC_EXIT_OK) {
        json_object_set_new(answer, "kind", json_string(cfc_tree_kind_word(step->kind)));
        json_array_append_new(run->results, answer);
        return CFC_EXIT_OK;
    }
    fprintf(stderr, "confcastctl: at the %s of %s\n", cfc_tree_kind_word(step->kind), step->scope);
    return rc;
}

static void
write_item(const struct run *run, FILE *out, const struct cfc_plan_step *step, const char *comma)
{
    json_t *strategy = json_string(cfc_ctl_option(run->args, "strategy"));
    char *quoted = json_dumps(strategy, JSON_ENCODE_ANY);

    json_decref(strategy);
    if (step->action == CFC_PLAN_DELETE) {
        fprintf(out, "%s{\"delete\":\"%s\",\"expected_revision\":%llu}", comma, step->scope,
                (unsigned long long)step->revision);
    } else if (step->action != CFC_PLAN_RELEASE) {
        fprintf(out, "%s{\"put\":\"%s\",\"expected_revision\":%llu,\"document\":", comma,
                step->scope, (unsigned long long)step->revision);
        fwrite(step->file->text, 1, step->file->size, out);
        fputc('}', out);
        comma = ",";
    }
    if (step->action != CFC_PLAN_DELETE && step->has_release) {
        fprintf(
            out,
            "%s{\"release\":\"%s\",\"action\":\"promote\",\"expected_release_version\":%llu%s%s}",
            comma, step->scope, (unsigned long long)step->release_version,
            quoted != NULL ? ",\"strategy\":" : "", quoted != NULL ? quoted : "");
    }
    free(quoted);
}

/* Names the scope behind "item N" of a refusal, and what is done already. */
static void
explain_refusal(const struct run *run, const struct cfc_plan_step *const *steps, size_t count)
{
    fprintf(stderr, "confcastctl: of %zu scopes from %s to %s nothing was written", count,
            steps[0]->scope, steps[count - 1]->scope);
    if (json_array_size(run->results) > 0 && !run->is_dry) {
        fprintf(stderr, "; what came before is done");
    }
    fputs("; run it again to see what is left\n", stderr);
}

static int
send_batch(struct run *run, const struct cfc_plan_step *const *steps, size_t count)
{
    struct cfc_ctl_path path;
    json_t *answer = NULL;
    char *body = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&body, &size);
    int rc;

    if (out == NULL) {
        return cfc_ctl_fail(CFC_EXIT_CONNECT, "no memory");
    }
    fputs("{\"items\":[", out);
    for (size_t i = 0; i < count; i++) {
        write_item(run, out, steps[i], i > 0 ? "," : "");
    }
    fputs("]}", out);
    fclose(out);
    cfc_ctl_path_init(&path, "/v1/batch", NULL);
    cfc_ctl_path_param(&path, "override", cfc_ctl_has(run->args, "override") ? "1" : NULL);
    add_params(run, &path);
    rc = cfc_ctl_call_json(run->ctl, "POST", &path, body, size, &answer);
    free(body);
    if (rc == CFC_EXIT_OK) {
        json_array_append_new(run->results, answer);
    } else {
        explain_refusal(run, steps, count);
    }
    return rc;
}

static bool
is_todo(const struct cfc_plan_step *step, bool is_definition)
{
    return step->action != CFC_PLAN_UNCHANGED &&
           (step->kind == CFC_TREE_DEFINITION) == is_definition;
}

static size_t
text_size(const struct cfc_plan_step *step)
{
    return step->file != NULL ? step->file->size : 0;
}

/* Definitions, as many as fit, in one atomic step; a tenant is kept together where it fits. */
static int
send_definitions(struct run *run)
{
    const struct cfc_plan_step *steps[BATCH_SCOPES_MAX];
    size_t count = 0;
    size_t bytes = 0;
    int rc = CFC_EXIT_OK;

    for (size_t i = 0; rc == CFC_EXIT_OK && i < run->plan->count; i++) {
        const struct cfc_plan_step *step = &run->plan->steps[i];

        if (!is_todo(step, true)) {
            continue;
        }
        if (count == BATCH_SCOPES_MAX || (count > 0 && bytes + text_size(step) > BATCH_TEXT_MAX)) {
            rc = send_batch(run, steps, count);
            count = 0;
            bytes = 0;
        }
        steps[count++] = step;
        bytes += text_size(step);
    }
    return rc == CFC_EXIT_OK && count > 0 ? send_batch(run, steps, count) : rc;
}

static int
send_singles(struct run *run, bool is_layers)
{
    int rc = CFC_EXIT_OK;

    for (size_t i = 0; rc == CFC_EXIT_OK && i < run->plan->count; i++) {
        const struct cfc_plan_step *step = &run->plan->steps[i];

        if (is_todo(step, false) && (step->kind == CFC_TREE_LAYERS) == is_layers) {
            rc = send_single(run, step);
        }
    }
    return rc;
}

/* What is asked of configs first, then the definitions, then what is merged: each step leaves
 * something whole. */
static int
send_all(struct run *run)
{
    int rc = send_singles(run, false);

    rc = rc == CFC_EXIT_OK ? send_definitions(run) : rc;
    return rc == CFC_EXIT_OK ? send_singles(run, true) : rc;
}

static void
print_results(const struct run *run)
{
    json_int_t version = 0;
    json_int_t affected = 0;
    json_t *result;
    size_t i;

    json_array_foreach(run->results, i, result)
    {
        json_int_t own = json_integer_value(json_object_get(result, "version"));

        cfc_preview_warn(run->ctl, result);
        cfc_preview_write(stdout, json_object_get(result, "preview"),
                          cfc_terminal_has_color(stdout));
        version = own > version ? own : version;
        affected += json_integer_value(json_object_get(result, "affected"));
    }
    if (run->is_dry) {
        puts("dry run, nothing written");
    } else {
        printf("done in %zu steps, %lld scopes got a new version%s", i, (long long)affected,
               version > 0 ? ", the last is " : "\n");
        if (version > 0) {
            printf("%lld\n", (long long)version);
        }
    }
}

static int
run_plan(struct run *run)
{
    size_t todo_count = run->plan->count - run->plan->counts[CFC_PLAN_UNCHANGED];
    bool is_table = run->ctl->format == CFC_FORMAT_TABLE;
    bool is_check = cfc_ctl_has(run->args, "check");
    json_t *answer;
    int rc = CFC_EXIT_OK;

    if (is_table) {
        print_plan(run->plan);
    }
    if (todo_count > 0 && !is_check) {
        rc = send_all(run);
    }
    if (is_table) {
        if (todo_count > 0 && !is_check && rc == CFC_EXIT_OK) {
            print_results(run);
        }
    } else {
        answer = json_pack("{s[] so sb sb sO}", "plan", "counts", counts_json(run->plan), "dry_run",
                           (int)(run->is_dry || is_check), "done",
                           (int)(rc == CFC_EXIT_OK && !run->is_dry && !is_check), "results",
                           run->results);
        for (size_t i = 0; i < run->plan->count; i++) {
            json_array_append_new(json_object_get(answer, "plan"), step_json(&run->plan->steps[i]));
        }
        cfc_ctl_print_machine(run->ctl, answer);
        json_decref(answer);
    }
    return rc == CFC_EXIT_OK && is_check && todo_count > 0 ? CFC_EXIT_NEGATIVE : rc;
}

int
cfc_ctl_apply(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *dir = cfc_ctl_option(args, "dir");
    struct cfc_plan_wish wish = {.promotes = cfc_ctl_has(args, "promote"),
                                 .prunes = cfc_ctl_has(args, "prune"),
                                 .under = cfc_ctl_option(args, "under")};
    char why[CFC_TREE_WHY_SIZE];
    struct cfc_tree tree;
    struct cfc_plan plan;
    struct run run = {
        .ctl = ctl, .args = args, .plan = &plan, .is_dry = cfc_ctl_has(args, "dry-run")};
    int rc;

    if (dir == NULL || (cfc_ctl_has(args, "strategy") && !wish.promotes)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "apply needs -d DIR, and --strategy needs --promote");
    }
    if (ctl->idempotency_key != NULL) {
        return cfc_ctl_fail(CFC_EXIT_USAGE,
                            "apply sends several requests; it may be run again without a key");
    }
    if (!cfc_tree_check_under(wish.under)) {
        return CFC_EXIT_USAGE;
    }
    rc = cfc_tree_read(dir, &tree, why);
    if (rc != CONFCAST_OK) {
        return cfc_tree_fail(rc, why);
    }
    if (tree.count == 0) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "%s has no files: SCOPE.json is looked for", dir);
    }
    rc = cfc_plan_make(ctl, &tree, &wish, &plan);
    if (rc == CFC_EXIT_OK) {
        run.results = json_array();
        rc = run_plan(&run);
        json_decref(run.results);
    }
    cfc_plan_free(&plan);
    cfc_tree_free(&tree);
    return rc;
}
