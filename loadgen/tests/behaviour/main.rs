//! What `din` does, seen from outside: whole runs, refusals, endings, and the dependency arrows.

mod actions;
mod arrows;
mod bad_input;
mod broken_files;
mod ci;
mod comings;
mod common;
mod conversations;
mod detectors;
mod doctor;
mod empty_test;
mod endings;
mod extends;
mod hand_made;
mod histograms;
mod imports;
mod library_gates;
mod networks;
mod odd_gateways;
mod pool;
mod replays;
mod reports;
mod runs;
mod scenario_files;
mod starved;
mod thresholds;
