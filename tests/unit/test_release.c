/* The release lifecycle: every cell of the table, and what the allowed ones do. */
#include "controlplane/model/release.h"

#include <string.h>

#include "confcast/error.h"
#include "protocol/base/time.h"
#include "tests/unit/cunit_main.h"

enum {
    ACTIVE_REV = 5,
    PREVIOUS_REV = 4,
    CANDIDATE_REV = 6
};

static struct cfc_strategy
strategy(const char *text)
{
    struct cfc_strategy parsed = {0};

    CU_ASSERT_EQUAL_FATAL(cfc_strategy_parse(text, &parsed), CONFCAST_OK);
    return parsed;
}

static struct cfc_release
in_state(enum cfc_release_state state)
{
    struct cfc_release release;

    cfc_release_init(&release);
    release.state = state;
    if (state == CFC_RELEASE_EMPTY) {
        return release;
    }
    release.release_version = 10;
    release.previous_revision = PREVIOUS_REV;
    release.origin = CFC_RELEASE_EMPTY;
    if (state == CFC_RELEASE_DELETED) {
        return release;
    }
    release.active_revision = ACTIVE_REV;
    if (state == CFC_RELEASE_ROLLING || state == CFC_RELEASE_PAUSED) {
        release.origin = CFC_RELEASE_ACTIVE;
        release.candidate_revision = CANDIDATE_REV;
        release.strategy = strategy("canary:25%");
    }
    return release;
}

static int
act(struct cfc_release *release, enum cfc_release_action action, uint64_t revision,
    const char *strategy_text)
{
    struct cfc_release_request request = {.action = action, .revision = revision};
    char why[128];

    request.strategy = strategy(strategy_text != NULL ? strategy_text : "all");
    return cfc_release_apply(release, &request, why);
}

/* Written down a second time on purpose: the lifecycle of docs and design, as rows of text. */
static const char *const expected[CFC_RELEASE_STATE_COUNT][CFC_ACTION_COUNT] = {
    {"ACTIVE", "", "", "", "", "", "", "", "EMPTY", "", ""},
    {"ACTIVE", "", "", "", "", "ACTIVE", "DISABLED", "", "ACTIVE", "", "DELETED"},
    {"", "ACTIVE", "PAUSED", "", "ACTIVE", "ACTIVE", "DISABLED", "", "ROLLING", "ROLLING", ""},
    {"", "", "", "ROLLING", "ACTIVE", "ACTIVE", "DISABLED", "", "PAUSED", "PAUSED", ""},
    {"", "", "", "", "", "DISABLED", "", "ACTIVE", "DISABLED", "", "DELETED"},
    {"ACTIVE", "", "", "", "", "ACTIVE", "", "", "DELETED", "", ""},
};

static void
every_cell_of_the_table_leads_where_it_says_or_changes_nothing(void)
{
    for (int state = 0; state < CFC_RELEASE_STATE_COUNT; state++) {
        for (int action = 0; action < CFC_ACTION_COUNT; action++) {
            struct cfc_release before = in_state((enum cfc_release_state)state);
            struct cfc_release release;
            uint64_t revision = action == CFC_ACTION_PROMOTE    ? 7
                                : action == CFC_ACTION_ROLLBACK ? 3
                                                                : 2;
            int error;
            bool is_allowed = expected[state][action][0] != '\0';

            if (action == CFC_ACTION_CONFIRM && before.candidate_revision != 0) {
                before.plan.confirm_within_s = 60;
                before.confirm_by_unix_ns = 60 * CFC_S;
            }
            release = before;
            error = act(&release, (enum cfc_release_action)action, revision, "all");
            CU_ASSERT_EQUAL(is_allowed, cfc_release_next((enum cfc_release_state)state,
                                                         (enum cfc_release_action)action) >= 0);
            CU_ASSERT_EQUAL(error, is_allowed ? CONFCAST_OK : CONFCAST_ERR_STATE);
            if (is_allowed) {
                CU_ASSERT_STRING_EQUAL(cfc_release_state_word(release.state),
                                       expected[state][action]);
                CU_ASSERT_EQUAL(release.release_version, before.release_version + 1);
                CU_ASSERT_EQUAL(release.last_action, action);
            } else {
                CU_ASSERT_EQUAL(memcmp(&release, &before, sizeof(release)), 0);
            }
        }
    }
    CU_ASSERT_EQUAL(cfc_release_next(CFC_RELEASE_STATE_COUNT, CFC_ACTION_PROMOTE), -1);
    CU_ASSERT_EQUAL(cfc_release_next(CFC_RELEASE_ACTIVE, CFC_ACTION_COUNT), -1);
}

