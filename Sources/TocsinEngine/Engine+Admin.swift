import SwiftProtobuf
import TocsinCore
import TocsinJournal
import TocsinProto
import TocsinWire

extension Engine {
    /// What comes of the calls of the hub's own service: its methods are unary, so the first request decides.
    mutating func administer(_ header: Header, _ frames: [Bytes], _ now: Moment) throws {
        var messages: Bytes?
        switch header.kind {
        case .call:
            let head: Tocsin_V1_CallHead = try Self.decode(frames[0])
            adminCalls[header.id] = head.method.lastIndex(of: "/").map { String(head.method[head.method.index(after: $0)...]) }
            if frames.count > 1 { messages = frames[1] }
        case .message: messages = frames.first
        case .cancel: adminCalls[header.id] = nil
        default: return
        }
        guard let method = adminCalls[header.id] else { return }
        do {
            var request: UnsafeRawBufferPointer?
            if let messages {
                _ = try LengthPrefixed.forEach(in: messages.buffer, messageBytes: Limits.callMessageBytes) {
                    (_, _, bytes) throws(WireError) in request = request ?? bytes
                }
            }
            if let request {
                adminCalls[header.id] = nil
                try administer(method, request, header.id, now)
            } else if header.flags & Header.halfClose != 0 {
                throw WireError(.badBody, "\(method) takes one request, and the call has none")
            }
        } catch let error as WireError {
            adminCalls[header.id] = nil
            core.step(.refused(call: header.id, error), at: now, into: &effects)
        }
        withExtendedLifetime(messages) {}
    }

    /// One request to the hub's own service.
    private mutating func administer(
        _ method: String, _ request: UnsafeRawBufferPointer, _ id: UInt64, _ now: Moment
    ) throws {
        switch method {
        case "GetStatus": answer(id, try Self.frame(status(now)), now)
        case "ListDeadLetters":
            let request: Tocsin_V1_ListDeadLettersRequest = try Self.decode(Bytes(copying: request))
            let pools = request.pool.isEmpty ? core.poolNames : [request.pool]
            // Bounded so that the answer is a message of a call: with one letter more than that it still is.
            var limit = request.limit == 0 ? 100 : min(Int(request.limit), 1000)
            var bytes = 0
            var response = Tocsin_V1_ListDeadLettersResponse()
            for pool in pools {
                guard let letters = core.deadLetters(pool: pool, from: request.fromSequence, atMost: limit) else {
                    throw WireError(.unknownPool, "there is no pool \"\(pool.prefix(64))\"")
                }
                for letter in letters {
                    let slice = try journal.message(letter.sequence)
                    let history = core.failures(pool: pool, letter.sequence)
                    bytes += history.reduce(letter.reason.utf8.count + (slice?.count ?? 0)) { $0 + $1.reason.utf8.count }
                    if bytes > Limits.callMessageBytes / 2 { break }
                    var entry = Tocsin_V1_DeadLetter()
                    entry.pool = pool
                    entry.sequence = letter.sequence
                    entry.attempts = UInt32(letter.attempts)
                    entry.reason = letter.reason
                    entry.time = letter.time
                    entry.history = history.map { failed in
                        var attempt = Tocsin_V1_FailedAttempt()
                        attempt.attempt = UInt32(failed.attempt)
                        attempt.time = failed.time
                        attempt.reason = failed.reason
                        return attempt
                    }
                    if let slice { entry.envelope = .init(slice.envelope) }
                    response.letters.append(entry)
                    limit -= 1
                }
            }
            answer(id, try Self.frame(response), now)
        case "DiscardDeadLetters":
            let request: Tocsin_V1_DiscardDeadLettersRequest = try Self.decode(Bytes(copying: request))
            guard (1...Limits.batch).contains(request.sequences.count) else {
                throw WireError(.badBody, "name the dead letters to discard: 1 to \(Limits.batch) sequences")
            }
            try checkRoom()
            guard let discarded = core.discardDeadLetters(pool: request.pool, request.sequences) else {
                throw WireError(.unknownPool, "there is no pool \"\(request.pool.prefix(64))\"")
            }
            var response = Tocsin_V1_DiscardDeadLettersResponse()
            response.discarded = UInt32(clamping: discarded)
            core.answerWhenDurable(call: id, try Self.frame(response))
        case "CancelDelayed":
            let request: Tocsin_V1_CancelDelayedRequest = try Self.decode(Bytes(copying: request))
            guard (1...Limits.batch).contains(request.ids.count) else {
                throw WireError(.badBody, "name the messages to cancel: 1 to \(Limits.batch) ids")
            }
            try checkRoom()
            var response = Tocsin_V1_CancelDelayedResponse()
            response.cancelled = request.ids.filter { id in id.withUnsafeBytes { core.cancelDelayed(id: $0, at: now) } }
            core.answerWhenDurable(call: id, try Self.frame(response))
        case "RetryDeadLetters":
            let request: Tocsin_V1_RetryDeadLettersRequest = try Self.decode(Bytes(copying: request))
            guard request.sequences.count <= Limits.batch else {
                throw WireError(.tooMany, "at most \(Limits.batch) sequences in one request")
            }
            guard let retried = core.retryDeadLetters(pool: request.pool, request.sequences, at: now) else {
                throw WireError(.unknownPool, "there is no pool \"\(request.pool.prefix(64))\"")
            }
            var response = Tocsin_V1_RetryDeadLettersResponse()
            response.retried = UInt32(clamping: retried)
            core.answerWhenDurable(call: id, try Self.frame(response))
        default: throw WireError(.unknownService, "\(Core.ownService) has no method \"\(method.prefix(64))\"")
        }
    }

