/* Every release record that a few actions can lead to, and every action in each of them: what is
 * refused leaves the record as it was, what is done leaves one that makes sense, and the store's
 * form of it says the same. */
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "confcast/error.h"
#include "controlplane/model/record.h"
#include "controlplane/model/release.h"
#include "protocol/base/time.h"
#include "tests/unit/cunit_main.h"

enum {
    REVISION_COUNT = 3,
    DEPTH = 8,
    STEP_S = 6,   /* between two actions */
    AHEAD_S = 10, /* an activation, and a deadline: two actions later they have passed */
    BEGIN_S = 1000,
    ORDER_COUNT_MAX = 64,
};

/* A record that was reached; by its bytes without what counts changes. */
struct node {
    struct cfc_release release;
    struct node *next;
    UT_hash_handle hh;
};

struct space {
    struct node *nodes;
    struct node *last;
    size_t count;
    size_t done[CFC_RELEASE_STATE_COUNT][CFC_ACTION_COUNT];
    size_t refused[CFC_RELEASE_STATE_COUNT][CFC_ACTION_COUNT];
};

static struct cfc_release_request orders[ORDER_COUNT_MAX];
static size_t order_count;

static void
add_order(enum cfc_release_action action, uint64_t revision, const char *strategy,
          struct cfc_release_plan plan)
{
    struct cfc_release_request *order = &orders[order_count++];

    *order = (struct cfc_release_request){.action = action, .revision = revision, .plan = plan};
    CU_ASSERT_EQUAL_FATAL(cfc_strategy_parse(strategy, &order->strategy), CONFCAST_OK);
}

static void
make_orders(void)
{
    static const struct cfc_release_plan plans[] = {
        {.activation = CFC_ACTIVATE_NOW},
        {.activation = CFC_ACTIVATE_NOW, .confirm_within_s = AHEAD_S},
        {.activation = CFC_ACTIVATE_NOW, .require_prepared_ppm = 990000},
        {.activation = CFC_ACTIVATE_HOLD, .confirm_within_s = AHEAD_S},
        {.activation = CFC_ACTIVATE_AT},
        {.activation = CFC_ACTIVATE_AT,
         .require_prepared_ppm = 990000,
         .confirm_within_s = AHEAD_S},
    };
    static const char *const strategies[] = {"all", "canary:25%", "stages:10%,50%", "zone=a"};

    order_count = 0;
    for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
        add_order(CFC_ACTION_PROMOTE, 1 + i % 2, strategies[0], plans[i]);
        add_order(CFC_ACTION_PROMOTE, 3, strategies[1 + i % 3], plans[i]);
    }
    for (uint64_t revision = 0; revision <= REVISION_COUNT; revision++) {
        add_order(CFC_ACTION_ROLLBACK, revision, "all", plans[0]);
        add_order(CFC_ACTION_QUARANTINE, revision, "all", plans[0]);
    }
    add_order(CFC_ACTION_PROMOTE, 0, "all", plans[0]);
    add_order(CFC_ACTION_ADVANCE, 0, "all", plans[4]);
    for (int action = CFC_ACTION_ADVANCE; action < CFC_ACTION_COUNT; action++) {
        if (action != CFC_ACTION_ROLLBACK && action != CFC_ACTION_QUARANTINE) {
            add_order((enum cfc_release_action)action, 0, "all", plans[0]);
        }
    }
}

static bool
is_zero(const void *bytes, size_t size)
{
    static const char zeros[sizeof(struct cfc_release)];

    return memcmp(bytes, zeros, size) == 0;
}

