/* The commands and options of confcastctl, in one place: what is parsed, what --help says, what
 * the man page and the shells' completion are made of. */
#ifndef CFC_CTL_TABLE_H
#define CFC_CTL_TABLE_H

#include "controlplane/ctl/args.h"

#define CFC_CTL_SERVER_DEFAULT "http://127.0.0.1:7400"

#define CFC_CTL_ROLES "viewer|author|approver|releaser|operator"

struct cfc_ctl_word {
    const char *word; /* NULL ends a list */
    const char *help;
};

extern const struct cfc_ctl_command cfc_ctl_commands[];
extern const struct cfc_ctl_option cfc_ctl_program_options[];
/* What the environment says to every command. */
extern const struct cfc_ctl_word cfc_ctl_environment[];
/* Exit codes, "0" and on. */
extern const struct cfc_ctl_word cfc_ctl_exits[];

#endif
