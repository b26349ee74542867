"""Who asks, once confcastd wants a proof of it."""

import json
import os

from difference import Difference

OWNER = f"uid:{os.getuid()}"  # of the unix socket
SETUP = (("ann", ["operator"], "*"), ("bob", ["author", "releaser", "approver"], "a"),
         ("eve", ["approver", "releaser"], "*"))


class Persons:
    """Tokens of a Run."""

    def prove(self, author):
        """The headers that say who asks."""
        if author == "anonymous":
            return {}
        if self.tokens is None:
            return {"Confcast-Author": author}
        return {"Authorization": "Bearer " + self.tokens[author][1], "Confcast-Author": "somebody"}

    def _auth(self, _op):
        """From here on nobody may do anything without a token."""
        self.stop_all()
        self.daemon.options += ("--require-auth",)
        self.tokens = {}
        self.model.grants = {}
        self.start()
        for author, roles, scope in SETUP:
            self._grant({"to": author, "roles": roles, "scope": scope})

    def _grant(self, op):
        """Another token for somebody, and the end of the one before."""
        if self.tokens is None:
            return
        author = op["to"]
        body = {"identity": author, "roles": op["roles"], "scope": op["scope"]}
        made = self._manage("POST", "/v1/tokens", json.dumps(body).encode())
        self.model.audit.append((OWNER, "token-create", "token:" + made["id"], 0, ""))
        old = self.tokens.get(author)
        self.tokens[author] = made["id"], made["token"]
        self.model.grants[author] = frozenset(op["roles"]), op["scope"]
        if old:
            self._manage("DELETE", "/v1/tokens/" + old[0])
            self.model.audit.append((OWNER, "token-delete", "token:" + old[0], 0, ""))
            reply = self.clients[0].send("GET", "/v1/release/a", headers={
                "Authorization": "Bearer " + old[1]})
            if reply.status != 401:
                raise Difference(f"the revoked token of {author} gets {reply!r}")

    def _manage(self, method, target, body=b""):
        reply = self.reader.send(method, target, body)
        if reply.status != 200:
            raise Difference(f"{method} {target}: {reply!r}")
        return reply.json
