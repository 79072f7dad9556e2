import TocsinCore
import TocsinEngine

/// The only clock of a history. Nothing waits: time moves when the next thing happens.
final class VirtualClock {
    /// Microseconds since the history began.
    var now: UInt64 = 0
    /// What the wall clock is ahead of a steady one, milliseconds; changes when somebody sets the clock.
    var wallOffset: UInt64 = 1_700_000_000_000
    /// The hub's clock shows this and no more (a broken variant).
    var stoppedAt: UInt64?

    /// As a hub reads it.
    var moment: Moment {
        let steady = min(now, stoppedAt ?? now) / 1000
        // Not zero: a machine has run for a while before its hub starts.
        return Moment(wall: wallOffset + steady, steady: 1_000_000 + steady)
    }
}

struct SimulatedTime: TimeSource {
    let clock: VirtualClock
    func now() -> Moment { clock.moment }
}

/// What happens, in order: a line each where somebody reads along, a hash always. The same seed gives the same hash.
final class Trace {
    private let clock: VirtualClock
    private let sink: ((String) -> Void)?
    private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325

    init(clock: VirtualClock, sink: ((String) -> Void)?) {
        self.clock = clock
        self.sink = sink
    }

    /// `detail` is for the reader; only the rest counts for the hash.
    func note(
        _ what: StaticString, _ a: UInt64 = 0, _ b: UInt64 = 0, _ c: UInt64 = 0, _ d: UInt64 = 0,
        _ detail: @autoclosure () -> String = ""
    ) {
        what.withUTF8Buffer { for byte in $0 { mix(UInt64(byte)) } }
        mix(clock.now)
        mix(a)
        mix(b)
        mix(c)
        mix(d)
        guard let sink else { return }
        let fraction = String(clock.now % 1_000_000 + 1_000_000).dropFirst()
        sink("\(clock.now / 1_000_000).\(fraction) \(what) \(a) \(b) \(c) \(d) \(detail())")
    }

    private func mix(_ value: UInt64) { hash = (hash ^ value) &* 0x0000_0100_0000_01B3 ^ (hash >> 29) }
}

/// A promise that was not kept. Ends the history.
public struct Violation: Error, Sendable, CustomStringConvertible {
    /// Short name of the rule: see `Checker`.
    public var rule: String
    public var description: String
}
