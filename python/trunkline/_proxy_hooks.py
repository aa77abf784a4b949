"""The hooks of a memory proxy: where its requests go, whether and how they may, and who the proxy is."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ._document import to_document
from ._jobs import WAITING, LoopJobs, WorkerJobs
from ._route_callback import Refuse
from ._tls import TlsCertificate

if TYPE_CHECKING:
    from . import _native

__all__ = ["FieldChanges", "ProxyHello", "ProxyRefusal", "ProxyRequest", "ProxyTarget"]

_log = logging.getLogger("trunkline")

# Kinds of jobs, and the hooks that they are for.
_ROUTE, _PROCESS, _CERTIFICATE = 9, 10, 11
_HOOK_ROUTE, _HOOK_PROCESS, _HOOK_CERTIFICATE = 1, 2, 4


@dataclass(frozen=True, slots=True)
class ProxyRequest:
    """A request as a service would see it, but for what a hook says; ``None`` is not known.

    What belongs to one hop, and what its client claims to know of others, is taken out.

    Attributes:
        connection: the number of the connection that it came over.
        source: who is at the other end of it.
        server_name: the name that the client of TLS asked for.
        is_secured: whether it came over TLS.
        method: its method.
        host: its host, in lower case and without a port.
        path: its path, byte for byte as it was asked for.
        query: what follows the ``?``.
        headers: its fields, as pairs of a name in lower case and a value in Latin-1.
        timeout: for the answer, from when it was asked for.
    """

    connection: int
    source: str | None
    server_name: str | None
    is_secured: bool
    method: str
    host: str | None
    path: str
    query: str | None
    headers: tuple[tuple[str, str], ...]
    timeout: timedelta

    def header(self, name: str) -> str | None:
        """The first value of a field."""
        return next((value for of, value in self.headers if of == name.lower()), None)


@dataclass(frozen=True, slots=True)
class ProxyHello:
    """The beginning of TLS; ``None`` is not known.

    Attributes:
        connection: the number of the connection.
        source: who is at the other end of it.
        server_name: the name that is asked for, in lower case.
        alpn: the protocols that the client offers to speak inside, best first.
        timeout: for the answer, from when it was asked for.
    """

    connection: int
    source: str | None
    server_name: str | None
    alpn: tuple[str, ...]
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class ProxyTarget:
    """A service.

    Attributes:
        address: where it is, such as ``tls://api.internal:443``.
        path: the path and the query that it sees. Unset: those of the request.
        host: the host that it sees. Unset: that of the request.
    """

    address: str
    path: str | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class ProxyRefusal:
    """An answer in place of a service's.

    Attributes:
        status: from 400 to 599.
        text: its body, one line.
    """

    status: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class FieldChanges:
    """What changes of a request's fields: first some are taken out, then others are set.

    Fields that say where a message goes or ends, or belong to one hop, cannot be changed: that is an error.

    Attributes:
        set: fields that are set, in place of all of that name, with one value or several, in Latin-1.
        remove: fields that are taken out.
    """

    set: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    remove: Sequence[str] = ()


Routed: TypeAlias = ProxyTarget | ProxyRefusal | None
Processed: TypeAlias = FieldChanges | ProxyRefusal | None
Certificate: TypeAlias = TlsCertificate | Refuse | None

Router: TypeAlias = Callable[[ProxyRequest], Routed]
RequestProcessor: TypeAlias = Callable[[ProxyRequest, ProxyTarget], Processed]
CertificateProvider: TypeAlias = Callable[[ProxyHello], Certificate]
AsyncRouter: TypeAlias = Callable[[ProxyRequest], Routed | Awaitable[Routed]]
AsyncRequestProcessor: TypeAlias = Callable[[ProxyRequest, ProxyTarget], Processed | Awaitable[Processed]]
AsyncCertificateProvider: TypeAlias = Callable[[ProxyHello], Certificate | Awaitable[Certificate]]


class Hooks:
    """The functions of one proxy, by the kind of the question that each answers."""

    def __init__(
        self,
        router: Callable[..., Any] | None,
        request_processor: Callable[..., Any] | None,
        certificate_provider: Callable[..., Any] | None,
    ) -> None:
        given = {_ROUTE: router, _PROCESS: request_processor, _CERTIFICATE: certificate_provider}
        self._by_kind = {kind: hook for kind, hook in given.items() if hook is not None}

    def which(self) -> int:
        """As the native module takes it."""
        bits: Final = {_ROUTE: _HOOK_ROUTE, _PROCESS: _HOOK_PROCESS, _CERTIFICATE: _HOOK_CERTIFICATE}
        return sum(bits[kind] for kind in self._by_kind)

    def answer(self, job: _native.Job) -> None:
        """Answers a question in the calling thread."""
        asked = _asked(job)
        if asked is None:
            return
        try:
            _say(job, self._by_kind[job.what](*asked))
        except BaseException as error:
            _fail(job, error)

    async def answer_in_loop(self, job: _native.Job) -> None:
        """Answers a question in the calling task."""
        asked = _asked(job)
        if asked is None:
            return
        try:
            said = self._by_kind[job.what](*asked)
            if inspect.isawaitable(said):
                async with asyncio.timeout(asked[0].timeout.total_seconds()):
                    said = await said
            _say(job, said)
        except Exception as error:
            _fail(job, error)


class ThreadHooks(WorkerJobs):
    """Runs hooks in threads of its own."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        super().__init__("trunkline-proxy")

    def _turn_away(self, job: _native.Job) -> None:
        turn_away(job)

    def _do(self, job: _native.Job) -> None:
        self._hooks.answer(job)


