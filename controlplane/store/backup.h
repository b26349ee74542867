/* Backups: a checkpoint of a store as one stream of bytes, and a store made from such a stream.
 *
 * All integers are little endian.
 *
 *   16  "confcast backup\n"
 *   u32 format, 1              u32 schema of the store      u32 files     u32 zero
 *   u64 epoch                  u64 sequence                 u64 unix time in ns
 *   then each file: u32 bytes of its name, its name, u64 bytes, its bytes
 *   32  SHA-256 over all of this, under the domain "confcast/v1/backup"
 *
 * The digest comes last, so that a stream that ends early, or was changed, is refused as a whole.
 * It is no signature: who can replace a backup can replace the store.
 *
 * A restored store is a fork of the one that was backed up: what was committed since is gone, and
 * consumers may have it.  So a restore raises the epoch and lifts every version above all that may
 * have been published (store/meta.h). */
#ifndef CFC_STORE_BACKUP_H
#define CFC_STORE_BACKUP_H

#include "controlplane/store/store.h"

enum {
    CFC_BACKUP_FORMAT = 1,
    CFC_BACKUP_FILE_COUNT_MAX = 65536,
    CFC_BACKUP_NAME_SIZE_MAX = 255,
};

/* How far a restore goes beyond the backup when nobody says what was seen: a day at 24,000 commits
 * a second, within the jump that consumers accept (CFC_VERSION_JUMP_MAX); and a million starts. */
#define CFC_BACKUP_SEQ_MARGIN   (UINT64_C(1) << 31)
#define CFC_BACKUP_EPOCH_MARGIN (UINT64_C(1) << 20)

struct cfc_backup;

struct cfc_backup_info {
    uint32_t schema;
    uint32_t file_count;
    uint64_t epoch;    /* of the owner when it was made */
    uint64_t sequence; /* of the last commit in it */
    uint64_t unix_ns;  /* when it was made */
};

/* Makes a checkpoint of a store in use and checks every block of it.  Any thread, also while others
 * use the store; the stream is then one thread's at a time.
 * CONFCAST_ERR_BUSY: a backup is under way: try later.  CONFCAST_ERR_CORRUPT: the store is damaged,
 * and the log names the file.  CONFCAST_ERR_NO_SPACE, _IO, _NO_MEMORY; CONFCAST_ERR_UNSUPPORTED by
 * a store in memory. */
int cfc_backup_open(struct cfc_store *store, uint64_t unix_ns, struct cfc_backup **backup);

const struct cfc_backup_info *cfc_backup_info(const struct cfc_backup *backup);

/* Bytes of the whole stream. */
uint64_t cfc_backup_size(const struct cfc_backup *backup);

/* The next bytes, at most `capacity`; *size 0 at the end.  CONFCAST_ERR_IO, _CORRUPT (a file got
 * shorter): give up. */
int cfc_backup_read(struct cfc_backup *backup, void *bytes, size_t capacity, size_t *size);

/* Removes the checkpoint.  NULL is fine. */
void cfc_backup_close(struct cfc_backup *backup);

struct cfc_restore_config {
    const char *backup_path;
    const char *data_path; /* must not exist, or be an empty folder */
    uint64_t epoch_seen;   /* highest that anybody saw; 0 = unknown: the margin above */
    uint64_t sequence_seen;
    void (*log)(void *arg, const char *line);
    void *log_arg;
};

struct cfc_restore_result {
    struct cfc_backup_info backup;
    uint64_t epoch;    /* now */
    uint64_t sequence; /* now, and the floor of all versions */
};

/* Makes a store from a backup.  It is made beside `data_path` and moved there as the last step, so
 * that a restore that was cut short leaves nothing that could be started; the next one cleans up.
 * CONFCAST_ERR_EXISTS: there is a store already.  CONFCAST_ERR_DIGEST: the backup is torn or was
 * changed.  CONFCAST_ERR_SCHEMA: made by a newer confcast.  CONFCAST_ERR_UNSUPPORTED: no backup of
 * ours.  CONFCAST_ERR_INVALID: what was seen is above 2^52, or a path is too long.
 * CONFCAST_ERR_CORRUPT, _NO_SPACE, _IO, _NO_MEMORY.  Nothing is left at data_path on any error. */
int cfc_backup_restore(const struct cfc_restore_config *config, struct cfc_restore_result *result);

/* Raises epoch and versions of a store in place, for one that was put back by other means.
 * `sequence_seen` and `epoch_seen` as above, and what consumers proved counts too.  Errors of
 * opening and of a commit. */
int cfc_backup_lift(const struct cfc_restore_config *config, struct cfc_restore_result *result);

#endif
