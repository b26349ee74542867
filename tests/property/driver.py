"""Runs operations against a real confcastd and holds every answer to the reference model."""

import copy
import hashlib
import http.client
import itertools
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../integration"))

import canonical
import lifecycle
import reference
from control import Daemon
from difference import Difference
from outside import Outside
from persons import Persons

TIMEOUT_S = 30
IDLE_S = 5  # a connection that was idle for longer may be closed at any moment
LEAD_S = 1  # how far ahead the times are that a test waits for
CONTEST_REFUSALS = ("conflict", "state", "approval", "schema_mismatch", "validation", "busy",
                    "scope_count", "document_size", "keys", "not_found")
VALIDATOR = "#!/bin/sh\nif grep -q %s; then echo \"it has poison\"; exit 1; fi\n" % reference.POISON


class Reply:
    def __init__(self, status, headers, body):
        self.status = status
        self.is_replay = headers.get("Idempotency-Replayed") == "true"
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json["error"]["code"]

    def __repr__(self):
        return f"{self.status} {self.body[:600].decode(errors='replace')}"


class Request:
    """An operation as HTTP: made once, so that it can be sent again as it was."""

    def __init__(self, op):
        params = {}
        body = None
        for name in ("expected_revision", "expected_version"):
            if name in op and op["op"] not in ("release", "batch"):
                params[name] = op[name]
        for name in ("dry_run", "override"):
            if op.get(name):
                params[name] = 1
        kind = op["op"]
        message = op.get("message")
        if message is not None and kind not in ("release", "batch"):
            params["message"] = message
        if kind == "put":
            self.method, path, body = "PUT", "/v1/config/" + op["scope"], op["document"]
        elif kind == "delete":
            self.method, path = "DELETE", "/v1/config/" + op["scope"]
        elif kind == "release":
            self.method, path = "POST", "/v1/release/" + op["scope"]
            body = {**order_body(op), **({"message": message} if message is not None else {})}
        elif kind == "batch":
            self.method, path = "POST", "/v1/batch"
            body = {"items": [batch_item(item) for item in op["items"]],
                    **({"message": message} if message is not None else {})}
        elif kind == "layers":
            self.method, path = "PUT", "/v1/layers/" + op["scope"]
            body = {"layers": op["layers"]}
        elif kind == "rule":
            self.method, path = "PUT", f"/v1/{op['kind']}/{op['scope']}"
            body = op["document"]
        elif kind == "approve":
            self.method, path = "POST", "/v1/approve/" + op["scope"]
            body = {"revision": op["revision"], "digest": op["digest"]}
        else:  # bad: as it is
            self.method, path, body = op["method"], op["path"], op["body"]
        self.target = path + ("?" + urllib.parse.urlencode(params) if params else "")
        if body is None or isinstance(body, str):
            self.body = (body or "").encode()
        else:
            self.body = json.dumps(body, ensure_ascii=op.get("ascii", False),
                                   indent=op.get("indent")).encode()
        self.author = op["author"]
        self.headers = {"Idempotency-Key": op["key"]} if op.get("key") else {}

    def raw(self, proof):
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: localhost",
                 f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in {**self.headers, **proof}.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


def order_body(op):
    body = {name: op[name] for name in
            ("action", "revision", "strategy", "bake_s", "require_prepared", "confirm_within_s",
             "expected_release_version") if name in op}
    activate = op.get("activate")
    if activate is not None and activate.startswith("at="):
        activate = f"at={time.time_ns() + int(float(activate[3:]) * 1e9)}"
    if activate is not None:
        body["activate"] = activate
    return body


def batch_item(item):
    if item["op"] == "release":
        return {"release": item["scope"], **order_body(item)}
    shown = {item["op"]: item["scope"]}
    for name in ("document", "expected_revision"):
        if name in item:
            shown[name] = item[name]
    return shown


def differs(expected, found, where=""):
    """Where what is expected is not in what was found; None when all of it is."""
    if expected is lifecycle.ANY:
        return None if found is not None else f"{where}: null"
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return f"{where}: {found!r} is no object"
        for name, value in expected.items():
            if name not in found:
                return f"{where}/{name} is missing"
            problem = differs(value, found[name], f"{where}/{name}")
            if problem:
                return problem
        return None
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            return f"{where}: {found!r} instead of {expected!r}"
        for index, value in enumerate(expected):
            problem = differs(value, found[index], f"{where}/{index}")
            if problem:
                return problem
        return None
    if found != expected or isinstance(found, bool) != isinstance(expected, bool):
        return f"{where}: {found!r} instead of {expected!r}"
    return None


