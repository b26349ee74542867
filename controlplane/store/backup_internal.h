/* The layout of a backup, for backup.c and restore.c only; backup.h says what it means. */
#ifndef CFC_STORE_BACKUP_INTERNAL_H
#define CFC_STORE_BACKUP_INTERNAL_H

#include "controlplane/store/backup.h"

#define CFC_BACKUP_MAGIC  "confcast backup\n"
#define CFC_BACKUP_DOMAIN "confcast/v1/backup"

enum {
    CFC_BACKUP_MAGIC_SIZE = 16,
    CFC_BACKUP_HEADER_SIZE = 56,
    CFC_BACKUP_FILE_HEAD_SIZE = 12, /* besides the name */
};

/* A name that a backup may carry: of a file that the engine needs, without a path. */
bool cfc_backup_name_is_fine(const char *name);

#endif
