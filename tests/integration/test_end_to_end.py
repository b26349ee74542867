"""The whole path on real processes: confcastctl -> confcastd -> confcast-dataplane (net_af_packet) -> confcast-agents -> reports -> status.

Every revision of real configuration goes through `put --promote` in order, and at every version each consumer's `get` must be, byte
for byte, the canonical JSON of the merge; with and without loss.  The merge and its canonical form are computed here, independently.
The repository's own examples always run; ../shared/data runs too where it is there.
"""

import json
import os
import subprocess
import sys

from fleet_story import check, fleets, run_on, tell

SCOPE = "acme/checkout/prod"
DATA = os.path.join(fleets.REPO, "../shared/data")
SETS = ("prometheus-rules", "prometheus-crd", "grafana-dashboards", "node-rules")


NODE_CANONICAL = """
const merge = (t, p) => {
  if (p === null || typeof p !== 'object' || Array.isArray(p)) return p;
  if (t === null || typeof t !== 'object' || Array.isArray(t)) t = {};
  for (const k of Object.keys(p)) { if (p[k] === null) delete t[k]; else t[k] = merge(t[k] === undefined ? null : t[k], p[k]); }
  return t;
};
const out = (v) => {
  if (v === null || typeof v !== 'object') return JSON.stringify(v);
  if (Array.isArray(v)) return '[' + v.map(out).join(',') + ']';
  return '{' + Object.keys(v).sort().map(k => JSON.stringify(k) + ':' + out(v[k])).join(',') + '}';
};
const fs = require('fs');
let all = {};
for (const f of process.argv.slice(1)) all = merge(all, JSON.parse(fs.readFileSync(f, 'utf8')));
process.stdout.write(out(all));
"""


def merged(paths):
    """The canonical JSON of the merge (RFC 7396, RFC 8785), by an ECMAScript engine."""
    return subprocess.run(["node", "-e", NODE_CANONICAL, "--", *paths], check=True,
                          stdout=subprocess.PIPE).stdout


def check_all(fleet, what, expected):
    for consumer in fleet.consumers:
        got = subprocess.run(["confcast-agent", "get", "--state-dir", consumer.state_dir, fleet.scope],
                             env=fleet.env, check=False, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        check(f"{what} at {consumer.id}", got.stdout == expected,
              f"{len(got.stdout)} bytes differ from the expected {len(expected)}; "
              f"{got.stderr.decode()}")
    fleet.consumers[-1].check_files(what, expected)


class ExportingConsumer(fleets.Consumer):
    """One that keeps its config in a plain file as well, and has a command told of each."""

    @property
    def export_dir(self):
        return os.path.join(self.folder, "export")

    def command(self):
        return super().command() + ["--export", self.export_dir, "--exec",
                                    f"cat >{self.folder}/heard"]

    def check_files(self, what, expected):
        for path in (os.path.join(self.export_dir, SCOPE + ".json"),
                     os.path.join(self.folder, "heard")):
            fleets.wait_until(f"{what}: {path}", lambda p=path: read(p) == expected, 10)


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def base_layers(fleet):
    """Two layers below the one that changes, from the examples."""
    paths = []
    for scope in ("acme", "acme/checkout"):
        path = os.path.join(fleets.REPO, "docs/examples", scope + ".json")
        fleet.ctl("put", scope, "-f", path, "--promote")
        paths.append(path)
    return paths


def run_revisions(fleet, name, files, layers):
    for number, path in enumerate(files, 1):
        fleet.ctl("put", SCOPE, "-f", path, "--promote")
        fleet.wait_applied()
        check_all(fleet, f"{name} revision {number}", merged(layers + [path]))
    print(f"{name}: {len(files)} revisions reached {len(fleet.consumers)} consumers "
          f"byte for byte, loss {fleet.loss:g} %", flush=True)


def own_examples(folder):
    """A few revisions of our own example, as real edits make them."""
    with open(os.path.join(fleets.REPO, "docs/examples", SCOPE + ".json"), encoding="utf-8") as file:
        document = json.load(file)
    paths = []
    for step in range(4):
        if step == 1:
            document["http_server"]["concurrency_max"] = 4096
        if step == 2:
            document["\u00e9\U0001f600"] = {"b": [1.5, 1e21, -0.0, 1e-7], "a": "\u2028\"\\\n"}
        if step == 3:
            document["big"] = {f"k{i:05}": os.urandom(30).hex() for i in range(3000)}
        path = os.path.join(folder, f"own{step}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        paths.append(path)
    return paths


def real_revisions(name):
    folder = os.path.join(DATA, name)
    if not os.path.isdir(folder):
        return []
    return [os.path.join(folder, file) for file in sorted(os.listdir(folder)) if file.endswith(".json")]


def kill_and_recover(fleet, layers):
    """Killing any daemon with -9 in the middle and starting it again loses nothing and needs no hand."""
    path = os.path.join(fleets.REPO, "docs/examples", SCOPE + ".json")
    with open(path, encoding="utf-8") as file:
        document = json.load(file)

    def publish(number):
        document["http_server"]["concurrency_max"] = number
        changed = os.path.join(fleet.folder, "kill.json")
        with open(changed, "w", encoding="utf-8") as file:
            json.dump(document, file)
        fleet.ctl("put", SCOPE, "-f", changed, "--promote")
        return changed

    changed = publish(1001)
    fleet.engine.kill()
    fleet.engine.wait()
    changed = publish(1002)
    fleet.start_engine()
    fleet.wait_applied()
    check_all(fleet, "after the engine was killed", merged(layers + [changed]))

    changed = publish(1003)
    fleet.control.kill()
    fleet.control.wait()
    fleet.start_control()
    fleet.wait_applied()
    check_all(fleet, "after the control plane was killed", merged(layers + [changed]))

    changed = publish(1004)
    for consumer in fleet.consumers[:2]:
        consumer.kill()
    changed = publish(1005)
    for consumer in fleet.consumers[:2]:
        consumer.start()
    fleet.wait_applied()
    check_all(fleet, "after two consumers were killed", merged(layers + [changed]))

    for process in (fleet.engine, fleet.control):
        process.kill()
        process.wait()
    fleet.control = None
    for consumer in fleet.consumers:
        consumer.kill()
    for consumer in fleet.consumers:
        consumer.start()
    fleets.wait_until("an agent serving from disk",
                      lambda: all(consumer.get() is not None for consumer in fleet.consumers))
    check_all(fleet, "served from disk with everything else down", merged(layers + [changed]))
    fleet.start_engine()
    fleet.start_control()
    changed = publish(1006)
    fleet.wait_applied()
    check_all(fleet, "after everything was killed", merged(layers + [changed]))
    print("killing each daemon with -9 lost nothing", flush=True)


def story(fleet, loss):
    layers = base_layers(fleet)
    run_revisions(fleet, "own examples", own_examples(fleet.folder), layers)
    for name in SETS:
        files = real_revisions(name)
        if files:
            run_revisions(fleet, name, files, layers)
        else:
            print(f"{name}: not here, left out", flush=True)
    if loss:
        dropped = sum(count for _, count in fleet.bed.drops())
        check("packets were really lost", dropped > 0)
        print(f"{dropped} packets were dropped on purpose", flush=True)
    else:
        kill_and_recover(fleet, layers)


def run():
    for loss in (0.0, 2.0):
        fleet = fleets.Fleet(f"e2e-{os.getpid()}", SCOPE, 4, loss)
        fleet.consumers[-1] = ExportingConsumer(fleet, 4)
        run_on(fleet, lambda f=fleet, l=loss: story(f, l))


if __name__ == "__main__":
    sys.exit(tell(run))
