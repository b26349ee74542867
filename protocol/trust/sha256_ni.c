#include "protocol/trust/sha256_ni.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>

#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))
#define INLINE   static inline __attribute__((always_inline)) WITH_SHA

enum {
    LEAF_1_ECX_SSSE3 = 1 << 9,
    LEAF_1_ECX_SSE41 = 1 << 19,
    LEAF_7_EBX_SHA = 1 << 29,
};

/* The round constants: FIPS 180-4, 4.2.2. */
static const _Alignas(16) uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

bool
cfc_sha256_ni_is_here(void)
{
    static atomic_int answer; /* 0: not asked yet; to ask costs an exit from a virtual machine */
    int known = atomic_load_explicit(&answer, memory_order_relaxed);
    unsigned eax, ebx = 0, ecx = 0, edx;

    if (known == 0) {
        bool is_here = __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 &&
                       (ecx & LEAF_1_ECX_SSSE3) != 0 && (ecx & LEAF_1_ECX_SSE41) != 0 &&
                       __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 &&
                       (ebx & LEAF_7_EBX_SHA) != 0;

        known = is_here ? 1 : -1;
        atomic_store_explicit(&answer, known, memory_order_relaxed);
    }
    return known > 0;
}

/* One stream: its state in the order that the instructions want, and the message words of the next
 * 16 rounds. */
struct lane {
    __m128i abef;
    __m128i cdgh;
    __m128i words[4];
};

INLINE void
open_lane(struct lane *lane, const uint32_t state[8])
{
    __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128((const void *)state), 0xb1);
    __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const void *)(state + 4)), 0x1b);

    lane->abef = _mm_alignr_epi8(badc, hgfe, 8);
    lane->cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);
}

