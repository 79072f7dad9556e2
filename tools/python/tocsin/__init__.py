"""A client of the Tocsin hub, on pyzmq and protobuf."""

from .connection import Call, Connection
from .errors import CallError, Closed, Code, Lost, ProtocolError, Refused, TimedOut, TocsinError
from .wire import Delivery, Gap, Kind, Message, Outcome, Tapped, envelope

__version__ = "0.1.0"

__all__ = [
    "Call", "CallError", "Closed", "Code", "Connection", "Delivery", "Gap", "Kind", "Lost", "Message", "Outcome",
    "ProtocolError", "Refused", "Tapped", "TimedOut", "TocsinError", "envelope"]
