import TestSupport
import Testing
import TocsinDomain

/// Goal: the arrows of the incident's life are those of the design, each guarded, and no sequence of commands gets around
/// them. Method: the table written out once more, every pair tried; every guard tried from both sides; random commands.
@Suite("Incident lifecycle")
struct LifecycleTests {
    private static let arrows: [IncidentState: Set<IncidentState>] = [
        .detected: [.triaged, .merged, .dismissed],
        .triaged: [.acknowledged, .merged, .dismissed],
        .acknowledged: [.investigating, .triaged, .mitigated, .merged, .dismissed],
        .investigating: [.mitigated, .resolved, .acknowledged, .merged, .dismissed],
        .mitigated: [.resolved, .investigating],
        .resolved: [.closed, .investigating],
        .closed: [],
        .merged: [.triaged],
        .dismissed: [.triaged],
    ]

    /// Passes every guard.
    private static let able = TransitionContext(
        actor: "alice", now: 1_000_000, priority: .p2, reason: "because", cause: "unknown", hasPostmortem: true,
        resolvedAt: 999_000)

    private static func context(_ change: (inout TransitionContext) -> Void) -> TransitionContext {
        var context = able
        change(&context)
        return context
    }

    @Test("every pair of states is an arrow or a refusal, as the table says", arguments: IncidentState.allCases)
    func everyPair(from: IncidentState) throws {
        for to in IncidentState.allCases {
            switch Lifecycle.transition(from: from, to: to, context: Self.able) {
            case .success(let step):
                #expect(Self.arrows[from]?.contains(to) == true, "\(from) → \(to)")
                #expect(step.from == from && step.to == to && !step.verb.isEmpty)
            case .failure(let refusal):
                #expect(Self.arrows[from]?.contains(to) == false, "\(from) → \(to)")
                #expect(refusal.code == .illegalTransition)
            }
        }
    }

    @Test("each guard refuses with its code and says what to do")
    func guards() {
        typealias Case = (IncidentState, IncidentState, TransitionRefusal.Code, (inout TransitionContext) -> Void)
        let cases: [Case] = [
            (.detected, .triaged, .actorMissing, { $0.actor = " " }),
            (.triaged, .acknowledged, .priorityMissing, { $0.priority = nil }),
            (.investigating, .resolved, .causeMissing, { $0.cause = " \t" }),
            (.mitigated, .resolved, .causeMissing, { $0.cause = "" }),
            (.resolved, .closed, .postmortemMissing, { $0.hasPostmortem = false }),
            (
                .resolved, .closed, .postmortemMissing,
                {
                    $0.hasPostmortem = false
                    $0.priority = .p1
                }
            ),
            (
                .resolved, .closed, .postmortemMissing,
                {
                    $0.hasPostmortem = false
                    $0.priority = nil
                }
            ),
            (
                .resolved, .closed, .reasonMissing,
                {
                    $0.hasPostmortem = false
                    $0.waivePostmortem = true
                    $0.reason = ""
                }
            ),
            (.triaged, .dismissed, .reasonMissing, { $0.reason = "" }),
            (.triaged, .merged, .reasonMissing, { $0.reason = "" }),
            (.merged, .triaged, .reasonMissing, { $0.reason = "" }),
            (.dismissed, .triaged, .reasonMissing, { $0.reason = "" }),
            (.resolved, .investigating, .reopenWindowPassed, { $0.now = 999_000 + 24 * 3600 * 1000 + 1 }),
        ]
        for (from, to, code, change) in cases {
            let result = Lifecycle.transition(from: from, to: to, context: Self.context(change))
            guard case .failure(let refusal) = result else {
                Issue.record("\(from) → \(to) was allowed, \(code.rawValue) was expected")
                continue
            }
            #expect(refusal.code == code)
            #expect(refusal.message.count > 20)
            #expect(refusal.description.hasPrefix(code.rawValue + ": "))
        }
    }

    @Test("what the guards do not forbid is allowed")
    func guardsAllow() throws {
        let waived = Self.context {
            $0.hasPostmortem = false
            $0.waivePostmortem = true
        }
        _ = try Lifecycle.transition(from: .resolved, to: .closed, context: waived).get()
        let small = Self.context {
            $0.hasPostmortem = false
            $0.priority = .p3
            $0.reason = ""
        }
        _ = try Lifecycle.transition(from: .resolved, to: .closed, context: small).get()
        let lastMoment = Self.context { $0.now = 999_000 + 24 * 3600 * 1000 }
        let reopened = try Lifecycle.transition(from: .resolved, to: .investigating, context: lastMoment).get()
        #expect(reopened.reopens && reopened.verb == "reopened")
        let relapsed = try Lifecycle.transition(from: .mitigated, to: .investigating, context: Self.able).get()
        #expect(!relapsed.reopens && relapsed.verb == "relapsed")
    }

