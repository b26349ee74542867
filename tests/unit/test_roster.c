/* HELLO, sessions and reports, through the sender. */
#include "tests/unit/cunit_main.h"
#include "tests/unit/sender_fixture.h"

static uint64_t
errors(const struct bed *bed, int code)
{
    return cfc_sender_stats(bed->sender)->errors[-code];
}

static uint32_t
count_upcalls(struct bed *bed, enum cfc_upcall_type type)
{
    struct cfc_upcall up;
    uint32_t count = 0;

    while (cfc_sender_poll_upcall(bed->sender, &up) == CONFCAST_OK) {
        count += up.type == type;
    }
    return count;
}

static void
open_with_consumers(struct bed *bed, struct bed_consumer *consumers, uint32_t count)
{
    bed_open(bed);
    bed_drain(bed); /* the first STATUS */
    for (uint32_t i = 0; i < count; i++) {
        consumer_init(bed, &consumers[i], i + 1);
    }
}

/* The echo in a unicast STATUS. */
static uint64_t
echoed_seq(const struct sent *sent, uint64_t consumer_key)
{
    struct cfc_status status;
    struct cfc_frame frame;
    struct cfc_echo echo;

    if (sent == NULL || cfc_frame_open(sent->bytes, sent->size, &frame) != CONFCAST_OK ||
        cfc_status_decode(&frame, &status) != CONFCAST_OK || status.echo_count != 1) {
        return 0;
    }
    cfc_status_echo_at(&status, 0, &echo);
    return echo.consumer_key == consumer_key ? echo.report_seq : 0;
}

/* -- HELLO */

static void
hello_without_a_cookie_is_challenged_and_nothing_is_stored(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_take_welcome(&bed, &c), 1);
    CU_ASSERT_EQUAL(c.welcome.kind, CFC_WELCOME_CHALLENGE);
    CU_ASSERT_EQUAL(memcmp(c.welcome.nonce, c.nonce, sizeof(c.nonce)), 0);
    CU_ASSERT_EQUAL(count_upcalls(&bed, CFC_UPCALL_CONSUMER), 0);
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->consumers, 0);
    bed_close(&bed);
}

static void
hello_with_the_cookie_gets_a_session_and_goes_upwards(void)
{
    struct bed_consumer c;
    struct cfc_upcall up;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    CU_ASSERT_NOT_EQUAL(c.session, 0);
    CU_ASSERT_TRUE(cfc_address_equal(&c.welcome.observed, &c.address));
    CU_ASSERT_EQUAL(c.welcome.boot_id, BED_BOOT_ID);
    CU_ASSERT_EQUAL_FATAL(cfc_sender_poll_upcall(bed.sender, &up), CONFCAST_OK);
    CU_ASSERT_EQUAL(up.type, CFC_UPCALL_CONSUMER);
    CU_ASSERT_EQUAL_FATAL(up.id_size, c.id_size);
    CU_ASSERT_EQUAL(memcmp(up.id, c.id, c.id_size), 0);
    CU_ASSERT_TRUE(cfc_address_equal(&up.address, &c.address));
    CU_ASSERT_EQUAL_FATAL(up.frame_size, c.size);
    CU_ASSERT_EQUAL(memcmp(up.frame, c.frame, c.size), 0);
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->consumers, 1);
    bed_close(&bed);
}

