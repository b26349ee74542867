#include "protocol/wire/fresh.h"

#include <assert.h>

#include "confcast/error.h"
#include "protocol/wire/signed.h"

enum {
    SIGNED_FIXED_SIZE = 72, /* signed size up to and with the key id */
    PAGE_FIXED_SIZE = 12,   /* page index up to the reserved field */
    HASH_SIZE = CFC_SHORT_DIGEST_SIZE
};

static const uint8_t zero_root[HASH_SIZE];

/* Pages that hold `entry_count` entries; 0 for none. */
static uint32_t
pages_of(uint32_t entry_count)
{
    return entry_count / CFC_FRESH_PAGE_ENTRIES_MAX +
           (entry_count % CFC_FRESH_PAGE_ENTRIES_MAX != 0 ? 1 : 0);
}

static uint32_t
entries_of_page(uint32_t entry_count, uint32_t page_index)
{
    uint32_t before = page_index * CFC_FRESH_PAGE_ENTRIES_MAX;
    uint32_t left = entry_count > before ? entry_count - before : 0;

    return left < CFC_FRESH_PAGE_ENTRIES_MAX ? left : CFC_FRESH_PAGE_ENTRIES_MAX;
}

/* Siblings on the way from a leaf to the root; an odd last node has none at its level. */
static uint32_t
proof_count_of(uint32_t page_index, uint32_t page_count)
{
    uint32_t count = 0;

    for (; page_count > 1; page_index /= 2, page_count = (page_count + 1) / 2) {
        count += (page_index ^ 1) < page_count ? 1 : 0;
    }
    return count;
}

static void
hash_leaf(struct cfc_sha256 *sha, uint32_t page_index, const uint8_t *entries, uint32_t entry_count,
          uint8_t out[HASH_SIZE])
{
    struct cfc_digest digest;
    uint8_t index_le[4];

    cfc_put_u32(index_le, page_index);
    cfc_sha256_begin(sha, CFC_DOMAIN_FRESH_LEAF);
    cfc_sha256_add(sha, index_le, sizeof(index_le));
    cfc_sha256_add(sha, entries, (size_t)entry_count * CFC_FRESH_ENTRY_SIZE);
    cfc_sha256_end(sha, &digest);
    memcpy(out, digest.bytes, HASH_SIZE);
}

static void
hash_node(struct cfc_sha256 *sha, const uint8_t *left, const uint8_t *right, uint8_t *out)
{
    struct cfc_digest digest;

    cfc_sha256_begin(sha, CFC_DOMAIN_FRESH_NODE);
    cfc_sha256_add(sha, left, HASH_SIZE);
    cfc_sha256_add(sha, right, HASH_SIZE);
    cfc_sha256_end(sha, &digest);
    memcpy(out, digest.bytes, HASH_SIZE);
}

static int
read_signed_part(struct cfc_reader *r, struct cfc_fresh *out)
{
    uint16_t reserved;

    (void)cfc_read_u16(r);
    reserved = cfc_read_u16(r);
    out->shard = cfc_read_u32(r);
    out->epoch = cfc_read_u64(r);
    out->sequence = cfc_read_u64(r);
    out->time_unix_ns = cfc_read_u64(r);
    out->not_after_unix_ns = cfc_read_u64(r);
    out->fleet_size = cfc_read_u32(r);
    out->scope_count = cfc_read_u32(r);
    cfc_read_copy(r, out->root, sizeof(out->root));
    cfc_read_copy(r, out->key_id, sizeof(out->key_id));
    if (reserved != 0) {
        return CONFCAST_ERR_VERSION;
    }
    return cfc_tlv_skip_all(r);
}

