/* Which heads a receiver accepts, and what it costs an attacker to make it look at others. */
#include "tests/unit/cunit_main.h"
#include "tests/unit/receiver_fixture.h"

static void
accept_version(struct bench *b, uint64_t version)
{
    struct cfc_digest content = digest_of(0xaa);
    struct cfc_head head = bench_head(b, version, &content);

    CU_ASSERT_EQUAL_FATAL(bench_send_head(b, &head), CONFCAST_OK);
    bench_run_owner(b);
    CU_ASSERT_EQUAL(bench_scope(b).entry.accepted, version);
}

static uint64_t
errors_of(const struct bench *b, int code)
{
    return cfc_receiver_stats(b->r)->errors[-code];
}

static void
an_older_version_is_a_rollback_whatever_its_epoch(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    accept_version(&b, 10);
    head = bench_head(&b, 9, &content);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_ERR_ROLLBACK);
    head.epoch = BENCH_EPOCH + 100;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_ERR_ROLLBACK);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.accepted, 10);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.epoch, BENCH_EPOCH);
    CU_ASSERT_EQUAL(errors_of(&b, CONFCAST_ERR_ROLLBACK), 2);
    CU_ASSERT_EQUAL(b.verifications, 2); /* the head, and whether it speaks for its shard */
    bench_close(&b);
}

/* Sends a head of a second scope at an epoch below that of the first one's, after both were
 * followed. */
static int
send_other_scope_at_a_lower_epoch(struct bench *b)
{
    struct cfc_digest content = digest_of(2);
    struct cfc_head head;
    uint32_t other = 0;

    CU_ASSERT_EQUAL_FATAL(cfc_receiver_subscribe(b->r, "acme/other", 10, &other), CONFCAST_OK);
    accept_version(b, 10);
    head = bench_head(b, 11, &content);
    head.scope = "acme/other";
    head.scope_size = 10;
    head.epoch = BENCH_EPOCH - 1;
    return bench_send_head(b, &head);
}

static void
a_head_fences_its_whole_shard_only_under_a_key_for_the_whole_shard(void)
{
    struct bench b;

    bench_open(&b);
    CU_ASSERT_EQUAL(send_other_scope_at_a_lower_epoch(&b), CONFCAST_ERR_FENCED);
    bench_close(&b);

    bench_open(&b);
    b.is_confined = true;
    CU_ASSERT_EQUAL(send_other_scope_at_a_lower_epoch(&b), CONFCAST_OK);
    bench_close(&b);
}

static void
a_lower_epoch_is_fenced_even_with_a_newer_version(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    accept_version(&b, 10);
    head = bench_head(&b, 11, &content);
    head.epoch = BENCH_EPOCH - 1;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_ERR_FENCED);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.accepted, 10);
    head.epoch = BENCH_EPOCH;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_close(&b);
}

static void
late_heads_of_the_old_owner_are_fenced_once_fresh_shows_the_new_one(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head old, head;

    bench_open(&b);
    accept_version(&b, 10);
    old = bench_head(&b, 12, &content);
    head = bench_head(&b, 11, &content);
    head.epoch = BENCH_EPOCH + 1;
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH + 1, 11, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_head(&b, &old), CONFCAST_ERR_FENCED);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.epoch, BENCH_EPOCH + 1);
    bench_close(&b);
}

static void
the_same_head_again_is_a_duplicate_and_costs_no_signature(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    head = bench_head(&b, 10, &content);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(b.verifications, 2); /* the head, and whether it speaks for its shard */
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_ACCEPTED), 1);
    bench_close(&b);
}

