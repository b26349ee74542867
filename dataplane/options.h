/* What the engine is started with: the command line, and what follows from it (fleet file, session
 * key, the address of the interface).  Reads files and asks the kernel for addresses; start-up
 * only. */
#ifndef CFC_DATAPLANE_OPTIONS_H
#define CFC_DATAPLANE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/lcore.h"
#include "dataplane/net_header.h"
#include "protocol/trust/mac.h"

struct cfc_options {
    bool is_help;
    bool is_version;

    /* The port: a driver on a kernel interface, or a vdev, or a PCI address. */
    char driver[32];           /* "" when vdev or allow is set */
    const char *interface;     /* NULL when the port sits on none */
    uint32_t interface_mtu;    /* 0 without an interface */
    bool is_kernel_answering;  /* the kernel has the address too and answers ARP for it */
    bool is_doorbell_possible; /* the kernel sees our datagrams as well */
    bool is_xdp;          /* net_af_xdp: our XDP program takes what is ours, the kernel the rest */
    char xdp_program[32]; /* its path, once cfc_xdp_prepare() has put it there */
    const char *vdev;
    const char *allow;
    uint16_t mtu;   /* 0: the port's own */
    uint16_t burst; /* 0: what the PMD recommends */
    bool is_linear; /* never chain */

    uint8_t ip[CFC_IP_SIZE];    /* own address, IPv4 mapped into IPv6; all zero: not given */
    uint16_t port;              /* own UDP port */
    uint8_t group[CFC_IP_SIZE]; /* first data group; likewise */
    uint32_t group_count;
    uint16_t group_port;
    uint8_t ttl; /* of multicast */

    const char *control_path;
    const char *fleet_path; /* NULL when groups and port were given */
    const char *key_path;
    struct cfc_key fleet_key;

    uint64_t rate_bytes;        /* multicast, UDP payload a second; 0: no pacing */
    uint64_t repair_rate_bytes; /* 0: no limit */
    uint64_t
        rate_floor_bytes;   /* that reported loss slows multicast to; 0: a sixteenth of the rate */
    uint32_t loss_quantile; /* percent of the receivers that decide, 1..99 */
    uint32_t loss_max;      /* percent that they may lose before multicast slows down, 1..100 */
    uint32_t outlier_loss;  /* percent from which one may be told to pull, 0..100; 0: nobody is */
    uint32_t scopes_max;
    uint32_t contents_max;
    uint32_t consumers_max;

    const char *metrics; /* where Prometheus may ask, or NULL */
    bool is_huge_refused;
    uint32_t lcore_count;           /* 1..CFC_LCORES_MAX */
    uint32_t core_count;            /* lcore_count, or 0: they float over all of ours */
    uint16_t cores[CFC_LCORES_MAX]; /* that the lcores are bound to */
    int eal_count;
    char *const *eal; /* arguments after -- */
};

/* Everything that has a default; no port, no addresses, no fleet. */
void cfc_options_default(struct cfc_options *out);

/* Parses the command line; says on standard error what is wrong.  CONFCAST_OK (look at is_help and
 * is_version first) or CONFCAST_ERR_INVALID.  Strings point into argv. */
int cfc_options_parse(int argc, char *const *argv, struct cfc_options *out);

/* Reads the fleet file and the key, and fills in addresses that were not given.  Logs what is
 * wrong: INVALID, IO, NOT_FOUND (no address on the interface), AUTHORITY (the address is none of
 * the fleet's engines'), or an error of cfc_fleet_parse(). */
int cfc_options_complete(struct cfc_options *options);

void cfc_options_help(void);

enum {
    CFC_OPTIONS_IP_TEXT_SIZE = 48
};

/* An address as people write it; IPv6 in brackets. */
void cfc_options_ip_text(const uint8_t ip[CFC_IP_SIZE], char text[CFC_OPTIONS_IP_TEXT_SIZE]);

#endif
