#include "dataplane/xdp.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "confcast/error.h"
#include "dataplane/log.h"
#include "dataplane/xdp_redirect.h"

/* The program's bytes are one long string in there. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverlength-strings"
#include "dataplane/xdp_redirect.skel.h"
#pragma GCC diagnostic pop

enum {
    MAPS_MAX = 8
};

static const char PROGRAM_NAME[] = "confcast_engine";
static const char CONFIG_NAME[] = "confcast_config";

/* Taken for the life of the process: the descriptor is never closed. */
static int
lock_interface(int index)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int size =
        snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "confcast-dataplane-xdp-%d", index);

    if (fd >= 0 &&
        bind(fd, (struct sockaddr *)&at,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)size)) == 0) {
        return CONFCAST_OK;
    }
    if (fd >= 0) {
        close(fd);
    }
    return errno == EADDRINUSE ? CONFCAST_ERR_EXISTS : CONFCAST_ERR_RESOURCE;
}

/* The program attached to an interface: a descriptor, or -1; *info tells about it. */
static int
open_attached(int index, struct bpf_prog_info *info)
{
    __u32 size = sizeof(*info);
    __u32 id = 0;
    int fd;

    memset(info, 0, sizeof(*info));
    if (bpf_xdp_query_id(index, 0, &id) != 0 || id == 0) {
        return -1;
    }
    fd = bpf_prog_get_fd_by_id(id);
    if (fd >= 0 && bpf_obj_get_info_by_fd(fd, info, &size) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool
is_ours(const struct bpf_prog_info *info)
{
    return strcmp(info->name, PROGRAM_NAME) == 0;
}

/* Makes room for a new program. */
static int
remove_stale(const char *interface, int index)
{
    struct bpf_prog_info info;
    int fd = open_attached(index, &info);

    if (fd < 0) {
        return CONFCAST_OK;
    }
    close(fd);
    if (!is_ours(&info)) {
        cfc_log_error("another XDP program (%s) has %s", info.name, interface);
        return CONFCAST_ERR_EXISTS;
    }
    if (bpf_xdp_detach(index, 0, NULL) != 0) {
        cfc_log_error("the XDP program that a killed engine left on %s cannot be removed",
                      interface);
        return CONFCAST_ERR_RESOURCE;
    }
    cfc_log_info("removed the XDP program that a killed engine left on %s", interface);
    return CONFCAST_OK;
}

/* Combined channels of an interface: what the PMD takes as its queues.  1 where it has no such. */
static uint32_t
count_queues(const char *interface)
{
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq ifr = {.ifr_data = (char *)&channels};
    int rc = -1;

    strncpy(ifr.ifr_name, interface, sizeof(ifr.ifr_name) - 1);
    if (fd >= 0) {
        rc = ioctl(fd, SIOCETHTOOL, &ifr);
        close(fd);
    }
    return rc == 0 && channels.combined_count > 0 ? channels.combined_count : 1;
}

/* The PMD would not say what is wrong. */
static int
check_queues(const char *interface, uint32_t wanted)
{
    uint32_t count = count_queues(interface);

    if (count >= wanted) {
        return CONFCAST_OK;
    }
    cfc_log_error(
        "%s has %u combined queues and --lcores %u wants %u: see ethtool -L, or run fewer "
        "lcores",
        interface, count, wanted, wanted);
    return CONFCAST_ERR_UNSUPPORTED;
}

int
cfc_xdp_prepare(const char *interface, uint32_t queue_count, char *path, size_t capacity)
{
    int index = (int)if_nametoindex(interface);
    size_t size;
    const void *bytes = xdp_redirect__elf_bytes(&size);
    int fd;
    int rc;

    if (index == 0) {
        cfc_log_error("interface %s: %s", interface, strerror(errno));
        return CONFCAST_ERR_NOT_FOUND;
    }
    rc = check_queues(interface, queue_count);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    rc = lock_interface(index);
    if (rc != CONFCAST_OK) {
        cfc_log_error("%s: %s", interface,
                      rc == CONFCAST_ERR_EXISTS ? "another engine has it" : strerror(errno));
        return rc;
    }
    rc = remove_stale(interface, index);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    /* The PMD opens the program by its path. */
    fd = memfd_create("confcast-xdp", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size) {
        cfc_log_error("no memory for the XDP program: %s", strerror(errno));
        return CONFCAST_ERR_RESOURCE;
    }
    snprintf(path, capacity, "/proc/self/fd/%d", fd);
    return CONFCAST_OK;
}

/* The map of a program that has this name: a descriptor, or -1. */
static int
open_map(int program_fd, const char *name)
{
    __u32 ids[MAPS_MAX];
    struct bpf_prog_info info = {.nr_map_ids = MAPS_MAX, .map_ids = (__u64)(uintptr_t)ids};
    __u32 size = sizeof(info);

    if (bpf_obj_get_info_by_fd(program_fd, &info, &size) != 0) {
        return -1;
    }
    for (__u32 i = 0; i < info.nr_map_ids && i < MAPS_MAX; i++) {
        int fd = bpf_map_get_fd_by_id(ids[i]);
        struct bpf_map_info map = {0};

        size = sizeof(map);
        if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &map, &size) == 0 &&
            strcmp(map.name, name) == 0) {
            return fd;
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    return -1;
}

int
cfc_xdp_configure(const char *interface, const struct cfc_address *own)
{
    struct cfc_xdp_config config = {.port = htons(own->port)};
    struct bpf_prog_info info;
    __u32 zero = 0;
    int program_fd = open_attached((int)if_nametoindex(interface), &info);
    int map_fd = -1;
    int rc = CONFCAST_ERR_NOT_FOUND;

    memcpy(config.ip, own->ip, sizeof(config.ip));
    if (program_fd >= 0 && is_ours(&info)) {
        map_fd = open_map(program_fd, CONFIG_NAME);
    }
    if (map_fd >= 0) {
        rc = bpf_map_update_elem(map_fd, &zero, &config, BPF_ANY) == 0 ? CONFCAST_OK
                                                                       : CONFCAST_ERR_RESOURCE;
        close(map_fd);
    }
    if (program_fd >= 0) {
        close(program_fd);
    }
    if (rc != CONFCAST_OK) {
        cfc_log_error("the XDP program on %s cannot be told what to redirect: %s", interface,
                      confcast_error_text(rc));
    }
    return rc;
}

void
cfc_xdp_remove(const char *interface)
{
    int index = (int)if_nametoindex(interface);
    struct bpf_prog_info info;
    int fd = index > 0 ? open_attached(index, &info) : -1;

    if (fd < 0) {
        return;
    }
    close(fd);
    if (is_ours(&info)) {
        (void)bpf_xdp_detach(index, 0, NULL);
    }
}
