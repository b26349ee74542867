/* Crash loops: which content a process was serving when it died, again and again.
 *
 * A content is on trial from the moment before it is served until the process has served it for a
 * while (cfc_trials_pass()), which makes it the good one.  A process that ends without
 * cfc_trials_close() or exit() has crashed; each crash is a strike against the contents on trial
 * then.  Too many of them within ten minutes set the version aside: the next process serves the
 * good one and rejects that version with CRASH_LOOP.  A later version that names the same content
 * is tried anew.
 *
 * Kept in the file "trials" of the state directory, by writes to the page cache alone: they survive
 * the death of the process, which is all that counts; after power loss a damaged record is one that
 * was never there.  What cannot be read or written costs this protection and nothing else.
 *
 * Any thread. */
#ifndef CFC_CONSUMER_TRIALS_H
#define CFC_CONSUMER_TRIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/trust/digest.h"

enum {
    CFC_TRIALS_SCOPES_MAX = 1024, /* further ones are not protected */
    CFC_TRIALS_STRIKES_DEFAULT = 5,
};

/* How long a content is on trial, and how long strikes count. */
extern const uint64_t CFC_TRIAL_NS;
extern const uint64_t CFC_STRIKES_NS;

struct cfc_trials;

struct cfc_trial_content {
    uint64_t epoch;
    uint64_t version; /* 0: none */
    struct cfc_digest content;
};

/* Reads the file of a directory, whose lock is held, and counts the strikes of the process before.
 * It is on until close.  Never fails: NULL without memory, and the others take that. */
struct cfc_trials *cfc_trials_open(int dir_fd, uint32_t strikes_max, uint64_t now_unix_ns);
void cfc_trials_close(struct cfc_trials *trials); /* an orderly end; NULL is fine */

/* Held over fork(): a child finds it free. */
void cfc_trials_lock_list(void);
void cfc_trials_unlock_list(void);

/* In a forked child: its end says nothing.  Async-signal-safe. */
void cfc_trials_abandon(struct cfc_trials *trials);

/* Whether this version of a scope is set aside. */
bool cfc_trials_is_aside(struct cfc_trials *trials, uint64_t scope_id, uint64_t epoch,
                         uint64_t version, const struct cfc_digest *content);

/* What served well last; version 0: nothing did. */
struct cfc_trial_content cfc_trials_good(struct cfc_trials *trials, uint64_t scope_id);

/* This is about to be judged by the application and served: it is on trial, unless it is the good
 * one.  What a start serves again (`is_again`) does not take the place of another one that has
 * strikes. */
void cfc_trials_begin(struct cfc_trials *trials, uint64_t scope_id,
                      const struct cfc_trial_content *served, bool is_again);

/* It is not served after all: takes the begin back, whole when no other scope began since. */
void cfc_trials_withdraw(struct cfc_trials *trials, uint64_t scope_id);

/* What is on trial has served well.  Nothing without one. */
void cfc_trials_pass(struct cfc_trials *trials, uint64_t scope_id);

/* The good contents, which the cache keeps: at most `capacity`, returns how many. */
size_t cfc_trials_goods(struct cfc_trials *trials, struct cfc_digest *ids, size_t capacity);

#endif
