/* key init, key enroll, key rotate: files only, no server. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/output.h"
#include "controlplane/keys/files.h"
#include "controlplane/keys/keys.h"
#include "controlplane/keys/rotate.h"

static int
exit_of(int rc)
{
    switch (rc) {
    case CONFCAST_ERR_EXISTS:
    case CONFCAST_ERR_STATE:
        return CFC_EXIT_CONFLICT;
    case CONFCAST_ERR_NOT_FOUND:
        return CFC_EXIT_NOT_FOUND;
    case CONFCAST_ERR_AUTHORITY:
        return CFC_EXIT_FORBIDDEN;
    default:
        return CFC_EXIT_USAGE;
    }
}

/* A whole number in an option; false when it is given and is none. */
static bool
number_or(const struct cfc_ctl_args *args, const char *name, uint64_t max, uint64_t *value)
{
    const char *text = cfc_ctl_option(args, name);

    if (text != NULL && !cfc_ctl_uint(text, max, value)) {
        cfc_ctl_fail(CFC_EXIT_USAGE, "--%s needs a whole number up to %llu", name,
                     (unsigned long long)max);
        return false;
    }
    return true;
}

static const char *
text_or(const struct cfc_ctl_args *args, const char *name, const char *fallback)
{
    const char *text = cfc_ctl_option(args, name);

    return text != NULL ? text : fallback;
}

int
cfc_ctl_key_init(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *engines[CFC_ARGS_OPTIONS_MAX + 1];
    const char *urls[CFC_ARGS_OPTIONS_MAX + 1];
    uint64_t group_count = 4;
    uint64_t port = 7500;
    char why[CFC_KEYS_WHY_SIZE] = "";
    struct cfc_keys_plan plan = {.dir = cfc_ctl_option(args, "dir"),
                                 .fleet = text_or(args, "fleet", "fleet"),
                                 .group_base = text_or(args, "group-base", "239.192.0.0"),
                                 .engines = engines,
                                 .pull_urls = urls};
    int rc;

    (void)ctl;
    if (plan.dir == NULL || !cfc_ctl_has(args, "engine")) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "key init needs --dir DIR and --engine IP[:PORT]");
    }
    if (!number_or(args, "group-count", UINT32_MAX, &group_count) ||
        !number_or(args, "port", UINT16_MAX, &port)) {
        return CFC_EXIT_USAGE;
    }
    plan.group_count = (uint32_t)group_count;
    plan.port = (uint16_t)port;
    while ((engines[plan.engine_count] = cfc_ctl_option_at(args, "engine", plan.engine_count)) !=
           NULL) {
        plan.engine_count++;
    }
    while ((urls[plan.pull_url_count] = cfc_ctl_option_at(args, "pull-url", plan.pull_url_count)) !=
           NULL) {
        plan.pull_url_count++;
    }
    rc = cfc_keys_create(&plan, why);
    if (rc != CONFCAST_OK) {
        return cfc_ctl_fail(exit_of(rc), "%s", why);
    }
    printf("%s/%s\n", plan.dir, CFC_KEYS_FLEET_FILE);
    fprintf(stderr, "confcastctl: keep %s/root.key off-line; nothing needs it at run time\n",
            plan.dir);
    return CFC_EXIT_OK;
}

static bool
read_label(const char *text, struct cfc_credential_label *label)
{
    const char *equals = strchr(text, '=');
    size_t key_size = equals != NULL ? (size_t)(equals - text) : 0;

    if (equals == NULL || key_size == 0 || key_size >= sizeof(label->key) ||
        strlen(equals + 1) >= sizeof(label->value)) {
        cfc_ctl_fail(CFC_EXIT_USAGE, "--label needs KEY=VALUE, each up to 63 bytes");
        return false;
    }
    memcpy(label->key, text, key_size);
    label->key[key_size] = '\0';
    memcpy(label->value, equals + 1, strlen(equals + 1) + 1);
    return true;
}

static int
write_credential(const char *path, const char *text, size_t size)
{
    int rc;

    if (strcmp(path, "-") == 0) {
        fwrite(text, 1, size, stdout);
        return CFC_EXIT_OK;
    }
    rc = cfc_file_create(path, text, size, 0600);
    if (rc != CONFCAST_OK) {
        return cfc_ctl_fail(exit_of(rc), "cannot write %s: %s", path, confcast_error_text(rc));
    }
    printf("%s\n", path);
    return CFC_EXIT_OK;
}

