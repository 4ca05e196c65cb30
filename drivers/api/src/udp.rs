//! UDP ports of a machine at this computer, by a rule of the program that runs it. Main type: [`UdpRules`].

use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::{Context, Driver, Result};

/// A port for which there is no rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedPort {
    /// The port.
    pub port: u16,
    /// Another program of this computer has it.
    pub taken: bool,
    /// Why not, in a few words.
    pub why: String,
}

/// A driver whose program brings UDP ports of a machine here, which SSH does not.
pub trait UdpRules: Driver {
    /// Has exactly these UDP ports of 127.0.0.1 lead to the same ports of the machine, and no others. Which of them do not, and
    /// why. The machine runs; the rules end with it.
    fn udp(
        &self,
        cx: &Context,
        s: &Self::Settings,
        m: &Self::Machine,
        ports: &[u16],
    ) -> impl Future<Output = Result<Vec<RefusedPort>>> + Send;
}
