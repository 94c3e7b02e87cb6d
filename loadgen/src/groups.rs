//! Which device belongs to which group, decided before anything runs.
//!
//! Pure: shares in, members out. Devices join the group that is furthest behind its share, so that
//! the first ten devices of a run are as mixed as the first thousand, whenever they come.

use crate::schedule::DeviceNumber;

/// A device's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The index of its group.
    pub group: usize,
    /// How many devices of that group have smaller numbers.
    pub rank: u32,
}

/// The groups of all devices of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    members: Vec<Member>,
    counts: Vec<u32>,
}

impl Membership {
    /// `devices` devices in groups of these shares, which add up to 1.
    ///
    /// # Panics
    /// Without a group.
    pub fn new(shares: &[f64], devices: u32) -> Self {
        assert!(!shares.is_empty(), "every device belongs to a group");
        let mut counts = vec![0; shares.len()];
        let members = (0..devices).map(|device| {
            let behind =
                |group: usize| shares[group] * f64::from(device + 1) - f64::from(counts[group]);
            let group = (1..shares.len())
                .fold(0, |most, group| if behind(group) > behind(most) { group } else { most });
            let rank = counts[group];
            counts[group] += 1;
            Member { group, rank }
        });
        Self { members: members.collect(), counts }
    }

    /// The place of `device`.
    ///
    /// # Panics
    /// For a device that the run does not have.
    pub fn of(&self, device: DeviceNumber) -> Member {
        self.members[device as usize]
    }

    /// How many devices there are.
    pub fn devices(&self) -> u32 {
        u32::try_from(self.members.len()).expect("devices are numbered by u32")
    }

    /// How many of them are in each group.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn groups(shares: &[f64], devices: u32) -> Vec<usize> {
        let membership = Membership::new(shares, devices);
        (0..devices).map(|device| membership.of(device).group).collect()
    }

    #[test]
    fn devices_join_the_group_that_is_furthest_behind() {
        assert_eq!(groups(&[1.0], 3), [0, 0, 0]);
        assert_eq!(groups(&[0.5, 0.5], 4), [0, 1, 0, 1]);
        assert_eq!(groups(&[0.25, 0.75], 8), [1, 0, 1, 1, 1, 0, 1, 1]);
        assert_eq!(groups(&[0.0, 1.0], 3), [1, 1, 1], "nobody belongs to a share of nothing");
    }

    #[test]
    fn ranks_count_within_the_group() {
        let membership = Membership::new(&[0.5, 0.5], 5);
        let ranks: Vec<_> = (0..5).map(|device| membership.of(device).rank).collect();
        assert_eq!(ranks, [0, 0, 1, 1, 2]);
        assert_eq!((membership.devices(), membership.counts()), (5, &[3, 2][..]));
    }

    proptest! {
        /// However many have come, each group has its share of them.
        #[test]
        fn every_beginning_is_mixed_as_the_whole(weights in proptest::collection::vec(1u32..100, 1..6)) {
            let sum: u32 = weights.iter().sum();
            let shares: Vec<f64> = weights.iter().map(|&weight| f64::from(weight) / f64::from(sum)).collect();
            let members = groups(&shares, 300);
            let mut counts = vec![0.0; shares.len()];
            for (index, &group) in members.iter().enumerate() {
                counts[group] += 1.0;
                for (count, share) in counts.iter().zip(&shares) {
                    let due = share * (index + 1) as f64;
                    prop_assert!((count - due).abs() < shares.len() as f64, "{counts:?} after {index}");
                }
            }
        }
    }
}
