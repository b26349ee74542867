#include "controlplane/publish/head_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/prng.h"
#include "protocol/trust/keyring.h"
#include "protocol/wire/content.h"
#include "tests/unit/cunit_main.h"

struct bench {
    struct cfc_signing_key key;
    struct cfc_keyring ring;
    struct cfc_sha256 *sha;
    struct cfc_coded_set *contents;
    struct cfc_head_set *heads;
    struct cfc_crew *crew; /* NULL = the sets work alone */
    struct cfc_head_set_config heads_config;
};

static struct bench
setup(void)
{
    static const uint8_t seed[32] = {9};
    struct bench b = {.ring = {.key_count = 0}};
    struct cfc_ring_key ring_key = {.prefix_count = 0};

    b.sha = cfc_sha256_new();
    cfc_signing_key_from_seed(seed, &b.key);
    memcpy(ring_key.public_key, b.key.public_key, sizeof(ring_key.public_key));
    cfc_keyring_add(&b.ring, &ring_key);
    return b;
}

static void
open_sets(struct bench *b)
{
    struct cfc_coded_set_config contents = {.symbol_size = 1440, .retained_max = 0};
    struct cfc_head_set_config heads = {.epoch = 3, .frame_size_max = 1472};

    contents.signer = cfc_signing_key_signer(&b->key);
    heads.signer = contents.signer;
    contents.crew = heads.crew = b->crew;
    CU_ASSERT_EQUAL_FATAL(cfc_coded_set_new(&contents, &b->contents), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_head_set_new(&heads, b->contents, &b->heads), CONFCAST_OK);
    b->heads_config = heads;
}

static void
teardown(struct bench *b)
{
    cfc_head_set_free(b->heads);
    cfc_coded_set_free(b->contents);
    cfc_sha256_free(b->sha);
}

static void
reopen_heads(struct bench *b)
{
    cfc_head_set_free(b->heads);
    CU_ASSERT_EQUAL_FATAL(cfc_head_set_new(&b->heads_config, b->contents, &b->heads), CONFCAST_OK);
}

static struct cfc_config_body *
body_of(struct bench *b, size_t size, uint64_t seed)
{
    struct cfc_config_body *body = malloc(sizeof(*body) + size);
    struct cfc_prng prng = {seed};

    for (size_t i = 0; i < size; i++) {
        body->body[i] = (uint8_t)cfc_prng_next(&prng);
    }
    atomic_init(&body->ref_count, 1);
    body->body_size = size;
    cfc_content_id(b->sha, body->body, size, &body->id);
    CU_ASSERT_EQUAL_FATAL(cfc_coded_set_add(b->contents, &body, 1), CONFCAST_OK);
    return body;
}

/* The same but for one byte. */
static struct cfc_config_body *
changed_body_of(struct bench *b, const struct cfc_config_body *from)
{
    struct cfc_config_body *body = malloc(sizeof(*body) + from->body_size);

    memcpy(body->body, from->body, from->body_size);
    body->body[from->body_size / 2] ^= 1;
    atomic_init(&body->ref_count, 1);
    body->body_size = from->body_size;
    cfc_content_id(b->sha, body->body, body->body_size, &body->id);
    CU_ASSERT_EQUAL_FATAL(cfc_coded_set_add(b->contents, &body, 1), CONFCAST_OK);
    return body;
}

/* Takes the body's reference over. */
static struct cfc_decision *
decision_for(const char *scope, uint64_t version, struct cfc_config_body *body)
{
    struct cfc_decision *d = calloc(1, sizeof(*d));

    atomic_init(&d->ref_count, 1);
    snprintf(d->scope, sizeof(d->scope), "%s", scope);
    d->version = version;
    d->arm_count = 1;
    d->arms[0].selector = CFC_SELECT_ALL;
    d->arms[0].content = body;
    return d;
}

