"""Holds a foreign AMP server against Twisted's own tests of AMP, `twisted.test.test_amp`.

Those tests put a client and a server in one process and join them by a pump. Here the server's end
is a TCP connection to the process on trial, which serves each protocol class that the tests name on
a port of its own (PROFILES.md). What cannot be run this way is listed with its reason, in
`conformance_lists.py`; every other test runs, and must pass.

A pump knows when nothing is under way because it sees both ends. Ours sees one, so it waits for two
things: that every answer the client is owed has come, and then that a *fence* - an ask of an
unknown command, which every AMP server refuses - has come back. No time passes unused.
"""
import argparse
import json
import socket
import sys
import unittest

from conformance_lists import CANNOT_RUN, CANNOT_RUN_CLASSES, NEEDS_TLS
from twisted.internet import defer, protocol, reactor
from twisted.logger import globalLogBeginner
from twisted.test import iosim, test_amp
from twisted.trial.unittest import TestCase

DEADLINE_S = 10
FENCE = b"conformance-fence"
# The only command of the tests whose answer never comes.
UNANSWERED = test_amp.WaitForever.commandName


class ServerEnd:
    """What a test is given for the server: nothing, for that is in another process."""

    transport = None

    def __init__(self, profile):
        self.profile = profile

    def __getattr__(self, name):
        raise AttributeError(f"{name}: the server ({self.profile}) is in another process")


class Waiting:
    """Stands for the answer a server holds back. PROFILES.md says when the server lets it go."""

    def callback(self, result):
        """The server does it by itself, as soon as it has switched."""


class SocketPump:
    """Joins a client in this process to a server in another."""

    def __init__(self, client, port, local_server):
        self.client = client
        self.local_server = local_server
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self.io = iosim.makeFakeClient(client)
        self.closed = False
        self.hung_up = False
        self.owed = set()
        self.inner_sent = []
        self.send_command = client._sendBoxCommand
        client._sendBoxCommand = self.note_command
        client.makeConnection(self.io)

    def note_command(self, command, box, requiresAnswer=True):
        """Sends for the client, and remembers what must be answered before a pump may stop."""
        answer = self.send_command(command, box, requiresAnswer)
        if requiresAnswer and command != UNANSWERED and not answer.called:
            self.owed.add(answer)

            def settled(result):
                self.owed.discard(answer)
                return result

            answer.addBoth(settled)
        return answer

    def flush(self, debug=False, advanceClock=True):
        """Moves bytes until neither end has anything more to say."""
        fenced = False
        while not self.closed:
            self.send()
            if self.io.disconnecting:
                self.hang_up()
            elif not self.owed:
                # A client that has switched speaks AMP no more: no fence, and none is needed,
                # because a test looks at what the inner protocol got only when all is closed.
                if fenced or self.client._locked:
                    return
                fenced = True
                self.client.callRemoteString(FENCE).addErrback(lambda refusal: None)
                continue
            self.receive()

    def send(self):
        data = self.io.getOutBuffer()
        if data:
            if self.client.innerProtocol is not None:
                self.inner_sent.append(data)
            try:
                self.socket.sendall(data)
            except ConnectionError:
                self.close(orderly=False)

    def receive(self):
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            self.close(orderly=False)
        except TimeoutError:
            owed = f"{len(self.owed)} answers" if self.owed else "the end of the connection"
            raise AssertionError(f"the server still owes {owed} after {DEADLINE_S} s") from None
        else:
            if data:
                self.io.bufferReceived(data)
            else:
                self.close(orderly=True)

    def hang_up(self):
        """Ends our half only: what the server still has to say is heard."""
        if not self.hung_up:
            self.hung_up = True
            self.socket.shutdown(socket.SHUT_WR)

    def close(self, orderly):
        if self.closed:
            return
        self.closed = True
        self.socket.close()
        # A kernel resets a connection that is closed with bytes unread. Orderly means, then, that
        # the server read all that was written to it; that is its inner protocol's half of a test.
        report = getattr(self.local_server, "onConnLost", None)
        if orderly and report is not None and self.client.innerProtocol is not None:
            report.callback(self.inner_sent)
        self.io.disconnecting = self.io.disconnected = True
        self.io.reportDisconnect()


