"""What confcastd promises, as a small program without a disk, a clock or a thread.

Written from docs/api.md, docs/operators.md and the RFCs, not from the daemon.  An operation is judged
first: either some refusals hold, and the daemon has to answer with one of them, or it has to be
done, with the answer that is expected here.  Commit sequences are the daemon's own; what is held to
is that they rise, and that a version is the highest one of what a scope consists of."""

import json
from typing import NamedTuple

import canonical
from lifecycle import Refusal, Refused, Release, read_strategy

# docs/operators.md, "Who may do what".
ROLES = frozenset(("viewer", "author", "approver", "releaser", "operator"))
RIGHTS = {"put": {"author", "operator"}, "delete": {"author", "operator"},
          "schema": {"author", "operator"}, "approve": {"approver", "operator"},
          "release": {"releaser", "operator"}, "layers": {"releaser", "operator"},
          "settings": {"operator"}}
RETIRED_MAX = 16  # texts that one write lets go
POISON = "poison"  # what the validator command of these tests refuses


class Revision(NamedTuple):
    document: dict  # None = a tombstone
    author: str
    message: str

    def meta(self, number):
        size = len(canonical.text(self.document).encode()) if self.document is not None else 0
        return {"revision": number, "author": self.author, "message": self.message, "size": size,
                "deleted": self.document is None,
                "digest": None if self.document is None else canonical.digest(self.document)}


class Scope:
    def __init__(self):
        self.is_known = False
        self.revisions = []
        self.release = Release()
        self.layers = None  # None = the prefixes of the path
        self.layers_version = 0
        self.rules = {"schema": [], "settings": []}
        self.approvals = {}  # revision -> names
        self.gone = frozenset()  # revisions whose text is not kept

    def copy(self):
        other = Scope()
        other.is_known = self.is_known
        other.revisions = list(self.revisions)
        other.release = self.release.copy()
        other.layers = self.layers
        other.layers_version = self.layers_version
        other.rules = {kind: list(items) for kind, items in self.rules.items()}
        other.approvals = dict(self.approvals)
        other.gone = self.gone
        return other

    @property
    def latest(self):
        return len(self.revisions)

    @property
    def is_deleted(self):
        return bool(self.revisions) and self.revisions[-1].document is None

    def document(self, revision):
        return self.revisions[revision - 1].document

    def refuse_revision(self, number):
        """The refusal of a revision that can be released no more, or None."""
        if not 0 < number <= self.latest or self.document(number) is None:
            return Refusal(404, "not_found")
        return Refusal(404, "gone") if number in self.gone else None

    def retire(self, count, needed):
        """Lets go of what is behind the newest `count` revisions and no release needs."""
        old = [number for number in range(1, self.latest - count + 1)
               if number not in self.gone and number not in needed
               and self.document(number) is not None]
        self.gone |= set(old[:RETIRED_MAX])

    def rule(self, kind):
        return self.rules[kind][-1].document if self.rules[kind] else {}


def prefixes(path):
    parts = path.split("/")
    return ["/".join(parts[:i + 1]) for i in range(len(parts))]


