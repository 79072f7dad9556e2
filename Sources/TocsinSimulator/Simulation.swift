/// Runs histories. The production engine, core and journal, unchanged, on a virtual clock, a simulated disk and a simulated
/// network, with clients that know the protocol only; see `Checker` for what must hold.
public enum Simulation {
    /// One history from its seed. The same seed gives the same history, to the byte of its trace.
    ///
    /// - Parameter trace: called with each line of what happens.
    public static func run(
        seed: UInt64, options: SimulationOptions = SimulationOptions(), trace: ((String) -> Void)? = nil
    ) -> SimulationReport {
        let world = World(seed: seed, options: options, sink: trace)
        let violation = world.run()
        var coverage = world.coverage
        coverage += world.checker.coverage
        coverage += world.disk.coverage
        coverage += world.network.coverage
        return SimulationReport(
            seed: seed, hash: world.trace.hash, elapsed: world.clock.now / 1000, violation: violation, coverage: coverage)
    }
}
