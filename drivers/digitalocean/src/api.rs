//! The HTTP client: one request, with its repetitions, within the limits. Main type: [`Api`].

use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use machine_driver::{Context, DriverError, ErrorKind};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::fault::{Fault, How};
use crate::meter::{Meter, asked_to_wait};
use crate::pace::Pace;
use crate::settings::{Settings, is_loopback};
use crate::wire::Refusal;

/// More than any answer of ours; a page of 200 droplets is below one megabyte.
const LARGEST: usize = 16 << 20;

/// Who waits longer for others of this process is told why.
const WORTH_A_WORD: Duration = Duration::from_secs(3);

/// DigitalOcean as one call of the core sees it.
#[derive(Clone, Copy)]
pub(crate) struct Api<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) pace: &'a Pace,
    meter: &'a Meter,
    http: &'a Client,
    base: &'a str,
    token: &'a str,
}

/// What a request is for, for people: "create droplet web-1", and the token scope it needs.
pub(crate) type What<'w> = (&'w str, &'static str);

impl<'a> Api<'a> {
    pub(crate) fn new(
        cx: &'a Context,
        s: &'a Settings,
        pace: &'a Pace,
        meter: &'a Meter,
        http: &'a Client,
    ) -> machine_driver::Result<Self> {
        let token = cx.secrets.get(crate::driver::TOKEN.name).map(|token| token.trim()).unwrap_or_default();
        if token.is_empty() {
            return Err(DriverError::new(ErrorKind::Denied, "no access token for DigitalOcean")
                .hint("keep one with `machine credentials set digitalocean`, or set DIGITALOCEAN_ACCESS_TOKEN"));
        }
        Ok(Self { cx, pace, meter, http, base: &s.api_url, token })
    }

    /// The base URL and the token: whose catalogue it is.
    pub(crate) fn account(&self) -> (&'a str, &'a str) {
        (self.base, self.token)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, what: What<'_>, path: &str) -> Result<T, Fault> {
        self.repeated(what, Method::GET, path, None, Fault::passing).await
    }

    /// Never sent again once it may have arrived: whoever posts looks first whether it did.
    pub(crate) async fn post<T: DeserializeOwned>(&self, what: What<'_>, path: &str, body: &Value) -> Result<T, Fault> {
        self.repeated(what, Method::POST, path, Some(body), |f| f.passing() && !f.maybe_done()).await
    }

    /// For what may be posted any number of times.
    pub(crate) async fn post_freely<T: DeserializeOwned>(
        &self,
        what: What<'_>,
        path: &str,
        body: &Value,
    ) -> Result<T, Fault> {
        self.repeated(what, Method::POST, path, Some(body), Fault::passing).await
    }

    /// What is not there counts as deleted.
    pub(crate) async fn delete(&self, what: What<'_>, path: &str) -> Result<(), Fault> {
        match self.repeated::<Value>(what, Method::DELETE, path, None, Fault::passing).await {
            Err(fault) if !fault.not_found() => Err(fault),
            _ => Ok(()),
        }
    }

