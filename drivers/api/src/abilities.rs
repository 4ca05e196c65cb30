//! What not every driver can do: each such thing is a trait, and a driver says in one place which of them it has. Main
//! type: [`Abilities`].

use crate::json::to_value;
use crate::{
    Ability, BoxFuture, Changing, Context, Driver, ListAll, ListCall, Planner, PowerAction, PowerSwitch, Reply, Result,
    ShareCall, Sharing, UdpRules,
};

/// Answers the calls of one ability.
pub(crate) type Handler<D, What> = for<'a> fn(
    &'a D,
    &'a Context,
    What,
    &'a mut <D as Driver>::Settings,
    &'a mut <D as Driver>::Machine,
) -> BoxFuture<'a, Result<Reply>>;

/// What a driver can do beyond what all can: `const ABILITIES: Abilities<Self> = Abilities::NONE.power().list();`
#[expect(missing_debug_implementations, reason = "it only holds functions")]
pub struct Abilities<D: Driver> {
    pub(crate) power: Option<Handler<D, PowerAction>>,
    pub(crate) list: Option<Handler<D, ListCall>>,
    pub(crate) plan: Option<Handler<D, ()>>,
    pub(crate) share: Option<Handler<D, ShareCall>>,
    pub(crate) change: Option<Handler<D, <D as Driver>::Settings>>,
    pub(crate) udp: Option<Handler<D, Vec<u16>>>,
}

impl<D: Driver> Abilities<D> {
    /// Nothing more.
    pub const NONE: Self = Self { power: None, list: None, plan: None, share: None, change: None, udp: None };

    /// Its machines can be switched on and off.
    #[must_use]
    pub const fn power(mut self) -> Self
    where
        D: PowerSwitch,
    {
        self.power = Some(power);
        self
    }

    /// Its provider lists what an account holds.
    #[must_use]
    pub const fn list(mut self) -> Self
    where
        D: ListAll,
    {
        self.list = Some(list);
        self
    }

    /// It can say beforehand what would be made.
    #[must_use]
    pub const fn plan(mut self) -> Self
    where
        D: Planner,
    {
        self.plan = Some(plan);
        self
    }

    /// Its machines can have folders of this computer.
    #[must_use]
    pub const fn share(mut self) -> Self
    where
        D: Sharing,
    {
        self.share = Some(share);
        self
    }

    /// Its machines can have other settings and stay what they are.
    #[must_use]
    pub const fn change(mut self) -> Self
    where
        D: Changing,
    {
        self.change = Some(change);
        self
    }

    /// UDP ports of its machines can be brought to this computer.
    #[must_use]
    pub const fn udp(mut self) -> Self
    where
        D: UdpRules,
    {
        self.udp = Some(udp);
        self
    }

    /// As data.
    pub(crate) fn names(&self) -> Vec<Ability> {
        let all = [
            self.power.map(|_| Ability::Power),
            self.list.map(|_| Ability::List),
            self.plan.map(|_| Ability::Plan),
            self.share.map(|_| Ability::Share),
            self.change.map(|_| Ability::Change),
            self.udp.map(|_| Ability::Udp),
        ];
        all.into_iter().flatten().collect()
    }
}

fn power<'a, D: PowerSwitch>(
    driver: &'a D,
    cx: &'a Context,
    action: PowerAction,
    s: &'a mut D::Settings,
    m: &'a mut D::Machine,
) -> BoxFuture<'a, Result<Reply>> {
    Box::pin(async move {
        match action {
            PowerAction::Start => driver.start(cx, s, m).await?,
            PowerAction::Stop(how) => driver.stop(how, cx, s, m).await?,
            PowerAction::Restart => driver.restart(cx, s, m).await?,
        }
        Ok(Reply::Done)
    })
}

fn list<'a, D: ListAll>(
    driver: &'a D,
    cx: &'a Context,
    call: ListCall,
    s: &'a mut D::Settings,
    _: &'a mut D::Machine,
) -> BoxFuture<'a, Result<Reply>> {
    Box::pin(async move {
        Ok(match call {
            ListCall::CanAsk => Reply::Yes(driver.can_ask(cx, s)),
            ListCall::Account => Reply::Account(driver.account(s)),
            ListCall::Machines => Reply::Resources(driver.machines(cx, s).await?),
            ListCall::Resources(of) => Reply::Resources(driver.resources(cx, s, of).await?),
            ListCall::Delete(thing) => {
                driver.delete(cx, s, &thing).await?;
                Reply::Done
            }
        })
    })
}

fn plan<'a, D: Planner>(
    driver: &'a D,
    cx: &'a Context,
    (): (),
    s: &'a mut D::Settings,
    _: &'a mut D::Machine,
) -> BoxFuture<'a, Result<Reply>> {
    Box::pin(async move { Ok(Reply::Plan(driver.plan(cx, s).await?)) })
}

fn share<'a, D: Sharing>(
    driver: &'a D,
    _: &'a Context,
    call: ShareCall,
    s: &'a mut D::Settings,
    _: &'a mut D::Machine,
) -> BoxFuture<'a, Result<Reply>> {
    Box::pin(async move {
        Ok(match call {
            ShareCall::Shares => Reply::Shares(driver.shares(s).to_vec()),
            ShareCall::SetShares(shares) => {
                *driver.shares_mut(s) = shares;
                Reply::Settings(to_value(s)?)
            }
            ShareCall::Mounts(shares) => Reply::Mounts(shares.iter().map(|share| driver.mount(share)).collect()),
        })
    })
}

fn change<'a, D: Changing>(
    driver: &'a D,
    cx: &'a Context,
    to: D::Settings,
    from: &'a mut D::Settings,
    m: &'a mut D::Machine,
) -> BoxFuture<'a, Result<Reply>> {
    Box::pin(async move { Ok(Reply::Change(driver.change(cx, from, &to, m).await?)) })
}

fn udp<'a, D: UdpRules>(
    driver: &'a D,
    cx: &'a Context,
    ports: Vec<u16>,
    s: &'a mut D::Settings,
    m: &'a mut D::Machine,
) -> BoxFuture<'a, Result<Reply>> {
    Box::pin(async move { Ok(Reply::Refused(driver.udp(cx, s, m, &ports).await?)) })
}
