/* status, wait, consumers. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"

enum {
    WAIT_STEP_MS = 50,
};

static const struct cfc_ctl_column scope_columns[] = {
    {"SCOPE", "scope"},         {"STATE", "state"},     {"VERSION", "version"},
    {"PUBLISHED", "published"}, {"CONSUMERS", "total"}, {"ACCEPTED", "accepted"},
    {"PREPARED", "prepared"},   {"APPLIED", "applied"}, {"DURABLE", "durable"},
    {"REJECTED", "rejected"},   {"STALE", "stale"},
};

static const struct cfc_ctl_column consumer_columns[] = {
    {"CONSUMER", "consumer"}, {"SCOPE", "scope"},       {"STATE", "state"},
    {"REASON", "reason"},     {"ACCEPTED", "accepted"}, {"SERVING", "serving"},
    {"DURABLE", "durable"},   {"STALE", "stale"},       {"SEEN", "seen"},
};

#define COLUMNS(list) (list), sizeof(list) / sizeof((list)[0])

static int64_t
integer_at(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* The rollout that a scope takes part in, as lines of "name  value". */
static void
print_rollout(const json_t *rollout)
{
    static const struct {
        const char *key;
        const char *label;
    } lines[] = {
        {"layer", "layer"},
        {"state", "state"},
        {"reason", "reason"},
        {"activate_at", "activates at"},
        {"require_prepared", "requires prepared"},
        {"stage_since", "stage since"},
        {"bake_s", "bakes for, s"},
        {"confirm_by", "confirm by"},
    };
    const json_t *consumers = json_object_get(rollout, "consumers");
    const json_t *stage = json_object_get(rollout, "stage");

    puts("\nrollout:");
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const json_t *value = json_object_get(rollout, lines[i].key);

        if (json_is_string(value)) {
            printf("  %-18s %s\n", lines[i].label, json_string_value(value));
        } else if (json_is_integer(value)) {
            printf("  %-18s %lld\n", lines[i].label, (long long)json_integer_value(value));
        }
    }
    printf("  %-18s %s, stage %lld%s\n", "strategy",
           json_string_value(json_object_get(stage, "strategy")),
           (long long)integer_at(stage, "index") + 1,
           json_is_true(json_object_get(rollout, "waiting")) ? ", not activated" : "");
    printf("  %-18s %lld of %lld alive; candidate %lld, applied %lld, rejected %lld\n", "prepared",
           (long long)integer_at(consumers, "prepared"), (long long)integer_at(consumers, "alive"),
           (long long)integer_at(consumers, "candidate"),
           (long long)integer_at(consumers, "candidate_applied"),
           (long long)integer_at(consumers, "candidate_rejected"));
}

/* One scope: its row, and who is behind. */
static int
print_scope_status(const struct cfc_ctl *ctl, json_t *answer)
{
    json_t *rows;
    int rc;

    if (ctl->format != CFC_FORMAT_TABLE) {
        return cfc_ctl_print_object(ctl, answer);
    }
    rows = json_pack("{s[O]}", "scopes", answer);
    rc = cfc_ctl_print_rows(ctl, rows, "scopes", COLUMNS(scope_columns));
    json_decref(rows);
    if (rc == CFC_EXIT_OK && json_is_object(json_object_get(answer, "rollout"))) {
        print_rollout(json_object_get(answer, "rollout"));
    }
    if (rc == CFC_EXIT_OK && json_array_size(json_object_get(answer, "stragglers")) > 0) {
        puts("\nbehind:");
        rc = cfc_ctl_print_rows(ctl, answer, "stragglers", COLUMNS(consumer_columns));
    }
    return rc;
}

int
cfc_ctl_status(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    struct cfc_ctl_path path;
    const char *scope = NULL;
    json_t *answer = NULL;
    int rc;

    if (args->positional_count > 0) {
        scope = cfc_ctl_scope(args);
        if (scope == NULL) {
            return CFC_EXIT_USAGE;
        }
    }
    cfc_ctl_path_init(&path, scope != NULL ? "/v1/status/" : "/v1/status", scope);
    rc = cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, &answer);
    if (rc == CFC_EXIT_OK) {
        rc = scope != NULL ? print_scope_status(ctl, answer)
                           : cfc_ctl_print_rows(ctl, answer, "scopes", COLUMNS(scope_columns));
        json_decref(answer);
    }
    return rc;
}

static uint64_t
mono_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* What is waited for: so many consumers, or such a share of them. */
struct goal {
    const char *what; /* "applied" or "prepared" */
    double percent;   /* < 0: a count */
    uint64_t count;
    uint64_t version; /* 0 = the one in force when the wait began */
};

static bool
parse_goal(const char *text, struct goal *goal)
{
    size_t size = strlen(text);
    char *end = NULL;

    if (size > 1 && text[size - 1] == '%') {
        goal->percent = strtod(text, &end);
        return text[0] >= '0' && text[0] <= '9' && end == text + size - 1 && goal->percent > 0 &&
               goal->percent <= 100;
    }
    goal->percent = -1;
    return cfc_ctl_uint(text, UINT32_MAX, &goal->count) && goal->count > 0;
}

