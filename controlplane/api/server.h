/* The API's HTTP server, by libmicrohttpd: a TCP socket, a unix socket, or both, in front of the
 * same routes.
 *
 * Threads: per socket a pool of `thread_count` (libmicrohttpd's, "MHD-worker"), which poll, read,
 * run handlers and write; and one reaper ("confcast-reaper"), which ends connections whose request
 * does not arrive in time.  The unix socket has threads and connections of its own, so that a flood
 * on TCP does not lock the operator out.
 *
 * Memory is bounded by connection_max x 32 KiB of headers, body_total_max of bodies and
 * answer_total_max of answers, besides what handlers need while they run.  That can be many times
 * the size of a body (json_parse.h has the bound), so that of bodies above 1 MiB only so many are
 * handled at a time as one of the greatest size weighs; the others wait, in their order and without
 * a thread. */
#ifndef CFC_API_SERVER_H
#define CFC_API_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "controlplane/api/api.h"
#include "controlplane/api/tls.h"

struct cfc_server;

struct cfc_server_config {
    const char *listen;      /* "127.0.0.1:7400"; NULL = no TCP */
    const char *unix_path;   /* NULL = no unix socket */
    struct cfc_tls *tls;     /* for TCP; NULL = none.  Outlives the server */
    size_t answer_total_max; /* bytes of answers held at once; 0 = 512 MiB */
    /* Bytes of request bodies held at once; 0 = 256 MiB, and at least one of the greatest size. One
     * address may hold half of it, or one body. */
    size_t body_total_max;
    uint32_t request_timeout_ms;  /* for a request to arrive as a whole; 0 = 30 s */
    uint32_t connection_max;      /* per socket; 0 = 256 */
    uint32_t peer_connection_max; /* of one address (IPv6: one /64) on TCP; 0 = half of them */
    uint32_t thread_count;        /* per socket; 0 = one per processor, 2 to 4 */
};

/* Starts listening.  `api` must outlive the server.  CONFCAST_ERR_INVALID: an address or path that
 * is none; CONFCAST_ERR_BUSY: in use; CONFCAST_ERR_IO, _RESOURCE, _NO_MEMORY.  What failed is
 * logged. */
int cfc_server_open(struct cfc_api *api, const struct cfc_server_config *config,
                    struct cfc_server **server);

/* The TCP port that is listened on; 0 without TCP. */
uint16_t cfc_server_port(const struct cfc_server *server);
/* Requests that take long and are under way, each in a thread of its own.  Any thread. */
unsigned cfc_server_long_count(const struct cfc_server *server);

/* Stops accepting, lets handlers that run finish, closes all connections.  NULL is fine. */
void cfc_server_close(struct cfc_server *server);

#endif
