//! One agent's link at the hub: the hello, its place in the registry, and its end.

use super::{
    accept::Incoming,
    registry::LinkId,
    shared::{Member, Shared, clock},
    welcome::OnItsWay,
};
use crate::{
    address::Address,
    budget::Permit,
    error::ConnectionError,
    events::EventKind,
    transport::{Listener, Stream},
    tunnel::{
        auth::Claim,
        counts::What,
        ending::finish_by,
        greet,
        hello::{ALPN, Hello, Verdict},
        native::{self, Driver, Link},
    },
};
use std::{error::Error, pin::pin, sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Time for what is still on its way out when a link ends in order.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Lets agents in on `listener` until the hub stops. No more than `max_hellos` are heard at one time; the next wait
/// in the backlog.
pub(super) async fn accept_agents(shared: Arc<Shared>, listener: Listener) {
    let mut incoming = Incoming::new(&shared, listener);
    loop {
        let hello = tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            hello = shared.hellos.acquire() => hello,
        };
        let Some(stream) = incoming.next().await else { return };
        let task = serve(Arc::clone(&shared), stream, hello);
        shared.tasks.spawn_on(task, shared.network.runtime());
    }
}

async fn serve(shared: Arc<Shared>, stream: Stream, hearing: Permit) {
    let from = stream.context().source.clone();
    let greeted = timeout(shared.config.link.hello_timeout, greet(&shared, stream));
    let greeted = tokio::select! {
        biased;
        () = shared.stopping.cancelled() => return,
        greeted = greeted => greeted,
    };
    drop(hearing);
    match greeted {
        Ok(Ok(Greeted { hello, link, driver, permit, on_its_way })) => {
            run(&shared, &hello, link, driver, on_its_way).await;
            drop(permit);
        }
        refused => {
            let (mut told, mut error) = (None, None);
            match &refused {
                Ok(Err(TurnedAway::Told(why))) => told = Some(&**why),
                Ok(Err(TurnedAway::Broken(broken))) => error = Some(broken as &dyn Error),
                Ok(Err(TurnedAway::Http(broken))) => error = Some(broken as &dyn Error),
                Ok(Ok(_)) | Err(_) => {}
            }
            tracing::warn!(
                from = from.map(tracing::field::display),
                told,
                error,
                "an agent was turned away"
            );
            shared.counts.add(What::Failed);
        }
    }
}

struct Greeted<'a> {
    hello: Hello,
    link: Link,
    driver: Driver,
    permit: Permit,
    on_its_way: OnItsWay<'a>,
}

enum TurnedAway {
    /// It was told why.
    Told(Box<str>),
    Broken(ConnectionError),
    Http(h2::Error),
}

impl From<ConnectionError> for TurnedAway {
    fn from(error: ConnectionError) -> Self {
        Self::Broken(error)
    }
}

async fn greet(shared: &Shared, stream: Stream) -> Result<Greeted<'_>, TurnedAway> {
    let hello = match greet::hear(&stream).await? {
        Ok(hello) => hello,
        Err(malformed) => {
            let (verdict, text) = greet::verdict_on(malformed);
            return Err(turn_away(&stream, verdict, &text).await);
        }
    };
    if !greet::is_agreed(&stream) {
        let text = format!("over TLS, {ALPN} must be agreed on as the application protocol");
        return Err(turn_away(&stream, Verdict::OtherVersion, &text).await);
    }
    let claim = Claim {
        cluster: hello.cluster.clone(),
        token: hello.token.clone(),
        connection: stream.context().clone(),
        tls: stream.tls().cloned(),
    };
    if !shared.authenticator.verify(&claim).await {
        let text = "the agent has not proved that it stands for this cluster";
        return Err(turn_away(&stream, Verdict::NotProved, text).await);
    }
    let Some(permit) = shared.agents.try_acquire() else {
        let text = "this hub has as many agents as it may";
        return Err(turn_away(&stream, Verdict::Full, text).await);
    };
    let on_its_way = shared.welcomed.expect(&hello.cluster);
    greet::answer(&stream, Verdict::Welcome, "").await?;
    let (link, driver) =
        native::connect(stream, shared.limits()).await.map_err(TurnedAway::Http)?;
    Ok(Greeted { hello, link, driver, permit, on_its_way })
}

async fn turn_away(stream: &Stream, verdict: Verdict, why: &str) -> TurnedAway {
    match greet::answer(stream, verdict, why).await {
        Ok(()) => TurnedAway::Told(why.into()),
        Err(error) => TurnedAway::Broken(error),
    }
}

async fn run(
    shared: &Arc<Shared>,
    hello: &Hello,
    link: Link,
    driver: Driver,
    on_its_way: OnItsWay<'_>,
) {
    let link = Arc::new(link);
    let (joined, replaced) = Joined::new(shared, hello, &link);
    drop(on_its_way);
    let mut driver = pin!(driver.run());
    // `Some` once the driver is done, which must not be asked again.
    let over = tokio::select! {
        biased;
        _ = shared.cut.ordered() => None,
        answer = &mut driver => Some(answer),
        () = replaced.cancelled() => {
            shared.counts.add(What::Replaced);
            let grace = shared.config.replaced_grace.from(clock());
            let leave = async {
                let _ = link.tell_replaced().await;
                link.emptied().await;
            };
            tokio::select! {
                biased;
                _ = shared.cut.ordered() => None,
                answer = &mut driver => Some(answer),
                _ = finish_by(grace, leave) => None,
            }
        }
        () = shared.finished.cancelled() => None,
    };
    joined.leave();
    drop(link);
    if over.is_none() && !shared.cut.is_ordered() {
        // Nobody opens anything any more; what was written is sent, and the link closes by itself.
        let _ = timeout(LAST_WORDS, driver).await;
    }
    let error = over.as_ref().and_then(|over| over.as_ref().err());
    let error = error.map(|error| error as &dyn Error);
    tracing::info!(cluster = %hello.cluster, error, "agent left");
}

/// A link in the registry. Its end is counted also where the runtime ends under its task.
struct Joined {
    shared: Arc<Shared>,
    cluster: Box<str>,
    id: LinkId,
}

impl Joined {
    /// Puts a link into the registry, and tells those whose place it takes.
    fn new(shared: &Arc<Shared>, hello: &Hello, link: &Arc<Link>) -> (Self, CancellationToken) {
        let replaced = CancellationToken::new();
        let member =
            Arc::new(Member { carrier: Arc::clone(link) as _, replaced: replaced.clone() });
        let registered = {
            let mut registry = shared.registry.lock();
            registry.register(&hello.cluster, hello.instance, member, || shared.books())
        };
        for member in registered.displaced {
            member.replaced.cancel();
        }
        shared.joined.notify_waiters();
        let cluster = hello.cluster.clone();
        let joined = Self { shared: Arc::clone(shared), cluster, id: registered.id };
        shared.counts.add(What::Opened);
        shared.record(EventKind::LinkUp, &joined.address());
        tracing::info!(cluster = %hello.cluster, "agent joined");
        (joined, replaced)
    }

    fn address(&self) -> Address {
        Address::Tunnel(self.cluster.clone())
    }

    /// Opens nothing new.
    fn leave(&self) {
        let member = self.shared.registry.lock().remove(&self.cluster, self.id);
        drop(member);
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.leave();
        self.shared.counts.add(What::Closed);
        self.shared.record(EventKind::LinkDown, &self.address());
    }
}
