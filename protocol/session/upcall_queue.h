/* Frames on their way to the control plane: a ring of bytes of fixed size, in order, copied.  When
 * a record does not fit, it is refused; nothing is overwritten.  One thread owns it. */
#ifndef CFC_SESSION_UPCALL_QUEUE_H
#define CFC_SESSION_UPCALL_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/session/sender.h"

enum {
    CFC_UPCALL_RING_SIZE = 1 << 20 /* about 700 of the largest REPORTs, 4,000 of one scope */
};

struct cfc_upcall_queue {
    uint8_t *ring;
    uint32_t head;   /* offset of the oldest record */
    uint32_t tail;   /* offset of the next one */
    uint32_t count;  /* records, the one that was polled last included */
    bool has_polled; /* the oldest record was polled; it is freed by the next poll */
};

/* CONFCAST_OK or CONFCAST_ERR_NO_MEMORY; free after either. */
int cfc_upcall_queue_init(struct cfc_upcall_queue *queue, const struct cfc_alloc *alloc);
void cfc_upcall_queue_free(struct cfc_upcall_queue *queue, const struct cfc_alloc *alloc);

/* Adds a copy of a CONSUMER or REPORT upcall.  CONFCAST_OK, or LIMIT when it does not fit now. */
int cfc_upcall_queue_push(struct cfc_upcall_queue *queue, const struct cfc_upcall *upcall);

/* The oldest one; its id and frame stay until the next call that takes the queue.  OK or AGAIN. */
int cfc_upcall_queue_poll(struct cfc_upcall_queue *queue, struct cfc_upcall *out);

#endif
