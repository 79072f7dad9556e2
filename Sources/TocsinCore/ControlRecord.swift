import TocsinWire

/// The records of a control batch: how pools, settlements and dead letters are journaled. Integers are LEB128 varints, texts
/// a varint length and UTF-8. A batch is a sequence of records, each beginning with its tag; a zero where a tag would be ends
/// it, and what follows is filling.
enum ControlTag: UInt8 {
    case pool = 1
    case acked = 2
    case attempt = 3
    case dead = 4
    case revived = 5
    case counters = 6
    case cancelled = 7
    case discarded = 8
}

struct ControlWriter {
    private(set) var bytes: [UInt8] = []
    /// Ends of records, one in about `grain` bytes: where what was written may be divided.
    private var ends: [Int] = []
    private static let grain = 4096
    /// Where records are that change a counter, and of which pool: what a checkpoint must not count yet.
    private(set) var counted: [(end: Int, pool: Int, tag: ControlTag)] = []

    /// Takes everything, or the records at the front that come to at most `limit` bytes.
    mutating func take(atMost limit: Int) -> ControlWriter {
        if bytes.count <= limit {
            defer { self = ControlWriter() }
            return self
        }
        var taken = ControlWriter()
        guard let last = ends.lastIndex(where: { $0 <= limit }) else { return taken }
        let end = ends[last]
        taken.bytes = Array(bytes[..<end])
        bytes.removeFirst(end)
        ends = ends[(last + 1)...].map { $0 - end }
        counted = counted.filter { $0.end > end }.map { ($0.end - end, $0.pool, $0.tag) }
        return taken
    }

    /// A record begins.
    private mutating func begin(_ tag: ControlTag) {
        if bytes.count >= (ends.last ?? 0) + Self.grain { ends.append(bytes.count) }
        bytes.append(tag.rawValue)
    }

    mutating func pool(_ definition: PoolDefinition, createdAfter: UInt64, catchingUp: Bool) {
        begin(.pool)
        text(definition.name)
        varint(UInt64(definition.filters.count))
        for filter in definition.filters { text(filter.description) }
        varint(definition.visibility)
        varint(UInt64(definition.maxAttempts))
        varint(definition.fromStart ? 1 : 0)
        varint(definition.backoff)
        varint(definition.exclusive ? 1 : 0)
        varint(createdAfter)
        varint(catchingUp ? 1 : 0)
    }

    /// Sequences as differences in the order given (zigzag), a byte each where they are close.
    mutating func acked(pool: Int, _ sequences: some Collection<UInt64>) {
        begin(.acked)
        varint(UInt64(pool))
        varint(UInt64(sequences.count))
        var last: UInt64 = 0
        for sequence in sequences {
            let difference = Int64(bitPattern: sequence &- last)
            varint(UInt64(bitPattern: (difference << 1) ^ (difference >> 63)))
            last = sequence
        }
    }

    mutating func attempt(pool: Int, sequence: UInt64, _ failed: FailedAttempt) {
        begin(.attempt)
        varint(UInt64(pool))
        varint(sequence)
        varint(UInt64(failed.attempt))
        varint(failed.time)
        text(failed.reason)
    }

    mutating func dead(pool: Int, _ letter: DeadLetterEntry) {
        begin(.dead)
        varint(UInt64(pool))
        varint(letter.sequence)
        varint(UInt64(letter.attempts))
        varint(letter.time)
        varint(UInt64(letter.severity))
        varint(letter.keyHash)
        text(letter.reason)
        counted.append((bytes.count, pool, .dead))
    }

    mutating func revived(pool: Int, sequence: UInt64) { ended(.revived, pool: pool, sequence: sequence) }
    mutating func cancelled(pool: Int, sequence: UInt64) { ended(.cancelled, pool: pool, sequence: sequence) }
    mutating func discarded(pool: Int, sequence: UInt64) { ended(.discarded, pool: pool, sequence: sequence) }

    private mutating func ended(_ tag: ControlTag, pool: Int, sequence: UInt64) {
        begin(tag)
        varint(UInt64(pool))
        varint(sequence)
        counted.append((bytes.count, pool, tag))
    }

    mutating func counters(pool: Int, _ counters: PoolCounters) {
        begin(.counters)
        varint(UInt64(pool))
        varint(counters.acked)
        varint(counters.deadLettered)
        varint(counters.revived)
        varint(counters.cancelled)
        varint(counters.discarded)
    }

    mutating func varint(_ value: UInt64) {
        var value = value
        while value >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        bytes.append(UInt8(value))
    }

    private mutating func text(_ text: String) {
        varint(UInt64(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }
}

/// Reads what `ControlWriter` wrote. The bytes were proved by their checksum; anything that still does not fit throws.
struct ControlReader {
    private let bytes: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { offset == bytes.count || bytes[offset] == 0 }
    /// Bytes read.
    private(set) var offset = 0

    mutating func tag() throws(WireError) -> ControlTag {
        guard let tag = ControlTag(rawValue: bytes[offset]) else {
            throw WireError(
                .badBody, "control record \(bytes[offset]) is not known: the journal was written by a newer version")
        }
        offset += 1
        return tag
    }

    mutating func varint() throws(WireError) -> UInt64 {
        guard let value = bytes.varint(at: &offset) else { throw WireError(.badBody, "a control record is cut short") }
        return value
    }

    mutating func text() throws(WireError) -> String {
        let length = try varint()
        guard length <= UInt64(bytes.count - offset) else { throw WireError(.badBody, "a control record is cut short") }
        let part = bytes.part(offset, Int(length))
        offset += Int(length)
        return String(decoding: part, as: UTF8.self)
    }

    // MARK: Records, after their tag

    mutating func pool() throws(WireError) -> (definition: PoolDefinition, createdAfter: UInt64, catchingUp: Bool) {
        let name = try text()
        var filters: [String] = []
        for _ in 0..<(try varint()) { filters.append(try text()) }
        let definition = try PoolDefinition(
            name: name, filters: filters, visibility: try varint(), maxAttempts: UInt32(truncatingIfNeeded: try varint()),
            fromStart: try varint() != 0, backoff: try varint(), exclusive: try varint() != 0)
        return (definition, try varint(), try varint() != 0)
    }

    /// After the pool.
    mutating func acked(_ each: (UInt64) throws(WireError) -> Void) throws(WireError) {
        var last: UInt64 = 0
        for _ in 0..<(try varint()) {
            let zigzag = try varint()
            last = last &+ ((zigzag >> 1) ^ (0 &- (zigzag & 1)))
            try each(last)
        }
    }

    /// After pool and sequence.
    mutating func failedAttempt() throws(WireError) -> FailedAttempt {
        FailedAttempt(attempt: UInt8(truncatingIfNeeded: try varint()), time: try varint(), reason: try text())
    }

    /// After the pool.
    mutating func letter() throws(WireError) -> DeadLetterEntry {
        var letter = DeadLetterEntry(
            sequence: try varint(), attempts: UInt8(truncatingIfNeeded: try varint()), reason: "", time: try varint(),
            severity: UInt8(truncatingIfNeeded: try varint()), keyHash: try varint())
        letter.reason = try text()
        guard WireSeverity(rawValue: letter.severity) != nil else {
            throw WireError(.badBody, "a control record names severity \(letter.severity)")
        }
        return letter
    }

    /// After the pool.
    mutating func counters() throws(WireError) -> PoolCounters {
        var counters = PoolCounters()
        counters.acked = try varint()
        counters.deadLettered = try varint()
        counters.revived = try varint()
        counters.cancelled = try varint()
        counters.discarded = try varint()
        return counters
    }
}
