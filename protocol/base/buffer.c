#include "protocol/base/buffer.h"

#include <string.h>

#include "confcast/error.h"

enum {
    FIRST_CAPACITY = 256
};

void
cfc_buffer_init(struct cfc_buffer *buffer, const struct cfc_alloc *alloc, size_t size_max)
{
    *buffer = (struct cfc_buffer){.alloc = *alloc, .size_max = size_max};
}

void
cfc_buffer_free(struct cfc_buffer *buffer)
{
    cfc_free(&buffer->alloc, buffer->bytes);
    buffer->bytes = NULL;
    buffer->size = 0;
    buffer->capacity = 0;
}

static int
grow(struct cfc_buffer *buffer, size_t needed)
{
    size_t capacity = buffer->capacity > 0 ? buffer->capacity : FIRST_CAPACITY;
    uint8_t *bytes;

    while (capacity < needed) {
        capacity = capacity > buffer->size_max / 2 ? buffer->size_max : capacity * 2;
    }
    bytes = cfc_alloc(&buffer->alloc, capacity);
    if (bytes == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (buffer->size > 0) {
        memcpy(bytes, buffer->bytes, buffer->size);
    }
    cfc_free(&buffer->alloc, buffer->bytes);
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return CONFCAST_OK;
}

int
cfc_buffer_room(struct cfc_buffer *buffer, size_t size, uint8_t **room)
{
    int error;

    if (size > buffer->size_max - buffer->size) {
        return CONFCAST_ERR_LIMIT;
    }
    if (buffer->bytes == NULL || size > buffer->capacity - buffer->size) {
        error = grow(buffer, buffer->size + size);
        if (error != CONFCAST_OK) {
            return error;
        }
    }
    *room = buffer->bytes + buffer->size;
    return CONFCAST_OK;
}

int
cfc_buffer_add(struct cfc_buffer *buffer, const void *bytes, size_t size)
{
    uint8_t *room;
    int error = cfc_buffer_room(buffer, size, &room);

    if (error == CONFCAST_OK && size > 0) {
        memcpy(room, bytes, size);
        buffer->size += size;
    }
    return error;
}

uint8_t *
cfc_buffer_take(struct cfc_buffer *buffer, size_t *size)
{
    uint8_t *bytes = buffer->bytes;

    *size = buffer->size;
    buffer->bytes = NULL;
    buffer->size = 0;
    buffer->capacity = 0;
    return bytes;
}
