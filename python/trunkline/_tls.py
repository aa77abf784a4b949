"""TLS: whom to trust, who to be, what to agree on, and what a handshake has shown."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, NoReturn, TypeAlias

from . import _native
from ._document import to_document
from ._types import Never

__all__ = [
    "PemFile",
    "PemText",
    "Tls",
    "TlsCertificate",
    "TlsClientConfig",
    "TlsConfig",
    "TlsServerConfig",
    "TlsSession",
]


@dataclass(frozen=True, slots=True)
class PemFile:
    """A PEM file, which is read anew when it changes."""

    file: str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class PemText:
    """A text in PEM, which is not shown where this object is."""

    pem: str = field(repr=False)


Pem: TypeAlias = PemFile | PemText


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsCertificate:
    """A certificate with its key.

    Attributes:
        chain: the certificate, followed by those that lead to the root.
        key: its private key, unencrypted: PKCS#8, PKCS#1 or SEC1.
    """

    chain: Pem
    key: Pem


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsClientConfig:
    """The client's side; ``None`` is unset.

    Attributes:
        roots: whose certificates are trusted. Unset: those that the system trusts.
        server_name: what is asked for, and what the server's certificate must be for. Unset: the host of the
            address.
        alpn: application protocols, the preferred one first. Unset none; at most 16, each of 1 to 255 bytes.
        certificate: what is shown to servers that ask who we are. Unset nothing.
    """

    roots: Pem | None = None
    server_name: str | None = None
    alpn: Sequence[str] | None = None
    certificate: TlsCertificate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsServerConfig:
    """The server's side; ``None`` is unset.

    Attributes:
        certificate: what is shown to clients.
        client_auth: whether clients have to show who they are: ``"off"`` (unset), ``"optional"`` (who shows
            nothing is let in, who shows a bad certificate is not) or ``"required"``.
        client_roots: whose certificates are trusted of clients; needed unless ``client_auth`` is off.
        alpn: application protocols, the preferred one first; a client that asks for others only is refused.
            Unset none; at most 16, each of 1 to 255 bytes.
        handshake_timeout: time for a handshake, from the accept on. Unset 10 s; 1 ms to 365 days.
        max_handshakes: connections of one listener that are in a handshake, or through it and not accepted
            yet; others wait in the backlog. Unset 128; 1 to 65535.
    """

    certificate: TlsCertificate
    client_auth: Literal["off", "optional", "required"] | None = None
    client_roots: Pem | None = None
    alpn: Sequence[str] | None = None
    handshake_timeout: timedelta | None = None
    max_handshakes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsConfig:
    """How connections to and from ``tls://`` addresses are secured; ``None`` is unset.

    There is no way to leave the peer's certificate unchecked; trust a private authority by its certificate.
    Sessions are never resumed: each handshake checks both sides against what is in force now.

    Attributes:
        client: for connecting. Unset: trusts whom the system trusts, unless only ``server`` is given.
        server: for listening. Unset: nobody can be let in.
        min_version: the oldest version that is spoken, ``"1.2"`` (unset) or ``"1.3"``.
        reload_interval: time between two looks at the files for a change. Unset 1 min, or ``NEVER``.
        close_timeout: time that a stream which was closed gets to send what was written to it before, and the
            end. Unset 5 s; zero to 365 days.
    """

    client: TlsClientConfig | None = None
    server: TlsServerConfig | None = None
    min_version: Literal["1.2", "1.3"] | None = None
    reload_interval: timedelta | Never | None = None
    close_timeout: timedelta | None = None


class Tls:
    """A :class:`TlsConfig` with its files read, for any number of streams, managers, pools and channels.

    The files are looked at every ``reload_interval`` and read anew when they changed; a bad or expired one
    replaces nothing. New handshakes use what was read last, streams that stand keep what they began with. It
    needs no closing: it goes with the last who uses it.

    Args:
        config: whom to trust and who to be; unset, a client that trusts whom the system trusts.

    Raises:
        ConfigError: a figure is out of its range, or a file cannot be read.
        TlsError: a certificate has expired, or does not go with its key.
    """

    __slots__ = ("_native",)

    def __init__(self, config: TlsConfig | None = None) -> None:
        document = "" if config is None else json.dumps(to_document(config), default=_plain)
        self._native = _native.Tls(document)

    def reload(self) -> None:
        """Reads the files now; after an error, what was in use stays in use.

        Raises:
            ConfigError: a file cannot be read.
            TlsError: a certificate has expired, or does not go with its key.
        """
        self._native.reload()

    def expires_in(self) -> timedelta | None:
        """Time until the first of our own certificates expires, at least zero; ``None`` if there is none."""
        left = self._native.expires_in()
        return None if left is None else timedelta(microseconds=left // 1000)

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a TLS configuration in use belongs to its process: it cannot be pickled")


@dataclass(frozen=True, slots=True)
class TlsSession:
    """Who the peer of a stream is, and what was agreed with it.

    Attributes:
        version: ``"TLSv1.3"`` or ``"TLSv1.2"``.
        alpn: the application protocol that both agreed on.
        server_name: what the client asked for; ``None`` if it asked for no name, as with an IP address.
        peer_uri: the first URI that the peer's certificate is for, such as a SPIFFE id.
        peer_certificates: those that the peer showed, in DER, its own first.
    """

    version: str
    alpn: str | None
    server_name: str | None
    peer_uri: str | None
    peer_certificates: tuple[bytes, ...]


def session_of(native: _native.Stream) -> TlsSession | None:
    """What the handshake of a stream has shown."""
    told = native.tls()
    if told is None:
        return None
    version, alpn, server_name, peer_uri, certificates = told
    return TlsSession(version, alpn, server_name, peer_uri, tuple(certificates))


def native_of(tls: Tls | None) -> _native.Tls | None:
    """What the native module takes."""
    return None if tls is None else tls._native


def _plain(value: object) -> object:
    """What JSON has no form for: paths, and sequences that are no list."""
    return os.fspath(value) if isinstance(value, os.PathLike) else list(value)  # type: ignore[call-overload]
