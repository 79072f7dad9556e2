import Synchronization
import TestSupport
import Testing
import TocsinKit
import TocsinPolicy
import TocsinProto

@testable import TocsinArchive

/// Goal: what really precedes incidents warns of them, chance does not, and nobody is warned twice. Method: the model on a year
/// that is made up, learnt week by week from what was before; the keeper on a store, with a hub made of a closure.
@Suite("Early warnings", .timeLimit(.minutes(5)))
struct PrecursorTests {
    private static let minute: UInt64 = 60_000
    private static let week: UInt64 = 7 * 86_400_000

    private static func beginning(_ time: UInt64, _ name: String) -> Precursors.Beginning {
        let kind = Precursors.Kind(service: name, summary: "slow")
        return Precursors.Beginning(time: time, kind: kind, fingerprint: name, summary: "slow")
    }

    private static func outbreak(_ time: UInt64, _ name: String) -> Precursors.Outbreak {
        let kind = Precursors.Kind(service: name, summary: "is down")
        return Precursors.Outbreak(number: time, time: time, kind: kind, service: name, title: "\(name) is down")
    }

    @Test("Of a year's incidents most that have a precursor are warned of, and few warnings are false")
    func year() {
        var random = SplitMix64.seeded()
        var beginnings: [Precursors.Beginning] = []
        var outbreaks: [Precursors.Outbreak] = []
        var preceded: Set<String> = []
        let end = 52 * Self.week
        // Precursors: 5 of 6 become an incident, 5 to 25 minutes later.
        for kind in 0..<10 {
            for _ in 0..<40 {
                let time = UInt64.random(in: 0..<end, using: &random)
                beginnings.append(Self.beginning(time, "early-\(kind)"))
                guard random.chance(5.0 / 6) else { continue }
                let outbreak = Self.outbreak(time + UInt64.random(in: 5...25, using: &random) * Self.minute, "shop-\(kind)")
                outbreaks.append(outbreak)
                preceded.insert("\(outbreak.service)/\(outbreak.time)")
            }
        }
        // Incidents out of the blue, and alerts that mean nothing: rare ones, and ones that come nearly all the time.
        for kind in 0..<20 {
            for _ in 0..<20 { outbreaks.append(Self.outbreak(UInt64.random(in: 0..<end, using: &random), "shop-\(kind)")) }
        }
        for kind in 0..<100 {
            for _ in 0..<(kind < 98 ? 30 : 3000) {
                beginnings.append(Self.beginning(UInt64.random(in: 0..<end, using: &random), "noise-\(kind)"))
            }
        }
        beginnings.sort { $0.time < $1.time }
        outbreaks.sort { $0.time < $1.time }
        let prediction = Prediction()
        var (warned, warnings, falseOnes): (Set<String>, Int, Int) = ([], 0, 0)
        for start in stride(from: 0, to: end, by: UInt64.Stride(Self.week)) {
            let known = Precursors(
                beginnings.filter { $0.time < start }, outbreaks.filter { $0.time < start }, prediction, now: start)
            for beginning in beginnings where beginning.time >= start && beginning.time < start + Self.week {
                for warning in known.warnings([beginning], open: [], now: beginning.time) {
                    warnings += 1
                    let next = outbreaks.first {
                        $0.kind == warning.latest.kind && $0.time > beginning.time && $0.time <= beginning.time + 30 * Self.minute
                    }
                    if let next { warned.insert("\(next.service)/\(next.time)") } else { falseOnes += 1 }
                }
            }
        }
        let told = warned.intersection(preceded).count
        print(
            "a year: \(told) of \(preceded.count) incidents with a precursor warned of; \(falseOnes) of \(warnings) warnings false"
        )
        #expect(told * 10 >= preceded.count * 6)
        #expect(falseOnes * 4 <= warnings)
    }

    @Test("Fewer than the support, an alert of the incident itself, or one that comes all the time warn of nothing")
    func nothing() {
        let day: UInt64 = 86_400_000
        func known(_ days: Range<UInt64>, own: Set<String> = [], every: UInt64 = day, support: Int = 3) -> Int {
            let times = days.map { $0 * every }
            let outbreaks = times.map { time in
                var outbreak = Self.outbreak(time + 10 * Self.minute, "shop")
                outbreak.alerts = own
                return outbreak
            }
            let beginnings = times.map { Self.beginning($0, "db") }
            return Precursors(beginnings, outbreaks, Prediction(support: support), now: 1000 * day).count
        }
        #expect(known(1..<4) == 1)
        #expect(known(1..<3) == 0)
        #expect(known(1..<4, support: 4) == 0)
        #expect(known(1..<4, own: ["db"]) == 0)
        #expect(known(1..<100, every: 40 * Self.minute) == 0)
    }

    @Test("The lower bound is Wilson's")
    func bound() {
        #expect(abs(Precursors.lowerBound(3, of: 3) - 0.5258) < 0.001)
        #expect(abs(Precursors.lowerBound(8, of: 10) - 0.5408) < 0.002)
        #expect(Precursors.lowerBound(0, of: 0) == 0 && Precursors.lowerBound(0, of: 9) < 1e-12)
    }

