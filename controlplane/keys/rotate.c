#include "controlplane/keys/rotate.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/keys/files.h"

#define CURRENT  "release.key"
#define NEXT     "release.next.key"
#define PREVIOUS "release.previous.key"

/* What is in the folder, and what it is to become. */
struct rotation {
    const char *dir;
    const char *root_path;
    char current_path[PATH_MAX];
    char next_path[PATH_MAX];
    char previous_path[PATH_MAX];
    char fleet_path[PATH_MAX];
    struct cfc_signing_key current;
    struct cfc_signing_key next;
    struct cfc_signing_key previous;
    bool has_next;
    bool has_previous;
    struct cfc_fleet *fleet;
    json_t *file; /* the fleet file as it is, for the members that this build does not know */
    char *why;
};

static int
refuse(struct rotation *r, int rc, const char *sentence)
{
    snprintf(r->why, CFC_KEYS_WHY_SIZE, "%s", sentence);
    return rc;
}

static int
failed(struct rotation *r, int rc, const char *what, const char *path)
{
    snprintf(r->why, CFC_KEYS_WHY_SIZE, "cannot %.40s %.160s: %.100s", what, path,
             rc == CONFCAST_ERR_IO ? strerror(errno) : confcast_error_text(rc));
    return rc;
}

static int
load_key(struct rotation *r, const char *path, enum cfc_key_kind kind, struct cfc_signing_key *key)
{
    uint8_t seed[32];
    char *bytes = NULL;
    size_t size = 0;
    int rc = cfc_file_read(path, CFC_KEY_FILE_SIZE_MAX, true, &bytes, &size);

    if (rc == CONFCAST_ERR_AUTHORITY) {
        snprintf(r->why, CFC_KEYS_WHY_SIZE,
                 "%.200s must be a regular file that only its owner can read (chmod 600)", path);
        return rc;
    }
    if (rc != CONFCAST_OK) {
        return failed(r, rc, "read", path);
    }
    rc = cfc_key_file_parse(bytes, size, kind, seed);
    sodium_memzero(bytes, size);
    free(bytes);
    if (rc == CONFCAST_OK) {
        rc = cfc_signing_key_from_seed(seed, key);
    }
    sodium_memzero(seed, sizeof(seed));
    return rc == CONFCAST_OK ? rc : failed(r, rc, "use", path);
}

/* The same; a file that is not there is fine. */
static int
load_optional(struct rotation *r, const char *path, struct cfc_signing_key *key, bool *is_there)
{
    int rc = load_key(r, path, CFC_KEY_RELEASE, key);

    *is_there = rc == CONFCAST_OK;
    return rc == CONFCAST_ERR_NOT_FOUND ? CONFCAST_OK : rc;
}

static bool
is_same_key(const struct cfc_signing_key *a, const struct cfc_signing_key *b)
{
    return memcmp(a->public_key, b->public_key, sizeof(a->public_key)) == 0;
}

static bool
is_trusted(const struct rotation *r, const struct cfc_signing_key *key)
{
    for (uint32_t i = 0; i < r->fleet->release_keys.key_count; i++) {
        if (memcmp(r->fleet->release_keys.keys[i].public_key, key->public_key,
                   sizeof(key->public_key)) == 0) {
            return true;
        }
    }
    return false;
}

static int
load_fleet(struct rotation *r)
{
    char *bytes = NULL;
    size_t size = 0;
    int rc = cfc_file_read(r->fleet_path, CFC_FLEET_FILE_SIZE_MAX, false, &bytes, &size);

    if (rc == CONFCAST_OK) {
        rc = cfc_fleet_parse(bytes, size, NULL, r->fleet);
    }
    if (rc == CONFCAST_OK) {
        r->file = json_loadb(bytes, size, 0, NULL);
        rc = r->file != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
    }
    free(bytes);
    return rc == CONFCAST_OK ? rc : failed(r, rc, "use", r->fleet_path);
}

