/// How text from outside is shown. What a terminal would obey, what reorders the text around it, and what cannot be seen is
/// written as an escape: `\u{1B}`. `Terminal.write` does so with everything that goes out, so that a place that forgets to has
/// not opened a door; there only line breaks, and the marks that `Style` makes, keep their meaning.
extension String {
    /// On one line, and without marks of `Style`: for a text from outside within a line of ours.
    package var printable: String { replacingUnsafe(\.escape) }

    /// As it may go to a terminal, with the marks of `Style` turned into what the terminal knows.
    package var shown: String { replacingUnsafe { $0 == "\n" ? "\n" : Style.sequence(of: $0) ?? $0.escape } }

    private func replacingUnsafe(_ replacement: (Unicode.Scalar) -> String) -> String {
        guard unicodeScalars.contains(where: \.isUnsafeToShow) else { return self }
        var text = ""
        for scalar in unicodeScalars {
            if scalar.isUnsafeToShow { text += replacement(scalar) } else { text.unicodeScalars.append(scalar) }
        }
        return text
    }
}

extension Unicode.Scalar {
    /// Control characters (C0, DEL, C1), those that change the direction of the text around them, that have no width, that break
    /// lines, that annotate, and those that are no characters (Unicode 16, chapters 23.1, 23.2, 23.7 and 23.8), among which are
    /// the marks of `Style`.
    package var isUnsafeToShow: Bool {
        switch value {
        case 0..<0x20, 0x7F..<0xA0, 0xAD, 0x61C, 0x180E, 0x200B...0x200F, 0x2028...0x202E, 0x2060...0x206F, 0xFDD0...0xFDEF,
            0xFEFF, 0xFFF9...0xFFFB, 0xE0000...0xE007F:
            true
        default: value & 0xFFFE == 0xFFFE
        }
    }

    fileprivate var escape: String {
        switch value {
        case 0x09: "\\t"
        case 0x0A: "\\n"
        case 0x0D: "\\r"
        default: "\\u{" + String(value, radix: 16, uppercase: true) + "}"
        }
    }
}

/// How a text is shown. Marked within a text by characters that are none and for a program's own use, U+FDD0 to U+FDEF.
package enum Style: UInt32, CaseIterable {
    case plain = 0xFDD0
    case bold, dim, critical, major, minor

    /// Parameters of "select graphic rendition" (ECMA-48, 8.3.117).
    private var parameters: String {
        switch self {
        case .plain: "0"
        case .bold: "1"
        case .dim: "2"
        case .critical: "1;31"
        case .major: "33"
        case .minor: "36"
        }
    }

    /// Marks `text`, which is then for `Terminal` to write.
    package func apply(to text: String, colour: Bool) -> String {
        guard colour, self != .plain else { return text }
        return mark + text + Style.plain.mark
    }

    private var mark: String { Unicode.Scalar(rawValue).map { String(Character($0)) } ?? "" }

    fileprivate static func sequence(of mark: Unicode.Scalar) -> String? {
        Style(rawValue: mark.value).map { "\u{1B}[\($0.parameters)m" }
    }
}
