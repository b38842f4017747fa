//! The base of every slot: the image, the accelerator that works here, an empty disk, and the template that slots resume from.
//! It is found out when the first slot boots, and again when the image changes.

use super::accelerator::{self, KVM};
use super::command::{self, Places};
use super::disk;
use super::image::{Image, NoImage};
use super::plan::{Accelerator, Plan, RunAs, Vm};
use super::running::{Backing, Launch, Running};
use super::settings::{Settings, Shape};
use super::template::Template;
use crate::adapters::hosts::slots::{self, Account, Limits, SYSTEM_PATH, SlotDir, try_limits};
use crate::config::{Accel, VmNetwork};
use crate::ports::Clock;
use rustix::process::geteuid;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Time for a trial machine to reach its agent with KVM. With emulation it takes a tenth of this.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a resumed machine to be prepared. Longer is no gain over a boot.
const RESUME_TIMEOUT: Duration = Duration::from_secs(10);
/// Time until a template is tried again after it could not be made.
const TEMPLATE_RETRY_DELAY: Duration = Duration::from_secs(300);
/// Interval between two looks whether the boot was given up.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The base of the slots of one host.
pub(super) struct Base {
    settings: Settings,
    clock: Arc<dyn Clock>,
    /// The folder for disks that belong to no slot.
    folder: PathBuf,
    found: Mutex<Found>,
}

/// The findings so far.
#[derive(Default)]
struct Found {
    accelerator: Option<Accelerator>,
    /// True if the kernel enforces limits.
    has_limits: Option<bool>,
    /// One template for each size that was used.
    templates: Vec<Template>,
    /// The machines whose template could not be made, and the time of the next attempt.
    failed: Vec<(Vm, Instant)>,
}

impl Base {
    pub(super) fn new(settings: Settings, clock: Arc<dyn Clock>, folder: PathBuf) -> Self {
        Self {
            settings,
            clock,
            folder,
            found: Mutex::default(),
        }
    }

    /// Returns the plan of a slot, which occupies its image from now on. It blocks, for some seconds the first time, and returns
    /// early when `cancelled` becomes true.
    pub(super) fn plan(&self, slot: &SlotDir, shape: Shape, cancelled: &AtomicBool) -> Result<Plan, String> {
        let image = Image::find(&self.settings).map_err(|error| format!("{error}; {}", NoImage::remedy()))?;
        image
            .occupy(slot)
            .map_err(|error| format!("cannot use the image {}: {error}", image.name))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        // Slots that boot at the same time wait for the first one.
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        runtime.block_on(async {
            tokio::select! {
                plan = self.find_out(&mut found, &image, shape) => plan,
                () = given_up(cancelled) => Err("the slot was destroyed while it booted".to_owned()),
            }
        })
    }

    async fn find_out(&self, found: &mut Found, image: &Image, shape: Shape) -> Result<Plan, String> {
        let program = program().ok_or_else(|| {
            format!(
                "missing program {}; install the Debian package `qemu-system-x86`",
                command::PROGRAM
            )
        })?;
        let mut vm = emulated(&self.settings, image, shape, program);
        let scratch = self.folder.join(format!("scratch-{}.img", vm.disk_gib));
        disk::make(&scratch, vm.disk_gib).map_err(|error| error.to_string())?;
        vm.accelerator = match found.accelerator {
            Some(accelerator) => accelerator,
            None => *found.accelerator.insert(self.find_accelerator(&vm, &scratch).await?),
        };
        let account = self.account(vm.accelerator)?;
        let limits = shape.limits();
        let has_limits = *found.has_limits.get_or_insert_with(|| can_limit(limits));
        // Machines of another image, program or accelerator are made no more.
        found.templates.retain(|template| template.fits_but_for_its_size(&vm));
        found.failed.retain(|(_, retry)| Instant::now() < *retry);
        let is_there = found.templates.iter().any(|template| template.fits(&vm));
        if !is_there && !found.failed.iter().any(|(failed, _)| *failed == vm) {
            match self.make_template(&vm, account, &scratch).await {
                Ok(template) => found.templates.push(template),
                Err(error) => {
                    tracing::warn!(%error, "cannot save a virtual machine to resume from: slots boot instead");
                    found.failed.push((vm.clone(), Instant::now() + TEMPLATE_RETRY_DELAY));
                }
            }
        }
        let template = found.templates.iter().find(|template| template.fits(&vm));
        let saved = template.map(Template::saved);
        Ok(Plan {
            vm,
            scratch,
            account,
            network: self.settings.planned_network(),
            limits: if has_limits { limits } else { Limits::default() },
            saved,
            resume_timeout: RESUME_TIMEOUT,
        })
    }

