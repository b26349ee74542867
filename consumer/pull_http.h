/* HTTP(S) requests by libcurl, for consumers that pull: no threads of its own but libcurl's for
 * names; one descriptor to poll and a deadline.  What comes is handed on as it comes, so that an
 * answer needs no memory by its size.
 *
 * No redirects, cookies, proxies or other protocols; TLS 1.3 with the server's name and chain
 * checked.  One thread owns it. */
#ifndef CFC_CONSUMER_PULL_HTTP_H
#define CFC_CONSUMER_PULL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/trust/pull_auth.h"

enum {
    CFC_PULL_HTTP_MAX = 18,     /* requests at one time */
    CFC_PULL_HTTP_FDS_MAX = 64, /* sockets, those that are kept open included */
};

struct cfc_pull_http;

struct cfc_pull_http_result {
    uint32_t status; /* of HTTP; 0 = none came, or not all of the answer */
    int code;        /* CONFCAST_OK with a status; TIMEOUT; LIMIT: the answer is too big; AUTHORITY:
                        not whom we trust by TLS; CLOSED: broken off; IO: no way there; INVALID:
                        on_bytes refused */
    uint32_t retry_s; /* Retry-After; 0 = none */
    bool has_nonce;
    uint8_t nonce[CFC_PULL_NONCE_SIZE]; /* Confcast-Nonce */
    const char *text;                   /* what libcurl says, for the log */
};

struct cfc_pull_http_config {
    const char *ca_file;   /* PEM; NULL = the system's */
    const char *cert_file; /* of the client, with key_file; NULL = none */
    const char *key_file;
    uint64_t size_max;           /* bytes of one answer */
    uint32_t connect_timeout_ms; /* 0 = 5 s */
    uint32_t stall_timeout_ms;   /* of an answer under way, on top of what it may wait; 0 = 15 s */
    uint32_t total_timeout_ms;   /* likewise, for all of it; 0 = 10 min */
    /* Bytes of the body of an answer with status 200.  False ends the request as refused. */
    bool (*on_bytes)(void *arg, uint32_t slot, const uint8_t *bytes, size_t size);
    /* The request of this slot is over, and the slot free. */
    void (*on_done)(void *arg, uint32_t slot, const struct cfc_pull_http_result *result);
    void *arg;
};

struct cfc_pull_http_request {
    const char *url;
    const char *authorization; /* the header's value */
    const void *body;          /* copied; NULL = GET, else POST */
    size_t body_size;
    uint32_t wait_ms; /* that the server may take before it answers */
};

/* Strings of the config are copied.  NOT_FOUND: one of the files is not there; RESOURCE,
 * NO_MEMORY. */
int cfc_pull_http_open(const struct cfc_pull_http_config *config, struct cfc_pull_http **out);
/* Ends all requests without a word, at once.  NULL is fine. */
void cfc_pull_http_close(struct cfc_pull_http *http);

/* Closes what it has open in a forked child, where it is of no use afterwards.
 * Async-signal-safe. */
void cfc_pull_http_abandon(struct cfc_pull_http *http);

/* Begins a request; *slot names it, 0..CFC_PULL_HTTP_MAX - 1.  Its callbacks come from run() only.
 * AGAIN: all slots are taken; NO_MEMORY, INVALID. */
int cfc_pull_http_start(struct cfc_pull_http *http, const struct cfc_pull_http_request *request,
                        uint32_t *slot);

/* Ends all requests now, each with its on_done (CLOSED).  Not from a callback. */
void cfc_pull_http_cancel(struct cfc_pull_http *http);

/* Goes on with what is ready, and makes callbacks.  Call it when fd() is readable or deadline() has
 * come. */
void cfc_pull_http_run(struct cfc_pull_http *http, uint64_t mono_ns);
int cfc_pull_http_fd(const struct cfc_pull_http *http);
uint64_t cfc_pull_http_deadline(const struct cfc_pull_http *http);

#endif
