"""A peer for argument types: every type of Twisted's and of MAAS's, out and back.

`serve` echoes what it is asked; `ask` sends every edge value (`type_values.py`) to whoever listens
and holds what comes back against what went, as values and as bytes. No handshake: plain AMP.
"""
import argparse
import json
import sys
import zlib
from datetime import datetime
from decimal import Decimal

import arguments
from type_values import PLAIN, As, value_sets
from twisted.internet import defer, endpoints, error, protocol, reactor, task
from twisted.protocols import amp

DEADLINE_S = 10


class Declared(Exception):
    """A refusal in the vocabulary."""


class Fatal(Exception):
    """A refusal in the vocabulary, after which the responder's side hangs up."""


FIELDS = [
    (b"integer", amp.Integer()),
    (b"big", amp.Integer()),
    (b"data", amp.String()),
    (b"text", amp.Unicode()),
    (b"flag", amp.Boolean()),
    (b"ratio", amp.Float()),
    (b"price", amp.Decimal()),
    (b"at", amp.DateTime()),
    (b"numbers", amp.ListOf(amp.Integer())),
    (b"nested", amp.ListOf(amp.ListOf(amp.Integer()))),
    (b"names", amp.ListOf(amp.Unicode())),
    (b"rows", amp.AmpList([(b"a", amp.Integer()), (b"b", amp.Unicode(optional=True))])),
    (b"path", amp.Path()),
    (b"maybe", amp.Unicode(optional=True)),
    (b"structure", arguments.StructureAsJSON()),
    (b"address", arguments.IPAddress()),
    (b"network", arguments.IPNetwork()),
    (b"link", arguments.ParsedURL()),
    (b"state", arguments.Choice({"on": b"on", "off": b"off"})),
    (b"table", arguments.CompressedAmpList([(b"ip", amp.Unicode())])),
]


class Types(amp.Command):
    """Answered with its own arguments."""

    arguments = FIELDS
    response = FIELDS
    errors = {Declared: b"DECLARED"}
    fatalErrors = {Fatal: b"FATAL"}


class Fail(amp.Command):
    """Answered with an error of the `kind`: declared, fatal or undeclared."""

    arguments = [(b"kind", amp.Unicode())]
    errors = {Declared: b"DECLARED"}
    fatalErrors = {Fatal: b"FATAL"}


class Nonsense(amp.Command):
    """Answered by nobody."""


class Peer(amp.AMP):
    """Both ends are one: whoever is connected may ask."""

    def connectionMade(self):
        self.lost = defer.Deferred()

    @Types.responder
    def types(self, **values):
        return values

    @Fail.responder
    def fail(self, kind):
        raise {"declared": Declared, "fatal": Fatal}.get(kind, RuntimeError)(kind)

    def connectionLost(self, reason):
        # First, for whoever waits for an answer goes on from inside the next line.
        self.lost.callback(None)
        super().connectionLost(reason)


def serve():
    """Listens and echoes until it is killed."""
    port = reactor.listenTCP(0, protocol.Factory.forProtocol(Peer), interface="127.0.0.1")
    print(json.dumps({"event": "listening", "port": port.getHost().port}), flush=True)
    reactor.run()