class Client:
    """One kept connection."""

    def __init__(self, daemon, prove, unix=False):
        self.daemon = daemon
        self.prove = prove  # the headers that say who asks
        self.unix = unix
        self.connection = None
        self.used = 0  # when

    def send(self, method, target, body=b"", headers=None):
        if time.monotonic() - self.used > IDLE_S:
            self.close()
        self.used = time.monotonic()
        if self.connection is None:
            self.connection = self.daemon.connection(self.unix, TIMEOUT_S)
        try:
            self.connection.request(method, target, body=body, headers=headers or {})
            response = self.connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def ask(self, request):
        return self.send(request.method, request.target, request.body,
                         {**request.headers, **self.prove(request.author)})

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Run(Outside, Persons):
    """A confcastd with an empty store, the model, and what they were asked so far."""

    def __init__(self, paths, say=lambda text: None):
        self.paths = paths
        self.say = say
        self.folder = tempfile.mkdtemp(prefix="confcast-property-")
        validators = os.path.join(self.folder, "validators")
        os.mkdir(validators)
        command = os.path.join(validators, "no-poison")
        with open(command, "w", encoding="ascii") as file:
            file.write(VALIDATOR)
        os.chmod(command, 0o755)
        self.daemon = Daemon(self.folder, "--validators", validators)
        self.tokens = None     # author -> (id, text); None = the author is who a header names
        self.clients = [Client(self.daemon, self.prove), Client(self.daemon, self.prove)]
        self.reader = Client(self.daemon, self.prove, unix=True)
        self.model = reference.Model()
        self.sent = {}         # id of an operation -> (operation, request)
        self.contents = {}     # content id -> canonical text
        self.audit_count = 0   # entries that were compared
        self.audit_head = "0" * 64
        self.counts = {"answers": 0, "done": 0, "refused": 0, "kills": 0, "states": 0}
        self.codes = {}
        self.saved = None      # the last backup: (file, model, tokens, was it restored)
        self.epoch = 0         # of the last process
        try:
            self.start()
        except Exception:
            shutil.rmtree(self.folder)
            raise

    def start(self, after_restore=False):
        self.daemon.start()
        self._check_epoch(after_restore)

    def stop_all(self):
        """kill -9, and nothing is connected any more."""
        for client in (*self.clients, self.reader):
            client.close()
        self.daemon.kill()

    def close(self):
        self.stop_all()
        shutil.rmtree(self.folder)

    def all(self, ops):
        for op in ops:
            self.one(op)
        self.check_state()
        self.restart()

    def one(self, op):
        self.say(op)
        op = copy.deepcopy(op)
        try:
            getattr(self, "_" + op["op"], self._plain)(op)
        except (OSError, http.client.HTTPException) as error:
            raise Difference(f"no answer to {op}: {error!r}\n" +
                             "".join(self.daemon.log[-20:])) from error

    def _learn_versions(self):
        """A delete says nothing of the version that the end of its release has."""
        for path in sorted(self.model.unnamed):
            version = self._get("release", path).json["version"]
            if not version > self.model.version:
                raise Difference(f"version {version} of {path} after {self.model.version}")
            self.model.scopes[path].release.version = self.model.version = version
        self.model.unnamed.clear()

    # ---- Single operations ----------------------------------------------------------------------

    def _request(self, op):
        if "guard" in op:  # only here the number of the commit is known
            version = self.model.scope(op["scope"]).layers_version
            op["expected_version"] = version + (op.pop("guard") == "stale")
        request = Request(op)
        self.sent[op.get("id")] = (op, request)
        return request

    def _plain(self, op):
        self._settle(op, self.clients[0].ask(self._request(op)))
        self._learn_versions()

    def _again(self, op):
        """The very same request once more."""
        if op["of"] in self.sent:
            first, request = self.sent[op["of"]]
            self._settle(first, self.clients[0].ask(request))
            self._learn_versions()

    def _bad(self, op):
        reply = self.clients[0].ask(Request(op))
        self.counts["answers"] += 1
        if [reply.status, reply.code] not in op["wanted"]:
            raise Difference(f"{op['wanted']} expected, not {reply!r}, from {op}")
        self.codes[reply.code] = self.codes.get(reply.code, 0) + 1

    def _settle(self, op, reply, is_racing=False):
        """Compares an answer, and lets the model follow."""
        self.counts["answers"] += 1
        known = self.model.answers.get((op["author"], op.get("key"))) if op.get("key") else None
        if is_racing and reply.status == 503 and reply.code == "busy":
            return  # validators of two others were running
        verdict = self.model.judge(op)
        if isinstance(verdict, list):
            self._compare_refusal(op, reply, verdict)
            return
        if isinstance(verdict, reference.Done):
            if is_racing and verdict.asks_validators and reply.status == 409 and \
                    reply.code == "conflict":
                return  # something changed while the validators ran
            self._compare_done(op, reply, verdict)
            return
        # A known key: the first answer, and nothing happens.
        if reply.status != 200 or not reply.is_replay or reply.json != verdict:
            raise Difference(f"the first answer, {verdict}, expected of {op}, which was known as "
                             f"{known[0]}; not {reply!r}, replayed {reply.is_replay}")

    def _compare_refusal(self, op, reply, refusals):
        if reply.status == 200:
            raise Difference(f"one of {refusals} expected of {op}, but it was done: {reply!r}")
        error = reply.json["error"]
        fitting = [refusal for refusal in refusals
                   if (refusal.status, refusal.code) == (reply.status, error["code"])]
        if not fitting or not error.get("message"):
            raise Difference(f"one of {refusals} expected of {op}, not {reply!r}")
        problems = [differs(refusal.current or {}, error.get("current", {}), "current")
                    for refusal in fitting]
        if all(problems):
            raise Difference(f"{problems[0]} in {reply!r} to {op}")
        self.counts["refused"] += 1
        self.codes[error["code"]] = self.codes.get(error["code"], 0) + 1

    def _compare_done(self, op, reply, done):
        if reply.status != 200:
            raise Difference(f"{done.answer} expected of {op}, not {reply!r}")
        answer = reply.json
        problem = differs(done.answer, answer)
        if problem:
            raise Difference(f"{problem} in {reply!r} to {op}")
        if op.get("dry_run"):
            return
        version = answer.get("version") if done.has_version else None
        if done.has_version and not version > self.model.version:
            raise Difference(f"version {version} after {self.model.version}: {reply!r} to {op}")
        self.model.take(op, done, version, answer)
        self.counts["done"] += 1

    # ---- Two at once ----------------------------------------------------------------------------

    def _race(self, op):
        """Two clients at the same time: there is an order of the two that explains both answers."""
        pair = op["pair"]
        requests = [self._request(pair[0])]
        requests.append(requests[0] if pair[1] == pair[0] else self._request(pair[1]))
        replies = [None, None]
        gate = threading.Barrier(2)

        def ask(index):
            gate.wait()
            try:
                replies[index] = self.clients[index].ask(requests[index])
            except (OSError, http.client.HTTPException) as error:
                replies[index] = error

        threads = [threading.Thread(target=ask, args=(index,)) for index in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        before = self.model
        log = self.audit_count, self.audit_head
        problems = []
        # The end of a release is a version that no answer names: it may be asked for only after both,
        # where the second one moves it too, and only between them where it does not.
        for order, is_asked_between in itertools.product(((0, 1), (1, 0)), (False, True)):
            self.model = before.copy()
            self.audit_count, self.audit_head = log
            try:
                for index in order:
                    self._settle(pair[index], replies[index], is_racing=True)
                    if is_asked_between:
                        self._learn_versions()
                self._learn_versions()
                self._check_audit()  # which order it was, where the answers fit both
                return
            except Difference as difference:
                problems.append(str(difference))
        raise Difference("no order of the two explains the answers: " + " // ".join(problems))

    def _contest(self, op):
        """Several clients change one scope as fast as they can, each on what it last saw; perhaps until
        kill -9, after which each asks again what it got no answer to.  The audit log says in which
        order it was, and that order has to explain every answer."""
        self._check_audit()
        contest = [[] for _ in range(op["clients"])]
        clients = [threading.Thread(target=self._contend, args=(op, number, records))
                   for number, records in enumerate(contest)]
        for client in clients:
            client.start()
        if op.get("kill_ms") is not None:
            time.sleep(op["kill_ms"] / 1000)
            self.daemon.kill()
        for client in clients:
            client.join()
        if op.get("kill_ms") is not None:
            for client in (*self.clients, self.reader):
                client.close()
            self.start()
            self.counts["kills"] += 1
        asked = {}
        for record in sum(contest, []):
            asked[record["op"]["message"]] = record
            if record["reply"] is None:
                record["reply"] = self.clients[0].ask(record["request"])
        body = self._get("audit", "", format="lines", limit=1000, after=self.audit_count).body
        for line in body.splitlines():
            record = asked.pop(json.loads(line)["message"], None)
            if record is None:
                raise Difference(f"an entry of nothing that was asked, or of it twice: {line}")
            self._settle(record["op"], record["reply"])
        for record in asked.values():
            if record["reply"].status == 200 or record["reply"].code not in CONTEST_REFUSALS:
                raise Difference(f"{record['reply']!r} to {record['op']}, which is not in the log")
        self.counts["contested"] = self.counts.get("contested", 0) + len(asked)
        self.check_state()

    def _contend(self, op, number, records):
        client = Client(self.daemon, self.prove)
        revision = self.model.scope(op["scope"]).latest
        moved = self.model.scope(op["scope"]).release.release_version
        try:
            for index in range(op["rounds"]):
                name = f"contest-{op['id']}-{number}-{index}"
                change = {"scope": op["scope"], "author": "ann", "key": name, "message": name}
                if index % 3 == 2:
                    change.update({"op": "release", "action": "promote",
                                   "expected_release_version": moved})
                else:
                    change.update({"op": "put", "document": {"by": number, "at": index},
                                   "expected_revision": revision})
                record = {"op": change, "request": Request(change), "reply": None}
                records.append(record)
                record["reply"] = client.ask(record["request"])
                answer = record["reply"].json
                seen = answer if record["reply"].status == 200 else answer["error"].get("current", {})
                revision = seen.get("revision", revision)
                moved = seen.get("release_version", moved)
        except (OSError, http.client.HTTPException):
            pass  # killed
        finally:
            client.close()

    # ---- kill -9 --------------------------------------------------------------------------------

    def _kill(self, _op):
        self.restart()

    def restart(self):
        self.stop_all()
        self.start()
        self.counts["kills"] += 1
        self.check_state(is_whole=True)

    def _killed(self, op):
        """kill -9 while a request is under way; the same request again, by its key, settles it."""
        request = self._request(op["do"])
        raw = request.raw(self.prove(request.author))
        sock = socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S)
        with sock:
            sock.sendall(raw[:max(1, int(len(raw) * op["share"]))])
            time.sleep(op["delay_ms"] / 1000)
            self.stop_all()
        self.start()
        self.counts["kills"] += 1
        reply = self.clients[0].ask(request)
        was_done = reply.is_replay
        verdict = self.model.judge(op["do"])
        if was_done and isinstance(verdict, list):
            raise Difference(f"{op['do']} was done and killed, instead of one of {verdict}")
        self._settle(op["do"], reply)
        self._learn_versions()
        self.counts["replayed"] = self.counts.get("replayed", 0) + was_done
        self.check_state(is_whole=True)

    # ---- Time -----------------------------------------------------------------------------------

    def _timed(self, op):
        """Operations that end with something to come by itself; waits until it came."""
        for one in op["do"]:
            self._plain(one)
        path = op["do"][0]["scope"]
        action = due_action(self.model.scope(path).release)
        if action is None:
            return
        if op.get("kill"):  # nothing is looked at before its time: it may have come already
            self.stop_all()
            self.start()
            self.counts["kills"] += 1
        seen = self.model.scope(path).release.release_version
        deadline = time.monotonic() + LEAD_S + 10
        while True:
            found = self._get("release", path).json
            if found["release_version"] > seen:
                break
            if time.monotonic() > deadline:
                raise Difference(f"{action} of {path} is due and does not come: {found}")
            time.sleep(0.02)
        if not found["version"] > self.model.version:
            raise Difference(f"version {found['version']} after {self.model.version}: {found}")
        self.model.by_itself(path, action, found["version"], found["message"])
        self.check_state()

    # ---- The whole visible state ----------------------------------------------------------------

    def _get(self, route, path, **params):
        target = f"/v1/{route}" + ("/" + path if path else "")
        if params:
            target += "?" + urllib.parse.urlencode(params)
        self.counts["answers"] += 1
        return self.reader.send("GET", target)

    def _look(self, op):
        if op["route"] == "explain":
            self._explain(op)
            return
        reply = self._get(op["route"], op["scope"], **op["params"])
        self._compare_read(op["route"], op["scope"], op["params"], reply)

    def _explain(self, op):
        path, variant, names = op["scope"], op["variant"], op["names"]
        pointer = "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
        reply = self._get("effective", path, variant=variant, explain=pointer)
        expected = self.model.explain(path, variant, names)
        where = f"GET /v1/effective/{path} explain={pointer!r} {variant}"
        if expected is None:
            if (reply.status, reply.code) != (404, "not_found"):
                raise Difference(f"{where}: 404 expected, not {reply!r}")
            return
        version, shown, found, value, winner = expected
        answer = reply.json
        problem = differs({"version": version, "variant": shown, "found": found}, answer)
        if not problem and found and canonical.text(value) != canonical.text(answer["value"]):
            problem = f"the value is not {canonical.text(value)}"
        if not problem and winner:
            problem = differs({"layer": winner[0], "revision": winner[1], "effect": "sets"},
                              answer["winner"], "winner")
        if problem:
            raise Difference(f"{where}: {problem} in {reply!r}")

    def _state(self, _op):
        self.check_state()

    def check_state(self, is_whole=False):
        self.counts["states"] += 1
        for path in self.paths:
            for route in ("config", "history", "release", "layers", "schema", "settings", "status"):
                self._look({"route": route, "scope": path, "params": {}})
            for variant in ("stable", "candidate"):
                self._look({"route": "effective", "scope": path, "params": {"variant": variant}})
            if is_whole:
                for revision in range(1, self.model.scope(path).latest + 1):
                    self._look({"route": "config", "scope": path, "params": {"revision": revision}})
        if is_whole:
            self.audit_count, self.audit_head = 0, "0" * 64
        self._check_audit()

    def _compare_read(self, route, path, params, reply):
        expected = getattr(self, "_expect_" + route)(path, params)
        where = f"GET /v1/{route}/{path} {params}"
        if isinstance(expected, lifecycle.Refusal):
            if reply.status != expected.status or reply.code != expected.code:
                raise Difference(f"{where}: {expected}, not {reply!r}")
            problem = differs(expected.current or {}, reply.json["error"].get("current", {}), "current")
        elif reply.status != 200:
            raise Difference(f"{where}: {expected}, not {reply!r}")
        else:
            document = expected.pop("document", None)
            problem = self.compare_expected(expected, reply.json)
            if document is not None and not problem:
                problem = self._compare_document(route, canonical.text(document), reply)
        if problem:
            raise Difference(f"{where}: {problem} in {reply!r}")

    @staticmethod
    def compare_expected(expected, found):
        return differs(expected, found)

    def _compare_document(self, route, text, reply):
        """The document's bytes, and that one content has one id."""
        marker = b'"document":'
        at = reply.body.index(marker) + len(marker)
        expected = text.encode()
        if reply.body[at:at + len(expected)] != expected or \
                reply.body[at + len(expected):at + len(expected) + 1] not in (b",", b"}"):
            return f"the document is not {text!r}"
        if route == "effective":
            content = reply.json["content"]
            if self.contents.setdefault(content, text) != text or \
                    self.contents.setdefault(text, content) != content:
                return f"content {content} is not the one id of {text!r}"
        return None

    def _expect_config(self, path, params):
        scope = self.model.scope(path)
        number = params.get("revision", scope.latest)
        if not 0 < number <= scope.latest:
            return lifecycle.Refusal(404, "not_found")
        revision = scope.revisions[number - 1]
        meta = {"scope": path, **revision.meta(number)}
        if revision.document is None:
            return lifecycle.Refusal(404, "not_found", meta)
        if number in scope.gone:
            return lifecycle.Refusal(404, "gone")
        return {**meta, "document": revision.document}

    def _expect_rule(self, kind, path, params):
        items = self.model.scope(path).rules[kind]
        number = params.get("revision", len(items))
        if not 0 < number <= len(items):
            return lifecycle.Refusal(404, "not_found")
        meta = items[number - 1].meta(number)
        del meta["deleted"]
        return {"scope": path, **meta, "document": items[number - 1].document}

    def _expect_schema(self, path, params):
        return self._expect_rule("schema", path, params)

    def _expect_settings(self, path, params):
        return self._expect_rule("settings", path, params)

    def _expect_history(self, path, params):
        scope = self.model.scope(path)
        if not scope.is_known:
            return lifecycle.Refusal(404, "not_found")
        newest = min(scope.latest, params.get("before", scope.latest + 1) - 1)
        numbers = range(newest, max(0, newest - params.get("limit", 100)), -1)
        return {"scope": path,
                "revisions": [scope.revisions[number - 1].meta(number) for number in numbers]}

    def _expect_release(self, path, _params):
        release = self.model.scope(path).release
        if not self.model.known(path):
            return lifecycle.Refusal(404, "not_found")
        return {"scope": path, **release.view(), "version": release.version,
                "author": release.author, "message": release.message}

    def _expect_status(self, path, _params):
        """Nobody follows these scopes, and there is no engine."""
        if not self.model.known(path):
            return lifecycle.Refusal(404, "not_found")
        layer = self.model.rolling_layer(path)
        rollout = None
        if layer:
            release = self.model.scope(layer).release
            rollout = {"layer": layer, **release.view(), "consumers": {"alive": 0, "prepared": 0}}
        return {"scope": path, "state": self.model.scope(path).release.state,
                "version": self.model.version_of(path), "published": 0, "published_time": None,
                "total": 0, "stale": 0, "applied": 0, "behind": 0, "stragglers": [], "arms": [],
                "propagation_ms": self.model.inherited(path, "propagation_ms") or None,
                "rollout": rollout}

    def _expect_layers(self, path, _params):
        scope = self.model.scope(path)
        return {"scope": path, "layers": self.model.layers_of(path),
                "default": scope.layers is None, "version": scope.layers_version}

    def _expect_effective(self, path, params):
        found = self.model.effective(path, params.get("variant", "stable"))
        if found is None:
            return lifecycle.Refusal(404, "not_found")
        version, variant, document = found
        return {"scope": path, "version": version, "variant": variant, "document": document}

    def _check_audit(self):
        """What the log has more since the last time: an entry for each change, in one chain."""
        expected = self.model.audit
        while True:
            body = self._get("audit", "", format="lines", limit=1000, after=self.audit_count).body
            lines = body.splitlines()
            for line in lines:
                self._check_entry(json.loads(line), expected)
                self.audit_head = hashlib.sha256(line).hexdigest()
                self.audit_count += 1
            if not lines:
                break
        if self.audit_count != len(expected):
            raise Difference(f"the audit log ends before {expected[self.audit_count]}")
        if expected:
            newest = self._get("audit", "", limit=1).json["entries"][0]
            if newest["digest"] != self.audit_head or newest["n"] != len(expected):
                raise Difference(f"the newest entry is not the last line: {newest}")

    def _check_entry(self, entry, expected):
        if self.audit_count >= len(expected):
            raise Difference(f"an audit entry of nothing that was done: {entry}")
        author, action, path, revision, message = expected[self.audit_count]
        problem = differs({"n": self.audit_count + 1, "prev": self.audit_head, "author": author,
                           "action": action, "scope": path, "revision": revision,
                           "message": message}, entry)
        if problem:
            raise Difference(f"audit entry: {problem} in {entry}")


def due_action(release):
    """What a release does by itself when its time comes; None = nothing soon."""
    if not release.is_rolling:
        return None
    if release.is_waiting:
        is_soon = release.activate == "at" and release.at_s == LEAD_S
        return ("pause" if release.require_ppm else "advance") if is_soon else None
    return "rollback" if release.confirm_s == LEAD_S else None
