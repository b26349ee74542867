/* The store of the control plane: ordered keys, guarded batches, content-addressed blobs.
 *
 * A narrow table of functions with two implementations behind it (RocksDB, and one in memory for
 * tests) and a wrapper that injects faults.  Every implementation keeps to the limits of the
 * smallest engine that is planned (etcd), so that no caller learns to depend on more.
 *
 * The commit sequence number rises by at least one with each batch and is written in that very
 * batch: it is the version space of confcast.  Each value remembers the sequence of the batch that
 * wrote it, its mod_seq.
 *
 * A commit has two halves: cfc_store_stage() makes a batch visible, and cfc_store_sync() makes all
 * that is staged durable, so that many batches share one sync of the disk.  What is staged and not
 * yet durable must not be told to anybody.
 *
 * What it is not: it knows nothing of scopes, releases or JSON, and it does not lock.  One thread
 * at a time uses a store (the service, under its own mutex); only cfc_store_sync(),
 * cfc_store_durable_seq() and backups (backup.h) may run beside it in any thread.
 */
#ifndef CFC_STORE_STORE_H
#define CFC_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/trust/digest.h"

enum {
    CFC_STORE_BATCH_OPS_MAX = 2048,              /* compares, puts and deletes of one batch */
    CFC_STORE_BATCH_SIZE_MAX = 1024 * 1024,      /* bytes of their keys and values together */
    CFC_STORE_KEY_SIZE_MAX = 1024,               /* bytes of one key; a key has at least one */
    CFC_STORE_BLOB_CHUNK_SIZE = 256 * 1024,      /* bytes of one stored piece of a blob */
    CFC_STORE_BLOB_SIZE_MAX = 256 * 1024 * 1024, /* bytes of one blob */
    CFC_STORE_SCHEMA = 1,                        /* the schema version that this build writes */
};

struct cfc_store;
struct cfc_checkpoint;

/* A value that was read.  The bytes are on the heap and belong to the caller until
 * cfc_store_value_free(). */
struct cfc_store_value {
    uint8_t *bytes;   /* never NULL after a successful get; one NUL follows the last byte */
    size_t size;      /* bytes, without that NUL */
    uint64_t mod_seq; /* sequence of the batch that wrote it */
};

/* One pair during a scan; everything is borrowed and valid during the call only. */
struct cfc_store_item {
    const uint8_t *key;
    size_t key_size;
    const uint8_t *value;
    size_t value_size;
    uint64_t mod_seq;
};

/* Called per pair in the byte order of keys.  Anything but 0 ends the scan and is its result.  It
 * must not use the store. */
typedef int (*cfc_store_scan_fn)(void *arg, const struct cfc_store_item *item);

enum cfc_store_op_kind {
    CFC_STORE_COMPARE_VALUE,  /* the key exists with exactly this value */
    CFC_STORE_COMPARE_ABSENT, /* the key does not exist */
    CFC_STORE_COMPARE_SEQ,    /* the key exists and its mod_seq is this */
    CFC_STORE_PUT,
    CFC_STORE_DELETE, /* a key that is not there is fine */
};

struct cfc_store_op {
    enum cfc_store_op_kind kind;
    uint8_t *bytes; /* the key, then the value; owned by the batch */
    size_t key_size;
    size_t value_size;
    uint64_t mod_seq; /* COMPARE_SEQ only */
};

/* A guarded batch under construction.  The functions that add to it copy what they are given; the
 * first error sticks and is what cfc_store_commit() returns, so a builder checks once. */
struct cfc_store_batch {
    struct cfc_store_op *ops; /* on the heap */
    size_t op_count;
    size_t op_capacity;
    size_t size;      /* bytes of keys and values so far */
    uint64_t seq_min; /* the sequence of this batch will be at least this (restore); 0 = next */
    /* The caller has seen what is in the store up to this sequence, so that as long as it is the
     * last one each COMPARE_SEQ holds and is not looked up; 0 = it says nothing of the kind. */
    uint64_t seen_seq;
    int error; /* CONFCAST_OK, or the first CONFCAST_ERR_LIMIT, _INVALID or _NO_MEMORY */
};

void cfc_store_batch_init(struct cfc_store_batch *batch);
/* Frees what the batch holds and formats it anew: every batch that something was added to needs it.
 */
void cfc_store_batch_clear(struct cfc_store_batch *batch);

/* Each takes a key of 1..CFC_STORE_KEY_SIZE_MAX bytes.  At most one put or delete per key; compares
 * see the state before the batch. */
void cfc_store_compare_value(struct cfc_store_batch *batch, const void *key, size_t key_size,
                             const void *value, size_t value_size);
