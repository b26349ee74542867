/* The engine's XDP program for net_af_xdp (dataplane/xdp_redirect.bpf.c): before EAL starts it is
 * put where the PMD can load it from, and after the port is open it is told what to redirect.
 *
 * The PMD attaches and detaches it.  A kill -9 leaves it attached; it is then harmless (its socket
 * is gone, so all goes to the kernel), but keeps the next one from being attached, so
 * cfc_xdp_prepare() removes it.  Which engine owns an interface is decided by an abstract unix
 * socket that ends with the process.
 *
 * Start-up only; one thread. */
#ifndef CFC_DATAPLANE_XDP_H
#define CFC_DATAPLANE_XDP_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/wire/frame.h"

/* Writes the path of the program into `path`, valid for the life of the process.  EXISTS: another
 * engine, or another XDP program, has the interface; NOT_FOUND: there is no such interface;
 * UNSUPPORTED: it has fewer than `queue_count` combined queues; RESOURCE.  The reason is logged. */
int cfc_xdp_prepare(const char *interface, uint32_t queue_count, char *path, size_t capacity);

/* Has the attached program redirect what is sent to `own`.  NOT_FOUND: our program is not there;
 * RESOURCE.  The reason is logged. */
int cfc_xdp_configure(const char *interface, const struct cfc_address *own);

/* Removes our program if it is still attached. */
void cfc_xdp_remove(const char *interface);

#endif
