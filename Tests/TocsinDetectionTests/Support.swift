import Foundation
import Glibc
import Logging
import Synchronization
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

/// A folder that goes with the value.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/tocsin-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            print("left behind: \(path): \(error)")
        }
    }
}

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

extension [UInt8] {
    var utf8: String { String(decoding: self, as: UTF8.self) }
}

/// A small deterministic generator, so that a failure can be repeated with `TOCSIN_SEED`.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    /// With the seed of `TOCSIN_SEED`, else one from the clock; prints it.
    static func seeded(_ function: StaticString = #function) -> SplitMix64 {
        let given = getenv("TOCSIN_SEED").flatMap { UInt64(String(cString: $0)) }
        let seed = given ?? UInt64(bitPattern: Int64(time(nil)))
        print("\(function): TOCSIN_SEED=\(seed)")
        return SplitMix64(state: seed)
    }

    init(state: UInt64) { self.state = state }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
