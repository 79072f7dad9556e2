import TocsinDomain

/// Reads a question from left to right.
struct RiemannQueryParser {
    typealias Problem = RiemannQuery.Problem

    private enum Token: Equatable {
        case word(String)
        case string(String)
        case symbol(String)
    }
    private var tokens: [Token] = []
    private var at = 0

    init(_ text: String) throws(Problem) {
        var rest = Array(text)[...]
        while let first = rest.first {
            if first.isWhitespace {
                rest.removeFirst()
            } else if first == "\"" {
                rest.removeFirst()
                tokens.append(.string(try Self.string(&rest)))
            } else if "()".contains(first) {
                tokens.append(.symbol(String(first)))
                rest.removeFirst()
            } else if "=!<>~".contains(first) {
                let symbol = rest.prefix { "=!<>~".contains($0) }
                tokens.append(.symbol(String(symbol)))
                rest = rest[symbol.endIndex...]
            } else {
                let word = rest.prefix { !$0.isWhitespace && !"()=!<>~\"".contains($0) }
                tokens.append(.word(String(word)))
                rest = rest[word.endIndex...]
            }
        }
    }

    /// Up to the quote, which is taken.
    private static func string(_ rest: inout ArraySlice<Character>) throws(Problem) -> String {
        var value = ""
        while let next = rest.popFirst() {
            if next == "\"" { return value }
            if next == "\\" {
                guard let escaped = rest.popFirst() else { break }
                value.append(escaped == "n" ? "\n" : escaped == "t" ? "\t" : escaped)
            } else {
                value.append(next)
            }
        }
        throw Problem(description: "a string of the query does not end")
    }

    mutating func whole() throws(Problem) -> RiemannQuery.Expression {
        let expression = try any(0)
        guard at == tokens.count else { throw unexpected() }
        return expression
    }

    private func unexpected() -> Problem {
        let expected =
            "expected true, false, not, (, host, service, state, description, metric, ttl, time or tagged, "
            + "joined by and, or; other parts of Riemann's language are not known here"
        guard at < tokens.count else { return Problem(description: "the query ends too early; \(expected)") }
        let shown =
            switch tokens[at] {
            case .word(let text), .symbol(let text): text
            case .string(let text): "\"\(text)\""
            }
        return Problem(description: "\(shown.cut(to: 64)) in the query is not understood; \(expected)")
    }

    private mutating func take(_ token: Token) -> Bool {
        guard at < tokens.count, tokens[at] == token else { return false }
        at += 1
        return true
    }

    private mutating func any(_ depth: Int) throws(Problem) -> RiemannQuery.Expression {
        var parts = [try all(depth)]
        while take(.word("or")) { parts.append(try all(depth)) }
        return parts.count == 1 ? parts[0] : .any(parts)
    }

    private mutating func all(_ depth: Int) throws(Problem) -> RiemannQuery.Expression {
        var parts = [try single(depth)]
        while take(.word("and")) { parts.append(try single(depth)) }
        return parts.count == 1 ? parts[0] : .all(parts)
    }

    private mutating func single(_ depth: Int) throws(Problem) -> RiemannQuery.Expression {
        guard depth < RiemannQuery.depth else {
            throw Problem(description: "the query is nested more than \(RiemannQuery.depth) deep")
        }
        if take(.word("not")) { return .not(try single(depth + 1)) }
        if take(.symbol("(")) {
            let inner = try any(depth + 1)
            guard take(.symbol(")")) else { throw unexpected() }
            return inner
        }
        if take(.word("true")) { return .constant(true) }
        if take(.word("false")) { return .constant(false) }
        if take(.word("tagged")) { return .tagged(try string()) }
        guard at < tokens.count, case .word(let word) = tokens[at] else { throw unexpected() }
        if let field = RiemannQuery.Field(rawValue: word) {
            at += 1
            return try condition(on: field)
        }
        guard let quantity = RiemannQuery.Quantity(rawValue: word) else { throw unexpected() }
        at += 1
        guard at + 1 < tokens.count, case .symbol(let symbol) = tokens[at],
            let comparison = RiemannQuery.Comparison(rawValue: symbol), case .word(let text) = tokens[at + 1],
            let number = Double(text)
        else { throw unexpected() }
        at += 2
        return .compares(quantity, comparison, number)
    }

    private mutating func condition(on field: RiemannQuery.Field) throws(Problem) -> RiemannQuery.Expression {
        if take(.symbol("=~")) { return .like(field, Glob(try string(), any: "%", one: nil)) }
        let isEqual = take(.symbol("="))
        guard isEqual || take(.symbol("!=")) else { throw unexpected() }
        let value = take(.word("nil")) ? nil : try string()
        return isEqual ? .equals(field, value) : .not(.equals(field, value))
    }

    private mutating func string() throws(Problem) -> String {
        guard at < tokens.count, case .string(let value) = tokens[at] else { throw unexpected() }
        at += 1
        return value
    }
}
