/* The credential of one consumer: its id, its two secret keys and the root that it trusts.
 * docs/fleet-file.md gives the members.
 *
 * This unit works on bytes; the file belongs to its owner alone (mode 0600), which the caller
 * checks. No state; any thread. */
#ifndef CFC_TRUST_CREDENTIAL_H
#define CFC_TRUST_CREDENTIAL_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/limits.h"
#include "protocol/trust/fleet.h"
#include "protocol/trust/mac.h"

#define CFC_CREDENTIAL_FORMAT        "confcast-credential-1"
#define CFC_CREDENTIAL_FILE_SIZE_MAX 16384

struct cfc_credential_label {
    char key[CFC_LABEL_SIZE_MAX + 1];
    char value[CFC_LABEL_SIZE_MAX + 1];
};

struct cfc_credential {
    char id[CFC_CONSUMER_ID_SIZE_MAX + 1];
    char fleet[CFC_FLEET_NAME_SIZE_MAX + 1];                 /* name of the fleet it was made for */
    uint8_t root_key[CFC_PUBLIC_KEY_SIZE];                   /* pin for cfc_fleet_parse() */
    struct cfc_key session_key;                              /* towards engines; secret */
    struct cfc_key report_key;                               /* towards the control plane; secret */
    uint32_t label_count;                                    /* 0..CFC_LABEL_COUNT_MAX */
    struct cfc_credential_label labels[CFC_LABEL_COUNT_MAX]; /* sorted by key */
};

/* Parses a credential.  Any error of cfc_strict_load(), CONFCAST_ERR_VERSION, _TYPE, _RANGE or
 * _INVALID (an id or label outside its grammar): malformed, and `out` is zeroed; get a new one from
 * whoever enrolled the consumer. */
int cfc_credential_parse(const void *bytes, size_t size, struct cfc_credential *out);

/* The canonical form of a credential, NUL-terminated; the caller wipes and frees it.  Errors are
 * those of cfc_credential_parse(), by which the text has been read back. */
int cfc_credential_write(const struct cfc_credential *credential, char **out, size_t *out_size);

#endif
