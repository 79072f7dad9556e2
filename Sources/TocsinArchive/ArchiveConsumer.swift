import Logging
import TocsinKit
import TocsinPosix
import TocsinProto

/// Why nothing can be written now, and what could not be.
struct Blockage: Sendable {
    var error: ArchiveError
    var items: [ArchiveItem]
}

/// Applies deliveries in batches and says how each is settled.
struct ArchiveConsumer: Sendable {
    let store: ArchiveStore
    /// Messages in one transaction, at most.
    let batchMax: Int
    let logger: Logger
    /// Called after a batch put changes into the outbox.
    let changed: @Sendable () -> Void

    /// Until the intake ends (nil), or the archive cannot be written; what was not settled by then is the hub's.
    ///
    /// - Throws: `ArchiveError` that no waiting will cure, `CancellationError`.
    func run(_ intake: Intake, settle: ([(Delivery, Settlement)]) -> Void) async throws -> Blockage? {
        while let deliveries = await intake.take(batchMax) {
            try Task.checkCancellation()
            do {
                settle(try await apply(deliveries))
            } catch let error as ArchiveError where error.isTransient {
                return Blockage(error: error, items: Self.readable(deliveries))
            }
        }
        return nil
    }

    /// Applies what could not be written. Nothing is settled: the hub delivers it again, and it has no second effect.
    ///
    /// This is how it is found out that the archive can be written again. Anything smaller might find room where the
    /// messages that wait do not.
    ///
    /// - Throws: `ArchiveError`, `CancellationError`.
    func retry(_ blockage: Blockage) async throws {
        if try await applyIsolating(blockage.items).changes > 0 { changed() }
    }

    /// One settlement for each delivery. They are committed when this returns.
    func apply(_ deliveries: [Delivery]) async throws -> [(Delivery, Settlement)] {
        var settlements = deliveries.map { ($0, Settlement.ack) }
        var items: [ArchiveItem] = []
        var places: [Int] = []
        items.reserveCapacity(deliveries.count)
        places.reserveCapacity(deliveries.count)
        for (index, delivery) in deliveries.enumerated() {
            switch Self.item(delivery) {
            case .success(let item):
                items.append(item)
                places.append(index)
            case .failure(let problem): settlements[index].1 = .reject(reason: problem.reason)
            }
        }
        let applied = try await applyIsolating(items)
        for (index, reason) in applied.rejected { settlements[places[index]].1 = .reject(reason: reason) }
        if applied.changes > 0 { changed() }
        report(settlements)
        return settlements
    }

    /// Applies a batch; if it fails for what is in it, each message alone, so that one cannot hold up the others for ever.
    private func applyIsolating(_ items: [ArchiveItem]) async throws -> AppliedBatch {
        if items.isEmpty { return AppliedBatch() }
        let now = MachineClock.wall()
        do {
            return try await store.apply(items, now: now)
        } catch let error as ArchiveError where error.code == .other {
            logger.error("a batch could not be applied; its messages are tried alone", metadata: ["reason": "\(error)"])
        }
        var result = AppliedBatch()
        for (index, item) in items.enumerated() {
            do {
                let one = try await store.apply([item], now: now)
                result.changes += one.changes
                if let reason = one.rejected[0] { result.rejected[index] = reason }
            } catch let error as ArchiveError where error.code == .other {
                result.rejected[index] = error.message
            }
        }
        return result
    }

    private static func readable(_ deliveries: [Delivery]) -> [ArchiveItem] {
        deliveries.compactMap { if case .success(let item) = item($0) { item } else { nil } }
    }

    private struct Unreadable: Error {
        var reason: String
    }

    private static func item(_ delivery: Delivery) -> Result<ArchiveItem, Unreadable> {
        let message = delivery.message
        do {
            if message.subject.hasPrefix("alert.") {
                var update = try message.decode(Tocsin_V1_AlertUpdate.self)
                if update.id.isEmpty { update.id = text(ofID: message.id) }
                return .success(ArchiveItem(sequence: delivery.sequence, content: .alert(update)))
            }
            if message.subject.hasPrefix("silence.") {
                return .success(
                    ArchiveItem(sequence: delivery.sequence, content: .silence(try message.decode(Tocsin_V1_Silence.self))))
            }
            if message.subject.hasPrefix("change.") {
                return .success(
                    ArchiveItem(
                        sequence: delivery.sequence, content: .change(try message.decode(Tocsin_V1_ChangeRecord.self))))
            }
            if message.subject.hasPrefix("response.") {
                var report = try message.decode(Tocsin_V1_ResponseReport.self)
                if report.id.isEmpty { report.id = text(ofID: message.id) }
                return .success(ArchiveItem(sequence: delivery.sequence, content: .report(report)))
            }
        } catch {
            return .failure(
                Unreadable(reason: "the payload on \(message.subject) is not what belongs there: \(error)"))
        }
        return .failure(
            Unreadable(reason: "the archive takes alert.>, response.>, silence.> and change.>, not \(message.subject)"))
    }

    /// Any id as text; those that are text stay as they are.
    private static func text(ofID id: [UInt8]) -> String {
        if let text = String(validating: id, as: UTF8.self) { return text }
        let digits = Array("0123456789abcdef")
        return String(id.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    /// One line for a batch, however much of it was rejected.
    private func report(_ settlements: [(Delivery, Settlement)]) {
        var rejected = 0
        var example = ""
        for (_, settlement) in settlements {
            guard case .reject(let reason) = settlement else { continue }
            rejected += 1
            example = reason
        }
        guard rejected > 0 else { return }
        logger.warning(
            "some messages cannot be archived; they become dead letters",
            metadata: ["rejected": "\(rejected)", "reason": "\(example)"])
    }
}
