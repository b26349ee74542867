/* Log lines of the control plane: one line per event on stderr, in one write, with fields that a
 * program can split.
 *
 *     2026-01-31T12:00:00.123456Z info api listening tcp=127.0.0.1:7400
 *
 * A line never holds a control character, whatever went into it.  Any thread; the level is set once
 * at start. */
#ifndef CFC_LOG_LOG_H
#define CFC_LOG_LOG_H

#define CFC_LOG_LEVELS(X) X(ERROR, "error") X(WARN, "warn") X(INFO, "info") X(DEBUG, "debug")

enum cfc_log_level {
#define CFC_ENUM_(name, word) CFC_LOG_##name,
    CFC_LOG_LEVELS(CFC_ENUM_)
#undef CFC_ENUM_
    CFC_LOG_LEVEL_COUNT
};

/* Lines above this level are dropped; CFC_LOG_INFO until it is called. */
void cfc_log_set_level(enum cfc_log_level level);

/* CONFCAST_OK, or CONFCAST_ERR_INVALID for a word that names no level. */
int cfc_log_level_parse(const char *word, enum cfc_log_level *level);

/* `unit` says who speaks ("api", "store"); the text begins with what happened, then key=value pairs
 * with the units in the keys.  Longer lines than 1,000 bytes are cut.  No secrets. */
void cfc_log(enum cfc_log_level level, const char *unit, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
