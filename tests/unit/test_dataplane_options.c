/* The engine's command line: what it means, and what is refused. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "confcast/error.h"
#include "dataplane/options.h"
#include "protocol/trust/fleet.h"
#include "tests/unit/cunit_main.h"

enum {
    ARGS_MAX = 64
};

#define KEY_HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* What every good command line has besides its port. */
#define REST                                                                                       \
    "--group-base", "239.77.0.1", "--group-count", "4", "--udp-port", "7500", "--session-key",     \
        "key", "--control", "sock"

static struct cfc_options options;

static bool
is_ipv4(const uint8_t *ip, uint32_t wanted)
{
    return memcmp(ip, (const uint8_t[CFC_IP_SIZE])CFC_NET_IPV4(wanted), CFC_IP_SIZE) == 0;
}

/* Parses up to the first NULL. */
static int
parse(const char *const *args)
{
    static char texts[ARGS_MAX][64];
    static char *argv[ARGS_MAX + 1];
    int argc = 1;

    argv[0] = texts[0];
    while (args[argc - 1] != NULL) {
        CU_ASSERT_FATAL(argc < ARGS_MAX);
        snprintf(texts[argc], sizeof(texts[argc]), "%s", args[argc - 1]);
        argv[argc] = texts[argc];
        argc++;
    }
    argv[argc] = NULL;
    return cfc_options_parse(argc, argv, &options);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void
an_interface_is_net_af_packet_unless_a_driver_is_named(void)
{
    CU_ASSERT_EQUAL_FATAL(PARSE("--port", "eth0", REST), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(options.driver, "net_af_packet");
    CU_ASSERT_STRING_EQUAL(options.interface, "eth0");
    CU_ASSERT_TRUE(options.is_doorbell_possible);
    CU_ASSERT_TRUE(options.is_kernel_answering);
    CU_ASSERT_EQUAL_FATAL(PARSE("--port", "net_af_packet:eth1", REST), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(options.interface, "eth1");
    CU_ASSERT_TRUE(options.is_doorbell_possible);
    CU_ASSERT_EQUAL_FATAL(PARSE("--port", "net_af_xdp:eth0", REST), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(options.driver, "net_af_xdp");
    CU_ASSERT_FALSE(options.is_doorbell_possible);
    CU_ASSERT_TRUE(options.is_kernel_answering);
}

static void
what_is_given_is_taken(void)
{
    CU_ASSERT_EQUAL_FATAL(
        PARSE("--allow", "0000:01:00.0", "--ip", "10.1.2.3/16", "--mtu", "9000", "--ttl", "1",
              "--rate", "10000", "--repair-rate", "8", "--scopes-max", "7", "--contents-max", "8",
              "--consumers-max", "9", "--lcore", "3", "--no-huge", "--linear", "--rate-floor", "16",
              "--loss-quantile", "80", "--loss-max", "7", "--outlier-loss", "0", REST),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(options.rate_floor_bytes, 2000000);
    CU_ASSERT_EQUAL(options.loss_quantile, 80);
    CU_ASSERT_EQUAL(options.loss_max, 7);
    CU_ASSERT_EQUAL(options.outlier_loss, 0);
    CU_ASSERT_STRING_EQUAL(options.allow, "0000:01:00.0");
    CU_ASSERT_TRUE(is_ipv4(options.ip, 0x0a010203));
    CU_ASSERT_EQUAL(options.mtu, 9000);
    CU_ASSERT_EQUAL(options.ttl, 1);
    CU_ASSERT_EQUAL(options.rate_bytes, UINT64_C(1250000000));
    CU_ASSERT_EQUAL(options.repair_rate_bytes, 1000000);
    CU_ASSERT_EQUAL(options.scopes_max, 7);
    CU_ASSERT_EQUAL(options.contents_max, 8);
    CU_ASSERT_EQUAL(options.consumers_max, 9);
    CU_ASSERT_EQUAL(options.lcore_count, 1);
    CU_ASSERT_EQUAL(options.core_count, 1);
    CU_ASSERT_EQUAL(options.cores[0], 3);
    CU_ASSERT_TRUE(options.is_huge_refused);
    CU_ASSERT_TRUE(options.is_linear);
    CU_ASSERT_TRUE(is_ipv4(options.group, 0xef4d0001));
    CU_ASSERT_EQUAL(options.group_count, 4);
    CU_ASSERT_EQUAL(options.port, 7500);
    CU_ASSERT_EQUAL(options.group_port, 7500);
    CU_ASSERT_STRING_EQUAL(options.control_path, "sock");
    CU_ASSERT_STRING_EQUAL(options.key_path, "key");
}

static void
what_is_not_given_has_a_default(void)
{
    CU_ASSERT_EQUAL_FATAL(PARSE("--port", "eth0", REST), CONFCAST_OK);
    CU_ASSERT_EQUAL(options.rate_bytes, 62500000);
    CU_ASSERT_EQUAL(options.rate_floor_bytes, 0);
    CU_ASSERT_EQUAL(options.loss_quantile, 90);
    CU_ASSERT_EQUAL(options.loss_max, 5);
    CU_ASSERT_EQUAL(options.outlier_loss, 30);
    CU_ASSERT_EQUAL(options.ttl, 8);
    CU_ASSERT_EQUAL(options.lcore_count, 1);
    CU_ASSERT_EQUAL(options.core_count, 0);
    CU_ASSERT_EQUAL(options.mtu, 0);
    CU_ASSERT_FALSE(cfc_net_is_given(options.ip));
    CU_ASSERT_EQUAL(options.eal_count, 0);
    CU_ASSERT_FALSE(options.is_huge_refused);
}

static void
each_lcore_has_a_core_or_none_has(void)
{
    CU_ASSERT_EQUAL_FATAL(PARSE("--port", "eth0", REST, "--lcores", "3"), CONFCAST_OK);
    CU_ASSERT_EQUAL(options.lcore_count, 3);
    CU_ASSERT_EQUAL(options.core_count, 0);
    CU_ASSERT_EQUAL_FATAL(PARSE("--port", "eth0", REST, "--lcore", "5,2"), CONFCAST_OK);
    CU_ASSERT_EQUAL(options.lcore_count, 2);
    CU_ASSERT_EQUAL(options.core_count, 2);
    CU_ASSERT_EQUAL(options.cores[0], 5);
    CU_ASSERT_EQUAL(options.cores[1], 2);
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", REST, "--lcore", "5,2", "--lcores", "2"), CONFCAST_OK);
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", REST, "--lcore", "5", "--lcores", "2"),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", REST, "--lcore", "5,2", "--lcores", "1"),
                    CONFCAST_ERR_INVALID);
}

static void
what_follows_two_dashes_goes_to_eal(void)
{
    CU_ASSERT_EQUAL_FATAL(PARSE("--port", "eth0", REST, "--", "--log-level=8", "-v"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(options.eal_count, 2);
    CU_ASSERT_STRING_EQUAL(options.eal[0], "--log-level=8");
    CU_ASSERT_STRING_EQUAL(options.eal[1], "-v");
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", REST, "stray"), CONFCAST_ERR_INVALID);
}

static void
help_and_version_need_nothing_else(void)
{
    CU_ASSERT_EQUAL(PARSE("--help"), CONFCAST_OK);
    CU_ASSERT_TRUE(options.is_help);
    CU_ASSERT_EQUAL(PARSE("-h"), CONFCAST_OK);
    CU_ASSERT_TRUE(options.is_help);
    CU_ASSERT_EQUAL(PARSE("--version"), CONFCAST_OK);
    CU_ASSERT_TRUE(options.is_version);
}

static void
there_is_exactly_one_port(void)
{
    CU_ASSERT_EQUAL(PARSE(REST), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", "--vdev", "net_null0", "--ip", "10.0.0.1", REST),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--allow", "01:00.0", "--vdev", "net_null0", "--ip", "10.0.0.1", REST),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--vdev", "net_null0", "--ip", "10.0.0.1", REST), CONFCAST_OK);
    CU_ASSERT_EQUAL(PARSE("--vdev", "net_null0", REST), CONFCAST_ERR_INVALID); /* no address */
}

static void
each_part_of_the_fleet_is_wanted(void)
{
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", "--fleet", "f", "--session-key", "k", "--control", "c"),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", "--fleet", "f", "--session-key", "k"),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", "--fleet", "f", "--control", "c"),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", "--session-key", "k", "--control", "c"),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", "--session-key", "k", "--control", "c", "--group-base",
                          "239.0.0.1", "--group-count", "4"),
                    CONFCAST_ERR_INVALID);
}

static void
numbers_have_both_ends(void)
{
    static const struct {
        const char *option;
        const char *value;
        int rc;
    } numbers[] = {
        {"--group-count", "0", CONFCAST_ERR_INVALID},
        {"--group-count", "1", CONFCAST_OK},
        {"--group-count", "16", CONFCAST_OK},
        {"--group-count", "17", CONFCAST_ERR_INVALID},
        {"--udp-port", "0", CONFCAST_ERR_INVALID},
        {"--udp-port", "65535", CONFCAST_OK},
        {"--udp-port", "65536", CONFCAST_ERR_INVALID},
        {"--ttl", "0", CONFCAST_ERR_INVALID},
        {"--ttl", "255", CONFCAST_OK},
        {"--ttl", "256", CONFCAST_ERR_INVALID},
        {"--mtu", "67", CONFCAST_ERR_INVALID},
        {"--mtu", "65535", CONFCAST_OK},
        {"--mtu", "65536", CONFCAST_ERR_INVALID},
        {"--rate", "0", CONFCAST_OK},
        {"--rate-floor", "500", CONFCAST_OK},
        {"--rate-floor", "501", CONFCAST_ERR_INVALID},
        {"--rate-floor", "0", CONFCAST_ERR_INVALID},
        {"--loss-quantile", "0", CONFCAST_ERR_INVALID},
        {"--loss-quantile", "99", CONFCAST_OK},
        {"--loss-quantile", "100", CONFCAST_ERR_INVALID},
        {"--loss-max", "0", CONFCAST_ERR_INVALID},
        {"--loss-max", "100", CONFCAST_OK},
        {"--loss-max", "101", CONFCAST_ERR_INVALID},
        {"--outlier-loss", "100", CONFCAST_OK},
        {"--outlier-loss", "101", CONFCAST_ERR_INVALID},
        {"--rate", "400000", CONFCAST_OK},
        {"--rate", "400001", CONFCAST_ERR_INVALID},
        {"--rate", "-1", CONFCAST_ERR_INVALID},
        {"--rate", " 1", CONFCAST_ERR_INVALID},
        {"--rate", "1x", CONFCAST_ERR_INVALID},
        {"--rate", "", CONFCAST_ERR_INVALID},
        {"--rate", "99999999999999999999", CONFCAST_ERR_INVALID},
        {"--repair-rate", "0", CONFCAST_ERR_INVALID},
        {"--scopes-max", "0", CONFCAST_ERR_INVALID},
        {"--contents-max", "1048576", CONFCAST_OK},
        {"--contents-max", "1048577", CONFCAST_ERR_INVALID},
        {"--consumers-max", "0", CONFCAST_ERR_INVALID},
        {"--lcore", "0", CONFCAST_OK},
        {"--lcore", "1023", CONFCAST_OK},
        {"--lcore", "1024", CONFCAST_ERR_INVALID},
        {"--lcore", "2,4,6", CONFCAST_OK},
        {"--lcore", "0,1,2,3,4,5,6,7", CONFCAST_OK},
        {"--lcore", "0,1,2,3,4,5,6,7,8", CONFCAST_ERR_INVALID},
        {"--lcore", "2,", CONFCAST_ERR_INVALID},
        {"--lcore", ",2", CONFCAST_ERR_INVALID},
        {"--lcore", "", CONFCAST_ERR_INVALID},
        {"--burst", "0", CONFCAST_ERR_INVALID},
        {"--burst", "1", CONFCAST_OK},
        {"--burst", "64", CONFCAST_OK},
        {"--burst", "65", CONFCAST_ERR_INVALID},
        {"--lcores", "0", CONFCAST_ERR_INVALID},
        {"--lcores", "1", CONFCAST_OK},
        {"--lcores", "8", CONFCAST_OK},
        {"--lcores", "9", CONFCAST_ERR_INVALID},
    };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        int rc = PARSE("--port", "eth0", REST, numbers[i].option, numbers[i].value);

        if (rc != numbers[i].rc) {
            printf("%s %s: %d\n", numbers[i].option, numbers[i].value, rc);
        }
        CU_ASSERT_EQUAL(rc, numbers[i].rc);
    }
}

