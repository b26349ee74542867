"""What an application finds after `meson install`: the header, the library and pkg-config suffice to build docs/examples/service.c, in C
and in C++, and the program starts."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

BUILD = os.environ["CFC_BUILD"]
REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = os.path.join(REPO, "docs/examples/service.c")


def run(command, env=None, **more):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env=env, check=False, **more)
    return result.returncode, result.stdout


def must(command, env=None):
    code, output = run(command, env)
    if code != 0:
        raise AssertionError(f"{' '.join(command)}: {output}")
    return output


def find(folder, name):
    for parent, _, files in os.walk(folder):
        if name in files:
            return parent
    raise AssertionError(f"{name} was not installed")


def exported(library):
    return {line.split()[-1].split("@")[0]
            for line in must(["nm", "-D", "--defined-only", library]).splitlines()
            if " T " in line}


def declared(header):
    with open(header, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    names = re.findall(r"\b(confcast_[a-z0-9_]+)\s*\(", text)
    return {name for name in names if not name.endswith("_fn")}  # types of callbacks


def main():
    if shutil.which("pkg-config") is None:
        print("pkg-config is not here")
        return 77
    root = tempfile.mkdtemp(prefix="cfc-install-")
    try:
        must(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root, "--quiet"])
        pc = find(root, "confcast.pc")
        lib = find(root, "libconfcast.so")
        header = os.path.join(find(root, "confcast.h"), "confcast.h")
        for name in ("confcastctl.1", "confcastctl-put.1", "confcastd.8", "confcast-fleet.5", "_confcastctl",
                     "confcastctl.fish"):
            find(root, name)
        env = dict(os.environ, PKG_CONFIG_PATH=pc, PKG_CONFIG_SYSROOT_DIR=root,
                   LD_LIBRARY_PATH=lib)
        flags = must(["pkg-config", "--cflags", "--libs", "confcast"], env).split()
        program = os.path.join(root, "service")
        must(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", EXAMPLE, "-o", program, *flags], env)
        code, output = run([program], env)
        assert code == 3 and "usage" in output, (code, output)
        code, output = run([program, "/nonexistent", "/nonexistent", "lo", root, "acme"], env)
        assert code == 2 and "there is no such object" in output, (code, output)
        # The same in Python.
        env["PYTHONPATH"] = find(root, "confcast.py")
        command = [sys.executable, "-B", os.path.join(REPO, "docs/examples/service.py")]
        code, output = run(command, env)
        assert code == 3 and "usage" in output, (code, output)
        code, output = run(command + [os.path.join(root, "nobody"), "acme"], env, stdin=subprocess.DEVNULL)
        assert code == 0 and "starting on defaults: timeout" in output and "limit 64" in output, (code, output)
        # Every function of the headers is there, and nothing else is.
        names = declared(header) | declared(os.path.join(os.path.dirname(header), "error.h"))
        have = exported(os.path.join(lib, "libconfcast.so"))
        assert names == have, (names - have, have - names)
        cxx = os.path.join(root, "use.cpp")
        with open(cxx, "w", encoding="utf-8") as file:
            file.write('#include <confcast/confcast.h>\nint main() { confcast_options o = '
                       'CONFCAST_OPTIONS_INIT; confcast *c; confcast_read_lock(); '
                       'confcast_get_i64(nullptr, CONFCAST_KEY("/a"), 1, nullptr); '
                       'confcast_read_unlock(); return confcast_open(&o, &c) == '
                       'CONFCAST_ERR_INVALID ? 0 : 1; }\n')
        must(["c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", cxx, "-o", program, *flags], env)
        must([program], env)
        print(f"{len(names)} functions, in C and in C++")
    finally:
        shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
