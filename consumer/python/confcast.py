"""Read configuration that a confcast fleet distributes: libconfcast (confcast/confcast.h) by ctypes.

    import confcast

    with confcast.Client(agent="/run/confcast/share") as client:
        scope = client.subscribe("acme/checkout/prod", on_change=lambda scope, before, after: ...)
        scope.wait(timeout=5)
        limit = scope.get_int("/http_server/concurrency_max", 64)
        with scope.view() as view:                  # one version, for all that belongs together
            pool = view.get_int("/db/pool_size", 10), view.get_str("/db/host", "localhost")

Keys are JSON Pointers (RFC 6901).  Reads never fail: they give the default when the key is not there,
has another type, or nothing was received yet.  A view is one version and is valid inside its `with`
block only, in the thread that opened it; keep the block short and do not await in it.

    both = client.open_set([scope, client.subscribe("acme/checkout/limits")])
    with both.view() as views:                      # one version of all members
        pool, limit = views[scope].get_int("/db/pool_size", 10), views["acme/checkout/limits"].get_int("/rate", 1)

Callbacks run one at a time on the library's thread, with views that are valid during the call.  What a
change callback raises goes to sys.unraisablehook; what a validator raises refuses the content.  They
must not close the client, nor wait.  Do not hold a lock that a callback takes while you call the
library from another thread (reading and status apart).

A child made by os.fork() (multiprocessing, pre-forking servers) goes on with a client that reads through
an agent; another client says CLOSED there.  The fork waits for callbacks and views of other threads;
do not fork in a callback or while a view is open in this thread.  A client that is not closed lives
until the program ends.

The library is libconfcast.so.0; CONFCAST_LIBRARY in the environment names another file.
"""

import atexit
import contextlib
import ctypes
import json
import math
import os
import sys
import threading

__all__ = ["Client", "Scope", "View", "Status", "Set", "SetView", "SetStatus", "Change", "Error", "changes"]

_INTEGER_MAX = 2**53 - 1
_NULL, _BOOL, _INT, _FLOAT, _STRING, _ARRAY, _OBJECT = range(7)
_STATES = ("none", "receiving", "prepared", "applied", "rejected", "reverted", "degraded")
_SOURCES = ("none", "network", "disk", "agent", "pull")
_PULLS = {"auto": 0, "only": 1, "off": 2}
_XDPS = {"off": 0, "auto": 1, "native": 2, "generic": 3}
_CHANGES = {1: "added", 2: "removed", 3: "changed"}

_LIMIT = -5
_CLOSED = -10
_TIMEOUT = -11


# ---- The C side ------------------------------------------------------------------------------------


class _Label(ctypes.Structure):
    _fields_ = [("key", ctypes.c_char_p), ("value", ctypes.c_char_p)]


_LOG = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
_CHANGE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_SET_CHANGE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_VALIDATE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class _Options(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t), ("fleet_path", ctypes.c_char_p), ("credential_path", ctypes.c_char_p),
        ("id", ctypes.c_char_p), ("interface", ctypes.c_char_p), ("state_dir", ctypes.c_char_p),
        ("labels", ctypes.POINTER(_Label)), ("label_count", ctypes.c_size_t),
        ("content_size_max", ctypes.c_uint64), ("memory_max", ctypes.c_uint64),
        ("receive_buffer_size", ctypes.c_uint32), ("log", _LOG), ("log_arg", ctypes.c_void_p),
        ("agent_path", ctypes.c_char_p), ("pull", ctypes.c_int), ("pull_ca_file", ctypes.c_char_p),
        ("pull_cert_file", ctypes.c_char_p), ("pull_key_file", ctypes.c_char_p),
        ("pull_wait_ms", ctypes.c_uint32), ("pull_after_ms", ctypes.c_uint32),
        ("crash_starts_max", ctypes.c_uint32), ("unused", ctypes.c_uint32), ("xdp", ctypes.c_int),
    ]


