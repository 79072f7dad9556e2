import TocsinDomain
import TocsinProto

/// Finds the service of the catalogue that an event is about.
struct ServiceCatalogue: Sendable {
    private let entries: [String: ServiceEntry]
    /// What one service calls itself: names without a mark are looked up, so that a long catalogue costs nothing.
    private struct Names: Sendable {
        var literals: [String: String] = [:]
        var globs: [(glob: Glob, service: String)] = []

        mutating func add(_ name: String, _ service: String) {
            if name.contains(where: { $0 == "*" || $0 == "?" }) {
                globs.append((Glob(name), service))
            } else if literals[name] == nil {
                literals[name] = service
            }
        }

        var isEmpty: Bool { literals.isEmpty && globs.isEmpty }

        func service(_ name: String) -> String? {
            literals[name] ?? globs.first { $0.glob.matches(name) }?.service
        }
    }
    private var aliases = Names()
    private var hosts = Names()

    /// Labels that say where something runs, as different tools call it (`source` is PagerDuty's).
    static let hostLabels = ["host", "hostname", "instance", "node", "nodename", "pod", "source"]
    /// Labels that say what it is a part of.
    static let nameLabels = ["component", "app", "job"]

    init(_ services: [String: ServiceEntry]) {
        entries = services
        // Of two services that claim a name, it is the first's by name.
        for (name, entry) in services.sorted(by: { $0.key < $1.key }) {
            for alias in entry.aliases { aliases.add(alias, name) }
            for host in entry.hosts { hosts.add(host, name) }
        }
    }

    subscript(name: String) -> ServiceEntry? { entries[name] }

    /// The service of an event, and by what it was found.
    struct Finding: Hashable, Sendable {
        var name: String
        var by: Way

        enum Way: Hashable, Sendable {
            /// As it came; `unknown` where the event says none.
            case name, alias
            /// By the value of a label.
            case label(String, String)
        }
    }

    /// By its own name, by an alias, by the host it runs on, by the component it is of, else as it came.
    func service(of event: Tocsin_V1_Event) -> Finding {
        let own = event.service
        if entries[own] != nil { return Finding(name: own, by: .name) }
        if !own.isEmpty, let service = aliases.service(own) { return Finding(name: service, by: .alias) }
        if !hosts.isEmpty {
            for label in Self.hostLabels {
                guard let host = event.labels[label], !host.isEmpty, let service = hosts.service(host) else { continue }
                return Finding(name: service, by: .label(label, host))
            }
        }
        if !entries.isEmpty {
            for label in Self.nameLabels {
                guard let name = event.labels[label], !name.isEmpty else { continue }
                guard let service = entries[name] == nil ? aliases.service(name) : name else { continue }
                return Finding(name: service, by: .label(label, name))
            }
        }
        return Finding(name: own.isEmpty ? "unknown" : own, by: .name)
    }

    /// In words; `own`: what the event says.
    static func words(for finding: Finding, own: String) -> String {
        let said = own.isEmpty ? "the event names none" : "the event says \(quoted(own))"
        return switch finding.by {
        case .name: said
        case .alias: said + ", an alias"
        case .label(let label, let value): said + ", \(label) \(quoted(value))"
        }
    }
}
