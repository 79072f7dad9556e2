"""Calls: making them, and serving them."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Callable, Generic, Iterable, Iterator, NamedTuple, TypeVar, Union

from google.protobuf.message import DecodeError

from .channel import Channel
from .client import Client, Request
from .connection import Decodable
from .errors import CallError, Closed, Code
from .identity import Identity
from .peer import Crew, Peer, Running
from .v1 import broker_pb2 as pb
from .wire import Encodable, Metadata, MetadataLike, encode, entries, pairs

log = logging.getLogger("tocsin")

_Q = TypeVar("_Q")
_R = TypeVar("_R")
_H = TypeVar("_H", bound=Callable[..., Any])

# How much later than the hub the caller itself ends a call, seconds: so that the hub's status is what is seen.
_GRACE = 2.0


class Stream(Generic[_R]):
    """A call that was begun: iterate to read its responses; `write` and `finish` its requests.

    One thread may write while another reads. In a `with` it is cancelled if it has not ended; without, read it to its
    end. Every method raises CallError once the call has failed.
    """

    def __init__(self, channel: Channel, response: Decodable[_R], deadline: float | None) -> None:
        self._channel, self._response, self._deadline = channel, response, deadline

    def __enter__(self) -> Stream[_R]:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.cancel()

    def __iter__(self) -> Iterator[_R]:
        return self

    def __next__(self) -> _R:
        message = self._channel.next(self._deadline)
        if message is None:
            raise StopIteration
        return _decode(self._response, message, Code.INTERNAL, "response")

    def write(self, request: bytes | Encodable) -> None:
        """Sends a request; waits while its window is full."""
        self._channel.write([encode(request)], deadline=self._deadline)

    def finish(self) -> None:
        """No more requests follow."""
        self._channel.write([], last=True)

    def cancel(self) -> None:
        """Ends the call; the server hears of it."""
        self._channel.cancel()

    @property
    def initial_metadata(self) -> Metadata:
        """Of the response, once it has begun."""
        return self._channel.begun(self._deadline)

    @property
    def trailing_metadata(self) -> Metadata:
        """Of the response; empty until it has ended."""
        return self._channel.trailing


class Caller(Peer):
    """Calls methods of services that workers serve. Thread-safe.

        with tocsin.Caller("tcp://127.0.0.1:7117", name="my-script") as caller:
            answer = caller.call("tocsin.v1.BrokerAdmin/GetStatus", GetStatusRequest(), GetStatusResponse, timeout=5)

    Calls are not repeated: after UNAVAILABLE, DEADLINE_EXCEEDED or a lost connection the server may have acted.
    """

    def __init__(self, hub: str | Identity | Client | None = None, *, name: str = "caller") -> None:
        super().__init__(hub, name, "client")

    def call(
        self,
        method: str,
        request: bytes | Encodable,
        response: Decodable[_R],
        *,
        timeout: float = 10.0,
        metadata: MetadataLike = None,
        wait: bool = False,
    ) -> _R:
        """One request, one response, of "package.Service/Method". `response` is the class of the answer.

        With `wait`, a service that nobody serves for the moment is waited for, up to the timeout. Raises CallError.
        """
        deadline, pause = time.monotonic() + timeout, 0.05
        while True:
            try:
                with self.stream(
                    method, response, [request], timeout=deadline - time.monotonic(), metadata=metadata
                ) as stream:
                    for answer in stream:
                        return answer
                raise CallError(Code.INTERNAL, f"{method} ended without a response")
            except CallError as error:
                # Nobody had it, so nobody has acted.
                if not wait or error.name != "NO_SERVER" or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(1.0, pause * 2)

    def stream(
        self,
        method: str,
        response: Decodable[_R],
        requests: Iterable[bytes | Encodable] | None = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike = None,
    ) -> Stream[_R]:
        """Begins a call. `requests`: all there are, else `write` them and `finish`; a list goes at once, what is made
        as it goes (a generator) is sent by a thread. Without a timeout the call lasts as long as both ends. Raises
        CallError."""
        if timeout is not None and timeout <= 0:
            raise CallError(Code.DEADLINE_EXCEEDED, f"{method} was not begun: its time is over")
        deadline = None if timeout is None else time.monotonic() + timeout
        head = pb.CallHead(
            method=method,
            timeout_ms=0 if timeout is None else max(1, round(timeout * 1000)),
            metadata=entries(metadata),
        )
        channel = self.client.open(head, timeout)
        stream = Stream(channel, response, None if deadline is None else deadline + _GRACE)
        if isinstance(requests, (list, tuple)) and len(requests) <= 1:
            channel.begin(head, [encode(request) for request in requests], last=True)
            return stream
        channel.begin(head, [], last=False)
        if requests is not None:
            threading.Thread(target=self._feed, args=(stream, requests), name=f"{method} requests", daemon=True).start()
        return stream

    @staticmethod
    def _feed(stream: Stream[Any], requests: Iterable[bytes | Encodable]) -> None:
        try:
            for request in requests:
                stream.write(request)
            stream.finish()
        except (CallError, Closed):
            pass  # Whoever reads the call is told.
        except Exception:
            log.exception("the requests of a call end too soon; it is cancelled")
            stream.cancel()


class CallContext:
    """A call that is served, for its handler."""

    def __init__(self, channel: Channel, head: pb.CallHead) -> None:
        self._channel = channel
        self.method = head.method
        self.metadata: Metadata = pairs(head.metadata)
        # Who calls, by the key it has; empty: the hub does not know.
        self.caller = head.caller or next((str(value) for key, value in self.metadata if key == "tocsin-caller"), "")
        # When its caller no longer waits, as time.monotonic() has it; None: it waits as long as it takes.
        self.deadline = time.monotonic() + head.timeout_ms / 1000 if head.timeout_ms else None
        # Sent with the end of the call; its handler may set or add to it.
        self.trailing_metadata: Metadata = []

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits any more: the caller cancelled, its deadline passed, it or the hub was lost."""
        return self._channel.is_over

    def send_initial_metadata(self, metadata: MetadataLike) -> None:
        """At once, and at most once, before the first response."""
        self._channel.start(metadata)


