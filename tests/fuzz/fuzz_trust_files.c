/* Fleet files, credentials and key files from anybody.  What fails leaves nothing behind; what the
 * root seals reads back and seals to the same bytes; what parses is written to what parses the
 * same.
 */
#include <string.h>

#include "confcast/error.h"
#include "protocol/trust/credential.h"
#include "protocol/trust/fleet.h"
#include "protocol/trust/key_file.h"
#include "tests/fuzz/target.h"

static struct cfc_fleet fleet;

static void
check_fleet(const uint8_t *bytes, size_t size, const struct cfc_signing_key *root)
{
    static const struct cfc_fleet zero;
    char *sealed = NULL;
    char *again = NULL;
    size_t sealed_size = 0;
    size_t again_size = 0;

    if (cfc_fleet_parse(bytes, size, NULL, &fleet) != CONFCAST_OK) {
        CFC_FUZZ_CHECK(memcmp(&fleet, &zero, sizeof(fleet)) == 0);
    } else {
        CFC_FUZZ_CHECK(fleet.engine_count > 0 && fleet.group_count > 0);
    }
    if (cfc_fleet_seal(bytes, size, root, &sealed, &sealed_size) != CONFCAST_OK) {
        CFC_FUZZ_CHECK(sealed == NULL);
        return;
    }
    CFC_FUZZ_CHECK(cfc_fleet_parse(sealed, sealed_size, root->public_key, &fleet) == CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_fleet_seal(sealed, sealed_size, root, &again, &again_size) == CONFCAST_OK);
    CFC_FUZZ_CHECK(again_size == sealed_size && memcmp(again, sealed, sealed_size) == 0);
    free(sealed);
    free(again);
}

static void
check_credential(const uint8_t *bytes, size_t size)
{
    struct cfc_credential credential;
    struct cfc_credential again;
    char *text = NULL;
    size_t text_size = 0;

    if (cfc_credential_parse(bytes, size, &credential) != CONFCAST_OK) {
        return;
    }
    CFC_FUZZ_CHECK(cfc_credential_write(&credential, &text, &text_size) == CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_credential_parse(text, text_size, &again) == CONFCAST_OK);
    CFC_FUZZ_CHECK(memcmp(&credential, &again, sizeof(again)) == 0);
    free(text);
}

static void
check_key_file(const uint8_t *bytes, size_t size)
{
    char line[CFC_KEY_FILE_SIZE_MAX];
    uint8_t key[32];

    for (int kind = 0; kind < CFC_KEY_KIND_COUNT; kind++) {
        if (cfc_key_file_parse(bytes, size, (enum cfc_key_kind)kind, key) == CONFCAST_OK) {
            size_t line_size = cfc_key_file_write((enum cfc_key_kind)kind, key, line);

            CFC_FUZZ_CHECK(line_size == size || line_size == size + 1);
            CFC_FUZZ_CHECK(memcmp(line, bytes, size) == 0);
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const uint8_t seed[32] = {1};
    struct cfc_signing_key root;

    cfc_signing_key_from_seed(seed, &root);
    check_fleet(bytes, size, &root);
    check_credential(bytes, size);
    check_key_file(bytes, size);
    return 0;
}
