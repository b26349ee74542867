/* What a sender spares because of what consumers report: echoes one by one, and repeats of heads.
 */
#include "tests/unit/cunit_main.h"
#include "tests/unit/sender_fixture.h"

#define SCOPE "acme/small"

static void
open_gathering(struct bed *bed, uint32_t consumers_max)
{
    bed_init(bed);
    bed->config.echo_ns = 50 * CFC_MS;
    bed->config.consumers_max = consumers_max;
    bed->config.status_period_ns = 1000 * CFC_S;
    bed_start(bed);
    bed_drain(bed);
}

static void
join(struct bed *bed, struct bed_consumer *consumers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        consumer_init(bed, &consumers[i], i + 1);
        consumer_join(bed, &consumers[i]);
    }
}

static int
report(struct bed *bed, struct bed_consumer *c, uint64_t seq, const struct cfc_report_entry *entry)
{
    struct cfc_writer w = cfc_writer_of(c->frame, sizeof(c->frame));
    struct cfc_report made = {.consumer_key = c->key,
                              .incarnation = c->incarnation,
                              .report_seq = seq,
                              .part_count = 1,
                              .entry_count = 1};
    int code = cfc_report_write(&w, &made, entry, c->id, c->id_size, &c->report_key);

    assert(code == CONFCAST_OK);
    code = cfc_trailer_seal(&w, c->session, ++c->seq, &c->session_key, &c->address, &c->size);
    assert(code == CONFCAST_OK);
    (void)code;
    return consumer_give(bed, c);
}

static struct cfc_report_entry
entry_of(struct bed *bed, uint64_t version, uint8_t state)
{
    return (struct cfc_report_entry){.scope_id = bed_scope_id(bed, SCOPE),
                                     .epoch = 1,
                                     .accepted = version,
                                     .serving_version =
                                         state == CFC_APPLY_APPLIED ? version : version - 1,
                                     .state = state};
}

static int
tell(struct bed *bed, struct bed_consumer *c, uint64_t seq, uint64_t version, uint8_t state)
{
    struct cfc_report_entry entry = entry_of(bed, version, state);

    return report(bed, c, seq, &entry);
}

static uint32_t
echo_count(const struct sent *sent)
{
    struct cfc_status status;
    struct cfc_frame frame;

    return cfc_frame_open(sent->bytes, sent->size, &frame) == CONFCAST_OK &&
                   cfc_status_decode(&frame, &status) == CONFCAST_OK
               ? status.echo_count
               : 0;
}

/* -- Echoes */

static void
echoes_of_a_small_fleet_go_together_after_a_while(void)
{
    struct bed_consumer c[8];
    struct bed bed;

    open_gathering(&bed, 64);
    join(&bed, c, 8);
    for (uint32_t i = 0; i < 8; i++) {
        CU_ASSERT_EQUAL(tell(&bed, &c[i], 1, 1, CFC_APPLY_APPLIED), CONFCAST_OK);
        CU_ASSERT_EQUAL(bed_run(&bed, 5 * CFC_MS), 0);
    }
    CU_ASSERT_EQUAL(tell(&bed, &c[3], 2, 1, CFC_APPLY_APPLIED), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_run(&bed, 10 * CFC_MS - 1), 0);
    CU_ASSERT_EQUAL_FATAL(bed_run(&bed, 1), 1);
    CU_ASSERT_TRUE(bed.sent[0].tx.is_multicast);
    CU_ASSERT_EQUAL(bed.sent[0].tx.group, BED_CONTROL_GROUP);
    CU_ASSERT_EQUAL(echo_count(&bed.sent[0]), 8);
    CU_ASSERT_EQUAL(bed_run(&bed, CFC_S), 0);
    bed_close(&bed);
}

