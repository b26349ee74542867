#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "controlplane/ctl/doctor.h"

enum {
    MTU_WANTED = 1500,
    UDP_HEADERS_V4 = 28,
    UDP_HEADERS_V6 = 48,
    ICMP_WAIT_MS = 200, /* for "fragmentation needed" to come back */
    QUERY_WAIT_MS = 3000,
    IGMP_QUERY = 0x11,
};

/* A group of the site-local block (RFC 2365) that nothing of ours uses: joined and left again. */
#define PROBE_GROUP "239.255.77.77"

static uint64_t
mono_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
interface_request(const char *interface, struct ifreq *request)
{
    memset(request, 0, sizeof(*request));
    snprintf(request->ifr_name, sizeof(request->ifr_name), "%s", interface);
}

/* The first address of the interface, as text; false when it has none. */
static bool
address_of(const char *interface, char text[INET6_ADDRSTRLEN])
{
    struct ifaddrs *list = NULL;
    bool is_found = false;

    if (getifaddrs(&list) != 0) {
        return false;
    }
    for (const struct ifaddrs *i = list; i != NULL && !is_found; i = i->ifa_next) {
        if (i->ifa_addr == NULL || strcmp(i->ifa_name, interface) != 0) {
            continue;
        }
        if (i->ifa_addr->sa_family == AF_INET) {
            struct sockaddr_in v4;

            memcpy(&v4, i->ifa_addr, sizeof(v4));
            is_found = inet_ntop(AF_INET, &v4.sin_addr, text, INET6_ADDRSTRLEN) != NULL;
        } else if (i->ifa_addr->sa_family == AF_INET6) {
            struct sockaddr_in6 v6;

            memcpy(&v6, i->ifa_addr, sizeof(v6));
            is_found = !IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr) &&
                       inet_ntop(AF_INET6, &v6.sin6_addr, text, INET6_ADDRSTRLEN) != NULL;
        }
    }
    freeifaddrs(list);
    return is_found;
}

void
cfc_doctor_interface(struct cfc_doctor *doctor, const char *interface)
{
    char address[INET6_ADDRSTRLEN] = "no address";
    struct ifreq request;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_there;

    interface_request(interface, &request);
    is_there = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0;
    if (fd >= 0) {
        close(fd);
    }
    if (!is_there) {
        cfc_doctor_add(doctor, "interface", CFC_VERDICT_FAIL, "ip link lists those that there are",
                       "there is no %s here", interface);
    } else if ((request.ifr_flags & IFF_UP) == 0 || (request.ifr_flags & IFF_RUNNING) == 0) {
        cfc_doctor_add(doctor, "interface", CFC_VERDICT_FAIL, "ip link set up, and see to its link",
                       "%s is %s", interface,
                       (request.ifr_flags & IFF_UP) == 0 ? "down" : "up without a carrier");
    } else if ((request.ifr_flags & IFF_MULTICAST) == 0) {
        cfc_doctor_add(doctor, "interface", CFC_VERDICT_FAIL,
                       "ip link set multicast on, or let consumers pull", "%s has no multicast",
                       interface);
    } else if (!address_of(interface, address)) {
        cfc_doctor_add(doctor, "interface", CFC_VERDICT_WARN,
                       "consumers and kernels that answer ARP need one", "%s has no address",
                       interface);
    } else {
        cfc_doctor_add(doctor, "interface", CFC_VERDICT_OK, "", "%s is up, %s", interface, address);
    }
}

/* ---- MTU ------------------------------------------------------------------------------------- */

static socklen_t
fill_address(const struct cfc_fleet_address *address, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (address->family == 4) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(address->port)};

        memcpy(&v4.sin_addr, address->bytes, 4);
        memcpy(out, &v4, sizeof(v4));
        return sizeof(v4);
    }
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(address->port)};

    memcpy(&v6.sin6_addr, address->bytes, 16);
    memcpy(out, &v6, sizeof(v6));
    return sizeof(v6);
}

static void
address_text(const struct cfc_fleet_address *address, char text[INET6_ADDRSTRLEN])
{
    inet_ntop(address->family == 4 ? AF_INET : AF_INET6, address->bytes, text, INET6_ADDRSTRLEN);
}

/* What the kernel knows of the path after a full datagram that may not be fragmented; 0 with errno.
 */
