/* Backups: what comes back is what was there; what is torn or changed does not; and a restore that
 * is cut short leaves nothing that could be started. */
#include "controlplane/store/backup.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/store/meta.h"
#include "protocol/base/endian.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/temp_dir.h"

enum {
    KEY_COUNT = 40,
    BLOB_SIZE = CFC_STORE_BLOB_CHUNK_SIZE * 2 + 77
};

struct bench {
    struct temp_dir dir;
    char data[512];
    char file[512];
    char other[512]; /* where restores go */
    struct cfc_store *store;
    struct cfc_digest blob;
    uint64_t epoch;
};

static struct bench b;
static uint8_t blob_bytes[BLOB_SIZE];
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
        .path = path, .space_min_bytes = 1024, .log = keep_line};

    return cfc_store_rocksdb_open(&config, store);
}

static void
put(const char *key, const char *value)
{
    struct cfc_store_batch batch;
    uint64_t seq;

    cfc_store_batch_init(&batch);
    cfc_store_put(&batch, key, strlen(key), value, strlen(value));
    CU_ASSERT_EQUAL(cfc_store_commit(b.store, &batch, &seq), CONFCAST_OK);
    cfc_store_batch_clear(&batch);
}

static void
setup(void)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    char key[32];

    memset(&b, 0, sizeof(b));
    b.dir = temp_dir_make();
    snprintf(b.data, sizeof(b.data), "%s/data", b.dir.path);
    snprintf(b.file, sizeof(b.file), "%s/backup", b.dir.path);
    snprintf(b.other, sizeof(b.other), "%s/other", b.dir.path);
    CU_ASSERT_EQUAL_FATAL(open_at(b.data, &b.store), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_take_epoch(b.store, &b.epoch), CONFCAST_OK);
    for (int i = 0; i < KEY_COUNT; i++) {
        snprintf(key, sizeof(key), "key%03d", i);
        put(key, key + 3);
    }
    for (size_t i = 0; i < BLOB_SIZE; i++) {
        blob_bytes[i] = (uint8_t)(i * 7 + i / 251);
    }
    cfc_sha256_once(sha, NULL, blob_bytes, BLOB_SIZE, &b.blob);
    cfc_sha256_free(sha);
    CU_ASSERT_EQUAL(cfc_store_put_blob(b.store, &b.blob, blob_bytes, BLOB_SIZE), CONFCAST_OK);
    put("blob", "is there");
}

static void
teardown(void)
{
    cfc_store_close(b.store);
    temp_dir_remove(&b.dir);
}

