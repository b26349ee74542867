/* Rollouts under schemas and validators that change, and validators that misbehave. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/time.h"
#include "tests/unit/model_fixture.h"
#include "tests/unit/temp_dir.h"

static struct temp_dir dir;

static void
remove_folder(void)
{
    temp_dir_remove(&dir);
}

static void
write_program(const char *name, const char *script)
{
    char path[512];
    FILE *out;

    snprintf(path, sizeof(path), "%s/%s", dir.path, name);
    unlink(path);
    out = fopen(path, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    fprintf(out, "#!/bin/sh\n%s\n", script);
    fclose(out);
    CU_ASSERT_EQUAL_FATAL(chmod(path, 0755), 0);
}

static const char *
in_folder(const char *name)
{
    static char path[512];

    snprintf(path, sizeof(path), "%s/%s", dir.path, name);
    return path;
}

static long
file_size(const char *name)
{
    struct stat st;

    return stat(in_folder(name), &st) == 0 ? (long)st.st_size : -1;
}

static pid_t
read_pid(const char *name)
{
    FILE *in = fopen(in_folder(name), "re");
    int pid = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(in);
    CU_ASSERT_EQUAL(fscanf(in, "%d", &pid), 1);
    fclose(in);
    return pid;
}

static void
open_with_validators(struct model *m)
{
    struct cfc_service_config config = {.validators_dir = dir.path};

    if (dir.path[0] == '\0') {
        dir = temp_dir_make();
        atexit(remove_folder);
    }
    model_open(m);
    cfc_service_close(m->service);
    CU_ASSERT_EQUAL_FATAL(cfc_service_open(m->store, &config, &m->service), CONFCAST_OK);
}

static int
put_rule(struct model *m, enum cfc_rule_kind kind, const char *text)
{
    struct cfc_change change = by_ann(m);
    struct cfc_put put = {.scope = "acme", .text = text, .text_size = strlen(text)};

    return cfc_service_put_rule(m->service, &change, kind, &put, &m->put, &m->refusal);
}

#define SETTINGS(m, text) CU_ASSERT_EQUAL_FATAL(put_rule(m, CFC_RULE_SETTINGS, text), CONFCAST_OK)
#define SCHEMA(m, text)   CU_ASSERT_EQUAL_FATAL(put_rule(m, CFC_RULE_SCHEMA, text), CONFCAST_OK)

static enum cfc_release_state
state(struct model *m, char reason[CFC_REASON_SIZE_MAX + 1])
{
    struct cfc_release_view view;

    CU_ASSERT_EQUAL_FATAL(cfc_service_get_release(m->service, "acme", &view), CONFCAST_OK);
    snprintf(reason, CFC_REASON_SIZE_MAX + 1, "%s", view.release.reason);
    return view.release.state;
}

/* One consumer in the candidate's arm, which serves it. */
static void
serve_candidate(struct model *m)
{
    static uint64_t report_seq;
    struct cfc_decision *decision;
    struct cfc_report_entry entry = {.state = CFC_APPLY_APPLIED};

    CU_ASSERT_EQUAL_FATAL(cfc_service_decision(m->service, "acme", &decision), CONFCAST_OK);
    cfc_service_note_published(m->service, "acme", decision->version, m->now);
    entry.scope_id = decision->scope_id;
    entry.epoch = cfc_service_epoch(m->service);
    entry.accepted = entry.serving_version = decision->version;
    entry.serving_content = cfc_digest_key(&decision->arms[0].content->id);
    CU_ASSERT_EQUAL(cfc_service_report(m->service, "c1", 1, ++report_seq, &entry, 1, m->now, NULL),
                    CONFCAST_OK);
    cfc_decision_unref(decision);
}

static void
tick_after(struct model *m, uint64_t seconds)
{
    m->now += seconds * CFC_S;
    CU_ASSERT_EQUAL(cfc_service_tick(m->service, m->now), CONFCAST_OK);
}

/* A canary of revision 2 that has baked at the next tick after 20 s. */
static void
begin_canary(struct model *m)
{
    struct cfc_release_plan plan = {.bake_s = 20};

    CU_ASSERT_EQUAL_FATAL(publish(m, "acme", "{\"port\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(put_text(m, "acme", "{\"port\":2,\"more\":[1,2,3]}"), CONFCAST_OK);
    tick_after(m, 0);
    CU_ASSERT_EQUAL_FATAL(promote_by(m, "acme", "canary:50%", plan), CONFCAST_OK);
    serve_candidate(m);
}

#define ONLY_ONE "{\"properties\":{\"port\":{\"maximum\":1}}}"

static void
a_stage_that_no_longer_fits_the_schema_pauses_and_is_refused_to_operators(void)
{
    char reason[CFC_REASON_SIZE_MAX + 1];
    struct model m;

    model_open(&m);
    begin_canary(&m);
    SCHEMA(&m, ONLY_ONE);
    tick_after(&m, 20);
    CU_ASSERT_EQUAL(state(&m, reason), CFC_RELEASE_PAUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(reason, "does not fit the schema of acme"));
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_RESUME), CONFCAST_OK);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ADVANCE), CONFCAST_ERR_SCHEMA_MISMATCH);
    CU_ASSERT_EQUAL(state(&m, reason), CFC_RELEASE_ROLLING);
    SCHEMA(&m, "{}");
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ADVANCE), CONFCAST_OK);
    CU_ASSERT_EQUAL(state(&m, reason), CFC_RELEASE_ACTIVE);
    model_close(&m);
}

