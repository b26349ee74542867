#include <assert.h>
#include <rte_ethdev.h>
#include <rte_prefetch.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "dataplane/port.h"
#include "dataplane/port_internal.h"

static void
tell_done(const struct cfc_port_tx *tx, uint32_t slot, uint32_t count)
{
    const struct cfc_port_config *config = &tx->port->config;

    config->payload_done(config->ctx, tx->queue_id, slot, count);
}

/* rte_pktmbuf_free() calls this on our own thread, from within a burst or a clean-up. */
static void
on_ext_free(void *addr, void *opaque)
{
    struct cfc_port_share *share = opaque;
    uint32_t count;

    (void)addr;
    share->done_count++;
    share->tx->mbufs_out--;
    if (--share->out_count > 0) {
        return;
    }
    count = share->done_count;
    share->done_count = 0;
    tell_done(share->tx, share->slot, count);
}

static void
init_ext(struct rte_mempool *pool, void *opaque, void *object, unsigned index)
{
    struct cfc_port_ext *ext = rte_mbuf_to_priv(object);

    (void)pool;
    (void)opaque;
    (void)index;
    ext->shared.free_cb = on_ext_free;
}

int
cfc_port_tx_new(struct cfc_port *port, uint16_t queue_id)
{
    struct cfc_port_tx *tx = aligned_alloc(_Alignof(struct cfc_port_tx), sizeof(*tx));

    if (tx == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memset(tx, 0, sizeof(*tx));
    port->tx[queue_id] = tx;
    tx->port = port;
    tx->queue_id = queue_id;
    tx->burst = port->burst;
    tx->is_copying = port->is_copying;
    tx->slots_max = port->config.slots_max;
    tx->datagram_max = port->datagram_max;
    tx->payload_offset = port->config.header_size;
    tx->header_pool = port->is_pool_shared
                          ? port->rx_pools[queue_id]
                          : cfc_port_make_pool("confcast_header", queue_id, CFC_PORT_TX_POOL_SIZE,
                                               0, port->config.header_size + port->datagram_max);
    tx->ext_pool = cfc_port_make_pool("confcast_ext", queue_id, CFC_PORT_TX_POOL_SIZE,
                                      CFC_PORT_EXT_PRIVATE_SIZE, 0);
    tx->shares = calloc(port->config.slots_max, sizeof(*tx->shares));
    if (tx->header_pool == NULL || tx->ext_pool == NULL || tx->shares == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < port->config.slots_max; i++) {
        tx->shares[i].tx = tx;
        tx->shares[i].slot = i;
    }
    rte_mempool_obj_iter(tx->ext_pool, init_ext, NULL);
    return CONFCAST_OK;
}

void
cfc_port_tx_free(struct cfc_port_tx *tx)
{
    if (tx == NULL) {
        return;
    }
    if (!tx->port->is_pool_shared) {
        rte_mempool_free(tx->header_pool);
    }
    rte_mempool_free(tx->ext_pool);
    free(tx->shares);
    free(tx);
}

void
cfc_port_tx_drop(struct cfc_port_tx *tx)
{
    rte_pktmbuf_free_bulk(tx->queue, tx->queue_count);
    tx->queue_count = 0;
    rte_pktmbuf_free_bulk(tx->headers, tx->header_count);
    tx->header_count = 0;
    rte_pktmbuf_free_bulk(tx->exts, tx->ext_count);
    tx->ext_count = 0;
}

static bool
is_chained(const struct cfc_port_tx *tx)
{
    return atomic_load_explicit(&tx->port->is_chained, memory_order_relaxed);
}

/* Fills an empty hand: with a burst, or with one when the pool has no more. */
static int
take_mbufs(struct cfc_port_tx *tx, struct rte_mempool *pool, struct rte_mbuf **hand,
           uint16_t *count)
{
    if (rte_pktmbuf_alloc_bulk(pool, hand, tx->burst) == 0) {
        *count = tx->burst;
        return CONFCAST_OK;
    }
    hand[0] = rte_pktmbuf_alloc(pool);
    if (hand[0] == NULL) {
        tx->stats.mbuf_shortage++;
        if (tx->port->is_pool_shared) {
            /* net_af_xdp takes back what was sent in a burst only, be it one of nothing. */
            rte_eth_tx_burst(tx->port->id, tx->queue_id, tx->queue, 0);
        }
        return CONFCAST_ERR_RESOURCE;
    }
    *count = 1;
    return CONFCAST_OK;
}

int
cfc_port_tx_begin(struct cfc_port_tx *tx, uint8_t **room)
{
    int rc = CONFCAST_OK;

    if (tx->queue_count == tx->burst) {
        return CONFCAST_ERR_BUSY;
    }
    if (tx->header_count == 0) {
        rc = take_mbufs(tx, tx->header_pool, tx->headers, &tx->header_count);
    }
    if (rc == CONFCAST_OK && tx->ext_count == 0 && is_chained(tx)) {
        rc = take_mbufs(tx, tx->ext_pool, tx->exts, &tx->ext_count);
    }
    if (rc != CONFCAST_OK) {
        return rc;
    }
    *room =
        rte_pktmbuf_mtod_offset(tx->headers[tx->header_count - 1], uint8_t *, tx->payload_offset);
    return CONFCAST_OK;
}

/* A payload is read once and is in no near cache.  The rest of the burst is made while it comes, so
 * that the PMD's copy need not wait for it. */
static void
prefetch(const uint8_t *payload, size_t size)
{
    for (size_t i = 0; i < size; i += RTE_CACHE_LINE_SIZE) {
        rte_prefetch0(payload + i);
    }
}

static void
chain(struct cfc_port_tx *tx, struct rte_mbuf *head, const uint8_t *payload, uint16_t size,
      uint32_t slot)
{
    struct cfc_port_share *share = &tx->shares[slot];
    struct rte_mbuf *m = tx->exts[--tx->ext_count];
    struct cfc_port_ext *ext = rte_mbuf_to_priv(m);

    ext->shared.fcb_opaque = share;
    rte_mbuf_ext_refcnt_set(&ext->shared, 1);
    share->out_count++;
    tx->mbufs_out++;
    if (tx->is_copying) {
        prefetch(payload, size);
    }
    rte_pktmbuf_attach_extbuf(m, (void *)(uintptr_t)payload, (rte_iova_t)(uintptr_t)payload, size,
                              &ext->shared);
    m->data_len = size;
    head->next = m;
    head->nb_segs = 2;
    head->pkt_len += size;
}

/* Behind what is in a frame, for a port that takes no chains; the payload is done with. */
static void
copy(struct cfc_port_tx *tx, struct rte_mbuf *head, const uint8_t *payload, size_t size,
     uint32_t slot)
{
    memcpy(rte_pktmbuf_mtod_offset(head, uint8_t *, head->data_len), payload, size);
    head->data_len += (uint16_t)size;
    head->pkt_len += (uint32_t)size;
    tell_done(tx, slot, 1);
}

void
cfc_port_tx_commit(struct cfc_port_tx *tx, const struct cfc_net_template *to, size_t room_size,
                   const uint8_t *payload, size_t payload_size, uint32_t slot)
{
    struct rte_mbuf *head = tx->headers[--tx->header_count];
    uint8_t *bytes = rte_pktmbuf_mtod(head, uint8_t *);
    size_t size = to->size + room_size;

    assert(room_size + payload_size <= tx->datagram_max && to->size == tx->payload_offset);
    cfc_net_template_write(to, room_size + payload_size, bytes);
    if (to->size != CFC_NET_HEADER_SIZE) {
        cfc_net_template_seal(to, bytes, room_size, payload, payload != NULL ? payload_size : 0);
    }
    head->data_len = (uint16_t)size;
    head->pkt_len = (uint32_t)size;
    tx->queue[tx->queue_count++] = head;
    if (payload == NULL) {
        return;
    }
    assert(slot < tx->slots_max);
    if (is_chained(tx)) {
        chain(tx, head, payload, (uint16_t)payload_size, slot);
    } else {
        copy(tx, head, payload, payload_size, slot);
    }
}

int
cfc_port_tx_raw(struct cfc_port_tx *tx, const uint8_t *frame, size_t size)
{
    struct rte_mbuf *m;
    uint8_t *room;
    int rc = cfc_port_tx_begin(tx, &room);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    m = tx->headers[--tx->header_count];
    memcpy(rte_pktmbuf_mtod(m, uint8_t *), frame, size);
    m->data_len = (uint16_t)size;
    m->pkt_len = (uint32_t)size;
    tx->queue[tx->queue_count++] = m;
    return CONFCAST_OK;
}

uint32_t
cfc_port_tx_flush(struct cfc_port_tx *tx)
{
    uint16_t sent;

    if (tx->queue_count == 0) {
        return 0;
    }
    sent = rte_eth_tx_burst(tx->port->id, tx->queue_id, tx->queue, tx->queue_count);
    tx->stats.frames_out += sent;
    tx->queue_count -= sent;
    if (tx->queue_count > 0) {
        tx->stats.tx_full++;
        memmove(tx->queue, tx->queue + sent, tx->queue_count * sizeof(tx->queue[0]));
    }
    return sent;
}

void
cfc_port_tx_reclaim(struct cfc_port_tx *tx)
{
    if (tx->mbufs_out > 0) {
        /* Not every PMD can; its next burst reclaims then. */
        rte_eth_tx_done_cleanup(tx->port->id, tx->queue_id, 0);
    }
}
