/* Contents as they come: CONTENT, PAGE, SYMBOL, GONE, and the owner's answers. */
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"
#include "protocol/session/receiver_state.h"

enum {
    BELIEVED_SIZE_MAX = 128 << 10 /* bytes of a body that may be decoded for nothing */
};

uint64_t
cfc_receiver_content_due(const struct cfc_receiver *r)
{
    return r->now.mono_ns + CFC_LOSS_TAIL_DELAYS * r->timing.delay_ns;
}

static void
begin_bytes(struct cfc_receiver *r, struct cfc_entry *entry, uint8_t encoding, uint64_t coded_size,
            uint64_t body_size)
{
    entry->encoding = encoding;
    entry->coded_size = coded_size;
    entry->body_size = body_size;
    entry->is_gone = false;
    entry->is_deferred = false;
    entry->collection = ++r->collection_count;
    r->contents.used_size += coded_size;
}

static void
note_complete(struct cfc_receiver *r, struct cfc_entry *entry)
{
    entry->retry_at_ns = 0;
    cfc_content_set_state(&r->contents, entry, CFC_ENTRY_COMPLETE);
    cfc_content_set_push_event(&r->contents, entry);
    r->stats.contents++;
}

/* The content that a delta is against, when it is held and decodes; else NULL. */
static struct cfc_entry *
find_base(const struct cfc_receiver *r, const struct cfc_digest *id)
{
    struct cfc_entry *base = cfc_content_set_find(&r->contents, id);

    return base != NULL && base->state == CFC_ENTRY_HELD && !base->is_no_base ? base : NULL;
}

void
cfc_receiver_take_inlined(struct cfc_receiver *r, const struct cfc_head *head)
{
    const struct cfc_inline_content *inlined = &head->inlined;
    struct cfc_entry *base = NULL;
    struct cfc_entry *entry;
    uint8_t *coded;

    if (!inlined->is_present) {
        return;
    }
    entry = cfc_content_set_find(&r->contents, &head->arms[inlined->arm].content);
    if (entry == NULL || !cfc_entry_is_wanted(entry) || entry->is_inline_bad ||
        (entry->state != CFC_ENTRY_ABSENT && entry->state != CFC_ENTRY_COLLECTING)) {
        return;
    }
    if (inlined->body_size > r->config.content_size_max) {
        return;
    }
    if (inlined->encoding == CFC_ENCODING_ZSTD_DELTA) {
        base = find_base(r, &inlined->base);
        if (base == NULL) {
            return; /* the whole content is there for those who ask */
        }
    }
    coded = cfc_alloc(&r->config.alloc, inlined->coded_size);
    if (coded == NULL) {
        cfc_receiver_count(r, CONFCAST_ERR_NO_MEMORY);
        return;
    }
    memcpy(coded, inlined->coded, inlined->coded_size);
    if (entry->state == CFC_ENTRY_COLLECTING) {
        cfc_content_set_state(&r->contents, entry, CFC_ENTRY_ABSENT);
    }
    begin_bytes(r, entry, inlined->encoding, inlined->coded_size, inlined->body_size);
    entry->coded = coded;
    entry->is_inlined = true;
    entry->base = inlined->base;
    if (base != NULL) {
        /* The entry exists, so that this cannot fail. */
        entry->base_entry =
            cfc_content_set_acquire(&r->contents, &base->id, CFC_NEED_KEEP, CFC_NEVER);
    }
    note_complete(r, entry);
}

static bool
is_bad_coding(const struct cfc_entry *entry, uint16_t coding)
{
    for (uint8_t i = 0; i < entry->bad_count; i++) {
        if (entry->bad_codings[i] == coding) {
            return true;
        }
    }
    return false;
}