static void
welcome_proves_that_the_engine_knows_the_credential(void)
{
    struct bed_consumer c;
    struct cfc_frame frame;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    CU_ASSERT_EQUAL_FATAL(bed.sent_count, 1);
    CU_ASSERT_EQUAL(cfc_frame_open(bed.sent[0].bytes, bed.sent[0].size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_welcome_check(&frame, &c.credential_key), CONFCAST_OK);
    c.credential_key.bytes[0] ^= 1;
    CU_ASSERT_EQUAL(cfc_welcome_check(&frame, &c.credential_key), CONFCAST_ERR_MAC);
    bed_close(&bed);
}

static void
no_answer_to_a_hello_is_larger_than_it(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    for (uint32_t round = 0; round < 4; round++) {
        if (round == 2) {
            c.nonce[0]++;
            c.incarnation--; /* refused */
        }
        CU_ASSERT_EQUAL(consumer_hello(&bed, &c), round < 2   ? CONFCAST_OK
                                                  : round < 3 ? CONFCAST_ERR_EXISTS
                                                              : CONFCAST_ERR_MAC);
        CU_ASSERT_EQUAL(consumer_take_welcome(&bed, &c), 1);
        CU_ASSERT_EQUAL(c.welcome.kind, round == 0   ? CFC_WELCOME_CHALLENGE
                                        : round == 1 ? CFC_WELCOME_ACCEPT
                                                     : CFC_WELCOME_REFUSE);
        CU_ASSERT_TRUE(bed.sent[0].size <= c.size);
        if (round == 2) {
            c.credential_key.bytes[0] ^= 1;
        }
    }
    bed_close(&bed);
}

static void
cookie_of_another_address_or_consumer_is_challenged_again(void)
{
    struct bed_consumer c[2];
    struct bed bed;

    open_with_consumers(&bed, c, 2);
    consumer_hello(&bed, &c[0]);
    consumer_take_welcome(&bed, &c[0]);
    memcpy(c[1].cookie, c[0].cookie, sizeof(c[1].cookie));
    c[1].address = c[0].address;
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c[1]), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_take_welcome(&bed, &c[1]), 1);
    CU_ASSERT_EQUAL(c[1].welcome.kind, CFC_WELCOME_CHALLENGE);
    c[0].address.port++;
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c[0]), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_take_welcome(&bed, &c[0]), 1);
    CU_ASSERT_EQUAL(c[0].welcome.kind, CFC_WELCOME_CHALLENGE);
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->consumers, 0);
    bed_close(&bed);
}

static void
cookie_is_good_for_its_period_and_the_next(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    bed_pass(&bed, 64 * CFC_S - bed.now.mono_ns % (64 * CFC_S)); /* a period begins */
    consumer_hello(&bed, &c);
    consumer_take_welcome(&bed, &c);
    bed_pass(&bed, 128 * CFC_S);
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c), CONFCAST_OK);
    consumer_take_welcome(&bed, &c);
    CU_ASSERT_EQUAL(c.welcome.kind, CFC_WELCOME_CHALLENGE);
    bed_pass(&bed, 128 * CFC_S - 1);
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c), CONFCAST_OK);
    consumer_take_welcome(&bed, &c);
    CU_ASSERT_EQUAL(c.welcome.kind, CFC_WELCOME_ACCEPT);
    bed_close(&bed);
}

static void
hello_with_a_wrong_mac_is_refused_by_name(void)
{
    struct bed_consumer c;
    struct cfc_key right;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    right = c.credential_key;
    c.credential_key.bytes[3] ^= 1;
    consumer_hello(&bed, &c);
    consumer_take_welcome(&bed, &c);
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c), CONFCAST_ERR_MAC);
    CU_ASSERT_EQUAL(consumer_take_welcome(&bed, &c), 1);
    CU_ASSERT_EQUAL(c.welcome.kind, CFC_WELCOME_REFUSE);
    CU_ASSERT_EQUAL(c.welcome.refusal, -CONFCAST_ERR_MAC);
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->consumers, 0);
    CU_ASSERT_EQUAL(count_upcalls(&bed, CFC_UPCALL_CONSUMER), 0);
    c.credential_key = right;
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c), CONFCAST_OK);
    bed_close(&bed);
}

static void
one_source_gets_a_bounded_number_of_answers_and_others_still_get_theirs(void)
{
    struct bed_consumer c[2];
    uint32_t answered = 0;
    struct bed bed;

    open_with_consumers(&bed, c, 2);
    for (uint32_t i = 0; i < 1000; i++) {
        c[0].address.port = (uint16_t)i; /* ports do not help a flooder */
        answered += consumer_hello(&bed, &c[0]) == CONFCAST_OK;
    }
    CU_ASSERT_EQUAL(answered, 256);
    CU_ASSERT_EQUAL(errors(&bed, CONFCAST_ERR_LIMIT), 744);
    CU_ASSERT_EQUAL(bed_drain(&bed), 256);
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c[1]), CONFCAST_OK);
    bed_pass(&bed, CFC_S / 256);
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c[0]), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c[0]), CONFCAST_ERR_LIMIT);
    bed_close(&bed);
}

