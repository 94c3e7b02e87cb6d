use super::*;
use crate::{Delay, Distribution, Loss, Reorder};
use measure::reordering::Reordering;
use sha2::{Digest, Sha256};

const FRAME: Duration = Duration::from_millis(20);
const BYTES: usize = 200;

/// The fates of so many packets, one each 20 ms.
fn fates(impairment: &Impairment, seed: u64, packets: u32) -> Vec<Fate> {
    let mut impairer = Impairer::new(impairment.clone(), seed);
    (0..packets).map(|number| impairer.packet(Moment::START + FRAME * number, BYTES)).collect()
}

fn sent(number: usize) -> Moment {
    Moment::START + FRAME * u32::try_from(number).unwrap()
}

/// The numbers of those that arrived, in the order of their arrival.
fn arrivals(fates: &[Fate]) -> Vec<(Moment, usize)> {
    let mut arrived: Vec<(Moment, usize)> = fates
        .iter()
        .enumerate()
        .flat_map(|(number, fate)| [fate.delivery, fate.copy].map(|one| (one, number)))
        .filter_map(|(delivery, number)| Some((delivery?.at, number)))
        .collect();
    arrived.sort();
    arrived
}

fn everything() -> Impairment {
    Impairment {
        delay: Delay {
            time: Duration::from_millis(30),
            jitter: Duration::from_millis(15),
            correlation: 0.25,
            distribution: Distribution::ParetoNormal,
        },
        loss: Loss::bursts(0.01, 0.3),
        duplicate: 0.01,
        corrupt: 0.01,
        reorder: Some(Reorder { share: 0.02, gap: 5 }),
        rate: Some(Rate { bits_per_second: 400_000, queue: 50 }),
        stall: Some(Stall {
            per_minute: 6.0,
            shortest: Duration::from_millis(80),
            longest: Duration::from_millis(200),
        }),
        outage: Some(Outage { every: Duration::from_mins(1), lasting: Duration::from_millis(250) }),
    }
}

#[test]
fn a_network_that_does_nothing_delivers_everything_at_once() {
    for (number, fate) in fates(&Impairment::default(), 1, 1000).iter().enumerate() {
        let at = sent(number);
        let untouched =
            Fate { delivery: Some(Delivery { at, turned_bit: None }), copy: None, lost: None };
        assert_eq!(*fate, untouched);
    }
}

