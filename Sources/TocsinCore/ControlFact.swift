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

extension ControlFact {
    /// For people: "acked: 3, 4, 7". Without the pool.
    public var text: String {
        switch self {
        case .pool(let definition, let createdAfter, let catchingUp):
            let filters = definition.filters.map(\.description).joined(separator: " ")
            return "pool \(definition.name): takes \(filters), visibility \(definition.visibility) ms, at most "
                + "\(definition.maxAttempts) attempts\(definition.exclusive ? ", exclusive" : ""), created after "
                + "\(createdAfter)\(catchingUp ? ", reads what is old" : "")"
        case .acked(_, let sequences): return "acked: " + Self.listed(sequences)
        case .attempt(_, let sequence, let failed):
            return "attempt: \(sequence) given back after attempt \(failed.attempt): \(failed.reason)"
        case .dead(_, let letter):
            return "dead: \(letter.sequence) given up after attempt \(letter.attempts): \(letter.reason)"
        case .revived(_, let sequence): return "revived: \(sequence) is to be tried again"
        case .cancelled(_, let sequence): return "cancelled: \(sequence) taken back before it was due"
        case .discarded(_, let sequence): return "discarded: \(sequence), a dead letter, is not wanted any more"
        case .counters(_, let counters):
            return "counters: \(counters.acked) acked, \(counters.deadLettered) dead, \(counters.revived) revived, "
                + "\(counters.cancelled) cancelled, \(counters.discarded) discarded"
        }
    }

    /// "3, 5 to 9": runs shortened.
    public static func listed(_ sequences: [UInt64]) -> String {
        var runs: [ClosedRange<UInt64>] = []
        for sequence in sequences {
            if let last = runs.last, last.upperBound < .max, last.upperBound + 1 == sequence {
                runs[runs.count - 1] = last.lowerBound...sequence
            } else {
                runs.append(sequence...sequence)
            }
        }
        return runs.map { $0.lowerBound == $0.upperBound ? "\($0.lowerBound)" : "\($0.lowerBound) to \($0.upperBound)" }
            .joined(separator: ", ")
    }
}
