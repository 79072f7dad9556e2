import TocsinPolicy
import TocsinTriage

extension Schema {
    static func readTriage(_ section: Section, policy: Policy) -> (TriageConfiguration, workers: Int) {
        let workers = section.read("workers", .integer(0...64), default: 2, "Triage processes that `tocsin up` runs.")
        let configuration = TriageConfiguration(
            policy: policy,
            limits: UpdateLimits(
                events: section.read(
                    "update_events", .integer(1...10_000), default: 500, "Events merged into one alert update, at most."),
                bytes: section.read(
                    "update_size", .size(atLeast: 1024), default: 512 << 10,
                    "Size of the events merged into one alert update, at most.")),
            credit: section.read(
                "credit", .integer(1...65_536), default: 1024, "Events one worker holds at the same time."))
        // What is wrong with the policy was reported there.
        let reported = Set(policy.problems)
        for problem in configuration.problems where !reported.contains(problem) { section.report(problem) }
        return (configuration, workers)
    }
}
