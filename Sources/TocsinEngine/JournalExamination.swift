import TocsinCore
import TocsinJournal
import TocsinWire

/// A journal looked at as a hub that starts would, and as far beyond the first damage as anything is intact.
public struct JournalExamination: Sendable {
    public let survey: JournalSurvey
    /// What is intact and still cannot be read: another version wrote it. A repair does not touch such a journal.
    public private(set) var unreadable: [String] = []

    /// A hub starts with it.
    public var isSound: Bool { survey.isIntact && unreadable.isEmpty }

    /// Reads everything. For a folder that no hub uses. Blocking, with the memory of a hub that starts.
    ///
    /// - Throws: `JournalError` as `JournalSurvey` does.
    public init(_ disk: some Disk) throws {
        var core: Core?
        var unreadable: [String] = []
        var last: UInt64 = 0
        survey = try JournalSurvey(disk) { batch in
            let isFirst = last == 0
            // Only what a segment begins with can be understood without what was before.
            let follows = isFirst ? batch.offset == JournalSurvey.firstOffset : batch.header.ordinal == last + 1
            last = batch.header.lastOrdinal
            if isFirst, follows { core = Core(options: CoreOptions(), seed: batch.header.seed, epoch: 0) }
            // What follows damage is read again after the repair.
            guard follows else {
                core = nil
                return
            }
            do { try core?.replay(batch) } catch let error as JournalError {
                core = nil
                unreadable.append(error.description)
            }
        }
        self.unreadable = unreadable
    }
}

/// A repair with what only the hub's core can tell: which pools lose their declaration, and what that means for settlements
/// after the damage, which name pools by number.
public struct PreparedRepair: Sendable {
    public private(set) var repair: JournalRepair
    /// Pools whose lost declaration is put back, from a later checkpoint.
    public private(set) var restoredPools: [String] = []
    /// Intact control records that are given up: whose pool it was cannot be told any more.
    public private(set) var orphanedRecords = 0
    /// A lost batch may have held the declaration of a pool, and nothing after it tells.
    public private(set) var mayLosePool = false

    /// - Throws: `JournalError` if the journal cannot be repaired.
    public init(_ examination: JournalExamination, _ disk: some Disk) throws {
        if let problem = examination.unreadable.first {
            throw JournalError(.format, "\(problem); a repair cannot help")
        }
        repair = JournalRepair(examination.survey)
        guard !repair.replacements.isEmpty else { return }
        var numbering = PoolNumbering(repair)
        _ = try JournalSurvey(disk) { batch in
            // A torn tail is cut by the next start.
            guard batch.header.lastOrdinal <= examination.survey.lastOrdinal else { return }
            try numbering.take(batch)
        }
        try numbering.finish(examination.survey.damages)
        repair = numbering.repair
        restoredPools = numbering.restored
        orphanedRecords = numbering.orphaned
        mayLosePool = numbering.mayLosePool
    }
}

/// Follows the numbers of pools through the journal. A pool's number is the place of its first record among those of all pools, so
/// a lost one would shift those after it.
private struct PoolNumbering {
    var repair: JournalRepair
    var restored: [String] = []
    var orphaned = 0
    var mayLosePool = false

    private enum Event {
        /// Index of a replacement.
        case gap(Int)
        case pool(Declared)
    }
    private struct Declared {
        var name: String
        var createdAfter: UInt64
        /// The shortest record that declares it again.
        var short: [UInt8]
        /// Bytes of the record it was found in.
        var bytes: Int
        /// It began with the past and has read it: an earlier record declared it.
        var isLater: Bool
    }
    /// The shortest record of a pool takes so many bytes.
    private static let shortest = 13
    private struct Control {
        var header: BatchHeader
        var offset: Int
        /// Number of the pool a record names, nil where it declares one; and its bytes.
        var records: [(pool: Int?, bytes: [UInt8])]
        /// Of `events`, when it came.
        var events: Int
    }
    private var nextGap = 0
    /// In the order of their numbers, as far as they are certain.
    private var certain: [String] = []
    private var events: [Event] = []
    /// By gap: bytes of the records that were in it for certain.
    private var used: [Int: Int] = [:]
    /// Since the first gap that no checkpoint has followed yet.
    private var controls: [Control] = []

    init(_ repair: JournalRepair) {
        self.repair = repair
        self.repair.replacements.sort { $0.ordinals.lowerBound < $1.ordinals.lowerBound }
    }

