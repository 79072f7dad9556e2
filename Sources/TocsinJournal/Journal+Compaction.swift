import TocsinWire

/// Messages that are still needed are stored again at the end of the journal, so that the segments they were in can go though
/// little in them is needed (the cleaning of log-structured file systems, Rosenblum and Ousterhout, SOSP 1991).
extension Journal {
    /// The oldest segment from which something is to be carried: sealed, on disk, followed by another, and either not below
    /// `boundary`, up to which everything was, or with messages that were carried into it.
    public func compactable(from boundary: UInt64) -> (segment: UInt32, messages: Range<UInt64>)? {
        // Those on their way out of a segment are in it until that is on disk, and need not go a second time.
        let holding = moving.isEmpty ? Set(carried.map(\.segment)) : []
        for (position, segment) in segments.enumerated().dropLast()
        where segments[position + 1].firstSequence > boundary || holding.contains(segment.number) {
            guard segments[position + 1].number <= durableEnd.segment else { return nil }
            return (segment.number, segment.firstSequence..<segments[position + 1].firstSequence)
        }
        return nil
    }

    /// Bytes of the segments from this one on.
    public func bytes(from segment: UInt32) -> Int { segments.reduce(0) { $0 + ($1.number >= segment ? $1.bytes : 0) } }

    /// Messages that were carried, as far as anybody needs them.
    public var carriedCount: Int { carried.count }

    /// Carried messages that are in this segment, in order.
    public func carried(in segment: UInt32) -> [UInt64] { carried.lazy.filter { $0.segment == segment }.map(\.sequence) }

    /// Forgets where carried messages are that nobody needs.
    public mutating func forgetCarried(unless isNeeded: (UInt64) -> Bool) { carried.removeAll { !isNeeded($0.sequence) } }

    /// Queues a batch of messages that are not new and returns its ordinal. The caller has made sure that it fits (`room`,
    /// `CarriedBody.size`). `rows` in order of sequence, with their messages.
    public mutating func carry(
        _ rows: [CarriedBody.Row], records: Bytes, _ messages: [MessageSlice], time: UInt64
    ) -> UInt64 {
        guard let current = segments.last else { return lastOrdinal }
        let places = rows.map { Place(sequence: $0.sequence, segment: current.number, offset: UInt32(current.end)) }
        let ordinal = append(.carried, CarriedBody.bytes(rows, records: records, messages), time: time)
        moving.append((ordinal, places))
        return ordinal
    }

    /// Notes where recovery found carried messages. Throws for a body that is none.
    mutating func noteCarried(_ header: BatchHeader, _ body: UnsafeRawBufferPointer, at offset: Int) throws(WireError) {
        let body = try CarriedBody(body)
        settle(
            (0..<body.count).map { Place(sequence: body[$0].sequence, segment: header.segment, offset: UInt32(offset)) })
    }

    /// Carried messages are where they were carried to. `places` in order of sequence.
    mutating func settle(_ places: [Place]) {
        guard let first = places.first, let last = carried.last, first.sequence <= last.sequence else {
            carried += places
            return
        }
        var merged: [Place] = []
        merged.reserveCapacity(carried.count + places.count)
        var new = places[...]
        for old in carried {
            while let next = new.first, next.sequence < old.sequence { merged.append(new.removeFirst()) }
            if let next = new.first, next.sequence == old.sequence {
                merged.append(new.removeFirst())
            } else {
                merged.append(old)
            }
        }
        carried = merged + new
    }
}
