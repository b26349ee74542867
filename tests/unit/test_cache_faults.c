/* The disk cache on a disk that fails, dies with its process or loses power, at each system call.
 */
#include "consumer/cache.h"

#include <CUnit/Basic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/unit/cache_fixture.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/disk_model.h"

enum {
    SCOPE = 9,
    VERSIONS = 3,
    CONTENTS = 3
};

/* How far a story came; shared with the process that may have died of it. */
struct progress {
    uint64_t raised;    /* the floor was raised to this */
    uint64_t committed; /* a commit of this said that it survives power loss */
    int open_error;
    int commit_error; /* the last one that was not OK */
    bool is_finished;
};

static struct progress *progress;
static struct cfc_sha256 *sha;
static struct cfc_loaded *contents[CONTENTS];
static struct temp_dir dir;

static void
begin(void)
{
    if (sha == NULL) {
        sha = cfc_sha256_new();
        progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                        -1, 0);
    }
    dir = temp_dir_make();
    memset(progress, 0, sizeof(*progress));
    for (int i = 0; i < CONTENTS; i++) {
        contents[i] = content_with(sha, i);
    }
}

static void
end(void)
{
    for (int i = 0; i < CONTENTS; i++) {
        cfc_loaded_unref(contents[i]);
    }
    temp_dir_remove(&dir);
}

static int
open_at(const char *root, struct cfc_cache **cache)
{
    char path[512];
    struct cfc_cache_config config = {.dir = path, .fleet = "fleet", .size_max = 1 << 20};

    snprintf(path, sizeof(path), "%s/state", root);
    return cfc_cache_open(&config, cache);
}

static void
commit(struct cfc_cache *cache, uint64_t version)
{
    static struct cfc_cache_job job;
    int error;

    fill_job(&job, SCOPE, version, contents[version % CONTENTS]);
    error = cfc_cache_commit(cache, &job);
    if (error == CONFCAST_OK) {
        progress->committed = version;
    } else {
        progress->commit_error = error;
    }
}

static void
accept_and_commit(struct cfc_cache *cache, uint64_t version)
{
    (void)cfc_floor_raise(cfc_cache_floor(cache), SCOPE, 1, version);
    progress->raised = version;
    commit(cache, version);
}

/* A process's life: it opens the directory, accepts versions and makes each durable. */
static void
live(void)
{
    struct cfc_cache *cache;

    progress->open_error = open_at(dir.path, &cache);
    if (progress->open_error == CONFCAST_OK) {
        for (uint64_t version = 1; version <= VERSIONS; version++) {
            accept_and_commit(cache, version);
        }
        cfc_cache_close(cache);
    }
    progress->is_finished = true;
}

/* Whether a directory opens, holds all that was promised, and nothing half. */
static bool
is_whole(const char *root, uint64_t floor_min)
{
    struct cfc_cache_serving serving = {.version = 0};
    struct cfc_loaded *loaded = NULL;
    uint8_t head[CFC_FRAME_SIZE_MAX];
    struct cfc_cache *cache;
    uint64_t epoch = 0;
    uint64_t floor = 0;
    size_t head_size = 0;
    bool is_fine = open_at(root, &cache) == CONFCAST_OK;
    int code;

    if (!is_fine) {
        return false;
    }
    (void)cfc_floor_get(cfc_cache_floor(cache), SCOPE, &epoch, &floor);
    is_fine = floor >= floor_min;
    code = cfc_cache_head(cache, SCOPE, head, sizeof(head), &head_size);
    if (code == CONFCAST_OK) {
        is_fine = is_fine && head_size == FIXTURE_HEAD_SIZE && head[0] >= progress->committed &&
                  head[0] <= floor;
        for (size_t i = 1; i < head_size; i++) {
            is_fine = is_fine && head[i] == head[0];
        }
    } else {
        is_fine = is_fine && code == CONFCAST_ERR_NOT_FOUND && progress->committed == 0;
    }
    code = cfc_cache_serving(cache, SCOPE, &serving);
    if (code == CONFCAST_OK) {
        is_fine = is_fine && serving.version >= progress->committed && serving.version <= floor &&
                  cfc_cache_load(cache, &serving.content, sha, &loaded) == CONFCAST_OK &&
                  cfc_digest_equal(&serving.content, &contents[serving.version % CONTENTS]->id);
        cfc_loaded_unref(loaded);
    } else {
        is_fine = is_fine && code == CONFCAST_ERR_NOT_FOUND && progress->committed == 0;
    }
    cfc_cache_close(cache);
    return is_fine;
}

