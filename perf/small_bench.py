"""limits_bench.py small: one small content to every consumer, in turns with plain UDP multicast of the same frames.

Nobody watches while a round runs: the agents' events and the raw receivers' lines carry the times, and are read --gap
seconds after the round began, when all is over.  Who polls them meanwhile takes the processors that are measured.

Bytes are those of Ethernet frames (UDP payload and 42) from the engine's counters, by what they were for.  What it sends by
the clock, whether anything changes or not, is left out and told apart: STATUS, and the FRESH of each second.
"""

import base64
import json
import random
import time

import fleet_bench

HEADERS = 42  # Ethernet, IPv4, UDP
SYMBOL_HEADER = 24
PER_CHANGE = ("head", "content", "page", "source", "parity", "repair_unicast", "repair_other", "repair_multicast",
              "answer", "fresh")


def config_of(size, is_text):
    """A config of about `size` bytes: as JSON when `is_text`, else as coded (six bits of every character are random)."""
    if is_text:
        return json.loads(fleet_bench.config_of(size, 0))
    generator = random.Random(1)
    words, left = {}, size - 60
    while left > 0:
        part = min(left, 360)
        words[f"k{len(words):02}"] = base64.b64encode(generator.randbytes(part)).decode()
        left -= part + 5
    return {"revision": 0, "words": words}


def counters(fleet, name):
    text = fleet.in_engine("curl", "-s", "http://127.0.0.1:9464/metrics")
    return {line.split('"')[1]: int(line.split()[-1]) for line in text.splitlines()
            if line.startswith(f"confcast_engine_sent_{name}_total{{")}


class Sent:
    """What the engine sent since, by kind: Ethernet bytes and frames.  It tells its counters once a second."""

    def __init__(self, fleet):
        self.fleet = fleet
        time.sleep(1.2)
        self.begin_s = time.monotonic()
        self.frames, self.bytes = counters(fleet, "frames"), counters(fleet, "bytes")

    def since(self):
        time.sleep(1.2)
        seconds = time.monotonic() - self.begin_s
        now_frames, now_bytes = counters(self.fleet, "frames"), counters(self.fleet, "bytes")
        frames = {kind: now_frames[kind] - self.frames[kind] for kind in now_frames}
        sent = {kind: now_bytes[kind] - self.bytes[kind] + HEADERS * frames[kind] for kind in now_bytes}
        return frames, sent, seconds


def change(fleet, connection, template, tails, gap_s):
    """One change of one key: seconds from the hand-over until each consumer applied it, ascending."""
    fleet.relay.passed.clear()
    _, _, version = fleet_bench.publish(connection, json.dumps(template))
    time.sleep(gap_s)
    times = fleet_bench.wait_applied(tails, version, 30)
    return sorted((at - fleet.relay.first_ns()) / 1e9 for at in times)


def frames_of(fleet, connection, template, tails, gap_s):
    """The frames that a content goes in when nothing is sent twice, as bench_raw takes them; and its coded bytes."""
    sent = Sent(fleet)
    template["revision"] = 999999
    change(fleet, connection, template, tails, gap_s)
    frames, size, _ = sent.since()
    mean = {kind: size[kind] // frames[kind] - HEADERS for kind in ("head", "content", "page") if frames[kind]}
    coded = size["source"] - frames["source"] * (HEADERS + SYMBOL_HEADER)
    sizes = [(each, 1) for each in mean.values()]
    whole, rest = divmod(coded, 1440)
    sizes += [(1440 + SYMBOL_HEADER, whole)] if whole else []
    sizes += [(rest + SYMBOL_HEADER, 1)] if rest else []
    return sizes, coded or mean["head"]


def run(args, fleet, raw_of, show, at):
    connection = fleet_bench.UnixConnection(fleet.socket)
    template = config_of(args.size, args.text)
    tails = [fleet_bench.Tail(consumer.events_path) for consumer in fleet.consumers]
    fleet_bench.publish(connection, json.dumps(template))
    fleet.wait_applied()
    for number in range(8):  # caches, and what the first change alone costs
        template["revision"] = 900000 + number
        change(fleet, connection, template, tails, args.gap)
    sizes, coded = frames_of(fleet, connection, template, tails, args.gap)
    rounds, limit = [], []
    raw = raw_of(fleet)
    sent = Sent(fleet)
    try:
        for number in range(args.rounds):
            template["revision"] = number
            rounds.append([seconds * 1e3 for seconds in change(fleet, connection, template, tails, args.gap)])
            limit.append(raw.send(sizes, wait_s=args.gap)[0] * 1e3)
    finally:
        raw.close()
    frames, size, seconds = sent.since()
    periodic_fresh = min(frames["fresh"], round(seconds))
    clock = {"status": size["status"], "fresh": periodic_fresh * size["fresh"] / max(1, frames["fresh"])}
    size["fresh"] -= clock["fresh"]
    spent = {kind: size[kind] / args.rounds for kind in PER_CHANGE if size.get(kind)}
    ours = [times[-1] for times in rounds]
    case = f"{args.size} B, {args.consumers} consumers, loss {args.loss:g} %" + (", text" if args.text else "")
    show("small", f"{case}: raw and Ed25519, ms", p50=at(limit, .5), p99=at(limit, .99), frames=sum(n for _, n in sizes))
    show("small", f"{case}: hand-over to applied by all, ms", p50=at(ours, .5), p99=at(ours, .99), min=min(ours))
    show("small", f"{case}: hand-over to applied, median of the nth consumer, ms",
         **{f"n{n + 1}": at([times[n] for times in rounds], .5) for n in range(args.consumers)})
    show("small", f"{case}: all / raw", p50=at(ours, .5) / at(limit, .5), p99=at(ours, .99) / at(limit, .99))
    show("small", f"{case}: Ethernet bytes of a change / coded bytes", ratio=sum(spent.values()) / coded, coded=coded)
    show("small", f"{case}: Ethernet bytes of a change, by kind", **spent)
    show("small", f"{case}: by the clock, Ethernet bytes a second",
         **{kind: value / seconds for kind, value in clock.items()})
