#include "dataplane/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "dataplane/log.h"
#include "protocol/base/limits.h"

enum {
    RATE_MBIT_DEFAULT = 500,
    LOSS_QUANTILE_DEFAULT = 90, /* percent, as the next two */
    LOSS_MAX_DEFAULT = 5,
    OUTLIER_LOSS_DEFAULT = 30,
    RATE_MBIT_MAX = 400000,
    SCOPES_MAX_DEFAULT = 131072,
    CONTENTS_MAX_DEFAULT = 131072,
    CONSUMERS_MAX_DEFAULT = 131072,
    OBJECTS_MAX = 1 << 20,
    CORES_MAX = 1024,
    BURST_MAX = 64, /* CFC_PORT_BURST_MAX */
    TTL_DEFAULT = 8,
};

enum option_code {
    OPTION_PORT = 256,
    OPTION_VDEV,
    OPTION_ALLOW,
    OPTION_MTU,
    OPTION_LINEAR,
    OPTION_BURST,
    OPTION_IP,
    OPTION_FLEET,
    OPTION_GROUP_BASE,
    OPTION_GROUP_COUNT,
    OPTION_UDP_PORT,
    OPTION_TTL,
    OPTION_SESSION_KEY,
    OPTION_CONTROL,
    OPTION_RATE,
    OPTION_REPAIR_RATE,
    OPTION_RATE_FLOOR,
    OPTION_LOSS_QUANTILE,
    OPTION_LOSS_MAX,
    OPTION_OUTLIER_LOSS,
    OPTION_SCOPES_MAX,
    OPTION_CONTENTS_MAX,
    OPTION_CONSUMERS_MAX,
    OPTION_METRICS,
    OPTION_NO_HUGE,
    OPTION_LCORE,
    OPTION_LCORES,
    OPTION_VERSION,
};

static const struct option long_options[] = {
    {"port", required_argument, NULL, OPTION_PORT},
    {"vdev", required_argument, NULL, OPTION_VDEV},
    {"allow", required_argument, NULL, OPTION_ALLOW},
    {"mtu", required_argument, NULL, OPTION_MTU},
    {"linear", no_argument, NULL, OPTION_LINEAR},
    {"burst", required_argument, NULL, OPTION_BURST},
    {"ip", required_argument, NULL, OPTION_IP},
    {"fleet", required_argument, NULL, OPTION_FLEET},
    {"group-base", required_argument, NULL, OPTION_GROUP_BASE},
    {"group-count", required_argument, NULL, OPTION_GROUP_COUNT},
    {"udp-port", required_argument, NULL, OPTION_UDP_PORT},
    {"ttl", required_argument, NULL, OPTION_TTL},
    {"session-key", required_argument, NULL, OPTION_SESSION_KEY},
    {"control", required_argument, NULL, OPTION_CONTROL},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"repair-rate", required_argument, NULL, OPTION_REPAIR_RATE},
    {"rate-floor", required_argument, NULL, OPTION_RATE_FLOOR},
    {"loss-quantile", required_argument, NULL, OPTION_LOSS_QUANTILE},
    {"loss-max", required_argument, NULL, OPTION_LOSS_MAX},
    {"outlier-loss", required_argument, NULL, OPTION_OUTLIER_LOSS},
    {"scopes-max", required_argument, NULL, OPTION_SCOPES_MAX},
    {"contents-max", required_argument, NULL, OPTION_CONTENTS_MAX},
    {"consumers-max", required_argument, NULL, OPTION_CONSUMERS_MAX},
    {"metrics", required_argument, NULL, OPTION_METRICS},
    {"no-huge", no_argument, NULL, OPTION_NO_HUGE},
    {"lcore", required_argument, NULL, OPTION_LCORE},
    {"lcores", required_argument, NULL, OPTION_LCORES},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

