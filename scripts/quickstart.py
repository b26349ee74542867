"""The story that scripts/quickstart tells, on the fleet that scripts/fleet.py makes."""

import argparse
import copy
import json
import os
import signal
import sys
import time

import fleet as fleets

SCOPE = "acme/checkout/prod"
LAYERS = ("acme", "acme/checkout", "acme/checkout/prod")
POINTER = "/http_server/concurrency_max"


def parse_args():
    parser = argparse.ArgumentParser(
        prog="scripts/quickstart", description="A confcast fleet on this one machine: publish, "
        "change, canary, roll back, lose a consumer and get it back. Removes all that it made.")
    parser.add_argument("--consumers", type=int, default=8, metavar="N", help="1 to 200; 8")
    parser.add_argument("--loss", type=float, default=0.0, metavar="PERCENT",
                        help="packets that each consumer loses on its own; 0")
    parser.add_argument("--keep", action="store_true", help="leave the fleet running")
    parser.add_argument("--env", metavar="FILE", help="write a shell file to source (with --keep)")
    parser.add_argument("--down", action="store_true", help="end the fleet that --keep left")
    parser.add_argument("--name", default="quickstart",
                        help="of the fleet, so that several can run side by side; quickstart")
    args = parser.parse_args()
    if args.env and not args.keep:
        parser.error("--env describes a fleet that is left running: it needs --keep")
    if args.env:
        args.env = os.path.join(os.environ.get("QUICKSTART_FROM", ""), args.env)
    return args


