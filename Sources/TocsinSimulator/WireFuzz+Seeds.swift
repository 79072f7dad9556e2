import SwiftProtobuf
import TocsinCore
import TocsinProto
import TocsinWire

/// A program of well-behaved peers, for `WireFuzz`, or of such that make a mistake in every third message.
private struct Program {
    var mistake = WireFuzz.Mistake.none
    private var writer = FuzzWriter()
    private var nextID: UInt64 = 0
    var bytes: [UInt8] { writer.bytes }

    mutating func message(
        _ kind: Kind, peer: Int = 0, id: UInt64? = nil, count: Int = 0, flags: UInt16 = 0, _ body: [[UInt8]] = []
    ) -> UInt64 {
        nextID += 1
        let id = id ?? nextID
        let isWrong = nextID.isMultiple(of: 3)
        writer.byte(UInt8(body.count << 2 | peer << 4))
        writer.block(Header(kind, id: id, count: count + (isWrong && mistake == .count ? 1 : 0), flags: flags).bytes)
        for (index, part) in body.enumerated() {
            let isCut = isWrong && mistake == .cut && index == body.count - 1
            writer.block(isCut ? part.dropLast() : part[...])
        }
        return id
    }

    @discardableResult mutating func send(
        _ kind: Kind, peer: Int = 0, id: UInt64? = nil, count: Int = 0, _ body: some SwiftProtobuf.Message
    ) throws -> UInt64 {
        message(kind, peer: peer, id: id, count: count, [try body.serializedBytes()])
    }

    mutating func turn(writes: Bool = true) { writer.byte(writes ? 6 : 2) }

    mutating func publishMuch() {
        writer.byte(14)
        turn()
    }

    mutating func wait(_ milliseconds: Int) {
        writer.byte(1)
        writer.word(milliseconds)
    }

    mutating func hello(_ peer: Int = 0) throws {
        var hello = Tocsin_V1_Hello()
        hello.name = "p"
        hello.role = "r"
        try send(.hello, peer: peer, hello)
        turn()
    }

    mutating func declare(_ name: String, _ filter: String, _ change: (inout Tocsin_V1_PoolSpec) -> Void = { _ in }) throws {
        var pool = Tocsin_V1_PoolSpec()
        pool.name = name
        pool.filters = [filter]
        change(&pool)
        try send(.declare, pool)
        for _ in 0..<3 { turn() }
    }

    mutating func subscribe(_ pool: String, credit: UInt32, peer: Int = 0) throws -> UInt64 {
        var join = Tocsin_V1_Subscribe()
        join.pool = pool
        join.credit = credit
        return try send(.subscribe, peer: peer, join)
    }

    /// `texts`: subjects; with a colon and a key where there is one.
    mutating func publish(_ texts: [String], peer: Int = 0, notBefore: UInt64 = 0, payload: Int = 8) throws {
        var body: [UInt8] = []
        for (index, text) in texts.enumerated() {
            let parts = text.split(separator: ":")
            var envelope = Tocsin_V1_Envelope()
            envelope.id = .init("m\(nextID)-\(index)".utf8)
            envelope.subject = String(parts[0])
            envelope.severity = .init(rawValue: index % 5) ?? .info
            if parts.count > 1 { envelope.key = String(parts[1]) }
            envelope.notBefore = notBefore
            envelope.type = "t"
            envelope.payload = .init(repeating: 0x2A, count: payload)
            LengthPrefixed.append(try envelope.serializedBytes() as [UInt8], to: &body)
        }
        _ = message(.publish, peer: peer, count: texts.count, [body])
        for _ in 0..<2 { turn() }
    }

    mutating func settle(
        _ subscription: UInt64, _ entries: [DeliveryEntry], peer: Int = 0, reasons: [String] = [],
        _ outcome: (Int) -> (Outcome, UInt32)
    ) {
        var rows = ByteWriter()
        for (index, entry) in entries.enumerated() {
            let (outcome, delay) = outcome(index)
            SettleEntry(sequence: entry.sequence, token: entry.token, outcome: outcome, delay: delay)
                .write(to: rows.extend(by: SettleEntry.size))
        }
        var body = [rows.finish().array]
        if !reasons.isEmpty {
            var texts: [UInt8] = []
            for reason in reasons { LengthPrefixed.append(Array(reason.utf8), to: &texts) }
            body.append(texts)
        }
        _ = message(.settle, peer: peer, id: subscription, count: entries.count, body)
        for _ in 0..<8 { turn() }
    }

