/* What JSON Schema needs to know of JSON values: equality, a hash that goes with it, types, lengths
 * and exact multiples.  No recursion; every function that depends on the size of a value pays in
 * steps. */
#ifndef CFC_SCHEMA_VALUE_H
#define CFC_SCHEMA_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Takes `cost` from `*steps`; false, and zero left, when there are not as many. */
bool cfc_schema_pay(uint64_t *steps, uint64_t cost);

/* The types of a value, as bits of enum cfc_schema_type. */
uint32_t cfc_schema_types_of(const json_t *value);

/* The value of a number. */
double cfc_schema_number_of(const json_t *value);

/* Unicode code points of valid UTF-8. */
size_t cfc_schema_code_points(const char *text, size_t size);

/* Whether x is a whole multiple of `divisor` (finite, > 0).  Both count as the decimal numbers that
 * canonical JSON prints for them, so that 0.0075 is a multiple of 0.0001. */
bool cfc_schema_is_multiple(double x, double divisor);

/* The steps that this is worth: printing decimals takes its time. */
uint64_t cfc_schema_multiple_cost(double x, double divisor);

/* Equality of JSON values: 1 equals 1.0, the order of members does not count.  CONFCAST_OK and
 * `*is_equal`, CONFCAST_ERR_LIMIT when the steps run out, CONFCAST_ERR_DEPTH. */
int cfc_schema_equal(const json_t *a, const json_t *b, uint64_t *steps, bool *is_equal);

/* Equal values have equal hashes.  CONFCAST_OK, _LIMIT, _DEPTH. */
int cfc_schema_hash(const json_t *value, uint64_t *steps, uint64_t *hash);

#endif
