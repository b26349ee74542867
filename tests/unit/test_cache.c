#include "consumer/cache.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confcast/error.h"
#include "consumer/cache_file.h"
#include "consumer/cache_floor.h"
#include "protocol/snapshot/body.h"
#include "tests/unit/cunit_main.h"

static char dir[64];
static struct cfc_sha256 *sha;

static void
fresh_dir(void)
{
    snprintf(dir, sizeof(dir), "/tmp/cfc-cache-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
    if (sha == NULL) {
        sha = cfc_sha256_new();
    }
}

static void
path_of(const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", dir, name);
}

/* Removes the directory with what a cache puts there. */
static void
remove_dir(void)
{
    static const char *const folders[] = {"heads", "serving", "contents", "."};
    char command[4096];

    for (size_t i = 0; i < 4; i++) {
        pid_t child;

        path_of(folders[i], command, sizeof(command));
        child = fork();
        if (child == 0) {
            execlp("rm", "rm", "-rf", command, (char *)NULL);
            _exit(1);
        }
        waitpid(child, NULL, 0);
    }
    rmdir(dir);
}

static struct cfc_cache *
open_cache(uint64_t size_max)
{
    struct cfc_cache_config config = {.dir = dir, .size_max = size_max};
    struct cfc_cache *cache = NULL;

    CU_ASSERT_EQUAL_FATAL(cfc_cache_open(&config, &cache), CONFCAST_OK);
    return cache;
}

static struct cfc_loaded *
content(int64_t n)
{
    struct cfc_body_writer w;
    struct cfc_loaded *loaded = NULL;
    struct cfc_digest id;
    uint8_t *body = NULL;
    size_t size = 0;

    cfc_body_writer_init(&w, &cfc_consumer_heap);
    cfc_body_begin_object(&w);
    cfc_body_key(&w, "n", 1);
    cfc_body_i64(&w, n);
    cfc_body_end(&w);
    CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, &body, &size), CONFCAST_OK);
    cfc_content_id(sha, body, size, &id);
    CU_ASSERT_EQUAL_FATAL(cfc_loaded_new(body, size, &id, sha, &loaded), CONFCAST_OK);
    return loaded;
}

static void
commit(struct cfc_cache *cache, uint64_t scope_id, uint64_t version, struct cfc_loaded *loaded)
{
    static struct cfc_cache_job job;

    memset(&job, 0, sizeof(job));
    job.scope_id = scope_id;
    snprintf(job.serving.path, sizeof(job.serving.path), "acme/s");
    job.serving.epoch = 1;
    job.serving.version = version;
    job.serving.content = loaded->id;
    job.loaded = loaded;
    memcpy(job.head, "head bytes", 10);
    job.head_size = 10;
    CU_ASSERT_EQUAL(cfc_cache_commit(cache, &job), CONFCAST_OK);
}