static int
load_all(struct rotation *r)
{
    int rc = cfc_file_path(r->dir, CURRENT, r->current_path, PATH_MAX);

    rc = rc == CONFCAST_OK ? cfc_file_path(r->dir, NEXT, r->next_path, PATH_MAX) : rc;
    rc = rc == CONFCAST_OK ? cfc_file_path(r->dir, PREVIOUS, r->previous_path, PATH_MAX) : rc;
    rc = rc == CONFCAST_OK ? cfc_file_path(r->dir, CFC_KEYS_FLEET_FILE, r->fleet_path, PATH_MAX)
                           : rc;
    if (rc != CONFCAST_OK) {
        return failed(r, rc, "name files in", r->dir);
    }
    if ((rc = load_fleet(r)) != CONFCAST_OK ||
        (rc = load_key(r, r->current_path, CFC_KEY_RELEASE, &r->current)) != CONFCAST_OK ||
        (rc = load_optional(r, r->next_path, &r->next, &r->has_next)) != CONFCAST_OK ||
        (rc = load_optional(r, r->previous_path, &r->previous, &r->has_previous)) != CONFCAST_OK) {
        return rc;
    }
    /* A step that was cut short leaves a key under two names, and is done again. */
    if (r->has_next && is_same_key(&r->next, &r->current)) {
        r->has_next = false;
    }
    if (r->has_previous && is_same_key(&r->previous, &r->current)) {
        r->has_previous = false;
    }
    return CONFCAST_OK;
}

/* ---- The fleet file -------------------------------------------------------------------------- */

static int
load_root(struct rotation *r, struct cfc_signing_key *root)
{
    char path[PATH_MAX];
    int rc = r->root_path != NULL ? CONFCAST_OK : cfc_file_path(r->dir, "root.key", path, PATH_MAX);

    rc = rc == CONFCAST_OK
             ? load_key(r, r->root_path != NULL ? r->root_path : path, CFC_KEY_ROOT, root)
             : failed(r, rc, "name files in", r->dir);
    if (rc == CONFCAST_OK &&
        memcmp(root->public_key, r->fleet->root_key, sizeof(root->public_key)) != 0) {
        return refuse(r, CONFCAST_ERR_AUTHORITY, "the root key is that of another fleet");
    }
    return rc;
}

static json_t *
hex_json(const uint8_t *bytes, size_t size)
{
    char text[2 * CFC_PUBLIC_KEY_SIZE + 1];

    sodium_bin2hex(text, sizeof(text), bytes, size);
    return json_string(text);
}

/* Signs the file with these keys and the next sequence, and puts it in place of the one there. */
static int
replace_fleet(struct rotation *r, json_t *keys)
{
    struct cfc_signing_key root;
    char *draft = NULL;
    char *text = NULL;
    size_t size = 0;
    int rc = load_root(r, &root);

    if (rc != CONFCAST_OK) {
        json_decref(keys);
        return rc;
    }
    json_object_del(r->file, "root_key");
    json_object_del(r->file, "signature");
    json_object_set_new(r->file, "sequence", json_integer((json_int_t)r->fleet->sequence + 1));
    json_object_set_new(r->file, "release_keys", keys);
    draft = json_dumps(r->file, JSON_COMPACT);
    rc = draft != NULL ? cfc_fleet_seal(draft, strlen(draft), &root, &text, &size)
                       : CONFCAST_ERR_NO_MEMORY;
    free(draft);
    sodium_memzero(&root, sizeof(root));
    if (rc == CONFCAST_OK) {
        text[size++] = '\n'; /* in place of the NUL */
        rc = cfc_file_replace(r->fleet_path, text, size, 0644);
    }
    free(text);
    if (rc != CONFCAST_OK) {
        return failed(r, rc, "write", r->fleet_path);
    }
    r->fleet->sequence++;
    return CONFCAST_OK;
}

