"""What goes wrong, and what to do about it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Sequence

if TYPE_CHECKING:
    from .wire import Metadata


class Code(enum.IntEnum):
    """The status codes of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16

    @classmethod
    def _missing_(cls, value: object) -> Code:
        # As gRPC reads a code that it does not know.
        return cls.UNKNOWN


class TocsinError(Exception):
    """Every error of this package is one."""


class Refused(TocsinError):
    """The hub answered with a status: nothing of the request was done.

    `name` is one of PROTOCOL.md's reasons ("UNKNOWN_SUBJECT") and `reason` its number, `code` the gRPC code, `message`
    a sentence for a person, and `index` the message of a batch that was wrong, counted from 0.
    """

    def __init__(self, reason: int, name: str, code: int, message: str, index: int = 0) -> None:
        super().__init__(f"{name}: {message}")
        self.reason, self.name, self.code, self.message, self.index = reason, name, Code(code), message, index


class CallError(Refused):
    """A call ended with a code that is not OK; raised by a handler of a server, it ends the call so.

    `name` is the hub's reason where the hub ended it ("WORKER_LOST"), else the name of the code. `metadata` came with
    the end. After UNAVAILABLE, DEADLINE_EXCEEDED and CANCELLED the server may or may not have acted.
    """

    def __init__(
        self,
        code: int,
        message: str = "",
        metadata: Sequence[tuple[str, str | bytes]] = (),
        reason: int = 0,
        name: str = "",
    ) -> None:
        super().__init__(reason, name or Code(code).name, code, message)
        self.metadata: Metadata = list(metadata)


class NotAdmitted(TocsinError):
    """The hub does not let this program in: it has no key, or one that is not authorised there."""


class TimedOut(TocsinError):
    """No answer in time. Whether the request had an effect is not known, unless the text says so."""


class Lost(TocsinError):
    """The session with the hub is over: no word for three heartbeats, its goodbye, or it does not know this peer."""


class ProtocolError(Lost):
    """The hub sent what the protocol does not allow; the session is given up."""


class Closed(TocsinError):
    """The client was closed meanwhile, or before."""
