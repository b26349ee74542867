/* One DPDK port: its set-up, its memory pools, and bursts.  It has one transmit queue for each
 * lcore of the engine, which is that lcore's alone (struct cfc_port_tx), and as many receive
 * queues, all of which the first lcore reads: drivers that spread what they receive over their
 * queues do so whatever they are told.
 *
 * Datagrams are sent as a chain of two mbufs, a header and an external buffer over the content's
 * own memory, where the PMD takes multi-segment mbufs (RTE_ETH_TX_OFFLOAD_MULTI_SEGS in its
 * capabilities).  Everywhere else they are copied into one: net_af_xdp accepts chains, counts them
 * as sent and puts other bytes on the wire.  (net_null does not report it and takes chains: it
 * looks at no byte.)
 *
 * net_af_xdp's receive pool is the memory that it shares with the kernel, and a frame from any
 * other pool is copied into it: there, frames are made in mbufs of the receive pool.
 *
 * External memory needs no registration for vdev PMDs, which copy or pass on virtual addresses.
 * For a device behind a real bus, cfc_port_add_memory() registers it with EAL and maps it for DMA;
 * where either is refused (IOVA mode PA, or VFIO, which wants to write to what it maps and so
 * refuses sealed memory) the port changes to copies, and says so.
 *
 * The first lcore's thread owns a port, and each lcore its cfc_port_tx: nothing of that is shared
 * but what is atomic here. */
#ifndef CFC_DATAPLANE_PORT_H
#define CFC_DATAPLANE_PORT_H

#include <rte_mbuf.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/lcore.h"
#include "dataplane/net_header.h"

enum {
    CFC_PORT_BURST = 32, /* where the PMD recommends nothing */
    CFC_PORT_BURST_MAX = 64,
    CFC_PORT_NO_SLOT = UINT32_MAX
};

struct cfc_port_config {
    const char *interface; /* kernel interface that the PMD sits on, or NULL */
    uint16_t mtu;          /* 0: the port's own */
    size_t header_size;    /* in front of a datagram: cfc_net_header_size() of the own address */
    bool needs_multicast;  /* receives multicast too: the engine answers neighbour solicitations */
    bool is_linear;        /* copy even where the PMD takes chains */
    uint32_t slots_max;    /* payload slots of each transmit queue */
    uint32_t queue_count;  /* 1..CFC_LCORES_MAX */
    uint32_t burst;        /* frames handed to the PMD at once, 1..CFC_PORT_BURST_MAX; 0: what it
                              recommends */
    /* `count` payloads of `slot` have left transmit queue `queue`: called from within the functions
     * below, by that queue's thread. */
    void (*payload_done)(void *ctx, uint32_t queue, uint32_t slot, uint32_t count);
    void *ctx;
};

struct cfc_port_stats {
    uint64_t frames_out;
    uint64_t tx_full;       /* the PMD took less than there was: the rest waits */
    uint64_t mbuf_shortage; /* a pool was empty: sending waits */
    uint64_t rx_oversize;   /* dropped: longer than any frame for us */
    uint64_t rx_chained;    /* made contiguous */
};

struct cfc_port_tx;

/* The payloads of a slot that are in a transmit queue. */
struct cfc_port_share {
    struct cfc_port_tx *tx;
    uint32_t slot;
    uint32_t out_count;  /* still in the port */
    uint32_t done_count; /* have left since it was empty: told when the last one has */
};

struct cfc_port {
    struct cfc_port_config config;
    uint16_t id;
    uint16_t mtu;
    uint16_t rx_descriptors;
    uint16_t burst; /* frames handed to the PMD at once */
    char driver[32];
    char name[64];
    uint8_t mac[CFC_MAC_ADDRESS_SIZE];
    bool needs_dma;
    bool is_pool_shared; /* header mbufs come from the receive pools */
    bool is_copying;     /* the PMD itself copies chained payload, with this processor */
    int interface_index; /* of config.interface; 0: none */
    size_t datagram_max; /* UDP payload of one frame */
    atomic_bool
        is_chained; /* header + external buffer; only ever becomes false, by the first lcore */
    atomic_bool
        is_link_up; /* as far as the kernel interface tells; else true.  By the first lcore */
    struct rte_mempool *rx_pools[CFC_LCORES_MAX];
    uint8_t *bounce;             /* where chained received mbufs are made contiguous */
    struct cfc_port_stats stats; /* of receiving only; the queues count what they send */
    struct cfc_port_tx *tx[CFC_LCORES_MAX];
};

