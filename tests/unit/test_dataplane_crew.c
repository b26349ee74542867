/* The first lcore's sender and its helpers' with the crew between them: who gets what, in which
 * order, and that memory comes back once, whatever happens meanwhile.  Most cases run all of it in
 * one thread; the last has a thread for the helper. */
#include "dataplane/crew.h"

#include <pthread.h>
#include <stdatomic.h>

#include "protocol/session/sender_state.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/sender_fixture.h"

enum {
    LANES = 3,
    BLOCK = 16,
    CONTENTS_MAX = 4096,
    MANY = 3000, /* more than a ring holds */
};

struct crew_bed {
    struct bed beds[LANES];
    struct cfc_lane lanes[LANES];
    struct cfc_crew *crew;
    struct bed_content *shared; /* tree and bytes of all contents */
};

static void
open_crew(struct crew_bed *b)
{
    memset(b, 0, sizeof(*b));
    for (uint32_t i = 0; i < LANES; i++) {
        bed_init(&b->beds[i]);
        b->beds[i].config.contents_max = CONTENTS_MAX;
        b->beds[i].config.scopes_max = CONTENTS_MAX;
        b->lanes[i].number = i;
    }
    b->crew = cfc_crew_new(b->lanes, LANES, CONTENTS_MAX);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b->crew);
    b->beds[0].config.share = cfc_crew_hooks(b->crew);
    b->beds[0].config.status_period_ns = 1000 * CFC_S;
    for (uint32_t i = 0; i < LANES; i++) {
        b->beds[i].config.is_helper = i > 0;
        bed_start(&b->beds[i]);
        b->lanes[i].sender = b->beds[i].sender;
        b->lanes[i].now = b->beds[i].now;
        b->lanes[i].neighbors = cfc_neighbors_new(64, 1);
    }
    bed_drain(&b->beds[0]); /* STATUS */
    b->shared = bed_make_content(&b->beds[0], 1, 3 * BED_SYMBOL_SIZE, BLOCK);
}

static void
close_crew(struct crew_bed *b)
{
    for (uint32_t i = 0; i < LANES; i++) {
        cfc_neighbors_free(b->lanes[i].neighbors);
        bed_close(&b->beds[i]);
    }
    cfc_crew_free(b->crew);
}

static struct cfc_digest
id_of(uint32_t number)
{
    struct cfc_digest id = {.bytes = {0}};

    number++;
    memcpy(id.bytes, &number, sizeof(number));
    memcpy(id.bytes + 8, &number, sizeof(number));
    return id;
}

static int
put_as(struct crew_bed *b, uint32_t number, bool is_pull_only, uint32_t *slot)
{
    struct cfc_content content = b->shared->tree.content;
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    size_t size;
    int code;

    content.content = id_of(number);
    content.page_levels = (uint8_t)b->shared->tree.level_count;
    content.top_count = (uint8_t)b->shared->tree.top_count;
    content.top_digests =
        b->shared->digests + (size_t)cfc_tree_top_offset(&b->shared->tree) * CFC_SHORT_DIGEST_SIZE;
    code = cfc_content_encode(&content, &b->beds[0].signer, frame, sizeof(frame), &size);
    assert(code == CONFCAST_OK);
    return cfc_sender_put_content(b->beds[0].sender, frame, size, b->shared->digests,
                                  cfc_tree_digests_size(&b->shared->tree), b->shared->coded,
                                  is_pull_only, slot);
}

static int
put(struct crew_bed *b, uint32_t number, uint32_t *slot)
{
    return put_as(b, number, false, slot);
}

static void
put_head(struct crew_bed *b, uint32_t number, uint64_t version)
{
    struct cfc_digest id = id_of(number);
    char scope[32];

    snprintf(scope, sizeof(scope), "acme/s%u", number);
    CU_ASSERT_EQUAL(bed_put_head(&b->beds[0], scope, 1, version, &id), CONFCAST_OK);
}

/* Lets everybody work until nothing is left to do; what each helper sent is in its bed. */
static void
settle(struct crew_bed *b)
{
    uint32_t work;

    do {
        work = cfc_crew_carry(b->crew);
        for (uint32_t i = 1; i < LANES; i++) {
            work += cfc_crew_hear(b->crew, i);
        }
    } while (work > 0);
}

