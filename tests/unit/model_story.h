/* A sequence of changes of every kind, for tests of state as a whole. */
#ifndef CFC_TESTS_MODEL_STORY_H
#define CFC_TESTS_MODEL_STORY_H

#include "tests/unit/model_fixture.h"

/* A story with every kind of change in it; false when it is over.  Refusals of the store end a
 * step. */
static inline bool
step(struct model *m, int i, int *error)
{
    static const char *const layers[] = {"acme/mail", "acme/shop"};
    static char key[32];

    snprintf(key, sizeof(key), "step-%d", i);
    m->key = key;
    switch (i) {
    case 0:
        *error = put_text(m, "acme", "{\"a\":1}");
        return true;
    case 1:
        *error = promote(m, "acme");
        return true;
    case 2:
        *error = put_text(m, "acme/shop", "{\"b\":1}");
        return true;
    case 3:
        *error = promote(m, "acme/shop");
        return true;
    case 4:
        *error = put_text(m, "acme", "{\"a\":2}");
        return true;
    case 5:
        *error = canary(m, "acme", "stages:10%,20%");
        return true;
    case 6:
        *error = act(m, "acme", CFC_ACTION_PAUSE);
        return true;
    case 7:
        *error = act(m, "acme", CFC_ACTION_RESUME);
        return true;
    case 8:
        *error = act(m, "acme", CFC_ACTION_ADVANCE);
        return true;
    case 9:
        *error = follow(m, "acme/mail/prod");
        return true;
    case 10:
        *error = act(m, "acme", CFC_ACTION_ADVANCE);
        return true;
    case 11:
        *error = set_layers(m, "acme/shop", layers, 2);
        return true;
    case 12:
        *error = act(m, "acme", CFC_ACTION_ROLLBACK);
        return true;
    case 13:
        *error = act(m, "acme/shop", CFC_ACTION_DISABLE);
        return true;
    case 14:
        *error = put_text(m, "acme/mail", "{\"m\":[true]}");
        return true;
    case 15:
        *error = canary(m, "acme/mail", "label:zone=eu");
        return true;
    case 16:
        *error = delete_scope(m, "acme");
        return true;
    case 17:
        *error = put_text(m, "late", "{\"l\":1}");
        return true;
    case 18:
        *error = promote_by(
            m, "late", "all",
            (struct cfc_release_plan){.activation = CFC_ACTIVATE_HOLD, .confirm_within_s = 60});
        return true;
    case 19:
        *error = act(m, "late", CFC_ACTION_ADVANCE);
        return true;
    case 20:
        *error = act(m, "late", CFC_ACTION_CONFIRM);
        return true;
    default:
        return false;
    }
}

#endif
