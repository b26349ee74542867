"""The Python binding (consumer/python/confcast.py), through the agent of a whole fleet: each revision of real configuration value for
value, callbacks, a validator's no, threads that read while it swaps, and forked workers.
"""

import ctypes
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../consumer/python"))
from fleet_story import check, fleets, run_on, tell  # noqa: E402

BUILD = os.environ.get("CFC_BUILD") or os.path.join(HERE, "../../build")
os.environ.setdefault("CONFCAST_LIBRARY", os.path.join(BUILD, "consumer/libconfcast.so.0"))
import confcast  # noqa: E402

SCOPE = "acme/checkout/prod"
SECOND = "acme/checkout/limits"
DATA = os.path.join(fleets.REPO, "../shared/data")
REVISIONS_MAX = 6  # of each set of real configuration
SWAPS = 40
KEYS = 16


class SharingAgent(fleets.Consumer):
    @property
    def share(self):
        return os.path.join(self.folder, "share")

    def command(self):
        return super().command() + ["--share", self.share, "--scope", SECOND, "--export", self.export]

    @property
    def export(self):
        return os.path.join(self.folder, "export")


# ---- Without a fleet -------------------------------------------------------------------------------


def check_abi():
    """The structs are those of the header."""
    sizes = json.loads(subprocess.run([os.path.join(BUILD, "tests/integration/python_abi")], check=True,
                                      stdout=subprocess.PIPE).stdout)
    for c_name, members in sizes.items():
        python = getattr(confcast, "_" + "".join(word.capitalize() for word in c_name.split("_")[1:]))
        size = members.pop("")
        check(f"sizeof {c_name}", ctypes.sizeof(python) == size, ctypes.sizeof(python))
        check(f"members of {c_name}", [field[0] for field in python._fields_] == list(members),
              [field[0] for field in python._fields_])
        for name, offset in members.items():
            check(f"{c_name}.{name}", getattr(python, name).offset == offset)


def error_of(function, *arguments, **named):
    try:
        function(*arguments, **named)
    except confcast.Error as error:
        return error.word
    return "none"


