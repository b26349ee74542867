#include "controlplane/keys/files.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confcast/error.h"

int
cfc_file_path(const char *dir, const char *name, char *path, size_t capacity)
{
    int size = snprintf(path, capacity, "%s/%s", dir, name);

    return size >= 0 && (size_t)size < capacity ? CONFCAST_OK : CONFCAST_ERR_LIMIT;
}

static int
check_file(int fd, size_t size_max, bool is_secret, struct stat *st)
{
    if (fstat(fd, st) != 0) {
        return CONFCAST_ERR_IO;
    }
    if (!S_ISREG(st->st_mode)) {
        return CONFCAST_ERR_AUTHORITY;
    }
    if (is_secret && ((st->st_mode & 077) != 0 || (st->st_uid != geteuid() && st->st_uid != 0))) {
        return CONFCAST_ERR_AUTHORITY;
    }
    return (uintmax_t)st->st_size <= size_max ? CONFCAST_OK : CONFCAST_ERR_LIMIT;
}

static int
read_whole(int fd, char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = read(fd, bytes + done, size - done);

        if (got > 0) {
            done += (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            return CONFCAST_ERR_IO;
        }
    }
    return CONFCAST_OK;
}

int
cfc_file_read(const char *path, size_t size_max, bool is_secret, char **bytes, size_t *size)
{
    struct stat st;
    char *buffer;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int rc;

    if (fd < 0) {
        return errno == ENOENT
                   ? CONFCAST_ERR_NOT_FOUND
                   : (errno == ELOOP || errno == EACCES ? CONFCAST_ERR_AUTHORITY : CONFCAST_ERR_IO);
    }
    rc = check_file(fd, size_max, is_secret, &st);
    if (rc != CONFCAST_OK) {
        close(fd);
        return rc;
    }
    buffer = malloc((size_t)st.st_size + 1);
    rc = buffer != NULL ? read_whole(fd, buffer, (size_t)st.st_size) : CONFCAST_ERR_NO_MEMORY;
    close(fd);
    if (rc != CONFCAST_OK) {
        free(buffer);
        return rc;
    }
    buffer[st.st_size] = '\0';
    *bytes = buffer;
    *size = (size_t)st.st_size;
    return CONFCAST_OK;
}

static int
error_of_errno(void)
{
    switch (errno) {
    case EEXIST:
        return CONFCAST_ERR_EXISTS;
    case ENOSPC:
    case EDQUOT:
        return CONFCAST_ERR_NO_SPACE;
    default:
        return CONFCAST_ERR_IO;
    }
}

static int
write_whole(int fd, const char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t put = write(fd, bytes + done, size - done);

        if (put > 0) {
            done += (size_t)put;
        } else if (put == 0 || errno != EINTR) {
            return error_of_errno();
        }
    }
    return fsync(fd) == 0 ? CONFCAST_OK : error_of_errno();
}

int
cfc_file_sync_folder(const char *path)
{
    char copy[PATH_MAX];
    int fd;
    int rc;

    snprintf(copy, sizeof(copy), "%s", path);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return CONFCAST_ERR_IO;
    }
    rc = fsync(fd) == 0 ? CONFCAST_OK : CONFCAST_ERR_IO;
    close(fd);
    return rc;
}

static int
write_file(const char *path, const void *bytes, size_t size, mode_t mode, bool may_replace)
{
    char draft[PATH_MAX];
    int length = snprintf(draft, sizeof(draft), "%s.%ld.new", path, (long)getpid());
    int fd;
    int rc;

    if (length < 0 || (size_t)length >= sizeof(draft)) {
        return CONFCAST_ERR_LIMIT;
    }
    fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return error_of_errno();
    }
    /* The umask must not narrow a mode that others rely on. */
    rc = fchmod(fd, mode) == 0 ? write_whole(fd, bytes, size) : error_of_errno();
    if (close(fd) != 0 && rc == CONFCAST_OK) {
        rc = error_of_errno();
    }
    /* link() refuses an existing name, which rename() would replace. */
    if (rc == CONFCAST_OK && (may_replace ? rename(draft, path) : link(draft, path)) != 0) {
        rc = error_of_errno();
    }
    unlink(draft);
    return rc == CONFCAST_OK ? cfc_file_sync_folder(path) : rc;
}

int
cfc_file_create(const char *path, const void *bytes, size_t size, mode_t mode)
{
    return write_file(path, bytes, size, mode, false);
}

int
cfc_file_replace(const char *path, const void *bytes, size_t size, mode_t mode)
{
    return write_file(path, bytes, size, mode, true);
}
