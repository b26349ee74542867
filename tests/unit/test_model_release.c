/* Releases through the service: what consumers get to see of each action, and what is refused. */
#include "controlplane/model/effective.h"
#include "controlplane/store/meta.h"
#include "tests/unit/model_fixture.h"

static void
put_alone_changes_nothing_that_consumers_see(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "not_found");
    CU_ASSERT_STRING_EQUAL(polled(&m), "");
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"a\":1}");
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"a\":1}");
    model_close(&m);
}

static void
a_change_has_one_version_in_all_scopes_that_it_touches(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme/shop/prod", "{\"c\":3}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/shop", "{\"b\":2,\"c\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "other", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1,\"b\":1,\"c\":1}"), CONFCAST_OK);
    drain(&m);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_OK);
    CU_ASSERT_EQUAL(m.view.affected_count, 3);
    CU_ASSERT_EQUAL(m.view.version, cfc_service_seq(m.service));
    CU_ASSERT_STRING_EQUAL(polled(&m), "acme@9 normal");
    CU_ASSERT_STRING_EQUAL(polled(&m), "acme/shop@9 normal");
    CU_ASSERT_STRING_EQUAL(polled(&m), "acme/shop/prod@9 normal");
    CU_ASSERT_STRING_EQUAL(polled(&m), "");
    CU_ASSERT_EQUAL(version(&m, "other"), 7);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop/prod"), "{\"a\":1,\"b\":2,\"c\":3}");
    CU_ASSERT_EQUAL(publish(&m, "acme/shop", "{\"a\":null}"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop/prod"), "{\"b\":1,\"c\":3}");
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"a\":1,\"b\":1,\"c\":1}");
    model_close(&m);
}

static void
a_canary_has_two_arms_whose_stages_nest(void)
{
    struct model m;
    struct cfc_decision *first;
    struct cfc_decision *second;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme", "stages:25%,50%"), CONFCAST_OK);
    CU_ASSERT_EQUAL(m.view.release.state, CFC_RELEASE_ROLLING);
    CU_ASSERT_EQUAL_FATAL(cfc_service_decision(m.service, "acme", &first), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(first->arm_count, 2);
    CU_ASSERT_EQUAL(first->arms[0].selector, CFC_SELECT_COHORT);
    CU_ASSERT_EQUAL(first->arms[0].threshold, UINT32_C(1) << 30);
    CU_ASSERT_TRUE(first->arms[0].is_candidate);
    CU_ASSERT_PTR_EQUAL(first->arms[0].fallback, first->arms[1].content);
    CU_ASSERT_EQUAL(first->arms[1].selector, CFC_SELECT_ALL);
    CU_ASSERT_PTR_NULL(first->arms[1].fallback);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"a\":1}");
    CU_ASSERT_STRING_EQUAL(candidate(&m, "acme"), "{\"a\":2}");

    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ADVANCE), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_service_decision(m.service, "acme", &second), CONFCAST_OK);
    CU_ASSERT_EQUAL(second->salt, first->salt);
    CU_ASSERT_NOT_EQUAL(second->salt, 0);
    CU_ASSERT_EQUAL(second->arms[0].threshold, UINT32_C(1) << 31);
    CU_ASSERT_PTR_EQUAL(second->arms[0].content, first->arms[0].content);
    cfc_decision_unref(first);
    cfc_decision_unref(second);

    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ADVANCE), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_service_decision(m.service, "acme", &first), CONFCAST_OK);
    CU_ASSERT_EQUAL(first->arm_count, 1);
    CU_ASSERT_EQUAL(first->salt, 0);
    CU_ASSERT_EQUAL(first->kind, CFC_HEAD_NORMAL);
    cfc_decision_unref(first);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"a\":2}");
    CU_ASSERT_STRING_EQUAL(candidate(&m, "acme"), "{\"a\":2}");
    model_close(&m);
}

static void
a_label_selects_who_gets_the_candidate(void)
{
    struct model m;
    struct cfc_decision *decision;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme", "zone=eu-1"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_service_decision(m.service, "acme", &decision), CONFCAST_OK);
    CU_ASSERT_EQUAL(decision->arms[0].selector, CFC_SELECT_LABEL);
    CU_ASSERT_STRING_EQUAL(decision->arms[0].label_key, "zone");
    CU_ASSERT_STRING_EQUAL(decision->arms[0].label_value, "eu-1");
    cfc_decision_unref(decision);
    model_close(&m);
}

