import TocsinAccess
import TocsinIntake
import TocsinKit
import TocsinPolicy
import TocsinProto

extension IntakeService {
    /// Who may see alerts and silences may call this.
    private static let reading = "tocsin.v1.IncidentService/ListIncidents"

    /// Alertmanager's API v2, `path` after `/api/v2`.
    func alertmanager(_ request: IntakeRequest, _ path: [String]) async -> IntakeAnswer {
        var answer: IntakeAnswer
        do throws(IntakeFailure) {
            answer = try await alertmanagerAnswer(request, path)
        } catch {
            answer = IntakeAnswer(error.status, json: .string(error.message))
            answer.headers.merge(error.headers) { $1 }
        }
        answer.headers["cache-control"] = "no-store"
        answer.headers["access-control-allow-origin"] = "*"
        answer.headers["access-control-allow-methods"] = "GET, OPTIONS"
        answer.headers["access-control-allow-headers"] = "Accept, Authorization, Content-Type, Origin"
        answer.headers["access-control-expose-headers"] = "Date"
        return answer
    }

    private func alertmanagerAnswer(_ request: IntakeRequest, _ path: [String]) async throws(IntakeFailure) -> IntakeAnswer {
        if request.method == "OPTIONS" { return IntakeAnswer(200) }
        switch (request.method, path.first, path.count) {
        case ("POST", "alerts", 1): return try await postAlerts(request)
        case ("GET", "alerts", 1):
            try authorize(try reader(request), toRead: AlertView.eventFilter)
            return try read(request) { (view, now) throws(Wrong) in try Self.alerts(request, view, now) }
        case ("GET", "alerts", 2) where path[1] == "groups":
            try authorize(try reader(request), toRead: AlertView.eventFilter)
            return try read(request) { (view, now) throws(Wrong) in try Self.groups(request, view, now) }
        case ("GET", "silences", 1):
            return try read(request) { (view, now) throws(Wrong) in
                var filters = try Self.filters(request)
                let silences = view.silences.list(now: now).filter { silence in
                    let labels = Dictionary(silence.matchers.map { ($0.name, $0.value) }) { $1 }
                    return filters.match(labels)
                }
                return IntakeAnswer(200, json: .array(silences.map { AlertmanagerJSON.silence($0, now: now) }))
            }
        case ("POST", "silences", 1): return try await postSilence(request)
        case ("GET", "silence", 2):
            return try read(request) { view, now in
                guard let silence = view.silences[path[1]] else { return IntakeAnswer(404) }
                return IntakeAnswer(200, json: AlertmanagerJSON.silence(silence, now: now))
            }
        case ("DELETE", "silence", 2): return try await expire(request, path[1])
        case ("GET", "receivers", 1):
            _ = try reader(request)
            return IntakeAnswer(200, json: [AlertmanagerJSON.receiver])
        case ("GET", "status", 1):
            _ = try reader(request)
            return IntakeAnswer(200, json: AlertmanagerJSON.status(startedAt: view.startedAt))
        case (_, "alerts", 1), (_, "silences", 1): return notAllowed("GET, POST")
        default:
            let message = "path \(request.path.prefix(256)) was not found"
            return IntakeAnswer(404, json: ["code": .integer(404), "message": .string(message)])
        }
    }

    // MARK: Alerts in

    private func postAlerts(_ request: IntakeRequest) async throws(IntakeFailure) -> IntakeAnswer {
        let caller = try caller(request)
        if let refusal = Self.wrongType(request) { return refusal }
        let now = clock()
        let tool = Alertmanager(mapping: protocols.mapping(.alertmanager), resolveTimeout: protocols.resolveTimeout)
        let intake: Intake
        do throws(Alertmanager.BadBody) {
            intake = try tool.alerts(request.body, source: caller.name, now: now)
        } catch { return Self.badBody(error) }
        try await take(intake, by: caller)
        guard !intake.refused.isEmpty else { return IntakeAnswer(200) }
        return IntakeAnswer(400, json: .string(intake.refused.map(\.reason).joined(separator: "; ")))
    }

