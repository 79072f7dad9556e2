/// Finds where the message of a log line begins: behind time stamps, levels, process ids, host and component.
///
/// No format is configured. The beginning of a line is read as a row of fields, and the form of each tells what it is: a line
/// without a time stamp has no header; behind the last time stamp a header may go on with numbers, a level, brackets, a host
/// and a component that ends with a colon or is followed by ` - `. What is left of a header by mistake does no harm where
/// it does not vary.
struct LineHeader {
    private static let fieldsMax = 16
    private static let bytesMax = 512
    /// Fields before the first time stamp: line numbers, alert flags, nodes.
    private static let fieldsBeforeTimeMax = 8
    /// Fields between the last time stamp and the level.
    private static let fieldsBeforeLevelMax = 5

    private enum Form {
        /// A time, a date or a part of one.
        case time
        /// Six digits, which are a date or a time of day only where two of them stand side by side.
        case sixDigits
        case number
        /// `INFO`, `[error]`, `W`.
        case level
        case bracketed
        /// Ends with a colon.
        case component
        /// Ends with `|`.
        case column
        case dotted
        case dash
        /// Neither a word of letters nor of any other form: `R02-M1-N0`, `KERNEL`.
        case mark
        case word
    }

    private struct Field {
        var form: Form
        /// Has a digit or a parenthesis, as no word of a sentence has.
        var isMarked = false
        /// Behind the white space that follows.
        var end: Int
    }

    private var fields: [Field] = []

    /// The offset of the message in `line`.
    mutating func end(of line: Span<UInt8>) -> Int {
        readFields(line)
        guard let time = lastTime() else { return 0 }
        if let level = level(behind: time) { return end(behind: level, isLevel: true) }
        return end(behind: time, isLevel: false)
    }

    /// The last time stamp of the header: further ones count only while nothing like a sentence is between them.
    private func lastTime() -> Int? {
        let first = fields.indices.first { index in
            switch fields[index].form {
            case .time, .component: true
            case .sixDigits: index + 1 < fields.count && fields[index + 1].form == .sixDigits
            case .number, .level, .bracketed, .column, .dotted, .dash, .mark, .word: false
            }
        }
        guard let first, fields[first].form != .component, first < Self.fieldsBeforeTimeMax, isHeader(before: first)
        else { return nil }
        var last = first
        var bracketed = false
        for index in fields.indices.dropFirst(first + 1) {
            switch fields[index].form {
            case .time: last = index
            case .sixDigits: if fields[index - 1].form == .sixDigits { last = index }
            case .dash: if bracketed { return last }
            case .bracketed: bracketed = true
            case .number, .column, .mark: break
            case .word, .dotted:
                guard index + 1 < fields.count, fields[index + 1].form == .time else { return last }
            case .level, .component: return last
            }
        }
        return last
    }

    /// Words before a time stamp are columns only in a line that begins with something else; else it is a sentence that tells a time.
    private func isHeader(before time: Int) -> Bool {
        switch fields[0].form {
        case .time, .sixDigits, .number, .bracketed, .column, .dash, .mark: true
        case .level: time == 1
        case .dotted: fields[0].isMarked
        case .component, .word: false
        }
    }

    private func level(behind time: Int) -> Int? {
        for index in fields.indices.dropFirst(time + 1).prefix(Self.fieldsBeforeLevelMax + 1) {
            switch fields[index].form {
            case .level: return index
            case .component: return nil
            case .word: guard index == time + 1 else { return nil }
            case .time, .sixDigits, .number, .bracketed, .column, .dotted, .dash, .mark: break
            }
        }
        return nil
    }

    /// Goes on behind the time stamp or the level: `[main] a.b.C:`, `host name[12]:`, `name.exe -`.
    private func end(behind last: Int, isLevel: Bool) -> Int {
        var bracketed = false
        var at = last + 1
        while at < fields.count {
            let next = at + 1 < fields.count ? fields[at + 1].form : nil
            switch fields[at].form {
            case .component: return fields[at].end
            case .number, .sixDigits:
                // Of a process or thread; behind the level the message may begin with one.
                guard !isLevel else { return fields[at - 1].end }
            case .column: break
            case .dash: if isLevel && bracketed { return fields[at].end }
            case .bracketed: bracketed = true
            case .word, .mark, .dotted:
                if next == .dash { return fields[at + 1].end }
                guard next != .bracketed || fields[at].form != .dotted else { break }
                guard !isLevel, !bracketed else { return fields[at - 1].end }
                if next == .component { return fields[at + 1].end }
                guard at + 2 < fields.count, fields[at + 1].isMarked || fields[at + 2].isMarked,
                    fields[at + 2].form == .component || fields[at + 2].form == .dash
                else { return fields[at - 1].end }
                return fields[at + 2].end
            case .time, .level: return fields[at - 1].end
            }
            at += 1
        }
        return fields[at - 1].end
    }

    // MARK: Fields

