//! How the host is tuned: what decides whether it is a place to measure on.
//!
//! Each is `None` where the kernel does not tell: virtual machines show no frequency scaling,
//! containers hide parts of `/proc/sys`.

use std::fs;

/// Settings of the host that change results; read once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    /// The most bytes of `SO_RCVBUF` that an ordinary process may ask for.
    pub receive_buffer_max_bytes: Option<u64>,
    /// The same of `SO_SNDBUF`.
    pub send_buffer_max_bytes: Option<u64>,
    /// Where the kernel takes the time from: `tsc`, `kvm-clock`, `hpet`.
    pub clock_source: Option<String>,
    /// How the first processor's frequency is chosen: `performance`, `powersave`, `schedutil`.
    pub governor: Option<String>,
    /// The first processor's frequency at this moment, in MHz.
    pub megahertz: Option<f64>,
    /// Threads that ran or wanted to, on average over the last minute.
    pub load_average: Option<f64>,
}

impl Tuning {
    /// Looks at the host.
    pub fn read() -> Self {
        let kilohertz = number("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq");
        Self {
            receive_buffer_max_bytes: number("/proc/sys/net/core/rmem_max"),
            send_buffer_max_bytes: number("/proc/sys/net/core/wmem_max"),
            clock_source: word("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            governor: word("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            megahertz: kilohertz.map(|kilohertz: f64| kilohertz / 1e3).or_else(|| {
                let processors = fs::read_to_string("/proc/cpuinfo").ok()?;
                in_cpuinfo(&processors)
            }),
            load_average: number("/proc/loadavg"),
        }
    }
}

/// The first word of a file.
fn word(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.split_whitespace().next()?.to_owned())
}

fn number<T: std::str::FromStr>(path: &str) -> Option<T> {
    word(path)?.parse().ok()
}

/// `cpu MHz : 2445.426`, of the first processor.
fn in_cpuinfo(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("cpu MHz"))?;
    line.split_once(':')?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frequency_is_found_where_it_is_told() {
        let text = "processor\t: 0\ncpu MHz\t\t: 2445.426\nprocessor\t: 1\ncpu MHz\t\t: 800.0\n";
        assert_eq!(in_cpuinfo(text), Some(2445.426));
        assert_eq!(in_cpuinfo("processor\t: 0\nBogoMIPS\t: 48.00\n"), None);
    }

    #[test]
    fn this_host_tells_its_load() {
        assert!(Tuning::read().load_average.unwrap() >= 0.0);
        assert_eq!(word("/proc/sys/no/such/setting"), None);
    }
}
