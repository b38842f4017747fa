//! The accelerator: KVM only if a virtual machine reaches its agent with it, because a device that opens proves nothing.

use super::plan::Accelerator;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The device of KVM.
pub(super) const KVM: &str = "/dev/kvm";
/// The leaf that describes the time stamp counter.
const COUNTER_LEAF: u32 = 0x15;

/// Returns emulation with the clock of this machine.
pub(super) fn emulation() -> Accelerator {
    Accelerator::Tcg { tsc_khz: counter_khz() }
}

/// Returns the group of the device of KVM.
pub(super) fn kvm_group() -> Option<u32> {
    fs::metadata(KVM).ok().map(|device| device.gid())
}

/// Returns the frequency of the time stamp counter.
fn counter_khz() -> u64 {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let number = |path: &str| text(path).trim().parse::<u64>().ok();
    let processor = "/sys/devices/system/cpu/cpu0";
    let floats = Path::new(&format!("{processor}/cpufreq")).exists();
    let nominal = || {
        // The figure of /proc/cpuinfo follows the load, where the frequency can change.
        let base = number(&format!("{processor}/cpufreq/base_frequency"));
        base.or_else(|| Some(number(&format!("{processor}/acpi_cppc/nominal_freq"))? * 1000))
    };
    reported_khz()
        .or_else(|| floats.then(nominal).flatten())
        .or_else(|| listed_khz(&text("/proc/cpuinfo")))
        .unwrap_or(1_000_000)
}

/// Returns the frequency that the processor itself reports.
#[cfg(target_arch = "x86_64")]
fn reported_khz() -> Option<u64> {
    use std::arch::x86_64::__cpuid;
    if __cpuid(0).eax < COUNTER_LEAF {
        return None;
    }
    let leaf = __cpuid(COUNTER_LEAF);
    ratio_khz(leaf.eax, leaf.ebx, leaf.ecx)
}

#[cfg(not(target_arch = "x86_64"))]
fn reported_khz() -> Option<u64> {
    None
}

fn ratio_khz(denominator: u32, numerator: u32, crystal_hz: u32) -> Option<u64> {
    let all_known = denominator != 0 && numerator != 0 && crystal_hz != 0;
    all_known.then(|| u64::from(crystal_hz) * u64::from(numerator) / u64::from(denominator) / 1000)
}

/// Parses the list of processors.
fn listed_khz(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("cpu MHz"))?;
    let (whole, fraction) = line.split_once(':')?.1.trim().split_once('.')?;
    let thousandths: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(whole.parse::<u64>().ok()? * 1000 + thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frequency_is_read_from_the_processor_or_from_the_list() {
        assert_eq!(ratio_khz(2, 216, 24_000_000), Some(2_592_000));
        assert_eq!(ratio_khz(2, 216, 0), None);
        assert_eq!(
            listed_khz("processor : 0\ncpu MHz\t\t: 2596.100\ncpu MHz : 1"),
            Some(2_596_100)
        );
        assert_eq!(listed_khz("processor : 0\n"), None);
        assert!(counter_khz() > 100_000, "{}", counter_khz());
    }
}
