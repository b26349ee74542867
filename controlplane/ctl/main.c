/* confcastctl: the operator's command line.  One process, one thread, one command. */
#include <curl/curl.h>
#include <errno.h>
#include <pwd.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/ctl/commands.h"

#define SERVER_DEFAULT  "http://127.0.0.1:7400"
#define PROGRAM_OPTIONS "server:s= output:o= author= idempotency-key= help:h"
#define ACTION_OPTIONS  "message:m= expected-release-version= dry-run"

static const struct cfc_ctl_command commands[] = {
    {"put",
     "SCOPE -f FILE [--promote [--strategy S]] [--expected-revision N] [-m TEXT] [--dry-run]",
     "write the next revision of a definition (-f - reads standard input)",
     "file:f= promote strategy= expected-revision= message:m= dry-run override", 1, 1, cfc_ctl_put},
    {"batch", "-f FILE [-m TEXT] [--dry-run]",
     "several puts, deletes and release actions in one step", "file:f= message:m= dry-run override",
     0, 0, cfc_ctl_batch},
    {"get", "SCOPE [--revision N] [--meta]", "print a definition", "revision= meta", 1, 1,
     cfc_ctl_get},
    {"delete", "SCOPE [--expected-revision N] [-m TEXT] [--dry-run]", "write a tombstone",
     "expected-revision= message:m= dry-run", 1, 1, cfc_ctl_delete},
    {"history", "SCOPE [--limit N] [--before REV]", "list revisions, newest first",
     "limit= before=", 1, 1, cfc_ctl_history},
    {"diff", "SCOPE [A [B]]", "compare revisions: the active one (or A) with the latest (or B)", "",
     1, 3, cfc_ctl_diff},
    {"effective", "SCOPE [--candidate] [--meta]", "print what consumers of a scope get",
     "candidate meta", 1, 1, cfc_ctl_effective},
    {"promote",
     "SCOPE [REV] [--strategy all|canary:P%|stages:P%,...|KEY=VALUE] [--bake 10m] "
     "[--activate now|hold|at=TIME|at=+30s] [--require-prepared 99%] [--confirm-within 5m] "
     "[--override] [-m TEXT]",
     "release a revision (the latest)",
     "strategy= bake= activate= require-prepared= confirm-within= override " ACTION_OPTIONS, 1, 2,
     cfc_ctl_release},
    {"advance", "SCOPE [--activate at=TIME] [--require-prepared 99%]",
     "activate what waits for it, or go to the next stage of a rollout",
     "activate= require-prepared= " ACTION_OPTIONS, 1, 1, cfc_ctl_release},
    {"confirm", "SCOPE", "keep what --confirm-within would take back", ACTION_OPTIONS, 1, 1,
     cfc_ctl_release},
    {"pause", "SCOPE", "hold a rollout where it is", ACTION_OPTIONS, 1, 1, cfc_ctl_release},
    {"resume", "SCOPE", "let a paused rollout go on", ACTION_OPTIONS, 1, 1, cfc_ctl_release},
    {"abort", "SCOPE", "end a rollout; everybody is stable again", ACTION_OPTIONS, 1, 1,
     cfc_ctl_release},
    {"rollback", "SCOPE [--to REV]", "go back to the previous revision, or to one that was active",
     "to= " ACTION_OPTIONS, 1, 1, cfc_ctl_release},
    {"disable", "SCOPE", "kill switch: the scope adds nothing to anyone", ACTION_OPTIONS, 1, 1,
     cfc_ctl_release},
    {"enable", "SCOPE", "undo disable", ACTION_OPTIONS, 1, 1, cfc_ctl_release},
    {"quarantine", "SCOPE REV", "forbid releasing a revision", ACTION_OPTIONS, 2, 2,
     cfc_ctl_release},
    {"approve", "SCOPE REV DIGEST [-m TEXT]",
     "approve what another wrote, by the digest that was read", "message:m= dry-run", 3, 3,
     cfc_ctl_approve},
    {"schema", "SCOPE [--revision N] [--meta]", "print the JSON Schema that is set for a scope",
     "revision= meta", 1, 1, cfc_ctl_rule_show},
    {"schema set", "SCOPE -f FILE [--expected-revision N] [-m TEXT] [--dry-run]",
     "hold what is promoted to a JSON Schema, for the scope and all that have it as a layer",
     "file:f= expected-revision= message:m= dry-run", 1, 1, cfc_ctl_rule_set},
    {"settings", "SCOPE [--revision N] [--meta]", "print what a scope sets", "revision= meta", 1, 1,
     cfc_ctl_rule_show},
    {"settings set", "SCOPE -f FILE | SCOPE --approval N|inherit [--expected-revision N] [-m TEXT]",
     "set limits, validators, the propagation bound, approvals",
     "file:f= approval= expected-revision= message:m= dry-run", 1, 1, cfc_ctl_rule_set},
    {"release", "SCOPE", "print the release state", "", 1, 1, cfc_ctl_show_release},
    {"layers", "SCOPE", "print what is merged for a scope", "", 1, 1, cfc_ctl_layers_show},
    {"layers show", "SCOPE", "the same", "", 1, 1, cfc_ctl_layers_show},
    {"layers set", "SCOPE LAYER... | SCOPE --default [--expected-version N] [-m TEXT]",
     "set what is merged, in this order", "default expected-version= message:m= dry-run", 1, 17,
     cfc_ctl_layers_set},
    {"status", "[SCOPE]", "published and applied, per scope", "", 0, 1, cfc_ctl_status},
    {"wait", "SCOPE [--applied 99.9%|N | --prepared 99%|N] [--version V] [--timeout 60s]",
     "wait until so many consumers serve what is published, or are prepared to",
     "applied= prepared= version= timeout=", 1, 1, cfc_ctl_wait},
    {"consumers", "[ID] [--behind] [--after ID] [--limit N]", "what consumers say they do",
     "behind after= limit=", 0, 1, cfc_ctl_consumers},
    {"audit", "[--limit N] [--before N]", "accepted changes, newest first", "limit= before=", 0, 0,
     cfc_ctl_audit},
    {"key init",
     "--dir DIR --engine IP[:PORT]... [--fleet NAME] [--group-base A] [--group-count N] [--port P] "
     "[--pull-url URL]...",
     "make a fleet's keys and its signed fleet.json",
     "dir= engine= fleet= group-base= group-count= port= pull-url=", 0, 0, cfc_ctl_key_init},
    {"key enroll", "--dir DIR --id ID [--label KEY=VALUE]... -o FILE",
     "make the credential of a consumer", "dir= id= label= output:o=", 0, 0, cfc_ctl_key_enroll},
    {NULL, NULL, NULL, NULL, 0, 0, NULL},
};

