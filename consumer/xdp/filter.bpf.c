/* Drops frames of the fleet that nobody on this host has a use for, before the kernel spends a
 * buffer on them: heads of scopes that nobody wants, contents that only such heads name, contents
 * that are held, and whatever goes to a group without a wanted scope.  All that is not known
 * passes, and so does all that concerns everybody (FRESH, STATUS), all unicast (what somebody here
 * asked for), and all that is not from the engine to the fleet's groups and port.
 *
 * Which contents a scope has is learnt from heads as they pass by.  They are not verified here, so
 * what they say never counts against what the owner knows from verified ones (the map `pinned`):
 * a forged head can cost a repair, and no content. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "consumer/xdp/filter_shared.h"

/* docs/wire-format.md, sections 3 and 4. */
enum {
    FRAME_HEADER_SIZE = 16,
    FRAME_MAGIC = 0xcfc5,
    FRAME_VERSION = 1,
    FRAME_HEAD = 1,
    FRAME_CONTENT = 2,
    FRAME_SYMBOL = 4,
    HEAD_FIXED_SIZE = 96,
    HEAD_SCOPE_SIZE_AT = 18,
    HEAD_ARM_COUNT_AT = 22,
    SCOPE_SIZE_MAX = 511,
    ARM_FIXED_SIZE = 72,
    ARM_CONTENT_AT = 8,
    ARM_FALLBACK_AT = 40,
    ARM_COUNT_MAX = 4,
    LABEL_SIZE_MAX = 63,
    IPV4_FRAGMENT_MASK = 0x3fff,
    VLAN_ID_MASK = 0x0fff,
};

struct frame_header {
    __u16 magic;
    __u8 version;
    __u8 type;
    __u16 size;
    __u16 flags;
    __u64 key;
};

struct vlan_header {
    __u16 tci;
    __u16 proto;
};

/* What a head on the wire said of a content. */
struct learnt {
    __u32 generation;
    __u32 is_wanted;
};

/* Keys of scopes and contents are the eight bytes as they lie in a frame. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, CFC_XDP_WANTED_MAX);
    __type(key, __u64);
    __type(value, __u8);
} wanted SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, CFC_XDP_PINNED_MAX);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, __u64);
    __type(value, __u32);
} pinned SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, CFC_XDP_LEARNT_MAX);
    __type(key, __u64);
    __type(value, struct learnt);
} learnt SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, CFC_XDP_VERDICT_COUNT);
    __type(key, __u32);
    __type(value, __u64);
} counters SEC(".maps");

struct cfc_xdp_filter_control control;

/* The group's number from the last word of its address, or a number beyond all. */
static __always_inline __u32
group_of(__u32 last_word)
{
    return bpf_ntohl(last_word) - control.group_base;
}

static __always_inline const struct udphdr *
open_ipv4(const struct iphdr *ip, const void *end, __u32 *group)
{
    if ((const void *)(ip + 1) > end || ip->ihl != sizeof(*ip) / 4 || ip->protocol != IPPROTO_UDP ||
        (ip->frag_off & bpf_htons(IPV4_FRAGMENT_MASK)) != 0) {
        return 0;
    }
    if (control.source[0] != 0 || control.source[1] != 0 ||
        control.source[2] != bpf_htonl(0xffff) || ip->saddr != control.source[3]) {
        return 0;
    }
    *group = group_of(ip->daddr);
    return (const void *)(ip + 1);
}

static __always_inline const struct udphdr *
open_ipv6(const struct ipv6hdr *ip, const void *end, __u32 *group)
{
    if ((const void *)(ip + 1) > end || ip->nexthdr != IPPROTO_UDP) {
        return 0;
    }
    for (int i = 0; i < 4; i++) {
        if (ip->saddr.s6_addr32[i] != control.source[i]) {
            return 0;
        }
    }
    for (int i = 0; i < 3; i++) {
        if (ip->daddr.s6_addr32[i] != control.group_prefix[i]) {
            return 0;
        }
    }
    *group = group_of(ip->daddr.s6_addr32[3]);
    return (const void *)(ip + 1);
}

/* The UDP header of a datagram from the engine to one of its groups and its port, or NULL. */
static __always_inline const struct udphdr *
open_datagram(const void *data, const void *end, __u32 *group)
{
    const struct ethhdr *eth = data;
    const void *packet = eth + 1;
    const struct udphdr *udp = 0;
    __u16 proto;

    if (packet > end) {
        return 0;
    }
    proto = eth->h_proto;
    if (proto == bpf_htons(ETH_P_8021Q)) {
        const struct vlan_header *vlan = packet;

        /* A tag with a number belongs to another interface; without one it is only a priority. */
        if ((const void *)(vlan + 1) > end || (vlan->tci & bpf_htons(VLAN_ID_MASK)) != 0) {
            return 0;
        }
        proto = vlan->proto;
        packet = vlan + 1;
    }
    if (proto == bpf_htons(ETH_P_IP)) {
        udp = open_ipv4(packet, end, group);
    } else if (proto == bpf_htons(ETH_P_IPV6)) {
        udp = open_ipv6(packet, end, group);
    }
    if (!udp || *group > control.group_count || (const void *)(udp + 1) > end ||
        udp->dest != control.port) {
        return 0;
    }
    return udp;
}

