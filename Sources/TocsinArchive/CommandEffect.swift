import TocsinDomain

/// An alert that belongs to an incident, and what the incident has counted of it.
struct HeldAlert: Sendable, Equatable {
    var alert: AlertRecord
    var events: UInt64
}

/// All that a decision about a command needs to know. Which of it is read depends on the command.
struct CommandSubject: Sendable {
    var incident: IncidentRecord
    /// The incident it is merged into; or, of one that was merged, the one that has its alerts now. Nil if there is none.
    var other: IncidentRecord?
    /// To merge or split: the alerts of the incident. To undo a merge: those of the other one.
    var alerts: [HeldAlert] = []
    /// The alerts that a merged incident brought, by fingerprint, and with how many events.
    var brought: [String: UInt64] = [:]
    /// For the incident that is split off.
    var newNumber: UInt64 = 0
}

/// What a command does, to be written in one transaction.
struct CommandEffect: Sendable, Equatable {
    /// The change of the incident that the command is about.
    var draft: IncidentDraft
    /// The change of the other one, where there are two.
    var other: IncidentDraft?
    /// Alerts that change hands.
    var moves: [AlertMove] = []

    /// Ends the changes.
    mutating func finish(at time: UInt64) {
        draft.finish(at: time)
        other?.finish(at: time)
    }
}

/// An alert goes from one incident to another, with events that were counted there.
struct AlertMove: Sendable, Equatable {
    var fingerprint: String
    var from: UInt64
    var to: UInt64
    var events: UInt64
}

extension IncidentPolicy {
    /// What a person's command does, or why it may not be done.
    func decide(
        _ command: Command, _ subject: CommandSubject, now: UInt64
    ) -> Result<CommandEffect, TransitionRefusal> {
        let decision: Result<CommandEffect, TransitionRefusal> =
            switch command.kind {
            case .note: .success(note(command, subject.incident, now))
            case .assign: assign(command, subject.incident, now)
            case .severity(let severity, let priority): judge(command, severity, priority, subject.incident, now)
            case .transition(.reopen) where subject.incident.state == .merged: restore(command, subject, now)
            case .transition(let action): transition(command, action, subject.incident, now)
            case .merge(let into): merge(command, into, subject, now)
            case .split(let fingerprints, let title): split(command, fingerprints, title, subject, now)
            case .mark(let light): mark(command, light, subject.incident, now)
            case .restrict(let people): restrict(command, people, subject.incident, now)
            }
        return decision.map {
            var effect = $0
            effect.finish(at: now)
            return effect
        }
    }

    private func note(_ command: Command, _ incident: IncidentRecord, _ now: UInt64) -> CommandEffect {
        var draft = IncidentDraft(incident)
        draft.record("noted", by: command.actor, command.text, at: now)
        draft.tell("noted")
        return CommandEffect(draft: draft)
    }

    private func assign(
        _ command: Command, _ incident: IncidentRecord, _ now: UInt64
    ) -> Result<CommandEffect, TransitionRefusal> {
        if incident.state.isTerminal {
            return .failure(
                TransitionRefusal(
                    .illegalTransition, "cannot assign a \(incident.state) incident; nobody has to act on it"))
        }
        if incident.assignee == command.text {
            return .failure(TransitionRefusal(.alreadyInState, "the incident is already assigned to \(command.text)"))
        }
        var draft = IncidentDraft(incident)
        draft.edit { $0.assignee = command.text }
        draft.record("assigned", by: command.actor, "", before: incident.assignee, after: command.text, at: now)
        draft.tell("assigned")
        return .success(CommandEffect(draft: draft))
    }

    // MARK: - Who may know

    private func mark(
        _ command: Command, _ light: TrafficLight, _ incident: IncidentRecord, _ now: UInt64
    ) -> Result<CommandEffect, TransitionRefusal> {
        if incident.trafficLight == light {
            return .failure(TransitionRefusal(.alreadyInState, "the incident is already marked \(light.label)"))
        }
        var draft = IncidentDraft(incident)
        draft.record(
            "marked", by: command.actor, command.text, before: incident.trafficLight?.label ?? "", after: light.label,
            at: now)
        draft.edit { $0.trafficLight = light }
        draft.tell("marked")
        return .success(CommandEffect(draft: draft))
    }

