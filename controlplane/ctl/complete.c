#include "controlplane/ctl/complete.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/ctl/table.h"
#include "protocol/base/limits.h"
#include "protocol/base/scope.h"

struct completion {
    FILE *out;
    const struct cfc_ctl_command *commands;
    const struct cfc_ctl_option *program_options;
    const struct cfc_ctl_args *args; /* what stands before the word */
    cfc_complete_ask_fn *ask;
    const char *lead; /* what of the word stays as it is: "--role=" */
    int lead_size;
    const char *stem;  /* what the candidates begin with */
    const char *shell; /* the last line */
};

static void
offer(const struct completion *c, const char *word, size_t size, const char *help)
{
    size_t stem_size = strlen(c->stem);

    if (size < stem_size || memcmp(word, c->stem, stem_size) != 0) {
        return;
    }
    fprintf(c->out, "%.*s%.*s", c->lead_size, c->lead, (int)size, word);
    fprintf(c->out, help != NULL ? "\t%s\n" : "\n", help);
}

/* "table|json|yaml" */
static void
offer_choices(const struct completion *c, const char *choices)
{
    while (*choices != '\0') {
        size_t size = strcspn(choices, "|");

        offer(c, choices, size, NULL);
        choices += size;
        choices += *choices == '|' ? 1 : 0;
    }
}

/* Names that the server has, each once: consumers come once a scope. */
static void
offer_names(const struct completion *c, const char *route, const char *list, const char *member)
{
    json_t *answer = c->ask(c->args, route);
    const char *before = "";
    const json_t *row;
    size_t count = 0;
    size_t i;

    json_array_foreach(json_object_get(answer, list), i, row)
    {
        const char *name = json_string_value(json_object_get(row, member));
        bool is_plain =
            name != NULL && strpbrk(name, "\t\n\r") == NULL && strcmp(name, before) != 0;

        if (is_plain && strncmp(name, c->stem, strlen(c->stem)) == 0 &&
            count < CFC_COMPLETE_NAMES_MAX) {
            offer(c, name, strlen(name), NULL);
            count++;
            before = name;
        }
    }
    json_decref(answer);
}

/* First words, each once; or the second words of those that begin with `first`. */
static void
offer_commands(const struct completion *c, const char *first)
{
    const char *before = "";
    size_t before_size = 0;

    for (const struct cfc_ctl_command *o = c->commands; o->name != NULL; o++) {
        size_t size = strcspn(o->name, " ");
        bool is_group = o->name[size] == ' ';

        if (first != NULL) {
            if (is_group && strlen(first) == size && memcmp(o->name, first, size) == 0) {
                offer(c, o->name + size + 1, strlen(o->name + size + 1), o->help);
            }
        } else if (size != before_size || memcmp(o->name, before, size) != 0) {
            offer(c, o->name, size, is_group ? NULL : o->help);
        }
        before = o->name;
        before_size = size;
    }
}

/* Those below what is written already, where there is a slash: that is one page, and a role there
 * suffices. */
static void
offer_scopes(const struct completion *c)
{
    const char *slash = strrchr(c->stem, '/');
    char route[CFC_SCOPE_SIZE_MAX + 32];

    if (slash == NULL) {
        offer_names(c, "/v1/status", "scopes", "scope");
        return;
    }
    if (cfc_scope_check(c->stem, (size_t)(slash - c->stem)) == CONFCAST_OK) {
        snprintf(route, sizeof(route), "/v1/scopes/%.*s?limit=1000", (int)(slash - c->stem),
                 c->stem);
        offer_names(c, route, "scopes", "scope");
    }
}

/* By what stands for it in the table. */
static void
offer_values(struct completion *c, const char *kind, size_t size)
{
    static const struct {
        const char *kind;
        const char *shell;
    } paths[] = {{"FILE", ":files"}, {"FILE|DIR", ":files"}, {"DIR", ":dirs"}};
    char word[128];

    if (size >= sizeof(word)) {
        return;
    }
    memcpy(word, kind, size);
    word[size] = '\0';
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (strcmp(word, paths[i].kind) == 0) {
            c->shell = paths[i].shell;
            return;
        }
    }
    if (strcmp(word, "SCOPE") == 0 || strcmp(word, "LAYER") == 0) {
        offer_scopes(c);
    } else if (strcmp(word, "COMMAND") == 0) {
        offer_commands(c, NULL);
    } else if (strcmp(word, "ROLE") == 0) {
        offer_choices(c, CFC_CTL_ROLES);
    } else if (strcmp(word, "ID") == 0 && c->args->command != NULL &&
               strcmp(c->args->command->name, "consumers") == 0) {
        offer_names(c, "/v1/consumers?limit=1000", "consumers", "consumer");
    } else if (strchr(word, '|') != NULL) {
        offer_choices(c, word);
    }
}

