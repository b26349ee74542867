#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/ctl/doctor.h"
#include "controlplane/keys/keys.h"

enum {
    RECEIVE_BUFFER_WANTED = 1 << 20, /* docs/performance.md: less loses at full rate */
    CLOCK_WARN_S = 2,                /* the server's time comes in whole seconds */
    CLOCK_FAIL_S = 60,
};

#define YEAR_2024_UNIX_S    INT64_C(1704067200)
#define SPACE_WARN_BYTES    (UINT64_C(1) << 30)
#define SPACE_FAIL_BYTES    (UINT64_C(256) << 20)
#define SPACE_WARN_FRACTION 10 /* a tenth of the disk */

void
cfc_doctor_add(struct cfc_doctor *doctor, const char *check, enum cfc_verdict verdict,
               const char *advice, const char *detail, ...)
{
    static const char *const words[] = {"ok", "warn", "fail"};
    char text[512];
    va_list args;

    va_start(args, detail);
    vsnprintf(text, sizeof(text), detail, args);
    va_end(args);
    json_array_append_new(doctor->rows, json_pack("{ss ss ss ss}", "check", check, "result",
                                                  words[verdict], "detail", text, "advice",
                                                  verdict == CFC_VERDICT_OK ? "" : advice));
    doctor->has_failed = doctor->has_failed || verdict == CFC_VERDICT_FAIL;
}

/* A file that holds one whole number; false when it does not. */
static bool
read_number(const char *path, uint64_t *value)
{
    FILE *in = fopen(path, "re");
    bool is_read = in != NULL && fscanf(in, "%" SCNu64, value) == 1;

    if (in != NULL) {
        fclose(in);
    }
    return is_read;
}

void
cfc_doctor_huge_pages(struct cfc_doctor *doctor, const char *root)
{
    static const char advice[] =
        "confcast-dataplane works without, at a cost in TLB misses; "
        "echo 512 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages gives it 1 GiB";
    char path[PATH_MAX];
    uint64_t free_kb = 0;
    DIR *dir;
    const struct dirent *entry;

    snprintf(path, sizeof(path), "%s/sys/kernel/mm/hugepages", root);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        uint64_t size_kb;
        uint64_t count;

        if (sscanf(entry->d_name, "hugepages-%" SCNu64 "kB", &size_kb) != 1) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/sys/kernel/mm/hugepages/%s/free_hugepages", root,
                 entry->d_name);
        free_kb += read_number(path, &count) ? count * size_kb : 0;
    }
    if (dir != NULL) {
        closedir(dir);
    }
    if (free_kb == 0) {
        cfc_doctor_add(doctor, "huge pages", CFC_VERDICT_WARN, advice, "none are free");
    } else {
        cfc_doctor_add(doctor, "huge pages", CFC_VERDICT_OK, "", "%" PRIu64 " MiB are free",
                       free_kb / 1024);
    }
}

void
cfc_doctor_receive_buffer(struct cfc_doctor *doctor, const char *root)
{
    char path[PATH_MAX];
    uint64_t bytes = 0;

    snprintf(path, sizeof(path), "%s/proc/sys/net/core/rmem_max", root);
    if (!read_number(path, &bytes)) {
        cfc_doctor_add(doctor, "receive buffer", CFC_VERDICT_WARN, "is /proc mounted?",
                       "cannot read net.core.rmem_max");
    } else if (bytes < RECEIVE_BUFFER_WANTED) {
        cfc_doctor_add(doctor, "receive buffer", CFC_VERDICT_WARN,
                       "consumers without CAP_NET_ADMIN lose packets at full rate: "
                       "sysctl -w net.core.rmem_max=4194304",
                       "net.core.rmem_max is %" PRIu64, bytes);
    } else {
        cfc_doctor_add(doctor, "receive buffer", CFC_VERDICT_OK, "",
                       "net.core.rmem_max is %" PRIu64, bytes);
    }
}

void
cfc_doctor_memberships(struct cfc_doctor *doctor, const char *root, uint32_t group_count)
{
    char path[PATH_MAX];
    uint64_t max = 0;

    snprintf(path, sizeof(path), "%s/proc/sys/net/ipv4/igmp_max_memberships", root);
    if (!read_number(path, &max)) {
        cfc_doctor_add(doctor, "memberships", CFC_VERDICT_WARN, "is /proc mounted?",
                       "cannot read net.ipv4.igmp_max_memberships");
    } else if (max < (uint64_t)group_count + 1) {
        cfc_doctor_add(
            doctor, "memberships", CFC_VERDICT_FAIL, "sysctl -w net.ipv4.igmp_max_memberships=20",
            "the fleet has %" PRIu32 " groups, a socket may join %" PRIu64, group_count + 1, max);
    } else {
        cfc_doctor_add(doctor, "memberships", CFC_VERDICT_OK, "",
                       "%" PRIu32 " groups of %" PRIu64 " that a socket may join", group_count + 1,
                       max);
    }
}

