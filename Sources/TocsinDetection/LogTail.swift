import Crypto
import Glibc
import TocsinPosix
import TocsinSystem
import TocsinWire

/// One file that is or was followed, and how far.
struct FilePosition: Codable, Sendable, Equatable {
    var device: UInt64
    var inode: UInt64
    /// Random, and new whenever the content begins anew (truncated, or another file that got the same inode): part of the
    /// event ids, so that the same offset of other content is another event.
    var generation: UInt64
    /// Where the first line that is not yet handled begins.
    var offset: UInt64 = 0
    /// The offset is within a line longer than `LogTail.lineLimit` whose beginning was handled.
    var withinLine = false
    /// FNV-1a of the file's first `prefixLength` bytes: tells whether it is still the same content.
    var prefixHash: UInt64 = 0
    var prefixLength = 0
    /// Nanoseconds since 1970: orders rotated files.
    var modified: UInt64 = 0
}

/// What is kept on disk of a followed log.
struct LogState: Codable, Sendable, Equatable {
    var current: FilePosition?
    /// Files that were read to their end and rotated away; the last few, newest last.
    var finished: [FilePosition] = []
    /// Rotated files that were not written to after this (nanoseconds since 1970) are from before the log was followed.
    var since: UInt64 = 0
}

/// Follows a path through rotation and truncation, line by line. Blocking; used by one thread at a time.
///
/// Nothing is buffered between reads: each read begins at the first line that is not yet handled, so the position is all
/// there is to keep. A file that was renamed is read until it has been quiet for `rotateWait`; then its successor: the next
/// younger file named like `<path>.1` or `<path>-20260131`, else the path itself. So several rotations between two looks, or
/// while the detector was away, lose nothing. What `copytruncate` itself drops between its copy and its truncation cannot
/// be seen here. Compressed files are not read.
struct LogTail: ~Copyable {
    /// Longer lines are cut to so many bytes.
    static let lineLimit = 64 << 10
    static let chunkBytes = 256 << 10
    static let prefixBytes = 256
    static let finishedMax = 8

    /// One line, without its line ending. Valid during the call it is passed to.
    struct Line {
        var offset: UInt64
        var bytes: UnsafeRawBufferPointer
        var truncated: Bool
    }

    let path: String
    let rotateWait: Duration
    private(set) var state: LogState
    /// Sentences about files that were truncated or lost, for the log; the caller empties it.
    var notices: [String] = []
    /// The state holds a generation that is not on disk yet.
    var unsavedGeneration = false
    private var descriptor: Int32 = -1
    private var buffer: UnsafeMutableRawBufferPointer
    private var quietSince: Duration?
    private var saidMissing = false
    /// Identifies the file's content in event ids.
    private(set) var contentID = ""

    /// `state` nil: never followed before; then the file is taken from its start or, without `fromStart`, its last line end.
    init(path: String, fromStart: Bool, rotateWait: Duration, state: LogState?) {
        self.path = path
        self.rotateWait = rotateWait
        self.state = state ?? LogState()
        buffer = .allocate(byteCount: Self.chunkBytes, alignment: 16)
        if state == nil {
            self.state.since = ([path] + rotatedNames()).compactMap { Self.status($0)?.modified }.max() ?? 0
        }
        if let current = state?.current {
            reopen(current)
        } else if state == nil, let file = Self.open(path) {
            var position = newPosition(file)
            if !fromStart { position.offset = endOfLastLine(file) }
            use(file, position)
        } else {
            // Written at once, so that a file which appears later is read from its start.
            unsavedGeneration = true
            _ = openNext()
        }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        buffer.deallocate()
    }

