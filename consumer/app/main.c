/* confcast-agent: one consumer on this host.
 *
 *     confcast-agent --fleet fleet.json --credential FILE --id ID --scope S [--scope ...]
 * --interface IF --state-dir DIR
 *                    [--label k=v ...] [--share SOCKET [--share-mode 660]]
 *                    [--export DIR [--export-mode 640]] [--exec COMMAND [--exec-timeout 60]]
 *                    [--pull auto|only|off] [--pull-ca FILE] [--pull-cert FILE --pull-key FILE]
 *                    [--pull-wait-ms N] [--pull-after-ms N] [--xdp off|auto|native|generic]
 *                    [--events -|FILE] [--verbose]
 *     confcast-agent get --state-dir DIR SCOPE [POINTER]
 *     confcast-agent stats --state-dir DIR [--metrics]
 *
 * Threads: main waits for signals (SIGTERM and SIGINT end it, SIGUSR1 has it write its counters as
 * an event); the library runs its loop (two UDP sockets, and HTTP while it pulls), a persister
 * thread (disk) and liburcu's call_rcu thread; one thread writes events, one answers `get` and
 * `stats` on DIR/agent.sock, one serves the processes of this host on SOCKET, one writes files to
 * DIR and runs COMMAND. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "confcast/confcast.h"
#include "consumer/app/agent_events.h"
#include "consumer/app/agent_query.h"
#include "consumer/app/agent_stats.h"
#include "consumer/app/notify.h"
#include "consumer/app/outlet.h"
#include "consumer/app/share_server.h"

enum {
    SCOPES_MAX = 256,
    LABELS_MAX = 16,
    LINE_SIZE_MAX = 8192
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
    const char *share;
    mode_t share_mode;
    const char *export_dir;
    mode_t export_mode;
    const char *command;
    uint32_t command_timeout_s;
    int log_level;
    struct cfc_agent_events *log;
};

static void
write_usage(FILE *out)
{
    fputs("usage: confcast-agent --fleet FILE --credential FILE --scope SCOPE [--scope SCOPE]...\n"
          "           --interface IF --state-dir DIR [OPTION]...\n"
          "       confcast-agent get --state-dir DIR SCOPE [POINTER]\n"
          "       confcast-agent stats --state-dir DIR [--metrics]\n",
          out);
}

static int
usage(const char *what)
{
    fprintf(stderr, "confcast-agent: %s\n", what);
    write_usage(stderr);
    return EXIT_BAD_USAGE;
}

static int
help(void)
{
    write_usage(stdout);
    fputs(
        "Keeps the last good config of each scope, for the programs of this host.\n"
        "\n"
        "  --fleet FILE             fleet.json\n"
        "  --credential FILE        what confcastctl key enroll made for this consumer\n"
        "  --scope SCOPE            to follow; repeat it\n"
        "  --interface IF           carries the multicast\n"
        "  --state-dir DIR          keeps what is served over restarts; mode 0700\n"
        "  --id ID                  its id, to be sure: that of the credential\n"
        "  --label KEY=VALUE        for rollouts by label, beside those of the credential; up\n"
        "                           to 16\n"
        "  --share SOCKET           hand contents to other processes of the host\n"
        "  --share-mode MODE        octal mode of that socket\n"
        "  --export DIR             keep what is served there, as files of plain JSON\n"
        "  --export-mode MODE       octal mode of these files\n"
        "  --exec COMMAND           run it when what is served changed\n"
        "  --exec-timeout S         seconds until it is killed\n"
        "  --events -|FILE          one line of JSON for each event\n"
        "  --verbose                say more on standard error\n"
        "  --pull auto|only|off     over HTTP from the fleet's pull_urls: when multicast is of no\n"
        "                           help (auto, the default), instead of it, or never\n"
        "  --pull-ca FILE           whom to trust by TLS; else the system's\n"
        "  --pull-cert FILE --pull-key FILE  this consumer's certificate\n"
        "  --pull-wait-ms N         how long a control plane waits for news (10000)\n"
        "  --pull-after-ms N        how long multicast may be of no help (10000)\n"
        "  --xdp off|auto|native|generic  have the kernel drop what nobody on this host wants:\n"
        "                           never (the default), in the driver or else behind it, in\n"
        "                           it, or behind it; takes CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN\n"
        "  --help                   this\n",
        stdout);
    return 0;
}

/* A line that is put together; never longer than its room, since all that goes in is bounded. */
struct line {
    char text[LINE_SIZE_MAX];
    size_t size;
};

