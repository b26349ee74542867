/* status, once or for as long as one watches, and consumers. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"
#include "controlplane/ctl/stream.h"
#include "controlplane/ctl/terminal.h"

enum {
    WATCH_PERIOD_MS_DEFAULT = 500,
    WATCH_PERIOD_MS_MIN = 20,
    STREAM_AGAIN_S = 30, /* after the server had no stream to give */
};

static const struct cfc_ctl_column scope_columns[] = {
    {"SCOPE", "scope"},         {"STATE", "state"},     {"VERSION", "version"},
    {"PUBLISHED", "published"}, {"TOTAL", "total"},     {"PREPARED", "prepared"},
    {"APPLIED", "applied"},     {"DURABLE", "durable"}, {"REJECTED", "rejected"},
    {"STALE", "stale"},
};

static const struct cfc_ctl_column consumer_columns[] = {
    {"CONSUMER", "consumer"}, {"SCOPE", "scope"},     {"STATE", "state"},   {"REASON", "reason"},
    {"SERVING", "serving"},   {"DURABLE", "durable"}, {"BEHIND", "behind"}, {"SEEN", "seen"},
};

/* For people, who take a state for one of the published version: whether it is not.  Of those that
 * are silent nobody knows; their state says so. */
static void
mark_behind(json_t *rows)
{
    size_t i;
    json_t *row;

    json_array_foreach(rows, i, row)
    {
        const json_t *since = json_object_get(row, "behind_since");

        json_object_set_new(row, "behind",
                            json_boolean((since != NULL && !json_is_null(since)) ||
                                         json_is_true(json_object_get(row, "stale"))));
    }
}

#define COLUMNS(list) (list), sizeof(list) / sizeof((list)[0])

static int64_t
integer_at(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* The rollout that a scope takes part in, as lines of "name  value". */
static void
write_rollout(FILE *out, const json_t *rollout)
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

    fputs("\nrollout:\n", out);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const json_t *value = json_object_get(rollout, lines[i].key);

        if (json_is_string(value)) {
            fprintf(out, "  %-18s %s\n", lines[i].label, json_string_value(value));
        } else if (json_is_integer(value)) {
            fprintf(out, "  %-18s %lld\n", lines[i].label, (long long)json_integer_value(value));
        }
    }
    fprintf(out, "  %-18s %s, stage %lld%s\n", "strategy",
            json_string_value(json_object_get(stage, "strategy")),
            (long long)integer_at(stage, "index") + 1,
            json_is_true(json_object_get(rollout, "waiting")) ? ", not activated" : "");
    fprintf(out, "  %-18s %lld of %lld alive; candidate %lld, applied %lld, rejected %lld\n",
            "prepared", (long long)integer_at(consumers, "prepared"),
            (long long)integer_at(consumers, "alive"),
            (long long)integer_at(consumers, "candidate"),
            (long long)integer_at(consumers, "candidate_applied"),
            (long long)integer_at(consumers, "candidate_rejected"));
}

/* All scopes, or one: its row, its rollout, and who is behind. */
static void
write_status(FILE *out, json_t *answer, bool has_color)
{
    json_t *stragglers = json_object_get(answer, "stragglers");
    json_t *rows = json_object_get(answer, "scopes");

    if (rows != NULL) {
        cfc_grid_write(out, rows, COLUMNS(scope_columns), has_color);
        return;
    }
    rows = json_pack("[O]", answer);
    cfc_grid_write(out, rows, COLUMNS(scope_columns), has_color);
    json_decref(rows);
    if (json_is_object(json_object_get(answer, "rollout"))) {
        write_rollout(out, json_object_get(answer, "rollout"));
    }
    if (json_array_size(stragglers) > 0) {
        fputs("\nbehind:\n", out);
        mark_behind(stragglers);
        cfc_grid_write(out, stragglers, COLUMNS(consumer_columns), has_color);
    }
}

