import TocsinWire

/// A pool as it is at a moment.
public struct PoolSnapshot: Sendable, Equatable {
    public var name: String
    public var filters: [String]
    /// Waiting, delayed ones included.
    public var queued: UInt64
    public var delayed: UInt64
    public var inFlight: UInt64
    public var dead: UInt64
    public var workers: Int
    /// Age of the oldest message that is ready, milliseconds, to the second.
    public var oldest: UInt64
    public var queuedBySeverity: [(WireSeverity, UInt64)]
    public var counters: PoolCounters

    public static func == (a: PoolSnapshot, b: PoolSnapshot) -> Bool {
        a.name == b.name && a.queued == b.queued && a.inFlight == b.inFlight && a.dead == b.dead && a.counters == b.counters
    }
}

/// A peer as it is at a moment. Times in milliseconds.
public struct PeerSnapshot: Sendable, Equatable {
    public var peer: PeerID
    public var description: PeerDescription
    public var connected: UInt64
    public var silent: UInt64
    public var pools: [String]
    public var services: [String]
    public var inFlight: Int
}

extension Core {
    /// Tells this journal from others, and nothing of the seed that hashes are keyed with.
    public var publicIdentity: UInt64 {
        withUnsafeBytes(of: hash.hash(UnsafeRawBufferPointer(start: nil, count: 0), lane: 5)) { hash.hash($0, lane: 6) }
    }
    public var poolNames: [String] { pools.map(\.definition.name) }
    public var peerIDs: [PeerID] { peerOrder }
    /// Whether a peer has a session.
    public func isWelcomed(_ peer: PeerID) -> Bool { peers[peer] != nil }
    /// Whether a delivery is still the latest of its message, and its subscription open.
    public func isOut(_ entry: DeliveryEntry, to peer: PeerID, _ subscription: UInt64) -> Bool {
        guard let pool = peers[peer]?.subscriptions.first(where: { $0.id == subscription })?.pool,
            let lease = pools[pool].leases.find(entry.token, sequence: entry.sequence)
        else { return false }
        return lease.peer == peer && lease.subscription == subscription
    }
    public var callsInFlight: Int { calls.count }
    /// Deliveries that are not settled, of all pools.
    public var inFlight: Int { pools.reduce(0) { $0 + $1.leases.count } }

    public func hasSubscription(_ peer: PeerID, _ id: UInt64) -> Bool {
        peers[peer]?.subscriptions.contains { $0.id == id } ?? false
    }

    /// In order of creation.
    public func poolSnapshots(at now: Moment) -> [PoolSnapshot] {
        pools.map { pool in
            var pool = pool
            let oldest = pool.oldest(slab).map { UInt64(seconds(now) &- $0) * 1000 } ?? 0
            return PoolSnapshot(
                name: pool.definition.name, filters: pool.definition.filters.map(\.description), queued: pool.waiting,
                delayed: pool.delayed, inFlight: UInt64(pool.leases.count), dead: UInt64(pool.dead.count),
                workers: pool.members.count, oldest: oldest,
                queuedBySeverity: [
                    (.critical, pool.queued.3), (.major, pool.queued.2), (.minor, pool.queued.1), (.info, pool.queued.0),
                ], counters: pool.counters)
        }
    }

    /// In order of connecting.
    public func peerSnapshots(at now: Moment) -> [PeerSnapshot] {
        var held: [PeerID: Int] = [:]
        for pool in pools { pool.leases.countByPeer(&held) }
        return peerOrder.compactMap { id in
            peers[id].map { peer in
                PeerSnapshot(
                    peer: id, description: peer.description, connected: now.steady - peer.connected,
                    silent: now.steady - peer.heard,
                    pools: peer.subscriptions.map { pools[$0.pool].definition.name }, services: peer.services,
                    inFlight: (held[id] ?? 0) + peer.serving)
            }
        }
    }
}
