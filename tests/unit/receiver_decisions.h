/* What the tests of serving and of contents share. */
#ifndef CFC_TESTS_RECEIVER_DECISIONS_H
#define CFC_TESTS_RECEIVER_DECISIONS_H

#include "tests/unit/cunit_main.h"
#include "tests/unit/receiver_fixture.h"

static inline bool
is_last_served(const struct bench *b, const struct cfc_digest *content)
{
    return cfc_digest_equal(&bench_last(b, CFC_EVENT_SERVE)->content, content);
}

/* Has contents held by the owner, so that heads are all that matters. */
static inline void
hold(struct bench *b, const struct cfc_digest *content)
{
    CU_ASSERT_EQUAL(cfc_receiver_content_held(b->r, content), CONFCAST_OK);
}

static inline void
decide(struct bench *b, const struct cfc_head *head)
{
    CU_ASSERT_EQUAL(bench_send_head(b, head), CONFCAST_OK);
    bench_run_owner(b);
}

#endif
