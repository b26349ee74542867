/* One engine with 100,000 scopes: every head is sent and repeated, FRESH goes round within its
 * sixteen periods with what changed first, a new head does not wait for the others, and the memory
 * is what docs/engine.md says. */
#include "protocol/session/roster.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/sender_fixture.h"

enum {
    CONSUMERS = 1000000,
    SCOPES = 100000,
    ROOM = 131072,
    BYTES_PER_SCOPE_MAX = 512, /* a head of about 220 bytes among them */
    BYTES_PER_CONTENT_MAX = 640
};

static uint64_t allocated;

static void *
count_alloc(void *ctx, size_t size)
{
    (void)ctx;
    allocated += size;
    return malloc(size);
}

static void
count_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static uint64_t
memory_of_all(uint32_t scopes_max, uint32_t contents_max, uint32_t consumers_max)
{
    struct bed bed;
    uint64_t bytes;

    bed_init(&bed);
    bed.config.alloc = (struct cfc_alloc){.alloc = count_alloc, .free = count_free};
    bed.config.scopes_max = scopes_max;
    bed.config.contents_max = contents_max;
    bed.config.consumers_max = consumers_max;
    allocated = 0;
    bed_start(&bed);
    bytes = allocated;
    bed_close(&bed);
    return bytes;
}

static uint64_t
memory_of(uint32_t scopes_max, uint32_t contents_max)
{
    return memory_of_all(scopes_max, contents_max, 1000);
}

static void
a_million_consumers_have_room_in_256_megabytes(void)
{
    uint64_t bytes = memory_of_all(1, 1, CONSUMERS) - memory_of_all(1, 1, 1);

    CU_ASSERT_TRUE(bytes < (uint64_t)256 * 1000 * 1000);
    CU_ASSERT_TRUE(bytes > (uint64_t)CONSUMERS * sizeof(struct cfc_consumer));
    printf("%.1f bytes a consumer ", (double)bytes / CONSUMERS);
}

static void
memory_follows_the_limits_that_are_asked_for(void)
{
    uint64_t least = memory_of(1, 1);

    CU_ASSERT_TRUE(memory_of(ROOM, 1) - least < (uint64_t)ROOM * (BYTES_PER_SCOPE_MAX - 220));
    CU_ASSERT_TRUE(memory_of(1, ROOM) - least < (uint64_t)ROOM * BYTES_PER_CONTENT_MAX);
}

static const char *
scope_name(uint32_t number, char out[32])
{
    snprintf(out, 32, "tenant%u/s%u", number / 100, number);
    return out;
}

static int
by_scope_id(const void *a, const void *b)
{
    const struct cfc_fresh_entry *left = a;
    const struct cfc_fresh_entry *right = b;

    return left->scope_id < right->scope_id ? -1 : left->scope_id > right->scope_id;
}

/* Puts a FRESH period of all scopes; the pages that cover `changed` are the changed ones.  How many
 * pages there are. */
