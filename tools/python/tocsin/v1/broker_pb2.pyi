from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
SEVERITY_CRITICAL: Severity
SEVERITY_INFO: Severity
SEVERITY_MAJOR: Severity
SEVERITY_MINOR: Severity
SEVERITY_UNSPECIFIED: Severity

class Accepted(_message.Message):
    __slots__ = ["duplicates", "first_sequence", "stored"]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    duplicates: int
    first_sequence: int
    stored: int
    def __init__(self, first_sequence: _Optional[int] = ..., stored: _Optional[int] = ..., duplicates: _Optional[int] = ...) -> None: ...

class CallHead(_message.Message):
    __slots__ = ["caller", "metadata", "method", "timeout_ms"]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    caller: str
    metadata: _containers.RepeatedCompositeFieldContainer[MetadataEntry]
    method: str
    timeout_ms: int
    def __init__(self, method: _Optional[str] = ..., timeout_ms: _Optional[int] = ..., metadata: _Optional[_Iterable[_Union[MetadataEntry, _Mapping]]] = ..., caller: _Optional[str] = ...) -> None: ...

class CallStart(_message.Message):
    __slots__ = ["metadata"]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    metadata: _containers.RepeatedCompositeFieldContainer[MetadataEntry]
    def __init__(self, metadata: _Optional[_Iterable[_Union[MetadataEntry, _Mapping]]] = ...) -> None: ...

class CallTail(_message.Message):
    __slots__ = ["code", "initial", "message", "metadata"]
    CODE_FIELD_NUMBER: _ClassVar[int]
    INITIAL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    code: int
    initial: _containers.RepeatedCompositeFieldContainer[MetadataEntry]
    message: str
    metadata: _containers.RepeatedCompositeFieldContainer[MetadataEntry]
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., metadata: _Optional[_Iterable[_Union[MetadataEntry, _Mapping]]] = ..., initial: _Optional[_Iterable[_Union[MetadataEntry, _Mapping]]] = ...) -> None: ...

class CancelDelayedRequest(_message.Message):
    __slots__ = ["ids"]
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class CancelDelayedResponse(_message.Message):
    __slots__ = ["cancelled"]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    cancelled: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, cancelled: _Optional[_Iterable[bytes]] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ["attempts", "envelope", "history", "pool", "reason", "sequence", "time"]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    attempts: int
    envelope: bytes
    history: _containers.RepeatedCompositeFieldContainer[FailedAttempt]
    pool: str
    reason: str
    sequence: int
    time: int
    def __init__(self, pool: _Optional[str] = ..., sequence: _Optional[int] = ..., attempts: _Optional[int] = ..., reason: _Optional[str] = ..., time: _Optional[int] = ..., envelope: _Optional[bytes] = ..., history: _Optional[_Iterable[_Union[FailedAttempt, _Mapping]]] = ...) -> None: ...

class DiscardDeadLettersRequest(_message.Message):
    __slots__ = ["pool", "sequences"]
    POOL_FIELD_NUMBER: _ClassVar[int]
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    pool: str
    sequences: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, pool: _Optional[str] = ..., sequences: _Optional[_Iterable[int]] = ...) -> None: ...

class DiscardDeadLettersResponse(_message.Message):
    __slots__ = ["discarded"]
    DISCARDED_FIELD_NUMBER: _ClassVar[int]
    discarded: int
    def __init__(self, discarded: _Optional[int] = ...) -> None: ...

class Envelope(_message.Message):
    __slots__ = ["headers", "id", "key", "not_before", "payload", "published_at", "severity", "subject", "type"]
    class HeadersEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_AT_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    headers: _containers.ScalarMap[str, str]
    id: bytes
    key: str
    not_before: int
    payload: bytes
    published_at: int
    severity: Severity
    subject: str
    type: str
    def __init__(self, id: _Optional[bytes] = ..., subject: _Optional[str] = ..., severity: _Optional[_Union[Severity, str]] = ..., key: _Optional[str] = ..., not_before: _Optional[int] = ..., type: _Optional[str] = ..., published_at: _Optional[int] = ..., headers: _Optional[_Mapping[str, str]] = ..., payload: _Optional[bytes] = ...) -> None: ...

