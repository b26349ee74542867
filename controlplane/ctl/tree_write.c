#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/ctl/tree.h"
#include "protocol/base/scope.h"

static int
explain(char why[CFC_TREE_WHY_SIZE], int rc, const char *path, const char *sentence)
{
    snprintf(why, CFC_TREE_WHY_SIZE, "%.300s: %s", path, sentence);
    return rc;
}

static int
explain_errno(char why[CFC_TREE_WHY_SIZE], const char *path)
{
    int rc = errno == ENOSPC || errno == EDQUOT   ? CONFCAST_ERR_NO_SPACE
             : errno == ELOOP || errno == ENOTDIR ? CONFCAST_ERR_AUTHORITY
                                                  : CONFCAST_ERR_IO;

    return explain(why, rc, path, strerror(errno));
}

static void
new_line(FILE *out, size_t depth)
{
    fprintf(out, "\n%*s", (int)(2 * depth), "");
}

/* The end of the string that begins at text[i], beyond its closing quote. */
static size_t
end_of_string(const char *text, size_t size, size_t i)
{
    for (i++; i < size && text[i] != '"'; i++) {
        i += text[i] == '\\' ? 1 : 0;
    }
    return i + 1 < size ? i + 1 : size;
}

char *
cfc_tree_layout(const char *text, size_t size, size_t *out_size)
{
    char *laid = NULL;
    FILE *out = open_memstream(&laid, out_size);
    size_t depth = 0;

    for (size_t i = 0; out != NULL && i < size;) {
        char c = text[i];
        size_t end = c == '"' ? end_of_string(text, size, i) : i + 1;
        bool is_empty = (c == '{' || c == '[') && end < size && text[end] == c + 2;

        if ((c == '}' || c == ']') && depth > 0) {
            new_line(out, --depth);
        }
        end += is_empty ? 1 : 0; /* {} and [] stay together: the closing one is two codes further */
        fwrite(text + i, 1, end - i, out);
        if ((c == '{' || c == '[') && !is_empty) {
            new_line(out, ++depth);
        } else if (c == ',') {
            new_line(out, depth);
        } else if (c == ':') {
            fputc(' ', out);
        }
        i = end;
    }
    if (out == NULL) {
        return NULL;
    }
    fputc('\n', out);
    if (fclose(out) != 0) {
        free(laid);
        return NULL;
    }
    return laid;
}

/* Opens the folder of a scope's file, making what is missing; -1 with errno. */
static int
open_folder(const char *dir, const char *scope, const char **name)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char segment[CFC_SCOPE_SIZE_MAX + 1];
    const char *slash;

    while (fd >= 0 && (slash = strchr(scope, '/')) != NULL) {
        int parent = fd;

        snprintf(segment, sizeof(segment), "%.*s", (int)(slash - scope), scope);
        if (mkdirat(parent, segment, 0777) != 0 && errno != EEXIST) {
            fd = -1;
        } else {
            fd = openat(parent, segment, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        }
        close(parent);
        scope = slash + 1;
    }
    *name = scope;
    return fd;
}

/* 1: there with these bytes, 0: there with others, -1 with errno: ENOENT when it is not there. */
static int
is_same(int folder, const char *name, const char *text, size_t size)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    char *have;
    int same = 0;

    if (fd < 0) {
        return -1;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size == size) {
        have = malloc(size + 1);
        same = have != NULL && pread(fd, have, size, 0) == (ssize_t)size &&
               memcmp(have, text, size) == 0;
        free(have);
    }
    close(fd);
    return same;
}

/* Written beside and renamed over: a crash leaves the old file or the new one. */
static int
replace(int folder, const char *name, const char *text, size_t size)
{
    char draft[CFC_SCOPE_SIZE_MAX + 64];
    size_t done = 0;
    int fd;

    snprintf(draft, sizeof(draft), ".%s.%ld.new", name, (long)getpid());
    fd = openat(folder, draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0) {
        return -1;
    }
    while (done < size) {
        ssize_t put = write(fd, text + done, size - done);

        if (put <= 0 && errno != EINTR) {
            break;
        }
        done += put > 0 ? (size_t)put : 0;
    }
    if ((done < size) | (fsync(fd) != 0) | (close(fd) != 0) ||
        renameat(folder, draft, folder, name) != 0) {
        int error = errno;

        unlinkat(folder, draft, 0);
        errno = error;
        return -1;
    }
    return 0;
}

static int
write_laid(int folder, const char *name, const char *path, const char *text, size_t size,
           bool may_replace, bool *is_written, char why[CFC_TREE_WHY_SIZE])
{
    int same = is_same(folder, name, text, size);

    *is_written = false;
    if (same == 1) {
        return CONFCAST_OK;
    }
    if (same < 0 && errno != ENOENT) {
        return explain_errno(why, path);
    }
    if (same == 0 && !may_replace) {
        return explain(why, CONFCAST_ERR_EXISTS, path, "is there and says something else");
    }
    if (replace(folder, name, text, size) != 0) {
        return explain_errno(why, path);
    }
    *is_written = true;
    return CONFCAST_OK;
}

int
cfc_tree_write(const char *dir, const char *scope, enum cfc_tree_kind kind, const char *text,
               size_t size, bool may_replace, bool *is_written, char why[CFC_TREE_WHY_SIZE])
{
    static const char *const endings[CFC_TREE_KIND_COUNT] = {
        [CFC_TREE_SCHEMA] = ".schema.json",
        [CFC_TREE_SETTINGS] = ".settings.json",
        [CFC_TREE_DEFINITION] = ".json",
        [CFC_TREE_LAYERS] = ".layers.json",
    };
    char file[CFC_SCOPE_SIZE_MAX + 32];
    const char *name;
    size_t laid_size = 0;
    const char *dot = strrchr(scope, '.');
    char *laid;
    int folder;
    int rc;

    if (cfc_scope_check(scope, strlen(scope)) != CONFCAST_OK ||
        (dot != NULL && (strcmp(dot, ".schema") == 0 || strcmp(dot, ".settings") == 0 ||
                         strcmp(dot, ".layers") == 0))) {
        return explain(why, CONFCAST_ERR_SCOPE_NAME, scope,
                       "a scope of this name cannot be in a tree");
    }
    laid = cfc_tree_layout(text, size, &laid_size);
    if (laid == NULL) {
        return explain(why, CONFCAST_ERR_NO_MEMORY, scope, "no memory");
    }
    folder = open_folder(dir, scope, &name);
    if (folder < 0) {
        rc = explain_errno(why, scope);
    } else {
        snprintf(file, sizeof(file), "%s%s", name, endings[kind]);
        rc = write_laid(folder, file, scope, laid, laid_size, may_replace, is_written, why);
        close(folder);
    }
    free(laid);
    return rc;
}
