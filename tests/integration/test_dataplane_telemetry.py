#!/usr/bin/env python3
"""What a running engine tells of itself: rte_telemetry and Prometheus text say what was really sent, asked for and
reported, with a control plane and without one.

usage: test_dataplane_telemetry.py [UNITTEST-ARGUMENT...]"""

import http.client
import os
import re
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dataplane_bed as bed  # noqa: E402
from namespace import in_namespace  # noqa: E402
from test_dataplane import ENGINE, PREFIX, Case, run, run_suite  # noqa: E402

PORT = 9464
SAMPLE = re.compile(r'^(confcast_engine_[a-z_]+)(\{[a-z]+="[^"]*"\})? ([0-9.e+-]+)$')


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=5)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(5)
        self.sock.connect(self.path)


def request(connection, method="GET", path="/metrics"):
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.getheader("Content-Type"), body


def parse(text):
    """Samples by name and label, having checked every line of the exposition."""
    samples = {}
    described = set()
    for line in text.splitlines():
        if line.startswith("# "):
            described.add(line.split()[2])
            continue
        match = SAMPLE.match(line)
        assert match, line
        base = re.sub(r"_(bucket|sum|count)$", "", match[1])
        assert match[1] in described or base in described, line
        assert (match[1], match[2]) not in samples, line
        samples[match[1], match[2]] = float(match[3])
    return {name[16:] + (label or ""): value for (name, label), value in samples.items()}


