#!/usr/bin/env python3
"""confcastctl with credentials: tokens, certificates, roles, the audit log's chain; and that no secret leaks."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import tempfile
import time
import unittest

import control
from control import DaemonCase, ctl
from certificates import make_ca, make_cert

OK, NEGATIVE, CONNECT, USAGE, CONFLICT, REFUSED, TIMEOUT, FENCED, FORBIDDEN, NOT_FOUND = range(10)


class Base(DaemonCase):
    def run_ctl(self, code, *args, server=None, **kwargs):
        result = ctl("--server", server or f"unix:{self.daemon.unix}", *args, **kwargs)
        self.assertEqual(result.returncode, code, f"{args}: {result.stdout}{result.stderr}")
        return result.stdout if code in (OK, NEGATIVE) else result.stderr

    def path(self, name):
        return os.path.join(self.folder, f"{self.tenant}-{name}")

    def file(self, name, text, mode=0o600):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)


class Tokens(Base):
    options = ("--require-auth",)

    def create(self, *args):
        return json.loads(self.run_ctl(OK, "-o", "json", "token", "create", *args))

    def as_token(self, code, token, *args, **kwargs):
        return self.run_ctl(code, *args, server=self.daemon.url, env={"CONFCAST_TOKEN": token}, **kwargs)

    def test_a_token_opens_what_its_role_allows_and_nothing_else(self):
        made = self.create("ann", "--role", "author", "--role", "viewer", "--scope", self.tenant)
        self.assertEqual((made["identity"], made["roles"], made["scope"]), ("ann", ["author", "viewer"], self.tenant))
        self.as_token(OK, made["token"], "put", self.tenant, "-f", "-", stdin="{}")
        self.as_token(OK, made["token"], "get", self.tenant)
        self.assertIn("forbidden", self.as_token(FORBIDDEN, made["token"], "promote", self.tenant))
        self.as_token(FORBIDDEN, made["token"], "get", "other")
        self.run_ctl(FORBIDDEN, "get", self.tenant, server=self.daemon.url)
        self.as_token(FORBIDDEN, made["token"] + "x", "get", self.tenant)
        listed = json.loads(self.run_ctl(OK, "-o", "json", "token", "list"))["tokens"]
        self.assertIn(made["id"], [token["id"] for token in listed])
        self.assertNotIn(made["token"], json.dumps(listed))
        self.assertIn(made["id"], self.run_ctl(OK, "token", "list"))
        self.run_ctl(OK, "token", "delete", made["id"], "-m", "done")
        self.as_token(FORBIDDEN, made["token"], "get", self.tenant)
        self.run_ctl(NOT_FOUND, "token", "delete", made["id"])

    def test_a_role_over_one_tenant_suffices_for_a_tree(self):
        made = self.create("ci", "--role", "author", "--role", "releaser", "--scope", self.tenant)["token"]
        for scope in (self.tenant, f"{self.tenant}/a", f"{self.tenant}/b", f"{self.tenant}-not"):
            self.run_ctl(OK, "put", scope, "-f", "-", "--promote", stdin='{"n": 1}')
        tree = self.path("tree")
        self.as_token(FORBIDDEN, made, "export", "-d", tree)
        self.assertIn("3 files", self.as_token(OK, made, "export", "-d", tree, "--under", self.tenant))
        os.remove(os.path.join(tree, self.tenant, "b.json"))
        self.assertIn("1 to delete", self.as_token(NEGATIVE, made, "apply", "-d", tree, "--prune", "--check"))
        self.as_token(OK, made, "apply", "-d", tree, "--prune", "--promote")
        self.as_token(NOT_FOUND, made, "get", f"{self.tenant}/b")
        self.run_ctl(OK, "get", f"{self.tenant}-not")
        told = ctl("--complete", "--server", self.daemon.url, "get", f"{self.tenant}/", env={"CONFCAST_TOKEN": made})
        self.assertEqual(told.stdout.split(), [f"{self.tenant}/a", f"{self.tenant}/b", ":none"])

    def test_names_below_a_scope_come_in_pages(self):
        names = [self.tenant] + [f"{self.tenant}/{n}" for n in "abc"]
        for name in names:
            self.run_ctl(OK, "put", name, "-f", "-", stdin="{}")
        made = self.create("ann", "--role", "viewer", "--scope", self.tenant)["token"]
        bearer = {"Authorization": f"Bearer {made}"}

        def page(**params):
            query = "&".join(f"{key}={value}" for key, value in params.items())
            return self.daemon.request("GET", f"/v1/scopes/{self.tenant}?{query}", headers=bearer)

        seen, after = [], {}
        while after is not None:
            answer = page(limit=2, **after).json
            seen += [row["scope"] for row in answer["scopes"]]
            after = {"after": answer["next"]} if answer["next"] else None
        self.assertEqual(seen, names)
        self.assertEqual(page(limit=4).json["next"], None)
        self.assertEqual(page(limit=3).json["next"], names[2])
        self.assertEqual((page(limit=0).status, page(after="A").status), (400, 400))
        other = self.daemon.request("GET", "/v1/scopes/other", headers=bearer)
        self.assertEqual(other.status, 403)
        self.assertEqual(self.daemon.request("GET", "/v1/status", headers=bearer).status, 403)

    def test_a_token_goes_from_file_to_file(self):
        path = self.path("token")
        out = self.run_ctl(OK, "token", "create", "ci", "--role", "viewer", "--scope", "*", "--save", path)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        with open(path, encoding="ascii") as file:
            secret = file.read().strip()
        self.assertNotIn(secret, out)
        self.run_ctl(OK, "--token-file", path, "status", server=self.daemon.url)
        self.run_ctl(OK, "status", server=self.daemon.url, env={"CONFCAST_TOKEN_FILE": path})
        self.run_ctl(OK, "--token-file", path, "status", server=self.daemon.url, env={"CONFCAST_TOKEN": "x"})
        before = len(json.loads(self.run_ctl(OK, "-o", "json", "token", "list"))["tokens"])
        err = self.run_ctl(CONFLICT, "token", "create", "ci", "--role", "viewer", "--scope", "*", "--save", path)
        self.assertIn("taken back", err)
        after = len(json.loads(self.run_ctl(OK, "-o", "json", "token", "list"))["tokens"])
        self.assertEqual(before, after)

    def test_a_token_expires(self):
        made = self.create("short", "--role", "viewer", "--scope", "*", "--expires", "1s")
        control.wait_until(lambda: ctl("--server", self.daemon.url, "status", env={"CONFCAST_TOKEN": made["token"]})
                           .returncode == FORBIDDEN)

    def test_files_that_others_touch_and_words_that_are_no_token_are_refused(self):
        status = ("status",)
        for mode in (0o640, 0o604, 0o620):
            self.assertIn("chmod 600", self.run_ctl(FORBIDDEN, "--token-file", self.file("t", "abc", mode), *status))
        self.run_ctl(NOT_FOUND, "--token-file", "/nonexistent", *status)
        for text in ("", "\n", "two words", "x\x01", "x" * 513):
            with self.subTest(text=text):
                self.run_ctl(USAGE, "--token-file", self.file("t", text), *status)
        self.run_ctl(OK, "--token-file", self.file("t", ""), "--help")
        os.symlink(self.file("real", "abc"), self.path("link"))
        self.run_ctl(FORBIDDEN, "--token-file", self.path("link"), *status)
        for args in (("create", "a", "--role", "viewer"), ("create", "a", "--scope", "*"),
                     ("create", "a", "--role", "king", "--scope", "*"),
                     ("create", "a", "--role", "viewer", "--scope", "*", "--expires", "0s")):
            self.run_ctl(USAGE, "token", *args)

    def test_a_token_is_not_sent_in_the_clear_beyond_this_machine(self):
        err = self.run_ctl(USAGE, "status", server="http://192.0.2.1:7400", env={"CONFCAST_TOKEN": "sesame"})
        self.assertIn("unencrypted", err)
        for server in ("http://127.0.0.2:1", "http://localhost:1", "http://[::1]:1", "https://127.0.0.1:1"):
            self.run_ctl(CONNECT, "status", server=server, env={"CONFCAST_TOKEN": "sesame"})

    def test_no_secret_is_in_errors_or_in_the_command_line(self):
        secret = "cfc_" + "s3cr3t" * 8
        for args in (("status",), ("get", self.tenant), ("get", "BAD"), ("frob",), ("put", self.tenant)):
            result = ctl("--server", self.daemon.url, *args, env={"CONFCAST_TOKEN": secret})
            self.assertNotIn(secret, result.stdout + result.stderr)
        result = ctl("--server", self.daemon.url, f"--token={secret}", "status")
        self.assertEqual(result.returncode, USAGE)
        self.assertNotIn("s3cr3t", result.stderr)
        result = ctl("--server", self.daemon.url, "token", "delete", secret + "/")
        self.assertNotIn("s3cr3t", result.stderr)
        with subprocess.Popen([control.CONFCASTCTL, "--server", f"unix:{self.daemon.unix}", "--token-file",
                               self.file("t", secret), "put", self.tenant, "-f", "-"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            time.sleep(0.1)
            with open(f"/proc/{process.pid}/cmdline", "rb") as file:
                self.assertNotIn(secret.encode(), file.read())
            _, err = process.communicate(b"{}", timeout=30)
            self.assertEqual(process.returncode, FORBIDDEN)
            self.assertNotIn(secret.encode(), err)


class Roles(Base):
    def roles(self):
        return json.loads(self.run_ctl(OK, "-o", "json", "role", "show"))["bindings"]

    def of(self, name):
        return sorted((binding["scope"], sorted(binding["roles"])) for binding in self.roles()
                      if binding["identity"] == name)

    def test_roles_are_granted_and_revoked_one_by_one(self):
        name = self.tenant
        self.run_ctl(OK, "role", "grant", name, "viewer", "author", "--scope", "acme")
        self.run_ctl(OK, "role", "grant", name, "author", "releaser", "--scope", "acme")
        self.run_ctl(OK, "role", "grant", name, "viewer", "--scope", "*")
        self.run_ctl(OK, "role", "grant", name + "2", "viewer", "--scope", "*")
        self.assertEqual(self.of(name), [("*", ["viewer"]), ("acme", ["author", "releaser", "viewer"])])
        self.run_ctl(OK, "role", "revoke", name, "viewer", "--scope", "acme")
        self.assertEqual(self.of(name), [("*", ["viewer"]), ("acme", ["author", "releaser"])])
        self.run_ctl(OK, "role", "revoke", name, "viewer")
        self.assertEqual(self.of(name), [("acme", ["author", "releaser"])])
        self.run_ctl(OK, "role", "revoke", name)
        self.assertEqual(self.of(name), [])
        self.assertEqual(self.of(name + "2"), [("*", ["viewer"])])
        self.run_ctl(NOT_FOUND, "role", "revoke", name)
        self.run_ctl(USAGE, "role", "grant", name, "king", "--scope", "*")
        self.run_ctl(USAGE, "role", "grant", name, "viewer")
        self.assertIn(name + "2", self.run_ctl(OK, "role", "show"))

    def test_role_set_replaces_all_under_its_version(self):
        version = json.loads(self.run_ctl(OK, "-o", "json", "role", "show"))["version"]
        body = json.dumps({"bindings": [{"identity": self.tenant, "roles": ["viewer"], "scope": "*"}]})
        self.run_ctl(OK, "role", "set", "-f", "-", "--expected-version", str(version), stdin=body)
        self.assertEqual([b["identity"] for b in self.roles()], [self.tenant])
        self.run_ctl(CONFLICT, "role", "set", "-f", "-", "--expected-version", str(version), stdin=body)
        self.run_ctl(USAGE, "role", "set", "-f", "-", stdin="{}")
        self.run_ctl(USAGE, "role", "set")

    def test_two_who_grant_at_once_do_not_lose_each_other(self):
        command = [control.CONFCASTCTL, "--server", f"unix:{self.daemon.unix}", "role", "grant"]
        running = [subprocess.Popen(command + [f"{self.tenant}-{n}", "viewer", "--scope", "*"],
                                    stdout=subprocess.DEVNULL) for n in range(4)]
        self.assertEqual([process.wait(30) for process in running], [0] * 4)
        self.assertEqual([self.of(f"{self.tenant}-{n}") for n in range(4)], [[("*", ["viewer"])]] * 4)


class Audit(Base):
    def test_the_export_is_the_log_and_its_chain_holds(self):
        for n in range(3):
            self.run_ctl(OK, "put", self.tenant, "-f", "-", "-m", f"n {n}", stdin=json.dumps({"n": n}))
        text = self.run_ctl(OK, "audit", "--export")
        lines = text.splitlines()
        entries = [json.loads(line) for line in lines]
        self.assertEqual([entry["n"] for entry in entries], list(range(1, len(entries) + 1)))
        self.assertEqual(entries[-1]["message"], "n 2")
        digest = hashlib.sha256(lines[-1].encode()).hexdigest()
        self.assertEqual(self.run_ctl(OK, "audit", "--export", "--after", str(len(lines) - 1)), lines[-1] + "\n")
        self.assertIn(digest, self.run_ctl(OK, "audit", "--verify"))
        self.assertIn(digest, self.run_ctl(OK, "audit", "--verify", "-f", self.file("log", text)))
        verdict = json.loads(self.run_ctl(OK, "-o", "json", "audit", "--verify", "-f", "-", "--head",
                                          hashlib.sha256(lines[1].encode()).hexdigest(), stdin=text))
        self.assertEqual((verdict["whole"], verdict["first"], verdict["last"], verdict["digest"]),
                         (True, 1, len(lines), digest))
        changed = text.replace('"n 1"', '"n 7"')
        self.assertIn(f"entry {len(lines)} names another", self.run_ctl(NEGATIVE, "audit", "--verify", "-f", "-",
                                                                       stdin=changed))
        gone = "\n".join(lines[:1] + lines[2:])
        self.assertIn("entry 3 stands where entry 2", self.run_ctl(NEGATIVE, "audit", "--verify", "-f", "-",
                                                                   stdin=gone))
        cut = "\n".join(lines[:-1])
        self.run_ctl(OK, "audit", "--verify", "-f", "-", stdin=cut)
        self.run_ctl(NEGATIVE, "audit", "--verify", "-f", "-", "--head", digest, stdin=cut)

    def test_wrong_usage_is_refused(self):
        for args in (("--export", "--verify"), ("--after", "1"), ("--file", "x"), ("--export", "--limit", "1"),
                     ("--verify", "--head", "12"), ("--verify", "--after", "1"), ("--export", "--after", "x")):
            with self.subTest(args=args):
                self.run_ctl(USAGE, "audit", *args)

    def test_more_than_a_page_is_read(self):
        for n in range(9):
            items = [{"put": f"{self.tenant}/s{n}-{k}", "document": {}} for k in range(120)]
            self.run_ctl(OK, "batch", "-f", "-", stdin=json.dumps({"items": items}))
        lines = self.run_ctl(OK, "audit", "--export").splitlines()
        self.assertGreater(len(lines), 1000)
        self.assertIn(f"entries 1 to {len(lines)}", self.run_ctl(OK, "audit", "--verify"))


class Certificates(Base):
    @classmethod
    def setUpClass(cls):
        cls.certs = tempfile.mkdtemp(prefix="confcast-cli-certs-")
        make_ca(cls.certs, "ca")
        make_ca(cls.certs, "foreign")
        make_cert(cls.certs, "ca", "server", "server")
        make_cert(cls.certs, "ca", "ann", "client")
        make_cert(cls.certs, "foreign", "mallory", "client")
        cls.options = ("--tls-cert", cls.pem("server"), "--tls-key", cls.pem("server", "key"), "--tls-client-ca",
                       cls.pem("ca"))
        super().setUpClass()

    @classmethod
    def pem(cls, name, kind="pem"):
        return os.path.join(cls.certs, f"{name}.{kind}")

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.certs)

    def over_tls(self, code, *args, **kwargs):
        return self.run_ctl(code, *args, server=f"https://127.0.0.1:{self.daemon.port}", **kwargs)

    def test_a_certificate_proves_who_asks(self):
        ca = ("--cacert", self.pem("ca"))
        ann = ("--cert", self.pem("ann"), "--key", self.pem("ann", "key"))
        self.assertIn("certificate", self.over_tls(CONNECT, "status"))
        self.over_tls(CONNECT, "--cacert", self.pem("foreign"), *ann, "status")
        self.over_tls(FORBIDDEN, *ca, "status")
        self.over_tls(FORBIDDEN, *ca, *ann, "put", self.tenant, "-f", "-", stdin="{}")
        self.run_ctl(OK, "role", "grant", "ann", "operator", "--scope", "*")
        self.over_tls(OK, *ca, *ann, "put", self.tenant, "-f", "-", "--author", "eve", stdin="{}")
        history = json.loads(self.over_tls(OK, *ca, *ann, "-o", "json", "history", self.tenant))
        self.assertEqual(history["revisions"][0]["author"], "ann")
        self.over_tls(OK, "status", env={"CONFCAST_CACERT": self.pem("ca"), "CONFCAST_CERT": self.pem("ann"),
                                         "CONFCAST_KEY": self.pem("ann", "key")})
        self.over_tls(FORBIDDEN, *ca, "--cert", self.pem("mallory"), "--key", self.pem("mallory", "key"), "status")

    def test_keys_that_others_read_and_halves_are_refused(self):
        self.over_tls(USAGE, "--cert", self.pem("ann"), "status")
        self.over_tls(USAGE, "--key", self.pem("ann", "key"), "status")
        shutil.copy(self.pem("ann", "key"), self.path("loose"))
        os.chmod(self.path("loose"), 0o644)
        self.assertIn("chmod 600", self.over_tls(FORBIDDEN, "--cert", self.pem("ann"), "--key", self.path("loose"),
                                                 "status"))
        self.over_tls(NOT_FOUND, "--cert", self.pem("ann"), "--key", "/nonexistent", "status")


if __name__ == "__main__":
    unittest.main(verbosity=2)
