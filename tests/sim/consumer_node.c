#include "tests/sim/consumer_node.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "confcast/error.h"
#include "protocol/snapshot/index.h"
#include "tests/sim/sim.h"

enum {
    SPINS_MAX = 1000,
    EVENTS_MAX = 10000 /* of one poll: more is an endless loop */
};

struct cfc_now
sim_consumer_now(const struct sim_consumer *c)
{
    struct cfc_now now = sim_world_now(&c->sim->world);

    now.unix_ns += (uint64_t)c->clock_off_ns;
    return now;
}

uint32_t
sim_consumer_scope_of(const struct sim_consumer *c, uint32_t scope_idx)
{
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        if ((c->scope_mask >> s & 1) != 0 && c->scope_idx[s] == scope_idx) {
            return s;
        }
    }
    return SIM_SCOPE_COUNT;
}

void
sim_consumer_init(struct sim_consumer *c, struct sim *sim, uint32_t idx)
{
    static const char *const zones[] = {"eu-1", "us-1", "us-2", "ap-1"};
    const char *zone = zones[idx % 4];

    memset(c, 0, sizeof(*c));
    c->sim = sim;
    c->idx = idx;
    c->id_size = (size_t)snprintf(c->id, sizeof(c->id), "host-%05u", idx);
    cfc_credential_key(&sim->engine.fleet_key, CFC_DOMAIN_CRED_SESSION, c->id, c->id_size,
                       &c->session_key);
    cfc_credential_key(&sim->report_key, CFC_DOMAIN_CRED_REPORT, c->id, c->id_size, &c->report_key);
    c->labels[0] = (struct cfc_label){
        .key = "zone", .key_size = 4, .value = zone, .value_size = (uint8_t)strlen(zone)};
    c->labels[1] =
        (struct cfc_label){.key = "role", .key_size = 4, .value = "web", .value_size = 3};
    c->scope_mask = idx % 2 == 0 ? 1 : 3;
    c->timer_ns = CFC_NEVER;
    c->clock_off_ns = (int64_t)sim_world_below(&sim->world, SIM_STREAM_CONSUMER, 20 * CFC_MS) -
                      (int64_t)(10 * CFC_MS);
}

static void
drop_disk(struct sim_disk *disk)
{
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        sim_packet_unref(disk->scopes[s].head);
    }
    memset(disk, 0, sizeof(*disk));
}

static void
copy_disk(struct sim_disk *to, const struct sim_disk *from)
{
    drop_disk(to);
    *to = *from;
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        if (to->scopes[s].head != NULL) {
            sim_packet_ref(to->scopes[s].head);
        }
    }
}

void
sim_consumer_close(struct sim_consumer *c)
{
    sim_consumer_kill(c);
    sim_pull_close(c->puller);
    drop_disk(&c->disk);
    drop_disk(&c->durable);
}

static bool
is_among(const struct sim_content *const *contents, uint32_t count,
         const struct sim_content *content)
{
    for (uint32_t i = 0; i < count; i++) {
        if (contents[i] == content) {
            return true;
        }
    }
    return false;
}

static bool
is_on_disk(const struct sim_disk *disk, const struct sim_content *content)
{
    return is_among(disk->contents, disk->content_count, content);
}

static bool
is_held(const struct sim_consumer *c, const struct sim_content *content)
{
    return is_among(c->held, c->held_count, content);
}

static void
hold(struct sim_consumer *c, const struct sim_content *content)
{
    if (is_held(c, content)) {
        return;
    }
    if (c->held_count == SIM_HELD_MAX) {
        sim_check_fail(c->sim, 0, "host-%05u was told to hold more than %d contents", c->idx,
                       SIM_HELD_MAX);
        return;
    }
    c->held[c->held_count++] = content;
}

