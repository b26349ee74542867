#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/log/log.h"
#include "controlplane/publish/publisher_internal.h"
#include "controlplane/publish/report_intake.h"
#include "protocol/wire/head.h"
#include "protocol/wire/link.h"

enum {
    MESSAGES_MAX = 512 /* taken before decisions get their turn */
};

/* Counts a consumer once.  A full table stops counting: the fleet size only tunes windows. */
static void
note_consumer(struct cfc_publisher *p, uint64_t key)
{
    size_t at;

    if (key == 0 || p->status.consumers * 4 >= p->consumer_capacity * 3) {
        return;
    }
    for (at = key & (p->consumer_capacity - 1); p->consumer_keys[at] != 0;
         at = (at + 1) & (p->consumer_capacity - 1)) {
        if (p->consumer_keys[at] == key) {
            return;
        }
    }
    p->consumer_keys[at] = key;
    CFC_PUBLISHER_COUNT(p, consumers, 1);
}

/* A consumer shows the highest head that it accepted.  If we signed it and do not know of it, our
 * store is older than what was published: going on would send versions that consumers refuse, or
 * worse, versions twice. */
static void
check_proof(struct cfc_publisher *p, const uint8_t *bytes, size_t size)
{
    struct cfc_frame frame;
    struct cfc_head head;
    uint64_t epoch = cfc_service_epoch(p->config.service);
    uint64_t seq = cfc_service_seq(p->config.service);

    if (cfc_frame_open(bytes, size, &frame) != CONFCAST_OK || frame.type != CFC_FRAME_HEAD ||
        cfc_head_decode(&frame, p->sha, &head) != CONFCAST_OK || head.shard != p->config.shard ||
        (head.version <= seq && head.epoch <= epoch) ||
        cfc_head_verify(&head, &p->config.verifier, cfc_publisher_unix_ns()) != CONFCAST_OK) {
        return; /* an unproved claim changes nothing */
    }
    if (!p->status.is_refusing) {
        cfc_log(CFC_LOG_ERROR, "publish",
                "refusing to publish error=regress: a consumer proved epoch=%llu version=%llu, "
                "this store has epoch=%llu sequence=%llu; restore a newer backup, or lift this one",
                (unsigned long long)head.epoch, (unsigned long long)head.version,
                (unsigned long long)epoch, (unsigned long long)seq);
    }
    cfc_publisher_refuse(p, head.epoch, head.version);
}

static int
compare_labels(const void *a, const void *b)
{
    const struct cfc_label *x = a;
    const struct cfc_label *y = b;
    size_t size = x->key_size < y->key_size ? x->key_size : y->key_size;
    int order = memcmp(x->key, y->key, size);

    return order != 0 ? order : (int)x->key_size - (int)y->key_size;
}

/* The inventory shows who said hello, and its labels; what is too long is left out. */
static void
note_hello(struct cfc_publisher *p, struct cfc_hello *hello)
{
    char text[CFC_LABELS_TEXT_MAX + 1] = "";
    size_t size = 0;
    int error;

    qsort(hello->labels, hello->label_count, sizeof(hello->labels[0]), compare_labels);
    for (uint8_t i = 0; i < hello->label_count; i++) {
        const struct cfc_label *label = &hello->labels[i];

        if (size + 2 + label->key_size + label->value_size <= CFC_LABELS_TEXT_MAX) {
            size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%.*s=%.*s",
                                     size > 0 ? "," : "", label->key_size, label->key,
                                     label->value_size, label->value);
        }
    }
    error = cfc_service_note_hello(p->config.service, hello->id, hello->id_size, hello->incarnation,
                                   text, cfc_publisher_unix_ns());
    if (error != CONFCAST_OK) {
        cfc_log(CFC_LOG_WARN, "publish", "hello not noted id=%.*s error=%s", (int)hello->id_size,
                hello->id, confcast_error_word(error));
    }
    cfc_service_note_deltas(p->config.service, hello->id, hello->id_size,
                            (hello->capabilities & CFC_CAPABILITY_DELTAS) != 0);
}

static void
on_hello(struct cfc_publisher *p, const uint8_t *bytes, size_t size)
{
    struct cfc_frame frame;
    struct cfc_hello hello;

    if (cfc_frame_open(bytes, size, &frame) != CONFCAST_OK || frame.type != CFC_FRAME_HELLO ||
        cfc_hello_decode(&frame, p->sha, &hello) != CONFCAST_OK) {
        return;
    }
    note_consumer(p, hello.consumer_key);
    note_hello(p, &hello);
    if (hello.head_proof != NULL) {
        check_proof(p, hello.head_proof, hello.head_proof_size);
    }
    cfc_log(CFC_LOG_DEBUG, "publish", "consumer id=%.*s incarnation=%llu", (int)hello.id_size,
            hello.id, (unsigned long long)hello.incarnation);
}