/* The entry of a key in the file, borrowed; NULL when there is none. */
static json_t *
entry_of(const struct rotation *r, const struct cfc_signing_key *key, size_t *at)
{
    char public_key[2 * CFC_PUBLIC_KEY_SIZE + 1];
    json_t *entry;
    size_t i;

    sodium_bin2hex(public_key, sizeof(public_key), key->public_key, sizeof(key->public_key));
    json_array_foreach(json_object_get(r->file, "release_keys"), i, entry)
    {
        const char *text = json_string_value(json_object_get(entry, "public_key"));

        if (text != NULL && strcmp(text, public_key) == 0) {
            *at = i;
            return entry;
        }
    }
    return NULL;
}

/* Trusts the next key for what the current one may sign. */
static int
trust_next(struct rotation *r)
{
    uint8_t id[CFC_KEY_ID_SIZE];
    size_t idx;
    json_t *keys = json_deep_copy(json_object_get(r->file, "release_keys"));
    json_t *entry = json_deep_copy(entry_of(r, &r->current, &idx));

    cfc_key_id(r->next.public_key, id);
    if (keys == NULL || entry == NULL) {
        json_decref(keys);
        json_decref(entry);
        return refuse(r, CONFCAST_ERR_STATE,
                      "release.key is not among the release keys of fleet.json");
    }
    json_object_set_new(entry, "id", hex_json(id, sizeof(id)));
    json_object_set_new(entry, "public_key",
                        hex_json(r->next.public_key, sizeof(r->next.public_key)));
    json_object_set_new(entry, "not_after", json_integer(0));
    json_array_append_new(keys, entry);
    return replace_fleet(r, keys);
}

static int
distrust_previous(struct rotation *r)
{
    size_t idx;
    json_t *keys;

    if (!is_trusted(r, &r->current)) {
        return refuse(r, CONFCAST_ERR_STATE,
                      "release.key is not among the release keys of fleet.json");
    }
    if (entry_of(r, &r->previous, &idx) == NULL) {
        return CONFCAST_OK; /* cut short behind this */
    }
    keys = json_deep_copy(json_object_get(r->file, "release_keys"));
    json_array_remove(keys, idx);
    return replace_fleet(r, keys);
}

/* ---- The steps ------------------------------------------------------------------------------- */

static int
make_next(struct rotation *r)
{
    uint8_t seed[32];
    char line[CFC_KEY_FILE_SIZE_MAX];
    size_t size;
    int rc;

    randombytes_buf(seed, sizeof(seed));
    cfc_signing_key_from_seed(seed, &r->next);
    size = cfc_key_file_write(CFC_KEY_RELEASE, seed, line);
    rc = cfc_file_create(r->next_path, line, size, 0600);
    sodium_memzero(seed, sizeof(seed));
    sodium_memzero(line, sizeof(line));
    r->has_next = rc == CONFCAST_OK;
    return rc == CONFCAST_OK ? rc : failed(r, rc, "write", r->next_path);
}

static int
begin(struct rotation *r)
{
    struct cfc_signing_key root;
    int rc;

    if (r->has_previous) {
        return refuse(r, CONFCAST_ERR_STATE,
                      "a rotation is under way, and its new key signs: --retire the old one first, "
                      "or go --back");
    }
    if (r->has_next && is_trusted(r, &r->next)) {
        return refuse(r, CONFCAST_ERR_STATE,
                      "a rotation is under way: give fleet.json to everybody, then --switch");
    }
    if (r->fleet->release_keys.key_count == CFC_KEYRING_KEYS_MAX) {
        return refuse(r, CONFCAST_ERR_LIMIT, "fleet.json has as many release keys as it can have");
    }
    /* Before there is a key that nothing trusts. */
    rc = load_root(r, &root);
    sodium_memzero(&root, sizeof(root));
    if (rc == CONFCAST_OK && !r->has_next) {
        rc = make_next(r);
    }
    return rc == CONFCAST_OK ? trust_next(r) : rc;
}

