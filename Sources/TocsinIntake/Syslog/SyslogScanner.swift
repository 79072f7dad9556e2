import TocsinDomain

/// Reads one syslog message from left to right.
struct SyslogScanner {
    private let bytes: [UInt8]
    private var at = 0
    private let end: Int

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        var end = bytes.count
        while end > 0, [0x0A, 0x0D, 0x00].contains(bytes[end - 1]) { end -= 1 }
        self.end = end
    }

    /// RFC 3164, 4.3.3: user.notice, for what has no priority.
    private static let defaultPriority: UInt8 = 13

    mutating func message() -> SyslogMessage {
        guard let priority = takePriority() else {
            var message = SyslogMessage(form: .text, isWellFormed: false, priority: Self.defaultPriority)
            message.text = text(0..<end)
            return message
        }
        if takeVersion() { return rfc5424(priority) }
        return rfc3164(priority)
    }

    // MARK: Small parts

    private var isAtEnd: Bool { at >= end }
    private var next: UInt8? { at < end ? bytes[at] : nil }
    private func isDigit(_ index: Int) -> Bool { index < end && (0x30...0x39).contains(bytes[index]) }
    private func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        at += 1
        return true
    }

    /// Up to the next space, or the end.
    private mutating func takeToken() -> Range<Int> {
        let start = at
        while at < end, bytes[at] != 0x20 { at += 1 }
        return start..<at
    }

    /// `<0>` to `<191>` without leading zeros; nil, with nothing taken, for anything else.
    private mutating func takePriority() -> UInt8? {
        guard next == UInt8(ascii: "<") else { return nil }
        var index = 1
        var value = 0
        while isDigit(index), index <= 3 {
            value = value * 10 + Int(bytes[index] - 0x30)
            index += 1
        }
        guard index > 1, index < end, bytes[index] == UInt8(ascii: ">"), value <= 191 else { return nil }
        if index > 2, bytes[1] == UInt8(ascii: "0") { return nil }
        at = index + 1
        return UInt8(value)
    }

    /// `1` to `999` and a space, behind the priority.
    private mutating func takeVersion() -> Bool {
        var index = at
        while isDigit(index), index < at + 3 { index += 1 }
        guard index > at, bytes[at] != UInt8(ascii: "0"), index < end, bytes[index] == 0x20 else { return false }
        // "<13>15 Nov ..." is no version but a date of some device: behind a version stands a timestamp.
        guard index + 1 >= end || isDigit(index + 1) || bytes[index + 1] == UInt8(ascii: "-") else { return false }
        at = index + 1
        return true
    }

    // MARK: RFC 5424

    private mutating func rfc5424(_ priority: UInt8) -> SyslogMessage {
        var message = SyslogMessage(form: .rfc5424, isWellFormed: true, priority: priority)
        let time = takeToken()
        if !isNil(time) {
            message.timeText = text(time)
            message.time = milliseconds(rfc3339: time, strict: true)
            if message.time == nil { message.isWellFormed = false }
        }
        message.host = field(255, &message.isWellFormed)
        message.app = field(48, &message.isWellFormed)
        message.process = field(128, &message.isWellFormed)
        message.messageID = field(32, &message.isWellFormed)
        if !take(" ") { message.isWellFormed = false }
        let before = at
        if let elements = takeElements(), isAtEnd || next == 0x20 {
            message.elements = elements
            at += 1
        } else {
            message.isWellFormed = false
            at = before
        }
        if at < end { message.text = takeText(&message.isWellFormed) }
        return message
    }

    private func isNil(_ range: Range<Int>) -> Bool { range.count == 1 && bytes[range.lowerBound] == UInt8(ascii: "-") }

    /// A space and 1 to `most` printable characters of US-ASCII; `-` is none.
    private mutating func field(_ most: Int, _ isWellFormed: inout Bool) -> String {
        if !take(" ") { isWellFormed = false }
        let range = takeToken()
        if range.isEmpty || range.count > most || !bytes[range].allSatisfy({ (33...126).contains($0) }) { isWellFormed = false }
        return isNil(range) ? "" : text(range)
    }

    /// `-`, or elements one behind the other; nil for anything else, and where two have one name.
    private mutating func takeElements() -> [SyslogMessage.Element]? {
        if take("-") { return [] }
        var elements: [SyslogMessage.Element] = []
        var names: Set<String> = []
        while take("[") {
            guard let name = takeName(), names.insert(name).inserted else { return nil }
            var element = SyslogMessage.Element(id: name, parameters: [])
            while take(" ") {
                guard let name = takeName(), take("="), take("\""), let value = takeValue() else { return nil }
                element.parameters.append((name, value))
            }
            guard take("]") else { return nil }
            elements.append(element)
        }
        return elements.isEmpty ? nil : elements
    }

    private mutating func takeName() -> String? {
        let start = at
        while let byte = next, (33...126).contains(byte), ![0x3D, 0x5D, 0x22].contains(byte) { at += 1 }
        return (1...32).contains(at - start) ? text(start..<at) : nil
    }

    /// Up to the quote that is not escaped, which is taken.
    private mutating func takeValue() -> String? {
        var value: [UInt8] = []
        while let byte = next {
            at += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: value, as: UTF8.self)
            case UInt8(ascii: "]"): return nil
            case UInt8(ascii: "\\"):
                guard let escaped = next, [0x22, 0x5C, 0x5D].contains(escaped) else { return nil }
                value.append(escaped)
                at += 1
            default: value.append(byte)
            }
        }
        return nil
    }

    /// The rest; behind a byte order mark it must be UTF-8.
    private mutating func takeText(_ isWellFormed: inout Bool) -> String {
        let hasMark = end - at >= 3 && bytes[at] == 0xEF && bytes[at + 1] == 0xBB && bytes[at + 2] == 0xBF
        if hasMark { at += 3 }
        defer { at = end }
        if hasMark, String(validating: bytes[at..<end], as: UTF8.self) == nil { isWellFormed = false }
        return text(at..<end)
    }

    // MARK: RFC 3164 and its relatives

    private mutating func rfc3164(_ priority: UInt8) -> SyslogMessage {
        var message = SyslogMessage(form: .rfc3164, isWellFormed: true, priority: priority)
        let start = at
        takeSequenceNumber(&message)
        if !takeTime(&message) {
            // A host of its own before the time: Cisco's "logging origin-id", and some relays.
            let before = at
            let token = takeToken()
            let isHost = token.count > 1 && bytes[token.upperBound - 1] == UInt8(ascii: ":")
            if isHost, take(" "), takeTime(&message) {
                message.host = text(token.lowerBound..<token.upperBound - 1)
            } else {
                at = before
                message.isWellFormed = false
                message.form = .text
            }
        }
        if message.form == .text {
            at = start
            // Programs that write to the socket of the machine itself leave out time and host, "tag[pid]: text" stays.
            if !takeCisco(&message) { takeTag(&message) }
        } else {
            _ = take(" ")
            if !takeCisco(&message) {
                if message.host.isEmpty { takeHost(&message) }
                takeTag(&message)
            }
        }
        if at < end { message.text = takeText(&message.isWellFormed) }
        if message.text.isEmpty, message.app.isEmpty { message.isWellFormed = false }
        takeWindows(&message)
        return message
    }

    /// Cisco's `45: `, counted by the device.
    private mutating func takeSequenceNumber(_ message: inout SyslogMessage) {
        var index = at
        while isDigit(index), index < at + 12 { index += 1 }
        guard index > at, index + 1 < end, bytes[index] == UInt8(ascii: ":"), bytes[index + 1] == 0x20 else { return }
        at = index + 2
        message.isWellFormed = false
    }

    /// `Mmm dd hh:mm:ss`, which says neither year nor zone, or a timestamp of RFC 3339, as daemons forward it. Cisco puts `*` or
    /// `.` before it, fractions, a year and a zone into it and `:` behind.
    private mutating func takeTime(_ message: inout SyslogMessage) -> Bool {
        let start = at
        let token = takeToken()
        if let time = milliseconds(rfc3339: token, strict: false) {
            message.time = time
            message.timeText = text(token)
            message.isWellFormed = false
            return true
        }
        at = start
        let isMarked = take("*") || take(".")
        let first = at
        guard let month = takeWord(), Self.months.contains(month), take(" ") else {
            at = start
            return false
        }
        let hasPadding = take(" ")
        guard let day = takeNumber(2), (1...31).contains(day.value), hasPadding == (day.digits == 1), take(" ") else {
            at = start
            return false
        }
        if (at..<at + 4).allSatisfy(isDigit), at + 4 < end, bytes[at + 4] == 0x20 { at += 5 }
        guard let hour = takeNumber(2), hour.value < 24, take(":"), let minute = takeNumber(2), minute.value < 60, take(":"),
            let second = takeNumber(2), second.value < 61
        else {
            at = start
            return false
        }
        if next == UInt8(ascii: "."), isDigit(at + 1) {
            at += 1
            while isDigit(at) { at += 1 }
        }
        let afterClock = at
        if take(" "), let zone = takeWord(), (2...5).contains(zone.utf8.count), zone == zone.uppercased(), take(":") {
            message.timeText = text(first..<at - 1)
        } else {
            at = afterClock
            message.timeText = text(first..<at)
            _ = take(":")
        }
        guard isAtEnd || next == 0x20 else {
            at = start
            message.timeText = ""
            return false
        }
        let isPlain = message.timeText.utf8.count == 15 && afterClock == at && !isMarked
        if !isPlain { message.isWellFormed = false }
        return true
    }

    private static let months: Set<String> = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// Letters, at most 8.
    private mutating func takeWord() -> String? {
        let start = at
        while let byte = next, (0x41...0x5A).contains(byte & 0xDF), at < start + 8 { at += 1 }
        return at > start ? text(start..<at) : nil
    }

    private mutating func takeNumber(_ most: Int) -> (value: Int, digits: Int)? {
        let start = at
        var value = 0
        while isDigit(at), at < start + most {
            value = value * 10 + Int(bytes[at] - 0x30)
            at += 1
        }
        return at > start ? (value, at - start) : nil
    }

    /// `%LINK-3-UPDOWN: `: facility, severity and mnemonic of Cisco; the mnemonic is the kind of message.
    private mutating func takeCisco(_ message: inout SyslogMessage) -> Bool {
        let start = at
        let token = takeToken()
        guard token.count >= 6, bytes[token.lowerBound] == UInt8(ascii: "%"), bytes[token.upperBound - 1] == UInt8(ascii: ":")
        else {
            at = start
            return false
        }
        let parts = bytes[token.lowerBound + 1..<token.upperBound - 1].split(separator: UInt8(ascii: "-"))
        guard parts.count >= 3, parts.contains(where: { $0.count == 1 && (0x30...0x37).contains($0[$0.startIndex]) }) else {
            at = start
            return false
        }
        message.isWellFormed = false
        message.app = String(decoding: parts[0], as: UTF8.self)
        message.messageID = text(token.lowerBound + 1..<token.upperBound - 1)
        _ = take(" ")
        return true
    }

    /// The word before the tag. Where what would be it is a tag itself, there is none.
    private mutating func takeHost(_ message: inout SyslogMessage) {
        let start = at
        let token = takeToken()
        guard !token.isEmpty, bytes[token.upperBound - 1] != UInt8(ascii: ":"), bytes[token.upperBound - 1] != UInt8(ascii: "]"),
            take(" ")
        else {
            at = start
            message.isWellFormed = false
            return
        }
        message.host = text(token)
        if token.count > 255 || !bytes[token].allSatisfy({ (33...126).contains($0) }) { message.isWellFormed = false }
    }

    /// `tag[process]: ` or `tag: `, or a word with a tab behind it (Snare). RFC 3164 ends the tag, of up to 32 letters and digits,
    /// at the first other character; real ones hold `-`, `_`, `/`, `.` and more.
    private mutating func takeTag(_ message: inout SyslogMessage) {
        let start = at
        while let byte = next, (33...126).contains(byte), ![0x5B, 0x3A].contains(byte), at < start + 128 { at += 1 }
        let name = start..<at
        var process = at..<at
        if take("[") {
            let first = at
            while let byte = next, byte != 0x5D, (32...126).contains(byte), at < first + 128 { at += 1 }
            process = first..<at
            guard take("]") else {
                at = start
                return
            }
        }
        guard !name.isEmpty, take(":") || (process.isEmpty && next == 0x09) || !process.isEmpty else {
            at = start
            return
        }
        message.app = text(name)
        message.process = text(process)
        if next != 0x09 { _ = take(" ") }
    }

    /// Snare's fields, with tabs between: source and number of the event stand for program and kind of message.
    private func takeWindows(_ message: inout SyslogMessage) {
        guard message.app == "MSWinEventLog" else { return }
        let fields = message.text.split(separator: "\t", omittingEmptySubsequences: false)
        // Begins with a tab: "", criticality, log, counter, date, number, source, user, kind of user, kind of event, ...
        guard fields.count >= 11, UInt32(fields[5]) != nil else { return }
        message.app = String(fields[6])
        message.messageID = String(fields[5])
    }

    // MARK: Times

    /// RFC 5424, 6.2.3: RFC 3339 with at most six digits of the second, capital letters and no leap second. Not strict: nine digits.
    private func milliseconds(rfc3339 range: Range<Int>, strict: Bool) -> UInt64? {
        var index = range.lowerBound
        func number(_ digits: Int) -> Int? {
            guard index + digits <= range.upperBound else { return nil }
            var value = 0
            for _ in 0..<digits {
                guard isDigit(index) else { return nil }
                value = value * 10 + Int(bytes[index] - 0x30)
                index += 1
            }
            return value
        }
        func expect(_ character: Unicode.Scalar) -> Bool {
            guard index < range.upperBound, bytes[index] == UInt8(ascii: character) else { return false }
            index += 1
            return true
        }
        guard range.count >= 20, let year = number(4), expect("-"), let month = number(2), expect("-"), let day = number(2),
            expect("T"), let hour = number(2), expect(":"), let minute = number(2), expect(":"), let second = number(2),
            (1...12).contains(month), (1...Self.days(month, of: year)).contains(day), hour < 24, minute < 60, second < 60
        else { return nil }
        var fraction = 0
        if expect(".") {
            let start = index
            while index < range.upperBound, isDigit(index) {
                if index < start + 3 { fraction = fraction * 10 + Int(bytes[index] - 0x30) }
                index += 1
            }
            guard (1...(strict ? 6 : 9)).contains(index - start) else { return nil }
            for _ in 0..<max(0, 3 - (index - start)) { fraction *= 10 }
        }
        var offset = 0
        if !expect("Z") {
            let isEast = expect("+")
            guard isEast || expect("-"), let hours = number(2), expect(":"), let minutes = number(2), hours < 24, minutes < 60
            else { return nil }
            offset = (hours * 60 + minutes) * (isEast ? 60 : -60)
        }
        guard index == range.upperBound else { return nil }
        let seconds = CivilDate.days(year: year, month: month, day: day) * 86400 + hour * 3600 + minute * 60 + second - offset
        return seconds < 0 ? 0 : UInt64(seconds) * 1000 + UInt64(fraction)
    }

    private static func days(_ month: Int, of year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}