/* What holds of every record. */
static void
check_record(const struct cfc_release *r)
{
    bool is_rollout = cfc_release_has_candidate(r);

    CU_ASSERT_EQUAL(r->candidate_revision != 0, is_rollout);
    CU_ASSERT_EQUAL(cfc_release_is_quarantined(r, r->active_revision), false);
    CU_ASSERT_EQUAL(cfc_release_is_quarantined(r, r->candidate_revision), false);
    CU_ASSERT_TRUE(r->active_revision == 0 || r->active_revision != r->candidate_revision);
    if (r->state == CFC_RELEASE_ACTIVE) {
        CU_ASSERT_NOT_EQUAL(r->active_revision, 0);
    }
    if (r->state == CFC_RELEASE_EMPTY || r->state == CFC_RELEASE_DELETED) {
        CU_ASSERT_EQUAL(r->active_revision, 0);
    }
    if (!is_rollout) {
        CU_ASSERT_TRUE(is_zero(&r->plan, sizeof(r->plan)));
        CU_ASSERT_TRUE(is_zero(r->reason, sizeof(r->reason)));
        CU_ASSERT_FALSE(r->is_waiting);
        CU_ASSERT_EQUAL(r->stage_idx, 0);
        CU_ASSERT_EQUAL(r->stage_unix_ns, 0);
        CU_ASSERT_EQUAL(r->confirm_by_unix_ns, 0);
        return;
    }
    CU_ASSERT_EQUAL(r->origin == CFC_RELEASE_ACTIVE, r->active_revision != 0);
    CU_ASSERT_TRUE(r->origin == CFC_RELEASE_ACTIVE || r->origin == CFC_RELEASE_EMPTY ||
                   r->origin == CFC_RELEASE_DELETED);
    CU_ASSERT_TRUE(r->stage_idx <= r->strategy.stage_count);
    CU_ASSERT_EQUAL(r->is_waiting, r->stage_unix_ns == 0);
    CU_ASSERT_EQUAL(r->plan.activation == CFC_ACTIVATE_AT, r->plan.activate_unix_ns != 0);
    CU_ASSERT_TRUE(r->confirm_by_unix_ns == 0 || r->plan.confirm_within_s != 0);
    if (r->is_waiting) {
        CU_ASSERT_TRUE(r->plan.activation != CFC_ACTIVATE_NOW || r->plan.require_prepared_ppm != 0);
        CU_ASSERT_EQUAL(r->stage_idx, 0);
    } else {
        CU_ASSERT_EQUAL(r->plan.activation, CFC_ACTIVATE_NOW);
        CU_ASSERT_EQUAL(r->plan.require_prepared_ppm, 0);
        CU_ASSERT_EQUAL(r->confirm_by_unix_ns != 0, r->plan.confirm_within_s != 0);
        /* What everybody has is only still a rollout if somebody has to confirm it. */
        CU_ASSERT_TRUE(!cfc_release_covers_all(r) || r->plan.confirm_within_s != 0);
    }
}

