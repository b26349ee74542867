#include "consumer/cache.h"

#include <CUnit/Basic.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "consumer/cache_file.h"
#include "consumer/cache_state.h"
#include "tests/unit/cache_fixture.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/wire_fixture.h"

static struct temp_dir dir;
static struct cfc_sha256 *sha;

static void
fresh_dir(void)
{
    dir = temp_dir_make();
    if (sha == NULL) {
        sha = cfc_sha256_new();
    }
}

static void
path_of(const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", dir.path, name);
}

static int
try_open(uint64_t size_max, const char *fleet, struct cfc_cache **cache)
{
    struct cfc_cache_config config = {.dir = dir.path, .fleet = fleet, .size_max = size_max};

    return cfc_cache_open(&config, cache);
}

static struct cfc_cache *
open_cache(uint64_t size_max)
{
    struct cfc_cache *cache = NULL;

    CU_ASSERT_EQUAL_FATAL(try_open(size_max, "fleet", &cache), CONFCAST_OK);
    return cache;
}

static struct cfc_loaded *
content(int64_t n)
{
    return content_with(sha, n);
}

static void
commit(struct cfc_cache *cache, uint64_t scope_id, uint64_t version, struct cfc_loaded *loaded)
{
    static struct cfc_cache_job job;

    fill_job(&job, scope_id, version, loaded);
    CU_ASSERT_EQUAL(cfc_cache_commit(cache, &job), CONFCAST_OK);
}

static void
content_path(const struct cfc_loaded *loaded, char *path, size_t size)
{
    int used = snprintf(path, size, "%s/contents/", dir.path);

    for (int i = 0; i < 32; i++) {
        snprintf(path + used + 2 * i, 3, "%02x", loaded->id.bytes[i]);
    }
}

static bool
is_stored(const struct cfc_loaded *loaded)
{
    char path[512];

    content_path(loaded, path, sizeof(path));
    return access(path, F_OK) == 0;
}

/* Overwrites one byte of a file. */
static void
damage(const char *path, off_t offset, const char *byte)
{
    int fd = open(path, O_WRONLY);

    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(pwrite(fd, byte, 1, offset), 1);
    close(fd);
}

/* Writes a file of one of the folders. */
static void
put_file(const char *folder, const char *name, const void *bytes, size_t size)
{
    char path[512];
    int fd;

    path_of(folder, path, sizeof(path));
    fd = open(path, O_RDONLY | O_DIRECTORY);
    CU_ASSERT_EQUAL(cfc_file_replace(fd, name, bytes, size), CONFCAST_OK);
    close(fd);
}

/* ---- What is kept ---------------------------------------------------------------------------- */

