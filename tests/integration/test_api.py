#!/usr/bin/env python3
"""The HTTP API of a real confcastd, by the contract of docs/api.md."""

import hashlib
import json
import socket
import threading
import time
import unittest

import control
import exposition
from control import DaemonCase, read_all


class Definitions(DaemonCase):
    def test_a_definition_comes_back_canonical(self):
        text = '{ "b": [1.0, 0.1, 1e2, true, null],\n "a": "\\u00e9\\/", "": {} }'
        canonical = '{"":{},"a":"é/","b":[1,0.1,100,true,null]}'
        put = self.good(self.daemon.put(f"{self.tenant}/web", text, message="first",
                                        headers={"Confcast-Author": "ann"}))
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        self.assertEqual(put, {"scope": f"{self.tenant}/web", "revision": 1, "digest": digest})
        reply = self.daemon.get(f"/v1/config/{self.tenant}/web")
        got = self.good(reply)
        self.assertIn(('"document":' + canonical).encode(), reply.body)
        self.assertEqual((got["revision"], got["digest"], got["author"], got["message"]),
                         (1, digest, "ann", "first"))
        self.assertEqual(got["size"], len(canonical.encode()))
        self.assertEqual(reply.headers["Content-Type"], "application/json")

    def test_revisions_count_up_and_old_ones_stay(self):
        for n in range(1, 6):
            self.assertEqual(self.good(self.daemon.put(self.tenant, {"n": n}))["revision"], n)
        self.assertEqual(self.good(self.daemon.get(f"/v1/config/{self.tenant}"))["document"],
                         {"n": 5})
        self.assertEqual(
            self.good(self.daemon.get(f"/v1/config/{self.tenant}", revision=2))["document"],
            {"n": 2})
        self.refused(self.daemon.get(f"/v1/config/{self.tenant}", revision=6), 404, "not_found")
        self.refused(self.daemon.get(f"/v1/config/{self.tenant}", revision=0), 404, "not_found")
        history = self.good(self.daemon.get(f"/v1/history/{self.tenant}"))["revisions"]
        self.assertEqual([row["revision"] for row in history], [5, 4, 3, 2, 1])
        history = self.good(self.daemon.get(f"/v1/history/{self.tenant}", limit=2, before=4))
        self.assertEqual([row["revision"] for row in history["revisions"]], [3, 2])

    def test_a_wrong_expected_revision_conflicts_and_names_the_current_one(self):
        headers = {"Confcast-Author": "bob"}
        self.good(self.daemon.put(self.tenant, {}, expected_revision=0, headers=headers))
        error = self.refused(self.daemon.put(self.tenant, {"x": 1}, expected_revision=0), 409,
                             "conflict")
        self.assertEqual(error["current"], {"revision": 1, "author": "bob"})
        self.good(self.daemon.put(self.tenant, {"x": 2}, expected_revision=1))
        error = self.refused(self.daemon.put(self.tenant, {"x": 3}, expected_revision=1), 409)
        self.assertEqual(error["current"]["revision"], 2)
        self.refused(self.daemon.request("DELETE", f"/v1/config/{self.tenant}?expected_revision=1"),
                     409, "conflict")
        self.assertEqual(self.good(self.daemon.get(f"/v1/config/{self.tenant}"))["document"],
                         {"x": 2})

    def test_of_writers_on_one_base_exactly_one_wins(self):
        self.good(self.daemon.put(self.tenant, {}))
        statuses = []

        def write(n):
            statuses.append(self.daemon.put(self.tenant, {"n": n}, expected_revision=1).status)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(statuses), [200] + [409] * 7)

    def test_a_dry_run_writes_nothing(self):
        got = self.good(self.daemon.put(self.tenant, {"a": 1}, dry_run=1))
        self.assertTrue(got["dry_run"])
        self.refused(self.daemon.get(f"/v1/config/{self.tenant}"), 404)

    def test_a_deleted_definition_is_not_found_and_its_revision_is_not_used_again(self):
        self.good(self.daemon.put(self.tenant, {}))
        got = self.good(self.daemon.request("DELETE", f"/v1/config/{self.tenant}"))
        self.assertEqual(got["revision"], 2)
        error = self.refused(self.daemon.get(f"/v1/config/{self.tenant}"), 404, "not_found")
        self.assertTrue(error["current"]["deleted"])
        self.refused(self.daemon.request("DELETE", f"/v1/config/{self.tenant}"), 404)
        self.assertEqual(self.good(self.daemon.put(self.tenant, {}, expected_revision=0))
                         ["revision"], 3)

    def test_bad_documents_are_refused(self):
        deep = '{"a":' * 65 + "1" + "}" * 65
        rows = [
            (b"", 400), (b"{", 400), (b"[]", 400), (b"1", 400), (b"{} x", 400),
            (b'{"a":1,"a":2}', 400), (b'{"a":1,"\\u0061":2}', 400), (deep.encode(), 400),
            (b'{"a":1e400}', 400), (b'{"a":NaN}', 400), (b'{"a":"\\ud800"}', 400),
            (b'{"a":"\\u0000"}', 400), (b'{"a":"\xff"}', 400), (b"\xef\xbb\xbf{}", 400),
            (b'{"a":9007199254740992}', 422), (b'{"a":-9007199254740992}', 422),
        ]
        for body, status in rows:
            with self.subTest(body=body[:40]):
                self.refused(self.daemon.put(self.tenant, body), status)
        self.refused(self.daemon.get(f"/v1/config/{self.tenant}"), 404)
        self.good(self.daemon.put(self.tenant, b'{"a":9007199254740991}'))
        self.good(self.daemon.put(self.tenant, ('{"a":' * 64 + "1" + "}" * 64).encode()))

    def test_the_path_to_a_definition_is_strict(self):
        for scope in ("", "A", "a/", "/a", "a//b", "a/b/c/d/e/f/g/h/i", "-a", "a" * 64, "a%2fb",
                      "caf%c3%a9", "..", "a/../b", "%2e%2e", "a%00", "a%", "a%4", "a%zz", "a%0a"):
            with self.subTest(scope=scope):
                self.refused(self.daemon.put(scope, {}), 400)
        self.good(self.daemon.put(f"%74{self.tenant[1:]}", {}))
        self.good(self.daemon.get(f"/v1/config/{self.tenant}"))

    def test_parameters_and_headers_are_strict(self):
        path = f"/v1/config/{self.tenant}"
        for params in ("?frob=1", "?revision=x", "?revision=-1", "?revision=01", "?revision=1&revision=2",
                       "?revision=99999999999999999999", "?revision", "?expected_revision=1"):
            with self.subTest(params=params):
                self.refused(self.daemon.request("GET", path + params), 400)
        self.refused(self.daemon.put(self.tenant, {}, dry_run="maybe"), 400)
        self.refused(self.daemon.put(self.tenant, {}, message="m" * 1025), 400)
        self.refused(self.daemon.put(self.tenant, {}, headers={"Confcast-Author": "a" * 129}), 400)
        self.refused(self.daemon.put(self.tenant, {}, headers={"Idempotency-Key": "k" * 129}), 400)
        self.refused(self.daemon.request("GET", "/v1/nothing"), 404)
        self.refused(self.daemon.request("GET", "/"), 404)
        self.refused(self.daemon.request("POST", path, "{}"), 405)
        self.refused(self.daemon.request("DELETE", "/v1/status"), 405)
        self.good(self.daemon.put(self.tenant, {}, message="m" * 1024))