    private mutating func readFields(_ line: Span<UInt8>) {
        fields.removeAll(keepingCapacity: true)
        let count = min(line.count, Self.bytesMax)
        var index = skipSpace(line, 0)
        while index < count, fields.count < Self.fieldsMax {
            let start = index
            if line[index] == UInt8(ascii: "["), let close = closingBracket(line, index, count) {
                index = close + 1
                while index < count, line[index] == UInt8(ascii: ":") || line[index] == UInt8(ascii: ",") { index += 1 }
                let form = formInBrackets(line, start + 1, close)
                index = skipSpace(line, index)
                fields.append(Field(form: form, end: index))
                continue
            }
            while index < count, !isSpace(line[index]), line[index] != UInt8(ascii: "|") { index += 1 }
            let end = index
            let isColumn = index < count && line[index] == UInt8(ascii: "|")
            if isColumn { index += 1 }
            index = skipSpace(line, index)
            guard end > start else {
                fields.append(Field(form: .dash, end: index))
                continue
            }
            var form = form(of: line, start, end)
            if isColumn, form != .time { form = .column }
            let isMarked = (start..<end).contains { isDigit(line[$0]) || line[$0] == UInt8(ascii: "(") }
            fields.append(Field(form: form, isMarked: isMarked, end: index))
        }
    }

    private func skipSpace(_ line: Span<UInt8>, _ start: Int) -> Int {
        var index = start
        while index < line.count, isSpace(line[index]) { index += 1 }
        return index
    }

    private func closingBracket(_ line: Span<UInt8>, _ start: Int, _ count: Int) -> Int? {
        var depth = 0
        for index in start..<count {
            if line[index] == UInt8(ascii: "[") { depth += 1 }
            if line[index] == UInt8(ascii: "]") {
                depth -= 1
                if depth == 0 { return index }
            }
        }
        return nil
    }

    private func formInBrackets(_ line: Span<UInt8>, _ start: Int, _ end: Int) -> Form {
        // `16:49` somewhere within: the time of a day.
        for index in start..<max(start, end - 4)
        where line[index + 2] == UInt8(ascii: ":")
            && (0x30...0x32).contains(line[index]) && isDigit(line[index + 1])
            && (0x30...0x35).contains(line[index + 3]) && isDigit(line[index + 4]) && !isDigit(line[index + 5])
        {
            return .time
        }
        return isLevel(line, start, end) ? .level : .bracketed
    }

    private func form(of line: Span<UInt8>, _ start: Int, _ fieldEnd: Int) -> Form {
        var end = fieldEnd
        var hasColon = false
        while end > start, line[end - 1] == UInt8(ascii: ":") || line[end - 1] == UInt8(ascii: ",") {
            if line[end - 1] == UInt8(ascii: ":") { hasColon = true }
            end -= 1
        }
        let bytes = Census(line, start, end)
        if bytes.digits == 0 && bytes.letters == 0 { return bytes.others == 0 ? .dash : .mark }
        if bytes.letters == 0 && bytes.others == 0 {
            if bytes.digitGroups == 1 {
                guard bytes.separators == 0, !hasColon else { return .number }
                if end - start == 6 { return .sixDigits }
                return isCompactTime(line, start, end) ? .time : .number
            }
            if bytes.digitGroups >= 3, (5...26).contains(bytes.digits), bytes.leadingDots != 3, isDigit(line[start]) {
                return .time
            }
            return hasColon ? .component : .number
        }
        // 2015-07-29T17:41:44Z and the like.
        if bytes.digits >= 8, bytes.digitGroups >= 5, bytes.letters <= 2, bytes.others == 0, !hasColon { return .time }
        if isLevel(line, start, end) { return .level }
        if hasColon { return .component }
        if Words.isCalendar(line, start, end) { return .time }
        if bytes.dots >= 1, bytes.lowerCase > 0, bytes.others == 0 { return .dotted }
        return bytes.lowerCase == 0 || bytes.digits > 0 || bytes.others > 0 ? .mark : .word
    }

    /// Seconds since 1970, or a date without separators.
    private func isCompactTime(_ line: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
        switch end - start {
        case 10: line[start] == UInt8(ascii: "1")
        case 8: line[start] == UInt8(ascii: "2") && line[start + 1] == UInt8(ascii: "0")
        default: false
        }
    }

    private func isLevel(_ line: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
        if end - start == 1 { return "VDIWEFT".utf8.contains(line[start]) }
        return end - start >= 3 && Words.levels.contains(Words.packed(line, start, end))
    }
}

private func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

/// How many bytes of which sort a field has.
private struct Census {
    var digits = 0
    var digitGroups = 0
    var lowerCase = 0
    var upperCase = 0
    var dots = 0
    /// Dots before the first separator.
    var leadingDots = 0
    /// What stands between the parts of times.
    var separators = 0
    var others = 0
    var letters: Int { lowerCase + upperCase }

    init(_ line: Span<UInt8>, _ start: Int, _ end: Int) {
        var afterDigit = false
        for index in start..<end {
            let byte = line[index]
            let isDigit = isDigit(byte)
            switch byte {
            case _ where isDigit:
                digits += 1
                if !afterDigit { digitGroups += 1 }
            case 0x61...0x7A: lowerCase += 1
            case 0x41...0x5A: upperCase += 1
            case UInt8(ascii: "."):
                dots += 1
                if separators == 0 { leadingDots += 1 }
            case UInt8(ascii: "-"), UInt8(ascii: "/"), UInt8(ascii: ":"), UInt8(ascii: "_"), UInt8(ascii: ","), UInt8(ascii: "+"):
                separators += 1
            default: others += 1
            }
            afterDigit = isDigit
        }
    }
}
