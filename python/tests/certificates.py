"""Certificates for tests: an authority, and what it signs."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import trunkline

_HOUR = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, in PEM."""

    chain: str
    key: str

    def texts(self) -> trunkline.TlsCertificate:
        return trunkline.TlsCertificate(chain=trunkline.PemText(self.chain), key=trunkline.PemText(self.key))

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Into files, whose paths are returned."""
        folder.mkdir(exist_ok=True)
        chain, key = folder / "chain.pem", folder / "key.pem"
        chain.write_text(self.chain)
        key.write_text(self.key)
        return chain, key


class Authority:
    """Signs certificates; trusted by those who are told to."""

    def __init__(self, name: str = "test") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        ca = x509.BasicConstraints(ca=True, path_length=None)
        builder = self._builder(self._name, self._key, _HOUR).add_extension(ca, critical=True)
        certificate = builder.sign(self._key, hashes.SHA256())
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, *names: str, uri: str | None = None, valid_for: datetime.timedelta = _HOUR) -> Issued:
        """For host names and IP addresses; for ``localhost`` and ``127.0.0.1`` if there are none."""
        key = ec.generate_private_key(ec.SECP256R1())
        san: list[x509.GeneralName] = [_general(name) for name in names or ("localhost", "127.0.0.1")]
        if uri is not None:
            san.append(x509.UniformResourceIdentifier(uri))
        builder = self._builder(x509.Name([]), key, valid_for)
        builder = builder.add_extension(x509.SubjectAlternativeName(san), critical=True)
        certificate = builder.sign(self._key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return Issued(certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode())

    def both_sides(self) -> trunkline.Tls:
        """A client and a server of localhost that trust each other."""
        return trunkline.Tls(
            trunkline.TlsConfig(
                client=trunkline.TlsClientConfig(roots=trunkline.PemText(self.pem)),
                server=trunkline.TlsServerConfig(certificate=self.issue().texts()),
            )
        )

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, valid_for: datetime.timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * _HOUR)
            .not_valid_after(now + valid_for)
        )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
