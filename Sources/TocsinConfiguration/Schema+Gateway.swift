import TocsinAccess
import TocsinIntake
import TocsinWire

extension Schema {
    private static let defaultGateway = SocketAddress(host: "127.0.0.1", port: 7118)

    static func readGateway(_ section: Section) -> GatewaySettings {
        let before = section.document.problems.count
        let listen = section.read(
            "listen", .address, default: defaultGateway, "Where it serves gRPC over HTTP/2: an address in numbers, and a port.")
        let tls = section.optional("tls") { section in
            GatewaySettings.TLS(
                certificate: pem(section, "certificate", "File with the certificate, and those up to the root, in PEM."),
                key: pem(section, "key", "File with its key, in PEM; keep it readable for the gateway alone."),
                clientRoots: section.has("client_roots") || section.document.isExplaining
                    ? section.path(
                        "client_roots", default: "none",
                        "File with root certificates, in PEM. With it every client must show a certificate of theirs.") : nil)
        }
        let clients =
            section.sections("clients", absent: "everybody who reaches it", "Who may call, and what.", client) ?? []
        let allowsPlaintext = section.read(
            "allow_plaintext", .flag, default: false,
            "Serve without TLS though other machines reach it. Tokens can then be read on the way.")
        let allowsAnyone = section.read(
            "allow_anyone", .flag, default: false, "Serve everybody, and everything, though other machines reach it.")
        let http = section.section("http", http)
        var settings = GatewaySettings(
            listen: listen, http: http, mappings: section.section("mappings", mappings), tls: tls, clients: clients,
            allowsPlaintext: allowsPlaintext, allowsAnyone: allowsAnyone)
        settings.syslog = section.optional("syslog", syslog)
        settings.riemann = section.optional("riemann", riemann)
        settings.nagios = section.optional("nagios", nagios)
        // What is wrong with a single value has been reported already, with its place.
        if section.document.problems.count == before { settings.problems.forEach(section.report) }
        return settings
    }

    private static func http(_ section: Section) -> GatewaySettings.HTTP? {
        let isEnabled = section.read("enabled", .flag, default: true, "Whether foreign tools are served over HTTP.")
        let settings = GatewaySettings.HTTP(
            listen: section.read(
                "listen", .address, default: SocketAddress(host: "127.0.0.1", port: 7119),
                "Where it serves foreign tools over HTTP/1.1, with the gateway's TLS and clients: an address in numbers, and a port."
            ),
            bodyBytesMax: section.read(
                "max_body", .size(atLeast: 1024), default: 4 << 20, "The largest body of a request, decompressed."),
            connectionsMax: section.read(
                "max_connections", .integer(1...65_536), default: 1024, "Connections at once; more wait to be accepted."),
            timeout: section.read(
                "timeout", .duration(atLeast: .seconds(1)), default: .seconds(30),
                "A request has to be there as a whole within it; a connection without one is closed after it."),
            resolveTimeout: section.read(
                "resolve_timeout", .duration(atLeast: .seconds(1)), default: .seconds(300),
                "An alert of Alertmanager's API without endsAt is over so long after it was last sent, and none is sooner after an outage."
            ),
            minimumLogSeverity: section.read(
                "minimum_log_severity", .integer(1...24), default: 17,
                "OTLP log records of a lower severity_number make no event: 17 is ERROR, 13 WARN, 9 INFO."))
        return isEnabled ? settings : nil
    }

    private static func mappings(_ section: Section) -> [SourceKind: Mapping] {
        var mappings: [SourceKind: Mapping] = [:]
        for kind in SourceKind.allCases {
            mappings[kind] = section.section(kind.rawValue) { section in
                var mapping = Mapping.standard(kind)
                // A resolve of PagerDuty's has no labels: its service is the client, whatever the trigger says.
                if kind != .pagerduty {
                    mapping.serviceLabels = section.list(
                        "service_labels", .word, default: mapping.serviceLabels,
                        "Labels of which the first that is set is the service, where the tool names none.")
                }
                mapping.service = section.read(
                    "service", .word, default: mapping.service, "The service, where there is none of these.")
                mapping.severityLabels = section.list(
                    "severity_labels", .word, default: mapping.severityLabels,
                    "Labels of which the first that is set is the severity, where the tool names none.")
                let severities = section.table(
                    "severities", .word,
                    "The tool's words, and for each the one that triage is given; others are taken as they are.")
                mapping.severities = Dictionary(severities.map { ($0.key.lowercased(), $0.value) }) { $1 }
                mapping.dedupLabels = section.list(
                    "dedup_labels", .word, default: mapping.dedupLabels,
                    "Labels that tell conditions apart, in place of the tool's own key.")
                return mapping
            }
        }
        return mappings
    }

    private static func pem(_ section: Section, _ key: String, _ doc: String) -> String {
        if !section.has(key), !section.document.isExplaining { section.report("\"\(key)\" is missing; give a file") }
        return section.path(key, default: "required", doc)
    }

    private static func client(_ section: Section) -> GatewaySettings.Client {
        let name = section.require("name", .word, placeholder: "", "Who it is, for the log and the workers.")
        let token = section.read(
            "token_sha256", .sha256, absent: "not used",
            "SHA-256 of its token, in hex, as `tocsin-gateway token` prints it: the token itself is kept nowhere.")
        let certificate = section.read(
            "certificate", .word, absent: "not used", "Common name of its certificate.")
        if (token == nil) == (certificate == nil) { section.report("give one of token_sha256 and certificate") }
        return GatewaySettings.Client(
            name: name, tokenHash: token, certificate: certificate, permissions: permissions(section))
    }

    /// Those of a role, with rules in place of the role's.
    private static func permissions(_ section: Section) -> Permissions {
        let role = section.read("role", .role, absent: "none", "What it may do, by role; rules below are in place of the role's.")
        let publish = section.list(
            "publish", .rule, absent: "the role's", "Subjects it may publish: filters; those that begin with ! are taken back.")
        let consume = section.list("consume", .word, absent: "the role's", "Pools it may work for; * at the end for the rest.")
        let read = section.list(
            "read", .rule, absent: "the role's", "Subjects it may see by taps, and of pools it declares: filters as for publish.")
        let call = section.list(
            "call", .word, absent: "the role's", "What it may call: package.Service/Method, package.Service/*, or *.")
        let rules = [RuleKind.publish: publish, .consume: consume, .read: read, .call: call].compactMapValues { $0 }
        if role == nil, rules.isEmpty, !section.document.isExplaining {
            section.report("neither a role nor rules: it could do nothing; give role")
        }
        let permissions = role?.permissions ?? Permissions()
        do throws(WireError) { return try permissions.replacing(rules) } catch {
            section.report(error.message)
            return permissions
        }
    }
}

extension Scalar where Value == Role {
    fileprivate static var role: Scalar {
        let words = Role.allCases.map(\.rawValue)
        return Scalar(
            name: "role", expected: "a role: " + words.joined(separator: ", "), words: words, parse: { Role(rawValue: $0) },
            format: \.rawValue)
    }
}

extension Scalar where Value == String {
    /// A subject filter, or `!` and one.
    fileprivate static var rule: Scalar {
        Scalar(
            name: "filter", expected: "a subject filter such as event.http.>, or !incident.need-to-know.> to take one back",
            parse: { text in Self.filter.parse(text.hasPrefix("!") ? String(text.dropFirst()) : text).map { _ in text } },
            format: { $0 })
    }
}
