/* Key material of a fleet: made once by `confcastctl key`, loaded by the daemon.
 *
 * A key folder holds root.key, release.key, session.key, report.key (mode 0600) and fleet.json
 * (0644).  docs/fleet-file.md says who needs which; root.key belongs off-line once fleet.json is
 * signed.  Nothing here overwrites a file; rotate.h replaces the
 * fleet file. */
#ifndef CFC_KEYS_KEYS_H
#define CFC_KEYS_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/trust/credential.h"
#include "protocol/trust/fleet.h"
#include "protocol/trust/key_file.h"
#include "protocol/trust/keyring.h"
#include "protocol/trust/mac.h"

#define CFC_KEYS_FLEET_FILE "fleet.json"

enum {
    CFC_KEYS_WHY_SIZE = 320, /* bytes for a sentence about what failed */
};

struct cfc_keys_plan {
    const char *dir;            /* made (mode 0755) when it is not there */
    const char *fleet;          /* name */
    const char *group_base;     /* first multicast group */
    uint32_t group_count;       /* data groups */
    uint16_t port;              /* UDP port of the groups, and of engines without one */
    const char *const *engines; /* "IP" or "IP:PORT", at least one */
    size_t engine_count;
    const char *const *pull_urls;
    size_t pull_url_count;
};

/* Makes a fleet's keys and its signed file.  fleet.json is written last: where it is, all of it is.
 * `why` gets a sentence on every error.  CONFCAST_ERR_EXISTS: the folder holds one of the files
 * already; CONFCAST_ERR_INVALID, _RANGE: an option is out of range; CONFCAST_ERR_IO, _NO_SPACE,
 * _NO_MEMORY. */
int cfc_keys_create(const struct cfc_keys_plan *plan, char why[CFC_KEYS_WHY_SIZE]);

/* Makes the credential of one consumer: *text is canonical JSON and a newline; the caller wipes and
 * frees it.  CONFCAST_ERR_INVALID: the id or a label is malformed; the errors of loading. */
int cfc_keys_enroll(const char *dir, const char *id, const struct cfc_credential_label *labels,
                    size_t label_count, char **text, size_t *size, char why[CFC_KEYS_WHY_SIZE]);

/* Loads one 32-byte secret of a key folder.  Errors of cfc_file_read() and cfc_key_file_parse(). */
int cfc_keys_load(const char *dir, enum cfc_key_kind kind, uint8_t key[32],
                  char why[CFC_KEYS_WHY_SIZE]);

/* The same for an Ed25519 key: CFC_KEY_ROOT or CFC_KEY_RELEASE. */
int cfc_keys_load_signing(const char *dir, enum cfc_key_kind kind, struct cfc_signing_key *key,
                          char why[CFC_KEYS_WHY_SIZE]);

/* Loads and verifies the folder's fleet file.  Errors of cfc_file_read() and cfc_fleet_parse(). */
int cfc_keys_load_fleet(const char *dir, struct cfc_fleet *fleet, char why[CFC_KEYS_WHY_SIZE]);

#endif