    private func restrict(
        _ command: Command, _ people: [String], _ incident: IncidentRecord, _ now: UInt64
    ) -> Result<CommandEffect, TransitionRefusal> {
        if Set(incident.needToKnow) == Set(people) {
            let who = people.isEmpty ? "everybody who may see incidents" : people.joined(separator: ", ")
            return .failure(TransitionRefusal(.alreadyInState, "the incident is already seen by \(who)"))
        }
        let verb = people.isEmpty ? "restriction-lifted" : "restricted"
        var draft = IncidentDraft(incident)
        draft.record(
            verb, by: command.actor, command.text, before: incident.needToKnow.joined(separator: ", "),
            after: people.joined(separator: ", "), at: now)
        draft.edit { $0.needToKnow = people }
        draft.tell(verb)
        return .success(CommandEffect(draft: draft))
    }

    private func transition(
        _ command: Command, _ action: IncidentAction, _ incident: IncidentRecord, _ now: UInt64
    ) -> Result<CommandEffect, TransitionRefusal> {
        var draft = IncidentDraft(incident)
        let cause = action == .resolve && Command.isBlank(command.text) ? incident.cause : command.text
        switch steps(action, command, incident, now, cause: cause) {
        case .failure(let refusal): return .failure(refusal)
        case .success(let steps):
            draft.walk(steps, by: command.actor, action == .resolve ? cause : command.text, at: now)
        }
        if action == .resolve {
            draft.edit { $0.cause = cause }
            draft.resolveAlerts()
        }
        if action == .reopen, draft.incident.assignee.isEmpty, !Lifecycle.isAutomatic(command.actor) {
            draft.edit { $0.assignee = command.actor }
        }
        return .success(CommandEffect(draft: draft))
    }

    private func steps(
        _ action: IncidentAction, _ command: Command, _ incident: IncidentRecord, _ now: UInt64, cause: String = ""
    ) -> Result<[LifecycleStep], TransitionRefusal> {
        let context = TransitionContext(
            actor: command.actor, now: now, priority: incident.priority, reason: command.text, cause: cause,
            waivePostmortem: command.waivePostmortem, resolvedAt: incident.resolvedAt, reopenWindow: reopenWindow)
        return Lifecycle.plan(action, from: incident.state, context: context)
    }

    // MARK: - Severity

    private func judge(
        _ command: Command, _ severity: Severity, _ own: Priority?, _ incident: IncidentRecord, _ now: UInt64
    ) -> Result<CommandEffect, TransitionRefusal> {
        guard incident.state.isOpen else {
            return .failure(notOpen(incident, "its severity is set while it is open"))
        }
        let priority = own ?? self.priority(of: severity, incident.impact)
        if severity == incident.severity, priority == incident.priority {
            return .failure(
                TransitionRefusal(.alreadyInState, "the incident is already \(severity) \(priority)"))
        }
        var draft = IncidentDraft(incident)
        draft.edit { $0.judgedSeverity = max($0.judgedSeverity ?? .info, $0.severity) }
        if priority != incident.priority { draft.set(priority, by: command.actor, command.text, at: now) }
        if severity != incident.severity { draft.set(severity, by: command.actor, command.text, at: now) }
        draft.tell(severity != incident.severity ? "severity-changed" : "priority-changed")
        return .success(CommandEffect(draft: draft))
    }

    /// The impact is at least what the severity speaks of: a person who says "critical" means it.
    private func priority(of severity: Severity, _ impact: Level?) -> Priority {
        matrix[impact: max(impact ?? .low, severity.impact), urgency: severity.urgency]
    }

