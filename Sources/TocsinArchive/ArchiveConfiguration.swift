import TocsinDomain
import TocsinPolicy

/// What one archiver process does. Plain values: whoever reads the configuration file fills them in.
public struct ArchiveConfiguration: Sendable {
    /// Shown in logs, and to a standby in the lock file.
    public var name: String
    /// Of the SQLite database. Its folder is created if absent; `<path>.lock` beside it tells who writes.
    public var databasePath: String
    /// The file of the key that signs the audit trail. Made when the archive is.
    public var auditKeyPath: String
    /// The pool that takes `alert.>`, `response.>`, `silence.>` and `change.>`: one pool, so that there is one order.
    public var pool: String
    /// How long after it was resolved an incident is taken up again when its alert fires; later it is a new incident. A
    /// dismissal holds as long.
    public var reopenWindow: Duration
    /// Whether an incident is resolved when its last alert is.
    public var resolvesAutomatically: Bool
    /// An alert that is at least this bad opens an incident; others are recorded only.
    public var incidentSeverity: Severity
    /// What is judged by: silences, inhibition, correlation, routes. Its matrix gives the priority where a person changes the
    /// severity, and of an incident that is split off.
    public var policy: Policy
    /// How long incidents that are over are kept.
    public var retention: RetentionPolicy
    /// Where the key is that people's data is sealed with; nil: the file `<database>.master-key`.
    public var masterKey: MasterKeySource?
    /// Names of labels and details whose values are personal data.
    public var personalLabels: [String]
    /// Callers, by the names of their keys, from whom no incident is kept that others need not know of: programs that work on
    /// all of them.
    public var seesEverything: [String]
    /// How long the hub keeps what nobody needs any more, at least: its `retain_age`. An erasure says so.
    public var hubRetention: Duration
    /// Messages that may be with this worker and not settled.
    public var credit: Int
    /// Messages in one transaction, at most.
    public var batchMax: Int

    public init(
        name: String, databasePath: String, auditKeyPath: String? = nil, pool: String = "archive",
        reopenWindow: Duration = .seconds(24 * 3600), resolvesAutomatically: Bool = true,
        incidentSeverity: Severity = .minor, policy: Policy = Policy(), retention: RetentionPolicy = RetentionPolicy(),
        masterKey: MasterKeySource? = nil, personalLabels: [String] = Self.standardPersonalLabels,
        seesEverything: [String] = Self.standardSeesEverything, hubRetention: Duration = .seconds(7 * 86_400), credit: Int = 2048,
        batchMax: Int = 1024
    ) {
        self.name = name
        self.databasePath = databasePath
        self.auditKeyPath = auditKeyPath ?? AuditKey.defaultPath(database: databasePath)
        self.pool = pool
        self.reopenWindow = reopenWindow
        self.resolvesAutomatically = resolvesAutomatically
        self.incidentSeverity = incidentSeverity
        self.policy = policy
        self.retention = retention
        self.masterKey = masterKey
        self.personalLabels = personalLabels
        self.seesEverything = seesEverything
        self.hubRetention = hubRetention
        self.credit = credit
        self.batchMax = batchMax
    }

    /// The file of the master key; nil: a command gives it.
    public var masterKeyFile: String? {
        switch masterKey {
        case nil: MasterKeySource.beside(databasePath)
        case .file(let path): path
        case .command: nil
        }
    }

    public static let standardPersonalLabels = [
        "user", "username", "user_name", "user_id", "login", "email", "mail", "phone", "customer", "client_ip",
    ]
    public static let standardSeesEverything = ["responder", "archiver"]

    /// - Throws: the first of the policy's problems.
    func judging() throws(PolicyProblem) -> ArchivePolicy {
        try ArchivePolicy(
            IncidentPolicy(
                reopenWindow: reopenWindow, resolvesAutomatically: resolvesAutomatically, minimumSeverity: incidentSeverity,
                matrix: policy.matrix), policy)
    }
}
