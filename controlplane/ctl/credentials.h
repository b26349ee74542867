/* What proves who asks: a bearer token, a client certificate.
 *
 * Secrets come from files that only their owner can read or from the environment, never from the
 * command line, which every user of the machine can see; no message of this program has them. */
#ifndef CFC_CTL_CREDENTIALS_H
#define CFC_CTL_CREDENTIALS_H

#include "controlplane/ctl/args.h"
#include "controlplane/ctl/ctl.h"

enum {
    CFC_CTL_TOKEN_SIZE_MAX = 512,
};

/* Fills the credentials of `ctl` from options and environment; `token` holds the text of the token
 * and is wiped by the caller.  CFC_EXIT_OK, or said on stderr: CFC_EXIT_FORBIDDEN: a file that
 * others can touch; CFC_EXIT_NOT_FOUND: no such file; CFC_EXIT_USAGE: no token in it, a certificate
 * without a key or the other way round, or a token that would travel unencrypted beyond this
 * machine. */
int cfc_ctl_credentials(struct cfc_ctl *ctl, const struct cfc_ctl_args *args,
                        char token[CFC_CTL_TOKEN_SIZE_MAX + 1]);

#endif
