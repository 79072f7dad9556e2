/// Who makes a request that this process handles for others, and what they may.
public struct Caller: Sendable, Equatable {
    public var name: String
    public var permissions: Permissions

    public init(name: String, permissions: Permissions) {
        self.name = name
        self.permissions = permissions
    }

    /// Of the request that the current task handles. Nil: nobody asked who it is, and everything may be done.
    @TaskLocal public static var current: Caller?
}
