/* confcast-agent: one consumer on this host.
 *
 *     confcast-agent --fleet fleet.json --credential FILE --id ID --scope S [--scope ...]
 * --interface IF --state-dir DIR
 *                    [--label k=v ...] [--events -|FILE] [--verbose]
 *     confcast-agent get --state-dir DIR SCOPE [POINTER]
 *
 * Threads: main waits for signals; the library runs a receiver thread (two UDP sockets), a
 * persister thread (disk) and liburcu's call_rcu thread; the query thread answers `get` on
 * DIR/agent.sock. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "confcast/confcast.h"
#include "consumer/app/agent_query.h"

enum {
    SCOPES_MAX = 256,
    LABELS_MAX = 16
};

/* Exit codes, as confcastctl has them. */
enum {
    EXIT_BAD_USAGE = 3,
    EXIT_CANNOT_START = 2,
    EXIT_NOT_FOUND = 9,
};

struct arguments {
    struct confcast_options options;
    struct confcast_label labels[LABELS_MAX];
    const char *scopes[SCOPES_MAX];
    size_t scope_count;
    const char *events;
    int log_level;
};

static int
usage(const char *what)
{
    fprintf(stderr,
            "confcast-agent: %s\n"
            "usage: confcast-agent --fleet FILE --credential FILE --scope SCOPE [--scope ...]\n"
            "           --interface IF --state-dir DIR [--id ID] [--label KEY=VALUE ...]\n"
            "           [--events -|FILE] [--verbose]\n"
            "       confcast-agent get --state-dir DIR SCOPE [POINTER]\n",
            what);
    return EXIT_BAD_USAGE;
}

static void
write_hex(FILE *out, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        fprintf(out, "%02x", bytes[i]);
    }
}

/* Scope paths, event words and error words need no escapes. */
static void
print_event(void *arg, const struct confcast_event *event)
{
    FILE *out = arg;

    fprintf(out, "{\"event\":\"%s\"", event->event);
    if (event->scope != NULL) {
        fprintf(out, ",\"scope\":\"%s\"", event->scope);
    }
    fprintf(out, ",\"epoch\":%llu,\"version\":%llu,\"content\":\"",
            (unsigned long long)event->epoch, (unsigned long long)event->version);
    write_hex(out, event->content, sizeof(event->content));
    fprintf(out, "\",\"bytes\":%llu,\"arm\":%u", (unsigned long long)event->bytes, event->arm);
    if (event->reason != 0) {
        fprintf(out, ",\"reason\":\"%s\"", confcast_error_word(event->reason));
    }
    fprintf(out, ",\"time_unix_ns\":%llu}\n", (unsigned long long)event->unix_ns);
    fflush(out);
}

static void
print_log(void *arg, int level, const char *line)
{
    static const char *const words[] = {"error", "warning", "info", "debug"};
    const struct arguments *arguments = arg;

    if (level <= arguments->log_level) {
        fprintf(stderr, "confcast-agent: %s: %s\n", words[level < 0 || level > 3 ? 3 : level],
                line);
    }
}

static int
add_label(struct arguments *a, char *text)
{
    char *equals = strchr(text, '=');

    if (equals == NULL || a->options.label_count == LABELS_MAX) {
        return -1;
    }
    *equals = '\0';
    a->labels[a->options.label_count++] = (struct confcast_label){.key = text, .value = equals + 1};
    a->options.labels = a->labels;
    return 0;
}