class _ScopeOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("change", _CHANGE), ("change_arg", ctypes.c_void_p),
                ("validate", _VALIDATE), ("validate_arg", ctypes.c_void_p)]


class _SetOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("change", _SET_CHANGE), ("change_arg", ctypes.c_void_p),
                ("held_ms", ctypes.c_uint32)]


class _SetStatus(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("serving", ctypes.c_uint64), ("newest", ctypes.c_uint64),
                ("is_held", ctypes.c_bool), ("held_by", ctypes.c_uint32), ("held_ns", ctypes.c_uint64),
                ("reason", ctypes.c_int), ("state", ctypes.c_int), ("member_accepted", ctypes.c_uint64)]


class _Key(ctypes.Structure):
    _fields_ = [("hash", ctypes.c_uint64), ("seed", ctypes.c_uint64), ("pointer", ctypes.c_char_p),
                ("size", ctypes.c_uint32), ("segment_offset", ctypes.c_uint32)]


class _Value(ctypes.Structure):
    _fields_ = [("view", ctypes.c_void_p), ("offset", ctypes.c_uint32), ("type", ctypes.c_uint32)]


class _Iterator(ctypes.Structure):
    _fields_ = [("value", _Value), ("key", ctypes.c_char_p), ("container", ctypes.c_void_p),
                ("key_size", ctypes.c_uint32), ("left", ctypes.c_uint32),
                ("next_offset", ctypes.c_uint32), ("is_object", ctypes.c_uint32)]


class _Change(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int), ("pointer", ctypes.c_char_p), ("pointer_size", ctypes.c_size_t),
                ("before", _Value), ("after", _Value)]


_CHANGED_KEY = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_Change))


class _Status(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t), ("epoch", ctypes.c_uint64), ("accepted", ctypes.c_uint64),
        ("serving", ctypes.c_uint64), ("published", ctypes.c_uint64), ("durable", ctypes.c_uint64),
        ("state", ctypes.c_int), ("source", ctypes.c_int), ("reason", ctypes.c_int),
        ("is_stale", ctypes.c_bool), ("is_control_silent", ctypes.c_bool),
        ("content", ctypes.c_uint8 * 32), ("content_size", ctypes.c_uint64),
        ("fresh_unix_ns", ctypes.c_uint64),
    ]


def _load():
    library = ctypes.CDLL(os.environ.get("CONFCAST_LIBRARY") or "libconfcast.so.0")
    pointer, integer, key = ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Key)
    out_int, out_size = ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_size_t)
    signatures = {
        "open": (integer, ctypes.POINTER(_Options), ctypes.POINTER(pointer)),
        "close": (None, pointer),
        "subscribe": (integer, pointer, ctypes.c_char_p, ctypes.POINTER(_ScopeOptions),
                      ctypes.POINTER(pointer)),
        "wait": (integer, pointer, ctypes.c_uint64, ctypes.c_uint32),
        "status": (integer, pointer, ctypes.POINTER(_Status)),
        "read_lock": (None,),
        "read_unlock": (None,),
        "view": (pointer, pointer),
        "view_version": (ctypes.c_uint64, pointer),
        "view_content": (ctypes.POINTER(ctypes.c_uint8), pointer),
        "view_json": (integer, pointer, key, ctypes.c_char_p, ctypes.c_size_t, out_size),
        "key_init": (integer, key, ctypes.c_char_p),
        "get": (_Value, pointer, key),
        "value_bool": (ctypes.c_bool, _Value, ctypes.c_bool, out_int),
        "value_i64": (ctypes.c_int64, _Value, ctypes.c_int64, out_int),
        "value_f64": (ctypes.c_double, _Value, ctypes.c_double, out_int),
        "value_string": (pointer, _Value, pointer, out_size, out_int),
        "value_count": (ctypes.c_uint32, _Value),
        "iterate": (_Iterator, _Value),
        "next": (ctypes.c_bool, ctypes.POINTER(_Iterator)),
        "diff": (integer, pointer, pointer, _CHANGED_KEY, pointer),
        "differs": (ctypes.c_bool, pointer, pointer, key),
        "set_open": (integer, pointer, ctypes.POINTER(pointer), ctypes.c_size_t, ctypes.POINTER(_SetOptions),
                     ctypes.POINTER(pointer)),
        "set_close": (integer, pointer),
        "set_view": (pointer, pointer),
        "set_member": (pointer, pointer, ctypes.c_size_t),
        "set_version": (ctypes.c_uint64, pointer),
        "set_status": (integer, pointer, ctypes.POINTER(_SetStatus)),
        "set_wait": (integer, pointer, ctypes.c_uint64, ctypes.c_uint32),
        "prepare_fork": (None,),
        "error_word": (ctypes.c_char_p, integer),
        "error_text": (ctypes.c_char_p, integer),
    }
    for name, (result, *arguments) in signatures.items():
        function = getattr(library, "confcast_" + name)
        function.restype = result
        function.argtypes = arguments
    return library


