"""Twisted AMP: both ends of a measurement, with the default reactor for this platform.

The first line of the input is the job, as JSON. What is said goes to the output as lines of JSON; the
program ends when its input does. What is measured, and how, is what src/scenarios does.
"""

import json
import os
import resource
import sys
import time

from twisted.internet import defer, endpoints, error, protocol, reactor, stdio, task
from twisted.protocols import amp, basic

TEXTS = b"sixteen-bytes-01", b"sixteen-bytes-02"
LARGE_BYTES = 32 * 1024
WARM_UP = 0.25
TIMED_OF = 16
AT_ONCE = 32


class Small(amp.Command):
    arguments = [(b"first", amp.Unicode()), (b"second", amp.Unicode())]
    response = [(b"total", amp.Integer())]


class Echo(amp.Command):
    arguments = [(b"value", amp.String())]
    response = [(b"value", amp.String())]


class Desk(amp.AMP):
    def connectionMade(self):
        self.transport.setTcpNoDelay(True)
        super().connectionMade()

    @Small.responder
    def small(self, first, second):
        return {"total": len(first) + len(second)}

    @Echo.responder
    def echo(self, value):
        return {"value": value}


def say(**said):
    print(json.dumps(said), flush=True)


def cpu_of(pids):
    """Seconds that all threads of these processes were on a processor."""
    nanoseconds = 0
    for pid in pids:
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/schedstat") as file:
                nanoseconds += int(file.read().split()[0])
    return nanoseconds / 1e9


def memory_of(pids):
    kibibytes = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as file:
            kibibytes += next(int(it.split()[1]) for it in file if it.startswith("VmRSS:"))
    return kibibytes * 1024


class Input(basic.LineReceiver):
    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def lineReceived(self, line):
        job = json.loads(line)
        # What fails is said, whatever it is.
        work = defer.ensureDeferred(listen(job) if job["end"] == "listen" else connect(job))
        work.addErrback(lambda failure: say(failed=failure.getTraceback()))

    def connectionLost(self, reason):
        if reactor.running:
            reactor.stop()


async def listen(job):
    factory = protocol.Factory.forProtocol(Desk)
    port = await endpoints.TCP4ServerEndpoint(reactor, 0, 1024, "127.0.0.1").listen(factory)
    address = f"127.0.0.1:{port.getHost().port}"
    say(ready={"address": address, "pids": [os.getpid()], "credentials": []})


async def dial(far):
    host, port = far["address"].split(":")
    endpoint = endpoints.TCP4ClientEndpoint(reactor, host, int(port))
    return await endpoints.connectProtocol(endpoint, Desk())


async def small(peer):
    first, second = (text.decode() for text in TEXTS)
    answer = await peer.callRemote(Small, first=first, second=second)
    assert answer["total"] == 32, answer


async def echo(peer, value):
    answer = await peer.callRemote(Echo, value=value)
    assert len(answer["value"]) == LARGE_BYTES


async def connect(job):
    work = job["work"]
    measure = {"calls": calls, "connect": connections, "idle": idle}[work["kind"]]
    say(figures=await measure(job["far"], job["seconds"], work))


class Phase:
    counting = over = False
    done = 0

    def __init__(self):
        self.times = []


async def call(peer, size, phase, every):
    value, until_timed = bytes(LARGE_BYTES), 0
    while not phase.over:
        began = time.perf_counter() if until_timed == 0 else None
        until_timed = every - 1 if until_timed == 0 else until_timed - 1
        await (small(peer) if size == "small" else echo(peer, value))
        if phase.counting:
            phase.done += 1
            if began is not None:
                phase.times.append(time.perf_counter() - began)


async def calls(far, seconds, work):
    own, phase = [os.getpid()], Phase()
    peers = [await dial(far) for _ in range(work["connections"])]
    every = 1 if work["connections"] * work["in_flight"] == 1 else TIMED_OF
    running = [
        defer.ensureDeferred(call(peer, work["size"], phase, every))
        for peer in peers
        for _ in range(work["in_flight"])
    ]
    all_done = defer.gatherResults(running, consumeErrors=True)
    await wait(seconds * WARM_UP, all_done)
    before, phase.counting, started = (cpu_of(own), cpu_of(far["pids"])), True, time.perf_counter()
    await wait(seconds, all_done)
    phase.counting, phase.over = False, True
    elapsed, after = time.perf_counter() - started, (cpu_of(own), cpu_of(far["pids"]))
    await all_done
    assert phase.done > 0, "nothing was done"
    times = sorted(phase.times)
    figures = {
        "rate": phase.done / elapsed,
        "client_cpu_us": (after[0] - before[0]) / phase.done * 1e6,
        "server_cpu_us": (after[1] - before[1]) / phase.done * 1e6,
    }
    for name, share in ("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999):
        if times:
            figures[name] = times[min(int(len(times) * share), len(times) - 1)] * 1e6
    return figures


async def wait(seconds, failing):
    """Waits so long, or for a failure, which is raised."""
    waited = task.deferLater(reactor, seconds, lambda: None)
    await defer.DeferredList([waited, failing], fireOnOneCallback=True, fireOnOneErrback=True)


async def open_all(far, count):
    numbers, opened = iter(range(count)), []

    async def open_some():
        for _ in numbers:
            peer = await dial(far)
            await small(peer)
            opened.append(peer)

    running = [defer.ensureDeferred(open_some()) for _ in range(AT_ONCE)]
    await defer.gatherResults(running, consumeErrors=True)
    return opened


async def connections(far, seconds, work):
    own, count = [os.getpid()], work["connections"]
    before, started = (cpu_of(own), cpu_of(far["pids"])), time.perf_counter()
    await open_all(far, count)
    elapsed, after = time.perf_counter() - started, (cpu_of(own), cpu_of(far["pids"]))
    return {
        "rate": count / elapsed,
        "client_cpu_us": (after[0] - before[0]) / count * 1e6,
        "server_cpu_us": (after[1] - before[1]) / count * 1e6,
    }


async def idle(far, seconds, work):
    own, count = [os.getpid()], work["connections"]
    first = await open_all(far, 1)
    before = memory_of(own), memory_of(far["pids"])
    others = await open_all(far, count)
    await task.deferLater(reactor, 1, lambda: None)
    after = memory_of(own), memory_of(far["pids"])
    assert len(first) + len(others) == count + 1
    return {
        "client_bytes": (after[0] - before[0]) / count,
        "server_bytes": (after[1] - before[1]) / count,
    }


def main():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    stdio.StandardIO(Input())
    try:
        reactor.run()
    except error.ReactorNotRunning:
        sys.exit(1)


main()
