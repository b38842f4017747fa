//! Images: the same bytes for the same inputs, and a guest that finds everything in its place.

use crate::{built, plain};
use jitgate::adapters::image::{GuestScripts, Images, Request, build};
use jitgate::adapters::tools::ProcessTools;
use jitgate::domain::image::{Recipe, Suite};
use serde_json::Value;
use std::fs;
use std::future::pending;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// In the place of the agent: shows what it finds, then switches the guest off.
const AGENT: &str = r#"#!/bin/bash
echo "[agent $* pid $$]"
echo "[account $(id runner)]"
echo "[host $(cat /proc/sys/kernel/hostname) $(cat /etc/hostname)]"
echo "[resolver $(cat /etc/resolv.conf)]"
echo "[root $(grep -o '^[^ ]* / overlay' /proc/mounts)]"
echo "[free $(df --output=size -B G / | tail -n 1 | tr -d ' ')]"
echo "[route $(grep -c '^eth0' /proc/net/route)]"
echo "[port $(cat /sys/class/virtio-ports/*/name)]"
echo "[random $(head -c 1000 /dev/hwrng | wc -c)]"
echo "[worker $(tail -n 1 /home/runner/actions-runner/bin/Runner.Worker)]"
echo "[owners $(stat -c %U /home/runner /home/runner/actions-runner/bin/Runner.Worker.real | tr '\n' ' ')]"
echo "[hook $(tail -n 1 /usr/local/lib/jitgate/job-started.sh)]"
echo "[libraries $(ls /usr/lib/x86_64-linux-gnu | grep -c -E '^lib(icuuc|ssl|krb5|z|stdc\+\+)\.so\.[0-9]+$')]"
touch /usr/written /home/runner/written && echo "[written]"
for program in curl git jq perl tar xz; do type $program >/dev/null || echo "[no $program]"; done
echo "[substitution $(cat < <(echo works))]"
echo o >/proc/sysrq-trigger
sleep 60
"#;

/// In the place of the agent: starts Docker, and as the account of the runner program a container made of a shell.
const DOCKER_AGENT: &str = r#"#!/bin/bash
/usr/local/lib/jitgate/services
echo "[services $?]"
mkdir -p /tmp/container/bin
for file in /bin/bash $(ldd /bin/bash | grep -o '/[^ ]*'); do
    mkdir -p "/tmp/container$(dirname "$file")" && cp -L "$file" "/tmp/container$file"
done
run='tar -C /tmp/container -c . | docker import - shell >/dev/null && docker run --rm shell /bin/bash -c "echo [in a container \$\$]"'
setpriv --reuid runner --regid runner --init-groups bash -c "$run"
echo "[container $?]"
echo "[$(docker info --format '{{.Driver}}')]"
echo o >/proc/sysrq-trigger
sleep 60
"#;

/// Makes a folder of images that shares the root file system of the common one, which takes the time of a build.
pub(crate) fn beside() -> TempDir {
    let place = TempDir::new_in(built::place()).expect("a folder");
    fs::create_dir(place.path().join("cache")).expect("a folder");
    for root in fs::read_dir(built::images().join("cache")).expect("a cache").flatten() {
        fs::hard_link(root.path(), place.path().join("cache").join(root.file_name())).expect("a link");
    }
    place
}