/* What a watch keeps between two looks. */
struct watch {
    struct cfc_ctl *ctl;
    struct cfc_ctl_path path;
    struct cfc_ctl_path stream_path;
    uint64_t period_ms;
    json_t *last;    /* what was printed, by scope */
    json_t *answer;  /* what is known; NULL = nothing yet */
    int drawn_lines; /* on the terminal, above the cursor */
    bool is_drawn;   /* on the terminal; else a line for each change */
    bool asks;       /* every period_ms, and follows no stream */
    bool is_lost;    /* the last look had no answer */
    bool has_events; /* the stream had one */
};

static void
time_text(char text[32])
{
    struct timespec now;
    struct tm utc;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

/* Draws over what was drawn before, as far as the terminal has lines. */
static void
redraw(struct watch *w, json_t *answer)
{
    int line_max = cfc_terminal_rows(stdout) - 2;
    char now[32];
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (out == NULL) {
        return;
    }
    time_text(now);
    write_status(out, answer, cfc_terminal_has_color(stdout));
    fclose(out);
    /* What is too wide for the terminal is cut, not wrapped: lines are counted. */
    fputs("\033[?7l", stdout);
    if (w->drawn_lines > 0) {
        printf("\033[%dA\r\033[J", w->drawn_lines);
    }
    w->drawn_lines = 1;
    for (char *line = text; *line != '\0' && w->drawn_lines < line_max; w->drawn_lines++) {
        size_t line_size = strcspn(line, "\n") + 1;

        fwrite(line, 1, line_size, stdout);
        line += line_size;
    }
    printf("%s%s\n\033[?7h", now, w->is_lost ? "  no answer, trying again" : "");
    fflush(stdout);
    free(text);
}

static void
print_change(const struct watch *w, json_t *row, const char *now)
{
    if (w->ctl->format == CFC_FORMAT_TABLE) {
        printf("%s %s %s version %lld published %lld applied %lld/%lld prepared %lld rejected %lld "
               "stale %lld\n",
               now, json_string_value(json_object_get(row, "scope")),
               json_string_value(json_object_get(row, "state")),
               (long long)integer_at(row, "version"), (long long)integer_at(row, "published"),
               (long long)integer_at(row, "applied"), (long long)integer_at(row, "total"),
               (long long)integer_at(row, "prepared"), (long long)integer_at(row, "rejected"),
               (long long)integer_at(row, "stale"));
        return;
    }
    row = json_copy(row);
    json_object_set_new(row, "time", json_string(now));
    if (w->ctl->format == CFC_FORMAT_YAML) {
        puts("---");
    }
    cfc_ctl_print_machine(w->ctl, row);
    json_decref(row);
}

/* A line for each scope that is not as it was; stragglers come and go without one. */
static void
print_changes(struct watch *w, json_t *answer)
{
    json_t *rows = json_object_get(answer, "scopes");
    json_t *row;
    size_t i;
    char now[32];

    rows = rows != NULL ? json_incref(rows) : json_pack("[O]", answer);
    time_text(now);
    json_array_foreach(rows, i, row)
    {
        const char *scope = json_string_value(json_object_get(row, "scope"));

        json_object_del(row, "stragglers");
        if (scope != NULL && !json_equal(json_object_get(w->last, scope), row)) {
            print_change(w, row, now);
            json_object_set(w->last, scope, row);
        }
    }
    json_decref(rows);
    fflush(stdout);
}

static bool
may_pass(int rc)
{
    return rc == CFC_EXIT_CONNECT || rc == CFC_EXIT_TIMEOUT;
}

static void
show(struct watch *w, json_t *news)
{
    if (w->is_drawn) {
        redraw(w, w->answer);
    } else {
        print_changes(w, news);
    }
}

/* An event of all scopes has those that changed: their rows replace the ones that are known. */
static void
merge_rows(json_t *answer, json_t *news)
{
    json_t *rows = json_object_get(answer, "scopes");
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(news, "scopes"), i, row)
    {
        const char *scope = json_string_value(json_object_get(row, "scope"));
        size_t at = 0;

        while (scope != NULL && at < json_array_size(rows) &&
               strcmp(json_string_value(json_object_get(json_array_get(rows, at), "scope")),
                      scope) < 0) {
            at++;
        }
        if (scope != NULL && json_equal(json_object_get(json_array_get(rows, at), "scope"),
                                        json_object_get(row, "scope"))) {
            json_array_set(rows, at, row);
        } else if (scope != NULL) {
            json_array_insert(rows, at, row);
        }
    }
}

