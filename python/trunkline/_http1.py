"""One connection of HTTP/1 as a server sees it: requests come in, answers go out. No I/O.

The reading and the writing are h11's. What it takes, and two readers could take in two ways, is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import urlsplit

try:
    import h11
except ModuleNotFoundError:
    raise ModuleNotFoundError("serving takes h11: pip install 'trunkline[serve]'", name="h11") from None

__all__ = ["END", "BadRequest", "Connection", "Field", "Request", "end_of", "phrase", "refusal"]

Field = tuple[bytes, bytes]

#: Bytes of a head, of the trailers after a body, and of the line that begins a chunk.
HEAD_MAX = 64 << 10
FIELDS_MAX = 100

_TEXT = re.compile(rb"[\t !-~\x80-\xff]*")
_FORMS = (b"/", b"http://", b"https://")
#: What speaks of one hop is the server's to say.
_HOPS = frozenset([b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade"])


class BadRequest(Exception):
    """A request that is not read any further; the connection ends with its answer."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class _End:
    """The end of a body."""


END = _End()


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request. The names of fields are in lower case."""

    method: str
    target: bytes
    version: str
    fields: list[Field]

    @property
    def path(self) -> bytes:
        """The path as it was sent, without the query."""
        return self._parts()[0]

    @property
    def query(self) -> bytes:
        return self._parts()[1]

    def _parts(self) -> tuple[bytes, bytes]:
        target = self.target
        if not target.startswith((b"/", b"*")):
            found = re.search(rb"[/?]", rest := target.partition(b"://")[2])
            target = rest[found.start() :] if found else b"/"
        path, _, query = target.partition(b"?")
        return path or b"/", query


class Connection:
    """Feed it what comes, and take heads and bodies in turn; ask it for the bytes of each answer."""

    __slots__ = ("_is_silent", "_part", "_wire")

    def __init__(self) -> None:
        self._wire = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_MAX)
        #: What was read of the body and is not taken yet.
        self._part = b""
        #: Whether the answer has no body, whatever the program sends.
        self._is_silent = False

    def feed(self, data: bytes) -> None:
        """Adds what has come. The end of the stream is the driver's to see."""
        if data:
            self._wire.receive_data(data)

    def head(self) -> Request | None:
        """The next head, once it is whole.

        Raises:
            BadRequest: it is none, or too long.
        """
        if self._wire.our_state is h11.DONE:
            self._wire.start_next_cycle()
        event = self._next_event()
        if event is None:
            return None
        assert isinstance(event, h11.Request)
        return _checked(event)

    def body(self, most: int) -> bytes | _End | None:
        """What has come of the body, at most so many bytes; ``END`` after it, ``None`` until more was fed.

        Raises:
            BadRequest: its chunks are malformed.
        """
        if not self._part:
            event = self._next_event()
            if not isinstance(event, h11.Data):
                return None if event is None else END
            self._part = bytes(event.data)
        part, self._part = self._part[:most], self._part[most:]
        return part

    def _next_event(self) -> h11.Event | None:
        try:
            event = self._wire.next_event()
        except h11.RemoteProtocolError as error:
            raise BadRequest(error.error_status_hint, "the request is malformed, or too long") from error
        return event if isinstance(event, h11.Event) else None

    @property
    def awaits_leave(self) -> bool:
        """Whether the client may wait until it hears that its body is wanted."""
        return self._wire.they_are_waiting_for_100_continue

    def leave(self) -> bytes:
        """Lets the client send its body."""
        return self._wire.send(h11.InformationalResponse(status_code=100, reason=b"Continue", headers=[]))

    @property
    def is_read(self) -> bool:
        """Whether nothing of the request is left, nor anything after it."""
        has_all = self._wire.their_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)
        return has_all and not self._part and not self._wire.trailing_data[0]

    @property
    def may_go_on(self) -> bool:
        """Whether a further request may come: this one is read, and answered."""
        return self._wire.our_state is self._wire.their_state is h11.DONE

    @property
    def is_kept(self) -> bool:
        """Whether the answer is whole and has left the connection open."""
        return self._wire.our_state is h11.DONE

    def answer(
        self, request: Request, status: int, reason: str, fields: Iterable[Field], *, is_last: bool
    ) -> bytes:
        """The head of the answer. ``is_last`` ends the connection after it.

        Raises:
            ValueError: a status or a field that no answer can have.
        """
        given = list(fields)
        names = {name.lower() for name, _ in given}
        if not 200 <= status <= 599 or not _TEXT.fullmatch(reason.encode("latin-1")):
            raise ValueError(f"{status} {reason!r} is no status of an answer")
        if b"transfer-encoding" in names:
            raise ValueError("how an answer is framed is not the program's to say")
        ends = any(name.lower() == b"connection" and b"close" in value.lower() for name, value in given)
        dropped = _HOPS | {b"content-length"} if status == HTTPStatus.NO_CONTENT else _HOPS
        sent = [field for field in given if field[0].lower() not in dropped]
        # Who goes on to read the body can give no leave any more. Whether a client without it still sends
        # its body, it alone knows.
        leave = self.leave() if self.awaits_leave and status < 300 else b""
        if is_last or ends or self.awaits_leave:
            sent.append((b"Connection", b"close"))
        if b"date" not in names:
            sent.append((b"Date", formatdate(usegmt=True).encode("ascii")))
        head = self._send(h11.Response(status_code=status, reason=reason.encode("latin-1"), headers=sent))
        self._is_silent = request.method == "HEAD" or status in (204, 304)
        return leave + head

    def part(self, data: bytes) -> bytes:
        """A part of the answer's body, as it is sent.

        Raises:
            ValueError: it is longer than was promised.
        """
        return b"" if self._is_silent or not data else self._send(h11.Data(data=data))

    def end(self) -> bytes:
        """What follows the body of the answer.

        Raises:
            ValueError: it is shorter than was promised.
        """
        return self._send(h11.EndOfMessage())

    def _send(self, event: h11.Event) -> bytes:
        try:
            return self._wire.send(event) or b""
        except h11.LocalProtocolError as error:
            raise ValueError(str(error)) from error


