//! `jitgate image` with programs that stand in for mmdebstrap and sqfstar: what a build leaves, and what it leaves not.
//! `tests/vm/` has the real ones.

use super::stage::Stage;
use crate::config::place::{Answer, Place};
use chrono::TimeDelta;
use jitgate::adapters::clock::SystemClock;
use jitgate::ports::Clock;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Packs the folder `root`, or fails if a file says so. It records its arguments without the lines of their script. If there is a
/// pipe `begun`, it works until it is killed, and its processes hold the pipe. As root it mounts a folder of the machine then, as
/// the real one does.
const MMDEBSTRAP: &str = r#"#!/bin/sh
here=$(dirname "$0")
[ "$1" = --version ] && exit 0
{ echo "$SOURCE_DATE_EPOCH $*" | sed -n '1p;$p' | tr '\n' ' '; echo; } >>"$here/calls"
if [ -e "$here/begun" ]; then
    exec 9>"$here/begun"
    case "${TMPDIR-} $*" in
        " "* | *--skip=chroot/mount*) ;;
        *) mkdir "$TMPDIR/machine" && mount --bind "$here" "$TMPDIR/machine" 2>/dev/null ;;
    esac
    echo >&9
    sleep 600 &
    exec sleep 600
fi
[ ! -e "$here/fails" ] || { echo "E: no route to the archive" >&2; exit 25; }
# The real one works in another folder.
for word; do case $word in /*/debian.tar) target=$word ;; esac; done
exec tar --directory "$here/../root" --create --file "$target" --owner=0 --group=0 --mtime=@1 --sort=name .
"#;
/// Keeps the archive as it is.
const SQFSTAR: &str = r#"#!/bin/sh
[ "$1" != -version ] || exit 0
for word; do target=$word; done
exec cat >"$target"
"#;
const DONE: &str = "#!/bin/sh\n";
const BOOT: &str = "root/usr/lib/jitgate-boot";
/// The packages that a runner program needs, as the stand-in for Debian has them.
const PACKAGES: [&str; 11] = [
    "ca-certificates",
    "curl",
    "git",
    "jq",
    "libicu72",
    "libkrb5-3",
    "liblttng-ust1",
    "libssl3",
    "libstdc++6",
    "tar",
    "zlib1g",
];

/// A machine with a runner program, and with stand-ins for the programs that a build starts.
struct Desk(Place);

impl Desk {
    fn new() -> Self {
        let place = Place::with("[server]\nstate_dir = \"state\"\n");
        for (name, text) in [("mmdebstrap", MMDEBSTRAP), ("sqfstar", SQFSTAR), ("newuidmap", DONE)] {
            place.file(&format!("bin/{name}"), text, 0o755);
        }
        let package = |name: &str| format!("Package: {name}\nStatus: install ok installed\nVersion: 1.0\n\n");
        let status = PACKAGES.map(package).concat() + "Package: libc6\nStatus: install ok installed\nVersion: 2.99-1\n";
        place.file("root/var/lib/dpkg/status", &status, 0o644);
        place.file("root/etc/hostname", "of the machine that builds\n", 0o644);
        place.file("root/etc/debian_version", "12.99\n", 0o644);
        for (name, text) in [
            ("boot/vmlinuz-6.1.0-1-cloud-amd64", "a kernel"),
            ("bin/busybox", "busybox"),
            ("packages", "linux-image-6.1.0-1-cloud-amd64 6.1.1-1\n"),
            ("lib/modules/6.1.0-1-cloud-amd64/kernel/virtio-rng.ko", "\0depends=\0"),
            (
                "lib/modules/6.1.0-1-cloud-amd64/modules.builtin",
                "virtio_mmio.ko\nvirtio_pci.ko\nvirtio_blk.ko\nvirtio_console.ko\nvirtio_net.ko\nsquashfs.ko\next4.ko\noverlay.ko\n",
            ),
        ] {
            place.file(&format!("{BOOT}/{name}"), text, 0o644);
        }
        // Small, unlike jitgate.
        place.file("agent", "#!/bin/sh\n", 0o755);
        let desk = Self(place);
        desk.runner("2.336.0");
        desk
    }

    /// Puts this release of a runner program in its place.
    fn runner(&self, release: &str) {
        self.0.file("runner/run.sh", "#!/bin/sh\n", 0o755);
        self.0.file("runner/bin/Runner.Worker", "the worker", 0o755);
        self.0.file("runner/.credentials", "hunter2", 0o600);
        let list = json!({"libraries": {format!("Runner.Listener/{release}"): {}}}).to_string();
        self.0.file("runner/bin/Runner.Listener.deps.json", &list, 0o644);
    }

    /// Runs `jitgate image`.
    fn image(&self, words: &[&str]) -> Answer {
        let path = format!("{}:/usr/bin:/bin", self.0.path("bin").display());
        self.0.jitgate(
            &[&["--json", "image"], words].concat(),
            &[("PATH", &path), ("LOGNAME", "alice")],
        )
    }

    /// Builds an image and returns the answer.
    #[track_caller]
    fn built(&self, words: &[&str]) -> Value {
        let answer = self.image(&[&["build", "--program", "agent", "--runner", "runner"], words].concat());
        assert_eq!(answer.code, 0, "{}", answer.err);
        answer.json()
    }

    /// Starts a build whose mmdebstrap does not end. Returns a pipe that is at its end when no program of the build is left.
    fn begin(&self) -> (Child, File) {
        let begun = self.0.path("bin/begun");
        assert!(Command::new("mkfifo").arg(&begun).status().expect("mkfifo").success());
        let mut command = Command::new(env!("CARGO_BIN_EXE_jitgate"));
        command
            .args(["image", "build", "--program", "agent", "--runner", "runner"])
            .env_clear();
        command.env("PATH", format!("{}:/usr/bin:/bin", self.0.path("bin").display()));
        let build = command
            .current_dir(self.0.path(""))
            .stderr(Stdio::piped())
            .spawn()
            .expect("jitgate starts");
        // The other end is opened by mmdebstrap.
        let mut programs = File::open(&begun).expect("a pipe");
        programs.read_exact(&mut [0]).expect("a message");
        fs::remove_file(begun).expect("removed");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let here = self.0.path("").display().to_string();
        assert!(!mounts.contains(&here), "a mount of the build is visible: {mounts}");
        (build, programs)
    }

    /// Returns the recorded changes, the newest first.
    fn changes(&self) -> Vec<Value> {
        let listed = self.0.jitgate(&["--json", "changes", "list"], &[]).json();
        listed["changes"].as_array().expect("a list").clone()
    }

    fn names(&self) -> Vec<String> {
        let list = self.image(&["list"]).json();
        let names = list.as_array().expect("a list").iter();
        names
            .map(|image| image["name"].as_str().expect("a name").to_owned())
            .collect()
    }

    /// Returns the names in the folder of images.
    fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path("state/images"))
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.0.path("bin/calls")).unwrap_or_default()
    }
}

/// Returns the time that is a little more than these days ago.
fn before(days: i64) -> SystemTime {
    (SystemClock.now() - TimeDelta::days(days) - TimeDelta::minutes(1)).into()
}

fn path(built: &Value) -> PathBuf {
    PathBuf::from(built["path"].as_str().expect("a path"))
}

/// Returns the findings of `image verify` that are not as they should be.
fn wrong(answer: &Answer) -> Vec<String> {
    let report = answer.json();
    let findings = report["findings"].as_array().expect("findings").iter();
    let wrong = findings.filter(|finding| finding["verdict"] != "ok");
    wrong
        .map(|finding| finding["what"].as_str().expect("text").to_owned())
        .collect()
}

#[test]
fn a_build_is_named_by_its_content_and_becomes_the_current_image() {
    let desk = Desk::new();
    let built = desk.built(&["--why", "the first one"]);
    let folder = desk.0.path(path(&built).to_str().expect("text"));
    assert_eq!(built["manifest"]["runner"], "2.336.0");
    assert_eq!(built["manifest"]["kernel"], "6.1.0-1-cloud-amd64");
    let versions = built["manifest"]["packages"].as_array().expect("packages");
    assert_eq!(versions.len(), PACKAGES.len() + 2);
    let names = versions.iter().map(|package| package["name"].as_str());
    assert!(names.is_sorted(), "{versions:?}");
    let current = fs::read_link(desk.0.path("state/images/current")).expect("a link");
    assert_eq!(Some(current.as_os_str()), folder.file_name());
    let listed = Command::new("tar")
        .arg("-tvf")
        .arg(folder.join("root.sqfs"))
        .output()
        .expect("tar");
    let listed = String::from_utf8(listed.stdout).expect("text");
    for line in [
        "-rwxr-xr-x 0/0",
        "usr/local/bin/jitgate",
        "home/runner/actions-runner/bin/Runner.Worker.real",
        "etc/debian_version",
        "usr/local/lib/jitgate/job-started.sh",
    ] {
        assert!(listed.contains(line), "{line}: {listed}");
    }
    let owned = listed.lines().filter(|line| line.contains("home/runner/"));
    assert!(
        owned.clone().count() > 4 && owned.clone().all(|line| line.contains(" 1001/1001 ")),
        "{listed}"
    );
    for absent in ["jitgate-boot", ".credentials", "services"] {
        assert!(!listed.contains(absent), "{absent}: {listed}");
    }
    assert_eq!(listed.matches("etc/hostname").count(), 1);
    // The same inputs give the same image, from the cache and without it. Machines that run keep its files.
    let inode = || fs::metadata(folder.join("root.sqfs")).expect("a root").ino();
    let first = inode();
    let again = desk.built(&[]);
    assert_eq!((&again["name"], &again["cached_root"]), (&built["name"], &json!(true)));
    let anew = desk.built(&["--no-cache"]);
    assert_eq!((&anew["name"], &anew["cached_root"]), (&built["name"], &json!(false)));
    assert_eq!((desk.names().len(), inode()), (1, first));
    assert_eq!(desk.calls().lines().count(), 2, "{}", desk.calls());
    assert!(
        desk.calls().starts_with("1735689600 --quiet --variant=minbase")
            && desk.calls().contains(" --dpkgopt=path-exclude=/usr/share/doc/* "),
        "{}",
        desk.calls()
    );
    let changes = desk.changes();
    assert_eq!(changes.len(), 3, "{changes:?}");
    assert_eq!(changes[2]["why"], "the first one");
    let answer = desk.image(&["verify"]);
    assert_eq!((answer.code, wrong(&answer)), (0, vec![]), "{}", answer.out);
}

#[test]
fn each_input_changes_the_name() {
    let desk = Desk::new();
    let mut builds = vec![desk.built(&[])];
    builds.push(desk.built(&["--include", "make"]));
    builds.push(desk.built(&["--with-docker"]));
    desk.0.file("runner/run.sh", "#!/bin/sh\nexit\n", 0o755);
    builds.push(desk.built(&[]));
    desk.0.file("agent", "#!/bin/sh\nexit\n", 0o755);
    builds.push(desk.built(&[]));
    let inputs = builds.iter().map(|built| built["manifest"]["inputs"].to_string());
    let inputs: BTreeSet<String> = inputs.collect();
    assert_eq!(inputs.len(), builds.len(), "{inputs:?}");
    // The state of Debian's archive is no input.
    desk.0.file("root/etc/debian_version", "13\n", 0o644);
    builds.push(desk.built(&["--no-cache"]));
    let names: BTreeSet<String> = builds.iter().map(|built| built["name"].to_string()).collect();
    assert_eq!(names.len(), builds.len(), "{names:?}");
}

#[test]
fn a_build_that_fails_leaves_nothing_and_says_what_to_do() {
    let desk = Desk::new();
    let refused = |words: &[&str], code: i32, texts: [&str; 2]| {
        let answer = desk.image(&[&["build", "--program", "agent"], words].concat());
        assert_eq!(answer.code, code, "{}", answer.err);
        for text in texts {
            assert!(answer.err.contains(text), "{text}: {}", answer.err);
        }
        let left: Vec<String> = desk
            .entries()
            .into_iter()
            .filter(|name| name != "lock" && name != "cache")
            .collect();
        assert_eq!(left, [""; 0]);
    };
    desk.0.file("bin/fails", "", 0o644);
    refused(
        &["--runner", "runner"],
        6,
        ["no route to the archive", "remedy: read its messages above"],
    );
    fs::remove_file(desk.0.path("bin/fails")).expect("removed");
    refused(
        &["--runner", "bin"],
        6,
        ["run.sh is missing", "remedy: name an archive"],
    );
    refused(
        &["--runner", "nothing"],
        6,
        ["nothing: No such file", "remedy: correct the path"],
    );
    refused(
        &["--runner", "runner", "--include=-x,y"],
        2,
        ["is not the name of a Debian package", "remedy"],
    );
    refused(
        &["--runner", "runner", "--mirror", "/etc"],
        2,
        ["neither the URL", "remedy"],
    );
    let digest = "0".repeat(64);
    refused(
        &["--runner", "runner", "--runner-sha256", &digest],
        2,
        ["is a folder", "leave out"],
    );
    for no_digest in ["12", &"z".repeat(64)] {
        let answer = desk.image(&["build", "--runner", "runner", "--runner-sha256", no_digest]);
        assert_eq!(answer.code, 2, "{}", answer.err);
        assert!(answer.err.contains("expected 64 hexadecimal digits"), "{}", answer.err);
    }
    desk.0.file("broken.tar.gz", "no archive", 0o644);
    refused(&["--runner", "broken.tar.gz"], 6, ["tar failed: ", "remedy"]);
    let archive = desk.0.path("actions-runner-linux-x64-2.340.0.tar.gz");
    let packed = Command::new("tar")
        .current_dir(desk.0.path("runner"))
        .arg("-czf")
        .arg(&archive)
        .arg(".")
        .status();
    assert!(packed.expect("tar").success());
    let archive = archive.to_str().expect("text");
    refused(
        &["--runner", archive, "--runner-sha256", &digest],
        6,
        ["its sha256 is", "download the archive again"],
    );
    fs::remove_file(desk.0.path(&format!("{BOOT}/bin/busybox"))).expect("removed");
    refused(&["--runner", "runner"], 6, ["has no busybox", "--no-cache"]);
    desk.0.file(&format!("{BOOT}/bin/busybox"), "busybox", 0o755);
    for (files, what) in [
        (
            &[&*format!("{BOOT}/boot/vmlinuz-6.1.0-1-cloud-amd64")][..],
            "has no kernel",
        ),
        (
            &[&format!("{BOOT}/packages"), "root/var/lib/dpkg/status"],
            "has no list of packages",
        ),
    ] {
        let texts = files
            .iter()
            .map(|file| fs::read_to_string(desk.0.path(file)).expect("a file"));
        let texts: Vec<String> = texts.collect();
        files
            .iter()
            .for_each(|file| fs::remove_file(desk.0.path(file)).expect("removed"));
        refused(&["--runner", "runner", "--no-cache"], 6, [what, "--no-cache"]);
        for (file, text) in files.iter().zip(texts) {
            desk.0.file(file, &text, 0o644);
        }
    }
    fs::remove_file(desk.0.path("bin/sqfstar")).expect("removed");
    desk.0.file(
        "bin/sqfstar",
        "#!/bin/sh\n[ \"$1\" = -version ] && exit 0\necho no space left >&2\nexit 1\n",
        0o755,
    );
    refused(
        &["--runner", "runner", "--no-cache"],
        6,
        ["sqfstar failed: no space left", "remedy"],
    );
    // The archive itself is fine.
    desk.0.file("bin/sqfstar", SQFSTAR, 0o755);
    let digest = hex::encode_upper(Sha256::digest(fs::read(archive).expect("an archive")));
    let answer = desk.image(&[
        "build",
        "--program",
        "agent",
        "--runner",
        archive,
        "--runner-sha256",
        &digest,
    ]);
    assert_eq!(answer.json()["manifest"]["runner"], "2.336.0", "{}", answer.err);
}

#[test]
fn missing_programs_and_old_libraries_are_named_with_their_remedies() {
    let desk = Desk::new();
    let status = fs::read_to_string(desk.0.path("root/var/lib/dpkg/status")).expect("a status");
    desk.0
        .file("root/var/lib/dpkg/status", &status.replace("2.99-1", "2.1-1"), 0o644);
    let answer = desk.image(&["build", "--runner", "runner"]);
    assert_eq!(answer.code, 6, "{}", answer.err);
    assert!(
        answer.err.contains("but Debian bookworm has 2.1") && answer.err.contains("--suite"),
        "{}",
        answer.err
    );
    for (name, package) in [("mmdebstrap", "mmdebstrap"), ("sqfstar", "squashfs-tools")] {
        fs::remove_file(desk.0.path(&format!("bin/{name}"))).expect("removed");
        let path = desk.0.path("bin").display().to_string();
        let answer = desk.0.jitgate(
            &["image", "build", "--runner", "runner", "--no-cache"],
            &[("PATH", &path)],
        );
        assert_eq!(answer.code, 6, "{}", answer.err);
        let remedy = format!("remedy: install the Debian package {package}");
        assert!(answer.err.contains(&remedy), "{}", answer.err);
    }
}

#[test]
fn remains_of_killed_builds_are_no_images_and_the_next_build_removes_them() {
    let desk = Desk::new();
    let built = desk.built(&[]);
    for name in [".draft-77/image", ".removed-0123456789abcdef"] {
        desk.0.file(&format!("state/images/{name}/root.sqfs"), "half", 0o644);
    }
    // A folder that has the name of an image, and the manifest of another one.
    let manifest = desk.0.path(path(&built).join("manifest.json").to_str().expect("text"));
    let manifest = fs::read_to_string(manifest).expect("a manifest");
    desk.0
        .file("state/images/0123456789abcdef/manifest.json", &manifest, 0o644);
    assert_eq!(desk.names(), [built["name"].as_str().expect("a name")]);
    desk.built(&["--include", "make"]);
    assert_eq!(desk.names().len(), 2);
    assert!(
        desk.entries().iter().all(|name| !name.starts_with('.')),
        "{:?}",
        desk.entries()
    );
}

#[test]
fn an_interrupted_build_ends_its_programs_and_leaves_nothing() {
    let desk = Desk::new();
    let (build, mut programs) = desk.begin();
    let pid = Pid::from_child(&build);
    kill_process(pid, Signal::INT).expect("it runs");
    let output = build.wait_with_output().expect("an end");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(6) && said.contains("the build was interrupted"),
        "{said}"
    );
    programs.read_to_end(&mut Vec::new()).expect("their end");
    assert_eq!(desk.entries(), ["lock"]);
}

/// Kills a build while mmdebstrap runs, and starts the next one as soon as no program of the first one is left.
fn kill_and_build_again(desk: &Desk) {
    let (mut build, mut programs) = desk.begin();
    let killed = Instant::now();
    build.kill().expect("it runs");
    build.wait().expect("its end");
    programs.read_to_end(&mut Vec::new()).expect("their end");
    assert!(killed.elapsed() < Duration::from_secs(60), "they ended by themselves");
    assert_eq!(desk.entries(), [format!(".draft-{}", build.id()).as_str(), "lock"]);
    // If a folder of the machine was still mounted in the draft, its content would be removed: here, all programs.
    desk.built(&[]);
    assert_eq!(desk.entries().iter().filter(|name| name.starts_with('.')).count(), 0);
}

#[test]
fn a_killed_build_ends_its_programs_and_the_next_one_succeeds_at_once() {
    kill_and_build_again(&Desk::new());
}

#[test]
fn a_build_without_namespaces_mounts_nothing_and_ends_with_its_programs_too() {
    let desk = Desk::new();
    desk.0.file("bin/unshare", "#!/bin/sh\nexit 1\n", 0o755);
    kill_and_build_again(&desk);
    // Other accounts than root need no help of ours for their namespaces.
    let calls = desk.calls().matches("--skip=chroot/mount").count();
    assert_eq!(calls, if geteuid().is_root() { 2 } else { 0 }, "{}", desk.calls());
}

#[test]
fn a_dry_run_changes_nothing() {
    let desk = Desk::new();
    let planned = desk.built(&["--dry-run", "--with-docker", "--include", "make"]);
    let packages = planned["packages"].as_array().expect("packages");
    assert!(
        packages.contains(&json!("make")) && packages.contains(&json!("docker.io")),
        "{planned}"
    );
    assert_eq!(planned["cached_root"], false);
    assert!(!desk.0.path("state").exists() && desk.calls().is_empty());
}

#[test]
fn damage_is_found_and_named() {
    let desk = Desk::new();
    let image = desk.0.path(path(&desk.built(&[])).to_str().expect("text"));
    let file = |name: &str| image.join(name);
    let verified = |expected: &str| {
        let answer = desk.image(&["verify"]);
        assert_eq!(answer.code, 1, "{}", answer.out);
        assert!(
            wrong(&answer).iter().any(|what| what.contains(expected)),
            "{expected}: {}",
            answer.out
        );
    };
    let (disk, manifest) = (fs::read(file("initrd.img")), fs::read_to_string(file("manifest.json")));
    let (disk, manifest) = (disk.expect("a file"), manifest.expect("a file"));
    let mut damaged = disk.clone();
    damaged[200] ^= 1;
    fs::write(file("initrd.img"), &damaged).expect("written");
    verified("initrd.img: its sha256 is");
    // A build of the same image repairs it.
    desk.built(&[]);
    assert_eq!(desk.image(&["verify"]).code, 0);
    let is_remains = |name: &String| name.starts_with('.');
    assert!(!desk.entries().iter().any(is_remains), "{:?}", desk.entries());
    fs::remove_file(file("vmlinuz")).expect("removed");
    verified("vmlinuz: No such file");
    desk.built(&[]);
    fs::write(file("manifest.json"), manifest.replace("bookworm", "buster")).expect("written");
    verified("was changed");
    fs::write(file("manifest.json"), "{").expect("written");
    verified("manifest.json");
    let answer = desk.image(&["verify", "nowhere"]);
    assert!(
        answer.code == 1 && answer.out.contains("jitgate image list"),
        "{}",
        answer.out
    );
}

#[test]
fn an_image_without_a_library_of_the_runner_program_is_reported() {
    let desk = Desk::new();
    let status = fs::read_to_string(desk.0.path("root/var/lib/dpkg/status")).expect("a status");
    desk.0.file(
        "root/var/lib/dpkg/status",
        &status.replace("libicu72", "libother"),
        0o644,
    );
    // A real program, which needs libraries that this root does not have.
    fs::copy("/usr/bin/true", desk.0.path("runner/bin/Runner.Listener")).expect("a program");
    let built = desk.image(&["build", "--program", "agent", "--runner", "runner"]);
    assert!(built.err.contains("needs the library libc.so.6"), "{}", built.err);
    let answer = desk.image(&["verify"]);
    assert_eq!(answer.code, 1);
    let wrong = wrong(&answer);
    let found = |text: &str| wrong.iter().any(|what| what.contains(text));
    assert!(
        found("package libicu is missing") && found("library libc.so.6 is missing"),
        "{wrong:?}"
    );
    assert!(answer.out.contains("apt-file search libc.so.6"), "{}", answer.out);
}

#[test]
fn old_images_are_removed_but_none_that_is_current_configured_or_used() {
    let desk = Desk::new();
    let name = |built: &Value| built["name"].as_str().expect("a name").to_owned();
    let build = |package: &str| desk.built(&["--include", package]);
    let builds: Vec<Value> = ["aa", "bb", "cc", "dd", "ee"].map(build).to_vec();
    let names: Vec<String> = builds.iter().map(name).collect();
    let link = |index: usize, at: &str| {
        let (place, target) = (
            desk.0.path(at),
            desk.0.path(path(&builds[index]).to_str().expect("text")),
        );
        fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        symlink(target, place).expect("a link");
    };
    // The first is used by a slot, and the third is configured.
    link(0, "state/qemu/abcdefgh/slots/slot-1/image");
    link(2, "configured");
    let configured = desk.0.path("configured");
    let toml = format!(
        "[server]\nstate_dir = \"state\"\n[qemu]\nimage = \"{}\"\n",
        configured.display()
    );
    desk.0.file("jitgate.toml", &toml, 0o600);
    let newest: Vec<String> = names.iter().rev().cloned().collect();
    assert_eq!(desk.names(), newest, "the newest first");
    let verified = |words: &[&str]| desk.image(&[&["verify"], words].concat()).json()["image"].clone();
    assert_eq!(verified(&[]), json!(configured));
    assert_eq!(verified(&["--images", "state/images"]), "state/images/current");
    // The second is the newest one of those that are not needed.
    let dry = desk.image(&["prune", "--keep", "1", "--dry-run"]).json();
    assert_eq!(desk.names().len(), 5);
    let answer = desk
        .image(&["prune", "--keep", "1", "--why", "space", "--by", "bob"])
        .json();
    assert_eq!(answer["removed"], dry["removed"]);
    let mut left = desk.names();
    left.sort();
    let mut expected = vec![names[0].clone(), names[2].clone(), names[4].clone()];
    expected.sort();
    assert_eq!(left, expected);
    let list = desk.image(&["list"]).json();
    let shown = |index: usize, key: &str| {
        let mut images = list.as_array().expect("a list").iter();
        let image = images.find(|image| image["name"] == names[index]).expect("an image");
        image[key].clone()
    };
    assert_eq!((shown(0, "slots"), shown(0, "current")), (json!(1), json!(false)));
    assert_eq!((shown(2, "slots"), shown(2, "current")), (json!(0), json!(true)));
    assert_eq!(shown(4, "current"), true);
    let roots = fs::read_dir(desk.0.path("state/images/cache"))
        .expect("a cache")
        .count();
    assert_eq!(roots, 1);
    let last = &desk.changes()[0];
    assert_eq!(
        (&last["command"], &last["by"], &last["why"]),
        (&json!("image prune"), &json!("bob"), &json!("space"))
    );
}

#[test]
fn two_builds_do_not_meet() {
    let desk = Desk::new();
    desk.built(&[]);
    let lock = File::open(desk.0.path("state/images/lock")).expect("a lock");
    lock.lock().expect("locked");
    for words in [&["build", "--runner", "runner"][..], &["prune", "--keep", "1"]] {
        let answer = desk.image(words);
        assert!(
            answer.code == 7 && answer.err.contains("another process"),
            "{}",
            answer.err
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn github_judges_the_release_and_the_age_counts_without_its_answer() {
    let stage = Stage::set().await;
    let desk = Desk::new();
    for (release, code, text) in [
        ("2.336.0", 0, "GitHub's current release is 2.336.0"),
        ("2.300.0", 1, "GitHub rejects releases before 2.329.0"),
    ] {
        desk.runner(release);
        let image = desk.0.path(path(&desk.built(&[])).to_str().expect("text"));
        let answer = stage.jitgate(&["image", "verify", image.to_str().expect("text")]);
        assert_eq!(answer.code, code, "{}{}", answer.out, answer.err);
        assert!(answer.out.contains(text), "{}", answer.out);
        let alone = desk.image(&["verify"]);
        assert!(alone.code == 0 && alone.out.contains("its age counts"), "{}", alone.out);
    }
}

#[test]
fn the_time_of_files_is_that_of_the_environment_if_an_archive_can_have_it() {
    let desk = Desk::new();
    let path = format!("{}:/usr/bin:/bin", desk.0.path("bin").display());
    let words = ["image", "build", "--program", "agent", "--runner", "runner"];
    let with = |time: &str| desk.0.jitgate(&words, &[("PATH", &path), ("SOURCE_DATE_EPOCH", time)]);
    for time in ["yesterday", "-1", "4294967296"] {
        let answer = with(time);
        assert!(
            answer.code == 2 && answer.err.contains("remedy: unset it"),
            "{time}: {}",
            answer.err
        );
    }
    assert_eq!(with("1700000000").code, 0);
    assert!(desk.calls().starts_with("1700000000 "), "{}", desk.calls());
}

#[test]
fn a_build_reports_old_packages_and_a_runner_program_without_a_release() {
    let desk = Desk::new();
    let build = |words: &[&str]| desk.image(&[&["build", "--program", "agent", "--runner", "runner"], words].concat());
    let said = build(&[]).err;
    assert!(!said.contains("days old") && !said.contains("release"), "{said}");
    let root = fs::read_dir(desk.0.path("state/images/cache")).expect("a cache").next();
    let root = root.expect("a root").expect("a root").path();
    let file = fs::File::options().write(true).open(&root).expect("a root");
    for (days, is_reported) in [(6, false), (8, true)] {
        file.set_modified(before(days)).expect("a time");
        let said = build(&[]).err;
        assert_eq!(
            said.contains("the Debian packages are 8 days old"),
            is_reported,
            "{said}"
        );
    }
    fs::remove_file(desk.0.path("runner/bin/Runner.Listener.deps.json")).expect("removed");
    let said = build(&["--no-cache"]).err;
    assert!(!said.contains("days old"), "{said}");
    assert!(said.contains("the release of the runner program is unknown"), "{said}");
}

#[test]
fn an_image_that_is_too_old_for_its_unknown_release_is_reported() {
    let desk = Desk::new();
    let image = desk.0.path(path(&desk.built(&[])).to_str().expect("text"));
    let manifest = fs::File::options()
        .write(true)
        .open(image.join("manifest.json"))
        .expect("a manifest");
    for (days, code) in [(29, 0), (31, 1)] {
        manifest.set_modified(before(days)).expect("a time");
        let answer = desk.image(&["verify"]);
        assert_eq!(answer.code, code, "{}", answer.out);
        assert!(answer.out.contains(&format!("is {days} days old")), "{}", answer.out);
    }
    // A build of the same image is a new look at Debian's archive.
    desk.built(&[]);
    assert_eq!(desk.image(&["verify"]).code, 0);
}

#[test]
fn one_root_file_system_stays_for_the_next_build() {
    let desk = Desk::new();
    let nothing = desk.image(&["prune", "--keep", "0"]);
    assert_eq!((nothing.code, desk.0.path("state/images").exists()), (0, false));
    let listed = desk.0.jitgate(&["image", "list"], &[]).out;
    assert_eq!(listed, "there is no image; `jitgate image build` makes one\n");
    for package in ["aa", "bb"] {
        desk.built(&["--include", package]);
    }
    let roots = || {
        fs::read_dir(desk.0.path("state/images/cache"))
            .expect("a cache")
            .count()
    };
    let before = desk.changes().len();
    let dry = desk.image(&["prune", "--keep", "0", "--dry-run"]).json();
    assert_eq!((dry["cache"].as_array().map(Vec::len), roots()), (Some(1), 2));
    desk.image(&["prune", "--keep", "0"]);
    assert_eq!(roots(), 1, "the newest");
    assert_eq!(desk.built(&["--include", "bb"])["cached_root"], true);
    let answer = desk.image(&["prune", "--keep", "1"]);
    assert_eq!(answer.json()["removed"], json!([]));
    let changes = desk.changes();
    let new: Vec<&Value> = changes[..changes.len() - before]
        .iter()
        .map(|change| &change["command"])
        .collect();
    assert_eq!(
        new,
        ["image build", "image prune"],
        "what changed nothing is no change: {changes:?}"
    );
}

#[test]
fn what_can_be_refused_is_refused_before_the_folder_is_made() {
    let desk = Desk::new();
    for (words, code) in [(["nothing", "--include=make"], 6), (["runner", "--include=-x"], 2)] {
        let answer = desk.image(&[&["build", "--program", "agent", "--runner"], &words[..]].concat());
        assert_eq!(
            (answer.code, desk.0.path("state/images").exists()),
            (code, false),
            "{}",
            answer.err
        );
    }
}

#[test]
fn other_accounts_read_images_and_nothing_else_of_the_state() {
    let desk = Desk::new();
    desk.built(&[]);
    let mode = |name: &str| fs::metadata(desk.0.path(name)).expect(name).permissions().mode() & 0o777;
    assert_eq!((mode("state"), mode("state/images")), (0o700, 0o755));
}

#[test]
fn a_manifest_of_another_format_is_not_read() {
    let desk = Desk::new();
    let image = desk.0.path(path(&desk.built(&[])).to_str().expect("text"));
    let manifest = fs::read_to_string(image.join("manifest.json")).expect("a manifest");
    // A folder with another name is not compared with its manifest.
    for (format, code) in [("1", 0), ("2", 1)] {
        let copy = desk.0.path(&format!("copy-{format}"));
        fs::create_dir(&copy).expect("a folder");
        for name in ["initrd.img", "root.sqfs", "vmlinuz"] {
            fs::copy(image.join(name), copy.join(name)).expect(name);
        }
        let text = manifest.replace("\"format\": 1", &format!("\"format\": {format}"));
        fs::write(copy.join("manifest.json"), text).expect("written");
        let answer = desk.image(&["verify", copy.to_str().expect("text")]);
        assert_eq!(answer.code, code, "{}", answer.out);
        assert_eq!(answer.out.contains("its format is 2"), code == 1, "{}", answer.out);
    }
}
