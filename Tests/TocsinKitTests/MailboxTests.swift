import Glibc
import Testing

@testable import TocsinKit

@Suite("Settlements on their way to the client's thread") struct MailboxTests {
    private let mailbox: Mailbox
    private let subscription: UInt64 = 7

    init() throws {
        mailbox = try Mailbox()
        mailbox.opened(subscription, credit: 8)
    }

    private var isSignalled: Bool {
        var item = pollfd(fd: mailbox.events.descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&item, 1, 0) == 1
    }

    /// Rows that the thread gets; nil if it is to look again.
    private func take(isDue: Bool) -> Int? {
        var commands: [Command] = []
        var settlements: [UInt64: [SettleChunk]] = [:]
        guard mailbox.take(&commands, &settlements, isDue: isDue) else {
            #expect(settlements.isEmpty)
            return nil
        }
        return settlements[subscription, default: []].reduce(0) { $0 + $1.rows }
    }

    private func settle(_ count: Int, key: String = "", _ settlement: Settlement = .ack) {
        let message = Message(subject: "a.b", key: key, payload: [])
        let delivery = Delivery(message: message, sequence: 1, token: 1, attempt: 1, session: 1)
        mailbox.settle(Array(repeating: (delivery.lease, settlement), count: count), subscription: subscription)
    }

    @Test("while credit is left they wait for the look that a delivery announces; those that come after it signal")
    func lazily() {
        for _ in 0..<3 {
            mailbox.delivered(3, subscription: subscription)
            settle(1)
            settle(2)
            #expect(!isSignalled)
            #expect(take(isDue: false) == nil)
            #expect(take(isDue: true) == 3)
        }
        mailbox.delivered(1, subscription: subscription)
        #expect(take(isDue: true) == 0)
        settle(1)
        #expect(isSignalled)
        #expect(take(isDue: true) == 1)
        #expect(!isSignalled)
    }

    @Test("with half of the credit used they go at once, and a session that is over uses none")
    func short() {
        mailbox.delivered(3, subscription: subscription)
        settle(1)
        #expect(!isSignalled)
        mailbox.delivered(1, subscription: subscription)
        settle(1)
        #expect(isSignalled)
        #expect(take(isDue: false) == 2)
        mailbox.delivered(2, subscription: subscription)
        mailbox.forget(nil)
        mailbox.delivered(3, subscription: subscription)
        settle(1)
        #expect(!isSignalled)
        #expect(take(isDue: true) == 1)
    }

    @Test(
        "what holds up the next message of a key, or is to be tried again, goes at once",
        arguments: [("key", Settlement.ack), ("", .retry(after: .zero, reason: "")), ("", .reject(reason: "no"))])
    func urgently(_ key: String, _ settlement: Settlement) {
        mailbox.delivered(1, subscription: subscription)
        settle(1, key: key, settlement)
        #expect(isSignalled)
        #expect(take(isDue: false) == 1)
    }

    @Test("they go before the end of their subscription or client")
    func beforeTheEnd() throws {
        for end in [Command.closeStream(subscription), .close(nil)] {
            mailbox.delivered(1, subscription: subscription)
            settle(1)
            #expect(!isSignalled)
            try mailbox.post(end)
            #expect(isSignalled)
            #expect(take(isDue: false) == 1)
        }
    }
}
