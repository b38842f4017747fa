//! `jitgate runner run`: one job from a just-in-time configuration.

use super::args::Run;
use super::texts::{environment, of_github, of_host, warn};
use crate::adapters::runner_home::LocalHomes;
use crate::adapters::tools::ProcessTools;
use crate::app::base_runners::consent::{Exposure, exposure};
use crate::app::base_runners::one_job::{CannotRun, Order, Planned, Ports, Ran, prepare, run as run_job};
use crate::app::base_runners::preflight;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::cli::{output, signals};
use crate::config::{Config, Credentials, read_secret_file};
use crate::domain::base_runner::jit_file::JitFile;
use crate::domain::base_runner::one_job::Step;
use crate::domain::base_runner::place::Place;
use crate::domain::ids::RepositoryName;
use crate::ports::GitHub;
use crate::ports::github::RunnerScope;
use crate::ports::tools::AttendedEnd;
use crate::runtime;
use anyhow::anyhow;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// The program that connects to GitHub and runs a job.
const PROGRAMS: [&str; 2] = ["run.sh", "bin/Runner.Listener"];

/// Runs `runner run`.
pub(super) async fn run(args: &Run, session: &Session) -> Outcome {
    let config = args.credentials.configuration(session).await?;
    let jit = read(&args.jit_config)?;
    let environment = environment();
    let may_be_root = environment.iter().any(|(name, _)| name == "RUNNER_ALLOW_RUNASROOT");
    if runtime::is_root() && !may_be_root {
        let error = anyhow!("the runner program does not run as root");
        return Err(Failure::new(Exit::RunnerHost, error)
            .remedy("run jitgate as the account of the runner: sudo -u ACCOUNT jitgate runner run ..., or set RUNNER_ALLOW_RUNASROOT=1 in a disposable machine"));
    }
    let problems = preflight::check(&LocalHomes, &ProcessTools, &args.runner_home, &PROGRAMS).await;
    if let Some(problem) = problems.first() {
        return Err(of_host(problem));
    }
    let place = Place::of_url(&jit.settings.url);
    let known = known_repositories(args, &config, place.as_ref())?;
    let github = runtime::open_github_or_anonymous(&config, &session.clock)?;
    if !args.public_repository && !config.local.public_repositories {
        require_private(github.as_ref(), place.as_ref(), &known).await?;
    }
    let ports = Ports {
        homes: &LocalHomes,
        tools: &ProcessTools,
        record: match &config.github.credentials {
            Credentials::None => None,
            _ => scope(place.as_ref(), &known).map(|scope| (github.as_ref(), scope)),
        },
    };
    let timeout = args.timeout.map_or(config.runners.job_deadline, Duration::from_secs);
    let order = Order {
        jit,
        jit_path: &args.jit_config,
        home: &args.runner_home,
        timeout,
        environment,
    };
    let planned = prepare(&ports, &order).map_err(|error| refused(&args.runner_home, &error))?;
    warn(
        &format!(
            "runner {} has no job gate: it takes any job with its labels, also one that is not trusted",
            order.jit.name
        ),
        "use `jitgate serve` for trusted jobs; add the name to runners.known, otherwise jitgate reports it as ungated",
    );
    if args.dry_run {
        return preview(args, session, &order, &planned);
    }
    let mut stops = signals::stops().map_err(|error| Failure::new(Exit::Bug, error))?;
    let stop = Box::pin(async move { stops.received().await });
    let ran = run_job(&ports, &order, &planned, stop).await;
    if ports.record.is_none() {
        output::report(&format!(
            "jitgate: without credentials the record of runner {} stays until GitHub removes it",
            order.jit.name
        ));
    }
    answer(args, session, &order, &ran)
}

fn read(path: &Path) -> Result<JitFile, Failure> {
    let text = read_secret_file(path).map_err(|error| {
        let remedy = error.remedy(path);
        Failure::new(Exit::Configuration, anyhow!("{}: {error}", path.display())).remedy(remedy)
    })?;
    JitFile::parse(&text).map_err(|error| {
        Failure::new(Exit::Configuration, anyhow!("{}: {error}", path.display()))
            .remedy("request a new one with `jitgate jit request --out FILE`")
    })
}

/// Returns the repositories that the flags or the configuration name.
fn known_repositories(args: &Run, config: &Config, place: Option<&Place>) -> Result<Vec<RepositoryName>, Failure> {
    let Some(named) = args.which.name()? else {
        return Ok(config.repositories.iter().map(|known| known.name.clone()).collect());
    };
    let is_of = match place {
        Some(Place::Repository(name)) => name.matches(named.as_str()),
        Some(Place::Organization(login)) => named.owner().eq_ignore_ascii_case(login),
        None => true,
    };
    if !is_of {
        let error = anyhow!(
            "{}: the configuration does not belong to {named}",
            args.jit_config.display()
        );
        return Err(Failure::new(Exit::Usage, error).remedy("correct or omit --repo"));
    }
    Ok(vec![named])
}

fn scope(place: Option<&Place>, known: &[RepositoryName]) -> Option<RunnerScope> {
    match place? {
        Place::Repository(name) => Some(RunnerScope::Repository(name.clone())),
        Place::Organization(login) => {
            let of_login = known.iter().find(|name| name.owner().eq_ignore_ascii_case(login));
            of_login.cloned().map(RunnerScope::Organization)
        }
    }
}

