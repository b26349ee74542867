/* Rollouts that move by themselves: the service with reports and ticks, and no clock but ours. */
#include "controlplane/model/effective.h"
#include "protocol/base/time.h"
#include "tests/unit/model_fixture.h"

enum {
    FLEET_SIZE = 8,
    STABLE_ARM = 1
};

static uint64_t seqs;

static struct cfc_decision *
decision_of(struct model *m, const char *scope)
{
    struct cfc_decision *decision;

    CU_ASSERT_EQUAL_FATAL(cfc_service_decision(m->service, scope, &decision), CONFCAST_OK);
    return decision;
}

/* What a consumer reports that followed the head in force. */
static void
report(struct model *m, const char *scope, int consumer, uint8_t arm, uint8_t state)
{
    struct cfc_decision *decision = decision_of(m, scope);
    bool is_applied = state == CFC_APPLY_APPLIED;
    struct cfc_report_entry entry = {
        .scope_id = decision->scope_id,
        .epoch = cfc_service_epoch(m->service),
        .accepted = decision->version,
        .serving_version = is_applied ? decision->version : 0,
        .serving_content = is_applied ? cfc_digest_key(&decision->arms[arm].content->id) : 0,
        .state = state,
        .arm = arm,
    };
    char id[16];

    snprintf(id, sizeof(id), "c%d", consumer);
    CU_ASSERT_EQUAL(cfc_service_report(m->service, id, 1, ++seqs, &entry, 1, m->now, NULL),
                    CONFCAST_OK);
    cfc_service_report_clock(m->service, id, 1000, 1000000);
    cfc_decision_unref(decision);
}

static void
hand_over(struct model *m, const char *scope)
{
    cfc_service_note_published(m->service, scope, version(m, scope), m->now);
}

/* All consumers serve the head in force; the first `candidates` of them in the candidate's arm. */
static void
fleet_follows(struct model *m, const char *scope, int candidates)
{
    struct cfc_decision *decision = decision_of(m, scope);
    uint8_t stable_arm = (uint8_t)(decision->arm_count - 1);

    cfc_decision_unref(decision);
    hand_over(m, scope);
    for (int i = 0; i < FLEET_SIZE; i++) {
        report(m, scope, i, i < candidates ? 0 : stable_arm, CFC_APPLY_APPLIED);
    }
}

static void
tick_after(struct model *m, uint64_t seconds)
{
    m->now += seconds * CFC_S;
    CU_ASSERT_EQUAL(cfc_service_tick(m->service, m->now), CONFCAST_OK);
}

static struct cfc_release
release_of(struct model *m, const char *scope)
{
    struct cfc_release_view view;

    CU_ASSERT_EQUAL(cfc_service_get_release(m->service, scope, &view), CONFCAST_OK);
    return view.release;
}

/* A scope whose revision 1 is served by all, with revision 2 written. */
static void
begin(struct model *m)
{
    model_open(m);
    CU_ASSERT_EQUAL(publish(m, "acme", "{\"r\":1}"), CONFCAST_OK);
    fleet_follows(m, "acme", 0);
    CU_ASSERT_EQUAL(put_text(m, "acme", "{\"r\":2}"), CONFCAST_OK);
    tick_after(m, 0);
    drain(m);
}

static void
stages_that_are_healthy_advance_after_each_bake_to_the_end(void)
{
    struct cfc_release_plan plan = {.bake_s = 20};
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "stages:25%,50%", plan), CONFCAST_OK);
    fleet_follows(&m, "acme", 2);
    tick_after(&m, 19);
    CU_ASSERT_EQUAL(release_of(&m, "acme").stage_idx, 0);
    tick_after(&m, 1);
    CU_ASSERT_EQUAL(release_of(&m, "acme").stage_idx, 1);
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_ROLLING);
    /* The same time once more does nothing twice. */
    tick_after(&m, 0);
    CU_ASSERT_EQUAL(release_of(&m, "acme").stage_idx, 1);
    fleet_follows(&m, "acme", 4);
    tick_after(&m, 20);
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_ACTIVE);
    CU_ASSERT_EQUAL(release_of(&m, "acme").active_revision, 2);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"r\":2}");
    model_close(&m);
}

