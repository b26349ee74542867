/* Schemas, limits and validator commands: what may be promoted. */
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "controlplane/model/validator.h"
#include "protocol/base/scope.h"
#include "protocol/base/time.h"
#include "tests/unit/model_fixture.h"
#include "tests/unit/temp_dir.h"

static int
put_rule(struct model *m, enum cfc_rule_kind kind, const char *scope, const char *text)
{
    struct cfc_change change = by_ann(m);
    struct cfc_put put = {.scope = scope, .text = text, .text_size = strlen(text)};

    return cfc_service_put_rule(m->service, &change, kind, &put, &m->put, &m->refusal);
}

static int
set_schema(struct model *m, const char *scope, const char *text)
{
    return put_rule(m, CFC_RULE_SCHEMA, scope, text);
}

static int
set_settings(struct model *m, const char *scope, const char *text)
{
    return put_rule(m, CFC_RULE_SETTINGS, scope, text);
}

static int
promote_anyway(struct model *m, const char *scope)
{
    struct cfc_change change = by_ann(m);
    struct cfc_release_order order = {.scope = scope, .action = CFC_ACTION_PROMOTE};

    change.is_override = true;
    return cfc_service_release(m->service, &change, &order, &m->view, &m->refusal);
}

static bool
says(const struct model *m, const char *part)
{
    return strstr(m->refusal.message, part) != NULL;
}

#define PORT_SCHEMA                                                                                \
    "{\"type\":\"object\",\"properties\":{\"port\":{\"type\":\"integer\",\"maximum\":65535}}}"

static void
a_schema_holds_for_every_scope_that_has_it_as_a_layer(void)
{
    struct model m;
    uint64_t seq;

    model_open(&m);
    CU_ASSERT_EQUAL(put_text(&m, "acme/shop", "{\"port\":80}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(set_schema(&m, "acme", PORT_SCHEMA), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&m, "acme/shop"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme/shop", "{\"port\":70000}"), CONFCAST_OK);
    seq = cfc_service_seq(m.service);
    CU_ASSERT_EQUAL(promote(&m, "acme/shop"), CONFCAST_ERR_SCHEMA_MISMATCH);
    CU_ASSERT_TRUE(says(&m, "/port") && says(&m, "acme/shop") && says(&m, "revision 1"));
    CU_ASSERT_EQUAL(canary(&m, "acme/shop", "canary:5%"), CONFCAST_ERR_SCHEMA_MISMATCH);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop"), "{\"port\":80}");
    /* The layer above breaks the scope below. */
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"host\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(set_schema(&m, "acme/shop", "{\"required\":[\"host\"]}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"hosts\":1}"), CONFCAST_ERR_SCHEMA_MISMATCH);
    CU_ASSERT_TRUE(says(&m, "acme/shop"));
    /* A scope beside it is not asked. */
    CU_ASSERT_EQUAL(publish(&m, "other", "{\"port\":70000}"), CONFCAST_OK);
    model_close(&m);
}

static void
what_is_released_stays_and_ways_back_are_open(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"port\":70000}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"port\":80}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(set_schema(&m, "acme", PORT_SCHEMA), CONFCAST_OK);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ROLLBACK), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"port\":70000}");
    /* Nothing that consumers do not have already. */
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"port\":70000}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"port\":80}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(release(&m, "acme", CFC_ACTION_PROMOTE, 1, NULL), CONFCAST_ERR_SCHEMA_MISMATCH);
    model_close(&m);
}

