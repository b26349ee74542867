#include "protocol/session/upcall_queue.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"

/* What stands before id and frame in the ring. */
struct record {
    uint32_t size; /* of the whole record; 0: the ring goes on at its start */
    uint32_t type;
    struct cfc_address address;
    uint32_t id_size;
    uint32_t frame_size;
};

enum {
    RECORD_ALIGN = 8
};

int
cfc_upcall_queue_init(struct cfc_upcall_queue *queue, const struct cfc_alloc *alloc)
{
    *queue = (struct cfc_upcall_queue){.ring = cfc_alloc(alloc, CFC_UPCALL_RING_SIZE)};
    return queue->ring != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
}

void
cfc_upcall_queue_free(struct cfc_upcall_queue *queue, const struct cfc_alloc *alloc)
{
    cfc_free(alloc, queue->ring);
    queue->ring = NULL;
}

/* Bytes in one piece at the tail.  With records held, the tail never catches up with the head. */
static uint32_t
room_at_tail(const struct cfc_upcall_queue *queue)
{
    if (queue->count > 0 && queue->tail <= queue->head) {
        return queue->head - queue->tail;
    }
    return CFC_UPCALL_RING_SIZE - queue->tail;
}

static struct record
read_record(const struct cfc_upcall_queue *queue, uint32_t offset)
{
    struct record record;

    memcpy(&record, queue->ring + offset, sizeof(record));
    return record;
}

static void
release_polled(struct cfc_upcall_queue *queue)
{
    if (!queue->has_polled) {
        return;
    }
    queue->has_polled = false;
    queue->head += read_record(queue, queue->head).size;
    queue->count--;
    if (queue->count == 0) {
        queue->head = 0;
        queue->tail = 0;
    }
}

/* Moves the tail to the start of the ring when only there is room.  A record of size 0 marks the
 * place; where no record would fit, the reader goes on at the start without a mark. */
static bool
find_room(struct cfc_upcall_queue *queue, uint32_t size)
{
    uint32_t zero = 0;

    if (room_at_tail(queue) >= size) {
        return true;
    }
    if (queue->count == 0 || queue->tail <= queue->head || queue->head < size) {
        return false;
    }
    if (CFC_UPCALL_RING_SIZE - queue->tail >= sizeof(struct record)) {
        memcpy(queue->ring + queue->tail, &zero, sizeof(zero));
    }
    queue->tail = 0;
    return true;
}

int
cfc_upcall_queue_push(struct cfc_upcall_queue *queue, const struct cfc_upcall *upcall)
{
    struct record record = {.type = upcall->type,
                            .address = upcall->address,
                            .id_size = (uint32_t)upcall->id_size,
                            .frame_size = (uint32_t)upcall->frame_size};
    size_t size = sizeof(record) + upcall->id_size + upcall->frame_size;
    uint8_t *p;

    size = (size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
    release_polled(queue);
    if (size > CFC_UPCALL_RING_SIZE || !find_room(queue, (uint32_t)size)) {
        return CONFCAST_ERR_LIMIT;
    }
    record.size = (uint32_t)size;
    p = queue->ring + queue->tail;
    memcpy(p, &record, sizeof(record));
    memcpy(p + sizeof(record), upcall->id, upcall->id_size);
    memcpy(p + sizeof(record) + upcall->id_size, upcall->frame, upcall->frame_size);
    queue->tail += record.size;
    queue->count++;
    return CONFCAST_OK;
}

int
cfc_upcall_queue_poll(struct cfc_upcall_queue *queue, struct cfc_upcall *out)
{
    struct record record;
    const uint8_t *p;

    release_polled(queue);
    if (queue->count == 0) {
        return CONFCAST_ERR_AGAIN;
    }
    if (CFC_UPCALL_RING_SIZE - queue->head < sizeof(record) ||
        read_record(queue, queue->head).size == 0) {
        queue->head = 0;
    }
    record = read_record(queue, queue->head);
    p = queue->ring + queue->head + sizeof(record);
    *out = (struct cfc_upcall){
        .type = (enum cfc_upcall_type)record.type,
        .id = (const char *)p,
        .id_size = record.id_size,
        .address = record.address,
        .frame = p + record.id_size,
        .frame_size = record.frame_size,
        .slot = CFC_SENDER_NO_SLOT,
    };
    queue->has_polled = true;
    return CONFCAST_OK;
}
