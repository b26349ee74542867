/* The ring's barriers as C11 has them, which ThreadSanitizer understands; no slower on x86. */
#define RTE_USE_C11_MEM_MODEL
#include "dataplane/crew.h"

#include <assert.h>
#include <poll.h>
#include <rte_ring_elem.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "dataplane/log.h"
#include "protocol/session/slot_list.h"

enum {
    RING_SIZE = 1024,
    ASK_ROOM = RING_SIZE / 2, /* the other half is for what must not be refused */
    HEAR_BURST = 64,
};

/* Of what comes from a helper: it could not take the content of this slot. */
#define FAILED (UINT32_C(1) << 31)

#define FIT_PERIOD_NS (100 * CFC_MS) /* oftener than STATUS */

#define MESSAGES(X)                                                                                \
    X(PUT)  /* a content, or it is not pull-only any more */                                       \
    X(WANT) /* groups that want it */                                                              \
    X(DROP)                                                                                        \
    X(ASK) /* what a consumer lacks of it */                                                       \
    X(FIT) /* how large the fleet is */

enum message_type {
#define ENUM_(name) name,
    MESSAGES(ENUM_)
#undef ENUM_
};

/* To a helper. */
struct message {
    uint32_t type;
    uint32_t slot; /* PUT: of the first sender */
    uint64_t key;  /* of the content */
    bool is_pull_only;
    bool is_news;
    uint8_t mac[CFC_MAC_ADDRESS_SIZE]; /* ASK */
    uint32_t groups;
    uint64_t now_ns;
    union {
        struct cfc_share_content content;
        struct cfc_share_ask ask;
        struct cfc_share_fleet fleet;
    } u;
};

_Static_assert(sizeof(struct message) % 4 == 0, "as rte_ring wants its elements");

/* What is to be said of a content, by slot of the first sender. */
struct note {
    uint64_t key;
    uint64_t want_ns;
    uint32_t want_groups;
    uint32_t puts_open; /* carried and not known to have failed: which of them hold is not told */
    bool is_known;      /* its helper was given it */
    bool is_put_due;
    bool is_drop_due;
    bool is_pull_only;
    bool is_news;
};

/* One helper's post.  Its two ends are written by different threads. */
struct post {
    struct rte_ring *to;   /* messages */
    struct rte_ring *from; /* slots of the first sender that the helper let go of */
    uint32_t *first_slots; /* the helper's: by its own slot */
    int wake_fd;
    _Alignas(128) atomic_bool is_asleep; /* set by the helper */
};

struct cfc_crew {
    struct cfc_share_hooks hooks;
    struct cfc_lane *lanes;
    uint32_t lane_count;
    struct note *notes;            /* by slot */
    struct cfc_slot_link *links;   /* over due */
    struct cfc_slot_link *wanters; /* over wanted */
    struct cfc_slot_list due;      /* to be put or dropped, in order */
    struct cfc_slot_list wanted;   /* once no head waits */
    uint64_t fit_due_ns;
    uint64_t source_count; /* source symbols of helpers that the first sender was told of */
    uint8_t from_mac[CFC_MAC_ADDRESS_SIZE];
    struct post posts[CFC_LCORES_MAX]; /* by lane; the first is not used */
};

static struct rte_ring *
make_ring(unsigned element_size)
{
    ssize_t size = rte_ring_get_memsize_elem(element_size, RING_SIZE);
    struct rte_ring *ring;

    if (size < 0) {
        return NULL;
    }
    ring = aligned_alloc(RTE_CACHE_LINE_SIZE,
                         RTE_ALIGN_CEIL((size_t)size, (size_t)RTE_CACHE_LINE_SIZE));
    if (ring != NULL &&
        rte_ring_init(ring, "crew", RING_SIZE, RING_F_SP_ENQ | RING_F_SC_DEQ) != 0) {
        free(ring);
        return NULL;
    }
    return ring;
}

