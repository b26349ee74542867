/* Whole files, read and replaced safely inside one directory.  No state; any thread. */
#ifndef CFC_CONSUMER_CACHE_FILE_H
#define CFC_CONSUMER_CACHE_FILE_H

#include <stddef.h>
#include <stdint.h>

/* Opens a directory below `parent_fd` (AT_FDCWD for a path), making it with mode 0700 when it is
 * missing.  It must be ours and writable by nobody else: AUTHORITY otherwise.  IO. */
int cfc_dir_open(int parent_fd, const char *name, int *fd);

/* Reads a whole regular file of at most `size_max` bytes into heap memory (free) that is one byte
 * longer and ends in NUL.  NOT_FOUND; AUTHORITY: a symbolic link, no regular file, not ours or
 * writable by others; LIMIT; IO; NO_MEMORY. */
int cfc_file_read(int dir_fd, const char *name, size_t size_max, uint8_t **bytes, size_t *size);

/* Replaces a file: written beside it under a new name, synced, renamed.  The folder is not synced:
 * cfc_dir_sync().  On an error the old file is whole, and nothing else is left.  NO_SPACE, IO. */
int cfc_file_replace(int dir_fd, const char *name, const void *bytes, size_t size);

int cfc_dir_sync(int dir_fd);

#endif
