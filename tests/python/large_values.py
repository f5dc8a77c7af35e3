"""A stock Twisted peer that sends and takes values of any length.

It listens on a free port, answers `MirrorLarge` with what it was sent, and asks the peer to mirror
the same on the way. Each event is one line of JSON on standard output.
"""
import json

from twisted.internet import defer, endpoints, protocol, reactor
from twisted.protocols import amp


# ANCHOR: large
class Large(amp.Argument):
    """Another argument, of any length: it goes on under `name.2`, `name.3`, …"""

    def __init__(self, of, optional=False):
        super().__init__(optional)
        self.of = of

    def toBox(self, name, strings, objects, proto):
        whole = self.of.toStringProto(objects[name.decode()], proto)
        for number, at in enumerate(range(0, len(whole) or 1, 65535), 1):
            strings[name if number == 1 else b"%s.%d" % (name, number)] = whole[at:at + 65535]

    def fromBox(self, name, strings, objects, proto):
        parts = [strings[name]]
        while len(parts[-1]) == 65535 and b"%s.%d" % (name, len(parts) + 1) in strings:
            parts.append(strings[b"%s.%d" % (name, len(parts) + 1)])
        objects[name.decode()] = self.of.fromStringProto(b"".join(parts), proto)


class MirrorLarge(amp.Command):
    arguments = [(b"image", Large(amp.String()))]
    response = [(b"image", Large(amp.String()))]
# ANCHOR_END: large


class Mirror(amp.AMP):
    @MirrorLarge.responder
    @defer.inlineCallbacks
    def mirror_large(self, image):
        mirrored = yield self.callRemote(MirrorLarge, image=image)
        tell("mirrored", same=mirrored["image"] == image, bytes=len(image))
        return {"image": image}


def tell(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


endpoint = endpoints.TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
listening = endpoint.listen(protocol.Factory.forProtocol(Mirror))
listening.addCallback(lambda port: tell("listening", port=port.getHost().port))
reactor.run()
