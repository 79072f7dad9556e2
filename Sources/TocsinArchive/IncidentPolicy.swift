import TocsinDomain
import TocsinProto

/// What alert updates and reports do to incidents. Pure: rows in, rows and entries out; no clock, no database.
///
/// An alert has at most one incident that is not over. While it fires, further events only count: nothing goes on the
/// timeline and nobody is told, unless severity or priority rises. So 20,000 lines of a log that make one alert are one
/// `opened`, and batches may be cut anywhere without a difference in what is written.
struct IncidentPolicy: Sendable, Equatable {
    var reopenWindow: Duration
    var resolvesAutomatically: Bool
    /// An alert that is less bad than this opens no incident and reopens none: it is recorded, and needs nobody.
    var minimumSeverity = Severity.minor
    /// For what a person makes of an incident; what triage sent has its priority.
    var matrix = PriorityMatrix.standard

    /// The cause where nobody stated one and no runbook claims the fix.
    static let resolvedByItself = "alert resolved by itself"
    private static let actor = Lifecycle.automaticActor

    /// What is to be written.
    struct Outcome: Sendable, Equatable {
        var alert: AlertRecord
        /// Nil where no incident is touched.
        var draft: IncidentDraft?
        /// The dismissed incident that the alert, still firing, has left for a new one.
        var left: IncidentRecord?
        var refusals: [RefusalRecord] = []
    }

    /// An open incident that a new alert is part of, and why.
    struct Joining: Sendable, Equatable {
        var incident: IncidentRecord
        var why: String
    }

    /// What new events do to their alert and its latest incident. `newNumber` is for the incident that may be opened, unless
    /// `join`, which is asked then, knows one that is open. `isQuiet`: severity and priority of the incident stay.
    func decide(
        _ facts: AlertFacts, alert known: AlertRecord?, incident: IncidentRecord?, newNumber: UInt64, isQuiet: Bool = false,
        join: () throws -> Joining? = { nil }
    ) rethrows -> Outcome {
        var alert =
            known
            ?? AlertRecord(
                fingerprint: facts.fingerprint, service: facts.service, summary: facts.summary,
                severity: facts.severity, firstAt: facts.firstAt, lastAt: facts.lastAt, rule: facts.rule,
                labels: facts.labels)
        alert.events += facts.events
        alert.firstAt = min(alert.firstAt, facts.firstAt)
        alert.lastAt = max(alert.lastAt, facts.lastAt)
        var outcome =
            facts.isResolve
            ? resolve(alert, incident, facts) : try trigger(alert, incident, facts, newNumber, isQuiet, join)
        outcome.say(facts, to: known)
        outcome.draft?.finish(at: facts.lastAt)
        return outcome
    }

    // MARK: - Triggers

    private func trigger(
        _ before: AlertRecord, _ incident: IncidentRecord?, _ facts: AlertFacts, _ newNumber: UInt64, _ isQuiet: Bool,
        _ join: () throws -> Joining?
    ) rethrows -> Outcome {
        var alert = before
        if !facts.summary.isEmpty { alert.summary = facts.summary }
        alert.service = facts.service
        alert.rule = facts.rule
        alert.source = facts.source
        if let incident, alert.state.isOpen {
            if incident.state.isOpen || holds(incident, against: facts, since: alert) {
                alert.worsen(facts)
                var draft = IncidentDraft(incident)
                draft.edit { add(facts, to: &$0) }
                if incident.state.isOpen, !isQuiet {
                    draft.raise(
                        facts.severity, facts.priority, drill: facts.drill, why: facts.rule, at: facts.lastAt)
                }
                return Outcome(alert: alert, draft: draft)
            }
        }
        let isAlone = incident.map { !$0.state.isOpen } ?? true
        if facts.severity < minimumSeverity, isAlone {
            if alert.state.isOpen {
                alert.worsen(facts)
            } else {
                alert.fire(facts)
            }
            return Outcome(alert: alert)
        }
        if incident == nil, alert.state.isOpen {
            // It has been firing all the time; only now it is bad enough.
            alert.judge(facts)
        } else {
            alert.fire(facts)
        }
        if let incident, let draft = rejoin(incident, facts) { return Outcome(alert: alert, draft: draft) }
        var outcome = Outcome(alert: alert)
        if let joining = try join() {
            outcome.draft = self.join(joining, facts)
            outcome.alert.incident = joining.incident.number
        } else {
            outcome.draft = open(facts, recurs: incident?.number ?? 0, number: newNumber)
            outcome.alert.incident = newNumber
        }
        if var left = incident, before.state.isOpen, left.alertsFiring > 0 {
            left.alertsFiring -= 1
            outcome.left = left
        }
        return outcome
    }

