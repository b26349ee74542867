#!/usr/bin/env python3
"""confcastctl doctor and the network: a path that is too narrow or missing, groups that arrive or do not, a querier."""

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

from control import CONFCASTCTL, wait_until
from namespace import in_namespace

PREFIX = f"cfdo{os.getpid()}"
ENGINE_NS, HOST_NS = f"{PREFIX}-e", f"{PREFIX}-h"
ENGINE, OTHER, HOST = "10.78.0.1", "10.78.0.9", "10.78.0.2"
CONTROL_GROUP = "239.192.0.8"  # after the eight groups of the fleet
EXIT_SKIP = 77


def ip(*args):
    subprocess.run(["ip", *args], check=True)


class Sender:
    """Sends a datagram ten times a second from a socket that make() opens in the engine's namespace."""

    def __init__(self, make, data, to):
        self.sock = in_namespace(ENGINE_NS, make)
        self.data, self.to = data, to
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.is_over.wait(0.1):
            self.sock.sendto(self.data, self.to)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()
        self.sock.close()


def beacons(source):
    def make():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((source, 0))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
        return sock
    return Sender(make, b"beacon", (CONTROL_GROUP, 7500))


def querier():
    def make():
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
        sock.bind((ENGINE, 0))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(ENGINE))
        return sock
    query = struct.pack(">BBH4s", 0x11, 10, 0xffff - 0x110a, bytes(4))
    return Sender(make, query, ("224.0.0.1", 0))


class Network(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="confcast-doctor-")
        self.addCleanup(self.folder.cleanup)
        for name in (ENGINE_NS, HOST_NS):
            ip("netns", "add", name)
            self.addCleanup(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", "eth0", "netns", ENGINE_NS, "type", "veth", "peer", "name", "eth0", "netns", HOST_NS)
        for name, address in ((ENGINE_NS, ENGINE), (ENGINE_NS, OTHER), (HOST_NS, HOST)):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        self.keys = os.path.join(self.folder.name, "keys")
        subprocess.run([CONFCASTCTL, "key", "init", "--dir", self.keys, "--engine", ENGINE, "--group-count", "8"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.is_up)

    @staticmethod
    def is_up():
        shown = subprocess.run(["ip", "-n", HOST_NS, "-j", "link", "show", "eth0"], stdout=subprocess.PIPE, check=True)
        return json.loads(shown.stdout)[0]["operstate"] == "UP"

    def examine(self, interface="eth0", wait="1s"):
        """{check: (result, detail)}"""
        done = subprocess.run(["ip", "netns", "exec", HOST_NS, CONFCASTCTL, "-o", "json", "doctor", "--local",
                               "--interface", interface, "--fleet", os.path.join(self.keys, "fleet.json"),
                               "--wait", wait], stdout=subprocess.PIPE, text=True, check=False)
        report = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if report["healthy"] else 1)
        for check in report["checks"]:
            self.assertEqual(check["advice"] == "", check["result"] == "ok", check)
        return {check["check"]: (check["result"], check["detail"]) for check in report["checks"]}

    def test_all_is_well_where_beacons_and_queries_arrive(self):
        with beacons(ENGINE), querier():
            found = self.examine()
        self.assertEqual(found["interface"], ("ok", f"eth0 is up, {HOST}"))
        self.assertEqual(found["MTU"], ("ok", "1500 on eth0"))
        self.assertEqual(found["path"], ("ok", f"1500 bytes fit to the engine {ENGINE}"))
        self.assertEqual(found["querier"], ("ok", f"{ENGINE} asks for members on eth0"))
        self.assertEqual(found["groups"][0], "ok", found)
        self.assertIn(f"{CONTROL_GROUP} port 7500: heard the engine", found["groups"][1])

    def test_a_narrow_path_is_found_behind_a_wide_interface(self):
        ip("-n", HOST_NS, "route", "add", f"{ENGINE}/32", "dev", "eth0", "mtu", "lock", "1400")
        with querier():
            found = self.examine()
        self.assertEqual(found["MTU"][0], "ok")
        self.assertEqual(found["path"], ("fail", f"to the engine {ENGINE} only 1400 bytes fit"))

    def test_beacons_of_somebody_else_are_none(self):
        with beacons(OTHER), querier():
            found = self.examine()
        self.assertEqual(found["groups"][0], "fail", found)
        self.assertIn("nothing from the engines in 1 s", found["groups"][1])
        self.assertEqual(found["path"][0], "ok")

    def test_without_a_way_to_the_engine_nothing_gets_there(self):
        ip("-n", HOST_NS, "addr", "del", f"{HOST}/24", "dev", "eth0")
        ip("-n", HOST_NS, "link", "set", "eth0", "mtu", "1400")
        found = self.examine()
        self.assertEqual(found["interface"], ("warn", "eth0 has no address"))
        self.assertEqual(found["MTU"], ("fail", "1400 on eth0"))
        self.assertEqual(found["path"], ("fail", f"no way to the engine {ENGINE}: Network is unreachable"))
        self.assertEqual(found["querier"][0], "fail")
        self.assertIn("nobody asked for members", found["querier"][1])
        self.assertEqual(found["groups"][0], "fail")

    def test_an_interface_that_is_down_or_not_there_is_named(self):
        ip("-n", HOST_NS, "link", "set", "eth0", "down")
        self.assertEqual(self.examine()["interface"], ("fail", "eth0 is down"))
        found = self.examine("eth9")
        self.assertEqual(found["interface"], ("fail", "there is no eth9 here"))
        self.assertEqual([found[check][0] for check in ("MTU", "querier", "groups")], ["fail", "warn", "fail"])


if __name__ == "__main__":
    if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "true"], check=False).returncode != 0:
        print("network namespaces need root")
        sys.exit(EXIT_SKIP)
    unittest.main(verbosity=2)
