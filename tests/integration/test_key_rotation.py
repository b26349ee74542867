"""A new release key for a fleet that runs, and what the old one is good for afterwards: nothing.

Real processes in namespaces: confcastd, one engine, four agents.  c1 and c2 read the fleet file that is replaced; c3 has
a copy of its own that nobody replaces in time; c4 is off from before the rotation until after it.
"""

import json
import os
import shutil
import sys

from fleet_story import check, fleets, run_on, tell

SCOPE = "acme/checkout"


class Consumer(fleets.Consumer):
    """With a fleet file of its own when it has one, and with all that it says in its log."""

    own_file = None

    def command(self):
        command = super().command() + ["--verbose"]
        if self.own_file:
            command[command.index("--fleet") + 1] = self.own_file
        return command

    def start(self):
        if self.own_file and not os.path.exists(self.own_file):
            shutil.copy(self.fleet.fleet_file, self.own_file)
        super().start()

    def log(self):
        with open(self.events_path + ".err", encoding="utf-8", errors="replace") as file:
            return file.read()


class Rotation:
    def __init__(self):
        self.fleet = fleets.Fleet(f"rot-{os.getpid()}", SCOPE, 4)
        self.fleet.consumers = [Consumer(self.fleet, number) for number in range(1, 5)]
        self.c1, self.c2, self.c3, self.c4 = self.fleet.consumers
        self.c3.own_file = os.path.join(self.fleet.folder, "c3.fleet.json")
        self.keys = self.fleet.keys
        self.number = 0

    def publish(self):
        """Releases the next revision; its number is its value, too."""
        self.number += 1
        path = os.path.join(self.fleet.folder, "document.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"n": self.number, "pad": "x" * 3000}, file)
        self.fleet.ctl("put", SCOPE, "-f", path, "--promote")
        return self.number

    def wait_served(self, consumers, what, timeout_s=15):
        fleets.wait_until(f"{what}: {[c.id for c in consumers]} serve {self.number}",
                          lambda: all(c.get("/n") == str(self.number) for c in consumers), timeout_s)

    def publish_and_wait(self, consumers, what):
        """Nobody misses one: each version is served before the next is made."""
        for _ in range(3):
            self.publish()
            self.wait_served(consumers, what)

    def wait_log(self, consumer, text, timeout_s=20):
        fleets.wait_until(f"{consumer.id} says {text!r}", lambda: text in consumer.log(), timeout_s)

    def rotate(self, *options):
        return self.fleet.ctl_json("key", "rotate", "--dir", self.keys, *options)

    def restart_control(self):
        self.fleet.control.terminate()
        code = self.fleet.control.wait(30)
        check("confcastd ends well", code == 0, code)
        self.fleet.start_control()

    def copy_fleet_file(self):
        """As a tool that distributes files would: whole, by rename."""
        shutil.copy(self.fleet.fleet_file, self.c3.own_file + ".new")
        os.rename(self.c3.own_file + ".new", self.c3.own_file)

    def states(self):
        rows = self.fleet.ctl_json("consumers")["consumers"]
        return {row["consumer"]: row for row in rows}

    # ---- The story ----

    def begin(self):
        self.publish()
        self.wait_served(self.fleet.consumers, "at first")

    def overlap(self):
        fleets.wait_until("c4 has it on disk", lambda: self.c4.events("durable"))
        self.c4.kill()
        shutil.move(os.path.join(self.keys, "root.key"), os.path.join(self.fleet.folder, "root.key"))
        refused = self.fleet.run(["confcastctl", "key", "rotate", "--dir", self.keys])
        check("no root key, no rotation", refused.returncode == 9, refused)
        check("and no key that nothing trusts", not os.path.exists(os.path.join(self.keys, "release.next.key")))
        begun = self.rotate("--root", os.path.join(self.fleet.folder, "root.key"))
        check("the fleet file is the next", begun["sequence"] == 2, begun)
        for consumer in (self.c1, self.c2):
            self.wait_log(consumer, "fleet file taken sequence=2 release_keys=2")
        self.publish_and_wait([self.c1, self.c2, self.c3], "under the old key")
        shutil.copy(os.path.join(self.keys, "release.key"), os.path.join(self.fleet.folder, "stolen.key"))
        shutil.copy(self.fleet.fleet_file, os.path.join(self.fleet.folder, "overlap.json"))
        return begun

    def switch(self, begun):
        switched = self.rotate("--switch")
        check("the next key signs", switched["signing"] == begun["next"], switched)
        self.restart_control()
        self.publish_and_wait([self.c1, self.c2], "under the new key")
        check("one with the old file keeps what it had", self.c3.get("/n") == str(self.number - 3), self.c3.get("/n"))
        self.wait_log(self.c3, "is there a newer fleet.json?")
        row = fleets.wait_until("c3's reason", lambda: (self.states()["c3"]["reason"] == "authority" and self.states()["c3"]), 20)
        check("it does not count as applied", row["state"] != "applied" or row["accepted"] < self.states()["c1"]["accepted"], row)
        behind = self.fleet.ctl("consumers", "--behind")
        rows = {line.split()[0]: line.split()[6] for line in self.fleet.ctl("consumers").splitlines()}
        check("a state is not taken for one of the published version", (rows["CONSUMER"], rows["c1"], rows["c3"]) ==
              ("BEHIND", "no", "yes"), rows)
        check("the operator sees it", "c3" in behind and "authority" in behind and "c1" not in behind, behind)

    def back_and_forth(self):
        """A switch that came too early is undone; everybody with both keys follows either way."""
        self.rotate("--back")
        self.restart_control()
        self.publish()
        self.wait_served([self.c1, self.c2, self.c3], "under the old key again")
        self.rotate("--switch")
        self.restart_control()
        self.publish_and_wait([self.c1, self.c2], "under the new key again")

    def late_file(self):
        self.copy_fleet_file()
        self.wait_served([self.c3], "with the new file, and without a restart")

    def retire(self):
        retired = self.rotate("--retire", "--root", os.path.join(self.fleet.folder, "root.key"))
        check("the file trusts one key", retired["sequence"] == 3, retired)
        names = os.listdir(self.keys)
        check("the old key is gone", not [n for n in names if "next" in n or "previous" in n], names)
        self.copy_fleet_file()
        for consumer in (self.c1, self.c2, self.c3):
            self.wait_log(consumer, "fleet file taken sequence=3 release_keys=1")
        self.publish_and_wait([self.c1, self.c2, self.c3], "after the old key")

    def one_that_slept_through_it(self):
        held = self.c4.get("/n")
        check("it has what it had", held == "1", held)
        self.c4.start()
        self.wait_served([self.c4], "after all of it")
        self.fleet.wait_applied()

    def older_file_is_refused(self):
        shutil.copy(os.path.join(self.fleet.folder, "overlap.json"), self.c3.own_file)
        self.wait_log(self.c3, "error=rollback sequence=2 seen=3")
        with open(self.c3.own_file, "w", encoding="utf-8") as file:
            file.write('{"format":"confcast-fleet-1"')
        self.wait_log(self.c3, "the new fleet file is not used error=syntax")
        self.publish_and_wait([self.c1, self.c2, self.c3], "with a spoilt file")
        self.c3.kill()
        shutil.copy(os.path.join(self.fleet.folder, "overlap.json"), self.c3.own_file)
        self.c3.start()
        fleets.wait_until("c3 refuses to start", lambda: self.c3.process.poll() == 2)
        self.copy_fleet_file()
        self.c3.start()
        self.wait_served([self.c3], "started anew")

    def thief(self):
        """Somebody with the retired key and a copy of the store speaks through the engine."""
        self.fleet.control.terminate()
        self.fleet.control.wait(30)
        before = self.number
        folder = self.fleet.folder
        keys, store, socket = (os.path.join(folder, name) for name in ("thief.keys", "thief.store", "thief.sock"))
        os.mkdir(keys, 0o700)
        shutil.copy(os.path.join(folder, "stolen.key"), os.path.join(keys, "release.key"))
        shutil.copy(os.path.join(folder, "overlap.json"), os.path.join(keys, "fleet.json"))
        shutil.copy(os.path.join(self.keys, "report.key"), keys)
        shutil.copytree(os.path.join(folder, "store"), store)
        thief = self.fleet.spawn(f"{self.fleet.bed.prefix}-control", [
            "confcastd", "--data", store, "--keys", keys, "--unix", socket, "--listen", "none",
            "--engine-socket", self.fleet.engine_socket], os.path.join(folder, "thief.log"))
        try:
            fleets.wait_until("the thief", lambda: self.fleet.run(
                ["confcastctl", "--server", f"unix:{socket}", "status"]).returncode == 0)
            path = os.path.join(folder, "document.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump({"n": 666}, file)
            told = [c.log().count("is there a newer fleet.json?") for c in self.fleet.consumers]
            self.fleet.run(["confcastctl", "--server", f"unix:{socket}", "put", SCOPE, "-f", path, "--promote"], check=True)
            for consumer, count in zip(self.fleet.consumers, told):
                fleets.wait_until(f"{consumer.id} hears and refuses", lambda c=consumer, n=count:
                                  c.log().count("is there a newer fleet.json?") > n, 30)
            values = {c.get("/n") for c in self.fleet.consumers}
            check("nobody serves it", values == {str(before)}, values)
        finally:
            thief.terminate()
            thief.wait(30)
        self.fleet.start_control()
        self.restart_control()  # an epoch above the thief's, which the engine has seen
        self.publish_and_wait(self.fleet.consumers, "after the thief")
        check("nobody ever served it", all('"n":666' not in c.log() for c in self.fleet.consumers))

    def run(self):
        self.begin()
        begun = self.overlap()
        self.switch(begun)
        self.back_and_forth()
        self.late_file()
        self.retire()
        self.one_that_slept_through_it()
        self.older_file_is_refused()
        self.thief()


if __name__ == "__main__":
    story = Rotation()
    sys.exit(tell(lambda: run_on(story.fleet, story.run)))
