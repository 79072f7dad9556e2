#!/usr/bin/python3
"""Hostile peers of tools/hostile, all at once: every way of misusing the protocol that can be repeated, one thread each.

    tools/support/storm.py PORT SECONDS

Prints one line of JSON at the end: how often each was done.
"""

import contextlib
import json
import os
import struct
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tools", name) for name in ("support", "python")]
from raw_peer import Raw  # noqa: E402
from tocsin import Connection, Kind, Lost, Refused, TimedOut, envelope, wire  # noqa: E402
from tocsin.v1 import broker_pb2 as pb  # noqa: E402
from tocsin.v1 import incident_pb2 as incident  # noqa: E402
from tocsin.wire import ACK, length_prefixed  # noqa: E402

PORT, SECONDS = int(sys.argv[1]), float(sys.argv[2])
ENDPOINT = f"tcp://127.0.0.1:{PORT}"
DEADLINE = time.monotonic() + SECONDS
# Clears the screen, writes the title, moves up and right, eight-bit CSI, reversed text, isolates, separators, a bell, a NUL.
EVIL = ("\x1b[2J\x1b]0;owned\x07\x1b[5;5H\x1b[31mred \u009b31m\u202eesrever\u202c \u2066i\u2069 \u200b\u2028next\u2029line"
        "\r\nforged line\x00\x7f\u0085 \U000e0041")
ATTACKS, COUNTS = [], {}


def attack(function):
    ATTACKS.append(function)
    return function


@contextlib.contextmanager
def raw(**options):
    peer = Raw(PORT, **options)
    try:
        yield peer
    finally:
        peer.close()


@contextlib.contextmanager
def client(name=EVIL, **options):
    peer = Connection(ENDPOINT, name=name, role=EVIL, software=EVIL, timeout=30, **options)
    try:
        yield peer
    finally:
        with contextlib.suppress(Lost):
            peer.close()


def varint(value, length=0):
    """`length`: overlong, so many bytes."""
    out = bytearray()
    while value > 0x7F or len(out) + 1 < length:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def bombs(payload=b"x"):
    """Bodies that are no message, or are one at a price. `payload`: what field 1 of the smaller ones has."""
    yield b"\x0b" * 100_000
    yield b"\x0b" * 90 + b"\x0c" * 90
    nested = payload
    for _ in range(2_000):
        nested = field(1, nested)
    yield nested
    nested = payload
    for _ in range(2_000):
        nested = field(9, nested)
    yield nested
    for number in (1, 2, 3, 9, 10):
        yield field(number, b"") * 500_000
        yield field(number, field(1, b"k") + field(2, b"v")) * 100_000
    yield varint(1 << 3 | 2, 10) + varint(1, 10) + payload
    yield varint(1 << 3 | 2) + varint((1 << 64) - 1) + payload
    yield varint(1 << 3 | 2) + varint((1 << 31) - 1) + payload
    yield b"\xff" * 64
    yield varint(1 << 3) + b"\xff" * 11
    yield varint((1 << 29) - 1 << 3 | 2) + varint(1) + payload
    yield varint(0) + varint(1)
    yield b"\x0f\x0e" * 1000
    yield field(1, EVIL.encode())
    yield field(1, b"\xff\xfe\xc3\x28")


