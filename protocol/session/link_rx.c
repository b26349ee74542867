#include "protocol/session/link_rx.h"

#include <string.h>

#include "confcast/error.h"

#define DOMAIN_NONCE "confcast/v1/hello-nonce"

void
cfc_link_rx_init(struct cfc_link_rx *link, const struct cfc_key *credential_key,
                 uint64_t incarnation, uint64_t seed, uint64_t hello_retry_ns,
                 struct cfc_prng *prng)
{
    memset(link, 0, sizeof(*link));
    link->state = CFC_LINK_START;
    link->deadline_ns = 0;
    link->credential_key = credential_key;
    link->incarnation = incarnation;
    link->seed = seed;
    link->hello_retry_ns = hello_retry_ns;
    link->prng = prng;
}

static void
enter(struct cfc_link_rx *link, enum cfc_link_state state, uint64_t deadline_ns)
{
    link->state = state;
    link->deadline_ns = deadline_ns;
}

static uint64_t
hello_window_ns(const struct cfc_link_rx *link)
{
    return link->windows.hello_ms * CFC_MS;
}

/* Nonces come from the credential's key, so that nobody else can tell the next one. */
static void
next_nonce(struct cfc_link_rx *link)
{
    struct cfc_piece pieces[] = {{&link->incarnation, sizeof(link->incarnation)},
                                 {&link->seed, sizeof(link->seed)},
                                 {&link->nonce_count, sizeof(link->nonce_count)}};
    struct cfc_mac mac;

    link->nonce_count++;
    cfc_mac_make(link->credential_key, DOMAIN_NONCE, pieces, 3, &mac);
    memcpy(link->nonce, mac.bytes, sizeof(link->nonce));
}

void
cfc_link_rx_tick(struct cfc_link_rx *link, uint64_t now_ns)
{
    if (link->state == CFC_LINK_START && link->deadline_ns == 0) {
        link->deadline_ns = now_ns + 1 + cfc_prng_below(link->prng, CFC_LINK_FIRST_JITTER_NS);
    }
}

/* A HELLO to an engine that is there was lost or waits its turn in the window: there is no need to
 * wait as long as for an engine that is not. */
static uint32_t
spacing_doublings(const struct cfc_link_rx *link, uint64_t now_ns)
{
    bool is_alive = link->has_status && now_ns - link->status_ns < CFC_LINK_ALIVE_NS;

    return is_alive && link->tries > CFC_LINK_ALIVE_DOUBLINGS_MAX ? CFC_LINK_ALIVE_DOUBLINGS_MAX
                                                                  : link->tries;
}

bool
cfc_link_rx_begin_hello(struct cfc_link_rx *link, uint64_t now_ns)
{
    uint64_t spacing_ns;

    if (now_ns < link->deadline_ns) {
        return false;
    }
    switch (link->state) {
    case CFC_LINK_START:
    case CFC_LINK_LINKED:
    case CFC_LINK_REFUSED:
        next_nonce(link);
        memset(link->cookie, 0, sizeof(link->cookie));
        link->tries = 0;
        break;
    case CFC_LINK_ASKED:
        break;
    case CFC_LINK_PROVING:
        /* A cookie that brings no answer may have been made by an engine that is gone. */
        if (link->tries == CFC_LINK_DOUBLINGS_MAX) {
            memset(link->cookie, 0, sizeof(link->cookie));
        }
        break;
    }
    if (!link->is_answering) {
        link->challenges = 0;
    }
    link->is_answering = false;
    spacing_ns = link->hello_retry_ns << spacing_doublings(link, now_ns);
    spacing_ns += cfc_prng_below(link->prng, spacing_ns / 2 + hello_window_ns(link));
    if (link->tries < CFC_LINK_DOUBLINGS_MAX) {
        link->tries++;
    }
    enter(link, link->state == CFC_LINK_PROVING ? CFC_LINK_PROVING : CFC_LINK_ASKED,
          now_ns + spacing_ns);
    return true;
}

static void
take_windows(struct cfc_link_rx *link, const struct cfc_windows *w)
{
    link->windows = *w;
    if (link->windows.hello_ms > CFC_LINK_HELLO_MS_MAX) {
        link->windows.hello_ms = CFC_LINK_HELLO_MS_MAX;
    }
    if (link->windows.nack_us > CFC_LINK_NACK_US_MAX) {
        link->windows.nack_us = CFC_LINK_NACK_US_MAX;
    }
    if (link->windows.report_ms > CFC_LINK_REPORT_MS_MAX) {
        link->windows.report_ms = CFC_LINK_REPORT_MS_MAX;
    }
}

