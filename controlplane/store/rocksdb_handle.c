/* The database handle: opened, opened again after a failure, and kept open by whoever pins it. */
#include "controlplane/store/store_rocksdb.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"

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

void
cfc_store_rocksdb_set_db(struct cfc_store_rocksdb *rocks, rocksdb_t *db)
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

void
cfc_store_rocksdb_set_durable(struct cfc_store_rocksdb *rocks, uint64_t seq)
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

int
cfc_store_rocksdb_open_db(struct cfc_store_rocksdb *rocks, bool is_read_only)
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
    rocks->is_broken = false;
    rocks->written_seq = seq;
    atomic_store(&rocks->seq, seq);
    if (!is_read_only) {
        atomic_store(&rocks->durable, seq);
    }
    atomic_fetch_add(&rocks->open_count, 1);
    cfc_store_rocksdb_set_db(rocks, db);
    return CONFCAST_OK;
}

int
cfc_store_rocksdb_ensure_readable(struct cfc_store_rocksdb *rocks)
{
    if (rocks->db != NULL) {
        return CONFCAST_OK;
    }
    return cfc_store_rocksdb_open_db(rocks, !cfc_store_folder_has_space(&rocks->folder));
}

/* Looks at the disk once per sync, or when much has been written since. */
static bool
has_space(struct cfc_store_rocksdb *rocks, size_t size)
{
    size_t unseen = atomic_fetch_add(&rocks->unseen_size, size) + size;

    if (unseen < CFC_STORE_SPACE_LOOK_EVERY_BYTES) {
        return true;
    }
    if (!cfc_store_folder_has_space(&rocks->folder)) {
        return false;
    }
    atomic_store(&rocks->unseen_size, 0);
    return true;
}

int
cfc_store_rocksdb_ensure_writable(struct cfc_store_rocksdb *rocks, size_t size)
{
    if (!has_space(rocks, size)) {
        return CONFCAST_ERR_NO_SPACE;
    }
    if (rocks->db != NULL && rocks->is_read_only) {
        cfc_store_rocksdb_set_db(rocks, NULL);
    }
    return rocks->db != NULL ? CONFCAST_OK : cfc_store_rocksdb_open_db(rocks, false);
}
