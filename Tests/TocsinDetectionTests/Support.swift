import Foundation
import Glibc
import Logging
import Synchronization
import TestSupport
import TocsinKit
import TocsinProto

@testable import TocsinDetection

/// Takes events in memory, in place of the hub.
final class MemorySink: EventSink {
    private let messages = Mutex<[Message]>([])
    private let judge: @Sendable ([Message]) throws -> Void

    /// `judge` throws to refuse a batch.
    init(judge: @escaping @Sendable ([Message]) throws -> Void = { _ in }) { self.judge = judge }

    func accept(_ messages: [Message]) async throws {
        try judge(messages)
        self.messages.withLock { $0 += messages }
    }

    var taken: [Message] { messages.withLock { $0 } }

    func events() throws -> [Tocsin_V1_Event] { try taken.map { try $0.decode(Tocsin_V1_Event.self) } }
}

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

extension [UInt8] {
    var utf8: String { String(decoding: self, as: UTF8.self) }
}
