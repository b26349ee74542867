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

/* Members that the nearest scope above gives where a scope's own settings do not. */
enum cfc_inherited {
    CFC_SETTING_APPROVAL = 1 << 0,
    CFC_SETTING_PROPAGATION = 1 << 1,
    CFC_SETTING_RETENTION = 1 << 2,
    CFC_SETTING_DOCUMENT_SIZE = 1 << 3,
    CFC_SETTING_DOCUMENT_KEYS = 1 << 4,
};

struct cfc_settings {
    json_t *source;
    unsigned given;          /* of enum cfc_inherited */
    double size_ratio_max;   /* new against active content, either way; 0 = none */
    double key_ratio_max;    /* the same, of the count of values */
    uint64_t consumers_max;  /* that one promote may reach; 0 = no limit */
    uint32_t approval_count; /* others than the author that a promotion needs */
    uint64_t propagation_ms; /* consumers should serve what is published so soon; 0 = no bound */
    uint64_t retained_revisions; /* whose texts are kept; 0 = all */
    uint64_t document_size_max;  /* bytes of a definition; 0 = what the daemon allows */
    uint64_t document_keys_max;  /* values of a definition; 0 = no limit */
    uint64_t scopes_max;         /* of a tenant's first segment: scopes below and itself; 0 = the
                                  * default */
    bool is_together; /* scopes that have this one as a layer get every version together */
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

struct cfc_catalog;

/* The settings of a path or of the nearest scope above it that give this member; NULL = none. */
const struct cfc_settings *cfc_settings_inherited(struct cfc_catalog *catalog, const char *path,
                                                  enum cfc_inherited member);

#endif
