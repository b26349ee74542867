/* What the word at the cursor can become: the shells' completion, of the same table as the parser.
 *
 * One line per candidate, "WORD" or "WORD<TAB>what it is", and at the end ":none", ":files" or
 * ":dirs": what the shell adds by itself.  Nothing is ever said on stderr. */
#ifndef CFC_CTL_COMPLETE_H
#define CFC_CTL_COMPLETE_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

#include "controlplane/ctl/args.h"

enum {
    CFC_COMPLETE_NAMES_MAX = 500,  /* names of the server that are printed */
    CFC_COMPLETE_LIMIT_MS = 700,   /* for the server to answer, else there are no names */
    CFC_COMPLETE_WORDS_MAX = 1024, /* beyond: nothing is completed */
};

/* The answer to a GET of `route`, which the caller drops; NULL for whatever reason. */
typedef json_t *cfc_complete_ask_fn(const struct cfc_ctl_args *args, const char *route);

/* words[0] is the program's name, words[count - 1] what stands before the cursor in the word under
 * it (may be empty). */
void cfc_ctl_complete(FILE *out, int count, char **words, const struct cfc_ctl_command *commands,
                      const struct cfc_ctl_option *program_options, cfc_complete_ask_fn *ask);

#endif
