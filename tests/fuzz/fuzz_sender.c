/* A sender under frames from anybody and from consumers with a session, in any order and at any
 * time, while contents and heads come and go.  Whatever comes: every frame it gives is well formed
 * and fits the port, an unproven address gets no more bytes than it sent, memory in flight is given
 * back, and a sender that has nothing to send now is not due now.
 *
 * The input is a script: a byte says what is done, the next bytes how. */
#include "tests/fuzz/target.h"
#include "tests/unit/sender_fixture.h"

enum {
    CONSUMERS = 4,
    STRANGERS = 4,
    STEPS_MAX = 400
};

struct world {
    struct bed bed;
    struct bed_consumer consumers[CONSUMERS];
    uint64_t version;
    /* Bytes of addresses that never finished a handshake. */
    struct cfc_address strangers[STRANGERS];
    size_t stranger_in[STRANGERS];
    size_t stranger_out[STRANGERS];
    /* Payload that has not left yet. */
    uint32_t in_flight[BED_CONTENTS_MAX];
};

static void
open_world(struct world *w)
{
    memset(w, 0, sizeof(*w));
    bed_init(&w->bed);
    w->bed.config.rate_bytes = 1000000;
    w->bed.config.repair_rate_bytes = 500000;
    w->bed.config.consumers_max = CONSUMERS + 1;
    bed_start(&w->bed);
    for (uint32_t i = 0; i < CONSUMERS; i++) {
        consumer_init(&w->bed, &w->consumers[i], i + 1);
        consumer_join(&w->bed, &w->consumers[i]);
    }
    for (uint32_t i = 0; i < STRANGERS; i++) {
        w->strangers[i] = cfc_address_ipv4(0xc0a80001 + i, 1);
    }
    for (uint8_t i = 0; i < 3; i++) {
        bed_put_content(&w->bed, (uint8_t)(i + 1), 300 + i * 30000u, (uint8_t)(1 + i * 13));
    }
    w->version = 1;
    bed_put_head(&w->bed, "acme/web", 1, w->version, &w->bed.contents[0].id);
    bed_put_fresh_page(&w->bed, 0, 1, 5, 90, 0, true);
}

