#include "controlplane/ctl/release_view.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *const order[] = {
    "scope",
    "state",
    "reason",
    "active_revision",
    "previous_revision",
    "candidate_revision",
    "stage",
    "stage_since",
    "bake_s",
    "waiting",
    "activate",
    "activate_at",
    "require_prepared",
    "confirm_by",
    "quarantined",
    "release_version",
    "version",
    "affected",
    "last_action",
    "author",
    "changed",
    "message",
};

/* Members that are in another one, or said otherwise. */
static const char *const left_out[] = {"confirm_within_s", "dry_run"};

static bool
says_nothing(const char *key, const json_t *value)
{
    return json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0) ||
           (strcmp(key, "waiting") == 0 && json_is_false(value)) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           (strcmp(key, "activate") == 0 && json_is_string(value) &&
            strcmp(json_string_value(value), "now") == 0);
}

static json_t *
stage_text(const json_t *stage)
{
    const char *strategy = json_string_value(json_object_get(stage, "strategy"));

    return strategy != NULL
               ? json_sprintf("%lld of %s", json_integer_value(json_object_get(stage, "index")) + 1,
                              strategy)
               : NULL;
}

static json_t *
list_text(const json_t *list)
{
    char text[256] = "";
    size_t size = 0;

    for (size_t i = 0; i < json_array_size(list) && size < sizeof(text) - 24; i++) {
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%lld", i > 0 ? ", " : "",
                                 json_integer_value(json_array_get(list, i)));
    }
    return json_string(text);
}

static json_t *
shown(const char *key, json_t *value)
{
    json_t *text = NULL;

    if (strcmp(key, "stage") == 0) {
        text = stage_text(value);
    } else if (strcmp(key, "quarantined") == 0) {
        text = list_text(value);
    }
    return text != NULL ? text : json_incref(value);
}

json_t *
cfc_release_view(json_t *answer)
{
    json_t *rest = json_copy(answer);
    json_t *view = json_object();
    const char *key;
    json_t *value;

    /* A dry run has no version, time and author of its own. */
    if (json_is_true(json_object_get(answer, "dry_run"))) {
        json_object_set_new(view, "dry run", json_string("nothing written; it would be"));
        json_object_del(rest, "version");
        json_object_del(rest, "changed");
        json_object_del(rest, "author");
    }
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        value = json_object_get(rest, order[i]);
        if (value != NULL && !says_nothing(order[i], value)) {
            json_object_set_new(view, order[i], shown(order[i], value));
        }
        json_object_del(rest, order[i]);
    }
    for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++) {
        json_object_del(rest, left_out[i]);
    }
    json_object_foreach(rest, key, value)
    {
        json_object_set(view, key, value);
    }
    json_decref(rest);
    return view;
}