static bool
open_post(struct post *post, uint32_t contents_max)
{
    post->to = make_ring(sizeof(struct message));
    post->from = make_ring(sizeof(uint32_t));
    post->first_slots = calloc(contents_max, sizeof(post->first_slots[0]));
    post->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return post->to != NULL && post->from != NULL && post->first_slots != NULL &&
           post->wake_fd >= 0;
}

static void
send(struct post *post, struct message *message)
{
    int rc = rte_ring_sp_enqueue_elem(post->to, message, sizeof(*message));

    assert(rc == 0);
    (void)rc;
}

/* The owner's post, or NULL when it has no room for what must not be refused. */
static struct post *
post_with_room(struct cfc_crew *crew, uint64_t key, unsigned room)
{
    struct post *post = &crew->posts[cfc_crew_owner(crew, key)];

    return rte_ring_free_count(post->to) > room ? post : NULL;
}

static void
ring(struct post *post)
{
    const uint64_t one = 1;

    /* It only fails when the counter is full, and then it is readable anyway. */
    if (write(post->wake_fd, &one, sizeof(one)) < 0) {
        return;
    }
}

/* After something was said.  Of this exchange and the one of a helper that goes to sleep the later
 * one reads what the earlier one wrote: either the helper is rung, or it sees what was said. */
static void
ring_sleeper(struct post *post)
{
    if (atomic_exchange_explicit(&post->is_asleep, false, memory_order_acq_rel)) {
        ring(post);
    }
}

static void
mark_due(struct cfc_crew *crew, uint32_t slot, bool was_due)
{
    if (!was_due) {
        cfc_slot_list_push(&crew->due, crew->links, slot);
    }
}

static void
on_put(void *ctx, uint32_t slot, bool is_pull_only)
{
    struct cfc_crew *crew = ctx;
    struct note *note = &crew->notes[slot];
    struct cfc_share_content content;

    cfc_sender_share_content(crew->lanes[0].sender, slot, &content);
    assert(!note->is_drop_due);
    note->key = content.key;
    note->is_pull_only = is_pull_only;
    mark_due(crew, slot, note->is_put_due);
    note->is_put_due = true;
}

static void
on_want(void *ctx, uint32_t slot, uint32_t group, bool is_news, uint64_t now_ns)
{
    struct cfc_crew *crew = ctx;
    struct note *note = &crew->notes[slot];

    if (note->want_groups == 0) {
        cfc_slot_list_push(&crew->wanted, crew->wanters, slot);
        note->want_ns = now_ns;
        note->is_news = false;
    }
    note->want_groups |= UINT32_C(1) << group;
    note->is_news = note->is_news || is_news;
}

static void
on_drop(void *ctx, uint32_t slot)
{
    struct cfc_crew *crew = ctx;
    struct note *note = &crew->notes[slot];

    if (note->want_groups != 0) {
        cfc_slot_list_remove(&crew->wanted, crew->wanters, slot);
        note->want_groups = 0;
    }
    if (note->is_put_due) {
        cfc_slot_list_remove(&crew->due, crew->links, slot);
        note->is_put_due = false;
    }
    if (note->is_known) {
        mark_due(crew, slot, false);
        note->is_drop_due = true;
    } else {
        /* No helper ever heard of it. */
        cfc_sender_payload_done(crew->lanes[0].sender, slot, 1);
    }
}

static bool
on_ask(void *ctx, const struct cfc_share_ask *ask)
{
    struct cfc_crew *crew = ctx;
    struct post *post = post_with_room(crew, ask->entry.key, ASK_ROOM);
    struct message message = {.type = ASK, .key = ask->entry.key, .u.ask = *ask};

    if (post == NULL) {
        return false;
    }
    memcpy(message.mac, crew->from_mac, sizeof(message.mac));
    send(post, &message);
    ring_sleeper(post);
    return true;
}