    /// Whether an incident that a person dismissed still speaks for its firing alert: for the window, and for
    /// nothing worse than what they saw.
    func holds(_ incident: IncidentRecord, against facts: AlertFacts, since alert: AlertRecord) -> Bool {
        switch incident.state {
        case .dismissed:
            guard facts.severity <= max(incident.severity, alert.severity), facts.drill || !incident.drill else {
                return false
            }
            let elapsed = facts.lastAt > incident.updatedAt ? facts.lastAt - incident.updatedAt : 0
            return Duration.milliseconds(Int64(clamping: elapsed)) <= reopenWindow
        // A merged one has no alerts: those it had are another incident's.
        case .detected, .triaged, .acknowledged, .investigating, .mitigated, .resolved, .closed, .merged: return false
        }
    }

    /// The alert fires anew and its latest incident is open, or may be reopened. Nil if a new incident is needed.
    private func rejoin(_ incident: IncidentRecord, _ facts: AlertFacts) -> IncidentDraft? {
        guard incident.state.isOpen || incident.state == .resolved else { return nil }
        // A drill never reopens what was real.
        if facts.drill, !incident.drill { return nil }
        var draft = IncidentDraft(incident)
        let text = "fires again: \(facts.summary)"
        if incident.state.isOpen { draft.record("alert-firing", by: Self.actor, text, at: facts.lastAt) }
        draft.tell("updated")
        // A late event may have been observed before the incident was resolved.
        let time = max(facts.lastAt, incident.resolvedAt)
        guard draft.restart(text, at: time, reopenWindow: reopenWindow) else { return nil }
        draft.edit {
            $0.alertsFiring += 1
            add(facts, to: &$0)
        }
        draft.raise(facts.severity, facts.priority, drill: facts.drill, why: facts.rule, at: facts.lastAt)
        return draft
    }

    /// A new alert is part of what is known already.
    private func join(_ joining: Joining, _ facts: AlertFacts) -> IncidentDraft {
        var draft = IncidentDraft(joining.incident)
        draft.record("alert-joined", by: Self.actor, "\(facts.summary): \(joining.why)", at: facts.lastAt)
        draft.tell("updated")
        draft.edit {
            $0.alertsFiring += 1
            $0.alertsTotal += 1
            add(facts, to: &$0)
        }
        draft.raise(facts.severity, facts.priority, drill: facts.drill, why: facts.rule, at: facts.lastAt)
        return draft
    }

    private func open(_ facts: AlertFacts, recurs: UInt64, number: UInt64) -> IncidentDraft {
        var incident = IncidentRecord(
            number: number, state: .detected,
            title: facts.summary.isEmpty ? "\(facts.service): \(facts.severity) alert" : facts.summary, services: [],
            severity: facts.severity, priority: facts.priority, detectedAt: facts.firstAt)
        incident.recurs = recurs
        incident.labels = facts.labels
        incident.drill = facts.drill
        incident.alertsFiring = 1
        incident.alertsTotal = 1
        add(facts, to: &incident)
        return IncidentDraft(opening: incident, why: facts.rule, at: facts.triagedAt)
    }

    private func add(_ facts: AlertFacts, to incident: inout IncidentRecord) {
        incident.events += facts.events
        incident.impact = max(incident.impact ?? .low, facts.impact)
        if incident.runbook.isEmpty { incident.runbook = facts.runbook }
        incident.add(service: facts.service)
    }

    // MARK: - Resolves

    private func resolve(_ before: AlertRecord, _ incident: IncidentRecord?, _ facts: AlertFacts) -> Outcome {
        var alert = before
        guard alert.state.isOpen else { return Outcome(alert: alert) }
        alert.state = .resolved
        guard let incident else { return Outcome(alert: alert) }
        var draft = IncidentDraft(incident)
        draft.edit {
            $0.events += facts.events
            if $0.alertsFiring > 0 { $0.alertsFiring -= 1 }
        }
        guard incident.state.isOpen else { return Outcome(alert: alert, draft: draft) }
        draft.record("alert-resolved", by: Self.actor, facts.summary, at: facts.lastAt)
        draft.tell("updated")
        var outcome = Outcome(alert: alert)
        if draft.incident.alertsFiring == 0, resolvesAutomatically {
            let time = max(facts.lastAt, incident.detectedAt, incident.acknowledgedAt, incident.mitigatedAt)
            let cause = cause(of: draft.incident)
            let context = TransitionContext(
                actor: Self.actor, now: time, priority: incident.priority, cause: cause)
            switch Lifecycle.plan(.resolve, from: incident.state, context: context) {
            case .success(let steps):
                draft.walk(steps, by: Self.actor, cause, at: time)
                draft.edit { $0.cause = cause }
            case .failure(let refusal):
                outcome.refusals = [
                    RefusalRecord(
                        time: time, incident: incident.number, actor: Self.actor, action: "resolve", refusal: refusal)
                ]
            }
        }
        outcome.draft = draft
        return outcome
    }