static void
without_a_bake_time_nothing_advances_or_pauses_by_itself(void)
{
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(canary(&m, "acme", "canary:25%"), CONFCAST_OK);
    tick_after(&m, 100000);
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_ROLLING);
    CU_ASSERT_EQUAL(release_of(&m, "acme").stage_idx, 0);
    model_close(&m);
}

static void
a_consumer_that_lacks_the_stage_after_the_bake_pauses_it_with_a_reason(void)
{
    struct cfc_release_plan plan = {.bake_s = 20};
    struct cfc_release paused;
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "canary:25%", plan), CONFCAST_OK);
    fleet_follows(&m, "acme", 2);
    report(&m, "acme", 1, 0, CFC_APPLY_RECEIVING);
    drain(&m);
    tick_after(&m, 20);
    paused = release_of(&m, "acme");
    CU_ASSERT_EQUAL(paused.state, CFC_RELEASE_PAUSED);
    CU_ASSERT_STRING_EQUAL(paused.reason, "7 of 8 consumers that are alive serve the stage");
    CU_ASSERT_STRING_EQUAL(polled(&m), "acme@8 normal");
    /* It stays so, also across a restart, until an operator resumes; then it bakes anew. */
    model_reopen(&m);
    tick_after(&m, 100);
    CU_ASSERT_STRING_EQUAL(release_of(&m, "acme").reason, paused.reason);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_RESUME), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(release_of(&m, "acme").reason, "");
    fleet_follows(&m, "acme", 2);
    tick_after(&m, 19);
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_ROLLING);
    tick_after(&m, 1);
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_ACTIVE);
    model_close(&m);
}

static void
rejections_in_the_candidates_arm_pause_before_the_bake_is_over(void)
{
    struct cfc_release_plan plan = {.bake_s = 600};
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "canary:25%", plan), CONFCAST_OK);
    fleet_follows(&m, "acme", 2);
    tick_after(&m, 1);
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_ROLLING);
    report(&m, "acme", 0, 0, CFC_APPLY_REJECTED);
    tick_after(&m, 1);
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_PAUSED);
    CU_ASSERT_STRING_EQUAL(release_of(&m, "acme").reason,
                           "1 of 2 consumers of the candidate reject it, 0 of 6 of the rest");
    model_close(&m);
}

static void
a_consumer_that_falls_silent_in_a_stage_pauses_it_but_one_silent_before_does_not(void)
{
    struct cfc_release_plan plan = {.bake_s = 60};
    struct model m;

    begin(&m);
    /* c7 is gone before the rollout begins. */
    m.now += 40 * CFC_S;
    for (int i = 0; i < FLEET_SIZE - 1; i++) {
        report(&m, "acme", i, 0, CFC_APPLY_APPLIED);
    }
    tick_after(&m, 0);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "stages:25%,50%", plan), CONFCAST_OK);
    hand_over(&m, "acme");
    for (int second = 0; second < 60; second += 10) {
        for (int i = 0; i < FLEET_SIZE - 1; i++) {
            report(&m, "acme", i, i < 2 ? 0 : STABLE_ARM, CFC_APPLY_APPLIED);
        }
        tick_after(&m, 10);
    }
    CU_ASSERT_EQUAL(release_of(&m, "acme").stage_idx, 1);
    hand_over(&m, "acme");
    for (int second = 0; second < 40; second += 10) {
        for (int i = 1; i < FLEET_SIZE - 1; i++) {
            report(&m, "acme", i, i < 4 ? 0 : STABLE_ARM, CFC_APPLY_APPLIED);
        }
        tick_after(&m, 10);
    }
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_PAUSED);
    CU_ASSERT_STRING_EQUAL(release_of(&m, "acme").reason,
                           "1 of 8 consumers fell silent during the stage");
    model_close(&m);
}

static void
nobody_in_the_candidates_arm_is_no_health(void)
{
    struct cfc_release_plan plan = {.bake_s = 20};
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "label:zone=eu", plan), CONFCAST_OK);
    fleet_follows(&m, "acme", 0);
    tick_after(&m, 20);
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_PAUSED);
    CU_ASSERT_STRING_EQUAL(release_of(&m, "acme").reason,
                           "no consumer reports that it serves the candidate");
    model_close(&m);
}