/* Writes a content to disk; when there is no room, the oldest one goes that nobody needs. */
static void
cache(struct sim_consumer *c, const struct sim_content *content)
{
    struct sim_disk *disk = &c->disk;

    if (is_on_disk(disk, content)) {
        return;
    }
    for (uint32_t i = 0; i < disk->content_count && disk->content_count == SIM_CACHE_MAX; i++) {
        const struct sim_content *old = disk->contents[i];
        bool is_pinned = is_held(c, old);

        for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
            is_pinned = is_pinned || disk->scopes[s].served == old;
        }
        if (!is_pinned) {
            memmove(&disk->contents[i], &disk->contents[i + 1],
                    (disk->content_count - i - 1) * sizeof(disk->contents[0]));
            disk->content_count--;
        }
    }
    if (disk->content_count < SIM_CACHE_MAX) {
        disk->contents[disk->content_count++] = content;
    }
}

/* -- The disk ---------------------------------------------------------------------------------- */

static void
on_flush(void *ctx, uint64_t arg, struct sim_packet *packet)
{
    struct sim_consumer *c = ctx;
    struct cfc_now now = sim_consumer_now(c);

    (void)packet;
    if (c->receiver == NULL || arg != c->incarnation) {
        return;
    }
    c->is_flush_queued = false;
    copy_disk(&c->durable, &c->disk);
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        const struct sim_disk_scope *d = &c->durable.scopes[s];

        if ((c->scope_mask >> s & 1) != 0 && d->served != NULL &&
            d->served_version == d->floor_version) {
            int rc = cfc_receiver_durable(c->receiver, c->scope_idx[s], d->served_version, &now);

            if (rc != CONFCAST_OK) {
                sim_check_fail(c->sim, 0, "durable() returned %s", confcast_error_word(rc));
            }
            sim_check_durable(c->sim, c, s, d->served_version);
        }
    }
}

static void
queue_flush(struct sim_consumer *c)
{
    if (!c->is_flush_queued) {
        c->is_flush_queued = true;
        sim_world_at(&c->sim->world,
                     c->sim->world.now_ns + 2 * CFC_MS +
                         sim_world_below(&c->sim->world, SIM_STREAM_CONSUMER, 50 * CFC_MS),
                     on_flush, c, c->incarnation, NULL);
    }
}

/* -- Events ------------------------------------------------------------------------------------ */

/* A place where the process may die. */
static bool
dies_here(struct sim_consumer *c)
{
    if (sim_world_chance(&c->sim->world, SIM_STREAM_CONSUMER, c->sim->kill_ppm)) {
        c->is_dying = true;
    }
    return c->is_dying;
}

/* Says that we hold a content that our disk has. */
static void
load(struct sim_consumer *c, const struct sim_content *content)
{
    int rc;

    if (content == NULL || !is_on_disk(&c->disk, content) || is_held(c, content)) {
        return;
    }
    hold(c, content);
    rc = cfc_receiver_content_held(c->receiver, &content->id);
    if (rc != CONFCAST_OK) {
        sim_check_fail(c->sim, 0, "content_held() returned %s", confcast_error_word(rc));
    }
}

/* Says that we hold what this head names and our disk has. */
static void
hold_named(struct sim_consumer *c, const uint8_t *bytes, size_t size)
{
    struct cfc_frame frame;
    struct cfc_head head;

    if (cfc_frame_open(bytes, size, &frame) != CONFCAST_OK ||
        cfc_head_decode(&frame, c->sim->catalog.sha, &head) != CONFCAST_OK) {
        return;
    }
    for (uint32_t i = 0; i < 2u * head.arm_count; i++) {
        const struct cfc_arm *arm = &head.arms[i / 2];
        const struct sim_content *content =
            sim_catalog_find(&c->sim->catalog, i % 2 == 0 ? &arm->content : &arm->fallback);

        load(c, content);
    }
}

static void
on_accepted(struct sim_consumer *c, uint32_t scope, const struct cfc_receiver_event *event)
{
    struct sim_disk_scope *disk = &c->disk.scopes[scope];

    sim_check_accepted(c->sim, c, scope, event);
    if (dies_here(c)) {
        return;
    }
    sim_packet_unref(disk->head);
    disk->head = sim_packet_new(event->bytes, event->size);
    disk->floor_epoch = event->epoch;
    disk->floor_version = event->version;
    sim_check_persisted(c->sim, c, scope);
    hold_named(c, event->bytes, event->size);
    queue_flush(c);
    (void)dies_here(c);
}

