//! What stands behind a provider's machines. Main type: [`Backing`].

use std::sync::Arc;

/// What a machine is told to be.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// Its id at the provider.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What cloud-init would read.
    pub user_data: String,
    /// The user that the provider's own agent makes before cloud-init reads anything; `None`: root is there.
    pub user: Option<String>,
    /// Public keys that this user lets in.
    pub public_keys: Vec<String>,
}

/// What is done with a host's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostAction {
    /// It is switched on.
    SwitchOn,
    /// Its power is cut.
    CutPower,
    /// Its system is asked to shut down.
    ShutDown,
    /// Its system is asked to restart.
    Restart,
    /// Its power is cut, and it is switched on.
    PowerCycle,
}

/// What stands behind machines: nothing, or hosts. Calls may block; each runs on a thread of its own, one at a time for
/// each machine.
pub trait Backing: Send + Sync {
    /// Makes the host and boots it; answers with its public IPv4 address. `None`: this machine is a bare object.
    fn boot(&self, order: &Order) -> Result<Option<String>, String> {
        let _ = order;
        Ok(None)
    }
    /// Does this with the host.
    fn act(&self, id: &str, action: HostAction) -> Result<(), String> {
        let _ = (id, action);
        Ok(())
    }
    /// The machine is deleted.
    fn delete(&self, id: &str) {
        let _ = id;
    }
}

impl<T: Backing + ?Sized> Backing for Arc<T> {
    fn boot(&self, order: &Order) -> Result<Option<String>, String> {
        T::boot(self, order)
    }
    fn act(&self, id: &str, action: HostAction) -> Result<(), String> {
        T::act(self, id, action)
    }
    fn delete(&self, id: &str) {
        T::delete(self, id);
    }
}

/// No hosts at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

impl Backing for Nothing {}
