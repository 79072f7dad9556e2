/// What the form of a word says about it.
struct WordForm: OptionSet {
    let rawValue: UInt8
    /// With a dot or slash within: of a host, file or class rather than of a sentence.
    static let name = WordForm(rawValue: 1)
    /// In capitals, as states and constants are written; or a particle or participle. One of a few.
    static let fixed = WordForm(rawValue: 2)
    /// A name often follows.
    static let introducing = WordForm(rawValue: 4)

    init(rawValue: UInt8) { self.rawValue = rawValue }

    init(_ line: Span<UInt8>, _ start: Int, _ end: Int) {
        var form: WordForm = []
        var isUpper = end - start > 1
        for index in start..<end {
            switch line[index] {
            case UInt8(ascii: "."), UInt8(ascii: "/"), UInt8(ascii: "\\"): form.insert(.name)
            case 0x61...0x7A, 0x80...: isUpper = false
            default: break
            }
        }
        if isUpper || Words.isProse(line, start, end) { form.insert(.fixed) }
        if Words.introducing.contains(Words.packed(line, start, end)) { form.insert(.introducing) }
        self = form
    }
}

/// Tells which of the messages with one skeleton are of one template.
///
/// The messages are divided by the place with the fewest different words, again and again, until those that are left differ
/// only in places that are parameters. A place is a parameter if more different words stand there than one would write into
/// a program by hand, how many depends on their form, and if most of the words around them stay the same.
struct TemplateTree {
    /// A message, or several that were found to be of one template.
    struct Element {
        var identities: [UInt64]
        var forms: [WordForm]
        /// Places that are known to be parameters.
        var parameters: Set<Int> = []
    }

    /// Different words in one place that may still be the program's own.
    private enum Most {
        static let words = 4
        /// Where a name is to be expected.
        static let names = 2
        /// Of words with dots and slashes.
        static let dotted = 2
        /// In capitals, or participles, or words that change together with their neighbours.
        static let fixed = 12
        /// At the beginning of a message, where a parameter is rare.
        static let first = 20
        static let firstDotted = 4
    }
    /// Of the words in one template, so many must be the same in all its messages.
    private static let constantShare = 0.5

    /// A place where the messages differ.
    private struct Place {
        var index: Int
        var values: [UInt64: WordForm]
        var isParameter = false
        var hasParameter: Bool { values[Token.parameter] != nil }
    }

    /// The places in which messages of one template differ, or are known to.
    static func parameters(of elements: [Element]) -> Set<Int> {
        guard let first = elements.first else { return [] }
        var places = first.parameters
        for element in elements.dropFirst() {
            places.formUnion(element.parameters)
            for index in first.identities.indices where first.identities[index] != element.identities[index] {
                places.insert(index)
            }
        }
        return places
    }

    /// The members of each template, as indices of `elements`, which all have one skeleton.
    func divide(_ elements: [Element]) -> [[Int]] {
        guard let first = elements.first else { return [] }
        let places = first.identities.indices.filter { !Token.isDelimiter(first.identities[$0]) }
        var leaves: [[Int]] = []
        // Bounded: each turn takes a set from the list and puts back smaller ones.
        var open = [Array(elements.indices)]
        while let members = open.popLast() {
            let (constants, differing) = compare(elements, members, places)
            guard let place = placeToDivide(differing, constants: constants) else {
                leaves.append(members)
                continue
            }
            var parts: [UInt64: Int] = [:]
            var sets: [[Int]] = []
            for member in members {
                let value = elements[member].identities[place]
                if let part = parts[value] {
                    sets[part].append(member)
                } else {
                    parts[value] = sets.count
                    sets.append([member])
                }
            }
            open += sets.reversed()
        }
        return leaves
    }

    /// Where to divide messages that differ in these places; nil if they are of one template.
    private func placeToDivide(_ places: [Place], constants: Int) -> Int? {
        func fewest(_ places: [Place]) -> Int? { places.min { $0.values.count < $1.values.count }?.index }
        if let place = fewest(places.filter { !$0.isParameter }) { return place }
        let enough = Double(constants) >= Self.constantShare * Double(constants + places.count)
        return enough ? nil : fewest(places)
    }

    /// The places in which the members differ, and the number of words that they have in common.
    private func compare(_ elements: [Element], _ members: [Int], _ places: [Int]) -> (constants: Int, differing: [Place]) {
        var constants = 0
        var differing: [Place] = []
        guard members.count > 1 else { return (constants, differing) }
        for index in places {
            var values: [UInt64: WordForm] = [:]
            for member in members { values[elements[member].identities[index]] = elements[member].forms[index] }
            if values.count > 1 {
                differing.append(Place(index: index, values: values))
            } else if values[Token.parameter] == nil {
                constants += 1
            }
        }
        for at in differing.indices {
            let index = differing[at].index
            let changesWithNext = at + 1 < differing.count && change(elements, members, differing[at], differing[at + 1])
            let changesWithLast = at > 0 && change(elements, members, differing[at - 1], differing[at])
            differing[at].isParameter =
                members.contains { elements[$0].parameters.contains(index) }
                || isParameter(
                    differing[at], isFirst: index == places.first, isPhrase: changesWithNext || changesWithLast,
                    isNamed: isNamed(index, elements[members[0]], differing))
        }
        return (constants, differing)
    }

    private func isParameter(_ place: Place, isFirst: Bool, isPhrase: Bool, isNamed: Bool) -> Bool {
        var words = 0
        var fixed = 0
        var dotted = 0
        for (value, form) in place.values where value > Token.value {
            if form.contains(.fixed) {
                fixed += 1
            } else if form.contains(.name) {
                dotted += 1
            } else {
                words += 1
            }
        }
        if place.hasParameter && dotted > 0 { return true }
        if isFirst { return words > Most.first || dotted > Most.firstDotted }
        if isPhrase { return words + fixed + dotted > Most.fixed }
        if place.hasParameter && words + fixed <= 1 { return true }
        return words > (isNamed ? Most.names : Most.words) || fixed > Most.fixed || dotted > Most.dotted
    }

    /// Whether a name is to be expected there, by what stands before it.
    private func isNamed(_ index: Int, _ element: Element, _ differing: [Place]) -> Bool {
        guard index > 0, !differing.contains(where: { $0.index == index - 1 }) else { return false }
        switch element.identities[index - 1] {
        case UInt64(UInt8(ascii: "=")), UInt64(UInt8(ascii: "'")), UInt64(UInt8(ascii: "\"")): return true
        default: return element.forms[index - 1].contains(.introducing)
        }
    }

    /// Whether the words of two places, one right behind the other, change together: another phrase, not two parameters.
    private func change(_ elements: [Element], _ members: [Int], _ first: Place, _ second: Place) -> Bool {
        guard second.index == first.index + 1, !first.hasParameter, !second.hasParameter else { return false }
        struct Pair: Hashable {
            var first: UInt64
            var second: UInt64
        }
        var pairs: Set<Pair> = []
        for member in members {
            let identities = elements[member].identities
            pairs.insert(Pair(first: identities[first.index], second: identities[second.index]))
        }
        return pairs.count <= max(first.values.count, second.values.count)
    }
}
