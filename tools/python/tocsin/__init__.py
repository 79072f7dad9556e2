"""A client of the Tocsin hub, on pyzmq and protobuf.

`Publisher`, `Worker`, `Caller` and `Server` are what one usually needs; each is made of the hub's endpoint, or of a
`Client` that several share. `Connection` is the layer below: one session, step by step, on one thread. Loggers are
named "tocsin".
"""

from .calls import CallContext, Caller, Server, Stream
from .client import Client
from .connection import Call, Connection
from .errors import CallError, Closed, Code, Lost, NotAdmitted, ProtocolError, Refused, TimedOut, TocsinError
from .identity import Identity, default_hub
from .peer import run
from .publisher import Publisher, Receipt
from .wire import Delivery, Gap, Kind, Message, Outcome, Severity, Tapped, envelope
from .worker import Reject, Retry, Worker

__version__ = "0.1.0"

__all__ = [
    "Call",
    "CallContext",
    "CallError",
    "Caller",
    "Client",
    "Closed",
    "Code",
    "Connection",
    "Delivery",
    "Gap",
    "Identity",
    "Kind",
    "Lost",
    "Message",
    "NotAdmitted",
    "Outcome",
    "ProtocolError",
    "Publisher",
    "Receipt",
    "Refused",
    "Reject",
    "Retry",
    "Server",
    "Severity",
    "Stream",
    "Tapped",
    "TimedOut",
    "TocsinError",
    "Worker",
    "default_hub",
    "envelope",
    "run",
]
