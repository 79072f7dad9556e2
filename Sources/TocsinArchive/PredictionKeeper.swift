import Crypto
import GRDB
import Logging
import TocsinDomain
import TocsinKit
import TocsinPolicy
import TocsinPosix
import TocsinProto
import TocsinWire

/// Warns early: when an alert begins that often preceded incidents of a kind, an event says so, and another when it is over. Reads the
/// archive and never writes it: its events go the way of all events.
///
/// An event's id follows from what it tells, and what is to be ended is read from the archive: an archiver that starts anew warns of
/// nothing twice, and ends what the one before has warned of.
struct PredictionKeeper: Sendable {
    let store: ArchiveStore
    let logger: Logger
    let publish: @Sendable ([Message]) async throws -> Void

    static let source = "prediction:archive"
    private static let pause = Duration.seconds(10)
    /// How often all is learnt anew, milliseconds.
    private static let learning: UInt64 = 600_000
    /// What is remembered of what was published; beyond it, the hub knows the ids.
    private static let publishedMax = 10_000

    struct Memory {
        var precursors = Precursors()
        fileprivate var prediction: Prediction?
        fileprivate var learntAt: UInt64 = 0
        fileprivate var recent = RecentAlerts()
        fileprivate var published: Set<String> = []
    }

    /// Until its task ends.
    func run() async {
        var memory = Memory()
        await Keeper.run(every: Self.pause, "early warnings wait", logger) {
            try await step(&memory, now: MachineClock.wall())
        }
    }

    /// Looks once. `now`: milliseconds since 1970.
    func step(_ memory: inout Memory, now: UInt64) async throws {
        let policy = store.policy
        guard let prediction = policy.policy.prediction else {
            memory = Memory()
            let open = try await store.read { try OpenWarning.all(in: $0) }
            return try await send(open.map { try $0.end("nobody is to be warned any more", now: now) }, &memory)
        }
        let minimum = policy.incidents.minimumSeverity
        let window = ArchivePolicy.milliseconds(prediction.window)
        if memory.prediction != prediction || now >= memory.learntAt + Self.learning {
            memory.precursors = try await store.read { db in
                try Precursors(
                    AlertBeginnings.all(minimum, window, in: db), Precursors.Outbreak.all(in: db), prediction, now: now)
            }
            (memory.prediction, memory.learntAt) = (prediction, now)
        }
        let before = memory.recent
        let seen = try await store.read { db in
            var recent = before
            let firing = try recent.firing(minimum, window, now: now, in: db)
            let warned = try OpenWarning.all(in: db).map { warning in
                let beginnings = try AlertBeginnings.find(warning.precursor, minimum, window, in: db)
                return (warning, beginnings?.isFiring(at: now, window) ?? false)
            }
            return (recent, firing, warned, Set(try Precursors.Outbreak.open(in: db).map(\.kind)))
        }
        memory.recent = seen.0
        var messages: [Message] = []
        var known = seen.3
        for (warning, isFiring) in seen.2 {
            let why: String? =
                if known.contains(warning.kind) {
                    "it has come"
                } else if !isFiring {
                    "what preceded it has ended"
                } else if now >= warning.began + window {
                    "it has not come"
                } else {
                    nil
                }
            if let why { messages.append(try warning.end(why, now: now)) }
        }
        known.formUnion(seen.2.map(\.0.kind))
        for warning in memory.precursors.warnings(seen.1, open: known, now: now) {
            messages.append(try warning.message(prediction, now: now))
        }
        try await send(messages, &memory)
    }

    private func send(_ messages: [Message], _ memory: inout Memory) async throws {
        let news = messages.filter { !memory.published.contains(String(decoding: $0.id, as: UTF8.self)) }
        if news.isEmpty { return }
        try await publish(news)
        if memory.published.count > Self.publishedMax { memory.published = [] }
        memory.published.formUnion(news.map { String(decoding: $0.id, as: UTF8.self) })
    }
}

/// A warning that is open in the archive.
private struct OpenWarning: Sendable {
    var service: String
    var summary: String
    var kind: Precursors.Kind
    var precursor: String
    var began: UInt64

    private static let limit = 1000

    static func all(in db: Database) throws -> [OpenWarning] {
        let rows = try Row.fetchAll(
            db,
            sql: """
                SELECT \(AlertRecord.columns) FROM alerts WHERE state IN ('firing', 'suppressed') AND source = ? LIMIT \(limit)
                """, arguments: [PredictionKeeper.source])
        return try rows.compactMap { row in
            let alert = try AlertRecord(row)
            // Anybody may claim to be the source.
            guard let kind = alert.labels["predicts"].flatMap({ Precursors.Kind(hexadecimal: $0) }),
                let precursor = alert.labels["precursor"], let began = alert.labels["began"].flatMap({ UInt64($0) }),
                began < 1 << 62
            else { return nil }
            return OpenWarning(service: alert.service, summary: alert.summary, kind: kind, precursor: precursor, began: began)
        }
    }