void
cfc_options_help(void)
{
    fputs("usage: confcast-dataplane --port [DRIVER:]INTERFACE --fleet FILE --session-key FILE\n"
          "                          --control PATH [OPTION]... [-- EAL-ARGUMENT...]\n"
          "Multicasts what the control plane hands over, heals losses and gathers reports.\n"
          "\n"
          "The port, one of:\n"
          "  --port [DRIVER:]INTERFACE  a PMD on a kernel interface; DRIVER is net_af_packet\n"
          "                             unless given\n"
          "  --vdev ARGUMENTS           any other virtual device, as EAL's --vdev takes it\n"
          "  --allow ADDRESS            a NIC by its PCI address\n"
          "and for it:\n"
          "  --ip ADDRESS[/LEN]         own address, IPv4 or IPv6 as the groups; default: that of "
          "the\n"
          "                             interface\n"
          "  --mtu BYTES                default: the port's\n"
          "  --burst N                  frames for the PMD at once, 1 to 64; default: what it\n"
          "                             recommends, else 32\n"
          "  --linear                   copy payload even where the PMD takes chained mbufs\n"
          "\n"
          "The fleet:\n"
          "  --fleet FILE               fleet.json: groups, ports, engines\n"
          "  --group-base ADDRESS       first data group, instead of the fleet file's\n"
          "  --group-count N            data groups, 1 to 16; likewise\n"
          "  --udp-port N               of groups and engine; likewise\n"
          "  --ttl N                    of multicast, default 8\n"
          "  --session-key FILE         session.key, as confcastctl key init makes it\n"
          "  --control PATH             unix socket for the control plane\n"
          "\n"
          "Limits:\n"
          "  --rate MBIT                multicast payload a second, default 500; 0: no limit\n"
          "  --repair-rate MBIT         of repair payload, default half of --rate\n"
          "  --loss-quantile PERCENT    of the receivers decide together whether loss slows\n"
          "                             multicast down, default 90\n"
          "  --loss-max PERCENT         that they may lose before it does, default 5\n"
          "  --rate-floor MBIT          that it never falls below, default 1/16 of --rate\n"
          "  --outlier-loss PERCENT     a receiver that loses more, and far more than the others,\n"
          "                             is told to pull; default 30; 0: nobody is\n"
          "  --scopes-max N, --contents-max N    default 131072, at most 1048576\n"
          "  --consumers-max N          default 131072\n"
          "\n"
          "  --metrics ADDRESS:PORT|PATH  answer GET /metrics there (Prometheus text); no access\n"
          "                             control, so best a loopback address or a unix socket\n"
          "  --no-huge                  without huge pages, which is also what happens when there\n"
          "                             are none\n"
          "  --lcores N                 1 to 8, default 1: the first does all but contents,\n"
          "                             the others send those, each over its own queue\n"
          "  --lcore CORE[,CORE]...     run on these, one for each lcore; default: any of ours\n"
          "  --help                     this\n"
          "  --version\n",
          stdout);
}

static int
usage(const char *option, const char *value)
{
    cfc_log_error("--%s %s: not valid (see --help)", option, value);
    return CONFCAST_ERR_INVALID;
}

static int
parse_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || *out < min || *out > max) {
        cfc_log_error("--%s %s: want a number from %llu to %llu", option, text,
                      (unsigned long long)min, (unsigned long long)max);
        return CONFCAST_ERR_INVALID;
    }
    return CONFCAST_OK;
}

static int
parse_ip(const char *option, const char *text, uint8_t out[CFC_IP_SIZE])
{
    static const uint8_t ipv4[CFC_IP_SIZE] = CFC_NET_IPV4(0);
    char address[INET6_ADDRSTRLEN];
    size_t size = strcspn(text, "/");

    if (size >= sizeof(address)) {
        return usage(option, text);
    }
    memcpy(address, text, size);
    address[size] = '\0';
    memcpy(out, ipv4, sizeof(ipv4));
    if (inet_pton(AF_INET, address, out + 12) != 1 && inet_pton(AF_INET6, address, out) != 1) {
        return usage(option, text);
    }
    return CONFCAST_OK;
}

void
cfc_options_ip_text(const uint8_t ip[CFC_IP_SIZE], char text[CFC_OPTIONS_IP_TEXT_SIZE])
{
    char address[INET6_ADDRSTRLEN];

    if (cfc_net_is_ipv4(ip)) {
        inet_ntop(AF_INET, ip + 12, text, CFC_OPTIONS_IP_TEXT_SIZE);
        return;
    }
    inet_ntop(AF_INET6, ip, address, sizeof(address));
    snprintf(text, CFC_OPTIONS_IP_TEXT_SIZE, "[%s]", address);
}