static void
repeated_hello_gets_the_same_session_and_goes_upwards_once(void)
{
    struct bed_consumer c;
    struct cfc_welcome first;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    first = c.welcome;
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_take_welcome(&bed, &c), 1);
    CU_ASSERT_EQUAL(c.welcome.session, first.session);
    CU_ASSERT_EQUAL(memcmp(c.welcome.token, first.token, sizeof(first.token)), 0);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_take_welcome(&bed, &c), 1);
    CU_ASSERT_EQUAL(c.welcome.session, first.session);
    CU_ASSERT_EQUAL(count_upcalls(&bed, CFC_UPCALL_CONSUMER), 1);
    bed_close(&bed);
}

static void
hello_played_again_by_somebody_does_not_cut_the_consumer_off(void)
{
    uint8_t recorded[CFC_FRAME_SIZE_DEFAULT];
    struct bed_consumer c;
    size_t size;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    memcpy(recorded, c.frame, c.size);
    size = c.size;
    c.nonce[0]++;
    consumer_hello(&bed, &c);
    consumer_take_welcome(&bed, &c);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_sender_on_frame(bed.sender, recorded, size, &c.address, &bed.now),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 2, 10), CONFCAST_OK);
    bed_close(&bed);
}

static void
new_session_replaces_the_old_one_when_it_is_first_used(void)
{
    struct bed_consumer old;
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK);
    old = c;
    c.nonce[0]++;
    consumer_hello(&bed, &c);
    consumer_take_welcome(&bed, &c);
    CU_ASSERT_NOT_EQUAL(c.session, old.session);
    CU_ASSERT_EQUAL(consumer_report(&bed, &old, 2, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 3, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_report(&bed, &old, 4, 10), CONFCAST_ERR_MAC);
    bed_close(&bed);
}

static void
every_truncation_of_a_hello_is_refused_without_an_answer(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_write_hello(&c);
    for (size_t size = 0; size < c.size; size++) {
        uint8_t *copy = malloc(size > 0 ? size : 1);

        CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
        memcpy(copy, c.frame, size);
        CU_ASSERT_NOT_EQUAL(cfc_sender_on_frame(bed.sender, copy, size, &c.address, &bed.now),
                            CONFCAST_OK);
        free(copy);
    }
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    bed_close(&bed);
}

static void
frames_that_only_go_downwards_are_of_the_wrong_stream(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_hello(&bed, &c);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(
        cfc_sender_on_frame(bed.sender, bed.sent[0].bytes, bed.sent[0].size, &c.address, &bed.now),
        CONFCAST_ERR_WRONG_STREAM);
    CU_ASSERT_EQUAL(errors(&bed, CONFCAST_ERR_WRONG_STREAM), 1);
    bed_close(&bed);
}

/* -- Two consumers under one id */

static void
newest_incarnation_wins_and_the_older_is_refused(void)
{
    struct bed_consumer older;
    struct bed_consumer newer;
    struct bed bed;

    open_with_consumers(&bed, &older, 1);
    newer = older;
    newer.incarnation++;
    newer.address.port++;
    newer.nonce[0] ^= 0x80;
    consumer_join(&bed, &older);
    CU_ASSERT_EQUAL(consumer_report(&bed, &older, 1, 10), CONFCAST_OK);
    consumer_join(&bed, &newer);
    CU_ASSERT_EQUAL(consumer_report(&bed, &newer, 1, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_report(&bed, &older, 2, 10), CONFCAST_ERR_MAC);
    CU_ASSERT_EQUAL(consumer_hello(&bed, &older), CONFCAST_ERR_EXISTS);
    CU_ASSERT_EQUAL(consumer_take_welcome(&bed, &older), 1);
    CU_ASSERT_EQUAL(older.welcome.kind, CFC_WELCOME_REFUSE);
    CU_ASSERT_EQUAL(older.welcome.refusal, -CONFCAST_ERR_EXISTS);
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->identities_refused, 1);
    CU_ASSERT_EQUAL(consumer_report(&bed, &newer, 2, 10), CONFCAST_OK);
    bed_close(&bed);
}

