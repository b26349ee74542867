/* What the table of commands says, to people and to programs. */
#ifndef CFC_CTL_HELP_H
#define CFC_CTL_HELP_H

#include <stdio.h>

#include "controlplane/ctl/args.h"

/* All commands and the options of the program. */
void cfc_ctl_help(FILE *out, const struct cfc_ctl_command *commands,
                  const struct cfc_ctl_option *program_options);

/* One command and its options. */
void cfc_ctl_help_command(FILE *out, const struct cfc_ctl_command *command);

struct cfc_ctl_word;

/* The whole table as JSON: {options: [...], commands: [{name, usage, help, group, min, max,
 * options}], environment: [{word, help}], exits: the same}.  False without memory. */
bool cfc_ctl_help_json(FILE *out, const struct cfc_ctl_command *commands,
                       const struct cfc_ctl_option *program_options,
                       const struct cfc_ctl_word *environment, const struct cfc_ctl_word *exits);

#endif
