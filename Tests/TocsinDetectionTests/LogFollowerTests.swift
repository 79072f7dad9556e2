import Glibc
import TestSupport
import Testing
import TocsinKit
import TocsinPosix
import TocsinProto
import TocsinSystem
import TocsinWire

@testable import TocsinDetection

/// Goal: every line of a log becomes one event, whatever happens to the file or to the detector; what is read twice has the
/// same id. Method: real files, a clock of the test's own; at last, random histories.
@Suite("Following logs", .timeLimit(.minutes(2)))
struct LogFollowerTests {
    @Test("lines are events as they are completed, with their place and the check's identity")
    func append() throws {
        let world = try LogWorld()
        #expect(try world.look().isEmpty)
        try world.append("one\ntwo\r\n\nthree")
        let first = try world.look()
        #expect(try LogWorld.summaries(first) == ["one", "two", ""])
        #expect(try world.look().isEmpty, "an unfinished line waits")
        try world.append(" and a half\n")
        let second = try world.look()
        #expect(try LogWorld.summaries(second) == ["three and a half"])

        let event = try #require(try LogWorld.events(first).last)
        #expect(event.source == "log:app" && event.service == "shop" && event.severityHint == "major")
        #expect(event.kind == .trigger && event.dedupKey.isEmpty && event.observedAt > 0)
        #expect(event.labels["check"] == "app" && event.labels["env"] == "test" && event.labels["host"]?.isEmpty == false)
        #expect(event.details["offset"] == "9" && event.details["detector"] == "d")
        #expect(first[0].subject == "event.log.app" && first[0].severity == .major && first[0].key.isEmpty)
        let ids = (first + second).map(\.id)
        #expect(Set(ids).count == 4 && ids.allSatisfy { $0.count <= Limits.idBytes })
        #expect(ids.map(\.utf8) == (try LogWorld.events(first + second).map(\.id)))
    }

    @Test("a log that was never followed is taken from its end, or from its start where that is wanted")
    func start() throws {
        let fromEnd = try LogWorld(fromStart: false) { try $0.append("old\nold and unfinished") }
        try fromEnd.append(", now finished\nnew\n")
        #expect(try LogWorld.summaries(try fromEnd.look()) == ["old and unfinished, now finished", "new"])
        let fromStart = try LogWorld(fromStart: true) { try $0.append("old\n") }
        #expect(try LogWorld.summaries(try fromStart.look()) == ["old"])
        // One that appears later is new as a whole.
        let later = try LogWorld(fromStart: false)
        #expect(try later.look().isEmpty)
        try later.restart()
        try later.append("first\n")
        #expect(try LogWorld.summaries(try later.look()) == ["first"])
    }

    @Test("a restart goes on where the position was saved; what is read again has the same ids")
    func restart() throws {
        let world = try LogWorld()
        try world.append("a\nb\n")
        #expect(try world.look().count == 2)
        try world.restart()
        #expect(try world.look().isEmpty, "saved, so not repeated")
        try world.append("c\nd\n")
        let unsaved = try world.look(save: false)
        try world.append("e\n")
        try world.restart()
        let again = try world.look()
        #expect(try LogWorld.summaries(again) == ["c", "d", "e"])
        #expect(again.prefix(2).map(\.id) == unsaved.map(\.id))
    }

    @Test("a rotated file is read to its end, late writes included, before its successor")
    func rotation() throws {
        let world = try LogWorld()
        try world.append("1\n")
        #expect(try world.look().count == 1)
        try world.append("2\n")
        try world.rotate()
        #expect(try LogWorld.summaries(try world.look()) == ["2"])
        try world.append("4\n")
        #expect(try world.look().isEmpty, "the successor waits")
        world.pass(.milliseconds(500))
        try world.append("3, late\nunfinished for ever", to: world.log + ".1")
        #expect(try LogWorld.summaries(try world.look()) == ["3, late"])
        world.pass(.milliseconds(900))
        #expect(try world.look().isEmpty, "not quiet for long enough yet")
        #expect(try LogWorld.summaries(try world.drain()) == ["unfinished for ever", "4"])
    }

    @Test("rotations while the detector was away lose nothing")
    func rotationsAway() throws {
        let world = try LogWorld()
        try world.append("1\n2\n")
        #expect(try world.look().count == 2)
        for number in 3...6 {
            try world.append("\(number)\n")
            try world.rotate()
        }
        try world.append("7\n")
        try world.restart()
        #expect(try LogWorld.summaries(try world.drain()) == ["3", "4", "5", "6", "7"])
        try world.restart()
        #expect(try world.drain().isEmpty)
    }

