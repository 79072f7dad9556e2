import TestSupport
import Testing
import TocsinWire

@testable import TocsinJournal

/// Goal: the bytes on disk are those that the doc comments of Format.swift and Identity.swift describe, also next year. Method:
/// a small journal's files against bytes that another program made from those tables.
@Suite("Journal format") struct FormatTests {
    private static let seed: UInt64 = 0x1122_3344_5566_7788
    private static let identity = """
        5443534e4a494431c1eed5ff00000001
        11223344556677880000000000000001
        """
    private static let segment = """
        5443534e4a524e314116373300000001
        11223344556677880000000000001000
        00000000000000000000000000000000
        00000000000000000000000000000000
        """
    private static let control = """
        54435342d7b2da090000000202000000
        00000000000000010000000000000001
        00000000000000010000018bcfe56800
        00000000000000001122334455667788
        dead000000000000
        """
    private static let messages = """
        54435342675f2e4f0000001201000000
        00000000000000020000000000000001
        00000002000000010000018bcfe56801
        00000000000000011122334455667788
        00000000036f6e650000000005746872
        6565000000000000
        """

    private func joined(_ parts: String...) -> String { parts.joined().filter { $0 != "\n" } }

    @Test("the files of a journal are these bytes")
    func files() throws {
        let disk = MemoryDisk()
        var journal = try Opened(disk, newSeed: Self.seed).journal
        _ = journal.append(.control, Bytes([0xDE, 0xAD]), time: 1_700_000_000_000)
        try journal.write()
        journal.publish(["one", "three"], time: 1_700_000_000_001)
        try journal.write()
        #expect(try #require(disk["identity"]).hexadecimal == joined(Self.identity))
        let written = try #require(disk["segment-00000001.log"])
        let expected = joined(Self.segment, Self.control, Self.messages)
        #expect(written.prefix(expected.count / 2).hexadecimal == expected)
        #expect(written.count == 4096 && written.dropFirst(expected.count / 2).allSatisfy { $0 == 0 })
    }

    /// The kinds that `files` does not write; the bytes are made by another program too.
    @Test(
        "a checkpoint, a mark and a batch that stands for what is lost are these bytes",
        arguments: [
            (
                BatchHeader(
                    kind: .checkpoint, bodyBytes: 1, ordinal: 1, firstSequence: 1, count: 0, segment: 1, time: 1_700_000_000_003,
                    durable: 0, seed: 0x1122_3344_5566_7788), [1],
                "544353426a77939900000001030000000000000000000001000000000000000100000000000000010000018bcfe56803000000000000000011223344556677880100000000000000"
            ),
            (
                BatchHeader(
                    kind: .mark, bodyBytes: 0, ordinal: 2, firstSequence: 1, count: 0, segment: 1, time: 1_700_000_000_004,
                    durable: 1, seed: 0x1122_3344_5566_7788), [],
                "54435342dd61845300000000040000000000000000000002000000000000000100000000000000010000018bcfe5680400000000000000011122334455667788"
            ),
            (
                BatchHeader(
                    kind: .lost, bodyBytes: 8, ordinal: 3, firstSequence: 4, count: 2, segment: 1, time: 1_700_000_000_002,
                    durable: 5, seed: 0x1122_3344_5566_7788), [UInt8](repeating: 0, count: 8),
                "54435342ee59d42800000008050000000000000000000003000000000000000400000002000000010000018bcfe56802000000000000000511223344556677880000000000000000"
            ),
        ] as [(BatchHeader, [UInt8], String)])
    func kinds(header: BatchHeader, body: [UInt8], expected: String) throws {
        let padding = [UInt8](repeating: 0, count: padded(body.count) - body.count)
        var bytes = [UInt8](repeating: 0, count: BatchHeader.size) + body + padding
        try bytes.withUnsafeMutableBytes { target in
            let body = UnsafeRawBufferPointer(target).part(BatchHeader.size, header.bodyBytes)
            header.write(to: try #require(target.baseAddress), body: body)
            #expect(BatchHeader(intact: UnsafeRawBufferPointer(target), at: 0, seed: header.seed, segment: 1) == header)
        }
        #expect(bytes.hexadecimal == expected)
        // It reads as more than one batch only where it stands for more than one.
        #expect(header.lastOrdinal == (header.kind == .lost ? 5 : header.ordinal))
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
            #expect(!BatchHeader.isIntact(written, body: Bytes([1, 2, 4]).buffer))
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
