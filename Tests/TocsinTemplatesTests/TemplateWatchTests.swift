import Testing
import TocsinTemplates

@Suite struct TemplateWatchTests {
    /// A log and its watch; time goes on by a look's length with each look.
    private struct World {
        var watch: TemplateWatch
        var nowMs: UInt64

        init(saved: TemplateWatch.Saved? = nil, nowMs: UInt64 = 1_700_000_000_000) {
            self.nowMs = nowMs
            watch = TemplateWatch(settling: .seconds(60), saved: saved)
            _ = watch.look(nowMs: nowMs, isBehind: false)
        }

        mutating func look(_ lines: [String], isBehind: Bool = false) -> [TemplateWatch.Finding] {
            for line in lines { watch.observe(Array(line.utf8).span) }
            nowMs += TemplateWatch.lookMs
            return watch.look(nowMs: nowMs, isBehind: isBehind)
        }

        /// Findings of `count` looks, each with as many lines of each text as `lines` says.
        mutating func looks(_ count: Int, _ lines: [String: Int]) -> [TemplateWatch.Finding] {
            var findings: [TemplateWatch.Finding] = []
            for number in 0..<count {
                findings += look(
                    lines.flatMap { text, count in (0..<count).map { "\(text) in \(number * 100 + $0) ms" } })
            }
            return findings
        }
    }

    @Test("A template that comes after the settling time is told once, with lines of it; none is told before")
    func newTemplates() {
        var world = World()
        #expect(world.looks(10, ["request served": 5]) == [])
        let found = world.look(["disk 7 of host is broken", "disk 8 of host is broken", "request served in 5 ms"])
        #expect(
            found.map { "\($0.kind) \($0.begins) \($0.template) \($0.lines)" } == ["new true disk <*> of host is broken 2"])
        #expect(found.first?.examples == ["disk 7 of host is broken", "disk 8 of host is broken"])
        #expect(world.look(["disk 9 of host is broken"]) == [])
    }

    @Test("Many more lines than ever before are a burst until they are as few again; what is usual is none")
    func bursts() {
        var world = World()
        #expect(world.looks(40, ["request served": 9, "cache missed": 40]) == [])
        #expect(world.looks(10, ["request served": 12, "cache missed": 50]) == [])
        let begin = world.looks(2, ["request served": 90, "cache missed": 40])
        #expect(begin.map { "\($0.kind) \($0.begins) \($0.template)" } == ["burst true request served in <*>"])
        #expect(begin.first.map { ($0.expected ?? 0) < 40 && $0.lines == 90 && $0.examples.count == 3 } == true)
        let end = world.looks(2, ["request served": 9, "cache missed": 40])
        #expect(end.map { "\($0.kind) \($0.begins) \($0.template)" } == ["burst false request served in <*>"])
    }

    @Test("While old lines are read at once nothing is called a burst")
    func behind() {
        var world = World()
        #expect(world.looks(40, ["request served": 9]) == [])
        #expect(world.look((0..<5000).map { "request served in \($0) ms" }, isBehind: true) == [])
    }

    @Test("A template that came regularly and stops is told, with the latest lines, and that it is there again too")
    func vanished() {
        var world = World()
        #expect(world.looks(40, ["heartbeat sent": 1, "request served": 3]) == [])
        let gone = world.looks(20, ["request served": 3])
        #expect(gone.map { "\($0.kind) \($0.begins) \($0.template)" } == ["vanished true heartbeat sent in <*>"])
        #expect(gone.first?.examples == ["heartbeat sent in 3900 ms"])
        let back = world.look(["heartbeat sent in 1 ms", "request served in 1 ms"])
        #expect(back.map { "\($0.kind) \($0.begins) \($0.template)" } == ["vanished false heartbeat sent in <*>"])
    }

    @Test("What is seldom or irregular does not vanish")
    func irregular() {
        var world = World()
        var findings: [TemplateWatch.Finding] = []
        for number in 0..<400 where number % 37 < 20 || number % 5 == 0 {
            findings += world.look(number % 37 < 20 ? ["backup of \(number) running"] : [])
        }
        #expect(findings == [])
    }

    @Test("A restart keeps what is known: nothing of it is new, its past tells bursts at once, and no pause is counted")
    func restart() throws {
        var world = World()
        _ = world.looks(50, ["request served": 9, "heartbeat sent": 1])
        let saved = try #require(world.watch.saved)
        var after = World(saved: saved, nowMs: world.nowMs + 3_600_000)
        #expect(after.looks(3, ["request served": 9, "heartbeat sent": 1]) == [])
        let found = after.look((0..<200).map { "request served in \($0) ms" } + ["disk is broken"])
        #expect(Set(found.map(\.kind)) == [.burst, .new])
    }

    @Test("However many templates are new at once, a few are told and the rest counted")
    func bound() {
        var world = World()
        _ = world.looks(10, ["request served": 5])
        // Each of its own skeleton.
        let found = world.look((1...60).map { String(repeating: "a=", count: $0) })
        #expect(found.count == 20)
        #expect(world.watch.untold == 40)
    }
}
