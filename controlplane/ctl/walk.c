#include "controlplane/ctl/walk.h"

static void
push(struct cfc_walk *walk, json_t *value)
{
    if (!json_is_object(value) && !json_is_array(value)) {
        return;
    }
    if (walk->depth == CFC_WALK_DEPTH_MAX) {
        walk->is_too_deep = true;
        return;
    }
    walk->frames[walk->depth++] = (struct cfc_walk_frame){
        .container = value, .iter = json_is_object(value) ? json_object_iter(value) : NULL};
}

void
cfc_walk_init(struct cfc_walk *walk, json_t *root)
{
    walk->depth = 0;
    walk->is_too_deep = false;
    push(walk, root);
}

static bool
advance(struct cfc_walk_frame *frame, struct cfc_walk_step *step)
{
    if (json_is_object(frame->container)) {
        if (frame->iter == NULL) {
            return false;
        }
        step->key = json_object_iter_key(frame->iter);
        step->value = json_object_iter_value(frame->iter);
        frame->iter = json_object_iter_next(frame->container, frame->iter);
        return true;
    }
    if (frame->next_idx == json_array_size(frame->container)) {
        return false;
    }
    step->key = NULL;
    step->idx = frame->next_idx;
    step->value = json_array_get(frame->container, frame->next_idx++);
    return true;
}

bool
cfc_walk_next(struct cfc_walk *walk, struct cfc_walk_step *step)
{
    while (walk->depth > 0 && !walk->is_too_deep) {
        if (advance(&walk->frames[walk->depth - 1], step)) {
            step->depth = walk->depth;
            push(walk, step->value);
            return true;
        }
        walk->depth--;
    }
    return false;
}