    private func notOpen(_ incident: IncidentRecord, _ what: String) -> TransitionRefusal {
        let hint =
            incident.state == .closed
            ? "it is final: report the recurrence as a new incident" : "reopen it first"
        return TransitionRefusal(
            .illegalTransition, "incident \(incident.number) is \(incident.state), and \(what); \(hint)")
    }

    // MARK: - Merge

    private func merge(
        _ command: Command, _ into: UInt64, _ subject: CommandSubject, _ now: UInt64
    ) -> Result<CommandEffect, TransitionRefusal> {
        let incident = subject.incident
        if into == incident.number {
            return .failure(
                TransitionRefusal(.targetUnfit, "an incident cannot be merged into itself; name the other one"))
        }
        guard let target = subject.other else {
            return .failure(TransitionRefusal(.targetUnfit, "there is no incident \(into) that could take the alerts"))
        }
        guard target.state.isOpen else {
            let hint =
                switch target.state {
                case .merged: "merge into incident \(target.mergedInto), which has its alerts"
                case .closed: "it is final: merge into one that is open"
                case .detected, .triaged, .acknowledged, .investigating, .mitigated, .resolved, .dismissed:
                    "reopen it first"
                }
            return .failure(
                TransitionRefusal(.targetUnfit, "incident \(into) is \(target.state) and takes no alerts; \(hint)"))
        }
        // The alerts would be seen by others from then on.
        guard Set(target.needToKnow) == Set(incident.needToKnow) else {
            return .failure(
                TransitionRefusal(
                    .targetUnfit,
                    "incidents \(incident.number) and \(into) are not seen by the same people; restrict both alike first"))
        }
        var draft = IncidentDraft(incident)
        switch steps(.merge, command, incident, now) {
        case .failure(let refusal): return .failure(refusal)
        case .success(let steps):
            draft.walk(steps, by: command.actor, "into incident \(into): \(command.text)", at: now)
        }
        draft.edit { $0.mergedInto = into }
        let moves = subject.alerts.map {
            AlertMove(fingerprint: $0.alert.fingerprint, from: incident.number, to: into, events: $0.events)
        }
        var other = IncidentDraft(target)
        let what = "incident \(incident.number) with \(Self.count(moves.count, "alert"))"
        other.record("merged-in", by: command.actor, "\(what): \(command.text)", at: now)
        other.tell("merged-in")
        other.edit { target in
            for service in incident.services { target.add(service: service) }
            if let impact = incident.impact { target.impact = max(target.impact ?? .low, impact) }
        }
        other.raise(
            incident.severity, incident.priority, drill: incident.drill, why: "as incident \(incident.number) was", at: now)
        return .success(CommandEffect(draft: draft, other: other, moves: moves))
    }

    /// Undoes a merge as far as it can be undone.
    private func restore(
        _ command: Command, _ subject: CommandSubject, _ now: UInt64
    ) -> Result<CommandEffect, TransitionRefusal> {
        let incident = subject.incident
        // What is closed stays as it is.
        let other = subject.other.flatMap { $0.state == .closed ? nil : $0 }
        let going = other == nil ? [] : subject.alerts.filter { subject.brought[$0.alert.fingerprint] != nil }
        let moves = going.map {
            AlertMove(
                fingerprint: $0.alert.fingerprint, from: other?.number ?? 0, to: incident.number,
                events: min($0.events, subject.brought[$0.alert.fingerprint] ?? 0))
        }
        var text = "\(command.text) (\(moves.count) of \(Self.count(subject.brought.count, "alert")) came back"
        if let other = subject.other { text += " from incident \(other.number)" }
        text += ")"
        var draft = IncidentDraft(incident)
        switch steps(.reopen, command, incident, now) {
        case .failure(let refusal): return .failure(refusal)
        case .success(let steps): draft.walk(steps, by: command.actor, text, at: now)
        }
        draft.edit {
            $0.mergedInto = 0
            if $0.assignee.isEmpty, !Lifecycle.isAutomatic(command.actor) { $0.assignee = command.actor }
        }
        guard var left = other.map({ IncidentDraft($0) }) else { return .success(CommandEffect(draft: draft)) }
        let what = "incident \(incident.number) is taken up again, with \(Self.count(moves.count, "alert"))"
        left.record("unmerged", by: command.actor, "\(what): \(command.text)", at: now)
        left.tell("unmerged")
        left.edit { Self.takeServices(of: going, among: subject.alerts, from: &$0) }
        return .success(CommandEffect(draft: draft, other: left, moves: moves))
    }

