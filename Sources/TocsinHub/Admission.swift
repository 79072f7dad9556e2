import Glibc
import Logging
import Synchronization
import TocsinAccess
import TocsinEngine
import TocsinKeys
import TocsinPosix
import TocsinTransport
import TocsinWire

/// The door: the ZAP handler (RFC 27) on a thread of its own, and who is let in through it. libzmq asks it about every
/// connection of every endpoint; where it does not answer, nobody gets in.
///
/// A ZAP domain says by which kind of endpoint somebody comes. Over CURVE the key must be in the folder of authorised keys;
/// over ipc the user must be the hub's own (or root); plain TCP is there only if it was asked for. The user id it answers with is the
/// number of a `Principal`.
final class Admission: Sendable {
    /// ZAP domains.
    enum Domain: String { case curve, ipc, plain }

    private struct State {
        var principals: [UInt32: Principal] = [:]
        /// By public key.
        var numbers: [CurvePublicKey: UInt32] = [:]
        var nextNumber: UInt32 = 3
        var isChanged = true
        /// The folder as it was read last, and when it was looked at, nanoseconds of the steady clock.
        var stamp: [String] = []
        var looked: UInt64 = 0
        var counts = AdmissionCounts()
        var failure: String?
        /// When the next key expires, milliseconds since 1970.
        var nextExpiry: UInt64?
        /// Why nobody new is let in by key; nil: the folder can be read.
        var unreadable: String?
    }
    private let state = Mutex(State())
    private let folder: KeyFolder?
    private let allowsPlainTCP: Bool
    private let logger: Logger
    private let stopping = Atomic<Bool>(false)
    private let wakeup: EventCounter
    /// Tells the hub's loop that something has changed.
    private let changed: @Sendable () -> Void
    private let log: DecisionLog

    /// Those with the hub's own user, and those of plain TCP.
    private static let local = Principal.local
    private static let anonymous: UInt32 = 2
    /// Between two looks at the folder, nanoseconds. Where somebody comes whose key is not known, as it may be new, it is looked
    /// at at once; a folder of more files than costs as little as the handshake itself, not more often than each 50 ms.
    private static let interval: UInt64 = 500_000_000
    private static let shortInterval: UInt64 = 50_000_000
    private static let filesAtOnce = 256

    /// Reads the keys. `folder`: nil where there are none.
    ///
    /// - Throws: `KeyError` if the folder cannot be read.
    init(
        folder: KeyFolder?, allowsPlainTCP: Bool, logger: Logger, changed: @escaping @Sendable () -> Void
    ) throws {
        self.folder = folder
        self.allowsPlainTCP = allowsPlainTCP
        self.logger = logger
        self.changed = changed
        log = DecisionLog(logger)
        wakeup = try EventCounter()
        if let folder {
            try read(folder, folder.stamp())
        } else {
            state.withLock { Self.rebuild(&$0, keys: [], now: 0, allowsPlainTCP) }
        }
    }

    /// Begins to answer: bound when it returns. `socket` is watched for handshakes that fail before a key is seen.
    ///
    /// - Throws: `TransportError`, or `SystemThread.Refused`.
    func start(_ context: Context, watching socket: ZMQSocket) throws -> SystemThread {
        var options = SocketOptions()
        options.receiveHighWater = 0
        options.sendHighWater = 0
        let zap = try ZMQSocket(.router, context: context, options: options)
        try zap.bind("inproc://zeromq.zap.01")
        let monitor = try HandshakeMonitor(socket, context: context, name: "hub")
        // Handed over to the thread that is started here, and used by it alone.
        nonisolated(unsafe) let (own, watched) = (zap, monitor)
        return try SystemThread("admission") { [self] in serve(own, watched) }
    }

    /// Ends the thread; nobody gets in from then on.
    func stop() {
        stopping.store(true, ordering: .releasing)
        wakeup.signal()
    }

    // MARK: For the loop

