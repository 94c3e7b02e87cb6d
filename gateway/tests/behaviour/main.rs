//! What a gateway does on real sockets, on loopback and free ports. One program, so that it links
//! once; a file for each behaviour.

mod assistant;
mod calls;
mod connections;
mod faults;
mod fixture;
mod garbage;
mod process;
mod scaling;
mod telemetry;
