#include "consumer/shared_content.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consumer/share_wire.h"
#include "protocol/snapshot/lookup.h"

/* Nobody can write, grow or shrink it any more: reading a mapping of it cannot fault. */
enum {
    SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE,
    SLOTS_OFFSET = 2 * CFC_INDEX_LINE_SIZE /* of a mapping, which begins at a page */
};
_Static_assert(sizeof(struct cfc_share_content) <= SLOTS_OFFSET, "the header has room");

static int
fill(int fd, const struct cfc_loaded *loaded)
{
    size_t slots_size = (size_t)loaded->index.line_count * CFC_INDEX_LINE_SIZE;
    size_t size = SLOTS_OFFSET + slots_size + loaded->body_size;
    struct cfc_share_content header = {
        .magic = CFC_SHARE_CONTENT_MAGIC,
        .seed = loaded->index.seed,
        .slots_offset = SLOTS_OFFSET,
        .body_offset = SLOTS_OFFSET + slots_size,
        .line_count = loaded->index.line_count,
        .node_count = loaded->index.node_count,
        .body_size = loaded->index.body_size,
    };
    uint8_t *p;

    if (ftruncate(fd, (off_t)size) != 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        return CONFCAST_ERR_RESOURCE;
    }
    memcpy(header.content, loaded->id.bytes, sizeof(header.content));
    memcpy(p, &header, sizeof(header));
    memcpy(p + SLOTS_OFFSET, loaded->index.slots, slots_size);
    memcpy(p + SLOTS_OFFSET + slots_size, loaded->body, loaded->body_size);
    munmap(p, size);
    return fcntl(fd, F_ADD_SEALS, SEALS) == 0 ? CONFCAST_OK : CONFCAST_ERR_RESOURCE;
}

int
cfc_shared_content_make(const struct cfc_loaded *loaded, int *fd)
{
    int error;

    *fd = -1;
    if (loaded->mapping != NULL) {
        return CONFCAST_ERR_INVALID;
    }
    *fd = memfd_create("confcast-content", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    error = fill(*fd, loaded);
    if (error != CONFCAST_OK) {
        close(*fd);
        *fd = -1;
    }
    return error;
}

/* Whether what the header says lies inside of the mapping, and lies well. */
static bool
is_sound(const struct cfc_share_content *header, size_t size, const struct cfc_digest *id)
{
    uint64_t slots_size = (uint64_t)header->line_count * CFC_INDEX_LINE_SIZE;

    return header->magic == CFC_SHARE_CONTENT_MAGIC &&
           memcmp(header->content, id->bytes, sizeof(header->content)) == 0 &&
           header->slots_offset == SLOTS_OFFSET && header->line_count > 0 &&
           header->body_offset == SLOTS_OFFSET + slots_size &&
           header->body_size <= CFC_BODY_SIZE_MAX &&
           header->body_offset + header->body_size == size;
}

int
cfc_shared_content_map(int fd, const struct cfc_digest *id, struct cfc_loaded **out)
{
    struct cfc_share_content header;
    struct cfc_loaded *loaded;
    struct stat st;
    uint8_t *p;
    int seals = fcntl(fd, F_GET_SEALS);
    int error;

    *out = NULL;
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) != 0 || st.st_size < SLOTS_OFFSET) {
        return CONFCAST_ERR_CORRUPT;
    }
    p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        return CONFCAST_ERR_RESOURCE;
    }
    memcpy(&header, p, sizeof(header));
    error = is_sound(&header, (size_t)st.st_size, id) ? CONFCAST_OK : CONFCAST_ERR_CORRUPT;
    loaded = error == CONFCAST_OK ? calloc(1, sizeof(*loaded)) : NULL;
    if (loaded == NULL) {
        munmap(p, (size_t)st.st_size);
        return error != CONFCAST_OK ? error : CONFCAST_ERR_NO_MEMORY;
    }
    cfc_index_seed_adopt(header.seed);
    atomic_init(&loaded->ref_count, 1);
    loaded->id = *id;
    loaded->mapping = p;
    loaded->mapping_size = (size_t)st.st_size;
    loaded->body = p + header.body_offset;
    loaded->body_size = header.body_size;
    loaded->index = (struct cfc_index){
        .body = loaded->body,
        .slots = (struct cfc_index_slot *)(void *)(p + header.slots_offset),
        .seed = header.seed,
        .line_count = header.line_count,
        .node_count = header.node_count,
        .body_size = header.body_size,
    };
    *out = loaded;
    return CONFCAST_OK;
}
