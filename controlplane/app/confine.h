/* Gives up what the daemon does not need. */
#ifndef CFC_APP_CONFINE_H
#define CFC_APP_CONFINE_H

/* Call before the first thread, since capabilities are a thread's own.  Keeps at most
 * CAP_DAC_OVERRIDE (files and sockets of other users) and CAP_NET_BIND_SERVICE (--listen on a low
 * port), forbids gaining any by exec, and keeps key material out of core dumps.  What the kernel
 * refuses is logged and otherwise ignored: the daemon runs with no more than it had. */
void cfc_confine_process(void);

#endif
