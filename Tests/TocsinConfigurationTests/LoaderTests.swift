import Testing
import TocsinAccess
import TocsinDetection
import TocsinDomain
import TocsinIntake
import TocsinPolicy
import TocsinTriage

@testable import TocsinConfiguration

@Suite("A configuration becomes the values of every role")
struct LoaderTests {
    private func parse(_ text: String, overrides: [String: Override] = [:]) throws -> Configuration {
        try ConfigurationLoader.parse(
            text, file: "t.yaml", path: "/etc/tocsin/t.yaml", overrides: overrides, workingFolder: "/home/me")
    }

    @Test("nothing at all is a whole system", arguments: ["", "# only a comment\n", "hub:\ntriage: ~\n"])
    func empty(text: String) throws {
        let configuration = try parse(text)
        #expect(configuration.endpoint == "ipc:///etc/tocsin/tocsin-data/hub.sock")
        #expect(configuration.hub.endpoints == ["ipc:///etc/tocsin/tocsin-data/hub.sock"])
        #expect(configuration.hub.keys == "/etc/tocsin/tocsin-data/keys")
        #expect(!configuration.hub.allowsPlainTCP)
        #expect(configuration.data == "/etc/tocsin/tocsin-data")
        #expect(configuration.hub.directory == "/etc/tocsin/tocsin-data/hub")
        #expect(configuration.archiver.databasePath == "/etc/tocsin/tocsin-data/archive/archive.db")
        #expect(configuration.triageWorkers == 2)
        #expect(configuration.detectors.map(\.name) == ["local"])
        #expect(configuration.detectors.first?.problems == [])
        #expect(configuration.hub.pools.map(\.name) == ["triage", "archive", "responder", "notifier"])
        #expect(configuration.hub.pools.allSatisfy { $0.maxAttempts == 255 })
        #expect(try configuration.hub.options(software: "test").problems == [])
    }

    @Test("every kind of check is read with all that was said")
    func checks() throws {
        let configuration = try parse(
            """
            detectors:
              - name: d
                checks:
                  - name: web
                    service: shop
                    interval: 250ms
                    severity: SEV2
                    labels: {zone: a}
                    failures_to_trigger: 3
                    repeat: 1m
                    http: {url: "http://h/", expect_status: [200-204, 301], headers: {Authorization: secret}}
                  - {name: port, service: s, tcp: {host: db, port: 5432}}
                  - {name: plugin, service: s, command: {argv: [check_disk, -w, 10%]}}
                  - {name: machine, service: s, host: {cpu: 90, disk: 95.5, disk_paths: [/, /var]}}
                  - name: log
                    service: s
                    log:
                      path: app.log
                      from_start: true
                      patterns: [{contains: ERROR, severity: error}, {regex: 'took (?<ms>\\d+)', resolve: true}]
            """)
        let detector = try #require(configuration.detectors.first)
        #expect(detector.spoolDirectory == "/etc/tocsin/tocsin-data/detectors/d")
        #expect(detector.checks.map(\.name) == ["web", "port", "plugin", "machine", "log"])
        let web = detector.checks[0]
        #expect(web.interval == .milliseconds(250))
        #expect(web.severity == "major")
        #expect(web.labels == ["zone": "a"])
        #expect(web.failuresToTrigger == 3)
        #expect(web.repeatInterval == .seconds(60))
        guard case .http(let http) = web.kind, case .tcp(let tcp) = detector.checks[1].kind,
            case .command(let command) = detector.checks[2].kind, case .host(let host) = detector.checks[3].kind,
            case .log(let log) = detector.checks[4].kind
        else {
            Issue.record("the kinds are not those of the file")
            return
        }
        #expect(http.expectStatus == [200...204, 301...301])
        #expect(tcp.host == "db" && tcp.port == 5432)
        #expect(command.argv == ["check_disk", "-w", "10%"])
        #expect(host.cpuAbove == 90 && host.diskAbove == 95.5 && host.memoryAbove == nil)
        #expect(host.diskPaths == ["/", "/var"])
        #expect(log.source == .file("/etc/tocsin/app.log") && log.templates == nil)
        #expect(log.patterns.map(\.severity) == ["major", nil])
        #expect(detector.checks[4].interval == .milliseconds(250))
    }

