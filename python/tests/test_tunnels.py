"""Agents and hubs for threads and for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.client
import http.server
import itertools
import os
import pickle
import ssl
import traceback
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
from certificates import Authority
from support import PATIENCE, Thread, eventually, in_child, threads_wait

import trunkline
from trunkline import (
    NEVER,
    Agent,
    AgentConfig,
    AsyncAgent,
    AsyncHub,
    BackoffConfig,
    HeaderRule,
    HttpConfig,
    HttpRoute,
    Hub,
    HubConfig,
    LinkConfig,
    MemoryCommConfig,
    PemText,
    SocksConfig,
    Tls,
    TlsClientConfig,
    TlsConfig,
    TlsServerConfig,
    UserConfig,
)

TOKEN = "a token that is long enough"

_names = itertools.count()


def name() -> str:
    return f"mem:tunnel-{os.getpid()}-{next(_names)}"


def hub_config(**more: object) -> HubConfig:
    return HubConfig(agents={"c1": [TOKEN]}, **more)  # type: ignore[arg-type]


def agent_config(at: str, **more: object) -> AgentConfig:
    return AgentConfig(cluster="c1", token=TOKEN, hubs=[at], **more)  # type: ignore[arg-type]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(hub_config()) as hub:
        yield hub


@contextlib.contextmanager
def agent_of(hub: Hub, **more: object) -> Iterator[Agent]:
    with Agent(agent_config(hub.listen(name()), **more)) as agent:
        agent.wait_ready(PATIENCE)
        yield agent


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "unix:@trunkline-python-tunnel", "mem"])
def test_a_service_behind_a_tunnel_is_reached(hub: Hub, address: str) -> None:
    at = hub.listen(name() if address == "mem" else address)
    with Agent(agent_config(at)) as agent:
        agent.wait_ready(PATIENCE)
        with agent.listener() as listener:
            assert listener.getsockname() == "tunnel:c1"
            data = os.urandom(3 << 20)
            with hub.dial("c1") as user, listener.accept() as served:
                sending = Thread(user.sendall, data)
                received = b""
                while len(received) < len(data):
                    received += served.recv(65536)
                sending.result()
                assert received == data
                served.sendall(b"answer")
                served.close()
                assert user.recv(100) == b"answer"
                assert user.recv(100) == b""
    eventually(lambda: hub.stats().active == 0)
    stats = agent.stats()
    assert (stats.opened, stats.closed, stats.bytes_received) == (1, 1, len(data))
    assert (hub.stats().opened, hub.stats().bytes_received) == (1, 6)


def test_a_forward_and_a_target_lead_to_what_the_agent_allows(hub: Hub) -> None:
    with trunkline.listen(name()) as app, trunkline.listen(name()) as other:
        targets = [other.getsockname()]
        with agent_of(hub, forward=app.getsockname(), targets=targets) as agent:
            front = hub.forward("tcp://127.0.0.1:0", "c1")
            with trunkline.connect(front) as client, app.accept() as server:
                client.sendall(b"through")
                assert server.recv(100) == b"through"
            with hub.dial("c1", other.getsockname()) as user, other.accept() as server:
                server.sendall(b"listed")
                assert user.recv(100) == b"listed"
            with pytest.raises(trunkline.ConfigError, match="does not allow"):
                hub.dial("c1", "mem:not-listed")
            with pytest.raises(trunkline.ConfigError, match="forward"):
                agent.listener()
    with pytest.raises(trunkline.ConfigError, match="allow_public_forwards"):
        hub.forward("tcp://0.0.0.0:0", "c1")


def test_who_does_not_prove_its_name_is_not_let_in_and_hears_why(hub: Hub) -> None:
    at = hub.listen(name())
    config = AgentConfig(cluster="c1", token="another token, long enough", hubs=[at])
    with Agent(config) as agent:
        eventually(lambda: agent.stats().links_failed > 0)
        with pytest.raises(trunkline.ConnectTimeout) as caught:
            agent.wait_ready(0.1)
        assert "has not proved" in "".join(traceback.format_exception(caught.value))
        assert (hub.stats().links, agent.stats().links) == (0, 0)
        with pytest.raises(trunkline.ConnectError) as failed:
            hub.dial("c1")
        assert failed.value.retryable


URI = "spiffe://example.test/agents/c1"


def agent_tls(hubs: Authority, agents: Authority | None = None) -> Tls:
    """Trusts hubs, and shows a certificate of an agent, if there is somebody to sign it."""
    shown = None if agents is None else agents.issue("agent.test", uri=URI).texts()
    return Tls(TlsConfig(client=TlsClientConfig(roots=PemText(hubs.pem), certificate=shown)))


def hub_tls(hubs: Authority, agents: Authority) -> Tls:
    side = TlsServerConfig(
        certificate=hubs.issue().texts(), client_auth="optional", client_roots=PemText(agents.pem)
    )
    return Tls(TlsConfig(server=side))


def why_not(agent: Agent) -> str:
    """All that an agent says when it is not let in."""
    eventually(lambda: agent.stats().links_failed > 0)
    with pytest.raises(trunkline.ConnectTimeout) as caught:
        agent.wait_ready(0.01)
    return "".join(traceback.format_exception(caught.value))


def test_a_tunnel_is_secured_and_an_agent_known_by_its_certificate() -> None:
    hubs, agents = Authority("hubs"), Authority("agents")
    known = HubConfig(agent_certificates={"c1": ["agent.elsewhere.test", URI], "c2": ["c2.test"]})
    with Hub(known, tls=hub_tls(hubs, agents)) as hub:
        at = hub.listen("tls://127.0.0.1:0")
        with Agent(AgentConfig(cluster="c1", hubs=[at]), tls=agent_tls(hubs, agents)) as agent:
            agent.wait_ready(PATIENCE)
            with agent.listener() as listener, hub.dial("c1") as user, listener.accept() as served:
                user.sendall(b"through TLS")
                assert served.recv(100) == b"through TLS"
        for cluster, shows in (("c1", None), ("c2", agents)):
            with Agent(AgentConfig(cluster=cluster, hubs=[at]), tls=agent_tls(hubs, shows)) as agent:
                assert "has not proved" in why_not(agent)
        with Agent(AgentConfig(cluster="c1", hubs=[at]), tls=agent_tls(agents, agents)) as agent:
            assert "certificate" in why_not(agent)
            assert hub.stats().links_opened == 1


def test_an_end_that_speaks_tls_and_one_that_does_not_are_told_so(hub: Hub) -> None:
    hubs = Authority("hubs")
    with Hub(hub_config(), tls=hub_tls(hubs, hubs)) as secured:
        clear = secured.listen("tls://127.0.0.1:0").replace("tls:", "tcp:")
        with Agent(agent_config(clear)) as agent:
            assert "a tls:// address is needed" in why_not(agent)
    tls = hub.listen("tcp://127.0.0.1:0").replace("tcp:", "tls:")
    with Agent(agent_config(tls), tls=agent_tls(hubs)) as agent:
        assert "is no TLS" in why_not(agent)
    with pytest.raises(trunkline.ConfigError, match=r"tls\.server"):
        hub.listen("tls://127.0.0.1:0")


ROUTES = (
    HttpRoute(path="/lab", cluster="c1", strip_path=True),
    HttpRoute(header=HeaderRule(name="x-cluster"), cluster_from="header"),
)


def serve_http(agent: Agent) -> Thread:
    """Answers on one connection with what was asked, as ``http.server`` does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            said = f"{self.path} {self.headers['X-Forwarded-User']} {self.headers['Authorization']} ".encode()
            self.send_response(203)
            self.send_header("Content-Length", str(len(said) + len(body)))
            self.end_headers()
            self.wfile.write(said + body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    def serve() -> None:
        with agent.listener() as listener, listener.accept() as stream:
            Handler(stream, ("tunnel", 0), None)  # type: ignore[arg-type]

    return Thread(serve)


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_users_of_http_are_served_by_the_routes_of_the_configuration(scheme: str) -> None:
    hubs = Authority("hubs")
    config = hub_config(
        http=HttpConfig(routes=ROUTES), users={"alice": UserConfig(tokens=[TOKEN], clusters=["c1"])}
    )
    with Hub(config, tls=hub_tls(hubs, hubs)) as hub:
        port = int(hub.listen_http(f"{scheme}://127.0.0.1:0").rpartition(":")[2])
        context = ssl.create_default_context(cadata=hubs.pem)

        def connect() -> http.client.HTTPConnection:
            if scheme == "tls":
                return http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE, context=context)
            return http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

        by = {"Proxy-Authorization": f"Bearer {TOKEN}", "Authorization": "of the service"}
        with agent_of(hub) as agent:
            serving = serve_http(agent)
            with contextlib.closing(connect()) as user:
                for path, fields in (("/lab/a?b", {}), ("/c", {"X-Cluster": "c1"})):
                    user.request("POST", path, b"the body", by | fields)
                    response = user.getresponse()
                    seen = path.removeprefix("/lab")
                    assert response.read() == f"{seen} alice of the service the body".encode()
                    assert response.status == 203
                for path, fields, status in (
                    ("/lab", {}, 401),
                    ("/x", by, 404),
                    ("/x", by | {"X-Cluster": "c2"}, 403),
                ):
                    user.request("POST", path, b"", fields)
                    response = user.getresponse()
                    assert (response.status, len(response.read()) > 0) == (status, True)
            serving.result()
        with contextlib.closing(connect()) as user:
            user.request("GET", "/lab", headers=by)
            response = user.getresponse()
            assert response.status == 503
            assert b"no agent of this cluster is connected" in response.read()


