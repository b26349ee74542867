#!/usr/bin/env python3
"""The Wireshark dissector, through tshark: every golden frame is shown with the values that it was made with, and each
truncation of each is marked as malformed, without an error in the script.

usage: test_dissector.py [UNITTEST-ARGUMENT...]"""

import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(REPO, "scripts/wireshark/confcast.lua")
GOLDEN = os.path.join(REPO, "tests/golden/wire.txt")
EXIT_SKIP = 77
PORT = 7500
OTHER_PORT = 9999


def golden():
    """The golden values by name."""
    values, name = {}, None
    with open(GOLDEN, encoding="ascii") as file:
        for line in file:
            if line.startswith("#"):
                continue
            if not line.startswith(" "):
                name = line.strip()
                values[name] = b""
            else:
                values[name] += bytes.fromhex(line.strip())
    return values


def write_capture(path, datagrams, port=PORT):
    """A pcap of IPv4 UDP datagrams over raw IP."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
        for number, payload in enumerate(datagrams):
            udp = struct.pack(">HHHH", 40000, port, 8 + len(payload), 0) + payload
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 8, 17, 0, bytes((10, 0, 0, 1)),
                             bytes((239, 77, 0, 1))) + udp
            file.write(struct.pack("<IIII", number, 0, len(ip), len(ip)) + ip)


class Dissector(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.golden = golden()
        cls.frames = {name[6:]: value for name, value in cls.golden.items() if name.startswith("frame.")}
        cls.folder = tempfile.mkdtemp(prefix="cfc-dissector-")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def tshark(self, datagrams, fields, port=PORT, options=()):
        """The fields of each datagram; several values of one are joined by commas."""
        path = os.path.join(self.folder, "capture.pcap")
        write_capture(path, datagrams, port)
        command = ["tshark", "-r", path, "-X", f"lua_script:{SCRIPT}", "-T", "fields", "-E", "separator=|", *options]
        for name in fields:
            command += ["-e", name]
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True,
                              env=dict(os.environ, HOME=self.folder))
        self.assertNotIn("Lua", done.stderr)
        self.assertNotIn("Lua Error", done.stdout)
        return [line.split("|") for line in done.stdout.splitlines()]

    def show(self, name, *fields):
        return self.tshark([self.frames[name]], fields)[0]

    def test_every_golden_frame_is_whole_and_called_by_its_type(self):
        names = list(self.frames)
        self.assertGreater(len(names), 15)
        rows = self.tshark([self.frames[name] for name in names], ["confcast.type", "confcast.malformed", "_ws.col.Info"])
        self.assertEqual(len(rows), len(names))
        for name, (kind, malformed, info) in zip(names, rows):
            self.assertEqual(int(kind), self.frames[name][3], name)
            self.assertEqual(malformed, "", f"{name}: {info}")
            self.assertTrue(info.startswith(re.match("[a-z]+", name)[0].upper()), f"{name}: {info}")

    def test_a_head_is_shown_with_its_scope_version_and_arms(self):
        scope, key, arms, contents = self.show("head", "confcast.scope", "confcast.scope_id", "confcast.arm_count",
                                               "confcast.content_id")
        self.assertEqual(scope, self.golden["name.scope"].decode())
        self.assertEqual(int(key, 16), int.from_bytes(self.golden["name.scope_id"], "little"))
        self.assertEqual(len(contents.split(",")), int(arms))
        version = struct.unpack_from("<Q", self.frames["head"], 40)[0]
        self.assertEqual(self.show("head", "confcast.head_version")[0], str(version))

    def test_a_symbol_and_its_page_say_where_they_belong(self):
        name = next(name for name in self.frames if name.startswith("symbol"))
        coding, symbol, block = struct.unpack_from("<HHI", self.frames[name], 16)
        self.assertEqual(self.show(name, "confcast.coding", "confcast.symbol", "confcast.block", "confcast.data"),
                         [str(coding), str(symbol), str(block), self.frames[name][24:].hex()])
        name = next(name for name in self.frames if name.startswith("page"))
        digests = self.show(name, "confcast.digest")[0].split(",")
        self.assertEqual("".join(digests), self.frames[name][24:].hex())

    def test_what_a_consumer_says_is_shown_to_its_trailer(self):
        self.assertEqual(self.show("hello", "confcast.id")[0], self.golden["name.consumer"].decode())
        accepted, tag, mac = self.show("report", "confcast.accepted", "confcast.tag", "confcast.mac")
        self.assertEqual(accepted.split(",")[0], str(struct.unpack_from("<Q", self.frames["report"], 64 + 16)[0]))
        self.assertEqual(tag, self.golden["report.tag"].hex())
        self.assertEqual(mac, self.frames["report"][-16:].hex())
        count = struct.unpack_from("<H", self.frames["nack"], 16)[0]
        wants, keys = self.show("nack", "confcast.want", "confcast.key")
        self.assertEqual([int(want) for want in wants.split(",")], [self.frames["nack"][24 + 32 * i] for i in range(count)])
        self.assertEqual(len(keys.split(",")), count)

    def test_every_truncation_is_malformed_and_none_breaks_the_script(self):
        cut, fitted, names = [], [], []
        for name, frame in self.frames.items():
            for size in range(2, len(frame), max(1, len(frame) // 60)):
                # Once with the size that the frame had, once with the size that it has now.
                cut.append(frame[:size])
                names.append(f"{name} cut to {size}")
                if size >= 16:
                    fitted.append(frame[:4] + struct.pack("<H", size) + frame[6:size])
        rows = self.tshark(cut, ["confcast.malformed", "_ws.col.Info"])
        self.assertEqual(len(rows), len(cut))
        for name, (malformed, info) in zip(names, rows):
            self.assertNotEqual(malformed, "", f"{name}: {info}")
        self.assertEqual(len(self.tshark(fitted, ["confcast.type", "_ws.col.Info"])), len(fitted))

    def test_bytes_too_many_are_malformed(self):
        # A symbol is open-ended, and so are areas of TLVs.
        longer = [frame[:4] + struct.pack("<H", len(frame) + 1) + frame[6:] + b"\0"
                  for frame in self.frames.values() if frame[3] not in (1, 4, 16, 147)]
        for (malformed,) in self.tshark(longer, ["confcast.malformed"]):
            self.assertNotEqual(malformed, "")

    def test_frames_on_other_ports_are_known_by_their_beginning_and_nothing_else_is(self):
        frame = self.frames["status"]
        foreign = [frame, b"", b"\xc5", b"\xc5\xcf\x01", b"x" * 64, frame[:-1]]
        rows = self.tshark(foreign, ["confcast.type"], port=OTHER_PORT)
        self.assertEqual([row[0] if row else "" for row in rows], ["6", "", "", "", "", ""])
        rows = self.tshark([frame[:-1]], ["confcast.type"], port=OTHER_PORT, options=["-o", f"confcast.port:{OTHER_PORT}"])
        self.assertEqual(rows[0][0], "6")


if __name__ == "__main__":
    if shutil.which("tshark") is None:
        print("needs tshark")
        sys.exit(EXIT_SKIP)
    unittest.main(verbosity=2)
