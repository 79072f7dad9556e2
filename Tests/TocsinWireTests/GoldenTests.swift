import SwiftProtobuf
import TestSupport
import Testing
import TocsinProto
import TocsinWire

/// Goal: peers and hubs of different versions understand each other. Method: the messages of Tests/Golden/wire, which another
/// program made, mean the values below, and the values are written as those bytes.
@Suite("Messages on the wire") struct GoldenTests {
    /// A message as a program has it.
    struct Golden: Sendable, CustomTestStringConvertible {
        /// Of the file.
        var name: String
        var header: Header
        var body: [Part]
        var testDescription: String { name }

        init(_ name: String, _ header: Header, _ body: Part...) {
            (self.name, self.header, self.body) = (name, header, body)
        }
    }

    /// A body frame, in each of the forms that PROTOCOL.md has for them.
    enum Part: Sendable {
        case protobuf(any Message)
        case envelopes([Tocsin_V1_Envelope])
        case messages([[UInt8]])
        case deliveries([DeliveryEntry])
        case settlements([SettleEntry])
        case sequences([UInt64])

        func encoded() throws -> [UInt8] {
            switch self {
            case .protobuf(let message): try message.serializedBytes()
            case .envelopes(let envelopes): try Part.messages(envelopes.map { try $0.serializedBytes() }).encoded()
            case .messages(let messages): messages.reduce(into: []) { LengthPrefixed.append($1, to: &$0) }
            case .deliveries(let rows): table(rows, DeliveryEntry.size) { $0.write(to: $1) }
            case .settlements(let rows): table(rows, SettleEntry.size) { $0.write(to: $1) }
            case .sequences(let rows): table(rows, 8) { $1.storeBigEndian($0, at: 0) }
            }
        }

        /// Into memory that holds something else, as a row must write all of its bytes.
        private func table<Row>(_ rows: [Row], _ size: Int, write: (Row, UnsafeMutableRawPointer) -> Void) -> [UInt8] {
            var bytes = [UInt8](repeating: 0xFF, count: rows.count * size)
            bytes.withUnsafeMutableBytes { target in
                for (index, row) in rows.enumerated() { write(row, target.baseAddress! + index * size) }
            }
            return bytes
        }

        /// Whether `bytes` mean this.
        func isMeant(by bytes: [UInt8]) throws -> Bool {
            try bytes.withUnsafeBytes { frame in
                switch self {
                case .protobuf(let message): try message.isEqualTo(message: type(of: message).init(serializedBytes: bytes))
                case .envelopes(let envelopes):
                    try Self.split(frame).map { try Tocsin_V1_Envelope(serializedBytes: $0) } == envelopes
                case .messages(let messages): try Self.split(frame) == messages
                case .deliveries(let rows):
                    frame.count == rows.count * DeliveryEntry.size
                        && rows.indices.allSatisfy { DeliveryEntry(frame, at: $0) == rows[$0] }
                case .settlements(let rows):
                    try frame.count == rows.count * SettleEntry.size
                        && rows.indices.allSatisfy { try SettleEntry(frame, at: $0) == rows[$0] }
                case .sequences(let rows):
                    frame.count == rows.count * 8
                        && rows.indices.allSatisfy { frame.bigEndian(UInt64.self, at: $0 * 8) == rows[$0] }
                }
            }
        }

        private static func split(_ frame: UnsafeRawBufferPointer) throws -> [[UInt8]] {
            var messages: [[UInt8]] = []
            _ = try LengthPrefixed.forEach(in: frame) { (_, _, message) in messages.append(Array(message)) }
            return messages
        }
    }

    private static let served: UInt64 = Limits.servedCallID + 1
    private static let tokens: [UInt64] = [0x0001_0000_0000_0007, 0x0001_0000_0000_0008, 0x0001_0000_0000_0009]
    private static let metadata: [Tocsin_V1_MetadataEntry] = [entry("team", Array("web".utf8)), entry("trace-bin", [0, 0xFF])]
    private static let envelopes: [Tocsin_V1_Envelope] = [
        .with {
            $0.id = .init([1, 2, 3])
            $0.subject = "event.web.http"
            $0.severity = .critical
            $0.key = "web-1"
            $0.notBefore = 1_700_000_000_123
            $0.type = "tocsin.v1.Event"
            $0.publishedAt = 1_700_000_000_001
            $0.headers = ["trace": "ab"]
            $0.payload = .init([0xDE, 0xAD, 0xBE, 0xEF])
        },
        .with {
            $0.id = .init([0xFF])
            $0.subject = "event.disk"
        },
    ]