void cfc_store_compare_absent(struct cfc_store_batch *batch, const void *key, size_t key_size);
void cfc_store_compare_seq(struct cfc_store_batch *batch, const void *key, size_t key_size,
                           uint64_t mod_seq);
void cfc_store_put(struct cfc_store_batch *batch, const void *key, size_t key_size,
                   const void *value, size_t value_size);
/* The value is `head` followed by `tail`. */
void cfc_store_put2(struct cfc_store_batch *batch, const void *key, size_t key_size,
                    const void *head, size_t head_size, const void *tail, size_t tail_size);
void cfc_store_delete(struct cfc_store_batch *batch, const void *key, size_t key_size);

/* Whether it puts or deletes anything. */
bool cfc_store_batch_has_writes(const struct cfc_store_batch *batch);

/* The seam.  Implementations embed `struct cfc_store` as their first member; callers use the
 * functions below it, which check limits once for all implementations. */
struct cfc_store_ops {
    int (*get)(struct cfc_store *store, const void *key, size_t key_size,
               struct cfc_store_value *value);
    int (*scan)(struct cfc_store *store, const void *prefix, size_t prefix_size, const void *from,
                size_t from_size, cfc_store_scan_fn fn, void *arg);
    int (*stage)(struct cfc_store *store, const struct cfc_store_batch *batch, uint64_t *seq);
    int (*sync)(struct cfc_store *store);
    int (*settle)(struct cfc_store *store);
    uint64_t (*seq)(const struct cfc_store *store);
    uint64_t (*durable_seq)(const struct cfc_store *store);
    /* Pieces of blobs live beside the ordered keys and have no sequence.  They become durable
     * before any batch that is staged later. */
    int (*piece_put)(struct cfc_store *store, const void *key, size_t key_size, const void *bytes,
                     size_t size);
    int (*piece_get)(struct cfc_store *store, const void *key, size_t key_size,
                     struct cfc_store_value *value);
    int (*piece_delete)(struct cfc_store *store, const void *key, size_t key_size);
    /* For backup.c: a checkpoint, checked from end to end, and its removal. */
    int (*checkpoint)(struct cfc_store *store, struct cfc_checkpoint *out);
    void (*checkpoint_end)(struct cfc_store *store);
    uint64_t (*size)(struct cfc_store *store); /* NULL = not known */
    void (*close)(struct cfc_store *store);
};

struct cfc_store {
    const struct cfc_store_ops *ops;
};

/* The errors of every function below, besides those it names:
 *   CONFCAST_ERR_CORRUPT   stored bytes are damaged; the log names the file.  Stop and restore.
 *   CONFCAST_ERR_NO_SPACE  the disk is full and nothing was written.  Reads go on; try again later.
 *   CONFCAST_ERR_IO        the disk failed.  Whether a commit took place is unknown: compare
 *                          cfc_store_seq() after the next call that succeeds, and read again.
 *   CONFCAST_ERR_NO_MEMORY */

/* CONFCAST_OK or CONFCAST_ERR_NOT_FOUND. */
int cfc_store_get(struct cfc_store *store, const void *key, size_t key_size,
                  struct cfc_store_value *value);
void cfc_store_value_free(struct cfc_store_value *value);

/* Every key with this prefix, in byte order, from `from` on (inclusive; NULL, 0 = from the first).
 * What the scan sees is one consistent state.  CONFCAST_OK, or what `fn` returned. */
int cfc_store_scan(struct cfc_store *store, const void *prefix, size_t prefix_size,
                   const void *from, size_t from_size, cfc_store_scan_fn fn, void *arg);

/* All or nothing, durable on return.  `seq` gets the sequence of the batch.  The batch stays the
 * caller's.  CONFCAST_ERR_CONFLICT: a compare failed, nothing was written, read again.
 * CONFCAST_ERR_LIMIT / _INVALID: the batch was built wrongly or is too big; use a blob.  A batch
 * without any put or delete only compares and yields the current sequence. */
int cfc_store_commit(struct cfc_store *store, const struct cfc_store_batch *batch, uint64_t *seq);

/* The first half of a commit: all or nothing, visible on return to whoever uses the store, not yet
 * durable.  A crash before the next sync may take it back, together with all that was staged later
 * and nothing that was staged earlier.  Errors of cfc_store_commit(). */
int cfc_store_stage(struct cfc_store *store, const struct cfc_store_batch *batch, uint64_t *seq);

/* Bytes that its tables take, in memory and on disk, roughly; 0 = not known.  Any thread, beside
 * all other calls. */
uint64_t cfc_store_size(struct cfc_store *store);

/* The second half, for everything staged before the call.  Any thread, beside all other calls.
 * CONFCAST_ERR_IO, _NO_SPACE: nobody knows what is durable; the thread that uses the store calls
 * cfc_store_settle() next. */
