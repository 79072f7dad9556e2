/// A disk, network or clock that breaks its promises: a history under one of these must fail, else the checkers see nothing.
/// Bugs of the hub's own code are planted there: see `Planted`.
public enum Mutation: String, Sendable, CaseIterable {
    /// The disk forgets at a power cut what it had synced last.
    case forgetfulDisk
    /// What is read is now and then not what is on the disk.
    case wrongReads
    /// What taps are sent is now and then lost though the connection stands.
    case lostTapped
    /// The hub's clock stops.
    case stoppedClock
}

/// What a history is made of. Everything else is drawn from the seed.
public struct SimulationOptions: Sendable {
    /// Milliseconds of trouble before the faults end.
    public var duration: UInt64 = 20_000
    /// Milliseconds after the end of the faults in which everything must come to rest.
    public var patience: UInt64 = 240_000
    public var mutation: Mutation?
    public init() {}
}

/// How often what really happened.
public struct Coverage: Sendable {
    public var messages = 0
    public var deliveries = 0
    public var settlements = 0
    public var tapped = 0
    public var crashes = 0
    public var powerCuts = 0
    public var crashesInRecovery = 0
    public var crashesInWrites = 0
    public var crashesInJobs = 0
    public var orderlyStops = 0
    public var recoveries = 0
    public var tornTails = 0
    public var tornWrites = 0
    public var lostWrites = 0
    public var namesLost = 0
    public var writeErrors = 0
    public var syncErrors = 0
    public var readErrors = 0
    public var removeErrors = 0
    public var diskFull = 0
    public var flips = 0
    public var sectorsFlipped = 0
    public var refusedStarts = 0
    public var segmentsMade = 0
    public var segmentsRemoved = 0
    public var messagesCarried = 0
    public var connectionsLost = 0
    public var connectionsRemade = 0
    public var messagesLost = 0
    public var messagesRepeated = 0
    public var queuesFull = 0
    public var pauses = 0
    public var clockJumps = 0
    public var resends = 0
    public var duplicates = 0
    public var refusals = 0
    /// Publishes refused because the journal had its limit.
    public var limitsReached = 0
    public var redeliveries = 0
    public var expiredLeases = 0
    public var staleSettlements = 0
    public var retries = 0
    public var rejects = 0
    public var deadLetters = 0
    public var deadLettersRevived = 0
    public var deadLettersDiscarded = 0
    public var delayedMessages = 0
    public var delayedCancelled = 0
    public var agedTurns = 0
    public var gaps = 0
    public var calls = 0
    public var callsFailed = 0
    public var streams = 0
    public var streamsDone = 0
    public var streamsFailed = 0
    /// Ended by the hub because the server, or the caller, sent past the window.
    public var windowsExceeded = 0
    public var windowsRefused = 0
    public var cheatersEnded = 0
    public init() {}

    static let fields: [(name: String, path: any WritableKeyPath<Coverage, Int> & Sendable)] = [
        ("messages stored", \.messages), ("deliveries", \.deliveries), ("settlements", \.settlements),
        ("messages tapped", \.tapped), ("crashes", \.crashes), ("power cuts", \.powerCuts),
        ("crashes in recovery", \.crashesInRecovery), ("crashes in a write", \.crashesInWrites),
        ("crashes in a segment job", \.crashesInJobs), ("orderly stops", \.orderlyStops), ("recoveries", \.recoveries),
        ("torn tails cut", \.tornTails), ("files torn", \.tornWrites), ("files with writes lost", \.lostWrites),
        ("names lost", \.namesLost), ("write errors", \.writeErrors), ("sync errors", \.syncErrors),
        ("read errors", \.readErrors), ("remove errors", \.removeErrors), ("disk full", \.diskFull), ("bits flipped", \.flips),
        ("sectors changed", \.sectorsFlipped),
        ("starts refused", \.refusedStarts), ("segments made", \.segmentsMade), ("segments removed", \.segmentsRemoved),
        ("messages carried", \.messagesCarried),
        ("connections lost", \.connectionsLost), ("connections re-made", \.connectionsRemade),
        ("messages lost", \.messagesLost), ("messages repeated", \.messagesRepeated), ("queues full", \.queuesFull),
        ("hub pauses", \.pauses),
        ("clock jumps", \.clockJumps), ("batches sent again", \.resends), ("duplicates", \.duplicates),
        ("requests refused", \.refusals), ("refused at the limit", \.limitsReached), ("redeliveries", \.redeliveries),
        ("leases expired", \.expiredLeases),
        ("stale settlements", \.staleSettlements), ("retries", \.retries), ("rejects", \.rejects),
        ("dead letters", \.deadLetters), ("dead letters revived", \.deadLettersRevived),
        ("dead letters discarded", \.deadLettersDiscarded), ("messages for later", \.delayedMessages),
        ("messages cancelled", \.delayedCancelled), ("turns given to the aged", \.agedTurns), ("gaps told", \.gaps),
        ("calls", \.calls), ("calls failed", \.callsFailed), ("streams", \.streams), ("streams done", \.streamsDone),
        ("streams failed", \.streamsFailed), ("windows exceeded", \.windowsExceeded), ("windows refused", \.windowsRefused),
        ("cheaters ended", \.cheatersEnded),
    ]

    public static func += (a: inout Coverage, b: Coverage) {
        for field in fields { a[keyPath: field.path] += b[keyPath: field.path] }
    }

    /// One line for each counter.
    public var lines: [String] {
        let width = Self.fields.map(\.name.count).max() ?? 0
        return Self.fields.map { field in
            "\(field.name)\(String(repeating: " ", count: width - field.name.count))  \(self[keyPath: field.path])"
        }
    }

    /// Names of what never happened.
    public var missing: [String] { Self.fields.filter { self[keyPath: $0.path] == 0 }.map(\.name) }
}

/// What became of one history.
public struct SimulationReport: Sendable {
    public var seed: UInt64
    /// Of everything that happened: the same seed gives the same.
    public var hash: UInt64
    /// Milliseconds of virtual time.
    public var elapsed: UInt64
    public var violation: Violation?
    public var coverage: Coverage
}
