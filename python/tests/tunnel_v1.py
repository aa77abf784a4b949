"""Ends of the ``tunnel.v1`` protocol by grpcio, written from the protocol alone."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import grpc
from support import PATIENCE

TUNNEL = "/tunnel.v1.TunnelService/Tunnel"
DATA, ERROR, DRAIN = 0, 1, 2


class Packet(NamedTuple):
    """The one message of the protocol."""

    conn_id: int = 0
    code: int = DATA
    data: bytes = b""
    error_message: str = ""

    def encode(self) -> bytes:
        """As protobuf says: what is zero or empty is left out."""
        fields = b""
        if self.conn_id:
            fields += b"\x08" + _varint(self.conn_id)
        if self.code:
            fields += b"\x10" + _varint(self.code)
        if self.data:
            fields += b"\x1a" + _varint(len(self.data)) + self.data
        if self.error_message:
            text = self.error_message.encode()
            fields += b"\x22" + _varint(len(text)) + text
        return fields

    @classmethod
    def decode(cls, message: bytes) -> Packet:
        """A field that the protocol does not have is a failure: who knows the protocol alone gets none."""
        numbers = {1: 0, 2: DATA}
        texts = {3: b"", 4: b""}
        at = 0
        while at < len(message):
            key, at = _read_varint(message, at)
            value, at = _read_varint(message, at)
            if key >> 3 in texts:
                assert key & 7 == 2
                assert at + value <= len(message)
                texts[key >> 3] = message[at : at + value]
                at += value
            else:
                assert key & 7 == 0
                assert key >> 3 in numbers, f"field {key >> 3}"
                numbers[key >> 3] = value
        return cls(numbers[1], numbers[2], texts[3], texts[4].decode())


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


class End:
    """One end of a call: packets that are said, and those that were heard."""

    def __init__(self) -> None:
        self._outgoing: queue.SimpleQueue[Packet | None] = queue.SimpleQueue()
        self._incoming: queue.SimpleQueue[Packet | None] = queue.SimpleQueue()

    def say(self, *packets: Packet) -> None:
        for packet in packets:
            self._outgoing.put(packet)

    def hear(self) -> Packet:
        """The next packet."""
        packet = self._incoming.get(timeout=PATIENCE)
        assert packet is not None, "the other end has said all"
        return packet

    def hear_the_end(self) -> None:
        """Nothing more comes."""
        assert self._incoming.get(timeout=PATIENCE) is None

    def finish(self) -> None:
        """Says nothing more."""
        self._outgoing.put(None)

    def outgoing(self) -> Iterator[Packet]:
        return iter(self._outgoing.get, None)

    def pump(self, packets: Iterator[Packet]) -> None:
        """Takes what comes until it ends or breaks."""
        with contextlib.suppress(grpc.RpcError):
            for packet in packets:
                self._incoming.put(packet)
        self._incoming.put(None)


class LegacyAgent(End):
    """An agent: it calls a hub."""

    def __init__(self, channel: grpc.Channel, metadata: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        method = channel.stream_stream(
            TUNNEL, request_serializer=Packet.encode, response_deserializer=Packet.decode
        )
        self.call: Any = method(self.outgoing(), metadata=metadata)
        threading.Thread(target=self.pump, args=(self.call,), daemon=True).start()


@contextlib.contextmanager
def legacy_agent(at: str, *metadata: tuple[str, str]) -> Iterator[LegacyAgent]:
    """An agent that calls the hub at ``at``, a ``tcp://`` address."""
    with grpc.insecure_channel(at.removeprefix("tcp://")) as channel:
        agent = LegacyAgent(channel, metadata)
        try:
            yield agent
        finally:
            agent.finish()
            agent.call.cancel()


class LegacyHub(grpc.GenericRpcHandler):  # type: ignore[misc]
    """A hub: the calls of its agents, in the order in which they came, with their metadata."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[tuple[dict[str, str], End]] = queue.SimpleQueue()

    def service(self, details: Any) -> Any:
        if details.method != TUNNEL:
            return None
        return grpc.stream_stream_rpc_method_handler(
            self._tunnel, request_deserializer=Packet.decode, response_serializer=Packet.encode
        )

    def _tunnel(self, packets: Iterator[Packet], context: grpc.ServicerContext) -> Iterator[Packet]:
        end = End()
        threading.Thread(target=end.pump, args=(packets,), daemon=True).start()
        # A call that breaks must not keep its thread.
        context.add_callback(end.finish)
        # What an agent waits for before it counts its tunnel as standing.
        context.send_initial_metadata(())
        self.calls.put((dict(context.invocation_metadata()), end))
        return end.outgoing()


@contextlib.contextmanager
def legacy_hub(credentials: grpc.ServerCredentials | None = None) -> Iterator[tuple[int, LegacyHub]]:
    """Serves on a free port; gives the port and the hub."""
    hub = LegacyHub()
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((hub,))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield port, hub
    finally:
        server.stop(None).wait()
