/* What only the store on disk can get wrong: locks, formats, damage, full disks, sudden death. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/store/meta.h"
#include "controlplane/store/store.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/temp_dir.h"
#include "tests/unit/write_limit.h"

static char last_line[8192];

static void
keep_line(void *arg, const char *line)
{
    (void)arg;
    snprintf(last_line, sizeof(last_line), "%s", line);
}

static int
open_at(const char *path, struct cfc_store **store)
{
    struct cfc_store_rocksdb_config config = {
        .path = path, .space_min_bytes = 1024 * 1024, .log = keep_line};

    last_line[0] = '\0';
    return cfc_store_rocksdb_open(&config, store);
}

static int
put_bytes(struct cfc_store *store, const char *key, const void *bytes, size_t size)
{
    struct cfc_store_batch batch;
    uint64_t seq;
    int error;

    cfc_store_batch_init(&batch);
    cfc_store_put(&batch, key, strlen(key), bytes, size);
    error = cfc_store_commit(store, &batch, &seq);
    cfc_store_batch_clear(&batch);
    return error;
}

static int
get_u64(struct cfc_store *store, const char *key, uint64_t *number)
{
    struct cfc_store_value value;
    int error = cfc_store_get(store, key, strlen(key), &value);

    if (error == CONFCAST_OK) {
        *number = value.size == 8 ? cfc_get_u64(value.bytes) : UINT64_MAX;
        cfc_store_value_free(&value);
    }
    return error;
}

static void
what_was_committed_is_there_after_reopening(void)
{
    struct temp_dir dir = temp_dir_make();
    struct cfc_store *store;
    uint64_t n = 7;

    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_bytes(store, "a", &n, sizeof(n)), CONFCAST_OK);
    cfc_store_close(store);
    n = 0;
    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_seq(store), 1);
    CU_ASSERT_EQUAL(get_u64(store, "a", &n), CONFCAST_OK);
    CU_ASSERT_EQUAL(n, 7);
    cfc_store_close(store);
    temp_dir_remove(&dir);
}

static void
a_second_opener_is_told_that_the_store_is_busy(void)
{
    struct temp_dir dir = temp_dir_make();
    struct cfc_store *store;
    struct cfc_store *second = NULL;
    int status;
    pid_t child;

    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    CU_ASSERT_EQUAL(open_at(dir.path, &second), CONFCAST_ERR_BUSY);
    child = fork();
    if (child == 0) {
        _exit(open_at(dir.path, &second) == CONFCAST_ERR_BUSY ? 0 : 1);
    }
    waitpid(child, &status, 0);
    CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CU_ASSERT_EQUAL(put_bytes(store, "a", "1", 1), CONFCAST_OK);
    cfc_store_close(store);
    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    cfc_store_close(store);
    temp_dir_remove(&dir);
}

static void
path_in(char *out, size_t size, const struct temp_dir *dir, const char *name)
{
    snprintf(out, size, "%s/%s", dir->path, name);
}

static void
write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t written = write(fd, text, strlen(text));

    assert(fd >= 0 && written == (ssize_t)strlen(text));
    (void)written;
    close(fd);
}

/* A number that changes when any file of the folder changes, comes or goes. */
static uint64_t hash_sum;

static int
hash_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    (void)type;
    (void)ftw;
    for (const char *p = path; *p != '\0'; p++) {
        hash = (hash ^ (uint8_t)*p) * UINT64_C(1099511628211);
    }
    hash ^= (uint64_t)st->st_size * 31 + (uint64_t)st->st_mtim.tv_nsec +
            (uint64_t)st->st_mtim.tv_sec * UINT64_C(1000000007);
    hash_sum += hash * UINT64_C(1099511628211);
    return 0;
}

static uint64_t
folder_hash(const struct temp_dir *dir)
{
    hash_sum = 0;
    (void)nftw(dir->path, hash_entry, 16, FTW_PHYS);
    return hash_sum;
}

static void
a_store_of_another_version_is_refused_and_not_touched(void)
{
    static const char *const others[] = {"confcast store 2\n", "confcast store 10\n", "", "junk",
                                         "confcast store 1"};
    struct temp_dir dir = temp_dir_make();
    char path[300];
    struct cfc_store *store;
    uint64_t before;

    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_bytes(store, "a", "1", 1), CONFCAST_OK);
    cfc_store_close(store);
    path_in(path, sizeof(path), &dir, "format");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        write_file(path, others[i]);
        before = folder_hash(&dir);
        CU_ASSERT_EQUAL(open_at(dir.path, &store), CONFCAST_ERR_SCHEMA);
        CU_ASSERT_EQUAL(folder_hash(&dir), before);
    }
    unlink(path);
    before = folder_hash(&dir);
    CU_ASSERT_EQUAL(open_at(dir.path, &store), CONFCAST_ERR_SCHEMA);
    CU_ASSERT_EQUAL(folder_hash(&dir), before);
    write_file(path, "confcast store 1\n");
    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    cfc_store_close(store);
    temp_dir_remove(&dir);
}