static uint32_t
near(uint32_t told, uint32_t proved)
{
    uint32_t least = proved / CFC_LINK_WINDOW_TIMES;
    uint32_t most =
        proved < UINT32_MAX / CFC_LINK_WINDOW_TIMES ? proved * CFC_LINK_WINDOW_TIMES : UINT32_MAX;

    return told < least ? least : told > most ? most : told;
}

/* The windows of a STATUS, which nobody signed. */
static void
take_hint(struct cfc_link_rx *link, const struct cfc_windows *told)
{
    struct cfc_windows w = *told;

    if (link->has_session) {
        w.hello_ms = near(w.hello_ms, link->proved.hello_ms);
        w.nack_us = near(w.nack_us, link->proved.nack_us);
        w.report_ms = near(w.report_ms, link->proved.report_ms);
    }
    take_windows(link, &w);
}

int
cfc_link_rx_welcome(struct cfc_link_rx *link, const struct cfc_frame *frame, uint64_t now_ns,
                    struct cfc_welcome *welcome)
{
    int code = cfc_welcome_decode(frame, welcome);

    if (code != CONFCAST_OK) {
        return code;
    }
    if ((link->state != CFC_LINK_ASKED && link->state != CFC_LINK_PROVING) ||
        memcmp(welcome->nonce, link->nonce, sizeof(link->nonce)) != 0) {
        return CONFCAST_ERR_REPLAY;
    }
    if (welcome->kind == CFC_WELCOME_CHALLENGE) {
        if (link->challenges == CFC_LINK_CHALLENGES_MAX) {
            return CONFCAST_ERR_LIMIT;
        }
        link->challenges++;
        memcpy(link->cookie, welcome->token, sizeof(link->cookie));
        link->is_answering = true;
        link->tries = 0;
        enter(link, CFC_LINK_PROVING, now_ns);
        return CONFCAST_OK;
    }
    if (cfc_welcome_check(frame, link->credential_key) != CONFCAST_OK) {
        return CONFCAST_ERR_MAC;
    }
    take_windows(link, &welcome->windows);
    link->proved = link->windows;
    if (welcome->kind == CFC_WELCOME_REFUSE) {
        uint64_t pause_ns = link->hello_retry_ns << CFC_LINK_DOUBLINGS_MAX;

        link->has_session = false;
        enter(link, CFC_LINK_REFUSED, now_ns + pause_ns + cfc_prng_below(link->prng, pause_ns));
        return CONFCAST_OK;
    }
    link->has_session = true;
    link->session = welcome->session;
    link->boot_id = welcome->boot_id;
    link->seq = 0;
    link->observed = welcome->observed;
    link->linked_at_ns = now_ns;
    cfc_session_key(link->credential_key, link->nonce, welcome->token, welcome->boot_id,
                    &link->key);
    enter(link, CFC_LINK_LINKED, CFC_NEVER);
    return CONFCAST_OK;
}

void
cfc_link_rx_renew(struct cfc_link_rx *link, uint64_t now_ns)
{
    uint64_t from_ns = now_ns;

    if (link->state != CFC_LINK_LINKED || link->deadline_ns != CFC_NEVER) {
        return;
    }
    if (from_ns < link->linked_at_ns + CFC_LINK_RENEW_MIN_NS) {
        from_ns = link->linked_at_ns + CFC_LINK_RENEW_MIN_NS;
    }
    enter(link, CFC_LINK_LINKED, from_ns + cfc_prng_below(link->prng, hello_window_ns(link)));
}

bool
cfc_link_rx_status(struct cfc_link_rx *link, const struct cfc_status *status, uint64_t now_ns)
{
    bool is_ours = link->has_session && status->boot_id == link->boot_id;
    bool is_new_generation =
        is_ours && status->windows.report_generation != link->windows.report_generation;

    link->has_status = true;
    link->status_ns = now_ns;
    if (is_ours || !link->has_session) {
        take_hint(link, &status->windows);
    }
    if ((link->has_session && !is_ours) || is_new_generation) {
        cfc_link_rx_renew(link, now_ns);
    } else if (!link->has_session && link->state == CFC_LINK_ASKED) {
        /* There is an engine after all: do not wait out a long pause. */
        uint64_t soon_ns = now_ns + link->hello_retry_ns + hello_window_ns(link);

        if (link->deadline_ns > soon_ns) {
            link->deadline_ns = now_ns + link->hello_retry_ns +
                                cfc_prng_below(link->prng, hello_window_ns(link) + 1);
        }
    }
    return is_new_generation;
}
