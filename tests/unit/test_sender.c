#include "tests/unit/sender_fixture.h"

#include "tests/unit/cunit_main.h"

static void
new_head_is_sent_to_its_group_and_then_the_content(void)
{
    struct bed bed;
    struct bed_content *c;
    uint32_t group;

    bed_open(&bed);
    group = bed_group(&bed, "acme/web");
    c = bed_put_content(&bed, 1, 1000, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(bed_drain(&bed), 9);
    CU_ASSERT_EQUAL(sent_type(&bed.sent[0]), CFC_FRAME_STATUS);
    CU_ASSERT_EQUAL(bed.sent[0].tx.group, BED_CONTROL_GROUP);
    CU_ASSERT_EQUAL(sent_type(&bed.sent[1]), CFC_FRAME_HEAD);
    CU_ASSERT_EQUAL(sent_type(&bed.sent[2]), CFC_FRAME_CONTENT);
    CU_ASSERT_EQUAL(sent_type(&bed.sent[3]), CFC_FRAME_PAGE);
    for (uint32_t i = 4; i < 8; i++) {
        CU_ASSERT_EQUAL(sent_type(&bed.sent[i]), CFC_FRAME_SYMBOL);
    }
    CU_ASSERT_EQUAL(sent_type(&bed.sent[8]), CFC_FRAME_CONTENT);
    for (uint32_t i = 1; i < 9; i++) {
        CU_ASSERT_TRUE(bed.sent[i].tx.is_multicast);
        CU_ASSERT_EQUAL(bed.sent[i].tx.group, group);
    }
    bed_close(&bed);
}

static void
report_goes_upwards_and_is_echoed_to_its_consumer(void)
{
    struct bed_consumer c;
    struct cfc_upcall up;
    struct bed bed;

    bed_open(&bed);
    consumer_init(&bed, &c, 1);
    consumer_join(&bed, &c);
    CU_ASSERT_EQUAL_FATAL(cfc_sender_poll_upcall(bed.sender, &up), CONFCAST_OK);
    CU_ASSERT_EQUAL(up.type, CFC_UPCALL_CONSUMER);
    CU_ASSERT_EQUAL(consumer_report(&bed, &c, 3, 77), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_sender_poll_upcall(bed.sender, &up), CONFCAST_OK);
    CU_ASSERT_EQUAL(up.type, CFC_UPCALL_REPORT);
    CU_ASSERT_EQUAL_FATAL(up.frame_size, c.size);
    CU_ASSERT_EQUAL(memcmp(up.frame, c.frame, c.size), 0);
    CU_ASSERT_EQUAL_FATAL(bed_drain(&bed), 1);
    CU_ASSERT_EQUAL(sent_type(&bed.sent[0]), CFC_FRAME_STATUS);
    CU_ASSERT_TRUE(is_sent_to(&bed.sent[0], &c.address));
    bed_close(&bed);
}

static void
lost_symbols_come_by_unicast_after_the_gathering(void)
{
    struct bed_consumer c;
    struct bed_content *content;
    struct bed bed;

    bed_open(&bed);
    consumer_init(&bed, &c, 1);
    consumer_join(&bed, &c);
    content = bed_put_content(&bed, 1, 5000, 8);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &content->id), CONFCAST_OK);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&bed, &c, content, 1, 0x05), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    bed_pass(&bed, bed.config.gather_ns);
    CU_ASSERT_EQUAL_FATAL(bed_drain(&bed), 2);
    CU_ASSERT_TRUE(is_sent_to(&bed.sent[0], &c.address));
    bed_close(&bed);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(new_head_is_sent_to_its_group_and_then_the_content),
    CFC_CASE(report_goes_upwards_and_is_echoed_to_its_consumer),
    CFC_CASE(lost_symbols_come_by_unicast_after_the_gathering),
};

CFC_TEST_MAIN("sender", cases)