static uint32_t
held_by(const struct crew_bed *b, uint32_t lane)
{
    struct cfc_sender_queues queues;

    cfc_sender_view_queues(b->lanes[lane].sender, &queues);
    return (uint32_t)queues.contents;
}

/* RELEASED upcalls of the first sender that wait. */
static uint32_t
take_released(struct crew_bed *b)
{
    struct cfc_upcall up;
    uint32_t count = 0;

    while (cfc_sender_poll_upcall(b->beds[0].sender, &up) == CONFCAST_OK) {
        CU_ASSERT_EQUAL(up.type, CFC_UPCALL_RELEASED);
        count++;
    }
    return count;
}

static void
drop(struct crew_bed *b, uint32_t number)
{
    struct cfc_digest id = id_of(number);

    CU_ASSERT_EQUAL(cfc_sender_drop_content(b->beds[0].sender, &id), CONFCAST_OK);
}

static void
every_content_has_one_helper_and_each_helper_has_some(void)
{
    struct crew_bed b;
    uint32_t slot;

    open_crew(&b);
    for (uint32_t i = 0; i < 200; i++) {
        struct cfc_digest id = id_of(i);
        uint32_t owner = cfc_crew_owner(b.crew, cfc_digest_key(&id));

        CU_ASSERT_TRUE_FATAL(owner >= 1 && owner < LANES);
        CU_ASSERT_EQUAL(put(&b, i, &slot), CONFCAST_OK);
        settle(&b);
        CU_ASSERT_TRUE(cfc_content_tx_holds(&b.lanes[owner].sender->contents, &id));
    }
    CU_ASSERT_EQUAL(held_by(&b, 0), 200);
    CU_ASSERT_EQUAL(held_by(&b, 1) + held_by(&b, 2), 200);
    CU_ASSERT_TRUE(held_by(&b, 1) > 60);
    CU_ASSERT_TRUE(held_by(&b, 2) > 60);
    close_crew(&b);
}

static void
owners_are_all_helpers_in_equal_parts(void)
{
    uint32_t counts[CFC_LCORES_MAX] = {0};
    struct cfc_lane lanes[CFC_LCORES_MAX];
    struct cfc_crew *crew = cfc_crew_new(lanes, CFC_LCORES_MAX, 1);

    CU_ASSERT_PTR_NOT_NULL_FATAL(crew);
    for (uint64_t key = 1; key <= 70000; key++) {
        counts[cfc_crew_owner(crew, key * UINT64_C(0x2545f4914f6cdd1d))]++;
    }
    CU_ASSERT_EQUAL(counts[0], 0);
    for (uint32_t i = 1; i < CFC_LCORES_MAX; i++) {
        CU_ASSERT_TRUE(counts[i] > 9500 && counts[i] < 10500);
    }
    cfc_crew_free(crew);
}

static void
contents_wait_until_no_head_waits(void)
{
    struct crew_bed b;
    uint32_t slot;

    open_crew(&b);
    CU_ASSERT_EQUAL(put(&b, 1, &slot), CONFCAST_OK);
    put_head(&b, 1, 1);
    settle(&b);
    CU_ASSERT_TRUE(cfc_crew_is_waiting(b.crew));
    CU_ASSERT_EQUAL(bed_drain(&b.beds[1]) + bed_drain(&b.beds[2]), 0);
    CU_ASSERT_EQUAL(bed_drain(&b.beds[0]), 1); /* the head */
    settle(&b);
    CU_ASSERT_FALSE(cfc_crew_is_waiting(b.crew));
    CU_ASSERT_TRUE(bed_drain(&b.beds[1]) + bed_drain(&b.beds[2]) >= 5);
    close_crew(&b);
}