    @Test("a file that is copied and truncated is read to its end from the copy")
    func copyTruncate() throws {
        let world = try LogWorld()
        try world.append("1\n2\n")
        #expect(try world.look().count == 2)
        try world.append("3\n")
        try world.copyAndTruncate()
        try world.append("4\n")
        #expect(try LogWorld.summaries(try world.drain()) == ["3", "4"])
        // And when nothing was left to read in it, but in the next copy.
        try world.copyAndTruncate()
        try world.append("5\n")
        try world.copyAndTruncate()
        try world.append("6 is longer than all before it\n")
        #expect(try LogWorld.summaries(try world.drain()) == ["5", "6 is longer than all before it"])
        // Truncated without a copy.
        truncate(world.log)
        try world.append("7\n")
        #expect(try LogWorld.summaries(try world.drain()) == ["7"])
    }

    private func truncate(_ path: String) { #expect(Glibc.truncate(path, 0) == 0) }

    @Test("the same text at the same place of another content is another event")
    func generations() throws {
        let world = try LogWorld()
        try world.append("same\n")
        let first = try world.drain()
        truncate(world.log)
        #expect(try world.drain().isEmpty)
        try world.append("same\n")
        let second = try world.drain()
        try world.rotate()
        try world.append("same\n")
        let third = try world.drain()
        #expect(first.count == 1 && second.count == 1 && third.count == 1)
        #expect(Set((first + second + third).map(\.id)).count == 3)
    }

    @Test("a line longer than the limit is cut and is one event")
    func longLines() throws {
        let world = try LogWorld()
        let long = String(repeating: "x", count: 300_000)
        try world.append("before\n" + long)
        var seen = try world.drain()
        try world.append(long + "\nafter\n" + String(repeating: "y", count: 600) + "\n")
        seen += try world.drain()
        let events = try LogWorld.events(seen)
        #expect(
            events.map(\.summary) == ["before", String(repeating: "x", count: 512), "after", String(repeating: "y", count: 512)])
        #expect(events[1].details["line"]?.utf8.count == LogTail.lineLimit && events[1].details["truncated"] == "true")
        #expect(events[3].details["line"]?.count == 600 && events[3].details["truncated"] == nil)
        #expect(seen.allSatisfy { $0.payload.count < Limits.messageBytes })
    }

    @Test("a line that is cut within a restart is still one event")
    func longLineRestart() throws {
        let world = try LogWorld()
        try world.append(String(repeating: "x", count: 100_000))
        #expect(try world.look().count == 1)
        try world.restart()
        try world.append(String(repeating: "x", count: 100_000) + "\nafter\n")
        #expect(try LogWorld.summaries(try world.drain()) == ["after"])
    }

    @Test("bytes that are not text become text")
    func binary() throws {
        let world = try LogWorld(patterns: [LogPattern(contains: "bad"), LogPattern(regex: "w.rse")])
        try world.append([0xFF, 0x00, 0xFE] + Array("bad ".utf8) + [0x80, 0x0A, 0xC3, 0x0A])
        try world.append([0xF0, 0x9F] + Array("w".utf8) + [0xE9] + Array("rse\n".utf8))
        let events = try LogWorld.events(try world.drain())
        #expect(events.map(\.summary) == ["\u{FFFD}\0\u{FFFD}bad \u{FFFD}", "\u{FFFD}w\u{FFFD}rse"])
        #expect(events.map { $0.details["not_utf8"] } == ["true", "true"])
        // One that is text, but cut within a character.
        try world.append(Array(String(repeating: "bad \u{20AC}", count: 20_000).utf8) + [0x0A])
        let long = try LogWorld.events(try world.drain())
        #expect(long.map { $0.details["not_utf8"] } == [nil] && long.first?.details["truncated"] == "true")
    }

    @Test("templates that are new are events once the log has settled, also after a restart, and with the same id if told again")
    func templates() throws {
        let world = try LogWorld(templates: TemplateCheck(severity: "warning", settling: .seconds(30)))
        var seen: [Message] = []
        func settle() throws {
            for number in 0..<6 {
                try world.append("request \(number) served\n")
                seen += try world.look()
                world.pass(.seconds(10))
            }
        }
        try settle()
        #expect(seen.isEmpty, "no line is an event, and no template is new yet")
        try world.append("disk 1 is broken\ndisk 2 is broken\n")
        let unsaved = try world.look(save: false)
        try world.restart()
        _ = try world.look(save: false)
        world.pass(.seconds(10))
        let again = try world.look()
        #expect(unsaved.map(\.id) == again.map(\.id))
        let event = try #require(try LogWorld.events(again).first)
        #expect(again.count == 1 && event.summary == "new in the log: disk <*> is broken" && event.kind == .trigger)
        #expect(event.severityHint == "warning" && event.service == "shop" && event.labels["finding"] == "new")
        #expect(event.details["template"] == "disk <*> is broken" && event.details["lines"] == "2")
        #expect(event.details["example_1"] == "disk 1 is broken" && event.details["example_2"] == "disk 2 is broken")
        #expect(event.dedupKey.contains("/app/new/") && event.details["example_3"] == nil)
        try world.restart()
        try settle()
        #expect(seen.isEmpty, "what was known before the restart is not new")
    }

