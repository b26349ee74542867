#include "controlplane/publish/head_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/publish/likeness.h"
#include "protocol/base/scope.h"

enum {
    CHANGED_PERIODS = 3, /* a change is listed at once in this many FRESHes */
    INLINE_TLV_SIZE = 4 + 8,
    HEAD_FIXED_SIZE = 96 + 64, /* of a HEAD: all but path, arms and TLVs */
    ARM_FIXED_SIZE = 72,       /* of an arm: all but its label */
    TAIL_MAX = 1024, /* new heads between two merges: each insertion would move the whole array */
};

struct cfc_head_set {
    struct cfc_head_set_config config;
    struct cfc_coded_set *contents;
    struct cfc_sha256 *shas[CFC_CREW_SIZE_MAX]; /* one for each of the crew */
    struct cfc_signed_head **heads; /* ascending by scope id, but for a short tail of new ones */
    size_t count;
    size_t sorted_count;         /* of them, before the tail */
    uint64_t tail_ids[TAIL_MAX]; /* scope ids of the tail: to be searched one by one */
    size_t capacity;
    uint64_t fresh_count;
    uint64_t fresh_unix_ns;          /* signed last */
    struct cfc_fresh_entry *entries; /* scratch of `capacity` */
    uint8_t *nodes;                  /* scratch of cfc_fresh_nodes_size(capacity) */
};

int
cfc_head_set_new(const struct cfc_head_set_config *config, struct cfc_coded_set *contents,
                 struct cfc_head_set **out)
{
    struct cfc_head_set *set = calloc(1, sizeof(*set));

