import GRDB
import TocsinDomain
import TocsinPolicy

/// What the archive judges by: what becomes of incidents, and the policy, compiled once.
struct ArchivePolicy: Sendable {
    let incidents: IncidentPolicy
    let policy: Policy
    let judge: AttentionJudge
    let topology: Topology
    let version: String

    /// - Throws: the first of the policy's problems.
    init(_ incidents: IncidentPolicy, _ policy: Policy = Policy()) throws(PolicyProblem) {
        self.policy = policy
        judge = try AttentionJudge(policy)
        topology = Topology(policy.services)
        version = policy.version
        self.incidents = incidents
    }

    /// Whether an alert whose condition began and ended at `changes` comes and goes too often, as far as `time`; and until when
    /// that is so if nothing more happens. Milliseconds since 1970.
    func flapping(_ changes: [UInt64], at time: UInt64) -> UInt64? {
        guard let flapping = policy.flapping, let last = changes.last else { return nil }
        let within = Self.milliseconds(flapping.within)
        let recent = changes.reversed().prefix { $0 + within > last }
        let calm = last + Self.milliseconds(flapping.hold)
        return recent.count >= flapping.changes && time < calm ? calm : nil
    }

    /// When an alert that flaps has been calm, if nothing more happens after `time`.
    func calm(after time: UInt64) -> UInt64 { time + (policy.flapping.map { Self.milliseconds($0.hold) } ?? 1) }

    static func milliseconds(_ duration: Duration) -> UInt64 {
        let (seconds, attoseconds) = duration.components
        return UInt64(clamping: seconds) &* 1000 &+ UInt64(clamping: attoseconds / 1_000_000_000_000_000)
    }

    /// Alerts of an incident that its routes look at, at most.
    private static let alertsMax = 64

    /// Whether a change may alter who is told.
    func routes(_ draft: IncidentDraft) -> Bool {
        !policy.routes.isEmpty && !draft.verb.isEmpty && draft.incident.state.isOpen
    }

    /// Who is told of an open incident that has changed, by its alerts. Returns the reasons; none if that is as it was.
    func route(_ draft: inout IncidentDraft, _ alerts: [String: AlertView]) -> [Decision] {
        // Without alerts that fire it stays as it was.
        if alerts.isEmpty { return [] }
        let incident = draft.incident
        let views = alerts.values.sorted { $0.fingerprint < $1.fingerprint }.prefix(Self.alertsMax)
        let view = IncidentView(
            severity: incident.severity, priority: incident.priority, drill: incident.drill, alerts: Array(views))
        let routing = judge.route(view, at: incident.updatedAt)
        guard routing.routes != incident.routes || routing.pages != incident.pages else { return [] }
        draft.edit {
            $0.routes = routing.routes
            $0.pages = routing.pages
        }
        if !Set(routing.pages).isSubset(of: incident.pages) { draft.tell("escalated") }
        let pages = routing.pages.isEmpty ? "nobody" : routing.pages.joined(separator: ", ")
        draft.record(
            "routed", by: Lifecycle.automaticActor, "\(pages), by \(routing.routes.joined(separator: ", "))",
            before: incident.pages.joined(separator: ", "), after: routing.pages.joined(separator: ", "), at: incident.updatedAt)
        return routing.decisions
    }

    /// An incident's alerts that have not ended, by fingerprint.
    static func alerts(of number: UInt64, _ sealer: Sealer) throws -> [String: AlertView] {
        let columns = AlertRecord.columns.split(separator: ", ").map { "alerts.\($0)" }.joined(separator: ", ")
        let statement = try sealer.db.cachedStatement(
            sql: """
                SELECT \(columns) FROM incident_alerts JOIN alerts USING (fingerprint)
                WHERE incident_alerts.incident = ? AND alerts.incident = ? AND alerts.state IN ('firing', 'suppressed')
                ORDER BY fingerprint LIMIT \(alertsMax)
                """)
        var views: [String: AlertView] = [:]
        for row in try Row.fetchAll(statement, arguments: [stored(number), stored(number)]) {
            let view = try AlertView(try AlertRecord(row), sealer)
            views[view.fingerprint] = view
        }
        return views
    }
}