static int
check_signed_part(const struct cfc_fresh *f)
{
    if (f->scope_count > CFC_FRESH_ENTRIES_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (f->epoch == 0 ||
        (f->scope_count == 0 && memcmp(f->root, zero_root, sizeof(zero_root)) != 0)) {
        return CONFCAST_ERR_RANGE;
    }
    return CONFCAST_OK;
}

/* The page fields are not signed, but all of them follow from the signed scope count and the index.
 */
static int
check_page_fields(const struct cfc_fresh *f)
{
    bool ok = f->page_count == pages_of(f->scope_count) &&
              f->page_index < cfc_fresh_page_count(f->scope_count) &&
              f->entry_count == entries_of_page(f->scope_count, f->page_index) &&
              f->proof_count == proof_count_of(f->page_index, f->page_count);

    return ok ? CONFCAST_OK : CONFCAST_ERR_RANGE;
}

static int
check_entries(const struct cfc_fresh *f)
{
    for (uint32_t i = 1; i < f->entry_count; i++) {
        const uint8_t *entry = f->entries + (size_t)i * CFC_FRESH_ENTRY_SIZE;

        if (cfc_get_u64(entry) <= cfc_get_u64(entry - CFC_FRESH_ENTRY_SIZE)) {
            return CONFCAST_ERR_RANGE;
        }
    }
    return CONFCAST_OK;
}

static int
read_page(struct cfc_reader *r, struct cfc_fresh *out)
{
    uint16_t reserved;
    int rc;

    if (cfc_reader_left(r) < PAGE_FIXED_SIZE) {
        return CONFCAST_ERR_SHORT;
    }
    out->page_index = cfc_read_u32(r);
    out->page_count = cfc_read_u32(r);
    out->proof_count = cfc_read_u8(r);
    out->entry_count = cfc_read_u8(r);
    reserved = cfc_read_u16(r);
    if (reserved != 0) {
        return CONFCAST_ERR_VERSION;
    }
    rc = check_page_fields(out);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    out->proof = cfc_read_bytes(r, (size_t)out->proof_count * HASH_SIZE);
    out->entries = cfc_read_bytes(r, (size_t)out->entry_count * CFC_FRESH_ENTRY_SIZE);
    if (r->has_failed || cfc_reader_left(r) != 0) {
        return CONFCAST_ERR_LENGTH;
    }
    return check_entries(out);
}

int
cfc_fresh_decode(const struct cfc_frame *frame, struct cfc_fresh *out)
{
    struct cfc_signed_frame parts;
    int rc = cfc_signed_frame_open(frame, CFC_FRAME_FRESH, SIGNED_FIXED_SIZE, &parts);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    *out = (struct cfc_fresh){.signed_bytes = parts.signed_bytes,
                              .signed_size = parts.signed_size,
                              .signature = parts.signature};
    rc = read_signed_part(&parts.signed_part, out);
    if (rc == CONFCAST_OK) {
        rc = check_signed_part(out);
    }
    if (rc == CONFCAST_OK) {
        rc = read_page(&parts.rest, out);
    }
    if (rc == CONFCAST_OK && out->shard != frame->key) {
        rc = CONFCAST_ERR_WRONG_STREAM;
    }
    return rc;
}

void
cfc_fresh_entry_at(const struct cfc_fresh *fresh, uint32_t i, struct cfc_fresh_entry *out)
{
    const uint8_t *p = fresh->entries + (size_t)i * CFC_FRESH_ENTRY_SIZE;

    assert(i < fresh->entry_count);
    out->scope_id = cfc_get_u64(p);
    out->version = cfc_get_u64(p + 8);
    memcpy(out->head_digest, p + 16, sizeof(out->head_digest));
}

int
cfc_fresh_verify(const struct cfc_fresh *fresh, const struct cfc_verifier *verifier,
                 uint64_t unix_ns)
{
    /* The empty scope: only a key with authority for every scope speaks for a shard. */
    return verifier->verify(verifier->ctx, fresh->key_id, "", 0, unix_ns, CFC_DOMAIN_FRESH_SIG,
                            fresh->signed_bytes, fresh->signed_size, fresh->signature);
}

int
cfc_fresh_check_page(const struct cfc_fresh *fresh, struct cfc_sha256 *sha)
{
    uint8_t node[HASH_SIZE] = {0};
    const uint8_t *sibling = fresh->proof;
    uint32_t index = fresh->page_index;

    if (fresh->page_count > 0) {
        hash_leaf(sha, index, fresh->entries, fresh->entry_count, node);
    }
    for (uint32_t count = fresh->page_count; count > 1; index /= 2, count = (count + 1) / 2) {
        if ((index & 1) != 0) {
            hash_node(sha, sibling, node, node);
        } else if (index + 1 < count) {
            hash_node(sha, node, sibling, node);
        } else {
            continue;
        }
        sibling += HASH_SIZE;
    }
    return memcmp(node, fresh->root, sizeof(node)) == 0 ? CONFCAST_OK : CONFCAST_ERR_DIGEST;
}

uint32_t
cfc_fresh_page_count(uint32_t entry_count)
{
    return entry_count == 0 ? 1 : pages_of(entry_count);
}

size_t
cfc_fresh_nodes_size(uint32_t entry_count)
{
    size_t nodes = 0;

    for (uint32_t count = pages_of(entry_count); count > 0; count = (count + 1) / 2) {
        nodes += count;
        if (count == 1) {
            break;
        }
    }
    return nodes * HASH_SIZE;
}

static void
write_entry(struct cfc_writer *w, const struct cfc_fresh_entry *entry)
{
    cfc_write_u64(w, entry->scope_id);
    cfc_write_u64(w, entry->version);
    cfc_write_bytes(w, entry->head_digest, sizeof(entry->head_digest));
}

static void
build_leaves(const struct cfc_fresh_builder *b, struct cfc_sha256 *sha)
{
    for (uint32_t page = 0; page < b->fixed.page_count; page++) {
        uint8_t bytes[CFC_FRESH_PAGE_ENTRIES_MAX * CFC_FRESH_ENTRY_SIZE];
        struct cfc_writer w = cfc_writer_of(bytes, sizeof(bytes));
        uint32_t count = entries_of_page(b->entry_count, page);

        for (uint32_t i = 0; i < count; i++) {
            write_entry(&w, &b->entries[page * CFC_FRESH_PAGE_ENTRIES_MAX + i]);
        }
        hash_leaf(sha, page, bytes, count, b->nodes + (size_t)page * HASH_SIZE);
    }
}

/* Levels stand one after the other in `nodes`, leaves first, the root last. */
static void
build_tree(struct cfc_fresh_builder *b, struct cfc_sha256 *sha)
{
    uint8_t *level = b->nodes;

    memset(b->fixed.root, 0, sizeof(b->fixed.root));
    if (b->fixed.page_count == 0) {
        return;
    }
    build_leaves(b, sha);
    for (uint32_t count = b->fixed.page_count; count > 1; count = (count + 1) / 2) {
        uint8_t *above = level + (size_t)count * HASH_SIZE;

        for (uint32_t i = 0; i + 1 < count; i += 2) {
            hash_node(sha, level + (size_t)i * HASH_SIZE, level + (size_t)(i + 1) * HASH_SIZE,
                      above + (size_t)(i / 2) * HASH_SIZE);
        }
        if (count % 2 != 0) {
            memcpy(above + (size_t)(count / 2) * HASH_SIZE, level + (size_t)(count - 1) * HASH_SIZE,
                   HASH_SIZE);
        }
        level = above;
    }
    memcpy(b->fixed.root, level, HASH_SIZE);
}

static int
sign_fixed(struct cfc_fresh_builder *b, const struct cfc_signer *signer)
{
    struct cfc_writer w = cfc_writer_of(b->signed_part, sizeof(b->signed_part));
    const struct cfc_fresh *f = &b->fixed;

    cfc_write_u16(&w, SIGNED_FIXED_SIZE);
    cfc_write_u16(&w, 0);
    cfc_write_u32(&w, f->shard);
    cfc_write_u64(&w, f->epoch);
    cfc_write_u64(&w, f->sequence);
    cfc_write_u64(&w, f->time_unix_ns);
    cfc_write_u64(&w, f->not_after_unix_ns);
    cfc_write_u32(&w, f->fleet_size);
    cfc_write_u32(&w, f->scope_count);
    cfc_write_bytes(&w, f->root, sizeof(f->root));
    cfc_write_bytes(&w, f->key_id, sizeof(f->key_id));
    b->signed_size = cfc_writer_size(&w);
    assert(!w.has_failed && b->signed_size == SIGNED_FIXED_SIZE);
    return signer->sign(signer->ctx, CFC_DOMAIN_FRESH_SIG, b->signed_part, b->signed_size,
                        b->signature);
}

int
cfc_fresh_builder_init(struct cfc_fresh_builder *b, const struct cfc_fresh *fixed,
                       const struct cfc_fresh_entry *entries, uint32_t entry_count, uint8_t *nodes,
                       const struct cfc_signer *signer, struct cfc_sha256 *sha)
{
    if (entry_count > CFC_FRESH_ENTRIES_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (fixed->epoch == 0) {
        return CONFCAST_ERR_INVALID;
    }
    for (uint32_t i = 1; i < entry_count; i++) {
        if (entries[i].scope_id <= entries[i - 1].scope_id) {
            return CONFCAST_ERR_INVALID;
        }
    }
    *b = (struct cfc_fresh_builder){
        .fixed = *fixed, .entries = entries, .entry_count = entry_count, .nodes = nodes};
    b->fixed.scope_count = entry_count;
    b->fixed.page_count = pages_of(entry_count);
    memcpy(b->fixed.key_id, signer->key_id, sizeof(b->fixed.key_id));
    build_tree(b, sha);
    return sign_fixed(b, signer);
}

static void
write_proof(struct cfc_writer *w, const struct cfc_fresh_builder *b, uint32_t page_index)
{
    const uint8_t *level = b->nodes;
    uint32_t index = page_index;

    for (uint32_t count = b->fixed.page_count; count > 1; count = (count + 1) / 2) {
        if ((index ^ 1) < count) {
            cfc_write_bytes(w, level + (size_t)(index ^ 1) * HASH_SIZE, HASH_SIZE);
        }
        level += (size_t)count * HASH_SIZE;
        index /= 2;
    }
}

int
cfc_fresh_encode_page(const struct cfc_fresh_builder *b, uint32_t page_index, uint8_t *frame,
                      size_t capacity, size_t *size)
{
    struct cfc_writer w = cfc_writer_of(frame, capacity);
    uint32_t entry_count = entries_of_page(b->entry_count, page_index);

    if (page_index >= cfc_fresh_page_count(b->entry_count)) {
        return CONFCAST_ERR_RANGE;
    }
    cfc_frame_begin(&w, CFC_FRAME_FRESH, b->fixed.shard);
    cfc_write_bytes(&w, b->signed_part, b->signed_size);
    cfc_write_bytes(&w, b->signature, sizeof(b->signature));
    cfc_write_u32(&w, page_index);
    cfc_write_u32(&w, b->fixed.page_count);
    cfc_write_u8(&w, (uint8_t)proof_count_of(page_index, b->fixed.page_count));
    cfc_write_u8(&w, (uint8_t)entry_count);
    cfc_write_u16(&w, 0);
    write_proof(&w, b, page_index);
    for (uint32_t i = 0; i < entry_count; i++) {
        write_entry(&w, &b->entries[page_index * CFC_FRESH_PAGE_ENTRIES_MAX + i]);
    }
    return cfc_frame_finish(&w, size);
}
