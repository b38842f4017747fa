//! A template: a machine that was booted once and saved at its agent's hello. Slots resume from it instead of booting.
//!
//! The memory is sealed before anything resumes from it, so that a guest that broke out cannot change the machines after it.
//! Whatever resumes has the random numbers and the clock of the template until its agent has taken new ones.

use super::command::Places;
use super::disk;
use super::plan::{RunAs, Saved, Vm};
use super::running::{Backing, Launch, Running};
use crate::adapters::hosts::slots;
use chrono::{DateTime, Utc};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, ftruncate, memfd_create};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Time for QEMU to let go of the memory after its end.
const SEAL_TIMEOUT: Duration = Duration::from_secs(5);
const SEAL_INTERVAL: Duration = Duration::from_millis(5);

/// A saved machine.
pub(super) struct Template {
    vm: Vm,
    memory: File,
    state: File,
    scratch: PathBuf,
}

impl Template {
    /// Boots a machine, saves it and ends it. `empty` is an empty scratch disk, and `folder` gets the template's.
    pub(super) async fn make(
        vm: &Vm,
        account: Option<RunAs>,
        empty: &Path,
        folder: &Path,
        limit: Duration,
        now: impl Fn() -> DateTime<Utc>,
    ) -> io::Result<Self> {
        // Each size has a template of its own.
        let scratch = folder.join(format!("template-{}-{}-{}.img", vm.memory_mib, vm.cpus, vm.disk_gib));
        match fs::remove_file(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        disk::copy(empty, &scratch, account.map(|account| (account.uid, account.gid)))?;
        let memory = in_memory("template-memory")?;
        ftruncate(&memory, u64::from(vm.memory_mib) * 1024 * 1024)?;
        let template = Self {
            vm: vm.clone(),
            memory,
            state: in_memory("template-state")?,
            scratch,
        };
        // The instance's name tells its processes from those of other instances. An instance makes one template at a time, so
        // others are left of a process that was killed: the first process of a sandbox outlives it in its first moment.
        let instance = folder.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("template-{instance}");
        slots::kill_marked(&name);
        let mut running = Running::launch(&Launch {
            vm,
            places: Places {
                name: &name,
                scratch: &template.scratch,
                resolver: None,
                is_alone: true,
            },
            account,
            enter: Vec::new(),
            backing: Backing::Shared(&template.memory),
        })?;
        let saved = timeout(limit, async {
            running.boot(now).await?;
            running.save(&template.state).await
        });
        let saved = saved.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        running.end().await;
        saved?;
        template.seal().await?;
        Ok(template)
    }

    /// Returns true if a machine with this description can resume from this template.
    pub(super) fn fits(&self, vm: &Vm) -> bool {
        self.vm == *vm
    }

    /// Returns true if a machine with this description differs from that of the template by its size at most.
    pub(super) fn fits_but_for_its_size(&self, vm: &Vm) -> bool {
        let Vm {
            memory_mib,
            cpus,
            disk_gib,
            ..
        } = self.vm;
        self.fits(&Vm {
            memory_mib,
            cpus,
            disk_gib,
            ..vm.clone()
        })
    }

    /// Returns the paths by which other processes of this account open the template while this process lives.
    pub(super) fn saved(&self) -> Saved {
        let path = |file: &File| PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
        Saved {
            memory: path(&self.memory),
            state: path(&self.state),
            scratch: self.scratch.clone(),
        }
    }

    async fn seal(&self) -> io::Result<()> {
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        let deadline = Instant::now() + SEAL_TIMEOUT;
        for file in [&self.memory, &self.state] {
            loop {
                match fcntl_add_seals(file, seals) {
                    Ok(()) => break,
                    // QEMU still maps it.
                    Err(Errno::BUSY) if Instant::now() < deadline => sleep(SEAL_INTERVAL).await,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        fs::remove_file(&self.scratch).unwrap_or_default();
    }
}

/// Opens a file of a template, and refuses one that anything could still change.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::WRITE)) {
        return Ok(file);
    }
    Err(io::Error::other(format!(
        "{} is not a sealed file in memory",
        path.display()
    )))
}

fn in_memory(name: &str) -> io::Result<File> {
    Ok(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::hosts::qemu::plan::Accelerator;
    use crate::config::Machine;
    use std::io::Write;

    /// Each change of a machine but that of its size.
    const OTHERS: [fn(&mut Vm); 7] = [
        |vm| vm.image.push('x'),
        |vm| vm.root.push("x"),
        |vm| vm.kernel.push("x"),
        |vm| vm.machine = Machine::Microvm,
        |vm| vm.accelerator = Accelerator::Kvm,
        |vm| vm.has_network = true,
        |vm| vm.program.push('x'),
    ];
    const SIZES: [fn(&mut Vm); 3] = [|vm| vm.memory_mib += 1, |vm| vm.cpus += 1, |vm| vm.disk_gib += 1];

    #[test]
    fn a_machine_that_differs_from_its_template_does_not_resume_from_it() {
        let place = tempfile::tempdir().expect("a directory");
        let vm = Vm {
            image: "0123456789abcdef".to_owned(),
            root: PathBuf::from("/images/root.sqfs"),
            kernel: PathBuf::from("/images/vmlinux"),
            initrd: PathBuf::from("/images/initrd.img"),
            machine: Machine::Q35,
            accelerator: Accelerator::Tcg { tsc_khz: 2_600_000 },
            memory_mib: 512,
            cpus: 2,
            disk_gib: 1,
            has_network: false,
            program: "1:2:3:4.5".to_owned(),
        };
        let template = Template {
            vm: vm.clone(),
            memory: in_memory("memory").expect("a file"),
            state: in_memory("state").expect("a file"),
            scratch: place.path().join("template.img"),
        };
        fs::write(&template.scratch, "disk").expect("a file");
        assert!(template.fits(&vm) && template.fits_but_for_its_size(&vm));
        for (changes, is_size) in [(&OTHERS[..], false), (&SIZES, true)] {
            for change in changes {
                let mut other = vm.clone();
                change(&mut other);
                assert!(!template.fits(&other), "{other:?}");
                assert_eq!(template.fits_but_for_its_size(&other), is_size, "{other:?}");
            }
        }
        let scratch = template.scratch.clone();
        drop(template);
        assert!(!scratch.exists(), "its disk is of no use without it");
    }

    #[test]
    fn memory_that_can_still_be_changed_is_refused() {
        let mut file = in_memory("memory").expect("a file");
        file.write_all(b"memory").expect("written");
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        open(&path).expect_err("it is not sealed");
        fcntl_add_seals(&file, SealFlags::WRITE).expect("sealed");
        open(&path).expect("it is sealed");
        file.write_all(b"more").expect_err("it is sealed");
    }
}
