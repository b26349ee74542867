#include "consumer/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "confcast/error.h"
#include "consumer/cache_file.h"
#include "consumer/cache_state.h"
#include "protocol/base/endian.h"
#include "protocol/base/time.h"

enum {
    SERVING_SIZE_MAX = 1024
};

/* ---- Opening --------------------------------------------------------------------------------- */

/* A name that was made by a process which died before it synced counts as well, so that both
 * folders are synced whether something was made or not. */
static int
sync_folders(const struct cfc_cache *cache, bool is_new)
{
    int parent_fd = openat(cache->dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = cfc_dir_sync(cache->dir_fd);

    if (parent_fd >= 0) {
        /* One that we may not read is its owner's affair. */
        error = cfc_dir_sync(parent_fd) != CONFCAST_OK ? CONFCAST_ERR_IO : error;
        close(parent_fd);
    }
    return is_new ? error : CONFCAST_OK; /* on a read-only disk there is nothing to sync */
}

static int
open_folders(struct cfc_cache *cache, const char *dir, bool is_made)
{
    bool is_new[4] = {false};
    int error = cfc_dir_open(AT_FDCWD, dir, is_made, &cache->dir_fd, &is_new[0]);

    if (error == CONFCAST_OK && is_made && flock(cache->dir_fd, LOCK_EX | LOCK_NB) != 0) {
        error = errno == EWOULDBLOCK ? CONFCAST_ERR_BUSY : CONFCAST_ERR_IO;
    }
    if (error == CONFCAST_OK) {
        error = cfc_dir_open(cache->dir_fd, "heads", is_made, &cache->heads_fd, &is_new[1]);
    }
    if (error == CONFCAST_OK) {
        error = cfc_dir_open(cache->dir_fd, "serving", is_made, &cache->serving_fd, &is_new[2]);
    }
    if (error == CONFCAST_OK) {
        error = cfc_dir_open(cache->dir_fd, "contents", is_made, &cache->contents_fd, &is_new[3]);
    }
    if (error == CONFCAST_OK && is_made) {
        error = sync_folders(cache, is_new[0] || is_new[1] || is_new[2] || is_new[3]);
    }
    return error;
}

static struct cfc_cache *
new_cache(uint64_t size_max)
{
    struct cfc_cache *cache = calloc(1, sizeof(*cache));

    if (cache != NULL) {
        cache->size_max = size_max;
        cache->dir_fd = cache->heads_fd = cache->serving_fd = cache->contents_fd = -1;
        cache->is_contents_dirty = true;
    }
    return cache;
}

static uint64_t
unix_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * CFC_S + (uint64_t)now.tv_nsec;
}