/* The record that a new process reads is the record. */
static void
check_stored_form(const struct cfc_release *release)
{
    struct cfc_release read;
    json_t *record = cfc_release_to_json(release, "ann", "why");
    char *written;
    char *again;

    CU_ASSERT_EQUAL(cfc_release_from_json(record, &read, NULL, NULL), CONFCAST_OK);
    written = json_dumps(record, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(record);
    record = cfc_release_to_json(&read, "ann", "why");
    again = json_dumps(record, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(record);
    CU_ASSERT_STRING_EQUAL(written, again);
    CU_ASSERT_EQUAL(read.state, release->state);
    CU_ASSERT_EQUAL(read.is_waiting, release->is_waiting);
    CU_ASSERT_EQUAL(read.stage_unix_ns, release->stage_unix_ns);
    CU_ASSERT_EQUAL(read.confirm_by_unix_ns, release->confirm_by_unix_ns);
    CU_ASSERT_EQUAL(memcmp(&read.plan, &release->plan, sizeof(read.plan)), 0);
    CU_ASSERT_EQUAL(memcmp(read.quarantined, release->quarantined, sizeof(read.quarantined)), 0);
    free(written);
    free(again);
}

/* True for a record that was not reached before; it is kept. */
static bool
keep(struct space *space, const struct cfc_release *release)
{
    struct node *node = calloc(1, sizeof(*node));
    struct node *known;

    CU_ASSERT_PTR_NOT_NULL_FATAL(node);
    node->release = *release;
    node->release.release_version = 0;
    node->release.last_action = CFC_ACTION_NONE;
    HASH_FIND(hh, space->nodes, &node->release, sizeof(node->release), known);
    if (known != NULL) {
        free(node);
        return false;
    }
    HASH_ADD(hh, space->nodes, release, sizeof(node->release), node);
    if (space->last != NULL) {
        space->last->next = node;
    }
    space->last = node;
    space->count++;
    return true;
}

static void
take_order(struct space *space, const struct cfc_release *before,
           const struct cfc_release_request *order, uint64_t unix_ns)
{
    struct cfc_release_request request = *order;
    struct cfc_release settled = *before;
    struct cfc_release release = *before;
    bool is_allowed;
    char why[128];
    int error;

    request.unix_ns = unix_ns;
    if (request.plan.activation == CFC_ACTIVATE_AT) {
        request.plan.activate_unix_ns = unix_ns + AHEAD_S * CFC_S;
    }
    if (request.action != CFC_ACTION_ADVANCE) {
        cfc_release_settle(&settled, unix_ns);
    }
    is_allowed = cfc_release_next(settled.state, request.action) >= 0;
    error = cfc_release_apply(&release, &request, why);
    if (error != CONFCAST_OK) {
        CU_ASSERT_EQUAL(memcmp(&release, before, sizeof(release)), 0);
        CU_ASSERT_TRUE(error == CONFCAST_ERR_STATE ||
                       (error == CONFCAST_ERR_INVALID && request.revision == 0));
        CU_ASSERT_NOT_EQUAL(why[0], '\0');
        space->refused[settled.state][request.action]++;
        return;
    }
    CU_ASSERT_TRUE(is_allowed);
    CU_ASSERT_EQUAL(release.release_version, before->release_version + 1);
    CU_ASSERT_EQUAL(release.last_action, request.action);
    CU_ASSERT_TRUE(release.quarantined_count >= before->quarantined_count);
    space->done[settled.state][request.action]++;
    check_record(&release);
    if (keep(space, &release)) {
        check_stored_form(&release);
    }
}

static void
every_action_in_every_record_is_done_whole_or_not_at_all(void)
{
    struct space space = {.nodes = NULL};
    struct cfc_release release;
    struct node *node;
    struct node *next;

    make_orders();
    cfc_release_init(&release);
    keep(&space, &release);
    node = space.nodes;
    for (int depth = 0; depth < DEPTH; depth++) {
        uint64_t unix_ns = (uint64_t)(BEGIN_S + depth * STEP_S) * CFC_S;
        struct node *end = space.last;

        for (bool is_last = false; !is_last && node != NULL; node = node->next) {
            for (size_t i = 0; i < order_count; i++) {
                take_order(&space, &node->release, &orders[i], unix_ns);
            }
            is_last = node == end;
        }
    }
    CU_ASSERT_TRUE(space.count > 10000);
    /* Each cell was met, and as the table says. */
    for (int state = 0; state < CFC_RELEASE_STATE_COUNT; state++) {
        for (int action = 0; action < CFC_ACTION_COUNT; action++) {
            bool is_allowed = cfc_release_next((enum cfc_release_state)state,
                                               (enum cfc_release_action)action) >= 0;

            CU_ASSERT_EQUAL(space.done[state][action] > 0, is_allowed);
            CU_ASSERT_TRUE(is_allowed || space.refused[state][action] > 0);
        }
    }
    printf("(%zu records) ", space.count);
    HASH_ITER(hh, space.nodes, node, next)
    {
        HASH_DEL(space.nodes, node);
        free(node);
    }
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(every_action_in_every_record_is_done_whole_or_not_at_all),
};

CFC_TEST_MAIN("release_space", cases)
