/* Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): taking a
 * stream apart as its bytes come. */
#ifndef CFC_CTL_STREAM_H
#define CFC_CTL_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "controlplane/ctl/http.h"

struct cfc_ctl_event {
    const char *name; /* "message" when the stream gives none */
    const char *data; /* lines joined by '\n'; with a NUL */
    size_t data_size;
};

struct cfc_ctl_stream {
    /* False: nothing more is wanted.  The event is gone once it returns. */
    bool (*on_event)(void *arg, const struct cfc_ctl_event *event);
    void *arg;
    char *line; /* what came of the current one */
    size_t line_size;
    size_t line_capacity;
    char *data;
    size_t data_size;
    size_t data_capacity;
    char name[32];
};

/* Begins with the two members of the caller; free it in the end. */
void cfc_ctl_stream_init(struct cfc_ctl_stream *stream,
                         bool (*on_event)(void *, const struct cfc_ctl_event *), void *arg);
void cfc_ctl_stream_free(struct cfc_ctl_stream *stream);

/* The next bytes.  False: the reader has enough, or there is no memory for an event, or one is
 * above 512 MiB. */
bool cfc_ctl_stream_take(struct cfc_ctl_stream *stream, const char *bytes, size_t size);

/* Follows a stream of the server until it ends; silence of more than 30 s is an end.  Codes of
 * cfc_ctl_call(); CFC_EXIT_OK: it ended as streams do. */
int cfc_ctl_follow(struct cfc_ctl *ctl, const struct cfc_ctl_path *path,
                   struct cfc_ctl_stream *stream);

#endif
