#include "dataplane/port.h"

#include <errno.h>
#include <net/if.h>
#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confcast/error.h"
#include "dataplane/log.h"
#include "dataplane/packet_socket.h"
#include "dataplane/port_internal.h"
#include "protocol/base/limits.h"

enum {
    POOL_CACHE = 128,
    /* net_af_xdp fills a ring of 2,048 from it. */
    RX_POOL_SIZE = 4 * CFC_PORT_DESCRIPTORS - 1,
    RX_ROOM_MIN = 2048,
    BOUNCE_SIZE = 65536,
    RX_BURST = 64,
    PAGE_SIZE = 4096,
    SKB_OVERHEAD = 1024,
};

static int
interface_ioctl(const char *interface, unsigned long request, struct ifreq *ifr)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc;

    memset(ifr, 0, sizeof(*ifr));
    if (fd < 0) {
        return -1;
    }
    strncpy(ifr->ifr_name, interface, sizeof(ifr->ifr_name) - 1);
    rc = ioctl(fd, request, ifr);
    close(fd);
    return rc;
}

static int
choose_mtu(struct cfc_port *port)
{
    size_t ip_udp_size = port->config.header_size - CFC_ETHERNET_SIZE;
    uint16_t mtu = 0;
    struct ifreq ifr;

    if (port->config.interface != NULL &&
        interface_ioctl(port->config.interface, SIOCGIFMTU, &ifr) == 0) {
        mtu = (uint16_t)RTE_MIN(ifr.ifr_mtu, UINT16_MAX);
    } else if (rte_eth_dev_get_mtu(port->id, &mtu) != 0) {
        cfc_log_error("the port does not tell its MTU: use --mtu");
        return CONFCAST_ERR_RESOURCE;
    }
    if (port->config.mtu != 0 && port->config.interface != NULL && port->config.mtu > mtu) {
        cfc_log_error("--mtu %u is above the %u of %s", port->config.mtu, mtu,
                      port->config.interface);
        return CONFCAST_ERR_LIMIT;
    }
    if (port->config.mtu != 0) {
        mtu = port->config.mtu;
    }
    if (mtu < CFC_FRAME_SIZE_MIN + ip_udp_size) {
        cfc_log_error("an MTU of %u is too small: confcast needs %zu", mtu,
                      CFC_FRAME_SIZE_MIN + ip_udp_size);
        return CONFCAST_ERR_LIMIT;
    }
    port->mtu = mtu;
    port->datagram_max = RTE_MIN(mtu - ip_udp_size, (size_t)CFC_FRAME_SIZE_MAX);
    return CONFCAST_OK;
}

struct rte_mempool *
cfc_port_make_pool(const char *name, uint16_t queue_id, unsigned count, uint16_t private_size,
                   size_t room)
{
    char full[RTE_MEMPOOL_NAMESIZE];
    struct rte_mempool *pool;

    snprintf(full, sizeof(full), "%s_%u", name, queue_id);
    pool = rte_pktmbuf_pool_create(full, count, POOL_CACHE, private_size,
                                   (uint16_t)(room == 0 ? 0 : RTE_PKTMBUF_HEADROOM + room),
                                   SOCKET_ID_ANY);
    if (pool == NULL) {
        cfc_log_error("memory pool %s: %s: give more huge pages, or use --no-huge", full,
                      rte_strerror(rte_errno));
    }
    return pool;
}

