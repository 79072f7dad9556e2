import Glibc

/// The machine's clocks. Thread-safe.
package enum MachineClock {
    /// Milliseconds since 1970.
    package static func wall() -> UInt64 { read(CLOCK_REALTIME) / 1_000_000 }

    /// Nanoseconds of the clock that is not set back, from a moment in the past that is the same for all processes of the machine.
    package static func steady() -> UInt64 { read(CLOCK_MONOTONIC) }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(max(0, time.tv_sec)) * 1_000_000_000 + UInt64(max(0, time.tv_nsec))
    }
}

extension Duration {
    /// Whole milliseconds, at least 0; what does not fit is cut to about 100 years, so that sums do not overflow.
    package var wholeMilliseconds: Int64 {
        let (seconds, attoseconds) = components
        if seconds < 0 { return 0 }
        return min(seconds, 3_000_000_000) * 1000 + attoseconds / 1_000_000_000_000_000
    }
}
