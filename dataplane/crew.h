/* What goes between the first lcore and its helpers: each content belongs to one helper, by a hash
 * of its key, and everything about it goes there, in order, over a ring that has one writer and one
 * reader.  What a helper gives back comes over another.
 *
 * Contents that are put and dropped, and groups that want them, are noted in a table by slot and
 * carried when there is room, so that nothing is lost however much is handed over at once; a
 * request of a consumer that finds no room is refused, and comes again.  What a head names is
 * carried only when no head waits to be sent for the first time: as in a sender that is alone,
 * heads go before contents.
 *
 * The functions of the first half are for the first lcore's thread, those of the second for the
 * helper whose number they take.  A helper that sleeps is woken by a descriptor; nothing is locked.
 */
#ifndef CFC_DATAPLANE_CREW_H
#define CFC_DATAPLANE_CREW_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/lane.h"
#include "protocol/session/sender_share.h"

struct cfc_crew;

/* For `lane_count` - 1 helpers (lane_count 2..CFC_LCORES_MAX) whose lanes, with the first one's
 * before them, are the caller's and outlive the crew; their senders come later.  contents_max as
 * the senders'.  NULL: no memory or no descriptors. */
struct cfc_crew *cfc_crew_new(struct cfc_lane *lanes, uint32_t lane_count, uint32_t contents_max);
void cfc_crew_free(struct cfc_crew *crew);

/* For the first sender's config. */
const struct cfc_share_hooks *cfc_crew_hooks(const struct cfc_crew *crew);

/* The helper that has a content: 1..lane_count - 1, the number of its lane. */
uint32_t cfc_crew_owner(const struct cfc_crew *crew, uint64_t content_key);

/* -- The first lcore -- */

/* Where the datagram at hand came from, so that helpers know the way back. */
void cfc_crew_set_from(struct cfc_crew *crew, const struct cfc_net_endpoint *from);

/* Carries what can be carried, and takes what helpers gave back.  How much that was. */
uint32_t cfc_crew_carry(struct cfc_crew *crew);

/* Whether something waits for room in a ring. */
bool cfc_crew_is_waiting(const struct cfc_crew *crew);

/* Ends a helper's sleep, or its next one.  Any thread. */
void cfc_crew_wake(struct cfc_crew *crew, uint32_t number);

/* -- A helper -- */

/* Does what the first lcore said, at most a burst of it, and gives back what was released.  How
 * much that was. */
uint32_t cfc_crew_hear(struct cfc_crew *crew, uint32_t number);

/* Sleeps until something is said, somebody wakes it, or the time is up. */
void cfc_crew_sleep(struct cfc_crew *crew, uint32_t number, uint64_t time_ns);

#endif
