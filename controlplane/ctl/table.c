#include "controlplane/ctl/table.h"

#include "controlplane/ctl/commands.h"

#define OPTIONS(...) ((const struct cfc_ctl_option[]){__VA_ARGS__, {NULL, '\0', NULL, NULL}})

/* Options that several commands have. */
#define MESSAGE                                                                                    \
    {                                                                                              \
        "message", 'm', "TEXT", "why, for the history and the audit log"                           \
    }
#define DRY_RUN                                                                                    \
    {                                                                                              \
        "dry-run", '\0', NULL, "check everything, say what would change, write nothing"            \
    }
#define OVERRIDE                                                                                   \
    {                                                                                              \
        "override", '\0', NULL, "allow one promotion beyond the limits that settings give"         \
    }
#define EXPECTED_REVISION                                                                          \
    {                                                                                              \
        "expected-revision", '\0', "N", "the revision that is changed, else a conflict; 0: none"   \
    }
#define STRATEGY                                                                                   \
    {                                                                                              \
        "strategy", '\0', "S", "all, canary:P%, stages:P%,P%,..., KEY=VALUE: who gets it first"    \
    }
#define INPUT                                                                                      \
    {                                                                                              \
        "file", 'f', "FILE", "what to send; - is standard input"                                   \
    }
#define REVISION                                                                                   \
    {                                                                                              \
        "revision", '\0', "N", "this revision instead of the latest"                               \
    }
#define UNDER                                                                                      \
    {                                                                                              \
        "under", '\0', "SCOPE", "only this scope and what is below it"                             \
    }
#define META                                                                                       \
    {                                                                                              \
        "meta", '\0', NULL, "with revision, author, time, digest around it"                        \
    }
#define LIMIT                                                                                      \
    {                                                                                              \
        "limit", '\0', "N", "at most so many (100; up to 1000)"                                    \
    }
#define ACTIVATE                                                                                   \
    {                                                                                              \
        "activate", '\0', "WHEN", "now, hold, at=TIME (RFC 3339) or at=+30s"                       \
    }
#define REQUIRE_PREPARED                                                                           \
    {                                                                                              \
        "require-prepared", '\0', "SHARE", "not before so many hold the bytes, like 99%"           \
    }
#define EXPECTED_RELEASE                                                                           \
    {                                                                                              \
        "expected-release-version", '\0', "N", "the release that is changed, else a conflict"      \
    }
#define ACTION OPTIONS(MESSAGE, EXPECTED_RELEASE, DRY_RUN)

const struct cfc_ctl_option cfc_ctl_program_options[] = {
    {"server", 's', "URL",
     "http://HOST:PORT, https://HOST:PORT or unix:/PATH; else CONFCAST_SERVER, "
     "else " CFC_CTL_SERVER_DEFAULT},
    {"output", 'o', "table|json|yaml", "how results are printed (table)"},
    {"token-file", '\0', "FILE",
     "a bearer token, in a file that only its owner can read; else CONFCAST_TOKEN_FILE, else "
     "CONFCAST_TOKEN"},
    {"cacert", '\0', "FILE",
     "the authorities to believe, PEM; else CONFCAST_CACERT, else the system's"},
    {"cert", '\0', "FILE", "a client certificate, PEM; else CONFCAST_CERT"},
    {"key", '\0', "FILE", "its key, in a file that only its owner can read; else CONFCAST_KEY"},
    {"author", '\0', "NAME",
     "whom the audit log names where no credentials prove one; else CONFCAST_AUTHOR, else the "
     "user"},
    {"idempotency-key", '\0', "K", "the same key again repeats the answer, not the change"},
    {"help", 'h', NULL, "this, or how one command is used"},
    {"version", '\0', NULL, "the version of confcastctl"},
    {NULL, '\0', NULL, NULL},
};

const struct cfc_ctl_word cfc_ctl_environment[] = {
    {"CONFCAST_SERVER", "the server, unless --server names one"},
    {"CONFCAST_TOKEN_FILE", "a file with a bearer token, unless --token-file names one"},
    {"CONFCAST_TOKEN", "the token itself, when neither names a file"},
    {"CONFCAST_CACERT", "the authorities to believe, unless --cacert names them"},
    {"CONFCAST_CERT", "a client certificate, unless --cert names one"},
    {"CONFCAST_KEY", "its key, unless --key names one"},
    {"CONFCAST_AUTHOR", "whom the audit log names where no credentials prove one, unless --author"},
    {"NO_COLOR", "no colours, also on a terminal"},
    {NULL, NULL},
};