static void
another_decision_under_one_version_is_equivocation_and_both_are_kept_as_evidence(void)
{
    struct bench b;
    struct cfc_digest first = digest_of(1), second = digest_of(2);
    struct cfc_head head, other;
    uint8_t digests[2][CFC_SHORT_DIGEST_SIZE];
    struct cfc_receiver_scope scope;

    bench_open(&b);
    head = bench_head(&b, 10, &first);
    other = bench_head(&b, 10, &second);
    bench_digest_of(&b, &head, digests[0]);
    bench_digest_of(&b, &other, digests[1]);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_head(&b, &other), CONFCAST_ERR_EQUIVOCATION);
    scope = bench_scope(&b);
    CU_ASSERT_EQUAL(scope.equivocations, 1);
    CU_ASSERT_EQUAL(scope.evidence_version, 10);
    CU_ASSERT_EQUAL(memcmp(scope.evidence, digests, sizeof(digests)), 0);
    /* A higher epoch does not make it one decision. */
    other.epoch = BENCH_EPOCH + 1;
    CU_ASSERT_EQUAL(bench_send_head(&b, &other), CONFCAST_ERR_EQUIVOCATION);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_ACCEPTED), 1);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.epoch, BENCH_EPOCH);
    bench_close(&b);
}

static void
a_forged_second_decision_is_no_equivocation(void)
{
    struct bench b;
    struct cfc_digest second = digest_of(2);
    struct cfc_head other;

    bench_open(&b);
    accept_version(&b, 10);
    other = bench_head(&b, 10, &second);
    bench_make_head(&b, &other);
    b.frame[b.size - 1] ^= 1;
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_SIGNATURE);
    CU_ASSERT_EQUAL(bench_scope(&b).equivocations, 0);
    bench_close(&b);
}

static void
a_new_owner_may_repeat_a_decision_and_the_arm_stays(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    const struct cfc_label label = {"zone", "eu-1", 4, 4};
    struct cfc_head head;

    bench_open(&b);
    CU_ASSERT_EQUAL(cfc_receiver_set_labels(b.r, &label, 1), CONFCAST_OK);
    head = bench_head(&b, 10, &content);
    head.arm_count = 2;
    head.arms[1] = head.arms[0];
    head.arms[0].selector = CFC_SELECT_LABEL;
    head.arms[0].label_key = "zone";
    head.arms[0].label_key_size = 4;
    head.arms[0].label_value = "eu-1";
    head.arms[0].label_value_size = 4;
    head.arms[1].content = digest_of(2);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.arm, 0);

    CU_ASSERT_EQUAL(cfc_receiver_set_labels(b.r, NULL, 0), CONFCAST_OK);
    bench_run_owner(&b);
    bench_forget(&b);
    head.epoch++;
    head.issued_unix_ns += CFC_S;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_ACCEPTED), 1);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.epoch, BENCH_EPOCH + 1);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.arm, 0);

    /* The next version chooses anew. */
    head.version++;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.arm, 1);
    bench_close(&b);
}

static void
the_arm_is_the_first_whose_selector_matches(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;
    uint32_t cohort;

    bench_open(&b);
    head = bench_head(&b, 10, &content);
    head.rollout_salt = 42;
    cohort = cfc_cohort(b.sha, 42, BENCH_ID, sizeof(BENCH_ID) - 1);
    head.arm_count = 2;
    head.arms[1] = head.arms[0];
    head.arms[0].selector = CFC_SELECT_COHORT;
    head.arms[0].threshold = cohort;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.arm, 1);
    head.version++;
    head.arms[0].threshold = cohort + 1;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.arm, 0);
    bench_close(&b);
}

static void
a_version_far_beyond_the_signed_sequence_is_refused_as_a_jump(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head, listed;

    bench_open(&b);
    accept_version(&b, 10);
    head = bench_head(&b, 10 + CFC_VERSION_JUMP_MAX + 1, &content);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_ERR_JUMP);
    /* A signed sequence vouches for more. */
    listed = bench_head(&b, 11, &content);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 11, &listed), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    head.version = 10 + CFC_VERSION_JUMP_MAX + 1 + CFC_VERSION_JUMP_MAX;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_close(&b);
}

static void
validity_is_checked_to_the_nanosecond(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    head = bench_head(&b, 10, &content);
    head.issued_unix_ns = b.now.unix_ns + 300 * CFC_S + 1;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_ERR_NOT_YET_VALID);
    head.issued_unix_ns--;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    head.version = 11;
    head.not_after_unix_ns = b.now.unix_ns - 1;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_ERR_EXPIRED);
    head.not_after_unix_ns = b.now.unix_ns;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_close(&b);
}

