/* Files that cannot grow: no write of a database succeeds, and it cannot be opened. */
#ifndef CFC_TESTS_WRITE_LIMIT_H
#define CFC_TESTS_WRITE_LIMIT_H

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>

/* For the whole process, until it is called with false. */
static inline void
refuse_writes(bool refuses)
{
    static struct rlimit before;
    struct rlimit none;

    if (refuses) {
        signal(SIGXFSZ, SIG_IGN);
        (void)getrlimit(RLIMIT_FSIZE, &before);
        none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
        (void)setrlimit(RLIMIT_FSIZE, &none);
    } else {
        (void)setrlimit(RLIMIT_FSIZE, &before);
    }
}

#endif