    private static func entry(_ key: String, _ value: [UInt8]) -> Tocsin_V1_MetadataEntry {
        .with {
            $0.key = key
            $0.value = .init(value)
        }
    }
    private static func body<M: Message>(_ change: (inout M) -> Void) -> Part { .protobuf(M.with(change)) }

    // MARK: The files

    static let session: [Golden] = [
        Golden(
            "hello", Header(.hello),
            body { (hello: inout Tocsin_V1_Hello) in
                hello.name = "triage-1"
                hello.role = "triage"
                hello.software = "tocsin 0.1.0"
                hello.heartbeatMs = 2000
            }),
        Golden(
            "welcome", Header(.welcome),
            body { (welcome: inout Tocsin_V1_Welcome) in
                welcome.hub = "tocsin 0.1.0"
                welcome.hubID = .init(0..<16)
                welcome.epoch = 3
                welcome.heartbeatMs = 2000
                welcome.maxMessageBytes = 1 << 20
                welcome.maxBodyBytes = 8 << 20
                welcome.maxBatch = 4096
            }), Golden("heartbeat", Header(.heartbeat, id: 7)), Golden("goodbye", Header(.goodbye)),
        Golden(
            "status", Header(.status, id: 5, reason: Reason.unknownSubject.rawValue),
            body { (status: inout Tocsin_V1_Status) in
                status.code = 5
                status.reason = "UNKNOWN_SUBJECT"
                status.message = "no pool takes event.disk"
                status.index = 1
            }),
    ]

    static let stream: [Golden] = [
        Golden("publish", Header(.publish, id: 5, count: 2), .envelopes(envelopes)),
        Golden(
            "accepted", Header(.accepted, id: 5),
            body { (accepted: inout Tocsin_V1_Accepted) in
                accepted.firstSequence = 300
                accepted.stored = 1
                accepted.duplicates = 1
            }),
        Golden(
            "declare", Header(.declare, id: 6),
            body { (pool: inout Tocsin_V1_PoolSpec) in
                pool.name = "work"
                pool.filters = ["event.*", "alert.>"]
                pool.visibilityMs = 30_000
                pool.maxAttempts = 5
                pool.fromStart = true
                pool.backoffMs = 1000
                pool.exclusive = true
            }),
        Golden(
            "subscribe", Header(.subscribe, id: 8),
            body { (subscribe: inout Tocsin_V1_Subscribe) in
                subscribe.pool = "work"
                subscribe.credit = 100
            }), Golden("credit", Header(.credit, id: 8, count: 50)),
        Golden(
            "deliver", Header(.deliver, id: 8, count: 2),
            .deliveries([
                DeliveryEntry(sequence: 300, token: tokens[0], attempt: 1),
                DeliveryEntry(sequence: 301, token: tokens[1], attempt: 2),
            ]), .envelopes(envelopes)),
        Golden(
            "settle", Header(.settle, id: 8, count: 3),
            .settlements([
                SettleEntry(sequence: 300, token: tokens[0], outcome: .ack),
                SettleEntry(sequence: 301, token: tokens[1], outcome: .retry, delay: 1500),
                SettleEntry(sequence: 302, token: tokens[2], outcome: .reject),
            ]), .messages([Array("busy".utf8), Array("not readable: ü".utf8)])),
        Golden(
            "settle-acks", Header(.settle, id: 8, count: 1),
            .settlements([SettleEntry(sequence: 300, token: tokens[0], outcome: .ack)])),
        Golden("unsubscribe", Header(.unsubscribe, id: 8)),
        Golden(
            "tap", Header(.tap, id: 9),
            body { (tap: inout Tocsin_V1_Tap) in
                tap.filters = ["event.>", "alert.*"]
                tap.sequence = 300
                tap.credit = 1000
            }),
        Golden(
            "tap-time", Header(.tap, id: 9),
            body { (tap: inout Tocsin_V1_Tap) in
                tap.filters = [">"]
                tap.time = 1_700_000_000_000
                tap.credit = 1
            }), Golden("tapped", Header(.tapped, id: 9, count: 2), .sequences([300, 301]), .envelopes(envelopes)),
        Golden(
            "gap", Header(.gap, id: 9),
            body { (gap: inout Tocsin_V1_Gap) in
                gap.first = 1
                gap.last = 299
                gap.reason = "no longer kept"
            }),
    ]

