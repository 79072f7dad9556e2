import ArgumentParser
import Glibc
import TocsinSystem

/// Standard output and standard error: what they are, and writing to them.
package enum Terminal {
    package static let isOutputTerminal = isatty(1) == 1

    /// Somebody is there to answer.
    package static var isInteractive: Bool { isatty(0) == 1 && isatty(2) == 1 }

    /// Asks a person for a line; without the space around it.
    ///
    /// - Throws: `ExitCodes.interrupted` if there is no answer: the end of the input.
    package static func ask(_ question: String) throws -> String {
        write(question + " ", to: 2)
        guard let line = readLine() else { throw ExitCode(ExitCodes.interrupted.rawValue) }
        var trimmed = line.drop(while: \.isWhitespace)
        while trimmed.last?.isWhitespace ?? false { trimmed.removeLast() }
        return String(trimmed.prefix(4096))
    }

    /// Columns of the terminal; nil if the output goes elsewhere, where nothing is shortened.
    package static var width: Int? {
        guard isOutputTerminal else { return nil }
        var size = winsize()
        if ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 { return Int(size.ws_col) }
        return 80
    }

    /// Colour only for a person: on a terminal that has it, and never with NO_COLOR (no-color.org).
    package static var hasColour: Bool {
        isOutputTerminal && (environment("NO_COLOR") ?? "").isEmpty && environment("TERM") != "dumb"
    }

    package static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// One line of data.
    package static func print(_ line: String) { write(line + "\n", to: 1) }

    package static func print(_ table: Table) {
        for line in table.lines(width: width, colour: hasColour) { print(line) }
    }

    /// One document.
    package static func print(json: JSON) { print(json.pretty) }

    /// One line for a person.
    package static func say(_ line: String) { write(line + "\n", to: 2) }

    /// Writes all of `text`, in one call where the system takes it whole, without anything in it that a terminal would obey.
    /// All output passes here. When the reader of the data is gone, so is the reason to go on.
    package static func write(_ text: String, to descriptor: Int32) {
        var text = text.shown
        text.withUTF8 { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if errno == EINTR {
                    continue
                } else {
                    if descriptor == 1 && errno == EPIPE { _exit(128 + SIGPIPE) }
                    return
                }
            }
        }
    }
}

extension Slice where Base == UnsafeBufferPointer<UInt8> {
    fileprivate var baseAddress: UnsafePointer<UInt8>? { base.baseAddress.map { $0 + startIndex } }
}
