import TestSupport
import Testing

@testable import TocsinIndicators

/// Which indicators name what an event says.
@Suite struct IndicatorSetTests {
    @Test("a domain is named by itself and by those above it, the most specific first")
    func domains() {
        let set = makeSet(["evil.example", "b.evil.example"])
        #expect(found("a.b.Evil.example", in: set) == ["b.evil.example=a.b.evil.example", "evil.example=a.b.evil.example"])
        #expect(found("evil.example", in: set) == ["evil.example=evil.example"])
        #expect(found("notevil.example evil.example.org", in: set) == [])
    }

    @Test("an address is named by every network it is in, the longest prefix first")
    func networks() {
        let set = makeSet([
            "198.51.100.0/24", "198.51.100.128/25", "198.51.100.130", "0.0.0.0/0", "2001:db8::/32", "2001:db8:1::/48",
        ])
        #expect(
            found("198.51.100.130", in: set).map { $0.split(separator: "=")[0] }
                == ["198.51.100.130", "198.51.100.128/25", "198.51.100.0/24", "0.0.0.0/0"])
        #expect(found("198.51.100.127", in: set).map { $0.split(separator: "=")[0] } == ["198.51.100.0/24", "0.0.0.0/0"])
        #expect(found("255.255.255.255", in: set) == ["0.0.0.0/0=255.255.255.255"])
        #expect(
            found("2001:db8:1::5", in: set) == ["2001:db8:1::/48=2001:db8:1::5", "2001:db8::/32=2001:db8:1::5"])
        #expect(found("2001:db9::", in: set) == [])
    }

    @Test("a URL is named as it was written anyhow, and by one without a scheme")
    func urls() {
        let set = makeSet(["http://evil.example/a%7eb", "evil.example/login"])
        #expect(found("HTTP://EVIL.example:80/a~b", in: set) == ["http://evil.example/a%7eb=http://evil.example/a~b"])
        #expect(found("https://evil.example/a~b", in: set) == [])
        #expect(found("https://evil.example/login", in: set) == ["evil.example/login=https://evil.example/login"])
        #expect(found("evil.example/login", in: set) == ["evil.example/login=//evil.example/login"])
    }

    @Test("the event's time decides whether an indicator counts, not the clock")
    func validity() {
        let set = IndicatorSet(
            [Indicator(id: "i", type: .domain, value: "evil.example", source: "s", validFrom: 1000, validUntil: 2000)],
            version: "v")
        var scanner = IndicatorScanner()
        func outcome(_ time: UInt64?) -> IndicatorMatch.Outcome? {
            scanner.matches(summary: "evil.example", at: time, in: set).first?.outcome
        }
        #expect(outcome(999) == .notValidThen)
        #expect(outcome(1000) == .matched)
        #expect(outcome(1999) == .matched)
        #expect(outcome(2000) == .notValidThen)
        #expect(outcome(nil) == .matched)
    }

    @Test("each match says where, and an indicator is told once for a value")
    func places() {
        let set = makeSet(["evil.example", "192.0.2.7"])
        var scanner = IndicatorScanner()
        let matches = scanner.matches(
            summary: "lookup", labels: ["z": "192.0.2.7", "client": "evil.example"], details: ["line": "evil.example 192.0.2.7"],
            at: nil, in: set)
        #expect(matches.map { "\($0.indicator.id) \($0.place)" } == ["evil.example label client", "192.0.2.7 label z"])
    }

    @Test("values of a false-positive list say nothing, and which list is told")
    func falsePositives() {
        func outcome(
            _ text: String, _ indicator: String, _ kind: FalsePositiveList.Kind, _ values: [String],
            _ types: Set<IndicatorType>? = nil
        ) -> String? {
            let list = FalsePositiveList(name: "benign", kind: kind, types: types ?? Set(IndicatorType.allCases), values: values)
            var scanner = IndicatorScanner()
            return scanner.matches(summary: text, at: nil, in: makeSet([indicator], falsePositives: [list])).first?.outcome
                .description
        }
        let benign = "false-positive list \"benign\""
        #expect(outcome("10.1.2.3", "10.0.0.0/7", .cidr, ["10.0.0.0/8"]) == benign)
        #expect(outcome("11.1.2.3", "10.0.0.0/7", .cidr, ["10.0.0.0/8"]) == "matched")
        #expect(outcome("10.1.2.3", "10.1.2.3", .cidr, ["10.0.0.0/8"], [.domain]) == "matched")
        #expect(outcome("a.good.example", "a.good.example", .hostname, ["good.example"]) == benign)
        #expect(outcome("a.good.example", "a.good.example", .string, ["good.example"]) == "matched")
        #expect(outcome("a.good.example", "a.good.example", .string, [".good.example"]) == benign)
        #expect(outcome("raw.good.example", "good.example", .string, ["Good.example"]) == benign)
        #expect(outcome("https://a.good.example/x", "https://a.good.example/x", .hostname, ["good.example"]) == benign)
        #expect(outcome("https://good.example/x", "https://good.example/x", .hostname, ["good.example"], [.domain]) == "matched")
        #expect(outcome("https://a.example/Share/1", "https://a.example/Share/1", .substring, ["/share/"]) == benign)
        #expect(outcome("cdn7.good.example", "cdn7.good.example", .regex, ["/^CDN[0-9]+\\.good\\.example$/i"]) == benign)
        #expect(
            outcome(
                "D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427e", .string,
                ["d41d8cd98f00b204e9800998ecf8427e"])
                == benign)
    }

    @Test("matches that do not count are in nobody's way, and an event's are bounded")
    func bounds() {
        var indicators = (0..<40).map {
            Indicator(id: "old\($0)", type: .domain, value: "evil.example", source: "s", validUntil: 1)
        }
        indicators.append(Indicator(id: "new", type: .domain, value: "evil.example", source: "s"))
        var scanner = IndicatorScanner()
        let mixed = scanner.matches(summary: "evil.example", at: 5, in: IndicatorSet(indicators, version: "v"))
        #expect(mixed.count == IndicatorScanner.matchesMax + 1)
        #expect(mixed.last?.indicator.id == "new")

        let many = makeSet((0..<100).map { "192.0.2.\($0)" })
        let text = (0..<100).map { "192.0.2.\($0)" }.joined(separator: " ")
        #expect(scanner.matches(summary: text, at: nil, in: many).count == IndicatorScanner.matchesMax)
        let late = String(repeating: "x", count: IndicatorScanner.bytesMax) + " 192.0.2.7"
        #expect(scanner.matches(summary: late, at: nil, in: many) == [])
    }

    @Test("a set gives the same as looking at every indicator, whatever the addresses and domains")
    func naive() {
        var random = SplitMix64.seeded()
        for _ in 0..<60 {
            // Few bits and few names, so that much overlaps.
            let space = [2, 8, 32].randomElement(using: &random) ?? 8
            func address(_ random: inout SplitMix64) -> UInt32 {
                var bits = UInt32(truncatingIfNeeded: random.next()) & (.max >> UInt32(32 - space))
                if random.chance(0.3) { bits = ~bits }
                return random.chance(0.1) ? (random.chance(0.5) ? 0 : .max) : bits
            }
            func domain(_ random: inout SplitMix64) -> String {
                (0..<(2 + random.below(4))).map { _ in ["a", "b", "c-1"][random.below(3)] }.joined(separator: ".")
            }
            var indicators: [Indicator] = []
            for number in 0..<random.below(200) {
                if random.chance(0.3) {
                    indicators.append(Indicator(id: "\(number)", type: .domain, value: domain(&random), source: "s"))
                } else if random.chance(0.3) {
                    let prefix = AddressPrefix(
                        "2001:db8::\(String(address(&random) & 0xFFFF, radix: 16))/\(100 + random.below(29))")
                    indicators.append(Indicator(id: "\(number)", type: .ipv6, value: prefix?.text ?? "", source: "s"))
                } else {
                    let prefix = AddressPrefix(AddressPrefix.v4(address(&random), bits: 32).text + "/\(random.below(33))")
                    indicators.append(Indicator(id: "\(number)", type: .ipv4, value: prefix?.text ?? "", source: "s"))
                }
            }
            let set = IndicatorSet(indicators, version: "v")
            for _ in 0..<50 {
                let text: String
                switch random.below(3) {
                case 0: text = domain(&random)
                case 1: text = "2001:db8::\(String(address(&random) & 0xFFFF, radix: 16))"
                default: text = AddressPrefix.v4(address(&random), bits: 32).text
                }
                var actual: [String] = []
                Array(text.utf8).withUnsafeBufferPointer { bytes in
                    let observable: Observable = AddressPrefix(address: bytes).map { .address($0) } ?? .text(.domain, bytes)
                    set.forEach(naming: observable) { number in
                        actual.append(set.indicator(number).id)
                        return true
                    }
                }
                let expected = indicators.filter { Self.names($0, text) }.map(\.id)
                #expect(actual.sorted() == expected.sorted(), "\(text)")
            }
        }
    }

    private static func names(_ indicator: Indicator, _ text: String) -> Bool {
        if indicator.type == .domain { return text == indicator.value || text.hasSuffix("." + indicator.value) }
        switch (AddressPrefix(indicator.value), AddressPrefix(text)) {
        case (.v4(let network, let bits), .v4(let address, _)): return (network ^ address) >> (32 - bits) == 0
        case (.v6(let network, let bits), .v6(let address, _)): return (network ^ address) >> (128 - bits) == 0
        default: return false
        }
    }
}
