/* backup, through the API; restore, by the daemon's own program where its data lies. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"
#include "protocol/base/endian.h"
#include "protocol/trust/digest.h"

#define BACKUP_MAGIC  "confcast backup\n"
#define BACKUP_DOMAIN "confcast/v1/backup"

enum {
    HEADER_SIZE = 56, /* controlplane/store/backup.h says what is in it */
    MAGIC_SIZE = 16,
    EPOCH_OFFSET = 32,
    SEQUENCE_OFFSET = 40,
    COPY_SIZE = 64 * 1024,
    DAEMON_REFUSED = 1, /* exit codes of confcastd */
    DAEMON_USAGE = 2,
};

extern char **environ;

struct paths {
    char file[PATH_MAX];
    char part[PATH_MAX]; /* until it is whole */
};

/* In a folder, a file named after the time. */
static bool
choose_paths(const char *given, struct paths *paths)
{
    time_t now = time(NULL);
    char name[64] = "";
    struct tm tm;
    struct stat st;
    int size;

    if (stat(given, &st) == 0 && S_ISDIR(st.st_mode)) {
        gmtime_r(&now, &tm);
        strftime(name, sizeof(name), "/confcast-%Y%m%dT%H%M%SZ.backup", &tm);
    }
    size = snprintf(paths->file, sizeof(paths->file), "%s%s", given, name);
    if (size < 0 || (size_t)size >= sizeof(paths->file) - sizeof(".part")) {
        return false;
    }
    snprintf(paths->part, sizeof(paths->part), "%.*s.part", size, paths->file);
    return true;
}

/* Reads what was written once more: the header, and the digest that ends it. */
static bool
check(FILE *file, uint64_t size, uint8_t header[HEADER_SIZE])
{
    uint64_t left = size - sizeof(struct cfc_digest);
    uint8_t buffer[COPY_SIZE];
    struct cfc_digest expected;
    struct cfc_digest found;
    struct cfc_sha256 *sha;

    if (size < HEADER_SIZE + sizeof(struct cfc_digest) || fseek(file, 0, SEEK_SET) != 0) {
        return false;
    }
    sha = cfc_sha256_new();
    if (sha == NULL) {
        return false;
    }
    cfc_sha256_begin(sha, BACKUP_DOMAIN);
    for (bool is_first = true; left > 0; is_first = false) {
        size_t wanted = left < sizeof(buffer) ? (size_t)left : sizeof(buffer);

        if (fread(buffer, 1, wanted, file) != wanted) {
            break;
        }
        if (is_first) {
            memcpy(header, buffer, HEADER_SIZE);
        }
        cfc_sha256_add(sha, buffer, wanted);
        left -= wanted;
    }
    cfc_sha256_end(sha, &found);
    cfc_sha256_free(sha);
    return left == 0 && fread(expected.bytes, 1, sizeof(expected.bytes), file) == 32 &&
           memcmp(header, BACKUP_MAGIC, MAGIC_SIZE) == 0 && cfc_digest_equal(&found, &expected);
}

static int
report(struct cfc_ctl *ctl, const struct paths *paths, const uint8_t *header, uint64_t size)
{
    json_t *answer = json_pack("{ss sI sI sI}", "file", paths->file, "bytes", (json_int_t)size,
                               "epoch", (json_int_t)cfc_get_u64(header + EPOCH_OFFSET), "sequence",
                               (json_int_t)cfc_get_u64(header + SEQUENCE_OFFSET));
    int rc;

    if (answer == NULL) {
        return cfc_ctl_fail(CFC_EXIT_CONNECT, "no memory");
    }
    rc = cfc_ctl_print_object(ctl, answer);
    json_decref(answer);
    return rc;
}

