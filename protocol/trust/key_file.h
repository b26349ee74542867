/* Secret keys as files: one line that says what the key is for, so that one cannot be taken for
 * another.
 *
 *     confcast-key-1 KIND HEX\n
 *
 * KIND is root, release (Ed25519 seeds), session or report (keys of the fleet, mac.h); HEX is 64
 * lower-case digits.  This unit works on bytes; whoever opens the file sees to its mode (0600).  No
 * state; any thread. */
#ifndef CFC_TRUST_KEY_FILE_H
#define CFC_TRUST_KEY_FILE_H

#include <stddef.h>
#include <stdint.h>

#define CFC_KEY_KINDS(X)                                                                           \
    X(ROOT, "root")       /* signs fleet files; kept off-line */                                   \
    X(RELEASE, "release") /* signs heads, contents and FRESH; at the control plane only */         \
    X(SESSION, "session") /* session keys of consumers derive from it; engines have it */          \
    X(REPORT, "report")   /* report keys derive from it; at the control plane only */

enum cfc_key_kind {
#define CFC_ENUM_(name, word) CFC_KEY_##name,
    CFC_KEY_KINDS(CFC_ENUM_)
#undef CFC_ENUM_
    CFC_KEY_KIND_COUNT
};

enum {
    CFC_KEY_FILE_SIZE_MAX = 96, /* bytes of the longest line, with a NUL */
};

/* "root", "release", "session", "report". */
const char *cfc_key_kind_word(enum cfc_key_kind kind);

/* Reads the key of `kind` out of a file's bytes; one newline at the end may be missing.
 * CONFCAST_ERR_TYPE: a key of another kind; CONFCAST_ERR_VERSION: a later format;
 * CONFCAST_ERR_SYNTAX: no key file.  On every error `key` is zeroed. */
int cfc_key_file_parse(const void *bytes, size_t size, enum cfc_key_kind kind, uint8_t key[32]);

/* Writes the line, with its newline and a NUL; returns its size without the NUL.  The caller wipes
 * it. */
size_t cfc_key_file_write(enum cfc_key_kind kind, const uint8_t key[32],
                          char line[CFC_KEY_FILE_SIZE_MAX]);

#endif
