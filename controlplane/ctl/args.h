/* The command line, by a table of commands and the options that each knows.  The same table gives
 * --help, the man page and the shells' completion (help.h). */
#ifndef CFC_CTL_ARGS_H
#define CFC_CTL_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/ctl/ctl.h"

enum {
    CFC_ARGS_OPTIONS_MAX = 64,     /* options given, repeated ones counted each time */
    CFC_ARGS_POSITIONALS_MAX = 32, /* arguments that are no options */
};

struct cfc_ctl_args;

struct cfc_ctl_option {
    const char *name; /* long name without dashes; NULL ends a list */
    char short_name;  /* '\0' = none */
    /* What stands for its value: FILE and DIR are completed as such, words joined by | as
     * themselves; NULL = a flag. */
    const char *value;
    const char *help; /* one line */
};

struct cfc_ctl_command {
    const char *name;  /* one or two words; NULL ends a table */
    const char *usage; /* what follows the name, but for the options that may be left out */
    const char *help;  /* one line */
    const struct cfc_ctl_option *options; /* NULL = none of its own */
    size_t positional_min;
    size_t positional_max;
    int (*run)(struct cfc_ctl *ctl, const struct cfc_ctl_args *args); /* returns the exit code */
    const char *group; /* the heading above it, where one begins; NULL = as the one before */
};

struct cfc_ctl_given {
    const struct cfc_ctl_option *option; /* in the table */
    const char *value;                   /* NULL for a flag */
};

struct cfc_ctl_args {
    const struct cfc_ctl_command *command; /* NULL when none was given */
    struct cfc_ctl_given options[CFC_ARGS_OPTIONS_MAX];
    size_t option_count;
    const char *positionals[CFC_ARGS_POSITIONALS_MAX];
    size_t positional_count;
    const struct cfc_ctl_option *pending; /* ended the line without its value; else NULL */
    const char *unknown;                  /* stands where a command should and is none; else NULL */
};

/* Parses argv against a table that ends with a command without a name.  Options of the program come
 * before or after the command's name; a command's own option of the same name wins.
 * CFC_EXIT_OK or CFC_EXIT_USAGE (said on stderr). */
int cfc_ctl_args_parse(int argc, char **argv, const struct cfc_ctl_command *commands,
                       const struct cfc_ctl_option *program_options, struct cfc_ctl_args *args);

/* The same of a line that is still written: says nothing, asks for no positional, and leaves in
 * `args` what could be read up to the first mistake. */
void cfc_ctl_args_read(int argc, char **argv, const struct cfc_ctl_command *commands,
                       const struct cfc_ctl_option *program_options, struct cfc_ctl_args *args);

/* The option that a word ("--file", "--file=x", "-f", "-fx") names, NULL when there is none;
 * `command` may be NULL. */
const struct cfc_ctl_option *cfc_ctl_args_find(const struct cfc_ctl_command *command,
                                               const struct cfc_ctl_option *program_options,
                                               const char *word);

/* The value of an option (the last one when repeated), NULL when not given. */
const char *cfc_ctl_option(const struct cfc_ctl_args *args, const char *name);
bool cfc_ctl_has(const struct cfc_ctl_args *args, const char *name);
/* The n-th value of an option that may be repeated, NULL after the last. */
const char *cfc_ctl_option_at(const struct cfc_ctl_args *args, const char *name, size_t n);

/* True when the command has an option of this name itself. */
bool cfc_ctl_command_has(const struct cfc_ctl_command *command, const char *name);

/* The n-th positional, NULL when there are fewer. */
const char *cfc_ctl_positional(const struct cfc_ctl_args *args, size_t n);

/* Whole numbers and durations ("500ms", "60s", "10m", "2h", "90d", "60" = seconds).  False:
 * malformed. */
bool cfc_ctl_uint(const char *text, uint64_t max, uint64_t *out);
bool cfc_ctl_duration_ms(const char *text, uint64_t *out_ms);

#endif
