/// What somebody wants done with an incident. An action may take several arrows at once; see `Lifecycle.plan`.
public enum IncidentAction: Sendable, CaseIterable {
    case triage, acknowledge, investigate, mitigate, resolve, close, merge, dismiss
    /// Give the acknowledgement back: acknowledged → triaged.
    case release
    /// Resolved or mitigated → investigating; merged or dismissed → triaged.
    case reopen

    /// The verb as a person would type it.
    public var name: String {
        switch self {
        case .triage: "triage"
        case .acknowledge: "acknowledge"
        case .investigate: "investigate"
        case .mitigate: "mitigate"
        case .resolve: "resolve"
        case .close: "close"
        case .merge: "merge"
        case .dismiss: "dismiss"
        case .release: "release"
        case .reopen: "reopen"
        }
    }
}

/// What the guards need to know of the incident and of the wish.
public struct TransitionContext: Sendable {
    /// Who acts: a person's name, `tocsin`, or `runbook:<name>`.
    public var actor: String
    /// Milliseconds since 1970.
    public var now: UInt64
    public var priority: Priority?
    /// Why: needed to merge, dismiss, undo these, and to waive a postmortem.
    public var reason: String
    /// The cause, or `unknown`: needed to resolve.
    public var cause: String
    public var hasPostmortem: Bool
    /// Close a P1 or P2 without a postmortem; `reason` says why.
    public var waivePostmortem: Bool
    /// When it was resolved, milliseconds since 1970; 0 if it was not.
    public var resolvedAt: UInt64
    /// How long after it was resolved an incident may be reopened. Later, the recurrence is a new incident.
    public var reopenWindow: Duration

    public init(
        actor: String, now: UInt64, priority: Priority?, reason: String = "", cause: String = "",
        hasPostmortem: Bool = false,
        waivePostmortem: Bool = false, resolvedAt: UInt64 = 0, reopenWindow: Duration = .seconds(24 * 3600)
    ) {
        self.actor = actor
        self.now = now
        self.priority = priority
        self.reason = reason
        self.cause = cause
        self.hasPostmortem = hasPostmortem
        self.waivePostmortem = waivePostmortem
        self.resolvedAt = resolvedAt
        self.reopenWindow = reopenWindow
    }
}

/// One arrow that may be taken: an entry of the timeline.
public struct LifecycleStep: Sendable, Equatable {
    public var from: IncidentState
    public var to: IncidentState
    /// For the timeline and the subject of the change: `acknowledged`, `reopened`, ...
    public var verb: String
    /// The reopen counter grows by one.
    public var reopens: Bool
    /// Whether the time of `to` is stamped on the incident. False for an acknowledgement by a program: time to acknowledge
    /// is about people.
    public var stamps: Bool
}

/// The incident's lifecycle: which arrows exist, what guards them, and how one command walks several. Pure: the caller
/// writes down what it returns.
public enum Lifecycle {
    /// The actor of what Tocsin does by itself.
    public static let automaticActor = "tocsin"

    /// Whether `actor` is a program: `tocsin`, or one with a prefix such as `runbook:`.
    public static func isAutomatic(_ actor: String) -> Bool { actor == automaticActor || actor.hasPrefix("runbook:") }

    /// One arrow with its guards.
    public static func transition(
        from: IncidentState, to: IncidentState, context: TransitionContext
    ) -> Result<LifecycleStep, TransitionRefusal> {
        guard from.successors.contains(to) else {
            let message =
                from.successors.isEmpty
                ? "a \(from) incident is final; report the recurrence as a new incident"
                : "a \(from) incident cannot become \(to); from here it may become "
                    + from.successors.map(\.name).joined(separator: ", ")
            return .failure(TransitionRefusal(.illegalTransition, message))
        }
        if isBlank(context.actor) {
            return .failure(
                TransitionRefusal(.actorMissing, "say who does it; every change of an incident has a named actor"))
        }
        if let refusal = guardRefusal(from: from, to: to, context: context) { return .failure(refusal) }
        return .success(
            LifecycleStep(
                from: from, to: to, verb: verb(from: from, to: to), reopens: from == .resolved && to == .investigating,
                stamps: to != .acknowledged || (from == .triaged && !isAutomatic(context.actor))))
    }

    /// What an action does to an incident in state `from`: the arrows to take, in order, all by the same actor and at the
    /// same time, or why none of them may be taken. Earlier steps are never taken if a later one is refused.
    public static func plan(
        _ action: IncidentAction, from: IncidentState, context: TransitionContext
    ) -> Result<[LifecycleStep], TransitionRefusal> {
        let target: IncidentState
        switch destination(of: action, from: from) {
        case .success(let state): target = state
        case .failure(let refusal): return .failure(refusal)
        }
        guard let path = path(from: from, to: target) else {
            return .failure(
                TransitionRefusal(
                    .illegalTransition,
                    "cannot \(action.name) an incident that is \(from)" + hint(for: action, from: from)))
        }
        var steps: [LifecycleStep] = []
        var state = from
        for next in path {
            switch transition(from: state, to: next, context: context) {
            case .success(let step): steps.append(step)
            case .failure(let refusal): return .failure(refusal)
            }
            state = next
        }
        return .success(steps)
    }

