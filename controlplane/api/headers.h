/* The request headers that mean something here, each given once.
 *
 * Two programs that read the same request must not read two: a header that decides something and
 * comes twice is refused, as a parameter is, and a length beside chunks (RFC 9112, 6.1).  So is
 * what only a browser would send on behalf of a web page: this API serves no pages, and a page that
 * an operator has open must not be able to use the operator's loopback (cross-site requests, RFC
 * 6454 section 7; and names that a page's owner lets point to 127.0.0.1).  No state; values are
 * borrowed. */
#ifndef CFC_API_HEADERS_H
#define CFC_API_HEADERS_H

#include <stdbool.h>
#include <stddef.h>

#include "controlplane/api/reply.h"

struct cfc_headers {
    const char *authorization; /* NULL = not given, for all of these */
    const char *author;        /* Confcast-Author */
    const char *content_length;
    const char *expect;
    const char *host;
    const char *idempotency_key;
    const char *origin;
    const char *transfer_encoding;
    bool has_twice;    /* one of them came more than once */
    bool is_malformed; /* some header is none of HTTP's, whatever it is about */
};

/* Takes one header; names are compared without case, and those not listed are passed over.  `value`
 * NULL counts as "".  The sizes are those of what came: a name or value with a NUL in it is longer
 * than its string. */
void cfc_headers_add(struct cfc_headers *headers, const char *name, size_t name_size,
                     const char *value, size_t value_size);

/* Whether the request is framed so that nobody on its way can have seen another end of it: names
 * are tokens (RFC 9110, 5.6.2: "Content-Length : 2" is not read as a length by all), values have no
 * control characters (5.5), what decides comes once, a body has a length or chunks, nothing but
 * chunks is a transfer coding, and these are of HTTP/1.1 (RFC 9112, 6.1 and 11.2).  Else *reply is
 * a 400, after which the connection must be closed: where the next request begins is anybody's
 * guess. */
bool cfc_headers_check_framing(const struct cfc_headers *headers, const char *version,
                               struct cfc_reply *reply);

/* Whether a well-framed request may go on; else *reply is a 400 or 403.  `is_local`: whoever
 * reaches this socket may do everything since nobody else than this host's users can, so that a
 * Host of the public name service is none of ours. */
bool cfc_headers_check(const struct cfc_headers *headers, bool is_local, struct cfc_reply *reply);

#endif
