/* Who may do what: roles, the rights that they give, and grants of roles over scopes.  The one
 * table of it is in role.c; docs/operators.md shows it to people.
 *
 * What is not granted is denied.  No state; any thread. */
#ifndef CFC_AUTH_ROLE_H
#define CFC_AUTH_ROLE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base/scope.h"

#define CFC_ROLES(X)                                                                               \
    X(VIEWER, "viewer")     /* reads */                                                            \
    X(AUTHOR, "author")     /* writes definitions */                                               \
    X(APPROVER, "approver") /* approves what others wrote */                                       \
    X(RELEASER, "releaser") /* decides what consumers get */                                       \
    X(OPERATOR, "operator") /* all of it, and settings, tokens and roles */

enum cfc_role {
#define CFC_ENUM_(name, word) CFC_ROLE_##name,
    CFC_ROLES(CFC_ENUM_)
#undef CFC_ENUM_
    CFC_ROLE_COUNT
};

/* What a route asks for.  Zero is no right, so that a route whose rule was forgotten is found. */
enum cfc_right {
    CFC_RIGHT_UNSET,
    CFC_RIGHT_PUBLIC, /* nothing: anybody, without credentials */
    CFC_RIGHT_READ,
    CFC_RIGHT_WRITE,   /* definitions and schemas */
    CFC_RIGHT_APPROVE, /* approvals */
    CFC_RIGHT_RELEASE, /* release actions and layers */
    CFC_RIGHT_OPERATE, /* settings, tokens, roles, the node */
    CFC_RIGHT_CONSUME, /* to be a consumer: no role gives it, only a consumer's credential */
    CFC_RIGHT_IN_BODY, /* the scopes are in the body: the handler asks for each */
    CFC_RIGHT_COUNT
};

enum {
    CFC_GRANTS_MAX = 16, /* of one identity */
};

struct cfc_grant {
    uint8_t roles;                      /* bit 1 << enum cfc_role */
    char scope[CFC_SCOPE_SIZE_MAX + 1]; /* this scope and all below it; "" = all scopes */
};

const char *cfc_role_word(enum cfc_role role);
/* CONFCAST_ERR_INVALID: no such role. */
int cfc_role_parse(const char *word, enum cfc_role *role);

/* Whether a role gives a right.  Never for UNSET and IN_BODY. */
bool cfc_role_gives(enum cfc_role role, enum cfc_right right);

/* Whether grants give a right over a scope; NULL = over all of them, as for what is of no scope. */
bool cfc_grants_allow(const struct cfc_grant *grants, uint32_t count, enum cfc_right right,
                      const char *scope);

#endif