INLINE void
close_lane(const struct lane *lane, uint32_t state[8])
{
    __m128i feba = _mm_shuffle_epi32(lane->abef, 0x1b);
    __m128i dchg = _mm_shuffle_epi32(lane->cdgh, 0xb1);

    _mm_storeu_si128((void *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((void *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

INLINE __m128i
load_big_endian(const uint8_t *bytes)
{
    const __m128i order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);

    return _mm_shuffle_epi8(_mm_loadu_si128((const void *)bytes), order);
}

INLINE void
load_words(struct lane *lane, const uint8_t *block)
{
    lane->words[0] = load_big_endian(block);
    lane->words[1] = load_big_endian(block + 16);
    lane->words[2] = load_big_endian(block + 32);
    lane->words[3] = load_big_endian(block + 48);
}

INLINE void
four_rounds(struct lane *lane, int at, const uint32_t *k)
{
    __m128i sum = _mm_add_epi32(lane->words[at], _mm_load_si128((const void *)k));

    lane->cdgh = _mm_sha256rnds2_epu32(lane->cdgh, lane->abef, sum);
    lane->abef = _mm_sha256rnds2_epu32(lane->abef, lane->cdgh, _mm_shuffle_epi32(sum, 0x0e));
}

/* Makes of four words, when their rounds are over, those of 16 rounds later. */
INLINE void
next_words(struct lane *lane, int at)
{
    __m128i last = lane->words[(at + 3) % 4];
    __m128i first = _mm_sha256msg1_epu32(lane->words[at], lane->words[(at + 1) % 4]);

    first = _mm_add_epi32(first, _mm_alignr_epi8(last, lane->words[(at + 2) % 4], 4));
    lane->words[at] = _mm_sha256msg2_epu32(first, last);
}

INLINE void
add_state(struct lane *lane, const struct lane *before)
{
    lane->abef = _mm_add_epi32(lane->abef, before->abef);
    lane->cdgh = _mm_add_epi32(lane->cdgh, before->cdgh);
}

INLINE void
four_rounds_and_next(struct lane *lane, int at, const uint32_t *k)
{
    four_rounds(lane, at, k);
    next_words(lane, at);
}

/* Written out, since words whose index is known to the compiler lie in registers: three times as
 * fast. */
INLINE void
rounds_of_one(struct lane *lane)
{
    const uint32_t *k = constants;

    for (int turn = 0; turn < 3; turn++, k += 16) {
        four_rounds_and_next(lane, 0, k);
        four_rounds_and_next(lane, 1, k + 4);
        four_rounds_and_next(lane, 2, k + 8);
        four_rounds_and_next(lane, 3, k + 12);
    }
    four_rounds(lane, 0, k);
    four_rounds(lane, 1, k + 4);
    four_rounds(lane, 2, k + 8);
    four_rounds(lane, 3, k + 12);
}

/* In the order in which the processor is to begin them: compilers do not find it by themselves. */
INLINE void
four_rounds_of_two(struct lane *a, struct lane *b, int at, const uint32_t *k)
{
    __m128i constant = _mm_load_si128((const void *)k);
    __m128i sum_a = _mm_add_epi32(a->words[at], constant);
    __m128i sum_b = _mm_add_epi32(b->words[at], constant);

    a->cdgh = _mm_sha256rnds2_epu32(a->cdgh, a->abef, sum_a);
    b->cdgh = _mm_sha256rnds2_epu32(b->cdgh, b->abef, sum_b);
    a->abef = _mm_sha256rnds2_epu32(a->abef, a->cdgh, _mm_shuffle_epi32(sum_a, 0x0e));
    b->abef = _mm_sha256rnds2_epu32(b->abef, b->cdgh, _mm_shuffle_epi32(sum_b, 0x0e));
}

INLINE void
four_rounds_and_next_of_two(struct lane *a, struct lane *b, int at, const uint32_t *k)
{
    four_rounds_of_two(a, b, at, k);
    next_words(a, at);
    next_words(b, at);
}

INLINE void
rounds_of_two(struct lane *a, struct lane *b)
{
    const uint32_t *k = constants;

    four_rounds_and_next_of_two(a, b, 0, k + 0);
    four_rounds_and_next_of_two(a, b, 1, k + 4);
    four_rounds_and_next_of_two(a, b, 2, k + 8);
    four_rounds_and_next_of_two(a, b, 3, k + 12);
    four_rounds_and_next_of_two(a, b, 0, k + 16);
    four_rounds_and_next_of_two(a, b, 1, k + 20);
    four_rounds_and_next_of_two(a, b, 2, k + 24);
    four_rounds_and_next_of_two(a, b, 3, k + 28);
    four_rounds_and_next_of_two(a, b, 0, k + 32);
    four_rounds_and_next_of_two(a, b, 1, k + 36);
    four_rounds_and_next_of_two(a, b, 2, k + 40);
    four_rounds_and_next_of_two(a, b, 3, k + 44);
    k += 48;
    four_rounds_of_two(a, b, 0, k);
    four_rounds_of_two(a, b, 1, k + 4);
    four_rounds_of_two(a, b, 2, k + 8);
    four_rounds_of_two(a, b, 3, k + 12);
}

/* Code by others (ISA-L) leaves the upper halves of vector registers in use, and then each of the
 * instructions here, which have no other form than that of SSE, has to carry them along. */
static __attribute__((target("avx"))) void
clear_upper_halves(void)
{
    _mm256_zeroupper();
}

WITH_SHA void
cfc_sha256_ni_blocks(uint32_t state[8], const uint8_t *blocks, size_t count)
{
    struct lane lane;

    if (__builtin_cpu_supports("avx")) {
        clear_upper_halves();
    }
    open_lane(&lane, state);
    for (; count > 0; count--, blocks += CFC_SHA256_BLOCK_SIZE) {
        struct lane before = lane;

        load_words(&lane, blocks);
        rounds_of_one(&lane);
        add_state(&lane, &before);
    }
    close_lane(&lane, state);
}

WITH_SHA void
cfc_sha256_ni_blocks_of_two(uint32_t a[8], const uint8_t *blocks_a, uint32_t b[8],
                            const uint8_t *blocks_b, size_t count)
{
    struct lane one, two;

    if (__builtin_cpu_supports("avx")) {
        clear_upper_halves();
    }
    open_lane(&one, a);
    open_lane(&two, b);
    for (size_t done = 0; done < count; done++) {
        struct lane one_before = one, two_before = two;

        load_words(&one, blocks_a + done * CFC_SHA256_BLOCK_SIZE);
        load_words(&two, blocks_b + done * CFC_SHA256_BLOCK_SIZE);
        rounds_of_two(&one, &two);
        add_state(&one, &one_before);
        add_state(&two, &two_before);
    }
    close_lane(&one, a);
    close_lane(&two, b);
}

#else

#include <assert.h>

bool
cfc_sha256_ni_is_here(void)
{
    return false;
}

void
cfc_sha256_ni_blocks(uint32_t state[8], const uint8_t *blocks, size_t count)
{
    (void)state;
    (void)blocks;
    (void)count;
    assert(!"the processor has no SHA extensions");
}

void
cfc_sha256_ni_blocks_of_two(uint32_t a[8], const uint8_t *blocks_a, uint32_t b[8],
                            const uint8_t *blocks_b, size_t count)
{
    (void)a;
    (void)blocks_a;
    (void)b;
    (void)blocks_b;
    (void)count;
    assert(!"the processor has no SHA extensions");
}

#endif