/* Whether this receiver can make use of a coding.  *base is set for a delta. */
static int
check_coding(const struct cfc_receiver *r, const struct cfc_entry *entry,
             const struct cfc_content *content, struct cfc_entry **base)
{
    *base = NULL;
    if (content->coded_size > r->config.content_size_max ||
        content->body_size > r->config.content_size_max) {
        return CONFCAST_ERR_LIMIT;
    }
    if (is_bad_coding(entry, content->coding)) {
        return CONFCAST_ERR_NO_BASE;
    }
    switch (content->encoding) {
    case CFC_ENCODING_RAW:
    case CFC_ENCODING_ZSTD:
        return CONFCAST_OK;
    case CFC_ENCODING_ZSTD_DELTA:
        *base = find_base(r, &content->base);
        return *base != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_BASE;
    default:
        return CONFCAST_ERR_UNSUPPORTED;
    }
}

/* Makes room in the budget for `size` bytes that `entry` needs: what is less urgent goes.  The most
 * urgent content may exceed the budget alone, since without it nothing could ever be served. */
static bool
make_room(struct cfc_receiver *r, const struct cfc_entry *entry, uint64_t size)
{
    struct cfc_content_set *set = &r->contents;
    enum cfc_need need = cfc_entry_need(entry);
    struct cfc_entry *next;

    for (enum cfc_need victim = CFC_NEED_KEEP; victim > need; victim--) {
        for (struct cfc_entry *at = set->active; at != NULL; at = next) {
            next = at->active_next;
            if (set->used_size + size <= r->config.budget_size) {
                return true;
            }
            if (at != entry && at->state == CFC_ENTRY_COLLECTING && cfc_entry_need(at) == victim) {
                cfc_content_set_state(set, at, CFC_ENTRY_ABSENT);
                cfc_ask_restart(&at->ask, cfc_receiver_content_due(r));
                at->is_deferred = true;
            }
        }
    }
    return set->used_size + size <= r->config.budget_size ||
           (set->used_size == 0 && need == CFC_NEED_TARGET);
}

static void
collect_again(struct cfc_receiver *r, struct cfc_entry *entry, uint64_t ask_at_ns)
{
    bool is_needed = cfc_entry_need(entry) < CFC_NEED_COUNT;

    cfc_content_set_state(&r->contents, entry, CFC_ENTRY_ABSENT);
    if (is_needed) {
        cfc_ask_restart(&entry->ask, ask_at_ns);
    }
}

static int
verify_content(struct cfc_receiver *r, const struct cfc_content *content)
{
    uint8_t memo[CFC_SHORT_DIGEST_SIZE];
    int code =
        cfc_verify_guard_admit(&r->guard, CFC_VERIFY_CONTENT, r->sha, content->signed_bytes,
                               content->signed_size, content->signature, r->now.mono_ns, memo);

    if (code != CONFCAST_OK) {
        return code;
    }
    code = cfc_content_verify(content, &r->config.verifier, r->now.unix_ns);
    if (code == CONFCAST_ERR_SIGNATURE) {
        cfc_verify_guard_failed(&r->guard, memo);
    }
    return code;
}

/* Whether another coding than the one under collection is to be taken: nothing is lost by it, the
 * engine does not have the present one any more, or all of it is pulled. */
static bool
is_switch_wanted(const struct cfc_receiver *r, const struct cfc_entry *entry,
                 const struct cfc_content *content)
{
    return entry->is_gone || r->is_pulled ||
           (cfc_content_rx_is_empty(entry->rx) && content->coded_size < entry->coded_size);
}

/* A head that was verified names the body by its digest, so that a CONTENT of one small block needs
 * no proof of its own as long as all that comes fits it, and nothing else has to go for it
 * (ADR 84). */
static bool
is_believed(const struct cfc_receiver *r, const struct cfc_entry *entry,
            const struct cfc_content *content)
{
    return entry->state == CFC_ENTRY_ABSENT && !entry->was_forged && !r->is_pulled &&
           content->body_size <= BELIEVED_SIZE_MAX && content->coded_size <= BELIEVED_SIZE_MAX &&
           content->coded_size <= (uint64_t)content->fec_k * content->symbol_size &&
           r->contents.used_size + content->coded_size <= r->config.budget_size;
}

