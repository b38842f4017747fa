//! [`RunnerHost`] by virtual machines.

use super::base::Base;
use super::description::Description;
use super::plan::Plan;
use super::settings::{NAME, Settings};
use super::{guest, image, inspection, kept};
use crate::adapters::hosts::slots::{SlotDir, SlotHost, clear_limits, log_findings, open_slots};
use crate::domain::finding::Finding;
use crate::domain::slot::{Ending, KeptDisk, Remains, Slot, SlotId, SlotSize, SlotState};
use crate::ports::{Clock, Failure, RunnerHost};
use async_trait::async_trait;
use secrecy::SecretString;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Runners in virtual machines.
pub struct QemuHost {
    settings: Settings,
    base: Arc<Base>,
    clock: Arc<dyn Clock>,
    slots: SlotHost,
    resume_failures: AtomicU64,
}

impl QemuHost {
    /// Opens the host with the slots that an earlier process left. If this machine cannot run virtual machines, it reports why,
    /// now and at every boot until that changes: jitgate can accept deliveries meanwhile.
    ///
    /// # Errors
    /// When the state directory cannot be used, with the remedy.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, Finding> {
        let (state, instance) = (&settings.state_dir, &settings.instance);
        let slots = open_slots(NAME, state, instance, &settings.program, clock.clone())?;
        log_findings(&inspection::inspect(&settings));
        let folder = slots.layout().folder().to_owned();
        Ok(Self {
            base: Arc::new(Base::new(settings.clone(), clock.clone(), folder)),
            clock,
            settings,
            slots,
            resume_failures: AtomicU64::new(0),
        })
    }

    /// Counts a slot that booted because it could not resume, once.
    fn count_failure(&self, slot: &SlotDir) {
        let file = guest::resume_failure(slot);
        if let Ok(why) = fs::read_to_string(&file)
            && fs::remove_file(&file).is_ok()
        {
            self.resume_failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                slot = slot.name(),
                why,
                "a virtual machine could not resume and booted instead"
            );
        }
    }

    fn has_failed(&self, id: &SlotId) -> bool {
        // A slot that cannot be read keeps nothing.
        let slots = self.slots.list().unwrap_or_default();
        slots.iter().any(|slot| slot.id == *id && kept::has_failed(&slot.state))
    }

    /// Returns true if a new machine of this size would start from another image than the one in the slot, or differ from it.
    fn is_outdated(&self, slot: &SlotDir, size: &SlotSize, current: Option<&Path>) -> bool {
        // Without an image no other machine could replace this one.
        let Some(current) = current else { return false };
        let has_older_image = image::of_slot(slot).is_some_and(|used| used != current);
        has_older_image || !Description::of(&self.settings, size).is_some_and(|now| now.is_of(slot))
    }
}

#[async_trait]
impl RunnerHost for QemuHost {
    async fn boot(&self, size: SlotSize) -> Result<SlotId, Failure> {
        let unknown = || {
            let what = format!("qemu.sizes: there is no size {}", size.as_deref().unwrap_or_default());
            Failure::Permanent(what)
        };
        let shape = self.settings.shape(&size).ok_or_else(unknown)?;
        let description = Description::of(&self.settings, &size).ok_or_else(unknown)?;
        if let Some(problem) = inspection::missing(&self.settings) {
            return Err(Failure::Permanent(problem.to_string()));
        }
        let base = self.base.clone();
        let planned = Arc::new(OnceLock::<Plan>::new());
        let plan = planned.clone();
        self.slots.boot_guest(
            size,
            move |slot, cancelled| {
                let made = guest::make_gate(slot).and_then(|()| description.store(slot));
                made.map_err(|error| format!("cannot write to {}: {error}", slot.0.display()))?;
                let found = base.plan(slot, shape, cancelled)?;
                planned.set(found).map_err(|_| "the slot was prepared twice".to_owned())
            },
            self.settings.deadlines(),
            move |_| {
                plan.get()
                    .cloned()
                    .ok_or_else(|| "the slot was not prepared".to_owned())
            },
        )
    }

