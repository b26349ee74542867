#include "controlplane/model/rules.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/catalog.h"

enum {
    COMMAND_SIZE_MAX = 63,
    ARG_SIZE_MAX = 256,
};

static int
refuse(char why[160], const char *name, const char *what)
{
    snprintf(why, 160, "%s: %s", name, what);
    return CONFCAST_ERR_INVALID;
}

static int
read_whole(const json_t *value, const char *name, uint64_t max, uint64_t *out, char why[160])
{
    double number = json_number_value(value);

    if (!json_is_number(value) || number < 0 || number > (double)max || number != floor(number)) {
        return refuse(why, name, "not a whole number in its range");
    }
    *out = (uint64_t)number;
    return CONFCAST_OK;
}

static int
read_ratio(const json_t *value, const char *name, double *out, char why[160])
{
    double number = json_number_value(value);

    if (!json_is_number(value) || (number != 0 && number < 1)) {
        return refuse(why, name, "a ratio is a number of at least 1, or 0 for none");
    }
    *out = number;
    return CONFCAST_OK;
}

/* A name in the folder of validators, and nowhere else. */
static bool
is_command(const char *name)
{
    size_t size = name != NULL ? strlen(name) : 0;

    return size >= 1 && size <= COMMAND_SIZE_MAX && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               size;
}

static int
read_args(const json_t *list, struct cfc_validator *validator, char why[160])
{
    validator->arg_count = json_array_size(list);
    if (!json_is_array(list) || validator->arg_count > CFC_VALIDATOR_ARG_COUNT_MAX) {
        return refuse(why, "validators", "args is a list of at most 8 strings");
    }
    for (size_t i = 0; i < validator->arg_count; i++) {
        validator->args[i] = json_string_value(json_array_get(list, i));
        if (validator->args[i] == NULL || strlen(validator->args[i]) > ARG_SIZE_MAX) {
            return refuse(why, "validators", "an arg is a string of at most 256 bytes");
        }
    }
    return CONFCAST_OK;
}

static int
read_validator(json_t *object, struct cfc_validator *validator, char why[160])
{
    uint64_t number = 0;
    const char *key;
    json_t *value;
    int error = CONFCAST_OK;

    *validator = (struct cfc_validator){.timeout_ms = CFC_VALIDATOR_TIMEOUT_MS_DEFAULT,
                                        .memory_mb = CFC_VALIDATOR_MEMORY_MB_DEFAULT};
    validator->command = json_string_value(json_object_get(object, "command"));
    if (!is_command(validator->command)) {
        return refuse(why, "validators",
                      "command is the name of a file in the folder of validators");
    }
    json_object_foreach(object, key, value)
    {
        if (strcmp(key, "args") == 0) {
            error = read_args(value, validator, why);
        } else if (strcmp(key, "timeout_ms") == 0) {
            error = read_whole(value, key, CFC_VALIDATOR_TIMEOUT_MS_MAX, &number, why);
            validator->timeout_ms = (uint32_t)number;
        } else if (strcmp(key, "memory_mb") == 0) {
            error = read_whole(value, key, CFC_VALIDATOR_MEMORY_MB_MAX, &number, why);
            validator->memory_mb = (uint32_t)number;
        } else if (strcmp(key, "command") != 0) {
            error = refuse(why, key, "not known here");
        }
        if (error != CONFCAST_OK) {
            return error;
        }
    }
    if (validator->timeout_ms == 0 || validator->memory_mb == 0) {
        return refuse(why, "validators", "timeout_ms and memory_mb are at least 1");
    }
    return CONFCAST_OK;
}

static int
read_validators(const json_t *list, struct cfc_settings *settings, char why[160])
{
    int error = CONFCAST_OK;

    settings->validator_count = json_array_size(list);
    if (!json_is_array(list) || settings->validator_count > CFC_VALIDATOR_COUNT_MAX) {
        settings->validator_count = 0;
        return refuse(why, "validators", "a list of at most 8 objects");
    }
    for (size_t i = 0; error == CONFCAST_OK && i < settings->validator_count; i++) {
        error = read_validator(json_array_get(list, i), &settings->validators[i], why);
    }
    return error;
}

