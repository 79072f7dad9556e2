import Foundation
import TestSupport
import Testing

@testable import TocsinKit

/// Goal: what was spooled is found again whatever became of the files; what cannot be is told and kept, never dropped unseen.
/// Method: files written by the spool itself, then cut or changed.
@Suite("Files of the spool", .timeLimit(.minutes(3))) struct SpoolFilesTests {
    private func open(_ folder: TemporaryFolder) throws -> SpoolFiles {
        try SpoolFiles(directory: folder.path, bytesMax: 1 << 26)
    }

    /// Groups of one message each, numbered from 1, in one segment; and where each begins, and the end.
    private func segment(_ folder: TemporaryFolder, groups: Int = 3, payload: Int = 0) throws -> (path: String, borders: [Int]) {
        let files = try open(folder)
        var borders = [0]
        for number in 1...groups {
            let batch = try encoded(number...number, payload: payload)
            try files.append([batch])
            borders.append(borders[number - 1] + SpoolFiles.headerSize + batch.body.count)
        }
        files.release()
        let name = try #require(try folder.names().first { $0.hasSuffix(".spool") })
        return (folder.path + "/" + name, borders)
    }

    /// Takes everything, as the hub would.
    private func drain(_ files: SpoolFiles) throws -> [Int] {
        var seen: [Int] = []
        while let chunk = try files.next(messages: 2, bytes: 1 << 20) {
            seen += try ids(chunk.batch)
            try files.advance(to: chunk.end, count: chunk.stored)
        }
        #expect(files.count == 0)
        return seen
    }

    private func read(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }
    private func write(_ bytes: some Collection<UInt8>, _ path: String) throws { try Data(bytes).write(to: URL(filePath: path)) }
    private func damaged(_ folder: TemporaryFolder) throws -> [String] { try folder.names().filter { $0.hasSuffix(".damaged") } }

    @Test("what was spooled is read in order, by chunks, and goes when the hub has it; a new owner goes on where the last was")
    func order() throws {
        let folder = try TemporaryFolder()
        var files = try open(folder)
        for start in [0, 3, 5] { try files.append([try encoded(start..<start + 2), try encoded(start + 2..<start + 3)]) }
        #expect(files.count == 9)
        let first = try #require(try files.next(messages: 4, bytes: 1 << 20))
        #expect(try ids(first.batch) == [0, 1, 2])
        try files.advance(to: first.end, count: first.stored)
        files.release()
        files = try open(folder)
        #expect(files.count == 6)
        #expect(try drain(files) == [3, 4, 5, 5, 6, 7])
        #expect(files.takeProblems() == [])
        #expect(try folder.names() == ["lock", "position"])
    }

    @Test("a last write cut at any byte is cut off and told, and what is spooled next is found behind the whole ones")
    func torn() throws {
        let folder = try TemporaryFolder()
        let (path, borders) = try segment(folder)
        let whole = try read(path)
        try #require(whole.count == borders[3])
        for cut in borders[2]..<borders[3] {
            try write(whole.prefix(cut), path)
            var files = try open(folder)
            #expect(files.count == 2, "cut at \(cut)")
            let problems = files.takeProblems()
            if cut == borders[2] {
                #expect(problems == [])
            } else {
                let told = problems.map(\.text).joined()
                #expect(problems.map(\.isLoss) == [false], "cut at \(cut): \(told)")
                #expect(told.contains("\(path): the last write, \(cut - borders[2]) bytes at offset \(borders[2]), was not"))
            }
            try files.append([try encoded(9...9)])
            files.release()
            files = try open(folder)
            #expect(files.count == 3 && files.takeProblems() == [], "cut at \(cut)")
            files.release()
        }
        let files = try open(folder)
        #expect(try drain(files) == [1, 2, 9])
        #expect(try damaged(folder) == [])
    }

    @Test("zeros that a crash left at the end are cut off", arguments: [1, 4, 100, 100_000])
    func zeros(count: Int) throws {
        let folder = try TemporaryFolder()
        let (path, _) = try segment(folder)
        try write(try read(path) + [UInt8](repeating: 0, count: count), path)
        let files = try open(folder)
        #expect(files.takeProblems().map(\.isLoss) == [false])
        #expect(try drain(files) == [1, 2, 3])
        #expect(try damaged(folder) == [])
    }

    @Test(
        "damage at any byte of the newest file, the last group too, is told with file and offset; the rest is published in order")
    func damage() throws {
        for group in 0..<3 {
            for place in [0, 1, 4, 7, 8, 9, 10, 11, 12, 15, 16, 20, 21, 30, 40] {
                let folder = try TemporaryFolder()
                let (path, borders) = try segment(folder)
                var bytes = try read(path)
                bytes[borders[group] + place] ^= 0x41
                try write(bytes, path)
                let files = try open(folder)
                let problems = files.takeProblems()
                #expect(files.count == 2)
                #expect(problems.map(\.isLoss) == [true], "group \(group), byte \(place): \(problems)")
                let told = "\(path) is damaged: the \(borders[group + 1] - borders[group]) bytes at offset \(borders[group])"
                #expect(problems.map(\.text).joined().contains(told), "\(problems)")
                // Told again until it is passed.
                files.release()
                let again = try open(folder)
                #expect(again.takeProblems() == problems)
                try again.append([try encoded(9...9)])
                #expect(try drain(again) == [1, 2, 3].filter { $0 != group + 1 } + [9])
                let name = try #require(try damaged(folder).first)
                #expect(try read(folder.path + "/" + name) == bytes)
                again.release()
                #expect(try open(folder).takeProblems() == [])
            }
        }
    }

    @Test("a wrong length before the end of the file is not taken for a write that was not finished")
    func wrongLength() throws {
        let folder = try TemporaryFolder()
        let (path, borders) = try segment(folder)
        var bytes = try read(path)
        // The second group reaches beyond the file, and of the third, which is there, not one is whole.
        bytes[borders[1] + 9] ^= 1
        bytes[borders[1] + 15] += 1
        bytes[borders[2] + 20] ^= 1
        try write(bytes, path)
        let files = try open(folder)
        #expect(files.takeProblems().map(\.isLoss) == [true])
        #expect(try drain(files) == [1])
        #expect(try damaged(folder).count == 1)
    }

    @Test("a damaged file that a crash left behind after it was passed is kept too")
    func leftBehind() throws {
        let folder = try TemporaryFolder()
        let (path, borders) = try segment(folder)
        var bytes = try read(path)
        bytes[borders[1]] ^= 1
        try write(bytes, path)
        let files = try open(folder)
        #expect(try drain(files) == [1, 3])
        try files.append([try encoded(4...4)])
        #expect(try drain(files) == [4])
        files.release()
        let kept = try #require(try damaged(folder).first)
        try FileManager.default.moveItem(atPath: folder.path + "/" + kept, toPath: path)
        #expect(try open(folder).count == 0)
        #expect(try read(folder.path + "/" + kept) == bytes)
    }

    @Test("a file of which nothing can be read is kept at once, and does not stand in the way")
    func nothingLeft() throws {
        let folder = try TemporaryFolder()
        let (path, _) = try segment(folder)
        let noise = [UInt8](repeating: 0x5A, count: 1000)
        for round in 0..<2 {
            if round == 1 { try FileManager.default.removeItem(atPath: folder.path + "/position") }
            try write(noise, path)
            let files = try open(folder)
            #expect(files.count == 0 && files.takeProblems().map(\.isLoss) == [true])
            try files.append([try encoded(1...1)])
            #expect(try drain(files) == [1])
            files.release()
        }
        // The second does not take the place of the first.
        #expect(try damaged(folder).count == 2)
        for name in try damaged(folder) { #expect(try read(folder.path + "/" + name) == noise) }
        // They count: the disk is not filled by what nobody looks at.
        let full = #expect(throws: ClientError.self) {
            try SpoolFiles(directory: folder.path, bytesMax: 2010).append([try encoded(1...1)])
        }
        #expect(full.map { "\($0)".contains("2000 bytes are in refused.spool and .damaged files") } == true)
    }

    @Test("damage that comes while the spool is open is passed over, told, and counted")
    func damageWhileOpen() throws {
        let folder = try TemporaryFolder()
        let (path, borders) = try segment(folder, groups: 6)
        let files = try open(folder)
        let first = try #require(try files.next(messages: 1, bytes: 1 << 20))
        try files.advance(to: first.end, count: first.stored)
        var bytes = try read(path)
        for group in [1, 3, 5] { bytes[borders[group] + 20] ^= 1 }
        let handle = try FileHandle(forUpdating: URL(filePath: path))
        try handle.write(contentsOf: bytes)
        try handle.close()
        #expect(files.count == 5)
        #expect(try drain(files) == [3, 5])
        #expect(files.takeProblems().map(\.isLoss) == [true, true, true])
        #expect(try damaged(folder).count == 1)
    }

    @Test("a file shorter than what the hub had of it, and a damaged position, are told")
    func position() throws {
        let folder = try TemporaryFolder()
        let (path, borders) = try segment(folder)
        var files = try open(folder)
        let first = try #require(try files.next(messages: 2, bytes: 1 << 20))
        try files.advance(to: first.end, count: first.stored)
        files.release()
        let whole = try read(path)
        try write(whole.prefix(borders[1]), path)
        files = try open(folder)
        #expect(files.count == 0)
        let short = files.takeProblems()
        #expect(short.map(\.isLoss) == [true] && short[0].text.contains("\(path) has \(borders[1]) bytes, and the hub had"))
        files.release()
        try write(whole, path)
        try write([UInt8](repeating: 7, count: 20), folder.path + "/position")
        files = try open(folder)
        #expect(files.takeProblems().map(\.isLoss) == [false])
        #expect(try drain(files) == [1, 2, 3])
    }

    /// Method: random groups over several openings, random changes of bytes at random places.
    @Test("whatever is changed in a file, whole groups are published once and in order, and each loss is told")
    func anyDamage() throws {
        var random = SplitMix64.seeded()
        for _ in 0..<60 {
            let folder = try TemporaryFolder()
            let (path, borders) = try segment(folder, groups: 1 + random.below(12), payload: random.below(200))
            var bytes = try read(path)
            var hit: Set<Int> = []
            for _ in 0..<1 + random.below(4) {
                let place = random.below(bytes.count)
                for byte in place..<min(bytes.count, place + 1 + random.below(40)) {
                    bytes[byte] ^= UInt8(1 + random.below(255))
                    // Twice may be as before.
                    let group = try #require(borders.lastIndex { $0 <= byte })
                    hit.insert(group + 1)
                }
            }
            let original = try read(path)
            for group in hit where original[borders[group - 1]..<borders[group]] == bytes[borders[group - 1]..<borders[group]] {
                hit.remove(group)
            }
            try write(bytes, path)
            let files = try open(folder)
            let problems = files.takeProblems()
            #expect(try drain(files) == (1..<borders.count).filter { !hit.contains($0) })
            #expect(problems.isEmpty == hit.isEmpty)
            // Only the end of the file may be taken for a write that was not finished.
            let isLoss = problems.contains { $0.isLoss }
            if isLoss { #expect(try damaged(folder).count == 1) }
            let lastWhole = (1..<borders.count).last { !hit.contains($0) } ?? 0
            if hit.contains(where: { $0 < lastWhole }) { #expect(isLoss) }
        }
    }

    @Test("a spool in use, a folder that cannot be made and a full spool say what, where and what to do")
    func errors() throws {
        let folder = try TemporaryFolder()
        let files = try open(folder)
        defer { files.release() }
        let inUse = #expect(throws: ClientError.self) { try open(folder) }
        #expect(inUse.map { "\($0)" } == "the spool \(folder.path) is in use by another process; give each its own folder")
        try write([], folder.path + "/file")
        let inFile = #expect(throws: ClientError.self) { try SpoolFiles(directory: folder.path + "/file/spool", bytesMax: 100) }
        #expect(inFile.map { "\($0)".hasPrefix("cannot make the folder \(folder.path)/file/spool: Not a directory; ") } == true)
    }
}
