import TestSupport
import Testing
import TocsinDomain

@Suite("Output of Nagios plugins")
struct PluginOutputTests {
    @Test(
        "output is divided into summary, text and performance data",
        arguments: [
            ("OK", "OK", "", ""),
            ("OK - fine | a=1 b=2;3 \n", "OK - fine", "a=1 b=2;3", ""),
            ("OK|a=1\nline 1\nline 2|b=2\nc=3\n", "OK", "a=1 b=2 c=3", "line 1\nline 2"),
            ("OK\nmore", "OK", "", "more"),
            ("\nonly more", "", "", "only more"),
            ("|", "", "", ""),
            ("", "", "", ""),
        ])
    func pluginOutput(output: String, summary: String, performance: String, more: String) {
        let parsed = PluginOutput(Array(output.utf8))
        #expect(parsed.summary == summary && parsed.performance == performance && parsed.more == more)
    }

    @Test("output of any length and bytes becomes bounded text")
    func wildOutput() async throws {
        let wild = PluginOutput([0xFF, 0xFE] + Array(repeating: 0xC3, count: 100_000))
        #expect(wild.summary.utf8.count <= 3 * 512)
        let long = PluginOutput(Array(String(repeating: "é", count: 1000).utf8))
        #expect(long.summary == String(repeating: "é", count: 256), "not cut within a character")
    }

    @Test("exit codes other than 0, 1 and 2, and none, are UNKNOWN")
    func exits() {
        let seen = [0, 1, 2, 3, 4, -1, 255, nil].map { PluginStatus(exit: $0) }
        #expect(seen == [.ok, .warning, .critical, .unknown, .unknown, .unknown, .unknown, .unknown])
    }

    @Test("performance data have labels, values, units, ranges and limits")
    func data() {
        func data(_ text: String) -> [PerformanceDatum] { PluginOutput(Array("OK|\(text)".utf8)).data }
        #expect(
            data("load1=0.260;5.000;10.000;0; /=2643MB;5948;5958;0;5968 rta=0,013000ms;3000;5000;0 time=1.5e-2s")
                == [
                    .init(label: "load1", value: 0.26, warning: .init(0, 5), critical: .init(0, 10), minimum: 0),
                    .init(
                        label: "/", value: 2643, unit: "MB", warning: .init(0, 5948), critical: .init(0, 5958), minimum: 0,
                        maximum: 5968),
                    .init(
                        label: "rta", value: 0.013, unit: "ms", warning: .init(0, 3000), critical: .init(0, 5000), minimum: 0),
                    .init(label: "time", value: 0.015, unit: "s"),
                ])
        #expect(
            data("'C: it''s used %'=12%;@10:20;~:90") == [
                .init(
                    label: "C: it's used %", value: 12, unit: "%", warning: .init(10, 20, alertsInside: true),
                    critical: .init(-.infinity, 90))
            ])
        #expect(data("a=U;1;2") == [.init(label: "a", value: nil, warning: .init(0, 1), critical: .init(0, 2))])
        #expect(data("packets=-17c;;;;") == [.init(label: "packets", value: -17, unit: "c")])
        #expect(data("nonsense a= =1 'open=1 b=x c=1;y;2:1 d=1e999 e=.5 f=5.").map(\.label) == ["c", "e", "f"])
        #expect(data("c=1;y;2:1").first.map { $0.warning == nil && $0.critical == nil } == true)
        #expect(data(String(repeating: "a=1 ", count: 1000)).count == PluginOutput.dataMost)
    }

    @Test(
        "ranges alert outside, or inside with @",
        arguments: [
            ("10", [-1, 11], [0, 5, 10]), ("10:", [9.9], [10, 1e9]), ("~:10", [10.1], [-1e9, 10]),
            ("10:20", [9, 21], [10, 20]), ("@10:20", [10, 15, 20], [9, 21]), ("@0", [0], [-1, 1]), (":5", [-1, 6], [0, 5]),
            ("-20:-10", [-21, -9], [-15]), ("~:", [], [-1e300, 1e300]),
        ] as [(String, [Double], [Double])])
    func ranges(text: String, alerting: [Double], quiet: [Double]) throws {
        let range = try #require(PluginRange(text))
        for value in alerting { #expect(range.alerts(value), "\(value) of \(text)") }
        for value in quiet { #expect(!range.alerts(value), "\(value) of \(text)") }
    }

    @Test("what is no range is none", arguments: ["", "@", "20:10", "a", "1:b", "1:2:3", "nan", "inf", "0x10", "1e999"])
    func noRange(text: String) { #expect(PluginRange(text) == nil) }

    @Test("a value is judged by its own ranges, the critical one first")
    func status() {
        func status(_ text: String) -> PluginStatus? { PluginOutput(Array("|\(text)".utf8)).data.first?.status }
        #expect(status("a=5;10;20") == .ok && status("a=15;10;20") == .warning && status("a=25;10;20") == .critical)
        #expect(status("a=U;10;20") == .unknown && status("a=1000") == .ok && status("a=25;10") == .warning)
    }

    @Test("no bytes are a trap, and the bounds hold")
    func anyBytes() {
        var random = SplitMix64.seeded()
        let alphabet = Array("a=1;:@~U'. ,-e%|\n\u{FF}".utf8)
        for _ in 0..<2000 {
            let bytes = (0..<random.below(200)).map { _ in alphabet[random.below(alphabet.count)] }
            let output = PluginOutput(Array("|".utf8) + bytes)
            #expect(output.data.count <= PluginOutput.dataMost)
            for datum in output.data {
                #expect(!datum.label.isEmpty && datum.value?.isFinite != false && datum.unit.utf8.count <= 3 * 16)
                #expect(datum.warning.map { $0.start <= $0.end } != false)
            }
        }
    }
}
