/* The inside of the store on RocksDB, for the files that make it up.  For controlplane/store/ only.
 *
 * The thread that uses the store owns the database handle.  Other threads (a sync, a backup) pin
 * it, which keeps it open: closing waits for them. */
#ifndef CFC_STORE_STORE_ROCKSDB_H
#define CFC_STORE_STORE_ROCKSDB_H

#include <pthread.h>
#include <rocksdb/c.h>
#include <stdatomic.h>

#include "controlplane/store/folder.h"
#include "controlplane/store/internal.h"
#include "controlplane/store/staged.h"

enum {
    CFC_STORE_SPACE_LOOK_EVERY_BYTES = 1 << 20
};

struct cfc_store_rocksdb {
    struct cfc_store base;
    struct cfc_store_folder folder;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *write_unsynced;
    rocksdb_readoptions_t *read;
    rocksdb_t *db;           /* NULL after a failure, until a later call can open it again */
    bool is_read_only;       /* opened so, since the disk was full */
    atomic_ullong seq;       /* last batch, staged ones included */
    atomic_ullong durable;   /* last sequence known to be durable */
    atomic_uint open_count;  /* how often the database was opened */
    atomic_uint failed_open; /* which of these the last sync that failed saw */
    atomic_bool has_failed;  /* such a sync is not settled yet */
    pthread_mutex_t lock;    /* guards what follows, the floor, and changes of `db` */
    pthread_cond_t unpinned;
    unsigned pin_count;
    bool has_checkpoint;       /* a backup is under way */
    atomic_size_t unseen_size; /* bytes of writes since somebody looked at the free space */
    /* Batches that the database lacks: those of the next write, and those that are being written.
     * Whoever writes them holds push_lock throughout, which also guards the last two (opening sets
     * them, while nobody has the database); staged_lock is held for moments only, and is taken
     * within push_lock. */
    pthread_mutex_t push_lock;
    pthread_mutex_t staged_lock;
    struct cfc_staged staged;
    struct cfc_staged under_way;
    uint64_t written_seq; /* last batch that the database has */
    bool is_broken;       /* a write failed: none until it is settled */
};

void cfc_store_rocksdb_set_options(rocksdb_options_t *options, rocksdb_readoptions_t *read);

/* The error of a sentence of RocksDB, which is logged and freed. */
int cfc_store_rocksdb_error(const struct cfc_store_folder *folder, const char *what, char *text);

/* NULL when the database is not open. */
rocksdb_t *cfc_store_rocksdb_pin(struct cfc_store_rocksdb *rocks);
void cfc_store_rocksdb_unpin(struct cfc_store_rocksdb *rocks);

/* Closes the database, once nobody pins it, and puts another one in its place; NULL = none. */
void cfc_store_rocksdb_set_db(struct cfc_store_rocksdb *rocks, rocksdb_t *db);

/* Opens the database and learns its sequence.  The log of RocksDB tolerates a torn last record,
 * since a power loss may tear what was never acknowledged; the floor tells that from a damaged log
 * that lost what was.  Opening for writing moves what the log kept into new files, durably; opening
 * for reading does not, so nothing more counts as durable then.  Errors of
 * store.h. */
int cfc_store_rocksdb_open_db(struct cfc_store_rocksdb *rocks, bool is_read_only);

/* After a failure RocksDB refuses writes until it is opened anew, which also makes what its log
 * kept durable in new files (an fsync that failed must never be tried again on the same data).  On
 * a full disk it can be opened for reading only.  Both for the thread that uses the store, with the
 * errors of store.h; before a write of `size` bytes the free space is looked at, once per sync or
 * per CFC_STORE_SPACE_LOOK_EVERY_BYTES: CONFCAST_ERR_NO_SPACE. */
int cfc_store_rocksdb_ensure_readable(struct cfc_store_rocksdb *rocks);
int cfc_store_rocksdb_ensure_writable(struct cfc_store_rocksdb *rocks, size_t size);

/* What this sequence and all below it name is durable now. */
void cfc_store_rocksdb_set_durable(struct cfc_store_rocksdb *rocks, uint64_t seq);

/* Reads every block of the database at found->path, and what its sequence and epoch are.
 * CONFCAST_ERR_CORRUPT, _IO. */
int cfc_store_rocksdb_inspect(const struct cfc_store_folder *folder, struct cfc_checkpoint *found);

/* ops->checkpoint and ops->checkpoint_end. */
int cfc_store_rocksdb_checkpoint(struct cfc_store *store, struct cfc_checkpoint *out);
void cfc_store_rocksdb_checkpoint_end(struct cfc_store *store);

#endif
