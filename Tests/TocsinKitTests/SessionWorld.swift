import Testing
import TocsinProto
import TocsinWire

@testable import TocsinKit

/// A session and a hub played by the test: what the session wants done is sorted by kind, and the hub's answers are given to it.
struct SessionWorld {
    struct Sent {
        var kind: Kind
        var id: UInt64
        /// Of a publish.
        var ids: [Int] = []
        var bytes = 0
    }

    var session: Session<String>
    var now: Int64 = 0
    /// What was sent since the last look.
    private var outbox: [Sent] = []
    /// "waiter: ok 3 0" (stored and duplicates of a publish), "waiter: ok" or "waiter: why not".
    private(set) var answers: [String] = []
    /// Bytes that no longer count as under way.
    private(set) var released = 0
    private(set) var ended: [UInt64] = []
    private(set) var log: [String] = []

    init() {
        session = Session<String>(.init(endpoint: "ipc://here", hello: Bytes([]), welcomeTimeout: 1000))
        session.start(now: 0)
    }

    mutating func welcome(bytes: Int = 0, batch: Int = 0) throws {
        let welcome = Tocsin_V1_Welcome.with {
            $0.heartbeatMs = 60_000
            $0.maxBodyBytes = UInt32(bytes)
            $0.maxBatch = UInt32(batch)
        }
        try receive(Header(.welcome), welcome.serializedBytes())
        let isLive = session.isLive
        #expect(isLive)
    }

    /// Whether nothing is kept of any publish.
    var isIdle: Bool { session.publishes.isEmpty && session.divided.isEmpty }

    /// Whether it waits for a welcome.
    var isConnecting: Bool {
        if case .connecting = session.phase { true } else { false }
    }

    mutating func goodbye() {
        session.received([Bytes(Header(.goodbye).bytes)], now: now)
        session.tick(now: now)
    }

    mutating func refuse(_ id: UInt64, _ reason: Reason, _ text: String = "no", index: Int = 0) throws {
        let status = Tocsin_V1_Status.with {
            $0.code = reason.code
            $0.reason = reason.name
            $0.message = text
            $0.index = UInt32(index)
        }
        try receive(Header(.status, id: id, reason: reason.rawValue), status.serializedBytes())
    }

    mutating func accept(_ sent: Sent, first: UInt64 = 1, duplicates: Int = 0) throws {
        let accepted = Tocsin_V1_Accepted.with {
            $0.firstSequence = duplicates < sent.ids.count ? first : 0
            $0.stored = UInt32(sent.ids.count - duplicates)
            $0.duplicates = UInt32(duplicates)
        }
        try receive(Header(.accepted, id: sent.id), accepted.serializedBytes())
    }

    private mutating func receive(_ header: Header, _ body: [UInt8]) throws {
        session.received([Bytes(header.bytes), Bytes(body)], now: now)
    }

    mutating func publish(
        _ batch: EncodedBatch, id: UInt64, deadline: Int64 = 1_000_000, gate: PublishGate = .waiting, waiter: String? = nil
    ) {
        session.publish(batch, id: id, waiter: waiter ?? "\(id)", deadline: deadline, gate: gate, now: now)
    }

    /// Lets the clock run to `time`, with a tick whenever the session wants one.
    mutating func pass(until time: Int64) {
        var ticks = 0
        while session.wakeAt <= time, ticks < 100_000 {
            now = max(now, session.wakeAt)
            session.tick(now: now)
            ticks += 1
        }
        #expect(ticks < 100_000, "it wants to be woken without end")
        now = time
    }

    /// What was sent since the last time.
    mutating func sent() throws -> [Sent] {
        try settle()
        defer { outbox = [] }
        return outbox
    }

    /// The same, of publishes: which messages.
    mutating func published() throws -> [[Int]] { try sent().filter { $0.kind == .publish }.map(\.ids) }

    /// Answers since the last time.
    mutating func answered() throws -> [String] {
        try settle()
        defer { answers = [] }
        return answers
    }

    mutating func settle() throws {
        var actions: [Session<String>.Action] = []
        session.takeActions(into: &actions)
        for action in actions {
            switch action {
            case .openSocket, .closeSocket: outbox = []
            case .send(let parts):
                let header = try Header(parts[0].buffer)
                var sent = Sent(kind: header.kind, id: header.id)
                if header.kind == .publish {
                    sent.ids = try ids(EncodedBatch(body: parts[1], count: Int(header.count)))
                    sent.bytes = parts[1].count
                }
                outbox.append(sent)
            case .answer(let waiter, let result): answer(waiter, result)
            case .published(let waiter, let result, let bytes, _):
                released += bytes
                answer(waiter, result)
            case .endStream(let id, _): ended.append(id)
            case .log(let level, let text): log.append("\(level): \(text)")
            case .connected, .disconnected, .deliver, .tapped, .serve, .ended: break
            case .call(_, .end(let end)): answers.append("call: \(end.message)")
            case .call: break
            }
        }
    }

    private mutating func answer(_ waiter: String, _ result: Result<Answer, ClientError>) {
        switch result {
        case .success(.accepted(let receipt)):
            answers.append("\(waiter): ok \(receipt.stored) \(receipt.duplicates) from \(receipt.firstSequence)")
        case .success: answers.append("\(waiter): ok")
        case .failure(.refused(let reason, let text, let index)):
            answers.append("\(waiter): \(reason.name) of \(index): \(text)")
        case .failure(let error): answers.append("\(waiter): \(error)")
        }
    }
}
