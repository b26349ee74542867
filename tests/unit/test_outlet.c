/* Files and commands for what a scope serves, over a real client. */
#include "consumer/app/outlet.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "consumer/app/export.h"
#include "consumer/app/hook.h"
#include "tests/unit/client_fixture.h"
#include "tests/unit/cunit_main.h"

#define SECOND "acme/checkout/second"

struct host {
    struct bench b;
    struct confcast_scope *scopes[2];
    atomic_int second_executed;
    struct cfc_outlet_config config;
    struct cfc_outlet *outlet;
    char export_dir[300];
    char file[400];
    char out[300]; /* what commands write to, through $OUT */
    atomic_int exported;
    atomic_int export_failed;
    atomic_int executed;
    atomic_int exec_failed;
    atomic_int reason; /* of the last failure */
};

static void
on_event(void *arg, const struct confcast_event *event)
{
    struct host *h = arg;

    if (strcmp(event->scope, SECOND) == 0) {
        h->second_executed += strcmp(event->event, "executed") == 0;
        return;
    }
    CU_ASSERT_STRING_EQUAL(event->scope, CLIENT_SCOPE);
    h->exported += strcmp(event->event, "exported") == 0;
    h->executed += strcmp(event->event, "executed") == 0;
    if (event->reason != 0) {
        h->reason = event->reason;
    }
    h->export_failed += strcmp(event->event, "export_failed") == 0;
    h->exec_failed += strcmp(event->event, "exec_failed") == 0;
}

static void
begin(struct host *h)
{
    static const char *const paths[] = {CLIENT_SCOPE, SECOND};

    memset(h, 0, sizeof(*h));
    bench_begin(&h->b);
    bench_open(&h->b);
    bench_subscribe(&h->b, NULL);
    snprintf(h->export_dir, sizeof(h->export_dir), "%s/export", h->b.dir.path);
    snprintf(h->file, sizeof(h->file), "%s/" CLIENT_SCOPE ".json", h->export_dir);
    snprintf(h->out, sizeof(h->out), "%s/out", h->b.dir.path);
    setenv("OUT", h->out, 1);
    h->config = (struct cfc_outlet_config){.state_dir = h->b.state_dir,
                                           .export_mode = 0640,
                                           .timeout_s = 60,
                                           .scopes = &h->b.scope,
                                           .paths = paths,
                                           .scope_count = 1,
                                           .event = on_event,
                                           .event_arg = h};
}

static void
start(struct host *h)
{
    CU_ASSERT_EQUAL_FATAL(cfc_outlet_start(&h->config, &h->outlet), CONFCAST_OK);
}

static void
end(struct host *h)
{
    cfc_outlet_stop(h->outlet);
    bench_end(&h->b);
}

static void
publish(struct host *h, uint64_t version, int64_t n)
{
    bench_publish(&h->b, version, n, 2);
    CU_ASSERT_EQUAL(confcast_wait(h->b.scope, version, CLIENT_WAIT_MS), CONFCAST_OK);
}

/* The whole of a file as text, "" when it is not there; static. */
static const char *
text_of(const char *path)
{
    static char text[4096];
    FILE *file = fopen(path, "re");
    size_t size = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;

    text[size] = '\0';
    if (file != NULL) {
        fclose(file);
    }
    return text;
}

/* ---- Files ------------------------------------------------------------------------------------
 */

static void
a_file_holds_what_the_scope_serves(void)
{
    struct stat st;
    struct host h;

    begin(&h);
    h.config.export_dir = h.export_dir;
    publish(&h, 10, 7);
    start(&h);
    BENCH_AWAIT(h.exported == 1);
    CU_ASSERT_STRING_EQUAL(text_of(h.file), "{\"n\":7,\"pad\":\"xx\"}");
    CU_ASSERT_EQUAL(stat(h.file, &st), 0);
    CU_ASSERT_EQUAL(st.st_mode & 07777, 0640);
    publish(&h, 11, 8);
    BENCH_AWAIT(h.exported == 2);
    CU_ASSERT_STRING_EQUAL(text_of(h.file), "{\"n\":8,\"pad\":\"xx\"}");
    /* Another version of the same content is no news. */
    publish(&h, 12, 8);
    publish(&h, 13, 9);
    BENCH_AWAIT(h.exported == 3);
    end(&h);
}

