/* The port on net_ring, whose transmit queue is its own receive queue: chains and copies, what
 * waits when the queue is full or the pools are empty, and who gets payload back when.  EAL starts
 * once for all cases, without huge pages, and each port serves one case. */
#include <rte_eal.h>
#include <rte_mempool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "confcast/error.h"
#include "dataplane/clock.h"
#include "dataplane/port.h"
#include "tests/unit/cunit_main.h"

enum {
    SLOTS = 4,
    CONTENT_SIZE = 1 << 20,
    SYMBOL_SIZE = 1400,
    HEAD_SIZE = 24,
    RING_SIZE = 1024, /* net_ring's own */
    SEEN_MAX = 4096,
};

static uint8_t content[CONTENT_SIZE];
static uint32_t done[SLOTS];

static struct {
    uint32_t count;
    uint32_t wrong_count;
    size_t size;
} seen;

static void
on_done(void *ctx, uint32_t queue, uint32_t slot, uint32_t count)
{
    CU_ASSERT_EQUAL(queue, 0);
    CU_ASSERT_PTR_EQUAL(ctx, done);
    CU_ASSERT_TRUE_FATAL(slot < SLOTS);
    done[slot] += count;
}

static void
open_port(struct cfc_port *port, bool is_linear)
{
    struct cfc_port_config config = {.is_linear = is_linear,
                                     .header_size = CFC_NET_HEADER_SIZE,
                                     .slots_max = SLOTS,
                                     .queue_count = 1,
                                     .payload_done = on_done,
                                     .ctx = done};

    memset(done, 0, sizeof(done));
    memset(&seen, 0, sizeof(seen));
    CU_ASSERT_EQUAL_FATAL(cfc_port_open(&config, port), CONFCAST_OK);
    CU_ASSERT_EQUAL(port->is_chained, !is_linear);
    CU_ASSERT_EQUAL(port->mtu, 1500);
    CU_ASSERT_EQUAL(port->datagram_max, 1472);
}

static void
make_template(struct cfc_net_template *t)
{
    struct cfc_net_endpoint from = {
        .mac = {2, 0, 0, 0, 0, 1}, .ip = CFC_NET_IPV4(0x0a4d0001), .port = 7500};
    struct cfc_net_endpoint to = {
        .mac = {1, 0, 0x5e, 0, 0, 1}, .ip = CFC_NET_IPV4(0xef4d0001), .port = 7500};

    cfc_net_template_init(t, &from, &to, 8);
}

/* Symbol `number` of the content, after a head that says so. */
static int
send_symbol(struct cfc_port *port, uint32_t number, uint32_t slot)
{
    struct cfc_net_template template;
    uint8_t *room;
    int rc = cfc_port_tx_begin(port->tx[0], &room);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    make_template(&template);
    memset(room, 0x77, HEAD_SIZE);
    memcpy(room, &number, sizeof(number));
    cfc_port_tx_commit(port->tx[0], &template, HEAD_SIZE,
                       content + (size_t)number * SYMBOL_SIZE % (CONTENT_SIZE - SYMBOL_SIZE),
                       SYMBOL_SIZE, slot);
    return CONFCAST_OK;
}

static void
on_frame(void *ctx, const uint8_t *frame, size_t size)
{
    const uint8_t *head = frame + CFC_NET_HEADER_SIZE;
    uint32_t number;

    (void)ctx;
    seen.count++;
    seen.size = size;
    if (size != CFC_NET_HEADER_SIZE + HEAD_SIZE + SYMBOL_SIZE) {
        seen.wrong_count++;
        return;
    }
    memcpy(&number, head, sizeof(number));
    if (head[HEAD_SIZE - 1] != 0x77 ||
        memcmp(head + HEAD_SIZE,
               content + (size_t)number * SYMBOL_SIZE % (CONTENT_SIZE - SYMBOL_SIZE),
               SYMBOL_SIZE) != 0) {
        seen.wrong_count++;
    }
}

static uint32_t
receive_all(struct cfc_port *port)
{
    uint32_t before = seen.count;

    while (cfc_port_rx(port, on_frame, NULL) > 0) {
    }
    return seen.count - before;
}

