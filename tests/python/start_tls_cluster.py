"""The stock cluster of `twisted_cluster.py`, by way of StartTLS: certificates first, then the proof.

Twisted lets asks that follow StartTLS wait until TLS is there, so all that changes is what comes
first. The certificate's file holds its private key as well, as Twisted reads them.
"""
import pathlib

import twisted_cluster
from twisted.internet import reactor, ssl
from twisted.protocols import amp


class Region(twisted_cluster.Region):
    async def challenge(self):
        await self.callRemote(amp.StartTLS, **self.cluster.certificates)
        trusted = await super().challenge()
        self.tell("secured", name=self.peerCertificate.getSubject().commonName.decode())
        return trusted


class Cluster(twisted_cluster.Cluster):
    def __init__(self, options):
        super().__init__(options)
        authority = ssl.Certificate.loadPEM(options.authority.read_text())
        self.certificates = {"tls_verifyAuthorities": [authority]}
        if options.certificate:
            own = ssl.PrivateCertificate.loadPEM(options.certificate.read_text())
            self.certificates["tls_localCertificate"] = own

    def meet(self, address):
        return Region(self, address)


if __name__ == "__main__":
    parser = twisted_cluster.command_line()
    parser.add_argument("--certificate", type=pathlib.Path, help="PEM, with the private key")
    parser.add_argument("--authority", type=pathlib.Path, required=True, help="PEM, believed")
    options = parser.parse_args()
    Cluster(options).follow(options.region)
    reactor.run()