class Releases(DaemonCase):
    def effective(self, scope, **params):
        return self.good(self.daemon.get(f"/v1/effective/{scope}", **params))

    def test_only_a_release_changes_what_consumers_get(self):
        scope = f"{self.tenant}/web"
        self.good(self.daemon.put(scope, {"a": 1}))
        self.refused(self.daemon.get(f"/v1/effective/{scope}"), 404)
        self.assertEqual(self.good(self.daemon.get(f"/v1/release/{scope}"))["state"], "EMPTY")
        release = self.good(self.daemon.release(scope, "promote", message="go"))
        self.assertEqual((release["state"], release["active_revision"], release["release_version"],
                          release["message"]), ("ACTIVE", 1, 1, "go"))
        first = self.effective(scope)
        self.assertEqual((first["document"], first["version"]), ({"a": 1}, release["version"]))
        self.good(self.daemon.put(scope, {"a": 2}))
        self.assertEqual(self.effective(scope), first)
        self.good(self.daemon.release(scope, "promote", revision=2))
        second = self.effective(scope)
        self.assertEqual(second["document"], {"a": 2})
        self.assertGreater(second["version"], first["version"])

    def test_layers_merge_in_order_and_null_deletes(self):
        tenant = self.tenant
        self.good(self.daemon.put(tenant, {"a": 1, "b": {"x": 1, "y": 2}, "c": [1, 2]}))
        self.good(self.daemon.put(f"{tenant}/web", {"a": None, "b": {"x": 9}, "c": [3]}))
        self.good(self.daemon.release(tenant, "promote"))
        self.good(self.daemon.release(f"{tenant}/web", "promote"))
        self.assertEqual(self.effective(f"{tenant}/web")["document"],
                         {"b": {"x": 9, "y": 2}, "c": [3]})
        layers = self.good(self.daemon.get(f"/v1/layers/{tenant}/web"))
        self.assertEqual((layers["layers"], layers["default"]), ([tenant, f"{tenant}/web"], True))
        self.good(self.daemon.request("PUT", f"/v1/layers/{tenant}/web",
                                      {"layers": [f"{tenant}/web", tenant]}))
        self.assertEqual(self.effective(f"{tenant}/web")["document"],
                         {"a": 1, "b": {"x": 1, "y": 2}, "c": [1, 2]})
        layers = self.good(self.daemon.get(f"/v1/layers/{tenant}/web"))
        self.assertFalse(layers["default"])
        error = self.refused(
            self.daemon.request("PUT", f"/v1/layers/{tenant}/web?expected_version=0",
                                {"layers": []}), 409, "conflict")
        self.assertIn(f"is {layers['version']},", error["message"])
        self.assertEqual(error["current"], {**layers, "author": "anonymous"})
        version = layers["version"]
        never = self.refused(
            self.daemon.request("PUT", f"/v1/layers/{tenant}/new?expected_version={version}",
                                {"layers": []}), 409, "conflict")
        self.assertEqual((never["current"]["version"], never["current"]["default"]), (0, True))
        layers = self.good(self.daemon.request("PUT", f"/v1/layers/{tenant}/web", {"layers": []}))
        self.assertTrue(layers["default"])

    def test_a_value_is_explained(self):
        tenant, scope = self.tenant, f"{self.tenant}/web"
        self.good(self.daemon.put(tenant, {"a/b": {"~": [1, 2]}, "limit": 0.1, "gone": 1}))
        self.good(self.daemon.put(scope, {"limit": 2, "gone": None}))
        for name in (tenant, scope):
            self.good(self.daemon.release(name, "promote"))
        reply = self.daemon.get(f"/v1/effective/{scope}", explain="/limit")
        why = self.good(reply)
        self.assertEqual((why["found"], why["value"], why["pointer"], why["variant"]),
                         (True, 2, "/limit", "stable"))
        self.assertEqual((why["winner"]["layer"], why["winner"]["revision"],
                          why["winner"]["effect"]), (scope, 1, "sets"))
        self.assertEqual([(l["layer"], l["effect"], l["value"]) for l in why["losers"]],
                         [(tenant, "sets", 0.1)])
        self.assertIn(b'"value":0.1', reply.body)
        self.assertEqual(reply.body.decode(), json.dumps(why, sort_keys=True,
                                                         separators=(",", ":")))
        why = self.effective(scope, explain="/a~1b/~0/1")
        self.assertEqual((why["value"], why["winner"]["layer"]), (2, tenant))
        why = self.effective(scope, explain="/gone")
        self.assertEqual((why["found"], why["value"], why["winner"]["effect"],
                          why["losers"][0]["value"]), (False, None, "deletes", 1))
        why = self.effective(scope, explain="/nothing")
        self.assertEqual((why["found"], why["winner"], why["losers"]), (False, None, []))
        self.assertEqual(self.effective(scope, explain="")["value"],
                         self.effective(scope)["document"])
        for pointer in ("limit", "/a~", "/a~2"):
            self.refused(self.daemon.get(f"/v1/effective/{scope}", explain=pointer), 400,
                         "invalid")
        self.refused(self.daemon.get("/v1/effective/nobody", explain="/a"), 404)

    def test_a_dry_run_says_what_would_happen(self):
        tenant, scope = self.tenant, f"{self.tenant}/web"
        put = self.good(self.daemon.put(tenant, {"a": 1, "b": {"c": None}}))
        self.assertEqual(len(put["warnings"]), 1)
        self.assertIn("/b/c", put["warnings"][0])
        self.assertNotIn("warnings", self.good(self.daemon.put(scope, {"w": [1]})))
        self.good(self.daemon.release(tenant, "promote"))
        self.good(self.daemon.release(scope, "promote"))
        dry = self.good(self.daemon.put(tenant, {"a": 2, "n/m": {"x": 1}}, dry_run=1))
        preview = dry["promotion"]["preview"]
        self.assertEqual((preview["scopes"], preview["contents"], preview["consumers"]), (2, 2, 0))
        self.assertEqual([item["scope"] for item in preview["affected"]], [tenant, scope])
        for item in preview["affected"]:
            self.assertEqual((item["added"], item["changed"], item["removed"]), (1, 1, 1))
            self.assertEqual(item["keys"], [{"change": "changed", "key": "/a"},
                                            {"change": "removed", "key": "/b"},
                                            {"change": "added", "key": "/n~1m"}])
        self.assertEqual(self.effective(scope)["document"], {"a": 1, "b": {}, "w": [1]})
        self.good(self.daemon.put(tenant, {"a": 1}))
        dry = self.good(self.daemon.request("POST", f"/v1/release/{tenant}?dry_run=1",
                                            {"action": "promote", "strategy": "canary:5%"}))
        self.assertEqual((dry["preview"]["scopes"], dry["state"]), (2, "ROLLING"))
        self.assertEqual(dry["preview"]["affected"][1]["keys"],
                         [{"change": "removed", "key": "/b"}])
        self.good(self.daemon.release(tenant, "promote", strategy="canary:5%"))
        dry = self.good(self.daemon.put(scope, {"w": [2]}, dry_run=1))
        self.assertEqual(dry["promotion"]["preview"]["affected"][0]["keys"],
                         [{"change": "changed", "key": "/w"}])
        dry = self.good(self.daemon.put(tenant, {}, dry_run=1))
        self.assertEqual(dry["promotion"]["error"]["code"], "state")

    def test_a_canary_has_two_variants_until_it_ends(self):
        scope = self.tenant
        for n in (1, 2):
            self.good(self.daemon.put(scope, {"n": n}))
        self.good(self.daemon.release(scope, "promote", revision=1))
        release = self.good(self.daemon.release(scope, "promote", strategy="canary:25%"))
        self.assertEqual((release["state"], release["candidate_revision"]), ("ROLLING", 2))
        self.assertEqual(release["stage"]["percents"][release["stage"]["index"]], 25.0)
        self.assertEqual(self.effective(scope)["document"], {"n": 1})
        self.assertEqual(self.effective(scope, variant="candidate")["document"], {"n": 2})
        error = self.refused(self.daemon.release(scope, "promote"), 409, "state")
        self.assertEqual(error["current"]["state"], "ROLLING")
        self.assertEqual(self.good(self.daemon.release(scope, "pause"))["state"], "PAUSED")
        self.assertEqual(self.good(self.daemon.release(scope, "resume"))["state"], "ROLLING")
        aborted = self.good(self.daemon.release(scope, "abort"))
        self.assertEqual((aborted["state"], aborted["active_revision"],
                          aborted["candidate_revision"]), ("ACTIVE", 1, None))
        self.assertEqual(self.effective(scope, variant="candidate")["document"], {"n": 1})

    def test_a_second_rollout_on_one_consumer_scope_names_the_holder(self):
        scope = f"{self.tenant}/web"
        for name in (self.tenant, scope):
            for n in (1, 2):
                self.good(self.daemon.put(name, {name.replace("/", "_"): n}))
            self.good(self.daemon.release(name, "promote", revision=1))
        self.good(self.daemon.release(self.tenant, "promote", strategy="canary:10%"))
        error = self.refused(self.daemon.release(scope, "promote", strategy="canary:10%"), 409,
                             "state")
        self.assertEqual(error["current"]["holder"], self.tenant)

    def test_rollback_disable_enable_and_quarantine(self):
        scope = self.tenant
        for n in (1, 2, 3):
            self.good(self.daemon.put(scope, {"n": n}))
            self.good(self.daemon.release(scope, "promote"))
        versions = [self.effective(scope)["version"]]
        self.good(self.daemon.release(scope, "rollback"))
        self.assertEqual(self.effective(scope)["document"], {"n": 2})
        versions.append(self.effective(scope)["version"])
        self.good(self.daemon.release(scope, "rollback", revision=1))
        self.assertEqual(self.effective(scope)["document"], {"n": 1})
        versions.append(self.effective(scope)["version"])
        self.assertEqual(self.good(self.daemon.release(scope, "disable"))["state"], "DISABLED")
        self.assertEqual(self.effective(scope)["document"], {})
        self.assertEqual(self.good(self.daemon.release(scope, "enable"))["state"], "ACTIVE")
        versions.append(self.effective(scope)["version"])
        self.good(self.daemon.release(scope, "quarantine", revision=3))
        self.refused(self.daemon.release(scope, "promote", revision=3), 409, "state")
        self.refused(self.daemon.release(scope, "promote", revision=9), 404, "not_found")
        self.assertEqual(versions, sorted(set(versions)))

    def test_what_waits_and_what_has_to_be_confirmed_is_shown_and_moved_on(self):
        self.good(self.daemon.put(self.tenant, {"a": 1}))
        held = self.good(self.daemon.release(self.tenant, "promote", activate="hold",
                                             confirm_within_s=60))
        self.assertEqual((held["state"], held["waiting"], held["activate"], held["confirm_by"]),
                         ("ROLLING", True, "hold", None))
        self.assertEqual(self.good(self.daemon.get(f"/v1/effective/{self.tenant}"))["document"], {})
        self.refused(self.daemon.release(self.tenant, "confirm"), 409, "state")
        self.refused(self.daemon.release(self.tenant, "pause", bake_s=1), 400)
        later = self.good(self.daemon.release(self.tenant, "advance",
                                              activate="at=%d" % (time.time_ns() + 10**12)))
        self.assertEqual((later["waiting"], later["activate"]), (True, "at"))
        self.assertIsNotNone(later["confirm_by"])
        active = self.good(self.daemon.release(self.tenant, "advance"))
        self.assertEqual((active["state"], active["waiting"]), ("ROLLING", False))
        document = self.good(self.daemon.get(f"/v1/effective/{self.tenant}"))["document"]
        self.assertEqual(document, {"a": 1})
        status = self.good(self.daemon.get(f"/v1/status/{self.tenant}"))
        self.assertEqual((status["rollout"]["layer"], status["rollout"]["consumers"]["alive"]),
                         (self.tenant, 0))
        confirmed = self.good(self.daemon.release(self.tenant, "confirm"))
        self.assertEqual((confirmed["state"], confirmed["active_revision"]), ("ACTIVE", 1))
        self.assertIsNone(self.good(self.daemon.get(f"/v1/status/{self.tenant}"))["rollout"])
        self.refused(self.daemon.release(self.tenant, "confirm"), 409, "state")

    def test_nobody_confirms_and_the_daemon_rolls_back(self):
        self.good(self.daemon.put(self.tenant, {"a": 1}))
        self.good(self.daemon.release(self.tenant, "promote"))
        self.good(self.daemon.put(self.tenant, {"a": 2}))
        before = self.good(self.daemon.release(self.tenant, "promote", confirm_within_s=1))
        release = control.wait_until(
            lambda: (lambda r: r if r["state"] == "ACTIVE" else None)(
                self.good(self.daemon.get(f"/v1/release/{self.tenant}"))))
        self.assertEqual((release["active_revision"], release["last_action"], release["author"]),
                         (1, "rollback", "confcastd"))
        self.assertGreater(release["version"], before["version"])

    def test_four_eyes_are_asked_for_and_bound_to_the_digest(self):
        scope = f"{self.tenant}/web"
        ann, bob = {"Confcast-Author": "ann"}, {"Confcast-Author": "bob"}
        settings = f"/v1/settings/{self.tenant}"
        for body in ({"approval": -1}, {"approval": 9}, {"approval": "1"},
                     {"approval": 1, "x": 1}):
            with self.subTest(body=body):
                self.refused(self.daemon.request("PUT", settings, body), 400)
        self.good(self.daemon.request("PUT", settings, {"approval": 1}))
        self.assertEqual(self.good(self.daemon.get(settings))["document"], {"approval": 1})
        digest = self.good(self.daemon.put(scope, {"a": 1}, headers=ann))["digest"]
        self.refused(self.daemon.release(scope, "promote"), 403, "approval")
        self.refused(self.daemon.request("POST", "/v1/batch", {"items": [
            {"put": scope, "document": {}}, {"release": scope, "action": "promote"}]}), 403,
                     "approval")
        approve = f"/v1/approve/{scope}"
        for body in ({}, {"revision": 1}, {"revision": 1, "digest": "00"},
                     {"revision": "1", "digest": digest}, {"revision": 1, "digest": "g" * 64},
                     {"revision": 1, "digest": digest, "x": 1}):
            with self.subTest(body=body):
                self.refused(self.daemon.request("POST", approve, body, bob), 400)
        order = {"revision": 1, "digest": digest}
        self.refused(self.daemon.request("POST", approve, order, ann), 403, "approval")
        self.refused(self.daemon.request("POST", approve, {**order, "digest": "0" * 64}, bob), 409,
                     "conflict")
        got = self.good(self.daemon.request("POST", approve, order, bob))
        self.assertEqual((got["approvals"], got["required"]), (1, 1))
        self.refused(self.daemon.request("POST", approve, order, bob), 409, "exists")
        self.good(self.daemon.put(scope, {"a": 2}, headers=ann))
        self.refused(self.daemon.release(scope, "promote"), 403, "approval")
        self.good(self.daemon.release(scope, "promote", revision=1))
        refused = self.daemon.ctl("promote", scope)
        self.assertEqual(refused.returncode, 8, refused.stderr)

    def test_a_stale_release_version_conflicts(self):
        self.good(self.daemon.put(self.tenant, {}))
        self.good(self.daemon.release(self.tenant, "promote", expected_release_version=0))
        error = self.refused(
            self.daemon.release(self.tenant, "disable", expected_release_version=0), 409,
            "conflict")
        self.assertEqual(error["current"]["release_version"], 1)
        self.good(self.daemon.release(self.tenant, "disable", expected_release_version=1))

    def test_the_body_of_a_release_is_strict(self):
        self.good(self.daemon.put(self.tenant, {}))
        for members in ({"action": "frob"}, {"action": "delete"}, {}, {"action": 1},
                        {"action": "promote", "frob": 1}, {"action": "promote", "revision": -1},
                        {"action": "promote", "revision": "1"},
                        {"action": "promote", "strategy": "canary:0%"},
                        {"action": "promote", "strategy": "x" * 400}):
            with self.subTest(members=members):
                self.refused(self.daemon.request("POST", f"/v1/release/{self.tenant}", members),
                             400)
        for members in ({"bake_s": 60}, {"bake_s": "1m"}, {"activate": "later"}, {"activate": 1},
                        {"activate": "at=noon"}, {"activate": "at=2020-01-01T00:00:00Z"},
                        {"activate": "at=2099-01-01T00:00:00Z"}, {"confirm_within_s": 604801},
                        {"confirm_within_s": -1}, {"require_prepared": "99"},
                        {"require_prepared": "101%"}, {"require_prepared": 99},
                        {"bake_s": 2592001, "strategy": "canary:5%"}):
            with self.subTest(members=members):
                self.refused(self.daemon.release(self.tenant, "promote", **members), 400)
        self.good(self.daemon.release(self.tenant, "promote", activate="now"))
        self.refused(self.daemon.release(self.tenant + "x", "promote"), 404)
        for body in ("{}", '{"layers":1}', '{"layers":[1]}', '{"layers":[],"x":1}',
                     json.dumps({"layers": [f"a{n}" for n in range(17)]}),
                     '{"layers":["../x"]}'):
            with self.subTest(body=body):
                self.refused(self.daemon.request("PUT", f"/v1/layers/{self.tenant}", body), 400)

    def test_a_variant_that_is_none_is_refused(self):
        self.refused(self.daemon.get(f"/v1/effective/{self.tenant}", variant="blue"), 400)


