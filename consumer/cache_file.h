/* Whole files, read and replaced safely inside one directory.  No state; any thread. */
#ifndef CFC_CONSUMER_CACHE_FILE_H
#define CFC_CONSUMER_CACHE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CFC_FILE_TEMPORARY_SIZE = 48
};

/* Opens a directory below `parent_fd` (AT_FDCWD for a path, which may be a symbolic link), making
 * it with mode 0700 when it is missing and `is_made` allows it; *is_new says whether it was made.
 * It must be ours and writable by nobody else: AUTHORITY otherwise.  NOT_FOUND, NO_SPACE, IO. */
int cfc_dir_open(int parent_fd, const char *name, bool is_made, int *fd, bool *is_new);

/* What was created, renamed or removed in a directory survives power loss.  IO. */
int cfc_dir_sync(int dir_fd);

/* Removes what a process left behind that died while it wrote. */
void cfc_dir_clean(int dir_fd);

/* Reads a whole regular file of at most `size_max` bytes into heap memory (free) that is one byte
 * longer and ends in NUL.  NOT_FOUND; AUTHORITY: a symbolic link, no regular file, not ours or
 * writable by others; LIMIT; IO; NO_MEMORY. */
int cfc_file_read(int dir_fd, const char *name, size_t size_max, uint8_t **bytes, size_t *size);

/* Replaces a file: written beside it under a new name, synced, renamed.  The folder is not synced:
 * cfc_dir_sync().  On an error the old file is whole, and nothing else is left.  NO_SPACE, IO. */
int cfc_file_replace(int dir_fd, const char *name, const void *bytes, size_t size);

/* The first half of that: a synced file under a name of its own, left open for writing.  The caller
 * renames it or removes it.  NO_SPACE, IO. */
int cfc_file_create(int dir_fd, const void *bytes, size_t size, int *fd,
                    char temporary[CFC_FILE_TEMPORARY_SIZE]);

/* Writes all of it at an offset.  NO_SPACE, IO. */
int cfc_file_write_at(int fd, const void *bytes, size_t size, uint64_t offset);

#endif
