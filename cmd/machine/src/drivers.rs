//! The built-in drivers: the only list of them, and the only place that names one.

use machine_driver::AnyDriver;

/// All of them, in the order of `create --help`.
static BUILT_IN: &[&dyn AnyDriver] = &[
    &machine_driver_qemu::Qemu::new(),
    &machine_driver_digitalocean::DRIVER,
    &machine_driver_generic::Generic,
    &machine_driver_none::NoDriver,
];

/// The driver `create` takes where nothing says otherwise.
pub(crate) const DEFAULT: &str = "qemu";

/// The drivers at hand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BuiltIn;

impl BuiltIn {
    /// The driver called `name`.
    pub(crate) fn find(self, name: &str) -> Option<&'static dyn AnyDriver> {
        self.all().find(|driver| driver.describe().name == name)
    }

    /// All of them.
    pub(crate) fn all(self) -> impl Iterator<Item = &'static dyn AnyDriver> {
        BUILT_IN.iter().copied()
    }

    /// Their names.
    pub(crate) fn names(self) -> Vec<String> {
        self.all().map(|driver| driver.describe().name).collect()
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
