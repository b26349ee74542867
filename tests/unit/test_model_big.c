/* Big configs are made without the service's lock: what others do meanwhile is never lost, and what
 * comes out is what would have been made under it. */
#include <unistd.h>

#include "controlplane/model/recipe.h"
#include "controlplane/model/step.h"
#include "protocol/base/time.h"
#include "tests/unit/model_fixture.h"

enum {
    VALUE_SIZE = 100,
    VALUE_COUNT = CFC_RECIPE_BIG_BYTES / VALUE_SIZE
};

/* What happens each time that a body was made and the lock is not taken again yet. */
static struct {
    struct model *m;
    void (*act)(struct model *m, int round);
    int rounds;
} meanwhile;

static void
on_point(const char *point)
{
    if (strcmp(point, "recipe:cooked") == 0) {
        meanwhile.rounds++;
        if (meanwhile.act != NULL) {
            meanwhile.act(meanwhile.m, meanwhile.rounds);
        }
    }
}

static void
listen_to(struct model *m, void (*intrude)(struct model *m, int round))
{
    meanwhile.m = m;
    meanwhile.act = intrude;
    meanwhile.rounds = 0;
    cfc_store_crash_hook = on_point;
}

static void
close_model(struct model *m)
{
    cfc_store_crash_hook = NULL;
    model_close(m);
}

/* A document of more than CFC_RECIPE_BIG_BYTES with `mark` in it; the caller frees it. */
static char *
big_text(int mark)
{
    size_t capacity = (size_t)VALUE_COUNT * (VALUE_SIZE + 32) + 64;
    char *text = malloc(capacity);
    size_t size = (size_t)snprintf(text, capacity, "{\"mark\":%d", mark);

    for (int i = 0; i < VALUE_COUNT; i++) {
        size += (size_t)snprintf(text + size, capacity - size, ",\"k%d\":\"%0*d\"", i, VALUE_SIZE,
                                 i + mark);
    }
    snprintf(text + size, capacity - size, "}");
    return text;
}

static void
put_big(struct model *m, const char *scope, int mark)
{
    char *text = big_text(mark);

    CU_ASSERT_EQUAL_FATAL(put_text(m, scope, text), CONFCAST_OK);
    free(text);
}

/* The content that consumers of the last arm get. */
static struct cfc_digest
content_of(struct model *m, const char *scope)
{
    struct cfc_decision *decision;
    struct cfc_digest id;

    CU_ASSERT_EQUAL_FATAL(cfc_service_decision(m->service, scope, &decision), CONFCAST_OK);
    id = decision->arms[decision->arm_count - 1].content->id;
    cfc_decision_unref(decision);
    return id;
}

/* A new service decides for all scopes from the store, under its lock. */
static void
check_against_a_new_service(struct model *m, const char *scope)
{
    struct cfc_digest made = content_of(m, scope);
    struct cfc_digest again;
    uint64_t made_version = version(m, scope);

    model_reopen(m);
    again = content_of(m, scope);
    CU_ASSERT(cfc_digest_equal(&made, &again));
    CU_ASSERT_EQUAL(version(m, scope), made_version);
}

/* The value of a small member at the top. */
static bool
has(struct model *m, const char *scope, const char *member)
{
    struct cfc_effective effective;
    bool found;

    CU_ASSERT_EQUAL_FATAL(cfc_service_effective(m->service, scope, false, &effective), CONFCAST_OK);
    found = strstr(effective.text, member) != NULL;
    cfc_effective_free(&effective);
    return found;
}

static void
a_big_promotion_lets_others_in_and_gives_what_the_lock_would(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"shared\":1}"), CONFCAST_OK);
    put_big(&m, "acme/big", 7);
    listen_to(&m, NULL);
    CU_ASSERT_EQUAL(promote(&m, "acme/big"), CONFCAST_OK);
    CU_ASSERT_EQUAL(meanwhile.rounds, 1);
    CU_ASSERT(has(&m, "acme/big", "\"mark\":7") && has(&m, "acme/big", "\"shared\":1"));
    check_against_a_new_service(&m, "acme/big");
    close_model(&m);
}

static void
small_promotions_are_made_at_once(void)
{
    struct model m;

    model_open(&m);
    listen_to(&m, NULL);
    CU_ASSERT_EQUAL(publish(&m, "acme/small", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(meanwhile.rounds, 0);
    close_model(&m);
}

static void
change_another_layer(struct model *m, int round)
{
    if (round == 1) {
        CU_ASSERT_EQUAL(publish(m, "acme", "{\"shared\":2}"), CONFCAST_OK);
    }
}

static void
a_layer_that_changes_meanwhile_is_in_what_is_installed(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"shared\":1}"), CONFCAST_OK);
    put_big(&m, "acme/big", 7);
    listen_to(&m, change_another_layer);
    CU_ASSERT_EQUAL(promote(&m, "acme/big"), CONFCAST_OK);
    CU_ASSERT_EQUAL(meanwhile.rounds, 2);
    CU_ASSERT(has(&m, "acme/big", "\"mark\":7") && has(&m, "acme/big", "\"shared\":2"));
    check_against_a_new_service(&m, "acme/big");
    close_model(&m);
}

static void
put_the_same_scope(struct model *m, int round)
{
    if (round == 1) {
        put_big(m, "acme/big", 8);
    }
}

