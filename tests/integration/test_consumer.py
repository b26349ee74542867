"""libconfcast in a service (consumer_service.c) on a whole fleet: swaps by the thousand under four readers, a validator that says no,
forged and replayed frames from the engine's own address, and a restart with everything else down.

CFC_SERVICE names another build of the service (the sanitizers'); CFC_SWAPS how many swaps to make.
"""

import http.client
import json
import os
import random
import socket
import struct
import sys
import time

from fleet_story import check, fleets, run_on, tell
from namespace import in_namespace

SCOPE = "acme/checkout/prod"
SWAPS = int(os.environ.get("CFC_SWAPS", "2000"))
ENGINE = "10.77.0.1"
KEYS = 32
FRAME_HEAD = 1
VERSION_AT = 40  # in a HEAD
IP_ADD_SOURCE_MEMBERSHIP = 39


def config(generation, **more):
    return {"generation": generation,
            "keys": {f"k{i}": 1000 * generation + i for i in range(KEYS)}, **more}


class Service(fleets.Consumer):
    """A consumer host that runs the service instead of an agent."""

    def start(self):
        command = [os.environ.get("CFC_SERVICE") or os.path.join(
            os.path.dirname(self.fleet.bin_dirs[0]), "../tests/integration/consumer_service")]
        command += [self.fleet.fleet_file, self.credential, "eth0", self.state_dir, self.fleet.scope]
        open(self.events_path, "w", encoding="utf-8").close()
        self.process = self.fleet.spawn(self.netns, command, self.events_path)

    def lines(self):
        with open(self.events_path, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def last(self):
        lines = self.lines()
        return lines[-1] if lines else {}

    def await_that(self, what, condition, timeout_s=20):
        def probe():
            if self.process.poll() is not None:
                raise fleets.FleetError(f"the service ended with {self.process.returncode}")
            line = self.last()
            return line if line and condition(line) else None
        return fleets.wait_until(what, probe, timeout_s)


class Api:
    """The control plane over its unix socket, by one connection."""

    def __init__(self, path):
        self.connection = http.client.HTTPConnection("localhost", timeout=30)
        self.connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.sock.connect(path)

    def release(self, **members):
        self.connection.request("POST", f"/v1/release/{SCOPE}", json.dumps(members))
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise fleets.FleetError(f"{members}: {response.status} {body!r}")
        return json.loads(body)

    def close(self):
        self.connection.close()


def groups(fleet):
    with open(fleet.fleet_file, encoding="utf-8") as file:
        about = json.load(file)["groups"]
    base = struct.unpack(">I", socket.inet_aton(about["base"]))[0]
    return [socket.inet_ntoa(struct.pack(">I", base + i)) for i in range(about["count"] + 1)]


def listener(fleet):
    """A socket beside the service that hears all that the engine multicasts."""
    def make():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind(("", fleets.PORT))
        for group in groups(fleet):
            sock.setsockopt(socket.IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP,
                            socket.inet_aton(group) + socket.inet_aton("0.0.0.0") +
                            socket.inet_aton(ENGINE))
        sock.setblocking(False)
        return sock
    return in_namespace(fleet.consumers[1].netns, make)


def heard(sock):
    frames = []
    while True:
        try:
            frames.append(sock.recvfrom(16384))
        except BlockingIOError:
            return frames


def forger(fleet):
    """A socket that sends from the engine's own address."""
    def make():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((ENGINE, 0))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(ENGINE))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        return sock
    return in_namespace(f"{fleet.bed.prefix}-engine", make)


