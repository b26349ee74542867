/* A disk that fails on purpose, and a model of what of it survives power loss.
 *
 * The test links with --wrap for the system calls below, which work on a real directory as ever.
 * The n-th one can fail, can be the last one that the process makes, or can be the moment at which
 * power is lost: then the directory is written out as it would be found, with only what was synced.
 * The model is strict: file data counts from the fsync of the file on, names from the fsync of
 * their folder on, and the pages of a file whose fsync failed count as clean, so that a second
 * fsync does nothing for them. */
#ifndef CFC_TESTS_DISK_MODEL_H
#define CFC_TESTS_DISK_MODEL_H

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int __real_openat64(int dir_fd, const char *name, int flags, ...);
int __wrap_openat64(int dir_fd, const char *name, int flags, ...);
int __real___openat64_2(int dir_fd, const char *name, int flags);
int __wrap___openat64_2(int dir_fd, const char *name, int flags);
ssize_t __real_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_unlinkat(int dir_fd, const char *name, int flags);
int __wrap_unlinkat(int dir_fd, const char *name, int flags);
struct dirent *__real_readdir64(DIR *dir);
struct dirent *__wrap_readdir64(DIR *dir);
int __real_fstatat64(int dir_fd, const char *name, struct stat *st, int flags);
int __wrap_fstatat64(int dir_fd, const char *name, struct stat *st, int flags);
int __real_mkdirat(int dir_fd, const char *name, mode_t mode);
int __wrap_mkdirat(int dir_fd, const char *name, mode_t mode);

enum {
    DISK_PAGE_SIZE = 4096,
    DISK_PAGES_MAX = 17,
    DISK_ENTRIES_MAX = 32
};

enum disk_action {
    DISK_NOTHING,
    DISK_FAIL_ONCE,
    DISK_FAIL_FROM, /* and every later one */
    DISK_SHORT,     /* a write does half of what it was asked */
    DISK_KILL,      /* the process dies before the call */
    DISK_POWER      /* what survives is written to `lost_dir`, and the process ends */
};

struct disk_node;

struct disk_entry {
    char name[256];
    struct disk_node *node;
};

/* One file or folder; what is in it is what survives power loss. */
struct disk_node {
    struct disk_node *next;
    ino_t ino;
    bool is_dir;
    struct disk_entry entries[DISK_ENTRIES_MAX];
    size_t entry_count;
    uint8_t *bytes; /* DISK_PAGES_MAX pages, from the first sync on */
    size_t size;
    bool is_dirty[DISK_PAGES_MAX];
};

static struct disk {
    bool is_on;
    bool is_readonly;       /* as a file system mounted so; without the model */
    unsigned stat_fails_at; /* number of the fstatat(), from 1; 0: none; without the model */
    unsigned stats;
    unsigned list_fails_at; /* the same of the names of folders */
    unsigned listed;
    enum disk_action action;
    int error;
    unsigned at; /* number of the call, from 1 */
    unsigned calls;
    const char *root;
    const char *lost_dir;
    struct disk_node *nodes; /* newest first: an inode number may come again */
} disk;

static inline struct disk_node *
disk_find(const struct stat *st)
{
    struct disk_node *node = disk.nodes;

    while (node != NULL && (node->ino != st->st_ino || node->is_dir != S_ISDIR(st->st_mode))) {
        node = node->next;
    }
    return node;
}

static inline struct disk_node *
disk_add(const struct stat *st)
{
    struct disk_node *node = calloc(1, sizeof(*node));

    assert(node != NULL);
    node->ino = st->st_ino;
    node->is_dir = S_ISDIR(st->st_mode);
    node->next = disk.nodes;
    disk.nodes = node;
    return node;
}

/* Begins with an empty folder that is durable. */
static inline void
disk_begin(const char *root, enum disk_action action, unsigned at, int error)
{
    struct stat st;
    int found = stat(root, &st);

    assert(found == 0);
    (void)found;
    disk = (struct disk){.is_on = true, .action = action, .error = error, .at = at, .root = root};
    disk_add(&st);
}

