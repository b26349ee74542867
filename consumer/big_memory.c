#include "consumer/big_memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum {
    HUGE_PAGE_SIZE = 2 << 20,
    WASTE_MAX = 2 /* a kept piece is at most so many times as large as what is asked for */
};

struct piece {
    uint8_t *bytes; /* NULL: free slot */
    size_t size;    /* whole huge pages */
    bool is_kept;
    uint64_t kept_ns; /* since when; 0 = not looked at since */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the pieces */
static struct piece pieces[CFC_BIG_PIECES_MAX];
static atomic_uint kept_count;
static uint64_t kept_size;

/* Without MADV_HUGEPAGE: virtual machines that give free memory back to their host have to ask for
 * each huge page again, which takes four times as long as clearing small pages that are there. */
static uint8_t *
map(size_t size)
{
    size_t room = size + HUGE_PAGE_SIZE;
    uint8_t *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    if (p == MAP_FAILED) {
        return NULL;
    }
    before = -(uintptr_t)p & (HUGE_PAGE_SIZE - 1);
    if (before > 0) {
        munmap(p, before);
    }
    munmap(p + before + size, room - before - size);
    return p + before;
}

static void
unmap(struct piece *piece)
{
    if (piece->is_kept) {
        kept_size -= piece->size;
        atomic_fetch_sub(&kept_count, 1);
    }
    munmap(piece->bytes, piece->size);
    *piece = (struct piece){.bytes = NULL};
}

/* The smallest kept piece that will do. */
static struct piece *
find_kept(size_t size)
{
    struct piece *found = NULL;

    for (int i = 0; i < CFC_BIG_PIECES_MAX; i++) {
        struct piece *piece = &pieces[i];

        if (piece->is_kept && piece->size >= size && piece->size / WASTE_MAX <= size &&
            (found == NULL || piece->size < found->size)) {
            found = piece;
        }
    }
    return found;
}

static struct piece *
find_slot(void)
{
    for (int i = 0; i < CFC_BIG_PIECES_MAX; i++) {
        if (pieces[i].bytes == NULL) {
            return &pieces[i];
        }
    }
    return NULL;
}

static struct piece *
find_piece(const void *p)
{
    for (int i = 0; i < CFC_BIG_PIECES_MAX; i++) {
        if (pieces[i].bytes == p && !pieces[i].is_kept) {
            return &pieces[i];
        }
    }
    return NULL;
}

static struct piece *
find_oldest_kept(void)
{
    struct piece *found = NULL;

    for (int i = 0; i < CFC_BIG_PIECES_MAX; i++) {
        if (pieces[i].is_kept && (found == NULL || pieces[i].kept_ns < found->kept_ns)) {
            found = &pieces[i];
        }
    }
    return found;
}

void *
cfc_big_alloc(size_t size)
{
    struct piece *piece;
    void *bytes = NULL;

    if (size < CFC_BIG_SIZE_MIN || size > SIZE_MAX / 2) {
        return NULL;
    }
    size = (size + HUGE_PAGE_SIZE - 1) & ~(size_t)(HUGE_PAGE_SIZE - 1);
    pthread_mutex_lock(&lock);
    piece = find_kept(size);
    if (piece != NULL) {
        piece->is_kept = false;
        kept_size -= piece->size;
        atomic_fetch_sub(&kept_count, 1);
        bytes = piece->bytes;
    } else if ((piece = find_slot()) != NULL) {
        bytes = map(size);
        *piece = (struct piece){.bytes = bytes, .size = size};
    }
    pthread_mutex_unlock(&lock);
    return bytes;
}

bool
cfc_big_free(void *p)
{
    struct piece *piece;

    if (p == NULL || ((uintptr_t)p & (HUGE_PAGE_SIZE - 1)) != 0) {
        return false;
    }
    pthread_mutex_lock(&lock);
    piece = find_piece(p);
    if (piece != NULL) {
        piece->is_kept = true;
        piece->kept_ns = UINT64_MAX; /* until somebody looks at the clock */
        kept_size += piece->size;
        atomic_fetch_add(&kept_count, 1);
        (void)madvise(piece->bytes, piece->size, MADV_FREE);
        while (kept_size > CFC_BIG_KEPT_SIZE_MAX ||
               atomic_load(&kept_count) > CFC_BIG_KEPT_PIECES_MAX) {
            unmap(find_oldest_kept());
        }
    }
    pthread_mutex_unlock(&lock);
    return piece != NULL;
}

static void
unmap_older(uint64_t now_ns, uint64_t age_ns)
{
    for (int i = 0; i < CFC_BIG_PIECES_MAX; i++) {
        struct piece *piece = &pieces[i];

        if (piece->is_kept && piece->kept_ns == UINT64_MAX) {
            piece->kept_ns = now_ns;
        }
        if (piece->is_kept && now_ns - piece->kept_ns >= age_ns) {
            unmap(piece);
        }
    }
}

void
cfc_big_tend(uint64_t now_ns)
{
    if (atomic_load_explicit(&kept_count, memory_order_relaxed) > 0) {
        pthread_mutex_lock(&lock);
        unmap_older(now_ns, CFC_BIG_KEPT_NS);
        pthread_mutex_unlock(&lock);
    }
}

void
cfc_big_release(void)
{
    pthread_mutex_lock(&lock);
    unmap_older(0, 0);
    pthread_mutex_unlock(&lock);
}

uint64_t
cfc_big_kept_size(void)
{
    uint64_t size;

    pthread_mutex_lock(&lock);
    size = kept_size;
    pthread_mutex_unlock(&lock);
    return size;
}

void
cfc_big_lock(void)
{
    pthread_mutex_lock(&lock);
}

void
cfc_big_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void
cfc_big_unlock_in_child(void)
{
    unmap_older(0, 0);
    pthread_mutex_unlock(&lock);
}
