import TocsinWire

/// One batch with its place.
public struct JournalBatch: Sendable {
    public var header: BatchHeader
    /// In the segment's file.
    public var offset: Int
    public var body: Bytes
}

/// What the journal's writer does in one go: write, then sync; everything up to `last` is then on disk. For one writer, in the
/// order it was taken from the journal.
public struct JournalWork: Sendable {
    public var batches: [JournalBatch]
    /// Ordinal of the last batch.
    public var last: UInt64 { batches.last?.header.ordinal ?? 0 }
    public var bytes: Int { batches.reduce(0) { $0 + $1.header.totalBytes } }

    /// Blocking.
    ///
    /// - Throws: `DiskError`; nothing is then known of any batch, and the sync must not be tried again: pages that failed to be
    ///   written may count as clean the next time (fsync(2); PostgreSQL's "fsyncgate"). The hub stops and recovers by replay.
    public func perform(on disk: some Disk) throws(DiskError) {
        var start = 0
        while start < batches.count {
            let segment = batches[start].header.segment
            var end = start
            while end < batches.count, batches[end].header.segment == segment { end += 1 }
            // A segment is on disk before the next one is begun: recovery relies on it.
            try Self.write(batches[start..<end], SegmentHeader.name(segment), on: disk)
            start = end
        }
    }

    private static func write(_ batches: ArraySlice<JournalBatch>, _ name: String, on disk: some Disk) throws(DiskError) {
        let headers = UnsafeMutableRawBufferPointer.allocate(byteCount: batches.count * BatchHeader.size + 8, alignment: 8)
        defer { headers.deallocate() }
        guard let base = headers.baseAddress, let first = batches.first else { return }
        let zeros = UnsafeRawBufferPointer(start: base + batches.count * BatchHeader.size, count: 8)
        (base + batches.count * BatchHeader.size).initializeMemory(as: UInt8.self, repeating: 0, count: 8)
        var parts: [UnsafeRawBufferPointer] = []
        parts.reserveCapacity(batches.count * 3)
        var offset = first.offset
        for (position, batch) in batches.enumerated() {
            precondition(batch.offset == offset, "batches of one segment follow each other without a hole")
            let header = base + position * BatchHeader.size
            batch.header.write(to: header, body: batch.body.buffer)
            parts.append(UnsafeRawBufferPointer(start: header, count: BatchHeader.size))
            if batch.body.count > 0 { parts.append(batch.body.buffer) }
            let padding = padded(batch.body.count) - batch.body.count
            if padding > 0 { parts.append(UnsafeRawBufferPointer(rebasing: zeros[..<padding])) }
            offset += batch.header.totalBytes
        }
        try disk.write(name, at: first.offset, parts)
        #if TOCSIN_PLANTED_BUGS
            if PlantedBug.failedSyncRetried.isPlanted { do { return try disk.sync(name) } catch {} }
        #endif
        try disk.sync(name)
    }
}

/// Slow work beside the writing: making the next segment, removing old ones. For a thread of its own, one at a time.
public enum JournalJob: Sendable {
    /// `identity`: with the segment's number as the newest.
    case prepare(segment: UInt32, bytes: Int, identity: JournalIdentity)
    case remove([UInt32])

    /// Blocking. Throws `DiskError`: `full` where there is no space for the next segment.
    public func perform(on disk: some Disk) throws(DiskError) {
        switch self {
        case .prepare(let segment, let bytes, let identity):
            let header = SegmentHeader.bytes(number: segment, seed: identity.seed, fileBytes: bytes)
            // A buffer does not keep its bytes alive.
            defer { withExtendedLifetime(header) {} }
            try disk.replace(SegmentHeader.name(segment), size: bytes, start: header.buffer)
            try identity.write(on: disk)
        case .remove(let segments):
            for segment in segments {
                try disk.remove(SegmentHeader.name(segment))
                // One after another, so that a crash leaves no hole in the middle.
                try disk.syncFolder()
            }
        }
    }
}
