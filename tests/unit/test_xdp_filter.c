/* The XDP program itself, on frames made here (BPF_PROG_TEST_RUN), by the kernel that would run it
 * on an interface.  Takes CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "confcast/error.h"
#include "consumer/xdp/filter.h"
#include "protocol/wire/frame.h"
#include "protocol/wire/head.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/golden.h"
#include "tests/unit/xdp_fixture.h"

static struct cfc_xdp_filter *filter;

/* ---- Running it ------------------------------------------------------------------------------ */

static bool
passes_cut(const struct packet *p, size_t size)
{
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = p->bytes, .data_size_in = (uint32_t)size,
                .repeat = 1);

    CU_ASSERT_EQUAL_FATAL(bpf_prog_test_run_opts(cfc_xdp_filter_program_fd(filter), &options), 0);
    CU_ASSERT(options.retval == XDP_PASS || options.retval == XDP_DROP);
    return options.retval == XDP_PASS;
}

/* The one counter that rose. */
static enum cfc_xdp_filter_verdict
verdict_of(struct packet p)
{
    uint64_t before[CFC_XDP_VERDICT_COUNT];
    uint64_t after[CFC_XDP_VERDICT_COUNT];
    int verdict = -1;
    bool passes;

    cfc_xdp_filter_counts(filter, before);
    passes = passes_cut(&p, p.size);
    cfc_xdp_filter_counts(filter, after);
    for (int i = 0; i < CFC_XDP_VERDICT_COUNT; i++) {
        if (after[i] != before[i]) {
            CU_ASSERT_EQUAL(after[i], before[i] + 1);
            CU_ASSERT_EQUAL(verdict, -1);
            verdict = i;
        }
    }
    CU_ASSERT_NOT_EQUAL_FATAL(verdict, -1);
    CU_ASSERT_EQUAL(passes, verdict < CFC_XDP_DROPPED_UNWANTED);
    return (enum cfc_xdp_filter_verdict)verdict;
}

#define CHECK(packet, verdict) CU_ASSERT_EQUAL(verdict_of(packet), verdict)

/* A filter that drops; MINE is wanted. */
static void
open_filter(bool wants_ipv6)
{
    struct cfc_xdp_filter_config config;

    is_ipv6 = wants_ipv6;
    config = fleet_config();
    CU_ASSERT_EQUAL_FATAL(cfc_xdp_filter_open(&config, &filter), CONFCAST_OK);
    cfc_xdp_filter_want(filter, MINE);
    cfc_xdp_filter_set_open(filter, false);
}

static void
close_filter(void)
{
    cfc_xdp_filter_close(filter);
    filter = NULL;
}

/* ---- Cases ----------------------------------------------------------------------------------- */

static void
heads_of_unwanted_scopes_are_dropped_and_wanted_ones_pass(void)
{
    for (int v6 = 0; v6 < 2; v6++) {
        open_filter(v6 != 0);
        CHECK(plain_head(MINE, A), CFC_XDP_PASSED);
        CHECK(plain_head(FOREIGN, B), CFC_XDP_DROPPED_UNWANTED);
        CHECK(plain_head(ELSEWHERE, C), CFC_XDP_DROPPED_UNWANTED);
        cfc_xdp_filter_want(filter, FOREIGN);
        CHECK(plain_head(FOREIGN, B), CFC_XDP_PASSED);
        cfc_xdp_filter_unwant(filter, FOREIGN);
        CHECK(plain_head(FOREIGN, B), CFC_XDP_DROPPED_UNWANTED);
        CHECK(plain_head(MINE, A), CFC_XDP_PASSED);
        close_filter();
    }
}

static void
contents_of_unwanted_heads_are_dropped_whatever_frame_they_are_in(void)
{
    static const uint8_t types[] = {CFC_FRAME_CONTENT, CFC_FRAME_PAGE, CFC_FRAME_SYMBOL};

    open_filter(false);
    for (size_t i = 0; i < sizeof(types); i++) {
        CHECK(packet_of(1, types[i], A, 400), CFC_XDP_PASSED); /* nobody said whose it is */
    }
    CHECK(plain_head(FOREIGN, A), CFC_XDP_DROPPED_UNWANTED);
    for (size_t i = 0; i < sizeof(types); i++) {
        CHECK(packet_of(1, types[i], A, 400), CFC_XDP_DROPPED_UNWANTED);
        CHECK(packet_of(1, types[i], B, 400), CFC_XDP_PASSED);
    }
    close_filter();
}