/* Lives in a child that ends at the n-th call.  false when the life was over before. */
static bool
live_until(unsigned n, enum disk_action action, const char *lost_dir)
{
    int status = 0;
    pid_t child = fork();

    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        disk_begin(dir.path, action, n, 0);
        disk.lost_dir = lost_dir;
        live();
        _exit(0);
    }
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    return !progress->is_finished;
}

static void
a_process_killed_at_any_call_leaves_all_whole_and_its_floor(void)
{
    unsigned n = 0;
    bool is_ended_early = true;

    while (is_ended_early) {
        begin();
        is_ended_early = live_until(++n, DISK_KILL, NULL);
        if (!is_whole(dir.path, progress->raised)) {
            CU_FAIL("not whole");
            printf("killed at call %u: raised %llu committed %llu\n", n,
                   (unsigned long long)progress->raised, (unsigned long long)progress->committed);
        }
        end();
    }
    CU_ASSERT(n > 40); /* the calls were really seen */
}

static void
power_lost_at_any_call_takes_nothing_that_was_said_to_be_durable(void)
{
    unsigned n = 0;
    bool is_ended_early = true;

    while (is_ended_early) {
        struct temp_dir lost = temp_dir_make();

        begin();
        is_ended_early = live_until(++n, DISK_POWER, lost.path);
        if (is_ended_early && !is_whole(lost.path, progress->committed)) {
            CU_FAIL("not whole");
            printf("power lost at call %u: raised %llu committed %llu\n", n,
                   (unsigned long long)progress->raised, (unsigned long long)progress->committed);
        }
        end();
        temp_dir_remove(&lost);
    }
    CU_ASSERT(n > 40);
}

static bool
is_disk_error(int error)
{
    return error == CONFCAST_ERR_IO || error == CONFCAST_ERR_NO_SPACE;
}

/* One life on a disk that fails at the n-th call, and another one on a disk that works.  false when
 * no call failed any more. */
static bool
live_with_failure(unsigned n, enum disk_action action, int number)
{
    struct temp_dir lost = temp_dir_make();
    struct cfc_cache *cache;
    bool is_failed;

    begin();
    disk_begin(dir.path, action, n, number);
    live();
    is_failed = disk.calls >= n;
    CU_ASSERT(progress->open_error == CONFCAST_OK || is_disk_error(progress->open_error));
    CU_ASSERT(progress->commit_error == CONFCAST_OK || is_disk_error(progress->commit_error));
    if (action == DISK_FAIL_ONCE && progress->open_error == CONFCAST_OK) {
        CU_ASSERT(progress->committed >= VERSIONS - 1); /* it may have been the last one */
    }
    disk.action = DISK_NOTHING;
    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &cache), CONFCAST_OK);
    accept_and_commit(cache, VERSIONS + 1);
    CU_ASSERT_EQUAL(progress->committed, VERSIONS + 1);
    cfc_cache_close(cache);
    disk_lose_power(lost.path);
    disk_end();
    if (!is_whole(lost.path, VERSIONS + 1)) {
        CU_FAIL("not whole");
        printf("action %d errno %d at call %u\n", (int)action, number, n);
    }
    end();
    temp_dir_remove(&lost);
    return is_failed;
}

static void
a_call_that_fails_once_is_made_good_by_the_next_version(void)
{
    static const int numbers[] = {EIO, ENOSPC};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        unsigned n = 0;

        while (live_with_failure(++n, DISK_FAIL_ONCE, numbers[i])) {
        }
        CU_ASSERT(n > 40);
    }
}

