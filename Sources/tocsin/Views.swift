import TocsinDomain
import TocsinProgram
import TocsinProto
import TocsinWire

// How the messages of the incident domain are shown: as words for people and as JSON for programs.

extension Tocsin_V1_Severity {
    var domain: Severity? { Severity(rawValue: UInt8(clamping: rawValue)) }
    var name: String { domain?.name ?? "info" }
    var style: Style {
        switch domain {
        case .critical: .critical
        case .major: .major
        case .minor: .minor
        case .info, nil: .dim
        }
    }
}

extension Tocsin_V1_IncidentState {
    var domain: IncidentState? { IncidentState(rawValue: UInt8(clamping: rawValue)) }
    var name: String { domain?.name ?? "unknown" }
    var style: Style {
        switch domain {
        case .detected, .triaged: .bold
        case .acknowledged, .investigating, .mitigated, nil: .plain
        case .resolved, .closed, .merged, .dismissed: .dim
        }
    }
}

extension Tocsin_V1_TrafficLight {
    var domain: TrafficLight? { TrafficLight(rawValue: UInt8(clamping: rawValue)) }
}

extension Tocsin_V1_Priority {
    var name: String { Priority(rawValue: UInt8(clamping: rawValue))?.name ?? "" }
}

extension Tocsin_V1_Incident {
    var json: JSON {
        [
            "number": .unsigned(number), "state": .string(state.name), "title": .string(title),
            "services": .strings(services), "severity": .string(severity.name), "priority": .text(priority.name),
            "assignee": .text(assignee), "detected_at": TimeText.json(detectedAt),
            "triaged_at": TimeText.json(triagedAt),
            "acknowledged_at": TimeText.json(acknowledgedAt), "mitigated_at": TimeText.json(mitigatedAt),
            "resolved_at": TimeText.json(resolvedAt), "closed_at": TimeText.json(closedAt),
            "updated_at": TimeText.json(updatedAt), "alerts_firing": .unsigned(UInt64(alertsFiring)),
            "alerts_total": .unsigned(UInt64(alertsTotal)), "events": .unsigned(events), "cause": .text(cause),
            "runbook": .text(runbook), "reopened": .unsigned(UInt64(reopened)), "drill": .bool(drill),
            "merged_into": mergedInto == 0 ? .null : .unsigned(mergedInto),
            "split_from": splitFrom == 0 ? .null : .unsigned(splitFrom), "version": .unsigned(version),
            "traffic_light": .text(trafficLight.domain?.name ?? ""), "need_to_know": .strings(needToKnow),
            "routes": .strings(routes), "pages": .strings(pages),
        ]
    }
}

extension Tocsin_V1_Alert {
    var json: JSON {
        [
            "fingerprint": .string(fingerprint), "state": .string(state), "service": .string(service),
            "summary": .string(summary), "severity": .string(severity.name), "first_at": TimeText.json(firstAt),
            "last_at": TimeText.json(lastAt), "events": .unsigned(events), "episode": .unsigned(UInt64(episode)),
            "rule": .text(rule), "labels": .table(labels), "incident": incident == 0 ? .null : .unsigned(incident),
            "source": .text(source), "held_by": .text(heldBy), "held_until": TimeText.json(heldUntil),
        ]
    }
}

extension Tocsin_V1_TimelineEntry {
    var json: JSON {
        [
            "sequence": .unsigned(sequence), "time": TimeText.json(time), "actor": .string(actor),
            "verb": .string(verb), "text": .text(text), "before": .text(before), "after": .text(after),
        ]
    }

    /// What happened, without when and by whom: `acknowledged (was triaged)`.
    var sentence: String {
        var sentence = verb
        if !after.isEmpty && after != verb { sentence += " → \(after)" }
        if !before.isEmpty { sentence += " (was \(before))" }
        return sentence + (text.isEmpty ? "" : ": \(text)")
    }
}

extension Tocsin_V1_IncidentChange {
    var json: JSON {
        ["verb": .string(verb), "incident": incident.json, "entry": entry.json, "labels": .table(labels)]
    }
}

extension Tocsin_V1_Event {
    var json: JSON {
        [
            "id": .string(id), "kind": .string(kind == .resolve ? "resolve" : "trigger"), "source": .string(source),
            "service": .string(service), "summary": .string(summary), "severity_hint": .text(severityHint),
            "dedup_key": .text(dedupKey), "observed_at": TimeText.json(observedAt), "labels": .table(labels),
            "details": .table(details), "drill": .bool(drill),
        ]
    }
}

extension Tocsin_V1_AlertUpdate {
    var json: JSON {
        [
            "id": .string(id), "fingerprint": .string(fingerprint),
            "kind": .string(kind == .resolve ? "resolve" : "trigger"),
            "disposition": .string(disposition == .suppressed ? "suppressed" : "alert"), "service": .string(service),
            "summary": .string(summary), "severity": .string(severity.name), "priority": .text(priority.name),
            "rule": .text(rule), "events": .array(events.map(\.json)), "labels": .table(labels),
            "runbook": .text(runbook), "triaged_at": TimeText.json(triagedAt), "drill": .bool(drill),
        ]
    }
}

extension Tocsin_V1_ResponseReport {
    var json: JSON {
        [
            "id": .string(id), "incident": .unsigned(incident), "actor": .string(actor), "verb": .string(verb),
            "text": .text(text), "time": TimeText.json(time), "mitigated": .bool(mitigated),
        ]
    }
}

/// An incident's number as people say it.
func shown(_ number: UInt64) -> String { "#\(number)" }
