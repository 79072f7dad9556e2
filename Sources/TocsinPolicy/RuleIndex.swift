import TocsinDomain
import TocsinProto
import TocsinWire

/// Which rules can match an event, by everything but its summary and its severity.
///
/// For each field that rules look at it keeps the values seen, and for each the set of rules that this value does not exclude; what
/// the sets of an event's values have in common are its candidates. A field's set does not depend on the other fields, so what is
/// kept grows with the values of each and not with their combinations, and an event whose values have all been seen costs one
/// look-up for each field, however many rules there are.
struct RuleIndex: Sendable {
    private var fields: [RuleField] = []
    /// Bit r % 64 of word r / 64 stands for rule r.
    private var candidates: [UInt64]
    private let all: [UInt64]

    init(_ rules: [CompiledRule]) {
        all = RuleSet.all(rules.count)
        candidates = all
        var tests: [RuleField.Name: [(rule: Int, test: RuleField.Test)]] = [:]
        var names: [RuleField.Name] = []
        for (number, rule) in rules.enumerated() {
            for (name, test) in rule.conditions {
                if tests[name] == nil { names.append(name) }
                tests[name, default: []].append((number, test))
            }
        }
        fields = names.map { RuleField(name: $0, tests: tests[$0] ?? [], all: all) }
    }

    /// Makes the candidates those of an event; `service` is what it is called in the catalogue.
    mutating func select(_ event: Tocsin_V1_Event, service: String, subject: String) {
        // In place: the two have the same length.
        for word in all.indices { candidates[word] = all[word] }
        for index in fields.indices {
            switch fields[index].name {
            case .subject: fields[index].restrict(&candidates, to: subject)
            case .source: fields[index].restrict(&candidates, to: event.source)
            case .service: fields[index].restrict(&candidates, to: event.service, or: service)
            case .label(let name): fields[index].restrict(&candidates, to: event.labels[name])
            }
        }
    }

    /// The first candidate of this number or a higher one.
    func candidate(from number: Int) -> Int? {
        var word = number / 64
        guard word < candidates.count else { return nil }
        var bits = candidates[word] & (~0 << UInt64(number % 64))
        while bits == 0 {
            word += 1
            guard word < candidates.count else { return nil }
            bits = candidates[word]
        }
        return word * 64 + bits.trailingZeroBitCount
    }
}

/// One field of events that rules have conditions on, and the values of it that were seen.
struct RuleField: Sendable {
    enum Name: Hashable, Sendable {
        case subject, source, service
        case label(String)
    }

    /// What a rule asks of a value; one of them has to match.
    enum Test: Sendable {
        case filters([SubjectFilter])
        case globs([Glob])

        func holds(_ value: String) -> Bool {
            switch self {
            case .filters(let filters): filters.contains { $0.matches(value) }
            case .globs(let globs): globs.contains { $0.matches(value) }
            }
        }
    }

    let name: Name
    private let tests: [(rule: Int, test: Test)]
    /// The rules without a condition on it: what is left of all for an event that has no such field.
    private let free: [UInt64]
    private var rowOfValue: [String: Int] = [:]
    /// For each value as many words as rules take.
    private var rows: [UInt64] = []

    /// With so many, it forgets and begins anew.
    private static let valuesMax = 4096
    /// Values come from outside; longer ones are not kept.
    private static let valueBytesMax = 512

    init(name: Name, tests: [(rule: Int, test: Test)], all: [UInt64]) {
        self.name = name
        self.tests = tests
        free = tests.reduce(into: all) { RuleSet.remove($1.rule, from: &$0) }
    }

    /// Takes out the rules whose condition does not hold. Nil: there is no value, and no condition on it holds.
    mutating func restrict(_ candidates: inout [UInt64], to value: String?) {
        guard let value else {
            for word in free.indices { candidates[word] &= free[word] }
            return
        }
        restrict(&candidates, to: value, or: value)
    }

    /// The same where a condition holds that holds for one of two values.
    mutating func restrict(_ candidates: inout [UInt64], to value: String, or other: String) {
        guard value.utf8.count + other.utf8.count <= Self.valueBytesMax else {
            for (rule, test) in tests where !test.holds(value) && !test.holds(other) { RuleSet.remove(rule, from: &candidates) }
            return
        }
        // Of both, before a row is looked up: rows are found by their places.
        if rowOfValue.count > Self.valuesMax - 2 {
            rowOfValue.removeAll(keepingCapacity: true)
            rows.removeAll(keepingCapacity: true)
        }
        let row = rowOfValue[value] ?? add(value)
        let otherRow = value == other ? row : rowOfValue[other] ?? add(other)
        for word in free.indices { candidates[word] &= rows[row + word] | rows[otherRow + word] }
    }

    private mutating func add(_ value: String) -> Int {
        let start = rows.count
        rows += free
        for (rule, test) in tests where test.holds(value) { rows[start + rule / 64] |= 1 << UInt64(rule % 64) }
        rowOfValue[value] = start
        return start
    }
}

private enum RuleSet {
    static func all(_ count: Int) -> [UInt64] {
        (0..<(count + 63) / 64).map { word in count - word * 64 >= 64 ? ~0 : (1 << UInt64(count - word * 64)) - 1 }
    }

    static func remove(_ rule: Int, from set: inout [UInt64]) { set[rule / 64] &= ~(1 << UInt64(rule % 64)) }
}
