"""A whole fleet on this machine: the daemons of one confcast in the namespaces of a test bed.

For quickstart, the integration tests and perf.  A fleet has a name and lives in two places that follow
from it: the test bed cf-NAME and the folder /var/tmp/confcast-NAME.  Whoever knows the name can take
the fleet down, also after the process that made it was killed.

A secured fleet has an authority of its own in the folder tls, and its control plane serves HTTPS on
loopback of its namespace besides the unix socket; Fleet.who() gives the ways to speak to it.
"""

import json
import os
import shutil
import subprocess
import time
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import certificates

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PORT = 7500
API_PORT = 7443
BIN_DIRS = ("controlplane/app", "controlplane/ctl", "dataplane", "consumer/app")
READY_S = 10.0


def load_testbed():
    path = os.path.join(REPO, "scripts/testbed")
    spec = spec_from_loader("testbed", SourceFileLoader("testbed", path))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


testbed = load_testbed()


class FleetError(Exception):
    pass


def wait_until(what, probe, timeout_s=READY_S, every_s=0.02):
    """probe() until it answers something true, which is returned."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise FleetError(f"{what} took more than {timeout_s:.0f} s")
        time.sleep(every_s)


class Consumer:
    """One consumer host: its folder, its agent and what the agent has said so far."""

    def __init__(self, fleet, number):
        self.id = f"c{number}"
        self.fleet = fleet
        self.netns = fleet.bed.consumer(number)
        self.folder = os.path.join(fleet.folder, self.id)
        self.state_dir = os.path.join(self.folder, "state")
        self.credential = os.path.join(self.folder, "credential.json")
        self.events_path = os.path.join(self.folder, "events.jsonl")
        self.labels = {"zone": f"eu-{1 + number % 2}"}
        self.process = None

    def command(self):
        command = ["confcast-agent", "--fleet", self.fleet.fleet_file, "--credential",
                   self.credential, "--id", self.id, "--scope", self.fleet.scope, "--interface",
                   "eth0", "--state-dir", self.state_dir, "--events", "-"]
        for key, value in self.labels.items():
            command += ["--label", f"{key}={value}"]
        return command

    def start(self):
        self.process = self.fleet.spawn(self.netns, self.command(), self.events_path)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def events(self, name=None):
        events = []
        try:
            with open(self.events_path, encoding="utf-8") as file:
                for line in file:
                    if line.endswith("\n"):
                        events.append(json.loads(line))
        except FileNotFoundError:
            pass
        return [event for event in events if name in (None, event["event"])]

    def get(self, pointer=None):
        """The current value as canonical JSON, or None when the consumer holds nothing."""
        command = ["confcast-agent", "get", "--state-dir", self.state_dir, self.fleet.scope]
        result = self.fleet.run(command + ([pointer] if pointer is not None else []))
        return result.stdout.rstrip("\n") if result.returncode == 0 else None


class Fleet:
    def __init__(self, name, scope, consumer_count=8, loss=0.0, build=None,
                 engine_args=(), ipv6=False, secured=False):
        build = build or os.environ.get("CFC_BUILD") or os.path.join(REPO, "build")
        self.bed = testbed.Bed(f"cf-{name}")
        self.name = name
        self.scope = scope
        self.loss = loss
        self.folder = f"/var/tmp/confcast-{name}"
        self.keys = os.path.join(self.folder, "keys")
        self.fleet_file = os.path.join(self.keys, "fleet.json")
        self.validators = os.path.join(self.folder, "validators")
        self.socket = os.path.join(self.folder, "confcastd.sock")
        self.engine_socket = os.path.join(self.folder, "engine.sock")
        self.server = f"unix:{self.socket}"
        self.bin_dirs = [os.path.join(build, part) for part in BIN_DIRS]
        self.path = ":".join(self.bin_dirs + [os.environ.get("PATH", "")])
        self.env = dict(os.environ, PATH=self.path, CONFCAST_SERVER=self.server)
        self.consumers = [Consumer(self, number) for number in range(1, consumer_count + 1)]
        self.engine_args = list(engine_args)
        self.group_base = "ff35::8000:0" if ipv6 else "239.77.1.0"
        self.engine_address = f"[fd77::1]:{PORT}" if ipv6 else f"10.77.0.1:{PORT}"
        self.tls = os.path.join(self.folder, "tls") if secured else None
        self.server_cert = "server"
        self.control = None
        self.engine = None

    def spawn(self, netns, command, stdout):
        """Starts a daemon inside a namespace, in a session of its own so that it outlives us."""
        with open(stdout, "ab") as out, open(stdout + ".err", "ab") as err:
            return subprocess.Popen(["ip", "netns", "exec", netns] + command, env=self.env,
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                    start_new_session=True)

    def run(self, command, check=False):
        result = subprocess.run(command, env=self.env, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if check and result.returncode != 0:
            words = " ".join(os.path.basename(word) for word in command)
            raise FleetError(f"{words}: exit {result.returncode}: {result.stderr.strip()}")
        return result

    def ctl(self, *args):
        return self.run(["confcastctl", *args], check=True).stdout

    def ctl_json(self, *args):
        return json.loads(self.ctl("-o", "json", *args))

    def exists(self):
        return os.path.exists(self.folder) or bool(self.bed.namespaces())

    def up(self):
        """Makes everything; on failure the caller calls down()."""
        for name in ("confcastctl", "confcastd", "confcast-dataplane", "confcast-agent"):
            if shutil.which(name, path=self.path) is None:
                raise FleetError(f"{name} is not built")
        os.mkdir(self.folder, 0o700)
        with open(os.path.join(self.folder, "pid"), "w", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
        self.bed.up(len(self.consumers), self.loss, PORT, testbed.MTU_DEFAULT)
        self.make_keys()
        if self.tls:
            self.make_certificates()
        self.start_engine()
        self.start_control()
        for consumer in self.consumers:
            consumer.start()

    def make_keys(self):
        """Keys, fleet.json, and a folder and a credential for each consumer."""
        self.ctl("key", "init", "--dir", self.keys, "--fleet", self.name, "--group-base",
                 self.group_base, "--group-count", "4", "--port", str(PORT),
                 "--engine", self.engine_address)
        for consumer in self.consumers:
            os.makedirs(consumer.state_dir)
            labels = [f"{key}={value}" for key, value in consumer.labels.items()]
            self.ctl("key", "enroll", "--dir", self.keys, "--id", consumer.id, "-o",
                     consumer.credential, *[word for label in labels for word in ("--label", label)])

    def make_certificates(self):
        os.mkdir(self.tls, 0o700)
        certificates.make_ca(self.tls, "ca")
        certificates.make_crl(self.tls, "ca")
        certificates.make_cert(self.tls, "ca", self.server_cert, "server")

    def tls_file(self, name):
        return os.path.join(self.tls, name)

    def start_engine(self):
        self.engine = self.spawn(
            f"{self.bed.prefix}-engine",
            ["confcast-dataplane", "--port", "net_af_packet:eth0", "--fleet", self.fleet_file,
             "--session-key", os.path.join(self.keys, "session.key"), "--control",
             self.engine_socket] + self.engine_args, os.path.join(self.folder, "engine.log"))
        wait_until("the engine's socket", lambda: self.check_alive() and os.path.exists(
            self.engine_socket))

    def start_control(self):
        os.makedirs(self.validators, exist_ok=True)
        self.control = self.spawn(
            f"{self.bed.prefix}-control",
            ["confcastd", "--data", os.path.join(self.folder, "store"), "--keys", self.keys,
             "--unix", self.socket, *self.listen_args(), "--engine-socket",
             self.engine_socket, "--validators", self.validators], os.path.join(self.folder, "confcastd.log"))
        wait_until("confcastd", lambda: self.check_alive() and self.run(
            ["confcastctl", "status"]).returncode == 0)

    def listen_args(self):
        if not self.tls:
            return ["--listen", "none"]
        return ["--listen", f"127.0.0.1:{API_PORT}", "--tls-cert",
                self.tls_file(f"{self.server_cert}.pem"), "--tls-key",
                self.tls_file(f"{self.server_cert}.key"), "--tls-client-ca", self.tls_file("ca.pem"),
                "--tls-client-crl", self.tls_file("ca.crl")]

    def who(self, **env):
        """What runs a command as somebody who is on the control host and speaks TLS, with further
        CONFCAST_* variables: a function of arguments that gives a subprocess.CompletedProcess."""
        told = {**self.env, "CONFCAST_SERVER": f"https://127.0.0.1:{API_PORT}",
                "CONFCAST_CACERT": self.tls_file("ca.pem"), **env}
        command = ["ip", "netns", "exec", f"{self.bed.prefix}-control", "confcastctl"]

        def run(*args, stdin="", **options):
            return subprocess.run(command + list(args), env=told, input=stdin, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **options)

        run.command, run.env = command, told
        return run

    def check_alive(self):
        """True, or FleetError with the last words of a daemon that has ended."""
        for name, process in (("engine.log", self.engine), ("confcastd.log", self.control)):
            if process is not None and process.poll() is not None:
                with open(os.path.join(self.folder, name + ".err"), encoding="utf-8",
                          errors="replace") as file:
                    words = file.read().strip().splitlines()[-3:]
                raise FleetError(f"{process.args[4]} ended with {process.returncode}: "
                                 + "; ".join(words))
        return True

    def print_logs(self, lines=25):
        """The last words of every daemon, for whoever reads a failed test."""
        names = ["engine.log", "confcastd.log"]
        names += [os.path.join(consumer.id, "events.jsonl") for consumer in self.consumers]
        for name in names:
            for path in (os.path.join(self.folder, name), os.path.join(self.folder, name + ".err")):
                try:
                    with open(path, encoding="utf-8", errors="replace") as file:
                        words = file.read().splitlines()[-lines:]
                except FileNotFoundError:
                    continue
                if words:
                    print(f"-- {os.path.relpath(path, self.folder)}")
                    print("\n".join(words), flush=True)

    def wait_applied(self, timeout_s=20):
        """Until every consumer serves what is published.  A count, not a share: a consumer whose first
        report was lost is not yet known to the control plane, and a share would leave it out."""
        self.ctl("wait", self.scope, "--applied", str(len(self.consumers)), "--timeout",
                 f"{timeout_s}s")

    def down(self):
        self.bed.down()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.exists():
            raise FleetError(f"{self.folder} cannot be removed")

    def write_env(self, path):
        values = {
            "PATH": ":".join(self.bin_dirs) + ":$PATH",
            "CONFCAST_SERVER": self.server,
            "CONFCAST_SCOPE": self.scope,
            "CONFCAST_FOLDER": self.folder,
            "CONFCAST_STATE_DIRS": " ".join(consumer.state_dir for consumer in self.consumers),
            "CONFCAST_NETNS": " ".join(
                [f"{self.bed.prefix}-engine", f"{self.bed.prefix}-control"]
                + [consumer.netns for consumer in self.consumers]),
        }
        with open(path, "w", encoding="utf-8") as file:
            for name, value in values.items():
                file.write(f'export {name}="{value}"\n')
