/* Who sends a request: what a connection and a header prove, put before the access control.  Any
 * thread that owns the connection. */
#ifndef CFC_API_IDENTIFY_H
#define CFC_API_IDENTIFY_H

#include <microhttpd.h>

#include "controlplane/api/connection.h"
#include "controlplane/api/tls.h"
#include "controlplane/auth/access.h"

struct cfc_asker {
    struct MHD_Connection *mhd;
    const struct cfc_connection *connection; /* NULL = nothing is known of it */
    struct cfc_tls *tls;                     /* of the server; NULL = none */
    const char *authorization;               /* the header; NULL = none */
    uint64_t unix_ns;                        /* now */
};

/* A token, a client certificate, or the kernel's word.  Errors of cfc_access_identify(). */
int cfc_identify(struct cfc_access *access, const struct cfc_asker *asker,
                 struct cfc_identity *identity);

#endif