/* The usage says what the positionals are: "SCOPE [LAYER...]", "IDENTITY ROLE... --scope SCOPE". */
static void
offer_positional(struct completion *c)
{
    const char *at = c->args->command->usage;
    size_t skip_count = c->args->positional_count;
    bool is_value = false;

    if (c->args->positional_count >= c->args->command->positional_max) {
        return;
    }
    for (at += strspn(at, " []|"); *at != '\0'; at += strspn(at, " []|")) {
        size_t size = strcspn(at, " ]");
        size_t name_size = strcspn(at, " ].");

        if (at[0] == '-') {
            is_value = true;
        } else if (is_value) {
            is_value = false;
        } else if (skip_count > 0 && name_size == size) {
            skip_count--;
        } else {
            offer_values(c, at, name_size);
            return;
        }
        at += size;
    }
}

static void
offer_options_of(const struct completion *c, const struct cfc_ctl_option *options)
{
    for (; options != NULL && options->name != NULL; options++) {
        char word[64];
        int size = snprintf(word, sizeof(word), "--%s", options->name);

        assert(size > 0 && (size_t)size < sizeof(word));
        offer(c, word, (size_t)size, options->help);
    }
}

static void
offer_options(const struct completion *c)
{
    const struct cfc_ctl_command *command = c->args->command;

    if (command != NULL) {
        offer_options_of(c, command->options);
    }
    for (const struct cfc_ctl_option *o = c->program_options; o->name != NULL; o++) {
        struct cfc_ctl_option one[] = {*o, {NULL, '\0', NULL, NULL}};

        if (command == NULL || !cfc_ctl_command_has(command, o->name)) {
            offer_options_of(c, one);
        }
    }
}

static void
complete_word(struct completion *c, const char *before)
{
    const struct cfc_ctl_command *command = c->args->command;
    const struct cfc_ctl_option *pending = c->args->pending;
    const char *equals = strchr(c->stem, '=');

    if (pending == NULL && c->stem[0] == '-' && c->stem[1] == '-' && equals != NULL) {
        c->lead = c->stem;
        c->lead_size = (int)(equals + 1 - c->stem);
        pending = cfc_ctl_args_find(command, c->program_options, c->stem);
        c->stem = equals + 1;
        if (pending == NULL || pending->value == NULL) {
            return;
        }
    }
    if (pending != NULL) {
        offer_values(c, pending->value, strlen(pending->value));
    } else if (c->stem[0] == '-') {
        offer_options(c);
    } else if (command == NULL && c->args->unknown == NULL) {
        offer_commands(c, NULL);
    } else if (command == NULL) {
        offer_commands(c, strcmp(before, c->args->unknown) == 0 ? before : "");
    } else {
        if (c->args->positional_count == 0 && strcmp(before, command->name) == 0) {
            offer_commands(c, command->name);
        }
        offer_positional(c);
    }
}

void
cfc_ctl_complete(FILE *out, int count, char **words, const struct cfc_ctl_command *commands,
                 const struct cfc_ctl_option *program_options, cfc_complete_ask_fn *ask)
{
    struct cfc_ctl_args args;
    struct completion c = {.out = out,
                           .commands = commands,
                           .program_options = program_options,
                           .args = &args,
                           .ask = ask,
                           .lead = "",
                           .shell = ":none"};

    if (count >= 2 && count <= CFC_COMPLETE_WORDS_MAX) {
        /* A line that is still written is seldom complete: what could be read of it counts. */
        (void)cfc_ctl_args_read(count - 1, words, commands, program_options, &args);
        c.stem = words[count - 1];
        complete_word(&c, count > 2 ? words[count - 2] : "");
    }
    fprintf(out, "%s\n", c.shell);
}
