import TestSupport
import Testing
import TocsinWire

@testable import TocsinJournal

/// Goal: the bytes on disk are those that the doc comments of Format.swift and Identity.swift describe, also next year. Method:
/// a small journal's files against those of Tests/Golden/journal, which another program made from those tables.
@Suite("Journal format") struct FormatTests {
    private static let seed: UInt64 = 0x1122_3344_5566_7788
    private static let time: UInt64 = 1_700_000_000_000
    private static let fileBytes = 4096
    /// In the order in which they follow each other in one segment. A hub writes no `lost`.
    private static let written = ["batch-checkpoint", "batch-messages", "batch-control", "batch-carried", "batch-mark"]
    private static let rows = [
        CarriedBody.Row(sequence: 1, time: time + 1, pools: 1 << 1),
        CarriedBody.Row(sequence: 2, time: time + 1, pools: 1 << 63 | 1),
    ]
    private static let headers: [(kind: BatchKind, ordinal: UInt64, firstSequence: UInt64, count: Int, durable: UInt64)] = [
        (.checkpoint, 1, 1, 0, 0), (.messages, 2, 1, 2, 1), (.control, 3, 3, 0, 2), (.carried, 4, 3, 0, 3), (.mark, 5, 3, 0, 4),
        (.lost, 6, 3, 2, 7),
    ]

    private func golden(_ names: String...) throws -> [UInt8] { try names.flatMap { try GoldenFiles.bytes("journal", $0) } }
    private func records(_ names: String...) throws -> [UInt8] { try names.flatMap { try golden("record-" + $0) } }
    private func bodies() throws -> [[UInt8]] {
        let messages = lengthPrefixed(["one", "three"])
        let attempt = try records("attempt")
        let slices = zip(messages.offsets, [8, 10]).map { MessageSlice(bytes: messages.body, offset: Int($0), count: $1) }
        let dead = try records("dead")
        return [
            try records("pool", "counters"), messages.body.array, try records("acked"),
            CarriedBody.bytes(Self.rows, records: Bytes(attempt), slices).array, [],
            dead + [UInt8](repeating: 0, count: 16 - dead.count),
        ]
    }