    /// All pages of a list. `path` has no query but the one given in `filter` (already encoded).
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        what: What<'_>,
        path: &str,
        filter: &str,
        key: &str,
    ) -> Result<Vec<T>, Fault> {
        let mut all = Vec::new();
        for page in 1_u32.. {
            let and = if filter.is_empty() { "" } else { "&" };
            let mut answer: Value = self.get(what, &format!("{path}?{filter}{and}per_page=200&page={page}")).await?;
            let items = answer.get_mut(key).map(Value::take).unwrap_or_default();
            let items: Vec<T> = match items {
                Value::Null => Vec::new(),
                items => serde_json::from_value(items).map_err(|e| {
                    self.fault(
                        what,
                        How::Unreadable { status: StatusCode::OK, cause: e.to_string(), start: key.to_owned() },
                    )
                })?,
            };
            let last = items.is_empty();
            all.extend(items);
            // Only that there is a next one counts: its URL may name another host than the one we were told to use.
            if last || answer.pointer("/links/pages/next").and_then(Value::as_str).is_none() {
                break;
            }
        }
        Ok(all)
    }

    fn fault(&self, (doing, scope): What<'_>, how: How) -> Fault {
        Fault { doing: doing.to_owned(), scope, how }
    }

    async fn repeated<T: DeserializeOwned>(
        &self,
        what: What<'_>,
        method: Method,
        path: &str,
        body: Option<&Value>,
        again: impl Fn(&Fault) -> bool,
    ) -> Result<T, Fault> {
        let mut rests = ExponentialBuilder::default()
            .with_min_delay(self.pace.backoff)
            .with_max_delay(self.pace.backoff_max)
            .with_max_times(self.pace.tries.saturating_sub(1))
            .with_jitter()
            .build();
        let mut limited = Duration::ZERO;
        loop {
            self.admitted(what).await?;
            let request = self.request(method.clone(), path, body);
            let (fault, asked) = match self.once(what, path, request).await {
                Ok(value) => return Ok(value),
                Err(pair) => pair,
            };
            if let Some(rest) = asked {
                // 429: nothing was done, so anything may be sent again; it is a matter of time only.
                limited += rest;
                if limited > self.pace.rate {
                    return Err(self.fault(what, How::Limited { reset_in: rest.as_secs() }));
                }
                self.cx.say(&format!("DigitalOcean's rate limit is reached: waiting {} s", rest.as_secs().max(1)));
                self.meter.close(rest);
                continue;
            }
            match rests.next() {
                Some(rest) if again(&fault) && self.in_time(rest) => tokio::time::sleep(rest).await,
                _ => return Err(fault),
            }
        }
    }

    fn in_time(&self, rest: Duration) -> bool {
        self.cx.deadline.is_none_or(|deadline| Instant::now() + rest < deadline)
    }

    /// Waits for this process's share of the limits.
    async fn admitted(&self, what: What<'_>) -> Result<(), Fault> {
        let start = Instant::now();
        while let Some(rest) = self.meter.admit(self.pace.per_window, self.pace.window) {
            if start.elapsed() + rest > self.pace.rate || !self.in_time(rest) {
                return Err(self.fault(what, How::Limited { reset_in: rest.as_secs() }));
            }
            if rest > WORTH_A_WORD {
                self.cx.say(&format!("waiting {} s to stay within DigitalOcean's limits", rest.as_secs() + 1));
            }
            // Not all at the same instant: whoever waited is let in one after the other.
            let spread = Duration::from_millis(u64::from(self.cx.machine_id.bytes().map(u32::from).sum::<u32>() % 97));
            tokio::time::sleep(rest + spread.min(rest / 10)).await;
        }
        Ok(())
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(self.token)
            .timeout(self.pace.request)
            .header("accept", "application/json");
        match body {
            Some(body) => request.json(body),
            None => request,
        }
    }

    /// One request. With a 429 comes how long to wait.
    async fn once<T: DeserializeOwned>(
        &self,
        what: What<'_>,
        path: &str,
        request: RequestBuilder,
    ) -> Result<T, (Fault, Option<Duration>)> {
        let start = Instant::now();
        let response = request.send().await.map_err(|e| {
            tracing::debug!(path, error = %self.redact(&e.to_string()), "digitalocean: no answer");
            let causes = self.causes(&e);
            let how = match () {
                () if e.is_connect() => How::Unsent(causes),
                () if e.is_timeout() => How::Late(causes),
                () => How::Lost(causes),
            };
            (self.fault(what, how), None)
        })?;
        let status = response.status();
        tracing::debug!(path, status = status.as_u16(), took = ?start.elapsed(), "digitalocean");
        if header(&response, "ratelimit-remaining") == "0" {
            // The hour's share is used up: nobody here need ask to be told so.
            self.meter.close(asked_to_wait(response.headers()));
        }
        let asked = (status == StatusCode::TOO_MANY_REQUESTS).then(|| asked_to_wait(response.headers()));
        let request_id = header(&response, "x-request-id");
        let body = self.body(response).await;
        if status.is_success() {
            let body = body.map_err(|causes| (self.fault(what, How::Lost(causes)), None))?;
            // 204: nothing is what is wanted.
            let text = if body.is_empty() { b"null".as_slice() } else { &body };
            return serde_json::from_slice(text).map_err(|e| {
                let how = How::Unreadable { status, cause: e.to_string(), start: self.start(&body) };
                (self.fault(what, how), None)
            });
        }
        let body = body.unwrap_or_default();
        let refusal: Refusal = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Refusal { message: self.start(&body), ..Refusal::default() });
        let request = if refusal.request_id.is_empty() { request_id } else { refusal.request_id };
        let how = How::Refused { status, id: refusal.id, message: self.redact(&refusal.message), request };
        Err((self.fault(what, how), asked))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Vec<String>> {
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > LARGEST => return Err(vec!["it is too long".to_owned()]),
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(e) => return Err(self.causes(&e)),
            }
        }
    }

    fn causes(&self, error: &reqwest::Error) -> Vec<String> {
        DriverError::new(ErrorKind::Other, "").caused_by(error).causes.iter().map(|text| self.redact(text)).collect()
    }

    /// The start of what may be anything.
    fn start(&self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(&body[..body.len().min(800)]);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.redact(&text).chars().take(200).collect()
    }

    /// A server could send our own token back to us.
    fn redact(&self, text: &str) -> String {
        text.replace(self.token, "(token)")
    }
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// The client: no redirects (the token goes nowhere else), and no proxy for an API on this computer.
pub(crate) fn client(base: &str) -> machine_driver::Result<Client> {
    let mut builder = Client::builder()
        .user_agent(concat!("machine/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10));
    if reqwest::Url::parse(base).ok().and_then(|url| url.host_str().map(is_loopback)).unwrap_or(false) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|e| DriverError::new(ErrorKind::Other, "no HTTP client can be made").caused_by(&e))
}

/// A wait with a deadline, a probe and a reason.
pub(crate) struct Wait<'a> {
    api: Api<'a>,
    what: String,
    limit: Duration,
    start: Instant,
}

impl<'a> Wait<'a> {
    pub(crate) fn new(api: Api<'a>, what: impl Into<String>, limit: Duration) -> Self {
        Self { api, what: what.into(), limit, start: Instant::now() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Rests until the next look; past the deadline an error with the last reason.
    pub(crate) async fn not_yet(&self, reason: &str) -> machine_driver::Result<()> {
        let rest = self.api.pace.poll;
        if self.start.elapsed() + rest > self.limit || !self.api.in_time(rest) {
            let mut error = DriverError::new(
                ErrorKind::Timeout,
                format!("waited {} s for {}", self.start.elapsed().as_secs(), self.what),
            )
            .hint("run the command again: it goes on where it stopped");
            error.causes = vec![reason.to_owned()];
            return Err(error);
        }
        tokio::time::sleep(rest).await;
        Ok(())
    }
}
