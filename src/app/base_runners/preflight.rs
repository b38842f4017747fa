//! The check of a runner program before it starts: missing programs, missing libraries.

use crate::domain::base_runner::installation::download_command;
use crate::domain::base_runner::problem::Problem;
use crate::ports::tools::ToolCall;
use crate::ports::{RunnerHomes, Tools};
use std::path::Path;
use std::time::Duration;

/// The release that the download command names. GitHub requires 2.329.0, and rejects releases that are older than 30 days
/// when a newer one exists.
const RELEASE: &str = "2.336.0";
/// Time that `ldd` may take.
const LDD_TIMEOUT: Duration = Duration::from_secs(10);
/// The script of the runner program that installs its libraries.
const INSTALL_LIBRARIES: &str = "bin/installdependencies.sh";

/// Returns the missing parts of a runner program: `programs`, and the libraries of the machine that it needs.
pub async fn check(homes: &dyn RunnerHomes, tools: &dyn Tools, home: &Path, programs: &[&str]) -> Vec<Problem> {
    let missing = homes.missing(home, &[programs, &[INSTALL_LIBRARIES]].concat());
    if !missing.is_empty() {
        let names: Vec<String> = missing.iter().map(|path| path.display().to_string()).collect();
        let remedy = format!(
            "install the runner program: {}; use a newer release if there is one",
            download_command(home, RELEASE)
        );
        let what = format!("the runner program is not complete: missing {}", names.join(", "));
        return vec![Problem::new(home.display().to_string(), what, remedy)];
    }
    let libraries = homes.libraries(home);
    if libraries.is_empty() {
        return Vec::new();
    }
    let call = ToolCall::new("ldd", LDD_TIMEOUT).args(&libraries);
    // A machine without ldd has the libraries of its packages as well.
    let Ok(output) = tools.run(&call).await else {
        return Vec::new();
    };
    let mut absent = not_found(&output.stdout);
    absent.sort_unstable();
    absent.dedup();
    if absent.is_empty() {
        return Vec::new();
    }
    let home = home.display();
    vec![Problem::new(
        home.to_string(),
        format!("libraries of this machine are missing: {}", absent.join(", ")),
        format!("run once: cd {home} && sudo ./{INSTALL_LIBRARIES}"),
    )]
}

/// Returns the libraries in the output of `ldd` that this machine does not have.
fn not_found(output: &str) -> Vec<&str> {
    let lines = output.lines().filter(|line| line.trim_end().ends_with("=> not found"));
    lines.filter_map(|line| line.split_whitespace().next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_libraries_are_found_in_the_output_of_ldd() {
        let output = "bin/libcoreclr.so:\n\tlibdl.so.2 => /lib/libdl.so.2 (0x1)\n\tliblttng-ust.so.0 => not found\n";
        assert_eq!(not_found(output), ["liblttng-ust.so.0"]);
    }
}