/* The frame of a CONTENT that is believed; NULL, also without memory: it is to be verified. */
static uint8_t *
keep_unproved(struct cfc_receiver *r, const struct cfc_entry *entry,
              const struct cfc_content *content, const struct cfc_frame *frame)
{
    uint8_t *kept =
        is_believed(r, entry, content) ? cfc_alloc(&r->config.alloc, frame->size) : NULL;

    if (kept != NULL) {
        memcpy(kept, frame->bytes, frame->size);
    }
    return kept;
}

int
cfc_receiver_prove(struct cfc_receiver *r, struct cfc_entry *entry)
{
    struct cfc_content content;
    struct cfc_frame frame;
    int code;

    if (entry->unproved == NULL) {
        return CONFCAST_OK;
    }
    code = cfc_frame_open(entry->unproved, entry->unproved_size, &frame);
    if (code == CONFCAST_OK) {
        code = cfc_content_decode(&frame, &content);
    }
    if (code == CONFCAST_OK) {
        code = verify_content(r, &content);
    }
    if (code == CONFCAST_OK) {
        cfc_free(&r->config.alloc, entry->unproved);
        entry->unproved = NULL;
        return CONFCAST_OK;
    }
    cfc_receiver_count(r, code);
    if (!cfc_receiver_is_unproved(code)) {
        entry->was_forged = true;
        collect_again(r, entry, cfc_receiver_content_due(r));
    }
    return code;
}

static int
start_collection(struct cfc_receiver *r, struct cfc_entry *entry, const struct cfc_content *content,
                 struct cfc_entry *base)
{
    struct cfc_content_rx *rx;
    int code;

    if (entry->state == CFC_ENTRY_COLLECTING) {
        cfc_content_set_state(&r->contents, entry, CFC_ENTRY_ABSENT);
        cfc_ask_restart(&entry->ask, cfc_receiver_content_due(r));
    }
    if (!make_room(r, entry, content->coded_size)) {
        entry->is_deferred = true;
        return CONFCAST_ERR_LIMIT;
    }
    code = cfc_content_rx_new(content, &r->config.alloc, &r->timing, r->now.mono_ns, &rx);
    if (code != CONFCAST_OK) {
        cfc_ask_back_off(&entry->ask, r->timing.retry_ns, CFC_ASK_DOUBLINGS_MIN, r->now.mono_ns);
        return code;
    }
    begin_bytes(r, entry, content->encoding, content->coded_size, content->body_size);
    entry->rx = rx;
    entry->coding = content->coding;
    entry->base = content->base;
    entry->is_inlined = false;
    if (base != NULL) {
        /* The entry exists, so that this cannot fail. */
        entry->base_entry =
            cfc_content_set_acquire(&r->contents, &base->id, CFC_NEED_KEEP, CFC_NEVER);
    }
    cfc_content_set_state(&r->contents, entry, CFC_ENTRY_COLLECTING);
    return CONFCAST_OK;
}

static int
collect(struct cfc_receiver *r, struct cfc_entry *entry, const struct cfc_content *content,
        const struct cfc_frame *frame)
{
    struct cfc_entry *base;
    uint8_t *unproved;
    int code = check_coding(r, entry, content, &base);

    if (code != CONFCAST_OK) {
        return code;
    }
    unproved = keep_unproved(r, entry, content, frame);
    if (unproved == NULL) {
        code = verify_content(r, content);
    }
    if (code == CONFCAST_OK) {
        code = start_collection(r, entry, content, base);
    }
    if (code != CONFCAST_OK) {
        cfc_free(&r->config.alloc, unproved);
        return code;
    }
    entry->unproved = unproved;
    entry->unproved_size = frame->size;
    return CONFCAST_OK;
}

/* Another CONTENT than the one that is believed: one of the two may be forged. */
static bool
is_doubted(const struct cfc_entry *entry, const struct cfc_frame *frame)
{
    return entry->unproved != NULL && entry->state == CFC_ENTRY_COLLECTING &&
           (entry->unproved_size != frame->size ||
            memcmp(entry->unproved, frame->bytes, frame->size) != 0);
}