static bool
is_reached(const json_t *status, const struct goal *goal)
{
    double total = (double)integer_at(status, "total");
    double applied = (double)integer_at(status, goal->what);

    if ((uint64_t)integer_at(status, "published") < goal->version ||
        (uint64_t)integer_at(status, "version") < goal->version || goal->version == 0) {
        return false;
    }
    /* A share of nobody is nobody: it is not reached. */
    return goal->percent < 0 ? applied >= (double)goal->count
                             : total > 0 && applied >= ceil(total * goal->percent / 100 - 1e-9);
}

static int
print_wait(const struct cfc_ctl *ctl, json_t *status, const struct goal *goal, uint64_t waited_ms,
           bool reached)
{
    json_t *answer;

    if (status == NULL) {
        return CFC_EXIT_OK;
    }
    if (ctl->format == CFC_FORMAT_TABLE) {
        printf("%s version %llu: %lld of %lld %s after %llu ms%s\n",
               json_string_value(json_object_get(status, "scope")),
               (unsigned long long)goal->version, (long long)integer_at(status, goal->what),
               (long long)integer_at(status, "total"), goal->what, (unsigned long long)waited_ms,
               reached ? "" : ", not reached");
        return CFC_EXIT_OK;
    }
    answer = json_pack("{sO sb sI sI}", "status", status, "reached", (int)reached, "version",
                       (json_int_t)goal->version, "waited_ms", (json_int_t)waited_ms);
    cfc_ctl_print_object(ctl, answer);
    json_decref(answer);
    return CFC_EXIT_OK;
}

static void
sleep_ms(uint64_t ms)
{
    struct timespec delay = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&delay, NULL);
}

/* Asks until the goal is reached.  A daemon that is away for a moment does not end the wait. */
static int
wait_for(struct cfc_ctl *ctl, const char *scope, struct goal *goal, uint64_t timeout_ms)
{
    uint64_t start_ms = mono_ms();
    json_t *last = NULL;
    struct cfc_ctl_path path;
    bool reached = false;
    int rc;

    cfc_ctl_path_init(&path, "/v1/status/", scope);
    cfc_ctl_path_param(&path, "stragglers", "0");
    for (;;) {
        json_t *status = NULL;
        uint64_t waited_ms;

        ctl->is_quiet = last != NULL;
        rc = cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, &status);
        waited_ms = mono_ms() - start_ms;
        if (rc == CFC_EXIT_OK) {
            json_decref(last);
            last = status;
            goal->version =
                goal->version > 0 ? goal->version : (uint64_t)integer_at(status, "version");
            reached = is_reached(status, goal);
        } else if (last == NULL) {
            return rc;
        }
        if (reached || waited_ms >= timeout_ms) {
            print_wait(ctl, last, goal, waited_ms, reached);
            json_decref(last);
            break;
        }
        sleep_ms(timeout_ms - waited_ms < WAIT_STEP_MS ? timeout_ms - waited_ms : WAIT_STEP_MS);
    }
    if (reached) {
        return CFC_EXIT_OK;
    }
    return timeout_ms == 0 ? CFC_EXIT_NEGATIVE
                           : cfc_ctl_fail(CFC_EXIT_TIMEOUT, "%s: not reached in time", scope);
}

int
cfc_ctl_wait(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_scope(args);
    const char *applied = cfc_ctl_option(args, "applied");
    const char *prepared = cfc_ctl_option(args, "prepared");
    const char *timeout = cfc_ctl_option(args, "timeout");
    const char *version = cfc_ctl_option(args, "version");
    uint64_t timeout_ms = 60000;
    struct goal goal = {0};

    if (scope == NULL) {
        return CFC_EXIT_USAGE;
    }
    if (applied != NULL && prepared != NULL) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "wait for applied or for prepared, not for both");
    }
    goal.what = prepared != NULL ? "prepared" : "applied";
    if (!parse_goal(prepared != NULL ? prepared : applied != NULL ? applied : "100%", &goal)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "--%s needs a share like 99.9%% or a count", goal.what);
    }
    if (timeout != NULL && !cfc_ctl_duration_ms(timeout, &timeout_ms)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "--timeout needs a time like 60s");
    }
    if (version != NULL &&
        (!cfc_ctl_uint(version, INT64_MAX, &goal.version) || goal.version == 0)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "--version needs a version from 1");
    }
    return wait_for(ctl, scope, &goal, timeout_ms);
}

int
cfc_ctl_consumers(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *id = cfc_ctl_positional(args, 0);
    struct cfc_ctl_path path;
    json_t *answer = NULL;
    int rc;

    if (!cfc_ctl_check_uint(args, "limit")) {
        return CFC_EXIT_USAGE;
    }
    if (id != NULL &&
        (args->option_count > 0 && (cfc_ctl_has(args, "behind") || cfc_ctl_has(args, "after")))) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "--behind and --after are for all consumers");
    }
    cfc_ctl_path_init(&path, id != NULL ? "/v1/consumers/" : "/v1/consumers", id);
    if (id == NULL) {
        cfc_ctl_path_param(&path, "behind", cfc_ctl_has(args, "behind") ? "1" : NULL);
        cfc_ctl_path_param(&path, "after", cfc_ctl_option(args, "after"));
        cfc_ctl_path_param(&path, "limit", cfc_ctl_option(args, "limit"));
    }
    rc = cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, &answer);
    if (rc == CFC_EXIT_OK) {
        rc = cfc_ctl_print_rows(ctl, answer, "consumers", COLUMNS(consumer_columns));
        json_decref(answer);
    }
    return rc;
}
