import Logging
import TocsinAnomaly
import TocsinPosix
import TocsinSystem

/// Judges samples by the rules of a check. Pure but for what it remembers of series, which is bounded.
struct SeriesJudge: Sendable {
    /// So many pairs of a rule and a series are judged; those past it are counted.
    static let pairsMax = 2_000
    /// A series that was not among the samples for so many probes in a row is gone.
    static let missedMax = 3

    private struct Pair: Hashable {
        var rule: Int
        var series: Series
    }

    /// What is remembered of a pair.
    private struct Memory {
        var last: (value: Double, time: UInt64)?
        var detector: AnomalyDetector?
        var seenIn = 0
    }

    let rules: [SeriesRule]
    let severity: String
    private var memories: [Pair: Memory] = [:]
    /// When each rule last had a series, milliseconds since 1970.
    private var lastSeen: [UInt64?]
    private var round = 0
    /// Pairs there was no room for, in the last probe.
    private(set) var left = 0

    init(_ rules: [SeriesRule], severity: String) {
        self.rules = rules
        self.severity = severity
        lastSeen = rules.map { _ in nil }
    }

    /// What the samples of one probe say. `now`: milliseconds since 1970. `firing`: the aspects that are reported, of which some
    /// may be of series that are gone.
    mutating func judge(_ samples: [Sample], now: UInt64, firing: Set<String>) -> [Observation] {
        round += 1
        left = 0
        var observations: [Observation] = []
        var seen: Set<String> = []
        for sample in samples {
            for (index, rule) in rules.enumerated() where rule.series.matches(sample.series) {
                if !sample.isRepeated { lastSeen[index] = now }
                if case .absent = rule.condition { continue }
                let pair = Pair(rule: index, series: sample.series)
                guard memories[pair] != nil || memories.count < Self.pairsMax else {
                    left += 1
                    continue
                }
                memories[pair, default: Memory()].seenIn = round
                let aspect = Self.aspect(rule, sample.series)
                seen.insert(aspect)
                if let observation = judge(sample, pair, rule, aspect: aspect, now: now) { observations.append(observation) }
            }
        }
        for (index, rule) in rules.enumerated() {
            if case .absent(let limit) = rule.condition {
                observations.append(absence(rule, &lastSeen[index], limit: limit, now: now))
                seen.insert(rule.name)
            }
        }
        let gone = Set(memories.filter { round - $0.value.seenIn >= Self.missedMax }.map(\.key))
        for pair in gone { memories[pair] = nil }
        // What was reported, by this process or the one before, and is not measured any more. An exporter that has just started
        // may take some probes to tell of everything.
        if round >= Self.missedMax, !firing.isEmpty {
            let known = Set(memories.keys.map { Self.aspect(rules[$0.rule], $0.series) })
            for aspect in firing where !seen.contains(aspect) && !known.contains(aspect) && !aspect.isEmpty {
                observations.append(
                    Observation(
                        aspect: aspect, healthy: true, severity: severity, summary: "\(aspect) is not measured any more"))
            }
        }
        return observations
    }

    private static func aspect(_ rule: SeriesRule, _ series: Series) -> String {
        let labels = series.labels.map { "\($0.name)=\($0.value)" }.joined(separator: ",")
        // A pattern in the name stands for several series.
        let name = rule.series.description.contains("*") ? "/\(series.name)" : ""
        return labels.isEmpty ? rule.name + name : "\(rule.name)\(name)/\(labels)"
    }

