/* The check of an exported audit log: one entry a line, each naming in "prev" the SHA-256 of the
 * line before.  It needs the lines alone: no server, no key.
 *
 * What it cannot see: a log that was cut at its end or written anew as a whole.  Against that a
 * digest kept elsewhere is given as `head`. */
#ifndef CFC_CTL_CHAIN_H
#define CFC_CTL_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CFC_CHAIN_DIGEST_SIZE = 32,
    CFC_CHAIN_WHY_SIZE = 160,
};

struct cfc_chain {
    uint64_t first_n; /* of the first entry; 0 = none yet */
    uint64_t last_n;
    unsigned char digest[CFC_CHAIN_DIGEST_SIZE]; /* of the last line */
    unsigned char head[CFC_CHAIN_DIGEST_SIZE];   /* that must occur */
    bool has_head;
    bool is_head_seen;
};

/* `head` is 64 hex digits, or NULL.  False: it is malformed. */
bool cfc_chain_init(struct cfc_chain *chain, const char *head);

/* Takes whole lines, each ended by a newline but perhaps the last one.  May be called again with
 * those that follow.  False: `why` names the first entry that does not fit. */
bool cfc_chain_add(struct cfc_chain *chain, const char *text, size_t size,
                   char why[CFC_CHAIN_WHY_SIZE]);

/* After the last line.  False: the entry of `head` did not occur. */
bool cfc_chain_end(const struct cfc_chain *chain, char why[CFC_CHAIN_WHY_SIZE]);

/* The digest of the last line as 64 hex digits. */
void cfc_chain_digest_hex(const struct cfc_chain *chain, char hex[65]);

#endif
