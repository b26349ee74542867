#include "consumer/xdp/host.h"

#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "confcast/error.h"
#include "consumer/xdp/member.h"
#include "consumer/xdp/owner.h"
#include "consumer/xdp/wishes.h"
#include "protocol/base/time.h"

#define TEND_NS  CFC_S        /* between two looks at the interface and for an owner */
#define RETRY_NS (10 * CFC_S) /* between two tries to own the filter */

/* Contents that the head of an own scope names; in the order of the first party's scopes. */
struct named {
    uint32_t count;
    uint64_t keys[CFC_XDP_HOST_NAMED_MAX];
};

struct cfc_xdp_host {
    char interface[IF_NAMESIZE];
    enum confcast_xdp wanted;
    struct cfc_xdp_filter_config fleet;
    void (*say)(void *arg, int level, const char *line);
    void *say_arg;

    unsigned interface_idx; /* 0: it is not there */
    struct cfc_xdp_wishes wishes;
    struct named named[CFC_XDP_HOST_SCOPES_MAX];
    struct cfc_xdp_owner owner;   /* as which it has wishes.filter, */
    struct cfc_xdp_member member; /* or as one of the others */
    int error;                    /* why it owns none; OK: nothing is wrong, or was tried */
    uint64_t now_ns;
    uint64_t tend_ns;  /* the next look */
    uint64_t retry_ns; /* the next try to own the filter */
};

__attribute__((format(printf, 3, 4))) static void
say(struct cfc_xdp_host *host, int level, const char *format, ...)
{
    char line[256];
    va_list args;

    if (host->say == NULL) {
        return;
    }
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    host->say(host->say_arg, level, line);
}

static struct cfc_xdp_party *
own(struct cfc_xdp_host *host)
{
    return host->wishes.parties[0];
}

/* ---- Opening and closing --------------------------------------------------------------------- */

int
cfc_xdp_host_open(const struct cfc_xdp_host_config *config, struct cfc_xdp_host **out)
{
    struct cfc_xdp_host *host = calloc(1, sizeof(*host));
    uint64_t seed;
    int error;

    *out = NULL;
    if (host == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        free(host);
        return CONFCAST_ERR_RESOURCE;
    }
    error = cfc_xdp_wishes_init(&host->wishes, seed);
    if (error != CONFCAST_OK) {
        free(host);
        return error;
    }
    cfc_xdp_owner_init(&host->owner, &host->wishes);
    cfc_xdp_member_init(&host->member);
    snprintf(host->interface, sizeof(host->interface), "%s", config->interface);
    host->wanted = config->wanted;
    host->fleet = config->fleet;
    host->say = config->say;
    host->say_arg = config->say_arg;
    *out = host;
    cfc_xdp_host_tend(host, config->now_ns);
    return CONFCAST_OK;
}

void
cfc_xdp_host_close(struct cfc_xdp_host *host)
{
    if (host == NULL) {
        return;
    }
    cfc_xdp_owner_close(&host->owner);
    cfc_xdp_member_leave(&host->member);
    cfc_xdp_wishes_clear(&host->wishes);
    free(host);
}

void
cfc_xdp_host_abandon(struct cfc_xdp_host *host)
{
    if (host == NULL) {
        return;
    }
    cfc_xdp_owner_abandon(&host->owner);
    if (host->member.fd >= 0) {
        close(host->member.fd);
    }
}

/* ---- What this process wants ----------------------------------------------------------------- */

/* This process's word on a content: held, else needed when a head in force names it. */
static void
refresh(struct cfc_xdp_host *host, uint64_t key, bool is_held)
{
    uint32_t pin = is_held ? CFC_XDP_HELD : 0;

    for (uint32_t i = 0; pin == 0 && i < own(host)->scope_count; i++) {
        for (uint32_t k = 0; k < host->named[i].count; k++) {
            pin = host->named[i].keys[k] == key ? CFC_XDP_NEEDED : pin;
        }
    }
    if (cfc_xdp_party_pin(own(host), key) != pin) {
        cfc_xdp_wishes_pin(&host->wishes, own(host), key, pin);
        cfc_xdp_member_tell_pin(&host->member, key, pin);
    }
}

