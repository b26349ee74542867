#include "controlplane/api/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* Hosts get a /64 of IPv6 and can use any address in it. */
static void
set_peer(struct cfc_connection *c, const struct sockaddr *address)
{
    struct sockaddr_in6 v6;
    struct sockaddr_in v4;

    if (address != NULL && address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof(v4));
        memset(c->peer + 10, 0xff, 2);
        memcpy(c->peer + 12, &v4.sin_addr, 4);
    } else if (address != NULL && address->sa_family == AF_INET6) {
        memcpy(&v6, address, sizeof(v6));
        memcpy(c->peer, &v6.sin6_addr, IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) ? 16 : 8);
    }
}

struct cfc_connection *
cfc_connection_new(int fd, const struct sockaddr *address, bool is_tls)
{
    struct cfc_connection *c = calloc(1, sizeof(*c));
    struct ucred peer;
    socklen_t size = sizeof(peer);
    socklen_t domain_size = sizeof(int);
    int domain = 0;

    if (c == NULL) {
        return NULL;
    }
    c->fd = fd;
    /* Only a unix socket has a peer whom the kernel vouches for, whatever TCP answers. */
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size) == 0 && domain == AF_UNIX) {
        c->is_unix =
            getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid != (uid_t)-1;
        c->peer_uid = c->is_unix ? peer.uid : 0;
    } else {
        c->is_tls = is_tls;
        set_peer(c, address);
    }
    return c;
}

const char *
cfc_connection_peer(const struct cfc_connection *c, char text[CFC_PEER_TEXT_SIZE])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (c == NULL || c->is_unix) {
        return c != NULL ? "unix" : NULL;
    }
    return memcmp(c->peer, mapped, sizeof(mapped)) == 0
               ? inet_ntop(AF_INET, c->peer + 12, text, CFC_PEER_TEXT_SIZE)
               : inet_ntop(AF_INET6, c->peer, text, CFC_PEER_TEXT_SIZE);
}
