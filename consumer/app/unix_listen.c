#include "consumer/app/unix_listen.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "confcast/error.h"

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

int
cfc_unix_listen(const char *path, mode_t mode, int backlog, int *fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(path);
    int error;

    *fd = -1;
    if (size >= sizeof(address.sun_path)) {
        return CONFCAST_ERR_INVALID;
    }
    memcpy(address.sun_path, path, size);
    error = remove_dead(&address);
    if (error != CONFCAST_OK) {
        return error;
    }
    *fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    if (bind(*fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        goto err_close;
    }
    /* Nobody can connect before listen(), so that the mode is in force for the first one. */
    if (chmod(path, mode) != 0 || listen(*fd, backlog) != 0) {
        (void)unlink(path);
        goto err_close;
    }
    return CONFCAST_OK;

err_close:
    close(*fd);
    *fd = -1;
    return CONFCAST_ERR_IO;
}
