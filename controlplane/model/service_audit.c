/* The audit log: one entry per accepted change, in the batch of its change, each with the digest of
 * the one before.  record.h says how an entry looks. */
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/record_text.h"
#include "controlplane/model/service_internal.h"

enum {
    ENTRIES_COUNT_MAX = 10000, /* of one call */
    HEAD_SIZE = 8 + 32,        /* bytes of m/audit: the last N, and the digest of its entry */
};

static struct cfc_record_key
head_key(void)
{
    return cfc_record_key_named('m', "audit");
}

static const char *
proof_word(enum cfc_proof proof)
{
    static const char *const words[] = {
#define WORD_(name, word) word,
        CFC_PROOFS(WORD_)
#undef WORD_
    };

    return words[proof];
}

/* Without a domain string: what is hashed is the exported line, so that any tool can follow. */
static void
digest_of(struct cfc_service *service, const void *text, size_t size, struct cfc_digest *digest)
{
    cfc_sha256_once(service->sha, NULL, text, size, digest);
}

static void
write_entry(struct cfc_record_text *text, const struct cfc_change_state *state,
            const struct cfc_audit *audit, const char *action, const char *scope, uint64_t revision)
{
    const struct cfc_change *change = state->change;

    cfc_record_text_begin(text);
    cfc_record_text_string(text, "action", action);
    cfc_record_text_string(text, "author", state->author);
    if (change->claimed != NULL) {
        cfc_record_text_string(text, "claimed", change->claimed);
    }
    cfc_record_text_string(text, "message", state->message);
    cfc_record_text_number(text, "n", audit->next_count + 1);
    cfc_record_text_digest(text, "prev", &audit->next_head);
    cfc_record_text_string(text, "proof", proof_word(change->proof));
    cfc_record_text_number(text, "revision", revision);
    cfc_record_text_string(text, "scope", scope);
    cfc_record_text_number(text, "time_unix_ns", change->unix_ns);
}

void
cfc_audit_add(struct cfc_service *service, const struct cfc_change_state *state,
              struct cfc_store_batch *batch, const char *action, const char *scope,
              uint64_t revision)
{
    struct cfc_audit *audit = &service->audit;
    struct cfc_record_text text;
    struct cfc_record_key key;
    const char *bytes;
    size_t size;
    int error;

    if (audit->batch != batch) {
        audit->batch = batch;
        audit->next_count = audit->count;
        audit->next_head = audit->head;
    }
    write_entry(&text, state, audit, action, scope, revision);
    error = cfc_record_text_end(&text, &bytes, &size);
    if (error == CONFCAST_OK) {
        key = cfc_record_key_number('a', ++audit->next_count);
        cfc_store_put(batch, key.bytes, key.size, bytes, size);
        digest_of(service, bytes, size, &audit->next_head);
    } else if (batch->error == CONFCAST_OK) {
        batch->error = error;
    }
    cfc_record_text_free(&text);
}

void
cfc_audit_seal(struct cfc_service *service, struct cfc_store_batch *batch)
{
    struct cfc_record_key key = head_key();
    uint8_t head[HEAD_SIZE];

    if (service->audit.batch != batch) {
        return;
    }
    cfc_put_u64(head, service->audit.next_count);
    memcpy(head + 8, service->audit.next_head.bytes, 32);
    cfc_record_guard(batch, &key, service->audit.seq);
    cfc_store_put(batch, key.bytes, key.size, head, sizeof(head));
}

void
cfc_audit_sealed(struct cfc_service *service, const struct cfc_store_batch *batch, uint64_t seq)
{
    struct cfc_audit *audit = &service->audit;

    if (audit->batch == batch && seq != 0) {
        audit->count = audit->next_count;
        audit->head = audit->next_head;
        audit->seq = seq;
    }
    audit->batch = NULL;
}

