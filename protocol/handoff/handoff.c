#include "protocol/handoff/handoff.h"

#include "confcast/error.h"

enum {
    HEADER_MAGIC = 0x48434643,
    HEADER_VERSION = 1
};

static void
read_zero(struct cfc_reader *r, size_t size, bool *is_reserved_zero)
{
    for (size_t i = 0; i < size; i++) {
        if (cfc_read_u8(r) != 0) {
            *is_reserved_zero = false;
        }
    }
}

static void
read_bool(struct cfc_reader *r, bool *value, bool *is_reserved_zero)
{
    uint8_t v = cfc_read_u8(r);

    *value = v == 1;
    if (v > 1) {
        *is_reserved_zero = false;
    }
    read_zero(r, 3, is_reserved_zero);
}

/* A size and that many bytes. */
static void
read_frame(struct cfc_reader *r, const uint8_t **frame, size_t *size)
{
    *size = cfc_read_u32(r);
    *frame = cfc_read_bytes(r, *size);
}

static void
read_address(struct cfc_reader *r, struct cfc_address *address)
{
    cfc_read_copy(r, address->ip, sizeof(address->ip));
    address->port = cfc_read_u16(r);
}

static void
read_content(struct cfc_reader *r, struct cfc_handoff_content *m, bool *zero)
{
    m->arena = cfc_read_u64(r);
    m->tree_offset = cfc_read_u64(r);
    m->tree_size = cfc_read_u64(r);
    m->coded_offset = cfc_read_u64(r);
    read_bool(r, &m->is_pull_only, zero);
    read_frame(r, &m->frame, &m->frame_size);
}

static void
read_engine_hello(struct cfc_reader *r, struct cfc_handoff_engine_hello *m, bool *zero)
{
    m->boot_id = cfc_read_u64(r);
    m->frame_size_max = cfc_read_u32(r);
    read_zero(r, 4, zero);
    read_address(r, &m->unicast);
    m->port_text_size = cfc_read_u16(r);
    m->port_text = (const char *)cfc_read_bytes(r, m->port_text_size);
}

static void
read_report(struct cfc_reader *r, struct cfc_handoff_report *m, bool *zero)
{
    m->id_size = cfc_read_u8(r);
    read_zero(r, 3, zero);
    m->frame_size = cfc_read_u32(r);
    m->id = (const char *)cfc_read_bytes(r, m->id_size);
    m->frame = cfc_read_bytes(r, m->frame_size);
}

static void
read_consumer(struct cfc_reader *r, struct cfc_handoff_consumer *m, bool *zero)
{
    read_address(r, &m->address);
    read_zero(r, 2, zero);
    read_frame(r, &m->frame, &m->frame_size);
}

static int
read_stats(struct cfc_reader *r, struct cfc_handoff_engine_stats *m, bool *zero)
{
    m->count = cfc_read_u32(r);
    read_zero(r, 4, zero);
    if (m->count > sizeof(m->values) / sizeof(m->values[0])) {
        return CONFCAST_ERR_LIMIT;
    }
    for (uint32_t i = 0; i < m->count; i++) {
        m->values[i] = cfc_read_u64(r);
    }
    return CONFCAST_OK;
}

static int
read_message(struct cfc_reader *r, struct cfc_handoff *out, bool *zero)
{
    switch (out->type) {
    case CFC_HANDOFF_CONTROL_HELLO:
        out->u.control_hello.boot_id = cfc_read_u64(r);
        return CONFCAST_OK;
    case CFC_HANDOFF_SHARD:
        out->u.shard.shard = cfc_read_u32(r);
        out->u.shard.fleet_size = cfc_read_u32(r);
        out->u.shard.epoch = cfc_read_u64(r);
        return CONFCAST_OK;
    case CFC_HANDOFF_ARENA:
        out->u.arena.arena = cfc_read_u64(r);
        out->u.arena.size = cfc_read_u64(r);
        return CONFCAST_OK;
    case CFC_HANDOFF_CONTENT:
        read_content(r, &out->u.content, zero);
        return CONFCAST_OK;
    case CFC_HANDOFF_DROP_CONTENT:
        cfc_read_copy(r, out->u.drop_content.content.bytes, sizeof(struct cfc_digest));
        return CONFCAST_OK;
    case CFC_HANDOFF_HEAD:
        read_frame(r, &out->u.head.frame, &out->u.head.frame_size);
        return CONFCAST_OK;
    case CFC_HANDOFF_DROP_HEAD:
        out->u.drop_head.scope_id = cfc_read_u64(r);
        return CONFCAST_OK;
    case CFC_HANDOFF_FRESH:
        read_bool(r, &out->u.fresh.is_changed, zero);
        read_frame(r, &out->u.fresh.frame, &out->u.fresh.frame_size);
        return CONFCAST_OK;
    case CFC_HANDOFF_SYNCED:
        return CONFCAST_OK;
    case CFC_HANDOFF_ENGINE_HELLO:
        read_engine_hello(r, &out->u.engine_hello, zero);
        return CONFCAST_OK;
    case CFC_HANDOFF_CONSUMER:
        read_consumer(r, &out->u.consumer, zero);
        return CONFCAST_OK;
    case CFC_HANDOFF_REPORT:
        read_report(r, &out->u.report, zero);
        return CONFCAST_OK;
    case CFC_HANDOFF_RELEASE_ARENA:
        out->u.release_arena.arena = cfc_read_u64(r);
        return CONFCAST_OK;
    case CFC_HANDOFF_REFUSED:
        out->u.refused.type = cfc_read_u16(r);
        out->u.refused.error = cfc_read_u16(r);
        read_zero(r, 4, zero);
        out->u.refused.key = cfc_read_u64(r);
        return CONFCAST_OK;
    case CFC_HANDOFF_ENGINE_STATS:
        return read_stats(r, &out->u.engine_stats, zero);
    }
    return CONFCAST_ERR_UNSUPPORTED;
}

