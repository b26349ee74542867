#!/usr/bin/env python3
"""confcastctl apply and export: a tree of files as the desired state."""

import json
import os
import shutil
import tempfile
import unittest

from control import DaemonCase

OK, NEGATIVE, CONNECT, USAGE, CONFLICT, REFUSED, TIMEOUT, FENCED, FORBIDDEN, NOT_FOUND = range(10)


class Tree(DaemonCase):
    def setUp(self):
        super().setUp()
        self.tree = tempfile.mkdtemp(prefix="confcast-tree-")
        self.addCleanup(shutil.rmtree, self.tree)

    def run_ctl(self, code, *args, **kwargs):
        result = self.daemon.ctl(*args, **kwargs)
        self.assertEqual(result.returncode, code, f"{args}: {result.stdout}{result.stderr}")
        return result.stdout if code in (OK, NEGATIVE) else result.stderr

    def write(self, name, content):
        path = os.path.join(self.tree, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))
        return path

    def apply(self, *options, code=OK):
        out = self.run_ctl(code, "-o", "json", "apply", "-d", self.tree, *options)
        return json.loads(out) if code in (OK, NEGATIVE) else out

    def actions(self, answer):
        return {(step["scope"][len(self.tenant):], step["kind"]): step["action"] for step in answer["plan"]}

    def document(self, scope, what="get"):
        return json.loads(self.run_ctl(OK, what, scope))

    def sequence(self):
        return json.loads(self.run_ctl(OK, "-o", "json", "status"))["node"]["sequence"]

    def test_a_tree_becomes_the_state_and_again_changes_nothing(self):
        t = self.tenant
        self.write(f"{t}.json", {"a": 1, "f": 1.0})
        self.write(f"{t}/web.json", {"b": 2})
        self.write(f"{t}/web.schema.json", {"properties": {"b": {"type": "integer"}}})
        self.write(f"{t}.settings.json", {"key_ratio_max": 5})
        self.write(f"{t}/web/eu.layers.json", [f"{t}/web", t])
        self.write("README.md", "words")
        self.write(".git/config", "words")
        answer = self.apply("--promote", "-m", "from a tree")
        self.assertEqual(self.actions(answer), {("", "definition"): "create", ("", "settings"): "create",
                                                ("/web", "definition"): "create", ("/web", "schema"): "create",
                                                ("/web/eu", "layers"): "create"})
        self.assertTrue(answer["done"])
        self.assertEqual(self.document(f"{t}/web", "effective"), {"a": 1, "b": 2, "f": 1})
        history = json.loads(self.run_ctl(OK, "-o", "json", "history", t))["revisions"]
        self.assertEqual([row["message"] for row in history], ["from a tree"])
        self.write(f"{t}/none.schema.json", {})  # asks for nothing, which is what there is
        self.write(f"{t}/none.layers.json", [])
        before = self.sequence()
        answer = self.apply("--promote", "--prune")
        self.assertEqual(set(self.actions(answer).values()), {"unchanged"})
        self.assertEqual(answer["results"], [])
        self.assertEqual(self.sequence(), before)
        self.assertIn("0 to create, 0 to change, 0 to release, 0 to delete, 7 unchanged",
                      self.run_ctl(OK, "apply", "-d", self.tree, "--prune"))

    def test_definitions_change_in_one_step(self):
        for n in range(20):
            self.write(f"{self.tenant}/s{n}.json", {"n": n})
        answer = self.apply("--promote")
        self.assertEqual(len(answer["results"]), 1)
        self.assertEqual(len(answer["results"][0]["items"]), 40)
        self.write(f"{self.tenant}/s3.json", {"n": 33})
        self.write(f"{self.tenant}/s4.json", '{"n": 4.0}')
        answer = self.apply("--promote")
        self.assertEqual(answer["counts"], {"unchanged": 19, "create": 0, "change": 1, "release": 0, "delete": 0})
        self.assertEqual(self.document(f"{self.tenant}/s3", "effective"), {"n": 33})

    def test_more_than_a_batch_goes_in_several(self):
        for n in range(130):
            self.write(f"{self.tenant}/s{n}.json", {"n": n})
        answer = self.apply("--promote")
        self.assertEqual([len(result["items"]) for result in answer["results"]], [200, 60])
        self.assertEqual(self.document(f"{self.tenant}/s129", "effective"), {"n": 129})

    def test_without_promote_nobody_sees_it_and_with_it_later_all_do(self):
        self.write(f"{self.tenant}.json", {"a": 1})
        self.apply()
        release = json.loads(self.run_ctl(OK, "-o", "json", "release", self.tenant))
        self.assertEqual(release["state"], "EMPTY")
        answer = self.apply("--promote")
        self.assertEqual(self.actions(answer), {("", "definition"): "release"})
        self.assertEqual(self.document(self.tenant, "effective"), {"a": 1})
        self.write(f"{self.tenant}.json", {"a": 2})
        self.apply("--promote", "--strategy", "canary:5%")
        release = json.loads(self.run_ctl(OK, "-o", "json", "release", self.tenant))
        self.assertEqual((release["state"], release["candidate_revision"]), ("ROLLING", 2))
        self.assertEqual(self.actions(self.apply("--promote")), {("", "definition"): "unchanged"})

    def test_prune_deletes_in_its_tenants_only(self):
        other = f"{self.tenant}x"
        for scope in (self.tenant, f"{self.tenant}/gone", f"{self.tenant}/kept", other):
            self.good(self.daemon.put(scope, {"s": 1}))
        self.run_ctl(OK, "schema", "set", f"{self.tenant}/kept", "-f", "-", stdin='{"type": "object"}')
        self.run_ctl(OK, "layers", "set", f"{self.tenant}/kept", self.tenant)
        self.write(f"{self.tenant}/kept.json", {"s": 1})
        self.assertEqual(self.actions(self.apply()), {("/kept", "definition"): "unchanged"})
        answer = self.apply("--prune", "--under", f"{self.tenant}/kept", "--check", code=NEGATIVE)
        self.assertEqual(set(self.actions(answer)), {("/kept", "definition"), ("/kept", "schema"), ("/kept", "layers")})
        answer = self.apply("--prune")
        self.assertEqual(answer["counts"]["delete"], 4)
        self.run_ctl(NOT_FOUND, "get", self.tenant)
        self.run_ctl(NOT_FOUND, "get", f"{self.tenant}/gone")
        self.assertEqual(self.document(f"{self.tenant}/kept", "schema"), {})
        self.assertTrue(json.loads(self.run_ctl(OK, "-o", "json", "layers", f"{self.tenant}/kept"))["default"])
        self.run_ctl(OK, "get", other)
        self.assertEqual(self.apply("--prune")["counts"]["delete"], 0)
        self.write(f"{self.tenant}/gone.json", {"s": 2})
        self.assertEqual(self.actions(self.apply())[("/gone", "definition")], "create")
        self.assertEqual(self.document(f"{self.tenant}/gone"), {"s": 2})

    def test_what_others_changed_in_between_is_a_conflict(self):
        """The plan is shown before anything is sent: whoever writes right then must not be overwritten."""
        self.good(self.daemon.put(self.tenant, {"a": 1}))
        self.write(f"{self.tenant}.json", {"a": 2})
        server = Meddler(self.daemon, lambda: self.good(self.daemon.put(self.tenant, {"a": 3}, {"Confcast-Author": "bob"})))
        try:
            err = self.run_ctl(CONFLICT, "apply", "-d", self.tree, server=server.url)
        finally:
            server.close()
        self.assertIn("revision 2", err)
        self.assertIn("bob", err)
        self.assertIn("nothing was written", err)
        self.assertEqual(self.document(self.tenant), {"a": 3})
        self.apply()
        self.assertEqual(self.document(self.tenant), {"a": 2})

    def test_dry_run_and_check_write_nothing(self):
        self.write(f"{self.tenant}.json", {"a": 1})
        before = self.sequence()
        self.assertTrue(self.apply("--dry-run", "--promote")["dry_run"])
        self.assertFalse(self.apply("--check", code=NEGATIVE)["done"])
        self.assertIn("would give 1 scope", self.run_ctl(OK, "apply", "-d", self.tree, "--dry-run", "--promote"))
        self.assertEqual(self.sequence(), before)
        self.apply()
        self.apply("--check")

    def test_a_refusal_keeps_what_is_there(self):
        self.good(self.daemon.put(self.tenant, {"n": 1}))
        self.run_ctl(OK, "promote", self.tenant)
        self.write(f"{self.tenant}.schema.json", {"properties": {"n": {"type": "integer"}}})
        self.write(f"{self.tenant}.json", {"n": "x"})
        self.write(f"{self.tenant}/b.json", {})
        self.apply("--promote", code=REFUSED)
        self.assertEqual(self.document(self.tenant), {"n": 1})
        self.run_ctl(NOT_FOUND, "get", f"{self.tenant}/b")

    def test_bad_trees_are_refused_by_a_word(self):
        outside = self.write("out", "{}")
        os.rename(outside, outside + ".json")
        cases = [
            ("authority", lambda: os.symlink(outside + ".json", os.path.join(self.tree, "x.json"))),
            ("authority", lambda: os.symlink("/etc", os.path.join(self.tree, "x"))),
            ("authority", lambda: os.mkfifo(os.path.join(self.tree, "x.json"))),
            ("scope_name", lambda: self.write("X.json", "{}")),
            ("scope_name", lambda: self.write("a/b c.json", "{}")),
            ("scope_name", lambda: self.write("a/b.jsn", "{}")),
            ("scope_name", lambda: self.write("a/.schema.json", "{}") and self.write("A/b.json", "{}")),
            ("scope_name", lambda: self.write("/".join("abcdefghi") + ".json", "{}")),
            ("scope_name", lambda: self.write("a" * 64 + ".json", "{}")),
            ("syntax", lambda: self.write("a.json", '{"a":1,"a":2}')),
            ("syntax", lambda: self.write("a.json", "[]")),
            ("syntax", lambda: self.write("a.json", "")),
            ("syntax", lambda: self.write("a.json", '{} {"put":"b"}')),
            ("syntax", lambda: self.write("a.layers.json", '{"layers": []}')),
            ("syntax", lambda: self.write("a.layers.json", "[1]")),
        ]
        before = self.sequence()
        for word, make in cases:
            shutil.rmtree(self.tree)
            os.mkdir(self.tree)
            self.write("fine.json", "{}")
            make()
            err = self.apply(code=USAGE)
            with self.subTest(err=err):
                self.assertRegex(err, rf"^confcastctl: {word}: ")
        self.assertEqual(self.sequence(), before)
        self.run_ctl(NOT_FOUND, "apply", "-d", self.tree + "/none")
        shutil.rmtree(self.tree)
        os.mkdir(self.tree)
        self.apply(code=USAGE)
        self.write(f"{'/'.join('abcdefgh')}.json", "{}")
        self.apply("--check", code=NEGATIVE)
        self.run_ctl(USAGE, "apply")
        self.apply("--strategy", "all", code=USAGE)
        self.apply("--idempotency-key", "k", code=USAGE)
        self.apply("--under", "A", code=USAGE)

    def test_export_is_the_way_back(self):
        t = self.tenant
        documents = {t: {"a": [1, 2.5, "x\n{[\"", {}, []], "z": None}, f"{t}/web": {}, f"{t}/web/eu": {"n": 0.1}}
        for scope, document in documents.items():
            self.good(self.daemon.put(scope, document))
        self.run_ctl(OK, "schema", "set", t, "-f", "-", stdin='{"type":"object"}')
        self.run_ctl(OK, "layers", "set", f"{t}/web/eu", t, f"{t}/web/eu")
        self.good(self.daemon.put(f"{t}/old", {}))
        self.run_ctl(OK, "delete", f"{t}/old")
        self.assertIn("5 files, 5 written", self.run_ctl(OK, "export", "-d", self.tree, "--under", t))
        with open(os.path.join(self.tree, t, "web/eu.json"), encoding="utf-8") as file:
            self.assertEqual(file.read(), '{\n  "n": 0.1\n}\n')
        with open(os.path.join(self.tree, f"{t}.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file), documents[t])
        with open(os.path.join(self.tree, f"{t}/web/eu.layers.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file), [t, f"{t}/web/eu"])
        self.assertEqual(set(self.actions(self.apply("--prune", "--check")).values()), {"unchanged"})
        self.assertIn("5 files, 0 written", self.run_ctl(OK, "export", "-d", self.tree, "--under", t))
        self.write(f"{t}.json", {"other": 1})
        self.assertIn("exists: ", self.run_ctl(CONFLICT, "export", "-d", self.tree, "--under", t))
        self.assertIn("5 files, 1 written", self.run_ctl(OK, "export", "-d", self.tree, "--under", t, "--force"))
        self.assertEqual(sorted(os.listdir(self.tree)), [t, f"{t}.json", f"{t}.schema.json"])

    def test_export_writes_nothing_through_links(self):
        self.good(self.daemon.put(f"{self.tenant}/a", {}))
        elsewhere = tempfile.mkdtemp(prefix="confcast-elsewhere-")
        self.addCleanup(shutil.rmtree, elsewhere)
        os.symlink(elsewhere, os.path.join(self.tree, self.tenant))
        self.assertIn("authority: ", self.run_ctl(USAGE, "export", "-d", self.tree, "--under", self.tenant, "--force"))
        self.assertEqual(os.listdir(elsewhere), [])

    def test_a_name_that_a_tree_cannot_have_is_said(self):
        self.good(self.daemon.put(f"{self.tenant}/a.schema", {}))
        self.assertIn("scope_name: ", self.run_ctl(USAGE, "export", "-d", self.tree, "--under", self.tenant))
        self.good(self.daemon.put(f"{self.tenant}y/a.schema/b.md/c", {}))
        self.run_ctl(OK, "export", "-d", self.tree, "--under", f"{self.tenant}y")
        self.run_ctl(OK, "apply", "-d", self.tree, "--check", "--prune")


class Meddler:
    """A proxy that does something right before the first change passes."""

    def __init__(self, daemon, meddle):
        import http.server
        import threading

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
                if self.command != "GET" and not Handler.done:
                    Handler.done = True
                    meddle()
                reply = daemon.request(self.command, self.path, body,
                                       {k: v for k, v in self.headers.items() if k.startswith(("Conf", "Idem"))})
                self.send_response(reply.status)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            do_GET = do_PUT = do_POST = do_DELETE = handle_any
            done = False

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