SOCKS_USERS = {"alice": UserConfig(tokens=[TOKEN], clusters=["c1"])}


def socks_of(name: str, token: str, host: str) -> bytes:
    """All that a user of SOCKS5 says until it is connected."""
    said = b"\5\1\2\1" + bytes([len(name)]) + name.encode() + bytes([len(token)]) + token.encode()
    return said + b"\5\1\0\3" + bytes([len(host)]) + host.encode() + b"\0\x50"


def test_users_of_socks5_are_connected_where_they_ask_to() -> None:
    config = hub_config(
        users=SOCKS_USERS, socks=SocksConfig(suffix="hub", handshake_timeout=timedelta(hours=1))
    )
    with Hub(config) as hub, agent_of(hub) as agent, agent.listener() as listener:
        front = hub.listen_socks(name())
        with trunkline.connect(front) as user:
            user.settimeout(PATIENCE)
            user.sendall(socks_of("alice", TOKEN, "c1.hub") + b"early")
            with listener.accept() as served:
                served.settimeout(PATIENCE)
                assert served.recv(5) == b"early"
                assert read(user, 14) == b"\5\2\1\0\5\0\0\1" + bytes(6)
                served.sendall(b"late")
                assert read(user, 4) == b"late"
        with trunkline.connect(front) as user:
            user.settimeout(PATIENCE)
            user.sendall(socks_of("alice", TOKEN, "c2.hub"))
            assert read(user, 14) == b"\5\2\1\0\5\2\0\1" + bytes(6)
        with pytest.raises(trunkline.ConfigError, match="allow_plaintext"):
            hub.listen_socks("tcp://0.0.0.0:0")


