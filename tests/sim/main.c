/* sim: tells stories.
 *
 *   sim --list
 *   sim --story NAME [--seed N] [--receivers N] [--loss PPM] [--rate BYTES] [--trace]
 *   sim --all --seeds A..B [--receivers N]
 *   sim --determinism [--receivers N]
 *   sim --expect NAME...          the stories are these, so that no test list forgets one
 *
 * One JSON line for each run.  Exit code 1 when an invariant was broken or a story's claim did not
 * hold; stderr has a command line that does it again. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/stories.h"

struct story {
    const char *name;
    const char *text;
    void (*tell)(struct sim *sim);
};

static const struct story stories[] = {
#define STORY_(name, text) {#name, text, sim_story_##name},
    SIM_STORIES(STORY_)
#undef STORY_
};

/* Frames and bytes by what they were for: [frames, bytes]. */
static const char *const kind_names[] = {
#define KIND_NAME_(name) #name,
    CFC_TX_KINDS(KIND_NAME_)
#undef KIND_NAME_
};

enum {
    STORY_COUNT = sizeof(stories) / sizeof(stories[0])
};

struct result {
    bool is_fine;
    uint64_t trace;
};

static uint64_t
wall_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void
print_result(struct sim *sim, uint64_t took_ms)
{
    const struct sim_net_stats *net = &sim->net.stats;
    const struct sim_check *check = &sim->check;

    printf(
        "{\"story\": \"%s\", \"seed\": %" PRIu64 ", \"receivers\": %u, \"ok\": %s, "
        "\"trace\": \"%016" PRIx64 "\", \"events\": %" PRIu64 ", \"checks\": %" PRIu64
        ", \"simulated_ms\": %" PRIu64 ", \"wall_ms\": %" PRIu64 ", \"converged_ms_max\": %" PRIu64,
        sim->options.story, sim->options.seed, sim->consumer_count,
        sim_is_fine(sim) ? "true" : "false", sim->world.trace, sim->world.traced, check->checks,
        (sim->world.now_ns - SIM_START_MONO_NS) / CFC_MS, took_ms, sim->converged_ns_max / CFC_MS);
    printf(", \"multicast_bytes\": %" PRIu64 ", \"unicast_bytes\": %" PRIu64
           ", \"up_bytes\": %" PRIu64 ", \"delivered\": %" PRIu64 ", \"lost\": %" PRIu64
           ", \"nacks\": %" PRIu64 ", \"reports\": %" PRIu64 ", \"hellos\": %" PRIu64,
           net->multicast_bytes, net->unicast_bytes, net->up_bytes, net->delivered, net->lost,
           net->up_by_type[CFC_FRAME_NACK], net->up_by_type[CFC_FRAME_REPORT],
           net->up_by_type[CFC_FRAME_HELLO]);
    printf(", \"wire\": {");
    for (int kind = 0; kind < CFC_TX_KIND_COUNT; kind++) {
        printf("%s\"%s\": [%" PRIu64 ", %" PRIu64 "]", kind > 0 ? ", " : "", kind_names[kind],
               sim->engine.kind_frames[kind], sim->engine.kind_bytes[kind]);
    }
    printf("}");
    if (check->broken_invariant >= 0) {
        printf(", \"broken\": %d", check->broken_invariant);
    }
    printf("}\n");
    fflush(stdout);
}

static struct result
tell(const struct story *story, struct sim_options options)
{
    struct sim *sim = sim_alloc(sizeof(*sim));
    uint64_t began = wall_ms();
    struct result result;

    options.story = story->name;
    sim_open(sim, &options);
    story->tell(sim);
    if (sim_is_fine(sim)) {
        sim_check_determinism(sim);
    }
    print_result(sim, wall_ms() - began);
    result = (struct result){.is_fine = sim_is_fine(sim), .trace = sim->world.trace};
    sim_close(sim);
    free(sim);
    return result;
}

static const struct story *
find_story(const char *name)
{
    for (int i = 0; i < STORY_COUNT; i++) {
        if (strcmp(stories[i].name, name) == 0) {
            return &stories[i];
        }
    }
    return NULL;
}

/* The same seed gives the same trace, another seed another one. */
static int
check_determinism(const struct sim_options *options)
{
    int failures = 0;

    for (int i = 0; i < STORY_COUNT; i++) {
        struct sim_options one = *options;
        struct sim_options other;
        struct result a, b, c;

        one.skips_claims = true; /* few receivers, so that every story can be told three times */
        other = one;
        other.seed = options->seed + 1;
        a = tell(&stories[i], one);
        b = tell(&stories[i], one);
        c = tell(&stories[i], other);
        if (!a.is_fine || !b.is_fine || !c.is_fine) {
            failures++;
        }
        if (a.trace != b.trace) {
            fprintf(stderr, "sim: %s: one seed, two traces\n", stories[i].name);
            failures++;
        }
        if (a.trace == c.trace) {
            fprintf(stderr, "sim: %s: two seeds, one trace\n", stories[i].name);
            failures++;
        }
    }
    return failures > 0 ? 1 : 0;
}

