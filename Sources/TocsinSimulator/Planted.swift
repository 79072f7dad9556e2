import TocsinWire

/// The bugs planted in the production code, for `tools/sim --mutants`. None in a build without `TOCSIN_PLANTED_BUGS`.
public enum Planted {
    /// Names of the bugs this build has.
    public static var names: [String] {
        #if TOCSIN_PLANTED_BUGS
            PlantedBug.allCases.map(\.rawValue)
        #else
            []
        #endif
    }

    /// Plants one for the histories that follow, or none. For the thread that runs them, and no other beside it.
    public static func plant(_ name: String?) {
        #if TOCSIN_PLANTED_BUGS
            PlantedBug.planted = name.flatMap { PlantedBug(rawValue: $0) }
        #endif
    }

    /// Runs one history after another until one fails with the bug planted.
    ///
    /// - Returns: that history, nil if none failed; one that fails without the bug too says nothing of it, and is passed over.
    public static func hunt(_ name: String, seeds: ClosedRange<UInt64>, options: SimulationOptions) -> SimulationReport? {
        defer { plant(nil) }
        for seed in seeds {
            plant(name)
            let report = Simulation.run(seed: seed, options: options)
            guard report.violation != nil else { continue }
            plant(nil)
            if Simulation.run(seed: seed, options: options).violation == nil { return report }
        }
        return nil
    }
}