    // MARK: - The keeper

    private final class Hub: Sendable {
        let messages = Mutex<[Message]>([])

        func publish(_ news: [Message]) { messages.withLock { $0 += news } }

        /// What came since it was last asked.
        func take() throws -> [Tocsin_V1_Event] {
            try messages.withLock { messages in
                defer { messages = [] }
                return try messages.map { try $0.decode() }
            }
        }
    }

    private static let days: UInt64 = 2 * 86_400

    /// Four times the database was slow, and 10 minutes later the shop was down; then the database is slow again.
    private static func archive() async throws -> TestArchive {
        let archive = try TestArchive()
        for round in 0...4 as ClosedRange<UInt64> {
            let at = round * days
            var items = [update("p", ["p\(round)"], at: at, service: "db")]
            if round < 4 {
                items += [
                    update("f", ["f\(round)"], at: at + 600, service: "shop"),
                    update("f", ["g\(round)"], .resolve, at: at + 700, service: "shop"),
                    update("p", ["q\(round)"], .resolve, at: at + 800, service: "db"),
                ]
            }
            try await archive.apply(items.map { .alert($0) }, from: round * 10 + 1)
        }
        return archive
    }

    /// So many seconds after the database became slow for the fifth time.
    private static func time(_ seconds: UInt64) -> UInt64 { TestArchive.start + (4 * days + seconds) * 1000 }

    /// As the archive gets to know of the event.
    private static func apply(_ event: Tocsin_V1_Event, to archive: TestArchive, from sequence: UInt64) async throws {
        var warning = update("w", [event.id], event.kind, .minor, at: 4 * days + 20, service: event.service)
        (warning.source, warning.labels, warning.summary) = (event.source, event.labels, event.summary)
        try await archive.apply([.alert(warning)], from: sequence)
    }

    @Test("An alert that preceded past incidents warns once, also of an archiver that starts anew, and the warning ends with it")
    func warnsOnce() async throws {
        let archive = try await Self.archive()
        let hub = Hub()
        let keeper = PredictionKeeper(store: archive.store, logger: .silent) { hub.publish($0) }
        var memory = PredictionKeeper.Memory()
        try await keeper.step(&memory, now: Self.time(30))
        let event = try #require(try hub.take().first)
        #expect(event.kind == .trigger && event.service == "shop" && event.severityHint == "minor")
        #expect(event.summary == "May become: shop is down: 4 of 4 times within 10 min after db is down")
        #expect(event.details["precursor"] == "p" && event.details["followed"] == "4")
        try await keeper.step(&memory, now: Self.time(40))
        #expect(try hub.take().isEmpty)
        var fresh = PredictionKeeper.Memory()
        try await keeper.step(&fresh, now: Self.time(30))
        #expect(try hub.take().map(\.id) == [event.id])
        try await Self.apply(event, to: archive, from: 100)
        fresh = PredictionKeeper.Memory()
        try await keeper.step(&fresh, now: Self.time(50))
        #expect(try hub.take().isEmpty)
        try await archive.apply([.alert(update("p", ["over"], .resolve, at: 4 * Self.days + 60, service: "db"))], from: 110)
        try await keeper.step(&fresh, now: Self.time(70))
        let end = try #require(try hub.take().first)
        #expect(end.kind == .resolve && end.dedupKey == event.dedupKey && end.service == event.service && end.id != event.id)
        try await Self.apply(end, to: archive, from: 120)
        try await keeper.step(&fresh, now: Self.time(80))
        #expect(try hub.take().isEmpty)
    }

    @Test("A warning ends when the incident comes, and when the window is over")
    func ends() async throws {
        for comes in [true, false] {
            let archive = try await Self.archive()
            let hub = Hub()
            let keeper = PredictionKeeper(store: archive.store, logger: .silent) { hub.publish($0) }
            var memory = PredictionKeeper.Memory()
            try await keeper.step(&memory, now: Self.time(30))
            try await Self.apply(try #require(try hub.take().first), to: archive, from: 100)
            if comes {
                let shop = update("f", ["comes"], at: 4 * Self.days + 600, service: "shop")
                try await archive.apply([.alert(shop)], from: 110)
            }
            try await keeper.step(&memory, now: Self.time(comes ? 610 : 1900))
            let ends = try hub.take()
            #expect(ends.map(\.kind) == [.resolve])
            #expect(ends.first?.summary == "No more to be feared: it has " + (comes ? "come" : "not come"))
        }
    }

    @Test("Nobody is warned where the policy has no prediction")
    func off() async throws {
        let archive = try await Self.archive()
        let hub = Hub()
        try await archive.store.use(Policy(prediction: nil), now: Self.time(10))
        let keeper = PredictionKeeper(store: archive.store, logger: .silent) { hub.publish($0) }
        var memory = PredictionKeeper.Memory()
        try await keeper.step(&memory, now: Self.time(30))
        #expect(try hub.take().isEmpty)
    }
}