static void
expiry_of_the_accepted_head_unloads_nothing(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;

    bench_open(&b);
    made_content(&b, &m, 500);
    head = bench_head(&b, 10, &m.id);
    head.not_after_unix_ns = b.now.unix_ns + CFC_S;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_run_owner(&b);
    bench_send_all(&b, &m);
    bench_run_owner(&b);
    bench_forget(&b);
    bench_wait(&b, 3600 * CFC_S);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(b.event_count, 0);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    made_free(&m);
    bench_close(&b);
}

static void
heads_of_other_scopes_are_dropped_before_anything_costly(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    head = bench_head(&b, 10, &content);
    head.scope = "evil/checkout/prod";
    head.scope_size = 18;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_ERR_WRONG_STREAM);
    CU_ASSERT_EQUAL(b.verifications, 0);
    bench_close(&b);
}

static void
no_flipped_bit_of_a_head_is_accepted(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;
    size_t size;

    bench_open(&b);
    accept_version(&b, 10);
    head = bench_head(&b, 11, &content);
    bench_make_head(&b, &head);
    size = b.size;
    for (size_t bit = 0; bit < size * 8; bit++) {
        b.frame[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        bench_wait(&b, 2 * CFC_MS); /* lets the cap on checks recover */
        /* The bit that makes it an unknown skippable type yields OK, and no more. */
        CU_ASSERT((bench_deliver(&b) != CONFCAST_OK) == (bit != 3 * 8 + 7));
        CU_ASSERT_EQUAL(bench_scope(&b).entry.accepted, 10);
        b.frame[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    CU_ASSERT_EQUAL(bench_scope(&b).entry.accepted, 10);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.accepted, 11);
    bench_close(&b);
}

static void
a_key_without_authority_changes_nothing(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    accept_version(&b, 10);
    head = bench_head(&b, 11, &content);
    b.verdict = CONFCAST_ERR_AUTHORITY;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.accepted, 10);
    /* Nor is it remembered against the head: the key ring may learn the key. */
    b.verdict = CONFCAST_OK;
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    bench_close(&b);
}

static void
send_forged(struct bench *b, uint64_t salt)
{
    struct cfc_digest content = digest_of(3);
    struct cfc_head head = bench_head(b, 50, &content);

    head.rollout_salt = salt;
    bench_make_head(b, &head);
    b->frame[b->size - 1] ^= 1;
    (void)bench_deliver(b);
}

static void
a_flood_of_forged_heads_is_capped_and_the_announced_one_gets_through(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    accept_version(&b, 10);
    head = bench_head(&b, 11, &content);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 11, &head), CONFCAST_OK);
    b.verifications = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        send_forged(&b, i);
    }
    /* A burst of 256, of which the accepted head took one. */
    CU_ASSERT_EQUAL(b.verifications, 255);
    CU_ASSERT_EQUAL(errors_of(&b, CONFCAST_ERR_LIMIT), 2000 - 255);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.accepted, 11);
    /* A tenth of a second later the cap has recovered by its rate. */
    bench_wait(&b, 100 * CFC_MS);
    b.verifications = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        send_forged(&b, 10000 + i);
    }
    CU_ASSERT_EQUAL(b.verifications, 100);
    bench_close(&b);
}

static void
the_same_forgery_is_checked_once(void)
{
    struct bench b;

    bench_open(&b);
    for (int i = 0; i < 100; i++) {
        send_forged(&b, 7);
    }
    CU_ASSERT_EQUAL(b.verifications, 1);
    CU_ASSERT_EQUAL(errors_of(&b, CONFCAST_ERR_SIGNATURE), 100);
    bench_close(&b);
}

static void
a_newer_head_that_this_build_cannot_read_shows_in_the_report(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;
    static const uint8_t unknown_critical[4] = {0x99, 0x80, 0, 0};

    bench_open(&b);
    accept_version(&b, 10);
    head = bench_head(&b, 11, &content);
    bench_make_head(&b, &head);
    memcpy(b.frame + b.size, unknown_critical, sizeof(unknown_critical));
    b.size += sizeof(unknown_critical);
    cfc_put_u16(b.frame + 4, (uint16_t)b.size);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_UNSUPPORTED);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.reason, 0);
    /* Only the proof that there is a newer head makes it worth telling. */
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 11, &head), CONFCAST_OK);
    bench_make_head(&b, &head);
    memcpy(b.frame + b.size, unknown_critical, sizeof(unknown_critical));
    b.size += sizeof(unknown_critical);
    cfc_put_u16(b.frame + 4, (uint16_t)b.size);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_UNSUPPORTED);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.reason, -CONFCAST_ERR_UNSUPPORTED);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.reason, 0);
    bench_close(&b);
}

