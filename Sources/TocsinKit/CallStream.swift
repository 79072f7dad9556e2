import DequeModule
import Synchronization
import TocsinPosix
import TocsinProto
import TocsinWire

/// One call, as its caller or its server sees it: messages go out as fast as the other end takes them, and what comes in waits
/// here, within the window, until it is read. One task writes and one reads, at the same time if they like. Thread-safe.
package final class CallStream: Sendable {
    /// What comes in, in order.
    package enum Incoming: Sendable {
        /// The initial metadata; only to a caller, once, before any message.
        case headers([Tocsin_V1_MetadataEntry])
        /// Length-prefixed messages.
        case messages(Bytes)
        /// How the call ended; only to a caller, last.
        case tail(Tocsin_V1_CallTail)
    }

    /// What the client's thread sends next.
    struct Outgoing {
        /// The metadata of the head, which goes before everything.
        var opening: [Tocsin_V1_MetadataEntry]?
        var headers: [Tocsin_V1_MetadataEntry]?
        var messages: Bytes?
        var count = 0
        var isLast = false
        var tail: Tocsin_V1_CallTail?
    }

    /// Why nothing more can be written, or read at the server's end.
    package struct Ended: Error {}

    private struct State: ~Copyable {
        /// Of a caller's call that has not been sent.
        var opening: [Tocsin_V1_MetadataEntry]?
        var deadline: Int64
        var headers: [Tocsin_V1_MetadataEntry]?
        var hasHeaders = false
        var messages = ByteWriter(capacity: 64)
        var count = 0
        var isLast = false
        var hasSentLast = false
        var tail: Tocsin_V1_CallTail?
        /// Bytes the other end still takes.
        var room = Limits.callWindow
        /// The thread knows that there is something to send.
        var isPosted = false
        var writer: CheckedContinuation<Void, any Error>?

        var inbox: Deque<Incoming> = []
        var reader: CheckedContinuation<Incoming?, any Error>?
        /// Bytes the other end may still send, and those read since it was told so.
        var allowed = Limits.callWindow
        var used = 0
        /// Nothing more comes in.
        var isRead = false
        /// The call is over; at the server's end also when it was cancelled.
        var isOver = false
        var wasCancelled = false
        var whenCancelled: (@Sendable () -> Void)?
    }

    /// As both the hub and this client know it.
    package let id: UInt64
    /// `package.Service/Method`.
    package let method: String
    /// Of a call that is served: what its caller gave with it.
    package let metadata: [Tocsin_V1_MetadataEntry]
    /// A call that is not sent by then fails.
    let startBy: Int64
    /// Sends nothing before the end, unless it must: one frame each way for a unary call.
    private let holdsBack: Bool
    private let mailbox: Mailbox
    private let state: Mutex<State>

    init(
        id: UInt64, method: String, metadata: [Tocsin_V1_MetadataEntry] = [], deadline: Int64, startBy: Int64 = .max,
        holdsBack: Bool, mailbox: Mailbox
    ) {
        self.id = id
        self.method = method
        self.metadata = metadata
        self.startBy = startBy
        self.holdsBack = holdsBack
        self.mailbox = mailbox
        state = Mutex(State(deadline: deadline))
    }

    var isServed: Bool { id >= Limits.servedCallID }

    var isOver: Bool { state.withLock { $0.isOver } }

    // MARK: Writing

    /// When the hub ends it, milliseconds of the steady clock; `max`: never.
    var deadline: Int64 { state.withLock { $0.deadline } }

    /// How long the caller of a call that is served still waits; nil: for ever.
    package var timeLeft: Duration? {
        let deadline = deadline
        return deadline == .max ? nil : .milliseconds(max(1, deadline - steadyNow()))
    }

    /// Begins a caller's call; before anything is written. One that holds back goes out with its last request.
    ///
    /// - Parameter timeout: after which the hub ends it, if sooner than what it was opened with.
    /// - Throws: `ClientError.call` if the metadata is too large.
    package func begin(_ metadata: [Tocsin_V1_MetadataEntry], timeout: Duration? = nil) throws {
        let size = metadata.reduce(method.utf8.count + 16) { $0 + $1.key.utf8.count + $1.value.count + 12 }
        guard size <= Limits.metadataBytes else {
            let text = "the metadata of \(method) has about \(size) bytes; the hub takes \(Limits.metadataBytes)"
            throw ClientError.call(code: 8, message: text)
        }
        let posts = state.withLock { state in
            state.opening = metadata
            if let timeout { state.deadline = min(state.deadline, steadyNow() + max(1, timeout.wholeMilliseconds)) }
            return needsPost(&state)
        }
        if posts { post() }
    }

    /// Whether there is something to send at once.
    var isReady: Bool { !holdsBack || state.withLock { $0.isPosted } }

    /// The initial metadata of a response. Ignored after the first time, and once messages or the end were written.
    ///
    /// - Throws: `Ended`.
    package func write(headers: [Tocsin_V1_MetadataEntry]) throws {
        let posts = try state.withLock { state in
            guard !state.isOver else { throw Ended() }
            if state.hasHeaders { return false }
            state.hasHeaders = true
            state.headers = headers
            return needsPost(&state)
        }
        if posts { post() }
    }

    /// Waits for room in the window, then queues a message; it is sent soon, with others that come meanwhile.
    ///
    /// - Throws: `Ended` if the call is over or its last request was written; `CancellationError`.
    package func write(_ message: [UInt8]) async throws {
        while try !queue(message) { try await room() }
    }

    private func queue(_ message: [UInt8]) throws -> Bool {
        let (isQueued, posts) = try state.withLock { state in
            guard !state.isOver, !state.isLast, state.tail == nil else { throw Ended() }
            let size = LengthPrefixed.prefixSize + message.count
            // What is queued goes into one frame.
            guard state.room > 0, state.count == 0 || state.messages.count + size <= Limits.bodyBytes / 2 else {
                return (false, needsPost(&state, held: false))
            }
            let position = state.messages.extend(by: size)
            position.storeBytes(of: 0, as: UInt8.self)
            position.storeBigEndian(UInt32(message.count), at: 1)
            message.withUnsafeBytes { bytes in
                if let base = bytes.baseAddress {
                    (position + LengthPrefixed.prefixSize).copyMemory(from: base, byteCount: bytes.count)
                }
            }
            state.count += 1
            state.room -= size
            return (true, needsPost(&state))
        }
        if posts { post() }
        return isQueued
    }

    private func room() async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let result = state.withLock { state -> Result<Void, any Error>? in
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if state.isOver { return .failure(Ended()) }
                    if state.room > 0, state.count == 0 { return .success(()) }
                    guard state.writer == nil else { return .failure(Ended()) }
                    state.writer = continuation
                    return nil
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            state.withLock { $0.writer.take() }?.resume(throwing: CancellationError())
        }
    }

    /// A caller has no more requests.
    package func finish() {
        let posts = state.withLock { state in
            guard !state.isOver, !state.isLast else { return false }
            state.isLast = true
            return needsPost(&state, held: false)
        }
        if posts { post() }
    }

    /// A server's last word. Ignored if the call is over.
    package func finish(_ tail: Tocsin_V1_CallTail) {
        let posts = state.withLock { state in
            guard !state.isOver, state.tail == nil else { return false }
            state.tail = tail
            return needsPost(&state, held: false)
        }
        if posts { post() }
    }

    private func needsPost(_ state: inout State, held: Bool = true) -> Bool {
        if state.isPosted || (held && holdsBack) { return false }
        state.isPosted = true
        return true
    }

    private func post() {
        do {
            try mailbox.post(.flushCall(self))
        } catch {
            end(.closed)
        }
    }

    /// Everything that was written and not sent, for the client's thread; nil if the call is over.
    func takeOutgoing() -> Outgoing? {
        let (outgoing, writer) = state.withLock { state -> (Outgoing?, CheckedContinuation<Void, any Error>?) in
            state.isPosted = false
            if state.isOver { return (nil, nil) }
            var outgoing = Outgoing()
            outgoing.opening = state.opening.take()
            outgoing.headers = state.headers.take()
            outgoing.isLast = state.isLast && !state.hasSentLast
            state.hasSentLast = state.isLast
            outgoing.tail = state.tail
            guard state.count > 0 else { return (outgoing, nil) }
            var messages = ByteWriter(capacity: 64)
            swap(&messages, &state.messages)
            outgoing.messages = messages.finish()
            outgoing.count = state.count
            state.count = 0
            state.room -= Limits.callFrameOverhead
            return (outgoing, state.room > 0 ? state.writer.take() : nil)
        }
        writer?.resume()
        return outgoing
    }

    /// The other end takes more.
    func addRoom(_ bytes: Int) {
        let writer = state.withLock { state in
            state.room = min(state.room + bytes, Limits.callWindowMax)
            return state.room > 0 && state.count == 0 ? state.writer.take() : nil
        }
        writer?.resume()
    }

    // MARK: Reading

    /// Waits for what comes next; nil after the last request, and after the tail. One task at a time.
    ///
    /// - Throws: `Ended` at the server's end if the caller no longer waits; `CancellationError`.
    package func next() async throws -> Incoming? {
        let incoming = try await take()
        if case .messages(let frame)? = incoming { give(frame.count + Limits.callFrameOverhead) }
        return incoming
    }

    private func take() async throws -> Incoming? {
        if let ready = state.withLock({ $0.inbox.popFirst() }) { return ready }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let result = state.withLock { state -> Result<Incoming?, any Error>? in
                    if let first = state.inbox.popFirst() { return .success(first) }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if state.isRead { return .success(nil) }
                    if state.isOver { return .failure(Ended()) }
                    guard state.reader == nil else { return .failure(Ended()) }
                    state.reader = continuation
                    return nil
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            state.withLock { $0.reader.take() }?.resume(throwing: CancellationError())
        }
    }

    /// Gives the other end the room that was read free, in pieces that are worth a frame.
    private func give(_ bytes: Int) {
        let more = state.withLock { state in
            state.used += bytes
            guard state.used >= Limits.callWindow / 4, !state.isOver, !state.isRead else { return 0 }
            defer { state.used = 0 }
            state.allowed += state.used
            return state.used
        }
        guard more > 0 else { return }
        do {
            try mailbox.post(.callWindow(self, more))
        } catch {
            end(.closed)
        }
    }

    /// Takes in what the hub has brought; false if it is more than was allowed. All of a frame at once: its reader is woken once.
    func receive(
        headers: [Tocsin_V1_MetadataEntry]? = nil, messages: Bytes? = nil, tail: Tocsin_V1_CallTail? = nil, isLast: Bool = false
    ) -> Bool {
        let (isAllowed, reader, first) = state.withLock {
            state -> (Bool, CheckedContinuation<Incoming?, any Error>?, Incoming?) in
            if state.isRead { return (true, nil, nil) }
            if let messages {
                guard state.allowed > 0 else { return (false, nil, nil) }
                state.allowed -= messages.count + Limits.callFrameOverhead
            }
            if let headers { state.inbox.append(.headers(headers)) }
            if let messages { state.inbox.append(.messages(messages)) }
            if let tail {
                state.inbox.append(.tail(tail))
                state.isOver = true
            }
            if tail != nil || isLast { state.isRead = true }
            guard state.reader != nil else { return (true, nil, nil) }
            guard let first = state.inbox.popFirst() else {
                return (true, state.isRead ? state.reader.take() : nil, nil)
            }
            return (true, state.reader.take(), first)
        }
        reader?.resume(returning: first)
        if tail != nil { releaseWriter() }
        return isAllowed
    }

    // MARK: The end

    /// A caller's call has ended without an answer of its server.
    func end(_ error: CallEnd) {
        if isServed { return cancelled() }
        _ = receive(tail: error.tail)
    }

    /// At the server's end: the caller no longer waits.
    func cancelled() {
        let (reader, action) = state.withLock {
            state -> (CheckedContinuation<Incoming?, any Error>?, (@Sendable () -> Void)?) in
            if state.isOver { return (nil, nil) }
            state.isOver = true
            state.wasCancelled = true
            return (state.reader.take(), state.whenCancelled.take())
        }
        reader?.resume(throwing: Ended())
        releaseWriter()
        action?()
    }

    /// At the server's end: `action` is called once if the caller no longer waits, at once if that is so already.
    package func onCancel(_ action: @escaping @Sendable () -> Void) {
        let isCancelled = state.withLock { state in
            if !state.isOver { state.whenCancelled = action }
            return state.wasCancelled
        }
        if isCancelled { action() }
    }

    /// The tail is on its way: nothing follows it.
    func answered() {
        let reader = state.withLock { state in
            state.isOver = true
            state.whenCancelled = nil
            return state.reader.take()
        }
        reader?.resume(throwing: Ended())
    }

    private func releaseWriter() {
        state.withLock { $0.writer.take() }?.resume(throwing: Ended())
    }

    /// A caller lets go of its call: the server is told, and the reader gets this as the end. Nothing if the call is over.
    package func cancel(code: UInt32 = 1, _ message: String = "the call was cancelled") {
        let isOpen = state.withLock { !$0.isOver }
        guard isOpen else { return }
        end(CallEnd(code: code, message: message))
        do {
            try mailbox.post(.cancelCall(self))
        } catch {
            // The client is closed, and so the hub has forgotten the call.
        }
    }
}

