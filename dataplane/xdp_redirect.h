/* What the XDP program is told by the engine, after it was attached.  Included by the BPF program
 * too. */
#ifndef CFC_DATAPLANE_XDP_REDIRECT_H
#define CFC_DATAPLANE_XDP_REDIRECT_H

#include <linux/types.h>

struct cfc_xdp_config {
    __u32 ip[4]; /* own address, network order; IPv4 as in RFC 4291, ::ffff:a.b.c.d */
    __u16 port;  /* own UDP port, network order; 0: redirect nothing */
    __u16 zero;  /* no padding in what the kernel copies */
};

#endif
