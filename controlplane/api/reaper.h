/* Deadlines of connections: a request must arrive as a whole within a time, however slowly its
 * bytes drip.  libmicrohttpd knows an inactivity timeout only, which a byte every few seconds
 * defeats, and closes without a word.  While bytes of a request wait to be read, its deadline is
 * put off: a handler that is busy must not be held against other clients of its thread.
 *
 * One lock and one thread ("confcast-reaper") per server; the thread sleeps while there are no
 * connections.  Connections are added and removed by the threads that own them. */
#ifndef CFC_API_REAPER_H
#define CFC_API_REAPER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CFC_SEND_RATE_MIN = 64 * 1024, /* bytes a second, on top of the timeout */
};

enum cfc_connection_phase {
    CFC_CONNECTION_IDLE,      /* nothing of the next request was understood yet */
    CFC_CONNECTION_RECEIVING, /* its first line was */
    CFC_CONNECTION_ANSWERING, /* it arrived as a whole and is handled: no deadline */
    CFC_CONNECTION_SENDING,   /* its answer is on the way out */
    CFC_CONNECTION_ENDED,     /* the reaper has shut it down */
};

struct cfc_connection {
    struct cfc_connection *prev;
    struct cfc_connection *next;
    struct cfc_reaper *reaper;
    int fd; /* borrowed from the HTTP library */
    enum cfc_connection_phase phase;
    uint64_t deadline_ns; /* monotonic */
    bool is_unix;
    bool is_tls; /* what goes over the socket belongs to a session that only its owner can use */
    uint32_t peer_uid; /* unix sockets: who connected */
    uint8_t peer[16];  /* TCP: the address; of IPv6 its first 8 bytes; zeros = none */
    size_t held;       /* bytes of a body that memory is kept for */
};

struct cfc_reaper {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct cfc_connection *first;
    uint64_t timeout_ns;
    uint64_t sleeps_until_ns; /* no deadline may come before this unannounced */
    bool is_stopping;
    atomic_ullong late_count; /* requests ended because they were too slow */
};

/* CONFCAST_ERR_RESOURCE: no thread. */
int cfc_reaper_start(struct cfc_reaper *reaper, uint64_t timeout_ns);
/* Ends the thread; every connection must have been removed. */
void cfc_reaper_stop(struct cfc_reaper *reaper);

/* Adds it and returns how many there are of its peer, itself included; 0 for the unix socket. */
uint32_t cfc_reaper_add(struct cfc_reaper *reaper, struct cfc_connection *connection);
void cfc_reaper_remove(struct cfc_connection *connection);

/* Keeps memory for `size` more bytes of a body.  False, and nothing is kept: all connections of the
 * peer together would have more than peer_max.  The unix socket has no such bound. */
bool cfc_reaper_hold(struct cfc_connection *connection, size_t size, size_t peer_max);
/* Gives back all that is kept. */
void cfc_reaper_drop(struct cfc_connection *connection);

/* Moves a connection to a phase but SENDING; IDLE sets a new deadline.  False: the reaper was
 * faster, the connection is shut down and its request must not be answered. */
bool cfc_reaper_enter(struct cfc_connection *connection, enum cfc_connection_phase phase);

/* Ends a connection that has only just begun with a bare error on plain TCP. */
void cfc_reaper_turn_away(struct cfc_connection *connection, unsigned status, const char *reason,
                          const char *body);

/* An answer of `size` bytes goes out: the client takes it at CFC_SEND_RATE_MIN, or the connection
 * ends. */
void cfc_reaper_enter_sending(struct cfc_connection *connection, size_t size);

/* Sends a bare error on the socket itself, for requests that libmicrohttpd lets nobody answer since
 * their body goes on.  On TLS nothing is sent: the peer sees the connection close. */
void cfc_connection_refuse(const struct cfc_connection *connection, unsigned status,
                           const char *reason, const char *body);

#endif
