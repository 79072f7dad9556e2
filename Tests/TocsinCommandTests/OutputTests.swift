import Foundation
import TestSupport
import Testing
import TocsinConfiguration

@testable import TocsinProgram
@testable import tocsin

@Suite("Output for people and for programs")
struct OutputTests {
    private func table() -> Table {
        var table = Table(columns: [.right("N"), .left("STATE"), .flexible("RULE"), .flexible("TITLE")])
        table.add("1", "open", "short", "A title that goes on and on and on")
        table.add("22", "resolved", "a rule with many words in it", "Kurz")
        return table
    }

    @Test("columns are aligned and lines end without blanks")
    func aligned() {
        #expect(
            table().lines(width: nil, colour: false) == [
                " N  STATE     RULE                          TITLE",
                " 1  open      short                         A title that goes on and on and on",
                "22  resolved  a rule with many words in it  Kurz",
            ])
    }

    @Test("a table fits the terminal where its flexible columns allow", arguments: [50, 60, 79, 80, 200])
    func fits(width: Int) {
        for line in table().lines(width: width, colour: false) { #expect(TextWidth.columns(of: line) <= width) }
    }

    @Test("colour adds nothing to the width and is there only when asked for")
    func colour() {
        var table = Table(columns: [.left("A"), .left("B")])
        table.add(Table.Cell("x", .critical), Table.Cell("y"))
        #expect(table.lines(width: nil, colour: false)[1] == "x  y")
        #expect(table.lines(width: nil, colour: true)[1].shown == "\u{1B}[1;31mx\u{1B}[0m  y")
    }

    @Test("wide and combining characters count as what they take on the screen")
    func widths() {
        #expect(TextWidth.columns(of: "abc") == 3)
        #expect(TextWidth.columns(of: "日本") == 4)
        #expect(TextWidth.columns(of: "e\u{301}") == 1)
        #expect(TextWidth.shortened("日本語", to: 5) == "日本…")
        #expect(TextWidth.shortened("abc", to: 3) == "abc")
    }

    @Test("what a terminal would obey, what reorders text and what cannot be seen is shown as an escape")
    func printable() {
        #expect("a\u{1B}[2Jb".printable == #"a\u{1B}[2Jb"#)
        #expect("two\nlines\tand\r".printable == #"two\nlines\tand\r"#)
        #expect("right\u{202E}left \u{9B}31m".printable == #"right\u{202E}left \u{9B}31m"#)
        #expect("Größe 日本 e\u{301}".printable == "Größe 日本 e\u{301}")
    }

    @Test("of what is written only our own colours and line breaks are more than text")
    func written() {
        #expect("a\u{1B}[2Jb\nc\td".shown == "a\\u{1B}[2Jb\nc\\td")
        #expect(Style.critical.apply(to: "x\u{7}", colour: true).shown == "\u{1B}[1;31mx\\u{7}\u{1B}[0m")
        #expect(Style.bold.apply(to: "x", colour: true).printable.shown == #"\u{FDD1}x\u{FDD0}"#)
    }

    @Test("no scalar at all goes out raw that should not, as text, in a table, in JSON and in the log")
    func everyScalar() throws {
        let isAllowed = { (scalar: Unicode.Scalar) in scalar == "\n" || !scalar.isUnsafeToShow }
        var random = SplitMix64.seeded()
        for _ in 0..<2_000 {
            var text = ""
            for _ in 0..<Int.random(in: 0...40, using: &random) {
                let range: ClosedRange<UInt32> =
                    switch UInt32.random(in: 0..<4, using: &random) {
                    case 0: 0...0xFF
                    case 1: 0x2000...0x20FF
                    case 2: 0xFD00...0xFFFF
                    default: 0...0x10FFFF
                    }
                guard let scalar = Unicode.Scalar(UInt32.random(in: range, using: &random)) else { continue }
                text.unicodeScalars.append(scalar)
            }
            var table = Table(columns: [.left("A"), .flexible("B")])
            table.add(text, text)
            for colour in [false, true] {
                let bytes = Array(table.lines(width: 40, colour: colour).map(\.shown).joined().utf8)
                let plain = bytes.replacing("\u{1B}[2m".utf8, with: []).replacing("\u{1B}[0m".utf8, with: [])
                #expect(String(decoding: plain, as: UTF8.self).unicodeScalars.allSatisfy(isAllowed), "\(text.debugDescription)")
            }
            #expect(text.printable.unicodeScalars.allSatisfy { !$0.isUnsafeToShow }, "\(text.debugDescription)")
            let json = JSON.object([(text, .string(text))])
            for line in [json.line, json.pretty] {
                #expect(line.unicodeScalars.allSatisfy(isAllowed), "\(text.debugDescription)")
                let back = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
                #expect(back == [text: text], "\(text.debugDescription)")
            }
            for format in LogSettings.Format.allCases {
                let handler = LineLogHandler(logLevel: .info, format: format, process: text)
                let line = handler.line([("msg", text), ("key", text)])
                #expect(line.unicodeScalars.allSatisfy { !$0.isUnsafeToShow }, "\(text.debugDescription)")
            }
        }
    }

    @Test("JSON keeps the order of keys and escapes what must be escaped")
    func json() {
        let value: JSON = ["b": .integer(-1), "a": .array([.null, .bool(true), .unsigned(.max)]), "c": .object([])]
        #expect(value.line == #"{"b":-1,"a":[null,true,18446744073709551615],"c":{}}"#)
        #expect(
            value.pretty
                == "{\n  \"b\": -1,\n  \"a\": [\n    null,\n    true,\n    18446744073709551615\n  ],\n  \"c\": {}\n}")
        #expect(JSON.string("\"\\\n\u{1}é").line == #""\"\\\n\u0001é""#)
    }

    @Test("times and ages are short")
    func times() {
        #expect(TimeText.utc(1_700_000_000_123) == "2023-11-14T22:13:20.123Z")
        #expect(TimeText.json(0).line == "null")
        let cases: [(UInt64, String)] = [
            (0, "0s"), (59_999, "59s"), (60_000, "1m"), (3_599_999, "59m"), (7_200_000, "2h"), (86_400_000, "1d"),
        ]
        for (milliseconds, text) in cases { #expect(TimeText.span(milliseconds: milliseconds) == text) }
        #expect(TimeText.age(since: 10_000, now: 5_000) == "0s")
        #expect(TimeText.took(milliseconds: 497) == "0.4s")
    }
}

@Suite("Arguments")
struct ArgumentTests {
    @Test("an incident's number is understood as people write it", arguments: ["42", "#42", "INC-42", "inc-42"])
    func numbers(text: String) {
        #expect(IncidentNumber(argument: text)?.value == 42)
    }

    @Test("what is no incident's number is refused", arguments: ["", "0", "-1", "#", "INC-", "4 2", "x42", "+42"])
    func notNumbers(text: String) {
        #expect(IncidentNumber(argument: text) == nil)
    }

    @Test("name=value is split at the first sign")
    func pairs() {
        let pair = PairArgument(argument: "query=a=b")
        #expect(pair?.name == "query")
        #expect(pair?.value == "a=b")
        #expect(PairArgument(argument: "=b") == nil)
        #expect(PairArgument(argument: "b") == nil)
    }

    @Test("every exit code has a meaning of its own")
    func exitCodes() {
        #expect(Set(ExitCodes.allCases.map(\.meaning)).count == ExitCodes.allCases.count)
    }
}
