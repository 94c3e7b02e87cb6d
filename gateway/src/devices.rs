//! Who is connected, so that a second connection of a client id closes the first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use protocol::identity::ClientId;
use tokio::sync::oneshot;

/// The connected devices of one gateway.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    claims: Mutex<Claims>,
}

#[derive(Debug, Default)]
struct Claims {
    /// Claims made so far; the number of a claim tells it from a later one of the same client.
    made: u64,
    live: HashMap<ClientId, (u64, oneshot::Sender<()>)>,
}

/// The right of one connection to speak for its client id, until it is dropped or taken over.
#[derive(Debug)]
pub(crate) struct Claim {
    devices: Arc<Devices>,
    client: ClientId,
    number: u64,
    taken_over: oneshot::Receiver<()>,
}

impl Devices {
    /// Claims `client` for a new connection and takes it from the one that had it.
    pub(crate) fn claim(self: &Arc<Self>, client: ClientId) -> Claim {
        let (take_over, taken_over) = oneshot::channel();
        let mut claims = self.claims();
        claims.made += 1;
        let number = claims.made;
        if let Some((_, before)) = claims.live.insert(client.clone(), (number, take_over)) {
            // It may be ending by itself at this moment.
            let _ = before.send(());
        }
        Claim { devices: Arc::clone(self), client, number, taken_over }
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().expect("nothing panics while it holds the claims")
    }
}

impl Claim {
    /// Waits until another connection has claimed the same client id.
    pub(crate) async fn taken_over(&mut self) {
        // The sender is dropped with the claim at the latest.
        let _ = (&mut self.taken_over).await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = self.devices.claims();
        if claims.live.get(&self.client).is_some_and(|(number, _)| *number == self.number) {
            claims.live.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(uuid: &str) -> ClientId {
        ClientId::parse(&format!("g@@@aa_bb_cc_dd_ee_ff@@@{uuid}")).unwrap()
    }

    #[test]
    fn a_second_claim_takes_over_the_first_and_only_that() {
        let devices = Arc::<Devices>::default();
        let mut other = devices.claim(client("other"));
        let mut first = devices.claim(client("u"));
        let mut second = devices.claim(client("u"));
        assert_eq!(first.taken_over.try_recv(), Ok(()));
        drop(first);
        assert_eq!(devices.claims().live.len(), 2, "the claim is the second's now");
        assert!(second.taken_over.try_recv().is_err() && other.taken_over.try_recv().is_err());
        drop((second, other));
        assert!(devices.claims().live.is_empty());
    }
}