def _checked(head: h11.Request) -> Request:
    """Refuses what h11 lets through."""
    fields = list(head.headers)
    names = {name for name, _ in fields}
    if head.http_version not in (b"1.0", b"1.1"):
        raise BadRequest(505, "only HTTP/1 is spoken")
    if head.method == b"CONNECT":
        raise BadRequest(405, "this is no proxy")
    if not (head.target.startswith(_FORMS) or (head.target == b"*" and head.method == b"OPTIONS")):
        raise BadRequest(400, "the target is no path")
    if len(fields) > FIELDS_MAX:
        raise BadRequest(431, "there are too many fields")
    if not all(_TEXT.fullmatch(value) for _, value in fields):
        raise BadRequest(400, "a field is malformed")
    if b"transfer-encoding" in names and (b"content-length" in names or head.http_version == b"1.0"):
        raise BadRequest(400, "the length of the body can be read in two ways")
    version = head.http_version.decode("ascii")
    return Request(head.method.decode("ascii"), bytes(head.target), version, fields)


def phrase(status: int) -> str:
    """The words that usually go with a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def refusal(status: int, why: str) -> bytes:
    """A whole answer after which the connection ends."""
    wire = h11.Connection(h11.SERVER)
    said = why.encode("latin-1") + b"\n"
    fields = [(b"Content-Type", b"text/plain"), (b"Content-Length", b"%d" % len(said))]
    fields += [(b"Connection", b"close"), (b"Date", formatdate(usegmt=True).encode("ascii"))]
    head = h11.Response(status_code=status, reason=phrase(status).encode("ascii"), headers=fields)
    return wire.send(head) + wire.send(h11.Data(data=said)) + wire.send(h11.EndOfMessage())


def end_of(address: str) -> tuple[str, int | None] | None:
    """Host and port of an address, or the path of a Unix socket; ``None`` for what has neither."""
    parts = urlsplit(address)
    if parts.scheme in ("tcp", "tls") and parts.hostname is not None:
        return parts.hostname, parts.port
    return (parts.path, None) if parts.scheme == "unix" and parts.path else None
