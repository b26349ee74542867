#!/usr/bin/env python3
"""confcastd killed at any moment: what was acknowledged is there, what was not is done or absent."""

import os
import random
import shutil
import socket
import tempfile
import threading
import time
import unittest

from control import Daemon

SEED = 20260131
ROUND_COUNT = 5
WRITER_COUNT = 4


class Writer(threading.Thread):
    """Puts and promotes on its own scope until the daemon goes away; remembers what it was told."""

    def __init__(self, daemon, scope, first):
        super().__init__(daemon=True)
        self.target = daemon
        self.scope = scope
        self.number = first
        self.acked = {}     # revision -> n
        self.promoted = 0   # highest revision whose promotion was acknowledged
        self.pending = None  # (idempotency key, n) of a request without an answer

    def run(self):
        try:
            while True:
                n = self.number
                self.pending = (f"{self.scope}-{n}", n)
                reply = self.target.put(self.scope, {"n": n},
                                        headers={"Idempotency-Key": self.pending[0]})
                if reply.status != 200:
                    raise AssertionError(reply)
                self.acked[reply.json["revision"]] = n
                self.pending = None
                self.number += 1
                reply = self.target.release(self.scope, "promote",
                                            revision=reply.json["revision"])
                if reply.status == 200:
                    self.promoted = reply.json["active_revision"]
        except (OSError, ValueError, ConnectionError):
            pass
        except Exception as error:  # http.client's own errors when an answer is cut off
            if not type(error).__module__.startswith("http"):
                raise


class Crash(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="confcast-crash-")
        self.daemon = Daemon(self.folder)

    def tearDown(self):
        self.daemon.kill()
        shutil.rmtree(self.folder)

    def test_kill_9_loses_no_acknowledged_write(self):
        random_source = random.Random(SEED)
        writers = [Writer(self.daemon, f"crash/w{i}", 1) for i in range(WRITER_COUNT)]
        sequence = epoch = 0
        for _ in range(ROUND_COUNT):
            self.daemon.start()
            node = self.daemon.get("/v1/status").json["node"]
            self.assertGreaterEqual(node["sequence"], sequence)
            self.assertGreater(node["epoch"], epoch)
            sequence, epoch = node["sequence"], node["epoch"]
            for writer in writers:
                self.check(writer)
            running = []
            for writer in writers:
                again = Writer(self.daemon, writer.scope, writer.number)
                again.acked, again.promoted = writer.acked, writer.promoted
                running.append(again)
                again.start()
            time.sleep(random_source.uniform(0.1, 0.8))
            self.daemon.kill()
            for writer in running:
                writer.join(timeout=60)
                self.assertFalse(writer.is_alive())
            writers = running
        self.daemon.start()
        for writer in writers:
            self.check(writer)
            self.assertGreater(len(writer.acked), 0)

    def check(self, writer):
        """After a restart: all that was acknowledged, no gaps, and a retry is one revision."""
        if writer.pending:
            key, n = writer.pending
            reply = self.daemon.put(writer.scope, {"n": n}, headers={"Idempotency-Key": key})
            self.assertEqual(reply.status, 200, reply)
            writer.acked[reply.json["revision"]] = n
            writer.number = n + 1
            writer.pending = None
        if not writer.acked:
            return
        revisions = []
        before = None
        while before != 1:
            page = self.daemon.get(f"/v1/history/{writer.scope}", limit=1000, before=before).json
            revisions += [row["revision"] for row in page["revisions"]]
            before = revisions[-1]
        self.assertEqual(revisions, list(range(len(revisions), 0, -1)))
        self.assertEqual(sorted(writer.acked), sorted(revisions))
        for revision in (1, max(writer.acked)):
            got = self.daemon.get(f"/v1/config/{writer.scope}", revision=revision).json
            self.assertEqual(got["document"], {"n": writer.acked[revision]})
        if writer.promoted:
            release = self.daemon.get(f"/v1/release/{writer.scope}").json
            self.assertGreaterEqual(release["active_revision"], writer.promoted)
            effective = self.daemon.get(f"/v1/effective/{writer.scope}").json
            self.assertEqual(effective["document"],
                             {"n": writer.acked[release["active_revision"]]})

    def test_a_retry_after_a_restart_gives_the_first_answer(self):
        headers = {"Idempotency-Key": "once"}
        self.daemon.start()
        first = self.daemon.put("crash/retry", {"a": 1}, headers=headers, expected_revision=0)
        self.assertEqual(first.status, 200, first)
        self.daemon.kill()
        self.daemon.start()
        again = self.daemon.put("crash/retry", {"a": 1}, headers=headers, expected_revision=0)
        self.assertEqual(again.body, first.body)
        self.assertEqual(again.headers["Idempotency-Replayed"], "true")
        self.assertEqual(len(self.daemon.get("/v1/history/crash/retry").json["revisions"]), 1)

    def test_a_clean_stop_is_clean(self):
        self.daemon.start()
        self.assertEqual(self.daemon.put("crash/stop", {"a": 1}).status, 200)
        idle = self.daemon.connection()
        idle.connect()
        start = time.monotonic()
        self.assertEqual(self.daemon.stop(), 0)
        self.assertLess(time.monotonic() - start, 5)
        idle.close()
        self.assertFalse(os.path.exists(self.daemon.unix))
        self.daemon.start()
        self.assertEqual(self.daemon.get("/v1/config/crash/stop").json["document"], {"a": 1})

    def test_a_second_daemon_on_the_same_store_gives_up(self):
        self.daemon.start()
        other = Daemon(self.folder)
        self.addCleanup(other.kill)
        other.unix = os.path.join(self.folder, "other.sock")
        with self.assertRaises(RuntimeError):
            other.start()
        self.assertEqual(other.process.returncode, 1)
        self.assertIn("error=busy", "".join(other.log))
        self.assertEqual(self.daemon.get("/healthz").status, 200)

    def test_a_live_unix_socket_is_not_taken_and_a_dead_one_is(self):
        self.daemon.start()
        other = Daemon(self.folder)
        self.addCleanup(other.kill)
        other.data = os.path.join(self.folder, "other")
        with self.assertRaises(RuntimeError):
            other.start()
        self.assertIn("error=busy", "".join(other.log))
        self.assertEqual(self.daemon.request("GET", "/healthz", unix=True).status, 200)
        self.daemon.kill()
        self.assertTrue(os.path.exists(self.daemon.unix))
        self.daemon.start()
        self.assertEqual(self.daemon.request("GET", "/healthz", unix=True).status, 200)

    def test_a_socket_path_that_is_something_else_is_left_alone(self):
        with open(self.daemon.unix, "w", encoding="utf-8") as file:
            file.write("mine")
        with self.assertRaises(RuntimeError):
            self.daemon.start()
        with open(self.daemon.unix, encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine")

    def test_a_port_in_use_ends_the_start(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.daemon.options = ("--listen", f"127.0.0.1:{taken.getsockname()[1]}")
            with self.assertRaises(RuntimeError):
                self.daemon.start()
        self.assertIn("error=busy", "".join(self.daemon.log))


if __name__ == "__main__":
    unittest.main(verbosity=2)