/* The key at `from` becomes release.key, which is kept at `to`. */
static int
exchange(struct rotation *r, const char *from, const char *to)
{
    int rc = CONFCAST_OK;

    if (link(r->current_path, to) != 0 && errno != EEXIST) {
        return failed(r, CONFCAST_ERR_IO, "write", to);
    }
    if (rename(from, r->current_path) != 0) {
        return failed(r, CONFCAST_ERR_IO, "replace", r->current_path);
    }
    rc = cfc_file_sync_folder(r->current_path);
    return rc == CONFCAST_OK ? rc : failed(r, rc, "write", r->dir);
}

static int
switch_keys(struct rotation *r)
{
    if (!r->has_next || r->has_previous) {
        return refuse(r, CONFCAST_ERR_STATE,
                      r->has_previous
                          ? "the new key signs already: --retire the old one, or go --back"
                          : "no rotation is under way: key rotate --dir DIR begins one");
    }
    if (!is_trusted(r, &r->next)) {
        return refuse(r, CONFCAST_ERR_STATE,
                      "fleet.json does not trust the next key yet: key rotate --dir DIR once more");
    }
    return exchange(r, r->next_path, r->previous_path);
}

static int
switch_back(struct rotation *r)
{
    if (!r->has_previous || r->has_next) {
        return refuse(r, CONFCAST_ERR_STATE, "there is no previous key to go back to");
    }
    if (!is_trusted(r, &r->previous)) {
        return refuse(r, CONFCAST_ERR_STATE, "fleet.json does not trust the previous key any more");
    }
    return exchange(r, r->previous_path, r->next_path);
}

static int
retire(struct rotation *r)
{
    int rc;

    if (!r->has_previous) {
        return refuse(r, CONFCAST_ERR_STATE,
                      r->has_next ? "the new key does not sign yet: --switch first"
                                  : "there is no previous key to retire");
    }
    rc = distrust_previous(r);
    if (rc == CONFCAST_OK && unlink(r->previous_path) != 0) {
        return failed(r, CONFCAST_ERR_IO, "remove", r->previous_path);
    }
    return rc == CONFCAST_OK ? cfc_file_sync_folder(r->previous_path) : rc;
}

static int
run(struct rotation *r, enum cfc_rotate_step step, struct cfc_rotate_result *result)
{
    int (*const steps[])(struct rotation *) = {[CFC_ROTATE_BEGIN] = begin,
                                               [CFC_ROTATE_SWITCH] = switch_keys,
                                               [CFC_ROTATE_BACK] = switch_back,
                                               [CFC_ROTATE_RETIRE] = retire};
    const struct cfc_signing_key *signing = &r->current;
    const struct cfc_signing_key *other = &r->next;
    int rc = load_all(r);

    rc = rc == CONFCAST_OK ? steps[step](r) : rc;
    if (step == CFC_ROTATE_SWITCH) {
        signing = &r->next;
        other = &r->current;
    } else if (step == CFC_ROTATE_BACK) {
        signing = &r->previous;
        other = &r->current;
    } else if (step == CFC_ROTATE_RETIRE) {
        other = &r->previous;
    }
    cfc_key_id(signing->public_key, result->signing);
    cfc_key_id(other->public_key, result->other);
    result->sequence = r->fleet->sequence;
    return rc;
}

int
cfc_keys_rotate(const char *dir, const char *root_path, enum cfc_rotate_step step,
                struct cfc_rotate_result *result, char why[CFC_KEYS_WHY_SIZE])
{
    struct rotation *r = calloc(1, sizeof(*r));
    int rc = CONFCAST_ERR_NO_MEMORY;

    why[0] = '\0';
    if (r != NULL && sodium_init() >= 0) {
        *r = (struct rotation){.dir = dir, .root_path = root_path, .why = why};
        r->fleet = calloc(1, sizeof(*r->fleet));
        rc = r->fleet != NULL ? run(r, step, result) : rc;
        free(r->fleet);
        json_decref(r->file);
        sodium_memzero(r, sizeof(*r));
    }
    free(r);
    if (rc != CONFCAST_OK && why[0] == '\0') {
        snprintf(why, CFC_KEYS_WHY_SIZE, "%s", confcast_error_text(rc));
    }
    return rc;
}
