/* The commands and options of confcastctl, in one place: what is parsed, what --help says, what
 * the man page and the shells' completion are made of. */
#ifndef CFC_CTL_TABLE_H
#define CFC_CTL_TABLE_H

#include "controlplane/ctl/args.h"

#define CFC_CTL_SERVER_DEFAULT "http://127.0.0.1:7400"

extern const struct cfc_ctl_command cfc_ctl_commands[];
extern const struct cfc_ctl_option cfc_ctl_program_options[];

#endif
