/* Lines that an agent writes for others to read, without ever waiting for them: they go to a
 * bounded buffer, and a thread of its own writes them.  What does not fit is dropped and counted,
 * and a line says so as soon as there is room; a reader that has gone is told of on stderr once. */
#ifndef CFC_AGENT_EVENTS_H
#define CFC_AGENT_EVENTS_H

#include <stddef.h>

struct cfc_agent_events;

/* Writes to a descriptor, which must outlive it.  NO_MEMORY, RESOURCE. */
int cfc_agent_events_open(int fd, struct cfc_agent_events **out);

/* One line with its newline; never blocks.  Any thread. */
void cfc_agent_events_put(struct cfc_agent_events *events, const char *line, size_t size);

/* Writes what waits, for a second at most, and ends.  NULL is fine. */
void cfc_agent_events_close(struct cfc_agent_events *events);

#endif
