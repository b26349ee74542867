/* Points in time as operators write them.  Pure; any thread. */
#ifndef CFC_API_TIME_TEXT_H
#define CFC_API_TIME_TEXT_H

#include <stdint.h>

/* Reads an RFC 3339 time (2026-07-01T09:30:00Z, with up to nine digits of a fraction, or an offset
 * like +02:00) or a whole number of unix nanoseconds.  Years 1970 to 2500; no leap seconds.
 * CONFCAST_ERR_INVALID: *unix_ns is unchanged. */
int cfc_time_parse(const char *text, uint64_t *unix_ns);

#endif
