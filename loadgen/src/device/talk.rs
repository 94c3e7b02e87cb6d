//! What a device says during its call, until that is over: all the time, in turns, or nothing.

use std::sync::{Arc, PoisonError};

use protocol::Moment;
use protocol::control::ListenState;
use protocol::device_session::AudioEnd;
use tokio::time::timeout;

use super::{Fleet, LEAD, LET_GO};
use crate::conversation::{Act, Conversation, Heard, Turn};
use crate::line::{Line, LineEvent, sleep_until};
use crate::media::call::Call;
use crate::media::talkspurt::Talkspurt;
use crate::media::uplink::Uplink;
use crate::scenario::{Talk, Turns};
use crate::schedule::PlannedCall;
use crate::traits::{DeviceTraits, conversation_rng};

/// How a call came to its end.
pub(super) enum End {
    /// As it was planned: everything is said.
    Over,
    /// The session ended before.
    Lost(AudioEnd),
}

/// Says what is to be said until the call is over or the session ends.
pub(super) async fn until_over(
    fleet: &Fleet,
    planned: PlannedCall,
    line: &mut Line,
    media: &Arc<Call>,
) -> End {
    let traits = DeviceTraits::new(&fleet.population, planned.device);
    match &fleet.groups[traits.group].talk {
        Talk::FullDuplex => {
            let voice = Arc::clone(&media.voice);
            fleet.pacer.join(Uplink::new(Arc::clone(media), voice, traits.clip_offset));
            until(fleet, line, media, media.uplink_done.notified()).await
        }
        Talk::Silent => until(fleet, line, media, sleep_until(fleet.clock, planned.leave)).await,
        Talk::HalfDuplex(turns) => converse(fleet, planned, line, media, turns).await,
    }
}

/// Keeps the session up until everything is said.
async fn until(
    fleet: &Fleet,
    line: &mut Line,
    media: &Call,
    said: impl Future<Output = ()>,
) -> End {
    tokio::select! {
        biased;
        end = line.until_closed(fleet.clock, || media.last_packet()) => End::Lost(end),
        () = said => End::Over,
    }
}

async fn converse(
    fleet: &Fleet,
    planned: PlannedCall,
    line: &mut Line,
    media: &Arc<Call>,
    turns: &Turns,
) -> End {
    let clock = fleet.clock;
    let rng = conversation_rng(fleet.population.seed, planned);
    let mut conversation =
        Conversation::new(turns.clone(), media.frame.as_duration(), rng, clock.now());
    let mut acts = Vec::new();
    // The last frame of the talkspurt that is being sent.
    let mut speaking: Option<Talkspurt> = None;
    let heard = || Heard { first: media.turns.first_packet(), last: media.last_packet() };
    let end = loop {
        for act in acts.drain(..) {
            match act {
                Act::Listen { frames } => speaking = listen(fleet, planned, line, media, frames),
                Act::Stop => {
                    media.turns.await_speech();
                    line.listen(ListenState::Stop);
                }
                Act::Abort => line.abort(),
                Act::Conclude(turn) => conclude(fleet, media, &turn),
            }
        }
        let deadline = conversation.next_deadline(heard()).unwrap_or(planned.leave);
        tokio::select! {
            biased;
            event = line.next_event(clock, || media.last_packet()) => match event {
                LineEvent::Closed(end) => break End::Lost(end),
                LineEvent::Speech(said) => conversation.speech(said, clock.now()),
            },
            () = media.uplink_done.notified(), if speaking.is_some() => {
                if let Some(talkspurt) = speaking.take() {
                    let last = media.due(talkspurt.end() - 1);
                    conversation.listened(last, clock.now(), &mut acts);
                }
            }
            () = sleep_until(clock, planned.leave) => {
                if speaking.is_some() {
                    // A frame may be on its way to the kernel; the pacer tells when it has let go.
                    let _ = timeout(LET_GO, media.uplink_done.notified()).await;
                }
                break End::Over;
            }
            () = sleep_until(clock, deadline) => conversation.tick(clock.now(), heard(), &mut acts),
        }
    };
    if let Some(turn) = conversation.finish(heard()) {
        conclude(fleet, media, &turn);
    }
    end
}

/// Begins to listen: what the user says is sent as it is said. `None` when the call would be over
/// before the first frame.
fn listen(
    fleet: &Fleet,
    planned: PlannedCall,
    line: &mut Line,
    media: &Arc<Call>,
    frames: u64,
) -> Option<Talkspurt> {
    let ready: Moment = fleet.clock.now() + LEAD;
    if ready + media.frame.as_duration() >= planned.leave {
        return None;
    }
    media.turns.begin();
    line.listen(ListenState::Start);
    let talkspurt = media.begin_talkspurt(ready, frames);
    fleet.pacer.join(Uplink::of_talkspurt(Arc::clone(media), talkspurt));
    Some(talkspurt)
}

fn conclude(fleet: &Fleet, media: &Call, turn: &Turn) {
    media.turns.conclude(turn.latency.is_some());
    fleet.turns.lock().unwrap_or_else(PoisonError::into_inner).note(turn);
}
