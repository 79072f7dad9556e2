/// One row of the table that is the first body frame of `deliver`: 24 bytes, big-endian (PROTOCOL.md, "deliver").
public struct DeliveryEntry: Equatable, Sendable {
    public static let size = 24
    public var sequence: UInt64
    /// The fence: a settlement is taken only with the token of the latest delivery.
    public var token: UInt64
    /// 1 for the first delivery.
    public var attempt: UInt16

    @inlinable public init(sequence: UInt64, token: UInt64, attempt: UInt16) {
        self.sequence = sequence
        self.token = token
        self.attempt = attempt
    }

    /// Reads row `index`. The caller has checked the table's size.
    @inlinable public init(_ table: UnsafeRawBufferPointer, at index: Int) {
        let base = index * Self.size
        sequence = table.bigEndian(UInt64.self, at: base)
        token = table.bigEndian(UInt64.self, at: base + 8)
        attempt = table.bigEndian(UInt16.self, at: base + 16)
    }

    @inlinable public func write(to target: UnsafeMutableRawPointer) {
        target.storeBigEndian(sequence, at: 0)
        target.storeBigEndian(token, at: 8)
        target.storeBigEndian(attempt, at: 16)
        target.storeBigEndian(UInt16(0), at: 18)
        target.storeBigEndian(UInt32(0), at: 20)
    }
}

/// How a worker settles a message. Numbers are part of the protocol.
public enum Outcome: UInt8, Sendable {
    case ack = 1
    case retry = 2
    case reject = 3
}

/// One row of `settle`'s table: 24 bytes, big-endian (PROTOCOL.md, "settle").
public struct SettleEntry: Equatable, Sendable {
    public static let size = 24
    public var sequence: UInt64
    public var token: UInt64
    public var outcome: Outcome
    /// For `retry`: how long to wait, milliseconds.
    public var delay: UInt32

    @inlinable public init(sequence: UInt64, token: UInt64, outcome: Outcome, delay: UInt32 = 0) {
        self.sequence = sequence
        self.token = token
        self.outcome = outcome
        self.delay = delay
    }

    /// Reads row `index`; throws `badBody` for an outcome that is not known. The caller has checked the table's size.
    @inlinable public init(_ table: UnsafeRawBufferPointer, at index: Int) throws(WireError) {
        let base = index * Self.size
        sequence = table.bigEndian(UInt64.self, at: base)
        token = table.bigEndian(UInt64.self, at: base + 8)
        guard let outcome = Outcome(rawValue: table[base + 16]) else {
            throw WireError(.badBody, "outcome \(table[base + 16]) is not known; 1 ack, 2 retry, 3 reject", index: index)
        }
        self.outcome = outcome
        delay = table.bigEndian(UInt32.self, at: base + 20)
    }

    @inlinable public func write(to target: UnsafeMutableRawPointer) {
        target.storeBigEndian(sequence, at: 0)
        target.storeBigEndian(token, at: 8)
        target.storeBigEndian(outcome.rawValue, at: 16)
        target.storeBigEndian(UInt8(0), at: 17)
        target.storeBigEndian(UInt16(0), at: 18)
        target.storeBigEndian(delay, at: 20)
    }
}

/// Metadata of a call by which its server learns who calls.
public enum CallerMetadata {
    /// Set by the hub from the caller's key, or by those who may speak for others (PROTOCOL.md, "Who may do what").
    public static let key = "tocsin-caller"
    /// Its value for callers who are not told from each other: everybody may say who they are.
    public static let anonymous = "anonymous"
}
