/* What consumers that pull can get, taken by a real receiver. */
#include "controlplane/publish/pull_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/publish/head_set.h"
#include "controlplane/publish/pull_coding.h"
#include "protocol/base/prng.h"
#include "protocol/session/receiver.h"
#include "protocol/trust/keyring.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/heap.h"

#define SCOPE   "acme/prod"
#define UNIX_NS UINT64_C(1700000000000000000)

enum {
    BODY_SIZE = 1200 * 1000 /* more than two blocks of symbols */
};

static struct cfc_signing_key key;
static struct cfc_keyring ring;
static struct cfc_sha256 *sha;
static struct cfc_pull_store *store;
static struct cfc_coded_set *coded;
static struct cfc_head_set *heads;
static uint64_t version;

static void
setup(size_t retained_max, size_t coded_max)
{
    static const uint8_t seed[32] = {9};
    struct cfc_ring_key ring_key = {.prefix_count = 0};
    struct cfc_pull_store_config config = {.retained_max = retained_max, .coded_max = coded_max};
    struct cfc_coded_set_config contents = {.symbol_size = 1440};
    struct cfc_head_set_config head_config = {.epoch = 3, .frame_size_max = 1472};

    sha = cfc_sha256_new();
    memset(&ring, 0, sizeof(ring));
    cfc_signing_key_from_seed(seed, &key);
    memcpy(ring_key.public_key, key.public_key, sizeof(ring_key.public_key));
    cfc_keyring_add(&ring, &ring_key);
    config.signer = contents.signer = head_config.signer = cfc_signing_key_signer(&key);
    version = 0;
    CU_ASSERT_EQUAL_FATAL(cfc_pull_store_new(&config, &store), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_coded_set_new(&contents, &coded), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_head_set_new(&head_config, coded, &heads), CONFCAST_OK);
}

static void
teardown(void)
{
    cfc_pull_store_free(store);
    cfc_head_set_free(heads);
    cfc_coded_set_free(coded);
    cfc_sha256_free(sha);
}

/* Bytes that do not shrink, but for `changed` of them as those of another number. */
static struct cfc_config_body *
body_of(size_t size, uint64_t number, size_t changed)
{
    struct cfc_config_body *body = malloc(sizeof(*body) + size);
    struct cfc_prng prng = {1};
    struct cfc_prng other = {1000 + number};

    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)cfc_prng_next(&prng);

        body->body[i] = i < changed ? (uint8_t)cfc_prng_next(&other) : byte;
    }
    atomic_init(&body->ref_count, 1);
    body->body_size = size;
    cfc_content_id(sha, body->body, size, &body->id);
    return body;
}

