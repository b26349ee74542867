"""Processes that read through the agent of their host (confcast-agent --share), on a whole fleet: hundreds of swaps under their
readers, and an agent that is killed and started again under them.
"""

import json
import os
import signal
import socket
import sys

from fleet_story import check, fleets, run_on, tell

SCOPE = "acme/checkout/prod"
SWAPS = 60
PROCESSES = 3
KEYS = 32


def publish(fleet, generation, **more):
    path = os.path.join(fleet.folder, "next.json")
    document = {"generation": generation,
                "keys": {f"k{i}": 1000 * generation + i for i in range(KEYS)}, **more}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    fleet.ctl("put", SCOPE, "-f", path, "--promote")


class SharingAgent(fleets.Consumer):
    @property
    def share(self):
        return os.path.join(self.folder, "share")

    def command(self):
        return super().command() + ["--share", self.share]


class Process:
    """A service (consumer_service.c) that reads through the agent."""

    def __init__(self, fleet, number):
        program = os.environ.get("CFC_SERVICE") or os.path.join(
            os.path.dirname(fleet.bin_dirs[0]), "../tests/integration/consumer_service")
        agent = fleet.consumers[0]
        self.path = os.path.join(agent.folder, f"process{number}.jsonl")
        self.process = fleet.spawn(agent.netns, [program, agent.share, SCOPE], self.path)

    def last(self):
        with open(self.path, encoding="utf-8") as file:
            lines = [line for line in file if line.endswith("\n")]
        return json.loads(lines[-1]) if lines else {}

    def await_generation(self, generation):
        def probe():
            if self.process.poll() is not None:
                raise fleets.FleetError(f"a process ended with {self.process.returncode}")
            line = self.last()
            return line if line.get("generation") == generation else None
        return fleets.wait_until(f"generation {generation} in a process", probe, 20)


def await_all(processes, generation):
    return [process.await_generation(generation) for process in processes]


class Manager:
    """What a service manager hears (sd_notify(3))."""

    def __init__(self, fleet):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = os.path.join(fleet.folder, "notify")
        self.socket.bind(path)
        self.socket.settimeout(10)
        self.env = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "300000"}

    def hear(self, wanted):
        """Waits for a message with this line; what came before it."""
        before = []
        while True:
            message = self.socket.recv(4096).decode().split("\n")
            if wanted in message:
                return before
            before.append(message)


def check_manager(fleet, agent):
    """The agent, started by a service manager: it says when it serves, that it lives, and that it ends."""
    manager = Manager(fleet)
    agent.kill()
    fleet.env.update(manager.env)
    try:
        agent.start()
    finally:
        for name in manager.env:
            del fleet.env[name]
    check("ready comes first", manager.hear("READY=1") == [])
    check("it serves then", agent.get("/generation") is not None)
    for _ in range(3):
        check("it lives", manager.hear("WATCHDOG=1") == [])
    os.kill(agent.process.pid, signal.SIGSTOP)  # a hung one is not heard of
    manager.socket.settimeout(0.6)
    try:
        while True:
            manager.hear("WATCHDOG=1")  # those that were said before
    except TimeoutError:
        passed_silence = True
    check("one that hangs is silent", passed_silence)
    manager.socket.settimeout(10)
    os.kill(agent.process.pid, signal.SIGCONT)
    manager.hear("WATCHDOG=1")
    agent.process.terminate()
    manager.hear("STOPPING=1")
    check("it ends well", agent.process.wait(20) == 0)
    agent.start()
    fleet.wait_applied()


def story(fleet, processes):
    agent = fleet.consumers[0]
    publish(fleet, 1)
    fleet.wait_applied()
    processes += [Process(fleet, number) for number in range(PROCESSES)]
    await_all(processes, 1)
    for generation in range(2, SWAPS):
        publish(fleet, generation)
    for line in await_all(processes, SWAPS - 1):
        check("it reads through its agent", line["source"] == "agent", line)
        check("and nothing of the network", line["datagrams"] == 0, line)

    agent.kill()
    publish(fleet, SWAPS)
    before = [process.last()["sections"] for process in processes]
    fleets.wait_until("every process knows that its agent is gone",
                      lambda: all(process.last()["stale"] for process in processes), 20)
    for process, sections in zip(processes, before):
        line = process.last()
        check("it serves on without", line["generation"] == SWAPS - 1, line)
        check("and reads on", line["sections"] > sections, line)
    agent.start()
    await_all(processes, SWAPS)
    fleet.wait_applied()

    check_manager(fleet, agent)
    await_all(processes, SWAPS)

    publish(fleet, SWAPS + 1, poison=True)
    fleet.wait_applied()
    fleets.wait_until("every process refuses", lambda: all(
        process.last()["refusals"] > 0 for process in processes), 20)
    publish(fleet, SWAPS + 2)
    await_all(processes, SWAPS + 2)
    for process in processes:
        process.process.terminate()
        code = process.process.wait(20)
        line = process.last()
        check("it found nothing wrong", code == 0, f"exit {code}: {line}")
        check("no section saw two contents, none an older one",
              line["mixed"] == 0 and line["fallen"] == 0 and line["sections"] > 0, line)
    print(f"{SWAPS} swaps in {PROCESSES} processes, their agent killed and back: all whole", flush=True)


def run():
    fleet = fleets.Fleet(f"agent-{os.getpid()}", SCOPE, 1)
    fleet.consumers[0] = SharingAgent(fleet, 1)
    processes = []
    try:
        run_on(fleet, lambda: story(fleet, processes))
    finally:
        for process in processes:
            process.process.kill()


if __name__ == "__main__":
    sys.exit(tell(run))