def write(fleet, name, document):
    path = os.path.join(fleet.folder, f"{name}.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    return path


def publish(fleet, document):
    fleet.ctl("put", SCOPE, "-f", write(fleet, "next", document), "--promote")


def swap_many(fleet, service):
    """Revisions 1 to 3 in turn, forward and back, mostly as fast as the control plane takes them."""
    for generation in (1, 2, 3):
        publish(fleet, config(generation))
        service.await_that(f"generation {generation}", lambda line: line["generation"] == generation)
    before = service.last()
    chance = random.Random(1)
    api = Api(fleet.socket)
    begun = time.monotonic()
    made = 0
    try:
        for number in range(SWAPS):
            if number % 40 == 39:
                fleet.ctl("rollback", SCOPE)
            elif number % 10 == 9:
                api.release(action="rollback")
            else:
                api.release(action="promote", revision=1 + number % 3)
            made += 1
            if chance.random() < 0.05:
                time.sleep(0.01)
            if time.monotonic() - begun > 120:
                break
    finally:
        api.close()
    version = fleet.ctl_json("status", SCOPE)["version"]
    line = service.await_that("the last swap", lambda line: line["serving"] == version, 30)
    seen = line["changes"] - before["changes"]
    took = time.monotonic() - begun
    print(f"{made} swaps in {took:.1f} s; the service saw {seen} contents in "
          f"{line['sections'] - before['sections']} reader sections", flush=True)
    check("swaps were seen", seen > made / 10, f"{seen} of {made}")
    check_sound(line)


def check_sound(line):
    check("sections see one content", line["mixed"] == 0, line)
    check("versions do not fall", line["fallen"] == 0, line)
    check("callbacks see old and new", line["odd_changes"] == 0, line)
    check("readers read", line["sections"] > 1000, line)


def refuse_poison(fleet, service):
    publish(fleet, config(10))
    service.await_that("generation 10", lambda line: line["generation"] == 10)
    publish(fleet, config(11, poison=True))
    line = service.await_that("a refusal", lambda line: line["state"] == 4)
    check("the reason is the validator", line["reason"] == "app_reject", line)
    check("the last good one stays", line["generation"] == 10, line)
    check("accepted and serving differ", line["accepted"] > line["serving"], line)

    def rejected():
        about = {entry["consumer"]: entry for entry in fleet.ctl_json("consumers")["consumers"]}
        entry = about.get(service.id, {})
        return entry if entry.get("state") == "rejected" else None
    entry = fleets.wait_until("the control plane to hear of it", rejected)
    check("the reason is told", entry["reason"] == "app_reject", entry)
    check("status counts it", fleet.ctl_json("status", SCOPE)["rejected"] == 1)
    publish(fleet, config(12))
    line = service.await_that("generation 12", lambda line: line["generation"] == 12)
    fleet.wait_applied()
    print("the validator's no was kept, told and lifted", flush=True)


def inject(fleet, service):
    """Frames from the engine's address that it never sent, or sent before."""
    sock = listener(fleet)
    for generation in (13, 14, 15):
        publish(fleet, config(generation))
        service.await_that(f"generation {generation}", lambda line: line["generation"] == generation)
    frames = heard(sock)
    sock.close()
    frames = [frame for frame, sender in frames if sender[0] == ENGINE]
    heads = [frame for frame in frames if frame[3] == FRAME_HEAD]
    fleet.wait_applied()
    current = service.await_that("durable", lambda line: line["durable"] == line["accepted"])
    old = [head for head in heads if head not in heads[-1:]]
    check("heads were captured", len(heads) >= 3, len(frames))
    chance = random.Random(2)
    forged = [chance.randbytes(chance.randrange(0, 1472)) for _ in range(300)]
    for frame in frames[:100]:
        forged.append(frame[:chance.randrange(len(frame))])
        changed = bytearray(frame)
        changed[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)
        forged.append(bytes(changed))
    for ahead in range(1, 6):  # a version that nobody signed
        head = bytearray(heads[-1])
        struct.pack_into("<Q", head, VERSION_AT, current["accepted"] + ahead)
        forged.append(bytes(head))
    sock = forger(fleet)
    for frame in forged + old * 3:
        for group in groups(fleet):
            sock.sendto(frame, (group, fleets.PORT))
        time.sleep(0.0005)
    # The newest once more, so that the service is known to have seen all.
    publish(fleet, config(16))
    line = service.await_that("generation 16", lambda line: line["generation"] == 16)
    sock.close()
    check("garbage is counted", line["refused"] - current["refused"] >= 300, (current, line))
    check("replayed heads are counted", line["rollback"] > current["rollback"], (current, line))
    check("forged signatures are counted", line["signature"] > current["signature"],
          (current, line))
    check("nothing was swapped by it", line["changes"] == current["changes"] + 1, (current, line))
    generations = [entry["generation"] for entry in service.lines()]
    after = generations[generations.index(16) - 1]
    check("the config before was the last genuine one", after == 15, generations[-5:])
    check_sound(line)
    print(f"{len(forged)} forged and {3 * len(old)} replayed frames in each group: "
          f"{line['refused'] - current['refused']} refused, nothing changed", flush=True)


def restart_alone(fleet, service):
    """Killed, and started with everything else down: it serves from disk, and says so."""
    service.await_that("durable", lambda line: line["durable"] == line["accepted"])
    for process in (service.process, fleet.engine, fleet.control):
        process.kill()
        process.wait()
    fleet.control = None
    service.start()
    line = fleets.wait_until("the first word", service.lines)[0]
    check("it serves at once", line["generation"] == 16, line)
    check("from disk", line["source"] == "disk" and line["datagrams"] == 0, line)
    check("as applied", line["state"] == 3 and line["serving"] == line["accepted"], line)
    service.await_that("staleness is shown", lambda line: line["stale"])
    fleet.start_engine()
    fleet.start_control()
    publish(fleet, config(17))
    service.await_that("generation 17, from the network",
                       lambda line: line["generation"] == 17 and line["source"] == "network")
    fleet.wait_applied()
    print("killed and alone it served from disk before the first packet", flush=True)


def story(fleet, service):
    swap_many(fleet, service)
    refuse_poison(fleet, service)
    inject(fleet, service)
    restart_alone(fleet, service)
    service.process.terminate()
    code = service.process.wait(20)
    check("the service found nothing wrong", code == 0, f"exit {code}")
    check_sound(service.last())


def run():
    fleet = fleets.Fleet(f"svc-{os.getpid()}", SCOPE, 2)
    service = Service(fleet, 1)
    fleet.consumers[0] = service
    run_on(fleet, lambda: story(fleet, service))


if __name__ == "__main__":
    sys.exit(tell(run))
