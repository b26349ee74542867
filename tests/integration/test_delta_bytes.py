"""Deltas on real processes: what a change of a middling configuration puts on the wire.

The document is 200 KB that hardly shrink, and a change is 5 KB of it.  Where the fleet holds the revision before, it gets the change; who
does not gets the whole; and who comes back late with the revision before on disk gets the change as well.  The same after kill -9 of the
control plane and of the engine.  Bytes are those that the engine's interface counted, all headers and repeats in.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time

from fleet_story import check, fleets, run_on, tell

SCOPE = "acme/checkout/prod"
KEYS = 3000
CHANGED = 80
SETTLE_S = 0.4  # repeats of the head, and what was on its way


class Document:
    def __init__(self):
        self.random = random.Random(7)
        self.values = {f"k{i:05}": self.value() for i in range(KEYS)}

    def value(self):
        return "".join(self.random.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") for _ in range(55))

    def change(self):
        for key in self.random.sample(sorted(self.values), CHANGED):
            self.values[key] = self.value()

    def text(self):
        return json.dumps(self.values, sort_keys=True, separators=(",", ":"))


class Deltas:
    def __init__(self, fleet):
        self.fleet = fleet
        self.document = Document()
        self.whole = None

    def sent(self):
        return int(subprocess.run(["ip", "netns", "exec", f"{self.fleet.bed.prefix}-engine", "cat", "/sys/class/net/eth0/statistics/tx_bytes"],
                                  check=True, stdout=subprocess.PIPE).stdout)

    def put(self):
        path = os.path.join(self.fleet.folder, "document.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.document.text())
        self.fleet.ctl("put", SCOPE, "-f", path, "--promote")

    def check_all(self, what):
        for consumer in self.fleet.consumers:
            check(f"{what}: what {consumer.id} serves", consumer.get() == self.document.text())

    def revision(self, what, act=lambda: None):
        """The bytes that a revision took, with what `act` does after it is out, until everybody serves it."""
        before = self.sent()
        self.put()
        act()
        self.fleet.wait_applied()
        self.check_all(what)
        time.sleep(SETTLE_S)
        taken = self.sent() - before
        print(f"{what}: {taken} bytes", flush=True)
        return taken

    def is_change(self, what, taken):
        check(f"{what}: costs the change", taken < self.whole / 4, f"{taken} bytes of {self.whole}")

    def run(self):
        self.whole = self.revision("the first, whole")
        check("the document hardly shrinks", self.whole > 100000, f"{self.whole} bytes")
        self.document.change()
        self.is_change("a change", self.revision("a change"))

        # One who seemed to hold the base does not: the others get the change, and it gets the whole.
        lost = self.fleet.consumers[-1]
        self.document.change()

        def lose():
            self.wait_at(self.fleet.consumers[0])
            shutil.rmtree(lost.state_dir)
            os.makedirs(lost.state_dir)
            lost.start()

        lost.kill()
        taken = self.revision("a change, and one without the base", lose)
        check("one got the whole", self.whole / 2 < taken < 1.5 * self.whole, f"{taken} bytes of {self.whole}")

        # One comes back late, with the base on its disk.
        late = self.fleet.consumers[1]
        late.kill()
        self.document.change()
        taken = self.revision("a change, and one who is late", lambda: (self.wait_at(self.fleet.consumers[0]), time.sleep(SETTLE_S), late.start()))
        self.is_change("a change, and one who is late", taken)

        self.fleet.control.kill()
        self.fleet.control.wait()
        self.fleet.start_control()
        self.fleet.wait_applied()
        self.document.change()
        self.is_change("after the control plane was killed", self.revision("after the control plane was killed"))

        self.fleet.engine.kill()
        self.fleet.engine.wait()
        self.fleet.start_engine()
        self.fleet.wait_applied()
        time.sleep(1)  # the engine is told everything, and tells the fleet
        self.document.change()
        self.is_change("after the engine was killed", self.revision("after the engine was killed"))

    def wait_at(self, consumer):
        fleets.wait_until(f"{consumer.id} serves the change", lambda: consumer.get() == self.document.text())


if __name__ == "__main__":
    bed = fleets.Fleet(f"deltas-{os.getpid()}", SCOPE, 4)
    sys.exit(tell(lambda: run_on(bed, Deltas(bed).run)))
