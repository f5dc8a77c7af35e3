"""The stock region of `twisted_region.py`, by way of StartTLS: nothing is said before it is asked.

Without `--certificate` it has what every AMP server of Twisted has: a certificate that it makes up
on the spot, for anyone, and nobody whom it believes.
"""
import pathlib

import twisted_region
from commands import tell
from twisted.internet import reactor, ssl
from twisted.protocols import amp


class Connection(twisted_region.Connection):
    secured = False

    def begin(self):
        """Nothing is asked in the clear."""

    @amp.StartTLS.responder
    def start_tls(self):
        self.secured = True
        # The answer goes out first, and TLS begins behind it.
        reactor.callLater(0, super().begin)
        return self.factory.certificates

    def locateResponder(self, name):
        if name == amp.StartTLS.commandName:
            return amp.AMP.locateResponder(self, name)
        return super().locateResponder(name) if self.secured else self.refuse

    def refuse(self, box):
        """Nothing is answered in the clear either: whoever does not start TLS is left."""
        raise amp.RemoteAmpError(b"TLS_REQUIRED", "ask StartTLS first", fatal=True)

    async def admit(self):
        await super().admit()
        shown = self.factory.certificates and ssl.Certificate.peerFromTransport(self.transport)
        tell("secured", name=shown and shown.getSubject().commonName.decode())


def main():
    parser = twisted_region.options()
    parser.add_argument("--certificate", type=pathlib.Path, help="PEM, with the private key")
    parser.add_argument("--authority", type=pathlib.Path, help="PEM, believed")
    options = parser.parse_args()
    region = twisted_region.Region(options)
    region.protocol, region.certificates = Connection, {}
    if options.certificate:
        own = ssl.PrivateCertificate.loadPEM(options.certificate.read_text())
        authority = ssl.Certificate.loadPEM(options.authority.read_text())
        region.certificates = {
            "tls_localCertificate": own,
            "tls_verifyAuthorities": [authority],
        }
    twisted_region.listen(region)


if __name__ == "__main__":
    main()
