#include "consumer/cache_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confcast/error.h"

static int
error_of_errno(void)
{
    switch (errno) {
    case ENOENT:
        return CONFCAST_ERR_NOT_FOUND;
    case ENOSPC:
    case EDQUOT:
        return CONFCAST_ERR_NO_SPACE;
    case ELOOP:
        return CONFCAST_ERR_AUTHORITY;
    default:
        return CONFCAST_ERR_IO;
    }
}

static bool
is_ours(const struct stat *st)
{
    return st->st_uid == geteuid() && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

int
cfc_dir_open(int parent_fd, const char *name, int *fd)
{
    struct stat st;

    if (mkdirat(parent_fd, name, 0700) != 0 && errno != EEXIST) {
        return error_of_errno();
    }
    *fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0) {
        return error_of_errno();
    }
    if (fstat(*fd, &st) != 0 || !is_ours(&st)) {
        close(*fd);
        *fd = -1;
        return CONFCAST_ERR_AUTHORITY;
    }
    return CONFCAST_OK;
}

static int
read_all(int fd, uint8_t *bytes, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = read(fd, bytes + done, size - done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return CONFCAST_ERR_IO; /* shorter than it was a moment ago */
        }
        done += (size_t)n;
    }
    return CONFCAST_OK;
}

int
cfc_file_read(int dir_fd, const char *name, size_t size_max, uint8_t **bytes, size_t *size)
{
    struct stat st;
    int error = CONFCAST_OK;
    /* O_NONBLOCK: a FIFO in the place of a file must not stop us. */
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    *bytes = NULL;
    *size = 0;
    if (fd < 0) {
        return error_of_errno();
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || !is_ours(&st)) {
        error = CONFCAST_ERR_AUTHORITY;
        goto out_close;
    }
    if (st.st_size < 0 || (uint64_t)st.st_size > size_max) {
        error = CONFCAST_ERR_LIMIT;
        goto out_close;
    }
    *bytes = malloc((size_t)st.st_size + 1);
    if (*bytes == NULL) {
        error = CONFCAST_ERR_NO_MEMORY;
        goto out_close;
    }
    error = read_all(fd, *bytes, (size_t)st.st_size);
    if (error != CONFCAST_OK) {
        free(*bytes);
        *bytes = NULL;
        goto out_close;
    }
    (*bytes)[st.st_size] = '\0';
    *size = (size_t)st.st_size;

out_close:
    close(fd);
    return error;
}

static int
write_all(int fd, const uint8_t *bytes, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = write(fd, bytes + done, size - done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return error_of_errno();
        }
        if (n == 0) {
            return CONFCAST_ERR_IO;
        }
        done += (size_t)n;
    }
    return CONFCAST_OK;
}

int
cfc_file_replace(int dir_fd, const char *name, const void *bytes, size_t size)
{
    static atomic_uint number;
    char temporary[64];
    int error;
    int fd;

    /* Always a new name: after a failed fsync the old descriptor's pages would count as clean. */
    snprintf(temporary, sizeof(temporary), ".new-%ld-%u", (long)getpid(),
             atomic_fetch_add(&number, 1));
    fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return error_of_errno();
    }
    error = write_all(fd, bytes, size);
    if (error == CONFCAST_OK && fsync(fd) != 0) {
        error = error_of_errno();
    }
    if (close(fd) != 0 && error == CONFCAST_OK) {
        error = error_of_errno();
    }
    if (error == CONFCAST_OK && renameat(dir_fd, temporary, dir_fd, name) != 0) {
        error = error_of_errno();
    }
    if (error != CONFCAST_OK) {
        unlinkat(dir_fd, temporary, 0);
    }
    return error;
}

int
cfc_dir_sync(int dir_fd)
{
    return fsync(dir_fd) == 0 ? CONFCAST_OK : CONFCAST_ERR_IO;
}
