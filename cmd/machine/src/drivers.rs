//! The built-in drivers: the only list of them, and the only place that names one.

use std::future::Future;

use machine_driver::{AnyDriver, InProcess};
use machine_driver_azure::Azure;
use machine_driver_digitalocean::DigitalOcean;
use machine_driver_generic::Generic;
use machine_driver_none::NoDriver;
use machine_driver_qemu::Qemu;
use machine_driver_virtualbox::VirtualBox;

static QEMU: InProcess<Qemu> = InProcess::new(Qemu::new());
static VIRTUALBOX: InProcess<VirtualBox> = InProcess::new(VirtualBox::new());
static DIGITALOCEAN: InProcess<DigitalOcean> = InProcess::new(DigitalOcean::new());
static AZURE: InProcess<Azure> = InProcess::new(Azure::new());
static GENERIC: InProcess<Generic> = InProcess::new(Generic);
static NONE: InProcess<NoDriver> = InProcess::new(NoDriver);

/// All of them, in the order of `create --help`.
static BUILT_IN: &[&dyn AnyDriver] = &[&QEMU, &VIRTUALBOX, &DIGITALOCEAN, &AZURE, &GENERIC, &NONE];

/// The driver `create` takes where nothing says otherwise.
pub(crate) const DEFAULT: &str = "qemu";

/// The drivers at hand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BuiltIn;

impl BuiltIn {
    /// The driver called `name`.
    pub(crate) fn find(self, name: &str) -> Option<&'static dyn AnyDriver> {
        self.all().find(|driver| driver.name() == name)
    }

    /// All of them.
    pub(crate) fn all(self) -> impl Iterator<Item = &'static dyn AnyDriver> {
        BUILT_IN.iter().copied()
    }

    /// Their names.
    pub(crate) fn names(self) -> Vec<String> {
        self.all().map(|driver| driver.name().to_owned()).collect()
    }
}

impl machine_provision::Drivers for BuiltIn {
    fn get(&self, name: &str) -> Option<&dyn AnyDriver> {
        self.find(name)
    }

    fn names(&self) -> Vec<String> {
        Self::names(*self)
    }
}

/// Waits for a call that a driver answers at once, where there is no runtime yet.
pub(crate) fn wait<T>(call: impl Future<Output = machine_driver::Result<T>>) -> machine_driver::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| machine_driver::Diagnostic::failure("cannot start").caused_by(&e))?.block_on(call)
}