/* All of a backup on the heap. */
static uint8_t *
back_up(size_t *size)
{
    struct cfc_backup *backup = NULL;
    uint8_t *bytes;
    size_t got;

    CU_ASSERT_EQUAL_FATAL(cfc_backup_open(b.store, 1234, &backup), CONFCAST_OK);
    *size = 0;
    bytes = malloc(cfc_backup_size(backup) + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    do {
        /* Odd pieces, so that no part happens to end where a call does. */
        CU_ASSERT_EQUAL_FATAL(cfc_backup_read(backup, bytes + *size,
                                              cfc_backup_size(backup) - *size < 1237
                                                  ? (size_t)cfc_backup_size(backup) - *size + 1
                                                  : 1237,
                                              &got),
                              CONFCAST_OK);
        *size += got;
    } while (got > 0);
    CU_ASSERT_EQUAL(*size, cfc_backup_size(backup));
    CU_ASSERT_EQUAL(cfc_backup_info(backup)->sequence, cfc_store_seq(b.store));
    CU_ASSERT_EQUAL(cfc_backup_info(backup)->epoch, b.epoch);
    cfc_backup_close(backup);
    return bytes;
}

static void
write_backup(const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(b.file, "wb");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static int
restore(uint64_t epoch_seen, uint64_t sequence_seen, struct cfc_restore_result *result)
{
    struct cfc_restore_config config = {.backup_path = b.file,
                                        .data_path = b.other,
                                        .epoch_seen = epoch_seen,
                                        .sequence_seen = sequence_seen,
                                        .log = keep_line};

    return cfc_backup_restore(&config, result);
}

static bool
is_there(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static void
check_restored(const struct cfc_restore_result *result)
{
    struct cfc_store_value value;
    struct cfc_store *store;
    uint64_t floor = 0;
    uint64_t epoch = 0;
    char key[32];

    CU_ASSERT_EQUAL_FATAL(open_at(b.other, &store), CONFCAST_OK);
    for (int i = 0; i < KEY_COUNT; i++) {
        snprintf(key, sizeof(key), "key%03d", i);
        CU_ASSERT_EQUAL_FATAL(cfc_store_get(store, key, strlen(key), &value), CONFCAST_OK);
        CU_ASSERT_STRING_EQUAL((char *)value.bytes, key + 3);
        cfc_store_value_free(&value);
    }
    CU_ASSERT_EQUAL_FATAL(cfc_store_get_blob(store, &b.blob, &value), CONFCAST_OK);
    CU_ASSERT_EQUAL(value.size, BLOB_SIZE);
    CU_ASSERT_EQUAL(memcmp(value.bytes, blob_bytes, BLOB_SIZE), 0);
    cfc_store_value_free(&value);
    CU_ASSERT_EQUAL(cfc_store_get_floor(store, &floor), CONFCAST_OK);
    CU_ASSERT_EQUAL(floor, result->sequence);
    CU_ASSERT_EQUAL(cfc_store_seq(store), result->sequence);
    CU_ASSERT_EQUAL(cfc_store_get_epoch(store, &epoch), CONFCAST_OK);
    CU_ASSERT_EQUAL(epoch, result->epoch);
    cfc_store_close(store);
}

static void
what_was_backed_up_comes_back_above_what_was_seen(void)
{
    struct cfc_restore_result result;
    uint64_t sequence;
    uint8_t *bytes;
    size_t size;

    setup();
    bytes = back_up(&size);
    sequence = cfc_store_seq(b.store);
    put("key000", "later"); /* is not in it */
    write_backup(bytes, size);
    CU_ASSERT_EQUAL_FATAL(restore(0, 0, &result), CONFCAST_OK);
    CU_ASSERT_EQUAL(result.backup.sequence, sequence);
    CU_ASSERT_EQUAL(result.backup.unix_ns, 1234);
    CU_ASSERT_EQUAL(result.sequence, sequence + CFC_BACKUP_SEQ_MARGIN + 1);
    CU_ASSERT_EQUAL(result.epoch, b.epoch + CFC_BACKUP_EPOCH_MARGIN + 1);
    check_restored(&result);
    free(bytes);
    teardown();
}

static void
what_was_seen_counts_when_it_is_given(void)
{
    struct cfc_restore_result result;
    uint8_t *bytes;
    size_t size;

    setup();
    bytes = back_up(&size);
    write_backup(bytes, size);
    CU_ASSERT_EQUAL_FATAL(restore(70, 5000, &result), CONFCAST_OK);
    CU_ASSERT_EQUAL(result.sequence, 5001);
    CU_ASSERT_EQUAL(result.epoch, 71);
    check_restored(&result);
    free(bytes);
    teardown();
}

static void
a_backup_that_ends_early_anywhere_is_refused_and_leaves_nothing(void)
{
    struct cfc_restore_result result;
    char beside[600];
    uint8_t *bytes;
    size_t size;

    setup();
    bytes = back_up(&size);
    snprintf(beside, sizeof(beside), "%s.restoring", b.other);
    for (size_t cut = 0; cut < size; cut += cut < 200 || size - cut < 100 ? 7 : size / 40) {
        write_backup(bytes, cut);
        CU_ASSERT_EQUAL(restore(0, 0, &result), CONFCAST_ERR_DIGEST);
        CU_ASSERT_FALSE(is_there(b.other));
        CU_ASSERT_FALSE(is_there(beside));
    }
    write_backup(bytes, size - 1);
    CU_ASSERT_EQUAL(restore(0, 0, &result), CONFCAST_ERR_DIGEST);
    write_backup(bytes, size + 1);
    CU_ASSERT_EQUAL(restore(0, 0, &result), CONFCAST_ERR_DIGEST);
    write_backup(bytes, size);
    CU_ASSERT_EQUAL(restore(0, 0, &result), CONFCAST_OK);
    free(bytes);
    teardown();
}

static void
a_backup_with_any_bit_changed_is_refused(void)
{
    struct cfc_restore_result result;
    uint8_t *bytes;
    size_t size;

    setup();
    bytes = back_up(&size);
    for (size_t i = 0; i < size; i += i < 160 || size - i < 40 ? 1 : size / 60) {
        int error;

        bytes[i] ^= (uint8_t)(1 << (i % 8));
        write_backup(bytes, size);
        error = restore(0, 0, &result);
        CU_ASSERT_TRUE(error == CONFCAST_ERR_DIGEST ||
                       (i < 20 && error == CONFCAST_ERR_UNSUPPORTED) ||
                       (i >= 20 && i < 24 && error == CONFCAST_ERR_SCHEMA));
        CU_ASSERT_FALSE(is_there(b.other));
        bytes[i] ^= (uint8_t)(1 << (i % 8));
    }
    free(bytes);
    teardown();
}

static void
a_name_that_leads_elsewhere_is_refused_before_anything_is_written(void)
{
    struct cfc_restore_result result;
    char elsewhere[600];
    uint8_t *bytes;
    size_t size;

    setup();
    bytes = back_up(&size);
    /* The first name, made as long as it was. */
    memset(bytes + 60, 'x', cfc_get_u32(bytes + 56));
    memcpy(bytes + 60, "../x", 4);
    write_backup(bytes, size);
    CU_ASSERT_EQUAL(restore(0, 0, &result), CONFCAST_ERR_DIGEST);
    snprintf(elsewhere, sizeof(elsewhere), "%s.restoring/xx", b.other);
    CU_ASSERT_FALSE(is_there(elsewhere));
    free(bytes);
    teardown();
}

static void
a_restore_never_replaces_a_store(void)
{
    struct cfc_restore_result result;
    struct cfc_restore_result second;
    uint8_t *bytes;
    size_t size;

    setup();
    bytes = back_up(&size);
    write_backup(bytes, size);
    CU_ASSERT_EQUAL(mkdir(b.other, 0700), 0); /* empty: may be there */
    CU_ASSERT_EQUAL(restore(0, 0, &result), CONFCAST_OK);
    CU_ASSERT_EQUAL(restore(0, 0, &second), CONFCAST_ERR_EXISTS);
    check_restored(&result);
    free(bytes);
    teardown();
}

static void
one_backup_at_a_time_and_writes_go_on_beside_it(void)
{
    struct cfc_backup *first = NULL;
    struct cfc_backup *second = NULL;
    char folder[600];

    setup();
    CU_ASSERT_EQUAL_FATAL(cfc_backup_open(b.store, 1, &first), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_backup_open(b.store, 1, &second), CONFCAST_ERR_BUSY);
    put("beside", "it");
    snprintf(folder, sizeof(folder), "%s/backup", b.data);
    CU_ASSERT_TRUE(is_there(folder));
    cfc_backup_close(first);
    CU_ASSERT_FALSE(is_there(folder));
    CU_ASSERT_EQUAL(cfc_backup_open(b.store, 1, &second), CONFCAST_OK);
    cfc_backup_close(second);
    teardown();
}

static void
a_checkpoint_left_behind_goes_at_the_next_start(void)
{
    char folder[600];
    char file[620];
    FILE *left;

    setup();
    cfc_store_close(b.store);
    snprintf(folder, sizeof(folder), "%s/backup", b.data);
    snprintf(file, sizeof(file), "%s/000009.sst", folder);
    CU_ASSERT_EQUAL(mkdir(folder, 0700), 0);
    left = fopen(file, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(left);
    fclose(left);
    CU_ASSERT_EQUAL_FATAL(open_at(b.data, &b.store), CONFCAST_OK);
    CU_ASSERT_FALSE(is_there(folder));
    teardown();
}

static void
flip_a_bit_in_a_table(const char *data)
{
    char path[1200];
    struct dirent *entry;
    uint8_t byte;
    DIR *dir;
    int fd;

    snprintf(path, sizeof(path), "%s/db", data);
    dir = opendir(path);
    while ((entry = readdir(dir)) != NULL && strstr(entry->d_name, ".sst") == NULL) {
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
    snprintf(path, sizeof(path), "%s/db/%s", data, entry->d_name);
    closedir(dir);
    fd = open(path, O_RDWR);
    CU_ASSERT_EQUAL(pread(fd, &byte, 1, 100), 1);
    byte ^= 4;
    CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, 100), 1);
    close(fd);
}

static void
a_damaged_store_is_not_backed_up(void)
{
    struct cfc_backup *backup = NULL;

    setup();
    free(back_up(&(size_t){0})); /* writes the first table */
    cfc_store_close(b.store);
    flip_a_bit_in_a_table(b.data);
    last_line[0] = '\0';
    if (open_at(b.data, &b.store) == CONFCAST_OK) {
        CU_ASSERT_EQUAL(cfc_backup_open(b.store, 1, &backup), CONFCAST_ERR_CORRUPT);
    } else {
        b.store = NULL;
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(last_line, ".sst"));
    teardown();
}

static void
a_store_that_was_put_back_by_hand_is_lifted_in_place(void)
{
    struct cfc_restore_config config = {.data_path = b.data};
    struct cfc_restore_result result;
    uint64_t version = 0;
    uint64_t epoch = 0;

    setup();
    CU_ASSERT_EQUAL(cfc_store_note_proof(b.store, 40, 9000), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_note_proof(b.store, 39, 9100), CONFCAST_OK);
    cfc_store_close(b.store);
    CU_ASSERT_EQUAL_FATAL(open_at(b.data, &b.store), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_get_proof(b.store, &epoch, &version), CONFCAST_OK);
    CU_ASSERT_EQUAL(epoch, 40);
    CU_ASSERT_EQUAL(version, 9100);
    CU_ASSERT_EQUAL(cfc_backup_lift(&config, &result), CONFCAST_ERR_BUSY);
    cfc_store_close(b.store);
    b.store = NULL;
    config.epoch_seen = 2; /* what was proved counts more than what is said */
    config.sequence_seen = 8000;
    CU_ASSERT_EQUAL(cfc_backup_lift(&config, &result), CONFCAST_OK);
    CU_ASSERT_EQUAL(result.epoch, 41);
    CU_ASSERT_EQUAL(result.sequence, 9101);
    CU_ASSERT_EQUAL_FATAL(open_at(b.data, &b.store), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_get_proof(b.store, &epoch, &version), CONFCAST_OK);
    CU_ASSERT_EQUAL(epoch, 0);
    CU_ASSERT_EQUAL(version, 0);
    config.data_path = b.other;
    CU_ASSERT_EQUAL(cfc_backup_lift(&config, &result), CONFCAST_ERR_NOT_FOUND);
    teardown();
}

static void
a_store_in_memory_has_no_backup(void)
{
    struct cfc_backup *backup = NULL;
    struct cfc_store *store;

    CU_ASSERT_EQUAL_FATAL(cfc_store_mem_open(&store), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_backup_open(store, 1, &backup), CONFCAST_ERR_UNSUPPORTED);
    cfc_store_close(store);
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

/* false when the point is not reached so often. */
static bool
restore_killed_at(const char *point, int after)
{
    struct cfc_restore_result result;
    bool is_moved = strcmp(point, "restore:moved") == 0;
    int status;
    pid_t child;

    crash_point = point;
    crash_after = after;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        cfc_store_crash_hook = crash;
        _exit(restore(70, 5000, &result) == CONFCAST_OK ? 2 : 1);
    }
    waitpid(child, &status, 0);
    if (!WIFSIGNALED(status)) {
        CU_ASSERT_EQUAL(WEXITSTATUS(status), 2);
        return false;
    }
    CU_ASSERT_EQUAL(is_there(b.other), is_moved);
    if (!is_moved) {
        CU_ASSERT_EQUAL_FATAL(restore(70, 5000, &result), CONFCAST_OK);
    } else {
        result.sequence = 5001;
        result.epoch = 71;
    }
    check_restored(&result);
    return true;
}

static void
remove_other(void)
{
    struct temp_dir dir;

    snprintf(dir.path, sizeof(dir.path), "%.240s", b.other);
    temp_dir_remove(&dir);
    snprintf(dir.path, sizeof(dir.path), "%.240s.restoring", b.other);
    temp_dir_remove(&dir);
}

static void
a_restore_killed_at_any_point_is_whole_or_absent_and_can_be_repeated(void)
{
    static const char *const points[] = {"restore:file", "restore:extracted", "restore:lifted",
                                         "restore:moved"};
    uint8_t *bytes;
    size_t size;

    setup();
    bytes = back_up(&size);
    write_backup(bytes, size);
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        int after = 0;

        while (restore_killed_at(points[i], after)) {
            after++;
            remove_other();
        }
        CU_ASSERT_TRUE(after >= (i == 0 ? 3 : 1));
        remove_other();
    }
    free(bytes);
    teardown();
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(what_was_backed_up_comes_back_above_what_was_seen),
    CFC_CASE(what_was_seen_counts_when_it_is_given),
    CFC_CASE(a_backup_that_ends_early_anywhere_is_refused_and_leaves_nothing),
    CFC_CASE(a_backup_with_any_bit_changed_is_refused),
    CFC_CASE(a_name_that_leads_elsewhere_is_refused_before_anything_is_written),
    CFC_CASE(a_restore_never_replaces_a_store),
    CFC_CASE(one_backup_at_a_time_and_writes_go_on_beside_it),
    CFC_CASE(a_checkpoint_left_behind_goes_at_the_next_start),
    CFC_CASE(a_damaged_store_is_not_backed_up),
    CFC_CASE(a_store_that_was_put_back_by_hand_is_lifted_in_place),
    CFC_CASE(a_store_in_memory_has_no_backup),
    CFC_CASE(a_restore_killed_at_any_point_is_whole_or_absent_and_can_be_repeated),
};

CFC_TEST_MAIN("backup", cases)
