#include <assert.h>
#include <rte_ethdev.h>
#include <string.h>

#include "confcast/error.h"
#include "dataplane/port.h"
#include "dataplane/port_internal.h"

/* rte_pktmbuf_free() calls this on our own thread, from within a burst or a clean-up. */
static void
on_ext_free(void *addr, void *opaque)
{
    struct cfc_port_share *share = opaque;
    uint32_t count;

    (void)addr;
    share->done_count++;
    share->port->mbufs_out--;
    if (--share->out_count > 0) {
        return;
    }
    count = share->done_count;
    share->done_count = 0;
    share->port->config.payload_done(share->port->config.ctx, share->slot, count);
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

void
cfc_port_tx_init(struct cfc_port *port)
{
    rte_mempool_obj_iter(port->ext_pool, init_ext, NULL);
}

/* Fills an empty hand: with a burst, or with one when the pool has no more. */
static int
take_mbufs(struct cfc_port *port, struct rte_mempool *pool, struct rte_mbuf **hand, uint16_t *count)
{
    if (rte_pktmbuf_alloc_bulk(pool, hand, CFC_PORT_BURST) == 0) {
        *count = CFC_PORT_BURST;
        return CONFCAST_OK;
    }
    hand[0] = rte_pktmbuf_alloc(pool);
    if (hand[0] == NULL) {
        port->stats.mbuf_shortage++;
        return CONFCAST_ERR_RESOURCE;
    }
    *count = 1;
    return CONFCAST_OK;
}

int
cfc_port_tx_begin(struct cfc_port *port, uint8_t **room)
{
    int rc = CONFCAST_OK;

    if (port->queue_count == CFC_PORT_BURST) {
        return CONFCAST_ERR_BUSY;
    }
    if (port->header_count == 0) {
        rc = take_mbufs(port, port->header_pool, port->headers, &port->header_count);
    }
    if (rc == CONFCAST_OK && port->ext_count == 0 && port->is_chained) {
        rc = take_mbufs(port, port->ext_pool, port->exts, &port->ext_count);
    }
    if (rc != CONFCAST_OK) {
        return rc;
    }
    *room = rte_pktmbuf_mtod_offset(port->headers[port->header_count - 1], uint8_t *,
                                    port->payload_offset);
    return CONFCAST_OK;
}

static void
chain(struct cfc_port *port, struct rte_mbuf *head, const uint8_t *payload, uint16_t size,
      uint32_t slot)
{
    struct cfc_port_share *share = &port->shares[slot];
    struct rte_mbuf *m = port->exts[--port->ext_count];
    struct cfc_port_ext *ext = rte_mbuf_to_priv(m);

    ext->shared.fcb_opaque = share;
    rte_mbuf_ext_refcnt_set(&ext->shared, 1);
    share->out_count++;
    port->mbufs_out++;
    rte_pktmbuf_attach_extbuf(m, (void *)(uintptr_t)payload, (rte_iova_t)(uintptr_t)payload, size,
                              &ext->shared);
    m->data_len = size;
    head->next = m;
    head->nb_segs = 2;
    head->pkt_len += size;
}

void
cfc_port_tx_commit(struct cfc_port *port, const struct cfc_net_template *to, size_t room_size,
                   const uint8_t *payload, size_t payload_size, uint32_t slot)
{
    struct rte_mbuf *head = port->headers[--port->header_count];
    uint8_t *bytes = rte_pktmbuf_mtod(head, uint8_t *);
    size_t size = to->size + room_size;

    assert(room_size + payload_size <= port->datagram_max && to->size == port->payload_offset);
    cfc_net_template_write(to, room_size + payload_size, bytes);
    if (to->size != CFC_NET_HEADER_SIZE) {
        cfc_net_template_seal(to, bytes, room_size, payload, payload != NULL ? payload_size : 0);
    }
    if (payload != NULL && !port->is_chained) {
        memcpy(bytes + size, payload, payload_size);
        size += payload_size;
    }
    head->data_len = (uint16_t)size;
    head->pkt_len = (uint32_t)size;
    if (payload != NULL && port->is_chained) {
        assert(slot < port->config.slots_max);
        chain(port, head, payload, (uint16_t)payload_size, slot);
    }
    port->queue[port->queue_count++] = head;
    if (payload != NULL && !port->is_chained) {
        port->config.payload_done(port->config.ctx, slot, 1);
    }
}

int
cfc_port_tx_raw(struct cfc_port *port, const uint8_t *frame, size_t size)
{
    struct rte_mbuf *m;
    uint8_t *room;
    int rc = cfc_port_tx_begin(port, &room);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    m = port->headers[--port->header_count];
    memcpy(rte_pktmbuf_mtod(m, uint8_t *), frame, size);
    m->data_len = (uint16_t)size;
    m->pkt_len = (uint32_t)size;
    port->queue[port->queue_count++] = m;
    return CONFCAST_OK;
}

uint32_t
cfc_port_tx_flush(struct cfc_port *port)
{
    uint16_t sent;

    if (port->queue_count == 0) {
        return 0;
    }
    sent = rte_eth_tx_burst(port->id, CFC_PORT_QUEUE, port->queue, port->queue_count);
    port->stats.frames_out += sent;
    port->queue_count -= sent;
    if (port->queue_count > 0) {
        port->stats.tx_full++;
        memmove(port->queue, port->queue + sent, port->queue_count * sizeof(port->queue[0]));
    }
    return sent;
}

void
cfc_port_tx_reclaim(struct cfc_port *port)
{
    if (port->mbufs_out > 0) {
        /* Not every PMD can; its next burst reclaims then. */
        rte_eth_tx_done_cleanup(port->id, CFC_PORT_QUEUE, 0);
    }
}
