import ArgumentParser
import Glibc
import TocsinAccess
import TocsinConfiguration
import TocsinKeys
import TocsinPosix
import TocsinProgram
import TocsinTransport

struct InitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Make the hub's keys, a first operator's, and a configuration.",
        discussion: """
            From then on the hub listens on TCP too, for those who have a key, everything encrypted (CURVE); on this machine \
            you need none. Where there is a tocsin.yaml already it is left as it is, and says where the keys go.
            """)

    @Option(help: ArgumentHelp("Where the hub listens for other hosts.", valueName: "endpoint"))
    var listen = "tcp://0.0.0.0:7117"
    @Option(
        help: ArgumentHelp(
            "Where other hosts reach it. Default: as --listen, with this machine's name where it listens on every address.",
            valueName: "endpoint"))
    var advertise: String?
    @Option(name: .customLong("operator"), help: ArgumentHelp("The first operator. Default: your login name.", valueName: "name"))
    var person: String?
    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let file = options.file ?? ConfigurationLoader.defaultFile
        let isThere = access(file, F_OK) == 0
        let listed = isThere ? nil : try configurationText()
        // As it will be read later: the flags of this command are in it.
        let configuration: Configuration
        if let listed {
            let overrides = options.overrides
            configuration = try await Blocking.run {
                try ConfigurationLoader.parse(
                    listed, file: file, path: ConfigurationLoader.currentFolder() + "/" + file, overrides: overrides,
                    workingFolder: ConfigurationLoader.currentFolder())
            }
        } else {
            configuration = try await options.load()
        }
        let name = person ?? Self.loginName()
        let keyFile = "\(name).key"
        if let problem = KeyName.problem(name) { throw Failure(.usage, "\(problem); name the operator with --operator") }
        try await Blocking.run {
            let folder = KeyFolder(configuration.hub.keys)
            try KeyWriting.refuseExisting(keyFile)
            try folder.create()
            try KeyWriting.issue(keyFile, folder, configuration) {
                try AuthorizedKey(name: name, publicKey: $0, role: .operator, created: MachineClock.wall())
            }
            if let listed { try KeyWriting.write(listed, to: file) }
        }
        Terminal.print("made the hub's keys in \(configuration.hub.keys)".printable)
        Terminal.print(
            "\(isThere ? "kept" : "wrote") \(file): the hub listens on \(configuration.hub.endpoints.joined(separator: " "))"
                .printable)
        Terminal.print("wrote \(keyFile): lets \(name) act from another machine, as an operator".printable)
        Terminal.say(
            """

            Next:  tocsin up
                   tocsin keys new sensor-7 --role sensor    makes one file: all that another host needs
            """)
    }

    private func configurationText() throws -> String {
        guard listen.hasPrefix("tcp://") else {
            throw Failure(.usage, "--listen takes a TCP endpoint such as tcp://0.0.0.0:7117")
        }
        let data = options.data ?? "tocsin-data"
        return """
            # Made by `tocsin init`; `tocsin config explain` lists every key there is.
            hub:
              endpoints:
                - ipc://\(data)/hub.sock   # this machine, the same user
                - \(listen)   # whoever has a key

            """ + (advertise.map { "  advertised: \($0)\n" } ?? "")
    }

    private static func loginName() -> String {
        guard let entry = getpwuid(getuid()), let name = entry.pointee.pw_name else { return "operator" }
        return String(cString: name)
    }
}

struct KeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "Say who may connect to the hub, and what they may do.",
        discussion: """
            To be run where the hub's data is. A hub that runs takes notice within a second, and cuts off whoever is connected \
            with a key that was revoked.
            """,
        subcommands: [KeysNew.self, KeysList.self, KeysAuthorize.self, KeysRevoke.self, KeysRotate.self])
}

extension Role: ExpressibleByArgument {}

/// What a key may do.
struct RuleOptions: ParsableArguments {
    @Option(help: "What it is for: \(Role.allCases.map(\.rawValue).joined(separator: ", ")).")
    var role: Role?
    @Option(help: ArgumentHelp("In place of the role's: subjects it may publish.", valueName: "filter"))
    var publish: [String] = []
    @Option(help: ArgumentHelp("In place of the role's: pools it may work for.", valueName: "pool"))
    var consume: [String] = []
    @Option(help: ArgumentHelp("In place of the role's: subjects it may see by taps; !filter takes back.", valueName: "filter"))
    var read: [String] = []
    @Option(
        help: ArgumentHelp(
            "In place of the role's: methods it may call, such as tocsin.v1.IncidentService/*.", valueName: "method"))
    var call: [String] = []
    @Option(help: ArgumentHelp("In place of the role's: services it may serve.", valueName: "service"))
    var serve: [String] = []
    @Option(help: ArgumentHelp("It is let in for so long, such as 2160h. Default: until it is revoked.", valueName: "duration"))
    var expires: DurationArgument?

