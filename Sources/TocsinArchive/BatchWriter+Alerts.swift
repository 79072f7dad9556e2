import TocsinDomain
import TocsinPolicy
import TocsinProto

// What becomes of an alert: told, held back, part of another incident, ended. Each decision is written down with it.

extension BatchWriter {
    /// Applies new events of an alert. `view`: the alert as it was said; `event`: the first of the events, as it is stored.
    mutating func decide(_ facts: AlertFacts, _ view: AlertView, at event: String) throws {
        routings.removeAll()
        let held = try HoldRecord.find(facts.fingerprint, in: db)
        if facts.isResolve {
            try end(facts, held, at: event)
        } else {
            try fire(facts, view, held, at: event, time: facts.lastAt)
        }
    }

    /// Looks again at alerts that were held back until now; those that may explain others first.
    mutating func reconsider(_ fingerprints: [String]) throws {
        var explaining: [(HoldRecord, AlertFacts, AlertView)] = []
        var others: [(HoldRecord, AlertFacts, AlertView)] = []
        for fingerprint in fingerprints {
            guard let held = try HoldRecord.find(fingerprint, in: db) else { continue }
            var facts = held.facts
            facts.lastAt = max(facts.lastAt, min(held.due, now))
            facts.triagedAt = facts.lastAt
            let view = try AlertView(facts, sealer)
            if judge.inhibitors(view).isEmpty {
                others.append((held, facts, view))
            } else {
                explaining.append((held, facts, view))
            }
        }
        for (held, facts, view) in explaining + others {
            routings.removeAll()
            if held.fires {
                try fire(facts, view, held, at: "", time: facts.lastAt)
            } else {
                var facts = facts
                facts.isResolve = true
                try end(facts, held, at: "")
            }
        }
    }

    // MARK: - It fires

    private mutating func fire(
        _ new: AlertFacts, _ view: AlertView, _ held: HoldRecord?, at event: String, time: UInt64
    ) throws {
        let known = try alert(new.fingerprint)
        var alert = known ?? AlertRecord(new)
        let incident = try alert.incident == 0 ? nil : find(alert.incident)
        let isFiring = alert.state.isOpen && alert.state != .suppressed
        if isFiring, let incident, incident.state.isOpen || policy.incidents.holds(incident, against: new, since: alert) {
            return try fireOn(new, view, held, alert, incident, at: event, time: time)
        }
        var (facts, view) = (new, view)
        if event.isEmpty {
            // Its events have been counted when they came.
            alert.events -= min(alert.events, facts.events)
        } else {
            if !isFiring, !(held?.fires ?? false) { alert.note(change: time) }
            if let held {
                facts.add(earlier: held.facts)
                view.severity = facts.severity
                alert.events -= min(alert.events, held.facts.events)
            }
        }
        let needsNobody = facts.severity < policy.incidents.minimumSeverity && !(incident?.state.isOpen ?? false)
        let attention = needsNobody ? Attention() : try attention(for: view, alert, at: time)
        // Nobody knows yet that it comes and goes.
        let isNews =
            attention.hold == .flapping && held == nil && incident.map { $0.state.isOpen || $0.state == .resolved } ?? false
        if let hold = attention.hold, !isNews {
            let record = HoldRecord(hold, due: attention.until, facts: facts)
            alert.hold(facts)
            alerts.put(alert, for: facts.fingerprint)
            try record.save(in: db)
            if held?.hold != hold {
                try log(
                    attention.decisions + [Decision(.incident, "held by \(record.words)", "nobody is told")], facts, at: event)
            }
            return
        }
        if held != nil { try HoldRecord.remove(facts.fingerprint, in: db) }
        if alert.state == .suppressed { alert.state = .resolved }
        try tell(facts, view, alert, incident, attention.decisions, at: event)
        if isNews, let calm = attention.until, let told = try self.alert(facts.fingerprint) {
            try HoldRecord(.flapping, due: calm, facts: facts.withoutEvents).save(in: db)
            try note(flapping: told.words(of: told.incident), try find(told.incident), facts, verb: "flapping")
        }
    }

