#include "protocol/session/link_tx.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"

int
cfc_link_tx_init(struct cfc_link_tx *link, const struct cfc_sender_config *config)
{
    *link = (struct cfc_link_tx){.boot_id = config->boot_id,
                                 .cookie_key = config->cookie_key,
                                 .seed = config->seed,
                                 .floor = config->windows,
                                 .windows = config->windows};
    link->sources = cfc_alloc(&config->alloc, CFC_SOURCE_BUDGETS * sizeof(link->sources[0]));
    link->replies = cfc_alloc(&config->alloc, CFC_REPLIES_MAX * sizeof(link->replies[0]));
    if (link->sources == NULL || link->replies == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < CFC_SOURCE_BUDGETS; i++) {
        cfc_pacer_init(&link->sources[i], CFC_SOURCE_RATE, CFC_SOURCE_BURST, 0);
    }
    return CONFCAST_OK;
}

void
cfc_link_tx_free(struct cfc_link_tx *link, const struct cfc_alloc *alloc)
{
    cfc_free(alloc, link->sources);
    cfc_free(alloc, link->replies);
}

void
cfc_link_tx_make_cookie(const struct cfc_link_tx *link, const struct cfc_address *from,
                        uint64_t consumer_key, uint64_t now_ns, uint8_t cookie[CFC_COOKIE_SIZE])
{
    cfc_cookie_make(&link->cookie_key, now_ns / CFC_COOKIE_PERIOD_NS, consumer_key, from, cookie);
}

bool
cfc_link_tx_is_cookie(const struct cfc_link_tx *link, const struct cfc_address *from,
                      uint64_t consumer_key, uint64_t now_ns, const uint8_t cookie[CFC_COOKIE_SIZE])
{
    uint64_t period = now_ns / CFC_COOKIE_PERIOD_NS;

    for (uint64_t back = 0; back <= 1 && back <= period; back++) {
        uint8_t expected[CFC_COOKIE_SIZE];
        uint8_t difference = 0;

        cfc_cookie_make(&link->cookie_key, period - back, consumer_key, from, expected);
        for (uint32_t i = 0; i < CFC_COOKIE_SIZE; i++) {
            difference |= (uint8_t)(expected[i] ^ cookie[i]);
        }
        if (difference == 0) {
            return true;
        }
    }
    return false;
}

bool
cfc_link_tx_may_answer(struct cfc_link_tx *link, const struct cfc_address *from, uint64_t now_ns)
{
    uint64_t hash = link->seed;

    for (uint32_t i = 0; i < sizeof(from->ip); i += sizeof(uint64_t)) {
        hash = (hash ^ cfc_get_u64(from->ip + i)) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 33;
    }
    /* Neighbours differ in the last byte, the highest of the word: this brings it down. */
    hash *= UINT64_C(0xc4ceb9fe1a85ec53);
    hash ^= hash >> 33;
    return cfc_pacer_try(&link->sources[hash % CFC_SOURCE_BUDGETS], 1, now_ns);
}

/* The place for one more answer, which counts as queued, or NULL. */
static struct cfc_reply *
add_reply(struct cfc_link_tx *link, const struct cfc_address *to)
{
    struct cfc_reply *reply;

    if (link->reply_count == CFC_REPLIES_MAX) {
        return NULL;
    }
    reply = &link->replies[(link->reply_head + link->reply_count) % CFC_REPLIES_MAX];
    reply->to = *to;
    link->reply_count++;
    return reply;
}

bool
cfc_link_tx_welcome(struct cfc_link_tx *link, const struct cfc_welcome *welcome,
                    const struct cfc_key *credential_key)
{
    struct cfc_reply *reply = add_reply(link, &welcome->observed);
    struct cfc_welcome filled = *welcome;
    size_t size;
    int code;

    if (reply == NULL) {
        return false;
    }
    filled.boot_id = link->boot_id;
    filled.windows = link->windows;
    code = cfc_welcome_encode(&filled, credential_key, reply->bytes, sizeof(reply->bytes), &size);
    assert(code == CONFCAST_OK);
    (void)code;
    reply->size = (uint16_t)size;
    return true;
}

bool
cfc_link_tx_gone(struct cfc_link_tx *link, const struct cfc_gone *gone,
                 const struct cfc_address *to)
{
    struct cfc_reply *reply = add_reply(link, to);
    size_t size;
    int code;

    if (reply == NULL) {
        return false;
    }
    code = cfc_gone_encode(gone, reply->bytes, sizeof(reply->bytes), &size);
    assert(code == CONFCAST_OK);
    (void)code;
    reply->size = (uint16_t)size;
    return true;
}

bool
cfc_link_tx_advice(struct cfc_link_tx *link, const struct cfc_advice *advice,
                   const struct cfc_key *session_key, const struct cfc_address *to)
{
    struct cfc_reply *reply = add_reply(link, to);
    size_t size;
    int code;

    if (reply == NULL) {
        return false;
    }
    code = cfc_advice_encode(advice, session_key, reply->bytes, sizeof(reply->bytes), &size);
    assert(code == CONFCAST_OK);
    (void)code;
    reply->size = (uint16_t)size;
    return true;
}

int
cfc_link_tx_poll(struct cfc_link_tx *link, uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    const struct cfc_reply *reply = &link->replies[link->reply_head];

    if (link->reply_count == 0) {
        return CONFCAST_ERR_AGAIN;
    }
    assert(capacity >= reply->size);
    (void)capacity;
    memcpy(header, reply->bytes, reply->size);
    *out = (struct cfc_tx){.header_size = reply->size, .slot = CFC_SENDER_NO_SLOT, .to = reply->to};
    link->reply_head = (link->reply_head + 1) % CFC_REPLIES_MAX;
    link->reply_count--;
    return CONFCAST_OK;
}

/* A window of `floor` plus `need`, or not much below the one announced. */
static uint32_t
fit(uint32_t announced, uint32_t floor, uint64_t need)
{
    uint64_t target = floor + need;
    uint64_t least = announced - (announced + (uint64_t)7) / 8;

    if (target < least) {
        target = least;
    }
    return target < UINT32_MAX ? (uint32_t)target : UINT32_MAX;
}

void
cfc_link_tx_fit_windows(struct cfc_link_tx *link, uint32_t count)
{
    struct cfc_windows *w = &link->windows;

    w->hello_ms = fit(w->hello_ms, link->floor.hello_ms, count / 10);
    w->nack_us = fit(w->nack_us, link->floor.nack_us, (uint64_t)count * 2);
    w->report_ms = fit(w->report_ms, link->floor.report_ms, count / 20);
}
