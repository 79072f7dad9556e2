import TocsinArchive
import TocsinDomain
import TocsinIndicators
import TocsinPolicy
import TocsinProto

/// Something that a hub's stream has, to be put in again.
package struct RecordedInput: Sendable {
    package enum Content: Sendable {
        case event(Tocsin_V1_Event, subject: String)
        case silence(Tocsin_V1_Silence)
    }
    /// When it came, milliseconds since 1970.
    package var time: UInt64
    package var content: Content

    package init(time: UInt64, _ content: Content) {
        self.time = time
        self.content = content
    }
}

/// Somebody is called for an incident.
package struct PolicyPage: Sendable, Hashable {
    /// When its first event was observed, milliseconds since 1970.
    package var detectedAt: UInt64
    package var title: String
    /// `opened`, `reopened`, or `escalated`: somebody more is called.
    package var verb: String
    package var service: String
    package var severity: String
    package var priority: String
    /// Who; `*`: each target decides for itself.
    package var targets: [String]
    /// The routes that say so.
    package var routes: [String]
}

/// Under which policy how many are called, and for what only under one.
package struct PolicyDifference: Sendable, Equatable {
    package var before = 0
    package var after = 0
    package var gained: [PolicyPage] = []
    package var lost: [PolicyPage] = []
    /// The same incident, others are called.
    package var moved: [(before: PolicyPage, after: PolicyPage)] = []

    package static func == (a: PolicyDifference, b: PolicyDifference) -> Bool {
        (a.before, a.after, a.gained, a.lost) == (b.before, b.after, b.gained, b.lost)
            && a.moved.elementsEqual(b.moved) { $0 == $1 }
    }

    /// Compares what two policies make of the same input.
    ///
    /// A page is the same if it is of the same moment, title and verb: service, severity and fingerprints are what policies decide.
    package init(before: [PolicyPage], after: [PolicyPage]) {
        struct Key: Hashable {
            var detectedAt: UInt64
            var title: String
            var verb: String
        }
        func table(_ pages: [PolicyPage]) -> [Key: [PolicyPage]] {
            Dictionary(grouping: pages) { Key(detectedAt: $0.detectedAt, title: $0.title, verb: $0.verb) }
        }
        let (old, new) = (table(before), table(after))
        (self.before, self.after) = (before.count, after.count)
        for key in Set(old.keys).union(new.keys) {
            let (first, second) = (old[key] ?? [], new[key] ?? [])
            for (one, other) in zip(first, second) where one.targets != other.targets { moved.append((one, other)) }
            lost += first.dropFirst(second.count)
            gained += second.dropFirst(first.count)
        }
        func isBefore(_ a: PolicyPage, _ b: PolicyPage) -> Bool {
            (a.detectedAt, a.title, a.verb) < (b.detectedAt, b.title, b.verb)
        }
        gained.sort(by: isBefore)
        lost.sort(by: isBefore)
        moved.sort { isBefore($0.before, $1.before) }
    }
}

extension PolicyReplay {
    /// Events of one batch, at most.
    private static let batchMax = 500

    /// Who is called for what was recorded: the same for the same input. What comes in one second is one batch.
    ///
    /// `inputs` in the order of the stream. `indicators`: those of the policy's files. `folder`: an empty one. Blocking on files.
    ///
    /// - Throws: `PolicyProblem`, `ArchiveError`.
    package static func pages(
        of inputs: [RecordedInput], _ configuration: ArchiveConfiguration, indicators: IndicatorSet = .empty, folder: String
    ) async throws -> [PolicyPage] {
        guard let first = inputs.first else { return [] }
        let replay = try PolicyReplay(configuration, indicators: indicators, folder: folder, start: first.time)
        var pages = PageLog()
        do {
            var next = 0
            while next < inputs.count {
                pages.take(try await replay.advance(to: inputs[next].time))
                if case .silence(let silence) = inputs[next].content {
                    pages.take(try await replay.receive(silence))
                    next += 1
                    continue
                }
                let begin = next
                var events: [(event: Tocsin_V1_Event, subject: String)] = []
                while next < inputs.count, events.count < batchMax, inputs[next].time / 1000 == inputs[begin].time / 1000,
                    case .event(let event, let subject) = inputs[next].content
                {
                    events.append((event, subject))
                    next += 1
                }
                pages.take(try await replay.advance(to: inputs[next - 1].time))
                pages.take(try await replay.receive(events).changes)
            }
        } catch {
            try await replay.close()
            throw error
        }
        try await replay.close()
        return pages.pages
    }
}

/// Gathers who is called by changes of incidents.
private struct PageLog {
    private(set) var pages: [PolicyPage] = []
    /// By the incident's number.
    private var called: [UInt64: Set<String>] = [:]

    mutating func take(_ changes: [Tocsin_V1_IncidentChange]) {
        for change in changes {
            let incident = change.incident
            let targets = incident.routes.isEmpty ? ["*"] : incident.pages
            let isNew = change.verb == "opened" || change.verb == "reopened"
            let whom = isNew ? targets : targets.filter { called[incident.number]?.contains($0) == false }
            called[incident.number, default: []].formUnion(targets)
            if whom.isEmpty || !isNew && change.verb != "escalated" { continue }
            pages.append(
                PolicyPage(
                    detectedAt: incident.detectedAt, title: incident.title, verb: change.verb,
                    service: incident.services.first ?? "",
                    severity: Severity(rawValue: UInt8(clamping: incident.severity.rawValue))?.name ?? "",
                    priority: Priority(rawValue: UInt8(clamping: incident.priority.rawValue))?.name ?? "",
                    targets: whom, routes: incident.routes))
        }
    }
}
