import ArgumentParser
import CLinux
import Glibc
import Synchronization
import TocsinKit
import TocsinSystem
import TocsinWire

/// Publishes at a fixed rate whatever the answers do (an open loop), so that a stall of the hub shows in every message that
/// was due meanwhile. Each payload begins with the time at which the message was due.
struct Pace: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Publishes durably at a fixed rate, for latency.")
    @OptionGroup var connection: Connection
    @Option(help: "Messages.") var count = 50_000
    @Option(help: "Messages a second.") var rate = 5_000
    @Option(help: "Bytes of payload, random after the first 8.") var size = 256

    @Option(help: "Severity of every message.") var severity = WireSeverity.info

    func validate() throws {
        guard size >= 8, rate >= 1 else { throw ValidationError("--size is at least 8 and --rate at least 1") }
    }

    /// Prints "ready" before the first message, and at the end one line of JSON, with percentiles of how long after it was due a
    /// message was acknowledged.
    func run() async throws {
        let client = try await connection.open(as: "publisher")
        report("ready")
        let payloads = RandomPayloads(size: size)
        let subject = "\(connection.pool).x"
        let interval = UInt64(1_000_000_000 / rate)
        let (count, severity) = (count, severity)
        let began = monotonic() + 10_000_000
        let outcomes = Outcomes()
        // A thread of its own keeps time: a task that sleeps comes later than was asked for, and at a higher cost.
        let begun = try await BlockingPool(threads: 1).run { cancelled in
            // By default a wait may end 50 µs late, which would be counted as the hub's.
            guard tocsin_set_timer_slack(1) == 0 else {
                throw ClientError.badOption("the timer slack cannot be set: errno \(errno)")
            }
            var next = 0
            var begun = 0
            while next < count, !cancelled.isSet {
                let due = began + UInt64(next) * interval
                let now = monotonic()
                if due > now {
                    sleep(until: due)
                    continue
                }
                // All that became due during one sleep go together, each with its own time.
                let end = min(count, Int((now - began) / interval) + 1)
                let messages = (next..<end).map { number in
                    var payload = Array(payloads.payload(number))
                    withUnsafeBytes(of: (began + UInt64(number) * interval).bigEndian) {
                        payload.replaceSubrange(0..<8, with: $0)
                    }
                    return Message(subject: subject, severity: severity, payload: payload)
                }
                next = end
                begun += 1
                // Begun on this thread: to hand it to another first would be a wake-up for each.
                let first = began + UInt64(next - messages.count) * interval
                _ = Task.immediate {
                    do {
                        try await client.publish(messages)
                        outcomes.add(.success(monotonic() - first))
                    } catch {
                        outcomes.add(.failure(error))
                    }
                }
            }
            return begun
        }
        let delays = try await outcomes.wait(for: begun).sorted()
        let ended = monotonic()
        await client.close()
        report("{\"stored\":\(count),\"began\":\(began),\"ended\":\(ended)\(percentiles(of: delays))}")
    }
}

/// Blocks the thread until `monotonic()` is `time`.
private func sleep(until time: UInt64) {
    var time = timespec(tv_sec: Int(time / 1_000_000_000), tv_nsec: Int(time % 1_000_000_000))
    while clock_nanosleep(CLOCK_MONOTONIC, Int32(TIMER_ABSTIME), &time, nil) == EINTR {}
}

/// What came of publishes.
private final class Outcomes: Sendable {
    private struct State {
        /// Nanoseconds from when the first message of each was due.
        var delays: [UInt64] = []
        var count = 0
        var failure: (any Error)?
    }
    private let state = Mutex(State())

    func add(_ outcome: Result<UInt64, any Error>) {
        state.withLock {
            $0.count += 1
            switch outcome {
            case .success(let delay): $0.delays.append(delay)
            case .failure(let failure): $0.failure = $0.failure ?? failure
            }
        }
    }

    /// How long each took, when there are so many; throws the first failure.
    func wait(for count: Int) async throws -> [UInt64] {
        while true {
            let state = state.withLock { $0 }
            if let failure = state.failure { throw failure }
            if state.count >= count { return state.delays }
            try await Task.sleep(for: .milliseconds(1))
        }
    }
}