static void
a_stage_that_no_engine_has_pauses(void)
{
    struct cfc_release_plan plan = {.bake_s = 20};
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "canary:25%", plan), CONFCAST_OK);
    tick_after(&m, 20);
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_PAUSED);
    CU_ASSERT_STRING_EQUAL(release_of(&m, "acme").reason,
                           "the stage was not published: no engine has it");
    model_close(&m);
}

static void
a_new_head_by_another_layer_gives_consumers_time_to_report(void)
{
    struct cfc_release_plan plan = {.bake_s = 20};
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"r\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/x", "{\"x\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme/x", "{\"x\":2}"), CONFCAST_OK);
    tick_after(&m, 0);
    fleet_follows(&m, "acme/x", 0);
    CU_ASSERT_EQUAL(promote_by(&m, "acme/x", "canary:25%", plan), CONFCAST_OK);
    fleet_follows(&m, "acme/x", 2);
    tick_after(&m, 19);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"r\":2}"), CONFCAST_OK);
    hand_over(&m, "acme/x");
    tick_after(&m, 9);
    CU_ASSERT_EQUAL(release_of(&m, "acme/x").state, CFC_RELEASE_ROLLING);
    fleet_follows(&m, "acme/x", 2);
    tick_after(&m, 1);
    CU_ASSERT_EQUAL(release_of(&m, "acme/x").state, CFC_RELEASE_ACTIVE);
    model_close(&m);
}

static void
a_restart_waits_for_reports_and_neither_skips_nor_doubles_a_stage(void)
{
    struct cfc_release_plan plan = {.bake_s = 20};
    struct model m;
    uint64_t since;

    begin(&m);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "stages:25%,50%", plan), CONFCAST_OK);
    fleet_follows(&m, "acme", 2);
    since = release_of(&m, "acme").stage_unix_ns;
    model_reopen(&m);
    CU_ASSERT_EQUAL(release_of(&m, "acme").stage_unix_ns, since);
    fleet_follows(&m, "acme", 2);
    tick_after(&m, 25);
    CU_ASSERT_EQUAL(release_of(&m, "acme").stage_idx, 0);
    fleet_follows(&m, "acme", 2);
    tick_after(&m, 30);
    CU_ASSERT_EQUAL(release_of(&m, "acme").stage_idx, 1);
    model_reopen(&m);
    CU_ASSERT_EQUAL(release_of(&m, "acme").stage_idx, 1);
    CU_ASSERT_EQUAL(release_of(&m, "acme").stage_unix_ns, m.now);
    model_close(&m);
}

/* ---- Activation --------------------------------------------------------------------------------
 */

static void
a_held_head_names_both_contents_and_advance_is_one_more_head(void)
{
    struct cfc_release_plan plan = {.activation = CFC_ACTIVATE_HOLD};
    struct cfc_decision *held;
    struct cfc_decision *now;
    struct model m;

    begin(&m);
    now = decision_of(&m, "acme");
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "all", plan), CONFCAST_OK);
    held = decision_of(&m, "acme");
    CU_ASSERT_EQUAL(held->activation, CFC_ACTIVATE_HOLD);
    CU_ASSERT_EQUAL(held->arm_count, 1);
    CU_ASSERT_EQUAL(held->arms[0].selector, CFC_SELECT_ALL);
    CU_ASSERT_PTR_EQUAL(held->arms[0].fallback, now->arms[0].content);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"r\":1}");
    CU_ASSERT_STRING_EQUAL(candidate(&m, "acme"), "{\"r\":2}");
    cfc_decision_unref(now);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ADVANCE), CONFCAST_OK);
    now = decision_of(&m, "acme");
    CU_ASSERT_EQUAL(now->activation, CFC_ACTIVATE_NOW);
    CU_ASSERT_PTR_EQUAL(now->arms[0].content, held->arms[0].content);
    CU_ASSERT_PTR_NULL(now->arms[0].fallback);
    CU_ASSERT_EQUAL(now->version, held->version + 1);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"r\":2}");
    cfc_decision_unref(now);
    cfc_decision_unref(held);
    model_close(&m);
}

