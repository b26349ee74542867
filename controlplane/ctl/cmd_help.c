/* help: the same as --help, for those who type it first. */
#include <stdio.h>
#include <string.h>

#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/help.h"
#include "controlplane/ctl/table.h"

int
cfc_ctl_help_about(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *first = cfc_ctl_positional(args, 0);
    const char *second = cfc_ctl_positional(args, 1);
    char name[64];
    size_t count = 0;

    (void)ctl;
    if (first == NULL) {
        cfc_ctl_help(stdout, cfc_ctl_commands, cfc_ctl_program_options);
        return CFC_EXIT_OK;
    }
    snprintf(name, sizeof(name), "%s%s%s", first, second != NULL ? " " : "",
             second != NULL ? second : "");
    for (const struct cfc_ctl_command *c = cfc_ctl_commands; c->name != NULL; c++) {
        size_t size = strlen(name);

        /* All commands of a group, by its name. */
        if (strncmp(c->name, name, size) == 0 && (c->name[size] == '\0' || c->name[size] == ' ')) {
            fputs(count > 0 ? "\n" : "", stdout);
            cfc_ctl_help_command(stdout, c);
            count++;
        }
    }
    return count > 0
               ? CFC_EXIT_OK
               : cfc_ctl_fail(CFC_EXIT_USAGE, "%s is not a command; see confcastctl --help", name);
}
