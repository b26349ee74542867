#include "controlplane/keys/keys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/keys/files.h"

static int
explain(char why[CFC_KEYS_WHY_SIZE], int rc, const char *what, const char *subject)
{
    if (rc == CONFCAST_ERR_IO) {
        snprintf(why, CFC_KEYS_WHY_SIZE, "%.60s %.120s: %.120s", what, subject, strerror(errno));
    } else {
        snprintf(why, CFC_KEYS_WHY_SIZE, "%.60s %.120s: %.120s", what, subject,
                 confcast_error_text(rc));
    }
    return rc;
}

static int
secret_path(const char *dir, enum cfc_key_kind kind, char path[PATH_MAX])
{
    char name[32];

    snprintf(name, sizeof(name), "%s.key", cfc_key_kind_word(kind));
    return cfc_file_path(dir, name, path, PATH_MAX);
}

int
cfc_keys_load(const char *dir, enum cfc_key_kind kind, uint8_t key[32], char why[CFC_KEYS_WHY_SIZE])
{
    char path[PATH_MAX];
    char *bytes = NULL;
    size_t size = 0;
    int rc = secret_path(dir, kind, path);

    if (rc == CONFCAST_OK) {
        rc = cfc_file_read(path, CFC_KEY_FILE_SIZE_MAX, true, &bytes, &size);
    }
    if (rc == CONFCAST_ERR_AUTHORITY) {
        snprintf(why, CFC_KEYS_WHY_SIZE,
                 "%.200s must be a regular file that only its owner can read (chmod 600)", path);
        return rc;
    }
    if (rc != CONFCAST_OK) {
        return explain(why, rc, "cannot read", path);
    }
    rc = cfc_key_file_parse(bytes, size, kind, key);
    sodium_memzero(bytes, size);
    free(bytes);
    return rc == CONFCAST_OK ? rc : explain(why, rc, "cannot use", path);
}

int
cfc_keys_load_signing(const char *dir, enum cfc_key_kind kind, struct cfc_signing_key *key,
                      char why[CFC_KEYS_WHY_SIZE])
{
    uint8_t seed[32];
    int rc = cfc_keys_load(dir, kind, seed, why);

    if (rc == CONFCAST_OK) {
        rc = cfc_signing_key_from_seed(seed, key);
    }
    sodium_memzero(seed, sizeof(seed));
    return rc;
}

int
cfc_keys_load_fleet(const char *dir, struct cfc_fleet *fleet, char why[CFC_KEYS_WHY_SIZE])
{
    char path[PATH_MAX];
    char *bytes = NULL;
    size_t size = 0;
    int rc = cfc_file_path(dir, CFC_KEYS_FLEET_FILE, path, sizeof(path));

    if (rc == CONFCAST_OK) {
        rc = cfc_file_read(path, CFC_FLEET_FILE_SIZE_MAX, false, &bytes, &size);
    }
    if (rc != CONFCAST_OK) {
        return explain(why, rc, "cannot read", path);
    }
    rc = cfc_fleet_parse(bytes, size, NULL, fleet);
    free(bytes);
    return rc == CONFCAST_OK ? rc : explain(why, rc, "cannot use", path);
}

static int
refuse_existing(const char *dir, char why[CFC_KEYS_WHY_SIZE])
{
    char path[PATH_MAX];

    for (int kind = 0; kind <= CFC_KEY_KIND_COUNT; kind++) {
        int rc = kind < CFC_KEY_KIND_COUNT
                     ? secret_path(dir, (enum cfc_key_kind)kind, path)
                     : cfc_file_path(dir, CFC_KEYS_FLEET_FILE, path, sizeof(path));

        if (rc != CONFCAST_OK) {
            return explain(why, rc, "cannot name files in", dir);
        }
        if (access(path, F_OK) == 0) {
            return explain(why, CONFCAST_ERR_EXISTS, "will not replace", path);
        }
    }
    return CONFCAST_OK;
}

static json_t *
hex_json(const uint8_t *bytes, size_t size)
{
    char text[2 * CFC_PUBLIC_KEY_SIZE + 1];

    sodium_bin2hex(text, sizeof(text), bytes, size);
    return json_string(text);
}

