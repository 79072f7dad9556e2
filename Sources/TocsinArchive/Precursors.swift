import Crypto
import Glibc
import TocsinPolicy
import TocsinText

/// Which alerts preceded the incidents of the past, and so warn of the next. A pure value, made of a history; times are milliseconds
/// since 1970.
///
/// An alert kind is counted by episodes: one that begins again within the window is the same episode. It warns of an incident kind if
/// so many of its episodes were followed by one within the window that the lower bound of that share (Wilson, "Probable inference, the
/// law of succession, and statistical inference", 1927; 90 %) reaches the threshold, and twice what chance alone would give.
struct Precursors: Sendable {
    /// Alerts, or incidents, of one service that say the same but for numbers and identifiers. The same in every process.
    struct Kind: Hashable, Sendable {
        let hash: UInt64

        /// `summary`: without names of people.
        init(service: String, summary: String) {
            var bytes = Array(service.utf8) + [0]
            for term in TextTerms(summary).terms where term.kind == .word {
                withUnsafeBytes(of: term.hash.littleEndian) { bytes += $0 }
            }
            hash = SHA256.hash(data: bytes).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    /// An alert began.
    struct Beginning: Sendable, Equatable {
        var time: UInt64
        var kind: Kind
        var fingerprint: String
        var summary = ""
    }

    /// An incident began.
    struct Outbreak: Sendable, Equatable {
        var number: UInt64
        var time: UInt64
        var kind: Kind
        var service: String
        var title: String
        /// Its own, which are no precursors of it.
        var alerts: Set<String> = []
    }

    struct Warning: Sendable, Equatable {
        var precursor: Beginning
        /// The latest of the kind that may be next.
        var latest: Outbreak
        /// So many episodes of so many were followed by it.
        var followed: Int
        var episodes: Int
        /// The lower bound of that share.
        var bound: Double
        /// How long before the incident, the median, in milliseconds.
        var lead: UInt64
    }

    private struct Pair: Hashable {
        var precursor: Kind
        var incident: Kind
    }

    private struct Tally {
        var followed = 0
        var lastEpisode = -1
        var leads: [UInt64] = []
    }

    /// What is known of one incident kind, by one precursor.
    private struct Rule {
        var latest: Outbreak
        var followed: Int
        var episodes: Int
        var bound: Double
        var lead: UInt64
    }

    private static let pairsMax = 200_000
    private static let episodesBefore = 256
    private static let leadsMax = 64

    private let window: UInt64
    private var rules: [Kind: [Rule]] = [:]

    /// How many pairs of a precursor and an incident kind are known that warn.
    var count: Int { rules.values.reduce(0) { $0 + $1.count } }

    /// Knows nothing.
    init() { window = 0 }

    /// `beginnings` and `outbreaks` in any order. What began so late that it may still be followed by something teaches nothing.
    init(_ beginnings: [Beginning], _ outbreaks: [Outbreak], _ prediction: Prediction, now: UInt64) {
        let window = ArchivePolicy.milliseconds(prediction.window)
        self.window = window
        var episodes: [Beginning] = []
        var lastOf: [Kind: UInt64] = [:]
        var countOf: [Kind: Int] = [:]
        for beginning in beginnings.sorted(by: { $0.time < $1.time }) where beginning.time + window <= now {
            if let last = lastOf[beginning.kind], beginning.time < last + window { continue }
            lastOf[beginning.kind] = beginning.time
            countOf[beginning.kind, default: 0] += 1
            episodes.append(beginning)
        }
        var latest: [Kind: Outbreak] = [:]
        var outbreaksOf: [Kind: Int] = [:]
        var tallies: [Pair: Tally] = [:]
        // The latest first: beyond the bound what is oldest is left out.
        for outbreak in outbreaks.sorted(by: { $0.time > $1.time }) {
            if latest[outbreak.kind] == nil { latest[outbreak.kind] = outbreak }
            outbreaksOf[outbreak.kind, default: 0] += 1
            var index = Self.firstIndex(in: episodes, at: outbreak.time)
            var left = Self.episodesBefore
            while index > 0, left > 0, episodes[index - 1].time + window >= outbreak.time {
                (index, left) = (index - 1, left - 1)
                let episode = episodes[index]
                if episode.kind == outbreak.kind || outbreak.alerts.contains(episode.fingerprint) { continue }
                let pair = Pair(precursor: episode.kind, incident: outbreak.kind)
                var tally = tallies[pair] ?? Tally()
                if tally.followed == 0, tallies.count >= Self.pairsMax { continue }
                if tally.lastEpisode == index { continue }
                tally.followed += 1
                tally.lastEpisode = index
                if tally.leads.count < Self.leadsMax { tally.leads.append(outbreak.time - episode.time) }
                tallies[pair] = tally
            }
        }
        let times = episodes.map(\.time) + outbreaks.map(\.time)
        let span = Double(max((times.max() ?? 0) - (times.min() ?? 0), window, 1))
        for (pair, tally) in tallies where tally.followed >= prediction.support {
            guard let episodes = countOf[pair.precursor], let latest = latest[pair.incident] else { continue }
            let bound = Self.lowerBound(tally.followed, of: episodes)
            let chance = min(1, Double(outbreaksOf[pair.incident] ?? 0) * Double(window) / span)
            guard bound >= prediction.threshold, bound >= 2 * chance else { continue }
            let leads = tally.leads.sorted()
            rules[pair.precursor, default: []].append(
                Rule(
                    latest: latest, followed: tally.followed, episodes: episodes, bound: bound, lead: leads[leads.count / 2]))
        }
    }

    /// What is to be feared of alerts that fire, at most one warning for each kind of incident: the surest. `open`: kinds of incidents
    /// that are there already.
    func warnings(_ firing: [Beginning], open: Set<Kind>, now: UInt64) -> [Warning] {
        var best: [Kind: Warning] = [:]
        for beginning in firing where beginning.time <= now && now < beginning.time + window {
            for rule in rules[beginning.kind] ?? [] where !open.contains(rule.latest.kind) {
                let warning = Warning(
                    precursor: beginning, latest: rule.latest, followed: rule.followed, episodes: rule.episodes,
                    bound: rule.bound, lead: rule.lead)
                if let known = best[rule.latest.kind],
                    (known.bound, beginning.time, known.precursor.fingerprint)
                        >= (rule.bound, known.precursor.time, beginning.fingerprint)
                {
                    continue
                }
                best[rule.latest.kind] = warning
            }
        }
        return best.values.sorted { $0.latest.kind.hash < $1.latest.kind.hash }
    }

    /// The first that begins at `time` or later.
    private static func firstIndex(in episodes: [Beginning], at time: UInt64) -> Int {
        var (low, high) = (0, episodes.count)
        while low < high {
            let middle = (low + high) / 2
            if episodes[middle].time < time { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Of the share of which `count` of `total` were seen.
    static func lowerBound(_ count: Int, of total: Int) -> Double {
        guard total > 0 else { return 0 }
        let (n, share, z) = (Double(total), Double(min(count, total)) / Double(total), 1.6449)
        let spread = z * sqrt((share * (1 - share) + z * z / (4 * n)) / n)
        return max(0, (share + z * z / (2 * n) - spread) / (1 + z * z / n))
    }
}
