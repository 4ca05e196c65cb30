//! One request and its answer: what it is sent with, and what becomes of what comes back. No text that leaves here has a
//! credential in it.

use std::time::{Duration, Instant};

use machine_base::Diagnostic;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::api::{Answer, Api, Body, Request, TooMuch};
use crate::credential::Token;
use crate::{Fault, How, Meaning, Refusal, Refused};

/// More than any answer of ours; a page of 200 machines is below one megabyte.
const LARGEST: usize = 16 << 20;

/// How long to wait for a limit of which nothing more is said.
const UNSAID: Duration = Duration::from_secs(5);

impl Api<'_> {
    fn request(&self, request: &Request<'_>, token: &Token<'_>) -> RequestBuilder {
        let url = format!("{}{}", self.base, request.path);
        let builder = self.http.request(request.method.clone(), url).timeout(self.timing.request);
        let builder = (self.provider().authorize)(builder.header("accept", "application/json"), token.text());
        match request.body {
            Body::Json(body) => builder.json(body),
            Body::Form(fields) => {
                builder.header("content-type", "application/x-www-form-urlencoded").body(encoded(fields))
            }
            // A gateway wants to be told that nothing comes.
            Body::None if request.method == Method::POST => builder.header("content-length", "0"),
            Body::None => builder,
        }
    }

    /// Sends it once, and once more where what it was sent with has ended meanwhile. With an answer that there was too much
    /// comes how long to wait.
    pub(crate) async fn once<T: DeserializeOwned>(
        &self,
        request: &Request<'_>,
    ) -> Result<Answer<T>, (Fault, Option<TooMuch>)> {
        let token = self.credential.token().await.map_err(|fault| (fault, None))?;
        match self.sent(request, &token).await {
            Err((fault, asked)) if fault.status() == Some(401) => {
                match self.credential.token_after(&token).await.map_err(|fault| (fault, None))? {
                    Some(token) => self.sent(request, &token).await,
                    None => Err((fault, asked)),
                }
            }
            other => other,
        }
    }

    async fn sent<T: DeserializeOwned>(
        &self,
        request: &Request<'_>,
        token: &Token<'_>,
    ) -> Result<Answer<T>, (Fault, Option<TooMuch>)> {
        let (start, name, path) = (Instant::now(), self.provider().name, request.path);
        let response = self.request(request, token).send().await.map_err(|e| {
            tracing::debug!(path, error = %self.redact(&e.to_string(), token), "{name}: no answer");
            let causes = self.causes(&e, token);
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
        let body = self.body(response, token).await;
        if !status.is_success() {
            let refusal = self.judged(request, token, (status, &headers), &body.unwrap_or_default());
            // That something else goes on with the thing is no matter of how much was asked.
            let asked = asked.filter(|_| refusal.meaning != Meaning::Busy || headers.contains_key("retry-after"));
            return Err((self.fault(request.what, How::Refused(refusal)), asked));
        }
        let body = body.map_err(|causes| (self.fault(request.what, How::Lost(causes)), None))?;
        // 204: nothing is what is wanted.
        let text = if body.is_empty() { b"null".as_slice() } else { &body };
        let status = status.as_u16();
        let body = serde_json::from_slice(text).map_err(|e| {
            let how = How::Unreadable { status, cause: e.to_string(), start: self.start(&body, token) };
            (self.fault(request.what, how), None)
        })?;
        Ok(Answer { status, headers, body })
    }

    fn judged(
        &self,
        request: &Request<'_>,
        token: &Token<'_>,
        (status, headers): (StatusCode, &HeaderMap),
        body: &[u8],
    ) -> Refusal {
        let (_, right) = request.what;
        let mut refusal = (self.provider().judge)(&Refused {
            status: status.as_u16(),
            headers,
            body,
            start: self.start(body, token),
            right,
            unproven: self.cloud.rights.unproven(&self.key(None), right),
            method: request.method.as_str(),
            path: request.route(),
        });
        for text in [&mut refusal.code, &mut refusal.message, &mut refusal.request] {
            *text = self.redact(text, token);
        }
        refusal
    }

    async fn body(&self, mut response: Response, token: &Token<'_>) -> Result<Vec<u8>, Vec<String>> {
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > LARGEST => return Err(vec!["it is too long".to_owned()]),
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(e) => return Err(self.causes(&e, token)),
            }
        }
    }

    fn causes(&self, error: &reqwest::Error, token: &Token<'_>) -> Vec<String> {
        Diagnostic::failure("").caused_by(error).causes.iter().map(|text| self.redact(text, token)).collect()
    }

    /// The start of what may be anything.
    fn start(&self, body: &[u8], token: &Token<'_>) -> String {
        let text = String::from_utf8_lossy(&body[..body.len().min(800)]);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.redact(&text, token).chars().take(200).collect()
    }

    /// A server could send our own credential back to us.
    fn redact(&self, text: &str, token: &Token<'_>) -> String {
        if token.text().is_empty() { text.to_owned() } else { text.replace(token.text(), self.provider().redacted) }
    }
}

/// As a form.
fn encoded(fields: &[(&str, &str)]) -> String {
    let url = Url::parse_with_params("http://form", fields).ok();
    url.and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
}