static void
older_incarnation_is_welcome_when_the_newer_has_been_silent(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK);
    c.incarnation--;
    c.nonce[0]++;
    bed_pass(&bed, 30 * CFC_S - 1);
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c), CONFCAST_ERR_EXISTS);
    bed_pass(&bed, 1);
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c), CONFCAST_OK);
    consumer_take_welcome(&bed, &c);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK);
    bed_close(&bed);
}

static void
clone_under_one_incarnation_is_refused_on_the_way_back(void)
{
    struct bed_consumer a;
    struct bed_consumer b;
    struct bed bed;

    open_with_consumers(&bed, &a, 1);
    b = a;
    b.address = cfc_address_ipv4(0x0a020001, 40000);
    b.nonce[0] ^= 0x80;
    consumer_join(&bed, &a);
    CU_ASSERT_EQUAL(consumer_report(&bed, &a, 1, 10), CONFCAST_OK);
    consumer_join(&bed, &b); /* may be a move */
    CU_ASSERT_EQUAL(consumer_report(&bed, &b, 1, 10), CONFCAST_OK);
    a.nonce[0]++;
    CU_ASSERT_EQUAL(consumer_hello(&bed, &a), CONFCAST_ERR_EXISTS);
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->identities_refused, 1);
    CU_ASSERT_EQUAL(consumer_report(&bed, &b, 2, 10), CONFCAST_OK);
    bed_close(&bed);
}

static void
restart_forgets_where_the_consumer_was_before(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    for (uint32_t i = 0; i < 2; i++) { /* moves from port 40000 to 40001 */
        c.address.port = (uint16_t)(40000 + i);
        c.nonce[0]++;
        consumer_join(&bed, &c);
        CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK);
    }
    c.incarnation++;
    for (uint32_t i = 2; i > 0; i--) { /* and, restarted, from 40001 to 40000 */
        c.address.port = (uint16_t)(40000 + i - 1);
        c.nonce[0]++;
        consumer_join(&bed, &c);
        CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->identities_refused, 0);
    bed_close(&bed);
}

static void
consumer_that_restarts_elsewhere_is_no_clone(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    for (uint32_t i = 0; i < 4; i++) {
        c.incarnation++;
        c.address.port = (uint16_t)(40000 + i % 2);
        c.nonce[0]++;
        consumer_join(&bed, &c);
        CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->identities_refused, 0);
    bed_close(&bed);
}

/* -- The table */

static void
full_roster_refuses_newcomers_while_all_live_and_then_drops_the_longest_silent(void)
{
    struct bed_consumer c[4];
    struct bed bed;

    bed_init(&bed);
    bed.config.consumers_max = 3;
    bed_start(&bed);
    bed_drain(&bed);
    for (uint32_t i = 0; i < 4; i++) {
        consumer_init(&bed, &c[i], i + 1);
    }
    for (uint32_t i = 0; i < 3; i++) {
        consumer_join(&bed, &c[i]);
        bed_pass(&bed, CFC_S);
    }
    CU_ASSERT_EQUAL(consumer_report(&bed, &c[0], 1, 10), CONFCAST_OK); /* 1 is silent longest */
    consumer_hello(&bed, &c[3]);
    consumer_take_welcome(&bed, &c[3]);
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c[3]), CONFCAST_ERR_LIMIT);
    consumer_take_welcome(&bed, &c[3]);
    CU_ASSERT_EQUAL(c[3].welcome.kind, CFC_WELCOME_REFUSE);
    CU_ASSERT_EQUAL(c[3].welcome.refusal, -CONFCAST_ERR_LIMIT);
    bed_pass(&bed, 28 * CFC_S);
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c[3]), CONFCAST_OK);
    consumer_take_welcome(&bed, &c[3]);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c[3], 1, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c[1], 1, 10), CONFCAST_ERR_MAC);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c[0], 2, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c[2], 1, 10), CONFCAST_OK);
    CU_ASSERT_NOT_EQUAL(c[3].session, c[1].session);
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->consumers, 3);
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->consumers_evicted, 1);
    bed_close(&bed);
}