int
cfc_audit_load(struct cfc_service *service)
{
    struct cfc_record_key key = head_key();
    struct cfc_store_value value;
    int error = cfc_store_get(service->store, key.bytes, key.size, &value);

    memset(&service->audit, 0, sizeof(service->audit));
    if (error != CONFCAST_OK) {
        return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_OK : error;
    }
    if (value.size == HEAD_SIZE) {
        service->audit.count = cfc_get_u64(value.bytes);
        memcpy(service->audit.head.bytes, value.bytes + 8, 32);
        service->audit.seq = value.mod_seq;
    } else {
        error = CONFCAST_ERR_CORRUPT;
    }
    cfc_store_value_free(&value);
    return error;
}

/* The stored text of an entry, and the digest that it names as that of the one before.
 * CONFCAST_ERR_CORRUPT when it is not there, or is not the entry that `digest` names. */
static int
read_entry(struct cfc_service *service, uint64_t n, const struct cfc_digest *digest,
           struct cfc_store_value *value, json_t **entry, struct cfc_digest *prev)
{
    struct cfc_record_key key = cfc_record_key_number('a', n);
    struct cfc_digest found;
    const char *hex;
    uint64_t number;
    int error = cfc_store_get(service->store, key.bytes, key.size, value);

    *entry = NULL;
    if (error != CONFCAST_OK) {
        return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_ERR_CORRUPT : error;
    }
    digest_of(service, value->bytes, value->size, &found);
    error = cfc_digest_equal(&found, digest) ? cfc_record_parse(value->bytes, value->size, entry)
                                             : CONFCAST_ERR_CORRUPT;
    hex = json_string_value(json_object_get(*entry, "prev"));
    if (error == CONFCAST_OK && (hex == NULL || !cfc_digest_from_hex(hex, prev) ||
                                 !cfc_record_u64(*entry, "n", &number) || number != n)) {
        json_decref(*entry);
        error = CONFCAST_ERR_CORRUPT;
    }
    if (error != CONFCAST_OK) {
        *entry = NULL;
        cfc_store_value_free(value);
    }
    return error;
}

/* The digest that entry `n` must have, from the entry after it or the head. */
static int
expected_digest(struct cfc_service *service, uint64_t n, struct cfc_digest *digest)
{
    struct cfc_record_key key = cfc_record_key_number('a', n + 1);
    const char *hex;
    json_t *next;
    int error;

    if (n == service->audit.count) {
        *digest = service->audit.head;
        return CONFCAST_OK;
    }
    error = cfc_record_get(service->store, &key, &next, NULL);
    if (error != CONFCAST_OK) {
        return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_ERR_CORRUPT : error;
    }
    hex = json_string_value(json_object_get(next, "prev"));
    error = hex != NULL && cfc_digest_from_hex(hex, digest) ? CONFCAST_OK : CONFCAST_ERR_CORRUPT;
    json_decref(next);
    return error;
}

static int
append_entry(json_t *list, json_t *entry, uint64_t seq, const struct cfc_digest *digest)
{
    char hex[65];

    cfc_digest_to_hex(digest, hex);
    return json_object_set_new(entry, "version", json_integer((json_int_t)seq)) == 0 &&
                   json_object_set_new(entry, "digest", json_string(hex)) == 0 &&
                   json_array_append(list, entry) == 0
               ? CONFCAST_OK
               : CONFCAST_ERR_NO_MEMORY;
}

/* Under the lock: which entry to name when `n` is not what the one after it says.  That one may
 * itself be the one that was edited. */
static uint64_t
name_broken(struct cfc_service *service, uint64_t n)
{
    struct cfc_store_value value;
    struct cfc_digest digest;
    struct cfc_digest prev;
    json_t *entry;

    if (n == service->audit.count) {
        return n;
    }
    if (expected_digest(service, n + 1, &digest) != CONFCAST_OK ||
        read_entry(service, n + 1, &digest, &value, &entry, &prev) != CONFCAST_OK) {
        return n + 1;
    }
    json_decref(entry);
    cfc_store_value_free(&value);
    return n;
}

static void
note_broken(struct cfc_service *service, int error, uint64_t n, uint64_t *broken)
{
    if (broken != NULL) {
        *broken = error == CONFCAST_ERR_CORRUPT ? name_broken(service, n) : 0;
    }
}