    async fn claim(&self, id: &SlotId, runner: &str, config: SecretString) -> Result<(), Failure> {
        let unbooted = |_: &SlotDir| Err::<Plan, String>("the virtual machine has not booted".to_owned());
        let deadlines = self.settings.deadlines();
        self.slots.claim(id, runner, config, deadlines, unbooted).await
    }

    async fn open_gate(&self, id: &SlotId) -> Result<(), Failure> {
        self.slots.open_gate(id).await
    }

    async fn destroy(&self, id: &SlotId) -> Result<(), Failure> {
        let keeps = !self.settings.qemu.keep_failed.is_zero() && self.has_failed(id);
        let folder = self.slots.layout().folder().to_owned();
        let release = move |slot: &SlotDir| {
            clear_limits(slot);
            if keeps && guest::scratch(slot).exists() {
                match kept::keep(&folder, slot) {
                    Ok(place) => tracing::warn!(
                        slot = slot.name(),
                        "kept the disk of a failed machine in {}",
                        place.display()
                    ),
                    Err(error) => {
                        tracing::warn!(slot = slot.name(), %error, "cannot keep the disk of a failed machine")
                    }
                }
            }
        };
        self.slots.destroy(id, release).await
    }

    async fn remains(&self, id: &SlotId) -> Result<Remains, Failure> {
        let remains = self.slots.remains(id)?;
        if remains != Remains::Nothing || self.slots.layout().slot(id).is_none() {
            return Ok(remains);
        }
        let (folder, limit) = (self.slots.layout().folder(), self.settings.qemu.keep_failed);
        let kept = kept::find(folder, &id.0, limit);
        let kept = kept.map_err(|error| Failure::Transient(format!("cannot look for a kept disk: {error}")))?;
        Ok(kept.map_or(Remains::Nothing, Remains::Kept))
    }

    async fn kept_disks(&self) -> Result<Vec<KeptDisk>, Failure> {
        let (folder, limit) = (self.slots.layout().folder(), self.settings.qemu.keep_failed);
        kept::prune(folder, self.clock.now(), limit)
            .map_err(|error| Failure::Transient(format!("cannot list or remove the disks of failed machines: {error}")))
    }

    async fn list(&self) -> Result<Vec<Slot>, Failure> {
        let mut slots = self.slots.list()?;
        let current = image::current(&self.settings);
        for slot in &mut slots {
            let Some(folder) = self.slots.layout().slot(&slot.id) else {
                continue;
            };
            self.count_failure(&folder);
            if slot.state == SlotState::Ready && self.is_outdated(&folder, &slot.size, current.as_deref()) {
                slot.state = SlotState::Ended(Ending::Outdated);
            }
        }
        Ok(slots)
    }

    async fn changed(&self) {
        self.slots.changed().await;
    }

