/* Decodes a frame of any type and encodes what came out.  The signature is taken over from the
 * frame, MACs are made with the keys of the fixture. */
#ifndef CFC_TESTS_WIRE_RECODE_H
#define CFC_TESTS_WIRE_RECODE_H

#include "tests/unit/wire_fixture.h"

struct recoded {
    uint8_t bytes[CFC_FRAME_SIZE_MAX];
    size_t size;
};

/* A signer that gives the signature of the decoded frame again. */
static inline int
sign_again(void *ctx, const char *domain, const uint8_t *bytes, size_t size,
           uint8_t signature[CFC_SIGNATURE_SIZE])
{
    (void)domain;
    (void)bytes;
    (void)size;
    memcpy(signature, ctx, CFC_SIGNATURE_SIZE);
    return CONFCAST_OK;
}

static inline struct cfc_signer
signer_again(const uint8_t *signature, const uint8_t key_id[CFC_KEY_ID_SIZE])
{
    struct cfc_signer signer = {.sign = sign_again, .ctx = (void *)(uintptr_t)signature};

    memcpy(signer.key_id, key_id, sizeof(signer.key_id));
    return signer;
}

static inline int
recode_head(const struct fixture *f, const struct cfc_frame *frame, struct recoded *out)
{
    struct cfc_head head;
    struct cfc_signer signer;
    int rc = cfc_head_decode(frame, f->sha, &head);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    signer = signer_again(head.signature, head.key_id);
    return cfc_head_encode(&head, &signer, f->sha, out->bytes, sizeof(out->bytes), &out->size);
}

static inline int
recode_content(const struct cfc_frame *frame, struct recoded *out)
{
    struct cfc_content content;
    struct cfc_signer signer;
    int rc = cfc_content_decode(frame, &content);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    signer = signer_again(content.signature, content.key_id);
    return cfc_content_encode(&content, &signer, out->bytes, sizeof(out->bytes), &out->size);
}

static inline int
recode_page(const struct cfc_frame *frame, struct recoded *out)
{
    struct cfc_page page;
    int rc = cfc_page_decode(frame, &page);

    return rc == CONFCAST_OK
               ? cfc_page_encode(frame->key, &page, out->bytes, sizeof(out->bytes), &out->size)
               : rc;
}

static inline int
recode_hello(const struct fixture *f, const struct cfc_frame *frame, struct recoded *out)
{
    struct cfc_hello hello;
    int rc = cfc_hello_decode(frame, f->sha, &hello);

    return rc == CONFCAST_OK ? cfc_hello_encode(&hello, &f->credential_key, out->bytes,
                                                sizeof(out->bytes), &out->size)
                             : rc;
}

static inline int
recode_welcome(const struct fixture *f, const struct cfc_frame *frame, struct recoded *out)
{
    struct cfc_welcome welcome;
    int rc = cfc_welcome_decode(frame, &welcome);

    return rc == CONFCAST_OK ? cfc_welcome_encode(&welcome, &f->credential_key, out->bytes,
                                                  sizeof(out->bytes), &out->size)
                             : rc;
}

static inline int
recode_status(const struct cfc_frame *frame, struct recoded *out)
{
    struct cfc_echo echoes[CFC_STATUS_ECHOES_MAX];
    struct cfc_status status;
    int rc = cfc_status_decode(frame, &status);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    for (uint32_t i = 0; i < status.echo_count; i++) {
        cfc_status_echo_at(&status, i, &echoes[i]);
    }
    return cfc_status_encode(&status, echoes, out->bytes, sizeof(out->bytes), &out->size);
}

static inline int
recode_report(const struct fixture *f, const struct cfc_frame *frame, struct recoded *out)
{
    struct cfc_report_entry entries[CFC_REPORT_ENTRIES_MAX];
    struct cfc_writer w = cfc_writer_of(out->bytes, sizeof(out->bytes));
    struct cfc_trailer trailer;
    struct cfc_report report;
    int rc = cfc_report_decode(frame, &report);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    for (uint32_t i = 0; i < report.entry_count; i++) {
        cfc_report_entry_at(&report, i, &entries[i]);
    }
    rc = cfc_report_write(&w, &report, entries, FIXTURE_CONSUMER, sizeof(FIXTURE_CONSUMER) - 1,
                          &f->report_key);
    cfc_trailer_read(frame, &trailer);
    return rc == CONFCAST_OK ? cfc_trailer_seal(&w, trailer.session, trailer.seq, &f->session_key,
                                                &f->address, &out->size)
                             : rc;
}