class Idempotency(DaemonCase):
    def test_the_same_key_again_gives_the_same_answer_and_one_revision(self):
        headers = {"Idempotency-Key": "key-1-" + self.tenant}
        first = self.daemon.put(self.tenant, {"a": 1}, headers=headers, expected_revision=0)
        again = self.daemon.put(self.tenant, {"a": 1}, headers=headers, expected_revision=0)
        self.assertEqual(self.good(first), self.good(again))
        self.assertIsNone(first.headers["Idempotency-Replayed"])
        self.assertEqual(again.headers["Idempotency-Replayed"], "true")
        history = self.good(self.daemon.get(f"/v1/history/{self.tenant}"))["revisions"]
        self.assertEqual(len(history), 1)
        headers = {"Idempotency-Key": "key-2-" + self.tenant}
        first = self.good(self.daemon.release(self.tenant, "promote", headers=headers))
        again = self.good(self.daemon.release(self.tenant, "promote", headers=headers))
        self.assertEqual(first["release_version"], again["release_version"])

    def test_one_key_for_two_requests_is_refused(self):
        headers = {"Idempotency-Key": "key-" + self.tenant}
        self.good(self.daemon.put(self.tenant, {"a": 1}, headers=headers))
        error = self.refused(self.daemon.put(self.tenant, {"a": 2}, headers=headers), 422, "replay")
        self.assertIn("idempotency key", error["message"])


