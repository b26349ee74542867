/* When a receiver reports: the pacing of the level-triggered REPORT.
 *
 * A report says everything; report_seq names its content.  It is repeated, ever more rarely, until
 * the engine echoes its number, and again after the refresh interval as a sign of life.  What
 * changes is spread over the report window, what operators wait for (applied, rejected, prepared,
 * reverted) over an eighth of it, since the window follows the size of the fleet.  No change is
 * reported before it has rested for a moment: changes come in twos and threes, and consumers that
 * share processors are to apply before one of them tells of it.
 *
 * No I/O, no allocation, no clock; one thread at a time. */
#ifndef CFC_SESSION_REPORT_RX_H
#define CFC_SESSION_REPORT_RX_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base/prng.h"
#include "protocol/base/time.h"

enum {
    CFC_REPORT_DOUBLINGS_MAX = 4, /* of the spacing: up to 16 times the first */
    CFC_REPORT_TRIES_MAX = 6,     /* without an echo: the session may be dead */
    CFC_REPORT_URGENT_PART = 8    /* urgent reports use this part of the window */
};

#define CFC_REPORT_REST_NS (2 * CFC_MS)

struct cfc_report_rx {
    uint64_t seq; /* of the last report sent; 0 = none */
    bool is_changed;
    bool is_echoed;
    uint8_t tries;  /* sends since the last echo or change */
    uint32_t part;  /* next part of the report under way; 0 = none under way */
    uint64_t at_ns; /* CFC_NEVER = nothing to report */
    uint64_t retry_ns;
    uint64_t refresh_ns;
    struct cfc_prng *prng;
};

void cfc_report_rx_init(struct cfc_report_rx *r, uint64_t retry_ns, uint64_t refresh_ns,
                        struct cfc_prng *prng);

/* Something to report changed. */
void cfc_report_rx_changed(struct cfc_report_rx *r, bool is_urgent, uint32_t window_ms,
                           uint64_t now_ns);

/* Everything is to be reported again: a new session, or the engine lost what it knew.  Replaces
 * what was planned. */
void cfc_report_rx_again(struct cfc_report_rx *r, bool is_urgent, uint32_t window_ms,
                         uint64_t now_ns);

/* The part to send now and its report_seq are *part and r->seq; false when none is due. */
bool cfc_report_rx_begin(struct cfc_report_rx *r, uint64_t now_ns, uint32_t *part);

/* That part went.  True when the engine has not echoed for so long that a new handshake is in
 * order. */
bool cfc_report_rx_sent(struct cfc_report_rx *r, uint32_t part_count, uint64_t now_ns);

void cfc_report_rx_echo(struct cfc_report_rx *r, uint64_t seq, uint64_t now_ns);

#endif
