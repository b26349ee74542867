/* Definitions in the store: what is known of a revision, and its text.  No state of its own; called
 * under the service's lock. */
#ifndef CFC_MODEL_DEFINITION_H
#define CFC_MODEL_DEFINITION_H

#include "controlplane/model/service.h"
#include "controlplane/store/store.h"

enum {
    CFC_DEFINITION_INLINE_MAX =
        256 * 1024 /* bytes of text beside their records in one batch; others are blobs */
};

/* CONFCAST_ERR_NOT_FOUND, _CORRUPT, errors of the store. */
int cfc_definition_read_meta(struct cfc_store *store, const char *path, uint64_t revision,
                             struct cfc_definition_meta *meta);
/* The canonical text of a revision that is no tombstone.  Errors as above. */
int cfc_definition_read_text(struct cfc_store *store, const char *path, uint64_t revision,
                             struct cfc_store_value *text);
/* A text, or where it is. */
struct cfc_definition_text {
    struct cfc_store_value value; /* inline; bytes NULL = a blob */
    struct cfc_digest digest;     /* of a blob */
    uint64_t size;                /* bytes of the text, either way */
};

/* The same without reading a blob.  Free text->value. */
int cfc_definition_find_text(struct cfc_store *store, const char *path, uint64_t revision,
                             struct cfc_definition_text *text);

/* Adds the next revision to a batch; `text` NULL makes a tombstone.  A text that does not go inline
 * is put as a blob right away: its errors are returned.  One batch takes CFC_DEFINITION_INLINE_MAX
 * bytes inline, in all. */
int cfc_definition_add(struct cfc_store *store, struct cfc_store_batch *batch, const char *path,
                       const struct cfc_definition_meta *meta, const char *text, bool is_inline);

/* ---- Retention --------------------------------------------------------------------------------
 */

enum {
    CFC_RETIRE_COUNT_MAX = 16 /* texts that one write lets go */
};

/* What a commit lets go: blobs that may have no other owner. */
struct cfc_retired {
    struct cfc_digest blobs[CFC_RETIRE_COUNT_MAX];
    size_t blob_count;
};

/* Adds to a batch that the texts of revisions below `first` go, up to CFC_RETIRE_COUNT_MAX of them,
 * but for the `kept` ones; what is known of them stays.  Errors of the store. */
int cfc_definition_retire(struct cfc_store *store, struct cfc_store_batch *batch, const char *path,
                          uint64_t first, const uint64_t *kept, size_t kept_count,
                          struct cfc_retired *retired);
/* After that commit: deletes the blobs that nobody owns any more.  What fails leaves a blob too
 * many, and nothing worse. */
void cfc_definition_delete_blobs(struct cfc_store *store, const struct cfc_retired *retired);

#endif
