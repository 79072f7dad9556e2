import Foundation
import Testing

@testable import TocsinDetection

/// Goal: of a row of observations only those are published that change something, or that are due to be repeated.
/// Method: rows written as letters, with the verdicts beside them.
@Suite("Probe hysteresis")
struct ProbeStateTests {
    private static func check(failures: Int = 2, successes: Int = 1, repeatSeconds: Int = 300) -> Check {
        Check(
            name: "c", service: "s", kind: .tcp(TCPCheck(host: "h", port: 1)), failuresToTrigger: failures,
            successesToResolve: successes, repeatInterval: .seconds(repeatSeconds))
    }

    /// `.` healthy, `m` fails as minor, `C` fails as critical; a second passes from one to the next. Answers with `-` nothing,
    /// `T` trigger, `R` resolve.
    private static func verdicts(_ row: String, _ check: Check, _ state: inout ProbeState) -> String {
        var result = ""
        for (index, letter) in row.enumerated() {
            let observation = Observation(
                healthy: letter == ".", severity: letter == "m" ? "minor" : "critical", summary: "")
            switch state.observe(observation, check: check, nowMs: UInt64(1_000_000 + index * 1000)) {
            case .nothing: result += "-"
            case .trigger: result += "T"
            case .resolve: result += "R"
            case .withheld: result += "W"
            }
        }
        return result
    }

    @Test(
        "rows of observations",
        arguments: [
            ("....", 2, 1, "----"),
            ("CCCC", 2, 1, "-T--"),
            ("C.C.CC.", 2, 1, "-----TR"),
            ("C.C.", 1, 1, "TRTR"),
            ("CC.C..C...", 2, 3, "-T-------R"),
            ("mmCCmm.", 1, 1, "T-T-T-R"),
            ("mC", 2, 1, "-T"),
        ])
    func rows(row: String, failures: Int, successes: Int, expected: String) {
        var state = ProbeState()
        #expect(Self.verdicts(row, Self.check(failures: failures, successes: successes), &state) == expected)
    }

    @Test("a trigger is repeated each interval")
    func repeats() {
        var state = ProbeState()
        let check = Self.check(failures: 1, repeatSeconds: 3)
        #expect(Self.verdicts("CCCCCCCC", check, &state) == "T--T--T-")
    }

    @Test("after a restart, what fires is triggered at once, and what has ended is resolved")
    func restart() throws {
        var state = ProbeState()
        _ = Self.verdicts("CC", Self.check(), &state)
        var failing = try JSONDecoder().decode(ProbeState.self, from: JSONEncoder().encode(state))
        #expect(Self.verdicts("CC", Self.check(), &failing) == "T-")
        var ended = try JSONDecoder().decode(ProbeState.self, from: JSONEncoder().encode(state))
        #expect(Self.verdicts(".", Self.check(), &ended) == "R")
    }

    @Test("a clock that is set back does not silence the repetition")
    func clockBack() {
        var state = ProbeState()
        let check = Self.check(failures: 1)
        let fails = Observation(healthy: false, severity: "critical", summary: "")
        #expect(state.observe(fails, check: check, nowMs: 1_000_000) == .trigger)
        #expect(state.observe(fails, check: check, nowMs: 10) == .trigger)
    }
}
