"""Channels with TLS, for threads and for asyncio, against servers of grpcio."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import Authority, Issued
from grpc_server import ECHO, Service, served
from support import PATIENCE, Thread

import trunkline
from trunkline import (
    AsyncChannel,
    Channel,
    ChannelError,
    ConnectionConfig,
    PemFile,
    PemText,
    Response,
    ServiceConfig,
    Tls,
    TlsCertificate,
    TlsClientConfig,
    TlsConfig,
)

WITHOUT_RETRIES = ConnectionConfig(service_config=ServiceConfig(document={}))
CREDENTIALS = [("echo-token", "hush")]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def client(authority: Authority, **more: Any) -> Tls:
    return Tls(TlsConfig(client=TlsClientConfig(roots=PemText(authority.pem), **more)))


@contextlib.contextmanager
def secured(
    issued: Issued, *options: tuple[str, Any], asks: Authority | None = None
) -> Iterator[tuple[str, Service]]:
    credentials = grpc.ssl_server_credentials(
        [(issued.key.encode(), issued.chain.encode())],
        root_certificates=None if asks is None else asks.pem.encode(),
        require_client_auth=asks is not None,
    )
    with served(*options, credentials=credentials) as found:
        yield found


def returned(response: Response, name: str) -> list[bytes]:
    return [value for key, value in response.initial if key == name]


@contextlib.contextmanager
def of_ssl(
    issued: Issued, folder: Path, *, asks: Authority | None = None, alpn: str | None = None
) -> Iterator[str]:
    """A server of Python's own ssl: takes one handshake, and says why it refuses (grpcio's hangs up)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*issued.write(folder))
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    if asks is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=asks.pem)

    def shake_hands(stream: trunkline.Stream) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                stream.sendall(outgoing.read())
                incoming.write(stream.recv(65536))
            except ssl.SSLError:
                break
        stream.sendall(outgoing.read())

    with trunkline.listen("tcp://127.0.0.1:0") as listener:
        listener.settimeout(PATIENCE)

        def serve() -> None:
            with listener.accept() as stream:
                stream.settimeout(PATIENCE)
                shake_hands(stream)
                with contextlib.suppress(trunkline.ResetError):
                    while stream.recv(65536):
                        pass

        thread = Thread(serve)
        yield listener.getsockname()
        thread.result()


def test_calls_go_over_tls_and_the_server_knows_who_calls(authority: Authority) -> None:
    shown = authority.issue("worker", uri="spiffe://example.test/worker").texts()
    with secured(authority.issue(), asks=authority) as (target, _):
        with Channel(target, tls=client(authority, certificate=shown)) as channel:
            response = channel.unary(ECHO, b"hello", timeout=PATIENCE, credentials=CREDENTIALS)
            assert response.message == b"hello"
            assert b"spiffe://example.test/worker" in returned(response, "echo-who")
            assert returned(response, "echo-token") == [b"hush"]
            large = bytes(range(256)) * 4000
            assert channel.unary(ECHO, large, timeout=PATIENCE).message == large


async def test_async_calls_go_over_tls(authority: Authority) -> None:
    with secured(authority.issue()) as (target, _):
        async with AsyncChannel(target, tls=client(authority)) as channel:
            response = await channel.unary(ECHO, b"hello", timeout=PATIENCE, credentials=CREDENTIALS)
            assert (response.message, returned(response, "echo-token")) == (b"hello", [b"hush"])


def test_a_failure_says_whose_fault_it_is(authority: Authority, tmp_path: Path) -> None:
    other = Authority("other")
    good, elsewhere = authority.issue(), authority.issue("elsewhere.test")
    with (
        secured(good) as (trusted, _),
        secured(elsewhere) as (named, _),
        of_ssl(good, tmp_path / "a", asks=authority, alpn="h2") as demanding,
        of_ssl(good, tmp_path / "b") as silent,
    ):
        for target, tls, fault in (
            (trusted, client(other), "peer_certificate"),
            (named, client(authority), "name_mismatch"),
            (demanding, client(authority), "own_certificate"),
            (silent, client(authority), "protocol"),
        ):
            with Channel(target, tls=tls, config=WITHOUT_RETRIES) as channel:
                with pytest.raises(ChannelError) as caught:
                    channel.unary(ECHO, b"", timeout=PATIENCE)
                assert (caught.value.status, caught.value.retryable) == (14, True)
                with pytest.raises(trunkline.ConnectTimeout) as late:
                    channel.wait_ready(timeout=0)
                cause = late.value.__cause__
                assert isinstance(cause, trunkline.TlsError), caught.value
                assert cause.fault == fault, caught.value
        with Channel(named, tls=client(authority, server_name="elsewhere.test")) as channel:
            assert channel.unary(ECHO, b"x", timeout=PATIENCE).message == b"x"


def test_new_connections_show_renewed_certificates_and_not_one_call_fails(
    authority: Authority, tmp_path: Path
) -> None:
    def issue(name: str) -> Issued:
        return authority.issue("worker", uri=f"spiffe://example.test/{name}")

    chain, key = issue("first").write(tmp_path / "own")
    tls = client(authority, certificate=TlsCertificate(chain=PemFile(chain), key=PemFile(key)))
    aging = ("grpc.max_connection_age_ms", 100)
    with (
        secured(authority.issue(), aging, asks=authority) as (target, _),
        Channel(target, tls=tls) as channel,
    ):
        for name in ("first", "second", "third"):
            issue(name).write(tmp_path / "own")
            tls.reload()
            expected = f"spiffe://example.test/{name}".encode()
            while expected not in returned(channel.unary(ECHO, b"", timeout=PATIENCE), "echo-who"):
                pass


def test_credentials_are_not_sent_in_the_clear_unless_that_is_asked_for() -> None:
    with served() as (target, _), Channel(target) as channel:
        with pytest.raises(ChannelError) as caught:
            channel.unary(ECHO, b"", timeout=PATIENCE, credentials=CREDENTIALS)
        assert (caught.value.status, caught.value.nothing_sent) == (16, True)
        with pytest.raises(ChannelError), channel.stream(ECHO, credentials=CREDENTIALS):
            pass
        response = channel.unary(
            ECHO, b"", timeout=PATIENCE, credentials=CREDENTIALS, plaintext_credentials=True
        )
        assert returned(response, "echo-token") == [b"hush"]
