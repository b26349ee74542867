/* Drops a share of what a receiver's link brings, on ingress and before anything else of the host
 * sees it: of all UDP and TCP frames, by a seeded sequence, so that the n-th frame of a run is lost
 * in every run with that seed.  ARP, IGMP and neighbour discovery pass. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum {
    IPV4_PROTOCOL_OFFSET = ETH_HLEN + 9,
    IPV6_NEXT_HEADER_OFFSET = ETH_HLEN + 6,
};

volatile const __u64 seed;
volatile const __u32 loss_ppm;
__u64 frame_count;

/* Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014), the finalizer. */
static __always_inline __u64
mix(__u64 x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

SEC("tc")
int
lose(struct __sk_buff *skb)
{
    __u32 offset = IPV4_PROTOCOL_OFFSET;
    __u8 protocol;
    __u64 n;

    if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
        offset = IPV6_NEXT_HEADER_OFFSET;
    } else if (skb->protocol != bpf_htons(ETH_P_IP)) {
        return TC_ACT_OK;
    }
    if (bpf_skb_load_bytes(skb, offset, &protocol, sizeof(protocol)) != 0 ||
        (protocol != IPPROTO_UDP && protocol != IPPROTO_TCP)) {
        return TC_ACT_OK;
    }
    n = __sync_fetch_and_add(&frame_count, 1);
    return (mix(seed + n * 0x9e3779b97f4a7c15) >> 32) * 1000000 >> 32 < loss_ppm ? TC_ACT_SHOT
                                                                                 : TC_ACT_OK;
}

char terms[] SEC("license") = "Dual BSD/GPL";