static void
a_file_that_is_right_is_left_alone(void)
{
    struct stat before;
    struct stat after;
    struct host h;

    begin(&h);
    h.config.export_dir = h.export_dir;
    publish(&h, 10, 7);
    start(&h);
    BENCH_AWAIT(h.exported == 1);
    cfc_outlet_stop(h.outlet);
    CU_ASSERT_EQUAL(stat(h.file, &before), 0);
    start(&h);
    BENCH_AWAIT(h.exported == 2);
    CU_ASSERT_EQUAL(stat(h.file, &after), 0);
    CU_ASSERT_EQUAL(before.st_ino, after.st_ino);
    cfc_outlet_stop(h.outlet);
    h.config.export_mode = 0644; /* but its mode follows */
    start(&h);
    BENCH_AWAIT(h.exported == 3);
    CU_ASSERT_EQUAL(stat(h.file, &after), 0);
    CU_ASSERT_EQUAL(after.st_mode & 07777, 0644);
    cfc_outlet_stop(h.outlet);
    bench_write_file(h.file, "{\"n\":0}", 7, 0644); /* somebody edits it */
    start(&h);
    BENCH_AWAIT(h.exported == 4);
    CU_ASSERT_STRING_EQUAL(text_of(h.file), "{\"n\":7,\"pad\":\"xx\"}");
    end(&h);
}

static void
what_is_in_the_way_is_told_once_and_tried_again(void)
{
    char way[400];
    char elsewhere[400];
    struct host h;

    begin(&h);
    h.config.export_dir = h.export_dir;
    CU_ASSERT_EQUAL(mkdir(h.export_dir, 0755), 0);
    snprintf(way, sizeof(way), "%s/acme", h.export_dir);
    snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", h.b.dir.path);
    CU_ASSERT_EQUAL(mkdir(elsewhere, 0755), 0);
    CU_ASSERT_EQUAL(symlink(elsewhere, way), 0);
    publish(&h, 10, 7);
    start(&h);
    BENCH_AWAIT(h.export_failed == 1);
    CU_ASSERT_EQUAL(unlink(way), 0);
    BENCH_AWAIT(h.exported == 1);
    CU_ASSERT_EQUAL(h.export_failed, 1);
    CU_ASSERT_EQUAL(rmdir(elsewhere), 0); /* nothing was written through the link */
    end(&h);
}

