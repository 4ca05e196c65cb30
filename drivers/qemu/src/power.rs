//! The power switch. The state is looked at first, so every call may be repeated.

use machine_driver::{Context, PowerSwitch, Result, Stop};
use tokio::time::Instant;

use crate::driver::{Machine, Qemu};
use crate::files::Files;
use crate::qmp::QmpError;
use crate::settings::Settings;
use crate::{process, run};

impl PowerSwitch for Qemu {
    async fn start(&self, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
        run::ensure(cx, s, m, &self.timing).await
    }

    async fn stop(&self, how: Stop, cx: &Context, _: &Settings, _: &mut Machine) -> Result<()> {
        let files = Files::new(cx);
        if !process::alive(&files)? {
            return Ok(());
        }
        if how == Stop::Politely && self.ask(cx, &files).await? {
            return Ok(());
        }
        process::end(&files, cx, &self.timing).await
    }

    async fn restart(&self, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
        self.stop(Stop::Politely, cx, s, m).await?;
        self.start(cx, s, m).await
    }
}

impl Qemu {
    /// Presses the power button until the guest has shut down. Whether it has.
    async fn ask(&self, cx: &Context, files: &Files) -> Result<bool> {
        let timing = &self.timing;
        let end = Instant::now() + timing.shutdown;
        let trouble = loop {
            let pressed = match process::control(files, cx, timing.answer).await {
                Ok(mut qmp) => press(&mut qmp).await,
                Err(trouble) => Err(trouble),
            };
            match pressed {
                Ok(()) => {}
                // It may just have ended.
                Err(_) if process::gone(files, timing.poll * 4, timing).await? => return Ok(true),
                Err(trouble) => break trouble.to_string(),
            }
            let left = end.saturating_duration_since(Instant::now());
            if process::gone(files, timing.press.min(left), timing).await? {
                return Ok(true);
            }
            if left <= timing.press {
                break format!("the guest did not shut down within {} s", timing.shutdown.as_secs());
            }
        };
        cx.note(&format!("{trouble}: switching it off"));
        Ok(false)
    }
}

/// A guest that is paused would not notice.
async fn press(qmp: &mut crate::qmp::Qmp) -> Result<(), QmpError> {
    if matches!(qmp.status().await?.as_str(), "paused" | "io-error") {
        qmp.go_on().await?;
    }
    qmp.power_button().await
}
