import FoundationEssentials
import TocsinArchive
import TocsinDomain
import TocsinIndicators
import TocsinPolicy
import TocsinProto

/// What came of one case.
package struct CaseResult: Sendable {
    package var name: String
    package var place: String
    /// What was not as expected, in order; empty: it passed.
    package var failures: [Failure] = []

    package struct Failure: Sendable, Equatable {
        /// Where the step is written.
        package var place: String
        /// `severity: expected critical, was major`.
        package var message: String
        /// How it came to that, one line a decision.
        package var decisions: [String]
    }
}

extension PolicyCase {
    /// Runs the case under the policy of `archive`, with `indicators` of its files, in a folder of its own below `folder`. Blocking on
    /// its files.
    ///
    /// - Throws: `PolicyProblem`, `ArchiveError`, and what the file system says.
    package func run(
        archive: ArchiveConfiguration, indicators: IndicatorSet = .empty, folder: String
    ) async throws -> CaseResult {
        let place = "\(folder)/\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        let replay = try PolicyReplay(archive, indicators: indicators, folder: place, start: start)
        var run = CaseRun(replay: replay, result: CaseResult(name: name, place: self.place))
        do {
            for (index, step) in steps.enumerated() { try await run.take(step, number: index + 1) }
        } catch {
            try await replay.close()
            throw error
        }
        try await replay.close()
        try FileManager.default.removeItem(atPath: place)
        return run.result
    }
}

/// A case on its way.
private struct CaseRun {
    let replay: PolicyReplay
    var result: CaseResult
    /// The update that carried each event, by the event's id as the case has it.
    private var updates: [String: Tocsin_V1_AlertUpdate] = [:]
    private var latest: Tocsin_V1_AlertUpdate?

    init(replay: PolicyReplay, result: CaseResult) {
        self.replay = replay
        self.result = result
    }

    mutating func take(_ step: PolicyCase.Step, number: Int) async throws {
        var changes: [Tocsin_V1_IncidentChange] = []
        if let time = step.time { changes += try await replay.advance(to: time) }
        switch step.action {
        case .events(let events): changes += try await report(events, step: number)
        case .silence(let silence): changes += try await replay.receive(try message(silence))
        case .expire(let id): changes += try await expire(id)
        case nil: break
        }
        try await check(step, changes)
    }

    private mutating func report(_ events: [PolicyCase.Event], step: Int) async throws -> [Tocsin_V1_IncidentChange] {
        var messages: [(event: Tocsin_V1_Event, subject: String)] = []
        for (index, event) in events.enumerated() {
            let id = event.id.isEmpty ? "\(step).\(index + 1)" : event.id
            for time in 0..<event.times {
                messages.append((message(event, id: time == 0 ? id : "\(id)/\(time)"), event.subject))
            }
        }
        let outcome = try await replay.receive(messages)
        for update in outcome.updates {
            for event in update.events { updates[event.id] = update }
        }
        latest = messages.last.flatMap { updates[$0.event.id] }
        return outcome.changes
    }

    private func message(_ event: PolicyCase.Event, id: String) -> Tocsin_V1_Event {
        .with {
            $0.id = id
            $0.kind = event.isResolve ? .resolve : .trigger
            $0.source = event.source
            $0.service = event.service
            $0.summary = event.summary
            $0.severityHint = event.severity
            $0.dedupKey = event.key
            $0.observedAt = replay.now
            $0.labels = event.labels
            $0.details = event.details
            $0.drill = event.drill
        }
    }

    private func message(_ silence: PolicyCase.Silence) throws -> Tocsin_V1_Silence {
        let matchers = try silence.matchers.map { text in try Matcher(parsing: text).message }
        return .with {
            $0.id = silence.id
            $0.matchers = matchers
            $0.startsAt = replay.now
            $0.endsAt = replay.now + UInt64(max(0, silence.duration.components.seconds)) * 1000
            $0.updatedAt = replay.now
            $0.createdBy = silence.author
            $0.comment = silence.reason
        }
    }

    private func expire(_ id: String) async throws -> [Tocsin_V1_IncidentChange] {
        guard var silence = try await replay.silences().first(where: { $0.id == id }) else { return [] }
        silence.endsAt = replay.now
        silence.updatedAt = max(replay.now, silence.updatedAt + 1)
        return try await replay.receive(silence)
    }

