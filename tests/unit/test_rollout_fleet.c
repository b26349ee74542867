/* Rollouts with bake times over a simulated fleet, at random: after every tick the release is where
 * a count of the whole fleet by hand says it has to be. */
#include "protocol/base/prng.h"
#include "protocol/base/time.h"
#include "tests/unit/model_fixture.h"

enum {
    SEED_COUNT = 200,
    STEP_COUNT = 120,
    FLEET_SIZE = 24,
    SCOPE_COUNT = 3, /* the layer that rolls, which nobody follows, and two below it */
    STALE_S = 30,
    UNSURE_S = 4, /* the service notices silence a little later */
    SETTLE_S = 10,
};

static const char *const scopes[SCOPE_COUNT] = {"acme", "acme/a", "acme/b"};

struct consumer {
    int scope;
    bool is_known;  /* has ever reported */
    bool is_stale;  /* as of the last tick */
    bool is_silent; /* ... and it was not when the head went out */
    bool is_mute;   /* reports no more */
    uint64_t seen_ns;
    uint64_t version; /* of its last report */
    uint8_t state;
    uint8_t arm;
};

struct head {
    uint64_t version;
    uint64_t published;
    uint64_t published_ns;
    uint32_t arm_count;
    bool has_candidate; /* arm 0 */
};

struct fleet {
    struct model m;
    struct cfc_prng prng;
    struct consumer consumers[FLEET_SIZE];
    struct head heads[SCOPE_COUNT];
    bool is_spared; /* no consumer is in the candidate's arm */
    uint64_t report_seq;
    uint64_t revision;
    size_t advanced;
    size_t paused;
};

static uint64_t
below(struct fleet *f, uint64_t bound)
{
    return cfc_prng_below(&f->prng, bound);
}

static struct cfc_release
release_now(struct fleet *f)
{
    struct cfc_release_view view;

    CU_ASSERT_EQUAL_FATAL(cfc_service_get_release(f->m.service, "acme", &view), CONFCAST_OK);
    return view.release;
}

static void
look_at_heads(struct fleet *f)
{
    for (int i = 0; i < SCOPE_COUNT; i++) {
        struct cfc_decision *decision;

        CU_ASSERT_EQUAL_FATAL(cfc_service_decision(f->m.service, scopes[i], &decision),
                              CONFCAST_OK);
        f->heads[i].version = decision->version;
        f->heads[i].arm_count = decision->arm_count;
        f->heads[i].has_candidate = decision->arms[0].is_candidate;
        cfc_decision_unref(decision);
    }
}

static void
hand_over(struct fleet *f, int i)
{
    struct head *head = &f->heads[i];

    cfc_service_note_published(f->m.service, scopes[i], head->version, f->m.now);
    if (head->published != head->version) {
        head->published = head->version;
        head->published_ns = f->m.now;
        for (int c = 0; c < FLEET_SIZE; c++) {
            f->consumers[c].is_silent &= f->consumers[c].scope != i;
        }
    }
}

/* A consumer follows the head that is published, or fails to. */
static void
send_report(struct fleet *f, int c, uint8_t state)
{
    struct consumer *consumer = &f->consumers[c];
    const struct head *head = &f->heads[consumer->scope];
    struct cfc_decision *decision;
    struct cfc_report_entry entry = {.accepted = head->version, .state = state};
    char id[16];

    if (consumer->is_mute || head->published != head->version) {
        return;
    }
    CU_ASSERT_EQUAL_FATAL(cfc_service_decision(f->m.service, scopes[consumer->scope], &decision),
                          CONFCAST_OK);
    consumer->arm =
        (c % 3 == 0 && !f->is_spared) || head->arm_count == 1 ? 0 : (uint8_t)(head->arm_count - 1);
    entry.scope_id = decision->scope_id;
    entry.epoch = cfc_service_epoch(f->m.service);
    entry.arm = consumer->arm;
    if (state == CFC_APPLY_APPLIED) {
        entry.serving_version = decision->version;
        entry.serving_content = cfc_digest_key(&decision->arms[entry.arm].content->id);
    }
    cfc_decision_unref(decision);
    snprintf(id, sizeof(id), "c%d", c);
    CU_ASSERT_EQUAL(
        cfc_service_report(f->m.service, id, 1, ++f->report_seq, &entry, 1, f->m.now, NULL),
        CONFCAST_OK);
    consumer->is_known = true;
    consumer->is_stale = false;
    consumer->is_silent = false;
    consumer->seen_ns = f->m.now;
    consumer->version = head->version;
    consumer->state = state;
}