int
cfc_ctl_key_enroll(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    struct cfc_credential_label labels[CFC_LABEL_COUNT_MAX];
    const char *dir = cfc_ctl_option(args, "dir");
    const char *id = cfc_ctl_option(args, "id");
    const char *path = cfc_ctl_option(args, "output");
    const char *label;
    char why[CFC_KEYS_WHY_SIZE] = "";
    char *text = NULL;
    size_t label_count = 0;
    size_t size = 0;
    int rc;

    (void)ctl;
    if (dir == NULL || id == NULL || path == NULL) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "key enroll needs --dir DIR, --id ID and -o FILE");
    }
    while ((label = cfc_ctl_option_at(args, "label", label_count)) != NULL) {
        if (label_count == CFC_LABEL_COUNT_MAX) {
            return cfc_ctl_fail(CFC_EXIT_USAGE, "at most %d labels", CFC_LABEL_COUNT_MAX);
        }
        if (!read_label(label, &labels[label_count++])) {
            return CFC_EXIT_USAGE;
        }
    }
    rc = cfc_keys_enroll(dir, id, labels, label_count, &text, &size, why);
    if (rc != CONFCAST_OK) {
        return cfc_ctl_fail(exit_of(rc), "%s", why);
    }
    rc = write_credential(path, text, size);
    sodium_memzero(text, size);
    free(text);
    return rc;
}

/* What is to be done next, for people. */
static const char *
next_step(enum cfc_rotate_step step)
{
    switch (step) {
    case CFC_ROTATE_BEGIN:
        return "give fleet.json to every consumer and to confcastd, then: key rotate --switch";
    case CFC_ROTATE_SWITCH:
        return "restart confcastd; when status shows nobody behind: key rotate --retire, "
               "or --back";
    case CFC_ROTATE_BACK:
        return "restart confcastd; both keys are still trusted";
    case CFC_ROTATE_RETIRE:
        return "give fleet.json to every consumer and to confcastd: until then they trust the "
               "old key";
    }
    return "";
}

static int
print_rotation(struct cfc_ctl *ctl, const char *dir, enum cfc_rotate_step step,
               const struct cfc_rotate_result *result)
{
    static const char *const others[] = {[CFC_ROTATE_BEGIN] = "next",
                                         [CFC_ROTATE_SWITCH] = "previous",
                                         [CFC_ROTATE_BACK] = "next",
                                         [CFC_ROTATE_RETIRE] = "retired"};
    char signing[2 * CFC_KEY_ID_SIZE + 1];
    char other[2 * CFC_KEY_ID_SIZE + 1];
    json_t *answer;
    int rc;

    sodium_bin2hex(signing, sizeof(signing), result->signing, sizeof(result->signing));
    sodium_bin2hex(other, sizeof(other), result->other, sizeof(result->other));
    if (ctl->format == CFC_FORMAT_TABLE) {
        printf("%s/%s: sequence %llu, %s signs, %s is %s\n", dir, CFC_KEYS_FLEET_FILE,
               (unsigned long long)result->sequence, signing, other, others[step]);
        fprintf(stderr, "confcastctl: %s\n", next_step(step));
        return CFC_EXIT_OK;
    }
    answer = json_pack("{sI ss ss}", "sequence", (json_int_t)result->sequence, "signing", signing,
                       others[step], other);
    rc = cfc_ctl_print_machine(ctl, answer);
    json_decref(answer);
    return rc;
}

int
cfc_ctl_key_rotate(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    static const char *const words[] = {NULL, "switch", "back", "retire"};
    const char *dir = cfc_ctl_option(args, "dir");
    enum cfc_rotate_step step = CFC_ROTATE_BEGIN;
    struct cfc_rotate_result result;
    char why[CFC_KEYS_WHY_SIZE] = "";
    int rc;

    for (int i = CFC_ROTATE_SWITCH; i <= CFC_ROTATE_RETIRE; i++) {
        if (!cfc_ctl_has(args, words[i])) {
            continue;
        }
        if (step != CFC_ROTATE_BEGIN) {
            return cfc_ctl_fail(CFC_EXIT_USAGE, "--%s and --%s are two steps", words[step],
                                words[i]);
        }
        step = (enum cfc_rotate_step)i;
    }
    if (dir == NULL) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "key rotate needs --dir DIR");
    }
    rc = cfc_keys_rotate(dir, cfc_ctl_option(args, "root"), step, &result, why);
    return rc == CONFCAST_OK ? print_rotation(ctl, dir, step, &result)
                             : cfc_ctl_fail(exit_of(rc), "%s", why);
}