static void
the_floor_holds_after_a_restart_without_its_head(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    CU_ASSERT_EQUAL(cfc_receiver_restore(b.r, b.scope, BENCH_EPOCH, 10, NULL, 0, &b.now),
                    CONFCAST_OK);
    head = bench_head(&b, 9, &content);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_ERR_ROLLBACK);
    head.version = 10;
    head.epoch = BENCH_EPOCH - 1;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_ERR_FENCED);
    head.epoch = BENCH_EPOCH;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_ACCEPTED), 1);
    bench_close(&b);
}

static void
a_restored_head_serves_what_is_held_though_it_expired(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    head = bench_head(&b, 10, &content);
    head.not_after_unix_ns = b.now.unix_ns + CFC_S;
    bench_make_head(&b, &head);
    bench_wait(&b, 3600 * CFC_S);
    CU_ASSERT_EQUAL(cfc_receiver_restore(b.r, b.scope, BENCH_EPOCH, 10, b.frame, b.size, &b.now),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_content_held(b.r, &content), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_ACCEPTED), 0);
    CU_ASSERT_EQUAL_FATAL(bench_count(&b, CFC_EVENT_SERVE), 1);
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_SERVE)->version, 10);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.flags & CFC_REPORT_FLAG_FROM_DISK,
                    CFC_REPORT_FLAG_FROM_DISK);
    bench_close(&b);
}

static void
a_restored_head_that_is_not_at_the_floor_is_refused_and_the_floor_counts(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    head = bench_head(&b, 9, &content);
    bench_make_head(&b, &head);
    CU_ASSERT_EQUAL(cfc_receiver_restore(b.r, b.scope, BENCH_EPOCH, 10, b.frame, b.size, &b.now),
                    CONFCAST_ERR_ROLLBACK);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.accepted, 10);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_ERR_ROLLBACK);
    bench_close(&b);

    bench_open(&b);
    head.version = 10;
    bench_make_head(&b, &head);
    b.frame[b.size - 1] ^= 1;
    CU_ASSERT_EQUAL(cfc_receiver_restore(b.r, b.scope, BENCH_EPOCH, 10, b.frame, b.size, &b.now),
                    CONFCAST_ERR_SIGNATURE);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.accepted, 10);
    bench_close(&b);
}

static void
without_memory_a_head_is_refused_whole_and_accepted_later(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;
    size_t n = 0;
    int code;

    do {
        size_t live_count;

        bench_open(&b);
        accept_version(&b, 10);
        live_count = b.heap.live_count;
        head = bench_head(&b, 11, &content);
        head.shard = BENCH_SHARD + 1;
        head.arms[0].fallback = digest_of(2);
        b.heap.call_count = 0;
        b.heap.fail_at = ++n;
        code = bench_send_head(&b, &head);
        b.heap.fail_at = 0;
        if (code != CONFCAST_OK) {
            CU_ASSERT_EQUAL(code, CONFCAST_ERR_NO_MEMORY);
            CU_ASSERT_EQUAL(bench_scope(&b).entry.accepted, 10);
            CU_ASSERT_EQUAL(b.heap.live_count, live_count);
            CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
        }
        CU_ASSERT_EQUAL(bench_scope(&b).entry.accepted, 11);
        bench_close(&b);
        CU_ASSERT_EQUAL(b.heap.live_count, 0);
    } while (code != CONFCAST_OK && n < 100);
    CU_ASSERT(n > 3);
}

