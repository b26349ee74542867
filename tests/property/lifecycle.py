"""The lifecycle of a release, as docs/operators.md has it."""

import dataclasses
from typing import NamedTuple

ANY = object()  # some value that is not null
EVERYBODY = 1_000_000
ACTIONS = ("promote", "advance", "pause", "resume", "abort", "rollback", "disable", "enable",
           "quarantine", "confirm")
# docs/operators.md, "What is possible when"; delete stands below that table.
POSSIBLE = {
    "EMPTY": {"promote", "quarantine"},
    "ACTIVE": {"promote", "rollback", "disable", "quarantine", "delete"},
    "ROLLING": {"advance", "pause", "abort", "rollback", "confirm", "disable", "quarantine"},
    "PAUSED": {"resume", "abort", "rollback", "confirm", "disable", "quarantine"},
    "DISABLED": {"enable", "rollback", "quarantine", "delete"},
    "DELETED": {"promote", "rollback", "quarantine"},
}


class Refusal(NamedTuple):
    status: int
    code: str
    current: dict = None  # members that error.current must have


class Refused(Exception):
    """One item of a step cannot be done."""

    def __init__(self, *refusals):
        super().__init__(refusals)
        self.refusals = refusals


class Strategy(NamedTuple):
    label: str = None       # "key=value"
    ppm: tuple = (EVERYBODY,)

    @property
    def is_all(self):
        return self.label is None and self.ppm == (EVERYBODY,)

    @property
    def text(self):
        if self.is_all:
            return "all"
        if self.label:
            return "label:" + self.label
        return ("canary:" if len(self.ppm) == 1 else "stages:") + ",".join(map(percent, self.ppm))


def percent(ppm):
    return f"{ppm / 10000:g}%"


def read_percent(word):
    """Parts per million, or None."""
    if not word.endswith("%") or not word[:1].isdigit() or word.count(".") > 1:
        return None
    whole, dot, fraction = word[:-1].partition(".")
    if not whole.isdigit() or (dot and (not fraction.isdigit() or len(fraction) > 4)):
        return None
    ppm = int(whole) * 10000 + int((fraction + "0000")[:4])
    return ppm if ppm <= EVERYBODY else None


def read_strategy(word):
    """A Strategy, or None where the text names none."""
    if word in (None, "all"):
        return Strategy()
    kind, _, rest = word.partition(":")
    if kind in ("canary", "stages"):
        shares = [read_percent(part) for part in rest.split(",")]
        if None in shares or (kind == "canary" and len(shares) > 1):
            return None
        if any(b <= a for a, b in zip([0] + shares, shares)):
            return None
        if shares[-1] == EVERYBODY:
            shares.pop()  # the end of every rollout
        return Strategy(None, tuple(shares)) if 0 < len(shares) <= 16 else None
    label = rest if kind == "label" else word
    key, equals, value = label.partition("=")
    return Strategy(label) if equals and key and value else None