static void
a_held_canary_keeps_everybody_on_what_was(void)
{
    struct cfc_release_plan plan = {.activation = CFC_ACTIVATE_HOLD};
    struct cfc_decision *held;
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "canary:25%", plan), CONFCAST_OK);
    held = decision_of(&m, "acme");
    CU_ASSERT_EQUAL(held->arm_count, 2);
    CU_ASSERT_EQUAL(held->activation, CFC_ACTIVATE_HOLD);
    CU_ASSERT_PTR_EQUAL(held->arms[0].fallback, held->arms[1].content);
    CU_ASSERT_PTR_EQUAL(held->arms[1].fallback, held->arms[1].content);
    cfc_decision_unref(held);
    model_close(&m);
}

static void
a_layer_that_changes_under_a_held_one_keeps_it_held(void)
{
    struct cfc_release_plan plan = {.activation = CFC_ACTIVATE_HOLD};
    struct cfc_decision *held;
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme/x", "{\"x\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "all", plan), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/x", "{\"x\":2}"), CONFCAST_OK);
    held = decision_of(&m, "acme/x");
    CU_ASSERT_EQUAL(held->activation, CFC_ACTIVATE_HOLD);
    cfc_decision_unref(held);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/x"), "{\"r\":1,\"x\":2}");
    CU_ASSERT_STRING_EQUAL(candidate(&m, "acme/x"), "{\"r\":2,\"x\":2}");
    /* Two that wait would need an arm each. */
    CU_ASSERT_EQUAL(put_text(&m, "acme/x", "{\"x\":3}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote_by(&m, "acme/x", "all", plan), CONFCAST_ERR_STATE);
    CU_ASSERT_STRING_EQUAL(m.refusal.holder, "acme");
    model_close(&m);
}

static void
a_time_is_in_the_head_and_the_tick_after_it_settles_the_release(void)
{
    struct cfc_release_plan plan = {.activation = CFC_ACTIVATE_AT};
    struct cfc_decision *decision;
    struct model m;

    begin(&m);
    plan.activate_unix_ns = m.now + 60 * CFC_S;
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "all", plan), CONFCAST_OK);
    decision = decision_of(&m, "acme");
    CU_ASSERT_EQUAL(decision->activation, CFC_ACTIVATE_AT);
    CU_ASSERT_EQUAL(decision->activate_unix_ns, plan.activate_unix_ns);
    cfc_decision_unref(decision);
    model_reopen(&m);
    m.now = plan.activate_unix_ns - 1;
    tick_after(&m, 0);
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_ROLLING);
    m.now++;
    tick_after(&m, 0);
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_ACTIVE);
    decision = decision_of(&m, "acme");
    CU_ASSERT_EQUAL(decision->activation, CFC_ACTIVATE_NOW);
    cfc_decision_unref(decision);
    model_close(&m);
}

static void
plans_that_contradict_themselves_are_refused(void)
{
    struct cfc_release_plan bad[] = {
        {.activation = CFC_ACTIVATE_AT},
        {.activation = CFC_ACTIVATE_NOW, .activate_unix_ns = 1},
        {.activation = CFC_ACTIVATE_AT, .activate_unix_ns = T0},
        {.activation = CFC_ACTIVATE_AT, .activate_unix_ns = T0 + UINT64_C(400) * 86400 * CFC_S},
        {.activation = (enum cfc_activation)3},
        {.bake_s = 10},
        {.confirm_within_s = CFC_CONFIRM_WITHIN_S_MAX + 1},
        {.require_prepared_ppm = CFC_STAGE_PPM_ALL + 1},
    };
    struct cfc_release_order order = {.scope = "acme", .action = CFC_ACTION_RESUME};
    struct cfc_change change;
    struct model m;
    uint64_t seq;

    begin(&m);
    seq = cfc_service_seq(m.service);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(promote_by(&m, "acme", "all", bad[i]), CONFCAST_ERR_INVALID);
        CU_ASSERT_NOT_EQUAL(m.refusal.message[0], '\0');
    }
    order.plan.bake_s = 1;
    change = by_ann(&m);
    CU_ASSERT_EQUAL(cfc_service_release(m.service, &change, &order, &m.view, &m.refusal),
                    CONFCAST_ERR_INVALID);
    order.plan =
        (struct cfc_release_plan){.activation = CFC_ACTIVATE_AT, .activate_unix_ns = m.now + CFC_S};
    CU_ASSERT_EQUAL(cfc_service_release(m.service, &change, &order, &m.view, &m.refusal),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);
    model_close(&m);
}

