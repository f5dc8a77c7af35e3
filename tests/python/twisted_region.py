"""A stock Twisted region process, for our clusters to be connected to.

It is what a region of today is on the wire: the handshake, Identify, Ping and commands of its own.
It has never heard of RegisterCluster or ListRegions, so a cluster of ours must do without both.
Once a cluster has proved itself it is asked a cheez it knows, one it does not know, and a command
that nobody answers; what came back is told as lines of JSON.
"""
import argparse
import os
import pathlib
import socket
from collections import Counter

import commands
from commands import tell
from twisted.internet import defer, protocol, reactor
from twisted.protocols import amp


class Connection(amp.AMP):
    """One cluster. `ident` is None until it has given it."""

    ident = None
    authenticated = False

    def connectionMade(self):
        self.peer = commands.address(self.transport.getPeer())
        tell("connected", cluster=self.peer)
        self.begin()

    def begin(self):
        defer.ensureDeferred(self.admit()).addErrback(self.hang_up)

    async def admit(self):
        await commands.challenge(self, self.factory.secret)
        self.authenticated = True
        tell("authenticated", cluster=self.peer)
        self.ident = (await self.callRemote(commands.Identify))["ident"]
        tell("identified", cluster=self.peer, ident=self.ident)
        for name in self.factory.known, self.factory.unknown:
            await self.ask(commands.EatCheez, name=name, origin="Basque Country")
        await self.ask(commands.BurnCheez)
        tell("done", ident=self.ident)

    async def ask(self, command, **arguments):
        """Asks, and tells how it ended. Only the end of the connection raises."""
        facts = {"ident": self.ident, "command": command.__name__, **arguments}
        try:
            answer = await self.callRemote(command, **arguments)
        except amp.UnhandledCommand as error:
            tell("unhandled", **facts, description=error.args[-1])
        except (amp.AmpError, *command.allErrors) as error:
            code = command.allErrors.get(type(error))
            tell(
                "refused",
                **facts,
                error=type(error).__name__,
                code=code and code.decode(),
                description=str(error),
            )
        else:
            tell("answered", **facts, answer=answer)

    def locateResponder(self, name):
        # Answered all the same, as an open region would; a well-behaved cluster never does this.
        if name != commands.Authenticate.commandName and not self.authenticated:
            tell("early", cluster=self.peer, command=name.decode("ascii", "backslashreplace"))
        return super().locateResponder(name)

    @commands.Authenticate.responder
    def authenticate(self, message):
        return commands.answer(self.factory.secret, message)

    @commands.Identify.responder
    def identify(self):
        return {"ident": self.factory.name}

    @commands.Ping.responder
    def ping(self):
        tell("asked", ident=self.ident, command="Ping")
        return {}

    @commands.RateCheez.responder
    def rate_cheez(self, name, rating):
        tell("asked", ident=self.ident, command="RateCheez", name=name, rating=rating)
        self.factory.totals[name] += rating
        return {"total": self.factory.totals[name]}

    def hang_up(self, failure):
        tell("failed", cluster=self.peer, ident=self.ident, error=failure.getErrorMessage())
        if self.transport:
            self.transport.loseConnection()

    def connectionLost(self, reason):
        super().connectionLost(reason)
        tell("lost", cluster=self.peer, ident=self.ident)


class Region(protocol.ServerFactory):
    """The process: any number of clusters, one total per cheez."""

    protocol = Connection
    noisy = False

    def __init__(self, options):
        self.secret = commands.read_secret(options.secret_file)
        self.name = options.name
        self.known = options.known
        self.unknown = options.unknown
        self.totals = Counter()


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description="A stock Twisted region process.")
    parser.add_argument("--secret-file", type=pathlib.Path, required=True, help="hex digits")
    parser.add_argument("--name", default=f"{socket.gethostname()}:pid={os.getpid()}")
    parser.add_argument("--known", default="Idiazabal", help="a cheez that clusters hold")
    parser.add_argument("--unknown", default="Plastic", help="a cheez that no cluster holds")
    return parser


def listen(region):
    """Serves on a port of the system's choice, until it is killed."""
    port = reactor.listenTCP(0, region, interface="127.0.0.1")
    tell("listening", port=port.getHost().port, name=region.name)
    reactor.run()


if __name__ == "__main__":
    listen(Region(options().parse_args()))
