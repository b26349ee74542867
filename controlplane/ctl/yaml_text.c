#include "controlplane/ctl/yaml_text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "controlplane/ctl/output.h"
#include "controlplane/ctl/walk.h"

struct writer {
    yaml_emitter_t emitter;
    bool is_mapping[CFC_WALK_DEPTH_MAX + 1]; /* the containers that are open */
    size_t depth;
    bool ok;
};

static void
emit(struct writer *w, yaml_event_t *event, int is_made)
{
    w->ok = w->ok && is_made != 0 && yaml_emitter_emit(&w->emitter, event) != 0;
}

/* A word that no version of YAML takes for anything but a string. */
static bool
is_plain(const char *text, size_t size)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_/";
    static const char others[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_/0123456789.-";
    static const char *const reserved[] = {"null", "true", "false", "yes", "no",
                                           "on",   "off",  "y",     "n"};

    if (size == 0 || size > 128 || strchr(first, text[0]) == NULL || strspn(text, others) != size) {
        return false;
    }
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (strcasecmp(text, reserved[i]) == 0) {
            return false;
        }
    }
    return true;
}

/* Lines of plain text that end with one newline can stand as they are; anything that a reader could
 * fold, trim or refuse is quoted. */
static bool
is_block(const char *text, size_t size)
{
    if (size < 2 || text[0] == ' ' || text[0] == '\n' || text[size - 1] != '\n' ||
        text[size - 2] == '\n') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        bool is_break = text[i] == '\n';

        if ((!is_break && (text[i] < 0x20 || text[i] > 0x7e)) ||
            (is_break && i > 0 && text[i - 1] == ' ')) {
            return false;
        }
    }
    return true;
}

static void
put_string(struct writer *w, const char *text, size_t size, bool is_key)
{
    yaml_event_t event;
    bool plain = is_plain(text, size);
    yaml_scalar_style_t style = plain                             ? YAML_PLAIN_SCALAR_STYLE
                                : !is_key && is_block(text, size) ? YAML_LITERAL_SCALAR_STYLE
                                                                  : YAML_DOUBLE_QUOTED_SCALAR_STYLE;

    emit(w, &event,
         yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)size,
                                      plain, 1, style));
}

/* "1e+22" is a string in YAML 1.1, "1.0e+22" a number in both. */
static void
put_number(struct writer *w, const json_t *value)
{
    char *text = cfc_ctl_scalar_text(value);
    char *exponent = text != NULL ? strchr(text, 'e') : NULL;
    yaml_event_t event;
    char number[64];

    if (exponent != NULL && json_is_real(value) && strchr(text, '.') == NULL) {
        snprintf(number, sizeof(number), "%.*s.0%s", (int)(exponent - text), text, exponent);
    } else {
        snprintf(number, sizeof(number), "%s", text != NULL ? text : "null");
    }
    w->ok = w->ok && text != NULL;
    free(text);
    emit(w, &event,
         yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)number, -1, 1, 0,
                                      YAML_PLAIN_SCALAR_STYLE));
}

static void
put_value(struct writer *w, const json_t *value)
{
    yaml_event_t event;

    if (json_is_object(value) || json_is_array(value)) {
        bool is_mapping = json_is_object(value);
        bool is_empty = json_object_size(value) + json_array_size(value) == 0;

        emit(w, &event,
             is_mapping ? yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
                                                              is_empty ? YAML_FLOW_MAPPING_STYLE
                                                                       : YAML_BLOCK_MAPPING_STYLE)
                        : yaml_sequence_start_event_initialize(
                              &event, NULL, NULL, 1,
                              is_empty ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE));
        if (w->depth <= CFC_WALK_DEPTH_MAX) {
            w->is_mapping[w->depth++] = is_mapping;
        } else {
            w->ok = false;
        }
    } else if (json_is_string(value)) {
        put_string(w, json_string_value(value), json_string_length(value), false);
    } else {
        put_number(w, value);
    }
}

/* Ends containers until `depth` of them are open. */
static void
close_down_to(struct writer *w, size_t depth)
{
    yaml_event_t event;

    while (w->depth > depth) {
        emit(w, &event,
             w->is_mapping[--w->depth] ? yaml_mapping_end_event_initialize(&event)
                                       : yaml_sequence_end_event_initialize(&event));
    }
}

static void
put_document(struct writer *w, json_t *value)
{
    struct cfc_walk walk;
    struct cfc_walk_step step;

    put_value(w, value);
    cfc_walk_init(&walk, value);
    while (w->ok && cfc_walk_next(&walk, &step)) {
        close_down_to(w, step.depth);
        if (step.key != NULL) {
            put_string(w, step.key, strlen(step.key), true);
        }
        put_value(w, step.value);
    }
    w->ok = w->ok && !walk.is_too_deep;
    close_down_to(w, 0);
}

bool
cfc_yaml_write(FILE *out, json_t *value)
{
    struct writer w = {.ok = true};
    yaml_event_t event;

    if (yaml_emitter_initialize(&w.emitter) == 0) {
        return false;
    }
    yaml_emitter_set_output_file(&w.emitter, out);
    yaml_emitter_set_unicode(&w.emitter, 1);
    yaml_emitter_set_width(&w.emitter, -1);
    emit(&w, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
    emit(&w, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
    put_document(&w, value);
    emit(&w, &event, yaml_document_end_event_initialize(&event, 1));
    emit(&w, &event, yaml_stream_end_event_initialize(&event));
    yaml_emitter_delete(&w.emitter);
    return w.ok;
}