static __always_inline __u64
load_key(const __u8 *bytes)
{
    __u64 key;

    __builtin_memcpy(&key, bytes, sizeof(key));
    return key;
}

/* A content that a wanted head names counts as wanted until the scopes wanted are others. */
static __always_inline void
learn(__u64 key, __u32 is_wanted)
{
    struct learnt now = {.generation = control.generation, .is_wanted = is_wanted};
    const struct learnt *before;

    if (key == 0) {
        return; /* no fallback */
    }
    before = bpf_map_lookup_elem(&learnt, &key);
    if (before && before->generation == now.generation && before->is_wanted >= is_wanted) {
        return;
    }
    bpf_map_update_elem(&learnt, &key, &now, BPF_ANY);
}

static __always_inline void
learn_arms(const __u8 *frame, const void *end, __u32 is_wanted)
{
    __u32 at;
    __u32 scope_size;
    __u32 arm_count;

    if ((const void *)(frame + HEAD_FIXED_SIZE) > end) {
        return;
    }
    scope_size = frame[HEAD_SCOPE_SIZE_AT] | (__u32)frame[HEAD_SCOPE_SIZE_AT + 1] << 8;
    arm_count = frame[HEAD_ARM_COUNT_AT];
    if (scope_size > SCOPE_SIZE_MAX) {
        return;
    }
    at = HEAD_FIXED_SIZE + scope_size;
    for (__u32 i = 0; i < ARM_COUNT_MAX && i < arm_count; i++) {
        const __u8 *arm = frame + at;

        if ((const void *)(arm + ARM_FIXED_SIZE) > end || arm[1] > LABEL_SIZE_MAX ||
            arm[2] > LABEL_SIZE_MAX) {
            return;
        }
        at += ARM_FIXED_SIZE + arm[1] + arm[2];
        learn(load_key(arm + ARM_CONTENT_AT), is_wanted);
        learn(load_key(arm + ARM_FALLBACK_AT), is_wanted);
    }
}

static __always_inline __u32
judge_content(__u64 key)
{
    const __u32 *pin = bpf_map_lookup_elem(&pinned, &key);
    const struct learnt *said;

    if (pin) {
        return *pin == CFC_XDP_HELD ? CFC_XDP_DROPPED_HELD : CFC_XDP_PASSED;
    }
    said = bpf_map_lookup_elem(&learnt, &key);
    if (said && !said->is_wanted && said->generation == control.generation) {
        return CFC_XDP_DROPPED_UNWANTED;
    }
    return CFC_XDP_PASSED;
}

static __always_inline __u32
judge(const void *data, const void *end)
{
    __u32 group = 0;
    const struct udphdr *udp = open_datagram(data, end, &group);
    const struct frame_header *frame;
    __u64 key;

    if (!udp) {
        return CFC_XDP_NOT_OURS;
    }
    frame = (const void *)(udp + 1);
    if ((const void *)(frame + 1) > end || frame->magic != FRAME_MAGIC ||
        frame->version != FRAME_VERSION || frame->flags != 0 || frame->size < FRAME_HEADER_SIZE ||
        frame->size + sizeof(*udp) != bpf_ntohs(udp->len)) {
        return CFC_XDP_MALFORMED;
    }
    if (control.is_open || frame->type < FRAME_HEAD || frame->type > FRAME_SYMBOL ||
        group == control.group_count) {
        return CFC_XDP_PASSED;
    }
    key = load_key((const __u8 *)frame + __builtin_offsetof(struct frame_header, key));
    if (frame->type == FRAME_HEAD) {
        __u32 is_wanted = bpf_map_lookup_elem(&wanted, &key) != 0;

        learn_arms((const __u8 *)frame, end, is_wanted);
        return is_wanted ? CFC_XDP_PASSED : CFC_XDP_DROPPED_UNWANTED;
    }
    if ((control.wanted_groups >> (group & 31) & 1) == 0) {
        return CFC_XDP_DROPPED_UNWANTED;
    }
    return judge_content(key);
}

SEC("xdp.frags")
int
confcast_filter(struct xdp_md *ctx)
{
    __u32 verdict = judge((const void *)(long)ctx->data, (const void *)(long)ctx->data_end);
    __u64 *counter = bpf_map_lookup_elem(&counters, &verdict);

    if (counter) {
        ++*counter;
    }
    return verdict == CFC_XDP_DROPPED_UNWANTED || verdict == CFC_XDP_DROPPED_HELD ? XDP_DROP
                                                                                  : XDP_PASS;
}

char LICENSE[] SEC("license") = "Apache-2.0";
