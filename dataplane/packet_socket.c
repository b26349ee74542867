#include "dataplane/packet_socket.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

static bool
is_packet_socket(int fd)
{
    int domain = AF_UNSPEC;
    socklen_t size = sizeof(domain);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_PACKET;
}

static bool
widen(int fd, uint32_t wanted)
{
    int half = (int)(wanted / 2 + wanted % 2); /* the kernel doubles it */
    int got = 0;
    socklen_t size = sizeof(got);

    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &half, sizeof(half)) != 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half));
    }
    return getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &got, &size) == 0 && (uint32_t)got >= wanted;
}

uint32_t
cfc_packet_sockets_widen(uint32_t size)
{
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    uint32_t count = 0;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        int fd = (int)strtol(entry->d_name, NULL, 10);

        count += entry->d_name[0] != '.' && is_packet_socket(fd) && widen(fd, size);
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return count;
}
