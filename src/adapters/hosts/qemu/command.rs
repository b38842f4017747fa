//! The command line of a virtual machine: QEMU, as an account without rights, in a sandbox that shows it its own files, its
//! programs and nothing else. No path leads to its monitor or to its channel: they are inherited sockets.

use super::machine;
use super::plan::{Accelerator, RunAs, Vm};
use crate::adapters::hosts::slots::{PROGRAM_FOLDERS, SandboxOptions, lose_rights};
use std::path::Path;

/// QEMU.
pub(super) const PROGRAM: &str = "qemu-system-x86_64";
/// Paths in the sandbox.
const ROOT: &str = "/vm/root.sqfs";
const KERNEL: &str = "/vm/kernel";
const INITRD: &str = "/vm/initrd.img";
const SCRATCH: &str = "/vm/scratch.img";
/// QEMU needs few files. A limit keeps a broken-out guest from using up those of the machine.
const LIMITS: [&str; 4] = ["prlimit", "--core=0", "--nofile=1024", "--"];
/// Runs its arguments unless its parent is not the process that the first one names: that process has died before the kernel
/// was asked to send the signal of its death.
const ATTACHED: &str = r#"[ "$PPID" = "$1" ] || exit 1; shift; exec "$@""#;
const KVM: &str = "/dev/kvm";
/// QEMU's filter of system calls.
const FILTER: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// The memory of a virtual machine.
#[derive(Debug, Clone, Copy)]
pub(super) enum Memory {
    /// Its own.
    Private,
    /// The inherited file, which gets every change.
    Shared(i32),
    /// The content of the inherited file, which gets no change.
    CopyOf(i32),
}

/// The files that QEMU inherits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inherited {
    pub(super) channel: i32,
    pub(super) monitor: i32,
    pub(super) memory: Memory,
}

/// The places of one virtual machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    /// The name of the slot.
    pub(super) name: &'a str,
    pub(super) scratch: &'a Path,
    /// The resolver configuration that QEMU answers the guest with.
    pub(super) resolver: Option<&'a Path>,
    /// True if QEMU gets a network namespace of its own, in which nothing is reached.
    pub(super) is_alone: bool,
}

/// Returns the words before bubblewrap's. The starter is the process that starts them.
pub(super) fn before_the_sandbox(starter: u32) -> Vec<String> {
    let limits = LIMITS.map(str::to_owned).to_vec();
    [limits, attached(starter)].concat()
}

/// Returns words that run the words after them, which die with the starter. bubblewrap alone would outlive a starter that is
/// killed before bubblewrap asks the kernel to die with it.
fn attached(starter: u32) -> Vec<String> {
    let mut words = ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", ATTACHED, "sh"]
        .map(str::to_owned)
        .to_vec();
    words.push(starter.to_string());
    words
}

/// Returns bubblewrap's options. `by_root` is true if jitgate runs as root.
pub(super) fn sandbox(vm: &Vm, places: Places<'_>, by_root: bool) -> Result<Vec<String>, String> {
    let mut options = SandboxOptions::begin(by_root);
    if places.is_alone {
        options.add(&["--unshare-net"]);
    }
    options.expose(&PROGRAM_FOLDERS)?;
    options.add(&["--proc", "/proc", "--dev", "/dev", "--dir", "/vm", "--dir", "/etc"]);
    if vm.accelerator == Accelerator::Kvm {
        options.add(&["--dev-bind", KVM, KVM]);
    }
    if let Some(resolver) = places.resolver {
        options.bind("--ro-bind", resolver, Path::new("/etc/resolv.conf"))?;
    }
    for (from, to) in [(&vm.root, ROOT), (&vm.kernel, KERNEL), (&vm.initrd, INITRD)] {
        options.bind("--ro-bind", from, Path::new(to))?;
    }
    options.bind("--bind", places.scratch, Path::new(SCRATCH))?;
    options.add(&["--remount-ro", "/", "--chdir", "/"]);
    Ok(options.into_words())
}

