import Foundation
import Testing
import TocsinSimulator

/// On threads of their own: histories take processor time for a minute, and the threads that all tests share would have none
/// for tests that wait for something.
@Suite("Simulation", .timeLimit(.minutes(10)), .serialized) struct SimulationTests {
    /// Short enough for a build without optimisation.
    static let options: SimulationOptions = {
        var options = SimulationOptions()
        options.duration = 6000
        return options
    }()

    @Test("two hundred histories keep every promise, and hold every kind of trouble")
    func histories() async {
        // Two at a time: a history is one thread from its beginning to its end.
        let halves = await withTaskGroup(of: [SimulationReport].self) { group in
            for half in [UInt64(0), 1] {
                group.addTask {
                    await onThread { (1...100).map { Simulation.run(seed: 2 * $0 + half, options: Self.options) } }
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        var coverage = Coverage()
        for report in halves {
            coverage += report.coverage
            if let violation = report.violation {
                let again = "tools/sim --duration 6000 --seed \(report.seed) --trace"
                Issue.record("seed \(report.seed), at \(report.elapsed) ms: \(violation.rule): \(violation); again: \(again)")
            }
        }
        #expect(halves.count == 200)
        // What is rare in short histories may be missing, no more.
        let rare: Set = [
            "segments removed", "gaps told", "crashes in a segment job", "remove errors", "read errors", "files torn",
        ]
        #expect(Set(coverage.missing).subtracting(rare).isEmpty, "never happened: \(coverage.missing)")
    }

    @Test("the same seed gives the same history, to the last line of its trace")
    func determinism() async {
        for seed in UInt64(1000)..<1008 {
            let runs = await onThread { [0, 1].map { _ in Simulation.run(seed: seed, options: Self.options) } }
            #expect(runs[0].hash == runs[1].hash && runs[0].elapsed == runs[1].elapsed, "seed \(seed)")
        }
        let traced = await onThread {
            [0, 1].map { _ in
                var lines: [String] = []
                let hash = Simulation.run(seed: 1008, options: Self.options, trace: { lines.append($0) }).hash
                return (hash: hash, lines: lines)
            }
        }
        #expect(traced[0].lines == traced[1].lines && traced[0].lines.count > 1000)
        #expect(traced[0].hash == traced[1].hash)
        let others = await onThread { [1008, 1009].map { Simulation.run(seed: $0, options: Self.options).hash } }
        #expect(others[0] == traced[0].hash, "tracing changes nothing")
        #expect(others[1] != traced[0].hash, "another seed is another history")
    }

    /// A disk, network or clock that breaks its promises must be noticed, by a rule that has to do with it: a tap that lost the
    /// last message of its filter waits for it.
    @Test(
        "broken promises are noticed",
        arguments: [
            (.forgetfulDisk, ["lost", "start"]), (.wrongReads, ["start", "lost"]), (.lostTapped, ["tap", "liveness"]),
            (.stoppedClock, ["liveness"]),
        ] as [(Mutation, [String])])
    func mutations(_ mutation: Mutation, _ rules: [String]) async {
        let violation = await onThread {
            var options = Self.options
            options.mutation = mutation
            options.patience = 120_000
            return (UInt64(1)...20).lazy.compactMap { Simulation.run(seed: $0, options: options).violation }.first
        }
        #expect(rules.contains(violation?.rule ?? "none"), "\(mutation): \(violation?.description ?? "not noticed")")
    }
}

func onThread<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T {
    await withCheckedContinuation { continuation in
        Thread { continuation.resume(returning: body()) }.start()
    }
}
