import Testing
import TocsinDomain

@Suite("Severity, priority and their words")
struct ValueTests {
    @Test("synonyms of other tools and of people are understood")
    func synonyms() {
        let table: [(Severity, [String])] = [
            (
                .critical,
                [
                    "critical", "CRIT", "SEV1", "sev-1", "Sev 1", "P1", "fatal", "emergency", "emerg", "alert", "page",
                    "0", "2",
                ]
            ),
            (.major, ["major", "error", "ERR", "high", "SEV2", "p2", "3", "severity_2"]),
            (
                .minor,
                ["minor", "Warning", "warn", "medium", "moderate", "low", "ticket", "SEV3", "SEV4", "P3", "P4", "4"]
            ),
            (.info, ["info", "informational", "notice", "debug", "OK", "SEV5", "P5", "5", "6", "7", " info "]),
        ]
        for (severity, words) in table {
            for word in words { #expect(Severity(parsing: word) == severity, "\(word)") }
        }
        for word in ["", "8", "sev", "sev6", "catastrophe", String(repeating: "critical", count: 100), "ⅰnfo"] {
            #expect(Severity(parsing: word) == nil, "\(word)")
        }
        for severity in Severity.allCases { #expect(Severity(parsing: severity.name) == severity) }
    }

    @Test("the standard matrix is the design's")
    func matrix() {
        let table: [(Level, Level, Priority)] = [
            (.high, .high, .p1), (.high, .medium, .p2), (.medium, .high, .p2), (.high, .low, .p3),
            (.medium, .medium, .p3),
            (.low, .high, .p3), (.medium, .low, .p4), (.low, .medium, .p4), (.low, .low, .p4),
        ]
        for (impact, urgency, priority) in table {
            #expect(PriorityMatrix.standard[impact: impact, urgency: urgency] == priority, "\(impact) × \(urgency)")
        }
        var changed = PriorityMatrix.standard
        changed[impact: .low, urgency: .low] = .p5
        #expect(changed[impact: .low, urgency: .low] == .p5 && changed[impact: .high, urgency: .low] == .p3)
    }

    @Test("levels and priorities are read from words")
    func words() {
        #expect(Level(parsing: "High") == .high && Level(parsing: "3") == .low && Level(parsing: "huge") == nil)
        #expect(Priority(parsing: "P1") == .p1 && Priority(parsing: "5") == .p5)
        #expect(Priority(parsing: "P6") == nil && Priority(parsing: "") == nil && Priority(parsing: "P-1") == nil)
        #expect([Priority.p3, .p1, .p5].sorted() == [.p1, .p3, .p5])
    }

    @Test("suggestions forgive small errors and no large ones")
    func suggestions() {
        let keys = ["listen", "severity", "service", "spool_directory", "at"]
        #expect(Suggestion.closest(to: "sevrity", in: keys) == "severity")
        #expect(Suggestion.closest(to: "lsiten", in: keys) == "listen")
        #expect(Suggestion.closest(to: "SERVICE", in: keys) == "service")
        #expect(Suggestion.closest(to: "spooldirectory", in: keys) == "spool_directory")
        #expect(Suggestion.closest(to: "banana", in: keys) == nil)
        #expect(Suggestion.closest(to: "x", in: keys) == nil)
        #expect(Suggestion.closest(to: "xy", in: keys) == nil)
        #expect(Suggestion.closest(to: "", in: keys) == nil)
        #expect(Suggestion.closest(to: String(repeating: "a", count: 10_000), in: keys) == nil)
    }

    @Test("metrics are absent, not zero, while their end is not reached")
    func metrics() {
        let open = IncidentMetrics(detectedAt: 10_000, acknowledgedAt: 12_000)
        #expect(open.timeToAcknowledge == .seconds(2))
        #expect(open.timeToDetect == nil && open.timeToMitigate == nil && open.timeToResolve == nil)
        let done = IncidentMetrics(startedAt: 4_000, detectedAt: 10_000, mitigatedAt: 40_000, resolvedAt: 70_000)
        #expect(
            done.timeToDetect == .seconds(6) && done.timeToMitigate == .seconds(30)
                && done.timeToResolve == .seconds(60))
        #expect(done.timeToAcknowledge == nil)
        #expect(IncidentMetrics(detectedAt: 10_000, resolvedAt: 70_000).timeToMitigate == .seconds(60))
        #expect(IncidentMetrics(detectedAt: 10_000, resolvedAt: 9_000).timeToResolve == nil)
    }
}

@Suite("Alert states")
struct AlertStateTests {
    @Test("signals lead along arrows only, and what ended starts a new episode")
    func signals() {
        for state in AlertState.allCases {
            for signal in AlertSignal.allCases {
                guard let outcome = state.applying(signal) else { continue }
                #expect(state.successors.contains(outcome.state), "\(state), \(signal)")
                #expect(outcome.startsEpisode == !state.isOpen)
                #expect(outcome.state.isOpen || state.isOpen, "what has ended does not end again")
            }
        }
    }

    @Test("the cases that matter")
    func cases() {
        #expect(AlertState.resolved.applying(.trigger) == AlertTransition(state: .firing, startsEpisode: true))
        #expect(AlertState.firing.applying(.resolve)?.state == .resolved)
        #expect(AlertState.acknowledged.applying(.trigger) == nil)
        #expect(AlertState.resolved.applying(.acknowledge) == nil)
        #expect(AlertState.resolved.applying(.resolve) == nil)
        #expect(AlertState.suppressed.applying(.trigger) == nil)
        #expect(AlertState.suppressed.applying(.unsuppress)?.state == .firing)
        #expect(AlertState.expired.applying(.suppress) == AlertTransition(state: .suppressed, startsEpisode: true))
    }
}