struct cfc_crew *
cfc_crew_new(struct cfc_lane *lanes, uint32_t lane_count, uint32_t contents_max)
{
    struct cfc_crew *crew = aligned_alloc(_Alignof(struct cfc_crew), sizeof(*crew));
    bool is_open = true;

    assert(lane_count >= 2 && lane_count <= CFC_LCORES_MAX);
    if (crew == NULL) {
        return NULL;
    }
    memset(crew, 0, sizeof(*crew));
    crew->hooks = (struct cfc_share_hooks){
        .put = on_put, .want = on_want, .drop = on_drop, .ask = on_ask, .ctx = crew};
    crew->lanes = lanes;
    crew->lane_count = lane_count;
    cfc_slot_list_init(&crew->due);
    cfc_slot_list_init(&crew->wanted);
    crew->notes = calloc(contents_max, sizeof(crew->notes[0]));
    crew->links = calloc(contents_max, sizeof(crew->links[0]));
    crew->wanters = calloc(contents_max, sizeof(crew->wanters[0]));
    for (uint32_t i = 0; i < CFC_LCORES_MAX; i++) {
        crew->posts[i].wake_fd = -1;
    }
    for (uint32_t i = 1; i < lane_count; i++) {
        is_open = open_post(&crew->posts[i], contents_max) && is_open;
    }
    if (!is_open || crew->notes == NULL || crew->links == NULL || crew->wanters == NULL) {
        cfc_crew_free(crew);
        return NULL;
    }
    return crew;
}

void
cfc_crew_free(struct cfc_crew *crew)
{
    if (crew == NULL) {
        return;
    }
    for (uint32_t i = 0; i < CFC_LCORES_MAX; i++) {
        if (crew->posts[i].wake_fd >= 0) {
            close(crew->posts[i].wake_fd);
        }
        free(crew->posts[i].to);
        free(crew->posts[i].from);
        free(crew->posts[i].first_slots);
    }
    free(crew->notes);
    free(crew->links);
    free(crew->wanters);
    free(crew);
}

const struct cfc_share_hooks *
cfc_crew_hooks(const struct cfc_crew *crew)
{
    return &crew->hooks;
}

uint32_t
cfc_crew_owner(const struct cfc_crew *crew, uint64_t content_key)
{
    uint64_t hash = content_key * UINT64_C(0x9e3779b97f4a7c15);

    return 1 + (uint32_t)((hash >> 32) * (crew->lane_count - 1) >> 32);
}

void
cfc_crew_set_from(struct cfc_crew *crew, const struct cfc_net_endpoint *from)
{
    memcpy(crew->from_mac, from->mac, sizeof(crew->from_mac));
}

void
cfc_crew_wake(struct cfc_crew *crew, uint32_t number)
{
    ring(&crew->posts[number]);
}

/* The next content that is to be put or dropped.  False: there is none, or no room. */
static bool
carry_due(struct cfc_crew *crew)
{
    uint32_t slot = crew->due.head;
    struct message message;
    struct note *note;
    struct post *post;

    if (slot == CFC_SLOT_NONE) {
        return false;
    }
    note = &crew->notes[slot];
    post = post_with_room(crew, note->key, 0);
    if (post == NULL) {
        return false;
    }
    cfc_slot_list_remove(&crew->due, crew->links, slot);
    message = (struct message){.type = note->is_drop_due ? DROP : PUT,
                               .slot = slot,
                               .key = note->key,
                               .is_pull_only = note->is_pull_only};
    if (!note->is_drop_due) {
        cfc_sender_share_content(crew->lanes[0].sender, slot, &message.u.content);
    }
    note->puts_open += !note->is_drop_due;
    note->is_known = !note->is_drop_due;
    note->is_put_due = false;
    note->is_drop_due = false;
    send(post, &message);
    return true;
}

