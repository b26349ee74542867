"""What a crowd asks of a real engine and a real control plane: thousands of the library's own receivers in one process (perf/swarm.c) at one
receiver's host, each with its keys, an address and a socket of its own.

It shows the load of HELLOs, reports and NACKs, and that the control plane's count becomes complete; not delivery, since one socket hears for all.
The crowd takes one of two cores, so that its times hold its own work as well; the processor time of engine and control plane does not."""

import json
import subprocess
import time

from harness.ours import METRICS, SCOPE, BenchFleet
from harness.rows import OURS, Figure, Row, RowError, Sample
from harness.topology import cpu_ns_of

ADDRESSES = "10.78.0.0/16"
FIRST_ADDRESS = "10.78.0.1"
BIG_SIZE = 8 << 10  # bytes of random text: a handful of frames
LOSS_PPM = 10000
TIMEOUT_S = 60.0
POLL_S = 0.02
EXPORT_S = 1.1  # until the engine's metrics hold what was


class Crowd:
    def __init__(self, ctx, topology, fleet, count):
        netns = topology.receivers[0]
        topology.run(netns, ["ip", "route", "replace", "local", ADDRESSES, "dev", "lo"])
        self.topology, self.fleet, self.count = topology, fleet, count
        self.child = topology.start(netns, [
            ctx.program("swarm"), "--fleet", fleet.fleet_file, "--session-key", f"{fleet.keys}/session.key", "--report-key",
            f"{fleet.keys}/report.key", "--scope", SCOPE, "--interface", "eth0", "--addresses", FIRST_ADDRESS, "--receivers", count],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tell(self, order):
        self.child.stdin.write(f"{order}\n".encode())
        self.child.stdin.flush()

    def status(self):
        self.tell("status")
        line = self.child.stdout.readline()
        if not line:
            raise RowError("the swarm ended")
        return json.loads(line)

    def close(self):
        self.topology.stop(self.child)
        self.child.stdin.close()
        self.child.stdout.close()


class Phase:
    """What happened since it began."""

    def __init__(self, crowd):
        self.crowd = crowd
        self.before = self.totals()
        self.begin = time.monotonic()

    def totals(self):
        crowd = self.crowd
        totals = {f"swarm {name}": value for name, value in crowd.status().items() if isinstance(value, int)}
        text = crowd.topology.run(crowd.topology.sender, ["curl", "-s", f"http://{METRICS}/metrics"])
        for line in text.splitlines():
            if line.startswith("confcast_engine_") and "{" not in line:
                name, value = line.split()
                totals[name] = float(value)
        totals["engine cpu"] = cpu_ns_of(crowd.fleet.engine.pid) / 1e9
        totals["control cpu"] = cpu_ns_of(crowd.fleet.control.pid) / 1e9
        return totals

    def wait(self, version):
        """(seconds until all serve it, seconds until the control plane counts all of them)"""
        crowd, served = self.crowd, None
        while True:
            seconds = time.monotonic() - self.begin
            if served is None:
                status = crowd.status()
                served = seconds if status["serving"] == crowd.count and status["version"] >= version and status["linked"] == crowd.count else None
            else:
                applied = crowd.fleet.request("GET", f"/v1/status/{SCOPE}", "")["applied"]
                if applied == crowd.count:
                    return served, seconds
            if seconds > TIMEOUT_S:
                raise RowError(f"after {TIMEOUT_S:.0f} s: {crowd.status()}, {crowd.fleet.request('GET', f'/v1/status/{SCOPE}', '')}")
            time.sleep(POLL_S)

    def samples(self, case, version, is_counted=True):
        served, counted = self.wait(version)
        time.sleep(EXPORT_S)
        after = self.totals()
        since = {name: value - self.before.get(name, 0) for name, value in after.items()}
        count = self.crowd.count
        if since.get("swarm overflows"):
            raise RowError("the swarm's multicast socket was too small")
        yield Sample(case, "all serve", OURS, served)
        if is_counted:
            yield Sample(case, "all counted", OURS, counted)
            yield Sample(case, "counted", OURS, count / counted)
        yield Sample(case, "engine CPU", OURS, since["engine cpu"])
        yield Sample(case, "control CPU", OURS, since["control cpu"])
        yield Sample(case, "HELLOs", OURS, since["swarm hellos"] / count)
        yield Sample(case, "reports", OURS, since["swarm reports"] / count)
        yield Sample(case, "NACKs", OURS, since["swarm nacks"] / count)
        yield Sample(case, "NACKs heard", OURS, since["confcast_engine_nacks_total"] / count)
        yield Sample(case, "entries suppressed", OURS, since["confcast_engine_nack_entries_suppressed_total"] / count)
        yield Sample(case, "frames out", OURS, since["confcast_engine_frames_out_total"] / count)


class Swarm(Row):
    name = "swarm"
    title = "10,000 real receivers in one process on a real engine and control plane: load of HELLOs, reports and NACKs (not delivery)"
    figures = (Figure("all serve", "s"), Figure("all counted", "s"), Figure("engine CPU", "s"), Figure("control CPU", "s"),
               Figure("HELLOs", "per receiver"), Figure("reports", "per receiver"), Figure("counted", "receivers/s"),
               Figure("NACKs", "per receiver"), Figure("NACKs heard", "per receiver"), Figure("entries suppressed", "per receiver"),
               Figure("frames out", "per receiver"))
    seconds = 15
    count = 10000

    def run(self, ctx):
        topology = ctx.topology()
        fleet = BenchFleet(topology)
        crowd = None
        try:
            fleet.up()
            _, _, version = fleet.publish('{"round":0}')
            crowd = Crowd(ctx, topology, fleet, self.count)
            yield from Phase(crowd).samples("all join at once", version)
            for number in range(1, 1 + ctx.rounds(1, 5)):
                phase = Phase(crowd)
                version = fleet.publish(json.dumps({"round": number}))[2]
                yield from phase.samples("a small change", version)
            crowd.tell(f"loss {LOSS_PPM}")
            for number in range(ctx.rounds(1, 5)):
                text = "".join(f"{number * 99991 + i * 2654435761 & 0xffffffff:08x}" for i in range(BIG_SIZE // 4))
                phase = Phase(crowd)
                version = fleet.publish(json.dumps({"text": text}))[2]
                yield from phase.samples("8 KiB, each receiver loses 1 %", version)
            crowd.tell("loss 0")
            phase = Phase(crowd)
            crowd.tell("restart")
            yield from phase.samples("all restart at once", version, is_counted=False)
        finally:
            if crowd is not None:
                crowd.close()
            fleet.down()
            topology.run(topology.receivers[0], ["ip", "route", "flush", "root", ADDRESSES, "table", "local"])


ROWS = [Swarm()]