static void
what_was_committed_is_there_after_reopening(void)
{
    struct cfc_cache_serving serving;
    struct cfc_loaded *loaded;
    struct cfc_loaded *back = NULL;
    struct cfc_cache *cache;
    uint8_t head[64];
    uint64_t epoch = 0;
    uint64_t version = 0;
    size_t size = 0;

    fresh_dir();
    cache = open_cache(1 << 20);
    loaded = content(5);
    CU_ASSERT_EQUAL(cfc_cache_floor(cache, 77, &epoch, &version), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(cfc_cache_set_floor(cache, 77, 2, 9), CONFCAST_OK);
    commit(cache, 77, 9, loaded);
    cfc_cache_close(cache);

    cache = open_cache(1 << 20);
    CU_ASSERT_EQUAL(cfc_cache_floor(cache, 77, &epoch, &version), CONFCAST_OK);
    CU_ASSERT_EQUAL(epoch, 2);
    CU_ASSERT_EQUAL(version, 9);
    CU_ASSERT_EQUAL_FATAL(cfc_cache_serving(cache, 77, &serving), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(serving.path, "acme/s");
    CU_ASSERT_EQUAL(serving.version, 9);
    CU_ASSERT(cfc_digest_equal(&serving.content, &loaded->id));
    CU_ASSERT_EQUAL_FATAL(cfc_cache_load(cache, &serving.content, sha, &back), CONFCAST_OK);
    CU_ASSERT_EQUAL(back->body_size, loaded->body_size);
    CU_ASSERT_EQUAL(memcmp(back->body, loaded->body, back->body_size), 0);
    CU_ASSERT_EQUAL(cfc_cache_head(cache, 77, head, sizeof(head), &size), CONFCAST_OK);
    CU_ASSERT_EQUAL(size, 10);
    CU_ASSERT_EQUAL(cfc_cache_head(cache, 77, head, 9, &size), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(cfc_cache_head(cache, 78, head, sizeof(head), &size), CONFCAST_ERR_NOT_FOUND);
    cfc_loaded_unref(back);
    cfc_loaded_unref(loaded);
    cfc_cache_close(cache);
    remove_dir();
}

static void
two_processes_cannot_use_one_directory(void)
{
    struct cfc_cache_config config = {.size_max = 1};
    struct cfc_cache *second = NULL;
    struct cfc_cache *cache;

    fresh_dir();
    cache = open_cache(1);
    config.dir = dir;
    CU_ASSERT_EQUAL(cfc_cache_open(&config, &second), CONFCAST_ERR_BUSY);
    CU_ASSERT_PTR_NULL(second);
    cfc_cache_close(cache);
    cache = open_cache(1);
    cfc_cache_close(cache);
    remove_dir();
}

static void
a_damaged_content_is_refused_and_removed(void)
{
    struct cfc_loaded *loaded;
    struct cfc_loaded *back = NULL;
    struct cfc_cache *cache;
    char path[256];
    char name[65];
    int fd;

    fresh_dir();
    cache = open_cache(1 << 20);
    loaded = content(6);
    commit(cache, 1, 1, loaded);
    for (int i = 0; i < 32; i++) {
        snprintf(name + 2 * i, 3, "%02x", loaded->id.bytes[i]);
    }
    snprintf(path, sizeof(path), "%s/contents/%s", dir, name);
    fd = open(path, O_WRONLY);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(pwrite(fd, "\xff", 1, 6), 1);
    close(fd);
    CU_ASSERT_EQUAL(cfc_cache_load(cache, &loaded->id, sha, &back), CONFCAST_ERR_DIGEST);
    CU_ASSERT(!cfc_cache_has_content(cache, &loaded->id));
    CU_ASSERT_EQUAL(cfc_cache_load(cache, &loaded->id, sha, &back), CONFCAST_ERR_NOT_FOUND);
    cfc_loaded_unref(loaded);
    cfc_cache_close(cache);
    remove_dir();
}

static void
links_fifos_and_open_modes_are_refused(void)
{
    uint8_t *bytes = NULL;
    char path[256];
    size_t size;
    int fd;

    fresh_dir();
    fd = open(dir, O_RDONLY | O_DIRECTORY);
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
    close(fd);
    remove_dir();
}

static void
trimming_drops_the_oldest_but_never_what_is_kept(void)
{
    struct cfc_loaded *loaded[3];
    struct cfc_cache *cache;

    fresh_dir();
    cache = open_cache(1); /* room for nothing */
    for (int i = 0; i < 3; i++) {
        loaded[i] = content(100 + i);
        commit(cache, (uint64_t)i, 1, loaded[i]);
    }
    cfc_cache_trim(cache, &loaded[1]->id, 1);
    CU_ASSERT(!cfc_cache_has_content(cache, &loaded[0]->id));
    CU_ASSERT(cfc_cache_has_content(cache, &loaded[1]->id));
    CU_ASSERT(!cfc_cache_has_content(cache, &loaded[2]->id));
    for (int i = 0; i < 3; i++) {
        cfc_loaded_unref(loaded[i]);
    }
    cfc_cache_close(cache);
    remove_dir();
}

static void
the_floor_survives_a_killed_process_and_never_falls(void)
{
    struct cfc_floor floor;
    uint64_t epoch = 0;
    uint64_t version = 0;
    int status = 0;
    pid_t child;
    int fd;

    fresh_dir();
    fd = open(dir, O_RDONLY | O_DIRECTORY);
    child = fork();
    if (child == 0) {
        if (cfc_floor_open(&floor, fd, "floor", false) == CONFCAST_OK) {
            cfc_floor_raise(&floor, 5, 3, 100);
            cfc_floor_raise(&floor, 5, 2, 200); /* epoch and version apart */
            cfc_floor_raise(&floor, 6, 1, 1);
        }
        raise(SIGKILL);
    }
    waitpid(child, &status, 0);
    CU_ASSERT(WIFSIGNALED(status));
    CU_ASSERT_EQUAL_FATAL(cfc_floor_open(&floor, fd, "floor", false), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_floor_get(&floor, 5, &epoch, &version), CONFCAST_OK);
    CU_ASSERT_EQUAL(epoch, 3);
    CU_ASSERT_EQUAL(version, 200);
    cfc_floor_raise(&floor, 5, 1, 1);
    cfc_floor_get(&floor, 5, &epoch, &version);
    CU_ASSERT_EQUAL(epoch, 3);
    CU_ASSERT_EQUAL(version, 200);
    CU_ASSERT_EQUAL(cfc_floor_next_incarnation(&floor, 50), 50);
    CU_ASSERT_EQUAL(cfc_floor_next_incarnation(&floor, 50), 51);
    CU_ASSERT_EQUAL(cfc_floor_next_incarnation(&floor, 10), 52);
    CU_ASSERT_EQUAL(cfc_floor_sync(&floor), CONFCAST_OK);
    cfc_floor_close(&floor);
    close(fd);
    remove_dir();
}

static void
a_torn_floor_record_leaves_the_one_before_it(void)
{
    struct cfc_floor floor;
    uint64_t epoch = 0;
    uint64_t version = 0;
    char path[256];
    int file;
    int fd;

    fresh_dir();
    fd = open(dir, O_RDONLY | O_DIRECTORY);
    CU_ASSERT_EQUAL_FATAL(cfc_floor_open(&floor, fd, "floor", false), CONFCAST_OK);
    cfc_floor_raise(&floor, 5, 1, 10); /* turn 1: the second record of the slot */
    cfc_floor_raise(&floor, 5, 1, 11); /* turn 2: the first one */
    cfc_floor_close(&floor);
    path_of("floor", path, sizeof(path));
    file = open(path, O_RDWR);
    CU_ASSERT_EQUAL(pwrite(file, "\xee", 1, 128 + 16), 1); /* version of the newer record */
    CU_ASSERT_EQUAL_FATAL(cfc_floor_open(&floor, fd, "floor", false), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_floor_get(&floor, 5, &epoch, &version), CONFCAST_OK);
    CU_ASSERT_EQUAL(version, 10);
    cfc_floor_close(&floor);
    CU_ASSERT_EQUAL(pwrite(file, "\xee", 1, 128 + 32 + 16), 1); /* and the older one */
    CU_ASSERT_EQUAL(cfc_floor_open(&floor, fd, "floor", false), CONFCAST_ERR_CORRUPT);
    CU_ASSERT_EQUAL(ftruncate(file, 100), 0);
    CU_ASSERT_EQUAL(cfc_floor_open(&floor, fd, "floor", false), CONFCAST_ERR_CORRUPT);
    close(file);
    close(fd);
    remove_dir();
}

static void
the_floor_page_holds_256_scopes_and_not_one_more(void)
{
    struct cfc_floor floor;
    uint64_t epoch;
    uint64_t version;
    int fd;

    fresh_dir();
    fd = open(dir, O_RDONLY | O_DIRECTORY);
    CU_ASSERT_EQUAL_FATAL(cfc_floor_open(&floor, fd, "floor", false), CONFCAST_OK);
    for (uint64_t i = 0; i < 256; i++) {
        CU_ASSERT_EQUAL(cfc_floor_raise(&floor, i, 1, i + 1), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(cfc_floor_raise(&floor, 256, 1, 1), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(cfc_floor_get(&floor, 255, &epoch, &version), CONFCAST_OK);
    CU_ASSERT_EQUAL(version, 256);
    cfc_floor_close(&floor);
    close(fd);
    remove_dir();
    cfc_sha256_free(sha);
    sha = NULL;
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(what_was_committed_is_there_after_reopening),
    CFC_CASE(two_processes_cannot_use_one_directory),
    CFC_CASE(a_damaged_content_is_refused_and_removed),
    CFC_CASE(links_fifos_and_open_modes_are_refused),
    CFC_CASE(trimming_drops_the_oldest_but_never_what_is_kept),
    CFC_CASE(the_floor_survives_a_killed_process_and_never_falls),
    CFC_CASE(a_torn_floor_record_leaves_the_one_before_it),
    CFC_CASE(the_floor_page_holds_256_scopes_and_not_one_more),
};

CFC_TEST_MAIN("cache", cases)
