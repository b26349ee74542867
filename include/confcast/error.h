/* confcast/error.h: the one error space of confcast.
 *
 * Zero is success, errors are negative, and a number never changes its meaning once released.
 * Functions list the codes that they return and what the caller should do next.  "Nothing to do" is
 * CONFCAST_ERR_AGAIN and never a log line.
 */
#ifndef CONFCAST_ERROR_H
#define CONFCAST_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, short word used in logs, counters and reports, sentence) */
#define CONFCAST_ERRORS(X)                                                                         \
    /* Generic. */                                                                                 \
    X(AGAIN, -1, "again", "nothing to do now; try again later")                                    \
    X(INVALID, -2, "invalid", "an argument is outside its documented range")                       \
    X(NO_MEMORY, -3, "oom", "memory could not be allocated")                                       \
    X(RANGE, -4, "range", "an index or count is outside the range that its object declares")       \
    X(LIMIT, -5, "limit", "a documented limit would be exceeded")                                  \
    X(NOT_FOUND, -6, "not_found", "there is no such object")                                       \
    X(EXISTS, -7, "exists", "the object exists already")                                           \
    X(BUSY, -8, "busy", "the object is in use; try again later")                                   \
    X(IO, -9, "io", "the operating system reported an input/output error")                         \
    X(CLOSED, -10, "closed", "the peer or the object is closed")                                   \
    X(TIMEOUT, -11, "timeout", "the operation did not finish in time")                             \
    X(RESOURCE, -12, "resource", "an operating system resource is exhausted")                      \
    X(INTERNAL, -13, "internal", "an internal rule was found broken; please report this")          \
    X(PERMISSION, -14, "permission", "the operating system does not grant this process the right") \
    X(UNAVAILABLE, -15, "unavailable", "the operating system or the device cannot do this")        \
    /* Frames. */                                                                                  \
    X(SHORT, -20, "short", "the frame ends before its fields do")                                  \
    X(VERSION, -21, "version",                                                                     \
      "magic, version or a reserved field is not one this build understands")                      \
    X(LENGTH, -22, "length", "a length field disagrees with the bytes that are there")             \
    X(UNSUPPORTED, -23, "unsupported", "a critical field or type is unknown to this build")        \
    X(DIGEST, -24, "digest", "bytes do not match the digest that names them")                      \
    X(SIGNATURE, -25, "signature", "the signature does not verify")                                \
    X(AUTHORITY, -26, "authority", "the signing key has no authority for this object")             \
    X(MAC, -27, "mac", "the message authentication code does not verify")                          \
    X(REPLAY, -28, "replay", "the frame was seen before or is outside the replay window")          \
    X(WRONG_STREAM, -29, "wrong_stream",                                                           \
      "the frame belongs to a stream that nobody here asked for")                                  \
    X(CANONICAL, -30, "canonical", "the encoding is valid but not the canonical one")              \
    /* Heads and beacons. */                                                                       \
    X(ROLLBACK, -40, "rollback", "the version is older than the accepted one")                     \
    X(FENCED, -41, "fenced", "the epoch is older than the accepted one: a stale owner")            \
    X(EQUIVOCATION, -42, "equivocation",                                                           \
      "two different decisions carry the same scope, epoch and version")                           \
    X(EXPIRED, -43, "expired", "the object's validity has ended")                                  \
    X(NOT_YET_VALID, -44, "not_yet_valid", "the object's validity has not begun")                  \
    X(JUMP, -45, "jump", "the version lies far beyond the signed sequence of its shard")           \
    X(ROOT_CHAIN, -46, "root_chain", "the key set is not signed by the roots that it must follow") \
    /* Content. */                                                                                 \
    X(INCOMPLETE, -60, "incomplete", "the content did not become complete")                        \
    X(BODY, -61, "body", "the body is not a valid canonical body")                                 \
    X(ZSTD, -62, "zstd", "the zstd frame is damaged")                                              \
    X(ZSIZE, -63, "zsize", "the zstd frame does not state the signed size")                        \
    X(ZWINDOW, -64, "zwindow", "the zstd window is above the limit")                               \
    X(ZTRAILING, -65, "ztrailing", "there are bytes after the zstd frame")                         \
    X(ZEMPTY, -66, "zempty", "the zstd input is empty or holds skippable frames only")             \
    X(NO_BASE, -67, "no_base", "the base content of a delta is not here")                          \
    X(APP_REJECT, -68, "app_reject", "the application's validator refused the content")            \
    X(GONE, -69, "gone", "the sender does not hold the object any more")                           \
    X(CRASH_LOOP, -70, "crash_loop",                                                               \
      "the process ended again and again soon after it served the content")                        \
    /* Documents. */                                                                               \
    X(SYNTAX, -80, "syntax", "the document is not valid JSON")                                     \
    X(DUPLICATE_KEY, -81, "duplicate_key", "an object holds the same key twice")                   \
    X(DEPTH, -82, "depth", "the document is nested too deeply")                                    \
    X(ENCODING, -83, "encoding", "a string is not valid UTF-8, or holds NUL or a lone surrogate")  \
    X(NUMBER, -84, "number", "a number cannot be represented exactly in canonical JSON")           \
    X(TYPE, -85, "type", "the value has another type than the one asked for")                      \
    X(SCOPE_NAME, -86, "scope_name", "the scope path is not well formed")                          \
    X(DOCUMENT_SIZE, -87, "document_size", "the document has more bytes than its scope may have")  \
    X(KEYS, -88, "keys", "the document has more values than its scope may have")                   \
    X(SCOPE_COUNT, -89, "scope_count", "the tenant has as many scopes as it may have")             \
    /* Store, releases and cluster. */                                                             \
    X(CONFLICT, -100, "conflict", "the expected revision or version is not the current one")       \
    X(STATE, -101, "state", "the release state does not allow this transition")                    \
    X(CORRUPT, -102, "corrupt", "stored bytes do not match their digest")                          \
    X(NO_SPACE, -103, "no_space", "the disk is full; the store is read-only until there is room")  \
    X(SCHEMA, -104, "schema", "the store was written by a newer or unknown version")               \
    X(NOT_OWNER, -105, "not_owner", "this node does not own the shard")                            \
    X(COLLISION, -106, "collision", "another scope has the same scope id")                         \
    /* JSON Schemas. */                                                                            \
    X(SCHEMA_INVALID, -107, "schema_invalid",                                                      \
      "the JSON Schema is not valid: a keyword has a value that it cannot have")                   \
    X(SCHEMA_UNSUPPORTED, -108, "schema_unsupported",                                              \
      "the JSON Schema uses a keyword or a reference that this build does not support")            \
    X(SCHEMA_MISMATCH, -109, "schema_mismatch", "the document does not fit its JSON Schema")       \
    X(VALIDATION, -110, "validation",                                                              \
      "a limit or a validator of the scope's settings refuses the change")                         \
    /* After a restore. */                                                                         \
    X(REGRESS, -111, "regress",                                                                    \
      "consumers have seen more than this store holds: an older backup was put back")              \
    /* Who may. */                                                                                 \
    X(APPROVAL, -115, "approval", "the revision lacks the approval of others than its author")

enum confcast_error {
    CONFCAST_OK = 0,
#define CONFCAST_ERROR_ENUM_(name, number, word, text) CONFCAST_ERR_##name = number,
    CONFCAST_ERRORS(CONFCAST_ERROR_ENUM_)
#undef CONFCAST_ERROR_ENUM_
};

/* The short word of a code ("digest", "rollback", ...): stable, fit for counters and JSON.  "ok"
 * for 0, "unknown" for a number that is no code.  Never NULL; static storage; any thread. */
const char *confcast_error_word(int code);

/* One sentence for people.  Never NULL; static storage; any thread. */
const char *confcast_error_text(int code);

#ifdef __cplusplus
}
#endif

#endif
