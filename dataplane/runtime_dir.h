/* EAL's folder of a running engine, BASE/dpdk/PREFIX, where its telemetry socket lies: who has it,
 * and what became of those whose engine was killed, which EAL leaves behind for ever.
 *
 * An engine holds a lock on the file `owner` in its folder for as long as it lives; the kernel lets
 * go of it however the process ends.  So whoever gets the lock of a folder may remove it.  A folder
 * without that file (EAL makes folders for other programs too) is only removed when its name begins
 * as ours do, its telemetry socket refuses connections, and it is older than
 * CFC_RUNTIME_GRACE_S.  Start-up and end only; one thread. */
#ifndef CFC_DATAPLANE_RUNTIME_DIR_H
#define CFC_DATAPLANE_RUNTIME_DIR_H

#include <stdint.h>

enum {
    CFC_RUNTIME_GRACE_S = 60
};

#define CFC_RUNTIME_PREFIX "confcast-"

struct cfc_runtime_dir {
    int lock_fd;
    char path[256];
};

/* Where EAL keeps its folders: /var/run for root, else XDG_RUNTIME_DIR or /tmp. */
const char *cfc_runtime_base(void);

/* Makes BASE/dpdk/PREFIX and takes its lock; before EAL starts.  PREFIX begins with
 * CFC_RUNTIME_PREFIX.  EXISTS: a living engine has it; RESOURCE, LIMIT.  Logged. */
int cfc_runtime_dir_claim(const char *base, const char *prefix, struct cfc_runtime_dir *out);

/* Removes the folders of engines that are no more; how many.  What cannot be removed is left. */
uint32_t cfc_runtime_dir_sweep(const char *base);

/* Removes the own folder and gives the lock back, after EAL has ended. */
void cfc_runtime_dir_release(struct cfc_runtime_dir *dir);

#endif
