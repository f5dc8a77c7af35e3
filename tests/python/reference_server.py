"""Twisted serving the profiles of its own test-suite, one port each, as PROFILES.md tells.

`conformance.py` is proved on it before it judges anybody else. The first line printed maps each
profile to its port.
"""
import json

from twisted.internet import defer, protocol, reactor
from twisted.test import test_amp


class Switching(test_amp.SimpleSymmetricCommandProtocol):
    """A server that switches by itself: in Twisted's suite the test pulls these strings."""

    waiting = None

    def __init__(self):
        # The inner protocol reports here what it received. Nobody reads it in this process.
        super().__init__(onConnLost=defer.Deferred())

    def _switchTo(self, newProto, clientFactory=None):
        super()._switchTo(newProto, clientFactory)
        # The answer that comes too late: it must not reach the inner protocol's bytes.
        if self.waiting is not None:
            self.waiting.callback({})


class DeferredSwitching(Switching, test_amp.DeferredSymmetricCommandProtocol):
    """Grants the switch, but in a later turn of the reactor."""

    def switchit(self, name):
        granted = test_amp.DeferredSymmetricCommandProtocol.switchit(self, name)
        if granted is None:
            raise test_amp.UnknownProtocol(name)
        reactor.callLater(0, lambda: granted.callback(self.maybeLaterProto))
        return granted

    test_amp.TestSwitchProto.responder(switchit)


PROFILES = {
    "SimpleSymmetricProtocol": test_amp.SimpleSymmetricProtocol,
    "SimpleSymmetricCommandProtocol": Switching,
    "DeferredSymmetricCommandProtocol": DeferredSwitching,
    "BadNoAnswerCommandProtocol": test_amp.BadNoAnswerCommandProtocol,
    "NoAnswerCommandProtocol": test_amp.NoAnswerCommandProtocol,
    "NormalCommandProtocol": test_amp.NormalCommandProtocol,
    "InheritedCommandProtocol": test_amp.InheritedCommandProtocol,
    "AddedCommandProtocol": test_amp.AddedCommandProtocol,
    "SecurableProto": test_amp.SecurableProto,
}


def main():
    ports = {}
    for name, server in PROFILES.items():
        factory = protocol.Factory.forProtocol(server)
        ports[name] = reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port
    print(json.dumps(ports), flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
