import TocsinCore
import TocsinEngine
import TocsinJournal
import TocsinProgram
import TocsinProto
import TocsinWire

extension JournalExamination {
    var lines: [String] {
        let batches = survey.segments.reduce(0) { $0 + $1.batches.values.reduce(0, +) }
        let messages = survey.segments.reduce(0) { $0 + $1.messages }
        var lines = ["\(survey.segments.count) segments, \(batches) intact batches, \(messages) intact messages"]
        lines += survey.damages.map(\.description) + unreadable
        if let torn = survey.torn {
            lines.append(
                "\(torn.file), offset \(torn.bytes.lowerBound): \(torn.bytes.count) bytes of an unfinished write, which the next "
                    + "start cuts off: nothing in it was acknowledged")
        }
        for lost in survey.lost { lines.append("messages \(lost.lowerBound) to \(lost.upperBound) were given up in a repair") }
        if isSound { lines.append("intact") }
        return lines
    }

    func json(_ directory: String) -> JSON {
        [
            "directory": .string(directory), "intact": .bool(isSound), "last_ordinal": .unsigned(survey.lastOrdinal),
            "next_sequence": .unsigned(survey.nextSequence), "segments": .array(survey.segments.map(\.json)),
            "damages": .array(survey.damages.map(\.json)), "unreadable": .strings(unreadable),
            "torn": survey.torn.map {
                [
                    "file": .string($0.file), "offset": .unsigned(UInt64($0.bytes.lowerBound)),
                    "bytes": .unsigned(UInt64($0.bytes.count)),
                ]
            } ?? .null,
            "given_up": .array(survey.lost.map(JSON.range)),
        ]
    }
}

extension JSON {
    fileprivate static func range(_ range: ClosedRange<UInt64>) -> JSON {
        ["first": .unsigned(range.lowerBound), "last": .unsigned(range.upperBound)]
    }
}

extension JournalSurvey {
    func printSegments() {
        var table = Table(columns: [
            .left("SEGMENT"), .right("BATCHES"), .right("FIRST"), .right("LAST"), .right("MESSAGES"), .right("CONTROL"),
            .right("CHECKPOINTS"), .right("MARKS"), .right("CARRIED"), .right("LOST"), .right("USED"), .left("BEGUN"),
            .left("ENDED"),
        ])
        for segment in segments {
            let count = { (kind: BatchKind) in "\(segment.batches[kind] ?? 0)" }
            table.add([
                segment.name, segment.ordinals.map { "\($0.lowerBound)-\($0.upperBound)" } ?? "-",
                segment.sequences.map { "\($0.lowerBound)" } ?? "-", segment.sequences.map { "\($0.upperBound)" } ?? "-",
                "\(segment.messages)", count(.control), count(.checkpoint), count(.mark), count(.carried), count(.lost),
                segment.bytes == 0 ? "missing" : "\(segment.usedBytes)/\(segment.bytes)",
                segment.times.map { TimeText.local($0.lowerBound) } ?? "-",
                segment.times.map { TimeText.local($0.upperBound) } ?? "-",
            ])
        }
        Terminal.print(table)
        for damage in damages { Terminal.print(damage.description) }
    }

    func segmentsJSON(_ directory: String) -> JSON {
        [
            "directory": .string(directory), "start": identity.map { .unsigned($0.epoch) } ?? .null,
            "segments": .array(segments.map(\.json)), "damages": .array(damages.map(\.json)),
        ]
    }
}

extension JournalSurvey.Segment {
    fileprivate var json: JSON {
        let count = { (kind: BatchKind) in JSON.unsigned(UInt64(batches[kind] ?? 0)) }
        return [
            "number": .unsigned(UInt64(number)), "file": .string(name), "bytes": .unsigned(UInt64(bytes)),
            "used_bytes": .unsigned(UInt64(usedBytes)), "ordinals": ordinals.map(JSON.range) ?? .null,
            "sequences": sequences.map(JSON.range) ?? .null, "messages": .unsigned(UInt64(messages)),
            "begun_at": times.map { TimeText.json($0.lowerBound) } ?? .null,
            "ended_at": times.map { TimeText.json($0.upperBound) } ?? .null,
            "batches": [
                "messages": count(.messages), "control": count(.control), "checkpoint": count(.checkpoint), "mark": count(.mark),
                "carried": count(.carried), "lost": count(.lost),
            ],
        ]
    }
}

