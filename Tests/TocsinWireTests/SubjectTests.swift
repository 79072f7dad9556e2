import TestSupport
import Testing
import TocsinWire

@Suite("Subjects and filters")
struct SubjectTests {
    private static let sixteen = [String](repeating: "t", count: 16).joined(separator: ".")

    private func isValid(_ subject: String) -> Bool {
        let held = Bytes(Array(subject.utf8))
        return Subject.problem(in: held.buffer) == nil
    }

    @Test("what a subject may be")
    func subjects() {
        for good in ["a", "event.web.http", "A-1_z.0", String(repeating: "x", count: 255), Self.sixteen] {
            #expect(isValid(good), "\(good)")
        }
        let long = String(repeating: "x", count: 256)
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a.*", ">", "é", "a\0", long, Self.sixteen + ".t"] {
            #expect(!isValid(bad), "\(bad)")
        }
    }

    @Test("any text becomes one valid token")
    func tokens() {
        var random = SplitMix64.seeded()
        #expect(Subject.token("") == "none")
        #expect(Subject.token("Web server.1") == "Web-server-1")
        for _ in 0..<1_000 {
            let token = Subject.token(String(decoding: random.bytes(upTo: 100), as: UTF8.self))
            #expect(isValid(token) && !token.contains(".") && token.utf8.count <= 48)
        }
    }

    @Test("what a pool's name may be")
    func poolNames() {
        for good in ["a", "triage-2", String(repeating: "x", count: 64)] {
            #expect(Subject.problem(inPoolName: good) == nil)
        }
        for bad in ["", "a.b", "é", "a b", String(repeating: "x", count: 65)] {
            #expect(Subject.problem(inPoolName: bad) != nil)
        }
    }

    @Test("filters match by token, '*' one and '>' one or more")
    func matches() throws {
        let cases: [(String, [String], [String])] = [
            ("a.b", ["a.b"], ["a", "a.b.c", "a.c", "ab", "a.bb"]),
            ("*", ["a", "xyz"], ["a.b"]),
            ("a.*", ["a.b", "a.zz"], ["a", "a.b.c", "b.a"]),
            ("*.b", ["a.b"], ["b", "a.b.b", "a.bb"]),
            (">", ["a", "a.b.c"], []),
            ("a.>", ["a.b", "a.b.c"], ["a", "ab", "b.a", "aa.b"]),
            ("*.b.>", ["a.b.c", "x.b.c.d"], ["a.b", "b.c", "a.c.b"]),
        ]
        for (text, yes, no) in cases {
            let filter = try SubjectFilter(text)
            for subject in yes { #expect(filter.matches(subject), "\(text) \(subject)") }
            for subject in no { #expect(!filter.matches(subject), "\(text) \(subject)") }
        }
    }

    @Test("texts that are no filter are refused")
    func refusals() {
        let long = String(repeating: "x", count: 256)
        for bad in ["", ".", "a.", ".a", "a..b", "a*", "*a", "a.>.b", ">.a", "a>", "a b", "é", long, Self.sixteen + ".t"] {
            #expect(throws: WireError.self, "\(bad)") { try SubjectFilter(bad) }
        }
    }

    /// The rule in other words: recursion over split tokens.
    private static func reference(_ filter: ArraySlice<Substring>, _ subject: ArraySlice<Substring>) -> Bool {
        guard let first = filter.first else { return subject.isEmpty }
        if first == ">" { return !subject.isEmpty }
        guard let token = subject.first, first == "*" || first == token else { return false }
        return reference(filter.dropFirst(), subject.dropFirst())
    }

    @Test("matching agrees with the rule written in another way")
    func property() throws {
        var random = SplitMix64.seeded()
        for _ in 0..<20_000 {
            var filter: [String] = []
            for _ in 0...random.below(4) { filter.append(["a", "b", "ab", "*"][random.below(4)]) }
            if random.chance(0.3) { filter.append(">") }
            var subject: [String] = []
            for _ in 0...random.below(5) { subject.append(["a", "b", "ab"][random.below(3)]) }
            let expected = Self.reference(filter.map { $0[...] }[...], subject.map { $0[...] }[...])
            let matched = try SubjectFilter(filter.joined(separator: ".")).matches(subject.joined(separator: "."))
            #expect(matched == expected, "\(filter) \(subject)")
        }
    }
}
