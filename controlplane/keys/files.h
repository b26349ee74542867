/* Small files that matter: read with their mode checked, written whole or not at all, and over
 * another one only where that is said. */
#ifndef CFC_KEYS_FILES_H
#define CFC_KEYS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* "DIR/NAME" into `path`.  CONFCAST_ERR_LIMIT: too long. */
int cfc_file_path(const char *dir, const char *name, char *path, size_t capacity);

/* Reads a regular file of at most size_max bytes; *bytes is the caller's (free), with a NUL after
 * the last byte.  With is_secret, a file that anybody but its owner can touch, or that another user
 * (than us or root) owns, is refused.  Symbolic links are not followed.  CONFCAST_ERR_NOT_FOUND;
 * CONFCAST_ERR_AUTHORITY: mode or owner, or no regular file; CONFCAST_ERR_LIMIT; CONFCAST_ERR_IO;
 * CONFCAST_ERR_NO_MEMORY. */
int cfc_file_read(const char *path, size_t size_max, bool is_secret, char **bytes, size_t *size);

/* Creates a file with these bytes and mode, durable on return.  A crash leaves the whole file or
 * none.  CONFCAST_ERR_EXISTS: something of that name is there and was not touched;
 * CONFCAST_ERR_NO_SPACE; CONFCAST_ERR_IO: errno says why. */
int cfc_file_create(const char *path, const void *bytes, size_t size, mode_t mode);

/* The same, in place of a file that may be there: readers see the one or the other. */
int cfc_file_replace(const char *path, const void *bytes, size_t size, mode_t mode);

/* Makes what was renamed, linked or removed beside `path` durable.  CONFCAST_ERR_IO. */
int cfc_file_sync_folder(const char *path);

#endif
