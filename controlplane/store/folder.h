/* The folder of a store on disk: what wrote it, who holds it, and how far it got.
 *
 *   format   one line with the schema version; read before anything is touched
 *   lock     held (flock) for as long as the folder is open
 *   floor    the last acknowledged sequence, mapped: tells a log that lost acknowledged commits
 *            from one whose last, never acknowledged record was torn
 *   db/      belongs to the engine
 *   backup/  a checkpoint on its way out; removed at the next start when it was left behind
 *
 * For controlplane/store/ only; belongs to the thread that uses the store. */
#ifndef CFC_STORE_FOLDER_H
#define CFC_STORE_FOLDER_H

#include "controlplane/store/internal.h"

struct cfc_store_folder {
    char path[CFC_STORE_PATH_MAX];
    uint64_t space_min_bytes;
    void (*log)(void *arg, const char *line);
    void *log_arg;
    bool is_made;   /* by the opening: it was not there */
    int lock_fd;    /* -1 = closed */
    uint8_t *floor; /* NULL = closed; the sequence and its complement */
};

/* Makes the folder where it is not there, checks the format, takes the lock, maps the floor.  The
 * fields up to log_arg are set, lock_fd is -1 and floor NULL.  CONFCAST_ERR_SCHEMA (nothing was
 * touched), _BUSY, _IO, _NO_SPACE; close it whatever came back. */
int cfc_store_folder_open(struct cfc_store_folder *folder);
void cfc_store_folder_close(struct cfc_store_folder *folder);

/* CONFCAST_OK, or CONFCAST_ERR_INVALID when the name does not fit. */
int cfc_store_folder_path(const struct cfc_store_folder *folder, const char *name,
                          char out[CFC_STORE_PATH_MAX]);
bool cfc_store_folder_has_space(const struct cfc_store_folder *folder);
/* What is in the folder will be found by its name after power loss, and the folder itself where the
 * opening made it.  CONFCAST_ERR_IO, _NO_SPACE. */
int cfc_store_folder_sync(const struct cfc_store_folder *folder);
/* The line that check at the opening wants; durable on return.  CONFCAST_ERR_IO, _NO_SPACE. */
int cfc_store_folder_write_format(struct cfc_store_folder *folder);
/* Removes a folder of plain files in this one, or with NULL what is left of this one: its files,
 * and itself when nothing else is in it.  What cannot be removed stays. */
void cfc_store_folder_remove(const struct cfc_store_folder *folder, const char *name);
/* Nothing is there, or an empty folder. */
bool cfc_store_path_is_free(const char *path);
/* 0 when nothing valid was noted. */
uint64_t cfc_store_folder_floor(const struct cfc_store_folder *folder);
void cfc_store_folder_set_floor(struct cfc_store_folder *folder, uint64_t seq);
/* One line to the log: the folder, what was being done, and why it failed. */
void cfc_store_folder_say(const struct cfc_store_folder *folder, const char *what,
                          const char *detail);

#endif
