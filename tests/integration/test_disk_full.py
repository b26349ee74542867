#!/usr/bin/env python3
"""confcastd on a disk that fills up: 507 and nothing written, reads go on, and it recovers."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from control import Daemon, ctl

EXIT_SKIP = 77
REFUSED_NO_SPACE = 2


class DiskFull(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="confcast-full-")
        self.daemon = Daemon(self.folder)
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(self.daemon.kill)
        os.mkdir(self.daemon.data)
        # A mount namespace of the daemon's own: the mount goes when the daemon does.
        self.daemon.wrapper = ["unshare", "--mount", "sh", "-c",
                               'mount -t tmpfs -o size=64m none "$0" && exec "$@"',
                               self.daemon.data]
        self.daemon.start()

    def inside(self, name):
        return f"/proc/{self.daemon.process.pid}/root{self.daemon.data}/{name}"

    def fill(self):
        with open(self.inside("fill"), "wb") as file:
            try:
                while True:
                    file.write(b"x" * 65536)
                    file.flush()
            except OSError:
                pass

    def test_a_full_disk_refuses_writes_and_nothing_else(self):
        self.assertEqual(self.daemon.put("full/a", {"n": 1}).status, 200)
        self.assertEqual(self.daemon.release("full/a", "promote").status, 200)
        sequence = self.daemon.get("/v1/status").json["node"]["sequence"]
        self.fill()
        for reply in (self.daemon.put("full/a", {"n": 2}), self.daemon.put("full/b", {"n": 1}),
                      self.daemon.put("full/c", {"text": "x" * 2000000}),
                      self.daemon.release("full/a", "disable"),
                      self.daemon.request("PUT", "/v1/layers/full/a", {"layers": ["full/a"]})):
            self.assertEqual((reply.status, reply.code), (507, "no_space"), reply)
        result = ctl("--server", self.daemon.url, "put", "full/a", "-f", "-", stdin="{}")
        self.assertEqual(result.returncode, REFUSED_NO_SPACE, result.stderr)
        self.assertIn("no_space", result.stderr)
        self.assertEqual(self.daemon.get("/v1/config/full/a").json["document"], {"n": 1})
        self.assertEqual(self.daemon.get("/v1/effective/full/a").json["document"], {"n": 1})
        self.assertEqual(self.daemon.get("/v1/status").json["node"]["sequence"], sequence)
        self.assertEqual(self.daemon.get("/readyz").status, 200)
        os.unlink(self.inside("fill"))
        reply = self.daemon.put("full/a", {"n": 2}, expected_revision=1)
        self.assertEqual((reply.status, reply.json["revision"]), (200, 2), reply)
        self.assertEqual(self.daemon.release("full/a", "promote").status, 200)
        self.assertEqual(self.daemon.get("/v1/effective/full/a").json["document"], {"n": 2})
        self.assertEqual(self.daemon.get("/v1/config/full/b").status, 404)


if __name__ == "__main__":
    PROBE = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    if subprocess.run(PROBE, stderr=subprocess.DEVNULL, check=False).returncode != 0:
        print("skipped: a mount namespace with a tmpfs needs root")
        sys.exit(EXIT_SKIP)
    unittest.main(verbosity=2)
