/* The machine that judges a document.  It keeps a stack of frames, one for each schema that is
 * being applied to a value, instead of recursing: validate.c drives it, check.c and apply.c hold
 * what the ops do.
 *
 * A frame is quiet when its answer is only part of another's (anyOf, not, if, ...).  A failure in a
 * frame that is not quiet decides the whole validation, and is reported on the spot. */
#ifndef CFC_SCHEMA_RUN_H
#define CFC_SCHEMA_RUN_H

#include "controlplane/schema/internal.h"
#include "controlplane/schema/pattern.h"

/* How a frame's value lies in the one of the frame below. */
enum cfc_schema_place {
    CFC_PLACE_SAME,   /* it is the same value */
    CFC_PLACE_MEMBER, /* the member `key` */
    CFC_PLACE_ITEM,   /* the item `index` */
};

struct cfc_schema_frame {
    uint32_t node;
    uint32_t op; /* of the node, counted from its first */
    const json_t *value;
    json_t *name; /* a member's name as a value, owned; NULL but for propertyNames */
    const char *key;
    size_t key_size;
    size_t index;
    enum cfc_schema_place place;
    bool is_quiet;

    /* The state of the op that runs; zeroed for each. */
    struct {
        bool is_resumed; /* a frame that it called has answered: see run->fits */
        bool is_matched; /* some schema took the member */
        void *iter;      /* next member, or the one in hand */
        size_t next;     /* next child, item or phase */
        size_t count;    /* that fitted */
    } state;
};

/* What an op says. */
enum cfc_schema_outcome {
    CFC_OUTCOME_FITS,
    CFC_OUTCOME_FAILS,
    CFC_OUTCOME_CALLED, /* a frame was pushed; the op runs again when that has answered */
    CFC_OUTCOME_BROKEN, /* run->error says why */
};

struct cfc_schema_run {
    const struct cfc_schema *schema;
    struct cfc_schema_frame *frames;
    size_t depth;
    size_t depth_max;
    bool fits; /* the answer of the frame that was popped last */
    int error;
    uint64_t steps; /* left */
    struct cfc_schema_matcher matcher;
    struct cfc_schema_error *why;
};

typedef enum cfc_schema_outcome cfc_schema_apply(struct cfc_schema_run *run,
                                                 struct cfc_schema_frame *frame,
                                                 const struct cfc_schema_op *op);

/* The ops that look at the value alone, and those that apply other schemas; NULL for keywords that
 * have no op there. */
extern cfc_schema_apply *const cfc_schema_checks[CFC_KEYWORD_COUNT];
extern cfc_schema_apply *const cfc_schema_applicators[CFC_KEYWORD_COUNT];

/* The value fails at a keyword of the frame's node, or at the node itself with CFC_KEYWORD_NONE:
 * reports it unless the frame is quiet.  CFC_OUTCOME_FAILS. */
enum cfc_schema_outcome cfc_schema_fail(struct cfc_schema_run *run,
                                        const struct cfc_schema_frame *frame,
                                        enum cfc_schema_keyword keyword, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The validation cannot go on: CFC_OUTCOME_BROKEN. */
enum cfc_schema_outcome cfc_schema_break(struct cfc_schema_run *run, int error);

/* Takes steps: true when there were as many.  Otherwise the run is broken. */
bool cfc_schema_run_pay(struct cfc_schema_run *run, uint64_t cost);

/* Pushes `callee`, whose node, value, place and is_quiet are set.  CFC_OUTCOME_CALLED, or _BROKEN
 * at a document that is too deep; its name is freed then. */
enum cfc_schema_outcome cfc_schema_call(struct cfc_schema_run *run,
                                        const struct cfc_schema_frame *callee);

#endif