static void
refresh_named(struct cfc_xdp_host *host, const struct named *named)
{
    for (uint32_t i = 0; i < named->count; i++) {
        refresh(host, named->keys[i], cfc_xdp_party_pin(own(host), named->keys[i]) == CFC_XDP_HELD);
    }
}

void
cfc_xdp_host_want(struct cfc_xdp_host *host, uint64_t scope_id)
{
    uint32_t i;

    if (host == NULL || cfc_xdp_party_find_scope(own(host), scope_id) < own(host)->scope_count) {
        return;
    }
    cfc_xdp_wishes_want(&host->wishes, own(host), scope_id);
    i = cfc_xdp_party_find_scope(own(host), scope_id);
    if (i < own(host)->scope_count) {
        host->named[i].count = 0;
    }
    cfc_xdp_owner_settle(&host->owner, host->now_ns);
    cfc_xdp_member_tell(&host->member, CFC_XDP_WANT, scope_id);
    cfc_xdp_member_flush(&host->member);
}

void
cfc_xdp_host_unwant(struct cfc_xdp_host *host, uint64_t scope_id)
{
    struct named gone;
    uint32_t i;

    if (host == NULL) {
        return;
    }
    i = cfc_xdp_party_find_scope(own(host), scope_id);
    if (i == own(host)->scope_count) {
        return;
    }
    gone = host->named[i];
    host->named[i] = host->named[own(host)->scope_count - 1];
    cfc_xdp_wishes_unwant(&host->wishes, own(host), scope_id);
    refresh_named(host, &gone);
    cfc_xdp_member_tell(&host->member, CFC_XDP_UNWANT, scope_id);
    cfc_xdp_member_flush(&host->member);
}

void
cfc_xdp_host_named(struct cfc_xdp_host *host, uint64_t scope_id, const uint64_t *content_keys,
                   size_t count)
{
    struct named before;
    uint32_t i;

    if (host == NULL) {
        return;
    }
    i = cfc_xdp_party_find_scope(own(host), scope_id);
    if (i == own(host)->scope_count || count > CFC_XDP_HOST_NAMED_MAX) {
        return;
    }
    before = host->named[i];
    host->named[i].count = (uint32_t)count;
    for (size_t k = 0; k < count; k++) {
        host->named[i].keys[k] = content_keys[k];
    }
    refresh_named(host, &host->named[i]);
    refresh_named(host, &before);
    cfc_xdp_owner_settle(&host->owner, host->now_ns);
    cfc_xdp_member_flush(&host->member);
}

void
cfc_xdp_host_held(struct cfc_xdp_host *host, uint64_t content_key)
{
    if (host != NULL) {
        refresh(host, content_key, true);
        cfc_xdp_member_flush(&host->member);
    }
}

void
cfc_xdp_host_dropped(struct cfc_xdp_host *host, uint64_t content_key)
{
    if (host != NULL) {
        refresh(host, content_key, false);
        cfc_xdp_owner_settle(&host->owner, host->now_ns);
        cfc_xdp_member_flush(&host->member);
    }
}

/* ---- Looking after it ------------------------------------------------------------------------ */

/* One line for each new reason. */
static void
note(struct cfc_xdp_host *host, int error, const char *why)
{
    if (error == CONFCAST_OK) {
        say(host, 2, "XDP filter attached interface=%s mode=%s", host->interface,
            host->owner.mode == CONFCAST_XDP_NATIVE ? "native" : "generic");
    } else if (error != host->error) {
        say(host, error == CONFCAST_ERR_BUSY ? 2 : 1, "no XDP filter interface=%s error=%s: %s",
            host->interface, confcast_error_word(error), why);
    }
    host->error = error;
}

static const char *
why_not(int error)
{
    switch (error) {
    case CONFCAST_ERR_PERMISSION:
        return "it takes CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN";
    case CONFCAST_ERR_BUSY:
        return "another process's is there, and is told what is wanted here";
    case CONFCAST_ERR_EXISTS:
        return "another XDP program is there";
    case CONFCAST_ERR_UNAVAILABLE:
        return "the kernel or the interface does not take it";
    default:
        return confcast_error_text(error);
    }
}