static void
thresholds_and_salts_follow_from_share_scope_and_revision(void)
{
    struct cfc_sha256 *sha = cfc_sha256_new();

    CU_ASSERT_EQUAL(cfc_stage_threshold(500000), UINT32_C(1) << 31);
    CU_ASSERT_EQUAL(cfc_stage_threshold(1), 4294);
    CU_ASSERT_EQUAL(cfc_stage_threshold(999999), UINT32_C(4294963000) + 1);
    CU_ASSERT_EQUAL(cfc_rollout_salt(sha, "acme", 1), cfc_rollout_salt(sha, "acme", 1));
    CU_ASSERT_NOT_EQUAL(cfc_rollout_salt(sha, "acme", 1), cfc_rollout_salt(sha, "acme", 2));
    CU_ASSERT_NOT_EQUAL(cfc_rollout_salt(sha, "acme", 1), cfc_rollout_salt(sha, "acme/x", 1));
    cfc_sha256_free(sha);
}

static void
abort_and_rollback_are_heads_of_kind_rollback(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme", "canary:25%"), CONFCAST_OK);
    drain(&m);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ABORT), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(polled(&m), "acme@6 rollback");
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"a\":1}");
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(polled(&m), "acme@7 normal");
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ROLLBACK), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(polled(&m), "acme@8 rollback");
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"a\":1}");
    model_reopen(&m);
    CU_ASSERT_STRING_EQUAL(polled(&m), "acme@8 rollback");
    model_close(&m);
}

static void
rollback_goes_back_step_by_step_and_to_named_revisions_once_active(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"r\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ROLLBACK), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"r\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"r\":3}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"r\":4}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ROLLBACK), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"r\":2}");
    model_reopen(&m);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ROLLBACK), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"r\":1}");
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ROLLBACK), CONFCAST_ERR_STATE);
    CU_ASSERT_STRING_EQUAL(m.refusal.message, "there is no previous revision");
    CU_ASSERT_EQUAL(release(&m, "acme", CFC_ACTION_ROLLBACK, 3, NULL), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(m.refusal.message, "the revision was never active");
    CU_ASSERT_EQUAL(release(&m, "acme", CFC_ACTION_ROLLBACK, 9, NULL), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(release(&m, "acme", CFC_ACTION_ROLLBACK, 1, NULL), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(release(&m, "acme", CFC_ACTION_ROLLBACK, 4, NULL), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"r\":4}");
    CU_ASSERT_EQUAL(m.view.release.previous_revision, 2);
    model_close(&m);
}

static void
rollback_steps_over_quarantined_revisions(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"r\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"r\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"r\":3}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(release(&m, "acme", CFC_ACTION_QUARANTINE, 2, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(release(&m, "acme", CFC_ACTION_QUARANTINE, 7, NULL), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(release(&m, "acme", CFC_ACTION_PROMOTE, 2, NULL), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(release(&m, "acme", CFC_ACTION_ROLLBACK, 2, NULL), CONFCAST_ERR_STATE);
    model_reopen(&m);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ROLLBACK), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"r\":1}");
    model_close(&m);
}

static void
disable_takes_a_layer_out_for_everyone_and_enable_puts_it_back(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/shop", "{\"b\":2}"), CONFCAST_OK);
    drain(&m);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_DISABLE), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(polled(&m), "acme@6 disabled");
    CU_ASSERT_STRING_EQUAL(polled(&m), "acme/shop@6 normal");
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{}");
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop"), "{\"b\":2}");
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":3}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ENABLE), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(polled(&m), "acme@8 normal");
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop"), "{\"a\":1,\"b\":2}");
    model_close(&m);
}

