import Foundation
import Logging
import Synchronization
import TestSupport
import Testing
import TocsinHub

@testable import TocsinKit

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A logger and what was said to it: "error: …".
func listening() -> (logger: Logger, said: @Sendable () -> [String]) {
    let log = LogLines()
    return (Logger(label: "test") { _ in Recorder(log: log) }, { log.lines.withLock { $0 } })
}

private final class LogLines: Sendable {
    let lines = Mutex<[String]>([])
}

private struct Recorder: LogHandler {
    let log: LogLines
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.debug
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }
    func log(event: LogEvent) { log.lines.withLock { $0.append("\(event.level): \(event.message)") } }
}

struct NotNow: Error, CustomStringConvertible {
    var description: String
}

extension TemporaryFolder {
    /// Names in it and in folders in it.
    func names() throws -> [String] { try FileManager.default.subpathsOfDirectory(atPath: path).sorted() }
}

/// A hub over ipc on a thread of its own, which can be stopped and started again on the same data. Its segments are so small
/// that it takes at most 768 KiB at once.
final class RealHub: Sendable {
    private enum State {
        case off, ready
        case failed(HubError)
    }
    let folder: TemporaryFolder
    let endpoint: String
    private let options: HubOptions
    private let run = Mutex<Hub?>(nil)
    private let state = Mutex(State.off)

    /// Not started yet.
    init(_ change: (inout HubOptions) -> Void = { _ in }) throws {
        folder = try TemporaryFolder()
        endpoint = "ipc://\(folder.path)/socket"
        var options = HubOptions(directory: folder.path + "/hub")
        options.allowsPlainTCP = true
        options.endpoints = [endpoint]
        options.engine.journal.segmentBytes = 1 << 20
        // Long, so that nobody is taken for lost while other tests have all processors.
        options.engine.core.heartbeat = 5000
        options.engine.core.serviceGrace = 0
        change(&options)
        self.options = options
    }

    func start() async throws {
        let hub = try Hub(options, logger: quiet)
        run.withLock { $0 = hub }
        Thread { [self] in
            do throws(HubError) {
                try hub.run { state.withLock { $0 = .ready } }
                state.withLock { $0 = .off }
            } catch {
                state.withLock { $0 = .failed(error) }
            }
        }.start()
        try await wait { if case .ready = $0 { true } else { false } }
    }

    /// Returns when everything accepted is on disk and the folder is free. Tests call it last, so that the folder can go.
    func stop() async throws {
        run.withLock { $0.take() }?.stop()
        try await wait { if case .off = $0 { true } else { false } }
    }

    private func wait(_ isThere: (State) -> Bool) async throws {
        let isThere = try await eventually(seconds: 20) {
            try state.withLock {
                if case .failed(let error) = $0 { throw error }
                return isThere($0)
            }
        }
        guard isThere else { throw NotNow(description: "the hub did not start or stop") }
    }

    /// A client that is not waited for; its spool is in the hub's folder.
    func client(
        _ name: String, spool: String? = nil, timeout: Duration = .seconds(30), logger: Logger = quiet
    ) throws -> Client {
        try Client(
            ClientOptions(
                endpoint: endpoint, name: name, role: "test", spoolDirectory: spool.map { "\(folder.path)/\($0)" },
                publishTimeout: timeout, welcomeTimeout: .milliseconds(300)), logger: logger)
    }
}

/// "1", "2" ... as ids; the payload begins with the same.
func messages(_ numbers: some Sequence<Int>, payload: Int = 0, subject: String = "event.test") -> [TocsinKit.Message] {
    numbers.map {
        let text = Array("\($0)".utf8)
        return TocsinKit.Message(id: text, subject: subject, payload: text + [UInt8](repeating: 0, count: payload))
    }
}

/// The ids of the messages of a batch.
func ids(_ batch: EncodedBatch) throws -> [Int] {
    var ids: [Int?] = []
    readMessages(batch.body) { _, message in
        ids.append((try? message.get()).flatMap { Int(String(decoding: $0.id, as: UTF8.self)) })
    }
    return try ids.map { try #require($0) }
}

func encoded(_ numbers: some Sequence<Int>, payload: Int = 0) throws -> EncodedBatch {
    let messages = messages(numbers, payload: payload)
    let batch = try EncodedBatch(messages, from: 0, limits: HubLimits(), now: 1)
    try #require(batch.count == messages.count)
    return batch
}
