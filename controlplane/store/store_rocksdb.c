/* The store on RocksDB.  In the database "k" + key holds a value behind its mod_seq, "p" + key a
 * piece of a blob, "s" the sequence of the last commit. */
#include "controlplane/store/store_rocksdb.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"

enum {
    MOD_SEQ_SIZE = 8,
    STORE_KEY_SIZE_MAX = CFC_STORE_KEY_SIZE_MAX + 1,
    SPACE_MIN_DEFAULT_BYTES = 16 * 1024 * 1024,
    COUNTERS_OFF = 1,           /* PerfLevel::kDisable */
    STAGED_BYTES_MAX = 4 << 20, /* then they are written without waiting for a sync */
};

static int
error_of(const struct cfc_store_rocksdb *rocks, const char *what, char *text)
{
    return cfc_store_rocksdb_error(&rocks->folder, what, text);
}

/* key[] = the table's letter and the caller's key. */
static size_t
table_key(char key[STORE_KEY_SIZE_MAX], char table, const void *name, size_t name_size)
{
    assert(name_size < STORE_KEY_SIZE_MAX);
    key[0] = table;
    memcpy(key + 1, name, name_size);
    return name_size + 1;
}

/* RocksDB counts every comparison of two keys in thread-local storage unless the thread turns that
 * off: a tenth of the instructions of a put. */
static void
stop_counting(void)
{
    rocksdb_set_perf_level(COUNTERS_OFF);
}

static int
rocks_read(struct cfc_store_rocksdb *rocks, char table, const void *name, size_t name_size,
           size_t prefix_size, struct cfc_store_value *value)
{
    char key[STORE_KEY_SIZE_MAX];
    size_t key_size = table_key(key, table, name, name_size);
    rocksdb_pinnableslice_t *slice;
    const char *bytes;
    char *text = NULL;
    size_t size;
    int error = cfc_store_rocksdb_ensure_readable(rocks);

    if (error != CONFCAST_OK) {
        return error;
    }
    stop_counting();
    slice = rocksdb_get_pinned(rocks->db, rocks->read, key, key_size, &text);
    if (text != NULL) {
        return error_of(rocks, "reading", text);
    }
    if (slice == NULL) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    bytes = rocksdb_pinnableslice_value(slice, &size);
    if (size < prefix_size) {
        error = CONFCAST_ERR_CORRUPT;
    } else {
        error = cfc_store_value_set(value, bytes + prefix_size, size - prefix_size,
                                    prefix_size > 0 ? cfc_get_u64((const uint8_t *)bytes) : 0);
    }
    rocksdb_pinnableslice_destroy(slice);
    return error;
}

/* CONFCAST_ERR_AGAIN: no batch that the database lacks has written this key. */
static int
read_staged(struct cfc_store_rocksdb *rocks, const void *name, size_t name_size,
            struct cfc_store_value *value)
{
    char key[STORE_KEY_SIZE_MAX];
    size_t key_size = table_key(key, 'k', name, name_size);
    const struct cfc_staged_value *found;
    int error = CONFCAST_ERR_AGAIN;

    pthread_mutex_lock(&rocks->staged_lock);
    found = cfc_staged_find(&rocks->staged, key, key_size);
    if (found == NULL) {
        found = cfc_staged_find(&rocks->under_way, key, key_size);
    }
    if (found != NULL && found->value == NULL) {
        error = CONFCAST_ERR_NOT_FOUND;
    } else if (found != NULL) {
        error = cfc_store_value_set(value, found->value + MOD_SEQ_SIZE,
                                    found->value_size - MOD_SEQ_SIZE, cfc_get_u64(found->value));
    }
    pthread_mutex_unlock(&rocks->staged_lock);
    return error;
}

static int
rocks_get(struct cfc_store *store, const void *key, size_t key_size, struct cfc_store_value *value)
{
    struct cfc_store_rocksdb *rocks = (struct cfc_store_rocksdb *)store;
    int error = cfc_store_rocksdb_ensure_readable(rocks);

    if (error == CONFCAST_OK) {
        error = read_staged(rocks, key, key_size, value);
    }
    return error == CONFCAST_ERR_AGAIN ? rocks_read(rocks, 'k', key, key_size, MOD_SEQ_SIZE, value)
                                       : error;
}

