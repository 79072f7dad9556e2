/// Rows of text in aligned columns.
package struct Table {
    package struct Column {
        var title: String
        var isRight = false
        /// Takes what is left of the line, and is shortened when that is too little.
        var isFlexible = false

        package static func left(_ title: String) -> Column { Column(title: title) }
        package static func right(_ title: String) -> Column { Column(title: title, isRight: true) }
        package static func flexible(_ title: String) -> Column { Column(title: title, isFlexible: true) }
    }

    package struct Cell: ExpressibleByStringInterpolation {
        var text: String
        var style: Style

        package init(_ text: String, _ style: Style = .plain) {
            self.text = text.printable
            self.style = style
        }
        package init(stringLiteral text: String) { self.init(text) }
    }

    private static let gap = "  "
    /// A flexible column is not made narrower than this.
    private static let narrowest = 12

    private let columns: [Column]
    private var rows: [[Cell]] = []

    package init(columns: [Column]) { self.columns = columns }

    /// As many cells as there are columns.
    package mutating func add(_ cells: Cell...) { rows.append(cells) }
    package mutating func add(_ cells: [Cell]) { rows.append(cells) }
    package mutating func add(_ cells: [String]) { rows.append(cells.map { Cell($0) }) }

    package mutating func add(_ cells: String...) { add(cells) }

    /// The title line and the rows; `width` nil: as wide as they need.
    package func lines(width: Int?, colour: Bool) -> [String] {
        let widths = widths(for: width)
        let titles = columns.map { Cell($0.title, .dim) }
        return ([titles] + rows).map { row in
            var line = ""
            for (index, cell) in row.enumerated() {
                let text = TextWidth.shortened(cell.text, to: widths[index])
                let padding = String(repeating: " ", count: max(0, widths[index] - TextWidth.columns(of: text)))
                let shown = cell.style.apply(to: text, colour: colour)
                if index > 0 { line += Self.gap }
                if columns[index].isRight {
                    line += padding + shown
                } else {
                    line += index == row.count - 1 ? shown : shown + padding
                }
            }
            return line
        }
    }

    private func widths(for limit: Int?) -> [Int] {
        var widths = columns.map { TextWidth.columns(of: $0.title) }
        for row in rows {
            for (index, cell) in row.enumerated() {
                widths[index] = max(widths[index], TextWidth.columns(of: cell.text))
            }
        }
        guard let limit else { return widths }
        var excess = widths.reduce(0, +) + Self.gap.count * (widths.count - 1) - limit
        // The widest gives first, so that no column vanishes for another.
        while excess > 0 {
            let flexible = columns.indices.filter { columns[$0].isFlexible && widths[$0] > Self.narrowest }
            guard let widest = flexible.max(by: { widths[$0] < widths[$1] }) else { break }
            widths[widest] -= 1
            excess -= 1
        }
        return widths
    }
}

/// How many columns of a terminal a text takes.
package enum TextWidth {
    package static func columns(of text: String) -> Int { text.unicodeScalars.reduce(0) { $0 + columns(of: $1) } }

    /// `text`, or its beginning and `…`, in at most `limit` columns.
    package static func shortened(_ text: String, to limit: Int) -> String {
        guard columns(of: text) > limit else { return text }
        var result = ""
        var used = 1
        for character in text {
            let width = columns(of: String(character))
            if used + width > limit { break }
            result.append(character)
            used += width
        }
        return limit > 0 ? result + "…" : ""
    }

    private static func columns(of scalar: Unicode.Scalar) -> Int {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        default: break
        }
        switch scalar.value {
        // East Asian wide and fullwidth blocks, and emoji (Unicode, EastAsianWidth.txt, abridged).
        case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60,
            0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F680...0x1F6FF, 0x1F900...0x1F9FF, 0x20000...0x3FFFD:
            return 2
        default: return 1
        }
    }
}