    /// Who is admitted, if that has changed since it was asked last.
    func takeChange() -> [UInt32: Principal]? {
        state.withLock {
            guard $0.isChanged else { return nil }
            $0.isChanged = false
            return $0.principals
        }
    }

    var counts: AdmissionCounts { state.withLock { $0.counts } }
    /// Why nobody is let in any more: the thread has ended.
    var failure: String? { state.withLock { $0.failure } }

    // MARK: The thread

    private func serve(_ zap: ZMQSocket, _ monitor: HandshakeMonitor) {
        var poller = Poller(socket: zap, descriptor: wakeup.descriptor)
        var parts: [Bytes] = []
        do {
            while !stopping.load(ordering: .acquiring) {
                if try poller.wait(timeout: 100).contains(.event) { wakeup.drain() }
                while try zap.receive(into: &parts) {
                    let answer = decide(parts)
                    if let answer { _ = try zap.send(answer) }
                }
                while let failure = monitor.next() { note(failure) }
                look(after: Self.interval)
                log.flush()
            }
        } catch {
            state.withLock { $0.failure = "\(error)" }
            changed()
        }
    }

    /// The answer to one request (RFC 27, "ZAP request and reply"); nil for what is none.
    private func decide(_ parts: [Bytes]) -> [Bytes]? {
        // Routing id and delimiter, then version, request id, domain, address, routing id of the peer, mechanism, credentials.
        guard parts.count >= 8, parts[2].array == Array("1.0".utf8) else { return nil }
        let decision = decide(
            domain: Domain(rawValue: Self.text(parts[4])), address: Self.text(parts[5]), mechanism: Self.text(parts[7]),
            credentials: parts.dropFirst(8).map { $0 })
        let (status, text, user) =
            switch decision {
            case .success(let number): ("200", "", "\(number)")
            case .failure(let refusal): (refusal.status, refusal.reason, "")
            }
        return [parts[0], parts[1], parts[2], parts[3]] + [status, text, user, ""].map { Bytes(Array($0.utf8)) }
    }

    private struct Refusal: Error {
        var reason: String
        var status = "400"
    }

    private func decide(
        domain: Domain?, address: String, mechanism: String, credentials: [Bytes]
    ) -> Result<UInt32, Refusal> {
        let result: Result<UInt32, Refusal>
        var who = "?"
        switch domain {
        case .curve:
            if mechanism == "CURVE", let bytes = credentials.first, let key = CurvePublicKey(bytes.array) {
                who = "\(key)"
                if state.withLock({ $0.numbers[key] == nil }) { look() }
                result = state.withLock { state in
                    if state.unreadable != nil { return .failure(Refusal(reason: "KEYS_UNREADABLE", status: "500")) }
                    return state.numbers[key].map { .success($0) } ?? .failure(Refusal(reason: "UNKNOWN_KEY"))
                }
            } else {
                result = .failure(Refusal(reason: "NO_KEY"))
            }
        case .ipc:
            // libzmq has ":user:group:process" of who connected, from the kernel.
            let user = address.split(separator: ":", omittingEmptySubsequences: false).dropFirst().first.flatMap { UInt32($0) }
            who = "user \(user.map { "\($0)" } ?? "unknown")"
            result = user == geteuid() || user == 0 ? .success(Self.local) : .failure(Refusal(reason: "OTHER_USER"))
        case .plain: result = allowsPlainTCP ? .success(Self.anonymous) : .failure(Refusal(reason: "NO_KEY"))
        case nil: result = .failure(Refusal(reason: "NO_DOMAIN"))
        }
        switch result {
        case .success(let number):
            let name = state.withLock { state in
                state.counts.admitted += 1
                return state.principals[number]?.name ?? ""
            }
            logger.debug("admitted", metadata: ["name": "\(name)", "from": "\(address)"])
        case .failure(let refusal):
            reject(refusal.reason, "refused a connection", ["key": "\(who)", "from": "\(address)"])
        }
        return result
    }

