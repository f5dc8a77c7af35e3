"""What the stock peers of the test-suite say to each other: commands, and the MAAS handshake.

`twisted_cluster.py` declares its own, because the book prints it whole. The two must agree; that
they do is what `selftest.py` finds out.
"""
import hmac
import json
import secrets

from twisted.protocols import amp


class NoSuchCheez(Exception):
    """The cellar does not hold it."""


class CellarLocked(Exception):
    """The cellar holds it, under lock and key."""


class Authenticate(amp.Command):
    """Prove that you know the secret: HMAC-SHA256 over my message and a salt of yours."""

    arguments = [(b"message", amp.String())]
    response = [(b"digest", amp.String()), (b"salt", amp.String())]


class Identify(amp.Command):
    """A cluster gives its uuid, a region the name of its process."""

    response = [(b"ident", amp.Unicode())]


class Ping(amp.Command):
    """Are you there?"""


class EatCheez(amp.Command):
    """Answered by clusters."""

    arguments = [
        (b"name", amp.Unicode()),
        (b"origin", amp.Unicode()),
        (b"age_months", amp.Integer(optional=True)),
    ]
    response = [(b"rating", amp.Integer())]
    errors = {NoSuchCheez: b"NO_SUCH_CHEEZ", CellarLocked: b"CELLAR_LOCKED"}


class RateCheez(amp.Command):
    """Answered by regions."""

    arguments = [(b"name", amp.Unicode()), (b"rating", amp.Integer())]
    response = [(b"total", amp.Integer())]


class BurnCheez(amp.Command):
    """Answered by nobody: what comes back must say so, and leave the connection alone."""


REGIONS = amp.AmpList(
    [
        (b"uuid", amp.Unicode()),
        (b"name", amp.Unicode()),
        (b"addresses", amp.ListOf(amp.Unicode())),
    ]
)


class ListRegions(amp.Command):
    """Asked by clusters. A stock region does not know it."""

    response = [(b"regions", REGIONS)]


class RegionsChanged(amp.Command):
    """Pushed to clusters by a region that knows the others."""

    arguments = [(b"regions", REGIONS)]


def read_secret(path):
    """The secret in MAAS's file: hex digits, white space around them."""
    return bytes.fromhex(path.read_text().strip())


def digest(secret, message, salt):
    """What whoever answers `message` must send along with its `salt`."""
    return hmac.digest(secret, message + salt, "sha256")


def answer(secret, message):
    """The response to an Authenticate."""
    salt = secrets.token_bytes(16)
    return {"digest": digest(secret, message, salt), "salt": salt}


async def challenge(peer, secret):
    """Asks `peer` for its proof; raises PermissionError when it does not know the secret."""
    message = secrets.token_bytes(16)
    proof = await peer.callRemote(Authenticate, message=message)
    if not hmac.compare_digest(proof["digest"], digest(secret, message, proof["salt"])):
        raise PermissionError("the peer does not know the secret")


def address(endpoint):
    """`host:port` of one end of a TCP connection, an IPv6 host in brackets."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:{endpoint.port}"


def tell(event, **facts):
    """Prints one line of JSON, at once: tests wait for lines, never for time to pass."""
    print(json.dumps({"event": event, **facts}), flush=True)
