/* YAML by libyaml.  Every reader of YAML 1.1 and 1.2 gets back the values that JSON has: a string
 * that could be taken for something else ("no", "1e3", "null", "") is quoted, and floats are
 * written as both versions know them. */
#ifndef CFC_CTL_YAML_TEXT_H
#define CFC_CTL_YAML_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Writes one document.  False: nested deeper than CFC_WALK_DEPTH_MAX, or no memory; then a part may
 * have been written. */
bool cfc_yaml_write(FILE *out, json_t *value);

#endif
