/* What lies in the folder of contents, so that the loop need not ask the disk for a content that
 * nobody has seen before, nor the persister count all files after each that it writes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consumer/cache_state.h"

enum {
    WORD_BITS = 32,
    BIT_COUNT = CFC_CATALOG_WORDS * WORD_BITS,
};

_Static_assert((BIT_COUNT & (BIT_COUNT - 1)) == 0, "bits are chosen by a mask");

static uint32_t
bit_of(const struct cfc_digest *id)
{
    return (uint32_t)cfc_digest_key(id) & (BIT_COUNT - 1);
}

static void
set_bit(struct cfc_catalog *catalog, const struct cfc_digest *id)
{
    uint32_t bit = bit_of(id);

    atomic_fetch_or(&catalog->words[bit / WORD_BITS], 1U << bit % WORD_BITS);
}

static void
set_all(struct cfc_catalog *catalog)
{
    for (size_t i = 0; i < CFC_CATALOG_WORDS; i++) {
        atomic_store(&catalog->words[i], UINT32_MAX);
    }
}

void
cfc_catalog_open(struct cfc_catalog *catalog, int contents_fd)
{
    int fd = openat(contents_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    struct cfc_digest id;

    catalog->size_max = UINT64_MAX;
    catalog->count_max = UINT64_MAX;
    if (dir == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        set_all(catalog);
        return;
    }
    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (cfc_cache_content_parse(entry->d_name, &id)) {
            set_bit(catalog, &id);
        }
    }
    if (errno != 0) {
        set_all(catalog);
    }
    closedir(dir);
}

void
cfc_catalog_add(struct cfc_catalog *catalog, const struct cfc_digest *id, uint64_t size)
{
    set_bit(catalog, id);
    if (catalog->size_max <= UINT64_MAX - size && catalog->count_max < UINT64_MAX) {
        catalog->size_max += size;
        catalog->count_max++;
    }
}

void
cfc_catalog_set(struct cfc_catalog *catalog, const struct cfc_digest *ids, size_t id_stride,
                size_t count, uint64_t size)
{
    uint32_t words[CFC_CATALOG_WORDS] = {0};

    for (size_t i = 0; i < count; i++) {
        uint32_t bit = bit_of((const void *)((const uint8_t *)ids + i * id_stride));

        words[bit / WORD_BITS] |= 1U << bit % WORD_BITS;
    }
    /* Bits of what is there stay on all the time. */
    for (size_t i = 0; i < CFC_CATALOG_WORDS; i++) {
        atomic_store(&catalog->words[i], words[i]);
    }
    catalog->size_max = size;
    catalog->count_max = count;
}

bool
cfc_catalog_may_have(const struct cfc_catalog *catalog, const struct cfc_digest *id)
{
    uint32_t bit = bit_of(id);

    return (atomic_load(&catalog->words[bit / WORD_BITS]) >> bit % WORD_BITS & 1) != 0;
}
