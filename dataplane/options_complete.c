#include "dataplane/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confcast/error.h"
#include "dataplane/log.h"
#include "dataplane/net_header.h"
#include "protocol/trust/fleet.h"
#include "protocol/trust/key_file.h"

static int
read_file(const char *path, size_t size_max, char *bytes, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = 0;

    *size = 0;
    if (fd < 0) {
        cfc_log_error("%s: %s", path, strerror(errno));
        return CONFCAST_ERR_IO;
    }
    while (*size < size_max) {
        count = read(fd, bytes + *size, size_max - *size);
        if (count <= 0) {
            break;
        }
        *size += (size_t)count;
    }
    if (count < 0) {
        cfc_log_error("%s: %s", path, strerror(errno));
    }
    close(fd);
    return count < 0 ? CONFCAST_ERR_IO : CONFCAST_OK;
}

static int
read_key(const char *path, struct cfc_key *key)
{
    char line[CFC_KEY_FILE_SIZE_MAX];
    struct stat st;
    size_t size;
    int rc = read_file(path, sizeof(line), line, &size);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    if (stat(path, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        cfc_log_warning("%s is a secret that others can read: chmod 600", path);
    }
    rc = cfc_key_file_parse(line, size, CFC_KEY_SESSION, key->bytes);
    explicit_bzero(line, sizeof(line));
    if (rc != CONFCAST_OK) {
        cfc_log_error("%s is no session key: %s", path, confcast_error_text(rc));
    }
    return rc;
}

static void
fleet_ip(const struct cfc_fleet_address *address, uint8_t ip[CFC_IP_SIZE])
{
    static const uint8_t ipv4[CFC_IP_SIZE] = CFC_NET_IPV4(0);

    memcpy(ip, address->family == 4 ? ipv4 : address->bytes, CFC_IP_SIZE);
    if (address->family == 4) {
        memcpy(ip + 12, address->bytes, 4);
    }
}

/* The engine of the fleet that has this address, or NULL. */
static const struct cfc_fleet_address *
engine_at(const struct cfc_fleet *fleet, const uint8_t ip[CFC_IP_SIZE])
{
    for (uint32_t i = 0; i < fleet->engine_count; i++) {
        uint8_t engine[CFC_IP_SIZE];

        fleet_ip(&fleet->engines[i], engine);
        if (memcmp(engine, ip, CFC_IP_SIZE) == 0) {
            return &fleet->engines[i];
        }
    }
    return NULL;
}

/* One of the interface's addresses in our form.  Link-local ones are not to be routed, so they do
 * not count. */
static bool
ip_of(const struct ifaddrs *at, uint8_t ip[CFC_IP_SIZE])
{
    static const uint8_t ipv4[CFC_IP_SIZE] = CFC_NET_IPV4(0);
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (at->ifa_addr == NULL) {
        return false;
    }
    if (at->ifa_addr->sa_family == AF_INET) {
        memcpy(&v4, at->ifa_addr, sizeof(v4));
        memcpy(ip, ipv4, sizeof(ipv4));
        memcpy(ip + 12, &v4.sin_addr, sizeof(v4.sin_addr));
        return true;
    }
    if (at->ifa_addr->sa_family == AF_INET6) {
        memcpy(&v6, at->ifa_addr, sizeof(v6));
        memcpy(ip, &v6.sin6_addr, CFC_IP_SIZE);
        return !IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr);
    }
    return false;
}

/* The first address of the interface in the family of the groups, or rather the first that is an
 * engine's. */
static void
interface_ip(const char *interface, const struct cfc_fleet *fleet, bool is_ipv4,
             uint8_t found[CFC_IP_SIZE])
{
    struct ifaddrs *list;

    if (getifaddrs(&list) != 0) {
        return;
    }
    for (struct ifaddrs *at = list; at != NULL; at = at->ifa_next) {
        uint8_t ip[CFC_IP_SIZE];

        if (strcmp(at->ifa_name, interface) != 0 || !ip_of(at, ip) ||
            cfc_net_is_ipv4(ip) != is_ipv4) {
            continue;
        }
        if (!cfc_net_is_given(found) || (fleet != NULL && engine_at(fleet, found) == NULL)) {
            memcpy(found, ip, CFC_IP_SIZE);
        }
    }
    freeifaddrs(list);
}

