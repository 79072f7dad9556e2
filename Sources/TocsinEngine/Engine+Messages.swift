import SwiftProtobuf
import TocsinAccess
import TocsinCore
import TocsinJournal
import TocsinProto
import TocsinWire

extension Engine {
    /// One message from a peer, whatever its bytes.
    mutating func handle(_ received: Received, _ now: Moment) throws {
        let peer = received.peer
        guard let first = received.parts.first else { return }
        let header: Header
        do { header = try Header(first.buffer) } catch {
            // The header of a later kind is laid out like the others, so its sender learns which request it was.
            let id = error.reason == .unknownKind ? first.buffer.bigEndian(UInt64.self, at: 8) : 0
            return refuse(peer, id, error)
        }
        do {
            let frames = received.parts.count - 1
            guard !received.isOverlong, header.kind.bodyFrames.contains(frames) else {
                throw WireError(
                    .frameCount,
                    "\(header.kind) has \(received.isOverlong ? "too many" : "\(frames)") body frames; \(header.kind.bodyFrames.lowerBound) to \(header.kind.bodyFrames.upperBound) are expected"
                )
            }
            for part in received.parts.dropFirst() where part.count > Limits.bodyBytes {
                throw WireError(.tooLarge, "a body frame of \(part.count) bytes; the limit is \(Limits.bodyBytes)")
            }
            try take(header, received, now)
        } catch let error as WireError {
            switch header.kind {
            // A call that has lost a frame is of no more use.
            case .call, .message, .headers, .reply, .window: try step(.broken(peer, id: header.id, error), now)
            default: refuse(peer, header.id, error)
            }
        }
    }

    private mutating func take(_ header: Header, _ received: Received, _ now: Moment) throws {
        let peer = received.peer
        let parts = received.parts
        let principal = try principal(of: received)
        switch header.kind {
        case .hello:
            let hello: Tocsin_V1_Hello = try Self.decode(parts[1])
            let description = PeerDescription(
                name: hello.name.shortened(to: 64), role: hello.role.shortened(to: 64),
                software: hello.software.shortened(to: 64))
            try checkPeers(principal, peer)
            try step(.hello(peer, description), now)
            if principal != nil, core.isWelcomed(peer) { access.peers[peer] = received.principal }
        case .heartbeat: try step(.heartbeat(peer, id: header.id), now)
        case .goodbye:
            dropTaps(of: peer)
            try step(.lost(peer), now)
        case .publish: try publish(header, received, principal, now)
        case .declare:
            let spec: Tocsin_V1_PoolSpec = try Self.decode(parts[1])
            // With room to spare: replay must meet the pool before any message that was routed to it.
            guard case .ready = makeRoom(0, now), flushControl(now), journal.room >= reserve / 2 else {
                throw WireError(.storageFailed, "the hub cannot write now; declare the pool again later")
            }
            let definition = try PoolDefinition(
                name: spec.name, filters: spec.filters, visibility: spec.visibilityMs == 0 ? 30_000 : UInt64(spec.visibilityMs),
                maxAttempts: spec.maxAttempts == 0 ? 5 : spec.maxAttempts, fromStart: spec.fromStart,
                backoff: UInt64(spec.backoffMs), exclusive: spec.exclusive)
            try checkDeclare(principal, definition)
            try step(.declare(peer, request: header.id, definition), now)
            _ = flushControl(now)
        case .subscribe:
            let spec: Tocsin_V1_Subscribe = try Self.decode(parts[1])
            guard !taps.contains(where: { $0.peer == peer && $0.id == header.id }) else {
                throw WireError(.badBody, "id \(header.id) is a tap's; choose another for the subscription")
            }
            try checkConsume(principal, spec.pool)
            try step(.subscribe(peer, subscription: header.id, pool: spec.pool, credit: spec.credit), now)
        case .credit:
            if let tap = taps.firstIndex(where: { $0.peer == peer && $0.id == header.id }) {
                try addTapCredit(tap, header.count, now)
            } else {
                try step(.credit(peer, subscription: header.id, header.count), now)
            }
        case .settle: try settle(header, received, now)
        case .unsubscribe:
            if let tap = taps.firstIndex(where: { $0.peer == peer && $0.id == header.id }) {
                taps.remove(at: tap)
            } else {
                try step(.unsubscribe(peer, subscription: header.id), now)
            }
        case .tap: try tap(header, parts[1], peer, principal, now)
        case .serve:
            let serve: Tocsin_V1_Serve = try Self.decode(parts[1])
            guard !serve.service.isEmpty, serve.service.utf8.count <= Limits.subjectBytes else {
                throw WireError(.badBody, "a service is named package.Service, with 1 to \(Limits.subjectBytes) bytes")
            }
            guard serve.service != Core.ownService else {
                throw WireError(.notAllowed, "\(serve.service) is served by the hub itself")
            }
            if serve.withdraw {
                try step(.withdraw(peer, request: header.id, service: serve.service), now)
            } else {
                try checkServe(principal, serve.service)
                try step(.serve(peer, request: header.id, service: serve.service, exclusive: serve.exclusive), now)
            }
        case .call: try call(header, received, principal, now)
        case .message:
            let frame = try Self.frame(header, parts, metadata: false)
            guard frame.count > 0 || frame.isLast else {
                throw WireError(.badCall, "a frame without messages that does not end the requests")
            }
            try step(.message(peer, id: header.id, frame), now)
        case .headers:
            let frame = try Self.frame(header, parts, metadata: true)
            let _: Tocsin_V1_CallStart = try Self.decode(parts[1])
            try step(.headers(peer, id: header.id, frame), now)
        case .reply:
            let frame = try Self.frame(header, parts, metadata: true)
            let _: Tocsin_V1_CallTail = try Self.decode(parts[1])
            try step(.reply(peer, id: header.id, frame), now)
        case .cancel: try step(.cancel(peer, id: header.id), now)
        case .window: try step(.window(peer, id: header.id, header.count), now)
        case .welcome, .status, .accepted, .deliver, .tapped, .gap:
            throw WireError(.unknownKind, "\(header.kind) is what the hub sends, not a peer")
        }
    }