static inline void
disk_end(void)
{
    disk.is_on = false;
    while (disk.nodes != NULL) {
        struct disk_node *next = disk.nodes->next;

        free(disk.nodes->bytes);
        free(disk.nodes);
        disk.nodes = next;
    }
}

static inline void
disk_sync_dir(struct disk_node *node, int fd)
{
    int list_fd = __real_openat64(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fdopendir(list_fd);
    struct dirent *entry;

    assert(dir != NULL);
    node->entry_count = 0;
    while ((entry = readdir(dir)) != NULL) {
        struct disk_entry *to = &node->entries[node->entry_count];
        struct stat st;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        to->node = disk_find(&st);
        assert(to->node != NULL && node->entry_count + 1 < DISK_ENTRIES_MAX);
        snprintf(to->name, sizeof(to->name), "%s", entry->d_name);
        node->entry_count++;
    }
    closedir(dir);
}

static inline void
disk_sync_file(struct disk_node *node, int fd, off_t size)
{
    static uint8_t now[DISK_PAGES_MAX * DISK_PAGE_SIZE];
    char path[64];
    int read_fd;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    read_fd = open(path, O_RDONLY | O_CLOEXEC);
    assert(read_fd >= 0 && size <= (off_t)sizeof(now));
    n = pread(read_fd, now, sizeof(now), 0);
    assert(n == size);
    (void)n;
    close(read_fd);
    if (node->bytes == NULL) {
        node->bytes = calloc(DISK_PAGES_MAX, DISK_PAGE_SIZE);
        assert(node->bytes != NULL);
    }
    for (size_t page = 0; page < DISK_PAGES_MAX; page++) {
        if (node->is_dirty[page]) {
            memcpy(node->bytes + page * DISK_PAGE_SIZE, now + page * DISK_PAGE_SIZE,
                   DISK_PAGE_SIZE);
        }
    }
    node->size = (size_t)size;
}

static inline void
disk_synced(int fd, bool is_fine)
{
    struct disk_node *node;
    struct stat st;

    if (!disk.is_on || fstat(fd, &st) != 0) {
        return;
    }
    node = disk_find(&st);
    assert(node != NULL);
    if (node->is_dir) {
        if (is_fine) {
            disk_sync_dir(node, fd);
        }
        return;
    }
    if (is_fine) {
        disk_sync_file(node, fd, st.st_size);
    }
    memset(node->is_dirty, 0, sizeof(node->is_dirty));
}

static __attribute__((noinline)) void
disk_write_out(const struct disk_node *node, int dir_fd)
{
    for (size_t i = 0; i < node->entry_count; i++) {
        const struct disk_entry *entry = &node->entries[i];
        int fd;

        if (entry->node->is_dir) {
            __real_mkdirat(dir_fd, entry->name, 0700);
            fd = __real_openat64(dir_fd, entry->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            disk_write_out(entry->node, fd);
        } else {
            ssize_t n;

            fd = __real_openat64(dir_fd, entry->name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
            n = entry->node->size > 0 ? write(fd, entry->node->bytes, entry->node->size) : 0;
            assert(n == (ssize_t)entry->node->size);
            (void)n;
        }
        close(fd);
    }
}

/* Writes what survives power loss now below `path`. */
static inline void
disk_lose_power(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct disk_node *root;
    struct stat st;
    int found = stat(disk.root, &st);

    assert(fd >= 0 && found == 0);
    (void)found;
    root = disk_find(&st);
    assert(root != NULL);
    disk.is_on = false;
    disk_write_out(root, fd);
    close(fd);
}

/* Whether this call is to fail (errno is set); does what else is due. */
static inline bool
disk_is_refused(void)
{
    if (!disk.is_on) {
        return false;
    }
    disk.calls++;
    if (disk.calls < disk.at || (disk.calls > disk.at && disk.action != DISK_FAIL_FROM)) {
        return false;
    }
    switch (disk.action) {
    case DISK_FAIL_ONCE:
    case DISK_FAIL_FROM:
        errno = disk.error;
        return true;
    case DISK_KILL:
        raise(SIGKILL);
        return true;
    case DISK_POWER:
        disk_lose_power(disk.lost_dir);
        _exit(0);
    default:
        return false;
    }
}

static inline bool
disk_is_readonly(void)
{
    if (disk.is_readonly) {
        errno = EROFS;
    }
    return disk.is_readonly;
}

static inline int
disk_opened(int fd, int flags)
{
    struct stat st;

    if (disk.is_on && fd >= 0 && (flags & O_CREAT) != 0 && fstat(fd, &st) == 0 &&
        ((flags & O_EXCL) != 0 || disk_find(&st) == NULL)) {
        disk_add(&st);
    }
    return fd;
}

int
__wrap_openat64(int dir_fd, const char *name, int flags, ...)
{
    va_list args;
    mode_t mode = 0;

    if ((flags & O_CREAT) != 0) {
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    if (disk_is_refused() || (disk_is_readonly() && (flags & (O_WRONLY | O_RDWR)) != 0)) {
        return -1;
    }
    return disk_opened(__real_openat64(dir_fd, name, flags, mode), flags);
}

int
__wrap___openat64_2(int dir_fd, const char *name, int flags)
{
    return disk_is_refused() ? -1 : __real___openat64_2(dir_fd, name, flags);
}

ssize_t
__wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
    bool is_refused = disk_is_refused();
    struct stat st;
    ssize_t n;

    if (is_refused) {
        return -1;
    }
    if (disk.is_on && disk.action == DISK_SHORT && disk.calls == disk.at) {
        size = (size + 1) / 2;
    }
    n = __real_pwrite64(fd, bytes, size, offset);
    if (disk.is_on && n > 0 && fstat(fd, &st) == 0) {
        struct disk_node *node = disk_find(&st);

        for (off_t page = offset / DISK_PAGE_SIZE; page <= (offset + n - 1) / DISK_PAGE_SIZE;
             page++) {
            assert(page < DISK_PAGES_MAX);
            node->is_dirty[page] = true;
        }
    }
    return n;
}

int
__wrap_fsync(int fd)
{
    bool is_refused = disk_is_refused();
    int result = is_refused ? -1 : 0;

    disk_synced(fd, !is_refused);
    return result;
}

int
__wrap_fdatasync(int fd)
{
    bool is_refused = disk_is_refused();
    int result = is_refused ? -1 : 0;

    disk_synced(fd, !is_refused);
    return result;
}

int
__wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return disk_is_refused() || disk_is_readonly() ? -1 : __real_renameat(from_fd, from, to_fd, to);
}

int
__wrap_unlinkat(int dir_fd, const char *name, int flags)
{
    return disk_is_refused() || disk_is_readonly() ? -1 : __real_unlinkat(dir_fd, name, flags);
}

struct dirent *
__wrap_readdir64(DIR *dir)
{
    if (++disk.listed == disk.list_fails_at) {
        errno = EIO;
        return NULL;
    }
    return __real_readdir64(dir);
}

int
__wrap_fstatat64(int dir_fd, const char *name, struct stat *st, int flags)
{
    if (++disk.stats == disk.stat_fails_at) {
        errno = EIO;
        return -1;
    }
    return __real_fstatat64(dir_fd, name, st, flags);
}

int
__wrap_mkdirat(int dir_fd, const char *name, mode_t mode)
{
    int result = disk_is_refused() ? -1 : __real_mkdirat(dir_fd, name, mode);
    struct stat st;

    if (disk.is_on && result == 0 && fstatat(dir_fd, name, &st, 0) == 0) {
        disk_add(&st);
    }
    return result;
}

#endif