int
cfc_receiver_on_content(struct cfc_receiver *r, const struct cfc_frame *frame)
{
    struct cfc_content content;
    struct cfc_entry *entry;
    int code;

    if (cfc_content_set_find_key(&r->contents, frame->key) == NULL) {
        return CONFCAST_ERR_WRONG_STREAM;
    }
    code = cfc_content_decode(frame, &content);
    if (code != CONFCAST_OK) {
        return code;
    }
    entry = cfc_content_set_find(&r->contents, &content.content);
    if (entry == NULL) {
        return CONFCAST_ERR_WRONG_STREAM;
    }
    if (!cfc_entry_is_wanted(entry)) {
        return entry->state == CFC_ENTRY_HELD ? CONFCAST_OK : CONFCAST_ERR_WRONG_STREAM;
    }
    if (is_doubted(entry, frame)) {
        code = cfc_receiver_prove(r, entry);
        if (cfc_receiver_is_unproved(code)) {
            return code;
        }
    }
    if (entry->state == CFC_ENTRY_COLLECTING) {
        if (entry->coding == content.coding) {
            entry->is_gone = false;
            cfc_ask_stop(&entry->ask);
            cfc_content_rx_announced(entry->rx, r->now.mono_ns);
            return CONFCAST_OK;
        }
        if (!is_switch_wanted(r, entry, &content)) {
            return CONFCAST_OK;
        }
    } else if (entry->state != CFC_ENTRY_ABSENT) {
        return CONFCAST_OK;
    }
    return collect(r, entry, &content, frame);
}

/* The entry that collects this coding of the content with this key.  NULL: *code says what the
 * frame is worth, and *is_here whether the content is complete. */
static struct cfc_entry *
find_collection(struct cfc_receiver *r, uint64_t key, uint16_t coding, bool *is_here, int *code)
{
    struct cfc_entry *entry = cfc_content_set_find_key(&r->contents, key);

    *code = CONFCAST_ERR_WRONG_STREAM;
    *is_here = false;
    while (entry != NULL) {
        if (entry->state == CFC_ENTRY_COLLECTING && entry->coding == coding) {
            return entry;
        }
        if (entry->state == CFC_ENTRY_ABSENT && cfc_entry_is_wanted(entry)) {
            uint64_t soon_ns = r->now.mono_ns + r->timing.delay_ns;

            /* The content is on its way: its CONTENT frame was lost. */
            *code = CONFCAST_ERR_NOT_FOUND;
            if (entry->ask.tries == 0 && entry->ask.at_ns > soon_ns) {
                entry->ask.at_ns = soon_ns;
            }
        } else {
            *code = CONFCAST_OK;
            *is_here = entry->state != CFC_ENTRY_COLLECTING;
        }
        entry = cfc_content_set_next_key(entry);
    }
    return NULL;
}

static void
add_symbol_stats(struct cfc_receiver *r, const struct cfc_content_rx_stats *stats)
{
    r->stats.symbols += stats->symbols;
    r->stats.symbols_duplicate += stats->symbols_duplicate;
    r->stats.symbols_repair += stats->symbols_repair;
    r->stats.symbols_decoded += stats->symbols_decoded;
    r->stats.symbols_ignored += stats->symbols_ignored;
    r->stats.blocks_decoded += stats->blocks_decoded;
    r->stats.blocks_poisoned += stats->blocks_poisoned;
}