static struct cfc_signed_head *
put(struct bench *b, struct cfc_decision *d)
{
    struct cfc_signed_head *head = NULL;

    CU_ASSERT_EQUAL_FATAL(cfc_head_set_prepare(b->heads, &d, 1, 1000, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_head_set_put(b->heads, head), CONFCAST_OK);
    cfc_decision_unref(d);
    return head;
}

static void
decode(struct bench *b, const struct cfc_signed_head *head, struct cfc_head *out)
{
    struct cfc_verifier verifier = cfc_keyring_verifier(&b->ring);
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(head->frame, head->frame_size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_head_decode(&frame, b->sha, out), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_head_verify(out, &verifier, 2000), CONFCAST_OK);
}

static void
a_head_says_what_the_decision_says_under_a_good_signature(void)
{
    struct bench b = setup();
    struct cfc_config_body *body;
    struct cfc_head head;

    open_sets(&b);
    body = body_of(&b, 3000, 1);
    decode(&b, put(&b, decision_for("acme/checkout", 42, body)), &head);
    CU_ASSERT_EQUAL(head.version, 42);
    CU_ASSERT_EQUAL(head.epoch, 3);
    CU_ASSERT_EQUAL(head.arm_count, 1);
    CU_ASSERT(cfc_digest_equal(&head.arms[0].content, &body->id));
    CU_ASSERT(!head.inlined.is_present); /* 3,000 random bytes do not fit */
    teardown(&b);
}

static void
a_head_carries_activation_deadline_and_fallback(void)
{
    struct bench b = setup();
    struct cfc_config_body *before;
    struct cfc_decision *d;
    struct cfc_head head;

    open_sets(&b);
    before = body_of(&b, 3000, 1);
    d = decision_for("acme", 43, body_of(&b, 3000, 2));
    d->arms[0].fallback = before;
    d->activation = CFC_ACTIVATE_AT;
    d->activate_unix_ns = 5000;
    d->confirm_by_unix_ns = 6000;
    decode(&b, put(&b, d), &head);
    CU_ASSERT_EQUAL(head.activation, CFC_ACTIVATE_AT);
    CU_ASSERT_EQUAL(head.activate_unix_ns, 5000);
    CU_ASSERT_EQUAL(head.confirm_by_unix_ns, 6000);
    CU_ASSERT(cfc_digest_equal(&head.arms[0].fallback, &before->id));
    teardown(&b);
}

static void
a_small_content_rides_in_its_head(void)
{
    struct bench b = setup();
    struct cfc_config_body *body;
    struct cfc_head head;

    open_sets(&b);
    body = body_of(&b, 300, 2);
    decode(&b, put(&b, decision_for("acme", 1, body)), &head);
    CU_ASSERT_FATAL(head.inlined.is_present);
    CU_ASSERT_EQUAL(head.inlined.body_size, 300);
    teardown(&b);
}

static bool is_held; /* what the fleet says of what is in force */

static bool
say_held(void *arg, const struct cfc_decision *in_force)
{
    CU_ASSERT_EQUAL(in_force->version, 1);
    *(int *)arg += 1;
    return is_held;
}

static void
a_small_change_of_what_nearly_all_hold_rides_as_a_delta(void)
{
    struct bench b = setup();
    struct cfc_config_body *before, *after;
    struct cfc_head head;
    int asked = 0;

    for (int i = 0; i < 2; i++) {
        is_held = i == 1;
        open_sets(&b);
        b.heads_config.is_base_held = say_held;
        b.heads_config.arg = &asked;
        reopen_heads(&b);
        before = body_of(&b, 30000, 2);
        after = changed_body_of(&b, before);
        decode(&b, put(&b, decision_for("acme", 1, before)), &head);
        CU_ASSERT_FALSE(head.inlined.is_present);
        decode(&b, put(&b, decision_for("acme", 2, after)), &head);
        CU_ASSERT_EQUAL(asked, i + 1);
        CU_ASSERT_EQUAL(head.inlined.is_present, is_held);
        if (head.inlined.is_present) {
            CU_ASSERT_EQUAL(head.inlined.encoding, CFC_ENCODING_ZSTD_DELTA);
            CU_ASSERT_EQUAL(head.inlined.body_size, 30000);
            CU_ASSERT(head.inlined.coded_size < 200);
        }
        cfc_head_set_free(b.heads);
        cfc_coded_set_free(b.contents);
    }
    cfc_sha256_free(b.sha);
}

static void
a_replaced_head_gives_its_contents_free(void)
{
    struct bench b = setup();
    struct cfc_config_body *old_body;
    struct cfc_config_body *new_body;
    struct cfc_digest id;
    bool was_handed;

    open_sets(&b);
    old_body = body_of(&b, 2000, 3);
    cfc_config_body_ref(old_body);
    new_body = body_of(&b, 2000, 4);
    put(&b, decision_for("acme", 1, old_body));
    put(&b, decision_for("acme", 2, new_body));
    CU_ASSERT_EQUAL(cfc_head_set_count(b.heads), 1);
    CU_ASSERT_EQUAL_FATAL(cfc_coded_set_evict(b.contents, &id, &was_handed), CONFCAST_OK);
    CU_ASSERT(cfc_digest_equal(&id, &old_body->id));
    cfc_config_body_unref(old_body);
    teardown(&b);
}

struct pages {
    struct bench *b;
    uint32_t count;
    uint32_t changed;
    uint32_t entries;
    uint64_t last_scope;
};

static int
check_page(void *arg, const uint8_t *bytes, size_t size, bool is_changed)
{
    struct pages *pages = arg;
    struct cfc_verifier verifier = cfc_keyring_verifier(&pages->b->ring);
    struct cfc_fresh fresh;
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(bytes, size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_fresh_decode(&frame, &fresh), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_fresh_verify(&fresh, &verifier, 2000), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_fresh_check_page(&fresh, pages->b->sha), CONFCAST_OK);
    CU_ASSERT_EQUAL(fresh.epoch, 3);
    for (uint32_t i = 0; i < fresh.entry_count; i++) {
        struct cfc_fresh_entry entry;

        cfc_fresh_entry_at(&fresh, i, &entry);
        CU_ASSERT(pages->entries == 0 || entry.scope_id > pages->last_scope);
        pages->last_scope = entry.scope_id;
        pages->entries++;
    }
    pages->count++;
    pages->changed += is_changed ? 1 : 0;
    return CONFCAST_OK;
}

static void
fresh_lists_every_head_once_and_marks_what_changed(void)
{
    struct bench b = setup();
    struct pages pages = {.b = &b};

    open_sets(&b);
    for (uint64_t i = 0; i < 200; i++) {
        char scope[32];

        snprintf(scope, sizeof(scope), "t/s%llu", (unsigned long long)i);
        put(&b, decision_for(scope, i + 1, body_of(&b, 50, 100 + i)));
    }
    for (int period = 0; period < 5; period++) {
        pages = (struct pages){.b = &b};
        CU_ASSERT_EQUAL_FATAL(
            cfc_head_set_fresh(b.heads, 200, 1000, 5000, 8, true, check_page, &pages), CONFCAST_OK);
        CU_ASSERT_EQUAL(pages.entries, 200);
        CU_ASSERT_EQUAL(pages.count, 7);
        CU_ASSERT_EQUAL(pages.changed, period < 3 ? 7 : 0);
    }
    put(&b, decision_for("t/s7", 201, body_of(&b, 50, 999)));
    pages = (struct pages){.b = &b};
    CU_ASSERT_EQUAL_FATAL(cfc_head_set_fresh(b.heads, 201, 1000, 5000, 8, true, check_page, &pages),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL(pages.changed, 1);
    for (int period = 0; period < 3; period++) {
        /* What not everybody gets does not take a page's turn. */
        pages = (struct pages){.b = &b};
        CU_ASSERT_EQUAL_FATAL(
            cfc_head_set_fresh(b.heads, 201, 1000, 5000, 8, false, check_page, &pages),
            CONFCAST_OK);
        pages = (struct pages){.b = &b};
        CU_ASSERT_EQUAL_FATAL(
            cfc_head_set_fresh(b.heads, 201, 1000, 5000, 8, true, check_page, &pages), CONFCAST_OK);
        CU_ASSERT_EQUAL(pages.changed, period < 2 ? 1 : 0);
    }
    teardown(&b);
}

static int
take_times(void *arg, const uint8_t *frame, size_t size, bool is_changed)
{
    struct cfc_fresh *out = arg;
    struct cfc_frame opened;

    (void)is_changed;
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(frame, size, &opened), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_fresh_decode(&opened, out), CONFCAST_OK);
    return CONFCAST_OK;
}

static void
the_signed_time_rises_though_the_clock_steps_back(void)
{
    static const uint64_t clock[] = {1000, 1001, 400, 400, 1002, 1003, 5000};
    static const uint64_t signed_times[] = {1000, 1001, 1002, 1003, 1004, 1005, 5000};
    struct bench b = setup();
    struct cfc_fresh fresh;

    open_sets(&b);
    put(&b, decision_for("t/s", 1, body_of(&b, 50, 100)));
    for (uint32_t i = 0; i < sizeof(clock) / sizeof(clock[0]); i++) {
        CU_ASSERT_EQUAL_FATAL(
            cfc_head_set_fresh(b.heads, 1, clock[i], clock[i] + 50, 8, true, take_times, &fresh),
            CONFCAST_OK);
        CU_ASSERT_EQUAL(fresh.time_unix_ns, signed_times[i]);
        CU_ASSERT_EQUAL(fresh.not_after_unix_ns, signed_times[i] + 50);
    }
    teardown(&b);
}

static int
count_entries(void *arg, const uint8_t *frame, size_t size, bool is_changed)
{
    struct cfc_fresh_entry *last = arg;
    struct cfc_frame opened;
    struct cfc_fresh fresh;

    (void)is_changed;
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(frame, size, &opened), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_fresh_decode(&opened, &fresh), CONFCAST_OK);
    for (uint32_t i = 0; i < fresh.entry_count; i++) {
        struct cfc_fresh_entry entry;

        cfc_fresh_entry_at(&fresh, i, &entry);
        CU_ASSERT_TRUE(entry.scope_id > last->scope_id);
        last->scope_id = entry.scope_id;
        last->version += entry.version;
    }
    return 0;
}