static void
on_report(struct cfc_publisher *p, const struct cfc_handoff_report *m)
{
    int error = cfc_report_intake(p->config.service, p->sha, &p->config.report_key, m->id,
                                  m->id_size, m->frame, m->frame_size, cfc_publisher_unix_ns());

    if (error == CONFCAST_OK) {
        CFC_PUBLISHER_COUNT(p, reports, 1);
    } else {
        CFC_PUBLISHER_COUNT(p, reports_refused, 1);
        cfc_log(CFC_LOG_WARN, "publish", "report refused id=%.*s error=%s", (int)m->id_size, m->id,
                confcast_error_word(error));
    }
}

static void
on_engine_hello(struct cfc_publisher *p, const struct cfc_handoff_engine_hello *m)
{
    int error = CONFCAST_OK;

    cfc_log(CFC_LOG_INFO, "publish", "engine connected boot=%016llx frame_size_max=%u port=%.*s",
            (unsigned long long)m->boot_id, m->frame_size_max, (int)m->port_text_size,
            m->port_text);
    if (m->frame_size_max < CFC_FRAME_SIZE_MIN) {
        cfc_publisher_disconnected(p, "frame_size");
        return;
    }
    CFC_PUBLISHER_COUNT(p, connections, 1);
    pthread_mutex_lock(&p->lock);
    p->status.engine_boot_id = m->boot_id;
    pthread_mutex_unlock(&p->lock);
    if (!cfc_publisher_is_made_for(p, m->frame_size_max)) {
        /* Another port size: every content is cut anew, which its bodies in the model allow at any
         * time. */
        cfc_publisher_free_sets(p);
        error = cfc_publisher_make_sets(p, m->frame_size_max);
        cfc_service_requeue_decisions(p->config.service);
    }
    if (error == CONFCAST_OK && !p->status.is_refusing) {
        error = cfc_publisher_hand_everything(p);
    }
    if (error != CONFCAST_OK) {
        cfc_publisher_disconnected(p, confcast_error_word(error));
    }
}

static void
on_message(struct cfc_publisher *p, const struct cfc_handoff *m)
{
    switch (m->type) {
    case CFC_HANDOFF_ENGINE_HELLO:
        on_engine_hello(p, &m->u.engine_hello);
        break;
    case CFC_HANDOFF_CONSUMER:
        on_hello(p, m->u.consumer.frame, m->u.consumer.frame_size);
        break;
    case CFC_HANDOFF_REPORT:
        on_report(p, &m->u.report);
        break;
    case CFC_HANDOFF_REFUSED:
        CFC_PUBLISHER_COUNT(p, engine_refusals, 1);
        cfc_log(CFC_LOG_ERROR, "publish", "engine refused type=%u error=%s key=%016llx",
                m->u.refused.type, confcast_error_word(-(int)m->u.refused.error),
                (unsigned long long)m->u.refused.key);
        break;
    case CFC_HANDOFF_ENGINE_STATS:
        pthread_mutex_lock(&p->lock);
        p->status.engine = m->u.engine_stats;
        pthread_mutex_unlock(&p->lock);
        break;
    case CFC_HANDOFF_RELEASE_ARENA: /* our own mapping goes with its last content */
        break;
    default:
        cfc_publisher_disconnected(p, "unexpected message");
        break;
    }
}

void
cfc_publisher_take_hellos(struct cfc_publisher *p)
{
    struct cfc_pulled_hello *hello;

    pthread_mutex_lock(&p->lock);
    hello = p->hellos;
    p->hellos = NULL;
    p->hello_count = 0;
    pthread_mutex_unlock(&p->lock);
    while (hello != NULL) {
        struct cfc_pulled_hello *next = hello->next;

        on_hello(p, hello->frame, hello->size);
        free(hello);
        hello = next;
    }
}

void
cfc_publisher_take_messages(struct cfc_publisher *p)
{
    for (int i = 0; i < MESSAGES_MAX && cfc_engine_link_is_open(&p->link); i++) {
        struct cfc_handoff message;
        int error = cfc_engine_link_receive(&p->link, &message);

        if (error == CONFCAST_ERR_AGAIN) {
            return;
        }
        if (error != CONFCAST_OK) {
            cfc_publisher_disconnected(p, confcast_error_word(error));
            return;
        }
        on_message(p, &message);
    }
}
