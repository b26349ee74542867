#include "consumer/xdp/filter.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "confcast/error.h"

/* The program's bytes are one long string in there. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverlength-strings"
#include "consumer/xdp/xdp_filter.skel.h"
#pragma GCC diagnostic pop

static const char PROGRAM_NAME[] = "confcast_filter";

enum {
    DROPPED_MAX = 4096 /* held contents that give way at a time */
};

struct cfc_xdp_filter {
    struct xdp_filter *skeleton;
    int link_fd;
    int cpu_count;
    uint64_t *cpu_counts;                       /* room for one counter of all processors */
    uint32_t group_scopes[CFC_GROUP_COUNT_MAX]; /* wanted ones of each group */
    uint32_t held_count;                        /* of the pinned contents */
    bool has_lost_scope;
    bool has_lost_need;
    bool is_open;
};

/* ---- Loading --------------------------------------------------------------------------------- */

static int
silence(enum libbpf_print_level level, const char *format, va_list args)
{
    (void)level;
    (void)format;
    (void)args;
    return 0;
}

static int
error_of(int errno_value)
{
    switch (errno_value) {
    case EPERM:
    case EACCES:
        return CONFCAST_ERR_PERMISSION;
    case ENOMEM:
        return CONFCAST_ERR_NO_MEMORY;
    case ENODEV:
        return CONFCAST_ERR_NOT_FOUND;
    default:
        return CONFCAST_ERR_UNAVAILABLE;
    }
}

/* Frames in several buffers (jumbo frames in a driver) need Linux 5.18; without them it loads on
 * older ones.  0, or an errno. */
static int
load(struct xdp_filter **out)
{
    int result = 0;

    for (int try = 0; try < 2; try++) {
        struct xdp_filter *skeleton = xdp_filter__open();

        if (skeleton == NULL) {
            return errno != 0 ? errno : ENOMEM;
        }
        if (try > 0) {
            bpf_program__set_flags(skeleton->progs.confcast_filter, 0);
        }
        result = -xdp_filter__load(skeleton);
        if (result == 0) {
            *out = skeleton;
            return 0;
        }
        xdp_filter__destroy(skeleton);
        if (result != EINVAL) {
            return result;
        }
    }
    return result;
}

static void
map_address(const struct cfc_fleet_address *from, uint32_t words[4])
{
    uint8_t bytes[16] = {0};

    if (from->family == 4) {
        bytes[10] = 0xff;
        bytes[11] = 0xff;
        memcpy(bytes + 12, from->bytes, 4);
    } else {
        memcpy(bytes, from->bytes, sizeof(bytes));
    }
    memcpy(words, bytes, sizeof(bytes));
}

static void
fill_control(const struct cfc_xdp_filter_config *config, struct cfc_xdp_filter_control *control)
{
    uint32_t base[4];

    map_address(&config->source, control->source);
    map_address(&config->group_base, base);
    memcpy(control->group_prefix, base, sizeof(control->group_prefix));
    control->group_base = ntohl(base[3]);
    control->group_count = config->group_count;
    control->port = htons(config->group_base.port);
    control->generation = 1;
    control->is_open = 1;
}