int cfc_store_sync(struct cfc_store *store);

/* Finds out what became of staged batches after a sync that failed, by opening the database again.
 * CONFCAST_OK: all of them are durable; or another call has opened it since that failure, and
 * cfc_store_seq() tells what became of them.  CONFCAST_ERR_IO: some are not, or nobody knows yet;
 * read everything again once cfc_store_seq() is known, which the next call that succeeds tells. */
int cfc_store_settle(struct cfc_store *store);

/* The last sequence that a crash cannot take back.  Any thread. */
uint64_t cfc_store_durable_seq(const struct cfc_store *store);

/* The sequence of the last batch, staged ones included; 0 for a new store.  It falls only when
 * batches were lost, or nobody knows: after a failed write or sync, in any call. */
uint64_t cfc_store_seq(const struct cfc_store *store);

/* Content-addressed bytes of any size up to CFC_STORE_BLOB_SIZE_MAX; name and check are plain
 * SHA-256, which the caller has computed.  Putting what is there already writes nothing.
 * CONFCAST_ERR_LIMIT above the limit.  A blob is no part of a batch: put it first, then commit the
 * key that names it, which makes both durable; a crash in between leaves an unreferenced blob and
 * nothing worse. */
int cfc_store_put_blob(struct cfc_store *store, const struct cfc_digest *digest, const void *bytes,
                       size_t size);
/* CONFCAST_OK; CONFCAST_ERR_NOT_FOUND; CONFCAST_ERR_CORRUPT when the bytes do not match `digest`.
 */
int cfc_store_get_blob(struct cfc_store *store, const struct cfc_digest *digest,
                       struct cfc_store_value *value);
/* The same in parts, for those who let others in between: the size, CONFCAST_ERR_NOT_FOUND; and the
 * bytes from `offset`, a multiple of CFC_STORE_BLOB_CHUNK_SIZE, into `out`, at most so many:
 * CONFCAST_ERR_CORRUPT when they are not there.  The caller checks the digest. */
int cfc_store_blob_size(struct cfc_store *store, const struct cfc_digest *digest, uint64_t *size);
int cfc_store_get_blob_part(struct cfc_store *store, const struct cfc_digest *digest,
                            uint64_t offset, uint8_t *out, size_t size);
/* Deleting what is not there is fine. */
int cfc_store_delete_blob(struct cfc_store *store, const struct cfc_digest *digest);

/* NULL is fine. */
void cfc_store_close(struct cfc_store *store);

/* The store in memory: for unit tests.  CONFCAST_OK or CONFCAST_ERR_NO_MEMORY. */
int cfc_store_mem_open(struct cfc_store **store);

struct cfc_store_rocksdb_config {
    const char *path;         /* a folder; made (mode 0700) when it is not there */
    uint64_t space_min_bytes; /* commits answer NO_SPACE below this much free disk; 0 = 16 MiB */
    /* Where words about a damaged or failing disk go (one line, with the file's name, no newline);
     * NULL = nowhere.  Called in the thread that uses the store. */
    void (*log)(void *arg, const char *line);
    void *log_arg;
};

/* CONFCAST_ERR_BUSY: another process holds this store: stop.  CONFCAST_ERR_SCHEMA: written by a
 * newer confcast, and not touched.  CONFCAST_ERR_CORRUPT / _IO / _NO_SPACE / _NO_MEMORY as above.
 * `config->path` is copied. */
int cfc_store_rocksdb_open(const struct cfc_store_rocksdb_config *config, struct cfc_store **store);

/* Wraps a store and fails calls on purpose.  Owns `inner`: closing closes both. */
struct cfc_store_fault {
    uint64_t fail_at; /* the n-th call from now (1 = the next) fails; 0 = none.  get, scan, stage,
                       * sync and the piece functions count */
    bool is_lasting;  /* every later call fails too */
    int error;        /* what it fails with */
    bool is_after;    /* a failing write or sync takes effect and then reports the error */
    uint64_t call_count; /* calls seen since the plan was set */
};
int cfc_store_fault_open(struct cfc_store *inner, struct cfc_store **store);
/* The plan of a store made by cfc_store_fault_open(): set it at any time between calls. */
struct cfc_store_fault *cfc_store_fault_plan(struct cfc_store *store);

/* A test hook: called with the name of each step of a write ("commit:compared", "commit:staged",
 * "commit:written", "blob:piece", "blob:complete", "backup:checkpoint", "restore:lifted", ...) so
 * that crash tests can stop the process right there.  NULL (the default) costs one load. */
extern void (*cfc_store_crash_hook)(const char *point);

#endif
