import TocsinWire

/// Bytes of a segment that a repair replaces: by a batch that stands for what is lost, or by zeros.
struct Patch: Sendable {
    var segment: UInt32
    var range: Range<Int>
    /// Nil: zeros.
    var lost: BatchHeader?
    /// Control records that go into it.
    var records: [UInt8] = []
}

/// Goes through the segments in order. A place where a batch should be and is not stays pending until the next intact batch
/// tells how many batches and messages were lost there, and whether they had been on disk.
struct Walk {
    typealias Damage = JournalSurvey.Damage

    let seed: UInt64
    var segments: [JournalSurvey.Segment] = []
    var damages: [Damage] = []
    var patches: [Patch] = []
    var torn: (file: String, bytes: Range<Int>)?
    var lost: [ClosedRange<UInt64>] = []
    var lastOrdinal: UInt64 = 0
    var nextSequence: UInt64 = 1
    /// Segments whose header is to be written.
    var rewritten: Set<UInt32> = []
    /// Sizes of the files as they are or are to be.
    var fileBytes: [UInt32: Int] = [:]

    /// Whether the ordinals are known: from a batch that was seen, or because the journal begins here.
    private var isKnown = false
    private var hasBatches = false
    private var pending: [Place] = []
    /// Gaps of which no durable mark says yet that they had been on disk.
    private var unproven: [Gap] = []

    /// Where a batch may have been.
    private struct Place {
        var segment: UInt32
        var range: Range<Int>
        var isMissing = false
        var isHeaderBad = false
        /// Bytes that the file lacks at its end.
        var cut = 0
        /// A batch that does not follow, but is intact, says that what should be here was on disk.
        var isProven = false
        var remains = Remains()
        var file: String { SegmentHeader.name(segment) }
        /// Recovery needs a batch at the start of each segment that has a later one.
        var isStart: Bool { range.lowerBound == SegmentHeader.size }
    }
    private struct Gap {
        var segment: UInt32
        var offset: Int
        var lastOrdinal: UInt64
        var nextSequence: UInt64
        var damages: Int
        var patches: Int
    }
    /// What can still be read of a damaged range.
    private struct Remains {
        var subjects: [String: Int] = [:]
        var control: [UInt8] = []
        var carried: [UInt64] = []
        /// Its first header, whatever its checksum says.
        var header: BatchHeader?
    }

    init(seed: UInt64) { self.seed = seed }

    mutating func missing(_ number: UInt32) {
        if segments.isEmpty { isKnown = number == 1 }
        segments.append(.init(number: number, name: SegmentHeader.name(number), bytes: 0))
        let start = SegmentHeader.size
        pending.append(Place(segment: number, range: start..<start, isMissing: true))
        fileBytes[number] = segments.count > 1 ? fileBytes[segments[segments.count - 2].number] : nil
        rewritten.insert(number)
    }

    mutating func segment(
        _ number: UInt32, _ file: UnsafeRawBufferPointer, _ visit: (RecoveredBatch) throws -> Void
    ) throws {
        if segments.isEmpty { isKnown = number == 1 }
        segments.append(.init(number: number, name: SegmentHeader.name(number), bytes: file.count))
        var end = Place(segment: number, range: 0..<0)
        examineHeader(number, file, &end)
        var offset = SegmentHeader.size
        while true {
            if let header = BatchHeader(intact: file, at: offset, seed: seed, segment: number),
                isNext(header, at: offset, file.count)
            {
                try take(header, file, offset, visit)
                offset += header.totalBytes
            } else if let (position, header) = next(file, number, after: offset, &end.isProven) {
                end.isProven = false
                var place = Place(segment: number, range: offset..<position, isHeaderBad: end.isHeaderBad)
                place.remains = remains(file, place.range, number)
                pending.append(place)
                try take(header, file, position, visit)
                offset = position + header.totalBytes
            } else {
                break
            }
        }
        end.range = offset..<offset
        if offset < file.count, let last = file[offset...].lastIndex(where: { $0 != 0 }) {
            end.range = offset..<offset + padded(last + 1 - offset)
            end.remains = remains(file, end.range, number)
        }
        pending.append(end)
    }

