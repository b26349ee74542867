#!/usr/bin/python3
"""Who gets into a real confcastd: tokens, client certificates, the unix socket; and that no secret leaks."""

import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import unittest

import control
from control import Daemon, DaemonCase, wait_until
from certificates import make_ca, make_cert, make_crl, openssl, revoke


class Tokens(DaemonCase):
    options = ("--require-auth",)

    def make(self, roles, scope, **more):
        reply = self.daemon.request("POST", "/v1/tokens", {"identity": "ann", "roles": roles, "scope": scope, **more},
                                    unix=True)
        return self.good(reply)

    def as_bearer(self, method, path, token, body=None):
        return self.daemon.request(method, path, body, {"Authorization": f"Bearer {token}", "Confcast-Author": "eve"})

    def test_tcp_needs_a_token_and_health_does_not(self):
        reply = self.daemon.get("/v1/status")
        self.refused(reply, 401, "unauthorized")
        self.assertIn("Bearer", reply.headers["WWW-Authenticate"])
        self.good(self.daemon.get("/healthz"))
        self.good(self.daemon.get("/readyz"))
        self.refused(self.daemon.get("/metrics"), 401)

    def test_a_token_may_what_its_role_says_where_it_says(self):
        token = self.make(["author"], self.tenant)["token"]
        self.good(self.as_bearer("PUT", f"/v1/config/{self.tenant}/a", token, {"x": 1}))
        self.refused(self.as_bearer("PUT", f"/v1/config/{self.tenant}x/a", token, {"x": 1}), 403, "forbidden")
        self.refused(self.as_bearer("POST", f"/v1/release/{self.tenant}/a", token, {"action": "promote"}), 403)
        self.refused(self.as_bearer("GET", "/v1/tokens", token), 403)

    def test_the_audit_log_names_who_was_proven_and_who_was_claimed(self):
        token = self.make(["author"], self.tenant)["token"]
        self.good(self.as_bearer("PUT", f"/v1/config/{self.tenant}/a", token, {"x": 1}))
        entry = self.good(self.daemon.request("GET", "/v1/audit?limit=1", unix=True))["entries"][0]
        self.assertEqual((entry["author"], entry["proof"], entry["claimed"]), ("ann", "token", "eve"))

    def test_an_author_cannot_approve_whatever_name_is_claimed(self):
        scope = f"{self.tenant}/a"
        ann = self.make(["author", "approver", "releaser"], self.tenant)["token"]
        bob = self.make(["approver"], self.tenant, identity="bob")["token"]
        self.good(self.daemon.request("PUT", f"/v1/settings/{self.tenant}", {"approval": 1}, unix=True))
        digest = self.good(self.as_bearer("PUT", f"/v1/config/{scope}", ann, {"x": 1}))["digest"]
        order = {"revision": 1, "digest": digest}
        promote = {"action": "promote"}
        # Each request claims to be eve: the author is who the token proves.
        self.refused(self.as_bearer("POST", f"/v1/approve/{scope}", ann, order), 403, "approval")
        self.refused(self.as_bearer("POST", f"/v1/release/{scope}", ann, promote), 403, "approval")
        self.good(self.as_bearer("POST", f"/v1/approve/{scope}", bob, order))
        self.refused(self.as_bearer("POST", f"/v1/release/{scope}", bob, promote), 403, "forbidden")
        self.good(self.as_bearer("PUT", f"/v1/config/{scope}", ann, {"x": 2}))
        self.refused(self.as_bearer("POST", f"/v1/release/{scope}", ann, promote), 403, "approval")
        self.good(self.as_bearer("POST", f"/v1/release/{scope}", ann, {**promote, "revision": 1}))

    def test_revoked_expired_and_wrong_tokens_get_the_same_answer(self):
        made = self.make(["viewer"], "*")
        short = self.make(["viewer"], "*", expires_in_s=1)
        self.good(self.as_bearer("GET", "/v1/status", made["token"]))
        self.good(self.daemon.request("DELETE", f"/v1/tokens/{made['id']}", unix=True))
        wait_until(lambda: self.as_bearer("GET", "/v1/status", short["token"]).status == 401)
        bodies = {self.as_bearer("GET", "/v1/status", token).body
                  for token in (made["token"], short["token"], "x", made["token"][:-1] + "z")}
        self.assertEqual(len(bodies), 1)

    def test_no_secret_is_in_a_log_an_error_or_the_store(self):
        secret = self.make(["author"], self.tenant)["token"]
        self.as_bearer("PUT", f"/v1/config/{self.tenant}/a", secret, {"x": 1})
        for path in ("/v1/config/BAD", "/v1/tokens", "/nothing"):
            self.assertNotIn(secret[22:].encode(), self.as_bearer("GET", path, secret).body)
        self.assertNotIn(secret[22:], "".join(self.daemon.log))
        for folder, _, names in os.walk(self.daemon.data):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    self.assertNotIn(secret[22:].encode(), file.read(), name)