    @Test("a log may be the journal, and its templates watched; a file and the journal at once, or neither, is refused")
    func logs() throws {
        func log(_ text: String) throws -> LogCheck? {
            let configuration = try parse("detectors: [{name: d, checks: [{name: l, service: s, log: \(text)}]}]")
            guard case .log(let log) = configuration.detectors.first?.checks.first?.kind else { return nil }
            return log
        }
        let journal = try #require(try log("{journal: {units: [sshd.service]}, templates: true, template_settling: 1h}"))
        #expect(journal.source == .journal(units: ["sshd.service"]) && journal.patterns.isEmpty)
        #expect(journal.templates?.settling == .seconds(3600) && journal.templates?.severity == "minor")
        #expect(try log("{journal: {}}")?.source == .journal(units: []))
        for wrong in ["{path: a.log, journal: {}}", "{from_start: true}", "{journal: {units: [-b]}}"] {
            #expect(throws: ConfigurationError.self) { () throws -> Void in _ = try log(wrong) }
        }
    }

    @Test("triage rules, services and matrix are read")
    func triage() throws {
        let configuration = try parse(
            """
            triage: {workers: 3}
            policy:
              default_severity: warning
              services: {shop: {tier: 1, impact: high, owner: shop-team}}
              matrix: {low: [P3, P4, P5]}
              rules:
                - name: down
                  match: {services: ["shop*"], labels: {zone: "a?"}, subjects: [event.http.>]}
                  severity: critical
                  by: [service, "label:zone"]
                  runbook: restart
                - {name: noise, match: {summary_contains: [chatter]}, suppress: it is only chatter}
            """)
        #expect(configuration.triageWorkers == 3)
        #expect(configuration.policy.defaultSeverity == .minor)
        #expect(configuration.policy.services == ["shop": ServiceEntry(tier: 1, impact: .high, owner: "shop-team")])
        #expect(configuration.policy.matrix[impact: .low, urgency: .low] == .p5)
        #expect(configuration.policy.matrix[impact: .high, urgency: .high] == .p1)
        let rule = try #require(configuration.policy.rules.first)
        #expect(rule.severity == .critical)
        #expect(rule.by == [.service, .label("zone")])
        #expect(rule.match.labels == ["zone": "a?"])
        #expect(configuration.policy.rules.last?.suppress == "it is only chatter")
        #expect(configuration.triage.policy.version == configuration.policy.version)
    }

    @Test("runbooks and notifications are read, and each responder has its own folder")
    func responders() throws {
        let configuration = try parse(
            """
            responders:
              visibility: 20m
              runbooks:
                - name: restart
                  match: {services: [shop], minimum_severity: major}
                  steps:
                    - {name: stop, command: [systemctl, stop, shop]}
                    - {name: start, command: [systemctl, start, shop], timeout: 2m, idempotent: false}
                  verify: {http: {url: "http://h/"}, attempts: 20, interval: 250ms}
              notifications:
                - {name: ops, webhook: {url: "http://hook/secret"}, minimum_severity: critical}
                - {name: log, command: [logger, -t, tocsin]}
            """)
        let responder = configuration.responders.configuration(name: "responder-7")
        #expect(responder.directory == "/etc/tocsin/tocsin-data/responders/responder-7")
        #expect(responder.problems == [])
        let runbook = try #require(responder.runbooks.first)
        #expect(runbook.steps.map(\.timeout) == [.seconds(60), .seconds(120)])
        #expect(runbook.steps.map(\.idempotent) == [true, false])
        #expect(runbook.verify?.attempts == 20)
        #expect(responder.notifications.map(\.minimumSeverity) == [.critical, .minor])
        let pool = configuration.hub.pools.first { $0.name == "responder" }
        #expect(pool?.visibility == .seconds(1200))
    }

    @Test("flag wins over file and file over default, and each value tells where it is from")
    func precedence() throws {
        let overrides = [
            "log.level": Override("debug", from: .flag("--log-level")),
            "data": Override("elsewhere", from: .environment("TOCSIN_DATA")),
        ]
        let configuration = try parse("log:\n  level: error\n  format: json\ndata: here\n", overrides: overrides)
        #expect(configuration.log == LogSettings(level: "debug", format: .json))
        // A relative path that was typed is relative to where it was typed.
        #expect(configuration.data == "/home/me/elsewhere")
        func source(_ key: String) -> String? { configuration.settings.first { $0.key == key }?.source.description }
        #expect(source("log.level") == "--log-level")
        #expect(source("data") == "TOCSIN_DATA")
        #expect(source("log.format") == "t.yaml:3:11")
        #expect(source("hub.heartbeat") == "default")
    }

    @Test("clients find the hub where it was told to be")
    func endpoints() throws {
        let listed = "hub:\n  endpoints: [\"tcp://*:9000\", \"ipc:///run/t\"]\n"
        #expect(try parse(listed).endpoint == "tcp://127.0.0.1:9000")
        #expect(try parse("endpoint: tcp://10.0.0.1:9\n" + listed).endpoint == "tcp://10.0.0.1:9")
        #expect(try parse("endpoint: tcp://10.0.0.1:9\n").hub.endpoints == ["tcp://10.0.0.1:9"])
        let overridden = try parse(
            listed, overrides: ["endpoint": Override("ipc:///tmp/x", from: .flag("--endpoint"))])
        #expect(overridden.endpoint == "ipc:///tmp/x")
        #expect(overridden.hub.endpoints == ["ipc:///tmp/x"])
    }