    private mutating func publish(
        _ header: Header, _ received: Received, _ principal: Principal?, _ now: Moment
    ) throws {
        let body = received.parts[1]
        guard core.welcomed(received.peer, id: header.id, now, &effects) else { return try perform(now) }
        guard !isDraining else {
            throw WireError(.shuttingDown, "the hub is about to end; nothing was stored, send it again to the next")
        }
        try checkLimits(principal, bytes: body.count, now)
        var metas: [MessageMeta] = []
        var offsets: [UInt32] = []
        let asked = principal.flatMap { $0.permissions.publish.isEverything ? nil : $0 }
        let expected = min(Int(header.count), Limits.batch)
        metas.reserveCapacity(expected)
        offsets.reserveCapacity(expected)
        let count = try LengthPrefixed.forEach(in: body.buffer) { (index, offset, message) throws(WireError) in
            do throws(WireError) {
                let view = try EnvelopeView(scanning: message)
                if let asked, !mayPublish(asked, view.subject) {
                    throw denied(
                        asked, "publish on \"\(String(decoding: view.subject, as: UTF8.self))\"",
                        may: "publish \(asked.permissions.publish)")
                }
                metas.append(try core.examine(view))
            } catch {
                throw WireError(error.reason, error.message, index: index)
            }
            offsets.append(UInt32(truncatingIfNeeded: offset))
        }
        guard count == Int(header.count) else {
            throw WireError(.badLengthPrefix, "the header announces \(header.count) messages, the body has \(count)")
        }
        guard count > 0 else { throw WireError(.badBody, "a publish without messages") }
        switch makeRoom(body.count, forNew: true, now) {
        case .ready: break
        case .soon: return hold(received)
        case .never(let error): throw error
        }
        takeFromLimits(principal, messages: count, bytes: body.count, now)
        incoming = (body, offsets)
        try step(.publish(received.peer, request: header.id, metas), now)
        incoming = nil
    }

