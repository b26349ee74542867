/* A new release key for a fleet that runs, in three steps (docs/operators.md):
 *
 *   begin    makes release.next.key; the fleet file trusts both keys
 *   switch   release.key becomes the new one, release.previous.key keeps the old one; `back` undoes
 *            it
 *   retire   the fleet file trusts the new key alone; release.previous.key is removed
 *
 * A step that was cut short at any point is finished by doing it again: secrets are never missing,
 * and the fleet file is replaced whole.  Only begin and retire need the root key. */
#ifndef CFC_KEYS_ROTATE_H
#define CFC_KEYS_ROTATE_H

#include <stdint.h>

#include "controlplane/keys/keys.h"

enum cfc_rotate_step {
    CFC_ROTATE_BEGIN,
    CFC_ROTATE_SWITCH,
    CFC_ROTATE_BACK,
    CFC_ROTATE_RETIRE,
};

struct cfc_rotate_result {
    uint64_t sequence;                /* of the fleet file that is there now */
    uint8_t signing[CFC_KEY_ID_SIZE]; /* what release.key is now */
    uint8_t other[CFC_KEY_ID_SIZE];   /* the next, the previous, or the retired one */
};

/* `root_path` is the root key's file, NULL for the one in the folder; unused by switch and back.
 * `why` gets a sentence on every error.  CONFCAST_ERR_STATE: not the step that is due;
 * CONFCAST_ERR_NOT_FOUND: no root key there; CONFCAST_ERR_AUTHORITY: another fleet's root key, or a
 * secret that others can touch; CONFCAST_ERR_LIMIT: the fleet file has all the keys it can have;
 * the errors of loading; CONFCAST_ERR_IO, _NO_SPACE, _NO_MEMORY. */
int cfc_keys_rotate(const char *dir, const char *root_path, enum cfc_rotate_step step,
                    struct cfc_rotate_result *result, char why[CFC_KEYS_WHY_SIZE]);

#endif
