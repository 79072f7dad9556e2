import Foundation
import GRDB
import Logging
import Testing
import TocsinDomain
import TocsinPolicy
import TocsinProto

@testable import TocsinArchive

/// An archive in a folder of its own, removed with it.
final class TestArchive {
    /// Later than every time the tests use.
    static let now: UInt64 = 2_000_000_000_000
    /// When the tests' events happen.
    static let start: UInt64 = 1_700_000_000_000

    let folder: String
    let policy: ArchivePolicy
    private(set) var store: ArchiveStore

    var path: String { folder + "/archive.sqlite" }

    init(_ incidents: IncidentPolicy = .standard, _ policy: Policy = Policy()) throws {
        folder = NSTemporaryDirectory() + "tocsin-archive-\(UUID().uuidString)"
        self.policy = try ArchivePolicy(incidents, policy)
        store = try Self.open(folder + "/archive.sqlite", self.policy)
    }

    deinit {
        do {
            try store.close()
            try FileManager.default.removeItem(atPath: folder)
        } catch {
            print("cannot clear away \(folder): \(error)")
        }
    }

    static func open(_ path: String) throws -> ArchiveStore { try open(path, try ArchivePolicy(.standard)) }

    static func open(_ path: String, _ policy: ArchivePolicy) throws -> ArchiveStore {
        let lock = try #require(try ArchiveLock.take(databasePath: path, holder: "test"))
        let master = try MasterKey.file(path + ".master-key", database: path)
        let vault = Vault(master, personalLabels: ArchiveConfiguration.standardPersonalLabels)
        return try ArchiveStore(path: path, policy: policy, vault: vault, lock: lock)
    }

    /// As after the death of one archiver and the start of another.
    func restart() throws {
        try store.close()
        try reopen()
    }

    /// Of one that was closed.
    func reopen() throws { store = try Self.open(path, policy) }

    @discardableResult
    func apply(_ contents: [ArchiveItem.Content], from sequence: UInt64 = 1) async throws -> AppliedBatch {
        let items = contents.enumerated().map { ArchiveItem(sequence: sequence + UInt64($0), content: $1) }
        return try await store.apply(items, now: Self.now)
    }

    @discardableResult
    func apply(_ update: Tocsin_V1_AlertUpdate) async throws -> AppliedBatch { try await apply([.alert(update)]) }

    func incident(_ number: UInt64) async throws -> Tocsin_V1_Incident { try await store.get(number).incident }

    func verbs(_ number: UInt64) async throws -> [String] { try await store.get(number).timeline.map(\.verb) }

    /// The changes in the outbox, oldest first.
    func changes() async throws -> [Tocsin_V1_IncidentChange] {
        try await store.pendingChanges(limit: 100_000, bytesMax: 1 << 30).map { try $0.message.decode() }
    }

    /// Every row of every table as text, but for how often messages came again, and for the audit trail, which tells how the
    /// rows came to be.
    func dump() async throws -> [String] {
        try await store.read { db in
            var lines: [String] = []
            let tables = try String.fetchAll(
                db,
                sql: "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' "
                    + "AND name NOT LIKE 'audit%' ORDER BY name"
            )
            for table in tables {
                let columns = table == "events" ? "id, fate" : "*"
                for row in try Row.fetchAll(db, sql: "SELECT \(columns) FROM \(table)") {
                    let values = row.databaseValues.map(\.description).joined(separator: " | ")
                    if !values.hasPrefix("\"redelivered\"") { lines.append("\(table): \(values)") }
                }
            }
            return lines.sorted()
        }
    }

    /// Counts rows.
    func count(_ table: String, where condition: String = "1") async throws -> Int {
        try await store.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM \(table) WHERE \(condition)") ?? 0 }
    }
}

extension IncidentPolicy {
    static let standard = IncidentPolicy(reopenWindow: .seconds(24 * 3600), resolvesAutomatically: true)
}

