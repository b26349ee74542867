/* One coding of a content on its way into an arena of the coded set: coded, with its digest tree,
 * and announced by a signed CONTENT frame.
 *
 * A draft belongs to one thread at a time; several threads make several of them, each at a desk of
 * its own. */
#ifndef CFC_PUBLISH_CODED_DRAFT_H
#define CFC_PUBLISH_CODED_DRAFT_H

#include "controlplane/publish/coded_set.h"
#include "protocol/snapshot/coding.h"

/* What one thread codes with. */
struct cfc_draft_desk {
    struct cfc_sha256 *sha;
    struct cfc_coder *coder; /* makes its contexts when they are needed */
};

struct cfc_draft {
    const struct cfc_config_body *body;
    const struct cfc_config_body *base; /* of a delta; NULL = the whole */
    struct cfc_coded *whole;            /* of a delta */
    uint16_t coding;                    /* its number */
    struct cfc_coded *coded;            /* its place in an arena is not known yet */
    uint8_t *bytes;                     /* coded */
    uint8_t *digests;                   /* tree */
    int error;                          /* the set's */
};

/* Fills `coded`, `bytes` and `digests` from the four members before them.  CONFCAST_ERR_AGAIN:
 * nothing went wrong, but the delta is not worth it.  NO_MEMORY, LIMIT, or the signer's error. Free
 * the draft in any case. */
int cfc_draft_code(const struct cfc_coded_set_config *config, const struct cfc_draft_desk *desk,
                   struct cfc_draft *draft);

/* Frees what it has; set a member to NULL that belongs to somebody else by now. */
void cfc_draft_free(struct cfc_draft *draft);

#endif