    *out = NULL;
    if (set == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    set->config = *config;
    set->contents = contents;
    for (size_t i = 0; i < (config->crew != NULL ? CFC_CREW_SIZE_MAX : 1); i++) {
        set->shas[i] = cfc_sha256_new();
        if (set->shas[i] == NULL) {
            cfc_head_set_free(set);
            return CONFCAST_ERR_NO_MEMORY;
        }
    }
    *out = set;
    return CONFCAST_OK;
}

static void
unname_all(struct cfc_head_set *set, struct cfc_signed_head *head)
{
    for (size_t i = 0; i < head->content_count; i++) {
        cfc_coded_set_unname(set->contents, head->contents[i]);
    }
    head->content_count = 0;
}

void
cfc_head_set_free(struct cfc_head_set *set)
{
    if (set == NULL) {
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        unname_all(set, set->heads[i]);
        cfc_head_set_drop(set->heads[i]);
    }
    free(set->heads);
    free(set->entries);
    free(set->nodes);
    for (size_t i = 0; i < CFC_CREW_SIZE_MAX; i++) {
        cfc_sha256_free(set->shas[i]);
    }
    free(set);
}

static int
grow(struct cfc_head_set *set)
{
    size_t capacity = set->capacity == 0 ? 64 : 2 * set->capacity;
    struct cfc_signed_head **heads;
    struct cfc_fresh_entry *entries;
    uint8_t *nodes;

    if (set->count < set->capacity) {
        return CONFCAST_OK;
    }
    heads = realloc(set->heads, capacity * sizeof(*heads));
    if (heads == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    set->heads = heads;
    entries = realloc(set->entries, capacity * sizeof(*entries));
    if (entries == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    set->entries = entries;
    nodes = realloc(set->nodes, cfc_fresh_nodes_size((uint32_t)capacity));
    if (nodes == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    set->nodes = nodes;
    set->capacity = capacity;
    return CONFCAST_OK;
}

static int
compare_heads(const void *a, const void *b)
{
    const struct cfc_signed_head *const *x = a;
    const struct cfc_signed_head *const *y = b;

    return ((*x)->entry.scope_id > (*y)->entry.scope_id) -
           ((*x)->entry.scope_id < (*y)->entry.scope_id);
}

/* Merges the tail into the sorted heads, from the end. */
static void
merge_tail(struct cfc_head_set *set)
{
    struct cfc_signed_head *tail[TAIL_MAX];
    size_t tail_count = set->count - set->sorted_count;
    size_t sorted = set->sorted_count;
    size_t to = set->count;

    if (tail_count == 0) {
        return;
    }
    memcpy(tail, set->heads + sorted, tail_count * sizeof(tail[0]));
    qsort(tail, tail_count, sizeof(tail[0]), compare_heads);
    while (tail_count > 0) {
        bool is_sorted_last =
            sorted > 0 && compare_heads(&set->heads[sorted - 1], &tail[tail_count - 1]) > 0;

        set->heads[--to] = is_sorted_last ? set->heads[--sorted] : tail[--tail_count];
    }
    set->sorted_count = set->count;
}

/* The place of a scope's head; set->count when it has none. */
static size_t
find_head(const struct cfc_head_set *set, uint64_t scope_id)
{
    size_t low = 0;
    size_t high = set->sorted_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->heads[middle]->entry.scope_id < scope_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < set->sorted_count && set->heads[low]->entry.scope_id == scope_id) {
        return low;
    }
    low = set->sorted_count;
    while (low < set->count && set->tail_ids[low - set->sorted_count] != scope_id) {
        low++;
    }
    return low;
}

static size_t
frame_capacity(const struct cfc_head_set *set)
{
    return set->config.frame_size_max < CFC_FRAME_SIZE_DEFAULT ? set->config.frame_size_max
                                                               : CFC_FRAME_SIZE_DEFAULT;
}

static struct cfc_coded *
must_find(struct cfc_head_set *set, const struct cfc_config_body *body)
{
    struct cfc_coded *coded = cfc_coded_set_find(set->contents, &body->id);

    assert(coded != NULL);
    return coded;
}

static void
name_once(struct cfc_head_set *set, struct cfc_signed_head *head, struct cfc_coded *coded)
{
    for (size_t i = 0; i < head->content_count; i++) {
        if (head->contents[i] == coded) {
            return;
        }
    }
    cfc_coded_set_name(set->contents, coded);
    head->contents[head->content_count++] = coded;
}

static void
describe(const struct cfc_head_set *set, const struct cfc_decision *decision, uint64_t unix_ns,
         struct cfc_head *head)
{
    *head = (struct cfc_head){
        .kind = (uint8_t)decision->kind,
        .activation = (uint8_t)decision->activation,
        .arm_count = (uint8_t)decision->arm_count,
        .shard = set->config.shard,
        .epoch = set->config.epoch,
        .version = decision->version,
        .issued_unix_ns = unix_ns,
        .activate_unix_ns = decision->activate_unix_ns,
        .confirm_by_unix_ns = decision->confirm_by_unix_ns,
        .rollout_salt = decision->salt,
        .scope = decision->scope,
        .scope_size = (uint16_t)strlen(decision->scope),
    };
    for (uint32_t i = 0; i < decision->arm_count; i++) {
        const struct cfc_decision_arm *from = &decision->arms[i];
        struct cfc_arm *arm = &head->arms[i];

        arm->selector = (uint8_t)from->selector;
        arm->threshold = from->threshold;
        arm->content = from->content->id;
        if (from->fallback != NULL) {
            arm->fallback = from->fallback->id;
        }
        arm->label_key = from->label_key;
        arm->label_key_size = (uint8_t)strlen(from->label_key);
        arm->label_value = from->label_value;
        arm->label_value_size = (uint8_t)strlen(from->label_value);
    }
}

/* Encodes with the first arm's content inline, as `coding` has it.  LIMIT: it does not fit. */
static int
encode_with(const struct cfc_head_set *set, uint32_t worker, struct cfc_head *head,
            const struct cfc_coded *coding, struct cfc_signed_head *out)
{
    size_t capacity = frame_capacity(set);
    int error = CONFCAST_ERR_LIMIT;

    if (coding->coded_size + INLINE_TLV_SIZE < capacity) {
        head->inlined = (struct cfc_inline_content){
            .is_present = true,
            .arm = 0,
            .encoding = coding->encoding,
            .body_size = (uint32_t)coding->body_size,
            .base = coding->base,
            .coded = cfc_coded_bytes(coding),
            .coded_size = coding->coded_size,
        };
        error = cfc_head_encode(head, &set->config.signer, set->shas[worker], out->frame, capacity,
                                &out->frame_size);
        head->inlined.is_present = false;
    }
    return error;
}

/* Encodes with the first arm's content inline when that fits, or its delta, else without. */
static int
encode(const struct cfc_head_set *set, uint32_t worker, struct cfc_head *head,
       const struct cfc_coded *first, struct cfc_signed_head *out)
{
    const struct cfc_coded *delta = NULL;

    if (encode_with(set, worker, head, first, out) == CONFCAST_OK) {
        return CONFCAST_OK;
    }
    if (!cfc_digest_is_zero(&out->base)) {
        delta = cfc_coded_find_delta(first, &out->base);
    }
    if (delta != NULL && out->is_news &&
        encode_with(set, worker, head, delta, out) == CONFCAST_OK) {
        return CONFCAST_OK;
    }
    return cfc_head_encode(head, &set->config.signer, set->shas[worker], out->frame,
                           frame_capacity(set), &out->frame_size);
}

static int
sign(struct cfc_head_set *set, uint32_t worker, uint64_t unix_ns, struct cfc_signed_head *out)
{
    struct cfc_sha256 *sha = set->shas[worker];
    const struct cfc_decision *decision = out->decision;
    struct cfc_head head;
    struct cfc_frame frame;
    int error;

    describe(set, decision, unix_ns, &head);
    error = encode(set, worker, &head, must_find(set, decision->arms[0].content), out);
    if (error != CONFCAST_OK) {
        return error;
    }
    /* Read back what was written: the digest is over the signed bytes of the frame. */
    error = cfc_frame_open(out->frame, out->frame_size, &frame);
    if (error == CONFCAST_OK) {
        error = cfc_head_decode(&frame, sha, &head);
    }
    if (error == CONFCAST_OK) {
        cfc_head_digest(&head, sha, out->entry.head_digest);
        out->entry.scope_id = frame.key;
        out->entry.version = decision->version;
    }
    return error;
}

/* Heads to be signed together. */
struct batch {
    struct cfc_head_set *set;
    struct cfc_signed_head **heads;
    int *errors;
    uint64_t unix_ns;
};

static void
sign_one(void *arg, uint32_t worker, size_t i)
{
    struct batch *batch = arg;

    batch->errors[i] = sign(batch->set, worker, batch->unix_ns, batch->heads[i]);
}

/* Whether the first arm's content rides in the head, so that nobody needs anything else. */
static bool
rides_whole(const struct cfc_head_set *set, const struct cfc_decision *decision,
            const struct cfc_coded *whole)
{
    size_t size = HEAD_FIXED_SIZE + strlen(decision->scope) + INLINE_TLV_SIZE + whole->coded_size;

    for (uint32_t i = 0; i < decision->arm_count; i++) {
        size += ARM_FIXED_SIZE + strlen(decision->arms[i].label_key) +
                strlen(decision->arms[i].label_value);
    }
    return size <= frame_capacity(set);
}

/* Whether a scope's fleet has not had a content by any of its heads. */
static bool
is_news(const struct cfc_coded *whole, const struct cfc_signed_head *in_force)
{
    for (size_t i = 0; i < in_force->content_count; i++) {
        if (in_force->contents[i] == whole) {
            return false;
        }
    }
    return !cfc_coded_was_told(whole, in_force->entry.scope_id);
}

/* What deltas the head of a decision is to go with: of contents that are new to its scope, against
 * what the decision in force names for all that no other arm takes. */
static size_t
wish_deltas(struct cfc_head_set *set, struct cfc_signed_head *head, struct cfc_delta_wish *wishes)
{
    const struct cfc_decision *decision = head->decision;
    const struct cfc_signed_head *in_force;
    struct cfc_config_body *base;
    size_t count = 0;
    size_t at;

    if (set->config.is_base_held == NULL) {
        return 0;
    }
    at = find_head(set, cfc_scope_id(set->shas[0], decision->scope, strlen(decision->scope)));
    if (at == set->count) {
        return 0;
    }
    in_force = set->heads[at];
    base = in_force->decision->arms[in_force->decision->arm_count - 1].content;
    for (uint32_t i = 0; i < decision->arm_count; i++) {
        struct cfc_config_body *body = decision->arms[i].content;
        const struct cfc_coded *whole = must_find(set, body);

        if (!is_news(whole, in_force) || (i == 0 && rides_whole(set, decision, whole)) ||
            !cfc_likeness_fits(base->body_size, body->body_size)) {
            continue;
        }
        head->is_news = head->is_news || i == 0;
        wishes[count++] = (struct cfc_delta_wish){.body = body, .base = base};
    }
    if (count == 0 || !set->config.is_base_held(set->config.arg, in_force->decision)) {
        return 0;
    }
    head->base = base->id;
    return count;
}

/* Has the deltas made that the heads are to go with.  Without memory for them the wholes go. */
static void
make_deltas(struct cfc_head_set *set, struct cfc_signed_head **heads, size_t count)
{
    struct cfc_delta_wish *wishes = calloc(count + 1, CFC_ARM_COUNT_MAX * sizeof(*wishes));
    size_t wish_count = 0;

    for (size_t i = 0; wishes != NULL && i < count; i++) {
        wish_count += wish_deltas(set, heads[i], wishes + wish_count);
    }
    (void)cfc_coded_set_add_deltas(set->contents, wishes, wish_count);
    free(wishes);
}

int
cfc_head_set_prepare(struct cfc_head_set *set, struct cfc_decision *const *decisions, size_t count,
                     uint64_t unix_ns, struct cfc_signed_head **heads)
{
    struct batch batch = {.set = set, .heads = heads, .unix_ns = unix_ns};
    int error = CONFCAST_OK;

    batch.errors = calloc(count + 1, sizeof(*batch.errors));
    for (size_t i = 0; i < count; i++) {
        heads[i] = calloc(1, sizeof(*heads[i]));
        if (heads[i] == NULL || batch.errors == NULL) {
            error = CONFCAST_ERR_NO_MEMORY;
            continue;
        }
        heads[i]->decision = cfc_decision_ref(decisions[i]);
    }
    if (error == CONFCAST_OK) {
        make_deltas(set, heads, count);
        cfc_crew_run(set->config.crew, count, sign_one, &batch);
    }
    for (size_t i = 0; error == CONFCAST_OK && i < count; i++) {
        error = batch.errors[i];
    }
    free(batch.errors);
    for (size_t i = 0; error != CONFCAST_OK && i < count; i++) {
        cfc_head_set_drop(heads[i]);
        heads[i] = NULL;
    }
    return error;
}

void
cfc_head_set_drop(struct cfc_signed_head *head)
{
    if (head != NULL) {
        cfc_decision_unref(head->decision);
        free(head);
    }
}

/* What the scope's fleet had by the head before. */
static void
inherit_known(struct cfc_signed_head *head, const struct cfc_signed_head *before)
{
    for (size_t i = 0; i < head->content_count; i++) {
        for (size_t j = 0; j < before->content_count; j++) {
            if (head->contents[i] == before->contents[j] && (before->known >> j & 1) != 0) {
                head->known |= UINT32_C(1) << i;
            }
        }
    }
}

int
cfc_head_set_put(struct cfc_head_set *set, struct cfc_signed_head *head)
{
    const struct cfc_decision *decision = head->decision;
    int error = grow(set);
    size_t at;

    if (error != CONFCAST_OK) {
        return error;
    }
    head->fresh_changed = set->fresh_count + 1;
    for (uint32_t i = 0; i < decision->arm_count; i++) {
        name_once(set, head, must_find(set, decision->arms[i].content));
        if (decision->arms[i].fallback != NULL) {
            name_once(set, head, must_find(set, decision->arms[i].fallback));
        }
    }
    at = find_head(set, head->entry.scope_id);
    if (at < set->count) {
        inherit_known(head, set->heads[at]);
        unname_all(set, set->heads[at]);
        cfc_head_set_drop(set->heads[at]);
    } else {
        if (at - set->sorted_count == TAIL_MAX) {
            merge_tail(set);
        }
        set->tail_ids[at - set->sorted_count] = head->entry.scope_id;
        set->count++;
    }
    set->heads[at] = head;
    return CONFCAST_OK;
}

size_t
cfc_head_set_count(const struct cfc_head_set *set)
{
    return set->count;
}

struct cfc_signed_head *
cfc_head_set_at(struct cfc_head_set *set, size_t idx)
{
    assert(idx < set->count);
    return set->heads[idx];
}

static bool
is_page_changed(const struct cfc_head_set *set, uint32_t page)
{
    size_t first = (size_t)page * CFC_FRESH_PAGE_ENTRIES_MAX;

    for (size_t i = first; i < set->count && i < first + CFC_FRESH_PAGE_ENTRIES_MAX; i++) {
        if (set->heads[i]->fresh_changed + CHANGED_PERIODS > set->fresh_count) {
            return true;
        }
    }
    return false;
}

int
cfc_head_set_fresh(struct cfc_head_set *set, uint64_t sequence, uint64_t unix_ns,
                   uint64_t not_after_unix_ns, uint32_t fleet_size, bool is_period,
                   int (*fn)(void *arg, const uint8_t *frame, size_t size, bool is_changed),
                   void *arg)
{
    uint64_t late_ns = unix_ns > set->fresh_unix_ns ? 0 : set->fresh_unix_ns + 1 - unix_ns;
    struct cfc_fresh fixed = {
        .shard = set->config.shard,
        .epoch = set->config.epoch,
        .sequence = sequence,
        .time_unix_ns = unix_ns + late_ns,
        .not_after_unix_ns = not_after_unix_ns + late_ns,
        .fleet_size = fleet_size,
        .scope_count = (uint32_t)set->count,
    };
    struct cfc_fresh_builder builder;
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    uint32_t page_count = cfc_fresh_page_count((uint32_t)set->count);
    int error = grow(set);

    if (error != CONFCAST_OK) {
        return error;
    }
    merge_tail(set);
    set->fresh_unix_ns = fixed.time_unix_ns;
    for (size_t i = 0; i < set->count; i++) {
        set->entries[i] = set->heads[i]->entry;
    }
    set->fresh_count += is_period;
    error = cfc_fresh_builder_init(&builder, &fixed, set->entries, (uint32_t)set->count, set->nodes,
                                   &set->config.signer, set->shas[0]);
    for (uint32_t page = 0; error == CONFCAST_OK && page < page_count; page++) {
        size_t size = 0;

        error = cfc_fresh_encode_page(&builder, page, frame, sizeof(frame), &size);
        if (error == CONFCAST_OK) {
            error = fn(arg, frame, size, page_count == 1 || is_page_changed(set, page));
        }
    }
    return error;
}
