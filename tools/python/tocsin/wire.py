"""Frames of the protocol: headers, tables and length-prefixed messages. Written from proto/PROTOCOL.md; no sockets
here."""

from __future__ import annotations

import dataclasses
import enum
import os
import struct
import time
from typing import Any, Iterable, Mapping, NamedTuple, Protocol, Sequence, Union, cast

from .errors import ProtocolError
from .v1 import broker_pb2 as pb
from .v1.broker_pb2 import Envelope, MetadataEntry


class Kind(enum.IntEnum):
    """Kinds of messages (PROTOCOL.md, "Kinds")."""

    HELLO = 1
    WELCOME = 2
    HEARTBEAT = 3
    GOODBYE = 4
    STATUS = 5
    PUBLISH = 16
    ACCEPTED = 17
    DECLARE = 32
    SUBSCRIBE = 33
    CREDIT = 34
    DELIVER = 35
    SETTLE = 36
    UNSUBSCRIBE = 37
    TAP = 48
    TAPPED = 49
    GAP = 50
    SERVE = 64
    CALL = 65
    REPLY = 66
    CANCEL = 67
    MESSAGE = 68
    HEADERS = 69
    WINDOW = 70


class Severity(enum.IntEnum):
    """How bad what happened is; the most severe is delivered first."""

    INFO = 1
    MINOR = 2
    MAJOR = 3
    CRITICAL = 4


class Outcome(enum.IntEnum):
    """How a delivery is settled."""

    ACK = 1
    RETRY = 2
    REJECT = 3


ACK, RETRY, REJECT = Outcome

# How many body frames a kind may have.
BODY_FRAMES: Mapping[int, Sequence[int]] = {
    **{
        kind: (1,)
        for kind in (
            Kind.HELLO,
            Kind.WELCOME,
            Kind.STATUS,
            Kind.PUBLISH,
            Kind.ACCEPTED,
            Kind.DECLARE,
            Kind.SUBSCRIBE,
            Kind.TAP,
            Kind.GAP,
            Kind.SERVE,
        )
    },
    **{kind: (0,) for kind in (Kind.HEARTBEAT, Kind.GOODBYE, Kind.CREDIT, Kind.UNSUBSCRIBE, Kind.CANCEL, Kind.WINDOW)},
    **{kind: (1, 2) for kind in (Kind.SETTLE, Kind.CALL, Kind.REPLY, Kind.HEADERS)},
    Kind.DELIVER: (2,),
    Kind.TAPPED: (2,),
    Kind.MESSAGE: (0, 1),
}

MAGIC, VERSION = b"TCSN", 1
HALF_CLOSE = 1  # flag of CALL and MESSAGE
SERVED = 1 << 63  # ids from here up are the hub's: calls that this peer serves
WINDOW_BYTES, FRAME_OVERHEAD = 256 << 10, 128  # of each direction of a call

HEADER = struct.Struct(">4sBBHQIHH")  # magic, version, kind, flags, id, count, reason, reserved
DELIVERY_ROW = struct.Struct(">QQH6x")  # sequence, token, attempt
SETTLE_ROW = struct.Struct(">QQB3xI")  # sequence, token, outcome, delay
PREFIX = struct.Struct(">BI")  # flags, length

# Pairs in order; a key may occur several times. Values are bytes where the key ends with "-bin".
Metadata = list[tuple[str, Union[str, bytes]]]
MetadataLike = Union[Mapping[str, Union[str, bytes]], Iterable[tuple[str, Union[str, bytes]]], None]


class Encodable(Protocol):
    """A protobuf message."""

    @property
    def DESCRIPTOR(self) -> Any: ...

    def SerializeToString(self) -> bytes: ...


@dataclasses.dataclass(frozen=True)
class Message:
    """One message from the hub: its header's fields and its body frames."""

    kind: Kind
    id: int
    flags: int
    count: int
    reason: int
    frames: list[bytes]


