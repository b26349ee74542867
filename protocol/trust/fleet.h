/* The fleet file: what a consumer, an engine and the control plane must know of each other before
 * the first packet, signed by the fleet's root key.  docs/fleet-file.md gives its members and the
 * signed form.
 *
 * This unit works on bytes: reading and writing the file, and remembering the highest sequence
 * seen, is the caller's.  Nothing of an unverified file is handed out.  No state; any thread. */
#ifndef CFC_TRUST_FLEET_H
#define CFC_TRUST_FLEET_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/limits.h"
#include "protocol/trust/keyring.h"

#define CFC_FLEET_FORMAT "confcast-fleet-1"

enum {
    CFC_FLEET_FILE_SIZE_MAX = 65536,
    CFC_FLEET_NAME_SIZE_MAX = 63,
    CFC_FLEET_ENGINES_MAX = 8,
    CFC_FLEET_PULL_URLS_MAX = 8,
    CFC_FLEET_URL_SIZE_MAX = 255,
};

struct cfc_fleet_address {
    uint8_t family;    /* 4 or 6 */
    uint8_t bytes[16]; /* network order; IPv4 uses the first four, the others are zero */
    uint16_t port;     /* UDP, host order */
};

struct cfc_fleet {
    char name[CFC_FLEET_NAME_SIZE_MAX + 1];
    uint64_t
        sequence; /* rises with every new file of the fleet; refuse one below the highest seen */
    uint8_t root_key[CFC_PUBLIC_KEY_SIZE];
    struct cfc_fleet_address group_base; /* first data group; its port is the port of all groups */
    uint32_t group_count;                /* data groups, 1..CFC_GROUP_COUNT_MAX */
    uint32_t engine_count;               /* 1..CFC_FLEET_ENGINES_MAX */
    struct cfc_fleet_address engines[CFC_FLEET_ENGINES_MAX]; /* multicast sources; unicast up */
    uint32_t pull_url_count;
    char pull_urls[CFC_FLEET_PULL_URLS_MAX][CFC_FLEET_URL_SIZE_MAX + 1];
    struct cfc_keyring release_keys; /* ready for cfc_keyring_verifier() */
};

/* Parses and verifies a fleet file into `out` (about 70 KB: not for a stack).  `pinned_root` is the
 * root key that the caller already trusts (32 bytes, from its credential), or NULL to trust the
 * file's own, which is for tools that only look.
 *
 * CONFCAST_ERR_SIGNATURE: not signed by the root key that it names, or altered;
 * CONFCAST_ERR_AUTHORITY: another root than the pinned one; CONFCAST_ERR_VERSION: a format that
 * this build does not know; any error of cfc_strict_load(), CONFCAST_ERR_TYPE or
 * CONFCAST_ERR_RANGE: malformed; CONFCAST_ERR_NO_MEMORY.  On every error `out` is zeroed, and the
 * caller keeps the file that it had. */
int cfc_fleet_parse(const void *bytes, size_t size, const uint8_t *pinned_root,
                    struct cfc_fleet *out);

/* Completes an unsigned fleet file (all members but root_key and signature) with the root's key and
 * signature and gives its canonical form in *out, NUL-terminated, which the caller frees with
 * free(). What comes out has been read back by cfc_fleet_parse(), whose errors this returns. */
int cfc_fleet_seal(const void *bytes, size_t size, const struct cfc_signing_key *root, char **out,
                   size_t *out_size);

/* The group that carries a scope: base + (scope_id mod count). */
void cfc_fleet_group(const struct cfc_fleet *fleet, uint64_t scope_id,
                     struct cfc_fleet_address *out);

/* The group of FRESH and STATUS: base + count. */
void cfc_fleet_control_group(const struct cfc_fleet *fleet, struct cfc_fleet_address *out);

/* Parses "10.0.0.1", "10.0.0.1:7500", "ff35::1" or "[ff35::1]:7500"; port_default serves where none
 * is given.  CONFCAST_ERR_INVALID for anything else, port 0 included. */
int cfc_fleet_address_parse(const char *text, uint16_t port_default, struct cfc_fleet_address *out);

#endif