static int
has_suffix(const char *name, const char *suffix)
{
    size_t size = strlen(name);
    size_t suffix_size = strlen(suffix);

    return size >= suffix_size && strcmp(name + size - suffix_size, suffix) == 0;
}

/* The biggest file in db/ whose name ends so. */
static off_t
find_file(const struct temp_dir *dir, const char *suffix, char *out, size_t out_size)
{
    char db[300];
    char path[600];
    struct dirent *entry;
    struct stat st;
    off_t biggest = -1;
    DIR *d;

    path_in(db, sizeof(db), dir, "db");
    d = opendir(db);
    while (d != NULL && (entry = readdir(d)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", db, entry->d_name);
        if (has_suffix(entry->d_name, suffix) && stat(path, &st) == 0 && st.st_size > biggest) {
            biggest = st.st_size;
            snprintf(out, out_size, "%s", path);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    return biggest;
}

static void
flip(const char *path, off_t offset)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR);
    ssize_t done = pread(fd, &byte, 1, offset);

    byte ^= 0x10;
    done += pwrite(fd, &byte, 1, offset);
    assert(done == 2);
    (void)done;
    close(fd);
}

enum {
    KEY_COUNT = 40
};

/* Every key is right, or the store says what is wrong: never wrong data, never a silent loss. */
static int
read_all(struct cfc_store *store)
{
    for (uint64_t i = 0; i < KEY_COUNT; i++) {
        char key[16];
        uint64_t n;
        int error;

        snprintf(key, sizeof(key), "key%02d", (int)i);
        error = get_u64(store, key, &n);
        if (error != CONFCAST_OK) {
            return error;
        }
        CU_ASSERT_EQUAL(n, i);
    }
    return CONFCAST_OK;
}

/* cp -a FROM/. TO */
static void
copy_folder(const struct temp_dir *from, const struct temp_dir *to)
{
    char source[300];
    char target[300];
    char command[] = "cp";
    char archive[] = "-a";
    char *const argv[] = {command, archive, source, target, NULL};
    int status = -1;
    pid_t child;

    path_in(source, sizeof(source), from, ".");
    path_in(target, sizeof(target), to, "");
    CU_ASSERT_EQUAL_FATAL(posix_spawnp(&child, "cp", NULL, NULL, argv, environ), 0);
    waitpid(child, &status, 0);
    CU_ASSERT_TRUE_FATAL(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Writes KEY_COUNT keys; with is_clean they go to a table file, otherwise they stay in the log. */
static void
fill(const struct temp_dir *dir, bool is_clean)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct cfc_store *store;

        if (open_at(dir->path, &store) != CONFCAST_OK) {
            _exit(1);
        }
        for (uint64_t i = 0; i < KEY_COUNT; i++) {
            char key[16];

            snprintf(key, sizeof(key), "key%02d", (int)i);
            if (put_bytes(store, key, &i, sizeof(i)) != CONFCAST_OK) {
                _exit(1);
            }
        }
        _exit(0); /* without closing: all of it is in the log */
    }
    waitpid(child, &status, 0);
    CU_ASSERT_TRUE_FATAL(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (is_clean) {
        struct cfc_store *store;

        /* Recovery writes what the log holds into a table. */
        CU_ASSERT_EQUAL_FATAL(open_at(dir->path, &store), CONFCAST_OK);
        cfc_store_close(store);
    }
}

static void
flip_everywhere(bool is_clean, const char *suffix, off_t step, unsigned *corrupt_count)
{
    struct temp_dir original = temp_dir_make();
    char path[700];
    off_t size;

    fill(&original, is_clean);
    size = find_file(&original, suffix, path, sizeof(path));
    CU_ASSERT_TRUE_FATAL(size > 0);
    for (off_t offset = 0; offset < size; offset += step) {
        struct temp_dir dir = temp_dir_make();
        struct cfc_store *store = NULL;
        char damaged[700];
        int error;

        copy_folder(&original, &dir);
        find_file(&dir, suffix, damaged, sizeof(damaged));
        flip(damaged, offset);
        error = open_at(dir.path, &store);
        if (error == CONFCAST_OK) {
            error = read_all(store);
            cfc_store_close(store);
        }
        if (error != CONFCAST_OK) {
            CU_ASSERT_EQUAL(error, CONFCAST_ERR_CORRUPT);
            /* RocksDB blames the manifest that lists a table for some damage in that table. */
            CU_ASSERT_TRUE(strstr(last_line, suffix) != NULL ||
                           strstr(last_line, "MANIFEST") != NULL);
            (*corrupt_count)++;
        }
        temp_dir_remove(&dir);
    }
    temp_dir_remove(&original);
}

static void
a_flipped_bit_in_the_log_is_corrupt_and_loses_nothing_silently(void)
{
    unsigned corrupt_count = 0;

    flip_everywhere(false, ".log", 97, &corrupt_count);
    CU_ASSERT_TRUE(corrupt_count > 10);
}

static void
a_flipped_bit_in_a_table_is_corrupt_and_never_wrong_data(void)
{
    unsigned corrupt_count = 0;

    flip_everywhere(true, ".sst", 61, &corrupt_count);
    CU_ASSERT_TRUE(corrupt_count > 5);
}

static void
a_log_cut_short_is_corrupt_since_it_lost_acknowledged_commits(void)
{
    struct temp_dir dir = temp_dir_make();
    struct cfc_store *store;
    char path[700];
    off_t size;

    fill(&dir, false);
    size = find_file(&dir, ".log", path, sizeof(path));
    CU_ASSERT_TRUE_FATAL(size > 0);
    CU_ASSERT_EQUAL(truncate(path, size - 1), 0);
    CU_ASSERT_EQUAL(open_at(dir.path, &store), CONFCAST_ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(last_line, "log"));
    temp_dir_remove(&dir);
}

static void
a_full_disk_refuses_commits_and_takes_them_again_when_there_is_room(void)
{
    struct temp_dir dir = temp_dir_make();
    struct cfc_store *store;
    char filler[300];
    uint8_t bytes[4096] = {1};
    uint64_t n = 0;
    int fd;

    if (mount("none", dir.path, "tmpfs", MS_NOSUID | MS_NODEV, "size=24m") != 0) {
        printf("  (skipped: a small tmpfs cannot be mounted here: %s) ", strerror(errno));
        temp_dir_remove(&dir);
        return;
    }
    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_bytes(store, "before", &n, sizeof(n)), CONFCAST_OK);
    path_in(filler, sizeof(filler), &dir, "filler");
    fd = open(filler, O_WRONLY | O_CREAT, 0600);
    while (write(fd, bytes, sizeof(bytes)) > 0) {
    }
    close(fd);
    CU_ASSERT_EQUAL(put_bytes(store, "during", &n, sizeof(n)), CONFCAST_ERR_NO_SPACE);
    CU_ASSERT_EQUAL(get_u64(store, "before", &n), CONFCAST_OK);
    unlink(filler);
    CU_ASSERT_EQUAL(get_u64(store, "during", &n), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(put_bytes(store, "after", &n, sizeof(n)), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_seq(store), 2);
    cfc_store_close(store);
    umount(dir.path);
    temp_dir_remove(&dir);
}

/* As above, but the disk fills up under RocksDB itself, which the look at the free space beforehand
 * cannot foresee. */
static void
a_disk_that_fills_up_within_a_commit_loses_nothing_acknowledged(void)
{
    struct temp_dir dir = temp_dir_make();
    struct cfc_store_rocksdb_config config = {
        .path = dir.path, .space_min_bytes = 1, .log = keep_line};
    static uint8_t big[300 * 1024];
    struct cfc_store *store;
    char filler[300];
    uint8_t bytes[4096] = {1};
    uint64_t n = 5;
    uint64_t acknowledged = 0;
    int error;
    int fd;

    if (mount("none", dir.path, "tmpfs", MS_NOSUID | MS_NODEV, "size=24m") != 0) {
        printf("  (skipped: a small tmpfs cannot be mounted here: %s) ", strerror(errno));
        temp_dir_remove(&dir);
        return;
    }
    CU_ASSERT_EQUAL_FATAL(cfc_store_rocksdb_open(&config, &store), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_bytes(store, "before", &n, sizeof(n)), CONFCAST_OK);
    path_in(filler, sizeof(filler), &dir, "filler");
    fd = open(filler, O_WRONLY | O_CREAT, 0600);
    while (write(fd, bytes, sizeof(bytes)) > 0) {
    }
    CU_ASSERT_EQUAL(ftruncate(fd, lseek(fd, 0, SEEK_END) - 1024 * 1024), 0);
    close(fd);
    do {
        error = put_bytes(store, "big", big, sizeof(big));
        acknowledged += error == CONFCAST_OK;
    } while (error == CONFCAST_OK && acknowledged < 100);
    CU_ASSERT_TRUE(error == CONFCAST_ERR_NO_SPACE || error == CONFCAST_ERR_IO);
    CU_ASSERT_TRUE(acknowledged < 100);
    /* Reads go on, whatever RocksDB makes of it. */
    CU_ASSERT_EQUAL(get_u64(store, "before", &n), CONFCAST_OK);
    CU_ASSERT_EQUAL(n, 5);
    unlink(filler);
    n = 6;
    CU_ASSERT_EQUAL(put_bytes(store, "after", &n, sizeof(n)), CONFCAST_OK);
    CU_ASSERT_EQUAL(get_u64(store, "before", &n), CONFCAST_OK);
    CU_ASSERT_EQUAL(n, 5);
    CU_ASSERT_TRUE(cfc_store_seq(store) >= acknowledged + 2);
    CU_ASSERT_TRUE(cfc_store_seq(store) <= acknowledged + 3);
    cfc_store_close(store);
    CU_ASSERT_EQUAL_FATAL(cfc_store_rocksdb_open(&config, &store), CONFCAST_OK);
    CU_ASSERT_EQUAL(get_u64(store, "after", &n), CONFCAST_OK);
    CU_ASSERT_EQUAL(n, 6);
    cfc_store_close(store);
    umount(dir.path);
    temp_dir_remove(&dir);
}

/* The engine finds these before those of libc: they count, and fail when told to. */
static unsigned sync_count;
static int sync_errno;

static int
sync_or_fail(long number, int fd)
{
    sync_count++;
    if (sync_errno != 0) {
        errno = sync_errno;
        return -1;
    }
    return (int)syscall(number, fd);
}

int
fdatasync(int fd)
{
    return sync_or_fail(SYS_fdatasync, fd);
}

int
fsync(int fd)
{
    return sync_or_fail(SYS_fsync, fd);
}

static void
every_commit_is_synced_and_takes_the_blobs_before_it_along(void)
{
    struct temp_dir dir = temp_dir_make();
    struct cfc_digest digest = {.bytes = {1}};
    struct cfc_store *store;

    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    for (int i = 0; i < 5; i++) {
        sync_count = 0;
        CU_ASSERT_EQUAL(put_bytes(store, "a", "1", 1), CONFCAST_OK);
        CU_ASSERT_TRUE(sync_count >= 1);
    }
    sync_count = 0;
    CU_ASSERT_EQUAL(cfc_store_put_blob(store, &digest, "abc", 3), CONFCAST_OK);
    CU_ASSERT_EQUAL(sync_count, 0);
    CU_ASSERT_EQUAL(put_bytes(store, "a", "1", 1), CONFCAST_OK);
    CU_ASSERT_TRUE(sync_count >= 1);
    cfc_store_close(store);
    temp_dir_remove(&dir);
}

static int
stage_bytes(struct cfc_store *store, const char *key, const void *bytes, size_t size, uint64_t *seq)
{
    struct cfc_store_batch batch;
    int error;

    cfc_store_batch_init(&batch);
    cfc_store_put(&batch, key, strlen(key), bytes, size);
    error = cfc_store_stage(store, &batch, seq);
    cfc_store_batch_clear(&batch);
    return error;
}

static void
what_is_staged_is_seen_at_once_and_durable_by_one_sync_for_all(void)
{
    struct temp_dir dir = temp_dir_make();
    struct cfc_store_value value;
    struct cfc_store *store;
    uint64_t seq = 0;
    uint64_t n;

    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    n = 0;
    CU_ASSERT_EQUAL(put_bytes(store, "a", &n, sizeof(n)), CONFCAST_OK); /* syncs the folder too */
    sync_count = 0;
    for (n = 1; n <= 10; n++) {
        CU_ASSERT_EQUAL(stage_bytes(store, "a", &n, sizeof(n), &seq), CONFCAST_OK);
        CU_ASSERT_EQUAL(seq, n + 1);
    }
    CU_ASSERT_EQUAL(sync_count, 0);
    CU_ASSERT_EQUAL(get_u64(store, "a", &n), CONFCAST_OK);
    CU_ASSERT_EQUAL(n, 10);
    CU_ASSERT_EQUAL_FATAL(cfc_store_get(store, "a", 1, &value), CONFCAST_OK);
    CU_ASSERT_EQUAL(value.mod_seq, 11);
    cfc_store_value_free(&value);
    CU_ASSERT_EQUAL(cfc_store_seq(store), 11);
    CU_ASSERT_EQUAL(cfc_store_durable_seq(store), 1);
    CU_ASSERT_EQUAL(cfc_store_sync(store), CONFCAST_OK);
    CU_ASSERT_EQUAL(sync_count, 1);
    CU_ASSERT_EQUAL(cfc_store_durable_seq(store), 11);
    cfc_store_close(store);
    temp_dir_remove(&dir);
}

struct syncing {
    struct cfc_store *store;
    atomic_bool is_over;
    unsigned count;
};

static void *
sync_again_and_again(void *arg)
{
    struct syncing *syncing = arg;

    while (!atomic_load(&syncing->is_over)) {
        CU_ASSERT_EQUAL(cfc_store_sync(syncing->store), CONFCAST_OK);
        syncing->count++;
    }
    return NULL;
}

static void
what_is_staged_is_seen_at_any_time_of_a_sync(void)
{
    struct temp_dir dir = temp_dir_make();
    struct syncing syncing = {.count = 0};
    struct cfc_store_value value;
    pthread_t thread;
    unsigned lost = 0;
    uint64_t seq = 0;
    char key[8];

    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &syncing.store), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, sync_again_and_again, &syncing), 0);
    for (uint64_t n = 1; n <= 20000; n++) {
        snprintf(key, sizeof(key), "k%u", (unsigned)(n % 7));
        lost += stage_bytes(syncing.store, key, &n, sizeof(n), &seq) != CONFCAST_OK;
        /* The oldest, which is the one that may be on its way. */
        snprintf(key, sizeof(key), "k%u", (unsigned)((n + 1) % 7));
        if (n < 7 || cfc_store_get(syncing.store, key, strlen(key), &value) != CONFCAST_OK) {
            lost += n >= 7;
            continue;
        }
        lost += value.mod_seq != seq - 6 || cfc_get_u64(value.bytes) != n - 6;
        cfc_store_value_free(&value);
    }
    atomic_store(&syncing.is_over, true);
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(lost, 0);
    CU_ASSERT_TRUE(syncing.count > 0);
    CU_ASSERT_EQUAL(cfc_store_sync(syncing.store), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_durable_seq(syncing.store), 20000);
    cfc_store_close(syncing.store);
    temp_dir_remove(&dir);
}