void
cfc_receiver_note_loss(struct cfc_receiver *r, struct cfc_entry *entry)
{
    struct cfc_loss_count count;
    uint64_t answer_ns;

    if (entry->unproved != NULL && !cfc_content_rx_is_complete(entry->rx)) {
        return; /* it is still there when there is proof */
    }
    count = cfc_content_rx_take_count(entry->rx);
    answer_ns = cfc_content_rx_take_answer(entry->rx);
    if (answer_ns != 0 && !r->is_pulled) {
        cfc_answer_time_note(&r->answer_time, answer_ns);
        cfc_receiver_fit_timing(r);
    }
    /* What is pulled says nothing of the way from the engine. */
    if (!r->is_pulled && !cfc_coding_is_pulled(entry->coding)) {
        cfc_loss_meter_note(&r->loss, &count, r->link.windows.report_ms, &r->prng, r->now.mono_ns);
    }
}

/* After a page or symbol: `code` is what came of it. */
static void
follow_up(struct cfc_receiver *r, struct cfc_entry *entry, int code,
          const struct cfc_content_rx_stats *stats)
{
    bool is_misfit = code == CONFCAST_ERR_DIGEST || code == CONFCAST_ERR_RANGE ||
                     code == CONFCAST_ERR_LENGTH || stats->blocks_poisoned > 0;

    add_symbol_stats(r, stats);
    if (is_misfit) {
        code = cfc_receiver_prove(r, entry);
        if (code != CONFCAST_OK && !cfc_receiver_is_unproved(code)) {
            return;
        }
    }
    cfc_receiver_note_loss(r, entry);
    if (cfc_content_rx_is_complete(entry->rx)) {
        r->timing.tail_scale = cfc_content_rx_tail_scale(entry->rx);
        entry->coded = cfc_content_rx_take(entry->rx);
        cfc_content_rx_free(entry->rx);
        entry->rx = NULL;
        note_complete(r, entry);
    }
}

int
cfc_receiver_on_page(struct cfc_receiver *r, const struct cfc_frame *frame)
{
    struct cfc_content_rx_stats stats = {.symbols = 0};
    struct cfc_entry *entry;
    struct cfc_page page;
    bool is_here;
    int code;

    if (cfc_content_set_find_key(&r->contents, frame->key) == NULL) {
        return CONFCAST_ERR_WRONG_STREAM;
    }
    code = cfc_page_decode(frame, &page);
    if (code != CONFCAST_OK) {
        return code;
    }
    entry = find_collection(r, frame->key, page.coding, &is_here, &code);
    if (entry == NULL) {
        return code;
    }
    code = cfc_content_rx_page(entry->rx, r->sha, &page, r->now.mono_ns, &stats);
    follow_up(r, entry, code, &stats);
    return code;
}

int
cfc_receiver_on_symbol(struct cfc_receiver *r, const struct cfc_frame *frame)
{
    struct cfc_content_rx_stats stats = {.symbols = 0};
    struct cfc_entry *entry;
    struct cfc_symbol symbol;
    bool is_here;
    int code;

    if (cfc_content_set_find_key(&r->contents, frame->key) == NULL) {
        return CONFCAST_ERR_WRONG_STREAM;
    }
    code = cfc_symbol_decode(frame, &symbol);
    if (code != CONFCAST_OK) {
        return code;
    }
    entry = find_collection(r, frame->key, symbol.coding, &is_here, &code);
    if (entry == NULL) {
        if (code == CONFCAST_OK) {
            *(is_here ? &r->stats.symbols_duplicate : &r->stats.symbols_ignored) += 1;
        }
        return code;
    }
    code = cfc_content_rx_symbol(entry->rx, r->sha, &symbol, r->now.mono_ns, &stats);
    follow_up(r, entry, code, &stats);
    return code;
}

/* The collection that has a part for the owner: the one of last time, as long as it goes on. */
static struct cfc_entry *
find_part(struct cfc_receiver *r, size_t *size, const uint8_t **bytes)
{
    struct cfc_entry *found = NULL;

    for (struct cfc_entry *at = r->contents.active; at != NULL; at = at->active_next) {
        if (at->state == CFC_ENTRY_COLLECTING && cfc_entry_need(at) == CFC_NEED_TARGET &&
            (found == NULL || at->collection == r->part_collection)) {
            found = at;
        }
    }
    if (found != NULL) {
        r->part_collection = found->collection;
        *bytes = cfc_content_rx_prefix(found->rx, size);
    }
    return found;
}

