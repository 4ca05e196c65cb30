//! One request with its repetitions, within the limits. Main type: [`Api`].

use std::collections::HashSet;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use machine_base::Diagnostic;
use machine_driver::Context;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{CacheKey, Cloud, Fault, How, Limits, OwnLimit, Provider, Refusal, Refused, Timing, Waiting};

/// More than any answer of ours; a page of 200 machines is below one megabyte.
const LARGEST: usize = 16 << 20;

/// How long to wait for a limit of which nothing more is said.
const UNSAID: Duration = Duration::from_secs(5);

/// Who waits longer for others of this process is told why.
const WORTH_A_WORD: Duration = Duration::from_secs(3);

/// The provider as one call of the core sees it.
#[derive(Clone, Copy)]
pub struct Api<'a> {
    /// What the core lends.
    pub cx: &'a Context,
    /// The provider's times.
    pub timing: &'a Timing,
    pub(crate) cloud: &'a Cloud,
    pub(crate) http: &'a Client,
    pub(crate) base: &'a str,
    pub(crate) credential: &'a SecretString,
}

/// What a request is for, for people: "create droplet web-1", and the rights that it needs, separated by spaces, as the
/// provider's own document names them.
pub type What<'w> = (&'w str, &'static str);

/// One request, before it is sent.
struct Request<'r> {
    what: What<'r>,
    method: Method,
    path: &'r str,
    body: Option<&'r Value>,
}

impl<'r> Request<'r> {
    /// The path without its query.
    fn route(&self) -> &'r str {
        self.path.split('?').next().unwrap_or_default()
    }
}

/// An answer that there was too much.
struct TooMuch {
    /// Come again after so long.
    rest: Duration,
    /// Everything that the account may send is used up, whatever limit the call has of its own.
    of_all: bool,
}

impl<'a> Api<'a> {
    /// The account, and what of it.
    #[must_use]
    pub fn key(&self, of: Option<&str>) -> CacheKey {
        CacheKey::new(self.base, self.secret(), of)
    }

    /// Asks, as often as it takes.
    ///
    /// # Errors
    /// It is refused, or does not pass in time.
    pub async fn get<T: DeserializeOwned>(&self, what: What<'_>, path: &str) -> Result<T, Fault> {
        self.repeated(Request { what, method: Method::GET, path, body: None }, Fault::is_transient).await
    }

    /// What is there, or nothing.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn find<T: DeserializeOwned>(&self, what: What<'_>, path: &str) -> Result<Option<T>, Fault> {
        match self.get(what, path).await {
            Ok(found) => Ok(Some(found)),
            Err(fault) if fault.not_found() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Never sent again once it may have arrived: whoever posts looks first whether it did.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn post<T: DeserializeOwned>(&self, what: What<'_>, path: &str, body: &Value) -> Result<T, Fault> {
        let request = Request { what, method: Method::POST, path, body: Some(body) };
        self.repeated(request, |fault| fault.is_transient() && !fault.maybe_done()).await
    }

    /// For what may be posted any number of times.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn post_freely<T: DeserializeOwned>(&self, what: What<'_>, path: &str, body: &Value) -> Result<T, Fault> {
        let request = Request { what, method: Method::POST, path, body: Some(body) };
        self.repeated(request, Fault::is_transient).await
    }