int
cfc_ctl_fail(enum cfc_ctl_exit code, const char *format, ...)
{
    va_list args;

    fputs("confcastctl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return (int)code;
}

static int
print_help(const struct cfc_ctl_command *command)
{
    if (command != NULL) {
        printf("usage: confcastctl [OPTION]... %s %s\n\n%s\n", command->name, command->usage,
               command->help);
        return CFC_EXIT_OK;
    }
    puts("usage: confcastctl [-s URL] [-o table|json|yaml] COMMAND ...\n");
    for (const struct cfc_ctl_command *c = commands; c->name != NULL; c++) {
        printf("  %-12s %s\n", c->name, c->help);
    }
    puts("\n  -s, --server URL       http://HOST:PORT or unix:/PATH; else CONFCAST_SERVER, else\n"
         "                         " SERVER_DEFAULT "\n"
         "  -o, --output FORMAT    table, json or yaml\n"
         "      --author NAME      whom the audit log names; else CONFCAST_AUTHOR, else the user\n"
         "      --idempotency-key K  the same key again repeats the answer, not the change\n"
         "  -h, --help             this, or the usage of a command\n\n"
         "exit: 0 ok, 1 no (differs, not reached), 2 cannot connect, 3 usage, 4 conflict,\n"
         "      5 refused, 6 timeout, 7 fenced, 8 not allowed, 9 not found");
    return CFC_EXIT_OK;
}

static int
set_format(struct cfc_ctl *ctl, const char *text)
{
    if (text == NULL || strcmp(text, "table") == 0) {
        ctl->format = CFC_FORMAT_TABLE;
    } else if (strcmp(text, "json") == 0) {
        ctl->format = CFC_FORMAT_JSON;
    } else if (strcmp(text, "yaml") == 0) {
        ctl->format = CFC_FORMAT_YAML;
    } else {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "-o takes table, json or yaml, not %s", text);
    }
    return CFC_EXIT_OK;
}

static const char *
first_of(const char *a, const char *b, const char *c)
{
    return a != NULL ? a : b != NULL ? b : c;
}

static int
run(const struct cfc_ctl_args *args)
{
    /* A command with an -o of its own (a file) has no output format. */
    bool has_own_output = strstr(args->command->options, "output:o=") != NULL;
    const struct passwd *user = getpwuid(geteuid());
    struct cfc_ctl ctl = {
        .server =
            first_of(cfc_ctl_option(args, "server"), getenv("CONFCAST_SERVER"), SERVER_DEFAULT),
        .author = first_of(cfc_ctl_option(args, "author"), getenv("CONFCAST_AUTHOR"),
                           user != NULL ? user->pw_name : NULL),
        .idempotency_key = cfc_ctl_option(args, "idempotency-key"),
    };
    int rc = set_format(&ctl, has_own_output ? NULL : cfc_ctl_option(args, "output"));

    if (rc == CFC_EXIT_OK) {
        rc = args->command->run(&ctl, args);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return cfc_ctl_fail(rc != CFC_EXIT_OK ? (enum cfc_ctl_exit)rc : CFC_EXIT_USAGE,
                            "cannot write the result: %s", strerror(errno));
    }
    return rc;
}

int
main(int argc, char **argv)
{
    struct cfc_ctl_args args;
    int rc = cfc_ctl_args_parse(argc, argv, commands, PROGRAM_OPTIONS, &args);

    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    if (cfc_ctl_has(&args, "help")) {
        return print_help(args.command);
    }
    if (args.command == NULL) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "no command; see confcastctl --help");
    }
    if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return cfc_ctl_fail(CFC_EXIT_CONNECT, "cannot start the libraries");
    }
    rc = run(&args);
    curl_global_cleanup();
    return rc;
}
