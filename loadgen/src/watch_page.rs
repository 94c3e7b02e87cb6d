//! `din watch`: the state of a run that goes on, as a web page that changes each second.
//!
//! A process of its own, which reads what the run writes: looking costs the run nothing but the
//! processor that this takes. Whoever asks gets what is true at that instant, and after the end what
//! was true last. Loopback unless told otherwise; a name that is not ours is refused, so that a page
//! of somebody else's cannot read this one through a name that leads here.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use measure::progress_record::{self, FORMAT, ProgressRecord};
use reports::live;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::run_directory::RUNS;
use crate::timeline;
use crate::watch::Interrupt;

/// Connections open at once: a browser opens six.
const MAX_CONNECTIONS: usize = 32;
/// How long a request's head may take to arrive.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// A run that has told nothing for so long is none any more; it tells each second.
const STALE: Duration = Duration::from_secs(15);
/// How long to wait after the kernel refused to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A run that cannot be watched.
#[derive(Debug)]
pub enum WatchError {
    /// No run is going on where runs are kept.
    NoRun,
    /// None is going on in this directory.
    Idle {
        /// The directory.
        directory: PathBuf,
        /// What the operating system said, or what is wrong with the file.
        why: String,
    },
    /// The page cannot be served.
    Serve(SocketAddr, io::Error),
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRun => write!(
                f,
                "no run is going on under {RUNS}; start one with `din run`, or name its directory"
            ),
            Self::Idle { directory, why } => write!(
                f,
                "no run is going on in {}: {}: {why}; a run that is over has its report.html there",
                directory.display(),
                progress_record::FILE
            ),
            Self::Serve(address, error) => {
                write!(f, "cannot serve at {address}: {error}; choose another --port or --address")
            }
        }
    }
}

impl std::error::Error for WatchError {}

/// The newest run that goes on where runs are kept.
///
/// # Errors
/// [`WatchError::NoRun`] when there is none.
pub fn newest() -> Result<PathBuf, WatchError> {
    let entries = std::fs::read_dir(RUNS).into_iter().flatten().flatten();
    let under_way = entries.filter_map(|entry| {
        read(&entry.path()).ok()?;
        let told = std::fs::metadata(entry.path().join(progress_record::FILE)).ok()?;
        Some((told.modified().unwrap_or(SystemTime::UNIX_EPOCH), entry.path()))
    });
    under_way.max().map(|(_, directory)| directory).ok_or(WatchError::NoRun)
}

/// What is known of a run.
#[derive(Debug)]
struct Watched {
    directory: PathBuf,
    /// The last that it told.
    last: Mutex<State>,
}

#[derive(Clone, Debug)]
struct State {
    progress: ProgressRecord,
    timeline: String,
    now: Now,
}

/// Whether it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Now {
    Running,
    /// It took its progress away.
    Over,
    /// It left its progress and tells nothing any more.
    Killed,
}

impl Watched {
    fn begin(directory: &Path) -> Result<Self, WatchError> {
        let idle = |why| WatchError::Idle { directory: directory.to_owned(), why };
        let progress = read(directory).map_err(idle)?;
        let last = State { progress, timeline: String::new(), now: Now::Running };
        Ok(Self { directory: directory.to_owned(), last: Mutex::new(last) })
    }

    /// What is true now, or was last.
    fn state(&self) -> State {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match read(&self.directory) {
            Ok(progress) => (last.progress, last.now) = (progress, Now::Running),
            Err(_) if self.directory.join(progress_record::FILE).exists() => last.now = Now::Killed,
            Err(_) => last.now = Now::Over,
        }
        // When a run ends its timeline is written once more, as a whole.
        if let Ok(timeline) = std::fs::read_to_string(self.directory.join(timeline::FILE))
            && timeline.len() >= last.timeline.len()
        {
            last.timeline = timeline;
        }
        last.clone()
    }
}

fn read(directory: &Path) -> Result<ProgressRecord, String> {
    let file = directory.join(progress_record::FILE);
    let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
    // A run that was killed leaves it behind.
    let age = std::fs::metadata(&file).ok().and_then(|told| told.modified().ok()?.elapsed().ok());
    if let Some(age) = age.filter(|age| *age > STALE) {
        return Err(format!("it was last written {} s ago: the run was killed", age.as_secs()));
    }
    let progress: ProgressRecord =
        serde_json::from_str(&text).map_err(|error| error.to_string())?;
    if progress.format > FORMAT {
        return Err(format!(
            "its format is {} and this Din reads up to {FORMAT}; use a newer Din",
            progress.format
        ));
    }
    Ok(progress)
}