def error_kind_of(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:  # whatever it is
        return type(error)
    return None


def check_errors():
    check("a path that is too long", error_of(confcast.Client, agent="x" * 200) == "invalid")
    check("both ways at once", error_of(confcast.Client, agent="a", fleet="f") == "invalid")
    check("no file", error_of(confcast.Client, fleet="/none", credential="/none", interface="lo")
          == "not_found")
    with confcast.Client(agent="/nobody/is/here") as client:
        scope = client.subscribe(SCOPE)
        check("one scope for one path", client.subscribe(SCOPE) is scope)
        check("a name that is none", error_of(client.subscribe, "a//b") == "scope_name")
        check("one with NUL", error_of(client.subscribe, "a\0b") == "scope_name")
        check("nothing was received", scope.get_int("/x", 5) == 5 and scope.document() == {})
        with scope.view() as view:
            check("nor is there a version", view.version == 0 and view.content is None)
        check("and nothing comes", error_of(scope.wait, timeout=0.05) == "timeout")
        check("which the status says", scope.status().state == "none", scope.status())
    check("closed is closed", error_of(scope.status) == "closed" and error_of(client.subscribe, "a") == "closed")
    client.close()


# ---- Values ----------------------------------------------------------------------------------------


def pointer_of(path):
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


def check_leaf(view, pointer, value):
    """Each getter gives the value, if it is of its type, and its default otherwise."""
    getters = {bool: view.get_bool, int: view.get_int, float: view.get_float, str: view.get_str}
    kind = type(value)
    if kind is float and value == int(value) and abs(value) < 2**53:
        kind, value = int, int(value)  # as canonical JSON has it
    for wanted, getter in getters.items():
        default = object()
        got = getter(pointer, default)
        right = got == value if kind is wanted or (wanted is float and kind is int) else got is default
        check(f"{wanted.__name__} at {pointer}", right, f"{got!r} for {value!r}")


def check_value(view, path, value):
    pointer = pointer_of(path)
    check(f"{pointer} is there", pointer in view)
    if isinstance(value, dict):
        check(f"keys of {pointer}", sorted(view.keys(pointer)) == sorted(value))
        for key, member in value.items():
            check_value(view, path + [key], member)
    elif isinstance(value, list):
        check(f"{pointer}", view.get(pointer) == value and view.keys(pointer) == [])
    else:
        check_leaf(view, pointer, value)


def check_document(scope, document, version):
    with scope.view() as view:
        check("the version that was waited for", view.version >= version)
        check("the document", view.document() == document)
        check("its JSON", json.loads(view.json()) == document)
        check_value(view, [], document)
        check("no such key", "/no/such/key" not in view and view.get("/no/such/key", 7) == 7)
        check("what is no pointer", "no pointer" not in view and view.get("a\0b") is None)


# ---- The fleet -------------------------------------------------------------------------------------


def publish(fleet, document):
    path = os.path.join(fleet.folder, "next.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    fleet.ctl("put", SCOPE, "-f", path, "--promote")


def served(scope, condition):
    return fleets.wait_until("it is served", lambda: condition(scope), 20)


def documents():
    yield {"t": True, "f": False, "n": None, "i": 2**53 - 1, "j": -7, "x": 0.1, "y": 1e300, "s": "h\u00e9\U0001f600",
           "a/b": {"m~n": {"": [1, "two", {"three": 3}]}}, "o": {}, "l": []}
    for name in ("prometheus-rules", "prometheus-crd", "grafana-dashboards"):
        folder = os.path.join(DATA, name)
        files = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        for file in [file for file in files if file.endswith(".json")][:REVISIONS_MAX]:
            with open(os.path.join(folder, file), encoding="utf-8") as text:
                yield json.load(text)


def without_nulls(value):
    """As a merge leaves it (RFC 7396)."""
    if isinstance(value, dict):
        return {key: without_nulls(member) for key, member in value.items() if member is not None}
    return value


def exported(agent):
    try:
        with open(os.path.join(agent.export, SCOPE + ".json"), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def check_real(fleet, scope):
    """Each revision through the getters of this process, in the agent's own process, and as its exported file."""
    agent = fleet.consumers[0]
    count = 0
    for document in documents():
        document = without_nulls(document)
        publish(fleet, document)
        served(scope, lambda scope, d=document: scope.document() == d)
        check_document(scope, document, 1)
        with scope.view() as view:
            text = view.json().decode()
        check("what the agent reads", agent.get() == text, agent.get())
        fleets.wait_until("it is exported", lambda t=text: exported(agent) == t, 20)
        count += 1
    print(f"{count} revisions read value for value, through the agent, by it, and from its files", flush=True)


def check_callbacks(fleet, client_of):
    seen = []
    asked = []
    kept = []
    errors = []

    def on_change(scope, before, after):
        seen.append((before.get_int("/n", -1) if before is not None else None, after.get_int("/n", -1),
                     [(change.kind, change.pointer) for change in confcast.changes(before, after)]))
        if kept:  # of the call before, in the same thread
            errors.append(error_kind_of(kept[0].get_int, "/n"))
        kept.append(after)
        scope.status()
        if after.get_int("/n") == 2:
            raise ValueError("of a callback, which harms nobody")

    def validate(scope, candidate):
        asked.append(candidate.get_int("/n", -1))
        if candidate.get_bool("/raise"):
            raise ValueError("of a validator, which is a no")
        return not candidate.get_bool("/poison")

    sys.unraisablehook = lambda info: errors.append(info.exc_type)
    sys.excepthook = lambda kind, *unused: errors.append(kind)
    publish(fleet, {"n": 1, "gone": 1, "o": {"p": 1}})
    fleet.wait_applied()
    with client_of() as client:
        scope = client.subscribe(SCOPE, on_change=on_change, validate=validate)
        scope.wait(timeout=10)
        check("the first content", seen[0][:2] == (None, 1), seen)
        for number, document in ((2, {"n": 2, "new": 1, "o": {"p": 2}}), (3, {"n": 3, "poison": True}),
                                 (4, {"n": 4, "raise": True}), (5, {"n": 5})):
            publish(fleet, document)
            if number in (3, 4):
                fleets.wait_until("it is asked", lambda n=number: n in asked, 20)
                served(scope, lambda scope: scope.status().state == "rejected")
                check("and says why", scope.status().reason == "app_reject", scope.status())
                check("the last good one serves", scope.get_int("/n") == 2)
            else:
                served(scope, lambda scope, n=number: scope.get_int("/n") == n)
        fleets.wait_until("both changes are told", lambda: len(seen) == 3, 20)
        check("what changed", seen[1] == (1, 2, [("removed", "/gone"), ("changed", "/n"), ("added", "/new"),
                                                 ("changed", "/o/p")]), seen[1])
        check("refused ones are no changes", seen[2][:2] == (2, 5), seen)
        check("exceptions are told of, and a view is gone after its callback",
              errors == [RuntimeError, ValueError, ValueError, RuntimeError], errors)
        check("a view is its thread's", error_kind_of(kept[0].get_int, "/n") is RuntimeError)
    print("callbacks saw old and new, a validator said no", flush=True)


def generation(number):
    return {"generation": number, "keys": {f"k{i}": 1000 * number + i for i in range(KEYS)}}


def check_threads(fleet, scope):
    ending = threading.Event()
    wrong = []
    counts = [0] * 4

    def read(number):
        last = 0
        while not ending.is_set():
            with scope.view() as view:
                found = view.get_int("/generation", -1)
                keys = [view.get_int(f"/keys/k{i}", -1) for i in range(KEYS)]
                version = view.version
            if found >= 0 and keys != [1000 * found + i for i in range(KEYS)]:
                wrong.append((found, keys))
            if version < last:
                wrong.append((version, last))
            last = version
            counts[number] += 1

    publish(fleet, generation(1))
    served(scope, lambda scope: scope.get_int("/generation") == 1)
    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for number in range(2, SWAPS):
        publish(fleet, generation(number))
    served(scope, lambda scope: scope.get_int("/generation") == SWAPS - 1)
    ending.set()
    for thread in threads:
        thread.join()
    check("no section saw two contents, none an older one", not wrong, wrong[:3])
    check("all threads read", min(counts) > 100, counts)
    print(f"{sum(counts)} sections of {KEYS + 1} reads in 4 threads through {SWAPS} swaps: all whole", flush=True)


def check_fork(fleet, scope):
    """A forked worker follows: it ends with 0 once it has seen the next generation."""
    worker = os.fork()
    if worker == 0:
        code = 1
        try:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and code != 0:
                code = 0 if scope.get_int("/generation") == SWAPS else 1
                time.sleep(0.01)
        finally:
            os._exit(code)
    publish(fleet, generation(SWAPS))
    served(scope, lambda scope: scope.get_int("/generation") == SWAPS)
    check("a forked worker follows", os.waitpid(worker, 0)[1] == 0)


def check_fork_storm(fleet, client_of):
    """Forks while callbacks run and views are open: nobody waits for the other for ever."""
    ending = threading.Event()
    calls = []

    def on_change(scope, before, after):
        time.sleep(0.02)
        calls.append(after.get_int("/generation"))

    with client_of() as client:
        scope = client.subscribe(SCOPE, on_change=on_change)
        scope.wait(timeout=10)

        def read():
            while not ending.is_set():
                with scope.view() as view:
                    time.sleep(0.002)
                    view.get_int("/generation")

        def swap():
            number = SWAPS
            while not ending.is_set():
                number += 1
                publish(fleet, generation(number))

        threads = [threading.Thread(target=read, daemon=True), threading.Thread(target=swap, daemon=True)]
        for thread in threads:
            thread.start()
        signal.alarm(60)  # a deadlock ends the test
        for _ in range(40):
            worker = os.fork()
            if worker == 0:
                os._exit(0 if scope.get_int("/generation") > 0 else 1)
            check("a worker reads", os.waitpid(worker, 0)[1] == 0)
            time.sleep(0.01)
        signal.alarm(0)
        ending.set()
        for thread in threads:
            thread.join()
        try:
            client.subscribe(SCOPE)._client._callback_thread = threading.get_ident()
            client.close()
            check("a callback cannot close its client", False)
        except RuntimeError:
            client._callback_thread = None
        waited = []
        waiter = threading.Thread(target=lambda: waited.append(error_of(scope.wait, 2**60, timeout=60)))
        waiter.start()
        time.sleep(0.1)
    waiter.join(5)
    check("closing sends those who wait away", waited == ["closed"], waited)
    check("callbacks came meanwhile", len(calls) > 3, calls)
    check("a view of a closed client is refused", error_of(scope.view) == "closed")
    print(f"40 forks while {len(calls)} callbacks ran", flush=True)


def publish_batch(fleet, number, scopes=(SCOPE, SECOND)):
    """Both scopes in one change."""
    path = os.path.join(fleet.folder, "batch.json")
    items = [{"put": scope, "document": {"serial": number, "scope": scope}} for scope in scopes]
    items += [{"release": scope, "action": "promote"} for scope in scopes]
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"items": items}, file)
    fleet.ctl("batch", "-f", path)


def check_set(fleet, client_of):
    """A set sees both scopes of a batch change together."""
    ending = threading.Event()
    wrong = []
    told = []
    counts = [0, 0]

    def serials(views):
        return [views[scope].get_int("/serial", -1) for scope in (SCOPE, SECOND)]

    def on_change(of, before, after):
        told.append((serials(before) if before is not None else None, serials(after), after.version))

    def read(number):
        last = 0
        while not ending.is_set():
            with both.view() as views:
                found = serials(views)
                version = views.version
            if found[0] != found[1] or version < last:
                wrong.append((found, version, last))
            last = version
            counts[number] += 1

    publish_batch(fleet, 1)
    with client_of() as client:
        first, second = client.subscribe(SCOPE), client.subscribe(SECOND)
        check("a set of nothing", error_of(client.open_set, []) == "invalid")
        both = client.open_set([first, second], on_change=on_change)
        both.wait(timeout=20)
        served(both, lambda both: both.status().serving == first.status().serving and not both.status().is_held)
        threads = [threading.Thread(target=read, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for number in range(2, SWAPS):
            publish_batch(fleet, number)
        served(second, lambda second: second.get_int("/serial") == SWAPS - 1)
        served(both, lambda both: not both.status().is_held)
        publish(fleet, {"serial": SWAPS})
        served(both, lambda both: both.status().is_held)
        status = both.status()
        check("who holds it", status.held_by is second and status.reason == "again"
              and status.newest > status.serving and status.member_accepted == status.serving, status)
        with both.view() as views:
            check("a held set serves on", serials(views) == [SWAPS - 1] * 2, serials(views))
            check("by scope as well", views[first].get_int("/serial") == SWAPS - 1)
            check("a stranger", error_kind_of(views.__getitem__, "acme/other") is KeyError)
            kept = views[first]
        check("a member's view ends with its set's", error_kind_of(kept.get_int, "/serial") is RuntimeError)
        ending.set()
        for thread in threads:
            thread.join()
        check("no section saw two changes, none an older one", not wrong, wrong[:3])
        check("both threads read", min(counts) > 100, counts)
        check("changes were told in order", all(before is None or (before[0] == before[1] and before[0] < after[0])
                                                for before, after, _ in told) and told[-1][1] == [SWAPS - 1] * 2, told)
        both.close()
        check("a closed set", error_of(both.view) == "closed" and error_of(both.status) == "closed")
        check("its members stay", first.get_int("/serial") == SWAPS)
        path = os.path.join(fleet.folder, "settings.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"together": True}, file)
        fleet.ctl("settings", "set", "acme/checkout", "-f", path)
        publish(fleet, {"serial": SWAPS + 1})  # alone, and the other one gets its version
        both = client.open_set([first, second])
        served(first, lambda first: first.get_int("/serial") == SWAPS + 1)
        served(both, lambda both: both.status().serving == first.status().serving and not both.status().is_held)
        with both.view() as views:
            check("what settings hold together", serials(views) == [SWAPS + 1, SWAPS - 1], serials(views))
    print(f"{sum(counts)} sections of two scopes through {SWAPS} batches: all together", flush=True)


def story(fleet):
    agent = fleet.consumers[0]

    def client_of():
        return confcast.Client(agent=agent.share)

    fleets.wait_until("the agent shares", lambda: os.path.exists(agent.share), 20)
    with client_of() as client:
        check("a scope that the agent does not follow", error_of(client.subscribe, "acme/other") == "not_found")
        scope = client.subscribe(SCOPE)
        check_real(fleet, scope)
        status = scope.status()
        check("its status", status.source == "agent" and status.state == "applied" and not status.is_stale
              and status.serving == status.accepted and len(status.content) == 64, status)
        check_callbacks(fleet, client_of)
        check_set(fleet, client_of)
        check_threads(fleet, scope)
        check_fork(fleet, scope)
        check_fork_storm(fleet, client_of)


def without_a_fleet():
    check("floats are what they were", math.isclose(confcast._number("9007199254740993"), 9007199254740992.0))
    check_abi()
    check_errors()


def run():
    fleet = fleets.Fleet(f"python-{os.getpid()}", SCOPE, 1)
    fleet.consumers[0] = SharingAgent(fleet, 1)
    run_on(fleet, lambda: story(fleet))


if __name__ == "__main__":
    sys.exit(tell(run, first=without_a_fleet))