int
cfc_cache_open(const struct cfc_cache_config *config, struct cfc_cache **out)
{
    struct cfc_cache *cache = new_cache(config->size_max);
    int error;

    *out = NULL;
    if (cache == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    error = open_folders(cache, config->dir, true);
    if (error == CONFCAST_OK) {
        cfc_dir_clean(cache->dir_fd);
        cfc_dir_clean(cache->heads_fd);
        cfc_dir_clean(cache->serving_fd);
        cfc_dir_clean(cache->contents_fd);
        cfc_catalog_open(&cache->catalog, cache->contents_fd);
        error = cfc_floor_open(&cache->floor, cache->dir_fd, config->fleet);
    }
    if (error != CONFCAST_OK) {
        cfc_cache_close(cache);
        return error;
    }
    cache->trials = cfc_trials_open(
        cache->dir_fd, config->strikes_max != 0 ? config->strikes_max : CFC_TRIALS_STRIKES_DEFAULT,
        unix_ns());
    *out = cache;
    return CONFCAST_OK;
}

int
cfc_cache_open_readonly(const char *dir, struct cfc_cache **out)
{
    struct cfc_cache *cache = new_cache(0);
    int error;

    *out = NULL;
    if (cache == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    cache->is_readonly = true;
    error = open_folders(cache, dir, false);
    if (error != CONFCAST_OK) {
        cfc_cache_close(cache);
        return error;
    }
    *out = cache;
    return CONFCAST_OK;
}

void
cfc_cache_close(struct cfc_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    int fds[] = {cache->contents_fd, cache->serving_fd, cache->heads_fd, cache->dir_fd};

    cfc_trials_close(cache->trials);
    cfc_floor_close(&cache->floor);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    free(cache);
}

void
cfc_cache_abandon(struct cfc_cache *cache)
{
    close(cache->dir_fd);
    cache->dir_fd = -1;
    cfc_trials_abandon(cache->trials);
}

struct cfc_floor *
cfc_cache_floor(struct cfc_cache *cache)
{
    return &cache->floor;
}

struct cfc_trials *
cfc_cache_trials(struct cfc_cache *cache)
{
    return cache->trials;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void
scope_name(uint64_t scope_id, char name[CFC_CACHE_NAME_SIZE])
{
    snprintf(name, CFC_CACHE_NAME_SIZE, "%016llx", (unsigned long long)scope_id);
}

void
cfc_cache_content_name(const struct cfc_digest *id, char name[CFC_CACHE_NAME_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < sizeof(id->bytes); i++) {
        name[2 * i] = digits[id->bytes[i] >> 4];
        name[2 * i + 1] = digits[id->bytes[i] & 0xf];
    }
    name[2 * sizeof(id->bytes)] = '\0';
}

static int
nibble(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
cfc_cache_content_parse(const char *name, struct cfc_digest *id)
{
    for (size_t i = 0; i < sizeof(id->bytes); i++) {
        int high = nibble(name[2 * i]);
        int low = high >= 0 ? nibble(name[2 * i + 1]) : -1;

        if (low < 0) {
            return false;
        }
        id->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return name[2 * sizeof(id->bytes)] == '\0';
}

int
cfc_cache_read_head(struct cfc_cache *cache, const char *name, uint8_t *frame, size_t capacity,
                    size_t *size)
{
    uint8_t *bytes;
    int error = cfc_file_read(cache->heads_fd, name, capacity, &bytes, size);

    if (error == CONFCAST_OK) {
        memcpy(frame, bytes, *size);
        free(bytes);
    }
    return error;
}

int
cfc_cache_head(struct cfc_cache *cache, uint64_t scope_id, uint8_t *frame, size_t capacity,
               size_t *size)
{
    char name[CFC_CACHE_NAME_SIZE];

    scope_name(scope_id, name);
    return cfc_cache_read_head(cache, name, frame, capacity, size);
}

int
cfc_cache_read_serving(struct cfc_cache *cache, const char *name, struct cfc_cache_serving *out)
{
    unsigned long long numbers[4] = {0}; /* epoch, version, state, checksum */
    char hex[65] = "";
    uint8_t *bytes;
    size_t size;
    int checked_size = 0;
    int fields;
    int error = cfc_file_read(cache->serving_fd, name, SERVING_SIZE_MAX, &bytes, &size);

    if (error != CONFCAST_OK) {
        return error;
    }
    memset(out, 0, sizeof(*out));
    fields = sscanf((const char *)bytes, "%511s %llu %llu %llu %64s%n %llx", out->path, &numbers[0],
                    &numbers[1], &numbers[2], hex, &checked_size, &numbers[3]);
    if (fields != 6 || numbers[2] > UINT8_MAX ||
        numbers[3] != XXH3_64bits(bytes, (size_t)checked_size) ||
        !cfc_cache_content_parse(hex, &out->content)) {
        error = CONFCAST_ERR_CORRUPT;
    }
    free(bytes);
    out->epoch = numbers[0];
    out->state = (uint8_t)numbers[2];
    out->version = error == CONFCAST_OK ? numbers[1] : 0;
    return error;
}

int
cfc_cache_serving(struct cfc_cache *cache, uint64_t scope_id, struct cfc_cache_serving *out)
{
    char name[CFC_CACHE_NAME_SIZE];

    scope_name(scope_id, name);
    return cfc_cache_read_serving(cache, name, out);
}

int
cfc_cache_load(struct cfc_cache *cache, const struct cfc_digest *id, struct cfc_sha256 *sha,
               struct cfc_loaded **out)
{
    char name[CFC_CACHE_NAME_SIZE];
    uint8_t *bytes;
    size_t size;
    int error;

    *out = NULL;
    if (!cache->is_readonly && !cfc_catalog_may_have(&cache->catalog, id)) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    cfc_cache_content_name(id, name);
    error = cfc_file_read(cache->contents_fd, name, CFC_BODY_SIZE_MAX, &bytes, &size);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_loaded_new(bytes, size, id, sha, out);
    if (error == CONFCAST_OK) {
        atomic_store(&(*out)->is_stored, true);
        (*out)->is_from_disk = true;
    } else if (error != CONFCAST_ERR_NO_MEMORY) {
        if (!cache->is_readonly) {
            unlinkat(cache->contents_fd, name, 0); /* damaged: the network has it */
        }
        error = CONFCAST_ERR_DIGEST;
    }
    return error;
}

/* ---- Writing --------------------------------------------------------------------------------- */

int
cfc_cache_store(struct cfc_cache *cache, struct cfc_loaded *loaded)
{
    char name[CFC_CACHE_NAME_SIZE];
    int error = CONFCAST_OK;

    cfc_cache_content_name(&loaded->id, name);
    if (!atomic_load(&loaded->is_stored) || faccessat(cache->contents_fd, name, F_OK, 0) != 0) {
        /* A file that this process neither read nor wrote may be damaged. */
        cfc_catalog_add(&cache->catalog, &loaded->id, loaded->body_size);
        error = cfc_file_replace(cache->contents_fd, name, loaded->body, loaded->body_size);
        cache->is_contents_dirty = cache->is_contents_dirty || error == CONFCAST_OK;
    }
    if (error == CONFCAST_OK && cache->is_contents_dirty) {
        error = cfc_dir_sync(cache->contents_fd);
        if (error != CONFCAST_OK) {
            /* A second sync might succeed without having done anything: write it anew. */
            unlinkat(cache->contents_fd, name, 0);
        }
        cache->is_contents_dirty = error != CONFCAST_OK;
    }
    atomic_store(&loaded->is_stored, error == CONFCAST_OK);
    return error;
}

static int
commit_head(struct cfc_cache *cache, const struct cfc_cache_job *job)
{
    char name[CFC_CACHE_NAME_SIZE];
    int error;

    if (job->head_size == 0) {
        return CONFCAST_OK;
    }
    scope_name(job->scope_id, name);
    error = cfc_file_replace(cache->heads_fd, name, job->head, job->head_size);
    return error == CONFCAST_OK ? cfc_dir_sync(cache->heads_fd) : error;
}

static int
commit_serving(struct cfc_cache *cache, const struct cfc_cache_job *job)
{
    char hex[CFC_CACHE_NAME_SIZE];
    char name[CFC_CACHE_NAME_SIZE];
    char text[SERVING_SIZE_MAX];
    int size;
    int error;

    if (job->serving.version == 0) {
        return CONFCAST_OK;
    }
    scope_name(job->scope_id, name);
    cfc_cache_content_name(&job->serving.content, hex);
    size = snprintf(text, sizeof(text), "%s %llu %llu %u %s", job->serving.path,
                    (unsigned long long)job->serving.epoch,
                    (unsigned long long)job->serving.version, job->serving.state, hex);
    size += snprintf(text + size, sizeof(text) - (size_t)size, " %016llx\n",
                     (unsigned long long)XXH3_64bits(text, (size_t)size));
    error = cfc_file_replace(cache->serving_fd, name, text, (size_t)size);
    return error == CONFCAST_OK ? cfc_dir_sync(cache->serving_fd) : error;
}

int
cfc_cache_commit(struct cfc_cache *cache, const struct cfc_cache_job *job)
{
    /* The content before what names it; the floor before the head that rests on it. */
    int error = job->loaded != NULL ? cfc_cache_store(cache, job->loaded) : CONFCAST_OK;

    if (error == CONFCAST_OK) {
        error = cfc_floor_sync(&cache->floor);
    }
    if (error == CONFCAST_OK) {
        error = commit_head(cache, job);
    }
    if (error == CONFCAST_OK) {
        error = commit_serving(cache, job);
    }
    return error;
}
