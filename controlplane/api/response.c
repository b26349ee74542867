#include "controlplane/api/response.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"

enum {
    STREAM_BLOCK_SIZE = 256 * 1024
};

static const char no_memory_body[] =
    "{\"error\":{\"code\":\"oom\",\"message\":\"memory could not be allocated\"}}";
static void
wipe_and_free(void *body)
{
    explicit_bzero(body, malloc_usable_size(body));
    free(body);
}

static ssize_t
on_stream_read(void *cls, uint64_t position, char *bytes, size_t capacity)
{
    struct cfc_reply_stream *stream = cls;
    size_t size = 0;

    (void)position;
    if (stream->read(stream->arg, bytes, capacity, &size) != CONFCAST_OK) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    return size > 0 ? (ssize_t)size : MHD_CONTENT_READER_END_OF_STREAM;
}

static void
on_stream_end(void *cls)
{
    struct cfc_reply_stream *stream = cls;

    stream->close(stream->arg);
    free(stream);
}

/* The stream goes over to the response. */
static struct MHD_Response *
response_of_stream(struct cfc_reply *reply)
{
    struct cfc_reply_stream *stream = malloc(sizeof(*stream));
    struct MHD_Response *response;

    if (stream == NULL) {
        return NULL;
    }
    *stream = reply->stream;
    response = MHD_create_response_from_callback(stream->size, STREAM_BLOCK_SIZE, on_stream_read,
                                                 stream, on_stream_end);
    if (response == NULL) {
        free(stream);
        return NULL;
    }
    reply->stream.read = NULL;
    return response;
}

struct MHD_Response *
cfc_response_of(struct cfc_reply *reply)
{
    struct MHD_Response *response;

    if (reply->stream.read != NULL) {
        return response_of_stream(reply);
    }
    if (reply->body == NULL) {
        reply->status = 503;
        reply->type = "application/json";
        response = MHD_create_response_from_buffer(
            sizeof(no_memory_body) - 1, (void *)(uintptr_t)no_memory_body, MHD_RESPMEM_PERSISTENT);
    } else if (reply->is_secret) {
        response = MHD_create_response_from_buffer_with_free_callback(reply->body_size, reply->body,
                                                                      wipe_and_free);
        reply->body = response != NULL ? NULL : reply->body;
    } else {
        response =
            MHD_create_response_from_buffer(reply->body_size, reply->body, MHD_RESPMEM_MUST_FREE);
        reply->body = response != NULL ? NULL : reply->body;
    }
    return response;
}