class Views(DaemonCase):
    def test_health_readiness_and_metrics(self):
        self.assertEqual(self.good(self.daemon.get("/healthz")), {"status": "ok"})
        self.assertEqual(self.good(self.daemon.get("/readyz")), {"status": "ready"})
        self.good(self.daemon.put(self.tenant, {}))
        self.good(self.daemon.release(self.tenant, "promote"))
        self.refused(self.daemon.get("/v1/nothing"), 404)
        reply = self.daemon.get("/metrics")
        self.assertEqual(reply.status, 200)
        self.assertTrue(reply.headers["Content-Type"].startswith("text/plain"))
        lines = reply.body.decode().splitlines()
        values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        self.assertGreaterEqual(int(values['confcast_http_requests_total{code="404"}']), 1)
        self.assertGreater(int(values[f'confcast_scope_version{{scope="{self.tenant}"}}']), 0)
        self.assertEqual(int(values["confcast_epoch"]), 1)
        self.assertEqual(len(values), len([line for line in lines if not line.startswith("#")]))

    def metrics(self):
        return exposition.parse(self.daemon.get("/metrics").body.decode())

    def test_metrics_are_well_formed_and_count_what_happens_by_route(self):
        def of(route, method, **labels):
            return (f'method="{method}"', f'route="{route}"', *(f'{k}="{v}"' for k, v in labels.items()))

        requests = "confcast_http_route_requests_total"
        put_good = (requests, of("/v1/config/", "PUT", **{"class": "2xx"}))
        put_bad = (requests, of("/v1/config/", "PUT", **{"class": "4xx"}))
        handled = ("confcast_http_handler_seconds_count", of("/v1/config/", "PUT"))
        syncs = ("confcast_store_sync_seconds_count", ())
        scopes = ("confcast_scopes", ())
        before = self.metrics()
        self.good(self.daemon.put(self.tenant, {"a": 1}))
        self.good(self.daemon.put(self.tenant, {"a": 2}))
        self.refused(self.daemon.put(self.tenant, {"a": 3}, expected_revision=1), 409)
        after = self.metrics()
        for key, more in ((put_good, 2), (put_bad, 1), (handled, 3), (scopes, 1)):
            self.assertEqual(after[key] - before.get(key, 0), more, key)
        self.assertGreaterEqual(after[syncs] - before[syncs], 1)
        self.assertGreater(after[("confcast_store_bytes", ())], 1000)
        slow = sum(value for (name, labels), value in after.items()
                   if name == "confcast_http_handler_seconds_sum" and labels == of("/v1/config/", "PUT"))
        self.assertTrue(0 < slow < 60, slow)
        # Nobody asked for a backup: it has no series yet.
        self.assertFalse([key for key in after if 'route="/v1/backup"' in key[1]])

    def test_the_reader_of_metrics_is_strict(self):
        good = "# HELP a_total b\n# TYPE a_total counter\na_total 1\n"
        hist = ("# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n")
        self.assertEqual(exposition.parse(good + hist)[("a_total", ())], 1)
        for bad in (good[:-1], good + "a_total 2\n", good.replace("a_total 1", "b_total 1"), good.replace(" 1", " x"),
                    good.replace(" 1", " NaN"), good.replace("a_total", "a"), good + good, "a_total 1\n",
                    hist.replace("+Inf", "2"), hist.replace("} 1", "} 3"), hist.replace("h_count 2", "h_count 1"),
                    hist.replace("h_sum 3\n", ""), good.replace("a_total 1", 'a_total{x="1",x="2"} 1'),
                    good.replace("a_total 1", 'a_total{x="\\q"} 1')):
            with self.subTest(bad=bad), self.assertRaises(AssertionError):
                exposition.parse(bad)

    def test_status_lists_scopes_and_none_has_consumers_yet(self):
        self.good(self.daemon.put(self.tenant, {}))
        release = self.good(self.daemon.release(self.tenant, "promote"))
        status = self.good(self.daemon.get("/v1/status"))
        row = [row for row in status["scopes"] if row["scope"] == self.tenant][0]
        self.assertEqual((row["state"], row["version"], row["published"], row["total"]),
                         ("ACTIVE", release["version"], 0, 0))
        self.assertFalse(status["node"]["publishes"])
        one = self.good(self.daemon.get(f"/v1/status/{self.tenant}"))
        self.assertEqual(one["stragglers"], [])
        self.refused(self.daemon.get(f"/v1/status/{self.tenant}/none"), 404)
        self.assertEqual(self.good(self.daemon.get("/v1/consumers"))["consumers"], [])
        self.assertEqual(self.good(self.daemon.get("/v1/consumers", behind=1))["consumers"], [])
        self.refused(self.daemon.get("/v1/consumers/web-1"), 404)
        self.refused(self.daemon.get("/v1/consumers/web%201"), 400)

    def test_every_accepted_change_is_in_the_audit_log_and_no_refused_one(self):
        headers = {"Confcast-Author": "ann"}
        self.good(self.daemon.put(self.tenant, {}, headers=headers, message="why"))
        self.refused(self.daemon.put(self.tenant, {}, headers=headers, expected_revision=7), 409)
        self.good(self.daemon.release(self.tenant, "promote", headers=headers))
        entries = self.good(self.daemon.get("/v1/audit", limit=1000))["entries"]
        mine = [entry for entry in entries if entry["scope"] == self.tenant]
        self.assertEqual([entry["action"] for entry in mine], ["promote", "put"])
        self.assertEqual([entry["author"] for entry in mine], ["ann", "ann"])
        self.assertEqual(mine[1]["message"], "why")
        self.assertIn("time", mine[0])

    def test_limits_of_lists_hold_on_both_sides(self):
        for limit in (0, 1001, "x"):
            self.refused(self.daemon.get("/v1/audit", limit=limit), 400)
        for limit in (1, 1000):
            self.good(self.daemon.get("/v1/audit", limit=limit))

    def test_head_is_get_without_a_body(self):
        reply = self.daemon.request("HEAD", "/healthz")
        self.assertEqual((reply.status, reply.body), (200, b""))

    def test_the_unix_socket_serves_the_same_and_knows_its_peer(self):
        reply = self.daemon.request("PUT", f"/v1/config/{self.tenant}", "{}", unix=True)
        self.good(reply)
        got = self.good(self.daemon.request("GET", f"/v1/config/{self.tenant}", unix=True))
        self.assertRegex(got["author"], r"^uid:\d+$")
        self.good(self.daemon.put(self.tenant, {}))
        self.assertEqual(self.good(self.daemon.get(f"/v1/config/{self.tenant}"))["author"],
                         "anonymous")