    // MARK: - Split

    private func split(
        _ command: Command, _ fingerprints: [String], _ title: String, _ subject: CommandSubject, _ now: UInt64
    ) -> Result<CommandEffect, TransitionRefusal> {
        let incident = subject.incident
        guard incident.state.isOpen else {
            return .failure(notOpen(incident, "alerts are split off what is open"))
        }
        let wanted = Set(fingerprints)
        let going = subject.alerts.filter { wanted.contains($0.alert.fingerprint) }
        if going.count < wanted.count {
            let absent = wanted.subtracting(going.map(\.alert.fingerprint)).min() ?? ""
            return .failure(
                TransitionRefusal(
                    .alertElsewhere,
                    "incident \(incident.number) has no alert \(TextLimit.clip(absent, to: TextLimit.name)); name alerts of its own"
                ))
        }
        guard going.count < subject.alerts.count else {
            return .failure(
                TransitionRefusal(
                    .nothingStays,
                    "all \(subject.alerts.count) alerts of incident \(incident.number) would go; at least one stays"))
        }
        let created = open(going, title, subject, now)
        let what = "\(Self.count(going.count, "alert")) became incident \(created.number)"
        var draft = IncidentDraft(incident)
        draft.record(
            "split", by: command.actor, Command.isBlank(command.text) ? what : "\(what): \(command.text)", at: now)
        draft.tell("split")
        draft.edit { Self.takeServices(of: going, among: subject.alerts, from: &$0) }
        let why = Command.isBlank(command.text) ? "its alerts are a matter of their own" : command.text
        let moves = going.map {
            AlertMove(
                fingerprint: $0.alert.fingerprint, from: incident.number, to: created.number, events: $0.events)
        }
        return .success(
            CommandEffect(
                draft: draft, other: IncidentDraft(opening: created, by: command.actor, why: why, at: now), moves: moves))
    }

    /// The incident of alerts that were split off; `going` is not empty.
    private func open(
        _ going: [HeldAlert], _ title: String, _ subject: CommandSubject, _ now: UInt64
    ) -> IncidentRecord {
        // The worst, of those the first.
        let ordered = going.map(\.alert).sorted { ($1.severity, $0.firstAt) < ($0.severity, $1.firstAt) }
        let severity = ordered.map(\.severity).max() ?? .info
        let detectedAt = ordered.map(\.firstAt).min().map { max($0, subject.incident.detectedAt) } ?? now
        var created = IncidentRecord(
            number: subject.newNumber, state: .detected, title: Command.isBlank(title) ? ordered.first?.summary ?? "" : title,
            services: [], severity: severity, priority: priority(of: severity, nil), detectedAt: min(detectedAt, now))
        // As triage judged them, as far as that is known.
        if let priority = ordered.compactMap(\.priority).min() { created.priority = priority }
        created.impact = ordered.compactMap(\.impact).max()
        created.splitFrom = subject.incident.number
        created.labels = ordered.first?.labels ?? [:]
        created.drill = subject.incident.drill
        created.trafficLight = subject.incident.trafficLight
        created.needToKnow = subject.incident.needToKnow
        for alert in ordered { created.add(service: alert.service) }
        if Command.isBlank(created.title) { created.title = "\(created.services.first ?? ""): \(severity) alert" }
        return created
    }

    private static func takeServices(
        of going: [HeldAlert], among all: [HeldAlert], from incident: inout IncidentRecord
    ) {
        let gone = Set(going.map(\.alert.fingerprint))
        let left = all.map(\.alert).filter { !gone.contains($0.fingerprint) }
        incident.remove(servicesOf: going.map(\.alert), left: left)
    }

    private static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
}