static void
nonsense_is_refused(void)
{
    CU_ASSERT_EQUAL(PARSE("--port", "", REST), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", ":eth0", REST), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", "net_af_packet:", REST), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", "sixteen-letters0", REST), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", "eth0,qpairs=4", REST), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", "net_tap:tap0", REST), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", "--ip", "10.0.0", REST), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", "--ip", "10.0.0.1.2", REST), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", "--ip", "1000.1000.1000.1000.1000", REST),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", REST, "--bogus"), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", REST, "--rate"), CONFCAST_ERR_INVALID);
}

/* -- What follows from files
 * -------------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/cfc-options-XXXXXX";

static const char *
path_of(const char *name)
{
    static char paths[4][64];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void
write_file(const char *name, const char *text)
{
    int fd = open(path_of(name), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    ssize_t written = write(fd, text, strlen(text));

    assert(written == (ssize_t)strlen(text));
    (void)written;
    close(fd);
}

static void
to_hex(const uint8_t *bytes, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++) {
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
}

/* A signed fleet with one engine, whose port differs from the groups'. */
static void
write_fleet(const char *name, const char *base, const char *engine)
{
    static const uint8_t seed[32] = {9};
    char key_hex[2 * CFC_PUBLIC_KEY_SIZE + 1];
    char id_hex[2 * CFC_KEY_ID_SIZE + 1];
    uint8_t id[CFC_KEY_ID_SIZE];
    struct cfc_signing_key root;
    char text[1024];
    char *sealed;
    size_t size;
    int rc = cfc_signing_key_from_seed(seed, &root);

    assert(rc == CONFCAST_OK);
    cfc_key_id(root.public_key, id);
    to_hex(root.public_key, sizeof(root.public_key), key_hex);
    to_hex(id, sizeof(id), id_hex);
    snprintf(text, sizeof(text),
             "{\"format\":\"confcast-fleet-1\",\"name\":\"t\",\"sequence\":1,\"port\":7500,"
             "\"groups\":{\"base\":\"%s\",\"count\":3},"
             "\"engines\":[{\"address\":\"%s\",\"port\":7600}],\"pull_urls\":[],"
             "\"release_keys\":[{\"id\":\"%s\",\"public_key\":\"%s\",\"not_after\":0,"
             "\"scopes\":[\"\"]}]}",
             base, engine, id_hex, key_hex);
    rc = cfc_fleet_seal(text, strlen(text), &root, &sealed, &size);
    assert(rc == CONFCAST_OK);
    (void)rc;
    write_file(name, sealed);
    free(sealed);
}