static void
rules_are_guarded_have_a_history_and_last(void)
{
    struct cfc_definition_meta *items;
    struct cfc_definition rule;
    struct cfc_change change;
    struct cfc_put put = {
        .scope = "acme", .text = "{}", .text_size = 2, .has_expected_revision = true};
    struct model m;
    size_t count;

    model_open(&m);
    CU_ASSERT_EQUAL(cfc_service_get_rule(m.service, CFC_RULE_SCHEMA, "acme", 0, &rule),
                    CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(set_schema(&m, "acme", PORT_SCHEMA), CONFCAST_OK);
    change = by_ann(&m);
    CU_ASSERT_EQUAL(
        cfc_service_put_rule(m.service, &change, CFC_RULE_SCHEMA, &put, &m.put, &m.refusal),
        CONFCAST_ERR_CONFLICT);
    CU_ASSERT_TRUE(m.refusal.has_revision && m.refusal.current_revision == 1);
    put.expected_revision = 1;
    change = by_ann(&m);
    CU_ASSERT_EQUAL(
        cfc_service_put_rule(m.service, &change, CFC_RULE_SCHEMA, &put, &m.put, &m.refusal),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(m.put.revision, 2);
    CU_ASSERT_EQUAL(set_settings(&m, "acme", "{\"consumers_max\":500}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(m.put.revision, 1);
    model_reopen(&m);
    CU_ASSERT_EQUAL_FATAL(cfc_service_get_rule(m.service, CFC_RULE_SCHEMA, "acme", 1, &rule),
                          CONFCAST_OK);
    CU_ASSERT_TRUE(strstr(rule.text, "65535") != NULL);
    CU_ASSERT_STRING_EQUAL(rule.meta.author, "ann");
    cfc_definition_free(&rule);
    CU_ASSERT_EQUAL_FATAL(
        cfc_service_rule_history(m.service, CFC_RULE_SCHEMA, "acme", 0, 10, &items, &count),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(count, 2);
    CU_ASSERT_EQUAL(items[0].revision, 2);
    free(items);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"port\":70000}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(set_schema(&m, "acme", PORT_SCHEMA), CONFCAST_OK);
    model_reopen(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"port\":70001}"), CONFCAST_ERR_SCHEMA_MISMATCH);
    model_close(&m);
}

static void
malformed_rules_are_refused_with_a_reason(void)
{
    static const char *const settings[] = {
        "{\"x\":1}",
        "{\"size_ratio_max\":0.5}",
        "{\"size_ratio_max\":\"2\"}",
        "{\"consumers_max\":-1}",
        "{\"consumers_max\":1.5}",
        "{\"validators\":{}}",
        "{\"validators\":[{}]}",
        "{\"validators\":[{\"command\":\"../sh\"}]}",
        "{\"validators\":[{\"command\":\"/bin/sh\"}]}",
        "{\"validators\":[{\"command\":\".hidden\"}]}",
        "{\"validators\":[{\"command\":\"a\",\"timeout_ms\":0}]}",
        "{\"validators\":[{\"command\":\"a\",\"timeout_ms\":60001}]}",
        "{\"validators\":[{\"command\":\"a\",\"memory_mb\":4097}]}",
        "{\"validators\":[{\"command\":\"a\",\"args\":[1]}]}",
        "{\"validators\":[{\"command\":\"a\",\"shell\":true}]}"};
    struct model m;

    model_open(&m);
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        CU_ASSERT_EQUAL(set_settings(&m, "acme", settings[i]), CONFCAST_ERR_INVALID);
        CU_ASSERT_STRING_NOT_EQUAL(m.refusal.message, "");
    }
    CU_ASSERT_EQUAL(set_schema(&m, "acme", "{\"type\":\"int\"}"), CONFCAST_ERR_SCHEMA_INVALID);
    CU_ASSERT_TRUE(says(&m, "/type"));
    CU_ASSERT_EQUAL(set_schema(&m, "acme", "{\"magic\":1}"), CONFCAST_ERR_SCHEMA_UNSUPPORTED);
    CU_ASSERT_EQUAL(set_schema(&m, "acme", "["), CONFCAST_ERR_SYNTAX);
    CU_ASSERT_EQUAL(set_schema(&m, "..", "{}"), CONFCAST_ERR_SCOPE_NAME);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), 1);
    model_close(&m);
}

static void
a_jump_against_the_active_config_needs_an_override(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(set_settings(&m, "acme", "{\"key_ratio_max\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/s", "{\"a\":1,\"b\":2,\"c\":3}"), CONFCAST_OK);
    /* 4 values to 8 is a ratio of 2, to 9 is more. */
    CU_ASSERT_EQUAL(publish(&m, "acme/s", "{\"a\":[1,2,3,4,5],\"b\":7}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/s", "{\"a\":[1,2],\"b\":[7,8,9,1,2,3,4,5,6,7,8,9]}"),
                    CONFCAST_ERR_VALIDATION);
    CU_ASSERT_TRUE(says(&m, "from 8 to 17 values") && says(&m, "override"));
    CU_ASSERT_EQUAL(publish(&m, "acme/s", "{\"a\":1}"), CONFCAST_ERR_VALIDATION);
    CU_ASSERT_EQUAL(promote_anyway(&m, "acme/s"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/s"), "{\"a\":1}");
    CU_ASSERT_EQUAL(set_settings(&m, "acme", "{\"size_ratio_max\":1.5}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/s", "{\"a\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}"),
                    CONFCAST_ERR_VALIDATION);
    CU_ASSERT_TRUE(says(&m, "bytes"));
    model_close(&m);
}

static void
report(struct model *m, const char *consumer, const char *scope)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    struct cfc_report_entry entry = {.scope_id = cfc_scope_id(sha, scope, strlen(scope)),
                                     .state = CFC_APPLY_NONE};

    cfc_sha256_free(sha);
    CU_ASSERT_EQUAL(cfc_service_report(m->service, consumer, 1, 1, &entry, 1, m->now, NULL),
                    CONFCAST_OK);
}

static void
one_promotion_reaches_so_many_consumers_and_no_more(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme/a", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/b", "{\"b\":1}"), CONFCAST_OK);
    report(&m, "c1", "acme/a");
    report(&m, "c2", "acme/a");
    report(&m, "c3", "acme/b");
    CU_ASSERT_EQUAL(set_settings(&m, "acme", "{\"consumers_max\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/a", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"t\":1}"), CONFCAST_ERR_VALIDATION);
    CU_ASSERT_TRUE(says(&m, "reaches 3 consumers"));
    CU_ASSERT_EQUAL(promote_anyway(&m, "acme"), CONFCAST_OK);
    model_close(&m);
}