/* The revision that a pending document will have is another one's by then. */
static void
a_put_meanwhile_moves_the_revision_and_not_the_content(void)
{
    struct model m;
    struct cfc_change change;
    struct cfc_batch_result result;
    char *text = big_text(9);
    struct cfc_batch_item items[2] = {
        {.kind = CFC_BATCH_PUT,
         .put = {.scope = "acme/big", .text = text, .text_size = strlen(text)}},
        {.kind = CFC_BATCH_RELEASE, .order = {.scope = "acme/big", .action = CFC_ACTION_PROMOTE}},
    };

    model_open(&m);
    listen_to(&m, put_the_same_scope);
    change = by_ann(&m);
    CU_ASSERT_EQUAL_FATAL(cfc_service_batch(m.service, &change, items, 2, &result, &m.refusal),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL(meanwhile.rounds, 1);
    CU_ASSERT_EQUAL(result.items[0].revision, 2);
    CU_ASSERT_EQUAL(result.items[1].release.active_revision, 2);
    CU_ASSERT(has(&m, "acme/big", "\"mark\":9"));
    check_against_a_new_service(&m, "acme/big");
    cfc_batch_result_free(&result);
    free(text);
    close_model(&m);
}

static void
promote_the_same_scope(struct model *m, int round)
{
    if (round == 1) {
        CU_ASSERT_EQUAL(promote(m, "acme/big"), CONFCAST_OK);
    }
}

static void
a_guard_that_breaks_meanwhile_refuses_the_promotion(void)
{
    struct model m;
    struct cfc_change change;
    struct cfc_release_order order = {.scope = "acme/big",
                                      .action = CFC_ACTION_PROMOTE,
                                      .has_expected_version = true,
                                      .expected_version = 0};
    uint64_t seq;

    model_open(&m);
    put_big(&m, "acme/big", 7);
    listen_to(&m, promote_the_same_scope);
    change = by_ann(&m);
    CU_ASSERT_EQUAL(cfc_service_release(m.service, &change, &order, &m.view, &m.refusal),
                    CONFCAST_ERR_CONFLICT);
    seq = version(&m, "acme/big");
    CU_ASSERT_NOT_EQUAL(seq, 0);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);
    check_against_a_new_service(&m, "acme/big");
    close_model(&m);
}

static void
change_another_layer_each_time(struct model *m, int round)
{
    char text[32];

    snprintf(text, sizeof(text), "{\"shared\":%d}", round);
    CU_ASSERT_EQUAL(publish(m, "acme", text), CONFCAST_OK);
}

static void
what_changes_again_and_again_is_made_under_the_lock_in_the_end(void)
{
    struct model m;
    char last[32];

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"shared\":0}"), CONFCAST_OK);
    put_big(&m, "acme/big", 7);
    listen_to(&m, change_another_layer_each_time);
    CU_ASSERT_EQUAL(promote(&m, "acme/big"), CONFCAST_OK);
    CU_ASSERT_EQUAL(meanwhile.rounds, CFC_STEP_COOK_COUNT_MAX);
    snprintf(last, sizeof(last), "\"shared\":%d", meanwhile.rounds);
    CU_ASSERT(has(&m, "acme/big", last));
    check_against_a_new_service(&m, "acme/big");
    close_model(&m);
}

static void
what_is_known_already_is_not_made_again(void)
{
    struct model m;

    model_open(&m);
    put_big(&m, "acme/big", 7);
    CU_ASSERT_EQUAL(promote(&m, "acme/big"), CONFCAST_OK);
    listen_to(&m, NULL);
    put_big(&m, "acme/big", 7);
    CU_ASSERT_EQUAL(promote(&m, "acme/big"), CONFCAST_OK);
    CU_ASSERT_EQUAL(meanwhile.rounds, 0);
    put_big(&m, "acme/big", 8);
    CU_ASSERT_EQUAL(promote(&m, "acme/big"), CONFCAST_OK);
    CU_ASSERT_EQUAL(meanwhile.rounds, 1);
    check_against_a_new_service(&m, "acme/big");
    close_model(&m);
}

static void
take_time(struct model *m, int round)
{
    (void)m;
    (void)round;
    usleep(200000);
}

static void
deadlines_begin_when_the_body_is_made(void)
{
    struct cfc_release_plan plan = {.confirm_within_s = 1};
    struct model m;

    model_open(&m);
    put_big(&m, "acme", 1);
    listen_to(&m, take_time);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "all", plan), CONFCAST_OK);
    CU_ASSERT_EQUAL(meanwhile.rounds, 1);
    CU_ASSERT_TRUE(m.view.release.confirm_by_unix_ns >= m.now + CFC_S + 200 * CFC_MS);
    close_model(&m);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_big_promotion_lets_others_in_and_gives_what_the_lock_would),
    CFC_CASE(small_promotions_are_made_at_once),
    CFC_CASE(a_layer_that_changes_meanwhile_is_in_what_is_installed),
    CFC_CASE(a_put_meanwhile_moves_the_revision_and_not_the_content),
    CFC_CASE(a_guard_that_breaks_meanwhile_refuses_the_promotion),
    CFC_CASE(what_changes_again_and_again_is_made_under_the_lock_in_the_end),
    CFC_CASE(what_is_known_already_is_not_made_again),
    CFC_CASE(deadlines_begin_when_the_body_is_made),
};

CFC_TEST_MAIN("model_big", cases)