static void
a_release_that_waits_for_the_prepared_is_judged_when_they_are(void)
{
    struct cfc_release_plan plan = {.require_prepared_ppm = CFC_STAGE_PPM_ALL};
    char reason[CFC_REASON_SIZE_MAX + 1];
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL_FATAL(publish(&m, "acme", "{\"port\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(put_text(&m, "acme", "{\"port\":2}"), CONFCAST_OK);
    tick_after(&m, 0);
    CU_ASSERT_EQUAL_FATAL(promote_by(&m, "acme", NULL, plan), CONFCAST_OK);
    SCHEMA(&m, ONLY_ONE);
    serve_candidate(&m);
    tick_after(&m, 1);
    CU_ASSERT_EQUAL(state(&m, reason), CFC_RELEASE_PAUSED);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"port\":1}");
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ABORT), CONFCAST_OK);
    model_close(&m);
}

/* Ticks, without going on in time, until the release is not ROLLING or 10 s have passed. */
static void
tick_until_moved(struct model *m)
{
    char reason[CFC_REASON_SIZE_MAX + 1];

    for (int i = 0; i < 1000 && state(m, reason) == CFC_RELEASE_ROLLING; i++) {
        poll(NULL, 0, 10);
        tick_after(m, 0);
    }
}

static void
a_stage_asks_its_validators_and_the_tick_does_not_wait(void)
{
    char reason[CFC_REASON_SIZE_MAX + 1];
    struct model m;

    for (int refuses = 0; refuses < 2; refuses++) {
        open_with_validators(&m);

        begin_canary(&m);
        /* It answers only when it may: the ticks before go on without it. */
        write_program("gate", refuses ? "while [ ! -e $0.go ]; do sleep 0.01; done; echo no; exit 1"
                                      : "while [ ! -e $0.go ]; do sleep 0.01; done; exit 0");
        SETTINGS(&m, "{\"size_ratio_max\":1,\"validators\":[{\"command\":\"gate\"}]}");
        tick_after(&m, 20);
        tick_after(&m, 0);
        CU_ASSERT_EQUAL(state(&m, reason), CFC_RELEASE_ROLLING);
        CU_ASSERT_EQUAL(put_text(&m, "elsewhere", "{}"), CONFCAST_OK);
        write_program("gate.go", "");
        tick_until_moved(&m);
        CU_ASSERT_EQUAL(state(&m, reason), refuses ? CFC_RELEASE_PAUSED : CFC_RELEASE_ACTIVE);
        CU_ASSERT_EQUAL(strstr(reason, "exit status 1: no") != NULL, refuses == 1);
        unlink(in_folder("gate.go"));
        model_close(&m);
    }
}

static void
closing_ends_the_validators_of_a_stage(void)
{
    char reason[CFC_REASON_SIZE_MAX + 1];
    struct model m;
    time_t start;

    open_with_validators(&m);
    begin_canary(&m);
    write_program("slow", "echo begun > $0.begun; sleep 30; echo done > $0.done");
    SETTINGS(&m, "{\"validators\":[{\"command\":\"slow\"}]}");
    tick_after(&m, 20);
    for (int i = 0; i < 1000 && file_size("slow.begun") <= 0; i++) {
        poll(NULL, 0, 10);
    }
    CU_ASSERT_EQUAL(state(&m, reason), CFC_RELEASE_ROLLING);
    start = time(NULL);
    model_close(&m);
    CU_ASSERT_TRUE(time(NULL) - start < 10);
    CU_ASSERT_TRUE(file_size("slow.done") < 0);
}

static void
what_a_validator_leaves_behind_is_killed_also_in_another_session(void)
{
    struct model m;

    open_with_validators(&m);
    write_program("daemon", "setsid sh -c 'echo $$ > '$0'.pid; sleep 30' > /dev/null 2>&1 &\n"
                            "while [ ! -s $0.pid ]; do sleep 0.01; done; exit 0");
    SETTINGS(&m, "{\"validators\":[{\"command\":\"daemon\"}]}");
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(kill(read_pid("daemon.pid"), 0), -1);
    model_close(&m);
}

static void
a_validator_reads_the_candidate_also_where_standard_input_was_closed(void)
{
    int saved = dup(0);
    struct model m;

    open_with_validators(&m);
    write_program("sees", "grep -q right");
    SETTINGS(&m, "{\"validators\":[{\"command\":\"sees\"}]}");
    close(0);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":\"right\"}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":\"wrong\"}"), CONFCAST_ERR_VALIDATION);
    CU_ASSERT_EQUAL_FATAL(dup2(saved, 0), 0);
    close(saved);
    model_close(&m);
}

static struct model shared;