static void
every_arm_and_fallback_of_a_head_is_learnt(void)
{
    uint64_t contents[4] = {0x101, 0x102, 0x103, 0x104};
    uint64_t fallbacks[4] = {0x201, 0, 0x203, 0x204};

    open_filter(false);
    CHECK(head(FOREIGN, 4, contents, fallbacks), CFC_XDP_DROPPED_UNWANTED);
    for (int i = 0; i < 4; i++) {
        CHECK(symbol(contents[i]), CFC_XDP_DROPPED_UNWANTED);
        if (fallbacks[i] != 0) {
            CHECK(symbol(fallbacks[i]), CFC_XDP_DROPPED_UNWANTED);
        }
    }
    CHECK(symbol(0), CFC_XDP_PASSED); /* no fallback is no content */
    close_filter();
}

static void
a_content_that_a_wanted_head_names_passes_though_an_unwanted_one_names_it_too(void)
{
    open_filter(false);
    CHECK(plain_head(FOREIGN, A), CFC_XDP_DROPPED_UNWANTED);
    CHECK(symbol(A), CFC_XDP_DROPPED_UNWANTED);
    CHECK(plain_head(MINE, A), CFC_XDP_PASSED);
    CHECK(symbol(A), CFC_XDP_PASSED);
    CHECK(plain_head(FOREIGN, A), CFC_XDP_DROPPED_UNWANTED);
    CHECK(symbol(A), CFC_XDP_PASSED);
    close_filter();
}

static void
a_newly_wanted_scope_opens_what_was_learnt_before(void)
{
    open_filter(false);
    CHECK(plain_head(FOREIGN, A), CFC_XDP_DROPPED_UNWANTED);
    CHECK(symbol(A), CFC_XDP_DROPPED_UNWANTED);
    cfc_xdp_filter_want(filter, FOREIGN);
    CHECK(symbol(A), CFC_XDP_PASSED);
    CHECK(plain_head(FOREIGN, A), CFC_XDP_PASSED);
    CHECK(symbol(A), CFC_XDP_PASSED);
    cfc_xdp_filter_unwant(filter, FOREIGN);
    CHECK(plain_head(FOREIGN, A), CFC_XDP_DROPPED_UNWANTED);
    CHECK(symbol(A), CFC_XDP_DROPPED_UNWANTED);
    close_filter();
}

static void
held_contents_are_dropped_until_somebody_needs_them(void)
{
    open_filter(false);
    CHECK(plain_head(MINE, A), CFC_XDP_PASSED);
    cfc_xdp_filter_pin(filter, A, CFC_XDP_HELD);
    CHECK(symbol(A), CFC_XDP_DROPPED_HELD);
    CHECK(plain_head(MINE, A), CFC_XDP_PASSED);
    cfc_xdp_filter_pin(filter, A, CFC_XDP_NEEDED);
    CHECK(symbol(A), CFC_XDP_PASSED);
    cfc_xdp_filter_pin(filter, A, CFC_XDP_HELD);
    CHECK(symbol(A), CFC_XDP_DROPPED_HELD);
    cfc_xdp_filter_pin(filter, A, 0);
    CHECK(symbol(A), CFC_XDP_PASSED);
    close_filter();
}

/* Heads are not verified in the kernel: a forged one must not cost what a verified one named. */
static void
what_a_verified_head_needs_passes_whatever_heads_on_the_wire_say(void)
{
    open_filter(false);
    cfc_xdp_filter_pin(filter, A, CFC_XDP_NEEDED);
    CHECK(plain_head(FOREIGN, A), CFC_XDP_DROPPED_UNWANTED);
    CHECK(symbol(A), CFC_XDP_PASSED);
    close_filter();
}

