/* Reads tests/golden/wire.txt: a name on a line, then its bytes in hex on indented lines.  The
 * tree's root comes from CFC_SOURCE_ROOT, which the build sets for every unit test. */
#ifndef CFC_TESTS_GOLDEN_H
#define CFC_TESTS_GOLDEN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GOLDEN_COUNT_MAX = 128,
    GOLDEN_NAME_SIZE = 64,
    GOLDEN_SIZE_MAX = 4096
};

struct golden {
    char name[GOLDEN_NAME_SIZE];
    uint8_t bytes[GOLDEN_SIZE_MAX];
    size_t size;
};

struct golden_file {
    struct golden items[GOLDEN_COUNT_MAX];
    size_t count;
};

static inline bool
golden_add_hex(struct golden *item, const char *line)
{
    unsigned byte;

    for (line += 2; sscanf(line, "%2x", &byte) == 1; line += 2) {
        if (item->size == GOLDEN_SIZE_MAX) {
            return false;
        }
        item->bytes[item->size++] = (uint8_t)byte;
    }
    return true;
}

/* Reads the file; false when it is not there or holds too much. */
static inline bool
golden_open(struct golden_file *golden)
{
    const char *root = getenv("CFC_SOURCE_ROOT");
    char line[256];
    bool ok = true;
    FILE *file;

    snprintf(line, sizeof(line), "%s/tests/golden/wire.txt", root != NULL ? root : ".");
    file = fopen(line, "r");
    golden->count = 0;
    if (file == NULL) {
        return false;
    }
    while (ok && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == ' ') {
            ok = golden->count > 0 && golden_add_hex(&golden->items[golden->count - 1], line);
        } else if (line[0] != '#') {
            ok = golden->count < GOLDEN_COUNT_MAX && strlen(line) < GOLDEN_NAME_SIZE;
            if (ok) {
                struct golden *item = &golden->items[golden->count++];

                memcpy(item->name, line, strlen(line) + 1);
                item->size = 0;
            }
        }
    }
    fclose(file);
    return ok;
}

/* The vector of this name, or NULL. */
static inline const struct golden *
golden_find(const struct golden_file *golden, const char *name)
{
    for (size_t i = 0; i < golden->count; i++) {
        if (strcmp(golden->items[i].name, name) == 0) {
            return &golden->items[i];
        }
    }
    return NULL;
}

#endif
