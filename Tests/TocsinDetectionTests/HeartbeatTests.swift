import Testing
import TocsinProto

@testable import TocsinDetection

/// Goal: what does not come is missed once, and what comes again is over, whatever of it is past. Method: a row of moments, written as
/// letters.
@Suite("Heartbeats")
struct HeartbeatTests {
    private static let start: UInt64 = 1_700_000_000_000

    private static func beat(_ name: String = "job", seconds: UInt64 = 10, failed: Bool = false) -> Tocsin_V1_Heartbeat {
        .with {
            $0.name = name
            $0.intervalMs = seconds * 1000
            $0.graceMs = 1000
            $0.failed = failed
        }
    }

    private static func table(_ expected: [HeartbeatCheck.Expected] = [], repeatSeconds: Int = 300) -> HeartbeatTable {
        HeartbeatTable(
            HeartbeatCheck(expected: expected), severity: "major", repeatAfter: .seconds(repeatSeconds), now: start)
    }

    /// A second passes from letter to letter: `b` a heartbeat, `f` one that says that the job failed, `e` that it ended, `.` nothing;
    /// every second is judged. Up to `past` letters are read from the log at the start. Answers `M` missed, `F` failed, `B` back.
    private static func notices(_ row: String, past: Int = 0, _ table: inout HeartbeatTable) -> String {
        var text = ""
        for (index, letter) in row.enumerated() {
            let now = start + UInt64(index) * 1000
            var notices: [HeartbeatTable.Notice] = []
            if letter != "." {
                var beat = beat(failed: letter == "f")
                beat.ended = letter == "e"
                notices += table.take(beat, sequence: UInt64(index + 1), at: now, isPast: index < past)
            }
            if index >= past { notices += table.judge(now) }
            let kinds = notices.map { notice in
                switch notice.kind {
                case .missed: "M"
                case .failed: "F"
                case .back: "B"
                }
            }
            text += kinds.isEmpty ? "-" : kinds.joined()
        }
        return text
    }

    @Test(
        "rows of heartbeats of every 10 s with a second of grace",
        arguments: [
            ("b..........b..........b", 0, "-----------------------"),
            ("b...............b...", 0, "------------M---B---"),
            ("bf..b", 0, "-F--B"),
            ("b............e.............", 0, "------------MB-------------"),
            ("b.e.................", 0, "--------------------"),
            // Read from the log: what was missed and is back is told to be over; what is missed now is missed.
            ("b.............b.....", 16, "----------------B---"),
            ("b.........b.........", 16, "--------------------"),
            ("b...................", 16, "----------------M---"),
            ("bf..................", 4, "----F---------------"),
            ("bfb.................", 5, "-----B--------M-----"),
        ])
    func rows(row: String, past: Int, expected: String) {
        var table = Self.table()
        #expect(Self.notices(row, past: past, &table) == expected)
    }

    @Test("what is expected and never comes is missed; it does not end; it is said again now and then")
    func expected() {
        var table = Self.table([.init(name: "job", every: .seconds(5), service: "db", severity: "critical")], repeatSeconds: 4)
        #expect(Self.notices("......................", &table) == "------M---M---M---M---")
        var other = Self.table([.init(name: "job", every: .seconds(5))])
        #expect(Self.notices("e.......", &other) == "------M-")
        var silent = Self.table()
        #expect(silent.take(Self.beat(seconds: 0), sequence: 1, at: Self.start, isPast: false).isEmpty)
        #expect(silent.judge(Self.start + 1_000_000).isEmpty)
    }

    @Test("what two detectors say of the same is the same to the hub")
    func identity() {
        var (first, second) = (Self.table(), Self.table())
        _ = first.take(Self.beat(), sequence: 7, at: Self.start, isPast: true)
        _ = second.take(Self.beat(), sequence: 7, at: Self.start + 300, isPast: false)
        let (one, other) = (first.judge(Self.start + 12_000), second.judge(Self.start + 12_000))
        #expect(one.map(\.identity) == ["missed|job|7|1"] && one.map(\.identity) == other.map(\.identity))
    }

    @Test("whether one was late is by what was said before it")
    func changed() {
        var table = Self.table()
        _ = table.take(Self.beat(seconds: 2), sequence: 1, at: Self.start, isPast: true)
        _ = table.take(Self.beat(seconds: 3600), sequence: 2, at: Self.start + 9_000, isPast: true)
        #expect(table.judge(Self.start + 10_000).map(\.kind) == [.back])
        #expect(table.judge(Self.start + 11_000).isEmpty)
    }

    @Test("a job that fails is told of though nobody said how often it comes; its end is of the service it was told of")
    func unplanned() {
        var table = Self.table()
        let failed = table.take(Self.beat(seconds: 0, failed: true), sequence: 1, at: Self.start, isPast: false)
        #expect(failed.map(\.kind) == [.failed] && table.judge(Self.start + 1_000_000_000).isEmpty)
        #expect(table.take(Self.beat(seconds: 0), sequence: 2, at: Self.start, isPast: false).map(\.kind) == [.back])
        var first = Self.beat()
        first.service = "shop"
        _ = table.take(first, sequence: 3, at: Self.start, isPast: false)
        #expect(table.judge(Self.start + 20_000).map(\.service) == ["shop"])
        var other = Self.beat()
        #expect(table.take(other, sequence: 4, at: Self.start + 21_000, isPast: false).map(\.service) == ["shop"])
        #expect(table.judge(Self.start + 50_000).map(\.service) == ["shop"])
        other.service = "bar"
        #expect(table.take(other, sequence: 5, at: Self.start + 51_000, isPast: false).map(\.service) == ["shop"])
    }

    @Test("time in which nothing could come is not counted")
    func forgiven() {
        var table = Self.table()
        _ = table.take(Self.beat(), sequence: 1, at: Self.start, isPast: false)
        table.forgive(600_000, now: Self.start + 605_000)
        #expect(table.judge(Self.start + 610_000).isEmpty && table.judge(Self.start + 612_000).map(\.kind) == [.missed])
        table.forgive(.max / 2, now: Self.start + 620_000)
    }

    @Test("there are so many names at most")
    func bounded() {
        var table = Self.table()
        for number in 0..<HeartbeatTable.namesMax + 5 {
            _ = table.take(Self.beat("n\(number)"), sequence: 1, at: Self.start, isPast: false)
        }
        #expect(table.left == 5 && table.judge(Self.start + 60_000).count == HeartbeatTable.namesMax)
    }
}