static struct cfc_store *looked_at;
static uint64_t seen[3]; /* of a, b and c while they are on their way; 0 = not there */

static void
look_on_the_way(const char *point)
{
    if (strcmp(point, "commit:taken") == 0) {
        (void)get_u64(looked_at, "a", &seen[0]);
        (void)get_u64(looked_at, "b", &seen[1]);
        seen[2] = get_u64(looked_at, "c", &seen[2]) == CONFCAST_ERR_NOT_FOUND ? 0 : 99;
    }
}

static void
what_is_on_its_way_to_the_database_is_seen(void)
{
    struct temp_dir dir = temp_dir_make();
    struct cfc_store_batch batch;
    uint64_t seq = 0;
    uint64_t n = 1;

    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &looked_at), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_bytes(looked_at, "a", &n, sizeof(n)), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_bytes(looked_at, "c", &n, sizeof(n)), CONFCAST_OK);
    n = 2;
    CU_ASSERT_EQUAL(stage_bytes(looked_at, "a", &n, sizeof(n), &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(stage_bytes(looked_at, "b", &n, sizeof(n), &seq), CONFCAST_OK);
    cfc_store_batch_init(&batch);
    cfc_store_delete(&batch, "c", 1);
    CU_ASSERT_EQUAL(cfc_store_stage(looked_at, &batch, &seq), CONFCAST_OK);
    cfc_store_batch_clear(&batch);
    cfc_store_crash_hook = look_on_the_way;
    CU_ASSERT_EQUAL(cfc_store_sync(looked_at), CONFCAST_OK);
    cfc_store_crash_hook = NULL;
    CU_ASSERT_EQUAL(seen[0], 2);
    CU_ASSERT_EQUAL(seen[1], 2);
    CU_ASSERT_EQUAL(seen[2], 0);
    cfc_store_close(looked_at);
    temp_dir_remove(&dir);
}

static int
add_number(void *arg, const struct cfc_store_item *item)
{
    uint64_t *sum = arg;

    *sum += cfc_get_u64(item->value);
    return 0;
}

static void
scans_see_what_is_staged_and_deletions_too(void)
{
    struct temp_dir dir = temp_dir_make();
    struct cfc_store_batch batch;
    struct cfc_store *store;
    uint64_t sum = 0;
    uint64_t seq = 0;
    uint64_t n = 5;

    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_bytes(store, "n/gone", &n, sizeof(n)), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_bytes(store, "n/old", &n, sizeof(n)), CONFCAST_OK);
    cfc_store_batch_init(&batch);
    cfc_store_delete(&batch, "n/gone", 6);
    CU_ASSERT_EQUAL(cfc_store_stage(store, &batch, &seq), CONFCAST_OK);
    cfc_store_batch_clear(&batch);
    CU_ASSERT_EQUAL(get_u64(store, "n/gone", &n), CONFCAST_ERR_NOT_FOUND);
    n = 20;
    CU_ASSERT_EQUAL(stage_bytes(store, "n/new", &n, sizeof(n), &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_scan(store, "n/", 2, NULL, 0, add_number, &sum), CONFCAST_OK);
    CU_ASSERT_EQUAL(sum, 25);
    CU_ASSERT_EQUAL(cfc_store_durable_seq(store), 2);
    CU_ASSERT_EQUAL(cfc_store_sync(store), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_durable_seq(store), 4);
    cfc_store_close(store);
    temp_dir_remove(&dir);
}

static void
much_that_is_staged_is_written_before_a_sync_and_lost_by_none(void)
{
    struct temp_dir dir = temp_dir_make();
    static uint8_t big[1000 * 1000];
    struct cfc_store_value value;
    struct cfc_store *store;
    uint64_t seq = 0;
    char key[16];

    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    for (int i = 0; i < 10; i++) {
        snprintf(key, sizeof(key), "big%d", i);
        memset(big, i, sizeof(big));
        CU_ASSERT_EQUAL(stage_bytes(store, key, big, sizeof(big), &seq), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(cfc_store_durable_seq(store), 0);
    CU_ASSERT_EQUAL(cfc_store_sync(store), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_durable_seq(store), 10);
    cfc_store_close(store);
    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    for (int i = 0; i < 10; i++) {
        snprintf(key, sizeof(key), "big%d", i);
        CU_ASSERT_EQUAL_FATAL(cfc_store_get(store, key, strlen(key), &value), CONFCAST_OK);
        CU_ASSERT_EQUAL(value.size, sizeof(big));
        CU_ASSERT_EQUAL(value.bytes[value.size - 1], i);
        CU_ASSERT_EQUAL(value.mod_seq, (uint64_t)i + 1);
        cfc_store_value_free(&value);
    }
    cfc_store_close(store);
    temp_dir_remove(&dir);
}

/* The log may reach the disk at any time, up to any record. */
static void
a_blob_goes_after_the_batch_that_lets_go_of_it(void)
{
    struct temp_dir dir = temp_dir_make();
    const struct cfc_digest digest = {.bytes = {1}};
    static const struct cfc_digest other = {.bytes = {2}};
    static uint8_t big[3 << 20];
    struct cfc_store *store;
    uint64_t size;
    uint64_t n = 1;
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct cfc_store_batch batch;
        uint64_t seq;

        cfc_store_batch_init(&batch);
        cfc_store_delete(&batch, "owner", 5);
        if (open_at(dir.path, &store) == CONFCAST_OK &&
            cfc_store_put_blob(store, &digest, "abc", 3) == CONFCAST_OK &&
            put_bytes(store, "owner", &n, sizeof(n)) == CONFCAST_OK &&
            cfc_store_stage(store, &batch, &seq) == CONFCAST_OK &&
            cfc_store_delete_blob(store, &digest) == CONFCAST_OK &&
            cfc_store_put_blob(store, &other, big, sizeof(big)) == CONFCAST_OK) {
            kill(getpid(), SIGKILL);
        }
        _exit(1);
    }
    waitpid(child, &status, 0);
    CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_blob_size(store, &digest, &size), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(get_u64(store, "owner", &n), CONFCAST_ERR_NOT_FOUND);
    cfc_store_close(store);
    temp_dir_remove(&dir);
}

static void
a_failed_sync_makes_nothing_durable_until_it_is_settled(void)
{
    struct temp_dir dir = temp_dir_make();
    struct cfc_store *store;
    uint64_t seq = 0;
    uint64_t n = 1;

    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    CU_ASSERT_EQUAL(stage_bytes(store, "a", &n, sizeof(n), &seq), CONFCAST_OK);
    sync_errno = EIO;
    CU_ASSERT_EQUAL(cfc_store_sync(store), CONFCAST_ERR_IO);
    CU_ASSERT_EQUAL(cfc_store_durable_seq(store), 0);
    CU_ASSERT_EQUAL(cfc_store_settle(store), CONFCAST_ERR_IO);
    CU_ASSERT_EQUAL(cfc_store_durable_seq(store), 0);
    sync_errno = 0;
    CU_ASSERT_EQUAL(cfc_store_settle(store), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_durable_seq(store), 1);
    cfc_store_close(store);
    temp_dir_remove(&dir);
}

static void
what_a_failed_write_lost_does_not_count_while_the_database_cannot_be_opened(void)
{
    struct temp_dir dir = temp_dir_make();
    static uint8_t big[1000 * 1000];
    struct cfc_store *store;
    uint64_t seq = 0;
    uint64_t n = 1;
    int error = CONFCAST_OK;

    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_bytes(store, "a", &n, sizeof(n)), CONFCAST_OK);
    refuse_writes(true);
    for (int i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(error, CONFCAST_OK);
        error = stage_bytes(store, (char[]){'b', (char)('0' + i), '\0'}, big, sizeof(big), &seq);
    }
    CU_ASSERT_EQUAL(error, CONFCAST_ERR_IO);
    CU_ASSERT_EQUAL(cfc_store_seq(store), 1);
    CU_ASSERT_EQUAL(cfc_store_sync(store), CONFCAST_ERR_IO);
    refuse_writes(false);
    CU_ASSERT_EQUAL(stage_bytes(store, "c", &n, sizeof(n), &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(seq, 2);
    CU_ASSERT_EQUAL(cfc_store_sync(store), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_durable_seq(store), 2);
    CU_ASSERT_EQUAL(get_u64(store, "b4", &n), CONFCAST_ERR_NOT_FOUND);
    cfc_store_close(store);
    temp_dir_remove(&dir);
}

static void
a_failing_sync_is_an_error_and_a_later_commit_works_on_new_files(void)
{
    struct temp_dir dir = temp_dir_make();
    struct cfc_store *store;
    uint64_t n = 1;
    uint64_t seq;

    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_bytes(store, "a", &n, sizeof(n)), CONFCAST_OK);
    sync_errno = EIO;
    n = 2;
    CU_ASSERT_EQUAL(put_bytes(store, "a", &n, sizeof(n)), CONFCAST_ERR_IO);
    CU_ASSERT_EQUAL(put_bytes(store, "a", &n, sizeof(n)), CONFCAST_ERR_IO);
    CU_ASSERT_EQUAL(get_u64(store, "a", &n), CONFCAST_ERR_IO);
    sync_errno = 0;
    CU_ASSERT_EQUAL(get_u64(store, "a", &n), CONFCAST_OK);
    seq = cfc_store_seq(store);
    CU_ASSERT_EQUAL(n, seq);
    n = 9;
    CU_ASSERT_EQUAL(put_bytes(store, "a", &n, sizeof(n)), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_seq(store), seq + 1);
    cfc_store_close(store);
    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &store), CONFCAST_OK);
    CU_ASSERT_EQUAL(get_u64(store, "a", &n), CONFCAST_OK);
    CU_ASSERT_EQUAL(n, 9);
    cfc_store_close(store);
    temp_dir_remove(&dir);
}