class Delivery(NamedTuple):
    """A message of a pool, given to this worker. `token` is its fence; `attempt` is 1 the first time; `encoded` is the
    envelope as its publisher encoded it."""

    sequence: int
    token: int
    attempt: int
    envelope: Envelope
    encoded: bytes


class Tapped(NamedTuple):
    """A message that a tap saw."""

    sequence: int
    envelope: Envelope
    encoded: bytes


class Gap(NamedTuple):
    """Sequences that a tap will not see."""

    first: int
    last: int
    reason: str


def envelope(
    subject: str,
    payload: bytes = b"",
    id: bytes | None = None,
    severity: int = Severity.INFO,
    key: str = "",
    not_before: int = 0,
    type: str = "",
    headers: Mapping[str, str] | None = None,
) -> Envelope:
    """One message to publish.

    `id` is 16 random bytes unless given; better is one made from what the message is about, so that it is stored once
    however often it is sent. `severity`: see `Severity`. Messages with the same `key` are worked on one after another.
    `not_before`: milliseconds since 1970; it is delivered then. `type`: full name of the protobuf message in `payload`.
    """
    return Envelope(
        id=os.urandom(16) if id is None else id,
        subject=subject,
        severity=cast(pb.Severity, severity),
        key=key,
        not_before=not_before,
        type=type,
        published_at=int(time.time() * 1000),
        headers=headers or {},
        payload=payload,
    )


def header(
    kind: int, id: int = 0, count: int = 0, magic: bytes = MAGIC, version: int = VERSION, flags: int = 0
) -> bytes:
    """A header frame; `magic` and `version` are for tests."""
    return HEADER.pack(magic, version, kind, flags, id, count, 0, 0)


def parse(frames: list[bytes]) -> Message | None:
    """A message from its frames; None if its kind is not known, which a newer hub may send.

    Raises ProtocolError if the header, or the number of body frames, is wrong. Bodies are not looked into.
    """
    if len(frames[0]) != HEADER.size:
        raise ProtocolError(f"a header of {len(frames[0])} bytes, where it has {HEADER.size}")
    magic, version, kind, flags, id, count, reason, _ = HEADER.unpack(frames[0])
    if magic != MAGIC or version != VERSION:
        raise ProtocolError(f"a header of version {version} with magic {magic!r}")
    if kind not in BODY_FRAMES:
        return None
    if len(frames) - 1 not in BODY_FRAMES[kind]:
        raise ProtocolError(f"{len(frames) - 1} body frames for {Kind(kind).name}")
    return Message(Kind(kind), id, flags, count, reason, frames[1:])


def entries(metadata: MetadataLike) -> list[MetadataEntry]:
    """Metadata for the wire. Text must be ASCII; bytes are for keys that end with "-bin"."""
    items = metadata.items() if isinstance(metadata, Mapping) else metadata or ()
    return [MetadataEntry(key=k, value=v if isinstance(v, bytes) else v.encode("ascii")) for k, v in items]


def pairs(metadata: Iterable[MetadataEntry]) -> Metadata:
    """Metadata from the wire."""
    return [(m.key, m.value if m.key.endswith("-bin") else m.value.decode("ascii", "replace")) for m in metadata]


def length_prefixed(messages: Iterable[bytes]) -> bytes:
    """gRPC's framing: flags, length, bytes, one after another."""
    return b"".join(PREFIX.pack(0, len(m)) + m for m in messages)


def split(frame: bytes) -> list[bytes]:
    """The messages of a length-prefixed frame. Raises ProtocolError."""
    messages, at = [], 0
    while at < len(frame):
        if at + PREFIX.size > len(frame):
            raise ProtocolError("half a length prefix")
        flags, length = PREFIX.unpack_from(frame, at)
        at += PREFIX.size
        if flags != 0 or at + length > len(frame):
            raise ProtocolError(f"a length prefix, flags {flags} and {length} bytes, does not fit its frame")
        messages.append(frame[at : at + length])
        at += length
    return messages


def encode(message: bytes | Encodable) -> bytes:
    """A message's bytes; bytes are taken to be encoded already."""
    return message if isinstance(message, bytes) else message.SerializeToString()