    fn resume_failures(&self) -> Option<u64> {
        Some(self.resume_failures.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::hosts::qemu::settings::tests::settings;
    use chrono::{DateTime, Utc};
    use std::path::PathBuf;
    use std::time::Duration;
    use tempfile::TempDir;

    /// A clock that stands still.
    struct At(DateTime<Utc>);

    impl Clock for At {
        fn now(&self) -> DateTime<Utc> {
            self.0
        }
    }

    /// A host without an image, which keeps the disks of failed machines for this time.
    fn host(place: &TempDir, keep_failed: Duration) -> QemuHost {
        let mut settings = settings(place.path());
        settings.program = PathBuf::from("/bin/true");
        settings.qemu.keep_failed = keep_failed;
        // A time at which nothing is due that is kept for a time, and everything else.
        let now = if keep_failed.is_zero() {
            DateTime::<Utc>::MAX_UTC
        } else {
            DateTime::UNIX_EPOCH
        };
        QemuHost::open(settings, Arc::new(At(now))).expect("a host")
    }

    /// Makes the folder of a slot whose keeper has died, with these files.
    fn lost(host: &QemuHost, name: &str, files: &[&str]) -> SlotId {
        let id = SlotId(name.to_owned());
        let slot = host.slots.layout().slot(&id).expect("a plain name");
        fs::create_dir(&slot.0).expect("a folder");
        for file in files {
            fs::write(slot.0.join(file), "content").expect("a file");
        }
        id
    }

    #[tokio::test]
    async fn nothing_boots_without_an_image_or_with_an_unknown_size() {
        let place = tempfile::tempdir().expect("a directory");
        let host = host(&place, Duration::ZERO);
        let refused = |failure: Result<SlotId, Failure>| match failure {
            Err(Failure::Permanent(why)) => why,
            other => panic!("{other:?}"),
        };
        let why = refused(host.boot(Some("huge".to_owned())).await);
        assert_eq!(why, "qemu.sizes: there is no size huge");
        let why = refused(host.boot(None).await);
        assert!(why.contains("qemu.image: ") || why.contains("missing program"), "{why}");
        assert_eq!(host.list().await.expect("a list"), []);
    }

    #[tokio::test]
    async fn the_disk_of_a_failed_slot_is_kept_listed_and_removed_in_its_time() {
        let place = tempfile::tempdir().expect("a directory");
        let hour = Duration::from_secs(3600);
        let keeping = host(&place, hour);
        let failed = lost(&keeping, "slot-1", &["scratch.img", "status.json"]);
        let without_a_disk = lost(&keeping, "slot-2", &[]);
        for id in [&failed, &without_a_disk] {
            assert!(matches!(keeping.remains(id).await, Ok(Remains::Slot(_))));
            keeping.destroy(id).await.expect("destroyed");
        }
        let kept = keeping.kept_disks().await.expect("a list");
        assert_eq!(
            kept.iter().map(|disk| disk.slot.as_str()).collect::<Vec<_>>(),
            ["slot-1"]
        );
        assert_eq!(
            keeping.remains(&failed).await.expect("an answer"),
            Remains::Kept(kept[0].clone())
        );
        assert_eq!(
            keeping.remains(&without_a_disk).await.expect("an answer"),
            Remains::Nothing
        );
        assert_eq!(
            keeping.remains(&SlotId("../x".to_owned())).await.expect("an answer"),
            Remains::Nothing
        );
        drop(keeping);
        let other = host(&place, Duration::ZERO);
        assert_eq!(other.kept_disks().await.expect("a list"), []);
        assert!(!Path::new(&kept[0].path).exists());
        let failed = lost(&other, "slot-3", &["scratch.img"]);
        other.destroy(&failed).await.expect("destroyed");
        assert_eq!(other.remains(&failed).await.expect("an answer"), Remains::Nothing);
    }

    #[tokio::test]
    async fn a_slot_that_did_not_resume_counts_once() {
        let place = tempfile::tempdir().expect("a directory");
        let host = host(&place, Duration::ZERO);
        assert_eq!(host.resume_failures(), Some(0));
        lost(&host, "slot-1", &["resume-failed"]);
        for _ in 0..2 {
            host.list().await.expect("a list");
            assert_eq!(host.resume_failures(), Some(1));
        }
    }

    #[tokio::test]
    async fn a_slot_is_outdated_only_if_another_image_is_there() {
        let place = tempfile::tempdir().expect("a directory");
        let (host, slot) = (host(&place, Duration::ZERO), SlotDir(place.path().to_owned()));
        let description = Description::of(&host.settings, &None).expect("a size");
        description.store(&slot).expect("stored");
        let (own, other) = (Path::new("/images/one"), Path::new("/images/two"));
        assert!(!host.is_outdated(&slot, &None, Some(own)), "it names none yet");
        std::os::unix::fs::symlink(own, place.path().join("image")).expect("a link");
        for (current, expected) in [(Some(other), true), (Some(own), false), (None, false)] {
            assert_eq!(host.is_outdated(&slot, &None, current), expected, "{current:?}");
        }
    }
}