/* The first event of a stream is everything, as an answer is. */
static void
take_news(struct watch *w, json_t *news, bool is_everything)
{
    if (is_everything || json_object_get(news, "scopes") == NULL) {
        json_decref(w->answer);
        w->answer = json_deep_copy(news);
    } else if (w->is_drawn) {
        merge_rows(w->answer, news);
    }
    w->is_lost = false;
    show(w, news);
}

static bool
on_event(void *arg, const struct cfc_ctl_event *event)
{
    struct watch *w = arg;
    json_t *news;

    if (strcmp(event->name, "status") != 0) {
        return true; /* What was missed is in the next one, and why it ends says the next request.
                      */
    }
    news = json_loadb(event->data, event->data_size, 0, NULL);
    if (!json_is_object(news)) {
        json_decref(news);
        return false;
    }
    take_news(w, news, !w->has_events);
    w->has_events = true;
    json_decref(news);
    return true;
}

/* As long as the server tells; false when it never began to. */
static bool
follow(struct watch *w)
{
    struct cfc_ctl_stream stream;

    w->has_events = false;
    w->ctl->is_quiet = true;
    cfc_ctl_stream_init(&stream, on_event, w);
    (void)cfc_ctl_follow(w->ctl, &w->stream_path, &stream);
    cfc_ctl_stream_free(&stream);
    w->ctl->is_quiet = false;
    return w->has_events;
}

/* Asks once.  Its absence is told once and waited out, when the server was there before. */
static int
ask(struct watch *w)
{
    bool has_begun = w->answer != NULL;
    json_t *answer = NULL;
    int rc;

    w->ctl->is_quiet = has_begun;
    rc = cfc_ctl_call_json(w->ctl, "GET", &w->path, NULL, 0, &answer);
    w->ctl->is_quiet = false;
    if (rc == CFC_EXIT_OK) {
        take_news(w, answer, true);
        json_decref(answer);
        return rc;
    }
    if (!has_begun) {
        return rc;
    }
    if (!may_pass(rc)) {
        /* Once more, so that the reason is said. */
        return cfc_ctl_call_json(w->ctl, "GET", &w->path, NULL, 0, &answer);
    }
    if (!w->is_lost && !w->is_drawn) {
        cfc_ctl_fail(CFC_EXIT_CONNECT, "%s: no answer, trying again", w->ctl->server);
    }
    w->is_lost = true;
    if (w->is_drawn) {
        redraw(w, w->answer);
    }
    return CFC_EXIT_OK;
}

/* Until the server refuses.  Where it has no stream to give, it is asked again and again. */
static int
watch(struct watch *w)
{
    time_t follow_at = 0; /* monotonic */
    int rc = CFC_EXIT_OK;

    w->is_drawn = w->ctl->format == CFC_FORMAT_TABLE && cfc_terminal_is(stdout);
    while (rc == CFC_EXIT_OK) {
        struct timespec now;
        bool may_follow;
        bool has_followed;

        clock_gettime(CLOCK_MONOTONIC, &now);
        may_follow = !w->asks && now.tv_sec >= follow_at;
        has_followed = may_follow && follow(w);
        rc = ask(w);
        if (may_follow && !has_followed && !w->is_lost) {
            follow_at = now.tv_sec + STREAM_AGAIN_S;
        }
        cfc_ctl_sleep_ms(rc == CFC_EXIT_OK ? w->period_ms : 0);
    }
    return rc;
}

