#include "confcast/error.h"

const char *
confcast_error_word(int code)
{
    switch (code) {
    case CONFCAST_OK:
        return "ok";
#define CASE(name, number, word, text)                                                             \
    case number:                                                                                   \
        return word;
        CONFCAST_ERRORS(CASE)
#undef CASE
    default:
        return "unknown";
    }
}

const char *
confcast_error_text(int code)
{
    switch (code) {
    case CONFCAST_OK:
        return "success";
#define CASE(name, number, word, text)                                                             \
    case number:                                                                                   \
        return text;
        CONFCAST_ERRORS(CASE)
#undef CASE
    default:
        return "unknown error code";
    }
}
