import TocsinArchive
import TocsinDetection
import TocsinEngine
import TocsinKeys
import TocsinPolicy
import TocsinResponse
import TocsinTriage

/// Everything one `tocsin.yaml` says, with defaults filled in and paths made absolute.
public struct Configuration: Sendable {
    /// The file it was read from; nil: defaults only.
    public var file: String?
    /// Where clients and workers find the hub.
    public var endpoint: String
    /// What clients and workers prove who they are with, over TCP; nil: nothing.
    public var identity: Identity?
    /// Under it every process keeps what must survive it.
    public var data: String
    public var log: LogSettings
    public var hub: HubSettings
    /// Each one process.
    public var detectors: [DetectorConfiguration]
    /// How what is reported is judged and who is told.
    public var policy: Policy
    public var triage: TriageConfiguration
    /// Triage processes that `tocsin up` runs.
    public var triageWorkers: Int
    public var responders: ResponderSettings
    public var archiver: ArchiveConfiguration
    public var gateway: GatewaySettings
    /// Every key that was read: its value and where it comes from, in the order of the documentation.
    public var settings: [Setting]
}

public struct LogSettings: Sendable, Equatable {
    public enum Format: String, Sendable, CaseIterable {
        case logfmt, json
    }
    /// A level of swift-log: `trace`, `debug`, `info`, `notice`, `warning`, `error`, `critical`.
    public var level: String
    public var format: Format

    public init(level: String = "info", format: Format = .logfmt) {
        self.level = level
        self.format = format
    }
}

/// What the hub needs to know.
public struct HubSettings: Sendable, Equatable {
    /// What it binds.
    public var endpoints: [String]
    /// Where other hosts reach it, as key files say; nil: nowhere.
    public var advertised: String?
    /// Folder of its keys and of those that are let in.
    public var keys: String
    /// TCP endpoints are open to everybody, where there are no keys.
    public var allowsPlainTCP: Bool
    /// Where the journal is.
    public var directory: String
    public var heartbeat: Duration
    public var aging: Duration
    public var dedupWindow: Duration
    /// One file of the journal, bytes.
    public var segmentBytes: Int
    /// Of messages that every pool has settled, bytes kept at least, for taps that replay.
    public var retainBytes: Int
    /// And for how long at most.
    public var retainAge: Duration
    /// What the journal may take on disk, bytes; 0: all there is.
    public var maxBytes: Int
    /// How long a hub that is stopped waits for workers to settle what they hold.
    public var drain: Duration
    public var limits: HubLimits
    /// Subjects accepted though no pool takes them.
    public var subjects: [String]
    public var pools: [PoolSettings]
}

/// What peers of the hub may take.
public struct HubLimits: Sendable, Equatable {
    /// A connection that has not finished its handshake by then is ended.
    public var handshake: Duration
    /// TCP connections at once.
    public var connections: Int
    public var keys: KeyLimitTable
}

public struct PoolSettings: Sendable, Equatable {
    public var name: String
    public var filters: [String]
    public var visibility: Duration
    public var maxAttempts: Int
    /// A new pool begins with what the journal still holds.
    public var fromStart: Bool
    /// After a failed attempt a message waits this long, doubled with each.
    public var backoff: Duration
    /// One worker gets messages, the others stand by.
    public var exclusive: Bool

    public init(
        name: String, filters: [String], visibility: Duration = .seconds(30), maxAttempts: Int = 5,
        fromStart: Bool = false, backoff: Duration = .zero, exclusive: Bool = false
    ) {
        self.name = name
        self.filters = filters
        self.visibility = visibility
        self.maxAttempts = maxAttempts
        self.fromStart = fromStart
        self.backoff = backoff
        self.exclusive = exclusive
    }
}

/// What every responder does; each process has a folder of its own under `directory`.
public struct ResponderSettings: Sendable {
    /// Processes that `tocsin up` runs.
    public var workers: Int
    public var directory: String
    public var runbooks: [Runbook]
    public var notifications: [NotificationTarget]
    public var parallelism: Int
    /// How long the hub leaves a change with one responder.
    public var visibility: Duration
    public var stopGrace: Duration

    /// The configuration of the responder called `name`.
    public func configuration(name: String) -> ResponderConfiguration {
        ResponderConfiguration(
            name: name, directory: "\(directory)/\(name)", runbooks: runbooks, notifications: notifications,
            parallelism: parallelism, visibility: visibility, stopGrace: stopGrace)
    }
}
