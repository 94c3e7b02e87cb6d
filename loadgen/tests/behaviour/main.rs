//! What `din` does, seen from outside: whole runs, refusals, endings, and the dependency arrows.

mod arrows;
mod bad_input;
mod comings;
mod common;
mod doctor;
mod endings;
mod extends;
mod histograms;
mod integrity;
mod odd_gateways;
mod pool;
mod runs;
mod thresholds;
