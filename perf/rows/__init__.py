"""The rows of the table, in its order.  A module of this folder gives ROWS, a list of harness.rows.Row."""

import importlib

MODULES = (
    "object",
    "change",
    "revisions",
    "flip",
    "programs",
    "engine",
    "puts",
    "big_document",
    "fleet_size",
    "swarm",
    "xdp",
    "profile",
    "instructions",
)


def all_rows():
    rows = []
    for name in MODULES:
        rows += importlib.import_module(f"rows.{name}").ROWS
    names = [row.name for row in rows]
    assert len(set(names)) == len(names), names
    return rows