__attribute__((format(printf, 2, 3))) static void
add(struct line *line, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line->text + line->size, sizeof(line->text) - line->size, format, args);
    va_end(args);
    if (n > 0 && (size_t)n < sizeof(line->text) - line->size) {
        line->size += (size_t)n;
    }
}

/* Scope paths, event words and error words need no escapes. */
static void
print_event(void *arg, const struct confcast_event *event)
{
    struct line line = {.size = 0};

    add(&line, "{\"event\":\"%s\"", event->event);
    if (event->scope != NULL) {
        add(&line, ",\"scope\":\"%s\"", event->scope);
    }
    add(&line, ",\"epoch\":%llu,\"version\":%llu,\"content\":\"", (unsigned long long)event->epoch,
        (unsigned long long)event->version);
    for (size_t i = 0; i < sizeof(event->content); i++) {
        add(&line, "%02x", event->content[i]);
    }
    add(&line, "\",\"bytes\":%llu,\"arm\":%u", (unsigned long long)event->bytes, event->arm);
    if (event->reason != 0) {
        add(&line, ",\"reason\":\"%s\"", confcast_error_word(event->reason));
    }
    add(&line, ",\"time_unix_ns\":%llu}\n", (unsigned long long)event->unix_ns);
    cfc_agent_events_put(arg, line.text, line.size);
}

static void
print_stats(struct confcast *client, struct cfc_agent_events *events)
{
    struct confcast_stats stats = {.size = sizeof(stats)};
    char text[CFC_AGENT_STATS_SIZE_MAX];

    if (events != NULL && confcast_stats(client, &stats) == CONFCAST_OK) {
        cfc_agent_events_put(events, text, cfc_agent_stats_json(&stats, text, sizeof(text)));
    }
}