/// Returns the words that run in the sandbox: QEMU, as the account if one is given.
pub(super) fn words(vm: &Vm, name: &str, account: Option<RunAs>, inherited: Inherited) -> Vec<String> {
    let mut words = Words(account.map(become_account).unwrap_or_default());
    words.add(&[
        PROGRAM,
        "-name",
        name,
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
    ]);
    words.add(&["-no-reboot", "-sandbox", FILTER]);
    add_hardware(&mut words, vm, inherited.memory);
    add_devices(&mut words, vm, inherited);
    if matches!(inherited.memory, Memory::CopyOf(_)) {
        words.add(&["-incoming", "defer"]);
    }
    words.0
}

/// Adds the machine with its memory, its processors and its kernel.
fn add_hardware(words: &mut Words, vm: &Vm, memory: Memory) {
    let mut kind = machine::name(vm.machine).to_owned();
    let backing = match memory {
        Memory::Private => None,
        Memory::Shared(file) => Some((file, "on")),
        Memory::CopyOf(file) => Some((file, "off")),
    };
    if let Some((file, shared)) = backing {
        kind.push_str(",memory-backend=memory");
        let (size, path) = (vm.memory_mib, format!("/proc/self/fd/{file}"));
        let backend = format!("memory-backend-file,id=memory,size={size}M,mem-path={path},share={shared}");
        words.add(&["-object", &backend]);
    }
    words.add(&["-M", &kind]);
    let (accelerator, processor) = match vm.accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        // The cache of translated code is bounded, in MiB.
        Accelerator::Tcg { .. } => ("tcg,tb-size=256", "max"),
    };
    words.add(&["-accel", accelerator, "-cpu", processor]);
    words.add(&["-m", &format!("{}M", vm.memory_mib), "-smp", &vm.cpus.to_string()]);
    words.add(&["-kernel", KERNEL, "-initrd", INITRD]);
    words.add(&["-append", &machine::kernel_options(vm)]);
}