static void
promote_to_all_remembers_the_revision_before(void)
{
    struct cfc_release release;

    cfc_release_init(&release);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_PROMOTE, 1, "all"), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.active_revision, 1);
    CU_ASSERT_EQUAL(release.previous_revision, 0);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_PROMOTE, 3, "all"), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.active_revision, 3);
    CU_ASSERT_EQUAL(release.previous_revision, 1);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_PROMOTE, 3, "all"), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.previous_revision, 1);
    CU_ASSERT_EQUAL(release.release_version, 3);
}

static void
a_canary_rolls_then_advances_to_all(void)
{
    struct cfc_release release = in_state(CFC_RELEASE_ACTIVE);

    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_PROMOTE, 6, "canary:25%"), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ROLLING);
    CU_ASSERT_EQUAL(release.active_revision, ACTIVE_REV);
    CU_ASSERT_EQUAL(release.candidate_revision, 6);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_ADVANCE, 0, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ACTIVE);
    CU_ASSERT_EQUAL(release.active_revision, 6);
    CU_ASSERT_EQUAL(release.previous_revision, ACTIVE_REV);
    CU_ASSERT_EQUAL(release.candidate_revision, 0);
}

static void
stages_advance_one_by_one(void)
{
    struct cfc_release release = in_state(CFC_RELEASE_ACTIVE);

    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_PROMOTE, 6, "stages:1%,25%,100%"), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.stage_idx, 0);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_ADVANCE, 0, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ROLLING);
    CU_ASSERT_EQUAL(release.stage_idx, 1);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_ADVANCE, 0, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ACTIVE);
    CU_ASSERT_EQUAL(release.active_revision, 6);
}

static void
abort_goes_back_to_where_the_rollout_began(void)
{
    static const enum cfc_release_state origins[] = {CFC_RELEASE_EMPTY, CFC_RELEASE_ACTIVE,
                                                     CFC_RELEASE_DELETED};

    for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
        struct cfc_release release = in_state(origins[i]);
        uint64_t active = release.active_revision;
        uint64_t previous = release.previous_revision;

        CU_ASSERT_EQUAL(act(&release, CFC_ACTION_PROMOTE, 9, "canary:5%"), CONFCAST_OK);
        CU_ASSERT_EQUAL(act(&release, CFC_ACTION_PAUSE, 0, NULL), CONFCAST_OK);
        CU_ASSERT_EQUAL(act(&release, CFC_ACTION_ABORT, 0, NULL), CONFCAST_OK);
        CU_ASSERT_EQUAL(release.state, origins[i]);
        CU_ASSERT_EQUAL(release.active_revision, active);
        CU_ASSERT_EQUAL(release.previous_revision, previous);
        CU_ASSERT_EQUAL(release.candidate_revision, 0);
    }
}

static void
disable_in_a_rollout_drops_the_candidate_and_enable_restores_the_rest(void)
{
    struct cfc_release release = in_state(CFC_RELEASE_ROLLING);

    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_DISABLE, 0, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.candidate_revision, 0);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_ENABLE, 0, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ACTIVE);
    CU_ASSERT_EQUAL(release.active_revision, ACTIVE_REV);

    release = in_state(CFC_RELEASE_EMPTY);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_PROMOTE, 1, "canary:5%"), CONFCAST_OK);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_DISABLE, 0, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_ENABLE, 0, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_EMPTY);
}