    private mutating func examineHeader(_ number: UInt32, _ file: UnsafeRawBufferPointer, _ end: inout Place) {
        let name = SegmentHeader.name(number)
        // A file that was cut has a size that no segment is made with.
        let whole = max((file.count + 4095) & ~4095, 4096)
        fileBytes[number] =
            whole == file.count ? whole : max(whole, segments.dropLast().last.flatMap { fileBytes[$0.number] } ?? 0)
        guard SegmentHeader.isValid(file, number: number, seed: seed) else {
            damages.append(
                Damage(cause: .header, segment: number, file: name, bytes: 0..<min(SegmentHeader.size, file.count)))
            end.isHeaderBad = true
            end.cut = (fileBytes[number] ?? 0) - file.count
            rewritten.insert(number)
            return
        }
        let made = SegmentHeader.fileBytes(file)
        fileBytes[number] = max(file.count, Int(clamping: min(made, UInt64(SegmentHeader.maxFileBytes))))
        if made > UInt64(file.count) {
            end.cut = (fileBytes[number] ?? 0) - file.count
            damages.append(
                Damage(cause: .truncated, segment: number, file: name, bytes: file.count..<file.count + end.cut))
        }
    }

    // MARK: Batches

    private func isPossible(_ header: BatchHeader, _ fileBytes: Int) -> Bool {
        header.kind != .lost || header.count <= fileBytes / 8
    }

    /// Whether it follows what was seen, or what was lost between segments.
    private func isNext(_ header: BatchHeader, at offset: Int, _ fileBytes: Int) -> Bool {
        guard isPossible(header, fileBytes) else { return false }
        if !hasBatches, offset == SegmentHeader.size, pending.isEmpty { return true }
        if header.ordinal == lastOrdinal + 1 { return header.firstSequence == nextSequence }
        // More can be missing only where a segment begins.
        return offset == SegmentHeader.size && follows(header)
    }

    private func follows(_ header: BatchHeader) -> Bool {
        !isKnown || header.ordinal > lastOrdinal + 1 && header.firstSequence >= nextSequence
    }

    /// The next intact batch beyond `offset` that can belong there.
    private func next(
        _ file: UnsafeRawBufferPointer, _ number: UInt32, after offset: Int, _ isProven: inout Bool
    ) -> (Int, BatchHeader)? {
        var position = offset
        while position + BatchHeader.size <= file.count {
            defer { position += 8 }
            guard file.bigEndian(UInt32.self, at: position) == BatchHeader.magic,
                let header = BatchHeader(intact: file, at: position, seed: seed, segment: number)
            else { continue }
            // So does one that stands where another should: recovery refuses it.
            if header.durable > lastOrdinal || position == offset { isProven = true }
            // What is lost must have room for a batch that says so.
            guard position - offset >= BatchHeader.size, isPossible(header, file.count), follows(header) else { continue }
            // Lost between segments is what the next segment tells; here no more than there is room for.
            let isWithin = isKnown && pending.allSatisfy { $0.segment == number }
            if isWithin, header.firstSequence - nextSequence > UInt64(file.count / 8) { continue }
            return (position, header)
        }
        return nil
    }

    private mutating func take(
        _ header: BatchHeader, _ file: UnsafeRawBufferPointer, _ offset: Int, _ visit: (RecoveredBatch) throws -> Void
    ) throws {
        try resolve(before: header)
        unproven.removeAll { header.durable > $0.lastOrdinal || header.segment != $0.segment }
        lastOrdinal = header.lastOrdinal
        nextSequence = header.nextSequence
        isKnown = true
        hasBatches = true
        if header.kind == .lost, header.count > 0 { lost.append(header.firstSequence...header.nextSequence - 1) }
        segments[segments.count - 1].add(header, endingAt: offset + header.totalBytes)
        let body = file.part(offset + BatchHeader.size, header.bodyBytes)
        try visit(RecoveredBatch(header: header, offset: offset, body: body))
    }