async def test_users_of_socks5_are_connected_from_a_loop_too() -> None:
    config = hub_config(users=SOCKS_USERS)
    async with AsyncHub(config) as hub, AsyncAgent(agent_config(await hub.listen(name()))) as agent:
        await agent.wait_ready(PATIENCE)
        front = await hub.listen_socks(name())
        async with await agent.listener() as listener, await trunkline.async_connect(front) as user:
            await user.send(socks_of("alice", TOKEN, "c1.tunnel"))
            async with await listener.accept() as served:
                await served.send(b"late")
                heard = b""
                while len(heard) < 18:
                    heard += await user.receive()
                assert heard == b"\5\2\1\0\5\0\0\1" + bytes(6) + b"late"


def read(stream: trunkline.Stream, count: int) -> bytes:
    heard = b""
    while len(heard) < count:
        piece = stream.recv(count - len(heard))
        assert piece
        heard += piece
    return heard


def test_tokens_are_never_shown() -> None:
    agent = AgentConfig(cluster="c1", token=TOKEN, hubs=["mem:x"])
    hub = hub_config(users={"alice": UserConfig(tokens=[TOKEN])})
    for shown in (repr(agent), agent.to_json(), repr(hub), hub.to_json()):
        assert TOKEN not in shown
    with pytest.raises(trunkline.ConfigError) as caught:
        Hub(HubConfig(agents={"c1": ["short-secret"]}))
    assert "short-secret" not in str(caught.value)