static void
chains_arrive_whole_and_give_their_payload_back(void)
{
    struct cfc_port port;

    open_port(&port, false);
    for (uint32_t i = 0; i < 20; i++) {
        CU_ASSERT_EQUAL(send_symbol(&port, i, i % 2), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(cfc_port_tx_flush(port.tx[0]), 20);
    CU_ASSERT_EQUAL(done[0] + done[1], 0); /* still in the ring */
    CU_ASSERT_EQUAL(port.tx[0]->mbufs_out, 20);
    CU_ASSERT_EQUAL(receive_all(&port), 20);
    CU_ASSERT_EQUAL(seen.wrong_count, 0);
    CU_ASSERT_EQUAL(port.stats.rx_chained, 20);
    CU_ASSERT_EQUAL(done[0], 10);
    CU_ASSERT_EQUAL(done[1], 10);
    CU_ASSERT_EQUAL(port.tx[0]->mbufs_out, 0);
    /* And once more with the same slots. */
    CU_ASSERT_EQUAL(send_symbol(&port, 1, 0), CONFCAST_OK);
    cfc_port_tx_flush(port.tx[0]);
    receive_all(&port);
    CU_ASSERT_EQUAL(done[0], 11);
    CU_ASSERT_EQUAL(seen.wrong_count, 0);
    cfc_port_close(&port);
}

static void
copies_arrive_whole_and_give_their_payload_back_at_once(void)
{
    struct cfc_port port;

    open_port(&port, true);
    for (uint32_t i = 0; i < 20; i++) {
        CU_ASSERT_EQUAL(send_symbol(&port, i, 3), CONFCAST_OK);
        CU_ASSERT_EQUAL(done[3], i + 1);
    }
    CU_ASSERT_EQUAL(cfc_port_tx_flush(port.tx[0]), 20);
    CU_ASSERT_EQUAL(receive_all(&port), 20);
    CU_ASSERT_EQUAL(seen.wrong_count, 0);
    CU_ASSERT_EQUAL(port.stats.rx_chained, 0);
    cfc_port_close(&port);
}

static void
frames_wait_while_the_queue_is_full(void)
{
    uint32_t sent = 0;
    struct cfc_port port;

    open_port(&port, false);
    for (;;) {
        int rc = send_symbol(&port, sent, 0);

        if (rc == CONFCAST_OK) {
            sent++;
        } else if (rc != CONFCAST_ERR_BUSY || cfc_port_tx_flush(port.tx[0]) == 0) {
            CU_ASSERT_EQUAL(rc, CONFCAST_ERR_BUSY);
            break;
        }
    }
    /* A ring of 1,024 holds one less; CFC_PORT_BURST more wait before it. */
    CU_ASSERT_EQUAL(sent, RING_SIZE - 1 + CFC_PORT_BURST);
    CU_ASSERT_EQUAL(port.tx[0]->queue_count, CFC_PORT_BURST);
    CU_ASSERT_TRUE(port.tx[0]->stats.tx_full >= 1);
    CU_ASSERT_EQUAL(port.tx[0]->stats.frames_out, RING_SIZE - 1);
    CU_ASSERT_EQUAL(receive_all(&port), RING_SIZE - 1);
    CU_ASSERT_EQUAL(cfc_port_tx_flush(port.tx[0]), CFC_PORT_BURST);
    CU_ASSERT_EQUAL(receive_all(&port), CFC_PORT_BURST);
    CU_ASSERT_EQUAL(done[0], sent);
    CU_ASSERT_EQUAL(seen.wrong_count, 0);
    cfc_port_close(&port);
}

static void
sending_waits_for_mbufs_and_goes_on(void)
{
    static struct rte_mbuf *held[SEEN_MAX];
    uint32_t count = 0;
    struct cfc_port port;
    uint8_t *room;
    uint8_t *again;

    open_port(&port, false);
    while (count < SEEN_MAX && (held[count] = rte_pktmbuf_alloc(port.tx[0]->ext_pool)) != NULL) {
        count++;
    }
    CU_ASSERT_EQUAL(send_symbol(&port, 0, 0), CONFCAST_ERR_RESOURCE);
    CU_ASSERT_EQUAL(send_symbol(&port, 0, 0), CONFCAST_ERR_RESOURCE);
    CU_ASSERT_EQUAL(port.tx[0]->stats.mbuf_shortage, 2);
    rte_pktmbuf_free_bulk(held, count);
    CU_ASSERT_EQUAL_FATAL(cfc_port_tx_begin(port.tx[0], &room), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_port_tx_begin(port.tx[0], &again), CONFCAST_OK);
    CU_ASSERT_PTR_EQUAL(room, again);
    CU_ASSERT_EQUAL(send_symbol(&port, 7, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_port_tx_flush(port.tx[0]), 1);
    CU_ASSERT_EQUAL(receive_all(&port), 1);
    CU_ASSERT_EQUAL(seen.wrong_count, 0);
    /* Nothing stayed behind: all but those at hand are back in their pools. */
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(port.tx[0]->ext_pool), port.tx[0]->ext_count);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(port.tx[0]->header_pool), port.tx[0]->header_count);
    cfc_port_close(&port);
}

static void
a_pool_that_has_but_one_mbuf_left_gives_that_one(void)
{
    static struct rte_mbuf *held[SEEN_MAX];
    uint32_t count = 0;
    struct cfc_port port;

    open_port(&port, false);
    while (count < SEEN_MAX && (held[count] = rte_pktmbuf_alloc(port.tx[0]->header_pool)) != NULL) {
        count++;
    }
    rte_pktmbuf_free(held[--count]);
    CU_ASSERT_EQUAL(send_symbol(&port, 3, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(send_symbol(&port, 4, 1), CONFCAST_ERR_RESOURCE);
    CU_ASSERT_EQUAL(port.tx[0]->stats.mbuf_shortage, 1);
    CU_ASSERT_EQUAL(cfc_port_tx_flush(port.tx[0]), 1);
    CU_ASSERT_EQUAL(receive_all(&port), 1);
    CU_ASSERT_EQUAL(send_symbol(&port, 4, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_port_tx_flush(port.tx[0]), 1);
    CU_ASSERT_EQUAL(receive_all(&port), 1);
    CU_ASSERT_EQUAL(seen.wrong_count, 0);
    CU_ASSERT_EQUAL(done[1], 2);
    rte_pktmbuf_free_bulk(held, count);
    cfc_port_close(&port);
}

static void
closing_gives_back_what_was_never_sent(void)
{
    struct cfc_port port;

    open_port(&port, false);
    for (uint32_t i = 0; i < CFC_PORT_BURST; i++) {
        CU_ASSERT_EQUAL(send_symbol(&port, i, 2), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(send_symbol(&port, 0, 2), CONFCAST_ERR_BUSY);
    cfc_port_close(&port);
    CU_ASSERT_EQUAL(done[2], CFC_PORT_BURST);
}

static void
a_frame_without_payload_and_a_raw_one_go_out_as_they_are(void)
{
    static const uint8_t raw[60] = {1, 2, 3};
    struct cfc_net_template template;
    struct cfc_port port;
    uint8_t *room;

    open_port(&port, false);
    make_template(&template);
    CU_ASSERT_EQUAL_FATAL(cfc_port_tx_begin(port.tx[0], &room), CONFCAST_OK);
    memset(room, 1, port.datagram_max);
    cfc_port_tx_commit(port.tx[0], &template, port.datagram_max, NULL, 0, CFC_PORT_NO_SLOT);
    CU_ASSERT_EQUAL(cfc_port_tx_flush(port.tx[0]), 1);
    CU_ASSERT_EQUAL(receive_all(&port), 1);
    CU_ASSERT_EQUAL(seen.size, CFC_NET_HEADER_SIZE + 1472);
    CU_ASSERT_EQUAL(cfc_port_tx_raw(port.tx[0], raw, sizeof(raw)), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_port_tx_flush(port.tx[0]), 1);
    CU_ASSERT_EQUAL(receive_all(&port), 1);
    CU_ASSERT_EQUAL(seen.size, sizeof(raw));
    CU_ASSERT_EQUAL(cfc_port_tx_flush(port.tx[0]), 0);
    CU_ASSERT_EQUAL(cfc_port_watch(&port), CONFCAST_OK);
    cfc_port_close(&port);
}

static void
a_port_refuses_an_mtu_below_the_protocols(void)
{
    struct cfc_port_config config = {.mtu = 1259,
                                     .header_size = CFC_NET_HEADER_SIZE,
                                     .slots_max = 1,
                                     .queue_count = 1,
                                     .payload_done = on_done};
    struct cfc_port port;

    CU_ASSERT_EQUAL(cfc_port_open(&config, &port), CONFCAST_ERR_LIMIT);
    config.mtu = 1260;
    CU_ASSERT_EQUAL_FATAL(cfc_port_open(&config, &port), CONFCAST_OK);
    CU_ASSERT_EQUAL(port.datagram_max, 1232);
    cfc_port_close(&port);
}

static void
a_burst_is_what_was_asked_for(void)
{
    struct cfc_port_config config = {.header_size = CFC_NET_HEADER_SIZE,
                                     .slots_max = SLOTS,
                                     .queue_count = 1,
                                     .burst = 5,
                                     .payload_done = on_done,
                                     .ctx = done};
    struct cfc_port port;

    memset(&seen, 0, sizeof(seen));
    CU_ASSERT_EQUAL_FATAL(cfc_port_open(&config, &port), CONFCAST_OK);
    for (uint32_t i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(send_symbol(&port, i, 0), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(send_symbol(&port, 5, 0), CONFCAST_ERR_BUSY);
    CU_ASSERT_EQUAL(cfc_port_tx_flush(port.tx[0]), 5);
    CU_ASSERT_EQUAL(receive_all(&port), 5);
    CU_ASSERT_EQUAL(seen.wrong_count, 0);
    cfc_port_close(&port);
}

static void
without_a_port_there_is_none(void)
{
    struct cfc_port_config config = {.header_size = CFC_NET_HEADER_SIZE,
                                     .slots_max = 1,
                                     .queue_count = 1,
                                     .payload_done = on_done};
    struct cfc_port port;

    CU_ASSERT_EQUAL(cfc_port_open(&config, &port), CONFCAST_ERR_NOT_FOUND);
}

static void
the_clock_runs_with_the_kernels(void)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    struct timespec before;
    struct timespec after;
    struct cfc_clock clock;
    struct cfc_now first;
    struct cfc_now last;
    int64_t kernel_ns;
    int64_t ours_ns;

    cfc_clock_init(&clock);
    first = cfc_clock_now(&clock);
    clock_gettime(CLOCK_MONOTONIC, &before);
    last = first;
    for (int i = 0; i < 10000; i++) {
        struct cfc_now now = cfc_clock_now(&clock);

        CU_ASSERT_TRUE_FATAL(now.mono_ns >= last.mono_ns);
        last = now;
    }
    nanosleep(&pause, NULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    last = cfc_clock_now(&clock);
    kernel_ns = (after.tv_sec - before.tv_sec) * (int64_t)CFC_S + after.tv_nsec - before.tv_nsec;
    ours_ns = (int64_t)(last.mono_ns - first.mono_ns);
    /* EAL rounds the TSC's rate to 10 MHz; being put aside between two readings costs some too. */
    CU_ASSERT_TRUE(ours_ns > kernel_ns - kernel_ns / 50);
    CU_ASSERT_TRUE(ours_ns < kernel_ns + kernel_ns / 50 + (int64_t)(200 * CFC_MS));
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(chains_arrive_whole_and_give_their_payload_back),
    CFC_CASE(copies_arrive_whole_and_give_their_payload_back_at_once),
    CFC_CASE(frames_wait_while_the_queue_is_full),
    CFC_CASE(sending_waits_for_mbufs_and_goes_on),
    CFC_CASE(a_pool_that_has_but_one_mbuf_left_gives_that_one),
    CFC_CASE(closing_gives_back_what_was_never_sent),
    CFC_CASE(a_frame_without_payload_and_a_raw_one_go_out_as_they_are),
    CFC_CASE(a_port_refuses_an_mtu_below_the_protocols),
    CFC_CASE(a_burst_is_what_was_asked_for),
    CFC_CASE(without_a_port_there_is_none),
    CFC_CASE(the_clock_runs_with_the_kernels),
};

int
main(void)
{
    char args[][32] = {"test_dataplane_port",
                       "--no-huge",
                       "--no-shconf",
                       "--no-pci",
                       "--no-telemetry",
                       "-m",
                       "128",
                       "--iova-mode=va",
                       "--log-level=lib.eal:error",
                       "--vdev=net_ring0",
                       "--vdev=net_ring1",
                       "--vdev=net_ring2",
                       "--vdev=net_ring3",
                       "--vdev=net_ring4",
                       "--vdev=net_ring5",
                       "--vdev=net_ring6",
                       "--vdev=net_ring7",
                       "--vdev=net_ring8"};
    enum {
        ARG_COUNT = sizeof(args) / sizeof(args[0])
    };
    char *pointers[ARG_COUNT + 1] = {NULL};
    int rc;

    for (int i = 0; i < ARG_COUNT; i++) {
        pointers[i] = args[i];
    }
    if (rte_eal_init(ARG_COUNT, pointers) < 0) {
        puts("EAL does not start here");
        return 77;
    }
    for (size_t i = 0; i < sizeof(content); i++) {
        content[i] = (uint8_t)(i * 31 + i / 251);
    }
    rc = cfc_test_main("dataplane_port", cases, sizeof(cases) / sizeof(cases[0]));
    rte_eal_cleanup();
    return rc;
}