static void
windows_grow_with_the_fleet_at_once_and_shrink_slowly(void)
{
    struct bed_consumer c;
    struct bed bed;
    uint32_t last;

    open_with_consumers(&bed, &c, 1);
    CU_ASSERT_EQUAL(cfc_sender_set_shard(bed.sender, 0, 1, 100000), CONFCAST_OK);
    consumer_join(&bed, &c);
    CU_ASSERT_EQUAL(c.welcome.windows.hello_ms, 20 + 10000);
    CU_ASSERT_EQUAL(c.welcome.windows.nack_us, 250 + 200000);
    CU_ASSERT_EQUAL(c.welcome.windows.report_ms, 5 + 5000);
    CU_ASSERT_EQUAL(cfc_sender_set_shard(bed.sender, 0, 1, 10), CONFCAST_OK);
    last = 200250;
    for (uint32_t i = 0; i < 100; i++) {
        struct cfc_status status;
        struct cfc_frame frame;

        bed_pass(&bed, bed.config.status_period_ns);
        CU_ASSERT_EQUAL_FATAL(bed_drain(&bed), 1);
        CU_ASSERT_EQUAL(cfc_frame_open(bed.sent[0].bytes, bed.sent[0].size, &frame), CONFCAST_OK);
        CU_ASSERT_EQUAL(cfc_status_decode(&frame, &status), CONFCAST_OK);
        CU_ASSERT_EQUAL(status.fleet_size, 10);
        CU_ASSERT_TRUE(status.windows.nack_us >= last - last / 4);
        last = status.windows.nack_us;
    }
    CU_ASSERT_EQUAL(last, 270);
    bed_close(&bed);
}

/* -- Trailers */

static void
frame_under_a_wrong_key_session_or_address_gets_mac_and_no_answer(void)
{
    struct cfc_nack_entry entry = {.want = CFC_WANT_HEAD, .key = 1, .mask = 1};
    struct bed_consumer c[2];
    struct bed_consumer forged;
    struct bed bed;

    open_with_consumers(&bed, c, 2);
    consumer_join(&bed, &c[0]);
    consumer_join(&bed, &c[1]);
    forged = c[0];
    forged.session_key.bytes[0] ^= 1;
    CU_ASSERT_EQUAL(consumer_nack(&bed, &forged, &entry, 1), CONFCAST_ERR_MAC);
    forged = c[0];
    forged.session = c[1].session;
    CU_ASSERT_EQUAL(consumer_nack(&bed, &forged, &entry, 1), CONFCAST_ERR_MAC);
    forged = c[0];
    forged.session = 0;
    CU_ASSERT_EQUAL(consumer_nack(&bed, &forged, &entry, 1), CONFCAST_ERR_MAC);
    forged = c[0];
    forged.session = 63; /* a slot that nobody has */
    CU_ASSERT_EQUAL(consumer_nack(&bed, &forged, &entry, 1), CONFCAST_ERR_MAC);
    /* The consumer's own key, but from an address that it never proved. */
    forged = c[0];
    forged.address = c[1].address;
    CU_ASSERT_EQUAL(consumer_nack(&bed, &forged, &entry, 1), CONFCAST_ERR_MAC);
    /* A valid session of one consumer under the name of another. */
    forged = c[0];
    forged.key = c[1].key;
    CU_ASSERT_EQUAL(consumer_nack(&bed, &forged, &entry, 1), CONFCAST_ERR_MAC);
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    CU_ASSERT_EQUAL(errors(&bed, CONFCAST_ERR_MAC), 6);
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->nacks, 0);
    CU_ASSERT_EQUAL(consumer_nack(&bed, &c[0], &entry, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 1);
    bed_close(&bed);
}

