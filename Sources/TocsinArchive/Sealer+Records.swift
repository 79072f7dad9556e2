import FoundationEssentials
import GRDB
import TocsinDomain
import TocsinProto

// What comes in is sealed before a policy sees it, and what goes out is opened: records, and all that is made of them, hold
// sealed text.

extension Sealer {
    private static let alertsMax = 200
    private static let actorsMax = 256

    // MARK: - Who is spoken of

    /// The personal values of an update and of its events.
    func values(of update: Tocsin_V1_AlertUpdate) -> [String] {
        var values = personal(update.labels)
        for event in update.events { values += personal(event.labels) + personal(event.details) }
        return values
    }

    /// The people of an incident: of its labels and its alerts', who owns it, who did something about it, who may see it.
    func people(of incident: IncidentRecord) throws -> [String] {
        var sealed = [incident.assignee, incident.mitigatedBy] + incident.needToKnow + personal(incident.labels)
        let labels = try db.cachedStatement(
            sql: """
                SELECT labels FROM incident_alerts JOIN alerts USING (fingerprint)
                WHERE incident_alerts.incident = ? LIMIT \(Self.alertsMax)
                """)
        for text in try String.fetchAll(labels, arguments: [stored(incident.number)]) {
            sealed += personal(try JSONText.decode(text))
        }
        let actors = try db.cachedStatement(
            sql: "SELECT DISTINCT actor FROM timeline WHERE incident = ? LIMIT \(Self.actorsMax)")
        sealed += try String.fetchAll(actors, arguments: [stored(incident.number)])
        return try Set(sealed).map { try open($0) }.filter { Self.namesSomebody($0) }
    }

    func personal(_ fields: [String: String]) -> [String] {
        vault.personalLabels.compactMap { fields[$0] }.filter(Self.namesSomebody)
    }

    private static func namesSomebody(_ value: String) -> Bool {
        !Command.isBlank(value) && value != Vault.erased && !Vault.isProgram(value)
    }

    // MARK: - What comes in

    func seal(_ facts: AlertFacts, naming values: PersonalValues) throws -> AlertFacts {
        var facts = facts
        facts.service = SealedText.escape(facts.service)
        facts.summary = try seal(facts.summary, naming: values)
        facts.rule = try seal(facts.rule, naming: values)
        facts.threat = try seal(facts.threat, naming: values)
        facts.runbook = SealedText.escape(facts.runbook)
        facts.labels = try seal(facts.labels, naming: values)
        return facts
    }

    func seal(_ labels: [String: String], naming values: PersonalValues) throws -> [String: String] {
        var sealed: [String: String] = [:]
        for (name, value) in labels {
            sealed[SealedText.escape(name)] =
                vault.personalLabels.contains(name)
                ? try seal(SealedText.escape(value)) : try seal(value, naming: values)
        }
        return sealed
    }

    /// The report with its texts brought within bounds.
    func seal(_ report: Tocsin_V1_ResponseReport, naming values: PersonalValues) throws -> Tocsin_V1_ResponseReport {
        var report = report
        report.actor = try seal(actor: TextLimit.clip(report.actor, to: TextLimit.name))
        report.verb = SealedText.escape(TextLimit.clip(report.verb, to: TextLimit.name))
        report.text = try seal(TextLimit.clip(report.text, to: TextLimit.report), naming: values)
        return report
    }

    /// The people that a command names by itself: who gives it, and to whom.
    func values(of command: Command) -> [String] {
        var names = [command.actor]
        switch command.kind {
        case .assign: names.append(command.text)
        case .restrict(let people): names += people
        case .transition, .note, .severity, .merge, .split, .mark: break
        }
        return names.filter(Self.namesSomebody)
    }

    func seal(_ command: Command, naming values: PersonalValues) throws -> Command {
        var sealed = command
        sealed.actor = try seal(actor: command.actor)
        sealed.text = try seal(command.text, naming: values)
        switch command.kind {
        case .assign: sealed.text = try seal(actor: command.text)
        case .split(let fingerprints, let title):
            sealed.kind = .split(
                fingerprints: fingerprints.map { SealedText.escape($0) }, title: try seal(title, naming: values))
        case .restrict(let people): sealed.kind = .restrict(people: try people.map { try seal(actor: $0) })
        case .transition, .note, .severity, .merge, .mark: break
        }
        return sealed
    }

    // MARK: - What goes out

    func open(_ incident: Tocsin_V1_Incident) throws -> Tocsin_V1_Incident {
        var incident = incident
        incident.title = try open(incident.title)
        incident.assignee = try open(incident.assignee)
        incident.cause = try open(incident.cause)
        incident.needToKnow = try incident.needToKnow.map { try open($0) }
        return incident
    }

    func open(_ entry: Tocsin_V1_TimelineEntry) throws -> Tocsin_V1_TimelineEntry {
        var entry = entry
        entry.actor = try open(entry.actor)
        entry.text = try open(entry.text)
        entry.before = try open(entry.before)
        entry.after = try open(entry.after)
        return entry
    }

    func open(_ alert: Tocsin_V1_Alert) throws -> Tocsin_V1_Alert {
        var alert = alert
        alert.summary = try open(alert.summary)
        alert.rule = try open(alert.rule)
        alert.labels = try alert.labels.mapValues { try open($0) }
        return alert
    }

    func open(_ change: Tocsin_V1_IncidentChange) throws -> Tocsin_V1_IncidentChange {
        var change = change
        change.incident = try open(change.incident)
        if change.hasEntry { change.entry = try open(change.entry) }
        change.labels = try change.labels.mapValues { try open($0) }
        return change
    }

    func open<Answer: CommandAnswer>(_ answer: Answer) throws -> Answer {
        var answer = answer
        answer.incident = try open(answer.incident)
        if answer.hasEntry { answer.entry = try open(answer.entry) }
        if let other = answer.other { answer.take(other: try open(other)) }
        return answer
    }

    func open(_ refusal: CommandRefusal) throws -> CommandRefusal {
        CommandRefusal(refusal.code, try open(refusal.message))
    }
}
