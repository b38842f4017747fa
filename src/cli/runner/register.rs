//! `jitgate runner register`: repairs the registration and the service of one of the operator's own runners.

use super::args::Register;
use super::registration::{failed, in_words, order, refused, require_root, warnings};
use super::target::Target;
use super::texts::warn;
use crate::adapters::runner_home::LocalHomes;
use crate::adapters::tools::ProcessTools;
use crate::app::base_runners::register::{Order, Ports, carry_out, gather};
use crate::cli::credentials::CredentialArgs;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::domain::base_runner::problem::Problem;
use crate::domain::base_runner::repair::Plan;
use crate::runtime;
use serde_json::json;
use std::time::Duration;

/// Runs `runner register`.
pub(super) async fn run(args: &Register, session: &Session) -> Outcome {
    let target = Target::of(&args.target, session).await?;
    let timeout = Duration::from_secs(args.timeout);
    let order = order(&args.registration, &target, args.force, timeout).await?;
    let github = CredentialArgs::open(&target.config, session)?;
    let tokens = runtime::open_registration_tokens(&target.config, &session.clock)?;
    let ports = Ports {
        homes: &LocalHomes,
        tools: &ProcessTools,
        github: github.as_ref(),
        tokens: tokens.as_ref(),
    };
    let plan = gather(ports, &order)
        .await
        .map_err(|error| failed(order.home, &error))?;
    let plan = plan.map_err(|refusal| refused(order.home, &refusal))?;
    let warnings = warnings(&target, &plan);
    for warning in &warnings {
        warn(
            &format!("runner {}: {}", warning.subject, warning.what),
            &warning.remedy,
        );
    }
    let is_done = plan.steps.is_empty();
    if is_done {
        session.note_unchanged();
    } else if !args.dry_run {
        require_root(&format!(
            "jitgate runner register --runner-home {}",
            order.home.display()
        ))?;
        carry_out(ports, &order, &plan)
            .await
            .map_err(|error| failed(order.home, &error))?;
    }
    answer(args, session, &target, &order, &plan, &warnings)
}

fn answer(
    args: &Register,
    session: &Session,
    target: &Target,
    order: &Order<'_>,
    plan: &Plan,
    warnings: &[Problem],
) -> Result<Exit, Failure> {
    let steps: Vec<String> = plan.steps.iter().map(|step| in_words(*step, order, plan)).collect();
    let origin = args.person.origin(session.clock.now());
    let json = json!({
        "runner": plan.name, "repository": target.repository, "url": target.url, "labels": plan.labels,
        "work_folder": plan.work_folder, "service_user": order.account.name, "reasons": plan.reasons, "steps": steps,
        "changed": !steps.is_empty() && !args.dry_run, "warnings": warnings, "dry_run": args.dry_run,
        "by": origin.by, "why": origin.why,
    });
    session.answer(&json, |out| {
        let name = &plan.name;
        if steps.is_empty() {
            return writeln!(
                out,
                "runner {name} is registered for {} and its service runs: nothing is to be done",
                target.url
            );
        }
        for reason in &plan.reasons {
            writeln!(out, "runner {name}: {reason}")?;
        }
        let would = if args.dry_run { "would" } else { "done:" };
        steps.iter().try_for_each(|step| writeln!(out, "{would} {step}"))
    })?;
    Ok(Exit::Done)
}
