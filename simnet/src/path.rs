//! The way of one device's packets in one direction, over the whole of a run.

use std::sync::Arc;
use std::time::Duration;

use protocol::Moment;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::{Cause, Delivery, Direction, Fate, Impairer, Impairment, Trace};

/// What a way is like.
#[derive(Clone, Debug, PartialEq)]
pub enum Course {
    /// Everything is decided at random.
    Impaired(Box<Impairment>),
    /// What happens has happened before.
    Traced(Traced),
}

/// A trace, and how it is gone through.
#[derive(Clone, Debug, PartialEq)]
pub struct Traced {
    /// What happened.
    pub trace: Arc<Trace>,
    /// Whether it begins anew at its end; if not, packets are not touched from there on.
    pub repeat: bool,
    /// Whether each device begins somewhere in it, decided by the seed, or all at its beginning.
    pub spread: bool,
}

impl Course {
    /// Whether packets pass untouched.
    pub fn is_clear(&self) -> bool {
        matches!(self, Self::Impaired(impairment) if **impairment == Impairment::default())
    }
}

impl Default for Course {
    fn default() -> Self {
        Self::Impaired(Box::default())
    }
}

impl From<Impairment> for Course {
    fn from(impairment: Impairment) -> Self {
        Self::Impaired(Box::new(impairment))
    }
}

/// The way of packets under the courses of a run, each from its moment on.
#[derive(Debug)]
pub struct Path {
    /// What is to come, the next one last.
    to_come: Vec<(Moment, Course)>,
    now: Now,
    direction: Direction,
    /// Which device of those of its group, from 0; it has that stream of a trace.
    rank: usize,
    seed: u64,
    /// When the device began to talk: the beginning of a trace.
    begin: Moment,
}

#[derive(Debug)]
enum Now {
    Impaired(Box<Impairer>),
    Traced { traced: Traced, offset: Duration, begin: Moment },
}

impl Path {
    /// The way in `direction` of the `rank`-th device of a group under `courses`, the first of which
    /// holds from the start and each other one from its moment on; it begins at `begin`.
    pub fn new(
        courses: &[(Moment, Course)],
        direction: Direction,
        rank: usize,
        begin: Moment,
        seed: u64,
    ) -> Self {
        let mut to_come: Vec<_> = courses.iter().rev().cloned().collect();
        let impairer = Box::new(Impairer::new(Impairment::default(), seed));
        let first = to_come.pop().map(|(_, course)| course).unwrap_or_default();
        let mut path = Self { to_come, now: Now::Impaired(impairer), direction, rank, seed, begin };
        path.turn(first, begin);
        path
    }

    /// Another course from `at` on.
    fn turn(&mut self, course: Course, at: Moment) {
        match (course, &mut self.now) {
            (Course::Impaired(impairment), Now::Impaired(impairer)) => impairer.change(*impairment),
            (Course::Impaired(impairment), Now::Traced { .. }) => {
                self.now = Now::Impaired(Box::new(Impairer::new(*impairment, self.seed)));
            }
            (Course::Traced(traced), _) => {
                let streams = traced.trace.streams();
                let length = streams[self.rank % streams.len()].length();
                let share: f64 = StdRng::seed_from_u64(self.seed).random();
                let offset = if traced.spread { length.mul_f64(share) } else { Duration::ZERO };
                self.now = Now::Traced { traced, offset, begin: at };
            }
        }
    }

