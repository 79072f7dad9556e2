import FoundationEssentials
import Glibc
import Logging
import Synchronization
import TestSupport
import TocsinKit
import TocsinProto

@testable import TocsinResponse

/// Takes the place of the hub: stores each message once by its id, and refuses when it is told to.
final class FakeHub: Sendable {
    private struct State {
        var stored: [(id: [UInt8], message: Message)] = []
        var published = 0
        var failures = 0
    }
    struct Away: Error {}

    private let state = Mutex(State())

    /// The next so many calls of `publish` throw.
    func fail(times: Int) { state.withLock { $0.failures = times } }

    func publish(_ messages: [Message]) async throws {
        try state.withLock { state in
            guard state.failures == 0 else {
                state.failures -= 1
                throw Away()
            }
            for message in messages {
                state.published += 1
                if !state.stored.contains(where: { $0.id == message.id }) { state.stored.append((message.id, message)) }
            }
        }
    }

    var messages: [Message] { state.withLock { $0.stored.map(\.message) } }
    /// Those that came again too.
    var published: Int { state.withLock { $0.published } }

    func reports() throws -> [Tocsin_V1_ResponseReport] { try messages.map { try $0.decode() } }
    func verbs() throws -> [String] { try reports().map(\.verb) }
}

extension TemporaryFolder {
    func read(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: "\(path)/\(name)")), as: UTF8.self)
    }

    /// An empty file.
    func write(_ name: String) throws { try Data().write(to: URL(filePath: "\(path)/\(name)")) }

    func has(_ name: String) -> Bool { access("\(path)/\(name)", F_OK) == 0 }
}

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
let longLease = Lease(end: .now + .seconds(900))

func change(
    _ verb: String = "opened", number: UInt64 = 42, version: UInt64 = 1, services: [String] = ["checkout"],
    severity: Tocsin_V1_Severity = .critical, runbook: String = "", drill: Bool = false, actor: String = "tocsin",
    title: String = "Checkout is down", labels: [String: String] = [:]
) throws -> Change {
    try Change(
        .with {
            $0.id = "incident/\(number)/\(version)"
            $0.verb = verb
            $0.incident.number = number
            $0.incident.version = version
            $0.incident.services = services
            $0.incident.severity = severity
            $0.incident.priority = .p1
            $0.incident.state = .triaged
            $0.incident.runbook = runbook
            $0.incident.drill = drill
            $0.incident.title = title
            $0.incident.detectedAt = 1_000
            $0.entry.actor = actor
            $0.entry.verb = verb
            $0.labels = labels
        })
}

func shell(_ name: String, _ script: String, timeout: Duration = .seconds(10), idempotent: Bool = true) -> RunbookStep {
    RunbookStep(name: name, command: ["/bin/sh", "-c", script], timeout: timeout, idempotent: idempotent)
}

func runbook(
    _ name: String, _ steps: [RunbookStep], services: [String] = ["*"], verify: Verification? = nil
) -> Runbook {
    Runbook(name: name, match: RunbookMatch(services: services), steps: steps, verify: verify)
}

func runbook(_ steps: [RunbookStep], verify: Verification? = nil) -> Runbook {
    runbook("restart", steps, verify: verify)
}

/// One responder in a folder, without a hub. Another one in the same folder, after `close`, is the same responder
/// started again.
func responder(
    in folder: TemporaryFolder, hub: FakeHub, runbooks: [Runbook] = [], notifications: [NotificationTarget] = []
) async throws -> Response {
    try await Response.open(
        ResponderConfiguration(
            name: "responder-1", directory: folder.path, runbooks: runbooks, notifications: notifications),
        logger: quiet, wallClock: { 5_000 }, publish: { try await hub.publish($0) })
}
