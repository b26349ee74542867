/* Results on stdout: tables for people, JSON and YAML for programs. */
#ifndef CFC_CTL_OUTPUT_H
#define CFC_CTL_OUTPUT_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

#include "controlplane/ctl/ctl.h"
#include "controlplane/ctl/grid.h"

/* The list at `key` of an answer as a table with these columns; as JSON and YAML the answer whole.
 * CFC_EXIT_OK. */
int cfc_ctl_print_rows(const struct cfc_ctl *ctl, json_t *answer, const char *key,
                       const struct cfc_ctl_column *columns, size_t column_count);

/* The value as JSON on one line, or as YAML.  CFC_EXIT_OK, CFC_EXIT_REFUSED: nested too deeply. */
int cfc_ctl_print_machine(const struct cfc_ctl *ctl, json_t *value);

/* An object: one "member  value" per line as a table. */
int cfc_ctl_print_object(const struct cfc_ctl *ctl, json_t *object);

/* A document: its text as it is, but for YAML. */
int cfc_ctl_print_document(const struct cfc_ctl *ctl, const char *text, size_t size);

/* A value without members as JSON on the heap; a number in the shortest form that reads back as
 * itself.  NULL without memory. */
char *cfc_ctl_scalar_text(const json_t *value);

#endif
