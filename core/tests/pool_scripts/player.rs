//! Plays one script on one pool.

use super::{
    connector::Numbers,
    script::{Ability, Act, Outcome, Script, Step},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, sleep},
};
use trunkline_core::{
    ConnectionError,
    config::{CheckoutPoolConfig, Config},
    pool::{Abilities, CheckoutPool, LeaseId},
};

/// For how long an outcome may be awaited.
const LONGEST: Duration = Duration::from_secs(10);

type Pool = CheckoutPool<Numbers>;
/// What a step found instead of what it says.
type Surprise = String;

pub(crate) struct Player {
    pool: Pool,
    numbers: Numbers,
    callers: BTreeMap<String, Caller>,
    drains: BTreeMap<String, JoinHandle<u32>>,
    detached: BTreeSet<u32>,
}

struct Caller {
    task: Option<JoinHandle<()>>,
    answer: Arc<Mutex<Option<Answer>>>,
}

#[derive(Clone, Debug)]
enum Answer {
    Lent(LeaseId, u32),
    Refused(ConnectionError),
    Nothing,
    GaveUp,
}

impl Caller {
    fn answer(&self) -> Option<Answer> {
        self.answer.lock().unwrap().clone()
    }
}

impl Player {
    pub(crate) fn new(script: &Script) -> Self {
        let config = serde_json::Value::Object(script.config.clone()).to_string();
        let config = CheckoutPoolConfig::from_json(&config).unwrap();
        let can = |ability| script.abilities.contains(&ability);
        let numbers = Numbers::new(Abilities {
            checks: can(Ability::Checks),
            resets: can(Ability::Resets),
            peeks: can(Ability::Peeks),
        });
        let pool = Pool::new(config, numbers.clone(), Handle::current()).unwrap();
        let (callers, drains, detached) = Default::default();
        Self { pool, numbers, callers, drains, detached }
    }

    pub(crate) async fn step(&mut self, step: &Step) -> Result<(), Surprise> {
        match step {
            Step::Do(act) => self.act(act).await,
            Step::Expect(outcome) => self.await_that(|player| player.look(outcome)).await,
        }
    }

