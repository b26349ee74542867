/* Runs a fuzz target over every file of the folders given, for builds without libFuzzer; with
 * "--mutate N" before them also over N changed copies of each, the same ones every time. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "protocol/base/prng.h"
#include "tests/fuzz/target.h"

static unsigned mutant_count;

/* The file's bytes in an allocation of their exact size, where a sanitizer sees every read beyond;
 * NULL when it cannot be read. */
static uint8_t *
read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    long end = -1;

    if (file == NULL) {
        return NULL;
    }
    if (fseek(file, 0, SEEK_END) == 0) {
        end = ftell(file);
    }
    if (end >= 0 && fseek(file, 0, SEEK_SET) == 0) {
        *size = (size_t)end;
        bytes = malloc(*size > 0 ? *size : 1);
    }
    if (bytes != NULL && fread(bytes, 1, *size, file) != *size) {
        free(bytes);
        bytes = NULL;
    }
    fclose(file);
    return bytes;
}

/* Some bytes are changed, doubled, or left out. */
static void
run_mutant(const uint8_t *bytes, size_t size, struct cfc_prng *prng)
{
    uint8_t *mutant = malloc(2 * size + 1);
    size_t count = size;

    CFC_FUZZ_CHECK(mutant != NULL);
    memcpy(mutant, bytes, size);
    for (uint64_t left = 1 + cfc_prng_below(prng, 4); left > 0 && count > 0; left--) {
        size_t at = (size_t)cfc_prng_below(prng, count);
        size_t length = 1 + (size_t)cfc_prng_below(prng, count - at < 8 ? count - at : 8);

        switch (cfc_prng_below(prng, 5)) {
        case 0:
            mutant[at] ^= (uint8_t)(1u << cfc_prng_below(prng, 8));
            break;
        case 1:
            mutant[at] = (uint8_t)cfc_prng_below(prng, 256);
            break;
        case 2:
            memmove(mutant + at, mutant + at + length, count - at - length);
            count -= length;
            break;
        case 3:
            if (count + length <= 2 * size) {
                memmove(mutant + at + length, mutant + at, count - at);
                count += length;
            }
            break;
        default:
            count = at;
            break;
        }
    }
    /* In an allocation of its exact size again. */
    mutant = realloc(mutant, count > 0 ? count : 1);
    CFC_FUZZ_CHECK(mutant != NULL);
    LLVMFuzzerTestOneInput(mutant, count);
    free(mutant);
}

static void
run_mutants(const uint8_t *bytes, size_t size)
{
    struct cfc_prng prng = {.state = size};

    for (unsigned i = 0; i < mutant_count && size > 0; i++) {
        run_mutant(bytes, size, &prng);
    }
}

/* The number of files run, or -1. */
static int
replay(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    int count = 0;

    if (dir == NULL) {
        return -1;
    }
    while (count >= 0 && (entry = readdir(dir)) != NULL) {
        char path[4096];
        uint8_t *bytes;
        size_t size;

        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        bytes = read_file(path, &size);
        if (bytes == NULL) {
            fprintf(stderr, "%s cannot be read\n", path);
            count = -1;
            break;
        }
        LLVMFuzzerTestOneInput(bytes, size);
        run_mutants(bytes, size);
        free(bytes);
        count++;
    }
    closedir(dir);
    return count;
}

int
main(int argc, char **argv)
{
    int total = 0;
    int first = 1;

    if (argc > 2 && strcmp(argv[1], "--mutate") == 0) {
        mutant_count = (unsigned)strtoul(argv[2], NULL, 10);
        first = 3;
    }
    for (int i = first; i < argc; i++) {
        int count = replay(argv[i]);

        if (count <= 0) {
            fprintf(stderr, "%s: no corpus\n", argv[i]);
            return 1;
        }
        total += count;
    }
    printf("%d inputs\n", total);
    return total > 0 ? 0 : 1;
}
