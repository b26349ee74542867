#include "controlplane/auth/role.h"

#include <stddef.h>
#include <string.h>

#include "confcast/error.h"

#define BIT(right) (1u << CFC_RIGHT_##right)

static const char *const words[CFC_ROLE_COUNT] = {
#define WORD_(name, word) word,
    CFC_ROLES(WORD_)
#undef WORD_
};

/* The table. */
static const unsigned rights[CFC_ROLE_COUNT] = {
    [CFC_ROLE_VIEWER] = BIT(PUBLIC) | BIT(READ),
    [CFC_ROLE_AUTHOR] = BIT(PUBLIC) | BIT(READ) | BIT(WRITE),
    [CFC_ROLE_APPROVER] = BIT(PUBLIC) | BIT(READ) | BIT(APPROVE),
    [CFC_ROLE_RELEASER] = BIT(PUBLIC) | BIT(READ) | BIT(RELEASE),
    [CFC_ROLE_OPERATOR] =
        BIT(PUBLIC) | BIT(READ) | BIT(WRITE) | BIT(APPROVE) | BIT(RELEASE) | BIT(OPERATE),
};

const char *
cfc_role_word(enum cfc_role role)
{
    return words[role];
}

int
cfc_role_parse(const char *word, enum cfc_role *role)
{
    for (int i = 0; i < CFC_ROLE_COUNT; i++) {
        if (strcmp(words[i], word) == 0) {
            *role = (enum cfc_role)i;
            return CONFCAST_OK;
        }
    }
    return CONFCAST_ERR_INVALID;
}

bool
cfc_role_gives(enum cfc_role role, enum cfc_right right)
{
    return (rights[role] & 1u << right) != 0;
}

/* The scope itself and what is below it: "acme" holds "acme/eu" and not "acme2". */
static bool
holds(const char *prefix, const char *scope)
{
    size_t size = strlen(prefix);

    if (size == 0) {
        return true;
    }
    return scope != NULL && strncmp(prefix, scope, size) == 0 &&
           (scope[size] == '\0' || scope[size] == '/');
}

bool
cfc_grants_allow(const struct cfc_grant *grants, uint32_t count, enum cfc_right right,
                 const char *scope)
{
    for (uint32_t i = 0; i < count; i++) {
        for (int role = 0; role < CFC_ROLE_COUNT; role++) {
            if ((grants[i].roles & 1u << role) != 0 && cfc_role_gives((enum cfc_role)role, right) &&
                holds(grants[i].scope, scope)) {
                return true;
            }
        }
    }
    return false;
}