static void
rollback_in_a_rollout_leaves_it_or_goes_to_a_named_revision(void)
{
    struct cfc_release release = in_state(CFC_RELEASE_ROLLING);

    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_ROLLBACK, 0, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ACTIVE);
    CU_ASSERT_EQUAL(release.active_revision, ACTIVE_REV);
    CU_ASSERT_EQUAL(release.previous_revision, PREVIOUS_REV);
    CU_ASSERT_EQUAL(release.last_action, CFC_ACTION_ROLLBACK);

    release = in_state(CFC_RELEASE_PAUSED);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_ROLLBACK, 3, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.active_revision, 3);
    CU_ASSERT_EQUAL(release.candidate_revision, 0);
}

static void
rollback_without_a_target_or_to_the_active_revision_is_refused(void)
{
    struct cfc_release release = in_state(CFC_RELEASE_ACTIVE);

    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_ROLLBACK, 0, NULL), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_ROLLBACK, ACTIVE_REV, NULL), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(release.release_version, 10);
}

static void
a_quarantined_revision_is_neither_promoted_nor_rolled_back_to(void)
{
    struct cfc_release release = in_state(CFC_RELEASE_ACTIVE);

    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_QUARANTINE, PREVIOUS_REV, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_QUARANTINE, PREVIOUS_REV, NULL), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_PROMOTE, PREVIOUS_REV, "all"), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_PROMOTE, PREVIOUS_REV, "canary:5%"),
                    CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_ROLLBACK, PREVIOUS_REV, NULL), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_QUARANTINE, ACTIVE_REV, NULL), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_QUARANTINE, 0, NULL), CONFCAST_ERR_INVALID);
    release = in_state(CFC_RELEASE_ROLLING);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_QUARANTINE, CANDIDATE_REV, NULL), CONFCAST_ERR_STATE);
}

static void
quarantine_holds_64_revisions(void)
{
    struct cfc_release release = in_state(CFC_RELEASE_ACTIVE);

    for (uint64_t i = 0; i < 64; i++) {
        CU_ASSERT_EQUAL(act(&release, CFC_ACTION_QUARANTINE, 100 + i, NULL), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_QUARANTINE, 200, NULL), CONFCAST_ERR_LIMIT);
    CU_ASSERT_TRUE(cfc_release_is_quarantined(&release, 163));
    CU_ASSERT_FALSE(cfc_release_is_quarantined(&release, 164));
}

static void
promoting_nothing_or_the_active_revision_as_a_canary_is_refused(void)
{
    struct cfc_release release = in_state(CFC_RELEASE_ACTIVE);

    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_PROMOTE, 0, "all"), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(act(&release, CFC_ACTION_PROMOTE, ACTIVE_REV, "canary:5%"), CONFCAST_ERR_STATE);
}

static void
strategies_are_read_and_written(void)
{
    static const char *const good[][2] = {
        {"all", "all"},
        {"canary:5%", "canary:5%"},
        {"canary:25.0%", "canary:25%"},
        {"canary:0.0001%", "canary:0.0001%"},
        {"canary:99.9999%", "canary:99.9999%"},
        {"stages:1%,5%,25%,100%", "stages:1%,5%,25%"},
        {"stages:1%", "canary:1%"},
        {"stages:1%,2%,3%,4%,5%,6%,7%,8%,9%,10%,11%,12%,13%,14%,15%,16%,100%",
         "stages:1%,2%,3%,4%,5%,6%,7%,8%,9%,10%,11%,12%,13%,14%,15%,16%"},
        {"label:zone=eu-1", "label:zone=eu-1"},
        {"zone=eu-1", "label:zone=eu-1"},
        {"zone=", "label:zone="},
    };
    static const char *const bad[] = {
        "",
        "All",
        "canary",
        "canary:",
        "canary:%",
        "canary:0%",
        "canary:5",
        "canary:-5%",
        "canary:101%",
        "canary:100%",
        "canary:5%x",
        "canary:5%,6%",
        "canary:0.0000%",
        "canary:1.%",
        "canary:0.00001%",
        "stages:",
        "stages:5%,5%",
        "stages:5%,1%",
        "stages:5%,",
        "stages:100%",
        "=x",
        "label:",
        "zone=a b",
        "canary:99999999999999%",
        "stages:1%,2%,3%,4%,5%,6%,7%,8%,9%,10%,11%,12%,13%,14%,15%,16%,17%",
        "stages:50%,100%,100%"};
    struct cfc_strategy parsed;
    char text[CFC_STRATEGY_TEXT_MAX];

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CU_ASSERT_EQUAL(cfc_strategy_parse(good[i][0], &parsed), CONFCAST_OK);
        CU_ASSERT_EQUAL(cfc_strategy_format(&parsed, text), strlen(good[i][1]));
        CU_ASSERT_STRING_EQUAL(text, good[i][1]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(cfc_strategy_parse(bad[i], &parsed), CONFCAST_ERR_INVALID);
    }
    CU_ASSERT_EQUAL(cfc_strategy_parse("canary:12.5%", &parsed), CONFCAST_OK);
    CU_ASSERT_EQUAL(parsed.stage_ppm[0], 125000);
}

