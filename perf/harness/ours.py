"""Our side: real daemons in the topology.  confcastd and its publisher at the control host, confcast-dataplane over net_af_packet at the sender's
host, a confcast-agent at each receiver's.

A payload becomes a JSON document whose text holds its bytes as base64, so that zstd takes the base64 off again and nothing more: what goes over
the wire is as many bytes as the payload has.  Time begins when the first message of a change passes from confcastd to the engine, and ends with the
last receiver's `applied`: decoded, checked, validated, indexed and visible to readers.

Receivers are hosts of their own and do not share a disk: what they keep lies in memory, unless is_on_disk is given."""

import base64
import hashlib
import http.client
import json
import os
import shutil
import socket
import struct
import threading
import time

from harness import topology as topologies
from harness.rows import RowError
from harness.side import OBJECT, Outcome, Side

fleets = topologies.fleets
SCOPE = "bench/service/prod"
ARENA, CONTENT, HEAD = 3, 4, 6  # protocol/handoff/handoff.h
METRICS = "127.0.0.1:9464"
PIECE = 48 << 10  # bytes of payload in one string of the document
APPLY_TIMEOUT_S = 60
QUIET_S = 0.02
BY_THE_CLOCK = ("status", "fresh", "answer")  # kinds of frames that go on their own time, whether anything changes or not
HEADERS = 42  # Ethernet, IPv4, UDP
TOLD_EVERY_S = 1.2  # the engine's counters


class Relay:
    """Between confcastd and the engine; notes when what is to be sent passes."""

    def __init__(self, path, engine_path):
        self.engine_path = engine_path
        self.passed = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(1)
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def serve(self):
        while True:
            try:
                control, _ = self.listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                engine.connect(self.engine_path)
            except OSError:  # the fleet comes down
                control.close()
                continue
            threading.Thread(target=self.copy, args=(control, engine, True), daemon=True).start()
            threading.Thread(target=self.copy, args=(engine, control, False), daemon=True).start()

    def copy(self, source, sink, is_down):
        try:
            while True:
                packet, ancillary, _, _ = source.recvmsg(16384, 256)
                if not packet:
                    break
                number = struct.unpack_from("<H", packet, 4)[0]
                if is_down and number in (ARENA, CONTENT, HEAD):
                    self.passed.append((time.time_ns(), number))
                sink.sendmsg([packet], ancillary)
                for _, _, data in ancillary:
                    for fd in struct.unpack(f"{len(data) // 4}i", data):
                        os.close(fd)
        except OSError:
            pass  # the fleet comes down
        finally:
            try:
                sink.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def first_ns(self):
        return self.passed[0][0]


class SharedBed:
    """The topology's bed as a fleet sees it: already up, and not the fleet's to take down."""

    def __init__(self, topology):
        self.topology = topology
        self.prefix = topology.bed.prefix
        self.consumer = topology.bed.consumer

    def up(self, *_):
        pass

    def down(self):
        pass

    def namespaces(self):
        return []


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(120)
        self.sock.connect(self.path)


