/* Keeping the contents within their budget. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confcast/error.h"
#include "consumer/cache_state.h"
#include "protocol/wire/head.h"

struct digest_list {
    struct cfc_digest *ids;
    size_t count;
    size_t capacity;
};

struct content_file {
    struct cfc_digest id;
    uint64_t size;
    struct timespec written;
};

struct content_list {
    struct content_file *files;
    size_t count;
    size_t capacity;
    uint64_t size;
};

/* false: no memory. */
static bool
add(struct digest_list *list, const struct cfc_digest *id)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? 2 * list->capacity : 64;
        struct cfc_digest *ids = realloc(list->ids, capacity * sizeof(*ids));

        if (ids == NULL) {
            return false;
        }
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->count++] = *id;
    return true;
}

static DIR *
open_list(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    if (dir == NULL && fd >= 0) {
        close(fd);
    }
    return dir;
}

/* NULL: that was all, or *is_whole turned false. */
static struct dirent *
next_entry(DIR *dir, bool *is_whole)
{
    struct dirent *entry;

    errno = 0;
    entry = readdir(dir);
    *is_whole = entry != NULL || errno == 0;
    return entry;
}

static bool
pin_head(struct cfc_cache *cache, const char *name, struct cfc_sha256 *sha,
         struct digest_list *pins)
{
    uint8_t bytes[CFC_FRAME_SIZE_MAX];
    struct cfc_frame frame;
    struct cfc_head head;
    bool is_added = true;
    size_t size;

    if (cfc_cache_read_head(cache, name, bytes, sizeof(bytes), &size) != CONFCAST_OK ||
        cfc_frame_open(bytes, size, &frame) != CONFCAST_OK || frame.type != CFC_FRAME_HEAD ||
        cfc_head_decode(&frame, sha, &head) != CONFCAST_OK) {
        return true; /* damaged: it will be refused when it is read in earnest */
    }
    for (uint32_t i = 0; i < head.arm_count; i++) {
        is_added = is_added && add(pins, &head.arms[i].content);
        is_added = is_added && add(pins, &head.arms[i].fallback);
    }
    return is_added;
}

static bool
pin_serving(struct cfc_cache *cache, const char *name, struct digest_list *pins)
{
    struct cfc_cache_serving serving;

    return cfc_cache_read_serving(cache, name, &serving) != CONFCAST_OK ||
           add(pins, &serving.content);
}

static bool
pin_goods(struct cfc_cache *cache, struct digest_list *pins)
{
    struct cfc_digest *goods = calloc(CFC_TRIALS_SCOPES_MAX, sizeof(*goods));
    bool is_added = goods != NULL;
    size_t count;

    if (goods == NULL) {
        return false;
    }
    count = cfc_trials_goods(cache->trials, goods, CFC_TRIALS_SCOPES_MAX);
    for (size_t i = 0; is_added && i < count; i++) {
        is_added = add(pins, &goods[i]);
    }
    free(goods);
    return is_added;
}

static int
by_digest(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct cfc_digest));
}

/* What heads, serving files and trials name, sorted.  false: it is not all known. */
static bool
find_pins(struct cfc_cache *cache, struct digest_list *pins)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    DIR *heads = open_list(cache->heads_fd);
    DIR *serving = open_list(cache->serving_fd);
    bool is_whole = sha != NULL && heads != NULL && serving != NULL;
    struct dirent *entry;

    while (is_whole && (entry = next_entry(heads, &is_whole)) != NULL) {
        is_whole = entry->d_name[0] == '.' || pin_head(cache, entry->d_name, sha, pins);
    }
    while (is_whole && (entry = next_entry(serving, &is_whole)) != NULL) {
        is_whole = entry->d_name[0] == '.' || pin_serving(cache, entry->d_name, pins);
    }
    is_whole = is_whole && pin_goods(cache, pins);
    if (heads != NULL) {
        closedir(heads);
    }
    if (serving != NULL) {
        closedir(serving);
    }
    cfc_sha256_free(sha);
    if (is_whole && pins->count > 0) {
        qsort(pins->ids, pins->count, sizeof(*pins->ids), by_digest);
    }
    return is_whole;
}