/* Publishes a body (whose reference it takes) as the next version of a scope. */
static void
publish(const char *scope, struct cfc_config_body *body)
{
    struct cfc_decision *d = calloc(1, sizeof(*d));
    struct cfc_signed_head *head;

    CU_ASSERT_EQUAL_FATAL(cfc_coded_set_add(coded, &body, 1), CONFCAST_OK);
    atomic_init(&d->ref_count, 1);
    snprintf(d->scope, sizeof(d->scope), "%s", scope);
    d->scope_id = cfc_scope_id(sha, scope, strlen(scope));
    d->version = ++version;
    d->arm_count = 1;
    d->arms[0].selector = CFC_SELECT_ALL;
    d->arms[0].content = body;
    CU_ASSERT_EQUAL_FATAL(cfc_head_set_prepare(heads, &d, 1, UNIX_NS, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_head_set_put(heads, head), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_pull_store_put(store, d, head->frame, head->frame_size), CONFCAST_OK);
    cfc_decision_unref(d);
}

static int
on_page(void *arg, const uint8_t *frame, size_t size, bool is_changed)
{
    (void)arg;
    (void)is_changed;
    return cfc_pull_store_fresh_page(store, frame, size);
}

static void
refresh(void)
{
    cfc_pull_store_fresh_begin(store);
    CU_ASSERT_EQUAL_FATAL(cfc_head_set_fresh(heads, version, UNIX_NS + version,
                                             UNIX_NS + 10 * CFC_S, 1, true, on_page, NULL),
                          CONFCAST_OK);
    cfc_pull_store_fresh_end(store);
}

static struct cfc_pull_ask
ask_for(const char *scope, uint64_t after)
{
    return (struct cfc_pull_ask){.scope_id = cfc_scope_id(sha, scope, strlen(scope)),
                                 .after = after};
}

static uint8_t *
read_all(struct cfc_pull_answer *answer, size_t step, size_t *size)
{
    size_t wanted = (size_t)cfc_pull_answer_size(answer);
    uint8_t *bytes = malloc(wanted + step);
    size_t n;

    *size = 0;
    while ((n = cfc_pull_answer_read(answer, bytes + *size, step)) > 0) {
        *size += n;
        CU_ASSERT_FATAL(*size <= wanted);
    }
    CU_ASSERT_EQUAL(*size, wanted);
    return bytes;
}

static uint8_t *
answer_to(const struct cfc_pull_ask *ask, size_t *size)
{
    struct cfc_pull_answer *answer;
    uint8_t *bytes;

    CU_ASSERT_EQUAL_FATAL(cfc_pull_store_answer(store, ask, &answer), CONFCAST_OK);
    bytes = read_all(answer, 64 * 1024, size);
    cfc_pull_answer_free(answer);
    return bytes;
}

/* Frames of each type in an answer. */
static void
count_frames(const uint8_t *bytes, size_t size, uint32_t counts[32])
{
    memset(counts, 0, 32 * sizeof(counts[0]));
    for (size_t at = 0; at < size;) {
        struct cfc_frame frame;
        size_t frame_size = cfc_get_u16(bytes + at + 4);

        CU_ASSERT_EQUAL_FATAL(cfc_frame_open(bytes + at, frame_size, &frame), CONFCAST_OK);
        counts[frame.type & 31]++;
        at += frame_size;
    }
}

/* ---- A receiver that holds what it gets ------------------------------------------------------ */

struct consumer {
    struct cfc_test_heap heap;
    struct cfc_receiver *r;
    struct cfc_coder *coder;
    uint32_t scope;
    struct cfc_now now;
    uint8_t *body; /* what is served */
    size_t body_size;
    struct cfc_digest id;
    uint64_t accepted;
    bool was_delta;
};

static void
open_consumer(struct consumer *c)
{
    struct cfc_receiver_config config = {0};

    memset(c, 0, sizeof(*c));
    cfc_receiver_config_defaults(&config);
    config.id = "web-1";
    config.id_size = 5;
    config.incarnation = 1;
    config.verifier = cfc_keyring_verifier(&ring);
    config.alloc = cfc_test_heap_table(&c->heap);
    config.seed = 5;
    c->now = (struct cfc_now){.mono_ns = CFC_S, .unix_ns = UNIX_NS};
    c->coder = cfc_coder_new(&config.alloc);
    CU_ASSERT_EQUAL_FATAL(cfc_receiver_new(&config, &c->r), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_receiver_subscribe(c->r, SCOPE, strlen(SCOPE), &c->scope),
                          CONFCAST_OK);
    cfc_receiver_set_pull(c->r, CFC_PULL_ONLY, 10 * CFC_S, &c->now);
}

static void
close_consumer(struct consumer *c)
{
    cfc_receiver_free(c->r);
    cfc_coder_free(c->coder);
    free(c->body);
    CU_ASSERT_EQUAL(c->heap.live_count, 0);
}

static void
take_content(struct consumer *c, const struct cfc_receiver_event *event)
{
    uint8_t *body = malloc(event->body_size);
    struct cfc_digest id;
    int code = cfc_coding_decode(c->coder, (enum cfc_encoding)event->encoding, event->bytes,
                                 event->size, c->body, c->body_size, body, event->body_size);

    c->was_delta = event->encoding == CFC_ENCODING_ZSTD_DELTA;
    cfc_content_id(sha, body, event->body_size, &id);
    CU_ASSERT_EQUAL(code, CONFCAST_OK);
    CU_ASSERT(cfc_digest_equal(&id, &event->content));
    free(c->body);
    c->body = body;
    c->body_size = event->body_size;
    c->id = event->content;
    cfc_receiver_content_done(c->r, &event->content, code, &c->now);
}

static void
drain(struct consumer *c)
{
    struct cfc_receiver_event event;

    while (cfc_receiver_poll_event(c->r, &c->now, &event) == CONFCAST_OK) {
        if (event.type == CFC_EVENT_ACCEPTED) {
            c->accepted = event.version;
        } else if (event.type == CFC_EVENT_CONTENT) {
            take_content(c, &event);
        } else if (event.type == CFC_EVENT_SERVE) {
            cfc_receiver_served(c->r, c->scope, CONFCAST_OK, &c->now);
        }
    }
}

/* Gives it the first `size` bytes of an answer, frame by frame. */
static void
feed(struct consumer *c, const uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at + CFC_FRAME_HEADER_SIZE <= size;) {
        size_t frame_size = cfc_get_u16(bytes + at + 4);

        if (at + frame_size > size) {
            break;
        }
        c->now.mono_ns += 1000;
        CU_ASSERT_EQUAL(cfc_receiver_on_pulled(c->r, bytes + at, frame_size, &c->now), CONFCAST_OK);
        at += frame_size;
    }
    drain(c);
}

