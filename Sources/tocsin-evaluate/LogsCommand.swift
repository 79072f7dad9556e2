import ArgumentParser
import FoundationEssentials
import Glibc
import TocsinTemplates

/// Groups the lines of every log of a folder laid out as loghub's by their templates.
struct LogsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs", abstract: "The template of every line of every log of a folder.",
        discussion: """
            Reads <data>/<system>/*.log as it is, or where there is none the column Content of <system>/*_structured.csv. One \
            setting for all systems; labels are only read to rate the result. Writes <out>/<system>.csv with LineId, counted \
            from 1, and group, the template the line is of once all lines are known; if a system has several logs, \
            <out>/<system>/<log>.csv.

            Accuracy: the share of lines whose group holds exactly the lines of their template, by *labels_corrected.csv and by \
            *_structured.csv.
            """)

    @Option(help: "The folder: <system>/*.log, and labels if the result is to be rated.") var data: String
    @Option(help: "Where the CSV files are written.") var out: String

    func run() throws {
        let logs = try Log.all(in: data)
        guard !logs.isEmpty else {
            throw ValidationError(
                "\(data) has no <system>/*.log and no <system>/*_structured.csv; give a folder laid out like loghub's")
        }
        print("\("system".padded(16)) \("lines".leftPadded(8)) groups corrected  original")
        var sums: [Labels: (accuracy: Double, systems: Int)] = [:]
        for log in logs {
            let groups = log.groups()
            try write(groups, to: "\(out)/\(log.name).csv")
            var rated = ""
            for labels in Labels.allCases {
                guard let accuracy = try log.accuracy(of: groups, by: labels) else {
                    rated += "         -"
                    continue
                }
                sums[labels, default: (0, 0)].accuracy += accuracy
                sums[labels, default: (0, 0)].systems += 1
                rated += accuracy.fourPlaces.leftPadded(10)
            }
            print(
                "\(log.name.padded(16)) \(String(groups.count).leftPadded(8)) \(String(Set(groups).count).leftPadded(6))\(rated)")
        }
        for labels in Labels.allCases {
            guard let sum = sums[labels] else { continue }
            print("mean \(labels.rawValue) \((sum.accuracy / Double(sum.systems)).fourPlaces) of \(sum.systems)")
        }
        print("\(Int(linesPerSecond(logs))) lines/s on one core")
    }

    private func write(_ groups: [Int], to path: String) throws {
        let folder = path[..<(path.lastIndex(of: "/") ?? path.endIndex)]
        try FileManager.default.createDirectory(atPath: String(folder), withIntermediateDirectories: true)
        var text = "LineId,group\n"
        for (index, group) in groups.enumerated() { text += "\(index + 1),\(group)\n" }
        try Data(text.utf8).write(to: URL(filePath: path))
    }

    /// Of mining alone, in time of the processor, over all logs for a second.
    private func linesPerSecond(_ logs: [Log]) -> Double {
        let start = clock()
        var lines = 0
        repeat {
            for log in logs {
                _ = log.groups()
                lines += log.lines.count
            }
        } while clock() - start < CLOCKS_PER_SEC
        return Double(lines) * Double(CLOCKS_PER_SEC) / Double(clock() - start)
    }
}

/// Which labels a result is rated by.
private enum Labels: String, CaseIterable {
    case corrected, original

    var suffix: String {
        switch self {
        case .corrected: ".labels_corrected.csv"
        case .original: "_structured.csv"
        }
    }
}

/// One log of a system.
private struct Log {
    /// Of the file with its groups, without `.csv`.
    var name: String
    var lines: [ArraySlice<UInt8>]
    /// Files of the system that may have labels; empty if it has several logs.
    var labelled: [String]

    /// - Throws: if the folder or a file cannot be read.
    static func all(in data: String) throws -> [Log] {
        var logs: [Log] = []
        for system in try names(in: data) {
            let folder = "\(data)/\(system)"
            var isFolder = false
            guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder else { continue }
            let files = try names(in: folder)
            let names = files.filter { $0.hasSuffix(".log") }
            let labelled = files.map { "\(folder)/\($0)" }.filter { $0.hasSuffix(".csv") }
            for name in names {
                logs.append(
                    Log(
                        name: names.count == 1 ? system : "\(system)/\(name.dropLast(4))",
                        lines: splitLines(try bytes(of: "\(folder)/\(name)")), labelled: names.count == 1 ? labelled : []))
            }
            if names.isEmpty, let table = labelled.first(where: { $0.hasSuffix(Labels.original.suffix) }) {
                let content = try CSVTable(path: table).column("Content")
                logs.append(Log(name: system, lines: content.map { Array($0.utf8)[...] }, labelled: labelled))
            }
        }
        return logs
    }

    /// The template of each line, as it is known at the end.
    func groups() -> [Int] {
        var miner = TemplateMiner()
        let messages = lines.map { line in line.withUnsafeBufferPointer { miner.add($0.span) } }
        // What was forgotten is a group of its own.
        return messages.map { miner.template(of: $0) ?? -1 - $0 }
    }

    /// The share of the labelled lines whose group holds exactly the lines of their template; nil without labels.
    func accuracy(of groups: [Int], by labels: Labels) throws -> Double? {
        guard let path = labelled.first(where: { $0.hasSuffix(labels.suffix) }) else { return nil }
        let table = try CSVTable(path: path)
        guard table.header.contains("EventId") else { return nil }
        struct Pair: Hashable {
            var group: Int
            var event: String
        }
        var pairs: [Pair: Int] = [:]
        var inGroup: [Int: Int] = [:]
        var ofEvent: [String: Int] = [:]
        for (line, event) in zip(try table.column("LineId"), try table.column("EventId")) {
            guard let number = Int(line), groups.indices.contains(number - 1) else {
                throw ValidationError("\(path): there is no line \(line) in the log")
            }
            pairs[Pair(group: groups[number - 1], event: event), default: 0] += 1
            inGroup[groups[number - 1], default: 0] += 1
            ofEvent[event, default: 0] += 1
        }
        let right = pairs.filter { inGroup[$0.key.group] == $0.value && ofEvent[$0.key.event] == $0.value }
        let labelled = ofEvent.values.reduce(0, +)
        return labelled == 0 ? nil : Double(right.values.reduce(0, +)) / Double(labelled)
    }
}

/// The lines of a file, without their endings.
private func splitLines(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
    var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    return lines.map { $0.last == 0x0D ? $0.dropLast() : $0 }
}

func names(in folder: String) throws -> [String] {
    do {
        return try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    } catch {
        throw ValidationError("\(folder) cannot be listed; is it a folder that may be read?")
    }
}

func bytes(of path: String) throws -> [UInt8] {
    do {
        return Array(try Data(contentsOf: URL(filePath: path)))
    } catch {
        throw ValidationError("\(path) cannot be read; is it a file that may be read?")
    }
}
