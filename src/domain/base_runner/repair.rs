//! The steps of `runner register`: a registration that is valid remains, and everything else is repaired.
//!
//! | registration in the folder | runner of this name at GitHub | plan |
//! |---|---|---|
//! | for this place, same id | exists | the service only |
//! | for this place | does not exist | register |
//! | for this place, another id | offline | register in its place |
//! | missing or damaged | does not exist, or offline | register in its place |
//! | any that is not valid | online | refused: another machine uses the name |
//! | for another place | any | refused, unless forced |
//!
//! Nothing is done to a runner that executes a job.

use super::installation::{DEFAULT_WORK_FOLDER, Installation, Registration, RunnerSettings};
use super::listed::{ListedRunner, are_same_labels};
use super::place::is_same_page;
use super::unit::Unit;

/// The registration that the operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// The page of the repository or organization.
    pub url: String,
    /// The name; by default the registered one, otherwise `default_name`.
    pub name: Option<String>,
    pub default_name: String,
    /// The labels; by default the registered ones.
    pub labels: Option<Vec<String>>,
    /// The work folder; by default the registered one.
    pub work_folder: Option<String>,
    /// Replaces a registration for another place, and a runner of the same name that is online.
    pub force: bool,
}

/// The present state.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    pub installation: &'a Installation,
    /// The service in the folder's `.service` file.
    pub unit: Option<&'a Unit>,
    /// GitHub's inventory of the place.
    pub runners: &'a [ListedRunner],
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Request a registration token. It is first, so that a refusal by GitHub changes nothing.
    RequestToken,
    RemoveService,
    RemoveRegistration,
    /// Run `config.sh`; `replace` takes the place of the runner with the same name.
    Configure {
        replace: bool,
    },
    InstallService,
    StopService,
    StartService,
    /// Wait until GitHub shows the runner as online.
    AwaitOnline,
}

/// The planned repair. No step means that nothing is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub name: String,
    pub work_folder: String,
    /// The labels of a new registration; none for those that GitHub adds only.
    pub labels: Vec<String>,
    pub reasons: Vec<String>,
    pub steps: Vec<Step>,
}

/// The reason why nothing may be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The folder is registered for this page.
    Elsewhere(String),
    /// A runner of this name is online and does not belong to the folder.
    InUse(String),
    /// A job runs on this runner.
    Busy(String),
}

/// Plans the repair.
///
/// # Errors
/// If it would harm another runner or a job.
pub fn plan(request: &Request, now: &Situation<'_>) -> Result<Plan, Refusal> {
    let settings = match &now.installation.registration {
        Registration::Present(settings) | Registration::Interrupted(settings) => Some(settings),
        Registration::Damaged | Registration::Missing => None,
    };
    let here = settings.filter(|settings| is_same_page(&settings.url, &request.url));
    if let (Some(settings), None, false) = (settings, here, request.force) {
        return Err(Refusal::Elsewhere(settings.url.clone()));
    }
    let registered = |settings: &RunnerSettings| settings.name.clone();
    let name = request.name.clone().or_else(|| here.map(registered));
    let name = name.unwrap_or_else(|| request.default_name.clone());
    let work_folder = request.work_folder.clone();
    let work_folder = work_folder.or_else(|| settings.map(|settings| settings.work_folder.clone()));
    let work_folder = work_folder.unwrap_or_else(|| DEFAULT_WORK_FOLDER.to_owned());
    let is_own = |runner: &&ListedRunner| {
        here.is_some_and(|settings| settings.name == runner.name && settings.id.is_none_or(|id| id == runner.id))
    };
    let own = now.runners.iter().find(is_own);
    let namesake = now
        .runners
        .iter()
        .find(|runner| runner.name.eq_ignore_ascii_case(&name) && own.is_none_or(|own| own.id != runner.id));
    let wanted = Wanted {
        name: &name,
        work_folder: &work_folder,
    };
    let mut reasons = reasons_to_register(request, now.installation, here, own, &wanted);
    let is_in_use = |other: &&ListedRunner| other.is_busy || other.is_online && !request.force;
    let mut steps = if reasons.is_empty() {
        let (reason, steps) = service_steps(now, own);
        reasons.extend(reason);
        steps
    } else if let Some(other) = namesake.filter(is_in_use) {
        return Err(Refusal::InUse(other.name.clone()));
    } else {
        registration_steps(now, &name)
    };
    if !steps.is_empty() {
        if let Some(busy) = own.filter(|own| own.is_busy) {
            return Err(Refusal::Busy(busy.name.clone()));
        }
        steps.push(Step::AwaitOnline);
    }
    let known = own.or(namesake).map(|runner| runner.labels.clone());
    Ok(Plan {
        labels: request.labels.clone().or(known).unwrap_or_default(),
        name,
        work_folder,
        reasons,
        steps,
    })
}

