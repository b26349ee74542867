#include "consumer/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "consumer/cache_file.h"
#include "consumer/cache_floor.h"

enum {
    NAME_SIZE = 80,
    SERVING_SIZE_MAX = 1024,
    CONTENTS_MAX = 4096
};

struct cfc_cache {
    uint64_t size_max;
    int dir_fd;
    int lock_fd;
    int heads_fd;
    int serving_fd;
    int contents_fd;
    struct cfc_floor floor;
};

static void
hex_name(const uint8_t *bytes, size_t size, char *name)
{
    for (size_t i = 0; i < size; i++) {
        snprintf(name + 2 * i, 3, "%02x", bytes[i]);
    }
}

static void
scope_name(uint64_t scope_id, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%016llx", (unsigned long long)scope_id);
}

static int
open_folders(struct cfc_cache *cache, const char *dir)
{
    int error = cfc_dir_open(AT_FDCWD, dir, &cache->dir_fd);

    if (error == CONFCAST_OK) {
        error = cfc_dir_open(cache->dir_fd, "heads", &cache->heads_fd);
    }
    if (error == CONFCAST_OK) {
        error = cfc_dir_open(cache->dir_fd, "serving", &cache->serving_fd);
    }
    if (error == CONFCAST_OK) {
        error = cfc_dir_open(cache->dir_fd, "contents", &cache->contents_fd);
    }
    return error;
}

static int
take_lock(struct cfc_cache *cache)
{
    cache->lock_fd = openat(cache->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (cache->lock_fd < 0) {
        return CONFCAST_ERR_IO;
    }
    return flock(cache->lock_fd, LOCK_EX | LOCK_NB) == 0 ? CONFCAST_OK : CONFCAST_ERR_BUSY;
}

static struct cfc_cache *
new_cache(uint64_t size_max)
{
    struct cfc_cache *cache = calloc(1, sizeof(*cache));

    if (cache != NULL) {
        cache->size_max = size_max;
        cache->dir_fd = cache->lock_fd = cache->heads_fd = -1;
        cache->serving_fd = cache->contents_fd = -1;
    }
    return cache;
}

/* What a process left behind that died while it wrote. */
static void
remove_leftovers(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, ".new-", 5) == 0) {
            unlinkat(dir_fd, entry->d_name, 0);
        }
    }
    closedir(dir);
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
    error = open_folders(cache, config->dir);
    if (error == CONFCAST_OK) {
        error = take_lock(cache);
    }
    if (error == CONFCAST_OK) {
        error = cfc_floor_open(&cache->floor, cache->dir_fd, "floor", false);
    }
    if (error != CONFCAST_OK) {
        cfc_cache_close(cache);
        return error;
    }
    remove_leftovers(cache->heads_fd);
    remove_leftovers(cache->serving_fd);
    remove_leftovers(cache->contents_fd);
    *out = cache;
    return CONFCAST_OK;
}

static int
open_existing(int parent_fd, const char *name)
{
    return openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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
    cache->dir_fd = open_existing(AT_FDCWD, dir);
    cache->heads_fd = open_existing(cache->dir_fd, "heads");
    cache->serving_fd = open_existing(cache->dir_fd, "serving");
    cache->contents_fd = open_existing(cache->dir_fd, "contents");
    error = cache->contents_fd >= 0 ? CONFCAST_OK : CONFCAST_ERR_NOT_FOUND;
    if (error == CONFCAST_OK) {
        error = cfc_floor_open(&cache->floor, cache->dir_fd, "floor", true);
    }
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
    int fds[] = {cache->contents_fd, cache->serving_fd, cache->heads_fd, cache->lock_fd,
                 cache->dir_fd};

    cfc_floor_close(&cache->floor);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    free(cache);
}

uint64_t
cfc_cache_next_incarnation(struct cfc_cache *cache, uint64_t unix_ns)
{
    return cfc_floor_next_incarnation(&cache->floor, unix_ns);
}

int
cfc_cache_floor(struct cfc_cache *cache, uint64_t scope_id, uint64_t *epoch, uint64_t *version)
{
    return cfc_floor_get(&cache->floor, scope_id, epoch, version);
}

int
cfc_cache_set_floor(struct cfc_cache *cache, uint64_t scope_id, uint64_t epoch, uint64_t version)
{
    return cfc_floor_raise(&cache->floor, scope_id, epoch, version);
}

int
cfc_cache_head(struct cfc_cache *cache, uint64_t scope_id, uint8_t *frame, size_t capacity,
               size_t *size)
{
    char name[NAME_SIZE];
    uint8_t *bytes;
    int error;

    scope_name(scope_id, name);
    error = cfc_file_read(cache->heads_fd, name, capacity, &bytes, size);
    if (error == CONFCAST_OK) {
        memcpy(frame, bytes, *size);
        free(bytes);
    }
    return error;
}

static bool
parse_digest(const char *hex, struct cfc_digest *out)
{
    for (size_t i = 0; i < sizeof(out->bytes); i++) {
        unsigned byte;

        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) {
            return false;
        }
        out->bytes[i] = (uint8_t)byte;
    }
    return true;
}

int
cfc_cache_serving(struct cfc_cache *cache, uint64_t scope_id, struct cfc_cache_serving *out)
{
    unsigned long long epoch;
    unsigned long long version;
    char name[NAME_SIZE];
    char hex[65] = "";
    uint8_t *bytes;
    size_t size;
    int fields;
    int error;

    scope_name(scope_id, name);
    error = cfc_file_read(cache->serving_fd, name, SERVING_SIZE_MAX, &bytes, &size);
    if (error != CONFCAST_OK) {
        return error;
    }
    memset(out, 0, sizeof(*out));
    fields = sscanf((const char *)bytes, "%511s %llu %llu %64s", out->path, &epoch, &version, hex);
    free(bytes);
    if (fields != 4 || strlen(hex) != 64 || !parse_digest(hex, &out->content)) {
        return CONFCAST_ERR_CORRUPT;
    }
    out->epoch = epoch;
    out->version = version;
    return CONFCAST_OK;
}

