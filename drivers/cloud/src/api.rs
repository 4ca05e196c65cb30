//! One request with its repetitions, within the limits. Main type: [`Api`].

use std::collections::HashSet;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use machine_driver::Context;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{CacheKey, Cloud, Credential, Fault, How, Limits, OwnLimit, Provider, Timing, Waiting};

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
    pub(crate) credential: Credential<'a>,
}

/// What a request is for, for people: "create droplet web-1", and the rights that it needs, separated by spaces, as the
/// provider's own document names them.
pub type What<'w> = (&'w str, &'static str);

/// An answer with what stands around its body.
#[derive(Debug)]
pub struct Answer<T> {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; what an empty one is read as, null.
    pub body: T,
}

/// One request, before it is sent.
pub(crate) struct Request<'r> {
    pub(crate) what: What<'r>,
    pub(crate) method: Method,
    pub(crate) path: &'r str,
    pub(crate) body: Body<'r>,
}

/// What goes with it.
pub(crate) enum Body<'r> {
    None,
    Json(&'r Value),
    Form(&'r [(&'r str, &'r str)]),
}

impl<'r> Request<'r> {
    /// The path without its query.
    pub(crate) fn route(&self) -> &'r str {
        self.path.split('?').next().unwrap_or_default()
    }
}

/// An answer that there was too much.
pub(crate) struct TooMuch {
    /// Come again after so long.
    pub(crate) rest: Duration,
    /// Everything that the account may send is used up, whatever limit the call has of its own.
    pub(crate) of_all: bool,
}

impl<'a> Api<'a> {
    /// The account, and what of it.
    #[must_use]
    pub fn key(&self, of: Option<&str>) -> CacheKey {
        CacheKey::new(self.base, self.credential.account(), of)
    }

    /// Asks, as often as it takes.
    ///
    /// # Errors
    /// It is refused, or does not pass in time.
    pub async fn get<T: DeserializeOwned>(&self, what: What<'_>, path: &str) -> Result<T, Fault> {
        self.get_whole(what, path).await.map(|answer| answer.body)
    }

    /// The same with its status and its headers.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn get_whole<T: DeserializeOwned>(&self, what: What<'_>, path: &str) -> Result<Answer<T>, Fault> {
        self.repeated(Request { what, method: Method::GET, path, body: Body::None }, Fault::is_transient).await
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
        let request = Request { what, method: Method::POST, path, body: Body::Json(body) };
        let once = |fault: &Fault| fault.is_transient() && !fault.maybe_done();
        self.repeated(request, once).await.map(|answer| answer.body)
    }

    /// For what may be posted any number of times.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn post_freely<T: DeserializeOwned>(&self, what: What<'_>, path: &str, body: &Value) -> Result<T, Fault> {
        let request = Request { what, method: Method::POST, path, body: Body::Json(body) };
        self.repeated(request, Fault::is_transient).await.map(|answer| answer.body)
    }

    /// A form, which may be posted any number of times.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn post_form<T: DeserializeOwned>(
        &self,
        what: What<'_>,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<T, Fault> {
        let request = Request { what, method: Method::POST, path, body: Body::Form(form) };
        self.repeated(request, Fault::is_transient).await.map(|answer| answer.body)
    }

    /// Has something done that may be asked for any number of times; the answer says whether it goes on.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn act(
        &self,
        what: What<'_>,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer<Value>, Fault> {
        let body = body.map_or(Body::None, Body::Json);
        self.repeated(Request { what, method, path, body }, Fault::is_transient).await
    }

    /// What is not there counts as deleted.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn delete(&self, what: What<'_>, path: &str) -> Result<(), Fault> {
        match self.act(what, Method::DELETE, path, None).await {
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

    /// The path of a URL that the provider told us; `None`: it leads elsewhere, and the credential goes to nobody else.
    #[must_use]
    pub fn path_of(&self, url: &str) -> Option<String> {
        let (base, url) = (Url::parse(self.base).ok()?, Url::parse(url).ok()?);
        let path = url.path().strip_prefix(base.path().trim_end_matches('/'))?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        (base.origin() == url.origin() && url.username().is_empty()).then(|| format!("{path}{query}"))
    }

    pub(crate) fn provider(&self) -> &'static Provider {
        self.cloud.provider
    }

    pub(crate) fn fault(&self, (doing, _): What<'_>, how: How) -> Fault {
        Fault { provider: self.provider(), doing: doing.to_owned(), how }
    }

    async fn repeated<T: DeserializeOwned>(
        &self,
        request: Request<'_>,
        again: impl Fn(&Fault) -> bool,
    ) -> Result<Answer<T>, Fault> {
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
                Ok(answer) => {
                    self.cloud.rights.worked(self.key(None), request.what.1);
                    return Ok(answer);
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

    fn own_limit(&self, request: &Request<'_>) -> Option<&'static OwnLimit> {
        let of = |own: &&OwnLimit| own.method == request.method.as_str() && own.path == request.route();
        self.cloud.own_limits.iter().find(of)
    }
}
