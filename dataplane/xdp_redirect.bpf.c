/* Redirects datagrams for the engine's own address and UDP port into its AF_XDP socket and leaves
 * everything else to the kernel: ARP, neighbour discovery, IGMP, ssh, fragments.  A datagram on a
 * queue without a socket, or whose socket is gone, goes to the kernel as well, so that a program
 * that outlives its engine does no harm. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "dataplane/xdp_redirect.h"

enum {
    QUEUES_MAX = 64,
    IPV4_FRAGMENT_MASK = 0x3fff,
};

/* By this name the PMD looks for it. */
struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, QUEUES_MAX);
    __type(key, __u32);
    __type(value, __u32);
} xsks_map SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct cfc_xdp_config);
} confcast_config SEC(".maps");

static __always_inline int
is_own_ipv4(const struct cfc_xdp_config *config, const struct iphdr *ip, const void *end)
{
    if ((const void *)(ip + 1) > end || ip->ihl != sizeof(*ip) / 4 || ip->protocol != IPPROTO_UDP ||
        (ip->frag_off & bpf_htons(IPV4_FRAGMENT_MASK)) != 0) {
        return 0;
    }
    return ip->daddr == config->ip[3];
}

static __always_inline int
is_own_ipv6(const struct cfc_xdp_config *config, const struct ipv6hdr *ip, const void *end)
{
    if ((const void *)(ip + 1) > end || ip->nexthdr != IPPROTO_UDP) {
        return 0;
    }
    for (int i = 0; i < 4; i++) {
        if (ip->daddr.s6_addr32[i] != config->ip[i]) {
            return 0;
        }
    }
    return 1;
}

SEC("xdp")
int
confcast_engine(struct xdp_md *ctx)
{
    const void *end = (const void *)(long)ctx->data_end;
    const struct ethhdr *eth = (const void *)(long)ctx->data;
    const struct cfc_xdp_config *config;
    const struct udphdr *udp;
    __u32 zero = 0;

    config = bpf_map_lookup_elem(&confcast_config, &zero);
    if (!config || config->port == 0 || (const void *)(eth + 1) > end) {
        return XDP_PASS;
    }
    if (eth->h_proto == bpf_htons(ETH_P_IP)) {
        const struct iphdr *ip = (const void *)(eth + 1);

        if (!is_own_ipv4(config, ip, end)) {
            return XDP_PASS;
        }
        udp = (const void *)(ip + 1);
    } else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
        const struct ipv6hdr *ip = (const void *)(eth + 1);

        if (!is_own_ipv6(config, ip, end)) {
            return XDP_PASS;
        }
        udp = (const void *)(ip + 1);
    } else {
        return XDP_PASS;
    }
    if ((const void *)(udp + 1) > end || udp->dest != config->port) {
        return XDP_PASS;
    }
    return bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS);
}

char LICENSE[] SEC("license") = "Apache-2.0";
