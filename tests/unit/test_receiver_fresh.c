/* FRESH: how a receiver finds out that it is late, and how fresh its knowledge is. */
#include "protocol/wire/loss.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/receiver_fixture.h"

#define PERIOD CFC_S

static struct cfc_head
head_of(const struct bench *b, uint64_t version)
{
    struct cfc_digest content = digest_of(0xaa);

    return bench_head(b, version, &content);
}

static enum cfc_freshness
freshness(struct bench *b)
{
    bench_run_owner(b);
    return bench_scope(b).freshness;
}

static void
open_with_head(struct bench *b, struct cfc_head *head)
{
    bench_open(b);
    *head = head_of(b, 10);
    CU_ASSERT_EQUAL(bench_send_head(b, head), CONFCAST_OK);
    bench_run_owner(b);
}

/* Whether a NACK within `ns` asks for `want`; *out is what it says. */
static bool
is_wanted(struct bench *b, uint8_t want, uint64_t ns, struct cfc_nack_entry *out)
{
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    uint64_t end_ns = b->now.mono_ns + ns;

    for (;;) {
        uint32_t count = bench_await_nack(b, end_ns - b->now.mono_ns, entries);
        const struct cfc_nack_entry *found = find_want(entries, count, want);

        if (found != NULL) {
            *out = *found;
            return true;
        }
        if (count == 0) {
            return false;
        }
    }
}

/* The same for the scope's head; *mask is its lowest version. */
static bool
is_head_wanted(struct bench *b, uint64_t ns, uint64_t *mask)
{
    struct cfc_nack_entry entry = {0};
    bool is_asked = is_wanted(b, CFC_WANT_HEAD, ns, &entry);

    *mask = entry.mask;
    return is_asked;
}

static void
freshness_is_unknown_until_the_first_fresh(void)
{
    struct bench b;
    struct cfc_head head;

    open_with_head(&b, &head);
    CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_UNKNOWN);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 10, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_FRESH);
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_FRESHNESS)->freshness, CFC_FRESHNESS_FRESH);
    CU_ASSERT_EQUAL(bench_scope(&b).fresh_unix_ns, b.now.unix_ns);
    CU_ASSERT_EQUAL(bench_scope(&b).published, 10);
    bench_close(&b);
}

static void
three_missing_periods_are_stale_and_unload_nothing(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;

    bench_open(&b);
    made_content(&b, &m, 500);
    bench_publish(&b, 10, &m);
    head = bench_head(&b, 10, &m.id);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 10, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_FRESH);
    CU_ASSERT(cfc_receiver_deadline(b.r) <= b.now.mono_ns + 3 * PERIOD);
    bench_wait(&b, 3 * PERIOD - 1);
    CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_FRESH);
    bench_wait(&b, 1);
    CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_STALE);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.flags, CFC_REPORT_FLAG_STALE);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_RELEASE), 0);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 10, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_FRESH);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.flags, 0);
    made_free(&m);
    bench_close(&b);
}

static void
an_engine_that_lives_on_while_fresh_stands_still_is_control_silence(void)
{
    struct bench b;
    struct cfc_head head;

    open_with_head(&b, &head);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 10, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_FRESH);
    for (int i = 0; i < 3; i++) {
        bench_wait(&b, PERIOD);
        CU_ASSERT_EQUAL(bench_send_status(&b, NULL, 0), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_CONTROL_SILENT);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.flags, CFC_REPORT_FLAG_CONTROL_SILENT);
    bench_wait(&b, 3 * PERIOD);
    CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_STALE);
    /* The engine comes back without the control plane. */
    CU_ASSERT_EQUAL(bench_send_status(&b, NULL, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_CONTROL_SILENT);
    bench_close(&b);
}

