import Testing
import TocsinSimulator

@Suite("Simulation", .timeLimit(.minutes(2))) struct SimulationTests {
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
                group.addTask { (1...100).map { Simulation.run(seed: 2 * $0 + half, options: Self.options) } }
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
    func determinism() {
        for seed in UInt64(1000)..<1008 {
            let first = Simulation.run(seed: seed, options: Self.options)
            let second = Simulation.run(seed: seed, options: Self.options)
            #expect(first.hash == second.hash && first.elapsed == second.elapsed, "seed \(seed)")
        }
        var lines: [[String]] = [[], []]
        let hashes = lines.indices.map { run in
            Simulation.run(seed: 1008, options: Self.options, trace: { lines[run].append($0) }).hash
        }
        #expect(lines[0] == lines[1] && lines[0].count > 1000)
        #expect(hashes[0] == hashes[1])
        #expect(Simulation.run(seed: 1008, options: Self.options).hash == hashes[0], "tracing changes nothing")
        #expect(Simulation.run(seed: 1009, options: Self.options).hash != hashes[0], "another seed is another history")
    }

    /// A disk, network or clock that breaks its promises must be noticed, by a rule that has to do with it.
    @Test(
        "broken promises are noticed",
        arguments: [
            (.lyingSync, ["early", "lost"]), (.forgetfulDisk, ["lost", "start"]), (.wrongReads, ["start", "lost"]),
            (.lostAnswers, ["liveness"]), (.lostTapped, ["tap"]), (.stoppedClock, ["liveness"]),
        ] as [(Mutation, [String])])
    func mutations(_ mutation: Mutation, _ rules: [String]) {
        var options = Self.options
        options.mutation = mutation
        options.patience = 30_000
        let violation = (UInt64(1)...20).lazy.compactMap { Simulation.run(seed: $0, options: options).violation }.first
        #expect(rules.contains(violation?.rule ?? "none"), "\(mutation): \(violation?.description ?? "not noticed")")
    }
}
