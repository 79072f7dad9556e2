import TocsinSystem

/// Running the commands of runbooks and notifications.
enum Command {
    /// From SIGTERM to SIGKILL when a command is late.
    static let killGrace = Duration.seconds(2)

    /// What a command came to, for a timeline.
    struct Outcome: Sendable {
        var succeeded: Bool
        /// "exit code 2 after 13 ms".
        var summary: String
        /// The first lines it printed; may be empty.
        var excerpt: String

        var text: String { excerpt.isEmpty ? summary : "\(summary)\n\(excerpt)" }
    }

    /// A command that cannot be started is a failed one.
    ///
    /// - Throws: `CancellationError`, `BlockingPoolError`.
    static func run(
        _ command: [String], environment: [String: String], stdin: [UInt8] = [], timeout: Duration,
        on pool: BlockingPool
    ) async throws -> Outcome {
        do {
            let result = try await Subprocess.run(
                command, environment: environment, stdin: stdin, timeout: timeout, outputLimit: 4096,
                killGrace: killGrace, pool: pool)
            let time = result.timedOut ? "" : " after \(result.duration.milliseconds) ms"
            return Outcome(
                succeeded: result.succeeded, summary: result.outcome + time,
                excerpt: Excerpt.of(stdout: result.stdout, stderr: result.stderr))
        } catch let error as SubprocessError {
            return Outcome(succeeded: false, summary: error.description, excerpt: "")
        }
    }
}