static void
a_replayed_fresh_keeps_nothing_fresh(void)
{
    struct bench b;
    struct cfc_head head;
    uint8_t copy[CFC_FRAME_SIZE_MAX];
    size_t size;

    open_with_head(&b, &head);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 10, &head), CONFCAST_OK);
    size = b.size;
    memcpy(copy, b.frame, size);
    for (int i = 0; i < 3; i++) {
        bench_wait(&b, PERIOD);
        memcpy(b.frame, copy, size);
        b.size = size;
        CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_STALE);
    /* Nor does one from before the newest. */
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 10, &head), CONFCAST_OK);
    memcpy(b.frame, copy, size);
    b.size = size;
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_REPLAY);
    bench_close(&b);
}

static void
epoch_sequence_and_time_are_monotone_and_a_new_owners_clock_may_lag(void)
{
    struct bench b;
    struct cfc_head head;
    struct cfc_fresh_entry none;

    open_with_head(&b, &head);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 20, &head), CONFCAST_OK);
    bench_wait(&b, PERIOD);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 19, &head), CONFCAST_ERR_ROLLBACK);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH - 1, 21, &head), CONFCAST_ERR_FENCED);
    CU_ASSERT_EQUAL(bench_make_fresh(&b, BENCH_EPOCH, 20, b.now.unix_ns - PERIOD - 1, &none, 0, 0),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_REPLAY);
    CU_ASSERT_EQUAL(
        bench_make_fresh(&b, BENCH_EPOCH + 1, 20, b.now.unix_ns - PERIOD - 1, &none, 0, 0),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 22, &head), CONFCAST_ERR_FENCED);
    bench_close(&b);
}

static void
fresh_has_a_validity_too(void)
{
    struct bench b;
    struct cfc_fresh_entry none;

    bench_open(&b);
    CU_ASSERT_EQUAL(
        bench_make_fresh(&b, BENCH_EPOCH, 1, b.now.unix_ns - 60 * CFC_S - 1, &none, 0, 0),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_EXPIRED);
    CU_ASSERT_EQUAL(
        bench_make_fresh(&b, BENCH_EPOCH, 1, b.now.unix_ns + 300 * CFC_S + 1, &none, 0, 0),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_NOT_YET_VALID);
    CU_ASSERT_EQUAL(bench_make_fresh(&b, BENCH_EPOCH, 1, b.now.unix_ns - 60 * CFC_S, &none, 0, 0),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    bench_close(&b);
}

static void
a_forged_fresh_changes_nothing_and_is_checked_once(void)
{
    struct bench b;
    struct cfc_head head;
    struct cfc_fresh_entry entry;

    open_with_head(&b, &head);
    b.verifications = 0;
    entry.scope_id = cfc_scope_id(b.sha, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1);
    entry.version = 99;
    memset(entry.head_digest, 1, sizeof(entry.head_digest));
    CU_ASSERT_EQUAL(bench_make_fresh(&b, BENCH_EPOCH + 9, 99, b.now.unix_ns, &entry, 1, 0),
                    CONFCAST_OK);
    b.frame[88 + 5] ^= 1; /* in the signature */
    for (int i = 0; i < 10; i++) {
        CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_SIGNATURE);
    }
    CU_ASSERT_EQUAL(b.verifications, 1);
    CU_ASSERT_EQUAL(bench_scope(&b).published, 0);
    CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_UNKNOWN);
    /* Its epoch fences nobody. */
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 10, &head), CONFCAST_OK);
    bench_close(&b);
}

