import TocsinWire

/// What makes a damaged journal one that a hub starts with: everything that is intact stays, a `lost` batch stands where damage
/// was. Each file that is changed is kept as it was beside it.
public struct JournalRepair: Sendable {
    /// One batch that will be lost, or is rewritten without some of its control records.
    public struct Replacement: Sendable {
        /// As the `lost` batch will have it.
        public var ordinals: ClosedRange<UInt64>
        /// Of the first message after it.
        public var nextSequence: UInt64
        public var segment: UInt32
        public var offset: Int
        /// Bytes its control records may take.
        public var room: Int
        /// Control records that go into it.
        public var records: [UInt8] = []
    }

    public let survey: JournalSurvey
    /// In the order of the journal. `records` may be filled in before `perform`; more than `room` is refused there.
    public var replacements: [Replacement]
    private var patches: [Patch]

    public init(_ survey: JournalSurvey) {
        self.survey = survey
        patches = survey.patches
        replacements = []
        for patch in patches {
            guard let lost = patch.lost else { continue }
            replacements.append(Self.replacement(lost, patch.range))
        }
    }

    private static func replacement(_ lost: BatchHeader, _ range: Range<Int>) -> Replacement {
        Replacement(
            ordinals: lost.ordinal...lost.durable, nextSequence: lost.nextSequence, segment: lost.segment,
            offset: range.lowerBound, room: range.count - BatchHeader.size)
    }

    /// Replaces an intact control batch at `offset` of its segment by a `lost` batch with only these of its records.
    public mutating func replace(_ header: BatchHeader, at offset: Int, by records: [UInt8]) {
        var lost = header
        lost.kind = .lost
        lost.bodyBytes = header.totalBytes - BatchHeader.size
        lost.count = 0
        lost.durable = header.ordinal
        let range = offset..<offset + header.totalBytes
        patches.append(Patch(segment: header.segment, range: range, lost: lost))
        var replacement = Self.replacement(lost, range)
        replacement.records = records
        replacements.append(replacement)
    }

    /// Names of the files that `perform` changes or makes.
    public var files: [String] {
        let numbers = Set(patches.map(\.segment)).union(survey.rewritten).union(cut)
        return (survey.identity == nil ? [JournalIdentity.name] : []) + numbers.sorted().map(SegmentHeader.name)
    }

    /// Segments whose files get back the size they were made with.
    private var cut: [UInt32] {
        survey.segments.filter { $0.bytes < survey.fileBytes[$0.number] ?? 0 }.map(\.number)
    }

    /// Does it. Ended anywhere, each file is the old one or the new one, and repairing again finishes it. Blocking.
    ///
    /// - Parameters:
    ///   - time: now, milliseconds since 1970.
    /// - Returns: the names of the files that hold what was there before.
    /// - Throws: `JournalError`.
    public func perform(on disk: some Disk, time: UInt64) throws(JournalError) -> [String] {
        return try JournalError.catching {
            var kept: [String] = []
            let epoch = survey.identity?.epoch ?? time / 1000
            for name in files {
                if survey.names.contains(name) { kept.append(try keep(name, epoch, on: disk)) }
                guard let number = SegmentHeader.number(name) else { continue }
                try rewrite(number, time, on: disk)
            }
            if survey.identity == nil {
                let newest = survey.segments.last?.number ?? 0
                try JournalIdentity(seed: survey.seed, epoch: epoch, newestSegment: newest).write(on: disk)
            }
            return kept
        }
    }

    /// Copies a file to a name that no hub looks at and that is not taken.
    private func keep(_ name: String, _ epoch: UInt64, on disk: some Disk) throws(DiskError) -> String {
        let names = try disk.list()
        var target = "\(name).damaged-\(epoch)"
        var copies = 1
        while names.contains(target) {
            copies += 1
            target = "\(name).damaged-\(epoch)-\(copies)"
        }
        let size = try disk.size(name)
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
        defer { bytes.deallocate() }
        guard try disk.read(name, at: 0, into: bytes) == size else {
            throw DiskError(.other(errno: 5), "cannot read all of \(name)")
        }
        try disk.replace(target, size: size, start: UnsafeRawBufferPointer(bytes))
        return target
    }

    private func rewrite(_ number: UInt32, _ time: UInt64, on disk: some Disk) throws {
        let name = SegmentHeader.name(number)
        let size = survey.fileBytes[number] ?? 4096
        let file = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
        defer { file.deallocate() }
        file.initializeMemory(as: UInt8.self, repeating: 0)
        if survey.names.contains(name) {
            let there = try disk.size(name)
            guard try disk.read(name, at: 0, into: file) == min(there, size) else {
                throw DiskError(.other(errno: 5), "cannot read all of \(name)")
            }
        }
        if survey.rewritten.contains(number) {
            let header = SegmentHeader.bytes(number: number, seed: survey.seed, fileBytes: size)
            file.copyMemory(from: header.buffer)
            withExtendedLifetime(header) {}
        }
        for patch in patches where patch.segment == number {
            let target = UnsafeMutableRawBufferPointer(rebasing: file[patch.range.clamped(to: 0..<size)])
            target.initializeMemory(as: UInt8.self, repeating: 0)
            guard var lost = patch.lost, let start = target.baseAddress else { continue }
            lost.time = time
            let records = replacements.first { $0.segment == number && $0.offset == patch.range.lowerBound }?.records ?? []
            guard records.count <= lost.bodyBytes, target.count == lost.totalBytes else {
                throw JournalError(.format, "\(name), offset \(patch.range.lowerBound): no room for \(records.count) bytes")
            }
            let body = UnsafeMutableRawBufferPointer(rebasing: target[BatchHeader.size...])
            body.copyBytes(from: records)
            lost.write(to: start, body: UnsafeRawBufferPointer(body))
        }
        try disk.replace(name, size: size, start: UnsafeRawBufferPointer(file))
    }
}