struct Wanted<'a> {
    name: &'a str,
    work_folder: &'a str,
}

fn reasons_to_register(
    request: &Request,
    installation: &Installation,
    here: Option<&RunnerSettings>,
    own: Option<&ListedRunner>,
    wanted: &Wanted<'_>,
) -> Vec<String> {
    let settings = match (&installation.registration, here) {
        (Registration::Missing, _) => return vec!["the folder has no registration".to_owned()],
        (Registration::Damaged, _) => return vec!["the registration in the folder is damaged".to_owned()],
        (Registration::Interrupted(_), _) => return vec!["an earlier registration did not finish".to_owned()],
        (Registration::Present(other), None) => return vec![format!("the folder is registered for {}", other.url)],
        (Registration::Present(_), Some(settings)) => settings,
    };
    let Some(own) = own else {
        return vec![format!(
            "GitHub has no runner {} with the id of the folder",
            settings.name
        )];
    };
    let mut reasons = Vec::new();
    if settings.is_ephemeral {
        reasons.push("the registration in the folder is for one job only".to_owned());
    }
    if settings.name != wanted.name {
        reasons.push(format!("the name changes from {} to {}", settings.name, wanted.name));
    }
    if settings.work_folder != wanted.work_folder {
        let (old, new) = (&settings.work_folder, wanted.work_folder);
        reasons.push(format!("the work folder changes from {old} to {new}"));
    }
    if let Some(labels) = &request.labels
        && !are_same_labels(labels, &own.labels)
    {
        let (old, new) = (own.labels.join(","), labels.join(","));
        reasons.push(format!("the labels change from {old} to {new}"));
    }
    if !installation.has_service_script {
        reasons.push("svc.sh is missing, which config.sh writes".to_owned());
    }
    reasons
}

/// Returns the steps of a new registration under this name.
fn registration_steps(now: &Situation<'_>, name: &str) -> Vec<Step> {
    let mut steps = vec![Step::RequestToken];
    if now.installation.has_service_script {
        steps.push(Step::RemoveService);
    }
    if now.installation.registration != Registration::Missing {
        steps.push(Step::RemoveRegistration);
    }
    let replace = now.runners.iter().any(|runner| runner.name.eq_ignore_ascii_case(name));
    steps.extend([Step::Configure { replace }, Step::InstallService, Step::StartService]);
    steps
}