    private func remains(_ file: UnsafeRawBufferPointer, _ range: Range<Int>, _ number: UInt32) -> Remains {
        var remains = Remains()
        let range = range.clamped(to: 0..<file.count)
        var position = range.lowerBound
        var batches = 0
        while position + BatchHeader.size <= range.upperBound {
            let header = BatchHeader(UnsafeRawBufferPointer(rebasing: file[position...]), seed: seed, segment: number)
            if batches == 0 { remains.header = header }
            let start = position + BatchHeader.size
            let length = min(header?.bodyBytes ?? range.upperBound - start, range.upperBound - start)
            let body = file.part(start, length)
            let kind = header?.kind ?? BatchKind(rawValue: file[position + 12])
            let carried = kind == .carried ? try? CarriedBody(body) : nil
            remains.carried = (0..<(carried?.count ?? 0)).compactMap { carried?[$0].sequence }
            // Bytes that are not messages end the look; nothing is decided by it.
            _ = try? LengthPrefixed.forEach(in: carried?.messages ?? body, atMost: .max) { (_, _, message) throws(WireError) in
                let view = try EnvelopeView(scanning: message)
                remains.subjects[String(decoding: view.subject, as: UTF8.self), default: 0] += 1
            }
            remains.control = batches == 0 && (kind == .control || kind == .checkpoint) ? Array(body) : []
            batches += 1
            position = start + padded(length)
        }
        return remains
    }

    // MARK: Gaps

    /// Tells what is lost in the pending places, now that the batch after them is known.
    private mutating func resolve(before header: BatchHeader) throws {
        defer { pending = [] }
        guard let last = pending.last else { return }
        var gap = Gap(
            segment: last.segment, offset: last.range.lowerBound, lastOrdinal: lastOrdinal, nextSequence: nextSequence,
            damages: damages.count, patches: patches.count)
        let starts = pending.filter { $0.isStart && ($0.segment < header.segment || !$0.range.isEmpty) }
        var isAtMost = false
        if !isKnown {
            guard let needed = starts.first else { return }
            let bytes = pending.reduce(0) { $0 + $1.range.count }
            let count = UInt64(starts.count)
            guard header.ordinal > count else { throw mismatch(needed) }
            lastOrdinal = header.ordinal - count - 1
            nextSequence = header.firstSequence - min(header.firstSequence - 1, UInt64(bytes / 8))
            isAtMost = true
            if let hint = needed.remains.header, count == 1, hint.ordinal + 1 == header.ordinal,
                hint.nextSequence == header.firstSequence, hint.totalBytes == needed.range.count
            {
                nextSequence = hint.firstSequence
                isAtMost = false
            }
            gap.lastOrdinal = lastOrdinal
            gap.nextSequence = nextSequence
        }
        let ordinals = Int(clamping: header.ordinal - lastOrdinal - 1)
        if ordinals == 0 {
            // Nothing is missing: what has changed are bytes that had never been written.
            for place in pending {
                if place.isMissing { throw mismatch(place) }
                if !place.range.isEmpty { clear(place) }
            }
            return
        }
        guard ordinals >= starts.count else { throw mismatch(starts[0]) }
        var carriers = starts
        if let first = pending.first, !first.isStart, starts.isEmpty || !first.range.isEmpty && ordinals > starts.count {
            carriers.insert(first, at: 0)
        }
        for place in pending where !place.range.isEmpty && !carriers.contains(where: { $0.segment == place.segment }) {
            clear(place)
        }
        var messages = Int(clamping: header.firstSequence - nextSequence)
        for (index, place) in carriers.enumerated() {
            if place.isMissing, index == carriers.count - 1 {
                // The last that can take them; a file is as large as needed.
                fileBytes[place.segment] = max(fileBytes[place.segment] ?? 0, (messages * 8 + 4095) & ~4095)
            }
            let room = fileBytes[place.segment, default: fileBytes[header.segment] ?? 4096] / 8
            let taken = min(messages, room)
            let batches = index == 0 ? ordinals - carriers.count + 1 : 1
            give(place, batches, taken, isAtMost)
            messages -= taken
        }
        guard messages == 0 else { throw mismatch(carriers[0]) }
        if let only = carriers.first, carriers.count == 1, only.segment == header.segment { unproven.append(gap) }
    }

    private func mismatch(_ place: Place) -> JournalError {
        JournalError(
            .corrupt,
            "\(place.file) and the segments around it cannot be parts of one journal: the numbers of their batches do not fit; restore a backup"
        )
    }

    private mutating func clear(_ place: Place) {
        damages.append(Damage(cause: .changed, segment: place.segment, file: place.file, bytes: place.range))
        patches.append(Patch(segment: place.segment, range: place.range))
    }

