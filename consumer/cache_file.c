#include "consumer/cache_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confcast/error.h"

#define TEMPORARY_PREFIX ".new-"

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
    case EACCES:
    case EPERM:
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
cfc_dir_open(int parent_fd, const char *name, bool is_made, int *fd, bool *is_new)
{
    int no_follow = parent_fd == AT_FDCWD ? 0 : O_NOFOLLOW;
    struct stat st;

    *is_new = is_made && mkdirat(parent_fd, name, 0700) == 0;
    if (is_made && !*is_new && errno != EEXIST) {
        return error_of_errno();
    }
    *fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | no_follow);
    if (*fd < 0) {
        return errno == ENOTDIR ? CONFCAST_ERR_AUTHORITY : error_of_errno();
    }
    if (fstat(*fd, &st) != 0 || !is_ours(&st)) {
        close(*fd);
        *fd = -1;
        return CONFCAST_ERR_AUTHORITY;
    }
    return CONFCAST_OK;
}

int
cfc_dir_sync(int dir_fd)
{
    return fsync(dir_fd) == 0 ? CONFCAST_OK : CONFCAST_ERR_IO;
}

void
cfc_dir_clean(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0) {
            unlinkat(dir_fd, entry->d_name, 0);
        }
    }
    closedir(dir);
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

int
cfc_file_write_at(int fd, const void *bytes, size_t size, uint64_t offset)
{
    const uint8_t *p = bytes;

    while (size > 0) {
        ssize_t n = pwrite(fd, p, size, (off_t)offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return error_of_errno();
        }
        if (n == 0) {
            return CONFCAST_ERR_IO;
        }
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return CONFCAST_OK;
}

int
cfc_file_create(int dir_fd, const void *bytes, size_t size, int *fd,
                char temporary[CFC_FILE_TEMPORARY_SIZE])
{
    static atomic_uint number;
    int error;

    /* Always a new name: after a failed fsync the old descriptor's pages would count as clean. */
    snprintf(temporary, CFC_FILE_TEMPORARY_SIZE, TEMPORARY_PREFIX "%ld-%u", (long)getpid(),
             atomic_fetch_add(&number, 1));
    *fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0) {
        return error_of_errno();
    }
    error = cfc_file_write_at(*fd, bytes, size, 0);
    if (error == CONFCAST_OK && fsync(*fd) != 0) {
        error = error_of_errno();
    }
    if (error != CONFCAST_OK) {
        close(*fd);
        *fd = -1;
        unlinkat(dir_fd, temporary, 0);
    }
    return error;
}

int
cfc_file_replace(int dir_fd, const char *name, const void *bytes, size_t size)
{
    char temporary[CFC_FILE_TEMPORARY_SIZE];
    int fd;
    int error = cfc_file_create(dir_fd, bytes, size, &fd, temporary);

    if (error != CONFCAST_OK) {
        return error;
    }
    close(fd); /* all of it was synced: there is nothing left to fail */
    if (renameat(dir_fd, temporary, dir_fd, name) != 0) {
        error = error_of_errno();
        unlinkat(dir_fd, temporary, 0);
    }
    return error;
}