int
cfc_ctl_status(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    struct watch w = {.ctl = ctl, .period_ms = WATCH_PERIOD_MS_DEFAULT};
    const char *period = cfc_ctl_option(args, "interval");
    const char *scope = NULL;
    json_t *answer = NULL;
    int rc;

    if (args->positional_count > 0 && (scope = cfc_ctl_scope(args)) == NULL) {
        return CFC_EXIT_USAGE;
    }
    if (period != NULL &&
        (!cfc_ctl_has(args, "watch") || !cfc_ctl_duration_ms(period, &w.period_ms) ||
         w.period_ms < WATCH_PERIOD_MS_MIN)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "--interval goes with --watch and is a time like 1s");
    }
    cfc_ctl_path_init(&w.path, scope != NULL ? "/v1/status/" : "/v1/status", scope);
    if (cfc_ctl_has(args, "watch")) {
        w.stream_path = w.path;
        cfc_ctl_path_param(&w.stream_path, "watch", "1");
        w.asks = period != NULL;
        w.last = json_object();
        rc = watch(&w);
        json_decref(w.last);
        json_decref(w.answer);
        return rc;
    }
    rc = cfc_ctl_call_json(ctl, "GET", &w.path, NULL, 0, &answer);
    if (rc == CFC_EXIT_OK) {
        if (ctl->format == CFC_FORMAT_TABLE) {
            write_status(stdout, answer, cfc_terminal_has_color(stdout));
        } else {
            rc = cfc_ctl_print_machine(ctl, answer);
        }
        json_decref(answer);
    }
    return rc;
}

enum {
    CONSUMERS_DEFAULT = 100, /* rows without --limit */
    FILTER_COUNT = 4,
};

static const char *const filters[FILTER_COUNT] = {"behind", "scope", "label", "state"};

/* One answer after the other, since filters may leave one short, or empty, before the end: until
 * there are as many rows as asked for.  *answer is the caller's after CFC_EXIT_OK. */
static int
gather_consumers(struct cfc_ctl *ctl, const struct cfc_ctl_args *args, json_t **answer)
{
    uint64_t limit = CONSUMERS_DEFAULT;
    json_t *rows = json_array();
    const char *after = cfc_ctl_option(args, "after");
    json_t *next = NULL;
    int rc = CFC_EXIT_OK;

    (void)(cfc_ctl_has(args, "limit") && cfc_ctl_uint(cfc_ctl_option(args, "limit"), 1000, &limit));
    do {
        struct cfc_ctl_path path;
        json_t *page = NULL;
        char text[32];

        snprintf(text, sizeof(text), "%llu", (unsigned long long)limit - json_array_size(rows));
        cfc_ctl_path_init(&path, "/v1/consumers", NULL);
        cfc_ctl_path_param(&path, "behind", cfc_ctl_has(args, "behind") ? "1" : NULL);
        for (size_t i = 1; i < FILTER_COUNT; i++) {
            cfc_ctl_path_param(&path, filters[i], cfc_ctl_option(args, filters[i]));
        }
        cfc_ctl_path_param(&path, "after", after);
        cfc_ctl_path_param(&path, "limit",
                           json_array_size(rows) > 0 ? text : cfc_ctl_option(args, "limit"));
        rc = cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, &page);
        json_decref(next);
        next = NULL;
        if (rc == CFC_EXIT_OK) {
            json_array_extend(rows, json_object_get(page, "consumers"));
            next = json_incref(json_object_get(page, "next"));
            json_decref(page);
        }
        after = json_string_value(next);
    } while (after != NULL && json_array_size(rows) < limit);
    *answer = rc == CFC_EXIT_OK ? json_pack("{sO sO*}", "consumers", rows, "next", next) : NULL;
    json_decref(next);
    json_decref(rows);
    return rc;
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
    for (size_t i = 0; id != NULL && i < FILTER_COUNT; i++) {
        if (cfc_ctl_has(args, filters[i])) {
            return cfc_ctl_fail(CFC_EXIT_USAGE, "--%s is for all consumers", filters[i]);
        }
    }
    if (id != NULL) {
        cfc_ctl_path_init(&path, "/v1/consumers/", id);
        rc = cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, &answer);
    } else {
        rc = gather_consumers(ctl, args, &answer);
    }
    if (rc == CFC_EXIT_OK) {
        const char *next = json_string_value(json_object_get(answer, "next"));

        if (ctl->format == CFC_FORMAT_TABLE) {
            mark_behind(json_object_get(answer, "consumers"));
        }
        rc = cfc_ctl_print_rows(ctl, answer, "consumers", COLUMNS(consumer_columns));
        if (next != NULL && ctl->format == CFC_FORMAT_TABLE) {
            fprintf(stderr, "confcastctl: there are more: --after %s goes on\n", next);
        }
        json_decref(answer);
    }
    return rc;
}