def test_a_bad_figure_is_named() -> None:
    for config, field in (
        (AgentConfig(cluster="a b", hubs=["mem:x"]), "cluster"),
        (AgentConfig(cluster="c1", hubs=[]), "hubs"),
        (AgentConfig(cluster="c1", hubs=["tcp://192.0.2.1:1"]), "hubs"),
        (AgentConfig(cluster="c1", hubs=["mem:x"], targets=["tcp://x"]), r"targets\[0\]"),
        (AgentConfig(cluster="c1", hubs=["mem:x"], link=LinkConfig(window=1)), "link.window"),
    ):
        with pytest.raises(trunkline.ConfigError, match=field):
            Agent(config)
    with pytest.raises(trunkline.ConfigError, match="dial_timeout"):
        Hub(HubConfig(dial_timeout=timedelta(0)))


def test_limits_hold_and_their_places_come_back() -> None:
    with Hub(hub_config(max_connections=2)) as hub, agent_of(hub):
        held = [hub.dial("c1"), hub.dial("c1")]
        with pytest.raises(trunkline.LimitExceeded):
            hub.dial("c1")
        held.pop().close()
        hub.dial("c1").close()
        held.pop().close()


def test_a_dial_waits_for_an_agent_if_it_is_told_to() -> None:
    with Hub(hub_config(agent_wait=NEVER)) as hub:
        at = hub.listen(name())
        dialling = Thread(hub.dial, "c1")
        threads_wait()
        with Agent(agent_config(at)):
            dialling.result().close()
    with Hub(hub_config(agent_wait=NEVER)) as hub, pytest.raises(trunkline.ConnectTimeout):
        hub.dial("c1", timeout=0.05)


def test_a_drain_lets_finish_and_then_cuts(hub: Hub) -> None:
    with agent_of(hub) as agent, agent.listener() as listener:
        with hub.dial("c1") as user, listener.accept() as served:
            draining = Thread(agent.drain, PATIENCE)
            user.sendall(b"in flight")
            assert served.recv(100) == b"in flight"
            with pytest.raises(trunkline.Error):
                while True:
                    hub.dial("c1").close()
            served.close()
        assert draining.result() == 0
    with agent_of(hub):
        with hub.dial("c1") as cut:
            assert hub.drain(0.05) == 1
            with pytest.raises(trunkline.ClosedError):
                cut.recv(1)
        with pytest.raises(trunkline.ClosedError):
            hub.dial("c1")