    func end(_ why: String, now: UInt64) throws -> Message {
        var event = Tocsin_V1_Event.prediction(.resolve, kind, precursor, began, service, now: now)
        event.summary = TextLimit.clip("No more to be feared: \(why)", to: TextLimit.title)
        return try event.asMessage()
    }
}

extension Precursors.Warning {
    fileprivate func message(_ prediction: Prediction, now: UInt64) throws -> Message {
        var event = Tocsin_V1_Event.prediction(
            .trigger, latest.kind, precursor.fingerprint, precursor.time, latest.service, now: now)
        let minutes = max(1, (lead + 30_000) / 60_000)
        event.severityHint = Severity.minor.name
        event.summary = TextLimit.clip(
            "May become: \(latest.title): \(followed) of \(episodes) times within \(minutes) min after \(precursor.summary)",
            to: TextLimit.title)
        event.details = [
            "incident": String(latest.number), "precursor": precursor.fingerprint, "followed": String(followed),
            "episodes": String(episodes), "lower_bound": String((bound * 1000).rounded() / 1000),
            "threshold": String(prediction.threshold), "median_lead": "\(minutes) min",
        ]
        return try event.asMessage()
    }
}

extension Precursors.Kind {
    var hexadecimal: String {
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Nil for what is none.
    init?(hexadecimal text: String) {
        guard let hash = UInt64(text, radix: 16) else { return nil }
        self.hash = hash
    }
}

extension Tocsin_V1_Event {
    fileprivate static func prediction(
        _ kind: Tocsin_V1_EventKind, _ predicted: Precursors.Kind, _ precursor: String, _ began: UInt64, _ service: String,
        now: UInt64
    ) -> Tocsin_V1_Event {
        let predicted = predicted.hexadecimal
        let digest = SHA256.hash(data: Array("\(predicted)/\(precursor)/\(began)".utf8)).prefix(16).hexadecimal
        return .with {
            $0.id = "prediction/\(digest)" + (kind == .resolve ? "/end" : "")
            $0.kind = kind
            $0.source = PredictionKeeper.source
            $0.service = service
            $0.dedupKey = "prediction/\(predicted)"
            $0.observedAt = now
            $0.labels = ["predicts": predicted, "precursor": precursor, "began": String(began)]
        }
    }

    fileprivate func asMessage() throws -> Message {
        try Message(
            self, id: Array(id.utf8), subject: "event.prediction.\(Subject.token(service))",
            severity: WireSeverity(rawValue: Severity.minor.rawValue) ?? .minor, key: dedupKey)
    }
}

/// The alerts that began of late: those that decisions were made about since it was last asked.
struct RecentAlerts: Sendable {
    private var mark: Int64?
    private var fingerprints: Set<String> = []

    private static let limit: Int64 = 10_000

    /// Those that began within the window and fire.
    mutating func firing(
        _ minimum: Severity, _ window: UInt64, now: UInt64, in db: Database
    ) throws -> [Precursors.Beginning] {
        let last = try Int64.fetchOne(db, sql: "SELECT max(id) FROM decisions") ?? 0
        // Of a storm the latest; at the start, those that may be of the last window.
        let from = max(mark ?? 0, last - Self.limit)
        fingerprints.formUnion(
            try String.fetchAll(db, sql: "SELECT DISTINCT fingerprint FROM decisions WHERE id > ?", arguments: [from]))
        mark = last
        var firing: [Precursors.Beginning] = []
        for fingerprint in fingerprints {
            guard let alert = try AlertBeginnings.find(fingerprint, minimum, window, in: db),
                let latest = alert.beginnings.last, now < latest.time + window
            else {
                fingerprints.remove(fingerprint)
                continue
            }
            if alert.isFiring(at: now, window) { firing.append(latest) }
        }
        return firing
    }
}

/// When an alert began.
struct AlertBeginnings: Sendable {
    /// In order; never empty.
    var beginnings: [Precursors.Beginning]
    private var isOpen: Bool
    private var lastAt: UInt64
    private var isQuiet: Bool

    private static let limit = 50_000
    private static let select = """
        SELECT \(AlertRecord.columns),
            coalesce((SELECT fires FROM holds WHERE holds.fingerprint = alerts.fingerprint), 1),
            coalesce((SELECT drill FROM incidents WHERE number = alerts.incident), 0)
        FROM alerts
        """

