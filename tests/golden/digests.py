#!/usr/bin/env python3
"""What documents digest to, by an implementation of its own: from RFC 8785, docs/wire-format.md (section 9) and hashlib.

usage: tests/golden/digests.py [--write FILE | --check FILE | --compare PROGRAM]

--write makes the golden file: a document per line, spelled in some odd way, behind the SHA-256 of its canonical text and its content id.
--check computes them again for the documents of the file, and exits 1 when they differ.  --compare makes fresh documents, takes those of
../shared/data where it is there, and compares with what PROGRAM (tests/unit/digests.c) says of them.
"""

import glob
import hashlib
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "property"))

import canonical  # pylint: disable=wrong-import-position

GOLDEN_COUNT = 300
FRESH_COUNT = 1000
INTEGER_MAX = 2**53 - 1
EDGES = ("0", "-0", "-0.0", "1e0", "10e-1", "1E+2", "9007199254740991", "-9007199254740991", "9007199254740992.0", "1e20", "1e21", "1e-6",
         "1e-7", "5e-324", "1.7976931348623157e308", "2.2250738585072014e-308", "0.1", "0.30000000000000004", "333333333.33333329",
         "1e23", "123456789012345680000.0", "-1.5e-9", "4.50", "2e-3", "0.000001", "1e-400", "3.0000000000000001")
STRINGS = ("", "a", "\u00e9", "\u20ac", "\U0001f600", "\ufb33", "\U00010000", "\uffff", "\x7f", "\u2028", "/", "\"", "\\", "\b\f\n\r\t", "\x01\x1f",
           "key", "\u0301e", "\u1e9b\u0323")

# ---- Digests ----------------------------------------------------------------------------------


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def body_string(text):
    raw = text.encode()
    return varint(len(raw)) + raw + b"\0"


def body_value(value):
    """A value of the body, by the table of section 9."""
    if value is None:
        return b"\x01"
    if isinstance(value, bool):
        return b"\x03" if value else b"\x02"
    if isinstance(value, (int, float)):
        if float(value).is_integer() and abs(value) <= INTEGER_MAX:
            n = int(value)
            return b"\x04" + varint(2 * n if n >= 0 else -2 * n - 1)
        return b"\x05" + struct.pack("<d", float(value))
    if isinstance(value, str):
        return b"\x06" + body_string(value)
    if isinstance(value, list):
        inner = b"".join(body_value(item) for item in value)
        return b"\x07" + varint(len(value)) + varint(len(inner)) + inner
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    inner = b"".join(body_string(name) + body_value(value[name]) for name in names)
    return b"\x08" + varint(len(value)) + varint(len(inner)) + inner


def digests(document):
    value = json.loads(document)
    body = b"CFB\x01" + varint(canonical.count(value)) + body_value(value)
    return canonical.digest(value) + " " + hashlib.sha256(b"confcast/v1/content\0" + body).hexdigest()


# ---- Documents --------------------------------------------------------------------------------


def spell_string(rng, text):
    out = ""
    for char in text:
        code = ord(char)
        style = rng.randrange(4)
        if style == 0 or code < 0x20 or char in "\"\\":
            units = char.encode("utf-16-be")
            hexes = [units[i:i + 2].hex() for i in range(0, len(units), 2)]
            out += "".join("\\u" + (h.upper() if style == 1 else h) for h in hexes)
        elif style == 1 and char == "/":
            out += "\\/"
        else:
            out += char
    return '"' + out + '"'


def spell_number(rng):
    style = rng.randrange(5)
    if style == 0:
        return rng.choice(EDGES)
    if style == 1:
        return str(rng.randrange(-1000, 1000))
    if style == 2:
        return str(rng.randrange(-INTEGER_MAX, INTEGER_MAX))
    if style == 3:
        return f"{rng.randrange(-99999, 99999)}.{rng.randrange(10**6):06d}e{rng.randrange(-20, 20)}"
    value = struct.unpack("<d", struct.pack("<Q", rng.getrandbits(64)))[0]
    return repr(value) if value - value == 0 and "." in repr(value) else "17"


def blank(rng):
    return rng.choice(("", "", "", " ", "\t", "  "))


def random_string(rng):
    return "".join(rng.choice(STRINGS) for _ in range(rng.randrange(4)))


def spell(rng, depth):
    kind = rng.randrange(9) if depth > 0 else rng.randrange(5)
    if kind < 2:
        return spell_number(rng)
    if kind == 2:
        return spell_string(rng, random_string(rng))
    if kind < 5:
        return rng.choice(("true", "false", "null", spell_number(rng)))
    if kind == 5:
        items = [blank(rng) + spell(rng, depth - 1) + blank(rng) for _ in range(rng.randrange(5))]
        return "[" + ",".join(items) + "]"
    return spell_object(rng, depth - 1)


def spell_object(rng, depth):
    names = list({random_string(rng): None for _ in range(rng.randrange(6))})
    rng.shuffle(names)
    members = [blank(rng) + spell_string(rng, name) + blank(rng) + ":" + blank(rng) + spell(rng, depth) + blank(rng) for name in names]
    return "{" + ",".join(members) + "}"


def documents(seed, count):
    rng = random.Random(seed)
    made = ['{"edges":[' + ",".join(EDGES) + "]}", '{"strings":[' + ",".join(spell_string(rng, s) for s in STRINGS) + "]}"]
    while len(made) < count:
        made.append(spell_object(rng, 5))
    return made


# ---- Modes ------------------------------------------------------------------------------------


def write(path):
    with open(path, "w", encoding="utf-8") as file:
        for document in documents(1, GOLDEN_COUNT):
            file.write(digests(document) + " " + document + "\n")


def check(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        lines = file.read().split("\n")[:-1]
    wrong = [line for line in lines if digests(line[130:]) != line[:129]]
    for line in wrong:
        print("differs:", line[:200])
    print(f"{len(lines)} documents, {len(wrong)} differ")
    return 1 if wrong or len(lines) < GOLDEN_COUNT else 0


def compare(program):
    shared = glob.glob(os.path.join(HERE, "..", "..", "..", "shared", "data", "*", "*.json"))
    paths = []
    for path in sorted(shared):
        with open(path, encoding="utf-8") as file:
            if file.read(1) == "{":
                paths.append(path)
    with tempfile.TemporaryDirectory(prefix="confcast-digests-") as folder:
        for i, document in enumerate(documents(2, FRESH_COUNT)):
            paths.append(os.path.join(folder, str(i)))
            with open(paths[-1], "w", encoding="utf-8") as file:
                file.write(document)
        out = subprocess.run([program, "--print"], input="\n".join(paths) + "\n", stdout=subprocess.PIPE, text=True, check=True).stdout
        found = out.split("\n")[:-1]
        wrong = 0
        for path, line in zip(paths, found, strict=True):
            with open(path, encoding="utf-8") as file:
                document = file.read()
            if digests(document) != line:
                print("differs:", path, line, document[:200])
                wrong += 1
    print(f"{len(paths)} documents, {len(paths) - FRESH_COUNT} of them shared, {wrong} differ")
    return 1 if wrong else 0


def main():
    modes = {"--write": write, "--check": check, "--compare": compare}
    if len(sys.argv) != 3 or sys.argv[1] not in modes:
        print(__doc__)
        return 2
    return modes[sys.argv[1]](sys.argv[2]) or 0


if __name__ == "__main__":
    sys.exit(main())
