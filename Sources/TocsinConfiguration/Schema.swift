import TocsinArchive
import TocsinDetection
import TocsinDomain
import TocsinKeys
import TocsinPolicy
import TocsinResponse
import TocsinTriage

/// What may be in the file. Each function reads one section; the keys are documented where they are read.
enum Schema {
    static func read(_ root: Section, file: String?) -> Configuration {
        let isEndpointSet = root.has("endpoint") || root.document.overrides["endpoint"] != nil
        let data = root.path(
            "data", default: "tocsin-data",
            "Folder under which every process keeps what must survive it. In the file, relative to the file.")
        // The path of a socket file has little room.
        let shown = root.document.isExplaining ? "tocsin-data" : Paths.relative(data, to: root.document.workingFolder)
        var endpoint = root.read(
            "endpoint", .endpoint, default: "ipc://\(shown)/hub.sock",
            "Where clients and workers find the hub. Default: as the identity says; else the first of hub.endpoints, if set.")
        let identity = readIdentity(root)
        let log = root.section("log", readLog)
        let responders = root.section("responders") { readResponders($0, data: data) }
        let hub = root.section("hub") {
            readHub($0, endpoint: endpoint, data: data, responders: responders)
        }
        if !isEndpointSet { endpoint = identity?.hub ?? hub.endpoints.first.map(reachable) ?? endpoint }
        let detectors = readDetectors(root, data: data)
        let policy = root.sectionOrFile("policy", policyDoc) {
            readPolicy($0, targets: responders.notifications.map(\.name))
        }
        let (triage, triageWorkers) = root.section("triage") { readTriage($0, policy: policy) }
        let archiver = root.section("archiver") {
            readArchiver($0, data: data, policy: policy, hubRetention: hub.retainAge)
        }
        let gateway = root.section("gateway", readGateway)
        return Configuration(
            file: file, endpoint: endpoint, identity: identity, data: data, log: log, hub: hub, detectors: detectors,
            policy: policy, triage: triage,
            triageWorkers: triageWorkers, responders: responders, archiver: archiver, gateway: gateway,
            settings: root.document.settings)
    }

    private static func readIdentity(_ root: Section) -> Identity? {
        guard root.has("identity") || root.document.overrides["identity"] != nil || root.document.isExplaining else {
            _ = root.read("identity", .word, absent: "none", identityDoc)
            return nil
        }
        let path = root.path("identity", default: "none", identityDoc)
        guard !root.document.isExplaining else { return nil }
        do throws(KeyError) { return try Identity.load(path) } catch {
            root.report("identity", error.description)
            return nil
        }
    }

    private static let identityDoc =
        "The key file of whoever runs this, made by `tocsin keys new`: needed over TCP. It also says where the hub is."

    /// What a client on this machine connects to, for an endpoint that is bound on all interfaces.
    private static func reachable(_ endpoint: String) -> String {
        for wildcard in ["tcp://*:", "tcp://0.0.0.0:"] where endpoint.hasPrefix(wildcard) {
            return "tcp://127.0.0.1:" + endpoint.dropFirst(wildcard.count)
        }
        return endpoint
    }

    private static func readLog(_ section: Section) -> LogSettings {
        let level = section.read(
            "level", .choice(["trace", "debug", "info", "notice", "warning", "error", "critical"]), default: "info",
            "What is not logged: everything below this.")
        let format = section.read(
            "format", .choice(LogSettings.Format.allCases.map(\.rawValue)), default: "logfmt",
            "How a line of the log is written, on standard error.")
        return LogSettings(level: level, format: LogSettings.Format(rawValue: format) ?? .logfmt)
    }

    private static func readRetention(_ section: Section) -> RetentionPolicy {
        let forever = "for ever"
        let incidents = section.read(
            "incidents", .duration(atLeast: .seconds(24 * 3600)), absent: forever,
            "How long an incident that is closed, merged or dismissed is kept after its last change.")
        let drills = section.read(
            "drills", .duration(atLeast: .seconds(24 * 3600)), absent: "as incidents", "The same of drills.")
        return RetentionPolicy(incidents: incidents, drills: drills)
    }

    private static func readArchiver(
        _ section: Section, data: String, policy: Policy, hubRetention: Duration
    ) -> ArchiveConfiguration {
        let database = section.path(
            "database", default: "\(data)/archive/archive.db", "The SQLite file of incidents.")
        return ArchiveConfiguration(
            name: "archiver", databasePath: database,
            auditKeyPath: section.path(
                "audit_key", default: "\(database).audit-key",
                "The key that signs the audit trail; made with the archive. Keep a copy where the archive is not."),
            reopenWindow: section.read(
                "reopen_window", .duration, default: .seconds(24 * 3600),
                "An alert that fires again this soon after its incident was resolved reopens it; later it is a new one."
            ),
            resolvesAutomatically: section.read(
                "resolve_automatically", .flag, default: true, "An incident is resolved when its last alert is."),
            incidentSeverity: section.read(
                "incident_severity", .severity, default: .minor,
                "An alert that is at least this bad opens an incident; others are recorded and need nobody."),
            policy: policy,
            retention: section.section("retention", readRetention),
            masterKey: section.section("master_key") { readMasterKey($0, database: database) },
            personalLabels: section.list(
                "personal_labels", .word, default: ArchiveConfiguration.standardPersonalLabels,
                "Labels and details that say who somebody is: their values are sealed in the archive and can be erased."),
            seesEverything: section.list(
                "sees_everything", .word, default: ArchiveConfiguration.standardSeesEverything,
                "Names of keys that see incidents whoever else may: programs that work on all of them."),
            hubRetention: hubRetention,
            credit: section.read(
                "credit", .integer(1...65_536), default: 2048, "Messages it holds at the same time."),
            batchMax: section.read(
                "batch", .integer(1...10_000), default: 1024, "Messages in one transaction, at most."))
    }

    private static func readMasterKey(_ section: Section, database: String) -> MasterKeySource {
        let isFile = section.has("file")
        let file = section.path(
            "file", default: "\(database).master-key",
            "The key that people's data in the archive is sealed with: 32 bytes, mode 0600. Made with the archive.")
        let command = section.list(
            "command", .text, absent: "not used",
            "Instead of a file: writes the key to standard output, in Base64 or hexadecimal digits, within 30 s.")
        guard let command else { return .file(file) }
        if isFile { section.report("give one of file and command") }
        if command.isEmpty { section.report("\"command\" is empty; give a program") }
        return .command(command)
    }
}