static void
a_single_echo_goes_to_its_consumer_alone(void)
{
    struct bed_consumer c[2];
    struct bed bed;

    open_gathering(&bed, 64);
    join(&bed, c, 2);
    CU_ASSERT_EQUAL(tell(&bed, &c[1], 1, 1, CFC_APPLY_APPLIED), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(bed_run(&bed, 50 * CFC_MS), 1);
    CU_ASSERT_TRUE(is_sent_to(&bed.sent[0], &c[1].address));
    CU_ASSERT_EQUAL(echo_count(&bed.sent[0]), 1);
    bed_close(&bed);
}

static void
a_larger_fleet_is_echoed_one_by_one_and_at_once(void)
{
    struct bed_consumer *c = calloc(CFC_STATUS_ECHOES_MAX + 1, sizeof(*c));
    struct bed bed;

    CU_ASSERT_PTR_NOT_NULL_FATAL(c);
    open_gathering(&bed, 2 * CFC_STATUS_ECHOES_MAX);
    join(&bed, c, CFC_STATUS_ECHOES_MAX);
    CU_ASSERT_EQUAL(tell(&bed, &c[0], 1, 1, CFC_APPLY_APPLIED), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_run(&bed, CFC_MS), 0);
    consumer_init(&bed, &c[CFC_STATUS_ECHOES_MAX], CFC_STATUS_ECHOES_MAX + 1);
    consumer_join(&bed, &c[CFC_STATUS_ECHOES_MAX]);
    CU_ASSERT_EQUAL(tell(&bed, &c[1], 1, 1, CFC_APPLY_APPLIED), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(bed_drain(&bed), 1); /* the other went when the fleet had grown */
    CU_ASSERT_TRUE(is_sent_to(&bed.sent[0], &c[1].address));
    bed_close(&bed);
    free(c);
}

static void
a_fleet_that_is_known_to_be_larger_is_echoed_at_once(void)
{
    struct bed_consumer c;
    struct bed bed;

    open_gathering(&bed, 64);
    join(&bed, &c, 1);
    CU_ASSERT_EQUAL(cfc_sender_set_shard(bed.sender, 0, 1, CFC_STATUS_ECHOES_MAX + 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(tell(&bed, &c, 1, 1, CFC_APPLY_APPLIED), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(bed_drain(&bed), 1);
    CU_ASSERT_TRUE(is_sent_to(&bed.sent[0], &c.address));
    bed_close(&bed);
}

/* -- Heads */

/* A fleet that follows SCOPE and has settled version 1; its heads rest. */
static void
open_following(struct bed *bed, struct bed_consumer *consumers, uint32_t count,
               struct bed_content **content)
{
    bed_open_quiet(bed);
    *content = bed_put_content(bed, 1, 1000, 4);
    CU_ASSERT_EQUAL(bed_put_head(bed, SCOPE, 1, 1, &(*content)->id), CONFCAST_OK);
    bed_run(bed, CFC_S);
    join(bed, consumers, count);
    for (uint32_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(tell(bed, &consumers[i], 1, 1, CFC_APPLY_APPLIED), CONFCAST_OK);
    }
    bed_run(bed, CFC_S);
    CU_ASSERT_EQUAL(bed_put_head(bed, SCOPE, 1, 2, &(*content)->id), CONFCAST_OK);
    bed_run(bed, CFC_MS);
    CU_ASSERT_EQUAL(bed_count(bed, CFC_FRAME_HEAD, true), 2);
}

/* How often the head goes within the next second. */
static uint32_t
heads_to_come(struct bed *bed)
{
    bed_run(bed, CFC_S);
    return bed_count(bed, CFC_FRAME_HEAD, true);
}

static void
head_rests_when_all_that_follow_have_said_what_became_of_it(void)
{
    struct bed_content *content;
    struct bed_consumer c[3];
    struct bed bed;

    open_following(&bed, c, 3, &content);
    CU_ASSERT_EQUAL(tell(&bed, &c[0], 2, 2, CFC_APPLY_APPLIED), CONFCAST_OK);
    CU_ASSERT_EQUAL(tell(&bed, &c[1], 2, 2, CFC_APPLY_REJECTED), CONFCAST_OK);
    CU_ASSERT_EQUAL(tell(&bed, &c[2], 2, 2, CFC_APPLY_PREPARED), CONFCAST_OK);
    CU_ASSERT_EQUAL(heads_to_come(&bed), 0);

    CU_ASSERT_EQUAL(bed_put_head(&bed, SCOPE, 1, 3, &content->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(heads_to_come(&bed), 5); /* the next version begins anew */
    bed_close(&bed);
}

static void
head_is_repeated_while_one_has_not_said_it(void)
{
    struct bed_content *content;
    struct bed_consumer c[3];
    struct bed bed;

    open_following(&bed, c, 3, &content);
    CU_ASSERT_EQUAL(tell(&bed, &c[0], 2, 2, CFC_APPLY_APPLIED), CONFCAST_OK);
    CU_ASSERT_EQUAL(tell(&bed, &c[2], 2, 2, CFC_APPLY_APPLIED), CONFCAST_OK);
    CU_ASSERT_EQUAL(heads_to_come(&bed), 3);
    bed_close(&bed);
}

static void
head_is_repeated_while_one_still_receives_or_reports_the_version_before(void)
{
    struct bed_content *content;
    struct bed_consumer c[2];
    struct bed bed;

    open_following(&bed, c, 2, &content);
    CU_ASSERT_EQUAL(tell(&bed, &c[0], 2, 2, CFC_APPLY_APPLIED), CONFCAST_OK);
    CU_ASSERT_EQUAL(tell(&bed, &c[1], 2, 2, CFC_APPLY_RECEIVING), CONFCAST_OK);
    bed_run(&bed, 20 * CFC_MS);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_HEAD, true), 1);
    CU_ASSERT_EQUAL(tell(&bed, &c[1], 3, 1, CFC_APPLY_APPLIED), CONFCAST_OK);
    CU_ASSERT_EQUAL(heads_to_come(&bed), 2);
    bed_close(&bed);
}

static void
head_is_repeated_when_nobody_has_ever_reported_on_its_scope(void)
{
    struct bed_content *content;
    struct bed_consumer c;
    struct bed bed;

    bed_open_quiet(&bed);
    join(&bed, &c, 1);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 1, 10), CONFCAST_OK); /* another scope */
    content = bed_put_content(&bed, 1, 1000, 4);
    CU_ASSERT_EQUAL(bed_put_head(&bed, SCOPE, 1, 1, &content->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(heads_to_come(&bed), 5);
    bed_close(&bed);
}

static void
head_of_a_scope_with_many_followers_does_not_rest(void)
{
    struct bed_consumer *c = calloc(CFC_STATUS_ECHOES_MAX + 1, sizeof(*c));
    struct bed_content *content;
    struct bed bed;

    CU_ASSERT_PTR_NOT_NULL_FATAL(c);
    bed_init(&bed);
    bed.config.consumers_max = 2 * CFC_STATUS_ECHOES_MAX;
    bed.config.status_period_ns = 1000 * CFC_S;
    bed_start(&bed);
    content = bed_put_content(&bed, 1, 1000, 4);
    CU_ASSERT_EQUAL(bed_put_head(&bed, SCOPE, 1, 1, &content->id), CONFCAST_OK);
    bed_run(&bed, CFC_MS);
    join(&bed, c, CFC_STATUS_ECHOES_MAX + 1);
    for (uint32_t i = CFC_STATUS_ECHOES_MAX + 1; i-- > 0;) {
        CU_ASSERT_EQUAL(tell(&bed, &c[i], 1, 1, CFC_APPLY_APPLIED), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(heads_to_come(&bed), 3);
    bed_close(&bed);
    free(c);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(echoes_of_a_small_fleet_go_together_after_a_while),
    CFC_CASE(a_single_echo_goes_to_its_consumer_alone),
    CFC_CASE(a_larger_fleet_is_echoed_one_by_one_and_at_once),
    CFC_CASE(a_fleet_that_is_known_to_be_larger_is_echoed_at_once),
    CFC_CASE(head_rests_when_all_that_follow_have_said_what_became_of_it),
    CFC_CASE(head_is_repeated_while_one_has_not_said_it),
    CFC_CASE(head_is_repeated_while_one_still_receives_or_reports_the_version_before),
    CFC_CASE(head_is_repeated_when_nobody_has_ever_reported_on_its_scope),
    CFC_CASE(head_of_a_scope_with_many_followers_does_not_rest),
};

CFC_TEST_MAIN("sender_feedback", cases)
