//! Any bytes as a capture: an error, or a trace that is read again; never a panic, a hang or memory
//! without bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loadgen::import::calls::Survey;
use loadgen::import::capture::{Datagram, datagrams};
use simnet::Trace;

fuzz_target!(|bytes: &[u8]| {
    let mut survey = Survey::default();
    if datagrams(bytes, |datagram| survey.datagram(&datagram)).is_err() {
        return;
    }
    let Ok(mut floors) = survey.floors(None) else { return };
    let each = |datagram: Datagram<'_>| {
        floors.datagram(&datagram);
        Ok(())
    };
    datagrams(bytes, each).expect("what was read once is read again");
    let mut trace = Vec::new();
    let mut telling = floors.telling(&mut trace).expect("a Vec takes all");
    let each =
        |datagram: Datagram<'_>| telling.datagram(&datagram).map_err(|error| error.to_string());
    datagrams(bytes, each).expect("what was read once is read again");
    let (calls, _) = telling.finish().expect("a Vec takes all");
    match Trace::read(&trace[..]) {
        Ok(trace) => assert!(trace.streams().len() <= calls.len()),
        Err(error) => assert!(error.to_string().starts_with("no packet in it"), "{error}"),
    }
});
