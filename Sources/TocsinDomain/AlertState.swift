/// Where an alert (the events of one fingerprint) is.
public enum AlertState: String, Sendable, CaseIterable, CustomStringConvertible {
    /// Seen, but not yet for long enough to count.
    case pending
    case firing
    case acknowledged
    /// Firing, but a silence, an inhibition, maintenance or flapping keeps it quiet.
    case suppressed
    case resolved
    /// Nothing was heard for so long that it is taken for resolved.
    case expired

    public var description: String { rawValue }

    /// The condition still holds.
    public var isOpen: Bool {
        switch self {
        case .pending, .firing, .acknowledged, .suppressed: true
        case .resolved, .expired: false
        }
    }

    /// The states one legal arrow away.
    public var successors: [AlertState] {
        switch self {
        case .pending: [.firing, .suppressed, .resolved, .expired]
        case .firing: [.acknowledged, .suppressed, .resolved, .expired]
        case .acknowledged: [.firing, .suppressed, .resolved, .expired]
        case .suppressed: [.firing, .resolved, .expired]
        case .resolved, .expired: [.firing, .suppressed]
        }
    }

    /// What a signal makes of an alert in this state; nil if it means nothing here (a resolve of what is resolved, an
    /// acknowledgement of what does not fire).
    public func applying(_ signal: AlertSignal) -> AlertTransition? {
        let target: AlertState
        switch signal {
        case .trigger:
            // An acknowledged or suppressed alert that fires on stays as it is.
            guard self != .acknowledged, self != .suppressed, self != .firing else { return nil }
            target = .firing
        case .suppress: target = .suppressed
        case .unsuppress:
            guard self == .suppressed else { return nil }
            target = .firing
        case .acknowledge: target = .acknowledged
        case .releaseAcknowledgement:
            guard self == .acknowledged else { return nil }
            target = .firing
        case .resolve: target = .resolved
        case .expire: target = .expired
        }
        guard successors.contains(target), isOpen || target.isOpen else { return nil }
        return AlertTransition(state: target, startsEpisode: !isOpen)
    }
}

/// What may happen to an alert.
public enum AlertSignal: Sendable, CaseIterable {
    case trigger, suppress, unsuppress, acknowledge, releaseAcknowledgement, resolve, expire
}

/// The outcome of a signal.
public struct AlertTransition: Sendable, Equatable {
    public var state: AlertState
    /// The alert had ended and fires again: the same fingerprint, a new episode. Nothing carries over, acknowledgements
    /// least of all.
    public var startsEpisode: Bool

    public init(state: AlertState, startsEpisode: Bool) {
        self.state = state
        self.startsEpisode = startsEpisode
    }
}
