#if TOCSIN_PLANTED_BUGS
    /// A bug in the hub's own code, at the line that it breaks: `tools/sim --mutants` must find each from outside, else the
    /// checkers see less than they say. Compiled only with `TOCSIN_PLANTED_BUGS`, which only `tools/sim` sets; no product
    /// builds with it.
    public enum PlantedBug: String, CaseIterable, Sendable {
        /// A publisher is answered as soon as its messages are handed to the writer.
        case answeredBeforeSync = "answered-before-sync"
        /// A sync that failed is tried again, and its success believed.
        case failedSyncRetried = "failed-sync-retried"
        /// Recovery takes any damage for an unfinished write and cuts there.
        case cutAtBadChecksum = "cut-at-bad-checksum"
        /// A segment is let go of though it holds a dead letter.
        case deadLetterRemoved = "dead-letter-removed"
        /// Ids stored before a restart are not known after it.
        case duplicatesForgotten = "duplicates-forgotten"
        /// Attempts made before a restart are not counted after it.
        case attemptsForgotten = "attempts-forgotten"
        /// The settlement of a delivery that was lost to another is taken.
        case lateSettlementTaken = "late-settlement-taken"
        /// The next message of a key goes out while one is.
        case keyOvertaken = "key-overtaken"
        /// A delivery costs one credit less than it has messages.
        case creditOffByOne = "credit-off-by-one"
        /// What has waited longest never gets its turn before what is worse.
        case nothingAges = "nothing-ages"
        /// A call's messages are passed on past the window of its receiver.
        case windowIgnored = "window-ignored"
        /// The server of a call is not told that its caller has cancelled it.
        case cancelNotPassed = "cancel-not-passed"

        /// The bug of this process. Set before the first history begins, never after: that is what makes it safe.
        public nonisolated(unsafe) static var planted: PlantedBug?

        public var isPlanted: Bool { Self.planted == self }
    }
#endif