_c = _load()

# fork() waits for callbacks, and they wait for the lock of the interpreter: without it, before.
os.register_at_fork(before=_c.confcast_prepare_fork)


class Error(Exception):
    """An error of the library: `code` is negative, `word` its short stable name ("not_found")."""

    def __init__(self, code):
        self.code = code
        self.word = _c.confcast_error_word(code).decode()
        super().__init__(f"{self.word}: {_c.confcast_error_text(code).decode()}")


def _check(code):
    if code != 0:
        raise Error(code)


# ---- Keys ------------------------------------------------------------------------------------------

_keys = {}
_KEYS_MAX = 65536


def _key(pointer):
    """The hashed key of a pointer, kept: a program reads the same few."""
    key = _keys.get(pointer)
    if key is None:
        key = _Key()
        # What is no pointer hashes to a key that finds nothing; NUL cannot be in one.
        key.text = b"-" if "\0" in pointer else pointer.encode()  # lives as long as the key
        _c.confcast_key_init(ctypes.byref(key), key.text)
        if len(_keys) >= _KEYS_MAX:
            _keys.clear()
        _keys[pointer] = key
    return key


# ---- Views -----------------------------------------------------------------------------------------


def _number(text):
    value = int(text)
    return value if abs(value) <= _INTEGER_MAX else float(value)


