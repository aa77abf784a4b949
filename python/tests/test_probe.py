"""What the first bytes speak."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from trunkline import Probed, ProbeVerdict, probe_tcp, probe_udp

if TYPE_CHECKING:
    from typing_extensions import Buffer


def client_hello(name: str, alpn: list[str]) -> bytes:
    """What Python's own TLS says first."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(alpn)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_a_hello_of_openssl_is_told_with_its_last_byte() -> None:
    hello = client_hello("Shop.example", ["h2", "http/1.1"])
    for length in range(len(hello)):
        assert probe_tcp(hello[:length]).verdict is ProbeVerdict.NEED_MORE
    found = probe_tcp(hello + b"\x17\x03\x03\x00\x01\x00")
    assert found == Probed(
        verdict=ProbeVerdict.IS,
        protocol="tls",
        host="shop.example",
        alpn=("h2", "http/1.1"),
        details={
            "verdict": "is",
            "protocol": "tls",
            "server_name": "shop.example",
            "alpn": ["h2", "http/1.1"],
            "ech": False,
        },
    )


@pytest.mark.parametrize(
    ("data", "protocol", "host"),
    [
        (b"GET / HTTP/1.1\r\nHost: A.example:80\r\n\r\n", "http1", "a.example"),
        (bytearray(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "http2", None),
        (memoryview(b"SSH-2.0-OpenSSH_9.2\r\n"), "ssh", None),
        (b"\x05\x01\x00", "socks5", None),
        (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", "postgresql", None),
        (b"*1\r\n$4\r\nPING\r\n", "redis", None),
        (b"\x10\x0c\x00\x04MQTT\x04", "mqtt", None),
    ],
)
def test_each_protocol_of_a_stream_has_its_name(data: Buffer, protocol: str, host: str | None) -> None:
    found = probe_tcp(data)
    assert (found.verdict, found.protocol, found.host) == (ProbeVerdict.IS, protocol, host)


def test_what_nobody_knows_is_unknown_and_nothing_says_nothing() -> None:
    unknown = Probed(verdict=ProbeVerdict.UNKNOWN, details={"verdict": "unknown"})
    assert probe_tcp(b"EHLO mail.example\r\n") == unknown
    assert probe_tcp(b"").verdict is ProbeVerdict.NEED_MORE
    assert probe_udp([]).verdict is ProbeVerdict.NEED_MORE
    assert probe_udp([b"\xff" * 40]) == unknown


def test_datagrams_are_told() -> None:
    query = b"\x07\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01A\x02ex\x00\x00\x1c\x00\x01"
    assert probe_udp([query]).details == {
        "verdict": "is",
        "protocol": "dns",
        "name": "a.ex",
        "query_type": 28,
    }
    assert probe_udp([b"\x01\x00\x00\x00" + bytes(144)]).protocol == "wireguard"


def test_what_is_not_bytes_is_refused() -> None:
    with pytest.raises(TypeError):
        probe_tcp("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        probe_udp([3])  # type: ignore[list-item]
