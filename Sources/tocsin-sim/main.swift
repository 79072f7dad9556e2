import ArgumentParser
import Glibc
import TocsinPosix
import TocsinSimulator

extension Mutation: ExpressibleByArgument {}

/// Runs simulated histories of the hub. Exit code 1 if a promise was broken.
struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tocsin-sim",
        abstract: "Runs the hub's own code through seeded histories of crashes, disk faults and lost connections.")

    @Option(help: "How many histories; 500 unless given, with --mutants 10000 at most for each bug.")
    var seeds: UInt64?

    @Option(help: "Seed of the first history.")
    var first: UInt64 = 1

    @Option(help: "Only the history of this seed.")
    var seed: UInt64?

    @Flag(help: "Print everything that happens in the history of --seed.")
    var trace = false

    @Option(help: "Milliseconds of trouble in one history.")
    var duration: UInt64 = 20_000

    @Option(help: "Break a promise of disk, network or clock; the histories must fail.")
    var mutation: Mutation?

    @Flag(help: "Plant each of the known bugs in the hub's code, one after another; every one must be found.")
    var mutants = false

    @Option(help: "Plant the bug of this name, as --mutants does.")
    var planted: String?

    func validate() throws {
        if trace, seed == nil { throw ValidationError("--trace prints one history; name it with --seed.") }
        if seeds == 0, seed == nil { throw ValidationError("--seeds is at least 1.") }
        guard mutants || planted != nil else { return }
        let names = Planted.names
        if names.isEmpty { throw ValidationError("This build has no planted bugs; tools/sim makes one that has.") }
        if let planted, !names.contains(planted) {
            throw ValidationError("There is no planted bug \(planted); there are: \(names.joined(separator: ", "))")
        }
        if mutants, planted != nil || seed != nil || mutation != nil {
            throw ValidationError("--mutants goes with --seeds, --first and --duration only.")
        }
    }

    func run() throws {
        var options = SimulationOptions()
        options.duration = duration
        options.mutation = mutation
        if mutants { return try huntAll(options) }
        Planted.plant(planted)
        var coverage = Coverage()
        var failed = 0
        let began = MachineClock.steady()
        let all = seed.map { $0...$0 } ?? first...(first + (seeds ?? 500) - 1)
        for seed in all {
            let report = Simulation.run(seed: seed, options: options, trace: trace ? { print($0) } : nil)
            coverage += report.coverage
            if let violation = report.violation {
                failed += 1
                print("FAIL seed \(seed), at \(report.elapsed) ms: \(violation.rule): \(violation.description)")
                print("     again: tools/sim --seed \(seed) --trace\(repeating)\(planted.map { " --planted \($0)" } ?? "")")
            } else if self.seed != nil {
                print("seed \(seed): at rest after \(report.elapsed) ms, hash \(String(report.hash, radix: 16))")
            }
            // The log of a long run shows that it goes on.
            fflush(nil)
        }
        for line in coverage.lines { print(line) }
        let seconds = Double(MachineClock.steady() - began) / 1e9
        // Not for one history, so that its output is the same each time.
        if seed == nil { print("\(Int(Double(all.count) / seconds * 60)) histories a minute") }
        print("\(all.count - failed) passed, \(failed) failed")
        if failed > 0 { throw ExitCode.failure }
    }

    private func huntAll(_ options: SimulationOptions) throws {
        let range = first...(first + (seeds ?? 10_000) - 1)
        let width = Planted.names.map(\.count).max() ?? 0
        var missed = 0
        for name in Planted.names {
            let column = name + String(repeating: " ", count: width - name.count)
            if let report = Planted.hunt(name, seeds: range, options: options), let violation = report.violation {
                print("found   \(column)  seed \(report.seed), after \(report.seed - first + 1): \(violation.rule): \(violation)")
                print("        again: tools/sim --planted \(name) --seed \(report.seed) --trace\(repeating)")
            } else {
                missed += 1
                print("MISSED  \(column)  \(range.count) seeds")
            }
            fflush(nil)
        }
        print("\(Planted.names.count - missed) passed, \(missed) failed")
        if missed > 0 { throw ExitCode.failure }
    }

    private var repeating: String {
        (duration == 20_000 ? "" : " --duration \(duration)") + (mutation.map { " --mutation \($0.rawValue)" } ?? "")
    }
}

Simulate.main()