/* Decodes as the library does: bounds first, then zstd, then the name, then the body.  *known is
 * the content that came out. */
static int
decode(struct sim *sim, const struct cfc_receiver_event *event, const uint8_t *base,
       size_t base_size, const struct sim_content **known)
{
    struct cfc_digest id;
    int rc;

    *known = NULL;
    if (event->body_size > sizeof(sim->scratch)) {
        return CONFCAST_ERR_LIMIT;
    }
    rc = cfc_coding_decode(sim->catalog.coder, (enum cfc_encoding)event->encoding, event->bytes,
                           event->size, base, base_size, sim->scratch, (size_t)event->body_size);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    cfc_content_id(sim->catalog.sha, sim->scratch, (size_t)event->body_size, &id);
    if (!cfc_digest_equal(&id, &event->content)) {
        return CONFCAST_ERR_DIGEST;
    }
    rc = cfc_body_validate(sim->scratch, (size_t)event->body_size);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    *known = sim_catalog_find(&sim->catalog, &id);
    sim_check_content(sim, *known, sim->scratch, (size_t)event->body_size);
    return *known != NULL ? CONFCAST_OK : CONFCAST_ERR_INTERNAL;
}

/* What a whole fleet decodes from the same bytes is decoded once. */
static int
decode_once(struct sim *sim, const struct cfc_receiver_event *event, const struct sim_content *base,
            const struct sim_content **known)
{
    struct {
        struct cfc_digest content, base;
        uint64_t body_size, encoding;
        XXH128_hash_t bytes;
    } input = {.content = event->content,
               .body_size = event->body_size,
               .encoding = event->encoding,
               .bytes = XXH3_128bits(event->bytes, event->size)};
    struct sim_decoded *found;
    XXH128_hash_t key;

    if (base != NULL) {
        input.base = base->id;
    }
    key = XXH3_128bits(&input, sizeof(input));
    found = &sim->decoded[key.low64 % SIM_DECODED_COUNT];
    if (!found->is_used || found->key[0] != key.low64 || found->key[1] != key.high64) {
        found->code = decode(sim, event, base != NULL ? base->body : NULL,
                             base != NULL ? base->body_size : 0, &found->known);
        found->key[0] = key.low64;
        found->key[1] = key.high64;
        found->is_used = true;
    }
    *known = found->known;
    return found->code;
}

/* What is damaged has other bytes throughout. */
static int
decode_with_damaged(struct sim *sim, const struct cfc_receiver_event *event,
                    const struct sim_content *base, const struct sim_content **known)
{
    uint8_t *bytes = sim_alloc(base->body_size);
    int rc;

    for (size_t i = 0; i < base->body_size; i++) {
        bytes[i] = base->body[i] ^ (i % 64 == 0);
    }
    rc = decode(sim, event, bytes, base->body_size, known);
    free(bytes);
    return rc;
}

static int
take_content(struct sim_consumer *c, const struct cfc_receiver_event *event)
{
    struct sim *sim = c->sim;
    const struct sim_content *base = NULL, *known;
    int rc;

    if (event->encoding == CFC_ENCODING_ZSTD_DELTA) {
        base = sim_catalog_find(&sim->catalog, &event->base);
        if (base == NULL || !is_held(c, base)) {
            return CONFCAST_ERR_NO_BASE;
        }
    }
    rc = base != NULL && base == c->damaged ? decode_with_damaged(sim, event, base, &known)
                                            : decode_once(sim, event, base, &known);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    /* Half of the fleet validates before it holds a content, the other half before it serves it. */
    if (known->kind == SIM_DOCUMENT_UNLIKED && c->idx % 4 < 2) {
        return CONFCAST_ERR_APP_REJECT;
    }
    hold(c, known);
    cache(c, known);
    queue_flush(c);
    return CONFCAST_OK;
}