    /// The states to go through, `to` last: the direct arrow where there is one, else the shortest way along forward arrows
    /// (detected → … → closed), through investigating rather than mitigated. Nil if there is none.
    public static func path(from: IncidentState, to: IncidentState) -> [IncidentState]? {
        if from.successors.contains(to) { return [to] }
        guard isOnMainLine(from), isOnMainLine(to), from.rawValue < to.rawValue else { return nil }
        var cameFrom: [IncidentState: IncidentState] = [:]
        var frontier = [from]
        // Each round reaches at least one new state of the nine, or ends.
        while !frontier.isEmpty, cameFrom[to] == nil {
            var next: [IncidentState] = []
            for state in frontier {
                for successor in state.successors
                where isOnMainLine(successor) && successor.rawValue > state.rawValue && cameFrom[successor] == nil {
                    cameFrom[successor] = state
                    next.append(successor)
                }
            }
            frontier = next
        }
        var path = [to]
        var state = to
        while let previous = cameFrom[state], previous != from {
            path.append(previous)
            state = previous
        }
        return cameFrom[to] == nil ? nil : path.reversed()
    }

    private static func isOnMainLine(_ state: IncidentState) -> Bool { state != .merged && state != .dismissed }

    /// Where an action leads. Actions never lead backwards, except `release` and `reopen`, which are there for it.
    private static func destination(
        of action: IncidentAction, from: IncidentState
    ) -> Result<IncidentState, TransitionRefusal> {
        let target: IncidentState
        switch action {
        case .triage: target = .triaged
        case .acknowledge: target = .acknowledged
        case .investigate: target = .investigating
        case .mitigate: target = .mitigated
        case .resolve: target = .resolved
        case .close: target = .closed
        case .merge: target = .merged
        case .dismiss: target = .dismissed
        case .release: return from == .acknowledged ? .success(.triaged) : .failure(illegal(action, from))
        case .reopen:
            switch from {
            case .resolved, .mitigated: return .success(.investigating)
            case .merged, .dismissed: return .success(.triaged)
            case .detected, .triaged, .acknowledged, .investigating, .closed: return .failure(illegal(action, from))
            }
        }
        if from == target { return .failure(TransitionRefusal(.alreadyInState, "the incident is already \(from)")) }
        let leadsBack = from.rawValue > target.rawValue && isOnMainLine(target)
        // Closing is a step of its own: nobody closes what they have not said is resolved.
        let skipsResolving = action == .close && from != .resolved
        if leadsBack || skipsResolving { return .failure(illegal(action, from)) }
        return .success(target)
    }

    private static func illegal(_ action: IncidentAction, _ from: IncidentState) -> TransitionRefusal {
        TransitionRefusal(
            .illegalTransition, "cannot \(action.name) an incident that is \(from)" + hint(for: action, from: from))
    }

    private static func hint(for action: IncidentAction, from: IncidentState) -> String {
        switch from {
        case .closed: "; it is final: report the recurrence as a new incident"
        case .merged, .dismissed: "; reopen it first, with a reason"
        case .resolved: "; reopen it first"
        case .detected, .triaged, .acknowledged, .investigating, .mitigated:
            switch action {
            case .close: "; resolve it first"
            case .reopen: "; it is open"
            case .release: "; only an acknowledged one is owned and not yet worked on"
            case .merge, .dismiss: "; resolve it instead"
            case .triage, .acknowledge, .investigate, .mitigate, .resolve: "; it is already further"
            }
        }
    }

    private static func guardRefusal(
        from: IncidentState, to: IncidentState, context: TransitionContext
    ) -> TransitionRefusal? {
        switch to {
        case .acknowledged:
            guard context.priority != nil else {
                return TransitionRefusal(
                    .priorityMissing, "set a priority (P1 to P5) before the incident is acknowledged")
            }
        case .resolved:
            guard !isBlank(context.cause) else {
                return TransitionRefusal(.causeMissing, "state the cause, or \"unknown\", to resolve the incident")
            }
        case .closed:
            // Without a priority it might have been the worst, so it is treated as such.
            let serious = (context.priority ?? .p1) <= .p2
            if context.waivePostmortem, isBlank(context.reason) {
                return TransitionRefusal(.reasonMissing, "say why the postmortem is waived")
            }
            guard !serious || context.hasPostmortem || context.waivePostmortem else {
                return TransitionRefusal(
                    .postmortemMissing,
                    "a \(context.priority?.name ?? "not yet prioritised") incident is closed with a postmortem; write one, or waive it with a reason"
                )
            }
        case .merged, .dismissed:
            guard !isBlank(context.reason) else {
                return TransitionRefusal(.reasonMissing, "say why the incident is \(to)")
            }
        case .triaged:
            guard from == .detected || from == .acknowledged || !isBlank(context.reason) else {
                return TransitionRefusal(.reasonMissing, "say why the \(from) incident is taken up again")
            }
        case .investigating:
            guard from == .resolved, context.now > context.resolvedAt else { return nil }
            let elapsed = Duration.milliseconds(Int64(clamping: context.now - context.resolvedAt))
            guard elapsed <= context.reopenWindow else {
                return TransitionRefusal(
                    .reopenWindowPassed,
                    "it was resolved \(elapsed.components.seconds / 3600) h ago, longer than the reopen window of \(context.reopenWindow.components.seconds / 3600) h; report a new incident"
                )
            }
        case .detected, .mitigated: return nil
        }
        return nil
    }

    private static func verb(from: IncidentState, to: IncidentState) -> String {
        switch (from, to) {
        case (.resolved, .investigating): "reopened"
        case (.mitigated, .investigating): "relapsed"
        case (.acknowledged, .triaged): "released"
        case (.merged, .triaged), (.dismissed, .triaged): "restored"
        default: to.name
        }
    }

    private static func isBlank(_ text: String) -> Bool { text.allSatisfy(\.isWhitespace) }
}