_Response = Union[bytes, Encodable]
_Responses = Iterable[_Response]


class _Method(NamedTuple):
    request: Decodable[Any]
    handler: Callable[[Any, CallContext], Any]
    streams_requests: bool
    streams_responses: bool


class Server(Running):
    """Serves the methods of a service to whoever calls it through the hub, or by gRPC through the gateway.

        server = tocsin.Server("tcp://127.0.0.1:7117", "hello.v1.Greeter", name="greeter-1")

        @server.unary("Greet", GreetRequest)
        def greet(request: GreetRequest, context: tocsin.CallContext) -> GreetResponse:
            if not request.name:
                raise tocsin.CallError(tocsin.Code.INVALID_ARGUMENT, "name is empty")
            return GreetResponse(text=f"Hello, {request.name}")

        server.run()

    Handlers run on `threads` threads; further calls wait. Any exception but CallError ends a call with UNKNOWN. A
    request that does not parse is INVALID_ARGUMENT, a method that is not here UNIMPLEMENTED. Of an `exclusive` service
    one server is active.
    """

    def __init__(
        self, hub: str | Identity | Client | None, service: str, *, exclusive: bool = False, threads: int = 8, name: str = "server"
    ) -> None:
        super().__init__(hub, name, "worker")
        self.service, self.exclusive = service, exclusive
        self._threads = threads
        self._methods: dict[str, _Method] = {}
        self._crew: Crew[tuple[Channel, pb.CallHead]] | None = None
        self._offer: Request | None = None

    def unary(
        self, name: str, request: Decodable[_Q]
    ) -> Callable[[Callable[[_Q, CallContext], bytes | Encodable]], Callable[[_Q, CallContext], bytes | Encodable]]:
        """Marks the handler of a method with one request and one response."""
        return self._register(name, request, False, False)

    def server_stream(
        self, name: str, request: Decodable[_Q]
    ) -> Callable[[Callable[[_Q, CallContext], _Responses]], Callable[[_Q, CallContext], _Responses]]:
        """Marks the handler of a method with one request; it yields responses."""
        return self._register(name, request, False, True)

    def client_stream(
        self, name: str, request: Decodable[_Q]
    ) -> Callable[[Callable[[Iterator[_Q], CallContext], _Response]], Callable[[Iterator[_Q], CallContext], _Response]]:
        """Marks the handler of a method that reads requests and returns one response."""
        return self._register(name, request, True, False)

    def stream(
        self, name: str, request: Decodable[_Q]
    ) -> Callable[
        [Callable[[Iterator[_Q], CallContext], _Responses]], Callable[[Iterator[_Q], CallContext], _Responses]
    ]:
        """Marks the handler of a method that reads requests and yields responses, in any order."""
        return self._register(name, request, True, True)

    def start(self, timeout: float | None = 30.0) -> None:
        if self._offer is not None:
            raise RuntimeError(f"the server of {self.service} was started before")
        crew = self._crew = Crew(self._threads, self._serve, f"{self.service} handler")
        self._offer = self.client.offer(self.service, self.exclusive, lambda channel, head: crew.put((channel, head)))
        self.client.wait(self._offer.done, timeout, f"{self.service} is not offered")

    def stop(self, timeout: float = 30.0) -> bool:
        if self._crew is None or self._offer is None:
            return True
        self.client.withdraw(self.service, self._offer)
        ended = self._crew.stop(timeout)
        if self._owns:
            self.client.close()
        return ended

    def _register(self, name: str, request: Decodable[Any], requests: bool, responses: bool) -> Callable[[_H], _H]:
        def register(handler: _H) -> _H:
            self._methods[name] = _Method(request, handler, requests, responses)
            return handler

        return register

    def _serve(self, call: tuple[Channel, pb.CallHead]) -> None:
        channel, head = call
        if channel.is_over:
            return
        context = CallContext(channel, head)
        name = head.method.rpartition("/")[2]
        try:
            method = self._methods.get(name)
            if method is None:
                raise CallError(Code.UNIMPLEMENTED, f"{self.service} has no method {name}")
            self._answer(channel, context, method)
        except CallError as error:
            channel.reply(error.code, error.message, [*context.trailing_metadata, *error.metadata])
        except Exception as problem:
            log.exception("%s", head.method)
            channel.reply(Code.UNKNOWN, f"{type(problem).__name__}: {problem}", context.trailing_metadata)

    def _answer(self, channel: Channel, context: CallContext, method: _Method) -> None:
        requests = self._requests(channel, method.request)
        if method.streams_requests:
            result = method.handler(requests, context)
        else:
            request = next(requests, None)
            if request is None:
                raise CallError(Code.INVALID_ARGUMENT, f"{context.method} was called without a request")
            result = method.handler(request, context)
        if not method.streams_responses:
            channel.reply(metadata=context.trailing_metadata, responses=[encode(result)])
            return
        for response in result:
            channel.respond(encode(response))
        channel.reply(metadata=context.trailing_metadata)

    @staticmethod
    def _requests(channel: Channel, type: Decodable[_Q]) -> Iterator[_Q]:
        while True:
            message = channel.next()
            if message is None:
                return
            yield _decode(type, message, Code.INVALID_ARGUMENT, "request")


def _decode(type: Decodable[_R], message: bytes, code: Code, what: str) -> _R:
    try:
        return type.FromString(message)
    except DecodeError as error:
        raise CallError(code, f"a {what} that is no {getattr(type, '__name__', 'message')}: {error}") from None
