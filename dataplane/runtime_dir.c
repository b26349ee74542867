#include "dataplane/runtime_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "dataplane/log.h"

enum {
    CLAIM_TRIES = 8, /* against sweepers that took an old folder away while we opened it */
};

static const char owner_name[] = "owner";
static const char socket_name[] = "dpdk_telemetry.v2";

const char *
cfc_runtime_base(void)
{
    const char *own = getenv("XDG_RUNTIME_DIR");

    if (getuid() == 0) {
        return "/var/run";
    }
    return own != NULL ? own : "/tmp";
}

/* Whether the file behind `fd` is the one that lies in the folder, and not one that was removed. */
static bool
is_in_place(int dir_fd, int fd)
{
    struct stat open_one;
    struct stat there;

    return fstat(fd, &open_one) == 0 &&
           fstatat(dir_fd, owner_name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           open_one.st_ino == there.st_ino && open_one.st_dev == there.st_dev;
}

/* Locks `owner` in the folder: its descriptor, or -1 with errno; EWOULDBLOCK: somebody has it;
 * ESTALE: it was removed meanwhile. */
static int
lock_owner(const char *path, int flags)
{
    int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int saved;
    int fd;

    if (dir_fd < 0) {
        return -1;
    }
    fd = openat(dir_fd, owner_name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, S_IRUSR | S_IWUSR);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        saved = errno;
        close(fd);
        errno = saved;
        fd = -1;
    } else if (fd >= 0 && !is_in_place(dir_fd, fd)) {
        close(fd);
        errno = ESTALE;
        fd = -1;
    }
    saved = errno;
    close(dir_fd);
    errno = saved;
    return fd;
}

int
cfc_runtime_dir_claim(const char *base, const char *prefix, struct cfc_runtime_dir *out)
{
    char parent[sizeof(out->path)];
    int size = snprintf(out->path, sizeof(out->path), "%s/dpdk/%s", base, prefix);

    out->lock_fd = -1;
    if (size < 0 || (size_t)size >= sizeof(out->path)) {
        cfc_log_error("%s: too long for a runtime folder", base);
        return CONFCAST_ERR_LIMIT;
    }
    snprintf(parent, sizeof(parent), "%.200s/dpdk", base);
    for (int i = 0; i < CLAIM_TRIES; i++) {
        (void)mkdir(parent, S_IRWXU);
        (void)mkdir(out->path, S_IRWXU);
        out->lock_fd = lock_owner(out->path, O_CREAT);
        if (out->lock_fd >= 0) {
            return CONFCAST_OK;
        }
        if (errno != ESTALE && errno != ENOENT) {
            break;
        }
    }
    cfc_log_error("%s: %s", out->path,
                  errno == EWOULDBLOCK ? "another engine has it" : strerror(errno));
    return errno == EWOULDBLOCK ? CONFCAST_ERR_EXISTS : CONFCAST_ERR_RESOURCE;
}

/* Removes the files of a folder, `owner` last so that the lock means something to the end, and the
 * folder.  Nothing is followed and nothing below it is entered. */
static bool
remove_folder(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    if (dir == NULL) {
        return false;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, owner_name) != 0) {
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    (void)unlinkat(dirfd(dir), owner_name, 0);
    closedir(dir);
    return rmdir(path) == 0;
}

/* For folders that nobody marked as theirs. */
static bool
is_abandoned(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    bool is_refused;
    int size;
    int fd;

    if (lstat(path, &st) != 0 || time(NULL) - st.st_mtime < CFC_RUNTIME_GRACE_S) {
        return false;
    }
    size = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", path, socket_name);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || size < 0 || (size_t)size >= sizeof(address.sun_path)) {
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    is_refused = connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 &&
                 (errno == ECONNREFUSED || errno == ENOENT);
    close(fd);
    return is_refused;
}

static bool
sweep_one(const char *path)
{
    int fd = lock_owner(path, 0);
    bool is_gone = false;

    if (fd >= 0) {
        is_gone = remove_folder(path);
        close(fd);
    } else if (errno == ENOENT && is_abandoned(path)) {
        is_gone = remove_folder(path);
    }
    return is_gone;
}

uint32_t
cfc_runtime_dir_sweep(const char *base)
{
    char path[512];
    struct dirent *entry;
    uint32_t count = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "%.200s/dpdk", base);
    dir = opendir(path);
    if (dir == NULL) {
        return 0;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, CFC_RUNTIME_PREFIX, strlen(CFC_RUNTIME_PREFIX)) == 0) {
            snprintf(path, sizeof(path), "%.200s/dpdk/%s", base, entry->d_name);
            count += sweep_one(path);
        }
    }
    closedir(dir);
    return count;
}

void
cfc_runtime_dir_release(struct cfc_runtime_dir *dir)
{
    if (dir->lock_fd < 0) {
        return;
    }
    (void)remove_folder(dir->path);
    close(dir->lock_fd);
    dir->lock_fd = -1;
}
