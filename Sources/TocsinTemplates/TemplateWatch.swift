/// Watches which templates the lines of one log are of, and how many of each there are, and says what is out of the ordinary:
/// a template never seen before, many more lines of one than it ever had, and one that has stopped.
///
/// Looks are taken every 10 s. **New**: once the settling time is over, a template that none of the lines before was of.
/// **Burst**: the square root of the lines within a look, whose spread hardly depends on how many there are, is compared with
/// its running mean; the estimate of both is over about an hour, and what exceeds it is cut before it is taken in. **Vanished**:
/// no line for four times the longest pause it lately had. Pure, and bounded as `TemplateMiner` is; not thread safe.
public struct TemplateWatch: Sendable {
    public enum Kind: String, Sendable, Codable {
        case new, burst, vanished
    }

    /// Something out of the ordinary, or its end.
    public struct Finding: Sendable, Equatable {
        public var kind: Kind
        /// False: a burst is over, a template that had vanished is there again.
        public var begins: Bool
        /// As it was when it began.
        public var template: String
        /// Lines, without header or not as they are in the log, at most three, at most 512 bytes of each.
        public var examples: [String]
        /// Lines since the last look.
        public var lines: Int
        /// How many lines there might have been at most; of a burst.
        public var expected: Int?
        /// The longest pause that was usual, in milliseconds; of one that has vanished.
        public var pauseMs: UInt64?
    }

    /// What is kept over a restart.
    public struct Saved: Sendable, Codable, Equatable {
        /// When the first look was taken, in milliseconds since 1970.
        var beganMs: UInt64
        var templates: [Template] = []

        struct Template: Sendable, Codable, Equatable {
            var text: String
            var history: History
        }
    }

    /// What is known of a template's past.
    struct History: Sendable, Codable, Equatable {
        /// Looks taken.
        var looks = 0
        /// Looks with lines.
        var occurrences = 0
        /// Of the square root of the lines within a look.
        var mean = 0.0
        var deviation = 0.0
        var lastSeenMs: UInt64
        /// The longest pause, of long ago less than it was.
        var pauseMs = 0.0
        /// The text that a finding which has not ended yet was told with.
        var burst: String?
        var vanished: String?
        /// The latest lines.
        var examples: [String] = []
    }

    /// Lines since the last look.
    private struct Count {
        var lines = 0
        var examples: [String] = []
    }

    /// From look to look.
    public static let lookMs: UInt64 = 10_000
    private static let examplesMax = 3
    private static let exampleBytes = 512
    /// Looks before a burst can be told.
    private static let looksBefore = 30
    /// Looks that the running mean is over.
    private static let looksInMean = 360.0
    /// Looks with lines before it can be told that there are none.
    private static let occurrencesBefore = 20
    /// Fewer lines within a look are no burst.
    private static let burstLines = 20
    private static let pauseMsMin = 60_000.0
    /// Findings told at once, and milliseconds until there may be one more.
    private static let findingsMax = 20.0
    private static let findingMs = 30_000.0
    /// Bytes of text that are kept over a restart.
    private static let savedBytes = 256 << 10

    private let settlingMs: UInt64
    private var miner = TemplateMiner()
    private var histories: [Int: History] = [:]
    private var counts: [Int: Count] = [:]
    /// When the first look was taken, also before a restart, in milliseconds since 1970.
    public private(set) var beganMs: UInt64?
    private var lookedMs: UInt64?
    /// What was written before anybody looked may be among the lines.
    private var isFirstLook = true
    /// Identifiers below it were given before the last look.
    private var firstNewID = 0
    private var findingsLeft = TemplateWatch.findingsMax
    /// Findings that were not told because there were too many.
    public private(set) var untold = 0