    /// What becomes of a packet of so many bytes that enters at `at`, which is not before the packet
    /// before it.
    pub fn packet(&mut self, at: Moment, bytes: usize) -> Fate {
        while let Some((from, course)) = self.to_come.pop_if(|(from, _)| *from <= at) {
            self.turn(course, from.max(self.begin));
        }
        match &mut self.now {
            Now::Impaired(impairer) => impairer.packet(at, bytes),
            Now::Traced { traced, offset, begin } => {
                let streams = traced.trace.streams();
                let stream = &streams[self.rank % streams.len()];
                let (length, mut since) = (stream.length(), at.since(*begin) + *offset);
                if traced.repeat && !length.is_zero() {
                    let rest = since.as_nanos() % length.as_nanos();
                    since = Duration::from_nanos(u64::try_from(rest).unwrap_or(0));
                }
                let delay = if since >= length {
                    Some(Duration::ZERO)
                } else {
                    stream.delay_at(self.direction, since)
                };
                let delivery = delay.map(|delay| Delivery { at: at + delay, turned_bit: None });
                let lost = delivery.is_none().then_some(Cause::Loss);
                Fate { delivery, copy: None, lost }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Delay, Loss, Preset};

    fn ms(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn delayed(millis: u64) -> Course {
        let time = Duration::from_millis(millis);
        let delay = Delay { time, ..Delay::default() };
        Impairment { delay, ..Impairment::default() }.into()
    }

    fn latenesses(path: &mut Path, at: &[u64]) -> Vec<Option<u128>> {
        let delay = |at| Some(path.packet(at, 100).delivery?.at.since(at).as_millis());
        at.iter().map(|at| ms(*at)).map(delay).collect()
    }

    fn traced(repeat: bool, spread: bool) -> Course {
        let text = "t_ms,direction,delay_ms,stream\n0,up,1,0\n60,up,LOST,0\n120,up,3,0\n\
                    0,up,7,1\n60,up,8,1\n";
        let trace = Arc::new(Trace::read(text.as_bytes()).unwrap());
        Course::Traced(Traced { trace, repeat, spread })
    }

    #[test]
    fn courses_follow_each_other_at_their_moments() {
        let lossy = Impairment { loss: Loss::Random(1.0), ..Impairment::default() };
        let courses = [
            (ms(0), delayed(5)),
            (ms(1000), lossy.into()),
            (ms(2000), traced(false, false)),
            (ms(3000), delayed(9)),
        ];
        let mut path = Path::new(&courses, Direction::Up, 0, ms(100), 1);
        let seen = latenesses(&mut path, &[100, 999, 1000, 2000, 2060, 2120, 2500, 3000]);
        let expected = [Some(5), Some(5), None, Some(1), None, Some(3), Some(0), Some(9)];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_trace_begins_with_the_device_and_anew_at_its_end() {
        let courses = [(ms(0), traced(true, false))];
        let mut path = Path::new(&courses, Direction::Up, 0, ms(5000), 1);
        let seen = latenesses(&mut path, &[5000, 5060, 5120, 5180, 5240]);
        assert_eq!(seen, [Some(1), None, Some(3), Some(1), None]);
        let mut other = Path::new(&courses, Direction::Up, 3, ms(0), 1);
        assert_eq!(latenesses(&mut other, &[0, 60, 120]), [Some(7), Some(8), Some(7)]);
    }

    #[test]
    fn devices_begin_somewhere_in_it_if_that_is_wanted() {
        let courses = [(ms(0), traced(true, true))];
        let beginning = |seed| {
            let mut path = Path::new(&courses, Direction::Up, 0, ms(0), seed);
            latenesses(&mut path, &[0])[0]
        };
        let mut seen: Vec<_> = (0..50).map(beginning).collect();
        assert_eq!(seen[..9], (0..9).map(beginning).collect::<Vec<_>>(), "the seed decides");
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [None, Some(1), Some(3)]);
    }

    #[test]
    fn the_same_seed_gives_the_same_fates_over_a_change() {
        let preset = |name| Course::from(Preset::by_name(name).unwrap().impairment);
        let courses = [(ms(0), preset("wifi-busy")), (ms(30_000), preset("lte-drive"))];
        let fates = |seed| {
            let mut path = Path::new(&courses, Direction::Down, 0, ms(0), seed);
            (0..1000).map(|frame| path.packet(ms(frame * 60), 160)).collect::<Vec<_>>()
        };
        assert_eq!(fates(3), fates(3));
        assert_ne!(fates(3), fates(4));
    }
}
