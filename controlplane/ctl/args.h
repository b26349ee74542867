/* The command line, by a table of commands and the options that each knows. */
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

struct cfc_ctl_command {
    const char *name;  /* one or two words */
    const char *usage; /* what follows the name */
    const char *help;  /* one line */
    /* The options, separated by blanks: "file:f=" is --file with the short form -f and a value,
     * "promote" a flag. */
    const char *options;
    size_t positional_min;
    size_t positional_max;
    int (*run)(struct cfc_ctl *ctl, const struct cfc_ctl_args *args); /* returns the exit code */
};

struct cfc_ctl_given {
    const char *name; /* long name, in the table; not NUL-terminated */
    size_t name_size;
    const char *value; /* NULL for a flag */
};

struct cfc_ctl_args {
    const struct cfc_ctl_command *command; /* NULL when none was given */
    struct cfc_ctl_given options[CFC_ARGS_OPTIONS_MAX];
    size_t option_count;
    const char *positionals[CFC_ARGS_POSITIONALS_MAX];
    size_t positional_count;
};

/* Parses argv against a table that ends with a command without a name.  Options of the program come
 * before or after the command's name; a command's own option of the same name wins.
 * CFC_EXIT_OK or CFC_EXIT_USAGE (said on stderr). */
int cfc_ctl_args_parse(int argc, char **argv, const struct cfc_ctl_command *commands,
                       const char *program_options, struct cfc_ctl_args *args);

/* The value of an option (the last one when repeated), NULL when not given. */
const char *cfc_ctl_option(const struct cfc_ctl_args *args, const char *name);
bool cfc_ctl_has(const struct cfc_ctl_args *args, const char *name);
/* The n-th value of an option that may be repeated, NULL after the last. */
const char *cfc_ctl_option_at(const struct cfc_ctl_args *args, const char *name, size_t n);

/* The n-th positional, NULL when there are fewer. */
const char *cfc_ctl_positional(const struct cfc_ctl_args *args, size_t n);

/* Whole numbers and durations ("500ms", "60s", "10m", "2h", "60" = seconds).  False: malformed. */
bool cfc_ctl_uint(const char *text, uint64_t max, uint64_t *out);
bool cfc_ctl_duration_ms(const char *text, uint64_t *out_ms);

#endif