/* ---- What has to happen ------------------------------------------------------------------------
 */

struct tally {
    uint64_t total;
    uint64_t alive;
    uint64_t silent;
    uint64_t applied;
    uint64_t candidate;
    uint64_t candidate_applied;
    uint64_t candidate_rejected;
    uint64_t stable;
    uint64_t stable_rejected;
    uint64_t published_ns; /* the latest of the layer's scopes; 0: one is not */
};

static void
add_consumer(const struct fleet *f, const struct consumer *consumer, struct tally *t)
{
    const struct head *head = &f->heads[consumer->scope];
    bool is_candidate = head->has_candidate && consumer->arm == 0;
    bool is_rejected = consumer->state == CFC_APPLY_REJECTED;
    bool is_applied = consumer->state == CFC_APPLY_APPLIED;

    t->total += consumer->is_known;
    t->silent += consumer->is_silent;
    if (!consumer->is_known || consumer->is_stale) {
        return;
    }
    t->alive++;
    if (head->published != head->version || consumer->version != head->published) {
        return;
    }
    t->applied += is_applied;
    if (is_candidate) {
        t->candidate++;
        t->candidate_applied += is_applied;
        t->candidate_rejected += is_rejected;
    } else {
        t->stable++;
        t->stable_rejected += is_rejected;
    }
}

static struct tally
count_fleet(const struct fleet *f)
{
    struct tally t = {0};
    bool is_published = true;

    for (int c = 0; c < FLEET_SIZE; c++) {
        add_consumer(f, &f->consumers[c], &t);
    }
    for (int i = 0; i < SCOPE_COUNT; i++) {
        is_published &= f->heads[i].published == f->heads[i].version;
        if (f->heads[i].published_ns > t.published_ns) {
            t.published_ns = f->heads[i].published_ns;
        }
    }
    t.published_ns = is_published ? t.published_ns : 0;
    return t;
}

/* docs/operators.md, "In stages", for a fleet of less than 100, which tolerates nothing; a share of
 * the candidate's arm that reject may be up to a point above that of the others. */
static enum cfc_release_action
due_action(const struct fleet *f, const struct cfc_release *release, uint64_t now_ns)
{
    struct tally t = count_fleet(f);
    uint64_t bake_ns = release->plan.bake_s * CFC_S;
    uint64_t settle_ns = bake_ns < SETTLE_S * CFC_S ? bake_ns : SETTLE_S * CFC_S;
    bool is_worse =
        t.candidate_rejected * 100 * (t.stable != 0 ? t.stable : 1) >
        t.stable_rejected * 100 * t.candidate + t.candidate * (t.stable != 0 ? t.stable : 1);

    if (release->state != CFC_RELEASE_ROLLING || bake_ns == 0) {
        return CFC_ACTION_NONE;
    }
    if ((t.candidate != 0 && is_worse) || t.silent > 0) {
        return CFC_ACTION_PAUSE;
    }
    if (now_ns < release->stage_unix_ns + bake_ns || now_ns < t.published_ns + settle_ns) {
        return CFC_ACTION_NONE;
    }
    return t.published_ns != 0 && t.candidate_applied > 0 && t.applied == t.alive
               ? CFC_ACTION_ADVANCE
               : CFC_ACTION_PAUSE;
}

static bool
is_unsure(const struct fleet *f)
{
    for (int c = 0; c < FLEET_SIZE; c++) {
        const struct consumer *consumer = &f->consumers[c];
        uint64_t silence_ns = f->m.now - consumer->seen_ns;

        if (consumer->is_known && !consumer->is_stale && silence_ns > (STALE_S - 1) * CFC_S &&
            silence_ns < (STALE_S + UNSURE_S) * CFC_S) {
            return true;
        }
    }
    return false;
}

static void
notice_silence(struct fleet *f)
{
    for (int c = 0; c < FLEET_SIZE; c++) {
        struct consumer *consumer = &f->consumers[c];
        const struct head *head = &f->heads[consumer->scope];

        if (consumer->is_known && !consumer->is_stale &&
            f->m.now - consumer->seen_ns > STALE_S * CFC_S) {
            consumer->is_stale = true;
            consumer->is_silent =
                head->published != 0 && consumer->seen_ns + STALE_S * CFC_S >= head->published_ns;
        }
    }
}