/* Whole numbers that are inherited; all but the approvals are 64 bits wide. */
static const struct {
    const char *key;
    enum cfc_inherited member;
    uint64_t max;
    size_t offset;
} inherited[] = {
    {"approval", CFC_SETTING_APPROVAL, CFC_APPROVAL_COUNT_MAX, 0},
    {"propagation_ms", CFC_SETTING_PROPAGATION, UINT64_C(30) * 86400 * 1000,
     offsetof(struct cfc_settings, propagation_ms)},
    {"retained_revisions", CFC_SETTING_RETENTION, UINT64_C(1) << 32,
     offsetof(struct cfc_settings, retained_revisions)},
    {"document_size_max", CFC_SETTING_DOCUMENT_SIZE, UINT64_C(1) << 32,
     offsetof(struct cfc_settings, document_size_max)},
    {"document_keys_max", CFC_SETTING_DOCUMENT_KEYS, UINT64_C(1) << 32,
     offsetof(struct cfc_settings, document_keys_max)},
};

static int
read_member(const char *key, const json_t *value, struct cfc_settings *settings, char why[160])
{
    uint64_t number = 0;
    int error;

    if (strcmp(key, "size_ratio_max") == 0) {
        return read_ratio(value, key, &settings->size_ratio_max, why);
    }
    if (strcmp(key, "key_ratio_max") == 0) {
        return read_ratio(value, key, &settings->key_ratio_max, why);
    }
    if (strcmp(key, "consumers_max") == 0) {
        return read_whole(value, key, UINT64_C(1) << 40, &settings->consumers_max, why);
    }
    if (strcmp(key, "scopes_max") == 0) {
        return read_whole(value, key, UINT64_C(1) << 32, &settings->scopes_max, why);
    }
    if (strcmp(key, "together") == 0) {
        settings->is_together = json_is_true(value);
        return json_is_boolean(value) ? CONFCAST_OK : refuse(why, key, "true or false");
    }
    for (size_t i = 0; i < sizeof(inherited) / sizeof(inherited[0]); i++) {
        if (strcmp(key, inherited[i].key) != 0) {
            continue;
        }
        if (json_is_null(value)) {
            return CONFCAST_OK; /* what is above counts */
        }
        settings->given |= inherited[i].member;
        error = read_whole(value, key, inherited[i].max, &number, why);
        if (inherited[i].member == CFC_SETTING_APPROVAL) {
            settings->approval_count = (uint32_t)number;
        } else {
            memcpy((char *)settings + inherited[i].offset, &number, sizeof(number));
        }
        return error;
    }
    if (strcmp(key, "validators") == 0) {
        return read_validators(value, settings, why);
    }
    return refuse(why, key, "not known here");
}

int
cfc_settings_parse(json_t *source, struct cfc_settings *settings, char why[160])
{
    const char *key;
    json_t *value;
    int error = CONFCAST_OK;

    memset(settings, 0, sizeof(*settings));
    why[0] = '\0';
    json_object_foreach(source, key, value)
    {
        error = read_member(key, value, settings, why);
        if (error != CONFCAST_OK) {
            memset(settings, 0, sizeof(*settings));
            return error;
        }
    }
    settings->source = json_incref(source);
    return CONFCAST_OK;
}

void
cfc_settings_clear(struct cfc_settings *settings)
{
    json_decref(settings->source);
    memset(settings, 0, sizeof(*settings));
}

const struct cfc_settings *
cfc_settings_inherited(struct cfc_catalog *catalog, const char *path, enum cfc_inherited member)
{
    char prefix[CFC_SCOPE_SIZE_MAX + 1];

    snprintf(prefix, sizeof(prefix), "%s", path);
    for (;;) {
        const struct cfc_scope *scope = cfc_catalog_find(catalog, prefix);
        char *slash = strrchr(prefix, '/');

        if (scope != NULL && scope->rules != NULL &&
            (scope->rules->settings.given & (unsigned)member) != 0) {
            return &scope->rules->settings;
        }
        if (slash == NULL) {
            return NULL;
        }
        *slash = '\0';
    }
}

void
cfc_rules_free(struct cfc_rules *rules)
{
    if (rules != NULL) {
        cfc_schema_free(rules->schema);
        cfc_settings_clear(&rules->settings);
        free(rules);
    }
}