    func key(_ name: String, _ publicKey: CurvePublicKey, now: UInt64) throws -> AuthorizedKey {
        var rules: [RuleKind: [String]] = [:]
        for (kind, words) in [
            (RuleKind.publish, publish), (.consume, consume), (.read, read), (.call, call), (.serve, serve),
        ] where !words.isEmpty { rules[kind] = words }
        guard role != nil || !rules.isEmpty else { throw Failure(.usage, "say what the key may do, with --role or rules") }
        return try AuthorizedKey(
            name: name, publicKey: publicKey, role: role, rules: rules, created: now,
            expires: expires.map { now + UInt64($0.value / .milliseconds(1)) })
    }
}

struct KeysNew: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "new", abstract: "Make a key and the one file that its holder needs.",
        discussion: """
            The file, NAME.key, holds the secret, the hub's public key and where the hub is. Move it to its host by a way you \
            trust; there, `tocsin report … --identity NAME.key`, or TOCSIN_IDENTITY, or the configuration's `identity`.

            So that the secret never leaves that host, run it there with --hub and --hub-key: it prints what to authorise here.
            """)

    @Argument(help: "Who: a name of your choice.") var name: String
    @OptionGroup var rules: RuleOptions
    @Option(help: ArgumentHelp("Where its holder reaches the hub. Default: hub.advertised.", valueName: "endpoint"))
    var hub: String?
    @Option(help: ArgumentHelp("Only make the pair, for the hub with this public key.", valueName: "key"))
    var hubKey: String?
    @Option(help: ArgumentHelp("The file to write. Default: NAME.key.", valueName: "file"))
    var out: String?
    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let file = out ?? "\(name).key"
        if let hubKey { return try await makePair(hubKey, file) }
        let configuration = try await options.load()
        let (name, rules, hub) = (name, rules, hub)
        try await Blocking.run {
            let folder = try KeyWriting.folder(configuration)
            try KeyWriting.refuseExisting(file)
            guard try folder.authorized(name) == nil else {
                throw Failure(.refused, "there is a key called \(name) already; `tocsin keys rotate \(name)` replaces it")
            }
            try KeyWriting.issue(file, folder, configuration, hub: hub) {
                try rules.key(name, $0, now: MachineClock.wall())
            }
        }
        Terminal.print("\(name) is authorised; wrote \(file): keep it secret".printable)
    }

    private func makePair(_ hubKey: String, _ file: String) async throws {
        guard let hubKey = CurvePublicKey(hubKey) else { throw Failure(.usage, "--hub-key is not 40 characters of Z85") }
        if let problem = KeyName.problem(name) { throw Failure(.usage, problem) }
        let (name, hub, role) = (name, hub, rules.role)
        let publicKey = try await Blocking.run {
            try KeyWriting.refuseExisting(file)
            let pair = try KeyFolder.generate()
            try Identity(name: name, role: role?.rawValue ?? "", keys: pair, hub: hub, hubKey: hubKey).write(to: file)
            return pair.publicKey
        }
        Terminal.say("wrote \(file); the hub lets it in after this there:".printable)
        Terminal.print("tocsin keys authorize \(name) '\(publicKey)' --role \(role?.rawValue ?? "ROLE")")
    }
}

struct KeysList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the keys that are let in.")

    @OptionGroup var options: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let configuration = try await options.load()
        let (hubKey, keys, problems) = try await Blocking.run {
            let folder = try KeyWriting.folder(configuration)
            let (keys, problems) = try folder.authorized()
            return (try folder.hubKeys().publicKey, keys, problems)
        }
        switch output.format {
        case .json:
            Terminal.print(
                json: [
                    "hub_public_key": .string("\(hubKey)"),
                    "keys": .array(keys.map(\.json)), "problems": .array(problems.map { .string($0.description) }),
                ])
        case .text:
            var table = Table(columns: [
                .left("NAME"), .left("ROLE"), .left("CREATED"), .left("EXPIRES"), .left("PUBLIC KEY"), .flexible("RULES"),
            ])
            for key in keys {
                let rules = key.rules.sorted { $0.key.rawValue < $1.key.rawValue }
                table.add(
                    key.name, key.role?.rawValue ?? "-", key.created, key.expires.map(AuthorizedKey.text) ?? "never",
                    "\(key.publicKey)",
                    rules.map { "\($0.key.rawValue): \($0.value.joined(separator: " "))" }.joined(separator: "; "))
            }
            Terminal.print(table)
            for problem in problems { Terminal.say("not let in: \(problem)".printable) }
        }
    }
}

extension AuthorizedKey {
    fileprivate var json: JSON {
        .object([
            ("name", .string(name)), ("role", .string(role?.rawValue ?? "")), ("created", .string(created)),
            ("expires", .string(expires.map(Self.text) ?? "")), ("public_key", .string("\(publicKey)")),
            (
                "rules",
                .object(
                    RuleKind.allCases.compactMap { kind in
                        rules[kind].map { (kind.rawValue, .array($0.map { .string($0) })) }
                    })
            ),
        ])
    }
}

