#!/usr/bin/env python3
"""Writes the golden vectors of the wire format, from docs/wire-format.md and not from the C code.

usage: tests/golden/make.py [--check FILE | --corpus FOLDER]

Prints the vectors; with --check, compares them with FILE and exits 1 when they differ; with
--corpus, writes each frame to a file of its own, as seeds of the fuzz targets.  Only the standard
library is used: hashlib for SHA-256 and BLAKE2b, Ed25519 in plain arithmetic (RFC 8032,
section 5.1), Reed-Solomon over GF(2^8) by shift and add.  Nothing here is meant to be fast or to
keep a secret.
"""

import hashlib
import os
import struct
import sys

# -- Ed25519 (RFC 8032) ------------------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def recover_x(y, sign):
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P != 0:
        x = x * pow(2, (P - 1) // 4, P) % P
    return P - x if x % 2 != sign else x


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = (recover_x(BASE_Y, 0), BASE_Y, 1, recover_x(BASE_Y, 0) * BASE_Y % P)


def point_add(a, b):
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    i, j, k, m = f - e, h - g, h + g, f + e
    return (i * j % P, k * m % P, j * k % P, i * m % P)


def point_mul(s, point):
    q = (0, 1, 1, 0)
    while s > 0:
        if s & 1:
            q = point_add(q, point)
        point = point_add(point, point)
        s >>= 1
    return q


def point_bytes(point):
    z = pow(point[2], P - 2, P)
    x, y = point[0] * z % P, point[1] * z % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def secret_expand(seed):
    h = hashlib.sha512(seed).digest()
    a = int.from_bytes(h[:32], "little")
    return (a & ((1 << 254) - 8)) | (1 << 254), h[32:]


def ed25519_public(seed):
    return point_bytes(point_mul(secret_expand(seed)[0], BASE))


def ed25519_sign(seed, message):
    a, prefix = secret_expand(seed)
    public = point_bytes(point_mul(a, BASE))
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % L
    r_bytes = point_bytes(point_mul(r, BASE))
    k = int.from_bytes(hashlib.sha512(r_bytes + public + message).digest(), "little") % L
    return r_bytes + ((r + k * a) % L).to_bytes(32, "little")


# -- Digests and keys --------------------------------------------------------------------------

def domain(word):
    return b"confcast/v1/" + word.encode() + b"\0"


def digest(word, *pieces):
    return hashlib.sha256(domain(word) + b"".join(pieces)).digest()


def short(word, *pieces):
    return digest(word, *pieces)[:16]


def name_key(text):
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little")


def mac(key, word, *pieces):
    return hashlib.blake2b(domain(word) + b"".join(pieces), key=key, digest_size=16).digest()


def derive(key, word, *pieces):
    return hashlib.blake2b(domain(word) + b"".join(pieces), key=key, digest_size=32).digest()


# -- GF(2^8), polynomial 0x11d -----------------------------------------------------------------

def gf_mul(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11d
        b >>= 1
    return product


def gf_inverse(a):
    return next(b for b in range(1, 256) if gf_mul(a, b) == 1)


def cauchy_row(i, k):
    return bytes(gf_inverse(i ^ j) for j in range(k))


def repair_symbol(i, sources, symbol_size):
    out = bytearray(symbol_size)
    for coefficient, source in zip(cauchy_row(i, len(sources)), sources):
        for n, byte in enumerate(source):
            out[n] ^= gf_mul(coefficient, byte)
    return bytes(out)


# -- Frames ------------------------------------------------------------------------------------

HEAD, CONTENT, PAGE, SYMBOL, FRESH, STATUS, WELCOME, GONE = range(1, 9)
HELLO, REPORT, NACK = 16, 17, 18
ADVICE, LOSS = 0x89, 0x93


def le(fmt, *values):
    return struct.pack("<" + fmt, *values)


def run(first, size):
    """`size` bytes that count up from `first`."""
    return bytes((first + i) & 0xff for i in range(size))


def frame(kind, key, rest, size_add=0):
    size = 16 + len(rest) + size_add
    return le("HBBHHQ", 0xcfc5, 1, kind, size, 0, key) + rest


def signed_frame(kind, key, word, fields, rest=b""):
    """`fields` follow the signed size."""
    part = le("H", 2 + len(fields)) + fields
    return frame(kind, key, part + ed25519_sign(SEED, domain(word) + part) + rest)


def maced_frame(kind, key, rest, mac_key, word):
    bare = frame(kind, key, rest, 16)
    return bare + mac(mac_key, word, bare)


def sealed_frame(kind, key, rest, session, seq):
    bare = frame(kind, key, rest + le("IIQ", session, 0, seq), 16)
    return bare + mac(SESSION_KEY, "frame", bare, CONSUMER_IP, le("H", CONSUMER_PORT))


def tlv(kind, value):
    return le("HH", kind, len(value)) + value


def ipv4(a, b, c, d):
    return bytes(10) + b"\xff\xff" + bytes([a, b, c, d])


# -- Inputs ------------------------------------------------------------------------------------

SEED = run(0, 32)
PUBLIC_KEY = ed25519_public(SEED)
KEY_ID = hashlib.sha256(PUBLIC_KEY).digest()[:8]
SCOPE = b"acme/checkout/prod"
SCOPE_ID = name_key(SCOPE)
CONSUMER = b"host-17.eu-1"
CONSUMER_KEY = name_key(CONSUMER)
CONSUMER_IP, CONSUMER_PORT = ipv4(10, 0, 0, 17), 40000
BOOT_ID = 0xb007b007b007b007
SALT = 0x1122334455667788
HELLO_NONCE, ENGINE_NONCE = run(1, 16), run(9, 16)
FLEET_SESSION_KEY, FLEET_REPORT_KEY, COOKIE_KEY = run(0x40, 32), run(0x60, 32), run(0x90, 32)
CREDENTIAL_KEY = derive(FLEET_SESSION_KEY, "cred-session", CONSUMER)
REPORT_KEY = derive(FLEET_REPORT_KEY, "cred-report", CONSUMER)
SESSION_KEY = derive(CREDENTIAL_KEY, "session", HELLO_NONCE, ENGINE_NONCE, le("Q", BOOT_ID))
COOKIE_SLOT = 28333333
COOKIE = mac(COOKIE_KEY, "cookie", le("QQ", COOKIE_SLOT, CONSUMER_KEY), CONSUMER_IP,
             le("H", CONSUMER_PORT))
TIME = 1700000000 * 10**9


def body_string(text):
    assert len(text) < 128 * 128
    size = bytes([len(text)]) if len(text) < 128 else bytes([len(text) & 127 | 128, len(text) >> 7])
    return size + text + b"\0"


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def body_of(members, node_count):
    """The body of one flat object whose members' values are encoded already."""
    inner = b"".join(body_string(key) + value for key, value in members)
    return (b"CFB\x01" + varint(node_count) + b"\x08" + varint(len(members)) + varint(len(inner))
            + inner)


# {"retries":3}; an i64 is zigzag, so 3 is 6.
SMALL_BODY = body_of([(b"retries", b"\x04\x06")], 2)
# {"motd":"<600 letters>","on":true}
MOTD = bytes(ord("a") + i * i % 26 for i in range(600))
RAW_BODY = body_of([(b"motd", b"\x06" + body_string(MOTD)), (b"on", b"\x03")], 3)


# -- Messages ----------------------------------------------------------------------------------

def head_fields(version, activation, arms, activate_at=0, confirm_by=0):
    return (le("HBBBBIIQQQQQQQ", len(SCOPE), 0, activation, len(arms), 0, 7, 0, 5, version, TIME,
               TIME + 86400 * 10**9, activate_at, confirm_by, SALT) + KEY_ID + SCOPE
            + b"".join(arms))


def arm(selector, content, fallback=bytes(32), threshold=0, label=(b"", b"")):
    return (le("BBBBI", selector, len(label[0]), len(label[1]), 0, threshold) + content + fallback
            + label[0] + label[1])


HEAD_FIELDS = head_fields(1042, 2, [
    arm(2, run(0x10, 32), run(0xa0, 32), 0, (b"zone", b"eu-1")),
    arm(1, run(0x30, 32), threshold=0x0ccccccc),
    arm(0, digest("content", SMALL_BODY)),
], TIME + 60 * 10**9, TIME + 360 * 10**9)
HEAD_SIGNED = le("H", 2 + len(HEAD_FIELDS)) + HEAD_FIELDS
HEAD_FRAME = signed_frame(HEAD, SCOPE_ID, "head", HEAD_FIELDS,
                          tlv(1, le("BBHI", 2, 0, 0, len(SMALL_BODY)) + SMALL_BODY))
HEAD_FRAME_DELTA = signed_frame(HEAD, SCOPE_ID, "head", HEAD_FIELDS,
                                tlv(5, le("BBHI", 2, 0, 0, 5000) + run(0x33, 32) + b"delta"))
HEAD_FRAME_PLAIN = signed_frame(HEAD, SCOPE_ID, "head", head_fields(1041, 0, [arm(0, run(0x10, 32))]))


def content_fields(coding, encoding, fec, k, repair, body_size, coded_size, symbol_size, levels,
                   content_id, base, top):
    return (le("HBBBBQQHBBI", coding, encoding, fec, k, repair, body_size, coded_size, symbol_size,
               levels, len(top) // 16, 7) + KEY_ID + content_id + base + top)


CONTENT_DELTA_ID = run(0x10, 32)
CONTENT_DELTA = signed_frame(
    CONTENT, int.from_bytes(CONTENT_DELTA_ID[:8], "little"), "coding",
    content_fields(1, 2, 1, 16, 8, 700000, 100000, 1440, 1, CONTENT_DELTA_ID, run(0x50, 32),
                   run(0x80, 80)))

# A whole content: RAW, symbols of 64 bytes, blocks of 4 source and 2 repair symbols.
RAW_ID = digest("content", RAW_BODY)
RAW_KEY = int.from_bytes(RAW_ID[:8], "little")
RAW_CODING, RAW_SYMBOL_SIZE, RAW_K, RAW_REPAIR = 3, 64, 4, 2


def leaf(content_id, coding, block, index, symbol):
    return short("symbol", content_id, le("IHH", block, index, coding), symbol)


def page_digest(content_id, coding, level, page, digests):
    return short("page", content_id, le("HBBI", coding, level, 0, page), digests)


def cut(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)]


RAW_BLOCKS = cut(cut(RAW_BODY, RAW_SYMBOL_SIZE), RAW_K)
RAW_PAGES = []
RAW_REPAIRS = []
for number, sources in enumerate(RAW_BLOCKS):
    repairs = [repair_symbol(len(sources) + r, sources, RAW_SYMBOL_SIZE) for r in range(RAW_REPAIR)]
    RAW_REPAIRS.append(repairs)
    RAW_PAGES.append(b"".join(leaf(RAW_ID, RAW_CODING, number, index, symbol)
                              for index, symbol in enumerate(sources + repairs)))
RAW_TOP = b"".join(page_digest(RAW_ID, RAW_CODING, 0, number, digests)
                   for number, digests in enumerate(RAW_PAGES))
CONTENT_RAW = signed_frame(
    CONTENT, RAW_KEY, "coding",
    content_fields(RAW_CODING, 0, 1, RAW_K, RAW_REPAIR, len(RAW_BODY), len(RAW_BODY),
                   RAW_SYMBOL_SIZE, 1, RAW_ID, bytes(32), RAW_TOP))


def page_frame(number):
    digests = RAW_PAGES[number]
    return frame(PAGE, RAW_KEY, le("HBBI", RAW_CODING, 0, len(digests) // 16, number) + digests)


def symbol_frame(block, index):
    sources = RAW_BLOCKS[block]
    symbol = sources[index] if index < len(sources) else RAW_REPAIRS[block][index - len(sources)]
    return frame(SYMBOL, RAW_KEY, le("HHI", RAW_CODING, index, block) + symbol)


def fresh_entry(i):
    return le("QQ", 1000 + 3 * i, 40 + i) + run(i & 0xff, 16)


def fresh_pages(count):
    """Root and frames of a FRESH with `count` entries."""
    pages = cut([fresh_entry(i) for i in range(count)], 32)
    level = [short("fresh-leaf", le("I", i), *page) for i, page in enumerate(pages)]
    levels = [level]
    while len(level) > 1:
        level = [short("fresh-node", *pair) if len(pair) == 2 else pair[0]
                 for pair in cut(level, 2)]
        levels.append(level)
    root = level[0] if level else bytes(16)
    fields = le("HIQQQQII", 0, 7, 5, 1042, TIME, TIME + 3 * 10**9, 100, count) + root + KEY_ID
    frames = []
    for i, page in enumerate(pages or [[]]):
        proof = []
        for depth, nodes in enumerate(levels[:-1]):
            if (i >> depth) ^ 1 < len(nodes):
                proof.append(nodes[(i >> depth) ^ 1])
        rest = le("IIBBH", i, len(pages), len(proof), len(page), 0)
        frames.append(signed_frame(FRESH, 7, "fresh", fields,
                                   rest + b"".join(proof) + b"".join(page)))
    return root, frames


HELLO_FRAME = maced_frame(
    HELLO, CONSUMER_KEY,
    le("Q", 12) + HELLO_NONCE + COOKIE + le("BBHI", len(CONSUMER), 2, 0, 0) + CONSUMER
    + le("BB", 4, 4) + b"zone" + b"eu-1" + le("BB", 4, 0) + b"tier"
    + tlv(2, HEAD_FRAME_PLAIN) + tlv(3, le("QQ", RAW_KEY, 0x7001)) + tlv(6, le("Q", 1)), CREDENTIAL_KEY, "hello")
# A short one: 64 + 12 + 16 bytes, and so 36 of padding, 4 of them its header.
HELLO_FIRST = maced_frame(
    HELLO, CONSUMER_KEY,
    le("Q", 12) + HELLO_NONCE + bytes(16) + le("BBHI", len(CONSUMER), 0, 0, 0) + CONSUMER
    + tlv(4, bytes(32)), CREDENTIAL_KEY, "hello")


def welcome(kind, session, token, refusal):
    fields = (le("BBHI", kind, 0, 0, session) + HELLO_NONCE + token + CONSUMER_IP
              + le("HHIIIII", CONSUMER_PORT, refusal, 0, 1000, 2000, 3000, 4))
    if kind == 0:
        return frame(WELCOME, BOOT_ID, fields + bytes(16))
    return maced_frame(WELCOME, BOOT_ID, fields, CREDENTIAL_KEY, "welcome")


STATUS_FRAME = frame(
    STATUS, BOOT_ID,
    le("QIIIIIHH", TIME, 4, 100000, 1000, 2000, 3000, 2, 7401) + ipv4(10, 0, 0, 1)
    + le("QQQQ", 0x1111, 5, 0x2222, 6))

REPORT_FIXED = le("QQqIBBH", 12, 34, -1500000, 900, 0, 1, 2)
REPORT_ENTRIES = (le("QQQQQQBBHI", 0x1001, 5, 1042, 1042, 1041, 0x7001, 3, 2, 0, 4)
                  + le("QQQQQQBBHI", 0x1002, 5, 9, 0, 0, 0, 4, 0, 61, 0))
REPORT_TAG = mac(REPORT_KEY, "report-tag", le("B", len(CONSUMER)), CONSUMER, REPORT_FIXED,
                 REPORT_ENTRIES)
REPORT_FRAME = sealed_frame(REPORT, CONSUMER_KEY, REPORT_FIXED + REPORT_TAG + REPORT_ENTRIES, 77, 3)


def nack_entry(want, key, level=0, coding=0, index=0, mask=0, count=0):
    return le("BBHIQQHHI", want, level, coding, index, key, mask, count, 0, 0)


NACK_FRAME = sealed_frame(
    NACK, CONSUMER_KEY,
    le("HHI", 5, 0, 0) + nack_entry(1, 0x1001, mask=1042) + nack_entry(2, 0x7001)
    + nack_entry(3, 0x7001, level=1, coding=1, index=3)
    + nack_entry(4, 0x7001, coding=1, index=4, mask=0x15, count=3)
    + nack_entry(5, 7, mask=0x1001), 77, 4)
LOSS_FRAME = sealed_frame(LOSS, CONSUMER_KEY, le("IIHBBI", 4096, 200, 3200, 8, 0, 1), 77, 5)
LOSS_FRAME_TLV = sealed_frame(
    LOSS, CONSUMER_KEY, le("IIHBBI", 40, 0, 0, 1, 0, 0) + tlv(0x7ff, b"later"), 77, 6)
ADVICE_FRAME = maced_frame(ADVICE, BOOT_ID, le("BBHIIIQ", 1, 0, 0, 300, 77, 0, 9), SESSION_KEY,
                           "advice")
GONE_FRAME = frame(GONE, 0x7001, le("BBHI", 4, 0, 1, 4))


def non_canonical(signature):
    s = int.from_bytes(signature[32:], "little") + L
    return signature[:32] + s.to_bytes(32, "little")


# -- Output ------------------------------------------------------------------------------------

def vectors():
    yield "key.seed", SEED
    yield "key.public", PUBLIC_KEY
    yield "key.id", KEY_ID
    yield "key.fleet_session", FLEET_SESSION_KEY
    yield "key.fleet_report", FLEET_REPORT_KEY
    yield "key.cookie", COOKIE_KEY
    yield "key.credential_session", CREDENTIAL_KEY
    yield "key.credential_report", REPORT_KEY
    yield "key.session", SESSION_KEY
    yield "name.scope", SCOPE
    yield "name.scope_id", le("Q", SCOPE_ID)
    yield "name.consumer", CONSUMER
    yield "name.consumer_key", le("Q", CONSUMER_KEY)
    yield "name.cohort", digest("cohort", le("Q", SALT), CONSUMER)[:4]
    yield "body.small", SMALL_BODY
    yield "body.small_id", digest("content", SMALL_BODY)
    yield "body.raw", RAW_BODY
    yield "body.raw_id", RAW_ID
    yield "tree.leaf_source", RAW_PAGES[0][:16]
    yield "tree.leaf_repair", RAW_PAGES[0][64:80]
    yield "tree.page_0", RAW_PAGES[0]
    yield "tree.page_last", RAW_PAGES[-1]
    yield "tree.top", RAW_TOP
    for i, k in ((4, 4), (5, 4), (64, 64), (79, 64), (255, 64)):
        yield f"fec.row_{i}_of_{k}", cauchy_row(i, k)
    yield "fec.block_0_repairs", b"".join(RAW_REPAIRS[0])
    yield "fec.block_last_repairs", b"".join(RAW_REPAIRS[-1])
    yield "fec.all_repairs", b"".join(b"".join(repairs) for repairs in RAW_REPAIRS)
    yield "link.cookie", COOKIE
    yield "report.tag", REPORT_TAG
    yield "head.digest", short("head-id", HEAD_SIGNED)
    yield "head.non_canonical_signature", non_canonical(
        ed25519_sign(SEED, domain("head") + HEAD_SIGNED))
    yield "frame.head", HEAD_FRAME
    yield "frame.head_delta", HEAD_FRAME_DELTA
    yield "frame.head_plain", HEAD_FRAME_PLAIN
    yield "frame.content_delta", CONTENT_DELTA
    yield "frame.content_raw", CONTENT_RAW
    yield "frame.page", page_frame(0)
    yield "frame.page_last", page_frame(len(RAW_PAGES) - 1)
    yield "frame.symbol_source", symbol_frame(0, 0)
    yield "frame.symbol_repair", symbol_frame(0, 5)
    yield "frame.symbol_last", symbol_frame(len(RAW_BLOCKS) - 1, len(RAW_BLOCKS[-1]) - 1)
    for count in (0, 3, 70):
        root, frames = fresh_pages(count)
        yield f"fresh.root_of_{count}", root
        for i, one in enumerate(frames):
            yield f"frame.fresh_{count}_page_{i}", one
    yield "frame.status", STATUS_FRAME
    yield "frame.welcome_challenge", welcome(0, 0, COOKIE, 0)
    yield "frame.welcome_accept", welcome(1, 77, ENGINE_NONCE, 0)
    yield "frame.welcome_refuse", welcome(2, 0, bytes(16), 27)
    yield "frame.gone", GONE_FRAME
    yield "frame.hello", HELLO_FRAME
    yield "frame.hello_first", HELLO_FIRST
    yield "frame.report", REPORT_FRAME
    yield "frame.nack", NACK_FRAME
    yield "frame.loss", LOSS_FRAME
    yield "loss.with_tlv", LOSS_FRAME_TLV
    yield "frame.advice", ADVICE_FRAME


def text():
    lines = ["# Golden vectors of the wire format, written by tests/golden/make.py.",
             "# A name, then its bytes in hex on the indented lines that follow it."]
    for name, value in vectors():
        lines.append(name)
        lines += ["  " + value[i:i + 40].hex() for i in range(0, len(value), 40)]
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        with open(sys.argv[2], encoding="ascii") as file:
            if file.read() != text():
                sys.exit(f"make.py: {sys.argv[2]} is not what this script writes")
    elif len(sys.argv) == 3 and sys.argv[1] == "--corpus":
        for name, value in vectors():
            if name.startswith("frame."):
                with open(os.path.join(sys.argv[2], name[6:]), "wb") as file:
                    file.write(value)
    elif len(sys.argv) == 1:
        sys.stdout.write(text())
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