def test_an_agent_comes_back_when_its_hub_does() -> None:
    at = name()
    soon = BackoffConfig(base_delay=timedelta(milliseconds=10))
    with Agent(agent_config(at, backoff=soon)) as agent:
        for round in range(3):
            with Hub(hub_config(agent_wait=NEVER)) as hub:
                hub.listen(at)
                with hub.dial("c1") as user:
                    user.sendall(b"x")
                assert agent.stats().links_opened == round + 1
            eventually(lambda: agent.stats().links == 0)


def test_a_forgotten_end_is_told_of(hub: Hub) -> None:
    forgotten = Hub()
    with pytest.warns(ResourceWarning, match="unclosed <Hub open>"):
        del forgotten
        gc.collect()
    agent = Agent(agent_config(hub.listen(name())))
    agent.wait_ready(PATIENCE)
    with pytest.warns(ResourceWarning, match="unclosed <Agent open>"):
        del agent
        gc.collect()
    eventually(lambda: hub.stats().links == 0)


def test_a_forked_child_leaves_the_tunnels_alone(hub: Hub) -> None:
    with agent_of(hub) as agent, agent.listener() as listener:

        def child() -> None:
            for use in (hub.stats, agent.stats, agent.listener, lambda: hub.dial("c1")):
                with pytest.raises(trunkline.ForkedError):
                    use()
            hub.close()
            agent.close()

        in_child(child)
        with hub.dial("c1") as user, listener.accept() as served:
            user.sendall(b"x")
            assert served.recv(1) == b"x"


def test_an_end_belongs_to_its_process(hub: Hub) -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(hub)
    with agent_of(hub) as agent, pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(agent)


@contextlib.asynccontextmanager
async def async_tunnel() -> AsyncIterator[tuple[AsyncHub, AsyncAgent]]:
    async with AsyncHub(hub_config()) as hub:
        at = await hub.listen("tcp://127.0.0.1:0")
        async with AsyncAgent(agent_config(at)) as agent:
            await agent.wait_ready(PATIENCE)
            yield hub, agent


async def test_the_ends_of_a_loop_do_the_same() -> None:
    async with async_tunnel() as (hub, agent), await agent.listener() as listener:
        front = await hub.forward("tcp://127.0.0.1:0", "c1")

        async def serve() -> None:
            async with await listener.accept() as stream:
                async for data in stream:
                    await stream.send(data)

        async def talk(n: int) -> None:
            connecting = hub.dial("c1") if n % 2 else trunkline.async_connect(front)
            async with await connecting as stream:
                await stream.send(bytes([n]) * 10_000)
                await stream.send_eof()
                assert b"".join([data async for data in stream]) == bytes([n]) * 10_000

        await asyncio.gather(*(serve() for _ in range(50)), *(talk(n) for n in range(50)))
        assert await hub.drain(PATIENCE) == 0
        assert await agent.drain(PATIENCE) == 0
        stats = agent.stats()
        assert (stats.opened, stats.bytes_received, stats.bytes_sent) == (50, 500_000, 500_000)
        with pytest.raises(trunkline.ClosedError):
            await hub.dial("c1")


async def test_the_ends_of_a_loop_are_secured_too() -> None:
    hubs, agents = Authority("hubs"), Authority("agents")
    known = HubConfig(agent_certificates={"c1": [URI]})
    async with AsyncHub(known, tls=hub_tls(hubs, agents)) as hub:
        config = AgentConfig(cluster="c1", hubs=[await hub.listen("tls://127.0.0.1:0")])
        async with AsyncAgent(config, tls=agent_tls(hubs, agents)) as agent:
            await agent.wait_ready(PATIENCE)
            async with await agent.listener() as listener, await hub.dial("c1") as user:
                await user.send(b"through TLS")
                async with await listener.accept() as served:
                    assert await served.receive() == b"through TLS"