static void
a_disk_that_fails_for_good_keeps_the_old_files_whole(void)
{
    static const int numbers[] = {EIO, ENOSPC};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        unsigned n = 0;

        while (live_with_failure(++n, DISK_FAIL_FROM, numbers[i])) {
        }
        CU_ASSERT(n > 40);
    }
}

static void
short_writes_are_continued(void)
{
    unsigned n = 0;

    while (live_with_failure(++n, DISK_SHORT, 0)) {
        CU_ASSERT_EQUAL(progress->commit_error, CONFCAST_OK);
    }
    CU_ASSERT(n > 40);
}

/* The life that fails here ends in the same process: its floor must hold in memory, and the commit
 * after it must not take an fsync's word for pages that an earlier one has lost. */
static void
the_same_process_recovers_when_the_disk_does(void)
{
    unsigned calls = UINT32_MAX;

    for (unsigned n = 1; n <= calls; n++) {
        struct temp_dir lost = temp_dir_make();
        struct cfc_cache *cache;
        uint64_t epoch;
        uint64_t version;

        begin();
        disk_begin(dir.path, DISK_NOTHING, 0, EIO);
        CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &cache), CONFCAST_OK);
        accept_and_commit(cache, 1);
        disk.calls = 0;
        disk.at = n;
        disk.action = DISK_FAIL_ONCE;
        accept_and_commit(cache, 2);
        calls = disk.calls < n ? 0 : calls;
        disk.action = DISK_NOTHING;
        CU_ASSERT_EQUAL(cfc_floor_get(cfc_cache_floor(cache), SCOPE, &epoch, &version),
                        CONFCAST_OK);
        CU_ASSERT_EQUAL(version, 2);
        if (progress->committed < 2) {
            commit(cache, 2); /* the persister tries again */
        }
        CU_ASSERT_EQUAL(progress->committed, 2);
        disk_lose_power(lost.path);
        disk_end();
        cfc_cache_close(cache);
        if (!is_whole(lost.path, 2)) {
            CU_FAIL("not whole");
            printf("failed once at call %u of a commit\n", n);
        }
        end();
        temp_dir_remove(&lost);
    }
}

static bool
has_contents(struct cfc_cache *cache)
{
    bool has_all = true;

    for (int i = 0; i < CONTENTS; i++) {
        struct cfc_loaded *loaded = NULL;

        has_all = cfc_cache_load(cache, &contents[i]->id, sha, &loaded) == CONFCAST_OK && has_all;
        cfc_loaded_unref(loaded);
    }
    return has_all;
}

static void
contents_are_found_though_their_folder_was_not_listed_to_its_end(void)
{
    unsigned n = 0;

    begin();
    live();
    do {
        struct cfc_cache *cache;

        disk = (struct disk){.list_fails_at = ++n};
        CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &cache), CONFCAST_OK);
        CU_ASSERT(has_contents(cache));
        cfc_cache_close(cache);
    } while (disk.listed >= n);
    CU_ASSERT(n > CONTENTS);
    disk = (struct disk){.is_on = false};
    end();
}

static struct cfc_cache *
open_with_one_too_many(void)
{
    char path[512];
    struct cfc_cache_config config = {
        .dir = path, .fleet = "fleet", .size_max = (CONTENTS - 1) * contents[0]->body_size};
    struct cfc_cache *cache;

    snprintf(path, sizeof(path), "%s/state", dir.path);
    CU_ASSERT_EQUAL_FATAL(cfc_cache_open(&config, &cache), CONFCAST_OK);
    for (int i = 0; i < CONTENTS; i++) {
        CU_ASSERT_EQUAL(cfc_cache_store(cache, contents[i]), CONFCAST_OK);
    }
    return cache;
}