static json_t *
engines_json(const struct cfc_keys_plan *plan, char why[CFC_KEYS_WHY_SIZE])
{
    json_t *list = json_array();

    for (size_t i = 0; i < plan->engine_count; i++) {
        struct cfc_fleet_address address;
        char text[INET6_ADDRSTRLEN];

        if (cfc_fleet_address_parse(plan->engines[i], plan->port, &address) != CONFCAST_OK) {
            explain(why, CONFCAST_ERR_INVALID, "engine", plan->engines[i]);
            json_decref(list);
            return NULL;
        }
        inet_ntop(address.family == 4 ? AF_INET : AF_INET6, address.bytes, text, sizeof(text));
        json_array_append_new(list,
                              json_pack("{ss si}", "address", text, "port", (int)address.port));
    }
    return list;
}

static json_t *
urls_json(const struct cfc_keys_plan *plan)
{
    json_t *list = json_array();

    for (size_t i = 0; i < plan->pull_url_count; i++) {
        json_array_append_new(list, json_string(plan->pull_urls[i]));
    }
    return list;
}

static json_t *
unsigned_fleet(const struct cfc_keys_plan *plan, const struct cfc_signing_key *release,
               char why[CFC_KEYS_WHY_SIZE])
{
    uint8_t id[CFC_KEY_ID_SIZE];
    json_t *engines = engines_json(plan, why);

    if (engines == NULL) {
        return NULL;
    }
    cfc_key_id(release->public_key, id);
    return json_pack("{ss ss si si s{ss si} so so s[{so so si s[s]}]}", "format", CFC_FLEET_FORMAT,
                     "name", plan->fleet, "sequence", 1, "port", (int)plan->port, "groups", "base",
                     plan->group_base, "count", (int)plan->group_count, "engines", engines,
                     "pull_urls", urls_json(plan), "release_keys", "id", hex_json(id, sizeof(id)),
                     "public_key", hex_json(release->public_key, sizeof(release->public_key)),
                     "not_after", 0, "scopes", "");
}

/* The signed file as text with a newline. */
static int
make_fleet(const struct cfc_keys_plan *plan, const struct cfc_signing_key *root,
           const struct cfc_signing_key *release, char **text, size_t *size,
           char why[CFC_KEYS_WHY_SIZE])
{
    json_t *object;
    char *draft;
    int rc;

    why[0] = '\0';
    object = unsigned_fleet(plan, release, why);
    draft = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (draft == NULL) {
        return why[0] != '\0' ? CONFCAST_ERR_INVALID
                              : explain(why, CONFCAST_ERR_INVALID, "fleet", plan->fleet);
    }
    rc = cfc_fleet_seal(draft, strlen(draft), root, text, size);
    free(draft);
    if (rc != CONFCAST_OK) {
        return explain(why, rc, "the options make no valid fleet file;", "fleet.json");
    }
    (*text)[(*size)++] = '\n'; /* in place of the NUL */
    return CONFCAST_OK;
}

static int
write_secret(const char *dir, enum cfc_key_kind kind, const uint8_t key[32],
             char why[CFC_KEYS_WHY_SIZE])
{
    char path[PATH_MAX];
    char line[CFC_KEY_FILE_SIZE_MAX];
    size_t size = cfc_key_file_write(kind, key, line);
    int rc = secret_path(dir, kind, path);

    if (rc == CONFCAST_OK) {
        rc = cfc_file_create(path, line, size, 0600);
    }
    sodium_memzero(line, sizeof(line));
    return rc == CONFCAST_OK ? rc : explain(why, rc, "cannot write", path);
}