static void
now_with_a_required_share_activates_when_it_is_prepared(void)
{
    struct cfc_release_plan plan = {.require_prepared_ppm = 990000};
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "all", plan), CONFCAST_OK);
    hand_over(&m, "acme");
    for (int i = 0; i < FLEET_SIZE - 1; i++) {
        report(&m, "acme", i, 0, CFC_APPLY_PREPARED);
    }
    tick_after(&m, 1);
    CU_ASSERT_TRUE(release_of(&m, "acme").is_waiting);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ADVANCE), CONFCAST_ERR_STATE);
    CU_ASSERT_STRING_EQUAL(m.refusal.message, "7 of 8 consumers are prepared, 99 % are required");
    CU_ASSERT_TRUE(m.refusal.has_release);
    report(&m, "acme", FLEET_SIZE - 1, 0, CFC_APPLY_PREPARED);
    tick_after(&m, 1);
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_ACTIVE);
    model_close(&m);
}

static void
an_operator_may_advance_with_another_share(void)
{
    struct cfc_release_plan plan = {.activation = CFC_ACTIVATE_HOLD,
                                    .require_prepared_ppm = 990000};
    struct cfc_release_order order = {
        .scope = "acme", .action = CFC_ACTION_ADVANCE, .has_require_prepared = true};
    struct cfc_change change;
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "all", plan), CONFCAST_OK);
    hand_over(&m, "acme");
    for (int i = 0; i < FLEET_SIZE / 2; i++) {
        report(&m, "acme", i, 0, CFC_APPLY_PREPARED);
    }
    tick_after(&m, 1);
    CU_ASSERT_TRUE(release_of(&m, "acme").is_waiting);
    order.plan.require_prepared_ppm = 500001;
    change = by_ann(&m);
    CU_ASSERT_EQUAL(cfc_service_release(m.service, &change, &order, &m.view, &m.refusal),
                    CONFCAST_ERR_STATE);
    order.plan.require_prepared_ppm = 500000;
    CU_ASSERT_EQUAL(cfc_service_release(m.service, &change, &order, &m.view, &m.refusal),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(m.view.release.state, CFC_RELEASE_ACTIVE);
    model_close(&m);
}

static void
a_time_is_put_into_the_head_only_when_enough_are_prepared(void)
{
    struct cfc_release_plan plan = {.activation = CFC_ACTIVATE_AT,
                                    .require_prepared_ppm = CFC_STAGE_PPM_ALL};
    struct cfc_decision *decision;
    struct model m;

    begin(&m);
    plan.activate_unix_ns = m.now + 60 * CFC_S;
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "all", plan), CONFCAST_OK);
    decision = decision_of(&m, "acme");
    CU_ASSERT_EQUAL(decision->activation, CFC_ACTIVATE_HOLD);
    cfc_decision_unref(decision);
    hand_over(&m, "acme");
    for (int i = 0; i < FLEET_SIZE; i++) {
        report(&m, "acme", i, 0, CFC_APPLY_PREPARED);
    }
    /* One clock is off: that consumer does not count, on either side. */
    report(&m, "acme", 0, 0, CFC_APPLY_RECEIVING);
    tick_after(&m, 1);
    CU_ASSERT_EQUAL(release_of(&m, "acme").plan.require_prepared_ppm, CFC_STAGE_PPM_ALL);
    cfc_service_report_clock(m.service, "c0", -(int64_t)CFC_S - 1, 1000);
    tick_after(&m, 1);
    decision = decision_of(&m, "acme");
    CU_ASSERT_EQUAL(decision->activation, CFC_ACTIVATE_AT);
    CU_ASSERT_EQUAL(decision->activate_unix_ns, plan.activate_unix_ns);
    cfc_decision_unref(decision);
    model_close(&m);
}

