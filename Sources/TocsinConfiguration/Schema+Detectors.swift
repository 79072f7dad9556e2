import TocsinDetection
import TocsinDomain

extension Schema {
    static func readDetectors(_ root: Section, data: String) -> [DetectorConfiguration] {
        var names: Set<String> = []
        let listed = root.sections(
            "detectors", absent: "local: watches memory and the root file system of this machine",
            "What is watched; each detector is a process of its own."
        ) { section in
            let name = section.require("name", .word, placeholder: "", "Unique; shown in every event.")
            let directory = section.path(
                "directory", default: "\(data)/detectors/\(name.isEmpty ? "NAME" : name)",
                "Folder of its spool and of its positions in followed files.")
            let checks = section.sections("checks", "The things it watches.", check) ?? []
            let detector = DetectorConfiguration(name: name, spoolDirectory: directory, checks: checks)
            if !name.isEmpty, name.contains("/") || name.hasPrefix(".") {
                section.report("name", "a detector's name may not contain '/' or begin with '.'")
            }
            if !name.isEmpty, !names.insert(name).inserted {
                section.report("name", "another detector is called \"\(name)\"")
            }
            // What is wrong with one check was reported at that check.
            let reported = Set(checks.flatMap(problems))
            for problem in detector.problems where !name.isEmpty && !reported.contains(problem) {
                section.report(problem)
            }
            return detector
        }
        return listed ?? [local(data: data)]
    }

    /// The detector of a system without a configuration.
    private static func local(data: String) -> DetectorConfiguration {
        let host = HostCheck(memoryAbove: 95, diskAbove: 95)
        let check = Check(name: "host", service: "host", kind: .host(host), interval: .seconds(30), severity: "major")
        return DetectorConfiguration(name: "local", spoolDirectory: "\(data)/detectors/local", checks: [check])
    }

    private static func check(_ section: Section) -> Check {
        let name = section.require("name", .word, placeholder: "", "Unique within the detector.")
        let service = section.require("service", .word, placeholder: "", "What the check is about.")
        let interval = section.read(
            "interval", .duration(atLeast: .milliseconds(10)), absent: "10s, for a log 250ms",
            "From the start of one probe to the start of the next.")
        let retry = section.read(
            "retry", .duration(atLeast: .milliseconds(10)), absent: "interval",
            "The same while it fails and is not reported yet. Not for log.")
        let jitter = section.read(
            "jitter", .duration, absent: "a tenth of interval, at most 10s",
            "A probe begins up to so much later, by chance. Not for log.")
        let dependsOn = section.list(
            "depends_on", .word, default: [],
            "Checks of this detector without which this one cannot be well: while one of them fails, this one is not reported.")
        let timeout = section.read(
            "timeout", .duration(atLeast: .milliseconds(1)), default: .seconds(5),
            "A probe without an answer by then has failed. Not for log and host.")
        let severity = section.read("severity", .severity, default: .critical, "Of a failure.")
        let labels = section.table("labels", .text, "Added to the labels of each event.")
        let failures = section.read(
            "failures_to_trigger", .integer(1...1000), default: 2,
            "Failures in a row before it is reported. Not for log.")
        let successes = section.read(
            "successes_to_resolve", .integer(1...1000), default: 1,
            "Successes in a row before it is over. Not for log.")
        let repeats = section.read(
            "repeat", .duration(atLeast: .seconds(1)), default: .seconds(300),
            "While it keeps failing it is reported again this often. Not for log.")
        let kinds: [Check.Kind?] = [
            section.optional("http", http), section.optional("tcp", tcp), section.optional("command", command),
            section.optional("host", host), section.optional("log", log), section.optional("dns", dns),
            section.optional("ping", ping), section.optional("process", process), section.optional("unit", unit),
            section.optional("file", file), section.optional("metrics", metrics), section.optional("heartbeat", heartbeat),
        ]
        let chosen = kinds.compactMap { $0 }
        if chosen.count != 1 {
            section.report(
                "give exactly one of http, tcp, dns, ping, command, process, unit, file, host, metrics, log, heartbeat; "
                    + "\(chosen.count) are given")
        }
        let check = Check(
            name: name, service: service, kind: chosen.first ?? .log(LogCheck(.file("unset"))), interval: interval,
            retryInterval: retry, jitter: jitter, dependsOn: dependsOn, timeout: timeout, severity: severity.name,
            labels: labels, failuresToTrigger: failures,
            successesToResolve: successes, repeatInterval: repeats)
        // A name, service or kind that is missing has been reported already.
        if !name.isEmpty, !service.isEmpty, chosen.count == 1 { problems(check).forEach(section.report) }
        return check
    }

    private static func problems(_ check: Check) -> [String] {
        var alone = check
        // Those it depends on are looked for when all checks are read.
        alone.dependsOn = []
        return DetectorConfiguration(name: "any", spoolDirectory: "any", checks: [alone]).problems
    }

