/// What a command is told of the incident by environment variables.
enum ChangeEnvironment {
    /// One variable. The system takes 128 KiB for one and 2 MiB for all.
    private static let valueBytesMax = 4096
    private static let labelsMax = 64

    /// TOCSIN_INCIDENT, TOCSIN_SERVICE and so on, and a TOCSIN_LABEL_* for each label: its name in capitals, what is
    /// not a letter or digit as `_`. Of two labels that become the same name, the one that sorts first stays.
    static func variables(of change: Change, service: String) -> [String: String] {
        let incident = change.incident
        var variables = [
            "TOCSIN_CHANGE": change.id,
            "TOCSIN_VERB": change.verb,
            "TOCSIN_INCIDENT": String(change.number),
            "TOCSIN_TITLE": incident.title,
            "TOCSIN_SERVICE": service,
            "TOCSIN_SERVICES": incident.services.joined(separator: ","),
            "TOCSIN_SEVERITY": change.severity.name,
            "TOCSIN_PRIORITY": Words.priority(incident.priority),
            "TOCSIN_STATE": Words.state(incident.state),
            "TOCSIN_ASSIGNEE": incident.assignee,
            "TOCSIN_DRILL": change.isDrill ? "true" : "false",
        ]
        for (name, value) in change.labels.sorted(by: { $0.key < $1.key }).prefix(labelsMax) {
            let variable = "TOCSIN_LABEL_" + labelName(name)
            if variables[variable] == nil { variables[variable] = value }
        }
        return variables.mapValues(safe)
    }

    private static func labelName(_ name: String) -> String {
        let bytes = name.utf8.prefix(64).map { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"): byte & 0xDF
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): byte
            default: UInt8(ascii: "_")
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// A variable cannot hold a NUL byte, and must not be so long that the command cannot start.
    private static func safe(_ value: String) -> String {
        let value = value.utf8.contains(0) ? String(value.map { $0 == "\0" ? " " : $0 }) : value
        return value.prefix(utf8: valueBytesMax)
    }
}