/* ---- Validators -------------------------------------------------------------------------------
 */

static struct temp_dir dir;
#define folder dir.path

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

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    out = fopen(path, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    fprintf(out, "#!/bin/sh\n%s\n", script);
    fclose(out);
    CU_ASSERT_EQUAL_FATAL(chmod(path, 0755), 0);
}

static void
open_with_validators(struct model *m)
{
    struct cfc_service_config config = {.validators_dir = folder};

    if (folder[0] == '\0') {
        dir = temp_dir_make();
        atexit(remove_folder);
        config.validators_dir = folder;
    }
    model_open(m);
    cfc_service_close(m->service);
    CU_ASSERT_EQUAL_FATAL(cfc_service_open(m->store, &config, &m->service), CONFCAST_OK);
}

static uint64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / CFC_MS;
}

static void
a_validator_sees_the_candidate_and_its_word_counts(void)
{
    struct model m;

    open_with_validators(&m);
    write_program("nobad",
                  "grep -q '\"bad\"' && { echo \"bad is in $CONFCAST_SCOPE $1\"; exit 3; }; "
                  "exit 0");
    CU_ASSERT_EQUAL(
        set_settings(&m, "acme", "{\"validators\":[{\"command\":\"nobad\",\"args\":[\"$(id)\"]}]}"),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/s", "{\"good\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/s", "{\"bad\":1}"), CONFCAST_ERR_VALIDATION);
    CU_ASSERT_TRUE(says(&m, "nobad") && says(&m, "exit status 3"));
    CU_ASSERT_TRUE(says(&m, "bad is in acme $(id)")); /* no shell has seen the argument */
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/s"), "{\"good\":1}");
    CU_ASSERT_EQUAL(publish(&m, "acme/s", "{\"good\":2}"), CONFCAST_OK);
    model_close(&m);
}

/* Ended, whether or not somebody has reaped it. */
static bool
is_gone(int pid)
{
    char line[256] = "";
    const char *state;
    char path[64];
    FILE *in;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    in = fopen(path, "re");
    if (in == NULL) {
        return true;
    }
    state = fgets(line, sizeof(line), in) != NULL ? strrchr(line, ')') : NULL;
    fclose(in);
    return state == NULL || state[2] == 'Z' || state[2] == 'X';
}

