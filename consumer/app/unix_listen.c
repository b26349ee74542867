#include "consumer/app/unix_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "confcast/error.h"

static const char LOCK_SUFFIX[] = ".lock";

/* A dead agent's socket is in the way of bind(); a living one's answers.  Any other file, which
 * refuses connections as a dead one's does, is not ours. */
static int
remove_dead(const struct sockaddr_un *address)
{
    struct stat st;
    int error = CONFCAST_OK;
    int fd;

    if (lstat(address->sun_path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
        return CONFCAST_ERR_IO;
    }
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN) {
        error = CONFCAST_ERR_BUSY;
    } else if (errno == ECONNREFUSED && unlink(address->sun_path) != 0) {
        error = CONFCAST_ERR_IO;
    }
    close(fd);
    return error;
}

/* The lock is the open file's: it ends with its process, whatever ends that. */
static int
take_lock(const char *path, int *fd)
{
    char name[sizeof(((struct sockaddr_un *)0)->sun_path) + sizeof(LOCK_SUFFIX)];
    struct stat st;

    snprintf(name, sizeof(name), "%s%s", path, LOCK_SUFFIX);
    *fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (*fd < 0) {
        return CONFCAST_ERR_IO;
    }
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return CONFCAST_ERR_IO;
    }
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? CONFCAST_ERR_BUSY : CONFCAST_ERR_IO;
    }
    return CONFCAST_OK;
}

static int
listen_at(const struct sockaddr_un *address, mode_t mode, int backlog, int *fd)
{
    *fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    if (bind(*fd, (const struct sockaddr *)address, sizeof(*address)) != 0) {
        return CONFCAST_ERR_IO;
    }
    /* Nobody can connect before listen(), so that the mode is in force for the first one. */
    if (chmod(address->sun_path, mode) != 0 || listen(*fd, backlog) != 0) {
        (void)unlink(address->sun_path);
        return CONFCAST_ERR_IO;
    }
    return CONFCAST_OK;
}

static void
close_both(struct cfc_unix_listener *listener)
{
    if (listener->fd >= 0) {
        close(listener->fd);
    }
    if (listener->lock_fd >= 0) {
        close(listener->lock_fd);
    }
    *listener = (struct cfc_unix_listener){.fd = -1, .lock_fd = -1};
}

int
cfc_unix_listen(const char *path, mode_t mode, int backlog, struct cfc_unix_listener *out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(path);
    int error;

    *out = (struct cfc_unix_listener){.fd = -1, .lock_fd = -1};
    if (size >= sizeof(address.sun_path)) {
        return CONFCAST_ERR_INVALID;
    }
    memcpy(address.sun_path, path, size);
    error = take_lock(path, &out->lock_fd);
    if (error == CONFCAST_OK) {
        error = remove_dead(&address);
    }
    if (error == CONFCAST_OK) {
        error = listen_at(&address, mode, backlog, &out->fd);
    }
    if (error != CONFCAST_OK) {
        close_both(out);
    }
    return error;
}

void
cfc_unix_listen_close(struct cfc_unix_listener *listener, const char *path)
{
    if (listener->fd >= 0) {
        (void)unlink(path); /* before the lock goes: it is ours until then */
    }
    close_both(listener);
}
