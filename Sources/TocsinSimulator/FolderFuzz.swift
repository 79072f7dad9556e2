import TocsinCore
import TocsinEngine
import TocsinJournal
import TocsinWire

/// An input is a folder: a byte of options, then files. A file is a byte that names it (0: `identity`, 1 to 250: the segment of that
/// number, above: a file that is none of a journal), its size in units of 64 bytes (a word), and a block of bytes it begins with;
/// the rest is zeros. Option bit 0: checksums are made to fit, so that what is behind them is reached too.
enum FolderFuzz {
    private static let largestFile = 16 << 10

    static func run(_ input: UnsafeRawBufferPointer) throws {
        let files = files(input)
        let disk = try disk(files)
        var isSound = false
        var isJournal = true
        do {
            isSound = try examine(disk)
        } catch let error as JournalError {
            // Where none is a hub begins one.
            isJournal = error.code != .format
        }
        do {
            var hub = try FuzzedHub(try self.disk(files))
            guard isSound || !isJournal else {
                throw Violation(rule: "verify", description: "a hub starts with a journal that verify calls damaged")
            }
            try serve(&hub, input)
        } catch let error as JournalError {
            guard !isSound else {
                throw Violation(rule: "verify", description: "verify calls the journal sound, a hub refuses it: \(error)")
            }
        } catch is EngineError {
            // No room for what a hub must write at its start.
        }
    }

    /// A hub that has started serves, or ends because a message it was to read has changed.
    private static func serve(_ hub: inout FuzzedHub, _ input: UnsafeRawBufferPointer) throws {
        do {
            try hub.begin()
            try hub.serve(FuzzedHub.id(for: input), worker: true)
        } catch is JournalError {}
    }

    /// Whether verify calls it sound. What it does not and can be repaired, it calls sound after that, and a hub starts with it.
    private static func examine(_ disk: SimulatedDisk) throws -> Bool {
        let examination = try JournalExamination(disk)
        guard !examination.isSound else { return true }
        let repair: PreparedRepair
        do {
            repair = try PreparedRepair(examination, disk)
            _ = repair.explanation
            _ = try repair.repair.perform(on: disk, time: 1_700_000_000_000)
        } catch is JournalError { return false }
        let after = try JournalExamination(disk)
        guard after.survey.isIntact else {
            let problems = after.survey.damages.map(\.description)
            throw Violation(rule: "repair", description: "after the repair: \(problems.joined(separator: "; "))")
        }
        // What another version wrote behind the damage is only seen now.
        guard after.unreadable.isEmpty else { return false }
        do {
            _ = try FuzzedHub(disk)
        } catch let error as JournalError {
            throw Violation(rule: "repair", description: "after the repair a hub refuses the journal: \(error)")
        } catch is EngineError {}
        return false
    }

    // MARK: Files

    private static func files(_ input: UnsafeRawBufferPointer) -> [(name: String, bytes: [UInt8])] {
        var reader = FuzzReader(input)
        let isSigned = reader.byte() & 1 != 0
        var files: [(name: String, bytes: [UInt8])] = []
        while !reader.isAtEnd, files.count < 12 {
            let selector = reader.byte()
            let size = min(reader.word() * 64, largestFile)
            var bytes = Array(reader.block())
            if bytes.count < size { bytes += repeatElement(0, count: size - bytes.count) }
            if isSigned, selector <= 250 { sign(&bytes, isIdentity: selector == 0) }
            files.append((name(selector), bytes))
        }
        return files
    }

    private static func name(_ selector: UInt8) -> String {
        switch selector {
        case 0: return "identity"
        case 1...250:
            let digits = String(selector)
            return "segment-" + String(repeating: "0", count: 8 - digits.count) + digits + ".log"
        case 251: return "identity.new"
        case 252: return "segment-00000002.log.new"
        default: return "notes-\(selector)"
        }
    }

    private static func disk(_ files: [(name: String, bytes: [UInt8])]) throws -> SimulatedDisk {
        let disk = FuzzedHub.emptyDisk()
        for file in files {
            try disk.create(file.name, size: file.bytes.count)
            try file.bytes.withUnsafeBytes { bytes in try disk.write(file.name, at: 0, [bytes]) }
            try disk.sync(file.name)
        }
        try disk.syncFolder()
        return disk
    }

    // MARK: Checksums

    private static func sign(_ bytes: inout [UInt8], isIdentity: Bool) {
        bytes.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            let read = UnsafeRawBufferPointer(buffer)
            if isIdentity {
                guard read.count >= 32 else { return }
                return base.storeBigEndian(CRC32C.checksum(read.part(12, 20)), at: 8)
            }
            guard read.count >= 64 else { return }
            // A size that the file does not have is another input's business: made so large, it would only take time.
            if read.bigEndian(UInt64.self, at: 24) > UInt64(largestFile) {
                base.storeBigEndian(UInt64(read.count), at: 24)
            }
            base.storeBigEndian(CRC32C.checksum(read.part(12, 52)), at: 8)
            var offset = 64
            while offset + BatchHeader.size <= read.count, read.bigEndian(UInt32.self, at: offset) == BatchHeader.magic {
                let body = Int(read.bigEndian(UInt32.self, at: offset + 8))
                let end = offset + BatchHeader.size + (body + 7) & ~7
                guard end <= read.count else { break }
                base.storeBigEndian(CRC32C.checksum(read.part(offset + 8, BatchHeader.size - 8 + body)), at: offset + 4)
                offset = end
            }
        }
    }

    // MARK: Seeds

    /// What hubs have written, as it is and with its checksums to be made anew.
    static func seeds() throws -> [(name: String, bytes: [UInt8])] {
        var seeds: [(name: String, bytes: [UInt8])] = []
        for (name, program) in try WireFuzz.seeds(mistakes: [.none]) {
            let disk = FuzzedHub.emptyDisk()
            var hub = try FuzzedHub(disk, segmentBytes: 4096)
            try hub.begin()
            _ = try program.withUnsafeBytes { try WireFuzz.play($0, on: &hub) }
            for _ in 0..<300 { try hub.turn() }
            for isSigned in [false, true] {
                var writer = FuzzWriter()
                writer.byte(isSigned ? 1 : 0)
                for file in disk.visible {
                    let used = file.bytes.lastIndex { $0 != 0 }.map { $0 + 1 } ?? 0
                    let number = UInt8(file.name.dropFirst(8).prefix(8))
                    writer.byte(number ?? (file.name == "identity" ? 0 : 255))
                    writer.word(file.bytes.count / 64)
                    writer.block(file.bytes.prefix(used))
                }
                seeds.append((name + (isSigned ? "-signed" : ""), writer.bytes))
            }
        }
        return seeds
    }
}
