//! The parts of a running gateway: wired together, started and stopped in the right order.

use std::convert::Infallible;
use std::future;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use platform::Clock;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::autoscale::AutoscaleSettings;
use crate::backend::{Backend, Scratch, SharedCoders};
use crate::common::Common;
use crate::control_io::{Acceptor, Control};
use crate::counters::Counters;
use crate::delay_io::DelayLine;
use crate::devices::Devices;
use crate::digest;
use crate::dispatch::Dispatch;
use crate::faults::FaultSwitch;
use crate::ledger::Ledger;
use crate::media_io::{Intake, MediaIo};
use crate::media_session::{Desk, MediaSession};
use crate::pool::Pool;
use crate::scaling_io::{Scaler, ScalingLog};
use crate::sessions::{GrantTerms, Sessions};
use crate::settings::Settings;
use crate::speech_clip::SpeechClip;
use crate::speech_io::SpeechLine;
use crate::telemetry::{Observer, Reporter, Vitals};

/// The open ports of a gateway.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) control: TcpListener,
    /// One for each media thread.
    pub(crate) media: Vec<Arc<UdpSocket>>,
    pub(crate) telemetry: Option<TcpListener>,
}

/// Everything that has a thread, and what is needed to end it.
#[derive(Debug)]
pub(crate) struct Parts {
    observer: Arc<Observer>,
    reporter: Reporter,
    sessions: Arc<Sessions>,
    acceptor: Acceptor,
    media: MediaIo,
    /// Says why when a media thread cannot go on.
    failures: mpsc::Receiver<io::Error>,
    pool: Pool<MediaSession>,
    drain: Duration,
}

impl Parts {
    /// Starts all threads; call it inside a tokio runtime.
    ///
    /// # Errors
    /// What the system refused; nothing runs then.
    pub(crate) fn start(
        settings: Settings,
        ports: Ports,
        counters: Arc<Counters>,
        switch: Arc<FaultSwitch>,
    ) -> io::Result<Self> {
        let scaling = settings.scaling();
        let Settings { control, media, backend, pool, telemetry, burn, faults, .. } = settings;
        let clock = Clock::start();
        if faults.any() {
            tracing::warn!("faults are switched on: {faults:?}");
        }
        let speaks = backend.kind == Backend::Assistant;
        let clip = speaks.then(|| SpeechClip::encode(&backend)).transpose();
        let clip = clip.map_err(io::Error::other)?;
        let common = Common::new(clock, counters, backend, burn, pool.worker_timeout, switch);
        let common = Arc::new(common.with_clip(clip));
        let speech = speaks.then(|| SpeechLine::start(clock, Arc::clone(&ports.media[0])));
        let udp_addr = ports.media[0].local_addr()?;
        let terms = GrantTerms {
            server: media.advertise.unwrap_or_else(|| udp_addr.ip().to_string()),
            port: udp_addr.port(),
            mailbox: media.mailbox,
        };
        let sessions = Arc::new(Sessions::new(terms, Arc::clone(&common)));
        let control = Control {
            settings: control,
            audio_timeout: media.audio_timeout,
            signature_key: settings.signature_key,
            common: Arc::clone(&common),
            sessions: Arc::clone(&sessions),
            devices: Arc::new(Devices::default()),
            speech: speech.transpose()?,
        };
        let acceptor = Acceptor::new(ports.control, control)?;
        let reporter = Reporter::new(&telemetry, ports.telemetry)?;
        let ledgers: Vec<_> = (0..scaling.max()).map(|_| Arc::<Ledger>::default()).collect();
        let (drain, dispatch) = (pool.drain, pool.dispatch);
        let pool = start_pool(dispatch, &scaling, &common, &ports.media[0], &ledgers)?;
        let observer = Arc::new(Observer {
            common: Arc::clone(&common),
            sessions: Arc::clone(&sessions),
            queue: Arc::clone(pool.queue()),
            ledgers,
            scaling: ScalingLog::default(),
            vitals: Mutex::new(Vitals::start(clock.now())),
            dispatch,
            autoscale: scaling,
            started: SystemTime::now(),
        });
        let intake =
            Intake { common, sessions: Arc::clone(&sessions), queue: Arc::clone(pool.queue()) };
        let (failed, failures) = mpsc::channel(1);
        match MediaIo::start(&ports.media, &intake, &failed) {
            Ok(media) => {
                Ok(Self { observer, reporter, sessions, acceptor, media, failures, pool, drain })
            }
            Err(error) => {
                pool.drain(drain);
                Err(error)
            }
        }
    }

    /// Serves until a part fails, and returns why it did.
    pub(crate) async fn serve(&mut self) -> io::Error {
        let scaler = Scaler::new(&self.observer.autoscale, Arc::clone(&self.observer));
        tokio::select! {
            failure = self.failures.recv() => {
                failure.unwrap_or_else(|| io::Error::other("all media threads have ended"))
            }
            never = self.acceptor.accept() => match never {},
            never = digest::warn_of_what_is_counted(&self.observer.common.counters) => match never {},
            never = scaler.keep(&self.pool) => match never {},
            never = self.reporter.report(&self.observer) => match never {},
            never = stall_when_due(&self.observer.common) => match never {},
        }
    }

    /// Ends all threads, in the order that [`Gateway::run`](crate::Gateway::run) promises.
    pub(crate) async fn stop(self) {
        self.sessions.stop_granting();
        let drained = spawn_blocking(move || {
            self.media.stop();
            self.pool.drain(self.drain)
        });
        let busy = drained.await.expect("neither media threads nor workers hand on a panic");
        if busy > 0 {
            tracing::warn!(busy, "workers did not finish in time and are left behind");
        }
        self.acceptor.hang_up().await;
    }
}

/// Workers answer through `socket`: whichever socket of the port a packet leaves by, devices see
/// the same address.
fn start_pool(
    dispatch: Dispatch,
    scaling: &AutoscaleSettings,
    common: &Arc<Common>,
    socket: &Arc<UdpSocket>,
    ledgers: &[Arc<Ledger>],
) -> io::Result<Pool<MediaSession>> {
    let (common, socket, ledgers) = (Arc::clone(common), Arc::clone(socket), ledgers.to_vec());
    let clock = common.clock;
    let delay_line = match common.backend.delay[..] {
        [] => None,
        _ => Some(Arc::new(DelayLine::start(clock, Arc::clone(&socket))?)),
    };
    Pool::start(scaling.min, scaling.max(), dispatch, clock, move |worker| Desk {
        worker,
        socket: Arc::clone(&socket),
        delay_line: delay_line.clone(),
        scratch: Scratch::new(),
        ledger: Arc::clone(&ledgers[worker]),
        shared_coders: common
            .faults()
            .shared_codec()
            .then(|| SharedCoders::new(common.backend.clone())),
    })
}

/// With the fault `gateway_stall`, the control thread stands still as all others do.
async fn stall_when_due(common: &Common) -> Infallible {
    loop {
        let now = common.clock.now();
        let due = common.faults().next_gateway_stall(now);
        let wait = async {
            match due {
                Some(due) => sleep(due.since(now)).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            () = wait => {}
            () = common.faults_changed() => continue,
        }
        let stall = common.faults().stall_of_gateway(common.clock.now());
        if let Some(stall) = stall {
            common.sit_out(stall);
        }
    }
}
