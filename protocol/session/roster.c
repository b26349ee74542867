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
    roster->alloc = *alloc;
    roster->repair_limit = cfc_bucket_limit(config->repair_rate, config->repair_burst);
    roster->report_limit = cfc_bucket_limit(CFC_REPORT_RATE, CFC_REPORT_BURST);
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

/* Gives back what lies outside of the table. */
static void
clear_consumer(struct cfc_roster *roster, struct cfc_consumer *c)
{
    cfc_free(&roster->alloc, c->pending);
    if (c->id_size > CFC_ROSTER_ID_NEAR) {
        cfc_free(&roster->alloc, c->id.far);
    }
    *c = (struct cfc_consumer){.generation = c->generation};
}

void
cfc_roster_free(struct cfc_roster *roster, const struct cfc_alloc *alloc)
{
    for (uint32_t i = 0; i < roster->used_count; i++) {
        clear_consumer(roster, &roster->consumers[i]);
    }
    cfc_free(alloc, roster->consumers);
    cfc_free(alloc, roster->links);
    cfc_free(alloc, roster->echo_links);
    cfc_key_map_free(&roster->by_key, alloc);
}

const char *
cfc_roster_id(const struct cfc_consumer *consumer)
{
    return consumer->id_size > CFC_ROSTER_ID_NEAR ? consumer->id.far : consumer->id.near;
}

void
cfc_roster_engine_nonce(const struct cfc_roster *roster, const struct cfc_consumer_session *session,
                        uint8_t nonce[CFC_NONCE_SIZE])
{
    struct cfc_piece piece = {&session->nonce_count, sizeof(session->nonce_count)};
    struct cfc_mac mac;

    cfc_mac_make(&roster->config.nonce_key, DOMAIN_ENGINE_NONCE, &piece, 1, &mac);
    memcpy(nonce, mac.bytes, CFC_NONCE_SIZE);
}

static uint64_t
tag_of(const uint8_t nonce[CFC_NONCE_SIZE])
{
    uint64_t tag;

    memcpy(&tag, nonce, sizeof(tag));
    return tag;
}

/* Never 0.  The seed is secret, so nobody finds two addresses that are taken for one; who moves by
 * chance to such a one is refused until its next start. */
