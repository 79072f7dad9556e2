import ArgumentParser
import FoundationEssentials

/// A CSV file with a header, as RFC 4180 has it.
struct CSVTable {
    var path: String
    var header: [String] = []
    var rows: [[String]] = []

    init(path: String) throws {
        self.path = path
        var row: [String] = []
        var field: [UInt8] = []
        var isQuoted = false
        func take(_ rows: inout [[String]]) {
            row.append(String(decoding: field, as: UTF8.self))
            field = []
            rows.append(row)
            row = []
        }
        let raw = try bytes(of: path)
        let bytes = path.hasSuffix(".gz") ? try JSONLines.inflated(raw, path) : raw
        var index = 0
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\"") where isQuoted && index + 1 < bytes.count && bytes[index + 1] == UInt8(ascii: "\""):
                field.append(bytes[index])
                index += 1
            case UInt8(ascii: "\""): isQuoted.toggle()
            case UInt8(ascii: ",") where !isQuoted:
                row.append(String(decoding: field, as: UTF8.self))
                field = []
            case 0x0D where !isQuoted: break
            case 0x0A where !isQuoted: take(&rows)
            default: field.append(bytes[index])
            }
            index += 1
        }
        if !field.isEmpty || !row.isEmpty { take(&rows) }
        guard !rows.isEmpty else { throw ValidationError("\(path) is empty; it must begin with the names of its columns") }
        header = rows.removeFirst()
    }

    func column(_ name: String) throws -> [String] {
        guard let index = header.firstIndex(of: name) else {
            throw ValidationError("\(path) has no column \(name), only \(header.joined(separator: ", "))")
        }
        return try rows.enumerated().map { number, row in
            guard row.indices.contains(index) else {
                throw ValidationError("\(path): row \(number + 1) has no \(name)")
            }
            return row[index]
        }
    }
}
