"""The reference server with one flaw, so that `conformance.py` is seen to find it.

`flawed_server.py FLAW` is `reference_server.py` but for that. A judge who has never found anybody
guilty proves nothing.
"""
import sys

import reference_server
from twisted.internet import reactor
from twisted.protocols import amp
from twisted.test import test_amp


def serves_the_wrong_profile():
    wrong = test_amp.SimpleSymmetricProtocol
    reference_server.PROFILES["SimpleSymmetricCommandProtocol"] = wrong


def lacks_a_profile():
    del reference_server.PROFILES["NoAnswerCommandProtocol"]


def stays_after_goodbye():
    test_amp.Goodbye.responseType = amp.Box


def stays_after_a_fatal_error():
    test_amp.Hello.fatalErrors.clear()


def refuses_unknown_commands_in_its_own_words():
    amp.UNHANDLED_ERROR_CODE = b"NOT_FOUND"


def switches_to_another_protocol():
    test_amp.SWITCH_SERVER_DATA = b"Hardly."


def answers_after_the_switch():
    switch = reference_server.Switching._switchTo

    def switch_and_answer(self, newProto, clientFactory=None):
        switch(self, newProto, clientFactory)
        self.transport.write(amp.Box(_answer=b"1").serialize())

    reference_server.Switching._switchTo = switch_and_answer


def leaves_the_inner_protocol_unread():
    made = test_amp.TestProto.connectionMade

    def made_and_deaf(self):
        made(self)
        self.transport.pauseProducing()
        reactor.callLater(0.1, self.transport.abortConnection)

    test_amp.TestProto.connectionMade = made_and_deaf


FLAWS = {
    flaw.__name__: flaw
    for flaw in (
        serves_the_wrong_profile,
        lacks_a_profile,
        stays_after_goodbye,
        stays_after_a_fatal_error,
        refuses_unknown_commands_in_its_own_words,
        switches_to_another_protocol,
        answers_after_the_switch,
        leaves_the_inner_protocol_unread,
    )
}

if __name__ == "__main__":
    FLAWS[sys.argv[1]]()
    reference_server.main()
