/* A folder of its own for a test, removed with all that is in it. */
#ifndef CFC_TESTS_TEMP_DIR_H
#define CFC_TESTS_TEMP_DIR_H

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct temp_dir {
    char path[256];
};

static inline struct temp_dir
temp_dir_make(void)
{
    const char *base = getenv("TMPDIR");
    struct temp_dir dir;
    const char *made;

    snprintf(dir.path, sizeof(dir.path), "%s/confcast-test-XXXXXX", base != NULL ? base : "/tmp");
    made = mkdtemp(dir.path);
    assert(made != NULL);
    (void)made;
    return dir;
}

static inline int
temp_dir_remove_entry_(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void
temp_dir_remove(const struct temp_dir *dir)
{
    (void)nftw(dir->path, temp_dir_remove_entry_, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