static void
same_frame_twice_is_a_replay(void)
{
    struct cfc_nack_entry entry = {.want = CFC_WANT_HEAD, .key = 1, .mask = 1};
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    CU_ASSERT_EQUAL(consumer_nack(&bed, &c, &entry, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 1);
    CU_ASSERT_EQUAL(consumer_give(&bed, &c), CONFCAST_ERR_REPLAY);
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    CU_ASSERT_EQUAL(errors(&bed, CONFCAST_ERR_REPLAY), 1);
    bed_close(&bed);
}

static void
frames_may_overtake_each_other_within_the_window_and_no_further(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    c.seq = 999;
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK); /* 1000 */
    c.seq = 1000 - 64 - 1;
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_ERR_REPLAY); /* 936 */
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK);         /* 937 */
    c.seq = 1000 - 64;
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_ERR_REPLAY); /* 937 again */
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK);         /* 938 */
    c.seq = 1062;
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK); /* 1063 moves the window on */
    c.seq = 999;
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_ERR_REPLAY); /* 1000, its last */
    c.seq = 1000;
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK); /* 1001, never seen */
    c.seq = 1199;
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK); /* 1200, far ahead */
    for (c.seq = 1200 - 64; c.seq < 1199;) {
        CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK); /* 1137 to 1199 */
        bed_pass(&bed, CFC_S / 32);
    }
    bed_close(&bed);
}

/* -- REPORT */

static void
report_of_several_parts_is_echoed_when_all_went_upwards(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    count_upcalls(&bed, CFC_UPCALL_CONSUMER);
    for (uint8_t part = 3; part > 0; part--) {
        CU_ASSERT_EQUAL(bed_drain(&bed), 0);
        consumer_write_report(&c, 8, part - 1, 3, 10);
        CU_ASSERT_EQUAL(consumer_give(&bed, &c), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL_FATAL(bed_drain(&bed), 1);
    CU_ASSERT_EQUAL(echoed_seq(&bed.sent[0], c.key), 8);
    CU_ASSERT_TRUE(is_sent_to(&bed.sent[0], &c.address));
    CU_ASSERT_TRUE(bed.sent[0].size <= c.size);
    CU_ASSERT_EQUAL(count_upcalls(&bed, CFC_UPCALL_REPORT), 3);
    bed_close(&bed);
}

static void
reports_that_come_close_together_share_an_echo_of_the_newest(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 2, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(bed_drain(&bed), 1);
    CU_ASSERT_EQUAL(echoed_seq(&bed.sent[0], c.key), 2);
    bed_close(&bed);
}

static void
repeated_report_goes_upwards_again_and_is_echoed_again(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK);
        CU_ASSERT_EQUAL(bed_drain(&bed), 1);
        CU_ASSERT_EQUAL(count_upcalls(&bed, CFC_UPCALL_REPORT), 1);
    }
    bed_close(&bed);
}

static void
report_that_a_newer_one_overtook_goes_nowhere(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 5, 10), CONFCAST_OK);
    count_upcalls(&bed, CFC_UPCALL_REPORT);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 4, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL(count_upcalls(&bed, CFC_UPCALL_REPORT), 0);
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    bed_close(&bed);
}

