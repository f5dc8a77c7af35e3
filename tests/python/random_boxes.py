"""Random boxes, written and read by Twisted itself, to hold our codec against.

`generate N SEED` writes N boxes; the same seed gives the same bytes. `reserialise` reads boxes,
has Twisted parse them, and writes them as Twisted would: keys in order, the last of equal keys.
"""
import argparse
import io
import random
import sys

from twisted.protocols import amp

KEYS_MAX = 20
# Up to which length a value goes, by its share: mostly a few bytes, now and then as long as the
# format allows. The average is near 85, so ten thousand boxes stay under twenty megabytes.
VALUE_BYTES_MAX = [(0.10, 0), (0.80, 32), (0.98, 300), (0.9995, 1_500), (1.0, amp.MAX_VALUE_LENGTH)]
KEY_BYTES_MAX = [(0.90, 12), (1.0, amp.MAX_KEY_LENGTH)]


def length(source, shares, shortest):
    """A length whose upper bound is drawn by its share."""
    drawn = source.random()
    return source.randint(shortest, next(most for share, most in shares if drawn <= share))


def value_length(source):
    # The longest value is an edge of its own: one in five thousand is exactly that long.
    if source.random() < 0.0002:
        return amp.MAX_VALUE_LENGTH
    return length(source, VALUE_BYTES_MAX, 0)


def random_box(source):
    """One box that is not empty. Keys are bytes of any kind, reserved ones by chance only."""
    lengths = [length(source, KEY_BYTES_MAX, 1) for _ in range(source.randint(1, KEYS_MAX))]
    keys = map(source.randbytes, lengths)
    return amp.Box({key: source.randbytes(value_length(source)) for key in keys})


def generate(count, seed, out):
    source = random.Random(seed)
    for _ in range(count):
        out.write(random_box(source).serialize())


class Writer:
    """What Twisted's parser hands its boxes to."""

    def __init__(self, out):
        self.out = out

    def startReceivingBoxes(self, sender):
        """Boxes are about to come."""

    def ampBoxReceived(self, box):
        self.out.write(box.serialize())

    def stopReceivingBoxes(self, reason):
        """None comes any more."""


class Transport:
    """Twisted hangs up on a key that is too long; here that is the end of the run."""

    def loseConnection(self):
        sys.exit("reserialise: a key is longer than 255 bytes")


def reserialise(stream, out):
    parser = amp.BinaryBoxProtocol(Writer(out))
    parser.makeConnection(Transport())
    while piece := stream.read(io.DEFAULT_BUFFER_SIZE):
        parser.dataReceived(piece)
    if parser.recvd or parser.state != "init":
        sys.exit("reserialise: the stream ends inside a box")


def main():
    parser = argparse.ArgumentParser(description="Random boxes by Twisted.")
    modes = parser.add_subparsers(dest="mode", required=True)
    generation = modes.add_parser("generate", help="write boxes to standard output")
    generation.add_argument("count", type=int)
    generation.add_argument("seed", type=int)
    modes.add_parser("reserialise", help="standard input to standard output, through Twisted")
    options = parser.parse_args()
    if options.mode == "generate":
        generate(options.count, options.seed, sys.stdout.buffer)
    else:
        reserialise(sys.stdin.buffer, sys.stdout.buffer)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