class FailedAttempt(_message.Message):
    __slots__ = ["attempt", "reason", "time"]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    reason: str
    time: int
    def __init__(self, attempt: _Optional[int] = ..., time: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Gap(_message.Message):
    __slots__ = ["first", "last", "reason"]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    reason: str
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ["accepted", "calls_in_flight", "dropped_answers", "duplicates", "epoch", "first_sequence", "hub", "journal_bytes", "last_sequence", "peers", "peers_omitted", "pools", "refused", "security", "syncs", "taps", "uptime_ms"]
    class RefusedEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    CALLS_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    DROPPED_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    PEERS_OMITTED_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    SECURITY_FIELD_NUMBER: _ClassVar[int]
    SYNCS_FIELD_NUMBER: _ClassVar[int]
    TAPS_FIELD_NUMBER: _ClassVar[int]
    UPTIME_MS_FIELD_NUMBER: _ClassVar[int]
    accepted: int
    calls_in_flight: int
    dropped_answers: int
    duplicates: int
    epoch: int
    first_sequence: int
    hub: str
    journal_bytes: int
    last_sequence: int
    peers: _containers.RepeatedCompositeFieldContainer[PeerStatus]
    peers_omitted: int
    pools: _containers.RepeatedCompositeFieldContainer[PoolStatus]
    refused: _containers.ScalarMap[str, int]
    security: SecurityStatus
    syncs: SyncStatus
    taps: int
    uptime_ms: int
    def __init__(self, hub: _Optional[str] = ..., epoch: _Optional[int] = ..., uptime_ms: _Optional[int] = ..., first_sequence: _Optional[int] = ..., last_sequence: _Optional[int] = ..., journal_bytes: _Optional[int] = ..., accepted: _Optional[int] = ..., pools: _Optional[_Iterable[_Union[PoolStatus, _Mapping]]] = ..., peers: _Optional[_Iterable[_Union[PeerStatus, _Mapping]]] = ..., refused: _Optional[_Mapping[str, int]] = ..., duplicates: _Optional[int] = ..., calls_in_flight: _Optional[int] = ..., syncs: _Optional[_Union[SyncStatus, _Mapping]] = ..., taps: _Optional[int] = ..., dropped_answers: _Optional[int] = ..., peers_omitted: _Optional[int] = ..., security: _Optional[_Union[SecurityStatus, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ["heartbeat_ms", "name", "role", "software"]
    HEARTBEAT_MS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    heartbeat_ms: int
    name: str
    role: str
    software: str
    def __init__(self, name: _Optional[str] = ..., role: _Optional[str] = ..., software: _Optional[str] = ..., heartbeat_ms: _Optional[int] = ...) -> None: ...

class ListDeadLettersRequest(_message.Message):
    __slots__ = ["from_sequence", "limit", "pool"]
    FROM_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    from_sequence: int
    limit: int
    pool: str
    def __init__(self, pool: _Optional[str] = ..., limit: _Optional[int] = ..., from_sequence: _Optional[int] = ...) -> None: ...

class ListDeadLettersResponse(_message.Message):
    __slots__ = ["letters"]
    LETTERS_FIELD_NUMBER: _ClassVar[int]
    letters: _containers.RepeatedCompositeFieldContainer[DeadLetter]
    def __init__(self, letters: _Optional[_Iterable[_Union[DeadLetter, _Mapping]]] = ...) -> None: ...

class MetadataEntry(_message.Message):
    __slots__ = ["key", "value"]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: bytes
    def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...

class PeerStatus(_message.Message):
    __slots__ = ["connected_ms", "in_flight", "key", "name", "pools", "role", "services", "silent_ms", "software"]
    CONNECTED_MS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    SILENT_MS_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    connected_ms: int
    in_flight: int
    key: str
    name: str
    pools: _containers.RepeatedScalarFieldContainer[str]
    role: str
    services: _containers.RepeatedScalarFieldContainer[str]
    silent_ms: int
    software: str
    def __init__(self, name: _Optional[str] = ..., role: _Optional[str] = ..., software: _Optional[str] = ..., connected_ms: _Optional[int] = ..., silent_ms: _Optional[int] = ..., pools: _Optional[_Iterable[str]] = ..., services: _Optional[_Iterable[str]] = ..., in_flight: _Optional[int] = ..., key: _Optional[str] = ...) -> None: ...

class PoolSpec(_message.Message):
    __slots__ = ["backoff_ms", "exclusive", "filters", "from_start", "max_attempts", "name", "visibility_ms"]
    BACKOFF_MS_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    FROM_START_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_MS_FIELD_NUMBER: _ClassVar[int]
    backoff_ms: int
    exclusive: bool
    filters: _containers.RepeatedScalarFieldContainer[str]
    from_start: bool
    max_attempts: int
    name: str
    visibility_ms: int
    def __init__(self, name: _Optional[str] = ..., filters: _Optional[_Iterable[str]] = ..., visibility_ms: _Optional[int] = ..., max_attempts: _Optional[int] = ..., from_start: bool = ..., backoff_ms: _Optional[int] = ..., exclusive: bool = ...) -> None: ...

class PoolStatus(_message.Message):
    __slots__ = ["acked", "cancelled", "dead", "dead_lettered", "delayed", "discarded", "filters", "in_flight", "matched", "name", "oldest_ms", "queued", "queued_by_severity", "redelivered", "revived", "stale_settlements", "workers"]
    class QueuedBySeverityEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ACKED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    DEAD_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTERED_FIELD_NUMBER: _ClassVar[int]
    DELAYED_FIELD_NUMBER: _ClassVar[int]
    DISCARDED_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OLDEST_MS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_BY_SEVERITY_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    REDELIVERED_FIELD_NUMBER: _ClassVar[int]
    REVIVED_FIELD_NUMBER: _ClassVar[int]
    STALE_SETTLEMENTS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    acked: int
    cancelled: int
    dead: int
    dead_lettered: int
    delayed: int
    discarded: int
    filters: _containers.RepeatedScalarFieldContainer[str]
    in_flight: int
    matched: int
    name: str
    oldest_ms: int
    queued: int
    queued_by_severity: _containers.ScalarMap[str, int]
    redelivered: int
    revived: int
    stale_settlements: int
    workers: int
    def __init__(self, name: _Optional[str] = ..., filters: _Optional[_Iterable[str]] = ..., queued: _Optional[int] = ..., delayed: _Optional[int] = ..., in_flight: _Optional[int] = ..., matched: _Optional[int] = ..., acked: _Optional[int] = ..., dead: _Optional[int] = ..., redelivered: _Optional[int] = ..., workers: _Optional[int] = ..., oldest_ms: _Optional[int] = ..., queued_by_severity: _Optional[_Mapping[str, int]] = ..., cancelled: _Optional[int] = ..., discarded: _Optional[int] = ..., stale_settlements: _Optional[int] = ..., dead_lettered: _Optional[int] = ..., revived: _Optional[int] = ...) -> None: ...

class RetryDeadLettersRequest(_message.Message):
    __slots__ = ["pool", "sequences"]
    POOL_FIELD_NUMBER: _ClassVar[int]
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    pool: str
    sequences: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, pool: _Optional[str] = ..., sequences: _Optional[_Iterable[int]] = ...) -> None: ...

class RetryDeadLettersResponse(_message.Message):
    __slots__ = ["retried"]
    RETRIED_FIELD_NUMBER: _ClassVar[int]
    retried: int
    def __init__(self, retried: _Optional[int] = ...) -> None: ...

class SecurityStatus(_message.Message):
    __slots__ = ["admitted", "cut", "denied", "keys", "rejected"]
    class DeniedEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class RejectedEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ADMITTED_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    DENIED_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    admitted: int
    cut: int
    denied: _containers.ScalarMap[str, int]
    keys: int
    rejected: _containers.ScalarMap[str, int]
    def __init__(self, keys: _Optional[int] = ..., admitted: _Optional[int] = ..., rejected: _Optional[_Mapping[str, int]] = ..., cut: _Optional[int] = ..., denied: _Optional[_Mapping[str, int]] = ...) -> None: ...

class Serve(_message.Message):
    __slots__ = ["exclusive", "service", "withdraw"]
    EXCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    WITHDRAW_FIELD_NUMBER: _ClassVar[int]
    exclusive: bool
    service: str
    withdraw: bool
    def __init__(self, service: _Optional[str] = ..., exclusive: bool = ..., withdraw: bool = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ["code", "index", "message", "reason", "retry_after_ms"]
    CODE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    code: int
    index: int
    message: str
    reason: str
    retry_after_ms: int
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., index: _Optional[int] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class Subscribe(_message.Message):
    __slots__ = ["credit", "pool"]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    credit: int
    pool: str
    def __init__(self, pool: _Optional[str] = ..., credit: _Optional[int] = ...) -> None: ...

class SyncBucket(_message.Message):
    __slots__ = ["count", "microseconds"]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MICROSECONDS_FIELD_NUMBER: _ClassVar[int]
    count: int
    microseconds: int
    def __init__(self, microseconds: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class SyncStatus(_message.Message):
    __slots__ = ["buckets", "count", "nanoseconds"]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    NANOSECONDS_FIELD_NUMBER: _ClassVar[int]
    buckets: _containers.RepeatedCompositeFieldContainer[SyncBucket]
    count: int
    nanoseconds: int
    def __init__(self, count: _Optional[int] = ..., nanoseconds: _Optional[int] = ..., buckets: _Optional[_Iterable[_Union[SyncBucket, _Mapping]]] = ...) -> None: ...

class Tap(_message.Message):
    __slots__ = ["credit", "filters", "sequence", "time"]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    credit: int
    filters: _containers.RepeatedScalarFieldContainer[str]
    sequence: int
    time: int
    def __init__(self, filters: _Optional[_Iterable[str]] = ..., sequence: _Optional[int] = ..., time: _Optional[int] = ..., credit: _Optional[int] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ["epoch", "heartbeat_ms", "hub", "hub_id", "max_batch", "max_body_bytes", "max_message_bytes"]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_MS_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    HUB_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_FIELD_NUMBER: _ClassVar[int]
    MAX_BODY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    heartbeat_ms: int
    hub: str
    hub_id: bytes
    max_batch: int
    max_body_bytes: int
    max_message_bytes: int
    def __init__(self, hub: _Optional[str] = ..., hub_id: _Optional[bytes] = ..., epoch: _Optional[int] = ..., heartbeat_ms: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_body_bytes: _Optional[int] = ..., max_batch: _Optional[int] = ...) -> None: ...

class Severity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