/* Brings `acme` into a state with revisions 1 and 2 once active and 3 put. */
static void
bring_to(struct model *m, enum cfc_release_state state)
{
    CU_ASSERT_EQUAL(put_text(m, "acme", "{\"r\":1}"), CONFCAST_OK);
    if (state == CFC_RELEASE_EMPTY) {
        CU_ASSERT_EQUAL(put_text(m, "acme", "{\"r\":2}"), CONFCAST_OK);
        CU_ASSERT_EQUAL(put_text(m, "acme", "{\"r\":3}"), CONFCAST_OK);
        return;
    }
    CU_ASSERT_EQUAL(promote(m, "acme"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(m, "acme", "{\"r\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(m, "acme", "{\"r\":3}"), CONFCAST_OK);
    if (state == CFC_RELEASE_ROLLING || state == CFC_RELEASE_PAUSED) {
        struct cfc_release_plan plan = {.confirm_within_s = 60};

        CU_ASSERT_EQUAL(promote_by(m, "acme", "canary:5%", plan), CONFCAST_OK);
    }
    if (state == CFC_RELEASE_PAUSED) {
        CU_ASSERT_EQUAL(act(m, "acme", CFC_ACTION_PAUSE), CONFCAST_OK);
    }
    if (state == CFC_RELEASE_DISABLED) {
        CU_ASSERT_EQUAL(act(m, "acme", CFC_ACTION_DISABLE), CONFCAST_OK);
    }
    if (state == CFC_RELEASE_DELETED) {
        CU_ASSERT_EQUAL(act(m, "acme", CFC_ACTION_DELETE), CONFCAST_OK);
    }
}

static void
every_refused_cell_answers_state_and_leaves_everything_as_it_was(void)
{
    for (int state = 0; state < CFC_RELEASE_STATE_COUNT; state++) {
        for (int action = 0; action < CFC_ACTION_COUNT; action++) {
            bool is_allowed = cfc_release_next((enum cfc_release_state)state,
                                               (enum cfc_release_action)action) >= 0;
            uint64_t revision = action == CFC_ACTION_PROMOTE      ? 3
                                : action == CFC_ACTION_QUARANTINE ? 1
                                                                  : 0;
            struct cfc_release_view before;
            struct model m;
            uint64_t seq;

            model_open(&m);
            bring_to(&m, (enum cfc_release_state)state);
            drain(&m);
            seq = cfc_service_seq(m.service);
            CU_ASSERT_EQUAL(cfc_service_get_release(m.service, "acme", &before), CONFCAST_OK);
            CU_ASSERT_EQUAL((int)before.release.state, state);
            CU_ASSERT_EQUAL(release(&m, "acme", (enum cfc_release_action)action, revision, NULL),
                            is_allowed ? CONFCAST_OK : CONFCAST_ERR_STATE);
            if (!is_allowed) {
                CU_ASSERT_TRUE(m.refusal.has_release);
                CU_ASSERT_EQUAL((int)m.refusal.current_release.state, state);
                CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);
                CU_ASSERT_STRING_EQUAL(polled(&m), "");
                CU_ASSERT_EQUAL(cfc_service_get_release(m.service, "acme", &m.view), CONFCAST_OK);
                CU_ASSERT_EQUAL(memcmp(&m.view, &before, sizeof(before)), 0);
            } else {
                CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq + 1);
                CU_ASSERT_EQUAL(version(&m, "acme"), seq + 1);
            }
            model_close(&m);
        }
    }
}

static void
of_two_release_changes_on_one_version_the_second_is_a_conflict(void)
{
    struct model m;
    struct cfc_change change;
    struct cfc_release_order order = {
        .scope = "acme", .action = CFC_ACTION_PROMOTE, .has_expected_version = true};

    model_open(&m);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{}"), CONFCAST_OK);
    change = by_ann(&m);
    CU_ASSERT_EQUAL(cfc_service_release(m.service, &change, &order, &m.view, &m.refusal),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_service_release(m.service, &change, &order, &m.view, &m.refusal),
                    CONFCAST_ERR_CONFLICT);
    CU_ASSERT_TRUE(m.refusal.has_release);
    CU_ASSERT_EQUAL(m.refusal.current_release.release_version, 1);
    order.expected_version = 1;
    CU_ASSERT_EQUAL(cfc_service_release(m.service, &change, &order, &m.view, &m.refusal),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(m.view.release.release_version, 2);
    model_close(&m);
}

static void
a_release_repeated_under_its_key_happens_once(void)
{
    struct model m;
    struct cfc_change change;
    struct cfc_release_order order = {
        .scope = "acme", .action = CFC_ACTION_PROMOTE, .strategy = "canary:5%"};
    uint64_t first_version;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    change = by_ann(&m);
    change.idempotency_key = "deploy-17";
    CU_ASSERT_EQUAL(cfc_service_release(m.service, &change, &order, &m.view, NULL), CONFCAST_OK);
    first_version = m.view.version;
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ADVANCE), CONFCAST_OK);
    model_reopen(&m);
    CU_ASSERT_EQUAL(cfc_service_release(m.service, &change, &order, &m.view, NULL), CONFCAST_OK);
    CU_ASSERT_TRUE(m.view.is_replay);
    CU_ASSERT_EQUAL(m.view.version, first_version);
    CU_ASSERT_EQUAL(m.view.release.state, CFC_RELEASE_ROLLING);
    CU_ASSERT_EQUAL(m.view.affected_count, 1);
    CU_ASSERT_STRING_EQUAL(m.view.author, "ann");
    order.strategy = "canary:6%";
    CU_ASSERT_EQUAL(cfc_service_release(m.service, &change, &order, &m.view, NULL),
                    CONFCAST_ERR_REPLAY);
    model_close(&m);
}