static void
one_signature_per_period_covers_all_pages_and_each_page_needs_its_proof(void)
{
    struct bench b;
    struct cfc_head head;
    struct cfc_fresh_entry entries[100];
    uint64_t id;
    uint32_t own = 0;

    open_with_head(&b, &head);
    id = cfc_scope_id(b.sha, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1);
    for (uint32_t i = 0; i < 100; i++) {
        entries[i].scope_id = id - 50 + i;
        entries[i].version = 1000 + i;
        memset(entries[i].head_digest, (int)i, sizeof(entries[i].head_digest));
        own = entries[i].scope_id == id ? i : own;
    }
    b.verifications = 0;
    for (uint32_t page = 0; page < 4; page++) {
        CU_ASSERT_EQUAL(bench_make_fresh(&b, BENCH_EPOCH, 1100, b.now.unix_ns, entries, 100, page),
                        CONFCAST_OK);
        if (page == own / 32) {
            b.frame[b.size - 1] ^= 1; /* in an entry */
            CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_DIGEST);
            CU_ASSERT_EQUAL(bench_scope(&b).published, 0);
            b.frame[b.size - 1] ^= 1;
        }
        CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(b.verifications, 1);
    CU_ASSERT_EQUAL(bench_scope(&b).published, 1000 + own);
    bench_close(&b);
}

static void
a_higher_listed_version_is_asked_for(void)
{
    struct bench b;
    struct cfc_head head;
    uint64_t mask = 0;

    open_with_head(&b, &head);
    bench_link(&b);
    CU_ASSERT_FALSE(is_head_wanted(&b, PERIOD, &mask));
    head = head_of(&b, 11);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 11, &head), CONFCAST_OK);
    CU_ASSERT_FALSE(is_head_wanted(&b, CFC_MS - 1, &mask));
    CU_ASSERT(is_head_wanted(&b, CFC_MS, &mask));
    CU_ASSERT_EQUAL(mask, 11);
    /* Again after the retry spacing, until it comes. */
    CU_ASSERT(is_head_wanted(&b, 11 * CFC_MS, &mask));
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_FALSE(is_head_wanted(&b, PERIOD, &mask));
    bench_close(&b);
}

static void
another_head_at_this_version_is_asked_for_only_when_a_new_owner_signed_it(void)
{
    struct bench b;
    struct cfc_head head, other;
    uint64_t mask = 0;

    open_with_head(&b, &head);
    bench_link(&b);
    other = head;
    other.issued_unix_ns++;
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 10, &other), CONFCAST_OK);
    CU_ASSERT_FALSE(is_head_wanted(&b, PERIOD, &mask));
    other.epoch++;
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH + 1, 10, &other), CONFCAST_OK);
    CU_ASSERT(is_head_wanted(&b, 2 * CFC_MS, &mask));
    CU_ASSERT_EQUAL(mask, 10);
    CU_ASSERT_EQUAL(bench_send_head(&b, &other), CONFCAST_OK);
    CU_ASSERT_FALSE(is_head_wanted(&b, PERIOD, &mask));
    bench_close(&b);
}

static void
a_published_head_that_was_refused_is_not_fetched_over_and_over(void)
{
    struct bench b;
    struct cfc_head head;
    uint64_t mask = 0;

    open_with_head(&b, &head);
    bench_link(&b);
    head = head_of(&b, 11);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 11, &head), CONFCAST_OK);
    CU_ASSERT(is_head_wanted(&b, 2 * CFC_MS, &mask));
    b.verdict = CONFCAST_ERR_AUTHORITY;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_ERR_AUTHORITY);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.reason, -CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_FALSE(is_head_wanted(&b, 4 * CFC_S, &mask));
    CU_ASSERT(is_head_wanted(&b, 2 * CFC_S, &mask));
    bench_close(&b);
}

static void
forged_heads_do_not_slow_down_the_asking(void)
{
    struct bench b;
    struct cfc_head head, forged;
    uint64_t mask = 0;

    open_with_head(&b, &head);
    bench_link(&b);
    head = head_of(&b, 11);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 11, &head), CONFCAST_OK);
    CU_ASSERT(is_head_wanted(&b, 2 * CFC_MS, &mask));
    forged = head_of(&b, 12);
    forged.not_after_unix_ns = b.now.unix_ns - 1;
    CU_ASSERT_EQUAL(bench_send_head(&b, &forged), CONFCAST_ERR_EXPIRED);
    CU_ASSERT(is_head_wanted(&b, 11 * CFC_MS, &mask));
    bench_close(&b);
}

