import TocsinDomain
import TocsinPosix

extension TimeZoneRules {
    /// The largest zone has about 4 KiB.
    static let fileBytesMax = 128 << 10

    /// The zone `name` of the database in `folder`. `UTC` needs no database. Blocks on the file.
    ///
    /// - Throws: `CalendarProblem` if there is no such zone, with the name that may be meant; or if its file is damaged.
    public static func named(
        _ name: String, folder: String = TimeZoneRules.systemFolder
    ) throws(CalendarProblem) -> TimeZoneRules {
        if name == "UTC" { return .utc }
        guard isName(name) else {
            throw CalendarProblem("\"\(name.prefix(64))\" is not the name of a time zone; write it as in Europe/Berlin")
        }
        let bytes: [UInt8]?
        do throws(FileError) {
            bytes = try WholeFile.read("\(folder)/\(name)", limit: fileBytesMax)
        } catch {
            throw CalendarProblem("the time zone \"\(name)\" cannot be read: \(error)" + hint(for: name, in: folder))
        }
        guard let bytes else {
            throw CalendarProblem("there is no time zone \"\(name)\"" + hint(for: name, in: folder))
        }
        return try TimeZoneRules(name: name, bytes: bytes)
    }

    /// Letters, digits, `_`, `+` and `-` with slashes between them: nothing that leads out of the folder.
    private static func isName(_ name: String) -> Bool {
        guard (1...64).contains(name.utf8.count) else { return false }
        return name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy { part in
            !part.isEmpty && part.first != UInt8(ascii: "-")
                && part.allSatisfy { byte in
                    (byte | 0x20) &- UInt8(ascii: "a") < 26 || byte &- UInt8(ascii: "0") < 10
                        || [UInt8(ascii: "_"), UInt8(ascii: "+"), UInt8(ascii: "-")].contains(byte)
                }
        }
    }

    /// `; did you mean "Europe/Berlin"?`, for a name that is nearly right or only the city.
    private static func hint(for name: String, in folder: String) -> String {
        let names = names(in: folder)
        if names.isEmpty { return "; \(folder) has no time zones: install tzdata" }
        let cities = Dictionary(
            names.sorted().map { ($0.split(separator: "/").last.map(String.init) ?? $0, $0) },
            uniquingKeysWith: { first, _ in first })
        let guess =
            Suggestion.closest(to: name, in: names.sorted())
            ?? Suggestion.closest(to: name.replacing(" ", with: "_"), in: cities.keys.sorted()).flatMap { cities[$0] }
        return guess.map { "; did you mean \"\($0)\"?" } ?? "; \(folder) has those there are"
    }

    /// All names of the database, in no order; empty if there is none. At most 10,000.
    static func names(in folder: String) -> [String] {
        var found: [String] = []
        var folders = [""]
        while let place = folders.popLast(), found.count < 10_000 {
            for name in Folder.names(folder + "/" + place) ?? [] where isName(name) && !["posix", "right"].contains(name) {
                let path = place.isEmpty ? name : "\(place)/\(name)"
                // No zone is deeper than America/Argentina/Ushuaia.
                if path.utf8.count(where: { $0 == UInt8(ascii: "/") }) < 2, Folder.names(folder + "/" + path) != nil {
                    folders.append(path)
                } else {
                    found.append(path)
                }
            }
        }
        return found
    }