static void
groups_without_a_wanted_scope_are_dropped(void)
{
    open_filter(false);
    CHECK(packet_of(1, CFC_FRAME_SYMBOL, A, 400), CFC_XDP_PASSED);
    CHECK(packet_of(0, CFC_FRAME_SYMBOL, A, 400), CFC_XDP_DROPPED_UNWANTED);
    CHECK(packet_of(2, CFC_FRAME_PAGE, A, 400), CFC_XDP_DROPPED_UNWANTED);
    CHECK(packet_of(3, CFC_FRAME_CONTENT, A, 400), CFC_XDP_DROPPED_UNWANTED);
    cfc_xdp_filter_want(filter, ELSEWHERE);
    CHECK(packet_of(2, CFC_FRAME_PAGE, A, 400), CFC_XDP_PASSED);
    cfc_xdp_filter_unwant(filter, ELSEWHERE);
    CHECK(packet_of(2, CFC_FRAME_PAGE, A, 400), CFC_XDP_DROPPED_UNWANTED);
    cfc_xdp_filter_want(filter, FOREIGN); /* one of two in a group goes */
    cfc_xdp_filter_unwant(filter, FOREIGN);
    CHECK(packet_of(1, CFC_FRAME_SYMBOL, A, 400), CFC_XDP_PASSED);
    close_filter();
}

static void
what_concerns_everybody_passes_in_every_group(void)
{
    static const uint8_t types[] = {0,
                                    CFC_FRAME_FRESH,
                                    CFC_FRAME_STATUS,
                                    CFC_FRAME_WELCOME,
                                    CFC_FRAME_GONE,
                                    9,
                                    CFC_FRAME_HELLO,
                                    CFC_FRAME_SKIPPABLE | 1,
                                    255};

    open_filter(false);
    for (uint32_t group = 0; group <= GROUPS; group++) {
        for (size_t i = 0; i < sizeof(types); i++) {
            CHECK(packet_of(group, types[i], FOREIGN, 400), CFC_XDP_PASSED);
        }
    }
    /* The control group carries no contents; whoever sends them there is not to be guessed at. */
    CHECK(packet_of(GROUPS, CFC_FRAME_SYMBOL, A, 400), CFC_XDP_PASSED);
    close_filter();
}

static void
an_open_filter_drops_nothing(void)
{
    open_filter(false);
    cfc_xdp_filter_pin(filter, A, CFC_XDP_HELD);
    cfc_xdp_filter_set_open(filter, true);
    CU_ASSERT_TRUE(cfc_xdp_filter_is_open(filter));
    CHECK(plain_head(FOREIGN, B), CFC_XDP_PASSED);
    CHECK(symbol(A), CFC_XDP_PASSED);
    CHECK(packet_of(3, CFC_FRAME_SYMBOL, C, 400), CFC_XDP_PASSED);
    cfc_xdp_filter_set_open(filter, false);
    CHECK(symbol(A), CFC_XDP_DROPPED_HELD);
    close_filter();
}

static void
what_is_not_from_the_engine_to_a_group_and_port_of_the_fleet_passes(void)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct packet good;
        struct packet p;

        open_filter(v6 != 0);
        good = plain_head(FOREIGN, A);
        CHECK(good, CFC_XDP_DROPPED_UNWANTED);
        p = good;
        p.bytes[p.ip + (v6 ? 8 + 15 : 12 + 3)] ^= 2; /* source */
        CHECK(p, CFC_XDP_NOT_OURS);
        p = good;
        p.bytes[p.ip + (v6 ? 24 + 15 : 16 + 3)] += GROUPS; /* behind the control group */
        CHECK(p, CFC_XDP_NOT_OURS);
        p = good;
        p.bytes[p.ip + (v6 ? 24 + 13 : 16 + 1)] ^= 1; /* another range of groups */
        CHECK(p, CFC_XDP_NOT_OURS);
        p = good;
        p.bytes[p.udp + 3] ^= 1; /* port */
        CHECK(p, CFC_XDP_NOT_OURS);
        p = good;
        p.bytes[p.ip + (v6 ? 6 : 9)] = 6; /* TCP; with IPv6 any extension header likewise */
        CHECK(p, CFC_XDP_NOT_OURS);
        p = good;
        put_be16(p.bytes + 12, ETH_P_ARP);
        CHECK(p, CFC_XDP_NOT_OURS);
        close_filter();
    }
    open_filter(true);
    {
        struct packet p = plain_head(FOREIGN, A);

        p.bytes[p.ip + 24 + 3] ^= 1; /* same end, another prefix */
        CHECK(p, CFC_XDP_NOT_OURS);
    }
    close_filter();
}

