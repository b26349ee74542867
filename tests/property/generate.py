"""Random operations, valid and not, over a handful of scopes.

What is made depends on the seed and on the model, never on the daemon's own numbers or the clock, so
that a sequence can be written to a file and run again, whole or in part."""

import random

import canonical
import lifecycle
import reference

# Layers above each other, siblings, and another tenant; the last one is only asked for.
PATHS = ("a", "a/b", "a/b/c", "a/b/d", "a/e", "z", "z/y", "a/nobody")
WRITTEN = PATHS[:-1]
AUTHORS = ("ann", "bob", "eve", "anonymous")
NAMES = ("limit", "name", "tags", "deep", "\u20ac", "\U0001f600", "\ufb33", "", "a\"b\\c", "1")
NUMBERS = (0, 1, 1.0, -1, -0.0, 0.1, 1e21, 1e20, 5e-324, 1.7976931348623157e308, 123456789.125,
           9007199254740991, -9007199254740991, 1e-7, 0.000001, 333333333.33333329, 4.5)
STRINGS = ("", "x", "\u0000"[:0] + "\u0001\u001f\u007f\n\"\\/", "\u20ac\U0001f600", "plain",
           "\u2028")
STRATEGIES = ("all", "canary:5%", "canary:0.5%", "stages:1%,25%,100%", "stages:10%,50%",
              "stages:1%,5%,25%,75%", "label:zone=eu-1", "zone=eu-1")
WRONG_STRATEGIES = ("canary:0%", "canary:100%", "stages:5%,5%", "stages:50%,10%", "canary:5%,6%",
                    "some", "canary:101%")
SCHEMAS = (
    {}, {"type": "object"},
    {"properties": {"limit": {"type": "integer", "maximum": 100}}},
    {"properties": {"limit": {"type": "number", "minimum": 10}}, "required": ["limit"]},
    {"properties": {"name": {"enum": ["x", "plain", None]}}},
    {"properties": {"deep": {"type": "object", "required": ["limit"]}}},
)
WRONG_SCHEMAS = (
    ({"type": "whole"}, (422, "schema_invalid")), ({"required": "limit"}, (422, "schema_invalid")),
    ({"unevaluatedProperties": False}, (422, "schema_unsupported")),
    ({"requird": []}, (422, "schema_unsupported")),
)
SETTINGS = ({}, {}, {"approval": 1}, {"approval": 2}, {"approval": 0}, {"approval": None},
            {"key_ratio_max": 2}, {"key_ratio_max": 1.5},
            {"validators": [{"command": "no-poison"}]}, {"retained_revisions": 1},
            {"retained_revisions": 2}, {"retained_revisions": 0}, {"retained_revisions": 1}, {"document_keys_max": 4},
            {"document_size_max": 60}, {"document_size_max": 0}, {"scopes_max": 2},
            {"propagation_ms": 500}, {"consumers_max": 1})
WRONG_SETTINGS = ({"approval": 9}, {"approval": "one"}, {"key_ratio_max": 0.5}, {"quorum": 1},
                  {"validators": [{"command": "../sh"}]}, {"validators": "no-poison"})
DEEP = '{"a":' * 70 + "1" + "}" * 70

