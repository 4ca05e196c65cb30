//! What goes wrong with a request, whoever the provider is. Main types: [`Trouble`], [`Fault`].

use serde::{Deserialize, Serialize};

use super::path_matches;

/// What becomes of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// It is not done; this is answered, in the vendor's form.
    Answer {
        /// The status.
        status: u16,
        /// The vendor's word for the error.
        code: String,
        /// Its message.
        message: String,
        /// Further headers.
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// It is not done; a gateway answers with a page.
    Page(u16),
    /// It is done; the connection ends without an answer.
    Lost,
    /// It is not done; the connection ends without an answer.
    Dropped,
    /// It is done; no answer ever comes.
    Silent,
    /// It is done; the answer is no JSON.
    Broken,
    /// It is done; the answer ends in the middle, against its own length.
    Truncated,
}

impl Trouble {
    /// An ordinary refusal.
    pub fn status(status: u16, code: &str, message: &str) -> Self {
        Self::Answer { status, code: code.to_owned(), message: message.to_owned(), headers: Vec::new() }
    }
}

/// A trouble and the requests it waits for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// `POST`; empty: any.
    #[serde(default)]
    pub method: String,
    /// The path's pattern, see [`path_matches`].
    #[serde(default = "anything")]
    pub path: String,
    /// Only requests that change something.
    #[serde(default)]
    pub changing: bool,
    /// So many of them pass first.
    #[serde(default)]
    pub skip: usize,
    /// It then happens so often.
    #[serde(default = "once")]
    pub times: usize,
    /// What happens.
    pub trouble: Trouble,
}

fn anything() -> String {
    "**".to_owned()
}

fn once() -> usize {
    1
}

impl Fault {
    /// The next request of this kind.
    pub fn next(method: &str, path: &str, trouble: Trouble) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), changing: false, skip: 0, times: 1, trouble }
    }

    /// The `n`-th changing request from now, counted from 1.
    pub fn change(n: usize, trouble: Trouble) -> Self {
        Self { changing: true, skip: n - 1, ..Self::next("", "**", trouble) }
    }

    /// The same, every time.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = usize::MAX;
        self
    }

    /// Whether it strikes this request.
    pub(super) fn strikes(&mut self, method: &str, path: &str) -> bool {
        let changing = method != "GET";
        if (!self.method.is_empty() && self.method != method)
            || !path_matches(&self.path, path)
            || (self.changing && !changing)
        {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}