    static let calls: [Golden] = [
        Golden(
            "serve", Header(.serve, id: 10),
            body { (serve: inout Tocsin_V1_Serve) in
                serve.service = "shop.v1.Orders"
                serve.exclusive = true
            }),
        Golden(
            "serve-withdraw", Header(.serve, id: 11),
            body { (serve: inout Tocsin_V1_Serve) in
                serve.service = "shop.v1.Orders"
                serve.withdraw = true
            }),
        Golden(
            "call", Header(.call, id: 12, count: 1, flags: Header.halfClose),
            body { (head: inout Tocsin_V1_CallHead) in
                head.method = "shop.v1.Orders/Place"
                head.timeoutMs = 5000
                head.metadata = metadata
            }, .messages([[8, 1]])),
        Golden(
            "call-open", Header(.call, id: 13),
            body { (head: inout Tocsin_V1_CallHead) in head.method = "shop.v1.Orders/Watch" }),
        Golden(
            "reply", Header(.reply, id: served, count: 1),
            body { (tail: inout Tocsin_V1_CallTail) in
                tail.code = 5
                tail.message = "no such order"
                tail.metadata = [entry("grpc-status-details-bin", [8, 5])]
                tail.initial = metadata
            }, .messages([[8, 2]])), Golden("cancel", Header(.cancel, id: 12)),
        Golden("message", Header(.message, id: served, count: 2), .messages([[8, 3], []])),
        Golden("message-half-close", Header(.message, id: 13, flags: Header.halfClose)),
        Golden(
            "headers", Header(.headers, id: served, count: 1),
            body { (start: inout Tocsin_V1_CallStart) in start.metadata = metadata }, .messages([[8, 4]])),
        Golden("window", Header(.window, id: 12, count: 65_536)),
    ]

    static let all = session + stream + calls

    // MARK: Tests

    /// The frames of a file: each after its length.
    private func frames(_ name: String) throws -> [[UInt8]] {
        var file = try GoldenFiles.bytes("wire", name)[...]
        var frames: [[UInt8]] = []
        while !file.isEmpty {
            try #require(file.count >= 4)
            let length = file.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            try #require(length <= file.count - 4)
            frames.append(Array(file.dropFirst(4).prefix(length)))
            file.removeFirst(4 + length)
        }
        return frames
    }

    @Test("a message means what it did, and is written as it was", arguments: all)
    func message(_ golden: Golden) throws {
        let frames = try frames(golden.name)
        let header = try #require(frames.first).withUnsafeBytes { try Header($0) }
        #expect(header == golden.header)
        try #require(frames.count == 1 + golden.body.count && golden.header.kind.bodyFrames.contains(golden.body.count))
        for (part, frame) in zip(golden.body, frames.dropFirst()) { #expect(try part.isMeant(by: frame), "\(part)") }

        var target = [UInt8](repeating: 0xFF, count: Header.size)
        target.withUnsafeMutableBytes { golden.header.write(to: $0.baseAddress!) }
        let written = try [target] + golden.body.map { try $0.encoded() }
        #expect(written.map(\.hexadecimal) == frames.map(\.hexadecimal))
    }

    @Test("there is a message of every kind, and a value for every file")
    func complete() throws {
        #expect(Set(Self.all.map(\.header.kind)) == Set(Kind.allCases))
        #expect(try GoldenFiles.names(in: "wire") == Set(Self.all.map(\.name)))
    }

    @Test("the hub's scan of the envelopes finds what routes them")
    func envelopes() throws {
        for envelope in Self.envelopes {
            try (try envelope.serializedBytes() as [UInt8]).withUnsafeBytes { bytes in
                let view = try EnvelopeView(scanning: bytes)
                #expect(Array(view.id) == Array(envelope.id) && Array(view.subject) == Array(envelope.subject.utf8))
                #expect(Array(view.key) == Array(envelope.key.utf8) && view.notBefore == envelope.notBefore)
                #expect(view.severity == (envelope.severity == .critical ? .critical : .info))
            }
        }
    }
}
