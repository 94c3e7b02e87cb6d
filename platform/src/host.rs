//! What the host is, for the record of a run, and what it takes away from its guests.

use std::io;
use std::time::Duration;

use nix::sys::sysinfo::sysinfo;
use nix::sys::utsname::uname;
use procfs::{CpuInfo, Current, CurrentSI, KernelStats};

/// Facts about the host that do not change during a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub hostname: String,
    /// The release of its kernel: `6.18.44`.
    pub kernel: String,
    /// The model of its processor, `unknown` where the kernel does not name it.
    pub cpu_model: String,
    /// Processors that are switched on, hardware threads counted separately. A container may be
    /// allowed fewer.
    pub online_cores: usize,
    /// Installed memory that the kernel can use.
    pub memory_bytes: u64,
}

impl Host {
    /// Looks at the host.
    ///
    /// # Errors
    /// When the kernel does not answer or `/proc` is not mounted.
    pub fn read() -> io::Result<Self> {
        let name = uname()?;
        let cpu = CpuInfo::current().map_err(io::Error::other)?;
        Ok(Self {
            hostname: name.nodename().to_string_lossy().into_owned(),
            kernel: name.release().to_string_lossy().into_owned(),
            cpu_model: cpu.model_name(0).unwrap_or("unknown").to_owned(),
            online_cores: cpu.num_cores(),
            memory_bytes: sysinfo()?.ram_total(),
        })
    }
}

/// Time that the virtual processors of this host were ready to run but their hypervisor ran
/// something else: summed over all processors, since boot, in ticks of 10 ms. Zero on hardware.
///
/// # Errors
/// When `/proc/stat` cannot be read.
pub fn steal_time() -> io::Result<Duration> {
    let stats = KernelStats::current().map_err(io::Error::other)?;
    Ok(stats.total.steal_duration().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_a_name_a_processor_and_memory() {
        let host = Host::read().unwrap();
        assert!(!host.hostname.is_empty());
        assert!(host.kernel.contains('.'), "{}", host.kernel);
        assert!(host.online_cores >= 1);
        assert!(host.memory_bytes > 1 << 20);
        assert_eq!(host, Host::read().unwrap());
    }

    #[test]
    fn steal_time_never_decreases() {
        let before = steal_time().unwrap();
        assert!(steal_time().unwrap() >= before);
    }
}
