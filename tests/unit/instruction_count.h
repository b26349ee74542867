/* Counts the instructions that a function takes, by stepping a child process through it: unlike
 * time, the count is the same in every run, so that a path that depends on a secret shows. */
#ifndef CFC_TESTS_INSTRUCTION_COUNT_H
#define CFC_TESTS_INSTRUCTION_COUNT_H

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* -1 when this process may not trace its child. */
static inline long
cfc_count_instructions(void (*run)(void *), void *arg)
{
    pid_t child = fork();
    long count = 0;
    int status;

    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
            _exit(1);
        }
        raise(SIGSTOP);
        run(arg);
        raise(SIGSTOP);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) {
        return -1;
    }
    do {
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0 ||
            waitpid(child, &status, 0) != child) {
            return -1;
        }
        count++;
    } while (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return count;
}

#endif