static void
on_content(struct sim_consumer *c, const struct cfc_receiver_event *event)
{
    struct cfc_now now = sim_consumer_now(c);
    int code, rc;

    if (dies_here(c)) {
        return;
    }
    code = take_content(c, event);
    sim_world_trace(&c->sim->world, "content", c->idx, cfc_digest_key(&event->content),
                    (uint64_t)(int64_t)code);
    if (dies_here(c)) {
        return;
    }
    rc = cfc_receiver_content_done(c->receiver, &event->content, code, &now);
    if (rc != CONFCAST_OK) {
        sim_check_fail(c->sim, 0, "content_done() returned %s", confcast_error_word(rc));
    }
}

static void
on_serve(struct sim_consumer *c, uint32_t scope, const struct cfc_receiver_event *event)
{
    struct cfc_now now = sim_consumer_now(c);
    const struct sim_content *content = sim_catalog_find(&c->sim->catalog, &event->content);
    struct sim_disk_scope *disk = &c->disk.scopes[scope];
    int code = CONFCAST_OK;

    if (content == NULL || !is_held(c, content)) {
        sim_check_fail(c->sim, 4, "host-%05u was told to serve what it does not hold", c->idx);
        return;
    }
    if (content->kind != SIM_DOCUMENT_GOOD) {
        code = CONFCAST_ERR_APP_REJECT;
    } else {
        sim_check_serve(c->sim, c, scope, event, content);
        if (dies_here(c)) {
            return;
        }
        c->serving[scope] = content;
        disk->served = content;
        disk->served_epoch = event->epoch;
        disk->served_version = event->version;
        disk->served_state = event->state;
        sim_check_swapped(c->sim, c, scope, event, content);
        queue_flush(c);
    }
    if (dies_here(c)) {
        return;
    }
    (void)cfc_receiver_served(c->receiver, event->scope_idx, code, &now);
}

static void
on_release(struct sim_consumer *c, const struct cfc_receiver_event *event)
{
    const struct sim_content *content = sim_catalog_find(&c->sim->catalog, &event->content);

    sim_check_release(c->sim, c, content);
    for (uint32_t i = 0; i < c->held_count; i++) {
        if (c->held[i] == content) {
            c->held[i] = c->held[--c->held_count];
            return;
        }
    }
    sim_check_fail(c->sim, 0, "host-%05u was told to drop what it does not hold", c->idx);
}

static void
on_event(struct sim_consumer *c, const struct cfc_receiver_event *event)
{
    uint32_t scope = event->scope_idx == CFC_RECEIVER_NO_SCOPE
                         ? SIM_SCOPE_COUNT
                         : sim_consumer_scope_of(c, event->scope_idx);

    sim_world_trace(&c->sim->world, "event", c->idx, event->version,
                    event->type + 16u * scope + 256u * event->state +
                        4096u * (uint32_t)event->freshness);
    switch (event->type) {
    case CFC_EVENT_ACCEPTED:
        on_accepted(c, scope, event);
        break;
    case CFC_EVENT_CONTENT:
        on_content(c, event);
        break;
    case CFC_EVENT_SERVE:
        on_serve(c, scope, event);
        break;
    case CFC_EVENT_RELEASE:
        on_release(c, event);
        break;
    case CFC_EVENT_REJECTED:
        c->rejections++;
        break;
    case CFC_EVENT_PREPARED:
        c->prepared++;
        break;
    case CFC_EVENT_IDENTITY:
        c->identity_refusals++;
        break;
    case CFC_EVENT_FRESHNESS:
        break;
    }
}

/* -- The process ------------------------------------------------------------------------------- */

static void
on_timer(void *ctx, uint64_t arg, struct sim_packet *packet)
{
    struct sim_consumer *c = ctx;

    (void)packet;
    if (arg == c->timer_ns && c->receiver != NULL) {
        c->timer_ns = CFC_NEVER;
        sim_consumer_pump(c);
    }
}

static void
arm(struct sim_consumer *c)
{
    struct sim_world *world = &c->sim->world;
    uint64_t at_ns = cfc_receiver_deadline(c->receiver);

    if (at_ns <= world->now_ns) {
        at_ns = world->now_ns + CFC_US;
        c->spin_count = world->now_ns - c->spin_ns > CFC_MS ? 0 : c->spin_count + 1;
        c->spin_ns = world->now_ns;
        if (c->spin_count > SPINS_MAX) {
            sim_check_fail(c->sim, 0, "host-%05u: the receiver's deadline stays in the past",
                           c->idx);
        }
    }
    if (at_ns < c->timer_ns) {
        c->timer_ns = at_ns;
        sim_world_at(world, at_ns, on_timer, c, at_ns, NULL);
    }
}

