import Glibc
import TestSupport
import Testing
import TocsinSystem

@testable import TocsinDetection

/// Goal: numbers are read as their formats say, whatever comes, and rules say of them what they are to say.
@Suite("Metrics", .timeLimit(.minutes(1)))
struct MetricsTests {
    private func selector(_ text: String) throws -> SeriesSelector { try SeriesSelector(text) }

    // MARK: Formats

    @Test("the exposition format: labels, escapes, numbers that are none, comments, what is malformed")
    func exposition() {
        let text = """
            # HELP http_requests_total Requests.
            # TYPE http_requests_total counter
            http_requests_total{method="post",code="200"} 1027 1395066363000
            http_requests_total{code="400",method="post",} 3
            odd{path="C:\\\\DIR",text="a \\"b\\"\\n{c,}"} 1.5e-3
              up 1
            none NaN
            most +Inf
            broken{a=1} 2
            also broken
            openmetrics_total 5 # {trace="1"} 1.0

            """
        let (samples, malformed) = PrometheusText.samples(Array(text.utf8), limit: 100)
        #expect(malformed == 2)
        #expect(
            samples.map { "\($0.series)" } == [
                #"http_requests_total{code="200",method="post"}"#, #"http_requests_total{code="400",method="post"}"#,
                "odd{path=\"C:\\DIR\",text=\"a \"b\"\n{c,}\"}", "up", "none", "most", "openmetrics_total",
            ])
        #expect(samples[0].value == 1027 && samples[2].value == 0.0015 && samples[4].value.isNaN && samples[5].value == .infinity)
        #expect(PrometheusText.samples(Array(text.utf8), limit: 2).samples.count == 2)
    }

    @Test("a statsd bucket: rates, gauges that move, sampled timers, sets, tags; what is malformed is counted")
    func statsd() throws {
        var bucket = StatsdBucket()
        let lines = """
            orders:1|c
            orders:4|c|@0.5
            queue:10|g
            queue:-3|g
            users:anna|s
            users:bob|s
            users:anna|s
            page:10|ms
            page:30|ms
            page:20|ms|#shop:berlin,beta
            nonsense
            :1|c
            a:x|c
            a:1|q
            """
        bucket.take(Array(lines.utf8)[...])
        #expect(bucket.malformed == 4)
        let samples = Dictionary(bucket.flush(seconds: 10).map { ("\($0.series)", $0.value) }) { $1 }
        #expect(samples["orders"] == 0.9 && samples["queue"] == 7 && samples["users"] == 2)
        #expect(samples[#"page{stat="mean"}"#] == 20 && samples[#"page{stat="p50"}"#] == 10)
        #expect(samples[#"page{stat="p99"}"#] == 30 && samples[#"page{stat="rate"}"#] == 0.2)
        #expect(samples[#"page{beta="",shop="berlin",stat="max"}"#] == 20)
        let again = bucket.flush(seconds: 10)
        #expect(samples.count > 5 && again.allSatisfy(\.isRepeated))
        let quiet = Dictionary(again.map { ("\($0.series)", $0.value) }) { $1 }
        #expect(quiet["orders"] == 0 && quiet["queue"] == 7 && quiet["users"] == 0 && quiet[#"page{stat="mean"}"#] == nil)
        for _ in 0..<StatsdBucket.quietMax { _ = bucket.flush(seconds: 1) }
        #expect(bucket.flush(seconds: 1).isEmpty)
    }

    @Test("any bytes make no trap, and never more series than there may be")
    func anyBytes() {
        var random = SplitMix64.seeded()
        var bucket = StatsdBucket()
        let letters = Array("ab:|c#@g1.,{}=\"\\ \nms-e+N\u{0}\u{ff}".utf8)
        for _ in 0..<2_000 {
            let bytes = (0..<Int.random(in: 0..<80, using: &random)).map { _ in letters.randomElement(using: &random) ?? 0 }
            bucket.take(bytes[...])
            _ = PrometheusText.samples(bytes, limit: 10)
            _ = try? SeriesSelector(String(decoding: bytes, as: UTF8.self))
            _ = Timestamp.milliseconds(String(decoding: bytes, as: UTF8.self))
            _ = try? ReplaySource.Table(bytes, path: "t")
        }
        for number in 0..<StatsdBucket.seriesMax + 10 { bucket.take(Array("s\(number):1|c".utf8)[...]) }
        #expect(bucket.flush(seconds: 1).count <= StatsdBucket.seriesMax * 7 && bucket.dropped >= 10)
    }

    @Test("a listener takes what a statsd client sends over UDP")
    func listener() async throws {
        let listener = try StatsdListener(host: "127.0.0.1", port: 0)
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(listener.port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let text = Array("orders:5|g\n".utf8)
        let sent = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, text, text.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        #expect(sent == text.count)
        #expect(await eventually { listener.flush(seconds: 1) == [Sample(series: Series("orders"), value: 5)] })
        #expect(throws: ProbeProblem.self) { try StatsdListener(host: "127.0.0.1", port: listener.port) }
    }

    @Test("times as tables have them, and what is none")
    func times() {
        #expect(Timestamp.milliseconds("2014-04-01 00:00:00") == 1_396_310_400_000)
        #expect(Timestamp.milliseconds("2024-02-29T12:30:05Z") == 1_709_209_805_000)
        #expect(Timestamp.milliseconds("1709209805.5") == 1_709_209_805_500)
        #expect(Timestamp.milliseconds("1970-01-01") == 0)
        for text in ["", "yesterday", "2024-13-01", "2024-01-32 00:00", "2024-01-01 99:00", "-5", "1e300", "inf"] {
            #expect(Timestamp.milliseconds(text) == nil, "\(text)")
        }
    }

    @Test("a table is played in its order and its rhythm")
    func replay() async throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/t.csv"
        let table = "timestamp,a,b\n2024-01-01 00:00:00,1,10\n2024-01-01 00:00:01,2,\n2024-01-01 01:00:00,3,30\n"
        try Array(table.utf8).withUnsafeBytes { bytes in
            let file = try #require(fopen(path, "w"))
            fwrite(bytes.baseAddress, 1, bytes.count, file)
            fclose(file)
        }
        let pool = BlockingPool(threads: 1)
        var all = ReplaySource(replay: .init(path: path, speed: 0), samplesMax: 100, pool: pool)
        #expect(try await all.samples().map { "\($0.series)=\($0.value)" } == ["a=1.0", "b=10.0", "a=2.0", "a=3.0", "b=30.0"])
        #expect(try await all.samples().isEmpty)
        var live = ReplaySource(replay: .init(path: path, speed: 1000), samplesMax: 100, pool: pool)
        var seen: [Double] = []
        #expect(
            try await eventually {
                seen += try await live.samples().map(\.value)
                return seen.count >= 3
            })
        // An hour at that speed takes 3.6 s.
        #expect(seen.prefix(3) == [1, 10, 2] && !seen.contains(30))
        var wrong = ReplaySource(replay: .init(path: "\(folder.path)/none.csv"), samplesMax: 100, pool: pool)
        await #expect(throws: (any Error).self) { try await wrong.samples() }
    }

    // MARK: Rules

    @Test(
        "which series a rule is about",
        arguments: [
            ("up", "up", true), ("up", "upper", false), ("u*", "upper", true), (#"up{job="a"}"#, "up", true),
            (#"up{job="b"}"#, "up", false), (#"up{job!="b"}"#, "up", true), (#"up{job=~"*"}"#, "up", true),
            (#"up{job=~"b*"}"#, "up", false), (#"up{job!~"b*", none=""}"#, "up", true), ("*", "anything", true),
        ])
    func selectors(text: String, name: String, expected: Bool) throws {
        let series = Series(name, [Series.Label(name: "job", value: "a")])
        #expect(try SeriesSelector(text).matches(series) == expected)
    }

    @Test(
        "a selector that cannot be read says why",
        arguments: ["", "{}", "up{", "up{a}", "up{a=b}", "up{a=\"b\"} x", "up{a=\"b\" c=\"d\"}"]
    )
    func badSelectors(text: String) {
        #expect(throws: ConfigurationProblem.self) { try SeriesSelector(text) }
    }

    /// What a rule says of values that come 10 s apart: T and R for trigger and resolve.
    private func verdicts(_ rule: SeriesRule, _ values: [Double?]) -> String {
        var judge = SeriesJudge([rule], severity: "major")
        var state = ProbeState()
        let check = Check(name: "c", service: "s", kind: .tcp(TCPCheck(host: "h", port: 1)), failuresToTrigger: 1)
        var text = ""
        for (index, value) in values.enumerated() {
            let now = UInt64(1_700_000_000_000 + index * 10_000)
            let samples = value.map { [Sample(series: Series("a"), value: $0)] } ?? []
            var letter = "-"
            for observation in judge.judge(samples, now: now, firing: state.firing == nil ? [] : ["r"]) {
                switch state.observe(observation, check: check, nowMs: now) {
                case .trigger: letter = "T"
                case .resolve: letter = "R"
                case .nothing, .withheld: break
                }
            }
            text += letter
        }
        return text
    }

    @Test("a threshold has a band in which nothing changes; a rate is of counters; absence needs time; what is gone is over")
    func rules() throws {
        let a = try selector("a")
        let above = SeriesRule(name: "r", series: a, condition: .above(limit: 10, clear: 5))
        #expect(verdicts(above, [1, 10, 11, 8, 6, 12, 5, 8, 11, 4]) == "--T---R-TR")
        let below = SeriesRule(name: "r", series: a, condition: .below(limit: 10, clear: 15))
        #expect(verdicts(below, [20, 12, 9, 12, 15, 11, .nan, 3]) == "--T-R--T")
        let rate = SeriesRule(name: "r", series: a, condition: .above(limit: 5, clear: 5), isRate: true)
        #expect(verdicts(rate, [100, 120, 200, 210, 30, 100]) == "--TR-T")
        let absent = SeriesRule(name: "r", series: a, condition: .absent(.seconds(25)))
        #expect(verdicts(absent, [nil, nil, nil, nil, 1, nil, nil, nil, 1]) == "---TR--TR")
        #expect(verdicts(above, [20, nil, nil, nil, nil, nil]) == "T--R--")
    }

    @Test("the memory of series is bounded, and what has no room is said")
    func bounded() throws {
        var judge = SeriesJudge(
            [SeriesRule(name: "r", series: try selector("*"), condition: .above(limit: 0, clear: 0))], severity: "major")
        let samples = (0..<SeriesJudge.pairsMax + 7).map { Sample(series: Series("s\($0)"), value: 1) }
        let seen = judge.judge(samples, now: 1, firing: [])
        #expect(seen.count == SeriesJudge.pairsMax && judge.left == 7)
    }

    @Test("an exporter is scraped, judged, and said to be away when it is")
    func scrape() async throws {
        let server = try LoopbackServer { _, _ in .init(200, body: "depth{queue=\"a\"} 7\ndepth{queue=\"b\"} 70\n") }
        defer { server.stop() }
        let rule = SeriesRule(name: "deep", series: try selector("depth"), condition: .above(limit: 50, clear: 50))
        let check = MetricsCheck(source: .prometheus(.init(url: server.url + "/metrics")), rules: [rule])
        let pool = BlockingPool(threads: 2)
        var prober = MetricsProber(check: check, severity: "minor", timeout: .seconds(5), pool: pool, logger: quiet)
        let seen = try await prober.probe()
        #expect(seen.map(\.aspect) == ["", "deep/queue=a", "deep/queue=b"] && seen.map(\.healthy) == [true, true, false])
        #expect(seen[2].summary == #"depth{queue="b"} is 70, the limit is 50"#)
        server.stop()
        let away = try await prober.probe()
        #expect(away.count == 1 && !away[0].healthy && away[0].summary.hasPrefix(server.url))
    }

    @Test("numbers are shown with the digits that matter")
    func shown() {
        let shown = [0.0, 70, 1.5, 0.001234567, 123_456.789, -2.25, 1e20].map(SeriesJudge.shown)
        #expect(shown == ["0.0", "70", "1.5", "0.00123457", "123457", "-2.25", "1e+20"])
    }
}