static void
print_log(void *arg, int level, const char *text)
{
    static const char *const words[] = {"error", "warning", "info", "debug"};
    const struct arguments *arguments = arg;
    struct line line = {.size = 0};

    if (level <= arguments->log_level) {
        add(&line, "confcast-agent: %s: %s\n", words[level < 0 || level > 3 ? 3 : level], text);
        cfc_agent_events_put(arguments->log, line.text, line.size);
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

static int
parse_xdp(const char *text, enum confcast_xdp *xdp)
{
    for (int i = 0; i <= CONFCAST_XDP_GENERIC; i++) {
        if (strcmp(text, cfc_agent_xdp_words[i]) == 0) {
            *xdp = (enum confcast_xdp)i;
            return 0;
        }
    }
    return -1;
}

static int
parse_pull(const char *text, enum confcast_pull *pull)
{
    static const char *const words[] = {
        [CONFCAST_PULL_AUTO] = "auto", [CONFCAST_PULL_ONLY] = "only", [CONFCAST_PULL_OFF] = "off"};

    for (int i = 0; i <= CONFCAST_PULL_OFF; i++) {
        if (strcmp(text, words[i]) == 0) {
            *pull = (enum confcast_pull)i;
            return 0;
        }
    }
    return -1;
}

/* Milliseconds; the library knows which are allowed. */
static int
parse_ms(const char *text, uint32_t *ms)
{
    size_t size = strlen(text);

    if (size == 0 || size > 8 || strspn(text, "0123456789") != size) {
        return -1;
    }
    *ms = (uint32_t)strtoul(text, NULL, 10);
    return 0;
}

static int
parse_mode(const char *text, mode_t *mode)
{
    size_t size = strlen(text);

    if (size < 3 || size > 4 || strspn(text, "01234567") != size) {
        return -1;
    }
    *mode = (mode_t)strtol(text, NULL, 8);
    return *mode <= 0777 ? 0 : -1;
}

static int
parse_seconds(const char *text, uint32_t *seconds)
{
    size_t size = strlen(text);

    if (size < 1 || size > 5 || strspn(text, "0123456789") != size) {
        return -1;
    }
    *seconds = (uint32_t)strtoul(text, NULL, 10);
    return *seconds >= 1 && *seconds <= 86400 ? 0 : -1;
}

/* 0, or an exit code. */
static int
parse_network_option(int c, char *text, struct confcast_options *options)
{
    switch (c) {
    case 'p':
        return parse_pull(text, &options->pull) == 0 ? 0 : usage("--pull wants auto, only or off");
    case 'X':
        return parse_xdp(text, &options->xdp) == 0
                   ? 0
                   : usage("--xdp wants off, auto, native or generic");
    case 'A':
        options->pull_ca_file = text;
        return 0;
    case 'C':
        options->pull_cert_file = text;
        return 0;
    case 'K':
        options->pull_key_file = text;
        return 0;
    case 'W':
        return parse_ms(text, &options->pull_wait_ms) == 0
                   ? 0
                   : usage("--pull-wait-ms wants milliseconds");
    case 'T':
        return parse_ms(text, &options->pull_after_ms) == 0
                   ? 0
                   : usage("--pull-after-ms wants milliseconds");
    default:
        return usage("unknown option");
    }
}

/* Where what it has goes besides its own state directory.  0, or an exit code. */
static int
parse_output_option(int option, char *text, struct arguments *a)
{
    switch (option) {
    case 'e':
        a->events = text;
        return 0;
    case 'h':
        a->share = text;
        return 0;
    case 'm':
        if (parse_mode(text, &a->share_mode) != 0) {
            return usage("--share-mode wants an octal mode such as 660");
        }
        return 0;
    case 'x':
        a->export_dir = text;
        return 0;
    case 'o':
        if (parse_mode(text, &a->export_mode) != 0) {
            return usage("--export-mode wants an octal mode such as 640");
        }
        return 0;
    case 'r':
        a->command = text;
        return 0;
    case 't':
        if (parse_seconds(text, &a->command_timeout_s) != 0) {
            return usage("--exec-timeout wants seconds, 1 to 86400");
        }
        return 0;
    default:
        return parse_network_option(option, text, &a->options);
    }
}

static const struct option agent_options[] = {
    {"fleet", required_argument, NULL, 'f'},
    {"credential", required_argument, NULL, 'c'},
    {"id", required_argument, NULL, 'i'},
    {"scope", required_argument, NULL, 's'},
    {"interface", required_argument, NULL, 'n'},
    {"state-dir", required_argument, NULL, 'd'},
    {"label", required_argument, NULL, 'l'},
    {"events", required_argument, NULL, 'e'},
    {"verbose", no_argument, NULL, 'v'},
    {"share", required_argument, NULL, 'h'},
    {"share-mode", required_argument, NULL, 'm'},
    {"export", required_argument, NULL, 'x'},
    {"export-mode", required_argument, NULL, 'o'},
    {"exec", required_argument, NULL, 'r'},
    {"exec-timeout", required_argument, NULL, 't'},
    {"pull", required_argument, NULL, 'p'},
    {"pull-ca", required_argument, NULL, 'A'},
    {"pull-cert", required_argument, NULL, 'C'},
    {"pull-key", required_argument, NULL, 'K'},
    {"pull-wait-ms", required_argument, NULL, 'W'},
    {"pull-after-ms", required_argument, NULL, 'T'},
    {"xdp", required_argument, NULL, 'X'},
    {NULL, 0, NULL, 0},
};

/* 0, or an exit code. */
static int
parse(int argc, char **argv, struct arguments *a)
{
    int code;
    int c;

    while ((c = getopt_long(argc, argv, "", agent_options, NULL)) != -1) {
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
        case 'v':
            a->log_level = 3;
            break;
        default:
            code = parse_output_option(c, optarg, a);
            if (code != 0) {
                return code;
            }
        }
    }
    if (optind < argc) {
        return usage("unexpected argument");
    }
    if (a->options.fleet_path == NULL || a->options.credential_path == NULL ||
        (a->options.interface == NULL && a->options.pull != CONFCAST_PULL_ONLY) ||
        a->options.state_dir == NULL || a->scope_count == 0) {
        return usage("--fleet, --credential, --interface, --state-dir and --scope are needed");
    }
    return 0;
}

static int
subscribe_all(const struct arguments *a, struct confcast *client, struct confcast_scope **scopes)
{
    for (size_t i = 0; i < a->scope_count; i++) {
        int error = confcast_subscribe(client, a->scopes[i], NULL, &scopes[i]);

        if (error != CONFCAST_OK) {
            fprintf(stderr, "confcast-agent: scope %s: %s\n", a->scopes[i],
                    confcast_error_text(error));
            return error;
        }
    }
    return CONFCAST_OK;
}

/* Until SIGTERM or SIGINT.  The watchdog hears of us as long as the library's thread answers. */
static void
await_end(struct confcast *client, struct cfc_agent_events *events, const sigset_t *signals)
{
    uint64_t interval_ns = cfc_notify_interval_ns();
    struct timespec interval = {.tv_sec = (time_t)(interval_ns / 1000000000),
                                .tv_nsec = (long)(interval_ns % 1000000000)};
    int signal_number = 0;

    while (signal_number != SIGTERM && signal_number != SIGINT) {
        struct confcast_stats stats = {.size = sizeof(stats)};

        if (interval_ns != 0 && confcast_stats(client, &stats) == CONFCAST_OK) {
            cfc_notify_alive();
        }
        signal_number =
            interval_ns != 0 ? sigtimedwait(signals, NULL, &interval) : sigwaitinfo(signals, NULL);
        if (signal_number == SIGUSR1) {
            print_stats(client, events);
        }
    }
}

static int
run_agent(struct arguments *a, struct cfc_agent_events *events, const sigset_t *signals)
{
    struct confcast_scope *scopes[SCOPES_MAX];
    struct cfc_agent_server_config query = {.state_dir = a->options.state_dir,
                                            .scopes = scopes,
                                            .paths = a->scopes,
                                            .scope_count = a->scope_count};
    struct cfc_share_server_config share_config = {.path = a->share,
                                                   .mode = a->share_mode,
                                                   .scopes = scopes,
                                                   .paths = a->scopes,
                                                   .scope_count = a->scope_count,
                                                   .log = print_log,
                                                   .log_arg = a};
    struct cfc_outlet_config outlet_config = {.state_dir = a->options.state_dir,
                                              .export_dir = a->export_dir,
                                              .export_mode = a->export_mode,
                                              .command = a->command,
                                              .timeout_s = a->command_timeout_s,
                                              .scopes = scopes,
                                              .paths = a->scopes,
                                              .scope_count = a->scope_count,
                                              .event = events != NULL ? print_event : NULL,
                                              .event_arg = events,
                                              .log = print_log,
                                              .log_arg = a};
    struct cfc_agent_server *server = NULL;
    struct cfc_share_server *share = NULL;
    struct cfc_outlet *outlet = NULL;
    struct confcast *client;
    int error = confcast_open(&a->options, &client);

    if (error != CONFCAST_OK) {
        fprintf(stderr, "confcast-agent: cannot start: %s\n", confcast_error_text(error));
        return EXIT_CANNOT_START;
    }
    if (events != NULL) {
        confcast_on_event(client, print_event, events);
    }
    cfc_share_adopt_seed(a->options.state_dir);
    query.client = client;
    error = subscribe_all(a, client, scopes);
    if (error == CONFCAST_OK) {
        error = cfc_agent_server_start(&query, &server);
        if (error != CONFCAST_OK) {
            fprintf(stderr, "confcast-agent: %s/agent.sock: %s\n", a->options.state_dir,
                    confcast_error_text(error));
        }
    }
    if (error == CONFCAST_OK && a->share != NULL) {
        share_config.client = client;
        error = cfc_share_server_start(&share_config, &share);
        if (error != CONFCAST_OK) {
            fprintf(stderr, "confcast-agent: %s: %s\n", a->share, confcast_error_text(error));
        }
    }
    if (error == CONFCAST_OK && (a->export_dir != NULL || a->command != NULL)) {
        error = cfc_outlet_start(&outlet_config, &outlet);
        if (error != CONFCAST_OK) {
            fprintf(stderr, "confcast-agent: cannot export or execute: %s\n",
                    confcast_error_text(error));
        }
    }
    if (error == CONFCAST_OK) {
        cfc_notify_ready((unsigned)a->scope_count);
        await_end(client, events, signals);
        cfc_notify_stopping();
    }
    cfc_outlet_stop(outlet);
    cfc_share_server_stop(share);
    cfc_agent_server_stop(server);
    confcast_close(client);
    return error == CONFCAST_OK ? 0 : EXIT_CANNOT_START;
}

/* Exactly the bytes, so that they can be compared; a terminal gets a line end as well. */
static int
print_answer(struct cfc_buffer *answer)
{
    int error = CONFCAST_OK;

    if (fwrite(answer->bytes, 1, answer->size, stdout) != answer->size ||
        (isatty(STDOUT_FILENO) && answer->size > 0 && answer->bytes[answer->size - 1] != '\n' &&
         putchar('\n') == EOF) ||
        fflush(stdout) != 0) {
        error = CONFCAST_ERR_IO;
    }
    cfc_buffer_free(answer);
    return error == CONFCAST_OK ? 0 : EXIT_CANNOT_START;
}

/* The counters of the running agent. */
static int
stats(int argc, char **argv)
{
    static const struct option known[] = {{"state-dir", required_argument, NULL, 'd'},
                                          {"metrics", no_argument, NULL, 'm'},
                                          {NULL, 0, NULL, 0}};
    const char *state_dir = NULL;
    bool is_metrics = false;
    struct cfc_buffer text;
    int error;
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (c == 'd') {
            state_dir = optarg;
        } else if (c == 'm') {
            is_metrics = true;
        } else {
            return usage("unknown option");
        }
    }
    if (state_dir == NULL || optind < argc) {
        return usage("stats wants --state-dir DIR [--metrics]");
    }
    error = cfc_agent_ask(state_dir, "", is_metrics ? "metrics" : "stats", &text);
    if (error != CONFCAST_OK) {
        cfc_buffer_free(&text);
        fprintf(stderr, "confcast-agent: %s\n",
                error == CONFCAST_ERR_CLOSED ? "no agent runs with this state directory"
                                             : confcast_error_text(error));
        return EXIT_CANNOT_START;
    }
    return print_answer(&text);
}

