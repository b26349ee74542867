#include "controlplane/ctl/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENT_SIZE_MAX ((size_t)512 << 20)

void
cfc_ctl_stream_init(struct cfc_ctl_stream *stream,
                    bool (*on_event)(void *, const struct cfc_ctl_event *), void *arg)
{
    memset(stream, 0, sizeof(*stream));
    stream->on_event = on_event;
    stream->arg = arg;
}

void
cfc_ctl_stream_free(struct cfc_ctl_stream *stream)
{
    free(stream->line);
    free(stream->data);
    stream->line = NULL;
    stream->data = NULL;
}

/* Appends, and keeps a NUL behind it. */
static bool
append(char **text, size_t *size, size_t *capacity, const char *bytes, size_t count)
{
    size_t wanted = *capacity > 0 ? *capacity : 1024;
    char *grown;

    if (count >= EVENT_SIZE_MAX - *size) {
        return false;
    }
    while (wanted < *size + count + 1) {
        wanted *= 2;
    }
    if (wanted > *capacity) {
        grown = realloc(*text, wanted);
        if (grown == NULL) {
            return false;
        }
        *text = grown;
        *capacity = wanted;
    }
    memcpy(*text + *size, bytes, count);
    *size += count;
    (*text)[*size] = '\0';
    return true;
}

/* An empty line ends an event; one without data is none. */
static bool
end_event(struct cfc_ctl_stream *s)
{
    struct cfc_ctl_event event = {.name = s->name[0] != '\0' ? s->name : "message",
                                  .data = s->data,
                                  .data_size = s->data_size};
    bool goes_on = s->data_size == 0 || s->on_event(s->arg, &event);

    s->data_size = 0;
    s->name[0] = '\0';
    return goes_on;
}

static bool
take_field(struct cfc_ctl_stream *s)
{
    size_t name_size = strcspn(s->line, ":");
    const char *value = s->line + name_size + (s->line[name_size] == ':');
    size_t value_size;

    value += *value == ' ';
    value_size = s->line_size - (size_t)(value - s->line);
    if (name_size == 5 && memcmp(s->line, "event", 5) == 0) {
        snprintf(s->name, sizeof(s->name), "%s", value);
    } else if (name_size == 4 && memcmp(s->line, "data", 4) == 0) {
        return (s->data_size == 0 || append(&s->data, &s->data_size, &s->data_capacity, "\n", 1)) &&
               append(&s->data, &s->data_size, &s->data_capacity, value, value_size);
    }
    return true; /* Comments, ids and times are of no use here. */
}

static bool
end_line(struct cfc_ctl_stream *s)
{
    bool goes_on;

    if (s->line_size > 0 && s->line[s->line_size - 1] == '\r') {
        s->line[--s->line_size] = '\0';
    }
    goes_on = s->line_size == 0 ? end_event(s) : take_field(s);
    s->line_size = 0;
    return goes_on;
}

bool
cfc_ctl_stream_take(struct cfc_ctl_stream *s, const char *bytes, size_t size)
{
    while (size > 0) {
        const char *end = memchr(bytes, '\n', size);
        size_t count = end != NULL ? (size_t)(end - bytes) : size;

        if (!append(&s->line, &s->line_size, &s->line_capacity, bytes, count) ||
            (end != NULL && !end_line(s))) {
            return false;
        }
        count += end != NULL;
        bytes += count;
        size -= count;
    }
    return true;
}

static bool
take(void *arg, const char *bytes, size_t size)
{
    return cfc_ctl_stream_take(arg, bytes, size);
}

int
cfc_ctl_follow(struct cfc_ctl *ctl, const struct cfc_ctl_path *path, struct cfc_ctl_stream *stream)
{
    struct cfc_ctl_response response;
    int rc;

    stream->line_size = 0;
    stream->data_size = 0;
    stream->name[0] = '\0';
    ctl->on_body = take;
    ctl->on_body_arg = stream;
    rc = cfc_ctl_call(ctl, "GET", path, NULL, 0, &response);
    ctl->on_body = NULL;
    cfc_ctl_response_free(&response);
    return rc;
}
