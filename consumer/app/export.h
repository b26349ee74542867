/* Plain JSON files of what scopes serve, for programs that read files: EXPORT_DIR/<scope>.json,
 * canonical (RFC 8785), replaced whole by rename, never removed. */
#ifndef CFC_AGENT_EXPORT_H
#define CFC_AGENT_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Opens the directory, which is made with mode 0755 when it is missing (its parent must be there).
 * It must be ours and writable by nobody else.  *fd is the caller's.  NOT_FOUND, AUTHORITY,
 * NO_SPACE, IO. */
int cfc_export_open(const char *dir, int *fd);

/* Makes the file of `scope`, and the directories above it with mode 0755, hold `json`; a file that
 * holds it already is left alone.  It is on disk, and its name as well, when this returns OK: with
 * `is_doubtful` what is there already is synced as well, as after an error, or when another process
 * wrote it.  AUTHORITY: something in the way is not ours, or not a directory; NO_SPACE, NO_MEMORY,
 * IO.  On an error the old file is whole. */
int cfc_export_write(int dir_fd, const char *scope, mode_t mode, const char *json, size_t size,
                     bool is_doubtful);

#endif
