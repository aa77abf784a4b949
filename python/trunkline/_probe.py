"""Which protocol the first bytes of a connection, or the first datagrams of a flow, speak."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from . import _native

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ProbeVerdict", "Probed", "probe_tcp", "probe_udp"]


class ProbeVerdict(Enum):
    """What the bytes so far say."""

    NEED_MORE = 1
    """The beginning of something known, too short to tell."""
    IS = 2
    """It is the protocol that goes with it."""
    UNKNOWN = 3
    """None of the known protocols, or one of them with a mistake in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probed:
    """What a probe found.

    Attributes:
        verdict: once it is not ``NEED_MORE``, more bytes do not change it.
        protocol: ``"tls"``, ``"http1"``, ``"http2"``, ``"ssh"``, ``"socks5"``, ``"postgresql"``,
            ``"redis"`` or ``"mqtt"`` of a stream; ``"quic"``, ``"dns"``, ``"stun"`` or ``"wireguard"`` of
            datagrams; ``None`` unless the verdict is ``IS``.
        host: whom the client asks for, in lower case: the server name of TLS and QUIC, the host of HTTP/1.
        alpn: what a client of TLS or QUIC offers to speak inside, the best first.
        details: all that was found, by the names that every language of Trunkline uses.
    """

    verdict: ProbeVerdict
    protocol: str | None = None
    host: str | None = None
    alpn: tuple[str, ...] = ()
    details: Mapping[str, Any]


def probe_tcp(data: Buffer) -> Probed:
    """Looks at all bytes of a stream so far. It waits for nothing, so threads and loops use the same.

    A client whose server speaks first sends nothing to look at: stop waiting for it at a deadline of your
    own.
    """
    return _probed(_native.probe_tcp(data))


def probe_udp(datagrams: Iterable[Buffer]) -> Probed:
    """Looks at all datagrams of a flow so far, in the order in which they came; at most 16 are looked at."""
    return _probed(_native.probe_udp(list(datagrams)))


def _probed(found: tuple[int, str | None, str | None, list[str], str]) -> Probed:
    verdict, protocol, host, alpn, details = found
    return Probed(
        verdict=ProbeVerdict(verdict),
        protocol=protocol,
        host=host,
        alpn=tuple(alpn),
        details=json.loads(details),
    )
