import TocsinDetection

// What is looked at by a check, other than http, tcp, command, host and log.
extension Schema {
    static func dns(_ section: Section) -> Check.Kind {
        let name = section.require("name", .word, placeholder: "unset", "The name that is looked up.")
        let record = section.read(
            "record", .choice(DNSRecord.allCases.map { $0.rawValue.lowercased() }), default: "a", "The type of its records.")
        let server = section.read(
            "server", .address, absent: "those of this machine", "The server that is asked: an IPv4 address and a port.")
        return .dns(
            DNSCheck(
                name: name, record: DNSRecord(rawValue: record.uppercased()) ?? .a,
                expect: section.list("expect", .word, default: [], "Records that must be among them, as `dig` shows them."),
                server: server?.host, port: server?.port ?? 53))
    }

    static func ping(_ section: Section) -> Check.Kind {
        .ping(
            PingCheck(
                host: section.require("host", .word, placeholder: "unset", "Name or address."),
                count: section.read("count", .integer(1...20), default: 3, "ICMP echo requests in a probe."),
                lossAbove: section.read("loss", .integer(0...100), default: 50, "Percent of them that may be lost."),
                slowerThan: section.read(
                    "slower_than", .duration, absent: "timeout", "A reply that takes longer is a failure.")))
    }

    static func process(_ section: Section) -> Check.Kind {
        .process(
            ProcessCheck(
                name: section.read("name", .word, absent: "any", "Name of the program, of which the kernel knows 15 bytes."),
                commandLine: section.read("command_line", .word, absent: "anything", "What its command line must contain."),
                atLeast: section.read("at_least", .integer(0...1_000_000), default: 1, "So many must run."),
                atMost: section.read("at_most", .integer(0...1_000_000), absent: "any number", "And not more.")))
    }

    static func unit(_ section: Section) -> Check.Kind {
        .unit(
            UnitCheck(
                unit: section.require("name", .word, placeholder: "unset", "A unit of systemd: `nginx.service`."),
                states: section.list("states", .word, default: ["active"], "States that are well.")))
    }

    static func file(_ section: Section) -> Check.Kind {
        if !section.has("path") { section.report("\"path\" is missing; say which file to look at") }
        return .file(
            FileCheck(
                path: section.path("path", default: "required", "A file, or a pattern with * and ?: then the newest of them."),
                olderThan: section.read(
                    "older_than", .duration, absent: "not watched", "Not written for longer than this is a failure."),
                smallerThan: bytes(section, "smaller_than", "Fewer bytes are a failure."),
                largerThan: bytes(section, "larger_than", "More bytes are a failure."),
                mayBeAbsent: section.read("may_be_absent", .flag, default: false, "That there is none is no failure.")))
    }

    private static func bytes(_ section: Section, _ key: String, _ doc: String) -> Int64? {
        section.read(key, .size(atLeast: 0), absent: "not watched", doc).map { Int64($0) }
    }

    static func heartbeat(_ section: Section) -> Check.Kind {
        let expected =
            section.sections(
                "expect", "Heartbeats that are to come, also if none ever did. Others say themselves how often they come."
            ) { section in
                HeartbeatCheck.Expected(
                    name: section.require("name", .word, placeholder: "unset", "As in `tocsin heartbeat NAME`."),
                    every: section.require(
                        "every", .duration(atLeast: .seconds(1)), placeholder: .seconds(60), "How often it comes."),
                    grace: section.read("grace", .duration, absent: "a tenth of every", "How late it may be."),
                    service: section.read("service", .word, absent: "name", "What it is about."),
                    severity: section.read("severity", .severity, absent: "the check's", "Of its absence.")?.name)
            } ?? []
        return .heartbeat(
            HeartbeatCheck(
                expected: expected,
                remember: section.read(
                    "remember", .duration(atLeast: .seconds(60)), default: .seconds(8 * 86_400),
                    "How far back heartbeats are read when the detector starts; none may come more rarely.")))
    }

    // MARK: Metrics

    static func metrics(_ section: Section) -> Check.Kind {
        let sources: [MetricsCheck.Source?] = [
            section.optional("prometheus") { section in
                .prometheus(
                    MetricsCheck.Scrape(
                        url: section.require(
                            "url", .word, placeholder: "http://unset", "The page of an exporter.", secret: false),
                        headers: section.table("headers", .text, "Headers of the request.", secret: true),
                        roots: roots(section)))
            },
            section.optional("statsd") { section in
                let address = section.require(
                    "listen", .address, placeholder: SocketAddress(host: "127.0.0.1", port: 8125),
                    "Where statsd clients send to, over UDP.")
                return .statsd(host: address.host, port: address.port)
            },
            section.read("proc", .flag, default: false, "The numbers of this machine, from /proc.") ? .proc : nil,
            section.optional("csv") { section in
                if !section.has("path") { section.report("\"path\" is missing; say which table to play") }
                return .csv(
                    MetricsCheck.Replay(
                        path: section.path("path", default: "required", "A table with times in its first column."),
                        speed: section.read(
                            "speed", .number(0...1_000_000), default: 1,
                            "How many times as fast as it was recorded; 0: as fast as it can be read.")))
            },
        ]
        let chosen = sources.compactMap { $0 }
        if chosen.count != 1, !section.document.isExplaining {
            section.report("give exactly one of prometheus, statsd, proc, csv; \(chosen.count) are given")
        }
        let rules = section.sections(
            "rules", "What is wrong with a series. Each rule and series is a condition of its own.", rule)
        return .metrics(MetricsCheck(source: chosen.first ?? .proc, rules: rules ?? []))
    }

    private static func rule(_ section: Section) -> SeriesRule {
        let name = section.require("name", .word, placeholder: "unset", "Unique within the check.")
        let text = section.require(
            "series", .word, placeholder: "unset",
            "Which series: name{label=\"value\"}, with = != =~ !~; * in the name, and in the value of =~, is anything.")
        let above = section.read("above", .number(-1e15...1e15), absent: "not watched", "More is a failure.")
        let below = section.read("below", .number(-1e15...1e15), absent: "not watched", "Less is a failure.")
        let clear = section.read(
            "clear", .number(-1e15...1e15), absent: "the limit",
            "Where it is over again: a value between does not change anything.")
        let absent = section.read(
            "absent", .duration(atLeast: .seconds(1)), absent: "not watched",
            "That no such series was there for so long is a failure.")
        let anomaly = section.read(
            "anomaly", .number(0.01...1), absent: "not watched",
            "A value is a failure that the detector of anomalies gives this score or more; see the README.")
        let conditions: [SeriesRule.Condition?] = [
            above.map { .above(limit: $0, clear: clear ?? $0) }, below.map { .below(limit: $0, clear: clear ?? $0) },
            absent.map { .absent($0) }, anomaly.map { .anomaly(threshold: $0) },
        ]
        let chosen = conditions.compactMap { $0 }
        if chosen.count != 1, !section.document.isExplaining {
            section.report("give exactly one of above, below, absent, anomaly; \(chosen.count) are given")
        }
        let isRate = section.read("rate", .flag, default: false, "Judge the change in a second: of counters.")
        let severity = section.read("severity", .severity, absent: "the check's", "Of a failure.")?.name
        return SeriesRule(
            name: name, series: selector(text, section), condition: chosen.first ?? .above(limit: 0, clear: 0), isRate: isRate,
            severity: severity)
    }

    private static func selector(_ text: String, _ section: Section) -> SeriesSelector {
        do throws(ConfigurationProblem) { return try SeriesSelector(text) } catch {
            section.report("series", error.description)
            return SeriesSelector.any
        }
    }
}
