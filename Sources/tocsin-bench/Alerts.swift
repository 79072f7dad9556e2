import ArgumentParser
import Glibc
import Synchronization

/// Posts alerts to the gateway's Alertmanager API as Prometheus does, as fast as they are answered 200: every alert counted is on the
/// hub's disk.
struct Alerts: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Posts batches of alerts over connections that are kept.")
    @Option(help: "Port of the gateway's HTTP server on this machine.") var port = 7119
    @Option(help: "Alerts.") var count = 200_000
    @Option(help: "Alerts in a request.") var batch = 64
    @Option(help: "Connections, each with one request on its way.") var connections = 8
    @Option(help: "Different alerts; they are sent again and again, each time with a later end.") var different = 10_000

    func run() throws {
        let (port, batch, connections, different) = (port, batch, connections, different)
        let requests = count / batch
        let next = Atomic<Int>(0)
        let failed = Atomic<Int>(0)
        let began = monotonic()
        withThreads(connections) { number in
            guard let connection = HTTPConnection(port: port) else { return failed.store(1, ordering: .relaxed) }
            // Each connection has its share of the alerts, in bodies that are made once; only the ends change.
            var bodies = (0..<max(1, different / batch / connections)).map {
                AlertBatch(first: (number + $0 * connections) * batch, count: batch)
            }
            var turn = 0
            while next.add(1, ordering: .relaxed).oldValue < requests, failed.load(ordering: .relaxed) == 0 {
                bodies[turn % bodies.count].setEnd(turn)
                if !connection.post(bodies[turn % bodies.count].request) { failed.store(1, ordering: .relaxed) }
                turn += 1
            }
        }
        let ended = monotonic()
        guard failed.load(ordering: .relaxed) == 0 else {
            throw ValidationError("the gateway at 127.0.0.1:\(port) did not answer 200")
        }
        report("{\"stored\":\(requests * batch),\"began\":\(began),\"ended\":\(ended)}")
    }
}

/// Runs `body` on so many threads, with their numbers, and waits for all.
private func withThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    final class Work: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
    let threads = (0..<count).map { number -> pthread_t in
        var thread = pthread_t()
        let work = Unmanaged.passRetained(Work { body(number) })
        let code = pthread_create(
            &thread, nil,
            { pointer in
                guard let pointer else { return nil }
                Unmanaged<Work>.fromOpaque(pointer).takeRetainedValue().run()
                return nil
            }, work.toOpaque())
        precondition(code == 0, "no thread: \(code)")
        return thread
    }
    for thread in threads { pthread_join(thread, nil) }
}

/// One request with alerts of about 480 bytes each, like those Prometheus sends.
private struct AlertBatch {
    private(set) var request: [UInt8]
    /// Where the four digits of each end's year are.
    private var years: [Int] = []

    init(first: Int, count: Int) {
        var body = "["
        for number in first..<first + count {
            if number > first { body += "," }
            let instance = "10.\(number >> 16 & 255).\(number >> 8 & 255).\(number & 255):9100"
            body += """
                {"annotations":{"description":"Instance \(instance) of job node has been down for more than five minutes.",\
                "summary":"Instance \(instance) is down"},"endsAt":"2900-01-01T00:00:00.000Z","startsAt":"2026-01-01T00:00:00.000Z",\
                "generatorURL":"http://prometheus.example.org:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",\
                "labels":{"alertname":"InstanceDown","cluster":"eu-1","instance":"\(instance)","job":"node",\
                "monitor":"prod","severity":"warning","team":"infrastructure"}}
                """
        }
        body += "]"
        let head = "POST /api/v2/alerts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        request = Array((head + "Content-Length: \(body.utf8.count)\r\n\r\n" + body).utf8)
        let mark = Array("\"endsAt\":\"".utf8)
        var index = 0
        while index + mark.count < request.count {
            if request[index] == mark[0], request[index..<index + mark.count].elementsEqual(mark) {
                years.append(index + mark.count)
                index += mark.count
            }
            index += 1
        }
    }

    /// Makes every end another than in any turn before: the year from 2100 on, and the milliseconds.
    mutating func setEnd(_ turn: Int) {
        func put(_ value: Int, _ digits: Int, at place: Int) {
            var value = value
            for index in stride(from: digits - 1, through: 0, by: -1) {
                request[place + index] = UInt8(ascii: "0") + UInt8(value % 10)
                value /= 10
            }
        }
        for year in years {
            put(2100 + turn / 1000 % 7000, 4, at: year)
            put(turn % 1000, 3, at: year + 20)
        }
    }
}

/// A connection on which requests go one after another. Of one thread.
private struct HTTPConnection {
    private let descriptor: Int32

    init?(port: Int) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(truncatingIfNeeded: port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { return nil }
        var yes: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Whether the answer is 200, without a body.
    func post(_ request: [UInt8]) -> Bool {
        var sent = 0
        while sent < request.count {
            let count = request[sent...].withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            sent += count
        }
        var answer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 2048)
        while !answer.suffix(4).elementsEqual("\r\n\r\n".utf8) {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count > 0 else { return false }
            answer += chunk[..<count]
        }
        return answer.starts(with: "HTTP/1.1 200".utf8)
    }
}