int
cfc_receiver_part(struct cfc_receiver *r, struct cfc_receiver_part *part)
{
    const struct cfc_entry *entry = find_part(r, &part->size, &part->bytes);

    if (entry == NULL) {
        return CONFCAST_ERR_AGAIN;
    }
    part->collection = entry->collection;
    part->encoding = entry->encoding;
    part->coded_size = entry->coded_size;
    part->body_size = entry->body_size;
    part->base = entry->base;
    part->sha = r->sha;
    return CONFCAST_OK;
}

void
cfc_receiver_keep_early(struct cfc_receiver *r, const struct cfc_frame *frame)
{
    if (frame->type == CFC_FRAME_CONTENT || frame->type == CFC_FRAME_PAGE ||
        frame->type == CFC_FRAME_SYMBOL) {
        cfc_early_rx_put(&r->early, frame->bytes, frame->size, r->now.mono_ns);
        r->stats.frames_early++;
    }
}

/* Whether what a frame waited for is here.  One of another coding than the one under collection
 * goes on waiting: its CONTENT may come next, and be the one to take. */
static bool
is_ready(const struct cfc_receiver *r, const struct cfc_frame *frame)
{
    struct cfc_entry *entry = cfc_content_set_find_key(&r->contents, frame->key);
    uint16_t coding;

    if (entry == NULL || frame->type == CFC_FRAME_CONTENT) {
        return entry != NULL;
    }
    coding = cfc_get_u16(frame->bytes + CFC_FRAME_HEADER_SIZE); /* of PAGE and SYMBOL alike */
    for (; entry != NULL; entry = cfc_content_set_next_key(entry)) {
        if (entry->state == CFC_ENTRY_COLLECTING ? entry->coding == coding
                                                 : entry->state != CFC_ENTRY_ABSENT) {
            return true;
        }
    }
    return false;
}

/* Takes the frames of one type that are ready, oldest first, once each.  The key of the last one
 * that had others before it, which come after it only here; 0: none. */
static uint64_t
take_early(struct cfc_receiver *r, uint8_t type)
{
    uint64_t overtaking = 0;
    struct cfc_early_frame *previous = NULL;
    struct cfc_early_frame *at = r->early.first;

    while (at != NULL) {
        struct cfc_frame frame;
        int code = cfc_frame_open(at->bytes, at->size, &frame);

        if (code != CONFCAST_OK || frame.type != type || !is_ready(r, &frame)) {
            previous = at;
            at = at->next;
            continue;
        }
        (void)cfc_early_rx_take(&r->early, previous);
        overtaking = previous != NULL ? frame.key : overtaking;
        code = type == CFC_FRAME_CONTENT ? cfc_receiver_on_content(r, &frame)
               : type == CFC_FRAME_PAGE  ? cfc_receiver_on_page(r, &frame)
                                         : cfc_receiver_on_symbol(r, &frame);
        cfc_receiver_count(r, code);
        cfc_early_rx_give_back(&r->early, at);
        at = previous != NULL ? previous->next : r->early.first;
    }
    return overtaking;
}

/* A CONTENT that came behind symbols may have closed their pass. */
void
cfc_receiver_take_early(struct cfc_receiver *r)
{
    uint64_t closed = take_early(r, CFC_FRAME_CONTENT);
    struct cfc_entry *entry;

    (void)take_early(r, CFC_FRAME_PAGE);
    (void)take_early(r, CFC_FRAME_SYMBOL);
    entry = closed != 0 ? cfc_content_set_find_key(&r->contents, closed) : NULL;
    for (; entry != NULL; entry = cfc_content_set_next_key(entry)) {
        if (entry->state == CFC_ENTRY_COLLECTING) {
            cfc_content_rx_announced(entry->rx, r->now.mono_ns);
        }
    }
}

