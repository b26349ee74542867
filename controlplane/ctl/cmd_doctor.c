/* doctor: what keeps a fleet from working, and what to do about it. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/doctor.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"
#include "controlplane/ctl/terminal.h"
#include "controlplane/keys/files.h"
#include "controlplane/keys/keys.h"

enum {
    GROUP_WAIT_MS_DEFAULT = 5000, /* five beacons */
    GROUP_WAIT_MS_MAX = 600000,
};

static const char *
word_of_exit(int rc)
{
    return rc == CFC_EXIT_FORBIDDEN ? "it does not let us in" : "it does not answer";
}

/* The daemon, and through it the engine; *server_unix_s is the time in its answer. */
static void
check_daemon(struct cfc_ctl *ctl, struct cfc_doctor *doctor, int64_t *server_unix_s)
{
    struct cfc_ctl_response response;
    struct cfc_ctl_path path;
    json_t *status = NULL;
    const json_t *node;
    int rc;

    cfc_ctl_path_init(&path, "/readyz", NULL);
    rc = cfc_ctl_call(ctl, "GET", &path, NULL, 0, &response);
    *server_unix_s = response.unix_s;
    cfc_ctl_response_free(&response);
    if (rc != CFC_EXIT_OK) {
        cfc_doctor_add(doctor, "daemon", CFC_VERDICT_FAIL,
                       "is confcastd up, and is --server right? Its log says more", "%s: %s",
                       ctl->server, word_of_exit(rc));
        return;
    }
    cfc_doctor_add(doctor, "daemon", CFC_VERDICT_OK, "", "%s is ready", ctl->server);
    cfc_ctl_path_init(&path, "/v1/status", NULL);
    rc = cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, &status);
    node = json_object_get(status, "node");
    if (rc != CFC_EXIT_OK) {
        cfc_doctor_add(doctor, "engine", CFC_VERDICT_WARN,
                       "a viewer of * may ask: --token-file, --cert", "unknown: %s",
                       word_of_exit(rc));
    } else if (!json_is_true(json_object_get(node, "publishes"))) {
        cfc_doctor_add(doctor, "engine", CFC_VERDICT_WARN,
                       "start confcastd with --keys and --engine-socket", "confcastd has none");
    } else if (!json_is_true(json_object_get(node, "engine_connected"))) {
        cfc_doctor_add(
            doctor, "engine", CFC_VERDICT_FAIL,
            "start confcast-dataplane with --control at the same path as --engine-socket",
            "confcastd does not reach it");
    } else if (json_is_true(json_object_get(node, "refusing"))) {
        cfc_doctor_add(
            doctor, "engine", CFC_VERDICT_FAIL,
            "the fleet has seen more than this store holds: docs/operators.md, restoring",
            "confcastd refuses to publish");
    } else {
        cfc_doctor_add(doctor, "engine", CFC_VERDICT_OK, "", "connected, %lld consumers known",
                       json_integer_value(json_object_get(node, "consumers")));
    }
    json_decref(status);
}

/* The fleet file of --fleet, or that of --keys; NULL (said as a row, where it was named). */
static struct cfc_fleet *
load_fleet(struct cfc_doctor *doctor, const struct cfc_ctl_args *args)
{
    const char *file = cfc_ctl_option(args, "fleet");
    const char *keys = cfc_ctl_option(args, "keys");
    char why[CFC_KEYS_WHY_SIZE] = "";
    struct cfc_fleet *fleet = calloc(1, sizeof(*fleet));
    char *bytes = NULL;
    size_t size = 0;
    int rc = CONFCAST_ERR_NOT_FOUND;

    if (fleet != NULL && file != NULL) {
        rc = cfc_file_read(file, CFC_FLEET_FILE_SIZE_MAX, false, &bytes, &size);
        rc = rc == CONFCAST_OK ? cfc_fleet_parse(bytes, size, NULL, fleet) : rc;
        free(bytes);
        if (rc != CONFCAST_OK) {
            cfc_doctor_add(doctor, "fleet.json", CFC_VERDICT_FAIL,
                           "take the one that confcastctl key init made", "%s: %s", file,
                           confcast_error_text(rc));
        }
    } else if (fleet != NULL && keys != NULL) {
        rc = cfc_keys_load_fleet(keys, fleet, why);
    }
    if (rc != CONFCAST_OK) {
        free(fleet);
        return NULL;
    }
    return fleet;
}