extension JournalSurvey.Damage {
    var json: JSON {
        [
            "what": .string(description), "file": .string(file), "offset": .unsigned(UInt64(bytes.lowerBound)),
            "bytes": .unsigned(UInt64(bytes.count)), "ordinals": ordinals.map(JSON.range) ?? .null,
            "sequences": sequences.map(JSON.range) ?? .null, "at_most": .bool(isAtMost),
            "subjects": .object(subjects.sorted { $0.key < $1.key }.map { ($0.key, .unsigned(UInt64($0.value))) }),
            "may_hold_settlements": .bool(mayHoldControl), "carried": .array(carried.map { .unsigned($0) }),
        ]
    }
}

/// Messages and control records of a journal, chosen by sequence.
struct JournalListing {
    struct Choice: Sendable {
        var sequences: ClosedRange<UInt64>
        /// One message with everything recorded of it, wherever that is.
        var isOne: Bool
        var limit: Int
        var payload: Bool
    }
    struct Row {
        var sequence: UInt64?
        var time: UInt64
        var what: String
        var text: String
        var json: JSON
        var payload: JSON?
    }
    /// The limit is reached.
    struct Enough: Error {}

    private let choice: Choice
    private(set) var rows: [Row] = []
    /// Names of pools by their number, as far as they were declared.
    private var pools: [String] = []

    init(_ choice: Choice) { self.choice = choice }

    mutating func take(_ batch: RecoveredBatch) throws {
        switch batch.header.kind {
        case .messages: try takeMessages(batch)
        case .control, .checkpoint, .lost: try takeRecords(batch)
        case .carried: try takeCarried(batch)
        case .mark: break
        }
    }

    private mutating func add(_ row: Row) throws {
        guard rows.count < choice.limit else { throw Enough() }
        rows.append(row)
    }

    private mutating func takeMessages(_ batch: RecoveredBatch) throws {
        let header = batch.header
        guard header.nextSequence > choice.sequences.lowerBound, header.firstSequence <= choice.sequences.upperBound else {
            return
        }
        var found: [Row] = []
        // An intact batch that another version wrote may not read; its messages are then not listed.
        _ = try? LengthPrefixed.forEach(in: batch.body, atMost: .max) { (index, _, bytes) throws(WireError) in
            let sequence = header.firstSequence + UInt64(index)
            guard choice.sequences.contains(sequence), found.count <= choice.limit else { return }
            found.append(try message(bytes, sequence, header.time))
        }
        for row in found { try add(row) }
    }

    /// Messages of segments that may be gone.
    private mutating func takeCarried(_ batch: RecoveredBatch) throws {
        var found: [Row] = []
        // As above.
        if let carried = try? CarriedBody(batch.body) {
            _ = try? LengthPrefixed.forEach(in: carried.messages, atMost: .max) { (index, _, bytes) throws(WireError) in
                let row = carried[index]
                guard choice.sequences.contains(row.sequence), found.count <= choice.limit else { return }
                found.append(try message(bytes, row.sequence, row.time, as: "carried"))
            }
        }
        for row in found { try add(row) }
    }

