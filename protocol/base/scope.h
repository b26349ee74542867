/* Scope paths, consumer ids and labels: the names that the protocol carries.
 *
 * A scope path is 1 to 8 segments joined by '/', each matching [a-z0-9][a-z0-9._-]{0,62}; the first
 * segment is the tenant. Since a segment begins with a letter or a digit, "." and ".." are no
 * segments, and there are no look-alikes outside ASCII. */
#ifndef CFC_BASE_SCOPE_H
#define CFC_BASE_SCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/limits.h"

/* CONFCAST_OK, or CONFCAST_ERR_SCOPE_NAME: refuse the path and say so to whoever sent it.  `path`
 * need not end in NUL. */
int cfc_scope_check(const char *path, size_t size);

/* CONFCAST_OK or CONFCAST_ERR_INVALID.  1..128 bytes of [A-Za-z0-9._:@-]. */
int cfc_consumer_id_check(const char *id, size_t size);

/* CONFCAST_OK or CONFCAST_ERR_INVALID.  A key is 1..63 bytes of [A-Za-z0-9._/-], a value 0..63 of
 * the same. */
int cfc_label_check(const char *key, size_t key_size, const char *value, size_t value_size);

#endif