class Bridge:
    """Puts `SocketPump` in the place of test_amp's own pump, and counts the connections."""

    def __init__(self, ports):
        self.ports = ports
        self.connections = 0
        self.pumps = []

    def install(self):
        test_amp.connectedServerAndClient = self.connect
        test_amp.LiveFireBase.setUp = lambda test: self.connect_live(test)

    def port(self, profile):
        if profile not in self.ports:
            raise AssertionError(f"the server on trial has no port for {profile}")
        self.connections += 1
        return self.ports[profile]

    def connect(
        self,
        ServerClass=test_amp.SimpleSymmetricProtocol,
        ClientClass=test_amp.SimpleSymmetricProtocol,
    ):
        """Replaces `connectedServerAndClient`; the local server object only tells the profile."""
        local_server = ServerClass()
        profile = type(local_server).__name__
        pump = SocketPump(ClientClass(), self.port(profile), local_server)
        self.pumps.append(pump)
        server = ServerEnd(profile)
        server.waiting = Waiting()
        return pump.client, server, pump

    def connect_live(self, test):
        """Replaces `LiveFireBase.setUp`: the tests that need a reactor, for their TLS is real."""
        profile = test.serverProto.__name__
        factory = protocol.ClientFactory()
        factory.protocol = test.clientProto
        factory.onMade = defer.Deferred()
        connector = reactor.connectTCP("127.0.0.1", self.port(profile), factory)
        test.addCleanup(connector.disconnect)

        def made(_):
            test.cli, test.svr = factory.theProto, ServerEnd(profile)

        return factory.onMade.addCallback(made)

    def hang_up(self):
        for pump in self.pumps:
            pump.socket.close()
        self.pumps.clear()


def all_tests():
    """Every test of test_amp by its id, `Class.method`."""
    loader = unittest.TestLoader()
    tests = {}
    for name, found in vars(test_amp).items():
        if isinstance(found, type) and issubclass(found, TestCase) and found is not TestCase:
            for method in loader.getTestCaseNames(found):
                tests[f"{name}.{method}"] = found(method)
    return tests


def listed(tests, with_tls):
    """The ids that do not run, with their reasons, and what is wrong with the lists."""
    reasons = dict(CANNOT_RUN) if with_tls else {**NEEDS_TLS, **CANNOT_RUN}
    wrong = [f"{id}: listed, but there is no such test" for id in reasons if id not in tests]
    wrong += [f"{id}: listed twice" for id in NEEDS_TLS if id in CANNOT_RUN]
    for name, (count, reason) in CANNOT_RUN_CLASSES.items():
        members = [id for id in tests if id.partition(".")[0] == name]
        if len(members) != count:
            wrong.append(f"{name}: listed with {count} tests, but it has {len(members)}")
        wrong += [f"{id}: listed twice" for id in members if id in reasons]
        reasons |= dict.fromkeys(members, reason)
    return reasons, wrong


def run(test, bridge):
    """Runs one test; gives what is wrong with it, or None."""
    bridge.connections = 0
    result = unittest.TestResult()
    test.run(result)
    bridge.hang_up()
    if not result.wasSuccessful():
        return "".join(text for _, text in result.failures + result.errors) or "unexpected success"
    if result.skipped or result.expectedFailures:
        return "skipped, and not listed"
    if not bridge.connections:
        return "passed without connecting to the server: list it"
    return None


def main():
    parser = argparse.ArgumentParser(description="twisted.test.test_amp against a foreign server")
    parser.add_argument("ports", help="a JSON file: profile to port on 127.0.0.1")
    parser.add_argument("--json", action="store_true", help="one line of JSON per test")
    parser.add_argument("--with-tls", action="store_true", help="run what NEEDS_TLS lists, too")
    options = parser.parse_args()
    with open(options.ports) as file:
        bridge = Bridge(json.load(file))
    bridge.install()
    # trial gathers what is logged into the test's errors; it need not be on standard error too.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)

    def tell(id, outcome, detail):
        if options.json:
            print(json.dumps({"test": id, "outcome": outcome, "detail": detail}), flush=True)
        elif outcome == "failed":
            print(f"FAILED {id}\n{detail.rstrip()}\n", flush=True)

    tests = all_tests()
    reasons, wrong = listed(tests, options.with_tls)
    passed = failed = 0
    for id, test in tests.items():
        if id in reasons:
            tell(id, "listed", reasons[id])
            continue
        detail = run(test, bridge)
        passed, failed = passed + (detail is None), failed + (detail is not None)
        tell(id, "failed" if detail else "passed", detail)
    for detail in wrong:
        failed += 1
        tell("lists", "failed", detail)
    if options.json:
        print(json.dumps({"passed": passed, "failed": failed, "listed": len(reasons)}))
    else:
        print(f"{passed} passed, {failed} failed, {len(reasons)} listed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