static int
on_content_gone(struct cfc_receiver *r, const struct cfc_gone *gone)
{
    struct cfc_entry *entry = cfc_content_set_find_key(&r->contents, gone->key);

    for (; entry != NULL; entry = cfc_content_set_next_key(entry)) {
        if (entry->state == CFC_ENTRY_ABSENT && gone->want == CFC_WANT_CONTENT) {
            cfc_ask_back_off(&entry->ask, r->timing.retry_ns, r->timing.doublings, r->now.mono_ns);
            return CONFCAST_OK;
        }
        if (entry->state == CFC_ENTRY_COLLECTING && gone->want != CFC_WANT_CONTENT &&
            gone->coding == entry->coding) {
            /* Another coding may be there: ask for CONTENT again, and take what comes. */
            entry->is_gone = true;
            cfc_content_rx_gone(entry->rx, r->now.mono_ns);
            cfc_ask_start(&entry->ask, r->now.mono_ns + r->timing.retry_ns);
            return CONFCAST_OK;
        }
    }
    return CONFCAST_ERR_WRONG_STREAM;
}

/* Without a proof that there is a newer head, FRESH will tell when there is one: it is asked for
 * ever more rarely.  What is put off already needs no further word: a crowd hears many. */
static void
on_head_gone(struct cfc_receiver *r, struct cfc_scope_rx *scope)
{
    struct cfc_ask *ask = &scope->head_ask;
    uint64_t spacing_ns = r->config.fresh_period_ns / 4;

    if (!cfc_ask_is_on(ask)) {
        return;
    }
    if (scope->published > scope->version) {
        cfc_ask_back_off(ask, r->timing.retry_ns, r->timing.doublings, r->now.mono_ns);
        return;
    }
    if (scope->gone_count > 0 &&
        ask->at_ns > r->now.mono_ns + (spacing_ns << (CFC_ASK_DOUBLINGS_MIN - 1))) {
        return;
    }
    cfc_ask_back_off(ask, spacing_ns, (uint8_t)(CFC_ASK_DOUBLINGS_MIN + scope->gone_count),
                     r->now.mono_ns);
    if (scope->gone_count < CFC_RECEIVER_GONE_MAX) {
        scope->gone_count++;
    }
}

int
cfc_receiver_on_gone(struct cfc_receiver *r, const struct cfc_frame *frame)
{
    struct cfc_scope_rx *scope;
    struct cfc_gone gone;
    int code = cfc_gone_decode(frame, &gone);

    if (code != CONFCAST_OK) {
        return code;
    }
    switch (gone.want) {
    case CFC_WANT_HEAD:
        scope = cfc_receiver_find_scope(r, gone.key);
        if (scope == NULL) {
            return CONFCAST_ERR_WRONG_STREAM;
        }
        on_head_gone(r, scope);
        return CONFCAST_OK;
    case CFC_WANT_FRESH:
        for (uint32_t i = 0; i < r->scope_count; i++) {
            scope = r->scopes[i];
            if (cfc_ask_is_on(&scope->fresh_ask) && scope->shard == gone.key) {
                cfc_ask_back_off(&scope->fresh_ask, r->config.fresh_period_ns,
                                 CFC_ASK_DOUBLINGS_MIN, r->now.mono_ns);
            }
        }
        return CONFCAST_OK;
    default:
        return on_content_gone(r, &gone);
    }
}

void
cfc_receiver_expire_contents(struct cfc_receiver *r)
{
    struct cfc_entry *next;

    for (struct cfc_entry *at = r->contents.active; at != NULL; at = next) {
        next = at->active_next;
        if (at->state == CFC_ENTRY_COLLECTING &&
            r->now.mono_ns >= cfc_content_rx_news(at->rx) + CFC_RECEIVER_COLLECT_TIMEOUT_NS) {
            cfc_receiver_count(r, CONFCAST_ERR_TIMEOUT);
            cfc_content_set_state(&r->contents, at, CFC_ENTRY_ABSENT);
            cfc_ask_back_off(&at->ask, r->timing.retry_ns, CFC_ASK_DOUBLINGS_MIN, r->now.mono_ns);
        } else if (at->state == CFC_ENTRY_COMPLETE && at->retry_at_ns != 0 &&
                   r->now.mono_ns >= at->retry_at_ns) {
            at->retry_at_ns = 0;
            cfc_content_set_push_event(&r->contents, at);
        }
    }
}

