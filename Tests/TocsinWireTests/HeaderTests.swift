import TestSupport
import Testing
import TocsinWire

@Suite("Header frame")
struct HeaderTests {
    private func decode(_ bytes: [UInt8]) throws(WireError) -> Header {
        let held = Bytes(bytes)
        return try Header(held.buffer)
    }

    private func reason(_ bytes: [UInt8]) -> Reason? {
        do throws(WireError) {
            _ = try decode(bytes)
            return nil
        } catch { return error.reason }
    }

    @Test("every kind survives writing and reading", arguments: Kind.allCases)
    func roundTrip(kind: Kind) throws {
        var random = SplitMix64.seeded()
        let header = Header(
            kind, id: random.next(), count: Int(UInt32.max), reason: UInt16.random(in: 0...UInt16.max, using: &random), flags: 7)
        #expect(try decode(header.bytes) == header)
    }

    @Test("what is wrong with a header is named")
    func refusals() {
        let good = Header(.publish, id: 1, count: 1).bytes
        for length in [0, 1, 23, 25, 100] {
            #expect(reason(Array((good + good + good + good + good).prefix(length))) == .truncated)
        }
        for position in 0..<4 {
            var bytes = good
            bytes[position] ^= 1
            #expect(reason(bytes) == .badMagic)
        }
        var version = good
        version[4] = 2
        #expect(reason(version) == .badVersion)
        for kind in UInt8.min...UInt8.max {
            var bytes = good
            bytes[5] = kind
            #expect(reason(bytes) == (Kind(rawValue: kind) == nil ? .unknownKind : nil))
        }
        var flags = good
        for position in [6, 7, 22, 23] { flags[position] = 0xFF }
        #expect(reason(flags) == nil, "flags and reserved bytes are ignored")
    }

    @Test("random bytes never trap")
    func random() {
        var random = SplitMix64.seeded()
        for _ in 0..<20_000 {
            var bytes = random.bytes(upTo: 30)
            if random.chance(0.5) { bytes = Array((Header(.call, id: 3).bytes.prefix(5) + bytes).prefix(24)) }
            _ = reason(bytes)
        }
    }

    @Test("the number of body frames of each kind is the protocol's")
    func bodyFrames() {
        let none: [Kind] = [.heartbeat, .goodbye, .credit, .unsubscribe, .cancel, .window]
        let two: [Kind] = [.deliver, .tapped]
        let oneOrTwo: [Kind] = [.settle, .call, .headers, .reply]
        for kind in Kind.allCases {
            let one = kind == .message ? 0...1 : 1...1
            let expected = none.contains(kind) ? 0...0 : two.contains(kind) ? 2...2 : oneOrTwo.contains(kind) ? 1...2 : one
            #expect(kind.bodyFrames == expected, "\(kind)")
        }
    }
}

@Suite("Reasons")
struct ReasonTests {
    @Test("numbers, names and gRPC codes are the protocol's table")
    func table() {
        let table: [(UInt16, String, UInt32)] = [
            (0, "OK", 0), (1, "BAD_MAGIC", 3), (2, "BAD_VERSION", 3), (3, "UNKNOWN_KIND", 12), (4, "FRAME_COUNT", 3),
            (5, "TRUNCATED", 3), (6, "TOO_LARGE", 8), (7, "BAD_LENGTH_PREFIX", 3), (8, "BAD_ENVELOPE", 3), (9, "BAD_BODY", 3),
            (10, "NOT_WELCOMED", 16), (11, "UNKNOWN_SUBJECT", 5), (12, "UNKNOWN_POOL", 5), (13, "BAD_POOL", 3),
            (14, "UNKNOWN_SUBSCRIPTION", 5), (15, "BAD_CREDIT", 3), (16, "TOO_MANY", 8), (17, "STORAGE_FAILED", 14),
            (18, "UNKNOWN_SERVICE", 12), (19, "DEADLINE_EXCEEDED", 4), (20, "WORKER_LOST", 14), (21, "CANCELLED", 1),
            (22, "SHUTTING_DOWN", 14), (23, "NOT_ALLOWED", 7), (24, "UNKNOWN_CALL", 5), (25, "NO_SERVER", 14),
            (26, "WINDOW_EXCEEDED", 8), (27, "BAD_CALL", 13), (28, "RATE_LIMITED", 8), (29, "QUOTA_EXCEEDED", 8),
        ]
        #expect(Reason.allCases.count == table.count)
        for (number, name, code) in table {
            #expect(Reason(rawValue: number)?.name == name)
            #expect(Reason(rawValue: number)?.code == code)
        }
    }
}