static void
unicast_of_the_engine_passes(void)
{
    struct packet p;

    open_filter(false);
    p = plain_head(FOREIGN, A);
    memcpy(p.bytes + p.ip + 16, (const uint8_t[]){10, 77, 0, 2}, 4);
    CHECK(p, CFC_XDP_NOT_OURS);
    close_filter();
}

static void
fragments_and_ip_options_pass(void)
{
    struct packet p;

    open_filter(false);
    p = plain_head(FOREIGN, A);
    put_be16(p.bytes + p.ip + 6, 0x2000); /* more to come */
    CHECK(p, CFC_XDP_NOT_OURS);
    put_be16(p.bytes + p.ip + 6, 0x0010); /* a later piece */
    CHECK(p, CFC_XDP_NOT_OURS);
    put_be16(p.bytes + p.ip + 6, 0x4000); /* do not fragment: whole */
    CHECK(p, CFC_XDP_DROPPED_UNWANTED);
    p.bytes[p.ip] = 0x46;
    CHECK(p, CFC_XDP_NOT_OURS);
    close_filter();
}

/* Puts an 802.1Q tag in. */
static struct packet
tagged(struct packet p, unsigned tci)
{
    memmove(p.bytes + ETH + VLAN, p.bytes + ETH, p.size - ETH);
    memcpy(p.bytes + ETH + 2, p.bytes + 12, 2);
    put_be16(p.bytes + 12, ETH_P_8021Q);
    put_be16(p.bytes + ETH, tci);
    p.size += VLAN;
    return p;
}

static void
a_priority_tag_is_looked_through_and_another_vlan_passes(void)
{
    for (int v6 = 0; v6 < 2; v6++) {
        open_filter(v6 != 0);
        CHECK(tagged(plain_head(FOREIGN, A), 0), CFC_XDP_DROPPED_UNWANTED);
        CHECK(tagged(plain_head(FOREIGN, A), 5U << 13), CFC_XDP_DROPPED_UNWANTED);
        CHECK(tagged(plain_head(MINE, B), 5U << 13), CFC_XDP_PASSED);
        CHECK(tagged(plain_head(FOREIGN, A), 7), CFC_XDP_NOT_OURS);
        CHECK(tagged(plain_head(FOREIGN, A), 4095), CFC_XDP_NOT_OURS);
        CHECK(tagged(tagged(plain_head(FOREIGN, A), 0), 0), CFC_XDP_NOT_OURS);
        close_filter();
    }
}

static void
what_is_no_frame_of_this_version_passes_as_malformed(void)
{
    struct packet good;
    struct packet p;

    open_filter(false);
    good = plain_head(FOREIGN, A);
    p = good;
    p.bytes[p.frame] ^= 1; /* magic */
    CHECK(p, CFC_XDP_MALFORMED);
    p = good;
    p.bytes[p.frame + 2] = 2; /* a later version of the protocol */
    CHECK(p, CFC_XDP_MALFORMED);
    p = good;
    p.bytes[p.frame + 4]++; /* size */
    CHECK(p, CFC_XDP_MALFORMED);
    p = good;
    p.bytes[p.frame + 6] = 1; /* flags */
    CHECK(p, CFC_XDP_MALFORMED);
    p = good;
    put_be16(p.bytes + p.udp + 4, UDP + 699); /* of the datagram */
    CHECK(p, CFC_XDP_MALFORMED);
    p = packet_of(1, CFC_FRAME_HEAD, FOREIGN, 16);
    CHECK(p, CFC_XDP_DROPPED_UNWANTED); /* the shortest that there is */
    p.bytes[p.frame + 4] = 15;
    put_be16(p.bytes + p.udp + 4, UDP + 15);
    CHECK(p, CFC_XDP_MALFORMED);
    CHECK(datagram(1, 0), CFC_XDP_MALFORMED);
    CHECK(datagram(1, 1), CFC_XDP_MALFORMED);
    close_filter();
}