static void
a_validator_that_breaks_a_limit_is_killed_with_all_it_started(void)
{
    struct model m;
    uint64_t start;
    char command[400];
    FILE *in;
    int pid = 0;

    open_with_validators(&m);
    write_program("hang", "sleep 300 & echo $! > \"$1/pid\"; wait");
    write_program("loud", "exec yes");
    snprintf(command, sizeof(command),
             "{\"validators\":[{\"command\":\"hang\",\"args\":[\"%s\"],\"timeout_ms\":300}]}",
             folder);
    CU_ASSERT_EQUAL(set_settings(&m, "acme", command), CONFCAST_OK);
    start = now_ms();
    CU_ASSERT_EQUAL(publish(&m, "acme", "{}"), CONFCAST_ERR_VALIDATION);
    CU_ASSERT_TRUE(says(&m, "timeout"));
    CU_ASSERT_TRUE(now_ms() - start >= 300 && now_ms() - start < 10000);
    snprintf(command, sizeof(command), "%s/pid", folder);
    in = fopen(command, "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(in);
    CU_ASSERT_EQUAL_FATAL(fscanf(in, "%d", &pid), 1);
    fclose(in);
    for (int i = 0; i < 100 && !is_gone(pid); i++) {
        usleep(20000);
    }
    CU_ASSERT_TRUE(is_gone(pid));
    CU_ASSERT_EQUAL(set_settings(&m, "acme", "{\"validators\":[{\"command\":\"loud\"}]}"),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_ERR_VALIDATION);
    CU_ASSERT_TRUE(says(&m, "64 KiB"));
    CU_ASSERT_EQUAL(set_settings(&m, "acme", "{\"validators\":[{\"command\":\"absent\"}]}"),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_ERR_VALIDATION);
    CU_ASSERT_TRUE(says(&m, "could not be run"));
    CU_ASSERT_EQUAL(set_settings(&m, "acme", "{\"validators\":[]}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_OK);
    model_close(&m);
}

static void
a_validator_has_no_more_memory_than_it_was_given(void)
{
    struct model m;

    open_with_validators(&m);
    write_program("eat", "exec python3 -c 'x = bytearray(256 << 20)'");
    CU_ASSERT_EQUAL(
        set_settings(
            &m, "acme",
            "{\"validators\":[{\"command\":\"eat\",\"memory_mb\":128,\"timeout_ms\":20000}]}"),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{}"), CONFCAST_ERR_VALIDATION);
    CU_ASSERT_EQUAL(
        set_settings(
            &m, "acme",
            "{\"validators\":[{\"command\":\"eat\",\"memory_mb\":1024,\"timeout_ms\":20000}]}"),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_OK);
    model_close(&m);
}

static void *
promote_in_a_thread(void *arg)
{
    struct model *m = arg;
    struct cfc_change change = {.author = "bob", .unix_ns = T0 + 5};
    struct cfc_release_order order = {.scope = "acme/s", .action = CFC_ACTION_PROMOTE};
    static int error;

    error = cfc_service_release(m->service, &change, &order, &m->view, &m->refusal);
    return &error;
}

static void
what_moves_while_validators_run_is_a_conflict_and_others_do_not_wait(void)
{
    static struct model m;
    struct model other;
    char command[400];
    pthread_t thread;
    void *error;
    uint64_t start;

    open_with_validators(&m);
    write_program("slow", "touch \"$1/began\"; sleep 1");
    snprintf(command, sizeof(command),
             "{\"validators\":[{\"command\":\"slow\",\"args\":[\"%s\"]}]}", folder);
    CU_ASSERT_EQUAL(set_settings(&m, "acme/s", command), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme/s", "{\"s\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"t\":1}"), CONFCAST_OK);
    other = m;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, promote_in_a_thread, &m), 0);
    snprintf(command, sizeof(command), "%s/began", folder);
    while (access(command, F_OK) != 0) {
        usleep(1000);
    }
    start = now_ms();
    CU_ASSERT_EQUAL(publish(&other, "free", "{}"), CONFCAST_OK);
    CU_ASSERT_TRUE(now_ms() - start < 500);
    CU_ASSERT_EQUAL(set_settings(&other, "acme/s", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&other, "acme"), CONFCAST_OK);
    CU_ASSERT_EQUAL(set_settings(&other, "acme/s", "{\"validators\":[{\"command\":\"slow\"}]}"),
                    CONFCAST_OK);
    pthread_join(thread, &error);
    CU_ASSERT_EQUAL(*(int *)error, CONFCAST_ERR_CONFLICT);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/s"), "{\"t\":1}");
    model_close(&m);
}

static void
without_a_folder_settings_with_validators_refuse_promotions(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(set_settings(&m, "acme", "{\"validators\":[{\"command\":\"nobad\"}]}"),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{}"), CONFCAST_ERR_VALIDATION);
    CU_ASSERT_TRUE(says(&m, "--validators"));
    model_close(&m);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_schema_holds_for_every_scope_that_has_it_as_a_layer),
    CFC_CASE(what_is_released_stays_and_ways_back_are_open),
    CFC_CASE(rules_are_guarded_have_a_history_and_last),
    CFC_CASE(malformed_rules_are_refused_with_a_reason),
    CFC_CASE(a_jump_against_the_active_config_needs_an_override),
    CFC_CASE(one_promotion_reaches_so_many_consumers_and_no_more),
    CFC_CASE(a_validator_sees_the_candidate_and_its_word_counts),
    CFC_CASE(a_validator_that_breaks_a_limit_is_killed_with_all_it_started),
    CFC_CASE(a_validator_has_no_more_memory_than_it_was_given),
    CFC_CASE(what_moves_while_validators_run_is_a_conflict_and_others_do_not_wait),
    CFC_CASE(without_a_folder_settings_with_validators_refuse_promotions),
};

CFC_TEST_MAIN("model_rules", cases)