static void
a_trim_that_cannot_see_all_forgets_and_removes_nothing(void)
{
    struct cfc_cache *cache;
    unsigned n = 0;

    begin();
    cache = open_with_one_too_many();
    commit(cache, CONTENTS); /* contents[0] is served */
    disk = (struct disk){.stat_fails_at = 2};
    cfc_cache_trim(cache);
    CU_ASSERT(has_contents(cache));
    do {
        CU_ASSERT(has_contents(cache));
        disk = (struct disk){.list_fails_at = ++n};
        cfc_cache_trim(cache);
    } while (disk.listed >= n);
    CU_ASSERT(n > CONTENTS);
    CU_ASSERT(!has_contents(cache)); /* this time it saw all */
    disk = (struct disk){.is_on = false};
    cfc_cache_close(cache);
    end();
}

static void
what_a_trim_cannot_remove_is_there_and_counted(void)
{
    struct cfc_cache *cache;

    begin();
    cache = open_with_one_too_many();
    disk = (struct disk){.is_readonly = true};
    cfc_cache_trim(cache);
    CU_ASSERT(has_contents(cache));
    disk = (struct disk){.is_on = false};
    cfc_cache_trim(cache); /* it is still too much */
    CU_ASSERT(!has_contents(cache));
    cfc_cache_close(cache);
    end();
}

static void
a_directory_that_takes_no_writes_is_still_read(void)
{
    struct cfc_cache_serving serving;
    struct cfc_loaded *loaded = NULL;
    struct cfc_cache *cache;
    uint64_t epoch;
    uint64_t version;

    begin();
    live();
    CU_ASSERT_EQUAL(progress->committed, VERSIONS);
    /* What a read-only file system refuses. */
    disk = (struct disk){.is_on = false};
    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &cache), CONFCAST_OK);
    cfc_cache_close(cache);
    disk.is_readonly = true;
    CU_ASSERT_EQUAL_FATAL(open_at(dir.path, &cache), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_floor_get(cfc_cache_floor(cache), SCOPE, &epoch, &version), CONFCAST_OK);
    CU_ASSERT_EQUAL(version, VERSIONS);
    CU_ASSERT_EQUAL(cfc_cache_serving(cache, SCOPE, &serving), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_cache_load(cache, &serving.content, sha, &loaded), CONFCAST_OK);
    cfc_loaded_unref(loaded);
    progress->commit_error = CONFCAST_OK;
    accept_and_commit(cache, VERSIONS + 1);
    CU_ASSERT_EQUAL(progress->commit_error, CONFCAST_ERR_IO);
    CU_ASSERT_EQUAL(cfc_floor_get(cfc_cache_floor(cache), SCOPE, &epoch, &version), CONFCAST_OK);
    CU_ASSERT_EQUAL(version, VERSIONS + 1);
    disk.is_readonly = false; /* mounted for writing again */
    accept_and_commit(cache, VERSIONS + 1);
    CU_ASSERT_EQUAL(progress->committed, VERSIONS + 1);
    cfc_cache_close(cache);
    CU_ASSERT(is_whole(dir.path, VERSIONS + 1));
    end();
    cfc_sha256_free(sha);
    munmap(progress, sizeof(*progress));
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_process_killed_at_any_call_leaves_all_whole_and_its_floor),
    CFC_CASE(power_lost_at_any_call_takes_nothing_that_was_said_to_be_durable),
    CFC_CASE(a_call_that_fails_once_is_made_good_by_the_next_version),
    CFC_CASE(a_disk_that_fails_for_good_keeps_the_old_files_whole),
    CFC_CASE(short_writes_are_continued),
    CFC_CASE(the_same_process_recovers_when_the_disk_does),
    CFC_CASE(contents_are_found_though_their_folder_was_not_listed_to_its_end),
    CFC_CASE(a_trim_that_cannot_see_all_forgets_and_removes_nothing),
    CFC_CASE(what_a_trim_cannot_remove_is_there_and_counted),
    CFC_CASE(a_directory_that_takes_no_writes_is_still_read),
};

CFC_TEST_MAIN("cache_faults", cases)