/* 0, or an exit code. */
static int
parse(int argc, char **argv, struct arguments *a)
{
    static const struct option known[] = {
        {"fleet", required_argument, NULL, 'f'},     {"credential", required_argument, NULL, 'c'},
        {"id", required_argument, NULL, 'i'},        {"scope", required_argument, NULL, 's'},
        {"interface", required_argument, NULL, 'n'}, {"state-dir", required_argument, NULL, 'd'},
        {"label", required_argument, NULL, 'l'},     {"events", required_argument, NULL, 'e'},
        {"verbose", no_argument, NULL, 'v'},         {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (c) {
        case 'f':
            a->options.fleet_path = optarg;
            break;
        case 'c':
            a->options.credential_path = optarg;
            break;
        case 'i':
            a->options.id = optarg;
            break;
        case 's':
            if (a->scope_count == SCOPES_MAX) {
                return usage("too many scopes");
            }
            a->scopes[a->scope_count++] = optarg;
            break;
        case 'n':
            a->options.interface = optarg;
            break;
        case 'd':
            a->options.state_dir = optarg;
            break;
        case 'l':
            if (add_label(a, optarg) != 0) {
                return usage("--label wants KEY=VALUE, at most 16 times");
            }
            break;
        case 'e':
            a->events = optarg;
            break;
        case 'v':
            a->log_level = 3;
            break;
        default:
            return usage("unknown option");
        }
    }
    if (optind < argc) {
        return usage("unexpected argument");
    }
    if (a->options.fleet_path == NULL || a->options.credential_path == NULL ||
        a->options.interface == NULL || a->options.state_dir == NULL || a->scope_count == 0) {
        return usage("--fleet, --credential, --interface, --state-dir and --scope are needed");
    }
    return 0;
}

static FILE *
open_events(const char *where)
{
    if (where == NULL || strcmp(where, "-") == 0) {
        return where == NULL ? NULL : stdout;
    }
    return fopen(where, "ae");
}

static int
run_agent(struct arguments *a, FILE *events, const sigset_t *signals)
{
    struct confcast_scope *scopes[SCOPES_MAX];
    struct cfc_agent_server_config query = {.state_dir = a->options.state_dir,
                                            .scopes = scopes,
                                            .paths = a->scopes,
                                            .scope_count = a->scope_count};
    struct cfc_agent_server *server = NULL;
    struct confcast *client;
    int error = confcast_open(&a->options, &client);
    int signal_number;

    if (error != CONFCAST_OK) {
        fprintf(stderr, "confcast-agent: cannot start: %s\n", confcast_error_text(error));
        return EXIT_CANNOT_START;
    }
    if (events != NULL) {
        confcast_on_event(client, print_event, events);
    }
    for (size_t i = 0; error == CONFCAST_OK && i < a->scope_count; i++) {
        error = confcast_subscribe(client, a->scopes[i], NULL, &scopes[i]);
        if (error != CONFCAST_OK) {
            fprintf(stderr, "confcast-agent: scope %s: %s\n", a->scopes[i],
                    confcast_error_text(error));
        }
    }
    if (error == CONFCAST_OK) {
        error = cfc_agent_server_start(&query, &server);
        if (error != CONFCAST_OK) {
            fprintf(stderr, "confcast-agent: %s/agent.sock: %s\n", a->options.state_dir,
                    confcast_error_text(error));
        }
    }
    if (error == CONFCAST_OK) {
        while (sigwait(signals, &signal_number) != 0) {
        }
    }
    cfc_agent_server_stop(server);
    confcast_close(client);
    return error == CONFCAST_OK ? 0 : EXIT_CANNOT_START;
}

static int
get(int argc, char **argv)
{
    static const struct option known[] = {{"state-dir", required_argument, NULL, 'd'},
                                          {NULL, 0, NULL, 0}};
    const char *state_dir = NULL;
    const char *pointer;
    char *json = NULL;
    size_t size = 0;
    int error;
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (c != 'd') {
            return usage("unknown option");
        }
        state_dir = optarg;
    }
    if (state_dir == NULL || argc - optind < 1 || argc - optind > 2) {
        return usage("get wants --state-dir DIR SCOPE [POINTER]");
    }
    pointer = argc - optind == 2 ? argv[optind + 1] : "";
    error = cfc_agent_ask(state_dir, argv[optind], pointer, &json, &size);
    if (error == CONFCAST_ERR_CLOSED) {
        error = cfc_agent_read_disk(state_dir, argv[optind], pointer, &json, &size);
    }
    if (error != CONFCAST_OK) {
        fprintf(stderr, "confcast-agent: %s%s: %s\n", argv[optind], pointer,
                confcast_error_text(error));
        return error == CONFCAST_ERR_INVALID || error == CONFCAST_ERR_SCOPE_NAME ? EXIT_BAD_USAGE
               : error == CONFCAST_ERR_NOT_FOUND                                 ? EXIT_NOT_FOUND
                                                 : EXIT_CANNOT_START;
    }
    /* Exactly the canonical bytes, so that they can be compared; a terminal gets a line end as
     * well. */
    if (fwrite(json, 1, size, stdout) != size || (isatty(STDOUT_FILENO) && putchar('\n') == EOF) ||
        fflush(stdout) != 0) {
        error = CONFCAST_ERR_IO;
    }
    free(json);
    return error == CONFCAST_OK ? 0 : EXIT_CANNOT_START;
}

int
main(int argc, char **argv)
{
    static struct arguments arguments = {.options = CONFCAST_OPTIONS_INIT, .log_level = 1};
    sigset_t signals;
    FILE *events;
    int code;

    if (argc > 1 && strcmp(argv[1], "get") == 0) {
        return get(argc - 1, argv + 1);
    }
    code = parse(argc, argv, &arguments);
    if (code != 0) {
        return code;
    }
    events = open_events(arguments.events);
    if (arguments.events != NULL && events == NULL) {
        fprintf(stderr, "confcast-agent: %s: %s\n", arguments.events, strerror(errno));
        return EXIT_CANNOT_START;
    }
    /* Blocked before any thread is made, so that only sigwait() takes them. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    arguments.options.log = print_log;
    arguments.options.log_arg = &arguments;
    return run_agent(&arguments, events, &signals);
}