static uint32_t
put_fresh(struct bed *bed, uint64_t sequence, uint64_t changed)
{
    struct cfc_fresh_entry *entries = malloc(SCOPES * sizeof(entries[0]));
    uint8_t *nodes = malloc(cfc_fresh_nodes_size(SCOPES));
    struct cfc_fresh fixed = {
        .epoch = 1, .sequence = sequence, .time_unix_ns = bed->now.unix_ns, .fleet_size = 1000};
    uint8_t bytes[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_fresh_builder builder;
    struct cfc_frame frame;
    struct cfc_fresh page;
    uint32_t count = 0;
    char name[32];
    size_t size;

    CU_ASSERT_PTR_NOT_NULL_FATAL(entries);
    CU_ASSERT_PTR_NOT_NULL_FATAL(nodes);
    for (uint32_t i = 0; i < SCOPES; i++) {
        entries[i] = (struct cfc_fresh_entry){.version = 1};
        entries[i].scope_id = bed_scope_id(bed, scope_name(i, name));
    }
    qsort(entries, SCOPES, sizeof(entries[0]), by_scope_id);
    CU_ASSERT_EQUAL_FATAL(
        cfc_fresh_builder_init(&builder, &fixed, entries, SCOPES, nodes, &bed->signer, bed->sha),
        CONFCAST_OK);
    while (cfc_fresh_encode_page(&builder, count, bytes, sizeof(bytes), &size) == CONFCAST_OK) {
        bool is_changed = false;

        CU_ASSERT_EQUAL_FATAL(cfc_frame_open(bytes, size, &frame), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(cfc_fresh_decode(&frame, &page), CONFCAST_OK);
        for (uint32_t i = 0; i < page.entry_count; i++) {
            struct cfc_fresh_entry entry;

            cfc_fresh_entry_at(&page, i, &entry);
            is_changed = is_changed || entry.scope_id == changed;
        }
        CU_ASSERT_EQUAL_FATAL(cfc_sender_put_fresh(bed->sender, bytes, size, is_changed, &bed->now),
                              CONFCAST_OK);
        count++;
    }
    free(entries);
    free(nodes);
    return count;
}

/* What was sent of each type within `ns`, as an engine would wake up. */
static void
count_types(struct bed *bed, uint64_t ns, uint32_t counts[16])
{
    uint64_t end_ns = bed->now.mono_ns + ns;
    uint8_t header[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_tx tx;

    memset(counts, 0, 16 * sizeof(counts[0]));
    while (bed->now.mono_ns < end_ns) {
        uint64_t due_ns = cfc_sender_deadline(bed->sender);

        while (cfc_sender_poll_frame(bed->sender, &bed->now, header, sizeof(header), &tx) ==
               CONFCAST_OK) {
            counts[header[3] % 16]++;
        }
        due_ns = cfc_sender_deadline(bed->sender);
        due_ns = due_ns < end_ns ? due_ns : end_ns;
        bed_pass(bed, due_ns > bed->now.mono_ns ? due_ns - bed->now.mono_ns : 0);
    }
}

static void
hundred_thousand_scopes_are_sent_repeated_and_swept(void)
{
    struct bed_content *c;
    uint32_t counts[16];
    uint32_t pages;
    char name[32];
    struct bed bed;

    bed_init(&bed);
    bed.config.scopes_max = ROOM;
    bed.config.status_period_ns = 500 * CFC_MS;
    bed_start(&bed);
    c = bed_put_content(&bed, 1, 100, 16);
    for (uint32_t i = 0; i < SCOPES; i++) {
        CU_ASSERT_EQUAL_FATAL(bed_put_head(&bed, scope_name(i, name), 1, 1, &c->id), CONFCAST_OK);
    }
    count_types(&bed, CFC_S, counts);
    CU_ASSERT_EQUAL(counts[CFC_FRAME_HEAD], 5 * SCOPES);
    pages = put_fresh(&bed, 1, 0);
    CU_ASSERT_TRUE(pages > 1000 && pages <= 4096);
    /* The first page is sent at once and each period; the others once within sixteen. */
    count_types(&bed, 16 * 500 * CFC_MS, counts);
    CU_ASSERT_TRUE(counts[CFC_FRAME_FRESH] >= pages && counts[CFC_FRAME_FRESH] <= pages + 40);
    bed_drain(&bed);
    /* One scope changes: its page comes at once, and its head before it. */
    CU_ASSERT_EQUAL(bed_put_head(&bed, scope_name(77777, name), 1, 2, &c->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_fresh(&bed, 2, bed_scope_id(&bed, name)), pages);
    bed_drain_max(&bed, 3);
    CU_ASSERT_EQUAL(sent_type(&bed.sent[0]), CFC_FRAME_HEAD);
    CU_ASSERT_EQUAL(sent_key(&bed.sent[0]), bed_scope_id(&bed, name));
    CU_ASSERT_EQUAL(sent_type(&bed.sent[1]), CFC_FRAME_FRESH);
    CU_ASSERT_EQUAL(sent_type(&bed.sent[2]), CFC_FRAME_FRESH);
    bed_close(&bed);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(memory_follows_the_limits_that_are_asked_for),
    CFC_CASE(a_million_consumers_have_room_in_256_megabytes),
    CFC_CASE(hundred_thousand_scopes_are_sent_repeated_and_swept),
};

CFC_TEST_MAIN("sender_scale", cases)