class LoopHooks(LoopJobs):
    """Runs hooks in tasks of the loop that it was made in."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        super().__init__(WAITING)

    def _turn_away(self, job: _native.Job) -> None:
        turn_away(job)

    async def _do(self, job: _native.Job) -> None:
        await self._hooks.answer_in_loop(job)


def turn_away(job: _native.Job) -> None:
    """Lets nothing through because as many questions wait as may."""
    job.fail(0, "too many questions wait for the hooks")


def _asked(job: _native.Job) -> tuple[Any, ...] | None:
    """What a hook is called with; ``None`` if nobody waits for its answer any more."""
    question = job.proxy_question()
    if question is None:
        return None
    known: dict[str, Any] = json.loads(question)
    timeout = timedelta(microseconds=known.pop("timeout_ns") / 1000)
    if job.what == _CERTIFICATE:
        return (ProxyHello(alpn=tuple(known.pop("alpn")), timeout=timeout, **known),)
    target = known.pop("target", None)
    headers = tuple((name, value) for name, value in known.pop("headers"))
    request = ProxyRequest(headers=headers, timeout=timeout, **known)
    return (request,) if target is None else (request, ProxyTarget(**target))


def _say(job: _native.Job, said: object) -> None:
    """Answers a question. It may be too late by now, and then that is all."""
    job.proxy_answer(json.dumps(_document(job.what, said), default=os.fspath))


def _document(kind: int, said: object) -> dict[str, Any]:
    match kind, said:
        case _, None:
            return {}
        case ((9 | 10), ProxyRefusal(status, text)):
            return {"refuse": {"status": status, "text": text}}
        case 9, ProxyTarget(address, path, host):
            told = {"target": address, "path": path, "host": host}
            return {name: value for name, value in told.items() if value is not None}
        case 10, FieldChanges() as changes:
            return {"remove": list(changes.remove), "set": _pairs(changes.set)}
        case 11, TlsCertificate():
            return {"certificate": to_document(said)}
        case 11, Refuse():
            return {"refuse": True}
        case _:
            raise TypeError(f"this hook cannot answer {said!r}")


def _pairs(fields: Mapping[str, str | Sequence[str]]) -> list[tuple[str, str]]:
    return [
        (name, value)
        for name, values in fields.items()
        for value in ([values] if isinstance(values, str) else values)
    ]


def _fail(job: _native.Job, error: BaseException) -> None:
    """Lets nothing through because the hook raised."""
    _log.error("a hook of a memory proxy failed", exc_info=error)
    job.fail(0, f"{type(error).__name__}: {error}"[:1000])