/* Errors that say that the bytes are not the content's.  Bytes that rode in a head were not signed:
 * somebody on the way may have put them there, so the content is not to blame.  Nor is it when they
 * were a delta: the base may be damaged. */
static bool
is_bytes_error(int code)
{
    return code == CONFCAST_ERR_NO_BASE || code == CONFCAST_ERR_DIGEST ||
           code == CONFCAST_ERR_BODY || code == CONFCAST_ERR_LIMIT ||
           (code <= CONFCAST_ERR_ZSTD && code >= CONFCAST_ERR_ZEMPTY);
}

/* A delta came to nothing: it is not taken again, nor any other against the same base, unless the
 * blame is with bytes that nobody signed. */
static void
note_bad_delta(struct cfc_entry *entry, int code)
{
    if (code == CONFCAST_ERR_NO_BASE || !entry->is_inlined) {
        entry->base_entry->is_no_base = true;
    }
    if (entry->is_inlined) {
        entry->is_inline_bad = true;
    } else {
        entry->bad_codings[entry->bad_count % CFC_ENTRY_BAD_CODINGS_MAX] = entry->coding;
        if (entry->bad_count < CFC_ENTRY_BAD_CODINGS_MAX) {
            entry->bad_count++;
        }
    }
}

int
cfc_receiver_content_done(struct cfc_receiver *r, const struct cfc_digest *content, int code,
                          const struct cfc_now *now)
{
    struct cfc_entry *entry = cfc_content_set_find(&r->contents, content);

    r->now = *now;
    if (entry == NULL || entry->state != CFC_ENTRY_DELIVERED) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    cfc_receiver_queue_users(r, entry);
    if (code == CONFCAST_OK) {
        entry->is_from_disk = false;
        entry->owner_retries = 0;
        entry->is_no_base = false;
        cfc_content_set_state(&r->contents, entry, CFC_ENTRY_HELD);
        return CONFCAST_OK;
    }
    cfc_receiver_count(r, code);
    if (code != CONFCAST_ERR_NO_MEMORY) {
        int proof = cfc_receiver_prove(r, entry);

        if (cfc_receiver_is_unproved(proof)) {
            code = CONFCAST_ERR_NO_MEMORY; /* the owner is asked again, when there may be proof */
        } else if (proof != CONFCAST_OK) {
            return CONFCAST_OK; /* what was refused is a forger's */
        }
    }
    if (entry->encoding == CFC_ENCODING_ZSTD_DELTA && is_bytes_error(code)) {
        note_bad_delta(entry, code);
        collect_again(r, entry, now->mono_ns);
    } else if (code == CONFCAST_ERR_NO_MEMORY &&
               entry->owner_retries < CFC_ENTRY_OWNER_RETRIES_MAX) {
        entry->owner_retries++;
        entry->retry_at_ns = now->mono_ns + CFC_RECEIVER_OWNER_RETRY_NS;
        cfc_content_set_state(&r->contents, entry, CFC_ENTRY_COMPLETE);
    } else if (code == CONFCAST_ERR_NO_MEMORY) {
        entry->owner_retries = 0;
        collect_again(r, entry, now->mono_ns + (r->timing.retry_ns << CFC_ASK_DOUBLINGS_MIN));
    } else if (entry->is_inlined && is_bytes_error(code)) {
        entry->is_inline_bad = true;
        collect_again(r, entry, now->mono_ns);
    } else {
        entry->reason = code;
        cfc_content_set_state(&r->contents, entry, CFC_ENTRY_REFUSED);
    }
    return CONFCAST_OK;
}