const struct cfc_ctl_word cfc_ctl_exits[] = {
    {"0", "done"},
    {"1", "the answer is no: it differs, was not reached, does not fit"},
    {"2", "no connection, or the server cannot serve now"},
    {"3", "bad input or usage"},
    {"4", "conflict: somebody was faster, the state does not allow it, or a file exists already"},
    {"5", "validation refused it"},
    {"6", "not within the time given"},
    {"7", "fenced, or another node owns the scope"},
    {"8", "not allowed; also a secret file that others can touch"},
    {"9", "no such scope, revision, consumer or file"},
    {NULL, NULL},
};

const struct cfc_ctl_command cfc_ctl_commands[] = {
    {"put", "SCOPE -f FILE", "write the next revision of a definition",
     OPTIONS(INPUT, {"promote", '\0', NULL, "and release it, in one step"}, STRATEGY,
             EXPECTED_REVISION, MESSAGE, DRY_RUN, OVERRIDE),
     1, 1, cfc_ctl_put, "Definitions"},
    {"get", "SCOPE", "print a definition", OPTIONS(REVISION, META), 1, 1, cfc_ctl_get, NULL},
    {"delete", "SCOPE", "write a tombstone; what was released becomes DELETED",
     OPTIONS(EXPECTED_REVISION, MESSAGE, DRY_RUN), 1, 1, cfc_ctl_delete, NULL},
    {"history", "SCOPE", "list revisions, newest first",
     OPTIONS(LIMIT, {"before", '\0', "REV", "begin below this revision"}), 1, 1, cfc_ctl_history,
     NULL},
    {"diff", "SCOPE [A [B]]",
     "compare revisions: the active one (or A) with the latest (or B); exit 1 when they differ",
     NULL, 1, 3, cfc_ctl_diff, NULL},
    {"batch", "-f FILE", "several puts, deletes and release actions in one step",
     OPTIONS(INPUT, MESSAGE, DRY_RUN, OVERRIDE), 0, 0, cfc_ctl_batch, NULL},
    {"apply", "-d DIR", "make a tree of files the desired state: show the plan, then change",
     OPTIONS({"dir", 'd', "DIR",
              "the tree: SCOPE.json, SCOPE.schema.json, .settings.json, .layers.json"},
             {"promote", '\0', NULL, "and release what is written, in the same step"}, STRATEGY,
             {"prune", '\0', NULL, "delete what the tree does not have, of tenants that it has"},
             UNDER, {"check", '\0', NULL, "only the plan; exit 1 when there is something to do"},
             MESSAGE, DRY_RUN, OVERRIDE),
     0, 0, cfc_ctl_apply, NULL},
    {"export", "-d DIR", "write the latest of all scopes into a tree that apply reads",
     OPTIONS({"dir", 'd', "DIR", "where to; made when it is not there"}, UNDER,
             {"force", '\0', NULL, "replace files that say something else"}),
     0, 0, cfc_ctl_export, NULL},

    {"effective", "SCOPE", "print what consumers of a scope get",
     OPTIONS({"candidate", '\0', NULL, "what those in a rollout's candidate arm get"},
             {"explain", 'e', "POINTER",
              "why: the value at a JSON Pointer, the layer that wins, the losers"},
             META),
     1, 1, cfc_ctl_effective, "What consumers get"},
    {"layers", "SCOPE", "print what is merged for a scope", NULL, 1, 1, cfc_ctl_layers_show, NULL},
    {"layers show", "SCOPE", "the same", NULL, 1, 1, cfc_ctl_layers_show, NULL},
    {"layers set", "SCOPE [LAYER...]", "set what is merged, in this order",
     OPTIONS({"default", '\0', NULL, "back to the prefixes of the path"},
             {"expected-version", '\0', "N", "the setting that is changed, else a conflict"},
             MESSAGE, DRY_RUN, OVERRIDE),
     1, 17, cfc_ctl_layers_set, NULL},
    {"schema", "SCOPE", "print the JSON Schema that is set for a scope", OPTIONS(REVISION, META), 1,
     1, cfc_ctl_rule_show, NULL},
    {"schema set", "SCOPE -f FILE",
     "hold what is promoted to a JSON Schema, for the scope and all that have it as a layer",
     OPTIONS(INPUT, EXPECTED_REVISION, MESSAGE, DRY_RUN), 1, 1, cfc_ctl_rule_set, NULL},
    {"settings", "SCOPE", "print what a scope sets", OPTIONS(REVISION, META), 1, 1,
     cfc_ctl_rule_show, NULL},
    {"settings set", "SCOPE [-f FILE | --approval N]",
     "set limits, validators, the propagation bound, approvals",
     OPTIONS(INPUT, {"approval", '\0', "N", "only this: approvals by others, or inherit"},
             EXPECTED_REVISION, MESSAGE, DRY_RUN),
     1, 1, cfc_ctl_rule_set, NULL},

    {"promote", "SCOPE [REV]", "release a revision (the latest)",
     OPTIONS(STRATEGY, {"bake", '\0', "TIME", "each stage advances by itself after it, like 10m"},
             ACTIVATE, REQUIRE_PREPARED,
             {"confirm-within", '\0', "TIME", "taken back by itself unless confirmed, like 5m"},
             OVERRIDE, MESSAGE, EXPECTED_RELEASE, DRY_RUN),
     1, 2, cfc_ctl_release, "Releases"},
    {"release", "SCOPE", "print the release state", NULL, 1, 1, cfc_ctl_show_release, NULL},
    {"advance", "SCOPE", "activate what waits for it, or go to the next stage of a rollout",
     OPTIONS(ACTIVATE, REQUIRE_PREPARED, MESSAGE, EXPECTED_RELEASE, DRY_RUN), 1, 1, cfc_ctl_release,
     NULL},
    {"confirm", "SCOPE", "keep what --confirm-within would take back", ACTION, 1, 1,
     cfc_ctl_release, NULL},
    {"pause", "SCOPE", "hold a rollout where it is", ACTION, 1, 1, cfc_ctl_release, NULL},
    {"resume", "SCOPE", "let a paused rollout go on", ACTION, 1, 1, cfc_ctl_release, NULL},
    {"abort", "SCOPE", "end a rollout; everybody is stable again", ACTION, 1, 1, cfc_ctl_release,
     NULL},
    {"rollback", "SCOPE", "go back to the previous revision, or to one that was active",
     OPTIONS({"to", '\0', "REV", "this one"}, MESSAGE, EXPECTED_RELEASE, DRY_RUN), 1, 1,
     cfc_ctl_release, NULL},
    {"disable", "SCOPE", "kill switch: the scope adds nothing to anyone", ACTION, 1, 1,
     cfc_ctl_release, NULL},
    {"enable", "SCOPE", "undo disable", ACTION, 1, 1, cfc_ctl_release, NULL},
    {"quarantine", "SCOPE REV", "forbid releasing a revision", ACTION, 2, 2, cfc_ctl_release, NULL},
    {"approve", "SCOPE REV DIGEST", "approve what another wrote, by the digest that was read",
     OPTIONS(MESSAGE, DRY_RUN), 3, 3, cfc_ctl_approve, NULL},

    {"status", "[SCOPE]", "published and applied, per scope",
     OPTIONS(
         {"watch", 'w', NULL, "go on: drawn over again on a terminal, elsewhere a line per change"},
         {"interval", '\0', "TIME", "ask again this often, instead of being told of changes"}),
     0, 1, cfc_ctl_status, "Views"},
    {"wait", "SCOPE", "wait until so many consumers serve what is published, or are prepared to",
     OPTIONS({"applied", '\0', "SHARE", "99.9% of them, or a count (100%)"},
             {"prepared", '\0', "SHARE", "the same, of those that hold the bytes"},
             {"version", '\0', "V", "at least this version (that in force now)"},
             {"timeout", '\0', "TIME", "then give up (60s); 0 asks once"}),
     1, 1, cfc_ctl_wait, NULL},
    {"consumers", "[ID]", "what consumers say they do",
     OPTIONS({"behind", '\0', NULL, "only those that do not serve what is published"},
             {"scope", '\0', "SCOPE", "only what they say of this scope"},
             {"label", '\0', "KEY=VALUE", "only those with this label"},
             {"state", '\0',
              "none|receiving|prepared|applied|rejected|reverted|degraded|unknown|cloned",
              "only those in this state"},
             {"after", '\0', "ID", "begin behind this one"}, LIMIT),
     0, 1, cfc_ctl_consumers, NULL},
    {"audit", "", "accepted changes, newest first; or the log as it is stored, or its check",
     OPTIONS(LIMIT, {"before", '\0', "N", "begin below this entry"},
             {"export", '\0', NULL, "every entry as it is stored, one a line, oldest first"},
             {"after", '\0', "N", "with --export: begin behind this entry"},
             {"verify", '\0', NULL, "check that each entry names the digest of the one before"},
             {"file", 'f', "FILE", "with --verify: an export, not the server; - is standard input"},
             {"head", '\0', "DIGEST", "with --verify: the log holds the entry of this digest"}),
     0, 0, cfc_ctl_audit, NULL},

    {"token create", "IDENTITY --role ROLE... --scope SCOPE",
     "make a bearer token; its text is shown this once",
     OPTIONS({"role", '\0', CFC_CTL_ROLES, "what it may do; repeat it"},
             {"scope", '\0', "SCOPE", "there and below; * is everywhere"},
             {"expires", '\0', "TIME", "its life, like 30d (90d)"},
             {"save", '\0', "FILE", "write the text there, mode 0600, and do not print it"}),
     1, 1, cfc_ctl_token_create, "Who may do what"},
    {"token list", "", "tokens, without their texts", NULL, 0, 0, cfc_ctl_token_list, NULL},
    {"token delete", "ID", "revoke a token at once", OPTIONS(MESSAGE), 1, 1, cfc_ctl_token_delete,
     NULL},
    {"role show", "", "which names of certificates and users have which roles", NULL, 0, 0,
     cfc_ctl_role_show, NULL},
    {"role set", "-f FILE", "replace all bindings: {\"bindings\": [{identity, roles, scope}]}",
     OPTIONS(INPUT,
             {"expected-version", '\0', "N", "the bindings that are changed, else a conflict"},
             MESSAGE),
     0, 0, cfc_ctl_role_set, NULL},
    {"role grant", "IDENTITY ROLE... --scope SCOPE", "add roles of a name over a scope",
     OPTIONS({"scope", '\0', "SCOPE", "there and below; * is everywhere"}, MESSAGE), 2, 6,
     cfc_ctl_role_change, NULL},
    {"role revoke", "IDENTITY [ROLE...]", "take roles (all) of a name away",
     OPTIONS({"scope", '\0', "SCOPE", "only those given over exactly this scope"}, MESSAGE), 1, 6,
     cfc_ctl_role_change, NULL},

    {"backup", "FILE|DIR", "take a backup of the control plane, while it runs", NULL, 1, 1,
     cfc_ctl_backup, "Backups"},
    {"restore", "FILE --data DIR",
     "make the data folder of a control plane from a backup, above all that consumers may have",
     OPTIONS({"data", '\0', "DIR", "the folder; must not exist, or be empty"},
             {"epoch-seen", '\0', "N", "highest epoch that anybody saw (a safe distance above)"},
             {"sequence-seen", '\0', "N", "highest version that anybody saw (the same)"},
             {"lift", '\0', NULL,
              "no FILE: raise the store that is there, which was put back "
              "by other means"}),
     0, 1, cfc_ctl_restore, NULL},

    {"doctor", "", "look for what keeps a fleet from working; exit 1 when something does",
     OPTIONS({"interface", 'i', "IF", "look at its link, its MTU and the IGMP querier behind it"},
             {"fleet", '\0', "FILE", "fleet.json: are its engines and groups within reach?"},
             {"keys", '\0', "DIR", "a key folder: modes of its files, and that they fit"},
             {"data", '\0', "DIR", "the store's folder: free space"},
             {"local", '\0', NULL, "only this host: do not ask the daemon"},
             {"wait", '\0', "TIME", "for the engine to be heard (5s)"}),
     0, 0, cfc_ctl_doctor, "This machine, and files"},
    {"key init", "--dir DIR --engine IP[:PORT]...", "make a fleet's keys and its signed fleet.json",
     OPTIONS({"dir", '\0', "DIR", "where to; made when it is not there"},
             {"engine", '\0', "IP[:PORT]", "where its engines are; repeat it"},
             {"fleet", '\0', "NAME", "the name of the fleet (fleet)"},
             {"group-base", '\0', "ADDRESS", "the first multicast group (239.192.0.0)"},
             {"group-count", '\0', "N", "data groups, 1 to 16 (4)"},
             {"port", '\0', "N", "UDP port of the groups, and of engines without one (7500)"},
             {"pull-url", '\0', "URL", "where consumers without multicast ask; repeat it"}),
     0, 0, cfc_ctl_key_init, NULL},
    {"key enroll", "--dir DIR --id ID -o FILE", "make the credential of a consumer",
     OPTIONS({"dir", '\0', "DIR", "the key folder"}, {"id", '\0', "ID", "the consumer's name"},
             {"label", '\0', "KEY=VALUE", "for rollouts by label; repeat it, up to 16"},
             {"output", 'o', "FILE", "where to; - is standard output"}),
     0, 0, cfc_ctl_key_enroll, NULL},
    {"key rotate", "--dir DIR", "begin to replace the release key of a running fleet, or go on",
     OPTIONS(
         {"dir", '\0', "DIR", "the key folder"},
         {"root", '\0', "FILE", "the root key, when it is not in the folder (not for --switch)"},
         {"switch", '\0', NULL, "the new key signs from the next start of confcastd on"},
         {"back", '\0', NULL, "undo --switch"},
         {"retire", '\0', NULL, "fleet.json trusts the old key no more; the old key is removed"}),
     0, 0, cfc_ctl_key_rotate, NULL},
    {"help", "[COMMAND]", "how a command is used; without one, which there are", NULL, 0, 2,
     cfc_ctl_help_about, NULL},
    {NULL, NULL, NULL, NULL, 0, 0, NULL, NULL},
};