static void
restart(void *ctx, uint64_t arg, struct sim_packet *packet)
{
    struct sim_consumer *c = ctx;

    (void)packet;
    if (c->receiver == NULL && arg == c->incarnation) {
        sim_consumer_start(c);
    }
}

void
sim_consumer_pump(struct sim_consumer *c)
{
    struct sim *sim = c->sim;
    struct cfc_now now = sim_consumer_now(c);
    struct cfc_receiver_event event;
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    size_t size;
    uint32_t count = 0;

    while (!c->is_dying && !sim->world.has_failed &&
           cfc_receiver_poll_event(c->receiver, &now, &event) == CONFCAST_OK) {
        on_event(c, &event);
        if (++count > EVENTS_MAX) {
            sim_check_fail(sim, 0, "host-%05u: events without end", c->idx);
        }
    }
    if (c->is_dying) {
        sim_consumer_kill(c);
        sim_world_at(&sim->world,
                     sim->world.now_ns + CFC_MS +
                         sim_world_below(&sim->world, SIM_STREAM_CONSUMER, 200 * CFC_MS),
                     restart, c, c->incarnation, NULL);
        return;
    }
    while (cfc_receiver_poll_frame(c->receiver, &now, frame, sizeof(frame), &size) == CONFCAST_OK) {
        struct sim_packet *packet = sim_packet_new(frame, size);

        sim_world_trace(&sim->world, "up", c->idx, packet->digest, size);
        sim_net_up(&sim->net, c->idx, packet);
        sim_packet_unref(packet);
    }
    sim_pull_pump(c);
    sim_check_consumer(sim, c);
    arm(c);
}

static void
join_groups(struct sim_consumer *c)
{
    struct sim_link *link = &c->sim->net.links[c->idx];

    link->groups = UINT32_C(1) << SIM_CONTROL_GROUP;
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        if ((c->scope_mask >> s & 1) != 0) {
            link->groups |= UINT32_C(1) << (c->sim->store.scope_ids[s] % SIM_GROUP_COUNT);
        }
    }
}

/* Puts back what the disk holds: floor and head, the contents, and what was served last, which is
 * served again before anything else happens. */
static void
restore_scope(struct sim_consumer *c, uint32_t scope)
{
    struct cfc_now now = sim_consumer_now(c);
    const struct sim_disk_scope *d = &c->disk.scopes[scope];
    const char *path = sim_scope_path(scope);
    int rc = cfc_receiver_subscribe(c->receiver, path, strlen(path), &c->scope_idx[scope]);

    assert(rc == CONFCAST_OK);
    if (d->floor_version == 0) {
        return;
    }
    rc = cfc_receiver_restore(c->receiver, c->scope_idx[scope], d->floor_epoch, d->floor_version,
                              d->head != NULL ? d->head->bytes : NULL,
                              d->head != NULL ? d->head->size : 0, &now);
    if (rc != CONFCAST_OK) {
        sim_check_fail(c->sim, 5, "host-%05u: its own head was refused at restart: %s", c->idx,
                       confcast_error_word(rc));
    }
    if (d->head != NULL) {
        hold_named(c, d->head->bytes, d->head->size);
    }
    if (d->served == NULL || !is_on_disk(&c->disk, d->served)) {
        return;
    }
    load(c, d->served);
    rc = cfc_receiver_restore_serving(c->receiver, c->scope_idx[scope], d->served_epoch,
                                      d->served_version, &d->served->id, d->served_state);
    if (rc == CONFCAST_OK) {
        rc = cfc_receiver_served(c->receiver, c->scope_idx[scope], CONFCAST_OK, &now);
    }
    if (rc != CONFCAST_OK) {
        sim_check_fail(c->sim, 8, "host-%05u: what it served was refused at restart: %s", c->idx,
                       confcast_error_word(rc));
    }
    c->serving[scope] = d->served;
}

