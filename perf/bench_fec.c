/* The erasure code on blocks of 64 symbols of 1,440 bytes: what encoding some repair symbols and
 * getting back some lost symbols costs, each as a rate over the block's bytes and as a ratio to two
 * limits measured in the same round: memcpy of the block, and SHA-256 of its symbols as a receiver
 * hashes them anyway. */
#include "confcast/error.h"
#include "perf/bench.h"
#include "protocol/fec/fec.h"
#include "protocol/trust/digest.h"

enum {
    K = 64,
    SIZE = 1440,
    BLOCKS = 64, /* 5.9 MB: beyond the second cache */
    ROUNDS = 15
};

static uint8_t *blocks, *copy, *repairs;
static struct cfc_sha256 *sha;

static double
megabytes_a_second(uint64_t start_ns)
{
    return (double)K * SIZE * BLOCKS * 1e3 / (double)(cfc_bench_now_ns() - start_ns);
}

static void
must(const char *what, int code)
{
    if (code != CONFCAST_OK) {
        fprintf(stderr, "%s: %d\n", what, code);
        exit(1);
    }
}

static double
run_memcpy(void)
{
    uint64_t start_ns = cfc_bench_now_ns();

    memcpy(copy, blocks, (size_t)K * SIZE * BLOCKS);
    return megabytes_a_second(start_ns);
}

static double
run_sha256(void)
{
    uint64_t start_ns = cfc_bench_now_ns();
    struct cfc_digest digest;

    for (uint32_t i = 0; i < K * BLOCKS; i++) {
        cfc_sha256_begin(sha, CFC_DOMAIN_SYMBOL);
        cfc_sha256_add(sha, blocks + (size_t)i * SIZE, SIZE);
        cfc_sha256_end(sha, &digest);
    }
    return megabytes_a_second(start_ns);
}

static double
run_encode(uint32_t count)
{
    uint64_t start_ns = cfc_bench_now_ns();

    for (uint32_t b = 0; b < BLOCKS; b++) {
        must("encode", cfc_fec_encode(blocks + (size_t)b * K * SIZE, K, SIZE, SIZE, K, count,
                                      repairs + (size_t)b * CFC_FEC_ENCODE_MAX * SIZE));
    }
    return megabytes_a_second(start_ns);
}

/* Loses every (K / count)-th symbol; the clock runs while they come back. */
static double
run_decode(uint32_t count)
{
    uint8_t rows[K] = {0};
    uint64_t start_ns;
    double rate;

    memcpy(copy, blocks, (size_t)K * SIZE * BLOCKS);
    for (uint32_t i = 0; i < count; i++) {
        rows[i * (K / count)] = (uint8_t)(K + i);
        for (uint32_t b = 0; b < BLOCKS; b++) {
            memcpy(copy + ((size_t)b * K + i * (K / count)) * SIZE,
                   repairs + ((size_t)b * CFC_FEC_ENCODE_MAX + i) * SIZE, SIZE);
        }
    }
    start_ns = cfc_bench_now_ns();
    for (uint32_t b = 0; b < BLOCKS; b++) {
        must("decode", cfc_fec_decode(copy + (size_t)b * K * SIZE, K, SIZE, rows));
    }
    rate = megabytes_a_second(start_ns);
    if (memcmp(copy, blocks, (size_t)K * SIZE * BLOCKS) != 0) {
        must("compare", CONFCAST_ERR_DIGEST);
    }
    return rate;
}

static void
bench(uint32_t count)
{
    struct cfc_bench encode = {.count = 0}, encode_copy = {.count = 0}, encode_sha = {.count = 0};
    struct cfc_bench decode = {.count = 0}, decode_copy = {.count = 0}, decode_sha = {.count = 0};
    char name[64];

    for (int i = 0; i < ROUNDS; i++) {
        double copied = run_memcpy();
        double hashed = run_sha256();
        double encoded = run_encode(count);
        double decoded = run_decode(count);

        cfc_bench_add(&encode, encoded);
        cfc_bench_add(&encode_copy, encoded / copied);
        cfc_bench_add(&encode_sha, encoded / hashed);
        cfc_bench_add(&decode, decoded);
        cfc_bench_add(&decode_copy, decoded / copied);
        cfc_bench_add(&decode_sha, decoded / hashed);
    }
    snprintf(name, sizeof(name), "encode_%u_of_64", count);
    cfc_bench_print(&encode, "fec", name, "MB/s");
    cfc_bench_print(&encode_copy, "fec", name, "of memcpy");
    cfc_bench_print(&encode_sha, "fec", name, "of sha256");
    snprintf(name, sizeof(name), "decode_%u_of_64", count);
    cfc_bench_print(&decode, "fec", name, "MB/s");
    cfc_bench_print(&decode_copy, "fec", name, "of memcpy");
    cfc_bench_print(&decode_sha, "fec", name, "of sha256");
}

int
main(void)
{
    size_t size = (size_t)K * SIZE * BLOCKS;
    uint64_t x = 1;

    blocks = malloc(size);
    copy = malloc(size);
    repairs = malloc((size_t)CFC_FEC_ENCODE_MAX * SIZE * BLOCKS);
    sha = cfc_sha256_new();
    if (blocks == NULL || copy == NULL || repairs == NULL || sha == NULL) {
        must("memory", CONFCAST_ERR_NO_MEMORY);
    }
    for (size_t i = 0; i < size; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
        blocks[i] = (uint8_t)(x >> 56);
    }
    memcpy(copy, blocks, size);
    bench(1);
    bench(2);
    bench(4);
    bench(8);
    bench(16);
    cfc_sha256_free(sha);
    free(blocks);
    free(copy);
    free(repairs);
    return 0;
}