/* BPF_PROG_TEST_RUN takes no less than an Ethernet header. */
static void
a_packet_that_ends_anywhere_before_its_frame_header_passes(void)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct packet p;

        open_filter(v6 != 0);
        p = plain_head(FOREIGN, A);
        for (size_t size = ETH; size < p.frame + CFC_FRAME_HEADER_SIZE; size++) {
            CU_ASSERT_TRUE(passes_cut(&p, size));
        }
        CU_ASSERT_FALSE(passes_cut(&p, p.frame + CFC_FRAME_HEADER_SIZE));
        p = tagged(p, 0);
        for (size_t size = ETH; size < p.frame + VLAN + CFC_FRAME_HEADER_SIZE; size++) {
            CU_ASSERT_TRUE(passes_cut(&p, size));
        }
        CU_ASSERT_FALSE(passes_cut(&p, p.frame + VLAN + CFC_FRAME_HEADER_SIZE));
        close_filter();
    }
}

/* The rest of such a frame may lie in another buffer: it is dropped, and nothing is learnt. */
static void
a_head_that_is_cut_off_or_lies_about_its_sizes_teaches_what_is_there(void)
{
    uint64_t contents[2] = {A, B};
    struct packet whole;
    struct packet p;

    open_filter(false);
    whole = head(FOREIGN, 2, contents, NULL);
    p = whole;
    p.size = p.frame + 96 + 18 + 72; /* the first arm alone is there */
    CHECK(p, CFC_XDP_DROPPED_UNWANTED);
    CHECK(symbol(A), CFC_XDP_DROPPED_UNWANTED);
    CHECK(symbol(B), CFC_XDP_PASSED);
    close_filter();

    open_filter(false);
    p = whole;
    p.size = p.frame + 96 + 18 + 71;
    CHECK(p, CFC_XDP_DROPPED_UNWANTED);
    CHECK(symbol(A), CFC_XDP_PASSED);
    p = whole;
    cfc_put_u16(p.bytes + p.frame + 18, 512); /* scope size */
    CHECK(p, CFC_XDP_DROPPED_UNWANTED);
    p = whole;
    cfc_put_u16(p.bytes + p.frame + 18, 65535);
    CHECK(p, CFC_XDP_DROPPED_UNWANTED);
    p = whole;
    p.bytes[p.frame + 96 + 18 + 1] = 64; /* label key */
    CHECK(p, CFC_XDP_DROPPED_UNWANTED);
    p = whole;
    p.bytes[p.frame + 96 + 18 + 2] = 255; /* label value */
    CHECK(p, CFC_XDP_DROPPED_UNWANTED);
    CHECK(symbol(A), CFC_XDP_PASSED);
    p = whole;
    p.bytes[p.frame + 22] = 1; /* arm count: what follows is no arm */
    CHECK(p, CFC_XDP_DROPPED_UNWANTED);
    CHECK(symbol(A), CFC_XDP_DROPPED_UNWANTED);
    CHECK(symbol(B), CFC_XDP_PASSED);
    close_filter();
}

static void
more_contents_than_it_can_learn_replace_the_oldest(void)
{
    open_filter(false);
    for (uint64_t key = 1; key <= 2 * CFC_XDP_LEARNT_MAX; key++) {
        struct packet p = plain_head(FOREIGN, key);

        CU_ASSERT_FALSE(passes_cut(&p, p.size));
    }
    CHECK(symbol(2 * CFC_XDP_LEARNT_MAX), CFC_XDP_DROPPED_UNWANTED);
    CHECK(symbol(1), CFC_XDP_PASSED);
    close_filter();
}

