/* A command that is run when a scope serves another content: `sh -c COMMAND`, in a process group of
 * its own, with the canonical JSON on stdin and in its environment CONFCAST_SCOPE, CONFCAST_EPOCH,
 * CONFCAST_VERSION, CONFCAST_CONTENT (hex) and, where files are exported, CONFCAST_FILE.  What it
 * prints goes to the agent's stderr. */
#ifndef CFC_AGENT_HOOK_H
#define CFC_AGENT_HOOK_H

#include <stddef.h>
#include <stdint.h>

struct cfc_hook_run {
    const char *command;
    const char *scope;
    uint64_t epoch;
    uint64_t version;
    const uint8_t *content; /* 32 bytes */
    const char *file;       /* NULL: none */
    const char *json;
    size_t json_size;
    uint32_t timeout_ms; /* at least 1 */
    int stop_fd;         /* readable: end it now */
};

/* Runs the command and waits for its end.  *status: its exit code, or 128 + the signal that ended
 * it.  OK: it ended with 0.  APP_REJECT: with something else.  TIMEOUT, CLOSED: it was ended, since
 * it took too long or stop_fd was readable: its process group gets SIGTERM, and SIGKILL once the
 * shell has ended, after two seconds at most.  RESOURCE, NO_MEMORY: it did not run. */
int cfc_hook_run(const struct cfc_hook_run *run, int *status);

#endif