    /// It was told of, and goes on.
    private mutating func fireOn(
        _ facts: AlertFacts, _ view: AlertView, _ held: HoldRecord?, _ known: AlertRecord, _ incident: IncidentRecord,
        at event: String, time: UInt64
    ) throws {
        var alert = known
        var decisions: [Decision] = []
        if var held, held.hold == .flapping {
            if event.isEmpty {
                try HoldRecord.remove(facts.fingerprint, in: db)
                decisions.append(Decision(.flapping, "it has been calm", "it fires on"))
                try note(flapping: "is calm and fires on", incident, facts)
            } else if !held.fires {
                alert.note(change: time)
                held.fires = true
                held.due = policy.calm(after: time)
                held.facts = facts.withoutEvents
                try held.save(in: db)
            }
        } else if event.isEmpty {
            try HoldRecord.remove(facts.fingerprint, in: db)
        }
        // As the note has left it.
        let incident = try find(incident.number) ?? incident
        let isWorse = incident.state.isOpen && incident.isRaised(by: facts.severity, facts.priority)
        var isQuiet = false
        if isWorse, held?.hold != .flapping || event.isEmpty {
            let attention = try attention(for: view, alert, at: time)
            if let hold = attention.hold {
                isQuiet = true
                try HoldRecord(hold, due: attention.until, facts: facts.withoutEvents).save(in: db)
            } else if held != nil {
                try HoldRecord.remove(facts.fingerprint, in: db)
            }
            if held?.hold != attention.hold || !isQuiet { decisions += attention.decisions }
        } else if isWorse, var held = try HoldRecord.find(facts.fingerprint, in: db) {
            // It is looked at when it has been calm.
            isQuiet = true
            held.facts = facts.withoutEvents
            try held.save(in: db)
        }
        let outcome = try policy.incidents.decide(
            facts, alert: alert, incident: incident, newNumber: nextNumber, isQuiet: isQuiet)
        if isWorse, !isQuiet {
            decisions.append(
                Decision(.incident, "\(facts.severity), \(facts.priority)", "incident \(incident.number) is raised"))
            try Inhibitors.put(judge.inhibitors(view), by: facts.fingerprint, in: db)
        } else if !decisions.isEmpty, isQuiet {
            decisions.append(Decision(.incident, "\(facts.severity), \(facts.priority)", "nobody is told"))
        }
        try take(outcome, facts)
        if isWorse, !isQuiet, let routing = routings.removeValue(forKey: incident.number) { decisions += routing }
        try log(decisions, facts, at: event)
    }

    private mutating func tell(
        _ facts: AlertFacts, _ view: AlertView, _ alert: AlertRecord, _ incident: IncidentRecord?, _ reasons: [Decision],
        at event: String
    ) throws {
        var decisions = reasons
        var match: Correlator.Match?
        let correlator = correlator(at: event.isEmpty ? facts.lastAt : facts.firstAt)
        let outcome = try policy.incidents.decide(facts, alert: alert, incident: incident, newNumber: nextNumber) {
            match = try correlator.find(facts, view)
            return match?.joining
        }
        let number = outcome.alert.incident
        if let match {
            decisions.append(match.decision)
            decisions.append(Decision(.incident, facts.rule, "joined incident \(number)"))
        } else if let draft = outcome.draft, draft.incident.number == nextNumber {
            decisions.append(Decision(.incident, facts.rule, "opened incident \(number)"))
        } else if outcome.draft != nil {
            decisions.append(Decision(.incident, "its own incident may be taken up again", "fires again in incident \(number)"))
        } else if !alert.state.isOpen {
            decisions.append(
                Decision(
                    .incident, "\(facts.severity) is less than \(policy.incidents.minimumSeverity)", "recorded; nobody is told"))
        }
        try take(outcome, facts)
        if outcome.draft != nil {
            try correlator.remember(facts, view, in: number)
            // What nobody is told of explains nothing.
            try Inhibitors.put(judge.inhibitors(view), by: facts.fingerprint, in: db)
        }
        if let routing = routings.removeValue(forKey: number) { decisions += routing }
        try log(decisions, facts, at: event)
        for other in match?.others ?? [] { try merge(other, into: number, facts) }
    }