    private mutating func answer(_ id: UInt64, _ frame: CallFrame, _ now: Moment) {
        core.step(.answered(call: id, frame), at: now, into: &effects)
    }

    private static func frame(_ response: some SwiftProtobuf.Message) throws -> CallFrame {
        let bytes: [UInt8] = try response.serializedBytes()
        var body: [UInt8] = []
        LengthPrefixed.append(bytes, to: &body)
        return CallFrame([try encode(Tocsin_V1_CallTail()), Bytes(body)], count: 1, bytes: body.count)
    }

    /// Nothing is decided that could not be written.
    private func checkRoom() throws(WireError) {
        guard journal.room >= reserve / 2 else {
            throw WireError(.storageFailed, "the hub cannot write now; try again later")
        }
    }

    private func status(_ now: Moment) -> Tocsin_V1_GetStatusResponse {
        var status = Tocsin_V1_GetStatusResponse()
        status.hub = options.software
        status.epoch = journal.identity.epoch
        status.uptimeMs = now.steady - started.steady
        status.firstSequence = journal.firstSequence
        status.lastSequence = core.durableSequence
        status.journalBytes = UInt64(journal.bytes)
        status.accepted = core.accepted
        status.duplicates = core.duplicates
        status.callsInFlight = UInt32(clamping: core.callsInFlight)
        status.taps = UInt32(clamping: taps.count)
        status.droppedAnswers = droppedAnswers
        status.syncs.count = syncs.count
        status.syncs.nanoseconds = syncs.nanoseconds
        for (bound, count) in zip(DurationHistogram.bounds, syncs.buckets) {
            var bucket = Tocsin_V1_SyncBucket()
            bucket.microseconds = bound
            bucket.count = count
            status.syncs.buckets.append(bucket)
        }
        for (reason, count) in refused { status.refused[reason.name] = count }
        let admissions = admissions()
        status.security.keys = UInt32(clamping: admissions.keys)
        status.security.admitted = admissions.admitted
        status.security.rejected = admissions.rejected
        status.security.cut = access.cut
        status.security.denied = access.denied
        status.pools = core.poolSnapshots(at: now).map { pool in
            var entry = Tocsin_V1_PoolStatus()
            entry.name = pool.name
            entry.filters = pool.filters
            entry.queued = pool.queued
            entry.delayed = pool.delayed
            entry.inFlight = pool.inFlight
            entry.matched = pool.counters.matched
            entry.acked = pool.counters.acked
            entry.dead = pool.dead
            entry.cancelled = pool.counters.cancelled
            entry.discarded = pool.counters.discarded
            entry.staleSettlements = pool.counters.staleSettlements
            entry.deadLettered = pool.counters.deadLettered
            entry.revived = pool.counters.revived
            entry.redelivered = pool.counters.redelivered
            entry.workers = UInt32(clamping: pool.workers)
            entry.oldestMs = pool.oldest
            for (severity, count) in pool.queuedBySeverity where count > 0 { entry.queuedBySeverity["\(severity)"] = count }
            return entry
        }
        // Bounded so that the answer is a message of a call.
        var room = Limits.callMessageBytes / 2
        for peer in core.peerSnapshots(at: now) {
            room -= 256 + (peer.pools + peer.services).reduce(0) { $0 + $1.utf8.count + 4 }
            guard room > 0 else {
                status.peersOmitted += 1
                continue
            }
            var entry = Tocsin_V1_PeerStatus()
            entry.name = peer.description.name
            entry.role = peer.description.role
            entry.software = peer.description.software
            entry.connectedMs = peer.connected
            entry.silentMs = peer.silent
            entry.pools = peer.pools
            entry.services = peer.services
            entry.inFlight = UInt32(clamping: peer.inFlight)
            entry.key = access.peers[peer.peer].flatMap { access.principals?[$0] }.flatMap { $0.hasKey ? $0.name : nil } ?? ""
            status.peers.append(entry)
        }
        return status
    }
}