static int
take(struct cfc_ctl *ctl, const struct paths *paths, FILE *file)
{
    struct cfc_ctl_response response;
    struct cfc_ctl_path path;
    uint8_t header[HEADER_SIZE];
    off_t size;
    int rc;

    cfc_ctl_path_init(&path, "/v1/backup", NULL);
    ctl->body_file = file;
    rc = cfc_ctl_call(ctl, "POST", &path, NULL, 0, &response);
    ctl->body_file = NULL;
    cfc_ctl_response_free(&response);
    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    if (fflush(file) != 0 || fsync(fileno(file)) != 0 || (size = ftello(file)) < 0) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "cannot write %s: %s", paths->part, strerror(errno));
    }
    if (!check(file, (uint64_t)size, header)) {
        return cfc_ctl_fail(CFC_EXIT_CONNECT, "the backup came damaged; take it again");
    }
    if (rename(paths->part, paths->file) != 0) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "cannot write %s: %s", paths->file, strerror(errno));
    }
    return report(ctl, paths, header, (uint64_t)size);
}

int
cfc_ctl_backup(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    struct paths paths;
    FILE *file;
    int fd;
    int rc;

    if (!choose_paths(cfc_ctl_positional(args, 0), &paths)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "the path is too long");
    }
    /* It holds every config and the digests of all tokens: for its owner only. */
    fd = open(paths.part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    file = fd >= 0 ? fdopen(fd, "w+b") : NULL;
    if (file == NULL) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "cannot write %s: %s", paths.part, strerror(errno));
    }
    rc = take(ctl, &paths, file);
    fclose(file);
    if (rc != CFC_EXIT_OK) {
        unlink(paths.part);
    }
    return rc;
}

/* Runs confcastd and waits for it; what it says goes to stderr. */
static int
run_daemon(char *const argv[])
{
    int status;
    pid_t pid;
    int number = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

    if (number != 0) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "cannot run %s: %s", argv[0], strerror(number));
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return cfc_ctl_fail(CFC_EXIT_REFUSED, "cannot wait for %s", argv[0]);
        }
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) == DAEMON_REFUSED) {
        return CFC_EXIT_REFUSED;
    }
    return WEXITSTATUS(status) == DAEMON_USAGE ? CFC_EXIT_USAGE : CFC_EXIT_OK;
}

/* What can be said better, and with an exit code of its own, before confcastd looks.  `file` NULL
 * raises the folder that is there. */
static int
check_restore(const char *file, const char *data)
{
    DIR *dir;
    size_t count = 0;

    if (file == NULL) {
        return access(data, F_OK) == 0
                   ? CFC_EXIT_OK
                   : cfc_ctl_fail(CFC_EXIT_NOT_FOUND, "%s: %s", data, strerror(errno));
    }
    if (access(file, F_OK) != 0) {
        return cfc_ctl_fail(CFC_EXIT_NOT_FOUND, "%s: %s", file, strerror(errno));
    }
    dir = opendir(data);
    while (dir != NULL && readdir(dir) != NULL) {
        count++;
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return count <= 2 ? CFC_EXIT_OK /* "." and ".." */
                      : cfc_ctl_fail(CFC_EXIT_CONFLICT,
                                     "%s is not empty: restore makes a new folder; move the old "
                                     "one away",
                                     data);
}

int
cfc_ctl_restore(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *file = cfc_ctl_positional(args, 0);
    const char *data = cfc_ctl_option(args, "data");
    const char *epoch = cfc_ctl_option(args, "epoch-seen");
    const char *sequence = cfc_ctl_option(args, "sequence-seen");
    bool is_lift = cfc_ctl_has(args, "lift");
    const char *argv[12] = {"confcastd", "--data", data};
    size_t count = 3;

    int rc;

    (void)ctl;
    if (data == NULL || is_lift == (file != NULL)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "restore needs --data DIR, and a FILE or --lift");
    }
    rc = check_restore(file, data);
    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    argv[count++] = is_lift ? "--lift" : "--restore";
    if (!is_lift) {
        argv[count++] = file;
    }
    if (epoch != NULL) {
        argv[count++] = "--epoch-seen";
        argv[count++] = epoch;
    }
    if (sequence != NULL) {
        argv[count++] = "--sequence-seen";
        argv[count++] = sequence;
    }
    return run_daemon((char *const *)(uintptr_t)argv);
}
