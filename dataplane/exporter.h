/* Answers Prometheus: GET /metrics over HTTP, on a TCP address or a unix socket, from the engine's
 * snapshot, so that neither the control plane nor the engine's thread has to do anything for it.
 * It has no access control: the address is best a loopback one.
 *
 * One thread of its own, at most CFC_EXPORTER_CONNECTIONS_MAX connections, each closed after
 * CFC_EXPORTER_TIMEOUT_S of silence (libmicrohttpd). */
#ifndef CFC_DATAPLANE_EXPORTER_H
#define CFC_DATAPLANE_EXPORTER_H

enum {
    CFC_EXPORTER_CONNECTIONS_MAX = 8,
    CFC_EXPORTER_TIMEOUT_S = 5
};

struct cfc_exporter;

/* `where` is ADDRESS:PORT, [ADDRESS]:PORT, or the path of a unix socket (mode 0660; a socket that
 * nobody listens at any more is replaced).  It is a string that outlives the exporter.  To be
 * called before EAL starts, so that the thread is not bound to the engine's core.  INVALID (no such
 * address), EXISTS (something answers there), RESOURCE, NO_MEMORY; the reason is logged. */
int cfc_exporter_open(const char *where, struct cfc_exporter **out);
void cfc_exporter_close(struct cfc_exporter *exporter);

#endif