int
cfc_xdp_filter_open(const struct cfc_xdp_filter_config *config, struct cfc_xdp_filter **out)
{
    struct cfc_xdp_filter *filter = calloc(1, sizeof(*filter));
    libbpf_print_fn_t before;
    int result;

    *out = NULL;
    if (filter == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    filter->link_fd = -1;
    filter->is_open = true;
    before = libbpf_set_print(silence);
    result = load(&filter->skeleton);
    libbpf_set_print(before);
    if (result != 0) {
        free(filter);
        return error_of(result);
    }
    filter->cpu_count = libbpf_num_possible_cpus();
    filter->cpu_counts =
        filter->cpu_count > 0 ? calloc((size_t)filter->cpu_count, sizeof(uint64_t)) : NULL;
    if (filter->cpu_counts == NULL) {
        cfc_xdp_filter_close(filter);
        return CONFCAST_ERR_NO_MEMORY;
    }
    fill_control(config, &filter->skeleton->bss->control);
    *out = filter;
    return CONFCAST_OK;
}

void
cfc_xdp_filter_close(struct cfc_xdp_filter *filter)
{
    if (filter == NULL) {
        return;
    }
    if (filter->link_fd >= 0) {
        close(filter->link_fd);
    }
    xdp_filter__destroy(filter->skeleton);
    free(filter->cpu_counts);
    free(filter);
}

void
cfc_xdp_filter_abandon(struct cfc_xdp_filter *filter)
{
    struct xdp_filter *skeleton = filter->skeleton;
    const int fds[] = {
        filter->link_fd,
        bpf_program__fd(skeleton->progs.confcast_filter),
        bpf_map__fd(skeleton->maps.wanted),
        bpf_map__fd(skeleton->maps.pinned),
        bpf_map__fd(skeleton->maps.learnt),
        bpf_map__fd(skeleton->maps.counters),
        bpf_map__fd(skeleton->maps.bss),
    };

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

/* ---- Attaching ------------------------------------------------------------------------------- */

/* Who has the interface. */
static int
occupied_by(unsigned interface_idx)
{
    struct bpf_prog_info info = {0};
    __u32 size = sizeof(info);
    __u32 id = 0;
    int fd = -1;
    int error = CONFCAST_ERR_EXISTS;

    if (bpf_xdp_query_id((int)interface_idx, 0, &id) == 0 && id != 0) {
        fd = bpf_prog_get_fd_by_id(id);
    }
    if (fd >= 0) {
        if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && strcmp(info.name, PROGRAM_NAME) == 0) {
            error = CONFCAST_ERR_BUSY;
        }
        close(fd);
    }
    return error;
}

static int
attach_in(struct cfc_xdp_filter *filter, unsigned interface_idx, uint32_t flags)
{
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
    int fd = bpf_link_create(bpf_program__fd(filter->skeleton->progs.confcast_filter),
                             (int)interface_idx, BPF_XDP, &options);

    if (fd >= 0) {
        filter->link_fd = fd;
        return CONFCAST_OK;
    }
    return fd == -EBUSY || fd == -EEXIST ? occupied_by(interface_idx) : error_of(-fd);
}

int
cfc_xdp_filter_attach(struct cfc_xdp_filter *filter, unsigned interface_idx,
                      enum confcast_xdp wanted, enum confcast_xdp *mode)
{
    int error = CONFCAST_ERR_UNAVAILABLE;

    if (wanted != CONFCAST_XDP_GENERIC) {
        *mode = CONFCAST_XDP_NATIVE;
        error = attach_in(filter, interface_idx, XDP_FLAGS_DRV_MODE);
        /* A driver says no in many ways. */
        if (wanted == CONFCAST_XDP_NATIVE || error == CONFCAST_OK || error == CONFCAST_ERR_BUSY ||
            error == CONFCAST_ERR_EXISTS || error == CONFCAST_ERR_PERMISSION ||
            error == CONFCAST_ERR_NOT_FOUND) {
            return error;
        }
    }
    *mode = CONFCAST_XDP_GENERIC;
    return attach_in(filter, interface_idx, XDP_FLAGS_SKB_MODE);
}

bool
cfc_xdp_filter_is_occupied(unsigned interface_idx)
{
    __u32 id = 0;

    return bpf_xdp_query_id((int)interface_idx, 0, &id) == 0 && id != 0;
}

bool
cfc_xdp_filter_is_attached(const struct cfc_xdp_filter *filter)
{
    struct bpf_link_info info = {0};
    __u32 size = sizeof(info);

    return filter->link_fd >= 0 && bpf_obj_get_info_by_fd(filter->link_fd, &info, &size) == 0 &&
           info.xdp.ifindex != 0;
}

bool
cfc_xdp_filter_is_shared(const char *interface)
{
    char path[sizeof("/sys/class/net/") + IF_NAMESIZE];
    const struct dirent *entry;
    bool is_shared = false;
    DIR *dir;

    snprintf(path, sizeof(path), "/sys/class/net/%.*s", IF_NAMESIZE - 1, interface);
    dir = opendir(path);
    while (dir != NULL && !is_shared && (entry = readdir(dir)) != NULL) {
        is_shared = strncmp(entry->d_name, "upper_", strlen("upper_")) == 0;
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return is_shared;
}

/* ---- Steering -------------------------------------------------------------------------------- */

static void
store(uint32_t *to, uint32_t value)
{
    __atomic_store_n(to, value, __ATOMIC_RELEASE);
}

bool
cfc_xdp_filter_is_open(const struct cfc_xdp_filter *filter)
{
    return filter->is_open || filter->has_lost_scope || filter->has_lost_need;
}

void
cfc_xdp_filter_set_open(struct cfc_xdp_filter *filter, bool is_open)
{
    filter->is_open = is_open;
    store(&filter->skeleton->bss->control.is_open, cfc_xdp_filter_is_open(filter));
}

bool
cfc_xdp_filter_has_lost_need(const struct cfc_xdp_filter *filter)
{
    return filter->has_lost_need;
}

void
cfc_xdp_filter_retry_needs(struct cfc_xdp_filter *filter)
{
    filter->has_lost_need = false;
}

static void
change_group(struct cfc_xdp_filter *filter, uint64_t scope_id, int by)
{
    struct cfc_xdp_filter_control *control = &filter->skeleton->bss->control;
    uint32_t group = (uint32_t)(scope_id % control->group_count);
    uint32_t bit = UINT32_C(1) << group;

    filter->group_scopes[group] += (uint32_t)by;
    store(&control->wanted_groups, filter->group_scopes[group] > 0 ? control->wanted_groups | bit
                                                                   : control->wanted_groups & ~bit);
    store(&control->generation, control->generation + 1);
}

void
cfc_xdp_filter_want(struct cfc_xdp_filter *filter, uint64_t scope_id)
{
    uint64_t key = htole64(scope_id);
    uint8_t one = 1;

    if (bpf_map_update_elem(bpf_map__fd(filter->skeleton->maps.wanted), &key, &one, BPF_ANY) != 0) {
        filter->has_lost_scope = true;
        cfc_xdp_filter_set_open(filter, filter->is_open);
    }
    change_group(filter, scope_id, 1);
}

void
cfc_xdp_filter_unwant(struct cfc_xdp_filter *filter, uint64_t scope_id)
{
    uint64_t key = htole64(scope_id);

    (void)bpf_map_delete_elem(bpf_map__fd(filter->skeleton->maps.wanted), &key);
    change_group(filter, scope_id, -1);
}

/* Makes room for needs: frames of these pass from now on. */
static void
drop_held(struct cfc_xdp_filter *filter)
{
    int map = bpf_map__fd(filter->skeleton->maps.pinned);
    uint32_t dropped = 0;
    uint64_t key;
    int result = bpf_map_get_next_key(map, NULL, &key);

    while (result == 0 && filter->held_count > 0 && dropped < DROPPED_MAX) {
        uint64_t at = key;
        uint32_t pin = 0;

        result = bpf_map_get_next_key(map, &at, &key);
        if (bpf_map_lookup_elem(map, &at, &pin) == 0 && pin == CFC_XDP_HELD &&
            bpf_map_delete_elem(map, &at) == 0) {
            filter->held_count--;
            dropped++;
        }
    }
}

void
cfc_xdp_filter_pin(struct cfc_xdp_filter *filter, uint64_t content_key, uint32_t pin)
{
    int map = bpf_map__fd(filter->skeleton->maps.pinned);
    uint64_t key = htole64(content_key);
    uint32_t before = 0;

    (void)bpf_map_lookup_elem(map, &key, &before);
    if (pin == before) {
        return;
    }
    if (before == CFC_XDP_HELD) {
        filter->held_count--;
    }
    if (pin == 0 || (pin == CFC_XDP_HELD && filter->held_count == CFC_XDP_HELD_MAX)) {
        (void)bpf_map_delete_elem(map, &key);
        return;
    }
    if (bpf_map_update_elem(map, &key, &pin, BPF_ANY) == 0) {
        filter->held_count += pin == CFC_XDP_HELD;
        return;
    }
    if (pin == CFC_XDP_NEEDED) {
        drop_held(filter);
        if (bpf_map_update_elem(map, &key, &pin, BPF_ANY) != 0) {
            filter->has_lost_need = true;
            cfc_xdp_filter_set_open(filter, filter->is_open);
        }
    }
}

void
cfc_xdp_filter_counts(const struct cfc_xdp_filter *filter, uint64_t counts[CFC_XDP_VERDICT_COUNT])
{
    int map = bpf_map__fd(filter->skeleton->maps.counters);

    for (uint32_t i = 0; i < CFC_XDP_VERDICT_COUNT; i++) {
        counts[i] = 0;
        if (bpf_map_lookup_elem(map, &i, filter->cpu_counts) == 0) {
            for (int cpu = 0; cpu < filter->cpu_count; cpu++) {
                counts[i] += filter->cpu_counts[cpu];
            }
        }
    }
}

int
cfc_xdp_filter_program_fd(const struct cfc_xdp_filter *filter)
{
    return bpf_program__fd(filter->skeleton->progs.confcast_filter);
}
