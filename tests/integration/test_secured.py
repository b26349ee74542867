"""A fleet whose control plane lets nobody in without a token or a certificate: one change from its author to the
consumers, by people of different roles, over TLS and with confcastctl alone.

Real processes in namespaces, as in test_releases.py: confcastd on https://127.0.0.1 of its host, one engine,
four agents.  Four eyes are asked for.  Ann writes, bob approves, rita (by a client certificate) releases,
vic only looks, olga operates.
"""

import json
import os
import re
import subprocess
import sys
import time

from fleet_story import check, fleets, run_on, tell
import certificates  # from scripts/, whose place fleet_story knows

SCOPE = "acme/checkout"
CONSUMERS = 4
OK, NEGATIVE, CONNECT, USAGE, CONFLICT, REFUSED, TIMEOUT, FENCED, FORBIDDEN, NOT_FOUND = range(10)
PEOPLE = {"vic": ("viewer", "acme"), "ann": ("author", SCOPE), "bob": ("approver", SCOPE),
          "olga": ("operator", "*")}


class Story:
    def __init__(self):
        self.fleet = fleets.Fleet(f"sec-{os.getpid()}", SCOPE, CONSUMERS, secured=True)
        self.people = {}

    def path(self, name):
        return os.path.join(self.fleet.folder, name)

    def ends(self, who, code, *args, **options):
        """Runs a command as somebody; its exit code must be `code`.  What it printed."""
        result = (self.people[who] if isinstance(who, str) else who)(*args, **options)
        check(f"{who if isinstance(who, str) else 'a stranger'}: {' '.join(args)}",
              result.returncode == code, f"exit {result.returncode}, not {code}: {result.stdout}{result.stderr}")
        return result.stdout if code == OK else result.stderr

    def asked(self, who, *args):
        return json.loads(self.ends(who, OK, "-o", "json", *args))

    def values(self):
        return [consumer.get("/n") for consumer in self.fleet.consumers]

    # ---- The story ----

    def people_get_their_credentials(self):
        """By root on the unix socket, which is how a fleet begins."""
        for name, (role, scope) in PEOPLE.items():
            self.fleet.ctl("token", "create", name, "--role", role, "--scope", scope, "--save", self.path(f"{name}.token"))
            self.people[name] = self.fleet.who(CONFCAST_TOKEN_FILE=self.path(f"{name}.token"))
        certificates.make_cert(self.fleet.tls, "ca", "rita", "client")
        self.people["rita"] = self.by_certificate("rita")
        self.fleet.ctl("role", "grant", "rita", "releaser", "--scope", SCOPE)
        self.ends(self.fleet.who(), FORBIDDEN, "status")
        self.ends("olga", OK, "settings", "set", SCOPE, "--approval", "1")
        self.ends("ann", FORBIDDEN, "settings", "set", SCOPE, "--approval", "0")

    def by_certificate(self, name, **env):
        return self.fleet.who(CONFCAST_CERT=self.fleet.tls_file(f"{name}.pem"),
                              CONFCAST_KEY=self.fleet.tls_file(f"{name}.key"), **env)

    def write(self, number):
        return json.loads(self.ends("ann", OK, "-o", "json", "put", SCOPE, "-f", "-", "-m", f"n is {number}",
                                    stdin=json.dumps({"n": number, "pad": "x" * 3000})))

    def release(self, number, *options):
        """Written by ann, approved by bob, promoted by rita."""
        made = self.write(number)
        self.ends("bob", OK, "approve", SCOPE, str(made["revision"]), made["digest"])
        return self.asked("rita", "promote", SCOPE, *options)

    def a_change_needs_three_people(self):
        made = self.write(1)
        revision, digest = str(made["revision"]), made["digest"]
        self.ends("ann", FORBIDDEN, "put", "acme/cart", "-f", "-", stdin="{}")
        self.ends("vic", FORBIDDEN, "put", SCOPE, "-f", "-", stdin="{}")
        for name in ("ann", "bob", "vic"):
            self.ends(name, FORBIDDEN, "promote", SCOPE)
        said = self.ends("rita", FORBIDDEN, "promote", SCOPE)
        check("rita is told what lacks", "approval" in said, said)
        self.ends("ann", FORBIDDEN, "approve", SCOPE, revision, digest)
        # The author by another proof is the author still; the operator may approve what another wrote.
        certificates.make_cert(self.fleet.tls, "ca", "ann", "client")
        self.fleet.ctl("role", "grant", "ann", "approver", "--scope", SCOPE)
        said = self.ends(self.by_certificate("ann"), FORBIDDEN, "approve", SCOPE, revision, digest)
        check("the author cannot approve by her certificate either", "approval" in said, said)
        self.ends("bob", CONFLICT, "approve", SCOPE, revision, "0" * 64)
        self.ends("bob", OK, "approve", SCOPE, revision, digest)
        self.ends("rita", OK, "promote", SCOPE)
        self.fleet.wait_applied()
        check("all serve it", self.values() == ["1"] * CONSUMERS, self.values())

    def the_canary_goes_first(self):
        self.release(2, "--strategy", "zone=eu-1")
        canary = ["2" if consumer.labels["zone"] == "eu-1" else "1" for consumer in self.fleet.consumers]
        fleets.wait_until("the canary", lambda: self.values() == canary)
        self.ends("vic", OK, "wait", SCOPE, "--applied", "100%", "--timeout", "20s")
        status = self.asked("vic", "status", SCOPE)
        check("the viewer sees both arms", [arm["applied"] for arm in status["arms"][:2]].count(2) == 2, status)
        self.ends("vic", FORBIDDEN, "status")  # the list of all scopes is for those who may read all
        self.ends("olga", OK, "status")
        self.ends("bob", FORBIDDEN, "advance", SCOPE)
        self.ends("rita", OK, "advance", SCOPE)
        self.fleet.wait_applied()
        check("all serve it", self.values() == ["2"] * CONSUMERS, self.values())

    def a_revoked_token_is_nobodys(self):
        with open(self.path("watch.jsonl"), "wb") as out:
            vic = self.people["vic"]
            watch = subprocess.Popen(vic.command + ["-o", "json", "status", SCOPE, "--watch"], env=vic.env, stdout=out,
                                     stderr=subprocess.PIPE, text=True)
        try:
            fleets.wait_until("the first event", lambda: os.path.getsize(self.path("watch.jsonl")) > 0)
            for token in self.asked("olga", "token", "list")["tokens"]:
                if token["identity"] in ("vic", "ann"):
                    self.ends("olga", OK, "token", "delete", token["id"], "-m", "left us")
            begun = time.monotonic()
            said = watch.communicate(timeout=20)[1]
            took_s = time.monotonic() - begun
        finally:
            watch.kill()
            watch.wait()
        check("a stream that was open ends with its token", watch.returncode == FORBIDDEN, said)
        for name, args in (("vic", ("status", SCOPE)), ("ann", ("get", SCOPE)), ("ann", ("put", SCOPE, "-f", "-"))):
            self.ends(name, FORBIDDEN, *args, stdin="{}")
        check("bob is not concerned", "2" in self.ends("bob", OK, "get", SCOPE))
        print(f"revoked: the viewer's stream ended after {took_s * 1000:.0f} ms", flush=True)

    def certificates_run_out_and_are_revoked(self):
        certificates.make_cert(self.fleet.tls, "ca", "rita-late", "client", end="20210101000000Z", subject="/CN=rita")
        self.ends(self.by_certificate("rita-late"), FORBIDDEN, "release", SCOPE)
        token = self.path("bob.token")
        self.ends(self.by_certificate("rita-late", CONFCAST_TOKEN_FILE=token), FORBIDDEN, "release", SCOPE)
        self.ends("rita", OK, "release", SCOPE)
        certificates.revoke(self.fleet.tls, "ca", "rita")
        certificates.make_crl(self.fleet.tls, "ca")
        self.ends("rita", FORBIDDEN, "release", SCOPE)
        # A new one for the same name, and she is back.
        certificates.make_cert(self.fleet.tls, "ca", "rita-new", "client", subject="/CN=rita")
        self.ends(self.by_certificate("rita-new"), OK, "release", SCOPE)

    def credentials_come_by_file_option_or_variable(self):
        who = self.fleet.who()
        token = self.path("bob.token")
        with open(token, encoding="ascii") as file:
            text = file.read().strip()
        self.ends(who, OK, "--token-file", token, "get", SCOPE)
        self.ends(self.fleet.who(CONFCAST_TOKEN=text), OK, "get", SCOPE)
        self.ends(self.fleet.who(CONFCAST_TOKEN_FILE=token), OK, "get", SCOPE)
        # The option is stronger than the variable, and a file stronger than a text.
        self.ends(self.fleet.who(CONFCAST_TOKEN_FILE="/nonexistent"), OK, "--token-file", token, "get", SCOPE)
        self.ends(self.fleet.who(CONFCAST_TOKEN="wrong"), OK, "--token-file", token, "get", SCOPE)
        self.ends(self.fleet.who(CONFCAST_TOKEN="wrong"), FORBIDDEN, "get", SCOPE)
        os.chmod(token, 0o644)
        said = self.ends("bob", FORBIDDEN, "get", SCOPE)
        check("a file that others can read is refused", "chmod 600" in said and text not in said, said)
        os.chmod(token, 0o600)
        plain = self.fleet.who(CONFCAST_SERVER=f"http://127.0.0.1:{fleets.API_PORT}", CONFCAST_TOKEN_FILE=token)
        self.ends(plain, CONNECT, "get", SCOPE)
        foreign = self.fleet.who(CONFCAST_CACERT="", CONFCAST_TOKEN_FILE=token)
        self.ends(foreign, CONNECT, "get", SCOPE)

    def the_audit_log_says_who_did_it(self):
        entries = [json.loads(line) for line in self.ends("olga", OK, "audit", "--export").splitlines()]
        done = {(entry["author"], entry["proof"], entry["action"]) for entry in entries}
        for one in (("uid:0", "peer", "token-create"), ("olga", "token", "settings"), ("ann", "token", "put"),
                    ("bob", "token", "approve"), ("rita", "certificate", "promote"),
                    ("rita", "certificate", "advance"), ("olga", "token", "token-delete")):
            check("the audit log has it", one in done, f"{one} not in {sorted(done)}")
        self.ends("olga", OK, "audit", "--verify")
        self.ends("bob", FORBIDDEN, "audit")
        secrets = []
        for name in PEOPLE:
            with open(self.path(f"{name}.token"), encoding="ascii") as file:
                secrets.append(file.read().strip()[22:])
        with open(self.path("confcastd.log.err"), encoding="utf-8") as file:
            log = file.read()
        check("the log names who was turned away", re.search(r"denied reason=\S+ who=\S+", log), log[-500:])
        check("no token is in the log", not any(secret in log for secret in secrets))

    def a_server_whose_certificate_ran_out_is_not_believed(self):
        certificates.make_cert(self.fleet.tls, "ca", "server-late", "server", end="20210101000000Z")
        self.fleet.server_cert = "server-late"
        self.fleet.control.kill()
        self.fleet.control.wait()
        self.fleet.start_control()
        said = self.ends("bob", CONNECT, "get", SCOPE)
        check("it says why", "expired" in said or "certificate" in said, said)
        self.fleet.server_cert = "server"
        self.fleet.control.kill()
        self.fleet.control.wait()
        self.fleet.start_control()
        self.ends("bob", OK, "get", SCOPE)
        self.ends("vic", FORBIDDEN, "status", SCOPE)  # also after a restart

    def run(self):
        self.people_get_their_credentials()
        self.a_change_needs_three_people()
        self.the_canary_goes_first()
        self.a_revoked_token_is_nobodys()
        self.certificates_run_out_and_are_revoked()
        self.credentials_come_by_file_option_or_variable()
        self.the_audit_log_says_who_did_it()
        self.a_server_whose_certificate_ran_out_is_not_believed()


if __name__ == "__main__":
    story = Story()
    sys.exit(tell(lambda: run_on(story.fleet, story.run)))