class Listening(unittest.TestCase):
    def test_beyond_loopback_it_asks_for_auth_or_for_the_word_insecure(self):
        folder = tempfile.mkdtemp(prefix="confcast-access-")
        try:
            result = subprocess.run([control.CONFCASTD, "--data", folder, "--listen", "0.0.0.0:0"],
                                    stderr=subprocess.PIPE, text=True, timeout=30, check=False)
            self.assertEqual(result.returncode, 2)
            self.assertIn("--require-auth", result.stderr)
            for option in ("--insecure", "--require-auth"):
                daemon = Daemon(folder, "--listen", "0.0.0.0:0", option).start()
                self.assertEqual(daemon.stop(), 0)
        finally:
            shutil.rmtree(folder)


def split_der(der):
    """The contents of a DER SEQUENCE, as the encodings of its members."""
    def header(at):
        size, at = der[at + 1], at + 2
        if size & 0x80:
            size, at = int.from_bytes(der[at:at + (size & 0x7f)], "big"), at + (size & 0x7f)
        return size, at

    members = []
    at = header(0)[1]
    while at < len(der):
        size, content = header(at)
        members.append(der[at:content + size])
        at = content + size
    return members


def der(tag, content):
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def resign(folder, ca, name, old, new):
    """Changes bytes of a certificate where no tool would put them, and signs it again."""
    with open(os.path.join(folder, f"{name}.pem"), encoding="ascii") as file:
        body, algorithm, _ = split_der(ssl.PEM_cert_to_DER_cert(file.read()))
    assert body.count(old) == 1 and len(old) == len(new)
    body = body.replace(old, new)
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", f"{ca}.key"], input=body, cwd=folder, check=True,
                               stdout=subprocess.PIPE).stdout
    with open(os.path.join(folder, f"{name}.pem"), "w", encoding="ascii") as file:
        file.write(ssl.DER_cert_to_PEM_cert(der(0x30, body + algorithm + der(0x03, b"\0" + signature))))


class WithCertificates(DaemonCase):
    name_kind = "cn"

    @classmethod
    def make(cls):
        """Makes further certificates, before the daemon starts."""

    @classmethod
    def setUpClass(cls):
        cls.certs = tempfile.mkdtemp(prefix="confcast-certs-")
        make_ca(cls.certs, "ca")
        make_cert(cls.certs, "ca", "server", "server")
        make_cert(cls.certs, "ca", "ann", "client")
        cls.make()
        cls.crl()
        path = lambda name: os.path.join(cls.certs, name)
        cls.options = ("--tls-cert", path("server.pem"), "--tls-key", path("server.key"), "--tls-client-ca",
                       path("ca.pem"), "--tls-client-crl", path("ca.crl"), "--tls-client-name", cls.name_kind)
        super().setUpClass()

    @classmethod
    def crl(cls, *options):
        make_crl(cls.certs, "ca", *options)

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.certs)

    def ask(self, name, path="/v1/status", version=None, token=None):
        context = ssl.create_default_context(cafile=os.path.join(self.certs, "ca.pem"))
        if version:
            context.maximum_version = version
        if name:
            context.load_cert_chain(os.path.join(self.certs, name + ".pem"), os.path.join(self.certs, name + ".key"))
        connection = control.http.client.HTTPSConnection("127.0.0.1", self.daemon.port, timeout=20, context=context)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            return control.Reply(connection.getresponse())
        finally:
            connection.close()

    def bind(self, *names):
        self.good(self.daemon.request("PUT", "/v1/roles", {"bindings": [
            {"identity": name, "roles": ["viewer"], "scope": "*"} for name in names]}, unix=True))


