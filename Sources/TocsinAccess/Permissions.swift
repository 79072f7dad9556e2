import TocsinWire

/// What one key may do at the hub. Pure: parsed once, asked for each request.
public struct Permissions: Sendable, Equatable {
    /// Subjects of messages it may publish.
    public var publish: SubjectRules
    /// Pools it may work for. Declaring one also takes `read` for each of its filters.
    public var consume: NameRules
    /// Subjects it may see by taps, and of pools it declares.
    public var read: SubjectRules
    /// Methods it may call: "package.Service/Method".
    public var call: NameRules
    /// Services it may serve: "package.Service".
    public var serve: NameRules
    /// It may say for whom it calls (the metadata `tocsin-caller`), and name another than itself as who acts: for gateways.
    public var speaksForOthers: Bool

    public init(
        publish: SubjectRules = .none, consume: NameRules = .none, read: SubjectRules = .none, call: NameRules = .none,
        serve: NameRules = .none, speaksForOthers: Bool = false
    ) {
        self.publish = publish
        self.consume = consume
        self.read = read
        self.call = call
        self.serve = serve
        self.speaksForOthers = speaksForOthers
    }

    /// The same, with these rules in place of its own of their kinds.
    ///
    /// - Throws: `WireError` with a sentence if a text is no filter.
    public func replacing(_ rules: [RuleKind: [String]]) throws(WireError) -> Permissions {
        var permissions = self
        for (kind, texts) in rules {
            switch kind {
            case .publish: permissions.publish = try SubjectRules(texts)
            case .consume: permissions.consume = NameRules(texts)
            case .read: permissions.read = try SubjectRules(texts)
            case .call: permissions.call = NameRules(texts)
            case .serve: permissions.serve = NameRules(texts)
            }
        }
        return permissions
    }

    /// May do everything: who owns the hub's files may anyway.
    public static let everything = Permissions(
        publish: .all, consume: .all, read: .all, call: .all, serve: .all, speaksForOthers: true)
}

/// The kinds of rules, by their names in key files and the configuration.
public enum RuleKind: String, Sendable, CaseIterable { case publish, consume, read, call, serve }

/// Subject filters that allow, and filters that begin with `!` and take back. `["incident.>", "!incident.need-to-know.>"]`.
public struct SubjectRules: Sendable, Equatable, CustomStringConvertible {
    private let allowed: [SubjectFilter]
    private let denied: [SubjectFilter]

    public static let none = SubjectRules(allowed: [], denied: [])
    public static let all = SubjectRules(allowed: [SubjectFilter.all], denied: [])

    private init(allowed: [SubjectFilter], denied: [SubjectFilter]) {
        self.allowed = allowed
        self.denied = denied
    }

    /// - Throws: `WireError` with a sentence if a text is no filter.
    public init(_ texts: [String]) throws(WireError) {
        var (allowed, denied): ([SubjectFilter], [SubjectFilter]) = ([], [])
        for text in texts {
            if text.hasPrefix("!") {
                denied.append(try SubjectFilter(String(text.dropFirst())))
            } else {
                allowed.append(try SubjectFilter(text))
            }
        }
        self.init(allowed: allowed, denied: denied)
    }

    /// Whether a valid `subject` is allowed.
    public func allows(_ subject: UnsafeRawBufferPointer) -> Bool {
        allowed.contains { $0.matches(subject) } && !denied.contains { $0.matches(subject) }
    }

    public func allows(_ subject: String) -> Bool {
        var subject = subject
        return subject.withUTF8 { allows(UnsafeRawBufferPointer($0)) }
    }

    /// Whether one of the allowing filters matches whatever `filter` does. What is taken back is left out message by message.
    public func covers(_ filter: SubjectFilter) -> Bool { allowed.contains { $0.covers(filter) } }

    /// Whether one of the allowing filters matches whatever `filter` does, and nothing of it is taken back: for pools, of which no
    /// message can be left out.
    public func coversWhole(_ filter: SubjectFilter) -> Bool { covers(filter) && !denied.contains { $0.overlaps(filter) } }

    /// Nothing has to be asked of a single subject.
    public var isEverything: Bool { denied.isEmpty && allowed.contains(.all) }

    /// As it was written.
    public var texts: [String] { allowed.map(\.description) + denied.map { "!\($0)" } }
    public var description: String { texts.isEmpty ? "nothing" : texts.joined(separator: " ") }
}

/// Names of pools, methods or services; a name that ends with `*` stands for all that begin so, `*` for all.
public struct NameRules: Sendable, Equatable, CustomStringConvertible {
    public let texts: [String]

    public static let none = NameRules([])
    public static let all = NameRules(["*"])

    public init(_ texts: [String]) { self.texts = texts }

    public func allows(_ name: String) -> Bool {
        texts.contains { $0 == name || ($0.hasSuffix("*") && name.hasPrefix($0.dropLast())) }
    }

    public var description: String { texts.isEmpty ? "nothing" : texts.joined(separator: " ") }
}
