#include "controlplane/schema/value.h"

#include <math.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "confcast/error.h"
#include "controlplane/schema/internal.h"
#include "protocol/base/limits.h"
#include "protocol/snapshot/json_write.h"

#define EXACT_MAX 9007199254740992.0 /* 2^53 */

enum {
    BYTES_PER_STEP = 64,
    DECIMAL_COST = 64,
    LEVELS_MAX = CFC_DEPTH_MAX + 1, /* containers and the scalar in the innermost */
};

bool
cfc_schema_pay(uint64_t *steps, uint64_t cost)
{
    if (cost > *steps) {
        *steps = 0;
        return false;
    }
    *steps -= cost;
    return true;
}

double
cfc_schema_number_of(const json_t *value)
{
    return json_number_value(value);
}

uint32_t
cfc_schema_types_of(const json_t *value)
{
    double number;

    switch (json_typeof(value)) {
    case JSON_NULL:
        return CFC_SCHEMA_TYPE_NULL;
    case JSON_TRUE:
    case JSON_FALSE:
        return CFC_SCHEMA_TYPE_BOOLEAN;
    case JSON_OBJECT:
        return CFC_SCHEMA_TYPE_OBJECT;
    case JSON_ARRAY:
        return CFC_SCHEMA_TYPE_ARRAY;
    case JSON_STRING:
        return CFC_SCHEMA_TYPE_STRING;
    case JSON_INTEGER:
        return CFC_SCHEMA_TYPE_NUMBER | CFC_SCHEMA_TYPE_INTEGER;
    case JSON_REAL:
        number = json_real_value(value);
        return CFC_SCHEMA_TYPE_NUMBER | (trunc(number) == number ? CFC_SCHEMA_TYPE_INTEGER : 0u);
    }
    return 0;
}

size_t
cfc_schema_code_points(const char *text, size_t size)
{
    size_t count = 0;

    for (size_t i = 0; i < size; i++) {
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    }
    return count;
}

/* digits * 10^exponent, exactly. */
struct decimal {
    uint64_t digits; /* below 10^17 */
    int exponent;
};

/* The shortest decimal that reads back as `d`, which is finite and > 0. */
static struct decimal
decimal_of(double d)
{
    struct decimal decimal = {.digits = 0};
    char text[CFC_JSON_NUMBER_SIZE_MAX];
    size_t size = cfc_json_write_number(text, d);
    size_t i = 0;
    int zeros = 0;
    bool is_fraction = false;

    for (; i < size && text[i] != 'e'; i++) {
        if (text[i] == '.') {
            is_fraction = true;
            continue;
        }
        decimal.exponent -= is_fraction;
        /* Zeros wait until a digit follows: 1e20 is printed with more of them than fit. */
        if (text[i] == '0') {
            zeros++;
            continue;
        }
        for (; decimal.digits != 0 && zeros > 0; zeros--) {
            decimal.digits *= 10;
        }
        zeros = 0;
        decimal.digits = decimal.digits * 10 + (uint64_t)(text[i] - '0');
    }
    decimal.exponent += zeros;
    if (i < size) {
        bool is_negative = text[i + 1] == '-';
        int exponent = 0;

        for (i += 2; i < size; i++) {
            exponent = exponent * 10 + (text[i] - '0');
        }
        decimal.exponent += is_negative ? -exponent : exponent;
    }
    return decimal;
}

static bool
are_exact_integers(double x, double divisor)
{
    return trunc(x) == x && trunc(divisor) == divisor && fabs(x) <= EXACT_MAX &&
           divisor <= EXACT_MAX;
}

uint64_t
cfc_schema_multiple_cost(double x, double divisor)
{
    return are_exact_integers(x, divisor) ? 0 : DECIMAL_COST;
}

bool
cfc_schema_is_multiple(double x, double divisor)
{
    struct decimal a;
    struct decimal b;
    uint64_t rest;
    int exponent;

    if (are_exact_integers(x, divisor)) {
        return (uint64_t)fabs(x) % (uint64_t)divisor == 0;
    }
    if (x == 0) {
        return true;
    }
    a = decimal_of(fabs(x));
    b = decimal_of(divisor);
    exponent = a.exponent - b.exponent;
    /* Ten times either of the digits still fits. */
    for (; exponent < 0 && b.digits <= a.digits; exponent++) {
        b.digits *= 10;
    }
    rest = a.digits % b.digits;
    /* Digits are below 2^57, so that more tens than that bring no factor that is missing. */
    for (exponent = exponent < 57 ? exponent : 57; exponent > 0 && rest != 0; exponent--) {
        rest = rest * 10 % b.digits;
    }
    return rest == 0;
}

/* The iteration of jansson wants a mutable object, and does not change it. */
static json_t *
unconst(const json_t *json)
{
    return (json_t *)(uintptr_t)json;
}

/* Two containers of the same size whose children are being compared. */
struct pair {
    const json_t *a;
    const json_t *b;
    void *iter;   /* next member of `a` */
    size_t index; /* next item */
};