static const char *crash_point;
static int crash_after;

static void
crash(const char *point)
{
    if (strcmp(point, crash_point) == 0 && crash_after-- == 0) {
        kill(getpid(), SIGKILL);
    }
}

/* The child counts up in two keys of one batch with a blob beside it and reports each acknowledged
 * number through the pipe, until it dies at the point. */
static void
count_until_killed(const char *path, int pipe_fd)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    static uint8_t blob[CFC_STORE_BLOB_CHUNK_SIZE + 100];
    struct cfc_store_batch batch;
    struct cfc_store *store;
    uint64_t seq;

    if (open_at(path, &store) != CONFCAST_OK) {
        _exit(1);
    }
    cfc_store_crash_hook = crash;
    for (uint64_t n = 1; n < 100; n++) {
        struct cfc_digest digest;

        cfc_put_u64(blob, n);
        cfc_sha256_once(sha, NULL, blob, sizeof(blob), &digest);
        if (cfc_store_put_blob(store, &digest, blob, sizeof(blob)) != CONFCAST_OK) {
            _exit(1);
        }
        cfc_store_batch_init(&batch);
        cfc_store_put(&batch, "left", 4, &n, sizeof(n));
        cfc_store_put(&batch, "right", 5, &n, sizeof(n));
        cfc_store_put(&batch, "blob", 4, digest.bytes, sizeof(digest.bytes));
        if (cfc_store_commit(store, &batch, &seq) != CONFCAST_OK ||
            write(pipe_fd, &n, sizeof(n)) != sizeof(n)) {
            _exit(1);
        }
        cfc_store_batch_clear(&batch);
    }
    _exit(1); /* it should have died */
}