class View:
    """One version of a scope.  Valid inside its `with` block, or during the callback that gets it."""

    __slots__ = ("_scope", "_view", "_thread")

    def __init__(self, scope, view=None):
        self._scope = scope
        self._view = view
        self._thread = threading.get_ident() if view is not None else None

    def __enter__(self):
        if self._thread is not None:
            raise RuntimeError("this view is in use")
        self._scope._client._check_open()
        _c.confcast_read_lock()
        self._thread = threading.get_ident()
        self._view = _c.confcast_view(self._scope._scope)
        return self

    def __exit__(self, *unused):
        self._view = None
        self._thread = None
        _c.confcast_read_unlock()

    def _end(self):
        self._view = None
        self._thread = None

    def _valid(self):
        if self._thread != threading.get_ident():
            raise RuntimeError("a view is valid in its with block or callback, and in that thread")
        return self._view

    def _find(self, pointer):
        return _c.confcast_get(self._valid(), ctypes.byref(_key(pointer)))

    @property
    def version(self):
        """The version that this is; 0 when nothing was received yet."""
        view = self._valid()
        return _c.confcast_view_version(view) if view else 0

    @property
    def content(self):
        """The digest of the content: 32 bytes; None when nothing was received yet."""
        view = self._valid()
        return bytes(_c.confcast_view_content(view)[:32]) if view else None

    def get_bool(self, pointer, default=False):
        value = self._find(pointer)
        return _c.confcast_value_bool(value, False, None) if value.view and value.type == _BOOL else default

    def get_int(self, pointer, default=0):
        value = self._find(pointer)
        return _c.confcast_value_i64(value, 0, None) if value.view and value.type == _INT else default

    def get_float(self, pointer, default=0.0):
        """Takes integers, too."""
        value = self._find(pointer)
        if value.view and value.type in (_INT, _FLOAT):
            return _c.confcast_value_f64(value, 0.0, None)
        return default

    def get_str(self, pointer, default=""):
        value = self._find(pointer)
        return _string(value) if value.view and value.type == _STRING else default

    def get(self, pointer, default=None):
        """Any value as Python has it: objects are dicts, arrays lists, null is None."""
        value = self._find(pointer)
        if not value.view:
            return default
        if value.type in (_OBJECT, _ARRAY):
            return json.loads(self.json(pointer), parse_int=_number)
        return _scalar(value)

    def __contains__(self, pointer):
        return bool(self._find(pointer).view)

    def __getitem__(self, pointer):
        if pointer not in self:
            raise KeyError(pointer)
        return self.get(pointer)

    def keys(self, pointer=""):
        """The keys of an object, in canonical order; nothing for another value."""
        value = self._find(pointer)
        if not value.view or value.type != _OBJECT:
            return []
        found = []
        iterator = _c.confcast_iterate(value)
        while _c.confcast_next(ctypes.byref(iterator)):
            found.append(iterator.key.decode())
        return found

    def json(self, pointer=""):
        """Canonical JSON (RFC 8785) of a value, as bytes.  Error(not_found)."""
        view = self._valid()
        key = ctypes.byref(_key(pointer))
        size = ctypes.c_size_t(4096)
        code = _LIMIT
        while code == _LIMIT:
            text = ctypes.create_string_buffer(max(size.value, 1))
            code = _c.confcast_view_json(view, key, text, len(text), ctypes.byref(size))
        _check(code)
        return text.raw[:size.value]

    def document(self):
        """The whole document as a dict; empty when nothing was received yet."""
        return self.get("", {})


def _string(value):
    size = ctypes.c_size_t()
    text = _c.confcast_value_string(value, None, ctypes.byref(size), None)
    return ctypes.string_at(text, size.value).decode()


def _scalar(value):
    if value.type == _BOOL:
        return _c.confcast_value_bool(value, False, None)
    if value.type == _INT:
        return _c.confcast_value_i64(value, 0, None)
    if value.type == _FLOAT:
        return _c.confcast_value_f64(value, math.nan, None)
    if value.type == _STRING:
        return _string(value)
    return None


class Change:
    """A key that differs: `kind` is "added", "removed" or "changed", `pointer` its JSON Pointer."""

    __slots__ = ("kind", "pointer")

    def __init__(self, kind, pointer):
        self.kind = kind
        self.pointer = pointer

    def __repr__(self):
        return f"Change({self.kind!r}, {self.pointer!r})"


def changes(before, after):
    """What differs between two valid views (the first may be None), in canonical order of the keys.
    An array is one value."""
    found = []

    def tell(unused, change):
        found.append(Change(_CHANGES[change.contents.kind], change.contents.pointer.decode()))
        return 0

    _check(_c.confcast_diff(before._valid() if before is not None else None, after._valid(),
                            _CHANGED_KEY(tell), None))
    return found


# ---- Scopes ----------------------------------------------------------------------------------------


