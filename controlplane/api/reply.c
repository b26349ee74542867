#include "controlplane/api/reply.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_load.h"

#define DUMP_FLAGS (JSON_SORT_KEYS | JSON_COMPACT)

static const char media_type_json[] = "application/json";
static const char document_key[] = "document";

static void
drop_body(struct cfc_reply *reply)
{
    if (reply->is_secret && reply->body != NULL) {
        explicit_bzero(reply->body, reply->body_size);
    }
    free(reply->body);
    if (reply->stream.read != NULL) {
        reply->stream.close(reply->stream.arg);
    }
    reply->body = NULL;
    reply->stream = (struct cfc_reply_stream){0};
    reply->later = NULL;
    reply->is_secret = false;
}

void
cfc_reply_clear(struct cfc_reply *reply)
{
    drop_body(reply);
    free(reply->wish);
    memset(reply, 0, sizeof(*reply));
}

static void
set(struct cfc_reply *reply, unsigned status, const char *type, char *body, size_t size)
{
    drop_body(reply);
    reply->status = status;
    reply->type = type;
    reply->body = body;
    reply->body_size = body != NULL ? size : 0;
}

void
cfc_reply_json(struct cfc_reply *reply, unsigned status, json_t *value)
{
    char *text = value != NULL ? cfc_json_dump(value, DUMP_FLAGS) : NULL;

    json_decref(value);
    set(reply, status, media_type_json, text, text != NULL ? strlen(text) : 0);
}

void
cfc_reply_record(struct cfc_reply *reply, unsigned status, struct cfc_record_text *text)
{
    const char *bytes;
    size_t size;
    char *body = NULL;

    if (cfc_record_text_end(text, &bytes, &size) == CONFCAST_OK) {
        body = malloc(size + 1);
    }
    if (body != NULL) {
        memcpy(body, bytes, size);
        body[size] = '\0'; /* not sent; whoever logs or refuses takes bodies for strings */
    }
    set(reply, status, media_type_json, body, size);
    cfc_record_text_free(text);
}

/* Moves the members that sort after "document" into an object of their own. */
static json_t *
split_after_document(json_t *meta)
{
    json_t *after = json_object();
    const char *key;
    void *next;
    json_t *value;

    json_object_foreach_safe(meta, next, key, value)
    {
        if (strcmp(key, document_key) > 0 &&
            (json_object_set(after, key, value) != 0 || json_object_del(meta, key) != 0)) {
            json_decref(after);
            return NULL;
        }
    }
    return after;
}

/* {before} + text + {after} as one object. */
static char *
join(const char *before, const char *text, size_t text_size, const char *after, size_t *size)
{
    size_t before_size = strlen(before) - 1; /* without its '}' */
    size_t after_size = strlen(after);       /* its '{' becomes a ',' or goes */
    char *body = malloc(before_size + sizeof(document_key) + text_size + after_size + 8);
    char *p = body;

    if (body == NULL) {
        return NULL;
    }
    memcpy(p, before, before_size);
    p += before_size;
    if (before_size > 1) {
        *p++ = ',';
    }
    *p++ = '"';
    memcpy(p, document_key, sizeof(document_key) - 1);
    p += sizeof(document_key) - 1;
    *p++ = '"';
    *p++ = ':';
    memcpy(p, text, text_size);
    p += text_size;
    if (after_size > 2) {
        *p++ = ',';
    }
    memcpy(p, after + 1, after_size); /* with its NUL */
    *size = (size_t)(p - body) + after_size - 1;
    return body;
}

void
cfc_reply_document(struct cfc_reply *reply, json_t *meta, const char *text, size_t size)
{
    json_t *after = meta != NULL ? split_after_document(meta) : NULL;
    char *before_text = after != NULL ? cfc_json_dump(meta, DUMP_FLAGS) : NULL;
    char *after_text = after != NULL ? cfc_json_dump(after, DUMP_FLAGS) : NULL;
    char *body = NULL;
    size_t body_size = 0;

    if (before_text != NULL && after_text != NULL) {
        body = join(before_text, text, size, after_text, &body_size);
    }
    set(reply, 200, media_type_json, body, body_size);
    free(before_text);
    free(after_text);
    json_decref(after);
    json_decref(meta);
}

void
cfc_reply_text(struct cfc_reply *reply, const char *type, char *text, size_t size)
{
    set(reply, 200, type, text, size);
}

void
cfc_reply_stream(struct cfc_reply *reply, const char *type, const struct cfc_reply_stream *stream)
{
    set(reply, 200, type, NULL, 0);
    reply->stream = *stream;
}

static void
reply_with_error(struct cfc_reply *reply, unsigned status, const char *code, const char *message,
                 json_t *current)
{
    json_t *error = json_pack("{ss ss}", "code", code, "message", message);

    if (error == NULL || (current != NULL && json_object_set(error, "current", current) != 0)) {
        json_decref(error);
        error = NULL;
    }
    json_decref(current);
    cfc_reply_json(reply, status, error != NULL ? json_pack("{so}", "error", error) : NULL);
}

void
cfc_reply_error(struct cfc_reply *reply, unsigned status, const char *code, const char *message)
{
    reply_with_error(reply, status, code, message, NULL);
}

unsigned
cfc_reply_status(int rc)
{
    switch (rc) {
    case CONFCAST_OK:
        return 200;
    case CONFCAST_ERR_INVALID:
    case CONFCAST_ERR_SYNTAX:
    case CONFCAST_ERR_ENCODING:
    case CONFCAST_ERR_DUPLICATE_KEY:
    case CONFCAST_ERR_DEPTH:
    case CONFCAST_ERR_SCOPE_NAME:
    case CONFCAST_ERR_TYPE:
    case CONFCAST_ERR_RANGE:
        return 400;
    case CONFCAST_ERR_APPROVAL:
        return 403;
    case CONFCAST_ERR_DOCUMENT_SIZE:
        return 413;
    case CONFCAST_ERR_GONE:
        return 404;
    case CONFCAST_ERR_NOT_FOUND:
        return 404;
    case CONFCAST_ERR_CONFLICT:
    case CONFCAST_ERR_STATE:
    case CONFCAST_ERR_COLLISION:
    case CONFCAST_ERR_EXISTS:
        return 409;
    case CONFCAST_ERR_NUMBER:
    case CONFCAST_ERR_REPLAY:
    case CONFCAST_ERR_KEYS:
    case CONFCAST_ERR_LIMIT:
    case CONFCAST_ERR_SCOPE_COUNT:
    case CONFCAST_ERR_UNSUPPORTED:
    case CONFCAST_ERR_SCHEMA_INVALID:
    case CONFCAST_ERR_SCHEMA_UNSUPPORTED:
    case CONFCAST_ERR_SCHEMA_MISMATCH:
    case CONFCAST_ERR_VALIDATION:
        return 422;
    case CONFCAST_ERR_NOT_OWNER:
    case CONFCAST_ERR_FENCED:
        return 421;
    case CONFCAST_ERR_NO_SPACE:
        return 507;
    default:
        return 503;
    }
}

/* What a library says of a frame, said of a request. */
static const char *
sentence_of(int rc)
{
    return rc == CONFCAST_ERR_REPLAY
               ? "the idempotency key belongs to another request: use a new one"
               : confcast_error_text(rc);
}

void
cfc_reply_failure(struct cfc_reply *reply, int rc, const char *message, json_t *current)
{
    if (message == NULL || message[0] == '\0' || strcmp(message, confcast_error_text(rc)) == 0) {
        message = sentence_of(rc);
    }
    reply_with_error(reply, cfc_reply_status(rc), confcast_error_word(rc), message, current);
}
