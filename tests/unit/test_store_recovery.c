/* A store that was left by a crash is opened again while its disk fails: the n-th call of RocksDB
 * to the operating system, for every n, once and from then on.
 *
 * Whatever open() then says, nothing may be lost by it and nothing that was not written be read: on
 * a disk that works again, everything that was acknowledged is there.  The calls are caught where
 * RocksDB, a shared library, looks for them: in this program. */
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/store/store.h"
#include "protocol/base/endian.h"
#include "protocol/trust/digest.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/temp_dir.h"

/* ---- The disk ---------------------------------------------------------------------------------
 */

static struct {
    atomic_uint at;    /* the call that fails, from 1; 0 = none */
    atomic_bool stays; /* and all after it */
    atomic_uint calls; /* since disk_arm() */
    atomic_uint failed;
} disk;

static void
disk_arm(unsigned at, bool stays)
{
    atomic_store(&disk.calls, 0);
    atomic_store(&disk.failed, 0);
    atomic_store(&disk.stays, stays);
    atomic_store(&disk.at, at);
}

/* Whether the call that asks is to fail. */
static bool
disk_fails(void)
{
    unsigned at = atomic_load(&disk.at);
    unsigned call;

    if (at == 0) {
        return false;
    }
    call = atomic_fetch_add(&disk.calls, 1) + 1;
    if (call != at && (!atomic_load(&disk.stays) || call < at)) {
        return false;
    }
    atomic_fetch_add(&disk.failed, 1);
    errno = EIO;
    return true;
}

static void *
real(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    assert(symbol != NULL);
    return symbol;
}

