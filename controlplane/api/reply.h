/* What a handler answers, and the one shape of errors:
 *
 *     {"error": {"code": "conflict", "message": "...", "current": {...}}}
 *
 * A reply that could not be built (no memory) is sent as a fixed 503.  One thread at a time. */
#ifndef CFC_API_REPLY_H
#define CFC_API_REPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/model/record_text.h"

/* How an answer goes on, where the server can do that; else it is sent as it stands. */
struct cfc_wait {
    bool is_stream; /* it is the first of many: watch.h */
    bool is_poll;   /* it says nothing new: ask again once it does, or after wait_ms */
    uint64_t after; /* the change that the client knows */
    uint32_t wait_ms;
    size_t stragglers; /* to name in each event */
};

/* A body that is made while it is sent. */
struct cfc_reply_stream {
    /* The next bytes, at most `capacity`; anything but CONFCAST_OK ends the connection. */
    int (*read)(void *arg, void *bytes, size_t capacity, size_t *size);
    void (*close)(void *arg);
    void *arg;
    uint64_t size; /* bytes of all of it */
};

struct cfc_api;
struct cfc_pull_wish;
struct cfc_request;

struct cfc_reply {
    unsigned status;
    const char *type; /* media type; static */
    char *body;       /* malloc'ed; NULL when there was no memory */
    size_t body_size;
    struct cfc_reply_stream stream; /* instead of the body, when read is not NULL */
    /* Set by a handler that would keep others waiting: the rest of its work, which is called in a
     * thread of its own and makes the reply. */
    void (*later)(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
    bool is_replay;   /* the idempotency key was known: this is the first answer again */
    bool is_secret;   /* the body is wiped before its memory is given back */
    unsigned retry_s; /* Retry-After in seconds; 0 = none */
    struct cfc_wait wait;
    struct cfc_pull_wish *wish; /* the answer is what this gets: pull_hub.h; malloc'ed */
};

/* Every one of these takes over the json_t that it is given, NULL included. */

/* A JSON value, sorted and compact. */
void cfc_reply_json(struct cfc_reply *reply, unsigned status, json_t *value);
/* The same of a text that was written as it is to be sent; ends and frees it. */
void cfc_reply_record(struct cfc_reply *reply, unsigned status, struct cfc_record_text *text);

/* A JSON object with one more member, "document", whose text is put in as it is: a document keeps
 * its canonical form, which jansson would not print. */
void cfc_reply_document(struct cfc_reply *reply, json_t *meta, const char *text, size_t size);

/* Text that is no JSON; takes over `text`. */
void cfc_reply_text(struct cfc_reply *reply, const char *type, char *text, size_t size);

/* A body that is read when the client takes it; the stream is closed in the end. */
void cfc_reply_stream(struct cfc_reply *reply, const char *type,
                      const struct cfc_reply_stream *stream);

/* An error with a status and a code of HTTP's own. */
void cfc_reply_error(struct cfc_reply *reply, unsigned status, const char *code,
                     const char *message);

/* An error of the service: the status follows from `rc`, the code is its word.  `message` may be
 * empty (then the text of the code), `current` NULL. */
void cfc_reply_failure(struct cfc_reply *reply, int rc, const char *message, json_t *current);

/* The status that an error of the service has. */
unsigned cfc_reply_status(int rc);

void cfc_reply_clear(struct cfc_reply *reply);

#endif
