/* What a change would do, for a dry run: which scopes, how many consumers, which keys, how many
 * bytes.
 *
 * It is collected under the service's lock, by references only; the comparing is done without it.
 */
#ifndef CFC_MODEL_PREVIEW_H
#define CFC_MODEL_PREVIEW_H

#include <jansson.h>

#include "controlplane/model/impact.h"

enum {
    CFC_PREVIEW_SCOPE_COUNT_MAX = 100, /* scopes that are listed; all are counted */
    CFC_PREVIEW_KEY_COUNT_MAX = 50,    /* keys of one scope that are listed; all are counted */
};

struct cfc_preview_item {
    char scope[CFC_SCOPE_SIZE_MAX + 1];
    uint64_t consumers;
    struct cfc_config_body *before; /* references; NULL = nothing was published */
    struct cfc_config_body *after;
};

struct cfc_preview {
    uint64_t scope_count;
    uint64_t consumers;     /* that follow these scopes */
    uint64_t content_count; /* contents that these scopes do not have yet */
    uint64_t bytes;         /* of them, before compression */
    size_t count;
    struct cfc_preview_item *items; /* the first ones in the order of their paths */
};

/* CONFCAST_ERR_NO_MEMORY.  Free it on success. */
int cfc_preview_collect(const struct cfc_impact *impact, struct cfc_preview *preview);

/* {affected: [{scope, consumers, bytes_before, bytes_after, added, changed, removed, keys: [{key,
 * change}]}], bytes, consumers, contents, scopes}; `added`, `changed` and `removed` count keys, an
 * array is one value.  NULL without memory. */
json_t *cfc_preview_json(const struct cfc_preview *preview);

void cfc_preview_free(struct cfc_preview *preview);

#endif