static void
a_scope_or_need_that_does_not_fit_opens_the_filter(void)
{
    open_filter(false);
    for (uint64_t i = 1; i < CFC_XDP_WANTED_MAX; i++) {
        cfc_xdp_filter_want(filter, MINE + GROUPS * i);
    }
    CHECK(plain_head(FOREIGN, A), CFC_XDP_DROPPED_UNWANTED);
    CU_ASSERT_FALSE(cfc_xdp_filter_is_open(filter));
    cfc_xdp_filter_want(filter, ELSEWHERE);
    CHECK(plain_head(ELSEWHERE, A), CFC_XDP_PASSED);
    CU_ASSERT_TRUE(cfc_xdp_filter_is_open(filter));
    cfc_xdp_filter_set_open(filter, false);
    CHECK(plain_head(ELSEWHERE, A), CFC_XDP_PASSED);
    close_filter();

    open_filter(false);
    for (uint64_t i = 1; i <= CFC_XDP_PINNED_MAX; i++) {
        cfc_xdp_filter_pin(filter, i, CFC_XDP_NEEDED);
    }
    CU_ASSERT_FALSE(cfc_xdp_filter_is_open(filter));
    CHECK(plain_head(FOREIGN, B), CFC_XDP_DROPPED_UNWANTED);
    cfc_xdp_filter_pin(filter, B, CFC_XDP_NEEDED);
    CU_ASSERT_TRUE(cfc_xdp_filter_is_open(filter));
    CU_ASSERT_TRUE(cfc_xdp_filter_has_lost_need(filter));
    CHECK(symbol(B), CFC_XDP_PASSED);
    cfc_xdp_filter_pin(filter, 1, 0);
    cfc_xdp_filter_retry_needs(filter);
    cfc_xdp_filter_pin(filter, B, CFC_XDP_NEEDED);
    cfc_xdp_filter_set_open(filter, false);
    CU_ASSERT_FALSE(cfc_xdp_filter_is_open(filter));
    CHECK(plain_head(FOREIGN, B), CFC_XDP_DROPPED_UNWANTED);
    CHECK(symbol(B), CFC_XDP_PASSED);
    close_filter();
}

static void
held_contents_take_half_of_the_room_and_give_way_to_needs(void)
{
    open_filter(false);
    for (uint64_t i = 1; i <= CFC_XDP_HELD_MAX; i++) {
        cfc_xdp_filter_pin(filter, i, CFC_XDP_HELD);
    }
    cfc_xdp_filter_pin(filter, A, CFC_XDP_HELD); /* only a pity */
    CHECK(symbol(CFC_XDP_HELD_MAX), CFC_XDP_DROPPED_HELD);
    CHECK(symbol(A), CFC_XDP_PASSED);
    cfc_xdp_filter_pin(filter, 1, 0); /* a place for another one */
    cfc_xdp_filter_pin(filter, A, CFC_XDP_HELD);
    CHECK(symbol(A), CFC_XDP_DROPPED_HELD);
    for (uint64_t i = 1; i <= CFC_XDP_PINNED_MAX; i++) {
        cfc_xdp_filter_pin(filter, (UINT64_C(1) << 40) + i, CFC_XDP_NEEDED);
    }
    CU_ASSERT_FALSE(cfc_xdp_filter_is_open(filter));
    CHECK(symbol(2), CFC_XDP_PASSED);
    cfc_xdp_filter_pin(filter, B, CFC_XDP_NEEDED);
    CU_ASSERT_TRUE(cfc_xdp_filter_is_open(filter));
    close_filter();
}

static struct packet
packet_around(uint32_t group, const struct golden *frame)
{
    struct packet p = datagram(group, frame->size);

    memcpy(p.bytes + p.frame, frame->bytes, frame->size);
    return p;
}

