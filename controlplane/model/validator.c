#include "controlplane/model/validator.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
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
    RUNNING_MAX = 16,
    LEFT_BEHIND_MAX = 1000,
    LOOK_MS = 100, /* between two looks whether to stop */
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

uint64_t
cfc_validator_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CFC_S + (uint64_t)now.tv_nsec;
}

static int
left_ms(uint64_t deadline_ns)
{
    uint64_t now = cfc_validator_now_ns();

    return now < deadline_ns ? (int)((deadline_ns - now) / CFC_MS) + 1 : 0;
}

/* Moves a descriptor above the standard ones, which it may have got in a process that closed them:
 * dup2(2) onto itself would leave it to be closed by the exec. */
static bool
lift(int *fd)
{
    int lifted = fcntl(*fd, F_DUPFD_CLOEXEC, 3);

    if (lifted >= 0) {
        close(*fd);
        *fd = lifted;
    }
    return lifted >= 0;
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
    *fd = memfd_create("candidate", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    while (*fd >= 0 && done < size) {
        ssize_t written = write(*fd, text + done, size - done);

        if (written < 0 && errno != EINTR) {
            close(*fd);
            *fd = -1;
        }
        done += written > 0 ? (size_t)written : 0;
    }
    free(text);
    if (*fd < 0 || fcntl(*fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) != 0 ||
        lseek(*fd, 0, SEEK_SET) != 0 || !lift(fd)) {
        if (*fd >= 0) {
            close(*fd);
        }
        return CONFCAST_ERR_RESOURCE;
    }
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
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
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

/* The programs that run, so that what else is a child of this process is known to be left behind.
 * It is held while one is started: a child must not be seen before it is listed. */
static struct {
    pthread_mutex_t lock;
    pid_t pids[RUNNING_MAX];
    bool is_reaper; /* orphans become children of this process */
} running = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Under the lock: the place of a pid, 0 for a free one; NULL = there is none. */
static pid_t *
find_running(pid_t pid)
{
    for (size_t i = 0; i < RUNNING_MAX; i++) {
        if (running.pids[i] == pid) {
            return &running.pids[i];
        }
    }
    return NULL;
}

static pid_t
start(const struct cfc_validator_job *job, int input, int output)
{
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
    static char lang[] = "LANG=C.UTF-8";
    char scope[CFC_SCOPE_SIZE_MAX + 32];
    char *environment[] = {path, lang, scope, NULL};
    pid_t *place;
    pid_t pid;

    snprintf(scope, sizeof(scope), "CONFCAST_SCOPE=%s", job->scope);
    pthread_mutex_lock(&running.lock);
    if (!running.is_reaper) {
        running.is_reaper = prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0;
    }
    place = find_running(0);
    pid = place != NULL ? fork() : -1;
    if (pid == 0) {
        become(job, input, output, environment);
    }
    if (pid > 0) {
        setpgid(pid, pid); /* Whoever is first: it must be done before a kill of the group. */
        *place = pid;
    }
    pthread_mutex_unlock(&running.lock);
    return pid;
}

/* A child of this process that is no running program; 0 = there is none. */
static pid_t
find_left_behind(void)
{
    DIR *proc = opendir("/proc");
    pid_t found = 0;
    struct dirent *entry;

    while (proc != NULL && found == 0 && (entry = readdir(proc)) != NULL) {
        char path[300];
        char stat[512] = "";
        const char *after;
        int parent = 0;
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        FILE *in;

        if (pid <= 0) {
            continue;
        }
        snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
        in = fopen(path, "re");
        if (in == NULL) {
            continue;
        }
        /* The name in parentheses may hold anything: the last one ends it. */
        if (fgets(stat, sizeof(stat), in) != NULL && (after = strrchr(stat, ')')) != NULL &&
            sscanf(after, ") %*c %d", &parent) == 1 && parent == getpid() &&
            find_running(pid) == NULL) {
            found = pid;
        }
        fclose(in);
    }
    if (proc != NULL) {
        closedir(proc);
    }
    return found;
}

/* Ends a program and what it started: its process group, and those who left it, who come to this
 * process as orphans.  The status of the program. */
static int
end_all(pid_t pid)
{
    int status = 0;
    pid_t *place;
    pid_t left;

    kill(-pid, SIGKILL); /* before it is waited for: the number is still its own */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    pthread_mutex_lock(&running.lock);
    place = find_running(pid);
    if (place != NULL) {
        *place = 0;
    }
    for (int i = 0; i < LEFT_BEHIND_MAX && (left = find_left_behind()) != 0; i++) {
        kill(left, SIGKILL);
        while (waitpid(left, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    pthread_mutex_unlock(&running.lock);
    return status;
}

static bool
make_output(int output[2])
{
    if (pipe2(output, O_CLOEXEC) != 0) {
        return false;
    }
    if (lift(&output[0]) && lift(&output[1])) {
        return true;
    }
    close(output[0]);
    close(output[1]);
    return false;
}

/* 1: there is something; 0: time is up; -1: interrupted.  A signal to this thread is neither. */
static int
wait_for(struct pollfd *wait, uint64_t deadline_ns, const atomic_bool *is_interrupted)
{
    for (;;) {
        int left = left_ms(deadline_ns);
        int ready;

        if (is_interrupted != NULL && atomic_load(is_interrupted)) {
            return -1;
        }
        ready = poll(wait, 1, left < LOOK_MS ? left : LOOK_MS);
        if (ready > 0 || left == 0) {
            return ready > 0 ? 1 : 0;
        }
    }
}

/* What the program prints, until it ends its output or breaks a limit.  NULL, or what is wrong. */
static const char *
listen_to(int fd, uint64_t deadline_ns, const atomic_bool *is_interrupted, char *kept,
          size_t capacity)
{
    size_t total = 0;
    size_t used = 0;

    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        char bytes[4096];
        ssize_t size;
        int ready = wait_for(&wait, deadline_ns, is_interrupted);

        if (ready <= 0) {
            kept[used] = '\0';
            return ready == 0 ? "it took longer than its timeout" : "confcastd is stopping";
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

/* Waits for the end of a process: as wait_for(). */
static int
wait_for_end(pid_t pid, uint64_t deadline_ns, const atomic_bool *is_interrupted)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int ready;

    if (fd < 0) {
        return 1; /* waitpid(2) waits all the same */
    }
    ready = wait_for(&wait, deadline_ns, is_interrupted);
    close(fd);
    return ready;
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
cfc_validator_run(const struct cfc_validator_job *job, uint64_t deadline_ns,
                  const atomic_bool *is_interrupted, char message[CFC_VALIDATOR_MESSAGE_MAX])
{
    uint64_t own_deadline_ns = cfc_validator_now_ns() + job->timeout_ms * CFC_MS;
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
    if (!make_output(output)) {
        close(input);
        return CONFCAST_ERR_RESOURCE;
    }
    deadline_ns = own_deadline_ns < deadline_ns ? own_deadline_ns : deadline_ns;
    pid = start(job, input, output[1]);
    close(input);
    close(output[1]);
    if (pid < 0) {
        close(output[0]);
        return CONFCAST_ERR_RESOURCE;
    }
    broken = listen_to(output[0], deadline_ns, is_interrupted, printed, sizeof(printed));
    close(output[0]);
    if (broken == NULL) {
        int ended = wait_for_end(pid, deadline_ns, is_interrupted);

        broken = ended > 0    ? NULL
                 : ended == 0 ? "it took longer than its timeout"
                              : "confcastd is stopping";
    }
    status = end_all(pid);
    keep_line(printed);
    return judge(job, status, broken, printed, message);
}
