//! How many files, and so sockets, this process may open.

use std::error::Error;
use std::fmt;
use std::io;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The limits on open files of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// What holds now.
    pub soft: u64,
    /// What the process may raise it to.
    pub hard: u64,
}

/// The limits that hold now.
///
/// # Errors
/// Whatever `getrlimit` reports; Linux reports nothing.
pub fn open_files() -> io::Result<OpenFiles> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(OpenFiles { soft, hard })
}

/// Lets this process, and those it starts, have `needed` files open at once, and returns the limit
/// that holds afterwards. Never lowers it.
///
/// # Errors
/// [`LimitError`] when the hard limit is below `needed`, or the kernel refuses.
pub fn raise_open_files(needed: u64) -> Result<u64, LimitError> {
    let refused = |cause| LimitError::Refused { needed, cause };
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(refused)?;
    let target = new_soft_limit(OpenFiles { soft, hard }, needed)?;
    if target > soft {
        setrlimit(Resource::RLIMIT_NOFILE, target, hard).map_err(refused)?;
    }
    Ok(target)
}

fn new_soft_limit(now: OpenFiles, needed: u64) -> Result<u64, LimitError> {
    if needed > now.hard {
        return Err(LimitError::BeyondHard { needed, hard: now.hard });
    }
    Ok(now.soft.max(needed))
}

/// This process cannot have as many files open as it needs.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitError {
    /// Only an administrator can help.
    BeyondHard {
        /// Files needed at once.
        needed: u64,
        /// The hard limit.
        hard: u64,
    },
    /// The kernel does not let this process change its own limit.
    Refused {
        /// Files needed at once.
        needed: u64,
        /// What the kernel said.
        cause: Errno,
    },
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeyondHard { needed, hard } => write!(
                f,
                "{needed} open files needed, the hard limit is {hard}: raise it (`ulimit -Hn`, \
                 `LimitNOFILE=`, `--ulimit nofile=`) or use fewer devices"
            ),
            Self::Refused { needed, cause } => {
                write!(f, "cannot set the limit to {needed} open files: {}", cause.desc())
            }
        }
    }
}

impl Error for LimitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::BeyondHard { .. } => None,
            Self::Refused { cause, .. } => Some(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_rises_to_what_is_needed_and_no_further_than_the_hard_one() {
        let now = OpenFiles { soft: 1024, hard: 20_000 };
        for (needed, expected) in [
            (0, Ok(1024)),
            (1024, Ok(1024)),
            (1025, Ok(1025)),
            (20_000, Ok(20_000)),
            (20_001, Err(LimitError::BeyondHard { needed: 20_001, hard: 20_000 })),
        ] {
            assert_eq!(new_soft_limit(now, needed), expected, "{needed}");
        }
    }

    #[test]
    fn raising_takes_effect() {
        let before = open_files().unwrap();
        let needed = (before.soft + 1).min(before.hard);
        assert_eq!(raise_open_files(needed), Ok(needed));
        assert_eq!(open_files().unwrap(), OpenFiles { soft: needed, ..before });
        assert_eq!(raise_open_files(1), Ok(needed));
    }

    #[test]
    fn the_error_says_what_is_needed_what_there_is_and_what_to_do() {
        let error = LimitError::BeyondHard { needed: 20_100, hard: 20_000 }.to_string();
        assert!(error.starts_with("20100 open files needed, the hard limit is 20000: raise it"));
    }
}
