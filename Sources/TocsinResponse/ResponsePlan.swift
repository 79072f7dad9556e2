import TocsinDomain
import TocsinProto

/// What a change triggers: which runbooks and which notifications. A pure function of the change and the configuration.
struct ResponsePlan: Sendable {
    var runs: [PlannedRun] = []
    var notifications: [PlannedNotification] = []
    /// The incident names this runbook and nobody has configured it.
    var unknownRunbook: String?

    init(_ change: Change, _ configuration: ResponderConfiguration) {
        notifications = configuration.notifications.filter { $0.matches(change) }.map {
            PlannedNotification($0, change)
        }
        // What a runbook brought about starts no runbook, or two could start each other without end.
        guard !change.actor.hasPrefix(Actor.runbookPrefix) else { return }
        runs = configuration.runbooks.filter { $0.matches(change) }.map { PlannedRun($0, change) }
        let named = change.incident.runbook
        let isStart = change.verb == "opened" || change.verb == "reopened"
        if isStart, !change.isDrill, !named.isEmpty, !configuration.runbooks.contains(where: { $0.name == named }) {
            unknownRunbook = named
        }
    }
}

/// One runbook for one change.
struct PlannedRun: Sendable {
    /// The same for every delivery of the change.
    let id: String
    let runbook: Runbook
    let change: Change
    let environment: [String: String]

    init(_ runbook: Runbook, _ change: Change) {
        id = "\(change.id)/\(runbook.name)"
        self.runbook = runbook
        self.change = change
        var environment = ChangeEnvironment.variables(of: change, service: runbook.match.service(of: change))
        environment["TOCSIN_RUNBOOK"] = runbook.name
        self.environment = environment
    }
}

/// One target to tell of one change.
struct PlannedNotification: Sendable {
    /// The same for every delivery of the change: what receivers recognise a repetition by.
    let id: String
    let target: NotificationTarget
    let change: Change

    init(_ target: NotificationTarget, _ change: Change) {
        id = "\(change.id)/\(target.name)"
        self.target = target
        self.change = change
    }
}

extension Runbook {
    fileprivate func matches(_ change: Change) -> Bool {
        guard match.verbs.contains(change.verb), drills || !change.isDrill else { return false }
        if change.incident.runbook == name { return true }
        return change.severity >= match.minimumSeverity && match.matchingService(of: change) != nil
    }
}

extension RunbookMatch {
    fileprivate func matchingService(of change: Change) -> String? {
        let globs = services.map(ServiceGlob.init)
        return change.services.first { service in globs.contains { $0.matches(service) } }
    }

    /// The service the runbook is about: the one that matched, else the incident's first.
    fileprivate func service(of change: Change) -> String {
        matchingService(of: change) ?? change.services.first ?? ""
    }
}

extension NotificationTarget {
    fileprivate func matches(_ change: Change) -> Bool {
        verbs.contains(change.verb) && change.severity >= minimumSeverity && (drills || !change.isDrill)
            && !change.actor.hasPrefix(Actor.notifyPrefix) && isRouted(change.incident)
    }

    /// Where the policy's routes match the incident they say who is told of it.
    private func isRouted(_ incident: Tocsin_V1_Incident) -> Bool {
        incident.routes.isEmpty || incident.pages.contains(name)
    }
}

/// Who a report says acted.
enum Actor {
    static let runbookPrefix = "runbook:"
    static let notifyPrefix = "notify:"
}