fn manifest(image: &Path) -> Value {
    serde_json::from_slice(&fs::read(image.join("manifest.json")).expect("a manifest")).expect("JSON")
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let (image, place) = (built::image(), beside());
    let again = built::build(place.path());
    assert_eq!(again["cached_root"], true);
    assert_eq!(again["name"].as_str(), image.file_name().and_then(|name| name.to_str()));
    let other = place.path().join(again["name"].as_str().expect("a name"));
    for name in ["initrd.img", "manifest.json", "root.sqfs", "vmlinux"] {
        let same = fs::read(image.join(name)).expect(name) == fs::read(other.join(name)).expect(name);
        assert!(same, "{name} differs");
    }
    let manifest = manifest(&image);
    let packages = manifest["packages"].as_array().expect("packages").iter();
    let names: Vec<&str> = packages.filter_map(|package| package["name"].as_str()).collect();
    for name in ["busybox-static", "git", "libc6", "libicu72"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(names.iter().any(|name| name.starts_with("linux-image-")), "{names:?}");
    assert_eq!(manifest["missing_libraries"], serde_json::json!({}));
}

#[test]
fn the_image_is_as_its_manifest_says() {
    let images = built::images();
    let verified = built::jitgate(&["verify"], &images);
    assert_eq!(verified["ok"], true, "{verified}");
    let listed = Command::new("unsquashfs")
        .arg("-lls")
        .arg(built::image().join("root.sqfs"))
        .output();
    let listed = String::from_utf8(listed.expect("the Debian package squashfs-tools").stdout).expect("text");
    let root = listed
        .lines()
        .find(|line| line.ends_with(" squashfs-root"))
        .expect("a root");
    assert!(root.starts_with("drwxr-xr-x root/root"), "{root}");
    for absent in ["jitgate-boot", "/etc/machine-id.", "/var/lib/apt/lists/deb"] {
        assert!(!listed.contains(absent), "{absent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_boots_to_its_agent_and_finds_everything_in_its_place() {
    let (place, console) = booted_with(AGENT, false).await;
    for line in [
        "[agent internal guest pid 1]",
        "[account uid=1001(runner) gid=1001(runner) groups=1001(runner)]",
        "[host jitgate jitgate]",
        "[resolver nameserver 10.0.2.3]",
        "[root root / overlay]",
        "[free 4G]",
        "[route 2]",
        "[port jitgate]",
        "[random 1000]",
        "[worker stand-in]",
        "[owners runner runner ]",
        "[hook hook]",
        "[libraries 5]",
        "[written]",
        "[substitution works]",
    ] {
        assert!(console.contains(line), "{line}: {console}");
    }
    assert!(!console.contains("[no "), "{console}");
    // Nothing of a guest gets into its image.
    let verified = built::jitgate(&["verify"], place.path());
    assert_eq!(verified["ok"], true, "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_in_a_guest() {
    let (place, console) = booted_with(DOCKER_AGENT, true).await;
    for line in ["[services 0]", "[in a container 1]", "[container 0]", "[overlay2]"] {
        assert!(console.contains(line), "{line}: {console}");
    }
    let image = place.path().join("current").canonicalize().expect("an image");
    assert_eq!(manifest(&image)["docker"], true);
}

/// Builds an image with a script in the place of the agent, boots it, and returns the text of its console.
async fn booted_with(agent: &str, docker: bool) -> (TempDir, String) {
    let place = beside();
    let program = place.path().join("agent");
    fs::write(&program, agent).expect("a file");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    let request = Request {
        recipe: Recipe {
            suite: Suite::Bookworm,
            mirrors: Vec::new(),
            docker,
            include: Vec::new(),
            source_date_epoch: 1_735_689_600,
        },
        runner: built::runner(),
        runner_sha256: None,
        program,
        scripts: GuestScripts {
            worker: "stand-in".to_owned(),
            hook: "hook".to_owned(),
        },
        use_cache: true,
    };
    let images = Images::at(place.path().to_owned());
    let built = build(&request, &images, &ProcessTools, &mut |_| {}, Box::pin(pending())).await;
    let built = built.expect("an image");
    // The next run finds a new root file system in the common cache.
    let common = built::place()
        .join("images/cache")
        .join(built.root.file_name().expect("a name"));
    if !common.exists() {
        fs::hard_link(&built.root, common).expect("a link");
    }
    let scratch = place.path().join("scratch.img");
    plain::scratch(&scratch);
    let console = plain::console(&built.image.path, &scratch);
    (place, console)
}
