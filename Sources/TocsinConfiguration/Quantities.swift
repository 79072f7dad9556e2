/// Durations as people write them: `500ms`, `10s`, `5m`, `2h`, `1d`, and sums of them such as `1m30s`.
public enum DurationText {
    private static let units: [(name: String, milliseconds: Int64)] = [
        ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
    ]
    /// Longer ones are surely a mistake, and shorter ones cannot overflow.
    private static let longestMilliseconds: Int64 = 10 * 366 * 86_400_000

    /// Nil if `text` is not a duration. A number without a unit is not: seconds or milliseconds would be a guess.
    public static func parse(_ text: String) -> Duration? {
        var rest = text[...]
        var total: Int64 = 0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            guard let number = Int64(digits) else { return nil }
            rest = rest.dropFirst(digits.count)
            let name = rest.prefix { $0.isASCII && $0.isLetter }
            rest = rest.dropFirst(name.count)
            guard let unit = units.first(where: { $0.name == name }) else { return nil }
            guard number <= longestMilliseconds / unit.milliseconds else { return nil }
            total += number * unit.milliseconds
            guard total <= longestMilliseconds else { return nil }
        }
        return .milliseconds(total)
    }

    /// The shortest text that `parse` reads back: `90s` is `1m30s`. Parts of a millisecond are dropped.
    public static func format(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        var rest = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        var text = ""
        for unit in units where rest >= unit.milliseconds {
            text += "\(rest / unit.milliseconds)\(unit.name)"
            rest %= unit.milliseconds
        }
        return text.isEmpty ? "0s" : text
    }
}

/// Amounts of bytes as people write them: `512KiB`, `64MiB`, `2GiB`, `10GB`, or a bare number of bytes.
public enum SizeText {
    private static let units: [(name: String, bytes: Int)] = [
        ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
        ("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000), ("KB", 1000), ("B", 1),
        ("", 1),
    ]

    /// Bytes, or nil if `text` is not an amount.
    public static func parse(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let name = text.dropFirst(digits.count).drop { $0 == " " }
        guard let number = Int(digits), let unit = units.first(where: { $0.name == name }) else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: unit.bytes)
        return overflow ? nil : bytes
    }

    /// In the largest binary unit that divides it: `64MiB`.
    public static func format(_ bytes: Int) -> String {
        for unit in units.prefix(4) where bytes > 0 && bytes % unit.bytes == 0 {
            return "\(bytes / unit.bytes)\(unit.name)"
        }
        return "\(bytes)B"
    }
}
