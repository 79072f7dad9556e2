import GRDB

/// The tables of the archive. A new version adds a migration; those that were released are never changed.
enum Schema {
    /// "TCSN" as SQLite's application id: tells an archive from some other program's database.
    static let applicationID: Int32 = 0x5443_534E

    /// Fates of an event. Written in the table: never renumbered.
    enum Fate: Int64 {
        case handled = 1
        case suppressed = 2
    }

    /// Keys of `counters`.
    enum Counter: String, CaseIterable {
        /// Highest sequence of the stream that was applied.
        case position
        case handled
        case suppressed
        case redelivered
        /// Events of alerts that retention has removed.
        case purged
    }

    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1: incidents, alerts, timeline, events, outbox") { db in
            try db.execute(sql: "PRAGMA application_id = \(applicationID)")
            try db.execute(sql: tables)
        }
        migrator.registerMigration("2: merge, split, severity") { try $0.execute(sql: mergeAndSplit) }
        migrator.registerMigration("3: audit trail") { try $0.execute(sql: auditTrail) }
        migrator.registerMigration("4: sealed personal data, traffic light, need to know") {
            try $0.execute(sql: personalData)
        }
        migrator.registerMigration("5: why, silences, holding back, correlation") { try $0.execute(sql: attention) }
        migrator.registerMigration("6: what was changed") { try $0.execute(sql: changes) }
        return migrator
    }

    // `judgements`: how triage judged; one row for all events of an alert that were judged alike, and `events.judgement` names it.
    // `decisions`: what the archive decided about an alert, at which event (empty: time passed). Both have `decisions` as JSON.
    // `holds`: alerts that fire and are kept from telling, and why; `facts` is what they will tell. `due`: when it is looked at
    // again; 0: when the alert `inhibitor` ends. `inhibitors`: alerts that fire and explain others. `correlations`: by what an
    // incident is found again; `summary`: of key "summary" the alert's, of a host's what is behind its first name. `alerts.changes`: when it last began and ended, JSON.
    private static let attention = """
        ALTER TABLE events ADD COLUMN judgement INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE alerts ADD COLUMN source TEXT NOT NULL DEFAULT '';
        ALTER TABLE alerts ADD COLUMN changes TEXT NOT NULL DEFAULT '';
        CREATE INDEX alerts_open ON alerts (state) WHERE state IN ('firing', 'suppressed');
        ALTER TABLE incidents ADD COLUMN routes TEXT NOT NULL DEFAULT '';
        ALTER TABLE incidents ADD COLUMN pages TEXT NOT NULL DEFAULT '';

        CREATE TABLE judgements (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            fingerprint TEXT NOT NULL,
            digest BLOB NOT NULL,
            time INTEGER NOT NULL,
            policy TEXT NOT NULL,
            decisions TEXT NOT NULL,
            UNIQUE (fingerprint, digest)
        ) STRICT;

        CREATE TABLE decisions (
            id INTEGER PRIMARY KEY,
            fingerprint TEXT NOT NULL,
            time INTEGER NOT NULL,
            event TEXT NOT NULL,
            incident INTEGER NOT NULL,
            policy TEXT NOT NULL,
            decisions TEXT NOT NULL
        ) STRICT;
        CREATE INDEX decisions_by_alert ON decisions (fingerprint, id);

        CREATE TABLE silences (
            id TEXT NOT NULL PRIMARY KEY,
            matchers TEXT NOT NULL,
            starts_at INTEGER NOT NULL,
            ends_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            created_by TEXT NOT NULL,
            comment TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX silences_by_end ON silences (ends_at);

        CREATE TABLE holds (
            fingerprint TEXT NOT NULL PRIMARY KEY,
            kind TEXT NOT NULL,
            rule TEXT NOT NULL,
            inhibitor TEXT NOT NULL,
            due INTEGER NOT NULL,
            fires INTEGER NOT NULL,
            facts TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX holds_by_due ON holds (due);
        CREATE INDEX holds_by_inhibitor ON holds (inhibitor);

        CREATE TABLE inhibitors (
            rule TEXT NOT NULL,
            equal TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            is_target INTEGER NOT NULL,
            PRIMARY KEY (rule, equal, fingerprint)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX inhibitors_by_alert ON inhibitors (fingerprint);

        CREATE TABLE correlations (
            key TEXT NOT NULL,
            incident INTEGER NOT NULL,
            fingerprint TEXT NOT NULL,
            at INTEGER NOT NULL,
            source TEXT NOT NULL,
            summary TEXT NOT NULL,
            PRIMARY KEY (key, incident, fingerprint)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX correlations_by_time ON correlations (key, at);
        CREATE INDEX correlations_by_incident ON correlations (incident);
        """

    private static let changes = """
        CREATE TABLE changes (
            id TEXT NOT NULL PRIMARY KEY,
            service TEXT NOT NULL,
            changed_at INTEGER NOT NULL,
            kind TEXT NOT NULL,
            author TEXT NOT NULL,
            summary TEXT NOT NULL,
            url TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX changes_by_time ON changes (changed_at DESC, id);
        CREATE INDEX changes_by_service ON changes (service, changed_at);
        """

    // AuditTrail.md says what is in them. `events.batch`: first record of the transaction that added the event; 0: it is from
    // before there was a trail.
    private static let auditTrail = """
        ALTER TABLE events ADD COLUMN batch INTEGER NOT NULL DEFAULT 0;

        CREATE TABLE audit (
            sequence INTEGER PRIMARY KEY,
            time INTEGER NOT NULL,
            actor TEXT NOT NULL,
            caller TEXT NOT NULL,
            incident INTEGER NOT NULL,
            verb TEXT NOT NULL,
            before TEXT NOT NULL,
            after TEXT NOT NULL,
            row_table TEXT NOT NULL,
            row_key TEXT NOT NULL,
            was BLOB NOT NULL,
            digest BLOB NOT NULL,
            hash BLOB NOT NULL
        ) STRICT;

        CREATE TABLE audit_head (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            archive_id BLOB NOT NULL,
            sequence INTEGER NOT NULL,
            hash BLOB NOT NULL,
            time INTEGER NOT NULL,
            public_key BLOB NOT NULL,
            signature BLOB NOT NULL
        ) STRICT;

        CREATE TABLE audit_checkpoints (
            sequence INTEGER PRIMARY KEY,
            hash BLOB NOT NULL,
            time INTEGER NOT NULL,
            signature BLOB NOT NULL
        ) STRICT;
        """

    // From here on names of people are sealed in every text: SealedText. `need_to_know` is JSON.
    private static let personalData = """
        ALTER TABLE incidents ADD COLUMN traffic_light INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE incidents ADD COLUMN need_to_know TEXT NOT NULL DEFAULT '[]';

        -- The keys of people, wrapped with the master key; empty from when the person was erased on. What comes later about the
        -- same person has the next generation.
        CREATE TABLE subjects (
            id BLOB NOT NULL,
            generation INTEGER NOT NULL,
            wrapped_key BLOB NOT NULL,
            erased_at INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (id, generation)
        ) STRICT, WITHOUT ROWID;

        -- One row: tells the right master key from another.
        CREATE TABLE master_key (value BLOB NOT NULL) STRICT;
        """

    // Impact and priority are the numbers of incident.proto; 0, of what is from before, follows from the severity. `judged_severity`:
    // the worst that was known when a person set the severity; 0: nobody did. incident_alerts has the events that were counted
    // while the alert was the incident's: before, every incident had one alert.
    private static let mergeAndSplit = """
        ALTER TABLE incidents ADD COLUMN impact INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE incidents ADD COLUMN judged_severity INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE incidents ADD COLUMN merged_into INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE incidents ADD COLUMN split_from INTEGER NOT NULL DEFAULT 0;

        ALTER TABLE alerts ADD COLUMN impact INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE alerts ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;

        ALTER TABLE incident_alerts ADD COLUMN events INTEGER NOT NULL DEFAULT 0;
        UPDATE incident_alerts SET events = (SELECT events FROM incidents WHERE number = incident);

        -- What a merged incident had when it was merged: that much comes back to it if that is undone.
        CREATE TABLE merged_alerts (
            incident INTEGER NOT NULL REFERENCES incidents (number),
            fingerprint TEXT NOT NULL REFERENCES alerts (fingerprint),
            events INTEGER NOT NULL,
            PRIMARY KEY (incident, fingerprint)
        ) STRICT, WITHOUT ROWID;

        -- What tells a command apart from others of its action, beside its text.
        ALTER TABLE commands ADD COLUMN arguments TEXT NOT NULL DEFAULT '';
        """

    // Times are milliseconds since 1970, 0 where not reached. Services and labels are JSON. States, severities and priorities
    // are the numbers of incident.proto; the state of an alert is a word, as there.
    private static let tables = """
        CREATE TABLE counters (
            name TEXT NOT NULL PRIMARY KEY,
            value INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE incidents (
            number INTEGER PRIMARY KEY,
            state INTEGER NOT NULL,
            title TEXT NOT NULL,
            services TEXT NOT NULL,
            severity INTEGER NOT NULL,
            priority INTEGER NOT NULL,
            assignee TEXT NOT NULL,
            detected_at INTEGER NOT NULL,
            triaged_at INTEGER NOT NULL,
            acknowledged_at INTEGER NOT NULL,
            mitigated_at INTEGER NOT NULL,
            resolved_at INTEGER NOT NULL,
            closed_at INTEGER NOT NULL,
            alerts_firing INTEGER NOT NULL,
            alerts_total INTEGER NOT NULL,
            events INTEGER NOT NULL,
            cause TEXT NOT NULL,
            runbook TEXT NOT NULL,
            reopened INTEGER NOT NULL,
            drill INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            version INTEGER NOT NULL,
            entries INTEGER NOT NULL,
            mitigated_by TEXT NOT NULL,
            recurs INTEGER NOT NULL,
            labels TEXT NOT NULL
        ) STRICT;
        CREATE INDEX incidents_by_urgency ON incidents (state > 5, severity DESC, number DESC);

        CREATE TABLE alerts (
            fingerprint TEXT NOT NULL PRIMARY KEY,
            state TEXT NOT NULL,
            service TEXT NOT NULL,
            summary TEXT NOT NULL,
            severity INTEGER NOT NULL,
            first_at INTEGER NOT NULL,
            last_at INTEGER NOT NULL,
            events INTEGER NOT NULL,
            episode INTEGER NOT NULL,
            rule TEXT NOT NULL,
            incident INTEGER NOT NULL,
            labels TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;

        -- Every alert an incident ever had; alerts.incident is only the latest one of each alert.
        CREATE TABLE incident_alerts (
            incident INTEGER NOT NULL REFERENCES incidents (number),
            fingerprint TEXT NOT NULL REFERENCES alerts (fingerprint),
            PRIMARY KEY (incident, fingerprint)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE suppressions (
            fingerprint TEXT NOT NULL PRIMARY KEY,
            service TEXT NOT NULL,
            summary TEXT NOT NULL,
            rule TEXT NOT NULL,
            events INTEGER NOT NULL,
            first_at INTEGER NOT NULL,
            last_at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE timeline (
            incident INTEGER NOT NULL REFERENCES incidents (number),
            sequence INTEGER NOT NULL,
            time INTEGER NOT NULL,
            actor TEXT NOT NULL,
            verb TEXT NOT NULL,
            text TEXT NOT NULL,
            before TEXT NOT NULL,
            after TEXT NOT NULL,
            PRIMARY KEY (incident, sequence)
        ) STRICT, WITHOUT ROWID;

        -- What happened to each event (1 handled, 2 suppressed), and which reports were seen: delivered again, they do nothing.
        CREATE TABLE events (
            id TEXT NOT NULL PRIMARY KEY,
            fate INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE reports (
            id TEXT NOT NULL PRIMARY KEY,
            incident INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;

        -- Every command and what it was answered (a CommandResponse, or a gRPC code and a sentence).
        CREATE TABLE commands (
            id TEXT NOT NULL PRIMARY KEY,
            time INTEGER NOT NULL,
            incident INTEGER NOT NULL,
            actor TEXT NOT NULL,
            action TEXT NOT NULL,
            text TEXT NOT NULL,
            waive_postmortem INTEGER NOT NULL,
            code INTEGER NOT NULL,
            message TEXT NOT NULL,
            response BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;

        -- Transitions that were asked for, by people or by what runs on its own, and not made.
        CREATE TABLE refused (
            id INTEGER PRIMARY KEY,
            time INTEGER NOT NULL,
            incident INTEGER NOT NULL,
            actor TEXT NOT NULL,
            action TEXT NOT NULL,
            code TEXT NOT NULL,
            message TEXT NOT NULL
        ) STRICT;

        -- Changes the hub does not have yet, in order. `refused` is why it will never take one; such a row stays for a person.
        CREATE TABLE outbox (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            message_id TEXT NOT NULL UNIQUE,
            subject TEXT NOT NULL,
            severity INTEGER NOT NULL,
            key TEXT NOT NULL,
            payload BLOB NOT NULL,
            refused TEXT NOT NULL DEFAULT ''
        ) STRICT;
        """
}
