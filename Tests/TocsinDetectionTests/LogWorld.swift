import Foundation
import Glibc
import TestSupport
import TocsinKit
import TocsinPosix
import TocsinProto
import TocsinSystem

@testable import TocsinDetection

/// A log with its rotated files, and a follower of it that can be restarted. Time is the test's: each write to a file is a
/// second after the one before, as rotated files are ordered by their times of modification.
final class LogWorld {
    let folder: TemporaryFolder
    let log: String
    private let check: Check
    private let logCheck: LogCheck
    private var follower: LogFollower
    private var now = Duration.seconds(1000)
    private var modified = 1_700_000_000

    init(
        patterns: [LogPattern] = [], templates: TemplateCheck? = nil, fromStart: Bool = true,
        before: (LogWorld) throws -> Void = { _ in }
    ) throws {
        folder = try TemporaryFolder()
        log = folder.path + "/app.log"
        logCheck = LogCheck(.file(log), patterns: patterns, templates: templates, fromStart: fromStart, rotateWait: .seconds(1))
        check = Check(name: "app", service: "shop", kind: .log(logCheck), severity: "major", labels: ["env": "test"])
        follower = try LogFollower(
            path: folder.path + "/none", detector: "d", spoolDirectory: folder.path + "/none", check: check,
            log: LogCheck(.file(folder.path + "/none")), logger: quiet)
        try before(self)
        try restart()
    }

    // MARK: The writer

    func append(_ text: String, to path: String? = nil) throws { try append(Array(text.utf8), to: path) }

    func append(_ bytes: [UInt8], to path: String? = nil) throws {
        let path = path ?? log
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw FileError("\(path): \(errorText(errno))") }
        defer { close(descriptor) }
        let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        guard count == bytes.count else { throw FileError("\(path): written \(count) of \(bytes.count)") }
        touch(path)
    }

    private func touch(_ path: String) {
        modified += 1
        let time = timespec(tv_sec: modified, tv_nsec: 0)
        _ = [time, time].withUnsafeBufferPointer { utimensat(AT_FDCWD, path, $0.baseAddress, 0) }
    }

    func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// `app.log` becomes `app.log.1`, that `app.log.2` and so on. A new one comes with the next `append`.
    func rotate() throws {
        try makeRoom()
        rename(log, log + ".1")
    }

    /// As logrotate's `copytruncate`: the same file goes on, empty; what it held is in a copy.
    func copyAndTruncate() throws {
        try makeRoom()
        guard let bytes = try WholeFile.read(log, limit: 1 << 30) else { return }
        try append(bytes, to: log + ".1")
        truncate(log, 0)
        touch(log)
    }

    private func makeRoom() throws {
        for number in (1...30).reversed() { rename("\(log).\(number)", "\(log).\(number + 1)") }
    }

    // MARK: The detector

    func restart() throws {
        follower = try LogFollower(
            path: log, detector: "d", spoolDirectory: folder.path, check: check, log: logCheck, logger: quiet)
    }

    func pass(_ time: Duration) { now += time }

    /// One look: what there is for now. The position is saved only with `save`.
    func look(save: Bool = true) throws -> [Message] {
        let batch = try follower.next(
            now: now, nowMs: 1_700_000_000_000 + UInt64(now.components.seconds) * 1000, cancelled: CancellationSignal())
        if save { follower.save() }
        return batch.events
    }

    /// Looks until nothing more comes, through any number of rotations.
    func drain() throws -> [Message] {
        var events: [Message] = []
        var quietLooks = 0
        // Each rotated file has to be quiet for a second before the next; there are at most 31.
        while quietLooks < 40 {
            let seen = try look()
            events += seen
            quietLooks = seen.isEmpty ? quietLooks + 1 : 0
            pass(.seconds(1))
        }
        return events
    }

    static func summaries(_ messages: [Message]) throws -> [String] { try events(messages).map(\.summary) }

    static func events(_ messages: [Message]) throws -> [Tocsin_V1_Event] {
        try messages.map { try $0.decode(Tocsin_V1_Event.self) }
    }
}
