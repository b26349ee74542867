#include "controlplane/model/validator.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "protocol/base/time.h"

enum {
    EXIT_NOT_RUN = 127, /* as a shell says that there is no such program */
    FILE_SIZE_MAX = 16 * 1024 * 1024,
    DESCRIPTORS_MAX = 64,
};

void
cfc_validator_job_free(struct cfc_validator_job *job)
{
    for (size_t i = 0; job->argv[i] != NULL; i++) {
        free(job->argv[i]);
    }
    cfc_config_body_unref(job->body);
    memset(job, 0, sizeof(*job));
}

static uint64_t
now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CFC_S + (uint64_t)now.tv_nsec;
}

static int
left_ms(uint64_t deadline_ns)
{
    uint64_t now = now_ns();

    return now < deadline_ns ? (int)((deadline_ns - now) / CFC_MS) + 1 : 0;
}

/* A file in memory with the config as canonical JSON, to be standard input: nobody has to feed it.
 */
static int
make_input(const struct cfc_config_body *body, int *fd)
{
    char *text;
    size_t size;
    size_t done = 0;
    int error = cfc_json_body_to_text(body->body, body->body_size, &text, &size);

    if (error != CONFCAST_OK) {
        return error;
    }
    *fd = memfd_create("candidate", MFD_CLOEXEC);
    while (*fd >= 0 && done < size) {
        ssize_t written = write(*fd, text + done, size - done);

        if (written < 0 && errno != EINTR) {
            close(*fd);
            *fd = -1;
        }
        done += written > 0 ? (size_t)written : 0;
    }
    free(text);
    if (*fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    lseek(*fd, 0, SEEK_SET);
    return CONFCAST_OK;
}

static void
set_limit(int resource, uint64_t value)
{
    struct rlimit limit = {.rlim_cur = value, .rlim_max = value};

    if (setrlimit((__rlimit_resource_t)resource, &limit) != 0) {
        _exit(EXIT_NOT_RUN);
    }
}

/* In the child of a process with threads: nothing but system calls. */
static void
become(const struct cfc_validator_job *job, int input, int output, char *const *environment)
{
    sigset_t none;

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0 ||
        syscall(SYS_close_range, 3u, ~0u, 0u) != 0 || chdir("/") != 0) {
        _exit(EXIT_NOT_RUN);
    }
    set_limit(RLIMIT_AS, (uint64_t)job->memory_mb << 20);
    set_limit(RLIMIT_CPU, job->timeout_ms / 1000 + 1);
    set_limit(RLIMIT_FSIZE, FILE_SIZE_MAX);
    set_limit(RLIMIT_NOFILE, DESCRIPTORS_MAX);
    set_limit(RLIMIT_CORE, 0);
    execve(job->argv[0], job->argv, environment);
    _exit(EXIT_NOT_RUN);
}

static pid_t
start(const struct cfc_validator_job *job, int input, int output)
{
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
    static char lang[] = "LANG=C.UTF-8";
    char scope[CFC_SCOPE_SIZE_MAX + 32];
    char *environment[] = {path, lang, scope, NULL};
    pid_t pid;

    snprintf(scope, sizeof(scope), "CONFCAST_SCOPE=%s", job->scope);
    pid = fork();
    if (pid == 0) {
        become(job, input, output, environment);
    }
    if (pid > 0) {
        setpgid(pid, pid); /* Whoever is first: it must be done before a kill of the group. */
    }
    return pid;
}

/* What the program prints, until it ends its output or breaks a limit.  NULL, or what is wrong. */
static const char *
listen_to(int fd, uint64_t deadline_ns, char *kept, size_t capacity)
{
    size_t total = 0;
    size_t used = 0;

    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        char bytes[4096];
        ssize_t size;
        int timeout = left_ms(deadline_ns);

        if (timeout == 0 || poll(&wait, 1, timeout) == 0) {
            kept[used] = '\0';
            return "it took longer than its timeout";
        }
        size = read(fd, bytes, sizeof(bytes));
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size <= 0) {
            kept[used] = '\0';
            return NULL;
        }
        total += (size_t)size;
        if (total > CFC_VALIDATOR_OUTPUT_MAX) {
            kept[used] = '\0';
            return "it printed more than 64 KiB";
        }
        for (ssize_t i = 0; i < size && used + 1 < capacity; i++) {
            kept[used++] = bytes[i];
        }
    }
}

/* Waits for the end; false when time is up first. */
static bool
has_ended(pid_t pid, uint64_t deadline_ns)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    bool ended = fd < 0 || poll(&wait, 1, left_ms(deadline_ns)) > 0;

    if (fd >= 0) {
        close(fd);
    }
    return ended;
}

/* The first line of what was printed, without what a terminal would act on. */
static void
keep_line(char *text)
{
    size_t size = strcspn(text, "\r\n");

    text[size] = '\0';
    for (char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e) {
            *p = '?';
        }
    }
}

static int
judge(const struct cfc_validator_job *job, int status, const char *broken, const char *printed,
      char message[CFC_VALIDATOR_MESSAGE_MAX])
{
    const char *name = strrchr(job->argv[0], '/') + 1;
    char how[64];

    if (broken == NULL && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        message[0] = '\0';
        return CONFCAST_OK;
    }
    if (broken == NULL && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOT_RUN) {
        broken = "it could not be run";
    } else if (broken == NULL && WIFSIGNALED(status)) {
        snprintf(how, sizeof(how), "it was ended by signal %d", WTERMSIG(status));
        broken = how;
    } else if (broken == NULL) {
        snprintf(how, sizeof(how), "exit status %d", WEXITSTATUS(status));
        broken = how;
    }
    snprintf(message, CFC_VALIDATOR_MESSAGE_MAX, "validator %.63s of %.100s: %s%s%s", name,
             job->scope, broken, printed[0] != '\0' ? ": " : "", printed);
    return CONFCAST_ERR_VALIDATION;
}

int
cfc_validator_run(const struct cfc_validator_job *job, char message[CFC_VALIDATOR_MESSAGE_MAX])
{
    uint64_t deadline_ns = now_ns() + job->timeout_ms * CFC_MS;
    char printed[200];
    const char *broken;
    int output[2];
    int input;
    int status;
    pid_t pid;
    int error = make_input(job->body, &input);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (pipe2(output, O_CLOEXEC) != 0) {
        close(input);
        return CONFCAST_ERR_RESOURCE;
    }
    pid = start(job, input, output[1]);
    close(input);
    close(output[1]);
    if (pid < 0) {
        close(output[0]);
        return CONFCAST_ERR_RESOURCE;
    }
    broken = listen_to(output[0], deadline_ns, printed, sizeof(printed));
    close(output[0]);
    if (broken == NULL && !has_ended(pid, deadline_ns)) {
        broken = "it took longer than its timeout";
    }
    /* What it started goes with it, even when it has ended itself. */
    kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    keep_line(printed);
    return judge(job, status, broken, printed, message);
}