static void
more_than_a_ring_holds_is_put_wanted_and_dropped_without_a_loss(void)
{
    struct crew_bed b;
    uint32_t sent = 0;
    uint32_t slot;

    open_crew(&b);
    for (uint32_t i = 0; i < MANY; i++) {
        CU_ASSERT_EQUAL_FATAL(put(&b, i, &slot), CONFCAST_OK);
        put_head(&b, i, 1);
    }
    (void)cfc_crew_carry(b.crew);
    CU_ASSERT_TRUE(cfc_crew_is_waiting(b.crew)); /* the rings are full */
    while (bed_drain(&b.beds[0]) > 0) {
    }
    settle(&b);
    CU_ASSERT_EQUAL(held_by(&b, 1) + held_by(&b, 2), MANY);
    for (uint32_t lane = 1; lane < LANES; lane++) {
        while (bed_drain(&b.beds[lane]) > 0) {
            sent += bed_count(&b.beds[lane], CFC_FRAME_SYMBOL, true);
        }
    }
    CU_ASSERT_EQUAL(sent, 3 * MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        drop(&b, i);
    }
    CU_ASSERT_EQUAL(take_released(&b), 0);
    settle(&b);
    CU_ASSERT_EQUAL(take_released(&b), MANY);
    CU_ASSERT_EQUAL(held_by(&b, 1) + held_by(&b, 2), 0);
    close_crew(&b);
}

static void
what_is_dropped_before_it_was_carried_is_released_at_once(void)
{
    struct crew_bed b;
    uint32_t slot;

    open_crew(&b);
    CU_ASSERT_EQUAL(put(&b, 1, &slot), CONFCAST_OK);
    put_head(&b, 1, 1);
    drop(&b, 1);
    CU_ASSERT_EQUAL(take_released(&b), 1);
    bed_drain(&b.beds[0]);
    settle(&b);
    CU_ASSERT_EQUAL(held_by(&b, 1) + held_by(&b, 2), 0);
    CU_ASSERT_EQUAL(take_released(&b), 0);
    close_crew(&b);
}

static void
a_content_that_is_dropped_and_put_again_is_there(void)
{
    struct crew_bed b;
    uint32_t first;
    uint32_t again;

    open_crew(&b);
    CU_ASSERT_EQUAL(put(&b, 1, &first), CONFCAST_OK);
    settle(&b);
    drop(&b, 1);
    CU_ASSERT_EQUAL(put(&b, 1, &again), CONFCAST_OK);
    CU_ASSERT_NOT_EQUAL(again, first); /* the old one is not released yet */
    settle(&b);
    CU_ASSERT_EQUAL(held_by(&b, 1) + held_by(&b, 2), 1);
    CU_ASSERT_EQUAL(take_released(&b), 1);
    put_head(&b, 1, 2);
    bed_drain(&b.beds[0]);
    settle(&b);
    CU_ASSERT_TRUE(bed_drain(&b.beds[1]) + bed_drain(&b.beds[2]) >= 5);
    drop(&b, 1);
    settle(&b);
    CU_ASSERT_EQUAL(take_released(&b), 1);
    close_crew(&b);
}

static void
a_helper_without_memory_gives_the_content_back_once(void)
{
    struct cfc_digest id = id_of(1);
    struct crew_bed b;
    uint32_t owner;
    uint32_t slot;

    open_crew(&b);
    owner = cfc_crew_owner(b.crew, cfc_digest_key(&id));
    CU_ASSERT_EQUAL(put(&b, 1, &slot), CONFCAST_OK);
    b.beds[owner].fail_at = b.beds[owner].allocations + 1;
    settle(&b);
    CU_ASSERT_EQUAL(held_by(&b, owner), 0);
    drop(&b, 1);
    settle(&b);
    CU_ASSERT_EQUAL(take_released(&b), 1);
    /* And when the drop is on its way already. */
    CU_ASSERT_EQUAL(put(&b, 1, &slot), CONFCAST_OK);
    b.beds[owner].fail_at = b.beds[owner].allocations + 1;
    (void)cfc_crew_carry(b.crew);
    drop(&b, 1);
    settle(&b);
    CU_ASSERT_EQUAL(take_released(&b), 1);
    /* And when it is noted, but not carried. */
    CU_ASSERT_EQUAL(put(&b, 1, &slot), CONFCAST_OK);
    b.beds[owner].fail_at = b.beds[owner].allocations + 1;
    (void)cfc_crew_carry(b.crew);
    (void)cfc_crew_hear(b.crew, owner);
    drop(&b, 1);
    settle(&b);
    CU_ASSERT_EQUAL(take_released(&b), 1);
    CU_ASSERT_EQUAL(put(&b, 1, &slot), CONFCAST_OK);
    settle(&b);
    CU_ASSERT_EQUAL(held_by(&b, owner), 1);
    close_crew(&b);
}

