//! A job can neither see nor change jitgate, its secrets, the machine and other jobs.

use crate::stage::{HOOK, STAYS, Stage, claim, file, is_root, jit, problems, runner, told, until};
use jitgate::config::Sandbox;
use jitgate::domain::slot::{Ending, SlotState};
use jitgate::ports::{Failure, RunnerHost};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

/// The environment a job reports, without what the shell adds.
fn variables(text: &str) -> BTreeMap<&str, &str> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .filter(|(name, _)| !["_", "PWD", "OLDPWD", "SHLVL"].contains(name))
        .collect()
}

#[tokio::test]
async fn the_environment_of_a_job_has_the_needs_of_the_runner_and_nothing_of_jitgate() {
    let stage = Stage::new(
        "printf %s \"$ACTIONS_RUNNER_INPUT_JITCONFIG\" | sha256sum | cut -c1-64 >\"$HOME/jit\"\n\
         unset ACTIONS_RUNNER_INPUT_JITCONFIG\n\
         test -x \"$ACTIONS_RUNNER_HOOK_JOB_STARTED\" && test ! -w \"$ACTIONS_RUNNER_HOOK_JOB_STARTED\" && touch \"$HOME/hook\"\n\
         ls -l /proc/self/fd | grep -c -- '->' >\"$HOME/files\"\n\
         env >\"$HOME/env.new\"; mv \"$HOME/env.new\" \"$HOME/env\"\n",
    );
    // A file that the parent of jitgate left open for its children.
    let open = fs::File::open("/etc/hostname").expect("a file");
    rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).expect("left open");
    let (host, slot) = stage.claimed().await;
    let text = stage.left(&slot, "env").await;
    let mut seen = variables(&text);
    if is_root() {
        assert_eq!(seen.remove("RUNNER_ALLOW_RUNASROOT"), Some("1"));
    }
    let account = String::from_utf8(Command::new("id").arg("-un").output().expect("id").stdout).expect("text");
    let expected = BTreeMap::from([
        ("ACTIONS_RUNNER_HOOK_JOB_STARTED", "/runner/gate/job-started.sh"),
        ("HOME", "/runner/home"),
        ("JITGATE_SLOT", &slot.0),
        ("LANG", "C.UTF-8"),
        ("LOGNAME", account.trim()),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("TMPDIR", "/tmp"),
        ("USER", account.trim()),
    ]);
    assert_eq!(seen, expected);
    let digest = told("sha256sum", &[], &jit(&slot)).replacen("  -\n", "\n", 1);
    assert_eq!(stage.left(&slot, "jit").await, digest);
    stage.left(&slot, "hook").await;
    assert_eq!(
        stage.left(&slot, "files").await,
        "4\n",
        "stdin, stdout, stderr, and what ls opened"
    );
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn its_configuration_is_in_no_file_and_on_no_command_line() {
    let stage = Stage::new(&format!("{HOOK}{STAYS}"));
    let (host, slot) = stage.at_gate().await;
    for process in fs::read_dir("/proc").expect("processes").flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        assert!(
            !String::from_utf8_lossy(&line).contains(&jit(&slot)),
            "{}",
            process.path().display()
        );
    }
    let place = stage.path("").display().to_string();
    let found = told("grep", &["-rlF", "--devices=skip", "-f", "-", &place], &jit(&slot));
    assert_eq!(found, "");
    host.destroy(&slot).await.expect("destroyed");
}