static void
words_name_states_and_actions_both_ways(void)
{
    for (int i = 0; i < CFC_RELEASE_STATE_COUNT; i++) {
        enum cfc_release_state state;

        CU_ASSERT_EQUAL(
            cfc_release_state_parse(cfc_release_state_word((enum cfc_release_state)i), &state),
            CONFCAST_OK);
        CU_ASSERT_EQUAL((int)state, i);
    }
    for (int i = 0; i < CFC_ACTION_COUNT; i++) {
        enum cfc_release_action action;

        CU_ASSERT_EQUAL(
            cfc_release_action_parse(cfc_release_action_word((enum cfc_release_action)i), &action),
            CONFCAST_OK);
        CU_ASSERT_EQUAL((int)action, i);
    }
    CU_ASSERT_EQUAL(cfc_release_action_parse("none", &(enum cfc_release_action){0}),
                    CONFCAST_ERR_INVALID);
}

/* ---- Activation and confirmation ---------------------------------------------------------------
 */

#define NOW (1000 * CFC_S)

static struct cfc_release
promoted(const char *text, struct cfc_release_plan plan)
{
    struct cfc_release release = in_state(CFC_RELEASE_ACTIVE);
    struct cfc_release_request request = {.action = CFC_ACTION_PROMOTE,
                                          .revision = CANDIDATE_REV,
                                          .strategy = strategy(text),
                                          .plan = plan,
                                          .unix_ns = NOW};
    char why[128];

    CU_ASSERT_EQUAL_FATAL(cfc_release_apply(&release, &request, why), CONFCAST_OK);
    return release;
}

static int
act_at(struct cfc_release *release, enum cfc_release_action action, uint64_t unix_ns)
{
    struct cfc_release_request request = {.action = action, .unix_ns = unix_ns};
    char why[128];

    return cfc_release_apply(release, &request, why);
}

static const struct cfc_release_plan hold = {.activation = CFC_ACTIVATE_HOLD};
static const struct cfc_release_plan at_1060 = {.activation = CFC_ACTIVATE_AT,
                                                .activate_unix_ns = NOW + 60 * CFC_S};
static const struct cfc_release_plan confirm_60 = {.confirm_within_s = 60};

static void
a_held_promotion_to_all_waits_until_advance_activates_it(void)
{
    struct cfc_release release = promoted("all", hold);

    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ROLLING);
    CU_ASSERT_TRUE(release.is_waiting);
    CU_ASSERT_TRUE(cfc_release_covers_all(&release));
    CU_ASSERT_EQUAL(release.active_revision, ACTIVE_REV);
    CU_ASSERT_EQUAL(cfc_release_activation(&release, NOW), CFC_ACTIVATE_HOLD);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_CONFIRM, NOW), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_ADVANCE, NOW + 5), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ACTIVE);
    CU_ASSERT_EQUAL(release.active_revision, CANDIDATE_REV);
    CU_ASSERT_EQUAL(release.previous_revision, ACTIVE_REV);
    CU_ASSERT_FALSE(release.is_waiting);
}

