/// Looks for indicators in what events say. Keeps its buffers from one event to the next; one per thread of work. What it finds
/// depends on the event and the set alone.
public struct IndicatorScanner: Sendable {
    private var reader = ObservableReader()

    /// Of an event's texts, more bytes are not looked at, nor more observables.
    public static let bytesMax = 16 << 10
    public static let observablesMax = 256
    /// More matches of an event are not told; those that do not count are counted apart, so that they are in nobody's way.
    public static let matchesMax = 16
    /// Of the indicators that name one observable, more are not looked at.
    private static let indicatorsMax = 64

    public init() {}

    /// What of a summary, labels and details `set` has an indicator for: in this order, labels and details by name, each
    /// indicator once for each value it matches. `time`: the event's, in milliseconds since 1970; nil: not known, then indicators
    /// count whatever their validity.
    ///
    /// Matches that do not count (see `IndicatorMatch.Outcome`) are among them.
    public mutating func matches(
        summary: String, labels: [String: String] = [:], details: [String: String] = [:], at time: UInt64?, in set: IndicatorSet
    ) -> [IndicatorMatch] {
        guard set.count > 0 else { return [] }
        var search = Search(set: set, time: time)
        look(in: summary, .summary, &search)
        for name in labels.keys.sorted() { look(in: labels[name] ?? "", .label(name), &search) }
        for name in details.keys.sorted() { look(in: details[name] ?? "", .detail(name), &search) }
        return search.matches
    }

    private mutating func look(in text: String, _ place: @autoclosure () -> IndicatorMatch.Place, _ search: inout Search) {
        // The shortest that could be something is "::".
        guard text.utf8.count >= 2, !search.isOver else { return }
        var text = text
        text.withUTF8 { bytes in
            let isCut = bytes.count > search.bytesLeft
            let bytes = isCut ? UnsafeBufferPointer(rebasing: bytes[..<search.bytesLeft]) : bytes
            search.bytesLeft -= bytes.count
            reader.read(bytes, isCut: isCut) { observable in
                search.look(up: observable, place)
                return !search.isOver
            }
        }
    }

    /// One event's search.
    private struct Search {
        let set: IndicatorSet
        let time: UInt64?
        var matches: [IndicatorMatch] = []
        var counting = 0
        var bytesLeft = IndicatorScanner.bytesMax
        var observablesLeft = IndicatorScanner.observablesMax

        init(set: IndicatorSet, time: UInt64?) {
            self.set = set
            self.time = time
        }

        var isOver: Bool { bytesLeft == 0 || observablesLeft == 0 || counting == IndicatorScanner.matchesMax }

        mutating func look(up observable: Observable, _ place: () -> IndicatorMatch.Place) {
            observablesLeft -= 1
            var indicatorsLeft = IndicatorScanner.indicatorsMax
            set.forEach(naming: observable) { number in
                indicatorsLeft -= 1
                add(set.indicator(number), observable.text, place)
                return indicatorsLeft > 0 && counting < IndicatorScanner.matchesMax
            }
        }

        private mutating func add(_ indicator: Indicator, _ observed: String, _ place: () -> IndicatorMatch.Place) {
            guard !matches.contains(where: { $0.observed == observed && $0.indicator == indicator }) else { return }
            var outcome = IndicatorMatch.Outcome.matched
            if !indicator.isValid(at: time) {
                outcome = .notValidThen
            } else if let list = set.falsePositiveList(of: indicator, observed: observed) {
                outcome = .falsePositive(list: list)
            }
            if outcome == .matched { counting += 1 }
            guard outcome == .matched || matches.count - counting < IndicatorScanner.matchesMax else { return }
            matches.append(IndicatorMatch(indicator: indicator, observed: observed, place: place(), outcome: outcome))
        }
    }
}

extension Observable {
    fileprivate var text: String {
        switch self {
        case .address(let address): address.text
        case .text(_, let bytes): String(decoding: bytes, as: UTF8.self)
        }
    }
}