/* Entries around the bench's scope that fill several pages. */
static void
fill_entries(struct bench *b, struct cfc_fresh_entry entries[100], const struct cfc_head *head)
{
    uint64_t id = cfc_scope_id(b->sha, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1);

    for (uint32_t i = 0; i < 100; i++) {
        entries[i].scope_id = id - 50 + i;
        entries[i].version = 5;
        memset(entries[i].head_digest, (int)i, sizeof(entries[i].head_digest));
    }
    entries[50].version = head->version;
    bench_digest_of(b, head, entries[50].head_digest);
}

static void
a_page_that_does_not_come_for_two_periods_is_asked_for(void)
{
    struct bench b;
    struct cfc_head head;
    struct cfc_fresh_entry entries[100];
    struct cfc_nack_entry want = {0};

    open_with_head(&b, &head);
    bench_link(&b);
    fill_entries(&b, entries, &head);
    for (int i = 0; i < 2; i++) {
        entries[0].version++;
        CU_ASSERT_EQUAL(bench_make_fresh(&b, BENCH_EPOCH, 10, b.now.unix_ns, entries, 100, 0),
                        CONFCAST_OK);
        CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
        CU_ASSERT_FALSE(is_wanted(&b, CFC_WANT_FRESH, PERIOD - CFC_MS, &want));
    }
    CU_ASSERT(is_wanted(&b, CFC_WANT_FRESH, 4 * CFC_MS, &want));
    CU_ASSERT_EQUAL(want.key, BENCH_SHARD);
    CU_ASSERT_EQUAL(want.mask, entries[50].scope_id);
    /* The page answers it. */
    CU_ASSERT_EQUAL(bench_make_fresh(&b, BENCH_EPOCH, 10, b.now.unix_ns, entries, 100, 1),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_FRESH);
    CU_ASSERT_FALSE(is_wanted(&b, CFC_WANT_FRESH, 5 * PERIOD, &want));
    bench_close(&b);
}

static void
an_unchanged_root_proves_a_scope_without_its_page(void)
{
    struct bench b;
    struct cfc_head head;
    struct cfc_fresh_entry entries[100];

    open_with_head(&b, &head);
    fill_entries(&b, entries, &head);
    CU_ASSERT_EQUAL(bench_make_fresh(&b, BENCH_EPOCH, 10, b.now.unix_ns, entries, 100, 1),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    for (int i = 0; i < 10; i++) {
        bench_wait(&b, PERIOD);
        CU_ASSERT_EQUAL(bench_make_fresh(&b, BENCH_EPOCH, 10, b.now.unix_ns, entries, 100, 3),
                        CONFCAST_OK);
        CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
        CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_FRESH);
    }
    /* Once the root changes, the page must come. */
    entries[0].version++;
    for (int i = 0; i < 3; i++) {
        bench_wait(&b, PERIOD);
        CU_ASSERT_EQUAL(bench_make_fresh(&b, BENCH_EPOCH, 11, b.now.unix_ns, entries, 100, 3),
                        CONFCAST_OK);
        CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_STALE);
    bench_close(&b);
}

static void
fresh_of_shards_without_a_followed_scope_is_dropped_early(void)
{
    struct bench b;
    struct cfc_head head;

    open_with_head(&b, &head);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 10, &head), CONFCAST_OK);
    b.verifications = 0;
    b.frame[8] = BENCH_SHARD + 1; /* the key of the frame header */
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_WRONG_STREAM);
    CU_ASSERT_EQUAL(b.verifications, 0);
    bench_close(&b);
}