static int
usage(void)
{
    fprintf(stderr, "usage: sim --list | --story NAME | --all | --determinism\n"
                    "           [--seed N | --seeds A..B] [--receivers N] [--loss PPM] "
                    "[--rate BYTES] [--trace]\n");
    return 2;
}

static bool
parse_number(const char *text, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool
parse_range(char *text, uint64_t *first, uint64_t *last)
{
    char *dots = strstr(text, "..");

    if (dots == NULL) {
        return false;
    }
    *dots = '\0';
    return parse_number(text, first) && parse_number(dots + 2, last) && *first <= *last;
}

/* Whether `names` are all stories. */
static bool
are_all(char **names, int count)
{
    bool is_good = count == STORY_COUNT;

    for (int i = 0; i < STORY_COUNT; i++) {
        bool is_named = false;

        for (int n = 0; n < count; n++) {
            is_named = is_named || strcmp(names[n], stories[i].name) == 0;
        }
        if (!is_named) {
            fprintf(stderr, "sim: %s is not in the list\n", stories[i].name);
            is_good = false;
        }
    }
    return is_good;
}

static void
list_stories(void)
{
    for (int i = 0; i < STORY_COUNT; i++) {
        printf("%-16s %s\n", stories[i].name, stories[i].text);
    }
}

struct command {
    struct sim_options options;
    const struct story *story; /* NULL: all */
    uint64_t first_seed, last_seed;
    enum {
        COMMAND_NONE,
        COMMAND_LIST,
        COMMAND_EXPECT,
        COMMAND_TELL,
        COMMAND_DETERMINISM
    } what;
};

static const struct option long_options[] = {
    {"list", no_argument, NULL, 'L'},        {"expect", no_argument, NULL, 'e'},
    {"story", required_argument, NULL, 's'}, {"all", no_argument, NULL, 'a'},
    {"determinism", no_argument, NULL, 'd'}, {"seed", required_argument, NULL, 'n'},
    {"seeds", required_argument, NULL, 'N'}, {"receivers", required_argument, NULL, 'r'},
    {"loss", required_argument, NULL, 'l'},  {"rate", required_argument, NULL, 'b'},
    {"trace", no_argument, NULL, 't'},       {NULL, 0, NULL, 0},
};

/* Takes one option; false when it makes no sense. */
static bool
take_option(struct command *command, int option, char *value)
{
    uint64_t number;

    switch (option) {
    case 'L':
        command->what = COMMAND_LIST;
        return true;
    case 'e':
        command->what = COMMAND_EXPECT;
        return true;
    case 's':
        command->what = COMMAND_TELL;
        command->story = find_story(value);
        return command->story != NULL;
    case 'a':
        command->what = COMMAND_TELL;
        return command->story == NULL;
    case 'd':
        command->what = COMMAND_DETERMINISM;
        return true;
    case 'n':
        return parse_number(value, &command->first_seed) &&
               parse_number(value, &command->last_seed);
    case 'N':
        return parse_range(value, &command->first_seed, &command->last_seed);
    case 'r':
        if (!parse_number(value, &number) || number < 4 || number > 99999) {
            return false;
        }
        command->options.consumer_count = (uint32_t)number;
        return true;
    case 'l':
        if (!parse_number(value, &number) || number > 900000) {
            return false;
        }
        command->options.loss_ppm = (int32_t)number;
        return true;
    case 'b':
        return parse_number(value, &command->options.rate_bytes);
    case 't':
        command->options.is_loud = true;
        return true;
    default:
        return false;
    }
}

/* Options to repeat besides story, seed and receivers. */
static void
tell_extra(struct command *command, char *text, size_t size)
{
    int used = 0;

    text[0] = '\0';
    if (command->options.loss_ppm >= 0) {
        used = snprintf(text, size, " --loss %d", (int)command->options.loss_ppm);
    }
    if (command->options.rate_bytes > 0) {
        snprintf(text + used, size - (size_t)used, " --rate %" PRIu64, command->options.rate_bytes);
    }
    command->options.extra = text;
}

int
main(int argc, char **argv)
{
    struct command command = {
        .options = {.consumer_count = 1000, .loss_ppm = -1}, .first_seed = 1, .last_seed = 1};
    char extra[64];
    int option, failures = 0;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (!take_option(&command, option, optarg)) {
            return usage();
        }
    }
    tell_extra(&command, extra, sizeof(extra));
    command.options.seed = command.first_seed;
    if (command.what == COMMAND_EXPECT) {
        return are_all(argv + optind, argc - optind) ? 0 : 1;
    }
    if (command.what == COMMAND_NONE || optind != argc) {
        return usage();
    }
    if (command.what == COMMAND_LIST) {
        list_stories();
        return 0;
    }
    if (command.what == COMMAND_DETERMINISM) {
        return check_determinism(&command.options);
    }
    for (uint64_t seed = command.first_seed; seed <= command.last_seed; seed++) {
        command.options.seed = seed;
        for (int i = 0; i < STORY_COUNT; i++) {
            if (command.story == NULL || command.story == &stories[i]) {
                failures += !tell(&stories[i], command.options).is_fine;
            }
        }
    }
    return failures > 0 ? 1 : 0;
}
