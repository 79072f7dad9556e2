import ArgumentParser
import GRPCCore
import TocsinArchive
import TocsinConfiguration
import TocsinDetection
import TocsinKeys
import TocsinKit
import TocsinProgram
import TocsinResponse

/// Why a command ends without success: one message that says what, on what, and what to do next.
struct Failure: Error {
    var code: ExitCodes
    var message: String

    init(_ code: ExitCodes, _ message: String) {
        self.code = code
        self.message = message
    }

    /// Nil for what ArgumentParser reports itself.
    init?(_ error: any Error) {
        switch error {
        case let failure as Failure: self = failure
        case let error as ConfigurationError:
            let count = error.problems.count
            self.init(
                .configuration,
                "the configuration has \(count == 1 ? "a problem" : "\(count) problems"):\n\(error.description)")
        case let error as ClientError: self.init(clientError: error)
        case let error as RPCError: self.init(call: error)
        case let error as KeyError: self.init(.cannotStart, error.description)
        case let error as ArchiveError: self.init(error.code == .other ? .internalError : .cannotStart, error.message)
        // A configuration is checked when it is read; what is left for these is folders and files.
        case is ResponderProblem, is ConfigurationProblem: self.init(.cannotStart, "\(error)")
        case is CancellationError: self.init(.interrupted, "stopped")
        case is ExitCode, is ValidationError, is CleanExit: return nil
        default:
            // Errors of parsing have types of their own, which are not public.
            if Tocsin.exitCode(for: error) != .failure { return nil }
            self.init(.internalError, "\(error)")
        }
    }

    private init(clientError error: ClientError) {
        switch error {
        case .refused(_, let message, _): self.init(.refused, "the hub refused it: \(message)")
        case .notAdmitted(let message): self.init(.notAdmitted, message)
        case .timedOut(let message): self.init(.timedOut, message)
        case .call(_, let message): self.init(.refused, message)
        case .spoolFull, .spoolFailed: self.init(.cannotStart, error.description)
        case .badOption(let message): self.init(.usage, message)
        case .protocolViolation(let message):
            self.init(.internalError, "the hub said what this version does not understand: \(message)")
        case .closed: self.init(.unavailable, "the connection was closed")
        }
    }

    private init(call error: RPCError) {
        let message = error.message
        switch error.code {
        case .notFound: self.init(.notFound, message)
        case .deadlineExceeded: self.init(.timedOut, "no answer in time (\(message)); try again")
        case .unimplemented, .unavailable: self.init(.unavailable, message)
        case .unknown, .internalError, .dataLoss: self.init(.internalError, message)
        case .cancelled: self.init(.interrupted, "stopped")
        default: self.init(.refused, message)
        }
    }
}

struct ExitCodesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exit-codes", abstract: "List the exit codes and what they mean.",
        discussion: ExitCodes.allCases.map { "\($0.rawValue)  \($0.meaning)" }.joined(separator: "\n"))

    @OptionGroup var output: OutputOptions

    func run() {
        switch output.format {
        case .json:
            Terminal.print(
                json: .array(
                    ExitCodes.allCases.map { ["code": .integer(Int64($0.rawValue)), "meaning": .string($0.meaning)] }))
        case .text:
            var table = Table(columns: [.right("CODE"), .left("MEANING")])
            for code in ExitCodes.allCases { table.add("\(code.rawValue)", code.meaning) }
            Terminal.print(table)
        }
    }
}