void
cfc_doctor_clock(struct cfc_doctor *doctor, int64_t server_unix_s)
{
    static const char advice[] =
        "run chrony or another NTP client; --activate at=TIME counts on clocks within a second";
    struct timex state = {0};
    bool is_kept = adjtimex(&state) != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
    int64_t now = (int64_t)time(NULL);
    int64_t apart = server_unix_s != 0 ? llabs(now - server_unix_s) : 0;

    if (now < YEAR_2024_UNIX_S || apart > CLOCK_FAIL_S) {
        cfc_doctor_add(doctor, "clock", CFC_VERDICT_FAIL, advice,
                       "it is %" PRId64 " s from the server's", apart);
    } else if (apart > CLOCK_WARN_S) {
        cfc_doctor_add(doctor, "clock", CFC_VERDICT_WARN, advice,
                       "it is %" PRId64 " s from the server's", apart);
    } else if (!is_kept) {
        cfc_doctor_add(doctor, "clock", CFC_VERDICT_WARN, advice,
                       "the kernel says that nothing keeps it right");
    } else {
        cfc_doctor_add(doctor, "clock", CFC_VERDICT_OK, "", "kept right%s",
                       server_unix_s != 0 ? ", and the server's agrees" : "");
    }
}

enum cfc_verdict
cfc_doctor_judge_space(uint64_t free_bytes, uint64_t total_bytes)
{
    if (free_bytes < SPACE_FAIL_BYTES) {
        return CFC_VERDICT_FAIL;
    }
    return free_bytes < SPACE_WARN_BYTES || free_bytes < total_bytes / SPACE_WARN_FRACTION
               ? CFC_VERDICT_WARN
               : CFC_VERDICT_OK;
}

void
cfc_doctor_space(struct cfc_doctor *doctor, const char *data_dir)
{
    struct statvfs fs;
    uint64_t free_bytes;

    if (statvfs(data_dir, &fs) != 0) {
        cfc_doctor_add(doctor, "store space", CFC_VERDICT_FAIL, "name the folder of --data",
                       "%s: %s", data_dir, strerror(errno));
        return;
    }
    free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    cfc_doctor_add(doctor, "store space",
                   cfc_doctor_judge_space(free_bytes, (uint64_t)fs.f_blocks * fs.f_frsize),
                   "a full disk makes the store read-only (507): make room or a bigger disk",
                   "%" PRIu64 " MiB are free of %" PRIu64, free_bytes >> 20,
                   ((uint64_t)fs.f_blocks * fs.f_frsize) >> 20);
}

/* The release key on disk must be one that the fleet file names, or consumers refuse what it
 * signs. */
static void
check_release_key(struct cfc_doctor *doctor, const char *keys_dir)
{
    struct cfc_fleet *fleet = malloc(sizeof(*fleet));
    struct cfc_signing_key key;
    char why[CFC_KEYS_WHY_SIZE] = "no memory";
    bool is_named = false;
    int rc = fleet != NULL ? cfc_keys_load_fleet(keys_dir, fleet, why) : CONFCAST_ERR_NO_MEMORY;

    if (rc == CONFCAST_OK) {
        rc = cfc_keys_load_signing(keys_dir, CFC_KEY_RELEASE, &key, why);
    }
    for (uint32_t i = 0; rc == CONFCAST_OK && i < fleet->release_keys.key_count; i++) {
        is_named = is_named || memcmp(fleet->release_keys.keys[i].public_key, key.public_key,
                                      sizeof(key.public_key)) == 0;
    }
    sodium_memzero(&key, sizeof(key));
    if (rc != CONFCAST_OK) {
        cfc_doctor_add(doctor, "fleet.json", CFC_VERDICT_FAIL,
                       "restore the folder that confcastctl key init made", "%s", why);
    } else if (!is_named) {
        cfc_doctor_add(doctor, "fleet.json", CFC_VERDICT_FAIL,
                       "consumers would refuse all that it signs: restore the key that belongs to "
                       "this fleet.json",
                       "it does not name release.key");
    } else {
        cfc_doctor_add(doctor, "fleet.json", CFC_VERDICT_OK, "",
                       "fleet %s, sequence %" PRIu64 ", signed, names release.key", fleet->name,
                       fleet->sequence);
    }
    free(fleet);
}

void
cfc_doctor_keys(struct cfc_doctor *doctor, const char *keys_dir)
{
    static const enum cfc_key_kind needed[] = {CFC_KEY_RELEASE, CFC_KEY_SESSION, CFC_KEY_REPORT};
    char why[CFC_KEYS_WHY_SIZE] = "";
    char path[PATH_MAX];
    uint8_t key[32];

    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        char name[32];

        snprintf(name, sizeof(name), "%s.key", cfc_key_kind_word(needed[i]));
        if (cfc_keys_load(keys_dir, needed[i], key, why) == CONFCAST_OK) {
            cfc_doctor_add(doctor, name, CFC_VERDICT_OK, "", "only its owner can read it");
        } else {
            cfc_doctor_add(doctor, name, CFC_VERDICT_FAIL,
                           "a key is a regular file of mode 600 that confcastctl key init made",
                           "%s", why);
        }
        sodium_memzero(key, sizeof(key));
    }
    snprintf(path, sizeof(path), "%s/%s.key", keys_dir, cfc_key_kind_word(CFC_KEY_ROOT));
    if (access(path, F_OK) == 0) {
        cfc_doctor_add(doctor, "root.key", CFC_VERDICT_WARN,
                       "take it off-line: nothing needs it at run time, and who has it owns the "
                       "fleet",
                       "it lies in %s", keys_dir);
    } else {
        cfc_doctor_add(doctor, "root.key", CFC_VERDICT_OK, "", "not on this host");
    }
    check_release_key(doctor, keys_dir);
}
