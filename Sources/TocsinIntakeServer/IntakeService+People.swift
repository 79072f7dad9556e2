import TocsinAccess
import TocsinIntake
import TocsinKit
import TocsinProto
import TocsinWire

extension IntakeService {
    // MARK: Heartbeats

    /// `GET` or `POST /heartbeat/NAME`, with the parameters every, grace, service, severity, failed, ended and note; a body is the note.
    func heartbeat(_ request: IntakeRequest, _ name: String) async -> IntakeAnswer {
        guard ["GET", "HEAD", "POST"].contains(request.method) else { return notAllowed("GET, HEAD, POST") }
        func wrong(_ text: String) -> IntakeAnswer { IntakeAnswer(400, text: text + "\n") }
        var beat = Tocsin_V1_Heartbeat()
        guard name.utf8.count <= 128 else { return wrong("the name has \(name.utf8.count) bytes; at most 128 are possible") }
        beat.name = name
        for parameter in request.query {
            switch parameter.name {
            case "every", "grace":
                guard let milliseconds = Self.milliseconds(parameter.value) else {
                    return wrong(
                        "\(parameter.name) is \"\(parameter.value.prefix(32))\"; write a number and a unit, such as 90s, 5m, 1h")
                }
                if parameter.name == "every" { beat.intervalMs = milliseconds } else { beat.graceMs = milliseconds }
            case "service": beat.service = String(parameter.value.prefix(64))
            case "severity": beat.severityHint = String(parameter.value.prefix(32))
            case "failed": beat.failed = !["0", "false", "no"].contains(parameter.value.lowercased())
            case "ended": beat.ended = !["0", "false", "no"].contains(parameter.value.lowercased())
            case "note": beat.note = String(parameter.value.prefix(1024))
            default:
                let known = "every, grace, service, severity, failed, ended, note"
                return wrong("unknown parameter \"\(parameter.name.prefix(32))\"; there are \(known)")
            }
        }
        if !request.body.isEmpty { beat.note = String(String(decoding: request.body.prefix(4096), as: UTF8.self).prefix(1024)) }
        beat.observedAt = clock()
        do throws(IntakeFailure) {
            let caller = try caller(request)
            let subject = "heartbeat.\(Subject.token(name))"
            try authorize(caller, toPublish: subject)
            do {
                try await sink.publish([try Message(beat, subject: subject, key: "heartbeat/\(name)")])
            } catch let error as SinkError { throw IntakeFailure.sink(error) } catch {
                throw IntakeFailure.sink(.refused(index: 0, reason: "\(error)"))
            }
            return IntakeAnswer(200, text: "OK\n")
        } catch {
            var answer = IntakeAnswer(error.status, text: error.message + "\n")
            answer.headers.merge(error.headers) { $1 }
            return answer
        }
    }

    /// `90s`, `5m`, `1h`, `1d`, `500ms`; up to a year.
    static func milliseconds(_ text: String) -> UInt64? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let number = UInt64(digits), number > 0, number < 1 << 40 else { return nil }
        let unit: UInt64? =
            switch text.dropFirst(digits.count) {
            case "ms": 1
            case "s": 1000
            case "m": 60_000
            case "h": 3_600_000
            case "d": 86_400_000
            default: nil
            }
        guard let unit, number * unit <= 366 * 86_400_000 else { return nil }
        return number * unit
    }

    // MARK: The form

    /// A page to report an incident with, and what becomes of it.
    func report(_ request: IntakeRequest) async -> IntakeAnswer {
        do throws(IntakeFailure) {
            let caller = try caller(request)
            switch request.method {
            case "GET", "HEAD": return ReportPage.form(200)
            case "POST": break
            default: return notAllowed("GET, HEAD, POST")
            }
            let type = (request.headers["content-type"] ?? "").lowercased()
            guard type.hasPrefix("application/x-www-form-urlencoded") else {
                return IntakeAnswer(415, text: "send application/x-www-form-urlencoded\n")
            }
            let fields = Dictionary(IntakeRequest.form(String(decoding: request.body, as: UTF8.self))) { $1 }
            var observation = Observation()
            observation.source = caller.name
            observation.summary = (fields["summary"] ?? "")
            observation.service = (fields["service"] ?? "")
            observation.severity = fields["severity"] ?? ""
            for (name, text) in [("summary", observation.summary), ("service", observation.service)]
            where text.allSatisfy(\.isWhitespace) {
                return ReportPage.form(400, problem: "Fill in the \(name).", fields: fields)
            }
            observation.details["reported_by"] = caller.name
            if let text = fields["details"], !text.isEmpty { observation.details["details"] = text }
            let event = protocols.mapping(.form).event(.form, observation, now: clock())
            try await publish([event], by: caller)
            return ReportPage.done(event.id)
        } catch {
            var answer = ReportPage.form(error.status, problem: error.message)
            answer.headers.merge(error.headers) { $1 }
            return answer
        }
    }
}

/// The pages of the form. No scripts, nothing from elsewhere.
private enum ReportPage {
    static func form(_ status: Int, problem: String? = nil, fields: [String: String] = [:]) -> IntakeAnswer {
        func value(_ name: String) -> String { escaped(fields[name] ?? "") }
        let options = ["critical", "major", "minor", "info"].map { word in
            "<option\((fields["severity"] ?? "major") == word ? " selected" : "")>\(word)</option>"
        }
        return page(
            status, "Report an incident",
            """
            \(problem.map { "<p role=\"alert\"><strong>\(escaped($0))</strong></p>" } ?? "")
            <form method="post" action="/report">
            <p><label>What is wrong, in one line<br>
            <input name="summary" required maxlength="500" size="60" value="\(value("summary"))"></label></p>
            <p><label>Service<br>
            <input name="service" required maxlength="200" size="30" value="\(value("service"))"></label></p>
            <p><label>How bad is it<br>
            <select name="severity">\(options.joined())</select></label></p>
            <p><label>Details<br>
            <textarea name="details" rows="8" cols="60" maxlength="10000">\(value("details"))</textarea></label></p>
            <p><button>Report</button></p>
            </form>
            """)
    }

    static func done(_ id: String) -> IntakeAnswer {
        page(
            200, "Reported",
            "<p>Your report is stored as event <code>\(escaped(id))</code>.</p><p><a href=\"/report\">Another one</a></p>")
    }

    private static func page(_ status: Int, _ title: String, _ body: String) -> IntakeAnswer {
        var answer = IntakeAnswer(
            status,
            text: """
                <!DOCTYPE html>
                <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
                <title>\(title)</title></head><body><h1>\(title)</h1>
                \(body)
                </body></html>

                """, type: "text/html; charset=utf-8")
        answer.headers["content-security-policy"] = "default-src 'none'; form-action 'self'; frame-ancestors 'none'"
        answer.headers["cache-control"] = "no-store"
        answer.headers["referrer-policy"] = "same-origin"
        return answer
    }

    private static func escaped(_ text: String) -> String {
        var output = ""
        for character in text.unicodeScalars {
            switch character {
            case "&": output += "&amp;"
            case "<": output += "&lt;"
            case ">": output += "&gt;"
            case "\"": output += "&quot;"
            case "'": output += "&#39;"
            default: output.unicodeScalars.append(character)
            }
        }
        return output
    }
}
