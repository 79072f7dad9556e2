from tocsin.v1 import broker_pb2 as _broker_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
DISPOSITION_ALERT: Disposition
DISPOSITION_SUPPRESSED: Disposition
DISPOSITION_UNSPECIFIED: Disposition
DRILL_FILTER_EXCLUDE: DrillFilter
DRILL_FILTER_ONLY: DrillFilter
DRILL_FILTER_UNSPECIFIED: DrillFilter
EVENT_FATE_HANDLED: EventFate
EVENT_FATE_SUPPRESSED: EventFate
EVENT_FATE_UNSPECIFIED: EventFate
EVENT_KIND_RESOLVE: EventKind
EVENT_KIND_TRIGGER: EventKind
EVENT_KIND_UNSPECIFIED: EventKind
INCIDENT_STATE_ACKNOWLEDGED: IncidentState
INCIDENT_STATE_CLOSED: IncidentState
INCIDENT_STATE_DETECTED: IncidentState
INCIDENT_STATE_DISMISSED: IncidentState
INCIDENT_STATE_INVESTIGATING: IncidentState
INCIDENT_STATE_MERGED: IncidentState
INCIDENT_STATE_MITIGATED: IncidentState
INCIDENT_STATE_RESOLVED: IncidentState
INCIDENT_STATE_TRIAGED: IncidentState
INCIDENT_STATE_UNSPECIFIED: IncidentState
LEVEL_HIGH: Level
LEVEL_LOW: Level
LEVEL_MEDIUM: Level
LEVEL_UNSPECIFIED: Level
PRIORITY_P1: Priority
PRIORITY_P2: Priority
PRIORITY_P3: Priority
PRIORITY_P4: Priority
PRIORITY_P5: Priority
PRIORITY_UNSPECIFIED: Priority
TRAFFIC_LIGHT_AMBER: TrafficLight
TRAFFIC_LIGHT_AMBER_STRICT: TrafficLight
TRAFFIC_LIGHT_CLEAR: TrafficLight
TRAFFIC_LIGHT_GREEN: TrafficLight
TRAFFIC_LIGHT_RED: TrafficLight
TRAFFIC_LIGHT_UNSPECIFIED: TrafficLight

class AcknowledgeIncidentRequest(_message.Message):
    __slots__ = ["actor", "number", "request_id"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    actor: str
    number: int
    request_id: str
    def __init__(self, request_id: _Optional[str] = ..., number: _Optional[int] = ..., actor: _Optional[str] = ...) -> None: ...

class AcknowledgeIncidentResponse(_message.Message):
    __slots__ = ["entry", "incident"]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    entry: TimelineEntry
    incident: Incident
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ...) -> None: ...

class Alert(_message.Message):
    __slots__ = ["episode", "events", "fingerprint", "first_at", "held_by", "held_until", "incident", "labels", "last_at", "rule", "service", "severity", "source", "state", "summary"]
    class LabelsEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    FIRST_AT_FIELD_NUMBER: _ClassVar[int]
    HELD_BY_FIELD_NUMBER: _ClassVar[int]
    HELD_UNTIL_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    LAST_AT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    episode: int
    events: int
    fingerprint: str
    first_at: int
    held_by: str
    held_until: int
    incident: int
    labels: _containers.ScalarMap[str, str]
    last_at: int
    rule: str
    service: str
    severity: _broker_pb2.Severity
    source: str
    state: str
    summary: str
    def __init__(self, fingerprint: _Optional[str] = ..., state: _Optional[str] = ..., service: _Optional[str] = ..., summary: _Optional[str] = ..., severity: _Optional[_Union[_broker_pb2.Severity, str]] = ..., first_at: _Optional[int] = ..., last_at: _Optional[int] = ..., events: _Optional[int] = ..., episode: _Optional[int] = ..., rule: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., incident: _Optional[int] = ..., source: _Optional[str] = ..., held_by: _Optional[str] = ..., held_until: _Optional[int] = ...) -> None: ...