static void
tick(struct fleet *f)
{
    struct cfc_release before = release_now(f);
    struct cfc_release after;
    enum cfc_release_action due;

    f->m.now += (1 + below(f, 9)) * CFC_S + 1;
    while (is_unsure(f)) {
        f->m.now += UNSURE_S * CFC_S;
    }
    notice_silence(f);
    due = due_action(f, &before, f->m.now);
    CU_ASSERT_EQUAL(cfc_service_tick(f->m.service, f->m.now), CONFCAST_OK);
    after = release_now(f);
    CU_ASSERT_EQUAL(after.release_version, before.release_version + (due != CFC_ACTION_NONE));
    if (due != CFC_ACTION_NONE) {
        CU_ASSERT_EQUAL(after.last_action, due);
        CU_ASSERT_EQUAL(after.state == CFC_RELEASE_PAUSED, due == CFC_ACTION_PAUSE);
        CU_ASSERT_EQUAL(after.reason[0] != '\0', due == CFC_ACTION_PAUSE);
        f->advanced += due == CFC_ACTION_ADVANCE;
        f->paused += due == CFC_ACTION_PAUSE;
    }
    look_at_heads(f);
}

/* ---- What may happen ---------------------------------------------------------------------------
 */

static void
begin_rollout(struct fleet *f)
{
    static const char *const strategies[] = {"canary:30%", "stages:10%,40%", "stages:20%,50%,80%"};
    struct cfc_release_plan plan = {.bake_s = 1 + below(f, 50)};
    char text[64];

    snprintf(text, sizeof(text), "{\"r\":%llu}", (unsigned long long)++f->revision);
    CU_ASSERT_EQUAL(put_text(&f->m, "acme", text), CONFCAST_OK);
    (void)promote_by(&f->m, "acme", strategies[below(f, 3)], plan);
}

static void
change_below(struct fleet *f)
{
    char text[64];

    snprintf(text, sizeof(text), "{\"own\":%llu}", (unsigned long long)++f->revision);
    CU_ASSERT_EQUAL(publish(&f->m, scopes[1 + below(f, 2)], text), CONFCAST_OK);
}

static void
fleet_reports(struct fleet *f)
{
    bool is_bad = below(f, 12) == 0;

    for (int c = 0; c < FLEET_SIZE; c++) {
        send_report(f, c, is_bad && below(f, 6) == 0 ? CFC_APPLY_REJECTED : CFC_APPLY_APPLIED);
    }
}

static void
take_step(struct fleet *f)
{
    uint64_t pick = below(f, 100);

    if (pick < 12) {
        begin_rollout(f);
    } else if (pick < 15) {
        change_below(f);
    } else if (pick < 18) {
        (void)act(&f->m, "acme", CFC_ACTION_ABORT);
    } else if (pick < 26) {
        (void)act(&f->m, "acme", CFC_ACTION_RESUME);
    } else if (pick < 28) {
        f->consumers[below(f, FLEET_SIZE)].is_mute ^= true;
    } else if (pick < 30) {
        send_report(f, (int)below(f, FLEET_SIZE), CFC_APPLY_REJECTED);
    } else if (pick < 60) {
        for (int i = 0; i < SCOPE_COUNT && pick != 59; i++) { /* now and then only a part */
            hand_over(f, i);
        }
        fleet_reports(f);
    } else {
        tick(f);
    }
    look_at_heads(f);
}

static void
stages_go_on_or_stop_as_a_count_of_the_whole_fleet_says(void)
{
    size_t advanced = 0;
    size_t paused = 0;

    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        struct fleet f = {.prng = {.state = seed}};

        model_open(&f.m);
        f.is_spared = seed % 8 == 0;
        for (int i = 0; i < SCOPE_COUNT; i++) {
            CU_ASSERT_EQUAL(publish(&f.m, scopes[i], "{}"), CONFCAST_OK);
        }
        for (int c = 0; c < FLEET_SIZE; c++) {
            f.consumers[c].scope = 1 + c % 2;
        }
        look_at_heads(&f);
        tick(&f);
        for (int step = 0; step < STEP_COUNT; step++) {
            take_step(&f);
        }
        advanced += f.advanced;
        paused += f.paused;
        model_close(&f.m);
    }
    printf("(%zu advanced, %zu paused) ", advanced, paused);
    CU_ASSERT_TRUE(advanced > 300);
    CU_ASSERT_TRUE(paused > 500);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(stages_go_on_or_stop_as_a_count_of_the_whole_fleet_says),
};

CFC_TEST_MAIN("rollout_fleet", cases)
