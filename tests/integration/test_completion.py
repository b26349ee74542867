#!/usr/bin/env python3
"""Completion in the shells themselves: bash with a terminal and without, zsh, fish."""

import atexit
import json
import os
import pty
import re
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from control import CONFCASTCTL, DaemonCase, ctl

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHELL = os.path.join(REPO, "controlplane/ctl/shell")
# Shells write into their home, each as it likes.
HOME = tempfile.mkdtemp(prefix="cfc-home-")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
PATH = os.path.dirname(CONFCASTCTL) + ":" + os.environ["PATH"]

# What readline does: the words as COMP_WORDBREAKS takes them apart, then the function of `complete -p`.
DRIVER = r"""
set -u
source "$1"
spec=$(complete -p confcastctl)
[[ $spec == 'complete -F '*' confcastctl' ]] || exit 2
read -r _ _ fn _ <<<"$spec"
COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDS=("${@:3}") COMP_CWORD=$(($# - 3))
"$fn" confcastctl "${COMP_WORDS[COMP_CWORD]}" ""
printf '%s\n' "${COMPREPLY[@]}"
"""

# compsys calls the function with these set; what it would show is printed.
ZSH = r"""
_describe() { print -rl -- "${(P@)2}" }
_files() { print -r -- files "$@" }
words=("${@:2}") CURRENT=$#words PREFIX=$words[-1] SUFFIX=
words[-1]=$PREFIX
source "$1/_confcastctl"
"""


def run(*command, server="unix:/nonexistent/api.sock", cwd=None):
    env = {"PATH": PATH, "HOME": HOME, "CONFCAST_SERVER": server, "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=cwd,
                          timeout=30, check=False)


def split_as_readline(line):
    """Words of a line, those up to the cursor; = and : are words of their own."""
    words = [part for word in line.split() for part in re.findall(r"[=:]+|[^=:]+", word)]
    return words + ([""] if line.endswith((" ", "=", ":")) else [])