    private static func http(_ section: Section) -> Check.Kind {
        .http(
            HTTPCheck(
                url: section.require("url", .word, placeholder: "http://unset", "http or https.", secret: false),
                method: section.read("method", .word, default: "GET", "The request's method."),
                expectStatus: section.list(
                    "expect_status", .statuses, default: [200...299], "Statuses that are well."),
                expectBody: section.read(
                    "expect_body", .word, absent: "anything", "What the first MiB of the body must contain."),
                headers: section.table("headers", .text, "Headers of the request.", secret: true),
                followRedirects: section.read(
                    "follow_redirects", .flag, default: true, "Whether a redirect is followed."),
                slowerThan: section.read(
                    "slower_than", .duration, absent: "timeout", "An answer that takes longer is a failure."),
                certificateDays: section.read(
                    "certificate_days", .integer(0...3650), absent: "not watched",
                    "A certificate that expires sooner is a failure."
                ).map { Int64($0) },
                roots: roots(section)))
    }

    /// A file of root certificates.
    static func roots(_ section: Section) -> String? {
        guard section.has("roots") || section.document.isExplaining else {
            _ = section.read("roots", .word, absent: "the system's", rootsDoc)
            return nil
        }
        return section.path("roots", default: "the system's", rootsDoc)
    }

    private static let rootsDoc = "File with root certificates, in PEM, that the server's certificate is to be of."

    private static func tcp(_ section: Section) -> Check.Kind {
        .tcp(
            TCPCheck(
                host: section.read("host", .word, default: "127.0.0.1", "Name or address."),
                port: section.require("port", .integer(1...65535), placeholder: 1, "The port that must accept.")))
    }

    private static func command(_ section: Section) -> Check.Kind {
        let argv = section.list(
            "argv", .text, absent: "required",
            "A Nagios plugin and its arguments, without a shell: exit 0 OK, 1 WARNING, 2 CRITICAL, else UNKNOWN.")
        if argv?.first?.isEmpty ?? true { section.report("\"argv\" is missing; give a program and its arguments") }
        return .command(
            CommandCheck(
                argv: argv?.first?.isEmpty ?? true ? ["unset"] : argv ?? [],
                environment: section.table("environment", .text, "Added to its environment.", secret: true)))
    }

    private static func host(_ section: Section) -> Check.Kind {
        .host(
            HostCheck(
                cpuAbove: section.read(
                    "cpu", .number(0...100), absent: "not watched", "Percent of all processors busy."),
                memoryAbove: section.read(
                    "memory", .number(0...100), absent: "not watched", "Percent of memory in use."),
                diskAbove: section.read(
                    "disk", .number(0...100), absent: "not watched", "Percent of a file system in use."),
                diskPaths: section.list("disk_paths", .word, default: ["/"], "One path in each file system."),
                loadAbove: section.read(
                    "load", .number(0...1_000_000), absent: "not watched", "The load average of one minute.")))
    }

    private static func log(_ section: Section) -> Check.Kind {
        let path =
            section.has("path") || section.document.isExplaining
            ? section.path("path", default: "required without journal", "The text file that is followed.") : ""
        let journal = section.optional("journal") { section in
            section.list("units", .word, default: [], "Units of systemd whose journal is followed; none: all of it.")
        }
        if section.has("path") == section.has("journal") {
            section.report("give either \"path\", a file to follow, or \"journal\", for systemd's journal")
        }
        let patterns = section.sections(
            "patterns",
            "The first that matches a line decides. Without any, every line is an event, unless templates are watched.",
            pattern)
        let watchesTemplates = section.read(
            "templates", .flag, default: false,
            "Whether to watch what lines have in common: events for templates that are new, come in a burst or have vanished.")
        let severity = section.read("template_severity", .severity, default: .minor, "Of events about templates.").name
        let settling = section.read(
            "template_settling", .duration, default: .seconds(600),
            "For so long after the log was first followed, no template is new.")
        return .log(
            LogCheck(
                journal.map { .journal(units: $0) } ?? .file(path), patterns: patterns ?? [],
                templates: watchesTemplates ? TemplateCheck(severity: severity, settling: settling) : nil,
                fromStart: section.read(
                    "from_start", .flag, default: false, "Whether a log that is new to it is read from its first line."
                ),
                rotateWait: section.read(
                    "rotate_wait", .duration, default: .seconds(1),
                    "How long a renamed file must be quiet before its successor is read.")))
    }

    private static func pattern(_ section: Section) -> LogPattern {
        LogPattern(
            contains: section.read("contains", .word, absent: "anything", "What the line must contain."),
            regex: section.read(
                "regex", .word, absent: "anything", "What the line must match; named groups become labels."),
            severity: section.read("severity", .severity, absent: "the check's", "Of the event.")?.name,
            service: section.read("service", .word, absent: "the check's", "Of the event."),
            resolve: section.read("resolve", .flag, default: false, "The line says that it is over."),
            dedupKey: section.read(
                "dedup_key", .word, absent: "made by triage", "What tells alerts apart; {name} is a named group."))
    }
}