static void
a_scope_that_does_not_exist_is_not_asked_for_once_that_is_proved(void)
{
    struct bench b;
    struct cfc_head head;
    struct cfc_fresh_entry none;
    uint64_t mask = 0;

    bench_open(&b);
    bench_link(&b);
    CU_ASSERT(is_head_wanted(&b, 20 * CFC_MS, &mask));
    CU_ASSERT_EQUAL(mask, 1);
    /* The shard of an unknown scope shows only when it is listed once. */
    head = head_of(&b, 10);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 10, &head), CONFCAST_OK);
    CU_ASSERT(is_head_wanted(&b, 20 * CFC_MS, &mask));
    CU_ASSERT_EQUAL(mask, 10);
    bench_wait(&b, PERIOD);
    CU_ASSERT_EQUAL(bench_make_fresh(&b, BENCH_EPOCH, 11, b.now.unix_ns, &none, 0, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    CU_ASSERT_FALSE(is_head_wanted(&b, PERIOD, &mask));
    bench_close(&b);
}

static void
two_signatures_of_one_moment_are_a_replay(void)
{
    struct bench b;
    struct cfc_head head;
    struct cfc_fresh_entry none;

    open_with_head(&b, &head);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 20, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_make_fresh(&b, BENCH_EPOCH, 20, b.now.unix_ns, &none, 0, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_REPLAY);
    bench_close(&b);
}

static void
a_higher_sequence_is_news_though_the_owners_clock_stepped_back(void)
{
    struct bench b;
    struct cfc_head head;
    struct cfc_fresh_entry none;

    open_with_head(&b, &head);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 20, &head), CONFCAST_OK);
    b.now.unix_ns -= 60 * CFC_S;
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 21, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(freshness(&b), CFC_FRESHNESS_FRESH);
    /* From then on that clock counts, and what was signed before is old. */
    CU_ASSERT_EQUAL(bench_make_fresh(&b, BENCH_EPOCH, 21, b.now.unix_ns - 1, &none, 0, 0),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_REPLAY);
    CU_ASSERT_EQUAL(bench_make_fresh(&b, BENCH_EPOCH, 20, b.now.unix_ns + 60 * CFC_S, &none, 0, 0),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_ROLLBACK);
    bench_wait(&b, PERIOD);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 21, &head), CONFCAST_OK);
    bench_close(&b);
}

static void
a_list_that_falls_behind_takes_back_nothing_that_was_proved(void)
{
    struct bench b;
    struct cfc_head head;
    uint64_t mask = 0;

    open_with_head(&b, &head);
    bench_link(&b);
    head = head_of(&b, 12);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 20, &head), CONFCAST_OK);
    bench_wait(&b, PERIOD);
    head = head_of(&b, 10);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 21, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_scope(&b).published, 12);
    CU_ASSERT(is_head_wanted(&b, PERIOD, &mask));
    CU_ASSERT_EQUAL(mask, 12);
    bench_close(&b);
}

static void
the_reason_of_an_old_refusal_does_not_stick_to_the_next_version(void)
{
    struct bench b;
    struct cfc_head head;

    open_with_head(&b, &head);
    head = head_of(&b, 11);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 11, &head), CONFCAST_OK);
    b.verdict = CONFCAST_ERR_AUTHORITY;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.reason, -CONFCAST_ERR_AUTHORITY);
    b.verdict = CONFCAST_OK;
    bench_wait(&b, PERIOD);
    head = head_of(&b, 12);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 12, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.reason, 0);
    bench_close(&b);
}

static void
a_floor_without_its_head_fences_fresh_of_a_lower_epoch(void)
{
    struct bench b;
    struct cfc_head head;

    bench_open(&b);
    CU_ASSERT_EQUAL(cfc_receiver_restore(b.r, b.scope, BENCH_EPOCH, 10, NULL, 0, &b.now),
                    CONFCAST_OK);
    head = head_of(&b, 12);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH - 1, 12, &head), CONFCAST_ERR_FENCED);
    CU_ASSERT_EQUAL(bench_scope(&b).published, 0);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 12, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_scope(&b).published, 12);
    bench_close(&b);
}