    private mutating func judge(
        _ sample: Sample, _ pair: Pair, _ rule: SeriesRule, aspect: String, now: UInt64
    ) -> Observation? {
        let time = sample.time ?? now
        var value = sample.value
        if rule.isRate {
            defer { memories[pair]?.last = (sample.value, time) }
            guard let last = memories[pair]?.last, time > last.time else { return nil }
            // A counter that is less than it was began anew.
            let change = sample.value >= last.value ? sample.value - last.value : sample.value
            value = change / (Double(time - last.time) / 1000)
        }
        let what = rule.isRate ? "\(sample.series) a second" : "\(sample.series)"
        var observation = Observation(
            aspect: aspect, healthy: true, severity: rule.severity ?? severity, summary: "",
            details: ["series": "\(sample.series)", "value": Self.shown(value), "rule": rule.name])
        if let time = sample.time { observation.details["time_ms"] = "\(time)" }
        switch rule.condition {
        case .absent: return nil
        case .above(let limit, let clear):
            guard !value.isNaN else { return nil }
            (observation.healthy, observation.isBetween) = (value <= clear, value > clear && value <= limit)
            observation.summary = "\(what) is \(Self.shown(value)), the limit is \(Self.shown(limit))"
        case .below(let limit, let clear):
            guard !value.isNaN else { return nil }
            (observation.healthy, observation.isBetween) = (value >= clear, value < clear && value >= limit)
            observation.summary = "\(what) is \(Self.shown(value)), it is to be \(Self.shown(limit)) or more"
        case .anomaly(let threshold):
            var detector = memories[pair]?.detector ?? AnomalyDetector()
            // So that the detector is not copied when it changes.
            memories[pair]?.detector = nil
            let assessment = detector.observe(value, at: time)
            memories[pair]?.detector = detector
            // A score is given once for one happening; it is over when values are no longer rare.
            observation.healthy = assessment.score < threshold && assessment.rarity < threshold / 2
            observation.isBetween = assessment.score < threshold && !observation.healthy
            // The detector has weighed it against all that came before.
            observation.isHard = true
            observation.details["score"] = Self.shown(assessment.score)
            observation.details["reason"] = assessment.reason.rawValue
            if let expected = assessment.expected {
                observation.details["expected"] = "\(Self.shown(expected.lowerBound)) to \(Self.shown(expected.upperBound))"
            }
            let expected = observation.details["expected"].map { ", expected is \($0)" } ?? ""
            observation.summary =
                observation.healthy
                ? "\(what) is \(Self.shown(value)), as usual"
                : "\(what) is \(Self.shown(value))\(expected): unusual (\(assessment.reason.rawValue))"
        }
        return observation
    }

    private func absence(_ rule: SeriesRule, _ last: inout UInt64?, limit: Duration, now: UInt64) -> Observation {
        // What was never seen counts from the first look.
        let since = last ?? now
        if last == nil { last = now }
        let seconds = (now >= since ? now - since : 0) / 1000
        let isAbsent = seconds * 1000 >= UInt64(limit.milliseconds)
        return Observation(
            aspect: rule.name, healthy: !isAbsent, severity: rule.severity ?? severity,
            summary: isAbsent ? "there has been no \(rule.series) for \(seconds) s" : "there is \(rule.series)",
            details: ["series": rule.series.description, "rule": rule.name])
    }

    /// Six digits that matter.
    static func shown(_ value: Double) -> String {
        guard value.isFinite, value != 0 else { return "\(value)" }
        var digits = 0
        var scale = 1.0
        while abs(value) * scale < 100_000, digits < 9 {
            scale *= 10
            digits += 1
        }
        let rounded = (value * scale).rounded() / scale
        return rounded == rounded.rounded() && abs(rounded) < 1e15 ? "\(Int64(rounded))" : "\(rounded)"
    }
}

/// Takes samples from a source, and judges them.
struct MetricsProber: Prober {
    private var source: any SampleSource
    private var judge: SeriesJudge
    private let severity: String
    private var firing: Set<String> = []

    /// At most so many samples are taken of one probe.
    static let samplesMax = 100_000

    init(check: MetricsCheck, severity: String, timeout: Duration, pool: BlockingPool, logger: Logger) {
        self.severity = severity
        judge = SeriesJudge(check.rules, severity: severity)
        source =
            switch check.source {
            case .prometheus(let scrape):
                ScrapeSource(scrape: scrape, timeout: timeout, samplesMax: Self.samplesMax, pool: pool)
            case .statsd(let host, let port): StatsdSource(host: host, port: port, logger: logger)
            case .proc: ProcSource(pool: pool)
            case .csv(let replay): ReplaySource(replay: replay, samplesMax: Self.samplesMax, pool: pool)
            }
    }

    mutating func reported(_ aspects: Set<String>) { firing = aspects }

    mutating func probe() async throws -> [Observation] {
        let samples: [Sample]
        do { samples = try await source.samples() } catch let error as CancellationError {
            throw error
        } catch let error as BlockingPoolError {
            throw error
        } catch {
            return [Observation(healthy: false, severity: severity, summary: "\(error)")]
        }
        var observations = [Observation(healthy: true, severity: severity, summary: "\(samples.count) samples")]
        observations += judge.judge(samples, now: MachineClock.wall(), firing: firing)
        if judge.left > 0 {
            observations[0] = Observation(
                healthy: false, severity: "minor",
                summary: "\(judge.left) samples are not judged: rules match more than \(SeriesJudge.pairsMax) series; "
                    + "say which matter")
        }
        return observations
    }
}
