#include "controlplane/ctl/help.h"

#include <jansson.h>
#include <string.h>

#include "controlplane/ctl/table.h"

enum {
    HELP_COLUMN = 34, /* where the help of options begins */
    LINE_WIDTH = 98,
};

/* `text` from `column` on, broken between words, further lines indented to the same column. */
static void
write_wrapped(FILE *out, const char *text, int column)
{
    int at = column;

    while (*text != '\0') {
        int size = (int)strcspn(text, " ");

        if (at > column && at + 1 + size > LINE_WIDTH) {
            fprintf(out, "\n%*s", column, "");
            at = column;
        } else if (at > column) {
            fputc(' ', out);
            at++;
        }
        fprintf(out, "%.*s", size, text);
        at += size;
        text += size;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void
write_options(FILE *out, const struct cfc_ctl_option *options)
{
    for (; options != NULL && options->name != NULL; options++) {
        int at = options->short_name != '\0'
                     ? fprintf(out, "  -%c, --%s", options->short_name, options->name)
                     : fprintf(out, "      --%s", options->name);

        at += options->value != NULL ? fprintf(out, " %s", options->value) : 0;
        if (at + 2 > HELP_COLUMN) {
            fprintf(out, "\n%*s", HELP_COLUMN, "");
        } else {
            fprintf(out, "%*s", HELP_COLUMN - at, "");
        }
        write_wrapped(out, options->help, HELP_COLUMN);
    }
}

void
cfc_ctl_help(FILE *out, const struct cfc_ctl_command *commands,
             const struct cfc_ctl_option *program_options)
{
    int width = 0;

    for (const struct cfc_ctl_command *c = commands; c->name != NULL; c++) {
        int size = (int)strlen(c->name);

        width = size > width ? size : width;
    }
    fputs("usage: confcastctl [OPTION]... COMMAND [ARGUMENT]...\n", out);
    for (const struct cfc_ctl_command *c = commands; c->name != NULL; c++) {
        if (c->group != NULL) {
            fprintf(out, "\n%s\n", c->group);
        }
        fprintf(out, "  %-*s  ", width, c->name);
        write_wrapped(out, c->help, width + 4);
    }
    fputs("\nOptions, before or behind the command\n", out);
    write_options(out, program_options);
    fputs("\nExit: 0 done, 1 no (differs, not reached), 2 cannot connect, 3 usage, 4 conflict,\n"
          "      5 refused, 6 timeout, 7 fenced, 8 not allowed, 9 not found\n",
          out);
}

void
cfc_ctl_help_command(FILE *out, const struct cfc_ctl_command *command)
{
    fprintf(out, "usage: confcastctl %s %s%s[OPTION]...\n\n", command->name, command->usage,
            command->usage[0] != '\0' ? " " : "");
    write_wrapped(out, command->help, 0);
    if (command->options != NULL) {
        fputc('\n', out);
        write_options(out, command->options);
    }
    fputs("\nconfcastctl --help lists the options that all commands take.\n", out);
}

static json_t *
options_json(const struct cfc_ctl_option *options)
{
    json_t *list = json_array();

    for (; options != NULL && options->name != NULL; options++) {
        char short_name[2] = {options->short_name, '\0'};

        if (json_array_append_new(list, json_pack("{ss ss ss* ss}", "name", options->name, "short",
                                                  short_name, "value", options->value, "help",
                                                  options->help)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *
words_json(const struct cfc_ctl_word *words)
{
    json_t *list = json_array();

    for (; words->word != NULL; words++) {
        if (json_array_append_new(
                list, json_pack("{ss ss}", "word", words->word, "help", words->help)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

bool
cfc_ctl_help_json(FILE *out, const struct cfc_ctl_command *commands,
                  const struct cfc_ctl_option *program_options,
                  const struct cfc_ctl_word *environment, const struct cfc_ctl_word *exits)
{
    json_t *list = json_array();
    json_t *root;
    bool ok = list != NULL;

    for (const struct cfc_ctl_command *c = commands; c->name != NULL; c++) {
        ok = ok && json_array_append_new(
                       list, json_pack("{ss ss ss ss* si si so}", "name", c->name, "usage",
                                       c->usage, "help", c->help, "group", c->group, "min",
                                       (int)c->positional_min, "max", (int)c->positional_max,
                                       "options", options_json(c->options))) == 0;
    }
    root = json_pack("{so so so so}", "options", options_json(program_options), "commands", list,
                     "environment", words_json(environment), "exits", words_json(exits));
    ok = ok && root != NULL && json_dumpf(root, out, JSON_INDENT(1)) == 0;
    fputc('\n', out);
    json_decref(root);
    return ok;
}
