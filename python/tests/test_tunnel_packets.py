"""The packet carrier: between our own ends, and with ends of ``tunnel.v1`` by grpcio."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
from collections.abc import Iterator

import grpc
import pytest
from certificates import Authority
from support import PATIENCE, Thread, eventually
from tunnel_v1 import DATA, DRAIN, ERROR, End, LegacyAgent, Packet, legacy_agent, legacy_hub

import trunkline
from trunkline import (
    Agent,
    AgentConfig,
    AsyncAgent,
    AsyncHub,
    HttpConfig,
    HttpRoute,
    Hub,
    HubConfig,
    LinkConfig,
    PemText,
    Tls,
    TlsClientConfig,
    TlsConfig,
)

TOKEN = "a token that is long enough"
LEGACY = LinkConfig(allow_legacy_peers=True)

_names = itertools.count()


def name() -> str:
    return f"mem:packets-{os.getpid()}-{next(_names)}"


def hub_config(**more: object) -> HubConfig:
    return HubConfig(agents={"c1": [TOKEN]}, carriers=["packet"], **more)  # type: ignore[arg-type]


def agent_config(at: str, **more: object) -> AgentConfig:
    return AgentConfig(cluster="c1", token=TOKEN, hubs=[at], carrier="packet", **more)  # type: ignore[arg-type]


PROVED = (("cluster-name", "c1"), ("authorization", f"Bearer {TOKEN}"))


@contextlib.contextmanager
def called(**more: object) -> Iterator[tuple[Hub, LegacyAgent]]:
    """A hub, and an agent of grpcio that it has let in."""
    with Hub(hub_config(link=LEGACY, **more)) as hub:
        with legacy_agent(hub.listen("tcp://127.0.0.1:0"), *PROVED) as agent:
            eventually(lambda: hub.stats().links == 1)
            yield hub, agent


def heard(end: End, conn_id: int, length: int) -> bytes:
    """So many bytes of a connection, in whatever packets."""
    data = b""
    while len(data) < length:
        packet = end.hear()
        assert (packet.conn_id, packet.code) == (conn_id, DATA)
        data += packet.data
    return data


def received(stream: trunkline.Stream, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        more = stream.recv(65536)
        assert more
        data += more
    return bytes(data)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "mem"])
def test_packets_carry_what_streams_do(address: str) -> None:
    with Hub(hub_config()) as hub:
        at = hub.listen(name() if address == "mem" else address)
        with Agent(agent_config(at)) as agent, agent.listener() as listener:
            agent.wait_ready(PATIENCE)
            data = os.urandom(3 << 20)
            with hub.dial("c1") as user, listener.accept() as served:
                sending = Thread(user.sendall, data)
                assert received(served, len(data)) == data
                sending.result()
                served.sendall(b"answer")
                served.close()
                assert user.recv(100) == b"answer"
                assert user.recv(100) == b""
        eventually(lambda: hub.stats().active == 0)
        with Agent(AgentConfig(cluster="c1", token=TOKEN, hubs=[at])) as native:
            eventually(lambda: native.stats().links_failed > 0)
            with pytest.raises(trunkline.ConnectTimeout):
                native.wait_ready(0)
        assert hub.stats().links_opened == 1


async def test_packets_carry_what_streams_do_in_a_loop() -> None:
    async with AsyncHub(hub_config()) as hub:
        async with AsyncAgent(agent_config(await hub.listen(name()))) as agent:
            await agent.wait_ready(PATIENCE)
            async with await agent.listener() as listener:
                async with await hub.dial("c1") as user, await listener.accept() as served:
                    await user.send(b"question")
                    assert await served.receive() == b"question"
                    await served.send(b"answer")
                    assert await user.receive() == b"answer"


def test_an_agent_of_grpcio_is_dialled_through() -> None:
    with called() as (hub, agent), hub.dial("c1") as user:
        user.sendall(b"question")
        first = agent.hear()
        assert (first.code, first.data) == (DATA, b"question")
        answer = os.urandom(3 << 20)
        pieces = (answer[at : at + 32768] for at in range(0, len(answer), 32768))
        agent.say(*(Packet(first.conn_id, data=piece) for piece in pieces))
        assert received(user, len(answer)) == answer
        # What was answered may be followed by more.
        data = os.urandom(1 << 20)
        sending = Thread(user.sendall, data)
        got = b""
        while len(got) < len(data):
            packet = agent.hear()
            assert packet.conn_id == first.conn_id
            got += packet.data
            agent.say(Packet(first.conn_id, data=b"."))
            assert user.recv(1) == b"."
        sending.result()
        assert got == data
        user.close()
        over = agent.hear()
        assert (over.conn_id, over.code) == (first.conn_id, ERROR)
        with hub.dial("c1") as other:
            other.sendall(b"x")
            second = agent.hear()
            assert second.conn_id > first.conn_id
            agent.say(Packet(second.conn_id, ERROR, error_message="failed to dial"))
            with pytest.raises(ConnectionResetError):
                other.recv(100)
        agent.say(Packet(code=DRAIN))
        agent.finish()
        agent.hear_the_end()
        assert agent.call.code() is grpc.StatusCode.OK
        with pytest.raises(trunkline.ConnectError):
            hub.dial("c1")


def test_users_of_http_reach_a_service_behind_an_agent_of_grpcio() -> None:
    routes = (HttpRoute(path="/c1", cluster="c1"),)
    with called(http=HttpConfig(routes=routes), anonymous=["c1"]) as (hub, agent):
        port = int(hub.listen_http("tcp://127.0.0.1:0").rpartition(":")[2])
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as user:
            for body in (b"first", os.urandom(300_000)):
                user.request("POST", "/c1/x?y", body)
                packet = agent.hear()
                assert packet.data.startswith(b"POST /c1/x?y HTTP/1.1\r\n")
                assert packet.data.endswith(b"\r\n\r\n" + body), "the request is one packet"
                agent.say(
                    Packet(packet.conn_id, data=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"),
                    Packet(packet.conn_id, data=b"\r\nok"),
                )
                response = user.getresponse()
                assert (response.status, response.read()) == (200, b"ok")


@pytest.mark.parametrize(
    ("link", "metadata", "code"),
    [
        (LEGACY, PROVED[:1], grpc.StatusCode.PERMISSION_DENIED),
        (LEGACY, (), grpc.StatusCode.INVALID_ARGUMENT),
        (None, PROVED, grpc.StatusCode.FAILED_PRECONDITION),
    ],
)
def test_an_agent_of_grpcio_hears_why_it_is_not_let_in(
    link: LinkConfig | None, metadata: tuple[tuple[str, str], ...], code: grpc.StatusCode
) -> None:
    with Hub(hub_config(link=link)) as hub, legacy_agent(hub.listen("tcp://127.0.0.1:0"), *metadata) as agent:
        agent.hear_the_end()
        assert agent.call.code() is code
        assert hub.stats().links_opened == 0


def test_who_has_nothing_to_prove_is_let_in_where_the_hub_says_so() -> None:
    at = "tcp://127.0.0.1:0"
    with Hub(hub_config(link=LEGACY, allow_unauthenticated_agents=[at])) as hub:
        found = hub.listen(at)
        with legacy_agent(found, ("cluster-name", "nobody's")) as agent:
            assert agent.call.code() is grpc.StatusCode.INVALID_ARGUMENT
        with legacy_agent(found, ("cluster-name", "nobodys")) as agent:
            with contextlib.closing(dialled(hub, "nobodys")) as user:
                user.sendall(b"x")
                assert agent.hear().data == b"x"


def dialled(hub: Hub, cluster: str) -> trunkline.Stream:
    eventually(lambda: hub.stats().links == 1)
    return hub.dial(cluster)


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_an_agent_serves_a_hub_of_grpcio(scheme: str) -> None:
    authority = Authority("hubs")
    shown = authority.issue()
    keys = [(shown.key.encode(), shown.chain.encode())]
    credentials = grpc.ssl_server_credentials(keys) if scheme == "tls" else None
    tls = Tls(TlsConfig(client=TlsClientConfig(roots=PemText(authority.pem))))
    with legacy_hub(credentials) as (port, hub):
        config = agent_config(f"{scheme}://localhost:{port}", link=LEGACY)
        with Agent(config, tls=tls) as agent, agent.listener() as listener:
            agent.wait_ready(PATIENCE)
            metadata, end = hub.calls.get(timeout=PATIENCE)
            assert (metadata["cluster-name"], metadata["authorization"]) == ("c1", f"Bearer {TOKEN}")
            # Opened as such a hub does it, by nothing, and then with all that it wants.
            end.say(Packet(1), Packet(1, data=b"GET / HTTP/1.1\r\n\r\n"), Packet(2, data=b"beside"))
            with listener.accept() as served, listener.accept() as beside:
                assert served.recv(100) == b"GET / HTTP/1.1\r\n\r\n"
                assert beside.recv(100) == b"beside"
                answer = os.urandom(9 << 20)
                sending = Thread(served.sendall, answer)
                assert heard(end, 1, len(answer)) == answer
                sending.result()
                upload = os.urandom(3 << 20)
                end.say(Packet(2, data=upload))
                assert received(beside, len(upload)) == upload
                end.say(Packet(2, ERROR, error_message="the user has gone"))
                with pytest.raises(ConnectionResetError):
                    beside.recv(100)
                draining = Thread(agent.drain)
                end.say(Packet(3, data=b"too late"))
                refused = end.hear()
                assert (refused.conn_id, refused.code) == (3, ERROR)
                served.sendall(b"the last")
                served.close()
            assert heard(end, 1, 8) == b"the last"
            assert end.hear() == Packet(code=DRAIN)
            end.hear_the_end()
            end.finish()
            assert draining.result() == 0


def test_a_hub_of_grpcio_is_an_error_unless_it_is_allowed() -> None:
    with legacy_hub() as (port, _hub), Agent(agent_config(f"tcp://127.0.0.1:{port}")) as agent:
        eventually(lambda: agent.stats().links_failed > 0)
        with pytest.raises(trunkline.ConnectTimeout) as caught:
            agent.wait_ready(0.01)
        assert "allow_legacy_peers is not set" in str(caught.value.__cause__)


def test_a_bad_figure_of_packets_is_named() -> None:
    with pytest.raises(trunkline.ConfigError, match="carriers"):
        Hub(HubConfig(carriers=[]))
    with pytest.raises(trunkline.ConfigError, match="names one carrier twice"):
        Hub(HubConfig(carriers=["packet", "packet"]))
    with pytest.raises(trunkline.ConfigError, match="carrier"):
        Agent(AgentConfig(cluster="c1", hubs=["mem:x"], carrier="pigeon"))  # type: ignore[arg-type]
    for link in (LinkConfig(max_packet=1), LinkConfig(stall_timeout=trunkline.NEVER)):  # type: ignore[arg-type]
        with pytest.raises(trunkline.ConfigError, match="link"):
            Agent(agent_config("mem:x", link=link))
