import TocsinDomain
import TocsinProto

/// One event as it came.
public struct TriageInput: Sendable {
    public var event: Tocsin_V1_Event
    public var subject: String
    /// Encoded size of the event in bytes.
    public var size: Int
    /// What threat intelligence says of it.
    public var indicators: IndicatorFindings

    public init(event: Tocsin_V1_Event, subject: String, size: Int, indicators: IndicatorFindings = .none) {
        self.event = event
        self.subject = subject
        self.size = size
        self.indicators = indicators
    }
}

/// An alert update and the inputs (by index) it stands for: they may be acknowledged once it is stored.
public struct PlannedUpdate: Sendable {
    public var update: Tocsin_V1_AlertUpdate
    public var inputs: [Int]
    /// Those of the inputs whose events it carries, in order: of each event id the first.
    public var events: [Int]
}

/// How much is merged into one alert update.
public struct UpdateLimits: Sendable, Equatable {
    /// The most events.
    public var events: Int
    /// The most bytes of events. A single event that is larger makes an update of its own.
    public var bytes: Int

    public init(events: Int = 500, bytes: Int = 512 << 10) {
        self.events = events
        self.bytes = bytes
    }
}

extension Triage {
    /// Labels copied to an update are bounded; the events carry all of them.
    private static let labelBytesMax = 8 << 10
    private static let summaryBytesMax = 1024
    private static let indicatorsMax = 64

    /// Judges a batch. Events of one fingerprint that are judged alike in every step become one update; a resolve between two
    /// triggers keeps them apart, so that the last word stays the last. An event id that comes twice in the batch counts once.
    /// Updates are in the order of their first events.
    ///
    /// `now`: milliseconds since 1970.
    public mutating func updates(for inputs: [TriageInput], now: UInt64) -> [PlannedUpdate] {
        var plan = plan(for: inputs, now: now)
        for index in plan.indices { plan[index].update.events = plan[index].events.map { inputs[$0].event } }
        return plan
    }

    /// The same with updates that lack their events, for who has those encoded.
    public mutating func plan(for inputs: [TriageInput], now: UInt64) -> [PlannedUpdate] {
        var plan: [PlannedUpdate] = []
        var sizes: [Int] = []
        var judgements: [[Decision]] = []
        /// The updates that still take events, for each fingerprint: all of one kind.
        var open: [String: [Int]] = [:]
        var seen: [String: Int] = [:]
        for (index, input) in inputs.enumerated() {
            if let place = seen[input.event.id] {
                plan[place].inputs.append(index)
                continue
            }
            let decision = decide(input.event, subject: input.subject, indicators: input.indicators)
            let place: Int
            if let known = open[decision.fingerprint]?.first(where: {
                judgements[$0] == decision.decisions && accepts(plan[$0], sizes[$0], decision, input)
            }) {
                place = known
                plan[place].inputs.append(index)
                plan[place].events.append(index)
                add(decision.indicators, to: &plan[place].update)
                sizes[place] += input.size
            } else {
                place = plan.count
                plan.append(PlannedUpdate(update: update(from: decision), inputs: [index], events: [index]))
                sizes.append(input.size)
                judgements.append(decision.decisions)
                open[decision.fingerprint, default: []].removeAll {
                    plan[$0].update.kind != decision.kind || judgements[$0] == decision.decisions
                }
                open[decision.fingerprint, default: []].append(place)
            }
            seen[input.event.id] = place
        }
        for index in plan.indices {
            let events = plan[index].events
            describe(&plan[index].update, by: inputs[events[events.count - 1]].event)
            plan[index].update.id = updateID(plan[index].update, events.map { inputs[$0].event.id })
            plan[index].update.triagedAt = now
        }
        return plan
    }

    private func accepts(
        _ planned: PlannedUpdate, _ size: Int, _ decision: TriageDecision, _ input: TriageInput
    ) -> Bool {
        planned.update.kind == decision.kind && planned.update.disposition == decision.disposition
            && planned.events.count < limits.events && size + input.size <= limits.bytes
    }

    /// What is the same of all its events.
    private func update(from decision: TriageDecision) -> Tocsin_V1_AlertUpdate {
        .with {
            $0.fingerprint = decision.fingerprint
            $0.kind = decision.kind
            $0.disposition = decision.disposition
            $0.service = decision.service
            $0.severity = Tocsin_V1_Severity(rawValue: Int(decision.severity.rawValue)) ?? .info
            $0.impact = Tocsin_V1_Level(rawValue: Int(decision.impact.rawValue)) ?? .low
            $0.urgency = Tocsin_V1_Level(rawValue: Int(decision.urgency.rawValue)) ?? .low
            $0.priority = Tocsin_V1_Priority(rawValue: Int(decision.priority.rawValue)) ?? .unspecified
            $0.rule = decision.why
            $0.runbook = decision.runbook
            $0.category = decision.category
            $0.policy = version
            $0.decisions = decision.decisions.map(\.proto)
            $0.correlationKey = Self.shortened(decision.correlationKey)
            add(decision.indicators, to: &$0)
        }
    }

    /// Events that are judged alike may still name different addresses of one network.
    private func add(_ indicators: [Tocsin_V1_IndicatorMatch], to update: inout Tocsin_V1_AlertUpdate) {
        for indicator in indicators where update.indicators.count < Self.indicatorsMax && !update.indicators.contains(indicator) {
            update.indicators.append(indicator)
        }
    }

    /// What the latest event says for all.
    private func describe(_ update: inout Tocsin_V1_AlertUpdate, by event: Tocsin_V1_Event) {
        update.summary = Self.shortened(event.summary)
        update.source = Self.shortened(event.source)
        update.drill = event.drill
        if let category = event.labels["category"], !category.isEmpty { update.category = Self.shortened(category) }
        update.labels = labels(of: event, in: update)
    }

    /// The event's, and what triage knows besides, unless the event says it itself: the owner, and the first threat indicator, by
    /// which routes and silences may go.
    private func labels(of event: Tocsin_V1_Event, in update: Tocsin_V1_AlertUpdate) -> [String: String] {
        var labels = event.labels
        func add(_ name: String, _ value: String) { if !value.isEmpty, labels[name] == nil { labels[name] = value } }
        add("owner", owner(of: update.service))
        if let indicator = update.indicators.first {
            add("indicator.type", indicator.type)
            add("indicator.value", indicator.value)
        }
        func size(_ label: (key: String, value: String)) -> Int { label.key.utf8.count + label.value.utf8.count }
        guard labels.reduce(0, { $0 + size($1) }) > Self.labelBytesMax else { return labels }
        var kept: [String: String] = [:]
        var bytes = 0
        for label in labels.sorted(by: { $0.key < $1.key }) where bytes + size(label) <= Self.labelBytesMax {
            kept[label.key] = label.value
            bytes += size(label)
        }
        return kept
    }

    private static func shortened(_ summary: String) -> String {
        guard summary.utf8.count > summaryBytesMax else { return summary }
        // Cut between characters.
        var end = summary.utf8.index(summary.utf8.startIndex, offsetBy: summaryBytesMax - 3)
        while end.samePosition(in: summary.unicodeScalars) == nil { end = summary.utf8.index(before: end) }
        return summary[..<end] + "…"
    }
}
