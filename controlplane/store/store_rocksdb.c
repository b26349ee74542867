/* The store on RocksDB.  In the database "k" + key holds a value behind its mod_seq, "p" + key a
 * piece of a blob, "s" the sequence of the last commit. */
#include "controlplane/store/store_rocksdb.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"

enum {
    MOD_SEQ_SIZE = 8,
    STORE_KEY_SIZE_MAX = CFC_STORE_KEY_SIZE_MAX + 1,
    SPACE_MIN_DEFAULT_BYTES = 16 * 1024 * 1024,
    WAL_TOLERATE_TORN_TAIL = 0, /* WALRecoveryMode::kTolerateCorruptedTailRecords */
    INFO_LOG_FATAL = 4,
    WRITE_BUFFER_BYTES = 32 * 1024 * 1024,
    BLOCK_CACHE_BYTES = 64 * 1024 * 1024,
    FILTER_BITS_PER_KEY = 10, /* one in a hundred absent keys costs a look into a table */
    COUNTERS_OFF = 1,         /* PerfLevel::kDisable */
};

/* Of the write buffer, for a filter of the keys in it. */
#define MEMTABLE_FILTER_SHARE 0.05

/* RocksDB names a damaged table but not a damaged log: names every log there is, into `out`. */
static void
name_logs(const struct cfc_store_folder *folder, char *out, size_t out_size)
{
    char path[CFC_STORE_PATH_MAX];
    struct dirent *entry;
    size_t size = 0;
    DIR *dir = NULL;

    out[0] = '\0';
    if (cfc_store_folder_path(folder, "db", path) == CONFCAST_OK) {
        dir = opendir(path);
    }
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        size_t name_size = strlen(entry->d_name);

        if (name_size > 4 && strcmp(entry->d_name + name_size - 4, ".log") == 0 &&
            size + name_size + 2 < out_size) {
            size += (size_t)snprintf(out + size, out_size - size, " %s", entry->d_name);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

/* The C API gives sentences only; their beginnings are those of rocksdb::Status::ToString(). */
int
cfc_store_rocksdb_error(const struct cfc_store_folder *folder, const char *what, char *text)
{
    char detail[1024];
    char logs[256];
    int error = CONFCAST_ERR_IO;

    if (strncmp(text, "Corruption", 10) == 0) {
        error = CONFCAST_ERR_CORRUPT;
    } else if (strstr(text, "No space left") != NULL || strstr(text, "NoSpace") != NULL) {
        error = CONFCAST_ERR_NO_SPACE;
    } else if (strstr(text, "While lock file") != NULL) {
        error = CONFCAST_ERR_BUSY;
    }
    if (error == CONFCAST_ERR_CORRUPT && strchr(text, '/') == NULL) {
        name_logs(folder, logs, sizeof(logs));
        snprintf(detail, sizeof(detail), "%.600s in one of%s", text, logs);
        cfc_store_folder_say(folder, what, detail);
    } else {
        cfc_store_folder_say(folder, what, text);
    }
    rocksdb_free(text);
    return error;
}

static int
error_of(const struct cfc_store_rocksdb *rocks, const char *what, char *text)
{
    return cfc_store_rocksdb_error(&rocks->folder, what, text);
}

/* ---- The handle -------------------------------------------------------------------------------
 */

rocksdb_t *
cfc_store_rocksdb_pin(struct cfc_store_rocksdb *rocks)
{
    rocksdb_t *db;

    pthread_mutex_lock(&rocks->lock);
    db = rocks->db;
    rocks->pin_count += db != NULL;
    pthread_mutex_unlock(&rocks->lock);
    return db;
}

void
cfc_store_rocksdb_unpin(struct cfc_store_rocksdb *rocks)
{
    pthread_mutex_lock(&rocks->lock);
    assert(rocks->pin_count > 0);
    rocks->pin_count--;
    pthread_cond_broadcast(&rocks->unpinned);
    pthread_mutex_unlock(&rocks->lock);
}

static void
set_db(struct cfc_store_rocksdb *rocks, rocksdb_t *db)
{
    pthread_mutex_lock(&rocks->lock);
    while (rocks->pin_count > 0) {
        pthread_cond_wait(&rocks->unpinned, &rocks->lock);
    }
    if (rocks->db != NULL) {
        rocksdb_close(rocks->db);
    }
    rocks->db = db;
    pthread_mutex_unlock(&rocks->lock);
}

/* What this sequence and all below it name is durable now. */
static void
set_durable(struct cfc_store_rocksdb *rocks, uint64_t seq)
{
    pthread_mutex_lock(&rocks->lock);
    if (seq > cfc_store_folder_floor(&rocks->folder)) {
        cfc_store_folder_set_floor(&rocks->folder, seq);
    }
    if (seq > atomic_load(&rocks->durable)) {
        atomic_store(&rocks->durable, seq);
    }
    pthread_mutex_unlock(&rocks->lock);
}

static int
read_seq(const struct cfc_store_rocksdb *rocks, rocksdb_t *db, uint64_t *seq)
{
    char *text = NULL;
    size_t size = 0;
    char *bytes = rocksdb_get(db, rocks->read, "s", 1, &size, &text);
    int error = CONFCAST_OK;

    if (text != NULL) {
        return error_of(rocks, "reading the sequence", text);
    }
    *seq = 0;
    if (bytes != NULL && size == sizeof(uint64_t)) {
        *seq = cfc_get_u64((const uint8_t *)bytes);
    } else if (bytes != NULL) {
        error = CONFCAST_ERR_CORRUPT;
    }
    rocksdb_free(bytes);
    return error;
}

/* Opens the database and learns its sequence.  The log of RocksDB tolerates a torn last record,
 * since a power loss may tear what was never acknowledged; the floor tells that from a damaged log
 * that lost what was.  Opening for writing moves what the log kept into new files, durably; opening
 * for reading does not, so nothing more counts as durable then. */
static int
open_db(struct cfc_store_rocksdb *rocks, bool is_read_only)
{
    char path[CFC_STORE_PATH_MAX];
    rocksdb_t *db;
    uint64_t seq = 0;
    char *text = NULL;
    int error = cfc_store_folder_path(&rocks->folder, "db", path);

    if (error != CONFCAST_OK) {
        return error;
    }
    db = is_read_only ? rocksdb_open_for_read_only(rocks->options, path, 0, &text)
                      : rocksdb_open(rocks->options, path, &text);
    if (text != NULL) {
        return error_of(rocks, "opening the database", text);
    }
    error = read_seq(rocks, db, &seq);
    if (error == CONFCAST_OK && seq < cfc_store_folder_floor(&rocks->folder)) {
        cfc_store_folder_say(&rocks->folder, "opening the database",
                             "db/*.log lost acknowledged commits");
        error = CONFCAST_ERR_CORRUPT;
    }
    if (error != CONFCAST_OK) {
        rocksdb_close(db);
        return error;
    }
    rocks->is_read_only = is_read_only;
    atomic_store(&rocks->seq, seq);
    if (!is_read_only) {
        atomic_store(&rocks->durable, seq);
    }
    set_db(rocks, db);
    return CONFCAST_OK;
}

/* After a failure RocksDB refuses writes until it is opened anew, which also makes what its log
 * kept durable in new files (an fsync that failed must never be tried again on the same data).  On
 * a full disk it can be opened for reading only. */
static int
ensure_readable(struct cfc_store_rocksdb *rocks)
{
    if (rocks->db != NULL) {
        return CONFCAST_OK;
    }
    return open_db(rocks, !cfc_store_folder_has_space(&rocks->folder));
}

static int
ensure_writable(struct cfc_store_rocksdb *rocks)
{
    if (!cfc_store_folder_has_space(&rocks->folder)) {
        return CONFCAST_ERR_NO_SPACE;
    }
    if (rocks->db != NULL && rocks->is_read_only) {
        set_db(rocks, NULL);
    }
    return rocks->db != NULL ? CONFCAST_OK : open_db(rocks, false);
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
    int error = ensure_readable(rocks);

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

static int
rocks_get(struct cfc_store *store, const void *key, size_t key_size, struct cfc_store_value *value)
{
    return rocks_read((struct cfc_store_rocksdb *)store, 'k', key, key_size, MOD_SEQ_SIZE, value);
}

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
    int result = ensure_readable(rocks);

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

static void
fill_batch(rocksdb_writebatch_t *writes, const struct cfc_store_batch *batch, uint64_t seq)
{
    char key[STORE_KEY_SIZE_MAX];
    uint8_t seq_bytes[sizeof(uint64_t)];

    cfc_put_u64(seq_bytes, seq);
    for (size_t i = 0; i < batch->op_count; i++) {
        const struct cfc_store_op *op = &batch->ops[i];
        size_t key_size = table_key(key, 'k', op->bytes, op->key_size);

        if (op->kind == CFC_STORE_DELETE) {
            rocksdb_writebatch_delete(writes, key, key_size);
        } else if (op->kind == CFC_STORE_PUT) {
            const char *key_part = key;
            const char *value_parts[2] = {(const char *)seq_bytes,
                                          (const char *)op->bytes + op->key_size};
            const size_t value_sizes[2] = {sizeof(seq_bytes), op->value_size};

            rocksdb_writebatch_putv(writes, 1, &key_part, &key_size, 2, value_parts, value_sizes);
        }
    }
    rocksdb_writebatch_put(writes, "s", 1, (const char *)seq_bytes, sizeof(seq_bytes));
}

/* Opens the database again after a failed write or sync: what is in its log then is durable.
 * CONFCAST_OK when that is everything up to `seq`. */
static int
settle(struct cfc_store_rocksdb *rocks, uint64_t seq)
{
    int error;

    set_db(rocks, NULL);
    error = ensure_readable(rocks);
    if (error == CONFCAST_OK && !rocks->is_read_only) {
        set_durable(rocks, atomic_load(&rocks->seq));
        return atomic_load(&rocks->seq) >= seq ? CONFCAST_OK : CONFCAST_ERR_IO;
    }
    return error == CONFCAST_ERR_CORRUPT ? error : CONFCAST_ERR_IO;
}

static int
rocks_settle(struct cfc_store *store)
{
    struct cfc_store_rocksdb *rocks = (struct cfc_store_rocksdb *)store;

    return settle(rocks, atomic_load(&rocks->seq));
}

static int
write_batch(struct cfc_store_rocksdb *rocks, const struct cfc_store_batch *batch, uint64_t seq)
{
    rocksdb_writebatch_t *writes = rocksdb_writebatch_create();
    char *text = NULL;
    int settled;
    int error;

    stop_counting();
    fill_batch(writes, batch, seq);
    rocksdb_write(rocks->db, rocks->write_unsynced, writes, &text);
    rocksdb_writebatch_destroy(writes);
    if (text == NULL) {
        return CONFCAST_OK;
    }
    error = error_of(rocks, "committing", text);
    settled = settle(rocks, seq);
    return settled == CONFCAST_ERR_IO ? error : settled;
}

static int
rocks_stage(struct cfc_store *store, const struct cfc_store_batch *batch, uint64_t *seq)
{
    struct cfc_store_rocksdb *rocks = (struct cfc_store_rocksdb *)store;
    uint64_t next_seq;
    int error = ensure_readable(rocks);

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
    error = ensure_writable(rocks);
    if (error != CONFCAST_OK) {
        return error;
    }
    cfc_store_crash_point("commit:compared");
    next_seq = cfc_store_batch_seq(batch, atomic_load(&rocks->seq));
    error = write_batch(rocks, batch, next_seq);
    if (error != CONFCAST_OK) {
        return error;
    }
    cfc_store_crash_point("commit:staged");
    atomic_store(&rocks->seq, next_seq);
    *seq = next_seq;
    return CONFCAST_OK;
}

/* The sequence is read before the sync begins, so that it covers nothing that came later. */
static int
rocks_sync(struct cfc_store *store)
{
    struct cfc_store_rocksdb *rocks = (struct cfc_store_rocksdb *)store;
    rocksdb_t *db = cfc_store_rocksdb_pin(rocks);
    uint64_t seq = atomic_load(&rocks->seq);
    char *text = NULL;
    int error = CONFCAST_OK;

    if (db == NULL) {
        return CONFCAST_ERR_IO;
    }
    rocksdb_flush_wal(db, 1, &text);
    if (text != NULL) {
        error = error_of(rocks, "syncing the log", text);
    } else {
        cfc_store_crash_point("commit:written");
        set_durable(rocks, seq);
    }
    cfc_store_rocksdb_unpin(rocks);
    return error;
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
    int error = ensure_writable(rocks);

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
    int error = ensure_writable(rocks);

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

    set_db(rocks, NULL);
    rocksdb_readoptions_destroy(rocks->read);
    rocksdb_writeoptions_destroy(rocks->write_unsynced);
    rocksdb_options_destroy(rocks->options);
    cfc_store_folder_close(&rocks->folder);
    pthread_cond_destroy(&rocks->unpinned);
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

/* Each guard of a batch is a lookup, most of them of keys that are not there: without filters each
 * would search every table whose range holds the key, so that a put grew dearer with the store. */
static void
set_table_options(rocksdb_options_t *options)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(BLOCK_CACHE_BYTES);

    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(FILTER_BITS_PER_KEY));
    /* Both take what they need from `table`: the policy itself, a reference to the cache. */
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_cache_destroy(cache);
    rocksdb_block_based_options_destroy(table);
}

static void
set_options(struct cfc_store_rocksdb *rocks)
{
    rocksdb_options_set_create_if_missing(rocks->options, 1);
    rocksdb_options_set_paranoid_checks(rocks->options, 1);
    rocksdb_options_set_wal_recovery_mode(rocks->options, WAL_TOLERATE_TORN_TAIL);
    /* One write() per sync, not one per batch: what is staged may be lost until then anyway. */
    rocksdb_options_set_manual_wal_flush(rocks->options, 1);
    rocksdb_options_set_write_buffer_size(rocks->options, WRITE_BUFFER_BYTES);
    /* Guards look for absent keys among those that no table holds yet, too. */
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(rocks->options, MEMTABLE_FILTER_SHARE);
    rocksdb_options_set_memtable_whole_key_filtering(rocks->options, 1);
    set_table_options(rocks->options);
    rocksdb_options_set_max_open_files(rocks->options, 256);
    rocksdb_options_set_keep_log_file_num(rocks->options, 2);
    /* Its own log file lies on the same disk, and this version asserts when a line follows one that
     * a full disk refused.  What fails reaches us as a status anyway. */
    rocksdb_options_set_info_log_level(rocks->options, INFO_LOG_FATAL);
    rocksdb_options_set_stats_dump_period_sec(rocks->options, 0);
    rocksdb_readoptions_set_verify_checksums(rocks->read, 1);
}

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
    pthread_cond_init(&rocks->unpinned, NULL);
    rocks->folder.lock_fd = -1;
    rocks->folder.log = config->log;
    rocks->folder.log_arg = config->log_arg;
    rocks->folder.space_min_bytes =
        config->space_min_bytes != 0 ? config->space_min_bytes : SPACE_MIN_DEFAULT_BYTES;
    rocks->options = rocksdb_options_create();
    rocks->write_unsynced = rocksdb_writeoptions_create();
    rocks->read = rocksdb_readoptions_create();
    set_options(rocks);
    if (strlen(config->path) >= sizeof(rocks->folder.path)) {
        error = CONFCAST_ERR_INVALID;
        goto err_close;
    }
    memcpy(rocks->folder.path, config->path, strlen(config->path) + 1);
    error = cfc_store_folder_open(&rocks->folder);
    if (error == CONFCAST_OK) {
        cfc_store_folder_remove(&rocks->folder, "backup");
        error = open_db(rocks, false);
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