    @Test("paths are the shortest forward ones")
    func paths() {
        #expect(Lifecycle.path(from: .detected, to: .acknowledged) == [.triaged, .acknowledged])
        #expect(Lifecycle.path(from: .acknowledged, to: .resolved) == [.investigating, .resolved])
        #expect(Lifecycle.path(from: .triaged, to: .resolved) == [.acknowledged, .investigating, .resolved])
        #expect(Lifecycle.path(from: .detected, to: .mitigated) == [.triaged, .acknowledged, .mitigated])
        #expect(Lifecycle.path(from: .resolved, to: .investigating) == [.investigating])
        #expect(Lifecycle.path(from: .closed, to: .investigating) == nil)
        #expect(Lifecycle.path(from: .mitigated, to: .dismissed) == nil)
        #expect(Lifecycle.path(from: .mitigated, to: .acknowledged) == nil)
        for from in IncidentState.allCases {
            for to in IncidentState.allCases {
                guard let path = Lifecycle.path(from: from, to: to) else { continue }
                #expect(path.last == to && path.count <= 5)
                var state = from
                for next in path {
                    #expect(Self.arrows[state]?.contains(next) == true)
                    state = next
                }
            }
        }
    }

    @Test("one command walks several arrows, or takes none")
    func plans() throws {
        let resolve = try Lifecycle.plan(.resolve, from: .triaged, context: Self.able).get()
        #expect(resolve.map(\.verb) == ["acknowledged", "investigating", "resolved"])
        #expect(resolve.map(\.stamps) == [true, true, true])
        let automatic = Self.context { $0.actor = Lifecycle.automaticActor }
        let byItself = try Lifecycle.plan(.resolve, from: .triaged, context: automatic).get()
        #expect(byItself.map(\.stamps) == [false, true, true], "only people acknowledge")
        let noCause = Lifecycle.plan(.resolve, from: .detected, context: Self.context { $0.cause = "" })
        #expect(
            noCause == .failure(try #require(Self.failure(noCause))) && Self.failure(noCause)?.code == .causeMissing)
        let noPriority = Lifecycle.plan(.acknowledge, from: .detected, context: Self.context { $0.priority = nil })
        #expect(Self.failure(noPriority)?.code == .priorityMissing)
        let early = Self.failure(Lifecycle.plan(.close, from: .mitigated, context: Self.able))
        #expect(early?.code == .illegalTransition && early?.message.contains("resolve it first") == true)
        #expect(
            Self.failure(Lifecycle.plan(.acknowledge, from: .acknowledged, context: Self.able))?.code == .alreadyInState
        )
        #expect(
            Self.failure(Lifecycle.plan(.acknowledge, from: .mitigated, context: Self.able))?.code == .illegalTransition
        )
        #expect(Self.failure(Lifecycle.plan(.reopen, from: .closed, context: Self.able))?.code == .illegalTransition)
        #expect(try Lifecycle.plan(.reopen, from: .dismissed, context: Self.able).get().map(\.verb) == ["restored"])
        #expect(try Lifecycle.plan(.release, from: .acknowledged, context: Self.able).get().map(\.to) == [.triaged])
    }

    @Test("no sequence of commands takes an arrow that is not there, or skips a guard")
    func randomCommands() {
        var random = SplitMix64.seeded()
        for _ in 0..<2_000 {
            var state = IncidentState.detected
            var priority: Priority?
            for _ in 0..<20 {
                if random.chance(0.3) { priority = Priority.allCases.randomElement(using: &random) }
                let context = Self.context {
                    $0.actor = random.chance(0.05) ? "" : random.chance(0.3) ? "tocsin" : "bob"
                    $0.priority = priority
                    $0.reason = random.chance(0.5) ? "" : "reason"
                    $0.cause = random.chance(0.5) ? "" : "unknown"
                    $0.hasPostmortem = random.chance(0.3)
                    $0.waivePostmortem = random.chance(0.3)
                    $0.now = random.chance(0.1) ? 999_000 + 90_000_000 : 1_000_000
                }
                let action = IncidentAction.allCases.randomElement(using: &random) ?? .resolve
                guard case .success(let steps) = Lifecycle.plan(action, from: state, context: context) else { continue }
                #expect(!steps.isEmpty && !context.actor.isEmpty)
                for step in steps {
                    #expect(step.from == state)
                    #expect(Self.arrows[state]?.contains(step.to) == true, "\(action.name): \(state) → \(step.to)")
                    switch step.to {
                    case .acknowledged: #expect(priority != nil)
                    case .resolved: #expect(context.cause == "unknown")
                    case .closed:
                        let minor = priority.map { $0 > .p2 } ?? false
                        #expect(minor || context.hasPostmortem || (context.waivePostmortem && !context.reason.isEmpty))
                    case .merged, .dismissed: #expect(!context.reason.isEmpty)
                    case .detected, .triaged, .investigating, .mitigated: break
                    }
                    state = step.to
                }
            }
        }
    }

    private static func failure(_ result: Result<[LifecycleStep], TransitionRefusal>) -> TransitionRefusal? {
        guard case .failure(let refusal) = result else { return nil }
        return refusal
    }
}