static void
an_accepted_head_fences_the_whole_shard(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;
    uint32_t other;

    bench_open(&b);
    CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, "acme/other", 10, &other), CONFCAST_OK);
    head = bench_head(&b, 10, &content);
    head.epoch = BENCH_EPOCH + 1;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    head.scope = "acme/other";
    head.scope_size = 10;
    head.epoch = BENCH_EPOCH;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_ERR_FENCED);
    /* Another shard has an epoch of its own. */
    head.shard = BENCH_SHARD + 1;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_close(&b);
}

static void
what_was_served_before_a_restart_is_kept_until_the_accepted_head_can_be(void)
{
    struct bench b;
    struct cfc_digest old = digest_of(1), next = digest_of(2);
    struct cfc_head head;

    bench_open(&b);
    head = bench_head(&b, 11, &next);
    bench_make_head(&b, &head);
    CU_ASSERT_EQUAL(cfc_receiver_restore(b.r, b.scope, BENCH_EPOCH, 11, b.frame, b.size, &b.now),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(
        cfc_receiver_restore_serving(b.r, b.scope, BENCH_EPOCH, 10, &old, CFC_APPLY_APPLIED),
        CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(cfc_receiver_content_held(b.r, &old), CONFCAST_OK);
    CU_ASSERT_EQUAL(
        cfc_receiver_restore_serving(b.r, b.scope, BENCH_EPOCH, 12, &old, CFC_APPLY_APPLIED),
        CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(
        cfc_receiver_restore_serving(b.r, b.scope, BENCH_EPOCH, 10, &old, CFC_APPLY_REJECTED),
        CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(
        cfc_receiver_restore_serving(b.r, b.scope + 1, BENCH_EPOCH, 10, &old, CFC_APPLY_APPLIED),
        CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(
        cfc_receiver_restore_serving(b.r, b.scope, BENCH_EPOCH, 10, &old, CFC_APPLY_APPLIED),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(
        cfc_receiver_restore_serving(b.r, b.scope, BENCH_EPOCH, 10, &old, CFC_APPLY_APPLIED),
        CONFCAST_ERR_BUSY);
    CU_ASSERT_EQUAL(cfc_receiver_served(b.r, b.scope, CONFCAST_OK, &b.now), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_RELEASE), 0);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.serving_version, 10);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_RECEIVING);
    CU_ASSERT_EQUAL(cfc_receiver_content_held(b.r, &next), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.serving_version, 11);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_RELEASE), 1);
    bench_close(&b);
}

static void
a_restart_does_not_undo_a_revert_when_the_clock_is_behind(void)
{
    struct bench b;
    struct cfc_digest old = digest_of(1), next = digest_of(2);
    struct cfc_head head;

    bench_open(&b);
    head = bench_head(&b, 11, &next);
    head.arms[0].fallback = old;
    head.confirm_by_unix_ns = b.now.unix_ns + CFC_S; /* it had passed for the last process */
    bench_make_head(&b, &head);
    CU_ASSERT_EQUAL(cfc_receiver_restore(b.r, b.scope, BENCH_EPOCH, 11, b.frame, b.size, &b.now),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_content_held(b.r, &old), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_content_held(b.r, &next), CONFCAST_OK);
    CU_ASSERT_EQUAL(
        cfc_receiver_restore_serving(b.r, b.scope, BENCH_EPOCH, 11, &old, CFC_APPLY_REVERTED),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_served(b.r, b.scope, CONFCAST_OK, &b.now), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 0);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_REVERTED);
    bench_close(&b);
}

static void
only_a_good_head_of_this_scope_is_restored(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;
    uint32_t other;

    bench_open(&b);
    CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, "acme/other", 10, &other), CONFCAST_OK);
    head = bench_head(&b, 10, &content);
    bench_make_head(&b, &head);
    CU_ASSERT_EQUAL(cfc_receiver_restore(b.r, 9, BENCH_EPOCH, 10, b.frame, b.size, &b.now),
                    CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_receiver_restore(b.r, other, BENCH_EPOCH, 10, b.frame, b.size, &b.now),
                    CONFCAST_ERR_WRONG_STREAM);
    CU_ASSERT_EQUAL(cfc_receiver_restore(b.r, other, BENCH_EPOCH, 10, NULL, 0, &b.now),
                    CONFCAST_ERR_EXISTS);
    CU_ASSERT_EQUAL(cfc_receiver_restore(b.r, b.scope, BENCH_EPOCH, 9, b.frame, b.size, &b.now),
                    CONFCAST_ERR_INVALID);
    bench_close(&b);

    bench_open(&b);
    bench_make_head(&b, &head);
    CU_ASSERT_EQUAL(
        cfc_receiver_restore(b.r, b.scope, BENCH_EPOCH, 10, b.frame, b.size - 1, &b.now),
        CONFCAST_ERR_LENGTH);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.accepted, 10);
    bench_close(&b);
}

