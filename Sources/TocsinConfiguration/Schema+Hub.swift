import TocsinAccess
import TocsinEngine
import TocsinResponse
import TocsinWire

extension Schema {
    static func readHub(
        _ section: Section, endpoint: String, data: String, responders: ResponderSettings
    ) -> HubSettings {
        let before = section.document.problems.count
        // Who says with a flag or in the environment where the hub is means the hub itself too.
        let isOverridden = section.document.overrides["endpoint"] != nil
        let listed = section.list(
            "endpoints", .endpoint, absent: "[\(endpoint)]", "What the hub binds. Default: endpoint.")
        if let listed, listed.isEmpty { section.report("endpoints", "give at least one, or leave the key out") }
        let advertised = section.read(
            "advertised", .endpoint, absent: "the first TCP endpoint, with this machine's name where it is bound to all",
            "Where other hosts reach the hub: `tocsin keys new` writes it into key files.")
        let keys = section.path(
            "keys", default: "\(data)/keys",
            "Folder of the hub's key pair and of the keys that are let in. `tocsin init` makes it.")
        let allowsPlainTCP = section.read(
            "allow_plain_tcp", .flag, default: false,
            "Without keys, listen on TCP all the same: everybody who reaches it may read, publish and act.")
        let directory = section.path("directory", default: "\(data)/hub", "Folder of the journal.")
        let heartbeat = section.read(
            "heartbeat", .duration(atLeast: .milliseconds(100)), default: .seconds(2),
            "Both sides say something at least this often; three times this without a word is a lost peer.")
        let aging = section.read(
            "aging", .duration, default: .seconds(30),
            "A message that has waited this long gets every eighth turn, whatever its severity.")
        let dedupWindow = section.read(
            "dedup_window", .duration(atLeast: .seconds(1)), default: .seconds(120),
            "A message id seen within this time is acknowledged and not stored again.")
        let segmentBytes = section.read(
            "segment", .size(atLeast: 1 << 20), default: 64 << 20,
            "Size of one file of the journal; on a small disk a sixteenth of it, if that is less.")
        let retainBytes = section.read(
            "retain", .size(atLeast: 0), default: 256 << 20,
            "How much is kept of what every pool has settled, for taps that replay.")
        let retainAge = section.read(
            "retain_age", .duration(atLeast: .seconds(1)), default: .seconds(7 * 86_400),
            "And for how long at most.")
        let maxBytes = section.read(
            "max_size", .size(atLeast: 0), default: 0,
            "What the journal may take on disk before publishers are refused. 0: all there is.")
        let drain = section.read(
            "drain", .duration, default: .seconds(2),
            "How long a hub that is stopped waits for workers to settle what they hold.")
        let limits = section.section("limits", limits)
        let subjects = section.list(
            "subjects", .filter, default: [],
            "Subjects that are accepted though no pool takes them, besides heartbeat.> and silence.>.")
        let settings = HubSettings(
            endpoints: isOverridden ? [endpoint] : listed ?? [endpoint], advertised: advertised, keys: keys,
            allowsPlainTCP: allowsPlainTCP, directory: directory, heartbeat: heartbeat,
            aging: aging, dedupWindow: dedupWindow, segmentBytes: segmentBytes, retainBytes: retainBytes,
            retainAge: retainAge, maxBytes: maxBytes, drain: drain, limits: limits,
            subjects: subjects, pools: pools(section, responders))
        // What is wrong with a single value has been reported already, with its place.
        guard section.document.problems.count == before else { return settings }
        do throws(WireError) {
            try settings.options(software: "").problems.forEach(section.report)
        } catch { section.report(error.message) }
        return settings
    }

    private static func limits(_ section: Section) -> HubLimits {
        let handshake = section.read(
            "handshake", .duration(atLeast: .milliseconds(100)), default: .seconds(3),
            "A connection that has not finished its handshake by then is ended. At most 1m.")
        let connections = section.read(
            "connections", .integer(16...1_000_000), default: 8192,
            "TCP connections at once, or fewer if it may not open so many files; an eighth without a session. The oldest are ended."
        )
        var keys = KeyLimitTable()
        keys.all = keyLimits(section, KeyLimits())
        let roles = section.named("roles", "Limits of keys by role, in place of those above.") { keyLimits($0, keys.all) }
        for (name, limits) in roles {
            if let role = Role(rawValue: name) {
                keys.roles[role] = limits
            } else {
                section.report(
                    "roles.\(name)", "there is no such role; there are " + Role.allCases.map(\.rawValue).joined(separator: ", "))
            }
        }
        keys.keys = section.named("keys", "Limits of single keys by name, in place of those above.") { keyLimits($0, keys.all) }
        return HubLimits(handshake: handshake, connections: connections, keys: keys)
    }

