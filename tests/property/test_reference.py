#!/usr/bin/env python3
"""The reference is held to the RFCs' own examples before anything is held to it."""

import struct
import unittest

import canonical
import lifecycle

# RFC 8785, appendix B: the IEEE 754 bits and their text.
NUMBERS = (
    (0x0000000000000000, "0"), (0x8000000000000000, "0"), (0x0000000000000001, "5e-324"),
    (0x8000000000000001, "-5e-324"), (0x7fefffffffffffff, "1.7976931348623157e+308"),
    (0xffefffffffffffff, "-1.7976931348623157e+308"), (0x4340000000000000, "9007199254740992"),
    (0xc340000000000000, "-9007199254740992"), (0x4430000000000000, "295147905179352830000"),
    (0x44b52d02c7e14af5, "9.999999999999997e+22"), (0x44b52d02c7e14af6, "1e+23"),
    (0x44b52d02c7e14af7, "1.0000000000000001e+23"), (0x444b1ae4d6e2ef4e, "999999999999999700000"),
    (0x444b1ae4d6e2ef4f, "999999999999999900000"), (0x444b1ae4d6e2ef50, "1e+21"),
    (0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"), (0x3eb0c6f7a0b5ed8d, "0.000001"),
    (0x41b3de4355555553, "333333333.3333332"), (0x41b3de4355555557, "333333333.33333343"),
    (0xbecbf647612f3696, "-0.0000033333333333333333"), (0x43143ff3c1cb0959, "1424953923781206.2"),
)

# RFC 7396, appendix A: original, patch, result.
MERGES = (
    ({"a": "b"}, {"a": "c"}, {"a": "c"}), ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}), ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}), ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}), (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]), ({"a": "foo"}, None, None), ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}), ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
)


class Canonical(unittest.TestCase):
    def test_numbers_are_written_as_rfc_8785_lists_them(self):
        for bits, text in NUMBERS:
            value = struct.unpack(">d", bits.to_bytes(8, "big"))[0]
            self.assertEqual(canonical.number(value), text)

    def test_names_are_sorted_by_utf_16_units(self):
        names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
        self.assertEqual(canonical.text({name: 0 for name in names}),
                         '{"\\r":0,"1":0,"\u0080":0,"\u00f6":0,"\u20ac":0,"\U0001f600":0,"\ufb33":0}')

    def test_merge_patches_are_applied_as_rfc_7396_lists_them(self):
        for original, patch, result in MERGES:
            self.assertEqual(canonical.merge(original, patch), result)


class Lifecycle(unittest.TestCase):
    def test_a_rollback_walks_back_and_steps_over_what_is_quarantined(self):
        release = lifecycle.Release()
        for revision in (1, 2, 3, 4):
            release.act("promote", {"revision": revision})
        release.act("quarantine", {"revision": 3})
        release.act("rollback", {})
        self.assertEqual((release.active, release.previous), (2, 1))
        release.act("rollback", {})
        self.assertEqual((release.active, release.previous), (1, 0))
        with self.assertRaises(lifecycle.Refused):
            release.act("rollback", {})

    def test_every_cell_that_the_guide_does_not_name_is_refused(self):
        for state, possible in lifecycle.POSSIBLE.items():
            for action in set(lifecycle.ACTIONS) - possible:
                release = lifecycle.Release(state=state, active=1, candidate=2, before={1: 0})
                with self.assertRaises(lifecycle.Refused, msg=(state, action)):
                    release.act(action, {"revision": 3})

    def test_strategies_are_read_as_documented(self):
        for text, ppm in (("canary:5%", (50000,)), ("stages:0.5%,100%", (5000,)),
                          ("all", (1000000,))):
            self.assertEqual(lifecycle.read_strategy(text).ppm, ppm)
        for text in ("canary:0%", "stages:5%,5%", "canary:101%", "some", "canary:1%,2%"):
            self.assertIsNone(lifecycle.read_strategy(text))


if __name__ == "__main__":
    unittest.main()
