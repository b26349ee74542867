"""Those that stand beside us: each module here gives SIDES, a list of classes of harness.side.Side without arguments, and may give ROWS, a list
of harness.rows.Row."""

import importlib
import os


def modules():
    folder = os.path.dirname(__file__)
    names = sorted(name[:-3] for name in os.listdir(folder) if name.endswith(".py") and name != "__init__.py")
    return [importlib.import_module(f"peers.{name}") for name in names]


def all_sides():
    """Fresh sides, one of each."""
    return [side() for module in modules() for side in getattr(module, "SIDES", [])]


def all_rows():
    return [row for module in modules() for row in getattr(module, "ROWS", [])]