/* Under the lock: from `n` down. */
static int
collect(struct cfc_service *service, uint64_t n, size_t count_max, json_t *list, uint64_t *broken)
{
    struct cfc_digest digest;
    int error = n > 0 && count_max > 0 ? expected_digest(service, n, &digest) : CONFCAST_OK;

    note_broken(service, error, n, broken);
    for (; error == CONFCAST_OK && n > 0 && count_max > 0; n--, count_max--) {
        struct cfc_store_value value;
        struct cfc_digest prev;
        json_t *entry;

        error = read_entry(service, n, &digest, &value, &entry, &prev);
        note_broken(service, error, n, broken);
        if (error != CONFCAST_OK) {
            return error;
        }
        error = append_entry(list, entry, value.mod_seq, &digest);
        json_decref(entry);
        cfc_store_value_free(&value);
        digest = prev;
    }
    return error;
}

int
cfc_service_audit(struct cfc_service *service, uint64_t before, size_t count_max, json_t **entries,
                  uint64_t *broken)
{
    json_t *list = json_array();
    uint64_t n;
    int error;

    *entries = NULL;
    note_broken(service, CONFCAST_OK, 0, broken);
    if (list == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    count_max = count_max < ENTRIES_COUNT_MAX ? count_max : ENTRIES_COUNT_MAX;
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        json_decref(list);
        return error;
    }
    n = service->audit.count;
    if (before != 0 && before <= n) {
        n = before - 1;
    }
    error = collect(service, n, count_max, list, broken);
    cfc_service_leave(service);
    if (error != CONFCAST_OK) {
        json_decref(list);
        return error;
    }
    *entries = list;
    return CONFCAST_OK;
}

struct lines {
    char *text;
    size_t size;
    size_t capacity;
};

static int
add_line(struct lines *lines, const void *bytes, size_t size)
{
    size_t wanted = lines->size + size + 1;

    if (wanted > lines->capacity) {
        size_t capacity = wanted > 2 * lines->capacity ? wanted : 2 * lines->capacity;
        char *grown = realloc(lines->text, capacity);

        if (grown == NULL) {
            return CONFCAST_ERR_NO_MEMORY;
        }
        lines->text = grown;
        lines->capacity = capacity;
    }
    memcpy(lines->text + lines->size, bytes, size);
    lines->text[wanted - 1] = '\n';
    lines->size = wanted;
    return CONFCAST_OK;
}

/* Under the lock: entries after `n`, up. */
static int
collect_lines(struct cfc_service *service, uint64_t n, size_t count_max, struct lines *lines,
              uint64_t *broken)
{
    int error = CONFCAST_OK;

    for (; error == CONFCAST_OK && n < service->audit.count && count_max > 0; count_max--) {
        struct cfc_store_value value;
        struct cfc_digest digest;
        struct cfc_digest prev;
        json_t *entry;

        error = expected_digest(service, ++n, &digest);
        if (error == CONFCAST_OK) {
            error = read_entry(service, n, &digest, &value, &entry, &prev);
        }
        note_broken(service, error, n, broken);
        if (error == CONFCAST_OK) {
            error = add_line(lines, value.bytes, value.size);
            json_decref(entry);
            cfc_store_value_free(&value);
        }
    }
    return error;
}

int
cfc_service_audit_lines(struct cfc_service *service, uint64_t after, size_t count_max, char **text,
                        size_t *size, uint64_t *broken)
{
    struct lines lines = {0};
    int error;

    *text = NULL;
    *size = 0;
    note_broken(service, CONFCAST_OK, 0, broken);
    count_max = count_max < ENTRIES_COUNT_MAX ? count_max : ENTRIES_COUNT_MAX;
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = collect_lines(service, after, count_max, &lines, broken);
    cfc_service_leave(service);
    if (error != CONFCAST_OK) {
        free(lines.text);
        return error;
    }
    *text = lines.text;
    *size = lines.size;
    return CONFCAST_OK;
}