    func webhook(_ request: IntakeRequest) async -> IntakeAnswer {
        do throws(IntakeFailure) {
            guard request.method == "POST" else { return notAllowed("POST") }
            let caller = try caller(request)
            if let refusal = Self.wrongType(request) { return refusal }
            let tool = Alertmanager(mapping: protocols.mapping(.alertmanager), resolveTimeout: protocols.resolveTimeout)
            let intake: Intake
            do throws(Alertmanager.BadBody) {
                intake = try tool.webhook(request.body, source: caller.name, now: clock())
            } catch { return Self.badBody(error) }
            try await take(intake, by: caller)
            guard let refusal = intake.refused.first else { return IntakeAnswer(200) }
            return IntakeAnswer(400, text: "alert \(refusal.index): \(refusal.reason)\n")
        } catch {
            var answer = IntakeAnswer(error.status, text: error.message + "\n")
            answer.headers.merge(error.headers) { $1 }
            return answer
        }
    }

    private func take(_ intake: Intake, by caller: Caller) async throws(IntakeFailure) {
        if view.isFull(for: intake.events) { throw .sink(.overloaded(retryAfter: .seconds(30))) }
        do throws(IntakeFailure) { try await publish(view.distinguished(intake.events), by: caller) } catch {
            if case .sink = error { view.bePatient() }
            throw error
        }
    }

    private static func badBody(_ problem: Alertmanager.BadBody) -> IntakeAnswer {
        IntakeAnswer(problem.status, json: ["code": .integer(problem.code), "message": .string(problem.message)])
    }

    /// What the real API says to a content type it does not take; nil for JSON.
    private static func wrongType(_ request: IntakeRequest) -> IntakeAnswer? {
        // Pages of browsers can leave it out and so do without asking; Prometheus and Alertmanager do not say it is a page.
        let type = request.headers["content-type"] ?? (request.isOfBrowser ? "" : "application/json")
        guard !type.lowercased().hasPrefix("application/json") else { return nil }
        let message = "unsupported media type \"\(type.prefix(128))\", only [application/json] are allowed"
        return IntakeAnswer(415, json: ["code": .integer(415), "message": .string(message)])
    }

    // MARK: Alerts out

    /// A request that is wrong, as an answer; thrown where the answer is made.
    private struct Wrong: Error { var answer: IntakeAnswer }

    private func reader(_ request: IntakeRequest) throws(IntakeFailure) -> Caller {
        let caller = try caller(request)
        try authorize(caller, toCall: Self.reading)
        return caller
    }

    private func read(
        _ request: IntakeRequest, _ body: (AlertView.Tables, UInt64) throws(Wrong) -> IntakeAnswer
    ) throws(IntakeFailure) -> IntakeAnswer {
        _ = try reader(request)
        let tables = try view.read()
        do throws(Wrong) { return try body(tables, clock()) } catch { return error.answer }
    }

    private static func filters(_ request: IntakeRequest) throws(Wrong) -> [Matcher] {
        var matchers: [Matcher] = []
        for parameter in request.query.filter({ $0.name == "filter" }).prefix(SilenceTable.matchersMax) {
            do throws(Matcher.Problem) { matchers.append(try Matcher(parsing: parameter.value)) } catch {
                throw Wrong(answer: IntakeAnswer(400, json: .string(error.description)))
            }
        }
        return matchers
    }

    private static func flag(_ request: IntakeRequest, _ name: String) throws(Wrong) -> Bool {
        guard let text = request[name] else { return true }
        switch text.lowercased() {
        case "true", "1", "yes", "on", "t", "y": return true
        case "false", "0", "no", "off", "f", "n", "": return false
        default:
            let message = "\(name) in query must be of type boolean: \"\(text.prefix(64))\""
            throw Wrong(answer: IntakeAnswer(422, json: ["code": .integer(601), "message": .string(message)]))
        }
    }