/// Has a job try each of these, and returns which succeeded.
async fn tried(stage: &mut Stage, commands: &[(&str, String)]) -> Vec<String> {
    let lines: Vec<String> = commands
        .iter()
        .map(|(name, command)| format!("if ({command}) >/dev/null 2>&1; then echo '{name}' >>\"$HOME/could\"; fi\n"))
        .collect();
    let script = stage.settings.local.runner_home.join("run.sh");
    file(
        &script,
        &format!(
            "#!/bin/bash\ntouch \"$HOME/could\"\n{}\ntouch \"$HOME/done\"\n{STAYS}",
            lines.concat()
        ),
        0o755,
    );
    let (host, slot) = stage.claimed().await;
    stage.left(&slot, "done").await;
    let could = stage.left(&slot, "could").await;
    host.destroy(&slot).await.expect("destroyed");
    could.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_job_sees_nothing_of_jitgate_or_the_machine() {
    let mut stage = Stage::new("");
    // Below a folder that jobs see, as /opt would be.
    let shown = stage.path("shown");
    fs::create_dir_all(shown.join("state")).expect("a folder");
    for name in ["tool", "app.pem", "closed/key", "inner/token", "inner/other"] {
        fs::create_dir_all(shown.join(name).parent().expect("a folder")).expect("a folder");
        file(&shown.join(name), "content", 0o644);
    }
    stage.settings.local.expose = vec![shown.clone()];
    stage.settings.state_dir = shown.join("state");
    stage.settings.hidden = ["app.pem", "closed", "inner/token", "absent"]
        .map(|name| shown.join(name))
        .to_vec();
    fs::write(stage.path("elsewhere"), "x").expect("a file");
    // Another job of the same gate, that waits at its gate.
    let (other_host, other) = stage.booted().await;
    let shown = shown.display().to_string();
    let elsewhere = stage.path("elsewhere").display().to_string();
    let slots = format!("{shown}/state/local/testtest/slots");
    let commands = [
        ("read a tool", format!("cat {shown}/tool")),
        ("read a key", format!("cat {shown}/app.pem")),
        (
            "see what lies beside a hidden file",
            format!("ls {shown}/inner | grep ."),
        ),
        ("see a hidden folder", format!("ls {shown}/closed | grep .")),
        ("see the state", format!("ls -A {shown}/state | grep .")),
        ("see another slot", format!("ls {slots}/{}", other.0)),
        ("reach another slot", format!("test -e {slots}/{}/gate", other.0)),
        ("see what is elsewhere", format!("test -e {elsewhere}")),
        ("see homes", "ls -A /home /root | grep .".to_owned()),
        ("see /run", "ls -A /run | grep -v '^systemd$' | grep .".to_owned()),
        ("see /var/lib", "ls /var/lib".to_owned()),
        ("read shadow", "cat /etc/shadow".to_owned()),
        ("write a tool", format!("echo x >{shown}/tool")),
        ("write /usr", "touch /usr/x".to_owned()),
        ("write /etc", "touch /etc/x".to_owned()),
        ("write /", "touch /x".to_owned()),
        ("write the hook", "echo exit 0 >/runner/gate/job-started.sh".to_owned()),
        (
            "replace the hook",
            "rm -f /runner/gate/job-started.sh; ! test -e /runner/gate/job-started.sh".to_owned(),
        ),
        ("move the gate", "mv /runner/gate /runner/other".to_owned()),
        ("write jitgate", "echo x >/runner/jitgate".to_owned()),
        ("unmount", "umount /etc/shadow || umount /runner/gate".to_owned()),
        (
            "change the kernel",
            "v=$(cat /proc/sys/kernel/core_pattern) && echo \"$v\" >/proc/sys/kernel/core_pattern".to_owned(),
        ),
        (
            "see other processes",
            "ls -d /proc/[0-9]* | wc -l | grep -vx '[1-9]'".to_owned(),
        ),
        (
            "have privileges",
            "grep -E '^Cap' /proc/self/status | grep -v 0000000000000000".to_owned(),
        ),
        (
            "gain privileges",
            "! grep -qx 'NoNewPrivs:.1' /proc/self/status".to_owned(),
        ),
        ("use a disk", "ls /dev/[svx]d* /dev/nvme* /dev/mem".to_owned()),
        (
            "write its home",
            "touch \"$HOME/x\" && touch /tmp/x && touch ./x".to_owned(),
        ),
    ];
    let could = tried(&mut stage, &commands).await;
    assert_eq!(could, ["read a tool", "write its home"]);
    other_host.destroy(&other).await.expect("destroyed");
}

#[tokio::test]
async fn a_secret_that_is_replaced_stays_hidden() {
    let mut stage = Stage::new("");
    let secrets = stage.path("shown/secrets");
    fs::create_dir_all(&secrets).expect("folders");
    file(&secrets.join("token"), "old", 0o644);
    stage.settings.local.expose = vec![stage.path("shown")];
    stage.settings.hidden = vec![secrets.join("token")];
    let script = stage.settings.local.runner_home.join("run.sh");
    let token = secrets.join("token").display().to_string();
    let text = format!(
        "#!/bin/bash\ntouch \"$HOME/up\"\nuntil test -e \"$HOME/go\"; do sleep 0.01; done\n\
         cat {token} >\"$HOME/new\" 2>&1; mv \"$HOME/new\" \"$HOME/seen\"{STAYS}"
    );
    file(&script, &text, 0o755);
    let (host, slot) = stage.claimed().await;
    stage.left(&slot, "up").await;
    file(&secrets.join("token.new"), "new", 0o644);
    fs::rename(secrets.join("token.new"), secrets.join("token")).expect("replaced");
    file(&stage.folder(&slot).join("environment/home/go"), "", 0o644);
    assert_eq!(
        stage.left(&slot, "seen").await,
        format!("cat: {token}: No such file or directory\n")
    );
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn its_tmp_is_its_own_and_what_it_changes_is_its_own_copy() {
    let stage = Stage::new(&format!(
        "for f in run.sh bin/Runner.Listener externals/node/bin/node; do chmod 777 \"$f\"; echo broken >>\"$f\"; done\n\
         rm -rf bin externals; mkdir bin; echo new >bin/Runner.Listener\n\
         ls -A /tmp >\"$HOME/tmp\"; echo mine >/tmp/mine; touch \"$HOME/done\"{STAYS}"
    ));
    let home = stage.settings.local.runner_home.clone();
    let before = fs::read_to_string(home.join("run.sh")).expect("the script");
    let (host, first) = stage.claimed().await;
    stage.left(&first, "done").await;
    let second = host.boot(None).await.expect("booted");
    until(&host, &second, |slot| slot.state == SlotState::Ready).await;
    claim(&host, &second).await;
    stage.left(&second, "done").await;
    for slot in [&first, &second] {
        assert_eq!(stage.left(slot, "tmp").await, "");
        host.destroy(slot).await.expect("destroyed");
    }
    assert_eq!(fs::read_to_string(home.join("run.sh")).expect("the script"), before);
    assert_eq!(
        fs::read_to_string(home.join("bin/Runner.Listener")).expect("the program"),
        "the listener"
    );
    assert_eq!(
        fs::read_to_string(home.join("externals/node/bin/node")).expect("the program"),
        "node"
    );
    assert_eq!(
        fs::metadata(home.join("bin/Runner.Listener"))
            .expect("the program")
            .permissions()
            .mode()
            & 0o777,
        0o755
    );
    assert!(!Path::new("/tmp/mine").exists());
}

#[tokio::test]
async fn a_registration_and_links_are_not_followed_into_the_copy() {
    let stage = Stage::new(
        "ls -A >\"$HOME/new\"; readlink out >>\"$HOME/new\"; cat out >>\"$HOME/new\" 2>&1; mv \"$HOME/new\" \"$HOME/seen\"\n",
    );
    let home = &stage.settings.local.runner_home;
    for name in [
        ".credentials",
        ".credentials_rsaparams",
        ".env",
        ".path",
        ".runner",
        ".service",
    ] {
        file(&home.join(name), "of a registered runner", 0o644);
    }
    fs::create_dir(home.join("_work")).expect("a folder");
    file(&home.join("_work/leftover"), "of another job", 0o644);
    let outside = stage.path("outside");
    file(&outside, "outside", 0o644);
    std::os::unix::fs::symlink(&outside, home.join("out")).expect("a link");
    let (host, slot) = stage.claimed().await;
    let seen = stage.left(&slot, "seen").await;
    let outside = outside.display();
    assert_eq!(
        seen,
        format!("bin\nexternals\nout\nrun.sh\n{outside}\ncat: out: No such file or directory\n")
    );
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn another_account_runs_it_when_root_says_so() {
    let mut stage = Stage::new(
        "{ id -un; id -G; grep -E '^(Cap|NoNewPrivs)' /proc/self/status; echo x >>bin/Runner.Listener; chmod 777 bin/Runner.Listener; } >\"$HOME/new\" 2>/dev/null\n\
         mv \"$HOME/new\" \"$HOME/who\"\n",
    );
    let tool = stage.path("deep/down/tool");
    fs::create_dir_all(tool.parent().expect("a folder")).expect("a folder");
    file(&tool, "a tool", 0o644);
    stage.settings.local.expose = vec![stage.path("deep/down")];
    stage.settings.local.user = Some("nobody".to_owned());
    if !is_root() {
        let error = problems(&stage.settings).remove(0);
        assert!(error.what.contains("only root can run jobs as nobody"), "{error}");
        return;
    }
    let script = stage.settings.local.runner_home.join("run.sh");
    let text = fs::read_to_string(&script).expect("the script");
    file(
        &script,
        &format!("{text}\ncp {} \"$HOME/tool\"\n{HOOK}", tool.display()),
        0o755,
    );
    let (host, slot) = stage.claimed().await;
    until(&host, &slot, |slot| {
        assert!(
            !matches!(slot.state, SlotState::Ended(_)),
            "{}",
            stage.output(&runner(&slot.id))
        );
        matches!(slot.state, SlotState::AtGate(_))
    })
    .await;
    let zero = "0000000000000000";
    let who = stage.left(&slot, "who").await;
    let expected = format!(
        "nobody\n65534\nCapInh:\t{zero}\nCapPrm:\t{zero}\nCapEff:\t{zero}\nCapBnd:\t{zero}\nCapAmb:\t{zero}\nNoNewPrivs:\t1\n"
    );
    assert_eq!(who, expected);
    assert_eq!(stage.left(&slot, "tool").await, "a tool");
    // Large files are linked, and out of the job's reach.
    let listener = stage.settings.local.runner_home.join("bin/Runner.Listener");
    let linked = fs::metadata(
        stage
            .folder(&slot)
            .join("environment/actions-runner/bin/Runner.Listener"),
    )
    .expect("a file");
    assert_eq!(fs::metadata(&listener).expect("a file").ino(), linked.ino());
    assert_eq!(fs::read_to_string(&listener).expect("a file"), "the listener");
    host.open_gate(&slot).await.expect("opened");
    let ended = until(&host, &slot, |slot| matches!(slot.state, SlotState::Ended(_))).await;
    assert_eq!(ended.state, SlotState::Ended(Ending::Exited));
    stage.left(&slot, "step").await;
    host.destroy(&slot).await.expect("destroyed");
    assert!(!stage.folder(&slot).exists(), "{}", stage.output(&runner(&slot)));
}

#[tokio::test]
async fn a_path_below_tmp_that_is_exposed_is_not_lost_behind_the_jobs_own_tmp() {
    let below_tmp = tempfile::tempdir_in("/tmp").expect("a directory");
    let tool = below_tmp.path().join("tool");
    file(&tool, "a tool", 0o644);
    fs::set_permissions(below_tmp.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let script = format!(
        "cp {} \"$HOME/new\"; touch /tmp/mine; mv \"$HOME/new\" \"$HOME/tool\"\n{HOOK}",
        tool.display()
    );
    let mut stage = Stage::new(&script);
    stage.settings.local.expose = vec![below_tmp.path().to_owned()];
    let (host, slot) = stage.at_gate().await;
    assert_eq!(stage.left(&slot, "tool").await, "a tool");
    assert!(!Path::new("/tmp/mine").exists());
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn as_root_nothing_runs_until_an_account_is_named() {
    let mut stage = Stage::new("");
    if !is_root() {
        assert_eq!(problems(&stage.settings), []);
        return;
    }
    stage.settings.local.user = None;
    for sandbox in [Sandbox::Bwrap, Sandbox::None] {
        stage.settings.local.sandbox = sandbox;
        let problem = problems(&stage.settings).remove(0);
        assert!(
            problem.what.contains("local.user is not set") && problem.to_string().contains("\"root\""),
            "{problem}"
        );
        let host = stage.host();
        assert_eq!(
            host.boot(None).await,
            Err(Failure::Permanent(problem.to_string())),
            "{sandbox:?}"
        );
        assert_eq!(host.list().await.expect("a list"), []);
    }
    stage.settings.local.user = Some("root".to_owned());
    let found = jitgate::adapters::hosts::local::inspect(&stage.settings);
    assert_eq!(problems(&stage.settings), []);
    assert!(
        found.iter().any(|warning| warning.what.contains("the id of root")),
        "{found:?}"
    );
}

#[tokio::test]
async fn the_device_nodes_of_the_machine_stay_as_they_are() {
    let mut stage = Stage::new("");
    let nodes = ["null", "zero", "full", "random", "urandom", "tty"];
    let state = |node: &&str| {
        fs::metadata(format!("/dev/{node}"))
            .map(|node| (node.mode(), node.uid(), node.gid()))
            .expect("a node")
    };
    let before: Vec<_> = nodes.iter().map(state).collect();
    let mut commands = vec![
        (
            "write to one",
            "echo x >/dev/null && head -c 1 /dev/urandom && head -c 1 /dev/zero".to_owned(),
        ),
        (
            "use a terminal of its own",
            "perl -e 'open(my $t, \"+<\", \"/dev/ptmx\") or exit 1'".to_owned(),
        ),
    ];
    // To what they are: nothing happens where it works.
    for (node, (mode, uid, _)) in nodes.iter().zip(&before) {
        commands.push(("change a mode", format!("chmod {:o} /dev/{node}", mode & 0o7777)));
        commands.push(("change an owner", format!("chown {uid} /dev/{node}")));
        commands.push(("change a time", format!("touch -r /dev/{node} /dev/{node}")));
    }
    let could = tried(&mut stage, &commands).await;
    assert_eq!(could, ["write to one", "use a terminal of its own"]);
    assert_eq!(nodes.iter().map(state).collect::<Vec<_>>(), before);
}

/// Plays this test again on a machine whose `/opt` and `/usr/local` are the test's own. True where it is that machine.
fn has_trees_of_its_own(stage: &Stage, test: &str) -> bool {
    if Path::new("/opt/of-a-test").exists() || !is_root() {
        return true;
    }
    let (opt, local) = (stage.path("opt"), stage.path("usr-local"));
    for place in [&opt, &local] {
        fs::create_dir(place).expect("a folder");
    }
    file(&opt.join("of-a-test"), "", 0o644);
    let script = "mount --bind \"$0\" /opt && mount --bind \"$1\" /usr/local && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", script]).args([&opt, &local]);
    command
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", test]);
    let output = command.output().expect("unshare");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "it was played"
    );
    false
}

#[tokio::test]
async fn files_that_others_cannot_read_are_hidden_in_every_tree_of_the_machine() {
    let mut stage = Stage::new("");
    let name = "hidden::files_that_others_cannot_read_are_hidden_in_every_tree_of_the_machine";
    if !has_trees_of_its_own(&stage, name) {
        return;
    }
    let shown = stage.path("shown");
    fs::create_dir(&shown).expect("a folder");
    stage.settings.local.expose = vec![shown.clone()];
    let mut places = vec![shown];
    if is_root() {
        places.extend(["/opt/tools", "/usr/local/tools"].map(std::path::PathBuf::from));
    }
    let mut commands = Vec::new();
    for place in &places {
        fs::create_dir_all(place.join("inner/closed")).expect("folders");
        file(&place.join("tool"), "x", 0o644);
        file(&place.join("inner/key"), "x", 0o640);
        file(&place.join("inner/closed/open"), "x", 0o644);
        fs::set_permissions(place.join("inner/closed"), fs::Permissions::from_mode(0o750)).expect("a mode");
        let place = place.display();
        commands.push(("read what is open", format!("grep x {place}/tool")));
        commands.push(("read a closed file", format!("grep x {place}/inner/key")));
        commands.push(("read in a closed folder", format!("grep x {place}/inner/closed/open")));
    }
    let could = tried(&mut stage, &commands).await;
    assert_eq!(could, vec!["read what is open"; places.len()]);
}
