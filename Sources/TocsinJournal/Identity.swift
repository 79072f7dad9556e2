import TocsinWire

/// What makes a journal this one and this start of the hub the newest: the file `identity`, replaced as a whole at each start
/// and whenever a segment was made.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 8 | magic `TCSNJID1` |
/// | 8 | 4 | CRC-32C of bytes 12 to 31 |
/// | 12 | 4 | number of the newest segment that was made; 0: none yet |
/// | 16 | 8 | seed: random, in every batch and in every keyed hash |
/// | 24 | 8 | epoch: number of this start |
public struct JournalIdentity: Equatable, Sendable {
    static let name = "identity"
    static let size = 32
    static let magic: UInt64 = 0x5443_534E_4A49_4431

    public var seed: UInt64
    public var epoch: UInt64
    /// Written before the segment is used, so that one that is gone is missed even where none follows it.
    public var newestSegment: UInt32 = 0

    var bytes: Bytes {
        var writer = ByteWriter(capacity: Self.size)
        let target = writer.extend(by: Self.size)
        target.initializeMemory(as: UInt8.self, repeating: 0, count: Self.size)
        target.storeBigEndian(Self.magic, at: 0)
        target.storeBigEndian(newestSegment, at: 12)
        target.storeBigEndian(seed, at: 16)
        target.storeBigEndian(epoch, at: 24)
        target.storeBigEndian(CRC32C.checksum(UnsafeRawBufferPointer(start: target + 12, count: Self.size - 12)), at: 8)
        return writer.finish()
    }

    init(seed: UInt64, epoch: UInt64, newestSegment: UInt32 = 0) {
        self.seed = seed
        self.epoch = epoch
        self.newestSegment = newestSegment
    }

    func with(newest: UInt32) -> JournalIdentity { JournalIdentity(seed: seed, epoch: epoch, newestSegment: newest) }

    private init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.bigEndian(UInt64.self, at: 0) == Self.magic,
            bytes.bigEndian(UInt32.self, at: 8) == CRC32C.checksum(bytes.part(12, Self.size - 12))
        else { return nil }
        newestSegment = bytes.bigEndian(UInt32.self, at: 12)
        seed = bytes.bigEndian(UInt64.self, at: 16)
        epoch = bytes.bigEndian(UInt64.self, at: 24)
        guard epoch < BatchHeader.endOfNumbers, newestSegment <= SegmentHeader.lastNumber else { return nil }
    }

    /// Reads the identity and writes it back with the next epoch; a new one with `newSeed` if the folder has no journal yet.
    static func start(on disk: some Disk, names: [String], newSeed: UInt64) throws(JournalError) -> JournalIdentity {
        let newest = names.compactMap(SegmentHeader.number).max() ?? 0
        return try JournalError.catching {
            var identity = JournalIdentity(seed: newSeed, epoch: 1)
            if names.contains(name) {
                guard let found = try read(disk) else {
                    throw JournalError(
                        .corrupt,
                        "the file \(name) of the journal is damaged; restore it from a backup, the segments depend on it")
                }
                identity = found
                identity.epoch += 1
            } else if newest > 0 {
                throw JournalError(
                    .corrupt, "the journal's folder has segments but no file \(name); restore it from a backup")
            }
            guard newest >= identity.newestSegment else {
                throw JournalError(
                    .corrupt,
                    "\(SegmentHeader.name(newest + 1)) is missing: the journal was made up to \(SegmentHeader.name(identity.newestSegment)); restore it from a backup"
                )
            }
            identity.newestSegment = newest
            try identity.write(on: disk)
            return identity
        }
    }

    /// Replaces the file, durably.
    func write(on disk: some Disk) throws(DiskError) {
        let bytes = bytes
        // A buffer does not keep its bytes alive.
        defer { withExtendedLifetime(bytes) {} }
        try disk.replace(Self.name, size: Self.size, start: bytes.buffer)
    }

    /// Nil: it is damaged.
    static func read(_ disk: some Disk) throws(DiskError) -> JournalIdentity? {
        let storage = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
        defer { storage.deallocate() }
        guard try disk.read(name, at: 0, into: storage) == size else { return nil }
        return JournalIdentity(UnsafeRawBufferPointer(storage))
    }
}