/// The same seed has the same fates, whatever the machine; another seed has others. A change of this
/// hash changes what every scenario with a network does.
#[test]
fn the_same_seed_has_the_same_fates() {
    let hash = |seed| {
        let mut hash = Sha256::new();
        for fate in fates(&everything(), seed, 20_000) {
            for delivery in [fate.delivery, fate.copy] {
                let at = delivery.map_or(u64::MAX, |one| one.at.as_nanos());
                hash.update(at.to_le_bytes());
                let bit =
                    delivery.and_then(|one| one.turned_bit).map_or(u64::MAX, |bit| bit as u64);
                hash.update(bit.to_le_bytes());
            }
        }
        let start: [u8; 8] = *hash.finalize().first_chunk().unwrap();
        u64::from_be_bytes(start)
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
    assert_eq!(hash(1), 0xe322_b06b_be9b_1fa6);
}

#[test]
fn one_impairment_does_not_change_what_another_does() {
    let lossy = Impairment { loss: Loss::Random(0.1), ..Impairment::default() };
    let both = Impairment { corrupt: 0.1, duplicate: 0.1, ..lossy.clone() };
    let lost = |impairment| -> Vec<bool> {
        fates(impairment, 9, 5000).iter().map(|fate| fate.lost.is_some()).collect()
    };
    assert_eq!(lost(&lossy), lost(&both));
}

#[test]
fn duplicates_and_turned_bits_are_as_many_as_asked_for() {
    let impairment = Impairment { duplicate: 0.05, corrupt: 0.02, ..Impairment::default() };
    let fates = fates(&impairment, 4, 100_000);
    let copies = fates.iter().filter(|fate| fate.copy.is_some()).count() as f64 / 1e5;
    let bits: Vec<usize> = fates.iter().filter_map(|fate| fate.delivery?.turned_bit).collect();
    assert!((copies - 0.05).abs() < 3.0 * (0.05 * 0.95 / 1e5_f64).sqrt(), "{copies}");
    let corrupted = bits.len() as f64 / 1e5;
    assert!((corrupted - 0.02).abs() < 3.0 * (0.02 * 0.98 / 1e5_f64).sqrt(), "{corrupted}");
    assert!(bits.iter().all(|bit| *bit < BYTES * 8));
    assert!(bits.iter().any(|bit| *bit < 100) && bits.iter().any(|bit| *bit > BYTES * 8 - 100));
}

/// By RFC 4737: a packet is reordered when one with a larger number came before it. One that is not
/// delayed overtakes the packets of the last 110 ms: five of them.
#[test]
fn packets_that_overtake_leave_others_behind() {
    let impairment = Impairment {
        delay: Delay { time: FRAME * 5 + FRAME / 2, ..Delay::default() },
        reorder: Some(Reorder { share: 1.0, gap: 50 }),
        ..Impairment::default()
    };
    let fates = fates(&impairment, 4, 1000);
    let mut reordering = Reordering::new();
    let mut late = 0;
    for (_, number) in arrivals(&fates) {
        late += u64::from(reordering.arrived(number as u64).is_some());
    }
    let overtakers = fates
        .iter()
        .enumerate()
        .filter(|(number, fate)| fate.delivery.is_some_and(|one| one.at == sent(*number)));
    assert_eq!((overtakers.count(), late), (20, 20 * 5));
}

/// 200 bytes at 40 kbit/s take 40 ms: every other packet finds the link busy, and of the queue of 10
/// each newer one is lost.
#[test]
fn a_link_sends_one_after_the_other_and_loses_what_its_queue_does_not_hold() {
    let rate = |queue| Impairment {
        rate: Some(Rate { bits_per_second: 40_000, queue }),
        ..Impairment::default()
    };
    let seen = fates(&rate(10), 1, 500);
    let at: Vec<Moment> = seen.iter().filter_map(|fate| Some(fate.delivery?.at)).collect();
    assert!(at.windows(2).all(|pair| pair[1].since(pair[0]) == FRAME * 2), "40 ms apart");
    let lost = seen.iter().filter(|fate| fate.lost == Some(Cause::Queue)).count();
    assert!((230..=245).contains(&lost), "half of them, but for those in the queue: {lost}");
    let waited = |(number, fate): (usize, &Fate)| Some(fate.delivery?.at.since(sent(number)));
    let longest = seen.iter().enumerate().filter_map(waited).max().unwrap();
    assert!(longest > FRAME * 20 && longest <= FRAME * 22, "eleven before it: {longest:?}");
    let fast = Impairment {
        rate: Some(Rate { bits_per_second: 80_000, queue: 0 }),
        ..Impairment::default()
    };
    assert!(fates(&fast, 1, 500).iter().all(|fate| fate.lost.is_none()), "just enough");
}

/// Nothing arrives within a stall; what was held comes at once when it is over.
#[test]
fn a_stall_holds_packets_and_releases_them_back_to_back() {
    let stall = Stall {
        per_minute: 6.0,
        shortest: Duration::from_millis(80),
        longest: Duration::from_millis(200),
    };
    let impairment = Impairment { stall: Some(stall), ..Impairment::default() };
    let minutes = 200;
    let fates = fates(&impairment, 5, minutes * 3000);
    let at: Vec<Moment> = fates.iter().map(|fate| fate.delivery.unwrap().at).collect();
    assert!(at.is_sorted(), "nobody overtakes");
    let mut bursts = at.chunk_by(|one, other| one == other).filter(|burst| burst.len() > 1);
    assert!(bursts.clone().all(|burst| (2..=11).contains(&burst.len())), "80 to 200 ms of 20 ms");
    let stalls = bursts.clone().count() as f64;
    let due = 6.0 * f64::from(minutes);
    assert!((stalls - due).abs() < 4.0 * due.sqrt(), "{stalls} of {due}");
    let first = bursts.next().unwrap();
    assert!(!fates.iter().any(|fate| fate.lost.is_some()) && first[0] == first[1]);
}

#[test]
fn an_outage_loses_everything_for_a_while() {
    let outage = Outage { every: Duration::from_mins(1), lasting: Duration::from_millis(500) };
    let impairment = Impairment { outage: Some(outage), ..Impairment::default() };
    let fates = fates(&impairment, 5, 30_000);
    let lost: Vec<usize> =
        (0..fates.len()).filter(|number| fates[*number].lost == Some(Cause::Outage)).collect();
    let runs: Vec<&[usize]> = lost.chunk_by(|one, other| other - one == 1).collect();
    assert_eq!(runs.len(), 10, "one a minute for ten minutes");
    assert!(runs.iter().all(|run| run.len() == 25), "500 ms of 20 ms");
}

#[test]
fn settings_can_change_in_mid_stream() {
    let mut impairer = Impairer::new(Impairment::default(), 1);
    assert_eq!(impairer.packet(Moment::START, BYTES).lost, None);
    impairer.change(Impairment { loss: Loss::Random(1.0), ..Impairment::default() });
    assert_eq!(impairer.packet(sent(1), BYTES).lost, Some(Cause::Loss));
    impairer.change(Impairment::default());
    assert_eq!(impairer.packet(sent(2), BYTES).lost, None);
}