@attack
def giant_prefixes():
    for size in ((1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1, 17 << 20):
        with raw() as peer:
            peer.hello(EVIL)
            peer.socket.sendall(b"\x02" + struct.pack(">Q", size) + bytes(1000))
            peer.is_closed(5)
    with client() as peer:
        for prefix in (b"\x00\xff\xff\xff\xff", b"\x00\x7f\xff\xff\xff" + bytes(10)):
            peer.send(Kind.PUBLISH, peer.next_id(), (1 << 32) - 1, prefix)


@attack
def slow_greetings():
    peers = [Raw(PORT, handshake=False) for _ in range(50)]
    for position in range(64):
        for peer in peers:
            with contextlib.suppress(OSError):
                peer.socket.sendall(Raw.GREETING[position:position + 1])
        if time.monotonic() > DEADLINE:
            break
        time.sleep(0.1)
    for peer in peers:
        peer.close()


@attack
def connections():
    for _ in range(50):
        Raw(PORT, handshake=False).close()
    for _ in range(10):
        with raw():
            pass


@attack
def hellos():
    with raw() as peer:
        for _ in range(200):
            peer.send(wire.header(Kind.HELLO), pb.Hello(name=EVIL, role=EVIL, software=EVIL).SerializeToString())
        for _ in range(200):
            peer.message()
        for _ in range(20):
            peer.send(wire.header(Kind.GOODBYE))
    with raw() as peer:
        peer.send(b"who are you")
        peer.message()


@attack
def publishes():
    """As fast as they are taken, and a worker for them."""
    with client() as peer:
        peer.declare("flood", ["flood.>"])
        subscription = peer.subscribe("flood", credit=1000)
        for round in range(20):
            waiting = [peer.begin_publish([envelope("flood.a", os.urandom(200)) for _ in range(50)]) for _ in range(4)]
            waiting += [peer.begin_publish([envelope("nobody.takes.this") for _ in range(50)]) for _ in range(4)]
            waiting += [peer.begin_publish([envelope("flood.a", id=b"the same") for _ in range(50)])]
            for id in waiting:
                with contextlib.suppress(Refused):
                    peer.end_publish(id, timeout=30)
            with contextlib.suppress(TimedOut):
                given = peer.deliveries(subscription, timeout=0.05)
                peer.settle(subscription, [(d, ACK) for d in given])


@attack
def subscriptions():
    with client() as peer:
        for _ in range(100):
            with contextlib.suppress(Refused):
                peer.subscribe("flood", credit=1)
        for _ in range(100):
            with contextlib.suppress(Refused):
                peer.tap([">"], sequence=1, credit=1)
        for id in range(100):
            peer.send(Kind.UNSUBSCRIBE, id, 0)
        peer.declare("flood", ["flood.>"])


@attack
def declares():
    with client() as peer:
        for number in range(100):
            with contextlib.suppress(Refused):
                peer.declare(f"x{number}", ["nothing.at.all"])
        for name in (EVIL, "", "x" * 65, "../../etc/passwd", "a\nb"):
            with contextlib.suppress(Refused):
                peer.declare(name, ["nothing.>"])
        for filters in (["a..b"], [EVIL], ["*." * 17 + "a"], ["nothing.>"] * 33, []):
            with contextlib.suppress(Refused):
                peer.declare("y", filters)


@attack
def calls():
    with client() as peer:
        head = pb.CallHead(method="tocsin.v1.BrokerAdmin/GetStatus", timeout_ms=1000).SerializeToString()
        for number in range(200):
            peer.send_raw([wire.header(Kind.CALL, 10_000 + number, 0), head])
        for method in (EVIL, "a.B/" + EVIL, "/", "a/", "tocsin.v1.IncidentService/" + "x" * 10_000):
            peer.send_raw([wire.header(Kind.CALL, peer.next_id(), 0), pb.CallHead(method=method).SerializeToString()])
        for number in range(200):
            peer.send(Kind.WINDOW, 10_000 + number, (1 << 32) - 1)
            peer.send(Kind.CANCEL, 10_000 + number, 0)
            peer.send(Kind.REPLY, 10_000 + number, 0, b"")
        with contextlib.suppress(Refused):
            peer.serve(EVIL[:100])
        peer.declare("flood", ["flood.>"])


@attack
def parts():
    with raw() as peer:
        peer.hello("parts")
        for count in (17, 1000, 50_000):
            head = Raw.encoded([wire.header(Kind.PUBLISH, 1, 1), b"x"])[:26]
            peer.socket.sendall(head + b"\x01\x00" * (count - 2) + b"\x00\x00")
            while peer.message()[0][5] != Kind.STATUS:
                pass


@attack
def bodies():
    kinds = (Kind.HELLO, Kind.DECLARE, Kind.SUBSCRIBE, Kind.TAP, Kind.SERVE, Kind.CALL, Kind.HEADERS, Kind.REPLY, Kind.PUBLISH)
    for kind in kinds:
        with raw() as peer:
            peer.hello(EVIL)
            for bomb in bombs():
                peer.send(wire.header(kind, 7, 1), bomb)
            # As a message of a batch, too.
            for bomb in bombs():
                peer.send(wire.header(Kind.PUBLISH, 7, 1), length_prefixed([bomb]))
            peer.send(wire.header(Kind.HEARTBEAT, 99))
            while (header := peer.message()[0])[5] != Kind.HEARTBEAT or header[8:16] == bytes(8):
                pass


@attack
def events():
    """What triage and archiver decode: bombs, and events that say evil things everywhere."""
    with client() as peer:
        small = [bomb for bomb in bombs() if len(bomb) < (1 << 20) - 1000]
        for subject in ("event.evil", "alert.evil.x", "response.evil"):
            for bomb in small:
                with contextlib.suppress(Refused):
                    peer.publish([envelope(subject, bomb)], timeout=30)
        for number in range(5):
            event = incident.Event(
                id=os.urandom(8).hex(), kind=incident.EVENT_KIND_TRIGGER, source="evil:" + EVIL, service="web " + EVIL,
                summary=f"{number} {EVIL}", severity_hint="critical", observed_at=int(time.time() * 1000),
                labels={f"l{EVIL}": EVIL}, details={f"d{EVIL}": EVIL})
            with contextlib.suppress(Refused):
                peer.publish([envelope("event.evil", event.SerializeToString(), id=event.id.encode())], timeout=30)
        for method in ("AcknowledgeIncident", "AnnotateIncident"):
            request = getattr(incident, method + "Request")(number=1, actor=EVIL)
            if method == "AnnotateIncident":
                request.note = EVIL
            with contextlib.suppress(Exception):
                peer.call(f"tocsin.v1.IncidentService/{method}", request, incident.GetIncidentResponse, timeout=2)
        for bomb in small:
            with contextlib.suppress(Exception):
                call = peer.begin_call("tocsin.v1.IncidentService/ReportEvent", timeout_ms=2000)
                peer.send_request(call, bomb, last=True)
                list(peer.responses(call, timeout=2))


@attack
def credit_and_settle_lies():
    with client() as peer:
        peer.declare("flood", ["flood.>"])
        for credit in (0, 65_537, (1 << 32) - 1):
            with contextlib.suppress(Refused):
                peer.subscribe("flood", credit=credit)
        subscription = peer.subscribe("flood", credit=5)
        for more in (0, 65_532, (1 << 32) - 1):
            peer.add_credit(subscription, more)
        for rows in (1, 4096, (1 << 32) - 1):
            peer.send(Kind.SETTLE, subscription, rows, os.urandom(24))
            peer.send(Kind.SETTLE, subscription, rows, os.urandom(24 * min(rows, 4096)))
        table = b"".join(struct.pack(">QQB3xI", number, number, 2, 0) for number in range(1, 1001))
        peer.send(Kind.SETTLE, subscription, 1000, table, length_prefixed([EVIL.encode()] * 1000))
        peer.declare("flood", ["flood.>"])
        with contextlib.suppress(TimedOut):
            for delivery in peer.deliveries(subscription, timeout=0.2):
                peer.settle(subscription, [(delivery, 3, 0, EVIL)])


def main():
    failures = {}

    def repeat(function):
        name = function.__name__
        COUNTS[name] = 0
        while time.monotonic() < DEADLINE:
            try:
                function()
                COUNTS[name] += 1
            except Exception as failure:
                # Being cut off is what they are for.
                what = f"{name}: {type(failure).__name__}: {str(failure)[:100]}"
                failures[what] = failures.get(what, 0) + 1
                time.sleep(0.05)

    threads = [threading.Thread(target=repeat, args=[function], daemon=True) for function in ATTACKS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, DEADLINE + 20 - time.monotonic()))
    print(json.dumps({"done": COUNTS, "cut": failures}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
