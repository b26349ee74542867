/* What the XDP filter and whoever steers it share.  Included by the BPF program too: no libc. */
#ifndef CFC_CONSUMER_XDP_FILTER_SHARED_H
#define CFC_CONSUMER_XDP_FILTER_SHARED_H

#include <linux/types.h>

/* Where the fleet is and what is let through: a global of the program, which its owner writes while
 * it runs, each member by one aligned store. */
struct cfc_xdp_filter_control {
    __u32 source[4];       /* the engine, network order; IPv4 as in RFC 4291, ::ffff:a.b.c.d */
    __u32 group_prefix[3]; /* of all groups, network order */
    __u32 group_base;      /* the last four bytes of the first data group, host order */
    __u32 group_count;     /* data groups; the control group is the next one */
    __u32 port;            /* UDP, network order */
    __u32 wanted_groups;   /* bit i: somebody wants a scope of data group i */
    __u32 generation;      /* of wanted scopes: what was learnt before counts no more */
    __u32 is_open;         /* drop nothing */
};

/* One count per frame; also the index of its counter. */
enum cfc_xdp_filter_verdict {
    CFC_XDP_NOT_OURS,         /* passed: not from the engine to a group and port of the fleet */
    CFC_XDP_MALFORMED,        /* passed: to the fleet's port, but no frame of this version */
    CFC_XDP_PASSED,           /* passed: wanted, of concern to all, or not known */
    CFC_XDP_DROPPED_UNWANTED, /* of a scope that nobody here wants */
    CFC_XDP_DROPPED_HELD,     /* of a content that is held already */
    CFC_XDP_VERDICT_COUNT
};

/* Values of the map of pinned contents. */
enum {
    CFC_XDP_NEEDED = 1, /* somebody collects it: passes */
    CFC_XDP_HELD = 2    /* held and verified, and nobody collects it: dropped */
};

/* Entries of the maps. */
enum {
    CFC_XDP_WANTED_MAX = 16640, /* scopes of all processes of the host: 65 of 256 */
    CFC_XDP_PINNED_MAX = 65536, /* contents likewise */
    CFC_XDP_HELD_MAX = 32768,   /* of those: needs go first */
    CFC_XDP_LEARNT_MAX = 16384  /* contents that heads on the wire named last */
};

#endif
