/* How much big work is under way: requests whose bodies cost many times their size while they are
 * handled pass one after the other, or several that are small enough together, in the order in
 * which they came.  Any thread; one lock inside, around nothing that waits. */
#ifndef CFC_API_GATE_H
#define CFC_API_GATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct cfc_gate_entry {
    struct cfc_gate_entry *next;
    size_t size; /* what it weighs */
    bool is_in;
    void (*go)(struct cfc_gate_entry *entry); /* see cfc_gate_wait() */
};

struct cfc_gate {
    pthread_mutex_t lock;
    struct cfc_gate_entry *first; /* those that wait */
    struct cfc_gate_entry *last;
    size_t total; /* of those that are in */
    size_t max;   /* one that is alone may weigh more */
};

void cfc_gate_init(struct cfc_gate *gate, size_t max);
void cfc_gate_destroy(struct cfc_gate *gate);

/* Goes in if there is room and nobody waits; entry->size is set.  True for one that is in
 * already. */
bool cfc_gate_try(struct cfc_gate *gate, struct cfc_gate_entry *entry);

/* Waits for its turn: entry->go is called once it is in, by whoever makes room, or at once. */
void cfc_gate_wait(struct cfc_gate *gate, struct cfc_gate_entry *entry);

/* Makes room and lets others in.  One that is not in, and does not wait, is passed over. */
void cfc_gate_leave(struct cfc_gate *gate, struct cfc_gate_entry *entry);

#endif