static void
a_held_canary_activates_its_first_stage_before_the_next(void)
{
    struct cfc_release release = promoted("stages:1%,5%", hold);

    CU_ASSERT_EQUAL(release.stage_unix_ns, 0);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_ADVANCE, NOW + 5), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.stage_idx, 0);
    CU_ASSERT_EQUAL(release.stage_unix_ns, NOW + 5);
    CU_ASSERT_EQUAL(cfc_release_activation(&release, NOW + 5), CFC_ACTIVATE_NOW);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_ADVANCE, NOW + 6), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.stage_idx, 1);
}

static void
a_held_promotion_can_be_aborted_and_leaves_what_was(void)
{
    struct cfc_release release = promoted("all", hold);

    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_ABORT, NOW), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ACTIVE);
    CU_ASSERT_EQUAL(release.active_revision, ACTIVE_REV);
    CU_ASSERT_FALSE(release.is_waiting);
}

static void
a_time_activates_when_it_comes_and_not_a_nanosecond_before(void)
{
    struct cfc_release release = promoted("all", at_1060);
    uint64_t at = at_1060.activate_unix_ns;

    CU_ASSERT_EQUAL(cfc_release_activation(&release, at - 1), CFC_ACTIVATE_AT);
    CU_ASSERT_EQUAL(cfc_release_activation(&release, at), CFC_ACTIVATE_NOW);
    cfc_release_settle(&release, at - 1);
    CU_ASSERT_TRUE(release.is_waiting);
    cfc_release_settle(&release, at);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ACTIVE);
    CU_ASSERT_EQUAL(release.active_revision, CANDIDATE_REV);
}

static void
a_pause_before_the_time_holds_and_after_it_comes_too_late(void)
{
    struct cfc_release release = promoted("all", at_1060);
    struct cfc_release late = release;
    struct cfc_release before = release;
    uint64_t at = at_1060.activate_unix_ns;

    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_PAUSE, at - 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_release_activation(&release, at + 1), CFC_ACTIVATE_HOLD);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_RESUME, at + 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ACTIVE);
    CU_ASSERT_EQUAL(act_at(&late, CFC_ACTION_PAUSE, at), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(memcmp(&late, &before, sizeof(late)), 0);
    CU_ASSERT_EQUAL(act_at(&late, CFC_ACTION_ABORT, at), CONFCAST_ERR_STATE);
}

static void
advance_with_a_late_time_counts_the_stage_from_that_time(void)
{
    struct cfc_release release = promoted("canary:5%", at_1060);
    uint64_t at = at_1060.activate_unix_ns;

    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_ADVANCE, at + 9), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.stage_idx, 0);
    CU_ASSERT_EQUAL(release.stage_unix_ns, at);
}

static void
confirm_ends_a_promotion_and_its_deadline_is_exact(void)
{
    struct cfc_release release = promoted("all", confirm_60);
    struct cfc_release late = release;

    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ROLLING);
    CU_ASSERT_EQUAL(release.confirm_by_unix_ns, NOW + 60 * CFC_S);
    CU_ASSERT_EQUAL(cfc_release_confirm_by(&release, NOW), NOW + 60 * CFC_S);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_ADVANCE, NOW), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_CONFIRM, NOW + 60 * CFC_S - 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ACTIVE);
    CU_ASSERT_EQUAL(release.active_revision, CANDIDATE_REV);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_CONFIRM, NOW), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(act_at(&late, CFC_ACTION_CONFIRM, NOW + 60 * CFC_S), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(act_at(&late, CFC_ACTION_ROLLBACK, NOW + 60 * CFC_S), CONFCAST_OK);
    CU_ASSERT_EQUAL(late.active_revision, ACTIVE_REV);
    CU_ASSERT_EQUAL(late.state, CFC_RELEASE_ACTIVE);
}

static void
an_unconfirmed_canary_reaches_everybody_and_still_waits(void)
{
    struct cfc_release release = promoted("canary:5%", confirm_60);

    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_ADVANCE, NOW + 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ROLLING);
    CU_ASSERT_EQUAL(release.stage_idx, release.strategy.stage_count);
    CU_ASSERT_TRUE(cfc_release_covers_all(&release));
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_ADVANCE, NOW + 2), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_CONFIRM, NOW + 3), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.active_revision, CANDIDATE_REV);

    release = promoted("canary:5%", confirm_60);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_CONFIRM, NOW + 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ROLLING);
    CU_ASSERT_EQUAL(cfc_release_confirm_by(&release, NOW), 0);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_ADVANCE, NOW + 2), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ACTIVE);
}

