/* Follows the fleet file while a client runs, for its release keys: a new one is trusted, and a
 * retired one is not any more, without a restart.  Everything else of a new file (groups, engines)
 * counts from the next start on.
 *
 * The loop thread's.  A file that is missing, half written, of another root or fleet, or older than
 * what was seen changes nothing: it is said once, and the keys that were there stay. */
#ifndef CFC_CONSUMER_FLEET_WATCH_H
#define CFC_CONSUMER_FLEET_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct confcast;

struct cfc_fleet_watch {
    char *path;       /* ours; NULL = there is no file to follow */
    struct stat seen; /* of the file that was read last */
    uint64_t look_at_ns;
    uint64_t stranger_count; /* frames by keys without authority since it was last told */
    uint64_t stranger_told_ns;
};

/* Reads and verifies the client's fleet file, once its credential is there.  Errors of reading and
 * of cfc_fleet_parse(); AUTHORITY: of another fleet than the credential. */
int cfc_fleet_watch_open(struct confcast *client, const char *path);
void cfc_fleet_watch_close(struct confcast *client);

/* Looks at the file once a second. */
void cfc_fleet_watch_tend(struct confcast *client, uint64_t now_ns);

/* A frame came whose key has no authority by the file.  Anybody can send such, so that it is told
 * once in ten seconds. */
void cfc_fleet_watch_stranger(struct confcast *client);

#endif
