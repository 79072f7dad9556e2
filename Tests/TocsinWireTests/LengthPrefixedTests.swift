import TestSupport
import Testing
import TocsinWire

@Suite("Length-prefixed messages")
struct LengthPrefixedTests {
    private func split(_ frame: [UInt8], atMost limit: Int = Limits.batch) throws(WireError) -> [[UInt8]] {
        let held = Bytes(frame)
        var messages: [[UInt8]] = []
        let count = try LengthPrefixed.forEach(in: held.buffer, atMost: limit) { index, _, message in
            #expect(index == messages.count)
            messages.append(Array(message))
        }
        #expect(count == messages.count)
        return messages
    }

    private func error(_ frame: [UInt8], atMost limit: Int = Limits.batch) -> WireError? {
        do throws(WireError) {
            _ = try split(frame, atMost: limit)
            return nil
        } catch { return error }
    }

    @Test("what was put together comes apart the same")
    func roundTrip() throws {
        var random = SplitMix64.seeded()
        for _ in 0..<500 {
            let messages = (0..<random.below(20)).map { _ in random.bytes(upTo: 40) }
            var frame: [UInt8] = []
            for message in messages { LengthPrefixed.append(message, to: &frame) }
            #expect(try split(frame) == messages)
        }
    }

    @Test("every truncation that is not between two messages is refused, and tells which message is broken")
    func truncations() {
        var frame: [UInt8] = []
        var ends: [Int] = [0]
        for size in [0, 3, 1, 10] {
            LengthPrefixed.append([UInt8](repeating: 7, count: size), to: &frame)
            ends.append(frame.count)
        }
        for length in 0...frame.count {
            let error = error(Array(frame.prefix(length)))
            if ends.contains(length) {
                #expect(error == nil)
            } else {
                #expect(error?.reason == .badLengthPrefix)
                #expect(error?.index == ends.lastIndex { $0 <= length })
            }
        }
    }

    @Test("compressed messages, messages over 1 MiB and batches over the limit are refused by name")
    func refusals() {
        #expect(error([1, 0, 0, 0, 0])?.reason == .badLengthPrefix)
        #expect(error([0, 0, 0x10, 0, 1])?.reason == .tooLarge)
        #expect(error([0, 0xFF, 0xFF, 0xFF, 0xFF])?.reason == .tooLarge)
        #expect(error([0, 0, 0x10, 0, 0])?.reason == .badLengthPrefix)
        let three = [UInt8](repeating: 0, count: 15)
        #expect(error(three, atMost: 3) == nil)
        #expect(error(three, atMost: 2)?.reason == .tooMany)
        #expect(error(three, atMost: 2)?.index == 2)
    }

    @Test("random bytes never trap")
    func random() {
        var random = SplitMix64.seeded()
        for _ in 0..<20_000 {
            var bytes = random.bytes(upTo: 60)
            for index in bytes.indices where random.chance(0.6) { bytes[index] = UInt8(random.below(4)) }
            _ = error(bytes, atMost: 5)
        }
    }

    @Test("an error of the body ends the walk")
    func bodyThrows() {
        var seen = 0
        let held = Bytes([UInt8](repeating: 0, count: 25))
        do throws(WireError) {
            _ = try LengthPrefixed.forEach(in: held.buffer) { index, offset, _ throws(WireError) in
                #expect(offset == index * 5)
                seen += 1
                if index == 2 { throw WireError(.badBody, "enough", index: index) }
            }
            Issue.record("nothing thrown")
        } catch {
            #expect(error == WireError(.badBody, "enough", index: 2))
            #expect(seen == 3)
        }
    }
}

@Suite("Tables")
struct TableTests {
    @Test("rows are read wherever they lie; outcomes beyond the three are refused with their row")
    func rows() throws {
        let delivery = DeliveryEntry(sequence: 0x0102_0304_0506_0708, token: 0x1112_1314_1516_1718, attempt: 0x2122)
        var bytes = [UInt8](repeating: 0, count: 24)
        bytes.withUnsafeMutableBytes { delivery.write(to: $0.baseAddress!) }
        let unaligned = Bytes([0] + bytes)
        #expect(DeliveryEntry(unaligned.buffer.part(1, 24), at: 0) == delivery)

        let settlement = SettleEntry(sequence: 1, token: 2, outcome: .retry, delay: 0x0A0B_0C0D)
        bytes.withUnsafeMutableBytes { settlement.write(to: $0.baseAddress!) }
        for outcome in UInt8.min...UInt8.max {
            var second = bytes
            second[16] = outcome
            let table = Bytes(bytes + second)
            do throws(WireError) {
                let read = try SettleEntry(table.buffer, at: 1)
                #expect(read.outcome.rawValue == outcome && (1...3).contains(outcome))
                #expect(read.delay == 0x0A0B_0C0D)
            } catch {
                #expect(error.reason == .badBody && error.index == 1)
                #expect(!(1...3).contains(outcome))
            }
        }
    }
}

@Suite("Bytes")
struct BytesTests {
    @Test("a writer grows, is patched and finishes with what was written")
    func writer() {
        var random = SplitMix64.seeded()
        for _ in 0..<200 {
            var writer = ByteWriter(capacity: random.below(64))
            var expected: [UInt8] = [0, 0, 0, 0]
            let start = Bytes(expected)
            writer.append(start.buffer)
            for _ in 0..<random.below(20) {
                let part = random.bytes(upTo: 90)
                let held = Bytes(part)
                writer.append(held.buffer)
                expected += part
            }
            writer.patch(at: 0) { $0.storeBigEndian(UInt32(0x0102_0304), at: 0) }
            expected.replaceSubrange(0..<4, with: [1, 2, 3, 4])
            #expect(writer.count == expected.count)
            #expect(writer.finish().array == expected)
        }
    }

    @Test("bytes are released once, when the last reference goes")
    func release() {
        var released = 0
        var holders: [Bytes] = [Bytes(UnsafeRawBufferPointer(start: nil, count: 0)) { released += 1 }]
        holders.append(holders[0])
        holders.removeLast()
        #expect(released == 0)
        holders.removeLast()
        #expect(released == 1)
    }
}