static int
write_all(const char *dir, uint8_t secrets[CFC_KEY_KIND_COUNT][32], const char *text, size_t size,
          char why[CFC_KEYS_WHY_SIZE])
{
    char path[PATH_MAX];
    int rc;

    if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
        return explain(why, CONFCAST_ERR_IO, "cannot make", dir);
    }
    for (int kind = 0; kind < CFC_KEY_KIND_COUNT; kind++) {
        rc = write_secret(dir, (enum cfc_key_kind)kind, secrets[kind], why);
        if (rc != CONFCAST_OK) {
            return rc;
        }
    }
    rc = cfc_file_path(dir, CFC_KEYS_FLEET_FILE, path, sizeof(path));
    if (rc == CONFCAST_OK) {
        rc = cfc_file_create(path, text, size, 0644);
    }
    return rc == CONFCAST_OK ? rc : explain(why, rc, "cannot write", path);
}

int
cfc_keys_create(const struct cfc_keys_plan *plan, char why[CFC_KEYS_WHY_SIZE])
{
    uint8_t secrets[CFC_KEY_KIND_COUNT][32];
    struct cfc_signing_key root;
    struct cfc_signing_key release;
    char *text = NULL;
    size_t size = 0;
    int rc;

    if (sodium_init() < 0) {
        return explain(why, CONFCAST_ERR_RESOURCE, "cannot get", "random numbers");
    }
    rc = refuse_existing(plan->dir, why);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    randombytes_buf(secrets, sizeof(secrets));
    cfc_signing_key_from_seed(secrets[CFC_KEY_ROOT], &root);
    cfc_signing_key_from_seed(secrets[CFC_KEY_RELEASE], &release);
    rc = make_fleet(plan, &root, &release, &text, &size, why);
    if (rc == CONFCAST_OK) {
        rc = write_all(plan->dir, secrets, text, size, why);
    }
    free(text);
    sodium_memzero(secrets, sizeof(secrets));
    sodium_memzero(&root, sizeof(root));
    sodium_memzero(&release, sizeof(release));
    return rc;
}

static int
fill_credential(const char *dir, const char *id, struct cfc_credential *c,
                char why[CFC_KEYS_WHY_SIZE])
{
    struct cfc_fleet *fleet = malloc(sizeof(*fleet));
    struct cfc_key key;
    int rc = fleet != NULL ? cfc_keys_load_fleet(dir, fleet, why)
                           : explain(why, CONFCAST_ERR_NO_MEMORY, "cannot read", dir);

    if (rc == CONFCAST_OK) {
        memcpy(c->fleet, fleet->name, sizeof(c->fleet));
        memcpy(c->root_key, fleet->root_key, sizeof(c->root_key));
        rc = cfc_keys_load(dir, CFC_KEY_SESSION, key.bytes, why);
    }
    if (rc == CONFCAST_OK) {
        cfc_credential_key(&key, CFC_DOMAIN_CRED_SESSION, id, strlen(id), &c->session_key);
        rc = cfc_keys_load(dir, CFC_KEY_REPORT, key.bytes, why);
    }
    if (rc == CONFCAST_OK) {
        cfc_credential_key(&key, CFC_DOMAIN_CRED_REPORT, id, strlen(id), &c->report_key);
    }
    sodium_memzero(&key, sizeof(key));
    free(fleet);
    return rc;
}

int
cfc_keys_enroll(const char *dir, const char *id, const struct cfc_credential_label *labels,
                size_t label_count, char **text, size_t *size, char why[CFC_KEYS_WHY_SIZE])
{
    struct cfc_credential c = {.label_count = (uint32_t)label_count};
    int rc;

    if (strlen(id) >= sizeof(c.id) || label_count > CFC_LABEL_COUNT_MAX) {
        return explain(why, CONFCAST_ERR_INVALID, "id or labels of", id);
    }
    memcpy(c.id, id, strlen(id) + 1);
    if (label_count > 0) {
        memcpy(c.labels, labels, label_count * sizeof(labels[0]));
    }
    rc = fill_credential(dir, id, &c, why);
    if (rc == CONFCAST_OK) {
        rc = cfc_credential_write(&c, text, size);
        if (rc == CONFCAST_OK) {
            (*text)[(*size)++] = '\n'; /* in place of the NUL */
        } else {
            explain(why, rc, "id or labels of", id);
        }
    }
    sodium_memzero(&c, sizeof(c));
    return rc;
}
