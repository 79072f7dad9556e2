import Glibc
import TestSupport
import Testing
import TocsinJournal
import TocsinWire

@Suite("Journal on a real disk") struct PosixDiskTests {
    private func read(_ disk: PosixDisk, _ name: String, at offset: Int, _ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: count)
        let got = try bytes.withUnsafeMutableBytes { try disk.read(name, at: offset, into: $0) }
        return Array(bytes.prefix(got))
    }

    @Test("files are made, written in any number of parts, read, renamed over others and removed")
    func files() throws {
        let folder = try TemporaryFolder()
        let disk = try PosixDisk(directory: folder.path + "/a/b")
        #expect(try disk.list() == [])
        try disk.create("x", size: 100_000)
        #expect(try disk.size("x") == 100_000)
        #expect(try read(disk, "x", at: 0, 100_000).allSatisfy { $0 == 0 })
        // More parts than one system call takes, some of them empty.
        let pieces = (0..<3000).map { Bytes([UInt8](repeating: UInt8(truncatingIfNeeded: $0), count: $0 % 7)) }
        try withExtendedLifetime(pieces) {
            try disk.write("x", at: 1000, pieces.map(\.buffer))
        }
        try disk.sync("x")
        let expected = pieces.flatMap(\.array)
        #expect(try read(disk, "x", at: 1000, expected.count) == expected)
        #expect(try read(disk, "x", at: 99_990, 100) == [UInt8](repeating: 0, count: 10), "only up to the end")
        #expect(try read(disk, "x", at: 200_000, 10) == [])
        try disk.create("y", size: 8)
        try disk.rename("x", to: "y")
        try disk.syncFolder()
        #expect(try disk.list() == ["y"])
        #expect(try disk.size("y") == 100_000)
        try disk.remove("y")
        try disk.remove("y")
        #expect(try disk.list() == [])
        let error = #expect(throws: DiskError.self) { try disk.size("y") }
        #expect(error?.code == .other(errno: ENOENT))
        #expect(error?.description == "cannot open \(folder.path)/a/b/y: No such file or directory")
    }

    @Test("one owner at a time has the folder, and the next has it as soon as the first is gone")
    func lock() throws {
        let folder = try TemporaryFolder()
        var first: PosixDisk? = try PosixDisk(directory: folder.path)
        let error = #expect(throws: DiskError.self) { try PosixDisk(directory: folder.path) }
        #expect(
            error?.description
                == "the folder \(folder.path) is in use by another hub; stop that one, or give this one a folder of its own")
        withExtendedLifetime(first) {}
        first = nil
        let next = try PosixDisk(directory: folder.path)
        withExtendedLifetime(next) {}
    }

    @Test("a folder that cannot be made, or is a file, is named")
    func impossible() throws {
        let folder = try TemporaryFolder()
        let file = folder.path + "/file"
        let descriptor = open(file, O_CREAT | O_WRONLY, 0o600)
        close(descriptor)
        let below = #expect(throws: DiskError.self) { try PosixDisk(directory: file + "/journal") }
        #expect(below?.description == "cannot create the folder \(file)/journal: Not a directory")
        let itself = #expect(throws: DiskError.self) { try PosixDisk(directory: file) }
        #expect(itself?.description.hasPrefix("cannot open \(file)/lock") == true)
    }

    /// The administrator may write everywhere.
    @Test("a folder that may only be read is named", .enabled(if: geteuid() != 0))
    func readOnly() throws {
        let folder = try TemporaryFolder()
        chmod(folder.path, 0o500)
        let error = #expect(throws: DiskError.self) { try PosixDisk(directory: folder.path) }
        #expect(error?.code == .other(errno: EACCES))
        #expect(error?.description == "cannot open \(folder.path)/lock: Permission denied")
    }

    @Test("a disk without space is told apart from other failures")
    func full() throws {
        let folder = try TemporaryFolder()
        let disk = try PosixDisk(directory: folder.path)
        symlink("/dev/full", folder.path + "/segment")
        let bytes = Bytes([UInt8](repeating: 1, count: 5000))
        let write = #expect(throws: DiskError.self) {
            try withExtendedLifetime(bytes) { try disk.write("segment", at: 0, [bytes.buffer]) }
        }
        #expect(write?.code == .full)
        #expect(write?.description == "cannot write \(folder.path)/segment: No space left on device")
        let create = #expect(throws: DiskError.self) { try disk.create("segment", size: 5000) }
        #expect(create?.code == .full)
        #expect(try disk.list() == [], "no part of it is left")
    }

    @Test("a journal in a folder is there after a restart")
    func journal() throws {
        let folder = try TemporaryFolder()
        for start in 1...3 {
            var opened = try Opened(try PosixDisk(directory: folder.path))
            #expect(opened.journal.identity.epoch == UInt64(start))
            for sequence in 1..<UInt64(2 * start - 1) { #expect(try opened.journal.text(sequence) == "message \(sequence)") }
            opened.journal.publish(["message \(2 * start - 1)"])
            try opened.journal.write()
            opened.journal.begin()
            opened.journal.publish(["message \(2 * start)"])
            try opened.journal.write()
        }
    }
}
