/* Every bound of the protocol, named in one place.  A receiver refuses what exceeds these with
 * CONFCAST_ERR_LIMIT or CONFCAST_ERR_RANGE before it allocates anything. */
#ifndef CFC_BASE_LIMITS_H
#define CFC_BASE_LIMITS_H

#include <stdint.h>

enum {
    CFC_FRAME_SIZE_MAX = 8932,     /* UDP payload at MTU 9000 over IPv6 with 20 bytes to spare */
    CFC_FRAME_SIZE_DEFAULT = 1472, /* UDP payload at MTU 1500 over IPv4 */
    CFC_FRAME_SIZE_MIN = 1232,     /* UDP payload at the IPv6 minimum MTU of 1280 */

    CFC_SEGMENT_COUNT_MAX = 8,      /* segments of a scope path */
    CFC_SEGMENT_SIZE_MAX = 63,      /* bytes of one segment */
    CFC_SCOPE_SIZE_MAX = 511,       /* 8 * 63 + 7 slashes, without the NUL */
    CFC_CONSUMER_ID_SIZE_MAX = 128, /* bytes of a consumer id, without the NUL */
    CFC_LABEL_COUNT_MAX = 16,       /* labels of one consumer */
    CFC_LABEL_SIZE_MAX = 63,        /* bytes of a label key or value, without the NUL */

    CFC_ARM_COUNT_MAX = 4,      /* arms of a head */
    CFC_BLOCK_SYMBOLS_MAX = 64, /* source symbols of one FEC block: one bit each in a uint64_t */
    CFC_REPAIR_LEAVES_MAX = 16, /* repair symbols of a block that have a leaf in its page */
    CFC_FEC_GROUP_BLOCKS = 4,   /* blocks with a code that a sender interleaves */
    CFC_PAGE_DIGESTS_MAX =
        80, /* digests of a page: 64 + 16 in a leaf page, fan-out of an index page */
    CFC_TOP_DIGESTS_MAX = 32, /* page digests that CONTENT itself carries */
    CFC_PAGE_LEVELS_MAX = 3,  /* levels of pages below CONTENT */
    CFC_SYMBOL_SIZE_DEFAULT = 1440,
    CFC_SYMBOL_SIZE_MIN = 64,
    CFC_SYMBOL_SIZE_MAX = 8896,

    CFC_FRESH_PAGE_ENTRIES_MAX = 32, /* entries of one FRESH page */
    CFC_FRESH_PROOF_MAX = 12, /* Merkle siblings of a page: up to 4,096 pages, 131,072 scopes */
    CFC_FRESH_ENTRIES_MAX = 4096 * 32, /* scopes of one shard */
    CFC_REPORT_ENTRIES_MAX = 24,       /* scopes in one REPORT frame */
    CFC_NACK_ENTRIES_MAX = 40,         /* requests in one NACK frame */
    CFC_STATUS_ECHOES_MAX = 64,        /* report echoes in one STATUS frame */
    CFC_GROUP_COUNT_MAX = 16,          /* data groups; Linux allows 20 memberships a socket */

    CFC_DEPTH_MAX = 64, /* nesting of a document */
};

#define CFC_BODY_SIZE_MAX       (256u << 20) /* bytes of one body, and of one coded content */
#define CFC_BODY_NODES_MAX      (16u << 20)  /* values in one body */
#define CFC_ZSTD_WINDOW_LOG_MAX 27           /* 128 MiB */
/* A head may lie at most this far beyond the sequence that its shard signed last (fast-forward
 * attack). */
#define CFC_VERSION_JUMP_MAX (UINT64_C(1) << 32)

#endif