    /// - Parameter settling: for so long after the first look every template is taken as usual.
    public init(settling: Duration, saved: Saved? = nil) {
        settlingMs = UInt64(clamping: settling.components.seconds * 1000)
        beganMs = saved?.beganMs
        for template in saved?.templates ?? [] { histories[miner.learn(template.text)] = template.history }
        firstNewID = miner.nextID
    }

    /// What a restart begins with: of many templates those seen last. Nil before the first look.
    public var saved: Saved? {
        guard let beganMs else { return nil }
        var saved = Saved(beganMs: beganMs)
        var bytes = 0
        for (id, history) in histories.sorted(by: { ($1.value.lastSeenMs, $0.key) < ($0.value.lastSeenMs, $1.key) }) {
            guard let text = miner.describe(id)?.text else { continue }
            bytes += text.utf8.count + history.examples.reduce(0) { $0 + $1.utf8.count }
            guard bytes <= Self.savedBytes else { break }
            saved.templates.append(Saved.Template(text: text, history: history))
        }
        return saved
    }

    /// Takes in a line, without its line ending.
    public mutating func observe(_ line: Span<UInt8>) {
        let id = miner.add(line)
        var count = counts[id] ?? Count()
        count.lines += 1
        if count.examples.count < Self.examplesMax {
            let bytes = (0..<min(line.count, Self.exampleBytes)).map { line[$0] }
            count.examples.append(String(decoding: bytes, as: UTF8.self))
        }
        counts[id] = count
    }

    /// Whether it is time for a look.
    public func isDue(nowMs: UInt64) -> Bool { lookedMs.map { nowMs < $0 || nowMs - $0 >= Self.lookMs } ?? true }

    /// What is out of the ordinary since the last look. Nothing, if it `isDue` later only.
    ///
    /// - Parameters:
    ///   - nowMs: milliseconds since 1970; may jump.
    ///   - isBehind: lines are read that were written long ago, faster than they were written: how many there are says nothing.
    public mutating func look(nowMs: UInt64, isBehind: Bool) -> [Finding] {
        guard isDue(nowMs: nowMs) else { return [] }
        let began = beganMs ?? nowMs
        beganMs = began
        guard let lookedMs, lookedMs <= nowMs else {
            // What was not seen while nobody looked is no pause.
            for id in histories.keys { histories[id]?.lastSeenMs = nowMs }
            self.lookedMs = nowMs
            isFirstLook = true
            return []
        }
        let passed = nowMs - lookedMs
        self.lookedMs = nowMs
        let isBehind = isBehind || isFirstLook
        isFirstLook = false
        findingsLeft = min(Self.findingsMax, findingsLeft + Double(passed) / Self.findingMs)
        let seen = takeCounts()
        var findings = foldHistories()
        for id in Set(histories.keys).union(seen.keys).sorted() {
            let count = seen[id] ?? Count()
            let isNew = histories[id] == nil
            var history = histories[id] ?? History(lastSeenMs: nowMs)
            if isNew, id >= firstNewID, nowMs >= began + settlingMs {
                findings.append(
                    Finding(kind: .new, begins: true, template: text(id), examples: count.examples, lines: count.lines))
            }
            if !isBehind { judgeRate(&history, count, id, looks: Double(passed) / Double(Self.lookMs), &findings) }
            judgePause(&history, count, id, nowMs: nowMs, isBehind: isBehind, &findings)
            if !count.examples.isEmpty { history.examples = count.examples }
            histories[id] = history
        }
        firstNewID = miner.nextID
        return told(findings)
    }

    /// Of templates, not of messages.
    private mutating func takeCounts() -> [Int: Count] {
        var seen: [Int: Count] = [:]
        for (id, count) in counts.sorted(by: { $0.key < $1.key }) {
            guard let template = miner.template(of: id) else { continue }
            seen[template, default: Count()].lines += count.lines
            let room = Self.examplesMax - (seen[template]?.examples.count ?? 0)
            seen[template]?.examples += count.examples.prefix(room)
        }
        counts.removeAll(keepingCapacity: true)
        return seen
    }

