/* The shortest decimal of a double, by the free-format algorithm of Steele and White in the form of
 * Burger and Dybvig ("Printing Floating-Point Numbers Quickly and Accurately", 1996), with exact
 * integers. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "protocol/snapshot/json_write.h"

enum {
    WORDS_MAX = 38, /* of 32 bits; the largest number is below 2^1150 */
    DIGITS_MAX = 17,
    MANTISSA_BITS = 52,
    EXPONENT_BIAS = 1075, /* with the mantissa read as an integer */
};

/* A natural number: little-endian words, none of them beyond `count`. */
struct natural {
    uint32_t words[WORDS_MAX];
    int count;
};

static void
set(struct natural *n, uint64_t v)
{
    n->count = 0;
    for (; v > 0; v >>= 32) {
        n->words[n->count++] = (uint32_t)v;
    }
}

static void
multiply(struct natural *n, uint32_t factor)
{
    uint64_t carry = 0;

    for (int i = 0; i < n->count; i++) {
        carry += (uint64_t)n->words[i] * factor;
        n->words[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry > 0) {
        assert(n->count < WORDS_MAX);
        n->words[n->count++] = (uint32_t)carry;
    }
}

static void
multiply_pow10(struct natural *n, int exponent)
{
    for (; exponent >= 9; exponent -= 9) {
        multiply(n, 1000000000);
    }
    for (; exponent > 0; exponent--) {
        multiply(n, 10);
    }
}

static void
shift_left(struct natural *n, int bits)
{
    int words = bits / 32;

    multiply(n, UINT32_C(1) << (bits % 32));
    if (n->count == 0) {
        return;
    }
    assert(n->count + words <= WORDS_MAX);
    memmove(n->words + words, n->words, (size_t)n->count * sizeof(n->words[0]));
    memset(n->words, 0, (size_t)words * sizeof(n->words[0]));
    n->count += words;
}

static int
compare(const struct natural *a, const struct natural *b)
{
    if (a->count != b->count) {
        return a->count < b->count ? -1 : 1;
    }
    for (int i = a->count - 1; i >= 0; i--) {
        if (a->words[i] != b->words[i]) {
            return a->words[i] < b->words[i] ? -1 : 1;
        }
    }
    return 0;
}

static void
add(struct natural *a, const struct natural *b)
{
    uint64_t carry = 0;

    for (int i = 0; i < b->count || carry > 0; i++) {
        if (i == a->count) {
            assert(a->count < WORDS_MAX);
            a->words[a->count++] = 0;
        }
        carry += (uint64_t)a->words[i] + (i < b->count ? b->words[i] : 0);
        a->words[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

/* a -= b, where a >= b. */
static void
subtract(struct natural *a, const struct natural *b)
{
    uint64_t borrow = 0;

    for (int i = 0; i < a->count; i++) {
        uint64_t v = (uint64_t)a->words[i] - (i < b->count ? b->words[i] : 0) - borrow;

        a->words[i] = (uint32_t)v;
        borrow = v >> 63;
    }
    while (a->count > 0 && a->words[a->count - 1] == 0) {
        a->count--;
    }
}

/* Compares a + b with c. */
static int
compare_sum(const struct natural *a, const struct natural *b, const struct natural *c)
{
    struct natural sum = *a;

    add(&sum, b);
    return compare(&sum, c);
}

/* The double is r / s.  Decimals below (r + above) / s and over (r - below) / s read back as it;
 * the bounds themselves do so when its mantissa is even. */
struct interval {
    struct natural r;
    struct natural s;
    struct natural above;
    struct natural below;
    bool has_bounds;
};

static void
set_interval(struct interval *v, uint64_t bits, int *binary_exponent)
{
    uint64_t mantissa = bits & ((UINT64_C(1) << MANTISSA_BITS) - 1);
    int exponent = (int)(bits >> MANTISSA_BITS);
    /* The gap below a power of two is half as wide, but not below the smallest normal number. */
    bool is_uneven = mantissa == 0 && exponent > 1;
    int highest_bit = MANTISSA_BITS;

    if (exponent > 0) {
        mantissa |= UINT64_C(1) << MANTISSA_BITS;
    } else {
        exponent = 1;
    }
    exponent -= EXPONENT_BIAS;
    while ((mantissa >> highest_bit) == 0) {
        highest_bit--;
    }
    *binary_exponent = exponent + highest_bit;
    v->has_bounds = (mantissa & 1) == 0;

    set(&v->r, mantissa);
    set(&v->s, 1);
    set(&v->above, 1);
    set(&v->below, 1);
    shift_left(&v->r, (exponent > 0 ? exponent : 0) + 1 + is_uneven);
    shift_left(&v->s, (exponent < 0 ? -exponent : 0) + 1 + is_uneven);
    shift_left(&v->above, (exponent > 0 ? exponent : 0) + is_uneven);
    shift_left(&v->below, exponent > 0 ? exponent : 0);
}

/* floor(x log10(2)) for |x| <= 1100, where x log10(2) is never within 2^-12 above an integer but at
 * 0. */
static int
floor_log10_pow2(int x)
{
    int64_t product = (int64_t)x * INT64_C(1292913986); /* log10(2) 2^32, rounded down */

    return (int)(product >= 0 ? product >> 32 : -((-product + 0xffffffff) >> 32));
}

/* Digits d1 d2 ... with the double = 0.d1d2... 10^*point. */
static int
shortest_digits(uint64_t bits, char digits[DIGITS_MAX], int *point)
{
    struct interval v;
    int count = 0;
    int binary_exponent;
    bool is_low_end;
    bool is_high_end;

    set_interval(&v, bits, &binary_exponent);
    *point = floor_log10_pow2(binary_exponent) + 1;
    if (*point >= 0) {
        multiply_pow10(&v.s, *point);
    } else {
        multiply_pow10(&v.r, -*point);
        multiply_pow10(&v.above, -*point);
        multiply_pow10(&v.below, -*point);
    }
    while (compare_sum(&v.r, &v.above, &v.s) >= (v.has_bounds ? 0 : 1)) {
        multiply(&v.s, 10);
        ++*point;
    }
    do {
        int digit = 0;

        multiply(&v.r, 10);
        multiply(&v.above, 10);
        multiply(&v.below, 10);
        while (compare(&v.r, &v.s) >= 0) {
            subtract(&v.r, &v.s);
            digit++;
        }
        is_low_end = compare(&v.r, &v.below) < (v.has_bounds ? 1 : 0);
        is_high_end = compare_sum(&v.r, &v.above, &v.s) >= (v.has_bounds ? 0 : 1);
        if (is_high_end) {
            int half = is_low_end ? compare_sum(&v.r, &v.r, &v.s) : 1;

            digit += half > 0 || (half == 0 && digit % 2 == 1);
        }
        assert(count < DIGITS_MAX && digit <= 9);
        digits[count++] = (char)('0' + digit);
    } while (!is_low_end && !is_high_end);
    return count;
}

static char *
put(char *out, const char *text, int size)
{
    memcpy(out, text, (size_t)size);
    return out + size;
}

static char *
put_zeros(char *out, int count)
{
    memset(out, '0', (size_t)count);
    return out + count;
}

static char *
put_exponent(char *out, int exponent)
{
    int magnitude = exponent < 0 ? -exponent : exponent;

    *out++ = 'e';
    *out++ = exponent < 0 ? '-' : '+';
    if (magnitude >= 100) {
        *out++ = (char)('0' + magnitude / 100);
    }
    if (magnitude >= 10) {
        *out++ = (char)('0' + magnitude / 10 % 10);
    }
    *out++ = (char)('0' + magnitude % 10);
    return out;
}

/* The forms of Number::toString, with its letters: k digits, and the point behind digit n. */
static char *
put_decimal(char *out, const char *digits, int k, int n)
{
    if (k <= n && n <= 21) {
        return put_zeros(put(out, digits, k), n - k);
    }
    if (0 < n && n <= 21) {
        out = put(out, digits, n);
        *out++ = '.';
        return put(out, digits + n, k - n);
    }
    if (-6 < n && n <= 0) {
        out = put_zeros(put(out, "0.", 2), -n);
        return put(out, digits, k);
    }
    *out++ = digits[0];
    if (k > 1) {
        *out++ = '.';
        out = put(out, digits + 1, k - 1);
    }
    return put_exponent(out, n - 1);
}

size_t
cfc_json_write_number(char out[CFC_JSON_NUMBER_SIZE_MAX], double d)
{
    char digits[DIGITS_MAX];
    uint64_t bits;
    char *p = out;
    int count;
    int point;

    memcpy(&bits, &d, sizeof(bits));
    if ((bits << 1) == 0) {
        *p++ = '0'; /* -0, too */
        return 1;
    }
    if ((bits >> 63) != 0) {
        *p++ = '-';
        bits &= UINT64_MAX >> 1;
    }
    assert(bits < UINT64_C(0x7ff0000000000000)); /* finite */
    count = shortest_digits(bits, digits, &point);
    p = put_decimal(p, digits, count, point);
    return (size_t)(p - out);
}