    mutating func call(
        _ method: String, _ request: some SwiftProtobuf.Message, peer: Int = 0, timeout: UInt32 = 0, isOpen: Bool = false
    ) throws
        -> UInt64
    {
        var head = Tocsin_V1_CallHead()
        head.method = method
        head.timeoutMs = timeout
        var entry = Tocsin_V1_MetadataEntry()
        entry.key = "k"
        head.metadata = [entry]
        var body: [UInt8] = []
        LengthPrefixed.append(try request.serializedBytes() as [UInt8], to: &body)
        let id = message(.call, peer: peer, count: 1, flags: isOpen ? 0 : Header.halfClose, [try head.serializedBytes(), body])
        turn()
        return id
    }

    /// What the hub has sent a peer so far, of one kind.
    func answers(_ kind: Kind, peer: Int = 0) throws -> [(header: Header, body: [Bytes])] {
        var hub = try FuzzedHub(FuzzedHub.emptyDisk())
        try hub.begin()
        let sent = try bytes.withUnsafeBytes { try WireFuzz.play($0, on: &hub) }
        return sent[WireFuzz.hostile[peer], default: []].filter { $0.header.kind == kind }
    }

    /// Every delivery to a peer so far.
    func deliveries(peer: Int = 0) throws -> [DeliveryEntry] {
        try answers(.deliver, peer: peer).flatMap { message in
            (0..<Int(message.header.count)).map { DeliveryEntry(message.body[0].buffer, at: $0) }
        }
    }
}

extension WireFuzz {
    private static let admin = "tocsin.v1.BrokerAdmin/"

    enum Mistake: String, CaseIterable {
        case none
        /// The header counts one more than there is.
        case count
        /// The last body frame lacks its last byte.
        case cut
    }

    /// Sessions, one for each part of the protocol, without mistakes and with each kind of them.
    static func seeds(mistakes: [Mistake] = Mistake.allCases) throws -> [(name: String, bytes: [UInt8])] {
        let sessions: [(String, (inout Program) throws -> Void)] = [
            ("session", session), ("work", work), ("dead-letters", deadLetters), ("delayed", delayed), ("taps", taps),
            ("calls", calls), ("past", past), ("segments", segments),
        ]
        return try sessions.flatMap { (name, play) in
            try mistakes.map { mistake in
                var program = Program()
                program.mistake = mistake
                try play(&program)
                return (mistake == .none ? name : "\(name)-\(mistake.rawValue)", program.bytes)
            }
        }
    }

    private static func session(_ program: inout Program) throws {
        try program.hello()
        _ = program.message(.heartbeat)
        program.turn()
        program.wait(1500)
        try program.publish(["honest.x"])
        _ = program.message(.goodbye)
        program.turn()
    }

    private static func work(_ program: inout Program) throws {
        try program.hello()
        try program.hello(1)
        try program.declare("jobs", "job.>") {
            $0.visibilityMs = 1000
            $0.backoffMs = 50
        }
        let subscription = try program.subscribe("jobs", credit: 3)
        _ = try program.subscribe("jobs", credit: 1, peer: 1)
        _ = program.message(.credit, id: subscription, count: 5)
        try program.publish(["job.a:k", "job.a:k", "job.b", "job.c:l", "job.d"])
        let first = try program.deliveries()
        program.settle(subscription, first, reasons: ["later", "no"]) { [(.ack, 0), (.retry, 20), (.reject, 0)][$0 % 3] }
        program.wait(1200)
        let later = try program.deliveries().dropFirst(first.count)
        program.settle(subscription, Array(later)) { _ in (.ack, 0) }
        _ = program.message(.unsubscribe, id: subscription)
        program.turn()
    }