/* The next content that heads name.  Its slot was put before: nothing is due any more. */
static bool
carry_wanted(struct cfc_crew *crew)
{
    uint32_t slot = crew->wanted.head;
    struct note *note;
    struct post *post;

    if (slot == CFC_SLOT_NONE || cfc_sender_share_has_new_heads(crew->lanes[0].sender)) {
        return false;
    }
    note = &crew->notes[slot];
    post = post_with_room(crew, note->key, 0);
    if (post == NULL) {
        return false;
    }
    cfc_slot_list_remove(&crew->wanted, crew->wanters, slot);
    send(post, &(struct message){.type = WANT,
                                 .key = note->key,
                                 .groups = note->want_groups,
                                 .is_news = note->is_news,
                                 .now_ns = note->want_ns});
    note->want_groups = 0;
    return true;
}

/* What loss is reported of goes by what all lanes sent, and the rate of all by what is reported. */
static void
follow_loss(struct cfc_crew *crew)
{
    struct cfc_lane *first = &crew->lanes[0];
    struct cfc_lane_budgets *budgets = first->budgets;
    uint64_t sum = 0;

    for (uint32_t i = 1; i < crew->lane_count; i++) {
        sum += atomic_load_explicit(&crew->lanes[i].source_count, memory_order_relaxed);
    }
    cfc_sender_share_sent(first->sender, (uint32_t)(sum - crew->source_count));
    crew->source_count = sum;
    if (budgets != NULL && budgets->is_limited[CFC_GRANT_MULTICAST]) {
        cfc_budget_set_rate(&budgets->budgets[CFC_GRANT_MULTICAST],
                            cfc_sender_share_rate(first->sender));
    }
}

/* Nobody is woken for it. */
static void
carry_fleet(struct cfc_crew *crew)
{
    struct message message = {.type = FIT,
                              .u.fleet = cfc_sender_share_fleet(crew->lanes[0].sender)};

    for (uint32_t i = 1; i < crew->lane_count; i++) {
        if (rte_ring_free_count(crew->posts[i].to) > ASK_ROOM) {
            send(&crew->posts[i], &message);
        }
    }
}

/* A helper could not take what it was given for this slot. */
static void
note_failed(struct cfc_crew *crew, uint32_t slot)
{
    struct note *note = &crew->notes[slot];

    if (--note->puts_open > 0) {
        return; /* it was given more than once, and may hold it by another time */
    }
    if (note->is_known && !note->is_drop_due) {
        note->is_known = false;
        return;
    }
    if (note->is_drop_due) {
        cfc_slot_list_remove(&crew->due, crew->links, slot);
        note->is_drop_due = false;
        note->is_known = false;
    }
    cfc_sender_payload_done(crew->lanes[0].sender, slot, 1);
}

static uint32_t
take_released(struct cfc_crew *crew)
{
    uint32_t count = 0;
    uint32_t slot;

    for (uint32_t i = 1; i < crew->lane_count; i++) {
        while (rte_ring_sc_dequeue_elem(crew->posts[i].from, &slot, sizeof(slot)) == 0) {
            if ((slot & FAILED) != 0) {
                note_failed(crew, slot & ~FAILED);
            } else {
                crew->notes[slot].puts_open = 0;
                cfc_sender_payload_done(crew->lanes[0].sender, slot, 1);
            }
            count++;
        }
    }
    return count;
}

uint32_t
cfc_crew_carry(struct cfc_crew *crew)
{
    uint32_t count = 0;

    while (carry_due(crew)) {
        count++;
    }
    while (cfc_slot_list_is_empty(&crew->due) && carry_wanted(crew)) {
        count++;
    }
    for (uint32_t i = 1; count > 0 && i < crew->lane_count; i++) {
        ring_sleeper(&crew->posts[i]);
    }
    if (crew->lanes[0].now.mono_ns >= crew->fit_due_ns) {
        follow_loss(crew);
        carry_fleet(crew);
        crew->fit_due_ns = crew->lanes[0].now.mono_ns + FIT_PERIOD_NS;
    }
    return count + take_released(crew);
}

