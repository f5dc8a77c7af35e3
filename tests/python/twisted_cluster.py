"""A stock Twisted process that takes its place in an ampmesh, as a cluster.

It needs Twisted and nothing else: all it shares with ampmesh is the wire. Give it the address of
one region process, as that region advertises it; it finds the others by itself. From then on
`region.get_client_for(uuid)` reaches it. Each event is one line of JSON on standard output.
"""
import argparse, hmac, json, pathlib, secrets

from twisted.application.internet import ClientService
from twisted.internet import defer, endpoints, protocol, reactor
from twisted.protocols import amp


class Authenticate(amp.Command):
    arguments = [(b"message", amp.String())]
    response = [(b"digest", amp.String()), (b"salt", amp.String())]

class Identify(amp.Command):
    response = [(b"ident", amp.Unicode())]

class Ping(amp.Command): """Are you there? Both sides answer it."""

REGIONS = amp.AmpList([(b"uuid", amp.Unicode()), (b"name", amp.Unicode()),
                       (b"addresses", amp.ListOf(amp.Unicode()))])

class ListRegions(amp.Command):
    response = [(b"regions", REGIONS)]

class RegionsChanged(amp.Command):
    arguments = [(b"regions", REGIONS)]

class NoSuchCheez(Exception): """This cellar does not hold it."""
class CellarLocked(Exception): """This cellar holds it, under lock and key."""

class EatCheez(amp.Command):
    arguments = [(b"name", amp.Unicode()), (b"origin", amp.Unicode()),
                 (b"age_months", amp.Integer(optional=True))]
    response = [(b"rating", amp.Integer())]
    errors = {NoSuchCheez: b"NO_SUCH_CHEEZ", CellarLocked: b"CELLAR_LOCKED"}

class RateCheez(amp.Command):
    arguments = [(b"name", amp.Unicode()), (b"rating", amp.Integer())]
    response = [(b"total", amp.Integer())]


class Cluster:
    """This process: who it is, what it holds, and which regions it keeps a connection to."""

    def __init__(self, options):
        self.secret = bytes.fromhex(options.secret_file.read_text().strip())
        self.uuid, self.name, self.rate = options.uuid, options.name or options.uuid, options.rate
        self.cellar = {"Idiazabal": 9, "Stilton": 8, "Gouda": 6}
        self.followed = set()

    def digest(self, message, salt):
        return hmac.digest(self.secret, message + salt, "sha256")

    def follow(self, *addresses):
        if addresses and self.followed.isdisjoint(addresses):
            self.followed.update(addresses)
            host, _, port = addresses[0].rpartition(":")
            endpoint = endpoints.HostnameEndpoint(reactor, host.strip("[]"), int(port))
            factory = protocol.Factory.forProtocol(lambda: self.meet(addresses[0]))
            ClientService(endpoint, factory).startService()  # Dials again when it is lost.

    def meet(self, address):
        return Region(self, address)


class Region(amp.AMP):
    """One connection to one region process. Either side may ask at any time."""

    def __init__(self, cluster, address):
        super().__init__()
        self.cluster, self.address = cluster, address

    def connectionMade(self):
        self.trusted = defer.ensureDeferred(self.challenge()).addErrback(self.hang_up)

    async def challenge(self):
        message = secrets.token_bytes(16)
        proof = await self.callRemote(Authenticate, message=message)
        if not hmac.compare_digest(proof["digest"], self.cluster.digest(message, proof["salt"])):
            raise PermissionError("the region does not know the secret")
        return True

    @Authenticate.responder
    def authenticate(self, message):
        salt = secrets.token_bytes(16)
        return {"digest": self.cluster.digest(message, salt), "salt": salt}

    @Identify.responder
    def identify(self):
        # A region asks this once it trusts us. Our own asks wait until the answer is on its way.
        reactor.callLater(0, lambda: defer.ensureDeferred(self.join()).addErrback(self.hang_up))
        return {"ident": self.cluster.uuid}

    async def join(self):
        if not await self.trusted:
            return
        self.tell("authenticated")
        if found := await self.ask(ListRegions):
            self.regions_changed(**found)
        if self.cluster.rate:
            (name, rating), self.cluster.rate = self.cluster.rate, None
            if rated := await self.ask(RateCheez, name=name, rating=int(rating)):
                self.tell("rated", name=name, **rated)

    async def ask(self, command, **arguments):
        try:
            return await self.callRemote(command, **arguments)
        except amp.AmpError as error:
            self.tell("refused", command=command.__name__, error=type(error).__name__)

    @RegionsChanged.responder
    def regions_changed(self, regions):
        self.tell("regions", regions=regions)
        for region in regions:
            self.cluster.follow(*region["addresses"])
        return {}

    @Ping.responder
    def ping(self):
        return {}

    @EatCheez.responder
    def eat_cheez(self, name, origin, age_months):
        self.tell("asked", command="EatCheez", name=name, origin=origin, age_months=age_months)
        if name == "Casu marzu":
            raise CellarLocked("the cellar is locked")
        if name not in self.cluster.cellar:
            raise NoSuchCheez(name)
        return {"rating": self.cluster.cellar[name] + (age_months or 0) // 12}

    def tell(self, event, **facts):
        line = {"event": event, "cluster": self.cluster.name, "region": self.address, **facts}
        print(json.dumps(line), flush=True)

    def hang_up(self, failure):
        self.tell("failed", error=failure.getErrorMessage())
        if self.transport:
            self.transport.loseConnection()

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.tell("lost")


def command_line():
    parser = argparse.ArgumentParser(description="A stock Twisted cluster of an ampmesh.")
    parser.add_argument("--secret-file", type=pathlib.Path, required=True, help="hex digits")
    parser.add_argument("--uuid", required=True, help="who this cluster is")
    parser.add_argument("--name", help="how its lines are marked (default: the uuid)")
    parser.add_argument("--rate", type=lambda text: text.rsplit("=", 1), metavar="NAME=N")
    parser.add_argument("region", metavar="HOST:PORT", help="any one region process")
    return parser


if __name__ == "__main__":
    options = command_line().parse_args()
    Cluster(options).follow(options.region)
    reactor.run()