static void
the_deadline_of_a_held_promotion_begins_with_its_activation(void)
{
    struct cfc_release_plan plan = {.activation = CFC_ACTIVATE_HOLD, .confirm_within_s = 60};
    struct cfc_release release = promoted("all", plan);

    CU_ASSERT_EQUAL(cfc_release_confirm_by(&release, NOW), 0);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_CONFIRM, NOW), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_ADVANCE, NOW + 7), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_release_confirm_by(&release, NOW + 7), NOW + 7 + 60 * CFC_S);

    plan = at_1060;
    plan.confirm_within_s = 60;
    release = promoted("all", plan);
    CU_ASSERT_EQUAL(cfc_release_confirm_by(&release, NOW), NOW + 120 * CFC_S);
}

static void
a_promotion_that_needs_the_prepared_holds_whatever_its_time(void)
{
    struct cfc_release_plan plan = at_1060;
    struct cfc_release release;

    plan.require_prepared_ppm = 990000;
    release = promoted("all", plan);
    CU_ASSERT_EQUAL(cfc_release_activation(&release, plan.activate_unix_ns + 1), CFC_ACTIVATE_HOLD);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_PAUSE, plan.activate_unix_ns), CONFCAST_OK);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_RESUME, plan.activate_unix_ns + 1), CONFCAST_OK);
    CU_ASSERT_TRUE(release.is_waiting);
    CU_ASSERT_EQUAL(release.plan.activation, CFC_ACTIVATE_NOW);
    CU_ASSERT_EQUAL(act_at(&release, CFC_ACTION_ADVANCE, plan.activate_unix_ns + 2), CONFCAST_OK);
    CU_ASSERT_EQUAL(release.state, CFC_RELEASE_ACTIVE);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_held_promotion_to_all_waits_until_advance_activates_it),
    CFC_CASE(a_held_canary_activates_its_first_stage_before_the_next),
    CFC_CASE(a_held_promotion_can_be_aborted_and_leaves_what_was),
    CFC_CASE(a_time_activates_when_it_comes_and_not_a_nanosecond_before),
    CFC_CASE(a_pause_before_the_time_holds_and_after_it_comes_too_late),
    CFC_CASE(advance_with_a_late_time_counts_the_stage_from_that_time),
    CFC_CASE(confirm_ends_a_promotion_and_its_deadline_is_exact),
    CFC_CASE(an_unconfirmed_canary_reaches_everybody_and_still_waits),
    CFC_CASE(the_deadline_of_a_held_promotion_begins_with_its_activation),
    CFC_CASE(a_promotion_that_needs_the_prepared_holds_whatever_its_time),
    CFC_CASE(every_cell_of_the_table_leads_where_it_says_or_changes_nothing),
    CFC_CASE(promote_to_all_remembers_the_revision_before),
    CFC_CASE(a_canary_rolls_then_advances_to_all),
    CFC_CASE(stages_advance_one_by_one),
    CFC_CASE(abort_goes_back_to_where_the_rollout_began),
    CFC_CASE(disable_in_a_rollout_drops_the_candidate_and_enable_restores_the_rest),
    CFC_CASE(rollback_in_a_rollout_leaves_it_or_goes_to_a_named_revision),
    CFC_CASE(rollback_without_a_target_or_to_the_active_revision_is_refused),
    CFC_CASE(a_quarantined_revision_is_neither_promoted_nor_rolled_back_to),
    CFC_CASE(quarantine_holds_64_revisions),
    CFC_CASE(promoting_nothing_or_the_active_revision_as_a_canary_is_refused),
    CFC_CASE(strategies_are_read_and_written),
    CFC_CASE(words_name_states_and_actions_both_ways),
};

CFC_TEST_MAIN("release", cases)