static int
print_rows(const struct cfc_ctl *ctl, const struct cfc_doctor *doctor)
{
    static const struct cfc_ctl_column columns[] = {
        {"RESULT", "result"}, {"CHECK", "check"}, {"DETAIL", "detail"}};
    json_t *row;
    json_t *answer;
    size_t i;
    int rc = CFC_EXIT_OK;

    if (ctl->format == CFC_FORMAT_TABLE) {
        cfc_grid_write(stdout, doctor->rows, columns, sizeof(columns) / sizeof(columns[0]),
                       cfc_terminal_has_color(stdout));
        json_array_foreach(doctor->rows, i, row)
        {
            const char *advice = json_string_value(json_object_get(row, "advice"));

            if (advice != NULL && advice[0] != '\0') {
                printf("%s: %s\n", json_string_value(json_object_get(row, "check")), advice);
            }
        }
    } else {
        answer = json_pack("{sO sb}", "checks", doctor->rows, "healthy", !doctor->has_failed);
        rc = cfc_ctl_print_machine(ctl, answer);
        json_decref(answer);
    }
    return rc == CFC_EXIT_OK && doctor->has_failed ? CFC_EXIT_NEGATIVE : rc;
}

int
cfc_ctl_doctor(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *interface = cfc_ctl_option(args, "interface");
    const char *data = cfc_ctl_option(args, "data");
    const char *keys = cfc_ctl_option(args, "keys");
    const char *wait = cfc_ctl_option(args, "wait");
    struct cfc_doctor doctor = {.rows = json_array()};
    uint64_t wait_ms = GROUP_WAIT_MS_DEFAULT;
    int64_t server_unix_s = 0;
    struct cfc_fleet *fleet;
    int rc;

    if (wait != NULL && (!cfc_ctl_duration_ms(wait, &wait_ms) || wait_ms > GROUP_WAIT_MS_MAX)) {
        json_decref(doctor.rows);
        return cfc_ctl_fail(CFC_EXIT_USAGE, "--wait needs a time like 5s");
    }
    ctl->is_quiet = true;
    if (!cfc_ctl_has(args, "local")) {
        check_daemon(ctl, &doctor, &server_unix_s);
    }
    cfc_doctor_clock(&doctor, server_unix_s);
    cfc_doctor_huge_pages(&doctor, "");
    cfc_doctor_receive_buffer(&doctor, "");
    if (data != NULL) {
        cfc_doctor_space(&doctor, data);
    }
    if (keys != NULL) {
        cfc_doctor_keys(&doctor, keys);
    }
    fleet = load_fleet(&doctor, args);
    if (fleet != NULL) {
        cfc_doctor_memberships(&doctor, "", fleet->group_count);
    }
    if (interface != NULL) {
        cfc_doctor_interface(&doctor, interface);
        cfc_doctor_mtu(&doctor, interface, fleet);
        cfc_doctor_querier(&doctor, interface);
        if (fleet != NULL) {
            cfc_doctor_groups(&doctor, interface, fleet, wait_ms);
        }
    }
    rc = print_rows(ctl, &doctor);
    if (ctl->format == CFC_FORMAT_TABLE && (interface == NULL || fleet == NULL)) {
        puts("not looked at: the network; name it by --interface IF and --fleet FILE");
    }
    free(fleet);
    json_decref(doctor.rows);
    return rc;
}