/* What is pull-only first and then for all is given twice; either time memory may be short. */
static void
a_content_that_is_given_twice_is_given_back_once(void)
{
    struct cfc_digest id = id_of(1);
    struct crew_bed b;
    uint32_t owner;
    uint32_t slot;

    open_crew(&b);
    owner = cfc_crew_owner(b.crew, cfc_digest_key(&id));
    for (int failures = 1; failures <= 2; failures++) {
        for (int is_drop_early = 0; is_drop_early < 2; is_drop_early++) {
            CU_ASSERT_EQUAL(put_as(&b, 1, true, &slot), CONFCAST_OK);
            (void)cfc_crew_carry(b.crew);
            CU_ASSERT_EQUAL(put_as(&b, 1, false, &slot), CONFCAST_ERR_EXISTS);
            (void)cfc_crew_carry(b.crew);
            b.beds[owner].fail_at = b.beds[owner].allocations + 1;
            b.beds[owner].fail_count = (size_t)failures;
            if (is_drop_early == 0) {
                settle(&b);
                CU_ASSERT_EQUAL(held_by(&b, owner), failures == 1);
                CU_ASSERT_EQUAL(take_released(&b), 0);
            }
            drop(&b, 1);
            settle(&b);
            CU_ASSERT_EQUAL(held_by(&b, owner), 0);
            CU_ASSERT_EQUAL(take_released(&b), 1);
        }
    }
    close_crew(&b);
}

static void
a_request_goes_to_the_helper_with_the_way_back(void)
{
    static const uint8_t mac[CFC_MAC_ADDRESS_SIZE] = {2, 7, 7, 7, 7, 7};
    struct cfc_net_endpoint from = {.port = 40000};
    struct cfc_digest id = id_of(1);
    struct bed_content content;
    struct bed_consumer consumer;
    struct crew_bed b;
    uint32_t owner;
    uint32_t slot;

    open_crew(&b);
    owner = cfc_crew_owner(b.crew, cfc_digest_key(&id));
    CU_ASSERT_EQUAL(put(&b, 1, &slot), CONFCAST_OK);
    settle(&b);
    consumer_init(&b.beds[0], &consumer, 1);
    consumer_join(&b.beds[0], &consumer);
    memcpy(from.mac, mac, sizeof(mac));
    memcpy(from.ip, consumer.address.ip, sizeof(from.ip));
    cfc_crew_set_from(b.crew, &from);
    content = *b.shared;
    content.id = id;
    CU_ASSERT_EQUAL(consumer_nack_symbols(&b.beds[0], &consumer, &content, 0, 5), CONFCAST_OK);
    settle(&b);
    bed_pass(&b.beds[owner], 10 * CFC_MS);
    CU_ASSERT_EQUAL_FATAL(bed_drain(&b.beds[owner]), 2);
    CU_ASSERT_TRUE(is_sent_to(&b.beds[owner].sent[0], &consumer.address));
    CU_ASSERT_PTR_NOT_NULL_FATAL(cfc_neighbors_find(b.lanes[owner].neighbors, from.ip));
    CU_ASSERT_EQUAL(memcmp(cfc_neighbors_find(b.lanes[owner].neighbors, from.ip), mac, sizeof(mac)),
                    0);
    close_crew(&b);
}

