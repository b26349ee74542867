/* A content that is decoded, digested, validated and indexed while it comes, so that little is left
 * to do at its last symbol.  It only saves time: what does not work out here is done over from all
 * the bytes by whoever handles CONTENT, and has its error there.
 *
 * One content at a time; it belongs to the client's loop thread. */
#ifndef CFC_CONSUMER_ASSEMBLY_H
#define CFC_CONSUMER_ASSEMBLY_H

#include <stdbool.h>

#include "consumer/view.h"
#include "protocol/session/receiver.h"

enum {
    CFC_ASSEMBLY_PIECE_MAX = 256 << 10
};

struct cfc_assembly;

/* NULL: no memory. */
struct cfc_assembly *cfc_assembly_new(void);
void cfc_assembly_free(struct cfc_assembly *a); /* NULL is fine */

/* Goes on with what is there of a collection, which is another one than last time or more of the
 * same: CFC_ASSEMBLY_PIECE_MAX bytes of it at most, so that what comes meanwhile does not wait
 * long. True: there is more.  `base` is that of a delta, or NULL.  Small contents are not worth it
 * and left alone. */
bool cfc_assembly_take(struct cfc_assembly *a, const struct cfc_receiver_part *part,
                       struct cfc_loaded *base);

/* The content of a CONTENT event, if it was begun here: *out is the caller's.  NOT_FOUND: it was
 * not, or something was wrong.  Nothing is under way afterwards. */
int cfc_assembly_finish(struct cfc_assembly *a, const struct cfc_receiver_event *event,
                        struct cfc_loaded **out);

/* Gives back the memory of what is under way. */
void cfc_assembly_reset(struct cfc_assembly *a);

#endif
