/* The XDP filter of one interface: drops what nobody on this host has a use for
 * (consumer/xdp/filter.bpf.c says what that is).
 *
 * It is attached by a BPF link that only this process's descriptor keeps alive: however the process
 * ends, nothing stays attached.  An interface holds one XDP program, so it has one owner.
 *
 * A new filter is open: it counts and drops nothing.  What it cannot note must pass: once a wanted
 * scope does not fit its map it stays open for good, and after a needed content that does not,
 * until its owner has told all needs again.
 *
 * One thread owns a filter. */
#ifndef CFC_CONSUMER_XDP_FILTER_H
#define CFC_CONSUMER_XDP_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "confcast/confcast.h"
#include "consumer/xdp/filter_shared.h"
#include "protocol/trust/fleet.h"

struct cfc_xdp_filter;

struct cfc_xdp_filter_config {
    struct cfc_fleet_address source;     /* the engine */
    struct cfc_fleet_address group_base; /* first data group; its port is that of all */
    uint32_t group_count;                /* data groups, 1..CFC_GROUP_COUNT_MAX */
};

/* Loads the program and its maps, attached to nothing.  PERMISSION: it takes CAP_BPF, CAP_PERFMON
 * and CAP_NET_ADMIN; UNAVAILABLE: the kernel has no BPF, or not what this program needs; NO_MEMORY.
 */
int cfc_xdp_filter_open(const struct cfc_xdp_filter_config *config, struct cfc_xdp_filter **out);

/* Detaches and frees.  NULL is fine. */
void cfc_xdp_filter_close(struct cfc_xdp_filter *filter);

/* Closes the descriptors in a forked child, so that it does not keep the filter attached.
 * Async-signal-safe. */
void cfc_xdp_filter_abandon(struct cfc_xdp_filter *filter);

/* Attaches it: NATIVE in the driver, GENERIC behind it, AUTO the first of them that there is; *mode
 * says which.  BUSY: another process's filter of this kind has the interface; EXISTS: another XDP
 * program has it; PERMISSION; UNAVAILABLE: the interface or its driver does not take it; NOT_FOUND:
 * no such interface. */
int cfc_xdp_filter_attach(struct cfc_xdp_filter *filter, unsigned interface_idx,
                          enum confcast_xdp wanted, enum confcast_xdp *mode);

/* Whether some XDP program is attached to the interface: cheap, and needs no rights. */
bool cfc_xdp_filter_is_occupied(unsigned interface_idx);

/* False when the interface is gone or somebody else detached it. */
bool cfc_xdp_filter_is_attached(const struct cfc_xdp_filter *filter);

/* Whether something else sits on this interface and may bring frames to listeners that nobody here
 * knows of: a bridge, a bond, VLANs, macvlan. */
bool cfc_xdp_filter_is_shared(const char *interface);

/* Drop nothing from now on, or what is known to be of no use. */
void cfc_xdp_filter_set_open(struct cfc_xdp_filter *filter, bool is_open);
bool cfc_xdp_filter_is_open(const struct cfc_xdp_filter *filter);

/* Lets a scope's frames through, or no more.  The caller pairs these: once each. */
void cfc_xdp_filter_want(struct cfc_xdp_filter *filter, uint64_t scope_id);
void cfc_xdp_filter_unwant(struct cfc_xdp_filter *filter, uint64_t scope_id);

/* What is known of a content: CFC_XDP_NEEDED, CFC_XDP_HELD, or 0 for nothing.  Idempotent.  Held
 * ones beyond CFC_XDP_HELD_MAX are not noted, and give way to needed ones. */
void cfc_xdp_filter_pin(struct cfc_xdp_filter *filter, uint64_t content_key, uint32_t pin);

/* Whether a needed content did not fit, so that it is open.  When there may be room again: retry,
 * pin all needed contents, and set_open(), which it stays until then. */
bool cfc_xdp_filter_has_lost_need(const struct cfc_xdp_filter *filter);
void cfc_xdp_filter_retry_needs(struct cfc_xdp_filter *filter);

/* Frames by what became of them, since it was attached. */
void cfc_xdp_filter_counts(const struct cfc_xdp_filter *filter,
                           uint64_t counts[CFC_XDP_VERDICT_COUNT]);

/* The program, for tests that run it on frames of theirs. */
int cfc_xdp_filter_program_fd(const struct cfc_xdp_filter *filter);

#endif
