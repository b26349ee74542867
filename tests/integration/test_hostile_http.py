#!/usr/bin/python3
"""Requests that two programs on the way could read in two ways, credentials that end while a request is under way, and
bodies that are made to cost memory, on a real confcastd."""

import concurrent.futures
import re
import socket
import threading
import time
import unittest

from control import DaemonCase, read_all, wait_until

MIB = 1 << 20
# What a client that smuggles hopes to have answered as a request of its own.
SECOND = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def memory_mib(process, what="VmRSS"):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return int(re.search(what + r":\s+(\d+) kB", file.read()).group(1)) / 1024


def reset_peak(process):
    with open(f"/proc/{process.pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


class Framing(DaemonCase):
    """Where a request ends must not be a matter of opinion (RFC 9112, 11.2)."""

    options = ("--request-timeout-ms", "3000")
    chunked = b"2\r\n{}\r\n0\r\n\r\n"

    def answers(self, head, body, method=b"PUT", path=None, version=b"HTTP/1.1"):
        path = path or f"/v1/config/{self.tenant}".encode()
        return self.daemon.raw(method + b" " + path + b" " + version + b"\r\nHost: x\r\n" + head + b"\r\n" + body + SECOND)

    def test_what_is_framed_well_leaves_room_for_the_next_request(self):
        for head, body in ((b"Content-Length: 2\r\n", b"{}"), (b"Transfer-Encoding: chunked\r\n", self.chunked),
                           (b"transfer-encoding:\tCHUNKED\r\n", self.chunked)):
            with self.subTest(head=head):
                got = self.answers(head, body)
                self.assertEqual(re.findall(rb"HTTP/1.1 (\d+)", got), [b"200", b"200"], got)

    def test_what_could_be_read_in_two_ways_is_refused_and_ends_the_connection(self):
        chunked = b"Transfer-Encoding: chunked\r\n"
        rows = [
            (b"Content-Length : 2\r\n", b"{}"), (b"Content-Length\t: 2\r\n", b"{}"),
            (b"Transfer-Encoding : chunked\r\n", self.chunked), (b"X: a\rContent-Length: 2\r\n", b"{}"),
            (b"X: \x01\r\nContent-Length: 2\r\n", b"{}"), (b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}"),
            (b"Content-Length: 2\r\n" + chunked, self.chunked), (chunked + chunked, self.chunked),
            (b"Transfer-Encoding: gzip\r\n", b"{}"), (b"Transfer-Encoding: gzip, chunked\r\n", self.chunked),
            (b"Transfer-Encoding: xchunked\r\n", self.chunked), (b"Transfer-Encoding: identity\r\n", b"{}"),
            (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", self.chunked),
        ]
        for path in (None, b"/v1/nothing", b"/v1/config/%zz"):
            for head, body in rows:
                with self.subTest(path=path, head=head):
                    got = self.answers(head, body, path=path)
                    self.assertEqual(re.findall(rb"HTTP/1.1 (\d+)", got), [b"400"], got)
                    self.assertIn(b"Connection: close\r\n", got)
        got = self.answers(chunked, self.chunked, version=b"HTTP/1.0")
        self.assertEqual(re.findall(rb"HTTP/1.\d (\d+)", got), [b"400"], got)
        got = self.answers(b"Transfer-Encoding: foo\r\n", b"", method=b"GET")
        self.assertEqual(re.findall(rb"HTTP/1.1 (\d+)", got), [b"400"], got)
        self.refused(self.daemon.get(f"/v1/config/{self.tenant}"), 404)

    def test_chunks_are_plain_hexadecimal_sizes(self):
        for body in (b"-2\r\n{}\r\n0\r\n\r\n", b"0x2\r\n{}\r\n0\r\n\r\n", b"2 \r\n{}\r\n0\r\n\r\n",
                     b"2\r\n{}XX0\r\n\r\n", b"10000000000000002\r\n{}\r\n0\r\n\r\n", b"\r\n{}\r\n0\r\n\r\n"):
            with self.subTest(body=body):
                got = self.answers(b"Transfer-Encoding: chunked\r\n", body)
                self.assertNotIn(b"HTTP/1.1 200", got)
        self.refused(self.daemon.get(f"/v1/config/{self.tenant}"), 404)

    def test_http_1_1_names_its_host(self):
        got = self.daemon.raw(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
        self.assertTrue(got.startswith(b"HTTP/1.1 400 "), got)


class Ends(DaemonCase):
    """A credential that ends takes along what it began."""

    options = ("--require-auth",)

    def make(self, roles, **more):
        reply = self.good(self.daemon.request("POST", "/v1/tokens", {"identity": self.tenant, "roles": roles, "scope": "*",
                                                                     **more}, unix=True))
        return reply["id"], reply["token"]

    def revoke(self, token_id):
        self.good(self.daemon.request("DELETE", f"/v1/tokens/{token_id}", unix=True))

    def begin(self, token, request, body=b""):
        sock = socket.create_connection(("127.0.0.1", self.daemon.port), timeout=20)
        self.addCleanup(sock.close)
        sock.sendall(f"{request} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n".encode() + body)
        return sock

    def stream(self, token):
        sock = self.begin(token, "GET /v1/status?watch=1", b"Connection: close\r\n\r\n")
        got = b""
        while b"event: status" not in got:
            piece = sock.recv(65536)
            self.assertTrue(piece, got)
            got += piece
        self.assertTrue(got.startswith(b"HTTP/1.1 200 "), got)
        return sock

    def change(self):
        self.good(self.daemon.request("PUT", f"/v1/config/{self.tenant}", {"n": time.time()}, unix=True))
        self.good(self.daemon.request("POST", f"/v1/release/{self.tenant}", {"action": "promote"}, unix=True))

    def test_a_stream_ends_with_its_token_and_others_go_on(self):
        gone_id, gone = self.make(["viewer"])
        stays = self.stream(self.make(["viewer"])[1])
        sock = self.stream(gone)
        self.revoke(gone_id)
        begun = time.monotonic()
        rest = read_all(sock)
        self.assertLess(time.monotonic() - begun, 3)
        self.change()
        self.assertNotIn(self.tenant.encode(), rest)
        got = b""
        while self.tenant.encode() not in got:
            piece = stays.recv(65536)
            self.assertTrue(piece, got)
            got += piece

    def test_a_stream_tells_nothing_after_its_token_ran_out(self):
        sock = self.stream(self.make(["viewer"], expires_in_s=1)[1])
        time.sleep(1.2)
        self.change()
        self.assertNotIn(self.tenant.encode(), read_all(sock))

    def test_a_change_of_roles_asks_again_and_who_may_goes_on(self):
        bindings = {"bindings": [{"identity": "uid:54321", "roles": ["viewer"], "scope": "*"}]}
        self.good(self.daemon.request("PUT", "/v1/roles", bindings, unix=True))
        token_id, token = self.make(["viewer"])
        sock = self.stream(token)
        self.good(self.daemon.request("PUT", "/v1/roles", {"bindings": []}, unix=True))
        self.assertIn(b"event: status", sock.recv(65536))
        self.revoke(token_id)
        read_all(sock)

    def test_who_waits_for_news_is_turned_away_instead(self):
        token_id, token = self.make(["viewer"])
        change = self.good(self.daemon.request("GET", "/v1/status", unix=True))["change"]
        sock = self.begin(token, f"GET /v1/status?after={change}&wait_s=30", b"Connection: close\r\n\r\n")
        time.sleep(0.3)
        self.revoke(token_id)
        begun = time.monotonic()
        self.assertTrue(read_all(sock).startswith(b"HTTP/1.1 401 "))
        self.assertLess(time.monotonic() - begun, 3)

    def test_a_body_that_is_still_coming_writes_nothing(self):
        token_id, token = self.make(["author"])
        sock = self.begin(token, f"PUT /v1/config/{self.tenant}", b"Content-Length: 8\r\nConnection: close\r\n\r\n{\"a\"")
        time.sleep(0.2)
        self.revoke(token_id)
        sock.sendall(b": 1}")
        self.assertTrue(read_all(sock).startswith(b"HTTP/1.1 401 "))
        self.refused(self.daemon.request("GET", f"/v1/config/{self.tenant}", unix=True), 404)

    def test_a_flood_of_strangers_hides_nobody_in_the_log(self):
        token = self.make(["viewer"])[1]
        for _ in range(50):
            self.refused(self.daemon.get("/v1/status"), 401)
        self.refused(self.daemon.put(self.tenant, {}, headers={"Authorization": f"Bearer {token}"}), 403)
        for _ in range(50):
            self.refused(self.daemon.get("/v1/status"), 401)
        wait_until(lambda: any(f"reason=forbidden who={self.tenant} at=/v1/config/{self.tenant}" in line
                               for line in self.daemon.log), 2)


class Strangers(DaemonCase):
    """Who may not be here at all is not listened to for long."""

    options = ("--require-auth",)

    def test_a_body_of_a_stranger_is_cut_off_early(self):
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        sent = 0
        with socket.create_connection(("127.0.0.1", self.daemon.port), timeout=20) as sock:
            sock.sendall(f"PUT /v1/config/{self.tenant} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            try:
                while sent < 64 * MIB:
                    sock.sendall(chunk)
                    sent += len(chunk)
            except OSError:
                pass
        self.assertLess(sent, 16 * MIB)

    def test_an_announced_body_is_refused_before_it_comes(self):
        answer = self.daemon.raw(f"PUT /v1/config/{self.tenant} HTTP/1.1\r\nHost: x\r\n"
                                 f"Content-Length: {2 * MIB}\r\n\r\n".encode())
        self.assertTrue(answer.startswith(b"HTTP/1.1 401 "), answer)

    def test_a_small_one_is_read_so_that_its_sender_sees_why(self):
        answer = self.daemon.raw(f"PUT /v1/config/{self.tenant} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                 f"Content-Length: {MIB // 2}\r\n\r\n".encode() + b" " * (MIB // 2))
        self.assertTrue(answer.startswith(b"HTTP/1.1 401 "), answer)


class Memory(DaemonCase):
    """64 clients with the greatest bodies, sent slowly; and bodies whose trees are many times as big."""

    document_max = 2 * MIB
    bodies_max = 12 * MIB
    options = ("--document-max-bytes", str(document_max), "--bodies-max-bytes", str(bodies_max), "--request-timeout-ms",
               "8000")

    def slowly(self, number, pieces=8, pause_s=0.25, source="127.0.0.1"):
        """The status of a put of the greatest document, sent in pieces."""
        body = b'{"a":"' + b"x" * (self.document_max - 8) + b'"}'
        with socket.create_connection(("127.0.0.1", self.daemon.port), timeout=30, source_address=(source, 0)) as sock:
            sock.sendall(f"PUT /v1/config/{self.tenant}/c{number} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                         f"Content-Length: {len(body)}\r\n\r\n".encode())
            size = len(body) // pieces + 1
            try:
                for n in range(pieces):
                    sock.sendall(body[n * size:(n + 1) * size])
                    time.sleep(pause_s)
            except OSError:
                pass
            got = read_all(sock)
        return int(got[9:12]) if got else 0

    def test_64_slow_clients_cost_no_more_than_the_limit(self):
        self.slowly(999, pause_s=0)
        reset_peak(self.daemon.process)
        before = memory_mib(self.daemon.process, "VmHWM")
        with concurrent.futures.ThreadPoolExecutor(65) as pool:
            running = [pool.submit(self.slowly, n) for n in range(64)]
            time.sleep(0.7)
            # Somebody else's body finds room, whatever this address sends.
            other = pool.submit(self.slowly, 64, source="127.0.0.9")
            statuses = [future.result() for future in running]
            self.assertEqual(other.result(), 200)
        grown = memory_mib(self.daemon.process, "VmHWM") - before
        self.assertEqual(set(statuses), {200, 503}, statuses)
        # Half of the limit for one address; a body doubles its room as it grows.
        self.assertGreaterEqual(statuses.count(200), 3)
        self.assertLess(statuses.count(200), 32)
        # 128 MiB were sent: held are 12, what handlers make of one at a time, and 64 connections.
        self.assertLess(grown, 60, statuses)
        self.assertEqual(self.slowly(65, pause_s=0), 200)

    def test_big_trees_are_made_one_at_a_time(self):
        """1.3 MiB of "{}," is a tree of 120 MiB."""
        body = '{"a":[' + "{}," * (1300 * 1024 // 3) + "1]}"
        statuses = []

        def put(n):
            statuses.append(self.daemon.request("PUT", f"/v1/config/{self.tenant}/t{n}?dry_run=1", body, unix=True).status)

        put(0)
        reset_peak(self.daemon.process)
        threads = [threading.Thread(target=put, args=(n,)) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(statuses, [200] * 6)
        peak = memory_mib(self.daemon.process, "VmHWM")
        print(f"five trees of 120 MiB: peak {peak:.0f} MiB")
        self.assertLess(peak, 400)


if __name__ == "__main__":
    unittest.main(verbosity=2)
