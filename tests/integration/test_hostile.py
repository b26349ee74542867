#!/usr/bin/python3
"""Clients that mean harm, and secrets that must not get out, on a real confcastd: floods, endless and slow bodies, web pages,
headers given twice, a crash with core dumps enabled, the daemon's memory; and the audit log's chain, recomputed by itself."""

import concurrent.futures
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from control import Daemon, DaemonCase, ctl, read_all, wait_until
from certificates import make_ca, make_cert

MIB = 1 << 20


def memory_kib(process, what="VmHWM"):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return int(re.search(what + r":\s+(\d+) kB", file.read()).group(1))


def read_file(*path):
    with open(os.path.join(*path), encoding="ascii") as file:
        return file.read()


class Floods(DaemonCase):
    options = ("--require-auth", "--rate-limit", "5", "--request-timeout-ms", "1500", "--document-max-bytes", str(MIB))

    def make(self, roles=("author", "viewer")):
        reply = self.daemon.request("POST", "/v1/tokens", {"identity": self.tenant, "roles": roles, "scope": "*"}, unix=True)
        return {"Authorization": "Bearer " + self.good(reply)["token"]}

    def test_an_identity_beyond_its_rate_gets_429_and_others_do_not(self):
        slow = self.make()
        DaemonCase.setUp(self)
        other = self.make()
        replies = [self.daemon.request("GET", "/v1/status", headers=slow) for _ in range(12)]
        statuses = [reply.status for reply in replies]
        self.assertEqual(statuses[:5], [200] * 5)
        self.assertIn(429, statuses)
        late = replies[statuses.index(429)]
        self.assertEqual((late.code, late.headers["Retry-After"]), ("rate", "1"))
        self.good(self.daemon.request("GET", "/v1/status", headers=other))
        for _ in range(12):
            self.good(self.daemon.request("GET", "/v1/status", unix=True))
            self.good(self.daemon.get("/healthz"))
        time.sleep(1.1)
        self.good(self.daemon.request("GET", "/v1/status", headers=slow))
        metrics = self.daemon.request("GET", "/metrics", unix=True).body.decode()
        self.assertRegex(metrics, r'confcast_access_denied_total\{reason="rate"\} [1-9]')
        self.assertRegex(metrics, r'confcast_http_requests_total\{code="429"\} [1-9]')

    @staticmethod
    def take(sock):
        """What has come so far; None when nothing has and the connection is open."""
        sock.setblocking(False)
        try:
            return sock.recv(4096)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""

    def test_one_address_cannot_take_all_connections(self):
        held = []
        try:
            for _ in range(200):
                held.append(socket.create_connection(("127.0.0.1", self.daemon.port), timeout=5))
            wait_until(lambda: b'reason="connections"} 0' not in self.daemon.request("GET", "/metrics", unix=True).body)
            time.sleep(0.2)
            answers = [self.take(sock) for sock in held]
            # From another address of loopback there is room.
            sock = socket.create_connection(("127.0.0.1", self.daemon.port), timeout=5, source_address=("127.0.0.9", 0))
            with sock:
                sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                self.assertTrue(read_all(sock).startswith(b"HTTP/1.1 200"))
        finally:
            for sock in held:
                sock.close()
        self.assertTrue(any((answer or b"").startswith(b"HTTP/1.1 429 ") for answer in answers), answers[-3:])
        self.assertFalse(any((answer or b"").startswith(b"HTTP/1.1 429 ") for answer in answers[:64]), answers[:3])
        wait_until(lambda: self.daemon.get("/healthz").status == 200)

    def test_denials_are_logged_once_a_second_and_counted_all(self):
        before = len([line for line in self.daemon.log if " access denied " in line])
        start = time.monotonic()
        for _ in range(300):
            self.refused(self.daemon.get("/v1/status"), 401)
        spent_s = time.monotonic() - start
        lines = [line for line in self.daemon.log if " access denied " in line][before:]
        self.assertLessEqual(len(lines), spent_s + 2)
        time.sleep(1.1)
        self.refused(self.daemon.get("/v1/status"), 401)
        wait_until(lambda: any(re.search(r"reason=no_credential who=- at=127\.0\.0\.1 unlogged=[1-9]", line)
                               for line in self.daemon.log))

    def endless(self, headers):
        """Sends chunks until the daemon has had enough; the bytes that were sent."""
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        sent = 0
        with socket.create_connection(("127.0.0.1", self.daemon.port), timeout=20) as sock:
            try:
                sock.sendall(f"PUT /v1/config/{self.tenant} HTTP/1.1\r\nHost: x\r\nAuthorization: {headers['Authorization']}\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n".encode())
                while sent < 32 * MIB:
                    sock.sendall(chunk)
                    sent += len(chunk)
            except OSError:
                pass
        return sent

    def test_endless_bodies_are_cut_off_and_memory_stays_flat(self):
        headers = [self.make() for _ in range(8)]
        self.endless(headers[0])
        before = memory_kib(self.daemon.process)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            sent = list(pool.map(self.endless, headers * 2))
        grown = memory_kib(self.daemon.process) - before
        self.assertLess(max(sent), 16 * MIB)
        self.assertGreater(sum(sent), 32 * MIB)
        # 16 bodies of at most 1 MiB are held at once, and as much again while they grow.
        self.assertLess(grown, 40 * 1024, f"{grown} KiB for {sum(sent) // MIB} MiB")
        self.good(self.daemon.get("/healthz"))

    def test_slow_bodies_hold_what_they_sent_and_end(self):
        token = self.make()["Authorization"]
        before = memory_kib(self.daemon.process, "VmRSS")
        slow = []
        try:
            # Each announces a whole MiB and sends 20 KiB of it.
            for _ in range(4):
                sock = socket.create_connection(("127.0.0.1", self.daemon.port), timeout=20)
                slow.append(sock)
                sock.sendall(f"PUT /v1/config/{self.tenant} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
                             f"Content-Length: {MIB}\r\n\r\n".encode() + b" " * 20480)
            time.sleep(0.5)
            self.assertLess(memory_kib(self.daemon.process, "VmRSS") - before, 2 * 1024)
            for sock in slow:
                self.assertTrue(read_all(sock).startswith(b"HTTP/1.1 408 "))
        finally:
            for sock in slow:
                sock.close()

    def test_who_may_not_is_told_before_the_body_is_taken(self):
        reader = self.make(["viewer"])["Authorization"]
        for target, header in (("/v1/config/a", ""), ("/v1/batch", ""), ("/v1/config/a", f"Authorization: {reader}\r\n"),
                               ("/v1/batch", f"Authorization: {reader}\r\n")):
            with self.subTest(target=target, header=header[:20]):
                method = "POST" if "batch" in target else "PUT"
                answer = self.daemon.raw(f"{method} {target} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n{header}"
                                         f"Content-Length: {MIB}\r\n\r\n".encode())
                self.assertTrue(answer.startswith(b"HTTP/1.1 403 " if header else b"HTTP/1.1 401 "), answer)