    /// What is not there counts as deleted.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn delete(&self, what: What<'_>, path: &str) -> Result<(), Fault> {
        let request = Request { what, method: Method::DELETE, path, body: None };
        match self.repeated::<Value>(request, Fault::is_transient).await {
            Err(fault) if !fault.not_found() => Err(fault),
            _ => Ok(()),
        }
    }

    /// All pages of a list whose items are under `key`, from the page `first` on. `next` is the path of the page after the
    /// one that it is given; pages end where there is none, and at one that brings nothing new.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn pages<T: DeserializeOwned>(
        &self,
        what: What<'_>,
        first: String,
        key: &str,
        mut next: impl FnMut(&Value) -> Option<String>,
    ) -> Result<Vec<T>, Fault> {
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        let mut page = Some(first);
        while let Some(path) = page {
            let mut answer: Value = self.get(what, &path).await?;
            let after = next(&answer);
            let unreadable = |e: serde_json::Error| {
                let how = How::Unreadable { status: 200, cause: e.to_string(), start: key.to_owned() };
                self.fault(what, how)
            };
            let items: Option<Vec<Value>> =
                serde_json::from_value(answer.get_mut(key).map(Value::take).unwrap_or_default()).map_err(unreadable)?;
            let known = seen.len();
            for item in items.unwrap_or_default() {
                if seen.insert(item.to_string()) {
                    all.push(serde_json::from_value(item).map_err(unreadable)?);
                }
            }
            page = after.filter(|_| seen.len() > known);
        }
        Ok(all)
    }

    /// Waits for `what` (which fits after "waiting for") for so long, and not past the call's deadline.
    #[must_use]
    pub fn wait(&self, what: impl Into<String>, limit: Duration) -> Waiting {
        Waiting::new(self.cx, what.into(), limit, self.timing.poll)
    }

    fn provider(&self) -> &'static Provider {
        self.cloud.provider
    }

    fn secret(&self) -> &'a str {
        self.credential.expose_secret().trim()
    }

    fn fault(&self, (doing, _): What<'_>, how: How) -> Fault {
        Fault { provider: self.provider(), doing: doing.to_owned(), how }
    }

    async fn repeated<T: DeserializeOwned>(
        &self,
        request: Request<'_>,
        again: impl Fn(&Fault) -> bool,
    ) -> Result<T, Fault> {
        let mut rests = ExponentialBuilder::default()
            .with_min_delay(self.timing.backoff)
            .with_max_delay(self.timing.backoff_max)
            .with_max_times(self.timing.tries.saturating_sub(1))
            .with_jitter()
            .build();
        let mut limited = Duration::ZERO;
        loop {
            let own = self.own_limit(&request);
            if let Some(own) = own {
                self.admitted(request.what, &self.key(Some(own.path)), own.limits).await?;
            }
            self.admitted(request.what, &self.key(None), self.timing.limits).await?;
            let (fault, asked) = match self.once(&request).await {
                Ok(value) => {
                    self.cloud.rights.worked(self.key(None), request.what.1);
                    return Ok(value);
                }
                Err(pair) => pair,
            };
            // Who may not ask is not told that there is nothing.
            if fault.not_found() {
                self.cloud.rights.worked(self.key(None), request.what.1);
            }
            if let Some(TooMuch { rest, of_all }) = asked {
                // Nothing was done, so anything may be sent again; it is a matter of time only.
                limited += rest;
                if limited > self.timing.patience {
                    return Err(self.fault(request.what, How::Limited { reset_in: rest.as_secs() }));
                }
                let name = self.provider().name;
                // A call that has a limit of its own holds up nobody else.
                let of = own.filter(|_| !of_all).map(|own| own.path);
                let told = of.map(|path| format!(" for {path}")).unwrap_or_default();
                self.cx.say(&format!("{name}'s rate limit{told} is reached: waiting {} s", rest.as_secs().max(1)));
                self.cloud.limiter.close(&self.key(of), rest);
                continue;
            }
            match rests.next() {
                Some(rest) if again(&fault) && self.rested(rest).await => {}
                _ => return Err(fault),
            }
        }
    }

    /// Rests, if the call's deadline allows it.
    async fn rested(&self, rest: Duration) -> bool {
        if Instant::now() + rest >= self.cx.deadline {
            return false;
        }
        tokio::time::sleep(rest).await;
        true
    }

    /// Waits for this process's share of the limits.
    async fn admitted(&self, what: What<'_>, of: &CacheKey, limits: Limits) -> Result<(), Fault> {
        let start = Instant::now();
        while let Some(rest) = self.cloud.limiter.admit(of, limits) {
            if rest > WORTH_A_WORD && start.elapsed() + rest <= self.timing.patience {
                let name = self.provider().name;
                self.cx.say(&format!("waiting {} s to stay within {name}'s limits", rest.as_secs() + 1));
            }
            // Not all at the same instant: whoever waited is let in one after the other.
            let spread = Duration::from_millis(u64::from(self.cx.machine_id.bytes().map(u32::from).sum::<u32>() % 97));
            if start.elapsed() + rest > self.timing.patience || !self.rested(rest + spread.min(rest / 10)).await {
                return Err(self.fault(what, How::Limited { reset_in: rest.as_secs() }));
            }
        }
        Ok(())
    }

    fn request(&self, request: &Request<'_>) -> RequestBuilder {
        let url = format!("{}{}", self.base, request.path);
        let builder = self.http.request(request.method.clone(), url).timeout(self.timing.request);
        let builder = (self.provider().authorize)(builder.header("accept", "application/json"), self.secret());
        match request.body {
            Some(body) => builder.json(body),
            None => builder,
        }
    }

    fn own_limit(&self, request: &Request<'_>) -> Option<&'static OwnLimit> {
        let of = |own: &&OwnLimit| own.method == request.method.as_str() && own.path == request.route();
        self.cloud.own_limits.iter().find(of)
    }

    /// Sends it once. With an answer that there was too much comes how long to wait.
    async fn once<T: DeserializeOwned>(&self, request: &Request<'_>) -> Result<T, (Fault, Option<TooMuch>)> {
        let (start, name, path) = (Instant::now(), self.provider().name, request.path);
        let response = self.request(request).send().await.map_err(|e| {
            tracing::debug!(path, error = %self.redact(&e.to_string()), "{name}: no answer");
            let causes = self.causes(&e);
            let how = match () {
                () if e.is_connect() => How::Unsent(causes),
                () if e.is_timeout() => How::Late(causes),
                () => How::Lost(causes),
            };
            (self.fault(request.what, how), None)
        })?;
        let (status, headers) = (response.status(), response.headers().clone());
        tracing::debug!(path, status = status.as_u16(), took = ?start.elapsed(), "{name}");
        let too_much = status == StatusCode::TOO_MANY_REQUESTS;
        let closed_for = self.provider().closed_for;
        let used_up = closed_for(&headers, false);
        if let Some(rest) = used_up {
            // Nobody here need ask to be told so.
            self.cloud.limiter.close(&self.key(None), rest);
        }
        let rest = || closed_for(&headers, true).unwrap_or(UNSAID);
        let asked = too_much.then(|| TooMuch { rest: rest(), of_all: used_up.is_some() });
        let body = self.body(response).await;
        if !status.is_success() {
            let refusal = self.judged(request, status, &headers, &body.unwrap_or_default());
            return Err((self.fault(request.what, How::Refused(refusal)), asked));
        }
        let body = body.map_err(|causes| (self.fault(request.what, How::Lost(causes)), None))?;
        // 204: nothing is what is wanted.
        let text = if body.is_empty() { b"null".as_slice() } else { &body };
        serde_json::from_slice(text).map_err(|e| {
            let (status, cause) = (status.as_u16(), e.to_string());
            (self.fault(request.what, How::Unreadable { status, cause, start: self.start(&body) }), None)
        })
    }

    fn judged(&self, request: &Request<'_>, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
        let (_, right) = request.what;
        let mut refusal = (self.provider().judge)(&Refused {
            status: status.as_u16(),
            headers,
            body,
            start: self.start(body),
            right,
            unproven: self.cloud.rights.unproven(&self.key(None), right),
            method: request.method.as_str(),
            path: request.route(),
        });
        for text in [&mut refusal.code, &mut refusal.message, &mut refusal.request] {
            *text = self.redact(text);
        }
        refusal
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
        Diagnostic::failure("").caused_by(error).causes.iter().map(|text| self.redact(text)).collect()
    }

    /// The start of what may be anything.
    fn start(&self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(&body[..body.len().min(800)]);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.redact(&text).chars().take(200).collect()
    }

    /// A server could send our own credential back to us.
    fn redact(&self, text: &str) -> String {
        if self.secret().is_empty() { text.to_owned() } else { text.replace(self.secret(), self.provider().redacted) }
    }
}