static void
many_heads_stay_in_order_and_are_replaced_wherever_they_are(void)
{
    enum {
        COUNT = 2600 /* more than two tails of new ones */
    };
    struct cfc_fresh_entry sum;
    struct bench b = setup();
    uint64_t expected = 0;
    char scope[32];

    open_sets(&b);
    for (uint64_t round = 1; round <= 3; round++) {
        /* The second and third rounds replace, in another order, what lies sorted or in the tail.
         */
        for (uint64_t i = 0; i < COUNT; i++) {
            snprintf(scope, sizeof(scope), "s/%llu",
                     (unsigned long long)(round == 2 ? COUNT - 1 - i : i));
            put(&b, decision_for(scope, round, body_of(&b, 16, 1)));
            if (round == 1 && i % 100 == 0) {
                put(&b, decision_for(scope, round, body_of(&b, 16, 1)));
            }
        }
        CU_ASSERT_EQUAL(cfc_head_set_count(b.heads), COUNT);
        if (round != 2) {
            memset(&sum, 0, sizeof(sum));
            CU_ASSERT_EQUAL(
                cfc_head_set_fresh(b.heads, 9, 1000, 2000, 1, true, count_entries, &sum),
                CONFCAST_OK);
            expected = round * COUNT;
            CU_ASSERT_EQUAL(sum.version, expected);
        }
    }
    teardown(&b);
}

