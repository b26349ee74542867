/* What documents digest to.  The same in every build: this is built three times, plainly as
 * everything is, without any optimisation and with all of it for this very processor, and each is
 * held to the golden file that an implementation of its own has written (tests/golden/digests.py).
 *
 *   digests --check FILE   lines of the SHA-256 of a canonical text, a content id and the document;
 *                          exit code 1 when one differs
 *   digests --print        for each path on the standard input those two of the document in it */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "controlplane/json/json_parse.h"
#include "protocol/trust/digest.h"

enum {
    DOCUMENT_SIZE_MAX = 64 * 1024 * 1024,
    DIGESTS_SIZE = 64 + 1 + 64 /* as they are printed */
};

static char *
put_hex(char *out, const struct cfc_digest *digest)
{
    for (size_t i = 0; i < sizeof(digest->bytes); i++) {
        snprintf(out, 3, "%02x", digest->bytes[i]);
        out += 2;
    }
    return out;
}

/* The two digests as text, or the word of the error. */
static void
digests_of(struct cfc_sha256 *sha, const char *document, size_t size, char out[DIGESTS_SIZE + 1])
{
    struct cfc_digest digest;
    json_t *root = NULL;
    uint8_t *body = NULL;
    char *text = NULL;
    size_t body_size;
    size_t text_size;
    int error = cfc_json_parse_object(document, size, DOCUMENT_SIZE_MAX, &root, NULL);

    if (error == CONFCAST_OK) {
        error = cfc_json_to_body(root, &body, &body_size);
    }
    if (error == CONFCAST_OK) {
        error = cfc_json_body_to_text(body, body_size, &text, &text_size);
    }
    if (error == CONFCAST_OK) {
        cfc_sha256_once(sha, NULL, text, text_size, &digest);
        out = put_hex(out, &digest);
        *out++ = ' ';
        cfc_content_id(sha, body, body_size, &digest);
        put_hex(out, &digest);
    } else {
        snprintf(out, DIGESTS_SIZE + 1, "%s", confcast_error_word(error));
    }
    free(text);
    free(body);
    json_decref(root);
}

static int
check(struct cfc_sha256 *sha, const char *path)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    unsigned count = 0;
    unsigned wrong = 0;

    while (file != NULL && (size = getline(&line, &capacity, file)) > DIGESTS_SIZE + 2) {
        char found[DIGESTS_SIZE + 1];

        digests_of(sha, line + DIGESTS_SIZE + 1, (size_t)size - DIGESTS_SIZE - 2, found);
        count++;
        if (strncmp(line, found, DIGESTS_SIZE) != 0) {
            printf("line %u: %s\n", count, found);
            wrong++;
        }
    }
    free(line);
    if (file != NULL) {
        fclose(file);
    }
    printf("%u documents, %u differ\n", count, wrong);
    return count > 0 && wrong == 0 ? 0 : 1;
}

static int
print_one(struct cfc_sha256 *sha, const char *path, char *document)
{
    char found[DIGESTS_SIZE + 1];
    FILE *file = fopen(path, "re");
    size_t size;

    if (file == NULL) {
        return 1;
    }
    size = fread(document, 1, DOCUMENT_SIZE_MAX, file);
    fclose(file);
    digests_of(sha, document, size, found);
    puts(found);
    return 0;
}

int
main(int argc, char **argv)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    char *document = malloc(DOCUMENT_SIZE_MAX);
    char path[4096];
    int result = 0;

    if (sha == NULL || document == NULL) {
        return 1;
    }
    if (argc == 3 && strcmp(argv[1], "--check") == 0) {
        result = check(sha, argv[2]);
    } else if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        while (result == 0 && fgets(path, sizeof(path), stdin) != NULL) {
            path[strcspn(path, "\n")] = '\0';
            result = print_one(sha, path, document);
        }
    } else {
        result = 2;
    }
    free(document);
    cfc_sha256_free(sha);
    return result;
}
