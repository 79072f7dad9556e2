import FoundationEssentials
import Glibc
import TestSupport
import Testing

@testable import TocsinResponse

@Suite("The ledger of runs", .timeLimit(.minutes(2)))
struct LedgerTests {
    private static let entries: [LedgerEntry] = [
        .runStarted(run: "incident/1/1/a", steps: ["one", "two"], time: 10),
        .stepStarted(run: "incident/1/1/a", step: 0),
        .notified(
            notification: "incident/1/1/ops",
            NotificationOutcome(delivered: true, text: "told \"é\"\n/\u{1}", time: 11)),
        .stepFinished(run: "incident/1/1/a", step: 0, StepOutcome(succeeded: true, text: "done", time: 12)),
        .stepStarted(run: "incident/1/1/a", step: 1),
        .stepFinished(run: "incident/1/1/a", step: 1, StepOutcome(succeeded: false, text: "exit code 1", time: 13)),
        .runFinished(run: "incident/1/1/a", RunEnd(succeeded: false, mitigated: false, text: "why", time: 14)),
        .runStarted(run: "incident/2/1/a", steps: ["one"], time: 15),
        .stepStarted(run: "incident/2/1/a", step: 0),
        .runReported(run: "incident/1/1/a"),
    ]

    private func state(after count: Int) -> LedgerState {
        var state = LedgerState()
        for entry in Self.entries.prefix(count) { state.apply(entry) }
        return state
    }

    private func open(_ folder: TemporaryFolder) async throws -> Ledger {
        try await Ledger.open(directory: folder.path, name: "r", logger: quiet)
    }

    private func expect(_ ledger: Ledger, holds state: LedgerState, _ comment: Comment) {
        for run in ["incident/1/1/a", "incident/2/1/a"] {
            #expect(ledger.run(run) == state.runs[run]?.value, comment)
        }
        #expect(ledger.notification("incident/1/1/ops") == state.notifications["incident/1/1/ops"]?.value, comment)
    }

    @Test("what was recorded is there after a restart")
    func restart() async throws {
        let folder = try TemporaryFolder()
        for (index, entry) in Self.entries.enumerated() {
            let ledger = try await open(folder)
            try await ledger.record(entry)
            expect(ledger, holds: state(after: index + 1), "after entry \(index)")
            try await ledger.close()
        }
        let ledger = try await open(folder)
        expect(ledger, holds: state(after: Self.entries.count), "at the end")
        #expect(ledger.run("incident/2/1/a")?.stepIsOpen == true)
    }

    /// Goal: whatever part of the last write reached the disk, everything before it is known and the ledger goes on.
    /// Method: the file of a whole history, cut around each border of two lines and at some of the bytes between (each opening
    /// and closing syncs), also with zeros in place of what is missing.
    @Test("a file cut at any byte holds all complete lines, and can be continued", arguments: [0, 40])
    func torn(zeros: Int) async throws {
        let lines = try Self.entries.map { try LedgerLine.encode($0) }
        let bytes = lines.flatMap { $0 }
        var ends = [0]
        for line in lines { ends.append((ends.last ?? 0) + line.count) }
        let folder = try TemporaryFolder()
        let file = URL(filePath: folder.path + "/r.ledger")
        let more = LedgerEntry.notified(
            notification: "later", NotificationOutcome(delivered: true, text: "", time: 1))
        var random = SplitMix64.seeded()
        var cuts = Set(ends.flatMap { [$0 - 1, $0, $0 + 1] }.filter { (0...bytes.count).contains($0) })
        for _ in 0..<20 { cuts.insert(Int.random(in: 0...bytes.count, using: &random)) }
        for cut in cuts.sorted() {
            try Data(bytes.prefix(cut) + [UInt8](repeating: 0, count: zeros)).write(to: file)
            let whole = ends.lastIndex { $0 <= cut } ?? 0
            let ledger = try await open(folder)
            expect(ledger, holds: state(after: whole), "cut at \(cut)")
            try await ledger.record(more)
            try await ledger.close()
            let again = try await open(folder)
            expect(again, holds: state(after: whole), "cut at \(cut), continued")
            #expect(again.notification("later") != nil)
            try await again.close()
        }
    }

    @Test("damage before the end is refused, not guessed at")
    func damaged() async throws {
        let folder = try TemporaryFolder()
        var bytes = try Self.entries.flatMap { try LedgerLine.encode($0) }
        bytes[30] ^= 1
        try Data(bytes).write(to: URL(filePath: folder.path + "/r.ledger"))
        await #expect {
            _ = try await open(folder)
        } throws: {
            "\($0)".contains("damaged before line 2")
        }
    }

    @Test("two running responders cannot share a ledger")
    func locked() async throws {
        let folder = try TemporaryFolder()
        let ledger = try await open(folder)
        await #expect {
            _ = try await open(folder)
        } throws: {
            "\($0)".contains("used by another responder")
        }
        try await ledger.close()
        let next = try await open(folder)
        try await next.close()
        await #expect(throws: LedgerError.self) { try await next.record(Self.entries[0]) }
    }

    @Test("a folder that cannot be made is named")
    func noFolder() async throws {
        await #expect {
            _ = try await Ledger.open(directory: "/dev/null/x", name: "r", logger: quiet)
        } throws: {
            "\($0)".contains("/dev/null/x cannot be created")
        }
    }

    @Test("the file stays small, and forgets reported runs first")
    func compaction() async throws {
        let folder = try TemporaryFolder()
        let ledger = try await open(folder)
        try await ledger.record(.runStarted(run: "open", steps: ["one"], time: 1))
        try await ledger.record(.stepStarted(run: "open", step: 0))
        let text = String(repeating: "x", count: 8_000)
        var largest = 0
        for number in 0..<200 {
            let run = "run-\(number)"
            try await ledger.record(.runStarted(run: run, steps: ["one"], time: 1))
            try await ledger.record(
                .stepFinished(run: run, step: 0, StepOutcome(succeeded: true, text: text, time: 1)))
            try await ledger.record(.runReported(run: run))
            var info = stat()
            stat(folder.path + "/r.ledger", &info)
            largest = max(largest, Int(info.st_size))
        }
        #expect(largest < 400 << 10)
        try await ledger.close()
        let again = try await open(folder)
        #expect(again.run("open")?.stepIsOpen == true)
        #expect(again.run("run-0")?.isReported == true)
        #expect(again.run("run-199")?.isReported == true)
    }

    @Test("beyond the limit the oldest are forgotten, reported runs before others")
    func trim() {
        var state = LedgerState()
        state.apply(.runStarted(run: "unfinished", steps: [], time: 1))
        for number in 0..<10 {
            state.apply(.runReported(run: "r\(number)"))
            state.apply(
                .notified(notification: "n\(number)", NotificationOutcome(delivered: true, text: "", time: 1)))
        }
        state.trim(to: 4)
        #expect(Set(state.runs.keys) == ["unfinished", "r7", "r8", "r9"])
        #expect(Set(state.notifications.keys) == ["n6", "n7", "n8", "n9"])
        var copy = LedgerState()
        for entry in state.entries { copy.apply(entry) }
        #expect(copy.runs.mapValues(\.value) == state.runs.mapValues(\.value))
        #expect(copy.entries == state.entries)
    }
}