/* Parses and completes a command line on the loopback interface, whose address is 127.0.0.1. */
#define COMPLETE(...)                                                                              \
    (PARSE("--port", "lo", "--control", "c", __VA_ARGS__) == CONFCAST_OK                           \
         ? cfc_options_complete(&options)                                                          \
         : CONFCAST_ERR_INTERNAL)

static void
the_fleet_file_gives_groups_and_ports(void)
{
    CU_ASSERT_EQUAL_FATAL(COMPLETE("--session-key", path_of("key"), "--fleet", path_of("fleet")),
                          CONFCAST_OK);
    CU_ASSERT_TRUE(is_ipv4(options.ip, 0x7f000001));
    CU_ASSERT_TRUE(is_ipv4(options.group, 0xef4d0001));
    CU_ASSERT_EQUAL(options.group_count, 3);
    CU_ASSERT_EQUAL(options.port, 7600);
    CU_ASSERT_EQUAL(options.group_port, 7500);
    CU_ASSERT_EQUAL(options.interface_mtu, 65536);
    CU_ASSERT_EQUAL(options.fleet_key.bytes[31], 0x1f);
    CU_ASSERT_EQUAL(options.repair_rate_bytes, options.rate_bytes / 2);
    /* What is on the command line stands above it. */
    CU_ASSERT_EQUAL_FATAL(COMPLETE("--session-key", path_of("key"), "--fleet", path_of("fleet"),
                                   "--udp-port", "9", "--group-count", "2"),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL(options.port, 9);
    CU_ASSERT_EQUAL(options.group_port, 9);
    CU_ASSERT_EQUAL(options.group_count, 2);
}

static void
an_engine_that_the_fleet_does_not_know_does_not_start(void)
{
    CU_ASSERT_EQUAL(
        COMPLETE("--session-key", path_of("key"), "--fleet", path_of("fleet"), "--ip", "127.0.0.2"),
        CONFCAST_ERR_AUTHORITY);
}

static void
files_that_are_not_right_are_refused(void)
{
    CU_ASSERT_EQUAL(COMPLETE("--session-key", path_of("none"), "--fleet", path_of("fleet")),
                    CONFCAST_ERR_IO);
    CU_ASSERT_EQUAL(COMPLETE("--session-key", path_of("fleet"), "--fleet", path_of("fleet")),
                    CONFCAST_ERR_SYNTAX);
    CU_ASSERT_EQUAL(COMPLETE("--session-key", path_of("report"), "--fleet", path_of("fleet")),
                    CONFCAST_ERR_TYPE);
    CU_ASSERT_EQUAL(COMPLETE("--session-key", path_of("key"), "--fleet", path_of("none")),
                    CONFCAST_ERR_IO);
    CU_ASSERT_NOT_EQUAL(COMPLETE("--session-key", path_of("key"), "--fleet", path_of("key")),
                        CONFCAST_OK);
}

static void
groups_and_own_address_are_of_one_family(void)
{
    static const uint8_t engine[CFC_IP_SIZE] = {0xfd, 0x77, [15] = 1};
    static const uint8_t group[CFC_IP_SIZE] = {0xff, 0x3e, [14] = 0x80, [15] = 1};

    CU_ASSERT_EQUAL_FATAL(COMPLETE("--session-key", path_of("key"), "--fleet", path_of("fleet6"),
                                   "--ip", "fd77::1/64"),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL(memcmp(options.ip, engine, sizeof(engine)), 0);
    CU_ASSERT_EQUAL(memcmp(options.group, group, sizeof(group)), 0);
    CU_ASSERT_EQUAL(options.port, 7600);
    CU_ASSERT_EQUAL(
        COMPLETE("--session-key", path_of("key"), "--fleet", path_of("fleet6"), "--ip", "fd77::2"),
        CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(COMPLETE("--session-key", path_of("key"), "--fleet", path_of("fleet6"), "--ip",
                             "127.0.0.1"),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(
        COMPLETE("--session-key", path_of("key"), "--fleet", path_of("fleet"), "--ip", "fd77::1"),
        CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(PARSE("--port", "eth0", "--ip", "fd77::1::2", REST), CONFCAST_ERR_INVALID);
}

static void
addresses_are_shown_as_people_write_them(void)
{
    static const uint8_t v4[CFC_IP_SIZE] = CFC_NET_IPV4(0x0a4d0001);
    static const uint8_t v6[CFC_IP_SIZE] = {0xfd, 0x77, [15] = 1};
    char text[CFC_OPTIONS_IP_TEXT_SIZE];

    cfc_options_ip_text(v4, text);
    CU_ASSERT_STRING_EQUAL(text, "10.77.0.1");
    cfc_options_ip_text(v6, text);
    CU_ASSERT_STRING_EQUAL(text, "[fd77::1]");
}

static void
an_interface_that_is_not_there_is_refused(void)
{
    CU_ASSERT_EQUAL_FATAL(PARSE("--port", "none0", "--control", "c", "--session-key",
                                path_of("key"), "--fleet", path_of("fleet")),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_options_complete(&options), CONFCAST_ERR_NOT_FOUND);
}

static void
groups_must_be_multicast_the_control_group_too(void)
{
    CU_ASSERT_EQUAL(COMPLETE("--session-key", path_of("key"), "--udp-port", "1", "--group-count",
                             "4", "--group-base", "223.255.255.255"),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(COMPLETE("--session-key", path_of("key"), "--udp-port", "1", "--group-count",
                             "4", "--group-base", "239.255.255.252"),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(COMPLETE("--session-key", path_of("key"), "--udp-port", "1", "--group-count",
                             "4", "--group-base", "239.255.255.251"),
                    CONFCAST_OK);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(an_interface_is_net_af_packet_unless_a_driver_is_named),
    CFC_CASE(what_is_given_is_taken),
    CFC_CASE(what_is_not_given_has_a_default),
    CFC_CASE(each_lcore_has_a_core_or_none_has),
    CFC_CASE(what_follows_two_dashes_goes_to_eal),
    CFC_CASE(help_and_version_need_nothing_else),
    CFC_CASE(there_is_exactly_one_port),
    CFC_CASE(each_part_of_the_fleet_is_wanted),
    CFC_CASE(numbers_have_both_ends),
    CFC_CASE(nonsense_is_refused),
    CFC_CASE(the_fleet_file_gives_groups_and_ports),
    CFC_CASE(an_engine_that_the_fleet_does_not_know_does_not_start),
    CFC_CASE(files_that_are_not_right_are_refused),
    CFC_CASE(an_interface_that_is_not_there_is_refused),
    CFC_CASE(groups_and_own_address_are_of_one_family),
    CFC_CASE(addresses_are_shown_as_people_write_them),
    CFC_CASE(groups_must_be_multicast_the_control_group_too),
};

int
main(void)
{
    static const char *const names[] = {"key", "report", "fleet", "fleet6"};
    int rc;

    if (mkdtemp(folder) == NULL) {
        return 2;
    }
    write_file("key", "confcast-key-1 session " KEY_HEX "\n");
    write_file("report", "confcast-key-1 report " KEY_HEX "\n");
    write_fleet("fleet", "239.77.0.1", "127.0.0.1");
    write_fleet("fleet6", "ff3e::8001", "fd77::1");
    rc = cfc_test_main("dataplane_options", cases, sizeof(cases) / sizeof(cases[0]));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unlink(path_of(names[i]));
    }
    rmdir(folder);
    return rc;
}