class Tail:
    """Reads an agent's new `applied` events, whole lines only."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.rest = b""

    def applied(self):
        lines = (self.rest + self.file.read()).split(b"\n")
        self.rest = lines.pop()
        return {event["version"]: event for event in map(json.loads, lines) if event["event"] == "applied"}


class BenchFleet(fleets.Fleet):
    """A fleet in a topology that others use as well.  Consumers start when they are wanted."""

    def __init__(self, topology, engine_args=(), is_on_disk=False, scope=SCOPE):
        super().__init__(f"{topology.bed.prefix}-f", scope, topology.count, build=topology.build,
                         engine_args=["--metrics", METRICS, *engine_args])
        self.topology = topology
        self.bed = SharedBed(topology)
        for consumer, netns in zip(self.consumers, topology.receivers):
            consumer.netns = netns
        self.children = []
        self.relay = None
        self.tails = []
        self.memory = None
        self.starts = 0
        self.released_at = 0.0
        if not is_on_disk:
            self.memory = topologies.make_folder(in_memory=True)
            for consumer in self.consumers:
                consumer.folder = os.path.join(self.memory, consumer.id)
                consumer.state_dir = os.path.join(consumer.folder, "state")
                consumer.credential = os.path.join(consumer.folder, "credential.json")
                consumer.events_path = os.path.join(consumer.folder, "events.jsonl")

    def spawn(self, netns, command, stdout):
        child = super().spawn(netns, command, stdout)
        self.children.append(child)
        self.topology.children.append(child)
        return child

    def up(self):
        os.mkdir(self.folder, 0o700)
        self.make_keys()
        self.start_engine()
        self.start_control()
        self.connection = UnixConnection(self.socket)

    def start_control(self):
        engine_path = self.engine_socket
        self.engine_socket = os.path.join(self.folder, "relay.sock")
        self.relay = Relay(self.engine_socket, engine_path)
        super().start_control()
        self.engine_socket = engine_path

    def down(self):
        fleets.testbed.end_processes({child.pid for child in self.children})
        for child in self.children:
            child.wait()
        if self.relay:
            self.relay.close()
        for tail in self.tails:
            tail.file.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.memory:
            shutil.rmtree(self.memory, ignore_errors=True)

    def run_consumers(self, count):
        """Starts or ends agents until the first `count` run and serve what is published."""
        self.starts += 1
        version = self.publish(f'{{"start":{self.starts}}}')[2]  # those that join need not fetch the last big object
        for number, consumer in enumerate(self.consumers):
            if number < count and consumer.process is None:
                consumer.start()
            elif number >= count and consumer.process is not None:
                self.topology.stop(consumer.process)
                consumer.process = None
        self.active = self.consumers[:count]
        fleets.wait_until("the first version", lambda: all(any(event["version"] == version for event in c.events("applied")) for c in self.active),
                          APPLY_TIMEOUT_S)
        for tail in self.tails:
            tail.file.close()
        self.tails = [Tail(consumer.events_path) for consumer in self.active]
        for tail in self.tails:
            tail.applied()

    def request(self, method, path, body):
        self.connection.request(method, path, body.encode())
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RowError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return json.loads(text)

    def put(self, body, scope=None):
        self.connection.close()  # the daemon closes those that were idle while others took their turns; a new one opens by itself
        return self.request("PUT", f"/v1/config/{scope or self.scope}", body)

    def release(self, body='{"action":"promote"}', scope=None):
        answer = self.request("POST", f"/v1/release/{scope or self.scope}", body)
        self.released_at = time.monotonic()
        return answer

    def publish(self, body):
        """(unix ns before the promotion was asked for, unix ns after its answer, its version)"""
        self.put(body)
        sent_ns = time.time_ns()
        answer = self.release()
        return sent_ns, time.time_ns(), answer["version"]

    def wait_version(self, version, timeout_s=APPLY_TIMEOUT_S):
        """The `applied` events of a version, one per active consumer."""
        events = [None] * len(self.tails)
        deadline = time.monotonic() + timeout_s
        time.sleep(QUIET_S)  # events carry their times: nobody polls on processors that are measured
        while None in events:
            for number, tail in enumerate(self.tails):
                if events[number] is None:
                    events[number] = tail.applied().get(version)
            if None in events:
                if time.monotonic() > deadline:
                    late = [c.id for c, event in zip(self.active, events) if event is None]
                    raise RowError(f"version {version} is not at {' '.join(late)} after {timeout_s} s")
                time.sleep(0.01)
        return events

    def check(self, events, text, number):
        """All receivers hold the same content, and consumer `number` has exactly the text in it.  A consumer applies a content only when its
        bytes match the digest that names it, so the same name says the same bytes."""
        if len({event["content"] for event in events}) != 1:
            raise RowError("receivers hold different contents")
        consumer = self.active[number % len(self.active)]
        held = self.run(["confcast-agent", "get", "--state-dir", consumer.state_dir, self.scope], check=True).stdout.rstrip("\n")
        if hashlib.sha256(held.encode()).digest() != hashlib.sha256(text.encode()).digest():
            raise RowError(f"{consumer.id} holds something else than what was put")

    def sent_for_changes(self):
        """{kind: (frames, Ethernet bytes)} that the engine has sent for changes, when it has had time to tell."""
        time.sleep(max(0.0, self.released_at + TOLD_EVERY_S - time.monotonic()))
        text = self.topology.run(self.topology.sender, ["curl", "-s", f"http://{METRICS}/metrics"])

        def counters(what):
            start = f"confcast_engine_sent_{what}_total{{"
            return {line.split('"')[1]: int(line.split()[-1]) for line in text.splitlines() if line.startswith(start)}

        frames, sizes = counters("frames"), counters("bytes")
        return {kind: (frames[kind], sizes[kind] + HEADERS * frames[kind]) for kind in frames if kind not in BY_THE_CLOCK}


def document_of(payload):
    """The payload as canonical JSON."""
    pieces = [base64.b64encode(payload.data[at:at + PIECE]).decode() for at in range(0, payload.size, PIECE)]
    return '{"blobs":["' + '","'.join(pieces) + '"]}'


class Ours(Side):
    name = "ours"
    settings = "net_af_packet; unshaped --rate 0, shaped --rate 960; receivers' state in memory"

    def __init__(self):
        self.fleet = None
        self.rounds = 0
        self.is_shaped = None

    def start(self, ctx, topology, receivers, work, loss, is_shaped):
        if self.fleet is None or is_shaped != self.is_shaped:
            self.close()
            rate = topologies.SHAPED_UDP_MBIT if is_shaped else 0
            self.fleet = BenchFleet(topology, ["--rate", str(rate)])
            self.is_shaped = is_shaped
            self.fleet.up()
        try:
            self.fleet.run_consumers(receivers)
        except fleets.FleetError as error:
            self.fleet.print_logs()
            raise RowError(str(error)) from error

    def stop(self):
        """The fleet stays for the next count of receivers; close() ends it."""

    def close(self):
        if self.fleet is not None:
            self.fleet.down()
            self.fleet = None

    def send(self, payload):
        text = document_of(payload)
        self.fleet.put(text)
        self.fleet.relay.passed.clear()
        version = self.fleet.release()["version"]
        events = self.fleet.wait_version(version)
        seconds = (max(event["time_unix_ns"] for event in events) - self.fleet.relay.first_ns()) / 1e9
        self.rounds += 1
        self.fleet.check(events, text, self.rounds)
        return Outcome(seconds)


__all__ = ["OBJECT", "Ours", "BenchFleet"]
