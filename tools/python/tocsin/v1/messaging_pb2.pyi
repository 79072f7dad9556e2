from tocsin.v1 import broker_pb2 as _broker_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
OUTCOME_ACK: Outcome
OUTCOME_REJECT: Outcome
OUTCOME_RETRY: Outcome
OUTCOME_UNSPECIFIED: Outcome

class ConsumeRequest(_message.Message):
    __slots__ = ["join", "settle"]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    SETTLE_FIELD_NUMBER: _ClassVar[int]
    join: Join
    settle: Settle
    def __init__(self, join: _Optional[_Union[Join, _Mapping]] = ..., settle: _Optional[_Union[Settle, _Mapping]] = ...) -> None: ...

class ConsumeResponse(_message.Message):
    __slots__ = ["deliveries"]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[PoolDelivery]
    def __init__(self, deliveries: _Optional[_Iterable[_Union[PoolDelivery, _Mapping]]] = ...) -> None: ...

class DeclarePoolRequest(_message.Message):
    __slots__ = ["pool"]
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: _broker_pb2.PoolSpec
    def __init__(self, pool: _Optional[_Union[_broker_pb2.PoolSpec, _Mapping]] = ...) -> None: ...

class DeclarePoolResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class Join(_message.Message):
    __slots__ = ["credit", "pool"]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    credit: int
    pool: str
    def __init__(self, pool: _Optional[str] = ..., credit: _Optional[int] = ...) -> None: ...

class PoolDelivery(_message.Message):
    __slots__ = ["attempt", "lease", "message", "sequence"]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    lease: bytes
    message: _broker_pb2.Envelope
    sequence: int
    def __init__(self, lease: _Optional[bytes] = ..., sequence: _Optional[int] = ..., attempt: _Optional[int] = ..., message: _Optional[_Union[_broker_pb2.Envelope, _Mapping]] = ...) -> None: ...

class PublishRequest(_message.Message):
    __slots__ = ["messages"]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_broker_pb2.Envelope]
    def __init__(self, messages: _Optional[_Iterable[_Union[_broker_pb2.Envelope, _Mapping]]] = ...) -> None: ...

class PublishResponse(_message.Message):
    __slots__ = ["duplicates", "first_sequence", "stored"]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    duplicates: int
    first_sequence: int
    stored: int
    def __init__(self, first_sequence: _Optional[int] = ..., stored: _Optional[int] = ..., duplicates: _Optional[int] = ...) -> None: ...

class Settle(_message.Message):
    __slots__ = ["settlements"]
    SETTLEMENTS_FIELD_NUMBER: _ClassVar[int]
    settlements: _containers.RepeatedCompositeFieldContainer[Settlement]
    def __init__(self, settlements: _Optional[_Iterable[_Union[Settlement, _Mapping]]] = ...) -> None: ...

class Settlement(_message.Message):
    __slots__ = ["delay_ms", "lease", "outcome", "reason"]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    delay_ms: int
    lease: bytes
    outcome: Outcome
    reason: str
    def __init__(self, lease: _Optional[bytes] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., delay_ms: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class TapRequest(_message.Message):
    __slots__ = ["filters", "sequence", "time"]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    filters: _containers.RepeatedScalarFieldContainer[str]
    sequence: int
    time: int
    def __init__(self, filters: _Optional[_Iterable[str]] = ..., sequence: _Optional[int] = ..., time: _Optional[int] = ...) -> None: ...

class TapResponse(_message.Message):
    __slots__ = ["gap", "message"]
    GAP_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    gap: _broker_pb2.Gap
    message: TappedMessage
    def __init__(self, message: _Optional[_Union[TappedMessage, _Mapping]] = ..., gap: _Optional[_Union[_broker_pb2.Gap, _Mapping]] = ...) -> None: ...

class TappedMessage(_message.Message):
    __slots__ = ["message", "sequence"]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    message: _broker_pb2.Envelope
    sequence: int
    def __init__(self, sequence: _Optional[int] = ..., message: _Optional[_Union[_broker_pb2.Envelope, _Mapping]] = ...) -> None: ...

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