def is_whole(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == int(value)


TYPES = {
    "object": lambda v: isinstance(v, dict), "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str), "boolean": lambda v: isinstance(v, bool),
    "integer": is_whole, "null": lambda v: v is None,
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
}


def fits(schema, value):
    """The few keywords of JSON Schema that these tests use."""
    is_number = TYPES["number"](value)
    if "type" in schema and not TYPES[schema["type"]](value):
        return False
    if is_number and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return False
    if "enum" in schema and canonical.text(value) not in map(canonical.text, schema["enum"]):
        return False
    if isinstance(value, dict):
        if any(name not in value for name in schema.get("required", ())):
            return False
        return all(fits(inner, value[name]) for name, inner in schema.get("properties", {}).items()
                   if name in value)
    return True


class Done(NamedTuple):
    """What is true when an operation is done."""

    answer: dict
    entries: list        # of the audit log: (action, scope, revision)
    has_version: bool    # the answer names the commit
    commit: object       # function of that version
    asks_validators: bool = False


class Model:
    def __init__(self):
        self.scopes = {}
        self.version = 0     # the highest that was ever named
        self.floor = 0       # of versions, after a restore
        self.answers = {}    # (author, key) -> (request, answer)
        self.audit = []
        self.grants = None    # author -> (roles, scope); None = everybody may do everything
        self.unnamed = set()  # scopes whose release moved under a version that no answer named

    def copy(self):
        other = Model()
        other.unnamed = set(self.unnamed)
        other.grants = None if self.grants is None else dict(self.grants)
        other.scopes = {path: scope.copy() for path, scope in self.scopes.items()}
        other.version = self.version
        other.floor = self.floor
        other.answers = dict(self.answers)
        other.audit = list(self.audit)
        return other

    def scope(self, path):
        return self.scopes.get(path) or Scope()

    def known(self, path):
        return self.scope(path).is_known

    # ---- Effective config ---------------------------------------------------------------------

    def layers_of(self, path):
        return self.scope(path).layers or prefixes(path)

    def rolling_layer(self, path):
        for layer in self.layers_of(path):
            if self.scope(layer).release.is_rolling:
                return layer
        return None

    def merged(self, path, candidate_of=None):
        document = {}
        for layer in self.layers_of(path):
            scope = self.scope(layer)
            release = scope.release
            revision = release.candidate if layer == candidate_of else release.stable
            if revision:
                document = canonical.merge(document, scope.document(revision))
        return document

    def version_of(self, path):
        version = max([self.scope(path).layers_version] +
                      [self.scope(layer).release.version for layer in self.layers_of(path)])
        return max(version, self.floor) if version else 0

    def contents(self, path):
        """All that consumers of a scope are given: what is stable first."""
        rolling = self.rolling_layer(path)
        return [self.merged(path)] + ([self.merged(path, rolling)] if rolling else [])

    def effective(self, path, variant):
        """(version, variant shown, document), or None where nothing was ever released."""
        version = self.version_of(path)
        rolling = self.rolling_layer(path)
        if not version:
            return None
        if rolling:
            release = self.scope(rolling).release
            if variant == "candidate" or (release.covers_all and not release.is_waiting):
                return version, "candidate", self.merged(path, rolling)
        return version, "stable", self.merged(path)

    def explain(self, path, variant, names):
        """(version, variant shown, found, value, (layer, revision) that sets it), or None.

        Who wins is said of plain values only: an object has as many as its members."""
        effective = self.effective(path, variant)
        if effective is None:
            return None
        version, shown, document = effective
        found, value = pick(document, names)
        winner = None
        if found and not isinstance(value, dict):
            rolling = self.rolling_layer(path) if shown == "candidate" else None
            for layer in self.layers_of(path):
                scope = self.scope(layer)
                revision = scope.release.candidate if layer == rolling else scope.release.stable
                if revision and pick(scope.document(revision), names)[0]:
                    winner = layer, revision
        return version, shown, found, value, winner

    # ---- Who may do what ------------------------------------------------------------------------

    def may(self, author, roles, path):
        held, scope = self.grants[author]
        is_over = scope == "*" or path == scope or path.startswith(scope + "/")
        return is_over and bool(held & roles)

    def denial(self, op):
        """The refusal of who may not, whatever it is."""
        if self.grants is None:
            return None
        author = op["author"]
        if author == "anonymous":
            return Refusal(401, "unauthorized")
        items = op["items"] if op["op"] == "batch" else [op]
        may = all(self.may(author, RIGHTS[item.get("kind", item["op"])], item["scope"])
                  for item in items)
        if op["op"] == "layers":
            may &= all(layer in prefixes(op["scope"]) or self.may(author, ROLES, layer)
                       for layer in op["layers"])
        return None if may else Refusal(403, "forbidden")

    # ---- Judging ------------------------------------------------------------------------------

    def judge(self, op):
        """Refusals, of which one has to be the answer, or Done."""
        denial = self.denial(op)
        if denial:
            return [denial]
        known = self.answers.get((op["author"], op.get("key")))
        if op.get("key") and not op.get("dry_run") and known:
            if known[0] == name_request(op):
                return known[1]
            # What is wrong with the request alone may be said first.
            verdict = self.judge({name: value for name, value in op.items() if name != "key"})
            return [Refusal(422, "replay")] + [
                refusal for refusal in (verdict if isinstance(verdict, list) else [])
                if refusal.status == 400 or refusal.code.startswith("schema_")]
        kind = op["op"]
        try:
            if kind in ("put", "delete", "release", "batch"):
                return self._step(op)
            return getattr(self, "_judge_" + kind)(op)
        except Refused as refused:
            return list(refused.refusals)

    def take(self, op, done, version, answer):
        """The operation was done, under this version."""
        done.commit(version)
        if done.has_version:
            self.version = version
        for action, path, revision in done.entries:
            self.audit.append((op["author"], action, path, revision, op.get("message", "")))
        if op.get("key"):
            self.answers[(op["author"], op["key"])] = (name_request(op), answer)

    def _step(self, op):
        items = op["items"] if op["op"] == "batch" else [op]
        after = self.copy()
        moved, begun, shown, entries = set(), set(), [], []
        refusals = []
        has_promote = has_advance = False
        for index, item in enumerate(items):
            refusals += [Refusal(400, "invalid", {"item": index})
                         for other in items[:index] if is_twice(other, item)]
        for index, item in enumerate(items):
            path = item["scope"]
            before = after.scope(path).release.is_rolling
            try:
                shown.append(after._item(item, op))
            except Refused as refused:
                if op["op"] != "batch":
                    raise
                raise Refused(*refusals, *(place(refusal, index) for refusal in refused.refusals)
                              ) from refused
            release = after.scope(path).release
            if item["op"] == "release" or "release" in shown[-1]:
                moved.add(path)
                if release.is_rolling and not before:
                    begun.add(path)
                has_promote |= item.get("action") == "promote"
                has_advance |= item.get("action") == "advance"
            entries.append((item.get("action", item["op"]), path,
                            release.subject() if item["op"] == "release" else shown[-1]["revision"]))
        affected = sorted(path for path, scope in after.scopes.items()
                          if scope.is_known and moved & set(after.layers_of(path)))
        refusals += after._overlaps(affected, begun)
        asks_validators = False
        if (has_promote or has_advance) and not refusals:
            refusals, asks_validators = after._validate(self, affected, op.get("override"),
                                                        is_advance=has_advance)
        if refusals:
            raise Refused(*refusals)

        def commit(version):
            for path in {item["scope"] for item in items if item["op"] != "release"}:
                kept = after.inherited(path, "retained_revisions")
                if kept:
                    after.scopes[path].retire(kept, self.scope(path).release.needed |
                                              after.scopes[path].release.needed)
            self.scopes = after.scopes
            for path in moved:
                release = self.scopes[path].release
                release.version = version or self.version + 0.5
                (self.unnamed.discard if version else self.unnamed.add)(path)
                release.author = op["author"]
                release.message = op.get("message", "")

        answer = self._step_answer(op, shown, len(affected))
        return Done(answer, entries, op["op"] in ("release", "batch"), commit, asks_validators)

    @staticmethod
    def _step_answer(op, shown, affected):
        if op["op"] == "batch":
            answer = {"items": shown, "affected": affected}
        elif op["op"] == "release":
            answer = {**shown[0]["release"], "scope": op["scope"], "affected": affected,
                      "author": op["author"], "message": op.get("message", "")}
        else:
            answer = {name: shown[0][name] for name in ("scope", "revision", "digest")}
        if op.get("dry_run") and op["op"] != "release":
            answer["dry_run"] = True
        if op.get("dry_run") and op["op"] in ("release", "batch"):
            answer["preview"] = {"scopes": affected, "consumers": 0}
        return answer

    def _item(self, item, op):
        """Does one item to this copy; returns what a batch shows of it."""
        path = item["scope"]
        shown = {"action": item["op"], "scope": path}
        if item["op"] == "release":
            if not self.known(path):
                raise Refused(Refusal(404, "not_found"))
            self._release_item(path, item)
            shown["release"] = self.scope(path).release.view()
            return shown
        scope = self.scope(path)
        refusals = []
        expected = item.get("expected_revision")
        if expected not in (None, scope.latest) and not (expected == 0 and scope.is_deleted):
            refusals.append(Refusal(409, "conflict", {"revision": scope.latest}))
        if item["op"] == "delete":
            if not scope.revisions or scope.is_deleted:
                refusals.append(Refusal(404, "not_found"))
            elif scope.release.is_rolling:
                refusals.append(Refusal(409, "state", {"state": scope.release.state}))
        else:
            refusals += self._limit_refusals(path, item["document"])
        if refusals:
            raise Refused(*refusals)
        scope = self.scopes.setdefault(path, scope)
        scope.is_known = True
        document = item["document"] if item["op"] == "put" else None
        scope.revisions.append(Revision(document, op["author"], op.get("message", "")))
        shown.update({"revision": scope.latest, "digest": scope.revisions[-1].meta(0)["digest"]})
        if item["op"] == "delete" and scope.release.state not in ("EMPTY", "DELETED"):
            scope.release.act("delete", {})
            shown["release"] = scope.release.view()
        return shown

    def inherited(self, path, name):
        """What the nearest scope along the path says; 0 where none does."""
        for prefix in reversed(prefixes(path)):
            value = self.scope(prefix).rule("settings").get(name)
            if value is not None:
                return value
        return 0

    def _limit_refusals(self, path, document):
        refusals = self._count_refusals(path)
        if 0 < self.inherited(path, "document_size_max") < len(canonical.text(document).encode()):
            refusals.append(Refusal(413, "document_size"))
        if 0 < self.inherited(path, "document_keys_max") < canonical.count(document):
            refusals.append(Refusal(422, "keys"))
        return refusals

    def _count_refusals(self, path):
        """A scope that is not known yet may be one too many of its tenant."""
        tenant = path.split("/")[0]
        count = sum(scope.is_known and other.split("/")[0] == tenant
                    for other, scope in self.scopes.items())
        most = self.scope(tenant).rule("settings").get("scopes_max")
        return [Refusal(422, "scope_count")] if most and not self.known(path) and count >= most else []

    def _release_item(self, path, item):
        scope = self.scope(path)
        release = scope.release
        action = item["action"]
        item = dict(item)
        refusals = plan_refusals(item)
        expected = item.get("expected_release_version")
        if expected not in (None, release.release_version):
            refusals.append(Refusal(409, "conflict", {"release_version": release.release_version}))
        if action == "promote":
            item["revision"] = item.get("revision") or scope.latest
            if read_strategy(item.get("strategy")) is None:
                refusals.append(Refusal(400, "invalid"))
        revision = item.get("revision", 0)
        if action in ("promote", "quarantine"):
            if action == "quarantine" and not revision:
                refusals.append(Refusal(400, "invalid"))
            elif scope.refuse_revision(revision):
                refusals.append(scope.refuse_revision(revision))
            elif action == "promote":
                required = self.approvals_required(path)
                if len(scope.approvals.get(revision, ())) < required:
                    refusals.append(Refusal(403, "approval"))
        if action == "rollback":
            target = revision or release.rollback_target()
            if revision and revision not in release.before:
                refusals.append(Refusal(404, "not_found"))
            elif target and scope.refuse_revision(target):
                refusals.append(scope.refuse_revision(target))
        release.act(action, item, refusals)

    def _overlaps(self, affected, begun):
        """A rollout that began meets another one at the same consumers."""
        refusals = []
        for path in affected:
            rolling = [layer for layer in self.layers_of(path)
                       if self.scope(layer).release.is_rolling]
            if len(rolling) > 1 and begun & set(rolling):
                refusals += [Refusal(409, "state", {"holder": layer}) for layer in rolling]
        return refusals

    def _validate(self, before, affected, is_override, is_advance=False, has_new_rules=False):
        """What schemas, limits and validators say to contents that consumers were not given yet; to
        a candidate's again when it reaches more of them, and to all when layers bring other rules.
        """
        refusals = []
        asks_validators = False
        for path in affected:
            if has_new_rules and not any(self.contents(path)):
                continue  # nothing was released: an order of layers may come first
            given = before.contents(path) if before.known(path) and before.version_of(path) else []
            for content in self.contents(path):
                is_given = content in given
                if is_given and not has_new_rules and not (is_advance and content != given[0]):
                    continue
                for layer in self.layers_of(path):
                    scope = self.scope(layer)
                    settings = scope.rule("settings")
                    if not fits(scope.rule("schema"), content):
                        refusals.append(Refusal(422, "schema_mismatch"))
                    if settings.get("validators"):
                        asks_validators = True
                        if POISON in canonical.text(content):
                            refusals.append(Refusal(422, "validation"))
                    if given and given[0] and not is_override and not is_given:
                        ratio = canonical.count(content) / canonical.count(given[0])
                        if max(ratio, 1 / ratio) > settings.get("key_ratio_max", float("inf")):
                            refusals.append(Refusal(422, "validation"))
        return refusals, asks_validators

    def approvals_required(self, path):
        return self.inherited(path, "approval")

    def _judge_layers(self, op):
        path, layers = op["scope"], op["layers"]
        scope = self.scope(path)
        refusals = []
        if (len(set(layers)) != len(layers) or
                any(layer.split("/")[0] != path.split("/")[0] for layer in layers)):
            refusals.append(Refusal(400, "invalid"))
        if op.get("expected_version") not in (None, scope.layers_version):
            refusals.append(Refusal(409, "conflict"))
        refusals += self._count_refusals(path)
        rolling = [layer for layer in layers or prefixes(path)
                   if self.scope(layer).release.is_rolling]
        if len(rolling) > 1:
            refusals += [Refusal(409, "state", {"holder": layer}) for layer in rolling]
        after = self.copy()
        after.scopes.setdefault(path, after.scope(path)).layers = layers or None
        asks_validators = False
        if not refusals:
            refusals, asks_validators = after._validate(self, [path], op.get("override"),
                                                        has_new_rules=True)
        if refusals:
            return refusals

        def commit(version):
            changed = self.scopes.setdefault(path, scope)
            changed.is_known = True
            changed.layers = layers or None
            changed.layers_version = version

        return Done({"scope": path, "layers": layers or prefixes(path), "default": not layers},
                    [("layers", path, 0)], True, commit, asks_validators)

    def _judge_rule(self, op):
        path, kind = op["scope"], op["kind"]
        scope = self.scope(path)
        refusals = [Refusal(*op["wrong"])] if op.get("wrong") else []
        if op["document"].get("scopes_max") and "/" in path:
            refusals.append(Refusal(400, "invalid"))
        if op.get("expected_revision") not in (None, len(scope.rules[kind])):
            refusals.append(Refusal(409, "conflict", {"revision": len(scope.rules[kind])}))
        if refusals:
            return refusals
        revision = Revision(op["document"], op["author"], op.get("message", ""))
        number = len(scope.rules[kind]) + 1
        answer = {"scope": path, "revision": number, "digest": canonical.digest(op["document"])}
        if op.get("dry_run"):
            answer["dry_run"] = True

        def commit(_version):
            self.scopes.setdefault(path, scope).rules[kind].append(revision)

        return Done(answer, [(kind, path, number)], False, commit)

    def _judge_approve(self, op):
        path, number = op["scope"], op["revision"]
        scope = self.scope(path)
        if not 0 < number <= scope.latest or scope.document(number) is None:
            return [Refusal(404, "not_found")]
        revision = scope.revisions[number - 1]
        names = scope.approvals.get(number, ())
        refusals = []
        if op["digest"] != canonical.digest(revision.document):
            refusals.append(Refusal(409, "conflict"))
        if op["author"] in (revision.author, "anonymous"):
            refusals.append(Refusal(403, "approval"))
        if op["author"] in names:
            refusals.append(Refusal(409, "exists"))
        if refusals:
            return refusals

        def commit(_version):
            scope.approvals[number] = names + (op["author"],)

        return Done({"scope": path, "revision": number, "approvals": len(names) + 1,
                     "required": self.approvals_required(path)},
                    [("approve", path, number)], False, commit)

    # ---- What happens by itself ----------------------------------------------------------------

    def by_itself(self, path, action, version, message):
        """A rollout's time has come: its activation, its pause or its rollback."""
        release = self.scopes[path].release
        if action == "advance":
            release.begin()
        else:
            getattr(release, "_" + action)({}, ())
            release.has_reason = release.is_late = action == "pause"
        release.last_action = action
        release.release_version += 1
        release.version = self.version = version
        release.author = "confcastd"
        release.message = message
        self.audit.append(("confcastd", action, path, release.subject(), message))


def pick(document, names):
    """(whether there is a value, the value) behind names of objects."""
    for name in names:
        if not isinstance(document, dict) or name not in document:
            return False, None
        document = document[name]
    return True, document


def is_twice(a, b):
    if a["scope"] != b["scope"]:
        return False
    is_one_release = (a["op"] == "release") != (b["op"] == "release")
    return not is_one_release or "delete" in (a["op"], b["op"])


def place(refusal, index):
    return refusal._replace(current={**(refusal.current or {}), "item": index})


def plan_refusals(item):
    """What contradicts itself whatever the state."""
    action = item["action"]
    activate = item.get("activate") or "now"
    strategy = read_strategy(item.get("strategy"))
    is_wrong = False
    if action != "promote":
        is_wrong |= bool(item.get("bake_s") or item.get("confirm_within_s")) or activate == "hold"
        if action != "advance":
            is_wrong |= activate != "now" or "require_prepared" in item
    elif item.get("bake_s") and strategy is not None and strategy.is_all:
        is_wrong = True
    if item.get("bake_s", 0) > 30 * 86400 or item.get("confirm_within_s", 0) > 7 * 86400:
        is_wrong = True
    if activate.startswith("at=") and not 0 < int(activate[3:]) <= 366 * 86400:
        is_wrong = True
    return [Refusal(400, "invalid")] if is_wrong else []


def name_request(op):
    """What makes two requests the same."""
    return json.dumps({name: value for name, value in op.items() if name != "id"}, sort_keys=True)
