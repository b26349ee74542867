/* confcastctl: what its commands share.  One thread; nothing outlives a command.
 *
 * Results go to stdout, everything else to stderr.  The exit codes are a contract (docs/cli.md). */
#ifndef CFC_CTL_CTL_H
#define CFC_CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum cfc_ctl_exit {
    CFC_EXIT_OK = 0,
    CFC_EXIT_NEGATIVE = 1,  /* the answer is no: differs, not reached */
    CFC_EXIT_CONNECT = 2,   /* no server, or one that cannot serve now */
    CFC_EXIT_USAGE = 3,     /* bad input or usage */
    CFC_EXIT_CONFLICT = 4,  /* somebody was faster, or the state does not allow it */
    CFC_EXIT_REFUSED = 5,   /* validation refused it */
    CFC_EXIT_TIMEOUT = 6,   /* not within the time given */
    CFC_EXIT_FENCED = 7,    /* fenced, or not the owner */
    CFC_EXIT_FORBIDDEN = 8, /* not allowed */
    CFC_EXIT_NOT_FOUND = 9, /* there is no such thing */
};

enum cfc_ctl_format {
    CFC_FORMAT_TABLE,
    CFC_FORMAT_JSON,
    CFC_FORMAT_YAML,
};

struct cfc_ctl {
    const char *server;    /* http://HOST:PORT, https://..., unix:/PATH */
    const char *author;    /* who the audit log names */
    const char *token;     /* bearer token; NULL = none.  Never printed */
    const char *ca_file;   /* PEM; NULL = the system's authorities */
    const char *cert_file; /* PEM, with key_file; NULL = none */
    const char *key_file;
    const char *idempotency_key; /* NULL = a new random one for each change */
    enum cfc_ctl_format format;
    void *curl;      /* the handle that is kept between calls (http.c) */
    FILE *body_file; /* takes the body of a good answer instead of memory; NULL = memory */
    /* Takes the body of a good answer as it comes, for as long as it comes; NULL = memory.  False
     * ends it. */
    bool (*on_body)(void *arg, const char *bytes, size_t size);
    void *on_body_arg;
    bool accepts_absent;   /* a 404 is not printed: the caller expects it */
    bool accepts_conflict; /* the same of a 409: the caller tries again */
    bool is_quiet;         /* connection failures are not printed: the caller tries again */
    uint32_t limit_ms;     /* one try, at most so long; 0 = the default, and patience */
};

/* One line on stderr, begun with "confcastctl: "; returns `code`, so that callers can return it. */
int cfc_ctl_fail(enum cfc_ctl_exit code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
