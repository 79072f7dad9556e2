import TocsinIntake
import TocsinProto
import TocsinWire

/// The bodies of Alertmanager's API v2.
enum AlertmanagerJSON {
    struct Problem: Error {
        var status: Int
        var code: Int
        var message: String
    }

    /// All alerts go to one receiver: the hub.
    static let receiverName = "tocsin"
    static let receiver: JSON = ["name": .string(receiverName)]

    /// Go's zero time, as Alertmanager's webhook says that there is no end.
    private static let noTime = "0001-01-01T00:00:00.000Z"

    static func alert(_ alert: AlertTable.Alert, silencedBy: [String]) -> JSON {
        let status: JSON = [
            "inhibitedBy": [], "mutedBy": [], "silencedBy": .array(silencedBy.map { .string($0) }),
            "state": .string(silencedBy.isEmpty ? "active" : "suppressed"),
        ]
        var members: [(name: String, value: JSON)] = [
            ("annotations", JSON(alert.annotations)), ("endsAt", .string(alert.endsAt.map { Timestamp.text($0) } ?? noTime)),
            ("fingerprint", .string(LabelSet.text(alert.fingerprint))), ("receivers", [receiver]),
            ("startsAt", .string(Timestamp.text(alert.startsAt))), ("status", status),
            ("updatedAt", .string(Timestamp.text(alert.updatedAt))),
        ]
        if !alert.generatorURL.isEmpty { members.append(("generatorURL", .string(alert.generatorURL))) }
        members.append(("labels", JSON(alert.event.labels)))
        return .object(members)
    }

    static func silence(_ silence: Tocsin_V1_Silence, now: UInt64) -> JSON {
        [
            "id": .string(silence.id), "status": ["state": .string(SilenceTable.state(silence, now: now).rawValue)],
            "updatedAt": .string(Timestamp.text(silence.updatedAt)), "comment": .string(silence.comment),
            "createdBy": .string(silence.createdBy), "endsAt": .string(Timestamp.text(silence.endsAt)),
            "matchers": .array(
                silence.matchers.map {
                    [
                        "isEqual": .bool(!$0.negated), "isRegex": .bool($0.regex), "name": .string($0.name),
                        "value": .string($0.value),
                    ]
                }), "startsAt": .string(Timestamp.text(silence.startsAt)),
        ]
    }

    /// The body of `POST /silences`.
    static func silence(_ body: [UInt8]) throws(Problem) -> Tocsin_V1_Silence {
        let value: JSON
        do { value = try JSON(body) } catch {
            throw Problem(status: 400, code: 400, message: "parsing silence body from \"\" failed, because \(error)")
        }
        func text(_ object: JSON, _ name: String, _ place: String, limit: Int) throws(Problem) -> String {
            guard let text = object[name]?.string else {
                throw Problem(status: 422, code: 602, message: "\(place)\(name) in body is required")
            }
            guard text.utf8.count <= limit else {
                throw Problem(status: 422, code: 603, message: "\(place)\(name) in body should be at most \(limit) bytes long")
            }
            return text
        }
        func time(_ name: String) throws(Problem) -> UInt64 {
            let written = try text(value, name, "silence.", limit: 64)
            guard let time = Timestamp.parse(written) else {
                throw Problem(status: 400, code: 400, message: "silence.\(name) is no time as RFC 3339 has it: \(written)")
            }
            return time
        }
        var silence = Tocsin_V1_Silence()
        silence.id = value["id"]?.string ?? ""
        silence.comment = try text(value, "comment", "silence.", limit: 2048)
        silence.createdBy = try text(value, "createdBy", "silence.", limit: 128)
        silence.startsAt = try time("startsAt")
        silence.endsAt = try time("endsAt")
        guard let matchers = value["matchers"]?.array else {
            throw Problem(status: 422, code: 602, message: "silence.matchers in body is required")
        }
        for (index, matcher) in matchers.prefix(SilenceTable.matchersMax + 1).enumerated() {
            let place = "silence.matchers.\(index)."
            var message = Tocsin_V1_LabelMatcher()
            message.name = try text(matcher, "name", place, limit: 1024)
            message.value = try text(matcher, "value", place, limit: 4096)
            guard case .bool(let isRegex)? = matcher["isRegex"] else {
                throw Problem(status: 422, code: 602, message: "\(place)isRegex in body is required")
            }
            message.regex = isRegex
            if case .bool(let isEqual)? = matcher["isEqual"] { message.negated = !isEqual }
            silence.matchers.append(message)
        }
        return silence
    }

    /// `version` is that of the Alertmanager whose API this is: clients choose by it how to talk.
    static func status(startedAt: UInt64) -> JSON {
        [
            "cluster": ["name": "tocsin", "peers": [], "status": "disabled"],
            "config": ["original": "route:\n  receiver: tocsin\n  group_by: [alertname]\nreceivers:\n- name: tocsin\n"],
            "uptime": .string(Timestamp.text(startedAt)),
            "versionInfo": [
                "branch": "HEAD", "buildDate": "", "buildUser": "", "goVersion": "", "revision": "tocsin",
                "version": "0.28.0",
            ],
        ]
    }

    /// A random UUID (RFC 9562, version 4).
    static func uuid() -> String {
        var digits = Array(EventID.random().utf8)
        digits[12] = UInt8(ascii: "4")
        digits[16] = Array("89ab".utf8)[Int(digits[16]) & 3]
        let text = String(decoding: digits, as: UTF8.self)
        var parts: [Substring] = []
        var rest = text[...]
        for count in [8, 4, 4, 4, 12] {
            parts.append(rest.prefix(count))
            rest = rest.dropFirst(count)
        }
        return parts.joined(separator: "-")
    }
}