BAD = (
    ("PUT", "/v1/config/a", '{"a": 1', (400, "syntax")),
    ("PUT", "/v1/config/a", "[]", (400, "syntax"), (400, "type")),
    ("PUT", "/v1/config/a", '{"a": 1, "a": 2}', (400, "duplicate_key")),
    ("PUT", "/v1/config/a", DEEP, (400, "depth")),
    ("PUT", "/v1/config/a", '{"a": 9007199254740992}', (422, "number")),
    ("PUT", "/v1/config/a", '{"a": 1e400}', (422, "number"), (400, "syntax")),
    ("PUT", "/v1/config/a", '{"a": "\\ud800"}', (400, "encoding")),
    ("PUT", "/v1/config/a", '{"a": "\\u0000"}', (400, "encoding")),
    ("PUT", "/v1/config/A", "{}", (400, "scope_name")),
    ("PUT", "/v1/config/a//b", "{}", (400, "scope_name"), (400, "invalid")),
    ("PUT", "/v1/config/a/b/c/d/e/f/g/h/i", "{}", (400, "scope_name")),
    ("PUT", "/v1/config/a?expected=1", "{}", (400, "invalid")),
    ("PUT", "/v1/config/a?expected_revision=-1", "{}", (400, "invalid")),
    ("PUT", "/v1/config/a?expected_revision=1&expected_revision=1", "{}", (400, "invalid")),
    ("POST", "/v1/config/a", "{}", (405, "method")),
    ("POST", "/v1/release/a", '{"action": "explode"}', (400, "invalid")),
    ("POST", "/v1/release/a", '{"action": "delete"}', (400, "invalid")),
    ("POST", "/v1/release/a", '{"action": "promote", "colour": 1}', (400, "invalid")),
    ("POST", "/v1/release/a", '{"action": "promote", "revision": 1.5}', (400, "invalid")),
    ("POST", "/v1/batch", '{"items": []}', (400, "invalid")),
    ("POST", "/v1/batch", '{"items": [{"put": "a"}]}', (400, "invalid")),
    ("PUT", "/v1/layers/a", '{"layers": "a"}', (400, "invalid")),
    ("PUT", "/v1/layers/a/b", '{"layers": ["a", "a"]}', (400, "invalid")),
    ("POST", "/v1/approve/a", '{"revision": 1}', (400, "invalid")),
    ("GET", "/v1/effective/a?variant=both", "", (400, "invalid")),
    ("GET", "/v1/history/a?limit=0", "", (400, "invalid")),
    ("GET", "/v1/nothing", "", (404, "not_found")),
)


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.count = 0
        self.has_auth = self.random.random() < 0.3
        self.keyed = []  # operations with a key, that can be asked again

    # ---- Parts ----------------------------------------------------------------------------------

    def maybe(self, percents):
        return self.random.random() * 100 < percents

    def value(self, depth):
        pick = self.random.random()
        if depth < 3 and pick < 0.3:
            return self.object(depth + 1)
        if pick < 0.4:
            return [self.value(depth + 1) for _ in range(self.random.randrange(3))] \
                if depth < 3 else []
        if pick < 0.55:
            return None
        if pick < 0.8:
            return self.random.choice(NUMBERS)
        return self.random.choice((True, False, *STRINGS))

    def object(self, depth=0):
        names = self.random.sample(NAMES, self.random.choice((0, 1, 1, 2, 3)))
        return {name: self.value(depth) for name in names}

    def document(self):
        document = self.object()
        if self.maybe(50):
            document["limit"] = self.random.choice((5, 50, 99, 100, 101, 150, "many", None))
        if self.maybe(40):
            document["deep"] = self.object(1) if self.maybe(80) else None
        if self.maybe(4):
            document["name"] = reference.POISON
        return document

    def near(self, number):
        """A number that is mostly right."""
        return number if self.maybe(75) else max(0, number + self.random.choice((-1, 1, 2)))

    def change(self, op):
        """What every change may have."""
        self.count += 1
        op["id"] = self.count
        op["author"] = self.random.choice(AUTHORS)
        if self.has_auth and self.maybe(70):  # or most would be turned away
            op["author"] = "ann"
        if self.maybe(30):
            op["message"] = self.random.choice(("first", "because \"so\"", "\u20ac\U0001f600"))
        if self.maybe(6):
            op["dry_run"] = True
        if self.maybe(30):
            op["key"] = f"key-{self.count}"
        if self.maybe(3) and self.keyed:  # somebody else's request, or one's own: another one
            other = self.random.choice(self.keyed)
            op["key"] = other["key"]
            if self.maybe(70):
                op["author"] = other["author"]
        if op.get("key"):
            self.keyed.append(op)
        return op

    # ---- Changes --------------------------------------------------------------------------------

    def put_item(self, model, path):
        item = {"op": "put", "scope": path, "document": self.document()}
        if self.maybe(40):
            item["expected_revision"] = self.near(model.scope(path).latest)
        return item

    def put(self, model, path):
        op = self.change(self.put_item(model, path))
        op["ascii"] = self.maybe(50)
        if self.maybe(20):
            op["indent"] = 2
        return op

    def delete_item(self, model, path):
        item = {"op": "delete", "scope": path}
        if self.maybe(40):
            item["expected_revision"] = self.near(model.scope(path).latest)
        return item

    def delete(self, model, path):
        return self.change(self.delete_item(model, path))

    def action_for(self, release):
        if self.maybe(20):
            return self.random.choice(lifecycle.ACTIONS)
        likely = {"EMPTY": ("promote",), "ACTIVE": ("promote",) * 5 + ("rollback", "rollback",
                                                                      "disable", "quarantine"),
                  "ROLLING": ("advance",) * 4 + ("pause", "abort", "rollback", "disable", "confirm",
                                                 "confirm", "quarantine"),
                  "PAUSED": ("resume", "resume", "abort", "rollback", "confirm", "disable"),
                  "DISABLED": ("enable", "enable", "rollback"),
                  "DELETED": ("promote", "promote", "rollback")}
        return self.random.choice(likely[release.state])

    def revision_for(self, scope):
        return self.near(self.random.randint(0, scope.latest)) if self.maybe(60) else scope.latest

    def order(self, model, path, action=None):
        scope = model.scope(path)
        action = action or self.action_for(scope.release)
        item = {"op": "release", "scope": path, "action": action}
        if action == "promote":
            if self.maybe(40):
                item["revision"] = self.revision_for(scope)
            self.plan(item)
        elif action == "rollback" and self.maybe(50):
            item["revision"] = self.random.choice((*scope.release.before, scope.latest, 1))
        elif action == "quarantine" and self.maybe(95):
            item["revision"] = self.revision_for(scope)
        elif action == "advance" and self.maybe(15):
            item["activate"] = "at=3600"
        if action == "advance" and self.maybe(30):
            item["require_prepared"] = self.random.choice(("0%", "0%", "50%"))
        if self.maybe(2):
            item.update(self.random.choice(({"activate": "hold"}, {"bake_s": 10},
                                            {"confirm_within_s": 60},
                                            {"confirm_within_s": 8 * 86400},
                                            {"require_prepared": "99%"})))
        if self.maybe(25):
            item["expected_release_version"] = self.near(scope.release.release_version)
        return item

    def plan(self, item):
        """How a promotion reaches the fleet."""
        if self.maybe(45):
            item["strategy"] = self.random.choice(STRATEGIES)
        if self.maybe(2):
            item["strategy"] = self.random.choice(WRONG_STRATEGIES)
        if self.maybe(15):
            item["activate"] = self.random.choice(("now", "hold", "at=3600", "at=900000"))
        if self.maybe(8):
            item["require_prepared"] = self.random.choice(("99%", "0.5%", "0%"))
        if self.maybe(15):
            item["confirm_within_s"] = self.random.choice((3600, 604800))
        if self.maybe(10):
            item["bake_s"] = self.random.choice((60, 2592000))

    def release(self, model, path, action=None):
        op = self.change(self.order(model, path, action))
        if op["action"] == "promote" and self.maybe(10):
            op["override"] = True
        return op

    def batch(self, model, _path):
        items = []
        for path in self.random.sample(WRITTEN, self.random.choice((1, 2, 2, 3, 4))):
            pick = self.random.random()
            if pick < 0.15:
                items.append(self.delete_item(model, path))
            elif pick < 0.3:
                items.append(self.order(model, path))
            else:
                items.append(self.put_item(model, path))
                if self.maybe(75):
                    item = {"op": "release", "scope": path, "action": "promote"}
                    if self.maybe(25):
                        self.plan(item)
                    items.append(item)
        if self.maybe(5):
            items.append(dict(self.random.choice(items)))
        return self.change({"op": "batch", "items": items})

    def layers(self, model, path):
        tenant = path.split("/")[0]
        others = [other for other in WRITTEN if other.split("/")[0] == tenant]
        if self.maybe(45):
            layers = []
        else:
            layers = self.random.sample(others, self.random.randint(1, len(others)))
            if self.maybe(5):
                layers.append(self.random.choice(WRITTEN))
        op = {"op": "layers", "scope": path, "layers": layers}
        # The version is a commit of the daemon's: the driver knows which one it is.
        if self.maybe(15):
            op["expected_version"] = 0
        elif self.maybe(30):
            op["guard"] = "current" if self.maybe(70) else "stale"
        return self.change(op)

    def rule(self, model, path):
        kind = self.random.choice(("schema", "settings"))
        op = {"op": "rule", "kind": kind, "scope": path}
        if kind == "schema" and self.maybe(10):
            op["document"], op["wrong"] = self.random.choice(WRONG_SCHEMAS)
        elif kind == "settings" and self.maybe(10):
            op["document"], op["wrong"] = self.random.choice(WRONG_SETTINGS), (400, "invalid")
        else:
            op["document"] = self.random.choice(SCHEMAS if kind == "schema" else SETTINGS)
        if self.maybe(30):
            op["expected_revision"] = self.near(len(model.scope(path).rules[kind]))
        return self.change(op)

    def approve(self, model, path):
        scope = model.scope(path)
        number = self.near(scope.latest)
        known = 0 < number <= scope.latest and scope.document(number) is not None
        digest = canonical.digest(scope.document(number) if known and self.maybe(90) else {"x": 1})
        return self.change({"op": "approve", "scope": path, "revision": number, "digest": digest})

    # ---- Everything -----------------------------------------------------------------------------

    CHANGES = (("put", 24), ("release", 38), ("batch", 12), ("delete", 4), ("layers", 5),
               ("rule", 5), ("approve", 7))

    def any_change(self, model, path=None):
        names, weights = zip(*self.CHANGES)
        name = self.random.choices(names, weights)[0]
        return getattr(self, name)(model, path or self.random.choice(WRITTEN))

    def timed(self, model):
        """A promotion to which something happens by itself, soon."""
        path = self.random.choice(WRITTEN)
        first = {"op": "release", "scope": path, "action": "promote"}
        if self.maybe(50):
            first["strategy"] = self.random.choice(STRATEGIES)
        rest = []
        if self.maybe(60):
            first["confirm_within_s"] = 1
            if self.maybe(30):
                rest = [{"op": "release", "scope": path, "action": "pause"}]
        else:
            first["activate"] = "at=1"
            if self.maybe(40):
                first["require_prepared"] = "50%"
        put = self.change({"op": "put", "scope": path, "document": self.document()})
        for name in ("key", "dry_run"):
            put.pop(name, None)
        if put in self.keyed:
            self.keyed.remove(put)
        for one in (first, *rest):
            self.count += 1
            one.update({"id": self.count, "author": "ann"})
        return {"op": "timed", "do": [put, first, *rest][1:] if self.maybe(20) else
                [put, first, *rest], "kill": self.maybe(30)}

    def look(self, model):
        """A read with its parameters."""
        path = self.random.choice(PATHS)
        scope = model.scope(path)
        route = self.random.choice(("config", "history", "schema", "settings"))
        if self.maybe(40):
            effective = model.effective(path, "candidate")
            names, value = [], effective[2] if effective else {}
            while isinstance(value, dict) and value and (not names or self.maybe(60)):
                names.append(self.random.choice(sorted(value)))
                value = value[names[-1]]
            if self.maybe(20) or not names:
                names.append(self.random.choice(NAMES))
            return {"op": "look", "route": "explain", "scope": path, "names": names,
                    "variant": self.random.choice(("stable", "candidate"))}
        if route == "history":
            params = {"limit": self.random.randint(1, 4)}
            if self.maybe(60):
                params["before"] = self.random.randint(1, scope.latest + 2)
        else:
            params = {"revision": self.random.randint(1, scope.latest + 1)}
        return {"op": "look", "route": route, "scope": path, "params": params}

    def killed(self, model):
        op = self.any_change(model)
        op.pop("dry_run", None)
        if "key" not in op:
            op["key"] = f"key-{op['id']}"
            self.keyed.append(op)
        share = self.random.choice((0.3, 0.7, 1, 1, 1, 1, 1, 1))
        return {"op": "killed", "do": op, "share": share,
                "delay_ms": self.random.choice((0, 0.3, 0.6, 1, 1.5, 2, 3, 5, 10))}

    def race(self, model):
        path = self.random.choice(WRITTEN)
        first = self.any_change(model, path)
        pick = self.random.random()
        if pick < 0.2 and first.get("key"):
            second = first
        else:
            second = self.any_change(model, path)
            if first["op"] in ("put", "delete") and pick < 0.7:  # the classic: both saw the same
                first["expected_revision"] = model.scope(path).latest
                second = self.put(model, path)
                second["expected_revision"] = model.scope(path).latest
        return {"op": "race", "pair": [first, second]}

    def told(self, model):
        """A change that somebody watches, or waits for."""
        path = self.random.choice(WRITTEN)
        other = self.random.choice(PATHS[:6]) if self.maybe(40) else path
        return {"op": self.random.choice(("watch", "wait")), "scope": path,
                "do": self.any_change(model, other)}

    def contest(self):
        self.count += 1
        return {"op": "contest", "id": self.count, "scope": self.random.choice(WRITTEN),
                "clients": self.random.choice((2, 4, 8)), "rounds": 6,
                "kill_ms": self.random.choice((None, 2, 5, 10, 20))}

    def grant(self):
        roles = self.random.sample(sorted(reference.ROLES), self.random.choice((1, 2, 3)))
        scope = self.random.choice(("*", "*", "a", "a", "a/b", "z"))
        return {"op": "grant", "to": self.random.choice(("bob", "eve")), "roles": roles,
                "scope": scope}

    def next(self, model):
        if self.has_auth and model.grants is None:
            return {"op": "auth"}
        if self.has_auth and self.maybe(4):
            return self.grant()
        pick = self.random.random() * 100
        if pick < 1:
            return {"op": "kill"}
        if pick < 5:
            return self.killed(model)
        if pick < 5.5:
            return self.timed(model)
        if pick < 6.5:
            return self.contest()
        if pick < 12:
            return self.race(model)
        if pick < 16 and self.keyed:
            return {"op": "again", "of": self.random.choice(self.keyed)["id"]}
        if pick < 22:
            return self.look(model)
        if pick < 25:
            method, path, body, *wanted = self.random.choice(BAD)
            return {"op": "bad", "method": method, "path": path, "body": body, "author": "ann",
                    "wanted": [list(one) for one in wanted]}
        if pick < 27:
            return {"op": "state"}
        if pick < 29:
            return self.told(model)
        if pick < 29.8:
            return {"op": "backup"}
        if pick < 30.5:
            return {"op": "restore"}
        return self.any_change(model)