    async fn act(&mut self, act: &Act) -> Result<(), Surprise> {
        match act {
            Act::Acquire { r#as, within } => self.acquire(r#as, *within).await?,
            Act::Try { r#as } => {
                let lent = self.pool.try_acquire();
                let answer = lent.map_or(Answer::Nothing, |lease| {
                    let number = *lease;
                    Answer::Lent(lease.entrust(), number)
                });
                self.enter(r#as, None, Some(answer));
            }
            Act::Cancel { of } => self.cancel(of).await?,
            Act::Release { of } => _ = self.pool.put_back(self.lease(of)?.0, false),
            Act::Discard { of } => _ = self.pool.put_back(self.lease(of)?.0, true),
            Act::Detach { of } => {
                let lease = self.pool.reclaim(self.lease(of)?.0).ok_or("its lease has ended")?;
                self.detached.insert(lease.detach());
            }
            Act::Clear => self.pool.clear(),
            Act::Check => self.pool.check(),
            Act::Resize { max_size, min_idle } => {
                self.pool.resize(*max_size, *min_idle).map_err(|error| error.to_string())?;
            }
            Act::Drain { r#as } => self.drain(r#as).await?,
            Act::Close => self.pool.close_now(),
            Act::Connects { next } => self.numbers.plan(next),
            Act::LetGo { of } => self.numbers.let_go(of, true),
            Act::LetFail { of } => self.numbers.let_go(of, false),
            Act::Spoil { connection } => self.numbers.spoil(*connection),
            Act::Break { connection } => self.numbers.break_it(*connection),
        }
        Ok(())
    }

    async fn acquire(&mut self, name: &str, within: Option<u64>) -> Result<(), Surprise> {
        let pool = self.pool.clone();
        let answer = Arc::new(Mutex::new(None));
        let told = Arc::clone(&answer);
        let deadline = within
            .map(|within| (Instant::now() + Duration::from_millis(within)).into_std())
            .or_else(|| pool.default_deadline());
        let task = Handle::current().spawn(async move {
            let lent = pool.acquire_by(deadline).await;
            let lent = lent.map(|lease| {
                let number = *lease;
                Answer::Lent(lease.entrust(), number)
            });
            *told.lock().unwrap() = Some(lent.unwrap_or_else(Answer::Refused));
        });
        self.callers.insert(name.to_owned(), Caller { task: Some(task), answer });
        self.await_that(|player| match player.callers[name].answer() {
            Some(_) => Ok(()),
            None => {
                let in_line = player.pool.stats().waiting as usize;
                player.same("in line", in_line, player.waiting().len())
            }
        })
        .await
    }

    fn enter(&mut self, name: &str, task: Option<JoinHandle<()>>, answer: Option<Answer>) {
        let answer = Arc::new(Mutex::new(answer));
        self.callers.insert(name.to_owned(), Caller { task, answer });
    }

    async fn cancel(&mut self, name: &str) -> Result<(), Surprise> {
        let caller = self.callers.get_mut(name).ok_or("nobody of that name")?;
        let task = caller.task.take().ok_or("it has nothing to cancel")?;
        task.abort();
        _ = task.await;
        caller.answer.lock().unwrap().get_or_insert(Answer::GaveUp);
        Ok(())
    }

    async fn drain(&mut self, name: &str) -> Result<(), Surprise> {
        let pool = self.pool.clone();
        let task = Handle::current().spawn(async move { pool.drain(None).await });
        self.drains.insert(name.to_owned(), task);
        self.await_that(|player| player.same("refuses", player.pool.is_closed(), true)).await
    }

    fn lease(&self, name: &str) -> Result<(LeaseId, u32), Surprise> {
        match self.callers.get(name).and_then(Caller::answer) {
            Some(Answer::Lent(id, number)) => Ok((id, number)),
            other => Err(format!("{name} was lent nothing, but has {other:?}")),
        }
    }

    /// Those who have no answer.
    fn waiting(&self) -> BTreeSet<&str> {
        let waits = self.callers.iter().filter(|(_, caller)| caller.answer().is_none());
        waits.map(|(name, _)| name.as_str()).collect()
    }

    fn look(&self, outcome: &Outcome) -> Result<(), Surprise> {
        match outcome {
            Outcome::Lent { to, connection } => {
                self.same("connection", self.lease(to)?.1, *connection)
            }
            Outcome::Nothing { to } => match self.callers.get(to).and_then(Caller::answer) {
                Some(Answer::Nothing) => Ok(()),
                other => Err(format!("it has {other:?}")),
            },
            Outcome::Refused { caller, error, says } => self.look_at_error(caller, error, says),
            Outcome::Waiting { callers } => {
                self.same("waiting", self.waiting(), callers.iter().map(String::as_str).collect())?;
                self.same("in line", self.pool.stats().waiting as usize, callers.len())
            }
            Outcome::Closed { connection, reason } => {
                self.same("closed for", self.numbers.closed(*connection), vec![reason])
            }
            Outcome::Open { connection } => {
                self.same("closed for", self.numbers.closed(*connection), Vec::<&str>::new())
            }
            Outcome::Stats(fields) => self.look_at_stats(fields),
            Outcome::Stale { of } => {
                let before = self.pool.stats();
                let refused = self.pool.put_back(self.lease(of)?.0, false).is_err();
                self.same("refused", refused, true)?;
                self.same("used", self.pool.stats().used, before.used)
            }
            Outcome::Ended { of } => {
                let drain = self.drains.get(of).ok_or("no drain of that name")?;
                self.same("ended", drain.is_finished(), true)
            }
        }
    }

    fn look_at_error(
        &self,
        caller: &str,
        kind: &str,
        says: &Option<String>,
    ) -> Result<(), Surprise> {
        let error = match self.callers.get(caller).and_then(Caller::answer) {
            Some(Answer::Refused(error)) => error,
            other => return Err(format!("it has {other:?}")),
        };
        self.same("error", kind_of(&error), kind)?;
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            text += &format!(": {next}");
            cause = next.source();
        }
        match says {
            Some(says) if !text.contains(says) => Err(format!("it says {text:?}")),
            Some(_) | None => Ok(()),
        }
    }

    fn look_at_stats(&self, fields: &BTreeMap<String, u64>) -> Result<(), Surprise> {
        let stats = self.pool.stats();
        for (field, expected) in fields {
            let found = match field.as_str() {
                "idle" => stats.idle.into(),
                "used" => stats.used.into(),
                "connecting" => stats.connecting.into(),
                "validating" => stats.validating.into(),
                "closing" => stats.closing.into(),
                "waiting" => stats.waiting.into(),
                "max_size" => stats.max_size.into(),
                "epoch" => stats.epoch.into(),
                "created" => stats.created,
                "create_failed" => stats.create_failed,
                "timeouts" => stats.timeouts,
                "cancelled" => stats.cancelled,
                "refused" => stats.refused,
                "handed_over" => stats.handed_over,
                "invalid" => stats.invalid,
                other => return Err(format!("there is no count of {other}")),
            };
            self.same(field, found, *expected)?;
        }
        Ok(())
    }

    /// Looks again and again until it is so.
    async fn await_that(
        &self,
        mut look: impl FnMut(&Self) -> Result<(), Surprise>,
    ) -> Result<(), Surprise> {
        let give_up = Instant::now() + LONGEST;
        loop {
            match look(self) {
                Ok(()) => return Ok(()),
                Err(surprise) if Instant::now() > give_up => return Err(surprise),
                Err(_) => sleep(Duration::from_millis(1)).await,
            }
        }
    }

    fn same<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(
        &self,
        what: &str,
        found: T,
        expected: U,
    ) -> Result<(), Surprise> {
        match found == expected {
            true => Ok(()),
            false => {
                Err(format!("{what}: {found:?} instead of {expected:?}, {:?}", self.pool.stats()))
            }
        }
    }

    /// Closes the pool and puts all that is lent back: then nothing is left, and nobody.
    pub(crate) async fn finish(self) -> Result<(), Surprise> {
        self.pool.close_now();
        self.await_that(|player| player.same("waiting", player.waiting(), BTreeSet::new())).await?;
        for caller in self.callers.values() {
            if let Some(Answer::Lent(id, _)) = caller.answer() {
                _ = self.pool.put_back(id, false);
            }
        }
        self.await_that(|player| player.same("left", player.pool.stats().total(), 0)).await?;
        for connection in 1..=self.numbers.made() {
            let times = usize::from(!self.detached.contains(&connection));
            self.same("closed", self.numbers.closed(connection).len(), times)?;
        }
        Ok(())
    }
}

fn kind_of(error: &ConnectionError) -> &'static str {
    match error {
        ConnectionError::Timeout { .. } => "timeout",
        ConnectionError::LimitExceeded { .. } => "limit_exceeded",
        ConnectionError::CircuitOpen { .. } => "circuit_open",
        ConnectionError::Closed { .. } => "closed",
        ConnectionError::ConnectionFailed { .. } => "connection_failed",
        _ => "another",
    }
}
