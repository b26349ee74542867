#!/usr/bin/env python3
"""What confcastctl shows: tables, YAML, colours on a terminal, and what it says while it watches and waits."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

import yaml

import control
from control import DaemonCase, ctl

OK, NEGATIVE, CONNECT, USAGE, CONFLICT, REFUSED, TIMEOUT, FENCED, FORBIDDEN, NOT_FOUND = range(10)
ESCAPE = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


class Terminal:
    """confcastctl on a pseudo-terminal of `rows` lines; stdout or stderr only, the other one is a pipe."""

    def __init__(self, args, stream="stdout", rows=24, env=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 100, 0, 0))
        other = "stderr" if stream == "stdout" else "stdout"
        base = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        self.process = subprocess.Popen([control.CONFCASTCTL, *args], stdin=subprocess.DEVNULL,
                                        env={**base, "TERM": "xterm", **(env or {})},
                                        **{stream: slave, other: subprocess.PIPE})
        os.close(slave)
        self.text = ""

    def read_until(self, what, timeout_s=20):
        deadline = time.monotonic() + timeout_s
        while not what(self.text):
            if time.monotonic() > deadline:
                raise AssertionError(f"not seen in time: {self.text!r}")
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.text += os.read(self.master, 65536).decode()
                except OSError:  # the other side is closed
                    if what(self.text):
                        break
                    raise AssertionError(f"ended early: {self.text!r}") from None
        return self.text

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
        os.close(self.master)


def screen(text):
    """The lines that a terminal shows after `text`: it knows what confcastctl uses."""
    lines, row = [""], 0
    for piece in re.findall(r"\x1b\[(?:[?0-9;]*)[A-Za-z]|[^\x1b]", text):
        if piece == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif piece == "\r":
            continue
        elif piece.startswith("\x1b") and piece.endswith("A"):
            row -= int(piece[2:-1])
            assert row >= 0, "above the top"
        elif piece == "\x1b[J":
            del lines[row:]
            lines.append("")
        elif not piece.startswith("\x1b"):
            lines[row] += piece
    return lines


class Views(DaemonCase):
    def run_ctl(self, code, *args, **kwargs):
        result = self.daemon.ctl(*args, **kwargs)
        self.assertEqual(result.returncode, code, f"{args}: {result.stdout}{result.stderr}")
        return result.stdout if code in (OK, NEGATIVE) else result.stderr

    def put(self, scope, document="{}", *more):
        self.run_ctl(OK, "put", scope, "-f", "-", "--promote", *more, stdin=document)

    def terminal(self, *args, **kwargs):
        terminal = Terminal(["--server", self.daemon.url, *args], **kwargs)
        self.addCleanup(terminal.close)
        return terminal

    def test_every_result_is_yaml_where_that_is_asked(self):
        document = {"no": "no", "e": ["1e3", "null", "", "y", "0x1", "2026-01-01", 1e22, 0.1, -0.5, True, None, {}, []],
                    "lines": "one\n  two\n\nthree\n", "odd": " \t'\"\\:#\u0085\u2028\u00e9\U0001f600", "k: v": {"a b": "x"}}
        self.put(self.tenant, json.dumps(document), "-m", "why: not")
        self.assertEqual(yaml.safe_load(self.run_ctl(OK, "-o", "yaml", "get", self.tenant)), document)
        self.assertEqual(yaml.safe_load(self.run_ctl(OK, "-o", "yaml", "effective", self.tenant)),
                         {**document, "e": document["e"]})
        for args in (("get", self.tenant, "--meta"), ("history", self.tenant), ("release", self.tenant), ("status",),
                     ("status", self.tenant), ("layers", self.tenant), ("consumers",), ("audit", "--limit", "3"),
                     ("token", "list"), ("role", "show"), ("audit", "--verify"), ("promote", self.tenant),
                     ("wait", self.tenant, "--timeout", "0")):
            with self.subTest(args=args):
                result = [self.daemon.ctl("-o", form, *args) for form in ("yaml", "json")]
                kept = [yaml.safe_load(result[0].stdout), json.loads(result[1].stdout)]
                self.assertIsInstance(kept[0], dict)
                self.assertEqual(kept[0].keys(), kept[1].keys())

    def test_tables_fit_a_hundred_columns(self):
        scope = "/".join([self.tenant] + [f"segment-{n}-{'x' * 40}" for n in range(6)])
        self.put(scope, "{}", "-m", "a message that has many words, " * 20, "--author", "somebody-with-a-long-name" * 3)
        for args in (("status",), ("status", scope), ("history", scope), ("audit", "--limit", "5"), ("--help",),
                     *((*name.split(), "--help") for name in command_names())):
            with self.subTest(args=args):
                for line in self.run_ctl(OK, *args).splitlines():
                    self.assertLessEqual(len(line), 100, line)
        self.assertRegex(self.run_ctl(OK, "status", scope), rf"\n{self.tenant}/\S*\.\.\.x+ ")
        self.assertIn(scope, self.run_ctl(OK, "-o", "json", "status", scope))

    def test_a_value_is_explained(self):
        web = f"{self.tenant}/web"
        self.put(self.tenant, '{"a": 1, "b": {"x": "old"}}')
        self.put(web, '{"a": "two", "b": {"x": null}}')
        lines = self.run_ctl(OK, "effective", web, "--explain", "/a").splitlines()
        self.assertEqual(lines[0], f'/a in {web}: "two"')
        self.assertRegex(lines[1], r"^RANK +LAYER +REVISION +STATE +EFFECT +AT +VALUE$")
        self.assertRegex(lines[2], rf'^wins +{web} +1 +ACTIVE +sets +/a +"two"$')
        self.assertRegex(lines[3], rf"^loses +{self.tenant} +1 +ACTIVE +sets +/a +1$")
        out = self.run_ctl(NEGATIVE, "effective", web, "-e", "/b/x")
        self.assertIn("no value", out)
        self.assertRegex(out, rf"wins +{web} +1 +ACTIVE +deletes")
        self.run_ctl(NEGATIVE, "effective", web, "-e", "/none")
        answer = json.loads(self.run_ctl(OK, "-o", "json", "effective", web, "-e", "/a"))
        self.assertEqual((answer["value"], answer["winner"]["layer"]), ("two", web))
        self.run_ctl(USAGE, "effective", web, "-e", "a")
        self.run_ctl(USAGE, "effective", web, "-e", "/a", "--meta")

    def test_nulls_are_warned_of(self):
        for options in ((), ("--promote",), ("--dry-run",)):
            result = self.daemon.ctl("put", self.tenant, "-f", "-", *options, stdin='{"a": {"b": null}}')
            self.assertEqual(result.returncode, OK)
            self.assertIn("confcastctl: warning: 1 member is null, the first at /a/b", result.stderr)
            self.assertNotIn("warning", result.stdout)
        result = self.daemon.ctl("-o", "json", "put", self.tenant, "-f", "-", stdin='{"a": {"b": null}}')
        self.assertEqual((len(json.loads(result.stdout)["warnings"]), result.stderr), (1, ""))

    def test_a_dry_run_says_what_would_change(self):
        web = f"{self.tenant}/web"
        self.put(self.tenant, '{"a": 1, "gone": 2}')
        self.put(web, '{"w": 1}')
        document = '{"a": 3, "new": [1]}'
        body = json.dumps({"items": [{"put": self.tenant, "document": json.loads(document)},
                                     {"release": self.tenant, "action": "promote"}]})
        outs = [self.run_ctl(OK, "put", self.tenant, "-f", "-", "--dry-run", stdin=document),
                self.run_ctl(OK, "put", self.tenant, "-f", "-", "--promote", "--dry-run", stdin=document),
                self.run_ctl(OK, "batch", "-f", "-", "--dry-run", stdin=body)]
        self.run_ctl(OK, "put", self.tenant, "-f", "-", stdin=document)
        outs.append(self.run_ctl(OK, "promote", self.tenant, "--dry-run"))
        for out in outs:
            with self.subTest(out=out):
                self.assertIn("would give 2 scopes a new version; consumers: 0; new contents: 2, ", out)
                self.assertRegex(out, r"SCOPE +CONSUMERS +BYTES NOW +BYTES THEN +ADDED +CHANGED +REMOVED\n")
                self.assertRegex(out, rf"\n{web} +0 +\d+ +\d+ +1 +1 +1\n")
                self.assertIn(f"\nkeys of {web}\n  ~ /a\n  - /gone\n  + /new\n", out)
        self.assertIn("nothing written", outs[0])
        self.assertEqual(self.run_ctl(OK, "effective", self.tenant), '{"a":1,"gone":2}\n')
        self.run_ctl(OK, "schema", "set", self.tenant, "-f", "-", stdin='{"required": ["z"]}')
        self.assertIn("a promotion would be refused: schema_mismatch: ",
                      self.run_ctl(OK, "put", self.tenant, "-f", "-", "--dry-run", stdin=document))

    def test_colours_are_for_terminals_that_want_them(self):
        self.put(self.tenant)
        args = ("status", self.tenant)
        seen = lambda text: "STALE" in text and text.count("\n") >= 2
        self.assertIn("\x1b[32mACTIVE", self.terminal(*args).read_until(seen))
        for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}):
            with self.subTest(env=env):
                self.assertNotIn("\x1b", self.terminal(*args, env=env).read_until(seen))
        self.assertIn("\x1b", self.terminal(*args, env={"NO_COLOR": ""}).read_until(seen))
        self.assertNotIn("\x1b", self.run_ctl(OK, *args, env={"TERM": "xterm"}))

    def test_a_watched_terminal_is_drawn_over(self):
        self.put(self.tenant)
        terminal = self.terminal("status", self.tenant, "--watch", "--interval", "50ms")
        terminal.read_until(lambda text: text.count("ACTIVE") >= 3 and text.endswith("\x1b[?7h"))
        self.assertEqual(terminal.text.count("\x1b[?7l") - terminal.text.count("\x1b[?7h"), 0)
        shown = [ESCAPE.sub("", line) for line in screen(terminal.text)]
        self.assertEqual(sum("ACTIVE" in line for line in shown), 1, shown)
        self.assertTrue(shown[0].startswith("SCOPE"), shown)
        self.put(self.tenant, "{}")
        self.put(self.tenant, '{"a":1}', "--strategy", "canary:5%")
        terminal.read_until(lambda text: "rollout:" in text)
        shown = screen(terminal.text)
        self.assertEqual(sum("SCOPE" in line for line in shown), 1, shown)
        terminal.process.send_signal(signal.SIGINT)
        self.assertEqual(terminal.process.wait(20), -signal.SIGINT)

    def test_a_small_terminal_is_not_scrolled(self):
        for n in range(12):
            self.put(f"{self.tenant}/s{n}")
        terminal = self.terminal("status", "--watch", "--interval", "50ms", rows=8)
        terminal.read_until(lambda text: text.count("SCOPE") >= 3)
        self.assertLessEqual(len(screen(terminal.text)), 8)

    def watch(self, *args, server=None):
        process = subprocess.Popen([control.CONFCASTCTL, "--server", server or self.daemon.url, *args, "--watch"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (process.kill(), process.wait(), process.stdout.close(), process.stderr.close()))
        return process

    def test_elsewhere_a_watch_is_a_line_per_change(self):
        for how in ((), ("--interval", "30ms")):
            with self.subTest(how=how):
                self.put(self.tenant)
                process = self.watch("status", self.tenant, *how)
                self.assertRegex(process.stdout.readline(), rf"^\S+Z {self.tenant} ACTIVE version \d+ ")
                time.sleep(0.2)  # in which nothing changes
                self.run_ctl(OK, "disable", self.tenant)
                self.assertIn(" DISABLED ", process.stdout.readline())
                rows = self.watch("-o", "json", "status", *how)

                def row_of_tenant():
                    return next(row for row in map(json.loads, rows.stdout) if row["scope"] == self.tenant)

                self.assertEqual(row_of_tenant()["state"], "DISABLED")
                self.run_ctl(OK, "enable", self.tenant)
                row = row_of_tenant()
                self.assertEqual(row["state"], "ACTIVE")
                self.assertIn("time", row)
                documents = self.watch("-o", "yaml", "status", self.tenant, *how)
                self.assertEqual(documents.stdout.readline(), "---\n")

    def answers(self):
        text = self.daemon.get("/metrics").body.decode()
        return int(re.search(r'confcast_http_requests_total\{code="200"\} (\d+)', text)[1])

    def test_a_watch_is_told_and_does_not_ask(self):
        self.put(self.tenant)
        process = self.watch("status", self.tenant)
        process.stdout.readline()
        before = self.answers()
        time.sleep(2)
        self.assertEqual(self.answers() - before, 1)  # the one that asked for this
        asking = self.watch("status", self.tenant, "--interval", "100ms")
        asking.stdout.readline()
        time.sleep(1)
        self.assertGreater(self.answers() - before, 5)

    def wait_for_room(self):
        def is_there():
            connection = self.daemon.connection()
            connection.request("GET", "/v1/status?watch=1")
            status = connection.getresponse().status
            connection.close()
            return status == 200
        control.wait_until(is_there)

    def test_a_watch_asks_where_it_is_not_told(self):
        self.put(self.tenant)
        streams = [control.UnixConnection(self.daemon.unix) for _ in range(64)]
        self.addCleanup(self.wait_for_room)
        for stream in streams:
            self.addCleanup(stream.close)
            stream.request("GET", "/v1/status?watch=1")
            stream.getresponse()
        self.assertEqual(self.daemon.get("/v1/status", watch=1).status, 503)
        process = self.watch("status", self.tenant)
        self.assertIn(" ACTIVE ", process.stdout.readline())
        self.run_ctl(OK, "disable", self.tenant)
        self.assertIn(" DISABLED ", process.stdout.readline())

    def test_a_terminal_is_told_of_all_scopes(self):
        for name in ("b", "a", "c"):
            self.put(f"{self.tenant}/{name}")
        terminal = self.terminal("status", "--watch", rows=100)
        terminal.read_until(lambda text: text.count("SCOPE") >= 1 and text.endswith("\x1b[?7h"))
        self.run_ctl(OK, "disable", f"{self.tenant}/b")
        self.put(f"{self.tenant}/bb")
        terminal.read_until(lambda text: "DISABLED" in text and f"{self.tenant}/bb" in text and text.endswith("\x1b[?7h"))
        rows = [ESCAPE.sub("", line).split()[:2] for line in screen(terminal.text) if f"{self.tenant}/" in line]
        self.assertEqual(rows, [[f"{self.tenant}/a", "ACTIVE"], [f"{self.tenant}/b", "DISABLED"],
                                [f"{self.tenant}/bb", "ACTIVE"], [f"{self.tenant}/c", "ACTIVE"]])

    def test_a_watch_that_cannot_begin_ends(self):
        for server, scope, code in (("http://127.0.0.1:1", "a", CONNECT), (None, f"{self.tenant}/none", NOT_FOUND)):
            process = self.watch("status", scope, server=server)
            _, err = process.communicate(timeout=20)
            self.assertEqual(process.returncode, code)
            self.assertNotEqual(err, "")
        self.run_ctl(USAGE, "status", "--interval", "1s")
        self.run_ctl(USAGE, "status", "--watch", "--interval", "1ms")

    def test_progress_is_for_terminals_and_goes_away(self):
        self.put(self.tenant)
        waiting = ("wait", self.tenant, "--applied", "1", "--timeout", "700ms")
        terminal = self.terminal(*waiting, stream="stderr")
        text = terminal.read_until(lambda seen: "not reached in time" in seen)
        self.assertRegex(text, r"\r\x1b\[K" + self.tenant + r" version \d+: 0 of 0 applied, 0 s")
        self.assertIn("\r\x1b[K", text.split("applied, 0 s")[-1])
        self.assertEqual(terminal.process.wait(20), TIMEOUT)
        self.assertNotIn("\x1b", terminal.process.stdout.read().decode())
        result = self.daemon.ctl(*waiting, env={"TERM": "xterm"})
        self.assertNotIn("\x1b", result.stderr)


class Restart(DaemonCase):
    def survive(self, *how):
        self.good(self.daemon.put(self.tenant, {}))
        process = subprocess.Popen([control.CONFCASTCTL, "--server", f"unix:{self.daemon.unix}", "status",
                                    self.tenant, "--watch", *how],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            self.assertIn(self.tenant, process.stdout.readline())
            self.daemon.kill()
            self.assertIn("trying again", process.stderr.readline())
            self.daemon.start()
            self.good(self.daemon.release(self.tenant, "promote"))
            while " ACTIVE " not in process.stdout.readline():
                pass
        finally:
            process.kill()
            _, err = process.communicate()
        self.assertEqual(err, "")

    def test_a_watch_survives_the_server(self):
        self.survive()

    def test_a_watch_that_asks_survives_the_server(self):
        self.survive("--interval", "30ms")


class Revoked(DaemonCase):
    options = ("--require-auth",)

    def test_a_watch_ends_with_its_token(self):
        made = self.good(self.daemon.request(
            "POST", "/v1/tokens", {"identity": "ann", "roles": ["viewer"], "scope": "*"}, unix=True))
        self.good(self.daemon.request("PUT", f"/v1/config/{self.tenant}", {}, unix=True))
        process = subprocess.Popen([control.CONFCASTCTL, "--server", self.daemon.url, "status", self.tenant, "--watch"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "CONFCAST_TOKEN": made["token"]})
        self.addCleanup(lambda: (process.kill(), process.wait()))
        self.assertIn(self.tenant, process.stdout.readline())
        self.good(self.daemon.request("DELETE", f"/v1/tokens/{made['id']}", unix=True))
        self.good(self.daemon.request("POST", f"/v1/release/{self.tenant}", {"action": "promote"}, unix=True))
        _, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, FORBIDDEN)
        self.assertEqual(err.count("\n"), 1)


def command_names():
    table = json.loads(ctl("--dump-commands").stdout)
    return [command["name"] for command in table["commands"]]


if __name__ == "__main__":
    unittest.main(verbosity=2)
