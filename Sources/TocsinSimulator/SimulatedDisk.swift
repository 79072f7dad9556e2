import TocsinJournal

/// A folder on a disk with a page cache. What is written is seen at once by every reader and is durable after a sync. When the
/// power goes, each 512-byte sector that was not synced is the old one or the new one, and a name that was not synced with the
/// folder is the old one or the new one.
///
/// Faults the journal has to live with:
/// * the process or the power ends at any file operation, also half way through a write;
/// * a write, sync, read or folder operation fails. After a failed sync the kernel holds the pages for clean: they are read back
///   as written, no later sync writes them, and they are gone with the power ("fsyncgate");
/// * no space for a new file;
/// * a bit or a sector of a file changes while the hub is down.
final class SimulatedDisk: Disk, @unchecked Sendable {
    // Sound because a history runs in one thread.
    static let sector = 512

    final class File {
        var cache: [UInt8]
        var durable: [UInt8]
        /// By sector: differs from `durable` and will be written by the next sync.
        var dirty: [Bool]

        init(size: Int) {
            cache = [UInt8](repeating: 0, count: size)
            durable = cache
            dirty = [Bool](repeating: false, count: (size + SimulatedDisk.sector - 1) / SimulatedDisk.sector)
        }

        /// Makes one sector durable as it is in the cache.
        func settle(_ sector: Int) {
            let range = sector * SimulatedDisk.sector..<min((sector + 1) * SimulatedDisk.sector, cache.count)
            durable.replaceSubrange(range, with: cache[range])
        }
    }

    private enum FolderChange {
        case create(String, File)
        case rename(String, String)
        case remove(String)
    }

    /// Probabilities that one operation fails.
    struct Faults {
        var write = 0.0
        var sync = 0.0
        var read = 0.0
        var folder = 0.0
        static let none = Faults()
    }

    var faults = Faults.none
    /// Bytes all files may take together.
    var capacity = Int.max
    /// After so many more operations the process that does them is dead.
    var operationsLeft: Int?
    private(set) var isDead = false
    /// The process died within the operation now going on.
    private var diedNow = false
    /// Breaks a promise on purpose, to see that it is noticed.
    var mutation: Mutation?
    var coverage = Coverage()

    private var random: SplitMix64
    private var names: [String: File] = [:]
    private var durableNames: [String: File] = [:]
    private var changes: [FolderChange] = []
    private let trace: Trace
    /// Told of every write to a segment, before it is done.
    var wrote: (_ name: String, _ offset: Int, _ bytes: [UInt8]) -> Void = { _, _, _ in }

    init(random: SplitMix64, trace: Trace) {
        self.random = random
        self.trace = trace
    }

    // MARK: Operations

    /// Counts an operation; throws if the process is dead, or if this one fails.
    private func begin(_ verb: StaticString, _ name: String, failing probability: Double) throws(DiskError) {
        diedNow = false
        if let left = operationsLeft, !isDead {
            diedNow = left <= 0
            isDead = diedNow
            operationsLeft = left - 1
        }
        if isDead { throw DiskError(.other(errno: 0), "the process has ended") }
        if probability > 0, random.chance(probability) {
            trace.note("disk-error", 0, 0, 0, 0, "\(verb) \(name)")
            throw Self.error(verb, name)
        }
    }

    private static func error(_ verb: StaticString, _ name: String) -> DiskError {
        DiskError(.other(errno: 5), "cannot \(verb) \(name): Input/output error")
    }

    private func file(_ verb: StaticString, _ name: String) throws(DiskError) -> File {
        guard let file = names[name] else { throw DiskError(.other(errno: 2), "cannot \(verb) \(name): No such file") }
        return file
    }

    func list() throws(DiskError) -> [String] {
        try begin("list", "", failing: faults.read)
        return names.keys.sorted()
    }

    func size(_ name: String) throws(DiskError) -> Int { try file("look at", name).cache.count }

    func create(_ name: String, size: Int) throws(DiskError) {
        try begin("create", name, failing: faults.folder)
        let used = names.reduce(0) { $0 + ($1.key == name ? 0 : $1.value.cache.count) }
        guard used + size <= capacity else {
            coverage.diskFull += 1
            throw DiskError(.full, "cannot create \(name): No space left on device")
        }
        let file = File(size: size)
        names[name] = file
        changes.append(.create(name, file))
    }

    func write(_ name: String, at offset: Int, _ parts: [UnsafeRawBufferPointer]) throws(DiskError) {
        var bytes: [UInt8] = []
        for part in parts { bytes.append(contentsOf: part) }
        let file = try file("write", name)
        wrote(name, offset, bytes)
        do {
            try begin("write", name, failing: faults.write)
        } catch {
            // Some of it may have come to the cache all the same.
            if !isDead || diedNow { put(file, offset, bytes[..<random.within(0...bytes.count)]) }
            if !isDead { coverage.writeErrors += 1 }
            throw error
        }
        put(file, offset, bytes[...])
    }