bool
cfc_cache_has_content(struct cfc_cache *cache, const struct cfc_digest *id)
{
    char name[NAME_SIZE];

    hex_name(id->bytes, sizeof(id->bytes), name);
    return faccessat(cache->contents_fd, name, R_OK, 0) == 0;
}

int
cfc_cache_load(struct cfc_cache *cache, const struct cfc_digest *id, struct cfc_sha256 *sha,
               struct cfc_loaded **out)
{
    char name[NAME_SIZE];
    uint8_t *bytes;
    size_t size;
    int error;

    *out = NULL;
    hex_name(id->bytes, sizeof(id->bytes), name);
    error = cfc_file_read(cache->contents_fd, name, CFC_BODY_SIZE_MAX, &bytes, &size);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_loaded_new(bytes, size, id, sha, out);
    if (error != CONFCAST_OK && error != CONFCAST_ERR_NO_MEMORY) {
        unlinkat(cache->contents_fd, name, 0); /* damaged: the network has it */
        error = CONFCAST_ERR_DIGEST;
    }
    return error;
}

static int
commit_content(struct cfc_cache *cache, const struct cfc_loaded *loaded)
{
    char name[NAME_SIZE];
    int error;

    if (loaded == NULL || cfc_cache_has_content(cache, &loaded->id)) {
        return CONFCAST_OK;
    }
    hex_name(loaded->id.bytes, sizeof(loaded->id.bytes), name);
    error = cfc_file_replace(cache->contents_fd, name, loaded->body, loaded->body_size);
    return error == CONFCAST_OK ? cfc_dir_sync(cache->contents_fd) : error;
}

static int
commit_serving(struct cfc_cache *cache, const struct cfc_cache_job *job)
{
    char text[SERVING_SIZE_MAX];
    char name[NAME_SIZE];
    char hex[65];
    int size;
    int error;

    if (job->serving.version == 0) {
        return CONFCAST_OK;
    }
    scope_name(job->scope_id, name);
    hex_name(job->serving.content.bytes, sizeof(job->serving.content.bytes), hex);
    size = snprintf(text, sizeof(text), "%s %llu %llu %s\n", job->serving.path,
                    (unsigned long long)job->serving.epoch,
                    (unsigned long long)job->serving.version, hex);
    error = cfc_file_replace(cache->serving_fd, name, text, (size_t)size);
    return error == CONFCAST_OK ? cfc_dir_sync(cache->serving_fd) : error;
}

static int
commit_head(struct cfc_cache *cache, const struct cfc_cache_job *job)
{
    char name[NAME_SIZE];
    int error;

    if (job->head_size == 0) {
        return CONFCAST_OK;
    }
    scope_name(job->scope_id, name);
    error = cfc_file_replace(cache->heads_fd, name, job->head, job->head_size);
    return error == CONFCAST_OK ? cfc_dir_sync(cache->heads_fd) : error;
}

int
cfc_cache_commit(struct cfc_cache *cache, const struct cfc_cache_job *job)
{
    /* The content before what names it; the floor before the head that rests on it. */
    int error = commit_content(cache, job->loaded);

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

struct cached {
    struct cfc_digest id;
    uint64_t size;
    struct timespec written;
};

static int
by_age(const void *a, const void *b)
{
    const struct cached *x = a;
    const struct cached *y = b;

    if (x->written.tv_sec != y->written.tv_sec) {
        return x->written.tv_sec < y->written.tv_sec ? -1 : 1;
    }
    return (x->written.tv_nsec > y->written.tv_nsec) - (x->written.tv_nsec < y->written.tv_nsec);
}

static size_t
list_contents(struct cfc_cache *cache, struct cached *list, uint64_t *total)
{
    int fd = openat(cache->contents_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    size_t count = 0;

    if (dir == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return 0;
    }
    while (count < CONTENTS_MAX && (entry = readdir(dir)) != NULL) {
        struct stat st;

        if (strlen(entry->d_name) == 64 && parse_digest(entry->d_name, &list[count].id) &&
            fstatat(cache->contents_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            list[count].size = (uint64_t)st.st_size;
            list[count].written = st.st_mtim;
            *total += list[count].size;
            count++;
        }
    }
    closedir(dir);
    return count;
}

static bool
is_kept(const struct cfc_digest *id, const struct cfc_digest *keep, size_t keep_count)
{
    for (size_t i = 0; i < keep_count; i++) {
        if (cfc_digest_equal(id, &keep[i])) {
            return true;
        }
    }
    return false;
}

void
cfc_cache_trim(struct cfc_cache *cache, const struct cfc_digest *keep, size_t keep_count)
{
    struct cached *list = calloc(CONTENTS_MAX, sizeof(*list));
    uint64_t total = 0;
    size_t count;

    if (list == NULL) {
        return; /* next time */
    }
    count = list_contents(cache, list, &total);
    qsort(list, count, sizeof(*list), by_age);
    for (size_t i = 0; i < count && total > cache->size_max; i++) {
        char name[NAME_SIZE];

        if (!is_kept(&list[i].id, keep, keep_count)) {
            hex_name(list[i].id.bytes, sizeof(list[i].id.bytes), name);
            unlinkat(cache->contents_fd, name, 0);
            total -= list[i].size;
        }
    }
    free(list);
}
