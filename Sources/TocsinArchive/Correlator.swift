import GRDB
import TocsinDomain
import TocsinPolicy
import TocsinText
import TocsinWire

/// Finds the open incident that a new alert is part of.
///
/// In this order: the same correlation key of a rule; the same service of the catalogue; a service that it depends on, which
/// explains it; one that depends on it, which it explains; another tool that speaks of the same host, or in similar words. All
/// but the first only within the window after the last alert of the incident began.
struct Correlator {
    let sealer: Sealer
    let policy: ArchivePolicy
    /// When the alert began, or began to be told of; milliseconds since 1970.
    let time: UInt64
    /// The incident as it is now, for whoever has changed it in this transaction.
    let incident: (UInt64) throws -> IncidentRecord?

    /// What was found.
    struct Match {
        var joining: IncidentPolicy.Joining
        var decision: Decision
        /// Others that are explained by the same alert, and of which nobody has taken care yet.
        var others: [UInt64] = []
    }

    /// Rows looked at for one key, at most, the latest.
    private static let rowsMax = 64
    /// Alerts share at least so many terms to be taken for similar.
    private static let termsMin = 3

    private var db: Database { sealer.db }
    private var settings: Correlation { policy.policy.correlation }

    /// `view`: the alert as it was said.
    func find(_ facts: AlertFacts, _ view: AlertView) throws -> Match? {
        if let match = try byKey(facts) { return match }
        if policy.topology.contains(facts.service) {
            if settings.services, let match = try byService(facts) { return match }
            if settings.topology {
                if let match = try byDependency(facts) { return match }
                if let match = try byDependents(facts) { return match }
            }
        }
        return try byWords(facts, view)
    }

    private func byKey(_ facts: AlertFacts) throws -> Match? {
        guard !facts.correlationKey.isEmpty else { return nil }
        let rows = try rows(Self.key(facts.correlationKey), facts, always: true)
        guard let (found, _) = try firstOpen(rows, facts) else { return nil }
        return match(found, "correlation key", "the same values of the rule's labels", facts)
    }

    private func byService(_ facts: AlertFacts) throws -> Match? {
        let rows = try rows(Self.key(service: facts.service), facts)
        guard let (found, row) = try firstOpen(rows, facts) else { return nil }
        return match(found, "service", "the same service \(facts.service), \(row.distance(time))", facts)
    }

    private func byDependency(_ facts: AlertFacts) throws -> Match? {
        for service in policy.topology.dependencies(of: facts.service) {
            let rows = try rows(Self.key(service: service), facts)
            if let (found, row) = try firstOpen(rows, facts) {
                let why = "\(facts.service) depends on \(service), which is in trouble, \(row.distance(time))"
                return match(found, "topology", why, facts)
            }
        }
        return nil
    }

    /// What it explains: the earliest of those incidents takes it, and the others, unless somebody is at work on them.
    private func byDependents(_ facts: AlertFacts) throws -> Match? {
        var explained: [UInt64: (IncidentRecord, String, Row)] = [:]
        for service in policy.topology.dependents(of: facts.service) {
            for row in try rows(Self.key(service: service), facts) where explained[row.incident] == nil {
                if let found = try open(row.incident, facts) { explained[row.incident] = (found, service, row) }
            }
        }
        guard let first = explained.keys.min(), let (found, service, row) = explained[first] else { return nil }
        let why = "\(service) depends on \(facts.service), which explains it, \(row.distance(time))"
        var match = match(found, "topology", why, facts)
        match.others = explained.values.map(\.0).filter {
            $0.number != first && $0.state == .triaged
        }.map(\.number).sorted()
        return match
    }

    /// One fault that several tools tell of: on one host, or in similar words.
    private func byWords(_ facts: AlertFacts, _ view: AlertView) throws -> Match? {
        if let host = HostName(of: view) {
            let hosts = try rows(Self.key(host: host.name), facts)
            for row in hosts where row.tool != Self.tool(facts.source) && host.mayBe(in: row.summary) {
                if let found = try open(row.incident, facts) {
                    let why = "\(row.tool) and \(Self.tool(facts.source)) both speak of this host, \(row.distance(time))"
                    return match(found, "host", why, facts)
                }
            }
        }
        guard let least = settings.similarity else { return nil }
        let terms = Self.terms(view.summary)
        guard terms.count >= Self.termsMin else { return nil }
        var best: (score: Double, shared: Int, row: Row)?
        for row in try rows(Self.summaries, facts) where row.tool != Self.tool(facts.source) {
            let others = Self.terms(try sealer.open(row.summary))
            let shared = terms.intersection(others).count
            guard shared >= Self.termsMin else { continue }
            let score = Double(shared) / (Double(terms.count) * Double(others.count)).squareRoot()
            if score >= least, score > best?.score ?? 0, try open(row.incident, facts) != nil { best = (score, shared, row) }
        }
        guard let best, let found = try open(best.row.incident, facts) else { return nil }
        let why =
            "\(best.row.tool) says nearly the same: \(best.shared) terms shared, similarity \(Int(best.score * 100)) %, "
            + best.row.distance(time)
        return match(found, "similarity", why, facts)
    }

    private func match(_ incident: IncidentRecord, _ rule: String, _ why: String, _ facts: AlertFacts) -> Match {
        Match(
            joining: IncidentPolicy.Joining(incident: incident, why: why),
            decision: Decision(.correlation, rule: rule, why, "part of incident \(incident.number)"))
    }

    // MARK: - Rows

