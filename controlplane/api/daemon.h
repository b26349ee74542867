/* How libmicrohttpd is started: the one place that knows its options.
 *
 * The library knows nothing of requests but their bytes; what is done with them is its caller's. */
#ifndef CFC_API_DAEMON_H
#define CFC_API_DAEMON_H

#include <microhttpd.h>
#include <stdint.h>

#include "controlplane/api/tls.h"

struct cfc_daemon_config {
    int fd;                /* a socket that listens */
    uint32_t thread_count; /* each has connections of its own */
    uint32_t connection_max;
    uint32_t idle_timeout_s; /* of inactivity; the reaper's deadlines come first */
    struct cfc_tls *tls;     /* NULL = plain text.  Outlives the daemon */
    /* The callbacks of microhttpd.h with these names: connections come and go, a request line was
     * read, there is something of a request, a request is over.  All of them get `arg`. */
    MHD_NotifyConnectionCallback on_connection;
    void *(*on_target)(void *arg, const char *uri, struct MHD_Connection *mhd);
    MHD_AccessHandlerCallback on_request;
    MHD_RequestCompletedCallback on_completed;
    void *arg;
};

/* NULL: no threads, or no memory; the log says why.  MHD_stop_daemon() ends it and closes fd. */
struct MHD_Daemon *cfc_daemon_start(const struct cfc_daemon_config *config);

#endif
