import TocsinWire

extension Journal {
    /// Reads the messages of one index entry.
    func read(_ position: Int) throws(JournalError) -> Run? {
        let entry = index[position]
        guard let segment = segments.first(where: { $0.number == entry.segment }) else { return nil }
        let start = Int(entry.offset)
        var end = segment.end
        if position + 1 < index.count, index[position + 1].segment == entry.segment { end = Int(index[position + 1].offset) }
        // What is queued or being written is not looked at.
        if entry.segment == durableEnd.segment { end = min(end, durableEnd.offset) }
        guard entry.segment <= durableEnd.segment, end > start else { return nil }
        let bytes = try bytes(entry.segment, start..<end)
        var run = Run(firstSequence: entry.firstSequence, bytes: bytes, offsets: [], ordinal: 0, time: 0)
        var offset = 0
        while offset < bytes.count {
            let header = try header(entry.segment, bytes, at: offset, from: start)
            if header.kind == .messages {
                if run.offsets.isEmpty { run.time = header.time }
                if header.time != run.time || !run.laterTimes.isEmpty { run.laterTimes.append((run.offsets.count, header.time)) }
                let body = offset + BatchHeader.size
                try Self.messages(
                    bytes.buffer.part(body, header.bodyBytes), SegmentHeader.name(entry.segment), start + offset
                ) { run.offsets.append(UInt32(body + $0)) }
            }
            offset += header.totalBytes
        }
        return run
    }

    /// Reads the carried batch that a message is in; nil: it is in none.
    func carriedRun(of sequence: UInt64) throws(JournalError) -> Run? {
        guard let found = Self.lastIndex(carried.count, where: { carried[$0].sequence <= sequence }),
            carried[found].sequence == sequence
        else { return nil }
        let (segment, start) = (carried[found].segment, Int(carried[found].offset))
        let head = try bytes(segment, start..<start + BatchHeader.size)
        // Its length is needed before its checksum can be looked at.
        guard let first = BatchHeader(head.buffer, seed: identity.seed, segment: segment), first.kind == .carried,
            start + first.totalBytes <= segments.first(where: { $0.number == segment })?.end ?? 0
        else { throw changed(segment, start) }
        let bytes = try bytes(segment, start..<start + first.totalBytes)
        let header = try header(segment, bytes, at: 0, from: start)
        var run = Run(firstSequence: 0, bytes: bytes, offsets: [], ordinal: 0, time: 0)
        do {
            let body = try CarriedBody(bytes.buffer.part(BatchHeader.size, header.bodyBytes))
            for row in 0..<body.count {
                run.sequences.append(body[row].sequence)
                run.laterTimes.append((row, body[row].time))
            }
            let messages = BatchHeader.size + header.bodyBytes - body.messages.count
            try Self.messages(body.messages, SegmentHeader.name(segment), start) { run.offsets.append(UInt32(messages + $0)) }
        } catch let error as WireError {
            throw JournalError(.format, "\(SegmentHeader.name(segment)), batch at offset \(start): \(error)")
        } catch { throw changed(segment, start) }
        return run
    }

    private func bytes(_ segment: UInt32, _ range: Range<Int>) throws(JournalError) -> Bytes {
        let name = SegmentHeader.name(segment)
        let storage = UnsafeMutableRawBufferPointer.allocate(byteCount: range.count, alignment: 8)
        let bytes = Bytes(UnsafeRawBufferPointer(storage)) { storage.deallocate() }
        try JournalError.catching {
            guard try disk.read(name, at: range.lowerBound, into: storage) == range.count else {
                throw JournalError(
                    .corrupt, "\(name) ends before offset \(range.upperBound); it was longer when the hub started")
            }
        }
        return bytes
    }

    /// The header of an intact batch in bytes that begin at `start` of a segment.
    private func header(
        _ segment: UInt32, _ bytes: Bytes, at offset: Int, from start: Int
    ) throws(JournalError) -> BatchHeader {
        guard let header = BatchHeader(intact: bytes.buffer, at: offset, seed: identity.seed, segment: segment) else {
            throw changed(segment, start + offset)
        }
        return header
    }

    private func changed(_ segment: UInt32, _ offset: Int) -> JournalError {
        JournalError(
            .corrupt,
            "\(SegmentHeader.name(segment)) has changed at offset \(offset): the batch there was intact when it was written")
    }

    /// Offset of each message in the body of an intact batch.
    static func messages(
        _ body: UnsafeRawBufferPointer, _ name: String, _ offset: Int, _ each: (Int) -> Void
    ) throws(JournalError) {
        do {
            _ = try LengthPrefixed.forEach(in: body) { (_, position, _) throws(WireError) in each(position) }
        } catch {
            throw JournalError(.corrupt, "\(name), batch at offset \(offset): \(error)")
        }
    }
}
