import ArgumentParser
import Glibc

extension AsyncParsableCommand {
    /// Runs what the arguments say and ends the process with the exit code that belongs to how it went.
    ///
    /// - Parameter explain: the code and the sentence for an error; nil for what ArgumentParser reports itself.
    package static func runToEnd(_ explain: (any Error) -> (code: ExitCodes, message: String)?) async -> Never {
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
            Glibc.exit(ExitCodes.success.rawValue)
        } catch {
            guard let (code, message) = explain(error) else { exit(withError: error) }
            Terminal.say("\(configuration.commandName ?? "tocsin"): \(message)")
            Glibc.exit(code.rawValue)
        }
    }
}
