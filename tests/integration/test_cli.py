#!/usr/bin/env python3
"""confcastctl against a real confcastd: output, and the exit codes of docs/cli.md."""

import json
import os
import re
import socket
import stat
import tempfile
import threading
import time
import unittest

from control import DaemonCase, ctl

OK, NEGATIVE, CONNECT, USAGE, CONFLICT, REFUSED, TIMEOUT, FENCED, FORBIDDEN, NOT_FOUND = range(10)


class LossyProxy(threading.Thread):
    """Passes connections on to the daemon; the first `lose` answers are swallowed."""

    def __init__(self, port, lose):
        super().__init__(daemon=True)
        self.port = port
        self.lose = lose
        self.seen = 0
        self.listener = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", self.port)) as server:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += client.recv(65536)
                length = re.search(rb"content-length: (\d+)", request, re.I)
                size = request.index(b"\r\n\r\n") + 4 + int(length.group(1) if length else 0)
                while len(request) < size:
                    request += client.recv(65536)
                server.sendall(request)
                answer = server.recv(65536)
                self.seen += 1
                if self.seen > self.lose:
                    client.sendall(answer)


class Cli(DaemonCase):
    def run_ctl(self, code, *args, **kwargs):
        result = self.daemon.ctl(*args, **kwargs)
        self.assertEqual(result.returncode, code, f"{args}: {result.stdout}{result.stderr}")
        if code in (OK, NEGATIVE) and "key" not in args:
            self.assertEqual(result.stderr, "", args)
        if code not in (OK, NEGATIVE):
            self.assertNotEqual(result.stderr, "", args)
        return result.stdout if code in (OK, NEGATIVE) else result.stderr

    def file(self, text):
        path = os.path.join(self.folder, f"{self.tenant}.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_doctor_finds_a_daemon_that_serves(self):
        result = self.daemon.ctl("doctor", "-o", "json")
        checks = {check["check"]: check for check in json.loads(result.stdout)["checks"]}
        self.assertEqual(checks["daemon"]["result"], "ok", checks)

    def test_a_command_that_is_misspelt_is_guessed(self):
        for word, guess in (("statsu", "did you mean status?"), ("pormote", "did you mean promote?"),
                            ("gett", "did you mean get?"), ("token", "token needs one of: create, list, delete"),
                            ("key", "key needs one of: init, enroll, rotate")):
            self.assertIn(guess, self.run_ctl(USAGE, word))
        for word in ("frobnicate", "x" * 5000, "zzzz"):
            self.assertNotIn("did you mean", self.run_ctl(USAGE, word))

    def test_help_is_a_command_too(self):
        self.assertEqual(self.run_ctl(OK, "help"), self.run_ctl(OK, "--help"))
        self.assertEqual(self.run_ctl(OK, "help", "promote"), self.run_ctl(OK, "promote", "--help"))
        self.assertEqual(self.run_ctl(OK, "help", "layers", "set"), self.run_ctl(OK, "layers", "set", "--help"))
        self.assertEqual(self.run_ctl(OK, "help", "token").count("usage: confcastctl token "), 3)
        self.assertIn("frob is not a command", self.run_ctl(USAGE, "help", "frob"))
        self.assertIn("pro is not a command", self.run_ctl(USAGE, "help", "pro"))

    def test_wait_says_what_is_missing(self):
        self.daemon.put(self.tenant, {"a": 1})
        self.assertIn("is not published yet", self.run_ctl(TIMEOUT, "wait", self.tenant, "--timeout", "50ms"))
        self.run_ctl(OK, "promote", self.tenant)
        said = self.run_ctl(TIMEOUT, "wait", self.tenant, "--timeout", "50ms")
        self.assertRegex(said, "not published yet|no consumer that follows it is known")

    def test_what_is_not_there_is_named(self):
        self.daemon.put(self.tenant, {"a": 1})
        self.run_ctl(OK, "promote", self.tenant)
        for args, words in (
                (("get", f"{self.tenant}/x"), f"there is no definition of {self.tenant}/x"),
                (("get", self.tenant, "--revision", "7"), f"there is no definition of {self.tenant}, revision 7"),
                (("history", f"{self.tenant}/x"), f"there is no definition of {self.tenant}/x"),
                (("promote", f"{self.tenant}/x"), f"there is no revision to release of {self.tenant}/x"),
                (("schema", self.tenant), f"there is no schema of {self.tenant}"),
                (("settings", self.tenant), f"there are no settings for {self.tenant}"),
                (("status", f"{self.tenant}/x"), f"there is no scope {self.tenant}/x"),
                (("consumers", "nobody"), "there is no consumer nobody"),
                (("rollback", self.tenant, "--to", "7"), "was never active")):
            with self.subTest(args=args):
                self.assertIn(words, self.run_ctl(NOT_FOUND, *args))

    def test_a_release_shows_what_there_is_to_say(self):
        for n in (1, 2):
            self.assertEqual(self.daemon.put(self.tenant, {"a": n}).status, 200)
            self.run_ctl(OK, "promote", self.tenant, *(["--strategy", "canary:5%", "-m", "try it"] if n == 2 else []))
        lines = [line.split(None, 1) for line in self.run_ctl(OK, "release", self.tenant).splitlines()]
        self.assertEqual([line[0] for line in lines],
                         ["scope", "state", "active_revision", "candidate_revision", "stage", "stage_since",
                          "release_version", "version", "last_action", "author", "changed", "message"])
        shown = dict(lines)
        self.assertEqual((shown["state"], shown["stage"], shown["message"]), ("ROLLING", "1 of canary:5%", "try it"))
        dry = self.run_ctl(OK, "abort", self.tenant, "--dry-run")
        self.assertIn("nothing written", dry.splitlines()[0])
        self.assertNotIn("changed", dry)
        # Programs get all of it, as it came.
        whole = json.loads(self.run_ctl(OK, "-o", "json", "release", self.tenant))
        self.assertEqual(whole["stage"]["strategy"], "canary:5%")
        self.run_ctl(OK, "abort", self.tenant)
        self.run_ctl(OK, "quarantine", self.tenant, "2")
        self.assertRegex(self.run_ctl(OK, "release", self.tenant), r"quarantined +2\n")

    def test_dry_runs_of_delete_and_layers_say_what_would_change(self):
        web = f"{self.tenant}/web"
        for scope, document in ((self.tenant, {"a": 1}), (web, {"b": 2})):
            self.daemon.put(scope, document)
            self.run_ctl(OK, "promote", scope)
        for args, key in ((("delete", web), "- /b"), (("layers", "set", web, web), "- /a")):
            before = self.run_ctl(OK, "status", web)
            said = self.run_ctl(OK, *args, "--dry-run")
            self.assertEqual(said.count("would give 1 scope a new version"), 1, said)
            self.assertIn(f"  {key}\n", said)
            preview = json.loads(self.run_ctl(OK, "-o", "json", *args, "--dry-run"))["preview"]
            self.assertEqual((preview["scopes"], preview["affected"][0]["removed"]), (1, 1))
            self.assertEqual(self.run_ctl(OK, "status", web), before)
        self.run_ctl(CONFLICT, "delete", web, "--dry-run", "--expected-revision", "7")
        self.run_ctl(NOT_FOUND, "delete", f"{web}/x", "--dry-run")
        self.assertEqual(self.run_ctl(OK, "effective", web), '{"a":1,"b":2}\n')

    def test_restore_says_what_is_in_the_way(self):
        backup = os.path.join(self.folder, f"{self.tenant}.backup")
        full = os.path.join(self.folder, f"{self.tenant}.data")
        self.run_ctl(OK, "backup", backup)
        self.run_ctl(NOT_FOUND, "restore", backup + ".x", "--data", full)
        self.run_ctl(NOT_FOUND, "restore", "--lift", "--data", full)
        os.mkdir(full)
        open(os.path.join(full, "mine"), "w").close()
        self.assertIn("is not empty", self.run_ctl(CONFLICT, "restore", backup, "--data", full))
        self.assertEqual(os.listdir(full), ["mine"])

    def test_a_refused_action_says_who_did_what(self):
        self.daemon.put(self.tenant, {"a": 1})
        self.run_ctl(OK, "promote", self.tenant, "--author", "ann")
        said = self.run_ctl(CONFLICT, "confirm", self.tenant)
        self.assertRegex(said, r"current: state ACTIVE, active_revision 1, last_action promote, author ann, changed 2\S+Z, "
                               r"release_version 1\n")
        # Another layer's rollout: its scope, and who began it.
        for scope in (f"{self.tenant}/web", f"{self.tenant}/web/a"):
            self.daemon.put(scope, {"a": 1})
            self.run_ctl(OK, "promote", scope)
            self.daemon.put(scope, {"a": 2})
        self.run_ctl(OK, "promote", f"{self.tenant}/web", "--strategy", "canary:5%", "--author", "bob")
        said = self.run_ctl(CONFLICT, "promote", f"{self.tenant}/web/a", "--strategy", "canary:5%")
        self.assertRegex(said, rf"current: holder {self.tenant}/web, state .*author bob")

    def test_put_get_promote_effective(self):
        scope = f"{self.tenant}/web"
        path = self.file('{"b": 1.0, "a": 0.1}')
        out = self.run_ctl(OK, "put", scope, "-f", path, "--promote", "-m", "first words",
                           "--expected-revision", "0", "--author", "ann")
        self.assertIn("revision 1", out)
        self.assertIn("ACTIVE", out)
        self.assertEqual(self.run_ctl(OK, "get", scope), '{"a":0.1,"b":1}\n')
        self.assertEqual(self.run_ctl(OK, "-o", "json", "get", scope), '{"a":0.1,"b":1}\n')
        self.assertEqual(self.run_ctl(OK, "get", scope, "-o", "yaml"), 'a: 0.1\nb: 1\n')
        self.assertEqual(self.run_ctl(OK, "effective", scope), '{"a":0.1,"b":1}\n')
        meta = json.loads(self.run_ctl(OK, "get", scope, "--meta"))
        self.assertEqual((meta["revision"], meta["author"], meta["message"]),
                         (1, "ann", "first words"))
        release = json.loads(self.run_ctl(OK, "-o", "json", "release", scope))
        self.assertEqual((release["state"], release["author"]), ("ACTIVE", "ann"))
        out = self.run_ctl(OK, "history", scope)
        self.assertRegex(out.splitlines()[0], r"^REVISION +TIME +AUTHOR")
        self.assertRegex(out.splitlines()[1], r"^ *1 +\d{4}-.* ann .*first words$")

    def test_standard_input_and_unix_sockets(self):
        for n, server in enumerate((f"unix:{self.daemon.unix}", f"unix://{self.daemon.unix}")):
            self.run_ctl(OK, "put", self.tenant, "-f", "-", stdin=f'{{"n":{n}}}', server=server)
            self.assertEqual(self.run_ctl(OK, "get", self.tenant, server=server),
                             f'{{"n":{n}}}\n')
        result = ctl("get", self.tenant, env={"CONFCAST_SERVER": f"unix:{self.daemon.unix}"})
        self.assertEqual((result.returncode, result.stdout), (OK, '{"n":1}\n'))

    def test_a_conflict_prints_the_current_version_and_who_holds_it(self):
        self.run_ctl(OK, "put", self.tenant, "-f", "-", "--author", "bob", stdin="{}")
        err = self.run_ctl(CONFLICT, "put", self.tenant, "-f", "-", "--expected-revision", "0",
                           stdin="{}")
        self.assertIn("revision 1", err)
        self.assertIn("bob", err)
        self.run_ctl(OK, "promote", self.tenant)
        err = self.run_ctl(CONFLICT, "advance", self.tenant)
        self.assertIn("state ACTIVE", err)
        self.run_ctl(OK, "put", f"{self.tenant}/x", "-f", "-", "--promote", stdin="{}")
        self.run_ctl(OK, "put", f"{self.tenant}/x", "-f", "-", stdin='{"a":1}')
        self.run_ctl(OK, "put", self.tenant, "-f", "-", "--promote", "--strategy", "canary:5%",
                     stdin='{"b":1}')
        err = self.run_ctl(CONFLICT, "promote", f"{self.tenant}/x", "--strategy", "canary:5%")
        self.assertIn(f"holder {self.tenant}", err)

    def test_every_action_reaches_its_state(self):
        for n in (1, 2):
            self.run_ctl(OK, "put", self.tenant, "-f", "-", "--promote", stdin=f'{{"n":{n}}}')
        self.run_ctl(OK, "put", self.tenant, "-f", "-", stdin='{"n":3}')
        rows = [
            (("promote", self.tenant, "3", "--strategy", "stages:1%,50%,100%"), "ROLLING"),
            (("advance", self.tenant), "ROLLING"), (("pause", self.tenant), "PAUSED"),
            (("resume", self.tenant), "ROLLING"), (("abort", self.tenant), "ACTIVE"),
            (("rollback", self.tenant), "ACTIVE"), (("rollback", self.tenant, "--to", "2"), "ACTIVE"),
            (("quarantine", self.tenant, "3"), "ACTIVE"), (("disable", self.tenant), "DISABLED"),
            (("enable", self.tenant), "ACTIVE"),
        ]
        for args, state in rows:
            with self.subTest(args=args):
                release = json.loads(self.run_ctl(OK, "-o", "json", *args))
                self.assertEqual(release["state"], state)
        self.assertEqual(release["active_revision"], 2)
        self.run_ctl(CONFLICT, "promote", self.tenant, "3")
        self.assertIn("DELETED", self.run_ctl(OK, "delete", self.tenant) +
                      self.run_ctl(OK, "release", self.tenant))

    def batch(self, code, *items, options=()):
        body = json.dumps({"items": list(items)})
        return self.run_ctl(code, "batch", "-f", "-", *options, stdin=body)

    def test_a_batch_is_one_step(self):
        web = f"{self.tenant}/web"
        out = self.batch(OK, {"put": self.tenant, "document": {"a": 1}}, {"put": web, "document": {"b": 2}},
                         {"release": self.tenant, "action": "promote"},
                         {"release": web, "action": "promote"}, options=("-m", "both"))
        self.assertRegex(out, r"version \d+, 2 scopes affected")
        versions = [json.loads(self.run_ctl(OK, "effective", s, "--meta"))["version"]
                    for s in (self.tenant, web)]
        self.assertEqual(versions[0], versions[1])
        err = self.batch(CONFLICT, {"put": self.tenant, "document": {}},
                         {"put": web, "document": {}, "expected_revision": 7})
        self.assertIn("item 1", err)
        self.assertEqual(self.run_ctl(OK, "get", self.tenant), '{"a":1}\n')
        self.assertIn("nothing written", self.batch(OK, {"delete": web}, options=("--dry-run",)))
        self.run_ctl(OK, "get", web)
        self.batch(USAGE, {"put": web})
        self.batch(NOT_FOUND, {"put": web, "document": {}}, {"delete": f"{web}/nobody"})

    def test_put_and_promote_are_one_step(self):
        self.run_ctl(OK, "put", self.tenant, "-f", "-", "--promote", stdin='{"a":1}')
        self.run_ctl(USAGE, "put", self.tenant, "-f", "-", "--promote", "--strategy", "most",
                     stdin='{"a":2}')
        self.assertEqual(self.run_ctl(OK, "get", self.tenant), '{"a":1}\n')
        self.run_ctl(USAGE, "put", self.tenant, "-f", "-", "--promote", stdin='{"a":2,"a":3}')
        self.run_ctl(USAGE, "put", self.tenant, "-f", "-", "--promote", stdin='{},"message":{}')
        self.assertIn("nothing written", self.run_ctl(OK, "put", self.tenant, "-f", "-", "--promote",
                                                      "--dry-run", stdin='{"a":2}'))
        self.assertEqual(self.run_ctl(OK, "effective", self.tenant), '{"a":1}\n')

    def test_layers_are_shown_and_set(self):
        scope = f"{self.tenant}/web"
        shown = json.loads(self.run_ctl(OK, "-o", "json", "layers", scope))
        self.assertEqual(shown["layers"], [self.tenant, scope])
        self.run_ctl(OK, "layers", "set", scope, scope, self.tenant)
        shown = json.loads(self.run_ctl(OK, "-o", "json", "layers", "show", scope))
        self.assertEqual(shown["layers"], [scope, self.tenant])
        self.run_ctl(OK, "layers", "set", scope, "--default")
        self.run_ctl(USAGE, "layers", "set", scope)
        self.run_ctl(USAGE, "layers", "set", scope, self.tenant, "--default")

    def test_diff_says_what_differs_and_answers_with_its_exit_code(self):
        for text in ('{"a":1,"b":{"x/y":[1,2]},"c":0}', '{"a":1,"b":{"x/y":[1,3,4]},"d":{}}'):
            self.run_ctl(OK, "put", self.tenant, "-f", "-", stdin=text)
        out = self.run_ctl(NEGATIVE, "diff", self.tenant, "1", "2")
        self.assertEqual(out.splitlines(), ["- /b/x~1y/1: 2", "+ /b/x~1y/1: 3",
                                            "+ /b/x~1y/2: 4", "- /c: 0", "+ /d: {}"])
        self.assertEqual(self.run_ctl(OK, "diff", self.tenant, "2", "2"), "")
        self.run_ctl(NOT_FOUND, "diff", self.tenant)
        self.run_ctl(OK, "promote", self.tenant, "2")
        self.run_ctl(OK, "diff", self.tenant)
        got = json.loads(self.run_ctl(NEGATIVE, "-o", "json", "diff", self.tenant, "1"))
        self.assertEqual([row["path"] for row in got["differences"]],
                         ["/b/x~1y/1", "/b/x~1y/2", "/c", "/d"])

    def test_exit_codes(self):
        self.run_ctl(OK, "put", self.tenant, "-f", "-", "--promote", stdin="{}")
        self.run_ctl(CONNECT, "get", self.tenant, server="http://127.0.0.1:1")
        self.run_ctl(CONNECT, "get", self.tenant, server="unix:/nonexistent/socket")
        for args in (("frob",), ("get",), ("get", "A"), ("get", self.tenant, "x"),
                     ("get", self.tenant, "--frob"), ("get", self.tenant, "--revision", "x"),
                     ("put", self.tenant), ("put", self.tenant, "-f", "/"),
                     ("-o", "xml", "get", self.tenant), ("promote", self.tenant, "x"),
                     ("wait", self.tenant, "--applied", "0"), ("wait", self.tenant, "--timeout", "x"),
                     ("promote", self.tenant, "--strategy", "canary:0%")):
            with self.subTest(args=args):
                self.run_ctl(USAGE, *args)
        self.run_ctl(USAGE, "get", self.tenant, server="ftp://x")
        self.run_ctl(NOT_FOUND, "put", self.tenant, "-f", "/nonexistent")
        self.run_ctl(USAGE, "put", self.tenant, "-f", "-", stdin='{"a":1,"a":2}')
        self.run_ctl(REFUSED, "put", self.tenant, "-f", "-", stdin='{"a":9007199254740993}')
        self.run_ctl(NOT_FOUND, "get", self.tenant + "/none")
        self.run_ctl(NOT_FOUND, "get", self.tenant, "--revision", "7")
        self.run_ctl(NOT_FOUND, "promote", self.tenant, "7")

    def test_a_put_whose_promotion_is_refused_is_not_written(self):
        for _ in (1, 2):
            self.run_ctl(OK, "put", self.tenant, "-f", "-", "--promote", stdin="{}")
        self.run_ctl(OK, "put", self.tenant, "-f", "-", "--promote", "--strategy", "canary:5%",
                     stdin="{}")
        result = self.daemon.ctl("put", self.tenant, "-f", "-", "--promote", stdin='{"x":1}')
        self.assertEqual(result.returncode, CONFLICT)
        self.assertEqual(result.stdout, "")
        self.assertEqual(json.loads(self.run_ctl(OK, "get", self.tenant, "--meta"))["revision"], 3)

    def test_wait_tells_no_from_too_late(self):
        self.run_ctl(OK, "put", self.tenant, "-f", "-", "--promote", stdin="{}")
        self.run_ctl(NEGATIVE, "wait", self.tenant, "--timeout", "0")
        start = time.monotonic()
        self.run_ctl(TIMEOUT, "wait", self.tenant, "--applied", "1", "--timeout", "300ms")
        self.assertGreaterEqual(time.monotonic() - start, 0.3)
        self.run_ctl(NOT_FOUND, "wait", self.tenant + "/none")

    def test_what_is_approved_is_named_by_the_digits_that_history_shows(self):
        self.run_ctl(OK, "put", self.tenant, "-f", "-", "--author", "ann", stdin='{"a":1}')
        digest = json.loads(self.run_ctl(OK, "get", self.tenant, "--meta"))["digest"]
        digits = self.run_ctl(OK, "history", self.tenant).splitlines()[1].split()[4]
        self.assertEqual(digits, digest[:16])
        self.run_ctl(USAGE, "approve", self.tenant, "1", digest[:15], "--author", "bob")
        self.run_ctl(USAGE, "approve", self.tenant, "1", digest.upper(), "--author", "bob")
        wrong = digits[:-1] + ("0" if digits[-1] != "0" else "1")
        self.assertIn(digest, self.run_ctl(CONFLICT, "approve", self.tenant, "1", wrong, "--author", "bob"))
        self.run_ctl(OK, "approve", self.tenant, "1", digits, "--author", "bob")
        self.run_ctl(OK, "approve", self.tenant, "1", digest, "--author", "cid")

    def test_status_and_inventory(self):
        self.run_ctl(OK, "put", self.tenant, "-f", "-", "--promote", stdin="{}")
        out = self.run_ctl(OK, "status", self.tenant)
        self.assertRegex(out.splitlines()[0], r"^SCOPE +STATE +VERSION +PUBLISHED +TOTAL +PREPARED")
        self.assertRegex(out.splitlines()[1], rf"^{self.tenant} +ACTIVE +\d+")
        self.assertIn(self.tenant, self.run_ctl(OK, "status"))
        self.assertIn("scopes", json.loads(self.run_ctl(OK, "-o", "json", "status")))
        self.assertIn("CONSUMER", self.run_ctl(OK, "consumers", "--behind"))
        self.run_ctl(NOT_FOUND, "consumers", "nobody")
        self.assertIn("promote", self.run_ctl(OK, "audit", "--limit", "1"))

    def test_a_lost_answer_is_asked_for_again_and_changes_once(self):
        proxy = LossyProxy(self.daemon.port, lose=1)
        proxy.start()
        try:
            self.run_ctl(OK, "put", self.tenant, "-f", "-", "--expected-revision", "0",
                         stdin='{"a":1}', server=proxy.url)
        finally:
            proxy.listener.close()
        self.assertEqual(proxy.seen, 2)
        history = json.loads(self.run_ctl(OK, "-o", "json", "history", self.tenant))
        self.assertEqual(len(history["revisions"]), 1)

    def test_a_key_given_twice_changes_once(self):
        for _ in (1, 2):
            self.run_ctl(OK, "--idempotency-key", "k" + self.tenant, "put", self.tenant, "-f", "-",
                         "--promote", stdin='{"a":1}')
        release = json.loads(self.run_ctl(OK, "-o", "json", "release", self.tenant))
        self.assertEqual((release["active_revision"], release["release_version"]), (1, 1))

    def test_messages_cannot_drive_the_terminal(self):
        self.good(self.daemon.put(self.tenant, {}, message="caf\u00e9"))
        self.assertIn("caf\u00e9", self.run_ctl(OK, "history", self.tenant))
        self.refused(self.daemon.put(self.tenant, {}, message="\x1b[2J"), 400)
        self.good(self.daemon.put(self.tenant, {}, message="a\u009b2Jb"))
        self.assertIn("a  2Jb", self.run_ctl(OK, "history", self.tenant))

    def test_help_goes_to_standard_output(self):
        for args in (("--help",), ("put", "--help"), ("-h",)):
            result = ctl(*args)
            self.assertEqual((result.returncode, result.stderr), (OK, ""))
            self.assertIn("usage: confcastctl", result.stdout)


class Keys(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="confcast-keys-")
        self.folder = os.path.join(self.temporary.name, "keys")

    def tearDown(self):
        self.temporary.cleanup()

    def test_init_and_enroll(self):
        result = ctl("key", "init", "--dir", self.folder, "--fleet", "dc1", "--engine", "10.0.0.1",
                     "--engine", "10.0.0.2:7501", "--group-count", "8",
                     "--pull-url", "https://control:7400")
        self.assertEqual(result.returncode, OK, result.stderr)
        with open(os.path.join(self.folder, "fleet.json"), encoding="ascii") as file:
            text = file.read()
        fleet = json.loads(text)
        self.assertEqual(text, json.dumps(fleet, sort_keys=True, separators=(",", ":")) + "\n")
        self.assertEqual(fleet["engines"], [{"address": "10.0.0.1", "port": 7500},
                                            {"address": "10.0.0.2", "port": 7501}])
        self.assertEqual(fleet["groups"], {"base": "239.192.0.0", "count": 8})
        self.assertEqual((fleet["name"], fleet["sequence"]), ("dc1", 1))
        out = os.path.join(self.temporary.name, "web-1.json")
        enroll = ("key", "enroll", "--dir", self.folder, "--id", "web-1", "--label", "zone=eu-1",
                  "-o", out)
        self.assertEqual(ctl(*enroll).returncode, OK)
        self.assertEqual(stat.S_IMODE(os.stat(out).st_mode), 0o600)
        with open(out, encoding="ascii") as file:
            credential = json.load(file)
        self.assertEqual((credential["id"], credential["fleet"], credential["labels"],
                          credential["root_key"]),
                         ("web-1", "dc1", {"zone": "eu-1"}, fleet["root_key"]))
        self.assertEqual(ctl(*enroll).returncode, CONFLICT)
        self.assertEqual(ctl("key", "init", "--dir", self.folder, "--engine", "10.0.0.1").returncode,
                         CONFLICT)
        again = ctl("key", "enroll", "--dir", self.folder, "--id", "web-1", "-o", "-")
        self.assertEqual(json.loads(again.stdout)["session_key"], credential["session_key"])
        other = ctl("key", "enroll", "--dir", self.folder, "--id", "web-2", "-o", "-")
        self.assertNotEqual(json.loads(other.stdout)["session_key"], credential["session_key"])

    def examine(self, *args):
        """Exit code and {check: result} of `doctor`."""
        result = ctl("doctor", "-o", "json", *args)
        report = json.loads(result.stdout)
        results = {check["check"]: check["result"] for check in report["checks"]}
        for check in report["checks"]:
            self.assertEqual(check["advice"] == "", check["result"] == "ok", check)
        self.assertEqual(report["healthy"], "fail" not in results.values())
        self.assertEqual(result.returncode, OK if report["healthy"] else NEGATIVE, report)
        return result.returncode, results

    def test_doctor_finds_a_loose_key_and_one_of_another_fleet(self):
        for folder in (self.folder, self.folder + "2"):
            self.assertEqual(ctl("key", "init", "--dir", folder, "--engine", "10.0.0.1").returncode, OK)
        names = ("release.key", "session.key", "report.key", "fleet.json")
        code, results = self.examine("--local", "--keys", self.folder)
        self.assertEqual((code, [results[name] for name in names]), (OK, ["ok"] * 4))
        key = os.path.join(self.folder, "session.key")
        os.chmod(key, 0o644)
        code, results = self.examine("--local", "--keys", self.folder)
        self.assertEqual((code, results["session.key"], results["report.key"]),
                         (NEGATIVE, "fail", "ok"))
        os.chmod(key, 0o600)
        os.replace(os.path.join(self.folder + "2", "release.key"),
                   os.path.join(self.folder, "release.key"))
        code, results = self.examine("--local", "--keys", self.folder)
        self.assertEqual(code, NEGATIVE, results)

    def test_doctor_says_that_no_daemon_answers_and_what_to_do(self):
        result = ctl("--server", "http://127.0.0.1:1", "doctor")
        self.assertEqual(result.returncode, NEGATIVE)
        self.assertRegex(result.stdout, r"(?m)^fail +daemon ")
        self.assertIn("daemon: is confcastd up", result.stdout + result.stderr)
        code, results = self.examine("--local")
        self.assertEqual((code, "daemon" in results), (OK, False))

    def test_wrong_options_and_loose_secrets_are_refused(self):
        for args in (("key", "init", "--dir", self.folder), ("key", "init", "--engine", "10.0.0.1"),
                     ("key", "init", "--dir", self.folder, "--engine", "x"),
                     ("key", "init", "--dir", self.folder, "--engine", "10.0.0.1", "--port", "0"),
                     ("key", "init", "--dir", self.folder, "--engine", "10.0.0.1", "--group-count",
                      "17"),
                     ("key", "enroll", "--dir", self.folder, "--id", "a")):
            with self.subTest(args=args):
                self.assertEqual(ctl(*args).returncode, USAGE)
        self.assertEqual(ctl("key", "enroll", "--dir", self.folder, "--id", "a", "-o", "-")
                         .returncode, NOT_FOUND)
        self.assertEqual(ctl("key", "init", "--dir", self.folder, "--engine", "10.0.0.1").returncode,
                         OK)
        for label in ("x", "=x", "k=" + "v" * 64):
            self.assertEqual(ctl("key", "enroll", "--dir", self.folder, "--id", "a", "--label",
                                 label, "-o", "-").returncode, USAGE)
        os.chmod(os.path.join(self.folder, "session.key"), 0o644)
        result = ctl("key", "enroll", "--dir", self.folder, "--id", "a", "-o", "-")
        self.assertEqual((result.returncode, result.stdout), (FORBIDDEN, ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
