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
#include "controlplane/ctl/complete.h"
#include "controlplane/ctl/credentials.h"
#include "controlplane/ctl/help.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/table.h"

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

static struct cfc_ctl
ctl_of(const struct cfc_ctl_args *args)
{
    const struct passwd *user = getpwuid(geteuid());

    return (struct cfc_ctl){
        .server = first_of(cfc_ctl_option(args, "server"), getenv("CONFCAST_SERVER"),
                           CFC_CTL_SERVER_DEFAULT),
        .author = first_of(cfc_ctl_option(args, "author"), getenv("CONFCAST_AUTHOR"),
                           user != NULL ? user->pw_name : NULL),
        .idempotency_key = cfc_ctl_option(args, "idempotency-key"),
    };
}

/* For completion, which is quick or says nothing. */
static json_t *
ask(const struct cfc_ctl_args *args, const char *route)
{
    struct cfc_ctl ctl = ctl_of(args);
    struct cfc_ctl_path path;
    char token[CFC_CTL_TOKEN_SIZE_MAX + 1];
    json_t *answer = NULL;

    if (freopen("/dev/null", "w", stderr) == NULL || sodium_init() < 0) {
        return NULL;
    }
    ctl.is_quiet = true;
    ctl.limit_ms = CFC_COMPLETE_LIMIT_MS;
    cfc_ctl_path_init(&path, route, NULL);
    if (cfc_ctl_credentials(&ctl, args, token) != CFC_EXIT_OK ||
        cfc_ctl_call_json(&ctl, "GET", &path, NULL, 0, &answer) != CFC_EXIT_OK) {
        answer = NULL;
    }
    cfc_ctl_close(&ctl);
    sodium_memzero(token, sizeof(token));
    return answer;
}

static int
run(const struct cfc_ctl_args *args)
{
    /* A command with an -o of its own (a file) has no output format. */
    bool has_own_output = cfc_ctl_command_has(args->command, "output");
    struct cfc_ctl ctl = ctl_of(args);
    char token[CFC_CTL_TOKEN_SIZE_MAX + 1];
    int rc = set_format(&ctl, has_own_output ? NULL : cfc_ctl_option(args, "output"));

    if (rc == CFC_EXIT_OK) {
        rc = cfc_ctl_credentials(&ctl, args, token);
    }
    if (rc == CFC_EXIT_OK) {
        rc = args->command->run(&ctl, args);
    }
    cfc_ctl_close(&ctl);
    sodium_memzero(token, sizeof(token));
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
    int rc;

    /* For programs: the man pages are made of it. */
    if (argc == 2 && strcmp(argv[1], "--dump-commands") == 0) {
        return cfc_ctl_help_json(stdout, cfc_ctl_commands, cfc_ctl_program_options,
                                 cfc_ctl_environment, cfc_ctl_exits)
                   ? CFC_EXIT_OK
                   : cfc_ctl_fail(CFC_EXIT_CONNECT, "no memory");
    }
    if (argc > 2 && strcmp(argv[1], "--complete") == 0) {
        cfc_ctl_complete(stdout, argc - 1, argv + 1, cfc_ctl_commands, cfc_ctl_program_options,
                         ask);
        return CFC_EXIT_OK;
    }
    rc = cfc_ctl_args_parse(argc, argv, cfc_ctl_commands, cfc_ctl_program_options, &args);

    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    if (cfc_ctl_has(&args, "help")) {
        if (args.command != NULL) {
            cfc_ctl_help_command(stdout, args.command);
        } else {
            cfc_ctl_help(stdout, cfc_ctl_commands, cfc_ctl_program_options);
        }
        return CFC_EXIT_OK;
    }
    if (cfc_ctl_has(&args, "version") && args.command == NULL) {
        puts("confcastctl " CFC_VERSION);
        return CFC_EXIT_OK;
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
