#include "dataplane/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "confcast/error.h"
#include "dataplane/log.h"
#include "dataplane/runtime_dir.h"

enum {
    ARG_COUNT_MAX = 64,
    ARG_SIZE_MAX = 512,
    HUGE_MIB_MIN = 48,
    HUGE_MIB_JUMBO = 112, /* a received frame may take 16 KiB then */
    JUMBO_MTU = 3800,     /* above it, it takes more than 4 KiB */
    LCORE_MIB = 20,       /* of each lcore after the first */
    LCORE_MIB_JUMBO = 96,
    NO_HUGE_MIB = 128,
};

#define NO_HUGE_COST                                                                               \
    "net_af_packet is as fast without, NICs that the kernel does not drive cannot do without"

struct arguments {
    char text[ARG_COUNT_MAX][ARG_SIZE_MAX];
    char *pointers[ARG_COUNT_MAX + 1];
    int count;
    bool has_overflown;
};

static void __attribute__((format(printf, 2, 3))) add(struct arguments *a, const char *format, ...)
{
    va_list args;
    int size;

    if (a->count == ARG_COUNT_MAX) {
        a->has_overflown = true;
        return;
    }
    va_start(args, format);
    size = vsnprintf(a->text[a->count], ARG_SIZE_MAX, format, args);
    va_end(args);
    if (size < 0 || size >= ARG_SIZE_MAX) {
        a->has_overflown = true;
        return;
    }
    a->pointers[a->count] = a->text[a->count];
    a->count++;
}

/* A line of EAL's log, which arrives in pieces as stdio sees fit. */
static ssize_t
write_log(void *cookie, const char *bytes, size_t size)
{
    (void)cookie;
    for (size_t start = 0; start < size;) {
        const char *end = memchr(bytes + start, '\n', size - start);
        size_t length = end != NULL ? (size_t)(end - bytes) - start : size - start;

        if (length > 0) {
            cfc_log_info("dpdk: %.*s", (int)length, bytes + start);
        }
        start += length + 1;
    }
    return (ssize_t)size;
}

static void
capture_log(void)
{
    FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_log});

    if (stream == NULL) {
        return; /* EAL then writes to standard error by itself */
    }
    setvbuf(stream, NULL, _IOLBF, 1024);
    rte_openlog_stream(stream);
}

static unsigned long
meminfo_kib(const char *key)
{
    FILE *file = fopen("/proc/meminfo", "re");
    unsigned long value = 0;
    char line[128];

    if (file == NULL) {
        return 0;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        size_t size = strlen(key);

        if (strncmp(line, key, size) == 0 && line[size] == ':') {
            value = strtoul(line + size + 1, NULL, 10);
        }
    }
    fclose(file);
    return value;
}

/* What the pools of a port need, with room to spare: more for a jumbo port. */
static unsigned long
huge_mib_wanted(const struct cfc_options *options)
{
    uint32_t mtu = options->mtu != 0 ? options->mtu : options->interface_mtu;

    if (mtu > JUMBO_MTU) {
        return HUGE_MIB_JUMBO + (options->lcore_count - 1) * LCORE_MIB_JUMBO;
    }
    return HUGE_MIB_MIN + (options->lcore_count - 1) * LCORE_MIB;
}

static bool
choose_huge(const struct cfc_options *options)
{
    unsigned long wanted_mib = huge_mib_wanted(options);
    unsigned long free_mib = meminfo_kib("HugePages_Free") * (meminfo_kib("Hugepagesize") / 1024);

    if (options->is_huge_refused) {
        cfc_log_info("no huge pages, as asked: " NO_HUGE_COST);
        return false;
    }
    if (free_mib < wanted_mib) {
        cfc_log_info(
            "no huge pages: %lu MiB are free, %lu MiB wanted (vm.nr_hugepages): " NO_HUGE_COST,
            free_mib, wanted_mib);
        return false;
    }
    cfc_log_info("huge pages: %lu MiB free", free_mib);
    return true;
}