/// Adds the console, the disks, the random numbers, the channel, the monitor and the network.
fn add_devices(words: &mut Words, vm: &Vm, inherited: Inherited) {
    let device = |kind: &str| machine::device(vm.machine, kind);
    words.add(&["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
    for (id, file, more) in [("root", ROOT, ",readonly=on"), ("scratch", SCRATCH, "")] {
        let drive = format!("id={id},file={file},format=raw,if=none,cache=unsafe{more}");
        words.add(&["-drive", &drive]);
        words.add(&["-device", &format!("{},drive={id},serial={id}", device("blk"))]);
    }
    words.add(&["-object", "rng-random,id=random,filename=/dev/urandom"]);
    words.add(&["-device", &format!("{},rng=random", device("rng"))]);
    words.add(&["-device", &device("serial")]);
    words.add(&["-chardev", &format!("socket,id=channel,fd={}", inherited.channel)]);
    words.add(&["-device", "virtserialport,chardev=channel,name=jitgate"]);
    words.add(&["-chardev", &format!("socket,id=monitor,fd={}", inherited.monitor)]);
    words.add(&["-mon", "chardev=monitor,mode=control"]);
    if vm.has_network {
        words.add(&["-netdev", "user,id=network,ipv6=off"]);
        words.add(&["-device", &format!("{},netdev=network", device("net"))]);
    }
}

fn become_account(account: RunAs) -> Vec<String> {
    let groups = account
        .kvm
        .map_or_else(|| "--clear-groups".to_owned(), |group| format!("--groups={group}"));
    lose_rights(vec![
        format!("--reuid={}", account.uid),
        format!("--regid={}", account.gid),
        groups,
    ])
}

/// The words of a command.
struct Words(Vec<String>);

impl Words {
    fn add(&mut self, new: &[&str]) {
        self.0.extend(new.iter().map(|word| (*word).to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Machine;
    use std::path::PathBuf;
    use std::process::Command;

    fn vm(machine: Machine, accelerator: Accelerator) -> Vm {
        Vm {
            image: "0123456789abcdef".to_owned(),
            root: PathBuf::from("/images/root.sqfs"),
            kernel: PathBuf::from("/images/vmlinux"),
            initrd: PathBuf::from("/images/initrd.img"),
            machine,
            accelerator,
            memory_mib: 512,
            cpus: 2,
            disk_gib: 1,
            has_network: true,
            program: String::new(),
        }
    }

    fn text(vm: &Vm, memory: Memory) -> String {
        let inherited = Inherited {
            channel: 10,
            monitor: 11,
            memory,
        };
        words(vm, "slot-1", None, inherited).join(" ")
    }

    #[test]
    fn nothing_starts_whose_starter_has_died() {
        let said = |starter: u32| {
            let words = [
                before_the_sandbox(starter),
                vec!["echo".to_owned(), "it runs".to_owned()],
            ]
            .concat();
            let output = Command::new(&words[0]).args(&words[1..]).output().expect("prlimit");
            (
                output.status.success(),
                String::from_utf8_lossy(&output.stdout).into_owned(),
            )
        };
        let this = std::process::id();
        assert_eq!(said(this), (true, "it runs\n".to_owned()));
        assert_eq!(said(this + 1), (false, String::new()), "its parent is not the starter");
    }

    #[test]
    fn emulation_gets_its_clock_on_the_machine_that_has_none() {
        let emulated = Accelerator::Tcg { tsc_khz: 2_600_000 };
        for (machine, accelerator, expected) in [
            (Machine::Microvm, emulated, true),
            (Machine::Q35, emulated, false),
            (Machine::Microvm, Accelerator::Kvm, false),
        ] {
            let text = text(&vm(machine, accelerator), Memory::Private);
            assert_eq!(text.contains("tsc_early_khz=2600000"), expected, "{text}");
        }
    }

    #[test]
    fn only_a_resumed_machine_waits_for_its_state_and_shares_no_change() {
        let vm = vm(Machine::Microvm, Accelerator::Kvm);
        let resumed = text(&vm, Memory::CopyOf(12));
        assert!(resumed.contains("mem-path=/proc/self/fd/12,share=off"), "{resumed}");
        assert!(resumed.contains("-incoming defer"), "{resumed}");
        let saved = text(&vm, Memory::Shared(12));
        assert!(saved.contains("share=on") && !saved.contains("-incoming"), "{saved}");
        assert!(!text(&vm, Memory::Private).contains("memory-backend"));
    }

    /// Every word of QEMU and of the words before it: none goes without a change here.
    #[test]
    fn a_machine_has_these_devices_and_rights_and_no_others() {
        let vm = vm(Machine::Microvm, Accelerator::Kvm);
        let inherited = Inherited {
            channel: 10,
            monitor: 11,
            memory: Memory::CopyOf(12),
        };
        let account = RunAs {
            uid: 65534,
            gid: 65533,
            kvm: None,
        };
        let expected = "setpriv --reuid=65534 --regid=65533 --clear-groups --no-new-privs --inh-caps=-all --ambient-caps=-all \
            --bounding-set=-all -- qemu-system-x86_64 -name slot-1 -nodefaults -no-user-config -display none -no-reboot \
            -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \
            -object memory-backend-file,id=memory,size=512M,mem-path=/proc/self/fd/12,share=off \
            -M microvm,memory-backend=memory -accel kvm -cpu host -m 512M -smp 2 -kernel /vm/kernel -initrd /vm/initrd.img \
            -append console=ttyS0 quiet panic=-1 reboot=t cryptomgr.notests \
            -chardev stdio,id=console,signal=off -serial chardev:console \
            -drive id=root,file=/vm/root.sqfs,format=raw,if=none,cache=unsafe,readonly=on \
            -device virtio-blk-device,drive=root,serial=root \
            -drive id=scratch,file=/vm/scratch.img,format=raw,if=none,cache=unsafe \
            -device virtio-blk-device,drive=scratch,serial=scratch \
            -object rng-random,id=random,filename=/dev/urandom -device virtio-rng-device,rng=random \
            -device virtio-serial-device -chardev socket,id=channel,fd=10 \
            -device virtserialport,chardev=channel,name=jitgate -chardev socket,id=monitor,fd=11 \
            -mon chardev=monitor,mode=control -netdev user,id=network,ipv6=off \
            -device virtio-net-device,netdev=network -incoming defer";
        assert_eq!(words(&vm, "slot-1", Some(account), inherited).join(" "), expected);
        let emulated = text(&vm_of_tcg(), Memory::Private);
        assert!(emulated.contains(" -accel tcg,tb-size=256 -cpu max "), "{emulated}");
        let without_network = Vm {
            has_network: false,
            ..vm_of_tcg()
        };
        let without_network = text(&without_network, Memory::Private);
        assert!(!without_network.contains("net"), "{without_network}");
        let group = RunAs {
            kvm: Some(106),
            ..account
        };
        assert!(become_account(group).contains(&"--groups=106".to_owned()));
        let before = format!("prlimit --core=0 --nofile=1024 -- setpriv --pdeathsig KILL -- sh -c {ATTACHED} sh 7");
        assert_eq!(before_the_sandbox(7).join(" "), before);
    }

    fn vm_of_tcg() -> Vm {
        vm(Machine::Q35, Accelerator::Tcg { tsc_khz: 2_600_000 })
    }

    /// Returns the options of a sandbox but those for the folders of the system, which are read-only or links.
    fn options(vm: &Vm, resolver: Option<&Path>, is_alone: bool, by_root: bool) -> String {
        let places = Places {
            name: "slot-1",
            scratch: Path::new("/slots/slot-1/scratch.img"),
            resolver,
            is_alone,
        };
        let mut options = sandbox(vm, places, by_root).expect("options");
        while let Some(at) = options.iter().position(|word| PROGRAM_FOLDERS.contains(&word.as_str())) {
            // A link has its own target in the place of the path.
            let begin = match options[at + 1] == options[at] {
                true => at - 1,
                false => at - 2,
            };
            let [kind, from, to] = &options[begin..begin + 3] else {
                unreachable!()
            };
            assert!(
                kind == "--symlink" || (kind == "--ro-bind" && from == to),
                "{options:?}"
            );
            options.drain(begin..begin + 3);
        }
        options.join(" ")
    }

    #[test]
    fn a_sandbox_shows_one_machine_and_takes_every_right() {
        let alone = "--unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try --die-with-parent --new-session";
        let system = "--proc /proc --dev /dev --dir /vm --dir /etc";
        let files = "--ro-bind /images/root.sqfs /vm/root.sqfs --ro-bind /images/vmlinux /vm/kernel \
            --ro-bind /images/initrd.img /vm/initrd.img --bind /slots/slot-1/scratch.img /vm/scratch.img --remount-ro / --chdir /";
        let by_root = "--cap-drop ALL --cap-add CAP_SETUID --cap-add CAP_SETGID --cap-add CAP_SETPCAP";
        assert_eq!(
            options(&vm_of_tcg(), None, true, true),
            format!("{alone} {by_root} --unshare-net {system} {files}")
        );
        assert_eq!(
            options(&vm_of_tcg(), Some(Path::new("/slots/resolver")), false, true),
            format!("{alone} {by_root} {system} --ro-bind /slots/resolver /etc/resolv.conf {files}")
        );
        assert_eq!(
            options(&vm(Machine::Q35, Accelerator::Kvm), None, false, false),
            format!("{alone} --cap-drop ALL --unshare-user {system} --dev-bind /dev/kvm /dev/kvm {files}")
        );
    }
}
