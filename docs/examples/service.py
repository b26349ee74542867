#!/usr/bin/env python3
"""A small service that takes its settings from this host's confcast-agent:

    confcast-agent ... --share /run/confcast/share --scope acme/checkout/prod
    ./service.py /run/confcast/share acme/checkout/prod

It prints a setting when it changes, and ends when its input does.
"""

import sys

import confcast

LIMIT = "/http_server/concurrency_max"


def validate(scope, candidate):
    """Says no to what this program could not work with.  Nobody has seen it yet."""
    return candidate.get_int(LIMIT, 1) > 0


def on_change(scope, before, after):
    """Both views may be compared; `before` is None for the first one."""
    was = before.get_int(LIMIT) if before is not None else 0
    print(f"version {after.version}: concurrency_max {was} -> {after.get_int(LIMIT)}", flush=True)


def serve_request(scope):
    """What every request does: one version throughout."""
    with scope.view() as view:
        if view.get_bool("/features/greeting", True):
            print(f"hello from version {view.version}, limit {view.get_int(LIMIT, 64)}", flush=True)


def main():
    if len(sys.argv) != 3:
        print("usage: service.py AGENT_SOCKET SCOPE", file=sys.stderr)
        return 3
    with confcast.Client(agent=sys.argv[1]) as client:
        scope = client.subscribe(sys.argv[2], on_change=on_change, validate=validate)
        try:
            scope.wait(timeout=5)
        except confcast.Error as error:
            # Going on without a config is fine: every getter has a default.
            print(f"service: starting on defaults: {error}", file=sys.stderr)
        serve_request(scope)
        for _ in sys.stdin:
            serve_request(scope)
    return 0


if __name__ == "__main__":
    sys.exit(main())