    /// Templates that became one have one history, that with more of it; what was forgotten has none. The findings that are
    /// over by that.
    private mutating func foldHistories() -> [Finding] {
        var over: [Finding] = []
        for id in histories.keys.sorted() {
            let template = miner.template(of: id)
            guard template != id, var dropped = histories.removeValue(forKey: id) else { continue }
            if let template {
                guard let other = histories[template] else {
                    histories[template] = dropped
                    continue
                }
                if other.occurrences < dropped.occurrences {
                    histories[template] = dropped
                    dropped = other
                }
            }
            for (kind, text) in [(Kind.burst, dropped.burst), (Kind.vanished, dropped.vanished)] {
                guard let text else { continue }
                over.append(Finding(kind: kind, begins: false, template: text, examples: [], lines: 0))
            }
        }
        return over
    }

    private func text(_ id: Int) -> String { miner.describe(id)?.text ?? "" }

    private mutating func judgeRate(
        _ history: inout History, _ count: Count, _ id: Int, looks: Double, _ findings: inout [Finding]
    ) {
        let root = (Double(count.lines) / looks).squareRoot()
        // Of independent lines the deviation is a half; a program that logs at regular times has less, and is not watched closer.
        let deviation = max(history.deviation, 0.5)
        if let template = history.burst {
            if root <= history.mean + 3 * deviation {
                history.burst = nil
                findings.append(
                    Finding(kind: .burst, begins: false, template: template, examples: count.examples, lines: count.lines))
            }
        } else if history.looks >= Self.looksBefore, Double(count.lines) >= Double(Self.burstLines) * looks,
            root > history.mean + 6 * deviation, root >= 2 * history.mean
        {
            let template = text(id)
            history.burst = template
            let most = (history.mean + 3 * deviation) * (history.mean + 3 * deviation) * looks
            findings.append(
                Finding(
                    kind: .burst, begins: true, template: template, examples: count.examples, lines: count.lines,
                    expected: Int(most.rounded(.up))))
        }
        history.looks += 1
        let taken = history.looks <= Self.looksBefore ? root : min(root, history.mean + 3 * deviation)
        let weight = 1 / min(Double(history.looks), Self.looksInMean)
        // What the first look differs from is no estimate.
        if history.looks == 1 { history.mean = taken }
        let error = taken - history.mean
        history.mean += weight * error
        history.deviation += weight * (1.25 * error.magnitude - history.deviation)
    }

    private mutating func judgePause(
        _ history: inout History, _ count: Count, _ id: Int, nowMs: UInt64, isBehind: Bool, _ findings: inout [Finding]
    ) {
        let pause = Double(nowMs - min(nowMs, history.lastSeenMs))
        if count.lines > 0 {
            if let template = history.vanished {
                history.vanished = nil
                findings.append(
                    Finding(kind: .vanished, begins: false, template: template, examples: count.examples, lines: count.lines))
            }
            history.pauseMs = max(pause, 0.98 * history.pauseMs)
            history.occurrences += 1
            history.lastSeenMs = nowMs
        } else if !isBehind, history.vanished == nil, history.occurrences >= Self.occurrencesBefore,
            pause >= max(4 * history.pauseMs, Self.pauseMsMin)
        {
            let template = text(id)
            history.vanished = template
            findings.append(
                Finding(
                    kind: .vanished, begins: true, template: template, examples: history.examples, lines: 0,
                    pauseMs: UInt64(history.pauseMs)))
        }
    }

    /// As many as may be told now; those with the most lines first, but ends always.
    private mutating func told(_ findings: [Finding]) -> [Finding] {
        let begin = findings.filter(\.begins).sorted { $0.lines > $1.lines }
        let room = Int(findingsLeft)
        findingsLeft -= Double(min(room, begin.count))
        untold += max(0, begin.count - room)
        return findings.filter { !$0.begins } + begin.prefix(room)
    }
}