class Status:
    """What a scope serves and knows: see struct confcast_status.  `state` and `source` are words,
    `reason` is one or None, `content` is hex."""

    def __init__(self, raw):
        self.epoch = raw.epoch
        self.accepted = raw.accepted
        self.serving = raw.serving
        self.published = raw.published
        self.durable = raw.durable
        self.state = _STATES[raw.state]
        self.source = _SOURCES[raw.source]
        self.reason = _c.confcast_error_word(raw.reason).decode() if raw.reason != 0 else None
        self.is_stale = raw.is_stale
        self.is_control_silent = raw.is_control_silent
        self.content = bytes(raw.content).hex() if raw.serving else None
        self.content_size = raw.content_size
        self.fresh_unix_ns = raw.fresh_unix_ns

    def __repr__(self):
        return f"Status({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class Scope:
    """A followed scope; made by Client.subscribe()."""

    def __init__(self, client, path):
        self.path = path
        self._client = client
        self._scope = None
        self._callbacks = None

    def view(self):
        """`with scope.view() as view:` reads one version."""
        self._client._check_open()
        return View(self)

    def _read(self, method, *arguments):
        with self.view() as view:
            return method(view, *arguments)

    # One value in a section of its own; two of these may see two versions.
    def get_bool(self, pointer, default=False):
        return self._read(View.get_bool, pointer, default)

    def get_int(self, pointer, default=0):
        return self._read(View.get_int, pointer, default)

    def get_float(self, pointer, default=0.0):
        return self._read(View.get_float, pointer, default)

    def get_str(self, pointer, default=""):
        return self._read(View.get_str, pointer, default)

    def get(self, pointer, default=None):
        return self._read(View.get, pointer, default)

    def document(self):
        return self._read(View.document)

    def wait(self, version=1, timeout=None):
        """Until the scope serves this version or a later one (1: anything).  Error(timeout) after
        `timeout` seconds (None: for ever); any other Error: that version was refused here."""
        self._client._wait(lambda ms: _c.confcast_wait(self._scope, version, ms), timeout)

    def status(self):
        self._client._check_open()
        raw = _Status(size=ctypes.sizeof(_Status))
        _check(_c.confcast_status(self._scope, ctypes.byref(raw)))
        return Status(raw)


# ---- Sets ------------------------------------------------------------------------------------------


class SetView:
    """One version of all members of a set: `views[member]`, by Scope or path, is a View.  Valid like one."""

    __slots__ = ("_set", "_view", "_members")

    def __init__(self, of, view=None):
        self._set = of
        self._view = view
        self._members = None
        if view is not None:
            self._begin()

    def _begin(self):
        # Before the members agreed once there is a view of nothing for each.
        self._members = []
        for idx, scope in enumerate(self._set.scopes):
            member = View(scope)
            member._view = _c.confcast_set_member(self._view, idx)
            member._thread = threading.get_ident()
            self._members.append(member)

    def _end(self):
        for member in self._members:
            member._end()
        self._view = self._members = None

    def __enter__(self):
        if self._members is not None:
            raise RuntimeError("this view is in use")
        self._set._check_open()
        _c.confcast_read_lock()
        self._view = _c.confcast_set_view(self._set._set)
        self._begin()
        return self

    def __exit__(self, *unused):
        self._end()
        _c.confcast_read_unlock()

    @property
    def version(self):
        """The version of all members; 0 before they agreed once."""
        self._valid()
        return _c.confcast_set_version(self._view)

    def _valid(self):
        if self._members is None:
            raise RuntimeError("a view is valid in its with block or callback")
        return self._members

    def __getitem__(self, member):
        for scope, view in zip(self._set.scopes, self._valid()):
            if member is scope or member == scope.path:
                return view
        raise KeyError(member)


