import TestSupport
import Testing
import TocsinDomain

@testable import TocsinPolicy

/// Goal: patterns find what Swift's own regular expressions find, in linear time, and wrong ones are refused with their
/// place. Method: a table; random patterns compared with `Regex`; a pattern that ruins backtracking matchers.
@Suite("Text patterns")
struct TextPatternTests {
    @Test(
        "what is found and what is not",
        arguments: [
            ("HTTP 5..", ["GET /x: HTTP 503"], ["HTTP 404", "HTTP 5"]),
            ("^disk", ["disk full"], ["the disk"]),
            ("full$", ["disk full"], ["full disk"]),
            ("^$", [""], ["x"]),
            (#"\berror\b"#, ["an error here", "error", "error."], ["errors", "terror"]),
            (#"err\Bor"#, ["error"], ["err or"]),
            ("(?i)OOM|out of memory", ["oom-kill", "Out Of Memory"], ["om", "memory"]),
            (#"\d{3,4}ms"#, ["took 1234ms", "999ms"], ["99ms"]),
            ("[^a-z ]", ["abc1", "É"], ["abc def"]),
            ("[]a]", ["]", "a"], ["b"]),
            ("[a-]", ["-"], ["b"]),
            (#"[\w.]+@"#, ["to a.b@c"], ["@"]),
            ("a.c", ["aéc", "a😀c"], ["a\nc", "ac"]),
            ("é+$", ["éé"], ["e"]),
            ("(?<code>5\\d\\d)|timeout", ["500", "timeout"], ["404"]),
            ("(a|b)*c{2}", ["cc", "ababcc"], ["c"]),
            (#"\.\*\(\{"#, [".*({"], ["abc"]),
            ("", ["", "anything"], []),
            ("x{0}y", ["y"], ["x"]),
        ] as [(String, [String], [String])])
    func table(source: String, found: [String], notFound: [String]) throws {
        var pattern = try TextPattern(source)
        // Twice: what was learnt does not change the answer.
        for round in 1...2 {
            for text in found {
                let isFound = pattern.matches(text)
                #expect(isFound, "\(source) in \(text), round \(round)")
            }
            for text in notFound {
                let isFound = pattern.matches(text)
                #expect(!isFound, "\(source) in \(text), round \(round)")
            }
        }
    }

    @Test(
        "wrong patterns are refused where they are wrong",
        arguments: [
            ("a(b", 1), ("a)b", 1), ("*a", 0), ("a**", 2), ("[a", 0), ("[z-a]", 3), (#"\"#, 1), (#"\q"#, 0),
            ("a{2,1}", 1),
            ("a{", 1), ("(?=a)", 0), ("(?<=a)", 0), ("a{1000}", 1), (#"(\1)"#, 1), ("[é]", 1),
        ])
    func wrong(source: String, offset: Int) {
        #expect {
            _ = try TextPattern(source)
        } throws: { error in
            (error as? TextPattern.Problem)?.offset == offset
        }
    }

    @Test("sizes are bounded")
    func bounds() throws {
        #expect(throws: TextPattern.Problem.self) { try TextPattern("((a{100}){100}){100}") }
        #expect(throws: TextPattern.Problem.self) { try TextPattern(String(repeating: "(", count: 10_000)) }
        // Needs 2^200 states in full: the automaton is thrown away and begun anew instead.
        var pattern = try TextPattern("(a|b)*a(a|b){200}c")
        var random = SplitMix64.seeded()
        let text = String((0..<20_000).map { _ in random.chance(0.5) ? "a" : "b" })
        let before = pattern.matches(text)
        #expect(!before)
        let after = pattern.matches("a" + String(text.prefix(200)) + "c")
        #expect(after)
    }

    @Test("a pattern that ruins backtracking takes linear time", .timeLimit(.minutes(1)))
    func linear() throws {
        var pattern = try TextPattern("(a+)+$")
        let isFound = pattern.matches(String(repeating: "a", count: 1_000_000) + "b")
        #expect(!isFound)
    }

    @Test("random patterns agree with Swift's regular expressions")
    func agreesWithRegex() throws {
        var random = SplitMix64.seeded()
        func piece(_ depth: Int) -> String {
            let atoms = ["a", "b", "c", ".", "[ab]", "[^a]", #"\d"#, #"\w"#, "1", " "]
            var text =
                depth > 0 && random.chance(0.3)
                ? "(?:\(branch(depth - 1)))" : atoms.randomElement(using: &random) ?? "a"
            if random.chance(0.3) { text += ["*", "+", "?", "{1,2}", "{2}"].randomElement(using: &random) ?? "" }
            return text
        }
        func branch(_ depth: Int) -> String {
            var text = (0..<Int.random(in: 1...3, using: &random)).map { _ in piece(depth) }.joined()
            if random.chance(0.2) { text += "|" + piece(depth) }
            return text
        }
        for _ in 0..<400 {
            let source = (random.chance(0.2) ? "^" : "") + branch(2) + (random.chance(0.2) ? "$" : "")
            var pattern = try TextPattern(source)
            let regex = try Regex(source)
            for _ in 0..<8 {
                let length = Int.random(in: 0...8, using: &random)
                let text = String((0..<length).map { _ in "abc1 ".randomElement(using: &random) ?? "a" })
                let isFound = pattern.matches(text)
                #expect(try isFound == (regex.firstMatch(in: text) != nil), "/\(source)/ in \"\(text)\"")
            }
        }
    }

    @Test("globs")
    func globs() {
        let table: [(String, [String], [String])] = [
            ("http:*", ["http:", "http:checkout"], ["https:x", "xhttp:"]),
            ("web-?", ["web-1", "web-é"], ["web-", "web-12"]),
            ("*a*b", ["ab", "xaxxb", "aab"], ["ba", "abc"]),
            ("exact", ["exact"], ["exact1", ""]),
            ("*", ["", "x"], []),
        ]
        for (source, matching, others) in table {
            let glob = Glob(source)
            for text in matching { #expect(glob.matches(text), "\(source) for \(text)") }
            for text in others { #expect(!glob.matches(text), "\(source) for \(text)") }
        }
    }
}
