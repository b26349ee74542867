#include "controlplane/api/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "confcast/error.h"

enum {
    BACKLOG = 256,
};

static int
error_of_errno(void)
{
    return errno == EADDRINUSE ? CONFCAST_ERR_BUSY : CONFCAST_ERR_IO;
}

/* Splits "host:port", where an IPv6 host stands in brackets. */
static int
split(const char *address, char host[64], const char **port)
{
    const char *colon = strrchr(address, ':');
    size_t size = colon != NULL ? (size_t)(colon - address) : 0;

    if (colon == NULL || size == 0 || size >= 64) {
        return CONFCAST_ERR_INVALID;
    }
    *port = colon + 1;
    if (address[0] == '[' && colon[-1] == ']') {
        address++;
        size -= 2;
    }
    memcpy(host, address, size);
    host[size] = '\0';
    return CONFCAST_OK;
}

static int
bind_tcp(const struct addrinfo *info, int *fd)
{
    int one = 1;
    int s = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc;

    if (s < 0) {
        return CONFCAST_ERR_IO;
    }
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(s, info->ai_addr, info->ai_addrlen) != 0 || listen(s, BACKLOG) != 0) {
        rc = error_of_errno();
        close(s);
        return rc;
    }
    *fd = s;
    return CONFCAST_OK;
}

static uint16_t
bound_port(int fd)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof(name);
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (getsockname(fd, (struct sockaddr *)&name, &size) != 0) {
        return 0;
    }
    memcpy(&v4, &name, sizeof(v4));
    memcpy(&v6, &name, sizeof(v6));
    return ntohs(name.ss_family == AF_INET ? v4.sin_port : v6.sin6_port);
}

int
cfc_listen_tcp(const char *address, int *fd, uint16_t *port)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *info = NULL;
    const char *service;
    char host[64];
    int rc = split(address, host, &service);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    if (getaddrinfo(host, service, &hints, &info) != 0) {
        return CONFCAST_ERR_INVALID;
    }
    rc = bind_tcp(info, fd);
    freeaddrinfo(info);
    if (rc == CONFCAST_OK) {
        *port = bound_port(*fd);
    }
    return rc;
}

bool
cfc_listen_is_loopback(const char *address)
{
    struct in_addr v4;
    struct in6_addr v6;
    const char *port;
    char host[64];

    if (split(address, host, &port) != CONFCAST_OK) {
        return false;
    }
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool
somebody_answers(const struct sockaddr_un *name)
{
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers = s >= 0 && connect(s, (const struct sockaddr *)name, sizeof(*name)) == 0;

    if (s >= 0) {
        close(s);
    }
    return answers;
}

static int
remove_leftover(const struct sockaddr_un *name)
{
    struct stat st;

    if (lstat(name->sun_path, &st) != 0) {
        return errno == ENOENT ? CONFCAST_OK : CONFCAST_ERR_IO;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return CONFCAST_ERR_INVALID;
    }
    if (somebody_answers(name)) {
        return CONFCAST_ERR_BUSY;
    }
    return unlink(name->sun_path) == 0 ? CONFCAST_OK : CONFCAST_ERR_IO;
}

int
cfc_listen_unix(const char *path, int *fd)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t size = strlen(path);
    int s;
    int rc;

    if (size == 0 || size >= sizeof(name.sun_path)) {
        return CONFCAST_ERR_INVALID;
    }
    memcpy(name.sun_path, path, size);
    rc = remove_leftover(&name);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0) {
        return CONFCAST_ERR_IO;
    }
    /* Nobody can connect before listen(), so the mode is in force before the first client. */
    if (bind(s, (const struct sockaddr *)&name, sizeof(name)) != 0 || chmod(path, 0660) != 0 ||
        listen(s, BACKLOG) != 0) {
        rc = error_of_errno();
        close(s);
        return rc;
    }
    *fd = s;
    return CONFCAST_OK;
}