    /// The alerts a request asks for, each with the ids of the silences that match it.
    private static func selected(
        _ request: IntakeRequest, _ tables: AlertView.Tables, _ now: UInt64
    ) throws(Wrong) -> [(alert: AlertTable.Alert, silencedBy: [String])] {
        var filters = try filters(request)
        let (active, silenced) = (try flag(request, "active"), try flag(request, "silenced"))
        // None is inhibited or waits to be processed here; the parameters are checked all the same.
        for name in ["inhibited", "unprocessed", "muted"] { _ = try flag(request, name) }
        if let text = request["receiver"], !text.isEmpty {
            do throws(Matcher.Problem) {
                var receiver = try Matcher(name: "receiver", .matches, value: text)
                if !receiver.matches(["receiver": AlertmanagerJSON.receiverName]) { return [] }
            } catch {
                throw Wrong(answer: IntakeAnswer(400, json: .string("failed to parse receiver param: \(error)")))
            }
        }
        var selected: [(alert: AlertTable.Alert, silencedBy: [String])] = []
        var silences = tables.silences.active(now: now)
        for alert in tables.alerts.firing(now: now) where filters.match(alert.event.labels) {
            let ids = silences.silencing(alert.event.labels)
            if ids.isEmpty ? active : silenced { selected.append((alert, ids)) }
        }
        return selected
    }

    private static func alerts(
        _ request: IntakeRequest, _ tables: AlertView.Tables, _ now: UInt64
    ) throws(Wrong) -> IntakeAnswer {
        let alerts = try selected(request, tables, now)
        return IntakeAnswer(200, json: .array(alerts.map { AlertmanagerJSON.alert($0.alert, silencedBy: $0.silencedBy) }))
    }

    /// By alertname.
    private static func groups(
        _ request: IntakeRequest, _ tables: AlertView.Tables, _ now: UInt64
    ) throws(Wrong) -> IntakeAnswer {
        let groups = Dictionary(grouping: try selected(request, tables, now)) { $0.alert.event.labels["alertname"] ?? "" }
        let list = groups.sorted { $0.key < $1.key }.map { name, alerts -> JSON in
            [
                "alerts": .array(alerts.map { AlertmanagerJSON.alert($0.alert, silencedBy: $0.silencedBy) }),
                "labels": name.isEmpty ? [:] : ["alertname": .string(name)],
                "receiver": AlertmanagerJSON.receiver,
            ]
        }
        return IntakeAnswer(200, json: .array(list))
    }

    // MARK: Silences

    private func postSilence(_ request: IntakeRequest) async throws(IntakeFailure) -> IntakeAnswer {
        let caller = try caller(request)
        if let refusal = Self.wrongType(request) { return refusal }
        let wanted: Tocsin_V1_Silence
        do throws(AlertmanagerJSON.Problem) { wanted = try AlertmanagerJSON.silence(request.body) } catch {
            return IntakeAnswer(error.status, json: ["code": .integer(error.code), "message": .string(error.message)])
        }
        let now = clock()
        let silences: [Tocsin_V1_Silence]
        let table = try view.read().silences
        do throws(SilenceTable.Problem) {
            silences = try table.setting(wanted, now: now, makeID: AlertmanagerJSON.uuid)
        } catch {
            switch error {
            case .notFound: return IntakeAnswer(404, json: "silence not found")
            case .invalid(let reason): return IntakeAnswer(400, json: .string(reason))
            }
        }
        try await publish(silences, by: caller)
        return IntakeAnswer(200, json: ["silenceID": .string(silences.last?.id ?? "")])
    }

    private func expire(_ request: IntakeRequest, _ id: String) async throws(IntakeFailure) -> IntakeAnswer {
        let caller = try caller(request)
        let now = clock()
        guard let silence = try view.read().silences[id] else { return IntakeAnswer(404) }
        guard let ended = SilenceTable.ended(silence, now: now) else {
            return IntakeAnswer(500, json: .string("silence \(id) already expired"))
        }
        try await publish([ended], by: caller)
        return IntakeAnswer(200)
    }

    /// Returns once they are on the hub's disk and read back, so that who asks next sees them.
    private func publish(_ silences: [Tocsin_V1_Silence], by caller: Caller) async throws(IntakeFailure) {
        for silence in silences { try authorize(caller, toPublish: SilenceTable.subject(silence.id)) }
        do throws(SinkError) {
            try await sink.publish(try AlertView.messages(silences))
        } catch { throw .sink(error) }
        await view.wait { tables in silences.allSatisfy { tables.silences[$0.id] == $0 } }
    }
}