class Completion(DaemonCase):
    def bash(self, line, **kwargs):
        result = run("bash", "--norc", "-c", DRIVER, "bash", os.path.join(SHELL, "confcastctl.bash"), line,
                     *split_as_readline(line), **kwargs)
        self.assertEqual((result.returncode, result.stderr), (0, ""), line)
        return [word for word in result.stdout.split("\n") if word]

    def setUp(self):
        super().setUp()
        self.scopes = [f"{self.tenant}/checkout", f"{self.tenant}/checkout/eu", f"{self.tenant}/web"]
        for scope in self.scopes:
            self.assertEqual(self.daemon.put(scope, {"a": 1}).status, 200)

    def table(self):
        return json.loads(ctl("--dump-commands").stdout)

    def test_every_command_is_completed(self):
        names = [command["name"] for command in self.table()["commands"]]
        self.assertEqual(self.bash("confcastctl "), list(dict.fromkeys(name.split()[0] for name in names)))
        for group in {name.split()[0] for name in names if " " in name}:
            seconds = [name.split()[1] for name in names if name.startswith(group + " ")]
            self.assertEqual(self.bash(f"confcastctl {group} ")[:len(seconds)], seconds)
        self.assertEqual(self.bash("confcastctl adv"), ["advance"])
        self.assertEqual(self.bash("confcastctl frob "), [])
        self.assertEqual(self.bash("confcastctl help adv"), ["advance"])

    def test_every_option_is_completed(self):
        table = self.table()
        program = ["--" + option["name"] for option in table["options"]]
        self.assertEqual(self.bash("confcastctl -"), program)
        for command in table["commands"]:
            own = ["--" + option["name"] for option in command["options"]]
            expected = own + [name for name in program if name not in own]
            self.assertEqual(self.bash(f"confcastctl {command['name']} --"), expected)

    def test_values_of_options(self):
        roles = ["viewer", "author", "approver", "releaser", "operator"]
        self.assertEqual(self.bash("confcastctl -o "), ["table", "json", "yaml"])
        self.assertEqual(self.bash("confcastctl --output=j"), ["json"])
        self.assertEqual(self.bash("confcastctl get x --output "), ["table", "json", "yaml"])
        self.assertEqual(self.bash("confcastctl token create ci --role "), roles)
        self.assertEqual(self.bash("confcastctl role grant ann "), roles)
        self.assertEqual(self.bash("confcastctl promote x --strategy "), [])
        self.assertEqual(self.bash("confcastctl get x --meta="), [])

    def test_files_and_folders(self):
        os.mkdir(os.path.join(self.folder, f"{self.tenant}.d"))
        for name in ("json", "txt"):
            open(os.path.join(self.folder, f"{self.tenant}.{name}"), "w").close()
        names = {f"{self.tenant}.{end}" for end in ("d", "json", "txt")}
        for line in ("put x -f ", "put x --file=", "audit --verify --file "):
            self.assertEqual(set(self.bash(f"confcastctl {line}{self.tenant}", cwd=self.folder)), names, line)
        self.assertEqual(self.bash(f"confcastctl apply -d {self.tenant}", cwd=self.folder), [f"{self.tenant}.d"])
        # Of key enroll -o is a file, not a format.
        self.assertEqual(set(self.bash(f"confcastctl key enroll -o {self.tenant}", cwd=self.folder)), names)

    def test_scopes_are_those_of_the_server(self):
        unix = f"unix:{self.daemon.unix}"
        for line in ("get", "promote -m words", "layers set acme", "status", "apply --under", "token create x --scope"):
            self.assertEqual(self.bash(f"confcastctl {line} {self.tenant}/", server=unix), self.scopes, line)
        self.assertEqual(self.bash(f"confcastctl layers show {self.tenant}/w", server=unix), self.scopes[2:])
        self.assertEqual(self.bash(f"confcastctl get x {self.tenant}", server=unix), [])
        # The server that the line names counts; bash takes its URL apart.
        for line in (f"--server {self.daemon.url} get", f"--server={self.daemon.url} get", f"get -s {unix}"):
            self.assertEqual(self.bash(f"confcastctl {line} {self.tenant}/checkout"), self.scopes[:2], line)

    def test_a_server_that_is_away_or_silent_costs_little(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            servers = [f"http://127.0.0.1:{silent.getsockname()[1]}", "unix:/nonexistent/api.sock", "frob:"]
            for server in servers:
                began = time.monotonic()
                self.assertEqual(self.bash(f"confcastctl get {self.tenant}", server=server), [], server)
                self.assertLess(time.monotonic() - began, 3, server)

    def test_a_secret_that_others_can_read_is_not_used_and_not_spoken_of(self):
        path = os.path.join(self.folder, "open.token")
        with open(path, "w", encoding="utf-8") as file:
            file.write("cfct_x\n")
        os.chmod(path, 0o644)
        unix = f"unix:{self.daemon.unix}"
        self.assertEqual(self.bash(f"confcastctl --token-file {path} get {self.tenant}", server=unix), [])
        direct = run(CONFCASTCTL, "--complete", "--token-file", path, "get", self.tenant, server=unix)
        self.assertEqual((direct.returncode, direct.stdout, direct.stderr), (0, ":none\n", ""))

    def test_at_a_terminal(self):
        env = {"PATH": PATH, "HOME": HOME, "CONFCAST_SERVER": f"unix:{self.daemon.unix}", "TERM": "dumb",
               "PS1": "ready> ", "LC_ALL": "C.UTF-8"}
        pid, fd = pty.fork()
        if pid == 0:
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], env)
        try:
            self.talk(fd, "", "ready> ")
            self.talk(fd, "bind 'set enable-bracketed-paste off'\n", "ready> ")
            self.talk(fd, f". {shlex.quote(os.path.join(SHELL, 'confcastctl.bash'))}\n", "ready> ")
            self.talk(fd, f"confcastctl hist\t{self.tenant}/w\t", f"history {self.tenant}/web ")
            self.talk(fd, "-o j\t\n", r'-o json .*"revision":1')
        finally:
            os.close(fd)
            os.waitpid(pid, 0)

    def talk(self, fd, text, until):
        os.write(fd, text.encode())
        seen = ""
        deadline = time.monotonic() + 20
        while not re.search(until, seen, re.S):
            self.assertTrue(select.select([fd], [], [], max(0, deadline - time.monotonic()))[0], seen)
            seen += os.read(fd, 4096).decode()

    def test_fish(self):
        def fish(line, **kwargs):
            script = f"source {SHELL}/confcastctl.fish; complete -C {shlex.quote(line)}"
            result = run("fish", "--no-config", "-c", script, **kwargs)
            self.assertEqual((result.returncode, result.stderr), (0, ""), line)
            return [candidate.split("\t")[0] for candidate in result.stdout.splitlines()]

        self.assertEqual(fish("confcastctl adv"), ["advance"])
        self.assertEqual(set(fish("confcastctl token ")), {"create", "list", "delete"})
        self.assertEqual(set(fish("confcastctl --output=")), {"--output=table", "--output=json", "--output=yaml"})
        self.assertEqual(fish(f"confcastctl get {self.tenant}/w", server=f"unix:{self.daemon.unix}"), self.scopes[2:])
        open(os.path.join(self.folder, f"{self.tenant}.f"), "w").close()
        self.assertEqual(fish(f"confcastctl put x -f {self.tenant}", cwd=self.folder), [f"{self.tenant}.f"])

    def test_zsh(self):
        def zsh(*words, **kwargs):
            result = run("zsh", "-f", "-c", ZSH, "zsh", SHELL, "confcastctl", *words, **kwargs)
            self.assertEqual((result.returncode, result.stderr), (0, ""), words)
            return [candidate.split(":")[0] for candidate in result.stdout.splitlines()]

        self.assertEqual(zsh("adv"), ["advance"])
        self.assertEqual(zsh("token", ""), ["create", "list", "delete"])
        self.assertEqual(zsh("put", "x", "-f", ""), ["files"])
        self.assertEqual(zsh("apply", "-d", ""), ["files -/"])
        self.assertEqual(zsh("get", f"{self.tenant}/", server=f"unix:{self.daemon.unix}"), self.scopes)


if __name__ == "__main__":
    missing = [name for name in ("bash", "zsh", "fish") if shutil.which(name) is None]
    if missing:
        print(f"skipped: {', '.join(missing)} not installed (scripts/setup does)")
        sys.exit(77)
    unittest.main(verbosity=2)
