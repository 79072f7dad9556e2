import TocsinDomain

/// Values that are known to be benign, so that an indicator of one of them says nothing: a MISP warninglist, or a plain list.
public struct FalsePositiveList: Sendable, Equatable {
    /// How its values are compared; the names are MISP's.
    public enum Kind: String, Sendable, CaseIterable {
        /// Addresses and networks.
        case cidr
        /// The whole value. One that begins with a dot is a domain and all beneath it.
        case string
        /// A domain and all beneath it; of a URL, its host.
        case hostname
        /// Anywhere in the value.
        case substring
        /// See `TextPattern` of TocsinDomain.
        case regex
    }

    public var name: String
    public var kind: Kind
    /// What it speaks of.
    public var types: Set<IndicatorType>
    public var values: [String]

    public init(name: String, kind: Kind, types: Set<IndicatorType> = Set(IndicatorType.allCases), values: [String]) {
        self.name = name
        self.kind = kind
        self.types = types
        self.values = values
    }
}

/// False-positive lists, compiled. Asked only of what an indicator has named, so seldom.
struct FalsePositives: Sendable {
    private let lists: [(name: String, types: Set<IndicatorType>)]
    private let v4: PrefixTable<UInt32>
    private let v6: PrefixTable<UInt128>
    private var exact = ValueGroups()
    private var beneath = ValueGroups()
    private var substrings: [(text: String, list: Int)] = []
    private var patterns: [(pattern: TextPattern, list: Int)] = []

    /// What cannot be used is told to `skip`, with its list's index: addresses that are none, wrong expressions.
    init(_ lists: [FalsePositiveList], skip: (Int, String) -> Void) {
        self.lists = lists.map { ($0.name, $0.types) }
        var prefixes4: [(address: UInt32, bits: Int, number: UInt32)] = []
        var prefixes6: [(address: UInt128, bits: Int, number: UInt32)] = []
        for (index, list) in lists.enumerated() {
            for value in list.values {
                switch list.kind {
                case .cidr:
                    switch AddressPrefix(value) {
                    case .v4(let address, let bits): prefixes4.append((address, bits, UInt32(index)))
                    case .v6(let address, let bits): prefixes6.append((address, bits, UInt32(index)))
                    case nil: skip(index, "no address and no network")
                    }
                case .string where !value.hasPrefix("."): exact.add(value.lowercased(), of: index)
                case .string, .hostname:
                    var name = Substring(value.lowercased())
                    while name.first == "." { name.removeFirst() }
                    while name.last == "." { name.removeLast() }
                    beneath.add(String(name), of: index)
                case .substring:
                    if value.isEmpty {
                        skip(index, "an empty text, which every value contains")
                    } else {
                        substrings.append((value.lowercased(), index))
                    }
                case .regex:
                    do throws(TextPattern.Problem) {
                        patterns.append((try TextPattern(Self.expression(value)), index))
                    } catch {
                        skip(index, "an expression that is not understood: \(error.message)")
                    }
                }
            }
        }
        v4 = PrefixTable(prefixes4)
        v6 = PrefixTable(prefixes6)
    }

    /// `/…/i`, as MISP's PHP has it, without its delimiters.
    private static func expression(_ text: String) -> String {
        guard text.hasPrefix("/"), let end = text.lastIndex(of: "/"), end > text.startIndex else { return text }
        let flags = text[text.index(after: end)...]
        return (flags.contains("i") ? "(?i)" : "") + text[text.index(after: text.startIndex)..<end].replacing("\\/", with: "/")
    }

    /// The name of a list that has the value (normalised), or one it is beneath, within, or contains; of several, any.
    func list(of value: String, type: IndicatorType) -> String? {
        func speaks(_ list: Int) -> Bool { lists[list].types.contains(type) }
        var found: Int?
        switch type {
        case .ipv4, .ipv6: found = network(of: value, speaks)
        case .domain: found = domain(value[...], speaks)
        case .url:
            let host = value.drop { $0 != "/" }.dropFirst(2).prefix { $0 != "/" }
            found = domain(host.prefix { $0 != ":" }, speaks)
        case .email: found = domain(value.drop { $0 != "@" }.dropFirst(), speaks)
        case .md5, .sha1, .sha256, .sha512: break
        }
        let small = value.lowercased()
        found =
            found ?? exact.lists(of: small).first(where: speaks)
            ?? substrings.first { speaks($0.list) && small.contains($0.text) }?.list
            ?? patterns.first { entry in
                var pattern = entry.pattern
                return speaks(entry.list) && pattern.matches(value)
            }?.list
        return found.map { lists[$0].name }
    }

    private func network(of value: String, _ speaks: (Int) -> Bool) -> Int? {
        var found: Int?
        func look(_ number: UInt32) -> Bool {
            if speaks(Int(number)) { found = Int(number) }
            return found == nil
        }
        switch AddressPrefix(value) {
        case .v4(let address, _): v4.forEach(covering: address, look)
        case .v6(let address, _): v6.forEach(covering: address, look)
        case nil: break
        }
        return found
    }

    private func domain(_ name: Substring, _ speaks: (Int) -> Bool) -> Int? {
        var name = name
        while !name.isEmpty {
            if let list = beneath.lists(of: String(name)).first(where: speaks) { return list }
            name = name.drop { $0 != "." }.dropFirst()
        }
        return nil
    }
}

/// Which lists have a value. Most values are in one list, so lists are kept once for all values that have the same ones.
private struct ValueGroups: Sendable {
    private var groupOfValue: [String: UInt32] = [:]
    private var groups: [[Int]] = []
    private var numberOfGroup: [[Int]: UInt32] = [:]

    mutating func add(_ value: String, of list: Int) {
        var lists = lists(of: value)
        // Lists come one after the other.
        guard lists.last != list else { return }
        lists.append(list)
        if let number = numberOfGroup[lists] {
            groupOfValue[value] = number
        } else {
            let number = UInt32(groups.count)
            groups.append(lists)
            numberOfGroup[lists] = number
            groupOfValue[value] = number
        }
    }

    func lists(of value: String) -> [Int] { groupOfValue[value].map { groups[Int($0)] } ?? [] }
}