    private func put(_ file: File, _ offset: Int, _ bytes: ArraySlice<UInt8>) {
        guard !bytes.isEmpty else { return }
        file.cache.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        for sector in offset / Self.sector...(offset + bytes.count - 1) / Self.sector { file.dirty[sector] = true }
    }

    func sync(_ name: String) throws(DiskError) {
        let file = try file("sync", name)
        do {
            try begin("sync", name, failing: faults.sync)
        } catch {
            guard !isDead else { throw error }
            coverage.syncErrors += 1
            for sector in file.dirty.indices where file.dirty[sector] {
                if random.chance(0.5) { file.settle(sector) }
                file.dirty[sector] = false
            }
            throw error
        }
        for sector in file.dirty.indices where file.dirty[sector] {
            file.settle(sector)
            file.dirty[sector] = false
        }
    }

    func read(_ name: String, at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
        let file = try file("read", name)
        do {
            try begin("read", name, failing: faults.read)
        } catch {
            if !isDead { coverage.readErrors += 1 }
            throw error
        }
        let count = max(0, min(target.count, file.cache.count - offset))
        guard count > 0 else { return 0 }
        file.cache.withUnsafeBytes { cache in
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: cache[offset..<offset + count]))
        }
        if mutation == .wrongReads, random.chance(0.02) { target[random.below(count)] ^= 0x10 }
        return count
    }

    func rename(_ name: String, to target: String) throws(DiskError) {
        let file = try file("rename", name)
        try begin("rename", name, failing: faults.folder)
        names[name] = nil
        names[target] = file
        changes.append(.rename(name, target))
    }

    func remove(_ name: String) throws(DiskError) {
        do {
            try begin("remove", name, failing: faults.folder)
        } catch {
            if !isDead { coverage.removeErrors += 1 }
            throw error
        }
        names[name] = nil
        changes.append(.remove(name))
    }

    func syncFolder() throws(DiskError) {
        try begin("sync the folder", "", failing: faults.folder)
        durableNames = names
        changes = []
    }

    // MARK: What befalls it

    /// A new process opens the folder.
    func reopen() {
        isDead = false
        operationsLeft = nil
    }

    /// The power goes: what was not synced is there, or not, or in parts.
    func cutPower() {
        coverage.powerCuts += 1
        let kept = random.within(0...changes.count)
        for change in changes[..<kept] {
            switch change {
            case .create(let name, let file): durableNames[name] = file
            case .rename(let name, let target): durableNames[target] = durableNames.removeValue(forKey: name)
            case .remove(let name): durableNames[name] = nil
            }
        }
        if kept < changes.count { coverage.namesLost += 1 }
        changes = []
        names = durableNames
        for name in names.keys.sorted() {
            guard let file = names[name] else { continue }
            let dirty = file.dirty.indices.filter { file.dirty[$0] }
            let survivors: [Int]
            switch random.below(4) {
            case 0: survivors = []
            case 1: survivors = dirty
            case 2: survivors = Array(dirty.prefix(random.within(0...dirty.count)))
            default: survivors = dirty.filter { _ in random.chance(0.5) }
            }
            for sector in survivors { file.settle(sector) }
            for sector in dirty { file.dirty[sector] = false }
            if !survivors.isEmpty, survivors.count < dirty.count { coverage.tornWrites += 1 }
            if survivors.isEmpty, !dirty.isEmpty { coverage.lostWrites += 1 }
            file.cache = file.durable
        }
        trace.note("power-cut", UInt64(kept))
    }

    /// Changes bytes while no hub runs; again, and they are as before.
    func flip(_ name: String, at offset: Int, _ masks: [UInt8]) {
        guard let file = names[name] else { return }
        for (position, mask) in masks.enumerated() {
            file.cache[offset + position] ^= mask
            file.durable[offset + position] ^= mask
        }
    }

    /// Forgets the last sectors that were synced to a segment (a broken variant): a disk whose own cache is not written back.
    func forgetSynced(_ name: String, at offset: Int, count: Int) {
        guard let file = names[name] else { return }
        for position in offset..<offset + count {
            file.cache[position] = 0
            file.durable[position] = 0
        }
    }

    // MARK: Looking at it

    /// What a reader sees, by name.
    var visible: [(name: String, bytes: [UInt8])] {
        names.keys.sorted().compactMap { name in names[name].map { (name, $0.cache) } }
    }

    /// Part of what would be left if the power went now and nothing unsynced survived.
    func durableBytes(_ name: String, _ offset: Int, _ count: Int) -> ArraySlice<UInt8>? {
        guard let file = durableNames[name], offset + count <= file.durable.count else { return nil }
        return file.durable[offset..<offset + count]
    }
}