    /// Reads a zone file.
    ///
    /// - Throws: `CalendarProblem` for whatever is not one of RFC 9636, version 2 or later, without leap seconds.
    public init(name: String, bytes: [UInt8]) throws(CalendarProblem) {
        var reader = Reader(name: name, bytes: bytes)
        // For programs of before 2005: times of 32 bits.
        let old = try reader.header()
        try reader.skip(old.size(timeBytes: 4))
        let header = try reader.header()
        guard header.leapSeconds == 0 else {
            throw CalendarProblem("the time zone \"\(name)\" counts leap seconds; use the one without \"right/\"")
        }
        guard (1...256).contains(header.types), header.transitions <= 10_000 else {
            throw reader.damage("\(header.types) local times and \(header.transitions) transitions")
        }
        var times: [Int] = []
        for _ in 0..<header.transitions {
            let time = Int(Int64(bitPattern: try reader.number(8)))
            guard times.last.map({ $0 < time }) ?? true else { throw reader.damage("transitions out of order") }
            times.append(time)
        }
        let indices = try reader.take(header.transitions)
        var offsets: [Int] = []
        for _ in 0..<header.types {
            let offset = Int(Int32(truncatingIfNeeded: try reader.number(4)))
            guard (-89_999...93_599).contains(offset) else { throw reader.damage("an offset of \(offset) s") }
            offsets.append(offset)
            try reader.skip(2)
        }
        try reader.skip(header.abbreviationBytes + header.standardFlags + header.universalFlags)
        guard let highest = indices.max().map(Int.init) ?? Optional(0), highest < offsets.count else {
            throw reader.damage("a transition to a local time that is not there")
        }
        // Times that are out of all range stand for "always" in files of some makers.
        self.init(
            name: name, initialOffset: offsets[0],
            transitions: zip(times, indices).map { Transition(at: $0, offset: offsets[Int($1)]) },
            future: try reader.footer())
    }

    private struct Header {
        var universalFlags: Int
        var standardFlags: Int
        var leapSeconds: Int
        var transitions: Int
        var types: Int
        var abbreviationBytes: Int

        /// Bytes that follow it. Each count is below 2^32: no overflow.
        func size(timeBytes: Int) -> Int {
            transitions * (timeBytes + 1) + types * 6 + abbreviationBytes + leapSeconds * (timeBytes + 4) + standardFlags
                + universalFlags
        }
    }

    /// ```
    /// 0   4   "TZif"          20  4  isutcnt       32  4  timecnt
    /// 4   1   version         24  4  isstdcnt      36  4  typecnt
    /// 5   15  unused          28  4  leapcnt       40  4  charcnt      all big-endian; RFC 9636, 3.1
    /// ```
    private struct Reader {
        let name: String
        let bytes: [UInt8]
        var index = 0

        init(name: String, bytes: [UInt8]) {
            self.name = name
            self.bytes = bytes
        }

        func damage(_ what: String) -> CalendarProblem {
            CalendarProblem("the file of the time zone \"\(name)\" is damaged at byte \(index): \(what); install tzdata anew")
        }

        mutating func take(_ count: Int) throws(CalendarProblem) -> ArraySlice<UInt8> {
            guard count <= bytes.count - index else { throw damage("it ends too early") }
            defer { index += count }
            return bytes[index..<index + count]
        }

        mutating func skip(_ count: Int) throws(CalendarProblem) { _ = try take(count) }

        mutating func number(_ count: Int) throws(CalendarProblem) -> UInt64 {
            try take(count).reduce(0) { $0 << 8 | UInt64($1) }
        }

        mutating func header() throws(CalendarProblem) -> Header {
            guard bytes.dropFirst(index).starts(with: "TZif".utf8) else {
                throw CalendarProblem("\"\(name)\" is not a time zone: its file does not begin as one")
            }
            try skip(4)
            guard try number(1) >= UInt64(UInt8(ascii: "2")) else {
                throw CalendarProblem(
                    "the file of the time zone \"\(name)\" is of version 1, which ends in 2037; install tzdata anew")
            }
            try skip(15)
            var counts: [Int] = []
            for _ in 0..<6 { counts.append(Int(try number(4))) }
            return Header(
                universalFlags: counts[0], standardFlags: counts[1], leapSeconds: counts[2], transitions: counts[3],
                types: counts[4], abbreviationBytes: counts[5])
        }

        /// The text between the two line ends that close the file; nil if it is empty: the last offset then holds for ever.
        mutating func footer() throws(CalendarProblem) -> PosixRule? {
            guard try number(1) == 0x0A, let end = bytes[index...].firstIndex(of: 0x0A) else { throw damage("it has no footer") }
            let text = bytes[index..<end]
            if text.isEmpty { return nil }
            guard let rule = PosixRule(parsing: text) else {
                throw damage("a rule that is not understood, \(String(decoding: text.prefix(64), as: UTF8.self))")
            }
            return rule
        }
    }
}
