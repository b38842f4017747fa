//! The confinement of QEMU as the kernel reports it: an account without rights, in a sandbox that shows one machine, with a
//! filter of system calls. No path leads to its monitor, and the JIT configuration is nowhere.

use crate::built::image;
use crate::machine::{Stage, booted, claim, eventually, processes};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jitgate::domain::slot::SlotId;
use jitgate::ports::RunnerHost;
use rustix::fs::{SealFlags, fcntl_get_seals};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

/// Folders of the system, which are read-only, and those that bubblewrap makes.
const VISIBLE: [&str; 11] = [
    "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "usr", "vm",
];
/// A runner program that reports its own rights and the command line of the kernel. The secret is in its configuration.
const SCRIPT: &str = "grep -E '^(Cap|NoNewPrivs|Uid)' /proc/self/status; cat /proc/cmdline; echo reported; \
    sleep 1000 # hunter2-hunter2-hunter2";
const NO_RIGHTS: &str = "0000000000000000";

/// Returns the id of the QEMU of a slot, once it runs.
pub(crate) fn qemu(slot: &SlotId) -> Option<u32> {
    let ids = fs::read_dir("/proc").expect("processes").flatten();
    let mut ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.find(|id| {
        // Bubblewrap has the same words on its command line.
        let is_qemu = fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name.starts_with("qemu-system"));
        is_qemu && text(&format!("/proc/{id}/cmdline")).contains(&slot.0)
    })
}

fn text(path: &str) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).replace('\0', " ")
}

/// Returns the fields of a status file of the kernel.
fn fields(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs
        .map(|(name, value)| (name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect()
}

fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect(folder).flatten();
    entries
        .map(|entry| entry.file_name().into_string().expect("a name"))
        .collect()
}

#[tokio::test]
async fn the_process_of_a_machine_has_no_rights_and_sees_its_own_files_alone() {
    let stage = Stage::new(&image());
    let host = stage.host();
    let slot = booted(&host).await;
    let id = qemu(&slot).expect("QEMU runs");
    let of = |name: &str| format!("/proc/{id}/{name}");

    has_no_rights(&of("status"));
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/{kind}")).expect(kind);
        assert_ne!(namespace(&id.to_string()), namespace("self"), "{kind}");
    }
    let limits = text(&of("limits"));
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        line.expect(name)
            .split_whitespace()
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    assert_eq!(limit("Max open files"), ["1024", "1024"]);
    let status: serde_json::Value =
        serde_json::from_str(&text(stage.folder(&slot).join("status.json").to_str().expect("text"))).expect("JSON");
    assert_ne!(
        session(&of("stat")),
        session(&format!("/proc/{}/stat", status["keeper"]["pid"]))
    );
    let environment = text(&of("environ"));
    let variables: BTreeSet<&str> = environment
        .split(' ')
        .filter_map(|variable| Some(variable.split_once('=')?.0))
        .collect();
    assert_eq!(
        variables,
        BTreeSet::from(["JITGATE_SLOT", "PATH", "PWD"]),
        "{environment}"
    );

    sees_its_own_files(&of("root"), &of("mountinfo"));
    has_open_what_it_needs(&of("fd"), &of("net/unix"));
    is_sealed();

    let folder = stage.folder(&slot);
    let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("gate"))), (0o700, 0o700));
    let disk = fs::metadata(folder.join("scratch.img")).expect("a disk");
    assert_eq!((mode(&folder.join("scratch.img")), disk.uid()), (0o600, id_of_qemu()));

    claim(&host, &slot, SCRIPT).await;
    let reported = || Some(stage.output(&slot)).filter(|output| output.contains("reported"));
    let output = eventually("the runner program reports", reported).await;
    let runner = fields(&output);
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(runner[name], NO_RIGHTS, "{name}: {output}");
    }
    assert_eq!(
        (runner["NoNewPrivs"].as_str(), runner["Uid"].as_str()),
        ("1", "1001 1001 1001 1001")
    );
    // No command line has the configuration, neither that of a process nor that of the kernel, and no file.
    let secret = STANDARD.encode(SCRIPT);
    let lines = processes(&slot).concat() + &output;
    assert!(lines.contains("console=ttyS0") && !lines.contains(&secret), "{lines}");
    let mut search = Command::new("grep");
    search.args([
        "--recursive",
        "--files-with-matches",
        "--fixed-strings",
        "--text",
        "--devices=skip",
    ]);
    let found = search
        .arg(&secret)
        .arg(&stage.settings.state_dir)
        .output()
        .expect("grep");
    assert_eq!(
        String::from_utf8_lossy(&found.stdout),
        "",
        "files with the configuration"
    );
    host.destroy(&slot).await.expect("destroyed");
    assert_eq!(processes(&slot), [] as [String; 0]);
}