static void
requests_fill_half_a_ring_and_the_rest_of_it_is_for_contents(void)
{
    struct cfc_digest id = id_of(1);
    struct bed_content content;
    struct bed_consumer consumer;
    struct crew_bed b;
    uint32_t count = 0;
    uint32_t slot;
    int code;

    open_crew(&b);
    CU_ASSERT_EQUAL(put(&b, 1, &slot), CONFCAST_OK);
    settle(&b);
    consumer_init(&b.beds[0], &consumer, 1);
    consumer_join(&b.beds[0], &consumer);
    content = *b.shared;
    content.id = id;
    do {
        code = consumer_nack_symbols(&b.beds[0], &consumer, &content, 0, 1);
        count++;
    } while (code == CONFCAST_OK && count < 5000);
    CU_ASSERT_EQUAL(code, CONFCAST_ERR_LIMIT);
    CU_ASSERT_TRUE(count > 400 && count < 1000);
    for (uint32_t i = 2; i < 100; i++) {
        CU_ASSERT_EQUAL(put(&b, i, &slot), CONFCAST_OK);
    }
    (void)cfc_crew_carry(b.crew);
    CU_ASSERT_FALSE(cfc_crew_is_waiting(b.crew));
    settle(&b);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&b.beds[0], &consumer, &content, 0, 1), CONFCAST_OK);
    close_crew(&b);
}

/* A helper as a thread: it sleeps when there is nothing, and sends what there is. */
struct helper {
    struct crew_bed *b;
    uint32_t number;
    atomic_bool is_stopping;
    uint64_t symbols;
};

static void *
run_helper(void *arg)
{
    struct helper *h = arg;
    struct bed *bed = &h->b->beds[h->number];

    while (!h->is_stopping) {
        uint32_t work = cfc_crew_hear(h->b->crew, h->number);

        work += bed_drain(bed);
        h->symbols += bed_count(bed, CFC_FRAME_SYMBOL, true);
        if (work == 0) {
            cfc_crew_sleep(h->b->crew, h->number, 60 * CFC_S);
        }
    }
    return NULL;
}

static void
helpers_that_sleep_are_woken_and_give_everything_back(void)
{
    struct helper helpers[LANES];
    pthread_t threads[LANES];
    struct crew_bed b;
    uint32_t released = 0;
    uint64_t symbols = 0;
    uint32_t slot;

    open_crew(&b);
    for (uint32_t i = 1; i < LANES; i++) {
        helpers[i] = (struct helper){.b = &b, .number = i};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, run_helper, &helpers[i]), 0);
    }
    for (uint32_t round = 0; round < 50; round++) {
        for (uint32_t i = 0; i < 20; i++) {
            CU_ASSERT_EQUAL_FATAL(put(&b, i, &slot), CONFCAST_OK);
            put_head(&b, i, round + 1);
        }
        bed_drain(&b.beds[0]);
        while (cfc_crew_is_waiting(b.crew)) {
            (void)cfc_crew_carry(b.crew);
        }
        for (uint32_t i = 0; i < 20; i++) {
            drop(&b, i);
        }
        /* A minute's sleep that nobody ended would be seen. */
        for (uint64_t spin = 0; released < (round + 1) * 20; spin++) {
            (void)cfc_crew_carry(b.crew);
            released += take_released(&b);
        }
    }
    for (uint32_t i = 1; i < LANES; i++) {
        helpers[i].is_stopping = true;
        cfc_crew_wake(b.crew, i);
        pthread_join(threads[i], NULL);
        symbols += helpers[i].symbols;
        CU_ASSERT_EQUAL(held_by(&b, i), 0);
    }
    CU_ASSERT_EQUAL(released, 1000);
    CU_ASSERT_TRUE(symbols <= 3000);
    close_crew(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(every_content_has_one_helper_and_each_helper_has_some),
    CFC_CASE(owners_are_all_helpers_in_equal_parts),
    CFC_CASE(contents_wait_until_no_head_waits),
    CFC_CASE(more_than_a_ring_holds_is_put_wanted_and_dropped_without_a_loss),
    CFC_CASE(what_is_dropped_before_it_was_carried_is_released_at_once),
    CFC_CASE(a_content_that_is_dropped_and_put_again_is_there),
    CFC_CASE(a_helper_without_memory_gives_the_content_back_once),
    CFC_CASE(a_content_that_is_given_twice_is_given_back_once),
    CFC_CASE(a_request_goes_to_the_helper_with_the_way_back),
    CFC_CASE(requests_fill_half_a_ring_and_the_rest_of_it_is_for_contents),
    CFC_CASE(helpers_that_sleep_are_woken_and_give_everything_back),
};

int
main(void)
{
    return cfc_test_main("dataplane_crew", cases, sizeof(cases) / sizeof(cases[0]));
}
