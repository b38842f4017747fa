//! The limits of units: how much of the machine a process can reach.

use super::unit::Section;

/// The address families of a process in the network.
const NETWORK: &str = "AF_INET AF_INET6 AF_UNIX";
/// System calls that no program of a job or of a runner needs.
const FOREIGN_CALLS: &str = "~@clock @cpu-emulation @module @obsolete @raw-io @reboot @swap";

/// Appends the limits that no process of this project needs to exceed.
fn closed(service: Section) -> Section {
    service.set_all([
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("PrivateTmp", "yes"),
        ("ProtectClock", "yes"),
        ("ProtectControlGroups", "yes"),
        ("ProtectHostname", "yes"),
        ("ProtectKernelModules", "yes"),
        ("RestrictRealtime", "yes"),
        ("KeyringMode", "private"),
        ("SystemCallArchitectures", "native"),
    ])
}

/// Appends the limits of a process without any right of root.
fn unprivileged(service: Section) -> Section {
    service.with(closed).set_all([
        ("CapabilityBoundingSet", ""),
        ("AmbientCapabilities", ""),
        ("ProtectHome", "yes"),
        ("RemoveIPC", "yes"),
    ])
}

/// Appends the limits of a process that makes no namespaces.
fn without_namespaces(service: Section) -> Section {
    service.set_all([
        ("ProtectKernelLogs", "yes"),
        ("ProtectKernelTunables", "yes"),
        ("RestrictAddressFamilies", NETWORK),
        ("RestrictNamespaces", "yes"),
        ("RestrictSUIDSGID", "yes"),
        ("LockPersonality", "yes"),
    ])
}

/// Appends the limits of a root process that changes services of the machine and files of another user, whose programs it
/// runs.
pub(super) fn root(service: Section, capabilities: &str, writable: &str) -> Section {
    service
        .with(closed)
        .set_all([
            ("CapabilityBoundingSet", capabilities),
            ("AmbientCapabilities", ""),
            ("ReadWritePaths", writable),
            // ProtectSystem= leaves home directories writable. The folder of a runner can be in one.
            ("ProtectHome", "read-only"),
            ("PrivateDevices", "yes"),
            ("ProtectProc", "invisible"),
        ])
        .with(without_namespaces)
        .comment("Do not add MemoryDenyWriteExecute= or ProcSubset=: config.sh compiles code at run time.")
        .set("SystemCallFilter", format!("{FOREIGN_CALLS} @mount"))
        .set("SystemCallErrorNumber", "EPERM")
}

/// Appends the limits of a process that needs the network and its own directories, and nothing else.
pub(super) fn network_only(service: Section) -> Section {
    let service = service.with(unprivileged).set_all([
        ("PrivateDevices", "yes"),
        ("PrivateUsers", "yes"),
        ("ProtectProc", "invisible"),
        ("ProcSubset", "pid"),
    ]);
    service.with(without_namespaces).set_all([
        ("MemoryDenyWriteExecute", "yes"),
        ("SystemCallFilter", "@system-service"),
        ("SystemCallFilter", "~@privileged @resources"),
        ("SystemCallErrorNumber", "EPERM"),
    ])
}

/// Appends the limits of a process that also runs jobs in sandboxes.
pub(super) fn runs_jobs(service: Section) -> Section {
    service
        .comment(
            "Access: the state directory and the network, nothing else. These limits also apply to jobs, in addition to their \
             sandbox.",
        )
        .with(unprivileged)
        .set("RestrictAddressFamilies", format!("{NETWORK} AF_NETLINK"))
        .comment("The uplink of a job's network is the only necessary device.")
        .set_all([("DevicePolicy", "closed"), ("DeviceAllow", "/dev/net/tun rw")])
        .comment(
            "bubblewrap and the network of a job need these namespaces. The kernel permits the mount of a job's own /proc only \
             if no part of the present one is covered: do not add ProtectKernelTunables=, ProtectKernelLogs=, ProtectProc= or \
             ProcSubset=.",
        )
        .set("RestrictNamespaces", "cgroup ipc mnt net pid user uts")
        .comment(
            "Do not add MemoryDenyWriteExecute=: actions/runner and node compile code at run time. Do not add an allow-list of \
             system calls: jobs run any program.",
        )
        .set_all([("SystemCallFilter", FOREIGN_CALLS), ("SystemCallErrorNumber", "EPERM")])
}

/// Appends the limits of a worker beside its access: jobs survive a restart of the worker.
pub(super) fn keeps_jobs(service: Section) -> Section {
    service
        .comment("Local jobs continue during a restart or an upgrade; each job has its own deadline.")
        .set("KillMode", "process")
        .comment("If a job uses too much memory, only this job ends.")
        .set_all([("OOMPolicy", "continue"), ("LimitNOFILE", "65536")])
        .comment("This includes all local jobs.")
        .set("TasksMax", "16384")
}
