"""
A certificate for this machine, which only those trust who are told to.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet.ssl import Certificate, PrivateCertificate, trustRootFromCertificates
from twisted.web.client import BrowserLikePolicyForHTTPS

__all__ = ["makePEM", "serverCertificate", "trusting"]


def makePEM() -> bytes:
    """A new private key and its certificate, for C{localhost} and C{127.0.0.1}."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    begin = datetime(2020, 1, 1, tzinfo=timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


def serverCertificate(pem: bytes) -> PrivateCertificate:
    """What a server shows."""
    loaded: PrivateCertificate = PrivateCertificate.loadPEM(pem)
    return loaded


def trusting(pem: bytes) -> BrowserLikePolicyForHTTPS:
    """A client's policy that trusts this certificate alone."""
    certificate = Certificate.loadPEM(pem)
    root = trustRootFromCertificates([certificate])
    return BrowserLikePolicyForHTTPS(trustRoot=root)