    /// Puts the loss of so many batches and messages at a place.
    private mutating func give(_ place: Place, _ batches: Int, _ messages: Int, _ isAtMost: Bool) {
        var range = place.range
        if range.count < BatchHeader.size { range = range.lowerBound..<range.lowerBound + BatchHeader.size }
        let size = max(fileBytes[place.segment] ?? 4096, 4096)
        if range.upperBound > size { rewritten.insert(place.segment) }
        fileBytes[place.segment] = max(size, (range.upperBound + 4095) & ~4095)
        let ordinals = lastOrdinal + 1...lastOrdinal + UInt64(batches)
        let header = BatchHeader(
            kind: .lost, bodyBytes: range.count - BatchHeader.size, ordinal: ordinals.lowerBound, firstSequence: nextSequence,
            count: messages, segment: place.segment, time: 0, durable: ordinals.upperBound, seed: seed)
        var damage = Damage(
            cause: place.isMissing ? .missing : .changed, segment: place.segment, file: place.file, bytes: place.range)
        damage.ordinals = ordinals
        if messages > 0 { damage.sequences = nextSequence...header.nextSequence - 1 }
        damage.isAtMost = isAtMost
        damage.subjects = place.remains.subjects
        damage.carried = batches == 1 && messages == 0 ? place.remains.carried : []
        damage.controlBytes = batches == 1 && messages == 0 ? place.remains.control : []
        let isOnlyMessages = batches == 1 && messages > 0 && !isAtMost
        damage.mayHoldControl = !isOnlyMessages && (place.range.isEmpty || range.count > BatchHeader.size * batches)
        damages.append(damage)
        patches.append(Patch(segment: place.segment, range: range, lost: header))
        lastOrdinal = ordinals.upperBound
        nextSequence = header.nextSequence
    }

    // MARK: The end

    /// Tells a torn tail from damage at the end.
    mutating func finish(newestMade: UInt32) throws {
        let changed = pending.filter { !$0.range.isEmpty }
        let isBegunAfter = { (gap: Gap) in changed.contains { $0.segment != gap.segment } }
        let isDamage =
            pending.contains {
                $0.isMissing || $0.cut > 0 || $0.isProven && !$0.range.isEmpty
                    || $0.isHeaderBad && $0.isStart && !$0.range.isEmpty
            } || changed.count > 1
            || unproven.contains(where: isBegunAfter)
        guard isDamage else {
            if let gap = unproven.first {
                let end = max(changed.first?.range.upperBound ?? 0, segments.last { $0.number == gap.segment }?.usedBytes ?? 0)
                torn = (SegmentHeader.name(gap.segment), gap.offset..<end)
                damages = damages.prefix(gap.damages) + damages.dropFirst(gap.damages).filter { $0.segment != gap.segment }
                patches = patches.prefix(gap.patches) + patches.dropFirst(gap.patches).filter { $0.segment != gap.segment }
                lastOrdinal = gap.lastOrdinal
                nextSequence = gap.nextSequence
            } else if let place = changed.first {
                torn = (place.file, place.range)
            }
            return
        }
        guard isKnown else {
            throw JournalError(.corrupt, "no segment has an intact batch; restore a backup")
        }
        // No later batch tells what is lost, so numbers are left out for the most it can have been.
        let last = pending.lastIndex { $0.isMissing || $0.cut > 0 || !$0.range.isEmpty } ?? -1
        for place in pending.prefix(last + 1) where place.isStart || place.cut > 0 || !place.range.isEmpty {
            let whole = place.isMissing ? (fileBytes[place.segment] ?? 4096) : 0
            let bytes = max(whole, place.range.count + place.cut)
            give(place, max(1, bytes / BatchHeader.size), bytes / 8, true)
        }
    }
}

extension JournalSurvey.Segment {
    fileprivate mutating func add(_ header: BatchHeader, endingAt end: Int) {
        usedBytes = end
        batches[header.kind, default: 0] += 1
        ordinals = (ordinals?.lowerBound ?? header.ordinal)...header.lastOrdinal
        let first = times?.lowerBound ?? header.time
        times = min(first, header.time)...max(times?.upperBound ?? header.time, header.time)
        guard header.kind == .messages, header.count > 0 else { return }
        messages += header.count
        sequences = (sequences?.lowerBound ?? header.firstSequence)...header.nextSequence - 1
    }
}