static struct cfc_pull_ask
need_of(struct consumer *c, struct cfc_receiver_need *need)
{
    struct cfc_pull_ask ask = ask_for(SCOPE, 0);

    CU_ASSERT_EQUAL_FATAL(cfc_receiver_need(c->r, c->scope, need), CONFCAST_OK);
    ask.after = need->after;
    ask.have_count = need->have_count;
    memcpy(ask.have, need->have, sizeof(ask.have));
    return ask;
}

static size_t
pull(struct consumer *c)
{
    struct cfc_receiver_need need;
    struct cfc_pull_ask ask = need_of(c, &need);
    size_t size;
    uint8_t *bytes = answer_to(&ask, &size);

    feed(c, bytes, size);
    free(bytes);
    return size;
}

/* ---- Cases ------------------------------------------------------------------------------------
 */

static void
a_receiver_gets_everything_and_then_nothing_more(void)
{
    struct cfc_config_body *body;
    struct cfc_receiver_need need;
    struct cfc_pull_ask ask;
    struct consumer c;

    setup(0, 0);
    open_consumer(&c);
    body = cfc_config_body_ref(body_of(BODY_SIZE, 1, BODY_SIZE));
    publish(SCOPE, body);
    refresh();
    pull(&c);
    CU_ASSERT_EQUAL(c.accepted, 1);
    CU_ASSERT_EQUAL(c.body_size, body->body_size);
    CU_ASSERT_EQUAL(memcmp(c.body, body->body, body->body_size), 0);
    ask = need_of(&c, &need);
    CU_ASSERT_EQUAL(need.after, 1);
    CU_ASSERT_FALSE(need.is_lacking);
    CU_ASSERT_EQUAL(need.have_count, 1);
    CU_ASSERT_FALSE(cfc_pull_store_has_news(store, &ask));
    CU_ASSERT(pull(&c) < 1000); /* FRESH */
    CU_ASSERT_FALSE(cfc_receiver_is_held_up(c.r, c.scope));
    cfc_config_body_unref(body);
    close_consumer(&c);
    teardown();
}

static void
a_small_change_is_a_small_delta_and_another_base_none(void)
{
    struct cfc_receiver_need need;
    struct consumer c;
    struct cfc_pull_ask ask;
    size_t full;
    size_t delta;
    size_t foreign;

    setup(0, 0);
    open_consumer(&c);
    publish(SCOPE, body_of(BODY_SIZE, 1, 100));
    full = pull(&c);
    publish(SCOPE, body_of(BODY_SIZE, 2, 100));
    delta = pull(&c);
    CU_ASSERT_EQUAL(c.accepted, 2);
    CU_ASSERT(c.was_delta);
    CU_ASSERT(delta < 3000 && full > BODY_SIZE);
    ask = need_of(&c, &need);
    ask.after = 0;
    memset(&ask.have[0], 0x55, sizeof(ask.have[0])); /* nobody knows it */
    free(answer_to(&ask, &foreign));
    CU_ASSERT(foreign > BODY_SIZE);
    close_consumer(&c);
    teardown();
}