/* EAL lcores 0, 1, ..., which either sit on a core each or float over all of ours. */
static void
add_lcores(struct arguments *a, const struct cfc_options *options)
{
    char text[ARG_SIZE_MAX] = "";
    size_t used = 0;
    cpu_set_t set;

    for (uint32_t i = 0; i < options->core_count; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u@%u", i == 0 ? "" : ",", i,
                                 options->cores[i]);
    }
    if (options->core_count > 0) {
        add(a, "--lcores=%s", text);
        return;
    }
    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        return;
    }
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &set) && used < sizeof(text) - 32) {
            used +=
                (size_t)snprintf(text + used, sizeof(text) - used, "%s%d", used == 0 ? "" : ",", i);
        }
    }
    add(a, "--lcores=(0-%u)@(%s)", options->lcore_count - 1, text);
}

/* The same for every start with this control path, so that a directory left by kill -9 is used
 * again and not joined by others. */
static unsigned
path_hash(const char *path)
{
    unsigned hash = 2166136261u;

    for (; *path != '\0'; path++) {
        hash = (hash ^ (uint8_t)*path) * 16777619u;
    }
    return hash;
}

/* net_af_packet's ring frames must hold a whole Ethernet frame and the ring's own header. */
static uint32_t
ring_frame_size(uint32_t mtu)
{
    uint32_t size = 2048;

    while (size < mtu + 256) {
        size *= 2;
    }
    return size;
}

static void
add_vdev(struct arguments *a, const struct cfc_options *options)
{
    uint32_t frame_size;

    if (options->vdev != NULL) {
        add(a, "--vdev=%s", options->vdev);
    } else if (strcmp(options->driver, "net_af_packet") == 0) {
        frame_size = ring_frame_size(options->interface_mtu);
        add(a, "--vdev=net_af_packet0,iface=%s,qpairs=%u,framesz=%u,blocksz=%u,framecnt=1024",
            options->interface, options->lcore_count, frame_size,
            frame_size < 4096 ? 4096 : frame_size);
    } else if (options->is_xdp) {
        add(a, "--vdev=net_af_xdp0,iface=%s,queue_count=%u,busy_budget=0,xdp_prog=%s",
            options->interface, options->lcore_count, options->xdp_program);
    } else {
        add(a, "--vdev=%s0,iface=%s", options->driver, options->interface);
    }
}

/* EAL leaves the folder of its telemetry socket behind, and removes the socket at exit. */
static struct cfc_runtime_dir runtime_dir = {.lock_fd = -1};

static void
release_folder(void)
{
    cfc_runtime_dir_release(&runtime_dir);
}

static int
claim_folder(const char *prefix)
{
    uint32_t count = cfc_runtime_dir_sweep(cfc_runtime_base());

    if (count > 0) {
        cfc_log_info("dpdk: removed what %u engines left behind that were killed", count);
    }
    return cfc_runtime_dir_claim(cfc_runtime_base(), prefix, &runtime_dir);
}

int
cfc_eal_start(const struct cfc_options *options)
{
    static struct arguments a; /* EAL keeps pointers into it */
    char prefix[32];
    int rc;

    capture_log();
    snprintf(prefix, sizeof(prefix), CFC_RUNTIME_PREFIX "%08x", path_hash(options->control_path));
    add(&a, "%s", CFC_LOG_NAME);
    add_lcores(&a, options);
    add(&a, "--file-prefix=%s", prefix);
    if (choose_huge(options)) {
        add(&a, "--in-memory");
    } else {
        add(&a, "--no-huge");
        add(&a, "--no-shconf");
        add(&a, "-m");
        add(&a, "%d", NO_HUGE_MIB + ((int)options->lcore_count - 1) * LCORE_MIB_JUMBO);
    }
    if (options->allow != NULL) {
        add(&a, "--allow=%s", options->allow);
    } else {
        add(&a, "--no-pci");
        add(&a, "--iova-mode=va");
        add_vdev(&a, options);
    }
    for (int i = 0; i < options->eal_count; i++) {
        add(&a, "%s", options->eal[i]);
    }
    if (a.has_overflown) {
        cfc_log_error("too many arguments for EAL, or too long");
        return CONFCAST_ERR_LIMIT;
    }
    rc = claim_folder(prefix);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    /* Before EAL registers what removes the socket, so as to run after it. */
    atexit(release_folder);
    if (rte_eal_init(a.count, a.pointers) < 0) {
        cfc_log_error("DPDK does not start: %s", rte_strerror(rte_errno));
        return CONFCAST_ERR_RESOURCE;
    }
    cfc_log_info("dpdk: telemetry under the file prefix %s", prefix);
    return CONFCAST_OK;
}

void
cfc_eal_stop(void)
{
    rte_eal_cleanup();
}
