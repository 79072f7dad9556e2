import TocsinDomain

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
    /// Bytes compared by patterns, and terms looked at, in all of one question: others wait for the index meanwhile.
    public static let workMost = 20_000_000

    indirect enum Expression: Sendable {
        case constant(Bool)
        case not(Expression)
        case all([Expression])
        case any([Expression])
        case equals(Field, String?)
        case like(Field, Glob)
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

    /// Whether it is true of an event. `work`: what is left of `workMost`.
    ///
    /// - Throws: if nothing is left.
    public func matches(_ event: Riemann_Event, work: inout Int) throws(Problem) -> Bool {
        try Self.evaluate(expression, event, &work)
    }

    private static func evaluate(_ expression: Expression, _ event: Riemann_Event, _ work: inout Int) throws(Problem) -> Bool {
        work -= 1
        guard work > 0 else { throw Problem(description: "the query takes too long; ask for less, or with shorter patterns") }
        switch expression {
        case .constant(let value): return value
        case .not(let inner): return try !evaluate(inner, event, &work)
        case .all(let parts):
            for part in parts where try !evaluate(part, event, &work) { return false }
            return true
        case .any(let parts):
            for part in parts where try evaluate(part, event, &work) { return true }
            return false
        case .equals(let field, let value): return event.value(field) == value
        case .like(let field, let pattern):
            return event.value(field).map { pattern.matches($0, work: &work) } ?? false
        case .compares(let quantity, let comparison, let number):
            return event.value(quantity).map { compare($0, comparison, number) } ?? (comparison == .unequal)
        case .tagged(let tag): return event.tags.contains(tag)
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
