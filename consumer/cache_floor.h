/* The floor page: the accepted (epoch, version) of up to 256 scopes in a mapped file.
 *
 * Raising a floor is a few stores to the mapping: no system call, and it survives the death of the
 * process at once.  Each scope has two records that are written in turn, each with a checksum, so
 * that a write torn by power loss leaves the other one.  One thread writes; cfc_floor_sync() may
 * run in another. */
#ifndef CFC_CONSUMER_CACHE_FLOOR_H
#define CFC_CONSUMER_CACHE_FLOOR_H

#include <stdbool.h>
#include <stdint.h>

struct cfc_floor {
    uint8_t *page; /* mapping; NULL when closed */
};

/* Maps the file `name` in a directory, making it when it is missing.  A damaged or foreign file is
 * CORRUPT: nothing may be accepted on top of it, since the floor is lost; the operator removes the
 * state directory.  AUTHORITY, IO, RESOURCE. */
int cfc_floor_open(struct cfc_floor *floor, int dir_fd, const char *name, bool is_readonly);
void cfc_floor_close(struct cfc_floor *floor);

/* CONFCAST_OK or NOT_FOUND. */
int cfc_floor_get(const struct cfc_floor *floor, uint64_t scope_id, uint64_t *epoch,
                  uint64_t *version);

/* Never lowers: the higher of both is kept, epoch and version apart.  LIMIT: 256 scopes are in it.
 */
int cfc_floor_raise(struct cfc_floor *floor, uint64_t scope_id, uint64_t epoch, uint64_t version);

/* A number above every one given before and at least `at_least`. */
uint64_t cfc_floor_next_incarnation(struct cfc_floor *floor, uint64_t at_least);

/* Power loss cannot take back what was raised before this call.  IO. */
int cfc_floor_sync(const struct cfc_floor *floor);

#endif