bool
cfc_crew_is_waiting(const struct cfc_crew *crew)
{
    return !cfc_slot_list_is_empty(&crew->due) || !cfc_slot_list_is_empty(&crew->wanted);
}

static void
put(struct post *post, struct cfc_lane *lane, const struct message *m)
{
    const struct cfc_share_content *c = &m->u.content;
    uint32_t slot;
    int rc = cfc_sender_put_content(lane->sender, c->frame, c->frame_size, c->tree, c->tree_size,
                                    c->coded, m->is_pull_only, &slot);

    if (rc == CONFCAST_OK || rc == CONFCAST_ERR_EXISTS) {
        post->first_slots[slot] = m->slot;
        return;
    }
    /* The first sender took it, so it is memory that is short: consumers get it by pull. */
    cfc_log_error("lcore %u cannot take a content: %s", lane->number, confcast_error_text(rc));
    slot = m->slot | FAILED;
    rc = rte_ring_sp_enqueue_elem(post->from, &slot, sizeof(slot));
    assert(rc == 0);
}

static void
hear_one(struct post *post, struct cfc_lane *lane, const struct message *m)
{
    switch ((enum message_type)m->type) {
    case PUT:
        put(post, lane, m);
        break;
    case WANT:
        cfc_sender_share_want(lane->sender, m->key, m->groups, m->is_news,
                              m->now_ns < lane->now.mono_ns ? m->now_ns : lane->now.mono_ns);
        break;
    case DROP:
        cfc_sender_share_drop(lane->sender, m->key);
        break;
    case ASK:
        cfc_neighbors_learn(lane->neighbors, m->u.ask.address.ip, m->mac, lane->now.mono_ns);
        (void)cfc_sender_share_ask(lane->sender, &m->u.ask, &lane->now);
        break;
    case FIT:
        cfc_sender_share_fit(lane->sender, &m->u.fleet);
        break;
    default:
        assert(false);
    }
}

static uint32_t
give_back(struct post *post, struct cfc_lane *lane)
{
    struct cfc_upcall up;
    uint32_t count = 0;
    int rc;

    while (rte_ring_free_count(post->from) > 0 &&
           cfc_sender_poll_upcall(lane->sender, &up) == CONFCAST_OK) {
        assert(up.type == CFC_UPCALL_RELEASED);
        rc = rte_ring_sp_enqueue_elem(post->from, &post->first_slots[up.slot], sizeof(uint32_t));
        assert(rc == 0);
        (void)rc;
        count++;
    }
    return count;
}

uint32_t
cfc_crew_hear(struct cfc_crew *crew, uint32_t number)
{
    struct post *post = &crew->posts[number];
    struct cfc_lane *lane = &crew->lanes[number];
    struct message message;
    uint32_t count = 0;

    while (count < HEAR_BURST && rte_ring_free_count(post->from) > 0 &&
           rte_ring_sc_dequeue_elem(post->to, &message, sizeof(message)) == 0) {
        hear_one(post, lane, &message);
        count++;
    }
    return count + give_back(post, lane);
}

void
cfc_crew_sleep(struct cfc_crew *crew, uint32_t number, uint64_t time_ns)
{
    struct timespec time = {.tv_sec = (time_t)(time_ns / CFC_S),
                            .tv_nsec = (long)(time_ns % CFC_S)};
    struct post *post = &crew->posts[number];
    struct pollfd fd = {.fd = post->wake_fd, .events = POLLIN};
    uint64_t rings;

    (void)atomic_exchange_explicit(&post->is_asleep, true, memory_order_acq_rel);
    if (rte_ring_empty(post->to) && ppoll(&fd, 1, &time, NULL) > 0 &&
        read(post->wake_fd, &rings, sizeof(rings)) < 0) {
        cfc_log_warning("lcore %u was woken by nobody", number);
    }
    atomic_store_explicit(&post->is_asleep, false, memory_order_relaxed);
}
