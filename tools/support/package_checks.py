"""Checks of the Python package's publisher, worker, caller and server; tools/interop runs them against its hub."""

import contextlib
import logging
import threading
import time

import tocsin
from hub import equal, pool_status, until
from tocsin import CallError, Code, Severity, envelope
from tocsin.v1 import broker_pb2 as pb

# What is provoked here is not for the terminal.
logging.getLogger("tocsin").setLevel(logging.CRITICAL)


def fails(type, action, **facts):
    """The action must raise this, with these facts; the error."""
    try:
        found = action()
    except type as error:
        for name, value in facts.items():
            equal(getattr(error, name), value, name)
        return error
    raise AssertionError(f"{type.__name__} was not raised; it returned {found!r}")


def letters(caller, pool):
    return caller.call(
        "tocsin.v1.BrokerAdmin/ListDeadLetters", pb.ListDeadLettersRequest(pool=pool), pb.ListDeadLettersResponse
    ).letters


def register(check, hub):
    """`check` marks a check; `hub` is a started one, which may be killed and started again."""

    @check("package: a publish is durable, a repeated id is stored once, thousands go in batches, a refusal says which")
    def publisher():
        with hub.client("declares") as peer:
            peer.declare("pub", ["pub.>"])
        with tocsin.Publisher(hub.endpoint, name="publisher") as publisher:
            first = publisher.publish("pub.a", b"x", id=b"pub-1", severity=Severity.CRITICAL, headers={"a": "b"})
            equal((first.stored, first.duplicates), (1, 0), "first")
            again = publisher.publish("pub.a", b"x", id=b"pub-1")
            equal((again.first_sequence, again.stored, again.duplicates), (0, 0, 1), "again")
            many = publisher.publish_all(envelope("pub.b", b"%d" % n) for n in range(10_000))
            equal((many.stored, many.duplicates), (10_000, 0), "many")
            equal(publisher.publish("pub.c", pb.Gap(first=1)).stored, 1, "a protobuf message")
            wrong = [envelope("pub.d") for _ in range(5000)] + [envelope("nobody.listens")]
            fails(tocsin.Refused, lambda: publisher.publish_all(wrong), name="UNKNOWN_SUBJECT", index=5000)
            fails(tocsin.Refused, lambda: publisher.publish("pub d"), name="BAD_ENVELOPE", index=0)

    @check("package: without a hub a publish ends by its deadline, and so does a call; nothing hangs")
    def nobody():
        began = time.monotonic()
        with tocsin.Client("tcp://127.0.0.1:9", "lonely") as client:
            fails(tocsin.TimedOut, lambda: tocsin.Publisher(client, timeout=0.3).publish("a.b"))
            fails(
                CallError, lambda: tocsin.Caller(client).call("a.B/C", b"", pb.Gap, timeout=0.3), code=Code.UNAVAILABLE
            )
            worker = tocsin.Worker(client, "p", print)
            fails(tocsin.TimedOut, lambda: worker.start(timeout=0.3))
        assert time.monotonic() - began < 5, "took too long"
        fails(tocsin.Closed, lambda: tocsin.Publisher(client).publish("a.b"))
        fails(ValueError, lambda: tocsin.Client("no endpoint"))

    @check("package: a worker acks what its handler returns from; Retry, Reject and other exceptions do as they say")
    def worker():
        seen, lock = {}, threading.Lock()

        def handle(delivery):
            with lock:
                seen.setdefault(delivery.envelope.payload, []).append(delivery.attempt)
            if delivery.envelope.payload == b"later" and delivery.attempt == 1:
                raise tocsin.Retry("not now", after=0.2)
            if delivery.envelope.payload == b"never":
                raise tocsin.Reject("not at all: é")
            if delivery.envelope.payload == b"fails":
                raise KeyError("x")

        with (
            tocsin.Client(hub.endpoint, "worker") as client,
            tocsin.Publisher(client) as publisher,
            tocsin.Worker(client, "work", handle, filters=["work.>"], threads=3, max_attempts=2),
            tocsin.Caller(client) as caller,
            hub.client("asks") as peer,
        ):
            # The last is an envelope only as far as a hub looks.
            broken = pb.Envelope(id=b"broken", subject="work.x").SerializeToString() + b"\x7a\x64"
            client.publish([broken])
            publisher.publish_all(envelope("work.x", payload) for payload in (b"fine", b"later", b"never", b"fails"))
            until(lambda: pool_status(peer, "work").acked == 2 and pool_status(peer, "work").dead == 3)
            equal(seen, {b"fine": [1], b"later": [1, 2], b"never": [1], b"fails": [1, 2]}, "attempts")
            reasons = [letter.reason for letter in letters(caller, "work")]
            assert "cannot be read" in reasons[0] and "not at all: é" in reasons[1] and "KeyError" in reasons[2], (
                reasons
            )

    @check("package: a long handler keeps its message and session; stopping waits for it and gives back the rest")
    def long_work():
        begun, ending = threading.Semaphore(0), threading.Event()

        def handle(delivery):
            begun.release()
            ending.wait(20)

        with tocsin.Publisher(hub.endpoint) as publisher, hub.client("asks") as peer:
            client = tocsin.Client(hub.endpoint, "slow", heartbeat_ms=200)
            worker = tocsin.Worker(client, "long", handle, filters=["long.>"], threads=2, credit=5)
            worker.start()
            publisher.publish_all(envelope("long.x") for _ in range(10))
            assert begun.acquire(timeout=10) and begun.acquire(timeout=10)
            time.sleep(1.5)
            equal((client.session, pool_status(peer, "long").in_flight), (1, 5), "session and messages held")
            threading.Timer(0.3, ending.set).start()
            assert worker.stop(), "the handlers have not ended"
            client.close()
            until(lambda: (pool_status(peer, "long").acked, pool_status(peer, "long").queued) == (2, 8))
            assert not begun.acquire(timeout=0), "another was begun"

    @check("package: a pool that is not there is the error of the start")
    def no_pool():
        with tocsin.Client(hub.endpoint) as client:
            fails(tocsin.Refused, tocsin.Worker(client, "no-such-pool", print).start, name="UNKNOWN_POOL")

    @check("package: calls of every shape, with metadata, codes, deadlines and cancelling; far more than the window")
    def calls():
        begun, cancelled = threading.Event(), threading.Event()
        with tocsin.Client(hub.endpoint, "server") as serving, tocsin.Client(hub.endpoint, "caller") as calling:
            server, caller = tocsin.Server(serving, "package.v1.Test"), tocsin.Caller(calling)

            @server.unary("Echo", pb.Envelope)
            def echo(request, context):
                context.send_initial_metadata([("begun", "yes")])
                context.trailing_metadata = context.metadata
                return request

            @server.server_stream("Count", pb.Gap)
            def count(request, context):
                for number in range(request.first, request.last):
                    yield pb.Gap(first=number)

            @server.client_stream("Sum", pb.Gap)
            def add(requests, context):
                return pb.Gap(first=sum(request.first for request in requests))

            @server.stream("Both", pb.Envelope)
            def both(requests, context):
                yield from requests

            @server.unary("Wrong", pb.Gap)
            def wrong(request, context):
                raise CallError(request.first, "as asked", [("why", "so")]) if request.first else KeyError("x")

            @server.unary("Wait", pb.Gap)
            def wait(request, context):
                begun.set()
                until(lambda: context.is_cancelled)
                cancelled.set()
                return request

            def call(method, request, response=pb.Gap, **options):
                return caller.call(f"package.v1.Test/{method}", request, response, **options)

            with server:
                sent = [("who", "me"), ("who", "again"), ("raw-bin", b"\x00\xff")]
                request = pb.Envelope(payload=b"x" * 1000)
                with caller.stream("package.v1.Test/Echo", pb.Envelope, [request], timeout=10, metadata=sent) as stream:
                    equal(list(stream), [request], "response")
                    equal((stream.initial_metadata, stream.trailing_metadata), ([("begun", "yes")], sent), "metadata")
                numbers = caller.stream("package.v1.Test/Count", pb.Gap, [pb.Gap(first=0, last=20_000)])
                equal([number.first for number in numbers], list(range(20_000)), "a stream")
                numbers = (pb.Gap(first=number) for number in range(1000))
                equal(
                    [sum_.first for sum_ in caller.stream("package.v1.Test/Sum", pb.Gap, numbers)], [499_500], "a sum"
                )
                large = (pb.Envelope(payload=bytes(50_000)) for _ in range(100))
                equal(len(list(caller.stream("package.v1.Test/Both", pb.Envelope, large))), 100, "both ways")
                with caller.stream("package.v1.Test/Both", pb.Envelope) as stream:
                    for number in range(5):
                        stream.write(pb.Envelope(id=b"%d" % number))
                        equal(next(stream).id, b"%d" % number, "one by one")
                    stream.finish()
                    equal(list(stream), [], "the end")
                error = fails(CallError, lambda: call("Wrong", pb.Gap(first=9)), code=9, message="as asked")
                equal(error.metadata, [("why", "so")], "metadata of the error")
                fails(CallError, lambda: call("Wrong", pb.Gap()), code=Code.UNKNOWN)
                fails(CallError, lambda: call("Echo", b"\xff"), code=Code.INVALID_ARGUMENT)
                fails(CallError, lambda: call("NoSuch", pb.Gap()), code=Code.UNIMPLEMENTED)
                fails(CallError, lambda: call("Wait", pb.Gap(), timeout=0.3), code=Code.DEADLINE_EXCEEDED)
                assert cancelled.wait(10), "the server was not told of the deadline"
                begun.clear()
                cancelled.clear()
                with caller.stream("package.v1.Test/Wait", pb.Gap, [pb.Gap()]):
                    assert begun.wait(10), "it was not called"
                assert cancelled.wait(10), "the server was not told of the end"
            fails(CallError, lambda: call("Echo", pb.Gap()), name="NO_SERVER")
            # Waited for until somebody serves it.
            back = tocsin.Server(serving, "package.v1.Test")
            back.unary("Echo", pb.Gap)(lambda request, context: request)
            threading.Timer(0.5, back.start).start()
            equal(call("Echo", pb.Gap(first=7), wait=True).first, 7, "waited for")
            back.stop()

    @check("package: a server that is lost in mid-call is UNAVAILABLE to its caller")
    def lost_server():
        with tocsin.Caller(hub.endpoint) as caller:
            with hub.client("dies") as peer:
                peer.serve("package.v1.Lost")
                with caller.stream("package.v1.Lost/Any", pb.Gap, [b""], timeout=20) as stream:
                    peer.next_call()
                    peer.close()
                    fails(CallError, lambda: next(stream), code=Code.UNAVAILABLE, name="WORKER_LOST")

    @check("package: over kill -9 of the hub each publish is stored once, the worker goes on, what it held is fenced")
    def over_a_crash():
        handled, holding, ending = set(), threading.Event(), threading.Event()

        def handle(delivery):
            # How often it was delivered is not in the journal.
            if delivery.envelope.payload == b"held" and not holding.is_set():
                holding.set()
                ending.wait(30)
            handled.add(delivery.envelope.payload)

        with (
            tocsin.Client(hub.endpoint, "client") as client,
            tocsin.Client(hub.endpoint, "serves") as serving,
            contextlib.ExitStack() as stack,
        ):
            worker = tocsin.Worker(client, "over", handle, filters=["over.>"], threads=2, credit=64)
            server = tocsin.Server(serving, "package.v1.Over")
            server.unary("Echo", pb.Gap)(lambda request, context: request)
            stack.enter_context(worker)
            stack.enter_context(server)
            publisher, caller = tocsin.Publisher(client), tocsin.Caller(client)
            publisher.publish("over.x", b"held")
            assert holding.wait(10)
            failures, stored = [], []

            def publish():
                try:
                    for number in range(100):
                        batch = [
                            envelope("over.x", b"%d" % (number * 10 + n), id=b"over-%d-%d" % (number, n))
                            for n in range(10)
                        ]
                        receipt = publisher.publish_all(batch)
                        equal(receipt.stored + receipt.duplicates, 10, "answered")
                        stored.append(receipt)
                except Exception as problem:
                    failures.append(problem)

            thread = threading.Thread(target=publish)
            thread.start()
            until(lambda: len(stored) > 20)
            hub.kill()
            hub.start()
            thread.join(60)
            equal((failures, len(stored)), ([], 100), "failures and batches stored")
            until(lambda: len(handled) >= 1000, 30)
            ending.set()
            until(lambda: len(handled) == 1001, 30)
            until(lambda: worker.stale == 1)
            equal(
                caller.call("package.v1.Over/Echo", pb.Gap(first=3), pb.Gap, wait=True, timeout=20).first, 3, "a call"
            )
            with hub.client("asks") as peer:
                status = pool_status(peer, "over")
                equal((status.matched, status.dead), (1001, 0), "messages")
                until(lambda: pool_status(peer, "over").acked == 1001)