async def test_users_of_http_are_served_from_a_loop_too() -> None:
    config = hub_config(http=HttpConfig(routes=ROUTES), anonymous=["*"])
    async with AsyncHub(config) as hub, AsyncAgent(agent_config(await hub.listen(name()))) as agent:
        await agent.wait_ready(PATIENCE)
        front = await hub.listen_http(name())
        async with await agent.listener() as listener, await trunkline.async_connect(front) as user:
            await user.send(b"GET /lab HTTP/1.1\r\nHost: x\r\n\r\n")
            async with await listener.accept() as served:
                assert (await served.receive()).startswith(b"GET / HTTP/1.1\r\n")
                await served.send(b"HTTP/1.1 204 Gone\r\n\r\n")
                assert (await user.receive()).startswith(b"HTTP/1.1 204 No Content\r\n")


async def test_a_cancelled_dial_leaves_nothing_behind() -> None:
    async with AsyncHub(hub_config(agent_wait=NEVER)) as hub:
        dialling = asyncio.create_task(hub.dial("c1"))
        await asyncio.sleep(0)
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        at = await hub.listen(name())
        async with AsyncAgent(agent_config(at)):
            async with await hub.dial("c1"):
                assert (hub.stats().active, hub.stats().opened) == (1, 1)


def exchanged(hub: Hub, listener: trunkline.Listener) -> None:
    """One connection, on which each side says something."""
    with hub.dial("c1", timeout=PATIENCE) as user, listener.accept() as served:
        user.sendall(b"question")
        assert served.recv(100) == b"question"
        served.sendall(b"the answer")
        assert user.recv(100) == b"the answer"


def test_a_host_is_reached_by_memory_or_over_a_socket_as_it_likes(hub: Hub) -> None:
    with agent_of(hub, memory_comm=MemoryCommConfig(buffer_size=4096)) as agent, agent.listener() as listener:
        exchanged(hub, listener)
        agent.use_memory_comm()
        exchanged(hub, listener)
        agent.use_memory_comm(0.5)
        exchanged(hub, listener)
        exchanged(hub, listener)
        eventually(lambda: agent.stats().active == 0)
        stats = agent.memory_comm_stats()
        assert (stats.memory_share, stats.memory.opened, stats.socket.opened) == (0.5, 2, 2)
        for way in (stats.memory, stats.socket):
            assert (way.bytes_sent, way.bytes_received, way.fallbacks, way.failed) == (16, 20, 0, 0)
        for share in (1.5, -1.0, float("nan")):
            with pytest.raises(trunkline.ConfigError, match="within 0 and 1"):
                agent.use_memory_comm(share)
    assert agent.memory_comm_stats() == stats
    with agent_of(hub) as plain:
        with pytest.raises(trunkline.ConfigError, match="memory_comm: must be given"):
            plain.use_memory_comm()


def test_what_memory_cannot_take_goes_over_the_socket(hub: Hub) -> None:
    comm = MemoryCommConfig(max_connections=1)
    with agent_of(hub, use_memory_comm=True, memory_comm=comm) as agent, agent.listener() as listener:
        with hub.dial("c1") as first, listener.accept() as served:
            exchanged(hub, listener)
            first.sendall(b"x")
            assert served.recv(1) == b"x"
            stats = agent.memory_comm_stats()
            assert (stats.memory.active, stats.memory.failed, stats.socket.fallbacks) == (1, 1, 1)


async def test_a_host_in_a_loop_is_reached_either_way() -> None:
    async with AsyncHub(hub_config()) as hub:
        config = agent_config(await hub.listen(name()), memory_comm=MemoryCommConfig())
        async with AsyncAgent(config) as agent:
            await agent.wait_ready(PATIENCE)
            async with await agent.listener() as listener:
                for share in (0.0, 1.0):
                    agent.use_memory_comm(share)
                    async with await hub.dial("c1") as user, await listener.accept() as served:
                        await user.send(b"question")
                        assert await served.receive() == b"question"
                        await served.send(b"answer")
                        assert await user.receive() == b"answer"
                stats = agent.memory_comm_stats()
                assert (stats.memory.opened, stats.socket.opened) == (1, 1)
