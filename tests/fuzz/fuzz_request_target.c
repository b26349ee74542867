/* Request targets from anybody, and answers to the command line from any server.  What is accepted
 * holds to the promises of target.h; a raw member lies inside the answer. */
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/target.h"
#include "controlplane/ctl/ctl.h"
#include "controlplane/ctl/http.h"
#include "tests/fuzz/target.h"

int
cfc_ctl_fail(enum cfc_ctl_exit code, const char *format, ...)
{
    (void)format;
    return (int)code;
}

static void
check_text(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        CFC_FUZZ_CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
    }
}

static void
check_target(const char *raw)
{
    static struct cfc_target target;
    uint64_t number;

    if (cfc_target_parse(raw, &target) != CONFCAST_OK) {
        return;
    }
    CFC_FUZZ_CHECK(target.path[0] == '/' && strlen(target.path) <= CFC_TARGET_SIZE_MAX);
    CFC_FUZZ_CHECK(strstr(target.path, "/../") == NULL && strstr(target.path, "/./") == NULL);
    check_text(target.path);
    CFC_FUZZ_CHECK(target.param_count <= CFC_TARGET_PARAMS_MAX);
    for (uint32_t i = 0; i < target.param_count; i++) {
        check_text(target.params[i].name);
        check_text(target.params[i].value);
        CFC_FUZZ_CHECK(cfc_target_param(&target, target.params[i].name) == target.params[i].value);
        if (cfc_target_uint(target.params[i].value, 1000, &number) == CONFCAST_OK) {
            CFC_FUZZ_CHECK(number <= 1000);
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = malloc(size + 1);
    const char *member = NULL;
    size_t member_size = 0;

    CFC_FUZZ_CHECK(text != NULL);
    memcpy(text, bytes, size);
    text[size] = '\0';
    check_target(text);
    if (cfc_ctl_raw_member(text, size, "document", &member, &member_size)) {
        CFC_FUZZ_CHECK(member > text && member + member_size < text + size);
    }
    free(text);
    return 0;
}