class Telemetry(Case):
    def start(self, *args):
        """An engine with something sent, a consumer repaired and a report heard."""
        self.frames = bed.Frames()
        engine = self.engine(*args)
        self.live_control = self.deliver(engine, self.frames, self.receiver())
        done = run(f"{PREFIX}-c2", bed.PEER, "consumer", bed.ENGINE_IP, str(bed.PORT), bed.SESSION_KEY, "host-1",
                   self.frames.folder)
        answer = bed.json.loads(done.stdout)
        self.assertTrue(answer["repaired"] and answer["echoed"])
        time.sleep(1.2)  # the snapshot is a second old at most
        return engine

    def test_telemetry_tells_what_waits_how_long_news_took_and_how_far_a_scope_is(self):
        engine = self.start()
        stats = engine.telemetry("/confcast/stats")
        self.assertEqual(stats["nacks"], 1)
        self.assertEqual(stats["repairs_unicast"], 3)
        self.assertGreater(stats["bytes"]["repair_unicast"], 3 * self.frames.symbol_size)
        self.assertEqual(stats["contents_sent"], 1)
        queues = engine.telemetry("/confcast/queues")
        self.assertEqual((queues["heads"], queues["contents"], queues["fleet_size"]), (1, 1, 2))
        self.assertEqual(queues["passes_news"] + queues["passes_rest"] + queues["port"], 0)
        self.assertEqual(queues["pacing_rate_bytes"], 62500000)
        loss = engine.telemetry("/confcast/loss")
        self.assertEqual((loss["state"], loss["rate_bytes"], loss["floor_bytes"]), ("free", 62500000, 62500000 // 16))
        latency = engine.telemetry("/confcast/latency")
        self.assertEqual(len(latency["bounds_us"]) + 1, len(latency["content"]["counts"]))
        self.assertEqual(latency["content"]["count"], sum(latency["content"]["counts"]))
        self.assertEqual(latency["content"]["count"], 1)
        # 432,000 bytes at 62.5 MB/s are 7 ms, less what the bucket held.
        self.assertGreater(latency["content"]["sum_us"], 4000)
        self.assertGreaterEqual(latency["content"]["sum_us"], latency["head"]["sum_us"])
        scope = engine.telemetry("/confcast/scope,acme/web")
        self.assertEqual((scope["epoch"], scope["version"]), (1, 1))
        self.assertEqual(scope["coding_0"]["content"], self.frames.content_id.hex())
        self.assertEqual(scope["coding_0"]["symbols"], self.frames.symbol_count)
        self.assertEqual(scope["coding_0"]["symbols_done"], self.frames.symbol_count)
        self.assertEqual(scope["coding_0"]["sent_groups"], 1 << scope["group"])
        self.assertEqual(engine.telemetry("/confcast/scope,acme/none"), {"error": "not_found"})
        self.assertEqual(engine.telemetry("/confcast/scope"), {"error": "invalid"})

    def test_prometheus_gets_the_same_counters_while_the_control_plane_is_gone(self):
        engine = self.start("--metrics", f"127.0.0.1:{PORT}")
        self.live_control.close()
        engine.wait_for_log("control plane: gone")
        time.sleep(1.2)

        def ask(method="GET", path="/metrics"):
            return in_namespace(ENGINE, lambda: request(
                http.client.HTTPConnection("127.0.0.1", PORT, timeout=5), method, path))

        status, kind, text = ask()
        self.assertEqual((status, kind.split(";")[0]), (200, "text/plain"))
        samples = parse(text)
        stats = engine.telemetry("/confcast/stats")
        self.assertEqual(samples["control_connected"], 0)
        self.assertEqual(samples["control_connections_total"], 1)
        self.assertEqual(samples["nacks_total"], stats["nacks"])
        self.assertEqual(samples['sent_frames_total{kind="repair_unicast"}'], 3)
        self.assertEqual(samples['sent_frames_total{kind="source"}'], self.frames.symbol_count)
        self.assertEqual(samples['sent_bytes_total{kind="source"}'],
                         len(self.frames.coded) + 24 * self.frames.symbol_count)
        self.assertEqual(samples["reports_total"], 1)
        self.assertEqual(samples["consumers"], 1)
        self.assertEqual(samples["content_seconds_count"], 1)
        self.assertEqual(samples['content_seconds_bucket{le="+Inf"}'], 1)
        self.assertEqual(samples['content_seconds_bucket{le="30"}'], 1)
        self.assertGreater(samples["content_seconds_sum"], 0.004)
        self.assertEqual(samples["pacing_rate_bytes"], 62500000)
        self.assertEqual(samples["pacing_floor_bytes"], 62500000 // 16)
        self.assertEqual(samples['pacing_state{state="free"}'], 1)
        self.assertEqual(samples['receiver_loss{quantile="0.9"}'], 0)
        self.assertEqual(samples["loss_reporters"], 0)
        self.assertEqual(ask("HEAD")[0], 200)
        self.assertEqual(ask(path="/")[0], 404)
        self.assertEqual(ask("POST")[0], 405)
        self.assertEqual(engine.stop(), 0)

    def test_prometheus_text_comes_through_a_unix_socket_too(self):
        path = os.path.join(bed.FOLDER, "metrics.sock")
        engine = self.engine("--metrics", path)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o660)
        self.assertEqual(parse(request(UnixConnection(path))[2])["link_up"], 1)
        # A second engine does not take it; one that comes after a kill does.
        with self.assertRaisesRegex(AssertionError, "Address already in use"):
            self.engine("--metrics", path)
        engine.kill()
        again = self.engine("--metrics", path)
        self.assertEqual(request(UnixConnection(path))[0], 200)
        self.assertEqual(again.stop(), 0)
        self.assertFalse(os.path.exists(path))

    def test_slow_clients_hold_up_neither_sending_nor_the_engine_s_end(self):
        path = os.path.join(bed.FOLDER, "slow.sock")
        engine = self.engine("--metrics", path)
        clients = []
        for _ in range(20):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            client.settimeout(0.2)
            self.addCleanup(client.close)
            try:
                client.connect(path)
                client.send(b"GET /metr")
            except OSError:
                pass
            clients.append(client)
        frames = bed.Frames()
        self.deliver(engine, frames, self.receiver())
        self.assertEqual(engine.stop(), 0)

    def test_an_address_that_is_none_is_refused(self):
        for where in ("localhost:9464", "127.0.0.1", "::1:9464", "127.0.0.1:x", "[::1]:99999x", "/" + "x" * 200):
            with self.assertRaisesRegex(AssertionError, "--metrics"):
                self.engine("--metrics", where)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(run_suite(sys.argv[1:], ["Telemetry"]))