    /// Of the alerts that were heard of last.
    static func all(_ minimum: Severity, _ window: UInt64, in db: Database) throws -> [Precursors.Beginning] {
        let rows = try Row.fetchCursor(db, sql: select + " ORDER BY last_at DESC LIMIT \(limit)")
        var all: [Precursors.Beginning] = []
        while let row = try rows.next() { all += try AlertBeginnings(row, minimum, window)?.beginnings ?? [] }
        return all
    }

    static func find(
        _ fingerprint: String, _ minimum: Severity, _ window: UInt64, in db: Database
    ) throws -> AlertBeginnings? {
        let statement = try db.cachedStatement(sql: select + " WHERE fingerprint = ?")
        return try Row.fetchOne(statement, arguments: [fingerprint]).flatMap { try AlertBeginnings($0, minimum, window) }
    }

    /// Nil for drills and early warnings. `minimum`: of what less severe alerts tell nobody knows the end: each time they are heard of
    /// is noted, and a beginning if there was none within the window before.
    private init?(_ row: Row, _ minimum: Severity, _ window: UInt64) throws {
        let alert = try AlertRecord(row)
        let (isHeldFiring, isDrill): (Bool, Bool) = (row[16], row[17])
        if isDrill || alert.source == PredictionKeeper.source { return nil }
        isQuiet = alert.severity < minimum && !alert.state.isOpen
        isOpen = alert.state.isOpen && isHeldFiring
        lastAt = alert.lastAt
        var times: [UInt64] = []
        if alert.changes.isEmpty {
            times = [alert.firstAt]
        } else if isQuiet {
            for time in alert.changes where times.last.map({ time >= $0 + window }) ?? true { times.append(time) }
        } else {
            var isBeginning = isOpen
            for time in alert.changes.reversed() {
                if isBeginning { times.append(time) }
                isBeginning.toggle()
            }
            times.reverse()
            if times.isEmpty { times = [alert.firstAt] }
        }
        let summary = alert.summary.withoutNames
        let kind = Precursors.Kind(service: alert.service, summary: summary)
        beginnings = times.map {
            Precursors.Beginning(time: $0, kind: kind, fingerprint: alert.fingerprint, summary: summary)
        }
    }

    func isFiring(at now: UInt64, _ window: UInt64) -> Bool { isQuiet ? now < lastAt + window : isOpen }
}

extension Precursors.Outbreak {
    private static let limit = 20_000
    private static let alertsMax = 100

    /// The latest, but for drills, what was none, what is part of another, and what not everybody may know of.
    static func all(in db: Database) throws -> [Self] {
        let none = [IncidentState.dismissed, .merged].map { Int64($0.rawValue) }
        return try read("drill = 0 AND state NOT IN (\(none[0]), \(none[1])) ORDER BY number DESC LIMIT \(limit)", in: db)
    }

    static func open(in db: Database) throws -> [Self] { try read("(state > 5) = 0 AND drill = 0 LIMIT \(limit)", in: db) }

    private static func read(_ condition: String, in db: Database) throws -> [Self] {
        let rows = try Row.fetchCursor(db, sql: "SELECT \(IncidentRecord.columns) FROM incidents WHERE \(condition)")
        var outbreaks: [Self] = []
        while let row = try rows.next() {
            let incident = try IncidentRecord(row)
            guard incident.needToKnow.isEmpty, incident.trafficLight != .red else { continue }
            if let outbreak = try Self(incident, in: db) { outbreaks.append(outbreak) }
        }
        return outbreaks
    }

    /// Nil if it has no alert but early warnings.
    private init?(_ incident: IncidentRecord, in db: Database) throws {
        let statement = try db.cachedStatement(
            sql: """
                SELECT \(AlertRecord.columns) FROM alerts
                WHERE fingerprint IN (SELECT fingerprint FROM incident_alerts WHERE incident_alerts.incident = ?) AND source != ?
                ORDER BY first_at, fingerprint LIMIT \(Self.alertsMax)
                """)
        let alerts = try Row.fetchAll(statement, arguments: [stored(incident.number), PredictionKeeper.source])
            .map { try AlertRecord($0) }
        // The incident may be as old as the warning that it has taken in: what counts is when its first alert began.
        let began = alerts.map { alert in
            (alert, alert.changes.first { $0 >= incident.detectedAt } ?? incident.detectedAt)
        }
        guard let (first, time) = began.min(by: { $0.1 < $1.1 }) else { return nil }
        let title = first.summary.withoutNames
        self.init(
            number: incident.number, time: time, kind: Precursors.Kind(service: first.service, summary: title),
            service: first.service, title: title, alerts: Set(alerts.map(\.fingerprint)))
    }
}

extension String {
    /// Of a stored text: with "[name]" where a sealed name is.
    fileprivate var withoutNames: String { SealedText.replacing(self) { _ in "[name]" } }
}
