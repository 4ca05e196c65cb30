//! Bytes: HTTP/1.1 by hand, one thread and one request a connection, so that an answer can go wrong in every way.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::trouble::Trouble;
use super::{Exchange, Shared, routes};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) token: String,
    pub(crate) body: Value,
}

/// An answer as it should leave.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    pub(crate) fn refusal(status: u16, id: &str, message: &str) -> Self {
        Self::new(status, json!({ "id": id, "message": message, "request_id": "00000000-0000-4000-8000-00000000cafe" }))
    }
}

pub(crate) fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
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

fn converse(stream: TcpStream, shared: &Arc<Shared>) {
    // A client that says nothing is none of ours.
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    let Some(request) = read(&stream) else { return };
    let trouble = {
        let mut state = shared.lock();
        let hit = state.faults.iter_mut().position(|fault| fault.strikes(&request.method, &request.path));
        hit.map(|index| {
            let trouble = state.faults[index].trouble.clone();
            state.faults.retain(|fault| fault.times > 0);
            trouble
        })
    };
    let latency = shared.lock().behaviour.latency;
    rest(latency);
    let answer = match &trouble {
        Some(Trouble::Answer { status, id, message, headers }) => {
            let mut answer = Answer::refusal(*status, id, message);
            answer.headers.extend(headers.iter().cloned());
            answer
        }
        Some(Trouble::Page(status)) => Answer::new(*status, Value::Null),
        Some(Trouble::Dropped) => Answer::new(0, Value::Null),
        _ => routes::answer(shared, &request),
    };
    let whole = matches!(trouble, None | Some(Trouble::Answer { .. }));
    let exchange = Exchange {
        method: request.method.clone(),
        path: request.path.clone(),
        query: request.query.clone(),
        request: request.body.clone(),
        status: answer.status,
        answer: answer.body.clone(),
        whole,
    };
    let silenced = {
        let mut state = shared.lock();
        state.exchanges.push(exchange.clone());
        state.kill_point.as_ref().is_some_and(|point| point(&exchange))
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
    let (mut length, mut token) = (0_u64, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim_end();
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "authorization" => value.trim().strip_prefix("Bearer ").unwrap_or_default().clone_into(&mut token),
            _ => {}
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap_or(json!("(not JSON)")) };
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Request { method, path: path.to_owned(), query: query.to_owned(), token, body })
}

fn write(mut stream: TcpStream, shared: &Shared, answer: &Answer, trouble: Option<&Trouble>) {
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
        Some(Trouble::Broken) => body = b"{\"droplet\": {\"id\": ".to_vec(),
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
    for (name, value) in answer.headers.iter().cloned().chain(shared.lock().limit_headers()) {
        head = format!("{head}{name}: {value}\r\n");
    }
    head += "x-request-id: 00000000-0000-4000-8000-00000000cafe\r\n\r\n";
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
