/* What of a folder tree survives power loss, for a process whose fsync() and fdatasync() are told
 * here.
 *
 * The model is strict: of a file survives what it held at its last sync, names count from the sync
 * of their folder on, and a file that was never synced is empty.  Files only grow, which holds for
 * those of the database; what was appended after the last sync may survive in part: `keep_ppm` of
 * it does.  A file below `size_mapped` bytes that changes without syncs (the floor, which is
 * mapped) may be found in its new state as well: `keeps_mapped`. */
#ifndef CFC_TESTS_POWER_DISK_H
#define CFC_TESTS_POWER_DISK_H

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    POWER_NODES_MAX = 256,
    POWER_ENTRIES_MAX = 64
};

struct power_entry {
    char name[64];
    ino_t ino;
};

struct power_node {
    ino_t ino;
    bool is_dir;
    uint8_t *bytes; /* of a file, at its last sync */
    size_t size;
    struct power_entry entries[POWER_ENTRIES_MAX]; /* of a folder, at its last sync */
    size_t entry_count;
};

struct power_disk {
    const char *root; /* exists durably */
    struct power_node *nodes[POWER_NODES_MAX];
    size_t node_count;
};

static inline struct power_node *
power_find(struct power_disk *disk, ino_t ino, bool is_dir)
{
    for (size_t i = 0; i < disk->node_count; i++) {
        if (disk->nodes[i]->ino == ino && disk->nodes[i]->is_dir == is_dir) {
            return disk->nodes[i];
        }
    }
    return NULL;
}

/* The bytes of a file now, on the heap. */
static inline uint8_t *
power_read(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    uint8_t *bytes;
    ssize_t n;

    *size = 0;
    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &st) != 0) {
        close(fd);
        return NULL;
    }
    bytes = malloc((size_t)st.st_size + 1);
    assert(bytes != NULL);
    n = pread(fd, bytes, (size_t)st.st_size, 0);
    close(fd);
    *size = n > 0 ? (size_t)n : 0;
    return bytes;
}

static inline void
power_list(struct power_node *node, const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    assert(dir != NULL);
    node->entry_count = 0;
    while ((entry = readdir(dir)) != NULL) {
        struct power_entry *to = &node->entries[node->entry_count];

        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            assert(node->entry_count < POWER_ENTRIES_MAX &&
                   strlen(entry->d_name) < sizeof(to->name));
            memcpy(to->name, entry->d_name, strlen(entry->d_name) + 1);
            to->ino = entry->d_ino;
            node->entry_count++;
        }
    }
    closedir(dir);
}

/* What is behind `fd` has been synced. */
static inline void
power_synced(struct power_disk *disk, int fd)
{
    struct power_node *node;
    struct stat st;
    char path[64];

    if (fstat(fd, &st) != 0) {
        return;
    }
    node = power_find(disk, st.st_ino, S_ISDIR(st.st_mode));
    if (node == NULL) {
        assert(disk->node_count < POWER_NODES_MAX);
        node = disk->nodes[disk->node_count++] = calloc(1, sizeof(*node));
        assert(node != NULL);
        node->ino = st.st_ino;
        node->is_dir = S_ISDIR(st.st_mode);
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (node->is_dir) {
        power_list(node, path);
    } else {
        free(node->bytes);
        node->bytes = power_read(path, &node->size);
    }
}

static inline void
power_write(const char *path, const uint8_t *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n;

    assert(fd >= 0);
    n = size > 0 ? write(fd, bytes, size) : 0;
    assert(n == (ssize_t)size);
    (void)n;
    close(fd);
}

/* `from` is where the file is now, if it is still there under that name. */
static inline void
power_write_file(struct power_disk *disk, ino_t ino, const char *from, const char *to,
                 uint32_t keep_ppm, bool keeps_mapped)
{
    const struct power_node *node = power_find(disk, ino, false);
    size_t synced = node != NULL ? node->size : 0;
    size_t now_size;
    struct stat st;
    uint8_t *now = stat(from, &st) == 0 && st.st_ino == ino ? power_read(from, &now_size) : NULL;

    if (now != NULL && now_size > synced) {
        size_t kept = synced + (size_t)((uint64_t)(now_size - synced) * keep_ppm / 1000000);

        if (synced > 0) {
            memcpy(now, node->bytes, synced);
        }
        power_write(to, now, kept);
    } else if (now != NULL && keeps_mapped) {
        power_write(to, now, now_size);
    } else {
        power_write(to, node != NULL ? node->bytes : NULL, synced);
    }
    free(now);
}

static inline void
power_write_dir(struct power_disk *disk, ino_t ino, const char *from, const char *to,
                uint32_t keep_ppm, bool keeps_mapped, int depth)
{
    const struct power_node *node = power_find(disk, ino, true);

    for (size_t i = 0; node != NULL && i < node->entry_count; i++) {
        const struct power_entry *entry = &node->entries[i];
        char source[512];
        char target[512];

        snprintf(source, sizeof(source), "%s/%s", from, entry->name);
        snprintf(target, sizeof(target), "%s/%s", to, entry->name);
        if (power_find(disk, entry->ino, true) != NULL) {
            assert(depth < 2); /* folders of folders of the database's */
            mkdir(target, 0700);
            power_write_dir(disk, entry->ino, source, target, keep_ppm, keeps_mapped, depth + 1);
        } else {
            power_write_file(disk, entry->ino, source, target, keep_ppm, keeps_mapped);
        }
    }
}

/* Writes what is found after power loss now into the folder `to`, which exists. */
static inline void
power_lost(struct power_disk *disk, const char *to, uint32_t keep_ppm, bool keeps_mapped)
{
    struct stat st;
    int found = stat(disk->root, &st);

    assert(found == 0);
    (void)found;
    power_write_dir(disk, st.st_ino, disk->root, to, keep_ppm, keeps_mapped, 0);
}

static inline void
power_disk_free(struct power_disk *disk)
{
    for (size_t i = 0; i < disk->node_count; i++) {
        free(disk->nodes[i]->bytes);
        free(disk->nodes[i]);
    }
    disk->node_count = 0;
}

#endif