static int
make_queues(struct cfc_port *port)
{
    /* net_af_packet wants room for the whole of a ring frame. */
    size_t rx_room = RTE_MAX((size_t)RX_ROOM_MIN, (size_t)rte_align32pow2(port->mtu + 256u));
    unsigned rx_count = RX_POOL_SIZE + (port->is_pool_shared ? CFC_PORT_TX_POOL_SIZE : 0);

    port->bounce = malloc(BOUNCE_SIZE);
    if (port->bounce == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (uint16_t i = 0; i < port->config.queue_count; i++) {
        port->rx_pools[i] = cfc_port_make_pool("confcast_rx", i, rx_count, 0, rx_room);
        if (port->rx_pools[i] == NULL || cfc_port_tx_new(port, i) != CONFCAST_OK) {
            return CONFCAST_ERR_NO_MEMORY;
        }
    }
    return CONFCAST_OK;
}

static void
free_queues(struct cfc_port *port)
{
    for (uint32_t i = 0; i < port->config.queue_count; i++) {
        cfc_port_tx_free(port->tx[i]);
        rte_mempool_free(port->rx_pools[i]);
    }
    free(port->bounce);
}

static int
set_up_queues(struct cfc_port *port)
{
    uint16_t rx_count = CFC_PORT_DESCRIPTORS;
    uint16_t tx_count = CFC_PORT_DESCRIPTORS;
    int rc = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx_count, &tx_count);

    for (uint16_t i = 0; rc == 0 && i < port->config.queue_count; i++) {
        rc = rte_eth_rx_queue_setup(port->id, i, rx_count, SOCKET_ID_ANY, NULL, port->rx_pools[i]);
        if (rc == 0) {
            rc = rte_eth_tx_queue_setup(port->id, i, tx_count, SOCKET_ID_ANY, NULL);
        }
    }
    port->rx_descriptors = rx_count;
    return rc;
}

/* All of net_af_packet's ring may be under way: a ring frame is a power of two above the MTU
 * (eal.c), and the kernel's own structures come on top. */
static void
widen_sockets(const struct cfc_port *port)
{
    uint32_t frame_size = RTE_MAX((uint32_t)RX_ROOM_MIN, rte_align32pow2(port->mtu + 256u));
    uint32_t size = CFC_PORT_DESCRIPTORS * (frame_size + SKB_OVERHEAD);

    if (strcmp(port->driver, "net_af_packet") == 0 &&
        cfc_packet_sockets_widen(size) < port->config.queue_count) {
        cfc_log_warning("%s: no send buffer of %u bytes (CAP_NET_ADMIN, or net.core.wmem_max): a "
                        "slow link may keep the end of a content until more is sent",
                        port->name, size);
    }
}

