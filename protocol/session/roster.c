#include "protocol/session/roster.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"

#define DOMAIN_ENGINE_NONCE "confcast/v1/engine-nonce"

int
cfc_roster_init(struct cfc_roster *roster, const struct cfc_roster_config *config,
                const struct cfc_alloc *alloc)
{
    uint32_t count = config->consumer_count_max;

    memset(roster, 0, sizeof(*roster));
    roster->config = *config;
    roster->consumers = cfc_alloc(alloc, count * sizeof(roster->consumers[0]));
    roster->links = cfc_alloc(alloc, count * sizeof(roster->links[0]));
    roster->echo_links = cfc_alloc(alloc, count * sizeof(roster->echo_links[0]));
    cfc_slot_list_init(&roster->known);
    cfc_slot_list_init(&roster->echoes);
    if (roster->consumers == NULL || roster->links == NULL || roster->echo_links == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    return cfc_key_map_init(&roster->by_key, count, config->seed, alloc);
}

void
cfc_roster_free(struct cfc_roster *roster, const struct cfc_alloc *alloc)
{
    cfc_free(alloc, roster->consumers);
    cfc_free(alloc, roster->links);
    cfc_free(alloc, roster->echo_links);
    cfc_key_map_free(&roster->by_key, alloc);
}

static bool
is_alive(const struct cfc_consumer *c, uint64_t now_ns)
{
    return now_ns - c->heard_ns < CFC_CONSUMER_IDLE_NS;
}

static uint64_t
newest_incarnation(const struct cfc_consumer *c)
{
    return c->pending.id != 0 && c->pending.incarnation > c->current.incarnation
               ? c->pending.incarnation
               : c->current.incarnation;
}

int
cfc_roster_check(const struct cfc_roster *roster, const struct cfc_hello *hello,
                 const struct cfc_address *from, uint64_t now_ns)
{
    uint32_t slot = cfc_key_map_get(&roster->by_key, hello->consumer_key);
    const struct cfc_consumer *c;

    if (slot == CFC_SLOT_NONE) {
        bool has_room = roster->used_count < roster->config.consumer_count_max ||
                        !is_alive(&roster->consumers[roster->known.head], now_ns);

        return has_room ? CONFCAST_OK : CONFCAST_ERR_LIMIT;
    }
    c = &roster->consumers[slot];
    if (c->id_size != hello->id_size || memcmp(c->id, hello->id, hello->id_size) != 0) {
        return CONFCAST_ERR_COLLISION;
    }
    if (!is_alive(c, now_ns)) {
        return CONFCAST_OK;
    }
    if (hello->incarnation < newest_incarnation(c)) {
        return CONFCAST_ERR_EXISTS;
    }
    if (hello->incarnation == c->current.incarnation && cfc_address_equal(from, &c->left_address)) {
        return CONFCAST_ERR_EXISTS;
    }
    return CONFCAST_OK;
}

static bool
is_of_hello(const struct cfc_consumer_session *session, const struct cfc_hello *hello,
            const struct cfc_address *from)
{
    return session->id != 0 && session->incarnation == hello->incarnation &&
           cfc_address_equal(&session->address, from) &&
           memcmp(session->hello_nonce, hello->nonce, CFC_NONCE_SIZE) == 0;
}

uint32_t
cfc_roster_find_hello(const struct cfc_roster *roster, const struct cfc_hello *hello,
                      const struct cfc_address *from, const struct cfc_consumer_session **session)
{
    uint32_t slot = cfc_key_map_get(&roster->by_key, hello->consumer_key);
    const struct cfc_consumer *c;

    if (slot == CFC_SLOT_NONE) {
        return CFC_SLOT_NONE;
    }
    c = &roster->consumers[slot];
    if (is_of_hello(&c->pending, hello, from)) {
        *session = &c->pending;
        return slot;
    }
    if (is_of_hello(&c->current, hello, from)) {
        *session = &c->current;
        return slot;
    }
    return CFC_SLOT_NONE;
}

static void
clear_echo(struct cfc_roster *roster, uint32_t slot)
{
    if (roster->consumers[slot].has_echo) {
        cfc_slot_list_remove(&roster->echoes, roster->echo_links, slot);
        roster->consumers[slot].has_echo = false;
    }
}

/* A slot for a new consumer: a new one, or that of the consumer that has been silent longest. */
static uint32_t
take_slot(struct cfc_roster *roster)
{
    uint32_t generation = 0;
    uint32_t slot;

    if (roster->used_count < roster->config.consumer_count_max) {
        slot = roster->used_count++;
    } else {
        slot = cfc_slot_list_pop(&roster->known, roster->links);
        clear_echo(roster, slot);
        cfc_key_map_remove(&roster->by_key, roster->consumers[slot].key);
        generation = roster->consumers[slot].generation;
        roster->evicted++;
    }
    roster->consumers[slot] = (struct cfc_consumer){.generation = generation};
    cfc_slot_list_push(&roster->known, roster->links, slot);
    return slot;
}

static void
touch(struct cfc_roster *roster, uint32_t slot, uint64_t now_ns)
{
    roster->consumers[slot].heard_ns = now_ns;
    cfc_slot_list_remove(&roster->known, roster->links, slot);
    cfc_slot_list_push(&roster->known, roster->links, slot);
}

/* The next session id of a slot: the slot is its remainder, and it is never 0. */
static uint32_t
next_session_id(struct cfc_roster *roster, uint32_t slot)
{
    uint32_t count = roster->config.consumer_count_max;
    struct cfc_consumer *c = &roster->consumers[slot];

    c->generation++;
    if (c->generation > UINT32_MAX / count - 1) {
        c->generation = 1;
    }
    return c->generation * count + slot;
}

static void
open_pending(struct cfc_roster *roster, uint32_t slot, const struct cfc_hello *hello,
             const struct cfc_key *credential_key, const struct cfc_address *from)
{
    struct cfc_consumer_session *session = &roster->consumers[slot].pending;
    struct cfc_piece piece = {&roster->nonce_count, sizeof(roster->nonce_count)};
    struct cfc_mac nonce;

    roster->nonce_count++;
    cfc_mac_make(&roster->config.nonce_key, DOMAIN_ENGINE_NONCE, &piece, 1, &nonce);
    *session = (struct cfc_consumer_session){
        .id = next_session_id(roster, slot), .incarnation = hello->incarnation, .address = *from};
    memcpy(session->hello_nonce, hello->nonce, CFC_NONCE_SIZE);
    memcpy(session->engine_nonce, nonce.bytes, CFC_NONCE_SIZE);
    cfc_session_key(credential_key, session->hello_nonce, session->engine_nonce,
                    roster->config.boot_id, &session->key);
}

uint32_t
cfc_roster_admit(struct cfc_roster *roster, const struct cfc_hello *hello,
                 const struct cfc_key *credential_key, const struct cfc_address *from,
                 uint64_t now_ns)
{
    uint32_t slot = cfc_key_map_get(&roster->by_key, hello->consumer_key);

    if (slot == CFC_SLOT_NONE) {
        struct cfc_consumer *c;

        slot = take_slot(roster);
        c = &roster->consumers[slot];
        c->key = hello->consumer_key;
        c->id_size = hello->id_size;
        memcpy(c->id, hello->id, hello->id_size);
        cfc_pacer_init(&c->repair_budget, roster->config.repair_rate, roster->config.repair_burst,
                       now_ns);
        cfc_pacer_init(&c->report_budget, CFC_REPORT_RATE, CFC_REPORT_BURST, now_ns);
        cfc_key_map_put(&roster->by_key, c->key, slot);
    }
    open_pending(roster, slot, hello, credential_key, from);
    touch(roster, slot, now_ns);
    return slot;
}

/* Whether a sequence number is new to the session; takes note of it when it is. */
static bool
note_seq(struct cfc_consumer_session *session, uint64_t seq)
{
    uint64_t age;

    if (seq > session->seq_top) {
        uint64_t step = seq - session->seq_top;

        session->seq_seen = step < CFC_REPLAY_WINDOW ? session->seq_seen << step : 0;
        session->seq_seen |= 1;
        session->seq_top = seq;
        return true;
    }
    age = session->seq_top - seq;
    if (age >= CFC_REPLAY_WINDOW || (session->seq_seen >> age & 1) != 0) {
        return false;
    }
    session->seq_seen |= UINT64_C(1) << age;
    return true;
}

static void
make_current(struct cfc_roster *roster, uint32_t slot)
{
    struct cfc_consumer *c = &roster->consumers[slot];

    if (c->current.id != 0 && c->current.incarnation == c->pending.incarnation &&
        !cfc_address_equal(&c->current.address, &c->pending.address)) {
        c->left_address = c->current.address;
    }
    if (c->current.incarnation != c->pending.incarnation) {
        clear_echo(roster, slot);
        c->report_seq = 0;
        c->report_parts = 0;
        c->left_address = (struct cfc_address){.port = 0};
        c->groups = 0;
    }
    c->current = c->pending;
    c->pending = (struct cfc_consumer_session){.id = 0};
}

int
cfc_roster_open(struct cfc_roster *roster, const struct cfc_frame *frame,
                const struct cfc_address *from, uint64_t now_ns, uint32_t *slot)
{
    struct cfc_consumer_session *session;
    struct cfc_trailer trailer;
    struct cfc_consumer *c;
    int code = cfc_trailer_read(frame, &trailer);

    if (code != CONFCAST_OK) {
        return code;
    }
    if (trailer.session == 0) {
        return CONFCAST_ERR_MAC;
    }
    *slot = trailer.session % roster->config.consumer_count_max;
    if (*slot >= roster->used_count) {
        return CONFCAST_ERR_MAC;
    }
    c = &roster->consumers[*slot];
    session = trailer.session == c->pending.id ? &c->pending : &c->current;
    if (session->id != trailer.session || c->key != frame->key ||
        !cfc_address_equal(&session->address, from)) {
        return CONFCAST_ERR_MAC;
    }
    code = cfc_trailer_check(frame, &session->key, from);
    if (code != CONFCAST_OK) {
        return code;
    }
    if (!note_seq(session, trailer.seq)) {
        return CONFCAST_ERR_REPLAY;
    }
    if (session == &c->pending) {
        make_current(roster, *slot);
    }
    touch(roster, *slot, now_ns);
    return CONFCAST_OK;
}

bool
cfc_roster_is_session(const struct cfc_roster *roster, uint32_t slot, uint32_t session)
{
    return session != 0 && roster->consumers[slot].current.id == session;
}

void
cfc_roster_mirror(struct cfc_roster *roster, uint32_t slot, uint64_t consumer_key, uint32_t session,
                  const struct cfc_address *address, uint32_t groups, uint64_t now_ns)
{
    struct cfc_consumer *c = &roster->consumers[slot];

    assert(slot < roster->config.consumer_count_max);
    while (roster->used_count <= slot) {
        roster->consumers[roster->used_count++] = (struct cfc_consumer){.key = 0};
    }
    if (c->current.id == 0 || c->key != consumer_key) {
        *c = (struct cfc_consumer){.key = consumer_key};
        cfc_pacer_init(&c->repair_budget, roster->config.repair_rate, roster->config.repair_burst,
                       now_ns);
    }
    c->current.id = session;
    c->current.address = *address;
    c->groups = groups;
}

void
cfc_roster_note_report(struct cfc_roster *roster, uint32_t slot, const struct cfc_report *report)
{
    struct cfc_consumer *c = &roster->consumers[slot];
    uint64_t whole = report->part_count < CFC_REPORT_PARTS_MAX
                         ? (UINT64_C(1) << report->part_count) - 1
                         : UINT64_MAX;

    assert(report->part < CFC_REPORT_PARTS_MAX && report->part_count <= CFC_REPORT_PARTS_MAX);
    if (report->report_seq != c->report_seq) {
        clear_echo(roster, slot);
        c->report_seq = report->report_seq;
        c->report_parts = 0;
    }
    c->report_parts |= UINT64_C(1) << report->part;
    if (c->report_parts == whole && !c->has_echo) {
        c->has_echo = true;
        cfc_slot_list_push(&roster->echoes, roster->echo_links, slot);
    }
}

void
cfc_roster_refuse_report(struct cfc_roster *roster, uint32_t slot, const struct cfc_report *report)
{
    if (report->report_seq == roster->consumers[slot].report_seq) {
        roster->consumers[slot].report_parts &= ~(UINT64_C(1) << report->part);
        clear_echo(roster, slot);
    }
}

void
cfc_roster_forget_reports(struct cfc_roster *roster)
{
    for (uint32_t i = 0; i < roster->used_count; i++) {
        roster->consumers[i].report_parts = 0;
        clear_echo(roster, i);
    }
}

uint32_t
cfc_roster_take_echo(struct cfc_roster *roster)
{
    uint32_t slot = roster->echoes.head;

    if (slot != CFC_SLOT_NONE) {
        clear_echo(roster, slot);
    }
    return slot;
}
