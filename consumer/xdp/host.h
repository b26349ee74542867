/* What the processes of one host want of one interface, so that its XDP filter drops nothing that
 * any of them has a use for.
 *
 * Each client has one of these.  At most one of them owns the filter (filter.h): it asked for it
 * and was first.  The others, those without rights and those that never asked too, tell the owner
 * what they want over an abstract unix socket that bears the interface's index, so it is found by
 * whoever is in the same network namespace.  When a process ends, its wishes do; when the owner
 * ends, so does the filter, and the next one that asked for it takes it up.
 *
 * What is not known passes.  A new owner drops nothing for its first seconds, in which all others
 * find it; nor does it while somebody wants more than it can note, or says what it does not
 * understand.
 *
 * All functions take NULL for a client without one, and do nothing then.  One thread owns a
 * host. */
#ifndef CFC_CONSUMER_XDP_HOST_H
#define CFC_CONSUMER_XDP_HOST_H

#include <stddef.h>
#include <stdint.h>

#include "confcast/confcast.h"
#include "consumer/xdp/filter.h"

struct cfc_xdp_host;

struct cfc_xdp_host_config {
    const char *interface;
    enum confcast_xdp wanted; /* OFF: never own the filter */
    struct cfc_xdp_filter_config fleet;
    void (*say)(void *arg, int level, const char *line); /* as confcast_options.log */
    void *say_arg;
    uint64_t now_ns; /* monotonic */
};

enum {
    CFC_XDP_HOST_SCOPES_MAX = 256,    /* of one process */
    CFC_XDP_HOST_CONTENTS_MAX = 4096, /* likewise */
    CFC_XDP_HOST_NAMED_MAX = 8,       /* contents of one head: 4 arms with a fallback each */
    CFC_XDP_HOST_MEMBERS_MAX = 64,    /* processes beside the owner */
};

/* Takes the filter up if it is wanted and free, or finds its owner.  That there is no filter is no
 * error: it is said once, and stats() has it.  NO_MEMORY, RESOURCE. */
int cfc_xdp_host_open(const struct cfc_xdp_host_config *config, struct cfc_xdp_host **out);
void cfc_xdp_host_close(struct cfc_xdp_host *host);

/* In a forked child.  Async-signal-safe. */
void cfc_xdp_host_abandon(struct cfc_xdp_host *host);

/* This process follows the scope from now on, or no more.  Idempotent. */
void cfc_xdp_host_want(struct cfc_xdp_host *host, uint64_t scope_id);
void cfc_xdp_host_unwant(struct cfc_xdp_host *host, uint64_t scope_id);

/* The verified head in force of a wanted scope names these contents. */
void cfc_xdp_host_named(struct cfc_xdp_host *host, uint64_t scope_id, const uint64_t *content_keys,
                        size_t count);

/* The content is verified and here; or it was given up. */
void cfc_xdp_host_held(struct cfc_xdp_host *host, uint64_t content_key);
void cfc_xdp_host_dropped(struct cfc_xdp_host *host, uint64_t content_key);

/* Looks after the other processes and the interface.  Call it when fd() is readable, and every
 * second at least. */
void cfc_xdp_host_tend(struct cfc_xdp_host *host, uint64_t now_ns);
int cfc_xdp_host_fd(const struct cfc_xdp_host *host); /* to poll for reading; -1: none */

struct cfc_xdp_host_stats {
    enum confcast_xdp mode; /* NATIVE or GENERIC: this process's filter is attached so */
    int error;              /* why it is not though it is wanted; BUSY: another process's is */
    uint32_t members;       /* processes that tell this one what they want */
    bool is_open;           /* attached, and drops nothing for now */
    bool is_member;         /* another process's filter knows what this one wants */
    uint64_t counts[CFC_XDP_VERDICT_COUNT]; /* of all filters that this process had */
};
void cfc_xdp_host_stats(const struct cfc_xdp_host *host, struct cfc_xdp_host_stats *out);

#endif
