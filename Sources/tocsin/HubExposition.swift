import TocsinProto

/// A hub's status as Prometheus reads it (text exposition format 0.0.4). Counters restart with the hub where their help says so.
struct HubExposition {
    private(set) var text = ""

    init(_ status: Tocsin_V1_GetStatusResponse) {
        stream(status)
        security(status.security)
        syncs(status.syncs)
        pools(status.pools)
    }

    private mutating func stream(_ status: Tocsin_V1_GetStatusResponse) {
        metric("tocsin_hub_uptime_seconds", "gauge", "Time since the hub's start.", seconds(status.uptimeMs))
        metric("tocsin_hub_epoch", "counter", "Starts of the hub on this journal.", "\(status.epoch)")
        metric("tocsin_stream_accepted_total", "counter", "Messages stored since the journal began.", "\(status.accepted)")
        metric(
            "tocsin_stream_duplicates_total", "counter", "Messages that were stored already, since start.",
            "\(status.duplicates)")
        metric("tocsin_stream_first_sequence", "gauge", "Oldest message kept.", "\(status.firstSequence)")
        metric("tocsin_stream_last_sequence", "gauge", "Newest durable message.", "\(status.lastSequence)")
        metric("tocsin_journal_bytes", "gauge", "What the journal takes on disk.", "\(status.journalBytes)")
        metric("tocsin_peers", "gauge", "Peers with a session.", "\(status.peers.count + Int(status.peersOmitted))")
        metric("tocsin_taps", "gauge", "Taps open.", "\(status.taps)")
        metric("tocsin_calls_in_flight", "gauge", "Calls that are not answered.", "\(status.callsInFlight)")
        metric(
            "tocsin_dropped_answers_total", "counter", "Answers that peers did not take, since start.",
            "\(status.droppedAnswers)")
        family("tocsin_refused_total", "counter", "Requests refused, since start.")
        for (reason, count) in status.refused.sorted(by: { $0.key < $1.key }) {
            sample("tocsin_refused_total", [("reason", reason)], "\(count)")
        }
    }

    private mutating func security(_ security: Tocsin_V1_SecurityStatus) {
        metric("tocsin_keys", "gauge", "Keys that are let in.", "\(security.keys)")
        metric("tocsin_admitted_total", "counter", "Connections let in, since start.", "\(security.admitted)")
        metric("tocsin_cut_total", "counter", "Peers cut off for their key, since start.", "\(security.cut)")
        family("tocsin_rejected_total", "counter", "Connections turned away, since start.")
        for (reason, count) in security.rejected.sorted(by: { $0.key < $1.key }) {
            sample("tocsin_rejected_total", [("reason", reason)], "\(count)")
        }
        family("tocsin_denied_total", "counter", "Requests that a key may not make, since start.")
        for (key, count) in security.denied.sorted(by: { $0.key < $1.key }) {
            sample("tocsin_denied_total", [("key", key)], "\(count)")
        }
    }

    private mutating func syncs(_ syncs: Tocsin_V1_SyncStatus) {
        let name = "tocsin_journal_sync_seconds"
        family(name, "histogram", "Time to write and sync what came together, since start.")
        var counted: UInt64 = 0
        for bucket in syncs.buckets {
            counted += bucket.count
            sample(name + "_bucket", [("le", "\(Double(bucket.microseconds) / 1_000_000)")], "\(counted)")
        }
        sample(name + "_bucket", [("le", "+Inf")], "\(syncs.count)")
        sample(name + "_sum", [], "\(Double(syncs.nanoseconds) / 1_000_000_000)")
        sample(name + "_count", [], "\(syncs.count)")
    }

    private mutating func pools(_ pools: [Tocsin_V1_PoolStatus]) {
        family("tocsin_pool_queued", "gauge", "Messages that wait, delayed ones included.")
        for pool in pools {
            for severity in ["critical", "major", "minor", "info"] {
                let count = pool.queuedBySeverity[severity] ?? 0
                sample("tocsin_pool_queued", [("pool", pool.name), ("severity", severity)], "\(count)")
            }
        }
        let families: [(String, String, String, (Tocsin_V1_PoolStatus) -> String)] = [
            ("tocsin_pool_delayed", "gauge", "Messages that are not due yet.", { "\($0.delayed)" }),
            ("tocsin_pool_in_flight", "gauge", "Messages that workers hold.", { "\($0.inFlight)" }),
            ("tocsin_pool_oldest_seconds", "gauge", "Age of the oldest message that waits.", { seconds($0.oldestMs) }),
            ("tocsin_pool_workers", "gauge", "Subscriptions.", { "\($0.workers)" }),
            ("tocsin_pool_dead", "gauge", "Dead letters.", { "\($0.dead)" }),
            ("tocsin_pool_matched_total", "counter", "Messages for the pool since the journal began.", { "\($0.matched)" }),
            ("tocsin_pool_acked_total", "counter", "Messages acknowledged since the journal began.", { "\($0.acked)" }),
            (
                "tocsin_pool_dead_lettered_total", "counter", "Messages given up since the journal began.",
                { "\($0.deadLettered)" }
            ),
            ("tocsin_pool_redelivered_total", "counter", "Deliveries to be repeated, since start.", { "\($0.redelivered)" }),
            (
                "tocsin_pool_stale_settlements_total", "counter", "Settlements that came too late, since start.",
                { "\($0.staleSettlements)" }
            ),
        ]
        for (name, type, help, value) in families {
            family(name, type, help)
            for pool in pools { sample(name, [("pool", pool.name)], value(pool)) }
        }
    }

    private mutating func metric(_ name: String, _ type: String, _ help: String, _ value: String) {
        family(name, type, help)
        sample(name, [], value)
    }

    private mutating func family(_ name: String, _ type: String, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    /// Names of pools, keys and reasons hold nothing that had to be escaped in a label.
    private mutating func sample(_ name: String, _ labels: [(String, String)], _ value: String) {
        let pairs = labels.map { "\($0.0)=\"\($0.1)\"" }.joined(separator: ",")
        text += pairs.isEmpty ? "\(name) \(value)\n" : "\(name){\(pairs)} \(value)\n"
    }
}

/// Milliseconds as Prometheus wants them.
private func seconds(_ milliseconds: UInt64) -> String { "\(Double(milliseconds) / 1000)" }
