//! The limits of units: how much of the machine a process can reach.

use super::unit::Section;

/// Appends the limits of a process that needs the network and its own directories, and nothing else.
pub(super) fn network_only(service: Section) -> Section {
    service.set_all([
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("AmbientCapabilities", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("PrivateUsers", "yes"),
        ("ProtectProc", "invisible"),
        ("ProcSubset", "pid"),
        ("ProtectClock", "yes"),
        ("ProtectControlGroups", "yes"),
        ("ProtectHostname", "yes"),
        ("ProtectKernelLogs", "yes"),
        ("ProtectKernelModules", "yes"),
        ("ProtectKernelTunables", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("RestrictNamespaces", "yes"),
        ("RestrictRealtime", "yes"),
        ("RestrictSUIDSGID", "yes"),
        ("LockPersonality", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("RemoveIPC", "yes"),
        ("KeyringMode", "private"),
        ("SystemCallArchitectures", "native"),
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
        .set_all([
            ("NoNewPrivileges", "yes"),
            ("CapabilityBoundingSet", ""),
            ("AmbientCapabilities", ""),
            ("ProtectSystem", "strict"),
            ("ProtectHome", "yes"),
            ("PrivateTmp", "yes"),
        ])
        .comment("The uplink of a job's network is the only necessary device.")
        .set_all([
            ("DevicePolicy", "closed"),
            ("DeviceAllow", "/dev/net/tun rw"),
            ("ProtectClock", "yes"),
            ("ProtectControlGroups", "yes"),
            ("ProtectHostname", "yes"),
            ("ProtectKernelModules", "yes"),
            ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX AF_NETLINK"),
        ])
        .comment(
            "bubblewrap and the network of a job need these namespaces. The kernel permits the mount of a job's own /proc only \
             if no part of the present one is covered: do not add ProtectKernelTunables=, ProtectKernelLogs=, ProtectProc= or \
             ProcSubset=.",
        )
        .set_all([
            ("RestrictNamespaces", "cgroup ipc mnt net pid user uts"),
            ("RestrictRealtime", "yes"),
            ("RemoveIPC", "yes"),
            ("KeyringMode", "private"),
            ("SystemCallArchitectures", "native"),
        ])
        .comment(
            "Do not add MemoryDenyWriteExecute=: actions/runner and node compile code at run time. Do not add an allow-list of \
             system calls: jobs run any program.",
        )
        .set_all([
            ("SystemCallFilter", "~@clock @cpu-emulation @module @obsolete @raw-io @reboot @swap"),
            ("SystemCallErrorNumber", "EPERM"),
        ])
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