static bool
add_content(struct content_list *list, const struct content_file *file)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? 2 * list->capacity : 64;
        struct content_file *files = realloc(list->files, capacity * sizeof(*files));

        if (files == NULL) {
            return false;
        }
        list->files = files;
        list->capacity = capacity;
    }
    list->files[list->count++] = *file;
    list->size += file->size;
    return true;
}

/* false: no memory, or the folder cannot be read to its end. */
static bool
list_contents(const struct cfc_cache *cache, struct content_list *list)
{
    DIR *dir = open_list(cache->contents_fd);
    bool is_whole = dir != NULL;
    struct dirent *entry;

    while (is_whole && (entry = next_entry(dir, &is_whole)) != NULL) {
        struct content_file file;
        struct stat st;

        if (!cfc_cache_content_parse(entry->d_name, &file.id)) {
            continue;
        }
        if (fstatat(cache->contents_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            is_whole = errno == ENOENT; /* the loop removes damaged ones meanwhile */
        } else {
            file.size = (uint64_t)st.st_size;
            file.written = st.st_mtim;
            is_whole = add_content(list, &file);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return is_whole;
}

static int
by_age(const void *a, const void *b)
{
    const struct content_file *x = a;
    const struct content_file *y = b;

    if (x->written.tv_sec != y->written.tv_sec) {
        return x->written.tv_sec < y->written.tv_sec ? -1 : 1;
    }
    return (x->written.tv_nsec > y->written.tv_nsec) - (x->written.tv_nsec < y->written.tv_nsec);
}

static bool
remove_content(const struct cfc_cache *cache, const struct cfc_digest *id)
{
    char name[CFC_CACHE_NAME_SIZE];

    cfc_cache_content_name(id, name);
    return unlinkat(cache->contents_fd, name, 0) == 0 || errno == ENOENT;
}

/* Removes the oldest that nothing pins until the rest fits; what stays is at the list's begin, also
 * what the disk does not let go of. */
static void
remove_oldest(struct cfc_cache *cache, struct content_list *list, const struct digest_list *pins)
{
    size_t left = list->count;
    size_t kept = 0;

    qsort(list->files, list->count, sizeof(*list->files), by_age);
    for (size_t i = 0; i < list->count; i++) {
        const struct content_file *file = &list->files[i];
        bool is_over = list->size > cache->size_max || left > CFC_CACHE_CONTENTS_MAX;
        bool is_pinned = pins->count > 0 && bsearch(&file->id, pins->ids, pins->count,
                                                    sizeof(*pins->ids), by_digest) != NULL;

        if (is_over && !is_pinned && remove_content(cache, &file->id)) {
            list->size -= file->size;
            left--;
        } else {
            list->files[kept++] = *file;
        }
    }
    list->count = kept;
}

void
cfc_cache_trim(struct cfc_cache *cache)
{
    struct digest_list pins = {.ids = NULL};
    struct content_list list = {.files = NULL};

    if (cache->catalog.size_max <= cache->size_max &&
        cache->catalog.count_max <= CFC_CACHE_CONTENTS_MAX) {
        return;
    }
    if (!list_contents(cache, &list)) {
        goto out_free; /* next time */
    }
    if (list.size > cache->size_max || list.count > CFC_CACHE_CONTENTS_MAX) {
        if (!find_pins(cache, &pins)) {
            goto out_free;
        }
        remove_oldest(cache, &list, &pins);
    }
    if (list.count > 0) {
        cfc_catalog_set(&cache->catalog, &list.files[0].id, sizeof(list.files[0]), list.count,
                        list.size);
    }

out_free:
    free(list.files);
    free(pins.ids);
}
