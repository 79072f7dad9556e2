/// What depends on what in the service catalogue.
public struct Topology: Sendable {
    private var dependencies: [String: [String]] = [:]
    private var dependents: [String: [String]] = [:]
    private var names: Set<String>

    /// Services looked at from one, at most.
    static let reachMax = 256

    public init(_ services: [String: ServiceEntry]) {
        names = Set(services.keys)
        for (name, entry) in services.sorted(by: { $0.key < $1.key }) {
            dependencies[name] = entry.dependsOn
            for other in entry.dependsOn { dependents[other, default: []].append(name) }
        }
    }

    /// Whether the catalogue has it.
    public func contains(_ service: String) -> Bool { names.contains(service) }

    /// What a service needs, directly or not, the nearest first.
    public func dependencies(of service: String) -> [String] { Self.reach(service, dependencies) }

    /// What needs a service, directly or not, the nearest first.
    public func dependents(of service: String) -> [String] { Self.reach(service, dependents) }

    private static func reach(_ service: String, _ edges: [String: [String]]) -> [String] {
        var found: [String] = []
        var seen: Set<String> = [service]
        var next = [service][...]
        while let one = next.popFirst(), found.count < reachMax {
            for other in edges[one] ?? [] where seen.insert(other).inserted {
                found.append(other)
                next.append(other)
            }
        }
        return found
    }
}