static void
where_nothing_is_alike_the_whole_is_given(void)
{
    struct cfc_pull_store_stats stats;
    struct consumer c;

    setup(0, 0);
    open_consumer(&c);
    publish(SCOPE, body_of(BODY_SIZE, 1, BODY_SIZE));
    pull(&c);
    publish(SCOPE, body_of(BODY_SIZE, 2, BODY_SIZE));
    pull(&c);
    CU_ASSERT_EQUAL(c.accepted, 2);
    CU_ASSERT_FALSE(c.was_delta);
    cfc_pull_store_stats(store, &stats);
    CU_ASSERT_EQUAL(stats.full_sent, 2);
    CU_ASSERT_EQUAL(stats.delta_sent, 0);
    close_consumer(&c);
    teardown();
}

static void
an_answer_that_breaks_off_anywhere_is_made_up_for_by_the_next(void)
{
    size_t size;
    uint8_t *bytes;
    struct cfc_pull_ask ask;

    setup(0, 0);
    publish(SCOPE, body_of(BODY_SIZE, 1, 100));
    refresh();
    ask = ask_for(SCOPE, 0);
    bytes = answer_to(&ask, &size);
    for (size_t cut = 0; cut < size; cut += 61 * 1000) {
        struct cfc_receiver_need need;
        struct consumer c;

        open_consumer(&c);
        feed(&c, bytes, cut);
        need_of(&c, &need);
        CU_ASSERT_EQUAL(need.after, 0);
        CU_ASSERT_EQUAL(need.is_lacking, cut > 0);
        CU_ASSERT_PTR_NULL(c.body);
        pull(&c);
        need_of(&c, &need);
        CU_ASSERT_EQUAL(need.after, 1);
        CU_ASSERT_EQUAL(c.body_size, BODY_SIZE);
        close_consumer(&c);
    }
    free(bytes);
    teardown();
}

static void
an_answer_reads_the_same_in_any_steps(void)
{
    struct cfc_pull_ask ask;
    struct cfc_pull_answer *answer;
    size_t size;
    uint8_t *bytes;

    setup(0, 0);
    publish(SCOPE, body_of(30000, 1, 30000));
    refresh();
    ask = ask_for(SCOPE, 0);
    bytes = answer_to(&ask, &size);
    for (size_t step = 1; step < 20000; step = step * 3 + 1) {
        size_t again;
        uint8_t *other;

        CU_ASSERT_EQUAL_FATAL(cfc_pull_store_answer(store, &ask, &answer), CONFCAST_OK);
        other = read_all(answer, step, &again);
        CU_ASSERT(again == size && memcmp(bytes, other, size) == 0);
        free(other);
        cfc_pull_answer_free(answer);
    }
    free(bytes);
    teardown();
}

static void
what_rides_in_the_head_is_not_sent_again(void)
{
    uint32_t counts[32];
    struct cfc_pull_ask ask;
    struct consumer c;
    uint8_t *bytes;
    size_t size;

    setup(0, 0);
    open_consumer(&c);
    publish(SCOPE, body_of(200, 1, 200));
    ask = ask_for(SCOPE, 0);
    bytes = answer_to(&ask, &size);
    count_frames(bytes, size, counts);
    CU_ASSERT_EQUAL(counts[CFC_FRAME_HEAD], 1);
    CU_ASSERT_EQUAL(counts[CFC_FRAME_CONTENT], 0);
    feed(&c, bytes, size);
    CU_ASSERT_EQUAL(c.body_size, 200);
    free(bytes);
    close_consumer(&c);
    teardown();
}

static void
a_scope_that_is_not_there_gets_fresh_alone_and_news_when_it_comes(void)
{
    struct cfc_pull_ask ask;
    uint32_t counts[32];
    uint8_t *bytes;
    size_t size;

    setup(0, 0);
    ask = ask_for("acme/later", 0);
    bytes = answer_to(&ask, &size);
    CU_ASSERT_EQUAL(size, 0); /* before the first FRESH */
    free(bytes);
    publish(SCOPE, body_of(200, 1, 200));
    refresh();
    bytes = answer_to(&ask, &size);
    count_frames(bytes, size, counts);
    CU_ASSERT_EQUAL(counts[CFC_FRAME_FRESH], 1);
    CU_ASSERT_EQUAL(counts[CFC_FRAME_HEAD], 0);
    free(bytes);
    CU_ASSERT_FALSE(cfc_pull_store_has_news(store, &ask));
    publish("acme/later", body_of(200, 2, 200));
    CU_ASSERT(cfc_pull_store_has_news(store, &ask));
    ask.after = version;
    CU_ASSERT_FALSE(cfc_pull_store_has_news(store, &ask));
    teardown();
}

