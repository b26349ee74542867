/* Small contents whose CONTENT frame is believed until something does not fit. */
#include "tests/unit/receiver_decisions.h"

/* One block of a small body, which a verified head names. */
static void
open_with_small(struct bench *b, struct made *m)
{
    struct cfc_head head;

    bench_open(b);
    made_content(b, m, 700);
    head = bench_head(b, 10, &m->id);
    decide(b, &head);
    b->verifications = 0;
}

static void
close_served(struct bench *b, struct made *m)
{
    bench_run_owner(b);
    CU_ASSERT_EQUAL(bench_scope(b).entry.state, CFC_APPLY_APPLIED);
    CU_ASSERT(is_last_served(b, &m->id));
    made_free(m);
    bench_close(b);
    CU_ASSERT_EQUAL(b->heap.live_count, 0);
}

static void
a_small_content_that_fits_its_head_needs_no_signature_of_its_own(void)
{
    struct bench b;
    struct made m;

    open_with_small(&b, &m);
    bench_send_all(&b, &m);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK); /* closes the pass */
    CU_ASSERT_EQUAL(b.verifications, 0);
    close_served(&b, &m);

    /* A receiver that ends in the middle of it leaves nothing behind. */
    open_with_small(&b, &m);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    made_free(&m);
    bench_close(&b);
    CU_ASSERT_EQUAL(b.heap.live_count, 0);
}

static void
a_large_content_is_verified_before_it_takes_memory(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;

    bench_open(&b);
    made_content(&b, &m, 801); /* a symbol of the second block */
    head = bench_head(&b, 10, &m.id);
    decide(&b, &head);
    b.verifications = 0;
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    CU_ASSERT_EQUAL(b.verifications, 1);
    made_free(&m);
    bench_close(&b);
}

/* Whoever sends in the engine's name has nothing else given up for it. */
static void
a_small_content_that_others_must_go_for_is_verified_first(void)
{
    struct bench b;
    struct made m, fallback;
    struct cfc_head head;

    bench_prepare(&b);
    b.config.budget_size = 1200;
    CU_ASSERT_EQUAL_FATAL(cfc_receiver_new(&b.config, &b.r), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1, &b.scope),
                    CONFCAST_OK);
    made_content(&b, &m, 700);
    made_content(&b, &fallback, 600);
    head = bench_head(&b, 10, &m.id);
    head.arms[0].fallback = fallback.id;
    decide(&b, &head);
    b.verifications = 0;
    CU_ASSERT_EQUAL(bench_send_content(&b, &fallback), CONFCAST_OK);
    CU_ASSERT_EQUAL(b.verifications, 0);
    bench_make_content(&b, &m);
    b.frame[120] ^= 1; /* a top digest */
    CU_ASSERT_NOT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    CU_ASSERT_EQUAL(b.verifications, 1);
    CU_ASSERT_EQUAL(bench_send_page(&b, &fallback, 0, 0), CONFCAST_OK); /* it is still there */
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    CU_ASSERT_EQUAL(b.verifications, 2);
    made_free(&m);
    made_free(&fallback);
    bench_close(&b);
}

/* A forger is faster than the engine: with a top digest of his own, then with nothing but a wrong
 * signature. */
static void
a_forged_small_content_goes_when_the_genuine_one_comes(void)
{
    struct bench b;
    struct made m;

    open_with_small(&b, &m);
    bench_make_content(&b, &m);
    b.frame[120] ^= 1; /* a top digest */
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    CU_ASSERT_EQUAL(b.verifications, 0);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    CU_ASSERT_EQUAL(b.verifications, 2); /* the forged one, then the genuine */
    bench_make_content(&b, &m);
    b.frame[120] ^= 1;
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK); /* no news of what is collected */
    CU_ASSERT_EQUAL(b.verifications, 2);
    bench_send_all(&b, &m);
    close_served(&b, &m);
}