    async fn make_template(&self, vm: &Vm, account: Option<RunAs>, scratch: &Path) -> io::Result<Template> {
        let now = || self.clock.now();
        let limit = self.settings.boot_deadline;
        Template::make(vm, account, scratch, &self.folder, limit, now).await
    }

    /// Returns the accelerator. KVM counts only if a machine reaches its agent with it.
    async fn find_accelerator(&self, vm: &Vm, scratch: &Path) -> Result<Accelerator, String> {
        let accel = self.settings.qemu.accel;
        if accel == Accel::Tcg {
            return Ok(vm.accelerator);
        }
        let tried = self.try_kvm(vm, scratch).await;
        match (tried, accel) {
            (Ok(()), _) => Ok(Accelerator::Kvm),
            (Err(error), Accel::Auto) => {
                tracing::warn!("{KVM} does not work: {error}; virtual machines are emulated, which is slower");
                Ok(vm.accelerator)
            }
            (Err(error), _) => Err(format!(
                "qemu.accel: {KVM} does not work: {error}; enable virtualization in the firmware, or set qemu.accel = \"auto\""
            )),
        }
    }

    async fn try_kvm(&self, vm: &Vm, scratch: &Path) -> Result<(), String> {
        let vm = Vm {
            accelerator: Accelerator::Kvm,
            ..vm.clone()
        };
        let account = self.account(vm.accelerator)?;
        let disk = self.folder.join("trial.img");
        fs::remove_file(&disk).unwrap_or_default();
        let owner = account.map(|account| (account.uid, account.gid));
        let failed = |error: io::Error| error.to_string();
        disk::copy(scratch, &disk, owner).map_err(failed)?;
        let name = format!("trial-{}", self.settings.instance);
        slots::kill_marked(&name);
        let launched = Running::launch(&Launch {
            vm: &vm,
            places: Places {
                name: &name,
                scratch: &disk,
                resolver: None,
                is_alone: true,
            },
            account,
            enter: Vec::new(),
            backing: Backing::Private,
        });
        let booted = match launched {
            Ok(mut running) => {
                let booted = timeout(TRIAL_TIMEOUT, running.boot(|| self.clock.now())).await;
                running.end().await;
                booted.unwrap_or_else(|_| {
                    let what = format!("a virtual machine did not boot within {} s", TRIAL_TIMEOUT.as_secs());
                    Err(io::Error::other(what))
                })
            }
            Err(error) => Err(error),
        };
        fs::remove_file(&disk).unwrap_or_default();
        booted.map_err(failed)
    }

    /// Returns the account that QEMU runs as, if it is not that of jitgate.
    fn account(&self, accelerator: Accelerator) -> Result<Option<RunAs>, String> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let name = &self.settings.qemu.user;
        let account = Account::named(name).ok_or_else(|| format!("qemu.user: unknown account {name}"))?;
        Ok(Some(RunAs {
            uid: account.uid,
            gid: account.gid,
            kvm: (accelerator == Accelerator::Kvm).then(accelerator::kvm_group).flatten(),
        }))
    }
}

async fn given_up(cancelled: &AtomicBool) {
    while !cancelled.load(Ordering::Relaxed) {
        sleep(LOOK_INTERVAL).await;
    }
}

/// Returns true if the kernel can enforce limits. Without them, the machine itself limits its guest.
fn can_limit(limits: Limits) -> bool {
    let tried = try_limits(limits);
    if let Err(error) = &tried {
        tracing::warn!("QEMU runs without a control group: {error}");
    }
    tried.is_ok()
}

/// Returns the virtual machine of an image and a size, with emulation. `program` describes QEMU's program.
pub(super) fn emulated(settings: &Settings, image: &Image, shape: Shape, program: String) -> Vm {
    Vm {
        image: image.name.clone(),
        root: image.root.clone(),
        kernel: image.kernel.clone(),
        initrd: image.initrd.clone(),
        machine: settings.qemu.machine,
        accelerator: accelerator::emulation(),
        memory_mib: shape.memory_mib,
        cpus: shape.cpus,
        disk_gib: shape.disk_gib,
        has_network: settings.qemu.network != VmNetwork::None,
        program,
    }
}

/// Returns a description of QEMU's program that changes when it is replaced, or none if it is missing.
pub(super) fn program() -> Option<String> {
    let mut places = SYSTEM_PATH
        .split(':')
        .map(|folder| Path::new(folder).join(command::PROGRAM));
    let about = places.find_map(|path| fs::metadata(path).ok())?;
    Some(format!(
        "{}:{}:{}:{}.{}",
        about.dev(),
        about.ino(),
        about.size(),
        about.mtime(),
        about.mtime_nsec()
    ))
}