static void *
promote_slowly(void *arg)
{
    struct cfc_change change = {.author = "bob", .unix_ns = T0 + 5};
    struct cfc_release_order order = {.scope = arg, .action = CFC_ACTION_PROMOTE};
    struct cfc_release_view view;
    struct cfc_refusal refusal;

    return cfc_service_release(shared.service, &change, &order, &view, &refusal) == CONFCAST_OK
               ? arg
               : NULL;
}

static void
validators_of_two_changes_run_at_a_time_and_a_third_is_told(void)
{
    static const char *const names[] = {"acme/a", "acme/b", "acme/c"};
    pthread_t threads[2];

    open_with_validators(&shared);
    write_program("hold", "echo x >> $0.begun; while [ ! -e $0.go ]; do sleep 0.01; done");
    SETTINGS(&shared, "{\"validators\":[{\"command\":\"hold\"}]}");
    for (int i = 0; i < 3; i++) {
        char text[32];

        snprintf(text, sizeof(text), "{\"n\":%d}", i);
        CU_ASSERT_EQUAL(put_text(&shared, names[i], text), CONFCAST_OK);
    }
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL_FATAL(
            pthread_create(&threads[i], NULL, promote_slowly, (void *)(uintptr_t)names[i]), 0);
    }
    for (int i = 0; i < 1000 && file_size("hold.begun") < 4; i++) {
        poll(NULL, 0, 10);
    }
    CU_ASSERT_EQUAL(promote(&shared, names[2]), CONFCAST_ERR_BUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(shared.refusal.message, "try again"));
    write_program("hold.go", "");
    for (int i = 0; i < 2; i++) {
        void *result;

        pthread_join(threads[i], &result);
        CU_ASSERT_PTR_NOT_NULL(result);
    }
    CU_ASSERT_EQUAL(promote(&shared, names[2]), CONFCAST_OK);
    model_close(&shared);
}

static void
deadlines_begin_when_the_validators_are_done(void)
{
    struct cfc_release_plan plan = {.confirm_within_s = 1};
    static const char *const layers[] = {"acme"};
    struct cfc_effective effective;
    struct model m;

    open_with_validators(&m);
    write_program("slow", "sleep 1.2");
    CU_ASSERT_EQUAL_FATAL(publish(&m, "acme", "{\"port\":1}"), CONFCAST_OK);
    SETTINGS(&m, "{\"validators\":[{\"command\":\"slow\"}]}");
    CU_ASSERT_EQUAL_FATAL(put_text(&m, "acme", "{\"port\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "all", plan), CONFCAST_OK);
    CU_ASSERT_TRUE(m.view.release.changed_unix_ns >= m.now + 1200 * CFC_MS);
    CU_ASSERT_TRUE(m.view.release.confirm_by_unix_ns >= m.now + 2200 * CFC_MS);
    m.now += 1300 * CFC_MS;
    tick_after(&m, 0);
    CU_ASSERT_EQUAL(cfc_service_effective(m.service, "acme", false, &effective), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective.text, "{\"port\":2}");
    cfc_effective_free(&effective);
    CU_ASSERT_EQUAL(set_layers(&m, "acme", layers, 1), CONFCAST_OK);
    model_close(&m);
}

static void
an_empty_config_for_everybody_is_no_first_order_of_layers_when_another_is_behind_it(void)
{
    struct cfc_release_plan plan = {.confirm_within_s = 60};
    static const char *const layers[] = {"acme"};
    struct model m;

    model_open(&m);
    SCHEMA(&m, "{\"required\":[\"port\"]}");
    CU_ASSERT_EQUAL(set_layers(&m, "acme", layers, 1), CONFCAST_OK);
    SCHEMA(&m, "{}");
    CU_ASSERT_EQUAL_FATAL(publish(&m, "acme", "{\"port\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(put_text(&m, "acme", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "all", plan), CONFCAST_OK);
    SCHEMA(&m, "{\"required\":[\"port\"]}");
    CU_ASSERT_EQUAL(set_layers(&m, "acme", layers, 1), CONFCAST_ERR_SCHEMA_MISMATCH);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ABORT), CONFCAST_OK);
    CU_ASSERT_EQUAL(set_layers(&m, "acme", layers, 1), CONFCAST_OK);
    model_close(&m);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_stage_that_no_longer_fits_the_schema_pauses_and_is_refused_to_operators),
    CFC_CASE(a_release_that_waits_for_the_prepared_is_judged_when_they_are),
    CFC_CASE(a_stage_asks_its_validators_and_the_tick_does_not_wait),
    CFC_CASE(closing_ends_the_validators_of_a_stage),
    CFC_CASE(what_a_validator_leaves_behind_is_killed_also_in_another_session),
    CFC_CASE(a_validator_reads_the_candidate_also_where_standard_input_was_closed),
    CFC_CASE(validators_of_two_changes_run_at_a_time_and_a_third_is_told),
    CFC_CASE(deadlines_begin_when_the_validators_are_done),
    CFC_CASE(an_empty_config_for_everybody_is_no_first_order_of_layers_when_another_is_behind_it),
};

CFC_TEST_MAIN("model_validation", cases)
