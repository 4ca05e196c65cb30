//! The VM's network card, and the ports of this computer that lead to it. Main item: [`ensure`].

use machine_driver::{Context, Diagnostic, Result};
use machine_guest::{ports, reach};

use crate::driver::Machine;
use crate::identity;
use crate::settings::Settings;
use crate::vbox::{Card, Rule, State, Vbox, Vm};

const SSH: &str = "machine-ssh";
const ENGINE: &str = "machine-engine";

/// The VM is on VirtualBox's NAT, with its two ports. One that runs or is saved has been already.
pub(crate) async fn ensure(vbox: &Vbox, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
    if m.ports().is_none() {
        choose(cx, s, m).await?;
    }
    let vm = identity::present(vbox, cx, m).await?;
    if vm.state == State::Off { lead(vbox, &vm, s, m).await } else { Ok(()) }
}

/// Has the machine have two ports that are free now, and `m` say which.
pub(crate) async fn choose(cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
    ports::keep_or_choose(cx, m.ports(), s.vm.port_range, "--virtualbox-port-range", |ssh, engine| {
        (m.ssh_port, m.engine_port) = (Some(ssh), Some(engine));
        cx.save(m)
    })
    .await
}

/// Has the VM's rules say what `m` says. The user's own rules stay. A card is set with its rules: one with the right rules is right.
pub(crate) async fn lead(vbox: &Vbox, vm: &Vm, s: &Settings, m: &Machine) -> Result<()> {
    let Some((gone, new)) = wrong(vm, m)? else { return Ok(()) };
    if vm.state != State::Off {
        return vbox.set_rules(&vm.uuid, &gone, &new).await;
    }
    let card = Card {
        kind: s.nat_nictype.as_str(),
        host_resolver: !s.no_host_dns_resolver && !s.dns_proxy,
        dns_proxy: s.dns_proxy,
    };
    vbox.set_card(&vm.uuid, &card, &gone, &new).await
}

/// The rules that are to go and those that are to come; `None`: all is as it should be.
fn wrong(vm: &Vm, m: &Machine) -> Result<Option<(Vec<Rule>, Vec<Rule>)>> {
    let wanted = rules(m)?;
    let ours = |rule: &&Rule| wanted.iter().any(|wanted| wanted.name == rule.name);
    let gone: Vec<Rule> = vm.rules.iter().filter(ours).filter(|rule| !wanted.contains(rule)).cloned().collect();
    let new: Vec<Rule> = wanted.iter().filter(|rule| !vm.rules.contains(rule)).cloned().collect();
    Ok((!gone.is_empty() || !new.is_empty()).then_some((gone, new)))
}

fn rules(m: &Machine) -> Result<[Rule; 2]> {
    let (ssh, engine) = m.ports().ok_or_else(|| {
        Diagnostic::failure("the record has no ports").hint("run `machine create` again for this name")
    })?;
    let rule = |name: &str, port, to| Rule { name: name.to_owned(), address: "127.0.0.1".to_owned(), port, to };
    Ok([rule(SSH, ssh, reach::SSH), rule(ENGINE, engine, reach::ENGINE)])
}