    @Test("a large file without a match gives way to others")
    func bounded() throws {
        let world = try LogWorld(patterns: [LogPattern(contains: "needle")])
        let chunk = Array(String(repeating: String(repeating: "hay ", count: 255) + "hay\n", count: 1024).utf8)
        for _ in 0..<20 { try world.append(chunk) }
        try world.append("needle\n")
        #expect(try world.look().isEmpty, "16 MiB at a time")
        #expect(try LogWorld.summaries(try world.look()) == ["needle"])
    }

    @Test("a state file that is damaged is said and begun anew")
    func damagedState() throws {
        let world = try LogWorld()
        try world.append("a\n")
        #expect(try world.look().count == 1)
        try WholeFile.replace("\(world.folder.path)/log.d.app.state", with: Array("{]".utf8))
        try world.restart()
        #expect(try world.drain().count == 1)
    }

    @Test("random histories of writing, rotating, truncating, crashing: no line is lost, none comes under two ids")
    func histories() throws {
        var random = SplitMix64.seeded()
        for _ in 0..<200 {
            let seed = random.next()
            try history(seed)
        }
    }

    private func history(_ seed: UInt64) throws {
        var random = SplitMix64(state: seed)
        let world = try LogWorld()
        var written: [String] = []
        /// Ids under which each line came.
        var seen: [String: Set<String>] = [:]
        var story: [String] = []
        // What was rotated away before the first look is from before the log was followed.
        #expect(try world.look().isEmpty)
        func take(_ messages: [Tocsin_V1_Event]) { for event in messages { seen[event.summary, default: []].insert(event.id) } }
        func line() -> String {
            let pad = Int.random(in: 0...9, using: &random) == 0 ? Int.random(in: 0...3000, using: &random) : 0
            let text = "line \(written.count) " + String(repeating: "p", count: pad % 400)
            written.append(text)
            return text
        }
        for _ in 0..<Int.random(in: 5...60, using: &random) {
            switch Int.random(in: 0..<12, using: &random) {
            case 0...3:
                let lines = (0..<Int.random(in: 1...5, using: &random)).map { _ in line() }
                // Sometimes in two pieces, with a look between.
                let text = lines.joined(separator: "\n") + "\n"
                let cut = text.index(text.startIndex, offsetBy: Int.random(in: 0..<text.count, using: &random))
                try world.append(String(text[..<cut]))
                if random.next() % 2 == 0 { take(try LogWorld.events(try world.look())) }
                try world.append(String(text[cut...]))
                story.append("write \(lines.count)")
            case 4:
                try world.rotate()
                story.append("rotate")
                if random.next() % 2 == 0, world.exists(world.log + ".1") {
                    take(try LogWorld.events(try world.look()))
                    try world.append(line() + "\n", to: world.log + ".1")
                    story.append("late write")
                }
                // The writer opens the new file before it says anything.
                try world.append("")
            case 5:
                try world.copyAndTruncate()
                story.append("copytruncate")
            case 6:
                try world.restart()
                story.append("restart")
            case 7:
                // A crash after some events went out and before the position was saved.
                let events = try LogWorld.events(try world.look(save: false))
                if random.next() % 2 == 0 { take(events) }
                try world.restart()
                story.append("crash")
            case 8: world.pass(.milliseconds(600))
            default:
                take(try LogWorld.events(try world.look()))
                story.append("look")
            }
        }
        take(try LogWorld.events(try world.drain()))
        let text = "seed \(seed): \(story.joined(separator: ", "))"
        let lost = written.filter { seen[$0] == nil }
        #expect(lost.isEmpty, "lost \(lost.map { $0.prefix(12) }); \(text)")
        let twice = seen.filter { $0.value.count > 1 }.map(\.key)
        #expect(twice.isEmpty, "under two ids \(twice.map { $0.prefix(12) }); \(text)")
        #expect(Set(seen.keys).isSubset(of: written), "\(Set(seen.keys).subtracting(written).map { $0.prefix(12) }); \(text)")
    }
}