    private mutating func pass(_ ordinal: UInt64) {
        while nextGap < repair.replacements.count, repair.replacements[nextGap].ordinals.lowerBound < ordinal {
            events.append(.gap(nextGap))
            nextGap += 1
        }
    }

    mutating func take(_ batch: RecoveredBatch) throws {
        pass(batch.header.ordinal)
        let kind = batch.header.kind
        guard kind == .control || kind == .checkpoint || kind == .lost else { return }
        var control = Control(header: batch.header, offset: batch.offset, records: [], events: events.count)
        var pools: [Declared] = []
        do {
            try ControlFact.read(batch.body) { (fact, bytes) in
                if case .pool(let definition, let createdAfter, let catchingUp) = fact {
                    pools.append(
                        Declared(
                            name: definition.name, createdAfter: createdAfter,
                            short: ControlFact.redeclared(definition, createdAfter: createdAfter), bytes: bytes.count,
                            isLater: definition.fromStart && createdAfter > 0 && !catchingUp))
                }
                control.records.append((fact.pool, Array(bytes)))
            }
        } catch {
            throw JournalError(.format, "batch \(batch.header.ordinal) of the journal: \(error); a repair cannot help")
        }
        if kind == .checkpoint {
            try settle(pools)
        } else if nextGap > 0, !events.isEmpty {
            for pool in pools { events.append(.pool(pool)) }
            controls.append(control)
        } else {
            for pool in pools where !certain.contains(pool.name) { certain.append(pool.name) }
        }
    }

    /// A checkpoint lists all pools in order: those that no record has declared were declared in a gap.
    private mutating func settle(_ pools: [Declared]) throws {
        var next = certain.count
        var gap: Int?
        for event in events {
            switch event {
            case .gap(let index): gap = index
            case .pool(let pool):
                guard pools[..<min(next, pools.count)].allSatisfy({ $0.name != pool.name }) else { continue }
                while next < pools.count, pools[next].name != pool.name {
                    guard let gap, restore(pools[next], in: gap) else {
                        throw JournalError(
                            .corrupt,
                            "the declaration of pool \"\(pools[next].name)\" is lost, and there is no room to put it back")
                    }
                    next += 1
                }
                if let gap, pool.isLater { _ = restore(pool, in: gap) }
                next += 1
            }
        }
        if let gap {
            // One that was declared after the gap is written after this.
            let sequence = repair.replacements[gap].nextSequence
            while next < pools.count, pools[next].createdAfter < sequence, restore(pools[next], in: gap) { next += 1 }
        }
        certain = pools.map(\.name)
        events = []
        controls = []
    }

    private mutating func restore(_ pool: Declared, in gap: Int) -> Bool {
        let replacement = repair.replacements[gap]
        guard replacement.records.count + pool.short.count <= replacement.room else { return false }
        repair.replacements[gap].records += pool.short
        used[gap, default: 0] += pool.bytes
        restored.append(pool.name)
        return true
    }

    /// Where no checkpoint follows: records that name a pool by a number that may have shifted are given up.
    mutating func finish(_ damages: [JournalSurvey.Damage]) throws {
        pass(.max)
        var last: Int?
        var declared = Set(certain)
        for event in events {
            switch event {
            case .gap(let index): last = index
            case .pool(let pool):
                if declared.insert(pool.name).inserted, pool.isLater, let last { _ = restore(pool, in: last) }
            }
        }
        var known = certain.count
        declared = Set(certain)
        var uncertainFrom: Int?
        for (position, event) in events.enumerated() where uncertainFrom == nil {
            switch event {
            case .pool(let pool): if declared.insert(pool.name).inserted { known += 1 }
            case .gap(let index):
                let gap = repair.replacements[index]
                let isStart = gap.offset == JournalSurvey.firstOffset && gap.ordinals.count == 1
                let room = gap.room - BatchHeader.size * (gap.ordinals.count - 1) - used[index, default: 0]
                let mayHold = damages.contains { $0.ordinals == gap.ordinals && $0.mayHoldControl } && room >= Self.shortest
                // A segment begins with a checkpoint, which declares nothing new.
                if mayHold, !isStart || certain.isEmpty && gap.ordinals.lowerBound > 1 { uncertainFrom = position }
            }
        }
        guard let uncertainFrom else { return }
        mayLosePool = true
        for control in controls where control.events > uncertainFrom {
            let kept = control.records.filter { ($0.pool ?? 0) < known }
            guard kept.count < control.records.count else { continue }
            orphaned += control.records.count - kept.count
            repair.replace(control.header, at: control.offset, by: kept.flatMap(\.bytes))
        }
    }
}
