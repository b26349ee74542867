/* What an agent does for programs that know nothing of confcast: files and a command for every
 * content that a scope serves, on a thread of its own.
 *
 * It follows states, not events: a scope that changes five times while the command runs gets it
 * once more, with the newest content.  For each content the file comes first, then the command.  A
 * file that cannot be written is tried again after 1 s, up to every 64 s.  A command that fails is
 * not run again for the same content by this agent; the next agent runs it, and only then: what was
 * done is noted in STATE_DIR/executed. */
#ifndef CFC_AGENT_OUTLET_H
#define CFC_AGENT_OUTLET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "confcast/confcast.h"

struct cfc_outlet;

struct cfc_outlet_config {
    const char *state_dir;
    const char *export_dir; /* NULL: no files */
    mode_t export_mode;
    const char *command; /* NULL: none */
    uint32_t timeout_s;  /* of the command, 1..86,400 */
    struct confcast_scope *const *scopes;
    const char *const *paths; /* of the scopes */
    size_t scope_count;       /* at most 256 */
    /* "exported", "export_failed", "executed", "exec_failed", on the outlet's thread; may be NULL
     */
    confcast_event_fn *event;
    void *event_arg;
    void (*log)(void *arg, int level, const char *line); /* likewise */
    void *log_arg;
};

/* Begins with what the scopes serve now, and follows them; it takes their change callbacks.  The
 * strings must outlive it.  Errors of cfc_export_open() and of making STATE_DIR/executed; RESOURCE,
 * NO_MEMORY. */
int cfc_outlet_start(const struct cfc_outlet_config *config, struct cfc_outlet **out);

/* Ends a command that runs.  Before the client is closed; NULL is fine. */
void cfc_outlet_stop(struct cfc_outlet *outlet);

#endif