/* ---- What is staged ---------------------------------------------------------------------------
 * Batches gather in memory, where reads find them, and are written to the database together: by the
 * thread that syncs, so that whoever stages does not wait for the database, and a key that many of
 * them wrote is written once.
 */

/* Opens the database again after a failed write or sync: what is in its log then is durable, what
 * was not written is gone.  CONFCAST_OK when that is everything up to `seq`.  Until it can be
 * opened nothing counts that is not known to be durable. */
static int
settle(struct cfc_store_rocksdb *rocks, uint64_t seq)
{
    int error;

    cfc_store_rocksdb_set_db(rocks, NULL);
    pthread_mutex_lock(&rocks->staged_lock);
    cfc_staged_clear(&rocks->staged);
    cfc_staged_clear(&rocks->under_way);
    pthread_mutex_unlock(&rocks->staged_lock);
    atomic_store(&rocks->seq, atomic_load(&rocks->durable));
    atomic_store(&rocks->unseen_size, CFC_STORE_SPACE_LOOK_EVERY_BYTES);
    error = cfc_store_rocksdb_ensure_readable(rocks);
    if (error == CONFCAST_OK && !rocks->is_read_only) {
        cfc_store_rocksdb_set_durable(rocks, atomic_load(&rocks->seq));
        return atomic_load(&rocks->seq) >= seq ? CONFCAST_OK : CONFCAST_ERR_IO;
    }
    return error == CONFCAST_ERR_CORRUPT ? error : CONFCAST_ERR_IO;
}

/* A database that was opened after the sync that failed is settled: what was staged there since has
 * nothing to do with that failure. */
static int
rocks_settle(struct cfc_store *store)
{
    struct cfc_store_rocksdb *rocks = (struct cfc_store_rocksdb *)store;

    if (atomic_exchange(&rocks->has_failed, false) && rocks->db != NULL &&
        atomic_load(&rocks->open_count) != atomic_load(&rocks->failed_open)) {
        return CONFCAST_OK;
    }
    return settle(rocks, atomic_load(&rocks->seq));
}

/* One write of all that a generation holds, in the order of the keys: the database finds the place
 * of a key that lies beside the last one sooner. */
static int
write_generation(struct cfc_store_rocksdb *rocks, rocksdb_t *db, struct cfc_staged *generation)
{
    rocksdb_writebatch_t *writes = rocksdb_writebatch_create();
    uint8_t seq_bytes[MOD_SEQ_SIZE];
    char *text = NULL;

    stop_counting();
    for (const struct cfc_staged_value *v = cfc_staged_sort(generation); v != NULL;
         v = v->hh.next) {
        if (v->value == NULL) {
            rocksdb_writebatch_delete(writes, (const char *)v->key, v->key_size);
        } else {
            rocksdb_writebatch_put(writes, (const char *)v->key, v->key_size,
                                   (const char *)v->value, v->value_size);
        }
    }
    cfc_put_u64(seq_bytes, generation->seq);
    rocksdb_writebatch_put(writes, "s", 1, (const char *)seq_bytes, sizeof(seq_bytes));
    rocksdb_write(db, rocks->write_unsynced, writes, &text);
    rocksdb_writebatch_destroy(writes);
    return text == NULL ? CONFCAST_OK : error_of(rocks, "committing", text);
}

/* Writes what is staged to the database.  After an error nothing is written any more until it has
 * been settled, since what comes later must not be there without what came before. */
static int
push(struct cfc_store_rocksdb *rocks, rocksdb_t *db, uint64_t *seq)
{
    struct cfc_staged written;
    int error = CONFCAST_OK;

    pthread_mutex_lock(&rocks->push_lock);
    if (rocks->is_broken) {
        error = CONFCAST_ERR_IO;
    } else {
        pthread_mutex_lock(&rocks->staged_lock);
        rocks->under_way = rocks->staged;
        cfc_staged_init(&rocks->staged);
        pthread_mutex_unlock(&rocks->staged_lock);
        if (rocks->under_way.seq != 0) {
            cfc_store_crash_point("commit:taken");
            error = write_generation(rocks, db, &rocks->under_way);
        }
        rocks->is_broken = error != CONFCAST_OK;
    }
    if (error == CONFCAST_OK) {
        pthread_mutex_lock(&rocks->staged_lock);
        written = rocks->under_way;
        cfc_staged_init(&rocks->under_way);
        pthread_mutex_unlock(&rocks->staged_lock);
        if (written.seq != 0) {
            rocks->written_seq = written.seq;
        }
        cfc_staged_clear(&written);
        *seq = rocks->written_seq;
    }
    pthread_mutex_unlock(&rocks->push_lock);
    return error;
}