static void
what_was_committed_is_there_after_reopening(void)
{
    uint8_t expected[FIXTURE_HEAD_SIZE];
    struct cfc_cache_serving serving;
    struct cfc_loaded *loaded;
    struct cfc_loaded *back = NULL;
    struct cfc_cache *cache;
    uint8_t head[FIXTURE_HEAD_SIZE];
    uint64_t epoch = 0;
    uint64_t version = 0;
    size_t size = 0;

    fresh_dir();
    cache = open_cache(1 << 20);
    loaded = content(5);
    CU_ASSERT_EQUAL(cfc_floor_get(cfc_cache_floor(cache), 77, &epoch, &version),
                    CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(cfc_floor_raise(cfc_cache_floor(cache), 77, 2, 9), CONFCAST_OK);
    commit(cache, 77, 9, loaded);
    cfc_cache_close(cache);

    cache = open_cache(1 << 20);
    CU_ASSERT_EQUAL(cfc_floor_get(cfc_cache_floor(cache), 77, &epoch, &version), CONFCAST_OK);
    CU_ASSERT_EQUAL(epoch, 2);
    CU_ASSERT_EQUAL(version, 9);
    CU_ASSERT_EQUAL_FATAL(cfc_cache_serving(cache, 77, &serving), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(serving.path, "acme/s77");
    CU_ASSERT_EQUAL(serving.version, 9);
    CU_ASSERT_EQUAL(serving.epoch, 1);
    CU_ASSERT_EQUAL(serving.state, CFC_APPLY_REVERTED);
    CU_ASSERT(cfc_digest_equal(&serving.content, &loaded->id));
    CU_ASSERT_EQUAL_FATAL(cfc_cache_load(cache, &serving.content, sha, &back), CONFCAST_OK);
    CU_ASSERT(back != NULL && back->is_from_disk && back->body_size == loaded->body_size &&
              memcmp(back->body, loaded->body, back->body_size) == 0);
    memset(expected, 9, sizeof(expected));
    CU_ASSERT_EQUAL(cfc_cache_head(cache, 77, head, sizeof(head), &size), CONFCAST_OK);
    CU_ASSERT_EQUAL(size, sizeof(expected));
    CU_ASSERT_EQUAL(memcmp(head, expected, sizeof(head)), 0);
    CU_ASSERT_EQUAL(cfc_cache_head(cache, 77, head, sizeof(head) - 1, &size), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(cfc_cache_head(cache, 78, head, sizeof(head), &size), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(cfc_cache_serving(cache, 78, &serving), CONFCAST_ERR_NOT_FOUND);
    cfc_loaded_unref(back);
    cfc_loaded_unref(loaded);
    cfc_cache_close(cache);
    temp_dir_remove(&dir);
}

static void
a_look_without_the_lock_reads_and_changes_nothing(void)
{
    struct cfc_loaded *loaded;
    struct cfc_loaded *back = NULL;
    struct cfc_cache_serving serving;
    struct cfc_cache *looking = NULL;
    struct cfc_cache *cache;
    char path[512];

    fresh_dir();
    CU_ASSERT_EQUAL(cfc_cache_open_readonly("/nonexistent/dir", &looking), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(cfc_cache_open_readonly(dir.path, &looking), CONFCAST_ERR_NOT_FOUND);
    path_of("heads", path, sizeof(path));
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
    cache = open_cache(1 << 20);
    loaded = content(5);
    commit(cache, 77, 9, loaded);
    CU_ASSERT_EQUAL_FATAL(cfc_cache_open_readonly(dir.path, &looking), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_cache_serving(looking, 77, &serving), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_cache_load(looking, &serving.content, sha, &back), CONFCAST_OK);
    cfc_loaded_unref(back);
    content_path(loaded, path, sizeof(path));
    damage(path, 8, "\xff");
    CU_ASSERT_EQUAL(cfc_cache_load(looking, &serving.content, sha, &back), CONFCAST_ERR_DIGEST);
    CU_ASSERT(is_stored(loaded));
    cfc_cache_close(looking);
    cfc_loaded_unref(loaded);
    cfc_cache_close(cache);
    temp_dir_remove(&dir);
}

static void
trimming_drops_the_oldest_but_never_what_a_file_names(void)
{
    static struct cfc_cache_job job;
    struct cfc_loaded *loaded[5];
    struct cfc_cache *cache;
    struct cfc_digest zero = {{0}};
    struct cfc_trial_content good = {.epoch = 1, .version = 1};
    struct fixture f;
    struct cfc_head head = {
        .kind = CFC_HEAD_NORMAL, .epoch = 1, .version = 3, .issued_unix_ns = 1, .arm_count = 1};
    size_t size = 0;

    fresh_dir();
    fixture_open(&f);
    cache = open_cache(1); /* room for nothing */
    for (int i = 0; i < 5; i++) {
        loaded[i] = content(100 + i);
        CU_ASSERT_EQUAL(cfc_cache_store(cache, loaded[i]), CONFCAST_OK);
    }
    commit(cache, 1, 1, loaded[1]); /* served */
    head.scope = FIXTURE_SCOPE;
    head.scope_size = strlen(FIXTURE_SCOPE);
    head.arms[0].content = loaded[3]->id; /* named by a head */
    head.arms[0].fallback = zero;
    fill_job(&job, 2, 3, loaded[3]);
    job.loaded = NULL;
    job.serving.version = 0;
    CU_ASSERT_EQUAL_FATAL(
        cfc_head_encode(&head, &f.signer, f.sha, job.head, sizeof(job.head), &size), CONFCAST_OK);
    job.head_size = size;
    CU_ASSERT_EQUAL(cfc_cache_commit(cache, &job), CONFCAST_OK);
    good.content = loaded[2]->id; /* served well before */
    cfc_trials_begin(cfc_cache_trials(cache), 1, &good, false);
    cfc_trials_pass(cfc_cache_trials(cache), 1);
    cfc_cache_trim(cache);
    CU_ASSERT(!is_stored(loaded[0]));
    CU_ASSERT(is_stored(loaded[1]));
    CU_ASSERT(is_stored(loaded[2]));
    good = (struct cfc_trial_content){.epoch = 1, .version = 2, .content = loaded[1]->id};
    cfc_trials_begin(cfc_cache_trials(cache), 1, &good, false);
    cfc_trials_pass(cfc_cache_trials(cache), 1);
    cfc_cache_trim(cache);
    CU_ASSERT(!is_stored(loaded[2]));
    CU_ASSERT(is_stored(loaded[3]));
    CU_ASSERT(!is_stored(loaded[4]));

    /* What was trimmed is written anew when it is needed, though this process wrote it once. */
    CU_ASSERT_EQUAL(cfc_cache_store(cache, loaded[4]), CONFCAST_OK);
    CU_ASSERT(is_stored(loaded[4]));
    cfc_cache_close(cache);

    /* With room for all but one, the oldest goes. */
    cache = open_cache(2 * loaded[0]->body_size);
    cfc_cache_trim(cache);
    CU_ASSERT(!is_stored(loaded[4]));
    CU_ASSERT_EQUAL(cfc_cache_store(cache, loaded[0]), CONFCAST_OK);
    cfc_cache_close(cache);
    cache = open_cache(3 * loaded[0]->body_size);
    cfc_cache_trim(cache);
    CU_ASSERT(is_stored(loaded[0]));
    for (int i = 0; i < 5; i++) {
        cfc_loaded_unref(loaded[i]);
    }
    cfc_cache_close(cache);
    cfc_sha256_free(f.sha);
    temp_dir_remove(&dir);
}

static void
what_is_surely_not_there_is_known_without_the_disk(void)
{
    static struct cfc_catalog kept;
    struct cfc_loaded *loaded[3];
    struct cfc_cache *cache;
    struct cfc_digest ids[2];

    fresh_dir();
    cache = open_cache(1 << 20);
    for (int i = 0; i < 3; i++) {
        loaded[i] = content(200 + i);
        CU_ASSERT_FALSE(cfc_catalog_may_have(&cache->catalog, &loaded[i]->id));
    }
    CU_ASSERT_EQUAL(cfc_cache_store(cache, loaded[0]), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_cache_store(cache, loaded[1]), CONFCAST_OK);
    CU_ASSERT_TRUE(cfc_catalog_may_have(&cache->catalog, &loaded[0]->id));
    CU_ASSERT_FALSE(cfc_catalog_may_have(&cache->catalog, &loaded[2]->id));
    /* Nobody has counted yet; the first trim does. */
    CU_ASSERT_EQUAL(cache->catalog.size_max, UINT64_MAX);
    cfc_cache_trim(cache);
    CU_ASSERT_EQUAL(cache->catalog.count_max, 2);
    CU_ASSERT_EQUAL(cache->catalog.size_max, loaded[0]->body_size + loaded[1]->body_size);
    CU_ASSERT_EQUAL(cfc_cache_store(cache, loaded[2]), CONFCAST_OK);
    CU_ASSERT_EQUAL(cache->catalog.count_max, 3);
    cfc_cache_close(cache);

    cache = open_cache(2 * loaded[0]->body_size); /* reads the names */
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(cfc_catalog_may_have(&cache->catalog, &loaded[i]->id));
    }
    cfc_cache_trim(cache);
    CU_ASSERT_EQUAL(cache->catalog.count_max, 2);
    CU_ASSERT_FALSE(cfc_catalog_may_have(&cache->catalog, &loaded[0]->id));
    CU_ASSERT_TRUE(cfc_catalog_may_have(&cache->catalog, &loaded[2]->id));
    cfc_cache_close(cache);

    /* A folder that cannot be read may have anything. */
    cfc_catalog_open(&kept, -1);
    CU_ASSERT_TRUE(cfc_catalog_may_have(&kept, &loaded[0]->id));
    ids[0] = loaded[0]->id;
    ids[1] = loaded[1]->id;
    cfc_catalog_set(&kept, ids, sizeof(ids[0]), 2, 5);
    CU_ASSERT_TRUE(cfc_catalog_may_have(&kept, &ids[1]));
    CU_ASSERT_FALSE(cfc_catalog_may_have(&kept, &loaded[2]->id));
    for (int i = 0; i < 3; i++) {
        cfc_loaded_unref(loaded[i]);
    }
    temp_dir_remove(&dir);
}

/* ---- What is refused ------------------------------------------------------------------------- */

static void
two_processes_cannot_use_one_directory(void)
{
    struct cfc_cache *second = NULL;
    struct cfc_cache *cache;
    int status = 0;
    pid_t child;

    fresh_dir();
    cache = open_cache(1);
    CU_ASSERT_EQUAL(try_open(1, "fleet", &second), CONFCAST_ERR_BUSY);
    CU_ASSERT_PTR_NULL(second);
    child = fork();
    if (child == 0) {
        /* A forked child that gives it up does not hold it beyond its parent. */
        cfc_cache_abandon(cache);
        pause();
        _exit(0);
    }
    cfc_cache_close(cache);
    usleep(20000);
    cache = open_cache(1);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    cfc_cache_close(cache);
    temp_dir_remove(&dir);
}

static void
a_directory_belongs_to_one_fleet(void)
{
    struct cfc_cache *cache;

    fresh_dir();
    cache = open_cache(1);
    cfc_cache_close(cache);
    CU_ASSERT_EQUAL(try_open(1, "another", &cache), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_PTR_NULL(cache);
    cache = open_cache(1);
    cfc_cache_close(cache);
    temp_dir_remove(&dir);
}

static void
a_damaged_content_is_refused_and_removed(void)
{
    struct cfc_loaded *loaded;
    struct cfc_loaded *back = NULL;
    struct cfc_cache *cache;
    char path[512];

    fresh_dir();
    cache = open_cache(1 << 20);
    loaded = content(6);
    commit(cache, 1, 1, loaded);
    content_path(loaded, path, sizeof(path));
    damage(path, 8, "\xff");
    CU_ASSERT_EQUAL(cfc_cache_load(cache, &loaded->id, sha, &back), CONFCAST_ERR_DIGEST);
    CU_ASSERT(!is_stored(loaded));
    CU_ASSERT_EQUAL(cfc_cache_load(cache, &loaded->id, sha, &back), CONFCAST_ERR_NOT_FOUND);
    cfc_cache_close(cache);

    /* A process that got it from the network does not trust a file that it has not read. */
    cfc_loaded_unref(loaded);
    loaded = content(6);
    cache = open_cache(1 << 20);
    commit(cache, 1, 1, loaded);
    damage(path, 8, "\xff");
    cfc_loaded_unref(loaded);
    loaded = content(6);
    commit(cache, 1, 2, loaded);
    CU_ASSERT_EQUAL(cfc_cache_load(cache, &loaded->id, sha, &back), CONFCAST_OK);
    cfc_loaded_unref(back);
    cfc_loaded_unref(loaded);
    cfc_cache_close(cache);
    temp_dir_remove(&dir);
}

static void
a_damaged_serving_file_is_refused_whichever_byte_it_is(void)
{
    struct cfc_cache_serving serving;
    struct cfc_loaded *loaded;
    struct cfc_cache *cache;
    uint8_t *bytes = NULL;
    char path[512];
    size_t size;

    fresh_dir();
    cache = open_cache(1 << 20);
    loaded = content(6);
    commit(cache, 1, 12, loaded);
    path_of("serving/0000000000000001", path, sizeof(path));
    CU_ASSERT_EQUAL_FATAL(cfc_file_read(AT_FDCWD, path, 1024, &bytes, &size), CONFCAST_OK);
    for (size_t i = 0; i + 1 < size; i++) { /* all but the newline */
        bytes[i] ^= 1;
        put_file("serving", "0000000000000001", bytes, size);
        CU_ASSERT_EQUAL(cfc_cache_serving(cache, 1, &serving), CONFCAST_ERR_CORRUPT);
        CU_ASSERT_EQUAL(serving.version, 0);
        bytes[i] ^= 1;
        put_file("serving", "0000000000000001", bytes, i);
        CU_ASSERT_EQUAL(cfc_cache_serving(cache, 1, &serving), CONFCAST_ERR_CORRUPT);
    }
    put_file("serving", "0000000000000001", bytes, size);
    CU_ASSERT_EQUAL(cfc_cache_serving(cache, 1, &serving), CONFCAST_OK);
    free(bytes);
    cfc_loaded_unref(loaded);
    cfc_cache_close(cache);
    temp_dir_remove(&dir);
}

static void
links_fifos_and_open_modes_are_refused(void)
{
    struct cfc_cache *cache = NULL;
    uint8_t *bytes = NULL;
    char path[512];
    size_t size;
    int fd;

    fresh_dir();
    fd = open(dir.path, O_RDONLY | O_DIRECTORY);
    path_of("link", path, sizeof(path));
    CU_ASSERT_EQUAL(symlink("/etc/passwd", path), 0);
    CU_ASSERT_EQUAL(cfc_file_read(fd, "link", 1 << 20, &bytes, &size), CONFCAST_ERR_AUTHORITY);
    path_of("fifo", path, sizeof(path));
    CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
    CU_ASSERT_EQUAL(cfc_file_read(fd, "fifo", 1 << 20, &bytes, &size), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(cfc_file_replace(fd, "open", "x", 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(fchmodat(fd, "open", 0777, 0), 0);
    CU_ASSERT_EQUAL(cfc_file_read(fd, "open", 1 << 20, &bytes, &size), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(fchmodat(fd, "open", 0600, 0), 0);
    CU_ASSERT_EQUAL(cfc_file_read(fd, "open", 0, &bytes, &size), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL_FATAL(cfc_file_read(fd, "open", 1, &bytes, &size), CONFCAST_OK);
    CU_ASSERT_EQUAL(size, 1);
    free(bytes);

    /* The directory itself, and the folders in it. */
    CU_ASSERT_EQUAL(chmod(dir.path, 0770), 0);
    CU_ASSERT_EQUAL(try_open(1, "fleet", &cache), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(chmod(dir.path, 0700), 0);
    path_of("heads", path, sizeof(path));
    CU_ASSERT_EQUAL(symlink("/tmp", path), 0);
    CU_ASSERT_EQUAL(try_open(1, "fleet", &cache), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(unlink(path), 0);
    path_of("floor", path, sizeof(path));
    CU_ASSERT_EQUAL(symlink("/etc/passwd", path), 0);
    CU_ASSERT_EQUAL(try_open(1, "fleet", &cache), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_PTR_NULL(cache);
    close(fd);
    temp_dir_remove(&dir);
}

static void
what_a_dead_process_left_half_written_is_removed(void)
{
    struct cfc_cache *cache;
    char path[512];

    fresh_dir();
    cache = open_cache(1);
    cfc_cache_close(cache);
    path_of("contents/.new-1-1", path, sizeof(path));
    put_file("contents", ".new-1-1", "x", 1);
    cache = open_cache(1);
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
    cfc_cache_close(cache);
    temp_dir_remove(&dir);
}

/* ---- The floor ------------------------------------------------------------------------------- */

static int
open_floor(struct cfc_floor *floor, int *fd)
{
    *fd = open(dir.path, O_RDONLY | O_DIRECTORY);
    return cfc_floor_open(floor, *fd, "fleet");
}

static void
close_floor(struct cfc_floor *floor, int fd)
{
    cfc_floor_close(floor);
    close(fd);
}

static void
the_floor_survives_a_killed_process_and_never_falls(void)
{
    struct cfc_floor floor;
    uint64_t before = 0;
    uint64_t epoch = 0;
    uint64_t version = 0;
    int status = 0;
    pid_t child;
    int fd;

    fresh_dir();
    child = fork();
    if (child == 0) {
        if (open_floor(&floor, &fd) == CONFCAST_OK) {
            cfc_floor_raise(&floor, 5, 3, 100);
            cfc_floor_raise(&floor, 5, 2, 200); /* epoch and version apart */
            cfc_floor_raise(&floor, 6, 1, 1);
            cfc_floor_raise_fleet(&floor, 7, &before);
        }
        raise(SIGKILL);
    }
    waitpid(child, &status, 0);
    CU_ASSERT(WIFSIGNALED(status));
    CU_ASSERT_EQUAL_FATAL(open_floor(&floor, &fd), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_floor_get(&floor, 5, &epoch, &version), CONFCAST_OK);
    CU_ASSERT_EQUAL(epoch, 3);
    CU_ASSERT_EQUAL(version, 200);
    CU_ASSERT_EQUAL(cfc_floor_raise(&floor, 5, 1, 1), CONFCAST_OK);
    cfc_floor_get(&floor, 5, &epoch, &version);
    CU_ASSERT_EQUAL(epoch, 3);
    CU_ASSERT_EQUAL(version, 200);
    CU_ASSERT_EQUAL(cfc_floor_next_incarnation(&floor, 50), 50);
    CU_ASSERT_EQUAL(cfc_floor_next_incarnation(&floor, 50), 51);
    CU_ASSERT_EQUAL(cfc_floor_next_incarnation(&floor, 10), 52);
    CU_ASSERT_EQUAL(cfc_floor_raise_fleet(&floor, 6, &before), CONFCAST_OK);
    CU_ASSERT_EQUAL(before, 7);
    CU_ASSERT_EQUAL(cfc_floor_raise_fleet(&floor, 9, &before), CONFCAST_OK);
    CU_ASSERT_EQUAL(before, 7);
    CU_ASSERT_EQUAL(cfc_floor_sync(&floor), CONFCAST_OK);
    close_floor(&floor, fd);
    CU_ASSERT_EQUAL_FATAL(open_floor(&floor, &fd), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_floor_next_incarnation(&floor, 1), 53);
    CU_ASSERT_EQUAL(cfc_floor_raise_fleet(&floor, 0, &before), CONFCAST_OK);
    CU_ASSERT_EQUAL(before, 9);
    close_floor(&floor, fd);
    temp_dir_remove(&dir);
}

static void
a_torn_floor_record_leaves_the_one_before_it(void)
{
    struct cfc_floor floor;
    uint64_t epoch = 0;
    uint64_t version = 0;
    char path[512];
    int fd;

    fresh_dir();
    CU_ASSERT_EQUAL_FATAL(open_floor(&floor, &fd), CONFCAST_OK);
    cfc_floor_raise(&floor, 5, 1, 10); /* turn 1 reserves; turn 2: the first record */
    cfc_floor_raise(&floor, 5, 1, 11); /* turn 3: the second record */
    close_floor(&floor, fd);
    path_of("floor", path, sizeof(path));
    damage(path, 128 + 32 + 16, "\xee"); /* version of the newer record */
    CU_ASSERT_EQUAL_FATAL(open_floor(&floor, &fd), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_floor_get(&floor, 5, &epoch, &version), CONFCAST_OK);
    CU_ASSERT_EQUAL(version, 10);
    close_floor(&floor, fd);
    damage(path, 128 + 16, "\xee"); /* and the older one */
    CU_ASSERT_EQUAL(open_floor(&floor, &fd), CONFCAST_ERR_CORRUPT);
    close(fd);
    CU_ASSERT_EQUAL(truncate(path, 100), 0);
    CU_ASSERT_EQUAL(open_floor(&floor, &fd), CONFCAST_ERR_CORRUPT);
    close(fd);
    CU_ASSERT_EQUAL(truncate(path, 1 << 20), 0);
    CU_ASSERT_EQUAL(open_floor(&floor, &fd), CONFCAST_ERR_CORRUPT);
    close(fd);
    temp_dir_remove(&dir);
}

static void
a_floor_whose_first_record_was_torn_can_be_used(void)
{
    struct cfc_floor floor;
    uint64_t epoch = 0;
    uint64_t version = 0;
    char path[512];
    int fd;

    fresh_dir();
    CU_ASSERT_EQUAL_FATAL(open_floor(&floor, &fd), CONFCAST_OK);
    close_floor(&floor, fd);
    path_of("floor", path, sizeof(path));
    damage(path, 128 + 32, "\x05"); /* half of the record that reserves a slot */
    CU_ASSERT_EQUAL_FATAL(open_floor(&floor, &fd), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_floor_get(&floor, 5, &epoch, &version), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(cfc_floor_raise(&floor, 5, 1, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_floor_get(&floor, 5, &epoch, &version), CONFCAST_OK);
    CU_ASSERT_EQUAL(version, 10);
    close_floor(&floor, fd);
    temp_dir_remove(&dir);
}

static void
the_floor_page_holds_1024_scopes_and_not_one_more(void)
{
    struct cfc_floor floor;
    uint64_t epoch;
    uint64_t version;
    int fd;

    fresh_dir();
    CU_ASSERT_EQUAL_FATAL(open_floor(&floor, &fd), CONFCAST_OK);
    for (uint64_t i = 0; i < CFC_FLOOR_SCOPES_MAX; i++) {
        CU_ASSERT_EQUAL(cfc_floor_raise(&floor, i, 1, i + 1), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(cfc_floor_raise(&floor, CFC_FLOOR_SCOPES_MAX, 1, 1), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(cfc_floor_raise(&floor, 1023, 1, 2000), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_floor_get(&floor, 1023, &epoch, &version), CONFCAST_OK);
    CU_ASSERT_EQUAL(version, 2000);
    CU_ASSERT_EQUAL(cfc_floor_get(&floor, 1022, &epoch, &version), CONFCAST_OK);
    CU_ASSERT_EQUAL(version, 1023);
    close_floor(&floor, fd);
    temp_dir_remove(&dir);
    cfc_sha256_free(sha);
    sha = NULL;
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(what_was_committed_is_there_after_reopening),
    CFC_CASE(a_look_without_the_lock_reads_and_changes_nothing),
    CFC_CASE(trimming_drops_the_oldest_but_never_what_a_file_names),
    CFC_CASE(what_is_surely_not_there_is_known_without_the_disk),
    CFC_CASE(two_processes_cannot_use_one_directory),
    CFC_CASE(a_directory_belongs_to_one_fleet),
    CFC_CASE(a_damaged_content_is_refused_and_removed),
    CFC_CASE(a_damaged_serving_file_is_refused_whichever_byte_it_is),
    CFC_CASE(links_fifos_and_open_modes_are_refused),
    CFC_CASE(what_a_dead_process_left_half_written_is_removed),
    CFC_CASE(the_floor_survives_a_killed_process_and_never_falls),
    CFC_CASE(a_torn_floor_record_leaves_the_one_before_it),
    CFC_CASE(a_floor_whose_first_record_was_torn_can_be_used),
    CFC_CASE(the_floor_page_holds_1024_scopes_and_not_one_more),
};

CFC_TEST_MAIN("cache", cases)
