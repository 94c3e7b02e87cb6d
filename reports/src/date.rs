//! Moments of the calendar, in UTC.

/// A second of the Gregorian calendar in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc {
    /// Year.
    pub year: u64,
    /// Month, from 1.
    pub month: u64,
    /// Day of the month, from 1.
    pub day: u64,
    /// Hour, from 0.
    pub hour: u64,
    /// Minute, from 0.
    pub minute: u64,
    /// Second, from 0.
    pub second: u64,
}

impl Utc {
    /// The moment this many seconds after the beginning of 1970 (UTC).
    pub fn at_unix_s(seconds: u64) -> Self {
        let (year, month, day) = civil(seconds / 86_400);
        let second = seconds % 86_400;
        Self {
            year,
            month,
            day,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }

    /// `2026-11-22T17:30:00`, as ISO 8601 has it, without a zone.
    pub fn iso(self) -> String {
        let Self { year, month, day, hour, minute, second } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }

    /// `20261122-173000`, for names of files.
    pub fn compact(self) -> String {
        let Self { year, month, day, hour, minute, second } = self;
        format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
    }
}

/// Year, month and day of the day this many days after 1 January 1970, in the Gregorian calendar
/// (Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // March is month 0 here, so that the leap day is the last of the year.
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_days_and_times() {
        for (seconds, compact, iso) in [
            (0, "19700101-000000", "1970-01-01T00:00:00"),
            (951_782_400, "20000229-000000", "2000-02-29T00:00:00"),
            (1_735_689_599, "20241231-235959", "2024-12-31T23:59:59"),
            (1_795_368_600, "20261122-173000", "2026-11-22T17:30:00"),
        ] {
            let at = Utc::at_unix_s(seconds);
            assert_eq!((at.compact().as_str(), at.iso().as_str()), (compact, iso));
        }
    }
}