static int
path_mtu(const struct cfc_fleet_address *address)
{
    static const char zeros[MTU_WANTED];
    bool is_v4 = address->family == 4;
    int level = is_v4 ? IPPROTO_IP : IPPROTO_IPV6;
    int discover = is_v4 ? IP_PMTUDISC_DO : IPV6_PMTUDISC_DO;
    size_t size = MTU_WANTED - (is_v4 ? UDP_HEADERS_V4 : UDP_HEADERS_V6);
    struct sockaddr_storage to;
    socklen_t to_size = fill_address(address, &to);
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int mtu = 0;
    socklen_t mtu_size = sizeof(mtu);

    if (fd < 0) {
        return 0;
    }
    setsockopt(fd, level, is_v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &discover, sizeof(discover));
    if (connect(fd, (struct sockaddr *)&to, to_size) == 0 &&
        (send(fd, zeros, size, 0) >= 0 || errno == EMSGSIZE || errno == ECONNREFUSED)) {
        struct timespec wait = {.tv_nsec = ICMP_WAIT_MS * 1000000L};

        nanosleep(&wait, NULL);
        if (getsockopt(fd, level, is_v4 ? IP_MTU : IPV6_MTU, &mtu, &mtu_size) != 0) {
            mtu = 0;
        }
    }
    close(fd);
    return mtu;
}

static void
check_path(struct cfc_doctor *doctor, const struct cfc_fleet_address *engine)
{
    char text[INET6_ADDRSTRLEN];
    int mtu = path_mtu(engine);

    address_text(engine, text);
    if (mtu == 0) {
        cfc_doctor_add(doctor, "path", CFC_VERDICT_FAIL,
                       "NACKs and reports go there: see to the route and the firewall",
                       "no way to the engine %s: %s", text, strerror(errno));
    } else if (mtu < MTU_WANTED) {
        cfc_doctor_add(doctor, "path", CFC_VERDICT_FAIL,
                       "frames that do not fit are lost, not cut: start the engine with --mtu of "
                       "the smallest path, or mend the path",
                       "to the engine %s only %d bytes fit", text, mtu);
    } else {
        cfc_doctor_add(doctor, "path", CFC_VERDICT_OK, "", "%d bytes fit to the engine %s", mtu,
                       text);
    }
}

void
cfc_doctor_mtu(struct cfc_doctor *doctor, const char *interface, const struct cfc_fleet *fleet)
{
    struct ifreq request;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    interface_request(interface, &request);
    if (fd < 0 || ioctl(fd, SIOCGIFMTU, &request) != 0) {
        cfc_doctor_add(doctor, "MTU", CFC_VERDICT_FAIL, "ip link lists the interfaces", "%s: %s",
                       interface, strerror(errno));
    } else {
        cfc_doctor_add(doctor, "MTU",
                       request.ifr_mtu < MTU_WANTED ? CFC_VERDICT_FAIL : CFC_VERDICT_OK,
                       "frames are made for 1500 unless the engine is started with a smaller --mtu",
                       "%d on %s", request.ifr_mtu, interface);
    }
    if (fd >= 0) {
        close(fd);
    }
    for (uint32_t i = 0; fleet != NULL && i < fleet->engine_count; i++) {
        check_path(doctor, &fleet->engines[i]);
    }
}

/* ---- The querier ----------------------------------------------------------------------------- */

/* A flag of the bridge that the interface is, or is a port of: -1 when it is neither. */
static int
bridge_flag(const char *interface, const char *flag)
{
    char path[PATH_MAX];
    int value = -1;

    for (int i = 0; i < 2 && value < 0; i++) {
        FILE *in;

        snprintf(path, sizeof(path), "/sys/class/net/%.32s%s/bridge/%s", interface,
                 i == 0 ? "" : "/master", flag);
        in = fopen(path, "re");
        if (in != NULL && fscanf(in, "%d", &value) != 1) {
            value = -1;
        }
        if (in != NULL) {
            fclose(in);
        }
    }
    return value;
}

/* Sees every IP packet of the interface, those of groups that nobody joined as well. */
static int
open_listener(unsigned int interface_idx)
{
    struct sockaddr_ll where = {.sll_family = AF_PACKET,
                                .sll_protocol = htons(ETH_P_IP),
                                .sll_ifindex = (int)interface_idx};
    struct packet_mreq all = {.mr_ifindex = (int)interface_idx, .mr_type = PACKET_MR_ALLMULTI};
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IP));

    if (fd >= 0 && (bind(fd, (struct sockaddr *)&where, sizeof(where)) != 0 ||
                    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Joining and leaving makes a querier ask who else is there. */
static void
provoke(unsigned int interface_idx)
{
    struct ip_mreqn group = {.imr_ifindex = (int)interface_idx};
    struct timespec pause = {.tv_nsec = 50 * 1000000L};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, PROBE_GROUP, &group.imr_multiaddr);
    if (fd >= 0) {
        if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)) == 0) {
            nanosleep(&pause, NULL);
        }
        close(fd); /* which leaves */
    }
}

/* An IPv4 packet that is an IGMP query: its source. */
static bool
is_query(const uint8_t *packet, size_t size, struct in_addr *source)
{
    size_t header = size >= 20 ? (size_t)(packet[0] & 15) * 4 : 0;

    if (header < 20 || packet[9] != IPPROTO_IGMP || size < header + 8 ||
        packet[header] != IGMP_QUERY) {
        return false;
    }
    memcpy(source, packet + 12, 4);
    return true;
}

