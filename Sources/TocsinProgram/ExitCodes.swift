/// How a program ends. Few, stable, and after sysexits.h where that has a word.
package enum ExitCodes: Int32, CaseIterable {
    case success = 0
    case refused = 1
    case usage = 64
    case damaged = 65
    case notFound = 66
    case unavailable = 69
    case internalError = 70
    case cannotStart = 73
    case timedOut = 75
    case notAdmitted = 77
    case configuration = 78
    case interrupted = 130

    package var meaning: String {
        switch self {
        case .success: "It was done."
        case .refused: "The hub or the archive refused it, or a policy has faults; the message says why. Nothing was changed."
        case .usage: "The command line was not understood."
        case .damaged: "The journal or the archive is not as it was written; the message says where. Nothing was changed."
        case .notFound: "There is no such incident, dead letter, pool, journal or archive."
        case .unavailable: "The hub, or the process that answers, could not be reached. Nothing was changed."
        case .internalError: "A fault in Tocsin itself."
        case .cannotStart: "A process cannot start: the port is taken, or the data folder is in use or not writable."
        case .timedOut: "No answer in time; it is not known whether it was done. Doing it again is safe."
        case .notAdmitted: "The hub does not let this client in: no key, or one that is not authorised. Nothing was changed."
        case .configuration: "The configuration is wrong; the message gives file, line and column."
        case .interrupted: "Stopped at once by a second Ctrl-C (143: by a second SIGTERM)."
        }
    }
}
