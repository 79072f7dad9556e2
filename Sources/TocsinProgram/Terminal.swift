import Glibc
import TocsinSystem

/// Standard output and standard error: what they are, and writing to them.
package enum Terminal {
    package static let isOutputTerminal = isatty(1) == 1

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

    /// Writes all of `text`, in one call where the system takes it whole. When the reader of the data is gone, so is the
    /// reason to go on.
    package static func write(_ text: String, to descriptor: Int32) {
        var text = text
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

/// How a text is shown.
package enum Style: String {
    case plain = ""
    case bold = "1"
    case dim = "2"
    case critical = "1;31"
    case major = "33"
    case minor = "36"

    package func apply(to text: String, colour: Bool) -> String {
        colour && self != .plain ? "\u{1B}[\(rawValue)m\(text)\u{1B}[0m" : text
    }
}

extension String {
    /// Without what a terminal would obey: titles and log lines come from anywhere.
    package var printable: String {
        guard unicodeScalars.contains(where: { $0.isControl }) else { return self }
        var scalars = String.UnicodeScalarView()
        for scalar in unicodeScalars {
            scalars.append(scalar.isControl ? (scalar == "\n" || scalar == "\t" ? " " : "\u{FFFD}") : scalar)
        }
        return String(scalars)
    }
}

extension Unicode.Scalar {
    /// Control characters, and those that change the direction of the text around them.
    fileprivate var isControl: Bool {
        switch value {
        case 0..<0x20, 0x7F..<0xA0, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069: true
        default: false
        }
    }
}