class Certificates(WithCertificates):
    @classmethod
    def make(cls):
        make_ca(cls.certs, "foreign")
        make_cert(cls.certs, "ca", "bob", "client")
        make_cert(cls.certs, "ca", "dan", "client")
        make_cert(cls.certs, "ca", "late", "client", end="20210101000000Z")
        make_cert(cls.certs, "ca", "early", "client", start="20390101000000Z")
        make_cert(cls.certs, "foreign", "mallory", "client")

    def test_good_certificates_get_in_and_others_get_401(self):
        self.bind("ann", "bob", "late", "early", "mallory", "server")
        self.good(self.ask("ann"))
        self.good(self.ask("bob"))
        for name in (None, "late", "early", "mallory", "server"):
            with self.subTest(name=name):
                self.refused(self.ask(name), 401, "unauthorized")
        revoke(self.certs, "ca", "bob")
        self.crl()
        self.refused(self.ask("bob"), 401)
        self.good(self.ask("ann"))

    def test_a_revoked_certificate_is_not_saved_by_a_good_token(self):
        self.bind("ann", "dan")
        token = self.good(self.daemon.request("POST", "/v1/tokens", {
            "identity": "dan", "roles": ["viewer"], "scope": "*"}, unix=True))["token"]
        self.good(self.ask("dan", token=token))
        self.good(self.ask(None, token=token))
        self.refused(self.ask("dan", token=token[:-1] + "z"), 401)
        revoke(self.certs, "ca", "dan")
        self.crl()
        self.refused(self.ask("dan", token=token), 401)
        self.good(self.ask(None, token=token))

    def test_a_revocation_holds_on_a_connection_that_is_open(self):
        make_cert(self.certs, "ca", "eli", "client")
        self.bind("ann", "eli")
        context = ssl.create_default_context(cafile=os.path.join(self.certs, "ca.pem"))
        context.load_cert_chain(os.path.join(self.certs, "eli.pem"), os.path.join(self.certs, "eli.key"))
        connection = control.http.client.HTTPSConnection("127.0.0.1", self.daemon.port, timeout=20, context=context)
        for revoked in (False, True):
            connection.request("GET", "/v1/status")
            self.assertEqual(control.Reply(connection.getresponse()).status, 401 if revoked else 200)
            if not revoked:
                revoke(self.certs, "ca", "eli")
                self.crl()
        connection.close()

    def test_a_crl_that_is_late_broken_foreign_or_gone_lets_nobody_in(self):
        self.bind("ann")
        crl = os.path.join(self.certs, "ca.crl")

        def replace(text):
            with open(crl + ".new", "w", encoding="ascii") as file:
                file.write(text)
            os.rename(crl + ".new", crl)

        self.crl("-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200102000000Z")
        self.refused(self.ask("ann"), 401)
        replace("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
        self.refused(self.ask("ann"), 401)
        openssl(self.certs, "ca", "-config", "foreign.cnf", "-gencrl", "-out", "other.crl")
        with open(os.path.join(self.certs, "other.crl"), encoding="ascii") as file:
            replace(file.read())
        self.refused(self.ask("ann"), 401)
        # One that names the right issuer and was signed by another key.
        forged = tempfile.mkdtemp(prefix="confcast-certs-")
        try:
            make_ca(forged, "ca")
            openssl(forged, "ca", "-config", "ca.cnf", "-gencrl", "-out", "forged.crl")
            with open(os.path.join(forged, "forged.crl"), encoding="ascii") as file:
                replace(file.read())
        finally:
            shutil.rmtree(forged)
        self.refused(self.ask("ann"), 401)
        os.unlink(crl)
        self.refused(self.ask("ann"), 401)
        self.crl("-crlsec", "2")  # runs out after it was read
        self.good(self.ask("ann"))
        control.wait_until(lambda: self.ask("ann").status == 401)
        self.crl()
        self.good(self.ask("ann"))

    def test_a_certificate_without_a_role_is_known_and_may_nothing(self):
        make_cert(self.certs, "ca", "carl", "client")
        self.refused(self.ask("carl"), 403, "forbidden")

    def test_older_tls_and_plain_http_are_refused(self):
        self.assertRaises((ssl.SSLError, ConnectionError), self.ask, None, "/healthz", ssl.TLSVersion.TLSv1_2)
        self.good(self.ask(None, "/healthz"))
        self.assertFalse(self.daemon.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP"))



class NewCertificate(WithCertificates):
    """SIGHUP: certificate and key are read again."""

    @classmethod
    def make(cls):
        make_cert(cls.certs, "ca", "next", "server", subject="/CN=server")
        make_cert(cls.certs, "ca", "other", "server", subject="/CN=server")

    def connect(self):
        context = ssl.create_default_context(cafile=os.path.join(self.certs, "ca.pem"))
        context.check_hostname = False
        connection = control.http.client.HTTPSConnection("127.0.0.1", self.daemon.port, timeout=20, context=context)
        connection.connect()
        return connection

    def served(self):
        """The certificate that a new connection is shown."""
        connection = self.connect()
        try:
            return connection.sock.getpeercert(True)
        finally:
            connection.close()

    def stored(self, name):
        with open(os.path.join(self.certs, name), encoding="ascii") as file:
            return ssl.PEM_cert_to_DER_cert(file.read())

    def put_in_place(self, cert, key):
        for source, target in ((cert, "server.pem"), (key, "server.key")):
            shutil.copy(os.path.join(self.certs, source), os.path.join(self.certs, "new"))
            os.chmod(os.path.join(self.certs, "new"), 0o600)
            os.rename(os.path.join(self.certs, "new"), os.path.join(self.certs, target))

    def hang_up(self, word):
        """Sends SIGHUP and waits until the log speaks of it."""
        count = sum(word in line for line in self.daemon.log)
        self.daemon.process.send_signal(signal.SIGHUP)
        control.wait_until(lambda: sum(word in line for line in self.daemon.log) > count)

    def test_new_handshakes_get_the_new_certificate_and_open_connections_go_on(self):
        first = self.stored("server.pem")
        self.assertEqual(self.served(), first)
        connection = self.connect()
        sock = connection.sock
        connection.request("GET", "/healthz")
        self.assertEqual(control.Reply(connection.getresponse()).status, 200)
        self.put_in_place("next.pem", "next.key")
        self.assertEqual(self.served(), first)
        self.hang_up("read again")
        self.assertEqual(self.served(), self.stored("next.pem"))
        connection.request("GET", "/healthz")
        self.assertEqual(control.Reply(connection.getresponse()).status, 200)
        self.assertIs(connection.sock, sock)
        connection.close()
        # A key of another certificate, a key that others may read, and none at all.
        self.put_in_place("other.pem", "next.key")
        self.hang_up("stays in use")
        self.assertEqual(self.served(), self.stored("next.pem"))
        self.put_in_place("other.pem", "other.key")
        os.chmod(os.path.join(self.certs, "server.key"), 0o644)
        self.hang_up("stays in use")
        self.assertEqual(self.served(), self.stored("next.pem"))
        os.unlink(os.path.join(self.certs, "server.key"))
        self.hang_up("stays in use")
        self.assertEqual(self.served(), self.stored("next.pem"))
        self.put_in_place("other.pem", "other.key")
        self.hang_up("read again")
        self.assertEqual(self.served(), self.stored("other.pem"))


class CommonNames(WithCertificates):
    @classmethod
    def make(cls):
        make_cert(cls.certs, "ca", "nul", "client", subject="/CN=annQevil")
        resign(cls.certs, "ca", "nul", b"annQevil", b"ann\0evil")
        make_cert(cls.certs, "ca", "whole", "client", subject="/CN=carQevil")
        resign(cls.certs, "ca", "whole", b"carQevil", b"carPevil")
        make_cert(cls.certs, "ca", "two", "client", subject="/CN=bob/CN=ann")
        make_cert(cls.certs, "ca", "blank", "client", subject="/CN=a b")
        make_cert(cls.certs, "ca", "uid", "client", subject="/CN=uid:0")
        make_cert(cls.certs, "ca", "alt", "client", subject="/CN=zoe", names="DNS:ann,URI:ann,email:ann")

    def test_a_name_with_a_nul_or_a_second_name_is_nobodys(self):
        self.bind("ann", "bob", "carPevil")
        self.good(self.ask("ann"))
        self.good(self.ask("whole"))  # so that it is the NUL, and not the signature, that is refused
        for name in ("nul", "two", "blank", "uid"):
            with self.subTest(name=name):
                self.refused(self.ask(name), 401)

    def test_alternative_names_are_not_looked_at(self):
        self.bind("ann")
        self.refused(self.ask("alt"), 403)


class AlternativeNames(WithCertificates):
    name_kind = "uri"

    @classmethod
    def make(cls):
        make_cert(cls.certs, "ca", "one", "client", names="URI:spiffe://corp/ci,DNS:ci.corp,email:ci@corp")
        make_cert(cls.certs, "ca", "two", "client", names="URI:spiffe://corp/ci,URI:spiffe://corp/root")
        make_cert(cls.certs, "ca", "none", "client", subject="/CN=spiffe:..corp.ci", names="DNS:ci.corp")
        make_cert(cls.certs, "ca", "long", "client", names="URI:spiffe://corp/" + "x" * 120)

    def test_the_one_name_of_the_chosen_kind_is_the_identity(self):
        self.bind("spiffe://corp/ci", "spiffe://corp/root", "ann", "ci.corp", "spiffe://corp/" + "x" * 114)
        self.good(self.ask("one"))
        for name in ("two", "none", "ann", "long"):
            with self.subTest(name=name):
                self.refused(self.ask(name), 401)

    def test_an_unknown_kind_ends_the_start(self):
        result = subprocess.run([control.CONFCASTD, "--data", self.certs, "--tls-client-name", "serial"],
                                stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn("cn, uri, dns or email", result.stderr)


class MailNames(AlternativeNames):
    name_kind = "email"

    def test_the_one_name_of_the_chosen_kind_is_the_identity(self):
        self.bind("ci@corp")
        self.good(self.ask("one"))
        self.refused(self.ask("two"), 401)


class TwoIssuers(WithCertificates):
    """Two CAs and the CRL of one: who was signed by the other might be revoked, for all that is known."""

    @classmethod
    def make(cls):
        make_ca(cls.certs, "second")
        make_cert(cls.certs, "second", "eve", "client")
        with open(os.path.join(cls.certs, "ca.pem"), "a", encoding="ascii") as out, \
             open(os.path.join(cls.certs, "second.pem"), encoding="ascii") as file:
            out.write(file.read())

    def test_an_issuer_without_a_crl_lets_nobody_in(self):
        self.bind("ann", "eve")
        self.good(self.ask("ann"))
        self.refused(self.ask("eve"), 401)
        openssl(self.certs, "ca", "-config", "second.cnf", "-gencrl", "-out", "second.crl")
        with open(os.path.join(self.certs, "ca.crl"), "a", encoding="ascii") as out, \
             open(os.path.join(self.certs, "second.crl"), encoding="ascii") as file:
            out.write(file.read())
        self.good(self.ask("eve"))
        self.good(self.ask("ann"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