/* So that the offsets above are not this test's opinion alone. */
static void
the_golden_heads_are_understood(void)
{
    static const char *const names[] = {"frame.head", "frame.head_plain"};
    struct golden_file *golden = calloc(1, sizeof(*golden));
    struct cfc_sha256 *sha = cfc_sha256_new();

    CU_ASSERT_TRUE_FATAL(golden_open(golden));
    for (size_t i = 0; i < 2; i++) {
        const struct golden *vector = golden_find(golden, names[i]);
        struct cfc_frame frame;
        struct cfc_head decoded;

        if (vector == NULL) {
            CU_FAIL_FATAL("no such vector");
            return;
        }
        CU_ASSERT_EQUAL_FATAL(cfc_frame_open(vector->bytes, vector->size, &frame), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(cfc_head_decode(&frame, sha, &decoded), CONFCAST_OK);
        open_filter(false);
        CHECK(packet_around((uint32_t)(frame.key % GROUPS), vector), CFC_XDP_DROPPED_UNWANTED);
        for (unsigned k = 0; k < decoded.arm_count; k++) {
            CHECK(symbol(cfc_digest_key(&decoded.arms[k].content)), CFC_XDP_DROPPED_UNWANTED);
            if (!cfc_digest_is_zero(&decoded.arms[k].fallback)) {
                CHECK(symbol(cfc_digest_key(&decoded.arms[k].fallback)), CFC_XDP_DROPPED_UNWANTED);
            }
        }
        close_filter();
    }
    cfc_sha256_free(sha);
    free(golden);
}

static void
every_golden_frame_gets_the_verdict_of_its_type(void)
{
    struct golden_file *golden = calloc(1, sizeof(*golden));
    int seen = 0;

    CU_ASSERT_TRUE_FATAL(golden_open(golden));
    open_filter(false);
    for (size_t i = 0; i < golden->count; i++) {
        struct cfc_frame frame;
        bool is_droppable;

        if (strncmp(golden->items[i].name, "frame.", 6) != 0) {
            continue;
        }
        CU_ASSERT_EQUAL_FATAL(cfc_frame_open(golden->items[i].bytes, golden->items[i].size, &frame),
                              CONFCAST_OK);
        is_droppable = frame.type <= CFC_FRAME_SYMBOL;
        CHECK(packet_around(3, &golden->items[i]),
              is_droppable ? CFC_XDP_DROPPED_UNWANTED : CFC_XDP_PASSED);
        seen |= 1 << (frame.type & 31);
    }
    close_filter();
    CU_ASSERT_EQUAL(seen & 0x1fe, 0x1fe); /* HEAD to GONE */
    free(golden);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(heads_of_unwanted_scopes_are_dropped_and_wanted_ones_pass),
    CFC_CASE(contents_of_unwanted_heads_are_dropped_whatever_frame_they_are_in),
    CFC_CASE(every_arm_and_fallback_of_a_head_is_learnt),
    CFC_CASE(a_content_that_a_wanted_head_names_passes_though_an_unwanted_one_names_it_too),
    CFC_CASE(a_newly_wanted_scope_opens_what_was_learnt_before),
    CFC_CASE(held_contents_are_dropped_until_somebody_needs_them),
    CFC_CASE(what_a_verified_head_needs_passes_whatever_heads_on_the_wire_say),
    CFC_CASE(groups_without_a_wanted_scope_are_dropped),
    CFC_CASE(what_concerns_everybody_passes_in_every_group),
    CFC_CASE(an_open_filter_drops_nothing),
    CFC_CASE(what_is_not_from_the_engine_to_a_group_and_port_of_the_fleet_passes),
    CFC_CASE(unicast_of_the_engine_passes),
    CFC_CASE(fragments_and_ip_options_pass),
    CFC_CASE(a_priority_tag_is_looked_through_and_another_vlan_passes),
    CFC_CASE(what_is_no_frame_of_this_version_passes_as_malformed),
    CFC_CASE(a_packet_that_ends_anywhere_before_its_frame_header_passes),
    CFC_CASE(a_head_that_is_cut_off_or_lies_about_its_sizes_teaches_what_is_there),
    CFC_CASE(more_contents_than_it_can_learn_replace_the_oldest),
    CFC_CASE(a_scope_or_need_that_does_not_fit_opens_the_filter),
    CFC_CASE(held_contents_take_half_of_the_room_and_give_way_to_needs),
    CFC_CASE(the_golden_heads_are_understood),
    CFC_CASE(every_golden_frame_gets_the_verdict_of_its_type),
};

int
main(void)
{
    struct cfc_xdp_filter_config config = fleet_config();
    struct cfc_xdp_filter *probe;
    int error = cfc_xdp_filter_open(&config, &probe);

    if (error == CONFCAST_ERR_PERMISSION) {
        puts("skipped: loading BPF programs takes CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN");
        return EXIT_SKIP;
    }
    cfc_xdp_filter_close(error == CONFCAST_OK ? probe : NULL);
    return cfc_test_main("xdp_filter", cases, sizeof(cases) / sizeof(cases[0]));
}