fn id_of_qemu() -> u32 {
    let id = Command::new("id").args(["-u", "nobody"]).output().expect("id");
    String::from_utf8_lossy(&id.stdout).trim().parse().expect("a number")
}

fn has_no_rights(status: &str) {
    let status = fields(&text(status));
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status[name], NO_RIGHTS, "{name}");
    }
    let own = id_of_qemu();
    assert_eq!(status["Uid"], format!("{own} {own} {own} {own}"));
    assert_ne!(status["Gid"].split(' ').next(), Some("0"));
    for (name, expected) in [("Groups", ""), ("NoNewPrivs", "1"), ("Seccomp", "2")] {
        assert_eq!(status[name], expected, "{name}");
    }
}

/// Returns the session of a process, by its file `stat`.
fn session(stat: &str) -> String {
    let stat = text(stat);
    let (_, rest) = stat.rsplit_once(") ").expect("fields");
    rest.split(' ').nth(3).expect("a session").to_owned()
}

fn sees_its_own_files(root: &str, mounts: &str) {
    let seen = names(root);
    let visible = BTreeSet::from(VISIBLE.map(str::to_owned));
    assert!(seen.is_subset(&visible), "{seen:?}");
    assert_eq!(
        names(&format!("{root}/vm")),
        BTreeSet::from(["initrd.img", "kernel", "root.sqfs", "scratch.img"].map(str::to_owned))
    );
    assert_eq!(names(&format!("{root}/etc")), BTreeSet::new());
    let mounts = text(mounts);
    let mut writable = Vec::new();
    for mount in mounts.lines() {
        let words: Vec<&str> = mount.split(' ').collect();
        let (place, options) = (words[4], words[5]);
        let is_of_the_kernel = ["/dev", "/proc"].iter().any(|folder| place.starts_with(folder));
        if !is_of_the_kernel && !options.split(',').any(|option| option == "ro") {
            writable.push(place);
        }
    }
    assert_eq!(writable, ["/vm/scratch.img"], "{mounts}");
}

fn has_open_what_it_needs(files: &str, sockets: &str) {
    let mut inherited = Vec::new();
    for name in names(files) {
        let target = fs::read_link(format!("{files}/{name}"))
            .expect("a file")
            .display()
            .to_string();
        let kinds = [
            "anon_inode:",
            "pipe:",
            "/memfd:template-memory",
            "/vm/",
            "/dev/null",
            "/dev/urandom",
            "/dev/kvm",
        ];
        match target.strip_prefix("socket:[") {
            Some(socket) => inherited.push(socket.trim_end_matches(']').to_owned()),
            None => assert!(kinds.iter().any(|kind| target.starts_with(kind)), "{target}"),
        }
    }
    // The channel and the monitor, whose other ends the keeper has. A socket that other processes could find has a path.
    assert_eq!(inherited.len(), 2, "{inherited:?}");
    let all = text("/proc/self/net/unix");
    for socket in inherited {
        let rows = all.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let row = rows.into_iter().find(|row| row.get(6) == Some(&socket.as_str()));
        assert_eq!(row.expect("a socket").len(), 7, "it has no path");
    }
    assert_eq!(text(sockets).lines().count(), 1, "QEMU listens on no socket");
}

/// The files of the template, which this process holds, can be changed by no process any more.
fn is_sealed() {
    let mut sealed = BTreeSet::new();
    for name in names("/proc/self/fd") {
        let path = format!("/proc/self/fd/{name}");
        let target = fs::read_link(&path).unwrap_or_default().display().to_string();
        if target.starts_with("/memfd:template-") {
            let seals = fcntl_get_seals(File::open(&path).expect("a file")).expect("seals");
            let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
            assert!(seals.contains(all), "{target}: {seals:?}");
            sealed.insert(target);
        }
    }
    assert_eq!(sealed.len(), 2, "memory and state: {sealed:?}");
}