    @Test("what a journal writes are these bytes")
    func writing() throws {
        let disk = MemoryDisk()
        var journal = try Opened(disk, newSeed: Self.seed).journal
        _ = journal.append(.checkpoint, Bytes(try records("pool", "counters")), time: Self.time)
        try journal.write()
        journal.publish(["one", "three"], time: Self.time + 1)
        try journal.write()
        _ = journal.append(.control, Bytes(try records("acked")), time: Self.time + 2)
        try journal.write()
        let messages = try (1...2).map { try #require(try journal.message($0)) }
        _ = journal.carry(Self.rows, records: Bytes(try records("attempt")), messages, time: Self.time + 3)
        try journal.write()
        _ = journal.append(.mark, Bytes([]), time: Self.time + 4)
        try journal.write()
        #expect(try #require(disk["identity"]).hexadecimal == golden("identity").hexadecimal)
        var expected = try golden("segment")
        for name in Self.written { expected += try golden(name) }
        let written = try #require(disk["segment-00000001.log"])
        #expect(written.prefix(expected.count).hexadecimal == expected.hexadecimal)
        #expect(written.count == Self.fileBytes && written.dropFirst(expected.count).allSatisfy { $0 == 0 })
    }

    @Test("each batch is written as these bytes")
    func batches() throws {
        for ((name, header), body) in zip(zip(Self.written + ["batch-lost"], Self.headers), try bodies()) {
            let header = BatchHeader(
                kind: header.kind, bodyBytes: body.count, ordinal: header.ordinal, firstSequence: header.firstSequence,
                count: header.count, segment: 1, time: Self.time + header.ordinal - 1, durable: header.durable, seed: Self.seed)
            let padding = [UInt8](repeating: 0, count: padded(body.count) - body.count)
            var bytes = [UInt8](repeating: 0xFF, count: BatchHeader.size) + body + padding
            try bytes.withUnsafeMutableBytes { target in
                let body = UnsafeRawBufferPointer(target).part(BatchHeader.size, header.bodyBytes)
                header.write(to: try #require(target.baseAddress), body: body)
                #expect(BatchHeader(intact: UnsafeRawBufferPointer(target), at: 0, seed: Self.seed, segment: 1) == header)
            }
            #expect(bytes.hexadecimal == (try golden(name)).hexadecimal, "\(name)")
            // It reads as more than one batch only where it stands for more than one.
            #expect(header.lastOrdinal == (header.kind == .lost ? 7 : header.ordinal))
        }
    }

    @Test("a journal of these bytes is taken up, and has what they mean")
    func reading() throws {
        var segment = try golden("segment")
        for name in Self.written + ["batch-lost"] { segment += try golden(name) }
        segment += [UInt8](repeating: 0, count: Self.fileBytes - segment.count)
        let disk = MemoryDisk()
        disk["identity"] = try golden("identity")
        disk["segment-00000001.log"] = segment
        var opened = try Opened(disk)
        #expect(opened.journal.identity == JournalIdentity(seed: Self.seed, epoch: 2, newestSegment: 1))
        let expected = zip(Self.headers, try bodies()).map {
            Opened<MemoryDisk>.Batch(ordinal: $0.ordinal, kind: $0.kind, firstSequence: $0.firstSequence, body: $1)
        }
        #expect(opened.batches == expected)
        try opened.batches[3].body.withUnsafeBytes { bytes in
            let carried = try CarriedBody(bytes)
            #expect((0..<carried.count).map { carried[$0] } == Self.rows)
            #expect(try Array(carried.records) == records("attempt"))
        }
        #expect(try opened.journal.text(2) == "three")
        #expect(opened.journal.lost == [3...4] && opened.journal.nextSequence == 5)
    }

    @Test("a file for every kind of batch, and no other")
    func complete() throws {
        let names = try GoldenFiles.names(in: "journal").filter { !$0.hasPrefix("record-") }
        #expect(names == Set(["identity", "segment", "batch-lost"] + Self.written))
        #expect((0...UInt8.max).compactMap(BatchKind.init).count == Self.headers.count)
    }

    @Test("a header is read as it was written, and is of no other segment, journal or kind")
    func header() throws {
        let header = BatchHeader(
            kind: .checkpoint, bodyBytes: 3, ordinal: 1 << 60, firstSequence: 1 << 61, count: 4096, segment: .max, time: 1 << 62,
            durable: 1 << 59, seed: Self.seed)
        let body = Bytes([1, 2, 3])
        var bytes = [UInt8](repeating: 0xFF, count: BatchHeader.size)
        try bytes.withUnsafeMutableBytes {
            header.write(to: try #require($0.baseAddress), body: body.buffer)
            let written = UnsafeRawBufferPointer($0)
            #expect(BatchHeader(written, seed: Self.seed, segment: .max) == header)
            #expect(BatchHeader.isIntact(written, body: body.buffer))
            let other = Bytes([1, 2, 4])
            #expect(!BatchHeader.isIntact(written, body: other.buffer))
            #expect(BatchHeader(written, seed: Self.seed + 1, segment: .max) == nil)
            #expect(BatchHeader(written, seed: Self.seed, segment: 1) == nil)
            #expect(BatchHeader(written.part(0, 63), seed: Self.seed, segment: .max) == nil)
            for kind: UInt8 in [0, 7, 255] {
                $0[12] = kind
                #expect(BatchHeader(UnsafeRawBufferPointer($0), seed: Self.seed, segment: .max) == nil)
            }
        }
        #expect(header.totalBytes == 64 + 8)
    }

    /// The values of RFC 3720, appendix B.4, and the usual check value.
    @Test("checksums are CRC-32C, and continue")
    func checksums() {
        let cases: [([UInt8], UInt32)] = [
            ([UInt8](repeating: 0, count: 32), 0x8A91_36AA), ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
            (Array(0..<32), 0x46DD_794E), (Array((0..<32).reversed()), 0x113F_DB5C), (Array("123456789".utf8), 0xE306_9283),
            ([], 0),
        ]
        for (bytes, checksum) in cases {
            for split in 0...bytes.count {
                let first = bytes.prefix(split).withUnsafeBytes { CRC32C.checksum($0) }
                #expect(bytes.dropFirst(split).withUnsafeBytes { CRC32C.checksum($0, continuing: first) } == checksum)
            }
        }
    }

    @Test("a segment's name holds its number, and no other name is a segment's")
    func names() {
        for number: UInt32 in [1, 99_999_999, 100_000_000, 1 << 31] {
            #expect(SegmentHeader.number(SegmentHeader.name(number)) == number)
        }
        #expect(SegmentHeader.name(42) == "segment-00000042.log")
        let others = [
            "segment-1.log", "segment-0000000x.log", "segment-00000001.log.new", "segment--0000001.log", "segment-.log",
            "segment-99999999999.log", "segment-2147483649.log", "segment-+0000001.log", "identity", "",
        ]
        for name in others { #expect(SegmentHeader.number(name) == nil, "\(name)") }
    }
}