    /// How it was decided about the alert of an update; where the archive has none, how triage judged it.
    private func explain(_ update: Tocsin_V1_AlertUpdate?) async throws -> [String] {
        guard let update else { return [] }
        if try await replay.alert(update.fingerprint) != nil { return try await replay.explain(update.fingerprint) }
        return update.decisions.map { "triage: \($0.stage) \($0.rule) (\($0.inputs)): \($0.outcome)" }
    }

    // MARK: Expectations

    private mutating func check(_ step: PolicyCase.Step, _ changes: [Tocsin_V1_IncidentChange]) async throws {
        let expected = step.expectation
        if expected == PolicyCase.Expectation() { return }
        var comparison = Comparison()
        let update = expected.of.map { updates[$0] } ?? latest
        if let of = expected.of, update == nil { comparison.differences.append("of: there was no event \"\(of)\"") }
        comparison.judgement(expected, update)
        let alert: Tocsin_V1_Alert? = if let update { try await replay.alert(update.fingerprint) } else { nil }
        comparison.alert(expected, alert)
        let number = alert?.incident ?? 0
        let incident = number == 0 ? nil : try await replay.incident(number).incident
        comparison.incident(expected, incident)
        comparison.compare("incidents", expected.incidents, try await replay.incidents().count)
        comparison.changes(expected, changes)
        if comparison.differences.isEmpty { return }
        let decisions = try await explain(update)
        for (index, difference) in comparison.differences.enumerated() {
            // The same for all of the step: said once.
            let isLast = index == comparison.differences.count - 1
            result.failures.append(.init(place: step.place, message: difference, decisions: isLast ? decisions : []))
        }
    }
}

/// What was expected beside what was.
private struct Comparison {
    var differences: [String] = []

    mutating func compare<Value: Equatable>(_ name: String, _ expected: Value?, _ actual: Value?) {
        guard let expected, expected != actual else { return }
        differences.append("\(name): expected \(Self.words(expected)), was \(actual.map { Self.words($0) } ?? "nothing")")
    }

    private static func words(_ value: some Equatable) -> String {
        switch value {
        case let text as String: text.isEmpty ? "nothing" : "\"\(text)\""
        case let list as [String]: "[" + list.joined(separator: ", ") + "]"
        default: "\(value)"
        }
    }

    mutating func judgement(_ expected: PolicyCase.Expectation, _ update: Tocsin_V1_AlertUpdate?) {
        compare("service", expected.service, update?.service)
        compare("severity", expected.severity, update.flatMap { Severity(rawValue: UInt8(clamping: $0.severity.rawValue)) })
        compare("priority", expected.priority, update.flatMap { Priority(rawValue: UInt8(clamping: $0.priority.rawValue)) })
        compare("rule", expected.rule, update.map(Self.rule))
        compare("runbook", expected.runbook, update?.runbook)
        compare("suppressed", expected.suppressed, update.map { $0.disposition == .suppressed })
    }

    private static func rule(_ update: Tocsin_V1_AlertUpdate) -> String {
        let name = update.decisions.first { $0.stage == Decision.Stage.rule.rawValue }?.rule ?? ""
        return name.isEmpty ? "default" : name
    }

    mutating func alert(_ expected: PolicyCase.Expectation, _ alert: Tocsin_V1_Alert?) {
        compare("alert", expected.alert, alert?.state ?? "none")
        // `inhibition NAME FINGERPRINT`: which alert it is depends on what makes fingerprints, and is in the decisions.
        let held = alert?.heldBy.split(separator: " ").prefix(2).joined(separator: " ")
        compare("held_by", expected.heldBy, held ?? "")
        compare("incident", expected.incident, alert?.incident ?? 0)
    }

    mutating func incident(_ expected: PolicyCase.Expectation, _ incident: Tocsin_V1_Incident?) {
        compare(
            "incident_state", expected.incidentState,
            incident.flatMap { IncidentState(rawValue: UInt8(clamping: $0.state.rawValue)) })
        compare(
            "incident_severity", expected.incidentSeverity,
            incident.flatMap { Severity(rawValue: UInt8(clamping: $0.severity.rawValue)) })
        compare(
            "incident_priority", expected.incidentPriority,
            incident.flatMap { Priority(rawValue: UInt8(clamping: $0.priority.rawValue)) })
    }

    mutating func changes(_ expected: PolicyCase.Expectation, _ changes: [Tocsin_V1_IncidentChange]) {
        compare("told", expected.told, changes.map(\.verb))
        let targets = changes.flatMap { $0.incident.routes.isEmpty ? ["*"] : $0.incident.pages }
        compare("page", expected.page, Set(targets).sorted())
    }
}