    private struct Row {
        var incident: UInt64
        var at: UInt64
        var tool: String
        var summary: String

        func distance(_ time: UInt64) -> String {
            let milliseconds = at > time ? at - time : time - at
            return "within \((milliseconds + 999) / 1000) s"
        }
    }

    private func rows(_ key: String, _ facts: AlertFacts, always: Bool = false) throws -> [Row] {
        let window = ArchivePolicy.milliseconds(settings.window)
        let statement = try db.cachedStatement(
            sql: """
                SELECT incident, at, source, summary FROM correlations
                WHERE key = ? AND at >= ? AND at <= ? AND fingerprint != ? ORDER BY at DESC, incident LIMIT \(Self.rowsMax)
                """)
        let first = always || time < window ? 0 : time - window
        let last = always ? UInt64(Int64.max) : time + window
        return try GRDB.Row.fetchAll(
            statement, arguments: [key, stored(first), stored(last), facts.fingerprint]
        ).map {
            Row(incident: UInt64(clamping: $0[0] as Int64), at: UInt64(clamping: $0[1] as Int64), tool: $0[2], summary: $0[3])
        }
    }

    private func firstOpen(_ rows: [Row], _ facts: AlertFacts) throws -> (IncidentRecord, Row)? {
        for row in rows {
            if let found = try open(row.incident, facts) { return (found, row) }
        }
        return nil
    }

    /// An incident that the alert may join: what is real is never part of a drill, nor the other way round; where the harm has
    /// stopped, or not everybody may know of it, what comes new is an incident of its own.
    private func open(_ number: UInt64, _ facts: AlertFacts) throws -> IncidentRecord? {
        guard let incident = try incident(number), incident.state.isOpen, incident.state != .mitigated,
            incident.drill == facts.drill, incident.needToKnow.isEmpty
        else { return nil }
        return incident
    }

    /// How the incident of an alert that begins to fire is found by others.
    func remember(_ facts: AlertFacts, _ view: AlertView, in incident: UInt64) throws {
        var keys = [Self.summaries]
        if !facts.correlationKey.isEmpty { keys.append(Self.key(facts.correlationKey)) }
        if policy.topology.contains(facts.service) { keys.append(Self.key(service: facts.service)) }
        let host = HostName(of: view)
        if let host { keys.append(Self.key(host: host.name)) }
        let kept = max(86_400_000, ArchivePolicy.milliseconds(settings.window))
        let past = try db.cachedStatement(sql: "DELETE FROM correlations WHERE key = ? AND at < ?")
        let statement = try db.cachedStatement(
            sql: """
                INSERT INTO correlations (key, incident, fingerprint, at, source, summary) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (key, incident, fingerprint) DO UPDATE SET at = excluded.at, source = excluded.source,
                    summary = excluded.summary
                """)
        for key in keys {
            // What is beyond every window is found no more; a rule's key has none.
            if key != Self.key(facts.correlationKey), time > kept {
                try past.execute(arguments: [key, stored(time - kept)])
            }
            try statement.execute(arguments: [
                key, stored(incident), facts.fingerprint, stored(time), Self.tool(facts.source),
                key == Self.summaries ? facts.summary : host.flatMap { key == Self.key(host: $0.name) ? $0.domain : nil } ?? "",
            ])
        }
    }

    // MARK: - Keys

    private static let summaries = "summary"
    private static func key(_ correlation: String) -> String { "key:\(correlation)" }
    private static func key(service: String) -> String { "service:\(service)" }
    private static func key(host: String) -> String { "host:\([UInt8](CanonicalBytes(host).digest.prefix(16)).hexadecimal)" }

    /// What saw it, without what it looked at: "http:checkout" is of http.
    private static func tool(_ source: String) -> String { String(source.prefix { $0 != ":" }) }

    private static func terms(_ summary: String) -> Set<UInt64> {
        Set(TextTerms(summary).terms.lazy.filter { $0.kind == .word }.map(\.hash))
    }
}

/// The host that an alert is about, as its labels have it.
struct HostName: Equatable {
    /// Its first name, or its address, in lower case.
    var name: String
    /// What tells it apart from others of that name; empty where the label has none.
    var domain = ""

    private static let labels = ["host", "hostname", "instance", "node", "nodename"]

    /// Nil: it says none, or only that it is whoever speaks.
    init?(of view: AlertView) {
        guard let label = Self.labels.compactMap({ view.labels[$0] }).first(where: { !$0.isEmpty }) else { return nil }
        self.init(label)
    }

    init?(_ text: String) {
        guard text.utf8.count <= TextLimit.name else { return nil }
        var host = text.lowercased()[...]
        if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
            host = host[host.index(after: host.startIndex)..<end]
        } else if host.count(where: { $0 == ":" }) == 1 {
            host = host.prefix { $0 != ":" }
        }
        let isAddress = host.contains(":") || host.allSatisfy { $0.isNumber || $0 == "." }
        name = isAddress ? String(host) : String(host.prefix { $0 != "." })
        let rest = host.dropFirst(name.count)
        // It may say where people are, so it is not kept as it is.
        if !rest.isEmpty { domain = [UInt8](CanonicalBytes(String(rest)).digest.prefix(8)).hexadecimal }
        if name.isEmpty || name == "localhost" || name == "::1" || name.hasPrefix("127.") { return nil }
    }

    /// Whether one of this name in `other` may be the same: one of them does not say where it is, or both say the same.
    func mayBe(in other: String) -> Bool { domain.isEmpty || other.isEmpty || domain == other }
}
