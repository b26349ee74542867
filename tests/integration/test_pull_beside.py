"""Consumers that pull while multicast is of no help to them, and go back: on a whole fleet whose control plane serves both, with an
engine that dies and comes back, and a host that big frames do not reach.
"""

import json
import os
import subprocess
import sys
import time

from fleet_story import check, fleets, run_on, tell

SCOPE = "acme/checkout/prod"
AFTER_MS = 1500
API = "10.77.0.1:7400"

# Heads, FRESH and requests pass; symbols do not.
DROP_BIG = "table inet cf_big { chain in { type filter hook input priority 0; udp length > 900 counter drop; }; }"


class Consumer(fleets.Consumer):
    def command(self):
        return super().command() + ["--pull-after-ms", str(AFTER_MS), "--pull-wait-ms", "1000", "--verbose"]

    def stats(self):
        before = len(self.events("stats"))
        os.kill(self.process.pid, 10)
        fleets.wait_until("counters", lambda: len(self.events("stats")) > before)
        return self.events("stats")[-1]

    def await_applied(self, version, timeout_s=30):
        fleets.wait_until(f"{self.id} applies {version}",
                          lambda: any(e["version"] == version for e in self.events("applied")), timeout_s)

    def nft(self, *args, rules=None):
        subprocess.run(["ip", "netns", "exec", self.netns, "nft", *args], input=rules, text=True, check=True)


class Fleet(fleets.Fleet):
    """Its control plane is on the engine's host, so that consumers reach it by HTTP."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.consumers = [Consumer(self, number) for number in range(1, len(self.consumers) + 1)]

    def ctl(self, *args):
        more = ["--pull-url", f"http://{API}"] if args[:2] == ("key", "init") else []
        return super().ctl(*args, *more)

    def start_control(self):
        self.control = self.spawn(
            f"{self.bed.prefix}-engine",
            ["confcastd", "--data", os.path.join(self.folder, "store"), "--keys", self.keys, "--unix", self.socket,
             "--listen", API, "--insecure", "--pull", "--engine-socket", self.engine_socket],
            os.path.join(self.folder, "confcastd.log"))
        fleets.wait_until("confcastd", lambda: self.check_alive() and self.run(["confcastctl", "status"]).returncode == 0)

    def publish(self, number, size=0):
        path = os.path.join(self.folder, "next.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"number": number, "text": os.urandom(size // 2).hex()}, file)
        self.ctl("put", SCOPE, "-f", path, "--promote")
        return self.ctl_json("status", SCOPE)["version"]

    def stop_engine(self):
        self.engine.kill()
        self.engine.wait()
        self.engine = None


def run(fleet):
    good, cut = fleet.consumers
    version = fleet.publish(1, 20000)
    for consumer in (good, cut):
        consumer.await_applied(version)
    fleet.wait_applied()
    check("multicast alone does it", good.stats()["pulls"] == 0 and not good.stats()["is_pulling"], good.stats())

    # One host that big frames do not reach: the others go on by multicast.
    cut.nft("-f", "-", rules=DROP_BIG)
    version = fleet.publish(2, 200000)
    good.await_applied(version)
    cut.await_applied(version)
    check("the cut-off one pulls", cut.stats()["is_pulling"], cut.stats())
    check("it takes no more than the content", cut.stats()["pull_bytes"] < 500000, cut.stats())
    check("the other does not", good.stats()["pulls"] == 0, good.stats())
    fleet.wait_applied()  # its report came by HTTP
    check("it is heard", fleet.ctl_json("status", SCOPE)["stale"] == 0, "")
    cut.nft("delete", "table", "inet", "cf_big")
    fleets.wait_until("it goes back", lambda: not cut.stats()["is_pulling"], 40)
    pulls = cut.stats()["pulls"]
    version = fleet.publish(3, 200000)
    cut.await_applied(version)
    fleet.wait_applied()
    check("multicast alone does it again", cut.stats()["pulls"] == pulls, cut.stats())

    # No engine: everybody pulls what is new.
    fleet.stop_engine()
    version = fleet.publish(4, 20000)
    for consumer in (good, cut):
        consumer.await_applied(version)
        check("it pulls", consumer.stats()["is_pulling"], consumer.stats())
    fleet.wait_applied()
    fleet.start_engine()
    fleets.wait_until("they go back", lambda: not any(c.stats()["is_pulling"] for c in (good, cut)), 60)
    pulls = good.stats()["pulls"]
    version = fleet.publish(5, 20000)
    for consumer in (good, cut):
        consumer.await_applied(version)
    fleet.wait_applied()
    time.sleep(1)
    check("and stay", good.stats()["pulls"] == pulls, good.stats())


if __name__ == "__main__":
    bed = Fleet(f"pull-{os.getpid()}", SCOPE, consumer_count=2)
    sys.exit(tell(lambda: run_on(bed, lambda: run(bed))))