@dataclasses.dataclass
class Release:
    state: str = "EMPTY"
    origin: str = "EMPTY"  # the state that abort goes back to
    active: int = 0
    previous: int = 0
    candidate: int = 0
    release_version: int = 0
    version: int = 0
    author: str = ""
    message: str = ""
    last_action: str = None
    strategy: Strategy = Strategy()
    stage: int = 0
    activate: str = "now"  # now, hold or at
    at_s: int = 0          # how far ahead an activation was set
    is_late: bool = False  # and it has passed, in vain
    is_waiting: bool = False
    require_ppm: int = 0
    bake_s: int = 0
    confirm_s: int = 0
    has_deadline: bool = False
    has_reason: bool = False
    quarantined: tuple = ()
    before: dict = dataclasses.field(default_factory=dict)  # revision -> what was active before it

    def copy(self):
        return dataclasses.replace(self, before=dict(self.before))

    @property
    def is_rolling(self):
        return self.state in ("ROLLING", "PAUSED")

    @property
    def covers_all(self):
        return self.is_rolling and (self.strategy.is_all or self.stage == len(self.strategy.ppm))

    @property
    def needed(self):
        """Revisions whose texts are kept whatever the settings say."""
        return {self.active, self.previous, self.candidate}

    @property
    def stable(self):
        """What the layer gives to those outside of a rollout; 0 = nothing."""
        return self.active if self.state in ("ACTIVE", "ROLLING", "PAUSED") else 0

    def view(self):
        """As GET /v1/release shows it."""
        shown = {
            "state": self.state, "release_version": self.release_version,
            "active_revision": self.active or None, "previous_revision": self.previous or None,
            "candidate_revision": self.candidate or None, "last_action": self.last_action,
            "quarantined": list(self.quarantined), "stage": None,
        }
        if self.is_rolling:
            shown.update({
                "stage": {"index": self.stage, "strategy": self.strategy.text,
                          "percents": [ppm / 10000 for ppm in self.strategy.ppm]},
                "activate": self.activate, "waiting": self.is_waiting,
                "activate_at": ANY if self.activate == "at" else None,
                "require_prepared": percent(self.require_ppm) if self.require_ppm else None,
                "bake_s": self.bake_s or None, "confirm_within_s": self.confirm_s or None,
                "confirm_by": ANY if self.has_deadline else None,
                "reason": ANY if self.has_reason else None,
            })
        return shown

    # ---- The lifecycle ------------------------------------------------------------------------

    def _end_rollout(self):
        self.candidate = self.stage = self.require_ppm = self.bake_s = self.confirm_s = 0
        self.activate = "now"
        self.is_waiting = self.is_late = self.has_deadline = self.has_reason = False

    def _make_active(self, revision):
        if self.active and self.active != revision:
            self.previous = self.active
        elif not self.active and self.previous == revision:
            self.previous = self.before.get(revision, 0)  # deleted meanwhile, and back again
        self.active = revision
        self.before[revision] = self.previous
        self._end_rollout()
        self.state = "ACTIVE"

    def _drop_candidate(self):
        self._end_rollout()
        self.state = self.origin

    def begin(self):
        """The activation of the first stage."""
        self.is_waiting = False
        self.activate = "now"
        self.require_ppm = 0
        self.has_deadline = self.confirm_s > 0
        if self.covers_all and not self.confirm_s:
            self._make_active(self.candidate)

    def refuse(self, why):
        raise Refused(Refusal(409, "state", {"state": self.state,
                                             "release_version": self.release_version}), *why)

    def act(self, action, item, also=()):
        """Does an action to the record; `also` are the refusals that hold besides."""
        if action not in POSSIBLE[self.state]:
            self.refuse(also)
        getattr(self, "_" + action)(item, also)
        if also:
            raise Refused(*also)
        self.last_action = action
        self.release_version += 1

    def _promote(self, item, also):
        revision = item["revision"]
        strategy = read_strategy(item.get("strategy"))
        require_ppm = read_percent(item.get("require_prepared", "0%"))
        is_plain = (strategy is not None and strategy.is_all and not require_ppm and
                    item.get("activate") in (None, "now") and not item.get("confirm_within_s"))
        if revision in self.quarantined or (not is_plain and revision == self.active):
            self.refuse(also)
        if also:
            raise Refused(*also)
        self.strategy = strategy
        if is_plain:
            self._make_active(revision)
            return
        self.origin = self.state
        self.state = "ROLLING"
        self.candidate = revision
        self.stage = 0
        self._set_activation(item)
        self.require_ppm = require_ppm
        self.bake_s = item.get("bake_s", 0)
        self.confirm_s = item.get("confirm_within_s", 0)
        self.is_waiting = True
        if self.activate == "at":
            self.has_deadline = self.confirm_s > 0
        elif self.activate == "now" and not self.require_ppm:
            self.begin()

    def _set_activation(self, item):
        self.activate, _, ahead = (item.get("activate") or "now").partition("=")
        self.at_s = int(ahead or 0)

    def _advance(self, item, also):
        is_at = (item.get("activate") or "").startswith("at=")
        if self.is_waiting:
            given = item.get("require_prepared")
            if (read_percent(given) if given is not None else self.require_ppm) > 0:
                self.refuse(also)  # nobody follows these scopes, and a share of nobody is never enough
            if is_at:
                self._set_activation(item)
                self.require_ppm = 0
                self.has_deadline = self.confirm_s > 0
            else:
                self.begin()
        elif is_at or self.covers_all:
            self.refuse(also)
        elif self.stage + 1 < len(self.strategy.ppm) or self.confirm_s:
            self.stage += 1
        else:
            self._make_active(self.candidate)

    def _pause(self, _item, _also):
        self.state = "PAUSED"

    def _resume(self, _item, _also):
        self.state = "ROLLING"
        self.has_reason = False
        if self.is_late and self.is_waiting:  # from now on as soon as enough are prepared
            self.activate = "now"
            self.is_late = self.has_deadline = False

    def _abort(self, _item, _also):
        self._drop_candidate()

    def rollback_target(self):
        """Where a rollback without a target goes; 0 = only out of the rollout, or nowhere."""
        if self.is_rolling:
            return 0
        target = self.previous
        while target in self.quarantined:
            target = self.before.get(target, 0)
        return target

    def _rollback(self, item, also):
        target = item.get("revision", 0)
        if self.is_rolling and target in (0, self.active):
            self._drop_candidate()
            return
        target = target or self.rollback_target()
        if not target:
            self.refuse(also)
        if target in self.quarantined or target == self.active:
            self.refuse(also)
        if also:
            raise Refused(*also)
        was_disabled = self.state == "DISABLED"
        before = self.before[target]
        self._make_active(target)
        self.previous = self.before[target] = before
        if was_disabled:
            self.state = "DISABLED"

    def _disable(self, _item, _also):
        if self.is_rolling:
            self._drop_candidate()
        self.state = "DISABLED"

    def _enable(self, _item, _also):
        self.state = "ACTIVE" if self.active else self.origin

    def _quarantine(self, item, also):
        revision = item.get("revision", 0)
        if revision and revision in (self.active, self.candidate, *self.quarantined):
            self.refuse(also)
        if also:
            raise Refused(*also)
        self.quarantined += (revision,)

    def _confirm(self, _item, also):
        if not self.confirm_s or self.is_waiting:
            self.refuse(also)
        self.confirm_s = 0
        self.has_deadline = False
        if self.covers_all:
            self._make_active(self.candidate)

    def _delete(self, _item, _also):
        if self.active:
            self.previous = self.active
        self.active = 0
        self.state = "DELETED"

    def subject(self):
        """The revision that the audit log names."""
        if self.last_action == "quarantine":
            return self.quarantined[-1]
        return self.candidate or self.active
