import TocsinCore
import TocsinEngine
import TocsinHub
import TocsinJournal
import TocsinSystem
import TocsinWire

extension HubSettings {
    /// What the hub itself takes. `software` is told to peers.
    ///
    /// - Throws: `WireError` for a pool that cannot be.
    public func options(software: String) throws(WireError) -> HubOptions {
        var options = HubOptions(directory: directory, keys: keys)
        options.allowsPlainTCP = allowsPlainTCP
        options.endpoints = endpoints
        options.engine.software = software
        options.engine.core.heartbeat = UInt64(heartbeat.milliseconds)
        options.engine.core.aging = UInt64(aging.milliseconds)
        options.engine.core.dedupWindow = UInt64(dedupWindow.milliseconds)
        options.engine.core.subjects = try parsed(Self.ownSubjects + subjects)
        options.engine.journal.segmentBytes = segmentBytes
        options.engine.journal.retainBytes = retainBytes
        options.engine.journal.retainAge = UInt64(retainAge.milliseconds)
        options.engine.journal.maxBytes = maxBytes
        options.drainMilliseconds = UInt64(drain.milliseconds)
        options.handshakeMilliseconds = Int32(clamping: limits.handshake.milliseconds)
        options.connectionsMax = limits.connections
        options.engine.keyLimits = limits.keys
        for pool in pools { options.engine.pools.append(try pool.definition()) }
        return options
    }

    /// Read by taps and by no pool.
    private static let ownSubjects = ["heartbeat.>", "silence.>"]

    private func parsed(_ subjects: [String]) throws(WireError) -> [SubjectFilter] {
        var filters: [SubjectFilter] = []
        for subject in subjects { filters.append(try SubjectFilter(subject)) }
        return filters
    }
}

extension PoolSettings {
    fileprivate func definition() throws(WireError) -> PoolDefinition {
        try PoolDefinition(
            name: name, filters: filters, visibility: UInt64(visibility.milliseconds), maxAttempts: UInt32(maxAttempts),
            fromStart: fromStart, backoff: UInt64(backoff.milliseconds), exclusive: exclusive)
    }
}