static void
a_fleet_without_scopes_still_gets_a_sign_of_life(void)
{
    struct bench b = setup();
    struct pages pages = {.b = &b};

    open_sets(&b);
    CU_ASSERT_EQUAL_FATAL(cfc_head_set_fresh(b.heads, 0, 1000, 5000, 0, true, check_page, &pages),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL(pages.count, 1);
    CU_ASSERT_EQUAL(pages.entries, 0);
    teardown(&b);
}

/* A batch of decisions, half of them with a content of another one's. */
static void
put_batch(struct bench *b, struct cfc_config_body **bodies, struct cfc_signed_head **heads,
          size_t count)
{
    struct cfc_decision *decisions[64];

    CU_ASSERT_EQUAL_FATAL(cfc_coded_set_add(b->contents, bodies, count), CONFCAST_OK);
    for (size_t i = 0; i < count; i++) {
        char scope[32];

        snprintf(scope, sizeof(scope), "acme/app-%zu", i);
        atomic_fetch_add(&bodies[i / 2]->ref_count, 1);
        decisions[i] = decision_for(scope, 7 + i, bodies[i / 2]);
    }
    CU_ASSERT_EQUAL_FATAL(cfc_head_set_prepare(b->heads, decisions, count, 1000, heads),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_head_set_count(b->heads), 0);
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL_FATAL(cfc_head_set_put(b->heads, heads[i]), CONFCAST_OK);
        cfc_decision_unref(decisions[i]);
    }
}

