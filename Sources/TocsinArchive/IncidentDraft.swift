import TocsinDomain

/// One change of one incident in the making: the new state, what goes on the timeline, and the verb it is told to the world
/// with. Pure; whoever made it writes it down.
struct IncidentDraft: Sendable, Equatable {
    private(set) var incident: IncidentRecord
    private(set) var entries: [TimelineRecord] = []
    /// Empty: not worth telling anybody (a further event of the same kind, a report on the timeline).
    private(set) var verb = ""
    /// Its alerts count as resolved from here on, because a person said so.
    private(set) var resolvesAlerts = false

    /// A change of what there is.
    init(_ incident: IncidentRecord) { self.incident = incident }

    /// A new incident: detected, then triaged.
    init(
        opening incident: IncidentRecord, by actor: String = Lifecycle.automaticActor, why: String, at time: UInt64
    ) {
        self.incident = incident
        var text = incident.title
        if incident.recurs > 0 { text += "; recurs from incident \(incident.recurs)" }
        if incident.splitFrom > 0 { text += "; split from incident \(incident.splitFrom)" }
        record(
            "detected", by: actor, text, before: "", after: IncidentState.detected.name, at: incident.detectedAt)
        let context = TransitionContext(actor: actor, now: time, priority: incident.priority)
        if case .success(let step) = Lifecycle.transition(from: .detected, to: .triaged, context: context) {
            walk([step], by: actor, why, at: time)
        }
        tell("opened")
    }

    /// Adds a line to the timeline.
    mutating func record(
        _ verb: String, by actor: String, _ text: String, before: String = "", after: String = "", at time: UInt64
    ) {
        incident.entries += 1
        entries.append(
            TimelineRecord(
                sequence: incident.entries, time: time, actor: actor, verb: verb, text: text, before: before,
                after: after))
    }

    /// The change is told with this verb. The last word counts, but `updated` never replaces a better one, and `escalated` none
    /// but that.
    mutating func tell(_ verb: String) {
        switch verb {
        case "updated": if self.verb.isEmpty { self.verb = verb }
        case "escalated": if self.verb.isEmpty || self.verb == "updated" { self.verb = verb }
        default: self.verb = verb
        }
    }

    /// Takes the steps, each with a line on the timeline; `text` is said of the last. A program's acknowledgement is not
    /// stamped: time to acknowledge is about people.
    mutating func walk(
        _ steps: [LifecycleStep], by actor: String, _ text: String, at time: UInt64, isProgram: Bool = false
    ) {
        for (index, step) in steps.enumerated() {
            take(step, by: actor, at: time, isProgram: isProgram || Lifecycle.isAutomatic(actor))
            let isLast = index == steps.count - 1
            record(
                step.verb, by: actor, isLast ? text : "on the way to \(steps[steps.count - 1].to)",
                before: step.from.name, after: step.to.name, at: time)
            if isLast { tell(step.verb) }
        }
    }

    private mutating func take(_ step: LifecycleStep, by actor: String, at time: UInt64, isProgram: Bool) {
        incident.state = step.to
        switch step.to {
        case .triaged:
            if incident.triagedAt == 0 { incident.triagedAt = time }
            if step.from == .acknowledged { incident.assignee = "" }
        case .acknowledged:
            if isProgram { break }
            if step.stamps, incident.acknowledgedAt == 0 { incident.acknowledgedAt = time }
            if incident.assignee.isEmpty { incident.assignee = actor }
        case .investigating:
            if step.reopens { incident.reopened += 1 }
            if step.from == .resolved || step.from == .mitigated { takeBack() }
        case .mitigated:
            incident.mitigatedAt = time
            incident.mitigatedBy = actor
        case .resolved: incident.resolvedAt = time
        case .closed: incident.closedAt = time
        case .detected, .merged, .dismissed: break
        }
    }

    /// What had been reached no longer holds.
    private mutating func takeBack() {
        incident.mitigatedAt = 0
        incident.mitigatedBy = ""
        incident.resolvedAt = 0
        incident.cause = ""
    }

    /// Brings an incident that somebody had taken on back to triaged, because its alert began to fire anew: an old
    /// acknowledgement never carries over, so that people are called again. The way is that of the lifecycle; the timeline
    /// shows its two ends. False if there is no such way.
    mutating func restart(_ text: String, at time: UInt64, reopenWindow: Duration) -> Bool {
        let actor = Lifecycle.automaticActor
        let context = TransitionContext(
            actor: actor, now: time, priority: incident.priority, reason: text, resolvedAt: incident.resolvedAt,
            reopenWindow: reopenWindow)
        var draft = self
        if incident.state == .resolved || incident.state == .mitigated {
            guard case .success(let steps) = Lifecycle.plan(.reopen, from: incident.state, context: context) else {
                return false
            }
            draft.walk(steps, by: actor, text, at: time)
        }
        let from = draft.incident.state
        if from == .investigating || from == .acknowledged {
            if from == .investigating {
                guard
                    case .success(let step) = Lifecycle.transition(
                        from: .investigating, to: .acknowledged, context: context)
                else { return false }
                draft.take(step, by: actor, at: time, isProgram: true)
            }
            guard case .success(let steps) = Lifecycle.plan(.release, from: .acknowledged, context: context) else {
                return false
            }
            for step in steps { draft.take(step, by: actor, at: time, isProgram: true) }
            draft.record(
                "released", by: actor, "a new episode needs a new acknowledgement", before: from.name,
                after: draft.incident.state.name, at: time)
            if draft.verb.isEmpty || draft.verb == "updated" { draft.tell("released") }
        }
        self = draft
        return true
    }

    /// By themselves, severity and priority only ever rise while an incident is open; a real event makes a drill real. Once a
    /// person has set the severity, only what is worse than all that was known then raises anything.
    mutating func raise(_ severity: Severity, _ priority: Priority, drill: Bool, why: String, at time: UInt64) {
        let actor = Lifecycle.automaticActor
        if incident.isRaised(by: severity, priority) {
            let isMoreUrgent = priority < incident.priority
            if severity > incident.severity { set(severity, by: actor, why, at: time) }
            if isMoreUrgent { set(priority, by: actor, why, at: time) }
            tell("escalated")
        }
        if incident.drill, !drill {
            record("made-real", by: actor, "an event that is no drill", before: "drill", after: "real", at: time)
            incident.drill = false
            tell("updated")
        }
    }

    mutating func set(_ severity: Severity, by actor: String, _ why: String, at time: UInt64) {
        record("severity-changed", by: actor, why, before: incident.severity.name, after: severity.name, at: time)
        incident.severity = severity
    }

    mutating func set(_ priority: Priority, by actor: String, _ why: String, at time: UInt64) {
        record("priority-changed", by: actor, why, before: incident.priority.name, after: priority.name, at: time)
        incident.priority = priority
    }

    /// Counters, names and texts that no guard looks at.
    mutating func edit(_ body: (inout IncidentRecord) -> Void) { body(&incident) }

    /// A person resolved it: what still fires is taken for resolved, and begins a new episode if it fires on.
    mutating func resolveAlerts() {
        resolvesAlerts = true
        incident.alertsFiring = 0
    }

    /// Ends the change: the version grows by one if it is told.
    mutating func finish(at time: UInt64) {
        guard !verb.isEmpty else { return }
        incident.version += 1
        incident.updatedAt = max(incident.updatedAt, time)
    }
}