/* A function of the C library under its own name, with a type and arguments. */
#define SHIM(name, type, failure, params, ...)                                                     \
    type shim_##name params __asm__(#name);                                                        \
    type shim_##name params                                                                        \
    {                                                                                              \
        type(*call) params;                                                                        \
        void *symbol = real(#name);                                                                \
                                                                                                   \
        memcpy(&call, &symbol, sizeof(call));                                                      \
        return disk_fails() ? (failure) : call(__VA_ARGS__);                                       \
    }

SHIM(pread, ssize_t, -1, (int fd, void *bytes, size_t size, off_t at), fd, bytes, size, at)
SHIM(pwrite, ssize_t, -1, (int fd, const void *bytes, size_t size, off_t at), fd, bytes, size, at)
SHIM(fsync, int, -1, (int fd), fd)
SHIM(fdatasync, int, -1, (int fd), fd)
SHIM(rename, int, -1, (const char *from, const char *to), from, to)
SHIM(unlink, int, -1, (const char *path), path)
SHIM(ftruncate, int, -1, (int fd, off_t size), fd, size)
SHIM(fallocate, int, -1, (int fd, int mode, off_t at, off_t size), fd, mode, at, size)
SHIM(mkdir, int, -1, (const char *path, mode_t mode), path, mode)
SHIM(link, int, -1, (const char *from, const char *to), from, to)
SHIM(fread_unlocked, size_t, 0, (void *bytes, size_t size, size_t count, void *file), bytes, size,
     count, file)
SHIM(fopen, void *, NULL, (const char *path, const char *mode), path, mode)
SHIM(opendir, void *, NULL, (const char *path), path)

/* RocksDB writes files by it; messages to standard output and error go their way. */
ssize_t shim_write(int fd, const void *bytes, size_t size) __asm__("write");

ssize_t
shim_write(int fd, const void *bytes, size_t size)
{
    ssize_t (*call)(int, const void *, size_t);
    void *symbol = real("write");

    memcpy(&call, &symbol, sizeof(call));
    return fd > 2 && disk_fails() ? -1 : call(fd, bytes, size);
}

int shim_open(const char *path, int flags, ...) __asm__("open");

int
shim_open(const char *path, int flags, ...)
{
    int (*call)(const char *, int, ...);
    void *symbol = real("open");
    unsigned mode;
    va_list args;

    va_start(args, flags);
    mode = va_arg(args, unsigned); /* which the kernel passes over where there is none */
    va_end(args);
    memcpy(&call, &symbol, sizeof(call));
    return disk_fails() ? -1 : call(path, flags, mode);
}

/* ---- The store --------------------------------------------------------------------------------
 */

enum {
    KEY_COUNT = 24,
    BIG_SIZE = 3 * CFC_STORE_BLOB_CHUNK_SIZE / 2,
};

static char last_line[8192];
static uint8_t big[BIG_SIZE];
static struct cfc_digest big_digest;

static void
keep_line(void *arg, const char *line)
{
    (void)arg;
    snprintf(last_line, sizeof(last_line), "%s", line);
}

static int
open_at(const char *path, struct cfc_store **store)
{
    struct cfc_store_rocksdb_config config = {.path = path, .log = keep_line};

    *store = NULL;
    last_line[0] = '\0';
    return cfc_store_rocksdb_open(&config, store);
}

static int
put_number(struct cfc_store *store, uint64_t key)
{
    struct cfc_store_batch batch;
    uint8_t name[8];
    uint64_t value = key * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t seq;
    int error;

    cfc_put_u64(name, key);
    cfc_store_batch_init(&batch);
    cfc_store_put(&batch, name, sizeof(name), &value, sizeof(value));
    error = cfc_store_commit(store, &batch, &seq);
    cfc_store_batch_clear(&batch);
    return error;
}

/* CONFCAST_ERR_CORRUPT: another value than the one that was written. */
static int
check_number(struct cfc_store *store, uint64_t key)
{
    struct cfc_store_value value;
    uint64_t wanted = key * UINT64_C(0x9e3779b97f4a7c15);
    uint8_t name[8];
    int error;

    cfc_put_u64(name, key);
    error = cfc_store_get(store, name, sizeof(name), &value);
    if (error == CONFCAST_OK) {
        error = value.size == sizeof(wanted) && memcmp(value.bytes, &wanted, sizeof(wanted)) == 0
                    ? CONFCAST_OK
                    : CONFCAST_ERR_CORRUPT;
        cfc_store_value_free(&value);
    }
    return error;
}

static void
run(char *const argv[])
{
    pid_t child;
    int status = -1;
    int started = posix_spawnp(&child, argv[0], NULL, NULL, argv, environ);

    assert(started == 0);
    waitpid(child, &status, 0);
    assert(status == 0);
    (void)started;
}

static void
copy_folder(char *from, char *to)
{
    static char rm[] = "rm";
    static char rf[] = "-rf";
    static char cp[] = "cp";
    static char archive[] = "-a";
    char *const remove_argv[] = {rm, rf, to, NULL};
    char *const copy_argv[] = {cp, archive, from, to, NULL};

    run(remove_argv);
    run(copy_argv);
}

/* What a store leaves that was killed: tables of one life, the log of the next one. */
static void
make_crashed(char *live, char *image)
{
    struct cfc_sha256 *sha;
    struct cfc_store *store;

    for (uint64_t life = 0; life < 2; life++) {
        CU_ASSERT_EQUAL_FATAL(open_at(live, &store), CONFCAST_OK);
        for (uint64_t key = 0; key < KEY_COUNT / 2; key++) {
            CU_ASSERT_EQUAL(put_number(store, life * KEY_COUNT / 2 + key), CONFCAST_OK);
        }
        if (life == 0) {
            cfc_store_close(store);
        }
    }
    for (size_t i = 0; i < sizeof(big); i++) {
        big[i] = (uint8_t)(i * i >> 7);
    }
    sha = cfc_sha256_new();
    CU_ASSERT_PTR_NOT_NULL_FATAL(sha);
    cfc_sha256_once(sha, NULL, big, sizeof(big), &big_digest);
    cfc_sha256_free(sha);
    CU_ASSERT_EQUAL(cfc_store_put_blob(store, &big_digest, big, sizeof(big)), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_number(store, KEY_COUNT), CONFCAST_OK);
    /* As it is now, with a log that was synced and not closed. */
    copy_folder(live, image);
    cfc_store_close(store);
}

static bool
has_all(struct cfc_store *store)
{
    struct cfc_store_value value;
    bool has = cfc_store_seq(store) >= KEY_COUNT + 1;

    for (uint64_t key = 0; key <= KEY_COUNT; key++) {
        has = check_number(store, key) == CONFCAST_OK && has;
    }
    if (cfc_store_get_blob(store, &big_digest, &value) != CONFCAST_OK) {
        return false;
    }
    has = value.size == sizeof(big) && memcmp(value.bytes, big, sizeof(big)) == 0 && has;
    cfc_store_value_free(&value);
    return has;
}

/* What a store that did open on a failing disk answers: the truth, or that it cannot. */
static void
check_honest(struct cfc_store *store)
{
    for (uint64_t key = 0; key <= KEY_COUNT; key++) {
        int error = check_number(store, key);

        CU_ASSERT(error == CONFCAST_OK || error == CONFCAST_ERR_IO);
    }
}

/* One recovery with the n-th call failing; false when there was no n-th call. */
static bool
recover(char *image, char *work, unsigned at, bool stays, unsigned *refused_count)
{
    struct cfc_store *store;
    bool was_reached;
    int error;

    copy_folder(image, work);
    disk_arm(at, stays);
    error = open_at(work, &store);
    if (error == CONFCAST_OK) {
        check_honest(store);
        cfc_store_close(store);
    } else {
        CU_ASSERT(error == CONFCAST_ERR_IO || error == CONFCAST_ERR_CORRUPT);
        CU_ASSERT_PTR_NULL(store);
        CU_ASSERT(last_line[0] != '\0');
        ++*refused_count;
    }
    was_reached = atomic_load(&disk.failed) > 0;
    disk_arm(0, false);
    error = open_at(work, &store);
    CU_ASSERT_EQUAL(error, CONFCAST_OK);
    if (error != CONFCAST_OK) {
        fprintf(stderr, "call %u%s: %s %s\n", at, stays ? " and later" : "",
                confcast_error_word(error), last_line);
        return was_reached;
    }
    CU_ASSERT(has_all(store));
    CU_ASSERT_EQUAL(put_number(store, KEY_COUNT + 1), CONFCAST_OK);
    cfc_store_close(store);
    return was_reached;
}

static void
recover_at_every_call(bool stays)
{
    /* Some hundred stores are made: no power is lost here, so that memory does for a disk. */
    int is_set = setenv("TMPDIR", "/dev/shm", 0);
    struct temp_dir dir = temp_dir_make();
    unsigned refused_count = 0;
    unsigned at = 1;
    char live[300];
    char image[300];
    char work[300];

    snprintf(live, sizeof(live), "%s/live", dir.path);
    snprintf(image, sizeof(image), "%s/image", dir.path);
    snprintf(work, sizeof(work), "%s/work", dir.path);
    CU_ASSERT_EQUAL(is_set, 0);
    make_crashed(live, image);
    while (at < 2000 && recover(image, work, at, stays, &refused_count)) {
        at += stays ? 3 : 1;
    }
    CU_ASSERT(at > 20 && at < 2000);
    CU_ASSERT(refused_count > at / 6);
    temp_dir_remove(&dir);
}

static void
a_call_that_fails_in_recovery_loses_nothing(void)
{
    recover_at_every_call(false);
}

static void
a_disk_that_dies_in_recovery_loses_nothing(void)
{
    recover_at_every_call(true);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_call_that_fails_in_recovery_loses_nothing),
    CFC_CASE(a_disk_that_dies_in_recovery_loses_nothing),
};

CFC_TEST_MAIN("store_recovery", cases)