static inline int
recode_nack(const struct fixture *f, const struct cfc_frame *frame, struct recoded *out)
{
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    struct cfc_writer w = cfc_writer_of(out->bytes, sizeof(out->bytes));
    struct cfc_trailer trailer;
    struct cfc_nack nack;
    int rc = cfc_nack_decode(frame, &nack);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    for (uint32_t i = 0; i < nack.entry_count; i++) {
        cfc_nack_entry_at(&nack, i, &entries[i]);
    }
    rc = cfc_nack_write(&w, nack.consumer_key, entries, nack.entry_count);
    cfc_trailer_read(frame, &trailer);
    return rc == CONFCAST_OK ? cfc_trailer_seal(&w, trailer.session, trailer.seq, &f->session_key,
                                                &f->address, &out->size)
                             : rc;
}

static inline int
recode_loss(const struct fixture *f, const struct cfc_frame *frame, struct recoded *out)
{
    struct cfc_writer w = cfc_writer_of(out->bytes, sizeof(out->bytes));
    struct cfc_trailer trailer;
    struct cfc_loss loss;
    int rc = cfc_loss_decode(frame, &loss);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    rc = cfc_loss_write(&w, &loss);
    cfc_trailer_read(frame, &trailer);
    return rc == CONFCAST_OK ? cfc_trailer_seal(&w, trailer.session, trailer.seq, &f->session_key,
                                                &f->address, &out->size)
                             : rc;
}

static inline int
recode_advice(const struct fixture *f, const struct cfc_frame *frame, struct recoded *out)
{
    struct cfc_advice advice;
    int rc = cfc_advice_decode(frame, &advice);

    return rc == CONFCAST_OK ? cfc_advice_encode(&advice, &f->session_key, out->bytes,
                                                 sizeof(out->bytes), &out->size)
                             : rc;
}

static inline int
recode_gone(const struct cfc_frame *frame, struct recoded *out)
{
    struct cfc_gone gone;
    int rc = cfc_gone_decode(frame, &gone);

    return rc == CONFCAST_OK ? cfc_gone_encode(&gone, out->bytes, sizeof(out->bytes), &out->size)
                             : rc;
}

static inline int
recode_symbol(const struct cfc_frame *frame, struct recoded *out)
{
    struct cfc_symbol symbol;
    int rc = cfc_symbol_decode(frame, &symbol);

    if (rc == CONFCAST_OK) {
        cfc_symbol_header(frame->key, symbol.coding, symbol.block, symbol.index, symbol.size,
                          out->bytes);
        memcpy(out->bytes + CFC_SYMBOL_HEADER_SIZE, symbol.bytes, symbol.size);
        out->size = CFC_SYMBOL_HEADER_SIZE + symbol.size;
    }
    return rc;
}

static inline int
recode_fresh(const struct fixture *f, const struct cfc_frame *frame, struct recoded *out)
{
    struct cfc_fresh_entry entries[CFC_FRESH_PAGE_ENTRIES_MAX];
    uint8_t nodes[CFC_SHORT_DIGEST_SIZE];
    struct cfc_fresh_builder builder;
    struct cfc_signer signer;
    struct cfc_fresh fresh;
    int rc = cfc_fresh_decode(frame, &fresh);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    if (fresh.page_count > 1 || cfc_fresh_check_page(&fresh, f->sha) != CONFCAST_OK) {
        return CONFCAST_ERR_DIGEST; /* the other pages are not here, or the root names others */
    }
    signer = signer_again(fresh.signature, fresh.key_id);
    for (uint32_t i = 0; i < fresh.entry_count; i++) {
        cfc_fresh_entry_at(&fresh, i, &entries[i]);
    }
    rc = cfc_fresh_builder_init(&builder, &fresh, entries, fresh.entry_count, nodes, &signer,
                                f->sha);
    return rc == CONFCAST_OK
               ? cfc_fresh_encode_page(&builder, 0, out->bytes, sizeof(out->bytes), &out->size)
               : rc;
}

static inline int
recode(const struct fixture *f, const struct cfc_frame *frame, struct recoded *out)
{
    switch (frame->type) {
    case CFC_FRAME_HEAD:
        return recode_head(f, frame, out);
    case CFC_FRAME_CONTENT:
        return recode_content(frame, out);
    case CFC_FRAME_PAGE:
        return recode_page(frame, out);
    case CFC_FRAME_SYMBOL:
        return recode_symbol(frame, out);
    case CFC_FRAME_FRESH:
        return recode_fresh(f, frame, out);
    case CFC_FRAME_STATUS:
        return recode_status(frame, out);
    case CFC_FRAME_WELCOME:
        return recode_welcome(f, frame, out);
    case CFC_FRAME_GONE:
        return recode_gone(frame, out);
    case CFC_FRAME_HELLO:
        return recode_hello(f, frame, out);
    case CFC_FRAME_REPORT:
        return recode_report(f, frame, out);
    case CFC_FRAME_LOSS:
        return recode_loss(f, frame, out);
    case CFC_FRAME_ADVICE:
        return recode_advice(f, frame, out);
    default:
        return recode_nack(f, frame, out);
    }
}

#endif
