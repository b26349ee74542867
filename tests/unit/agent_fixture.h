/* An agent and a process that reads through it, both in this process: the agent's side is the
 * server of the real agent over a real client (client_fixture.h), the process's side a second
 * client. */
#ifndef CFC_TESTS_AGENT_FIXTURE_H
#define CFC_TESTS_AGENT_FIXTURE_H

#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "consumer/app/share_server.h"
#include "consumer/client.h"
#include "consumer/share_wire.h"
#include "tests/unit/client_fixture.h"

struct host {
    struct bench b; /* the agent's client */
    struct cfc_share_server *server;
    char path[320];
    struct confcast_options options; /* of a process */
    struct confcast *client;
    struct confcast_scope *scope;
    atomic_int refusals; /* that the server told of, with their reason */
    atomic_int hang_ups; /* that the process told of */
    atomic_int versions; /* how often it told of a library of another version */
};

static inline void
host_log(void *arg, int level, const char *line)
{
    struct host *h = arg;

    (void)level;
    if (strstr(line, "a process refused a content") != NULL &&
        strstr(line, "reason=app_reject") != NULL) {
        h->refusals++;
    }
    h->hang_ups += strstr(line, "hangs up: if its agent is of another version") != NULL;
    h->versions += strstr(line, "a library of another version") != NULL;
}

static inline void
host_start_server(struct host *h)
{
    static const char *const paths[] = {CLIENT_SCOPE};
    struct cfc_share_server_config config = {.path = h->path,
                                             .mode = 0600,
                                             .client = h->b.client,
                                             .scopes = &h->b.scope,
                                             .paths = paths,
                                             .scope_count = 1,
                                             .log = host_log,
                                             .log_arg = h};

    CU_ASSERT_EQUAL_FATAL(cfc_share_server_start(&config, &h->server), CONFCAST_OK);
}

static inline void
host_begin(struct host *h)
{
    memset(h, 0, sizeof(*h));
    bench_begin(&h->b);
    bench_open(&h->b);
    bench_subscribe(&h->b, NULL);
    snprintf(h->path, sizeof(h->path), "%s/share", h->b.dir.path);
    h->options = (struct confcast_options)CONFCAST_OPTIONS_INIT;
    h->options.agent_path = h->path;
    host_start_server(h);
}

static inline void
host_open_process(struct host *h, const struct confcast_scope_options *options)
{
    CU_ASSERT_EQUAL_FATAL(confcast_open(&h->options, &h->client), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(confcast_subscribe(h->client, CLIENT_SCOPE, options, &h->scope),
                          CONFCAST_OK);
}

static inline void
host_publish(struct host *h, uint64_t version, int64_t n)
{
    bench_publish(&h->b, version, n, 100);
    CU_ASSERT_EQUAL(confcast_wait(h->b.scope, version, CLIENT_WAIT_MS), CONFCAST_OK);
}

static inline void
host_end(struct host *h)
{
    confcast_close(h->client);
    cfc_share_server_stop(h->server);
    bench_end(&h->b);
}

static inline int64_t
n_of(const struct confcast_scope *scope)
{
    return confcast_read_i64(scope, CONFCAST_KEY("/n"), -1, NULL);
}

static inline struct confcast_status
status_of(const struct confcast_scope *scope)
{
    struct confcast_status status = {.size = sizeof(status)};

    CU_ASSERT_EQUAL(confcast_status(scope, &status), CONFCAST_OK);
    return status;
}

static inline int
connect_raw(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path));
    CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

#endif
