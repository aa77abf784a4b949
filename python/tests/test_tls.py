"""TLS: with Python's own ssl as the peer, whom it trusts, whose fault a failure is, and renewal."""

from __future__ import annotations

import contextlib
import datetime
import pickle
import random
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority, Issued
from support import PATIENCE, Thread

import trunkline
from trunkline import PemFile, PemText, Tls, TlsCertificate, TlsClientConfig, TlsConfig, TlsServerConfig

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
NAMES = {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def client(authority: Authority, **more: Any) -> Tls:
    return Tls(TlsConfig(client=TlsClientConfig(roots=PemText(authority.pem), **more)))


def server(issued: Issued, **more: Any) -> Tls:
    return Tls(TlsConfig(server=TlsServerConfig(certificate=issued.texts(), **more)))


def ssl_context(purpose: ssl.Purpose, authority: Authority, shown: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(purpose, cadata=authority.pem)
    context.load_cert_chain(*shown)
    return context


def noise() -> bytes:
    return random.Random(7).randbytes(3 << 20)


def hear(read: Any) -> bytes:
    """Everything to the end."""
    heard = bytearray()
    while part := read(65536):
        heard += part
    return bytes(heard)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_of_ssl_talks_to_our_listener(
    authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    tls = server(
        authority.issue(), alpn=("trunk", "line"), client_auth="required", client_roots=PemText(authority.pem)
    )
    shown = authority.issue("worker", uri="spiffe://example.test/worker").write(tmp_path / "client")
    context = ssl_context(ssl.Purpose.SERVER_AUTH, authority, shown)
    context.set_alpn_protocols(["line"])
    context.maximum_version = version
    with trunkline.listen("tls://127.0.0.1:0", tls=tls) as listener:
        listener.settimeout(PATIENCE)
        port = int(listener.getsockname().rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as near, listener.accept() as far:
                far.settimeout(PATIENCE)
                echo = Thread(lambda: far.sendall(hear_exactly(far.recv, len(noise()))))
                near.sendall(noise())
                assert hear_exactly(near.recv, len(noise())) == noise()
                echo.result()
                session = far.tls()
                assert session is not None
                assert near.selected_alpn_protocol() == session.alpn == "line"
                assert session.version == near.version() == NAMES[version]
                assert session.server_name == "localhost"
                assert session.peer_uri == "spiffe://example.test/worker"
                assert session.peer_certificates  # ssl adds those that lead to the root
                assert far.stats().protocol == "tls"
                far.shutdown(socket.SHUT_WR)
                assert near.recv(1) == b""
                near.unwrap()
                assert far.recv(1) == b""


def hear_exactly(read: Any, length: int) -> bytes:
    heard = bytearray()
    while len(heard) < length:
        part = read(65536)
        assert part, "an early end"
        heard += part
    return bytes(heard)


@contextlib.contextmanager
def ssl_server(context: ssl.SSLContext, serve: Any) -> Iterator[int]:
    """Serves one connection of ssl; the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE)

        def work() -> None:
            raw, _ = listening.accept()
            with raw:
                raw.settimeout(PATIENCE)
                with contextlib.suppress(OSError):
                    with context.wrap_socket(raw, server_side=True) as conn:
                        serve(conn)

        thread = Thread(work)
        yield listening.getsockname()[1]
        thread.result()


def echo_all(conn: ssl.SSLSocket) -> None:
    conn.sendall(hear_exactly(conn.recv, len(noise())))
    assert conn.recv(1) == b""
    conn.unwrap()


@pytest.mark.parametrize("version", VERSIONS)
def test_our_client_talks_to_a_server_of_ssl(
    authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    context = ssl_context(ssl.Purpose.CLIENT_AUTH, authority, authority.issue().write(tmp_path / "server"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    context.maximum_version = version
    tls = client(authority, alpn=["h2"], certificate=authority.issue("worker").texts())
    with ssl_server(context, echo_all) as port:
        with trunkline.connect(f"tls://localhost:{port}", tls=tls, timeout=PATIENCE) as near:
            near.settimeout(PATIENCE)
            writing = Thread(near.sendall, noise())
            assert hear_exactly(near.recv, len(noise())) == noise()
            writing.result()
            session = near.tls()
            assert session is not None
            assert (session.alpn, session.version) == ("h2", NAMES[version])
            near.shutdown(socket.SHUT_WR)
            assert near.recv(1) == b""


def test_who_is_not_trusted_is_refused_and_it_is_known_whose_fault_that_is(
    authority: Authority, tmp_path: Path
) -> None:
    foreign = Authority("foreign")
    expired = authority.issue(valid_for=-datetime.timedelta(minutes=1))
    own = foreign.issue("worker").texts()
    for number, (shown, asks, tls, fault) in enumerate(
        [
            (foreign.issue(), False, client(authority), "peer_certificate"),
            (expired, False, client(authority), "peer_certificate"),
            (authority.issue("other.test"), False, client(authority), "name_mismatch"),
            (authority.issue(), True, client(authority), "own_certificate"),
            (authority.issue(), True, client(authority, certificate=own), "own_certificate"),
        ]
    ):
        context = ssl_context(ssl.Purpose.CLIENT_AUTH, authority, shown.write(tmp_path / str(number)))
        if asks:
            context.verify_mode = ssl.CERT_REQUIRED
        with ssl_server(context, lambda conn: conn.recv(1)) as port:
            with pytest.raises(trunkline.TlsError) as caught:
                # With TLS 1.3 a client stands before the server has judged it.
                with trunkline.connect(f"tls://localhost:{port}", tls=tls, timeout=PATIENCE) as near:
                    near.settimeout(PATIENCE)
                    near.recv(1)
        error = caught.value
        assert error.fault == fault
        assert (error.kind, error.retryable) == ("tls", False)
        assert isinstance(error, ConnectionError)
        assert error.__cause__ is not None
        again = pickle.loads(pickle.dumps(error))
        assert (again.fault, str(again)) == (fault, str(error))


def test_a_server_of_ssl_that_breaks_off_is_no_end(authority: Authority, tmp_path: Path) -> None:
    context = ssl_context(ssl.Purpose.CLIENT_AUTH, authority, authority.issue().write(tmp_path / "server"))

    def half(conn: ssl.SSLSocket) -> None:
        conn.sendall(b"half of it")  # and no unwrap(), which would send a close_notify

    with ssl_server(context, half) as port:
        with trunkline.connect(f"tls://localhost:{port}", tls=client(authority)) as near:
            near.settimeout(PATIENCE)
            assert near.recv(100) == b"half of it"
            with pytest.raises(trunkline.ResetError):
                near.recv(100)


def test_nothing_is_trusted_without_roots_and_nobody_is_let_in_without_a_certificate(
    authority: Authority,
) -> None:
    with trunkline.listen("tls://127.0.0.1:0", tls=authority.both_sides()) as listener:
        with pytest.raises((trunkline.TlsError, trunkline.ConfigError)):
            trunkline.connect(listener.getsockname())
    with pytest.raises(trunkline.ConfigError, match=r"tls\.server"):
        trunkline.listen("tls://127.0.0.1:0")
    with pytest.raises(trunkline.ConfigError, match=r"tls\.server"):
        trunkline.listen("tls://127.0.0.1:0", tls=client(authority))
    with pytest.raises(trunkline.ConfigError, match=r"client\.roots"):
        Tls(TlsConfig(client=TlsClientConfig(roots=PemFile("/nonexistent"))))
    with pytest.raises(trunkline.ConfigError, match="tls"):
        trunkline.Pool(object, tls=client(authority))  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        pickle.dumps(authority.both_sides())


def test_a_new_certificate_is_seen_by_new_connections_and_a_bad_one_by_none(
    authority: Authority, tmp_path: Path
) -> None:
    folder = tmp_path / "server"
    chain, key = authority.issue().write(folder)
    tls = Tls(
        TlsConfig(
            client=TlsClientConfig(roots=PemText(authority.pem)),
            server=TlsServerConfig(certificate=TlsCertificate(chain=PemFile(chain), key=PemFile(key))),
            reload_interval=trunkline.NEVER,
        )
    )
    with trunkline.listen("tls://127.0.0.1:0", tls=tls) as listener:

        def shown() -> bytes:
            with trunkline.connect(listener.getsockname(), tls=tls) as near, listener.accept():
                session = near.tls()
                assert session is not None
                return session.peer_certificates[0]

        first = shown()
        authority.issue().write(folder)
        tls.reload()
        second = shown()
        assert first != second
        authority.issue(valid_for=-datetime.timedelta(minutes=1)).write(folder)
        with pytest.raises(trunkline.TlsError) as caught:
            tls.reload()
        assert caught.value.fault == "own_certificate"
        assert shown() == second
        left = tls.expires_in()
        assert left is not None
        assert datetime.timedelta() < left <= datetime.timedelta(hours=1)
        assert client(authority).expires_in() is None


def test_managers_and_pools_are_secured(authority: Authority) -> None:
    tls = authority.both_sides()
    with trunkline.TcpConnectionManager(tls=tls) as manager, trunkline.listen("mem:behind-tls") as plain:
        plain.settimeout(PATIENCE)
        bound = manager.relay("tls://127.0.0.1:0", "mem:behind-tls")
        assert bound.startswith("tls://")
        with trunkline.Pool(bound, tls=tls, max_size=1) as pool:
            with pool.connection() as near, plain.accept() as far:
                near.sendall(b"through all of it")
                far.settimeout(PATIENCE)
                assert far.recv(100) == b"through all of it"
                assert near.tls() is not None
                assert far.tls() is None


async def test_asyncio_has_the_same(authority: Authority) -> None:
    tls = authority.both_sides()
    async with await trunkline.async_listen("tls://127.0.0.1:0", tls=tls) as listener:
        async with await trunkline.async_connect(listener.getsockname(), tls=tls) as near:
            async with await listener.accept() as far:
                await near.send(b"question")
                assert await far.receive(100) == b"question"
                session = near.tls()
                assert session is not None
                assert session.peer_certificates
    async with trunkline.AsyncTcpConnectionManager(tls=tls) as manager:
        async with await manager.listen("tls://127.0.0.1:0") as inner:
            async with trunkline.AsyncPool(inner.getsockname(), tls=tls) as pool:
                async with pool.connection() as lent, await inner.accept() as far:
                    await far.send(b"lent")
                    assert await lent.receive(100) == b"lent"


def test_texts_in_pem_are_not_shown(authority: Authority) -> None:
    issued = authority.issue()
    config = TlsConfig(server=TlsServerConfig(certificate=issued.texts()))
    assert issued.key[40:60] not in repr(config)
    assert "chain.pem" in repr(PemFile("chain.pem"))
    assert repr(Tls(config)) == "<Tls>"