static void
echo_that_waits_gives_way_to_a_newer_report_that_is_not_whole(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK);
    consumer_write_report(&c, 2, 0, 2, 10);
    CU_ASSERT_EQUAL(consumer_give(&bed, &c), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    consumer_write_report(&c, 2, 1, 2, 10);
    CU_ASSERT_EQUAL(consumer_give(&bed, &c), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(bed_drain(&bed), 1);
    CU_ASSERT_EQUAL(echoed_seq(&bed.sent[0], c.key), 2);
    bed_close(&bed);
}

static void
part_that_was_refused_is_missing_again(void)
{
    struct bed_consumer filler[63];
    struct bed_consumer c;
    struct cfc_upcall up;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    for (uint32_t i = 0; i < 63; i++) {
        consumer_init(&bed, &filler[i], i + 2);
        consumer_join(&bed, &filler[i]);
    }
    for (uint8_t part = 0; part < 2; part++) {
        consumer_write_report(&c, 1, part, 2, 10);
        CU_ASSERT_EQUAL(consumer_give(&bed, &c), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(bed_drain(&bed), 1);
    for (uint64_t n = 0; cfc_sender_stats(bed.sender)->reports_refused == 0; n++) {
        consumer_report(&bed, &filler[n % 63], n + 1, 10);
        bed_pass(&bed, CFC_S / 32 / 63 + 1);
    }
    bed_drain(&bed);
    consumer_write_report(&c, 1, 1, 2, 10); /* its repeat finds no room */
    CU_ASSERT_EQUAL(consumer_give(&bed, &c), CONFCAST_ERR_LIMIT);
    while (cfc_sender_poll_upcall(bed.sender, &up) == CONFCAST_OK) {
    }
    consumer_write_report(&c, 1, 0, 2, 10);
    CU_ASSERT_EQUAL(consumer_give(&bed, &c), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    consumer_write_report(&c, 1, 1, 2, 10);
    CU_ASSERT_EQUAL(consumer_give(&bed, &c), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 1);
    bed_close(&bed);
}

static void
report_of_another_incarnation_than_the_session_is_refused(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    count_upcalls(&bed, CFC_UPCALL_CONSUMER);
    c.incarnation++;
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 5, 10), CONFCAST_ERR_WRONG_STREAM);
    CU_ASSERT_EQUAL(count_upcalls(&bed, CFC_UPCALL_REPORT), 0);
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    bed_close(&bed);
}

static void
report_that_finds_the_queue_full_is_not_echoed_and_is_taken_when_it_comes_again(void)
{
    struct bed_consumer c[64];
    struct cfc_upcall up;
    uint32_t taken = 0;
    struct bed bed;

    open_with_consumers(&bed, c, 64);
    for (uint32_t i = 0; i < 64; i++) {
        consumer_join(&bed, &c[i]);
    }
    for (uint32_t round = 1; round < 64 && errors(&bed, CONFCAST_ERR_LIMIT) == 0; round++) {
        for (uint32_t i = 0; i < 64; i++) {
            /* A HELLO is larger than a report of one scope, so the ring is full sooner. */
            taken += consumer_report(&bed, &c[i], round, 10) == CONFCAST_OK;
            c[i].nonce[0] += 64;
        }
        bed_pass(&bed, CFC_S / 32);
    }
    while (consumer_report(&bed, &c[0], 1000, 10) == CONFCAST_OK) {
        taken++;
        bed_pass(&bed, CFC_S / 32);
    }
    bed_drain(&bed);
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->reports, taken);
    CU_ASSERT_TRUE(cfc_sender_stats(bed.sender)->reports_refused > 0);
    bed_pass(&bed, CFC_S);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c[1], 2000, 10), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_STATUS, false), 0);
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    /* Nor is a newcomer welcomed whom the control plane would not learn of. */
    c[2].nonce[0]++;
    c[2].incarnation++;
    CU_ASSERT_EQUAL(consumer_hello(&bed, &c[2]), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    while (cfc_sender_poll_upcall(bed.sender, &up) == CONFCAST_OK) {
    }
    CU_ASSERT_EQUAL(consumer_report(&bed, &c[1], 2000, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(bed_drain(&bed), 1);
    CU_ASSERT_EQUAL(echoed_seq(&bed.sent[0], c[1].key), 2000);
    bed_close(&bed);
}

static void
one_consumer_cannot_flood_the_control_plane_with_reports(void)
{
    struct bed_consumer c[2];
    uint32_t taken = 0;
    struct bed bed;

    open_with_consumers(&bed, c, 2);
    consumer_join(&bed, &c[0]);
    consumer_join(&bed, &c[1]);
    for (uint32_t i = 1; i <= 1000; i++) {
        taken += consumer_report(&bed, &c[0], i, 10) == CONFCAST_OK;
    }
    CU_ASSERT_EQUAL(taken, 64);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c[1], 1, 10), CONFCAST_OK);
    bed_pass(&bed, CFC_S);
    for (uint32_t i = 1001; i <= 2000; i++) {
        taken += consumer_report(&bed, &c[0], i, 10) == CONFCAST_OK;
    }
    CU_ASSERT_EQUAL(taken, 64 + 32);
    bed_close(&bed);
}

