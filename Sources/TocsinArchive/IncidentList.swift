import FoundationEssentials
import GRDB
import TocsinDomain
import TocsinProto

/// A list of incidents that was asked for: filters, and where its page begins.
///
/// Pages go by key, not by count: the next one begins after the last incident of this one in the order of the list, however
/// many have come or gone before it.
struct IncidentList: Sendable {
    /// First what has to be acted on, then what is over; the worst first; the latest first. As the index has it.
    private static let order = "state > \(IncidentState.mitigated.rawValue), severity DESC, number DESC"
    private static let servicesMax = 64

    private let conditions: [String]
    private let arguments: StatementArguments
    private let pageSize: Int
    private let start: PageStart?

    /// Throws `invalidArgument` that names the field, `ArchiveError`.
    init(_ request: Tocsin_V1_ListIncidentsRequest, for viewer: String?, _ sealer: Sealer) throws {
        func refuse(_ message: String) -> CommandRefusal { CommandRefusal(.invalidArgument, message) }
        var conditions: [String] = []
        var arguments = StatementArguments()
        func list(_ count: Int) -> String { "(" + Array(repeating: "?", count: count).joined(separator: ", ") + ")" }

        if let viewer {
            conditions.append(
                "(need_to_know = '[]' OR EXISTS (SELECT 1 FROM json_each(need_to_know) WHERE value = ?))")
            arguments += [try sealer.find(actor: viewer) ?? ""]
        }
        for (index, state) in request.states.enumerated() where IncidentState(rawValue: UInt8(clamping: state.rawValue)) == nil {
            throw refuse("states[\(index)] is \(state.rawValue), which is no state; 1 to 9 are detected to dismissed")
        }
        let states = Set(request.states.map(\.rawValue)).sorted()
        if states.isEmpty {
            conditions.append("state < \(IncidentState.closed.rawValue)")
        } else if states.count < IncidentState.allCases.count {
            conditions.append("state IN \(list(states.count))")
            arguments += StatementArguments(states.map(Int64.init))
        }
        guard request.services.count <= Self.servicesMax else {
            throw refuse("services are \(request.services.count); at most \(Self.servicesMax) are possible")
        }
        if !request.services.isEmpty {
            conditions.append("EXISTS (SELECT 1 FROM json_each(services) WHERE value IN \(list(request.services.count)))")
            arguments += StatementArguments(request.services)
        }
        if request.minimumSeverity != .unspecified {
            guard let severity = Severity(rawValue: UInt8(clamping: request.minimumSeverity.rawValue)) else {
                throw refuse(
                    "minimum_severity \(request.minimumSeverity.rawValue) does not exist; 1 to 4 are info, minor, major, critical"
                )
            }
            conditions.append("severity >= \(severity.rawValue)")
        }
        if request.unassigned, !request.assignee.isEmpty {
            throw refuse("assignee and unassigned are both set; nothing could match")
        }
        if request.unassigned || !request.assignee.isEmpty {
            conditions.append("assignee = ?")
            // Nobody whom the archive does not know owns anything.
            arguments += [request.unassigned ? "" : try sealer.find(actor: request.assignee)]
        }
        guard request.titleContains.utf8.count <= TextLimit.title else {
            throw refuse(
                "title_contains has \(request.titleContains.utf8.count) bytes; at most \(TextLimit.title) are possible")
        }
        if !request.titleContains.isEmpty {
            // Of what is sealed in a title only the whole can be found.
            conditions.append("(instr(lower(plain_text(title)), lower(?)) > 0 OR instr(title, ?) > 0)")
            arguments += [SealedText.escape(request.titleContains), try sealer.beginning(of: request.titleContains)]
        }
        if request.since > 0 {
            conditions.append("detected_at >= ?")
            arguments += [stored(request.since)]
        }
        if request.until > 0 {
            guard request.until > request.since else {
                throw refuse("until \(request.until) is not after since \(request.since); nothing could match")
            }
            conditions.append("detected_at < ?")
            arguments += [stored(request.until)]
        }
        switch request.drills {
        case .unspecified: break
        case .exclude: conditions.append("drill = 0")
        case .only: conditions.append("drill = 1")
        case .UNRECOGNIZED(let value):
            throw refuse("drills \(value) does not exist; 0 is all, 1 excludes drills, 2 is drills only")
        }
        if request.pageToken.isEmpty {
            start = nil
        } else {
            guard let read = PageStart(token: request.pageToken) else {
                throw refuse("page_token is none that this service gave; leave it empty to begin with the first page")
            }
            start = read
        }
        pageSize =
            request.pageSize == 0
            ? QueryLimit.incidentsDefault : Int(min(request.pageSize, UInt32(QueryLimit.incidentsMax)))
        self.conditions = conditions
        self.arguments = arguments
    }

    func page(_ sealer: Sealer) throws -> Tocsin_V1_ListIncidentsResponse {
        let db = sealer.db
        var response = Tocsin_V1_ListIncidentsResponse()
        let filter = conditions.isEmpty ? "" : "WHERE " + conditions.joined(separator: " AND ")
        let total = try Int64.fetchOne(db, sql: "SELECT count(*) FROM incidents \(filter)", arguments: arguments)
        response.total = UInt64(clamping: total ?? 0)
        let all = (conditions + (start.map { [$0.condition] } ?? [])).joined(separator: " AND ")
        // One more than the page tells whether there is a next one.
        let rows = try Row.fetchCursor(
            db,
            sql: """
                SELECT \(IncidentRecord.columns) FROM incidents \(all.isEmpty ? "" : "WHERE " + all)
                ORDER BY \(Self.order) LIMIT \(pageSize + 1)
                """, arguments: arguments)
        var last: IncidentRecord?
        while let row = try rows.next() {
            if response.incidents.count == pageSize {
                response.nextPageToken = last.map { PageStart(after: $0).token } ?? ""
                break
            }
            let incident = try IncidentRecord(row)
            response.incidents.append(try sealer.open(incident.proto))
            last = incident
        }
        return response
    }
}

/// The place in the order of a list after which a page begins.
private struct PageStart: Sendable {
    private let isOver: Bool
    private let severity: UInt8
    private let number: UInt64

    init(after incident: IncidentRecord) {
        isOver = !incident.state.isOpen
        severity = incident.severity.rawValue
        number = incident.number
    }

    /// What comes after it, in SQL.
    var condition: String {
        let over = "(state > \(IncidentState.mitigated.rawValue))"
        let worse = "severity < \(severity) OR (severity = \(severity) AND number < \(stored(number)))"
        return isOver ? "(\(over) AND (\(worse)))" : "(\(over) OR \(worse))"
    }

    /// Format 1: version, over or not, severity, number; Base64, because it is nobody's to read.
    var token: String { Data("1 \(isOver ? 1 : 0) \(severity) \(number)".utf8).base64EncodedString() }

    init?(token: String) {
        guard token.utf8.count <= 64, let bytes = Data(base64Encoded: token) else { return nil }
        let parts = String(decoding: bytes, as: UTF8.self).split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "1", parts[1] == "0" || parts[1] == "1",
            let severity = Severity(rawValue: UInt8(parts[2]) ?? 0), let number = UInt64(parts[3])
        else { return nil }
        isOver = parts[1] == "1"
        self.severity = severity.rawValue
        self.number = number
    }
}
