//! The telemetry port: serves metrics, status and frames over HTTP/1.1, to read only.
//!
//! It shares the gateway's runtime with the control plane, not with audio. Whoever asks gets what
//! is true at that instant; nothing is kept between requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::metrics;
use super::status::Status;

/// Connections open at once. More are accepted and closed at once: a port for a scraper and some
/// people needs no more, and devices need the file descriptors.
const MAX_CONNECTIONS: usize = 16;

/// How long a request's head may take to arrive, and a connection without requests stays open.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// How long to wait after the kernel refused to accept, for want of file descriptors most often.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is served, and what each path holds; also the answer to `/`.
const PATHS: &str = "\
/metrics  OpenMetrics text: counters, gauges and histograms since the gateway started
/status   everything the gateway tells about itself at this instant, as JSON
/frames   the newest frames, as binary records
";

/// Where answers come from.
pub(crate) trait Source: Send + Sync + 'static {
    /// The gateway at this instant.
    fn status(&self) -> Status;

    /// What `/frames` answers.
    fn frames(&self) -> Vec<u8>;
}

/// Serves until it is dropped, which also ends the connections.
pub(crate) async fn serve(listener: TcpListener, source: Arc<impl Source>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while let Some(ended) = connections.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a telemetry connection's task failed");
            }
        }
        match accepted {
            Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                connections.spawn(converse(stream, Arc::clone(&source)));
            }
            Ok((_, peer)) => {
                tracing::debug!(%peer, "closed: {MAX_CONNECTIONS} telemetry connections are open");
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept on the telemetry port");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the requests of one connection, one after the other.
async fn converse(stream: TcpStream, source: Arc<impl Source>) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = answer(request.method(), request.uri().path(), &*source);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a telemetry connection ended");
    }
}

/// The response to one request; of HEAD, hyper sends the head alone.
fn answer(method: &Method, path: &str, source: &impl Source) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    const METHODS: &str = "GET, HEAD";
    if !["/", "/metrics", "/status", "/frames"].contains(&path) {
        let text = format!("There is nothing at this path. There are:\n{PATHS}");
        return response(StatusCode::NOT_FOUND, TEXT, text);
    }
    if ![Method::GET, Method::HEAD].contains(method) {
        let text = format!("{path} can only be read: {METHODS}.\n");
        let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
        return refusal;
    }
    match path {
        "/metrics" => {
            response(StatusCode::OK, metrics::CONTENT_TYPE, metrics::render(&source.status()))
        }
        "/status" => {
            let json = serde_json::to_vec(&source.status()).expect("a status has no odd keys");
            response(StatusCode::OK, "application/json", json)
        }
        // They are handed out once, and HEAD hands nothing out.
        "/frames" if *method == Method::HEAD => {
            response(StatusCode::OK, "application/octet-stream", "")
        }
        "/frames" => response(StatusCode::OK, "application/octet-stream", source.frames()),
        _ => response(StatusCode::OK, TEXT, PATHS),
    }
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