class AlertExplanation(_message.Message):
    __slots__ = ["alert", "records"]
    ALERT_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    alert: Alert
    records: _containers.RepeatedCompositeFieldContainer[DecisionRecord]
    def __init__(self, alert: _Optional[_Union[Alert, _Mapping]] = ..., records: _Optional[_Iterable[_Union[DecisionRecord, _Mapping]]] = ...) -> None: ...

class AlertUpdate(_message.Message):
    __slots__ = ["category", "correlation_key", "decisions", "disposition", "drill", "events", "fingerprint", "id", "impact", "indicators", "kind", "labels", "policy", "priority", "rule", "runbook", "service", "severity", "source", "summary", "triaged_at", "urgency"]
    class LabelsEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_KEY_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    DRILL_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    IMPACT_FIELD_NUMBER: _ClassVar[int]
    INDICATORS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    RUNBOOK_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    TRIAGED_AT_FIELD_NUMBER: _ClassVar[int]
    URGENCY_FIELD_NUMBER: _ClassVar[int]
    category: str
    correlation_key: str
    decisions: _containers.RepeatedCompositeFieldContainer[Decision]
    disposition: Disposition
    drill: bool
    events: _containers.RepeatedCompositeFieldContainer[Event]
    fingerprint: str
    id: str
    impact: Level
    indicators: _containers.RepeatedCompositeFieldContainer[IndicatorMatch]
    kind: EventKind
    labels: _containers.ScalarMap[str, str]
    policy: str
    priority: Priority
    rule: str
    runbook: str
    service: str
    severity: _broker_pb2.Severity
    source: str
    summary: str
    triaged_at: int
    urgency: Level
    def __init__(self, id: _Optional[str] = ..., fingerprint: _Optional[str] = ..., kind: _Optional[_Union[EventKind, str]] = ..., disposition: _Optional[_Union[Disposition, str]] = ..., service: _Optional[str] = ..., summary: _Optional[str] = ..., severity: _Optional[_Union[_broker_pb2.Severity, str]] = ..., impact: _Optional[_Union[Level, str]] = ..., urgency: _Optional[_Union[Level, str]] = ..., priority: _Optional[_Union[Priority, str]] = ..., rule: _Optional[str] = ..., events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., labels: _Optional[_Mapping[str, str]] = ..., runbook: _Optional[str] = ..., triaged_at: _Optional[int] = ..., drill: bool = ..., source: _Optional[str] = ..., policy: _Optional[str] = ..., decisions: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ..., correlation_key: _Optional[str] = ..., indicators: _Optional[_Iterable[_Union[IndicatorMatch, _Mapping]]] = ..., category: _Optional[str] = ...) -> None: ...

