/* Contents in sealed memfds: one copy in memory for all processes of a host.  Any thread. */
#ifndef CFC_CONSUMER_SHARED_CONTENT_H
#define CFC_CONSUMER_SHARED_CONTENT_H

#include "consumer/view.h"
#include "protocol/trust/digest.h"

/* Copies a content and its index into a memfd and seals it.  *fd is the caller's.  RESOURCE: no
 * descriptor or no memory for it; INVALID: the content is a mapped one, which has a memfd already
 * somewhere else. */
int cfc_shared_content_make(const struct cfc_loaded *loaded, int *fd);

/* Maps a memfd that cfc_shared_content_make() made in another process.  `fd` stays the caller's,
 * who may close it.  CORRUPT: it is not sealed, does not hold `id`, or lies about its size;
 * RESOURCE: it cannot be mapped; NO_MEMORY. */
int cfc_shared_content_map(int fd, const struct cfc_digest *id, struct cfc_loaded **out);

#endif