/// Serves the state of the run in `directory` until somebody interrupts; tells the address by
/// `announce` when it is ready.
///
/// # Errors
/// [`WatchError`] when there is no such run, or no such address.
pub fn serve(
    directory: &Path,
    address: SocketAddr,
    announce: impl FnOnce(SocketAddr),
) -> Result<(), WatchError> {
    let watched = Arc::new(Watched::begin(directory)?);
    let failed = |error| WatchError::Serve(address, error);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let mut interrupt = Interrupt::new().map_err(failed)?;
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        announce(listener.local_addr().map_err(failed)?);
        tokio::select! {
            never = accept(listener, watched) => match never {},
            () = interrupt.next() => Ok(()),
        }
    })
}

async fn accept(listener: TcpListener, watched: Arc<Watched>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                connections.spawn(converse(stream, Arc::clone(&watched)));
            }
            // Closed at once: there are enough.
            Ok(_) => {}
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn converse(stream: TcpStream, watched: Arc<Watched>) {
    // Where both kinds of address are served, one of the old kind comes in the new one's clothes.
    let local = stream.local_addr().map(|address| address.ip().to_canonical()).ok();
    let service = service_fn(|request: Request<Incoming>| {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let response = if is_ours(host, local) {
            answer(request.method(), request.uri().path(), &watched)
        } else {
            refused(StatusCode::FORBIDDEN, "This page is not served under that name.\n")
        };
        async move { Ok::<_, Infallible>(response) }
    });
    // A connection that breaks off is the browser's business.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Whether a request is for this machine by a name that nobody else can point here.
fn is_ours(host: Option<&str>, local: Option<IpAddr>) -> bool {
    let Some(host) = host else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| Some(address) == local)
}

fn answer(method: &Method, path: &str, watched: &Watched) -> Response<Full<Bytes>> {
    if !["/", "/update"].contains(&path) {
        return refused(
            StatusCode::NOT_FOUND,
            "There is nothing at this path; the page is at /.\n",
        );
    }
    if ![Method::GET, Method::HEAD].contains(method) {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "It can only be read: GET, HEAD.\n");
    }
    let State { progress, timeline, now } = watched.state();
    let html = match path {
        "/" => live::page(&progress, &timeline),
        _ => live::fragment(&progress, &timeline),
    };
    let mut response = response(StatusCode::OK, "text/html; charset=utf-8", html);
    let state = match now {
        Now::Running => "running",
        Now::Over => "over",
        Now::Killed => "killed",
    };
    response.headers_mut().insert("Din-State", HeaderValue::from_static(state));
    response
}

fn refused(status: StatusCode, why: &'static str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", why)
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(live::POLICY));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn only_names_that_lead_nowhere_else_are_ours() {
        let here = Some(IpAddr::from(Ipv4Addr::LOCALHOST));
        for host in ["127.0.0.1:8080", "127.0.0.1", "localhost:1", "localhost"] {
            assert!(is_ours(Some(host), here), "{host}");
        }
        for host in ["evil.example:8080", "192.0.2.1:80", "localhost.evil.example", "", "[::1]:80"]
        {
            assert!(!is_ours(Some(host), here), "{host}");
        }
        assert!(!is_ours(None, here));
        assert!(is_ours(Some("[::1]:80"), Some("::1".parse().unwrap())));
    }

    #[test]
    fn a_run_that_is_over_is_shown_as_it_was_last() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let error = Watched::begin(path).unwrap_err().to_string();
        assert!(
            error.contains("no run is going on in") && error.contains("report.html"),
            "{error}"
        );
        let file = path.join(progress_record::FILE);
        std::fs::write(&file, "{\"format\": 99").unwrap();
        assert!(Watched::begin(path).is_err(), "cut");
        let newer = ProgressRecord { format: 99, ..ProgressRecord::default() };
        std::fs::write(&file, serde_json::to_string(&newer).unwrap()).unwrap();
        assert!(Watched::begin(path).unwrap_err().to_string().contains("use a newer Din"));
        let progress = ProgressRecord { format: 1, elapsed_ms: 5.0, ..ProgressRecord::default() };
        std::fs::write(&file, serde_json::to_string(&progress).unwrap()).unwrap();
        std::fs::write(path.join(timeline::FILE), "t_s\n1\n").unwrap();
        let watched = Watched::begin(path).unwrap();
        assert_eq!((watched.state().now, watched.state().timeline.len()), (Now::Running, 6));
        let before = SystemTime::now() - STALE - Duration::from_secs(5);
        let opened = std::fs::File::options().append(true).open(&file).unwrap();
        opened.set_modified(before).unwrap();
        let error = Watched::begin(path).unwrap_err().to_string();
        assert!(error.contains("the run was killed"), "{error}");
        assert_eq!(watched.state().now, Now::Killed);
        std::fs::remove_file(file).unwrap();
        let last = watched.state();
        assert!(last.now == Now::Over && last.progress == progress);
    }
}
