/* A release as people read it: what matters first, and only what there is to say. */
#ifndef CFC_CTL_RELEASE_VIEW_H
#define CFC_CTL_RELEASE_VIEW_H

#include <jansson.h>

/* The members of a release's answer in the order of reading, without those that say nothing; the
 * caller drops it.  Anything else that is in the answer follows. */
json_t *cfc_release_view(json_t *answer);

#endif