    /// Passes on complete lines until `body` returns false (which still takes that line in), the chunk is used up, or there is
    /// no more. Moves from a rotated file to the next. Returns false when there was nothing to do: wait before the next call.
    ///
    /// - Throws: `StateFileError` if the file cannot be read.
    mutating func read(now: Duration, _ body: (Line) -> Bool) throws(StateFileError) -> Bool {
        guard descriptor >= 0 else { return openNext() }
        guard let file = OpenFile(descriptor) else { throw readFailure() }
        if contentChanged(file), let position = state.current {
            contentLost(position)
            return true
        }
        if let position = state.current, position.offset == 0, position.modified < file.modified,
            let older = rotated(position.modified...file.modified, after: file)
        {
            // Written to, copied and truncated since it was last looked at, and all before a line was read from it.
            use(older.file, older.position)
            return true
        }
        state.current?.modified = file.modified
        if state.current?.prefixLength == 0, file.size > 0 {
            // What tells the content apart is on disk before events carry its generation; see `unsavedGeneration`.
            extendPrefix()
            unsavedGeneration = true
            return true
        }
        let taken = try takeLines(atEnd: false, body)
        if taken {
            quietSince = nil
            return true
        }
        return try rotate(file, now: now, body)
    }

    /// At the end of the file: if the path is another file by now, goes on to that once this one has been quiet for a while.
    private mutating func rotate(_ file: OpenFile, now: Duration, _ body: (Line) -> Bool) throws(StateFileError) -> Bool {
        if let there = Self.status(path), there.isSame(file) {
            quietSince = nil
            return false
        }
        let since = quietSince ?? now
        quietSince = since
        guard now - since >= rotateWait else { return false }
        // A last line without its newline: nothing will complete it any more.
        _ = try takeLines(atEnd: true, body)
        if let size = OpenFile(descriptor)?.size, size > state.current?.offset ?? 0 {
            // Written to in this very moment.
            quietSince = nil
            return true
        }
        guard let next = successor(of: file) else { return false }
        finish()
        use(next.file, next.position)
        return true
    }

    /// Nothing more will be read from the file in use.
    private mutating func finish() {
        if let current = state.current {
            state.finished.removeAll { $0.inode == current.inode && $0.device == current.device }
            state.finished.append(current)
            state.finished.removeFirst(max(0, state.finished.count - Self.finishedMax))
        }
        state.current = nil
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
        quietSince = nil
    }

    // MARK: Lines

    /// Reads a chunk from the position and moves the position past the lines it passes on. False if it passed on none.
    private mutating func takeLines(atEnd: Bool, _ body: (Line) -> Bool) throws(StateFileError) -> Bool {
        guard var position = state.current else { return false }
        let count = try readChunk(at: position.offset)
        guard count > 0, let base = buffer.baseAddress else { return false }
        // What a full chunk ends with may go on after it.
        let atEnd = atEnd && count < buffer.count
        var start = 0
        var more = true
        while more && start < count {
            let length: Int
            let ended: Bool
            if let newline = memchr(base + start, 0x0A, count - start) {
                length = UnsafeMutableRawPointer(newline) - (base + start)
                ended = true
            } else {
                length = count - start
                ended = false
            }
            // An unfinished line waits for its end, unless it is too long already or nothing will follow.
            if !ended && length < Self.lineLimit && !atEnd && !position.withinLine { break }
            if !position.withinLine {
                var shown = min(length, Self.lineLimit)
                if ended && shown == length && shown > 0 && buffer[start + shown - 1] == 0x0D { shown -= 1 }
                let bytes = UnsafeRawBufferPointer(start: base + start, count: shown)
                more = body(
                    Line(offset: position.offset, bytes: bytes, truncated: length > Self.lineLimit || !ended && !atEnd))
            }
            position.withinLine = !ended && !atEnd
            let step = length + (ended ? 1 : 0)
            start += step
            position.offset += UInt64(step)
        }
        guard start > 0 else { return false }
        state.current = position
        extendPrefix()
        return true
    }