    private static func keyLimits(_ section: Section, _ above: KeyLimits) -> KeyLimits {
        var limits = KeyLimits()
        limits.messagesPerSecond = section.read(
            "messages_per_second", .integer(0...1_000_000_000), default: above.messagesPerSecond,
            "Messages each key may publish, on average. 0: no limit.")
        limits.bytesPerSecond = section.read(
            "bytes_per_second", .size(atLeast: 0), default: above.bytesPerSecond,
            "Bytes each key may publish, on average. 0: no limit.")
        limits.bytesPerDay = section.read(
            "bytes_per_day", .size(atLeast: 0), default: above.bytesPerDay,
            "Bytes each key may have stored within 24 hours, counted since the hub's start. 0: no limit.")
        limits.peers = section.read(
            "peers", .integer(0...Limits.peers), default: above.peers, "Sessions of each key at once. 0: no limit.")
        return limits
    }

    /// The pools of the roles, which are always there, and those of the file. A pool of the file with the name of a
    /// standard one changes its limits.
    private static func pools(_ section: Section, _ responders: ResponderSettings) -> [PoolSettings] {
        // What can never be handled, the roles reject themselves. An attempt that ends otherwise says that a worker died or
        // had no disk or no hub; nothing is given up for that.
        let attemptsMax = 255
        func standard(_ name: String, _ filters: [String], visibility: Duration = .seconds(30)) -> PoolSettings {
            PoolSettings(name: name, filters: filters, visibility: visibility, maxAttempts: attemptsMax)
        }
        var pools = [
            standard("triage", ["event.>"]), standard("archive", ["alert.>", "response.>", "silence.>", "change.>"]),
            standard("responder", ["incident.>"], visibility: responders.visibility),
            standard("notifier", ["incident.>"], visibility: responders.visibility),
        ]
        let standard = pools
        var seen: Set<String> = []
        let listed: [Void]? = section.sections(
            "pools", "Pools besides triage, archive, responder and notifier; or limits of these."
        ) {
            section in
            let name = section.require("name", .word, placeholder: "", "Letters, digits, '_' and '-'.")
            let known = standard.first { $0.name == name }
            let filters = section.list(
                "filters", .filter, absent: known.map { "\($0.filters)" } ?? "required",
                "Subjects its workers get: '*' is one token, '>' the rest.")
            let visibility = section.read(
                "visibility", .duration(atLeast: .milliseconds(100)), default: known?.visibility ?? .seconds(30),
                "A message that is not settled for this long is given to another worker.")
            let attempts = section.read(
                "max_attempts", .integer(1...255), default: known?.maxAttempts ?? 5,
                "After as many deliveries without success a message becomes a dead letter. Standard pools: 255.")
            let fromStart = section.read(
                "from_start", .flag, default: known?.fromStart ?? false,
                "A new pool begins with what the journal still holds.")
            let backoff = section.read(
                "backoff", .duration, default: known?.backoff ?? .zero,
                "A message waits this long after a failed attempt, doubled with each, up to 64 times as long.")
            let exclusive = section.read(
                "exclusive", .flag, default: known?.exclusive ?? false,
                "Only one worker gets messages; the others stand by.")
            if !name.isEmpty, let problem = Subject.problem(inPoolName: name) { section.report("name", problem) }
            if !name.isEmpty, !seen.insert(name).inserted {
                section.report("name", "another pool is called \"\(name)\"")
            }
            if visibility > .seconds(86_400) { section.report("visibility", "at most 24h are possible") }
            if let filters, let known, filters != known.filters {
                section.report("filters", "those of the pool \"\(name)\" are given by its role; leave them out")
            } else if filters?.isEmpty ?? (known == nil) {
                section.report("\"filters\" is missing; say which subjects the pool takes, such as [event.>]")
            }
            pools.removeAll { $0.name == name }
            pools.append(
                PoolSettings(
                    name: name, filters: filters ?? known?.filters ?? [], visibility: visibility, maxAttempts: attempts,
                    fromStart: fromStart, backoff: backoff, exclusive: exclusive))
        }
        if let listed, pools.count > Limits.pools {
            section.report("pools", "\(listed.count) pools; with the standard ones there may be \(Limits.pools)")
        }
        return pools
    }
}
