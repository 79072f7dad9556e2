import TocsinCore
import TocsinEngine
import TocsinJournal

/// Settings of a hub.
public struct HubOptions: Sendable {
    /// ZeroMQ endpoints to bind: `tcp://0.0.0.0:7117` for whoever has a key, `ipc:///run/tocsin/hub` for the same user.
    public var endpoints: [String] = []
    /// Where the journal is. Created if absent; one hub at a time.
    public var directory: String
    public var engine = EngineOptions()
    /// Folder of the hub's keys and of those that are let in (see `KeyFolder`); looked at for changes once a second.
    public var keys: String
    /// TCP endpoints without CURVE, where the folder has no key pair of the hub: everybody who reaches them may do everything.
    public var allowsPlainTCP = false
    /// A connection that has not finished its handshake after so many milliseconds is ended: 100 to 60,000.
    public var handshakeMilliseconds: Int32 = 3_000
    /// TCP connections at once: 16 and more; fewer if the process may not open so many files. Beyond it, and of those without a
    /// session beyond an eighth of it, the oldest that have none are ended.
    public var connectionsMax = 8_192
    /// How long `stop` waits for workers to settle what they hold, milliseconds.
    public var drainMilliseconds: UInt64 = 2_000

    public init(directory: String, keys: String? = nil) {
        self.directory = directory
        self.keys = keys ?? "\(directory)/keys"
    }

    /// Every sentence about what cannot work, empty if nothing.
    public var problems: [String] {
        var problems: [String] = []
        if endpoints.isEmpty { problems.append("the hub has no endpoint") }
        if directory.isEmpty { problems.append("the hub has no data directory") }
        let segment = engine.journal.segmentBytes
        if segment < 1 << 20 || segment > 1 << 30 || segment % 4096 != 0 {
            problems.append("a segment has 1 MiB to 1 GiB, a multiple of 4 KiB; \(segment) bytes were given")
        }
        if engine.journal.retainBytes < 0 { problems.append("retain must not be negative") }
        if engine.journal.maxBytes != 0, engine.journal.maxBytes < 3 * segment {
            problems.append(
                "the journal's limit is at least three segments, \(3 * segment) bytes; \(engine.journal.maxBytes) were given")
        }
        if !(100...60_000).contains(engine.core.heartbeat) {
            problems.append("the heartbeat must be 100 ms to 60 s; \(engine.core.heartbeat) ms were given")
        }
        if !(100...60_000).contains(handshakeMilliseconds) {
            problems.append("a handshake may take 100 ms to 60 s; \(handshakeMilliseconds) ms were given")
        }
        if connectionsMax < 16 { problems.append("at least 16 connections must be possible; \(connectionsMax) were given") }
        var names: Set<String> = []
        for pool in engine.pools where !names.insert(pool.name).inserted {
            problems.append("pool \"\(pool.name)\" is configured twice")
        }
        return problems
    }
}

/// Why a hub cannot start, or had to end; one sentence that says what, where and what to do.
public struct HubError: Error, Sendable, CustomStringConvertible {
    public enum Code: Sendable {
        /// The options cannot work.
        case options
        /// The keys cannot be used, or are missing.
        case keys
        /// The folder is in use by another hub.
        case inUse
        /// An endpoint cannot be bound.
        case bind
        /// The journal is damaged.
        case corrupt
        /// A file operation failed.
        case disk
        /// Anything else.
        case other
    }
    public var code: Code
    public var description: String
}
