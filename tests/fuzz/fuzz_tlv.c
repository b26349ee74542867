/* A TLV area from anybody: the walk ends, stays inside, and an area that is walked to its end is
 * what its TLVs write. */
#include <string.h>

#include "confcast/error.h"
#include "protocol/wire/frame.h"
#include "tests/fuzz/target.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct cfc_reader r = cfc_reader_of(bytes, size);
    uint8_t *out = malloc(size > 0 ? size : 1);
    struct cfc_writer w = cfc_writer_of(out, size);
    bool has_critical = false;
    struct cfc_tlv tlv;
    int skipped;
    int rc;

    CFC_FUZZ_CHECK(out != NULL);
    while ((rc = cfc_tlv_next(&r, &tlv)) == CONFCAST_OK) {
        CFC_FUZZ_CHECK(tlv.bytes >= bytes + 4 && tlv.size <= size &&
                       tlv.bytes + tlv.size <= bytes + size);
        CFC_FUZZ_CHECK((tlv.type & CFC_TLV_CRITICAL) == 0);
        cfc_tlv_write(&w, (uint16_t)(tlv.type | (tlv.is_critical ? CFC_TLV_CRITICAL : 0)),
                      tlv.bytes, tlv.size);
        has_critical = has_critical || tlv.is_critical;
    }
    CFC_FUZZ_CHECK(rc == CONFCAST_ERR_AGAIN || rc == CONFCAST_ERR_LENGTH);
    CFC_FUZZ_CHECK(!w.has_failed);
    CFC_FUZZ_CHECK(size == 0 || memcmp(out, bytes, cfc_writer_size(&w)) == 0);
    CFC_FUZZ_CHECK((rc == CONFCAST_ERR_AGAIN) == (cfc_writer_size(&w) == size));
    r = cfc_reader_of(bytes, size);
    skipped = cfc_tlv_skip_all(&r);
    if (has_critical) {
        CFC_FUZZ_CHECK(skipped == CONFCAST_ERR_UNSUPPORTED);
    } else {
        CFC_FUZZ_CHECK(skipped == (rc == CONFCAST_ERR_AGAIN ? CONFCAST_OK : rc));
    }
    free(out);
    return 0;
}
