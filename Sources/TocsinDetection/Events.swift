import Crypto
import Glibc
import Logging
import TocsinEvents
import TocsinKit
import TocsinProto
import TocsinWire

/// Where events go: the hub or, while it is away, the spool. A seam, so that checks are tested without a hub.
protocol EventSink: Sendable {
    /// Returns when `messages` are durable. The same messages may be offered again after an error.
    func accept(_ messages: [Message]) async throws
}

struct ClientSink: EventSink {
    let client: Client
    func accept(_ messages: [Message]) async throws { try await client.publishOrSpool(messages) }
}

/// Offers events until they are taken: an observation is not dropped because a disk was full for a minute.
struct Outlet: Sendable {
    let sink: any EventSink
    let logger: Logger
    var firstWait: Duration = .milliseconds(500)
    var longestWait: Duration = .seconds(30)

    /// Returns when `messages` are durable, or were refused as malformed, which trying again cannot change (logged as an
    /// error, one by one).
    ///
    /// - Throws: `CancellationError`; `ClientError.closed`, after which nothing will ever be taken.
    func deliver(_ messages: [Message]) async throws {
        var rest = messages
        var wait = firstWait
        while !rest.isEmpty {
            do {
                try await sink.accept(rest)
                return
            } catch let error as CancellationError {
                throw error
            } catch ClientError.closed {
                throw ClientError.closed
            } catch {
                try Task.checkCancellation()
                if let index = Self.malformed(error), rest.indices.contains(index) {
                    logger.error("the hub refused event \(rest[index].subject): \(error); it is dropped")
                    rest.remove(at: index)
                    continue
                }
                logger.warning("\(rest.count) events wait, next attempt in \(wait): \(error)")
                try await Task.sleep(for: wait)
                wait = min(longestWait, wait * 2)
            }
        }
    }

    private static func malformed(_ error: any Error) -> Int? {
        guard case .refused(let reason, _, let index)? = error as? ClientError else { return nil }
        return reason == .badEnvelope || reason == .tooLarge ? index : nil
    }
}

/// Makes the events of one check.
///
/// Which events wait for each other is said at `Message.init(event:subject:)`. Those of probes have a dedup key, of check and aspect, and
/// those of log patterns that say so; the lines of a log are independent of each other otherwise, and go to all workers at once. Log
/// patterns of which one triggers and another resolves therefore need a dedup key in both.
struct EventMaker: Sendable {
    let subject: String
    let source: String
    let check: Check
    let baseLabels: [String: String]
    let baseDetails: [String: String]

    init(detector: String, check: Check) {
        self.check = check
        subject = "event.\(check.kind.token).\(Subject.token(check.name))"
        source = "\(check.kind.token):\(check.name)"
        var labels = check.labels
        labels["check"] = check.name
        // What these see is about this machine; a remote service is the same whoever probes it.
        switch check.kind {
        case .command, .host, .log, .process, .unit, .file: labels["host"] = labels["host"] ?? hostName()
        case .http, .tcp, .dns, .ping, .heartbeat: break
        case .metrics(let check):
            if case .proc = check.source { labels["host"] = labels["host"] ?? hostName() }
        }
        baseLabels = labels
        baseDetails = ["detector": detector]
    }

    /// The fields that differ between the events of a check.
    struct Content {
        var id: String
        var kind: Tocsin_V1_EventKind
        var service: String
        var summary: String
        var severity: String
        var dedupKey: String
        var labels: [String: String]
        var details: [String: String]
        var observedAt: UInt64
    }

    func message(_ content: Content) throws -> Message {
        var event = Tocsin_V1_Event()
        event.id = content.id
        event.kind = content.kind
        event.source = source
        event.service = content.service
        event.summary = content.summary
        event.severityHint = content.severity
        event.dedupKey = content.dedupKey
        event.observedAt = content.observedAt
        event.labels = content.labels
        event.details = content.details
        return try Message(event: event, subject: subject)
    }
}

func hostName() -> String {
    var buffer = [UInt8](repeating: 0, count: 256)
    let code = buffer.withUnsafeMutableBytes { bytes in
        bytes.withMemoryRebound(to: CChar.self) { $0.baseAddress.map { gethostname($0, 255) } ?? -1 }
    }
    return code == 0 ? String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self) : "unknown"
}

/// 16 random bytes in hexadecimal digits.
func randomID() -> String { MessageID.random().hexadecimal }