class Story:
    def __init__(self, fleet):
        self.fleet = fleet
        self.count = len(fleet.consumers)
        self.steps = []
        self.files = {}

    def say(self, text):
        print(f"\n== {text}", flush=True)

    def config(self, scope):
        with open(os.path.join(fleets.REPO, "docs/examples", scope + ".json"),
                  encoding="utf-8") as file:
            return json.load(file)

    def write(self, name, document):
        path = os.path.join(self.fleet.folder, name + ".json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        return path

    def publish(self, what, *command):
        """Runs a command that publishes, waits until all have applied it and keeps the times."""
        begun = time.time()
        self.fleet.ctl(*command)
        self.settle(what, begun)

    def settle(self, what, begun):
        self.fleet.wait_applied()
        told_ms = (time.time() - begun) * 1000
        self.steps.append((what, told_ms))
        print(f"   applied by {self.count} of {self.count} consumers; "
              f"{told_ms:.0f} ms from the command to knowing it")

    def serving(self):
        """Value of the key that the story changes: how many consumers serve it."""
        values = {}
        for consumer in self.fleet.consumers:
            value = consumer.get(POINTER)
            values[value] = values.get(value, 0) + 1
        return ", ".join(f"{count} serve {value}" for value, count in sorted(values.items()))

    def check_same(self):
        effective = self.fleet.ctl("effective", SCOPE).rstrip("\n")
        for consumer in self.fleet.consumers:
            if consumer.get() != effective:
                raise fleets.FleetError(f"{consumer.id} does not serve the effective config")
        print(f"   all {self.count} serve the effective config byte for byte "
              f"({len(effective.encode())} bytes)")

    def tell(self):
        self.say("three layers, promoted")
        for scope in LAYERS:
            path = self.write("layer", self.config(scope))
            if scope != SCOPE:
                self.fleet.ctl("put", scope, "-f", path, "--promote")
        self.publish("first publication", "put", SCOPE, "-f", path, "--promote")
        self.check_same()

        self.say(f"one key changes: {POINTER}")
        document = self.config(SCOPE)
        document["http_server"]["concurrency_max"] = 4096
        self.publish("a changed key", "put", SCOPE, "-f", self.write("layer", document),
                     "--promote")
        self.check_same()

        self.say("a canary of 25 %")
        canary = copy.deepcopy(document)
        canary["http_server"]["concurrency_max"] = 16384
        self.fleet.ctl("put", SCOPE, "-f", self.write("layer", canary))
        self.publish("canary of 25 %", "promote", SCOPE, "--strategy", "canary:25%")
        print(f"   {self.serving()}")

        self.say("the canary goes to all, and is rolled back")
        self.publish("advance to all", "advance", SCOPE)
        print(f"   {self.serving()}")
        self.publish("rollback", "rollback", SCOPE)
        print(f"   {self.serving()}")
        self.check_same()

        lost = self.fleet.consumers[-1]
        self.say(f"{lost.id} is killed, misses a change, and comes back")
        lost.kill()
        document["http_server"]["concurrency_max"] = 6144
        self.fleet.ctl("put", SCOPE, "-f", self.write("layer", document), "--promote")
        begun = time.time()
        lost.start()
        self.settle("a killed consumer catches up", begun)
        self.check_same()

        self.say("status")
        print(self.fleet.ctl("status", SCOPE).rstrip())
        print()
        print(f"{'step':34}{'from the command until all have applied it'}")
        for what, told_ms in self.steps:
            print(f"{what:34}{told_ms:8.0f} ms")
        if self.fleet.loss:
            drops = sum(count for _, count in self.fleet.bed.drops())
            print(f"{drops} packets were lost on purpose ({self.fleet.loss:g} %)")


def print_what_next(fleet, env):
    print("\nThe fleet is running. Try:")
    if env:
        print(f"  . {env}")
    else:
        print(f"  export PATH={':'.join(fleet.bin_dirs)}:$PATH CONFCAST_SERVER={fleet.server}")
    first = fleet.consumers[0]
    print(f"  confcastctl status {SCOPE}")
    print(f"  confcastctl effective {SCOPE}")
    print(f"  confcastctl history {SCOPE}")
    print(f"  confcast-agent get --state-dir {first.state_dir} {SCOPE} {POINTER}")
    print(f"  tail -f {first.events_path}")
    name = "" if fleet.name == "quickstart" else f" --name {fleet.name}"
    print(f"  scripts/quickstart --down{name}")


def make_room(fleet):
    """Removes a fleet of this name whose maker was killed; refuses when it lives or was kept."""
    if not fleet.exists():
        return
    try:
        with open(os.path.join(fleet.folder, "pid"), encoding="utf-8") as file:
            owner = file.read().strip()
    except FileNotFoundError:
        owner = ""
    if owner == "kept" or (owner and fleets.testbed.alive(int(owner))):
        raise fleets.FleetError(f"a fleet {fleet.name} is there already: scripts/quickstart "
                                "--down ends it, --name NAME makes another")
    fleet.down()


def main():
    args = parse_args()
    reason = fleets.testbed.why_not_here()
    if reason:
        print(f"quickstart: {reason}", file=sys.stderr)
        return 1
    fleet = fleets.Fleet(args.name, SCOPE, args.consumers, args.loss)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, fleets.testbed.on_signal)
    errors = (fleets.FleetError, fleets.testbed.BedError)
    try:
        if args.down:
            fleet.down()
            return 0
        make_room(fleet)
    except errors as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1

    status = 1
    kept = False
    try:
        begun = time.monotonic()
        print(f"quickstart: an engine, a control plane and {args.consumers} consumers, "
              f"{args.loss:g} % loss", flush=True)
        fleet.up()
        print(f"   up in {time.monotonic() - begun:.1f} s")
        Story(fleet).tell()
        print(f"\nquickstart: done in {time.monotonic() - begun:.1f} s")
        if args.keep:
            if args.env:
                fleet.write_env(args.env)
            with open(os.path.join(fleet.folder, "pid"), "w", encoding="utf-8") as file:
                file.write("kept\n")
            print_what_next(fleet, args.env)
            kept = True
        status = 0
    except errors as error:
        print(f"quickstart: {error}", file=sys.stderr)
    except fleets.testbed.Stopped as stopped:
        status = 128 + stopped.signal_number
    finally:
        if not kept:
            fleet.down()
    return status


if __name__ == "__main__":
    sys.exit(main())
