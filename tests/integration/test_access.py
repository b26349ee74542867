#!/usr/bin/python3
"""Who gets into a real confcastd: tokens, client certificates, the unix socket; and that no secret leaks."""

import os
import shutil
import ssl
import subprocess
import tempfile
import unittest

import control
from control import Daemon, DaemonCase, wait_until


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


def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_ca(folder, name):
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    with open(os.path.join(folder, f"{name}.cnf"), "w", encoding="ascii") as file:
        file.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={name}.index\nserial={name}.serial\nnew_certs_dir=.\n"
                   f"certificate={name}.pem\nprivate_key={name}.key\ndefault_md=sha256\npolicy=p\n"
                   "default_crl_days=2\nunique_subject=no\n[p]\ncommonName=supplied\n"
                   "[client]\nextendedKeyUsage=clientAuth\n[server]\nextendedKeyUsage=serverAuth\n"
                   "subjectAltName=IP:127.0.0.1\n")
    open(os.path.join(folder, f"{name}.index"), "w", encoding="ascii").close()
    with open(os.path.join(folder, f"{name}.serial"), "w", encoding="ascii") as file:
        file.write("01\n")


def make_cert(folder, ca, name, usage, start="20200101000000Z", end="20400101000000Z"):
    openssl(folder, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
            f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
    openssl(folder, "ca", "-batch", "-config", f"{ca}.cnf", "-extensions", usage, "-startdate", start, "-enddate", end,
            "-in", f"{name}.csr", "-out", f"{name}.pem", "-notext")


class Certificates(DaemonCase):
    @classmethod
    def setUpClass(cls):
        cls.certs = tempfile.mkdtemp(prefix="confcast-certs-")
        make_ca(cls.certs, "ca")
        make_ca(cls.certs, "foreign")
        make_cert(cls.certs, "ca", "server", "server")
        make_cert(cls.certs, "ca", "ann", "client")
        make_cert(cls.certs, "ca", "bob", "client")
        make_cert(cls.certs, "ca", "late", "client", end="20210101000000Z")
        make_cert(cls.certs, "foreign", "mallory", "client")
        cls.crl()
        path = lambda name: os.path.join(cls.certs, name)
        cls.options = ("--tls-cert", path("server.pem"), "--tls-key", path("server.key"),
                       "--tls-client-ca", path("ca.pem"), "--tls-client-crl", path("ca.crl"))
        super().setUpClass()

    @classmethod
    def crl(cls):
        openssl(cls.certs, "ca", "-config", "ca.cnf", "-gencrl", "-out", "new.crl")
        os.rename(os.path.join(cls.certs, "new.crl"), os.path.join(cls.certs, "ca.crl"))

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.certs)

    def ask(self, name, path="/v1/status", version=None):
        context = ssl.create_default_context(cafile=os.path.join(self.certs, "ca.pem"))
        if version:
            context.maximum_version = version
        if name:
            context.load_cert_chain(os.path.join(self.certs, name + ".pem"), os.path.join(self.certs, name + ".key"))
        connection = control.http.client.HTTPSConnection("127.0.0.1", self.daemon.port, timeout=20, context=context)
        try:
            connection.request("GET", path)
            return control.Reply(connection.getresponse())
        finally:
            connection.close()

    def test_good_certificates_get_in_and_others_get_401(self):
        self.good(self.daemon.request("PUT", "/v1/roles", {"bindings": [
            {"identity": name, "roles": ["viewer"], "scope": "*"} for name in ("ann", "bob", "late", "mallory", "server")]},
            unix=True))
        self.good(self.ask("ann"))
        self.good(self.ask("bob"))
        for name in (None, "late", "mallory", "server"):
            with self.subTest(name=name):
                self.refused(self.ask(name), 401, "unauthorized")
        openssl(self.certs, "ca", "-config", "ca.cnf", "-revoke", "bob.pem")
        self.crl()
        self.refused(self.ask("bob"), 401)
        self.good(self.ask("ann"))

    def test_a_certificate_without_a_role_is_known_and_may_nothing(self):
        make_cert(self.certs, "ca", "carl", "client")
        self.refused(self.ask("carl"), 403, "forbidden")

    def test_older_tls_and_plain_http_are_refused(self):
        self.assertRaises((ssl.SSLError, ConnectionError), self.ask, None, "/healthz", ssl.TLSVersion.TLSv1_2)
        self.good(self.ask(None, "/healthz"))
        self.assertFalse(self.daemon.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