static void
who_is_advised_to_pull_asks_for_heads_and_for_what_pulling_does_not_bring(void)
{
    struct cfc_nack_entry want = {0};
    struct cfc_digest content = digest_of(1);
    struct cfc_advice advice = {.kind = CFC_ADVICE_PULL, .hold_s = 300, .session = 77, .seq = 1};
    struct cfc_head head;
    struct bench b;

    bench_open(&b);
    bench_link(&b);
    advice.boot_id = b.boot_id;
    CU_ASSERT_EQUAL(cfc_advice_encode(&advice, &b.session_key, b.frame, sizeof(b.frame), &b.size),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    CU_ASSERT(cfc_receiver_is_pull_advised(b.r, &b.now));
    cfc_receiver_set_pull(b.r, CFC_PULL_BESIDE, CFC_S, &b.now);
    cfc_receiver_pull_ended(b.r, true, &b.now);
    CU_ASSERT(is_wanted(&b, CFC_WANT_HEAD, CFC_S, &want));

    head = bench_head(&b, 10, &content);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    cfc_receiver_pull_ended(b.r, true, &b.now);
    CU_ASSERT_FALSE(is_wanted(&b, CFC_WANT_CONTENT, CFC_RECEIVER_PULL_GRACE_NS - 1, &want));
    cfc_receiver_pull_ended(b.r, true, &b.now);
    CU_ASSERT_FALSE(is_wanted(&b, CFC_WANT_CONTENT, CFC_RECEIVER_PULL_GRACE_NS - 1, &want));
    /* Pulling hangs, ... */
    CU_ASSERT(is_wanted(&b, CFC_WANT_CONTENT, CFC_S, &want));
    cfc_receiver_pull_ended(b.r, true, &b.now);
    CU_ASSERT_FALSE(is_wanted(&b, CFC_WANT_CONTENT, 4 * CFC_S, &want));
    /* ... or fails. */
    cfc_receiver_pull_ended(b.r, false, &b.now);
    CU_ASSERT(is_wanted(&b, CFC_WANT_CONTENT, CFC_S, &want));
    bench_close(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(freshness_is_unknown_until_the_first_fresh),
    CFC_CASE(three_missing_periods_are_stale_and_unload_nothing),
    CFC_CASE(an_engine_that_lives_on_while_fresh_stands_still_is_control_silence),
    CFC_CASE(a_replayed_fresh_keeps_nothing_fresh),
    CFC_CASE(epoch_sequence_and_time_are_monotone_and_a_new_owners_clock_may_lag),
    CFC_CASE(fresh_has_a_validity_too),
    CFC_CASE(a_forged_fresh_changes_nothing_and_is_checked_once),
    CFC_CASE(one_signature_per_period_covers_all_pages_and_each_page_needs_its_proof),
    CFC_CASE(a_higher_listed_version_is_asked_for),
    CFC_CASE(another_head_at_this_version_is_asked_for_only_when_a_new_owner_signed_it),
    CFC_CASE(a_published_head_that_was_refused_is_not_fetched_over_and_over),
    CFC_CASE(forged_heads_do_not_slow_down_the_asking),
    CFC_CASE(a_page_that_does_not_come_for_two_periods_is_asked_for),
    CFC_CASE(an_unchanged_root_proves_a_scope_without_its_page),
    CFC_CASE(fresh_of_shards_without_a_followed_scope_is_dropped_early),
    CFC_CASE(a_scope_that_does_not_exist_is_not_asked_for_once_that_is_proved),
    CFC_CASE(two_signatures_of_one_moment_are_a_replay),
    CFC_CASE(a_higher_sequence_is_news_though_the_owners_clock_stepped_back),
    CFC_CASE(a_list_that_falls_behind_takes_back_nothing_that_was_proved),
    CFC_CASE(the_reason_of_an_old_refusal_does_not_stick_to_the_next_version),
    CFC_CASE(a_floor_without_its_head_fences_fresh_of_a_lower_epoch),
    CFC_CASE(who_is_advised_to_pull_asks_for_heads_and_for_what_pulling_does_not_bring),
};

CFC_TEST_MAIN("receiver_fresh", cases)
