import TocsinArchive
import TocsinIndicators
import TocsinPolicy
import TocsinProto

/// Triage and an archiver under one policy, by the caller's clock: what is put in gives what the roles would make of it. One task at
/// a time.
package final class PolicyReplay {
    private var triage: Triage
    private let archive: TrialArchive
    private let indicators: IndicatorSet
    private var scanner = IndicatorScanner()
    package private(set) var now: UInt64

    /// What came of a batch of events.
    package struct Outcome {
        /// As triage judged them.
        package var updates: [Tocsin_V1_AlertUpdate] = []
        /// What the world is told.
        package var changes: [Tocsin_V1_IncidentChange] = []
    }

    /// `folder`: an empty one, which is the caller's to remove. `configuration`: what the archiver goes by; its policy is triage's
    /// too. `indicators`: those of the policy's files. Blocking.
    ///
    /// - Throws: `PolicyProblem`, `ArchiveError`.
    package init(
        _ configuration: ArchiveConfiguration, indicators: IndicatorSet = .empty, folder: String, start: UInt64
    ) throws {
        self.indicators = indicators
        triage = try Triage(configuration.policy)
        archive = try TrialArchive(in: folder, configuration: configuration)
        now = start
    }

    /// Events that come at `now`, with their subjects.
    package func receive(_ events: [(event: Tocsin_V1_Event, subject: String)]) async throws -> Outcome {
        let inputs = try events.map { event, subject in
            TriageInput(
                event: event, subject: subject, size: try event.serializedData().count,
                indicators: scanner.findings(in: event, of: indicators))
        }
        let updates = triage.updates(for: inputs, now: now).map(\.update)
        return Outcome(updates: updates, changes: try await archive.apply(updates, now: now))
    }

    /// Lets time pass until `time`: what is held back is looked at again at its time.
    package func advance(to time: UInt64) async throws -> [Tocsin_V1_IncidentChange] {
        var changes: [Tocsin_V1_IncidentChange] = []
        while let due = try await archive.nextDue(), due <= time {
            now = max(now, due)
            changes += try await archive.reconsider(now: now)
        }
        now = max(now, time)
        return changes
    }

    /// The latest word of a silence.
    package func receive(_ silence: Tocsin_V1_Silence) async throws -> [Tocsin_V1_IncidentChange] {
        try await archive.apply(silence, now: now)
    }

    /// The silences that are not over.
    package func silences() async throws -> [Tocsin_V1_Silence] { try await archive.silences(at: now) }

    /// How it was decided about the alert, one line a decision, in order.
    package func explain(_ fingerprint: String) async throws -> [String] {
        try await archive.explain(fingerprint).flatMap { record in
            record.decisions.map { decision in
                let rule = decision.rule.isEmpty ? "" : " \(decision.rule)"
                let inputs = decision.inputs.isEmpty ? "" : " (\(decision.inputs))"
                return "\(record.actor): \(decision.stage)\(rule)\(inputs): \(decision.outcome)"
            }
        }
    }

    package func alert(_ fingerprint: String) async throws -> Tocsin_V1_Alert? { try await archive.alert(fingerprint) }

    package func incident(_ number: UInt64) async throws -> Tocsin_V1_GetIncidentResponse { try await archive.incident(number) }

    package func incidents() async throws -> [Tocsin_V1_Incident] { try await archive.incidents() }

    /// - Throws: `ArchiveError`.
    package func close() async throws { try await archive.close() }
}
