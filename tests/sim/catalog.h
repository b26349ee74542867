/* The documents that operators write in the simulator, and the contents that come of them: real
 * bodies, real codings, real digest trees.
 *
 * A document is a number with a few properties; its keys and values follow from it.  The content of
 * a consumer scope is the merge of the tenant's document and the scope's own one.  A content is
 * made once and lives as long as the catalog. */
#ifndef TESTS_SIM_CATALOG_H
#define TESTS_SIM_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/snapshot/coding.h"
#include "protocol/trust/digest.h"
#include "protocol/trust/sign.h"
#include "tests/sim/world.h"

enum {
    SIM_DOCUMENTS_MAX = 256,
    SIM_CONTENTS_MAX = 1024,
    SIM_NO_DOCUMENT = 0,
    SIM_INLINE_SIZE_MAX = 600 /* coded bytes that ride inside of a head */
};

enum sim_document_kind {
    SIM_DOCUMENT_GOOD,
    SIM_DOCUMENT_UNLIKED, /* a valid body that every application's validator refuses */
    SIM_DOCUMENT_BROKEN   /* its body is no valid body, though its digest is right */
};

struct sim_document {
    enum sim_document_kind kind;
    uint32_t entry_count; /* keys */
    uint32_t value_size;  /* bytes of each value; half of them are entropy */
    uint32_t kept_count;  /* of so many values that lie together one is this document's own */
};

/* One way to send a content. */
struct sim_coding {
    struct sim_coding *next;        /* another delta of the content */
    const struct sim_content *base; /* of a delta; NULL = the whole */
    uint8_t *coded;
    size_t coded_size;
    enum cfc_encoding encoding;
    uint8_t *tree;
    size_t tree_size;
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT]; /* CONTENT */
    size_t frame_size;
};

struct sim_content {
    struct cfc_digest id;
    uint64_t key;
    uint32_t tenant_document;
    uint32_t own_document;
    enum sim_document_kind kind;
    uint8_t *body;
    size_t body_size;
    struct sim_coding whole;
    struct sim_coding *deltas;
    bool is_inline; /* the whole is */
};

struct sim_catalog {
    struct cfc_sha256 *sha;
    struct cfc_coder *coder;
    struct sim_counter memory;
    const struct cfc_signer *signer;
    struct sim_document documents[SIM_DOCUMENTS_MAX];
    uint32_t document_count; /* 0 is no document */
    struct sim_content *contents[SIM_CONTENTS_MAX];
    uint32_t content_count;
};

void sim_catalog_init(struct sim_catalog *catalog, const struct cfc_signer *signer);
void sim_catalog_close(struct sim_catalog *catalog);

/* A new document; its number. */
uint32_t sim_catalog_write(struct sim_catalog *catalog, enum sim_document_kind kind,
                           uint32_t entry_count, uint32_t value_size);

/* The content of two documents, either of which may be SIM_NO_DOCUMENT. */
const struct sim_content *sim_catalog_content(struct sim_catalog *catalog, uint32_t tenant_document,
                                              uint32_t own_document);

/* The delta of a content against another one, made once; NULL when it is not worth it. */
const struct sim_coding *sim_catalog_delta(struct sim_catalog *catalog,
                                           const struct sim_content *content,
                                           const struct sim_content *base);

/* The content with this name, or NULL. */
const struct sim_content *sim_catalog_find(const struct sim_catalog *catalog,
                                           const struct cfc_digest *id);

/* Computes the body once more as somebody else would who met the keys in the opposite order, and
 * says whether it has the same name (invariant 3). */
bool sim_catalog_recompute(struct sim_catalog *catalog, const struct sim_content *content);

#endif