/// How a call ended that its server did not answer: a gRPC code and a sentence.
struct CallEnd: Error, Equatable {
    var code: UInt32
    var message: String
    /// The hub's own, by name.
    var reason: Reason?

    static var closed: CallEnd { CallEnd(code: 14, message: "the client is closed") }

    var tail: Tocsin_V1_CallTail {
        .with {
            $0.code = code
            $0.message = message
            guard let reason else { return }
            $0.metadata = [
                .with {
                    $0.key = Self.reasonKey
                    $0.value = .init(reason.name.utf8)
                }
            ]
        }
    }

    /// Trailing metadata of a call that the hub ended: the name of its reason.
    static var reasonKey: String { "tocsin-reason" }
}

/// The messages of one frame, one after another.
package struct CallMessages: Sendable {
    private let frame: Bytes?
    private var offset = 0

    package init(_ frame: Bytes?) { self.frame = frame }

    /// The next message, copied; nil at the end.
    ///
    /// - Throws: `WireError` if the prefixes do not fit.
    package mutating func next() throws(WireError) -> [UInt8]? {
        guard let frame else { return nil }
        let left = frame.count - offset
        if left == 0 { return nil }
        guard left >= LengthPrefixed.prefixSize, frame.buffer[offset] == 0 else {
            throw WireError(.badLengthPrefix, "no prefix at offset \(offset) of \(frame.count)")
        }
        let length = Int(frame.buffer.bigEndian(UInt32.self, at: offset + 1))
        guard length <= left - LengthPrefixed.prefixSize else {
            throw WireError(.badLengthPrefix, "a prefix of \(length) bytes at offset \(offset) of \(frame.count)")
        }
        let start = offset + LengthPrefixed.prefixSize
        offset = start + length
        return [UInt8](frame.buffer.part(start, length))
    }
}