static void
a_page_or_symbol_that_does_not_fit_has_a_small_content_proved(void)
{
    struct bench b;
    struct made m;

    /* The CONTENT is forged. */
    open_with_small(&b, &m);
    bench_make_content(&b, &m);
    b.frame[120] ^= 1;
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_page(&b, &m, 0, 0), CONFCAST_ERR_DIGEST);
    CU_ASSERT_EQUAL(b.verifications, 1);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    CU_ASSERT_EQUAL(b.verifications, 2); /* at once, from now on */
    bench_send_all(&b, &m);
    close_served(&b, &m);

    /* The symbol is. */
    open_with_small(&b, &m);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_page(&b, &m, 0, 0), CONFCAST_OK);
    for (int i = 0; i < 2; i++) {
        bench_make_source(&b, &m, 0, 0);
        b.frame[b.size - 1] ^= 1;
        CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_DIGEST);
        CU_ASSERT_EQUAL(b.verifications, 1);
    }
    bench_send_all(&b, &m);
    close_served(&b, &m);
}

static void
nobody_is_asked_for_what_only_a_forged_content_names(void)
{
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    struct bench b;
    struct made m;
    struct cfc_head head;

    for (int is_forged = 0; is_forged < 2; is_forged++) {
        bench_open(&b);
        bench_link(&b);
        made_content(&b, &m, 700);
        head = bench_head(&b, 10, &m.id);
        decide(&b, &head);
        b.verifications = 0;
        bench_make_content(&b, &m);
        b.frame[b.size - 1] ^= (uint8_t)is_forged; /* of the signature */
        CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
        CU_ASSERT_EQUAL(b.verifications, 0);
        CU_ASSERT_EQUAL_FATAL(bench_await_nack(&b, CFC_S, entries), is_forged ? 1 : 2);
        CU_ASSERT_EQUAL(b.verifications, 1);
        CU_ASSERT_EQUAL(entries[0].want, is_forged ? CFC_WANT_CONTENT : CFC_WANT_PAGE);
        bench_send_all(&b, &m);
        close_served(&b, &m);
    }
}

/* All of it is forged, and fits together: the owner finds that it is not what the head names. */
static void
a_whole_forgery_of_a_small_content_does_not_condemn_it(void)
{
    struct bench b;
    struct made m, forged;

    open_with_small(&b, &m);
    made_content(&b, &forged, 700);
    forged.id = forged.content.content = m.id;
    CU_ASSERT_EQUAL_FATAL(cfc_tree_init(&forged.tree, &forged.content), CONFCAST_OK);
    cfc_tree_build(&forged.tree, b.sha, forged.body, forged.repairs, forged.digests);
    bench_make_content(&b, &forged);
    b.frame[b.size - 1] ^= 1; /* which nobody but the control plane can sign */
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_page(&b, &forged, 0, 0), CONFCAST_OK);
    bench_send_block(&b, &forged, 0);
    CU_ASSERT_EQUAL(b.verifications, 0);
    b.content_code = CONFCAST_ERR_DIGEST;
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(b.verifications, 1);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 0);
    b.content_code = 1;
    bench_send_all(&b, &m);
    made_free(&forged);
    close_served(&b, &m);
}

static void
a_genuine_small_content_that_the_owner_refuses_is_refused(void)
{
    struct bench b;
    struct made m;

    open_with_small(&b, &m);
    bench_send_all(&b, &m);
    b.content_code = CONFCAST_ERR_BODY;
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(b.verifications, 1);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 1);
    made_free(&m);
    bench_close(&b);
}

/* A small content to serve and a large one of another arm, both wanted. */
static void
open_with_both(struct bench *b, struct made *m, struct made *large)
{
    struct cfc_head head;

    bench_open(b);
    bench_link(b);
    made_content(b, m, 700);
    made_content(b, large, 801);
    head = bench_head(b, 10, &m->id);
    head.arm_count = 2;
    head.arms[1] = head.arms[0];
    head.arms[0].selector = CFC_SELECT_COHORT;
    head.arms[0].threshold = 0;
    head.arms[0].content = large->id;
    decide(b, &head);
}

