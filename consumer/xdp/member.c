#include "consumer/xdp/member.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "consumer/fork_guard.h"

socklen_t
cfc_xdp_member_address(unsigned interface_idx, struct sockaddr_un *at)
{
    int size;

    memset(at, 0, sizeof(*at));
    at->sun_family = AF_UNIX;
    size = snprintf(at->sun_path + 1, sizeof(at->sun_path) - 1, "confcast-xdp-%u", interface_idx);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)size);
}

void
cfc_xdp_member_init(struct cfc_xdp_member *m)
{
    *m = (struct cfc_xdp_member){.fd = -1, .outbox = {.magic = CFC_XDP_MESSAGE_MAGIC}};
}

void
cfc_xdp_member_leave(struct cfc_xdp_member *m)
{
    if (m->fd >= 0) {
        cfc_fork_guard_lock();
        close(m->fd);
        m->fd = -1;
        cfc_fork_guard_unlock();
    }
    m->outbox.count = 0;
}

/* What cannot be sent now is sent again, with all else, after the next look. */
void
cfc_xdp_member_flush(struct cfc_xdp_member *m)
{
    size_t size =
        offsetof(struct cfc_xdp_message, records) + m->outbox.count * sizeof(struct cfc_xdp_record);

    if (m->fd >= 0 && m->outbox.count > 0 &&
        send(m->fd, &m->outbox, size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size) {
        cfc_xdp_member_leave(m);
    }
    m->outbox.count = 0;
}

void
cfc_xdp_member_tell(struct cfc_xdp_member *m, enum cfc_xdp_operation operation, uint64_t value)
{
    if (m->fd < 0) {
        return;
    }
    if (m->outbox.count == CFC_XDP_RECORDS_MAX) {
        cfc_xdp_member_flush(m);
    }
    m->outbox.records[m->outbox.count++] =
        (struct cfc_xdp_record){.operation = operation, .value = value};
}

void
cfc_xdp_member_tell_pin(struct cfc_xdp_member *m, uint64_t key, uint32_t pin)
{
    enum cfc_xdp_operation operation = pin == CFC_XDP_NEEDED ? CFC_XDP_PIN_NEEDED
                                       : pin == CFC_XDP_HELD ? CFC_XDP_PIN_HELD
                                                             : CFC_XDP_PIN_NONE;

    cfc_xdp_member_tell(m, operation, key);
}

static void
tell_all(struct cfc_xdp_member *m, const struct cfc_xdp_party *own)
{
    const struct cfc_wish *wish;

    for (uint32_t i = 0; i < own->scope_count; i++) {
        cfc_xdp_member_tell(m, CFC_XDP_WANT, own->scopes[i]);
    }
    for (uint32_t at = 0; (wish = cfc_wish_map_next(&own->pins, &at)) != NULL; at++) {
        cfc_xdp_member_tell_pin(m, wish->key, wish->needed > 0 ? CFC_XDP_NEEDED : CFC_XDP_HELD);
    }
    cfc_xdp_member_flush(m);
}

void
cfc_xdp_member_join(struct cfc_xdp_member *m, unsigned interface_idx,
                    const struct cfc_xdp_party *own)
{
    struct sockaddr_un at;
    socklen_t size = cfc_xdp_member_address(interface_idx, &at);

    cfc_fork_guard_lock();
    m->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (m->fd >= 0 && connect(m->fd, (struct sockaddr *)&at, size) != 0) {
        close(m->fd);
        m->fd = -1;
    }
    cfc_fork_guard_unlock();
    if (m->fd >= 0) {
        tell_all(m, own);
    }
}

bool
cfc_xdp_member_is_alone(const struct cfc_xdp_member *m)
{
    uint8_t byte;
    ssize_t n = recv(m->fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_PEEK);

    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}
