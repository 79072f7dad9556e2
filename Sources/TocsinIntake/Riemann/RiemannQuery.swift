/// A question about the index, in a part of Riemann's query language:
///
///     expression = "true" | "false" | "not" expression | expression ("and" | "or") expression | "(" expression ")"
///                | field ("=" | "!=") (string | "nil")
///                | field "=~" string                    ; % stands for any characters
///                | ("metric" | "ttl" | "time") ("=" | "!=" | "<" | "<=" | ">" | ">=") number
///                | "tagged" string
///     field      = "host" | "service" | "state" | "description"
///
/// `not` binds more closely than `and`, and that more than `or`.
public struct RiemannQuery: Sendable {
    /// Why a text is no such question: a sentence.
    public struct Problem: Error, Equatable, Sendable, CustomStringConvertible {
        public let description: String
    }
    /// Of a question, in bytes.
    public static let longest = 4096
    /// Of parentheses and `not`.
    static let depth = 32

    indirect enum Expression: Sendable {
        case constant(Bool)
        case not(Expression)
        case all([Expression])
        case any([Expression])
        case equals(Field, String?)
        case like(Field, [Character])
        case compares(Quantity, Comparison, Double)
        case tagged(String)
    }
    enum Field: String, Sendable { case host, service, state, description }
    enum Quantity: String, Sendable { case metric, ttl, time }
    enum Comparison: String, Sendable {
        case equal = "="
        case unequal = "!="
        case less = "<"
        case most = "<="
        case greater = ">"
        case least = ">="
    }

    let expression: Expression

    /// - Throws: what cannot be understood.
    public init(_ text: String) throws(Problem) {
        guard text.utf8.count <= Self.longest else {
            throw Problem(description: "the query has \(text.utf8.count) bytes; at most \(Self.longest) are taken")
        }
        var parser = try RiemannQueryParser(text)
        expression = try parser.whole()
    }

    public func matches(_ event: Riemann_Event) -> Bool { Self.evaluate(expression, event) }

    private static func evaluate(_ expression: Expression, _ event: Riemann_Event) -> Bool {
        switch expression {
        case .constant(let value): value
        case .not(let inner): !evaluate(inner, event)
        case .all(let parts): parts.allSatisfy { evaluate($0, event) }
        case .any(let parts): parts.contains { evaluate($0, event) }
        case .equals(let field, let value): event.value(field) == value
        case .like(let field, let pattern): event.value(field).map { isLike(Array($0), pattern) } ?? false
        case .compares(let quantity, let comparison, let number):
            event.value(quantity).map { compare($0, comparison, number) } ?? (comparison == .unequal)
        case .tagged(let tag): event.tags.contains(tag)
        }
    }

    private static func compare(_ a: Double, _ comparison: Comparison, _ b: Double) -> Bool {
        switch comparison {
        case .equal: a == b
        case .unequal: a != b
        case .less: a < b
        case .most: a <= b
        case .greater: a > b
        case .least: a >= b
        }
    }

    /// Takes time in proportion to the product of both lengths, at worst.
    private static func isLike(_ text: [Character], _ pattern: [Character]) -> Bool {
        var (t, p) = (0, 0)
        // Where the last % stands, and up to where it reaches.
        var (star, reach) = (-1, 0)
        while t < text.count {
            if p < pattern.count, pattern[p] == "%" {
                (star, reach) = (p, t)
                p += 1
            } else if p < pattern.count, pattern[p] == text[t] {
                p += 1
                t += 1
            } else if star >= 0 {
                reach += 1
                (p, t) = (star + 1, reach)
            } else {
                return false
            }
        }
        return pattern[p...].allSatisfy { $0 == "%" }
    }
}

extension Riemann_Event {
    func value(_ field: RiemannQuery.Field) -> String? {
        switch field {
        case .host: hasHost ? host : nil
        case .service: hasService ? service : nil
        case .state: hasState ? state : nil
        case .description: hasDescription_p ? description_p : nil
        }
    }

    func value(_ quantity: RiemannQuery.Quantity) -> Double? {
        switch quantity {
        case .metric: metric
        case .ttl: hasTtl ? Double(ttl) : nil
        case .time: hasTime ? Double(time) : nil
        }
    }

    /// The number measured, from whichever field has it.
    var metric: Double? {
        if hasMetricSint64 { return Double(metricSint64) }
        if hasMetricD { return metricD }
        return hasMetricF ? Double(metricF) : nil
    }
}
