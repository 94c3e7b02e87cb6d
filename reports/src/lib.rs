//! From a run record to something people read. Everything here is a function of the record alone,
//! so that old runs can be rendered again.

pub mod charts;
pub mod csv;
pub mod date;
mod figures;
pub mod github;
pub mod improvement;
pub mod junit;
pub mod live;
pub mod markdown;
pub mod page;
pub mod plot;
pub mod replay;
pub mod run_files;
pub mod study;
pub mod terminal;
#[cfg(test)]
mod testing;
