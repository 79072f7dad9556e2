import SwiftProtobuf
import TestSupport
import Testing
import TocsinProto
import TocsinWire

@Suite("Envelope")
struct EnvelopeTests {
    /// What a scan finds, copied.
    private struct Scanned: Equatable {
        var id: [UInt8]
        var subject: String
        var severity: WireSeverity
        var key: String
        var notBefore: UInt64
    }

    private func scan(_ bytes: [UInt8]) throws(WireError) -> Scanned {
        // An allocation of just that size: a read beyond it is seen by the address sanitizer.
        let held = Bytes(bytes)
        let view = try EnvelopeView(scanning: held.buffer)
        return Scanned(
            id: Array(view.id), subject: String(decoding: view.subject, as: UTF8.self), severity: view.severity,
            key: String(decoding: view.key, as: UTF8.self), notBefore: view.notBefore)
    }

    private func reason(_ bytes: [UInt8]) -> Reason? {
        do throws(WireError) {
            _ = try scan(bytes)
            return nil
        } catch { return error.reason }
    }

    private func randomEnvelope(_ random: inout SplitMix64) -> Tocsin_V1_Envelope {
        var envelope = Tocsin_V1_Envelope()
        envelope.id = .init([1] + random.bytes(upTo: 63))
        var tokens: [String] = []
        for _ in 0...random.below(4) { tokens.append(["a", "event", "Web-1", "x_y"][random.below(4)]) }
        envelope.subject = tokens.joined(separator: ".")
        envelope.severity = Tocsin_V1_Severity(rawValue: random.below(7)) ?? .unspecified
        if random.chance(0.5) { envelope.key = String(repeating: "k", count: random.below(256)) }
        if random.chance(0.3) { envelope.notBefore = random.next() }
        if random.chance(0.5) { envelope.type = "tocsin.v1.Event" }
        if random.chance(0.5) { envelope.publishedAt = random.next() }
        if random.chance(0.5) { envelope.headers = ["a": "b", "c": "d"] }
        envelope.payload = .init(random.bytes(upTo: 200))
        return envelope
    }

    @Test("the scan of what a protobuf library wrote finds the fields that were put in")
    func agreesWithProtobuf() throws {
        var random = SplitMix64.seeded()
        for _ in 0..<2_000 {
            let envelope = randomEnvelope(&random)
            let scanned = try scan(try envelope.serializedBytes())
            let severity = WireSeverity(rawValue: UInt8(envelope.severity.rawValue)) ?? .info
            let expected = Scanned(
                id: Array(envelope.id), subject: envelope.subject, severity: severity, key: envelope.key,
                notBefore: envelope.notBefore)
            #expect(scanned == expected)
        }
    }

    @Test("no truncation of an envelope traps, and none before the subject's end is taken")
    func truncations() throws {
        var random = SplitMix64.seeded()
        for _ in 0..<100 {
            let envelope = randomEnvelope(&random)
            let bytes: [UInt8] = try envelope.serializedBytes()
            let routed = 2 + envelope.id.count + 2 + envelope.subject.utf8.count
            for length in 0..<bytes.count {
                let reason = reason(Array(bytes.prefix(length)))
                // A subject cut between two characters is a shorter subject only if its length says so; it does not.
                if length < routed { #expect(reason == .badEnvelope) }
            }
        }
    }

    @Test("random bytes and random changes of good bytes never trap")
    func random() throws {
        var random = SplitMix64.seeded()
        for _ in 0..<20_000 { _ = reason(random.bytes(upTo: 80)) }
        for _ in 0..<10_000 {
            var bytes: [UInt8] = try randomEnvelope(&random).serializedBytes()
            for _ in 0...random.below(4) { bytes[random.below(bytes.count)] = UInt8(random.below(256)) }
            _ = reason(bytes)
        }
    }

    private static let id: [UInt8] = [0x0A, 1, 9]
    private static let subject: [UInt8] = [0x12, 1, 0x61]

    @Test("wrong wire types, order, repetition and cut fields are refused")
    func refusals() {
        let good = Self.id + Self.subject
        #expect(reason(good) == nil)
        let ones = [UInt8](repeating: 0xFF, count: 10)
        let refused: [(String, [UInt8])] = [
            ("nothing", []),
            ("no id", Self.subject),
            ("no subject", Self.id),
            ("out of order", Self.subject + Self.id),
            ("id twice", Self.id + good),
            ("subject twice", good + Self.subject),
            ("id as varint", [0x08, 1] + Self.subject),
            ("subject as varint", Self.id + [0x10, 1]),
            ("severity as bytes", good + [0x1A, 1, 1]),
            ("key as varint", good + [0x20, 1]),
            ("not_before as varint", good + [0x28, 1]),
            ("not_before cut", good + [0x29, 1, 2, 3, 4, 5, 6, 7]),
            ("key longer than the bytes", good + [0x22, 5, 1]),
            ("length over 64 bits", good + [0x22] + ones),
            ("varint too long", good + [0x18] + ones + [1]),
            ("a group", good + [0x33]),
            ("a wire type that does not exist", good + [0x37]),
            ("field 0", good + [0x00]),
            ("id of 65 bytes", [0x0A, 65] + [UInt8](repeating: 1, count: 65) + Self.subject),
            ("key of 256 bytes", good + [0x22, 0x80, 2] + [UInt8](repeating: 0x61, count: 256)),
        ]
        for (what, bytes) in refused { #expect(reason(bytes) == .badEnvelope, "\(what)") }
        #expect(reason([0x0A, 64] + [UInt8](repeating: 1, count: 64) + Self.subject) == nil)
        #expect(reason(good + [0x22, 0xFF, 1] + [UInt8](repeating: 0x61, count: 255)) == nil)
    }

    @Test("what follows field 5 is not looked at")
    func rest() throws {
        let good = Self.id + Self.subject
        #expect(reason(good + [0x32, 200, 1, 2]) == nil)
        #expect(reason(good + [0x7A, 0xFF]) == nil)
        #expect(reason(good + [0xA2, 0x06, 1, 1]) == nil)
    }

    @Test("a severity that is unset or not known is info")
    func severities() throws {
        let base = Self.id + Self.subject
        #expect(try scan(base).severity == .info)
        let known: [WireSeverity] = [.info, .info, .minor, .major, .critical, .info]
        for (value, severity) in known.enumerated() {
            #expect(try scan(base + [0x18, UInt8(value)]).severity == severity)
        }
        // -1 as proto3 writes an enum, and 258, whose low byte is 2: both are not known.
        #expect(try scan(base + [0x18] + [UInt8](repeating: 0xFF, count: 9) + [1]).severity == .info)
        #expect(try scan(base + [0x18, 0x82, 0x02]).severity == .info)
    }
}