/// Refuses a runner that could receive jobs of a public repository.
async fn require_private(github: &dyn GitHub, place: Option<&Place>, known: &[RepositoryName]) -> Result<(), Failure> {
    let exposed = exposure(github, place, known).await;
    let exposed = exposed.map_err(|failure| of_github("cannot find out whether the repository is public", &failure))?;
    let (what, remedy) = match exposed {
        Exposure::Private => return Ok(()),
        Exposure::Public(name) => (
            format!("{name} is public: anyone can open a pull request whose jobs this runner would run"),
            "use `jitgate serve`, which runs trusted jobs only, or accept every job with --public-repository",
        ),
        Exposure::Unknown => (
            "the repositories of this runner are not known, and one of them can be public".to_owned(),
            "name the repository with --repo OWNER/NAME, or accept every job with --public-repository",
        ),
    };
    Err(Failure::new(Exit::Negative, anyhow!("{what}")).remedy(remedy))
}

fn refused(home: &Path, error: &CannotRun) -> Failure {
    let remedy = match error {
        CannotRun::Home(_) => "name the folder of the runner program with --runner-home".to_owned(),
        CannotRun::Locked => format!(
            "wait for the other job, or find its processes with: fuser -v {}",
            home.display()
        ),
        CannotRun::Registered(_) => "use a separate copy of the runner program for jobs of this kind".to_owned(),
        CannotRun::UsedWorkFolder(path) => format!(
            "remove it if nothing in it is needed (rm -r {}), because a job must not see files of another",
            path.display()
        ),
        CannotRun::WorkFolder(..) => {
            "request a configuration whose work folder is inside the runner's folder".to_owned()
        }
    };
    Failure::new(Exit::RunnerHost, anyhow!("{} {error}", home.display())).remedy(remedy)
}

fn in_words(step: Step, order: &Order<'_>, planned: &Planned) -> String {
    let (home, work) = (order.home.display(), planned.work_folder.display());
    match step {
        Step::RemoveLeftovers => {
            format!("remove the registration and the work folder that an interrupted job left in {home}")
        }
        Step::RemoveJitFile => format!("remove {}", order.jit_path.display()),
        Step::Run => format!(
            "run {home}/run.sh as runner {} for at most {} s",
            order.jit.name,
            order.timeout.as_secs()
        ),
        Step::RemoveRegistration => format!("remove the registration in {home}"),
        Step::RemoveWorkFolder => format!("remove {work}"),
        Step::RemoveRecord => format!("remove GitHub's record of runner {} if it still exists", order.jit.name),
    }
}

fn preview(args: &Run, session: &Session, order: &Order<'_>, planned: &Planned) -> Outcome {
    let steps: Vec<String> = planned
        .steps
        .iter()
        .map(|step| in_words(*step, order, planned))
        .collect();
    let origin = args.person.origin(session.clock.now());
    let json = json!({
        "runner": order.jit.name, "id": order.jit.id, "steps": steps, "dry_run": true, "by": origin.by, "why": origin.why,
    });
    session.answer(&json, |out| {
        steps.iter().try_for_each(|step| writeln!(out, "would {step}"))
    })?;
    Ok(Exit::Done)
}

fn answer(args: &Run, session: &Session, order: &Order<'_>, ran: &Ran) -> Outcome {
    let (result, code) = match ran.end {
        None => ("not-started", None),
        Some(AttendedEnd::Ended(code)) => ("ended", code),
        Some(AttendedEnd::Stopped) => ("stopped", None),
        Some(AttendedEnd::TimedOut) => ("timed-out", None),
    };
    let origin = args.person.origin(session.clock.now());
    let json = json!({
        "runner": order.jit.name, "id": order.jit.id, "result": result, "exit_code": code, "failures": ran.failures,
        "by": origin.by, "why": origin.why,
    });
    let name = &order.jit.name;
    session.answer(&json, |out| match ran.end {
        Some(AttendedEnd::Ended(Some(0))) => writeln!(out, "runner {name} ended"),
        Some(AttendedEnd::Ended(Some(code))) => writeln!(out, "runner {name} ended with exit code {code}"),
        Some(AttendedEnd::Ended(None)) => writeln!(out, "runner {name} was killed"),
        Some(AttendedEnd::Stopped) => writeln!(out, "runner {name} was stopped on request"),
        Some(AttendedEnd::TimedOut) => {
            writeln!(out, "runner {name} was ended after {} s", order.timeout.as_secs())
        }
        None => writeln!(out, "runner {name} was not started"),
    })?;
    if let Some(first) = ran.failures.first() {
        return Err(Failure::new(Exit::RunnerHost, anyhow!("{first}"))
            .remedy("remove the cause, then remove what is left by hand"));
    }
    Ok(match ran.end {
        Some(AttendedEnd::Ended(Some(0))) => Exit::Done,
        Some(AttendedEnd::Stopped | AttendedEnd::TimedOut) => Exit::Negative,
        Some(AttendedEnd::Ended(_)) | None => Exit::RunnerHost,
    })
}