class SetStatus:
    """What a set serves, and why it does not what its members do: see struct confcast_set_status.
    `held_by` is the Scope that lags, or None."""

    def __init__(self, of, raw):
        self.serving = raw.serving
        self.newest = raw.newest
        self.is_held = raw.is_held
        self.held_by = of.scopes[raw.held_by] if raw.is_held else None
        self.held_ns = raw.held_ns
        self.reason = _c.confcast_error_word(raw.reason).decode() if raw.reason != 0 else None
        self.state = _STATES[raw.state]
        self.member_accepted = raw.member_accepted

    def __repr__(self):
        return f"SetStatus({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class Set:
    """Scopes read under one version; made by Client.open_set()."""

    def __init__(self, client, scopes):
        self.scopes = tuple(scopes)
        self._client = client
        self._set = None
        self._callback = None

    def _check_open(self):
        self._client._check_open()
        if self._set is None:
            raise Error(_CLOSED)

    def view(self):
        """`with set.view() as views:` reads one version of all members."""
        self._check_open()
        return SetView(self)

    def wait(self, version=1, timeout=None):
        """As Scope.wait()."""
        self._check_open()
        self._client._wait(lambda ms: _c.confcast_set_wait(self._set, version, ms), timeout)

    def status(self):
        self._check_open()
        raw = _SetStatus(size=ctypes.sizeof(_SetStatus))
        _check(_c.confcast_set_status(self._set, ctypes.byref(raw)))
        return SetStatus(self, raw)

    def close(self):
        """Idempotent; its members stay.  Not from a callback, nor while it is used in any thread."""
        if self._set is not None and self._client._client:
            _check(_c.confcast_set_close(self._set))
        self._set = None


# ---- Clients ---------------------------------------------------------------------------------------


_open_clients = set()  # their callbacks live as long as they are called


def _close_all():
    for client in list(_open_clients):
        client.close()


atexit.register(_close_all)


def _path(value):
    return os.fsencode(value) if value is not None else None