/* For the thread that uses the store, before it looks at the database itself. */
static int
push_now(struct cfc_store_rocksdb *rocks)
{
    uint64_t seq;
    int error = push(rocks, rocks->db, &seq);

    if (error != CONFCAST_OK) {
        (void)settle(rocks, 0);
    }
    return error;
}

static int
stage_writes(struct cfc_store_rocksdb *rocks, const struct cfc_store_batch *batch, uint64_t seq,
             size_t *staged_size)
{
    int error;

    pthread_mutex_lock(&rocks->staged_lock);
    error = cfc_staged_add(&rocks->staged, batch, seq, 'k');
    *staged_size = rocks->staged.size;
    pthread_mutex_unlock(&rocks->staged_lock);
    return error;
}

static int
rocks_stage(struct cfc_store *store, const struct cfc_store_batch *batch, uint64_t *seq)
{
    struct cfc_store_rocksdb *rocks = (struct cfc_store_rocksdb *)store;
    size_t staged_size;
    uint64_t next_seq;
    int error = cfc_store_rocksdb_ensure_readable(rocks);

    if (error == CONFCAST_OK) {
        error = cfc_store_check_compares(store, batch);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    if (!cfc_store_batch_has_writes(batch)) {
        *seq = atomic_load(&rocks->seq);
        return CONFCAST_OK;
    }
    error = cfc_store_rocksdb_ensure_writable(rocks, batch->size);
    if (error != CONFCAST_OK) {
        return error;
    }
    cfc_store_crash_point("commit:compared");
    next_seq = cfc_store_batch_seq(batch, atomic_load(&rocks->seq));
    error = stage_writes(rocks, batch, next_seq, &staged_size);
    if (error != CONFCAST_OK) {
        return error;
    }
    cfc_store_crash_point("commit:staged");
    atomic_store(&rocks->seq, next_seq);
    if (staged_size > STAGED_BYTES_MAX && push_now(rocks) != CONFCAST_OK &&
        atomic_load(&rocks->seq) < next_seq) {
        return CONFCAST_ERR_IO;
    }
    *seq = next_seq;
    return CONFCAST_OK;
}

static int
fail_sync(struct cfc_store_rocksdb *rocks, unsigned open_count, int error)
{
    atomic_store(&rocks->failed_open, open_count);
    atomic_store(&rocks->has_failed, true);
    return error;
}

/* What was staged later than the write begins is not covered. */
static int
rocks_sync(struct cfc_store *store)
{
    struct cfc_store_rocksdb *rocks = (struct cfc_store_rocksdb *)store;
    unsigned open_count = atomic_load(&rocks->open_count);
    rocksdb_t *db = cfc_store_rocksdb_pin(rocks);
    char *text = NULL;
    uint64_t seq;
    int error;

    if (db == NULL) {
        return fail_sync(rocks, open_count, CONFCAST_ERR_IO);
    }
    open_count = atomic_load(&rocks->open_count); /* of the one that is pinned */
    error = push(rocks, db, &seq);
    if (error == CONFCAST_OK) {
        cfc_store_crash_point("commit:pushed");
        rocksdb_flush_wal(db, 1, &text);
        if (text != NULL) {
            error = error_of(rocks, "syncing the log", text);
        }
    }
    if (error == CONFCAST_OK) {
        cfc_store_crash_point("commit:written");
        cfc_store_rocksdb_set_durable(rocks, seq);
        atomic_store(&rocks->unseen_size, CFC_STORE_SPACE_LOOK_EVERY_BYTES);
    } else {
        (void)fail_sync(rocks, open_count, error);
    }
    cfc_store_rocksdb_unpin(rocks);
    return error;
}

/* ---- Scans, blobs -----------------------------------------------------------------------------
 */

static int
scan_item(rocksdb_iterator_t *it, cfc_store_scan_fn fn, void *arg)
{
    struct cfc_store_item item;
    size_t key_size;
    size_t value_size;
    const char *key = rocksdb_iter_key(it, &key_size);
    const char *value = rocksdb_iter_value(it, &value_size);

    if (value_size < MOD_SEQ_SIZE) {
        return CONFCAST_ERR_CORRUPT;
    }
    item.key = (const uint8_t *)key + 1;
    item.key_size = key_size - 1;
    item.mod_seq = cfc_get_u64((const uint8_t *)value);
    item.value = (const uint8_t *)value + MOD_SEQ_SIZE;
    item.value_size = value_size - MOD_SEQ_SIZE;
    return fn(arg, &item);
}

static bool
has_prefix(rocksdb_iterator_t *it, const char *prefix, size_t prefix_size)
{
    size_t key_size;
    const char *key = rocksdb_iter_key(it, &key_size);

    return key_size >= prefix_size && memcmp(key, prefix, prefix_size) == 0;
}

static int
rocks_scan(struct cfc_store *store, const void *prefix, size_t prefix_size, const void *from,
           size_t from_size, cfc_store_scan_fn fn, void *arg)
{
    struct cfc_store_rocksdb *rocks = (struct cfc_store_rocksdb *)store;
    char first[STORE_KEY_SIZE_MAX];
    char start[STORE_KEY_SIZE_MAX];
    size_t first_size = table_key(first, 'k', prefix_size > 0 ? prefix : "", prefix_size);
    size_t start_size = table_key(start, 'k', from_size > 0 ? from : "", from_size);
    rocksdb_iterator_t *it;
    char *text = NULL;
    int result = cfc_store_rocksdb_ensure_readable(rocks);

    if (result == CONFCAST_OK) {
        result = push_now(rocks);
    }
    if (result != CONFCAST_OK) {
        return result;
    }
    it = rocksdb_create_iterator(rocks->db, rocks->read);
    rocksdb_iter_seek(it, first, first_size);
    if (rocksdb_iter_valid(it) && from_size > 0) {
        size_t key_size;
        const char *key = rocksdb_iter_key(it, &key_size);
        size_t size = key_size < start_size ? key_size : start_size;
        int order = memcmp(key, start, size);

        if (order < 0 || (order == 0 && key_size < start_size)) {
            rocksdb_iter_seek(it, start, start_size);
        }
    }
    for (; result == 0 && rocksdb_iter_valid(it) && has_prefix(it, first, first_size);
         rocksdb_iter_next(it)) {
        result = scan_item(it, fn, arg);
    }
    rocksdb_iter_get_error(it, &text);
    rocksdb_iter_destroy(it);
    return text != NULL ? error_of(rocks, "scanning", text) : result;
}

static uint64_t
rocks_seq(const struct cfc_store *store)
{
    return atomic_load(&((const struct cfc_store_rocksdb *)store)->seq);
}

static uint64_t
rocks_durable_seq(const struct cfc_store *store)
{
    return atomic_load(&((const struct cfc_store_rocksdb *)store)->durable);
}

static int
rocks_piece_put(struct cfc_store *store, const void *key, size_t key_size, const void *bytes,
                size_t size)
{
    struct cfc_store_rocksdb *rocks = (struct cfc_store_rocksdb *)store;
    char piece[STORE_KEY_SIZE_MAX];
    size_t piece_size = table_key(piece, 'p', key, key_size);
    char *text = NULL;
    int error = cfc_store_rocksdb_ensure_writable(rocks, size);

    if (error != CONFCAST_OK) {
        return error;
    }
    rocksdb_put(rocks->db, rocks->write_unsynced, piece, piece_size, bytes, size, &text);
    if (text != NULL) {
        error = error_of(rocks, "writing a blob", text);
        (void)settle(rocks, 0);
    }
    return error;
}

static int
rocks_piece_get(struct cfc_store *store, const void *key, size_t key_size,
                struct cfc_store_value *value)
{
    return rocks_read((struct cfc_store_rocksdb *)store, 'p', key, key_size, 0, value);
}

static int
rocks_piece_delete(struct cfc_store *store, const void *key, size_t key_size)
{
    struct cfc_store_rocksdb *rocks = (struct cfc_store_rocksdb *)store;
    char piece[STORE_KEY_SIZE_MAX];
    size_t piece_size = table_key(piece, 'p', key, key_size);
    char *text = NULL;
    int error = cfc_store_rocksdb_ensure_writable(rocks, key_size);

    /* The batch that lets go of the blob comes before, also in the log. */
    if (error == CONFCAST_OK) {
        error = push_now(rocks);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    rocksdb_delete(rocks->db, rocks->write_unsynced, piece, piece_size, &text);
    if (text != NULL) {
        error = error_of(rocks, "deleting a blob", text);
        (void)settle(rocks, 0);
    }
    return error;
}

static void
rocks_close(struct cfc_store *store)
{
    struct cfc_store_rocksdb *rocks = (struct cfc_store_rocksdb *)store;

    cfc_store_rocksdb_set_db(rocks, NULL);
    cfc_staged_clear(&rocks->staged);
    cfc_staged_clear(&rocks->under_way);
    rocksdb_readoptions_destroy(rocks->read);
    rocksdb_writeoptions_destroy(rocks->write_unsynced);
    rocksdb_options_destroy(rocks->options);
    cfc_store_folder_close(&rocks->folder);
    pthread_cond_destroy(&rocks->unpinned);
    pthread_mutex_destroy(&rocks->push_lock);
    pthread_mutex_destroy(&rocks->staged_lock);
    pthread_mutex_destroy(&rocks->lock);
    free(rocks);
}

static uint64_t
rocks_size(struct cfc_store *store)
{
    static const char *const parts[] = {"rocksdb.live-sst-files-size",
                                        "rocksdb.size-all-mem-tables"};
    struct cfc_store_rocksdb *rocks = (struct cfc_store_rocksdb *)store;
    rocksdb_t *db = cfc_store_rocksdb_pin(rocks);
    uint64_t size = 0;

    for (size_t i = 0; db != NULL && i < sizeof(parts) / sizeof(parts[0]); i++) {
        uint64_t part = 0;

        if (rocksdb_property_int(db, parts[i], &part) == 0) {
            size += part;
        }
    }
    if (db != NULL) {
        cfc_store_rocksdb_unpin(rocks);
    }
    return size;
}

static const struct cfc_store_ops rocks_ops = {
    .get = rocks_get,
    .scan = rocks_scan,
    .stage = rocks_stage,
    .sync = rocks_sync,
    .settle = rocks_settle,
    .seq = rocks_seq,
    .durable_seq = rocks_durable_seq,
    .piece_put = rocks_piece_put,
    .piece_get = rocks_piece_get,
    .piece_delete = rocks_piece_delete,
    .checkpoint = cfc_store_rocksdb_checkpoint,
    .checkpoint_end = cfc_store_rocksdb_checkpoint_end,
    .size = rocks_size,
    .close = rocks_close,
};

int
cfc_store_rocksdb_open(const struct cfc_store_rocksdb_config *config, struct cfc_store **store)
{
    struct cfc_store_rocksdb *rocks = calloc(1, sizeof(*rocks));
    int error;

    if (rocks == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    rocks->base.ops = &rocks_ops;
    pthread_mutex_init(&rocks->lock, NULL);
    pthread_mutex_init(&rocks->staged_lock, NULL);
    pthread_mutex_init(&rocks->push_lock, NULL);
    atomic_store(&rocks->unseen_size, CFC_STORE_SPACE_LOOK_EVERY_BYTES);
    pthread_cond_init(&rocks->unpinned, NULL);
    rocks->folder.lock_fd = -1;
    rocks->folder.log = config->log;
    rocks->folder.log_arg = config->log_arg;
    rocks->folder.space_min_bytes =
        config->space_min_bytes != 0 ? config->space_min_bytes : SPACE_MIN_DEFAULT_BYTES;
    rocks->options = rocksdb_options_create();
    rocks->write_unsynced = rocksdb_writeoptions_create();
    rocks->read = rocksdb_readoptions_create();
    cfc_store_rocksdb_set_options(rocks->options, rocks->read);
    if (strlen(config->path) >= sizeof(rocks->folder.path)) {
        error = CONFCAST_ERR_INVALID;
        goto err_close;
    }
    memcpy(rocks->folder.path, config->path, strlen(config->path) + 1);
    error = cfc_store_folder_open(&rocks->folder);
    if (error == CONFCAST_OK) {
        cfc_store_folder_remove(&rocks->folder, "backup");
        error = cfc_store_rocksdb_open_db(rocks, false);
    }
    if (error == CONFCAST_OK) {
        /* RocksDB syncs the names in its folder, and leaves the folder's own name to us. */
        error = cfc_store_folder_sync(&rocks->folder);
    }
    if (error != CONFCAST_OK) {
        goto err_close;
    }
    *store = &rocks->base;
    return CONFCAST_OK;

err_close:
    rocks_close(&rocks->base);
    return error;
}