static int
parse_port(const char *text, struct cfc_options *o)
{
    const char *colon = strchr(text, ':');
    const char *driver = "net_af_packet";
    size_t size = strlen(driver);

    if (colon != NULL) {
        driver = text;
        size = (size_t)(colon - text);
    }
    o->interface = colon != NULL ? colon + 1 : text;
    if (size == 0 || size >= sizeof(o->driver) || o->interface[0] == '\0' ||
        strlen(o->interface) >= IF_NAMESIZE || strchr(o->interface, ',') != NULL) {
        return usage("port", text);
    }
    memcpy(o->driver, driver, size);
    o->driver[size] = '\0';
    /* net_tap makes the interface that it is given the name of: our end of it is the other one. */
    if (strcmp(o->driver, "net_tap") == 0) {
        return usage("port", "net_tap: use --vdev net_tap0,iface=NAME with --ip");
    }
    o->is_doorbell_possible = strcmp(o->driver, "net_af_packet") == 0;
    o->is_xdp = strcmp(o->driver, "net_af_xdp") == 0;
    o->is_kernel_answering = o->is_doorbell_possible || o->is_xdp;
    return CONFCAST_OK;
}

static int
parse_limit(int option, const char *name, const char *text, struct cfc_options *o)
{
    uint64_t number;
    int rc;

    switch (option) {
    case OPTION_RATE:
        rc = parse_number(name, text, 0, RATE_MBIT_MAX, &number);
        o->rate_bytes = number * 125000;
        return rc;
    case OPTION_REPAIR_RATE:
        rc = parse_number(name, text, 1, RATE_MBIT_MAX, &number);
        o->repair_rate_bytes = number * 125000;
        return rc;
    case OPTION_RATE_FLOOR:
        rc = parse_number(name, text, 1, RATE_MBIT_MAX, &number);
        o->rate_floor_bytes = number * 125000;
        return rc;
    case OPTION_LOSS_QUANTILE:
        rc = parse_number(name, text, 1, 99, &number);
        o->loss_quantile = (uint32_t)number;
        return rc;
    case OPTION_LOSS_MAX:
        rc = parse_number(name, text, 1, 100, &number);
        o->loss_max = (uint32_t)number;
        return rc;
    case OPTION_OUTLIER_LOSS:
        rc = parse_number(name, text, 0, 100, &number);
        o->outlier_loss = (uint32_t)number;
        return rc;
    case OPTION_SCOPES_MAX:
        rc = parse_number(name, text, 1, OBJECTS_MAX, &number);
        o->scopes_max = (uint32_t)number;
        return rc;
    case OPTION_CONTENTS_MAX:
        rc = parse_number(name, text, 1, OBJECTS_MAX, &number);
        o->contents_max = (uint32_t)number;
        return rc;
    case OPTION_CONSUMERS_MAX:
        rc = parse_number(name, text, 1, OBJECTS_MAX, &number);
        o->consumers_max = (uint32_t)number;
        return rc;
    default:
        return usage(name, text);
    }
}

static int
parse_network(int option, const char *name, const char *text, struct cfc_options *o)
{
    uint64_t number;
    int rc;

    switch (option) {
    case OPTION_IP:
        return parse_ip(name, text, o->ip);
    case OPTION_GROUP_BASE:
        return parse_ip(name, text, o->group);
    case OPTION_GROUP_COUNT:
        rc = parse_number(name, text, 1, CFC_GROUP_COUNT_MAX, &number);
        o->group_count = (uint32_t)number;
        return rc;
    case OPTION_UDP_PORT:
        rc = parse_number(name, text, 1, UINT16_MAX, &number);
        o->port = (uint16_t)number;
        o->group_port = (uint16_t)number;
        return rc;
    case OPTION_TTL:
        rc = parse_number(name, text, 1, UINT8_MAX, &number);
        o->ttl = (uint8_t)number;
        return rc;
    case OPTION_MTU:
        rc = parse_number(name, text, 68, UINT16_MAX, &number);
        o->mtu = (uint16_t)number;
        return rc;
    case OPTION_BURST:
        rc = parse_number(name, text, 1, BURST_MAX, &number);
        o->burst = (uint16_t)number;
        return rc;
    default:
        return parse_limit(option, name, text, o);
    }
}

/* Cores, one for each lcore: 3 or 2,4,6. */
static int
parse_cores(const char *name, const char *text, struct cfc_options *o)
{
    char *end;

    o->core_count = 0;
    do {
        unsigned long core = strtoul(text, &end, 10);

        if (text[0] < '0' || text[0] > '9' || (*end != '\0' && *end != ',') || core >= CORES_MAX ||
            o->core_count == CFC_LCORES_MAX) {
            return usage(name, text);
        }
        o->cores[o->core_count++] = (uint16_t)core;
        text = end + 1;
    } while (*end == ',');
    return CONFCAST_OK;
}