class AnnotateIncidentRequest(_message.Message):
    __slots__ = ["actor", "note", "number", "request_id"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    actor: str
    note: str
    number: int
    request_id: str
    def __init__(self, request_id: _Optional[str] = ..., number: _Optional[int] = ..., actor: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class AnnotateIncidentResponse(_message.Message):
    __slots__ = ["entry", "incident"]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    entry: TimelineEntry
    incident: Incident
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ...) -> None: ...

class AssignIncidentRequest(_message.Message):
    __slots__ = ["actor", "assignee", "number", "request_id"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    actor: str
    assignee: str
    number: int
    request_id: str
    def __init__(self, request_id: _Optional[str] = ..., number: _Optional[int] = ..., actor: _Optional[str] = ..., assignee: _Optional[str] = ...) -> None: ...

class AssignIncidentResponse(_message.Message):
    __slots__ = ["entry", "incident"]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    entry: TimelineEntry
    incident: Incident
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ...) -> None: ...

class ChangeIncidentSeverityRequest(_message.Message):
    __slots__ = ["actor", "number", "priority", "reason", "request_id", "severity"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    actor: str
    number: int
    priority: Priority
    reason: str
    request_id: str
    severity: _broker_pb2.Severity
    def __init__(self, request_id: _Optional[str] = ..., number: _Optional[int] = ..., actor: _Optional[str] = ..., severity: _Optional[_Union[_broker_pb2.Severity, str]] = ..., priority: _Optional[_Union[Priority, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class ChangeIncidentSeverityResponse(_message.Message):
    __slots__ = ["entry", "incident"]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    entry: TimelineEntry
    incident: Incident
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ...) -> None: ...

class ChangeRecord(_message.Message):
    __slots__ = ["author", "changed_at", "id", "kind", "service", "summary", "url"]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    author: str
    changed_at: int
    id: str
    kind: str
    service: str
    summary: str
    url: str
    def __init__(self, id: _Optional[str] = ..., summary: _Optional[str] = ..., service: _Optional[str] = ..., kind: _Optional[str] = ..., author: _Optional[str] = ..., changed_at: _Optional[int] = ..., url: _Optional[str] = ...) -> None: ...

class CloseIncidentRequest(_message.Message):
    __slots__ = ["actor", "number", "reason", "request_id", "waive_postmortem"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WAIVE_POSTMORTEM_FIELD_NUMBER: _ClassVar[int]
    actor: str
    number: int
    reason: str
    request_id: str
    waive_postmortem: bool
    def __init__(self, request_id: _Optional[str] = ..., number: _Optional[int] = ..., actor: _Optional[str] = ..., waive_postmortem: bool = ..., reason: _Optional[str] = ...) -> None: ...

class CloseIncidentResponse(_message.Message):
    __slots__ = ["entry", "incident"]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    entry: TimelineEntry
    incident: Incident
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ["inputs", "outcome", "rule", "stage"]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    inputs: str
    outcome: str
    rule: str
    stage: str
    def __init__(self, stage: _Optional[str] = ..., rule: _Optional[str] = ..., inputs: _Optional[str] = ..., outcome: _Optional[str] = ...) -> None: ...

class DecisionRecord(_message.Message):
    __slots__ = ["actor", "decisions", "event_id", "incident", "policy", "time"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    actor: str
    decisions: _containers.RepeatedCompositeFieldContainer[Decision]
    event_id: str
    incident: int
    policy: str
    time: int
    def __init__(self, time: _Optional[int] = ..., actor: _Optional[str] = ..., policy: _Optional[str] = ..., event_id: _Optional[str] = ..., incident: _Optional[int] = ..., decisions: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ...) -> None: ...

class DismissIncidentRequest(_message.Message):
    __slots__ = ["actor", "number", "reason", "request_id"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    actor: str
    number: int
    reason: str
    request_id: str
    def __init__(self, request_id: _Optional[str] = ..., number: _Optional[int] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class DismissIncidentResponse(_message.Message):
    __slots__ = ["entry", "incident"]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    entry: TimelineEntry
    incident: Incident
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ["count", "dedup_key", "details", "drill", "id", "kind", "labels", "observed_at", "service", "severity_hint", "source", "summary"]
    class DetailsEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COUNT_FIELD_NUMBER: _ClassVar[int]
    DEDUP_KEY_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    DRILL_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_HINT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    count: int
    dedup_key: str
    details: _containers.ScalarMap[str, str]
    drill: bool
    id: str
    kind: EventKind
    labels: _containers.ScalarMap[str, str]
    observed_at: int
    service: str
    severity_hint: str
    source: str
    summary: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[EventKind, str]] = ..., source: _Optional[str] = ..., service: _Optional[str] = ..., summary: _Optional[str] = ..., severity_hint: _Optional[str] = ..., dedup_key: _Optional[str] = ..., observed_at: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., details: _Optional[_Mapping[str, str]] = ..., drill: bool = ..., count: _Optional[int] = ...) -> None: ...

class ExplainDecisionsRequest(_message.Message):
    __slots__ = ["event_id", "fingerprint", "incident"]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    fingerprint: str
    incident: int
    def __init__(self, incident: _Optional[int] = ..., fingerprint: _Optional[str] = ..., event_id: _Optional[str] = ...) -> None: ...

class ExplainDecisionsResponse(_message.Message):
    __slots__ = ["alerts", "incident"]
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    alerts: _containers.RepeatedCompositeFieldContainer[AlertExplanation]
    incident: Incident
    def __init__(self, alerts: _Optional[_Iterable[_Union[AlertExplanation, _Mapping]]] = ..., incident: _Optional[_Union[Incident, _Mapping]] = ...) -> None: ...

class FindSimilarIncidentsRequest(_message.Message):
    __slots__ = ["limit", "number", "text"]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    number: int
    text: str
    def __init__(self, number: _Optional[int] = ..., text: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class FindSimilarIncidentsResponse(_message.Message):
    __slots__ = ["incidents", "known", "runbooks"]
    INCIDENTS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    RUNBOOKS_FIELD_NUMBER: _ClassVar[int]
    incidents: _containers.RepeatedCompositeFieldContainer[SimilarIncident]
    known: int
    runbooks: _containers.RepeatedCompositeFieldContainer[RunbookSuggestion]
    def __init__(self, incidents: _Optional[_Iterable[_Union[SimilarIncident, _Mapping]]] = ..., runbooks: _Optional[_Iterable[_Union[RunbookSuggestion, _Mapping]]] = ..., known: _Optional[int] = ...) -> None: ...

class GetAccountingRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class GetAccountingResponse(_message.Message):
    __slots__ = ["applied", "handled", "outbox", "position", "redelivered", "suppressed"]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    HANDLED_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REDELIVERED_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSED_FIELD_NUMBER: _ClassVar[int]
    applied: int
    handled: int
    outbox: int
    position: int
    redelivered: int
    suppressed: int
    def __init__(self, handled: _Optional[int] = ..., suppressed: _Optional[int] = ..., applied: _Optional[int] = ..., redelivered: _Optional[int] = ..., position: _Optional[int] = ..., outbox: _Optional[int] = ...) -> None: ...

class GetIncidentRequest(_message.Message):
    __slots__ = ["number"]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class GetIncidentResponse(_message.Message):
    __slots__ = ["alerts", "changes", "incident", "timeline"]
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    alerts: _containers.RepeatedCompositeFieldContainer[Alert]
    changes: _containers.RepeatedCompositeFieldContainer[ChangeRecord]
    incident: Incident
    timeline: _containers.RepeatedCompositeFieldContainer[TimelineEntry]
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., alerts: _Optional[_Iterable[_Union[Alert, _Mapping]]] = ..., timeline: _Optional[_Iterable[_Union[TimelineEntry, _Mapping]]] = ..., changes: _Optional[_Iterable[_Union[ChangeRecord, _Mapping]]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ["ended", "failed", "grace_ms", "interval_ms", "name", "note", "observed_at", "service", "severity_hint"]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_HINT_FIELD_NUMBER: _ClassVar[int]
    ended: bool
    failed: bool
    grace_ms: int
    interval_ms: int
    name: str
    note: str
    observed_at: int
    service: str
    severity_hint: str
    def __init__(self, name: _Optional[str] = ..., interval_ms: _Optional[int] = ..., grace_ms: _Optional[int] = ..., observed_at: _Optional[int] = ..., service: _Optional[str] = ..., severity_hint: _Optional[str] = ..., failed: bool = ..., note: _Optional[str] = ..., ended: bool = ...) -> None: ...

class Incident(_message.Message):
    __slots__ = ["acknowledged_at", "alerts_firing", "alerts_total", "assignee", "cause", "closed_at", "detected_at", "drill", "events", "merged_into", "mitigated_at", "need_to_know", "number", "pages", "priority", "reopened", "resolved_at", "routes", "runbook", "services", "severity", "split_from", "state", "title", "traffic_light", "triaged_at", "updated_at", "version"]
    ACKNOWLEDGED_AT_FIELD_NUMBER: _ClassVar[int]
    ALERTS_FIRING_FIELD_NUMBER: _ClassVar[int]
    ALERTS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    CLOSED_AT_FIELD_NUMBER: _ClassVar[int]
    DETECTED_AT_FIELD_NUMBER: _ClassVar[int]
    DRILL_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    MERGED_INTO_FIELD_NUMBER: _ClassVar[int]
    MITIGATED_AT_FIELD_NUMBER: _ClassVar[int]
    NEED_TO_KNOW_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PAGES_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    REOPENED_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_AT_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    RUNBOOK_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FROM_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_LIGHT_FIELD_NUMBER: _ClassVar[int]
    TRIAGED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    acknowledged_at: int
    alerts_firing: int
    alerts_total: int
    assignee: str
    cause: str
    closed_at: int
    detected_at: int
    drill: bool
    events: int
    merged_into: int
    mitigated_at: int
    need_to_know: _containers.RepeatedScalarFieldContainer[str]
    number: int
    pages: _containers.RepeatedScalarFieldContainer[str]
    priority: Priority
    reopened: int
    resolved_at: int
    routes: _containers.RepeatedScalarFieldContainer[str]
    runbook: str
    services: _containers.RepeatedScalarFieldContainer[str]
    severity: _broker_pb2.Severity
    split_from: int
    state: IncidentState
    title: str
    traffic_light: TrafficLight
    triaged_at: int
    updated_at: int
    version: int
    def __init__(self, number: _Optional[int] = ..., state: _Optional[_Union[IncidentState, str]] = ..., title: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ..., severity: _Optional[_Union[_broker_pb2.Severity, str]] = ..., priority: _Optional[_Union[Priority, str]] = ..., assignee: _Optional[str] = ..., detected_at: _Optional[int] = ..., triaged_at: _Optional[int] = ..., acknowledged_at: _Optional[int] = ..., mitigated_at: _Optional[int] = ..., resolved_at: _Optional[int] = ..., closed_at: _Optional[int] = ..., alerts_firing: _Optional[int] = ..., alerts_total: _Optional[int] = ..., events: _Optional[int] = ..., cause: _Optional[str] = ..., runbook: _Optional[str] = ..., reopened: _Optional[int] = ..., drill: bool = ..., updated_at: _Optional[int] = ..., version: _Optional[int] = ..., merged_into: _Optional[int] = ..., split_from: _Optional[int] = ..., traffic_light: _Optional[_Union[TrafficLight, str]] = ..., need_to_know: _Optional[_Iterable[str]] = ..., routes: _Optional[_Iterable[str]] = ..., pages: _Optional[_Iterable[str]] = ...) -> None: ...

class IncidentChange(_message.Message):
    __slots__ = ["entry", "id", "incident", "labels", "verb"]
    class LabelsEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    VERB_FIELD_NUMBER: _ClassVar[int]
    entry: TimelineEntry
    id: str
    incident: Incident
    labels: _containers.ScalarMap[str, str]
    verb: str
    def __init__(self, id: _Optional[str] = ..., verb: _Optional[str] = ..., incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class IndicatorMatch(_message.Message):
    __slots__ = ["confidence", "indicator", "labels", "place", "source", "type", "value"]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    INDICATOR_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    confidence: int
    indicator: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    place: str
    source: str
    type: str
    value: str
    def __init__(self, indicator: _Optional[str] = ..., type: _Optional[str] = ..., value: _Optional[str] = ..., place: _Optional[str] = ..., source: _Optional[str] = ..., confidence: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ...) -> None: ...

class InvestigateIncidentRequest(_message.Message):
    __slots__ = ["actor", "number", "request_id"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    actor: str
    number: int
    request_id: str
    def __init__(self, request_id: _Optional[str] = ..., number: _Optional[int] = ..., actor: _Optional[str] = ...) -> None: ...

class InvestigateIncidentResponse(_message.Message):
    __slots__ = ["entry", "incident"]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    entry: TimelineEntry
    incident: Incident
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ...) -> None: ...

class LabelMatcher(_message.Message):
    __slots__ = ["name", "negated", "regex", "value"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NEGATED_FIELD_NUMBER: _ClassVar[int]
    REGEX_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    negated: bool
    regex: bool
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., regex: bool = ..., negated: bool = ...) -> None: ...

class ListAlertsRequest(_message.Message):
    __slots__ = ["limit", "matchers"]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    MATCHERS_FIELD_NUMBER: _ClassVar[int]
    limit: int
    matchers: _containers.RepeatedCompositeFieldContainer[LabelMatcher]
    def __init__(self, matchers: _Optional[_Iterable[_Union[LabelMatcher, _Mapping]]] = ..., limit: _Optional[int] = ...) -> None: ...

class ListAlertsResponse(_message.Message):
    __slots__ = ["alerts", "services", "total"]
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    alerts: _containers.RepeatedCompositeFieldContainer[Alert]
    services: int
    total: int
    def __init__(self, alerts: _Optional[_Iterable[_Union[Alert, _Mapping]]] = ..., total: _Optional[int] = ..., services: _Optional[int] = ...) -> None: ...

class ListChangesRequest(_message.Message):
    __slots__ = ["limit", "services", "since"]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    limit: int
    services: _containers.RepeatedScalarFieldContainer[str]
    since: int
    def __init__(self, services: _Optional[_Iterable[str]] = ..., since: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ListChangesResponse(_message.Message):
    __slots__ = ["changes"]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[ChangeRecord]
    def __init__(self, changes: _Optional[_Iterable[_Union[ChangeRecord, _Mapping]]] = ...) -> None: ...

class ListIncidentsRequest(_message.Message):
    __slots__ = ["assignee", "drills", "minimum_severity", "page_size", "page_token", "services", "since", "states", "title_contains", "unassigned", "until"]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    DRILLS_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_SEVERITY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    TITLE_CONTAINS_FIELD_NUMBER: _ClassVar[int]
    UNASSIGNED_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    assignee: str
    drills: DrillFilter
    minimum_severity: _broker_pb2.Severity
    page_size: int
    page_token: str
    services: _containers.RepeatedScalarFieldContainer[str]
    since: int
    states: _containers.RepeatedScalarFieldContainer[IncidentState]
    title_contains: str
    unassigned: bool
    until: int
    def __init__(self, states: _Optional[_Iterable[_Union[IncidentState, str]]] = ..., services: _Optional[_Iterable[str]] = ..., minimum_severity: _Optional[_Union[_broker_pb2.Severity, str]] = ..., assignee: _Optional[str] = ..., unassigned: bool = ..., title_contains: _Optional[str] = ..., since: _Optional[int] = ..., until: _Optional[int] = ..., drills: _Optional[_Union[DrillFilter, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListIncidentsResponse(_message.Message):
    __slots__ = ["incidents", "next_page_token", "total"]
    INCIDENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    incidents: _containers.RepeatedCompositeFieldContainer[Incident]
    next_page_token: str
    total: int
    def __init__(self, incidents: _Optional[_Iterable[_Union[Incident, _Mapping]]] = ..., total: _Optional[int] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListSilencesRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ListSilencesResponse(_message.Message):
    __slots__ = ["silences"]
    SILENCES_FIELD_NUMBER: _ClassVar[int]
    silences: _containers.RepeatedCompositeFieldContainer[Silence]
    def __init__(self, silences: _Optional[_Iterable[_Union[Silence, _Mapping]]] = ...) -> None: ...

class MarkIncidentRequest(_message.Message):
    __slots__ = ["actor", "number", "reason", "request_id", "traffic_light"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_LIGHT_FIELD_NUMBER: _ClassVar[int]
    actor: str
    number: int
    reason: str
    request_id: str
    traffic_light: TrafficLight
    def __init__(self, request_id: _Optional[str] = ..., number: _Optional[int] = ..., actor: _Optional[str] = ..., traffic_light: _Optional[_Union[TrafficLight, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class MarkIncidentResponse(_message.Message):
    __slots__ = ["entry", "incident"]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    entry: TimelineEntry
    incident: Incident
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ...) -> None: ...

class MergeIncidentRequest(_message.Message):
    __slots__ = ["actor", "into", "number", "reason", "request_id"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    INTO_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    actor: str
    into: int
    number: int
    reason: str
    request_id: str
    def __init__(self, request_id: _Optional[str] = ..., number: _Optional[int] = ..., actor: _Optional[str] = ..., into: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class MergeIncidentResponse(_message.Message):
    __slots__ = ["entry", "incident", "into"]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    INTO_FIELD_NUMBER: _ClassVar[int]
    entry: TimelineEntry
    incident: Incident
    into: Incident
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ..., into: _Optional[_Union[Incident, _Mapping]] = ...) -> None: ...

class MissedChanges(_message.Message):
    __slots__ = ["first", "last", "reason"]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    reason: str
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class MitigateIncidentRequest(_message.Message):
    __slots__ = ["actor", "number", "request_id", "text"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    actor: str
    number: int
    request_id: str
    text: str
    def __init__(self, request_id: _Optional[str] = ..., number: _Optional[int] = ..., actor: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class MitigateIncidentResponse(_message.Message):
    __slots__ = ["entry", "incident"]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    entry: TimelineEntry
    incident: Incident
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ...) -> None: ...

class ReleaseIncidentRequest(_message.Message):
    __slots__ = ["actor", "number", "reason", "request_id"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    actor: str
    number: int
    reason: str
    request_id: str
    def __init__(self, request_id: _Optional[str] = ..., number: _Optional[int] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ReleaseIncidentResponse(_message.Message):
    __slots__ = ["entry", "incident"]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    entry: TimelineEntry
    incident: Incident
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ...) -> None: ...

class ReopenIncidentRequest(_message.Message):
    __slots__ = ["actor", "number", "reason", "request_id"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    actor: str
    number: int
    reason: str
    request_id: str
    def __init__(self, request_id: _Optional[str] = ..., number: _Optional[int] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ReopenIncidentResponse(_message.Message):
    __slots__ = ["entry", "incident"]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    entry: TimelineEntry
    incident: Incident
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ...) -> None: ...

class ReportEventRequest(_message.Message):
    __slots__ = ["event"]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class ReportEventResponse(_message.Message):
    __slots__ = ["duplicate", "event_id"]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    duplicate: bool
    event_id: str
    def __init__(self, event_id: _Optional[str] = ..., duplicate: bool = ...) -> None: ...

class ResolveIncidentRequest(_message.Message):
    __slots__ = ["actor", "cause", "number", "request_id"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    actor: str
    cause: str
    number: int
    request_id: str
    def __init__(self, request_id: _Optional[str] = ..., number: _Optional[int] = ..., actor: _Optional[str] = ..., cause: _Optional[str] = ...) -> None: ...

class ResolveIncidentResponse(_message.Message):
    __slots__ = ["entry", "incident"]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    entry: TimelineEntry
    incident: Incident
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ...) -> None: ...

class ResponseReport(_message.Message):
    __slots__ = ["actor", "id", "incident", "mitigated", "text", "time", "verb"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    MITIGATED_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    VERB_FIELD_NUMBER: _ClassVar[int]
    actor: str
    id: str
    incident: int
    mitigated: bool
    text: str
    time: int
    verb: str
    def __init__(self, id: _Optional[str] = ..., incident: _Optional[int] = ..., actor: _Optional[str] = ..., verb: _Optional[str] = ..., text: _Optional[str] = ..., time: _Optional[int] = ..., mitigated: bool = ...) -> None: ...

class RestrictIncidentRequest(_message.Message):
    __slots__ = ["actor", "number", "people", "reason", "request_id"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PEOPLE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    actor: str
    number: int
    people: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    request_id: str
    def __init__(self, request_id: _Optional[str] = ..., number: _Optional[int] = ..., actor: _Optional[str] = ..., people: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ...) -> None: ...

class RestrictIncidentResponse(_message.Message):
    __slots__ = ["entry", "incident"]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    entry: TimelineEntry
    incident: Incident
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ...) -> None: ...

class RunbookSuggestion(_message.Message):
    __slots__ = ["incidents", "runbook", "score"]
    INCIDENTS_FIELD_NUMBER: _ClassVar[int]
    RUNBOOK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    incidents: _containers.RepeatedScalarFieldContainer[int]
    runbook: str
    score: float
    def __init__(self, runbook: _Optional[str] = ..., score: _Optional[float] = ..., incidents: _Optional[_Iterable[int]] = ...) -> None: ...

class Silence(_message.Message):
    __slots__ = ["comment", "created_by", "ends_at", "id", "matchers", "starts_at", "updated_at"]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    MATCHERS_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    comment: str
    created_by: str
    ends_at: int
    id: str
    matchers: _containers.RepeatedCompositeFieldContainer[LabelMatcher]
    starts_at: int
    updated_at: int
    def __init__(self, id: _Optional[str] = ..., matchers: _Optional[_Iterable[_Union[LabelMatcher, _Mapping]]] = ..., starts_at: _Optional[int] = ..., ends_at: _Optional[int] = ..., updated_at: _Optional[int] = ..., created_by: _Optional[str] = ..., comment: _Optional[str] = ...) -> None: ...

class SimilarIncident(_message.Message):
    __slots__ = ["cause", "number", "resolution", "resolved_at", "runbook", "score", "services", "shared_terms", "title"]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_AT_FIELD_NUMBER: _ClassVar[int]
    RUNBOOK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    SHARED_TERMS_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    cause: str
    number: int
    resolution: str
    resolved_at: int
    runbook: str
    score: float
    services: _containers.RepeatedScalarFieldContainer[str]
    shared_terms: _containers.RepeatedScalarFieldContainer[str]
    title: str
    def __init__(self, number: _Optional[int] = ..., title: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ..., cause: _Optional[str] = ..., resolution: _Optional[str] = ..., runbook: _Optional[str] = ..., resolved_at: _Optional[int] = ..., score: _Optional[float] = ..., shared_terms: _Optional[_Iterable[str]] = ...) -> None: ...

class SplitIncidentRequest(_message.Message):
    __slots__ = ["actor", "fingerprints", "number", "reason", "request_id", "title"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINTS_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    actor: str
    fingerprints: _containers.RepeatedScalarFieldContainer[str]
    number: int
    reason: str
    request_id: str
    title: str
    def __init__(self, request_id: _Optional[str] = ..., number: _Optional[int] = ..., actor: _Optional[str] = ..., fingerprints: _Optional[_Iterable[str]] = ..., title: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class SplitIncidentResponse(_message.Message):
    __slots__ = ["created", "entry", "incident"]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    created: Incident
    entry: TimelineEntry
    incident: Incident
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ..., created: _Optional[_Union[Incident, _Mapping]] = ...) -> None: ...

class TimelineEntry(_message.Message):
    __slots__ = ["actor", "after", "before", "sequence", "text", "time", "verb"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    VERB_FIELD_NUMBER: _ClassVar[int]
    actor: str
    after: str
    before: str
    sequence: int
    text: str
    time: int
    verb: str
    def __init__(self, sequence: _Optional[int] = ..., time: _Optional[int] = ..., actor: _Optional[str] = ..., verb: _Optional[str] = ..., text: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class TraceEventRequest(_message.Message):
    __slots__ = ["event_id", "fingerprint"]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    fingerprint: str
    def __init__(self, event_id: _Optional[str] = ..., fingerprint: _Optional[str] = ...) -> None: ...

class TraceEventResponse(_message.Message):
    __slots__ = ["fate", "incident"]
    FATE_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    fate: EventFate
    incident: Incident
    def __init__(self, fate: _Optional[_Union[EventFate, str]] = ..., incident: _Optional[_Union[Incident, _Mapping]] = ...) -> None: ...

class WatchIncidentsRequest(_message.Message):
    __slots__ = ["number", "service", "since"]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    number: int
    service: str
    since: int
    def __init__(self, since: _Optional[int] = ..., service: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class WatchIncidentsResponse(_message.Message):
    __slots__ = ["change", "missed"]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    change: IncidentChange
    missed: MissedChanges
    def __init__(self, change: _Optional[_Union[IncidentChange, _Mapping]] = ..., missed: _Optional[_Union[MissedChanges, _Mapping]] = ...) -> None: ...

class EventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Level(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Disposition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class IncidentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class TrafficLight(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class DrillFilter(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class EventFate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