class Asker:
    """Runs the checks, on a new connection whenever the last one has ended."""

    def __init__(self, address, after_undeclared):
        host, _, port = address.rpartition(":")
        self.endpoint = endpoints.HostnameEndpoint(reactor, host.strip("[]"), int(port))
        self.after_undeclared = after_undeclared
        self.peer = None
        self.failed = 0

    def check(self, name, wrong):
        """One line; `wrong` is what is wrong, or nothing."""
        self.failed += bool(wrong)
        line = {"check": name, "ok": not wrong, "detail": str(wrong) if wrong else None}
        print(json.dumps(line), flush=True)

    async def connected(self):
        if self.peer is None or self.peer.lost.called:
            self.peer = await endpoints.connectProtocol(self.endpoint, Peer())
        return self.peer

    async def run(self):
        for name, values in value_sets():
            await self.round_trip(name, values)
        await self.overlapping()
        await self.refused("declared", Declared, "declared")
        self.check("declared: the connection stays", self.peer.lost.called and "it was closed")
        await self.refused("undeclared", amp.UnknownRemoteError, None)
        await self.undeclared_connection()
        await self.unknown_command()
        await self.refused("fatal", Fatal, "fatal")
        await self.closed("fatal: the connection is closed")
        return self.failed

    async def round_trip(self, name, values):
        sent = {k: v.sent if isinstance(v, As) else v for k, v in values.items()}
        expected = {k: v.received if isinstance(v, As) else v for k, v in values.items()}
        try:
            peer = await self.connected()
            asked = Types.makeArguments(sent, peer)
            strings = {key.decode("ascii"): string for key, string in asked.items()}
            answer = await in_time(peer.callRemoteString(b"Types", **strings))
            received = Types.parseResponse(answer, peer)
        except Exception as failure:
            self.check(name, f"{type(failure).__name__}: {failure}")
            return
        self.check(f"{name}: values", "; ".join(differing_values(expected, received)))
        self.check(f"{name}: bytes", "; ".join(differing_bytes(asked, answer)))

    async def overlapping(self):
        peer = await self.connected()
        asks = [in_time(peer.callRemote(Types, **{**PLAIN, "integer": n})) for n in range(100)]
        answers = await defer.DeferredList(asks, consumeErrors=True)
        wrong = [n for n, (ok, it) in enumerate(answers) if not ok or it["integer"] != n]
        self.check("a hundred asks at once", wrong and f"wrong answers to {wrong}")

    async def refused(self, kind, expected, description):
        peer = await self.connected()
        try:
            await in_time(peer.callRemote(Fail, kind=kind))
            self.check(kind, "it was answered")
        except Exception as failure:
            right = type(failure) is expected and description in (None, str(failure))
            self.check(kind, not right and f"{type(failure).__name__}: {failure}")

    async def undeclared_connection(self):
        # Twisted hangs up, ampmesh does not. An answer to one more ask tells which it was.
        try:
            await in_time(self.peer.callRemote(Types, **PLAIN))
            found = "open"
        except error.ConnectionClosed:
            found = "closed"
        wrong = self.after_undeclared not in (None, found) and f"it is {found}"
        self.check(f"undeclared: the connection is {self.after_undeclared or found}", wrong)

    async def unknown_command(self):
        peer = await self.connected()
        try:
            await in_time(peer.callRemote(Nonsense))
            self.check("unknown command", "it was answered")
        except Exception as failure:
            right = type(failure) is amp.UnhandledCommand
            self.check("unknown command", not right and f"{type(failure).__name__}: {failure}")
        await self.round_trip("after an unknown command", PLAIN)
        stayed = self.peer is peer
        self.check("unknown command: the connection stays", not stayed and "it was closed")

    async def closed(self, name):
        try:
            await in_time(self.peer.lost)
            self.check(name, None)
        except defer.TimeoutError:
            self.check(name, f"it is open after {DEADLINE_S} s")


def in_time(deferred):
    """A peer that never answers fails the check, not the whole run."""
    return deferred.addTimeout(DEADLINE_S, reactor)


def differing_values(expected, received):
    for field, value in expected.items():
        if not same(value, received[field]):
            yield f"{field}: {shorten(value)} came back as {shorten(received[field])}"


def same(a, b):
    """Equal, and of one type all the way down; not-a-number and minus zero equal themselves."""
    if isinstance(a, datetime):
        return a == b and a.utcoffset() == b.utcoffset()
    if type(a) is not type(b):
        return False
    if isinstance(a, (float, Decimal)):
        return repr(a) == repr(b)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


def differing_bytes(asked, answer):
    sent, received = comparable(asked), comparable(answer)
    for key in sorted(sent.keys() | received.keys()):
        if sent.get(key) != received.get(key):
            yield f"{key!r}: {shorten(sent.get(key))} came back as {shorten(received.get(key))}"


def comparable(box):
    """What must be the same bytes: not the tag, nor JSON's white space, nor how zlib packs."""
    strings = {key: string for key, string in box.items() if not key.startswith(b"_")}
    del strings[b"structure"]
    strings[b"table"] = zlib.decompress(arguments.join_parts(b"table", strings))
    return strings


def shorten(value):
    shown = ascii(value)
    return shown if len(shown) <= 120 else f"{shown[:60]}...{shown[-50:]} ({len(shown)} characters)"


def main():
    parser = argparse.ArgumentParser(description="A peer for argument types.")
    modes = parser.add_subparsers(dest="mode", required=True)
    modes.add_parser("serve", help="listen, print the port, echo")
    ask = modes.add_parser("ask", help="hold a peer against every edge value")
    ask.add_argument("address", metavar="HOST:PORT")
    ask.add_argument(
        "--after-undeclared",
        choices=["open", "closed"],
        help="what the connection must be after an undeclared error (default: either)",
    )
    options = parser.parse_args()
    if options.mode == "serve":
        serve()
        return

    async def run(_reactor):
        if await Asker(options.address, options.after_undeclared).run():
            sys.exit(1)

    task.react(lambda reactor: defer.ensureDeferred(run(reactor)))


if __name__ == "__main__":
    main()