    private mutating func settle(_ header: Header, _ received: Received, _ now: Moment) throws {
        let table = received.parts[1].buffer
        let rows = Int(header.count)
        guard rows > 0, rows <= Limits.batch, table.count == rows * SettleEntry.size else {
            throw WireError(
                .badBody,
                "a settle table of \(table.count) bytes for \(rows) rows; 1 to \(Limits.batch) rows of \(SettleEntry.size) are possible"
            )
        }
        var entries: [SettleEntry] = []
        entries.reserveCapacity(rows)
        for row in 0..<rows { entries.append(try SettleEntry(table, at: row)) }
        var reasons: [String] = []
        if received.parts.count > 2 {
            _ = try LengthPrefixed.forEach(in: received.parts[2].buffer, atMost: rows) { (_, _, text) throws(WireError) in
                reasons.append(String(decoding: text.prefix(1024), as: UTF8.self))
            }
        }
        try step(.settle(received.peer, subscription: header.id, entries, reasons: reasons), now)
        if core.controlBytes > reserve / 4 { _ = flushControl(now) }
    }

    private mutating func call(
        _ header: Header, _ received: Received, _ principal: Principal?, _ now: Moment
    ) throws {
        var frame = try Self.frame(header, received.parts, metadata: true)
        let head: Tocsin_V1_CallHead = try Self.decode(received.parts[1])
        guard let slash = head.method.lastIndex(of: "/"), slash > head.method.startIndex else {
            throw WireError(.badBody, "\"\(head.method.prefix(64))\" is not package.Service/Method")
        }
        let service = String(head.method[..<slash])
        frame.frames[0] = try checkCall(principal, head, received.parts[1])
        try step(.call(received.peer, id: header.id, service: service, timeout: UInt64(head.timeoutMs), frame), now)
    }

    /// A frame of a call: `metadata` is the first of its body frames, messages are the rest. Looks at prefixes alone.
    private static func frame(_ header: Header, _ parts: [Bytes], metadata: Bool) throws(WireError) -> CallFrame {
        if metadata, parts[1].count > Limits.metadataBytes {
            throw WireError(.tooLarge, "metadata of \(parts[1].count) bytes; the limit is \(Limits.metadataBytes)")
        }
        let first = metadata ? 2 : 1
        var frame = CallFrame(Array(parts.dropFirst()))
        frame.isLast = header.flags & Header.halfClose != 0
        if parts.count > first {
            let messages = parts[first].buffer
            var last = 0
            frame.count = try LengthPrefixed.forEach(in: messages, atMost: .max, messageBytes: Limits.callMessageBytes) {
                (_, offset, _) throws(WireError) in last = offset
            }
            frame.bytes = messages.count
            frame.lastOffset = last
        }
        guard frame.count == Int(header.count) else {
            throw WireError(.badLengthPrefix, "the header announces \(header.count) messages, the body has \(frame.count)")
        }
        return frame
    }

    // MARK: Carrying out

    mutating func step(_ event: Event, _ now: Moment) throws {
        core.step(event, at: now, into: &effects)
        try perform(now)
    }

    /// Carries out the effects in order. What goes wrong with a peer becomes an event and so more effects, until none are left.
    mutating func perform(_ now: Moment) throws {
        var position = 0
        while position < effects.count {
            let effect = effects[position]
            position += 1
            switch effect {
            case .appendMessages(let firstSequence, let kept): try appendMessages(firstSequence, kept, now)
            case .welcome(let peer): send(peer, Header(.welcome), [welcome()], now)
            case .heartbeat(let peer, let id): send(peer, Header(.heartbeat, id: id), [], now)
            case .status(let peer, let id, let error): status(peer, id, error, now)
            case .accepted(let peer, let request, let firstSequence, let stored, let duplicates):
                var accepted = Tocsin_V1_Accepted()
                accepted.firstSequence = firstSequence
                accepted.stored = UInt32(stored)
                accepted.duplicates = UInt32(duplicates)
                send(peer, Header(.accepted, id: request), [try Self.encode(accepted)], now)
            case .deliver(let peer, let subscription, let table): try deliver(peer, subscription, table, now)
            case .forward(let peer, let header, let frames):
                if peer == Core.hubPeer {
                    try administer(header, frames, now)
                } else if link.send(peer, header, frames) != .sent {
                    lose(peer, now)
                }
            case .forgotten(let peer, _):
                access.peers[peer] = nil
                dropTaps(of: peer)
                parked.removeAll { $0.peer == peer }
                link.release(peer)
            }
        }
        effects.removeAll(keepingCapacity: true)
    }