/* Forges CONTENTs of the large one until none is checked any more. */
static void
spend_checks(struct bench *b, const struct made *large)
{
    static uint32_t forged;
    int code;

    do {
        bench_make_content(b, large);
        forged++;
        memcpy(b->frame + b->size - sizeof(forged), &forged, sizeof(forged));
        code = bench_deliver(b);
    } while (code == CONFCAST_ERR_SIGNATURE);
    CU_ASSERT_EQUAL(code, CONFCAST_ERR_LIMIT);
}

static void
close_both(struct bench *b, struct made *m, struct made *large)
{
    made_free(large);
    close_served(b, m);
}

static void
a_small_content_that_cannot_be_checked_now_is_not_given_up(void)
{
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    struct bench b;
    struct made m, large;
    uint32_t count, nacks = 0, frames = 0;

    open_with_both(&b, &m, &large);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    spend_checks(&b, &large);
    /* What differs, and what does not fit. */
    bench_make_content(&b, &m);
    b.frame[120] ^= 1;
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_LIMIT);
    bench_make_page(&b, &m, 0, 0);
    b.frame[b.size - 1] ^= 1;
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_DIGEST);
    /* Nobody is asked for the rest as long as there are no checks to be had. */
    for (uint32_t i = 0; i < 40; i++) {
        struct cfc_frame frame;
        struct cfc_nack nack;

        bench_wait(&b, CFC_MS);
        spend_checks(&b, &large);
        while (bench_poll(&b, &frame) == CFC_FRAME_NACK) {
            frames++;
            CU_ASSERT_EQUAL_FATAL(cfc_nack_decode(&frame, &nack), CONFCAST_OK);
            for (uint32_t k = 0; k < nack.entry_count; k++) {
                cfc_nack_entry_at(&nack, k, &entries[k]);
                CU_ASSERT_EQUAL(entries[k].key, cfc_digest_key(&large.id));
            }
        }
        CU_ASSERT(cfc_receiver_deadline(b.r) > b.now.mono_ns);
    }
    CU_ASSERT(frames > 0);
    do {
        count = bench_await_nack(&b, CFC_S, entries);
        CU_ASSERT_FATAL(count > 0 && nacks++ < 100);
    } while (find_want(entries, count, CFC_WANT_PAGE) == NULL);
    CU_ASSERT_EQUAL(bench_send_page(&b, &m, 0, 0), CONFCAST_OK);
    bench_send_block(&b, &m, 0);
    close_both(&b, &m, &large);
}

static void
a_refusal_waits_for_the_check_of_what_was_refused(void)
{
    struct bench b;
    struct made m, large;

    open_with_both(&b, &m, &large);
    bench_send_all(&b, &m);
    spend_checks(&b, &large);
    b.content_code = CONFCAST_ERR_BODY;
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 1);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 0);
    bench_wait(&b, 100 * CFC_MS);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 2);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 1);
    made_free(&m);
    made_free(&large);
    bench_close(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_small_content_that_fits_its_head_needs_no_signature_of_its_own),
    CFC_CASE(a_small_content_that_others_must_go_for_is_verified_first),
    CFC_CASE(a_large_content_is_verified_before_it_takes_memory),
    CFC_CASE(a_forged_small_content_goes_when_the_genuine_one_comes),
    CFC_CASE(a_page_or_symbol_that_does_not_fit_has_a_small_content_proved),
    CFC_CASE(nobody_is_asked_for_what_only_a_forged_content_names),
    CFC_CASE(a_whole_forgery_of_a_small_content_does_not_condemn_it),
    CFC_CASE(a_genuine_small_content_that_the_owner_refuses_is_refused),
    CFC_CASE(a_small_content_that_cannot_be_checked_now_is_not_given_up),
    CFC_CASE(a_refusal_waits_for_the_check_of_what_was_refused),
};

CFC_TEST_MAIN("receiver_believed", cases)
