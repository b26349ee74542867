#include "consumer/app/hook.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "consumer/cache_file.h"

extern char **environ;

enum {
    VARIABLES = 5,
    VARIABLE_SIZE_MAX = 8192,
    PATIENCE_MS = 2000, /* between SIGTERM and SIGKILL */
};

/* ---- Its environment --------------------------------------------------------------------------
 */

struct environment {
    char **all; /* the agent's, without ours, and ours behind */
    char ours[VARIABLES][VARIABLE_SIZE_MAX];
};

__attribute__((format(printf, 3, 4))) static void
set_variable(struct environment *e, int i, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(e->ours[i], VARIABLE_SIZE_MAX, format, args);
    va_end(args);
}

static struct environment *
environment_of(const struct cfc_hook_run *run)
{
    static const char PREFIX[] = "CONFCAST_";
    struct environment *e = calloc(1, sizeof(*e));
    size_t count = 0;
    char hex[65];

    while (environ[count] != NULL) {
        count++;
    }
    if (e == NULL || (e->all = calloc(count + VARIABLES + 1, sizeof(*e->all))) == NULL) {
        free(e);
        return NULL;
    }
    for (size_t i = 0; i < 32; i++) {
        snprintf(hex + 2 * i, 3, "%02x", run->content[i]);
    }
    set_variable(e, 0, "CONFCAST_SCOPE=%s", run->scope);
    set_variable(e, 1, "CONFCAST_EPOCH=%llu", (unsigned long long)run->epoch);
    set_variable(e, 2, "CONFCAST_VERSION=%llu", (unsigned long long)run->version);
    set_variable(e, 3, "CONFCAST_CONTENT=%s", hex);
    set_variable(e, 4, "CONFCAST_FILE=%s", run->file != NULL ? run->file : "");
    count = 0;
    for (char **at = environ; *at != NULL; at++) {
        if (strncmp(*at, PREFIX, sizeof(PREFIX) - 1) != 0) {
            e->all[count++] = *at;
        }
    }
    for (int i = 0; i < VARIABLES - (run->file == NULL); i++) {
        e->all[count++] = e->ours[i];
    }
    return e;
}

static void
environment_free(struct environment *e)
{
    if (e != NULL) {
        free(e->all);
        free(e);
    }
}

/* ---- Starting and ending ----------------------------------------------------------------------
 */

/* The JSON as a file without a name, so that nobody has to feed a pipe. */
static int
stdin_of(const struct cfc_hook_run *run, int *fd)
{
    int error;

    *fd = memfd_create("confcast-json", MFD_CLOEXEC);
    if (*fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    error = cfc_file_write_at(*fd, run->json, run->json_size, 0);
    if (error != CONFCAST_OK) {
        close(*fd);
    }
    return error;
}

/* The agent's blocked signals and its ignored SIGPIPE are no affair of the command's. */
static int
start(const struct cfc_hook_run *run, int stdin_fd, char **environment, pid_t *pid)
{
    const char *argv[] = {"sh", "-c", run->command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t defaults;
    int error;

    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    error = posix_spawn_file_actions_adddup2(&actions, stdin_fd, STDIN_FILENO) != 0 ||
            posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO) != 0 ||
            posix_spawnattr_setsigmask(&attributes, &none) != 0 ||
            posix_spawnattr_setsigdefault(&attributes, &defaults) != 0 ||
            posix_spawnattr_setpgroup(&attributes, 0) != 0 ||
            posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                      POSIX_SPAWN_SETPGROUP) != 0 ||
            posix_spawn(pid, "/bin/sh", &actions, &attributes, (char *const *)(uintptr_t)argv,
                        environment) != 0;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error ? CONFCAST_ERR_RESOURCE : CONFCAST_OK;
}

static int64_t
now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* OK: it ended; TIMEOUT; CLOSED: stop_fd (-1 = none) is readable. */
static int
await_end(int pid_fd, int stop_fd, uint32_t timeout_ms)
{
    int64_t deadline_ms = now_ms() + timeout_ms;

    for (;;) {
        struct pollfd polls[2] = {{.fd = pid_fd, .events = POLLIN},
                                  {.fd = stop_fd, .events = POLLIN}};
        int64_t left_ms = deadline_ms - now_ms();
        int count = poll(polls, 2, left_ms > 0 ? (int)left_ms : 0);

        if (count > 0) {
            return polls[0].revents != 0 ? CONFCAST_OK : CONFCAST_ERR_CLOSED;
        }
        if (count == 0) {
            return CONFCAST_ERR_TIMEOUT;
        }
    }
}

static int
status_of(const siginfo_t *end)
{
    return end->si_code == CLD_EXITED ? end->si_status : 128 + end->si_status;
}

/* Its children may still run when the shell has ended; what has to end ends with its group. */
static int
wait_for(pid_t pid, int pid_fd, const struct cfc_hook_run *run, int *status)
{
    int error = await_end(pid_fd, run->stop_fd, run->timeout_ms);
    siginfo_t end;

    if (error != CONFCAST_OK) {
        (void)kill(-pid, SIGTERM);
        (void)await_end(pid_fd, -1, PATIENCE_MS);
        (void)kill(-pid, SIGKILL);
    }
    memset(&end, 0, sizeof(end));
    while (waitid(P_PIDFD, (id_t)pid_fd, &end, WEXITED) != 0 && errno == EINTR) {
    }
    *status = status_of(&end);
    if (error == CONFCAST_OK && *status != 0) {
        error = CONFCAST_ERR_APP_REJECT;
    }
    return error;
}

int
cfc_hook_run(const struct cfc_hook_run *run, int *status)
{
    struct environment *environment = environment_of(run);
    int error = CONFCAST_ERR_NO_MEMORY;
    int stdin_fd = -1;
    int pid_fd;
    pid_t pid;

    *status = 0;
    if (environment == NULL) {
        return error;
    }
    error = stdin_of(run, &stdin_fd);
    if (error != CONFCAST_OK) {
        goto out_environment;
    }
    error = start(run, stdin_fd, environment->all, &pid);
    close(stdin_fd);
    if (error != CONFCAST_OK) {
        goto out_environment;
    }
    pid_fd = pidfd_open(pid, 0); /* not reaped yet: the number is still its own */
    if (pid_fd < 0) {
        (void)kill(-pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        error = CONFCAST_ERR_RESOURCE;
        goto out_environment;
    }
    error = wait_for(pid, pid_fd, run, status);
    close(pid_fd);

out_environment:
    environment_free(environment);
    return error;
}
