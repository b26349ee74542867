/* The texts of rollout strategies: "all", "canary:5%", "stages:1%,25%,100%", "label:zone=eu-1". */
#include <stdio.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/release.h"
#include "protocol/base/scope.h"

enum {
    PPM_PER_PERCENT = 10000
};

bool
cfc_strategy_is_all(const struct cfc_strategy *strategy)
{
    return strategy->label_key[0] == '\0' && strategy->stage_count == 1 &&
           strategy->stage_ppm[0] == CFC_STAGE_PPM_ALL;
}

/* "12.5%" at *text; steps over it.  0 when there is none: shares are above 0. */
static uint32_t
parse_share(const char **text)
{
    const char *p = *text;
    uint32_t ppm = 0;
    uint32_t unit = PPM_PER_PERCENT / 10;

    if (*p < '0' || *p > '9') {
        return 0;
    }
    for (; *p >= '0' && *p <= '9'; p++) {
        ppm = ppm * 10 + (uint32_t)(*p - '0') * PPM_PER_PERCENT;
        if (ppm > CFC_STAGE_PPM_ALL) {
            return 0;
        }
    }
    if (*p == '.') {
        p++;
        if (*p < '0' || *p > '9') {
            return 0;
        }
        for (; *p >= '0' && *p <= '9'; p++) {
            if (unit == 0) {
                return 0;
            }
            ppm += (uint32_t)(*p - '0') * unit;
            unit /= 10;
        }
    }
    if (*p != '%' || ppm > CFC_STAGE_PPM_ALL) {
        return 0;
    }
    *text = p + 1;
    return ppm;
}

int
cfc_share_parse(const char *text, uint32_t *ppm)
{
    uint32_t share;

    if (strcmp(text, "0%") == 0) {
        *ppm = 0;
        return CONFCAST_OK;
    }
    share = parse_share(&text);
    if (share == 0 || *text != '\0') {
        return CONFCAST_ERR_INVALID;
    }
    *ppm = share;
    return CONFCAST_OK;
}

static int
parse_stages(const char *p, struct cfc_strategy *strategy)
{
    uint32_t last = 0;

    for (;;) {
        uint32_t ppm = parse_share(&p);

        if (ppm <= last) {
            return CONFCAST_ERR_INVALID;
        }
        last = ppm;
        /* Advancing beyond the last share is 100 % anyway. */
        if (ppm == CFC_STAGE_PPM_ALL) {
            break;
        }
        if (strategy->stage_count == CFC_STAGE_COUNT_MAX) {
            return CONFCAST_ERR_INVALID;
        }
        strategy->stage_ppm[strategy->stage_count++] = ppm;
        if (*p != ',') {
            break;
        }
        p++;
    }
    return *p == '\0' && strategy->stage_count > 0 ? CONFCAST_OK : CONFCAST_ERR_INVALID;
}

static int
parse_label(const char *p, struct cfc_strategy *strategy)
{
    const char *equals = strchr(p, '=');
    size_t key_size;
    size_t value_size;

    if (equals == NULL) {
        return CONFCAST_ERR_INVALID;
    }
    key_size = (size_t)(equals - p);
    value_size = strlen(equals + 1);
    if (cfc_label_check(p, key_size, equals + 1, value_size) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    memcpy(strategy->label_key, p, key_size);
    memcpy(strategy->label_value, equals + 1, value_size);
    strategy->stage_count = 1;
    strategy->stage_ppm[0] = CFC_STAGE_PPM_ALL;
    return CONFCAST_OK;
}

int
cfc_strategy_parse(const char *text, struct cfc_strategy *strategy)
{
    struct cfc_strategy parsed = {0};
    int error;

    if (strcmp(text, "all") == 0) {
        parsed.stage_count = 1;
        parsed.stage_ppm[0] = CFC_STAGE_PPM_ALL;
        error = CONFCAST_OK;
    } else if (strncmp(text, "canary:", 7) == 0) {
        error = strchr(text, ',') == NULL ? parse_stages(text + 7, &parsed) : CONFCAST_ERR_INVALID;
    } else if (strncmp(text, "stages:", 7) == 0) {
        error = parse_stages(text + 7, &parsed);
    } else {
        error = parse_label(strncmp(text, "label:", 6) == 0 ? text + 6 : text, &parsed);
    }
    if (error == CONFCAST_OK) {
        *strategy = parsed;
    }
    return error;
}

/* "12.5%": no zeroes at the end. */
static size_t
format_share(char *out, size_t capacity, uint32_t ppm)
{
    uint32_t whole = ppm / PPM_PER_PERCENT;
    uint32_t rest = ppm % PPM_PER_PERCENT;
    int digits = 4;

    if (rest == 0) {
        return (size_t)snprintf(out, capacity, "%u%%", whole);
    }
    while (rest % 10 == 0) {
        rest /= 10;
        digits--;
    }
    return (size_t)snprintf(out, capacity, "%u.%0*u%%", whole, digits, rest);
}

size_t
cfc_strategy_format(const struct cfc_strategy *strategy, char text[CFC_STRATEGY_TEXT_MAX])
{
    size_t size;

    if (cfc_strategy_is_all(strategy)) {
        return (size_t)snprintf(text, CFC_STRATEGY_TEXT_MAX, "all");
    }
    if (strategy->label_key[0] != '\0') {
        return (size_t)snprintf(text, CFC_STRATEGY_TEXT_MAX, "label:%s=%s", strategy->label_key,
                                strategy->label_value);
    }
    size = (size_t)snprintf(text, CFC_STRATEGY_TEXT_MAX, "%s",
                            strategy->stage_count == 1 ? "canary:" : "stages:");
    for (uint32_t i = 0; i < strategy->stage_count; i++) {
        if (i > 0) {
            text[size++] = ',';
        }
        size += format_share(text + size, CFC_STRATEGY_TEXT_MAX - size, strategy->stage_ppm[i]);
    }
    return size;
}
