"""The values that `twisted_types.py ask` sends: every edge of every argument type.

Each set is a name and the values; a set differs from `PLAIN` in one field, so that a check that
fails names the edge. `As` wraps a value that, by the nature of its type, comes back as another.
"""
import random
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from twisted.python.filepath import FilePath

SNOWMAN = "\N{SNOWMAN}"


class As:
    """`sent` goes out, `received` is what a faithful peer gives back."""

    def __init__(self, sent, received):
        self.sent = sent
        self.received = received


def moment(minutes, *fields):
    """A time in the zone that lies `minutes` east of UTC."""
    zone = timezone(timedelta(minutes=minutes))
    return datetime(*(fields or (2012, 1, 23, 12, 34, 56, 54321)), tzinfo=zone)


def incompressible(count):
    """Rows that zlib cannot make small, the same ones every time."""
    bits = random.Random(1)
    return [{"ip": str(ip_address(bits.getrandbits(128)))} for _ in range(count)]


PLAIN = {
    "integer": 123,
    "big": 2**200,
    "data": b"hello",
    "text": "hello",
    "flag": True,
    "ratio": 1.5,
    "price": Decimal("0.1"),
    "at": moment(60),
    "numbers": [1, 20, 500],
    "nested": [[1], [2, 3], []],
    "names": ["a", SNOWMAN],
    "rows": [{"a": 7, "b": "hello"}, {"a": 9, "b": "goodbye"}],
    "path": FilePath("/srv/cellar"),
    "maybe": "here",
    "structure": {"a": [1, "caf\u00e9", None, True, 1.5]},
    "address": ip_address("192.168.1.2"),
    "network": ip_network("192.168.1.0/24"),
    "link": urlsplit("http://example.com:5240/MAAS?x=1#f"),
    "state": "on",
    "table": [{"ip": "10.0.0.1"}],
}

PRICES = """
    1 -1 1.0 10 1E+2 1.5E+2 0 -0 0E-10 1E-7 0.000001 3.141E+5 -3.141E-7 1E+1000000
    123456789012345678901234567890.12345 Infinity -Infinity NaN -NaN sNaN -sNaN NaN123
"""
RATIOS = """
    0.0 -0.0 0.1 3.0 123456789.125 1e15 9999999999999998.0 1e16 1e22 1e-4 1e-5
    1.2345678901234568e17 1.7976931348623157e308 2.2250738585072014e-308 5e-324 inf -inf nan
"""

EDGES = {
    "integer": [0, -1, 2**63 - 1, -(2**63), As(True, 1)],
    "big": [0, -1, 2**64, -(2**70), 2**128, -(2**128), 10**116, -(10**4000)],
    "data": [b"", b"\x00\xff", bytes(range(256)), b"x" * 0xFFFF],
    "text": ["", "\U0001f600", "\ufeffa", "\0", "\r\n", "e\u0301", SNOWMAN * 21845],
    "flag": [False],
    "ratio": [float(text) for text in RATIOS.split()],
    "price": [Decimal(text) for text in PRICES.split()],
    "at": [
        *(moment(minutes) for minutes in (0, -60, 330, -90, 199, -419, 1439)),
        moment(0, 1, 1, 1),
        moment(0, 2016, 2, 29),
        moment(0, 9999, 12, 31, 23, 59, 59, 999999),
    ],
    "numbers": [[], [0], [-1, 2**62], [7] * 9000],
    "nested": [[], [[]], [[], []], [[-1, 10**9]]],
    "names": [[], [""], ["", ""], [SNOWMAN, "Hello", "world"]],
    "rows": [
        [],
        [{"a": 7, "b": None}],
        [{"a": -1, "b": ""}],
        [{"a": number, "b": "row"} for number in range(2000)],
    ],
    "path": [FilePath("/"), FilePath(f"/srv/{SNOWMAN}"), FilePath("/srv/with space")],
    "maybe": [None, "", SNOWMAN],
    "structure": [
        *({}, [], None, True, 0, "", "\U0001f600", [1.5, -1, 2**53]),
        {"deep": {"deeper": {"deepest": [[], {}]}}},
    ],
    "address": [
        *map(ip_address, ("0.0.0.0", "255.255.255.255", "::", "::1", "2001:db8::1")),
        ip_address("::ffff:10.0.0.1"),
    ],
    "network": [
        *map(ip_network, ("0.0.0.0/0", "10.0.0.0/8", "192.168.1.2/32", "::/0")),
        *map(ip_network, ("2001:db8::/32", "2001:db8::1/128")),
    ],
    "link": [
        urlsplit("http://127.0.0.1:5240/MAAS"),
        urlsplit("https://[2001:db8::1]:5240/MAAS/"),
        urlsplit("http://user@example.com/a%20b"),
        As(urlsplit("http://b\u00fccher.example/"), urlsplit("http://xn--bcher-kva.example/")),
    ],
    "state": ["off"],
    "table": [[], [{"ip": ""}], [{"ip": "10.0.0.1"}] * 100, incompressible(9000)],
}


def value_sets():
    """The name and the values of each set, the plain one first."""
    yield "plain", PLAIN
    for field, values in EDGES.items():
        for value in values:
            shown = ascii(value.sent if isinstance(value, As) else value)
            shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
            yield f"{field}={shown}", {**PLAIN, field: value}