/* Waits for a query from somebody else. */
static bool
hear_query(int fd, struct in_addr *source)
{
    uint64_t end = mono_ms() + QUERY_WAIT_MS;

    for (;;) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        uint64_t now = mono_ms();
        struct sockaddr_ll from = {0};
        socklen_t from_size = sizeof(from);
        uint8_t packet[2048];
        ssize_t size;

        if (now >= end || poll(&readable, 1, (int)(end - now)) <= 0) {
            return false;
        }
        size = recvfrom(fd, packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *)&from,
                        &from_size);
        if (size > 0 && from.sll_pkttype != PACKET_OUTGOING &&
            is_query(packet, (size_t)size, source)) {
            return true;
        }
    }
}

void
cfc_doctor_querier(struct cfc_doctor *doctor, const char *interface)
{
    static const char advice[] =
        "switches that snoop forget after minutes who listens, or flood: enable the IGMP querier "
        "of the switch or router (a Linux bridge: ip link set BR type bridge mcast_querier 1)";
    unsigned int idx = if_nametoindex(interface);
    char text[INET_ADDRSTRLEN] = "";
    struct in_addr source = {0};
    bool is_heard;
    int fd;

    if (bridge_flag(interface, "multicast_querier") == 1) {
        cfc_doctor_add(doctor, "querier", CFC_VERDICT_OK, "", "the bridge of %s is one", interface);
        return;
    }
    fd = idx != 0 ? open_listener(idx) : -1;
    if (fd < 0) {
        cfc_doctor_add(doctor, "querier", CFC_VERDICT_WARN,
                       idx == 0 ? "ip link lists the interfaces" : "run doctor as root to know",
                       "cannot listen on %s: %s", interface, strerror(errno));
        return;
    }
    provoke(idx);
    is_heard = hear_query(fd, &source);
    close(fd);
    if (is_heard) {
        inet_ntop(AF_INET, &source, text, sizeof(text));
        cfc_doctor_add(doctor, "querier", CFC_VERDICT_OK, "", "%s asks for members on %s", text,
                       interface);
    } else {
        cfc_doctor_add(doctor, "querier", CFC_VERDICT_FAIL, advice,
                       "nobody asked for members on %s in %d s", interface, QUERY_WAIT_MS / 1000);
    }
}

/* ---- The groups ------------------------------------------------------------------------------ */

static int
open_group(const char *interface, const struct cfc_fleet *fleet)
{
    struct cfc_fleet_address control;
    struct sockaddr_storage group;
    struct sockaddr_storage here;
    socklen_t size;
    int one = 1;
    int fd;

    cfc_fleet_control_group(fleet, &control);
    size = fill_address(&control, &group);
    here = group; /* bound to the group, so that other groups of the port stay away */
    fd = socket(group.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&here, size) != 0) {
        close(fd);
        return -1;
    }
    for (uint32_t i = 0; i < fleet->engine_count; i++) {
        struct group_source_req join = {.gsr_interface = if_nametoindex(interface)};

        memcpy(&join.gsr_group, &group, sizeof(group));
        fill_address(&fleet->engines[i], &join.gsr_source);
        if (setsockopt(fd, control.family == 4 ? IPPROTO_IP : IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP,
                       &join, sizeof(join)) != 0) {
            close(fd);
            return -1;
        }
    }
    return fd;
}

void
cfc_doctor_groups(struct cfc_doctor *doctor, const char *interface, const struct cfc_fleet *fleet,
                  uint64_t wait_ms)
{
    static const char advice[] =
        "is confcast-dataplane up, with confcastd behind it, and does fleet.json name its address? "
        "Then look at the querier, the firewall (UDP) and rp_filter";
    struct cfc_fleet_address control;
    char text[INET6_ADDRSTRLEN];
    uint64_t begin = mono_ms();
    int fd = open_group(interface, fleet);
    struct pollfd readable = {.fd = fd, .events = POLLIN};

    cfc_fleet_control_group(fleet, &control);
    address_text(&control, text);
    if (fd < 0) {
        cfc_doctor_add(doctor, "groups", CFC_VERDICT_FAIL, "see to the interface first",
                       "cannot join %s port %u on %s: %s", text, control.port, interface,
                       strerror(errno));
        return;
    }
    if (poll(&readable, 1, (int)wait_ms) == 1 && (readable.revents & POLLIN) != 0) {
        cfc_doctor_add(doctor, "groups", CFC_VERDICT_OK, "",
                       "%s port %u: heard the engine after %" PRIu64 " ms", text, control.port,
                       mono_ms() - begin);
    } else {
        cfc_doctor_add(doctor, "groups", CFC_VERDICT_FAIL, advice,
                       "%s port %u: nothing from the engines in %" PRIu64 " s", text, control.port,
                       wait_ms / 1000);
    }
    close(fd);
}