static void
a_time_that_comes_before_enough_are_prepared_pauses_the_release(void)
{
    struct cfc_release_plan plan = {.activation = CFC_ACTIVATE_AT,
                                    .require_prepared_ppm = CFC_STAGE_PPM_ALL};
    struct model m;

    begin(&m);
    plan.activate_unix_ns = m.now + 10 * CFC_S;
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "all", plan), CONFCAST_OK);
    hand_over(&m, "acme");
    report(&m, "acme", 0, 0, CFC_APPLY_PREPARED);
    tick_after(&m, 10);
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_PAUSED);
    CU_ASSERT_STRING_EQUAL(release_of(&m, "acme").reason,
                           "1 of 8 consumers with a good clock are prepared");
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"r\":1}");
    model_close(&m);
}

/* ---- Confirmation ------------------------------------------------------------------------------
 */

static void
an_unconfirmed_head_carries_its_deadline_and_a_confirmed_one_does_not(void)
{
    struct cfc_release_plan plan = {.confirm_within_s = 60};
    struct cfc_decision *first;
    struct cfc_decision *second;
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "all", plan), CONFCAST_OK);
    first = decision_of(&m, "acme");
    CU_ASSERT_EQUAL(first->confirm_by_unix_ns, m.now + 60 * CFC_S);
    CU_ASSERT_EQUAL(first->activation, CFC_ACTIVATE_NOW);
    CU_ASSERT_PTR_NOT_NULL(first->arms[0].fallback);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"r\":2}");
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_CONFIRM), CONFCAST_OK);
    second = decision_of(&m, "acme");
    CU_ASSERT_EQUAL(second->confirm_by_unix_ns, 0);
    CU_ASSERT_EQUAL(second->version, first->version + 1);
    CU_ASSERT_EQUAL(second->kind, CFC_HEAD_NORMAL);
    CU_ASSERT_PTR_EQUAL(second->arms[0].content, first->arms[0].content);
    cfc_decision_unref(first);
    cfc_decision_unref(second);
    tick_after(&m, 1000);
    CU_ASSERT_EQUAL(release_of(&m, "acme").active_revision, 2);
    model_close(&m);
}

static void
at_the_deadline_the_service_rolls_back_once_also_after_a_restart(void)
{
    struct cfc_release_plan plan = {.confirm_within_s = 60};
    struct model m;
    json_t *entries;
    uint64_t seq;

    for (int is_restarted = 0; is_restarted < 2; is_restarted++) {
        begin(&m);
        CU_ASSERT_EQUAL(promote_by(&m, "acme", "all", plan), CONFCAST_OK);
        if (is_restarted) {
            model_reopen(&m);
        }
        drain(&m);
        tick_after(&m, 59);
        CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_ROLLING);
        tick_after(&m, 1);
        CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_ACTIVE);
        CU_ASSERT_EQUAL(release_of(&m, "acme").active_revision, 1);
        CU_ASSERT_NOT_EQUAL(strstr(polled(&m), "rollback"), NULL);
        seq = cfc_service_seq(m.service);
        tick_after(&m, 1);
        CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);
        CU_ASSERT_EQUAL(cfc_service_audit(m.service, 0, 1, &entries, NULL), CONFCAST_OK);
        CU_ASSERT_STRING_EQUAL(
            json_string_value(json_object_get(json_array_get(entries, 0), "author")),
            CFC_ROLLOUT_AUTHOR);
        CU_ASSERT_STRING_EQUAL(
            json_string_value(json_object_get(json_array_get(entries, 0), "message")),
            "nobody confirmed it in time");
        json_decref(entries);
        model_close(&m);
    }
}

static void
a_paused_canary_that_nobody_confirms_is_rolled_back_too(void)
{
    struct cfc_release_plan plan = {.confirm_within_s = 60};
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "canary:25%", plan), CONFCAST_OK);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_PAUSE), CONFCAST_OK);
    tick_after(&m, 60);
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_ACTIVE);
    CU_ASSERT_EQUAL(release_of(&m, "acme").active_revision, 1);
    model_close(&m);
}