static int
apply_fleet(struct cfc_options *o, const struct cfc_fleet *fleet)
{
    const struct cfc_fleet_address *engine = engine_at(fleet, o->ip);
    char text[CFC_OPTIONS_IP_TEXT_SIZE];

    if (engine == NULL) {
        cfc_options_ip_text(o->ip, text);
        cfc_log_error("%s names no engine at %s: consumers would not listen to it", o->fleet_path,
                      text);
        return CONFCAST_ERR_AUTHORITY;
    }
    if (o->group_count == 0) {
        o->group_count = fleet->group_count;
    }
    if (o->port == 0) {
        o->port = engine->port;
        o->group_port = fleet->group_base.port;
    }
    return CONFCAST_OK;
}

static int
read_fleet(struct cfc_options *o, struct cfc_fleet *fleet)
{
    char *bytes = malloc(CFC_FLEET_FILE_SIZE_MAX + 1);
    size_t size;
    int rc;

    if (bytes == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    rc = read_file(o->fleet_path, CFC_FLEET_FILE_SIZE_MAX + 1, bytes, &size);
    if (rc == CONFCAST_OK) {
        /* The file comes from the same hands as the command line, so its own root key will do. */
        rc = cfc_fleet_parse(bytes, size, NULL, fleet);
        if (rc != CONFCAST_OK) {
            cfc_log_error("%s: %s", o->fleet_path, confcast_error_text(rc));
        }
    }
    free(bytes);
    return rc;
}

static int
find_mtu(struct cfc_options *o)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq ifr = {0};
    int rc = -1;

    strncpy(ifr.ifr_name, o->interface, sizeof(ifr.ifr_name) - 1);
    if (fd >= 0) {
        rc = ioctl(fd, SIOCGIFMTU, &ifr);
        close(fd);
    }
    if (rc != 0) {
        cfc_log_error("interface %s: %s", o->interface, strerror(errno));
        return CONFCAST_ERR_NOT_FOUND;
    }
    o->interface_mtu = (uint32_t)ifr.ifr_mtu;
    return CONFCAST_OK;
}

static int
complete_addresses(struct cfc_options *o, const struct cfc_fleet *fleet)
{
    uint8_t control_group[CFC_IP_SIZE];
    bool is_ipv4;

    if (!cfc_net_is_given(o->group)) {
        fleet_ip(&fleet->group_base, o->group);
    }
    is_ipv4 = cfc_net_is_ipv4(o->group);
    if (!cfc_net_is_given(o->ip)) {
        interface_ip(o->interface, fleet, is_ipv4, o->ip);
    }
    if (!cfc_net_is_given(o->ip)) {
        cfc_log_error("%s has no %s address: use --ip", o->interface, is_ipv4 ? "IPv4" : "IPv6");
        return CONFCAST_ERR_NOT_FOUND;
    }
    if (cfc_net_is_ipv4(o->ip) != is_ipv4) {
        cfc_log_error("the own address and the groups are not both IPv4 or both IPv6");
        return CONFCAST_ERR_INVALID;
    }
    if (fleet != NULL) {
        int rc = apply_fleet(o, fleet);

        if (rc != CONFCAST_OK) {
            return rc;
        }
    }
    /* The control group follows the data groups. */
    memcpy(control_group, o->group, sizeof(control_group));
    cfc_net_add(control_group, o->group_count);
    if (!cfc_net_is_multicast(o->group) || !cfc_net_is_multicast(control_group)) {
        cfc_log_error("the groups are not all multicast addresses");
        return CONFCAST_ERR_INVALID;
    }
    return CONFCAST_OK;
}

int
cfc_options_complete(struct cfc_options *o)
{
    struct cfc_fleet *fleet = NULL;
    int rc = read_key(o->key_path, &o->fleet_key);

    if (rc == CONFCAST_OK && o->interface != NULL) {
        rc = find_mtu(o);
    }
    if (rc == CONFCAST_OK && o->fleet_path != NULL) {
        fleet = malloc(sizeof(*fleet));
        rc = fleet == NULL ? CONFCAST_ERR_NO_MEMORY : read_fleet(o, fleet);
    }
    if (rc == CONFCAST_OK) {
        rc = complete_addresses(o, fleet);
    }
    if (o->repair_rate_bytes == 0) {
        o->repair_rate_bytes = o->rate_bytes / 2;
    }
    free(fleet);
    return rc;
}