    private func message(
        _ bytes: UnsafeRawBufferPointer, _ sequence: UInt64, _ time: UInt64, as what: String = "message"
    ) throws(WireError) -> Row {
        let view = try EnvelopeView(scanning: bytes)
        let text = { (part: UnsafeRawBufferPointer) in String(decoding: part, as: UTF8.self) }
        let severity = "\(view.severity)"
        var words = ["\(severity) \(text(view.subject))"]
        if !view.key.isEmpty { words.append("key \(text(view.key))") }
        words.append("id \(view.id.idText)")
        if view.notBefore > 0 { words.append("not before \(TimeText.local(view.notBefore))") }
        words.append("\(bytes.count) bytes")
        var pairs: [(String, JSON)] = [
            ("kind", .string(what)), ("sequence", .unsigned(sequence)), ("time", TimeText.json(time)),
            ("subject", .string(text(view.subject))), ("severity", .string(severity)), ("key", .text(text(view.key))),
            ("id", .string(view.id.idText)), ("not_before", TimeText.json(view.notBefore)),
            ("bytes", .unsigned(UInt64(bytes.count))),
        ]
        var payload: JSON?
        if choice.payload {
            do { payload = try Tocsin_V1_Envelope(serializedBytes: Array(bytes)).payloadJSON } catch {
                payload = ["unreadable": .string("\(error)")]
            }
            pairs.append(("payload", payload ?? .null))
        }
        return Row(
            sequence: sequence, time: time, what: what, text: words.joined(separator: ", "), json: .object(pairs),
            payload: payload)
    }

    private mutating func takeRecords(_ batch: RecoveredBatch) throws {
        let header = batch.header
        let isWithin = choice.sequences.contains(header.firstSequence) && !choice.isOne
        let range = header.count > 0 ? header.firstSequence...header.nextSequence - 1 : nil
        if header.kind == .lost, let range, range.overlaps(choice.sequences) {
            try add(row(header, "lost", "messages \(range.lowerBound) to \(range.upperBound) were given up in a repair", nil))
        }
        var found: [Row] = []
        var pools = pools
        // As above: what cannot be read is not listed.
        try? ControlFact.read(batch.body) { (fact, _) in
            if case .pool(let definition, _, _) = fact, !pools.contains(definition.name) { pools.append(definition.name) }
            guard isWithin || (choice.isOne && fact.concerns(choice.sequences.lowerBound)) else { return }
            // A checkpoint repeats what is known.
            guard header.kind != .checkpoint else { return }
            let pool = fact.pool.map { pools.indices.contains($0) ? pools[$0] : "pool \($0)" }
            let text = choice.isOne ? fact.text(about: choice.sequences.lowerBound) : fact.text
            if found.count <= choice.limit { found.append(row(header, "control", text, pool)) }
        }
        self.pools = pools
        for row in found { try add(row) }
    }

    private func row(_ header: BatchHeader, _ what: String, _ text: String, _ pool: String?) -> Row {
        let json: JSON = [
            "kind": .string(what), "ordinal": .unsigned(header.ordinal), "time": TimeText.json(header.time),
            "pool": pool.map { .string($0) } ?? .null, "record": .string(text),
        ]
        return Row(time: header.time, what: what, text: (pool.map { $0 + " " } ?? "") + text, json: json)
    }

    func print() {
        if choice.payload {
            for row in rows {
                Terminal.print("\(row.sequence.map { "\($0)" } ?? "-")  \(TimeText.local(row.time))  \(row.text.printable)")
                if let payload = row.payload { Terminal.print(json: payload) }
            }
            return
        }
        var table = Table(columns: [.right("SEQUENCE"), .left("TIME"), .left("WHAT"), .flexible("")])
        for row in rows { table.add(row.sequence.map { "\($0)" } ?? "", TimeText.local(row.time), row.what, row.text) }
        Terminal.print(table)
    }
}

extension ControlFact {
    fileprivate func concerns(_ sequence: UInt64) -> Bool {
        switch self {
        case .acked(_, let sequences): sequences.contains(sequence)
        case .attempt(_, let named, _), .revived(_, let named), .cancelled(_, let named), .discarded(_, let named):
            named == sequence
        case .dead(_, let letter): letter.sequence == sequence
        case .pool, .counters: false
        }
    }

    /// Of a list of acknowledged messages, only the one.
    fileprivate func text(about sequence: UInt64) -> String {
        if case .acked = self { "acked: \(sequence)" } else { text }
    }
}
