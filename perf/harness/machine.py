"""What the figures were measured on: stated with every result."""

import os
import platform
import re
import subprocess


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def first_line(command, pattern=r"\d+[.\d]*"):
    """The version in a command's first output, or None when it is not there."""
    try:
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(pattern, done.stdout)
    return found.group(0) if found else None


def packages(names):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n", *names], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return {words[0]: words[1] for words in map(str.split, done.stdout.splitlines()) if words[-1] == "installed"}


PACKAGES = ("dpdk", "etcd-server", "libisal2", "libnorm1", "libpgm-5.3-0", "libsodium23", "libssl3", "liburcu8", "libzstd1", "librocksdb7.8",
            "uftp")


def load():
    """How many wanted a processor in the last minute."""
    return round(os.getloadavg()[0], 2)


def stolen_s():
    """Processor time that this machine wanted and its host gave to others, of all processors since it started."""
    return int(read("/proc/stat").split(None, 9)[8]) / os.sysconf("SC_CLK_TCK")


def describe(build):
    """As one record of the results."""
    cpu = re.search(r"model name\s*: (.*)", read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s+(\d+)", read("/proc/meminfo"))
    huge = re.search(r"HugePages_Total:\s+(\d+)", read("/proc/meminfo"))
    system = re.search(r'PRETTY_NAME="(.*)"', read("/etc/os-release"))
    mhz = re.search(r"cpu MHz\s*: ([\d.]+)", read("/proc/cpuinfo"))
    commit = subprocess.run(["git", "-C", os.path.dirname(os.path.abspath(__file__)), "describe", "--always", "--dirty"], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout.strip()
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(), "cores": os.cpu_count(), "mhz": round(float(mhz.group(1))) if mhz else None,
        "memory_mib": int(memory.group(1)) // 1024 if memory else None, "huge_pages": int(huge.group(1)) if huge else 0,
        "system": system.group(1) if system else "", "kernel": platform.release(), "compiler": first_line(["cc", "--version"], r"\d+\.\d+\.\d+"),
        "load_before": load(), "commit": commit or None, "packages": packages(PACKAGES),
        "build_type": build_type(build),
    }


def build_type(build):
    """Of meson's build folder: figures of a build without optimisation or with sanitizers say nothing."""
    text = read(os.path.join(build, "meson-info/intro-buildoptions.json"))
    found = {name: re.search(rf'"name": "{name}", "value": "([^"]*)"', text) for name in ("buildtype", "b_sanitize")}
    return " ".join(match.group(1) for match in found.values() if match)


def hardware_text(machine):
    """What runs of one page have in common."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (f"{machine['cores']} cores of {machine['cpu']} at {machine['mhz']} MHz, {machine['memory_mib']} MiB, {machine['huge_pages']} huge pages; "
            f"{machine['system']}, kernel {machine['kernel']}, cc {machine['compiler']}, build {machine['build_type']}\n{versions}")


def text(machine):
    return f"{hardware_text(machine)}\nload before {machine['load_before']}, commit {machine['commit']}"
