/* UFTP: its own programs carry files; this starts them and sees what they leave behind.
 *
 *   peer_uftp send COMMAND...     per order runs COMMAND... -D ROUND PATH to its end
 *   peer_uftp receive FOLDER      reports each file that uftpd moves into FOLDER
 *
 * A program of its own, since starting a process from the harness would take longer than UFTP does
 * for a small file. */
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "perf/peers/peer.h"

extern char **environ;

enum {
    ARGUMENTS_MAX = 64
};

static void
send_file(char **command, int count, const struct peer_order *order)
{
    char *arguments[ARGUMENTS_MAX];
    char name[16];
    int status = -1;
    pid_t child;

    snprintf(name, sizeof(name), "%u", order->round);
    memcpy(arguments, command, (size_t)count * sizeof(*command));
    arguments[count] = (char *)"-D";
    arguments[count + 1] = name;
    arguments[count + 2] = (char *)order->path;
    arguments[count + 3] = NULL;
    if (posix_spawnp(&child, arguments[0], NULL, NULL, arguments, environ) != 0 ||
        waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "peer_uftp: %s ended with status %d\n", arguments[0], status);
        exit(1);
    }
}

static void
run_sender(char **command, int count)
{
    struct peer_order order;

    if (count < 1 || count + 4 > ARGUMENTS_MAX) {
        peer_die("command");
    }
    peer_say_ready();
    while (peer_next_order(&order)) {
        uint64_t begin_ns = peer_now_ns();

        send_file(command, count, &order);
        peer_say_sent(order.round, begin_ns, peer_now_ns());
    }
}

static void
report(int folder_fd, const char *name, uint64_t now_ns)
{
    int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC);
    struct stat info;
    void *bytes;

    if (fd < 0 || fstat(fd, &info) != 0 || info.st_size == 0) {
        peer_die(name);
    }
    bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        peer_die(name);
    }
    peer_say_got((uint32_t)strtoul(name, NULL, 10), now_ns, bytes, (size_t)info.st_size);
    munmap(bytes, (size_t)info.st_size);
    close(fd);
    unlinkat(folder_fd, name, 0);
}

static void
run_receiver(const char *folder)
{
    _Alignas(struct inotify_event) char events[4096];
    int folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = inotify_init1(IN_CLOEXEC);
    struct pollfd waits[2] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};

    if (folder_fd < 0 || fd < 0 || inotify_add_watch(fd, folder, IN_MOVED_TO) < 0) {
        peer_die(folder);
    }
    peer_say_ready();
    while (poll(waits, 2, -1) > 0 && waits[0].revents != 0) {
        ssize_t size = read(fd, events, sizeof(events));
        uint64_t now_ns = peer_now_ns();

        for (char *at = events; at < events + size;) {
            const struct inotify_event *event = (const struct inotify_event *)(void *)at;

            if (event->len > 0) {
                report(folder_fd, event->name, now_ns);
            }
            at += sizeof(*event) + event->len;
        }
    }
}

int
main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "send") == 0) {
        run_sender(argv + 2, argc - 2);
    } else if (argc == 3 && strcmp(argv[1], "receive") == 0) {
        run_receiver(argv[2]);
    } else {
        fputs("peer_uftp: see the head of its source\n", stderr);
        return 2;
    }
    return 0;
}