static void
a_dry_run_of_a_release_shows_what_it_would_touch(void)
{
    struct model m;
    struct cfc_change change;
    struct cfc_release_order order = {.scope = "acme", .action = CFC_ACTION_PROMOTE};
    uint64_t seq;

    model_open(&m);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(follow(&m, "acme/x"), CONFCAST_OK);
    seq = cfc_service_seq(m.service);
    change = by_ann(&m);
    change.is_dry_run = true;
    CU_ASSERT_EQUAL(cfc_service_release(m.service, &change, &order, &m.view, NULL), CONFCAST_OK);
    CU_ASSERT_PTR_NOT_NULL(m.view.preview);
    json_decref(m.view.preview);
    CU_ASSERT_EQUAL(m.view.affected_count, 2);
    CU_ASSERT_EQUAL(m.view.version, 0);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "not_found");
    model_close(&m);
}

static void
unknown_scopes_revisions_and_strategies_are_refused(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(promote(&m, ".."), CONFCAST_ERR_SCOPE_NAME);
    CU_ASSERT_EQUAL(follow(&m, "acme"), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(release(&m, "acme", CFC_ACTION_PROMOTE, 2, NULL), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(canary(&m, "acme", "canary:200%"), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(release(&m, "acme", CFC_ACTION_COUNT, 0, NULL), CONFCAST_ERR_INVALID);
    model_close(&m);
}

static void
a_second_rolling_layer_is_refused_and_the_holder_named(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/shop", "{\"b\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/mail", "{\"c\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme/shop", "{\"b\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme/mail", "{\"c\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme/shop", "canary:5%"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme", "canary:5%"), CONFCAST_ERR_STATE);
    CU_ASSERT_STRING_EQUAL(m.refusal.holder, "acme/shop");
    CU_ASSERT_TRUE(m.refusal.has_release);
    /* Neighbours do not meet in any consumer scope. */
    CU_ASSERT_EQUAL(canary(&m, "acme/mail", "canary:5%"), CONFCAST_OK);
    /* What goes to all needs no arm of its own. */
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop"), "{\"a\":2,\"b\":1}");
    CU_ASSERT_STRING_EQUAL(candidate(&m, "acme/shop"), "{\"a\":2,\"b\":2}");
    CU_ASSERT_EQUAL(act(&m, "acme/shop", CFC_ACTION_PAUSE), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":3}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme", "canary:5%"), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(act(&m, "acme/shop", CFC_ACTION_ABORT), CONFCAST_OK);
    CU_ASSERT_EQUAL(act(&m, "acme/mail", CFC_ACTION_ABORT), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme", "canary:5%"), CONFCAST_OK);
    model_close(&m);
}

static void
layers_can_be_set_and_set_back(void)
{
    static const char *const layers[] = {"acme/base", "acme/shop"};
    struct model m;
    struct cfc_layers read;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/base", "{\"z\":1,\"b\":0}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/shop", "{\"b\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_service_get_layers(m.service, "acme/shop", &read), CONFCAST_OK);
    CU_ASSERT_TRUE(read.is_default);
    CU_ASSERT_EQUAL(read.count, 2);
    CU_ASSERT_EQUAL(read.version, 0);
    drain(&m);
    CU_ASSERT_EQUAL(set_layers(&m, "acme/shop", layers, 2), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(polled(&m), "acme/shop@8 normal");
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop"), "{\"b\":2,\"z\":1}");
    model_reopen(&m);
    drain(&m);
    CU_ASSERT_EQUAL(cfc_service_get_layers(m.service, "acme/shop", &read), CONFCAST_OK);
    CU_ASSERT_FALSE(read.is_default);
    CU_ASSERT_STRING_EQUAL(read.scopes[0], "acme/base");
    CU_ASSERT_STRING_EQUAL(read.scopes[1], "acme/shop");
    CU_ASSERT_EQUAL(read.version, 8);
    CU_ASSERT_EQUAL(version(&m, "acme/shop"), 8);
    /* acme is no layer of it any more. */
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(version(&m, "acme/shop"), 8);
    CU_ASSERT_EQUAL(set_layers(&m, "acme/shop", NULL, 0), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop"), "{\"a\":2,\"b\":2}");
    CU_ASSERT_EQUAL(version(&m, "acme/shop"), cfc_service_seq(m.service));
    CU_ASSERT_EQUAL(cfc_service_get_layers(m.service, "acme/shop", &read), CONFCAST_OK);
    CU_ASSERT_TRUE(read.is_default);
    CU_ASSERT_NOT_EQUAL(read.version, 0);
    model_close(&m);
}

static void
layers_of_another_tenant_twice_or_too_many_are_refused(void)
{
    static const char *const foreign[] = {"acme", "acmeother"};
    static const char *const twice[] = {"acme", "acme/x", "acme"};
    static const char *const bad[] = {"acme", "ACME"};
    char names[17][16];
    const char *many[17];
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(set_layers(&m, "acme/x", foreign, 2), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(set_layers(&m, "acme/x", twice, 3), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(set_layers(&m, "acme/x", bad, 2), CONFCAST_ERR_SCOPE_NAME);
    for (int i = 0; i < 17; i++) {
        snprintf(names[i], sizeof(names[i]), "acme/l%d", i);
        many[i] = names[i];
    }
    CU_ASSERT_EQUAL(set_layers(&m, "acme/x", many, 17), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(set_layers(&m, "acme/x", many, 16), CONFCAST_OK);
    model_close(&m);
}

static void
setting_layers_is_guarded_by_their_version(void)
{
    static const char *const layers[] = {"acme"};
    struct model m;
    struct cfc_change change;
    struct cfc_layers result;

    model_open(&m);
    change = by_ann(&m);
    CU_ASSERT_EQUAL(cfc_service_set_layers(m.service, &change, "acme/x", layers, 1, true, 5,
                                           &result, &m.refusal),
                    CONFCAST_ERR_CONFLICT);
    CU_ASSERT_EQUAL(cfc_service_set_layers(m.service, &change, "acme/x", layers, 1, true, 0,
                                           &result, &m.refusal),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_service_set_layers(m.service, &change, "acme/x", layers, 1, true, 0,
                                           &result, &m.refusal),
                    CONFCAST_ERR_CONFLICT);
    CU_ASSERT_EQUAL(cfc_service_set_layers(m.service, &change, "acme/x", layers, 1, true,
                                           result.version + 1, &result, &m.refusal),
                    CONFCAST_ERR_CONFLICT);
    /* Whoever was too slow learns what holds, and from whom. */
    CU_ASSERT_TRUE(m.refusal.has_layers);
    CU_ASSERT_STRING_EQUAL(m.refusal.current_author, "ann");
    CU_ASSERT_EQUAL_FATAL(result.count, 1);
    CU_ASSERT_STRING_EQUAL(result.scopes[0], "acme");
    CU_ASSERT_FALSE(result.is_default);
    CU_ASSERT_EQUAL(cfc_service_set_layers(m.service, &change, "acme/x", layers, 1, true,
                                           result.version, &result, &m.refusal),
                    CONFCAST_OK);
    model_close(&m);
}

static void
layers_that_bring_two_rollouts_together_are_refused(void)
{
    static const char *const layers[] = {"acme/a", "acme/b"};
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(put_text(&m, "acme/a", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme/b", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme/a", "canary:5%"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme/b", "canary:5%"), CONFCAST_OK);
    CU_ASSERT_EQUAL(set_layers(&m, "acme/x", layers, 2), CONFCAST_ERR_STATE);
    CU_ASSERT_STRING_EQUAL(m.refusal.holder, "acme/a");
    CU_ASSERT_EQUAL(set_layers(&m, "acme/x", layers, 1), CONFCAST_OK);
    model_close(&m);
}

static void
a_followed_scope_gets_what_its_layers_give(void)
{
    struct cfc_apply_counts counts;
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    drain(&m);
    /* Asking is answered, but makes nothing known. */
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop/prod"), "{\"a\":1}");
    CU_ASSERT_EQUAL(version(&m, "acme/shop/prod"), 3);
    CU_ASSERT_STRING_EQUAL(effective(&m, "other/shop"), "not_found");
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/"), "scope_name");
    CU_ASSERT_STRING_EQUAL(polled(&m), "");
    CU_ASSERT_EQUAL(cfc_service_status(m.service, "acme/shop/prod", &counts),
                    CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(follow(&m, "acme/shop/prod"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(polled(&m), "acme/shop/prod@3 normal");
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop/prod"), "{\"a\":1}");
    CU_ASSERT_EQUAL(publish(&m, "acme/shop", "{\"b\":1}"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop/prod"), "{\"a\":1,\"b\":1}");
    model_close(&m);
}

static void
a_scope_that_changed_twice_is_polled_once_with_the_newer_decision(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "a", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "b", "{\"b\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "a", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(polled(&m), "b@5 normal");
    CU_ASSERT_STRING_EQUAL(polled(&m), "a@7 normal");
    CU_ASSERT_STRING_EQUAL(polled(&m), "");
    cfc_service_requeue_decisions(m.service);
    CU_ASSERT_STRING_EQUAL(polled(&m), "b@5 normal");
    CU_ASSERT_STRING_EQUAL(polled(&m), "a@7 normal");
    CU_ASSERT_STRING_EQUAL(polled(&m), "");
    model_close(&m);
}

static void
a_restore_lifts_every_version_above_what_was_seen(void)
{
    struct model m;
    uint64_t epoch;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "a", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "b", "{\"b\":1}"), CONFCAST_OK);
    cfc_service_close(m.service);
    CU_ASSERT_EQUAL(cfc_store_restore(m.store, 9, 1000, &epoch), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_service_open(m.store, NULL, &m.service), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_service_epoch(m.service), 11);
    CU_ASSERT_EQUAL(version(&m, "a"), 1001);
    CU_ASSERT_EQUAL(version(&m, "b"), 1001);
    CU_ASSERT_EQUAL(publish(&m, "a", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_TRUE(version(&m, "a") > 1001);
    model_close(&m);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(put_alone_changes_nothing_that_consumers_see),
    CFC_CASE(a_change_has_one_version_in_all_scopes_that_it_touches),
    CFC_CASE(a_canary_has_two_arms_whose_stages_nest),
    CFC_CASE(a_label_selects_who_gets_the_candidate),
    CFC_CASE(thresholds_and_salts_follow_from_share_scope_and_revision),
    CFC_CASE(abort_and_rollback_are_heads_of_kind_rollback),
    CFC_CASE(rollback_goes_back_step_by_step_and_to_named_revisions_once_active),
    CFC_CASE(rollback_steps_over_quarantined_revisions),
    CFC_CASE(disable_takes_a_layer_out_for_everyone_and_enable_puts_it_back),
    CFC_CASE(every_refused_cell_answers_state_and_leaves_everything_as_it_was),
    CFC_CASE(of_two_release_changes_on_one_version_the_second_is_a_conflict),
    CFC_CASE(a_release_repeated_under_its_key_happens_once),
    CFC_CASE(a_dry_run_of_a_release_shows_what_it_would_touch),
    CFC_CASE(unknown_scopes_revisions_and_strategies_are_refused),
    CFC_CASE(a_second_rolling_layer_is_refused_and_the_holder_named),
    CFC_CASE(layers_can_be_set_and_set_back),
    CFC_CASE(layers_of_another_tenant_twice_or_too_many_are_refused),
    CFC_CASE(setting_layers_is_guarded_by_their_version),
    CFC_CASE(layers_that_bring_two_rollouts_together_are_refused),
    CFC_CASE(a_followed_scope_gets_what_its_layers_give),
    CFC_CASE(a_scope_that_changed_twice_is_polled_once_with_the_newer_decision),
    CFC_CASE(a_restore_lifts_every_version_above_what_was_seen),
};

CFC_TEST_MAIN("model_release", cases)
