#include "controlplane/ctl/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confcast/error.h"
#include "protocol/base/scope.h"

enum {
    DEPTH_MAX = 8, /* segments of a scope */
};

static const struct {
    const char *word;
    const char *ending;
} kinds[CFC_TREE_KIND_COUNT] = {
    [CFC_TREE_SCHEMA] = {"schema", ".schema.json"},
    [CFC_TREE_SETTINGS] = {"settings", ".settings.json"},
    [CFC_TREE_DEFINITION] = {"definition", ".json"},
    [CFC_TREE_LAYERS] = {"layers", ".layers.json"},
};

const char *
cfc_tree_kind_word(enum cfc_tree_kind kind)
{
    return kinds[kind].word;
}

static int
explain(char why[CFC_TREE_WHY_SIZE], int rc, const char *path, const char *sentence)
{
    snprintf(why, CFC_TREE_WHY_SIZE, "%.300s: %s", path, sentence);
    return rc;
}

static bool
ends_with(const char *name, const char *ending)
{
    size_t size = strlen(name);
    size_t ending_size = strlen(ending);

    return size > ending_size && strcmp(name + size - ending_size, ending) == 0;
}

/* What a file of this path is about; the longest ending wins. */
static bool
parse_path(const char *path, char scope[CFC_SCOPE_SIZE_MAX + 1], enum cfc_tree_kind *kind)
{
    size_t size = strlen(path);

    *kind = CFC_TREE_DEFINITION;
    for (int k = 0; k < CFC_TREE_KIND_COUNT; k++) {
        if (k != CFC_TREE_DEFINITION && ends_with(path, kinds[k].ending)) {
            *kind = (enum cfc_tree_kind)k;
        }
    }
    if (!ends_with(path, kinds[*kind].ending)) {
        return false;
    }
    size -= strlen(kinds[*kind].ending);
    if (cfc_scope_check(path, size) != CONFCAST_OK) {
        return false;
    }
    memcpy(scope, path, size);
    scope[size] = '\0';
    return true;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static int
compare_files(const void *a, const void *b)
{
    const struct cfc_tree_file *left = a;
    const struct cfc_tree_file *right = b;
    int order = strcmp(left->scope, right->scope);

    return order != 0 ? order : (int)left->kind - (int)right->kind;
}

const struct cfc_tree_file *
cfc_tree_find(const struct cfc_tree *tree, const char *scope, enum cfc_tree_kind kind)
{
    size_t low = 0;
    size_t high = tree->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct cfc_tree_file *file = &tree->files[middle];
        int order = strcmp(scope, file->scope);

        order = order != 0 ? order : (int)kind - (int)file->kind;
        if (order == 0) {
            return file;
        }
        low = order > 0 ? middle + 1 : low;
        high = order < 0 ? middle : high;
    }
    return NULL;
}

void
cfc_tree_free(struct cfc_tree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        free(tree->files[i].text);
        json_decref(tree->files[i].value);
    }
    free(tree->files);
    memset(tree, 0, sizeof(*tree));
}

static int
read_all(int fd, size_t size, char *text)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = read(fd, text + done, size - done);

        if (got > 0) {
            done += (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            return CONFCAST_ERR_IO;
        }
    }
    return CONFCAST_OK;
}

static int
read_text(int dir_fd, const char *name, const char *path, struct cfc_tree_file *file,
          char why[CFC_TREE_WHY_SIZE])
{
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    int rc = CONFCAST_OK;

    if (fd < 0) {
        return explain(why, errno == ELOOP ? CONFCAST_ERR_AUTHORITY : CONFCAST_ERR_IO, path,
                       strerror(errno));
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        rc = explain(why, CONFCAST_ERR_AUTHORITY, path, "no regular file");
    } else if (st.st_size > CFC_TREE_FILE_SIZE_MAX) {
        rc = explain(why, CONFCAST_ERR_LIMIT, path, "bigger than 64 MiB");
    } else if ((file->text = malloc((size_t)st.st_size + 1)) == NULL) {
        rc = explain(why, CONFCAST_ERR_NO_MEMORY, path, "no memory");
    } else if (read_all(fd, (size_t)st.st_size, file->text) != CONFCAST_OK) {
        rc = explain(why, CONFCAST_ERR_IO, path, strerror(errno));
    }
    file->size = rc == CONFCAST_OK ? (size_t)st.st_size : 0;
    close(fd);
    return rc;
}

static bool
is_list_of_strings(const json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!json_is_string(json_array_get(value, i))) {
            return false;
        }
    }
    return json_is_array(value);
}

static int
parse_text(struct cfc_tree_file *file, const char *path, char why[CFC_TREE_WHY_SIZE])
{
    json_error_t error;

    file->value = json_loadb(file->text, file->size,
                             JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL |
                                 JSON_ALLOW_NUL,
                             &error);
    if (file->value == NULL) {
        snprintf(why, CFC_TREE_WHY_SIZE, "%.300s:%d:%d: %s", path, error.line, error.column,
                 error.text);
        return CONFCAST_ERR_SYNTAX;
    }
    if (file->kind == CFC_TREE_LAYERS ? !is_list_of_strings(file->value)
                                      : !json_is_object(file->value)) {
        return explain(why, CONFCAST_ERR_SYNTAX, path,
                       file->kind == CFC_TREE_LAYERS ? "layers are a list of scopes"
                                                     : "this is no JSON object");
    }
    return CONFCAST_OK;
}