    private static func deadLetters(_ program: inout Program) throws {
        try program.hello()
        try program.declare("jobs", "job.*") { $0.maxAttempts = 1 }
        let subscription = try program.subscribe("jobs", credit: 10)
        try program.publish(["job.a:k", "job.b", "job.c"])
        program.settle(subscription, try program.deliveries(), reasons: ["bad", "worse", "worst"]) { _ in (.reject, 0) }
        var list = Tocsin_V1_ListDeadLettersRequest()
        list.pool = "jobs"
        _ = try program.call(admin + "ListDeadLetters", list)
        var retry = Tocsin_V1_RetryDeadLettersRequest()
        retry.pool = "jobs"
        retry.sequences = [1]
        _ = try program.call(admin + "RetryDeadLetters", retry)
        var discard = Tocsin_V1_DiscardDeadLettersRequest()
        discard.pool = "jobs"
        discard.sequences = [2]
        _ = try program.call(admin + "DiscardDeadLetters", discard)
        _ = try program.call(admin + "GetStatus", Tocsin_V1_GetStatusRequest())
        for _ in 0..<8 { program.turn() }
    }

    private static func delayed(_ program: inout Program) throws {
        try program.hello()
        try program.declare("jobs", "job.>")
        let subscription = try program.subscribe("jobs", credit: 10)
        try program.publish(["job.a:k", "job.b"], notBefore: 1_700_001_002_000)
        var cancel = Tocsin_V1_CancelDelayedRequest()
        cancel.ids = (1...6).map { .init("m\($0)-1".utf8) }
        _ = try program.call(admin + "CancelDelayed", cancel)
        program.wait(2500)
        program.settle(subscription, try program.deliveries()) { _ in (.ack, 0) }
    }

    private static func taps(_ program: inout Program) throws {
        try program.hello()
        try program.declare("jobs", ">")
        try program.publish(["job.a", "job.b"])
        var request = Tocsin_V1_Tap()
        request.filters = ["job.*", "honest.>"]
        request.sequence = 1
        request.credit = 2
        let tap = try program.send(.tap, request)
        program.turn()
        _ = program.message(.credit, id: tap, count: 4)
        request.time = 1_700_000_000_000
        try program.send(.tap, request)
        try program.publish(["job.c"])
        _ = program.message(.unsubscribe, id: tap)
        program.turn()
    }

    private static func calls(_ program: inout Program) throws {
        try program.hello()
        try program.hello(1)
        var serve = Tocsin_V1_Serve()
        serve.service = "a.B"
        try program.send(.serve, peer: 1, serve)
        program.turn()
        let call = try program.call("a.B/C", Tocsin_V1_GetStatusRequest(), timeout: 500, isOpen: true)
        var body: [UInt8] = []
        LengthPrefixed.append([1, 2, 3], to: &body)
        _ = program.message(.message, id: call, count: 1, [body])
        _ = program.message(.message, id: call, flags: Header.halfClose)
        program.turn()
        for given in try program.answers(.call, peer: 1) {
            let id = given.header.id
            _ = program.message(.window, peer: 1, id: id, count: 100)
            _ = program.message(.headers, peer: 1, id: id, count: 1, [try Tocsin_V1_CallStart().serializedBytes(), body])
            _ = program.message(.message, peer: 1, id: id, count: 1, [body])
            _ = program.message(.reply, peer: 1, id: id, count: 1, [try Tocsin_V1_CallTail().serializedBytes(), body])
        }
        program.turn()
        _ = program.message(.window, id: call, count: 10)
        _ = program.message(.cancel, id: call)
        _ = try program.call("a.B/C", Tocsin_V1_GetStatusRequest(), timeout: 100)
        program.wait(300)
    }

    private static func past(_ program: inout Program) throws {
        try program.hello()
        try program.declare("first", "job.>") { $0.exclusive = true }
        try program.publish(["job.a:k", "job.b"])
        try program.declare("second", "job.*") { $0.fromStart = true }
        let subscription = try program.subscribe("second", credit: 10)
        program.turn()
        try program.declare("first", "job.>") { $0.visibilityMs = 200 }
        program.settle(subscription, try program.deliveries()) { _ in (.ack, 0) }
    }

    /// So much that the second segment is begun.
    private static func segments(_ program: inout Program) throws {
        try program.hello()
        try program.declare("jobs", "job.>")
        let subscription = try program.subscribe("jobs", credit: 100)
        try program.publish(["job.a", "job.b:k", "job.b:k", "job.b:l"])
        for _ in 0..<10 { program.publishMuch() }
        program.settle(subscription, Array(try program.deliveries().dropLast())) { _ in (.ack, 0) }
        for _ in 0..<10 { program.publishMuch() }
    }
}
