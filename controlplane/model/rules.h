/* What a scope asks of the effective configs that it is a layer of: its JSON Schema and its
 * settings.  Both are versioned like definitions, beside them: each overwrite is a revision.
 *
 * A scope's rules hold for its own effective config and for that of every scope that has it as a
 * layer.  Called under the service's lock. */
#ifndef CFC_MODEL_RULES_H
#define CFC_MODEL_RULES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "controlplane/model/service.h"
#include "controlplane/schema/schema.h"

enum {
    CFC_VALIDATOR_COUNT_MAX = 8, /* of one scope */
    CFC_VALIDATOR_ARG_COUNT_MAX = 8,
    CFC_VALIDATOR_TIMEOUT_MS_MAX = 60000,
    CFC_VALIDATOR_TIMEOUT_MS_DEFAULT = 10000,
    CFC_VALIDATOR_MEMORY_MB_MAX = 4096,
    CFC_VALIDATOR_MEMORY_MB_DEFAULT = 512,
};

/* A command of the folder of validators; the strings are the settings'. */
struct cfc_validator {
    const char *command; /* a file name */
    const char *args[CFC_VALIDATOR_ARG_COUNT_MAX];
    size_t arg_count;
    uint32_t timeout_ms;
    uint32_t memory_mb; /* of address space */
};

struct cfc_settings {
    json_t *source;
    double size_ratio_max;   /* new against active content, either way; 0 = none */
    double key_ratio_max;    /* the same, of the count of values */
    uint64_t consumers_max;  /* that one promote may reach; 0 = no limit */
    bool has_approval;       /* else the nearest scope above says */
    uint32_t approval_count; /* others than the author that a promotion needs */
    struct cfc_validator validators[CFC_VALIDATOR_COUNT_MAX];
    size_t validator_count;
};

struct cfc_rule_head {
    uint64_t revision; /* 0 = never set */
    uint64_t seq;      /* mod_seq of its record */
};

struct cfc_rules {
    struct cfc_rule_head heads[CFC_RULE_COUNT];
    struct cfc_schema *schema; /* NULL = none */
    struct cfc_settings settings;
};

/* Reads settings: an object of the members that docs/operators.md lists.  `settings` takes a
 * reference to `source`; cfc_settings_clear().  CONFCAST_ERR_INVALID: `why` says what is wrong. */
int cfc_settings_parse(json_t *source, struct cfc_settings *settings, char why[160]);
void cfc_settings_clear(struct cfc_settings *settings);

void cfc_rules_free(struct cfc_rules *rules); /* NULL is fine */

#endif