    @Test("every key that is read is explained, with a type and a sentence")
    func explained() throws {
        let explained = ConfigurationLoader.explain()
        let keys = explained.map(\.key)
        #expect(Set(keys).count == keys.count)
        #expect(explained.allSatisfy { $0.documentation.hasSuffix(".") && !$0.type.isEmpty && !$0.value.isEmpty })
        for setting in try parse("").settings {
            #expect(keys.contains(setting.key), "\(setting.key) is read and not explained")
        }
        for key in [
            "detectors[].checks[].http.url", "policy.rules[].match.labels", "responders.runbooks[].verify.command",
        ] {
            #expect(keys.contains(key))
        }
    }

    @Test("secrets are marked, so that showing the configuration does not give them away")
    func secrets() throws {
        let configuration = try parse(
            """
            responders:
              notifications:
                - {name: ops, webhook: {url: "http://hook/token", headers: {Authorization: Bearer x}}}
            """)
        let secret = configuration.settings.filter(\.isSecret).map(\.key)
        #expect(
            secret == [
                "responders.notifications[0].webhook.url", "responders.notifications[0].webhook.headers",
            ])
    }

    @Test("a client of the gateway may do what its role may, with its own rules in place of the role's")
    func gatewayClients() throws {
        let hash = String(repeating: "0a", count: 32)
        let clients = try parse(
            """
            gateway:
              clients:
                - {name: a, token_sha256: \(hash), role: observer}
                - {name: b, token_sha256: \(hash), role: sensor, publish: [event.b.>, "!event.b.x"], call: ["a.B/*"]}
                - {name: c, token_sha256: \(hash), consume: [c-*], read: [c.>]}
            """
        ).gateway.clients
        #expect(clients[0].permissions == Role.observer.permissions)
        let b = clients[1].permissions
        #expect(b.publish.allows("event.b.c") && !b.publish.allows("event.b.x") && !b.publish.allows("event.c"))
        #expect(b.call.allows("a.B/C") && !b.call.allows("a.C/B") && b.consume == .none)
        let c = clients[2].permissions
        #expect(c.consume.allows("c-1") && c.read.allows("c.d") && c.publish == .none && c.call == .none)
    }

    @Test("listeners of the gateway are there where they are asked for, and heard by whom is said")
    func sockets() throws {
        #expect(try parse("").gateway.syslog == nil)
        let gateway = try parse(
            """
            gateway:
              syslog:
                udp: 0.0.0.0:514
                tcp: "[::]:601"
                allow: [10.0.0.0/8, "2001:db8::/32", 192.0.2.7]
                minimum_severity: err
                collapse: 0s
                resolve_after: 10m
              riemann: {tcp: 127.0.0.1:5555, ok_states: [ok, up]}
              nagios: {tcp: 127.0.0.1:5667}
            """
        ).gateway
        let syslog = try #require(gateway.syslog)
        #expect(syslog.sockets.udp?.description == "0.0.0.0:514" && syslog.sockets.tcp?.description == "[::]:601")
        #expect(syslog.sockets.allow.map(\.text) == ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"])
        #expect(syslog.policy.minimum == .error && syslog.policy.collapseMs == 0 && syslog.policy.resolveAfterMs == 600_000)
        #expect(gateway.riemann?.policy.okStates == ["ok", "up"] && gateway.riemann?.sockets.messageBytesMax == 1 << 20)
        #expect(gateway.nagios?.allow == AddressNetwork.loopback)
    }

    @Test(
        "listeners that cannot be are refused with what is wrong",
        arguments: [
            ("syslog: {}", "syslog: give an address"), ("riemann: {tls: 127.0.0.1:5554}", "riemann: tls needs the certificate"),
            ("nagios: {tcp: localhost:5667}", "expected an address"),
            ("nagios: {tcp: 127.0.0.1:5667, allow: [10.1.0.0/8]}", "expected a network"),
            ("nagios: {tcp: 127.0.0.1:5667, allow: [10.0.0.0/33]}", "expected a network"),
            ("nagios: {tcp: 127.0.0.1:5667, allow: [here]}", "expected a network"),
            ("syslog: {udp: 127.0.0.1:514, minimum_severity: errr}", "did you mean \"err\""),
        ])
    func wrongSockets(text: String, problem: String) {
        #expect { try parse("gateway:\n  \(text)") } throws: { "\($0)".contains(problem) }
    }
}