/* One transmit queue and its memory.  Aligned, so that no two lcores write to one cache line. */
struct cfc_port_tx {
    _Alignas(128) struct cfc_port *port;
    uint16_t queue_id;
    uint16_t burst; /* the port's; so are the next three */
    bool is_copying;
    uint32_t slots_max;
    size_t datagram_max;
    size_t payload_offset; /* where UDP payload begins in a header mbuf's data room */
    struct rte_mempool *header_pool;
    struct rte_mempool *ext_pool;
    struct cfc_port_share *shares;                /* by slot */
    struct rte_mbuf *headers[CFC_PORT_BURST_MAX]; /* at hand for the next frames */
    struct rte_mbuf *exts[CFC_PORT_BURST_MAX];
    struct rte_mbuf *queue[CFC_PORT_BURST_MAX]; /* frames that wait for the PMD */
    uint16_t header_count;
    uint16_t ext_count;
    uint16_t queue_count;
    uint32_t mbufs_out; /* chained payloads that are not done */
    struct cfc_port_stats stats;
};

/* Takes the first DPDK port, sets it up and starts it.  EAL is up.  What fails is logged:
 * NOT_FOUND (no port), LIMIT (MTU too small for a confcast frame), UNSUPPORTED (the PMD has fewer
 * queues than queue_count: run fewer lcores, or give it more), NO_MEMORY (pools: the message says
 * what to do), RESOURCE (the PMD refused). */
int cfc_port_open(const struct cfc_port_config *config, struct cfc_port *port);

/* Stops and closes; payloads that are still out are done after it.  All lcores but the caller's
 * have stopped. */
void cfc_port_close(struct cfc_port *port);

/* External memory that payloads will lie in, and that none lies in any more. */
void cfc_port_add_memory(struct cfc_port *port, const uint8_t *bytes, uint64_t size);
void cfc_port_remove_memory(struct cfc_port *port, const uint8_t *bytes, uint64_t size);

/* Once a second or so: CLOSED when the kernel interface is gone for good (restart the process),
 * else OK.  Logs when the link goes and comes. */
int cfc_port_watch(struct cfc_port *port);

/* Receives one burst of each receive queue and hands every frame, contiguous, to `on_frame`.  The
 * number of frames. */
uint32_t cfc_port_rx(struct cfc_port *port,
                     void (*on_frame)(void *ctx, const uint8_t *frame, size_t size), void *ctx);

/* Begins a frame: *room is where its UDP payload goes, datagram_max bytes of it.  Beginning twice
 * gives the same room.  CONFCAST_OK; BUSY: a burst of frames waits, flush first; RESOURCE: no
 * mbufs now, counted. */
int cfc_port_tx_begin(struct cfc_port_tx *tx, uint8_t **room);

/* Completes it: `room_size` bytes are in the room, `payload_size` more at `payload` (NULL: none),
 * which belongs to `slot` and must stay until payload_done. */
void cfc_port_tx_commit(struct cfc_port_tx *tx, const struct cfc_net_template *to, size_t room_size,
                        const uint8_t *payload, size_t payload_size, uint32_t slot);

/* Queues a whole Ethernet frame (a copy).  BUSY or RESOURCE as begin. */
int cfc_port_tx_raw(struct cfc_port_tx *tx, const uint8_t *frame, size_t size);

/* Hands waiting frames to the PMD.  The number it took. */
uint32_t cfc_port_tx_flush(struct cfc_port_tx *tx);

/* Asks the PMD to give back what it has sent; for when nothing more is being sent. */
void cfc_port_tx_reclaim(struct cfc_port_tx *tx);

#endif
