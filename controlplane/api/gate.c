#include "controlplane/api/gate.h"

#include <string.h>

void
cfc_gate_init(struct cfc_gate *gate, size_t max)
{
    memset(gate, 0, sizeof(*gate));
    pthread_mutex_init(&gate->lock, NULL);
    gate->max = max;
}

void
cfc_gate_destroy(struct cfc_gate *gate)
{
    pthread_mutex_destroy(&gate->lock);
}

static bool
has_room(const struct cfc_gate *gate, const struct cfc_gate_entry *entry)
{
    return gate->total == 0 || (gate->total <= gate->max && entry->size <= gate->max - gate->total);
}

static void
let_in(struct cfc_gate *gate, struct cfc_gate_entry *entry)
{
    gate->total += entry->size;
    entry->is_in = true;
}

bool
cfc_gate_try(struct cfc_gate *gate, struct cfc_gate_entry *entry)
{
    pthread_mutex_lock(&gate->lock);
    if (!entry->is_in && gate->first == NULL && has_room(gate, entry)) {
        let_in(gate, entry);
    }
    pthread_mutex_unlock(&gate->lock);
    return entry->is_in;
}

/* Takes those out of the queue that have room now, in their order; they are let in. */
static struct cfc_gate_entry *
take_ready(struct cfc_gate *gate)
{
    struct cfc_gate_entry *ready = NULL;
    struct cfc_gate_entry **end = &ready;

    while (gate->first != NULL && has_room(gate, gate->first)) {
        *end = gate->first;
        gate->first = gate->first->next;
        let_in(gate, *end);
        end = &(*end)->next;
        *end = NULL;
    }
    if (gate->first == NULL) {
        gate->last = NULL;
    }
    return ready;
}

/* Without the lock; an entry may be gone once it goes. */
static void
go_all(struct cfc_gate_entry *ready)
{
    while (ready != NULL) {
        struct cfc_gate_entry *next = ready->next;

        ready->go(ready);
        ready = next;
    }
}

void
cfc_gate_wait(struct cfc_gate *gate, struct cfc_gate_entry *entry)
{
    struct cfc_gate_entry *ready;

    pthread_mutex_lock(&gate->lock);
    entry->next = NULL;
    if (gate->last != NULL) {
        gate->last->next = entry;
    } else {
        gate->first = entry;
    }
    gate->last = entry;
    ready = take_ready(gate);
    pthread_mutex_unlock(&gate->lock);
    go_all(ready);
}

void
cfc_gate_leave(struct cfc_gate *gate, struct cfc_gate_entry *entry)
{
    struct cfc_gate_entry *ready = NULL;

    pthread_mutex_lock(&gate->lock);
    if (entry->is_in) {
        entry->is_in = false;
        gate->total -= entry->size;
        ready = take_ready(gate);
    }
    pthread_mutex_unlock(&gate->lock);
    go_all(ready);
}