    private func cause(of incident: IncidentRecord) -> String {
        if !incident.cause.isEmpty { return incident.cause }
        if incident.mitigatedBy.isEmpty { return Self.resolvedByItself }
        return Self.fix(by: incident.mitigatedBy)
    }

    /// "fixed by runbook restart-checkout", "mitigated by alice".
    static func fix(by actor: String) -> String {
        guard actor.hasPrefix("runbook:") else { return "mitigated by \(actor)" }
        return "fixed by runbook \(actor.dropFirst("runbook:".count))"
    }

    // MARK: - Reports

    /// What a responder's report does to its incident: a line on the timeline, and mitigation where a runbook verified it.
    func decide(
        _ report: Tocsin_V1_ResponseReport, incident: IncidentRecord, now: UInt64
    ) -> (draft: IncidentDraft, refusals: [RefusalRecord]) {
        let actor = report.actor.isEmpty ? "responder" : report.actor
        let verb = report.verb.isEmpty ? "reported" : report.verb
        let time = report.time == 0 ? now : min(max(report.time, incident.detectedAt), now)
        var draft = IncidentDraft(incident)
        var refusals: [RefusalRecord] = []
        draft.record(verb, by: actor, report.text, at: time)
        guard report.mitigated else { return (draft, refusals) }
        let fix = Self.fix(by: actor)
        let context = TransitionContext(actor: actor, now: time, priority: incident.priority)
        switch Lifecycle.plan(.mitigate, from: incident.state, context: context) {
        case .success(let steps): draft.walk(steps, by: actor, fix, at: time, isProgram: true)
        case .failure(let refusal):
            // The check saw the service come back before the runbook had said that it did it.
            if incident.state == .resolved, incident.cause == Self.resolvedByItself {
                draft.edit { $0.cause = fix }
                draft.record(
                    "cause-changed", by: actor, fix, before: incident.cause, after: fix, at: time)
                draft.tell("updated")
            } else {
                refusals = [
                    RefusalRecord(
                        time: time, incident: incident.number, actor: actor, action: "mitigate", refusal: refusal)
                ]
            }
        }
        draft.finish(at: time)
        return (draft, refusals)
    }
}

extension IncidentRecord {
    private static let servicesMax = 64

    /// It is no more about what only the alerts that go are about, unless nothing would be left.
    mutating func remove(servicesOf going: [AlertRecord], left: [AlertRecord]) {
        let gone = Set(going.map(\.service)).subtracting(left.map(\.service))
        let rest = services.filter { !gone.contains($0) }
        if !rest.isEmpty { services = rest }
    }

    /// One more service that it is about; past the bound it is left out.
    mutating func add(service: String) {
        guard !service.isEmpty, !services.contains(service), services.count < Self.servicesMax else { return }
        services.append(service)
    }
}

extension IncidentPolicy.Outcome {
    /// The first threat indicator of an episode is news for its incident, also where nothing gets worse by it. The alert's labels,
    /// which triage gave it, tell afterwards that it was told.
    fileprivate mutating func say(_ facts: AlertFacts, to known: AlertRecord?) {
        let names = ["indicator.type", "indicator.value"]
        let isTold = known.map { alert in alert.state.isOpen && names.contains { alert.labels[$0] != nil } } ?? false
        guard !facts.threat.isEmpty, !isTold else { return }
        for name in names { alert.labels[name] = facts.labels[name] }
        guard draft?.incident.state.isOpen == true else { return }
        draft?.record("indicator-matched", by: Lifecycle.automaticActor, facts.threat, at: facts.lastAt)
        draft?.tell("updated")
    }
}

extension AlertRecord {
    /// Begins a new episode.
    fileprivate mutating func fire(_ facts: AlertFacts) {
        state = .firing
        episode += 1
        judge(facts)
        labels = facts.labels
    }

    fileprivate mutating func judge(_ facts: AlertFacts) {
        severity = facts.severity
        impact = facts.impact
        priority = facts.priority
    }

    /// Further events of an episode.
    fileprivate mutating func worsen(_ facts: AlertFacts) {
        severity = max(severity, facts.severity)
        impact = max(impact ?? facts.impact, facts.impact)
        priority = min(priority ?? facts.priority, facts.priority)
    }
}
