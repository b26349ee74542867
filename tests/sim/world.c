#include "tests/sim/world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

void *
sim_alloc(size_t size)
{
    void *p = calloc(1, size);

    if (p == NULL) {
        fprintf(stderr, "sim: out of memory\n");
        abort();
    }
    return p;
}

void *
sim_realloc(void *p, size_t size)
{
    p = realloc(p, size);
    if (p == NULL) {
        fprintf(stderr, "sim: out of memory\n");
        abort();
    }
    return p;
}

/* The size stands in front of each piece; 16 bytes keep the alignment. */
static void *
counter_alloc(void *ctx, size_t size)
{
    struct sim_counter *counter = ctx;
    uint64_t *p = malloc(size + 16);

    if (p == NULL) {
        return NULL;
    }
    p[0] = size;
    counter->byte_count += size;
    if (counter->byte_count > counter->peak_count) {
        counter->peak_count = counter->byte_count;
    }
    return p + 2;
}

static void
counter_free(void *ctx, void *p)
{
    struct sim_counter *counter = ctx;
    uint64_t *start;

    if (p == NULL) {
        return;
    }
    start = (uint64_t *)p - 2;
    assert(counter->byte_count >= start[0]);
    counter->byte_count -= start[0];
    free(start);
}

struct cfc_alloc
sim_counter_alloc(struct sim_counter *counter)
{
    return (struct cfc_alloc){.alloc = counter_alloc, .free = counter_free, .ctx = counter};
}

void
sim_world_init(struct sim_world *world, uint64_t seed)
{
    struct cfc_prng root = {.state = seed};

    memset(world, 0, sizeof(*world));
    world->now_ns = SIM_START_MONO_NS;
    world->trace = UINT64_C(0xcbf29ce484222325);
    for (int i = 0; i < SIM_STREAM_COUNT; i++) {
        world->streams[i].state = cfc_prng_next(&root);
    }
}

void
sim_world_close(struct sim_world *world)
{
    for (size_t i = 0; i < world->event_count; i++) {
        sim_packet_unref(world->heap[i].packet);
    }
    free(world->heap);
    world->heap = NULL;
    world->event_count = 0;
}

static bool
is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void
sim_world_at(struct sim_world *world, uint64_t at_ns, sim_event_fn run, void *ctx, uint64_t arg,
             struct sim_packet *packet)
{
    struct sim_event event = {
        .at_ns = at_ns > world->now_ns ? at_ns : world->now_ns,
        .order = world->order++,
        .run = run,
        .ctx = ctx,
        .arg = arg,
        .packet = packet,
    };
    size_t i;

    if (world->event_count == world->event_capacity) {
        world->event_capacity = world->event_capacity > 0 ? 2 * world->event_capacity : 1024;
        world->heap = sim_realloc(world->heap, world->event_capacity * sizeof(*world->heap));
    }
    for (i = world->event_count++; i > 0; i = (i - 1) / 2) {
        size_t parent = (i - 1) / 2;

        if (!is_before(&event, &world->heap[parent])) {
            break;
        }
        world->heap[i] = world->heap[parent];
    }
    world->heap[i] = event;
}

static struct sim_event
pop_event(struct sim_world *world)
{
    struct sim_event first = world->heap[0];
    struct sim_event last = world->heap[--world->event_count];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= world->event_count) {
            break;
        }
        if (child + 1 < world->event_count &&
            is_before(&world->heap[child + 1], &world->heap[child])) {
            child++;
        }
        if (!is_before(&world->heap[child], &last)) {
            break;
        }
        world->heap[i] = world->heap[child];
        i = child;
    }
    world->heap[i] = last;
    return first;
}

void
sim_world_run_until(struct sim_world *world, uint64_t until_ns)
{
    while (!world->has_failed && world->event_count > 0 && world->heap[0].at_ns <= until_ns) {
        struct sim_event event = pop_event(world);

        world->now_ns = event.at_ns;
        event.run(event.ctx, event.arg, event.packet);
        sim_packet_unref(event.packet);
    }
    if (!world->has_failed && until_ns > world->now_ns) {
        world->now_ns = until_ns;
    }
}

static void
mix(struct sim_world *world, uint64_t x)
{
    uint64_t h = world->trace ^ x;

    h *= UINT64_C(0x9fb21c651e98df25);
    h ^= h >> 29;
    world->trace = h;
}

void
sim_world_trace(struct sim_world *world, const char *what, uint64_t node, uint64_t a, uint64_t b)
{
    uint64_t word = 0;

    for (const char *p = what; *p != '\0'; p++) {
        word = word * 31 + (uint8_t)*p;
    }
    mix(world, world->now_ns);
    mix(world, word);
    mix(world, node);
    mix(world, a);
    mix(world, b);
    world->traced++;
    if (world->is_loud) {
        fprintf(stderr, "%13.6f %-10s %5" PRIu64 " %016" PRIx64 " %" PRId64 "\n",
                (double)(world->now_ns - SIM_START_MONO_NS) / 1e9, what, node, a, (int64_t)b);
    }
}

bool
sim_world_chance(struct sim_world *world, enum sim_stream stream, uint32_t ppm)
{
    return ppm > 0 && cfc_prng_below(&world->streams[stream], 1000000) < ppm;
}

uint64_t
sim_world_below(struct sim_world *world, enum sim_stream stream, uint64_t bound)
{
    return cfc_prng_below(&world->streams[stream], bound);
}

struct sim_packet *
sim_packet_join(const void *header, size_t header_size, const void *payload, size_t payload_size)
{
    struct sim_packet *packet = sim_alloc(sizeof(*packet) + header_size + payload_size);

    packet->refs = 1;
    packet->size = (uint32_t)(header_size + payload_size);
    memcpy(packet->bytes, header, header_size);
    if (payload_size > 0) {
        memcpy(packet->bytes + header_size, payload, payload_size);
    }
    packet->digest = XXH3_64bits(packet->bytes, packet->size);
    return packet;
}

struct sim_packet *
sim_packet_new(const void *bytes, size_t size)
{
    return sim_packet_join(bytes, size, NULL, 0);
}

struct sim_packet *
sim_packet_ref(struct sim_packet *packet)
{
    packet->refs++;
    return packet;
}

void
sim_packet_unref(struct sim_packet *packet)
{
    if (packet != NULL && --packet->refs == 0) {
        free(packet);
    }
}