static void
asking_for_reports_raises_the_generation_at_once_and_counts_parts_anew(void)
{
    struct bed_consumer c;
    struct cfc_status status;
    struct cfc_frame frame;
    struct bed bed;

    open_with_consumers(&bed, &c, 1);
    consumer_join(&bed, &c);
    for (uint8_t part = 0; part < 2; part++) {
        consumer_write_report(&c, 1, part, 2, 10);
        CU_ASSERT_EQUAL(consumer_give(&bed, &c), CONFCAST_OK);
    }
    cfc_sender_ask_reports(bed.sender, &bed.now);
    CU_ASSERT_EQUAL_FATAL(bed_drain(&bed), 1); /* no echo for what may be lost upstairs */
    CU_ASSERT_EQUAL(cfc_frame_open(bed.sent[0].bytes, bed.sent[0].size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_status_decode(&frame, &status), CONFCAST_OK);
    CU_ASSERT_TRUE(bed.sent[0].tx.is_multicast);
    CU_ASSERT_EQUAL(status.windows.report_generation, c.welcome.windows.report_generation + 1);
    consumer_write_report(&c, 1, 0, 2, 10);
    CU_ASSERT_EQUAL(consumer_give(&bed, &c), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    consumer_write_report(&c, 1, 1, 2, 10);
    CU_ASSERT_EQUAL(consumer_give(&bed, &c), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 1);
    bed_close(&bed);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(hello_without_a_cookie_is_challenged_and_nothing_is_stored),
    CFC_CASE(hello_with_the_cookie_gets_a_session_and_goes_upwards),
    CFC_CASE(welcome_proves_that_the_engine_knows_the_credential),
    CFC_CASE(no_answer_to_a_hello_is_larger_than_it),
    CFC_CASE(cookie_of_another_address_or_consumer_is_challenged_again),
    CFC_CASE(cookie_is_good_for_its_period_and_the_next),
    CFC_CASE(hello_with_a_wrong_mac_is_refused_by_name),
    CFC_CASE(one_source_gets_a_bounded_number_of_answers_and_others_still_get_theirs),
    CFC_CASE(repeated_hello_gets_the_same_session_and_goes_upwards_once),
    CFC_CASE(hello_played_again_by_somebody_does_not_cut_the_consumer_off),
    CFC_CASE(new_session_replaces_the_old_one_when_it_is_first_used),
    CFC_CASE(every_truncation_of_a_hello_is_refused_without_an_answer),
    CFC_CASE(frames_that_only_go_downwards_are_of_the_wrong_stream),
    CFC_CASE(newest_incarnation_wins_and_the_older_is_refused),
    CFC_CASE(older_incarnation_is_welcome_when_the_newer_has_been_silent),
    CFC_CASE(clone_under_one_incarnation_is_refused_on_the_way_back),
    CFC_CASE(restart_forgets_where_the_consumer_was_before),
    CFC_CASE(consumer_that_restarts_elsewhere_is_no_clone),
    CFC_CASE(full_roster_refuses_newcomers_while_all_live_and_then_drops_the_longest_silent),
    CFC_CASE(windows_grow_with_the_fleet_at_once_and_shrink_slowly),
    CFC_CASE(frame_under_a_wrong_key_session_or_address_gets_mac_and_no_answer),
    CFC_CASE(same_frame_twice_is_a_replay),
    CFC_CASE(frames_may_overtake_each_other_within_the_window_and_no_further),
    CFC_CASE(report_of_several_parts_is_echoed_when_all_went_upwards),
    CFC_CASE(reports_that_come_close_together_share_an_echo_of_the_newest),
    CFC_CASE(repeated_report_goes_upwards_again_and_is_echoed_again),
    CFC_CASE(report_that_a_newer_one_overtook_goes_nowhere),
    CFC_CASE(echo_that_waits_gives_way_to_a_newer_report_that_is_not_whole),
    CFC_CASE(part_that_was_refused_is_missing_again),
    CFC_CASE(report_of_another_incarnation_than_the_session_is_refused),
    CFC_CASE(report_that_finds_the_queue_full_is_not_echoed_and_is_taken_when_it_comes_again),
    CFC_CASE(one_consumer_cannot_flood_the_control_plane_with_reports),
    CFC_CASE(asking_for_reports_raises_the_generation_at_once_and_counts_parts_anew),
};

CFC_TEST_MAIN("roster", cases)