static int
start_device(struct cfc_port *port, const struct rte_eth_dev_info *info)
{
    struct rte_eth_conf conf = {0};
    uint16_t queue_count = (uint16_t)port->config.queue_count;
    int rc;

    if (port->is_chained && (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0) {
        conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    }
    if (port->needs_dma) {
        conf.rxmode.mtu = port->mtu;
    }
    rc = rte_eth_dev_configure(port->id, queue_count, queue_count, &conf);
    if (rc == 0) {
        rc = set_up_queues(port);
    }
    if (rc == 0) {
        rc = rte_eth_dev_start(port->id);
    }
    if (rc != 0) {
        cfc_log_error("%s refused to start: %s", info->driver_name, rte_strerror(-rc));
        return CONFCAST_ERR_RESOURCE;
    }
    widen_sockets(port);
    if (port->config.needs_multicast) {
        /* Virtual devices receive all there is and need not know how. */
        rc = rte_eth_allmulticast_enable(port->id);
        if (rc != 0 && port->needs_dma) {
            cfc_log_warning("%s does not receive multicast (%s): hosts may not find the engine",
                            info->driver_name, rte_strerror(-rc));
        }
    }
    return CONFCAST_OK;
}

static bool
takes_chains(const struct rte_eth_dev_info *info)
{
    return (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0 ||
           strcmp(info->driver_name, "net_null") == 0;
}

static bool
copies_payload(const struct rte_eth_dev_info *info)
{
    return strcmp(info->driver_name, "net_memif") == 0 ||
           strcmp(info->driver_name, "net_af_packet") == 0 ||
           strcmp(info->driver_name, "net_tap") == 0;
}

static uint16_t
choose_burst(const struct cfc_port *port, const struct rte_eth_dev_info *info)
{
    uint32_t burst = port->config.burst;

    if (burst == 0) {
        burst = info->default_txportconf.burst_size;
    }
    return (uint16_t)(burst == 0 ? CFC_PORT_BURST : RTE_MIN(burst, (uint32_t)CFC_PORT_BURST_MAX));
}

static int
find_device(struct cfc_port *port, struct rte_eth_dev_info *info)
{
    uint16_t id = (uint16_t)rte_eth_find_next(0);
    struct rte_ether_addr mac;

    if (id >= RTE_MAX_ETHPORTS) {
        cfc_log_error("DPDK found no port");
        return CONFCAST_ERR_NOT_FOUND;
    }
    port->id = id;
    if (rte_eth_dev_info_get(id, info) != 0 || rte_eth_macaddr_get(id, &mac) != 0) {
        cfc_log_error("DPDK port %u does not tell what it is", id);
        return CONFCAST_ERR_RESOURCE;
    }
    memcpy(port->mac, mac.addr_bytes, sizeof(port->mac));
    strncpy(port->driver, info->driver_name, sizeof(port->driver) - 1);
    strncpy(port->name, rte_dev_name(info->device), sizeof(port->name) - 1);
    port->needs_dma = strcmp(rte_bus_name(rte_dev_bus(info->device)), "vdev") != 0;
    port->is_pool_shared = strcmp(port->driver, "net_af_xdp") == 0;
    port->is_copying = copies_payload(info);
    port->burst = choose_burst(port, info);
    port->is_chained = !port->config.is_linear && takes_chains(info) &&
                       (!port->needs_dma || rte_eal_iova_mode() == RTE_IOVA_VA);
    return CONFCAST_OK;
}

/* Each lcore needs a queue of its own. */
static int
check_queues(const struct cfc_port *port, const struct rte_eth_dev_info *info)
{
    uint32_t offered = RTE_MIN(info->max_rx_queues, info->max_tx_queues);

    if (port->config.queue_count <= offered) {
        return CONFCAST_OK;
    }
    cfc_log_error("%s offers %u queues each way and --lcores %u wants %u: give it more, or run "
                  "fewer lcores",
                  info->driver_name, offered, port->config.queue_count, port->config.queue_count);
    return CONFCAST_ERR_UNSUPPORTED;
}

int
cfc_port_open(const struct cfc_port_config *config, struct cfc_port *port)
{
    struct rte_eth_dev_info info;
    int rc;

    memset(port, 0, sizeof(*port));
    port->config = *config;
    port->is_link_up = true;
    if (config->interface != NULL) {
        port->interface_index = (int)if_nametoindex(config->interface);
    }
    rc = find_device(port, &info);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    rc = check_queues(port, &info);
    if (rc == CONFCAST_OK) {
        rc = choose_mtu(port);
    }
    if (rc != CONFCAST_OK) {
        return rc;
    }
    rc = make_queues(port);
    if (rc == CONFCAST_OK) {
        rc = start_device(port, &info);
    }
    if (rc != CONFCAST_OK) {
        free_queues(port);
    }
    return rc;
}

void
cfc_port_close(struct cfc_port *port)
{
    for (uint32_t i = 0; i < port->config.queue_count; i++) {
        cfc_port_tx_drop(port->tx[i]);
    }
    rte_eth_dev_stop(port->id);
    rte_eth_dev_close(port->id);
    free_queues(port);
}

static bool
register_memory(struct cfc_port *port, void *bytes, uint64_t size)
{
    uint32_t page_count = (uint32_t)((size + PAGE_SIZE - 1) / PAGE_SIZE);
    size_t mapped_size = (size_t)page_count * PAGE_SIZE;
    rte_iova_t *pages = malloc(sizeof(*pages) * page_count);
    struct rte_eth_dev_info info;
    int rc = -1;

    if (pages == NULL || rte_eth_dev_info_get(port->id, &info) != 0) {
        free(pages);
        return false;
    }
    for (uint32_t i = 0; i < page_count; i++) {
        pages[i] = (rte_iova_t)(uintptr_t)bytes + (rte_iova_t)i * PAGE_SIZE;
    }
    if (rte_extmem_register(bytes, mapped_size, pages, page_count, PAGE_SIZE) == 0) {
        rc = rte_dev_dma_map(info.device, bytes, (uint64_t)(uintptr_t)bytes, mapped_size);
        if (rc != 0) {
            rte_extmem_unregister(bytes, mapped_size);
        }
    }
    free(pages);
    return rc == 0;
}

void
cfc_port_add_memory(struct cfc_port *port, const uint8_t *bytes, uint64_t size)
{
    if (!port->needs_dma || !port->is_chained) {
        return;
    }
    if (!register_memory(port, (void *)(uintptr_t)bytes, size)) {
        cfc_log_warning("%s cannot read shared memory (%s): payload is copied from now on",
                        port->driver, rte_strerror(rte_errno));
        port->is_chained = false;
    }
}

void
cfc_port_remove_memory(struct cfc_port *port, const uint8_t *bytes, uint64_t size)
{
    void *start = (void *)(uintptr_t)bytes;
    size_t mapped_size = RTE_ALIGN_CEIL((size_t)size, (size_t)PAGE_SIZE);
    struct rte_eth_dev_info info;

    if (!port->needs_dma || rte_eth_dev_info_get(port->id, &info) != 0) {
        return;
    }
    /* What was never registered is not found; that is no error. */
    if (rte_dev_dma_unmap(info.device, start, (uint64_t)(uintptr_t)start, mapped_size) == 0) {
        rte_extmem_unregister(start, mapped_size);
    }
}

int
cfc_port_watch(struct cfc_port *port)
{
    struct ifreq ifr;
    bool is_up;

    if (port->interface_index == 0) {
        return CONFCAST_OK;
    }
    if ((int)if_nametoindex(port->config.interface) != port->interface_index) {
        cfc_log_error("interface %s is gone", port->config.interface);
        return CONFCAST_ERR_CLOSED;
    }
    is_up = interface_ioctl(port->config.interface, SIOCGIFFLAGS, &ifr) == 0 &&
            (ifr.ifr_flags & IFF_UP) != 0 && (ifr.ifr_flags & IFF_RUNNING) != 0;
    if (is_up != port->is_link_up) {
        port->is_link_up = is_up;
        cfc_log_warning("the link of %s is %s", port->config.interface, is_up ? "up" : "down");
    }
    return CONFCAST_OK;
}

static const uint8_t *
make_contiguous(struct cfc_port *port, const struct rte_mbuf *m)
{
    if (m->nb_segs == 1) {
        return rte_pktmbuf_mtod(m, const uint8_t *);
    }
    if (m->pkt_len > BOUNCE_SIZE) {
        port->stats.rx_oversize++;
        return NULL;
    }
    port->stats.rx_chained++;
    return rte_pktmbuf_read(m, 0, m->pkt_len, port->bounce);
}

static uint32_t
receive_queue(struct cfc_port *port, uint16_t queue_id,
              void (*on_frame)(void *ctx, const uint8_t *frame, size_t size), void *ctx)
{
    struct rte_mbuf *burst[RX_BURST];
    uint16_t count = rte_eth_rx_burst(port->id, queue_id, burst, RX_BURST);

    for (uint16_t i = 0; i < count; i++) {
        const uint8_t *frame = make_contiguous(port, burst[i]);

        if (frame != NULL) {
            on_frame(ctx, frame, burst[i]->pkt_len);
        }
    }
    rte_pktmbuf_free_bulk(burst, count);
    return count;
}

uint32_t
cfc_port_rx(struct cfc_port *port, void (*on_frame)(void *ctx, const uint8_t *frame, size_t size),
            void *ctx)
{
    uint32_t count = 0;

    for (uint16_t i = 0; i < port->config.queue_count; i++) {
        count += receive_queue(port, i, on_frame, ctx);
    }
    return count;
}