void
sim_consumer_start(struct sim_consumer *c)
{
    struct sim *sim = c->sim;
    struct cfc_receiver_config config = {0};
    struct cfc_prng g;
    int rc;

    assert(c->receiver == NULL);
    c->is_enrolled = true;
    c->is_dying = false;
    c->is_flush_queued = false;
    c->held_count = 0;
    c->damaged = NULL;
    c->incarnation++;
    c->process_count++;
    g.state = sim->options.seed * 1000003 + c->idx * UINT64_C(7919) + c->incarnation;
    cfc_receiver_config_defaults(&config);
    config.id = c->id;
    config.id_size = c->id_size;
    config.labels = c->labels;
    config.label_count = 2;
    config.incarnation = c->incarnation;
    config.session_key = c->session_key;
    config.report_key = c->report_key;
    config.verifier = sim->trust.verifier;
    config.alloc = sim_counter_alloc(&c->memory);
    config.seed = cfc_prng_next(&g);
    config.fresh_period_ns = SIM_FRESH_PERIOD_NS;
    if (sim->options.budget_size > 0) {
        config.budget_size = sim->options.budget_size;
    }
    rc = cfc_receiver_new(&config, &c->receiver);
    assert(rc == CONFCAST_OK);
    sim_world_trace(&sim->world, "start", c->idx, c->incarnation, 0);
    sim_check_started(sim, c);
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        if ((c->scope_mask >> s & 1) != 0) {
            restore_scope(c, s);
        }
    }
    join_groups(c);
    sim_check_restored(sim, c);
    sim_pull_started(c);
    sim_consumer_pump(c);
}

void
sim_consumer_kill(struct sim_consumer *c)
{
    if (c->receiver == NULL) {
        return;
    }
    sim_world_trace(&c->sim->world, "kill", c->idx, c->incarnation, 0);
    sim_check_receiver_stats(c->sim, cfc_receiver_stats(c->receiver));
    sim_pull_ended(c);
    cfc_receiver_free(c->receiver);
    c->receiver = NULL;
    c->timer_ns = CFC_NEVER;
    memset(c->serving, 0, sizeof(c->serving));
    c->sim->net.links[c->idx].groups = 0;
    if (c->memory.byte_count != 0) {
        sim_check_fail(c->sim, 0, "host-%05u: a receiver kept %llu bytes after free", c->idx,
                       (unsigned long long)c->memory.byte_count);
    }
}

void
sim_consumer_cut_power(struct sim_consumer *c)
{
    sim_consumer_kill(c);
    copy_disk(&c->disk, &c->durable);
    sim_check_power_lost(c->sim, c);
}

void
sim_consumer_lose_head(struct sim_consumer *c, uint32_t scope)
{
    sim_packet_unref(c->disk.scopes[scope].head);
    c->disk.scopes[scope].head = NULL;
}

static void
after_frame(struct sim_consumer *c, const struct sim_packet *packet, const char *way, int rc)
{
    sim_world_trace(&c->sim->world, way, c->idx, packet->digest, (uint64_t)(int64_t)rc);
    sim_check_frame(c->sim, c, packet, rc);
    sim_consumer_pump(c);
}

void
sim_consumer_on_frame(struct sim_consumer *c, const struct sim_packet *packet)
{
    struct cfc_now now = sim_consumer_now(c);

    int rc;

    if (c->receiver == NULL) {
        return;
    }
    rc = cfc_receiver_on_frame(c->receiver, packet->bytes, packet->size, &now);
    if (c->puller != NULL && rc == CONFCAST_OK && sim_frame_type(packet) == CFC_FRAME_FRESH) {
        c->puller->heard_ns = now.mono_ns;
    }
    after_frame(c, packet, "rx", rc);
}

void
sim_consumer_on_pulled(struct sim_consumer *c, const struct sim_packet *packet)
{
    struct cfc_now now = sim_consumer_now(c);

    after_frame(c, packet, "pulled",
                cfc_receiver_on_pulled(c->receiver, packet->bytes, packet->size, &now));
}
