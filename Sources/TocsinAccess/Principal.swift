/// Somebody the hub has admitted, and what they may do. A key whose name or permissions change becomes another principal.
public struct Principal: Sendable, Equatable {
    /// The ZAP user id of its connections; never used again for another in one run of the hub.
    public var number: UInt32
    /// Of its key; for people, logs, and the services it calls.
    public var name: String
    public var permissions: Permissions
    /// Nil: it has rules of its own alone.
    public var role: Role?
    /// It proved a key. Else it is the hub's own user, or anybody at all.
    public var hasKey: Bool

    /// The number of whoever comes over ipc as the hub's own user.
    public static let local: UInt32 = 1

    public init(number: UInt32, name: String, permissions: Permissions, role: Role? = nil, hasKey: Bool = true) {
        self.number = number
        self.name = name
        self.permissions = permissions
        self.role = role
        self.hasKey = hasKey
    }
}
