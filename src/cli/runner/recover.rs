//! `jitgate runner recover`: restarts services, registers again if needed, and waits until the runners are healthy.

use super::args::Recover;
use super::health::{failed as look_failed, ports as look_ports, print_problems, print_runners, subject};
use super::registration::{failed as registration_failed, in_words, order, refused, require_root, warnings};
use super::target::Target;
use super::texts::warn;
use crate::adapters::runner_home::LocalHomes;
use crate::adapters::tools::ProcessTools;
use crate::app::base_runners::recover::{Gathered, Ports, RecoverError, carry_out, gather};
use crate::app::base_runners::register::{self, Order};
use crate::cli::credentials::CredentialArgs;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::cli::sources::variable;
use crate::domain::base_runner::health::{Assessment, Rules};
use crate::domain::base_runner::repair::Plan;
use crate::runtime;
use anyhow::anyhow;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// Runs `runner recover`.
pub(super) async fn run(mut args: Recover, session: &Session) -> Outcome {
    complete(&mut args);
    let target = Target::of(&args.target, session).await?;
    let timeout = Duration::from_secs(args.timeout);
    let order = order(&args.registration, &target, false, timeout).await?;
    let github = CredentialArgs::open(&target.config, session)?;
    let tokens = runtime::open_registration_tokens(&target.config, &session.clock)?;
    let ports = Ports {
        look: look_ports(github.as_ref(), session),
        register: register::Ports {
            homes: &LocalHomes,
            tools: &ProcessTools,
            github: github.as_ref(),
            tokens: tokens.as_ref(),
        },
    };
    // The labels are those of the registration; every runner of this machine counts.
    let subject = subject(&target, Rules::default());
    let home = order.home;
    let gathered = gather(ports, &subject, Some(&order))
        .await
        .map_err(|error| failed(home, &error))?;
    for warning in gathered
        .recovery
        .register
        .iter()
        .flat_map(|plan| warnings(&target, plan))
    {
        warn(
            &format!("runner {}: {}", warning.subject, warning.what),
            &warning.remedy,
        );
    }
    let recovery = &gathered.recovery;
    if args.dry_run || recovery.is_empty() && gathered.look.assessment.problems.is_empty() {
        session.note_unchanged();
        return answer(&args, session, &order, &gathered, &gathered.look.assessment);
    }
    if let (Some(refusal), true) = (&gathered.refusal, recovery.is_empty()) {
        return Err(refused(home, refusal));
    }
    if !recovery.is_empty() {
        require_root(&format!("jitgate runner recover --runner-home {}", home.display()))?;
    }
    let after = carry_out(ports, &subject, Some(&order), recovery, timeout).await;
    let after = after.map_err(|error| failed(home, &error))?;
    answer(&args, session, &order, &gathered, &after.assessment)
}

/// Adds the environment variables of the script that this command replaces, where a flag is missing.
fn complete(args: &mut Recover) {
    let present = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    if args.target.which.repo.is_none() {
        args.target.which.repo = present("RUNNER_REPO");
        if args.target.which.owner.is_none() && args.target.which.repo.is_some() {
            args.target.which.owner = present("RUNNER_OWNER");
        }
    }
    let registration = &mut args.registration;
    if registration.labels.is_empty() {
        let labels = present("RUNNER_LABELS").unwrap_or_default();
        let labels = labels.split(',').filter(|label| !label.trim().is_empty());
        registration.labels = labels.map(str::to_owned).collect();
    }
    let or_variable = |flag: &mut Option<String>, name: &str| {
        if flag.is_none() {
            *flag = present(name);
        }
    };
    or_variable(&mut registration.group, "RUNNER_GROUP");
    or_variable(&mut registration.name, "RUNNER_NAME");
    or_variable(&mut registration.work, "RUNNER_WORKDIR");
    or_variable(&mut registration.service_user, "RUNNER_SERVICE_USER");
}

fn failed(home: &Path, error: &RecoverError) -> Failure {
    match error {
        RecoverError::Look(error) => look_failed(error),
        RecoverError::Register(error) => registration_failed(home, error),
        RecoverError::Units(error) => Failure::new(Exit::RunnerHost, anyhow!("{error}"))
            .remedy("read the log of the service: journalctl -u 'actions.runner.*' -n 50"),
    }
}

fn answer(
    args: &Recover,
    session: &Session,
    order: &Order<'_>,
    before: &Gathered,
    after: &Assessment,
) -> Result<Exit, Failure> {
    let recovery = &before.recovery;
    let restarts = recovery
        .restart
        .iter()
        .map(|unit| format!("run systemctl restart {unit}"));
    let mut steps: Vec<String> = restarts.collect();
    let of_plan = |plan: &Plan| -> Vec<String> { plan.steps.iter().map(|step| in_words(*step, order, plan)).collect() };
    steps.extend(recovery.register.iter().flat_map(of_plan));
    if !steps.is_empty() {
        steps.push(format!("wait at most {} s until the runners are healthy", args.timeout));
    }
    let healthy = after.problems.is_empty();
    let origin = args.person.origin(session.clock.now());
    let json = json!({
        "healthy": healthy, "steps": steps, "base_runners": after.base_runners, "problems": after.problems,
        "changed": !args.dry_run && !steps.is_empty(), "dry_run": args.dry_run, "by": origin.by, "why": origin.why,
    });
    session.answer(&json, |out| {
        let would = if args.dry_run { "would" } else { "done:" };
        steps.iter().try_for_each(|step| writeln!(out, "{would} {step}"))?;
        if steps.is_empty() && healthy {
            writeln!(out, "the runners are healthy: nothing is to be done")?;
        }
        print_runners(out, &after.base_runners)?;
        print_problems(out, &after.problems)
    })?;
    // A preview succeeds whatever it shows.
    Ok(if healthy || args.dry_run {
        Exit::Done
    } else {
        Exit::Negative
    })
}
