import TocsinAccess
import TocsinCore
import TocsinJournal
import TocsinProto
import TocsinWire

/// A reader of the stream.
struct TapState {
    var peer: PeerID
    var id: UInt64
    var filters: [SubjectFilter]
    /// What it may see of that; nil: all.
    var rules: SubjectRules?
    var credit: Int
    /// The sequence to look at next.
    var next: UInt64
}

extension Engine {
    mutating func tap(
        _ header: Header, _ body: Bytes, _ peer: PeerID, _ principal: Principal?, _ now: Moment
    ) throws {
        let request: Tocsin_V1_Tap = try Self.decode(body)
        guard core.welcomed(peer, id: header.id, now, &effects) else { return try perform(now) }
        guard !request.filters.isEmpty, request.filters.count <= Limits.filters else {
            throw WireError(.badBody, "a tap has 1 to \(Limits.filters) filters")
        }
        guard request.credit >= 1, request.credit <= UInt32(Limits.credit) else {
            throw WireError(.badCredit, "credit \(request.credit); 1 to \(Limits.credit) are possible")
        }
        let own = taps.count { $0.peer == peer }
        guard own < Limits.subscriptions else {
            throw WireError(.tooMany, "a peer has at most \(Limits.subscriptions) taps")
        }
        guard !core.hasSubscription(peer, header.id), !taps.contains(where: { $0.peer == peer && $0.id == header.id }) else {
            throw WireError(.badBody, "id \(header.id) is in use; choose another for the tap")
        }
        var filters: [SubjectFilter] = []
        for filter in request.filters { filters.append(try SubjectFilter(filter)) }
        let rules = try checkTap(principal, filters)
        let next: UInt64
        switch request.start {
        case .sequence(let sequence): next = max(1, sequence)
        case .time(let time): next = journal.sequence(at: time)
        case nil: next = core.durableSequence + 1
        }
        taps.append(TapState(peer: peer, id: header.id, filters: filters, rules: rules, credit: Int(request.credit), next: next))
        effects.append(.status(peer, id: header.id, WireError(.ok, "")))
        try perform(now)
    }

    mutating func addTapCredit(_ tap: Int, _ more: UInt32, _ now: Moment) throws {
        guard core.welcomed(taps[tap].peer, id: taps[tap].id, now, &effects) else { return try perform(now) }
        let total = taps[tap].credit + Int(more)
        guard more >= 1, total <= Limits.credit else {
            throw WireError(.badCredit, "\(more) more would make \(total); 1 to \(Limits.credit) are possible")
        }
        taps[tap].credit = total
    }

    mutating func dropTaps(of peer: PeerID) { taps.removeAll { $0.peer == peer } }

    /// Gives each tap some of what it has not seen. True if one could take more at once.
    mutating func advanceTaps(_ now: Moment) throws -> Bool {
        var more = false
        var lost: [PeerID] = []
        for index in taps.indices where taps[index].credit > 0 && taps[index].next <= core.durableSequence {
            guard !link.isBusy(taps[index].peer) else {
                isWaitingForReader = true
                continue
            }
            guard try advance(index) else {
                lost.append(taps[index].peer)
                continue
            }
            if taps[index].credit > 0, taps[index].next <= core.durableSequence { more = true }
        }
        for peer in lost {
            dropTaps(of: peer)
            core.step(.lost(peer), at: now, into: &effects)
        }
        if !lost.isEmpty { try perform(now) }
        return more
    }

    /// False if the peer does not take what it is sent.
    private mutating func advance(_ index: Int) throws -> Bool {
        let peer = taps[index].peer
        let id = taps[index].id
        if taps[index].next < journal.firstSequence {
            guard try skip(index, to: journal.firstSequence - 1, "no longer kept") else { return false }
        }
        while let loss = journal.loss(at: taps[index].next), loss.lowerBound <= core.durableSequence {
            guard try skip(index, to: loss.upperBound, "lost in a repair of the journal") else { return false }
        }
        var table = ByteWriter()
        var body = ByteWriter(capacity: 4096)
        var count = 0
        let end = min(core.durableSequence, taps[index].next + UInt64(options.tappedPerTurn) - 1)
        while taps[index].next <= end, count < taps[index].credit, body.count < options.deliveryBytes {
            let sequence = taps[index].next
            guard let slice = try journal.message(sequence) else { break }
            let view = try EnvelopeView(scanning: slice.envelope)
            if taps[index].filters.contains(where: { $0.matches(view.subject) }), taps[index].rules?.allows(view.subject) ?? true
            {
                if body.count > 0, body.count + slice.count > Limits.bodyBytes { break }
                table.extend(by: 8).storeBigEndian(sequence, at: 0)
                body.append(slice.framed)
                count += 1
            }
            taps[index].next += 1
        }
        guard count > 0 else { return true }
        taps[index].credit -= count
        return link.send(peer, Header(.tapped, id: id, count: count), [table.finish(), body.finish()]) == .sent
    }

    /// Tells a tap what it will not see. False if the peer does not take it.
    private mutating func skip(_ index: Int, to last: UInt64, _ reason: String) throws -> Bool {
        var gap = Tocsin_V1_Gap()
        gap.first = taps[index].next
        gap.last = last
        gap.reason = reason
        let body = try Self.encode(gap)
        guard link.send(taps[index].peer, Header(.gap, id: taps[index].id), [body]) == .sent else { return false }
        taps[index].next = last + 1
        return true
    }
}