class Client:
    """Reads through this host's agent (`agent`, the path of its --share socket), or receives itself:
    `fleet`, `credential` and `interface` (or `pull="only"`), with `state_dir` to keep everything
    across restarts.  `labels` is a dict.  `log(level, line)`: 0 error to 3 debug.  Error as
    confcast_open()."""

    def __init__(self, agent=None, fleet=None, credential=None, interface=None, state_dir=None, id=None,
                 labels=None, memory_max=0, content_size_max=0, receive_buffer_size=0, pull="auto",
                 pull_ca=None, pull_cert=None, pull_key=None, pull_wait_ms=0, pull_after_ms=0,
                 crash_starts_max=0, xdp="off", log=None):
        labels = labels or {}
        pairs = (_Label * max(len(labels), 1))(
            *[_Label(key.encode(), value.encode()) for key, value in labels.items()])
        self._log = _LOG(lambda unused, level, line: log(level, line.decode("utf-8", "replace"))) if log \
            else _LOG()
        self._client = ctypes.c_void_p()
        self._scopes = {}
        self._sets = []  # their callbacks live as long as the client
        self._lock = threading.Condition()
        self._waiting = 0  # threads inside of confcast_wait()
        self._callback_thread = None  # the one that a callback runs in now
        options = _Options(
            size=ctypes.sizeof(_Options), fleet_path=_path(fleet), credential_path=_path(credential),
            id=id.encode() if id is not None else None,
            interface=interface.encode() if interface is not None else None, state_dir=_path(state_dir),
            labels=pairs if labels else None, label_count=len(labels),
            content_size_max=content_size_max, memory_max=memory_max,
            receive_buffer_size=receive_buffer_size, log=self._log, agent_path=_path(agent),
            pull=_PULLS[pull], pull_ca_file=_path(pull_ca), pull_cert_file=_path(pull_cert),
            pull_key_file=_path(pull_key), pull_wait_ms=pull_wait_ms, pull_after_ms=pull_after_ms,
            crash_starts_max=crash_starts_max, xdp=_XDPS[xdp])
        _open_clients.add(self)
        code = _c.confcast_open(ctypes.byref(options), ctypes.byref(self._client))
        if code != 0:
            _open_clients.discard(self)
            raise Error(code)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def _check_open(self):
        if not self._client:
            raise Error(_CLOSED)

    def _wait(self, wait_ms, timeout):
        """wait_ms(ms) until it says something else than TIMEOUT, for `timeout` seconds."""
        self._check_open()
        left_ms = None if timeout is None else max(0, math.ceil(timeout * 1000))
        while True:
            # In pieces, so that a signal such as Ctrl-C is seen.
            piece_ms = 500 if left_ms is None else min(left_ms, 500)
            with self._in_use():
                code = wait_ms(piece_ms)
            if code != _TIMEOUT:
                return _check(code)
            if left_ms is not None:
                left_ms -= piece_ms
                if left_ms <= 0:
                    raise Error(_TIMEOUT)

    @contextlib.contextmanager
    def _in_use(self):
        with self._lock:
            self._check_open()
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                self._lock.notify_all()

    def close(self):
        """Idempotent.  Sends those who wait away, within half a second.  Not from a callback, nor while
        a view is open or another call is under way, in any thread."""
        if self._callback_thread == threading.get_ident():
            raise RuntimeError("a client cannot be closed from its callback")
        with self._lock:
            client, self._client = self._client, ctypes.c_void_p()
            while self._waiting > 0:
                self._lock.wait()
        if client:
            _c.confcast_close(client)
            _open_clients.discard(self)

    @contextlib.contextmanager
    def _callback(self, *views):
        """Around what a callback does with these views, which end with it."""
        self._callback_thread = threading.get_ident()
        try:
            yield views
        finally:
            self._callback_thread = None
            for view in views:
                if view is not None:
                    view._end()

    def subscribe(self, path, on_change=None, validate=None):
        """Follows a scope; the same Scope for the same path, whose callbacks stay those given first.
        on_change(scope, before, after) after another content is visible (`before` is None for the
        first); validate(scope, candidate) refuses a content by returning False or raising."""
        self._check_open()
        if path in self._scopes:
            return self._scopes[path]
        scope = Scope(self, path)
        options = _ScopeOptions(size=ctypes.sizeof(_ScopeOptions))

        def change(unused, found, before, after):
            scope._scope = ctypes.c_void_p(found)  # before subscribe returns, too
            with self._callback(View(scope, before) if before else None, View(scope, after)) as views:
                on_change(scope, *views)

        def ask(unused, found, candidate):
            scope._scope = ctypes.c_void_p(found)
            with self._callback(View(scope, candidate)) as views:
                try:
                    return 0 if validate(scope, *views) is not False else 1
                except Exception:  # whatever it is, it is no yes
                    sys.excepthook(*sys.exc_info())
                    return 1

        scope._callbacks = (_CHANGE(change) if on_change else _CHANGE(),
                            _VALIDATE(ask) if validate else _VALIDATE())
        options.change, options.validate = scope._callbacks
        found = ctypes.c_void_p()
        encoded = path.encode()
        self._scopes[path] = scope  # first: its callbacks are called from now on
        code = _c.confcast_subscribe(self._client, b"" if b"\0" in encoded else encoded,
                                     ctypes.byref(options), ctypes.byref(found))
        if code != 0:
            del self._scopes[path]
            raise Error(code)
        scope._scope = found
        return scope

    def open_set(self, scopes, on_change=None, held_ms=0):
        """Scopes of this client that are read under one version; on_change(set, before, after) with two
        SetViews (`before` is None for the first).  Error as confcast_set_open()."""
        self._check_open()
        found = Set(self, scopes)
        options = _SetOptions(size=ctypes.sizeof(_SetOptions), held_ms=held_ms)

        def change(unused, opened, before, after):
            found._set = ctypes.c_void_p(opened)  # before open_set returns, too
            with self._callback(SetView(found, before) if before else None, SetView(found, after)) as views:
                on_change(found, *views)

        found._callback = options.change = _SET_CHANGE(change) if on_change else _SET_CHANGE()
        members = (ctypes.c_void_p * len(found.scopes))(*(scope._scope for scope in found.scopes))
        opened = ctypes.c_void_p()
        self._sets.append(found)  # first: its callback is called from now on
        code = _c.confcast_set_open(self._client, members, len(members), ctypes.byref(options),
                                    ctypes.byref(opened))
        if code != 0:
            self._sets.remove(found)
            raise Error(code)
        found._set = opened
        return found
