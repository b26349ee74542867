"""What may be promoted: schemas, limits and validators, through a real confcastd that runs real
programs."""

import http.client
import os
import shutil
import tempfile
import threading
import time
import unittest

import control
from control import DaemonCase


class Validation(DaemonCase):
    @classmethod
    def setUpClass(cls):
        cls.programs = tempfile.mkdtemp(prefix="confcast-validators-")
        cls.options = ("--validators", cls.programs)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.programs)

    def program(self, name, script, interpreter="/bin/sh"):
        path = os.path.join(self.programs, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(f"#!{interpreter}\n{script}\n")
        os.chmod(path, 0o755)

    def settings(self, scope, document, **params):
        return self.daemon.request("PUT", f"/v1/settings/{scope}" + control.query(params), document)

    def schema(self, scope, document):
        return self.daemon.request("PUT", f"/v1/schema/{scope}", document)

    def validated_by(self, name, script, **members):
        self.program(name, script)
        self.good(self.settings(self.tenant, {"validators": [{"command": name, **members}]}))

    def publish(self, document, scope=None, **params):
        scope = scope or self.tenant
        self.good(self.daemon.put(scope, document))
        return self.daemon.request("POST", f"/v1/release/{scope}" + control.query(params),
                                   {"action": "promote"})

    def refused_by_validator(self, document, part, timeout_s=10):
        start = time.monotonic()
        error = self.refused(self.publish(document), 422, "validation")
        self.assertIn(part, error["message"])
        self.assertLess(time.monotonic() - start, timeout_s)
        return error["message"]

    def test_a_validator_accepts_and_refuses_with_its_words(self):
        self.validated_by("words", 'grep -q \'"limit":0\' && { echo "limit is 0 in'
                                   ' $CONFCAST_SCOPE"; echo more; exit 4; }; exit 0')
        self.good(self.publish({"limit": 1}))
        message = self.refused_by_validator({"limit": 0}, "exit status 4: limit is 0 in " +
                                            self.tenant)
        self.assertNotIn("more", message)
        effective = self.good(self.daemon.get(f"/v1/effective/{self.tenant}"))
        self.assertEqual(effective["document"], {"limit": 1})
        self.refused(self.daemon.put(self.tenant, {}, dry_run=1, expected_revision=9), 409)
        dry = self.daemon.request("POST", f"/v1/release/{self.tenant}?dry_run=1",
                                  {"action": "promote"})
        self.refused(dry, 422, "validation")

    def test_a_validator_that_takes_too_long_is_ended(self):
        self.validated_by("slow", "sleep 30", timeout_ms=300)
        self.refused_by_validator({"a": 1}, "longer than its timeout")

    def test_a_validator_that_takes_too_much_memory_is_refused(self):
        self.program("greedy", "x = b'x' * (512 << 20)", "/usr/bin/env python3")
        self.good(self.settings(self.tenant, {"validators": [
            {"command": "greedy", "memory_mb": 128}]}))
        self.refused_by_validator({"a": 1}, "exit status 1")
        self.good(self.settings(self.tenant, {"validators": [
            {"command": "greedy", "memory_mb": 2048}]}))
        self.good(self.publish({"a": 1}))

    def test_a_validator_that_prints_too_much_is_ended(self):
        self.validated_by("noisy", "while :; do echo 0123456789012345678901234567890123456789; done")
        self.refused_by_validator({"a": 1}, "more than 64 KiB")

    def test_what_a_validator_leaves_behind_is_ended_with_it(self):
        marks = [os.path.join(self.programs, f"left{i}.pid") for i in range(2)]
        self.validated_by("parent", f"""
            sh -c 'echo $$ > {marks[0]}; exec sleep 60' >/dev/null 2>&1 &
            setsid sh -c 'echo $$ > {marks[1]}; exec sleep 60' >/dev/null 2>&1 &
            while [ ! -s {marks[0]} ] || [ ! -s {marks[1]} ]; do sleep 0.01; done""")
        self.good(self.publish({"a": 1}))
        for mark in marks:
            with open(mark, encoding="utf-8") as pid:
                self.assertFalse(os.path.exists(f"/proc/{int(pid.read())}"))
        # One that holds the output open keeps the verdict waiting, and is ended in time.
        self.validated_by("holder", "sleep 60 & exit 0", timeout_ms=300)
        self.refused_by_validator({"a": 2}, "longer than its timeout")

    def test_a_validator_need_not_read_and_may_die(self):
        self.validated_by("deaf", "exec <&-; exit 0")
        self.good(self.publish({"a": "x" * 3000000}))
        self.validated_by("dies", "kill -SEGV $$")
        self.refused_by_validator({"a": 1}, "ended by signal 11")
        self.good(self.settings(self.tenant, {"validators": [{"command": "not-there"}]}))
        self.refused_by_validator({"a": 2}, "could not be run")

    def test_a_validator_gets_nothing_of_the_daemon(self):
        self.program("curious", """
import os, sys
fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print([fd for fd in fds if fd < 3] == [0, 1, 2], len(fds), sorted(os.environ),
      status["NoNewPrivs"].strip(), status["SigBlk"].strip(), os.getcwd(),
      os.getpgid(0) == os.getpid(), sys.stdin.read())
try:
    os.ftruncate(0, 0)
    print("written")
except OSError:
    pass
sys.exit(1)""", "/usr/bin/python3 -I")
        self.good(self.settings(self.tenant, {"validators": [{"command": "curious"}]}))
        os.environ["SECRET_OF_THE_DAEMON"] = "x"
        message = self.refused_by_validator({"b": 0.1, "a": 1}, "exit status 1: ")
        seen = message.split("exit status 1: ", 1)[1]
        self.assertEqual(seen, "True 4 ['CONFCAST_SCOPE', 'LANG', 'PATH'] 1 0000000000000000 / "
                               "True {\"a\":1,\"b\":0.1}")

    def test_others_go_on_while_a_validator_runs(self):
        self.validated_by("gate", "while [ ! -e $0.go ]; do sleep 0.01; done")
        self.good(self.daemon.put(self.tenant, {"a": 1}))
        replies = []
        thread = threading.Thread(target=lambda: replies.append(
            self.daemon.release(self.tenant, "promote")))
        thread.start()
        time.sleep(0.2)
        self.good(self.daemon.put(f"{self.tenant}-other", {"b": 1}))
        self.good(self.daemon.release(f"{self.tenant}-other", "promote"))
        self.assertEqual(replies, [])
        self.program("gate.go", "")
        thread.join()
        self.good(replies[0])
        os.unlink(os.path.join(self.programs, "gate.go"))

    def test_schemas_of_all_layers_hold_and_layers_set_otherwise_bring_theirs(self):
        tenant = self.tenant
        self.good(self.schema(tenant, {"properties": {"port": {"maximum": 100}}}))
        self.good(self.schema(f"{tenant}/base", {"required": ["name"]}))
        error = self.refused(self.publish({"port": 101}, f"{tenant}/web"), 422, "schema_mismatch")
        self.assertIn(f"the schema of {tenant}, revision 1", error["message"])
        self.assertIn("/port", error["message"])
        self.good(self.publish({"port": 100}, f"{tenant}/web"))
        # The effective config counts, whichever layer a value is from.
        self.good(self.publish({"port": 99}, tenant))
        self.refused(self.publish({"port": 101}, tenant), 422, "schema_mismatch")
        # Another set of layers brings the rules of its layers, once there is anything to judge.
        self.good(self.daemon.request("PUT", f"/v1/layers/{tenant}/new",
                                      {"layers": [f"{tenant}/base"]}))
        layers = {"layers": [f"{tenant}/base", f"{tenant}/web"]}
        self.refused(self.daemon.request("PUT", f"/v1/layers/{tenant}/web", layers), 422,
                     "schema_mismatch")
        self.good(self.publish({"name": "n"}, f"{tenant}/base"))
        self.good(self.daemon.request("PUT", f"/v1/layers/{tenant}/web", layers))
        self.good(self.schema(tenant, {}))
        self.good(self.publish({"port": 101}, tenant))

    def test_jumps_need_an_override(self):
        self.good(self.settings(self.tenant, {"size_ratio_max": 2, "key_ratio_max": 3}))
        self.good(self.publish({"list": list(range(10))}))
        for document in ({"list": list(range(100))}, {"list": [1]}):
            error = self.refused(self.publish(document), 422, "validation")
            self.assertIn("override", error["message"])
            self.good(self.publish(document, override=1))
        self.good(self.publish({"list": [1, 2]}))

    def test_settings_are_guarded_by_their_revision(self):
        first = self.good(self.settings(self.tenant, {"key_ratio_max": 2}, expected_revision=0))
        self.assertEqual(first["revision"], 1)
        error = self.refused(self.settings(self.tenant, {}, expected_revision=0), 409, "conflict")
        self.assertEqual(error["current"]["revision"], 1)
        replies = []
        threads = [threading.Thread(target=lambda n=n: replies.append(self.settings(
            self.tenant, {"key_ratio_max": 3 + n}, expected_revision=1))) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(reply.status for reply in replies), [200] + 7 * [409])
        settings = self.good(self.daemon.get(f"/v1/settings/{self.tenant}"))
        self.assertEqual(settings["revision"], 2)
        old = self.good(self.daemon.get(f"/v1/settings/{self.tenant}", revision=1))
        self.assertEqual(old["document"], {"key_ratio_max": 2})
        self.refused(self.settings(self.tenant, {"nonsense": 1}), 400, "invalid")

    def test_limits_of_settings_have_errors_of_their_own(self):
        self.good(self.settings(self.tenant, {"document_size_max": 20, "document_keys_max": 3,
                                              "scopes_max": 2}))
        scope = f"{self.tenant}/a"
        self.refused(self.daemon.put(scope, {"a": "x" * 20}), 413, "document_size")
        self.refused(self.daemon.put(scope, {"a": [1, 2]}), 422, "keys")
        self.good(self.daemon.put(scope, {"a": [1]}))
        self.good(self.daemon.put(f"{self.tenant}/b", {}))
        self.refused(self.daemon.put(f"{self.tenant}/c", {}), 422, "scope_count")
        status = self.good(self.daemon.get(f"/v1/status/{scope}"))
        self.assertEqual((status["propagation_ms"], status["beyond"]), (None, None))
        self.good(self.settings(self.tenant, {"propagation_ms": 500, "retained_revisions": 1}))
        status = self.good(self.daemon.get(f"/v1/status/{scope}"))
        self.assertEqual((status["propagation_ms"], status["beyond"]), (500, 0))
        self.good(self.daemon.put(scope, {"a": 2}))
        self.refused(self.daemon.get(f"/v1/config/{scope}", revision=1), 404, "gone")
        history = self.good(self.daemon.get(f"/v1/history/{scope}"))
        self.assertEqual([revision.get("gone", False) for revision in history["revisions"]],
                         [False, True])


class Stopping(unittest.TestCase):
    def test_a_daemon_that_stops_does_not_wait_for_validators(self):
        folder = tempfile.mkdtemp(prefix="confcast-stopping-")
        self.addCleanup(shutil.rmtree, folder)
        program = os.path.join(folder, "sleeps")
        with open(program, "w", encoding="utf-8") as out:
            out.write("#!/bin/sh\necho x > $0.begun\nsleep 50\n")
        os.chmod(program, 0o755)
        daemon = control.Daemon(folder, "--validators", folder).start()
        self.addCleanup(daemon.kill)
        daemon.put("a", {})
        daemon.request("PUT", "/v1/settings/a", {"validators": [
            {"command": "sleeps", "timeout_ms": 60000}]})
        thread = threading.Thread(target=self.promote, args=(daemon,))
        thread.start()
        control.wait_until(lambda: os.path.exists(program + ".begun"))
        start = time.monotonic()
        self.assertEqual(daemon.stop(), 0)
        self.assertLess(time.monotonic() - start, 10)
        thread.join()
        daemon.start()
        self.assertEqual(daemon.get("/v1/release/a").json["state"], "EMPTY")
        self.assertEqual(daemon.stop(), 0)

    def promote(self, daemon):
        """It is refused, or the connection is closed first."""
        try:
            reply = daemon.release("a", "promote")
        except (http.client.HTTPException, OSError):
            return
        self.assertIn("stopping", reply.json["error"]["message"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
