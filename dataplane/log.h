/* Log lines of the engine: one line a call, to standard error, with the program's name in front.
 * Any thread. */
#ifndef CFC_DATAPLANE_LOG_H
#define CFC_DATAPLANE_LOG_H

#define CFC_LOG_NAME "confcast-dataplane"

void cfc_log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cfc_log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cfc_log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
