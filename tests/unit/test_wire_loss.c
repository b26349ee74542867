#include "protocol/wire/loss.h"

#include "tests/unit/cunit_main.h"
#include "tests/unit/wire_patch.h"

static struct fixture fx;

static int
write_loss(const struct cfc_loss *loss, size_t capacity)
{
    struct cfc_writer w = cfc_writer_of(fx.frame, capacity);
    int rc = cfc_loss_write(&w, loss);

    return rc == CONFCAST_OK ? cfc_trailer_seal(&w, 77, 3, &fx.session_key, &fx.address, &fx.size)
                             : rc;
}

static int
decode_loss(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_loss loss;

    (void)f;
    return cfc_loss_decode(frame, &loss);
}

static int
decode_advice(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_advice advice;
    int rc = cfc_advice_decode(frame, &advice);

    return rc == CONFCAST_OK ? cfc_advice_check(frame, &f->session_key) : rc;
}

static void
a_loss_says_what_was_measured_and_of_how_much(void)
{
    static const struct patch patches[] = {
        {"loss", 24, 2, 65535, CONFCAST_OK},          {"windows 0", 26, 1, 0, CONFCAST_ERR_RANGE},
        {"windows 8", 26, 1, 8, CONFCAST_OK},         {"windows 9", 26, 1, 9, CONFCAST_ERR_RANGE},
        {"reserved", 27, 1, 1, CONFCAST_ERR_VERSION}, {"flags", 28, 4, 1, CONFCAST_OK},
        {"flags", 28, 4, 2, CONFCAST_ERR_VERSION},    {"trailer", 36, 4, 1, CONFCAST_ERR_VERSION},
    };
    struct cfc_loss in = {.consumer_key = 0x99,
                          .expected = UINT32_MAX,
                          .lost = 7,
                          .loss = 1000,
                          .window_count = 3,
                          .flags = CFC_LOSS_FLAG_PULLING};
    struct cfc_loss out;
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(write_loss(&in, sizeof(fx.frame)), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_loss_decode(&frame, &out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.consumer_key, 0x99);
    CU_ASSERT_EQUAL(out.expected, UINT32_MAX);
    CU_ASSERT_EQUAL(out.lost, 7);
    CU_ASSERT_EQUAL(out.loss, 1000);
    CU_ASSERT_EQUAL(out.window_count, 3);
    CU_ASSERT_EQUAL(out.flags, CFC_LOSS_FLAG_PULLING);
    CU_ASSERT_EQUAL(PATCHES_WRONG(&fx, patches, decode_loss), 0);
    frame.type = CFC_FRAME_NACK;
    CU_ASSERT_EQUAL(decode_loss(&fx, &frame), CONFCAST_ERR_INVALID);
    for (size_t capacity = 0; capacity < fx.size; capacity++) {
        CU_ASSERT_EQUAL(write_loss(&in, capacity), CONFCAST_ERR_LIMIT);
    }
    in.window_count = 0;
    CU_ASSERT_EQUAL(write_loss(&in, sizeof(fx.frame)), CONFCAST_ERR_INVALID);
}

static void
what_follows_a_loss_is_skipped_unless_it_is_critical(void)
{
    struct cfc_loss loss = {.consumer_key = 0x99, .window_count = 1};

    for (int is_critical = 0; is_critical <= 1; is_critical++) {
        struct cfc_writer w = cfc_writer_of(fx.frame, sizeof(fx.frame));
        struct cfc_frame frame;

        CU_ASSERT_EQUAL_FATAL(cfc_loss_write(&w, &loss), CONFCAST_OK);
        cfc_tlv_write(&w, (uint16_t)(0x7ff | (is_critical ? CFC_TLV_CRITICAL : 0)), "later", 5);
        CU_ASSERT_EQUAL_FATAL(cfc_trailer_seal(&w, 77, 3, &fx.session_key, &fx.address, &fx.size),
                              CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
        CU_ASSERT_EQUAL(decode_loss(&fx, &frame),
                        is_critical ? CONFCAST_ERR_UNSUPPORTED : CONFCAST_OK);
        /* A TLV that is cut off. */
        fx.frame[34]++;
        CU_ASSERT_EQUAL(decode_loss(&fx, &frame), CONFCAST_ERR_LENGTH);
    }
}

static void
an_older_end_skips_both(void)
{
    CU_ASSERT((CFC_FRAME_LOSS & CFC_FRAME_SKIPPABLE) != 0);
    CU_ASSERT((CFC_FRAME_ADVICE & CFC_FRAME_SKIPPABLE) != 0);
}

static void
advice_is_the_engines_and_smaller_than_what_it_answers(void)
{
    static const struct patch patches[] = {
        {"kind 0", 16, 1, 0, CONFCAST_ERR_VERSION},
        {"kind 2", 16, 1, 2, CONFCAST_ERR_VERSION},
        {"reserved", 17, 1, 1, CONFCAST_ERR_VERSION},
        {"reserved", 18, 2, 1, CONFCAST_ERR_VERSION},
        {"hold 0", 20, 4, 0, CONFCAST_ERR_RANGE},
        {"hold a day", 20, 4, 86400, CONFCAST_ERR_MAC},
        {"hold longer", 20, 4, 86401, CONFCAST_ERR_RANGE},
        {"session", 24, 4, 78, CONFCAST_ERR_MAC},
        {"reserved", 28, 4, 1, CONFCAST_ERR_VERSION},
        {"seq", 32, 8, 10, CONFCAST_ERR_MAC},
        {"engine", 8, 8, 1, CONFCAST_ERR_MAC},
    };
    struct cfc_loss loss = {.window_count = 1};
    struct cfc_advice in = {
        .boot_id = 5, .kind = CFC_ADVICE_PULL, .hold_s = 300, .session = 77, .seq = 9};
    struct cfc_advice out;
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(write_loss(&loss, sizeof(fx.frame)), CONFCAST_OK);
    CU_ASSERT(fx.size > CFC_ADVICE_SIZE);
    CU_ASSERT_EQUAL_FATAL(
        cfc_advice_encode(&in, &fx.session_key, fx.frame, sizeof(fx.frame), &fx.size), CONFCAST_OK);
    CU_ASSERT_EQUAL(fx.size, CFC_ADVICE_SIZE);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_advice_decode(&frame, &out), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_advice_check(&frame, &fx.session_key), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_advice_check(&frame, &fx.credential_key), CONFCAST_ERR_MAC);
    CU_ASSERT_EQUAL(out.boot_id, 5);
    CU_ASSERT_EQUAL(out.hold_s, 300);
    CU_ASSERT_EQUAL(out.session, 77);
    CU_ASSERT_EQUAL(out.seq, 9);
    CU_ASSERT_EQUAL(PATCHES_WRONG(&fx, patches, decode_advice), 0);
    CU_ASSERT_EQUAL(flips_accepted(&fx, 0, fx.size, decode_advice), 0);
    for (size_t capacity = 0; capacity < CFC_ADVICE_SIZE; capacity++) {
        CU_ASSERT_EQUAL(cfc_advice_encode(&in, &fx.session_key, fx.frame, capacity, &fx.size),
                        CONFCAST_ERR_LIMIT);
    }
    in.hold_s = 0;
    CU_ASSERT_EQUAL(cfc_advice_encode(&in, &fx.session_key, fx.frame, sizeof(fx.frame), &fx.size),
                    CONFCAST_ERR_INVALID);
    frame.type = CFC_FRAME_GONE;
    CU_ASSERT_EQUAL(decode_advice(&fx, &frame), CONFCAST_ERR_INVALID);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_loss_says_what_was_measured_and_of_how_much),
    CFC_CASE(what_follows_a_loss_is_skipped_unless_it_is_critical),
    CFC_CASE(an_older_end_skips_both),
    CFC_CASE(advice_is_the_engines_and_smaller_than_what_it_answers),
};

int
main(void)
{
    int failed;

    fixture_open(&fx);
    failed = cfc_test_main("wire_loss", cases, sizeof(cases) / sizeof(cases[0]));
    fixture_close(&fx);
    return failed;
}
