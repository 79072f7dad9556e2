import TocsinIntake

extension Schema {
    static func syslog(_ section: Section) -> GatewaySettings.Syslog {
        var policy = SyslogPolicy()
        let sockets = sockets(section, message: 64 << 10, idle: .seconds(86_400))
        policy.minimum = section.read(
            "minimum_severity", .syslogSeverity, default: policy.minimum, "Messages that are less bad make no event.")
        let collapse = section.read(
            "collapse", .duration(atLeast: .zero), default: .milliseconds(Int64(policy.collapseMs)),
            "Messages alike within so long after the first make one event more, with their count; 0s: each makes one.")
        policy.collapseMs = UInt64(collapse / .milliseconds(1))
        let resolve = section.read(
            "resolve_after", .duration(atLeast: .seconds(1)), absent: "never, people say so",
            "Without a message alike for so long the condition is over.")
        policy.resolveAfterMs = resolve.map { UInt64($0 / .milliseconds(1)) }
        policy.most = section.read(
            "max_kinds", .integer(1...1_000_000), default: policy.most, "Kinds of messages that are remembered at once.")
        return .init(sockets: sockets, policy: policy)
    }

    static func riemann(_ section: Section) -> GatewaySettings.Riemann {
        var policy = RiemannPolicy()
        let sockets = sockets(section, message: 1 << 20, idle: .seconds(3600))
        policy.okStates = Set(
            section.list("ok_states", .word, default: policy.okStates.sorted(), "States that end what was wrong."))
        policy.most = section.read(
            "max_index", .integer(1...10_000_000), default: policy.most, "Pairs of host and service that are remembered at once.")
        return .init(sockets: sockets, policy: policy)
    }

    static func nagios(_ section: Section) -> SocketSettings { sockets(section, message: 64 << 10, idle: .seconds(3600)) }

    private static func sockets(_ section: Section, message: Int, idle: Duration) -> SocketSettings {
        let doc = "an address in numbers, and a port."
        let settings = SocketSettings(
            udp: section.read("udp", .address, absent: "not served", "By UDP: \(doc)"),
            tcp: section.read("tcp", .address, absent: "not served", "By TCP: \(doc)"),
            tls: section.read("tls", .address, absent: "not served", "By TCP with the gateway's TLS: \(doc)"),
            allow: section.list(
                "allow", .network, default: AddressNetwork.loopback, "Networks whose machines are listened to; no others are."),
            messageBytesMax: section.read(
                "max_message", .size(atLeast: 480), default: message, "The longest message."),
            connectionsMax: section.read(
                "max_connections", .integer(1...65_536), default: 1024, "Connections at once; more are closed."),
            idle: section.read(
                "idle", .duration(atLeast: .seconds(1)), default: idle, "A connection on which nothing comes is closed after it.")
        )
        return settings
    }
}

extension Scalar where Value == AddressNetwork {
    fileprivate static var network: Scalar {
        Scalar(
            name: "network", expected: "a network such as 10.0.0.0/8 or 2001:db8::/32, or an address in numbers",
            parse: { AddressNetwork($0) }, format: \.text)
    }
}

extension Scalar where Value == SyslogSeverity {
    fileprivate static var syslogSeverity: Scalar {
        let words = SyslogSeverity.allCases.map(\.keyword)
        return Scalar(
            name: "severity", expected: "a severity of syslog: " + words.joined(separator: ", "), words: words,
            parse: { SyslogSeverity($0) }, format: \.keyword)
    }
}
