"""The stock peers against each other, no Rust anywhere: are the yardsticks straight?

Run it after a change to any file here, and after moving to another Twisted. It prints one line per
finding and exits non-zero when one of them is not as it should be.
"""
import contextlib
import datetime
import json
import pathlib
import subprocess
import sys
import tempfile
import threading

import arguments
import commands
import flawed_server
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.protocols import amp

HERE = pathlib.Path(__file__).parent
DEADLINE_S = 60
SECRET = "00112233445566778899aabbccddeeff"
failures = []


def found(name, ok):
    print("ok     " if ok else "FAILED ", name, flush=True)
    if not ok:
        failures.append(name)


class Peer:
    """A script of this folder, running. Its lines are read as they come."""

    def __init__(self, script, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, HERE / script, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.deadline = threading.Timer(DEADLINE_S, self.process.kill)
        self.deadline.start()

    def next(self):
        """The next line; a peer that says no more, or is cut off for being late, raises."""
        if not (line := self.process.stdout.readline()):
            raise EOFError("the peer has nothing more to say")
        return json.loads(line)

    def until(self, event, **facts):
        """Reads on to the line of this event that carries these facts."""
        while True:
            line = self.next()
            if line.get("event") == event and facts.items() <= line.items():
                return line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.deadline.cancel()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def output(script, *arguments, stdin=b""):
    """Runs a script to its end; gives its exit status and what it wrote."""
    done = subprocess.run(
        [sys.executable, HERE / script, *map(str, arguments)],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=DEADLINE_S,
    )
    return done.returncode, done.stdout


def check_vectors():
    """What was once seen on the wire of a MAAS."""
    key = bytes.fromhex(SECRET)
    digest = "29fd9f8470b687dc74406b849d45a59ddfb68b83743b49f19fd99fca37defcbb"
    found("digest", commands.digest(key, b"m" * 16, b"s" * 16).hex() == digest)
    hexes = {
        "789cabae0500017500f9": {},
        "789ccb2bcdc90100045f01bc": None,
        "789cab564a54b2528836d451504a4e4c8b29353048b554d251c82bcdc9d15128292a4dd55130d4338dad050"
        "0e09c0b5d": {"a": [1, "caf\u00e9", None, True, 1.5]},
    }
    structure = arguments.StructureAsJSON()
    found("structures", all(structure.fromString(bytes.fromhex(h)) == v for h, v in hexes.items()))
    network = arguments.IPNetwork().fromString(bytes.fromhex("c0a8010018"))
    found("network", str(network) == "192.168.1.0/24")
    table = arguments.CompressedAmpList([(b"ip", amp.Unicode())])
    rows = {}
    strings = {b"t": bytes.fromhex("789c6360ca2c60e03034d0034143060600159d0260")}
    table.fromBox(b"t", strings, rows, None)
    found("compressed list", rows == {"t": [{"ip": "10.0.0.1"}]})


def check_handshake(secret_file, wrong_file):
    """A cluster at a region that knows two more, one from the start and one later."""
    with contextlib.ExitStack() as peers:

        def region(script="twisted_region.py", *more, secret=secret_file):
            peer = peers.enter_context(Peer(script, "--secret-file", secret, *more))
            return peer, f"127.0.0.1:{peer.next()['port']}"

        def cluster(uuid, at, *more):
            flags = ["--secret-file", secret_file, "--uuid", uuid, *more, at]
            return peers.enter_context(Peer("twisted_cluster.py", *flags))

        known, known_at = region()
        learnt, learnt_at = region()
        first, first_at = region("mesh_region.py", "--knows", known_at, "--learns", learnt_at)
        walker = cluster("c-1", first_at, "--rate", "Gouda=7")
        for peer in first, known, learnt:
            peer.until("authenticated")
            peer.until("identified", ident="c-1")
            peer.until("answered", name="Idiazabal", answer={"rating": 9})
            peer.until("refused", name="Plastic", code="NO_SUCH_CHEEZ", description="Plastic")
            peer.until("unhandled", command="BurnCheez")
            peer.until("done", ident="c-1")
        walker.until("rated", name="Gouda", total=7)
        found("a cluster finds every region", True)

        cluster("c-2", known_at).until("refused", command="ListRegions", error="UnhandledCommand")
        found("a stock region does without ListRegions, and serves two clusters", True)
        walker.process.kill()
        known.until("lost", ident="c-1")
        found("a region sees a cluster go", True)

        stranger, stranger_at = region(secret=wrong_file)
        doubter = cluster("c-3", stranger_at)
        doubter.until("failed", error="the region does not know the secret")
        stranger.until("failed")
        found("neither side trusts a stranger", True)


def make_certificates(folder):
    """An authority's certificate, and one that it signs with its private key; the files of both."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def builder(name, issuer, key):
        name, issuer = (
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, it)]) for it in (name, issuer)
        )
        dates = x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
        return dates.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))

    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    is_authority = x509.BasicConstraints(ca=True, path_length=None)
    signed = builder("authority", "authority", authority).add_extension(is_authority, True)
    files = pathlib.Path(folder, "authority.pem"), pathlib.Path(folder, "own.pem")
    pem = serialization.Encoding.PEM
    files[0].write_bytes(signed.sign(authority, hashes.SHA256()).public_bytes(pem))
    shown = builder("own", "authority", own).sign(authority, hashes.SHA256()).public_bytes(pem)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files[1].write_bytes(shown + own.private_bytes(pem, *form))
    return files


def check_start_tls(folder, secret_file):
    authority, own = make_certificates(folder)
    flags = ["--secret-file", secret_file, "--authority", authority]
    with Peer("start_tls_region.py", *flags, "--certificate", own) as region:
        at = f"127.0.0.1:{region.next()['port']}"
        flags += ["--uuid", "c-1", "--rate", "Gouda=7"]
        with Peer("start_tls_cluster.py", *flags, "--certificate", own, at) as cluster:
            region.until("done", ident="c-1")
            region.until("secured", name="own")
            cluster.until("secured", name="own")
            cluster.until("rated", name="Gouda", total=7)
        with Peer("start_tls_cluster.py", *flags, at) as cluster:
            cluster.until("failed")
        plain = ["--secret-file", secret_file, "--uuid", "c-1"]
        with Peer("twisted_cluster.py", *plain, at) as cluster:
            told = cluster.until("failed")["error"]
    found("StartTLS with certificates on both sides, and not without", "StartTLS" in told)


def check_types():
    with Peer("twisted_types.py", "serve") as server:
        at = f"127.0.0.1:{server.next()['port']}"
        status, lines = output("twisted_types.py", "ask", at, "--after-undeclared", "closed")
        checks = [json.loads(line) for line in lines.splitlines()]
        found(f"types, {len(checks)} checks", status == 0 and all(it["ok"] for it in checks))
        status, _ = output("twisted_types.py", "ask", at, "--after-undeclared", "open")
        found("types, told what is not so", status == 1)


def check_boxes():
    _, boxes = output("random_boxes.py", "generate", 2000, 1)
    _, again = output("random_boxes.py", "reserialise", stdin=boxes)
    found("random boxes", len(amp.parseString(boxes)) == 2000 and again == boxes)
    status, _ = output("random_boxes.py", "reserialise", stdin=boxes[:-1])
    found("random boxes, cut short", status == 1)


def check_conformance(folder):
    def verdict(script, *flaw):
        with Peer(script, *flaw) as server:
            ports = pathlib.Path(folder, "ports.json")
            ports.write_text(json.dumps(server.next()))
            status, lines = output("conformance.py", ports, "--json", "--with-tls")
            return status, json.loads(lines.splitlines()[-1])

    status, count = verdict("reference_server.py")
    found(f"conformance of Twisted: {count}", status == 0 and not count["failed"])
    for flaw in flawed_server.FLAWS:
        status, count = verdict("flawed_server.py", flaw)
        guilty = status == 1 and count["failed"] and count["passed"]
        found(f"conformance finds a server that {flaw.replace('_', ' ')}", guilty)


def main():
    with tempfile.TemporaryDirectory() as folder:
        secret, wrong = pathlib.Path(folder, "secret"), pathlib.Path(folder, "wrong")
        secret.write_text(f" {SECRET}\n")
        wrong.write_text("ffeeddccbbaa99887766554433221100\n")
        check_vectors()
        check_handshake(secret, wrong)
        check_start_tls(folder, secret)
        check_types()
        check_boxes()
        check_conformance(folder)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