static int
get(int argc, char **argv)
{
    static const struct option known[] = {{"state-dir", required_argument, NULL, 'd'},
                                          {NULL, 0, NULL, 0}};
    const char *state_dir = NULL;
    const char *pointer;
    struct cfc_buffer json;
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
    error = cfc_agent_ask(state_dir, argv[optind], pointer, &json);
    if (error == CONFCAST_ERR_CLOSED) {
        cfc_buffer_free(&json);
        error = cfc_agent_read_disk(state_dir, argv[optind], pointer, &json);
    }
    if (error != CONFCAST_OK) {
        cfc_buffer_free(&json);
        fprintf(stderr, "confcast-agent: %s%s: %s\n", argv[optind], pointer,
                confcast_error_text(error));
        return error == CONFCAST_ERR_INVALID || error == CONFCAST_ERR_SCOPE_NAME ? EXIT_BAD_USAGE
               : error == CONFCAST_ERR_NOT_FOUND                                 ? EXIT_NOT_FOUND
                                                 : EXIT_CANNOT_START;
    }
    return print_answer(&json);
}

int
main(int argc, char **argv)
{
    static struct arguments arguments = {.options = CONFCAST_OPTIONS_INIT,
                                         .log_level = 1,
                                         .share_mode = 0660,
                                         .export_mode = 0640,
                                         .command_timeout_s = 60};
    struct cfc_agent_events *events = NULL;
    sigset_t signals;
    int events_fd = -1;
    int code;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        return help();
    }
    if (argc > 1 && strcmp(argv[1], "get") == 0) {
        return get(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "stats") == 0) {
        return stats(argc - 1, argv + 1);
    }
    code = parse(argc, argv, &arguments);
    if (code != 0) {
        return code;
    }
    /* Blocked before any thread is made, so that only sigwait() takes them. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    /* What the unit grants is the agent's, and not that of commands which it runs. */
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* whoever started us may have it ignored: commands are waited for */
    if (arguments.events != NULL) {
        events_fd = strcmp(arguments.events, "-") == 0
                        ? STDOUT_FILENO
                        : open(arguments.events, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    if (arguments.events != NULL && events_fd < 0) {
        fprintf(stderr, "confcast-agent: %s: %s\n", arguments.events, strerror(errno));
        return EXIT_CANNOT_START;
    }
    if ((events_fd >= 0 && cfc_agent_events_open(events_fd, &events) != CONFCAST_OK) ||
        cfc_agent_events_open(STDERR_FILENO, &arguments.log) != CONFCAST_OK) {
        fprintf(stderr, "confcast-agent: no memory or threads\n");
        return EXIT_CANNOT_START;
    }
    /* What ends an agent is no content: it hands them on as they are. */
    arguments.options.crash_starts_max = UINT32_MAX;
    arguments.options.log = print_log;
    arguments.options.log_arg = &arguments;
    code = run_agent(&arguments, events, &signals);
    cfc_agent_events_close(events);
    cfc_agent_events_close(arguments.log);
    return code;
}
