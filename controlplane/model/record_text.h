/* Writes the JSON of the records that every change brings: compact, with sorted members, as the
 * rest of the store has it (record.h).  Those of a change that comes ten thousand times a second
 * are written directly, without a tree in between.
 *
 * The first error sticks, and is found when the text goes into a batch.  No state; any thread. */
#ifndef CFC_MODEL_RECORD_TEXT_H
#define CFC_MODEL_RECORD_TEXT_H

#include "controlplane/model/record.h"
#include "protocol/base/buffer.h"

enum {
    CFC_RECORD_TEXT_SIZE_MAX = 64 * 1024 /* bytes of one record */
};

struct cfc_record_text {
    struct cfc_buffer out;
    const char *last; /* the member before; NULL = none */
    int error;
};

void cfc_record_text_begin(struct cfc_record_text *text);

/* Members in the order of their names.  Strings are UTF-8 and were checked; of digests the 64 hex
 * digits are written; numbers are below 2^63. */
void cfc_record_text_string(struct cfc_record_text *text, const char *name, const char *value);
void cfc_record_text_digest(struct cfc_record_text *text, const char *name,
                            const struct cfc_digest *digest);
void cfc_record_text_number(struct cfc_record_text *text, const char *name, uint64_t value);
void cfc_record_text_flag(struct cfc_record_text *text, const char *name, bool value);

/* Closes the object.  The bytes are the text's until it is freed.  CONFCAST_ERR_NO_MEMORY,
 * CONFCAST_ERR_LIMIT: above CFC_RECORD_TEXT_SIZE_MAX. */
int cfc_record_text_end(struct cfc_record_text *text, const char **bytes, size_t *size);
void cfc_record_text_free(struct cfc_record_text *text);

/* Ends it, adds a put of it to the batch (an error makes the batch fail) and frees it. */
void cfc_record_text_put(struct cfc_record_text *text, struct cfc_store_batch *batch,
                         const struct cfc_record_key *key);

#endif
