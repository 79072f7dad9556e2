import TocsinCore
import TocsinEngine
import TocsinJournal
import TocsinWire

/// An input is a program of hostile peers, one instruction after another. The two low bits of an instruction's first byte say what
/// it is:
///
/// * 0: a message, of the peer in bits 4 and 5, of 1 to 4 parts (bits 2 and 3), each a block (two bytes length, the low one first,
///   and the bytes); bit 6: said to have had more parts than were kept
/// * 1: time passes, so many milliseconds as the next two bytes say
/// * 2: the hub turns, and with bit 2 set what it has to write is written; with bit 3 the honest peer publishes a kibibyte before
/// * 3: the peer in bits 4 and 5 takes what it is sent, does not, or is gone (bits 2 and 3)
enum WireFuzz {
    static let hostile: [PeerID] = [11, 12, 13, 14]

    static func run(_ input: UnsafeRawBufferPointer) throws {
        let disk = FuzzedHub.emptyDisk()
        let clock = VirtualClock()
        var hub = try FuzzedHub(disk, clock: clock)
        try hub.begin()
        try play(input, on: &hub)
        // The worker among the hostile peers may have taken the message meanwhile; that it is stored and seen is promised.
        try hub.serve(FuzzedHub.id(for: input) + [1], worker: false)
        for peer in hostile {
            hub.peers.outcomes[peer] = nil
            hub.send(.goodbye, of: peer)
        }
        try hub.turn()
        try hub.serve(FuzzedHub.id(for: input) + [2], worker: true)
        // One in eight: it takes as long as all the rest.
        if FuzzedHub.id(for: input).last.map({ $0 & 7 == 0 }) == true { try checkJournal(disk, clock) }
    }

    /// Plays the program, and returns what each hostile peer was sent.
    @discardableResult static func play(
        _ input: UnsafeRawBufferPointer, on hub: inout FuzzedHub
    ) throws -> [PeerID: [(header: Header, body: [Bytes])]] {
        var reader = FuzzReader(input)
        while !reader.isAtEnd {
            let instruction = reader.byte()
            let peer = hostile[Int(instruction >> 4 & 3)]
            switch instruction & 3 {
            case 0:
                var parts: [Bytes] = []
                for _ in 0...Int(instruction >> 2 & 3) { parts.append(Bytes(copying: reader.block())) }
                hub.peers.incoming.append(Received(peer: peer, parts: parts, isOverlong: instruction & 0x40 != 0))
            case 1: try hub.wait(milliseconds: reader.word())
            case 2:
                if instruction & 8 != 0 { try hub.publishMuch() }
                try hub.turn(writes: instruction & 4 != 0)
            default:
                switch instruction >> 2 & 3 {
                case 0: hub.peers.outcomes[peer] = nil
                case 1: hub.peers.outcomes[peer] = .full
                default: hub.peers.outcomes[peer] = .unreachable
                }
            }
        }
        try hub.turn()
        let sent = hub.peers.sent
        hub.peers.sent = [:]
        return sent
    }

    /// Whatever was sent, a hub starts with what was written.
    private static func checkJournal(_ disk: SimulatedDisk, _ clock: VirtualClock) throws {
        do {
            let examination = try JournalExamination(disk)
            guard examination.isSound else {
                let problems = examination.survey.damages.map(\.description) + examination.unreadable
                throw Violation(rule: "journal", description: problems.joined(separator: "; "))
            }
            _ = try FuzzedHub(disk, clock: clock)
        } catch let error as JournalError {
            throw Violation(rule: "journal", description: "what the hub has written cannot be read: \(error)")
        }
    }
}
