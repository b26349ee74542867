/* The request target: a path and query parameters, decoded strictly.
 *
 * A target that two programs could read in two ways is refused: broken percent escapes, NUL and
 * control characters, escaped slashes, bytes outside ASCII in the path, "." and ".." segments,
 * parameters given twice, text that is not UTF-8.  No state, any thread. */
#ifndef CFC_API_TARGET_H
#define CFC_API_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CFC_TARGET_SIZE_MAX = 6144, /* bytes as sent: a path, and a message of 1,024 escaped bytes */
    CFC_TARGET_PARAMS_MAX = 8,
};

struct cfc_target_param {
    const char *name;
    const char *value; /* "" when there is no '=' */
};

struct cfc_target {
    char text[CFC_TARGET_SIZE_MAX + CFC_TARGET_PARAMS_MAX + 2]; /* what the pointers point into */
    const char *path;                                           /* begins with '/' */
    uint32_t param_count;
    struct cfc_target_param params[CFC_TARGET_PARAMS_MAX];
};

/* CONFCAST_OK; CONFCAST_ERR_LIMIT: longer than CFC_TARGET_SIZE_MAX, or too many parameters;
 * CONFCAST_ERR_INVALID: anything named above.  The request is to be refused. */
int cfc_target_parse(const char *raw, struct cfc_target *out);

/* The value of a parameter, or NULL when it was not given. */
const char *cfc_target_param(const struct cfc_target *target, const char *name);

/* Decimal without sign or leading zeroes.  CONFCAST_OK or CONFCAST_ERR_INVALID. */
int cfc_target_uint(const char *text, uint64_t max, uint64_t *out);

#endif