static void
a_directory_that_others_may_write_to_is_refused(void)
{
    char below[400];
    struct host h;
    int fd;

    begin(&h);
    h.config.export_dir = h.export_dir;
    CU_ASSERT_EQUAL(mkdir(h.export_dir, 0755), 0);
    CU_ASSERT_EQUAL(chmod(h.export_dir, 0777), 0);
    CU_ASSERT_EQUAL(cfc_outlet_start(&h.config, &h.outlet), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_PTR_NULL(h.outlet);
    CU_ASSERT_EQUAL(rmdir(h.export_dir), 0);
    snprintf(below, sizeof(below), "%s/deeper", h.export_dir);
    CU_ASSERT_EQUAL(cfc_export_open(below, &fd), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(fd, -1);
    end(&h);
}

/* Another scope behind the first one: its run says that the outlet has looked at the first one
 * again. */
static void
follow_second(struct host *h)
{
    h->scopes[0] = h->b.scope;
    CU_ASSERT_EQUAL_FATAL(confcast_subscribe(h->b.client, SECOND, NULL, &h->scopes[1]),
                          CONFCAST_OK);
    h->config.scopes = h->scopes;
    h->config.scope_count = 2;
}

static void
run_second(struct host *h, uint64_t version)
{
    uint8_t body[CLIENT_BODY_MAX];
    int before = h->second_executed;
    struct cfc_digest id;
    size_t size = bench_body(&h->b, (int64_t)version, 2, body, &id);
    struct cfc_head head = bench_head(&h->b, version, &id);

    head.scope = SECOND;
    head.scope_size = sizeof(SECOND) - 1;
    head.inlined = (struct cfc_inline_content){.is_present = true,
                                               .encoding = CFC_ENCODING_RAW,
                                               .body_size = (uint32_t)size,
                                               .coded = body,
                                               .coded_size = size};
    bench_send_head(&h->b, &head);
    BENCH_AWAIT(h->second_executed > before);
}

/* ---- Commands ---------------------------------------------------------------------------------
 */

static void
a_command_gets_the_content_and_what_it_is(void)
{
    char expected[600];
    struct host h;

    begin(&h);
    h.config.command =
        "echo $CONFCAST_SCOPE $CONFCAST_EPOCH $CONFCAST_VERSION ${#CONFCAST_CONTENT} "
        "${CONFCAST_FILE-none} $CONFCAST_OLD >$OUT; cat >>$OUT";
    setenv("CONFCAST_OLD", "of another agent", 1);
    publish(&h, 10, 7);
    start(&h);
    BENCH_AWAIT(h.executed == 1);
    CU_ASSERT_STRING_EQUAL(text_of(h.out), CLIENT_SCOPE " 1 10 64 none\n{\"n\":7,\"pad\":\"xx\"}");
    cfc_outlet_stop(h.outlet);
    unsetenv("CONFCAST_OLD");
    /* With files it comes after its file. */
    h.config.command = "echo $CONFCAST_FILE >$OUT; cat $CONFCAST_FILE >>$OUT";
    h.config.export_dir = h.export_dir;
    start(&h);
    BENCH_AWAIT(h.executed == 2);
    snprintf(expected, sizeof(expected), "%s\n{\"n\":7,\"pad\":\"xx\"}", h.file);
    CU_ASSERT_STRING_EQUAL(text_of(h.out), expected);
    end(&h);
}

static void
changes_while_it_runs_are_one_more_run_with_the_newest(void)
{
    char begun[400];
    struct host h;

    begin(&h);
    h.config.command = "touch $OUT.begun; while [ ! -e $OUT.go ]; do sleep 0.01; done; "
                       "echo $CONFCAST_VERSION >>$OUT";
    snprintf(begun, sizeof(begun), "%s.begun", h.out);
    publish(&h, 10, 7);
    start(&h);
    BENCH_AWAIT(access(begun, F_OK) == 0);
    for (uint64_t version = 11; version <= 15; version++) {
        publish(&h, version, (int64_t)version);
    }
    CU_ASSERT_EQUAL(h.executed, 0);
    {
        char go[400];

        snprintf(go, sizeof(go), "%s.go", h.out);
        bench_write_file(go, "", 0, 0600);
    }
    BENCH_AWAIT(h.executed == 2);
    publish(&h, 16, 16);
    BENCH_AWAIT(h.executed == 3);
    CU_ASSERT_STRING_EQUAL(text_of(h.out), "10\n15\n16\n");
    end(&h);
}

static void
a_command_that_failed_is_run_again_by_the_next_agent_only(void)
{
    struct host h;

    begin(&h);
    h.config.command = "echo $CONFCAST_VERSION >>$OUT; [ $CONFCAST_VERSION != 11 ]";
    follow_second(&h);
    publish(&h, 10, 7);
    start(&h);
    BENCH_AWAIT(h.executed == 1);
    publish(&h, 11, 8);
    BENCH_AWAIT(h.exec_failed == 1);
    CU_ASSERT_EQUAL(h.reason, CONFCAST_ERR_APP_REJECT);
    publish(&h, 12, 8); /* the same content */
    run_second(&h, 100);
    CU_ASSERT_STRING_EQUAL(text_of(h.out), "10\n11\n100\n");
    cfc_outlet_stop(h.outlet);
    start(&h);
    BENCH_AWAIT(h.executed == 2);
    CU_ASSERT_STRING_EQUAL(text_of(h.out), "10\n11\n100\n12\n");
    cfc_outlet_stop(h.outlet);
    /* What went well is not done again, unless by another command. */
    start(&h);
    run_second(&h, 101);
    CU_ASSERT_STRING_EQUAL(text_of(h.out), "10\n11\n100\n12\n101\n");
    cfc_outlet_stop(h.outlet);
    h.config.command = "echo other >>$OUT";
    h.config.scope_count = 1;
    start(&h);
    BENCH_AWAIT(h.executed == 3);
    CU_ASSERT_STRING_EQUAL(text_of(h.out), "10\n11\n100\n12\n101\nother\n");
    end(&h);
}

static void
going_back_from_a_failed_command_runs_it_again(void)
{
    struct host h;

    begin(&h);
    h.config.command = "echo $CONFCAST_VERSION >>$OUT; [ $CONFCAST_VERSION != 11 ]";
    publish(&h, 10, 7);
    start(&h);
    BENCH_AWAIT(h.executed == 1);
    publish(&h, 11, 8);
    BENCH_AWAIT(h.exec_failed == 1);
    publish(&h, 12, 7); /* which ran well once, before the other one left things half done */
    BENCH_AWAIT(h.executed == 2);
    CU_ASSERT_STRING_EQUAL(text_of(h.out), "10\n11\n12\n");
    end(&h);
}

static struct cfc_hook_run
run_of(const char *command)
{
    static const uint8_t content[32];

    return (struct cfc_hook_run){.command = command,
                                 .scope = "a",
                                 .content = content,
                                 .json = "{}",
                                 .json_size = 2,
                                 .timeout_ms = 10000,
                                 .stop_fd = -1};
}

static void
a_command_says_how_it_ended(void)
{
    struct cfc_hook_run run = run_of("exit 7");
    sigset_t term;
    int status;

    CU_ASSERT_EQUAL(cfc_hook_run(&run, &status), CONFCAST_ERR_APP_REJECT);
    CU_ASSERT_EQUAL(status, 7);
    run.command = "exit 0";
    CU_ASSERT_EQUAL(cfc_hook_run(&run, &status), CONFCAST_OK);
    CU_ASSERT_EQUAL(status, 0);
    /* The agent blocks signals: a command has them as usual. */
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, NULL);
    run.command = "kill -TERM $$; sleep 5";
    CU_ASSERT_EQUAL(cfc_hook_run(&run, &status), CONFCAST_ERR_APP_REJECT);
    CU_ASSERT_EQUAL(status, 128 + SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &term, NULL);
}

static bool
is_alive(const char *path)
{
    return kill((pid_t)strtol(text_of(path), NULL, 10), 0) == 0 || errno != ESRCH;
}

static void
one_that_takes_too_long_is_ended_with_its_children(void)
{
    struct temp_dir dir = temp_dir_make();
    struct cfc_hook_run run = run_of("trap '' TERM; sleep 60 & echo $! >$OUT; wait; wait");
    char out[300];
    int status;

    snprintf(out, sizeof(out), "%s/pid", dir.path);
    setenv("OUT", out, 1);
    run.timeout_ms = 100;
    CU_ASSERT_EQUAL(cfc_hook_run(&run, &status), CONFCAST_ERR_TIMEOUT);
    CU_ASSERT_EQUAL(status, 128 + SIGKILL);
    CU_ASSERT_FATAL(strtol(text_of(out), NULL, 10) > 1);
    BENCH_AWAIT(!is_alive(out));
    temp_dir_remove(&dir);
}

static void
stopping_ends_a_command_that_runs(void)
{
    uint64_t began_ns;
    struct host h;

    begin(&h);
    h.config.command = "echo >$OUT; exec sleep 60";
    publish(&h, 10, 7);
    start(&h);
    BENCH_AWAIT(access(h.out, F_OK) == 0);
    began_ns = bench_unix_ns();
    cfc_outlet_stop(h.outlet);
    CU_ASSERT(bench_unix_ns() - began_ns < 10 * CFC_S);
    CU_ASSERT_EQUAL(h.executed, 0);
    CU_ASSERT_EQUAL(h.exec_failed, 0); /* that is no failure of its own: the next agent runs it */
    h.config.command = NULL;
    h.outlet = NULL;
    end(&h);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_file_holds_what_the_scope_serves),
    CFC_CASE(a_file_that_is_right_is_left_alone),
    CFC_CASE(what_is_in_the_way_is_told_once_and_tried_again),
    CFC_CASE(a_directory_that_others_may_write_to_is_refused),
    CFC_CASE(a_command_gets_the_content_and_what_it_is),
    CFC_CASE(changes_while_it_runs_are_one_more_run_with_the_newest),
    CFC_CASE(a_command_that_failed_is_run_again_by_the_next_agent_only),
    CFC_CASE(going_back_from_a_failed_command_runs_it_again),
    CFC_CASE(a_command_says_how_it_ended),
    CFC_CASE(one_that_takes_too_long_is_ended_with_its_children),
    CFC_CASE(stopping_ends_a_command_that_runs),
};

CFC_TEST_MAIN("outlet", cases)
