//! Heavy work beside the runtime.

use crate::Diagnostic;

/// A background task of ours ended without an answer.
#[derive(Debug, thiserror::Error)]
#[error("a background task died")]
pub struct TaskDied(#[source] tokio::task::JoinError);

impl From<TaskDied> for Diagnostic {
    fn from(e: TaskDied) -> Self {
        Self::failure(e.to_string()).caused_by(&e.0)
    }
}

/// Runs heavy work beside the runtime.
///
/// # Errors
/// Those of the work, and that it died.
pub async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<TaskDied> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(TaskDied)?
}