static int
take_file(struct cfc_tree *tree, int dir_fd, const char *name, const char *path,
          char why[CFC_TREE_WHY_SIZE])
{
    struct cfc_tree_file *file;
    int rc;

    if (tree->count == CFC_TREE_FILES_MAX) {
        return explain(why, CONFCAST_ERR_LIMIT, path, "more than 100000 files");
    }
    if (tree->count == tree->capacity) {
        size_t capacity = tree->capacity > 0 ? tree->capacity * 2 : 64;
        struct cfc_tree_file *files = realloc(tree->files, capacity * sizeof(*files));

        if (files == NULL) {
            return explain(why, CONFCAST_ERR_NO_MEMORY, path, "no memory");
        }
        tree->files = files;
        tree->capacity = capacity;
    }
    file = &tree->files[tree->count];
    memset(file, 0, sizeof(*file));
    if (!parse_path(path, file->scope, &file->kind)) {
        return explain(why, CONFCAST_ERR_SCOPE_NAME, path,
                       "its name is not SCOPE.json, SCOPE.schema.json, SCOPE.settings.json or "
                       "SCOPE.layers.json, with segments of [a-z0-9][a-z0-9._-]{0,62}");
    }
    tree->count++; /* from here on it is freed with the tree */
    rc = read_text(dir_fd, name, path, file, why);
    return rc == CONFCAST_OK ? parse_text(file, path, why) : rc;
}

/* The folders that are open on the way down, and the path of what is looked at. */
struct descent {
    DIR *dirs[DEPTH_MAX];
    size_t path_sizes[DEPTH_MAX];
    size_t depth;
    char path[2 * CFC_SCOPE_SIZE_MAX + 512];
};

static int
enter(struct descent *d, int parent_fd, const char *name, char why[CFC_TREE_WHY_SIZE])
{
    int fd;

    if (d->depth == DEPTH_MAX) {
        return explain(why, CONFCAST_ERR_SCOPE_NAME, d->path, "a scope has at most 8 segments");
    }
    fd = openat(parent_fd, name,
                O_RDONLY | O_DIRECTORY | O_CLOEXEC | (d->depth > 0 ? O_NOFOLLOW : 0));
    if (fd < 0) {
        return explain(why,
                       errno == ENOENT && d->depth == 0 ? CONFCAST_ERR_NOT_FOUND : CONFCAST_ERR_IO,
                       d->depth == 0 ? name : d->path, strerror(errno));
    }
    d->dirs[d->depth] = fdopendir(fd);
    if (d->dirs[d->depth] == NULL) {
        close(fd);
        return explain(why, CONFCAST_ERR_NO_MEMORY, d->path, "no memory");
    }
    d->path_sizes[d->depth++] = strlen(d->path);
    return CONFCAST_OK;
}

static int
visit(struct cfc_tree *tree, struct descent *d, const char *name, char why[CFC_TREE_WHY_SIZE])
{
    int dir_fd = dirfd(d->dirs[d->depth - 1]);
    size_t size = d->path_sizes[d->depth - 1];
    struct stat st;

    if (name[0] == '.') {
        return CONFCAST_OK;
    }
    if (size + strlen(name) + 2 > sizeof(d->path)) {
        return explain(why, CONFCAST_ERR_SCOPE_NAME, name, "the path is too long for a scope");
    }
    snprintf(d->path + size, sizeof(d->path) - size, "%s%s", size > 0 ? "/" : "", name);
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return explain(why, CONFCAST_ERR_IO, d->path, strerror(errno));
    }
    if (!S_ISDIR(st.st_mode) && ends_with(name, ".md")) {
        return CONFCAST_OK;
    }
    if (S_ISLNK(st.st_mode)) {
        return explain(why, CONFCAST_ERR_AUTHORITY, d->path,
                       "a symbolic link; a tree has only files and folders");
    }
    if (!S_ISDIR(st.st_mode)) {
        return take_file(tree, dir_fd, name, d->path, why);
    }
    return cfc_scope_check(name, strlen(name)) == CONFCAST_OK
               ? enter(d, dir_fd, name, why)
               : explain(why, CONFCAST_ERR_SCOPE_NAME, d->path,
                         "the folder's name is no segment of a scope");
}

int
cfc_tree_read(const char *dir, struct cfc_tree *tree, char why[CFC_TREE_WHY_SIZE])
{
    struct descent d = {.path = ""};
    int rc;

    memset(tree, 0, sizeof(*tree));
    why[0] = '\0';
    rc = enter(&d, AT_FDCWD, dir, why);
    while (rc == CONFCAST_OK && d.depth > 0) {
        const struct dirent *entry;

        errno = 0;
        entry = readdir(d.dirs[d.depth - 1]);
        d.path[d.path_sizes[d.depth - 1]] = '\0';
        if (entry != NULL) {
            rc = visit(tree, &d, entry->d_name, why);
        } else if (errno != 0) {
            rc = explain(why, CONFCAST_ERR_IO, d.path, strerror(errno));
        } else {
            closedir(d.dirs[--d.depth]);
        }
    }
    while (d.depth > 0) {
        closedir(d.dirs[--d.depth]);
    }
    if (rc != CONFCAST_OK) {
        cfc_tree_free(tree);
    } else if (tree->count > 0) {
        qsort(tree->files, tree->count, sizeof(tree->files[0]), compare_files);
    }
    return rc;
}