    // MARK: - It ends

    private mutating func end(_ new: AlertFacts, _ held: HoldRecord?, at event: String) throws {
        var facts = new
        guard var alert = try alert(facts.fingerprint) else {
            // Nothing is known of what ends: it is recorded.
            return try take(try policy.incidents.decide(facts, alert: nil, incident: nil, newNumber: nextNumber), facts)
        }
        let time = facts.lastAt
        if event.isEmpty { facts = facts.withoutEvents }
        let wasOpen = alert.state.isOpen
        if wasOpen, !event.isEmpty, held?.fires ?? true { alert.note(change: time) }
        let incident = try alert.incident == 0 ? nil : find(alert.incident)
        if alert.state == .firing, let incident, incident.state.isOpen, !event.isEmpty,
            held?.hold == .flapping || policy.flapping(alert.changes, at: time) != nil
        {
            // Held open: one notice, and no end before it is calm.
            alert.count(facts)
            alerts.put(alert, for: facts.fingerprint)
            var draft = IncidentDraft(incident)
            draft.edit { $0.events += facts.events }
            try keep(draft, counting: facts)
            try HoldRecord(.flapping, due: policy.calm(after: time), fires: false, facts: facts.withoutEvents).save(in: db)
            if held?.hold != .flapping {
                let words = alert.words(of: incident.number)
                try note(flapping: words, draft.incident, facts, verb: "flapping")
                try log([Decision(.flapping, words, "held open")], facts, at: event)
            }
            return
        }
        if held != nil { try HoldRecord.remove(facts.fingerprint, in: db) }
        if wasOpen { try Inhibitors.remove(facts.fingerprint, at: max(time, 1), in: db) }
        if alert.state == .suppressed {
            alert.state = .resolved
            alert.count(facts)
            alerts.put(alert, for: facts.fingerprint)
            let why = held.map { "held by \($0.words) all the time" } ?? "it was never told of"
            return try log([Decision(.incident, why, "ended; nobody is told")], facts, at: event)
        }
        let outcome = try policy.incidents.decide(facts, alert: alert, incident: incident, newNumber: nextNumber)
        try take(outcome, facts)
        guard wasOpen else { return }
        let state = outcome.draft.map { "incident \($0.incident.number) is \($0.incident.state)" } ?? "recorded"
        try log(
            [Decision(.incident, event.isEmpty ? "it has been calm" : "the condition is over", "alert resolved; \(state)")],
            facts, at: event)
    }

    // MARK: - Parts

    /// What keeps it quiet, if anything does; it comes and goes too often as the last.
    private mutating func attention(for view: AlertView, _ alert: AlertRecord, at time: UInt64) throws -> Attention {
        let db = db
        try readSilences(at: time)
        var attention = try judge.attention(of: view, at: time, silences: &silences) { try Inhibitors.find($0, in: db) }
        if attention.hold == nil, let calm = policy.flapping(alert.changes, at: time) {
            attention.hold = .flapping
            attention.until = calm
            attention.decisions.append(Decision(.flapping, "\(alert.changes.count) changes of late", "held until it is calm"))
        }
        return attention
    }

    /// `time`: when the alert began, or began to be told.
    private func correlator(at time: UInt64) -> Correlator {
        let (incidents, db) = (incidents, db)
        return Correlator(sealer: sealer, policy: policy, time: time) { number in
            try incidents.find(number) { try IncidentRecord.find($0, in: db) }
        }
    }

    private mutating func take(_ outcome: IncidentPolicy.Outcome, _ facts: AlertFacts) throws {
        alerts.put(outcome.alert, for: facts.fingerprint)
        if let left = outcome.left { incidents.put(left, for: left.number) }
        if let draft = outcome.draft {
            if draft.incident.number == nextNumber { nextNumber += 1 }
            try keep(draft, counting: facts)
        }
        refusals += outcome.refusals
    }

