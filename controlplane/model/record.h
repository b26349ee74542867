/* How the model's records look in the store: their keys, and their JSON values.
 *
 *   s/SCOPE              a known scope: scope id, latest revision, whether that is a tombstone
 *   i/ID(8)              scope id (big endian) -> path, so that a collision is noticed
 *   d/SCOPE 0 REV(8)     what is known of a revision: author, time, message, digest, size
 *   t/SCOPE 0 REV(8)     its canonical text: 'i' and the text, or 'b' and the digest of a blob
 *   x/HASH(32)SCOPE 0 REV(8)  this revision owns the blob with this digest
 *   r/SCOPE              the release record
 *   v/SCOPE 0 REV(8)     this revision was active once, and what was active before it
 *   l/SCOPE              layers that were set
 *   g/SCOPE              it got a version with a scope that it changes together with
 *   o/SCOPE 0 REV(8)     who approved this revision, with its digest
 *   j/SCOPE  e/SCOPE     the latest schema and settings, whole; k/SCOPE 0 REV(8) and
 *                        f/SCOPE 0 REV(8) are all their revisions
 *   w/token:ID, w/roles  who may do what: controlplane/auth/ understands them
 *   a/N(8)               audit entries, 1, 2, 3, ..., each with the SHA-256 of the value of the one
 *                        before as "prev" (zero in the first); m/audit is the last N (little
 *                        endian) and the digest of its value
 *   q/N(8)  u/SCOPE      apply states and what is published: apply_page.c
 *   y/HASH(32)           answers under idempotency keys; z/TIME(8)HASH(32) orders them by age
 *
 * Numbers in keys are big endian, so that their order is the order of keys.  No state; any thread.
 */
#ifndef CFC_MODEL_RECORD_H
#define CFC_MODEL_RECORD_H

#include <jansson.h>

#include "controlplane/model/release.h"
#include "controlplane/model/service.h"
#include "controlplane/store/store.h"

struct cfc_record_key {
    uint8_t bytes[CFC_STORE_KEY_SIZE_MAX];
    size_t size;
};

/* `table` is one of the letters above.  The names have been checked: they always fit. */
struct cfc_record_key cfc_record_key_named(char table, const char *name);
struct cfc_record_key cfc_record_key_numbered(char table, const char *name, uint64_t number);
struct cfc_record_key cfc_record_key_number(char table, uint64_t number);
struct cfc_record_key cfc_record_key_bytes(char table, const void *bytes, size_t size);

/* Big-endian numbers at `p`. */
void cfc_be64_put(uint8_t *p, uint64_t v);
uint64_t cfc_be64_get(const uint8_t *p);

/* Adds a put of the compact JSON of `record`, which is taken over; NULL or a failure makes the
 * batch fail with CONFCAST_ERR_NO_MEMORY. */
void cfc_record_put(struct cfc_store_batch *batch, const struct cfc_record_key *key,
                    json_t *record);
/* Adds the guard "the record is still the one with this mod_seq"; 0 = "still absent". */
void cfc_record_guard(struct cfc_store_batch *batch, const struct cfc_record_key *key,
                      uint64_t mod_seq);
/* A record of the store; *mod_seq may be NULL.  CONFCAST_ERR_NOT_FOUND, _CORRUPT, errors of get. */
int cfc_record_get(struct cfc_store *store, const struct cfc_record_key *key, json_t **record,
                   uint64_t *mod_seq);
/* Parses the value of a record.  CONFCAST_ERR_CORRUPT. */
int cfc_record_parse(const void *bytes, size_t size, json_t **record);

/* Releases.  From: CONFCAST_ERR_CORRUPT.  `author` and `message` may be NULL. */
json_t *cfc_release_to_json(const struct cfc_release *release, const char *author,
                            const char *message);
int cfc_release_from_json(const json_t *record, struct cfc_release *release,
                          char author[CFC_AUTHOR_SIZE_MAX + 1],
                          char message[CFC_MESSAGE_SIZE_MAX + 1]);

/* What is known of a revision. */
json_t *cfc_definition_to_json(const struct cfc_definition_meta *meta);
/* Adds a put of just that. */
void cfc_definition_put(struct cfc_store_batch *batch, const struct cfc_record_key *key,
                        const struct cfc_definition_meta *meta);
int cfc_definition_from_json(const json_t *record, uint64_t revision,
                             struct cfc_definition_meta *meta);

/* Copies a JSON string of an object; false when it is missing or too long. */
bool cfc_record_string(const json_t *record, const char *name, char *out, size_t out_size);
/* A number 0..2^63-1 of an object; false when it is missing or negative. */
bool cfc_record_u64(const json_t *record, const char *name, uint64_t *out);

void cfc_digest_to_hex(const struct cfc_digest *digest, char hex[65]);
bool cfc_digest_from_hex(const char *hex, struct cfc_digest *digest);

#endif
