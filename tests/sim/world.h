/* The simulated world's clock, event queue, random streams and trace.
 *
 * Everything that happens is an event; events run in order of time, ties in the order in which they
 * were made.  Randomness comes from one seed through a stream for each purpose, so that, say, more
 * loss does not change who restarts.  The trace is a hash over all that happened: the same seed
 * gives the same one.  Nothing in here depends on addresses, on the machine or on its clock. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/base/prng.h"
#include "protocol/base/time.h"

#define SIM_START_MONO_NS UINT64_C(1000000000)
#define SIM_START_UNIX_NS UINT64_C(1800000000000000000)

enum sim_stream {
    SIM_STREAM_DOWN,     /* what the network does to frames towards consumers */
    SIM_STREAM_UP,       /* ... and to those towards the engine */
    SIM_STREAM_CONSUMER, /* disks, clocks and deaths of consumers */
    SIM_STREAM_STORY,    /* choices of a story */
    SIM_STREAM_COUNT
};

/* One datagram, shared by all its copies under way. */
struct sim_packet {
    uint32_t refs;
    uint32_t size;
    uint64_t digest; /* of its bytes, for the trace */
    uint8_t bytes[];
};

/* Runs an event.  `packet` is the event's own reference; the world gives it back afterwards. */
typedef void (*sim_event_fn)(void *ctx, uint64_t arg, struct sim_packet *packet);

struct sim_event {
    uint64_t at_ns;
    uint64_t order;
    sim_event_fn run;
    void *ctx;
    uint64_t arg;
    struct sim_packet *packet;
};

struct sim_world {
    uint64_t now_ns;      /* monotonic */
    int64_t unix_step_ns; /* sum of the steps of the true wall clock */
    uint64_t order;
    struct sim_event *heap;
    size_t event_count;
    size_t event_capacity;
    struct cfc_prng streams[SIM_STREAM_COUNT];
    uint64_t trace;
    uint64_t traced;
    bool has_failed; /* an invariant is broken: nothing runs any more */
    bool is_loud;    /* print the trace */
};

void sim_world_init(struct sim_world *world, uint64_t seed);
void sim_world_close(struct sim_world *world);

static inline struct cfc_now
sim_world_now(const struct sim_world *world)
{
    return (struct cfc_now){
        .mono_ns = world->now_ns,
        .unix_ns =
            SIM_START_UNIX_NS + (world->now_ns - SIM_START_MONO_NS) + (uint64_t)world->unix_step_ns,
    };
}

/* Queues an event; takes over the caller's reference to `packet`, which may be NULL.  A time that
 * has passed means now. */
void sim_world_at(struct sim_world *world, uint64_t at_ns, sim_event_fn run, void *ctx,
                  uint64_t arg, struct sim_packet *packet);

/* Runs what is due up to `until_ns`, then sets the clock to it.  Stops at once when has_failed. */
void sim_world_run_until(struct sim_world *world, uint64_t until_ns);

/* Mixes a happening into the trace. */
void sim_world_trace(struct sim_world *world, const char *what, uint64_t node, uint64_t a,
                     uint64_t b);

/* True `ppm` times in a million. */
bool sim_world_chance(struct sim_world *world, enum sim_stream stream, uint32_t ppm);
uint64_t sim_world_below(struct sim_world *world, enum sim_stream stream, uint64_t bound);

struct sim_packet *sim_packet_new(const void *bytes, size_t size);
/* Header and payload joined. */
struct sim_packet *sim_packet_join(const void *header, size_t header_size, const void *payload,
                                   size_t payload_size);
struct sim_packet *sim_packet_ref(struct sim_packet *packet);
void sim_packet_unref(struct sim_packet *packet); /* NULL is fine */

/* malloc that ends the program when there is no memory: a test has no better answer. */
void *sim_alloc(size_t size);
void *sim_realloc(void *p, size_t size);

/* An allocator that counts what is outstanding, so that a free that forgets something shows. */
struct sim_counter {
    uint64_t byte_count;
    uint64_t peak_count;
};
struct cfc_alloc sim_counter_alloc(struct sim_counter *counter);

#endif