class Limits(DaemonCase):
    options = ("--request-timeout-ms", "1000", "--document-max-bytes", "100000")

    def document(self, size):
        return '{"a":"' + "x" * (size - 8) + '"}'

    def test_bodies_hold_to_their_limit_on_both_sides(self):
        self.good(self.daemon.put(self.tenant, self.document(100000)))
        self.refused(self.daemon.put(self.tenant, self.document(100001)), 413, "limit")
        self.refused(self.daemon.put(self.tenant, self.document(400000)), 413, "limit")
        self.refused(self.daemon.release(self.tenant, "promote", message="x" * 70000), 413)
        self.refused(self.daemon.request("GET", "/healthz", "{}"), 413)

    def test_a_body_that_announces_too_much_is_answered_at_once(self):
        answer = self.daemon.raw(b"PUT /v1/config/a HTTP/1.1\r\nHost: x\r\n"
                                 b"Content-Length: 99999999999\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 413 "), answer)
        answer = self.daemon.raw(b"PUT /v1/config/a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                                 b"Content-Length: 100001\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 413 "), answer)

    def test_a_chunked_body_is_taken_and_an_endless_one_is_refused(self):
        head = f"PUT /v1/config/{self.tenant} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" \
               "Transfer-Encoding: chunked\r\n\r\n"
        answer = self.daemon.raw(head.encode() + b"2\r\n{}\r\n0\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
        chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
        with socket.create_connection(("127.0.0.1", self.daemon.port), timeout=20) as sock:
            sock.sendall(head.encode())
            answer = b""
            try:
                for _ in range(10000):
                    sock.sendall(chunk)
            except OSError:
                pass
            else:
                self.fail("164 MB were taken")
            answer = read_all(sock)
        self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 413 "), answer)
        self.good(self.daemon.get("/healthz"))

    def test_slow_requests_get_408_however_they_drip(self):
        start = time.monotonic()
        answer = self.daemon.raw(b"PUT /v1/config/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
        self.assertIn(b'"code":"timeout"', answer)
        self.assertLess(time.monotonic() - start, 5)
        with socket.create_connection(("127.0.0.1", self.daemon.port), timeout=10) as sock:
            start = time.monotonic()
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            try:
                while time.monotonic() - start < 5:
                    sock.sendall(b"a")
                    time.sleep(0.1)
                self.fail("it dripped for five seconds")
            except OSError:
                pass
        self.assertLess(time.monotonic() - start, 4)

    def test_a_connection_without_a_request_is_closed(self):
        start = time.monotonic()
        self.assertEqual(self.daemon.raw(b""), b"")
        self.assertLess(time.monotonic() - start, 5)

    def test_a_kept_connection_gets_a_new_deadline_with_each_request(self):
        connection = self.daemon.connection()
        for _ in range(4):
            connection.request("GET", "/healthz")
            self.assertEqual(connection.getresponse().read(), b'{"status":"ok"}')
            time.sleep(0.5)
        connection.close()

    def test_broken_http_does_no_harm(self):
        for data in (b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n",
                     b"GET " + b"/a" * 40000 + b" HTTP/1.1\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
                     b"PUT /v1/config/a HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n"):
            with self.subTest(data=data[:30]):
                answer = self.daemon.raw(data)
                self.assertFalse(answer.startswith(b"HTTP/1.1 200"), answer)
        self.good(self.daemon.get("/healthz"))

    def test_a_flood_of_connections_leaves_the_unix_socket_open(self):
        flood = []
        try:
            for _ in range(400):
                flood.append(socket.create_connection(("127.0.0.1", self.daemon.port)))
                flood[-1].sendall(b"GET /healthz HTTP/1.1\r\nX: ")
            start = time.monotonic()
            self.good(self.daemon.request("GET", "/healthz", unix=True))
            self.assertLess(time.monotonic() - start, 1)
        finally:
            for sock in flood:
                sock.close()
        control.wait_until(lambda: self.daemon.get("/healthz").status == 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
