#include "protocol/wire/content.h"

#include <assert.h>

#include "confcast/error.h"
#include "protocol/wire/signed.h"

enum {
    SIGNED_FIXED_SIZE = 104, /* signed size up to and with the base content id */
    ROW_MAX = 255            /* highest index of a symbol in its block */
};

static uint32_t
div_up(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0 ? 1 : 0);
}

int
cfc_geometry_of(const struct cfc_content *content, struct cfc_geometry *out)
{
    uint32_t pages;
    uint32_t level = 0;

    if (content->coded_size == 0 || content->symbol_size < CFC_SYMBOL_SIZE_MIN ||
        content->fec_k == 0) {
        return CONFCAST_ERR_RANGE;
    }
    if (content->coded_size > CFC_BODY_SIZE_MAX || content->symbol_size > CFC_SYMBOL_SIZE_MAX ||
        content->fec_k > CFC_BLOCK_SYMBOLS_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    *out = (struct cfc_geometry){0};
    out->symbol_count = div_up((uint32_t)content->coded_size, content->symbol_size);
    out->block_count = div_up(out->symbol_count, content->fec_k);
    out->last_block_symbols = out->symbol_count - (out->block_count - 1) * content->fec_k;
    out->last_symbol_size =
        (uint32_t)content->coded_size - (out->symbol_count - 1) * content->symbol_size;
    for (pages = out->block_count; level < CFC_PAGE_LEVELS_MAX; level++) {
        out->page_counts[level] = pages;
        if (pages <= CFC_TOP_DIGESTS_MAX) {
            return CONFCAST_OK;
        }
        pages = div_up(pages, CFC_PAGE_DIGESTS_MAX);
    }
    return CONFCAST_ERR_LIMIT;
}

uint32_t
cfc_geometry_levels(const struct cfc_geometry *g)
{
    uint32_t levels = 1;

    while (levels < CFC_PAGE_LEVELS_MAX && g->page_counts[levels] != 0) {
        levels++;
    }
    return levels;
}

/* The rules of a CONTENT that need no bytes; both directions obey them. */
static int
check_rules(const struct cfc_content *c)
{
    struct cfc_geometry g;
    uint32_t levels;
    int rc;

    if (c->encoding > CFC_ENCODING_ZSTD_DELTA || c->fec_code > CFC_FEC_RS_CAUCHY) {
        return CONFCAST_ERR_VERSION;
    }
    if (c->body_size == 0 || (c->fec_code == CFC_FEC_NONE && c->repair_leaves != 0)) {
        return CONFCAST_ERR_RANGE;
    }
    if (c->body_size > CFC_BODY_SIZE_MAX || c->repair_leaves > CFC_REPAIR_LEAVES_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (c->encoding == CFC_ENCODING_RAW && c->coded_size != c->body_size) {
        return CONFCAST_ERR_RANGE;
    }
    if (cfc_digest_is_zero(&c->content) || cfc_digest_equal(&c->content, &c->base)) {
        return CONFCAST_ERR_RANGE;
    }
    if ((c->encoding == CFC_ENCODING_ZSTD_DELTA) == cfc_digest_is_zero(&c->base)) {
        return CONFCAST_ERR_RANGE;
    }
    rc = cfc_geometry_of(c, &g);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    levels = cfc_geometry_levels(&g);
    if (c->page_levels != levels || c->top_count != g.page_counts[levels - 1]) {
        return CONFCAST_ERR_RANGE;
    }
    return CONFCAST_OK;
}

static int
read_signed_part(struct cfc_reader *r, struct cfc_content *out)
{
    (void)cfc_read_u16(r);
    out->coding = cfc_read_u16(r);
    out->encoding = cfc_read_u8(r);
    out->fec_code = cfc_read_u8(r);
    out->fec_k = cfc_read_u8(r);
    out->repair_leaves = cfc_read_u8(r);
    out->body_size = cfc_read_u64(r);
    out->coded_size = cfc_read_u64(r);
    out->symbol_size = cfc_read_u16(r);
    out->page_levels = cfc_read_u8(r);
    out->top_count = cfc_read_u8(r);
    out->shard = cfc_read_u32(r);
    cfc_read_copy(r, out->key_id, sizeof(out->key_id));
    cfc_read_copy(r, out->content.bytes, sizeof(out->content.bytes));
    cfc_read_copy(r, out->base.bytes, sizeof(out->base.bytes));
    out->top_digests = cfc_read_bytes(r, (size_t)out->top_count * CFC_SHORT_DIGEST_SIZE);
    return r->has_failed ? CONFCAST_ERR_LENGTH : cfc_tlv_skip_all(r);
}

int
cfc_content_decode(const struct cfc_frame *frame, struct cfc_content *out)
{
    struct cfc_signed_frame parts;
    int rc = cfc_signed_frame_open(frame, CFC_FRAME_CONTENT, SIGNED_FIXED_SIZE, &parts);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    *out = (struct cfc_content){.signed_bytes = parts.signed_bytes,
                                .signed_size = parts.signed_size,
                                .signature = parts.signature};
    rc = read_signed_part(&parts.signed_part, out);
    if (rc == CONFCAST_OK) {
        rc = cfc_tlv_skip_all(&parts.rest);
    }
    if (rc == CONFCAST_OK) {
        rc = check_rules(out);
    }
    if (rc == CONFCAST_OK && cfc_digest_key(&out->content) != frame->key) {
        rc = CONFCAST_ERR_WRONG_STREAM;
    }
    return rc;
}

int
cfc_content_encode(const struct cfc_content *content, const struct cfc_signer *signer,
                   uint8_t *frame, size_t capacity, size_t *size)
{
    struct cfc_writer w = cfc_writer_of(frame, capacity);
    int rc = check_rules(content);

    if (rc != CONFCAST_OK) {
        return rc == CONFCAST_ERR_LIMIT ? rc : CONFCAST_ERR_INVALID;
    }
    cfc_frame_begin(&w, CFC_FRAME_CONTENT, cfc_digest_key(&content->content));
    cfc_write_u16(&w, 0); /* cfc_signed_frame_sign() fills it in */
    cfc_write_u16(&w, content->coding);
    cfc_write_u8(&w, content->encoding);
    cfc_write_u8(&w, content->fec_code);
    cfc_write_u8(&w, content->fec_k);
    cfc_write_u8(&w, content->repair_leaves);
    cfc_write_u64(&w, content->body_size);
    cfc_write_u64(&w, content->coded_size);
    cfc_write_u16(&w, content->symbol_size);
    cfc_write_u8(&w, content->page_levels);
    cfc_write_u8(&w, content->top_count);
    cfc_write_u32(&w, content->shard);
    cfc_write_bytes(&w, signer->key_id, sizeof(signer->key_id));
    cfc_write_bytes(&w, content->content.bytes, sizeof(content->content.bytes));
    cfc_write_bytes(&w, content->base.bytes, sizeof(content->base.bytes));
    cfc_write_bytes(&w, content->top_digests, (size_t)content->top_count * CFC_SHORT_DIGEST_SIZE);
    rc = cfc_signed_frame_sign(&w, signer, CFC_DOMAIN_CONTENT_SIG);
    return rc == CONFCAST_OK ? cfc_frame_finish(&w, size) : rc;
}

int
cfc_content_verify(const struct cfc_content *content, const struct cfc_verifier *verifier,
                   uint64_t unix_ns)
{
    return verifier->verify(verifier->ctx, content->key_id, NULL, 0, unix_ns,
                            CFC_DOMAIN_CONTENT_SIG, content->signed_bytes, content->signed_size,
                            content->signature);
}

static int
check_page(const struct cfc_page *page)
{
    bool ok = page->level < CFC_PAGE_LEVELS_MAX && page->digest_count >= 1 &&
              page->digest_count <= CFC_PAGE_DIGESTS_MAX;

    return ok ? CONFCAST_OK : CONFCAST_ERR_RANGE;
}

int
cfc_page_decode(const struct cfc_frame *frame, struct cfc_page *out)
{
    struct cfc_reader r;
    int rc;

    if (frame->type != CFC_FRAME_PAGE) {
        return CONFCAST_ERR_INVALID;
    }
    if (frame->size < CFC_PAGE_HEADER_SIZE) {
        return CONFCAST_ERR_SHORT;
    }
    r = cfc_reader_of(frame->bytes + CFC_FRAME_HEADER_SIZE, frame->size - CFC_FRAME_HEADER_SIZE);
    out->coding = cfc_read_u16(&r);
    out->level = cfc_read_u8(&r);
    out->digest_count = cfc_read_u8(&r);
    out->index = cfc_read_u32(&r);
    rc = check_page(out);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    if (cfc_reader_left(&r) != (size_t)out->digest_count * CFC_SHORT_DIGEST_SIZE) {
        return CONFCAST_ERR_LENGTH;
    }
    out->digests = r.p;
    return CONFCAST_OK;
}

int
cfc_page_encode(uint64_t content_key, const struct cfc_page *page, uint8_t *frame, size_t capacity,
                size_t *size)
{
    struct cfc_writer w = cfc_writer_of(frame, capacity);

    if (check_page(page) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    cfc_frame_begin(&w, CFC_FRAME_PAGE, content_key);
    cfc_write_u16(&w, page->coding);
    cfc_write_u8(&w, page->level);
    cfc_write_u8(&w, page->digest_count);
    cfc_write_u32(&w, page->index);
    cfc_write_bytes(&w, page->digests, (size_t)page->digest_count * CFC_SHORT_DIGEST_SIZE);
    return cfc_frame_finish(&w, size);
}

int
cfc_symbol_decode(const struct cfc_frame *frame, struct cfc_symbol *out)
{
    struct cfc_reader r;

    if (frame->type != CFC_FRAME_SYMBOL) {
        return CONFCAST_ERR_INVALID;
    }
    if (frame->size <= CFC_SYMBOL_HEADER_SIZE) {
        return CONFCAST_ERR_SHORT;
    }
    r = cfc_reader_of(frame->bytes + CFC_FRAME_HEADER_SIZE, frame->size - CFC_FRAME_HEADER_SIZE);
    out->coding = cfc_read_u16(&r);
    out->index = cfc_read_u16(&r);
    out->block = cfc_read_u32(&r);
    out->size = cfc_reader_left(&r);
    out->bytes = r.p;
    if (out->index > ROW_MAX) {
        return CONFCAST_ERR_RANGE;
    }
    return out->size <= CFC_SYMBOL_SIZE_MAX ? CONFCAST_OK : CONFCAST_ERR_LIMIT;
}

void
cfc_symbol_header(uint64_t content_key, uint16_t coding, uint32_t block, uint16_t index,
                  size_t payload_size, uint8_t header[CFC_SYMBOL_HEADER_SIZE])
{
    assert(payload_size >= 1 && payload_size <= CFC_SYMBOL_SIZE_MAX && index <= ROW_MAX);
    cfc_put_u16(header, CFC_FRAME_MAGIC);
    header[2] = CFC_FRAME_VERSION;
    header[3] = CFC_FRAME_SYMBOL;
    cfc_put_u16(header + 4, (uint16_t)(CFC_SYMBOL_HEADER_SIZE + payload_size));
    cfc_put_u16(header + 6, 0);
    cfc_put_u64(header + 8, content_key);
    cfc_put_u16(header + 16, coding);
    cfc_put_u16(header + 18, index);
    cfc_put_u32(header + 20, block);
}
