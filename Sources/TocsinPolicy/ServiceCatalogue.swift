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

    /// The service of an event and how it was found: by its own name, by an alias, by the host it runs on, by the
    /// component it is of, else as it came;
    /// `unknown` where it says none.
    func service(of event: Tocsin_V1_Event) -> (name: String, found: String) {
        let own = event.service
        let said = own.isEmpty ? "the event names none" : "the event says \(quoted(own))"
        if entries[own] != nil { return (own, said) }
        if !own.isEmpty, let service = aliases.service(own) { return (service, said + ", an alias") }
        for label in Self.hostLabels {
            guard let host = event.labels[label], !host.isEmpty, let service = hosts.service(host) else { continue }
            return (service, said + ", \(label) \(quoted(host))")
        }
        for label in Self.nameLabels {
            guard let name = event.labels[label], !name.isEmpty else { continue }
            if let service = entries[name] == nil ? aliases.service(name) : name {
                return (service, said + ", \(label) \(quoted(name))")
            }
        }
        return (own.isEmpty ? "unknown" : own, said)
    }
}