/// Makes an update of `events`, observed one second after another from `at` seconds after the tests' start.
func update(
    _ fingerprint: String, _ events: [String], _ kind: Tocsin_V1_EventKind = .trigger,
    _ severity: Tocsin_V1_Severity = .critical, at seconds: UInt64 = 0, service: String = "checkout",
    disposition: Tocsin_V1_Disposition = .alert, drill: Bool = false
) -> Tocsin_V1_AlertUpdate {
    var update = Tocsin_V1_AlertUpdate()
    update.id = "update-" + events.joined(separator: "-")
    update.fingerprint = fingerprint
    update.kind = kind
    update.disposition = disposition
    update.service = service
    update.summary = "\(service) \(kind == .resolve ? "answers again" : "is down")"
    update.severity = severity
    update.priority = Tocsin_V1_Priority(rawValue: 5 - severity.rawValue) ?? .p3
    update.rule = "default: severity hint"
    update.labels = ["check": "http", "host": "web-1"]
    update.runbook = "restart-\(service)"
    update.drill = drill
    update.events = events.enumerated().map { index, id in
        var event = Tocsin_V1_Event()
        event.id = id
        event.kind = kind
        event.service = service
        event.observedAt = TestArchive.start + (seconds + UInt64(index)) * 1000
        return event
    }
    update.triagedAt = (update.events.last?.observedAt ?? 0) + 5
    return update
}

func report(
    _ id: String, incident: UInt64 = 1, _ verb: String, mitigated: Bool = false, at seconds: UInt64 = 10,
    actor: String = "runbook:restart-checkout"
) -> Tocsin_V1_ResponseReport {
    var report = Tocsin_V1_ResponseReport()
    report.id = id
    report.incident = incident
    report.actor = actor
    report.verb = verb
    report.text = "\(verb) of \(id)"
    report.time = TestArchive.start + seconds * 1000
    report.mitigated = mitigated
    return report
}

/// A request of any action whose answer is the incident and an entry, as the service reads it.
struct TestCommand: CommandRequest {
    typealias Answer = Tocsin_V1_AcknowledgeIncidentResponse

    enum Action: CaseIterable {
        case acknowledge, assign, note, investigate, mitigate, resolve, reopen, close, dismiss, release
    }

    var requestID: String
    var number: UInt64
    var actor: String
    var action: Action
    var text: String
    var waive: Bool

    func wish() -> CommandWish {
        switch action {
        case .acknowledge: Tocsin_V1_AcknowledgeIncidentRequest().wish()
        case .assign: Tocsin_V1_AssignIncidentRequest.with { $0.assignee = text }.wish()
        case .note: Tocsin_V1_AnnotateIncidentRequest.with { $0.note = text }.wish()
        case .investigate: Tocsin_V1_InvestigateIncidentRequest().wish()
        case .mitigate: Tocsin_V1_MitigateIncidentRequest.with { $0.text = text }.wish()
        case .resolve: Tocsin_V1_ResolveIncidentRequest.with { $0.cause = text }.wish()
        case .reopen: Tocsin_V1_ReopenIncidentRequest.with { $0.reason = text }.wish()
        case .close:
            Tocsin_V1_CloseIncidentRequest.with {
                $0.reason = text
                $0.waivePostmortem = waive
            }.wish()
        case .dismiss: Tocsin_V1_DismissIncidentRequest.with { $0.reason = text }.wish()
        case .release: Tocsin_V1_ReleaseIncidentRequest.with { $0.reason = text }.wish()
        }
    }
}

func command(
    _ id: String, _ action: TestCommand.Action, _ text: String = "", number: UInt64 = 1, actor: String = "alice",
    waive: Bool = false
) -> TestCommand {
    TestCommand(requestID: id, number: number, actor: actor, action: action, text: text, waive: waive)
}

extension Logger {
    /// Failures are made on purpose here; what is said about them is noise.
    static let silent = Logger(label: "silent") { _ in SwiftLogNoOpLogHandler() }
}
