#include "controlplane/publish/engine_link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "confcast/error.h"

enum {
    SEND_TIMEOUT_S = 2,
    SOCKET_BUFFER_SIZE = 4 << 20
};

void
cfc_engine_link_init(struct cfc_engine_link *link)
{
    link->fd = -1;
    link->packet_size = 0;
    link->packet_at = 0;
}

int
cfc_engine_link_connect(struct cfc_engine_link *link, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S};
    int size = SOCKET_BUFFER_SIZE;
    size_t path_size = strlen(path);

    if (path_size >= sizeof(address.sun_path)) {
        return CONFCAST_ERR_INVALID;
    }
    memcpy(address.sun_path, path, path_size);
    link->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (link->fd < 0) {
        return CONFCAST_ERR_IO;
    }
    setsockopt(link->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    setsockopt(link->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (connect(link->fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int error = errno;

        cfc_engine_link_close(link);
        if (error == ENOENT || error == ECONNREFUSED) {
            return CONFCAST_ERR_NOT_FOUND;
        }
        return error == EAGAIN ? CONFCAST_ERR_BUSY : CONFCAST_ERR_IO;
    }
    return CONFCAST_OK;
}

void
cfc_engine_link_close(struct cfc_engine_link *link)
{
    if (link->fd >= 0) {
        close(link->fd);
        link->fd = -1;
        link->packet_at = link->packet_size; /* what it said before is void */
    }
}

bool
cfc_engine_link_is_open(const struct cfc_engine_link *link)
{
    return link->fd >= 0;
}

static void
attach_descriptor(struct msghdr *header, void *control, size_t control_size, int fd)
{
    struct cmsghdr *item;

    memset(control, 0, control_size);
    header->msg_control = control;
    header->msg_controllen = control_size;
    item = CMSG_FIRSTHDR(header);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(item), &fd, sizeof(fd));
}

int
cfc_engine_link_send(struct cfc_engine_link *link, const struct cfc_handoff *message, int fd)
{
    uint8_t bytes[CFC_HANDOFF_SIZE_MAX];
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))];
    struct iovec piece = {.iov_base = bytes};
    struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};
    int error;
    ssize_t sent;

    if (link->fd < 0) {
        return CONFCAST_ERR_CLOSED;
    }
    error = cfc_handoff_encode(message, bytes, sizeof(bytes), &piece.iov_len);
    if (error != CONFCAST_OK) {
        return error;
    }
    if (fd >= 0) {
        attach_descriptor(&header, control, sizeof(control), fd);
    }
    do {
        sent = sendmsg(link->fd, &header, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent != (ssize_t)piece.iov_len) {
        cfc_engine_link_close(link);
        return CONFCAST_ERR_CLOSED;
    }
    return CONFCAST_OK;
}

static int
receive_packet(struct cfc_engine_link *link)
{
    ssize_t size;

    do {
        size = recv(link->fd, link->packet, sizeof(link->packet), MSG_DONTWAIT | MSG_TRUNC);
    } while (size < 0 && errno == EINTR);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return CONFCAST_ERR_AGAIN;
    }
    if (size <= 0 || (size_t)size > sizeof(link->packet)) {
        return CONFCAST_ERR_CLOSED;
    }
    link->packet_size = (size_t)size;
    link->packet_at = 0;
    return CONFCAST_OK;
}

int
cfc_engine_link_receive(struct cfc_engine_link *link, struct cfc_handoff *message)
{
    int error = CONFCAST_OK;

    if (link->fd < 0) {
        return CONFCAST_ERR_CLOSED;
    }
    if (link->packet_at == link->packet_size) {
        error = receive_packet(link);
    }
    if (error == CONFCAST_OK && cfc_handoff_decode_next(link->packet, link->packet_size,
                                                        &link->packet_at, message) != CONFCAST_OK) {
        error = CONFCAST_ERR_CLOSED;
    }
    if (error == CONFCAST_ERR_CLOSED) {
        cfc_engine_link_close(link);
    }
    return error;
}
