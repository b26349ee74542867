#include "protocol/session/loss_meter.h"

#include "tests/unit/cunit_main.h"

static struct cfc_prng prng = {.state = 7};

static void
note(struct cfc_loss_meter *meter, uint32_t expected, uint32_t lost, uint32_t late)
{
    struct cfc_loss_count count = {.expected = expected, .lost = lost, .late = late};

    cfc_loss_meter_note(meter, &count, 5, &prng, CFC_S);
}

static struct cfc_loss_meter
new_meter(void)
{
    struct cfc_loss_meter meter;

    cfc_loss_meter_init(&meter);
    return meter;
}

static void
loss_is_the_share_of_what_counted(void)
{
    struct cfc_loss_meter meter = new_meter();

    CU_ASSERT_EQUAL(cfc_loss_meter_loss(&meter), 0);
    note(&meter, 64, 16, 0);
    CU_ASSERT_EQUAL(cfc_loss_meter_loss(&meter), CFC_LOSS_ONE / 4);
    note(&meter, 64, 48, 0);
    CU_ASSERT_EQUAL(cfc_loss_meter_loss(&meter), CFC_LOSS_ONE / 2);
    meter = new_meter();
    note(&meter, 256, 256, 0);
    CU_ASSERT_EQUAL(cfc_loss_meter_loss(&meter), CFC_LOSS_ONE - 1);
}

static void
old_windows_weigh_less_and_are_forgotten_after_eight(void)
{
    struct cfc_loss_meter meter = new_meter();
    uint16_t before;

    for (int i = 0; i < 8; i++) {
        note(&meter, CFC_LOSS_WINDOW_SYMBOLS, CFC_LOSS_WINDOW_SYMBOLS / 2, 0);
    }
    before = cfc_loss_meter_loss(&meter);
    CU_ASSERT_EQUAL(before, CFC_LOSS_ONE / 2);
    for (int i = 0; i < 4; i++) {
        note(&meter, CFC_LOSS_WINDOW_SYMBOLS, 0, 0);
    }
    /* Weights 5 5 5 5 of nothing, 4 3 2 1 of one half. */
    CU_ASSERT_EQUAL(cfc_loss_meter_loss(&meter), CFC_LOSS_ONE / 2 * 10 / 30);
    for (int i = 0; i < 4; i++) {
        note(&meter, CFC_LOSS_WINDOW_SYMBOLS, 0, 0);
    }
    CU_ASSERT_EQUAL(cfc_loss_meter_loss(&meter), 0);
}

static void
what_was_only_overtaken_is_not_lost(void)
{
    struct cfc_loss_meter meter = new_meter();
    struct cfc_loss loss = {.flags = 0};

    note(&meter, 64, 10, 0);
    note(&meter, 0, 0, 4);
    CU_ASSERT_EQUAL(cfc_loss_meter_loss(&meter), CFC_LOSS_ONE * 6 / 64);
    note(&meter, 0, 0, 100);
    CU_ASSERT_EQUAL(cfc_loss_meter_loss(&meter), 0);
    CU_ASSERT(cfc_loss_meter_poll(&meter, CFC_NEVER - 1, &loss));
    CU_ASSERT_EQUAL(loss.expected, 64);
    CU_ASSERT_EQUAL(loss.lost, 0);
}

static void
what_was_overtaken_by_a_new_session_is_not_taken_from_it(void)
{
    struct cfc_loss_meter meter = new_meter();
    struct cfc_loss loss = {.flags = 0};

    note(&meter, 64, 10, 0);
    cfc_loss_meter_restart(&meter);
    note(&meter, 32, 3, 8);
    CU_ASSERT_EQUAL(cfc_loss_meter_loss(&meter), CFC_LOSS_ONE * 5 / 96);
    CU_ASSERT(cfc_loss_meter_poll(&meter, CFC_NEVER - 1, &loss));
    CU_ASSERT_EQUAL(loss.expected, 32);
    CU_ASSERT_EQUAL(loss.lost, 0);
}

static void
a_report_is_due_within_the_spacing_after_something_new(void)
{
    struct cfc_loss_meter meter = new_meter();
    struct cfc_loss loss = {.flags = 0};
    uint64_t earliest = CFC_NEVER, latest = 0;

    CU_ASSERT_EQUAL(meter.at_ns, CFC_NEVER);
    CU_ASSERT_FALSE(cfc_loss_meter_poll(&meter, CFC_S, &loss));
    for (int i = 0; i < 1000; i++) {
        meter.at_ns = CFC_NEVER;
        note(&meter, 64, 1, 0);
        earliest = meter.at_ns < earliest ? meter.at_ns : earliest;
        latest = meter.at_ns > latest ? meter.at_ns : latest;
    }
    CU_ASSERT(earliest < CFC_S + 5 * CFC_MS);
    CU_ASSERT(latest < CFC_S + CFC_LOSS_SPACING_MIN_MS * CFC_MS && latest > CFC_S + 240 * CFC_MS);
    CU_ASSERT_FALSE(cfc_loss_meter_poll(&meter, meter.at_ns - 1, &loss));
    CU_ASSERT(cfc_loss_meter_poll(&meter, meter.at_ns, &loss));
    CU_ASSERT_EQUAL(loss.window_count, 8);
    CU_ASSERT_EQUAL(loss.expected, 64000);
    CU_ASSERT_EQUAL(loss.lost, 1000);
    CU_ASSERT_EQUAL(loss.loss, 1024);
    CU_ASSERT_EQUAL(meter.at_ns, CFC_NEVER);
}

static void
too_little_is_not_reported(void)
{
    struct cfc_loss_meter meter = new_meter();
    struct cfc_loss loss = {.flags = 0};

    note(&meter, CFC_LOSS_SYMBOLS_MIN - 1, 1, 0);
    CU_ASSERT_FALSE(cfc_loss_meter_poll(&meter, CFC_NEVER - 1, &loss));
    note(&meter, 1, 0, 0);
    CU_ASSERT(cfc_loss_meter_poll(&meter, CFC_NEVER - 1, &loss));
    CU_ASSERT_EQUAL(loss.window_count, 1);
    note(&meter, 0, 0, 0);
    CU_ASSERT_EQUAL(meter.at_ns, CFC_NEVER);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(loss_is_the_share_of_what_counted),
    CFC_CASE(old_windows_weigh_less_and_are_forgotten_after_eight),
    CFC_CASE(what_was_only_overtaken_is_not_lost),
    CFC_CASE(what_was_overtaken_by_a_new_session_is_not_taken_from_it),
    CFC_CASE(a_report_is_due_within_the_spacing_after_something_new),
    CFC_CASE(too_little_is_not_reported),
};

CFC_TEST_MAIN("loss_meter", cases)