static void
check_frame(struct world *w, const struct cfc_tx *tx, const uint8_t *header)
{
    size_t size = tx->header_size + tx->payload_size;
    uint8_t bytes[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_frame frame;

    CFC_FUZZ_CHECK(size <= w->bed.config.frame_size_max);
    memcpy(bytes, header, tx->header_size);
    if (tx->payload_size > 0) {
        memcpy(bytes + tx->header_size, tx->payload, tx->payload_size);
    }
    CFC_FUZZ_CHECK(cfc_frame_open(bytes, size, &frame) == CONFCAST_OK);
    CFC_FUZZ_CHECK((tx->payload != NULL) == (tx->slot != CFC_SENDER_NO_SLOT));
    if (tx->is_multicast) {
        CFC_FUZZ_CHECK(tx->group <= BED_CONTROL_GROUP);
        return;
    }
    for (uint32_t i = 0; i < STRANGERS; i++) {
        if (cfc_address_equal(&tx->to, &w->strangers[i])) {
            w->stranger_out[i] += size;
            CFC_FUZZ_CHECK(w->stranger_out[i] <= w->stranger_in[i]);
        }
    }
}

static void
poll_frames(struct world *w, uint32_t count)
{
    uint8_t header[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_tx tx;

    while (count-- > 0) {
        if (cfc_sender_poll_frame(w->bed.sender, &w->bed.now, header, sizeof(header), &tx) !=
            CONFCAST_OK) {
            CFC_FUZZ_CHECK(cfc_sender_deadline(w->bed.sender) > w->bed.now.mono_ns);
            return;
        }
        check_frame(w, &tx, header);
        if (tx.slot != CFC_SENDER_NO_SLOT) {
            CFC_FUZZ_CHECK(tx.slot < BED_CONTENTS_MAX);
            w->in_flight[tx.slot]++;
        }
    }
}

static void
return_payload(struct world *w)
{
    for (uint32_t i = 0; i < BED_CONTENTS_MAX; i++) {
        cfc_sender_payload_done(w->bed.sender, i, w->in_flight[i]);
        w->in_flight[i] = 0;
    }
}

static void
poll_upcalls(struct world *w)
{
    struct cfc_upcall up;

    while (cfc_sender_poll_upcall(w->bed.sender, &up) == CONFCAST_OK) {
        struct cfc_frame frame;

        if (up.type == CFC_UPCALL_RELEASED) {
            CFC_FUZZ_CHECK(up.slot < BED_CONTENTS_MAX && w->in_flight[up.slot] == 0);
            continue;
        }
        CFC_FUZZ_CHECK(cfc_frame_open(up.frame, up.frame_size, &frame) == CONFCAST_OK);
        CFC_FUZZ_CHECK(frame.key == cfc_consumer_key(w->bed.sha, up.id, up.id_size));
    }
}

/* The bytes as they are, from somebody who proved nothing. */
static void
give_raw(struct world *w, struct cfc_reader *r)
{
    uint32_t from = cfc_read_u8(r) % STRANGERS;
    size_t size = cfc_read_u16(r) % (CFC_FRAME_SIZE_DEFAULT + 1);
    const uint8_t *bytes;

    size = size < cfc_reader_left(r) ? size : cfc_reader_left(r);
    bytes = cfc_read_bytes(r, size);
    w->stranger_in[from] += size;
    cfc_sender_on_frame(w->bed.sender, bytes, size, &w->strangers[from], &w->bed.now);
}

/* Any type and any message under a valid header and trailer. */
static void
give_sealed(struct world *w, struct cfc_reader *r)
{
    struct bed_consumer *c = &w->consumers[cfc_read_u8(r) % CONSUMERS];
    struct cfc_writer writer = cfc_writer_of(c->frame, sizeof(c->frame));
    size_t size;

    cfc_frame_begin(&writer, (enum cfc_frame_type)(16 + cfc_read_u8(r) % 3), c->key);
    size = cfc_read_u16(r) % 1400;
    size = size < cfc_reader_left(r) ? size : cfc_reader_left(r);
    cfc_write_bytes(&writer, cfc_read_bytes(r, size), size);
    if (cfc_trailer_seal(&writer, c->session, ++c->seq, &c->session_key, &c->address, &c->size) ==
        CONFCAST_OK) {
        consumer_give(&w->bed, c);
    }
}

/* Entries whose fields are near what the sender holds. */
static void
give_nack(struct world *w, struct cfc_reader *r)
{
    static const char *const scopes[] = {"acme/web", "acme/db"};
    struct bed_consumer *c = &w->consumers[cfc_read_u8(r) % CONSUMERS];
    struct cfc_nack_entry entries[8];
    uint16_t count = (uint16_t)(1 + cfc_read_u8(r) % 8);

    for (uint16_t i = 0; i < count; i++) {
        uint8_t want = (uint8_t)(1 + cfc_read_u8(r) % 5);
        uint8_t which = cfc_read_u8(r);
        uint8_t number = cfc_read_u8(r);
        struct cfc_nack_entry *e = &entries[i];

        *e = (struct cfc_nack_entry){.want = want};
        if (want == CFC_WANT_HEAD) {
            e->key = bed_scope_id(&w->bed, scopes[which % 2]);
            e->mask = number;
        } else if (want == CFC_WANT_FRESH) {
            e->key = which % 3;
            e->mask = number * 8;
        } else {
            e->key = cfc_digest_key(&w->bed.contents[which % 3].id);
            e->coding = want == CFC_WANT_CONTENT ? 0 : 1 + which / 200;
            e->index = want == CFC_WANT_CONTENT ? 0 : number;
        }
        if (want == CFC_WANT_SYMBOLS) {
            e->mask = cfc_read_u64(r);
            e->count = (uint16_t)(e->mask != 0 ? __builtin_popcountll(e->mask) : 1 + number % 64);
        }
        if (want == CFC_WANT_PAGE) {
            e->level = which % 3;
        }
    }
    consumer_nack(&w->bed, c, entries, count);
}

static void
give_hello(struct world *w, struct cfc_reader *r)
{
    struct bed_consumer *c = &w->consumers[cfc_read_u8(r) % CONSUMERS];
    uint8_t how = cfc_read_u8(r);
    struct bed_consumer hello = *c;

    hello.nonce[0] = how;
    hello.incarnation += how % 3;
    hello.credential_key.bytes[0] ^= how >= 250;
    consumer_hello(&w->bed, &hello);
    if (how % 4 != 0) {
        /* Its session from now on; what was drained meanwhile is of no interest. */
        uint32_t count = consumer_take_welcome(&w->bed, &hello);

        if (count > 0 && hello.welcome.kind == CFC_WELCOME_ACCEPT) {
            *c = hello;
        }
    }
}

static void
do_as_control_plane(struct world *w, struct cfc_reader *r)
{
    uint8_t how = cfc_read_u8(r);
    struct bed_content *content = &w->bed.contents[how % 3];

    switch (how / 3 % 7) {
    case 0:
        cfc_sender_drop_content(w->bed.sender, &content->id);
        break;
    case 1:
        bed_put_made(&w->bed, content, how >= 128);
        break;
    case 2:
        bed_put_head(&w->bed, how >= 128 ? "acme/web" : "acme/db", 1, ++w->version, &content->id);
        break;
    case 3:
        cfc_sender_drop_head(w->bed.sender, bed_scope_id(&w->bed, "acme/web"));
        break;
    case 4:
        for (uint32_t page = 0; page < 3; page++) {
            bed_put_fresh_page(&w->bed, how >= 128, 1, w->version, 90, page, how % 2 == page);
        }
        break;
    case 5:
        cfc_sender_ask_reports(w->bed.sender, &w->bed.now);
        break;
    default:
        cfc_sender_set_shard(w->bed.sender, how % 2, 1, how * 1000);
        break;
    }
}

static void
do_step(struct world *w, struct cfc_reader *r)
{
    switch (cfc_read_u8(r) % 10) {
    case 0:
        give_raw(w, r);
        break;
    case 1:
        give_sealed(w, r);
        break;
    case 2:
    case 3:
        give_nack(w, r);
        break;
    case 4:
        consumer_report(&w->bed, &w->consumers[cfc_read_u8(r) % CONSUMERS], cfc_read_u8(r), 10);
        break;
    case 5:
        give_hello(w, r);
        break;
    case 6:
        do_as_control_plane(w, r);
        break;
    case 7:
        bed_pass(&w->bed, cfc_read_u16(r) * 10 * CFC_US);
        break;
    case 8:
        poll_frames(w, cfc_read_u8(r));
        return_payload(w);
        break;
    default:
        poll_upcalls(w);
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct cfc_reader r = cfc_reader_of(bytes, size);
    struct world *w = malloc(sizeof(*w));

    CFC_FUZZ_CHECK(w != NULL);
    open_world(w);
    for (uint32_t step = 0; step < STEPS_MAX && cfc_reader_left(&r) > 0; step++) {
        do_step(w, &r);
    }
    bed_pass(&w->bed, CFC_S);
    poll_frames(w, 20000);
    return_payload(w);
    poll_upcalls(w);
    bed_close(&w->bed);
    free(w);
    return 0;
}
