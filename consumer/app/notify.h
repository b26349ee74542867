/* What the agent tells the service manager (sd_notify(3)); nothing where there is none. */
#ifndef CFC_AGENT_NOTIFY_H
#define CFC_AGENT_NOTIFY_H

#include <stdint.h>

/* It serves: what was there before is served again, and the sockets answer. */
void cfc_notify_ready(unsigned scope_count);
void cfc_notify_stopping(void);

/* How often cfc_notify_alive() is wanted, in ns; 0 = not at all. */
uint64_t cfc_notify_interval_ns(void);
void cfc_notify_alive(void);

#endif