static uint32_t
hash_of(const struct cfc_roster *roster, const struct cfc_address *address)
{
    uint64_t words[3] = {0, 0, address->port};
    uint64_t h = roster->config.seed;

    memcpy(words, address->ip, sizeof(address->ip));
    for (int i = 0; i < 3; i++) {
        h = (h ^ words[i]) * UINT64_C(0xff51afd7ed558ccd);
        h = (h ^ (h >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
        h ^= h >> 33;
    }
    return (uint32_t)h != 0 ? (uint32_t)h : 1;
}

static bool
is_alive(const struct cfc_consumer *c, uint64_t now_ns)
{
    return now_ns - c->heard_ns < CFC_CONSUMER_IDLE_NS;
}

static uint64_t
newest_incarnation(const struct cfc_consumer *c)
{
    return c->pending != NULL && c->pending->incarnation > c->current.incarnation
               ? c->pending->incarnation
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
    if (c->id_size != hello->id_size || memcmp(cfc_roster_id(c), hello->id, hello->id_size) != 0) {
        return CONFCAST_ERR_COLLISION;
    }
    if (!is_alive(c, now_ns)) {
        return CONFCAST_OK;
    }
    if (hello->incarnation < newest_incarnation(c)) {
        return CONFCAST_ERR_EXISTS;
    }
    if (hello->incarnation == c->current.incarnation && hash_of(roster, from) == c->left) {
        return CONFCAST_ERR_EXISTS;
    }
    return CONFCAST_OK;
}

static bool
is_of_hello(const struct cfc_consumer_session *session, const struct cfc_hello *hello,
            const struct cfc_address *from)
{
    return session->id != 0 && session->incarnation == hello->incarnation &&
           cfc_address_equal(&session->address, from) && session->hello_tag == tag_of(hello->nonce);
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
    if (c->pending != NULL && is_of_hello(c->pending, hello, from)) {
        *session = c->pending;
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
    uint32_t slot;

    if (roster->used_count < roster->config.consumer_count_max) {
        slot = roster->used_count++;
        roster->consumers[slot] = (struct cfc_consumer){.key = 0};
    } else {
        slot = cfc_slot_list_pop(&roster->known, roster->links);
        clear_echo(roster, slot);
        cfc_key_map_remove(&roster->by_key, roster->consumers[slot].key);
        clear_consumer(roster, &roster->consumers[slot]);
        roster->evicted++;
    }
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
    struct cfc_consumer_session *session = roster->consumers[slot].pending;
    uint8_t nonce[CFC_NONCE_SIZE];

    *session = (struct cfc_consumer_session){.id = next_session_id(roster, slot),
                                             .incarnation = hello->incarnation,
                                             .hello_tag = tag_of(hello->nonce),
                                             .nonce_count = ++roster->nonce_count,
                                             .address = *from};
    cfc_roster_engine_nonce(roster, session, nonce);
    cfc_session_key(credential_key, hello->nonce, nonce, roster->config.boot_id, &session->key);
}

/* A slot for a consumer that has none. */
static uint32_t
enter(struct cfc_roster *roster, const struct cfc_hello *hello)
{
    char *far = NULL;
    struct cfc_consumer *c;
    uint32_t slot;

    if (hello->id_size > CFC_ROSTER_ID_NEAR) {
        far = cfc_alloc(&roster->alloc, hello->id_size);
        if (far == NULL) {
            return CFC_SLOT_NONE;
        }
    }
    slot = take_slot(roster);
    c = &roster->consumers[slot];
    c->key = hello->consumer_key;
    c->id_size = hello->id_size;
    if (far != NULL) {
        c->id.far = far;
    }
    memcpy(far != NULL ? far : c->id.near, hello->id, hello->id_size);
    cfc_key_map_put(&roster->by_key, c->key, slot);
    return slot;
}

uint32_t
cfc_roster_admit(struct cfc_roster *roster, const struct cfc_hello *hello,
                 const struct cfc_key *credential_key, const struct cfc_address *from,
                 uint64_t now_ns)
{
    uint32_t slot = cfc_key_map_get(&roster->by_key, hello->consumer_key);
    struct cfc_consumer_session *fresh = NULL;

    if (slot == CFC_SLOT_NONE || roster->consumers[slot].pending == NULL) {
        fresh = cfc_alloc(&roster->alloc, sizeof(*fresh));
        if (fresh == NULL) {
            return CFC_SLOT_NONE;
        }
    }
    if (slot == CFC_SLOT_NONE) {
        slot = enter(roster, hello);
    }
    if (slot == CFC_SLOT_NONE) {
        cfc_free(&roster->alloc, fresh);
        return CFC_SLOT_NONE;
    }
    if (fresh != NULL) {
        roster->consumers[slot].pending = fresh;
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

    if (c->current.id != 0 && c->current.incarnation == c->pending->incarnation &&
        !cfc_address_equal(&c->current.address, &c->pending->address)) {
        c->left = hash_of(roster, &c->current.address);
    }
    if (c->current.incarnation != c->pending->incarnation) {
        clear_echo(roster, slot);
        c->report_seq = 0;
        c->report_parts = 0;
        c->left = 0;
        c->groups = 0;
    }
    c->current = *c->pending;
    cfc_free(&roster->alloc, c->pending);
    c->pending = NULL;
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
    session = c->pending != NULL && trailer.session == c->pending->id ? c->pending : &c->current;
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
    if (session == c->pending) {
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
                  const struct cfc_address *address, uint32_t groups)
{
    struct cfc_consumer *c = &roster->consumers[slot];

    assert(slot < roster->config.consumer_count_max);
    while (roster->used_count <= slot) {
        roster->consumers[roster->used_count++] = (struct cfc_consumer){.key = 0};
    }
    if (c->current.id == 0 || c->key != consumer_key) {
        *c = (struct cfc_consumer){.key = consumer_key};
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