static int
parse_option(int option, const char *name, const char *text, struct cfc_options *o)
{
    uint64_t number;
    int rc;

    switch (option) {
    case OPTION_PORT:
        return parse_port(text, o);
    case OPTION_VDEV:
        o->vdev = text;
        return CONFCAST_OK;
    case OPTION_ALLOW:
        o->allow = text;
        return CONFCAST_OK;
    case OPTION_LINEAR:
        o->is_linear = true;
        return CONFCAST_OK;
    case OPTION_FLEET:
        o->fleet_path = text;
        return CONFCAST_OK;
    case OPTION_SESSION_KEY:
        o->key_path = text;
        return CONFCAST_OK;
    case OPTION_CONTROL:
        o->control_path = text;
        return CONFCAST_OK;
    case OPTION_METRICS:
        o->metrics = text;
        return CONFCAST_OK;
    case OPTION_NO_HUGE:
        o->is_huge_refused = true;
        return CONFCAST_OK;
    case OPTION_LCORE:
        return parse_cores(name, text, o);
    case OPTION_LCORES:
        rc = parse_number(name, text, 1, CFC_LCORES_MAX, &number);
        o->lcore_count = (uint32_t)number;
        return rc;
    case 'h':
        o->is_help = true;
        return CONFCAST_OK;
    case OPTION_VERSION:
        o->is_version = true;
        return CONFCAST_OK;
    default:
        return parse_network(option, name, text, o);
    }
}

static int
check_lcores(struct cfc_options *o)
{
    if (o->lcore_count == 0) {
        o->lcore_count = o->core_count > 0 ? o->core_count : 1;
    }
    if (o->core_count > 0 && o->core_count != o->lcore_count) {
        cfc_log_error("--lcores %u and %u cores in --lcore: want one for each", o->lcore_count,
                      o->core_count);
        return CONFCAST_ERR_INVALID;
    }
    return CONFCAST_OK;
}

static int
check_together(struct cfc_options *o)
{
    const char *missing = NULL;

    if ((o->interface != NULL) + (o->vdev != NULL) + (o->allow != NULL) != 1) {
        cfc_log_error("want one of --port, --vdev and --allow (see --help)");
        return CONFCAST_ERR_INVALID;
    }
    if (o->rate_bytes > 0 && o->rate_floor_bytes > o->rate_bytes) {
        cfc_log_error("--rate-floor is above --rate");
        return CONFCAST_ERR_INVALID;
    }
    if (o->control_path == NULL) {
        missing = "--control PATH";
    } else if (o->key_path == NULL) {
        missing = "--session-key FILE";
    } else if (o->fleet_path == NULL &&
               (!cfc_net_is_given(o->group) || o->group_count == 0 || o->group_port == 0)) {
        missing = "--fleet FILE, or all of --group-base, --group-count and --udp-port";
    } else if (o->interface == NULL && !cfc_net_is_given(o->ip)) {
        missing = "--ip ADDRESS, since the port has no kernel interface to take it from";
    }
    if (missing != NULL) {
        cfc_log_error("want %s (see --help)", missing);
        return CONFCAST_ERR_INVALID;
    }
    return check_lcores(o);
}

void
cfc_options_default(struct cfc_options *out)
{
    memset(out, 0, sizeof(*out));
    out->ttl = TTL_DEFAULT;
    out->rate_bytes = (uint64_t)RATE_MBIT_DEFAULT * 125000;
    out->loss_quantile = LOSS_QUANTILE_DEFAULT;
    out->loss_max = LOSS_MAX_DEFAULT;
    out->outlier_loss = OUTLIER_LOSS_DEFAULT;
    out->scopes_max = SCOPES_MAX_DEFAULT;
    out->contents_max = CONTENTS_MAX_DEFAULT;
    out->consumers_max = CONSUMERS_MAX_DEFAULT;
}

int
cfc_options_parse(int argc, char *const *argv, struct cfc_options *out)
{
    int index = 0;
    int option;

    cfc_options_default(out);
    optind = 0; /* as glibc wants it for a new command line */
    while ((option = getopt_long(argc, argv, "h", long_options, &index)) != -1) {
        if (option == '?' || parse_option(option, long_options[index].name, optarg, out) != 0) {
            return CONFCAST_ERR_INVALID;
        }
    }
    if (out->is_help || out->is_version) {
        return CONFCAST_OK;
    }
    if (optind < argc && strcmp(argv[optind - 1], "--") != 0) {
        cfc_log_error("%s: not an option (see --help)", argv[optind]);
        return CONFCAST_ERR_INVALID;
    }
    out->eal = argv + optind;
    out->eal_count = argc - optind;
    return check_together(out);
}