/// Returns the steps for a service whose registration is valid.
fn service_steps(now: &Situation<'_>, own: Option<&ListedRunner>) -> (Option<String>, Vec<Step>) {
    let Some(unit) = now.unit.filter(|unit| unit.is_installed) else {
        let reason = "the service is not installed".to_owned();
        // The script refuses to replace a file that a damaged installation has left.
        return (
            Some(reason),
            vec![Step::RemoveService, Step::InstallService, Step::StartService],
        );
    };
    if !unit.is_active() {
        let reason = format!("service {} is {}", unit.name, unit.state);
        return (Some(reason), vec![Step::StartService]);
    }
    if own.is_some_and(|own| !own.is_online) {
        let reason = format!(
            "service {} is active, but GitHub shows its runner as offline",
            unit.name
        );
        return (Some(reason), vec![Step::StopService, Step::StartService]);
    }
    (None, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::RunnerId;

    const URL: &str = "https://github.com/octo-org/chem-model";
    const REGISTER: [Step; 3] = [
        Step::Configure { replace: true },
        Step::InstallService,
        Step::StartService,
    ];

    fn settings() -> RunnerSettings {
        RunnerSettings {
            id: Some(RunnerId(7)),
            name: "base".to_owned(),
            url: URL.to_owned(),
            work_folder: "_work".to_owned(),
            is_ephemeral: false,
        }
    }

    fn installation(registration: Registration) -> Installation {
        Installation {
            registration,
            has_service_script: true,
            unit: Some("u.service".to_owned()),
            owner: 1000,
        }
    }

    fn runner(id: u64, is_online: bool, is_busy: bool) -> ListedRunner {
        ListedRunner {
            id: RunnerId(id),
            name: "base".to_owned(),
            is_online,
            is_busy,
            labels: ["self-hosted", "Linux", "X64", "gpu"].map(str::to_owned).to_vec(),
        }
    }

    fn unit(state: &str) -> Unit {
        Unit {
            name: "u.service".to_owned(),
            is_installed: true,
            state: state.to_owned(),
            folder: None,
        }
    }

    fn request() -> Request {
        Request {
            url: URL.to_owned(),
            default_name: "default".to_owned(),
            ..Request::default()
        }
    }

    fn planned(
        request: &Request,
        registration: Registration,
        state: &str,
        runners: &[ListedRunner],
    ) -> Result<Plan, Refusal> {
        let (installation, unit) = (installation(registration), unit(state));
        let situation = Situation {
            installation: &installation,
            unit: Some(&unit),
            runners,
        };
        plan(request, &situation)
    }

    fn steps(registration: Registration, state: &str, runners: &[ListedRunner]) -> Vec<Step> {
        planned(&request(), registration, state, runners).expect("a plan").steps
    }

    #[test]
    fn the_table_of_registrations_is_complete() {
        let present = || Registration::Present(settings());
        let before = [Step::RequestToken, Step::RemoveService];
        let with = |removes: bool, replace: bool| {
            let mut steps = before.to_vec();
            if removes {
                steps.push(Step::RemoveRegistration);
            }
            steps.extend([
                Step::Configure { replace },
                Step::InstallService,
                Step::StartService,
                Step::AwaitOnline,
            ]);
            steps
        };
        let online = [runner(7, true, false)];
        assert_eq!(steps(present(), "active", &online), []);
        assert_eq!(
            steps(present(), "failed", &online),
            [Step::StartService, Step::AwaitOnline]
        );
        let offline = [runner(7, false, false)];
        assert_eq!(
            steps(present(), "active", &offline),
            [Step::StopService, Step::StartService, Step::AwaitOnline]
        );
        assert_eq!(steps(present(), "active", &[]), with(true, false));
        assert_eq!(steps(present(), "active", &[runner(8, false, false)]), with(true, true));
        assert_eq!(steps(Registration::Missing, "active", &[]), with(false, false));
        let another = Request {
            name: Some("base".to_owned()),
            ..request()
        };
        for registration in [Registration::Missing, Registration::Damaged] {
            let removes = registration == Registration::Damaged;
            let found = planned(&another, registration, "active", &[runner(8, false, false)]);
            let found = found.expect("a plan");
            assert_eq!(found.steps, with(removes, true));
            assert!(found.steps.ends_with(&[&REGISTER[..], &[Step::AwaitOnline]].concat()));
            assert_eq!(
                found.labels,
                runner(8, false, false).labels,
                "the registered labels remain"
            );
        }
    }

    #[test]
    fn other_runners_and_jobs_are_left_alone() {
        let named = Request {
            name: Some("base".to_owned()),
            ..request()
        };
        let in_use = Err(Refusal::InUse("base".to_owned()));
        for registration in [
            Registration::Missing,
            Registration::Damaged,
            Registration::Present(settings()),
        ] {
            assert_eq!(
                planned(&named, registration, "active", &[runner(8, true, false)]),
                in_use
            );
        }
        let forced = Request { force: true, ..named };
        assert!(planned(&forced, Registration::Missing, "active", &[runner(8, true, false)]).is_ok());
        assert_eq!(
            planned(&forced, Registration::Missing, "active", &[runner(8, true, true)]),
            in_use,
            "a job runs on it"
        );

        let elsewhere = RunnerSettings {
            url: "https://github.com/octo-org/other".to_owned(),
            ..settings()
        };
        let present = Registration::Present(elsewhere.clone());
        assert_eq!(
            planned(&request(), present.clone(), "active", &[]),
            Err(Refusal::Elsewhere(elsewhere.url))
        );
        let forced = Request {
            force: true,
            ..request()
        };
        let moved = planned(&forced, present, "active", &[]).expect("a plan");
        assert_eq!(moved.name, "default", "the name of another place does not count");

        let busy = [runner(7, true, true)];
        let present = || Registration::Present(settings());
        assert_eq!(
            planned(&request(), present(), "active", &busy).map(|plan| plan.steps),
            Ok(Vec::new())
        );
        for state in ["inactive", "failed"] {
            assert_eq!(
                planned(&request(), present(), state, &busy),
                Err(Refusal::Busy("base".to_owned()))
            );
        }
        let relabelled = Request {
            labels: Some(vec!["other".to_owned()]),
            ..request()
        };
        assert_eq!(
            planned(&relabelled, present(), "active", &busy),
            Err(Refusal::Busy("base".to_owned()))
        );
    }

    #[test]
    fn a_change_of_name_labels_or_folder_registers_again() {
        let online = [runner(7, true, false)];
        let same = Request {
            labels: Some(["GPU", "self-hosted", "linux"].map(str::to_owned).to_vec()),
            name: Some("base".to_owned()),
            work_folder: Some("_work".to_owned()),
            ..request()
        };
        let present = || Registration::Present(settings());
        assert_eq!(planned(&same, present(), "active", &online).expect("a plan").steps, []);
        for (changed, reason) in [
            (
                Request {
                    labels: Some(vec!["cpu".to_owned()]),
                    ..same.clone()
                },
                "labels",
            ),
            (
                Request {
                    name: Some("other".to_owned()),
                    ..same.clone()
                },
                "name",
            ),
            (
                Request {
                    work_folder: Some("other".to_owned()),
                    ..same.clone()
                },
                "work folder",
            ),
        ] {
            let plan = planned(&changed, present(), "active", &online).expect("a plan");
            assert!(
                plan.reasons[0].starts_with(&format!("the {reason} change")),
                "{:?}",
                plan.reasons
            );
            assert_eq!(plan.steps[0], Step::RequestToken);
        }
        let once = RunnerSettings {
            is_ephemeral: true,
            ..settings()
        };
        let plan = planned(&same, Registration::Present(once), "active", &online).expect("a plan");
        assert!(plan.reasons[0].contains("one job only"), "{:?}", plan.reasons);
    }

    #[test]
    fn a_missing_service_is_installed() {
        let installation = installation(Registration::Present(settings()));
        let runners = [runner(7, false, false)];
        for unit in [None, Some(Unit::default())] {
            let situation = Situation {
                installation: &installation,
                unit: unit.as_ref(),
                runners: &runners,
            };
            let plan = plan(&request(), &situation).expect("a plan");
            assert_eq!(
                plan.steps,
                [
                    Step::RemoveService,
                    Step::InstallService,
                    Step::StartService,
                    Step::AwaitOnline
                ]
            );
        }
        let without_script = Installation {
            has_service_script: false,
            ..installation
        };
        let situation = Situation {
            installation: &without_script,
            unit: None,
            runners: &runners,
        };
        let plan = plan(&request(), &situation).expect("a plan");
        assert!(plan.steps.contains(&Step::Configure { replace: true }), "{plan:?}");
        assert!(
            !plan.steps.contains(&Step::RemoveService),
            "there is no script for it: {plan:?}"
        );
    }
}