    private func readChunk(at offset: UInt64) throws(StateFileError) -> Int {
        while true {
            let count = pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset))
            if count >= 0 { return count }
            if errno != EINTR { throw readFailure() }
        }
    }

    private func readFailure() -> StateFileError {
        StateFileError(description: "\(path) cannot be read: \(errorText(errno))")
    }

    // MARK: Which content it is

    private func contentChanged(_ file: OpenFile) -> Bool {
        guard let position = state.current else { return false }
        return file.size < position.offset || !Self.holds(file, position)
    }

    /// Whether the file begins with what was seen at its beginning.
    private static func holds(_ file: OpenFile, _ position: FilePosition) -> Bool {
        position.prefixLength == 0 || hash(file, length: position.prefixLength) == position.prefixHash
    }

    private mutating func extendPrefix() {
        guard let position = state.current, position.prefixLength < Self.prefixBytes, let file = OpenFile(descriptor)
        else { return }
        let length = Int(min(file.size, UInt64(Self.prefixBytes)))
        guard length > position.prefixLength, let value = Self.hash(file, length: length) else { return }
        state.current?.prefixLength = length
        state.current?.prefixHash = value
    }

    /// FNV-1a of the first `length` bytes, nil if there are fewer.
    private static func hash(_ file: OpenFile, length: Int) -> UInt64? {
        var bytes = [UInt8](repeating: 0, count: length)
        guard pread(file.descriptor, &bytes, length, 0) == length else { return nil }
        return bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    private func newPosition(_ file: OpenFile) -> FilePosition {
        FilePosition(
            device: file.device, inode: file.inode, generation: UInt64.random(in: 0...UInt64.max),
            modified: file.modified)
    }

    private mutating func use(_ file: OpenFile, _ position: FilePosition) {
        if descriptor >= 0 && descriptor != file.descriptor { close(descriptor) }
        descriptor = file.descriptor
        state.current = position
        extendPrefix()
        unsavedGeneration = true
        quietSince = nil
        saidMissing = false
        // Not of the inode: a copy made before the truncation has the same lines at the same offsets.
        let identity = "\(path)\u{0}\(position.generation)"
        contentID = SHA256.hash(data: Array(identity.utf8)).prefix(12).hexadecimal
    }

    /// Where the last line that is complete ends, looking back at most one chunk.
    private func endOfLastLine(_ file: OpenFile) -> UInt64 {
        let begin = file.size > UInt64(buffer.count) ? file.size - UInt64(buffer.count) : 0
        let count = pread(file.descriptor, buffer.baseAddress, Int(file.size - begin), off_t(begin))
        guard count > 0 else { return file.size }
        guard let newline = buffer[..<count].lastIndex(of: 0x0A) else { return begin == 0 ? 0 : file.size }
        return begin + UInt64(newline) + 1
    }

    // MARK: Which file comes next

    /// After a start: finds the file that was followed, wherever it was moved to.
    private mutating func reopen(_ position: FilePosition) {
        for name in [path] + rotatedNames() {
            guard let file = Self.open(name) else { continue }
            if file.device == position.device, file.inode == position.inode, file.size >= position.offset,
                Self.holds(file, position)
            {
                use(file, position)
                return
            }
            close(file.descriptor)
        }
        contentLost(position)
    }

    /// What was followed is not in its file any more: that was truncated, or it is gone. If that was done by copying first
    /// (logrotate's `copytruncate`), the rest is in the copy, which is then read to its end before all others.
    private mutating func contentLost(_ position: FilePosition) {
        for (name, status) in rotatedFiles(position.modified...UInt64.max) where position.prefixLength > 0 {
            guard let copy = Self.open(name) else { continue }
            // One that was read to its end already still tells which of the other rotated files are younger.
            if copy.isSame(status), copy.size >= position.offset, Self.holds(copy, position) {
                var rest = position
                rest.device = copy.device
                rest.inode = copy.inode
                notices.append("\(path) was truncated; reading the rest of what it held from its copy \(name)")
                use(copy, rest)
                return
            }
            close(copy.descriptor)
        }
        notices.append(
            "what \(path) held until now was truncated, overwritten or removed; what was written after byte \(position.offset) of it is not read"
        )
        finish()
        _ = openNext()
    }

    private mutating func openNext() -> Bool {
        guard let next = successor(of: nil) else {
            sayMissing()
            return false
        }
        use(next.file, next.position)
        return true
    }

    /// Says why there is nothing to read; once, until there was something.
    private mutating func sayMissing() {
        guard !saidMissing else { return }
        saidMissing = true
        var info = stat()
        let isThere = stat(path, &info) == 0
        if isThere && info.st_mode & S_IFMT != S_IFREG {
            notices.append("\(path) is not a regular file, so it cannot be followed; waiting for one")
        } else if !isThere && errno == ENOENT {
            notices.append("\(path) does not exist yet; waiting for it")
        } else if !isThere || access(path, R_OK) != 0 {
            notices.append("\(path) cannot be opened: \(errorText(errno)); trying again")
        }
    }

    /// What to read after `last` (nil: after the newest that was finished): the oldest rotated file written since then that was
    /// not read to its end, else the path.
    private func successor(of last: OpenFile?) -> (file: OpenFile, position: FilePosition)? {
        let since = last?.modified ?? state.finished.last?.modified ?? state.since &+ 1
        if let next = rotated(since...UInt64.max, after: last) { return next }
        guard let file = Self.open(path) else { return nil }
        if let last, file.isSame(last) {
            close(file.descriptor)
            return nil
        }
        return (file, unread(file) ?? known(file) ?? newPosition(file))
    }

    /// The oldest rotated file other than `last` that was last written to at one of these times and was not read to its end.
    private func rotated(
        _ times: ClosedRange<UInt64>, after last: OpenFile?
    ) -> (file: OpenFile, position: FilePosition)? {
        for (name, status) in rotatedFiles(times) {
            if let last, status.isSame(last) { continue }
            // The name may be another file's by now; then the next look finds out.
            guard let file = Self.open(name) else { continue }
            guard file.isSame(status), let position = unread(file) else {
                close(file.descriptor)
                continue
            }
            return (file, position)
        }
        return nil
    }

    /// From where a rotated file is to be read; nil if it was read to its end.
    private func unread(_ file: OpenFile) -> FilePosition? {
        guard let known = known(file) else { return newPosition(file) }
        return file.size > known.offset ? known : nil
    }

    private func known(_ file: OpenFile) -> FilePosition? {
        state.finished.last {
            $0.device == file.device && $0.inode == file.inode && file.size >= $0.offset && Self.holds(file, $0)
        }
    }

    /// The rotated files last written to at one of these times, oldest first.
    private func rotatedFiles(_ times: ClosedRange<UInt64>) -> [(name: String, status: OpenFile)] {
        let files = rotatedNames().compactMap { name -> (name: String, status: OpenFile)? in
            guard let status = Self.status(name), times.contains(status.modified) else { return nil }
            return (name, status)
        }
        return files.sorted { $0.status.modified < $1.status.modified }
    }

    /// `<path>` with a number or date appended, as rotation does. Full paths.
    private func rotatedNames() -> [String] {
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { String(path[...$0]) } ?? "./"
        let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        return (Folder.names(folder) ?? []).filter { other in
            guard other.hasPrefix(name) else { return false }
            let suffix = other.utf8.dropFirst(name.utf8.count)
            guard let first = suffix.first, suffix.count > 1, ".-_".utf8.contains(first) else { return false }
            return suffix.allSatisfy { (0x30...0x39).contains($0) || ".-_:T".utf8.contains($0) }
        }.map { folder + $0 }
    }

    private static func open(_ path: String) -> OpenFile? {
        // Non-blocking, so that a pipe under that name does not hang the thread; OpenFile refuses what is not a file.
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        guard let file = OpenFile(descriptor) else {
            close(descriptor)
            return nil
        }
        return file
    }

    private static func status(_ path: String) -> OpenFile? {
        var info = stat()
        return stat(path, &info) == 0 ? OpenFile(info, descriptor: -1) : nil
    }
}

/// What the system says about a regular file.
private struct OpenFile {
    var descriptor: Int32
    var device: UInt64
    var inode: UInt64
    var size: UInt64
    var modified: UInt64

    init?(_ descriptor: Int32) {
        var info = stat()
        guard fstat(descriptor, &info) == 0 else { return nil }
        self.init(info, descriptor: descriptor)
    }

    init?(_ info: stat, descriptor: Int32) {
        guard info.st_mode & S_IFMT == S_IFREG else { return nil }
        self.descriptor = descriptor
        device = UInt64(info.st_dev)
        inode = UInt64(info.st_ino)
        size = UInt64(clamping: info.st_size)
        modified = UInt64(clamping: info.st_mtim.tv_sec) * 1_000_000_000 + UInt64(clamping: info.st_mtim.tv_nsec)
    }

    func isSame(_ other: OpenFile) -> Bool { device == other.device && inode == other.inode }
}