struct KeysAuthorize: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "authorize", abstract: "Let in a key that was made elsewhere, or change what one may do.")

    @Argument(help: "Who.") var name: String
    @Argument(help: "Its public key, 40 characters. Not needed for a name that is authorised.") var publicKey: String?
    @OptionGroup var rules: RuleOptions
    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let configuration = try await options.load()
        let (name, text, rules) = (name, publicKey, rules)
        try await Blocking.run {
            let folder = try KeyWriting.folder(configuration)
            let known = try folder.authorized(name)?.publicKey
            let given = try text.map { text throws in
                guard let key = CurvePublicKey(text) else { throw Failure(.usage, "the public key is not 40 characters of Z85") }
                return key
            }
            guard let publicKey = given ?? known else { throw Failure(.usage, "give the public key of \(name)") }
            try folder.authorize(try rules.key(name, publicKey, now: MachineClock.wall()))
        }
        Terminal.print("\(name) is authorised".printable)
    }
}

struct KeysRevoke: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Let a key in no more, and cut off whoever is connected with it.")

    @Argument(help: "Whose.") var name: String
    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let configuration = try await options.load()
        let name = name
        try await Blocking.run { try KeyWriting.folder(configuration).revoke(name, at: MachineClock.wall()) }
        Terminal.print("\(name) is revoked".printable)
    }
}

struct KeysRotate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate", abstract: "Replace a key by a new one of the same name, role and rules.",
        discussion: "The one before is let in until the grace is over, so that there is time to move the new file.")

    @Argument(help: "Whose.") var name: String
    @Option(help: ArgumentHelp("How long the key before is still let in.", valueName: "duration"))
    var grace = DurationArgument(.seconds(24 * 3600))
    @Option(help: ArgumentHelp("Where its holder reaches the hub. Default: hub.advertised.", valueName: "endpoint"))
    var hub: String?
    @Option(help: ArgumentHelp("The file to write. Default: NAME.key.", valueName: "file"))
    var out: String?
    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let configuration = try await options.load()
        let file = out ?? "\(name).key"
        let (name, hub, grace) = (name, hub, UInt64(grace.value / .milliseconds(1)))
        let until = try await Blocking.run {
            let folder = try KeyWriting.folder(configuration)
            try KeyWriting.refuseExisting(file)
            guard let known = try folder.authorized(name) else {
                throw Failure(.notFound, "no key called \(name) is authorised; `tocsin keys list` shows those that are")
            }
            let until = MachineClock.wall() + grace
            try KeyWriting.issue(file, folder, configuration, hub: hub) { publicKey in
                var key = known
                key.previous = grace > 0 ? (key.publicKey, until) : nil
                key.publicKey = publicKey
                return key
            }
            return until
        }
        let before = grace > 0 ? "the key before until \(AuthorizedKey.text(of: until))" : "the key before no more"
        Terminal.print("wrote \(file): the new key of \(name) is let in, \(before)".printable)
    }
}

/// What the commands about keys have in common. Blocking.
enum KeyWriting {
    /// - Throws: `Failure` if there are no keys yet.
    static func folder(_ configuration: Configuration) throws -> KeyFolder {
        let folder = KeyFolder(configuration.hub.keys)
        guard folder.isThere else {
            throw Failure(.notFound, "there are no keys in \(configuration.hub.keys); `tocsin init` makes them")
        }
        return folder
    }

    /// Makes a pair, writes the file of its holder, and lets in the key that `make` makes of its public half.
    static func issue(
        _ file: String, _ folder: KeyFolder, _ configuration: Configuration, hub: String? = nil,
        _ make: (CurvePublicKey) throws -> AuthorizedKey
    ) throws {
        let pair = try KeyFolder.generate()
        let key = try make(pair.publicKey)
        try Identity(
            name: key.name, role: key.role?.rawValue ?? "", keys: pair, hub: hub ?? advertised(configuration.hub),
            hubKey: try folder.hubKeys().publicKey
        ).write(to: file)
        try folder.authorize(key)
    }

    static func refuseExisting(_ file: String) throws {
        guard access(file, F_OK) != 0 else {
            throw Failure(.refused, "\(file) is there already; move it away, or give another with --out")
        }
    }

    static func write(_ text: String, to file: String) throws {
        do { try WholeFile.replace(file, with: Array(text.utf8)) } catch { throw Failure(.cannotStart, error.description) }
    }

    /// Where other hosts reach the hub, as far as the configuration knows.
    static func advertised(_ hub: HubSettings) -> String? {
        if let advertised = hub.advertised { return advertised }
        guard let endpoint = hub.endpoints.first(where: { $0.hasPrefix("tcp://") }) else { return nil }
        for wildcard in ["tcp://*:", "tcp://0.0.0.0:"] where endpoint.hasPrefix(wildcard) {
            var name = [CChar](repeating: 0, count: 256)
            guard gethostname(&name, name.count - 1) == 0 else { return nil }
            let host = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            return "tcp://\(host):\(endpoint.dropFirst(wildcard.count))"
        }
        return endpoint
    }
}