static void
check_after_crash(const char *path, uint64_t acknowledged)
{
    struct cfc_store *store;
    struct cfc_store_value value;
    uint64_t left = 0;
    uint64_t right = 0;

    CU_ASSERT_EQUAL_FATAL(open_at(path, &store), CONFCAST_OK);
    (void)get_u64(store, "left", &left);
    (void)get_u64(store, "right", &right);
    CU_ASSERT_EQUAL(left, right);
    CU_ASSERT_TRUE(left == acknowledged || left == acknowledged + 1);
    CU_ASSERT_EQUAL(cfc_store_seq(store), left);
    if (left > 0 && cfc_store_get(store, "blob", 4, &value) == CONFCAST_OK) {
        struct cfc_store_value blob;
        struct cfc_digest digest;

        memcpy(digest.bytes, value.bytes, sizeof(digest.bytes));
        CU_ASSERT_EQUAL(cfc_store_get_blob(store, &digest, &blob), CONFCAST_OK);
        cfc_store_value_free(&blob);
        cfc_store_value_free(&value);
    } else {
        CU_ASSERT_EQUAL(left, 0);
    }
    cfc_store_close(store);
}

static void
kill_at_every_point_keeps_what_was_acknowledged_and_nothing_half_done(void)
{
    static const char *const points[] = {"blob:piece",   "blob:complete", "commit:compared",
                                         "commit:taken", "commit:pushed", "commit:written"};

    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        for (int after = 0; after < 4; after++) {
            struct temp_dir dir = temp_dir_make();
            uint64_t acknowledged = 0;
            int fds[2];
            int status;
            pid_t child;

            CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
            crash_point = points[i];
            crash_after = after;
            child = fork();
            if (child == 0) {
                close(fds[0]);
                count_until_killed(dir.path, fds[1]);
            }
            close(fds[1]);
            while (read(fds[0], &acknowledged, sizeof(acknowledged)) == sizeof(acknowledged)) {
            }
            close(fds[0]);
            waitpid(child, &status, 0);
            CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
            check_after_crash(dir.path, acknowledged);
            temp_dir_remove(&dir);
        }
    }
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(what_was_committed_is_there_after_reopening),
    CFC_CASE(a_second_opener_is_told_that_the_store_is_busy),
    CFC_CASE(a_store_of_another_version_is_refused_and_not_touched),
    CFC_CASE(a_flipped_bit_in_the_log_is_corrupt_and_loses_nothing_silently),
    CFC_CASE(a_flipped_bit_in_a_table_is_corrupt_and_never_wrong_data),
    CFC_CASE(a_log_cut_short_is_corrupt_since_it_lost_acknowledged_commits),
    CFC_CASE(a_full_disk_refuses_commits_and_takes_them_again_when_there_is_room),
    CFC_CASE(a_disk_that_fills_up_within_a_commit_loses_nothing_acknowledged),
    CFC_CASE(every_commit_is_synced_and_takes_the_blobs_before_it_along),
    CFC_CASE(what_is_staged_is_seen_at_once_and_durable_by_one_sync_for_all),
    CFC_CASE(what_is_staged_is_seen_at_any_time_of_a_sync),
    CFC_CASE(what_is_on_its_way_to_the_database_is_seen),
    CFC_CASE(scans_see_what_is_staged_and_deletions_too),
    CFC_CASE(much_that_is_staged_is_written_before_a_sync_and_lost_by_none),
    CFC_CASE(a_blob_goes_after_the_batch_that_lets_go_of_it),
    CFC_CASE(a_failed_sync_makes_nothing_durable_until_it_is_settled),
    CFC_CASE(what_a_failed_write_lost_does_not_count_while_the_database_cannot_be_opened),
    CFC_CASE(a_failing_sync_is_an_error_and_a_later_commit_works_on_new_files),
    CFC_CASE(kill_at_every_point_keeps_what_was_acknowledged_and_nothing_half_done),
};

CFC_TEST_MAIN("store_rocksdb", cases)