static void
a_store_that_fails_in_a_tick_delays_what_is_due_and_doubles_nothing(void)
{
    static const int errors[] = {CONFCAST_ERR_NO_SPACE, CONFCAST_ERR_IO};
    struct cfc_release_plan plan = {.confirm_within_s = 60};

    for (int i = 0; i < 16; i++) {
        struct cfc_release before;
        struct model m;

        begin(&m);
        CU_ASSERT_EQUAL(promote_by(&m, "acme", "all", plan), CONFCAST_OK);
        before = release_of(&m, "acme");
        m.now += 61 * CFC_S;
        *cfc_store_fault_plan(m.store) = (struct cfc_store_fault){
            .fail_at = (uint64_t)i / 4 + 1, .error = errors[i % 2], .is_after = i / 2 % 2 == 1};
        (void)cfc_service_tick(m.service, m.now);
        *cfc_store_fault_plan(m.store) = (struct cfc_store_fault){0};
        tick_after(&m, 1);
        tick_after(&m, 1);
        CU_ASSERT_EQUAL(release_of(&m, "acme").active_revision, 1);
        CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_ACTIVE);
        CU_ASSERT_EQUAL(release_of(&m, "acme").release_version, before.release_version + 1);
        model_close(&m);
    }
}

static void
a_rollout_whose_text_is_damaged_keeps_no_other_waiting(void)
{
    struct cfc_release_plan plan = {.confirm_within_s = 60};
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(promote_by(&m, "acme", "all", plan), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "other", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "other", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote_by(&m, "other", "all", plan), CONFCAST_OK);
    m.now += 61 * CFC_S;
    /* The first call reads what acme goes back to. */
    *cfc_store_fault_plan(m.store) =
        (struct cfc_store_fault){.fail_at = 1, .error = CONFCAST_ERR_CORRUPT};
    CU_ASSERT_EQUAL(cfc_service_tick(m.service, m.now), CONFCAST_ERR_CORRUPT);
    *cfc_store_fault_plan(m.store) = (struct cfc_store_fault){0};
    CU_ASSERT_EQUAL(release_of(&m, "acme").state, CFC_RELEASE_ACTIVE); /* at its second try */
    CU_ASSERT_EQUAL(release_of(&m, "other").state, CFC_RELEASE_ACTIVE);
    model_close(&m);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(stages_that_are_healthy_advance_after_each_bake_to_the_end),
    CFC_CASE(without_a_bake_time_nothing_advances_or_pauses_by_itself),
    CFC_CASE(a_consumer_that_lacks_the_stage_after_the_bake_pauses_it_with_a_reason),
    CFC_CASE(rejections_in_the_candidates_arm_pause_before_the_bake_is_over),
    CFC_CASE(a_consumer_that_falls_silent_in_a_stage_pauses_it_but_one_silent_before_does_not),
    CFC_CASE(nobody_in_the_candidates_arm_is_no_health),
    CFC_CASE(a_stage_that_no_engine_has_pauses),
    CFC_CASE(a_new_head_by_another_layer_gives_consumers_time_to_report),
    CFC_CASE(a_restart_waits_for_reports_and_neither_skips_nor_doubles_a_stage),
    CFC_CASE(a_held_head_names_both_contents_and_advance_is_one_more_head),
    CFC_CASE(a_held_canary_keeps_everybody_on_what_was),
    CFC_CASE(a_layer_that_changes_under_a_held_one_keeps_it_held),
    CFC_CASE(a_time_is_in_the_head_and_the_tick_after_it_settles_the_release),
    CFC_CASE(plans_that_contradict_themselves_are_refused),
    CFC_CASE(now_with_a_required_share_activates_when_it_is_prepared),
    CFC_CASE(an_operator_may_advance_with_another_share),
    CFC_CASE(a_time_is_put_into_the_head_only_when_enough_are_prepared),
    CFC_CASE(a_time_that_comes_before_enough_are_prepared_pauses_the_release),
    CFC_CASE(an_unconfirmed_head_carries_its_deadline_and_a_confirmed_one_does_not),
    CFC_CASE(at_the_deadline_the_service_rolls_back_once_also_after_a_restart),
    CFC_CASE(a_paused_canary_that_nobody_confirms_is_rolled_back_too),
    CFC_CASE(a_store_that_fails_in_a_tick_delays_what_is_due_and_doubles_nothing),
    CFC_CASE(a_rollout_whose_text_is_damaged_keeps_no_other_waiting),
};

CFC_TEST_MAIN("model_rollout", cases)