/* What brings frames to others than the processes of this namespace would be robbed of them. */
static bool
is_shared(const struct cfc_xdp_host *host)
{
    return host->wanted == CONFCAST_XDP_AUTO && cfc_xdp_filter_is_shared(host->interface);
}

static void
become_owner(struct cfc_xdp_host *host)
{
    int error;

    host->retry_ns = host->now_ns + RETRY_NS;
    if (is_shared(host)) {
        note(host, CONFCAST_ERR_UNAVAILABLE,
             "a bridge, bond, VLAN or macvlan is on it, and others may listen there");
        return;
    }
    if (host->error == CONFCAST_ERR_EXISTS && cfc_xdp_filter_is_occupied(host->interface_idx)) {
        return; /* nothing to load for */
    }
    error = cfc_xdp_owner_open(&host->owner, &host->fleet, host->interface_idx, host->wanted,
                               host->now_ns);
    if (error == CONFCAST_ERR_PERMISSION || error == CONFCAST_ERR_UNAVAILABLE) {
        host->retry_ns = CFC_NEVER; /* but for another interface of this name */
    }
    note(host, error, why_not(error));
}

/* Everything anew when the interface is another one, or gone. */
static void
look_at_interface(struct cfc_xdp_host *host)
{
    const struct cfc_xdp_filter *filter = host->wishes.filter;
    unsigned idx = if_nametoindex(host->interface);

    if (idx != host->interface_idx) {
        cfc_xdp_owner_close(&host->owner);
        cfc_xdp_member_leave(&host->member);
        host->interface_idx = idx;
        host->error = CONFCAST_OK;
        host->retry_ns = 0;
    } else if (filter != NULL && !cfc_xdp_filter_is_attached(filter)) {
        say(host, 1, "somebody detached the XDP filter interface=%s", host->interface);
        cfc_xdp_owner_close(&host->owner);
    } else if (filter != NULL && is_shared(host)) {
        cfc_xdp_owner_close(&host->owner);
        host->retry_ns = 0; /* which says why not */
    }
}

static void
look(struct cfc_xdp_host *host)
{
    look_at_interface(host);
    if (host->wishes.filter != NULL) {
        cfc_xdp_wishes_retry_needs(&host->wishes);
    }
    if (host->member.fd >= 0 && cfc_xdp_member_is_alone(&host->member)) {
        cfc_xdp_member_leave(&host->member);
        host->retry_ns = 0;
    }
    if (host->interface_idx == 0 || host->wishes.filter != NULL || host->member.fd >= 0) {
        return;
    }
    if (host->wanted != CONFCAST_XDP_OFF && host->now_ns >= host->retry_ns) {
        become_owner(host);
    }
    if (host->wishes.filter == NULL) {
        cfc_xdp_member_join(&host->member, host->interface_idx, own(host));
    }
}

void
cfc_xdp_host_tend(struct cfc_xdp_host *host, uint64_t now_ns)
{
    bool is_due;

    if (host == NULL) {
        return;
    }
    is_due = now_ns >= host->tend_ns;
    host->now_ns = now_ns;
    cfc_xdp_owner_serve(&host->owner, now_ns, is_due);
    if (is_due) {
        host->tend_ns = now_ns + TEND_NS;
        look(host);
    }
    cfc_xdp_owner_settle(&host->owner, now_ns);
}

int
cfc_xdp_host_fd(const struct cfc_xdp_host *host)
{
    return host != NULL ? host->owner.epoll_fd : -1;
}

void
cfc_xdp_host_stats(const struct cfc_xdp_host *host, struct cfc_xdp_host_stats *out)
{
    *out = (struct cfc_xdp_host_stats){.mode = CONFCAST_XDP_OFF};
    if (host == NULL) {
        return;
    }
    out->mode = host->owner.mode;
    out->error = host->wishes.filter != NULL ? CONFCAST_OK : host->error;
    out->members = host->wishes.party_count - 1;
    out->is_member = host->member.fd >= 0;
    out->is_open = host->wishes.filter != NULL && cfc_xdp_filter_is_open(host->wishes.filter);
    cfc_xdp_owner_counts(&host->owner, out->counts);
}
