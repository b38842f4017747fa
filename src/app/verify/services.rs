//! The services and timers of jitgate on this machine.

use crate::domain::finding::{Finding, Subject};
use crate::domain::services::{PROPERTIES, Service, UNITS, are_doubled, parse};
use crate::ports::Tools;
use crate::ports::tools::ToolCall;
use std::time::Duration;

/// Time that `systemctl` may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Checks the installed services. None has to be installed.
pub async fn check(tools: &dyn Tools) -> Vec<Finding> {
    const WHAT: &str = "services of jitgate";
    let call = ToolCall::new("systemctl", TIMEOUT)
        .args(["show", "--no-pager", "--property", PROPERTIES, "--"])
        .args(UNITS);
    let output = match tools.run(&call).await {
        Ok(output) if output.is_success() => output,
        Ok(output) => {
            let why = output
                .last_line()
                .unwrap_or("systemctl failed without a word")
                .to_owned();
            return vec![Finding::unknown(Subject::Host, WHAT, why)];
        }
        Err(error) => return vec![Finding::unknown(Subject::Host, WHAT, error)],
    };
    let services = parse(&output.stdout);
    let mut found = Vec::new();
    for (what, remedy) in services.iter().filter_map(Service::fault) {
        found.push(Finding::warning(Subject::Host, what, remedy));
    }
    if are_doubled(&services) {
        found.push(Finding::warning(
            Subject::Host,
            "the pool's supervisor and its timer are both active, and one waits for the other",
            "keep one: sudo jitgate setup supervisor, or: sudo jitgate setup reconcile-timer",
        ));
    }
    if found.is_empty() {
        let state = |service: &Service| format!("{} ({})", service.name, service.state);
        let listed = services.iter().map(state).collect::<Vec<_>>().join(", ");
        let what = match listed.as_str() {
            "" => "no service of jitgate is installed".to_owned(),
            listed => format!("installed services: {listed}"),
        };
        found.push(Finding::ok(Subject::Host, what));
    }
    found
}