static void
every_scope_gets_the_fresh_page_that_covers_it(void)
{
    char scope[64];

    setup(0, 0);
    for (int i = 0; i < 100; i++) {
        snprintf(scope, sizeof(scope), "acme/s%d", i);
        publish(scope, body_of(200, 1, 200));
    }
    refresh();
    for (int i = 0; i < 100; i++) {
        struct cfc_pull_ask ask;
        struct cfc_fresh fresh;
        struct cfc_frame frame;
        bool is_listed = false;
        size_t size;
        uint8_t *bytes;

        snprintf(scope, sizeof(scope), "acme/s%d", i);
        ask = ask_for(scope, version);
        bytes = answer_to(&ask, &size);
        CU_ASSERT_EQUAL_FATAL(cfc_frame_open(bytes, size, &frame), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(cfc_fresh_decode(&frame, &fresh), CONFCAST_OK);
        for (uint32_t k = 0; k < fresh.entry_count; k++) {
            struct cfc_fresh_entry entry;

            cfc_fresh_entry_at(&fresh, k, &entry);
            is_listed |= entry.scope_id == ask.scope_id;
        }
        CU_ASSERT(is_listed);
        free(bytes);
    }
    teardown();
}

static void
bodies_and_codings_stay_within_their_bounds(void)
{
    struct cfc_pull_store_stats stats;
    struct cfc_pull_ask ask;
    struct cfc_digest first;
    size_t size;

    setup(250 * 1000, 250 * 1000);
    for (uint64_t i = 0; i < 20; i++) {
        struct cfc_config_body *body = body_of(100 * 1000, i, 100);

        if (i == 0) {
            first = body->id;
        }
        publish(SCOPE, body);
        ask = ask_for(SCOPE, 0);
        free(answer_to(&ask, &size));
        cfc_pull_store_stats(store, &stats);
        CU_ASSERT(stats.bodies <= 3); /* one in force, two kept */
        CU_ASSERT(stats.coded_size <= 250 * 1000);
    }
    ask.have[0] = first;
    ask.have_count = 1;
    free(answer_to(&ask, &size));
    CU_ASSERT(size > 100 * 1000); /* its body is gone, so there is no delta */
    teardown();
}

static void
a_store_that_refuses_gives_nothing_out(void)
{
    struct cfc_pull_answer *answer;
    struct cfc_pull_ask ask;

    setup(0, 0);
    publish(SCOPE, body_of(200, 1, 200));
    ask = ask_for(SCOPE, version);
    CU_ASSERT_FALSE(cfc_pull_store_has_news(store, &ask));
    cfc_pull_store_refuse(store);
    CU_ASSERT(cfc_pull_store_has_news(store, &ask)); /* whoever waits is told */
    CU_ASSERT_EQUAL(cfc_pull_store_answer(store, &ask, &answer), CONFCAST_ERR_REGRESS);
    CU_ASSERT_PTR_NULL(answer);
    teardown();
}

static void
count_change(void *arg, uint64_t scope_id)
{
    uint64_t *seen = arg;

    seen[0]++;
    seen[1] = scope_id;
}

static void
who_waits_is_told_of_every_head(void)
{
    uint64_t seen[2] = {0, 0};

    setup(0, 0);
    cfc_pull_store_on_change(store, count_change, seen);
    publish(SCOPE, body_of(200, 1, 200));
    CU_ASSERT_EQUAL(seen[0], 1);
    CU_ASSERT_EQUAL(seen[1], cfc_scope_id(sha, SCOPE, strlen(SCOPE)));
    cfc_pull_store_on_change(store, NULL, NULL);
    publish(SCOPE, body_of(200, 2, 200));
    CU_ASSERT_EQUAL(seen[0], 1);
    teardown();
}

/* What an engine began is dropped for what is pulled, of which all follows. */
static void
a_pulled_coding_takes_the_place_of_one_that_multicast_began(void)
{
    struct cfc_pull_coding *other;
    struct cfc_pull_coding_config config = {.signer = cfc_signing_key_signer(&key)};
    struct cfc_pull_walk walk = {.stage = 0};
    uint8_t frame[CFC_FRAME_SIZE_MAX];
    struct cfc_config_body *body;
    struct cfc_config_body *base;
    struct cfc_coder *coder;
    struct cfc_test_heap heap = {0};
    struct cfc_alloc alloc = cfc_test_heap_table(&heap);
    struct consumer c;
    struct cfc_pull_ask ask;
    size_t size;
    uint8_t *bytes;

    setup(0, 0);
    open_consumer(&c);
    body = cfc_config_body_ref(body_of(BODY_SIZE, 1, BODY_SIZE));
    publish(SCOPE, body);
    ask = ask_for(SCOPE, 0);
    bytes = answer_to(&ask, &size);
    feed(&c, bytes, cfc_get_u16(bytes + 4)); /* HEAD alone */

    /* A delta whose base is not here is of no use. */
    base = body_of(1000, 7, 1000);
    coder = cfc_coder_new(&alloc);
    config.signer = cfc_signing_key_signer(&key);
    CU_ASSERT_EQUAL_FATAL(cfc_pull_coding_new(&config, coder, sha, body, base, &other),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_pull_coding_next(other, &walk, frame, &size), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_on_frame(c.r, frame, size, &c.now), CONFCAST_ERR_NO_BASE);
    cfc_pull_coding_unref(other);
    cfc_config_body_unref(base);
    cfc_coder_free(coder);
    free(bytes);

    /* The engine's, cut at 1,440 bytes. */
    {
        struct cfc_coded *engine = cfc_coded_set_find(coded, &body->id);
        struct cfc_page page = {.coding = 0};
        struct cfc_content content;
        struct cfc_frame opened;
        struct cfc_tree tree;

        CU_ASSERT_EQUAL(cfc_receiver_on_frame(c.r, engine->frame, engine->frame_size, &c.now),
                        CONFCAST_OK);
        cfc_frame_open(engine->frame, engine->frame_size, &opened);
        cfc_content_decode(&opened, &content);
        cfc_tree_init(&tree, &content);
        page.digest_count = (uint8_t)cfc_tree_page_digests(&tree, 0, 0);
        page.digests = engine->arena->bytes + engine->tree_offset;
        cfc_page_encode(cfc_digest_key(&body->id), &page, frame, sizeof(frame), &size);
        CU_ASSERT_EQUAL(cfc_receiver_on_frame(c.r, frame, size, &c.now), CONFCAST_OK);
        cfc_symbol_header(cfc_digest_key(&body->id), 0, 0, 0, 1440, frame);
        memcpy(frame + CFC_SYMBOL_HEADER_SIZE, cfc_coded_bytes(engine), 1440);
        CU_ASSERT_EQUAL(cfc_receiver_on_frame(c.r, frame, CFC_SYMBOL_HEADER_SIZE + 1440, &c.now),
                        CONFCAST_OK);
        CU_ASSERT_EQUAL(cfc_receiver_stats(c.r)->symbols, 1);
    }
    pull(&c);
    CU_ASSERT_EQUAL(c.body_size, BODY_SIZE);
    CU_ASSERT(c.body != NULL && memcmp(c.body, body->body, BODY_SIZE) == 0);
    cfc_config_body_unref(body);
    close_consumer(&c);
    teardown();
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_receiver_gets_everything_and_then_nothing_more),
    CFC_CASE(a_small_change_is_a_small_delta_and_another_base_none),
    CFC_CASE(where_nothing_is_alike_the_whole_is_given),
    CFC_CASE(an_answer_that_breaks_off_anywhere_is_made_up_for_by_the_next),
    CFC_CASE(an_answer_reads_the_same_in_any_steps),
    CFC_CASE(what_rides_in_the_head_is_not_sent_again),
    CFC_CASE(a_scope_that_is_not_there_gets_fresh_alone_and_news_when_it_comes),
    CFC_CASE(every_scope_gets_the_fresh_page_that_covers_it),
    CFC_CASE(bodies_and_codings_stay_within_their_bounds),
    CFC_CASE(a_store_that_refuses_gives_nothing_out),
    CFC_CASE(who_waits_is_told_of_every_head),
    CFC_CASE(a_pulled_coding_takes_the_place_of_one_that_multicast_began),
};

CFC_TEST_MAIN("pull_store", cases)
