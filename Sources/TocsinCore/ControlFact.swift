import TocsinWire

/// One record of a control batch or checkpoint of the journal. Pools are counted from 0 in the order of their first record.
public enum ControlFact: Equatable, Sendable {
    case pool(PoolDefinition, createdAfter: UInt64, catchingUp: Bool)
    /// Settled, and done with.
    case acked(pool: Int, [UInt64])
    /// Given back; so many deliveries were made so far.
    case attempt(pool: Int, sequence: UInt64, FailedAttempt)
    case dead(pool: Int, DeadLetterEntry)
    /// A dead letter that was given to its pool again.
    case revived(pool: Int, sequence: UInt64)
    /// Taken back before it was due.
    case cancelled(pool: Int, sequence: UInt64)
    /// A dead letter that nobody wants any more.
    case discarded(pool: Int, sequence: UInt64)
    /// What a pool had counted when the segment was begun.
    case counters(pool: Int, PoolCounters)

    /// The pool it names; nil: it declares one.
    public var pool: Int? {
        switch self {
        case .pool: nil
        case .acked(let pool, _), .attempt(let pool, _, _), .dead(let pool, _), .revived(let pool, _), .cancelled(let pool, _),
            .discarded(let pool, _), .counters(let pool, _):
            pool
        }
    }

    /// Reads the records of a batch's body and calls `each` with every one and its bytes. Throws `badBody` at the first that
    /// cannot be read, after those before it; never traps.
    public static func read(
        _ body: UnsafeRawBufferPointer, _ each: (ControlFact, UnsafeRawBufferPointer) -> Void
    ) throws(WireError) {
        var reader = ControlReader(body)
        while !reader.isAtEnd {
            let start = reader.offset
            let fact = try one(&reader)
            each(fact, body.part(start, reader.offset - start))
        }
    }

    private static func one(_ reader: inout ControlReader) throws(WireError) -> ControlFact {
        let tag = try reader.tag()
        if tag == .pool {
            let (definition, createdAfter, catchingUp) = try reader.pool()
            return .pool(definition, createdAfter: createdAfter, catchingUp: catchingUp)
        }
        let pool = Int(truncatingIfNeeded: try reader.varint())
        switch tag {
        case .pool, .acked:
            var sequences: [UInt64] = []
            try reader.acked { (sequence) throws(WireError) in sequences.append(sequence) }
            return .acked(pool: pool, sequences)
        case .attempt: return .attempt(pool: pool, sequence: try reader.varint(), try reader.failedAttempt())
        case .dead: return .dead(pool: pool, try reader.letter())
        case .revived: return .revived(pool: pool, sequence: try reader.varint())
        case .cancelled: return .cancelled(pool: pool, sequence: try reader.varint())
        case .discarded: return .discarded(pool: pool, sequence: try reader.varint())
        case .counters: return .counters(pool: pool, try reader.counters())
        }
    }

    /// The shortest record that declares a pool again where its own was lost. It begins with everything that is kept if it was
    /// to begin with the past: where it had come to is not known.
    public static func redeclared(_ definition: PoolDefinition, createdAfter: UInt64) -> [UInt8] {
        var definition = definition
        // What the next record of the pool says anyway, here in a byte each.
        definition.visibility = 100
        definition.maxAttempts = 1
        definition.backoff = 0
        var writer = ControlWriter()
        writer.pool(definition, createdAfter: createdAfter, catchingUp: definition.fromStart)
        return writer.bytes
    }
}
