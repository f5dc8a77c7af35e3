"""The argument types that MAAS added to Twisted's, written from their wire format.

Peers that speak with a MAAS of any age meet these; ours are held against them byte by byte.
"""
import ipaddress
import json
import zlib
from urllib.parse import urlsplit

from twisted.protocols import amp


class Bytes(amp.Argument):
    """Bytes as they are; unlike `amp.String` it refuses text on the way out."""

    def toString(self, value):
        if not isinstance(value, bytes):
            raise TypeError(f"not bytes: {value!r}")
        return value

    def fromString(self, string):
        return string


class Choice(amp.Argument):
    """One of a few values, each with its own bytes. Any other is an error on both sides."""

    def __init__(self, choices, optional=False):
        super().__init__(optional)
        self.encode = dict(choices)
        self.decode = {string: value for value, string in choices.items()}

    def toString(self, value):
        return self.encode[value]

    def fromString(self, string):
        return self.decode[string]


class ParsedURL(amp.Argument):
    """An ASCII URL, as it stands. A host beyond ASCII goes as IDNA, and stays so."""

    def toString(self, url):
        if not url.netloc.isascii():
            idna = url.hostname.encode("idna").decode("ascii")
            url = url._replace(netloc=url.netloc.lower().replace(url.hostname, idna))
        return url.geturl().encode("ascii")

    def fromString(self, string):
        return urlsplit(string.decode("ascii"))


class StructureAsJSON(amp.Argument):
    """Anything JSON can say, as Python's default text of it, through zlib."""

    def toString(self, value):
        return zlib.compress(json.dumps(value).encode("ascii"))

    def fromString(self, string):
        return json.loads(zlib.decompress(string))


class IPAddress(amp.Argument):
    """Four bytes, or sixteen."""

    def toString(self, address):
        return address.packed

    def fromString(self, string):
        return ipaddress.ip_address(string)


class IPNetwork(amp.Argument):
    """The bytes of the network's address, then one of prefix length."""

    def toString(self, network):
        return network.network_address.packed + bytes([network.prefixlen])

    def fromString(self, string):
        return ipaddress.ip_network((string[:-1], string[-1]))


class CompressedAmpList(amp.AmpList):
    """An `amp.AmpList` through zlib. What one value cannot hold goes on in name.2, name.3, …"""

    def toStringProto(self, rows, proto):
        return zlib.compress(super().toStringProto(rows, proto))

    def fromStringProto(self, string, proto):
        return super().fromStringProto(zlib.decompress(string), proto)

    def toBox(self, name, strings, objects, proto):
        super().toBox(name, strings, objects, proto)
        whole = strings.get(name, b"")
        for number, start in enumerate(range(0, len(whole), amp.MAX_VALUE_LENGTH), start=1):
            part = whole[start : start + amp.MAX_VALUE_LENGTH]
            strings[part_name(name, number)] = part

    def fromBox(self, name, strings, objects, proto):
        if (whole := join_parts(name, strings)) is not None:
            strings[name] = whole
        super().fromBox(name, strings, objects, proto)


def part_name(name, number):
    """name, name.2, name.3, …"""
    return name if number == 1 else b"%s.%d" % (name, number)


def join_parts(name, strings):
    """Takes every part of `name` out of a box and puts them together; None when it has none."""
    parts = []
    while (part := strings.pop(part_name(name, len(parts) + 1), None)) is not None:
        parts.append(part)
    return b"".join(parts) if parts else None