/* Everything that can be said without looking into containers. */
static bool
is_equal_outside(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) {
        return json_number_value(a) == json_number_value(b);
    }
    if (json_typeof(a) != json_typeof(b)) {
        return false;
    }
    switch (json_typeof(a)) {
    case JSON_STRING:
        return json_string_length(a) == json_string_length(b) &&
               memcmp(json_string_value(a), json_string_value(b), json_string_length(a)) == 0;
    case JSON_OBJECT:
        return json_object_size(a) == json_object_size(b);
    case JSON_ARRAY:
        return json_array_size(a) == json_array_size(b);
    default:
        return true;
    }
}

/* The next two children of a pair, or false when there are no more.  `*b` is NULL when only the
 * first of the two has a member. */
static bool
next_children(struct pair *pair, const json_t **a, const json_t **b)
{
    if (json_is_array(pair->a)) {
        if (pair->index == json_array_size(pair->a)) {
            return false;
        }
        *a = json_array_get(pair->a, pair->index);
        *b = json_array_get(pair->b, pair->index);
        pair->index++;
        return true;
    }
    if (pair->iter == NULL) {
        return false;
    }
    *a = json_object_iter_value(pair->iter);
    *b = json_object_getn(pair->b, json_object_iter_key(pair->iter),
                          json_object_iter_key_len(pair->iter));
    pair->iter = json_object_iter_next(unconst(pair->a), pair->iter);
    return true;
}

static uint64_t
cost_of(const json_t *value)
{
    return 1 + json_string_length(value) / BYTES_PER_STEP;
}

int
cfc_schema_equal(const json_t *a, const json_t *b, uint64_t *steps, bool *is_equal)
{
    struct pair pairs[LEVELS_MAX];
    size_t depth = 0;

    *is_equal = false;
    for (;;) {
        if (!cfc_schema_pay(steps, cost_of(a))) {
            return CONFCAST_ERR_LIMIT;
        }
        if (b == NULL || !is_equal_outside(a, b)) {
            return CONFCAST_OK;
        }
        if (json_is_object(a) || json_is_array(a)) {
            if (depth == LEVELS_MAX) {
                return CONFCAST_ERR_DEPTH;
            }
            pairs[depth++] = (struct pair){.a = a, .b = b, .iter = json_object_iter(unconst(a))};
        }
        while (depth > 0 && !next_children(&pairs[depth - 1], &a, &b)) {
            depth--;
        }
        if (depth == 0) {
            *is_equal = true;
            return CONFCAST_OK;
        }
    }
}

/* A container whose children are being hashed. */
struct hashing {
    const json_t *value;
    void *iter;   /* the member being hashed */
    size_t index; /* items that are done */
    uint64_t hash;
};

static uint64_t
mix(uint64_t a, uint64_t b)
{
    const uint64_t pair[2] = {a, b};

    return XXH3_64bits(pair, sizeof(pair));
}

static uint64_t
hash_of_scalar(const json_t *value)
{
    double number;

    switch (json_typeof(value)) {
    case JSON_STRING:
        return XXH3_64bits(json_string_value(value), json_string_length(value));
    case JSON_INTEGER:
    case JSON_REAL:
        number = json_number_value(value) + 0.0; /* -0 becomes 0 */
        return XXH3_64bits(&number, sizeof(number));
    default:
        return mix(JSON_NULL, json_typeof(value));
    }
}

/* Adds a child's hash.  Members are added up, since their order does not count. */
static void
add_child(struct hashing *parent, uint64_t hash)
{
    if (json_is_array(parent->value)) {
        parent->hash = mix(parent->hash, hash);
        parent->index++;
        return;
    }
    parent->hash +=
        mix(XXH3_64bits(json_object_iter_key(parent->iter), json_object_iter_key_len(parent->iter)),
            hash);
    parent->iter = json_object_iter_next(unconst(parent->value), parent->iter);
}

static const json_t *
child_to_hash(const struct hashing *parent)
{
    if (json_is_array(parent->value)) {
        return json_array_get(parent->value, parent->index);
    }
    return parent->iter != NULL ? json_object_iter_value(parent->iter) : NULL;
}

int
cfc_schema_hash(const json_t *value, uint64_t *steps, uint64_t *hash)
{
    struct hashing levels[LEVELS_MAX];
    size_t depth = 0;

    for (;;) {
        uint64_t done;

        if (!cfc_schema_pay(steps, cost_of(value))) {
            return CONFCAST_ERR_LIMIT;
        }
        if (json_is_object(value) || json_is_array(value)) {
            if (depth == LEVELS_MAX) {
                return CONFCAST_ERR_DEPTH;
            }
            levels[depth++] = (struct hashing){.value = value,
                                               .iter = json_object_iter(unconst(value)),
                                               .hash = mix(json_typeof(value), 0)};
        } else {
            done = hash_of_scalar(value);
            if (depth == 0) {
                *hash = done;
                return CONFCAST_OK;
            }
            add_child(&levels[depth - 1], done);
        }
        while ((value = child_to_hash(&levels[depth - 1])) == NULL) {
            done = levels[--depth].hash;
            if (depth == 0) {
                *hash = done;
                return CONFCAST_OK;
            }
            add_child(&levels[depth - 1], done);
        }
    }
}