    private mutating func appendMessages(_ firstSequence: UInt64, _ kept: [Int]?, _ now: Moment) throws {
        guard let (body, offsets) = incoming else { return }
        precondition(firstSequence == journal.nextSequence, "core and journal count the same sequences")
        guard let kept else {
            append(.messages, body, offsets: offsets, now)
            return
        }
        var writer = ByteWriter(capacity: body.count)
        var places: [UInt32] = []
        places.reserveCapacity(kept.count)
        for index in kept {
            let start = Int(offsets[index])
            let end = index + 1 < offsets.count ? Int(offsets[index + 1]) : body.count
            places.append(UInt32(writer.count))
            writer.append(body.buffer.part(start, end - start))
        }
        append(.messages, writer.finish(), offsets: places, now)
    }

    /// A peer that is gone, or does not take what it asked for, is treated as lost: what it held goes to others.
    mutating func lose(_ peer: PeerID, _ now: Moment) {
        dropTaps(of: peer)
        core.step(.lost(peer), at: now, into: &effects)
    }

    /// An answer that a peer does not take is not dropped in silence: the peer would wait for it as long as it is connected.
    mutating func send(_ peer: PeerID, _ header: Header, _ body: [Bytes], _ now: Moment) {
        let outcome = link.send(peer, header, body)
        if outcome == .sent { return }
        droppedAnswers += 1
        if outcome == .unreachable || header.kind != .heartbeat { lose(peer, now) }
    }

    private mutating func status(_ peer: PeerID, _ id: UInt64, _ error: WireError, _ now: Moment) {
        if error.reason != .ok { refused[error.reason, default: 0] += 1 }
        var status = Tocsin_V1_Status()
        status.code = error.reason.code
        status.reason = error.reason.name
        status.message = error.message
        status.index = UInt32(clamping: error.index)
        status.retryAfterMs = UInt32(clamping: error.retryAfter)
        do {
            send(peer, Header(.status, id: id, reason: error.reason.rawValue), [try Self.encode(status)], now)
        } catch {
            droppedAnswers += 1
        }
    }

    private mutating func refuse(_ peer: PeerID, _ id: UInt64, _ error: WireError) {
        // Also from a peer without a session: it is told, and it counts.
        status(peer, id, error, clock.now())
    }

    private func welcome() -> Bytes {
        var welcome = Tocsin_V1_Welcome()
        welcome.hub = options.software
        welcome.hubID = withUnsafeBytes(of: core.publicIdentity.bigEndian) { .init($0) }
        welcome.epoch = journal.identity.epoch
        welcome.heartbeatMs = UInt32(options.core.heartbeat)
        welcome.maxMessageBytes = UInt32(Limits.messageBytes)
        welcome.maxBodyBytes = UInt32(min(Limits.bodyBytes, journal.options.segmentBytes - 2 * reserve))
        welcome.maxBatch = UInt32(Limits.batch)
        do { return try Self.encode(welcome) } catch { return Bytes([]) }
    }

    static func encode(_ message: some SwiftProtobuf.Message) throws -> Bytes {
        Bytes(try message.serializedBytes() as [UInt8])
    }

    /// Throws `badBody`.
    static func decode<M: SwiftProtobuf.Message>(_ bytes: Bytes) throws(WireError) -> M {
        do { return try M(serializedBytes: bytes.array) } catch {
            throw WireError(.badBody, "the body is not a \(M.protoMessageName)")
        }
    }
}
