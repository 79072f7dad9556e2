import FoundationEssentials
import TocsinDomain

/// A file of the benchmark: a header, then a timestamp and a value in each line; further columns are not looked at.
struct SeriesFile {
    struct Row {
        /// As they stand in the file.
        var timestamp: Substring
        var value: Substring
        /// Milliseconds since 1970.
        var time: UInt64
        /// NaN for an empty one.
        var number: Double
    }

    /// Path below the data folder, such as `realTraffic/speed_6005.csv`.
    let name: String
    let rows: [Row]

    init(name: String, text: String) throws {
        self.name = name
        var rows: [Row] = []
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let fields = line.split(separator: ",", omittingEmptySubsequences: false)
            if fields == [""] || index == 0 && fields.first?.first?.isNumber != true { continue }
            guard fields.count >= 2, let time = Self.milliseconds(fields[0]) else {
                throw DataError("\(name), line \(index + 1): expected a timestamp as 2014-04-01 00:05:00, a comma and a value")
            }
            guard let number = fields[1].isEmpty ? .nan : Double(fields[1]) else {
                throw DataError("\(name), line \(index + 1): \(fields[1].debugDescription) is not a number")
            }
            rows.append(Row(timestamp: fields[0], value: fields[1], time: time, number: number))
        }
        self.rows = rows
    }

    /// `2014-04-01 00:05:00`, with or without a fraction, taken as UTC, from 1970 on.
    static func milliseconds(_ text: some StringProtocol) -> UInt64? {
        let parts = text.split { !$0.isNumber }.prefix(6).map { Int($0) ?? -1 }
        guard parts.count == 6, (1970...9999).contains(parts[0]), (1...12).contains(parts[1]), (1...31).contains(parts[2]),
            (0...23).contains(parts[3]), (0...59).contains(parts[4]), (0...60).contains(parts[5])
        else { return nil }
        let days = CivilDate.days(year: parts[0], month: parts[1], day: parts[2])
        return UInt64(((days * 24 + parts[3]) * 60 + parts[4]) * 60 + parts[5]) * 1000
    }

    /// The file with a score in a third column.
    func text(scores: [Double]) -> String {
        var text = "timestamp,value,anomaly_score\n"
        for (row, score) in zip(rows, scores) { text += "\(row.timestamp),\(row.value),\(score)\n" }
        return text
    }

    /// Indices of the points from a window's first timestamp to its last; nil if there are none.
    func window(from start: UInt64, to end: UInt64) -> ClosedRange<Int>? {
        guard let first = rows.firstIndex(where: { $0.time >= start }) else { return nil }
        let last = rows[first...].firstIndex { $0.time >= end }.map { rows[$0].time == end ? $0 : $0 - 1 } ?? rows.count - 1
        return first <= last ? first...last : nil
    }
}

/// Data that cannot be read: what, where.
struct DataError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
