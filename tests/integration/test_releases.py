"""Releases on a real fleet: held, timed, confirmed or not, and stages that move by themselves.

Real processes in namespaces, as in test_end_to_end.py: confcastd, one engine, four agents.
"""

import json
import os
import sys
import time

from fleet_story import check, fleets, run_on, tell

SCOPE = "acme/checkout"
CONSUMERS = 4


class Releases:
    def __init__(self):
        self.fleet = fleets.Fleet(f"rel-{os.getpid()}", SCOPE, CONSUMERS)
        self.number = 0

    def put(self):
        """The next revision; its number is its value, too."""
        self.number += 1
        path = os.path.join(self.fleet.folder, "document.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"n": self.number, "pad": "x" * 5000}, file)
        self.fleet.ctl("put", SCOPE, "-f", path)
        return self.number

    def promote(self, *options):
        number = self.put()
        return number, self.fleet.ctl_json("promote", SCOPE, *options)

    def act(self, action, *options):
        return self.fleet.ctl_json(action, SCOPE, *options)

    def release(self):
        return self.fleet.ctl_json("release", SCOPE)

    def values(self):
        """What each consumer serves now."""
        values = []
        for consumer in self.fleet.consumers:
            text = consumer.get("/n")
            values.append(int(text) if text is not None else None)
        return values

    def wait_values(self, what, expected, timeout_s=15):
        fleets.wait_until(f"{what}: {expected}", lambda: self.values() == expected, timeout_s)

    def wait_release(self, what, timeout_s=40, **members):
        def matches():
            release = self.release()
            return all(release.get(name) == value for name, value in members.items()) and release

        return fleets.wait_until(what, matches, timeout_s, every_s=0.1)

    def wait_prepared(self, count=CONSUMERS):
        self.fleet.ctl("wait", SCOPE, "--prepared", str(count), "--timeout", "15s")

    def events(self, name, version):
        """The event of each consumer, once each of them has it."""
        def found():
            events = [[event for event in consumer.events(name) if event["version"] == version]
                      for consumer in self.fleet.consumers]
            return all(events) and [of_one[0] for of_one in events]

        return fleets.wait_until(f"{name} of version {version}", found)

    def publish(self):
        number, _ = self.promote()
        self.fleet.wait_applied()
        return number

    # ---- The stories ----

    def hold_then_activate_with_one_frame(self):
        before = self.publish()
        number, held = self.promote("--activate", "hold")
        self.wait_prepared()
        check("nobody serves what is held", self.values() == [before] * CONSUMERS, self.values())
        started = time.monotonic()
        active = self.act("advance", "--require-prepared", "100%")
        self.fleet.wait_applied()
        took_ms = (time.monotonic() - started) * 1000
        check("the activation is one change", active["release_version"] ==
              held["release_version"] + 1, active)
        check("everybody serves it", self.values() == [number] * CONSUMERS, self.values())
        print(f"hold: prepared by {CONSUMERS}, activated and reported in {took_ms:.0f} ms",
              flush=True)

    def activation_waits_for_the_prepared(self):
        before = self.values()[0]
        self.fleet.consumers[3].kill()
        number, _ = self.promote("--activate", "hold", "--require-prepared", "100%")
        self.wait_prepared(CONSUMERS - 1)
        refused = self.fleet.run(["confcastctl", "advance", SCOPE])
        check("advance is refused while one lacks it", refused.returncode == 4, refused.stderr)
        check("it says who counts", "3 of 4 consumers are prepared" in refused.stderr,
              refused.stderr)
        check("nobody serves it", self.values()[:3] == [before] * 3, self.values())
        self.fleet.consumers[3].start()
        self.wait_prepared()
        self.act("advance")
        self.wait_values("after all were prepared", [number] * CONSUMERS)
        self.fleet.wait_applied()

    def activate_at_a_time(self):
        before = self.values()[0]
        number, _ = self.promote("--activate", "at=+4s", "--require-prepared", "100%")
        self.wait_prepared()
        at = self.release()["activate_at"]
        check("nobody serves it before its time", self.values() == [before] * CONSUMERS)
        armed = self.wait_release("the time in the head", 10, require_prepared=None)
        check("the time is the one that was asked for", at == armed["activate_at"])
        events = self.events("applied", armed["version"])
        times = [event["time_unix_ns"] for event in events]
        spread_ms = (max(times) - min(times)) / 1e6
        check("consumers switched within 100 ms of each other", spread_ms < 100, times)
        settled = self.wait_release("the settled release", 10, state="ACTIVE")
        check("the settling is one change", settled["release_version"] ==
              armed["release_version"] + 1, settled)
        self.wait_values("at its time", [number] * CONSUMERS)
        self.fleet.wait_applied()
        print(f"at: {CONSUMERS} consumers switched within {spread_ms:.2f} ms", flush=True)

    def confirmed_in_time(self):
        number, _ = self.promote("--confirm-within", "4s")
        self.fleet.wait_applied()
        release = self.act("confirm")
        check("confirmed", (release["state"], release["active_revision"]) == ("ACTIVE", number))
        time.sleep(5)
        check("a confirmed release stays", self.values() == [number] * CONSUMERS, self.values())
        check("and no rollback was made", self.release()["last_action"] == "confirm")
        self.fleet.wait_applied()

    def not_confirmed_with_a_live_control_plane(self):
        before = self.values()[0]
        number, promoted = self.promote("--confirm-within", "3s")
        self.wait_values("before the deadline", [number] * CONSUMERS, 3)
        release = self.wait_release("the rollback", 10, state="ACTIVE", active_revision=before)
        check("the control plane rolled back", release["author"] == "confcastd", release)
        check("by a newer version", release["version"] > promoted["version"])
        self.wait_values("after the deadline", [before] * CONSUMERS)
        self.fleet.wait_applied()

    def not_confirmed_with_a_dead_control_plane(self):
        before = self.values()[0]
        number, promoted = self.promote("--confirm-within", "5s")
        self.wait_values("before the deadline", [number] * CONSUMERS, 4)
        self.fleet.control.kill()
        self.fleet.control.wait()
        self.fleet.control = None
        self.wait_values("consumers went back by themselves", [before] * CONSUMERS, 15)
        self.events("reverted", promoted["version"])
        self.fleet.start_control()
        self.wait_release("the rollback after the restart", 15, state="ACTIVE",
                          active_revision=before)
        self.wait_values("after the restart", [before] * CONSUMERS)
        self.fleet.wait_applied()
        print("confirm: four consumers reverted without a control plane", flush=True)

    def stages_bake_and_advance(self):
        before = self.values()[0]
        # The control plane has just been started: it waits until it knows who is silent.
        number, _ = self.promote("--strategy", "zone=eu-1", "--bake", "3s")
        stage = self.release()
        check("the label's stage is out", stage["state"] == "ROLLING", stage)
        labelled = [number if consumer.labels["zone"] == "eu-1" else before
                    for consumer in self.fleet.consumers]
        self.wait_values("the label's stage", labelled, 5)
        done = self.wait_release("the end of the rollout", 60, state="ACTIVE")
        check("it advanced by itself", (done["active_revision"], done["author"]) ==
              (number, "confcastd"), done)
        self.wait_values("after the bake", [number] * CONSUMERS)
        self.fleet.wait_applied()

    def a_consumer_that_lacks_the_stage_pauses_it(self):
        self.fleet.consumers[1].kill()
        number, _ = self.promote("--strategy", "stages:50%,75%", "--bake", "3s")
        paused = self.wait_release("the pause", 20, state="PAUSED")
        check("it says why", paused["reason"] is not None and "consumer" in paused["reason"],
              paused)
        table = self.fleet.ctl("status", SCOPE)
        check("status shows the reason", paused["reason"] in table, table)
        self.fleet.consumers[1].start()
        aborted = self.act("abort")
        check("abort ends it", aborted["state"] == "ACTIVE", aborted)
        self.fleet.wait_applied()
        check("nobody serves it", number not in self.values(), self.values())
        print(f"pause: {paused['reason']}", flush=True)

    def run(self):
        self.hold_then_activate_with_one_frame()
        self.activation_waits_for_the_prepared()
        self.activate_at_a_time()
        self.confirmed_in_time()
        self.not_confirmed_with_a_live_control_plane()
        self.not_confirmed_with_a_dead_control_plane()
        self.stages_bake_and_advance()
        self.a_consumer_that_lacks_the_stage_pauses_it()


if __name__ == "__main__":
    story = Releases()
    sys.exit(tell(lambda: run_on(story.fleet, story.run)))