class WebPages(DaemonCase):
    def test_requests_of_web_pages_are_refused_where_loopback_is_the_only_guard(self):
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example:7400"}):
            with self.subTest(headers=headers):
                self.refused(self.daemon.put(self.tenant, "{}", headers=headers), 403, "forbidden")
                self.refused(self.daemon.request("GET", "/v1/status", headers=headers), 403)
        for headers in ({"Host": "localhost"}, {"Host": "127.0.0.1:1"}, {"Host": "[::1]"}):
            self.good(self.daemon.put(self.tenant, "{}", headers=headers))
        self.refused(self.daemon.request("GET", "/v1/status", headers={"Origin": "x"}, unix=True), 403)
        self.good(self.daemon.request("GET", "/v1/status", headers={"Host": "any.example"}, unix=True))
        self.refused(self.daemon.get(f"/v1/config/{self.tenant}", revision=4), 404)

    def test_headers_that_count_come_once(self):
        for name, value in (("Authorization", "Bearer x"), ("Confcast-Author", "ann"), ("Idempotency-Key", "k"),
                            ("Host", "x"), ("Content-Length", "2")):
            with self.subTest(name=name):
                answer = self.daemon.raw(f"PUT /v1/config/{self.tenant} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                         f"Content-Length: 2\r\n{name}: {value}\r\n{name}: {value}\r\n\r\n{{}}".encode())
                self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
        self.refused(self.daemon.get(f"/v1/config/{self.tenant}"), 404)

    def test_two_lengths_are_not_read_in_two_ways(self):
        # A length beside chunks is how a request is smuggled past a proxy (RFC 9112, 6.1).
        answer = self.daemon.raw(f"PUT /v1/config/{self.tenant} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
                                 "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n".encode()
                                 + b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(answer.count(b"HTTP/1.1 "), 1, answer)
        self.assertFalse(answer.startswith(b"HTTP/1.1 200 "), answer)


class Secrets(unittest.TestCase):
    """The keys of a fleet, a TLS key and a token, against logs, memory and a crash."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="confcast-secret-")
        keys = os.path.join(cls.folder, "keys")
        made = ctl("key", "init", "--dir", keys, "--fleet", "f", "--group-base", "239.77.1.0", "--group-count", "4",
                   "--port", "7500", "--engine", "10.77.0.1:7500")
        assert made.returncode == 0, made.stderr
        make_ca(cls.folder, "ca")
        make_cert(cls.folder, "ca", "server", "server")
        cls.daemon = Daemon(cls.folder, "--keys", keys, "--engine-socket", os.path.join(cls.folder, "engine.sock"),
                            "--tls-cert", os.path.join(cls.folder, "server.pem"), "--tls-key",
                            os.path.join(cls.folder, "server.key"), "--require-auth", "--log-level", "debug")
        # A core file, if there is to be one, is written here.
        cls.daemon.wrapper = ["bash", "-c", f'cd "{cls.folder}"; ulimit -c unlimited; exec "$@"', "bash"]
        cls.daemon.start()
        reply = cls.daemon.request("POST", "/v1/tokens", {"identity": "ann", "roles": ["author"], "scope": "*"}, unix=True)
        cls.token = reply.json["token"]
        cls.release = read_file(keys, "release.key").split()[2]
        cls.report = read_file(keys, "report.key").split()[2]
        cls.tls = read_file(cls.folder, "server.key").splitlines()[2]

    @classmethod
    def tearDownClass(cls):
        cls.daemon.kill()
        shutil.rmtree(cls.folder)

    def secrets(self):
        return {"token": self.token[22:].encode(), "release": self.release.encode(), "report": self.report.encode(),
                "tls": self.tls.encode(), "release seed": bytes.fromhex(self.release),
                "digest": hashlib.sha256(self.token.encode()).hexdigest().encode()}

    def regions(self):
        """(from, to, flags) of what the daemon can write."""
        found = []
        with open(f"/proc/{self.daemon.process.pid}/smaps", encoding="ascii", errors="replace") as file:
            for line in file:
                match = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line)
                if match:
                    region = [int(match[1], 16), int(match[2], 16), match[3]]
                elif line.startswith("VmFlags:") and "w" in region[2]:
                    found.append((region[0], region[1], line.split()[1:]))
        return found

    def where(self, secret):
        """Flags of the regions that hold it."""
        flags = []
        with open(f"/proc/{self.daemon.process.pid}/mem", "rb", buffering=0) as memory:
            for begin, end, region_flags in self.regions():
                try:
                    memory.seek(begin)
                    if secret in memory.read(end - begin):
                        flags.append(region_flags)
                except OSError:
                    continue
        return flags

    def test_1_the_release_key_lies_in_locked_memory_that_no_dump_takes_and_nowhere_else(self):
        places = self.where(self.secrets()["release seed"])
        self.assertEqual(len(places), 1, places)
        self.assertIn("dd", places[0])
        self.assertIn("lo", places[0])
        for name in ("release", "report"):
            with self.subTest(text_of=name):
                self.assertEqual(self.where(self.secrets()[name]), [])

    def test_2_a_token_is_gone_once_it_was_handed_out(self):
        self.assertEqual(self.where(self.token[22:].encode()), [])
        # And the way of looking finds what is there.
        self.assertNotEqual(self.where(self.daemon.data.encode()), [])

    def test_3_no_log_line_or_error_holds_a_secret_at_any_level(self):
        bearer = {"Authorization": f"Bearer {self.token}"}
        bodies = []
        for method, path, body in (("GET", "/v1/config/" + self.token, None), ("GET", "/v1/tokens", None),
                                   ("PUT", "/v1/roles", {"bindings": [{"identity": self.token}]}),
                                   ("POST", "/v1/tokens", {"identity": self.token + "\x01", "roles": [], "scope": "*"}),
                                   ("PUT", "/v1/config/a", "{" + self.token), ("GET", f"/v1/status?{self.token}", None),
                                   ("DELETE", "/v1/tokens/" + self.token, None)):
            for headers in (bearer, {"Authorization": self.token}, {}):
                bodies.append(self.daemon.request(method, path, body, headers, unix=True).body)
        bodies.append(self.daemon.request("GET", "/metrics", unix=True).body)
        bodies.append(self.daemon.request("GET", "/v1/audit?format=lines", unix=True).body)
        log = "".join(self.daemon.log).encode()
        for name, secret in self.secrets().items():
            with self.subTest(name=name):
                self.assertNotIn(secret, log)
                self.assertFalse(any(secret in body for body in bodies))

    def test_4_a_crash_leaves_no_core(self):
        def end(process):
            process.send_signal(signal.SIGABRT)
            status = os.waitpid(process.pid, 0)[1]
            process.returncode = -os.WTERMSIG(status)
            return os.WCOREDUMP(status)

        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        self.assertNotEqual(hard, 0, "this machine forbids core dumps, so that the absence of one proves nothing")
        other = subprocess.Popen(self.daemon.wrapper + ["sleep", "60"])  # pylint: disable=consider-using-with
        wait_until(lambda: read_file(f"/proc/{other.pid}/comm").strip() == "sleep")
        self.assertTrue(end(other), "another process does leave one")
        self.assertFalse(end(self.daemon.process))


class Chain(DaemonCase):
    """The export against docs/audit-format.md, by nothing but SHA-256 and a JSON parser."""

    def export(self):
        lines = []
        while True:
            after = json.loads(lines[-1])["n"] if lines else 0
            page = self.daemon.get("/v1/audit", format="lines", after=after, limit=7)
            self.assertEqual((page.status, page.headers["Content-Type"]), (200, "application/x-ndjson"))
            if not page.body:
                return lines
            self.assertTrue(page.body.endswith(b"\n"))
            lines += page.body.split(b"\n")[:-1]

    @staticmethod
    def check(lines, want_n=1, want_prev="0" * 64):
        """The digest of the last line, or the number of the first entry that does not fit."""
        for line in lines:
            entry = json.loads(line)
            if (entry["n"], entry["prev"]) != (want_n, want_prev):
                return want_n
            want_n, want_prev = want_n + 1, hashlib.sha256(line).hexdigest()
        return want_prev

    def test_the_export_is_a_chain_from_the_first_entry_to_the_head(self):
        headers = {"Confcast-Author": "ann"}
        for n in range(9):
            self.good(self.daemon.put(f"{self.tenant}/e", {"n": n}, headers=headers, message='é "\\'))
            self.good(self.daemon.release(f"{self.tenant}/e", "promote"))
        self.good(self.daemon.request("POST", "/v1/batch", {"items": [
            {"put": f"{self.tenant}/a", "document": {}}, {"put": f"{self.tenant}/b", "document": {}}]}))
        lines = self.export()
        self.assertEqual(len(lines), 20)
        head = self.good(self.daemon.get("/v1/audit", limit=1))["entries"][0]
        self.assertEqual((head["n"], head["digest"]), (20, self.check(lines)))
        self.assertEqual(self.check(lines[7:], 8, hashlib.sha256(lines[6]).hexdigest()), head["digest"])
        entry = json.loads(lines[0])
        self.assertEqual((entry["author"], entry["proof"], entry["action"], entry["message"]),
                         ("ann", "none", "put", 'é "\\'))
        for line in lines:
            members = list(json.loads(line))
            self.assertEqual(members, sorted(members))
            self.assertEqual(line.decode(), json.dumps(json.loads(line), separators=(",", ":"), ensure_ascii=False))

        # The check can fail: an edit, a line less, two lines in another order.
        edited = [line.replace(b'"ann"', b'"bob"') if n == 4 else line for n, line in enumerate(lines)]
        self.assertEqual(self.check(edited), 6)
        self.assertEqual(self.check(lines[:8] + lines[9:]), 9)
        self.assertEqual(self.check(lines[:2] + [lines[3], lines[2]] + lines[4:]), 3)
        self.assertNotEqual(self.check(lines[:-1]), head["digest"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
