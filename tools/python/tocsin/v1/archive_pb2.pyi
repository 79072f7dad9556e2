from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AuditCheckpoint(_message.Message):
    __slots__ = ["archive_id", "hash", "public_key", "sequence", "signature", "time"]
    ARCHIVE_ID_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    archive_id: bytes
    hash: bytes
    public_key: bytes
    sequence: int
    signature: bytes
    time: int
    def __init__(self, archive_id: _Optional[bytes] = ..., sequence: _Optional[int] = ..., hash: _Optional[bytes] = ..., time: _Optional[int] = ..., public_key: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class ErasePersonalDataRequest(_message.Message):
    __slots__ = ["actor", "reason", "request_id", "subject"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    actor: str
    reason: str
    request_id: str
    subject: str
    def __init__(self, request_id: _Optional[str] = ..., subject: _Optional[str] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ErasePersonalDataResponse(_message.Message):
    __slots__ = ["pieces", "remainders"]
    PIECES_FIELD_NUMBER: _ClassVar[int]
    REMAINDERS_FIELD_NUMBER: _ClassVar[int]
    pieces: int
    remainders: _containers.RepeatedCompositeFieldContainer[Remainder]
    def __init__(self, pieces: _Optional[int] = ..., remainders: _Optional[_Iterable[_Union[Remainder, _Mapping]]] = ...) -> None: ...

class ExportPersonalDataRequest(_message.Message):
    __slots__ = ["subject"]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    subject: str
    def __init__(self, subject: _Optional[str] = ...) -> None: ...

class ExportPersonalDataResponse(_message.Message):
    __slots__ = ["field", "incident", "place", "time", "value"]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    field: str
    incident: int
    place: str
    time: int
    value: str
    def __init__(self, place: _Optional[str] = ..., incident: _Optional[int] = ..., field: _Optional[str] = ..., value: _Optional[str] = ..., time: _Optional[int] = ...) -> None: ...

class GetCheckpointRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class GetCheckpointResponse(_message.Message):
    __slots__ = ["checkpoint"]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: AuditCheckpoint
    def __init__(self, checkpoint: _Optional[_Union[AuditCheckpoint, _Mapping]] = ...) -> None: ...

class Remainder(_message.Message):
    __slots__ = ["place", "until", "what"]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    place: str
    until: int
    what: str
    def __init__(self, place: _Optional[str] = ..., what: _Optional[str] = ..., until: _Optional[int] = ...) -> None: ...
