use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;
use crate::telemetry::fixture;

struct Fixture;

impl Source for Fixture {
    fn status(&self) -> Status {
        fixture::status()
    }

    fn frames(&self) -> Vec<u8> {
        vec![0, 255, 13, 10]
    }
}

/// A server on a free port of loopback, on the runtime of the test: what it does, it has done
/// when the test reads the result.
async fn start() -> (SocketAddr, JoinHandle<Infallible>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (addr, tokio::spawn(serve(listener, Arc::new(Fixture))))
}

struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    fn assert_head(&self, status: &str, header: &str) {
        let first = self.head.lines().next();
        assert_eq!(first, Some(&*format!("HTTP/1.1 {status}")), "{}", self.head);
        assert!(self.head.lines().any(|line| line == header), "{header}: {}", self.head);
    }
}

/// Sends a request without a body and reads the answer, whose length is announced; `None` when the
/// server closes the connection instead.
async fn ask(stream: &mut TcpStream, method: &str, path: &str) -> Option<Answer> {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: gateway\r\n\r\n");
    if stream.write_all(request.as_bytes()).await.is_err() {
        return None;
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = if method == "HEAD" { 0 } else { length.unwrap().parse().unwrap() };
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    Some(Answer { head, body })
}

async fn ask_once(addr: SocketAddr, method: &str, path: &str) -> Answer {
    ask(&mut TcpStream::connect(addr).await.unwrap(), method, path).await.unwrap()
}

#[tokio::test]
async fn each_path_answers_in_its_form() {
    let (addr, _server) = start().await;
    let metrics = ask_once(addr, "GET", "/metrics").await;
    metrics.assert_head(
        "200 OK",
        "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8",
    );
    assert_eq!(metrics.text(), metrics::render(&fixture::status()));

    let status = ask_once(addr, "GET", "/status").await;
    status.assert_head("200 OK", "content-type: application/json");
    let json: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
    assert_eq!(json["pool"]["workers"][4]["state"], "gone");
    assert_eq!(json["scaling"]["policy"], "queue-delay");
    assert_eq!(json["counters"]["dropped"]["late"], 2);

    let frames = ask_once(addr, "GET", "/frames").await;
    frames.assert_head("200 OK", "content-type: application/octet-stream");
    assert_eq!(frames.body, Fixture.frames());

    let root = ask_once(addr, "GET", "/").await;
    root.assert_head("200 OK", "content-type: text/plain; charset=utf-8");
    for (line, path) in root.text().lines().zip(["/metrics ", "/status ", "/frames "]) {
        assert!(line.starts_with(path), "{line}");
    }
}

#[tokio::test]
async fn other_paths_are_told_which_there_are() {
    let (addr, _server) = start().await;
    for (method, path) in [("GET", "/metric"), ("POST", "/metrics/"), ("GET", "//")] {
        let answer = ask_once(addr, method, path).await;
        answer.assert_head("404 Not Found", "content-type: text/plain; charset=utf-8");
        for path in ["/metrics", "/status", "/frames"] {
            assert!(answer.text().contains(path), "{}", answer.text());
        }
    }
    // What follows the path is of no account.
    ask_once(addr, "GET", "/frames?newest=9").await.assert_head("200 OK", "content-length: 4");
}

#[tokio::test]
async fn nothing_can_be_written() {
    let (addr, _server) = start().await;
    for (method, path) in [("POST", "/metrics"), ("DELETE", "/frames"), ("OPTIONS", "/")] {
        let answer = ask_once(addr, method, path).await;
        answer.assert_head("405 Method Not Allowed", "allow: GET, HEAD");
        assert_eq!(answer.text(), format!("{path} can only be read: GET, HEAD.\n"));
    }
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let (addr, _server) = start().await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // Were a body sent with a head alone, the next answer would begin with it.
    for (method, path) in [("HEAD", "/frames"), ("GET", "/frames"), ("GET", "/nothing")] {
        assert!(ask(&mut stream, method, path).await.is_some(), "{method} {path}");
    }
    let answer = ask(&mut stream, "HEAD", "/").await.unwrap();
    answer.assert_head("200 OK", &format!("content-length: {}", PATHS.len()));
    // Frames are handed out once: a head has none of them, and takes none.
    let answer = ask(&mut stream, "HEAD", "/frames").await.unwrap();
    assert!(!answer.head.contains("content-length: 4"), "{}", answer.head);
}

#[tokio::test]
async fn bytes_that_are_no_http_end_their_connection_only() {
    let (addr, _server) = start().await;
    let mut other = TcpStream::connect(addr).await.unwrap();
    for garbage in [&b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\r\n\r\n"[..], &[0xFF; 64]] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 400 Bad Request\r\n"), "{answer:?}");
    }
    assert!(ask(&mut other, "GET", "/status").await.is_some());
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_a_free_place_is_taken() {
    let (addr, _server) = start().await;
    let mut open = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        assert!(ask(&mut stream, "HEAD", "/").await.is_some());
        open.push(stream);
    }
    let mut extra = TcpStream::connect(addr).await.unwrap();
    assert!(matches!(extra.read(&mut [0; 1]).await, Ok(0)));

    let mut leaving = open.pop().unwrap();
    leaving.shutdown().await.unwrap();
    assert_eq!(leaving.read(&mut [0; 1]).await.unwrap(), 0);
    ask_once(addr, "GET", "/").await;
}

#[tokio::test]
async fn connections_end_with_the_server() {
    let (addr, server) = start().await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    assert!(ask(&mut stream, "HEAD", "/").await.is_some());
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    let refused = TcpStream::connect(addr).await.map_err(|error| error.kind());
    assert_eq!(refused.unwrap_err(), io::ErrorKind::ConnectionRefused);
}
