/* wait: until so many consumers serve what is published. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"
#include "controlplane/ctl/terminal.h"

enum {
    WAIT_STEP_MS = 50,
    PROGRESS_STEP_MS = 200,
};

static int64_t
integer_at(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
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

/* Why it is not reached, as far as the status says. */
static int
fail_late(const json_t *status, const struct goal *goal, const char *scope)
{
    long long total = (long long)integer_at(status, "total");
    long long rejected = (long long)integer_at(status, "rejected");
    long long stale = (long long)integer_at(status, "stale");

    if ((uint64_t)integer_at(status, "published") < goal->version || goal->version == 0) {
        return cfc_ctl_fail(CFC_EXIT_TIMEOUT,
                            "%s: not reached in time: version %llu is not published yet (doctor "
                            "looks for the engine)",
                            scope, (unsigned long long)goal->version);
    }
    if (total == 0) {
        return cfc_ctl_fail(CFC_EXIT_TIMEOUT,
                            "%s: not reached in time: no consumer that follows it is known", scope);
    }
    return cfc_ctl_fail(CFC_EXIT_TIMEOUT,
                        "%s: not reached in time: %lld of %lld lack it, %lld of them rejected it, "
                        "%lld are silent; consumers --behind --scope %s names them",
                        scope, total - (long long)integer_at(status, goal->what), total, rejected,
                        stale, scope);
}

void
cfc_ctl_sleep_ms(uint64_t ms)
{
    struct timespec delay = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&delay, NULL);
}

/* Where we are, on a line of a terminal that is written over again and again. */
struct progress {
    bool is_shown;
    uint64_t shown_ms; /* when it was written last */
};

static void
show_progress(struct progress *p, const json_t *status, const struct goal *goal, uint64_t waited_ms)
{
    if (status == NULL || !cfc_terminal_is(stderr) ||
        (p->is_shown && waited_ms - p->shown_ms < PROGRESS_STEP_MS)) {
        return;
    }
    fprintf(stderr, "\r\033[K%s version %llu: %lld of %lld %s, %llu s",
            json_string_value(json_object_get(status, "scope")), (unsigned long long)goal->version,
            (long long)integer_at(status, goal->what), (long long)integer_at(status, "total"),
            goal->what, (unsigned long long)(waited_ms / 1000));
    fflush(stderr);
    p->is_shown = true;
    p->shown_ms = waited_ms;
}

static void
end_progress(const struct progress *p)
{
    if (p->is_shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
}

/* Asks until the goal is reached.  A daemon that is away for a moment does not end the wait. */
static int
wait_for(struct cfc_ctl *ctl, const char *scope, struct goal *goal, uint64_t timeout_ms)
{
    uint64_t start_ms = mono_ms();
    struct progress progress = {0};
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
            end_progress(&progress);
            print_wait(ctl, last, goal, waited_ms, reached);
            break;
        }
        show_progress(&progress, last, goal, waited_ms);
        cfc_ctl_sleep_ms(timeout_ms - waited_ms < WAIT_STEP_MS ? timeout_ms - waited_ms
                                                               : WAIT_STEP_MS);
    }
    rc = reached ? CFC_EXIT_OK : timeout_ms == 0 ? CFC_EXIT_NEGATIVE : fail_late(last, goal, scope);
    json_decref(last);
    return rc;
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
