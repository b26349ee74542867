/* Checkpoints of the store on RocksDB: hard links of its tables in a folder of their own. */
#include <string.h>

#include "confcast/error.h"
#include "controlplane/store/store_rocksdb.h"
#include "protocol/base/endian.h"

enum {
    VERIFY_READAHEAD_BYTES = 2 * 1024 * 1024
};

static uint64_t
read_u64(rocksdb_t *db, rocksdb_readoptions_t *read, const char *key, size_t offset)
{
    char *text = NULL;
    size_t size = 0;
    char *bytes = rocksdb_get(db, read, key, strlen(key), &size, &text);
    uint64_t number =
        bytes != NULL && size == offset + 8 ? cfc_get_u64((const uint8_t *)bytes + offset) : 0;

    rocksdb_free(bytes);
    rocksdb_free(text);
    return number;
}

int
cfc_store_rocksdb_inspect(const struct cfc_store_folder *folder, struct cfc_checkpoint *found)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    rocksdb_iterator_t *it;
    rocksdb_t *db;
    char *text = NULL;
    int error = CONFCAST_OK;

    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_info_log_level(options, 4);
    rocksdb_readoptions_set_verify_checksums(read, 1);
    rocksdb_readoptions_set_fill_cache(read, 0);
    rocksdb_readoptions_set_readahead_size(read, VERIFY_READAHEAD_BYTES);
    db = rocksdb_open_for_read_only(options, found->path, 0, &text);
    if (text != NULL) {
        error = cfc_store_rocksdb_error(folder, "opening a backup", text);
        goto out_options;
    }
    it = rocksdb_create_iterator(db, read);
    for (rocksdb_iter_seek_to_first(it); rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        /* Coming here is the check. */
    }
    rocksdb_iter_get_error(it, &text);
    rocksdb_iter_destroy(it);
    if (text != NULL) {
        error = cfc_store_rocksdb_error(folder, "reading a backup", text);
    }
    found->sequence = read_u64(db, read, "s", 0);
    found->epoch = read_u64(db, read, "km/epoch", 8);
    rocksdb_close(db);
out_options:
    rocksdb_readoptions_destroy(read);
    rocksdb_options_destroy(options);
    return error;
}

static bool
begin(struct cfc_store_rocksdb *rocks)
{
    bool is_mine;

    pthread_mutex_lock(&rocks->lock);
    is_mine = !rocks->has_checkpoint;
    rocks->has_checkpoint = true;
    pthread_mutex_unlock(&rocks->lock);
    return is_mine;
}

static int
create(struct cfc_store_rocksdb *rocks, const char *path)
{
    rocksdb_t *db = cfc_store_rocksdb_pin(rocks);
    rocksdb_checkpoint_t *checkpoint;
    char *text = NULL;

    if (db == NULL) {
        return CONFCAST_ERR_IO;
    }
    checkpoint = rocksdb_checkpoint_object_create(db, &text);
    if (text == NULL) {
        rocksdb_checkpoint_create(checkpoint, path, 0, &text);
        rocksdb_checkpoint_object_destroy(checkpoint);
    }
    cfc_store_rocksdb_unpin(rocks);
    return text == NULL ? CONFCAST_OK
                        : cfc_store_rocksdb_error(&rocks->folder, "making a checkpoint", text);
}

int
cfc_store_rocksdb_checkpoint(struct cfc_store *store, struct cfc_checkpoint *out)
{
    struct cfc_store_rocksdb *rocks = (struct cfc_store_rocksdb *)store;
    int error;

    if (!begin(rocks)) {
        return CONFCAST_ERR_BUSY;
    }
    error = cfc_store_folder_path(&rocks->folder, "backup", out->path);
    if (error == CONFCAST_OK && !cfc_store_folder_has_space(&rocks->folder)) {
        error = CONFCAST_ERR_NO_SPACE;
    }
    if (error == CONFCAST_OK) {
        cfc_store_folder_remove(&rocks->folder, "backup");
        error = create(rocks, out->path);
    }
    if (error == CONFCAST_OK) {
        cfc_store_crash_point("backup:checkpoint");
        error = cfc_store_rocksdb_inspect(&rocks->folder, out);
    }
    if (error != CONFCAST_OK) {
        cfc_store_rocksdb_checkpoint_end(store);
    }
    return error;
}

void
cfc_store_rocksdb_checkpoint_end(struct cfc_store *store)
{
    struct cfc_store_rocksdb *rocks = (struct cfc_store_rocksdb *)store;

    cfc_store_folder_remove(&rocks->folder, "backup");
    pthread_mutex_lock(&rocks->lock);
    rocks->has_checkpoint = false;
    pthread_mutex_unlock(&rocks->lock);
}