static void
a_head_restored_below_its_floors_epoch_keeps_the_floors(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    head = bench_head(&b, 10, &content);
    bench_make_head(&b, &head);
    /* The floor is written before the head: a crash in between leaves the older signature. */
    CU_ASSERT_EQUAL(
        cfc_receiver_restore(b.r, b.scope, BENCH_EPOCH + 1, 10, b.frame, b.size, &b.now),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.epoch, BENCH_EPOCH + 1);
    head.version = 11;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_ERR_FENCED);
    bench_close(&b);
}

static void
one_receiver_follows_several_shards(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    for (uint32_t i = 0; i < 10; i++) {
        char path[16] = "acme/s0";
        uint32_t idx;

        path[6] = (char)('0' + i);
        CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, path, 7, &idx), CONFCAST_OK);
        head = bench_head(&b, 10, &content);
        head.scope = path;
        head.scope_size = 7;
        head.shard = i;
        head.epoch = 100 - i;
        CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    }
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_ACCEPTED), 10);
    bench_close(&b);
    CU_ASSERT_EQUAL(b.heap.live_count, 0);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(an_older_version_is_a_rollback_whatever_its_epoch),
    CFC_CASE(a_head_fences_its_whole_shard_only_under_a_key_for_the_whole_shard),
    CFC_CASE(a_lower_epoch_is_fenced_even_with_a_newer_version),
    CFC_CASE(late_heads_of_the_old_owner_are_fenced_once_fresh_shows_the_new_one),
    CFC_CASE(the_same_head_again_is_a_duplicate_and_costs_no_signature),
    CFC_CASE(another_decision_under_one_version_is_equivocation_and_both_are_kept_as_evidence),
    CFC_CASE(a_forged_second_decision_is_no_equivocation),
    CFC_CASE(a_new_owner_may_repeat_a_decision_and_the_arm_stays),
    CFC_CASE(the_arm_is_the_first_whose_selector_matches),
    CFC_CASE(a_version_far_beyond_the_signed_sequence_is_refused_as_a_jump),
    CFC_CASE(validity_is_checked_to_the_nanosecond),
    CFC_CASE(expiry_of_the_accepted_head_unloads_nothing),
    CFC_CASE(heads_of_other_scopes_are_dropped_before_anything_costly),
    CFC_CASE(no_flipped_bit_of_a_head_is_accepted),
    CFC_CASE(a_key_without_authority_changes_nothing),
    CFC_CASE(a_flood_of_forged_heads_is_capped_and_the_announced_one_gets_through),
    CFC_CASE(the_same_forgery_is_checked_once),
    CFC_CASE(a_newer_head_that_this_build_cannot_read_shows_in_the_report),
    CFC_CASE(the_floor_holds_after_a_restart_without_its_head),
    CFC_CASE(a_restored_head_serves_what_is_held_though_it_expired),
    CFC_CASE(a_restored_head_that_is_not_at_the_floor_is_refused_and_the_floor_counts),
    CFC_CASE(without_memory_a_head_is_refused_whole_and_accepted_later),
    CFC_CASE(an_accepted_head_fences_the_whole_shard),
    CFC_CASE(what_was_served_before_a_restart_is_kept_until_the_accepted_head_can_be),
    CFC_CASE(a_restart_does_not_undo_a_revert_when_the_clock_is_behind),
    CFC_CASE(only_a_good_head_of_this_scope_is_restored),
    CFC_CASE(a_head_restored_below_its_floors_epoch_keeps_the_floors),
    CFC_CASE(one_receiver_follows_several_shards),
};

CFC_TEST_MAIN("receiver_heads", cases)
