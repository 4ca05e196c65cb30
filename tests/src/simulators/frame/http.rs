//! Bytes: HTTP/1.1 by hand, one thread and one request a connection, so that an answer can go wrong in every way.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Exchange, Provider, Shared, Trouble, control};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Without the query.
    pub path: String,
    /// What follows the `?`.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// JSON, or a form as an object of texts; null without one.
    pub body: Value,
}

impl Request {
    /// What is after `Bearer`; empty without it.
    pub fn bearer(&self) -> &str {
        let header = self.headers.iter().find(|(name, _)| name == "authorization");
        header.and_then(|(_, value)| value.strip_prefix("Bearer ")).unwrap_or_default()
    }

    /// A parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
    }
}

/// An answer as it should leave.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Beside those that every answer has.
    pub headers: Vec<(String, String)>,
    /// Null: no body.
    pub body: Value,
}

impl Answer {
    /// Without headers of its own.
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body }
    }
}

/// Text as it was before it was put into a URL or a form.
pub fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => (bytes, rest) = ([bytes, vec![byte]].concat(), &after[2..]),
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn serve<P: Provider>(listener: &TcpListener, shared: &Arc<Shared<P>>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(stream) = stream {
            let shared = Arc::clone(shared);
            let _ = std::thread::spawn(move || converse(stream, &shared));
        }
    }
}

fn converse<P: Provider>(stream: TcpStream, shared: &Arc<Shared<P>>) {
    // A client that says nothing is none of ours.
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    let Some(request) = read(&stream) else { return };
    if request.path == control::PATH && shared.open.load(Ordering::SeqCst) {
        write(stream, shared, &control::answer(shared, &request), None);
        return;
    }
    let (trouble, latency) = {
        let mut traffic = shared.traffic();
        let hit = traffic.faults.iter_mut().position(|fault| fault.strikes(&request.method, &request.path));
        let trouble = hit.map(|index| {
            let trouble = traffic.faults[index].trouble.clone();
            traffic.faults.retain(|fault| fault.times > 0);
            trouble
        });
        (trouble, traffic.latency)
    };
    rest(latency);
    let answer = match &trouble {
        Some(Trouble::Answer { status, code, message, headers }) => {
            let mut answer = P::refusal(*status, code, message);
            answer.headers.extend(headers.iter().cloned());
            answer
        }
        Some(Trouble::Page(status)) => Answer::new(*status, Value::Null),
        Some(Trouble::Dropped) => Answer::new(0, Value::Null),
        _ => P::answer(shared, &request),
    };
    let whole = matches!(trouble, None | Some(Trouble::Answer { .. }));
    let mut exchange = Exchange {
        method: request.method,
        path: request.path,
        query: request.query,
        headers: request.headers,
        request: request.body,
        status: answer.status,
        answer: answer.body.clone(),
        whole,
    };
    P::redact(&mut exchange);
    let silenced = {
        let mut traffic = shared.traffic();
        traffic.exchanges.push(exchange.clone());
        traffic.kill_point.as_ref().is_some_and(|point| point(&exchange))
    };
    if silenced {
        return;
    }
    write(stream, shared, &answer, trouble.as_ref());
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut form, mut headers) = (0_u64, false, Vec::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim_end();
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':')?;
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        match name.as_str() {
            "content-length" => length = value.parse().ok()?,
            // What people send to arrange something is JSON, whatever their client calls it.
            "content-type" if target != control::PATH => form = value.starts_with("application/x-www-form-urlencoded"),
            _ => {}
        }
        headers.push((name, value));
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    let body = match () {
        () if body.is_empty() => Value::Null,
        () if form => Value::Object(fields(&String::from_utf8_lossy(&body))),
        () => serde_json::from_slice(&body).unwrap_or(json!("(not JSON)")),
    };
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Request { method, path: path.to_owned(), query: query.to_owned(), headers, body })
}

fn fields(form: &str) -> Map<String, Value> {
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), Value::String(decoded(value)))).collect()
}

fn write<P: Provider>(mut stream: TcpStream, shared: &Shared<P>, answer: &Answer, trouble: Option<&Trouble>) {
    let mut body = if answer.body.is_null() { Vec::new() } else { answer.body.to_string().into_bytes() };
    let mut kind = "application/json; charset=utf-8";
    match trouble {
        Some(Trouble::Lost | Trouble::Dropped) => return,
        Some(Trouble::Silent) => {
            // Until the client has enough of it.
            let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
            let _ = stream.read(&mut [0]);
            return;
        }
        Some(Trouble::Broken) => body = b"{\"id\": ".to_vec(),
        Some(Trouble::Page(_)) => {
            kind = "text/html";
            body = b"<html><head><title>Bad gateway</title></head><body>Bad gateway</body></html>".to_vec();
        }
        _ => {}
    }
    let length = body.len();
    if trouble == Some(&Trouble::Truncated) {
        body.truncate(length / 2);
    }
    let mut head = format!("HTTP/1.1 {} Simulated\r\nconnection: close\r\n", answer.status);
    if answer.status != 204 {
        head = format!("{head}content-type: {kind}\r\ncontent-length: {length}\r\n");
    }
    for (name, value) in answer.headers.iter().cloned().chain(shared.lock().headers()) {
        head = format!("{head}{name}: {value}\r\n");
    }
    head += "\r\n";
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).and_then(|()| stream.flush());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    // Closing with unread bytes would reset the connection and lose the answer.
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let _ = stream.read(&mut [0; 64]);
}

#[expect(clippy::disallowed_methods, reason = "the distance to the provider is itself a time")]
fn rest(time: Duration) {
    if !time.is_zero() {
        std::thread::sleep(time);
    }
}
