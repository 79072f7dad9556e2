import GRDB
import TocsinDomain
import TocsinProto
import TocsinText

extension ArchiveStore {
    private static let similarDefault = 10
    private static let similarMax = 50
    private static let similarTextBytes = 16 << 10

    /// Incidents of the past that are most like one, or like a text, and what helped in them.
    /// `viewer`: who asks; nil: somebody who may see everything. What the viewer may not see does not exist.
    ///
    /// - Throws: `CommandRefusal`, `ArchiveError`, `CancellationError`.
    func findSimilar(
        _ request: Tocsin_V1_FindSimilarIncidentsRequest, for viewer: String? = nil
    ) async throws -> Tocsin_V1_FindSimilarIncidentsResponse {
        let limit = request.limit == 0 ? Self.similarDefault : min(Int(request.limit), Self.similarMax)
        let past = past
        return try await readSealed { sealer in
            let text = try Self.text(of: request, for: viewer, sealer)
            func found(_ number: UInt64) throws -> IncidentRecord? {
                guard let incident = try IncidentRecord.find(number, in: sealer.db), incident.teaches,
                    try sealer.shows(incident, to: viewer)
                else { return nil }
                return incident
            }
            let hits = try past.similar(to: text, limit: limit, excluding: request.number) { try found($0) != nil }
            var response = Tocsin_V1_FindSimilarIncidentsResponse()
            response.known = UInt32(clamping: past.count)
            for hit in hits {
                // It may have changed since, or before: this transaction decides.
                guard let incident = try found(hit.id) else { continue }
                response.incidents.append(try Self.similar(incident, hit, sealer))
            }
            response.runbooks = Self.runbooks(of: response.incidents)
            return response
        }
    }

    /// Reads some of the incidents that were there when the archiver started. Returns whether more are left.
    func learnPast(limit: Int) async throws -> Bool {
        let past = past
        return try await read { try past.learn(limit: limit, in: $0) }
    }

    private static func text(
        of request: Tocsin_V1_FindSimilarIncidentsRequest, for viewer: String?, _ sealer: Sealer
    ) throws -> TextIndex.Text {
        switch request.subject {
        case .number(let number)?:
            guard let incident = try IncidentRecord.find(number, in: sealer.db), try sealer.shows(incident, to: viewer) else {
                throw CommandRefusal(.notFound, "there is no incident \(number)")
            }
            return try incident.text(in: sealer.db)
        case .text(let text)?:
            guard text.utf8.count <= similarTextBytes else {
                throw CommandRefusal(
                    .invalidArgument, "text has \(text.utf8.count) bytes; at most \(similarTextBytes) are possible")
            }
            guard !Command.isBlank(text) else { throw CommandRefusal(.invalidArgument, "text is empty; tell what happened") }
            return TextIndex.Text(title: text)
        case nil: throw CommandRefusal(.invalidArgument, "number and text are missing; give one of them")
        }
    }

    private static func similar(
        _ incident: IncidentRecord, _ hit: TextIndex.Hit, _ sealer: Sealer
    ) throws -> Tocsin_V1_SimilarIncident {
        let fix = try String.fetchOne(
            sealer.db,
            sql: "SELECT text FROM timeline WHERE incident = ? AND verb = 'mitigated' ORDER BY sequence DESC LIMIT 1",
            arguments: [stored(incident.number)])
        var similar = Tocsin_V1_SimilarIncident()
        similar.number = incident.number
        similar.title = try sealer.open(incident.title)
        similar.services = incident.services
        similar.cause = try sealer.open(incident.cause)
        similar.resolution = try sealer.open(fix ?? "")
        similar.runbook = incident.mitigatedBy.wholeRunbook
        similar.resolvedAt = incident.resolvedAt
        similar.score = hit.score
        similar.sharedTerms = hit.sharedTerms
        return similar
    }

    private static func runbooks(of incidents: [Tocsin_V1_SimilarIncident]) -> [Tocsin_V1_RunbookSuggestion] {
        var suggestions: [String: Tocsin_V1_RunbookSuggestion] = [:]
        for incident in incidents where !incident.runbook.isEmpty {
            suggestions[incident.runbook, default: .with { $0.runbook = incident.runbook }].score += incident.score
            suggestions[incident.runbook]?.incidents.append(incident.number)
        }
        return suggestions.values.sorted { ($0.score, $1.runbook) > ($1.score, $0.runbook) }
    }
}

extension String {
    /// The name of the runbook that an actor is; empty for any other actor.
    fileprivate var wholeRunbook: String { hasPrefix("runbook:") ? String(dropFirst("runbook:".count)) : "" }
}
