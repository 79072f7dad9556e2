/// How far information may be passed on: the Traffic Light Protocol 2.0 of FIRST. Raw values are the wire's.
public enum TrafficLight: UInt8, Sendable, CaseIterable {
    case clear = 1
    case green
    case amber
    case amberStrict
    case red

    /// "amber-strict".
    public var name: String {
        switch self {
        case .clear: "clear"
        case .green: "green"
        case .amber: "amber"
        case .amberStrict: "amber-strict"
        case .red: "red"
        }
    }

    /// As it is written on documents: "TLP:AMBER+STRICT".
    public var label: String { self == .amberStrict ? "TLP:AMBER+STRICT" : "TLP:\(name.uppercased())" }

    /// Reads a name.
    public init?(name: String) {
        guard let found = Self.allCases.first(where: { $0.name == name.lowercased() }) else { return nil }
        self = found
    }
}
