/* The commands of confcastctl; main.c has the table. */
#ifndef CFC_CTL_COMMANDS_H
#define CFC_CTL_COMMANDS_H

#include "controlplane/ctl/args.h"
#include "controlplane/ctl/ctl.h"

int cfc_ctl_put(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_get(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_delete(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_history(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_diff(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_batch(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_apply(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_export(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_effective(struct cfc_ctl *, const struct cfc_ctl_args *);

/* promote, advance, pause, resume, abort, rollback, disable, enable, quarantine, confirm: the
 * command's name is the action. */
int cfc_ctl_release(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_show_release(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_approve(struct cfc_ctl *, const struct cfc_ctl_args *);
/* schema, settings: the command's first word says which. */
int cfc_ctl_rule_show(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_rule_set(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_layers_show(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_layers_set(struct cfc_ctl *, const struct cfc_ctl_args *);

int cfc_ctl_status(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_wait(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_consumers(struct cfc_ctl *, const struct cfc_ctl_args *);
/* audit, --export, --verify. */
int cfc_ctl_audit(struct cfc_ctl *, const struct cfc_ctl_args *);

int cfc_ctl_token_create(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_token_list(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_token_delete(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_role_show(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_role_set(struct cfc_ctl *, const struct cfc_ctl_args *);
/* role grant, role revoke. */
int cfc_ctl_role_change(struct cfc_ctl *, const struct cfc_ctl_args *);

int cfc_ctl_backup(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_restore(struct cfc_ctl *, const struct cfc_ctl_args *);

int cfc_ctl_help_about(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_doctor(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_key_init(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_key_enroll(struct cfc_ctl *, const struct cfc_ctl_args *);
int cfc_ctl_key_rotate(struct cfc_ctl *, const struct cfc_ctl_args *);

enum {
    CFC_CTL_DIGEST_SIZE = 64,   /* hex digits */
    CFC_CTL_DIGEST_DIGITS = 16, /* of a digest, in tables; approve takes no fewer */
};

/* The first positional as a scope path; NULL (said on stderr, CFC_EXIT_USAGE) when it is none. */
const char *cfc_ctl_scope(const struct cfc_ctl_args *args);

/* Prints the document of a GET's answer, or with --meta the answer around it. */
struct cfc_ctl_path;
int cfc_ctl_print_document_of(struct cfc_ctl *ctl, const struct cfc_ctl_args *args,
                              const struct cfc_ctl_path *path);

/* All of a file, or of standard input for "-"; *bytes is on the heap. */
int cfc_ctl_read_input(const char *path, char **bytes, size_t *size);

/* An option that must be a whole number when it is given; false (said) when it is not. */
bool cfc_ctl_check_uint(const struct cfc_ctl_args *args, const char *name);

/* Says an error of tree.h, its word before the sentence, and gives the exit code. */
int cfc_tree_fail(int rc, const char *why);
/* False (said): not a scope.  NULL is fine. */
bool cfc_tree_check_under(const char *under);

void cfc_ctl_sleep_ms(uint64_t ms);

#endif