static int
decode(struct cfc_reader *r, struct cfc_handoff *out)
{
    bool is_reserved_zero = true;
    int error;

    memset(out, 0, sizeof(*out));
    if (cfc_read_u32(r) != HEADER_MAGIC) {
        return r->has_failed ? CONFCAST_ERR_SHORT : CONFCAST_ERR_VERSION;
    }
    out->type = (enum cfc_handoff_type)cfc_read_u16(r);
    if (cfc_read_u16(r) != HEADER_VERSION) {
        return r->has_failed ? CONFCAST_ERR_SHORT : CONFCAST_ERR_VERSION;
    }
    error = read_message(r, out, &is_reserved_zero);
    if (error != CONFCAST_OK) {
        return error;
    }
    if (r->has_failed) {
        return CONFCAST_ERR_SHORT;
    }
    return is_reserved_zero ? CONFCAST_OK : CONFCAST_ERR_VERSION;
}

int
cfc_handoff_decode(const uint8_t *bytes, size_t size, struct cfc_handoff *out)
{
    size_t at = 0;
    int error = cfc_handoff_decode_next(bytes, size, &at, out);

    return error == CONFCAST_OK && at != size ? CONFCAST_ERR_LENGTH : error;
}

int
cfc_handoff_decode_next(const uint8_t *bytes, size_t size, size_t *at, struct cfc_handoff *out)
{
    struct cfc_reader r;
    size_t begin = *at;
    int error;

    if (size > CFC_HANDOFF_SIZE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    r = cfc_reader_of(bytes + begin, size - begin);
    error = decode(&r, out);
    if (error != CONFCAST_OK) {
        return error;
    }
    *at = size - cfc_reader_left(&r);
    if ((begin != 0 || *at != size) && out->type != CFC_HANDOFF_CONSUMER &&
        out->type != CFC_HANDOFF_REPORT) {
        return CONFCAST_ERR_LENGTH;
    }
    return CONFCAST_OK;
}

static void
write_bool(struct cfc_writer *w, bool value)
{
    cfc_write_u8(w, value ? 1 : 0);
    cfc_write_zero(w, 3);
}

static void
write_frame(struct cfc_writer *w, const uint8_t *frame, size_t size)
{
    cfc_write_u32(w, (uint32_t)size);
    cfc_write_bytes(w, frame, size);
}

static void
write_address(struct cfc_writer *w, const struct cfc_address *address)
{
    cfc_write_bytes(w, address->ip, sizeof(address->ip));
    cfc_write_u16(w, address->port);
}

static void
write_content(struct cfc_writer *w, const struct cfc_handoff_content *m)
{
    cfc_write_u64(w, m->arena);
    cfc_write_u64(w, m->tree_offset);
    cfc_write_u64(w, m->tree_size);
    cfc_write_u64(w, m->coded_offset);
    write_bool(w, m->is_pull_only);
    write_frame(w, m->frame, m->frame_size);
}

static void
write_engine_hello(struct cfc_writer *w, const struct cfc_handoff_engine_hello *m)
{
    cfc_write_u64(w, m->boot_id);
    cfc_write_u32(w, m->frame_size_max);
    cfc_write_u32(w, 0);
    write_address(w, &m->unicast);
    cfc_write_u16(w, (uint16_t)m->port_text_size);
    cfc_write_bytes(w, m->port_text, m->port_text_size);
}

static void
write_report(struct cfc_writer *w, const struct cfc_handoff_report *m)
{
    cfc_write_u8(w, (uint8_t)m->id_size);
    cfc_write_zero(w, 3);
    cfc_write_u32(w, (uint32_t)m->frame_size);
    cfc_write_bytes(w, m->id, m->id_size);
    cfc_write_bytes(w, m->frame, m->frame_size);
}

static int
write_message(struct cfc_writer *w, const struct cfc_handoff *m)
{
    switch (m->type) {
    case CFC_HANDOFF_CONTROL_HELLO:
        cfc_write_u64(w, m->u.control_hello.boot_id);
        return CONFCAST_OK;
    case CFC_HANDOFF_SHARD:
        cfc_write_u32(w, m->u.shard.shard);
        cfc_write_u32(w, m->u.shard.fleet_size);
        cfc_write_u64(w, m->u.shard.epoch);
        return CONFCAST_OK;
    case CFC_HANDOFF_ARENA:
        cfc_write_u64(w, m->u.arena.arena);
        cfc_write_u64(w, m->u.arena.size);
        return CONFCAST_OK;
    case CFC_HANDOFF_CONTENT:
        write_content(w, &m->u.content);
        return CONFCAST_OK;
    case CFC_HANDOFF_DROP_CONTENT:
        cfc_write_bytes(w, m->u.drop_content.content.bytes, sizeof(struct cfc_digest));
        return CONFCAST_OK;
    case CFC_HANDOFF_HEAD:
        write_frame(w, m->u.head.frame, m->u.head.frame_size);
        return CONFCAST_OK;
    case CFC_HANDOFF_DROP_HEAD:
        cfc_write_u64(w, m->u.drop_head.scope_id);
        return CONFCAST_OK;
    case CFC_HANDOFF_FRESH:
        write_bool(w, m->u.fresh.is_changed);
        write_frame(w, m->u.fresh.frame, m->u.fresh.frame_size);
        return CONFCAST_OK;
    case CFC_HANDOFF_SYNCED:
        return CONFCAST_OK;
    case CFC_HANDOFF_ENGINE_HELLO:
        write_engine_hello(w, &m->u.engine_hello);
        return CONFCAST_OK;
    case CFC_HANDOFF_CONSUMER:
        write_address(w, &m->u.consumer.address);
        cfc_write_u16(w, 0);
        write_frame(w, m->u.consumer.frame, m->u.consumer.frame_size);
        return CONFCAST_OK;
    case CFC_HANDOFF_REPORT:
        write_report(w, &m->u.report);
        return CONFCAST_OK;
    case CFC_HANDOFF_RELEASE_ARENA:
        cfc_write_u64(w, m->u.release_arena.arena);
        return CONFCAST_OK;
    case CFC_HANDOFF_REFUSED:
        cfc_write_u16(w, m->u.refused.type);
        cfc_write_u16(w, m->u.refused.error);
        cfc_write_u32(w, 0);
        cfc_write_u64(w, m->u.refused.key);
        return CONFCAST_OK;
    case CFC_HANDOFF_ENGINE_STATS:
        if (m->u.engine_stats.count > sizeof(m->u.engine_stats.values) / sizeof(uint64_t)) {
            return CONFCAST_ERR_INVALID;
        }
        cfc_write_u32(w, m->u.engine_stats.count);
        cfc_write_u32(w, 0);
        for (uint32_t i = 0; i < m->u.engine_stats.count; i++) {
            cfc_write_u64(w, m->u.engine_stats.values[i]);
        }
        return CONFCAST_OK;
    }
    return CONFCAST_ERR_INVALID;
}

int
cfc_handoff_encode(const struct cfc_handoff *message, uint8_t *bytes, size_t capacity, size_t *size)
{
    struct cfc_writer w =
        cfc_writer_of(bytes, capacity < CFC_HANDOFF_SIZE_MAX ? capacity : CFC_HANDOFF_SIZE_MAX);
    int error;

    cfc_write_u32(&w, HEADER_MAGIC);
    cfc_write_u16(&w, (uint16_t)message->type);
    cfc_write_u16(&w, HEADER_VERSION);
    error = write_message(&w, message);
    if (error != CONFCAST_OK) {
        return error;
    }
    *size = cfc_writer_size(&w);
    return w.has_failed ? CONFCAST_ERR_LIMIT : CONFCAST_OK;
}
