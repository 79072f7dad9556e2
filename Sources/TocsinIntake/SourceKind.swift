/// In whose language something was said. The raw value is the first token after `event.` in the subject.
public enum SourceKind: String, Sendable, CaseIterable {
    /// Alerts as Prometheus sends them, and Alertmanager's webhook.
    case alertmanager
    /// PagerDuty's Events API v2.
    case pagerduty
    /// CloudEvents 1.0 over HTTP.
    case cloudevents
    /// OpenTelemetry logs.
    case otlp
    /// Passive results of Nagios checks.
    case nagios
    case syslog
    case riemann
    /// A person, by the form.
    case form
}