static void
many_threads_make_what_one_makes(void)
{
    struct bench alone = setup();
    struct bench together = setup();
    struct cfc_config_body *bodies[64];
    struct cfc_signed_head *a[64];
    struct cfc_signed_head *t[64];

    CU_ASSERT_EQUAL_FATAL(cfc_crew_new(CFC_CREW_SIZE_MAX, &together.crew), CONFCAST_OK);
    open_sets(&alone);
    open_sets(&together);
    for (size_t i = 0; i < 64; i++) {
        size_t size = i % 8 == 0 ? 100000 : 40 + i;

        bodies[i] = malloc(sizeof(*bodies[i]) + size);
        atomic_init(&bodies[i]->ref_count, 1);
        bodies[i]->body_size = size;
        memset(bodies[i]->body, (int)i, size);
        cfc_content_id(alone.sha, bodies[i]->body, size, &bodies[i]->id);
    }
    put_batch(&alone, bodies, a, 64);
    put_batch(&together, bodies, t, 64);
    CU_ASSERT_EQUAL(cfc_coded_set_count(together.contents), 64);
    for (size_t i = 0; i < 64; i++) {
        const struct cfc_coded *one = cfc_coded_set_find(alone.contents, &bodies[i]->id);
        const struct cfc_coded *other = cfc_coded_set_find(together.contents, &bodies[i]->id);
        struct cfc_head head;

        CU_ASSERT_EQUAL_FATAL(a[i]->frame_size, t[i]->frame_size);
        CU_ASSERT_EQUAL(memcmp(a[i]->frame, t[i]->frame, a[i]->frame_size), 0);
        CU_ASSERT_EQUAL(memcmp(&a[i]->entry, &t[i]->entry, sizeof(a[i]->entry)), 0);
        decode(&together, t[i], &head);
        CU_ASSERT_EQUAL_FATAL(one->frame_size, other->frame_size);
        CU_ASSERT_EQUAL(memcmp(one->frame, other->frame, one->frame_size), 0);
        CU_ASSERT_EQUAL_FATAL(one->coded_size, other->coded_size);
        CU_ASSERT_EQUAL(memcmp(cfc_coded_bytes(one), cfc_coded_bytes(other), one->coded_size), 0);
    }
    teardown(&alone);
    teardown(&together);
    cfc_crew_free(together.crew);
    for (size_t i = 0; i < 64; i++) {
        free(bodies[i]);
    }
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_head_says_what_the_decision_says_under_a_good_signature),
    CFC_CASE(a_head_carries_activation_deadline_and_fallback),
    CFC_CASE(a_small_content_rides_in_its_head),
    CFC_CASE(a_small_change_of_what_nearly_all_hold_rides_as_a_delta),
    CFC_CASE(a_replaced_head_gives_its_contents_free),
    CFC_CASE(fresh_lists_every_head_once_and_marks_what_changed),
    CFC_CASE(many_heads_stay_in_order_and_are_replaced_wherever_they_are),
    CFC_CASE(the_signed_time_rises_though_the_clock_steps_back),
    CFC_CASE(a_fleet_without_scopes_still_gets_a_sign_of_life),
    CFC_CASE(many_threads_make_what_one_makes),
};

CFC_TEST_MAIN("head_set", cases)
