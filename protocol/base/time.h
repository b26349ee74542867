/* Time is an argument.  Protocol code reads no clock. */
#ifndef CFC_BASE_TIME_H
#define CFC_BASE_TIME_H

#include <stdint.h>

#define CFC_US    UINT64_C(1000)
#define CFC_MS    UINT64_C(1000000)
#define CFC_S     UINT64_C(1000000000)
#define CFC_NEVER UINT64_MAX /* a deadline that never comes */

struct cfc_now {
    uint64_t mono_ns; /* monotonic, for every timer; never goes back */
    uint64_t unix_ns; /* wall clock, for signed times only; may step */
};

#endif