    /// Handshakes that never came to a question.
    private func note(_ failure: HandshakeMonitor.Failure) {
        switch failure {
        // Counted when it was decided.
        case .refused: break
        case .mechanisms: reject("NO_CURVE", "a connection without CURVE", [:])
        case .protocolError: reject("BAD_HANDSHAKE", "a handshake that cannot be read, or with another key of the hub", [:])
        case .ended: reject("UNFINISHED", "a handshake that was not finished", [:])
        }
    }

    private func reject(_ reason: String, _ what: Logger.Message, _ metadata: Logger.Metadata) {
        state.withLock { $0.counts.rejected[reason, default: 0] += 1 }
        log.note(what, metadata.merging(["reason": "\(reason)"]) { $1 })
    }

    private static func text(_ bytes: Bytes) -> String { String(decoding: bytes.array.prefix(256), as: UTF8.self) }

    // MARK: Keys

    /// Reads the folder again if something in it has changed, and lets go of keys that have expired; not more often than said.
    private func look(after interval: UInt64 = 0) {
        guard let folder else { return }
        let now = MachineClock.steady()
        let isTime = state.withLock { state in
            let least = state.stamp.count > Self.filesAtOnce ? Self.shortInterval : 0
            guard now >= state.looked + max(interval, least) else { return false }
            state.looked = now
            return true
        }
        guard isTime else { return }
        let current = folder.stamp()
        let isDue = state.withLock { state in
            state.stamp != current || state.unreadable != nil || state.nextExpiry.map { MachineClock.wall() >= $0 } ?? false
        }
        guard isDue else { return }
        do {
            try read(folder, current)
        } catch {
            let isNews = state.withLock { state in
                defer { state.unreadable = "\(error)" }
                return state.unreadable == nil
            }
            if isNews { logger.error("nobody new is let in by key until this is mended", metadata: ["reason": "\(error)"]) }
        }
    }

    /// `stamp` was taken before, so that what changes meanwhile is read the next time.
    private func read(_ folder: KeyFolder, _ stamp: [String]) throws {
        let (keys, problems) = try folder.authorized()
        for problem in problems { logger.error("a key is not let in", metadata: ["reason": "\(problem)"]) }
        let now = MachineClock.wall()
        let isChanged = state.withLock { state in
            state.unreadable = nil
            state.stamp = stamp
            Self.rebuild(&state, keys: keys, now: now, allowsPlainTCP)
            return state.isChanged
        }
        guard isChanged else { return }
        logger.info("the authorised keys were read", metadata: ["keys": "\(keys.count)"])
        changed()
    }

    /// Gives numbers: the old ones to those that are as they were.
    private static func rebuild(_ state: inout State, keys: [AuthorizedKey], now: UInt64, _ allowsPlainTCP: Bool) {
        let before = state.principals
        let old = state.numbers
        state.numbers = [:]
        state.principals = [local: Principal(number: local, name: "local", permissions: .everything, hasKey: false)]
        state.nextExpiry = nil
        if allowsPlainTCP {
            state.principals[anonymous] = Principal(
                number: anonymous, name: CallerMetadata.anonymous, permissions: .everything, hasKey: false)
        }
        for key in keys {
            var valid = [(key.publicKey, key.expires)]
            if let previous = key.previous { valid.append((previous.key, min(previous.until, key.expires ?? .max))) }
            for (publicKey, until) in valid {
                if let until {
                    guard now < until else { continue }
                    state.nextExpiry = min(state.nextExpiry ?? .max, until)
                }
                let permissions = key.permissions
                var number = old[publicKey] ?? 0
                if before[number]?.name != key.name || before[number]?.role != key.role
                    || before[number]?.permissions != permissions
                {
                    number = state.nextNumber
                    state.nextNumber += 1
                }
                state.numbers[publicKey] = number
                state.principals[number] = Principal(number: number, name: key.name, permissions: permissions, role: key.role)
            }
        }
        state.counts.keys = state.numbers.count
        state.isChanged = state.isChanged || state.principals != before
    }
}
