#include "controlplane/api/daemon.h"

#include <stdio.h>
#include <string.h>

#include "controlplane/log/log.h"

enum {
    /* Of a connection, for a request's line and headers and the headers of its answer: cleared for
     * each request. */
    CONNECTION_MEMORY_SIZE = 16 * 1024
};

static void
on_log(void *cls, const char *format, va_list args)
{
    char line[256];
    size_t size;

    (void)cls;
    vsnprintf(line, sizeof(line), format, args);
    size = strcspn(line, "\n");
    line[size] = '\0';
    cfc_log(CFC_LOG_DEBUG, "http", "%s", line);
}

/* libmicrohttpd would decode "%2f" in paths, and leave broken escapes alone: on_target() has the
 * target as it came. */
static size_t
keep_escapes(void *cls, struct MHD_Connection *mhd, char *text)
{
    (void)cls;
    (void)mhd;
    return strlen(text);
}

struct MHD_Daemon *
cfc_daemon_start(const struct cfc_daemon_config *config)
{
    const struct cfc_tls *tls = config->tls;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)CFC_TLS_PRIORITIES},
        {MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, (void *)(uintptr_t)cfc_tls_retrieve},
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
    };

    if (tls == NULL) {
        options[0].option = MHD_OPTION_END;
    } else if (cfc_tls_ca(tls) != NULL) {
        options[2] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0,
                                             (void *)(uintptr_t)cfc_tls_ca(tls)};
    }
    return MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_USE_ITC |
            MHD_ALLOW_SUSPEND_RESUME | (tls != NULL ? MHD_USE_TLS : 0),
        0, NULL, NULL, config->on_request, config->arg, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, config->fd, MHD_OPTION_THREAD_POOL_SIZE,
        (unsigned)config->thread_count, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)config->connection_max,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_SIZE,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)config->idle_timeout_s,
        MHD_OPTION_NOTIFY_CONNECTION, config->on_connection, config->arg,
        MHD_OPTION_NOTIFY_COMPLETED, config->on_completed, config->arg, MHD_OPTION_URI_LOG_CALLBACK,
        config->on_target, config->arg, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}
