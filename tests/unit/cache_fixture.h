/* What the tests of the disk cache share: a directory of their own, contents, commits. */
#ifndef CFC_TESTS_CACHE_FIXTURE_H
#define CFC_TESTS_CACHE_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "consumer/cache.h"
#include "protocol/snapshot/body.h"
#include "protocol/wire/report.h"
#include "tests/unit/temp_dir.h"

enum {
    FIXTURE_HEAD_SIZE = 300
};

/* A loaded content {"n": n, "pad": ...}. */
static inline struct cfc_loaded *
content_with(struct cfc_sha256 *sha, int64_t n)
{
    static const char pad[200] = "................................................";
    struct cfc_loaded *loaded = NULL;
    struct cfc_body_writer w;
    struct cfc_digest id;
    uint8_t *body = NULL;
    size_t size = 0;

    cfc_body_writer_init(&w, &cfc_consumer_heap);
    cfc_body_begin_object(&w);
    cfc_body_key(&w, "n", 1);
    cfc_body_i64(&w, n);
    cfc_body_key(&w, "pad", 3);
    cfc_body_string(&w, pad, strlen(pad));
    cfc_body_end(&w);
    if (cfc_body_finish(&w, &body, &size) == CONFCAST_OK) {
        cfc_content_id(sha, body, size, &id);
        cfc_loaded_new(body, size, &id, sha, &loaded);
    }
    if (loaded == NULL) {
        abort();
    }
    return loaded;
}

/* A job that stands for `version` of a scope: a head of known bytes and the content. */
static inline void
fill_job(struct cfc_cache_job *job, uint64_t scope_id, uint64_t version, struct cfc_loaded *loaded)
{
    memset(job, 0, sizeof(*job));
    job->scope_id = scope_id;
    snprintf(job->serving.path, sizeof(job->serving.path), "acme/s%u", (unsigned)scope_id);
    job->serving.epoch = 1;
    job->serving.version = version;
    job->serving.state = CFC_APPLY_REVERTED;
    job->serving.content = loaded->id;
    job->loaded = loaded;
    memset(job->head, (int)(version & 0xff), FIXTURE_HEAD_SIZE);
    job->head_size = FIXTURE_HEAD_SIZE;
}

#endif