    /// Whatever touches an incident has counted the events in it.
    private mutating func keep(_ draft: IncidentDraft, counting facts: AlertFacts) throws {
        let link = LinkKey(incident: draft.incident.number, fingerprint: facts.fingerprint)
        links.put((links.find(link) { _ in nil } ?? 0) + facts.events, for: link)
        try keep(draft)
    }

    private mutating func note(
        flapping text: String, _ incident: IncidentRecord?, _ facts: AlertFacts, verb: String = "flapping-ended"
    ) throws {
        guard let incident, incident.state.isOpen else { return }
        var draft = IncidentDraft(incident)
        draft.record(verb, by: Lifecycle.automaticActor, "\(facts.summary) \(text)", at: facts.lastAt)
        draft.tell("updated")
        draft.finish(at: facts.lastAt)
        try keep(draft)
    }

    /// What an alert explains becomes part of its incident.
    private mutating func merge(_ number: UInt64, into target: UInt64, _ facts: AlertFacts) throws {
        try flush()
        let text = "explained by \(facts.service)"
        let command = Command(id: "merge/\(number)/\(target)", number: number, kind: .merge(into: target), text: text)
        guard let incident = try IncidentRecord.find(number, in: db) else { return }
        let subject = try ArchiveStore.subject(of: command, incident, in: db)
        switch policy.incidents.decide(command, subject, now: max(facts.lastAt, incident.detectedAt)) {
        case .success(let effect): try ArchiveStore.write(effect, policy, sealer)
        case .failure(let refusal):
            refusals.append(
                RefusalRecord(
                    time: facts.lastAt, incident: number, actor: command.actor, action: command.action, refusal: refusal))
        }
    }

    private mutating func log(_ decisions: [Decision], _ facts: AlertFacts, at event: String) throws {
        if decisions.isEmpty { return }
        let alert = try alert(facts.fingerprint)
        var names = try sealer.personal(alert?.labels ?? [:]).map { try sealer.open($0) }
        if decisions.contains(where: { $0.stage == .silence }) {
            names += silences.map(\.silence.createdBy).filter { !$0.isEmpty }
        }
        let named = PersonalValues(names)
        try DecisionLog.add(
            decisions, about: facts.fingerprint, at: facts.lastAt, event: event, incident: alert?.incident ?? 0,
            policy: policy.version, sealer, naming: named)
    }
}

extension AlertRecord {
    /// Of an alert that was not known.
    init(_ facts: AlertFacts) {
        self.init(
            fingerprint: facts.fingerprint, service: facts.service, summary: facts.summary, severity: facts.severity,
            firstAt: facts.firstAt, lastAt: facts.lastAt, rule: facts.rule, labels: facts.labels)
        source = facts.source
    }

    /// It begins or ends.
    fileprivate mutating func note(change time: UInt64) {
        changes.append(max(time, changes.last ?? 0))
        if changes.count > Self.changesMax { changes.removeFirst(changes.count - Self.changesMax) }
    }

    /// How it comes and goes, for people.
    fileprivate func words(of incident: UInt64) -> String {
        "comes and goes, \(changes.count) changes of late; incident \(incident) stays open until it is calm"
    }

    fileprivate mutating func count(_ facts: AlertFacts) {
        events += facts.events
        firstAt = min(firstAt, facts.firstAt)
        lastAt = max(lastAt, facts.lastAt)
    }

    /// It fires and is kept from telling.
    fileprivate mutating func hold(_ facts: AlertFacts) {
        count(facts)
        state = .suppressed
        service = facts.service
        if !facts.summary.isEmpty { summary = facts.summary }
        rule = facts.rule
        source = facts.source
        severity = facts.severity
        impact = facts.impact
        priority = facts.priority
        labels = facts.labels
    }
}

extension AlertFacts {
    /// What is looked at again brings no new events.
    fileprivate var withoutEvents: AlertFacts {
        var facts = self
        facts.events = 0
        return facts
    }
}
