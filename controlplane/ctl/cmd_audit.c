/* audit: the log as a table, as it is stored, and the check of its chain. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ctl/chain.h"
#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"

static int
list_entries(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    static const struct cfc_ctl_column columns[] = {
        {"N", "n"},
        {"TIME", "time"},
        {"AUTHOR", "author"},
        {"ACTION", "action"},
        {"SCOPE", "scope"},
        {"REVISION", "revision"},
        {"VERSION", "version"},
        {"MESSAGE", "message"},
    };
    struct cfc_ctl_path path;
    json_t *answer = NULL;
    int rc;

    if (!cfc_ctl_check_uint(args, "limit") || !cfc_ctl_check_uint(args, "before")) {
        return CFC_EXIT_USAGE;
    }
    cfc_ctl_path_init(&path, "/v1/audit", NULL);
    cfc_ctl_path_param(&path, "limit", cfc_ctl_option(args, "limit"));
    cfc_ctl_path_param(&path, "before", cfc_ctl_option(args, "before"));
    rc = cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, &answer);
    if (rc == CFC_EXIT_OK) {
        rc = cfc_ctl_print_rows(ctl, answer, "entries", columns,
                                sizeof(columns) / sizeof(columns[0]));
        json_decref(answer);
    }
    return rc;
}

/* The number of the last entry of a page: its lines end with a newline each. */
static bool
last_number(const char *text, size_t size, uint64_t *n)
{
    const char *begin = size > 0 ? memrchr(text, '\n', size - 1) : NULL;
    const char *line = begin != NULL ? begin + 1 : text;
    json_t *entry = json_loadb(line, size - (size_t)(line - text), JSON_DISABLE_EOF_CHECK, NULL);
    json_int_t number = json_integer_value(json_object_get(entry, "n"));

    json_decref(entry);
    *n = number > 0 ? (uint64_t)number : 0;
    return number > 0;
}

/* Every page of the log from `after` on, to stdout or into the check. */
static int
read_pages(struct cfc_ctl *ctl, uint64_t after, struct cfc_chain *chain,
           char why[CFC_CHAIN_WHY_SIZE])
{
    struct cfc_ctl_response response;
    struct cfc_ctl_path path;
    char number[24];
    int rc;

    for (bool is_over = false; !is_over;) {
        snprintf(number, sizeof(number), "%llu", (unsigned long long)after);
        cfc_ctl_path_init(&path, "/v1/audit", NULL);
        cfc_ctl_path_param(&path, "format", "lines");
        cfc_ctl_path_param(&path, "limit", "1000");
        cfc_ctl_path_param(&path, "after", number);
        rc = cfc_ctl_call(ctl, "GET", &path, NULL, 0, &response);
        is_over = rc != CFC_EXIT_OK || response.size == 0;
        if (!is_over && chain == NULL) {
            fwrite(response.body, 1, response.size, stdout);
        } else if (!is_over && !cfc_chain_add(chain, response.body, response.size, why)) {
            rc = CFC_EXIT_NEGATIVE;
            is_over = true;
        }
        if (!is_over && !last_number(response.body, response.size, &after)) {
            rc = cfc_ctl_fail(CFC_EXIT_CONNECT, "%s sent lines that are no entries", ctl->server);
            is_over = true;
        }
        cfc_ctl_response_free(&response);
    }
    return rc;
}

static int
read_file(const char *file, struct cfc_chain *chain, char why[CFC_CHAIN_WHY_SIZE])
{
    char *bytes = NULL;
    size_t size = 0;
    int rc = cfc_ctl_read_input(file, &bytes, &size);

    if (rc == CFC_EXIT_OK && !cfc_chain_add(chain, bytes, size, why)) {
        rc = CFC_EXIT_NEGATIVE;
    }
    free(bytes);
    return rc;
}

static int
print_verdict(const struct cfc_ctl *ctl, const struct cfc_chain *chain, const char *why)
{
    char digest[65];
    json_t *object;
    int rc;

    cfc_chain_digest_hex(chain, digest);
    if (ctl->format == CFC_FORMAT_TABLE) {
        if (why[0] != '\0') {
            printf("broken: %s\n", why);
        } else if (chain->last_n == 0) {
            puts("no entries");
        } else {
            printf("whole: entries %llu to %llu, digest of the last %s\n",
                   (unsigned long long)chain->first_n, (unsigned long long)chain->last_n, digest);
        }
        return CFC_EXIT_OK;
    }
    object = json_pack("{sb sI sI ss* ss*}", "whole", why[0] == '\0', "first",
                       (json_int_t)chain->first_n, "last", (json_int_t)chain->last_n, "digest",
                       chain->last_n > 0 && why[0] == '\0' ? digest : NULL, "reason",
                       why[0] != '\0' ? why : NULL);
    rc = cfc_ctl_print_object(ctl, object);
    json_decref(object);
    return rc;
}

static int
verify(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *file = cfc_ctl_option(args, "file");
    char why[CFC_CHAIN_WHY_SIZE] = "";
    struct cfc_chain chain;
    int rc;

    if (!cfc_chain_init(&chain, cfc_ctl_option(args, "head"))) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "--head needs the 64 hex digits of a digest");
    }
    rc = file != NULL ? read_file(file, &chain, why) : read_pages(ctl, 0, &chain, why);
    if (rc == CFC_EXIT_OK && !cfc_chain_end(&chain, why)) {
        rc = CFC_EXIT_NEGATIVE;
    }
    if (rc == CFC_EXIT_OK || rc == CFC_EXIT_NEGATIVE) {
        print_verdict(ctl, &chain, why);
    }
    return rc;
}

int
cfc_ctl_audit(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *after = cfc_ctl_option(args, "after");
    bool is_export = cfc_ctl_has(args, "export");
    bool is_verify = cfc_ctl_has(args, "verify");
    uint64_t first = 0;

    if (is_export && is_verify) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "--export or --verify, not both");
    }
    if ((after != NULL && !is_export) ||
        ((cfc_ctl_has(args, "file") || cfc_ctl_has(args, "head")) && !is_verify) ||
        ((cfc_ctl_has(args, "limit") || cfc_ctl_has(args, "before")) && (is_export || is_verify))) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "--after goes with --export, --file and --head with "
                                            "--verify, --limit and --before with neither");
    }
    if (after != NULL && !cfc_ctl_uint(after, INT64_MAX, &first)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "--after needs the number of an entry, not %s", after);
    }
    if (is_export) {
        return read_pages(ctl, first, NULL, NULL);
    }
    return is_verify ? verify(ctl, args) : list_entries(ctl, args);
}
